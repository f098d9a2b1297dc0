//! Newton's iteration for a step's correction, with matrices or without, and what it needs of the Jacobian.

use chreode_core::{FieldError, Real, Tolerance};
use chreode_linalg::GmresOutcome;

use super::BdfSteps;
use crate::newton::convergence::Verdict;
use crate::newton::krylov::ENOUGH_TO_GO_ON;
use crate::newton::linearisation::JacobianAge;
use crate::newton::part::Part;
use crate::rhs::Rhs;
use crate::stepper::StepFailure;

impl<T: Real> BdfSteps<T> {
    /// Simplified Newton iteration for the correction (not simplified without matrices); why it failed, if it did.
    pub(super) fn newton(
        &mut self,
        f: &mut Rhs<'_, T>,
        t_end: f64,
        p: &[T],
    ) -> Result<Option<StepFailure>, FieldError> {
        // One loop for each, since of small systems all that is asked in it is felt.
        match self.first_block() {
            None => self.iterate(f, t_end, p, Part::All),
            Some(block) => self.iterate(f, t_end, p, Part::FirstBlock(block)),
        }
    }

    #[inline(always)]
    fn iterate(
        &mut self,
        f: &mut Rhs<'_, T>,
        t_end: f64,
        p: &[T],
        part: Part,
    ) -> Result<Option<StepFailure>, FieldError> {
        let enough = self.convergence.begin(self.weights.rounding(&self.y1), self.fixed);
        self.correction.fill(T::ZERO);
        loop {
            self.work.newton_iterations += 1;
            self.work.evals += 1;
            f.eval_part(part, t_end, &self.y1, p, &mut self.residual)?;
            if let Some(krylov) = &mut self.krylov {
                krylov.field_is(&self.residual);
            }
            self.subtract_derivative();
            if let Some(krylov) = &mut self.krylov {
                let outcome = krylov.solve(
                    f,
                    t_end,
                    &self.y1,
                    p,
                    self.shift,
                    &self.linear,
                    &self.weights,
                    enough,
                    &mut self.residual,
                    &mut self.work,
                )?;
                if !(outcome.converged || outcome.residual <= ENOUGH_TO_GO_ON) {
                    let GmresOutcome { iterations, residual, .. } = outcome;
                    let failure = match krylov.spoilt() {
                        Some(at) => StepFailure::NotFinite {
                            what: "what the preconditioner returned",
                            t: t_end,
                            trajectory: (at / self.linear.dim()) as u64,
                            coordinate: at % self.linear.dim(),
                        },
                        None => StepFailure::Krylov { iterations, residual },
                    };
                    let fault = if residual.is_finite() { None } else { self.fault(f, t_end, p) };
                    return Ok(Some(fault.unwrap_or(failure)));
                }
            } else {
                self.linear.solve_part(part, &mut self.residual);
            }
            let size = self.weights.norm_of_part(part, [&self.residual]);
            let verdict = self.convergence.judge(size);
            if let Verdict::Diverged(failure) = verdict {
                let fault = if size.is_finite() { None } else { self.fault(f, t_end, p) };
                return Ok(Some(fault.unwrap_or(failure)));
            }
            part.each(self.nd, self.linear.dim(), |at| {
                let (y, c) = (&mut self.y1[at.clone()], &mut self.correction[at.clone()]);
                for ((y, c), &r) in y.iter_mut().zip(c).zip(&self.residual[at]) {
                    *y += r;
                    *c += r;
                }
            });
            if let Verdict::Converged = verdict {
                return Ok(None);
            }
        }
    }

    /// The size of the first block, if the others are solved after it.
    pub(super) fn first_block(&self) -> Option<usize> {
        if self.linear.is_staggered() && self.krylov.is_none() { self.linear.block() } else { None }
    }

    /// Of the field in `residual`, makes the residual of the formula.
    fn subtract_derivative(&mut self) {
        let shift = T::c(self.shift);
        if self.linear.has_mass() {
            for ((tmp, &psi), &c) in self.tmp.iter_mut().zip(&self.psi).zip(&self.correction) {
                *tmp = psi + c;
            }
            self.linear.apply_mass(&self.tmp, &mut self.product);
            for (r, &m) in self.residual.iter_mut().zip(&self.product) {
                *r -= shift * m;
            }
        } else {
            for ((r, &psi), &c) in self.residual.iter_mut().zip(&self.psi).zip(&self.correction) {
                *r -= shift * (psi + c);
            }
        }
    }

    /// Solves for the blocks after the first, whose iteration has converged: they are linear in themselves.
    pub(super) fn solve_other_blocks(
        &mut self,
        f: &mut Rhs<'_, T>,
        t_end: f64,
        p: &[T],
        block: usize,
        tol: Tolerance<'_>,
    ) -> Result<Option<StepFailure>, FieldError> {
        let (shift, d) = (self.shift, self.linear.dim());
        self.work.evals += 1;
        f.eval(t_end, &self.y1, p, &mut self.residual)?;
        self.linear.refresh(f, t_end, &self.y1, p, &self.residual, tol, &mut self.work)?;
        self.shift = 0.0;
        if let Err(singular) = self.linear.factor(shift, &mut self.work) {
            self.jacobian = JacobianAge::Expired;
            return Ok(Some(singular.into()));
        }
        (self.shift, self.jacobian) = (shift, JacobianAge::Fresh);
        self.subtract_derivative();
        self.linear.solve(&mut self.residual);
        self.residual.chunks_exact_mut(d).for_each(|r| r[..block].fill(T::ZERO));
        for ((y, c), &r) in self.y1.iter_mut().zip(&mut self.correction).zip(&self.residual) {
            *y += r;
            *c += r;
        }
        Ok(None)
    }

    /// What is not finite of the field and its Jacobian, where an iteration came to.
    fn fault(&mut self, f: &mut Rhs<'_, T>, t_end: f64, p: &[T]) -> Option<StepFailure> {
        self.work.evals += 1;
        f.eval(t_end, &self.y1, p, &mut self.residual).ok()?;
        self.linear.fault(t_end, &self.y1, &self.residual)
    }

    /// Gets the Jacobian and its factorisation for this shift, or the preconditioner for it; says why there is none.
    pub(super) fn linearise(
        &mut self,
        f: &mut Rhs<'_, T>,
        t_end: f64,
        p: &[T],
        shift: f64,
        tol: Tolerance<'_>,
    ) -> Result<Option<StepFailure>, FieldError> {
        let expired = self.jacobian == JacobianAge::Expired;
        let moved = (shift - self.shift).abs() > 1e-9 * shift.abs();
        if let Some(krylov) = &mut self.krylov {
            if expired || moved {
                self.shift = 0.0;
                krylov.prepare(t_end, &self.y1, p, shift, expired, &mut self.work)?;
            }
            if expired || !krylov.has_preconditioner() {
                self.jacobian = JacobianAge::Fresh;
            }
        } else {
            if expired {
                self.work.evals += 1;
                f.eval(t_end, &self.y1, p, &mut self.residual)?;
                self.linear.refresh(f, t_end, &self.y1, p, &self.residual, tol, &mut self.work)?;
                self.jacobian = JacobianAge::Fresh;
                self.shift = 0.0;
            }
            if expired || moved {
                self.shift = 0.0;
                if let Err(singular) = self.linear.factor(shift, &mut self.work) {
                    // Also where the Jacobian is not finite: another state may have a better one.
                    self.jacobian = JacobianAge::Expired;
                    return Ok(Some(self.fault(f, t_end, p).unwrap_or(singular.into())));
                }
            }
        }
        if expired || moved {
            self.shift = shift;
            self.convergence.forget();
        }
        Ok(None)
    }
}
