//! Stiffness by logarithmic norms.

use chreode_core::{Jacobian, Real};
use chreode_linalg::symmetric_eigen;

use super::error::DiagnoseError;
use super::spectrum::along;

/// Logarithmic norms of the Jacobian at many states: of [`log_norms`].
///
/// With `H = (J + Jᵀ)/2`, distances between neighbouring solutions grow at rates from `m = min λ(H)` to `M = max λ(H)`, in one
/// over time. The stiffness indicator `σ = (m + M)/2` tells what rules both; below zero, `Δt = -1/σ` is a time scale that a
/// method without stability for stiff equations must resolve. Over a time `T` the stiffness factor is `T/Δt`: far above 1 it is
/// necessary for stiffness. Source: [SJC15]. All depend on the units of the coordinates, as eigenvalues do not: scale them first.
#[derive(Debug, Clone, PartialEq)]
pub struct LogNorms {
    /// `m`, for every state.
    pub lower: Vec<f64>,
    /// `M`, for every state.
    pub upper: Vec<f64>,
}

impl LogNorms {
    /// The stiffness indicator `σ` at state number `row`.
    ///
    /// # Panics
    /// If there is no such state.
    pub fn indicator(&self, row: usize) -> f64 {
        f64::midpoint(self.lower[row], self.upper[row])
    }

    /// The time scale `Δt`: infinite where the indicator is not below zero.
    ///
    /// # Panics
    /// If there is no such state.
    pub fn time_scale(&self, row: usize) -> f64 {
        let indicator = self.indicator(row);
        if indicator < 0.0 { -1.0 / indicator } else { f64::INFINITY }
    }

    /// The stiffness factor `T/Δt` over a time `T`; zero where the indicator is not below zero.
    ///
    /// # Panics
    /// If there is no such state.
    pub fn factor(&self, row: usize, time: f64) -> f64 {
        time / self.time_scale(row)
    }
}

/// Logarithmic norms of `∂f/∂y` at the states of `n` cells at each of `times`, `[times, n, d]`; rows as those of
/// [`jacobian_spectra`](crate::jacobian_spectra).
///
/// # Errors
/// As [`jacobian_spectra`](crate::jacobian_spectra).
pub fn log_norms<T, F>(f: &F, p: &[T], times: &[f64], states: &[T]) -> Result<LogNorms, DiagnoseError>
where
    T: Real,
    F: Jacobian<T> + Clone + Send + Sync,
{
    let d = f.dim();
    let rows = along(f, p, times, states, |row, t, j| {
        let symmetric: Vec<f64> = (0..d * d).map(|k| f64::midpoint(j[k], j[k % d * d + k / d])).collect();
        let eigen =
            symmetric_eigen(&symmetric, d).map_err(|source| DiagnoseError::Matrix { row, t, source })?;
        Ok((eigen.values[0], eigen.values[d - 1]))
    })?;
    let (lower, upper) = rows.into_iter().unzip();
    Ok(LogNorms { lower, upper })
}
