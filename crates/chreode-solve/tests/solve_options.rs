//! What a run may be told, and what it says when it cannot go on.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{FieldError, VectorField, field};
use chreode_solve::{
    Bdf, DenseOutput, EULER, Erk, ErkTableau, HEUN, MIDPOINT, Observer, RK4, Rhs, SolveError, SolveOptions,
    Stats, StepRecord, StepSize, Stepper, TSIT5, solve, solve_observed,
};
use chreode_testkit::{Duffing, LotkaVolterra, Rational, SmoothField};
use proptest::prelude::*;

/// Index, time, value.
type Saved = (usize, f64, f64);

/// Runs `y' = -2ty²` and returns what was saved.
fn rational(span: (f64, f64), options: &SolveOptions<'_>) -> Result<(Vec<Saved>, Stats), SolveError> {
    let mut y = [Rational::exact(span.0, 1.0, 1.0)];
    let mut saved = Vec::new();
    let mut erk = Erk::new(&TSIT5, 1, 1);
    let stats =
        solve(&mut SmoothField(Rational), &[1.0], &mut y, span, &mut erk, options, &mut |i, t, y| {
            saved.push((i, t, y[0]));
        })?;
    Ok((saved, stats))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Saved times come in order and exact, ends included, forward and backward, landing or not, any mode.
    #[test]
    fn saves(inside in prop::collection::vec(0.001..0.999_f64, 0..8), backward: bool, land: bool, fixed: bool) {
        let span = if backward { (2.0, -1.0) } else { (-1.0, 2.0) };
        let mut at: Vec<f64> = inside.iter().map(|x| span.0 + x * (span.1 - span.0)).chain([span.0, span.1]).collect();
        at.sort_by(f64::total_cmp);
        at.dedup();
        if backward { at.reverse(); }
        let base = if fixed { SolveOptions::fixed(0.01) } else { SolveOptions::tolerance(1e-9, 1e-9) };
        let (saved, _) = rational(span, &SolveOptions { save_at: &at, land_on_saves: land, ..base }).unwrap();
        prop_assert_eq!(saved.len(), at.len());
        for (j, (i, t, y)) in saved.into_iter().enumerate() {
            prop_assert!(i == j && t == at[j]);
            prop_assert!((y - Rational::exact(t, 1.0, 1.0)).abs() < 1e-7, "{t} {y}");
        }
    }

    /// With landing, steps join up, end at every saved time, and are no longer than `h_max`.
    #[test]
    fn landing(inside in prop::collection::vec(0.0..1.0_f64, 1..8), h_max in 0.01..1.0_f64, fixed: bool) {
        struct Steps { now: f64, h_max: f64, ends: Vec<f64>, saved: Vec<f64> }
        impl Observer<f64> for Steps {
            fn step(&mut self, r: StepRecord<'_, f64>) {
                assert!(r.t == self.now && r.t_end > r.t && r.t_end - r.t <= self.h_max * (1.0 + 1e-8));
                assert!(r.y.len() == 2 && r.y_end.len() == 2 && r.y != r.y_end);
                self.now = r.t_end;
                self.ends.push(r.t_end);
            }
            fn save(&mut self, _i: usize, t: f64, _y: &[f64]) {
                assert_eq!(t, self.now);
                self.saved.push(t);
            }
        }
        let mut at = inside;
        at.sort_by(f64::total_cmp);
        at.dedup();
        let step = if fixed { StepSize::Fixed(h_max) } else { StepSize::Adaptive { h0: None, h_max } };
        let options = SolveOptions { save_at: &at, land_on_saves: true, step, ..SolveOptions::default() };
        let mut steps = Steps { now: 0.0, h_max, ends: vec![], saved: vec![] };
        let mut erk = Erk::new(&TSIT5, 1, 2);
        let p = [0.2, -1.0, 1.0, 0.3, 1.2];
        let stats = solve_observed(&mut Rhs::Field(&mut SmoothField(Duffing)), &p, &mut [0.5, 0.0], (0.0, 1.0), &mut erk, &options, &mut steps).unwrap();
        prop_assert_eq!(steps.ends.len() as u64, stats.accepted);
        prop_assert_eq!(steps.saved, at);
        prop_assert_eq!(steps.now, 1.0);
    }

    /// One state of n trajectories and n runs of one: the same numbers with fixed steps, to the bit, though the
    /// small states take a path of their own.
    #[test]
    fn trajectories_are_independent(y0 in prop::collection::vec(0.3..2.0_f64, 2 * 5), method in prop::sample::select(&chreode_solve::ALL_ERK[..])) {
        let run = |y: &mut [f64]| {
            let mut erk = Erk::new(method, y.len() / 2, 2);
            let mut mid = Vec::new();
            let options = SolveOptions { save_at: &[0.333], ..SolveOptions::fixed(0.1) };
            solve(&mut SmoothField(LotkaVolterra), &[1.5, 1.0, 0.75, 3.0], y, (0.0, 1.0), &mut erk, &options, &mut |_, _, y| mid.extend_from_slice(y)).unwrap();
            mid
        };
        let mut all = y0.clone();
        let all_mid = run(&mut all);
        for i in 0..5 {
            let mut one = y0[2 * i..2 * i + 2].to_vec();
            let mid = run(&mut one);
            prop_assert_eq!(&one[..], &all[2 * i..2 * i + 2]);
            prop_assert_eq!(&mid[..], &all_mid[2 * i..2 * i + 2]);
        }
    }
}

/// Saving does not change the steps unless they must land on it.
#[test]
fn dense_output_leaves_the_steps_alone() {
    let options = SolveOptions::tolerance(1e-8, 1e-8);
    let at: Vec<f64> = (0..50).map(|i| f64::from(i) * 0.04).collect();
    let (_, without) = rational((0.0, 2.0), &options).unwrap();
    let (_, with) = rational((0.0, 2.0), &SolveOptions { save_at: &at, ..options }).unwrap();
    assert_eq!(without, with);
    let (_, landing) =
        rational((0.0, 2.0), &SolveOptions { save_at: &at, land_on_saves: true, ..options }).unwrap();
    assert!(landing.accepted >= 50 && landing.accepted > with.accepted);
}

/// Landing on one time in the middle costs a few steps, not a collapse of the step size.
#[test]
fn a_stop_does_not_shrink_the_steps_after_it() {
    let options = SolveOptions::tolerance(1e-8, 1e-8);
    let (_, free) = rational((0.0, 2.0), &options).unwrap();
    for at in [[0.5, 0.500_001], [1.0, 1.001], [1.5, 1.5 + 1e-9]] {
        let (_, s) =
            rational((0.0, 2.0), &SolveOptions { save_at: &at, land_on_saves: true, ..options }).unwrap();
        assert!(s.accepted <= free.accepted + 4, "{at:?}: {} {}", s.accepted, free.accepted);
    }
}

#[test]
fn there_and_back() {
    let mut lv = SmoothField(LotkaVolterra);
    let p = [1.5, 1.0, 0.75, 3.0];
    let (mut y, mut erk) = ([1.0_f64, 0.5], Erk::new(&TSIT5, 1, 2));
    let options = SolveOptions::tolerance(1e-12, 1e-12);
    solve(&mut lv, &p, &mut y, (0.0, 5.0), &mut erk, &options, &mut |_, _, _| {}).unwrap();
    let s = solve(&mut lv, &p, &mut y, (5.0, 0.0), &mut erk, &options, &mut |_, _, _| {}).unwrap();
    assert!((y[0] - 1.0).abs() < 1e-9 && (y[1] - 0.5).abs() < 1e-9, "{y:?}");
    assert!(s.h_next < 0.0);
}

#[test]
fn single_precision() {
    let (mut y, mut erk) = ([1.0_f32], Erk::new(&TSIT5, 1, 1));
    let options = SolveOptions::tolerance(1e-5, 1e-6);
    solve(&mut SmoothField(Rational), &[1.0], &mut y, (0.0, 2.0), &mut erk, &options, &mut |_, _, _| {})
        .unwrap();
    assert!((y[0] - 0.2).abs() < 1e-5, "{y:?}");
}

/// Two steps of half the length of the classical method as one method of 8 stages: a tableau of the user's own,
/// longer than the unrolled sums.
#[test]
fn own_tableau() {
    const TWICE: ErkTableau = ErkTableau {
        name: "RK4 twice",
        order: 4,
        embedded_order: 0,
        fsal: false,
        a: &[
            &[],
            &[0.25],
            &[0.0, 0.25],
            &[0.0, 0.0, 0.5],
            &[1.0 / 12.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 12.0],
            &[1.0 / 12.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 12.0, 0.25],
            &[1.0 / 12.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 12.0, 0.0, 0.25],
            &[1.0 / 12.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 12.0, 0.0, 0.0, 0.5],
        ],
        b: &[1.0 / 12.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 12.0, 1.0 / 12.0, 1.0 / 6.0, 1.0 / 6.0, 1.0 / 12.0],
        b_err: &[],
        lower: None,
        c: &[0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0],
        dense: DenseOutput::Hermite,
    };
    const _: () = assert!(TWICE.is_consistent());
    for n in [1, 7] {
        let run = |m: &'static ErkTableau, h: f64| {
            let mut y = vec![0.7_f64; n];
            solve(
                &mut SmoothField(Rational),
                &[1.0],
                &mut y,
                (0.1, 1.1),
                &mut Erk::new(m, n, 1),
                &SolveOptions::fixed(h),
                &mut |_, _, _| {},
            )
            .unwrap();
            y
        };
        for (a, b) in run(&TWICE, 0.2).iter().zip(run(&RK4, 0.1)) {
            assert!((a - b).abs() < 1e-15, "{a} {b}");
        }
    }
}

/// Defined for y < 1 only; steps that leave the domain are tried again smaller.
#[test]
fn recoverable_errors_shorten_the_step() {
    let mut outside = 0;
    let mut f = field(1, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        if y[0] >= 1.0 {
            outside += 1;
            return Err(FieldError::Recoverable { t, what: "logarithm of a negative number" });
        }
        dy[0] = -(1.0 - y[0]).ln() + 0.1 * (1.0 - y[0]);
        dy[0] *= 20.0 * (1.0 - y[0]);
        Ok(())
    });
    let (mut y, mut erk) = ([0.0], Erk::new(&TSIT5, 1, 1));
    let step = StepSize::Adaptive { h0: Some(5.0), h_max: 10.0 };
    let options = SolveOptions { step, ..SolveOptions::tolerance(1e-3, 1e-3) };
    let stats = solve(&mut f, &[], &mut y, (0.0, 0.3), &mut erk, &options, &mut |_, _, _| {}).unwrap();
    assert!(stats.field_failures > 0 && y[0] < 1.0, "{stats:?} {y:?}");
    assert_eq!(stats.field_failures, outside);
}

/// Fails, or is not finite, from t = 0.5 on: no step size helps.
fn wall(kind: u8) -> impl VectorField<f64> {
    field(2, move |t, _y: &[f64], _p: &[f64], dy: &mut [f64]| {
        dy.fill(1.0);
        match kind {
            0 if t >= 0.5 => Err(FieldError::Recoverable { t, what: "wall" }),
            1 if t >= 0.5 => Err(FieldError::Fatal { t, what: "wall" }),
            2 if t >= 0.5 => {
                dy[1] = f64::NAN;
                Ok(())
            }
            3 if t >= 0.5 => {
                dy[1] = 1e308 * 10.0;
                Ok(())
            }
            _ => Ok(()),
        }
    })
}

#[test]
fn walls() {
    let run = |kind, options: &SolveOptions<'_>| {
        let mut y = [0.0; 4];
        let r = solve(
            &mut wall(kind),
            &[],
            &mut y,
            (0.0, 1.0),
            &mut Erk::new(&TSIT5, 2, 2),
            options,
            &mut |_, _, _| {},
        );
        (r.unwrap_err(), y)
    };
    let adaptive = SolveOptions::default();
    let (e, y) = run(0, &adaptive);
    assert!(
        matches!(e, SolveError::Field(FieldError::Recoverable { t, what: "wall" }) if (t - 0.5).abs() < 1e-9),
        "{e}"
    );
    assert!((y[0] - 0.5).abs() < 1e-9, "the state of the last accepted step: {y:?}");
    let (e, _) = run(1, &adaptive);
    assert!(matches!(e, SolveError::Field(FieldError::Fatal { .. })), "{e}");
    for kind in [2, 3] {
        let (e, _) = run(kind, &adaptive);
        assert!(matches!(e, SolveError::NonFinite { .. } | SolveError::NonFiniteDerivative { .. }), "{e}");
    }
    let (e, y) = run(0, &SolveOptions::fixed(0.1));
    assert!(matches!(e, SolveError::Field(FieldError::Recoverable { .. })), "{e}");
    assert!((y[0] - 0.4).abs() < 1e-12, "{y:?}");
    match run(2, &SolveOptions::fixed(0.15)).0 {
        SolveError::NonFinite { t, trajectory: 0, coordinate: 1 } => assert!((t - 4.0 / 7.0).abs() < 1e-12),
        e => panic!("{e}"),
    }
}

#[test]
fn blow_up_is_a_step_size_error() {
    let mut f = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = y[0] * y[0]); // 1 / (1 - t)
    let (mut y, mut erk) = ([1.0], Erk::new(&TSIT5, 1, 1));
    match solve(&mut f, &[], &mut y, (0.0, 2.0), &mut erk, &SolveOptions::default(), &mut |_, _, _| {}) {
        Err(SolveError::StepSizeTooSmall { t, h, h_min }) => assert!((t - 1.0).abs() < 1e-6 && h < h_min),
        other => panic!("{other:?}"),
    }
}

#[test]
fn bad_input_is_an_error_before_anything_runs() {
    let mut evals = 0;
    let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        evals += 1;
        dy.copy_from_slice(y);
    });
    let mut run = |y: &mut [f64], span, method, options: &SolveOptions<'_>| {
        solve(&mut f, &[], y, span, &mut Erk::new(method, 2, 2), options, &mut |_, _, _| {}).unwrap_err()
    };
    let (ok, span) = (SolveOptions::default(), (0.0, 1.0));
    let nan = run(&mut [0.0, 1.0, f64::NAN, 1.0], span, &TSIT5, &ok);
    assert_eq!(nan, SolveError::NonFinite { t: 0.0, trajectory: 1, coordinate: 0 });
    assert!(matches!(
        run(&mut [0.0; 3], span, &TSIT5, &ok),
        SolveError::ShapeMismatch { expected: 2, got: 3, .. }
    ));
    assert!(matches!(
        run(&mut [0.0; 2], span, &TSIT5, &ok),
        SolveError::ShapeMismatch { expected: 4, got: 2, .. }
    ));
    for m in [&EULER, &RK4] {
        assert_eq!(run(&mut [0.0; 4], span, m, &ok), SolveError::NoErrorEstimate);
    }
    for bad in [(f64::NAN, 1.0), (0.0, f64::INFINITY)] {
        assert!(matches!(run(&mut [0.0; 4], bad, &TSIT5, &ok), SolveError::InvalidOption { .. }));
    }
    let adaptive = |h0, h_max| SolveOptions { step: StepSize::Adaptive { h0, h_max }, ..ok };
    for options in [
        SolveOptions::tolerance(-1.0, 1.0),
        SolveOptions::tolerance(0.0, 0.0),
        SolveOptions::tolerance(f64::NAN, 1.0),
        SolveOptions::fixed(0.0),
        SolveOptions::fixed(f64::NAN),
        adaptive(Some(0.0), 1.0),
        adaptive(None, -1.0),
    ] {
        assert!(
            matches!(run(&mut [0.0; 4], span, &HEUN, &options), SolveError::InvalidOption { .. }),
            "{options:?}"
        );
    }
    for (save_at, bad) in
        [(&[0.5, 0.5][..], 1), (&[-0.1], 0), (&[0.5, 1.1], 1), (&[f64::NAN], 0), (&[0.6, 0.5], 1)]
    {
        match run(&mut [0.0; 4], span, &MIDPOINT, &SolveOptions { save_at, ..ok }) {
            SolveError::InvalidTime { index, .. } => assert_eq!(index, bad),
            e => panic!("{e}"),
        }
    }
    assert_eq!(evals, 0);
    let few = SolveOptions { max_steps: 3, ..SolveOptions::fixed(0.1) };
    let mut f = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = y[0]);
    let e = solve(&mut f, &[], &mut [1.0], span, &mut Erk::new(&HEUN, 1, 1), &few, &mut |_, _, _| {})
        .unwrap_err();
    assert!(matches!(e, SolveError::TooManySteps { t, max_steps: 3 } if (t - 0.3).abs() < 1e-12), "{e}");
}

/// A run that would end where it starts is a mistake of its caller, whatever the method; one of no trajectories is over at once.
#[test]
fn nothing_to_do() {
    let mut saved = 0;
    let mut f = field(1, |_t, _y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = f64::NAN);
    for stepper in [&mut Erk::new(&TSIT5, 1, 1) as &mut dyn Stepper<f64>, &mut Bdf::new(1, 1)] {
        for step in [SolveOptions::default(), SolveOptions::fixed(0.1)] {
            let options = SolveOptions { save_at: &[1.5], ..step };
            let mut y = [3.0];
            let save = &mut |_: usize, _: f64, _: &[f64]| saved += 1;
            let error = solve(&mut f, &[], &mut y, (1.5, 1.5), stepper, &options, save).unwrap_err();
            assert!(matches!(error, SolveError::InvalidOption { what: "end time", got: 1.5, .. }), "{error}");
            assert_eq!(error.to_string(), "end time must be another than the start time, got 1.5");
        }
    }
    assert_eq!(saved, 0);
    let options = SolveOptions { save_at: &[1.0, 1.5], ..SolveOptions::default() };
    let stats =
        solve(&mut f, &[], &mut [], (1.0, 2.0), &mut Erk::new(&TSIT5, 0, 1), &options, &mut |_, _, _| {
            saved += 1;
        })
        .unwrap();
    assert_eq!((stats, saved), (Stats::default(), 2));
}

/// A step that no time can show is an error at once, and so is a method whose trajectories are not the field's.
#[test]
fn steps_and_sizes_that_cannot_be() {
    let mut f = field(3, |_t, _y: &[f64], _p: &[f64], dy: &mut [f64]| dy.fill(1.0));
    let mut run = |options: SolveOptions<'_>, stepper: &mut dyn Stepper<f64>| {
        let mut y = [0.0; 3];
        solve(&mut f, &[], &mut y, (1.7e12, 1.7e12 + 1e4), stepper, &options, &mut |_, _, _| {}).map(|_| y[0])
    };
    let end = run(SolveOptions::tolerance(1e-6, 1e-6), &mut Erk::new(&TSIT5, 1, 3)).unwrap();
    assert!((end - 1e4).abs() < 1.0, "{end}");
    for step in [StepSize::Fixed(1e-20), StepSize::Adaptive { h0: None, h_max: 1e-20 }] {
        let error = run(SolveOptions { step, ..SolveOptions::default() }, &mut Erk::new(&TSIT5, 1, 3));
        assert!(
            matches!(error, Err(SolveError::StepSizeTooSmall { t, .. }) if t == 1.7e12),
            "{step:?} {error:?}"
        );
    }
    for stepper in [&mut Erk::new(&TSIT5, 3, 1) as &mut dyn Stepper<f64>, &mut Bdf::new(3, 1)] {
        let error = run(SolveOptions::default(), stepper);
        assert!(matches!(error, Err(SolveError::ShapeMismatch { expected: 1, got: 3, .. })), "{error:?}");
    }
}
