//! Step size from the error norm.

/// A PI controller: the next step is the last times `safety · err^(-alpha/k) · err_prev^(beta/k)`, where the
/// error scales with `h^k`. Source: [HW96] section IV.2.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PiController {
    /// Aims below the tolerance.
    pub safety: f64,
    /// Smallest factor.
    pub min_factor: f64,
    /// Largest factor.
    pub max_factor: f64,
    /// Weight of the last error (integral and proportional part).
    pub alpha: f64,
    /// Weight of the error before (proportional part).
    pub beta: f64,
}

impl Default for PiController {
    /// Safety 0.9, factors in 0.2..10, `alpha` 0.7, `beta` 0.4.
    fn default() -> Self {
        Self { safety: 0.9, min_factor: 0.2, max_factor: 10.0, alpha: 0.7, beta: 0.4 }
    }
}

impl PiController {
    /// Factor after an accepted step; `grow` is false after a rejection, which forbids growth.
    pub(crate) fn accepted(&self, err: f64, err_prev: f64, k: f64, grow: bool) -> f64 {
        let factor = self.safety * err.powf(-self.alpha / k) * err_prev.powf(self.beta / k);
        // An error of zero gives infinity (or NaN with an earlier one of zero): the largest factor.
        let most = if grow { self.max_factor } else { 1.0 };
        if factor.is_nan() { most } else { factor.clamp(self.min_factor, most) }
    }

    /// Factor after a rejected step with `err > 1`, or NaN.
    pub(crate) fn rejected(&self, err: f64, k: f64) -> f64 {
        let factor = self.safety * err.powf(-1.0 / k);
        if factor.is_nan() { self.min_factor } else { factor.max(self.min_factor) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn factors_stay_in_bounds(err in 0.0..1.0_f64, prev in 0.0..1.0_f64, over in 1.0..1e300_f64, k in 1.0..9.0_f64) {
            let c = PiController::default();
            for grow in [false, true] {
                let f = c.accepted(err, prev, k, grow);
                let most = if grow { 10.0 } else { 1.0 };
                prop_assert!(f >= 0.2 && f <= most, "{}", f);
            }
            let f = c.rejected(over * 1.000001, k);
            prop_assert!((0.2..0.9).contains(&f), "{f}");
        }
    }

    #[test]
    fn extremes() {
        let c = PiController::default();
        assert_eq!(c.accepted(0.0, 0.0, 5.0, true), 10.0);
        assert_eq!(c.accepted(0.0, 1.0, 5.0, false), 1.0);
        assert_eq!(c.rejected(f64::NAN, 5.0), 0.2);
        assert_eq!(c.rejected(f64::INFINITY, 5.0), 0.2);
    }
}
