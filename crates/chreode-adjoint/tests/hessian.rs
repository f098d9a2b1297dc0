//! Hessian-vector products against differences of gradients through the same steps, for symmetry, and where they are known.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_adjoint::{AdjointError, OdeAdjoint, OdeHessian};
use chreode_autodiff::Auto;
use chreode_core::{Dynamics, Number, VectorField, put, take};
use chreode_linalg::Activation;
use chreode_model::{MlpShape, SquareMlp};
use chreode_solve::{DOP853, ErkTableau, RK4, SolveOptions, StepSize, TSIT5};
use chreode_testkit::{
    Brusselator, CountingAllocator, Duffing, Lorenz, LotkaVolterra, Rational, allocations_in, compare,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// `Σ sin(y_j + 0.1 i) / (1 + i)` over the coordinates at each saved time.
fn bar(i: usize, y: f64) -> f64 {
    (y + 0.1 * i as f64).cos() / (1.0 + i as f64)
}

fn bar_dot(i: usize, y: f64, y_dot: f64) -> f64 {
    -(y + 0.1 * i as f64).sin() * y_dot / (1.0 + i as f64)
}

fn loss(i: usize, _t: f64, y: &[f64], y_dot: &[f64], b: &mut [f64], b_dot: &mut [f64]) {
    for j in 0..y.len() {
        (b[j], b_dot[j]) = (bar(i, y[j]), bar_dot(i, y[j], y_dot[j]));
    }
}

/// Gradient and product, one after the other: by start state, then by parameters.
struct Answer {
    gradient: Vec<f64>,
    product: Vec<f64>,
}

fn answer<D: Dynamics + Copy>(
    model: D,
    method: &'static ErkTableau,
    options: &SolveOptions<'_>,
    y0: &[f64],
    p: &[f64],
    direction: &[f64],
) -> Answer {
    let mut f: Auto<D> = Auto::new(model);
    let (d, np) = (model.dim(), p.len());
    let mut hessian = OdeHessian::new(method, y0.len() / d, d);
    hessian.forward(&mut f, p, &mut y0.to_vec(), (0.0, 1.0), options, &mut |_, _, _| {}).unwrap();
    let (v, q) = direction.split_at(y0.len());
    let (mut g, mut h) = ((vec![0.0; y0.len()], vec![0.0; np]), (vec![0.0; y0.len()], vec![0.0; np]));
    let (gradient, product) = ((&mut g.0[..], &mut g.1[..]), (&mut h.0[..], &mut h.1[..]));
    hessian.product(&mut f, p, (v, q), &mut loss, gradient, product).unwrap();
    Answer { gradient: [g.0, g.1].concat(), product: [h.0, h.1].concat() }
}

/// The gradient by the first-order adjoint, with fixed steps.
fn gradient<D: Dynamics + Copy>(
    model: D,
    method: &'static ErkTableau,
    options: &SolveOptions<'_>,
    x: &[f64],
    np: usize,
) -> Vec<f64> {
    let mut f: Auto<D> = Auto::new(model);
    let (y0, p) = x.split_at(x.len() - np);
    let d = model.dim();
    let mut adjoint = OdeAdjoint::new(method, y0.len() / d, d);
    let mut bars = Vec::new();
    let mut save =
        |i: usize, _: f64, y: &[f64]| bars.push(y.iter().map(|&y| bar(i, y)).collect::<Vec<f64>>());
    adjoint.forward(&mut f, p, &mut y0.to_vec(), (0.0, 1.0), options, &mut save).unwrap();
    let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![0.0; y0.len()], vec![0.0; np]);
    adjoint.backward(&mut f, p, &bars, &mut y0_bar, &mut p_bar).unwrap();
    [y0_bar, p_bar].concat()
}

/// The central difference of fourth order of gradients along a direction.
fn difference(x: &[f64], v: &[f64], h: f64, gradient: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    let at = |s: f64| gradient(&x.iter().zip(v).map(|(x, v)| x + s * v).collect::<Vec<_>>());
    let (p1, m1, p2, m2) = (at(h), at(-h), at(2.0 * h), at(-2.0 * h));
    (0..x.len()).map(|i| (8.0 * (p1[i] - m1[i]) - (p2[i] - m2[i])) / (12.0 * h)).collect()
}

fn check<D: Dynamics + Copy>(name: &str, model: D, y0: &[f64], p: &[f64]) {
    let saves = [0.0, 0.3, 0.3 + 1e-9, 1.0];
    let options = SolveOptions { save_at: &saves, ..SolveOptions::fixed(0.05) };
    let x = [y0, p].concat();
    let direction = |k: usize| (0..x.len()).map(|i| ((i * 7 + k * 5) % 11) as f64 / 11.0 - 0.4).collect();
    let (v, w): (Vec<f64>, Vec<f64>) = (direction(1), direction(2));
    for (which, method) in [("RK4", &RK4), ("Tsit5", &TSIT5), ("Dop853", &DOP853)] {
        let along = |v: &[f64]| answer(model, method, &options, y0, p, v);
        let of_v = along(&v);
        let first = |x: &[f64]| gradient(model, method, &options, x, p.len());
        compare("gradient", &of_v.gradient, &first(&x), 1e-12).unwrap();
        let by_differences = difference(&x, &v, 2e-3, first);
        compare("product", &of_v.product, &by_differences, 1e-6)
            .unwrap_or_else(|e| panic!("{name} {which}: {e}"));
        let of_w = along(&w);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (vw, wv) = (dot(&of_v.product, &w), dot(&of_w.product, &v));
        assert!((vw - wv).abs() < 1e-11 * (1.0 + vw.abs()), "{name} {which}: {vw} {wv}");
    }
}

#[test]
fn products_are_differences_of_gradients_and_symmetric() {
    check("Lotka-Volterra", LotkaVolterra, &[1.0, 0.5], &[1.5, 1.0, 0.75, 3.0]);
    check("two rows", LotkaVolterra, &[1.0, 0.5, 0.4, 1.2], &[1.5, 1.0, 0.75, 3.0]);
    check("Lorenz", Lorenz, &[0.4, 0.2, 0.7], &[3.0, 5.0, 2.5]);
    check("Brusselator", Brusselator, &[1.2, 2.1], &[1.0, 2.3]);
    check("Rational", Rational, &[1.2, 0.8, 0.5], &[0.9, 1.3, 0.6, 1.1, 0.7][..Rational.n_params()]);
    check("Duffing", Duffing, &[0.7, 0.3], &[0.5, 1.0, 0.4, 0.8, 1.2][..Duffing.n_params()]);
}

/// The steps of an adaptive run are taken as they were: its gradient and product are those of the same steps by hand.
#[test]
fn steps_of_adaptive_runs_stay_where_they_were() {
    let (y0, p) = ([1.0, 0.5], [1.5, 1.0, 0.75, 3.0]);
    let mut f: Auto<_> = Auto::new(LotkaVolterra);
    let mut hessian = OdeHessian::new(&TSIT5, 1, 2);
    let adaptive = SolveOptions { save_at: &[0.4, 1.0], ..SolveOptions::tolerance(1e-6, 1e-6) };
    hessian.forward(&mut f, &p, &mut y0.clone(), (0.0, 1.0), &adaptive, &mut |_, _, _| {}).unwrap();
    let direction: (&[f64], &[f64]) = (&[0.3, -0.2], &[0.1, 0.5, -0.3, 0.2]);
    let (mut g, mut h) = (([0.0; 2], [0.0; 4]), ([0.0; 2], [0.0; 4]));
    let (gradient, product) = ((&mut g.0[..], &mut g.1[..]), (&mut h.0[..], &mut h.1[..]));
    hessian.product(&mut f, &p, direction, &mut loss, gradient, product).unwrap();

    // By hand: one run a step, of one step each, with everything else in its loss.
    let steps = hessian.steps().to_vec();
    let frozen = |x: &[f64]| {
        let (mut f, (y0, p)) = (Auto::<_>::new(LotkaVolterra), x.split_at(2));
        let (mut y, mut states) = (y0.to_vec(), vec![y0.to_vec()]);
        let run = |f: &mut Auto<_>, y: &mut [f64], t: (f64, f64)| {
            let mut adjoint = OdeAdjoint::new(&TSIT5, 1, 2);
            let step = StepSize::Adaptive { h0: Some(t.1 - t.0), h_max: f64::INFINITY };
            let loose = SolveOptions { save_at: &[t.1], step, ..SolveOptions::tolerance(1.0, 1e3) };
            adjoint.forward(f, p, y, t, &loose, &mut |_, _, _| {}).unwrap();
            assert_eq!(adjoint.steps().len(), 1);
            adjoint
        };
        for &t in &steps {
            run(&mut f, &mut y, t);
            states.push(y.clone());
        }
        let (mut a, mut p_bar) = (vec![0.0; 2], vec![0.0; 4]);
        for (k, &(t, t_end)) in steps.iter().enumerate().rev() {
            if let Some(i) = [0.4, 1.0].iter().position(|&at| at == t_end) {
                a.iter_mut().zip(&states[k + 1]).for_each(|(a, &y)| *a += bar(i, y));
            }
            let mut adjoint = run(&mut f, &mut states[k].clone(), (t, t_end));
            let end = a.clone();
            adjoint.backward(&mut f, p, &[&end], &mut a, &mut p_bar).unwrap();
        }
        [a, p_bar].concat()
    };
    let x = [&y0[..], &p[..]].concat();
    compare("gradient", &[&g.0[..], &g.1[..]].concat(), &frozen(&x), 1e-12).unwrap();
    let v = [direction.0, direction.1].concat();
    compare("product", &[&h.0[..], &h.1[..]].concat(), &difference(&x, &v, 2e-3, frozen), 1e-6).unwrap();
}

/// `dy/dt = -p y`, over one Euler-like polynomial a step: half of the square of the end is known in closed form.
#[derive(Clone, Copy)]
struct Decay;
impl Dynamics for Decay {
    fn dim(&self) -> usize {
        1
    }
    fn n_params(&self) -> usize {
        1
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([y], [p]) = (take(y), take(p));
        put(dy, [-p * y]);
    }
}

#[test]
fn a_quadratic_is_exact() {
    let mut f: Auto<_> = Auto::new(Decay);
    let (y0, p, h) = (1.3, 0.7, 0.5);
    let mut hessian = OdeHessian::new(&RK4, 1, 1);
    let options = SolveOptions { save_at: &[1.0], ..SolveOptions::fixed(h) };
    hessian.forward(&mut f, &[p], &mut [y0], (0.0, 1.0), &options, &mut |_, _, _| {}).unwrap();
    let mut square = |_: usize, _: f64, y: &[f64], y_dot: &[f64], b: &mut [f64], b_dot: &mut [f64]| {
        (b[0], b_dot[0]) = (y[0], y_dot[0]);
    };
    // y(1) = y0 R(p)² with R the polynomial of RK4.
    let x = p * h;
    let r = 1.0 - x + x * x / 2.0 - x * x * x / 6.0 + x.powi(4) / 24.0;
    let (r1, r2) = (-h * (1.0 - x + x * x / 2.0 - x * x * x / 6.0), h * h * (1.0 - x + x * x / 2.0));
    let (end, end1, end2) = (r * r, 2.0 * r * r1, 2.0 * (r1 * r1 + r * r2));
    let expected =
        [[end * end, 2.0 * y0 * end * end1], [2.0 * y0 * end * end1, y0 * y0 * (end1 * end1 + end * end2)]];
    for (k, expected) in expected.iter().enumerate() {
        let unit = [f64::from(k == 0), f64::from(k == 1)];
        let (mut g, mut v) = ([[0.0]; 2], [[0.0]; 2]);
        let ([gy, gp], [vy, vp]) = (&mut g, &mut v);
        hessian.product(&mut f, &[p], (&unit[..1], &unit[1..]), &mut square, (gy, gp), (vy, vp)).unwrap();
        compare("gradient", g.as_flattened(), &[y0 * end * end, y0 * y0 * end * end1], 1e-14).unwrap();
        compare("column", v.as_flattened(), expected, 1e-14).unwrap();
    }
}

#[test]
fn bad_input() {
    let mut f: Auto<_> = Auto::new(LotkaVolterra);
    let (p, options) = ([1.5, 1.0, 0.75, 3.0], SolveOptions { save_at: &[1.0], ..SolveOptions::fixed(0.1) });
    let mut hessian = OdeHessian::new(&RK4, 1, 2);
    let product =
        |hessian: &mut OdeHessian<f64>, f: &mut Auto<LotkaVolterra>, v: &[f64], q: &[f64], by: f64| {
            let (mut g, mut h) = (([0.0; 2], [0.0; 4]), ([0.0; 2], [0.0; 4]));
            let mut loss = |_: usize, _: f64, _: &[f64], _: &[f64], b: &mut [f64], _: &mut [f64]| b[0] = by;
            let (gradient, out) = ((&mut g.0[..], &mut g.1[..]), (&mut h.0[..], &mut h.1[..]));
            hessian.product(f, &p, (v, q), &mut loss, gradient, out)
        };
    let none = product(&mut hessian, &mut f, &[0.0; 2], &[0.0; 4], 1.0);
    assert_eq!(none, Err(AdjointError::NoForwardPass));
    hessian.forward(&mut f, &p, &mut [1.0, 0.5], (0.0, 1.0), &options, &mut |_, _, _| {}).unwrap();
    let short = product(&mut hessian, &mut f, &[0.0; 2], &[0.0; 3], 1.0).unwrap_err();
    assert_eq!(short.to_string(), "direction of the parameters has length 3, expected 4");
    assert_eq!(product(&mut hessian, &mut f, &[0.0; 2], &[0.0; 4], 1.0), Ok(()));
    let nan = product(&mut hessian, &mut f, &[0.0; 2], &[0.0; 4], f64::NAN);
    assert!(matches!(nan, Err(AdjointError::NonFinite { t, .. }) if (t - 0.9).abs() < 1e-9), "{nan:?}");
    // What was added to was not finite.
    for (g_p, h_p) in [([0.0, f64::NAN, 0.0, 0.0], [0.0; 4]), ([0.0; 4], [0.0, f64::INFINITY, 0.0, 0.0])] {
        let (mut g, mut h) = (([0.0; 2], g_p), ([0.0; 2], h_p));
        let (gradient, out) = ((&mut g.0[..], &mut g.1[..]), (&mut h.0[..], &mut h.1[..]));
        let told = hessian.product(&mut f, &p, (&[0.0; 2], &[0.0; 4]), &mut loss, gradient, out);
        let expected = AdjointError::NonFiniteGradient { t: 0.0, parameter: 1, first: 0, last: 0 };
        assert_eq!(told, Err(expected));
    }
    // A run that failed leaves nothing to go back through.
    hessian.forward(&mut f, &p[..2], &mut [1.0, 0.5], (0.0, 1.0), &options, &mut |_, _, _| {}).unwrap_err();
    let none = product(&mut hessian, &mut f, &[0.0; 2], &[0.0; 4], 1.0);
    assert_eq!(none, Err(AdjointError::NoForwardPass));
}

#[test]
fn nothing_is_allocated_again() {
    let mut f: Auto<_> = Auto::new(LotkaVolterra);
    let (p, options) = ([1.5, 1.0, 0.75, 3.0], SolveOptions { save_at: &[1.0], ..SolveOptions::fixed(0.1) });
    let mut hessian = OdeHessian::new(&TSIT5, 1, 2);
    let mut pass = || {
        hessian.forward(&mut f, &p, &mut [1.0, 0.5], (0.0, 1.0), &options, &mut |_, _, _| {}).unwrap();
        let (mut g, mut h) = (([0.0; 2], [0.0; 4]), ([0.0; 2], [0.0; 4]));
        let (gradient, product) = ((&mut g.0[..], &mut g.1[..]), (&mut h.0[..], &mut h.1[..]));
        hessian.product(&mut f, &p, (&[1.0, 0.0], &[0.0; 4]), &mut loss, gradient, product).unwrap();
    };
    let (first, ()) = allocations_in(&mut pass);
    assert!(first > 0, "the counter works");
    assert_eq!(allocations_in(&mut pass).0, 0);
}

/// A net's Hessian, which no program is recorded for: against differences of gradients.
#[test]
fn through_a_net() {
    let shape = MlpShape::new(3, &[5, 4], 3, Activation::Tanh);
    let mut f = SquareMlp::<f64>::new(shape).unwrap();
    let wave = |len: usize, by: f64| (0..len).map(|i| (by * (i as f64 + 1.0)).sin()).collect::<Vec<_>>();
    let (n, np) = (4, f.n_params());
    let (y, p, v, q) = (wave(3 * n, 0.7), wave(np, 1.1), wave(3 * n, 0.4), wave(np, 1.7));
    let options = SolveOptions { save_at: &[0.4, 1.0], ..SolveOptions::fixed(0.1) };
    let mut hessian = OdeHessian::new(&RK4, n, 3);
    hessian.forward(&mut f, &p, &mut y.clone(), (0.0, 1.0), &options, &mut |_, _, _| {}).unwrap();
    let (mut g, mut g_p, mut hv, mut hv_p) =
        (vec![0.0; 3 * n], vec![0.0; np], vec![0.0; 3 * n], vec![0.0; np]);
    hessian.product(&mut f, &p, (&v, &q), &mut loss, (&mut g, &mut g_p), (&mut hv, &mut hv_p)).unwrap();
    let mut gradient = |h: f64| {
        let moved = |x: &[f64], by: &[f64]| x.iter().zip(by).map(|(x, by)| x + h * by).collect::<Vec<_>>();
        let (mut y, p) = (moved(&y, &v), moved(&p, &q));
        let (mut adjoint, mut bars) = (OdeAdjoint::new(&RK4, n, 3), Vec::new());
        let mut save =
            |i: usize, _: f64, y: &[f64]| bars.push(y.iter().map(|&y| bar(i, y)).collect::<Vec<_>>());
        adjoint.forward(&mut f, &p, &mut y, (0.0, 1.0), &options, &mut save).unwrap();
        let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
        let (mut y_bar, mut p_bar) = (vec![0.0; 3 * n], vec![0.0; np]);
        adjoint.backward(&mut f, &p, &bars, &mut y_bar, &mut p_bar).unwrap();
        [y_bar, p_bar].concat()
    };
    compare("gradient", &[g, g_p].concat(), &gradient(0.0), 1e-12).unwrap();
    let h = 1e-4;
    let difference: Vec<f64> =
        gradient(h).iter().zip(gradient(-h)).map(|(plus, minus)| (plus - minus) / (2.0 * h)).collect();
    compare("product", &[hv, hv_p].concat(), &difference, 1e-6).unwrap();
}
