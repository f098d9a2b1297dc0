//! Weighted sums of stages: all the arithmetic of a step outside the field.

use chreode_core::Real;
use chreode_linalg::weighted_sum;

use super::tableau::{ErkTableau, MAX_STAGES};

/// The terms of one sum: weights that are not zero, and the rows of `k` that they belong to.
///
/// Methods of high order have many zeros, which would cost as much as the rest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a, T> {
    pub(crate) weights: &'a [T],
    pub(crate) rows: &'a [u8],
}

impl<T: Real> Terms<'_, T> {
    /// `out = y + h Σ w k`; row `m` of `k` begins at `m * out.len()`. Without `y`, zero.
    #[inline]
    pub(crate) fn sum(self, y: Option<&[T]>, h: f64, k: &[T], out: &mut [T]) {
        weighted_sum(y, T::c(h), self.weights, self.rows, k, out);
    }

    /// The same, where the length of a row is `N` if the compiler is to know it, else 0.
    #[inline(always)]
    pub(crate) fn sum_of<const N: usize>(self, y: Option<&[T]>, h: f64, k: &[T], out: &mut [T]) {
        if N == 0 {
            return self.sum(y, h, k, out);
        }
        let (k, _) = k.as_chunks::<N>();
        let mut sum = [T::ZERO; N];
        for (&w, &row) in self.weights.iter().zip(self.rows) {
            let k = &k[usize::from(row)];
            for j in 0..N {
                sum[j] += w * k[j];
            }
        }
        let (h, out) = (T::c(h), &mut out[..N]);
        if let Some(y) = y {
            let y = &y[..N];
            for j in 0..N {
                out[j] = y[j] + h * sum[j];
            }
        } else {
            for j in 0..N {
                out[j] = h * sum[j];
            }
        }
    }
}

/// Every sum of a method, in its number type.
#[derive(Debug, Clone)]
pub(crate) struct Plan<T> {
    weights: Vec<T>,
    rows: Vec<u8>,
    /// Where each sum ends.
    ends: Vec<usize>,
}

impl<T: Real> Plan<T> {
    /// In turn: the inputs of stages `0..`, that of the step's end, the error estimate, the lower one, the inputs of
    /// the stages that dense output needs. What a method lacks has no terms.
    pub(super) fn new(m: &ErkTableau) -> Self {
        let stages = (0..=m.last_row()).map(|i| m.stage_weights(i));
        let estimates = [m.b_err, m.lower.map_or(&[], |(_, weights)| weights)];
        Self::of(stages.chain(estimates).chain(m.dense_stages().iter().copied()))
    }

    /// Of the given sums, in their order.
    pub(crate) fn of<'a>(sums: impl Iterator<Item = &'a [f64]>) -> Self {
        let mut plan = Self { weights: vec![], rows: vec![], ends: vec![0] };
        sums.for_each(|weights| plan.push(weights));
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
    pub(crate) fn terms(&self, i: usize) -> Terms<'_, T> {
        let range = self.ends[i]..self.ends[i + 1];
        Terms { weights: &self.weights[range.clone()], rows: &self.rows[range] }
    }
}

/// The sums of a method for a state of a few values: that of stage 0, then those of the contiguous stages up to the
/// last that has a weight. What is between has none.
#[derive(Debug, Clone)]
pub(super) struct TinyPlan<T> {
    sums: Vec<TinySum<T>>,
}

#[derive(Debug, Clone)]
pub(super) struct TinySum<T> {
    first: T,
    /// Row of `weights[0]`.
    from: usize,
    weights: Vec<T>,
}

impl<T: Real> TinyPlan<T> {
    /// The first sums of a [`Plan`], from the input of stage 1 to the error estimates.
    pub(super) fn new(m: &ErkTableau) -> Self {
        let inputs = (1..=m.last_row()).map(|i| m.stage_weights(i));
        let sums =
            inputs.chain([m.b_err]).chain(m.lower.map(|(_, weights)| weights)).filter(|w| !w.is_empty());
        Self { sums: sums.map(TinySum::new).collect() }
    }

    #[inline(always)]
    pub(super) fn iter(&self) -> std::slice::Iter<'_, TinySum<T>> {
        self.sums.iter()
    }
}

impl<T: Real> TinySum<T> {
    fn new(weights: &[f64]) -> Self {
        let from = (1..weights.len()).find(|&i| weights[i] != 0.0).unwrap_or(weights.len());
        let to = weights.iter().rposition(|&w| w != 0.0).map_or(from, |last| from.max(last + 1));
        Self { first: T::c(weights[0]), from, weights: weights[from..to].iter().map(|&w| T::c(w)).collect() }
    }

    #[inline(always)]
    pub(super) fn of<const D: usize>(&self, k: &[[T; D]]) -> [T; D] {
        let mut s = k[0].map(|k| self.first * k);
        for (&w, k) in self.weights.iter().zip(&k[self.from..]) {
            for j in 0..D {
                s[j] += w * k[j];
            }
        }
        s
    }
}

/// Terms made on the spot, on the stack.
pub(crate) struct Gathered<T> {
    weights: [T; MAX_STAGES],
    rows: [u8; MAX_STAGES],
    len: usize,
}

impl<T: Real> Gathered<T> {
    pub(crate) fn new(weights: impl Iterator<Item = f64>) -> Self {
        let mut all = Self { weights: [T::ZERO; MAX_STAGES], rows: [0; MAX_STAGES], len: 0 };
        for (w, row) in weights.zip(0_u8..).take(MAX_STAGES).filter(|(w, _)| *w != 0.0) {
            (all.weights[all.len], all.rows[all.len]) = (T::c(w), row);
            all.len += 1;
        }
        all
    }

    pub(crate) fn terms(&self) -> Terms<'_, T> {
        Terms { weights: &self.weights[..self.len], rows: &self.rows[..self.len] }
    }
}
