//! The stages of a step: a first guess and Newton's iteration for each.

use chreode_core::{FieldError, Real, Tolerance};

use super::EsdirkSteps;
use crate::erk::combine::Gathered;
use crate::newton::convergence::{Convergence, Verdict};
use crate::newton::linearisation::JacobianAge;
use crate::newton::part::Part;
use crate::rhs::Rhs;
use crate::stepper::StepFailure;

impl<T: Real> EsdirkSteps<T> {
    /// Computes the Jacobian at `(t, y)`.
    pub(super) fn refresh(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<(), FieldError> {
        self.factored = 0.0;
        self.work.evals += 1;
        f.eval(t, y, p, &mut self.residual)?;
        self.linear.refresh(f, t, y, p, &self.residual, tol, &mut self.work)?;
        self.jacobian = JacobianAge::Fresh;
        Ok(())
    }

    /// Factors for a step of length `h` from `(t, y)`, where the Jacobian was computed; false if the matrix is singular.
    pub(super) fn factor_for(&mut self, f: &mut Rhs<'_, T>, t: f64, h: f64, y: &[T], p: &[T]) -> bool {
        if (self.factored - h).abs() <= 1e-9 * h.abs() {
            return true;
        }
        self.factored = 0.0;
        if let Err(singular) = self.linear.factor(1.0 / (self.tableau.gamma * h), &mut self.work) {
            self.next_factor = 0.5;
            self.tmp.copy_from_slice(y);
            self.failure = Some(self.fault(f, t, p).unwrap_or(singular.into()));
            return false;
        }
        self.factored = h;
        self.convergence.iter_mut().for_each(Convergence::forget);
        true
    }

    /// Sets the first stage, `M k = f` at the step's start, where the mass matrix may be singular: the derivatives of the
    /// algebraic variables are then those that keep their equations. Two tiny linearly implicit Euler steps show them; the first
    /// one forgets what rounding left of the equations. False if the matrix is singular.
    pub(super) fn derivative_at_start(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
    ) -> Result<bool, FieldError> {
        let eps = T::EPSILON.f64();
        let tiny = (eps.sqrt() * h.abs()).max(16.0 * eps * t.abs()).min(0.1 * h.abs()).copysign(h);
        if !self.factor_for(f, t, tiny / self.tableau.gamma, y, p) {
            return Ok(false);
        }
        self.tmp.copy_from_slice(y);
        for step in 1..=2 {
            self.work.evals += 1;
            f.eval(t + f64::from(step) * tiny, &self.tmp, p, &mut self.residual)?;
            self.linear.solve(&mut self.residual);
            for (y, &change) in self.tmp.iter_mut().zip(&self.residual) {
                *y += change;
            }
        }
        let inverse = T::c(1.0 / tiny);
        for (k, &change) in self.k.iter_mut().zip(&self.residual) {
            *k = change * inverse;
        }
        Ok(true)
    }

    /// First guess of the implicit term of stage `i`.
    #[inline(always)]
    fn guess<const N: usize>(&mut self, i: usize, h: f64) {
        let (m, nd) = (self.tableau, self.nd);
        let scale = m.gamma * h;
        if i >= 2 {
            let row = m.stages() + 1 + (i - 2);
            self.plan.terms(row).sum_of::<N>(None, scale, &self.k[..i * nd], &mut self.delta);
        } else if self.last_h != 0.0 {
            // The last step's derivatives, continued.
            let (first, x) = (m.stages() - 2, 1.0 + h / self.last_h * m.c[1]);
            let weights = Gathered::new(lagrange(&m.c[first..], x));
            weights.terms().sum_of::<N>(None, scale, &self.last_k[first * nd..], &mut self.delta);
        } else {
            let scale = T::c(scale);
            for (delta, &k) in self.delta.iter_mut().zip(&self.k) {
                *delta = scale * k;
            }
        }
    }

    /// Simplified Newton iteration for a part of the implicit term of a stage at `time`; true if it converged, else `failure` and
    /// `next_factor` are set. `psi` and the guess are in place.
    #[inline(always)]
    fn newton<const N: usize>(
        &mut self,
        f: &mut Rhs<'_, T>,
        time: f64,
        h: f64,
        p: &[T],
        part: Part,
    ) -> Result<bool, FieldError> {
        let (nd, d) = (if N > 0 { N } else { self.nd }, self.linear.dim());
        self.convergence[part.record()].begin(self.weights.rounding(&self.psi), self.fixed);
        for ((tmp, &psi), &delta) in self.tmp.iter_mut().zip(&self.psi).zip(&self.delta) {
            *tmp = psi + delta;
        }
        let shift = T::c(1.0 / (self.tableau.gamma * h));
        loop {
            self.work.newton_iterations += 1;
            self.work.evals += 1;
            f.eval_part(part, time, &self.tmp[..nd], p, &mut self.residual)?;
            let has_mass = self.linear.has_mass();
            if has_mass {
                self.linear.apply_mass(&self.delta, &mut self.product);
            }
            let inner = if has_mass { &self.product[..nd] } else { &self.delta[..nd] };
            let residual = &mut self.residual[..nd];
            part.each(nd, d, |at| {
                let (residual, inner) = (&mut residual[at.clone()], &inner[at]);
                for j in 0..residual.len() {
                    residual[j] -= shift * inner[j];
                }
            });
            self.linear.solve_part(part, residual);
            let size = self.weights.norm_of_part(part, [residual]);
            let verdict = self.convergence[part.record()].judge(size);
            if let Verdict::Diverged(failure) = verdict {
                self.work.newton_failures += 1;
                self.next_factor = 0.5;
                let fault = if size.is_finite() { None } else { self.fault(f, time, p) };
                self.failure = Some(fault.unwrap_or(failure));
                return Ok(false);
            }
            part.each(nd, d, |at| {
                let (tmp, delta) = (&mut self.tmp[at.clone()], &mut self.delta[at.clone()]);
                let (psi, residual) = (&self.psi[at.clone()], &residual[at]);
                for j in 0..delta.len() {
                    delta[j] += residual[j];
                    tmp[j] = psi[j] + delta[j];
                }
            });
            if let Verdict::Converged = verdict {
                return Ok(true);
            }
        }
    }

    /// What is not finite of the field and its Jacobian, where a stage's iteration came to.
    fn fault(&mut self, f: &mut Rhs<'_, T>, time: f64, p: &[T]) -> Option<StepFailure> {
        self.work.evals += 1;
        f.eval(time, &self.tmp, p, &mut self.residual).ok()?;
        self.linear.fault(time, &self.tmp, &self.residual)
    }

    /// The implicit stages; false if one has no solution.
    #[inline(always)]
    pub(super) fn stages<const N: usize>(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
    ) -> Result<bool, FieldError> {
        let (m, nd, h) = (self.tableau, self.nd, t_end - t);
        let inverse = T::c(1.0 / (m.gamma * h));
        self.convergence.iter_mut().for_each(|of| of.worst_rate = 0.0);
        for i in 1..m.stages() {
            self.plan.terms(i).sum_of::<N>(Some(y), h, &self.k[..i * nd], &mut self.psi);
            self.guess::<N>(i, h);
            let time = if m.c[i] == 1.0 { t_end } else { t + m.c[i] * h };
            if N > 0 {
                if !self.newton::<N>(f, time, h, p, Part::All)? {
                    return Ok(false);
                }
            } else {
                for part in self.linear.parts() {
                    if !self.newton::<N>(f, time, h, p, part)? {
                        return Ok(false);
                    }
                }
            }
            // Not the field at the stage, which would multiply what Newton's iteration left by the stiffness.
            for (k, &delta) in self.k[i * nd..].iter_mut().zip(&self.delta) {
                *k = delta * inverse;
            }
        }
        for ((y1, &psi), &delta) in self.y1.iter_mut().zip(&self.psi).zip(&self.delta) {
            *y1 = psi + delta;
        }
        Ok(true)
    }
}

/// Values of the Lagrange polynomials of `nodes` at `x`.
fn lagrange(nodes: &[f64], x: f64) -> impl Iterator<Item = f64> {
    nodes.iter().map(move |&own| {
        let others = nodes.iter().filter(|&&other| other != own);
        others.map(|&other| (x - other) / (own - other)).product()
    })
}

/// Weights of the derivatives of the stages before that at node `c[i]`, `i > 1`, which continue those at the three nearest nodes.
pub(super) fn predictor(c: &[f64], i: usize) -> Vec<f64> {
    let distance = |j: usize| (c[j] - c[i]).abs();
    let mut nearest: Vec<usize> = (0..i).collect();
    nearest.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)));
    nearest.truncate(3);
    let nodes: Vec<f64> = nearest.iter().map(|&j| c[j]).collect();
    let mut weights = vec![0.0; i];
    nearest.iter().zip(lagrange(&nodes, c[i])).for_each(|(&j, w)| weights[j] = w);
    weights
}
