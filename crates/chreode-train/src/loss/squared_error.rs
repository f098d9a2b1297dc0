//! Squared error of a measured series.

use super::error::{LossError, check_len};
use chreode_core::Real;

/// Mean of `((x - y) / sd)²` over the observed values, and its gradient to `x`.
///
/// NaN in `observed` marks a value that was not measured: it counts for nothing.
///
/// # Shapes
/// `predicted`, `observed`, `bar` (set): the same length; `sd`, the standard deviation of the measurement in
/// the units of the values: that length, or one value for all.
/// # Errors
/// [`LossError::Length`] if lengths differ; [`LossError::NonFinite`] if a prediction is not finite where it was
/// observed, with `row` its index; [`LossError::Setting`] if an `sd` is not above zero or nothing was observed.
pub fn squared_error<T: Real>(
    predicted: &[T],
    observed: &[T],
    sd: &[T],
    bar: &mut [T],
) -> Result<f64, LossError> {
    check_len("observed", observed.len(), predicted.len())?;
    check_len("bar", bar.len(), predicted.len())?;
    if sd.len() != 1 {
        check_len("sd", sd.len(), predicted.len())?;
    }
    if let Some(bad) = sd.iter().find(|s| !(**s > T::ZERO && s.is_finite())) {
        return Err(LossError::Setting {
            name: "sd",
            value: bad.f64(),
            rule: "must be finite and above zero",
        });
    }
    let missing = |y: &T| y.f64().is_nan();
    let count = observed.iter().filter(|y| !missing(y)).count();
    if count == 0 {
        return Err(LossError::Setting {
            name: "observed values",
            value: 0.0,
            rule: "at least one is needed",
        });
    }
    let mut sum = 0.0;
    for (i, (&x, &y)) in predicted.iter().zip(observed).enumerate() {
        if missing(&y) {
            bar[i] = T::ZERO;
            continue;
        }
        let s = sd[if sd.len() == 1 { 0 } else { i }];
        let r = (x - y) / s;
        if !r.is_finite() {
            return Err(LossError::NonFinite { what: "predicted", row: i });
        }
        sum += r.f64() * r.f64();
        bar[i] = r / s * T::c(2.0 / count as f64);
    }
    Ok(sum / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn gradient_is_that_of_the_value(pairs in proptest::collection::vec((-3.0..3.0_f64, -3.0..3.0_f64, 0.1..2.0_f64), 1..10), hide in 0_usize..10) {
            let x: Vec<f64> = pairs.iter().map(|p| p.0).collect();
            let mut y: Vec<f64> = pairs.iter().map(|p| p.1).collect();
            let sd: Vec<f64> = pairs.iter().map(|p| p.2).collect();
            if y.len() > 1 {
                let k = hide % y.len();
                y[k] = f64::NAN;
            }
            let mut bar = vec![0.0; x.len()];
            let mut none = vec![0.0; x.len()];
            squared_error(&x, &y, &sd, &mut bar).unwrap();
            for i in 0..x.len() {
                let (mut hi, mut lo) = (x.clone(), x.clone());
                hi[i] += 1e-5;
                lo[i] -= 1e-5;
                let fd = (squared_error(&hi, &y, &sd, &mut none).unwrap() - squared_error(&lo, &y, &sd, &mut none).unwrap()) / 2e-5;
                prop_assert!((bar[i] - fd).abs() < 1e-6 * (1.0 + fd.abs()));
            }
        }
    }

    #[test]
    fn by_hand() {
        let mut bar = [0.0; 3];
        let v = squared_error(&[1.0, 2.0, 9.0], &[0.0, 4.0, f64::NAN], &[2.0], &mut bar).unwrap();
        assert_eq!(v, 0.625); // (1/4 + 1) / 2
        assert_eq!(bar, [0.25, -0.5, 0.0]);
        assert!(squared_error(&[1.0], &[f64::NAN], &[1.0], &mut [0.0]).is_err());
    }
}
