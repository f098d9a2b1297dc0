//! What the time loop asks of a method.

use chreode_core::{FieldError, Real, Tolerance, VectorField};

/// A one-step method for `n` trajectories of `d` coordinates, with its work arrays.
///
/// It proposes steps; the loop ([`solve`](crate::solve)) owns time, step size, state and statistics.
pub trait Stepper<T: Real> {
    /// Length `n * d` of the states it was made for.
    fn state_len(&self) -> usize;

    /// The power of `h` that the error of one step scales with; `None` without an error estimate: the method
    /// then runs with fixed steps only.
    fn error_order(&self) -> Option<u32>;

    /// Evaluations of the field since it was made.
    fn evals(&self) -> u64;

    /// Begins at `(t, y)`: evaluates what the first step needs. Called again whenever the state was changed from
    /// outside.
    ///
    /// # Errors
    /// The field's.
    fn start(&mut self, f: &mut dyn VectorField<T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError>;

    /// Proposes the length of a first step, after [`start`](Self::start), of a run that ends at `t_end`; positive,
    /// also when that lies before `t`.
    ///
    /// # Errors
    /// [`FieldError::Fatal`] of the field.
    fn initial_step(
        &mut self,
        f: &mut dyn VectorField<T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance,
    ) -> Result<f64, FieldError>;

    /// Proposes the step from `(t, y)` to `t_end`. Returns its error norm: 1 is the tolerance, the worst
    /// trajectory counts; NaN if anything is not finite; 0 without an error estimate.
    ///
    /// # Errors
    /// The field's; the step may then be tried again with another `t_end`.
    fn step(
        &mut self,
        f: &mut dyn VectorField<T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance,
    ) -> Result<f64, FieldError>;

    /// The state that the last step proposed.
    fn proposed(&self) -> &[T];

    /// The state at `t + theta (t_end - t)` of the proposed step, before it is accepted; `y` is its start.
    fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T];

    /// Takes the proposed step: sets `y` to its end.
    fn accept(&mut self, y: &mut [T]);

    /// Drops the proposed step.
    fn reject(&mut self) {}
}
