//! Constants on the left of an operator.

use std::ops::{Add, Div, Mul, Sub};

use crate::Number;

/// A constant that meets a [`Number`] on the right of an operator; see [`c`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lit(pub f64);

/// A constant for the left of an operator: `c(1.0) - x`, since `1.0 - x` cannot compile for every number type.
///
/// No derivative of a constant is stored or multiplied, which `S::c(1.0) - x` would pay for.
///
/// ```
/// use chreode_core::{Number, c};
/// fn logistic<S: Number>(x: S) -> S {
///     c(1.0) / (c(1.0) + (-x).exp())
/// }
/// assert_eq!(logistic(0.0_f64), 0.5);
/// ```
#[inline(always)]
pub const fn c(x: f64) -> Lit {
    Lit(x)
}

impl<S: Number> Add<S> for Lit {
    type Output = S;
    #[inline(always)]
    fn add(self, x: S) -> S {
        x + self.0
    }
}

impl<S: Number> Sub<S> for Lit {
    type Output = S;
    #[inline(always)]
    fn sub(self, x: S) -> S {
        -x + self.0
    }
}

impl<S: Number> Mul<S> for Lit {
    type Output = S;
    #[inline(always)]
    fn mul(self, x: S) -> S {
        x * self.0
    }
}

impl<S: Number> Div<S> for Lit {
    type Output = S;
    #[inline(always)]
    fn div(self, x: S) -> S {
        S::c(self.0) / x
    }
}
