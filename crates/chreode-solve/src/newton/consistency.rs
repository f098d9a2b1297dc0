//! Whether the algebraic equations of `M dy/dt = f` hold at a state, and Newton's iteration for one where they do.
//! Source: [HW96] section VI.1.

use chreode_core::{FieldError, Real, Tolerance};

use super::linearisation::Linearisation;
use crate::error::{SolveError, check_finite, check_len, check_params};
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::StepFailure;

/// Most iterations of [`Linearisation::consistent_start`].
const MOST: u32 = 50;
/// A correction below this part of the tolerance is the last one.
const ENOUGH: f64 = 1e-3;

impl<T: Real> Linearisation<T> {
    /// What keeps a run from starting at `(t, y)`: a size that was set wrong, or algebraic equations that do not hold.
    pub(crate) fn check_start(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
        work: &mut Work,
    ) -> Result<(), SolveError> {
        self.check_sizes()?;
        self.forget_orders();
        let mut change = vec![T::ZERO; if self.may_be_singular() { y.len() } else { 0 }];
        match self.inconsistency(f, t, y, p, tol, work, &mut change)? {
            Some((ratio, error)) if ratio > 1.0 => Err(error),
            _ => Ok(()),
        }
    }

    /// Moves `y` to where the algebraic equations hold; returns the iterations.
    pub(crate) fn consistent_start(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &mut [T],
        p: &[T],
        tol: Tolerance<'_>,
        work: &mut Work,
    ) -> Result<u32, SolveError> {
        self.check_sizes()?;
        check_len("state (the method's)", y.len(), self.len())?;
        check_len("coordinates (the method's)", f.dim(), self.dim())?;
        check_params(p.len(), f.n_params())?;
        check_finite(y, self.dim(), 0, t)?;
        let mut change = vec![T::ZERO; y.len()];
        let (mut before, mut rate) = (f64::INFINITY, 0.0);
        for iterations in 1..=MOST {
            let Some((size, _)) = self.inconsistency(f, t, y, p, tol, work, &mut change)? else { break };
            y.iter_mut().zip(&change).for_each(|(y, &change)| *y += change);
            check_finite(y, self.dim(), 0, t)?;
            if size <= ENOUGH {
                return Ok(iterations);
            }
            (rate, before) = (size / before, size);
        }
        if before.is_infinite() {
            return Ok(0); // there are no algebraic equations, or none that could be solved
        }
        Err(SolveError::Unsolved {
            t,
            h: 0.0,
            failure: StepFailure::NewtonDiverged { iterations: MOST, rate },
        })
    }

    /// The largest change that Newton's iteration for the algebraic equations makes at `(t, y)`, over the tolerance, with the error
    /// that says so; `change` is set to it. `None` without algebraic equations, and where they are not of index 1, or the field or its
    /// Jacobian is not finite: that shows in the run.
    ///
    /// Null rows of the mass matrix are the equations: with all other rows of `f` left out, `s M - J` for a huge `s` changes what
    /// they determine. Without null rows, a singular matrix shows in the first of two tiny linearly implicit Euler steps, beside
    /// the second.
    fn inconsistency(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
        work: &mut Work,
        change: &mut [T],
    ) -> Result<Option<(f64, SolveError)>, SolveError> {
        if !self.may_be_singular() {
            return Ok(None);
        }
        let d = self.dim();
        let nulls = (0..d).any(|i| self.row_size(i) == T::ZERO);
        work.evals += 1;
        let mut field = vec![T::ZERO; y.len()];
        f.eval(t, y, p, &mut field)?;
        self.refresh(f, t, y, p, &field, tol, work)?;
        let jacobian = self.jacobian_size();
        if !(jacobian > 0.0 && jacobian.is_finite() && field.iter().all(|v| v.is_finite())) {
            return Ok(None);
        }
        let mass = (0..d).map(|i| self.row_size(i).f64()).fold(0.0, f64::max);
        let apart = if nulls { T::EPSILON.f64().powi(-2) } else { T::EPSILON.f64().powf(-0.5) };
        let shift = if mass > 0.0 { jacobian / mass * apart } else { 1.0 };
        if self.factor(shift, work).is_err() {
            return Ok(None);
        }
        let is_equation = |i: usize, this: &Self| !nulls || this.row_size(i) == T::ZERO;
        for (k, (change, &field)) in change.iter_mut().zip(&field).enumerate() {
            *change = if is_equation(k % d, self) { field } else { T::ZERO };
        }
        self.solve(change);
        // Where both steps are but the motion of a consistent state, they differ by its curvature and by rounding.
        let mut motion = 0.0;
        if !nulls {
            motion = 0.01 * change.iter().fold(0.0, |most, v| v.f64().abs().max(most));
            let moved: Vec<T> = y.iter().zip(&*change).map(|(&y, &change)| y + change).collect();
            let mut second = vec![T::ZERO; y.len()];
            work.evals += 1;
            match f.eval(t, &moved, p, &mut second) {
                Ok(()) => self.solve(&mut second),
                Err(FieldError::Recoverable { .. }) => return Ok(None),
                Err(e) => return Err(e.into()),
            }
            change.iter_mut().zip(&second).for_each(|(change, &second)| *change -= second);
        }
        let mut worst: Option<(f64, SolveError)> = None;
        for (n, (y, change)) in y.chunks_exact(d).zip(change.chunks_exact(d)).enumerate() {
            // What rounding leaves of equations between numbers of this size.
            let rounding = 100.0 * T::EPSILON.f64() * y.iter().fold(0.0, |most, y| y.f64().abs().max(most));
            let rows = &field[n * d..(n + 1) * d];
            let equation = (0..d)
                .filter(|&i| is_equation(i, self))
                .max_by(|&a, &b| rows[a].f64().abs().total_cmp(&rows[b].f64().abs()))
                .unwrap_or(0);
            for (coordinate, (y, change)) in y.iter().zip(change).enumerate() {
                let allowed = tol.atol.of(coordinate) + tol.rtol.of(coordinate) * y.f64().abs() + rounding;
                let ratio = change.f64().abs() / (allowed + motion);
                if worst.as_ref().is_none_or(|(most, _)| ratio > *most) {
                    let error = SolveError::InconsistentStart {
                        t,
                        trajectory: n as u64,
                        equation,
                        residual: rows[equation].f64(),
                        coordinate,
                        change: change.f64(),
                        allowed,
                    };
                    worst = Some((ratio, error));
                }
            }
        }
        Ok(worst.filter(|(ratio, _)| ratio.is_finite()))
    }
}
