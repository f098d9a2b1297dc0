//! An equation whose coordinates share several Brownian motions, non-linear, non-autonomous and solved in closed form.

use chreode_core::{Calculus, Diffusion, DiffusionVjp, FieldError, NoiseKind, Real, VectorField, Vjp};

/// `dX_i = (c_i X_i / 2 + a cos t √(1 + X_i²)) dt + √(1 + X_i²) Σ_k S_ik dW_k`, with `c_i = Σ_k S_ik²` in Itô calculus and
/// 0 in Stratonovich's.
///
/// `p = [a]`. Both have the solution `X_i(t) = sinh(asinh X_i(0) + a sin t + Σ_k S_ik W_k(t))`. The noise commutes.
#[derive(Debug, Clone)]
pub struct MixedSinhSde {
    /// `S`, `[d, motions]`.
    pub mixing: Vec<f64>,
    /// Number of Brownian motions.
    pub motions: usize,
    /// The calculus in which the coefficients are meant.
    pub calculus: Calculus,
}

impl MixedSinhSde {
    /// The solution at `t`, from `y0`, `[d]`, at time 0, where the Brownian motions have reached `w`, `[motions]`.
    pub fn exact(&self, t: f64, y0: &[f64], w: &[f64], p: &[f64]) -> Vec<f64> {
        let mixed =
            self.mixing.chunks_exact(self.motions).map(|s| s.iter().zip(w).map(|(s, w)| s * w).sum::<f64>());
        y0.iter().zip(mixed).map(|(y0, w)| (y0.asinh() + p[0] * t.sin() + w).sinh()).collect()
    }

    /// The entries of `S` for value `i` of a slice of states.
    fn row(&self, i: usize) -> &[f64] {
        let d = self.mixing.len() / self.motions;
        &self.mixing[(i % d) * self.motions..(i % d + 1) * self.motions]
    }

    fn correction(&self, i: usize) -> f64 {
        match self.calculus {
            Calculus::Ito => 0.5 * self.row(i).iter().map(|s| s * s).sum::<f64>(),
            Calculus::Stratonovich => 0.0,
        }
    }
}

impl<T: Real> VectorField<T> for MixedSinhSde {
    fn dim(&self) -> usize {
        self.mixing.len() / self.motions
    }
    fn n_params(&self) -> usize {
        1
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let forcing = p[0] * T::c(t.cos());
        for (i, (dy, &y)) in dy.iter_mut().zip(y).enumerate() {
            let correction = self.correction(i);
            *dy = T::c(correction) * y + forcing * (T::ONE + y * y).sqrt();
        }
        Ok(())
    }
}

impl<T: Real> Diffusion<T> for MixedSinhSde {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::General { motions: self.motions }
    }
    fn calculus(&self) -> Calculus {
        self.calculus
    }
    fn diffusion(&mut self, _t: f64, y: &[T], _p: &[T], g: &mut [T]) -> Result<(), FieldError> {
        for (i, (g, &y)) in g.chunks_exact_mut(self.motions).zip(y).enumerate() {
            let (root, row) = ((T::ONE + y * y).sqrt(), self.row(i));
            g.iter_mut().zip(row).for_each(|(g, &s)| *g = T::c(s) * root);
        }
        Ok(())
    }
}

impl<T: Real> Vjp<T> for MixedSinhSde {
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
        for (i, ((y_bar, &y), &l)) in y_bar.iter_mut().zip(y).zip(lambda).enumerate() {
            let root = (T::ONE + y * y).sqrt();
            *y_bar = l * (T::c(self.correction(i)) + p[0] * cos * y / root);
            p_bar[0] += l * cos * root;
        }
        Ok(())
    }
}

impl<T: Real> DiffusionVjp<T> for MixedSinhSde {
    fn diffusion_vjp(
        &mut self,
        _t: f64,
        y: &[T],
        _p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        _p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        for (i, (g_bar, &y)) in g_bar.chunks_exact(self.motions).zip(y).enumerate() {
            let sum = g_bar.iter().zip(self.row(i)).fold(T::ZERO, |sum, (&g, &s)| sum + g * T::c(s));
            y_bar[i] += sum * y / (T::ONE + y * y).sqrt();
        }
        Ok(())
    }
}
