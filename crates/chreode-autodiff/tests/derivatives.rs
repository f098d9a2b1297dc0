//! Every route to a derivative against every other, against derivatives by hand and against finite differences.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_autodiff::{Auto, Dual, Program, Tape};
use chreode_core::{Dynamics, Jacobian, Jvp, Number, Sparsity, VectorField, Vjp, put, take};
use chreode_linalg::Lanes;
use chreode_testkit::{
    Brusselator, BrusselatorLine, Differentiable, Duffing, GradientMismatch, Hires, Lorenz, LotkaVolterra,
    Pollu, Rational, RingModulator, Scaffold, SmoothField, Stiff, StiffField, StiffModel, Toggle,
    central_difference, check_jacobian, check_jvp, check_vjp, corpus,
};
use proptest::prelude::*;

/// Derivatives of one trajectory by dual numbers of one direction: `[d, d + np]`, row-major.
fn by_directions<D: Dynamics>(model: &D, t: f64, y: &[f64], p: &[f64]) -> Vec<f64> {
    let (d, np) = (y.len(), p.len());
    let mut jacobian = vec![0.0; d * (d + np)];
    for j in 0..d + np {
        let moved = |(i, &x): (usize, &f64)| Dual::<f64, 1>::variable(x, usize::from(i != j));
        let x: Vec<_> = y.iter().chain(p).enumerate().map(moved).collect();
        let mut dy = vec![Dual::c(0.0); d];
        model.eval(Dual::c(t), &x[..d], &x[d..], &mut dy);
        for i in 0..d {
            jacobian[i * (d + np) + j] = dy[i].d[0];
        }
    }
    jacobian
}

/// To `rtol` of the largest entry, or of a tenth: inputs are of size one, and where their terms cancel the roundings of these remain.
fn compare(what: &'static str, value: &[f64], expected: &[f64], rtol: f64) -> Result<(), GradientMismatch> {
    let with_least = |x: &[f64]| [x, &[0.1]].concat();
    chreode_testkit::compare(what, &with_least(value), &with_least(expected), rtol)
}

/// `λᵀ` times that: by states, by parameters.
fn pulled(jacobian: &[f64], lambda: &[f64], np: usize) -> (Vec<f64>, Vec<f64>) {
    let d = lambda.len();
    let column = |j: usize| (0..d).map(|i| lambda[i] * jacobian[i * (d + np) + j]).sum();
    ((0..d).map(column).collect(), (d..d + np).map(column).collect())
}

const TIGHT: f64 = 1e-13;

/// A way to pull a cotangent back: sets the first and adds to the second.
type Pull<'a> = &'a mut dyn FnMut(&mut [f64], &mut [f64]);

/// All routes of one model at one point.
fn all_routes<D: Dynamics + Copy>(
    model: D,
    t: f64,
    y: &[f64],
    p: &[f64],
) -> Result<(), Box<dyn std::error::Error>> {
    let (d, np) = (model.dim(), model.n_params());
    let lambda: Vec<f64> = (0..d).map(|i| 1.0 - 0.3 * (i % 5) as f64).collect();
    let mut auto: Auto<D> = Auto::new(model);
    let program = Program::record(&model);

    // Values.
    let (mut plain, mut replayed) = (vec![0.0; d], vec![0.0; d]);
    model.eval(t, y, p, &mut plain);
    program.eval(&mut program.replay(), t, y, p, &mut replayed);
    compare("recorded program", &replayed, &plain, TIGHT)?;
    VectorField::eval(&mut auto, t, y, p, &mut replayed)?;
    assert_eq!(replayed, plain);

    // Directions one by one against differences, everything else against them.
    let jacobian = by_directions(&model, t, y, p);
    let (y_bar, p_bar) = pulled(&jacobian, &lambda, np);
    check_vjp(&mut auto, t, y, p, &lambda, 1e-8)?;
    check_jvp(&mut auto, t, y, p, &lambda, 1e-8)?;

    let mut values = vec![f64::NAN; auto.sparsity().map_or(d * d, Sparsity::len)];
    auto.jacobian(t, y, p, &mut values)?;
    let dense = scattered(&auto, &values, d);
    for i in 0..d {
        compare("Jacobian", &dense[i * d..][..d], &jacobian[i * (d + np)..][..d], TIGHT)?;
    }
    let mut jv = vec![f64::NAN; d];
    auto.jvp(t, y, p, &lambda, &mut jv)?;
    let product: Vec<f64> =
        dense.chunks(d).map(|r| r.iter().zip(&lambda).map(|(a, b)| a * b).sum()).collect();
    compare("jv", &jv, &product, TIGHT)?;

    let pull = |what, f: Pull<'_>| -> Result<(), Box<dyn std::error::Error>> {
        let (mut yb, mut pb) = (vec![f64::NAN; d], vec![0.5; np]);
        f(&mut yb, &mut pb);
        compare(what, &yb, &y_bar, TIGHT)?;
        let added: Vec<f64> = p_bar.iter().map(|p| p + 0.5).collect();
        Ok(compare(what, &pb, &added, TIGHT)?)
    };
    let (mut replay, mut tape) = (program.replay(), Tape::new());
    pull("program", &mut |yb, pb| program.vjp(&mut replay, t, y, p, &lambda, yb, pb))?;
    for _ in 0..2 {
        pull("tape", &mut |yb, pb| tape.vjp(&model, t, y, p, &lambda, yb, pb))?;
    }

    // Many trajectories: each row is that of one, the parameters' sum is the sum.
    for n in [2, 7, 8, 19] {
        let scale = |i: usize| 1.0 + 0.01 * i as f64;
        let rows =
            |x: &[f64]| -> Vec<f64> { (0..n).flat_map(|i| x.iter().map(move |x| x * scale(i))).collect() };
        let (ys, lambdas) = (rows(y), rows(&lambda));
        let (mut ybs, mut pb) = (vec![f64::NAN; n * d], vec![0.0; np]);
        auto.vjp(t, &ys, p, &lambdas, &mut ybs, &mut pb)?;
        let mut jvs = vec![f64::NAN; n * d];
        auto.jvp(t, &ys, p, &lambdas, &mut jvs)?;
        let mut sum = vec![0.0; np];
        for i in 0..n {
            let (y, l) = (&ys[i * d..(i + 1) * d], &lambdas[i * d..(i + 1) * d]);
            let mut yb = vec![0.0; d];
            program.vjp(&mut replay, t, y, p, l, &mut yb, &mut sum);
            compare("row of a batch", &ybs[i * d..(i + 1) * d], &yb, TIGHT)?;
            auto.jvp(t, y, p, l, &mut yb)?;
            assert_eq!(&jvs[i * d..(i + 1) * d], yb);
        }
        compare("parameters of a batch", &pb, &sum, TIGHT)?;
    }

    // In single precision: derivatives are computed in double, from rounded inputs.
    let single = |x: &[f64]| -> Vec<f32> { x.iter().map(|&x| x as f32).collect() };
    let double = |x: &[f32]| -> Vec<f64> { x.iter().map(|&x| f64::from(x)).collect() };
    let mut auto32: Auto<D, f32> = Auto::new(model);
    let (y32, p32, l32) = (single(y), single(p), single(&lambda));
    let (mut yb, mut pb) = (vec![0.0_f32; d], vec![0.0_f32; np]);
    auto32.vjp(t, &y32, &p32, &l32, &mut yb, &mut pb)?;
    let exact = by_directions(&model, t, &double(&y32), &double(&p32));
    let (exact_y, exact_p) = pulled(&exact, &double(&l32), np);
    compare("y_bar of f32", &double(&yb), &exact_y, 2e-7)?;
    compare("p_bar of f32", &double(&pb), &exact_p, 2e-7)?;
    let mut values32 = vec![0.0_f32; values.len()];
    auto32.jacobian(t, &y32, &p32, &mut values32)?;
    let dense = scattered(&auto, &double(&values32), d);
    let states: Vec<f64> = exact.chunks(d + np).flat_map(|row| row[..d].to_vec()).collect();
    compare("Jacobian of f32", &dense, &states, 2e-7)?;
    let (mut dy, mut jv) = (vec![0.0_f32; d], vec![0.0_f32; d]);
    auto32.eval(t, &y32, &p32, &mut dy)?;
    // Values round with their terms, which may cancel: about as far as rounded inputs move them.
    let inputs: Vec<f64> = y.iter().chain(p).copied().collect();
    for ((row, &dy), plain) in exact.chunks(d + np).zip(&dy).zip(&plain) {
        let terms: f64 = row.iter().zip(&inputs).map(|(slope, x)| (slope * x).abs()).sum();
        let error = (f64::from(dy) - plain).abs();
        let bound = 8.0 * f64::from(f32::EPSILON) * (1.0 + terms);
        if error > bound {
            return Err(format!("f32: {dy} is {error:e} from {plain}, at most {bound:e} expected").into());
        }
    }
    auto32.jvp(t, &y32, &p32, &l32, &mut jv)?;
    let product: Vec<f64> =
        states.chunks(d).map(|r| r.iter().zip(&double(&l32)).map(|(a, b)| a * b).sum()).collect();
    Ok(compare("jv of f32", &double(&jv), &product, 2e-7)?)
}

/// The values of a Jacobian as a dense matrix.
fn scattered<F: Jacobian<f64>>(f: &F, values: &[f64], d: usize) -> Vec<f64> {
    let Some(s) = f.sparsity() else { return values.to_vec() };
    let mut dense = vec![0.0; d * d];
    for j in 0..d {
        for (k, &i) in s.column(j).iter().enumerate() {
            dense[i * d + j] = values[s.col_starts()[j] + k];
        }
    }
    dense
}

fn check<D: Dynamics + Copy>(model: D, t: f64, y: &[f64], p: &[f64]) {
    let (y, p) = (&y[..model.dim()], &p[..model.n_params()]);
    all_routes(model, t, y, p).unwrap_or_else(|e| panic!("{e} at t = {t}, y = {y:?}, p = {p:?}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn all_routes_agree(
        t in 0.0..2.0_f64,
        y in prop::array::uniform3(0.2..2.0_f64),
        p in prop::array::uniform5(0.3..2.0_f64),
    ) {
        check(Rational, t, &y, &p);
        check(LotkaVolterra, t, &y, &p);
        check(Lorenz, t, &y, &p);
        check(Brusselator, t, &y, &p);
        check(Duffing, t, &y, &p);
        for off in [0.0, 5.0] {
            check(Toggle { off }, t, &y, &p);
        }
        let line = BrusselatorLine { points: 12 };
        let start: Vec<f64> = line.start().iter().map(|x| x * y[0]).collect();
        check(line, t, &start, &p);
    }
}

/// The corpus' own derivatives, written by hand.
#[test]
fn the_corpus_by_hand() {
    fn model(name: &str) -> Box<dyn Differentiable<f64>> {
        match name {
            "rational" => Box::new(Auto::<_>::new(Rational)),
            "Lotka-Volterra" => Box::new(Auto::<_>::new(LotkaVolterra)),
            "Lorenz" => Box::new(Auto::<_>::new(Lorenz)),
            "Brusselator" => Box::new(Auto::<_>::new(Brusselator)),
            "Duffing" => Box::new(Auto::<_>::new(Duffing)),
            name => panic!("{name} has no model that is written once"),
        }
    }
    for mut case in corpus() {
        let mut auto = model(case.name);
        let (d, np) = (case.y0.len(), case.p.len());
        assert_eq!((auto.dim(), auto.n_params()), (d, np));
        for t in [0.0, 0.7] {
            let (y, p) = (&case.y0, &case.p);
            let (mut a, mut b) = (vec![0.0; d * d], vec![0.0; d * d]);
            auto.jacobian(t, y, p, &mut a).unwrap();
            case.field.jacobian(t, y, p, &mut b).unwrap();
            compare("Jacobian", &a, &b, TIGHT).unwrap();
            check_jacobian(&mut *auto, t, y, p, 1e-8).unwrap();
            let lambda = vec![0.7; d];
            let (mut ya, mut pa, mut yb, mut pb) = (vec![0.0; d], vec![0.0; np], vec![0.0; d], vec![0.0; np]);
            auto.vjp(t, y, p, &lambda, &mut ya, &mut pa).unwrap();
            case.field.vjp(t, y, p, &lambda, &mut yb, &mut pb).unwrap();
            compare("y_bar", &ya, &yb, TIGHT).unwrap();
            compare("p_bar", &pa, &pb, TIGHT).unwrap();
        }
    }
    // The same right-hand side, too.
    let (mut a, mut b) = ([0.0; 3], [0.0; 3]);
    let (y, p) = ([1.0, 2.0, 3.0], [10.0, 28.0, 2.0]);
    SmoothField(Lorenz).eval(0.0, &y, &p, &mut a).unwrap();
    Auto::<_>::new(Lorenz).eval(0.0, &y, &p, &mut b).unwrap();
    assert_eq!(a, b);
}

/// A large model: sparse, in four colours, the values by hand.
#[test]
fn brusselator_of_100_coordinates() {
    let line = BrusselatorLine { points: 50 };
    let (y, p) = (line.start(), [1.0, 3.0, 0.02 * 51.0 * 51.0]);
    let mut auto: Auto<_> = Auto::new(line);
    let pattern = auto.sparsity().expect("sparse").clone();
    let (mut entries, mut by_hand) = (Vec::new(), Vec::new());
    line.jacobian(&y, &p, |i, j, value| {
        entries.push((i, j));
        by_hand.push(value);
    });
    assert_eq!(pattern, Sparsity::new(100, 100, entries).unwrap());
    let mut values = vec![0.0; pattern.len()];
    auto.jacobian(0.0, &y, &p, &mut values).unwrap();
    compare("sparse Jacobian", &values, &by_hand, 1e-14).unwrap();

    let lambda: Vec<f64> = (0..100).map(|i| (i as f64).sin()).collect();
    let (mut yb, mut pb, mut y_hand, mut p_hand) = ([0.0; 100], [0.0; 3], [0.0; 100], [0.0; 3]);
    auto.vjp(0.0, &y, &p, &lambda, &mut yb, &mut pb).unwrap();
    line.vjp(&y, &p, &lambda, &mut y_hand, &mut p_hand);
    compare("y_bar", &yb, &y_hand, 1e-13).unwrap();
    compare("p_bar", &pb, &p_hand, 1e-13).unwrap();
    check(line, 0.0, &y, &p);
    // So long that rows of a batch are pulled back one by one.
    let long = BrusselatorLine { points: 120 };
    check(long, 0.0, &long.start(), &p);
}

/// Every state less a constant, taken by every other: differences that several sums share.
#[derive(Clone, Copy)]
struct Network(usize);
impl Dynamics for Network {
    fn dim(&self) -> usize {
        self.0
    }
    fn n_params(&self) -> usize {
        self.0 * self.0
    }
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        for (dy, p) in dy.iter_mut().zip(p.chunks_exact(self.0)) {
            *dy = S::c(0.0);
            y.iter().zip(p).for_each(|(&y, &p)| *dy += p * (y - 0.5));
        }
    }
}

#[test]
fn networks() {
    for n in [3, 6, 9] {
        let y: Vec<f64> = (0..n).map(|i| 1.0 + (i as f64).sin()).collect();
        let p: Vec<f64> = (0..n * n).map(|i| (1.3 * i as f64).cos()).collect();
        check(Network(n), 0.3, &y, &p);
    }
}

/// Of time and parameters alone, too many to be small.
#[derive(Clone, Copy)]
struct Driven;
impl Dynamics for Driven {
    fn dim(&self) -> usize {
        5
    }
    fn n_params(&self) -> usize {
        5
    }
    fn eval<S: Number>(&self, t: S, _y: &[S], p: &[S], dy: &mut [S]) {
        dy.iter_mut().zip(p).for_each(|(dy, &p)| *dy = p * t);
    }
}

#[test]
fn a_model_that_does_not_depend_on_its_states() {
    check(Driven, 0.7, &[0.1, 0.2, 0.3, 0.4, 0.5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
}

/// A state on its way to zero, below what has a reciprocal: its square has the slope 0 and its root a finite one, in a recorded model too.
#[derive(Clone, Copy)]
struct Fading;
impl Dynamics for Fading {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        8
    }
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let rest = p[1..].iter().fold(S::c(0.0), |sum, &p| sum + p * y[1]);
        put(dy, [y[0].powf(p[0]), rest]);
    }
}

#[test]
fn powers_of_tiny_states_have_derivatives() {
    let mut auto: Auto<_> = Auto::new(Fading);
    for (power, slope) in [(2.0, 0.0), (0.5, 0.5 / 1e-310_f64.sqrt())] {
        let (y, p) = ([1e-310, 1.0], [power, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        let (mut values, mut yb, mut pb) = ([f64::NAN; 4], [f64::NAN; 2], [0.0; 8]);
        auto.jacobian(0.0, &y, &p, &mut values).unwrap();
        auto.vjp(0.0, &y, &p, &[1.0, 0.0], &mut yb, &mut pb).unwrap();
        for found in [values[0], yb[0]] {
            assert!((found - slope).abs() <= 1e-9 * slope, "{found:e} {slope:e}");
        }
    }
}

/// Stiff problems of eight to twenty coordinates, and a sparse one of 253, whose derivatives are recorded programs.
#[test]
fn stiff_problems_by_hand() {
    fn by_hand<P: Stiff + Copy>(problem: P) {
        let (mut hand, mut auto) = (StiffField::new(problem), Auto::<_>::new(StiffModel(problem)));
        let d = VectorField::<f64>::dim(&hand);
        for n in [1, 5, 8, 21] {
            let y: Vec<f64> = (0..n * d).map(|i| 0.02 + 0.01 * (i as f64).sin()).collect();
            let v: Vec<f64> = (0..n * d).map(|i| (0.7 * i as f64).cos()).collect();
            let (mut a, mut b) = (vec![f64::NAN; n * d], vec![0.0; n * d]);
            auto.vjp(3e-5, &y, &[], &v, &mut a, &mut []).unwrap();
            hand.vjp(3e-5, &y, &[], &v, &mut b, &mut []).unwrap();
            compare("y_bar", &a, &b, TIGHT).unwrap();
            auto.jvp(3e-5, &y, &[], &v, &mut a).unwrap();
            hand.jvp(3e-5, &y, &[], &v, &mut b).unwrap();
            compare("jv", &a, &b, TIGHT).unwrap();
            let mut values = vec![f64::NAN; auto.sparsity().map_or(d * d, Sparsity::len)];
            let len = Jacobian::<f64>::sparsity(&hand).map_or(d * d, Sparsity::len);
            let mut entries = vec![0.0; len];
            auto.jacobian(3e-5, &y[..d], &[], &mut values).unwrap();
            hand.jacobian(3e-5, &y[..d], &[], &mut entries).unwrap();
            let [values, entries] = [scattered(&auto, &values, d), scattered(&hand, &entries, d)];
            compare("Jacobian", &values, &entries, TIGHT).unwrap();
        }
    }
    by_hand(Hires);
    by_hand(Pollu);
    by_hand(RingModulator);
    by_hand(Scaffold);
}

/// A model of so many operations that none of its derivatives is recorded.
#[derive(Clone, Copy)]
struct Endless;
impl Dynamics for Endless {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        1
    }
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let mut x = y[0] + t;
        for _ in 0..60_000 {
            x += (y[1] - x) * p[0];
        }
        put(dy, [x * y[0], x]);
    }
}

#[test]
fn a_very_long_model() {
    let model = Endless;
    let mut auto: Auto<_> = Auto::new(model);
    assert!(auto.program().len() > 100_000);
    let (y, p, lambda) = ([0.4, 1.3], [2e-5], [0.7, -0.2]);
    let jacobian = by_directions(&model, 0.1, &y, &p);
    let (y_bar, p_bar) = pulled(&jacobian, &lambda, 1);
    for n in [1, 9] {
        let (mut yb, mut pb) = (vec![f64::NAN; 2 * n], [0.0]);
        auto.vjp(0.1, &y.repeat(n), &p, &lambda.repeat(n), &mut yb, &mut pb).unwrap();
        compare("y_bar", &yb, &y_bar.repeat(n), 1e-11).unwrap();
        compare("p_bar", &pb, &[p_bar[0] * n as f64], 1e-11).unwrap();
    }
    let mut values = [0.0; 4];
    auto.jacobian(0.1, &y, &p, &mut values).unwrap();
    compare("Jacobian", &values, &[jacobian[0], jacobian[1], jacobian[3], jacobian[4]], TIGHT).unwrap();
}

#[test]
#[should_panic(expected = "values of a Jacobian")]
fn a_dense_matrix_is_no_place_for_a_sparse_jacobian() {
    let line = BrusselatorLine { points: 50 };
    let mut auto: Auto<_> = Auto::new(line);
    auto.jacobian(0.0, &line.start(), &[1.0, 3.0, 1.0], &mut vec![0.0; 10_000]).unwrap();
}

/// A dense model with so many inputs that sweeps do not pay: pull-backs of one trajectory replay the program.
#[derive(Clone, Copy)]
struct Mixed;
impl Dynamics for Mixed {
    fn dim(&self) -> usize {
        20
    }
    fn n_params(&self) -> usize {
        20
    }
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let mut sum = t;
        for (y, p) in y.iter().zip(p) {
            sum += (*y * *p).tanh() * 0.1;
        }
        for (i, dy) in dy.iter_mut().enumerate() {
            *dy = (sum * 0.2).sin() - y[i] / (p[i].sqrt() + 1.0) + y[(i + 1) % 20].recip();
        }
    }
}

#[test]
fn a_dense_model() {
    let y: Vec<f64> = (0..20).map(|i| 0.5 + 0.1 * i as f64).collect();
    let p: Vec<f64> = (0..20).map(|i| 1.5 - 0.05 * i as f64).collect();
    assert!(Auto::<_>::new(Mixed).sparsity().is_none());
    check(Mixed, 0.3, &y, &p);
    let mut auto: Auto<_> = Auto::new(Mixed);
    let mut values = vec![0.0; 400];
    auto.jacobian(0.3, &y, &p, &mut values).unwrap();
    for j in 0..20 {
        let column = central_difference(&[y[j]], |x| {
            let mut y = y.clone();
            y[j] = x[0];
            let mut dy = [0.0; 20];
            Mixed.eval(0.3, &y, &p, &mut dy);
            dy[3]
        });
        compare("row of the Jacobian", &values[60 + j..=60 + j], &column, 1e-8).unwrap();
    }
}

/// Without inputs, with constant derivatives, with two outputs that are one value.
#[derive(Clone, Copy)]
struct Plain;
impl Dynamics for Plain {
    fn dim(&self) -> usize {
        4
    }
    fn n_params(&self) -> usize {
        1
    }
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let product = y[0] * p[0];
        put(dy, [product, product, S::c(2.0), t]);
    }
}

#[test]
fn constant_time_and_equal_outputs() {
    check(Plain, 0.5, &[1.0, 2.0, 3.0, 4.0], &[0.7]);
    let program = Program::record(&Plain);
    assert_eq!((program.len(), program.sparsity().len(), program.sparsity_with_params().len()), (1, 2, 4));
}

#[test]
fn second_derivatives() {
    let model = Toggle { off: 5.0 };
    let (t, x) = (1.0, [0.7, 1.2, 3.0, 2.5, 2.7, 0.4, 0.8]);
    let direction = [0.3, -0.2, 0.5, 0.1, -0.4, 0.6, 0.2];
    // φ = f_0 + f_1; its gradient, by the tape.
    let gradient = |x: &[f64]| {
        let (mut y_bar, mut p_bar) = (vec![0.0; 2], vec![0.0; 5]);
        Tape::new().vjp(&model, t, &x[..2], &x[2..], &[1.0; 2], &mut y_bar, &mut p_bar);
        [y_bar, p_bar].concat()
    };
    // How it changes along the direction: differences, forward over forward, forward over reverse.
    let differences: Vec<f64> = (0..7)
        .map(|k| {
            central_difference(&[0.0], |s| {
                let x: Vec<f64> = x.iter().zip(&direction).map(|(x, v)| x + s[0] * v).collect();
                gradient(&x)[k]
            })[0]
        })
        .collect();
    let nested: Vec<f64> = (0..7)
        .map(|k| {
            let seed = |i: usize| Dual {
                v: Dual { v: x[i], d: [direction[i]] },
                d: [Dual { v: f64::from(u8::from(i == k)), d: [0.0] }],
            };
            let x: Vec<Dual<Dual<f64, 1>, 1>> = (0..7).map(seed).collect();
            let mut dy = [Dual::c(0.0); 2];
            model.eval(Dual::c(t), &x[..2], &x[2..], &mut dy);
            dy[0].d[0].d[0] + dy[1].d[0].d[0]
        })
        .collect();
    let over_reverse: Vec<f64> = {
        let x: Vec<Dual<f64, 1>> = x.iter().zip(&direction).map(|(&v, &d)| Dual { v, d: [d] }).collect();
        let (mut y_bar, mut p_bar) = ([Dual::c(0.0); 2], [Dual::c(0.0); 5]);
        Tape::new().vjp(&model, Dual::c(t), &x[..2], &x[2..], &[Dual::c(1.0); 2], &mut y_bar, &mut p_bar);
        y_bar.iter().chain(&p_bar).map(|b| b.d[0]).collect()
    };
    compare("forward over forward", &nested, &differences, 1e-8).unwrap();
    compare("forward over reverse", &over_reverse, &nested, TIGHT).unwrap();
    // And over the recorded program.
    let program = Program::record(&model);
    let x: Vec<Dual<f64, 1>> = x.iter().zip(&direction).map(|(&v, &d)| Dual { v, d: [d] }).collect();
    let (mut y_bar, mut p_bar) = ([Dual::c(0.0); 2], [Dual::c(0.0); 5]);
    program.vjp(
        &mut program.replay(),
        Dual::c(t),
        &x[..2],
        &x[2..],
        &[Dual::c(1.0); 2],
        &mut y_bar,
        &mut p_bar,
    );
    let replayed: Vec<f64> = y_bar.iter().chain(&p_bar).map(|b| b.d[0]).collect();
    compare("forward over a program", &replayed, &nested, TIGHT).unwrap();
}

/// Sensitivities of eight trajectories at once.
#[test]
fn duals_of_lanes() {
    type S = Dual<Lanes<8, 0>, 4>;
    let model = Toggle { off: 5.0 };
    let p = [3.0, 2.5, 2.7, 0.4, 0.8];
    let ys: [[f64; 8]; 2] = [0, 1].map(|j| std::array::from_fn(|l| 0.1 + 0.2 * l as f64 + 0.3 * j as f64));
    let y: [S; 2] = [0, 1].map(|j| Dual::variable(Lanes(ys[j]), j));
    let mut dy = [S::c(0.0); 2];
    model.eval(S::c(1.0), &y, &p.map(S::c), &mut dy);
    for l in 0..8 {
        let jacobian = by_directions(&model, 1.0, &[ys[0][l], ys[1][l]], &p);
        for (i, row) in jacobian.chunks(7).enumerate() {
            compare("a lane", &[dy[i].d[0][l], dy[i].d[1][l]], &row[..2], TIGHT).unwrap();
        }
    }
}

#[test]
fn gradients_of_any_function() {
    let rosenbrock = |x: &[f64]| -> f64 {
        (0..9).map(|i| 100.0 * (x[i + 1] - x[i] * x[i]).powi(2) + (1.0 - x[i]).powi(2)).sum()
    };
    let x: Vec<f64> = (0..10).map(|i| 0.3 + 0.1 * i as f64).collect();
    let mut tape = Tape::new();
    for _ in 0..3 {
        let mut gradient = [0.0; 10];
        let value: f64 = tape.gradient(&x, &mut gradient, |x| {
            let mut sum = Number::c(0.0);
            for i in 0..9 {
                let (a, b) = (x[i + 1] - x[i] * x[i], x[i] - 1.0);
                sum += a * a * 100.0 + b * b;
            }
            sum
        });
        assert!((value - rosenbrock(&x)).abs() < 1e-12);
        compare("gradient", &gradient, &central_difference(&x, rosenbrock), 1e-8).unwrap();
    }
    // A constant, and an input itself.
    let mut gradient = [0.0; 2];
    assert_eq!(tape.gradient(&[1.0, 2.0], &mut gradient, |_| Number::c(7.0)), 7.0);
    assert_eq!(gradient, [0.0; 2]);
    assert_eq!(tape.gradient(&[1.0, 2.0], &mut gradient, |x| x[1]), 2.0);
    assert_eq!(gradient, [0.0, 1.0]);
    let [a, b] = take(&gradient);
    assert_eq!((a, b), (0.0, 1.0));
}
