//! A net as a field that counts what it is asked for.

use chreode_core::{FieldError, Slot, VectorField, Vjp};
use chreode_model::SquareMlp;

pub(crate) struct Net {
    field: SquareMlp<f64>,
    /// Evaluations of the layers, and those that were kept.
    pub(crate) evaluations: usize,
    pub(crate) kept: usize,
}

impl Net {
    pub(crate) fn new(field: SquareMlp<f64>) -> Self {
        Self { field, evaluations: 0, kept: 0 }
    }
}

impl VectorField<f64> for Net {
    fn dim(&self) -> usize {
        self.field.dim()
    }
    fn n_params(&self) -> usize {
        self.field.n_params()
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.evaluations += 1;
        self.field.eval(t, y, p, dy)
    }
}

impl Vjp<f64> for Net {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.evaluations += 1; // it goes forward first
        self.field.vjp(t, y, p, lambda, y_bar, p_bar)
    }
    fn eval_kept(
        &mut self,
        slot: Slot,
        t: f64,
        y: &[f64],
        p: &[f64],
        dy: &mut [f64],
    ) -> Result<(), FieldError> {
        self.evaluations += 1;
        self.kept += 1;
        self.field.eval_kept(slot, t, y, p, dy)
    }
    fn vjp_kept(
        &mut self,
        slot: Slot,
        t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        self.field.vjp_kept(slot, t, y, p, lambda, y_bar, p_bar)
    }
    fn kept_bytes(&self, n: usize) -> usize {
        self.field.kept_bytes(n)
    }
}
