//! Elementary functions: error in units in the last place over a sweep, special values, position in the slice;
//! activations against finite differences; log-sum-exp and the soft minimum.

use chreode_core::Real;
use chreode_linalg::{Activation, log_sum_exp, softmin_row, vexp, vln, vsigmoid, vsilu, vsoftplus, vtanh};
use proptest::prelude::*;

/// Distance of `value` from `exact` in units in the last place of `f32` at `exact`.
fn ulps_f32(value: f32, exact: f64) -> f64 {
    if f64::from(value) == exact || (value.is_nan() && exact.is_nan()) || value == exact as f32 {
        return 0.0;
    }
    let exponent = exact.abs().max(f64::from(f32::MIN_POSITIVE)).log2().floor();
    (f64::from(value) - exact).abs() / (exponent - 23.0).exp2()
}

/// The same for f64, where the reference is the platform's function (itself good to about half a unit).
fn ulps_f64(value: f64, exact: f64) -> f64 {
    if value == exact || (value.is_nan() && exact.is_nan()) {
        return 0.0;
    }
    let exponent = exact.abs().max(f64::MIN_POSITIVE).log2().floor();
    // The scale may be subnormal: 2^(exponent - 52) in two steps.
    (value - exact).abs() / (exponent + 52.0).exp2() * 104.0_f64.exp2()
}

fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 { 1.0 / (1.0 + (-x).exp()) } else { x.exp() / (1.0 + x.exp()) }
}
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
fn silu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { -0.0 } else { x * sigmoid(x) }
}

struct Function {
    name: &'static str,
    f32: fn(&[f32], &mut [f32]),
    f64: fn(&[f64], &mut [f64]),
    exact: fn(f64) -> f64,
    /// Documented bound in ulp.
    bound: f64,
}

const FUNCTIONS: [Function; 6] = [
    Function { name: "exp", f32: vexp, f64: vexp, exact: f64::exp, bound: 2.0 },
    Function { name: "ln", f32: vln, f64: vln, exact: f64::ln, bound: 3.0 },
    Function { name: "tanh", f32: vtanh, f64: vtanh, exact: f64::tanh, bound: 4.0 },
    Function { name: "sigmoid", f32: vsigmoid, f64: vsigmoid, exact: sigmoid, bound: 4.0 },
    Function { name: "softplus", f32: vsoftplus, f64: vsoftplus, exact: softplus, bound: 4.0 },
    Function { name: "silu", f32: vsilu, f64: vsilu, exact: silu, bound: 4.0 },
];

/// Points of both signs: uniform where the functions bend, and over all exponents.
fn points(largest: f64, smallest_exponent: f64) -> Vec<f64> {
    let uniform = (0..200_000).map(|i| (f64::from(i) / 100_000.0 - 1.0) * largest);
    let near = (0..200_000).map(|i| (f64::from(i) / 100_000.0 - 1.0) * 10.0);
    let everywhere = (0..100_000).flat_map(|i| {
        let x = (smallest_exponent + f64::from(i) * 0.00123).exp2();
        [x, -x]
    });
    uniform.chain(near).chain(everywhere).collect()
}

#[test]
fn errors_stay_within_the_stated_bounds_f32() {
    let x: Vec<f32> = points(110.0, -149.0).iter().map(|&x| x as f32).filter(|x| x.is_finite()).collect();
    let mut y = vec![0.0; x.len()];
    for f in FUNCTIONS {
        (f.f32)(&x, &mut y);
        let mut worst = (0.0, 0.0);
        for (&x, &y) in x.iter().zip(&y) {
            // Where SiLU is made from a subnormal sigmoid, its bound is absolute.
            if f.name == "silu" && x < -87.0 {
                let error = (f64::from(y) - (f.exact)(f64::from(x))).abs();
                assert!(error <= 2.0 * f64::from(x.abs()) * (-149.0_f64).exp2(), "silu({x}) = {y}");
                continue;
            }
            let ulps = ulps_f32(y, (f.exact)(f64::from(x)));
            assert!(
                ulps <= f.bound,
                "{}({x:e}) = {y:e}: {ulps} ulp off {:e}",
                f.name,
                (f.exact)(f64::from(x))
            );
            if ulps > worst.0 {
                worst = (ulps, x);
            }
        }
        println!("f32 {:8} worst {:.2} ulp at {:e}", f.name, worst.0, worst.1);
    }
}

#[test]
fn errors_stay_within_the_stated_bounds_f64() {
    let x: Vec<f64> = points(750.0, -1074.0);
    let mut y = vec![0.0; x.len()];
    for f in FUNCTIONS {
        (f.f64)(&x, &mut y);
        let mut worst = (0.0, 0.0);
        for (&x, &y) in x.iter().zip(&y) {
            if f.name == "silu" && x < -708.0 {
                let error = (y - (f.exact)(x)).abs();
                assert!(error <= 2.0 * x.abs() * f64::from_bits(1), "silu({x}) = {y}");
                continue;
            }
            let ulps = ulps_f64(y, (f.exact)(x));
            assert!(ulps <= f.bound, "{}({x:e}) = {y:e}: {ulps} ulp off {:e}", f.name, (f.exact)(x));
            if ulps > worst.0 {
                worst = (ulps, x);
            }
        }
        println!("f64 {:8} worst {:.2} ulp at {:e}", f.name, worst.0, worst.1);
    }
}

fn special<T: Real>(f: fn(&[T], &mut [T])) -> Vec<f64> {
    let x = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0].map(T::c);
    let mut y = [T::ZERO; 5];
    f(&x, &mut y);
    y.map(Real::f64).to_vec()
}

#[test]
fn special_values_are_those_of_the_limits() {
    for f in FUNCTIONS {
        for values in [special::<f32>(f.f32), special::<f64>(f.f64)] {
            assert!(values[0].is_nan(), "{}(NaN) = {}", f.name, values[0]);
            for (value, x) in values[1..].iter().zip([f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0]) {
                let exact = (f.exact)(x);
                let equal =
                    (value.is_nan() && exact.is_nan()) || (value - exact).abs() < 1e-6 || *value == exact;
                assert!(equal, "{}({x}) = {value}, not {exact}", f.name);
            }
        }
    }
    // Signs of zero, and NaN instead of a logarithm of a negative number.
    assert!(special::<f32>(vtanh)[4].is_sign_negative() && special::<f32>(vtanh)[3].is_sign_positive());
    let mut y = [0.0_f64; 2];
    vln(&[-1.0, -f64::MIN_POSITIVE / 4.0], &mut y);
    assert!(y.iter().all(|y| y.is_nan()));
}

#[test]
fn a_value_does_not_depend_on_its_place() {
    let x: Vec<f32> = (0..197).map(|i| (i as f32 - 98.0) * 0.173).collect();
    for f in FUNCTIONS {
        let mut whole = vec![0.0; x.len()];
        (f.f32)(&x, &mut whole);
        for (first, len) in [(0, 1), (1, 64), (5, 63), (100, 65), (196, 1), (60, 130)] {
            let mut part = vec![0.0; len];
            (f.f32)(&x[first..first + len], &mut part);
            for (a, b) in part.iter().zip(&whole[first..]) {
                assert_eq!(a.to_bits(), b.to_bits(), "{} at {first} of {len}", f.name);
            }
        }
    }
}

#[test]
fn derivatives_agree_with_finite_differences() {
    let z: Vec<f64> = (0..401).map(|i| (f64::from(i) - 200.0) * 0.05 + 0.0123).collect();
    let h = 1e-4;
    for activation in Activation::ALL {
        let shifted = |by: f64| {
            let moved: Vec<f64> = z.iter().map(|z| z + by).collect();
            let mut a = vec![0.0; z.len()];
            activation.apply(&moved, &mut a);
            a
        };
        let (a, plus, minus) = (shifted(0.0), shifted(h), shifted(-h));
        let (plus2, minus2) = (shifted(2.0 * h), shifted(-2.0 * h));
        let (mut d1, mut d2) = (vec![f64::NAN; z.len()], vec![f64::NAN; z.len()]);
        activation.derivatives(&z, &a, &mut d1, &mut d2);
        let mut bar = vec![3.0; z.len()];
        activation.backward(&z, &a, &mut bar);
        for i in 0..z.len() {
            let first = (8.0 * (plus[i] - minus[i]) - (plus2[i] - minus2[i])) / (12.0 * h);
            let second =
                (16.0 * (plus[i] + minus[i]) - (plus2[i] + minus2[i]) - 30.0 * a[i]) / (12.0 * h * h);
            let size = 1.0 + a[i].abs(); // differences round with the values
            assert!((d1[i] - first).abs() < 1e-10 * size, "{activation}'({}) = {}, not {first}", z[i], d1[i]);
            assert!(
                (d2[i] - second).abs() < 1e-5 * size,
                "{activation}''({}) = {}, not {second}",
                z[i],
                d2[i]
            );
            assert!((bar[i] - 3.0 * d1[i]).abs() < 1e-14);
        }
        // The same in f32, and no NaN at the ends.
        let ends = [f32::NEG_INFINITY, -1e30, -90.0, 90.0, 1e30, f32::INFINITY];
        let (mut a, mut d1, mut d2) = ([0.0_f32; 6], [0.0_f32; 6], [0.0_f32; 6]);
        activation.apply(&ends, &mut a);
        activation.derivatives(&ends, &a, &mut d1, &mut d2);
        assert!(a.iter().chain(&d1).chain(&d2).all(|x| !x.is_nan()), "{activation}: {a:?} {d1:?} {d2:?}");
    }
}

#[test]
fn names_are_read_back() {
    for activation in Activation::ALL {
        assert_eq!(activation.to_string().parse(), Ok(activation));
    }
    assert!("relu6".parse::<Activation>().unwrap_err().to_string().contains("relu6"));
}

fn reference(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() { top } else { top + values.iter().map(|v| (v - top).exp()).sum::<f64>().ln() }
}

proptest! {
    #[test]
    fn log_sum_exp_agrees(x in prop::collection::vec(-300.0..300.0_f64, 0..300)) {
        let exact = reference(&x);
        let value = log_sum_exp(&x);
        prop_assert!(value == exact || (value - exact).abs() < 1e-13 * exact.abs().max(1.0), "{value} {exact}");
        let single: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        let exact = reference(&single.iter().map(|&x| f64::from(x)).collect::<Vec<_>>());
        let value = f64::from(log_sum_exp(&single));
        prop_assert!(value == exact || (value - exact).abs() < 3e-7 * exact.abs().max(1.0), "{value} {exact}");
    }

    #[test]
    fn softmin_agrees(rows in prop::collection::vec((0.0..50.0_f64, -20.0..20.0_f64), 1..300), epsilon in 0.01..10.0_f64) {
        let (c, h): (Vec<f64>, Vec<f64>) = rows.into_iter().unzip();
        let scaled: Vec<f64> = c.iter().zip(&h).map(|(c, h)| (h - c) / epsilon).collect();
        let exact = -epsilon * reference(&scaled);
        let value = softmin_row(&c, &h, epsilon);
        prop_assert!((value - exact).abs() < 1e-13 * exact.abs().max(1.0), "{value} {exact}");
        // A soft minimum lies below the minimum, by at most ε ln n.
        let least = c.iter().zip(&h).map(|(c, h)| c - h).fold(f64::INFINITY, f64::min);
        prop_assert!(value <= least + 1e-12 && value >= least - epsilon * (c.len() as f64).ln() - 1e-12);
    }
}

#[test]
fn reductions_keep_infinities_and_nan() {
    let inf = f32::INFINITY;
    assert_eq!(log_sum_exp::<f32>(&[]), -inf);
    assert_eq!(log_sum_exp(&[-inf, -inf]), -inf);
    assert_eq!(log_sum_exp(&[-inf, 1.5]), 1.5);
    assert_eq!(log_sum_exp(&[inf, 1.0]), inf);
    assert!(log_sum_exp(&[f32::NAN, 1.0]).is_nan() && log_sum_exp(&[1.0, f32::NAN, -inf]).is_nan());
    assert_eq!(softmin_row(&[1.0, 2.0], &[-inf, -inf], 0.5), inf);
    assert_eq!(softmin_row(&[inf, 2.0], &[0.0, 0.0], 0.5), 2.0);
}
