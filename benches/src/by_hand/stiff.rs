//! The small problems of the stiff corpus, which have no parameters.

use super::Hand;

/// Robertson's reactions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Robertson;
impl Hand<3, 0> for Robertson {
    #[inline(always)]
    fn f(_t: f64, [a, b, c]: [f64; 3], _p: [f64; 0]) -> [f64; 3] {
        let (slow, back, fast) = (0.04 * a, 1e4 * b * c, 3e7 * b * b);
        [back - slow, slow - back - fast, fast]
    }
    #[inline(always)]
    fn jv(_t: f64, [_, b, c]: [f64; 3], _p: [f64; 0], [x, y, z]: [f64; 3]) -> [f64; 3] {
        let (slow, back, fast) = (0.04 * x, 1e4 * (b * z + c * y), 6e7 * b * y);
        [back - slow, slow - back - fast, fast]
    }
    #[inline(always)]
    fn jacobian(_t: f64, [_, b, c]: [f64; 3], _p: [f64; 0]) -> [[f64; 3]; 3] {
        let (by_b, by_c, fast) = (1e4 * c, 1e4 * b, 6e7 * b);
        [[-0.04, by_b, by_c], [0.04, -by_b - fast, -by_c], [0.0, fast, 0.0]]
    }
    #[inline(always)]
    fn pulled(_t: f64, [_, b, c]: [f64; 3], _p: [f64; 0], [x, y, z]: [f64; 3]) -> ([f64; 3], [f64; 0]) {
        let back = 1e4 * (x - y);
        ([0.04 * (y - x), back * c + 6e7 * b * (z - y), back * b], [])
    }
}

/// High irradiance responses of photomorphogenesis.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hires;
impl Hires {
    /// Its linear part.
    #[inline(always)]
    fn linear([a, b, c, d, e, f, g, _]: [f64; 8]) -> [f64; 6] {
        [
            -1.71 * a + 0.43 * b + 8.32 * c,
            1.71 * a - 8.75 * b,
            -10.03 * c + 0.43 * d + 0.035 * e,
            8.32 * b + 1.71 * c - 1.12 * d,
            -1.745 * e + 0.43 * f + 0.43 * g,
            0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
        ]
    }
}
impl Hand<8, 0> for Hires {
    #[inline(always)]
    fn f(_t: f64, y: [f64; 8], _p: [f64; 0]) -> [f64; 8] {
        let ([a, b, c, d, e, f], binding) = (Self::linear(y), 280.0 * y[5] * y[7]);
        let bound = binding - 1.81 * y[6];
        [a + 0.0007, b, c, d, e, f - binding, bound, -bound]
    }
    #[inline(always)]
    fn jv(_t: f64, y: [f64; 8], _p: [f64; 0], v: [f64; 8]) -> [f64; 8] {
        let ([a, b, c, d, e, f], binding) = (Self::linear(v), 280.0 * (y[5] * v[7] + y[7] * v[5]));
        let bound = binding - 1.81 * v[6];
        [a, b, c, d, e, f - binding, bound, -bound]
    }
    #[inline(always)]
    fn jacobian(_t: f64, y: [f64; 8], _p: [f64; 0]) -> [[f64; 8]; 8] {
        let (by_f, by_h) = (280.0 * y[7], 280.0 * y[5]);
        [
            [-1.71, 0.43, 8.32, 0.0, 0.0, 0.0, 0.0, 0.0],
            [1.71, -8.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, -10.03, 0.43, 0.035, 0.0, 0.0, 0.0],
            [0.0, 8.32, 1.71, -1.12, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 0.0, -1.745, 0.43, 0.43, 0.0],
            [0.0, 0.0, 0.0, 0.69, 1.71, -0.43 - by_f, 0.69, -by_h],
            [0.0, 0.0, 0.0, 0.0, 0.0, by_f, -1.81, by_h],
            [0.0, 0.0, 0.0, 0.0, 0.0, -by_f, 1.81, -by_h],
        ]
    }
    #[inline(always)]
    fn pulled(_t: f64, y: [f64; 8], _p: [f64; 0], l: [f64; 8]) -> ([f64; 8], [f64; 0]) {
        let [a, b, c, d, e, f, g, h] = l;
        let (bound, binding) = (g - h, 280.0 * (g - h - f));
        let by_state = [
            1.71 * (b - a),
            0.43 * a - 8.75 * b + 8.32 * d,
            8.32 * a - 10.03 * c + 1.71 * d,
            0.43 * c - 1.12 * d + 0.69 * f,
            0.035 * c - 1.745 * e + 1.71 * f,
            0.43 * (e - f) + binding * y[7],
            0.43 * e + 0.69 * f - 1.81 * bound,
            binding * y[5],
        ];
        (by_state, [])
    }
}

/// The Oregonator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Orego;
/// Its rate and the inverse.
const S: [f64; 2] = [77.27, 1.0 / 77.27];
impl Hand<3, 0> for Orego {
    #[inline(always)]
    fn f(_t: f64, [a, b, c]: [f64; 3], _p: [f64; 0]) -> [f64; 3] {
        [S[0] * (b + a * (1.0 - 8.375e-6 * a - b)), (c - (1.0 + a) * b) * S[1], 0.161 * (a - c)]
    }
    #[inline(always)]
    fn jv(_t: f64, [a, b, _]: [f64; 3], _p: [f64; 0], [x, y, z]: [f64; 3]) -> [f64; 3] {
        let by_a = 1.0 - 2.0 * 8.375e-6 * a - b;
        [S[0] * (by_a * x + (1.0 - a) * y), (z - b * x - (1.0 + a) * y) * S[1], 0.161 * (x - z)]
    }
    #[inline(always)]
    fn jacobian(_t: f64, [a, b, _]: [f64; 3], _p: [f64; 0]) -> [[f64; 3]; 3] {
        [
            [S[0] * (1.0 - 2.0 * 8.375e-6 * a - b), S[0] * (1.0 - a), 0.0],
            [-b * S[1], -(1.0 + a) * S[1], S[1]],
            [0.161, 0.0, -0.161],
        ]
    }
    #[inline(always)]
    fn pulled(_t: f64, [a, b, _]: [f64; 3], _p: [f64; 0], [x, y, z]: [f64; 3]) -> ([f64; 3], [f64; 0]) {
        let (x, y) = (S[0] * x, S[1] * y);
        let by_a = (1.0 - 2.0 * 8.375e-6 * a - b) * x - b * y + 0.161 * z;
        ([by_a, (1.0 - a) * x - (1.0 + a) * y, y - 0.161 * z], [])
    }
}

/// Van der Pol's oscillator with `eps = 1e-6`.
#[derive(Debug, Clone, Copy, Default)]
pub struct VanDerPol;
impl Hand<2, 0> for VanDerPol {
    #[inline(always)]
    fn f(_t: f64, [y, v]: [f64; 2], _p: [f64; 0]) -> [f64; 2] {
        [v, ((1.0 - y * y) * v - y) * 1e6]
    }
    #[inline(always)]
    fn jv(_t: f64, [y, v]: [f64; 2], _p: [f64; 0], [dy, dv]: [f64; 2]) -> [f64; 2] {
        [dv, ((1.0 - y * y) * dv - (1.0 + 2.0 * y * v) * dy) * 1e6]
    }
    #[inline(always)]
    fn jacobian(_t: f64, [y, v]: [f64; 2], _p: [f64; 0]) -> [[f64; 2]; 2] {
        [[0.0, 1.0], [(-2.0 * y * v - 1.0) * 1e6, (1.0 - y * y) * 1e6]]
    }
    #[inline(always)]
    fn pulled(_t: f64, [y, v]: [f64; 2], _p: [f64; 0], [a, b]: [f64; 2]) -> ([f64; 2], [f64; 0]) {
        let b = 1e6 * b;
        ([-(1.0 + 2.0 * y * v) * b, a + (1.0 - y * y) * b], [])
    }
}

/// Problem E5.
#[derive(Debug, Clone, Copy, Default)]
pub struct E5;
/// Its rates.
const RATES: [f64; 4] = [7.89e-10, 1.1e7, 1.13e9, 1.13e3];
impl Hand<4, 0> for E5 {
    #[inline(always)]
    fn f(_t: f64, y: [f64; 4], _p: [f64; 0]) -> [f64; 4] {
        let [a, b, c, e] = RATES;
        let (slow, with_2, pair, last) = (a * y[0], b * y[0] * y[2], c * y[1] * y[2], e * y[3]);
        let (second, fourth) = (slow - pair, with_2 - last);
        [-slow - with_2, second, second - fourth, fourth]
    }
    #[inline(always)]
    fn jv(_t: f64, y: [f64; 4], _p: [f64; 0], v: [f64; 4]) -> [f64; 4] {
        let [a, b, c, e] = RATES;
        let (with_2, pair) = (b * (y[0] * v[2] + v[0] * y[2]), c * (y[1] * v[2] + v[1] * y[2]));
        let (slow, last) = (a * v[0], e * v[3]);
        let (second, fourth) = (slow - pair, with_2 - last);
        [-slow - with_2, second, second - fourth, fourth]
    }
    #[inline(always)]
    fn jacobian(_t: f64, y: [f64; 4], _p: [f64; 0]) -> [[f64; 4]; 4] {
        let [a, b, c, e] = RATES;
        let (b0, b2, c1, c2) = (b * y[0], b * y[2], c * y[1], c * y[2]);
        [[-a - b2, 0.0, -b0, 0.0], [a, -c2, -c1, 0.0], [a - b2, -c2, -c1 - b0, e], [b2, 0.0, b0, -e]]
    }
    #[inline(always)]
    fn pulled(_t: f64, y: [f64; 4], _p: [f64; 0], l: [f64; 4]) -> ([f64; 4], [f64; 0]) {
        let [a, b, c, e] = RATES;
        let (second, fourth) = (l[1] + l[2], l[3] - l[2]);
        let (with_2, pair) = (b * (fourth - l[0]), c * second);
        let by_first = a * (second - l[0]) + with_2 * y[2];
        ([by_first, -pair * y[2], with_2 * y[0] - pair * y[1], -e * fourth], [])
    }
}
