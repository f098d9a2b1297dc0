//! Why a gradient could not be computed, with the numbers that say where.

use chreode_core::FieldError;
use chreode_solve::SolveError;

/// Errors of the adjoints.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdjointError {
    /// A slice has the wrong length.
    #[error("{what} has length {got}, expected {expected}")]
    ShapeMismatch {
        /// Which slice.
        what: &'static str,
        /// The length it should have.
        expected: usize,
        /// The length it has.
        got: usize,
    },
    /// Too little room was given for the states of a run.
    #[error("room for {got} {what} is too little: the least is {least}")]
    CheckpointsTooFew {
        /// What is counted.
        what: &'static str,
        /// How many were allowed.
        got: usize,
        /// How many are needed.
        least: usize,
    },
    /// A stochastic method whose steps are not differentiated here.
    #[error(
        "there is no discrete adjoint of {method}: Euler-Maruyama, Milstein and stochastic Heun have one"
    )]
    NoDiscreteAdjoint {
        /// Name of the method.
        method: &'static str,
    },
    /// Derivatives by observation times were asked for through a stochastic run.
    #[error("a Brownian path has no derivative by the time: there is no gradient by the observation times")]
    NoTimeGradient,
    /// A coordinate or parameter that the field does not have.
    #[error("there is no {what} {index}: the field has {len}")]
    NoSuch {
        /// What is numbered.
        what: &'static str,
        /// Its number.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// Two events changed or ended a run at the same time, where it has no derivative.
    #[error("two events at t = {t}: the run has no derivative there")]
    EventsTogether {
        /// The time.
        t: f64,
    },
    /// A method solves `M dy/dt = f`, whose continuous adjoint has other jumps.
    #[error("continuous adjoints are of dy/dt = f: the {what} has a mass matrix")]
    MassMatrix {
        /// Which method.
        what: &'static str,
    },
    /// A backward pass was asked for, but the last forward pass failed or there was none.
    #[error("backward pass without a completed forward pass")]
    NoForwardPass,
    /// The adjoint state became infinite or NaN.
    #[error("adjoint state is not finite at t = {t}: trajectory {trajectory}, coordinate {coordinate}")]
    NonFinite {
        /// Time of the observation whose gradient is not finite, or start of the step that was differentiated.
        t: f64,
        /// Number of the trajectory.
        trajectory: u64,
        /// Number of the coordinate.
        coordinate: usize,
    },
    /// The gradient by a parameter became infinite or NaN, though the adjoint states stayed finite: of which trajectory is not known, since
    /// it is a sum over them.
    #[error(
        "gradient is not finite at t = {t}: parameter {parameter}, summed over trajectories {first} to {last}"
    )]
    NonFiniteGradient {
        /// Time that the backward run had come to; discrete adjoints look when they have come to the start.
        t: f64,
        /// Number of the parameter.
        parameter: usize,
        /// Number of the first trajectory of the sum.
        first: u64,
        /// Number of the last one.
        last: u64,
    },
    /// A step of an implicit method that was solved again on the way back ended elsewhere than in the forward run: the gradient would be that
    /// of another solution. Steps closer together, or a field without branches at that state, help.
    #[error(
        "the step from t = {t}, solved again, ends elsewhere: trajectory {trajectory}, coordinate {coordinate} is off by {off:.1e} of itself, {most:.1e} are allowed"
    )]
    ReplayDiffers {
        /// Start of the step.
        t: f64,
        /// Number of the trajectory.
        trajectory: u64,
        /// Number of the coordinate.
        coordinate: usize,
        /// How far, relative to the value.
        off: f64,
        /// How far it may be.
        most: f64,
    },
    /// The forward run failed.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// A derivative of the vector field failed.
    #[error(transparent)]
    Field(#[from] FieldError),
}

impl AdjointError {
    /// As it is where the first trajectory has this number.
    pub(crate) fn after(mut self, first: u64) -> Self {
        use SolveError::{NonFinite, NonFiniteDerivative};
        if let Self::NonFinite { trajectory, .. }
        | Self::ReplayDiffers { trajectory, .. }
        | Self::Solve(NonFinite { trajectory, .. } | NonFiniteDerivative { trajectory, .. }) = &mut self
        {
            *trajectory += first;
        }
        if let Self::NonFiniteGradient { first: from, last, .. } = &mut self {
            *from += first;
            *last += first;
        }
        self
    }
}

/// The error if a slice is not `expected` long.
pub(crate) fn check_len(what: &'static str, got: usize, expected: usize) -> Result<(), AdjointError> {
    if got == expected { Ok(()) } else { Err(AdjointError::ShapeMismatch { what, expected, got }) }
}

/// The error that names the first infinite or NaN value of the adjoint state, `[n, d]`.
pub(crate) fn check_finite<T: chreode_core::Real>(
    a: &[T],
    d: usize,
    first: u64,
    t: f64,
) -> Result<(), AdjointError> {
    match a.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(AdjointError::NonFinite { t, trajectory: first + (i / d) as u64, coordinate: i % d }),
    }
}

/// The error that names the first parameter by which the gradient, summed over `n` trajectories from `first` on, is infinite or NaN.
pub(crate) fn check_gradient<T: chreode_core::Real>(
    p_bar: &[T],
    (first, n): (u64, usize),
    t: f64,
) -> Result<(), AdjointError> {
    match p_bar.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(parameter) => {
            let last = first + n.saturating_sub(1) as u64;
            Err(AdjointError::NonFiniteGradient { t, parameter, first, last })
        }
    }
}
