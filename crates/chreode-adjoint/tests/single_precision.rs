//! Gradients in single precision beside those in double: every route, on the problems that are not chaotic.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod frozen;

use chreode_adjoint::{
    AdjointError, BatchAdjoint, Checkpoints, ContinuousAdjoint, ContinuousMethod, ForwardSensitivities,
    OdeAdjoint, OdeHessian, OdeMethod,
};
use chreode_autodiff::Auto;
use chreode_core::{Dynamics, Real, VectorField, Vjp};
use chreode_solve::{
    Bdf, DOP853, Erk, ErkTableau, Esdirk, KENCARP4, RK4, RODAS5P, Radau5, Rhs, SolveError, SolveOptions,
    Stepper, TSIT5, Tolerance, VERN7, solve, solve_with_jacobian,
};
use chreode_testkit::{
    Arenstorf, Brusselator, BrusselatorLine, Case, Duffing, E5, Hires, LotkaVolterra, Orego, Pleiades, Pollu,
    Rational, RingModulator, Robertson, Scaffold, Smooth, SmoothField, Stiff, StiffField, VanDerPol, corpus,
    nonstiff, stiff_corpus,
};
use frozen::{Rated, difference};

/// What a gradient in single precision may differ by, of its largest entry.
const ALLOWED: f64 = 1e-3;

fn case(name: &str) -> Case {
    corpus().into_iter().find(|case| case.name == name).unwrap()
}

/// The orbits of bodies, to these times.
fn orbits() -> impl Iterator<Item = Case> {
    let until = |name| [("Arenstorf", 1.0), ("Pleiades", 1.0)].into_iter().find(|of| of.0 == name);
    nonstiff().into_iter().filter_map(move |case| Some(Case { span: (0.0, until(case.name)?.1), ..case }))
}

/// Calls `check` with the field of each, in both precisions.
fn on_orbits(check: impl Fn(&Case, &mut dyn Vjp<f32>, &mut dyn Vjp<f64>)) {
    for case in orbits() {
        match case.name {
            "Arenstorf" => check(&case, &mut SmoothField(Arenstorf), &mut SmoothField(Arenstorf)),
            _ => check(&case, &mut Pleiades, &mut Pleiades),
        }
    }
}

fn of<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|&x| T::c(x)).collect()
}

fn told<T: Real>(y0_bar: &[T], p_bar: &[T]) -> Vec<f64> {
    y0_bar.iter().chain(p_bar).map(|x| x.f64()).collect()
}

/// Calls `check` with each of the smooth problems that forget nothing and are not chaotic.
macro_rules! on_the_corpus {
    ($check:ident) => {
        $check("rational", Rational);
        $check("Lotka-Volterra", LotkaVolterra);
        $check("Brusselator", Brusselator);
        $check("Duffing", Duffing);
    };
}

fn agree(what: &str, single: &[f64], double: &[f64]) {
    let error = difference(single, double);
    println!("{what}: {error:.1e}");
    assert!(error < ALLOWED, "{what}: {error:e} {single:?} {double:?}");
}

/// The times of observation; the end of the span is that of the case.
fn times(case: &Case) -> [f64; 3] {
    [0.3, 0.7, 1.0].map(|x| case.span.0 + x * (case.span.1 - case.span.0))
}

fn discrete<T: Real>(f: &mut dyn Vjp<T>, case: &Case, method: &'static ErkTableau) -> Vec<f64> {
    let (p, mut y) = (of::<T>(&case.p), of::<T>(&case.y0));
    let at = times(case);
    let options = if method.embedded_order == 0 {
        SolveOptions::fixed(0.01)
    } else {
        SolveOptions::tolerance(1e-5, 1e-5)
    };
    let options = SolveOptions { save_at: &at, ..options };
    let mut adjoint = OdeAdjoint::with_checkpoints(method, 1, y.len(), Checkpoints::Every(5)).unwrap();
    let mut bars = Vec::new();
    adjoint
        .forward(f, &p, &mut y, (case.span.0, at[2]), &options, &mut |_, _, y| bars.push(y.to_vec()))
        .unwrap();
    let bars: Vec<&[T]> = bars.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![T::ZERO; y.len()], vec![T::ZERO; p.len()]);
    adjoint.backward(f, &p, &bars, &mut y0_bar, &mut p_bar).unwrap();
    told(&y0_bar, &p_bar)
}

#[test]
fn explicit_methods() {
    fn both(case: &Case, single: &mut dyn Vjp<f32>, double: &mut dyn Vjp<f64>) {
        for method in [&RK4, &TSIT5, &VERN7, &DOP853] {
            let (single, double) = (discrete(single, case, method), discrete(double, case, method));
            agree(&format!("{} {}", case.name, method.name), &single, &double);
        }
    }
    fn check<S: Smooth + Copy>(name: &str, problem: S) {
        both(&case(name), &mut SmoothField(problem), &mut SmoothField(problem));
    }
    on_the_corpus!(check);
    on_orbits(both);
}

/// Many trajectories in tiles.
#[test]
fn batches() {
    fn run<T: Real>() -> Vec<f64> {
        let case = case("Lotka-Volterra");
        let (p, at) = (of::<T>(&case.p), times(&case));
        let start = |i: usize| T::c(case.y0[i % 2] * (1.0 + 0.1 * (i as f64).sin()));
        let mut y: Vec<T> = (0..400).map(start).collect();
        let mut batch = BatchAdjoint::new(&TSIT5, SmoothField(LotkaVolterra), 1 << 20);
        let loss = |_: usize, _: usize, y: &[T], y_bar: &mut [T]| {
            y_bar.copy_from_slice(y);
            y.iter().map(|y| 0.5 * y.f64().powi(2)).sum()
        };
        let (mut y0_bar, mut p_bar) = (vec![T::ZERO; y.len()], vec![T::ZERO; p.len()]);
        let options = SolveOptions { save_at: &at, ..SolveOptions::tolerance(1e-5, 1e-5) };
        batch.gradient(&p, &mut y, (case.span.0, at[2]), &options, &loss, &mut y0_bar, &mut p_bar).unwrap();
        told(&[], &p_bar)
    }
    agree("batch", &run::<f32>(), &run::<f64>());
}

#[test]
fn continuous_adjoints() {
    fn run<T: Real>(f: &mut dyn Vjp<T>, case: &Case, method: ContinuousMethod) -> Vec<f64> {
        let (p, mut y) = (of::<T>(&case.p), of::<T>(&case.y0));
        let (at, d) = (times(case), y.len());
        let options = SolveOptions::tolerance(1e-5, 1e-5);
        let mut adjoint = ContinuousAdjoint::new(method, 1, d, p.len());
        let mut bars = Vec::new();
        let saving = SolveOptions { save_at: &at, ..options };
        let save = &mut |_: usize, _: f64, y: &[T]| bars.push(y.to_vec());
        let ahead = &mut Erk::new(&TSIT5, 1, d);
        adjoint.forward(&mut Rhs::Field(f), &p, &mut y, (case.span.0, at[2]), ahead, &saving, save).unwrap();
        let bars: Vec<&[T]> = bars.iter().map(Vec::as_slice).collect();
        let mut back = Erk::new(&TSIT5, 1, adjoint.backward_len());
        let (mut y0_bar, mut p_bar) = (vec![T::ZERO; d], vec![T::ZERO; p.len()]);
        adjoint.backward(f, &p, &mut back, &options, &bars, &mut y0_bar, &mut p_bar).unwrap();
        told(&y0_bar, &p_bar)
    }
    fn both(case: &Case, single: &mut dyn Vjp<f32>, double: &mut dyn Vjp<f64>) {
        for method in [ContinuousMethod::Gauss, ContinuousMethod::Interpolating, ContinuousMethod::Backsolve]
        {
            agree(
                &format!("{} {method:?}", case.name),
                &run(single, case, method),
                &run(double, case, method),
            );
        }
    }
    fn check<S: Smooth + Copy>(name: &str, problem: S) {
        both(&case(name), &mut SmoothField(problem), &mut SmoothField(problem));
    }
    on_the_corpus!(check);
    on_orbits(both);
}

#[test]
fn sensitivities() {
    fn run<T: Real, S: Smooth>(problem: S, case: &Case, stiff: bool) -> Vec<f64> {
        let (d, np) = (case.y0.len(), case.p.len());
        let all = |n: usize| (0..n).collect::<Vec<_>>();
        let mut f = ForwardSensitivities::new(SmoothField(problem), &all(d), &all(np)).unwrap();
        let (p, mut z) = (of::<T>(&case.p), vec![T::ZERO; (1 + d + np) * d]);
        f.start(&of::<T>(&case.y0), &mut z).unwrap();
        let len = z.len();
        let span = (case.span.0, times(case)[2]);
        let (options, nothing) = (SolveOptions::tolerance(1e-5, 1e-5), &mut |_: usize, _: f64, _: &[T]| {});
        if stiff {
            solve_with_jacobian(&mut f, &p, &mut z, span, &mut Radau5::new(1, len), &options, nothing)
        } else {
            solve(&mut f, &p, &mut z, span, &mut Erk::new(&TSIT5, 1, len), &options, nothing)
        }
        .unwrap();
        let mut gradient = vec![T::ZERO; d + np];
        f.pull(&z, &vec![T::ONE; d], &mut gradient).unwrap();
        told(&gradient, &[])
    }
    fn check<S: Smooth + Copy>(name: &str, problem: S) {
        let case = case(name);
        for stiff in [false, true] {
            let (single, double) =
                (run::<f32, S>(problem, &case, stiff), run::<f64, S>(problem, &case, stiff));
            agree(&format!("{name} sensitivities, implicit: {stiff}"), &single, &double);
        }
    }
    on_the_corpus!(check);
}

#[test]
fn products_with_the_hessian() {
    fn run<T: Real, D: Dynamics + Copy>(model: D, case: &Case) -> Vec<f64> {
        let mut f: Auto<D, T> = Auto::new(model);
        let (p, mut y, at) = (of::<T>(&case.p), of::<T>(&case.y0), times(case));
        let (d, np) = (y.len(), p.len());
        let mut hessian = OdeHessian::new(&TSIT5, 1, d);
        let options = SolveOptions { save_at: &at, ..SolveOptions::fixed(0.02) };
        hessian.forward(&mut f, &p, &mut y, (case.span.0, at[2]), &options, &mut |_, _, _| {}).unwrap();
        let zeros = |n: usize| vec![T::ZERO; n];
        let (mut g, mut h) = ((zeros(d), zeros(np)), (zeros(d), zeros(np)));
        let mut loss = |_: usize, _: f64, y: &[T], y_dot: &[T], b: &mut [T], b_dot: &mut [T]| {
            b.copy_from_slice(y);
            b_dot.copy_from_slice(y_dot);
        };
        let (v, q) = (vec![T::ONE; d], vec![T::c(0.5); np]);
        let (gradient, product) = ((&mut g.0[..], &mut g.1[..]), (&mut h.0[..], &mut h.1[..]));
        hessian.product(&mut f, &p, (&v, &q), &mut loss, gradient, product).unwrap();
        told(&h.0, &h.1)
    }
    fn check<D: Dynamics + Copy>(name: &str, model: D) {
        let case = case(name);
        agree(&format!("{name} Hessian"), &run::<f32, D>(model, &case), &run::<f64, D>(model, &case));
    }
    on_the_corpus!(check);
}

/// A stiff problem over a span; the loss is a weighted sum of the states at two times.
struct Span<'a> {
    y0: Vec<f64>,
    floor: f64,
    t_end: f64,
    tolerance: f64,
    weights: &'a [f64],
}

/// By the parameters, and by the start state times the size that each coordinate has or gets: derivatives by coordinates have the sizes of
/// one over these.
fn of_a_stiff_run<T: Real>(
    f: &mut dyn Vjp<T>,
    method: OdeMethod,
    span: &Span<'_>,
) -> Result<[Vec<f64>; 2], AdjointError> {
    let (mut y, p) = (of::<T>(&span.y0), [1.0, 1.02, 0.97, 1.01].map(T::c));
    let p = &p[..f.n_params()];
    let mut adjoint = OdeAdjoint::new(method, 1, y.len());
    let at = [0.4 * span.t_end, span.t_end];
    let tolerance = Tolerance::new(span.tolerance, span.tolerance * span.floor);
    let options = SolveOptions { save_at: &at, tolerance, ..SolveOptions::default() };
    let mut sizes: Vec<f64> = span.y0.iter().map(|y| y.abs()).collect();
    let mut save = |_: usize, _: f64, y: &[T]| {
        sizes.iter_mut().zip(y).for_each(|(size, y)| *size = size.max(y.f64().abs()));
    };
    adjoint.forward(f, p, &mut y, (0.0, span.t_end), &options, &mut save)?;
    let bar: Vec<T> = span.weights.iter().cycle().take(y.len()).map(|&w| T::c(w)).collect();
    let (mut y0_bar, mut p_bar) = (vec![T::ZERO; y.len()], vec![T::ZERO; p.len()]);
    adjoint.backward(f, p, &[&bar, &bar], &mut y0_bar, &mut p_bar)?;
    let by_start = told(&y0_bar, &[]).iter().zip(&sizes).map(|(bar, size)| bar * size).collect();
    Ok([told(&p_bar, &[]), by_start])
}

fn all_implicit() -> [OdeMethod; 7] {
    use OdeMethod::{Bdf, Radau, Radau5, Radau9, Radau13};
    [Radau5, Radau9, Radau13, Radau, Bdf, (&KENCARP4).into(), (&RODAS5P).into()]
}

fn stiff<S: Stiff + Clone + 'static>(problem: &S, what: &str, span: &Span<'_>) {
    let np = span.y0.len().min(4);
    for method in all_implicit() {
        let single = &mut Rated::<f32>::new(Box::new(StiffField::new(problem.clone())), np);
        let double = &mut Rated::<f64>::new(Box::new(StiffField::new(problem.clone())), np);
        let what = match method {
            OdeMethod::Esdirk(of) => format!("{what} {}", of.name),
            OdeMethod::Rosenbrock(of) => format!("{what} {}", of.name),
            other => format!("{what} {other:?}"),
        };
        let [by_p, by_start] = of_a_stiff_run(single, method, span).unwrap();
        let [exact_by_p, exact_by_start] = of_a_stiff_run(double, method, span).unwrap();
        agree(&format!("{what} by parameters"), &by_p, &exact_by_p);
        agree(&format!("{what} by start"), &by_start, &exact_by_start);
    }
}

/// Runs of stiff methods over the fast phase and beyond.
#[test]
fn implicit_methods() {
    fn check<S: Stiff + Clone + 'static>(
        name: &str,
        problem: &S,
        (t_end, tolerance): (f64, f64),
        weights: &[f64],
    ) {
        let case = stiff_corpus().into_iter().find(|case| case.name == name).unwrap();
        stiff(problem, name, &Span { y0: case.y0, floor: case.floor, t_end, tolerance, weights });
    }
    check("HIRES", &Hires, (5.0, 1e-4), &[1.0]);
    check("Robertson", &Robertson, (40.0, 1e-4), &[1.0, 1e4, -0.5]);
    check("POLLU", &Pollu, (1.0, 1e-4), &[1.0]);
    check("scaffold", &Scaffold, (1.0, 1e-4), &[1.0]);
    // Before the jump.
    check("van der Pol 1e3", &VanDerPol { eps: 1e-6 }, (0.5, 1e-4), &[1.0, 0.7]);
    check("van der Pol 1e6", &VanDerPol { eps: 1e-12 }, (0.5, 1e-4), &[1.0, 0.7]);
    // Before the first pulse: on its flank the states themselves are a thousandth apart.
    check("OREGO", &Orego, (15.0, 1e-5), &[1.0]);
    // Further on, the adjoint stages are not solved in single precision: the test below.
    check("E5", &E5, (5.0, 1e-4), &[1.0, 1e6, 1e6, 1e6]);
    // At 1e-4 the steps of two runs, which rounding makes different, are further apart than that.
    check("ring modulator", &RingModulator, (2e-6, 1e-6), &[1.0]);
}

/// Amounts over twenty orders of magnitude: late in E5 the adjoint stages are not solved in single precision, which is said.
#[test]
fn too_stiff_for_single_precision() {
    let case = stiff_corpus().into_iter().find(|case| case.name == "E5").unwrap();
    let weights = &[1.0, 1e6, 1e6, 1e6];
    let span = Span { y0: case.y0, floor: case.floor, t_end: 100.0, tolerance: 1e-4, weights };
    let single = &mut Rated::<f32>::new(Box::new(StiffField::new(E5)), 4);
    let told = of_a_stiff_run(single, OdeMethod::Radau5, &span).unwrap_err();
    assert!(matches!(told, AdjointError::Solve(SolveError::Unsolved { .. })), "{told}");
    let double = &mut Rated::<f64>::new(Box::new(StiffField::new(E5)), 4);
    of_a_stiff_run(double, OdeMethod::Radau5, &span).unwrap();
}

/// A large one, with a sparse Jacobian.
#[test]
fn a_line_of_500_points() {
    let line = BrusselatorLine { points: 500 };
    let (y0, weights) = (line.start(), &[1.0, 0.6, -0.4]);
    stiff(&line, "Brusselator 1-D", &Span { y0, floor: 1.0, t_end: 3.0, tolerance: 1e-4, weights });
}

/// The step's equations in single precision are those of the method: a stepper that keeps a table of differences too.
#[test]
fn stiff_sensitivities() {
    fn run<T: Real>(stepper: fn(usize) -> Box<dyn Stepper<T>>) -> Vec<f64> {
        let case = case("Brusselator");
        let mut f = ForwardSensitivities::new(SmoothField(Brusselator), &[0, 1], &[0, 1]).unwrap();
        let (p, mut z) = (of::<T>(&case.p), vec![T::ZERO; 10]);
        f.start(&of::<T>(&case.y0), &mut z).unwrap();
        let (options, mut stepper) = (SolveOptions::tolerance(1e-5, 1e-5), stepper(10));
        solve_with_jacobian(&mut f, &p, &mut z, (0.0, 3.0), &mut *stepper, &options, &mut |_, _, _| {})
            .unwrap();
        told(&z[2..], &[])
    }
    agree("Bdf", &run::<f32>(|n| Box::new(Bdf::new(1, n))), &run::<f64>(|n| Box::new(Bdf::new(1, n))));
    agree(
        "Bdf, staggered",
        &run::<f32>(|n| Box::new(Bdf::new(1, n).staggered())),
        &run::<f64>(|n| Box::new(Bdf::new(1, n).staggered())),
    );
    agree(
        "Radau5, staggered",
        &run::<f32>(|n| Box::new(Radau5::new(1, n).staggered())),
        &run::<f64>(|n| Box::new(Radau5::new(1, n).staggered())),
    );
    agree(
        "KenCarp4, staggered",
        &run::<f32>(|n| Box::new(Esdirk::new(&KENCARP4, 1, n).staggered())),
        &run::<f64>(|n| Box::new(Esdirk::new(&KENCARP4, 1, n).staggered())),
    );
}
