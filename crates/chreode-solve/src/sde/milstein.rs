//! Milstein's scheme for Itô equations whose noise commutes: separable, scalar or additive.

use chreode_core::{Diffusion, Real};

use super::scheme::{Increments, SdeMethod, SdeScheme, spread};
use crate::SolveError;
use crate::error::check_finite;

/// One Milstein step (Itô): `y += f h + g Δw + ½ g′g (Δw² − h)`, with `g′g` the derivative of `g` along itself.
///
/// The derivative is that of [`Diffusion::with_jvp`]; an equation without it costs a second evaluation of the
/// diffusion instead, for Platen's difference `(g(y + f h + g √h) − g(y)) / √h`.
///
/// # Order
/// Strong 1.0, weak 1.0, of both forms. Source: [KP92] sections 10.3 and 11.1. For noise that does not commute the
/// strong order would be 0.5, and the step is refused.
#[derive(Debug, Clone)]
pub struct Milstein<T> {
    drift: Vec<T>,
    g: Vec<T>,
    /// The increments of each coordinate.
    dw: Vec<T>,
    /// `g′g`, or `g` at `support`.
    slope: Vec<T>,
    support: Vec<T>,
    derivative_free: bool,
}

impl<T: Real> Milstein<T> {
    /// Work arrays for up to `n` trajectories of this equation.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`].
    pub fn new(n: usize, sde: &dyn Diffusion<T>) -> Result<Self, SolveError> {
        SdeMethod::Milstein.check(sde)?;
        let zeros = || vec![T::ZERO; n * sde.dim()];
        Ok(Self {
            drift: zeros(),
            g: zeros(),
            dw: zeros(),
            slope: zeros(),
            support: zeros(),
            derivative_free: false,
        })
    }

    /// Whether to take Platen's difference although the equation has the derivative.
    pub fn set_derivative_free(&mut self, on: bool) {
        self.derivative_free = on;
    }
}

impl<T: Real> SdeScheme<T> for Milstein<T> {
    fn method(&self) -> SdeMethod {
        SdeMethod::Milstein
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
        self.method().check_step(sde, noise, false, y, p, self.drift.len(), self.g.len())?;
        let (drift, g, dw) = (&mut self.drift[..len], &mut self.g[..len], &mut self.dw[..len]);
        let (slope, support) = (&mut self.slope[..len], &mut self.support[..len]);
        spread(noise.dw, d, dw);
        sde.drift_and_diffusion(t, y, p, drift, g)?;
        let (h_t, root) = (T::c(h), T::c(h.sqrt()));
        let with_jvp = if self.derivative_free { None } else { sde.with_jvp() };
        if let Some(sde) = with_jvp {
            sde.diffusion_jvp(t, y, p, g, slope)?;
        } else {
            for i in 0..len {
                support[i] = y[i] + drift[i] * h_t + g[i] * root;
            }
            sde.diffusion(t, support, p, slope)?;
            let inverse = T::c(1.0 / h.sqrt());
            for i in 0..len {
                slope[i] = (slope[i] - g[i]) * inverse;
            }
        }
        let half = T::c(0.5);
        for i in 0..len {
            y[i] += drift[i] * h_t + g[i] * dw[i] + half * slope[i] * (dw[i] * dw[i] - h_t);
        }
        check_finite(y, d, first_trajectory, t + h)
    }
}
