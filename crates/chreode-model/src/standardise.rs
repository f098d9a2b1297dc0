//! Inputs of the nets: `x̂ = (x - shift) / scale`.

use chreode_core::Real;

#[derive(Debug, Clone)]
pub(crate) struct Standardise<T> {
    shift: Vec<T>,
    inv_scale: Vec<T>,
}

impl<T: Real> Standardise<T> {
    pub(crate) fn new(shift: &[f64], scale: &[f64]) -> Self {
        Self {
            shift: shift.iter().map(|&x| T::c(x)).collect(),
            inv_scale: scale.iter().map(|&x| T::c(1.0 / x)).collect(),
        }
    }

    /// Number of coordinates.
    pub(crate) fn len(&self) -> usize {
        self.shift.len()
    }

    /// Sets `x`, `[n, d]`, from the states `y`.
    pub(crate) fn apply(&self, y: &[T], x: &mut [T]) {
        let d = self.shift.len();
        for (y, x) in y.chunks_exact(d).zip(x.chunks_exact_mut(d)) {
            for i in 0..d {
                x[i] = (y[i] - self.shift[i]) * self.inv_scale[i];
            }
        }
    }

    /// Adds to the adjoint of the states what comes from that of the inputs.
    pub(crate) fn pull_back(&self, x_bar: &[T], y_bar: &mut [T]) {
        let d = self.shift.len();
        for (x_bar, y_bar) in x_bar.chunks_exact(d).zip(y_bar.chunks_exact_mut(d)) {
            for i in 0..d {
                y_bar[i] += x_bar[i] * self.inv_scale[i];
            }
        }
    }
}

/// A vector of constants in this type.
pub(crate) fn constants<T: Real>(values: impl IntoIterator<Item = f64>) -> Vec<T> {
    values.into_iter().map(T::c).collect()
}
