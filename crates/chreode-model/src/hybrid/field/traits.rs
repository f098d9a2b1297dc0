//! What a hybrid is to solvers, adjoints and files: the traits, on top of its passes forward and backward.

use chreode_core::{
    Diffusion, DiffusionVjp, FieldError, Jacobian, NoiseKind, ParamLayout, Real, VectorField, Vjp,
};

use super::Hybrid;
use crate::hybrid::{HybridConfig, Rates};
use crate::mlp::TILE;
use crate::{ConfigError, Stored};

impl<T: Real> Stored for Hybrid<T> {
    type Config = HybridConfig;
    const FORMAT: &'static str = "chreode-hybrid/1";
    fn from_config(config: HybridConfig) -> Result<Self, ConfigError> {
        Self::from_laws(config)
    }
    fn config(&self) -> HybridConfig {
        self.config.clone()
    }
    fn layout(&self) -> ParamLayout {
        self.layout.clone()
    }
}

impl<T: Real, R: Rates<T>> VectorField<T> for Hybrid<T, R> {
    fn dim(&self) -> usize {
        self.config.dim()
    }
    fn n_params(&self) -> usize {
        self.layout.len()
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, dy.len(), None)?;
        self.forward(t, y, p, Some(dy), None)
    }
}

impl<T: Real, R: Rates<T>> Vjp<T> for Hybrid<T, R> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, lambda.len(), None)?;
        self.check(t, y, p_bar, y_bar.len(), None)?;
        y_bar.fill(T::ZERO);
        self.backward(t, y, p, Some(lambda), None, y_bar, p_bar)
    }
    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
        Some(self)
    }
}

/// `V⁻¹ S ∂r/∂x`, a reaction a row of one tile: conserved sums have no part in it but rounding.
impl<T: Real, R: Rates<T>> Jacobian<T> for Hybrid<T, R> {
    fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, y.len(), None)?;
        let (d, m) = (self.config.dim(), self.reactions.len());
        if y.len() != d || values.len() != d * d {
            return Err(FieldError::Fatal { t, what: "hybrid: a Jacobian is [d, d], of one trajectory" });
        }
        values.fill(T::ZERO);
        let (mut rows, mut rows_bar) = (std::mem::take(&mut self.rows), std::mem::take(&mut self.rows_bar));
        let mut unread = std::mem::take(&mut self.unread);
        rows.chunks_exact_mut(d).for_each(|row| row.copy_from_slice(y));
        unread.clear();
        unread.resize(p.len(), T::ZERO);
        let mut result = Ok(());
        for first in (0..m).step_by(TILE) {
            let n = TILE.min(m - first);
            rows_bar.fill(T::ZERO);
            result = self.forward_tile(t, n, &rows[..n * d], p).and_then(|()| {
                self.rates_bar[..n * m].fill(T::ZERO);
                self.activity_bar[..n * m].fill(T::ZERO);
                (0..n).for_each(|r| self.rates_bar[r * m + first + r] = T::ONE);
                self.backward_tile(t, n, &rows[..n * d], p, &mut rows_bar[..n * d], &mut unread)
            });
            if result.is_err() {
                break;
            }
            for (reaction, slopes) in self.reactions[first..].iter().zip(rows_bar[..n * d].chunks_exact(d)) {
                for &(i, by) in &reaction.change {
                    for (value, &slope) in values[i * d..(i + 1) * d].iter_mut().zip(slopes) {
                        *value += by * slope;
                    }
                }
            }
        }
        for (row, &inv_volume) in values.chunks_exact_mut(d).zip(&self.inv_volume) {
            row.iter_mut().for_each(|value| *value *= inv_volume);
        }
        (self.rows, self.rows_bar, self.unread) = (rows, rows_bar, unread);
        result
    }
}

impl<T: Real, R: Rates<T>> Diffusion<T> for Hybrid<T, R> {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::General { motions: self.reactions.len() }
    }
    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        self.check(t, y, p, y.len(), Some(g.len()))?;
        self.forward(t, y, p, None, Some(g))
    }
    fn drift_and_diffusion(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f: &mut [T],
        g: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, f.len(), Some(g.len()))?;
        self.forward(t, y, p, Some(f), Some(g))
    }
}

impl<T: Real, R: Rates<T>> DiffusionVjp<T> for Hybrid<T, R> {
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, y_bar.len(), Some(g_bar.len()))?;
        self.check(t, y, p_bar, y.len(), None)?;
        self.backward(t, y, p, None, Some(g_bar), y_bar, p_bar)
    }
    fn drift_and_diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f_bar: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        self.check(t, y, p, f_bar.len(), Some(g_bar.len()))?;
        self.check(t, y, p_bar, y_bar.len(), None)?;
        y_bar.fill(T::ZERO);
        self.backward(t, y, p, Some(f_bar), Some(g_bar), y_bar, p_bar)
    }
}
