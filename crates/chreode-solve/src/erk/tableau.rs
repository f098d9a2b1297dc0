//! The coefficients of an explicit Runge-Kutta method, as plain data.

use chreode_core::Real;

use super::combine::Gathered;
use super::dense_output::dense_weight;

/// Most stages, those of the dense output included: their weights are kept on the stack.
pub(crate) const MAX_STAGES: usize = 32;

/// A Butcher tableau: `k_i = f(t + c_i h, y + h Σ_j a_ij k_j)`, `y₁ = y + h Σ_i b_i k_i`.
///
/// A method of your own is a `const` of this type; follow it with
/// `const _: () = assert!(MINE.is_consistent());`, since [`Erk`](crate::Erk) relies on its shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ErkTableau {
    /// Name, for messages.
    pub name: &'static str,
    /// Order of `b`.
    pub order: u32,
    /// Order of the embedded solution `b - b_err`; 0 if there is none.
    pub embedded_order: u32,
    /// First same as last: the last stage is `f(t + h, y₁)`, the next step's first.
    pub fsal: bool,
    /// Stage `i` has `i` entries.
    pub a: &'static [&'static [f64]],
    /// Weights of the solution.
    pub b: &'static [f64],
    /// Weights of the error estimate, `b - b̂`; empty if there is none.
    pub b_err: &'static [f64],
    /// Order and weights of a second, lower error estimate `e`. The two norms are then combined to
    /// `|b_err|² / √(|b_err|² + 0.01 |e|²)`, which is of higher order than either: [HNW93] section II.10.
    pub lower: Option<(u32, &'static [f64])>,
    /// Nodes.
    pub c: &'static [f64],
    /// States inside a step.
    pub dense: DenseOutput,
}

/// How a method gives the state at `t + θ h`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum DenseOutput {
    /// Cubic Hermite polynomial through both ends and their derivatives: local error `O(h⁴)`.
    Hermite,
    /// `y + h Σ_i b_i(θ) k_i`; row `i` holds the coefficients of `θ, θ², ..` in `b_i`.
    Weights(&'static [&'static [f64]]),
    /// The same with more stages, which are evaluated in those steps alone where a state inside is asked for.
    ///
    /// Rows are the stages, the derivative at the step's end, then these stages.
    Extended {
        /// Weights of the rows before it, for each further stage.
        a: &'static [&'static [f64]],
        /// Their nodes.
        c: &'static [f64],
        /// Row `i` holds the coefficients of `1, s, s², ..` in `b_i(θ) / θ`, where `s = 2θ - 1`. Powers of `θ`
        /// itself would have coefficients up to a thousand times as large, and lose as many digits.
        weights: &'static [&'static [f64]],
    },
}

const fn near(x: f64, y: f64) -> bool {
    (x - y).abs() < 1e-13 * (1.0 + y.abs())
}

const fn sum(x: &[f64]) -> f64 {
    let (mut s, mut i) = (0.0, 0);
    while i < x.len() {
        s += x[i];
        i += 1;
    }
    s
}

impl ErkTableau {
    /// Number of stages.
    pub const fn stages(&self) -> usize {
        self.b.len()
    }

    /// Row of the derivative at the step's end, after the stages; the last stage is it if FSAL.
    pub const fn last_row(&self) -> usize {
        self.stages() - self.fsal as usize
    }

    /// Weights of the stages that dense output adds.
    pub(super) const fn dense_stages(&self) -> &'static [&'static [f64]] {
        if let DenseOutput::Extended { a, .. } = self.dense { a } else { &[] }
    }

    /// Number of rows of `k`: stages, the step's end, the stages of the dense output.
    pub const fn rows(&self) -> usize {
        self.last_row() + 1 + self.dense_stages().len()
    }

    /// The power of `h` that the error estimate scales with; `None` without one.
    pub const fn error_order(&self) -> Option<u32> {
        let first = if self.order < self.embedded_order { self.order } else { self.embedded_order } + 1;
        match self.lower {
            _ if self.embedded_order == 0 => None,
            Some((order, _)) => Some(2 * first - (order + 1)),
            None => Some(first),
        }
    }

    /// When stage `i` of a step from `t` to `t_end` is evaluated; exactly `t_end` if its node is one. Row
    /// [`stages`](Self::stages), one past the last, is the step's end.
    #[inline(always)]
    pub fn stage_time(&self, i: usize, t: f64, t_end: f64) -> f64 {
        let c = if i < self.stages() { self.c[i] } else { 1.0 };
        if c == 1.0 { t_end } else { t + c * (t_end - t) }
    }

    /// Weights of the stages before it in the input of stage `i`; those of the solution for row
    /// [`stages`](Self::stages), one past the last.
    #[inline(always)]
    pub const fn stage_weights(&self, i: usize) -> &'static [f64] {
        if i < self.stages() { self.a[i] } else { self.b }
    }

    /// Sets `input = y + h Σ_j a_ij k_j`, where stage `i` is evaluated, with the bits of the forward step.
    ///
    /// # Shapes
    /// `y`, `input`: `[n, d]`; `k`: stages `0..i` as rows of that length.
    #[inline]
    pub fn stage_input<T: Real>(&self, i: usize, h: f64, y: &[T], k: &[T], input: &mut [T]) {
        Gathered::new(self.stage_weights(i).iter().copied()).terms().sum(Some(y), h, k, input);
    }

    /// Weight `b_i(θ)` of row `i` of [`rows`](Self::rows) in the state `y + h Σ_i b_i(θ) k_i` that dense output gives at `t + θ h`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn dense_weight(&self, i: usize, theta: f64) -> f64 {
        assert!(i < self.rows(), "row {i} of {}", self.rows());
        dense_weight(self, i, theta)
    }

    /// Whether there are at most 32 stages, those of the dense output included, shapes agree, rows of `a` sum to `c`,
    /// `b` to one, estimates of the error to zero, the last row of an FSAL method is `b`, and the dense output ends
    /// in `b`.
    pub const fn is_consistent(&self) -> bool {
        let s = self.b.len();
        if s == 0 || s > MAX_STAGES || self.a.len() != s || self.c.len() != s || !near(sum(self.b), 1.0) {
            return false;
        }
        let has_error = !self.b_err.is_empty();
        if has_error != (self.embedded_order > 0) || has_error && self.b_err.len() != s {
            return false;
        }
        if let Some((order, lower)) = self.lower
            && (lower.len() != s || !near(sum(lower), 0.0) || order > self.embedded_order)
        {
            return false;
        }
        if !near(sum(self.b_err), 0.0) {
            return false;
        }
        let mut i = 0;
        while i < s {
            if self.a[i].len() != i || !near(sum(self.a[i]), self.c[i]) {
                return false;
            }
            if self.fsal && i + 1 < s && self.a[s - 1][i] != self.b[i] {
                return false;
            }
            i += 1;
        }
        if self.fsal && (s == 1 || self.b[s - 1] != 0.0 || self.c[s - 1] != 1.0) {
            return false;
        }
        self.dense_is_consistent()
    }

    const fn dense_is_consistent(&self) -> bool {
        let s = self.b.len();
        let (rows, weights) = match self.dense {
            DenseOutput::Hermite => return true,
            DenseOutput::Weights(weights) => (s, weights),
            DenseOutput::Extended { a, c, weights } => {
                let first = self.last_row() + 1;
                if first + a.len() > MAX_STAGES || a.len() != c.len() {
                    return false;
                }
                let mut i = 0;
                while i < a.len() {
                    if a[i].len() != first + i || !near(sum(a[i]), c[i]) {
                        return false;
                    }
                    i += 1;
                }
                (first + a.len(), weights)
            }
        };
        if weights.len() != rows {
            return false;
        }
        let mut i = 0;
        while i < rows {
            // At θ = 1, s is one too.
            if !near(sum(weights[i]), if i < s { self.b[i] } else { 0.0 }) {
                return false;
            }
            i += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ALL_ERK, DOP853, TSIT5, VERN7};

    #[test]
    fn a_typo_is_inconsistent() {
        assert!(ALL_ERK.iter().all(|m| m.is_consistent()));
        let wrong = [
            ErkTableau { b: &[1.0; 7], ..TSIT5 },
            ErkTableau { b_err: &[0.1; 7], ..TSIT5 },
            ErkTableau { c: &[0.0, 0.161, 0.327, 0.9, 0.98, 1.0, 1.0], ..TSIT5 },
            ErkTableau { a: &[&[], &[0.161]], ..TSIT5 },
            ErkTableau { embedded_order: 0, ..TSIT5 },
            ErkTableau { dense: DenseOutput::Weights(&[&[1.0_f64] as &[f64]; 7]), ..TSIT5 },
            ErkTableau { lower: Some((3, &[0.1; 12])), ..DOP853 },
            ErkTableau { lower: Some((6, DOP853.b_err)), ..DOP853 },
            ErkTableau { dense: DOP853.dense, ..VERN7 },
            ErkTableau { dense: DenseOutput::Extended { a: &[], c: &[], weights: &[] }, ..VERN7 },
            ErkTableau { fsal: true, ..crate::RK4 },
            ErkTableau { b: &[], a: &[], c: &[], b_err: &[], embedded_order: 0, ..TSIT5 },
        ];
        for (i, tableau) in wrong.iter().enumerate() {
            assert!(!tableau.is_consistent(), "{i}");
        }
    }
}
