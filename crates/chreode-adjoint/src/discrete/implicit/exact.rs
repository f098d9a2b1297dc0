//! Forward runs whose steps are solved to rounding, so that they can be taken again from any state.
//!
//! Newton's iteration of a forward run stops at a part of the tolerance, and what it leaves moves all that follows: over a jump of a
//! relaxation oscillation, steps that are solved to rounding from a state long before it come to the jump earlier or later than
//! the steps' lengths expect, find no solution, or lead elsewhere.

use chreode_core::{FieldError, Jacobian, Real, Tolerance, VectorField, Vjp};
use chreode_solve::{Rhs, SolveError, StepFailure, Stepper, Work};

use crate::AdjointError;
use crate::discrete::tape::Taken;

/// Solves a step from `y`, with a guess of its end that becomes the end.
pub(in crate::discrete) type SolveStep<'a, T> =
    dyn FnMut(&mut dyn Vjp<T>, Taken, &[T], &[T], &mut [T]) -> Result<(), AdjointError> + 'a;

/// A method, whose accepted steps are solved to rounding.
pub(in crate::discrete) struct ExactSteps<'a, T> {
    stepper: &'a mut dyn Stepper<T>,
    solve: &'a mut SolveStep<'a, T>,
    /// The end of the step in hand, and why there is none.
    end: &'a mut [T],
    failure: Option<StepFailure>,
    fixed: bool,
}

impl<'a, T> ExactSteps<'a, T> {
    /// `end` is room for a state.
    pub(in crate::discrete) fn new(
        stepper: &'a mut dyn Stepper<T>,
        solve: &'a mut SolveStep<'a, T>,
        end: &'a mut [T],
    ) -> Self {
        Self { stepper, solve, end, failure: None, fixed: false }
    }
}

/// The field as the stages' equations want it: they ask for its values and its Jacobian alone.
struct Shown<'a, 'f, T>(&'a mut Rhs<'f, T>);

impl<T: Real> VectorField<T> for Shown<'_, '_, T> {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn n_params(&self) -> usize {
        self.0.n_params()
    }

    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.0.eval(t, y, p, dy)
    }
}

impl<T: Real> Vjp<T> for Shown<'_, '_, T> {
    fn vjp(
        &mut self,
        t: f64,
        _y: &[T],
        _p: &[T],
        _lambda: &[T],
        _y_bar: &mut [T],
        _p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        Err(FieldError::Fatal { t, what: "a forward run pulls nothing back" })
    }

    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
        if let Rhs::Jacobian(f) = self.0 { Some(&mut **f) } else { None }
    }
}

impl<T: Real> Stepper<T> for ExactSteps<'_, T> {
    fn state_len(&self) -> usize {
        self.stepper.state_len()
    }

    fn dim(&self) -> usize {
        self.stepper.dim()
    }

    fn error_order(&self) -> Option<u32> {
        self.stepper.error_order()
    }

    fn work(&self) -> Work {
        self.stepper.work()
    }

    fn check(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<(), SolveError> {
        self.stepper.check(f, t, y, p, tol)
    }

    fn fixed_steps(&mut self, fixed: bool) {
        self.fixed = fixed;
        self.stepper.fixed_steps(fixed);
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.stepper.start(f, t, y, p)
    }

    fn initial_step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        self.stepper.initial_step(f, t, t_end, y, p, tol)
    }

    fn step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        self.failure = None;
        let err = self.stepper.step(f, t, t_end, y, p, tol)?;
        self.end.copy_from_slice(self.stepper.proposed());
        if !err.is_finite() || !self.fixed && err > 1.0 {
            return Ok(err);
        }
        let error_order = self.stepper.error_order().unwrap_or(0) as u8; // methods have orders below 20
        let step = Taken { number: 0, t, t_end, error_order, starts: false, before: f64::NAN };
        match (self.solve)(&mut Shown(f), step, p, y, self.end) {
            Ok(()) => Ok(err),
            Err(AdjointError::Field(error)) => Err(error),
            Err(AdjointError::Solve(SolveError::Unsolved { failure, .. })) => {
                self.failure = Some(failure);
                Ok(f64::INFINITY)
            }
            Err(_) => Ok(f64::NAN),
        }
    }

    fn proposed(&self) -> &[T] {
        self.end
    }

    fn prepare_dense(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
    ) -> Result<(), FieldError> {
        self.stepper.prepare_dense(f, t, t_end, y, p)
    }

    fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T] {
        self.stepper.dense(theta, h, y)
    }

    fn accept(&mut self, y: &mut [T]) {
        self.stepper.accept(y);
        y.copy_from_slice(self.end);
    }

    fn memory(&self) -> &[T] {
        self.stepper.memory()
    }

    fn reject(&mut self) {
        self.stepper.reject();
    }

    fn step_ratio(&mut self, err: f64) -> Option<f64> {
        let ratio = self.stepper.step_ratio(err);
        // The method itself had a solution.
        if self.failure.is_some() { Some(0.25) } else { ratio }
    }

    fn failure(&self) -> Option<StepFailure> {
        self.failure.or_else(|| self.stepper.failure())
    }

    fn has_mass(&self) -> bool {
        self.stepper.has_mass()
    }
}
