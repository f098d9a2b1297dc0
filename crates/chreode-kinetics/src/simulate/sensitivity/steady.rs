//! Derivatives of steady states.
//!
//! Where the Jacobian `J` is regular, `S = -J⁻¹ ∂f/∂p q`: the implicit function theorem. Where it is not, as with conserved sums, the
//! steady state depends on the start, and the sensitivities are run to rest beside the state.

use chreode_core::LinearSolver;
use chreode_linalg::{Lu, inverse_norm_1, norm_1_dense};
use chreode_solve::{SolveOptions, solve_with_jacobian};

use super::field::SensitiveField;
use super::{Derivatives, Tangent, dense};
use crate::SimulationError;
use crate::model::Start;
use crate::simulate::run::Simulator;
use crate::simulate::steady::{MOST_DOUBLINGS, rests};

/// A Jacobian of a larger condition number, with its rows scaled, counts as singular.
const MOST_CONDITION: f64 = 1e10;

impl Simulator {
    /// The factored Jacobian of a steady state with what its rows were multiplied by; none where it is singular.
    pub(in crate::simulate) fn rest_factors(
        &mut self,
        t: f64,
        at: &Start<f64>,
    ) -> Option<(Lu<f64>, Vec<f64>)> {
        let d = self.model.n_states();
        if d == 0 {
            return None;
        }
        let mut jacobian = dense(self, t, &at.y, &at.p);
        let mut scale = vec![0.0; d];
        for (row, scale) in jacobian.chunks_exact_mut(d).zip(&mut scale) {
            let largest = row.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
            if !(largest > 0.0 && largest.is_finite()) {
                return None;
            }
            *scale = largest.recip();
            row.iter_mut().for_each(|x| *x *= *scale);
        }
        let mut lu = Lu::of(&jacobian, d).ok()?;
        let condition = norm_1_dense(&jacobian, d) * inverse_norm_1(&mut lu, &mut vec![0.0; 2 * d]);
        (condition < MOST_CONDITION).then_some((lu, scale))
    }

    /// The derivatives `[m, d]` of a steady state by the implicit function theorem; none where the Jacobian is singular.
    pub(crate) fn rest_derivative(
        &mut self,
        derivatives: &mut Derivatives,
        t: f64,
        at: &Start<f64>,
        q: &[f64],
        m: usize,
    ) -> Option<Vec<f64>> {
        let d = self.model.n_states();
        if d == 0 {
            return Some(Vec::new());
        }
        let (mut lu, scale) = self.rest_factors(t, at)?;
        derivatives.at(t, &at.y, &at.p);
        let np = at.p.len();
        let mut s = vec![0.0; m * d];
        for (j, s) in s.chunks_exact_mut(d).enumerate() {
            for (k, &dp) in q[j * np..(j + 1) * np].iter().enumerate().filter(|(_, dp)| **dp != 0.0) {
                derivatives.column(d + k).for_each(|(i, x)| s[i] -= x * dp * scale[i]);
            }
            lu.solve(s);
        }
        Some(s)
    }

    /// Adds to `p_bar` what the gradient `bar` with respect to a steady state means for the parameters, by the implicit function theorem;
    /// false where the Jacobian is singular.
    pub(crate) fn rest_pull(
        &mut self,
        derivatives: &mut Derivatives,
        t: f64,
        at: &Start<f64>,
        bar: &[f64],
        p_bar: &mut [f64],
    ) -> bool {
        let d = self.model.n_states();
        if d == 0 || bar.iter().all(|x| *x == 0.0) {
            return true;
        }
        let Some((mut lu, scale)) = self.rest_factors(t, at) else { return false };
        let mut lambda = bar.to_vec();
        lu.solve_transpose(&mut lambda);
        lambda.iter_mut().zip(&scale).for_each(|(x, scale)| *x *= scale);
        derivatives.at(t, &at.y, &at.p);
        for (k, p_bar) in p_bar.iter_mut().enumerate() {
            *p_bar -= derivatives.column(d + k).map(|(i, x)| x * lambda[i]).sum::<f64>();
        }
        true
    }

    /// As [`settle`](Self::settle), with derivatives.
    pub(crate) fn settle_sensitive(
        &mut self,
        derivatives: &mut Derivatives,
        t: f64,
        start: Tangent,
    ) -> Result<Tangent, SimulationError> {
        let m = start.columns();
        let Tangent { y, p, s, q } = start;
        let rested = self.settle(t, Start { y: y.clone(), p: p.clone() })?;
        if let Some(s) = self.rest_derivative(derivatives, t, &rested, &q, m) {
            return Ok(Tangent { y: rested.y, p, s, q });
        }
        let d = y.len();
        let mut z = y;
        z.extend(s);
        let mut horizon = self.first_horizon(t, &z[..d], &p)?;
        let (rtol, atol) = (self.tolerances.rtol, self.absolute_of_run(t, &z[..d], &p, &[t + horizon]));
        let options = SolveOptions { max_steps: self.most_steps, ..SolveOptions::tolerance(rtol, atol) };
        let mut stepper = self.sensitive_stepper(m);
        let (mut passed, mut quiet) = (0.0, 0);
        for _ in 0..MOST_DOUBLINGS {
            let before = z.clone();
            let mut field = SensitiveField::new(&mut self.field, derivatives, &q, m, Some(t));
            let span = (passed, horizon);
            solve_with_jacobian(&mut field, &p, &mut z, span, &mut *stepper, &options, &mut |_, _, _| {})?;
            (passed, horizon) = (horizon, 2.0 * horizon);
            quiet = if rests(&before, &z, rtol, atol) { quiet + 1 } else { 0 };
            if quiet == 2 {
                let s = z.split_off(d);
                return Ok(Tangent { y: z, p, s, q });
            }
        }
        Err(self.not_steady(passed, &z[..d], &p))
    }
}
