//! The noise of a stochastic differential equation `dX = f(t, X) dt + g(t, X) dW`.

use crate::{FieldError, Real, VectorField, Vjp};

/// The structure of `g`, which decides what a scheme may do and how `g` is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NoiseKind {
    /// Diagonal and independent of the state: one value a coordinate, `[n, d]`.
    Additive,
    /// Diagonal: coordinate `i` is driven by its own Brownian motion with `g_i(t, x)`, `[n, d]`.
    Diagonal,
}

/// An SDE: a vector field (the drift) with a diffusion. Units: state per square root of time.
pub trait Diffusion<T: Real>: VectorField<T> {
    /// The structure of the noise.
    fn noise_kind(&self) -> NoiseKind;

    /// Sets `g`, `[n, d]`, from the states `y`, `[n, d]`.
    ///
    /// # Errors
    /// [`FieldError`] if the diffusion is undefined at a state.
    fn diffusion(&mut self, t: f64, y: &[T], p: &[T], g: &mut [T]) -> Result<(), FieldError>;

    /// Sets drift `f` and diffusion `g` at once, both `[n, d]`: what a scheme calls.
    ///
    /// Override it where the two share work, as in chemical Langevin noise.
    ///
    /// # Errors
    /// [`FieldError`] if drift or diffusion is undefined at a state.
    fn drift_and_diffusion(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        f: &mut [T],
        g: &mut [T],
    ) -> Result<(), FieldError> {
        self.eval(t, y, p, f)?;
        self.diffusion(t, y, p, g)
    }
}

/// A differentiable SDE.
pub trait DiffusionVjp<T: Real>: Diffusion<T> + Vjp<T> {
    /// Adds `g_barᵀ ∂g/∂y` to `y_bar` (`[n, d]`) and `g_barᵀ ∂g/∂p` to `p_bar`, summed over the `n` rows.
    ///
    /// # Errors
    /// [`FieldError`] if the diffusion is undefined at a state.
    fn diffusion_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        g_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError>;

    /// Sets `y_bar = f_barᵀ ∂f/∂y + g_barᵀ ∂g/∂y` (`[n, d]`) and ADDS the same in `∂p` to `p_bar`.
    ///
    /// # Errors
    /// [`FieldError`] if drift or diffusion is undefined at a state.
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
        self.vjp(t, y, p, f_bar, y_bar, p_bar)?;
        self.diffusion_vjp(t, y, p, g_bar, y_bar, p_bar)
    }
}
