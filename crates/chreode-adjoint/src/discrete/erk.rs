//! One step of an explicit Runge-Kutta method, again and backward. States and stages have the bits of the forward run.

use std::cell::Cell;

use chreode_core::{Real, Tolerance, Vjp};
use chreode_solve::{DenseOutput, Erk, ErkTableau, Rhs, SolveError, Stats, Stepper};

use super::keep::{KeepingField, KeepingSteps, Kept};
use super::method::{Run, StepAdjoint};
use super::tape::Taken;
use crate::AdjointError;

#[derive(Debug)]
pub(super) struct ErkAdjoint<T> {
    erk: Erk<T>,
    nd: usize,
    /// Stage derivatives, inputs and their adjoints: `[stages, n, d]` each.
    k: Vec<T>,
    inputs: Vec<T>,
    input_bar: Vec<T>,
    lambda: Vec<T>,
    /// What observations inside of the step owe to its stages, to the derivative at its end, and to the state at its start; whether there
    /// are any.
    observed: Vec<T>,
    observes: bool,
    kept: Kept<T>,
}

impl<T: Real> ErkAdjoint<T> {
    pub(super) fn new(tableau: &'static ErkTableau, n: usize, d: usize) -> Self {
        let nd = n * d;
        let zeros = |rows: usize| vec![T::ZERO; rows * nd];
        let stages = tableau.stages();
        Self {
            erk: Erk::new(tableau, n, d),
            nd,
            k: zeros(stages),
            inputs: zeros(stages),
            input_bar: zeros(stages),
            lambda: zeros(1),
            observed: Vec::new(),
            observes: false,
            // A step that is not kept takes the slots of its stages.
            kept: Kept::new(stages - usize::from(tableau.fsal), stages, nd),
        }
    }
}

impl<T: Real> StepAdjoint<T> for ErkAdjoint<T> {
    fn with_stepper(
        &mut self,
        f: &mut dyn Vjp<T>,
        whole: bool,
        run: &mut Run<'_, T>,
    ) -> Result<Stats, SolveError> {
        self.kept.begin(f, whole);
        if !self.kept.any() {
            return run(&mut Rhs::Field(f), &mut self.erk);
        }
        let m = self.erk.tableau();
        let (next, per_step) = (Cell::new(None), m.stages() - usize::from(m.fsal));
        let mut f = KeepingField { f, kept: &mut self.kept, next: &next };
        let mut steps = KeepingSteps { erk: &mut self.erk, next: &next, per_step, step: 0 };
        run(&mut Rhs::Field(&mut f), &mut steps)
    }

    fn interpolates(&self) -> bool {
        matches!(self.erk.tableau().dense, DenseOutput::Weights(_))
    }

    fn observe(&mut self, theta: f64, h: f64, bar: &[T]) {
        let DenseOutput::Weights(rows) = self.erk.tableau().dense else { return };
        self.observed.resize((rows.len() + 1) * self.nd, T::ZERO);
        self.observes = true;
        // y(θ) = y + h Σ_i b_i(θ) k_i
        let weights = rows.iter().map(|row| h * theta * row.iter().rfold(0.0, |sum, c| sum * theta + c));
        for (sums, weight) in self.observed.chunks_exact_mut(self.nd).zip(weights.chain([1.0])) {
            let weight = T::c(weight);
            sums.iter_mut().zip(bar).for_each(|(sum, &bar)| *sum += weight * bar);
        }
    }
    fn keep_evaluations(&mut self, bytes: usize) {
        self.kept.limit(bytes);
    }

    fn again(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        goes_on: bool,
        p: &[T],
        y: &mut [T],
    ) -> Result<(), AdjointError> {
        let f = &mut Rhs::Field(f);
        // Where a step begins, the forward run evaluated the field at this time and state, so the bits agree.
        if !goes_on {
            self.erk.start(f, step.t, y, p)?;
        }
        self.erk.step(f, step.t, step.t_end, y, p, Tolerance::default())?;
        self.erk.accept(y);
        Ok(())
    }

    fn back(
        &mut self,
        f: &mut dyn Vjp<T>,
        Taken { number, t, t_end, .. }: Taken,
        p: &[T],
        y: &[T],
        y_end: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let (m, nd, h) = (self.erk.tableau(), self.nd, t_end - t);
        // The last stage of an FSAL method belongs to the next step.
        let stages = m.stages() - usize::from(m.fsal);
        let row = |i: usize| i * nd..(i + 1) * nd;
        let observes = std::mem::take(&mut self.observes);
        if observes {
            // The derivative at the end, which belongs to the dense output alone.
            f.vjp(t_end, y_end, p, &self.observed[row(stages)], &mut self.lambda, p_bar)?;
            a.iter_mut().zip(&self.lambda).for_each(|(a, &bar)| *a += bar);
        }
        let kept = self.kept.step(number);
        if kept.is_none() {
            for i in 0..stages {
                let input = &mut self.inputs[row(i)];
                m.stage_input(i, h, y, &self.k, input);
                if i + 1 < stages {
                    f.eval_kept(i, m.stage_time(i, t, t_end), input, p, &mut self.k[row(i)])?;
                }
            }
        }
        let (inputs, slot) = kept.unwrap_or((&self.inputs, 0));
        for i in (0..stages).rev() {
            // λ_i = h (b_i a + Σ_{j > i} a_ji Ȳ_j), Ȳ_i = (∂f/∂y)ᵀ λ_i
            let b = T::c(m.b[i]);
            for (l, &a) in self.lambda.iter_mut().zip(&*a) {
                *l = b * a;
            }
            for j in i + 1..stages {
                let w = T::c(m.a[j][i]);
                for (l, &bar) in self.lambda.iter_mut().zip(&self.input_bar[row(j)]) {
                    *l += w * bar;
                }
            }
            self.lambda.iter_mut().for_each(|l| *l *= T::c(h));
            if observes {
                self.lambda.iter_mut().zip(&self.observed[row(i)]).for_each(|(l, &bar)| *l += bar);
            }
            let time = m.stage_time(i, t, t_end);
            let (input, bar) = (&inputs[row(i)], &mut self.input_bar[row(i)]);
            if i + 1 < stages || kept.is_some() {
                f.vjp_kept(slot + i, time, input, p, &self.lambda, bar, p_bar)?;
            } else {
                f.vjp(time, input, p, &self.lambda, bar, p_bar)?;
            }
        }
        for i in 0..stages {
            for (a, &bar) in a.iter_mut().zip(&self.input_bar[row(i)]) {
                *a += bar;
            }
        }
        if observes {
            a.iter_mut().zip(&self.observed[row(stages + 1)]).for_each(|(a, &bar)| *a += bar);
            self.observed.fill(T::ZERO);
        }
        Ok(())
    }
}
