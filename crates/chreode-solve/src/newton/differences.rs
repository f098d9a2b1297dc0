//! Jacobians by forward differences.

use chreode_core::{FieldError, Real};

use crate::rhs::Rhs;

/// Sets dense `jac`, `[n, d, d]` (row `i`, column `j` of each trajectory), by one evaluation a column: a column is
/// perturbed in all trajectories at once. `f0` is the field at `(t, y)`; `scale`, `[n, d]`, is the size below which a change of
/// a coordinate means nothing. Returns the number of evaluations.
///
/// Increments are `sqrt(ε) max(|y|, scale)`, toward where the solution goes (away from it where the field refuses that), rounded to
/// what the state can hold.
/// Source: [HW96] section IV.8.
///
/// # Errors
/// The field's.
pub(crate) fn dense_differences<T: Real>(
    f: &mut Rhs<'_, T>,
    t: f64,
    y: &[T],
    p: &[T],
    f0: &[T],
    scale: &[T],
    shifted: &mut [T],
    f1: &mut [T],
    jac: &mut [T],
) -> Result<u64, FieldError> {
    let d = f.dim();
    let root = T::EPSILON.sqrt();
    let mut evals = d as u64;
    shifted.copy_from_slice(y);
    for j in 0..d {
        for k in (j..y.len()).step_by(d) {
            let size = root * y[k].abs().max(scale[k]);
            shifted[k] = y[k] + if f0[k] < T::ZERO { -size } else { size };
        }
        match f.eval(t, shifted, p, f1) {
            Err(FieldError::Recoverable { .. }) => {
                // The solution lies close to a bound of the field's domain: to the other side.
                for k in (j..y.len()).step_by(d) {
                    shifted[k] = y[k] - (shifted[k] - y[k]);
                }
                evals += 1;
                f.eval(t, shifted, p, f1)?;
            }
            done => done?,
        }
        for (row, k) in (j..y.len()).step_by(d).enumerate() {
            let inverse = T::ONE / (shifted[k] - y[k]);
            for i in 0..d {
                let at = row * d + i;
                jac[at * d + j] = (f1[at] - f0[at]) * inverse;
            }
            shifted[k] = y[k];
        }
    }
    Ok(evals)
}
