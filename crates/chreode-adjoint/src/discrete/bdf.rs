//! Steps of the numerical differentiation formulas, again and backward.
//!
//! What such a method carries from step to step is its table of differences, whose first row is the state. A step maps it linearly
//! (rescaling, prediction, advance: `BackwardDifferences` has the transposes) but for the correction `c` to the predicted state `y`,
//! with `f(t_end, y + c) = α/h (ψ + c)`. With the adjoint `c̄` of the correction and
//!
//! ```text
//! (α/h - Jᵀ) μ = c̄        ȳ = α/h μ - c̄ = Jᵀ μ        ψ̄ = -α/h μ        p̄ += μᵀ ∂f/∂p
//! ```
//!
//! the adjoint of the table goes back, with one transposed system a step, at the step's end. Only the state there, the length and the
//! order of each step, and where the method started anew are needed: with every state stored nothing is computed again. Steps that are
//! taken again start from a kept table.

use chreode_core::{Real, Vjp};
use chreode_solve::{BackwardDifferences, Bdf, SolveError, Stats, Stepper};

use super::implicit::exact::{ExactSteps, Room, check_end};
use super::implicit::field::Rows;
use super::implicit::stages::StageEquations;
use super::method::{Run, StepAdjoint};
use super::tape::Taken;
use crate::AdjointError;

#[derive(Debug)]
pub(super) struct BdfAdjoint<T: Real> {
    stepper: Bdf<T>,
    rows: Rows<T>,
    room: Room<T>,
    steps: Steps<T>,
    /// If few states are kept: solves the steps of the forward run, and again. What the way back remembers is not touched.
    again: Option<Steps<T>>,
    /// Adjoints of the rows.
    bars: BackwardDifferences<T>,
    /// Whether the adjoints are of the state alone: nothing later read the other rows.
    fresh: bool,
    mu: Vec<T>,
}

/// Steps that are solved to rounding.
#[derive(Debug)]
struct Steps<T: Real> {
    nd: usize,
    d: usize,
    equations: StageEquations<T>,
    past: BackwardDifferences<T>,
    end: Vec<T>,
    predicted: Vec<T>,
    psi: Vec<T>,
    base: Vec<T>,
    correction: Vec<T>,
}

impl<T: Real> BdfAdjoint<T> {
    pub(super) fn new(n: usize, d: usize) -> Self {
        let steps = Steps::new(n, d);
        Self {
            stepper: Bdf::new(n, d),
            rows: Rows::new(d),
            room: Room::new(n * d, steps.past.memory().len()),
            steps,
            again: None,
            bars: BackwardDifferences::new(n * d),
            fresh: true,
            mu: vec![T::ZERO; n * d],
        }
    }
}

impl<T: Real> Steps<T> {
    fn new(n: usize, d: usize) -> Self {
        let nd = n * d;
        let zeros = || vec![T::ZERO; nd];
        Self {
            nd,
            d,
            equations: StageEquations::new(vec![1.0], None, n, d),
            past: BackwardDifferences::new(nd),
            end: zeros(),
            predicted: zeros(),
            psi: zeros(),
            base: zeros(),
            correction: zeros(),
        }
    }

    /// Takes a step from the state `y` and the differences in `memory`, to `self.end` and `self.past`; `guess` tells where it may end.
    /// Without one, what comes out is a function of what is given alone: the same bits every time.
    fn take(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        memory: &[T],
        guess: Option<&[T]>,
    ) -> Result<(), AdjointError> {
        let (k, h) = (order(step), step.t_end - step.t);
        if step.starts {
            f.eval(step.t, y, p, &mut self.psi)?;
            self.past.restart(y, Some(&self.psi), h);
        } else {
            self.past.restore(y, memory, step.before);
            if !self.past.is_for(h) {
                self.past.rescale(h, k);
            }
        }
        self.past.predict(k, &mut self.predicted, &mut self.psi);
        for ((base, &y), &psi) in self.base.iter_mut().zip(&self.predicted).zip(&self.psi) {
            *base = y - psi;
        }
        self.end.copy_from_slice(guess.unwrap_or(&self.predicted));
        let h = self.past.step_length() / BackwardDifferences::<T>::alpha(k);
        if guess.is_none() {
            self.equations.forget();
        }
        self.equations.begin(f, h);
        self.equations.solve(f, &[step.t_end], h, &self.base, p, &mut self.end, &mut self.correction)?;
        for ((c, &y), &predicted) in self.correction.iter_mut().zip(&self.end).zip(&self.predicted) {
            *c = y - predicted;
        }
        self.past.advance(k, &self.correction);
        Ok(())
    }
}

/// The order of a step: its error scales with one power of its length more.
fn order(step: Taken) -> usize {
    usize::from(step.error_order).saturating_sub(1).max(1)
}

impl<T: Real> StepAdjoint<T> for BdfAdjoint<T> {
    fn with_stepper(
        &mut self,
        f: &mut dyn Vjp<T>,
        _whole: bool,
        run: &mut Run<'_, T>,
    ) -> Result<Stats, SolveError> {
        let few = self.again.is_some();
        let steps = self.again.as_mut().unwrap_or(&mut self.steps);
        let mut solve =
            |f: &mut dyn Vjp<T>, _: &mut dyn Stepper<T>, step: Taken, p: &[T], y: &[T], whole: &mut [T]| {
                let (end, memory) = whole.split_at_mut(steps.nd);
                steps.take(f, step, p, y, memory, (!few).then_some(end))?;
                end.copy_from_slice(&steps.end);
                memory.copy_from_slice(steps.past.memory());
                Ok(())
            };
        self.rows.run(f, &mut ExactSteps::new(&mut self.stepper, &mut solve, &mut self.room), run)
    }

    fn memory(&self) -> usize {
        self.steps.past.memory().len()
    }

    fn take_again(&mut self) {
        self.again = Some(Steps::new(self.steps.nd / self.steps.d.max(1), self.steps.d));
    }

    fn begin(&mut self) {
        self.fresh = true;
    }

    fn again(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        _goes_on: bool,
        p: &[T],
        y: &mut [T],
    ) -> Result<(), AdjointError> {
        let Some(steps) = &mut self.again else { unreachable!("every state is kept") };
        let (state, memory) = y.split_at_mut(steps.nd);
        steps.take(f, step, p, state, memory, None)?;
        state.copy_from_slice(&steps.end);
        memory.copy_from_slice(steps.past.memory());
        Ok(())
    }

    fn back(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        y_end: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let k = order(step);
        let (y, memory) = y.split_at(self.steps.nd);
        if memory.is_empty() {
            self.steps.end.copy_from_slice(y_end);
        } else {
            let steps = &mut self.steps;
            let solved = steps.take(f, step, p, y, memory, Some(y_end));
            let solved = solved.and_then(|()| check_end(step, &steps.end, y_end, steps.d));
            if let (Err(_), Some(again)) = (&solved, &mut self.again) {
                // There are several solutions: as the forward run did.
                again.take(f, step, p, y, memory, None)?;
                steps.end.copy_from_slice(&again.end);
                check_end(step, &steps.end, y_end, steps.d)?;
            } else {
                solved?;
            }
        }
        let Steps { equations, end, predicted, psi, correction, .. } = &mut self.steps;
        let h = step.t_end - step.t;
        if self.fresh {
            self.bars.restart(a, None, h);
            self.fresh = false;
        }
        self.bars.row_mut(0).copy_from_slice(a);
        let h = self.bars.step_length();
        let (per_shift, shift) =
            (h / BackwardDifferences::<T>::alpha(k), T::c(BackwardDifferences::<T>::alpha(k) / h));

        self.bars.advance_transpose(k, correction);
        equations.begin(f, per_shift);
        equations.renew(f);
        let (times, c_bar) = (&[step.t_end], &*correction);
        equations.solve_adjoint(f, times, per_shift, p, end, c_bar, &mut self.mu, p_bar)?;
        let (y_bar, psi_bar) = (predicted, psi);
        for (((y_bar, psi_bar), &mu), &c_bar) in y_bar.iter_mut().zip(&mut *psi_bar).zip(&self.mu).zip(c_bar)
        {
            *psi_bar = -shift * mu;
            *y_bar = shift * mu - c_bar; // Jᵀ μ, with no product that rounding would spoil
        }
        self.bars.predict_transpose(k, y_bar, psi_bar);

        a.copy_from_slice(self.bars.row(0));
        if step.starts {
            // The second row was h f(t, y), and the others were zero.
            for (mu, &bar) in self.mu.iter_mut().zip(self.bars.row(1)) {
                *mu = T::c(h) * bar;
            }
            f.vjp(step.t, y, p, &self.mu, psi_bar, p_bar)?;
            a.iter_mut().zip(&*psi_bar).for_each(|(a, &bar)| *a += bar);
            self.fresh = true;
        } else if !self.bars.is_for(step.before) {
            self.bars.rescale_transpose(step.before, k);
        }
        Ok(())
    }
}
