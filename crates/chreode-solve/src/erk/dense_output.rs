//! The state inside a step.

use chreode_core::Real;

use super::combine::combine;
use super::tableau::{DenseOutput, ErkTableau, MAX_STAGES};

/// The state at `t + θ h` of a step from `y` to `y1`, whose stages are the rows of `k`; row `last` of `k` is the
/// derivative at `y1`.
pub(super) fn dense_into<T: Real>(
    tableau: &ErkTableau,
    theta: f64,
    h: f64,
    y: &[T],
    y1: &[T],
    k: &[T],
    last: usize,
    out: &mut [T],
) {
    let nd = y.len();
    match tableau.dense {
        DenseOutput::Weights(rows) => {
            let mut w = [0.0; MAX_STAGES];
            for (w, row) in w.iter_mut().zip(rows) {
                // Horner; the polynomials have no constant term.
                *w = theta * row.iter().rev().fold(0.0, |s, &c| s * theta + c);
            }
            combine(y, h, &w[..rows.len()], k, out);
        }
        DenseOutput::Hermite => {
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
