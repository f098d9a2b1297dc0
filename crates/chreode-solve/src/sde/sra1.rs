//! Rößler's method SRA1 of strong order 1.5 for additive noise.

use chreode_core::{Diffusion, Real};

use super::scheme::{Increments, SdeMethod, SdeScheme};
use crate::SolveError;
use crate::error::check_finite;

/// The second stage of the drift, at `A * h` and with `B1` times the noise's integral over time; and the times of the two values of the
/// diffusion. The first stage of the drift is the state itself.
const A: f64 = 0.75;
const B1: f64 = 1.5;
const DIFFUSION_AT: [f64; 2] = [1.0, 0.0];
/// Weights of the drift, of the diffusion with the Brownian increment, and with its integral over time.
const ALPHA: [f64; 2] = [1.0 / 3.0, 2.0 / 3.0];
const BETA: [[f64; 2]; 2] = [[1.0, 0.0], [-1.0, 1.0]];

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
        let half = T::c(0.5);
        sde.drift_and_diffusion(t + DIFFUSION_AT[1] * h, y, p, f0, g0)?;
        sde.diffusion(t + DIFFUSION_AT[0] * h, y, p, g1)?;
        let (a, b) = (T::c(A * h), T::c(B1));
        for i in 0..len {
            let i10_by_h = half * dw[i] + area[i];
            stage[i] = y[i] + a * f0[i] + b * i10_by_h * g1[i];
        }
        sde.eval(t + A * h, stage, p, f1)?;
        // The weights of Euler's drift, and what the second stage adds.
        let (whole, weight) = (T::c((ALPHA[0] + ALPHA[1]) * h), T::c(ALPHA[1] * h));
        let beta = BETA.map(|row| row.map(T::c));
        for i in 0..len {
            let i10_by_h = half * dw[i] + area[i];
            let fine_drift = weight * (f1[i] - f0[i]);
            let fine_noise = (beta[1][0] * g1[i] + beta[1][1] * g0[i]) * i10_by_h;
            self.error[i] = fine_drift.abs() + fine_noise.abs();
            let noise = beta[0][0] * g1[i] + beta[0][1] * g0[i];
            y[i] += whole * f0[i] + fine_drift + (noise * dw[i] + fine_noise);
        }
        self.used = len;
        check_finite(y, d, first_trajectory, t + h)
    }

    fn error(&self) -> Option<(&[T], f64)> {
        Some((&self.error[..self.used], 1.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The conditions of [Roe10] on methods for additive noise: the first three for strong order 1, all for 1.5.
    #[test]
    fn order_conditions() {
        // Rows of sums of the stages' coefficients: A e and B e of the drift's, c of the diffusion's.
        let (a, b, c) = ([0.0, A], [0.0, B1], DIFFUSION_AT);
        let dot = |weights: [f64; 2], v: [f64; 2]| weights[0] * v[0] + weights[1] * v[1];
        for (condition, found, expected) in [
            ("alpha e", dot(ALPHA, [1.0; 2]), 1.0),
            ("beta1 e", dot(BETA[0], [1.0; 2]), 1.0),
            ("beta2 e", dot(BETA[1], [1.0; 2]), 0.0),
            ("alpha B e", dot(ALPHA, b), 1.0),
            ("alpha A e", dot(ALPHA, a), 0.5),
            ("alpha (B e)²", dot(ALPHA, b.map(|b| b * b)), 1.5),
            ("beta1 c", dot(BETA[0], c), 1.0),
            ("beta2 c", dot(BETA[1], c), -1.0),
        ] {
            assert!((found - expected).abs() < 1e-15, "{condition}: {found}, not {expected}");
        }
    }
}
