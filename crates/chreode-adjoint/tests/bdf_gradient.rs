//! Gradients through runs of the multistep method against finite differences of the same steps, which are solved again on their own.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod frozen;

use chreode_adjoint::{AdjointError, Checkpoints, OdeAdjoint, OdeMethod, recomputed_steps};
use chreode_core::{Real, Vjp};
use chreode_solve::{SolveOptions, Tolerance};
use chreode_testkit::{LotkaVolterra, SmoothField, central_difference, compare};
use frozen::ndf::{Ndf, Step, steps};
use frozen::{Problem, difference, problems};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// `Σ_i weights_i · y(t_i)` for frozen steps.
fn value(
    f: &mut dyn Vjp<f64>,
    steps: &[Step],
    (y0, p): (&[f64], &[f64]),
    at: &[f64],
    weights: &[Vec<f64>],
) -> f64 {
    let dot = |y: &[f64], w: &[f64]| y.iter().zip(w).map(|(y, w)| y * w).sum::<f64>();
    let mut sum = 0.0;
    let mut y = y0.to_vec();
    let mut ndf: Option<Ndf> = None;
    for &step in steps {
        let (t, t_end, _, starts) = step;
        let mut now = match ndf.take() {
            Some(ndf) if !starts => ndf,
            _ => Ndf::start(f, (t, t_end), &y, p),
        };
        now.step(f, step, t_end - t, p);
        y.copy_from_slice(&now.past[0]);
        ndf = Some(now);
        for (at, weights) in at.iter().zip(weights) {
            if *at == t_end {
                sum += dot(&y, weights);
            }
        }
    }
    sum
}

/// The gradients in start state and parameters of `Σ_i weights_i · y(t_i)`.
fn gradient<T: Real>(
    f: &mut dyn Vjp<T>,
    adjoint: &mut OdeAdjoint<T>,
    (y0, p): (&[T], &[T]),
    at: &[f64],
    options: &SolveOptions<'_>,
    weights: &[Vec<T>],
) -> (Vec<T>, Vec<T>) {
    let (mut y, options) = (y0.to_vec(), SolveOptions { save_at: at, ..*options });
    adjoint.forward(f, p, &mut y, (0.0, at[at.len() - 1]), &options, &mut |_, _, _| {}).unwrap();
    let bars: Vec<&[T]> = weights.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![T::ZERO; y0.len()], vec![T::ZERO; p.len()]);
    adjoint.backward(f, p, &bars, &mut y0_bar, &mut p_bar).unwrap();
    (y0_bar, p_bar)
}

const SPANS: [(&str, f64); 8] = [
    ("Robertson", 1e4),
    ("HIRES", 50.0),
    ("OREGO", 20.0),
    ("van der Pol 1e3", 0.7), // before its jump, which no difference resolves
    ("van der Pol 1e6", 0.7),
    ("E5", 1e3),
    ("POLLU", 10.0),
    ("ring modulator", 2e-6),
];

/// Several trajectories from `y0`, in units of the coordinates' sizes, against differences along directions; returns the least error
/// over lengths of the difference (`frozen`; else 0). Also how far the gradient from the kept states of the forward run is off, and the
/// number of steps.
fn check(
    problem: &mut Problem,
    n: usize,
    rng: &mut Pcg64,
    options: &SolveOptions<'_>,
    frozen: bool,
) -> (f64, f64, usize) {
    let d = problem.y0.len();
    let mut draw = |size: f64| size * rng.random_range(-1.0..1.0);
    let y0: Vec<f64> = (0..n * d).map(|i| problem.y0[i % d] * (1.0 + draw(0.05))).collect();
    let p: Vec<f64> = (0..problem.f.np()).map(|_| 1.0 + draw(0.05)).collect();
    let at = [0.4 * problem.t_end, problem.t_end];
    let scale: Vec<f64> = (0..n * d).map(|i| problem.scale[i % d].max(1e-30)).collect();
    let weights: Vec<Vec<f64>> = (0..2).map(|_| scale.iter().map(|s| draw(1.0) / s).collect()).collect();
    let f = &mut problem.f;
    let mut adjoint = OdeAdjoint::with_checkpoints(OdeMethod::Bdf, n, d, Checkpoints::States(1)).unwrap();
    let exact = gradient(f, &mut adjoint, (&y0, &p), &at, options, &weights);
    let steps = steps(&adjoint);
    let mut all = OdeAdjoint::new(OdeMethod::Bdf, n, d);
    let kept = gradient(f, &mut all, (&y0, &p), &at, options, &weights);
    let scaled = |(y0_bar, p_bar): (Vec<f64>, Vec<f64>)| -> Vec<f64> {
        y0_bar.iter().zip(&scale).map(|(a, s)| a * s).chain(p_bar).collect()
    };
    let (exact, kept) = (scaled(exact), scaled(kept));
    let len = exact.len();
    let directions: Vec<Vec<f64>> = if !frozen {
        Vec::new()
    } else if n * d <= 4 {
        (0..len).map(|i| (0..len).map(|k| f64::from(u8::from(k == i))).collect()).collect()
    } else {
        (0..4).map(|_| (0..len).map(|_| draw(1.0)).collect()).collect()
    };
    let along: Vec<f64> = directions.iter().map(|x| x.iter().zip(&exact).map(|(x, g)| x * g).sum()).collect();
    // Fast phases of relaxation oscillations curve on scales that are not known before.
    let mut error = f64::INFINITY;
    for h in [1e-3, 1e-4, 1e-5, 1e-6] {
        if error > 1e-8 {
            let mut slope = |direction: &Vec<f64>| {
                let mut by = |by: f64| {
                    let x = |i: usize| by * h * direction[i];
                    let y0: Vec<f64> = (0..n * d).map(|i| y0[i] + x(i) * scale[i]).collect();
                    let p: Vec<f64> = (0..p.len()).map(|i| p[i] + x(n * d + i)).collect();
                    value(f, &steps, (&y0, &p), &at, &weights)
                };
                (8.0 * (by(1.0) - by(-1.0)) - (by(2.0) - by(-2.0))) / (12.0 * h)
            };
            error = error.min(difference(&along, &directions.iter().map(&mut slope).collect::<Vec<_>>()));
        }
    }
    (error, difference(&kept, &exact), steps.len())
}

/// At a loose tolerance, so that Newton's iteration leaves much: the gradient from steps that were taken again is exact.
#[test]
fn frozen_steps() {
    against_frozen_steps(&SPANS, &[1, 1, 3]);
}

/// Slow phases, far into the spans of the problems.
#[test]
fn frozen_steps_of_long_runs() {
    let spans = [("Robertson", 1e11), ("HIRES", 321.8122), ("E5", 1e7), ("POLLU", 60.0)];
    against_frozen_steps(&spans, &[1, 1, 1]);
}

fn against_frozen_steps(spans: &[(&str, f64)], trajectories: &[usize]) {
    let mut rng = Pcg64::seed_from_u64(7);
    for mut problem in problems(spans, OdeMethod::Bdf) {
        for &n in trajectories {
            let options = SolveOptions::tolerance(1e-4, 1e-4 * problem.floor);
            let (error, newton, steps) = check(&mut problem, n, &mut rng, &options, true);
            println!(
                "{:16} n = {n} {steps:3} steps: {error:.1e} from frozen steps; kept states {newton:.1e}",
                problem.name
            );
            assert!(error < 1e-6, "{} {error:e}", problem.name);
        }
    }
}

/// Equal steps, whose order rises from 1 to 5, in either direction of time, also where the method starts anew in the middle.
#[test]
fn fixed_steps() {
    let (y0, p) = ([1.0, 0.5, 1.3, 0.8], [1.5, 1.0, 0.75, 3.0]);
    for sign in [1.0, -1.0] {
        for breaks in [&[][..], &[0.35 * sign, 1.0 * sign]] {
            let at = [0.3, 0.7, 1.5].map(|t| sign * t);
            let weights: Vec<Vec<f64>> =
                (0..3).map(|i| (0..4).map(|j| f64::from(3 * i + j).cos()).collect()).collect();
            let options = SolveOptions {
                discontinuities: breaks,
                tolerance: Tolerance::new(1e-12, 1e-12),
                ..SolveOptions::fixed(0.02)
            };
            let mut f = SmoothField(LotkaVolterra);
            let run = |f: &mut SmoothField<LotkaVolterra>, checkpoints| {
                let mut adjoint = OdeAdjoint::with_checkpoints(OdeMethod::Bdf, 2, 2, checkpoints).unwrap();
                let g = gradient(f, &mut adjoint, (&y0, &p), &at, &options, &weights);
                (g, adjoint)
            };
            let ((y0_bar, p_bar), adjoint) = run(&mut f, Checkpoints::All);
            let steps = steps(&adjoint);
            assert_eq!(steps.iter().filter(|s| s.3).count(), 1 + breaks.len());
            assert!(steps.iter().any(|s| s.2 == 5));
            assert_eq!(adjoint.recomputed(), 0);
            let by_y0 = central_difference(&y0, |y0| value(&mut f, &steps, (y0, &p), &at, &weights));
            let by_p = central_difference(&p, |p| value(&mut f, &steps, (&y0, p), &at, &weights));
            compare("y0", &y0_bar, &by_y0, 1e-8).unwrap();
            compare("p", &p_bar, &by_p, 1e-8).unwrap();
            // The number of steps is known: the fewest possible are taken again.
            for states in [1, 3, 10] {
                let (some, adjoint) = run(&mut f, Checkpoints::States(states));
                assert_eq!(adjoint.recomputed(), recomputed_steps(steps.len(), states));
                compare("y0", &some.0, &y0_bar, 1e-9).unwrap();
                compare("p", &some.1, &p_bar, 1e-9).unwrap();
            }
        }
    }
}

/// With every state stored the gradient is that of the run that stores few: no tolerance of an iteration is left in it.
#[test]
fn kept_states_are_solved_to_rounding() {
    for mut problem in problems(&SPANS, OdeMethod::Bdf) {
        for rtol in [1e-4, 1e-6, 1e-8] {
            let mut rng = Pcg64::seed_from_u64(3);
            let options = SolveOptions::tolerance(rtol, rtol * problem.floor);
            let (_, missed, steps) = check(&mut problem, 1, &mut rng, &options, false);
            println!("{:16} {rtol:.0e} {steps:4} steps: {missed:.1e}", problem.name);
            assert!(missed < 1e-6, "{} {rtol:e}: {missed:e}", problem.name);
        }
    }
}

/// With every state stored, nothing is taken again, however often one goes back.
#[test]
fn again_and_again() {
    let (mut f, p, weights) = (SmoothField(LotkaVolterra), [1.5, 1.0, 0.75, 3.0], [[1.0, -0.3]; 2]);
    let mut adjoint = OdeAdjoint::new(OdeMethod::Bdf, 1, 2);
    let options = SolveOptions { save_at: &[1.0, 2.0], ..SolveOptions::tolerance(1e-6, 1e-6) };
    for end in [2.0, 1.0] {
        let options = SolveOptions { save_at: &options.save_at[..end as usize], ..options };
        adjoint.forward(&mut f, &p, &mut [1.0, 0.5], (0.0, end), &options, &mut |_, _, _| {}).unwrap();
        let bars: Vec<&[f64]> = weights[..end as usize].iter().map(|w| &w[..]).collect();
        let mut back = || {
            let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
            adjoint.backward(&mut f, &p, &bars, &mut y0_bar, &mut p_bar).unwrap();
            assert_eq!((adjoint.recomputed(), adjoint.stored_states()), (0, adjoint.steps().len()));
            (y0_bar, p_bar)
        };
        assert_eq!(back(), back());
    }
}

/// A state is kept with five differences.
#[test]
fn too_small_a_budget() {
    let least =
        |checkpoints| OdeAdjoint::<f64>::with_checkpoints(OdeMethod::Bdf, 10, 3, checkpoints).map(|_| ());
    let error = AdjointError::CheckpointsTooFew { what: "bytes", got: 1439, least: 1440 };
    assert_eq!(least(Checkpoints::Bytes(1439)), Err(error));
    assert_eq!(least(Checkpoints::Bytes(1440)), Ok(()));
}
