//! How well a normal law with the covariance `Σ = g gᵀ` of some Brownian motions describes a second moment `B Bᵀ`:
//! `½ tr(Σ⁻¹ B Bᵀ) + ½ ln det Σ`, with its gradient. With one column, the residual of an increment, it is its negative log-likelihood without
//! `½ d ln 2π`.

use chreode_core::NoiseKind;
use chreode_linalg::Cholesky;

/// What an evaluation leaves. All matrices are stored column by column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gaussian {
    /// Σ, `[d, d]`.
    covariance: Vec<f64>,
    factor: Cholesky,
    /// `Σ⁻¹ B`, `[columns, d]`.
    pub(crate) solved: Vec<f64>,
    /// The gradient to `g`: `(Σ⁻¹ - Σ⁻¹ B Bᵀ Σ⁻¹) g`, `[motions, d]`.
    pub(crate) g_bar: Vec<f64>,
}

/// What an error says of a covariance that is singular.
pub(crate) const SINGULAR: &str = "the noise leaves out a direction: there is no likelihood";

impl Gaussian {
    /// The value for `g`, `[motions, d]`, and `b`, `[columns, d]`; none if Σ is singular.
    pub(crate) fn evaluate(&mut self, d: usize, g: &[f64], b: &[f64]) -> Option<f64> {
        self.covariance.clear();
        self.covariance.resize(d * d, 0.0);
        for g in g.chunks_exact(d) {
            for (row, &by) in self.covariance.chunks_exact_mut(d).zip(g) {
                add(row, by, g);
            }
        }
        self.factor.factor_again(&self.covariance, d).ok()?;
        let factor = &self.factor;
        // A pivot that is rounding of what was there is none.
        let is_rounding =
            |i: usize| factor.l(i, i).powi(2) <= 8.0 * f64::EPSILON * self.covariance[i * d + i];
        if (0..d).any(is_rounding) {
            return None;
        }
        let solve = |from: &[f64], to: &mut Vec<f64>| {
            to.clear();
            to.extend_from_slice(from);
            to.chunks_exact_mut(d).for_each(|column| factor.solve(column));
        };
        solve(b, &mut self.solved);
        solve(g, &mut self.g_bar);
        for (g, g_bar) in g.chunks_exact(d).zip(self.g_bar.chunks_exact_mut(d)) {
            for solved in self.solved.chunks_exact(d) {
                add(g_bar, -dot(solved, g), solved);
            }
        }
        Some(0.5 * dot(b, &self.solved) + 0.5 * factor.ln_det())
    }
}

/// Whether coordinates can have noise in common.
pub(crate) fn is_correlated(kind: NoiseKind) -> bool {
    matches!(kind, NoiseKind::Scalar | NoiseKind::General { .. })
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_testkit::check_gradient;

    fn wave(n: usize, f: f64) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * f + f).sin()).collect()
    }

    /// Two coordinates by hand, and gradients by differences.
    #[test]
    fn values_and_gradients() {
        let mut gaussian = Gaussian::default();
        // Σ = [[4, 2], [2, 5]], det 16; residual (1, 3): Σ⁻¹ r = (-1/16, 10/16).
        let value = gaussian.evaluate(2, &[2.0, 1.0, 0.0, 2.0], &[1.0, 3.0]).unwrap();
        assert!((value - (0.5 * 29.0 / 16.0 + 0.5 * 16.0_f64.ln())).abs() < 1e-14, "{value}");
        assert!((gaussian.solved[0] + 1.0 / 16.0).abs() < 1e-15);
        for (d, motions, columns) in [(3, 5, 1), (4, 4, 4), (1, 1, 1), (2, 3, 2)] {
            let (mut g, b) = (wave(d * motions, 1.7), wave(d * columns, 0.9));
            (0..d).for_each(|i| g[i * d + i] += 2.0);
            gaussian.evaluate(d, &g, &b).unwrap();
            let (g_bar, b_bar) = (gaussian.g_bar.clone(), gaussian.solved.clone());
            let mut again = Gaussian::default();
            check_gradient("g", &g_bar, &g, 1e-7, |g| again.evaluate(d, g, &b).unwrap()).unwrap();
            check_gradient("b", &b_bar, &b, 1e-7, |b| again.evaluate(d, &g, b).unwrap()).unwrap();
        }
    }

    /// One motion for two coordinates, and two that are one.
    #[test]
    fn what_is_singular_has_no_value() {
        let mut gaussian = Gaussian::default();
        assert_eq!(gaussian.evaluate(2, &[1.0, 0.7], &[1.0, 3.0]), None);
        assert_eq!(gaussian.evaluate(2, &[0.1, 0.3, 0.3, 0.9], &[1.0, 3.0]), None);
        assert_eq!(gaussian.evaluate(1, &[f64::NAN], &[1.0]), None);
    }
}
