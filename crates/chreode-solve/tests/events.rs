//! Events are found where they are, told in order, reset the state, end the run; none is lost, none is told twice.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::f64::consts::{PI, TAU};

use chreode_core::field;
use chreode_solve::{
    ALL_ERK, BOSH3, Bdf, Crossing, DOP853, Erk, ErkTableau, Esdirk, Event, KENCARP4, Observer, RODAS5P,
    Radau5, Rhs, Rosenbrock, SolveError, SolveOptions, Stats, StepRecord, StepSize, Stepper, Stopped, TSIT5,
    VERN7, VERN8, VERN9, solve_events,
};
use proptest::prelude::*;
use proptest::sample::select;

/// What happened, in its order.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Step(f64, f64),
    Save(usize, f64, f64),
    Event(usize, f64, f64),
}

#[derive(Default)]
struct Log(Vec<Told>);

impl Observer<f64> for Log {
    fn step(&mut self, r: StepRecord<'_, f64>) {
        self.0.push(Told::Step(r.t, r.t_end));
    }
    fn save(&mut self, i: usize, t: f64, y: &[f64]) {
        self.0.push(Told::Save(i, t, y[0]));
    }
    fn event(&mut self, i: usize, t: f64, y: &[f64]) {
        self.0.push(Told::Event(i, t, y[0]));
    }
}

impl Log {
    fn events(&self) -> Vec<(usize, f64, f64)> {
        self.0
            .iter()
            .filter_map(|e| if let Told::Event(i, t, y) = e { Some((*i, *t, *y)) } else { None })
            .collect()
    }
    fn saves(&self) -> Vec<(usize, f64, f64)> {
        self.0
            .iter()
            .filter_map(|e| if let Told::Save(i, t, y) = e { Some((*i, *t, *y)) } else { None })
            .collect()
    }
}

/// `x'' = -x`: `x = x0 cos t + v0 sin t`.
fn turn(
    y: &mut [f64; 2],
    span: (f64, f64),
    stepper: &mut dyn Stepper<f64>,
    options: &SolveOptions<'_>,
    events: &mut [Event<'_, f64>],
) -> Result<(Log, Stats), SolveError> {
    let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| (dy[0], dy[1]) = (y[1], -y[0]));
    let mut log = Log::default();
    let stats = solve_events(&mut Rhs::Field(&mut f), &[], y, span, stepper, options, events, &mut log)?;
    Ok((log, stats))
}

const PAIRS: [&ErkTableau; 6] = [&BOSH3, &TSIT5, &VERN7, &DOP853, &VERN8, &VERN9];

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every zero of `sin(ω t + φ)` further apart than the steps are long, by any method, forward and backward, with
    /// their directions; the same steps as without events.
    #[test]
    fn none_is_lost(omega in 0.1..3.0_f64, phase in 0.0..6.0_f64, backward: bool, h in 0.05..1.0_f64, method in select(&PAIRS[..]), which in 0_usize..3) {
        let crossing = [Crossing::Either, Crossing::Rising, Crossing::Falling][which];
        let span = if backward { (10.0, -10.0) } else { (-10.0, 10.0) };
        let angle = |t: f64| omega * t + phase;
        let near = |x: f64| (x - x.round()).abs() < 1e-9;
        let pi = std::f64::consts::PI;
        prop_assume!(!near(angle(span.0) / pi) && !near(angle(span.1) / pi));
        let mut expected: Vec<f64> = (-20..20).map(|n| (f64::from(n) * pi - phase) / omega).filter(|t| t.abs() < 10.0)
            .filter(|t| {
                // The slope along the run.
                let slope = angle(*t).cos() * if backward { -1.0 } else { 1.0 };
                match crossing { Crossing::Rising => slope > 0.0, Crossing::Falling => slope < 0.0, Crossing::Either => true }
            })
            .collect();
        if backward { expected.reverse(); }
        let options = SolveOptions { step: StepSize::Fixed(h), ..SolveOptions::default() };
        let mut events = [Event::new(|t, _: &[f64], _: &[f64]| angle(t).sin()).crossing(crossing)];
        let (log, stats) = turn(&mut [1.0, 0.0], span, &mut Erk::new(method, 1, 2), &options, &mut events).unwrap();
        let found = log.events();
        prop_assert_eq!(found.len(), expected.len());
        prop_assert_eq!(stats.events as usize, expected.len());
        for ((_, t, _), e) in found.iter().zip(&expected) {
            prop_assert!((t - e).abs() < 1e-13 * (1.0 + 10.0 / omega), "{t} {e}");
        }
        let steps = log.0.iter().filter(|e| matches!(e, Told::Step(..))).count();
        prop_assert_eq!(steps as u64, (20.0 / h).ceil() as u64);
    }

    /// Zeros of the solution itself, to the accuracy of the run: each method's dense output is good enough.
    #[test]
    fn on_the_solution(method in select(&PAIRS[..]), rtol in select(&[1e-6, 1e-9][..]), at in 0.1..1.45_f64) {
        let (mut y, level) = ([0.0, 1.0], at.sin());
        let mut events = [Event::new(move |_, y: &[f64], _: &[f64]| y[0] - level)];
        let step = StepSize::Adaptive { h0: None, h_max: 0.1 }; // the crossings are further apart
        let options = SolveOptions { step, ..SolveOptions::tolerance(rtol, rtol) };
        let (log, _) = turn(&mut y, (0.0, 3.2), &mut Erk::new(method, 1, 2), &options, &mut events).unwrap();
        let times: Vec<f64> = log.events().iter().map(|e| e.1).collect();
        let pi = std::f64::consts::PI;
        prop_assert_eq!(times.len(), 2);
        // The height hardly depends on the time near the top.
        let tolerance = 300.0 * rtol / at.cos();
        prop_assert!((times[0] - at).abs() < tolerance && (times[1] - (pi - at)).abs() < tolerance, "{times:?}");
    }

    /// A ball that loses a part of its speed, against its formula; the same by any method, explicit or implicit.
    #[test]
    fn bounces(keep in 0.5..1.0_f64, which in 0_usize..6, start in 1.0..20.0_f64) {
        let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| (dy[0], dy[1]) = (y[1], -2.0));
        let mut events = [Event::new(|_t, y: &[f64], _p| y[0]).reset(|_t, y, _p| y[1] *= -keep)];
        let mut methods: [Box<dyn Stepper<f64>>; 6] =
            [Box::new(Erk::new(&TSIT5, 1, 2)), Box::new(Erk::new(&VERN9, 1, 2)), Box::new(Radau5::new(1, 2)), Box::new(Bdf::new(1, 2)),
             Box::new(Rosenbrock::new(&RODAS5P, 1, 2)), Box::new(Esdirk::new(&KENCARP4, 1, 2))];
        let (mut y, mut log) = ([start, 0.0], Log::default());
        // Falls for √start, then rises and falls for 2 √start keep each time.
        let fall = start.sqrt();
        let mut expected = vec![fall];
        for n in 1..6 { expected.push(expected[n - 1] + 2.0 * fall * keep.powi(n as i32)); }
        let end = expected[5] + 0.5 * fall * keep.powi(6);
        let options = SolveOptions::tolerance(1e-9, 1e-9);
        solve_events(&mut Rhs::Field(&mut f), &[], &mut y, (0.0, end), &mut *methods[which], &options, &mut events, &mut log).unwrap();
        let found = log.events();
        prop_assert_eq!(found.len(), 6, "{:?} {:?}", found, expected);
        for ((_, t, height), e) in found.iter().zip(&expected) {
            prop_assert!((t - e).abs() < 1e-5 * fall && height.abs() < 1e-5 * start, "{t} {e} {height}");
        }
        prop_assert!(y[0] > 0.0);
    }
}

#[test]
fn a_terminal_event_ends_the_run() {
    let at = [0.0, 0.5, 1.0, 1.5, 2.0];
    for method in PAIRS {
        for land in [false, true] {
            let mut y = [1.0, 0.0];
            let mut events = [
                Event::new(|_, y: &[f64], _: &[f64]| y[0] - 0.5),
                Event::new(|_, y: &[f64], _: &[f64]| y[0]).terminal().reset(|_, y, _| y[1] = 7.0),
            ];
            let options =
                SolveOptions { save_at: &at, land_on_saves: land, ..SolveOptions::tolerance(1e-10, 1e-10) };
            let (log, stats) =
                turn(&mut y, (0.0, 2.0), &mut Erk::new(method, 1, 2), &options, &mut events).unwrap();
            let Stopped::Event { index: 1, t } = stats.stopped else { panic!("{stats:?}") };
            assert!((t - std::f64::consts::FRAC_PI_2).abs() < 1e-8, "{t}");
            assert!(y[0].abs() < 1e-12 && y[1] == 7.0, "the state there, after the reset: {y:?}");
            assert_eq!(log.saves().iter().map(|s| s.1).collect::<Vec<_>>(), [0.0, 0.5, 1.0, 1.5]);
            assert_eq!(log.events().iter().map(|e| e.0).collect::<Vec<_>>(), [0, 1]);
            // In the order of time, and the last step ends at the event.
            let times: Vec<f64> = log
                .0
                .iter()
                .filter_map(|e| match e {
                    Told::Step(..) => None,
                    Told::Save(_, t, _) | Told::Event(_, t, _) => Some(*t),
                })
                .collect();
            assert!(times.is_sorted(), "{times:?}");
            assert_eq!(
                log.0.iter().rev().find_map(|e| if let Told::Step(_, end) = e { Some(*end) } else { None }),
                Some(t)
            );
        }
    }
}

#[test]
fn zero_at_the_start_is_no_event() {
    let options = SolveOptions::tolerance(1e-8, 1e-8);
    for (y0, falls) in [([0.0, 1.0], PI), ([0.0, -1.0], TAU)] {
        let mut y = y0;
        let mut events = [
            Event::new(|_, y: &[f64], _: &[f64]| y[0]),
            Event::new(|_, y: &[f64], _: &[f64]| y[0]).crossing(Crossing::Falling),
        ];
        let (log, _) = turn(&mut y, (0.0, 7.0), &mut Erk::new(&TSIT5, 1, 2), &options, &mut events).unwrap();
        let both: Vec<f64> = log.events().iter().filter(|e| e.0 == 0).map(|e| e.1).collect();
        assert!(both.len() == 2 && both[0] > 3.0, "{both:?}");
        let falling: Vec<f64> = log.events().iter().filter(|e| e.0 == 1).map(|e| e.1).collect();
        assert!(falling.len() == 1 && (falling[0] - falls).abs() < 1e-4, "{falling:?}");
    }
}

/// A run of one long step in which the ball rises and lands again: the sign right after the bounce decides.
#[test]
fn the_first_step_after_a_bounce_may_contain_the_next_one() {
    let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| (dy[0], dy[1]) = (y[1], -2.0));
    let mut events = [Event::new(|_t, y: &[f64], _p| y[0]).reset(|_t, y, _p| y[1] = -y[1])];
    let (mut y, mut log) = ([1.0, 0.0], Log::default());
    // Falls for 1, then 2 each; steps of 1.9 and more.
    let options = SolveOptions::fixed(3.5);
    let mut erk = Erk::new(&TSIT5, 1, 2);
    solve_events(&mut Rhs::Field(&mut f), &[], &mut y, (0.0, 8.5), &mut erk, &options, &mut events, &mut log)
        .unwrap();
    let times: Vec<f64> = log.events().iter().map(|e| e.1).collect();
    assert_eq!(times.len(), 4, "{times:?}");
    for (t, e) in times.iter().zip([1.0, 3.0, 5.0, 7.0]) {
        assert!((t - e).abs() < 1e-12, "{times:?}");
    }
}

/// Two events at one time both occur, one that reset the state first does not hide the other.
#[test]
fn events_at_one_time() {
    let (mut y, options) = ([1.0, 0.0], SolveOptions::tolerance(1e-9, 1e-9));
    let mut events = [
        Event::new(|t, _: &[f64], _: &[f64]| t - 0.7).reset(|_, y, _| y[0] += 1.0),
        Event::new(|t, _: &[f64], _: &[f64]| t - 0.7).reset(|_, y, _| y[0] *= 2.0),
        Event::new(|t, _: &[f64], _: &[f64]| 0.7 - t),
    ];
    let (log, stats) = turn(&mut y, (0.0, 0.8), &mut Erk::new(&VERN7, 1, 2), &options, &mut events).unwrap();
    assert_eq!(log.events().iter().map(|e| e.0).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((stats.events, stats.stopped), (3, Stopped::End));
    let (x, v) = (2.0 * (0.7_f64.cos() + 1.0), -0.7_f64.sin());
    assert!((y[0] - (x * 0.1_f64.cos() + v * 0.1_f64.sin())).abs() < 1e-8, "{y:?}");
}

#[test]
fn bad_events_are_errors() {
    let options = SolveOptions::default();
    let run = |event: Event<'_, f64>| {
        turn(&mut [1.0, 0.0], (0.0, 2.0), &mut Erk::new(&TSIT5, 1, 2), &options, &mut [event])
    };
    let e = run(Event::new(|t, _, _| if t > 1.0 { f64::NAN } else { 1.0 })).map(|_| ()).unwrap_err();
    assert!(matches!(e, SolveError::EventNotANumber { index: 0, t } if t > 1.0), "{e}");
    let e = run(Event::new(|t, _, _| t - 1.0).reset(|_, y, _| y[1] = f64::INFINITY)).map(|_| ()).unwrap_err();
    assert!(matches!(e, SolveError::NonFinite { t, coordinate: 1, .. } if (t - 1.0).abs() < 1e-12), "{e}");
}

/// Each reset puts the state right before the next event: the number of steps is bounded all the same.
#[test]
fn a_flood_of_events_is_an_error() {
    let mut events = [Event::new(|_, y: &[f64], _: &[f64]| y[0] - 0.5).reset(|_, y, _| y[0] = 0.5 + 1e-9)];
    let options = SolveOptions { max_steps: 1000, ..SolveOptions::default() };
    let r = turn(&mut [1.0, 0.0], (0.0, 2.0), &mut Erk::new(&TSIT5, 1, 2), &options, &mut events);
    assert!(matches!(r, Err(SolveError::TooManySteps { max_steps: 1000, .. })));
}

/// A field that jumps at given times, whichever side the very time belongs to: the exact answer to rounding, and no step
/// is rejected for the jump.
#[test]
fn discontinuities() {
    let jumps = [0.5, 1.25, 2.0];
    for backward in [false, true] {
        for open in [false, true] {
            for method in ALL_ERK.into_iter().filter(|m| m.embedded_order > 0) {
                let mut seen = 0;
                let mut f = field(1, |t, _y: &[f64], _p: &[f64], dy: &mut [f64]| {
                    let passed = jumps.iter().filter(|&&j| if open { t > j } else { t >= j }).count();
                    seen += 1;
                    dy[0] = [1.0, -3.0, 10.0, 0.5][passed];
                });
                let (mut times, mut span) = (jumps, (0.0, 3.0));
                if backward {
                    times.reverse();
                    span = (3.0, 0.0);
                }
                let options = SolveOptions {
                    discontinuities: &times,
                    save_at: &times,
                    step: StepSize::Adaptive { h0: None, h_max: 0.3 },
                    ..SolveOptions::tolerance(1e-9, 1e-9)
                };
                let (mut y, mut log) = ([0.0], Log::default());
                let mut erk = Erk::new(method, 1, 1);
                let stats = solve_events(
                    &mut Rhs::Field(&mut f),
                    &[],
                    &mut y,
                    span,
                    &mut erk,
                    &options,
                    &mut [],
                    &mut log,
                )
                .unwrap();
                let total = 0.5 - 3.0 * 0.75 + 10.0 * 0.75 + 0.5;
                let total = if backward { -total } else { total };
                // Each step rounds a sum below ten.
                let rounding = 10.0 * f64::EPSILON * stats.accepted as f64;
                assert!((y[0] - total).abs() < rounding, "{} {y:?} {total}", method.name);
                assert_eq!(stats.rejected, 0);
                let saved: Vec<f64> = log.saves().iter().map(|s| s.1).collect();
                assert_eq!(saved, times);
                let first = if backward { -0.5 } else { 0.5 };
                assert!((log.saves()[0].2 - first).abs() < 1e-14);
            }
        }
    }
}

/// What a discontinuity costs when it is not announced.
#[test]
fn announced_discontinuities_save_work() {
    let mut f =
        field(1, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = if t < 1.0 { -y[0] } else { 5.0 });
    let mut run = |discontinuities| {
        let options = SolveOptions { discontinuities, ..SolveOptions::tolerance(1e-10, 1e-10) };
        let mut y = [1.0];
        let stats = solve_events(
            &mut Rhs::Field(&mut f),
            &[],
            &mut y,
            (0.0, 2.0),
            &mut Erk::new(&VERN7, 1, 1),
            &options,
            &mut [],
            &mut Log::default(),
        )
        .unwrap();
        assert!((y[0] - (5.0 + (-1.0_f64).exp())).abs() < 1e-8, "{y:?}");
        stats
    };
    let (without, with) = (run(&[]), run(&[1.0]));
    assert!(
        with.rejected == 0 && without.rejected > 5 && with.work.evals < without.work.evals,
        "{with:?} {without:?}"
    );
}

/// A discontinuity at an end of the span, and two next to each other.
#[test]
fn discontinuities_in_odd_places() {
    let next = 1.0_f64.next_up();
    for times in [&[0.0][..], &[2.0], &[0.0, 2.0], &[1.0, next], &[1.0, next, next.next_up()]] {
        let options = SolveOptions {
            discontinuities: times,
            save_at: &[0.0, 1.0, 2.0],
            ..SolveOptions::tolerance(1e-10, 1e-10)
        };
        let (log, _) =
            turn(&mut [1.0, 0.0], (0.0, 2.0), &mut Erk::new(&TSIT5, 1, 2), &options, &mut []).unwrap();
        let saves = log.saves();
        assert_eq!(saves.len(), 3);
        for (_, t, x) in saves {
            assert!((x - t.cos()).abs() < 1e-8, "{times:?} {t} {x}");
        }
    }
    for times in [&[-0.1][..], &[2.1], &[1.0, 1.0], &[f64::NAN]] {
        let options = SolveOptions { discontinuities: times, ..SolveOptions::default() };
        let r = turn(&mut [1.0, 0.0], (0.0, 2.0), &mut Erk::new(&TSIT5, 1, 2), &options, &mut []);
        assert!(matches!(r, Err(SolveError::InvalidTime { .. })));
    }
}

/// A dose at a time that is also a discontinuity: told once, given once, by every kind of method.
#[test]
fn events_at_discontinuities() {
    for terminal in [false, true] {
        let mut f =
            field(1, |t, _y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = if t < 1.0 { 1.0 } else { 0.0 });
        let dose = Event::new(|t, _y: &[f64], _p| t - 1.0).reset(|_t, y, _p| y[0] += 10.0);
        let mut events = [if terminal { dose.terminal() } else { dose }];
        let options = SolveOptions { discontinuities: &[1.0], ..SolveOptions::tolerance(1e-6, 1e-6) };
        for mut stepper in [
            Box::new(Erk::new(&TSIT5, 1, 1)) as Box<dyn Stepper<f64>>,
            Box::new(Radau5::new(1, 1)),
            Box::new(Bdf::new(1, 1)),
        ] {
            let (mut y, mut log) = ([0.0], Log::default());
            let rhs = &mut Rhs::Field(&mut f);
            let stats =
                solve_events(rhs, &[], &mut y, (0.0, 2.0), &mut *stepper, &options, &mut events, &mut log)
                    .unwrap();
            assert_eq!((log.events().len(), stats.events), (1, 1));
            assert!((y[0] - 11.0).abs() < 1e-6 && (log.events()[0].1 - 1.0).abs() < 1e-15, "{y:?}");
            assert_eq!(matches!(stats.stopped, Stopped::Event { index: 0, .. }), terminal);
        }
    }
}
