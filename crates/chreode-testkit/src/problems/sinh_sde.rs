//! An Itô equation with state-dependent noise that is non-linear, non-autonomous and solved in closed form.

use chreode_core::{
    Diffusion, DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, FieldError, NoiseKind, Real, VectorField, Vjp,
};

/// `dX = (σ² X / 2 + a cos t √(1 + X²)) dt + σ √(1 + X²) dW` in each of `d` independent coordinates.
///
/// `p = [a, σ]`. By Itô's formula `X(t) = sinh(asinh X(0) + a sin t + σ W(t))`.
#[derive(Debug, Clone)]
pub struct SinhSde {
    /// Coordinates of one trajectory.
    pub dim: usize,
}

impl SinhSde {
    /// The solution at `t`, from `y0` at time 0, where the Brownian motion has reached `w`.
    pub fn exact(t: f64, y0: f64, w: f64, p: &[f64]) -> f64 {
        (y0.asinh() + p[0] * t.sin() + p[1] * w).sinh()
    }

    /// Expectation of the solution: `exp(σ² t / 2) sinh(asinh X(0) + a sin t)`.
    pub fn mean(t: f64, y0: f64, p: &[f64]) -> f64 {
        (p[1] * p[1] * t / 2.0).exp() * (y0.asinh() + p[0] * t.sin()).sinh()
    }
}

fn root<T: Real>(y: T) -> T {
    (T::ONE + y * y).sqrt()
}

impl<T: Real> VectorField<T> for SinhSde {
    fn dim(&self) -> usize {
        self.dim
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let (half_s2, forcing) = (p[1] * p[1] * T::c(0.5), p[0] * T::c(t.cos()));
        for (dy, &y) in dy.iter_mut().zip(y) {
            *dy = half_s2 * y + forcing * root(y);
        }
        Ok(())
    }
}

impl<T: Real> Vjp<T> for SinhSde {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let cos = T::c(t.cos());
        for ((y_bar, &y), &l) in y_bar.iter_mut().zip(y).zip(lambda) {
            let r = root(y);
            *y_bar = l * (p[1] * p[1] * T::c(0.5) + p[0] * cos * y / r);
            p_bar[0] += l * cos * r;
            p_bar[1] += l * p[1] * y;
        }
        Ok(())
    }
}

impl<T: Real> Diffusion<T> for SinhSde {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Separable
    }
    fn with_jvp(&mut self) -> Option<&mut dyn DiffusionJvp<T>> {
        Some(self)
    }
    fn diffusion(&mut self, _t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        for (g, &y) in g.iter_mut().zip(y) {
            *g = p[1] * root(y);
        }
        Ok(())
    }
}

impl<T: Real> DiffusionJvp<T> for SinhSde {
    fn diffusion_jvp(&mut self, _t: f64, y: &[T], p: &[T], v: &[T], gv: &mut [T]) -> Result<(), FieldError> {
        for ((gv, &y), &v) in gv.iter_mut().zip(y).zip(v) {
            *gv = p[1] * y / root(y) * v;
        }
        Ok(())
    }
}

impl<T: Real> DiffusionVjp<T> for SinhSde {
    fn with_jvp_vjp(&mut self) -> Option<&mut dyn DiffusionJvpVjp<T>> {
        Some(self)
    }
    fn diffusion_vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        for ((y_bar, &y), &g) in y_bar.iter_mut().zip(y).zip(g_bar) {
            let r = root(y);
            *y_bar += g * p[1] * y / r;
            p_bar[1] += g * r;
        }
        Ok(())
    }
}

impl<T: Real> DiffusionJvpVjp<T> for SinhSde {
    fn diffusion_jvp_vjp(
        &mut self,
        _t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        gv_bar: &[T],
        y_bar: &mut [T],
        v_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        for (i, (&y, &v)) in y.iter().zip(v).enumerate() {
            let r = root(y);
            y_bar[i] += gv_bar[i] * p[1] * v / (r * r * r);
            v_bar[i] += gv_bar[i] * p[1] * y / r;
            p_bar[1] += gv_bar[i] * y / r * v;
        }
        Ok(())
    }
}
