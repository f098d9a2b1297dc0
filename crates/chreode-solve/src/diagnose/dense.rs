//! The Jacobian at a state as a dense matrix of `f64`.

use chreode_core::{Jacobian, Real};
use chreode_linalg::LinalgError;

use super::error::DiagnoseError;

/// A field with room for its Jacobian.
pub(super) struct DenseJacobian<F, T> {
    pub(super) f: F,
    values: Vec<T>,
    dense: Vec<f64>,
}

impl<T: Real, F: Jacobian<T>> DenseJacobian<F, T> {
    pub(super) fn new(f: F) -> Self {
        let d = f.dim();
        let len = f.sparsity().map_or(d * d, chreode_core::Sparsity::len);
        Self { f, values: vec![T::ZERO; len], dense: vec![0.0; d * d] }
    }

    /// `∂f/∂y`, `[d, d]` row-major, at the state `y`, `[d]`, all entries finite; `row` is for the error.
    pub(super) fn at(&mut self, row: usize, t: f64, y: &[T], p: &[T]) -> Result<&[f64], DiagnoseError> {
        let d = self.f.dim();
        self.f
            .jacobian(t, y, p, &mut self.values)
            .map_err(|e| DiagnoseError::Row { row, source: e.into() })?;
        if let Some(pattern) = self.f.sparsity() {
            self.dense.fill(0.0);
            let mut values = self.values.iter();
            for j in 0..d {
                for (&i, value) in pattern.column(j).iter().zip(&mut values) {
                    self.dense[i * d + j] = value.f64();
                }
            }
        } else {
            for (dense, value) in self.dense.iter_mut().zip(&self.values) {
                *dense = value.f64();
            }
        }
        if let Some(at) = self.dense.iter().position(|x| !x.is_finite()) {
            let source = LinalgError::NotFinite { row: at / d, column: at % d, value: self.dense[at] };
            return Err(DiagnoseError::Matrix { row, t, source });
        }
        Ok(&self.dense)
    }
}
