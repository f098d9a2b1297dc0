//! Clipping by the global norm.

use chreode_core::Real;

/// Scales `gradient` down to Euclidean norm `max_norm` if it is longer; returns the norm it had.
///
/// As PyTorch's `clip_grad_norm_`: the factor is `max_norm / (norm + 1e-6)`. `max_norm = ∞` only measures. A
/// gradient that is not finite is left as it is, and its norm is returned: infinite or NaN.
pub fn clip_global_norm<T: Real>(gradient: &mut [T], max_norm: f64) -> f64 {
    let norm = gradient.iter().map(|g| g.f64() * g.f64()).sum::<f64>().sqrt();
    if norm.is_finite() && norm > max_norm {
        let factor = T::c(max_norm / (norm + 1e-6));
        for g in gradient.iter_mut() {
            *g *= factor;
        }
    }
    norm
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keeps_direction_and_bounds_length(g in proptest::collection::vec(-5.0..5.0_f64, 1..20), max in 0.1..4.0_f64) {
            let mut clipped = g.clone();
            let norm = clip_global_norm(&mut clipped, max);
            let after = clipped.iter().map(|v| v * v).sum::<f64>().sqrt();
            prop_assert!(after <= max.min(norm) * (1.0 + 1e-12));
            if norm <= max {
                prop_assert_eq!(&clipped, &g);
            } else {
                prop_assert!((after - max).abs() < 1e-4);
                for (c, g) in clipped.iter().zip(&g) {
                    prop_assert!((c * norm - g * after).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn reports_what_is_not_finite() {
        let mut g = [1.0, f64::NAN];
        assert!(clip_global_norm(&mut g, 0.5).is_nan());
        assert_eq!(g[0], 1.0);
    }
}
