//! Work on each row by itself, spread over threads.

use chreode_core::{Jacobian, Real};
use rayon::prelude::*;

use super::error::DiagnoseError;
use crate::SolveError;
use crate::error::{check_finite, check_params, rows};

/// Calls `each` for `n` rows over rayon's current thread pool, with what a worker owns, and returns their results in order; if
/// rows failed, the error of the first.
pub(super) fn for_rows<W, R: Send>(
    n: usize,
    worker: impl Fn() -> W + Sync + Send,
    each: impl Fn(&mut W, usize) -> Result<R, DiagnoseError> + Sync + Send,
) -> Result<Vec<R>, DiagnoseError> {
    // All rows finish before the first error is looked for, so that the error named is always the same.
    let done: Vec<Result<R, DiagnoseError>> = (0..n).into_par_iter().map_init(worker, each).collect();
    done.into_iter().collect()
}

/// The number of rows of `y`, `[n, d]`, after checks of the field, of lengths and of finiteness at time `t`.
pub(super) fn checked_rows<T: Real, F: Jacobian<T> + ?Sized>(
    f: &F,
    p: &[T],
    y: &[T],
    t: f64,
) -> Result<usize, DiagnoseError> {
    let n = checked_shape(f, p, y)?;
    finite_number("time", t)?;
    check_finite(y, f.dim(), 0, t)?;
    Ok(n)
}

/// The same for the states of `n` cells at each of `times`, `[times, n, d]`; returns the number of cells.
pub(super) fn checked_track<T: Real, F: Jacobian<T> + ?Sized>(
    f: &F,
    p: &[T],
    times: &[f64],
    states: &[T],
) -> Result<usize, DiagnoseError> {
    let all = checked_shape(f, p, states)?;
    if times.is_empty() || !all.is_multiple_of(times.len()) {
        return Err(SolveError::ShapeMismatch {
            what: "rows of states (a multiple of the number of times)",
            expected: times.len(),
            got: all,
        }
        .into());
    }
    let (n, d) = (all / times.len(), f.dim());
    for (i, &t) in times.iter().enumerate() {
        finite_number("time", t)?;
        check_finite(&states[i * n * d..(i + 1) * n * d], d, (i * n) as u64, t)?;
    }
    Ok(n)
}

fn checked_shape<T: Real, F: Jacobian<T> + ?Sized>(f: &F, p: &[T], y: &[T]) -> Result<usize, DiagnoseError> {
    if f.blocks() != 1 {
        return Err(DiagnoseError::Blocks { blocks: f.blocks() });
    }
    check_params(p.len(), f.n_params())?;
    Ok(rows(y.len(), f.dim())?)
}

/// The error if an option is not a positive finite number.
pub(super) fn positive_number(what: &'static str, got: f64) -> Result<(), SolveError> {
    if got > 0.0 && got.is_finite() {
        Ok(())
    } else {
        Err(SolveError::InvalidOption { what, must: "positive and finite", got })
    }
}

/// `t0 + length` for a positive length; the error if it is too long or too short for a number at `t0`.
pub(super) fn end_of(what: &'static str, t0: f64, length: f64) -> Result<f64, SolveError> {
    positive_number(what, length)?;
    let t1 = t0 + length;
    if t1.is_finite() && t1 > t0 {
        Ok(t1)
    } else {
        let must = "long enough to change the time, and not too long for a number";
        Err(SolveError::InvalidOption { what, must, got: length })
    }
}

/// The error if a number is infinite or NaN.
pub(super) fn finite_number(what: &'static str, got: f64) -> Result<(), SolveError> {
    if got.is_finite() { Ok(()) } else { Err(SolveError::InvalidOption { what, must: "finite", got }) }
}
