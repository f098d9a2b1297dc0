//! Forward runs whose steps are solved to rounding, so that they can be taken again from any state.
//!
//! Newton's iteration of a forward run stops at a part of the tolerance, and what it leaves moves all that follows: over a jump of a
//! relaxation oscillation, steps that are solved to rounding from a state long before it come to the jump earlier or later than
//! the steps' lengths expect, find no solution, or lead elsewhere. Rounding is enough for that: jumps multiply it by 1e11 and more.
//! Steps that will be taken again are therefore solved here by the very function that takes them again, of the state at their start, what the
//! method remembers there, and nothing else: the same bits come out. A step for which it finds no solution, or another one than the method
//! found, is rejected.

use chreode_core::{FieldError, Jacobian, Real, Tolerance, VectorField, Vjp};
use chreode_solve::{Rhs, SolveError, StepFailure, Stepper, Work};

use crate::AdjointError;
use crate::discrete::tape::Taken;

/// Solves a step from `y`, which the method has proposed. The last slice is a guess of its end and, behind it, what the method remembers at its start; both become those at
/// the end.
pub(in crate::discrete) type SolveStep<'a, T> = dyn FnMut(&mut dyn Vjp<T>, &mut dyn Stepper<T>, Taken, &[T], &[T], &mut [T]) -> Result<(), AdjointError>
    + 'a;

/// A method, whose accepted steps are solved to rounding.
pub(in crate::discrete) struct ExactSteps<'a, T> {
    stepper: &'a mut dyn Stepper<T>,
    solve: &'a mut SolveStep<'a, T>,
    /// The end of the step in hand and what the method remembers there; what it remembers at its start.
    end: &'a mut [T],
    memory: &'a mut [T],
    /// Why there is no end.
    failure: Option<StepFailure>,
    fixed: bool,
    /// Whether the method starts anew; else the length of the step before.
    starts: bool,
    before: f64,
    h: f64,
}

/// Room for [`ExactSteps`].
#[derive(Debug)]
pub(in crate::discrete) struct Room<T> {
    end: Vec<T>,
    memory: Vec<T>,
}

impl<T: Real> Room<T> {
    /// For states of `nd` values, beside which a method remembers so many.
    pub(in crate::discrete) fn new(nd: usize, memory: usize) -> Self {
        Self { end: vec![T::ZERO; nd + memory], memory: vec![T::ZERO; memory] }
    }
}

/// Whether a step that was solved again on the way back ended where the forward run did, unless an event cut it short.
///
/// # Errors
/// [`AdjointError::ReplayDiffers`]: nothing is told from another solution.
pub(in crate::discrete) fn check_end<T: Real>(
    step: Taken,
    end: &[T],
    y_end: &[T],
    d: usize,
) -> Result<(), AdjointError> {
    if step.cut {
        return Ok(());
    }
    // Far above what rounding leaves, and far below what tells two solutions apart.
    let most = T::EPSILON.f64().powf(0.25);
    for (row, (end, y_end)) in end.chunks_exact(d.max(1)).zip(y_end.chunks_exact(d.max(1))).enumerate() {
        let largest = y_end.iter().fold(T::ZERO, |most, v| most.max(v.abs()));
        let floor = largest.f64() * most * most;
        for (coordinate, (a, b)) in end.iter().zip(y_end).enumerate() {
            let off = (*a - *b).abs().f64() / b.abs().f64().max(floor).max(f64::MIN_POSITIVE);
            if !(off <= most) {
                let trajectory = row as u64;
                return Err(AdjointError::ReplayDiffers { t: step.t, trajectory, coordinate, off, most });
            }
        }
    }
    Ok(())
}

/// Ends further apart than so many tolerances, in any coordinate, are two solutions.
const APART: f64 = 10.0;

impl<'a, T> ExactSteps<'a, T> {
    pub(in crate::discrete) fn new(
        stepper: &'a mut dyn Stepper<T>,
        solve: &'a mut SolveStep<'a, T>,
        room: &'a mut Room<T>,
    ) -> Self {
        let Room { end, memory } = room;
        let (failure, fixed, starts, before, h) = (None, false, true, f64::NAN, f64::NAN);
        Self { stepper, solve, end, memory, failure, fixed, starts, before, h }
    }

    fn nd(&self) -> usize {
        self.end.len() - self.memory.len()
    }
}

impl<T: Real> ExactSteps<'_, T> {
    /// Whether the end of the step is another one than the method proposed.
    fn is_elsewhere(&self, y: &[T], tol: Tolerance<'_>) -> bool {
        let d = self.stepper.dim().max(1);
        let ends = self.end.iter().zip(self.stepper.proposed());
        ends.zip(y).enumerate().any(|(i, ((end, proposed), y))| {
            let size = end.abs().max(y.abs()).f64();
            (*end - *proposed).abs().f64() > APART * (tol.atol.of(i % d) + tol.rtol.of(i % d) * size)
        })
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
        (self.starts, self.before) = (true, f64::NAN);
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
        let nd = self.nd();
        self.end[..nd].copy_from_slice(self.stepper.proposed());
        self.end[nd..].copy_from_slice(self.memory);
        self.h = t_end - t;
        if !err.is_finite() || !self.fixed && err > 1.0 {
            return Ok(err);
        }
        let error_order = self.stepper.error_order().unwrap_or(0) as u8; // methods have orders below 20
        let step =
            Taken { number: 0, t, t_end, error_order, starts: self.starts, before: self.before, cut: false };
        match (self.solve)(&mut Shown(f), self.stepper, step, p, y, self.end) {
            Ok(()) if !self.fixed && self.is_elsewhere(y, tol) => {
                self.failure = Some(StepFailure::NewtonDiverged { iterations: 0, rate: 1.0 });
                Ok(f64::INFINITY)
            }
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
        &self.end[..self.nd()]
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
        let (end, memory) = self.end.split_at(self.nd());
        y.copy_from_slice(end);
        self.memory.copy_from_slice(memory);
        self.stepper.correct(end, memory);
        (self.starts, self.before) = (false, self.h);
    }

    fn memory(&self) -> &[T] {
        self.memory
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
