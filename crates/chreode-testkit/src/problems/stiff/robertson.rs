//! Three reactions whose rates differ by nine orders of magnitude.

use chreode_core::{Number, Real};

use super::{Stiff, StiffCase, product};

/// Robertson's autocatalytic reactions [HW96, section IV.1]. The sum of the coordinates stays 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Robertson;

impl Robertson {
    /// To t = 1e11. The third coordinate that [MM08] publishes breaks the conserved sum in its 14th digit.
    pub(super) fn case() -> StiffCase {
        let end = [2.0833401497012941e-8, 8.3333607703347832e-14, 0.99999997916651517];
        StiffCase::new("Robertson", Self, &[1.0, 0.0, 0.0], 1e11, 1e-9, &end)
    }
}

impl Stiff for Robertson {
    fn dim(&self) -> usize {
        3
    }
    #[inline(always)]
    fn f<S: Number>(&self, _t: S, y: &[S], dy: &mut [S]) {
        let (slow, back, fast) = (S::c(0.04) * y[0], S::c(1e4) * y[1] * y[2], S::c(3e7) * y[1] * y[1]);
        (dy[0], dy[1], dy[2]) = (back - slow, slow - back - fast, fast);
    }
    #[inline]
    fn jacobian<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        let (by_1, by_2, fast) = (T::c(1e4) * y[2], T::c(1e4) * y[1], T::c(6e7) * y[1]);
        put(0, 0, T::c(-0.04));
        put(1, 0, T::c(0.04));
        put(0, 1, by_1);
        put(1, 1, -by_1 - fast);
        put(2, 1, fast);
        put(0, 2, by_2);
        put(1, 2, -by_2);
    }
    fn second<T: Real>(&self, _t: f64, _y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        for (row, pair, rate) in [(0, [1, 2], 1e4), (1, [1, 2], -1e4), (1, [1, 1], -3e7), (2, [1, 1], 3e7)] {
            product(row, pair, T::c(rate), &mut put);
        }
    }
}
