//! What the time loop asks of a method.

use chreode_core::{FieldError, Real, SingularMatrix, Tolerance};

use crate::error::SolveError;
use crate::rhs::Rhs;
use crate::stats::Work;

/// A method for `n` trajectories of `d` coordinates, with its work arrays.
///
/// It proposes steps; the loop ([`solve`](crate::solve)) owns time, step size, state and statistics.
pub trait Stepper<T: Real> {
    /// Length `n * d` of the states it was made for.
    fn state_len(&self) -> usize;

    /// Number `d` of coordinates of one trajectory.
    fn dim(&self) -> usize;

    /// The power of `h` that the error of one step scales with, now; `None` without an error estimate: the method
    /// then runs with fixed steps only.
    fn error_order(&self) -> Option<u32>;

    /// What it has done since it was made.
    fn work(&self) -> Work;

    /// Asked before a run: whether it can start at `(t, y)` with what the method was made for.
    ///
    /// # Errors
    /// A size or option that was set wrong; [`SolveError::InconsistentStart`] if algebraic equations do not hold.
    fn check(
        &mut self,
        _f: &mut Rhs<'_, T>,
        _t: f64,
        _y: &[T],
        _p: &[T],
        _tol: Tolerance<'_>,
    ) -> Result<(), SolveError> {
        Ok(())
    }

    /// Says, before a run, whether its steps have fixed lengths: an implicit method then iterates as long as it gets on, and a
    /// multistep one raises its order as soon as its history allows.
    fn fixed_steps(&mut self, _fixed: bool) {}

    /// Begins at `(t, y)`: evaluates what the first step needs. Called again whenever the state was changed from
    /// outside.
    ///
    /// # Errors
    /// The field's.
    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError>;

    /// Proposes the length of a first step, after [`start`](Self::start), of a run that ends at `t_end`; positive,
    /// also when that lies before `t`.
    ///
    /// # Errors
    /// [`FieldError::Fatal`] of the field.
    fn initial_step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError>;

    /// Proposes the step from `(t, y)` to `t_end`. Returns its error norm: 1 is the tolerance, whose
    /// [`ErrorNorm`](chreode_core::ErrorNorm) says which trajectories count; NaN if anything is not finite; infinite if an implicit method found no solution
    /// ([`failure`](Self::failure) says why); 0 without an error estimate.
    ///
    /// # Errors
    /// The field's; the step may then be tried again with another `t_end`.
    fn step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError>;

    /// The state that the last step proposed.
    fn proposed(&self) -> &[T];

    /// Gets ready for [`dense`](Self::dense) within the proposed step: some methods need more stages for it. Called
    /// at most once a step.
    ///
    /// # Errors
    /// The field's.
    fn prepare_dense(
        &mut self,
        _f: &mut Rhs<'_, T>,
        _t: f64,
        _t_end: f64,
        _y: &[T],
        _p: &[T],
    ) -> Result<(), FieldError> {
        Ok(())
    }

    /// The state at `t + theta (t_end - t)` of the proposed step, before it is accepted; `y` is its start.
    fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T];

    /// Takes the proposed step: sets `y` to its end.
    fn accept(&mut self, y: &mut [T]);

    /// What the method keeps of earlier steps beside the state, for a step from where the last accepted one ended; nothing for
    /// one-step methods.
    fn memory(&self) -> &[T] {
        &[]
    }

    /// Replaces the state that was accepted last, and what [`memory`](Self::memory) tells there, by better solved ones; nothing for
    /// one-step methods.
    fn correct(&mut self, _y: &[T], _memory: &[T]) {}

    /// Drops the proposed step.
    fn reject(&mut self) {}

    /// The next step's length over the last one's, if the method rules it by itself; asked once after each step,
    /// when it was accepted or rejected. `None` leaves it to the loop's controller.
    fn step_ratio(&mut self, _err: f64) -> Option<f64> {
        None
    }

    /// Why the last step's error was infinite.
    fn failure(&self) -> Option<StepFailure> {
        None
    }

    /// Whether it solves `M dy/dt = f` with a mass matrix of its own.
    fn has_mass(&self) -> bool {
        false
    }
}

/// Why an implicit method found no solution for a step.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StepFailure {
    /// The Newton iteration did not converge.
    #[error("the Newton iteration did not converge: rate {rate:.2} after {iterations} iterations")]
    NewtonDiverged {
        /// Iterations made.
        iterations: u32,
        /// The last correction over the one before.
        rate: f64,
    },
    /// GMRES did not come near the solution of a Newton system.
    #[error("GMRES left {residual:.2e} of a Newton system after {iterations} products")]
    Krylov {
        /// Products with the Jacobian.
        iterations: usize,
        /// Norm of what was left over that of the right-hand side.
        residual: f64,
    },
    /// The field, its Jacobian, or what a preconditioner returned, is infinite or NaN at a state that the method came to.
    #[error("{what} is not finite at t = {t}: trajectory {trajectory}, coordinate {coordinate}")]
    NotFinite {
        /// Which of them.
        what: &'static str,
        /// Time.
        t: f64,
        /// Number of the trajectory.
        trajectory: u64,
        /// Number of the coordinate; the row of a Jacobian.
        coordinate: usize,
    },
    /// The Newton matrix is singular.
    #[error("Newton matrix: {0}")]
    Singular(#[from] SingularMatrix),
}
