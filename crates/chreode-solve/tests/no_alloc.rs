//! Work arrays are sized once: nothing allocates inside a step.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_core::{BrownianIncrements, Calculus, NoiseKind, Tolerance};
use chreode_solve::{
    ALL_ERK, AdaptiveOptions, BrownianTree, Crossing, Erk, EulerMaruyama, Event, EveryStep, Increments,
    PerTrajectory, Rhs, SdeMethod, SolveOptions, StepSize, simulate_adaptive, solve, solve_events,
    solve_lanes,
};
use chreode_testkit::{CountingAllocator, Lorenz, RingSde, SinhSde, SmoothField, allocations_in};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn euler_maruyama_steps() {
    let (mut sde, noise) = (SinhSde { dim: 5 }, BrownianIncrements::new(1));
    let mut scheme = EulerMaruyama::new(64, 5);
    let mut y = vec![0.1_f32; 64 * 5];
    let (count, ()) = allocations_in(|| {
        for k in 0..100 {
            let t = k as f64 * 0.01;
            scheme.step(&mut sde, &noise, 7, k, t, 0.01, &mut y, &[0.5, 0.3]).unwrap();
        }
    });
    assert_eq!(count, 0);
}

/// Every stochastic method on every noise and in the calculus that it treats, with noise from a tree.
#[test]
fn stochastic_steps() {
    let noises = [NoiseKind::Additive, NoiseKind::Separable];
    let equations =
        [Calculus::Ito, Calculus::Stratonovich].map(|calculus| noises.map(|noise| (noise, calculus)));
    let all = SdeMethod::ALL
        .into_iter()
        .flat_map(|method| equations.as_flattened().iter().map(move |e| (method, e)));
    let mut treated = 0;
    for (method, &(noise, calculus)) in all {
        let mut sde = RingSde { dim: 3, noise, calculus };
        let Ok(mut scheme) = method.scheme(2, &sde) else { continue };
        treated += 1;
        let mut tree = BrownianTree::new(1, 3, (0.0, 1.0)).unwrap();
        let (mut y, mut dw, mut area) = ([0.1; 6], [0.0; 6], [0.0; 6]);
        let (count, ()) = allocations_in(|| {
            for k in 0..100 {
                let (t, h) = (f64::from(k) * 0.01, 0.01);
                for row in 0..2 {
                    let (dw, area) = (&mut dw[3 * row..3 * row + 3], &mut area[3 * row..3 * row + 3]);
                    tree.increment(row as u64, t, (t + h).min(1.0), dw, area).unwrap();
                }
                let noise = Increments { dw: &dw, area: &area };
                scheme.advance(&mut sde, noise, 0, t, h, &mut y, &[0.5]).unwrap();
            }
        });
        assert_eq!(count, 0, "{} {noise:?} {calculus:?}", method.name());
    }
    assert!(treated > SdeMethod::ALL.len(), "{treated} cases");
}

/// An adaptive run allocates as much for a hundred times the steps.
#[test]
fn adaptive_stochastic_runs() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let run = |tol: f64| {
        let options = AdaptiveOptions::new(SdeMethod::Sriw1, Tolerance::new(tol, tol), 1);
        pool.install(|| {
            allocations_in(|| {
                let (sde, y0) = (SinhSde { dim: 2 }, [0.3, -0.2].repeat(20));
                simulate_adaptive(&sde, &[0.8, 0.6], &y0, (0.0, 1.0), &[0.3, 1.0], &options).unwrap()
            })
        })
    };
    // The pool's queues allocate now and then: the least of some runs is the solver's.
    let least = |tol| (0..8).map(|_| run(tol)).min_by_key(|(count, _)| *count).unwrap();
    let ((few, rough), (many, fine)) = (least(0.1), least(1e-4));
    assert_eq!(few, many);
    assert!(fine.accepted > 20 * rough.accepted && fine.rejected > 0, "{rough:?} {fine:?}");
}

/// An ensemble in lanes allocates as much for many times the steps: for its results and its tiles, never in a step. More
/// trajectories than lanes, so that lanes are filled again; states are saved by dense output.
#[test]
fn lanes() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let run = |tol: f64| {
        let options = SolveOptions {
            save_at: &[0.25, 1.5],
            discontinuities: &[0.7],
            ..SolveOptions::tolerance(tol, tol)
        };
        let p: Vec<f64> = (0..100).flat_map(|i| [10.0, 0.28 * f64::from(i), 8.0 / 3.0]).collect();
        let mut y = [1.0, 2.0, 3.0].repeat(100);
        let (span, options) = (PerTrajectory::Same((0.0, 2.0)), PerTrajectory::Same(options));
        pool.install(|| {
            let (count, runs) = allocations_in(|| solve_lanes(&Lorenz, &p, &mut y, span, options).unwrap());
            (count, runs.total().unwrap())
        })
    };
    // As above: the pool's own.
    let least = |tol| (0..8).map(|_| run(tol)).min_by_key(|(count, _)| *count).unwrap();
    let ((few, rough), (many, fine)) = (least(1e-3), least(1e-10));
    assert_eq!(few, many);
    assert!(fine.accepted > 15 * rough.accepted && rough.rejected > 0, "{rough:?} {fine:?}");
}

/// A whole run, with its first step chosen, states saved by dense output and rejected steps.
#[test]
fn ordinary_runs() {
    let at: Vec<f64> = (0..200).map(|i| f64::from(i) * 0.01).collect();
    for method in ALL_ERK {
        for n in [1, 3] {
            let mut y = [1.0, 2.0, 3.0].repeat(n);
            let mut erk = Erk::new(method, n, 3);
            let step = match method.embedded_order {
                0 => StepSize::Fixed(0.001),
                _ => StepSize::Adaptive { h0: Some(0.5), h_max: f64::INFINITY },
            };
            let options = SolveOptions { save_at: &at, step, ..SolveOptions::tolerance(1e-7, 1e-7) };
            let p = [10.0, 28.0, 8.0 / 3.0];
            let mut sum = 0.0;
            let (count, stats) = allocations_in(|| {
                solve(&mut SmoothField(Lorenz), &p, &mut y, (0.0, 2.0), &mut erk, &options, &mut |_, _, y| {
                    sum += y[0];
                })
            });
            let stats = stats.unwrap();
            assert!(stats.accepted > 20 && (method.embedded_order == 0 || stats.rejected > 0), "{stats:?}");
            assert_eq!(count, 0, "{}", method.name);
        }
    }
}

/// Events that are told and events that reset the state, discontinuities, and every step shown.
#[test]
fn events_and_discontinuities() {
    for method in ALL_ERK.into_iter().filter(|m| m.embedded_order > 0) {
        let mut erk = Erk::new(method, 1, 3);
        let options = SolveOptions { discontinuities: &[0.3, 1.1], ..SolveOptions::tolerance(1e-6, 1e-6) };
        let (mut lorenz, mut y) = (SmoothField(Lorenz), [1.0, 2.0, 3.0]);
        let mut rhs = Rhs::Field(&mut lorenz);
        let mut events = [
            Event::new(|_, y: &[f64], _: &[f64]| y[2] - 20.0).crossing(Crossing::Rising),
            Event::new(|_, y: &[f64], _: &[f64]| y[0]).reset(|_, y, _| y[1] += 0.1),
        ];
        let mut sum = 0.0;
        let mut steps = EveryStep(|t, _: &[f64]| sum += t);
        let p = [10.0, 28.0, 8.0 / 3.0];
        let (count, stats) = allocations_in(|| {
            solve_events(&mut rhs, &p, &mut y, (0.0, 5.0), &mut erk, &options, &mut events, &mut steps)
        });
        let stats = stats.unwrap();
        assert!(stats.events >= 2, "{stats:?}");
        assert_eq!(count, 0, "{}", method.name);
    }
}
