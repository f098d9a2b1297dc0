//! Products in directions of states and parameters, and derivatives of pull-backs: against differences, against each other.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_autodiff::Auto;
use chreode_core::{Dynamics, Jvp, ParamJvp, VectorField, Vjp, VjpTangent};
use chreode_testkit::{
    Brusselator, BrusselatorLine, CountingAllocator, Duffing, Lorenz, LotkaVolterra, Rational, Toggle,
    allocations_in, compare,
};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Some numbers of both signs.
fn wave(len: usize, k: usize) -> Vec<f64> {
    (0..len).map(|i| ((i * 7 + k * 5 + 3) % 11) as f64 / 11.0 - 0.4).collect()
}

fn moved(x: &[f64], v: &[f64], by: f64) -> Vec<f64> {
    x.iter().zip(v).map(|(x, v)| x + by * v).collect()
}

/// The central difference of fourth order at zero.
fn difference(mut phi: impl FnMut(f64) -> Vec<f64>) -> Vec<f64> {
    let h = 1e-3;
    let (p1, m1, p2, m2) = (phi(h), phi(-h), phi(2.0 * h), phi(-2.0 * h));
    (0..p1.len()).map(|i| (8.0 * (p1[i] - m1[i]) - (p2[i] - m2[i])) / (12.0 * h)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn check<D: Dynamics + Copy>(model: D, t: f64, y: &[f64], p: &[f64]) {
    let (y, p) = (&y[..model.dim()], &p[..model.n_params()]);
    let (d, np) = (y.len(), p.len());
    let mut auto: Auto<D> = Auto::new(model);

    // Directions: one, two and many, of one trajectory and of three.
    for n in [1, 3] {
        let ys: Vec<f64> = (0..n).flat_map(|i| y.iter().map(move |y| y * (1.0 + 0.1 * i as f64))).collect();
        for m in [0, 1, 2, 3, 8, 19] {
            let (v, q) = (wave(m * n * d, 1), wave(m * np, 2));
            let mut jv = vec![f64::NAN; m * n * d];
            auto.param_jvp(t, &ys, p, &v, &q, &mut jv).unwrap();
            for k in 0..m {
                let (v, q) = (&v[k * n * d..][..n * d], &q[k * np..][..np]);
                let by_differences = difference(|s| {
                    let mut dy = vec![0.0; n * d];
                    auto.eval(t, &moved(&ys, v, s), &moved(p, q, s), &mut dy).unwrap();
                    dy
                });
                compare("jv", &jv[k * n * d..][..n * d], &by_differences, 1e-8).unwrap();
            }
        }
        // How products change along a direction.
        for m in [0, 1, 3, 8, 19] {
            let (v, q, u) = (wave(m * n * d, 1), wave(m * np, 2), wave(n * d, 3));
            let mut along = vec![f64::NAN; m * n * d];
            assert!(auto.param_jvp_along(t, &ys, p, &v, &q, &u, &mut along).unwrap());
            let by_differences = difference(|s| {
                let mut jv = vec![0.0; m * n * d];
                auto.param_jvp(t, &moved(&ys, &u, s), p, &v, &q, &mut jv).unwrap();
                jv
            });
            compare("along", &along, &by_differences, 1e-8).unwrap();
        }
        // Parameters that stay are those of a plain product, to the bit of one direction.
        let v = wave(n * d, 4);
        let (mut jv, mut plain) = (vec![f64::NAN; n * d], vec![f64::NAN; n * d]);
        auto.param_jvp(t, &ys, p, &v, &vec![0.0; np], &mut jv).unwrap();
        auto.jvp(t, &ys, p, &v, &mut plain).unwrap();
        assert_eq!(jv, plain);

        // Derivatives of pull-backs.
        let (q, lambda, lambda_dot) = (wave(np, 5), wave(n * d, 6), wave(n * d, 7));
        let tangent = |auto: &mut Auto<D>, v: &[f64], q: &[f64], lambda_dot: &[f64]| {
            let (mut yb, mut yb_dot) = (vec![f64::NAN; n * d], vec![f64::NAN; n * d]);
            let (mut pb, mut pb_dot) = (vec![0.5; np], vec![0.25; np]);
            let (y_bars, p_bars) = ((&mut yb[..], &mut yb_dot[..]), (&mut pb[..], &mut pb_dot[..]));
            auto.vjp_tangent(t, (&ys, v), (p, q), (&lambda, lambda_dot), y_bars, p_bars).unwrap();
            pb.iter_mut().for_each(|p| *p -= 0.5); // it was added to
            pb_dot.iter_mut().for_each(|p| *p -= 0.25);
            ([yb, pb].concat(), [yb_dot, pb_dot].concat())
        };
        let pulled = |auto: &mut Auto<D>, s: f64| {
            let (mut yb, mut pb) = (vec![f64::NAN; n * d], vec![0.0; np]);
            let lambda = moved(&lambda, &lambda_dot, s);
            auto.vjp(t, &moved(&ys, &v, s), &moved(p, &q, s), &lambda, &mut yb, &mut pb).unwrap();
            [yb, pb].concat()
        };
        let (bars, dots) = tangent(&mut auto, &v, &q, &lambda_dot);
        compare("pull-back", &bars, &pulled(&mut auto, 0.0), 1e-13).unwrap();
        compare("its derivative", &dots, &difference(|s| pulled(&mut auto, s)), 1e-8).unwrap();

        // λᵀ f has a symmetric second derivative.
        let (w, r, zero) = (wave(n * d, 8), wave(np, 9), vec![0.0; n * d]);
        let (_, hv) = tangent(&mut auto, &v, &q, &zero);
        let (_, hw) = tangent(&mut auto, &w, &r, &zero);
        let (vw, wv) = (dot(&hv, &[w, r].concat()), dot(&hw, &[v, q].concat()));
        assert!((vw - wv).abs() <= 1e-12 * (1.0 + dot(&hv, &hv).sqrt()), "{vw} {wv}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(16) })]
    #[test]
    fn second_derivatives(
        t in 0.0..2.0_f64,
        y in prop::array::uniform3(0.4..2.0_f64),
        p in prop::array::uniform5(0.4..2.0_f64),
    ) {
        check(Rational, t, &y, &p);
        check(LotkaVolterra, t, &y, &p);
        check(Lorenz, t, &y, &p);
        check(Brusselator, t, &y, &p);
        check(Duffing, t, &y, &p);
        check(Toggle { off: 5.0 }, t, &y, &p);
        let line = BrusselatorLine { points: 5 };
        let start: Vec<f64> = line.start().iter().map(|x| x * y[0]).collect();
        check(line, t, &start, &p);
    }
}

fn product<F: ParamJvp<f64>>(mut f: F, at: (&[f64], &[f64]), along: (&[f64], &[f64]), jv: &mut [f64]) {
    assert_eq!((f.dim(), f.n_params()), (2, 4));
    f.param_jvp(0.0, at.0, at.1, along.0, along.1, jv).unwrap();
}

/// Through references and boxes, as objects.
#[test]
fn forwarded() {
    let (y, p, v, q) = ([0.7, 1.2], [1.5, 1.0, 0.75, 3.0], [1.0, -1.0], [0.1, 0.2, 0.3, 0.4]);
    let mut auto: Auto<_> = Auto::new(LotkaVolterra);
    let (mut direct, mut boxed) = ([0.0; 2], [0.0; 2]);
    auto.param_jvp(0.0, &y, &p, &v, &q, &mut direct).unwrap();
    let mut object: Box<dyn ParamJvp<f64>> = Box::new(auto.clone());
    product(&mut object, (&y, &p), (&v, &q), &mut boxed);
    assert_eq!(boxed, direct);
    assert_ne!(boxed, [0.0; 2]);
}

#[test]
fn nothing_is_allocated_again() {
    let line = BrusselatorLine { points: 50 };
    let (y, p, d) = (line.start(), [1.0, 3.0, 50.0], line.dim());
    let mut auto: Auto<_> = Auto::new(line);
    let (v, q) = (wave(9 * d, 1), wave(27, 2));
    let (mut jv, mut bars, mut p_bars) = (vec![0.0; 9 * d], vec![0.0; 2 * d], [0.0; 6]);
    let mut calls = || {
        auto.param_jvp(0.0, &y, &p, &v, &q, &mut jv).unwrap();
        let (y_bars, p_bars) = (bars.split_at_mut(d), p_bars.split_at_mut(3));
        auto.vjp_tangent(0.0, (&y, &v[..d]), (&p, &q[..3]), (&v[d..2 * d], &y), y_bars, p_bars).unwrap();
    };
    let (first, ()) = allocations_in(&mut calls);
    assert!(first > 0, "the counter works");
    assert_eq!(allocations_in(&mut calls).0, 0);
}
