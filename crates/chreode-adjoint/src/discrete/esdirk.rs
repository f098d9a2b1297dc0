//! Steps of diagonally implicit methods with an explicit first stage, again and backward.

use chreode_core::{Real, Vjp};
use chreode_solve::{Esdirk, EsdirkTableau, SolveError, Stats, Stepper};

use super::implicit::exact::{ExactSteps, Room, check_end};
use super::implicit::field::Rows;
use super::implicit::kept::KeptStages;
use super::implicit::stages::StageEquations;
use super::method::{Run, StepAdjoint};
use super::tape::Taken;
use crate::AdjointError;

#[derive(Debug)]
pub(super) struct EsdirkAdjoint<T: Real> {
    stepper: Esdirk<T>,
    rows: Rows<T>,
    room: Room<T>,
    kept: KeptStages<T>,
    steps: Steps<T>,
    /// If few states are kept: solves the steps of the forward run, and again. What the way back remembers is not touched.
    again: Option<Steps<T>>,
}

/// Steps that are solved to rounding.
#[derive(Debug)]
struct Steps<T: Real> {
    tableau: &'static EsdirkTableau,
    nd: usize,
    d: usize,
    /// Start and length of the step that was gone back through last, and the states at its ends.
    later: Option<(f64, f64)>,
    y_later: Vec<T>,
    y_last: Vec<T>,
    equations: StageEquations<T>,
    /// Stages, their derivatives, and adjoints of the stages: `[stages, n, d]` each.
    inputs: Vec<T>,
    k: Vec<T>,
    input_bar: Vec<T>,
    psi: Vec<T>,
    delta: Vec<T>,
    bar: Vec<T>,
    lambda: Vec<T>,
}

impl<T: Real> EsdirkAdjoint<T> {
    pub(super) fn new(tableau: &'static EsdirkTableau, n: usize, d: usize) -> Self {
        Self {
            stepper: Esdirk::new(tableau, n, d),
            rows: Rows::new(d),
            room: Room::new(n * d, 0),
            kept: KeptStages::new(),
            steps: Steps::new(tableau, n, d),
            again: None,
        }
    }
}

impl<T: Real> Steps<T> {
    fn new(tableau: &'static EsdirkTableau, n: usize, d: usize) -> Self {
        let nd = n * d;
        let zeros = |rows: usize| vec![T::ZERO; rows * nd];
        let s = tableau.stages();
        Self {
            tableau,
            nd,
            d,
            later: None,
            y_later: zeros(1),
            y_last: zeros(1),
            equations: StageEquations::new(vec![1.0 / tableau.gamma], None, n, d),
            inputs: zeros(s),
            k: zeros(s),
            input_bar: zeros(s),
            psi: zeros(1),
            delta: zeros(1),
            bar: zeros(1),
            lambda: zeros(1),
        }
    }

    fn time(&self, i: usize, step: Taken) -> f64 {
        let c = self.tableau.c[i];
        if c == 1.0 { step.t_end } else { step.t + c * (step.t_end - step.t) }
    }

    /// Solves stage by stage; `y_end` tells where they may lie, if it is known.
    fn stages(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        y_end: Option<&[T]>,
    ) -> Result<(), AdjointError> {
        let (m, nd, h) = (self.tableau, self.nd, step.t_end - step.t);
        self.equations.begin(f, h);
        self.inputs[..nd].copy_from_slice(y);
        // Through both ends, and that of the step after this one, if it is known and of a like length.
        let later = self.later.filter(|later| later.0 == step.t_end && y_end == Some(&self.y_later[..]));
        let q = later.map(|later| later.1 / h).filter(|q| (0.3..8.0).contains(q));
        if let Some(end) = y_end.filter(|_| !self.equations.is_small()) {
            for ((middle, &y), &end) in self.delta.iter_mut().zip(y).zip(end) {
                *middle = T::c(0.5) * (y + end);
            }
            self.equations.prepare(f, &[step.t + 0.5 * h], h, &self.delta, p)?;
        }
        f.eval(step.t, y, p, &mut self.k[..nd])?;
        let inverse = T::c(1.0 / (m.gamma * h));
        for i in 1..m.stages() {
            self.psi.copy_from_slice(y);
            for (j, &a) in m.a[i].iter().enumerate() {
                let weight = T::c(h * a);
                for (psi, &k) in self.psi.iter_mut().zip(&self.k[j * nd..]) {
                    *psi += weight * k;
                }
            }
            let (done, rest) = self.inputs.split_at_mut(i * nd);
            let input = &mut rest[..nd];
            match y_end {
                Some(end) => {
                    let x = m.c[i];
                    let [w0, w1, w2] = match q {
                        Some(q) => {
                            let beyond = 1.0 + q;
                            [
                                (1.0 - x) * (beyond - x) / beyond,
                                x * (beyond - x) / q,
                                x * (x - 1.0) / (beyond * q),
                            ]
                        }
                        None => [1.0 - x, x, 0.0],
                    }
                    .map(T::c);
                    let ends = y.iter().zip(end).zip(&self.y_last);
                    for (input, ((&y, &end), &last)) in input.iter_mut().zip(ends) {
                        *input = w0 * y + w1 * end + w2 * last;
                    }
                }
                None => input.copy_from_slice(&done[(i - 1) * nd..]),
            }
            let c = m.c[i];
            let time = if c == 1.0 { step.t_end } else { step.t + c * h };
            self.equations.solve(f, &[time], h, &self.psi, p, input, &mut self.delta)?;
            for (k, &delta) in self.k[i * nd..].iter_mut().zip(&self.delta) {
                *k = delta * inverse;
            }
        }
        Ok(())
    }

    /// Solves stage by stage from nothing but what is given: the same bits every time.
    fn anew(&mut self, f: &mut dyn Vjp<T>, step: Taken, p: &[T], y: &[T]) -> Result<(), AdjointError> {
        self.later = None;
        self.equations.forget();
        self.stages(f, step, p, y, None)
    }

    /// The end of the step whose stages were solved last.
    fn end(&self) -> &[T] {
        &self.inputs[self.inputs.len() - self.nd..]
    }

    /// Pulls the adjoint state `a` back through a step, whose stages are known.
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
        let (m, nd, h) = (self.tableau, self.nd, step.t_end - step.t);
        let (s, row) = (m.stages(), |i: usize| i * nd..(i + 1) * nd);
        for i in (0..s).rev() {
            // Of k_i, but for what it does to its own stage: h (b_i a + Σ_{j > i} a_ji Ȳ_j).
            let b = if i + 1 < s { m.a[s - 1][i] } else { m.gamma };
            let b = T::c(b);
            for (bar, &a) in self.bar.iter_mut().zip(&*a) {
                *bar = b * a;
            }
            for j in i + 1..s {
                let w = T::c(m.a[j][i]);
                for (bar, &input_bar) in self.bar.iter_mut().zip(&self.input_bar[row(j)]) {
                    *bar += w * input_bar;
                }
            }
            if i == 0 {
                self.bar.iter_mut().for_each(|bar| *bar *= T::c(h));
                f.vjp(step.t, y, p, &self.bar, &mut self.input_bar[row(0)], p_bar)?;
                break;
            }
            // λ - h γ Jᵀ λ is that; Ȳ = Jᵀ λ, with no product that rounding would spoil.
            let (time, per_gamma, inverse) =
                (self.time(i, step), T::c(1.0 / m.gamma), T::c(1.0 / (m.gamma * h)));
            self.bar.iter_mut().for_each(|bar| *bar *= per_gamma);
            let input = &self.inputs[row(i)];
            self.equations.solve_adjoint(f, &[time], h, p, input, &self.bar, &mut self.lambda, p_bar)?;
            for ((input_bar, &lambda), &bar) in
                self.input_bar[row(i)].iter_mut().zip(&self.lambda).zip(&self.bar)
            {
                *input_bar = lambda * inverse - bar;
            }
        }
        for i in 0..s {
            for (a, &bar) in a.iter_mut().zip(&self.input_bar[row(i)]) {
                *a += bar;
            }
        }
        self.later = Some((step.t, h));
        self.y_later.copy_from_slice(y);
        self.y_last.copy_from_slice(y_end);
        Ok(())
    }
}

impl<T: Real> StepAdjoint<T> for EsdirkAdjoint<T> {
    fn with_stepper(
        &mut self,
        f: &mut dyn Vjp<T>,
        _whole: bool,
        run: &mut Run<'_, T>,
    ) -> Result<Stats, SolveError> {
        let (steps, again, kept) = (&mut self.steps, &mut self.again, &mut self.kept);
        kept.clear();
        let mut solve =
            |f: &mut dyn Vjp<T>, _: &mut dyn Stepper<T>, step: Taken, p: &[T], y: &[T], end: &mut [T]| {
                let steps = if let Some(again) = again {
                    again.anew(f, step, p, y)?;
                    again
                } else {
                    steps.later = None;
                    steps.stages(f, step, p, y, Some(end))?;
                    kept.push(step, &steps.inputs);
                    &mut *steps
                };
                end.copy_from_slice(steps.end());
                Ok(())
            };
        self.rows.run(f, &mut ExactSteps::new(&mut self.stepper, &mut solve, &mut self.room), run)
    }

    fn kept_values(&self) -> usize {
        self.kept.len()
    }

    fn take_again(&mut self) {
        let Steps { tableau, nd, d, .. } = self.steps;
        self.again = Some(Steps::new(tableau, nd / d.max(1), d));
    }

    fn begin(&mut self) {
        self.steps.later = None;
        self.kept.rewind();
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
        steps.anew(f, step, p, y)?;
        y.copy_from_slice(steps.end());
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
        if let Some(stages) = self.kept.next(step) {
            self.steps.equations.begin(f, step.t_end - step.t);
            self.steps.inputs.copy_from_slice(stages);
        } else {
            let steps = &mut self.steps;
            let solved = steps.stages(f, step, p, y, Some(y_end));
            let solved = solved.and_then(|()| check_end(step, steps.end(), y_end, steps.d));
            if let (Err(_), Some(again)) = (&solved, &mut self.again) {
                // There are several solutions: as the forward run did.
                again.anew(f, step, p, y)?;
                steps.inputs.copy_from_slice(&again.inputs);
                steps.equations.forget(); // Jacobians of where it went astray
                check_end(step, steps.end(), y_end, steps.d)?;
            } else {
                solved?;
            }
        }
        self.steps.back(f, step, p, y, y_end, a, p_bar)
    }
}
