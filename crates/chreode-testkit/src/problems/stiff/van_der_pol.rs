//! Relaxation oscillations: slow arcs and jumps.

use chreode_core::{Number, Real};

use super::{Stiff, StiffCase};

/// Van der Pol's oscillator in rescaled time, `y'' = ((1 - y²) y' - y) / eps` with `eps = mu⁻²` [HW96, section IV.10].
#[derive(Debug, Clone, Copy)]
pub struct VanDerPol {
    /// Inverse square of the damping `mu`.
    pub eps: f64,
}

impl VanDerPol {
    pub(super) fn case_mu_1e3() -> StiffCase {
        let end = [1.7061677321704650, -0.89280970102481655];
        StiffCase::new("van der Pol 1e3", Self { eps: 1e-6 }, &[2.0, 0.0], 2.0, 1.0, &end)
    }

    pub(super) fn case_mu_1e6() -> StiffCase {
        let end = [1.7055462175353783, -0.89347636254652825];
        StiffCase::new("van der Pol 1e6", Self { eps: 1e-12 }, &[2.0, 0.0], 2.0, 1.0, &end)
    }
}

impl Stiff for VanDerPol {
    fn dim(&self) -> usize {
        2
    }
    #[inline(always)]
    fn f<S: Number>(&self, _t: S, y: &[S], dy: &mut [S]) {
        dy[0] = y[1];
        dy[1] = ((S::c(1.0) - y[0] * y[0]) * y[1] - y[0]) / S::c(self.eps);
    }
    #[inline]
    fn jacobian<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, usize, T)) {
        let eps = T::c(self.eps);
        put(1, 0, (T::c(-2.0) * y[0] * y[1] - T::ONE) / eps);
        put(0, 1, T::ONE);
        put(1, 1, (T::ONE - y[0] * y[0]) / eps);
    }
    fn second<T: Real>(&self, _t: f64, y: &[T], mut put: impl FnMut(usize, [usize; 2], T)) {
        let (by_y, by_slope) = (T::c(-2.0 / self.eps) * y[1], T::c(-2.0 / self.eps) * y[0]);
        put(1, [0, 0], by_y);
        put(1, [0, 1], by_slope);
        put(1, [1, 0], by_slope);
    }
}
