//! Rößler's method SRA1 of strong order 1.5 for additive noise.

use chreode_core::{Diffusion, Real};

use super::scheme::{Increments, SdeMethod, SdeScheme};
use crate::SolveError;
use crate::error::check_finite;

/// One SRA1 step for additive noise, in either calculus: two evaluations of the drift and two of the diffusion, which
/// may depend on time.
///
/// The error estimate is the distance to the drift by Euler and the noise by the value of `g` at the end of the step;
/// the two parts are added by size. This is the idea of [RN17].
///
/// # Order
/// Strong 1.5, weak 2.0. Source: [Roe10], section 6.
#[derive(Debug, Clone)]
pub struct Sra1<T> {
    drift: [Vec<T>; 2],
    g: [Vec<T>; 2],
    stage: Vec<T>,
    error: Vec<T>,
    used: usize,
}

impl<T: Real> Sra1<T> {
    /// Work arrays for up to `n` trajectories of this equation.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`] for noise that is not additive.
    pub fn new(n: usize, sde: &dyn Diffusion<T>) -> Result<Self, SolveError> {
        SdeMethod::Sra1.check(sde)?;
        let zeros = || vec![T::ZERO; n * sde.dim()];
        let [drift, g] = std::array::from_fn(|_| [zeros(), zeros()]);
        Ok(Self { drift, g, stage: zeros(), error: zeros(), used: 0 })
    }
}

impl<T: Real> SdeScheme<T> for Sra1<T> {
    fn method(&self) -> SdeMethod {
        SdeMethod::Sra1
    }

    fn needs_area(&self) -> bool {
        true
    }

    fn advance(
        &mut self,
        sde: &mut dyn Diffusion<T>,
        noise: Increments<'_, T>,
        first_trajectory: u64,
        t: f64,
        h: f64,
        y: &mut [T],
        p: &[T],
    ) -> Result<(), SolveError> {
        let (d, len) = (sde.dim(), y.len());
        self.method().check_step(sde, noise, true, y, p, self.stage.len(), self.stage.len())?;
        let [f0, f1] = self.drift.each_mut().map(|v| &mut v[..len]);
        let [g0, g1] = self.g.each_mut().map(|v| &mut v[..len]);
        let stage = &mut self.stage[..len];
        let Increments { dw, area } = noise;
        let (h_t, half) = (T::c(h), T::c(0.5));
        sde.drift_and_diffusion(t, y, p, f0, g0)?;
        sde.diffusion(t + h, y, p, g1)?;
        for i in 0..len {
            let i10_by_h = half * dw[i] + area[i];
            stage[i] = y[i] + T::c(0.75 * h) * f0[i] + T::c(1.5) * i10_by_h * g1[i];
        }
        sde.eval(t + 0.75 * h, stage, p, f1)?;
        let weight = T::c(2.0 / 3.0 * h);
        for i in 0..len {
            let i10_by_h = half * dw[i] + area[i];
            let fine_drift = weight * (f1[i] - f0[i]);
            let fine_noise = (g0[i] - g1[i]) * i10_by_h;
            self.error[i] = fine_drift.abs() + fine_noise.abs();
            y[i] += h_t * f0[i] + fine_drift + (g1[i] * dw[i] + fine_noise);
        }
        self.used = len;
        check_finite(y, d, first_trajectory, t + h)
    }

    fn error(&self) -> Option<(&[T], f64)> {
        Some((&self.error[..self.used], 1.5))
    }
}
