//! Weighted clouds of points and their normalised weights.

use super::error::{LossError, check_len};
use chreode_core::Real;

/// A weighted cloud of points. Weights are given as logarithms and need not be normalised.
#[derive(Debug, Clone, Copy)]
pub struct Cloud<'a, T> {
    /// The points, `[n, d]`.
    pub states: &'a [T],
    /// Logarithms of the weights, `[n]`; empty for equal weights.
    pub log_weights: &'a [T],
    /// The cell from which each point stems, `[n]`, by any numbers; empty if no two points stem from one cell.
    ///
    /// Paths that start at one cell are not independent of each other. The unbiased energy distance leaves their
    /// pairs out; the other losses compare the clouds as they are, and ignore it.
    pub origins: &'a [u32],
}

impl<'a, T> Cloud<'a, T> {
    /// A cloud whose points weigh the same.
    pub fn equal(states: &'a [T]) -> Self {
        Self::weighted(states, &[])
    }

    /// A cloud with the logarithms of its weights.
    pub fn weighted(states: &'a [T], log_weights: &'a [T]) -> Self {
        Self { states, log_weights, origins: &[] }
    }
}

/// Where a loss puts its gradient to a [`Cloud`]; both are set, not added to.
#[derive(Debug)]
pub struct CloudBar<'a, T> {
    /// Gradient to the points, `[n, d]`.
    pub states: &'a mut [T],
    /// Gradient to the log-weights, `[n]`; empty if it is not wanted.
    pub log_weights: &'a mut [T],
}

/// Sets `weights` to `exp(log_weights)`, scaled to sum to one; equal weights if `log_weights` is empty.
///
/// # Errors
/// [`LossError::NonFinite`] if a log-weight is NaN or infinite, [`LossError::Length`] if the lengths differ.
pub fn normalise_log_weights<T: Real>(log_weights: &[T], weights: &mut [T]) -> Result<(), LossError> {
    if log_weights.is_empty() {
        weights.fill(T::c(1.0 / weights.len().max(1) as f64));
        return Ok(());
    }
    check_len("log-weights", log_weights.len(), weights.len())?;
    if let Some(row) = log_weights.iter().position(|w| !w.is_finite()) {
        return Err(LossError::NonFinite { what: "log-weights", row });
    }
    let max = log_weights.iter().fold(log_weights[0], |m, &w| m.max(w));
    let mut sum = 0.0;
    for (a, &w) in weights.iter_mut().zip(log_weights) {
        *a = (w - max).exp();
        sum += a.f64();
    }
    let scale = T::c(1.0 / sum); // sum >= 1: the largest term is exp(0)
    for a in weights {
        *a *= scale;
    }
    Ok(())
}

/// Turns the gradient to normalised weights, in place, into the gradient to their logarithms:
/// `a_i (ā_i - Σ_k a_k ā_k)`.
pub fn normalise_log_weights_vjp<T: Real>(weights: &[T], bar: &mut [T]) {
    let mean: f64 = weights.iter().zip(&*bar).map(|(a, b)| a.f64() * b.f64()).sum();
    for (b, &a) in bar.iter_mut().zip(weights) {
        *b = a * (*b - T::c(mean));
    }
}

/// Effective sample size `(Σ w)² / Σ w²` of log-weights: how many equal cells carry as much information [Kish65].
///
/// `n` for equal weights, 1 when one cell carries all; 0 for an empty slice; NaN if a log-weight is NaN.
pub fn effective_sample_size<T: Real>(log_weights: &[T]) -> f64 {
    if log_weights.is_empty() {
        return 0.0;
    }
    let max = log_weights.iter().fold(f64::NEG_INFINITY, |m, w| m.max(w.f64()));
    let (mut s1, mut s2) = (0.0, 0.0);
    for w in log_weights {
        let w = (w.f64() - max).exp();
        s1 += w;
        s2 += w * w;
    }
    s1 * s1 / s2
}

/// Copies of two clouds as the losses need them: lengths checked, weights normalised.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weights<T> {
    pub(crate) a: Vec<T>,
    pub(crate) b: Vec<T>,
}

impl<T: Real> Weights<T> {
    /// Checks shapes and sets both weights; returns the numbers of points.
    pub(crate) fn set(
        &mut self,
        d: usize,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
    ) -> Result<(usize, usize), LossError> {
        let (n, m) = (x.states.len() / d, y.states.len() / d);
        for (what, rows) in [("simulated", n), ("observed", m)] {
            if rows == 0 {
                return Err(LossError::Empty { what });
            }
        }
        check_len("simulated states", x.states.len(), n.max(1) * d)?;
        check_len("observed states", y.states.len(), m.max(1) * d)?;
        self.a.resize(n, T::ZERO);
        self.b.resize(m, T::ZERO);
        normalise_log_weights(x.log_weights, &mut self.a)?;
        normalise_log_weights(y.log_weights, &mut self.b)?;
        for (what, origins, n) in [("simulated origins", x.origins, n), ("observed origins", y.origins, m)] {
            if !origins.is_empty() {
                check_len(what, origins.len(), n)?;
            }
        }
        Ok((n, m))
    }
}

/// The error that says why a loss came out as `value`, if it is not finite.
pub(crate) fn check_finite<T: Real>(
    value: f64,
    d: usize,
    x: &[T],
    y: &[T],
    bar: &[T],
) -> Result<(), LossError> {
    if value.is_finite() && bar.iter().all(|g| g.is_finite()) {
        return Ok(());
    }
    for (what, states) in [("simulated states", x), ("observed states", y)] {
        if let Some(i) = states.iter().position(|v| !v.is_finite()) {
            return Err(LossError::NonFinite { what, row: i / d });
        }
    }
    Err(LossError::Overflow { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn weights_sum_to_one_and_ignore_a_shift(w in proptest::collection::vec(-30.0..30.0_f64, 1..20), shift in -500.0..500.0_f64) {
            let (mut a, mut b) = (vec![0.0; w.len()], vec![0.0; w.len()]);
            normalise_log_weights(&w, &mut a).unwrap();
            let moved: Vec<f64> = w.iter().map(|v| v + shift).collect();
            normalise_log_weights(&moved, &mut b).unwrap();
            prop_assert!((a.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            for (p, q) in a.iter().zip(&b) {
                prop_assert!((p - q).abs() < 1e-9);
            }
            let ess = effective_sample_size(&w);
            prop_assert!((ess - 1.0 / a.iter().map(|p| p * p).sum::<f64>()).abs() < 1e-9 * ess);
            prop_assert!(ess > 1.0 - 1e-9 && ess < w.len() as f64 + 1e-9);
        }

        #[test]
        fn vjp_is_the_derivative(w in proptest::collection::vec(-2.0..2.0_f64, 2..8), seed in 0.1..3.0_f64) {
            let c: Vec<f64> = (0..w.len()).map(|i| (seed * i as f64).sin()).collect();
            let f = |w: &[f64]| {
                let mut a = vec![0.0; w.len()];
                normalise_log_weights(w, &mut a).unwrap();
                a.iter().zip(&c).map(|(a, c)| a * c).sum::<f64>()
            };
            let mut a = vec![0.0; w.len()];
            normalise_log_weights(&w, &mut a).unwrap();
            let mut bar = c.clone();
            normalise_log_weights_vjp(&a, &mut bar);
            for i in 0..w.len() {
                let (mut hi, mut lo) = (w.clone(), w.clone());
                hi[i] += 1e-5;
                lo[i] -= 1e-5;
                prop_assert!((bar[i] - (f(&hi) - f(&lo)) / 2e-5).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn non_finite_log_weights_are_named() {
        let mut a = [0.0; 3];
        let got = normalise_log_weights(&[0.0, f64::NAN, 1.0], &mut a);
        assert_eq!(got, Err(LossError::NonFinite { what: "log-weights", row: 1 }));
    }
}
