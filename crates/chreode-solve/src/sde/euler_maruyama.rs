//! The Euler-Maruyama scheme for Itô equations with diagonal noise.

use chreode_core::{BrownianIncrements, Diffusion, Real};

use crate::SolveError;
use crate::error::{check_finite, check_len, check_params, rows};

/// One Euler-Maruyama step (Itô) for `n` trajectories: `y += f h + g ⊙ ΔW`.
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
    dw: Vec<T>,
}

impl<T: Real> EulerMaruyama<T> {
    /// Work arrays for up to `n` trajectories of `d` coordinates.
    pub fn new(n: usize, d: usize) -> Self {
        let zeros = || vec![T::ZERO; n * d];
        Self { drift: zeros(), g: zeros(), dw: zeros() }
    }

    /// Advances `y`, `[n, d]`, from `t` to `t + h`; row `i` is trajectory `first_trajectory + i`, `k` the number
    /// of the step in the run.
    ///
    /// # Errors
    /// [`SolveError::ShapeMismatch`] if `y` is no multiple of the dimension, has more rows than this workspace,
    /// or `p` is too short; [`SolveError::Field`]; [`SolveError::NonFinite`] if a new state is infinite or NaN.
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
        self.check(sde, y, p)?;
        let mut dw = std::mem::take(&mut self.dw); // an empty Vec takes its place: no allocation
        noise.fill(k, first_trajectory, sde.dim(), h, &mut dw[..y.len()]);
        let done = self.advance(sde, &dw[..y.len()], first_trajectory, t, h, y, p);
        self.dw = dw;
        done
    }

    /// The same with increments of the caller's own, `[n, d]`, of variance `h`.
    ///
    /// # Errors
    /// As [`step`](Self::step), and [`SolveError::ShapeMismatch`] if `dw` and `y` differ in length. Trajectories
    /// are numbered from 0.
    pub fn step_with_increments(
        &mut self,
        sde: &mut dyn Diffusion<T>,
        dw: &[T],
        t: f64,
        h: f64,
        y: &mut [T],
        p: &[T],
    ) -> Result<(), SolveError> {
        self.check(sde, y, p)?;
        check_len("dw", dw.len(), y.len())?;
        self.advance(sde, dw, 0, t, h, y, p)
    }

    fn check(&self, sde: &dyn Diffusion<T>, y: &[T], p: &[T]) -> Result<(), SolveError> {
        rows(y.len(), sde.dim())?;
        check_params(p.len(), sde.n_params())?;
        if y.len() > self.drift.len() {
            let (expected, got) = (self.drift.len(), y.len());
            return Err(SolveError::ShapeMismatch { what: "state (at most)", expected, got });
        }
        Ok(())
    }

    fn advance(
        &mut self,
        sde: &mut dyn Diffusion<T>,
        dw: &[T],
        first_trajectory: u64,
        t: f64,
        h: f64,
        y: &mut [T],
        p: &[T],
    ) -> Result<(), SolveError> {
        let (drift, g) = (&mut self.drift[..y.len()], &mut self.g[..y.len()]);
        sde.drift_and_diffusion(t, y, p, drift, g)?;
        let h_t = T::c(h);
        for ((y, &f), (&g, &dw)) in y.iter_mut().zip(&*drift).zip(g.iter().zip(dw)) {
            *y += f * h_t + g * dw;
        }
        check_finite(y, sde.dim(), first_trajectory, t + h)
    }
}
