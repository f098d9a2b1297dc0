//! The order of convergence that a series of runs shows.

/// Slope of the least-squares line through `(log2 of the step, log2 of the error)`: the observed order.
///
/// Points at the rounding floor, or outside the range where the leading term rules, are the caller's to leave
/// out. NaN for fewer than two different steps.
pub fn observed_order(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let mean = |f: &dyn Fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (mx, my) = (mean(&|p| p.0), mean(&|p| p.1));
    let sxy = mean(&|p| (p.0 - mx) * (p.1 - my));
    let sxx = mean(&|p| (p.0 - mx) * (p.0 - mx));
    sxy / sxx
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slope_of_a_power_law(order in 0.5..9.0_f64, constant in -8.0..8.0_f64) {
            let points: Vec<_> = (1..6).map(|k| (-f64::from(k), constant - order * f64::from(k))).collect();
            prop_assert!((observed_order(&points) - order).abs() < 1e-12);
        }
    }

    #[test]
    fn one_point_has_no_slope() {
        assert!(observed_order(&[(1.0, 2.0)]).is_nan());
    }
}
