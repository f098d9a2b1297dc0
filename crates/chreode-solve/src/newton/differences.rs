//! Jacobians by forward differences or by products with them, one evaluation a colour.

use chreode_core::{FieldError, Real, Sparsity};
use chreode_linalg::Coloring;

use crate::rhs::Rhs;

/// Entries of a Jacobian, and the columns that one evaluation can tell apart.
#[derive(Debug, Clone)]
pub(crate) struct Colored {
    pattern: Option<Sparsity>,
    coloring: Coloring,
}

impl Colored {
    /// For a pattern, or for a dense Jacobian of size `d`.
    pub(crate) fn new(pattern: Option<&Sparsity>, d: usize) -> Self {
        let coloring = match pattern {
            Some(pattern) => Coloring::of_columns(pattern),
            None => Coloring::of_columns(&Sparsity::banded(d, d, d)),
        };
        Self { pattern: pattern.cloned(), coloring }
    }

    /// Sets `jac`: `[n, entries]` in the pattern's order, or `[n, d, d]` (row `i`, column `j` of each trajectory). A colour's
    /// columns are perturbed at once, in all trajectories at once; a field with products gives each colour's by one.
    /// `f0` is the field at `(t, y)`; `scale`, `[n, d]`, is the size below which a change of a coordinate means nothing.
    /// Returns the number of evaluations.
    ///
    /// Increments are `sqrt(ε) max(|y|, scale)`, toward where the solution goes (away from it where the field refuses that),
    /// rounded to what the state can hold.
    /// Sources: [HW96] section IV.8, [GMP05] section 2.
    ///
    /// # Errors
    /// The field's.
    pub(crate) fn jacobian<T: Real>(
        &self,
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
        let exact = matches!(f, Rhs::Jvp(_));
        if exact {
            shifted.fill(T::ZERO);
        } else {
            shifted.copy_from_slice(y);
        }
        let mut evals = self.coloring.n_colors() as u64;
        for color in 0..self.coloring.n_colors() {
            let columns = self.coloring.columns(color);
            for &j in columns {
                for k in (j..y.len()).step_by(d) {
                    let size = root * y[k].abs().max(scale[k]);
                    shifted[k] = match (exact, f0[k] < T::ZERO) {
                        (true, _) => T::ONE,
                        (_, true) => y[k] - size,
                        (_, false) => y[k] + size,
                    };
                }
            }
            if let Rhs::Jvp(f) = f {
                f.jvp(t, y, p, shifted, f1)?;
            } else if let Err(error) = f.eval(t, shifted, p, f1) {
                let FieldError::Recoverable { .. } = error else { return Err(error) };
                // The solution lies close to a bound of the field's domain: to the other side.
                for &j in columns {
                    for k in (j..y.len()).step_by(d) {
                        shifted[k] = y[k] - (shifted[k] - y[k]);
                    }
                }
                evals += 1;
                f.eval(t, shifted, p, f1)?;
            }
            for &j in columns {
                for (trajectory, k) in (j..y.len()).step_by(d).enumerate() {
                    let inverse = if exact { T::ONE } else { T::ONE / (shifted[k] - y[k]) };
                    let at = trajectory * d;
                    let entry = |i: usize| {
                        let base = if exact { T::ZERO } else { f0[at + i] };
                        (f1[at + i] - base) * inverse
                    };
                    if let Some(pattern) = &self.pattern {
                        let start = trajectory * pattern.len() + pattern.col_starts()[j];
                        for (value, &i) in jac[start..].iter_mut().zip(pattern.column(j)) {
                            *value = entry(i);
                        }
                    } else {
                        for i in 0..d {
                            jac[(at + i) * d + j] = entry(i);
                        }
                    }
                    shifted[k] = if exact { T::ZERO } else { y[k] };
                }
            }
        }
        Ok(evals)
    }
}
