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
        DenseOutput::Weights(rows) => sum(Gathered::new(rows.iter().map(|row| polynomial(row, theta)))),
        DenseOutput::Extended { weights, .. } => {
            sum(Gathered::new(weights.iter().map(|row| shifted(row, theta))));
        }
        DenseOutput::Hermite => {
            let last = tableau.last_row();
            let Hermite { y0, y1: end, k0, k1 } = Hermite::at(theta);
            let [w0, w1, d0, d1] = [y0, end, h * k0, h * k1].map(T::c);
            let (k0, k1) = (&k[..nd], &k[last * nd..(last + 1) * nd]);
            for j in 0..nd {
                out[j] = w0 * y[j] + w1 * y1[j] + (d0 * k0[j] + d1 * k1[j]);
            }
        }
    }
}

/// Weight of row `i` of `k` in `(y(t + θ h) - y) / h`.
pub(super) fn dense_weight(tableau: &ErkTableau, i: usize, theta: f64) -> f64 {
    match tableau.dense {
        DenseOutput::Weights(rows) => polynomial(rows[i], theta),
        DenseOutput::Extended { weights, .. } => shifted(weights[i], theta),
        DenseOutput::Hermite => {
            let Hermite { y1, k0, k1, .. } = Hermite::at(theta);
            let b = tableau.b.get(i).map_or(0.0, |b| y1 * b);
            b + if i == 0 { k0 } else { 0.0 } + if i == tableau.last_row() { k1 } else { 0.0 }
        }
    }
}

/// Weights of both ends, and of their derivatives times the length of the step.
struct Hermite {
    y0: f64,
    y1: f64,
    k0: f64,
    k1: f64,
}

impl Hermite {
    fn at(theta: f64) -> Self {
        let eta = 1.0 - theta;
        Self {
            y0: eta * eta * (1.0 + 2.0 * theta),
            y1: theta * theta * (3.0 - 2.0 * theta),
            k0: theta * eta * eta,
            k1: -theta * theta * eta,
        }
    }
}

/// Of `θ, θ², ..`: there is no constant term.
fn polynomial(coefficients: &[f64], theta: f64) -> f64 {
    theta * horner(coefficients, theta)
}

/// `θ` times that of `1, s, s², ..`, where `s = 2θ - 1`.
fn shifted(coefficients: &[f64], theta: f64) -> f64 {
    theta * horner(coefficients, 2.0 * theta - 1.0)
}

fn horner(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |s, &c| s * x + c)
}
