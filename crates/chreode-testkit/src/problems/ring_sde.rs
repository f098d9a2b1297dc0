//! Coordinates coupled in a ring, with noise of a chosen structure; no closed form.

use chreode_core::{Calculus, Diffusion, FieldError, NoiseKind, Real, VectorField};

/// `dX_i = (−X_i + sin(t + 2 X_{i+1})) dt + g_i dW_i`, where `X_{i+1}` is the next coordinate of the ring.
///
/// `p = [σ]`. The noise is `σ √(1 + X_i²)` if separable, `σ √(1 + X_{i+1}²)` if diagonal (it does not commute), and
/// `σ (1 + sin(3t) / 2)` if additive.
#[derive(Debug, Clone)]
pub struct RingSde {
    /// Coordinates of one trajectory.
    pub dim: usize,
    /// Additive, separable or diagonal.
    pub noise: NoiseKind,
    /// The calculus in which the coefficients are meant.
    pub calculus: Calculus,
}

impl<T: Real> VectorField<T> for RingSde {
    fn dim(&self) -> usize {
        self.dim
    }
    fn n_params(&self) -> usize {
        1
    }
    fn eval(&mut self, t: f64, y: &[T], _p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        for (dy, y) in dy.chunks_exact_mut(self.dim).zip(y.chunks_exact(self.dim)) {
            for i in 0..self.dim {
                let next = y[(i + 1) % self.dim].f64();
                dy[i] = T::c((t + 2.0 * next).sin()) - y[i];
            }
        }
        Ok(())
    }
}

impl<T: Real> Diffusion<T> for RingSde {
    fn noise_kind(&self) -> NoiseKind {
        self.noise
    }
    fn calculus(&self) -> Calculus {
        self.calculus
    }
    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        for (g, y) in g.chunks_exact_mut(self.dim).zip(y.chunks_exact(self.dim)) {
            for i in 0..self.dim {
                let seen = match self.noise {
                    NoiseKind::Additive => T::ZERO,
                    NoiseKind::Separable => y[i],
                    _ => y[(i + 1) % self.dim],
                };
                g[i] = match self.noise {
                    NoiseKind::Additive => p[0] * T::c(1.0 + 0.5 * (3.0 * t).sin()),
                    _ => p[0] * (T::ONE + seen * seen).sqrt(),
                };
            }
        }
        Ok(())
    }
}
