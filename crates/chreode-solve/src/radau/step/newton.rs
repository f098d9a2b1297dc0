//! Newton's iteration for the stages of a Radau step, from its first guess on.

use chreode_core::{FieldError, Real};

use super::super::coefficients::{Coefficients, FIVE, SEVEN, THREE};
use super::stages::{array_mut, rows, rows_mut, transform};
use super::{RATE_TO_KEEP, RadauSteps};
use crate::newton::part::Part;
use crate::rhs::Rhs;
use crate::stepper::StepFailure;

/// Most Newton iterations where the step cannot be made shorter.
const MOST_OF_FIXED_STEPS: u32 = 50;

impl<T: Real, const LEAST: usize, const MOST: usize> RadauSteps<T, LEAST, MOST> {
    /// First guess of the stages: the last step's polynomial, continued, or zero.
    #[inline(always)]
    pub(super) fn guess<const S: usize, const N: usize>(&mut self, table: &Coefficients<S>, h: f64) {
        let nd = self.length::<N>();
        if self.last_h == 0.0 {
            for v in self.z.iter_mut().chain(&mut self.w) {
                v.fill(T::ZERO);
            }
            return;
        }
        let q = h / self.last_h;
        match self.last_stages {
            3 => self.extrapolate(&THREE, table, q, nd),
            5 if MOST > 5 => self.extrapolate(&FIVE, table, q, nd),
            _ if MOST > 9 => self.extrapolate(&SEVEN, table, q, nd),
            _ => {}
        }
        transform(&table.t_inv, rows(&self.z, 0..nd), rows_mut(&mut self.w, 0..nd));
    }

    /// Sets `z` to the polynomial of the last step, `1 / q` times as long and of `R` stages, at the nodes of this one.
    #[inline(always)]
    fn extrapolate<const R: usize, const S: usize>(
        &mut self,
        last: &Coefficients<R>,
        table: &Coefficients<S>,
        q: f64,
        nd: usize,
    ) {
        let from = table.c.map(|c| {
            let mut weights = last.weights(1.0 + c * q);
            weights[R - 1] -= 1.0; // minus the last step's end
            weights
        });
        transform::<T, S, R>(&from, rows(&self.last_z, 0..nd), rows_mut(&mut self.z, 0..nd));
    }

    /// Simplified Newton iteration for the stages, staggered for the first block before the others; true if it converged, else
    /// `failure` and `next_factor` are set.
    pub(super) fn newton<const S: usize, const N: usize>(
        &mut self,
        table: &Coefficients<S>,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
    ) -> Result<bool, FieldError> {
        (self.iterations, self.rate) = (0, 0.0);
        if N > 0 {
            return self.iterate::<S, N>(table, f, t, h, y, p, Part::All);
        }
        for part in self.linear.parts() {
            if !self.iterate::<S, N>(table, f, t, h, y, p, part)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The iteration for one part of the stages.
    fn iterate<const S: usize, const N: usize>(
        &mut self,
        table: &Coefficients<S>,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
        part: Part,
    ) -> Result<bool, FieldError> {
        let part = if N > 0 { Part::All } else { part }; // the compiler then knows that too
        let rtol = self.weights.least_rtol().max(1e-300);
        // Corrections of this size are rounding, which `T⁻¹` magnifies.
        let magnified = match S {
            3 => 10.0,
            5 => 40.0,
            _ => 300.0,
        };
        let floor = magnified * self.weights.rounding(y);
        // So that a few hundredths of the tolerance that the run was asked for are left of every step.
        let needed =
            if S == 3 { rtol.sqrt().max(1e-4) } else { rtol.powf((S as f64 - 1.0) / (S as f64 + 1.0)) };
        let tolerance = floor.max(0.03_f64.min(needed));
        let most = if self.fixed { MOST_OF_FIXED_STEPS } else { max_iterations(S) };
        let last = self.eta[part.record()].max(T::EPSILON.f64()).sqrt();
        let mut eta = last * last.sqrt(); // the last one to the 3/4: it may have become worse
        let (mut before, mut rate_before) = (0.0, 0.0);
        let (nd, d) = (self.length::<N>(), self.linear.dim());
        let mut rate = RATE_TO_KEEP;
        match part {
            Part::All => {}
            // A field may evaluate the other blocks too: they are those of the step's start.
            Part::FirstBlock(_) => self.tmp.copy_from_slice(y),
            // Evaluations have been written over the guess.
            Part::OtherBlocks(_) => {
                transform(&table.t, rows(&self.w, 0..nd), rows_mut(&mut self.z, 0..nd));
            }
        }
        for k in 1..=most {
            self.iterations = self.iterations.max(k);
            self.work.newton_iterations += 1;
            let z: &mut [Vec<T>; S] = array_mut(&mut self.z);
            for (i, (z, c)) in z.iter_mut().zip(table.c).enumerate() {
                part.evaluated().each(nd, d, |at| {
                    let (tmp, y, z) = (&mut self.tmp[at.clone()], &y[at.clone()], &z[at]);
                    for j in 0..tmp.len() {
                        tmp[j] = y[j] + z[j];
                    }
                });
                self.work.evals += 1;
                let time = if i == S - 1 { t + h } else { t + c * h };
                f.eval_part(part, time, &self.tmp, p, &mut z[..nd])?; // the guess has been transformed already
            }
            self.residual::<S, N>(table, h, part);
            let [d1, pairs @ ..] = &mut self.dw[..S] else { return Ok(false) };
            self.linear.solve_part(part, d1);
            for (q, pair) in pairs.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let [re, im] = pair;
                self.linear.solve_complex(q, part, re, im);
            }
            let size = self.weights.norm_of_part(part, rows::<T, S>(&self.dw, 0..nd));
            if !size.is_finite() {
                self.give_up(0.5, k, f64::INFINITY);
                if let Some(fault) = self.fault(table, f, t, h, y, p) {
                    self.failure = Some(fault);
                }
                return Ok(false);
            }
            if k > 1 {
                let step_rate = size / before;
                rate = if k == 2 { step_rate } else { (step_rate * rate_before).sqrt() };
                rate_before = step_rate;
                if rate >= 0.99 && size > floor {
                    self.control.failed();
                    return Ok(self.give_up(0.5, k, rate));
                }
                eta = (rate / (1.0 - rate)).abs();
                if !self.fixed && k < most {
                    // What will be left after the last iteration, if it goes on like this.
                    let left = eta * size * rate.powi((most - 1 - k) as i32);
                    if left >= tolerance {
                        let excess = (left / tolerance).clamp(1e-4, 20.0);
                        let power = f64::from(4 + most - 1 - k);
                        return Ok(self.give_up(0.8 * excess.powf(-1.0 / power), k, rate));
                    }
                }
            }
            before = size.max(T::EPSILON.f64());
            self.correct::<S, N>(table, part);
            if eta * size <= tolerance || size <= floor {
                self.eta[part.record()] = eta;
                self.rate = self.rate.max(rate);
                return Ok(true);
            }
        }
        Ok(self.give_up(0.5, most, rate))
    }

    /// Sets `dw` to the right-hand sides of the transformed Newton systems; `z` holds the field at the stages.
    #[inline(always)]
    fn residual<const S: usize, const N: usize>(&mut self, table: &Coefficients<S>, h: f64, part: Part) {
        let (nd, dim) = (self.length::<N>(), self.linear.dim());
        part.each(nd, dim, |at| {
            transform(&table.t_inv, rows(&self.z, at.clone()), rows_mut::<T, S>(&mut self.dw, at));
        });
        let mut m: [&[T]; S] = rows(&self.w, 0..nd);
        if self.linear.has_mass() {
            // `z` is free until it is set from the corrected `w`.
            for (w, z) in m.iter().zip(&mut self.z) {
                self.linear.apply_mass(w, z);
            }
            m = rows(&self.z, 0..nd);
        }
        let gamma = T::c(table.gamma / h);
        part.each(nd, dim, |at| {
            let d: [&mut [T]; S] = rows_mut(&mut self.dw, at.clone());
            let m = m.map(|m| &m[at.clone()]);
            let n = at.len();
            for j in 0..n {
                d[0][j] -= gamma * m[0][j];
            }
            for q in 0..S / 2 {
                let (alpha, beta) = table.pairs[q];
                let (a, b) = (T::c(alpha / h), T::c(beta / h));
                let (re, im) = (2 * q + 1, 2 * q + 2);
                for j in 0..n {
                    d[re][j] -= a * m[re][j] - b * m[im][j];
                    d[im][j] -= a * m[im][j] + b * m[re][j];
                }
            }
        });
    }

    /// Adds the corrections `dw` to `w` and sets from it what evaluations take of the stages `z`.
    #[inline(always)]
    fn correct<const S: usize, const N: usize>(&mut self, table: &Coefficients<S>, part: Part) {
        let (nd, dim) = (self.length::<N>(), self.linear.dim());
        part.each(nd, dim, |at| {
            let d: [&[T]; S] = rows(&self.dw, at.clone());
            let w: [&mut [T]; S] = rows_mut(&mut self.w, at);
            for (w, d) in w.into_iter().zip(d) {
                for j in 0..d.len() {
                    w[j] += d[j];
                }
            }
        });
        part.evaluated().each(nd, dim, |at| {
            transform(&table.t, rows(&self.w, at.clone()), rows_mut(&mut self.z, at));
        });
    }

    /// What is not finite of the field and its Jacobian, where the stages came to.
    fn fault<const S: usize>(
        &mut self,
        table: &Coefficients<S>,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
    ) -> Option<StepFailure> {
        transform(&table.t, rows(&self.w, 0..self.nd), rows_mut(&mut self.z, 0..self.nd));
        for (i, c) in table.c.into_iter().enumerate() {
            for ((tmp, &y), &z) in self.tmp.iter_mut().zip(y).zip(&self.z[i]) {
                *tmp = y + z;
            }
            self.work.evals += 1;
            let time = if i == S - 1 { t + h } else { t + c * h };
            f.eval(time, &self.tmp, p, &mut self.f1).ok()?;
            if let Some(fault) = self.linear.fault(time, &self.tmp, &self.f1) {
                return Some(fault);
            }
        }
        None
    }

    fn give_up(&mut self, factor: f64, iterations: u32, rate: f64) -> bool {
        self.work.newton_failures += 1;
        self.next_factor = factor;
        self.failure = Some(StepFailure::NewtonDiverged { iterations, rate });
        false
    }
}

/// Most Newton iterations of a step.
pub(super) const fn max_iterations(stages: usize) -> u32 {
    match stages {
        3 => 7,
        5 => 12,
        _ => 17,
    }
}
