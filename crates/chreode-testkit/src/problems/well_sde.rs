//! An Itô equation with additive noise in a driven double well, with a growth rate.

use chreode_core::{
    Diffusion, DiffusionVjp, FieldError, Growth, GrowthVjp, NoiseKind, Real, VectorField, Vjp,
};

/// `dX = (a X - X³ + b sin 3t) dt + σ dW` in each of `d` independent coordinates, with growth `γ = c Σᵢ Xᵢ²`.
///
/// `p = [a, b, σ, c]`. No closed form; additive noise, so that Euler-Maruyama has strong order 1.
#[derive(Debug, Clone)]
pub struct WellSde {
    /// Coordinates of one trajectory.
    pub dim: usize,
}

impl<T: Real> VectorField<T> for WellSde {
    fn dim(&self) -> usize {
        self.dim
    }
    fn n_params(&self) -> usize {
        4
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let forcing = p[1] * T::c((3.0 * t).sin());
        for (dy, &y) in dy.iter_mut().zip(y) {
            *dy = p[0] * y - y * y * y + forcing;
        }
        Ok(())
    }
}

impl<T: Real> Vjp<T> for WellSde {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let sin = T::c((3.0 * t).sin());
        for ((y_bar, &y), &l) in y_bar.iter_mut().zip(y).zip(lambda) {
            *y_bar = l * (p[0] - T::c(3.0) * y * y);
            p_bar[0] += l * y;
            p_bar[1] += l * sin;
        }
        Ok(())
    }
}

impl<T: Real> Diffusion<T> for WellSde {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Additive
    }
    fn diffusion(&mut self, _t: f64, _y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        g.fill(p[2]);
        Ok(())
    }
}

impl<T: Real> DiffusionVjp<T> for WellSde {
    fn diffusion_vjp(
        &mut self,
        _t: f64,
        _y: &[T],
        _p: &[T],
        g_bar: &[T],
        _y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        p_bar[2] += g_bar.iter().copied().sum();
        Ok(())
    }
}

impl<T: Real> Growth<T> for WellSde {
    fn growth(&mut self, _t: f64, y: &[T], p: &[T], rate: &mut [T]) -> Result<(), FieldError> {
        for (rate, y) in rate.iter_mut().zip(y.chunks_exact(self.dim)) {
            *rate = p[3] * y.iter().map(|&y| y * y).sum();
        }
        Ok(())
    }
}

impl<T: Real> GrowthVjp<T> for WellSde {
    fn growth_vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        rate_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let rows = y.chunks_exact(self.dim).zip(y_bar.chunks_exact_mut(self.dim));
        for ((y, y_bar), &r) in rows.zip(rate_bar) {
            for (y_bar, &y) in y_bar.iter_mut().zip(y) {
                *y_bar += r * p[3] * T::c(2.0) * y;
                p_bar[3] += r * y * y;
            }
        }
        Ok(())
    }
}
