//! Functions that [`Number`] does not have, by those that it has.

use chreode_core::{Number, c};

use super::{Form, Trig};

const PI: f64 = std::f64::consts::PI;

/// `x^p` for a whole constant `p` is a product, for any other constant a power; for a `p` that varies, a negative base has a power
/// where `p` happens to be whole.
pub(super) fn power<S: Number>(x: S, p: S, constant: Option<f64>) -> S {
    match constant {
        Some(n) if n.fract() == 0.0 && n.abs() <= 64.0 => x.powi(n as i32),
        Some(_) | None => {
            let negative = x.lt(S::c(0.0));
            let half = p * 0.5;
            let even = !half.floor().lt(half);
            let whole = !p.floor().lt(p);
            let sign = S::select(whole, S::select(even, S::c(1.0), S::c(-1.0)), S::c(f64::NAN));
            // The base is made safe first, so that the side that is not taken leaves no NaN in derivatives.
            x.abs().powf(p) * S::select(negative, sign, S::c(1.0))
        }
    }
}

/// Whether two numbers are equal; what is not a number equals nothing.
pub(super) fn equal<S: Number>(a: S, b: S) -> S::Mask {
    at_most(a, b) & at_most(b, a)
}

/// Whether `a <= b`, which does not hold for what is not a number.
pub(super) fn at_most<S: Number>(a: S, b: S) -> S::Mask {
    !b.lt(a) & is_number(a) & is_number(b)
}

fn is_number<S: Number>(x: S) -> S::Mask {
    x.lt(S::c(f64::INFINITY)) | S::c(f64::NEG_INFINITY).lt(x)
}

/// The part of `x` before the point.
pub(super) fn truncate<S: Number>(x: S) -> S {
    S::select(x.lt(S::c(0.0)), -((-x).floor()), x.floor())
}

/// `Γ(x + 1)`, which is `x!` for whole numbers; Lanczos' approximation in the form of [PTVF07] section 6.1, with
/// P. Godfrey's coefficients for g = 7 (2001; 9 terms).
pub(super) fn factorial<S: Number>(x: S) -> S {
    const COEFFICIENTS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let mut sum = S::c(0.999_999_999_999_809_9);
    for (k, &coefficient) in COEFFICIENTS.iter().enumerate() {
        sum += c(coefficient) / (x + (k as f64 + 1.0));
    }
    let t = x + 7.5;
    let gamma = c((2.0 * PI).sqrt()) * t.powf(x + 0.5) * (-t).exp() * sum;
    // Whole numbers have whole factorials.
    let rounded = (gamma + 0.5).floor();
    let exact = equal(x.floor(), x) & x.lt(S::c(19.0));
    S::select(exact, rounded, gamma)
}

/// A trigonometric or hyperbolic function.
pub(super) fn trig<S: Number>(f: Trig, form: Form, x: S) -> S {
    let (sin, cos) = match form {
        Form::Circular => (x.sin(), x.cos()),
        Form::Hyperbolic => (sinh(x), (x.exp() + (-x).exp()) * 0.5),
    };
    match f {
        Trig::Sin => sin,
        Trig::Cos => cos,
        Trig::Tan if form == Form::Hyperbolic => x.tanh(),
        Trig::Tan => sin / cos,
        Trig::Sec => cos.recip(),
        Trig::Csc => sin.recip(),
        Trig::Cot if form == Form::Hyperbolic => x.tanh().recip(),
        Trig::Cot => cos / sin,
    }
}

/// The inverse of a trigonometric or hyperbolic function.
pub(super) fn inverse<S: Number>(f: Trig, form: Form, x: S) -> S {
    let one = S::c(1.0);
    match (f, form) {
        (Trig::Sin, Form::Circular) => arcsin(x),
        (Trig::Cos, Form::Circular) => c(0.5 * PI) - arcsin(x),
        (Trig::Tan, Form::Circular) => arctan(x),
        (Trig::Sec, Form::Circular) => c(0.5 * PI) - arcsin(x.recip()),
        (Trig::Csc, Form::Circular) => arcsin(x.recip()),
        // Between 0 and π / 2 for positive arguments, between -π / 2 and 0 for negative ones.
        (Trig::Cot, Form::Circular) => arctan(x.recip()),
        (Trig::Sin, Form::Hyperbolic) => arcsinh(x),
        (Trig::Cos, Form::Hyperbolic) => (x + ((x - 1.0) * (x + 1.0)).sqrt()).ln(),
        (Trig::Tan, Form::Hyperbolic) => arctanh(x),
        (Trig::Sec, Form::Hyperbolic) => ((one + ((one - x) * (one + x)).sqrt()) / x).ln(),
        (Trig::Csc, Form::Hyperbolic) => arcsinh(x.recip()),
        (Trig::Cot, Form::Hyperbolic) => arctanh(x.recip()),
    }
}

/// Exact to rounding near zero too, where the difference of exponentials would cancel.
fn sinh<S: Number>(x: S) -> S {
    let small = x.abs().lt(S::c(0.3));
    let s = x * x;
    let mut series = S::c(1.0);
    for k in (1..=6).rev() {
        series = series * s / f64::from(2 * k * (2 * k + 1)) + 1.0;
    }
    S::select(small, series * x, (x.exp() - (-x).exp()) * 0.5)
}

/// `arsinh |x| = ln(1 + (|x| + x² / (1 + √(1 + x²))))`, with its sign.
fn arcsinh<S: Number>(x: S) -> S {
    let a = x.abs();
    let positive = ln_1p(a + a * a / (c(1.0) + (a * a + 1.0).sqrt()));
    S::select(x.lt(S::c(0.0)), -positive, positive)
}

fn arctanh<S: Number>(x: S) -> S {
    let a = x.abs();
    let positive = ln_1p((a + a) / (c(1.0) - a)) * 0.5;
    S::select(x.lt(S::c(0.0)), -positive, positive)
}

/// `ln(1 + x)`, also for small `x`: by `2 artanh(x / (2 + x))`.
fn ln_1p<S: Number>(x: S) -> S {
    let z = x / (x + 2.0);
    let s = z * z;
    let mut series = S::c(0.0);
    for k in (0..10).rev() {
        series = series * s + 1.0 / f64::from(2 * k + 1);
    }
    S::select(x.abs().lt(S::c(0.3)), series * z * 2.0, (x + 1.0).ln())
}

fn arcsin<S: Number>(x: S) -> S {
    // The angle of the point (√(1 - x²), x); at ±1 the tangent is infinite, and so its angle right.
    arctan(x / ((c(1.0) - x) * (c(1.0) + x)).sqrt())
}

/// By three half angles, after which the series needs few terms.
fn arctan<S: Number>(x: S) -> S {
    let large = S::c(1.0).lt(x.abs());
    let mut z = S::select(large, S::select(large, x, S::c(1.0)).recip(), x);
    for _ in 0..3 {
        z = z / (c(1.0) + (z * z + 1.0).sqrt());
    }
    let s = -(z * z);
    let mut series = S::c(0.0);
    for k in (0..13).rev() {
        series = series * s + 1.0 / f64::from(2 * k + 1);
    }
    let angle = series * z * 8.0;
    let quarter = S::select(x.lt(S::c(0.0)), S::c(-0.5 * PI), S::c(0.5 * PI));
    S::select(large, quarter - angle, angle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_autodiff::Dual;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() <= 4e-15 * b.abs() + 1e-300
    }

    proptest! {
        #[test]
        fn functions_are_those_of_the_platform(x in -20.0..20.0_f64, u in -1.0..1.0_f64) {
            use Form::{Circular, Hyperbolic};
            let f = |f, form, x| inverse::<f64>(f, form, x);
            prop_assert!(close(f(Trig::Tan, Circular, x), x.atan()));
            prop_assert!((f(Trig::Sin, Circular, u) - u.asin()).abs() < 1e-14);
            prop_assert!((f(Trig::Cos, Circular, u) - u.acos()).abs() < 1e-14);
            prop_assert!((f(Trig::Sin, Hyperbolic, x) - x.asinh()).abs() <= 1e-14 * x.asinh().abs());
            prop_assert!((f(Trig::Tan, Hyperbolic, u) - u.atanh()).abs() <= 1e-13 * u.atanh().abs());
            let large = 1.0 + x.abs();
            prop_assert!((f(Trig::Cos, Hyperbolic, large) - large.acosh()).abs() < 1e-8);
            prop_assert!((f(Trig::Sec, Circular, large) - (1.0 / large).acos()).abs() < 1e-14);
            prop_assert!((trig::<f64>(Trig::Sin, Hyperbolic, x) - x.sinh()).abs() <= 1e-14 * x.sinh().abs());
            prop_assert!((trig::<f64>(Trig::Sin, Hyperbolic, u) - u.sinh()).abs() <= 1e-14 * u.sinh().abs());
            let d = inverse(Trig::Tan, Circular, Dual::<f64, 1>::variable(x, 0)).d[0];
            prop_assert!((d - 1.0 / (1.0 + x * x)).abs() < 1e-13);
        }

        #[test]
        fn powers_of_negative_bases(x in -3.0..3.0_f64, n in -5..6_i32, p in -2.0..2.0_f64) {
            prop_assert!((power(x, f64::from(n), None) - x.powi(n)).abs() <= 1e-13 * x.powi(n).abs());
            prop_assert_eq!(power(x, f64::from(n), Some(f64::from(n))), Number::powi(x, n));
            let y: f64 = power(x, p, None);
            let right = if x < 0.0 { y.is_nan() } else { (y - x.powf(p)).abs() <= 1e-13 * y };
            prop_assert!(right, "{x}^{p} = {y}");
        }
    }

    #[test]
    fn edges() {
        assert_eq!(inverse::<f64>(Trig::Sin, Form::Circular, 1.0), 0.5 * PI);
        assert_eq!(inverse::<f64>(Trig::Tan, Form::Circular, f64::NEG_INFINITY), -0.5 * PI);
        for (n, factorial_of_n) in [(0.0, 1.0), (1.0, 1.0), (4.0, 24.0), (10.0, 3_628_800.0)] {
            assert_eq!(factorial::<f64>(n), factorial_of_n);
        }
        assert!((factorial::<f64>(0.5) - 0.5 * PI.sqrt()).abs() < 1e-14);
        assert_eq!(truncate::<f64>(-2.5), -2.0);
        for outside in [-2.0, 1.01, 9.0] {
            assert!(inverse::<f64>(Trig::Tan, Form::Hyperbolic, outside).is_nan());
            assert!(inverse::<f64>(Trig::Cot, Form::Hyperbolic, 1.0 / outside).is_nan());
        }
        assert_eq!(inverse::<f64>(Trig::Tan, Form::Hyperbolic, 1.0), f64::INFINITY);
        for x in [f64::NAN, 0.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(equal::<f64>(x, x), !x.is_nan());
            assert!(
                !equal::<f64>(x, f64::NAN) && !at_most::<f64>(x, f64::NAN) && !at_most::<f64>(f64::NAN, x)
            );
        }
    }
}
