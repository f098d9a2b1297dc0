//! Pyrolysis: concentrations over twenty orders of magnitude, times up to 1e13.

use chreode_core::{Number, Real};

use super::{Stiff, StiffCase, product};

/// Problem E5 of the collection of Enright, Hull and Lindberg [HW96, section IV.10]. `y[1] - y[2] - y[3]` stays 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct E5;

const RATES: [f64; 4] = [7.89e-10, 1.1e7, 1.13e9, 1.13e3];

impl E5 {
    /// To t = 1e13, where the first coordinate has decayed to less than any double.
    ///
    /// Rounding breaks the conserved sum by 1e-25, so that no double-precision solution has more than three digits of the second and the
    /// third coordinate; the end point of [MM08] breaks it too, and its second and third coordinate lie 7e-4 above and below the
    /// common value given here. That value came out to all its digits once more, of a computation that shares nothing with the others:
    /// Radau IIA of eight stages (order 15) in 45 decimal digits, with the conserved sum eliminated, 194 steps.
    pub(super) fn case() -> StiffCase {
        let end = [0.0, 8.8612335212910842e-23, 8.8612335212910842e-23, 0.0];
        StiffCase::new("E5", Self, &[1.76e-3, 0.0, 0.0, 0.0], 1e13, 1.7e-22, &end)
    }
}

impl Stiff for E5 {
    fn dim(&self) -> usize {
        4
    }
    #[inline(always)]
    fn f<S: Number>(&self, _t: S, y: &[S], dy: &mut [S]) {
        let [a, b, c, e] = RATES.map(S::c);
        let (slow, with_2, pair, last) = (a * y[0], b * y[0] * y[2], c * y[1] * y[2], e * y[3]);
        dy[0] = -slow - with_2;
        dy[1] = slow - pair;
        dy[3] = with_2 - last;
        dy[2] = dy[1] - dy[3]; // in this order the sum is kept best
    }
    #[inline]
    fn jacobian<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        let [a, b, c, e] = RATES.map(T::c);
        let (b0, b2, c1, c2) = (b * y[0], b * y[2], c * y[1], c * y[2]);
        for (row, value) in [-a - b2, a, a - b2, b2].into_iter().enumerate() {
            put(row, 0, value);
        }
        put(1, 1, -c2);
        put(2, 1, -c2);
        for (row, value) in [-b0, -c1, -c1 - b0, b0].into_iter().enumerate() {
            put(row, 2, value);
        }
        put(2, 3, e);
        put(3, 3, -e);
    }
    fn second<T: Real>(&self, _t: f64, _y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        let [_, b, c, _] = RATES.map(T::c);
        for (row, sign) in [(0, -T::ONE), (2, -T::ONE), (3, T::ONE)] {
            product(row, [0, 2], sign * b, &mut put);
        }
        product(1, [1, 2], -c, &mut put);
        product(2, [1, 2], -c, &mut put);
    }
}
