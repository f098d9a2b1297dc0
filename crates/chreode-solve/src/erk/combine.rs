//! Weighted sums of stages: all the arithmetic of a step outside the field.

use chreode_core::Real;
use chreode_linalg::weighted_sum;

use super::tableau::{ErkTableau, MAX_STAGES};

/// The terms of one sum: weights that are not zero, and the rows of `k` that they belong to.
///
/// Methods of high order have many zeros, which would cost as much as the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a, T> {
    pub(super) weights: &'a [T],
    pub(super) rows: &'a [u8],
}

impl<T: Real> Terms<'_, T> {
    /// `out = y + h Σ w k`; row `m` of `k` begins at `m * out.len()`. Without `y`, zero.
    #[inline]
    pub(super) fn sum(self, y: Option<&[T]>, h: f64, k: &[T], out: &mut [T]) {
        weighted_sum(y, T::c(h), self.weights, self.rows, k, out);
    }

    /// The same for a state of `D` values, kept in registers; same bits.
    #[inline(always)]
    pub(super) fn tiny_sum<const D: usize>(self, y: Option<[T; D]>, h: f64, k: &[[T; D]]) -> [T; D] {
        let h = T::c(h);
        let mut s = [T::ZERO; D];
        for (&w, &row) in self.weights.iter().zip(self.rows) {
            let k = &k[usize::from(row)];
            for j in 0..D {
                s[j] += w * k[j];
            }
        }
        match y {
            Some(y) => std::array::from_fn(|j| y[j] + h * s[j]),
            None => s.map(|s| h * s),
        }
    }
}

/// Every sum of a method, in its number type.
#[derive(Debug, Clone)]
pub(super) struct Plan<T> {
    weights: Vec<T>,
    rows: Vec<u8>,
    /// Where each sum ends.
    ends: Vec<usize>,
}

impl<T: Real> Plan<T> {
    /// In turn: the inputs of stages `0..`, that of the step's end, the error estimate, the lower one, the inputs of
    /// the stages that dense output needs. What a method lacks has no terms.
    pub(super) fn new(m: &ErkTableau) -> Self {
        let mut plan = Self { weights: vec![], rows: vec![], ends: vec![0] };
        (0..=m.last_row()).for_each(|i| plan.push(m.stage_weights(i)));
        plan.push(m.b_err);
        plan.push(m.lower.map_or(&[], |(_, weights)| weights));
        m.dense_stages().iter().for_each(|a| plan.push(a));
        plan
    }

    fn push(&mut self, weights: &[f64]) {
        // A tableau has at most 32 rows.
        for (&w, row) in weights.iter().zip(0_u8..).filter(|(w, _)| **w != 0.0) {
            self.weights.push(T::c(w));
            self.rows.push(row);
        }
        self.ends.push(self.weights.len());
    }

    #[inline(always)]
    pub(super) fn terms(&self, i: usize) -> Terms<'_, T> {
        let range = self.ends[i]..self.ends[i + 1];
        Terms { weights: &self.weights[range.clone()], rows: &self.rows[range] }
    }
}

/// Terms made on the spot, on the stack.
pub(super) struct Gathered<T> {
    weights: [T; MAX_STAGES],
    rows: [u8; MAX_STAGES],
    len: usize,
}

impl<T: Real> Gathered<T> {
    pub(super) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut all = Self { weights: [T::ZERO; MAX_STAGES], rows: [0; MAX_STAGES], len: 0 };
        for (w, row) in weights.zip(0_u8..).take(MAX_STAGES).filter(|(w, _)| *w != 0.0) {
            (all.weights[all.len], all.rows[all.len]) = (T::c(w), row);
            all.len += 1;
        }
        all
    }

    pub(super) fn terms(&self) -> Terms<'_, T> {
        Terms { weights: &self.weights[..self.len], rows: &self.rows[..self.len] }
    }
}
