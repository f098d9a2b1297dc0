//! Gradients through runs of implicit methods against finite differences of the same steps, solved again on their own.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod frozen;

use chreode_adjoint::{Checkpoints, OdeAdjoint, OdeMethod};
use chreode_core::Vjp;
use chreode_solve::{KENCARP4, RODAS5P, SolveOptions};
use frozen::{difference, problems};
use rand::{RngExt, SeedableRng};

/// The stiff corpus, over spans of some thirty to a hundred steps.
const SPANS: [(&str, f64); 8] = [
    ("Robertson", 100.0),
    ("HIRES", 30.0),
    ("OREGO", 20.0),
    ("van der Pol 1e3", 0.5),
    ("van der Pol 1e6", 0.5),
    ("E5", 1e3),
    ("POLLU", 5.0),
    ("ring modulator", 2e-6),
];

fn name(method: OdeMethod) -> String {
    match method {
        OdeMethod::Esdirk(m) => m.name.to_string(),
        OdeMethod::Rosenbrock(m) => m.name.to_string(),
        other => format!("{other:?}"),
    }
}

fn methods() -> [OdeMethod; 6] {
    use OdeMethod::{Radau, Radau5, Radau9, Radau13};
    [Radau5, (&KENCARP4).into(), (&RODAS5P).into(), Radau9, Radau13, Radau]
}

/// Gradients in the start state and the parameters of `Σ_i weights_i · y(t_i)`, and the steps.
fn gradient(
    f: &mut dyn Vjp<f64>,
    method: OdeMethod,
    checkpoints: Checkpoints,
    (y0, p): (&[f64], &[f64]),
    at: &[f64],
    options: &SolveOptions<'_>,
    weights: &[Vec<f64>],
) -> (Vec<f64>, Vec<f64>, OdeAdjoint<f64>) {
    let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, y0.len(), checkpoints).unwrap();
    let (mut y, options) = (y0.to_vec(), SolveOptions { save_at: at, ..*options });
    adjoint.forward(f, p, &mut y, (0.0, at[at.len() - 1]), &options, &mut |_, _, _| {}).unwrap();
    let bars: Vec<&[f64]> = weights.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![0.0; y0.len()], vec![0.0; p.len()]);
    adjoint.backward(f, p, &bars, &mut y0_bar, &mut p_bar).unwrap();
    (y0_bar, p_bar, adjoint)
}

/// At a loose tolerance, where Newton's iteration leaves much.
#[test]
fn frozen_steps() {
    against_frozen_steps(&SPANS, 1e-4, 3, &methods(), true);
}

/// A field without second derivatives.
#[test]
fn frozen_steps_by_differences() {
    against_frozen_steps(&SPANS, 1e-4, 1, &[(&RODAS5P).into()], false);
}

/// Small problems, for all methods.
#[test]
fn frozen_steps_of_tighter_tolerances() {
    let spans = [("Robertson", 100.0), ("OREGO", 5.0), ("van der Pol 1e3", 0.5), ("E5", 1e3)];
    against_frozen_steps(&spans, 1e-6, 1, &methods(), true);
    against_frozen_steps(&spans, 1e-8, 1, &methods(), true);
}

/// Slow phases, far into the spans of the problems.
#[test]
fn frozen_steps_of_long_runs() {
    let spans = [("Robertson", 1e9), ("HIRES", 321.8122)];
    against_frozen_steps(&spans, 1e-4, 3, &methods(), true);
}

fn against_frozen_steps(
    spans: &[(&str, f64)],
    tolerance: f64,
    points: usize,
    methods: &[OdeMethod],
    shows_second: bool,
) {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(7);
    for mut problem in problems(spans, OdeMethod::Radau5) {
        problem.f.shows_second = shows_second;
        for &method in methods {
            for _ in 0..points {
                let d = problem.y0.len();
                let mut draw = |size: f64| size * rng.random_range(-1.0..1.0);
                let y0: Vec<f64> = problem.y0.iter().map(|y| y * (1.0 + draw(0.05))).collect();
                let p: Vec<f64> = (0..problem.f.np()).map(|_| 1.0 + draw(0.05)).collect();
                let at = [0.4 * problem.t_end, problem.t_end];
                let weights: Vec<Vec<f64>> = (0..2)
                    .map(|_| problem.scale.iter().map(|s| draw(1.0) / s.max(1e-30)).collect())
                    .collect();
                let options = SolveOptions::tolerance(tolerance, tolerance * problem.floor);
                let f = &mut problem.f;
                let (y0_bar, p_bar, adjoint) =
                    gradient(f, method, Checkpoints::States(1), (&y0, &p), &at, &options, &weights);
                let all = gradient(f, method, Checkpoints::All, (&y0, &p), &at, &options, &weights);
                // Each of the two runs has steps of its own: the equations are solved from different guesses.
                let steps_of = |run: &OdeAdjoint<f64>| -> Vec<((f64, f64), u8)> {
                    run.steps().iter().copied().zip(run.error_orders().iter().copied()).collect()
                };
                let (steps, steps_kept) = (steps_of(&adjoint), steps_of(&all.2));
                let mut value = |x: &[f64], steps: &[((f64, f64), u8)]| {
                    let mut y: Vec<f64> = (0..d).map(|i| y0[i] + x[i] * problem.scale[i]).collect();
                    let p: Vec<f64> = p.iter().zip(&x[d..]).map(|(p, x)| p + x).collect();
                    let mut sum = 0.0;
                    for &((t, t_end), order) in steps {
                        frozen::step(f, method, (t, t_end), u32::from(order), &p, &mut y);
                        for (at, weights) in at.iter().zip(&weights) {
                            if *at == t_end {
                                sum += y.iter().zip(weights).map(|(y, w)| y * w).sum::<f64>();
                            }
                        }
                    }
                    sum
                };
                let len = d + p.len();
                // All coordinates of a small problem, some directions of others.
                let directions: Vec<Vec<f64>> = if d <= 4 {
                    (0..len).map(|i| (0..len).map(|k| f64::from(u8::from(k == i))).collect()).collect()
                } else {
                    (0..4).map(|_| (0..len).map(|_| draw(1.0)).collect()).collect()
                };
                let mut slopes = |h: f64, steps: &[((f64, f64), u8)]| -> Vec<f64> {
                    let mut slope = |direction: &Vec<f64>| {
                        let mut by =
                            |by: f64| value(&direction.iter().map(|x| by * h * x).collect::<Vec<_>>(), steps);
                        (8.0 * (by(1.0) - by(-1.0)) - (by(2.0) - by(-2.0))) / (12.0 * h)
                    };
                    directions.iter().map(&mut slope).collect()
                };
                let scaled = |y0_bar: &[f64], p_bar: &[f64]| -> Vec<f64> {
                    y0_bar
                        .iter()
                        .zip(&problem.scale)
                        .map(|(a, s)| a * s)
                        .chain(p_bar.iter().copied())
                        .collect()
                };
                let exact = scaled(&y0_bar, &p_bar);
                let along = |g: &[f64]| -> Vec<f64> {
                    directions.iter().map(|x| x.iter().zip(g).map(|(x, g)| x * g).sum()).collect()
                };
                // The fast phases of relaxation oscillations curve on scales that are not known before.
                let mut from_frozen = |gradient: &[f64], steps: &[((f64, f64), u8)]| {
                    let mut error = f64::INFINITY;
                    for h in [1e-3, 1e-4, 1e-5, 1e-6] {
                        if error > 1e-8 {
                            error = error.min(difference(&along(gradient), &slopes(h, steps)));
                        }
                    }
                    error
                };
                let error = from_frozen(&exact, &steps);
                let kept = scaled(&all.0, &all.1);
                let from_all = if steps_kept == steps {
                    difference(&kept, &exact)
                } else {
                    from_frozen(&kept, &steps_kept)
                };
                println!(
                    "{:16} {:8} {:3} steps: from frozen steps {error:.1e}, every state kept {from_all:.1e}",
                    problem.name,
                    name(method),
                    steps.len()
                );
                // Tighter runs of E5 are near the rounding of its twenty orders of magnitude.
                let rosenbrock = matches!(method, OdeMethod::Rosenbrock(_));
                let limit = if rosenbrock || tolerance < 1e-4 { 1e-6 } else { 1e-7 };
                assert!(error < limit, "{} {method:?}: {error:e} {exact:?}", problem.name);
                assert!(from_all < 1e-6, "{} {method:?} {tolerance:e}: {from_all:e}", problem.name);
            }
        }
    }
}
