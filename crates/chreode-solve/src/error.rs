//! Why a run stopped, with the numbers that say where.

use chreode_core::{Calculus, FieldError, NoiseKind, Real};

use crate::stepper::StepFailure;

/// Errors of the integrators.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SolveError {
    /// A slice has the wrong length.
    #[error("{what} has length {got}, expected {expected}")]
    ShapeMismatch {
        /// Which slice.
        what: &'static str,
        /// The length it should have (a divisor, or a least length, where `what` says so).
        expected: usize,
        /// The length it has.
        got: usize,
    },
    /// An option is out of its range.
    #[error("{what} must be {must}, got {got}")]
    InvalidOption {
        /// Which option.
        what: &'static str,
        /// What it must be.
        must: &'static str,
        /// What it is.
        got: f64,
    },
    /// The times to save at, or to observe at, are not finite, not in order or outside the run.
    #[error("time number {index} is {t}: must be finite and {must} {bound}")]
    InvalidTime {
        /// Position in the list.
        index: usize,
        /// The time.
        t: f64,
        /// How it must relate to `bound`.
        must: &'static str,
        /// The time it is compared with.
        bound: f64,
    },
    /// A state became infinite or NaN.
    #[error("state is not finite at t = {t}: trajectory {trajectory}, coordinate {coordinate}")]
    NonFinite {
        /// Time.
        t: f64,
        /// Number of the trajectory.
        trajectory: u64,
        /// Number of the coordinate.
        coordinate: usize,
    },
    /// The field, or its Jacobian, is infinite or NaN at a state that is finite.
    #[error("{what} is not finite at t = {t}: trajectory {trajectory}, coordinate {coordinate}")]
    NonFiniteDerivative {
        /// The field or its Jacobian.
        what: &'static str,
        /// Time of the evaluation.
        t: f64,
        /// Number of the trajectory.
        trajectory: u64,
        /// Number of the coordinate; the row of a Jacobian.
        coordinate: usize,
    },
    /// A log-weight became infinite or NaN.
    #[error("log-weight is not finite at t = {t}: trajectory {trajectory}")]
    NonFiniteWeight {
        /// Time.
        t: f64,
        /// Number of the trajectory.
        trajectory: u64,
    },
    /// A rate of division or death that is negative, infinite or NaN.
    #[error("rates of division and death are {birth} and {death} at t = {t}: lineage {trajectory}")]
    InvalidRate {
        /// Time.
        t: f64,
        /// Lineage of the cell; a founder's is the number of its trajectory.
        trajectory: u64,
        /// Rate of division.
        birth: f64,
        /// Rate of death.
        death: f64,
    },
    /// A population that has outgrown its limit.
    #[error("more than {max_cells} cells at t = {t}: allow more, or simulate weights")]
    TooManyCells {
        /// Time.
        t: f64,
        /// The limit.
        max_cells: usize,
    },
    /// The root function of an event gave NaN.
    #[error("the root function of event {index} is not a number at t = {t}")]
    EventNotANumber {
        /// Position of the event.
        index: usize,
        /// Time.
        t: f64,
    },
    /// No step size meets the tolerance.
    #[error("step size {h:e} fell below {h_min:e} at t = {t}: a singularity, or a stiff problem")]
    StepSizeTooSmall {
        /// Time reached.
        t: f64,
        /// Length of the step that would have been tried.
        h: f64,
        /// Least length.
        h_min: f64,
    },
    /// An implicit method found no solution, however short the step.
    #[error("no solution of an implicit step of length {h:e} at t = {t}: {failure}")]
    Unsolved {
        /// Time reached.
        t: f64,
        /// Length of the last step that was tried.
        h: f64,
        /// What was wrong.
        failure: StepFailure,
    },
    /// The limit on steps was met.
    #[error("{max_steps} steps reached t = {t} only")]
    TooManySteps {
        /// Time reached.
        t: f64,
        /// The limit.
        max_steps: u64,
    },
    /// Algebraic equations (null rows of the mass matrix) do not hold at the start state.
    #[error(
        "the algebraic equations do not hold at the start, t = {t}: equation {equation} of trajectory {trajectory} leaves \
         {residual:e}; coordinate {coordinate} must change by {change:e}, and {allowed:e} is tolerated. Start from a consistent \
         state, which the method's `consistent_start` finds"
    )]
    InconsistentStart {
        /// Start time.
        t: f64,
        /// Number of the trajectory.
        trajectory: u64,
        /// The algebraic equation that leaves most; the equation of the largest derivative if the mass matrix has no null row.
        equation: usize,
        /// What it leaves.
        residual: f64,
        /// The coordinate that is farthest off.
        coordinate: usize,
        /// By what a Newton iteration changes it.
        change: f64,
        /// The tolerance there.
        allowed: f64,
    },
    /// A method cannot take turns with another in [`AutoSwitch`](crate::AutoSwitch).
    #[error("AutoSwitch cannot use {method}: {why}")]
    UnsuitedToSwitch {
        /// Which method.
        method: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A Rosenbrock method, whose order rests on the whole Jacobian, was given one block of it and not what lies below.
    #[error(
        "a Rosenbrock method loses its order with a Jacobian of {blocks} equal blocks, beside which something may be left out: \
         tell it by `add_below_first_block`, or solve without the Jacobian, by differences"
    )]
    BlockJacobian {
        /// How many blocks the field tells of.
        blocks: usize,
    },
    /// Adaptive steps were asked of a method without an error estimate.
    #[error("this method has no error estimate: give it a fixed step")]
    NoErrorEstimate,
    /// A stochastic method would lose its order on this noise, or solve another equation in this calculus.
    #[error("{method} cannot treat {noise:?} noise in {calculus:?} calculus")]
    UnsupportedNoise {
        /// Which method.
        method: &'static str,
        /// The structure of the noise.
        noise: NoiseKind,
        /// The calculus of the equation.
        calculus: Calculus,
    },
    /// The vector field failed for good.
    #[error(transparent)]
    Field(#[from] FieldError),
}

/// The error if a slice is not `expected` long.
pub(crate) fn check_len(what: &'static str, got: usize, expected: usize) -> Result<(), SolveError> {
    if got == expected { Ok(()) } else { Err(SolveError::ShapeMismatch { what, expected, got }) }
}

/// The number of trajectories in a state of `len` values, `dim` each.
pub(crate) fn rows(len: usize, dim: usize) -> Result<usize, SolveError> {
    if dim > 0 && len.is_multiple_of(dim) {
        Ok(len / dim)
    } else {
        Err(SolveError::ShapeMismatch {
            what: "state (a multiple of the dimension)",
            expected: dim,
            got: len,
        })
    }
}

/// The error if a parameter slice is shorter than the field asks for. Longer is allowed: a closure does not
/// know how many it reads.
pub(crate) fn check_params(got: usize, needed: usize) -> Result<(), SolveError> {
    if got >= needed {
        Ok(())
    } else {
        Err(SolveError::ShapeMismatch { what: "parameters (at least)", expected: needed, got })
    }
}

/// The error that names the first infinite or NaN value of `y`, `[n, d]`.
pub(crate) fn check_finite<T: Real>(y: &[T], d: usize, first: u64, t: f64) -> Result<(), SolveError> {
    // Without an early exit this vectorises.
    if y.iter().fold(true, |ok, v| ok & v.is_finite()) {
        return Ok(());
    }
    match y.iter().position(|v| !v.is_finite()) {
        Some(i) => Err(SolveError::NonFinite { t, trajectory: first + (i / d) as u64, coordinate: i % d }),
        None => Ok(()),
    }
}
