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
        let (Some((&last, weights)), Some((&last_row, rows))) =
            (self.weights.split_last(), self.rows.split_last())
        else {
            return self.sum(y, h, k, out);
        };
        let (k, _) = k.as_chunks::<N>();
        let mut sum = [T::ZERO; N];
        for (&w, &row) in weights.iter().zip(rows) {
            let k = &k[usize::from(row)];
            for j in 0..N {
                sum[j] += w * k[j];
            }
        }
        let h = T::c(h);
        let (last, k, out) = (h * last, &k[usize::from(last_row)], &mut out[..N]);
        if let Some(y) = y {
            let y = &y[..N];
            for j in 0..N {
                out[j] = (y[j] + h * sum[j]) + last * k[j];
            }
        } else {
            for j in 0..N {
                out[j] = h * sum[j] + last * k[j];
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

/// Most values of a state that has a [`TinyPlan`].
pub(super) const MOST_VALUES: usize = 4;

/// The sums of a method for a state of a few values, with the weights of all of them in one row.
///
/// A sum has the weight of row 0, those of contiguous rows, where what is between has zeros, and its last one.
#[derive(Debug, Clone)]
pub(super) struct TinyPlan<T> {
    /// From the input of stage 1 to that of the step's end.
    pub(super) stages: Vec<TinySum<T>>,
    /// The estimates of the error.
    pub(super) errors: Vec<TinySum<T>>,
    pub(super) weights: Vec<T>,
    /// The numbers from zero on, in which the compiler must not see neighbours: see [`TinySum::of`].
    pub(super) places: [usize; MOST_VALUES],
}

#[derive(Debug, Clone)]
pub(super) struct TinySum<T> {
    /// The node of a stage.
    pub(super) node: f64,
    first: T,
    /// The last weight and its row.
    last: T,
    last_row: usize,
    /// Rows of the weights between.
    from: usize,
    len: usize,
}

impl<T: Real> TinyPlan<T> {
    pub(super) fn new(m: &ErkTableau) -> Self {
        let last = m.last_row();
        let (mut stages, mut weights) = (Vec::with_capacity(last), Vec::with_capacity(last * (last + 3) / 2));
        for i in 1..=last {
            let node = m.c.get(i).copied().unwrap_or(1.0);
            stages.push(TinySum::new(node, m.stage_weights(i), &mut weights));
        }
        let estimates = [m.b_err, m.lower.map_or(&[], |(_, lower)| lower)];
        let errors = estimates.iter().filter(|w| !w.is_empty());
        let errors = errors.map(|w| TinySum::new(1.0, w, &mut weights)).collect();
        Self { stages, errors, weights, places: std::array::from_fn(|j| j) }
    }
}

impl<T: Real> TinySum<T> {
    fn new(node: f64, row: &[f64], weights: &mut Vec<T>) -> Self {
        let last_row = row.iter().rposition(|&w| w != 0.0).unwrap_or(0);
        let last = row.get(last_row).copied().unwrap_or(0.0);
        let from = (1..last_row).find(|&i| row[i] != 0.0).unwrap_or(last_row.max(1));
        let between = row.get(from..last_row).unwrap_or(&[]);
        weights.extend(between.iter().map(|&w| T::c(w)));
        let first = if last_row == 0 { 0.0 } else { row[0] };
        Self { node, first: T::c(first), last: T::c(last), last_row, from, len: between.len() }
    }

    /// `base + h Σ w k`, with the bits of [`weighted_sum`]; takes its weights from the front of those that are left.
    ///
    /// The field has just stored the newest row, value by value. A load of two of them at once would wait until both have
    /// left the store buffer, as long as ten multiplications; one by one, at `places`, they are forwarded.
    #[inline(always)]
    pub(super) fn of<const D: usize>(
        &self,
        weights: &mut &[T],
        base: Option<&[T; D]>,
        h: T,
        k: &[[T; D]],
        places: &[usize; MOST_VALUES],
    ) -> [T; D] {
        let (between, rest) = weights.split_at(self.len);
        *weights = rest;
        let mut older = k[0];
        for x in &mut older {
            *x = self.first * *x;
        }
        for (&w, k) in between.iter().zip(&k[self.from..]) {
            for j in 0..D {
                older[j] += w * k[j];
            }
        }
        let (last, row) = (h * self.last, &k[self.last_row]);
        let mut out = [T::ZERO; D];
        for j in 0..D {
            out[j] = row[places[j]];
        }
        for j in 0..D {
            let older = h * older[j];
            out[j] = base.map_or(older, |base| base[j] + older) + last * out[j];
        }
        out
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
