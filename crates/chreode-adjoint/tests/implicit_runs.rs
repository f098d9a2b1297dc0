//! Runs of implicit methods as a whole: other routes to the same gradient, checkpoints, trajectories, Jacobians, precision, errors.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod frozen;

use chreode_adjoint::{AdjointError, Checkpoints, ForwardSensitivities, OdeAdjoint, OdeMethod};
use chreode_core::{FieldError, Jacobian, Real, VectorField, Vjp};
use chreode_solve::{KENCARP4, RODAS5P, Radau5, SolveOptions, VERN7, solve_with_jacobian};
use chreode_testkit::{
    BrusselatorLine, CountingAllocator, Hires, Smooth, SmoothField, StiffField, allocations_in, corpus,
};
use frozen::{Rated, VanDerPol, difference, problems};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn methods() -> [OdeMethod; 7] {
    use OdeMethod::{Bdf, Radau, Radau5, Radau9, Radau13};
    [Bdf, Radau5, Radau9, Radau13, Radau, (&KENCARP4).into(), (&RODAS5P).into()]
}

/// Gradient in the start states, then in the parameters, of `Σ_i Σ_k weight_k y_k(t_i)`.
fn gradient<T: Real>(
    f: &mut dyn Vjp<T>,
    adjoint: &mut OdeAdjoint<T>,
    (y0, p): (&[T], &[T]),
    at: &[f64],
    options: &SolveOptions<'_>,
    weights: &[T],
) -> Result<Vec<f64>, AdjointError> {
    let (mut y, options) = (y0.to_vec(), SolveOptions { save_at: at, ..*options });
    adjoint.forward(f, p, &mut y, (0.0, at[at.len() - 1]), &options, &mut |_, _, _| {})?;
    let bars = vec![weights; at.len()];
    let (mut y0_bar, mut p_bar) = (vec![T::ZERO; y0.len()], vec![T::ZERO; p.len()]);
    adjoint.backward(f, p, &bars, &mut y0_bar, &mut p_bar)?;
    Ok(y0_bar.iter().chain(&p_bar).map(|v| v.f64()).collect())
}

/// Three trajectories at once, with observations inside, in both directions of time, against an explicit method.
#[test]
fn other_methods_agree() {
    for method in methods() {
        for mut case in corpus() {
            let d = case.y0.len();
            let y0: Vec<f64> = (0..3 * d).map(|i| case.y0[i % d] + 0.05 * i as f64).collect();
            let weights: Vec<f64> = (0..3 * d).map(|i| 1.0 + 0.3 * i as f64).collect();
            let (f, start) = (&mut *case.field, (&y0[..], &case.p[..]));
            for at in [[0.3, 0.7, 1.0], [-0.01, -0.04, -0.1]] {
                let tight = SolveOptions::tolerance(1e-13, 1e-13);
                let mut explicit = OdeAdjoint::new(&VERN7, 3, d);
                let exact = gradient(f, &mut explicit, start, &at, &tight, &weights).unwrap();
                let options = SolveOptions::tolerance(1e-10, 1e-10);
                let mut implicit = OdeAdjoint::new(method, 3, d);
                let given = gradient(f, &mut implicit, start, &at, &options, &weights).unwrap();
                let error = difference(&given, &exact);
                assert!(error < 1e-7, "{method:?} {} {at:?}: {error:e}", case.name);
            }
        }
    }
}

/// Robertson's reactions with their rates as parameters, in units of those rates.
struct Robertson;
impl Smooth for Robertson {
    const DIM: usize = 3;
    const N_PARAMS: usize = 3;
    fn f<T: Real>(_t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        let slow = T::c(0.04) * p[0] * y[0];
        let back = T::c(1e4) * p[1] * y[1] * y[2];
        let fast = T::c(3e7) * p[2] * y[1] * y[1];
        (dy[0], dy[1], dy[2]) = (back - slow, slow - back - fast, fast);
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        let slow = T::c(0.04) * p[0];
        let (by_1, by_2) = (T::c(1e4) * p[1] * y[2], T::c(1e4) * p[1] * y[1]);
        let fast = T::c(6e7) * p[2] * y[1];
        (j[0][0], j[0][1], j[0][2]) = (-slow, by_1, by_2);
        (j[1][0], j[1][1], j[1][2]) = (slow, -by_1 - fast, -by_2);
        j[2][1] = fast;
    }
    fn df_dp<T: Real>(_t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        let (slow, back) = (T::c(0.04) * y[0], T::c(1e4) * y[1] * y[2]);
        let fast = T::c(3e7) * y[1] * y[1];
        (j[0][0], j[0][1]) = (-slow, back);
        (j[1][0], j[1][1], j[1][2]) = (slow, -back, -fast);
        j[2][2] = fast;
    }
}

#[test]
fn forward_sensitivities_agree() {
    let (y0, p, t_end) = ([1.0, 0.0, 0.0], [1.0; 3], 40.0);
    let mut f = ForwardSensitivities::new(SmoothField(Robertson), &[0], &[0, 1, 2]).unwrap();
    let mut z = [0.0; 15];
    f.start(&y0, &mut z).unwrap();
    let options = SolveOptions::tolerance(1e-11, 1e-15);
    solve_with_jacobian(
        &mut f,
        &p,
        &mut z,
        (0.0, t_end),
        &mut Radau5::new(1, 15),
        &options,
        &mut |_, _, _| {},
    )
    .unwrap();
    let (weights, mut exact) = ([1.0, 1e4, -0.5], [0.0; 4]);
    f.pull(&z, &weights, &mut exact).unwrap();
    for method in methods() {
        let mut adjoint = OdeAdjoint::new(method, 1, 3);
        let options = SolveOptions::tolerance(1e-9, 1e-13);
        let field = &mut SmoothField(Robertson);
        let g = gradient(field, &mut adjoint, (&y0, &p), &[t_end], &options, &weights).unwrap();
        let error = difference(&[g[0], g[3], g[4], g[5]], &exact);
        assert!(error < 1e-6, "{method:?}: {error:e}");
    }
}

/// The stiff reactions of a plant's light response, with rates as parameters, and a start.
fn hires<T: Real>() -> (Rated<T>, Vec<T>, Vec<T>) {
    let f = Rated::new(Box::new(StiffField::new(Hires)), 4);
    let y0 = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057];
    (f, y0.map(T::c).to_vec(), [1.0, 1.02, 0.97, 1.01].map(T::c).to_vec())
}

/// Steps are solved to rounding, whatever is kept. Those that are taken again come out with the same bits; where every state is kept, the
/// step's equations are solved from a better guess, so that the error estimates differ by rounding. A Rosenbrock method has no iteration.
#[test]
fn checkpoints_agree() {
    let (mut f, y0, p) = hires::<f64>();
    for method in methods() {
        let mut run = |checkpoints, tolerance: f64| {
            let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 8, checkpoints).unwrap();
            let options = SolveOptions::tolerance(tolerance, 1e-4 * tolerance);
            let start = (&y0[..], &p[..]);
            gradient(&mut f, &mut adjoint, start, &[3.0, 20.0], &options, &[1.0; 8]).unwrap()
        };
        for tolerance in [1e-4, 1e-8] {
            let all = run(Checkpoints::All, tolerance);
            let every = run(Checkpoints::Every(1), tolerance);
            for checkpoints in [Checkpoints::Every(5), Checkpoints::States(4), Checkpoints::Bytes(500)] {
                let some = run(checkpoints, tolerance);
                assert_eq!(some, every, "{method:?} {checkpoints:?} {tolerance:e}");
                let error = difference(&some, &all);
                assert!(error < 5.0 * tolerance, "{method:?} {checkpoints:?} {tolerance:e}: {error:e}");
                if let OdeMethod::Rosenbrock(_) = method {
                    assert_eq!(some, all);
                }
            }
        }
    }
}

/// Sparse Jacobians, and dense ones by pull-backs of a field that shows none, for which stages are decoupled.
#[test]
fn every_kind_of_jacobian_agrees() {
    for method in methods() {
        for h in [0.05, 0.1] {
            let run = |shows: bool| {
                let line = BrusselatorLine { points: 20 };
                let mut f = Rated::new(Box::new(StiffField::new(line)), 3);
                f.shows = shows;
                let (y0, d) = (line.start(), 40);
                let weights: Vec<f64> = (0..2 * d).map(|i| (i as f64).sin()).collect();
                let mut adjoint = OdeAdjoint::new(method, 2, d);
                let y0 = [&y0[..], &y0.iter().map(|y| 1.1 * y).collect::<Vec<_>>()].concat();
                let start = (&y0[..], &[1.0, 1.1, 0.9][..]);
                gradient(&mut f, &mut adjoint, start, &[5.0 * h], &SolveOptions::fixed(h), &weights).unwrap()
            };
            let error = difference(&run(true), &run(false));
            assert!(error < 1e-9, "{method:?} {h}: {error:e}");
        }
    }
}

#[test]
fn nothing_is_allocated_in_a_second_pass() {
    for method in methods() {
        for checkpoints in [Checkpoints::All, Checkpoints::States(5)] {
            let (mut f, y0, p) = hires::<f64>();
            let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 8, checkpoints).unwrap();
            let options = SolveOptions { save_at: &[2.0, 5.0], ..SolveOptions::tolerance(1e-5, 1e-9) };
            let bars: [&[f64]; 2] = [&[1.0; 8]; 2];
            let (mut y, mut y0_bar, mut p_bar) = (y0.clone(), [0.0; 8], [0.0; 4]);
            let mut pass = || {
                y.copy_from_slice(&y0);
                adjoint.forward(&mut f, &p, &mut y, (0.0, 5.0), &options, &mut |_, _, _| {}).unwrap();
                adjoint.backward(&mut f, &p, &bars, &mut y0_bar, &mut p_bar).unwrap();
            };
            let (first, ()) = allocations_in(&mut pass);
            let (second, ()) = allocations_in(&mut pass);
            assert!(first > 0, "the counter works");
            assert_eq!(second, 0, "{method:?} {checkpoints:?}");
        }
    }
}

#[test]
fn errors() {
    for method in methods() {
        // What is not finite is named with its trajectory.
        let mut f = SmoothField(Robertson);
        let y0 = [1.0, 0.0, 0.0].repeat(2);
        let mut adjoint = OdeAdjoint::new(method, 2, 3);
        let mut weights = [1.0; 6];
        weights[4] = f64::NAN;
        let options = SolveOptions::tolerance(1e-6, 1e-10);
        let result = gradient(&mut f, &mut adjoint, (&y0, &[1.0; 3]), &[1.0], &options, &weights);
        match result {
            Err(AdjointError::NonFinite { t, trajectory: 1, coordinate: 1 }) => assert_eq!(t, 1.0),
            other => panic!("{method:?}: {other:?}"),
        }
        // A length that does not fit.
        let short = gradient(&mut f, &mut adjoint, (&y0, &[1.0; 3]), &[1.0], &options, &weights[..5]);
        assert!(matches!(short, Err(AdjointError::ShapeMismatch { expected: 6, got: 5, .. })), "{short:?}");
    }
}

/// Steps that are solved again for other parameters end elsewhere: no gradient of a run that was not made.
#[test]
fn another_run_is_told() {
    for method in methods() {
        if let OdeMethod::Rosenbrock(_) = method {
            continue; // its steps have no equations to be solved again
        }
        let mut f = SmoothField(Robertson);
        let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, 3, Checkpoints::Every(1)).unwrap();
        let options = SolveOptions { save_at: &[1.0], ..SolveOptions::tolerance(1e-6, 1e-10) };
        let mut y = [1.0, 0.0, 0.0];
        adjoint.forward(&mut f, &[1.0; 3], &mut y, (0.0, 1.0), &options, &mut |_, _, _| {}).unwrap();
        let (mut y0_bar, mut p_bar) = ([0.0; 3], [0.0; 3]);
        let mut back = |p: &[f64]| adjoint.backward(&mut f, p, &[&[1.0; 3]], &mut y0_bar, &mut p_bar);
        match back(&[1.0, 1.0, 1.1]) {
            Err(AdjointError::ReplayDiffers { t, off, most, .. }) => {
                assert!((0.0..1.0).contains(&t) && off > most);
            }
            other => panic!("{method:?}: {other:?}"),
        }
        assert_eq!(back(&[1.0; 3]), Ok(()));
    }
}

/// Past a jump no difference of frozen steps resolves the derivative: rounding before it is multiplied by 1e11. Two routes that have
/// nothing in common but the field agree to what that leaves: the discrete adjoint with every state kept, and sensitivities forward.
#[test]
fn past_a_jump() {
    let (y0, p, span, bar) = ([2.0, -0.66], [1e3], (0.0, 1.0), [1.0, 0.5]);
    let mut f = ForwardSensitivities::new(SmoothField(VanDerPol), &[0, 1], &[0]).unwrap();
    let (mut z, mut exact) = ([0.0; 8], [0.0; 3]);
    f.start(&y0, &mut z).unwrap();
    let options = SolveOptions::tolerance(1e-12, 1e-12);
    solve_with_jacobian(&mut f, &p, &mut z, span, &mut Radau5::new(1, 8), &options, &mut |_, _, _| {})
        .unwrap();
    assert!(z[0] < -1.0, "over the jump: {z:?}");
    f.pull(&z, &bar, &mut exact).unwrap();
    for method in methods() {
        let options = SolveOptions::tolerance(1e-9, 1e-9);
        let mut adjoint = OdeAdjoint::new(method, 1, 2);
        let field = &mut SmoothField(VanDerPol);
        let g = gradient(field, &mut adjoint, (&y0, &p), &[span.1], &options, &bar).unwrap();
        // By the start, by the rate: of sizes far apart.
        let (by_start, by_rate) = (difference(&g[..2], &exact[..2]), difference(&g[2..], &exact[2..]));
        println!("{method:?}: {by_start:.1e} {by_rate:.1e} {g:?} {exact:?}");
        assert!(by_start.max(by_rate) < 1e-4, "{method:?}: {by_start:e} {by_rate:e} {g:?} {exact:?}");
    }
}

/// Over the jumps of relaxation oscillations, which multiply a change by 1e11 and more: with few states, steps are taken again from far
/// before them. The forward run took them by the same function of the same numbers, so that they lead to the same bits.
#[test]
fn taken_again_over_a_jump() {
    let spans = [("van der Pol 1e3", 2.0), ("van der Pol 1e6", 2.0)];
    for mut problem in problems(&spans, OdeMethod::Radau5).into_iter().take(2) {
        let (p, d) = (vec![1.0; problem.f.np()], problem.y0.len());
        for method in methods() {
            for tolerance in [1e-3, 1e-5] {
                let options = SolveOptions::tolerance(tolerance, tolerance * problem.floor);
                let mut steps = 0;
                let mut with = |checkpoints| {
                    let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, d, checkpoints).unwrap();
                    let start = (&problem.y0[..], &p[..]);
                    let at = [problem.t_end];
                    let g = gradient(&mut problem.f, &mut adjoint, start, &at, &options, &[1.0, 1.0]);
                    steps = adjoint.steps().len();
                    assert!(checkpoints == Checkpoints::Every(1) || adjoint.recomputed() > 0);
                    g.unwrap_or_else(|e| {
                        panic!("{} {method:?} {tolerance:e} {checkpoints:?}: {e}", problem.name)
                    })
                };
                // As many as there are steps: nothing is taken again.
                let every = with(Checkpoints::Every(1));
                for few in [1, 4].map(Checkpoints::States).into_iter().chain([7, 40].map(Checkpoints::Every))
                {
                    assert_eq!(with(few), every, "{} {method:?} {tolerance:e}, {few:?}", problem.name);
                }
                assert!(steps > 50, "over the jumps: {steps} steps");
            }
        }
    }
}

/// A reaction whose Jacobian, if it is shown, is that of two blocks, without what lies beside them.
struct Halves {
    shown: bool,
}
impl VectorField<f64> for Halves {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        1
    }
    fn eval(&mut self, _t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        let made = p[0] * y[0] * y[1];
        (dy[0], dy[1]) = (-made, made - y[1] * y[1]);
        Ok(())
    }
}
impl Vjp<f64> for Halves {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        let made = lambda[1] - lambda[0];
        (y_bar[0], y_bar[1]) = (made * p[0] * y[1], made * p[0] * y[0] - 2.0 * lambda[1] * y[1]);
        p_bar[0] += made * y[0] * y[1];
        Ok(())
    }
    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<f64>> {
        if self.shown { Some(self) } else { None }
    }
}
impl Jacobian<f64> for Halves {
    fn blocks(&self) -> usize {
        2
    }
    fn jacobian(&mut self, _t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        values[0] = -p[0] * y[1];
        Ok(())
    }
}

/// Blocks are not all of a Jacobian: pull-backs give it, as where none is shown.
#[test]
fn a_jacobian_of_blocks_is_pulled_back() {
    for method in methods() {
        let run = |shown: bool| {
            let (f, adjoint) = (&mut Halves { shown }, &mut OdeAdjoint::new(method, 1, 2));
            let options = SolveOptions::tolerance(1e-8, 1e-8);
            gradient(f, adjoint, (&[1.0, 0.3], &[4.0]), &[0.5, 2.0], &options, &[1.0, -2.0]).unwrap()
        };
        assert_eq!(run(true), run(false), "{method:?}");
    }
}
