//! The adjoint equation as a vector field.

use chreode_core::{FieldError, Real, VectorField, Vjp};

use super::ContinuousMethod;
use super::track::Track;

/// `dλ/dt = -(∂f/∂y)ᵀ λ`, with what the method solves beside it: the state, and `dμ/dt = -(∂f/∂p)ᵀ λ`.
pub(super) struct AdjointField<'a, T> {
    pub(super) method: ContinuousMethod,
    pub(super) f: &'a mut dyn Vjp<T>,
    /// The forward run, unless the state is solved backward.
    pub(super) track: &'a Track<T>,
    /// Number of values of the state, and of parameters.
    pub(super) nd: usize,
    pub(super) np: usize,
    /// The state at the time; what nobody asked for.
    pub(super) y: &'a mut [T],
    pub(super) p_bar: &'a mut [T],
}

impl<T: Real> VectorField<T> for AdjointField<'_, T> {
    fn dim(&self) -> usize {
        match self.method {
            ContinuousMethod::Gauss => self.f.dim(),
            ContinuousMethod::Interpolating => self.nd + self.np,
            ContinuousMethod::Backsolve => 2 * self.nd + self.np,
        }
    }

    fn n_params(&self) -> usize {
        self.f.n_params()
    }

    fn eval(&mut self, t: f64, z: &[T], p: &[T], dz: &mut [T]) -> Result<(), FieldError> {
        let nd = self.nd;
        let (y, z, dz) = if self.method == ContinuousMethod::Backsolve {
            let ((y, z), (dy, dz)) = (z.split_at(nd), dz.split_at_mut(nd));
            self.f.eval(t, y, p, dy)?;
            (y, z, dz)
        } else {
            self.track.at(t, self.y);
            (&*self.y, z, dz)
        };
        let (d_lambda, d_mu) = dz.split_at_mut(nd);
        if self.method == ContinuousMethod::Gauss {
            self.f.vjp(t, y, p, z, d_lambda, self.p_bar)?;
        } else {
            d_mu.fill(T::ZERO);
            self.f.vjp(t, y, p, &z[..nd], d_lambda, d_mu)?;
        }
        d_lambda.iter_mut().chain(d_mu).for_each(|v| *v = -*v);
        Ok(())
    }
}
