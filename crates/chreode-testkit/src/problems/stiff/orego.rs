//! A chemical oscillator with pulses four orders of magnitude high.

use chreode_core::{Number, Real};

use super::{Stiff, StiffCase, product};

/// The Oregonator, a model of the Belousov-Zhabotinskii reaction [HW96, section IV.10].
#[derive(Debug, Clone, Copy, Default)]
pub struct Orego;

impl Orego {
    pub(super) fn case() -> StiffCase {
        let end = [1.0008148703185227, 1228.1785215498874, 132.05549428465045];
        StiffCase::new("OREGO", Self, &[1.0, 2.0, 3.0], 360.0, 1e-6, &end)
    }
}

impl Stiff for Orego {
    fn dim(&self) -> usize {
        3
    }
    #[inline(always)]
    fn f<S: Number>(&self, _t: S, y: &[S], dy: &mut [S]) {
        dy[0] = S::c(77.27) * (y[1] + y[0] * (S::c(1.0) - S::c(8.375e-6) * y[0] - y[1]));
        dy[1] = (y[2] - (S::c(1.0) + y[0]) * y[1]) / S::c(77.27);
        dy[2] = S::c(0.161) * (y[0] - y[2]);
    }
    #[inline]
    fn jacobian<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        let s = T::c(77.27);
        put(0, 0, s * (T::ONE - T::c(2.0 * 8.375e-6) * y[0] - y[1]));
        put(1, 0, -y[1] / s);
        put(2, 0, T::c(0.161));
        put(0, 1, s * (T::ONE - y[0]));
        put(1, 1, -(T::ONE + y[0]) / s);
        put(1, 2, T::ONE / s);
        put(2, 2, T::c(-0.161));
    }
    fn second<T: Real>(&self, _t: f64, _y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        product(0, [0, 0], T::c(77.27 * -8.375e-6), &mut put);
        product(0, [0, 1], T::c(-77.27), &mut put);
        product(1, [0, 1], T::c(-1.0 / 77.27), &mut put);
    }
}
