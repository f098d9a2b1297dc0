//! Gradients through runs of implicit methods against finite differences of the same steps, solved again on their own.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod frozen;

use std::time::Instant;

use OdeMethod::{Bdf, Radau, Radau5, Radau9, Radau13};
use chreode_adjoint::{Checkpoints, OdeAdjoint, OdeMethod};
use chreode_core::{FieldError, VectorField, Vjp};
use chreode_solve::{KENCARP4, RODAS5P, SolveOptions};
use frozen::ndf::{Ndf, Step, steps};
use frozen::tangent::Tangents;
use frozen::{Problem, difference, problems};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

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
    against_frozen_steps(problems(&SPANS, Radau5), 1e-4, 3, &methods(), true);
}

/// A field without second derivatives.
#[test]
fn frozen_steps_by_differences() {
    against_frozen_steps(problems(&SPANS, Radau5), 1e-4, 1, &[(&RODAS5P).into()], false);
}

/// Small problems, for all methods.
#[test]
fn frozen_steps_of_tighter_tolerances() {
    let spans = [("Robertson", 100.0), ("OREGO", 5.0), ("van der Pol 1e3", 0.5), ("E5", 1e3)];
    against_frozen_steps(problems(&spans, Radau5), 1e-6, 1, &methods(), true);
    against_frozen_steps(problems(&spans, Radau5), 1e-8, 1, &methods(), true);
}

/// Slow phases, far into the spans of the problems.
#[test]
fn frozen_steps_of_long_runs() {
    let spans = [("Robertson", 1e9), ("HIRES", 321.8122)];
    against_frozen_steps(problems(&spans, Radau5), 1e-4, 3, &methods(), true);
    let mut longest = problems(&[("Robertson", 1e11)], Radau5);
    longest.truncate(1); // the others were among those before
    against_frozen_steps(longest, 1e-4, 3, &methods(), true);
}

fn against_frozen_steps(
    problems: Vec<Problem>,
    tolerance: f64,
    points: usize,
    methods: &[OdeMethod],
    shows_second: bool,
) {
    let mut rng = Pcg64::seed_from_u64(7);
    for mut problem in problems {
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
                let rosenbrock = matches!(method, OdeMethod::Rosenbrock(_));
                // Tighter runs of E5 are near the rounding of its twenty orders of magnitude, and so are steps of 1e10 with modes of 1e4.
                let near_rounding = tolerance < 1e-4 || problem.t_end > 1e10;
                let limit = if rosenbrock || near_rounding { 1e-6 } else { 1e-7 };
                assert!(error < limit, "{} {method:?}: {error:e} {exact:?}", problem.name);
                assert!(from_all < 1e-6, "{} {method:?} {tolerance:e}: {from_all:e}", problem.name);
            }
        }
    }
}

/// `Σ_i weights_i · y(t_i)` of the run's steps, taken again from elsewhere with sparse systems; each is solved to rounding from between
/// the states that the run had at its ends.
fn taken_again(
    problem: &mut Problem,
    method: OdeMethod,
    (run, steps): (&[Vec<f64>], &[Step]),
    (mut y, p): (Vec<f64>, &[f64]),
    at: &[f64],
    weights: &[Vec<f64>],
) -> f64 {
    let mut tangents = Tangents::new(&mut problem.f, p);
    tangents.moved = true;
    let (mut sum, mut multistep) = (0.0, None::<Ndf>);
    for (&step, ends) in steps.iter().zip(run.windows(2)) {
        let (t, t_end, order, starts) = step;
        if let OdeMethod::Bdf = method {
            let mut now = match multistep.take() {
                Some(now) if !starts => now,
                _ => Ndf::from_slope((t, t_end), &y, &tangents.slope(t, &y)),
            };
            y = now.sparse_step(&mut tangents, step, &ends[1]);
            multistep = Some(now);
        } else {
            // Moved as the start is.
            let end: Vec<f64> = (0..y.len()).map(|k| ends[1][k] + y[k] - ends[0][k]).collect();
            y = tangents.step(method, (t, t_end), order + 1, (&y, &end), &mut []);
        }
        for (_, weights) in at.iter().zip(weights).filter(|(at, _)| **at == t_end) {
            sum += y.iter().zip(weights).map(|(y, w)| y * w).sum::<f64>();
        }
    }
    sum
}

/// Against central differences of the same steps, along four directions at each of so many points.
fn large(name: &str, t_end: f64, points: usize, methods: &[OdeMethod]) {
    let mut rng = Pcg64::seed_from_u64(17);
    let mut problem = problems(&[(name, t_end)], OdeMethod::Bdf).remove(0);
    // What is smaller than its floor is not solved for.
    problem.scale.iter_mut().for_each(|s| *s = s.max(problem.floor));
    assert!(problem.y0.len() > 200, "{name}: the corpus's");
    for &method in methods {
        for _ in 0..points {
            large_at(&mut problem, method, &mut rng);
        }
    }
}

fn large_at(problem: &mut Problem, method: OdeMethod, rng: &mut Pcg64) {
    let (d, np, t_end, began) = (problem.y0.len(), problem.f.np(), problem.t_end, Instant::now());
    let mut draw = |size: f64| size * rng.random_range(-1.0..1.0);
    let y0: Vec<f64> = problem.y0.iter().map(|y| y * (1.0 + draw(0.05))).collect();
    let p: Vec<f64> = (0..np).map(|_| 1.0 + draw(0.05)).collect();
    let mut several =
        |n: usize| -> Vec<Vec<f64>> { (0..n).map(|_| (0..d + np).map(|_| draw(1.0)).collect()).collect() };
    let (directions, mut weights) = (several(5), several(2));
    for weights in &mut weights {
        weights.truncate(d);
        weights.iter_mut().zip(&problem.scale).for_each(|(w, s)| *w /= s);
    }
    let at = [0.4 * t_end, t_end];
    let options = SolveOptions::tolerance(1e-4, 1e-4 * problem.floor);
    // Another direction for the run with few states is enough: that with all is the reference for the others.
    for (checkpoints, directions) in
        [(Checkpoints::All, &directions[1..]), (Checkpoints::Every(1), &directions[..1])]
    {
        let f = &mut problem.f;
        let (y0_bar, p_bar, adjoint) = gradient(f, method, checkpoints, (&y0, &p), &at, &options, &weights);
        let steps = steps(&adjoint);
        // The last state is that from which the last step's end is found.
        let run: Vec<Vec<f64>> =
            (0..=steps.len()).map(|i| adjoint.state(i.min(steps.len() - 1)).unwrap().to_vec()).collect();
        let sized = y0_bar.iter().zip(&problem.scale).map(|(a, s)| a * s);
        let exact: Vec<f64> = sized.chain(p_bar.iter().copied()).collect();
        let along = |x: &Vec<f64>| x.iter().zip(&exact).map(|(x, g)| x * g).sum::<f64>();
        let given: Vec<f64> = directions.iter().map(along).collect();
        let mut slope = |x: &[f64], h: f64| {
            let mut by = |by: f64| {
                let y = (0..d).map(|k| y0[k] + by * h * x[k] * problem.scale[k]).collect();
                let p: Vec<f64> = p.iter().zip(&x[d..]).map(|(p, x)| p + by * h * x).collect();
                taken_again(problem, method, (&run, &steps), (y, &p), &at, &weights)
            };
            (8.0 * (by(1.0) - by(-1.0)) - (by(2.0) - by(-2.0))) / (12.0 * h)
        };
        let mut error = f64::INFINITY;
        for h in [1e-4, 1e-3] {
            if error > 1e-8 {
                let slopes: Vec<f64> = directions.iter().map(|x| slope(x, h)).collect();
                error = error.min(difference(&given, &slopes));
            }
        }
        let (name, steps) = (problem.name, steps.len());
        println!(
            "{name:16} {:8} {steps:3} steps, {checkpoints:?}: {error:.1e} ({:.1} s)",
            self::name(method),
            began.elapsed().as_secs_f64()
        );
        assert!(error < 1e-8, "{name} {} {checkpoints:?}: {error:e}", self::name(method));
    }
}

/// A thousand coordinates, with a band.
#[test]
fn frozen_steps_of_a_line() {
    large("Brusselator 1-D", 1.0, 3, &[Bdf, Radau5, (&KENCARP4).into(), (&RODAS5P).into(), Radau]);
    large("Brusselator 1-D", 1.0, 1, &[Radau9, Radau13]);
}

/// Two hundred and fifty-three, with neither a band nor a dense Jacobian.
#[test]
fn frozen_steps_of_a_scaffold() {
    large("scaffold", 1.0, 1, &[Bdf, (&KENCARP4).into(), (&RODAS5P).into()]);
}

/// Its stages are a system of 759 unknowns.
#[test]
fn frozen_steps_of_a_scaffold_in_three_stages() {
    large("scaffold", 1e-3, 1, &[Radau5]);
}

/// Systems of 5,000 and 7,000 unknowns.
#[test]
#[ignore = "half a minute: cargo xtask ci sweep"]
fn frozen_steps_of_a_line_in_many_stages() {
    large("Brusselator 1-D", 1.0, 3, &[Radau9, Radau13]);
}

/// Systems of up to 1,771.
#[test]
#[ignore = "minutes: cargo xtask ci sweep"]
fn frozen_steps_of_a_scaffold_at_several_points() {
    large("scaffold", 1.0, 3, &[Bdf, (&KENCARP4).into(), (&RODAS5P).into()]);
    large("scaffold", 1e-3, 2, &[Radau5, Radau9, Radau13, Radau]);
    large("scaffold", 1.0, 2, &[Radau5]);
}

/// 2,048 coordinates, each coupled to four others.
#[test]
#[ignore = "minutes: cargo xtask ci sweep"]
fn frozen_steps_of_a_square() {
    large("Brusselator 2-D 32", 0.1, 2, &[Bdf, (&KENCARP4).into(), (&RODAS5P).into(), Radau5]);
}

/// 8,192.
#[test]
#[ignore = "minutes: cargo xtask ci sweep"]
fn frozen_steps_of_a_larger_square() {
    large("Brusselator 2-D 64", 0.1, 2, &[Bdf, (&KENCARP4).into()]);
}

/// 32,768.
#[test]
#[ignore = "minutes: cargo xtask ci sweep"]
fn frozen_steps_of_the_largest_square() {
    large("Brusselator 2-D 128", 0.02, 2, &[Bdf]);
}

/// Each of 20 coordinates, so many that a factorisation is held from step to step, decays at a rate of its own; from t = 1/2 to 1 that of
/// the first grows by sixteen orders of magnitude.
struct Decay;

fn rate(t: f64, i: usize) -> f64 {
    if i == 0 { 10_f64.powf(32.0 * (t - 0.5).max(0.0)) } else { 1.0 + 0.1 * i as f64 }
}

impl VectorField<f64> for Decay {
    fn dim(&self) -> usize {
        20
    }
    fn eval(&mut self, t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy.iter_mut().zip(y).enumerate().for_each(|(i, (dy, y))| *dy = -rate(t, i) * y);
        Ok(())
    }
}

impl Vjp<f64> for Decay {
    fn vjp(
        &mut self,
        t: f64,
        _y: &[f64],
        _p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        _p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        y_bar.iter_mut().zip(lambda).enumerate().for_each(|(i, (bar, l))| *bar = -rate(t, i) * l);
        Ok(())
    }
}

/// On the way back, steps after others of the same length in which a coordinate was stiffer by orders of magnitude: divided by that
/// rate, what is left of their equations is less than rounding of the others, and no correction. Each coordinate is linear in its start: its
/// gradient is what is left of it.
#[test]
fn what_a_stiffer_step_left_is_not_believed() {
    let (y0, at, ones) = ([1.0; 20], [0.5, 1.0], [1.0; 20]);
    for method in [Radau5, Radau9, Radau13, Bdf, (&KENCARP4).into()] {
        for checkpoints in [Checkpoints::All, Checkpoints::States(16)] {
            let (mut y, mut left) = (y0, [0.0; 20]);
            let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 20, checkpoints).unwrap();
            let options = SolveOptions { save_at: &at, ..SolveOptions::fixed(1.0 / 256.0) };
            let mut save =
                |_: usize, _: f64, y: &[f64]| left.iter_mut().zip(y).for_each(|(sum, y)| *sum += y);
            adjoint.forward(&mut Decay, &[], &mut y, (0.0, 1.0), &options, &mut save).unwrap();
            let mut y0_bar = [f64::NAN; 20];
            adjoint.backward(&mut Decay, &[], &[&ones, &ones], &mut y0_bar, &mut []).unwrap();
            let error = difference(&y0_bar, &left);
            println!("{} {checkpoints:?}: {error:.1e}", name(method));
            assert!(error < 1e-12, "{} {checkpoints:?}: {error:e} {y0_bar:?} {left:?}", name(method));
        }
    }
}
