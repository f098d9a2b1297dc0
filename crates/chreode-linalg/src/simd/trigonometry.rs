//! sin and cos without branches, in `f64`, for arrays that the compiler turns into vectors.
//!
//! `x = n π/2 + r`, `|r| <= π/4`, with π/2 in three parts of which the first two have exact products with `n`
//! [Cody & Waite 1980]; then polynomials in `r²` that interpolate at Chebyshev nodes (computed with 60 digits).

use super::elementary::Elementary;

/// 33 bits, 33 bits and the rest of π/2.
const PI_2: [f64; 3] = [1.5707963267341256, 6.077100506303966e-11, 2.0222662487959506e-21];
/// Up to here `n` has 20 bits, and its products with the parts are exact.
pub(super) const MOST: f64 = 1.6e6;
/// `(sin(r) / r - 1) / r²` in powers of r².
const SIN: [f64; 6] = [
    -0.16666666666666666,
    0.008333333333330925,
    -0.00019841269836722437,
    2.755731608382574e-06,
    -2.505112794596564e-08,
    1.591784866512194e-10,
];
/// `(cos(r) - 1 + r²/2) / r⁴` in powers of r².
const COS: [f64; 6] = [
    0.041666666666666664,
    -0.0013888888888887382,
    2.480158729874308e-05,
    -2.755731726001471e-07,
    2.0876143829213935e-09,
    -1.1382456865840483e-11,
];

#[inline(always)]
fn fma<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    <f64 as Elementary>::fma::<FMA>(a, b, c)
}

#[inline(always)]
fn horner<const FMA: bool>(x: f64, c: [f64; 6]) -> f64 {
    let mut p = c[5];
    for i in (0..5).rev() {
        p = fma::<FMA>(p, x, c[i]);
    }
    p
}

/// `sin(x + quarter π/2)` for `|x| <=` [`MOST`]; NaN for NaN, finite nonsense beyond.
#[inline(always)]
pub(super) fn sin_shifted<const FMA: bool>(x: f64, quarter: u64) -> f64 {
    let t = fma::<FMA>(x, std::f64::consts::FRAC_2_PI, f64::MAGIC);
    let n = t - f64::MAGIC;
    let r = fma::<FMA>(-n, PI_2[1], fma::<FMA>(-n, PI_2[0], x));
    let r = fma::<FMA>(-n, PI_2[2], r);
    let w = r * r;
    let sin = fma::<FMA>(r * w, horner::<FMA>(w, SIN), r);
    let cos = fma::<FMA>(w * w, horner::<FMA>(w, COS), fma::<FMA>(w, -0.5, 1.0));
    // The low bits of t are those of n, in two's complement.
    let n = t.to_bits().wrapping_add(quarter);
    let magnitude = if n & 1 == 0 { sin } else { cos };
    f64::from_bits(magnitude.to_bits() ^ ((n & 2) << 62))
}
