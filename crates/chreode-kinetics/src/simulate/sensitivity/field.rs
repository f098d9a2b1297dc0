//! The field of the state and its sensitivities: `[y, S_1, .., S_m]`, `dS_j/dt = ∂f/∂y S_j + ∂f/∂p q_j`.

use chreode_core::{FieldError, Jacobian, Sparsity, VectorField};

use super::Derivatives;
use crate::simulate::field::RecordedField;

/// One evaluation of the recorded derivatives serves all columns.
pub(super) struct SensitiveField<'a> {
    pub(super) field: &'a mut RecordedField,
    pub(super) derivatives: &'a mut Derivatives,
    d: usize,
    m: usize,
    /// Which parameters move with each column, and how.
    moved: Vec<Vec<(usize, f64)>>,
    /// Time stands still here, if it does.
    frozen: Option<f64>,
}

impl<'a> SensitiveField<'a> {
    /// `q`: `[m, n_params]`.
    pub(super) fn new(
        field: &'a mut RecordedField,
        derivatives: &'a mut Derivatives,
        q: &[f64],
        m: usize,
        frozen: Option<f64>,
    ) -> Self {
        let np = derivatives.program.program.n_params();
        let row = |j: usize| q[j * np..(j + 1) * np].iter().copied().enumerate();
        let moved = (0..m).map(|j| row(j).filter(|(_, dp)| *dp != 0.0).collect()).collect();
        Self { d: derivatives.program.program.dim(), field, derivatives, m, moved, frozen }
    }
}

impl VectorField<f64> for SensitiveField<'_> {
    fn dim(&self) -> usize {
        (1 + self.m) * self.d
    }
    fn n_params(&self) -> usize {
        self.derivatives.program.program.n_params()
    }
    fn eval(&mut self, t: f64, z: &[f64], p: &[f64], dz: &mut [f64]) -> Result<(), FieldError> {
        let (d, t) = (self.d, self.frozen.unwrap_or(t));
        let ((y, s), (dy, ds)) = (z.split_at(d), dz.split_at_mut(d));
        self.field.eval(t, y, p, dy)?;
        self.derivatives.at(t, y, p);
        ds.fill(0.0);
        let derivatives = &*self.derivatives;
        for ((s, ds), moved) in s.chunks_exact(d).zip(ds.chunks_exact_mut(d)).zip(&self.moved) {
            for (k, &s) in s.iter().enumerate() {
                if s != 0.0 {
                    derivatives.column(k).for_each(|(i, x)| ds[i] += x * s);
                }
            }
            for &(k, dp) in moved {
                derivatives.column(d + k).for_each(|(i, x)| ds[i] += x * dp);
            }
        }
        Ok(())
    }
}

impl Jacobian<f64> for SensitiveField<'_> {
    fn sparsity(&self) -> Option<&Sparsity> {
        Jacobian::sparsity(self.field)
    }
    fn blocks(&self) -> usize {
        1 + self.m
    }
    fn eval_first_block(&mut self, t: f64, z: &[f64], p: &[f64], dz: &mut [f64]) -> Result<(), FieldError> {
        self.field.eval(self.frozen.unwrap_or(t), &z[..self.d], p, &mut dz[..self.d])
    }
    fn jacobian(&mut self, t: f64, z: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        self.field.jacobian(self.frozen.unwrap_or(t), &z[..self.d], p, values)
    }
}
