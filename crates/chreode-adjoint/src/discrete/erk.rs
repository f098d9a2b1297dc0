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
    kept: Kept<T>,
    /// What states inside the next step to go back through ask of its start and of its stages, `[1 + stages, n, d]`; whether there are any.
    inside: Vec<T>,
    any_inside: bool,
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
            kept: Kept::new(stages - usize::from(tableau.fsal), nd),
            inside: Vec::new(),
            any_inside: false,
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

    fn keep_evaluations(&mut self, bytes: usize) {
        self.kept.limit(bytes);
    }

    fn evaluation_bytes(&self) -> usize {
        self.kept.used()
    }

    fn interpolates(&self) -> bool {
        true
    }

    fn begin(&mut self) {
        self.any_inside = false; // whatever an error left
    }

    fn open(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        states: bool,
    ) -> Result<(), AdjointError> {
        if states || matches!(self.erk.tableau().dense, DenseOutput::Extended { .. }) {
            let f = &mut Rhs::Field(f);
            self.erk.start(f, step.t, y, p)?;
            self.erk.step(f, step.t, step.t_end, y, p, Tolerance::default())?;
            self.erk.prepare_dense(f, step.t, step.t_end, y, p)?;
        }
        Ok(())
    }

    fn state_inside(&mut self, step: Taken, y: &[T], theta: f64) -> &[T] {
        self.erk.dense(theta, step.t_end - step.t, y)
    }

    fn inside(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        (y, y_end): (&[T], &[T]),
        bars: &mut dyn Iterator<Item = (f64, &[T])>,
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let (m, nd, h) = (self.erk.tableau(), self.nd, step.t_end - step.t);
        let (rows, last) = (m.rows(), m.last_row());
        // Of the start, and of each row of `k`, without `h`.
        self.inside.clear();
        self.inside.resize((1 + rows) * nd, T::ZERO);
        self.any_inside = true;
        let (start, of_rows) = self.inside.split_at_mut(nd);
        for (theta, bar) in bars {
            start.iter_mut().zip(bar).for_each(|(sum, &bar)| *sum += bar);
            for (i, sums) in of_rows.chunks_exact_mut(nd).enumerate() {
                let w = T::c(m.dense_weight(i, theta));
                sums.iter_mut().zip(bar).for_each(|(sum, &bar)| *sum += w * bar);
            }
        }
        let mut pull =
            |f: &mut dyn Vjp<T>, t: f64, input: &[T], row: &[T], bar: &mut [T], p_bar: &mut [T]| {
                self.lambda.iter_mut().zip(row).for_each(|(l, &x)| *l = T::c(h) * x);
                f.vjp(t, input, p, &self.lambda, bar, p_bar)
            };
        if let DenseOutput::Extended { a: weights, c, .. } = m.dense {
            let (input, bar) = self.input_bar.split_at_mut(nd);
            for (i, (weights, c)) in weights.iter().zip(c).enumerate().rev() {
                input.copy_from_slice(y);
                for (&w, k) in weights.iter().zip(self.erk.rows().chunks_exact(nd)) {
                    let w = T::c(w * h);
                    input.iter_mut().zip(k).for_each(|(x, &k)| *x += w * k);
                }
                let (before, row) = of_rows.split_at_mut((last + 1 + i) * nd);
                pull(f, step.t + c * h, input, &row[..nd], &mut bar[..nd], p_bar)?;
                start.iter_mut().zip(&*bar).for_each(|(sum, &bar)| *sum += bar);
                for (&w, sums) in weights.iter().zip(before.chunks_exact_mut(nd)) {
                    let w = T::c(w);
                    sums.iter_mut().zip(&*bar).for_each(|(sum, &bar)| *sum += w * bar);
                }
            }
        }
        let row = &of_rows[last * nd..][..nd];
        if row.iter().any(|&x| x != T::ZERO) {
            let bar = &mut self.input_bar[..nd];
            pull(f, step.t_end, y_end, row, bar, p_bar)?;
            a.iter_mut().zip(&*bar).for_each(|(a, &bar)| *a += bar);
        }
        Ok(())
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
        _y_end: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let (m, nd, h) = (self.erk.tableau(), self.nd, t_end - t);
        // The last stage of an FSAL method belongs to the next step.
        let stages = m.stages() - usize::from(m.fsal);
        let row = |i: usize| i * nd..(i + 1) * nd;
        let kept = self.kept.step(number);
        if kept.is_none() {
            for i in 0..stages {
                let input = &mut self.inputs[row(i)];
                m.stage_input(i, h, y, &self.k, input);
                if i + 1 < stages {
                    f.eval_kept(
                        self.kept.slots().plus(i),
                        m.stage_time(i, t, t_end),
                        input,
                        p,
                        &mut self.k[row(i)],
                    )?;
                }
            }
        }
        let (inputs, slot) = kept.unwrap_or((&self.inputs, self.kept.slots()));
        let mut pull_stage = |f: &mut dyn Vjp<T>, i: usize, a: &[T], p_bar: &mut [T]| {
            // λ_i = h (b_i a + Σ_{j > i} a_ji Ȳ_j), Ȳ_i = (∂f/∂y)ᵀ λ_i
            let b = T::c(m.b[i]);
            for (l, &a) in self.lambda.iter_mut().zip(a) {
                *l = b * a;
            }
            if self.any_inside {
                let asked = &self.inside[(1 + i) * nd..][..nd];
                self.lambda.iter_mut().zip(asked).for_each(|(l, &asked)| *l += asked);
            }
            for j in i + 1..stages {
                let w = T::c(m.a[j][i]);
                for (l, &bar) in self.lambda.iter_mut().zip(&self.input_bar[row(j)]) {
                    *l += w * bar;
                }
            }
            self.lambda.iter_mut().for_each(|l| *l *= T::c(h));
            let time = m.stage_time(i, t, t_end);
            let (input, bar) = (&inputs[row(i)], &mut self.input_bar[row(i)]);
            if i + 1 < stages || kept.is_some() {
                f.vjp_kept(slot.plus(i), time, input, p, &self.lambda, bar, p_bar)
            } else {
                f.vjp(time, input, p, &self.lambda, bar, p_bar)
            }
        };
        f.defer();
        let pulled = (0..stages).rev().try_for_each(|i| pull_stage(f, i, a, p_bar));
        f.settle(p_bar); // after an error too, so that nothing is left in the field
        pulled?;
        for i in 0..stages {
            for (a, &bar) in a.iter_mut().zip(&self.input_bar[row(i)]) {
                *a += bar;
            }
        }
        if std::mem::take(&mut self.any_inside) {
            a.iter_mut().zip(&self.inside[..nd]).for_each(|(a, &asked)| *a += asked);
        }
        Ok(())
    }
}
