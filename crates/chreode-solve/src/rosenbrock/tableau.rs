//! The coefficients of a Rosenbrock method, as plain data.

use crate::erk::tableau::MAX_STAGES;

/// A Rosenbrock method in the form that needs no products with the Jacobian [HW96, section IV.7]:
///
/// `(M/(hγ) - J) u_i = f(t + c_i h, y + Σ_j a_ij u_j) + M Σ_j (coupling_ij / h) u_j + h d_i ∂f/∂t`, `y₁ = y + Σ_i m_i u_i`.
///
/// A method of your own is a `const` of this type; follow it with `const _: () = assert!(MINE.is_consistent());`, since
/// [`Rosenbrock`](crate::Rosenbrock) relies on its shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RosenbrockTableau {
    /// Name, for messages.
    pub name: &'static str,
    /// Order of `m`.
    pub order: u32,
    /// Order of the embedded solution `m - m_err`.
    pub embedded_order: u32,
    /// The diagonal element that all stages share.
    pub gamma: f64,
    /// Stage `i` has `i` entries.
    pub a: &'static [&'static [f64]],
    /// Stage `i` has `i` entries.
    pub coupling: &'static [&'static [f64]],
    /// Weights of the solution.
    pub m: &'static [f64],
    /// Weights of the error estimate.
    pub m_err: &'static [f64],
    /// Nodes.
    pub c: &'static [f64],
    /// Weights of `h ∂f/∂t`.
    pub d: &'static [f64],
    /// Rows `q_1, q_2, ..` of the dense output: the state at `t + θ h` is
    /// `y + θ Σ_i (m_i + (1 - θ) (q_1i + θ q_2i + θ² q_3i + ..)) u_i`.
    pub dense: &'static [&'static [f64]],
}

impl RosenbrockTableau {
    /// Number of stages.
    pub const fn stages(&self) -> usize {
        self.m.len()
    }

    /// Whether there are at most 32 stages, shapes agree, nodes and `d` are what `a`, `coupling` and `gamma` make them, the
    /// solution is of order 1 and the error estimate of order 0 at least.
    pub const fn is_consistent(&self) -> bool {
        let s = self.stages();
        let mut ok = s >= 1
            && s <= MAX_STAGES
            && self.gamma > 0.0
            && self.embedded_order > 0
            && self.embedded_order < self.order
            && self.a.len() == s
            && self.coupling.len() == s
            && self.m_err.len() == s
            && self.c.len() == s
            && self.d.len() == s;
        let mut i = 0;
        while ok && i < s {
            ok = self.a[i].len() == i && self.coupling[i].len() == i;
            i += 1;
        }
        i = 0;
        while ok && i < self.dense.len() {
            ok = self.dense[i].len() == s;
            i += 1;
        }
        if !ok {
            return false;
        }
        // For `y' = 1`: `u_i = γ (h + Σ_j coupling_ij u_j) = h d_i`, and `c_i h = Σ_j a_ij u_j`.
        i = 0;
        while i < s {
            ok = ok
                && near(self.gamma * (1.0 + dot(self.coupling[i], self.d)), self.d[i])
                && near(dot(self.a[i], self.d), self.c[i]);
            i += 1;
        }
        ok && near(dot(self.m, self.d), 1.0) && near(dot(self.m_err, self.d), 0.0)
    }
}

/// Coefficients are up to a few hundred, with sixteen digits.
const fn near(x: f64, y: f64) -> bool {
    (x - y).abs() < 1e-12
}

const fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (mut s, mut i) = (0.0, 0);
    while i < a.len() {
        s += a[i] * b[i];
        i += 1;
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RODAS5P;

    #[test]
    fn a_typo_is_inconsistent() {
        assert!(RODAS5P.is_consistent());
        let wrong = [
            RosenbrockTableau { m: &[1.0; 8], ..RODAS5P },
            RosenbrockTableau { m_err: &[0.1; 8], ..RODAS5P },
            RosenbrockTableau { gamma: 0.2, ..RODAS5P },
            RosenbrockTableau { c: &[0.0, 0.6, 0.4, 0.9, 0.4, 1.0, 1.0, 1.0], ..RODAS5P },
            RosenbrockTableau { d: &[RODAS5P.gamma, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], ..RODAS5P },
            RosenbrockTableau { a: RODAS5P.coupling, ..RODAS5P },
            RosenbrockTableau { coupling: &[&[], &[1.0]], ..RODAS5P },
            RosenbrockTableau { dense: &[&[0.0; 3]], ..RODAS5P },
            RosenbrockTableau { embedded_order: 0, ..RODAS5P },
        ];
        for (i, tableau) in wrong.iter().enumerate() {
            assert!(!tableau.is_consistent(), "{i}");
        }
    }
}
