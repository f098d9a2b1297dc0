//! Rößler's method SRIW1 of strong order 1.5 for Itô equations whose noise commutes.

use chreode_core::{Diffusion, Real};

use super::scheme::{Increments, SdeMethod, SdeScheme, spread};
use crate::SolveError;
use crate::error::check_finite;

// The tableau: `B1` for the stages of `g` (their part of the drift, `A1`, stands in the code), and the weights of
// `I_(1)`, `I_(1,1) / √h`, `I_(1,0) / h` and `I_(1,1,1) / h`.
const B1: [[f64; 3]; 4] = [[0.0; 3], [0.5, 0.0, 0.0], [-1.0, 0.0, 0.0], [-5.0, 3.0, 0.5]];
const A1: [f64; 4] = [0.0, 0.25, 1.0, 0.25];
const BETA: [[f64; 4]; 4] = [
    [-1.0, 4.0 / 3.0, 2.0 / 3.0, 0.0],
    [-1.0, 4.0 / 3.0, -1.0 / 3.0, 0.0],
    [2.0, -4.0 / 3.0, -2.0 / 3.0, 0.0],
    [-2.0, 5.0 / 3.0, -2.0 / 3.0, 1.0],
];

/// One SRIW1 step (Itô): two evaluations of the drift and four of the diffusion.
///
/// The error estimate is the distance to an embedded method of strong order 1.0: the drift by Euler, the noise
/// without the integrals `I_(1,0)` and `I_(1,1,1)`; the two parts are added by size, so that they cannot cancel.
/// This is the idea of [RN17].
///
/// # Order
/// Strong 1.5, weak 1.5 (stages at distances `√h` leave a term of `h^2.5` in the covariance of a step's error with its
/// increment; 1.7 to 1.8 is seen at usual steps, and 2.0 with additive noise). Source: [Roe10], section 6. For noise that does not
/// commute the strong order would be 0.5, and the step is refused.
#[derive(Debug, Clone)]
pub struct Sriw1<T> {
    drift: [Vec<T>; 2],
    g: [Vec<T>; 4],
    stage: Vec<T>,
    /// Increments and areas of each coordinate.
    dw: Vec<T>,
    area: Vec<T>,
    error: Vec<T>,
    used: usize,
}

impl<T: Real> Sriw1<T> {
    /// Work arrays for up to `n` trajectories of this equation.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`].
    pub fn new(n: usize, sde: &dyn Diffusion<T>) -> Result<Self, SolveError> {
        SdeMethod::Sriw1.check(sde)?;
        let zeros = || vec![T::ZERO; n * sde.dim()];
        Ok(Self {
            drift: std::array::from_fn(|_| zeros()),
            g: std::array::from_fn(|_| zeros()),
            stage: zeros(),
            dw: zeros(),
            area: zeros(),
            error: zeros(),
            used: 0,
        })
    }
}

impl<T: Real> SdeScheme<T> for Sriw1<T> {
    fn method(&self) -> SdeMethod {
        SdeMethod::Sriw1
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
        let [g0, g1, g2, g3] = self.g.each_mut().map(|v| &mut v[..len]);
        let (stage, dw, area) = (&mut self.stage[..len], &mut self.dw[..len], &mut self.area[..len]);
        spread(noise.dw, d, dw);
        spread(noise.area, d, area);
        let (h_t, root) = (T::c(h), h.sqrt());
        let half = T::c(0.5);

        sde.drift_and_diffusion(t, y, p, f0, g0)?;
        let [b1, b2] = [T::c(B1[1][0] * root), T::c(B1[2][0] * root)];
        let [a1, a2, a3] = [T::c(A1[1] * h), T::c(A1[2] * h), T::c(A1[3] * h)];
        for i in 0..len {
            stage[i] = y[i] + a1 * f0[i] + b1 * g0[i];
        }
        sde.diffusion(t + A1[1] * h, stage, p, g1)?;
        for i in 0..len {
            stage[i] = y[i] + a2 * f0[i] + b2 * g0[i];
        }
        sde.diffusion(t + A1[2] * h, stage, p, g2)?;
        let b3 = B1[3].map(|b| T::c(b * root));
        for i in 0..len {
            stage[i] = y[i] + a3 * f0[i] + (b3[0] * g0[i] + b3[1] * g1[i] + b3[2] * g2[i]);
        }
        sde.diffusion(t + A1[3] * h, stage, p, g3)?;
        for i in 0..len {
            let i10_by_h = half * dw[i] + area[i];
            stage[i] = y[i] + T::c(0.75 * h) * f0[i] + T::c(1.5) * i10_by_h * g0[i];
        }
        sde.eval(t + 0.75 * h, stage, p, f1)?;

        let beta = BETA.map(|row| row.map(T::c));
        let (inverse, third) = (T::c(1.0 / root), T::c(1.0 / 3.0));
        for i in 0..len {
            let g = [g0[i], g1[i], g2[i], g3[i]];
            let combine = |b: &[T; 4]| b[0] * g[0] + b[1] * g[1] + b[2] * g[2] + b[3] * g[3];
            // Iterated integrals as powers, [KP92] section 5.2: I_(1,1) = (Δw² − h) / 2, I_(1,1,1) = (Δw² − 3h) Δw / 6.
            let w2 = dw[i] * dw[i];
            let i11_by_root = half * (w2 - h_t) * inverse;
            let i10_by_h = half * dw[i] + area[i];
            let i111_by_h = (w2 / h_t - T::c(3.0)) * dw[i] * T::c(1.0 / 6.0);
            let fine_drift = T::c(2.0) * third * h_t * (f1[i] - f0[i]);
            let fine_noise = combine(&beta[2]) * i10_by_h + combine(&beta[3]) * i111_by_h;
            self.error[i] = fine_drift.abs() + fine_noise.abs();
            let noise = combine(&beta[0]) * dw[i] + combine(&beta[1]) * i11_by_root;
            y[i] += h_t * f0[i] + fine_drift + (noise + fine_noise);
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

    /// The conditions on the weights of [Roe10] for strong order 1.5, with the sums of `A1` and `B1`.
    #[test]
    fn order_conditions() {
        let b_sum = B1.map(|row| row.iter().sum::<f64>());
        let b_b: [f64; 4] = std::array::from_fn(|i| (0..3).map(|j| B1[i][j] * b_sum[j]).sum());
        let dot = |b: usize, v: [f64; 4]| BETA[b].iter().zip(v).map(|(b, v)| b * v).sum::<f64>();
        let expected = [
            // 1, A1 e, B1 e, (B1 e)², B1 (B1 e)
            [1.0, 1.0, 0.0, 1.0, 0.0],
            [0.0, 0.0, 1.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, -1.0, 0.0],
            [0.0, 0.0, 0.0, 2.0, 1.0],
        ];
        for (b, expected) in expected.into_iter().enumerate() {
            let sums = [[1.0; 4], A1, b_sum, b_sum.map(|x| x * x), b_b];
            for (k, (v, expected)) in sums.into_iter().zip(expected).enumerate() {
                assert!((dot(b, v) - expected).abs() < 1e-14, "beta {b}, condition {k}: {}", dot(b, v));
            }
        }
    }
}
