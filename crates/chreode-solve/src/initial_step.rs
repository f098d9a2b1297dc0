//! The first step size, from the sizes of state, derivative and second derivative.
//! Source: [HNW93] section II.4.

use chreode_core::{FieldError, Real, Tolerance};

use crate::error_norm::error_norm;
use crate::rhs::Rhs;

/// Proposes a first step of a method whose error scales with `h^error_order`. `f0` is the field at `(t, y)`;
/// `y1`, `f1` and `ratio` are scratch. One evaluation.
///
/// A step into a place where the field is undefined or not finite falls back to a thousandth of the first guess:
/// the loop will find out.
///
/// # Errors
/// [`FieldError::Fatal`] of the field.
pub(crate) fn initial_step<T: Real>(
    f: &mut Rhs<'_, T>,
    t: f64,
    t_end: f64,
    y: &[T],
    p: &[T],
    f0: &[T],
    error_order: u32,
    tol: Tolerance<'_>,
    y1: &mut [T],
    f1: &mut [T],
    ratio: &mut [T],
) -> Result<f64, FieldError> {
    let d = f.dim();
    let d0 = error_norm(y, y, y, d, tol, ratio);
    let d1 = error_norm(f0, y, y, d, tol, ratio);
    let h0 = first_guess(d0, d1, (t_end - t).abs());
    let step = if t_end >= t { h0 } else { -h0 };
    let signed = T::c(step);
    for ((y1, &y), &f0) in y1.iter_mut().zip(y).zip(f0) {
        *y1 = y + signed * f0;
    }
    match f.eval(t + step, y1, p, f1) {
        Ok(()) => {}
        Err(FieldError::Recoverable { .. }) => return Ok(h0 * 1e-3),
        Err(e) => return Err(e),
    }
    for (f1, &f0) in f1.iter_mut().zip(f0) {
        *f1 -= f0;
    }
    let change = error_norm(f1, y, y, d, tol, ratio);
    Ok(refined(h0, d1, change, error_order))
}

/// The first guess, from the sizes of state and derivative, no longer than the span.
pub(crate) fn first_guess(state: f64, derivative: f64, span: f64) -> f64 {
    let guess = if state < 1e-5 || derivative < 1e-5 { 1e-6 } else { 0.01 * state / derivative };
    // Sizes may have overflowed, or the derivative may be NaN.
    let guess = if guess > 0.0 && guess.is_finite() { guess } else { 1e-6 };
    guess.min(span)
}

/// The first step, from the guess, the size of the derivative, and that of its change over the guess.
pub(crate) fn refined(guess: f64, derivative: f64, change: f64, error_order: u32) -> f64 {
    let second = change / guess;
    if second.is_nan() {
        return guess * 1e-3;
    }
    let steepest = derivative.max(second);
    let h1 = if steepest <= 1e-15 {
        (guess * 1e-3).max(1e-6)
    } else {
        (0.01 / steepest).powf(1.0 / f64::from(error_order))
    };
    // `steepest` may be infinite: then h1 is zero.
    if h1 > 0.0 { h1.min(100.0 * guess) } else { guess * 1e-3 }
}
