//! Gradients through Runge-Kutta runs against finite differences of the same steps, and against the variational
//! equation solved on its own.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod nan_parameter;

use chreode_adjoint::{AdjointError, Checkpoints, OdeAdjoint, OdeMethod};
use chreode_core::{FieldError, VectorField, Vjp};
use chreode_solve::{
    ALL_ERK, Erk, ErkTableau, KENCARP4, RK4, RODAS5P, Rhs, SolveError, SolveOptions, Stepper, TSIT5, VERN8,
    solve,
};
use chreode_testkit::{
    Case, Differentiable, Lorenz, LotkaVolterra, SmoothField, central_difference_by, compare, corpus,
    nonstiff,
};
use nan_parameter::NanParameter;
use proptest::prelude::*;
use proptest::sample::select;
use rand::{RngExt, SeedableRng};

/// Observation times as parts of the span: both ends, and uneven ones inside.
const PARTS: [f64; 5] = [0.0, 0.21, 0.5, 0.77, 1.0];

fn times(span: (f64, f64)) -> Vec<f64> {
    PARTS.map(|x| if x == 1.0 { span.1 } else { span.0 + x * (span.1 - span.0) }).to_vec()
}

/// An objective that is not linear in the states: `Σ_i Σ_j w_j sin(y_ij + i)`.
fn objective(states: &[Vec<f64>]) -> f64 {
    let term = |i: usize, j: usize, y: f64| (1.0 + 0.3 * j as f64) * (y + i as f64).sin();
    states.iter().enumerate().flat_map(|(i, s)| s.iter().enumerate().map(move |(j, &y)| term(i, j, y))).sum()
}

fn objective_bar(states: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let term = |i: usize, j: usize, y: f64| (1.0 + 0.3 * j as f64) * (y + i as f64).cos();
    let row = |(i, s): (usize, &Vec<f64>)| s.iter().enumerate().map(|(j, &y)| term(i, j, y)).collect();
    states.iter().enumerate().map(row).collect()
}

struct Gradient {
    states: Vec<Vec<f64>>,
    steps: Vec<(f64, f64)>,
    y0_bar: Vec<f64>,
    p_bar: Vec<f64>,
}

fn gradient(
    f: &mut dyn Vjp<f64>,
    adjoint: &mut OdeAdjoint<f64>,
    p: &[f64],
    y0: &[f64],
    span: (f64, f64),
    options: &SolveOptions<'_>,
) -> Gradient {
    let mut states = Vec::new();
    let mut y = y0.to_vec();
    let options = SolveOptions { save_at: &times(span), ..*options };
    adjoint.forward(f, p, &mut y, span, &options, &mut |_, _, y| states.push(y.to_vec())).unwrap();
    assert_eq!(states.last().unwrap(), &y);
    let bars = objective_bar(&states);
    let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![f64::NAN; y0.len()], vec![0.0; p.len()]);
    adjoint.backward(f, p, &bars, &mut y0_bar, &mut p_bar).unwrap();
    Gradient { states, steps: adjoint.steps().to_vec(), y0_bar, p_bar }
}

/// The objective when the recorded steps are taken again, from another start or with other parameters.
fn frozen(
    f: &mut dyn VectorField<f64>,
    method: &'static ErkTableau,
    steps: &[(f64, f64)],
    p: &[f64],
    y0: &[f64],
    span: (f64, f64),
) -> f64 {
    let at = times(span);
    let mut erk = Erk::new(method, y0.len() / f.dim(), f.dim());
    let mut y = y0.to_vec();
    let mut states = vec![y.clone()];
    let f = &mut Rhs::Field(f);
    erk.start(f, span.0, &y, p).unwrap();
    for &(t, t_end) in steps {
        erk.step(f, t, t_end, &y, p, SolveOptions::default().tolerance).unwrap();
        erk.prepare_dense(f, t, t_end, &y, p).unwrap();
        let theta = |at: f64| (at - t) / (t_end - t);
        while let Some(&save) = at.get(states.len()).filter(|&&save| theta(save) < 1.0) {
            states.push(erk.dense(theta(save), t_end - t, &y).to_vec());
        }
        erk.accept(&mut y);
        if at.get(states.len()) == Some(&t_end) {
            states.push(y.clone());
        }
    }
    assert_eq!(states.len(), at.len());
    objective(&states)
}

/// Three trajectories near the case's start, parameters near its own: so far from it, and half as far in parts.
fn near(case: &Case, by: &[f64], size: f64) -> (Vec<f64>, Vec<f64>) {
    let (d, by) = (case.y0.len(), |i: usize| by[i % by.len()]);
    let y0 = (0..3 * d).map(|i| case.y0[i % d] + size * by(i)).collect();
    let p = case.p.iter().enumerate().map(|(k, p)| p * (1.0 + 0.5 * size * by(9 + k))).collect();
    (y0, p)
}

fn perturbed(case: &Case, by: &[f64]) -> (Vec<f64>, Vec<f64>) {
    near(case, by, 0.2)
}

fn check(
    case: &mut Case,
    method: &'static ErkTableau,
    options: &SolveOptions<'_>,
    by: &[f64],
    span: (f64, f64),
) -> Result<(), String> {
    let point = perturbed(case, by);
    check_at(case, method, options, point, span, 1e-4).map(|_| ())
}

/// The gradient at a point, against central differences of frozen steps with steps of this size; returns the number of steps.
fn check_at(
    case: &mut Case,
    method: &'static ErkTableau,
    options: &SolveOptions<'_>,
    (y0, p): (Vec<f64>, Vec<f64>),
    span: (f64, f64),
    by: f64,
) -> Result<usize, String> {
    let f: &mut dyn Differentiable<f64> = &mut *case.field;
    let mut adjoint = OdeAdjoint::new(method, 3, y0.len() / 3);
    let g = gradient(f, &mut adjoint, &p, &y0, span, options);
    for (what, bar, x, of_y0) in [("y0", &g.y0_bar, &y0, true), ("p", &g.p_bar, &p, false)] {
        let difference = central_difference_by(x, by, |x| {
            let (y0, p) = if of_y0 { (x, &p[..]) } else { (&y0[..], x) };
            frozen(f, method, &g.steps, p, y0, span)
        });
        compare(what, bar, &difference, 1e-6).map_err(|e| format!("{} {}: {e}", case.name, method.name))?;
    }
    Ok(g.steps.len())
}

/// All methods with an error estimate.
fn adaptive() -> Vec<&'static ErkTableau> {
    ALL_ERK.into_iter().filter(|method| method.embedded_order > 0).collect()
}

/// The long problems: how far points lie from the start, the end of fixed steps, their length, the end of adaptive steps, and the
/// size of differences. Lotka-Volterra goes over its whole span; the others to where differences of this size can be told from
/// rounding. The Arenstorf orbit starts beside the moon.
const LONG: [(&str, f64, f64, f64, f64, f64); 4] = [
    ("Lorenz", 0.2, 1.0, 0.005, 3.0, 1e-5),
    ("Lotka-Volterra", 0.05, 5.0, 0.02, 100.0, 1e-5),
    ("Arenstorf", 1e-4, 0.01, 1e-4, 3.0, 1e-6),
    ("Pleiades", 0.01, 0.2, 0.005, 1.0, 1e-5),
];

#[test]
fn long_problems() {
    let mut rng = rand_pcg::Pcg64::seed_from_u64(11);
    for mut case in nonstiff() {
        let (_, size, fixed, h, t_end, by) =
            LONG.into_iter().find(|(name, ..)| case.name.starts_with(name)).unwrap();
        for _ in 0..3 {
            let draws: Vec<f64> = (0..97).map(|_| rng.random_range(-1.0..1.0)).collect();
            for method in ALL_ERK {
                let point = near(&case, &draws, size);
                check_at(&mut case, method, &SolveOptions::fixed(h), point, (0.0, fixed), by).unwrap();
            }
            // Those of order 2 would take 220,000 steps.
            for method in adaptive().into_iter().filter(|method| method.order > 2) {
                let (point, options) = (near(&case, &draws, size), SolveOptions::tolerance(1e-6, 1e-8));
                // Rounding of this method's stages shows in shorter ones.
                let by = if method.name == VERN8.name { 10.0 * by } else { by };
                let steps = check_at(&mut case, method, &options, point, (0.0, t_end), by).unwrap();
                println!("{} {}: {steps} steps", case.name, method.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fixed_steps(by in prop::collection::vec(-1.0..1.0_f64, 14), method in select(&ALL_ERK[..]), h in 0.004..0.01_f64) {
        for mut case in corpus() {
            let span = (case.span.0, case.span.0 + 1.0);
            check(&mut case, method, &SolveOptions::fixed(h), &by, span).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn adaptive_steps(by in prop::collection::vec(-1.0..1.0_f64, 14), method in select(adaptive()), backward: bool) {
        for mut case in corpus() {
            let span = if backward { (0.15, 0.0) } else { (case.span.0, case.span.0 + 1.5) };
            check(&mut case, method, &SolveOptions::tolerance(1e-6, 1e-8), &by, span).map_err(TestCaseError::fail)?;
        }
    }

    /// Whatever is stored, the bits are the same.
    #[test]
    fn checkpoints_do_not_change_the_bits(by in prop::collection::vec(-1.0..1.0_f64, 14), k in 2_usize..80, method in select(&ALL_ERK[..])) {
        for mut case in corpus() {
            let (y0, p) = perturbed(&case, &by);
            let d = case.y0.len();
            let span = (0.0, 1.0);
            let options = if method.embedded_order == 0 { SolveOptions::fixed(0.013) } else { SolveOptions::tolerance(1e-5, 1e-5) };
            let mut all = OdeAdjoint::new(method, 3, d);
            let a = gradient(&mut *case.field, &mut all, &p, &y0, span, &options);
            for checkpoints in [Checkpoints::Every(k), Checkpoints::States(k / 2), Checkpoints::Bytes(24 * d * k)] {
            let mut some = OdeAdjoint::with_checkpoints(method, 3, d, checkpoints).unwrap();
            let b = gradient(&mut *case.field, &mut some, &p, &y0, span, &options);
            prop_assert_eq!((&a.states, &a.steps, &a.y0_bar, &a.p_bar), (&b.states, &b.steps, &b.y0_bar, &b.p_bar), "{} {} {:?}", case.name, method.name, checkpoints);
            }
        }
    }
}

/// State and sensitivities as one system: `S' = ∂f/∂y S + ∂f/∂(y0, p)`, `[d + d (d + np)]`, which knows nothing
/// of an adjoint.
struct Variational<'a> {
    f: &'a mut dyn Differentiable<f64>,
    d: usize,
    np: usize,
}

impl VectorField<f64> for Variational<'_> {
    fn dim(&self) -> usize {
        self.d * (1 + self.d + self.np)
    }
    fn eval(&mut self, t: f64, z: &[f64], p: &[f64], dz: &mut [f64]) -> Result<(), FieldError> {
        let d = self.d;
        let (y, s) = z.split_at(d);
        let (dy, ds) = dz.split_at_mut(d);
        self.f.eval(t, y, p, dy)?;
        for (s, ds) in s.chunks_exact(d).zip(ds.chunks_exact_mut(d)) {
            self.f.jvp(t, y, p, s, ds)?; // one column of S at a time
        }
        for i in 0..d {
            let (mut unit, mut y_bar, mut row) = (vec![0.0; d], vec![0.0; d], vec![0.0; self.np]);
            unit[i] = 1.0;
            self.f.vjp(t, y, p, &unit, &mut y_bar, &mut row)?; // row i of ∂f/∂p
            for (k, v) in row.into_iter().enumerate() {
                ds[(d + k) * d + i] += v;
            }
        }
        Ok(())
    }
}

#[test]
fn agrees_with_forward_sensitivities() {
    for mut case in corpus() {
        let (d, np) = (case.y0.len(), case.p.len());
        let span = (case.span.0, case.span.0 + 2.0);
        let options = SolveOptions::tolerance(1e-11, 1e-12);
        let mut adjoint = OdeAdjoint::new(&TSIT5, 1, d);
        let g = gradient(&mut *case.field, &mut adjoint, &case.p, &case.y0, span, &options);

        let mut z = vec![0.0; d * (1 + d + np)];
        z[..d].copy_from_slice(&case.y0);
        for i in 0..d {
            z[d + i * d + i] = 1.0;
        }
        let mut f = Variational { f: &mut *case.field, d, np };
        let (mut states, mut columns) = (Vec::new(), Vec::new());
        let at = times(span);
        let mut erk = Erk::new(&TSIT5, 1, z.len());
        let options = SolveOptions { save_at: &at, ..SolveOptions::tolerance(1e-12, 1e-13) };
        solve(&mut f, &case.p, &mut z, span, &mut erk, &options, &mut |_, _, z| {
            states.push(z[..d].to_vec());
            columns.push(z[d..].to_vec());
        })
        .unwrap();
        let mut forward = vec![0.0; d + np];
        for (bar, s) in objective_bar(&states).iter().zip(&columns) {
            for (total, column) in forward.iter_mut().zip(s.chunks_exact(d)) {
                *total += bar.iter().zip(column).map(|(a, b)| a * b).sum::<f64>();
            }
        }
        let adjoint = [g.y0_bar, g.p_bar].concat();
        let scale = forward.iter().fold(0.0_f64, |s, v| s.max(v.abs()));
        let worst = adjoint.iter().zip(&forward).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max);
        println!("{:15} adjoint - forward sensitivities: {worst:.1e}", case.name);
        assert!(worst < 1e-7, "{}: {worst:e} {adjoint:?} {forward:?}", case.name);
    }
}

/// The largest difference over the corpus, for the record.
#[test]
fn difference_from_frozen_steps() {
    for mut case in corpus() {
        let span = (case.span.0, case.span.0 + 2.0);
        let (y0, p) = perturbed(&case, &[0.3; 14]);
        let mut adjoint = OdeAdjoint::new(&TSIT5, 3, y0.len() / 3);
        let options = SolveOptions::tolerance(1e-6, 1e-8);
        let f: &mut dyn Differentiable<f64> = &mut *case.field;
        let g = gradient(f, &mut adjoint, &p, &y0, span, &options);
        let dp = central_difference_by(&p, 1e-4, |p| frozen(f, &TSIT5, &g.steps, p, &y0, span));
        let scale = dp.iter().fold(0.0_f64, |s, v| s.max(v.abs()));
        let worst = dp.iter().zip(&g.p_bar).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max);
        println!("{:15} {} steps, difference {worst:.1e}", case.name, g.steps.len());
        assert!(worst < 1e-6);
    }
}

/// A field that jumps at an announced time: the gradient is exact on both sides, also where states are computed again.
#[test]
fn discontinuities() {
    let mut f = Jump;
    let (p, t1) = ([0.7, -0.4], 2.0);
    for every in [1, 4, 100] {
        let mut adjoint = OdeAdjoint::with_checkpoints(&TSIT5, 1, 1, Checkpoints::Every(every)).unwrap();
        let options =
            SolveOptions { save_at: &[t1], discontinuities: &[0.8], ..SolveOptions::tolerance(1e-12, 1e-12) };
        let mut y = [1.5];
        adjoint.forward(&mut f, &p, &mut y, (0.0, t1), &options, &mut |_, _, _| {}).unwrap();
        let (mut y0_bar, mut p_bar) = ([0.0], [0.0; 2]);
        adjoint.backward(&mut f, &p, &[&[1.0]], &mut y0_bar, &mut p_bar).unwrap();
        let end = 1.5 * (p[0] * 0.8 + p[1] * 1.2).exp();
        let exact = [end, end / 1.5, 0.8 * end, 1.2 * end];
        for (a, b) in [y[0], y0_bar[0], p_bar[0], p_bar[1]].iter().zip(exact) {
            assert!((a - b).abs() < 1e-10, "{every}: {a} {b}");
        }
    }
}

/// `y' = p[0] y` up to t = 0.8, `p[1] y` from then on.
struct Jump;
impl VectorField<f64> for Jump {
    fn dim(&self) -> usize {
        1
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy[0] = p[usize::from(t >= 0.8)] * y[0];
        Ok(())
    }
}
impl Vjp<f64> for Jump {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        let side = usize::from(t >= 0.8);
        y_bar[0] = p[side] * lambda[0];
        p_bar[side] += y[0] * lambda[0];
        Ok(())
    }
}

/// Trajectories that are solved together with fixed steps give the sum of what they give alone.
#[test]
fn parameters_are_summed_over_trajectories() {
    let (p, options) = ([10.0, 28.0, 8.0 / 3.0], SolveOptions::fixed(0.01));
    let y0 = [1.0, 2.0, 20.0, -3.0, 1.0, 15.0];
    let run = |y0: &[f64]| {
        let mut f = SmoothField(Lorenz);
        let mut adjoint = OdeAdjoint::new(&RK4, y0.len() / 3, 3);
        let mut y = y0.to_vec();
        let options = SolveOptions { save_at: &[0.5], ..options };
        adjoint.forward(&mut f, &p, &mut y, (0.0, 0.5), &options, &mut |_, _, _| {}).unwrap();
        let (mut y0_bar, mut p_bar) = (vec![0.0; y0.len()], vec![1.0; 3]);
        adjoint.backward(&mut f, &p, &[&y], &mut y0_bar, &mut p_bar).unwrap();
        (y0_bar, p_bar)
    };
    let (both, one, two) = (run(&y0), run(&y0[..3]), run(&y0[3..]));
    assert_eq!(both.0, [one.0, two.0].concat());
    for k in 0..3 {
        // each began at 1.0: added to, not set
        let sum = one.1[k] + two.1[k] - 1.0;
        assert!((both.1[k] - sum).abs() < 1e-10 * sum.abs().max(1.0), "{} {sum}", both.1[k]);
    }
}

/// A field whose derivative is NaN once t < 0.5 is reached in reverse.
struct NanVjp;
impl VectorField<f64> for NanVjp {
    fn dim(&self) -> usize {
        2
    }
    fn eval(&mut self, _t: f64, _y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy.fill(1.0);
        Ok(())
    }
}
impl Vjp<f64> for NanVjp {
    fn vjp(
        &mut self,
        t: f64,
        _y: &[f64],
        _p: &[f64],
        _lambda: &[f64],
        y_bar: &mut [f64],
        _p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        y_bar.fill(0.0);
        if t < 0.5 {
            y_bar[3] = f64::NAN;
        }
        Ok(())
    }
}

/// What is not finite in the parameters' gradient alone is named too, by every method, at any checkpoints.
#[test]
fn a_parameter_is_named() {
    use OdeMethod::{Bdf, Radau, Radau5};
    let methods = [(&RK4).into(), (&TSIT5).into(), (&KENCARP4).into(), (&RODAS5P).into(), Bdf, Radau5, Radau];
    for method in methods {
        for checkpoints in [Checkpoints::All, Checkpoints::States(2)] {
            let options = SolveOptions { save_at: &[1.5], ..SolveOptions::fixed(0.125) };
            let mut adjoint = OdeAdjoint::with_checkpoints(method, 3, 2, checkpoints).unwrap();
            let mut run = |bad: f64| {
                let (mut f, mut y) = (NanParameter { bad }, [1.0, 1.0, 1.0, 2.0, 1.0, 3.0]);
                adjoint.forward(&mut f, &[0.0; 2], &mut y, (0.5, 1.5), &options, &mut |_, _, _| {}).unwrap();
                let (mut y0_bar, mut p_bar) = ([0.0; 6], [0.0; 2]);
                adjoint.backward(&mut f, &[0.0; 2], &[&[1.0; 6]], &mut y0_bar, &mut p_bar)
            };
            assert_eq!(run(9.0), Ok(()));
            let told = AdjointError::NonFiniteGradient { t: 0.5, parameter: 1, first: 0, last: 2 };
            assert_eq!(run(2.0), Err(told), "{method:?} {checkpoints:?}");
        }
    }
}

#[test]
fn errors() {
    let mut adjoint = OdeAdjoint::new(&RK4, 2, 2);
    let bars: [&[f64]; 1] = [&[1.0; 4]];
    let mut y0_bar = [0.0; 4];
    let none = adjoint.backward(&mut NanVjp, &[], &bars, &mut y0_bar, &mut []);
    assert_eq!(none, Err(AdjointError::NoForwardPass));
    let options = SolveOptions { save_at: &[1.0], ..SolveOptions::fixed(0.1) };
    let mut run =
        |y: &mut [f64], options| adjoint.forward(&mut NanVjp, &[], y, (0.0, 1.0), options, &mut |_, _, _| {});
    run(&mut [0.0; 4], &options).unwrap();
    let mut back = |bars: &[&[f64]], y0_bar: &mut [f64], p_bar: &mut [f64]| {
        adjoint.backward(&mut NanVjp, &[], bars, y0_bar, p_bar).unwrap_err()
    };
    assert!(matches!(
        back(&[], &mut [0.0; 4], &mut []),
        AdjointError::ShapeMismatch { expected: 1, got: 0, .. }
    ));
    assert!(matches!(
        back(&[&[1.0]], &mut [0.0; 4], &mut []),
        AdjointError::ShapeMismatch { expected: 4, got: 1, .. }
    ));
    assert!(matches!(
        back(&bars, &mut [0.0; 3], &mut []),
        AdjointError::ShapeMismatch { expected: 4, got: 3, .. }
    ));
    assert!(matches!(
        back(&bars, &mut [0.0; 4], &mut [1.0]),
        AdjointError::ShapeMismatch { expected: 0, got: 1, .. }
    ));
    match back(&bars, &mut [0.0; 4], &mut []) {
        AdjointError::NonFinite { t, trajectory: 1, coordinate: 1 } => {
            assert!((t - 0.4).abs() < 1e-12, "{t}");
        }
        e => panic!("{e}"),
    }
    let mut f = SmoothField(LotkaVolterra);
    adjoint.forward(&mut f, &[1.0; 4], &mut [1.0; 4], (0.0, 1.0), &options, &mut |_, _, _| {}).unwrap();
    let short = adjoint.backward(&mut f, &[1.0; 3], &bars, &mut y0_bar, &mut [0.0; 3]);
    assert!(matches!(short, Err(AdjointError::ShapeMismatch { expected: 4, got: 3, .. })), "{short:?}");
    // Of an observation inside, and at the start.
    let inside = SolveOptions { save_at: &[0.5, 1.0], ..options };
    adjoint.forward(&mut NanVjp, &[], &mut [0.0; 4], (0.0, 1.0), &inside, &mut |_, _, _| {}).unwrap();
    let bad = [0.0, 0.0, f64::INFINITY, 0.0];
    let told = adjoint.backward(&mut NanVjp, &[], &[&bad, &[1.0; 4]], &mut y0_bar, &mut []);
    assert_eq!(told, Err(AdjointError::NonFinite { t: 0.5, trajectory: 1, coordinate: 0 }));
    let at_start = SolveOptions { save_at: &[0.0, 1.0], ..options };
    adjoint.forward(&mut NanVjp, &[], &mut [0.0; 4], (0.0, 1.0), &at_start, &mut |_, _, _| {}).unwrap();
    let told = adjoint.backward(&mut NanVjp, &[], &[&bad, &[0.0; 4]], &mut y0_bar, &mut []);
    assert_eq!(told, Err(AdjointError::NonFinite { t: 0.0, trajectory: 1, coordinate: 0 }));
    let mut run =
        |y: &mut [f64], options| adjoint.forward(&mut NanVjp, &[], y, (0.0, 1.0), options, &mut |_, _, _| {});
    let failed = run(&mut [0.0; 4], &SolveOptions::default());
    assert_eq!(failed, Err(AdjointError::Solve(SolveError::NoErrorEstimate)));
    let none = adjoint.backward(&mut NanVjp, &[], &[], &mut y0_bar, &mut []);
    assert_eq!(none, Err(AdjointError::NoForwardPass));
}

/// A run that would end where it starts is refused, and leaves nothing to go back through.
#[test]
fn empty_span() {
    let mut f = SmoothField(LotkaVolterra);
    let mut adjoint = OdeAdjoint::<f64>::new(&TSIT5, 1, 2);
    let options = SolveOptions { save_at: &[1.0], ..SolveOptions::default() };
    let p = [1.5, 1.0, 0.75, 3.0];
    let refused = adjoint.forward(&mut f, &p, &mut [1.0, 0.5], (1.0, 1.0), &options, &mut |_, _, _| {});
    assert!(
        matches!(refused, Err(AdjointError::Solve(SolveError::InvalidOption { what: "end time", .. }))),
        "{refused:?}"
    );
    let (mut y0_bar, mut p_bar) = ([9.0; 2], [0.0; 4]);
    let none = adjoint.backward(&mut f, &p, &[&[3.0, 4.0]], &mut y0_bar, &mut p_bar);
    assert_eq!(none, Err(AdjointError::NoForwardPass));
}

/// States inside of steps, from the dense output: the gradient is that of the frozen steps and their interpolants, with any checkpoints.
#[test]
fn interpolated_saves() {
    let span = (0.0, 2.0);
    let at: Vec<f64> = (0..=40).map(|i| 0.05 * f64::from(i)).collect();
    let options = SolveOptions { save_at: &at, ..SolveOptions::tolerance(1e-5, 1e-5) };
    let value =
        |i: usize, y: &[f64]| y.iter().zip(1..).map(|(y, k)| (f64::from(k) + i as f64 * 0.1) * y.sin()).sum();
    let bar = |i: usize, y: &[f64]| -> Vec<f64> {
        y.iter().zip(1..).map(|(y, k)| (f64::from(k) + i as f64 * 0.1) * y.cos()).collect()
    };
    for method in adaptive() {
        for mut case in corpus() {
            let (f, d) = (&mut *case.field, case.y0.len());
            let run = |f: &mut dyn Differentiable<f64>, checkpoints, interpolated: bool| {
                let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, d, checkpoints).unwrap();
                let options = SolveOptions { land_on_saves: !interpolated, ..options };
                let (mut y, mut bars) = (case.y0.clone(), Vec::new());
                let save = &mut |i: usize, _: f64, y: &[f64]| bars.push(bar(i, y));
                adjoint.forward(f, &case.p, &mut y, span, &options, save).unwrap();
                let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
                let (mut y0_bar, mut p_bar, mut times) =
                    (vec![0.0; d], vec![0.0; case.p.len()], vec![0.0; at.len()]);
                adjoint.backward(f, &case.p, &bars, &mut y0_bar, &mut p_bar).unwrap();
                let first = (y0_bar.clone(), std::mem::replace(&mut p_bar, vec![0.0; case.p.len()]));
                let start = adjoint
                    .backward_with_times(f, &case.p, &bars, &mut y0_bar, &mut p_bar, &mut times)
                    .unwrap();
                assert_eq!((y0_bar, p_bar), first);
                times.push(start);
                (first, adjoint.steps().to_vec(), times)
            };
            let ((y0_bar, p_bar), steps, times) = run(f, Checkpoints::All, true);
            let (landed, landed_steps, landed_times) = run(f, Checkpoints::All, false);
            let (few, many) = (steps.len(), landed_steps.len());
            assert!(few + 5 < many && many >= 40, "{} {few} {many}", case.name);
            for states in [1, 3] {
                assert_eq!(run(f, Checkpoints::States(states), true).0, (y0_bar.clone(), p_bar.clone()));
            }
            // Both are gradients of nearly the same states.
            compare("y0", &y0_bar, &landed.0, 1e-2).unwrap();
            compare("times", &times, &landed_times, 1e-2).unwrap();
            let mut again = |y0: &[f64], p: &[f64]| {
                let mut erk = Erk::new(method, 1, d);
                let (mut y, mut sum, mut next) = (y0.to_vec(), value(0, y0), 1);
                let f = &mut Rhs::Field(&mut *f);
                erk.start(f, span.0, &y, p).unwrap();
                for &(t, t_end) in &steps {
                    erk.step(f, t, t_end, &y, p, options.tolerance).unwrap();
                    erk.prepare_dense(f, t, t_end, &y, p).unwrap();
                    while next < at.len() && at[next] < t_end {
                        let h = t_end - t;
                        sum += value(next, erk.dense((at[next] - t) / h, h, &y));
                        next += 1;
                    }
                    erk.accept(&mut y);
                    if next < at.len() && at[next] == t_end {
                        sum += value(next, &y);
                        next += 1;
                    }
                }
                assert_eq!(next, at.len());
                sum
            };
            let by_y0 = central_difference_by(&case.y0, 3e-4, |y0| again(y0, &case.p));
            let by_p = central_difference_by(&case.p, 3e-4, |p| again(&case.y0, p));
            // Inputs of this method's stages are sums with weights up to 120, whose rounding other stages multiply to a thousand times that
            // of the state, and differences show it.
            let rtol = if method.name == VERN8.name { 1e-6 } else { 1e-8 };
            compare("y0", &y0_bar, &by_y0, rtol)
                .unwrap_or_else(|e| panic!("{} {}: {e}", case.name, method.name));
            compare("p", &p_bar, &by_p, rtol)
                .unwrap_or_else(|e| panic!("{} {}: {e}", case.name, method.name));
        }
    }
}
