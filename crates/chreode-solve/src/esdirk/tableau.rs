//! The coefficients of a diagonally implicit method with an explicit first stage, as plain data.

use crate::erk::tableau::MAX_STAGES;

/// An ESDIRK method: `M k_i = f(t + c_i h, y + h Σ_j a_ij k_j)`, `j` up to `i`, where the first stage is the derivative at the
/// step's start, all others have the same diagonal element, and the last one is the step's end (stiffly accurate).
///
/// A method of your own is a `const` of this type; follow it with `const _: () = assert!(MINE.is_consistent());`, since
/// [`Esdirk`](crate::Esdirk) relies on its shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EsdirkTableau {
    /// Name, for messages.
    pub name: &'static str,
    /// Order of the solution.
    pub order: u32,
    /// Order of the embedded solution.
    pub embedded_order: u32,
    /// The diagonal element of all stages but the first.
    pub gamma: f64,
    /// What stands before the diagonal: stage `i` has `i` entries.
    pub a: &'static [&'static [f64]],
    /// Weights of the error estimate, `b - b̂`, where `b` is the last row of the full matrix.
    pub b_err: &'static [f64],
    /// Nodes.
    pub c: &'static [f64],
    /// The state at `t + θ h` is `y + h Σ_i b_i(θ) k_i`; row `i` holds the coefficients of `θ, θ², ..` in `b_i`.
    pub dense: &'static [&'static [f64]],
}

impl EsdirkTableau {
    /// Number of stages.
    pub const fn stages(&self) -> usize {
        self.c.len()
    }

    /// Whether there are 3 to 32 stages, shapes agree, rows of `a` sum to `c` with different nodes, the error estimate sums to
    /// zero, and the dense output ends in the solution.
    pub const fn is_consistent(&self) -> bool {
        let s = self.stages();
        let shapes = s >= 3
            && s <= MAX_STAGES
            && self.gamma > 0.0
            && self.embedded_order > 0
            && self.embedded_order < self.order
            && self.a.len() == s
            && self.b_err.len() == s
            && self.dense.len() == s
            && self.c[0] == 0.0
            && self.c[s - 1] == 1.0;
        if !shapes || !near(sum(self.b_err), 0.0) {
            return false;
        }
        let mut i = 0;
        while i < s {
            let diagonal = if i == 0 { 0.0 } else { self.gamma };
            if self.a[i].len() != i || !near(sum(self.a[i]) + diagonal, self.c[i]) {
                return false;
            }
            i += 1;
        }
        i = 0;
        while i < s {
            let b = if i + 1 < s { self.a[s - 1][i] } else { self.gamma };
            if !near(sum(self.dense[i]), b) {
                return false;
            }
            let mut j = 0;
            while j < i {
                if near(self.c[i], self.c[j]) {
                    return false;
                }
                j += 1;
            }
            i += 1;
        }
        true
    }
}

const fn near(x: f64, y: f64) -> bool {
    (x - y).abs() < 1e-12
}

const fn sum(x: &[f64]) -> f64 {
    let (mut s, mut i) = (0.0, 0);
    while i < x.len() {
        s += x[i];
        i += 1;
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KENCARP4;

    #[test]
    fn a_typo_is_inconsistent() {
        assert!(KENCARP4.is_consistent());
        let wrong = [
            EsdirkTableau { gamma: 0.26, ..KENCARP4 },
            EsdirkTableau { b_err: &[0.1; 6], ..KENCARP4 },
            EsdirkTableau { c: &[0.0, 0.5, 0.33, 0.62, 0.85, 1.0], ..KENCARP4 },
            EsdirkTableau { c: &[0.0, 1.0], ..KENCARP4 },
            EsdirkTableau { a: &[&[], &[0.25]], ..KENCARP4 },
            EsdirkTableau { dense: &[&[1.0_f64] as &[f64]; 6], ..KENCARP4 },
            EsdirkTableau { embedded_order: 4, ..KENCARP4 },
        ];
        for (i, tableau) in wrong.iter().enumerate() {
            assert!(!tableau.is_consistent(), "{i}");
        }
    }
}
