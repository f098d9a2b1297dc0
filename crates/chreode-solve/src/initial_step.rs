//! The first step size, from the sizes of state, derivative and second derivative.
//! Source: [HNW93] section II.4.

use chreode_core::{FieldError, Real, Tolerance};

use crate::error_norm::worst_norm;
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
    let d0 = worst_norm(y, y, y, d, tol, ratio);
    let d1 = worst_norm(f0, y, y, d, tol, ratio);
    let guess = if d0 < 1e-5 || d1 < 1e-5 { 1e-6 } else { 0.01 * d0 / d1 };
    // Sizes may have overflowed, or the derivative may be NaN.
    let h0 = if guess > 0.0 && guess.is_finite() { guess } else { 1e-6 }.min((t_end - t).abs());
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
    let d2 = worst_norm(f1, y, y, d, tol, ratio) / h0;
    if d2.is_nan() {
        return Ok(h0 * 1e-3);
    }
    let steepest = d1.max(d2);
    let h1 = if steepest <= 1e-15 {
        (h0 * 1e-3).max(1e-6)
    } else {
        (0.01 / steepest).powf(1.0 / f64::from(error_order))
    };
    // `steepest` may be infinite: then h1 is zero.
    Ok(if h1 > 0.0 { h1.min(100.0 * h0) } else { h0 * 1e-3 })
}
