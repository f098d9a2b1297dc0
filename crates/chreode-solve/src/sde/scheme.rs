//! What the stochastic methods have in common, and the list of them.

use chreode_core::{Calculus, Diffusion, NoiseKind, Real};

use super::euler_maruyama::EulerMaruyama;
use super::milstein::Milstein;
use super::sra1::Sra1;
use super::sriw1::Sriw1;
use super::stochastic_heun::StochasticHeun;
use crate::SolveError;
use crate::error::{check_len, check_params, rows};

/// The Brownian motion over one step of length `h`, for `n` trajectories with `m` motions each.
#[derive(Debug, Clone, Copy)]
pub struct Increments<'a, T> {
    /// Increments `Δw`, `[n, m]`, of variance `h`.
    pub dw: &'a [T],
    /// Space-time Lévy areas `1/h ∫ (w − w₀) dt − Δw / 2`, `[n, m]`, of variance `h / 12`, independent of `dw`. May be
    /// empty for a scheme that [needs none](SdeScheme::needs_area).
    pub area: &'a [T],
}

/// A one-step method for stochastic differential equations; holds the work arrays for up to `n` trajectories.
///
/// A step allocates nothing. A row's bits do not depend on the rows beside it, if those of the field do not.
pub trait SdeScheme<T: Real>: Send {
    /// Which method it is.
    fn method(&self) -> SdeMethod;

    /// Whether a step needs [`Increments::area`].
    fn needs_area(&self) -> bool {
        false
    }

    /// Advances `y`, `[n, d]`, from `t` to `t + h` along the given Brownian motion; row `i` is trajectory
    /// `first_trajectory + i` in errors.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`]; [`SolveError::ShapeMismatch`] for slices that do not fit each other or this
    /// workspace; [`SolveError::Field`]; [`SolveError::NonFinite`] if a new state is infinite or NaN.
    fn advance(
        &mut self,
        sde: &mut dyn Diffusion<T>,
        noise: Increments<'_, T>,
        first_trajectory: u64,
        t: f64,
        h: f64,
        y: &mut [T],
        p: &[T],
    ) -> Result<(), SolveError>;

    /// Estimate of the error of the last step, one value a coordinate, with the power of `h` that it falls with;
    /// `None` for a method without one.
    fn error(&self) -> Option<(&[T], f64)> {
        None
    }
}

/// The stochastic methods.
///
/// | method | calculus | noise | strong order | weak order |
/// |---|---|---|---|---|
/// | [`EulerMaruyama`] | Itô | any | 0.5; additive 1.0 | 1.0 |
/// | [`Milstein`] | Itô | separable, scalar, additive | 1.0 | 1.0 |
/// | [`StochasticHeun`] | Stratonovich | any | 1.0; diagonal, general 0.5 | 1.0 |
/// | [`Sriw1`] | Itô | separable, scalar, additive | 1.5 | 1.5; additive 2.0 |
/// | [`Sra1`] | either | additive | 1.5 | 2.0 |
///
/// Additive noise is the same in both calculi, so every method treats it in either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SdeMethod {
    /// [`EulerMaruyama`].
    #[default]
    EulerMaruyama,
    /// [`Milstein`].
    Milstein,
    /// [`StochasticHeun`].
    StochasticHeun,
    /// [`Sriw1`]: for adaptive steps.
    Sriw1,
    /// [`Sra1`]: for adaptive steps with additive noise.
    Sra1,
}

impl SdeMethod {
    /// Every method.
    pub const ALL: [Self; 5] =
        [Self::EulerMaruyama, Self::Milstein, Self::StochasticHeun, Self::Sriw1, Self::Sra1];

    /// The method's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::EulerMaruyama => "Euler-Maruyama",
            Self::Milstein => "Milstein",
            Self::StochasticHeun => "stochastic Heun",
            Self::Sriw1 => "SRIW1",
            Self::Sra1 => "SRA1",
        }
    }

    /// Strong order of convergence for this noise; `None` if the method cannot treat it.
    ///
    /// ```
    /// use chreode_core::{Calculus, NoiseKind};
    /// use chreode_solve::SdeMethod;
    /// assert_eq!(SdeMethod::Milstein.strong_order(NoiseKind::Separable, Calculus::Ito), Some(1.0));
    /// assert_eq!(SdeMethod::Milstein.strong_order(NoiseKind::Diagonal, Calculus::Ito), None);
    /// ```
    pub fn strong_order(self, noise: NoiseKind, calculus: Calculus) -> Option<f64> {
        use NoiseKind::{Additive, Diagonal, General, Scalar, Separable};
        let ito = calculus == Calculus::Ito;
        match (self, noise) {
            (_, General { motions: 0 }) => None,
            (Self::EulerMaruyama | Self::Milstein | Self::StochasticHeun, Additive) => Some(1.0),
            (Self::Sriw1 | Self::Sra1, Additive) => Some(1.5),
            (Self::EulerMaruyama, _) if ito => Some(0.5),
            (Self::Milstein, Separable | Scalar) if ito => Some(1.0),
            (Self::Sriw1, Separable | Scalar) if ito => Some(1.5),
            (Self::StochasticHeun, Separable | Scalar) if !ito => Some(1.0),
            (Self::StochasticHeun, Diagonal | General { .. }) if !ito => Some(0.5),
            _ => None,
        }
    }

    /// The error if the method cannot treat the noise of this equation.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`].
    pub fn check<T: Real>(self, sde: &dyn Diffusion<T>) -> Result<(), SolveError> {
        let (noise, calculus) = (sde.noise_kind(), sde.calculus());
        match self.strong_order(noise, calculus) {
            Some(_) => Ok(()),
            None => Err(SolveError::UnsupportedNoise { method: self.name(), noise, calculus }),
        }
    }

    /// The method with work arrays for up to `n` trajectories of this equation.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`].
    pub fn scheme<T: Real>(
        self,
        n: usize,
        sde: &dyn Diffusion<T>,
    ) -> Result<Box<dyn SdeScheme<T>>, SolveError> {
        Ok(match self {
            Self::EulerMaruyama => Box::new(EulerMaruyama::for_sde(n, sde)?),
            Self::Milstein => Box::new(Milstein::new(n, sde)?),
            Self::StochasticHeun => Box::new(StochasticHeun::new(n, sde)?),
            Self::Sriw1 => Box::new(Sriw1::new(n, sde)?),
            Self::Sra1 => Box::new(Sra1::new(n, sde)?),
        })
    }

    /// The number of trajectories in `y`, if equation, noise and parameters fit each other and a workspace of
    /// `state_room` values of states and `g_room` of the diffusion.
    pub(crate) fn check_step<T: Real>(
        self,
        sde: &dyn Diffusion<T>,
        noise: Increments<'_, T>,
        needs_area: bool,
        y: &[T],
        p: &[T],
        state_room: usize,
        g_room: usize,
    ) -> Result<usize, SolveError> {
        let (d, kind) = (sde.dim(), sde.noise_kind());
        let n = rows(y.len(), d)?;
        check_params(p.len(), sde.n_params())?;
        self.check(sde)?;
        at_most("state (at most)", y.len(), state_room)?;
        at_most("diffusion (at most)", n * kind.values(d), g_room)?;
        check_len("dw", noise.dw.len(), n * kind.motions(d))?;
        if needs_area {
            check_len("area", noise.area.len(), noise.dw.len())?;
        }
        Ok(n)
    }
}

/// The error if a slice is longer than the work array for it.
pub(crate) fn at_most(what: &'static str, got: usize, expected: usize) -> Result<(), SolveError> {
    if got <= expected { Ok(()) } else { Err(SolveError::ShapeMismatch { what, expected, got }) }
}

/// Gives each coordinate the value of the Brownian motion that drives it: `out`, `[n, d]`, from `[n, d]` or, where one
/// motion drives a trajectory, from `[n, 1]`.
pub(crate) fn spread<T: Copy>(per_motion: &[T], d: usize, out: &mut [T]) {
    if per_motion.len() == out.len() {
        out.copy_from_slice(per_motion);
    } else {
        out.chunks_exact_mut(d).zip(per_motion).for_each(|(row, &w)| row.fill(w));
    }
}

/// Sets `out`, `[n, d]`, to `g Δw` for a `g` of this structure, with `dw`, `[n, motions]`.
pub fn noise_term<T: Real>(kind: NoiseKind, d: usize, g: &[T], dw: &[T], out: &mut [T]) {
    match kind {
        NoiseKind::General { motions } => {
            let rows = out.chunks_exact_mut(d).zip(g.chunks_exact(d * motions)).zip(dw.chunks_exact(motions));
            for ((out, g), dw) in rows {
                for (out, g) in out.iter_mut().zip(g.chunks_exact(motions)) {
                    *out = g.iter().zip(dw).fold(T::ZERO, |sum, (&g, &dw)| sum + g * dw);
                }
            }
        }
        NoiseKind::Scalar => {
            for ((out, g), &dw) in out.chunks_exact_mut(d).zip(g.chunks_exact(d)).zip(dw) {
                out.iter_mut().zip(g).for_each(|(out, &g)| *out = g * dw);
            }
        }
        _ => out.iter_mut().zip(g).zip(dw).for_each(|((out, &g), &dw)| *out = g * dw),
    }
}
