//! A field with parameters whose gradient is not finite in one place.

use chreode_core::{FieldError, VectorField, Vjp};

/// Decay, whose derivative by the second parameter is none where the second coordinate is `bad`.
#[derive(Clone)]
pub(crate) struct NanParameter {
    pub(crate) bad: f64,
}
impl VectorField<f64> for NanParameter {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, _t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        for (y, dy) in y.chunks(2).zip(dy.chunks_mut(2)) {
            (dy[0], dy[1]) = (-y[0], 0.0);
        }
        Ok(())
    }
}
impl Vjp<f64> for NanParameter {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[f64],
        _p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        for ((y, lambda), y_bar) in y.chunks(2).zip(lambda.chunks(2)).zip(y_bar.chunks_mut(2)) {
            (y_bar[0], y_bar[1]) = (-lambda[0], 0.0);
            p_bar[0] += lambda[0];
            p_bar[1] += if y[1] == self.bad { f64::INFINITY } else { lambda[1] };
        }
        Ok(())
    }
}
