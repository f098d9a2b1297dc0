//! How fast the drift changes small differences between cells, and whether steps of the simulation follow.

use chreode_model::NeuralSde;
use chreode_solve::{VjpJacobian, jacobian_spectra};

use crate::AnalysisError;

/// Eigenvalues `λ` of the drift's Jacobian at some training cells, in one over time.
#[derive(Debug, Clone, PartialEq)]
pub struct DriftRates {
    /// The largest `|λ|` at each cell, ascending.
    pub fastest: Vec<f64>,
    /// Share of the cells at which some small difference grows: `Re λ > 0`.
    pub growing: f64,
    /// Longest step of the simulation, in units of the times.
    pub dt: f64,
}

impl DriftRates {
    /// The rates at these times and states, `[n]` and `[n, d]`; `None` if there is no state.
    pub(super) fn at(
        model: &NeuralSde<f32>,
        p: &[f32],
        times: &[f64],
        states: &[f32],
        dt: f64,
    ) -> Result<Option<Self>, AnalysisError> {
        if states.is_empty() {
            return Ok(None);
        }
        let spectra = jacobian_spectra(&VjpJacobian::new(model.clone()), p, times, states)?;
        let rows = 0..spectra.len();
        let size = |z: &(f64, f64)| z.0.hypot(z.1);
        let mut fastest: Vec<f64> =
            rows.clone().map(|row| spectra.of(row).iter().map(size).fold(0.0, f64::max)).collect();
        fastest.sort_by(f64::total_cmp);
        let growing = rows.filter(|&row| spectra.abscissa(row) > 0.0).count() as f64 / fastest.len() as f64;
        Ok(Some(Self { fastest, growing, dt }))
    }

    /// `|λ|` times the step, which 95 % of the cells do not exceed. Euler's method makes `1 - λ h` of a difference that should
    /// become `exp(-λ h)`: at 0.5 a fifth too little is left, above 2 differences grow that should decay.
    pub fn per_step(&self) -> f64 {
        let last = self.fastest.len() - 1;
        self.dt * self.fastest[(0.95 * last as f64).round() as usize]
    }
}
