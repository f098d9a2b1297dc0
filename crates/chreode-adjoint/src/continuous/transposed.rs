//! The Jacobian of the adjoint equation: that of the field, transposed.

use std::sync::OnceLock;

use chreode_core::{FieldError, Real, Sparsity, Vjp};

use super::ContinuousMethod;
use crate::discrete::whole;

/// What is known of the field's Jacobian `J`, and scratch for its transpose.
#[derive(Debug, Clone)]
pub(super) struct Transposed<T> {
    /// Whether there are parameters' integrals beside the adjoint state.
    with_integrals: bool,
    n: usize,
    d: usize,
    np: usize,
    /// Of `J`; none if it is dense.
    pattern: Option<Sparsity>,
    /// Of the backward system, made when a method asks for it: explicit ones never do.
    backward: OnceLock<Sparsity>,
    /// The entries of `J`, or a row of it.
    values: Vec<T>,
    /// Where the next entry of each column goes.
    next: Vec<usize>,
    unit: Vec<T>,
}

impl<T: Real> Transposed<T> {
    /// For `n` trajectories of `d` coordinates and `np` parameters.
    pub(super) fn new(method: ContinuousMethod, n: usize, d: usize, np: usize) -> Self {
        Self {
            with_integrals: method == ContinuousMethod::Interpolating,
            n,
            d,
            np,
            pattern: None,
            backward: OnceLock::new(),
            values: Vec::new(),
            next: Vec::new(),
            unit: vec![T::ZERO; d],
        }
    }

    /// Looks at the field's Jacobian at the start of a backward run; returns whether it shows one that can be used: all of it.
    ///
    /// # Errors
    /// [`FieldError::Fatal`] if the sparsity does not fit the state.
    pub(super) fn look(&mut self, f: &mut dyn Vjp<T>, t: f64) -> Result<bool, FieldError> {
        let Some(f) = whole(f) else { return Ok(false) };
        let pattern = f.sparsity();
        if pattern.is_some_and(|s| (s.n_rows(), s.n_cols()) != (self.d, self.d)) {
            let what = "the sparsity of its Jacobian has another size than its state";
            return Err(FieldError::Fatal { t, what });
        }
        if self.pattern.as_ref() != pattern {
            self.pattern = pattern.cloned();
            self.backward.take();
        }
        Ok(true)
    }

    /// Which entries of the backward system's Jacobian may differ from zero; none if it is dense.
    pub(super) fn sparsity(&self) -> Option<&Sparsity> {
        if !self.with_integrals && self.pattern.is_none() {
            return None;
        }
        Some(self.backward.get_or_init(|| self.backward_sparsity()))
    }

    /// `J` transposed; with integrals once for each trajectory, above a row for each parameter.
    fn backward_sparsity(&self) -> Sparsity {
        let Self { n, d, np, .. } = *self;
        let n = if self.with_integrals { n } else { 1 };
        let transposed: Vec<(usize, usize)> = match &self.pattern {
            Some(s) => (0..d).flat_map(|j| s.column(j).iter().map(move |&i| (j, i))).collect(),
            None => (0..d * d).map(|at| (at / d, at % d)).collect(),
        };
        let blocks = (0..n).flat_map(|row| transposed.iter().map(move |&(i, j)| (row * d + i, row * d + j)));
        let size = if self.with_integrals { n * d + np } else { d };
        let integrals = (n * d..size).flat_map(|i| (0..n * d).map(move |j| (i, j)));
        match Sparsity::new(size, size, blocks.chain(integrals)) {
            Ok(sparsity) => sparsity,
            Err(_) => unreachable!("a pattern of d rows and columns lies inside of its blocks"),
        }
    }

    /// Sets `values` to `-Jᵀ` of each trajectory of `y`, `[n, d]`: `[n, entries]` in the order of the transposed pattern, or `[n, d, d]`.
    ///
    /// # Errors
    /// The field's.
    pub(super) fn of_states(
        &mut self,
        f: &mut dyn Vjp<T>,
        t: f64,
        y: &[T],
        p: &[T],
        values: &mut [T],
    ) -> Result<(), FieldError> {
        let d = self.d;
        let backward = self.sparsity().map(Sparsity::col_starts);
        let entries = backward.map_or(d * d, |starts| starts[d]);
        self.values.resize(entries, T::ZERO);
        let Some(f) = f.as_jacobian() else {
            return Err(FieldError::Fatal { t, what: "it shows its Jacobian no more" });
        };
        for (y, out) in y.chunks_exact(d.max(1)).zip(values.chunks_exact_mut(entries.max(1))) {
            f.jacobian(t, y, p, &mut self.values)?;
            let Some((pattern, backward)) = self.pattern.as_ref().zip(self.backward.get()) else {
                for (j, row) in out.chunks_exact_mut(d.max(1)).enumerate() {
                    row.iter_mut().enumerate().for_each(|(i, out)| *out = -self.values[i * d + j]);
                }
                continue;
            };
            // Entries of a row come column by column, as a column of the transpose wants them.
            self.next.clear();
            self.next.extend_from_slice(&backward.col_starts()[..d]);
            for (&value, &i) in self.values.iter().zip(pattern.row_indices()) {
                out[self.next[i]] = -value;
                self.next[i] += 1;
            }
        }
        Ok(())
    }

    /// As [`of_states`](Self::of_states), of the backward system with integrals. A pull-back of a unit vector gives a whole column of it:
    /// a row of `J`, and one of `∂f/∂p`, which is put into `p_bar`.
    ///
    /// # Errors
    /// The field's.
    pub(super) fn with_integrals(
        &mut self,
        f: &mut dyn Vjp<T>,
        t: f64,
        y: &[T],
        p: &[T],
        p_bar: &mut [T],
        values: &mut [T],
    ) -> Result<(), FieldError> {
        let d = self.d;
        self.values.resize(d, T::ZERO);
        let backward = self.backward.get_or_init(|| self.backward_sparsity());
        let (columns, mut left) = (backward.col_starts().windows(2), values);
        for (at, column) in columns.take(y.len()).enumerate() {
            let (row, j) = (at / d, at % d);
            let mut next;
            (next, left) = left.split_at_mut(column[1] - column[0]);
            p_bar.fill(T::ZERO);
            self.unit[j] = T::ONE;
            let pulled = f.vjp(t, &y[row * d..(row + 1) * d], p, &self.unit, &mut self.values, p_bar);
            self.unit[j] = T::ZERO;
            pulled?;
            let rows = &backward.column(at)[..next.len() - p_bar.len()];
            for (value, i) in next.iter_mut().zip(rows) {
                *value = -self.values[i - row * d];
            }
            next = &mut next[rows.len()..];
            next.iter_mut().zip(&*p_bar).for_each(|(value, &p)| *value = -p);
        }
        Ok(())
    }
}
