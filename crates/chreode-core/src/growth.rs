//! Growth: the net rate of division and death along a path.

use crate::{FieldError, Real};

/// A growth rate `γ(t, x)`, per unit of time: a cell's weight obeys `d ln w = γ dt` along its path.
pub trait Growth<T: Real> {
    /// Sets `rate`, `[n]`, from the states `y`, `[n, d]`.
    ///
    /// # Errors
    /// [`FieldError`] if the rate is undefined at a state.
    fn growth(&mut self, t: f64, y: &[T], p: &[T], rate: &mut [T]) -> Result<(), FieldError>;
}

/// A growth rate that can be differentiated.
pub trait GrowthVjp<T: Real>: Growth<T> {
    /// Adds `rate_barᵀ ∂γ/∂y` to `y_bar` (`[n, d]`) and `rate_barᵀ ∂γ/∂p` to `p_bar`, summed over the `n` rows.
    ///
    /// # Errors
    /// [`FieldError`] if the rate is undefined at a state.
    fn growth_vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        rate_bar: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError>;
}

/// Growth told apart: cells divide at a rate `b(t, x)` and die at a rate `d(t, x)`, per unit of time; `γ = b - d`.
pub trait BirthDeath<T: Real>: Growth<T> {
    /// Sets `birth` and `death`, `[n]` each and not negative, from the states `y`, `[n, d]`.
    ///
    /// # Errors
    /// [`FieldError`] if a rate is undefined at a state.
    fn birth_and_death(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        birth: &mut [T],
        death: &mut [T],
    ) -> Result<(), FieldError>;
}
