//! The Euler-Maruyama scheme for Itô equations with noise of any structure.

use chreode_core::{BrownianIncrements, Diffusion, NoiseKind, Real};

use super::scheme::{Increments, SdeMethod, SdeScheme, noise_term};
use crate::SolveError;
use crate::error::{check_finite, rows};

/// One Euler-Maruyama step (Itô) for `n` trajectories: `y += f h + g Δw`, with `g` diagonal, of one Brownian motion,
/// or a matrix.
///
/// Holds the work arrays for up to `n` rows; a step allocates nothing. A row's bits do not depend on the rows
/// beside it, if those of the field do not.
///
/// # Order
/// Strong 0.5 (1.0 for additive noise), weak 1.0. Source: [KP92] section 10.2.
#[derive(Debug, Clone)]
pub struct EulerMaruyama<T> {
    drift: Vec<T>,
    g: Vec<T>,
    /// Increments of [`step`](Self::step); `g Δw` where `g` is a matrix, or one motion drives all coordinates.
    dw: Vec<T>,
    term: Vec<T>,
}

impl<T: Real> EulerMaruyama<T> {
    /// Work arrays for up to `n` trajectories of `d` coordinates, each with a Brownian motion of its own.
    pub fn new(n: usize, d: usize) -> Self {
        let zeros = || vec![T::ZERO; n * d];
        Self { drift: zeros(), g: zeros(), dw: zeros(), term: Vec::new() }
    }

    /// Work arrays for up to `n` trajectories of this equation.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`] for noise in Stratonovich calculus that is not additive.
    pub fn for_sde(n: usize, sde: &dyn Diffusion<T>) -> Result<Self, SolveError> {
        SdeMethod::EulerMaruyama.check(sde)?;
        let (d, kind) = (sde.dim(), sde.noise_kind());
        let zeros = |len| vec![T::ZERO; n * len];
        let term = if one_a_coordinate(kind) { 0 } else { d };
        Ok(Self { drift: zeros(d), g: zeros(kind.values(d)), dw: zeros(kind.motions(d)), term: zeros(term) })
    }

    /// Advances `y`, `[n, d]`, from `t` to `t + h`; row `i` is trajectory `first_trajectory + i`, `k` the number
    /// of the step in the run.
    ///
    /// # Errors
    /// As [`SdeScheme::advance`].
    pub fn step(
        &mut self,
        sde: &mut dyn Diffusion<T>,
        noise: &BrownianIncrements,
        first_trajectory: u64,
        k: u64,
        t: f64,
        h: f64,
        y: &mut [T],
        p: &[T],
    ) -> Result<(), SolveError> {
        let m = sde.noise_kind().motions(sde.dim());
        let len = rows(y.len(), sde.dim())? * m;
        let mut dw = std::mem::take(&mut self.dw); // an empty Vec takes its place: no allocation
        // Where the workspace is too small, `advance` says so.
        let used = len.min(dw.len());
        if m > 0 && used == len {
            noise.fill(k, first_trajectory, m, h, &mut dw[..used]);
        }
        let increments = Increments { dw: &dw[..used], area: &[] };
        let done = self.advance(sde, increments, first_trajectory, t, h, y, p);
        self.dw = dw;
        done
    }
}

/// Whether each coordinate has its own Brownian motion.
fn one_a_coordinate(kind: NoiseKind) -> bool {
    !matches!(kind, NoiseKind::Scalar | NoiseKind::General { .. })
}

impl<T: Real> SdeScheme<T> for EulerMaruyama<T> {
    fn method(&self) -> SdeMethod {
        SdeMethod::EulerMaruyama
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
        let (d, kind) = (sde.dim(), sde.noise_kind());
        let plain = one_a_coordinate(kind);
        let room = if plain { self.drift.len() } else { self.drift.len().min(self.term.len()) };
        let n = self.method().check_step(sde, noise, false, y, p, room, self.g.len())?;
        let (drift, g) = (&mut self.drift[..y.len()], &mut self.g[..n * kind.values(d)]);
        sde.drift_and_diffusion(t, y, p, drift, g)?;
        let h_t = T::c(h);
        if plain {
            for ((y, &f), (&g, &dw)) in y.iter_mut().zip(&*drift).zip(g.iter().zip(noise.dw)) {
                *y += f * h_t + g * dw;
            }
        } else {
            let term = &mut self.term[..y.len()];
            noise_term(kind, d, g, noise.dw, term);
            for ((y, &f), &term) in y.iter_mut().zip(&*drift).zip(&*term) {
                *y += f * h_t + term;
            }
        }
        check_finite(y, d, first_trajectory, t + h)
    }
}
