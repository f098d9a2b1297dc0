//! Coordinates coupled in a ring, with noise of a chosen structure; no closed form.

use chreode_core::{Calculus, Diffusion, DiffusionVjp, FieldError, NoiseKind, Real, VectorField, Vjp};

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

impl<T: Real> Vjp<T> for RingSde {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        _p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        _p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let d = self.dim;
        let rows = y_bar.chunks_exact_mut(d).zip(y.chunks_exact(d)).zip(lambda.chunks_exact(d));
        for ((y_bar, y), l) in rows {
            y_bar.iter_mut().zip(l).for_each(|(bar, &l)| *bar = -l);
            for i in 0..d {
                let next = (i + 1) % d;
                y_bar[next] += l[i] * T::c(2.0 * (t + 2.0 * y[next].f64()).cos());
            }
        }
        Ok(())
    }
}

impl<T: Real> DiffusionVjp<T> for RingSde {
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let d = self.dim;
        let rows = y_bar.chunks_exact_mut(d).zip(y.chunks_exact(d)).zip(g_bar.chunks_exact(d));
        for ((y_bar, y), g) in rows {
            for i in 0..d {
                let seen = match self.noise {
                    NoiseKind::Additive => {
                        p_bar[0] += g[i] * T::c(1.0 + 0.5 * (3.0 * t).sin());
                        continue;
                    }
                    NoiseKind::Separable => i,
                    _ => (i + 1) % d,
                };
                let root = (T::ONE + y[seen] * y[seen]).sqrt();
                y_bar[seen] += g[i] * p[0] * y[seen] / root;
                p_bar[0] += g[i] * root;
            }
        }
        Ok(())
    }
}
