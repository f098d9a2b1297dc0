//! The history of a multistep run as backward differences at equal steps.
//!
//! `D[j]` is the `j`-th backward difference of the solution at the last accepted time, for steps of length `h`.
//! Source: [SR97] section 2.

use chreode_core::Real;

/// Highest order.
pub(super) const MAX_ORDER: usize = 5;
/// Differences that are kept: two more than the highest order needs, for the estimates of other orders.
const ROWS: usize = MAX_ORDER + 3;

/// Modification of the NDF: how much of the next difference each order adds; 0 is the plain BDF.
const KAPPA: [f64; MAX_ORDER + 1] = [0.0, -0.1850, -1.0 / 9.0, -0.0823, -0.0415, 0.0];

/// `γ_k = 1 + 1/2 + .. + 1/k`.
pub(super) const GAMMA: [f64; MAX_ORDER + 1] = [0.0, 1.0, 1.5, 11.0 / 6.0, 25.0 / 12.0, 137.0 / 60.0];

/// Leading coefficient `(1 - κ_k) γ_k` of order `k`.
pub(super) const fn alpha(k: usize) -> f64 {
    (1.0 - KAPPA[k]) * GAMMA[k]
}

/// The error of a step of order `k` is this times the difference of order `k + 1`.
pub(super) const fn error_constant(k: usize) -> f64 {
    KAPPA[k] * GAMMA[k] + 1.0 / (k as f64 + 1.0)
}

/// Backward differences of `[n, d]` states, one row each.
#[derive(Debug, Clone)]
pub(super) struct Differences<T> {
    nd: usize,
    /// `[ROWS, n, d]`.
    rows: Vec<T>,
    /// Signed step length that they are for.
    pub(super) h: f64,
}

impl<T: Real> Differences<T> {
    pub(super) fn new(nd: usize) -> Self {
        Self { nd, rows: vec![T::ZERO; ROWS * nd], h: 0.0 }
    }

    /// The difference of order `j`.
    pub(super) fn row(&self, j: usize) -> &[T] {
        &self.rows[j * self.nd..(j + 1) * self.nd]
    }

    /// A history of one state and its derivative (none: a constant history).
    pub(super) fn restart(&mut self, y: &[T], derivative: Option<&[T]>, h: f64) {
        self.rows.fill(T::ZERO);
        self.rows[..self.nd].copy_from_slice(y);
        if let Some(f) = derivative {
            let signed = T::c(h);
            for (d, &f) in self.rows[self.nd..2 * self.nd].iter_mut().zip(f) {
                *d = signed * f;
            }
        }
        self.h = h;
    }

    /// Differences for steps of length `h`: those of the polynomial of degree `k` through the history.
    pub(super) fn rescale(&mut self, h: f64, k: usize) {
        let m = rescaling(h / self.h, k);
        let nd = self.nd;
        for j in 0..nd {
            let mut old = [T::ZERO; MAX_ORDER + 1];
            for (i, old) in old.iter_mut().enumerate().take(k + 1) {
                *old = self.rows[i * nd + j];
            }
            for c in 1..=k {
                let mut sum = T::ZERO;
                for r in 1..=k {
                    sum += T::c(m[r][c]) * old[r];
                }
                self.rows[c * nd + j] = sum;
            }
        }
        self.h = h;
    }

    /// Sets `y` to the predicted state and `psi` to `Σ γ_j D_j / α_k`.
    pub(super) fn predict(&self, k: usize, y: &mut [T], psi: &mut [T]) {
        y.copy_from_slice(self.row(0));
        psi.fill(T::ZERO);
        let inverse = 1.0 / alpha(k);
        for i in 1..=k {
            let w = T::c(GAMMA[i] * inverse);
            for ((y, psi), &d) in y.iter_mut().zip(&mut *psi).zip(self.row(i)) {
                *y += d;
                *psi += w * d;
            }
        }
    }

    /// Goes on to the next time: `correction` is the new state minus the predicted one.
    pub(super) fn advance(&mut self, k: usize, correction: &[T]) {
        let nd = self.nd;
        let (below, above) = self.rows.split_at_mut((k + 2) * nd);
        let last = &mut below[(k + 1) * nd..];
        for ((above, last), &c) in above.iter_mut().zip(&mut *last).zip(correction) {
            *above = c - *last;
            *last = c;
        }
        for i in (0..=k).rev() {
            let (low, high) = self.rows[i * nd..(i + 2) * nd].split_at_mut(nd);
            for (low, &high) in low.iter_mut().zip(&*high) {
                *low += high;
            }
        }
    }

    /// The state `s` steps after the last time (negative: before), by the polynomial of degree `k`.
    pub(super) fn interpolate(&self, s: f64, k: usize, out: &mut [T]) {
        out.copy_from_slice(self.row(0));
        let mut w = 1.0;
        for i in 1..=k {
            let steps = (i - 1) as f64;
            w *= (s + steps) / (steps + 1.0);
            let w = T::c(w);
            for (out, &d) in out.iter_mut().zip(self.row(i)) {
                *out += w * d;
            }
        }
    }
}

type Matrix = [[f64; MAX_ORDER + 1]; MAX_ORDER + 1];

/// `R(factor)` of [SR97].
const fn table(factor: f64) -> Matrix {
    let mut r = [[0.0; MAX_ORDER + 1]; MAX_ORDER + 1];
    r[0] = [1.0; MAX_ORDER + 1];
    let mut i = 1;
    while i <= MAX_ORDER {
        let mut j = 1;
        while j <= MAX_ORDER {
            r[i][j] = r[i - 1][j] * (i as f64 - 1.0 - factor * j as f64) / i as f64;
            j += 1;
        }
        i += 1;
    }
    r
}

const TABLE_OF_ONE: Matrix = table(1.0);

/// `R(factor) R(1)` of [SR97] for order `k`: column `c` of row `r` is the weight of old difference `r` in new difference `c`.
fn rescaling(factor: f64, k: usize) -> Matrix {
    let a = table(factor);
    let mut m = [[0.0; MAX_ORDER + 1]; MAX_ORDER + 1];
    for i in 1..=k {
        for j in 1..=k {
            m[i][j] = (1..=j).map(|l| a[i][l] * TABLE_OF_ONE[l][j]).sum(); // R(1) is upper triangular
        }
    }
    m
}

#[cfg(test)]
impl Differences<f64> {
    /// The history of one trajectory of one coordinate from its past values, the last first.
    pub(super) fn set_from(&mut self, past: &[f64], h: f64) {
        for (row, x) in self.rows.iter_mut().zip(tests::differences(past.to_vec())) {
            *row = x;
        }
        self.h = h;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Backward differences of values, the last first.
    pub(super) fn differences(mut v: Vec<f64>) -> Vec<f64> {
        let mut out = Vec::new();
        while !v.is_empty() {
            out.push(v[0]);
            v = v.windows(2).map(|w| w[0] - w[1]).collect();
        }
        out
    }

    /// Differences of order `0..=k` of a polynomial at 0, for steps of length `h`.
    fn of_polynomial(c: &[f64], h: f64) -> Vec<f64> {
        let value = |t: f64| c.iter().rev().fold(0.0, |s, &c| s * t + c);
        differences((0..c.len()).map(|i| value(-h * i as f64)).collect())
    }

    proptest! {
        /// Polynomials of the method's degree are represented exactly, whatever the step.
        #[test]
        fn polynomials_are_kept(k in 1..=MAX_ORDER, c in proptest::collection::vec(-2.0..2.0_f64, MAX_ORDER + 1),
            h in 0.1..2.0_f64, factor in 0.2..3.0_f64, s in -1.0..1.0_f64) {
            let c = &c[..=k];
            let mut d = Differences::new(1);
            d.h = h;
            for (row, x) in d.rows.iter_mut().zip(of_polynomial(c, h)) {
                *row = x;
            }
            let value = |t: f64| c.iter().rev().fold(0.0, |s, &c| s * t + c);
            let mut out = [0.0];
            d.interpolate(s, k, &mut out);
            prop_assert!((out[0] - value(s * h)).abs() < 1e-10, "{} {}", out[0], value(s * h));
            d.rescale(factor * h, k);
            let scale = (factor * h).powi(k as i32).max(1.0) * 1e-9;
            for (i, x) in of_polynomial(c, factor * h).into_iter().enumerate() {
                prop_assert!((d.row(i)[0] - x).abs() < scale, "{i}: {} {x}", d.row(i)[0]);
            }
            // The predicted state is the polynomial's next value, and nothing is left to correct.
            let (mut y, mut psi) = ([0.0], [0.0]);
            d.predict(k, &mut y, &mut psi);
            prop_assert!((y[0] - value(factor * h)).abs() < scale);
            d.advance(k, &[0.0]);
            prop_assert!((d.row(0)[0] - value(factor * h)).abs() < scale);
            d.interpolate(-0.5, k, &mut out);
            prop_assert!((out[0] - value(0.5 * factor * h)).abs() < scale);
        }
    }
}
