//! The error estimate of a Radau step, and what it says of the next step's length.

use chreode_core::{FieldError, Real};

use super::super::coefficients::Coefficients;
use super::newton::max_iterations;
use super::stages::{rows, rows_mut};
use super::{RATE_TO_KEEP, RadauSteps};
use crate::rhs::Rhs;

/// As [`RATE_TO_KEEP`], where a factorisation costs much more than an iteration.
const RATE_TO_KEEP_DEAR: f64 = 0.1;
const SAFETY: f64 = 0.9;
/// The next step is at most so much longer, and at least so much of the last one.
const MOST_FACTOR: f64 = 8.0;
const LEAST_FACTOR: f64 = 0.2;
/// A step would change by a factor within these bounds: it keeps its length, and the factorisations.
const NOT_WORTH: [f64; 2] = [1.0, 1.2];
const NOT_WORTH_DEAR: [f64; 2] = [0.9, 1.5];

impl<T: Real, const LEAST: usize, const MOST: usize> RadauSteps<T, LEAST, MOST> {
    /// The error estimate `(γ/h M - J)⁻¹ (f(t, y) + M Σ E_i Z_i / h)`; after a rejection, or on the first step, once more from
    /// where it points to.
    #[inline(always)]
    pub(super) fn error<const S: usize, const N: usize>(
        &mut self,
        table: &Coefficients<S>,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
    ) -> Result<f64, FieldError> {
        let nd = self.length::<N>();
        let e = table.e.map(|e| T::c(e / h));
        let z: [&[T]; S] = rows(&self.z, 0..nd);
        // `dw` is free after the Newton iteration.
        let [base, err, stage] = rows_mut(&mut self.dw, 0..nd);
        for j in 0..nd {
            base[j] = e[0] * z[0][j];
            for i in 1..S {
                base[j] += e[i] * z[i][j];
            }
        }
        if self.linear.has_mass() {
            stage.copy_from_slice(base);
            self.linear.apply_mass(stage, base);
        }
        let f0 = &self.f0[..nd];
        for j in 0..nd {
            err[j] = base[j] + f0[j];
        }
        self.linear.solve(err);
        let mut size = self.weights.norm(err);
        if size >= 1.0 && (self.last_h == 0.0 || self.rejected) {
            for j in 0..nd {
                stage[j] = y[j] + err[j];
            }
            self.work.evals += 1;
            f.eval(t, stage, p, err)?;
            for j in 0..nd {
                err[j] += base[j];
            }
            self.linear.solve(err);
            let second = self.weights.norm(err);
            // Where it points to, the field may be undefined: the first estimate then stands.
            size = if second.is_nan() { size } else { second };
        }
        Ok(if size.is_nan() { size } else { size.max(1e-10) })
    }

    pub(super) fn rate_to_keep(&self) -> f64 {
        if self.linear.is_dear() { RATE_TO_KEEP_DEAR } else { RATE_TO_KEEP }
    }

    /// Step-size control: the classical factor and the predictive one of Gustafsson, the smaller.
    pub(super) fn control<const S: usize>(&mut self, h: f64, err: f64) {
        let most = f64::from(2 * max_iterations(S));
        let safety = SAFETY.min(SAFETY * (1.0 + most) / (f64::from(self.iterations) + most));
        let mut factor = (safety / root::<S>(err)).clamp(LEAST_FACTOR, MOST_FACTOR);
        if err <= 1.0 {
            if self.last_h != 0.0 && self.last_stages == S {
                let change = root::<S>(self.error_before / (err * err));
                let predicted = SAFETY * (h / self.last_h).abs() * change;
                factor = factor.min(predicted.clamp(LEAST_FACTOR, MOST_FACTOR));
            }
            if self.rejected {
                factor = factor.min(1.0);
            }
            let [least, most] = if self.linear.is_dear() { NOT_WORTH_DEAR } else { NOT_WORTH };
            if (least..most).contains(&factor) && self.rate <= self.rate_to_keep() {
                factor = 1.0;
            }
        } else if self.last_h == 0.0 {
            factor = factor.min(0.1);
        }
        self.next_factor = factor;
    }
}

/// What an error of `x` changes a step by: the root of order `S + 1`.
fn root<const S: usize>(x: f64) -> f64 {
    if S == 3 { x.sqrt().sqrt() } else { x.powf(1.0 / (S as f64 + 1.0)) }
}

/// The tolerances, `(rtol, atol)`, that the error estimate of order `S` is held to.
pub(super) fn tolerance_of_estimate<const S: usize>(rtol: f64, atol: f64) -> (f64, f64) {
    if rtol > 0.0 {
        let inner = 0.1 * rtol.powf((S as f64 + 1.0) / (2.0 * S as f64));
        (inner, inner * atol / rtol)
    } else {
        (0.0, atol)
    }
}
