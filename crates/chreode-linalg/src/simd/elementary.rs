//! exp, ln, tanh, sigmoid, softplus, SiLU without branches, for arrays that the compiler turns into vectors.
//!
//! One body serves `f32` and `f64`; constants and bit patterns come from [`Elementary`]. `FMA` says whether
//! the instruction set has a fused multiply-add (without it `mul_add` would call the C library).
//! Polynomials interpolate at Chebyshev nodes (computed with 60 digits); the accuracy tests sweep them.
//! Method: reduction to `x = n ln 2 + r`, `|r| <= ln 2 / 2`, with ln 2 in two parts [Cody & Waite 1980];
//! `ln(1 + u) = 2 artanh(u / (2 + u))`.

use super::lane::Lane;

/// Constants and bit patterns of a floating-point type.
pub(crate) trait Elementary: Lane {
    /// 1.5 * 2^(mantissa bits): adding it rounds to an integer that then stands in the low bits.
    const MAGIC: Self;
    /// ln 2 with so few bits that its product with an exponent is exact.
    const LN2_HI: Self;
    /// The rest of ln 2.
    const LN2_LO: Self;
    /// Above, exp is infinite.
    const EXP_MAX: Self;
    /// Below, exp rounds to zero.
    const EXP_MIN: Self;
    /// Below, SiLU rounds to zero.
    const SILU_MIN: Self;
    /// Above, tanh rounds to one.
    const TANH_MAX: Self;
    /// `(exp(r) - 1 - r) / r²` on |r| <= 0.347, ascending.
    const EXP: &'static [Self];
    /// `(artanh(s) / s - 1) / s²` as a polynomial in s², s² <= 1/9, ascending.
    const ARTANH: &'static [Self];
    /// `a * b + c`.
    fn fma<const FMA: bool>(a: Self, b: Self, c: Self) -> Self;
    /// `2^n` for `t = n + MAGIC`, `n` a normal exponent.
    fn pow2(t: Self) -> Self;
    /// `2^(n / 2)` and `2^(n - n / 2)` (halves rounded down and up) for `t = n + MAGIC`.
    fn pow2_halves(t: Self) -> (Self, Self);
    /// `x = m 2^e` with `m` in [√½, √2), for positive finite `x`, also subnormal.
    fn split(x: Self) -> (Self, Self);
    /// The magnitude of `a` with the sign of `b`.
    fn with_sign(a: Self, b: Self) -> Self;
}

macro_rules! elementary {
    ($t:ident, $u:ident, $mant:literal, $bias:literal, $sub_scale:expr, $($body:tt)*) => {
        impl Elementary for $t {
            $($body)*
            #[inline(always)]
            fn fma<const FMA: bool>(a: Self, b: Self, c: Self) -> Self {
                if FMA { a.mul_add(b, c) } else { a * b + c }
            }
            #[inline(always)]
            fn pow2(t: Self) -> Self {
                let n = t.to_bits().wrapping_sub(Self::MAGIC.to_bits());
                $t::from_bits(n.wrapping_add($bias) << $mant)
            }
            #[inline(always)]
            fn pow2_halves(t: Self) -> (Self, Self) {
                // An offset of 4096 keeps the shifted number positive: no arithmetic shift (slow on 64 bits).
                let n = t.to_bits().wrapping_sub(Self::MAGIC.to_bits()).wrapping_add(4096);
                let low = n >> 1;
                let high = n.wrapping_sub(low);
                let power = |e: $u| $t::from_bits(e.wrapping_add($bias).wrapping_sub(2048) << $mant);
                (power(low), power(high))
            }
            #[inline(always)]
            fn split(x: Self) -> (Self, Self) {
                let subnormal = x < $t::MIN_POSITIVE;
                let x = if subnormal { x * $sub_scale } else { x };
                let shift: $t = if subnormal { -($mant as $t) } else { 0.0 };
                // Exponent of x / √½, by integer arithmetic on the bits.
                let sqrt_half = (std::f64::consts::FRAC_1_SQRT_2 as $t).to_bits();
                let offset = x.to_bits().wrapping_sub(sqrt_half).wrapping_add($bias << $mant);
                let e = offset >> $mant; // exponent + bias, positive
                let m = $t::from_bits(x.to_bits().wrapping_sub(e.wrapping_sub($bias) << $mant));
                // MAGIC + e by its bits: no conversion from integers, which 64-bit vectors lack before AVX-512.
                let e = $t::from_bits(Self::MAGIC.to_bits().wrapping_add(e)) - Self::MAGIC;
                (m, e - $bias as $t + shift)
            }
            #[inline(always)]
            fn with_sign(a: Self, b: Self) -> Self {
                a.copysign(b)
            }
        }
    };
}

elementary! { f32, u32, 23, 127, 8388608.0_f32,
    const MAGIC: f32 = 12582912.0;
    const LN2_HI: f32 = 0.693359375;
    const LN2_LO: f32 = -2.12194440054690583e-4;
    const EXP_MAX: f32 = 89.0;
    const EXP_MIN: f32 = -104.0;
    const SILU_MIN: f32 = -110.0;
    const TANH_MAX: f32 = 10.0;
    const EXP: &'static [f32] = &[0.5, 0.16666576583158002, 0.041666554109346714, 0.008363246669753728, 0.0013926268052570573];
    const ARTANH: &'static [f32] = &[0.3333333366026371, 0.1999985316596486, 0.14296178997151418, 0.10853287900440187, 0.11612164612011674];
}
elementary! { f64, u64, 52, 1023, 4503599627370496.0_f64,
    const MAGIC: f64 = 6755399441055744.0;
    const LN2_HI: f64 = 6.93147180369123816490e-01;
    const LN2_LO: f64 = 1.90821492927058770002e-10;
    const EXP_MAX: f64 = 710.0;
    const EXP_MIN: f64 = -746.0;
    const SILU_MIN: f64 = -754.0;
    const TANH_MAX: f64 = 20.0;
    const EXP: &'static [f64] = &[0.5000000000000001, 0.16666666666666669, 0.04166666666662374, 0.008333333333330032, 0.0013888888917406447,
        0.00019841269863201828, 2.4801520996825697e-05, 2.7557268229963227e-06, 2.76202305675069e-07, 2.5100494788905042e-08];
    const ARTANH: &'static [f64] = &[0.3333333333333333, 0.19999999999999762, 0.1428571428580005, 0.11111111099118386, 0.09090909948981357,
        0.07692271982430275, 0.06667589315724629, 0.05867139530651599, 0.05422589197440007, 0.03746071897775383, 0.07815288900461426];
}

#[inline(always)]
fn horner<T: Elementary, const FMA: bool>(x: T, c: &[T]) -> T {
    let mut p = c[c.len() - 1];
    for i in (0..c.len() - 1).rev() {
        p = T::fma::<FMA>(p, x, c[i]);
    }
    p
}

/// `x = n ln 2 + r`: (n + MAGIC, exp(r) - 1).
#[inline(always)]
fn reduce<T: Elementary, const FMA: bool>(x: T) -> (T, T) {
    let t = T::fma::<FMA>(x, T::c(std::f64::consts::LOG2_E), T::MAGIC);
    let n = t - T::MAGIC;
    let r = T::fma::<FMA>(-n, T::LN2_LO, T::fma::<FMA>(-n, T::LN2_HI, x));
    (t, T::fma::<FMA>(r * r, horner::<T, FMA>(r, T::EXP), r))
}

#[inline(always)]
pub(crate) fn exp<T: Elementary, const FMA: bool>(x: T) -> T {
    let x = if x > T::EXP_MAX { T::EXP_MAX } else { x };
    let x = if x < T::EXP_MIN { T::EXP_MIN } else { x };
    let (t, q) = reduce::<T, FMA>(x);
    let (low, high) = T::pow2_halves(t);
    (T::ONE + q) * low * high
}

/// `2 artanh(s)` for s² <= 1/9.
#[inline(always)]
fn two_artanh<T: Elementary, const FMA: bool>(s: T) -> T {
    let w = s * s;
    let s2 = s + s;
    T::fma::<FMA>(s2 * w, horner::<T, FMA>(w, T::ARTANH), s2)
}

#[inline(always)]
pub(crate) fn ln<T: Elementary, const FMA: bool>(x: T) -> T {
    let infinity = T::c(f64::INFINITY);
    let (m, e) = T::split(x);
    let y = two_artanh::<T, FMA>((m - T::ONE) / (m + T::ONE));
    let y = T::fma::<FMA>(e, T::LN2_HI, T::fma::<FMA>(e, T::LN2_LO, y));
    let y = if x == T::ZERO { -infinity } else { y };
    let y = if x == infinity { infinity } else { y };
    // Negative or NaN.
    if x >= T::ZERO { y } else { T::c(f64::NAN) }
}

#[inline(always)]
pub(crate) fn tanh<T: Elementary, const FMA: bool>(x: T) -> T {
    // (exp(2|x|) - 1) / (exp(2|x|) + 1), with exp - 1 free of cancellation: exact sign, accurate near 0.
    let ax = T::with_sign(x, T::ONE);
    let ax = if ax > T::TANH_MAX { T::TANH_MAX } else { ax };
    let (t, q) = reduce::<T, FMA>(ax + ax);
    let s = T::pow2(t);
    let em1 = T::fma::<FMA>(s, q, s - T::ONE);
    T::with_sign(em1 / (em1 + T::c(2.0)), x)
}

/// `exp(-|x|)`.
#[inline(always)]
fn exp_neg_abs<T: Elementary, const FMA: bool>(x: T) -> T {
    exp::<T, FMA>(-T::with_sign(x, T::ONE))
}

#[inline(always)]
pub(crate) fn sigmoid<T: Elementary, const FMA: bool>(x: T) -> T {
    let e = exp_neg_abs::<T, FMA>(x);
    let num = if x < T::ZERO { e } else { T::ONE };
    num / (T::ONE + e)
}

/// The sigmoid of `x` and that of `-x`, which is one minus it, without cancellation.
#[inline(always)]
pub(crate) fn sigmoids<T: Elementary, const FMA: bool>(x: T) -> (T, T) {
    let e = exp_neg_abs::<T, FMA>(x);
    let inverse = T::ONE / (T::ONE + e);
    let small = e * inverse;
    if x < T::ZERO { (small, inverse) } else { (inverse, small) }
}

#[inline(always)]
pub(crate) fn softplus<T: Elementary, const FMA: bool>(x: T) -> T {
    let e = exp_neg_abs::<T, FMA>(x);
    // The NaN of x goes through both summands.
    let positive = if x < T::ZERO { T::ZERO } else { x };
    positive + two_artanh::<T, FMA>(e / (e + T::c(2.0)))
}

/// x kept within ±1000, where the sigmoid is 0 or 1 to the last bit: infinities make no 0 · ∞.
#[inline(always)]
pub(crate) fn bounded<T: Elementary>(x: T) -> T {
    let x = if x < T::c(-1000.0) { T::c(-1000.0) } else { x };
    if x > T::c(1000.0) { T::c(1000.0) } else { x }
}

#[inline(always)]
pub(crate) fn silu<T: Elementary, const FMA: bool>(x: T) -> T {
    // For x < 0, x exp(x) / (1 + exp(x)), of which exp(x) is a product of two powers of two and a number near one. The second
    // power comes last, so that nothing is subnormal that the result is not.
    let below = if x < T::SILU_MIN { T::SILU_MIN } else { x };
    let (t, q) = reduce::<T, FMA>(-clamped(T::with_sign(below, T::ONE), -T::SILU_MIN));
    let (low, high) = T::pow2_halves(t);
    let power = (T::ONE + q) * low;
    let negative = x < T::ZERO;
    let num = if negative { below * power } else { x };
    let last = if negative { high } else { T::ONE };
    num / (T::ONE + power * high) * last
}

/// The smaller of `x` and `most`; NaN stays.
#[inline(always)]
fn clamped<T: Elementary>(x: T, most: T) -> T {
    if x > most { most } else { x }
}
