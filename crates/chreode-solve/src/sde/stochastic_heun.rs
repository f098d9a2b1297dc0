//! The stochastic Heun scheme for Stratonovich equations with noise of any structure.

use chreode_core::{Diffusion, Real};

use super::scheme::{Increments, SdeMethod, SdeScheme, noise_term};
use crate::SolveError;
use crate::error::check_finite;

/// One Heun step (Stratonovich): `ȳ = y + f h + g Δw`, then `y += ½ (f + f̄) h + ½ (g + ḡ) Δw` with `f̄`, `ḡ` at `ȳ`
/// and `t + h`.
///
/// The error estimate is the distance to `ȳ`, which falls as `h`: far more than the scheme's own error.
///
/// # Order
/// Strong 1.0 for separable, scalar and additive noise, 0.5 for diagonal and general noise (1.0 where it happens to
/// commute), weak 1.0; in the limit of no noise it has order 2. Source: [Rum82].
#[derive(Debug, Clone)]
pub struct StochasticHeun<T> {
    /// Drift, diffusion and `g Δw` at the start and at `ȳ`.
    start: Stage<T>,
    end: Stage<T>,
    support: Vec<T>,
    error: Vec<T>,
    used: usize,
}

#[derive(Debug, Clone)]
struct Stage<T> {
    drift: Vec<T>,
    g: Vec<T>,
    term: Vec<T>,
}

impl<T: Real> StochasticHeun<T> {
    /// Work arrays for up to `n` trajectories of this equation.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`] for noise in Itô calculus that is not additive.
    pub fn new(n: usize, sde: &dyn Diffusion<T>) -> Result<Self, SolveError> {
        SdeMethod::StochasticHeun.check(sde)?;
        let d = sde.dim();
        let zeros = |len| vec![T::ZERO; n * len];
        let stage = || Stage { drift: zeros(d), g: zeros(sde.noise_kind().values(d)), term: zeros(d) };
        Ok(Self { start: stage(), end: stage(), support: zeros(d), error: zeros(d), used: 0 })
    }
}

impl<T: Real> SdeScheme<T> for StochasticHeun<T> {
    fn method(&self) -> SdeMethod {
        SdeMethod::StochasticHeun
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
        let (d, kind, len) = (sde.dim(), sde.noise_kind(), y.len());
        let (room, g_room) = (self.support.len(), self.start.g.len());
        let n = self.method().check_step(sde, noise, false, y, p, room, g_room)?;
        let mut evaluate = |stage: &mut Stage<T>, t: f64, y: &[T]| {
            let g = &mut stage.g[..n * kind.values(d)];
            sde.drift_and_diffusion(t, y, p, &mut stage.drift[..len], g)?;
            noise_term(kind, d, g, noise.dw, &mut stage.term[..len]);
            Ok::<(), SolveError>(())
        };
        let support = &mut self.support[..len];
        let h_t = T::c(h);
        evaluate(&mut self.start, t, y)?;
        for i in 0..len {
            support[i] = y[i] + (self.start.drift[i] * h_t + self.start.term[i]);
        }
        evaluate(&mut self.end, t + h, support)?;
        let half = T::c(0.5);
        let (start, end) = (&self.start, &self.end);
        for i in 0..len {
            let correction = half * ((end.drift[i] - start.drift[i]) * h_t + (end.term[i] - start.term[i]));
            self.error[i] = correction;
            y[i] = support[i] + correction;
        }
        self.used = len;
        check_finite(y, d, first_trajectory, t + h)
    }

    fn error(&self) -> Option<(&[T], f64)> {
        Some((&self.error[..self.used], 1.0))
    }
}
