//! The state inside a step.

use chreode_core::Real;

use super::combine::Gathered;
use super::tableau::{DenseOutput, ErkTableau};

/// The state at `t + θ h` of a step from `y` to `y1`, whose stages are the rows of `k`; row
/// [`last_row`](ErkTableau::last_row) is the derivative at `y1`, those after it are the stages of the dense output.
pub(super) fn dense_into<T: Real>(
    tableau: &ErkTableau,
    theta: f64,
    h: f64,
    y: &[T],
    y1: &[T],
    k: &[T],
    out: &mut [T],
) {
    let nd = y.len();
    let mut sum = |weights: Gathered<T>| weights.terms().sum(Some(y), h, k, out);
    match tableau.dense {
        // Horner; the polynomials have no constant term.
        DenseOutput::Weights(rows) => sum(Gathered::new(rows.iter().map(|row| theta * horner(row, theta)))),
        DenseOutput::Extended { weights, .. } => {
            sum(Gathered::new(weights.iter().map(|row| theta * horner(row, 2.0 * theta - 1.0))));
        }
        DenseOutput::Hermite => {
            let last = tableau.last_row();
            let eta = 1.0 - theta;
            let [w0, w1, d0, d1] = [
                eta * eta * (1.0 + 2.0 * theta),
                theta * theta * (3.0 - 2.0 * theta),
                h * theta * eta * eta,
                -h * theta * theta * eta,
            ]
            .map(T::c);
            let (k0, k1) = (&k[..nd], &k[last * nd..(last + 1) * nd]);
            for j in 0..nd {
                out[j] = w0 * y[j] + w1 * y1[j] + (d0 * k0[j] + d1 * k1[j]);
            }
        }
    }
}

fn horner(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |s, &c| s * x + c)
}
