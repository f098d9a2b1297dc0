//! The history of a multistep run as backward differences at equal steps, and the transposes of what a step does with it.
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

/// What [`Bdf`](crate::Bdf) remembers: backward differences of `[n, d]` states, for steps of one length.
///
/// A step of order `k` brings them to its length ([`rescale`](Self::rescale)), predicts ([`predict`](Self::predict)), finds the
/// correction `c` with `f(t_end, y + c) = α_k / h (ψ + c)`, where `y` is the predicted state, and goes on
/// ([`advance`](Self::advance)). All but the correction is linear: beside each map stands its transpose, for adjoints.
///
/// ```
/// use chreode_solve::BackwardDifferences;
/// // t² at t = 1, from its value and derivative: a step of length 1/2 on the tangent, and what it misses.
/// let mut past = BackwardDifferences::new(1);
/// past.restart(&[1.0], Some(&[2.0]), 0.5);
/// let (mut y, mut psi) = ([0.0], [0.0]);
/// past.predict(1, &mut y, &mut psi);
/// assert_eq!(y, [2.0]);
/// past.advance(1, &[0.25]);
/// assert_eq!((past.row(0), past.row(1)), (&[2.25][..], &[1.25][..])); // 1.5², and 1.5² - 1²
/// ```
#[derive(Debug, Clone)]
pub struct BackwardDifferences<T> {
    nd: usize,
    /// `[ROWS, n, d]`.
    rows: Vec<T>,
    /// Signed step length that they are for.
    pub(super) h: f64,
}

impl<T: Real> BackwardDifferences<T> {
    /// Differences of higher order are estimates alone: no step reads them.
    pub const MAX_ORDER: usize = MAX_ORDER;

    /// All zero, for states of `nd` values.
    pub fn new(nd: usize) -> Self {
        Self { nd, rows: vec![T::ZERO; ROWS * nd], h: 0.0 }
    }

    /// The leading coefficient `α_k` of order `k`, 1 to 5.
    ///
    /// # Panics
    /// If there is no such order.
    pub const fn alpha(k: usize) -> f64 {
        alpha(k)
    }

    /// Signed length of the steps that they are for.
    pub fn step_length(&self) -> f64 {
        self.h
    }

    /// The difference of order `j`, at most two above the highest order.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, j: usize) -> &[T] {
        &self.rows[j * self.nd..(j + 1) * self.nd]
    }

    /// As [`row`](Self::row), to change.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, j: usize) -> &mut [T] {
        &mut self.rows[j * self.nd..(j + 1) * self.nd]
    }

    /// The differences of orders 1 to [`MAX_ORDER`](Self::MAX_ORDER): what a step reads beside the state.
    pub fn memory(&self) -> &[T] {
        &self.rows[self.nd..(MAX_ORDER + 1) * self.nd]
    }

    /// Differences that were given out before as state and [`memory`](Self::memory), for steps of length `h`.
    ///
    /// # Panics
    /// If lengths do not fit.
    pub fn restore(&mut self, y: &[T], memory: &[T], h: f64) {
        let (state, rest) = self.rows.split_at_mut(self.nd);
        state.copy_from_slice(y);
        let (known, estimates) = rest.split_at_mut(MAX_ORDER * self.nd);
        known.copy_from_slice(memory);
        estimates.fill(T::ZERO);
        self.h = h;
    }

    /// Sets state and [`memory`](Self::memory); the estimates of higher differences stay.
    pub(super) fn correct(&mut self, y: &[T], memory: &[T]) {
        self.rows[..self.nd].copy_from_slice(y);
        self.rows[self.nd..(MAX_ORDER + 1) * self.nd].copy_from_slice(memory);
    }

    /// A history of one state and its derivative (none: a constant history), for steps of length `h`.
    ///
    /// # Panics
    /// If lengths do not fit, as all that follow.
    pub fn restart(&mut self, y: &[T], derivative: Option<&[T]>, h: f64) {
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

    /// Whether steps of length `h` need a [`rescale`](Self::rescale): not for a change by rounding.
    pub fn is_for(&self, h: f64) -> bool {
        (h - self.h).abs() <= 1e-12 * h.abs()
    }

    /// Differences for steps of length `h`: those of the polynomial of degree `k` through the history.
    pub fn rescale(&mut self, h: f64, k: usize) {
        self.combine(&rescaling(h / self.h, k), k);
        self.h = h;
    }

    /// The transpose of [`rescale`](Self::rescale) from steps of length `before` to those of the present length.
    pub fn rescale_transpose(&mut self, before: f64, k: usize) {
        let m = rescaling(self.h / before, k);
        let mut transposed = m;
        for (r, row) in m.iter().enumerate() {
            for (c, &m) in row.iter().enumerate() {
                transposed[c][r] = m;
            }
        }
        self.combine(&transposed, k);
        self.h = before;
    }

    /// `row_c = Σ_r m_rc row_r` for rows `1..=k`.
    fn combine(&mut self, m: &Matrix, k: usize) {
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
    }

    /// Sets `y` to the predicted state and `psi` to `Σ γ_j D_j / α_k`.
    pub fn predict(&self, k: usize, y: &mut [T], psi: &mut [T]) {
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

    /// The transpose of [`predict`](Self::predict), added to what is there.
    pub fn predict_transpose(&mut self, k: usize, y_bar: &[T], psi_bar: &[T]) {
        let inverse = 1.0 / alpha(k);
        for (i, row) in self.rows.chunks_exact_mut(self.nd.max(1)).enumerate().take(k + 1) {
            let w = T::c(GAMMA[i] * inverse);
            for ((row, &y), &psi) in row.iter_mut().zip(y_bar).zip(psi_bar) {
                *row += y + w * psi;
            }
        }
    }

    /// Goes on to the next time: `correction` is the new state minus the predicted one.
    pub fn advance(&mut self, k: usize, correction: &[T]) {
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

    /// The transpose of [`advance`](Self::advance): sets the adjoint of the correction.
    pub fn advance_transpose(&mut self, k: usize, correction_bar: &mut [T]) {
        let nd = self.nd;
        for i in 0..=k {
            let (low, high) = self.rows[i * nd..(i + 2) * nd].split_at_mut(nd);
            for (&low, high) in low.iter().zip(high) {
                *high += low;
            }
        }
        let (below, above) = self.rows.split_at_mut((k + 2) * nd);
        let last = &mut below[(k + 1) * nd..];
        for ((above, last), c) in above.iter_mut().zip(last).zip(correction_bar) {
            *c = *last + *above;
            *last = -*above;
            *above = T::ZERO;
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
impl BackwardDifferences<f64> {
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
            let mut d = BackwardDifferences::new(1);
            d.h = h;
            for (row, x) in d.rows.iter_mut().zip(of_polynomial(c, h)) {
                *row = x;
            }
            let value = |t: f64| c.iter().rev().fold(0.0, |s, &c| s * t + c);
            let mut out = [0.0];
            d.interpolate(s, k, &mut out);
            // Differences have the rounding of the values that they come from.
            let rounding = 1e-12 * (0..=k).map(|i| value(-h * i as f64).abs()).fold(1.0, f64::max);
            prop_assert!((out[0] - value(s * h)).abs() < rounding, "{} {}", out[0], value(s * h));
            d.rescale(factor * h, k);
            let scale = ((factor * h).powi(k as i32).max(1.0) * 1e-9).max(rounding);
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

        /// `A x · y = x · Aᵀ y` for each map.
        #[test]
        fn transposes(k in 1..=MAX_ORDER, x in proptest::collection::vec(-2.0..2.0_f64, 20), w in proptest::collection::vec(-2.0..2.0_f64, 20),
            factor in 0.2..3.0_f64) {
            let of = |v: &[f64]| {
                let mut d = BackwardDifferences::new(2);
                d.rows.copy_from_slice(&v[..16]);
                d.h = 0.5;
                d
            };
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-10 * (1.0 + a.abs());
            let (mut a, mut b) = (of(&x), of(&w));
            a.rescale(factor * 0.5, k);
            b.h = factor * 0.5;
            b.rescale_transpose(0.5, k);
            prop_assert!(close(dot(&a.rows, &w[..16]), dot(&b.rows, &x[..16])));
            prop_assert_eq!(b.h, 0.5);

            let (mut y, mut psi) = ([0.0; 2], [0.0; 2]);
            of(&x).predict(k, &mut y, &mut psi);
            let mut b = of(&[0.0; 16]);
            b.predict_transpose(k, &w[..2], &w[2..4]);
            prop_assert!(close(dot(&y, &w[..2]) + dot(&psi, &w[2..4]), dot(&b.rows, &x[..16])));

            let (mut a, mut b, mut bar) = (of(&x), of(&w), [f64::NAN; 2]);
            a.advance(k, &x[16..18]);
            b.advance_transpose(k, &mut bar);
            prop_assert!(close(dot(&a.rows, &w[..16]), dot(&b.rows, &x[..16]) + dot(&bar, &x[16..18])));
        }
    }
}
