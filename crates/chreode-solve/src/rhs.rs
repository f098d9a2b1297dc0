//! A right-hand side as a method sees it.

use chreode_core::{FieldError, Jacobian, Jvp, Real, VectorField};

use crate::newton::part::Part;

/// A vector field with what it can say of its derivatives.
///
/// Explicit methods evaluate it. Implicit ones use the best that is there: the Jacobian, products with it, or
/// differences of evaluations.
#[non_exhaustive]
pub enum Rhs<'a, T> {
    /// Evaluations alone.
    Field(&'a mut dyn VectorField<T>),
    /// With its Jacobian.
    Jacobian(&'a mut dyn Jacobian<T>),
    /// With Jacobian-vector products, for methods that need no matrix.
    Jvp(&'a mut dyn Jvp<T>),
}

impl<T: Real> Rhs<'_, T> {
    /// Number of coordinates of one trajectory.
    pub fn dim(&self) -> usize {
        match self {
            Self::Field(f) => f.dim(),
            Self::Jacobian(f) => f.dim(),
            Self::Jvp(f) => f.dim(),
        }
    }

    /// Length of the parameter slice.
    pub fn n_params(&self) -> usize {
        match self {
            Self::Field(f) => f.n_params(),
            Self::Jacobian(f) => f.n_params(),
            Self::Jvp(f) => f.n_params(),
        }
    }

    /// The field alone.
    pub(crate) fn field(&mut self) -> &mut dyn VectorField<T> {
        match self {
            Self::Field(f) => &mut **f,
            Self::Jacobian(f) => &mut **f,
            Self::Jvp(f) => &mut **f,
        }
    }

    /// As [`VectorField::eval`].
    ///
    /// # Errors
    /// The field's.
    #[inline]
    pub fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        match self {
            Self::Field(f) => f.eval(t, y, p, dy),
            Self::Jacobian(f) => f.eval(t, y, p, dy),
            Self::Jvp(f) => f.eval(t, y, p, dy),
        }
    }
}

impl<T: Real> Rhs<'_, T> {
    /// As [`eval`](Self::eval), or for the first block alone as [`Jacobian::eval_first_block`].
    #[inline]
    pub(crate) fn eval_part(
        &mut self,
        part: Part,
        t: f64,
        y: &[T],
        p: &[T],
        dy: &mut [T],
    ) -> Result<(), FieldError> {
        match self {
            Self::Jacobian(f) if part.is_first_block() => f.eval_first_block(t, y, p, dy),
            _ => self.eval(t, y, p, dy),
        }
    }
}

impl<T> std::fmt::Debug for Rhs<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Field(_) => "Rhs::Field",
            Self::Jacobian(_) => "Rhs::Jacobian",
            Self::Jvp(_) => "Rhs::Jvp",
        })
    }
}
