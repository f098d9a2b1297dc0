//! The lane ensemble against single runs, and what becomes of a trajectory that fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_core::{Dynamics, Number, Tolerance, VectorField, field, put, take};
use chreode_solve::{
    Erk, LaneError, LaneRuns, PerTrajectory, SolveError, SolveOptions, Stats, StepSize, TSIT5, solve,
    solve_lanes,
};
use chreode_testkit::{BrusselatorLine, Lorenz, Toggle, observed_order};
use proptest::prelude::*;

/// One trajectory by `solve`: its end, its saved states, its outcome.
fn single<D: Dynamics>(
    model: &D,
    p: &[f64],
    y0: &[f64],
    span: (f64, f64),
    options: &SolveOptions<'_>,
) -> (Vec<f64>, Vec<f64>, Result<Stats, SolveError>) {
    let mut f = field(model.dim(), |t, y: &[f64], p: &[f64], dy: &mut [f64]| model.eval(t, y, p, dy));
    let (mut y, mut saved) = (y0.to_vec(), Vec::new());
    let mut erk = Erk::new(&TSIT5, 1, f.dim());
    let outcome =
        solve(&mut f, p, &mut y, span, &mut erk, options, &mut |_, _, y| saved.extend_from_slice(y));
    (y, saved, outcome)
}

fn close(a: &[f64], b: &[f64], tol: f64) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= tol * b.abs().max(1.0))
}

fn lorenz_parameters(n: usize) -> Vec<f64> {
    (0..n).flat_map(|i| [10.0, 21.0 * i as f64 / n as f64, 8.0 / 3.0]).collect()
}

#[test]
fn the_states_and_steps_of_single_runs() {
    let n = 1100; // three tiles, the last one small
    let p = lorenz_parameters(n);
    let mut y = [1.0, 0.0, 0.0].repeat(n);
    let save_at = [0.0, 0.1, 0.15, 0.9, 1.0];
    for land_on_saves in [false, true] {
        let options =
            SolveOptions { save_at: &save_at, land_on_saves, ..SolveOptions::tolerance(1e-6, 1e-8) };
        let mut y = y.clone();
        let runs =
            solve_lanes(&Lorenz, &p, &mut y, PerTrajectory::Same((0.0, 1.0)), PerTrajectory::Same(options))
                .unwrap();
        let mut steps = 0;
        for i in 0..n {
            let (end, saved, stats) =
                single(&Lorenz, &p[3 * i..3 * i + 3], &[1.0, 0.0, 0.0], (0.0, 1.0), &options);
            let (stats, lane) = (stats.unwrap(), runs.outcomes()[i].as_ref().unwrap());
            // Step sizes differ: a single run takes logarithms to seven digits, and an error estimate is a difference, whose rounding
            // is large beside a small estimate. States differ by what that changes in their error.
            assert!(close(&y[3 * i..3 * i + 3], &end, 1e-11), "{i}: {:?} {end:?}", &y[3 * i..3 * i + 3]);
            // Dense output is of order 4, and feels the rounding of step sizes the more.
            assert!(close(runs.saved(i), &saved, 1e-10), "{i}: {:?} {saved:?}", runs.saved(i));
            assert_eq!((stats.accepted, stats.rejected), (lane.accepted, lane.rejected), "{i}");
            assert_eq!(stats.work, lane.work);
            // The plan after a step cut short may rest on an error that is rounding.
            assert!((stats.h_next / lane.h_next - 1.0).abs() < 0.05, "{i}: {stats:?} {lane:?}");
            steps += stats.accepted;
        }
        assert_eq!(runs.total().unwrap().accepted, steps);
    }
    // Backward in time to where they came from.
    let tight = SolveOptions::tolerance(1e-11, 1e-11);
    let there = y.clone();
    let run = |y: &mut [f64], span| {
        solve_lanes(&Lorenz, &p, y, PerTrajectory::Same(span), PerTrajectory::Same(tight))
            .unwrap()
            .total()
            .unwrap()
    };
    run(&mut y, (0.0, 0.5));
    assert!(run(&mut y, (0.5, 0.0)).accepted > 0);
    assert!(close(&y, &there, 1e-7));
}

#[test]
fn powers_exponentials_and_branches() {
    let (n, p) = (40, [3.0, 2.5, 2.7, 0.4, 0.8]);
    let y0: Vec<f64> = (0..n).flat_map(|i| [0.05 * i as f64, 2.0 - 0.05 * i as f64]).collect();
    let mut y = y0.clone();
    // Where the stimulus ends is a discontinuity, and the run stops there.
    let options =
        SolveOptions { save_at: &[5.0, 20.0], land_on_saves: true, ..SolveOptions::tolerance(1e-8, 1e-10) };
    let model = Toggle { off: 5.0 };
    let runs =
        solve_lanes(&model, &p, &mut y, PerTrajectory::Same((0.0, 30.0)), PerTrajectory::Same(options))
            .unwrap();
    for i in 0..n {
        let (end, saved, stats) = single(&model, &p, &y0[2 * i..2 * i + 2], (0.0, 30.0), &options);
        assert!(close(&y[2 * i..2 * i + 2], &end, 1e-11), "{i}");
        assert!(close(runs.saved(i), &saved, 1e-11));
        assert_eq!(stats.unwrap().accepted, runs.outcomes()[i].as_ref().unwrap().accepted);
    }
}

/// Every trajectory with a span, tolerances, save times and limits of its own.
#[test]
fn each_trajectory_as_it_likes() {
    let model = BrusselatorLine { points: 4 };
    let n = 37;
    let p = [1.0, 3.0, 0.02];
    let mut y: Vec<f64> = model.start().repeat(n);
    let times: Vec<Vec<f64>> = (0..n).map(|i| (0..i % 5).map(|k| 0.3 * (k + 1) as f64).collect()).collect();
    let atols: Vec<[f64; 8]> = (0..n).map(|i| [1e-6 / (i + 1) as f64; 8]).collect();
    let spans: Vec<(f64, f64)> = (0..n).map(|i| (0.0, 1.5 + 0.1 * i as f64)).collect();
    let options: Vec<SolveOptions<'_>> = (0..n)
        .map(|i| SolveOptions {
            tolerance: Tolerance::new(1e-5 / (1 + i) as f64, &atols[i]),
            save_at: &times[i],
            step: StepSize::Adaptive { h0: (i % 3 == 0).then_some(0.01), h_max: 0.2 + 0.01 * i as f64 },
            land_on_saves: i % 2 == 0,
            ..SolveOptions::default()
        })
        .collect();
    let runs =
        solve_lanes(&model, &p, &mut y, PerTrajectory::Each(&spans), PerTrajectory::Each(&options)).unwrap();
    for i in 0..n {
        let (end, saved, stats) = single(&model, &p, &model.start(), spans[i], &options[i]);
        assert!(close(&y[8 * i..8 * i + 8], &end, 1e-11), "{i}");
        assert!(close(runs.saved(i), &saved, 1e-11), "{i}");
        assert_eq!(stats.unwrap().accepted, runs.outcomes()[i].as_ref().unwrap().accepted, "{i}");
    }
}

/// dy = y², which has no value from t = 1 / y0 on, and dy = ln y, NaN below zero.
struct Blowing;
impl Dynamics for Blowing {
    fn dim(&self) -> usize {
        1
    }
    fn n_params(&self) -> usize {
        1
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([y], [kind]) = (take(y), take(p));
        put(dy, [S::select(kind.lt(S::c(0.5)), y * y, y.ln())]);
    }
}

#[test]
fn failures_stay_with_their_trajectory() {
    let starts = [0.1, 2.0, 0.2, f64::NAN, 0.3, 0.5, 0.9];
    let p = [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let mut y = starts;
    let limited = SolveOptions { max_steps: 3, ..SolveOptions::default() };
    let mut options = [SolveOptions::default(); 7];
    options[6] = limited;
    let runs =
        solve_lanes(&Blowing, &p, &mut y, PerTrajectory::Same((0.0, 0.8)), PerTrajectory::Each(&options))
            .unwrap();
    for i in [0, 2, 4] {
        assert!(close(&y[i..=i], &[1.0 / (1.0 / starts[i] - 0.8)], 1e-5));
        assert!(runs.outcomes()[i].is_ok());
    }
    for i in [1, 3, 5, 6] {
        let (end, _, outcome) = single(&Blowing, &p[i..=i], &starts[i..=i], (0.0, 0.8), &options[i]);
        match (&runs.outcomes()[i], &outcome) {
            // The place, which is near the singularity, not to the last bit.
            (
                Err(SolveError::StepSizeTooSmall { t, .. }),
                Err(SolveError::StepSizeTooSmall { t: other, .. }),
            )
            | (Err(SolveError::TooManySteps { t, .. }), Err(SolveError::TooManySteps { t: other, .. }))
            // At the edge of what is finite, the last bits decide which of the two it is.
            | (
                Err(SolveError::NonFinite { t, .. } | SolveError::NonFiniteDerivative { t, .. }),
                Err(SolveError::NonFinite { t: other, .. } | SolveError::NonFiniteDerivative { t: other, .. }),
            ) => {
                assert!((t - other).abs() < 1e-6, "{i}");
                assert!(i == 1 || i == 3 || close(&y[i..=i], &end, 1e-6), "{i}: {y:?} {end:?}");
            }
            (lane, single) => panic!("{i}: {lane:?} {single:?}"),
        }
    }
    assert!(
        matches!(&runs.outcomes()[3], Err(SolveError::NonFinite { t, trajectory: 3, coordinate: 0 }) if *t == 0.0)
    );
    let error = runs.total().unwrap_err();
    assert!(matches!(error, LaneError::Trajectory { trajectory: 1, .. }));
    assert!(error.to_string().starts_with("trajectory 1: "), "{error}");
}

/// A coordinate that stays zero has an error of zero, also without an absolute tolerance.
#[test]
fn a_zero_without_absolute_tolerance() {
    struct Still;
    impl Dynamics for Still {
        fn dim(&self) -> usize {
            2
        }
        #[inline(always)]
        fn eval<S: Number>(&self, _t: S, y: &[S], _p: &[S], dy: &mut [S]) {
            put(dy, [-y[0], y[1] * 2.0]);
        }
    }
    let mut y = [1.0, 0.0].repeat(3);
    let options = PerTrajectory::Same(SolveOptions::tolerance(1e-8, 0.0));
    let runs = solve_lanes(&Still, &[], &mut y, PerTrajectory::Same((0.0, 1.0)), options).unwrap();
    assert_eq!(runs.total().unwrap().rejected, 0);
    assert!(close(&y[4..], &[(-1.0_f64).exp(), 0.0], 1e-7));
}

fn ask(p: &[f64], y: &mut [f64], span: (f64, f64), options: SolveOptions<'_>) -> Result<LaneRuns, LaneError> {
    solve_lanes(&Lorenz, p, y, PerTrajectory::Same(span), PerTrajectory::Same(options))
}

#[test]
fn what_cannot_be_asked() {
    let (p, mut y, o) = ([10.0, 28.0, 2.0], [1.0; 6], SolveOptions::default());
    assert!(matches!(
        ask(&p, &mut y[..5], (0.0, 1.0), o),
        Err(LaneError::Arguments(SolveError::ShapeMismatch { got: 5, expected: 3, .. }))
    ));
    assert!(matches!(
        ask(&p[..2], &mut y, (0.0, 1.0), o),
        Err(LaneError::Arguments(SolveError::ShapeMismatch { got: 2, expected: 6, .. }))
    ));
    assert!(matches!(
        ask(&p, &mut y, (0.0, f64::NAN), o),
        Err(LaneError::Arguments(SolveError::InvalidOption { .. }))
    ));
    assert!(matches!(
        ask(&p, &mut y, (0.0, 1.0), SolveOptions::fixed(0.1)),
        Err(LaneError::Arguments(SolveError::InvalidOption { got, .. })) if got == 0.1
    ));
    assert!(matches!(
        ask(&p, &mut y, (0.0, 1.0), SolveOptions { discontinuities: &[1.5], ..o }),
        Err(LaneError::Arguments(SolveError::InvalidTime { t, .. })) if t == 1.5
    ));
    let bad = [SolveOptions::default(), SolveOptions::tolerance(-1.0, 0.0)];
    let error = solve_lanes(&Lorenz, &p, &mut y, PerTrajectory::Same((0.0, 1.0)), PerTrajectory::Each(&bad));
    assert!(matches!(error, Err(LaneError::Trajectory { trajectory: 1, .. })));
    let error = solve_lanes(&Lorenz, &p, &mut y, PerTrajectory::Each(&[(0.0, 1.0)]), PerTrajectory::Same(o));
    assert!(matches!(
        error,
        Err(LaneError::Arguments(SolveError::ShapeMismatch { got: 1, expected: 2, .. }))
    ));
    assert_eq!(y, [1.0; 6]);
    let error = ask(&p, &mut y, (1.0, 1.0), SolveOptions { save_at: &[1.0], ..o });
    assert!(matches!(
        error,
        Err(LaneError::Arguments(SolveError::InvalidOption { what: "end time", got: 1.0, .. }))
    ));
    let spans = PerTrajectory::Each(&[(0.0, 1.0), (2.0, 2.0)]);
    let error = solve_lanes(&Lorenz, &p, &mut y, spans, PerTrajectory::Same(o));
    assert!(matches!(error, Err(LaneError::Trajectory { trajectory: 1, .. })));
    assert_eq!(y, [1.0; 6]);
    assert!(ask(&p, &mut [], (0.0, 1.0), o).unwrap().outcomes().is_empty());
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let n = 1500;
    let p = lorenz_parameters(n);
    let run = |threads| {
        let mut y = [1.0, 0.0, 0.0].repeat(n);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = SolveOptions { save_at: &[0.3, 0.6], ..SolveOptions::default() };
        let runs = pool.install(|| ask(&p, &mut y, (0.0, 1.0), options)).unwrap();
        (y, runs)
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// A trajectory's bits do not depend on where it stands, nor on its neighbours.
    #[test]
    fn neighbours_do_not_matter(n in 1..40_usize, at in 0..40_usize, rho in 0.0..28.0_f64) {
        let at = at % n;
        let mut p = lorenz_parameters(n);
        p[3 * at + 1] = rho;
        let mut y = [1.0, 0.5, 0.0].repeat(n);
        let options = SolveOptions { save_at: &[0.25], ..SolveOptions::default() };
        let runs = ask(&p, &mut y, (0.0, 0.7), options).unwrap();
        let mut alone = [1.0, 0.5, 0.0];
        let own = ask(&p[3 * at..3 * at + 3], &mut alone, (0.0, 0.7), options).unwrap();
        prop_assert_eq!(&alone[..], &y[3 * at..3 * at + 3]);
        prop_assert_eq!(own.saved(0), runs.saved(at));
        prop_assert_eq!(&own.outcomes()[0], &runs.outcomes()[at]);
    }
}

/// What has no length is as in `solve`: the first save, and steps below the last digit of time.
#[test]
fn steps_of_no_length() {
    let (p, y0) = ([10.0, 28.0, 8.0 / 3.0], [1.0, 0.5, 20.0]);
    let ask = |span: (f64, f64), options: SolveOptions<'_>| {
        let mut y = y0.repeat(3);
        let runs = solve_lanes(&Lorenz, &p, &mut y, PerTrajectory::Same(span), PerTrajectory::Same(options))
            .unwrap();
        let (end, saved, outcome) = single(&Lorenz, &p, &y0, span, &options);
        for i in 0..3 {
            assert!(close(&y[3 * i..3 * i + 3], &end, 1e-9), "{span:?} {options:?} {y:?} {end:?}");
            // After an error `solve` told fewer.
            assert!(close(&runs.saved(i)[..saved.len()], &saved, 1e-9), "{span:?}");
            match (&runs.outcomes()[i], &outcome) {
                (Ok(lane), Ok(one)) => {
                    assert_eq!(
                        (lane.accepted, lane.rejected, lane.work),
                        (one.accepted, one.rejected, one.work)
                    );
                }
                (lane, one) => assert_eq!(lane, one),
            }
        }
        outcome
    };
    let plain = SolveOptions::tolerance(1e-6, 1e-8);
    for save_at in [&[2.0][..], &[2.0, 2.1], &[2.0, 2.0_f64.next_up(), 2.1]] {
        for land_on_saves in [false, true] {
            let result = ask((2.0, 2.1), SolveOptions { save_at, land_on_saves, ..plain });
            assert!(result.is_ok(), "{result:?}");
        }
    }
    // One first step is too short for the time, whether it was asked for or proposed.
    let tiny = StepSize::Adaptive { h0: Some(1e-8), h_max: f64::INFINITY };
    let e = ask((1e10, 1e10 + 1.0), SolveOptions { step: tiny, ..plain }).unwrap_err();
    assert!(matches!(e, SolveError::StepSizeTooSmall { t: 1e10, h: 1e-8, .. }), "{e}");
    let e = ask((1e14, 1e14 + 0.25), SolveOptions::tolerance(1e-12, 1e-12)).unwrap_err();
    assert!(matches!(e, SolveError::StepSizeTooSmall { t: 1e14, .. }), "{e}");
    // Save times that are the same are refused by both.
    let twice = SolveOptions { save_at: &[2.05, 2.05], ..plain };
    let one = single(&Lorenz, &p, &y0, (2.0, 2.1), &twice).2.unwrap_err();
    let lanes = solve_lanes(
        &Lorenz,
        &p,
        &mut y0.clone(),
        PerTrajectory::Same((2.0, 2.1)),
        PerTrajectory::Same(twice),
    );
    assert_eq!(lanes.unwrap_err(), LaneError::Arguments(one));
}

/// Grows as `cos t` until `p[0]`, then decays as `y²`.
struct Switched;
impl Switched {
    fn exact(at: f64, t: f64) -> f64 {
        if t < at { t.sin().exp() } else { 1.0 / ((-at.sin()).exp() + t - at) }
    }
}
impl Dynamics for Switched {
    fn dim(&self) -> usize {
        1
    }
    fn n_params(&self) -> usize {
        1
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([y], [at]) = (take(y), take(p));
        put(dy, [S::select(t.lt(at), t.cos() * y, -(y * y))]);
    }
}

/// Each lane stops at its own discontinuities, forward and backward in time, at the ends of its span and between saved times.
#[test]
fn discontinuities_of_single_runs() {
    let n = 40;
    let p: Vec<f64> = (0..n).map(|i| 0.05 * f64::from(i)).collect();
    for (span, save_at) in [((0.0, 2.0), [0.5, 1.0, 2.0]), ((2.0, 0.0), [1.5, 1.0, 0.0])] {
        for land_on_saves in [false, true] {
            let breaks: Vec<Vec<f64>> = p.iter().map(|&at| vec![at]).collect();
            let options: Vec<SolveOptions<'_>> = breaks
                .iter()
                .map(|at| SolveOptions {
                    discontinuities: at,
                    save_at: &save_at,
                    land_on_saves,
                    ..SolveOptions::tolerance(1e-9, 1e-11)
                })
                .collect();
            let start = |at: f64| Switched::exact(at, span.0);
            let mut y: Vec<f64> = p.iter().map(|&at| start(at)).collect();
            let runs =
                solve_lanes(&Switched, &p, &mut y, PerTrajectory::Same(span), PerTrajectory::Each(&options))
                    .unwrap();
            for (i, &at) in p.iter().enumerate() {
                let (end, saved, stats) = single(&Switched, &p[i..=i], &[start(at)], span, &options[i]);
                let (stats, lane) = (stats.unwrap(), runs.outcomes()[i].as_ref().unwrap());
                assert!(close(&y[i..=i], &end, 1e-11), "{i} {span:?}: {} {end:?}", y[i]);
                assert!(close(runs.saved(i), &saved, 1e-10), "{i} {span:?}: {:?} {saved:?}", runs.saved(i));
                assert_eq!((stats.accepted, stats.rejected), (lane.accepted, lane.rejected), "{i} {span:?}");
                assert_eq!(stats.work, lane.work, "{i} {span:?}");
                assert!((y[i] - Switched::exact(at, span.1)).abs() < 1e-7, "{i} {span:?}");
            }
        }
    }
}

/// Steps that end at a discontinuity keep the method's order; steps across it do not.
#[test]
fn order_across_discontinuities() {
    let p: Vec<f64> = (0..16).map(|i| 0.4 + 0.013 * f64::from(i)).collect();
    let orders = [true, false].map(|known| {
        let points = [10, 20, 40, 80].map(|steps| {
            let h = 1.0 / f64::from(steps);
            let options: Vec<SolveOptions<'_>> = p
                .chunks(1)
                .map(|at| SolveOptions {
                    discontinuities: if known { at } else { &[] },
                    step: StepSize::Adaptive { h0: Some(h), h_max: h },
                    ..SolveOptions::tolerance(1.0, 1.0) // nothing is rejected
                })
                .collect();
            let mut y = [1.0; 16];
            let span = PerTrajectory::Same((0.0, 1.0));
            let runs = solve_lanes(&Switched, &p, &mut y, span, PerTrajectory::Each(&options)).unwrap();
            assert_eq!(runs.total().unwrap().rejected, 0);
            let error = p.iter().zip(y).map(|(&at, y)| (y - Switched::exact(at, 1.0)).abs()).sum::<f64>();
            (-f64::from(steps).log2(), error.log2())
        });
        observed_order(&points)
    });
    assert!(orders[0] > 4.6 && orders[1] < 2.5, "{orders:?}");
}

/// A discontinuity at either end leaves the steps between, and one that is all of the span leaves none.
#[test]
fn discontinuities_at_the_ends() {
    let run = |span: (f64, f64), discontinuities: &[f64]| {
        let mut y = [1.0; 3];
        let save_at = &[span.0, span.1];
        let options = SolveOptions { discontinuities, save_at, ..SolveOptions::tolerance(1e-8, 1e-8) };
        let (span, options) = (PerTrajectory::Same(span), PerTrajectory::Same(options));
        let runs = solve_lanes(&Switched, &[5.0], &mut y, span, options).unwrap();
        (y[2], runs.saved(2).to_vec(), runs.total().unwrap().accepted)
    };
    let (end, saved, steps) = run((0.0, 1.0), &[0.0, 1.0]);
    assert!((end - Switched::exact(5.0, 1.0)).abs() < 1e-7 && steps > 0);
    assert_eq!(saved, [1.0, end]);
    let next = 1.0_f64.next_up();
    assert_eq!(run((1.0, next), &[1.0]), (1.0, vec![1.0, 1.0], 0));
}
