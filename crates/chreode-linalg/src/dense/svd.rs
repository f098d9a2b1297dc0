//! Singular values and vectors.

use faer::diag::Diag;
use faer::dyn_stack::MemStack;
use faer::linalg::svd::{self as faer_svd, ComputeSvdVectors};
use faer::{Mat, MatRef, Par};
use nalgebra::DMatrix;

use super::eigen::{negate, orient};
use crate::error::{LinalgError, check};

/// From this size on faer is faster with vectors (50: 280 against 273 µs; 100: 4.0 against 1.4 ms).
const LARGE: usize = 50;
/// The same for values alone (200: 3.7 against 4.7 ms; 400: 43 against 33).
const VALUES_LARGE: usize = 256;
/// Sweeps of nalgebra's iterations, for each row.
const SWEEPS: usize = 100;

/// `A = U diag(s) Vᵀ` with r = min(m, n) components.
#[derive(Clone, Debug)]
pub struct Svd {
    /// Left singular vectors in the columns of a row-major `[m, r]`.
    pub u: Vec<f64>,
    /// Singular values, descending.
    pub s: Vec<f64>,
    /// Right singular vectors in the rows of `[r, n]`; the largest component of each is positive.
    pub vt: Vec<f64>,
}

/// Thin SVD of `a`, `[m, n]` row-major.
///
/// # Errors
/// [`LinalgError`] if the length is not `m * n`, an element is not finite, or the iteration fails.
pub fn svd(a: &[f64], m: usize, n: usize) -> Result<Svd, LinalgError> {
    check(a, m, n)?;
    let r = m.min(n);
    if r == 0 {
        return Ok(Svd { u: Vec::new(), s: Vec::new(), vt: Vec::new() });
    }
    let failed = LinalgError::NoConvergence { what: "singular values", n: m.max(n) };
    let (mut u, s, mut vt) = if r < LARGE {
        let svd = nalgebra::SVD::try_new(
            DMatrix::from_row_slice(m, n, a),
            true,
            true,
            5.0 * f64::EPSILON,
            SWEEPS * m.max(n),
        )
        .ok_or(failed)?;
        let (Some(u), Some(vt)) = (svd.u, svd.v_t) else { return Err(failed) };
        let rows = |x: &DMatrix<f64>| x.transpose().as_slice().to_vec();
        (rows(&u), svd.singular_values.as_slice().to_vec(), rows(&vt))
    } else {
        let mut s = Diag::<f64>::zeros(r);
        let (mut u, mut v) = (Mat::<f64>::zeros(m, r), Mat::<f64>::zeros(n, r));
        let thin = ComputeSvdVectors::Thin;
        let scratch = faer_svd::svd_scratch::<f64>(m, n, thin, thin, Par::Seq, faer::prelude::default());
        faer_svd::svd(
            MatRef::from_row_major_slice(a, m, n),
            s.as_mut(),
            Some(u.as_mut()),
            Some(v.as_mut()),
            Par::Seq,
            MemStack::new(&mut super::stack(scratch)),
            faer::prelude::default(),
        )
        .map_err(|_| failed)?;
        let s: Vec<f64> = (0..r).map(|i| s[i]).collect();
        (super::row_major(u.as_ref()), s, super::row_major(v.as_ref().transpose()))
    };
    for (k, row) in vt.chunks_exact_mut(n).enumerate() {
        if orient(row) {
            negate(u[k..].iter_mut().step_by(r));
        }
    }
    Ok(Svd { u, s, vt })
}

/// Singular values of `a`, `[m, n]` row-major, descending.
///
/// # Errors
/// As [`svd`].
pub fn singular_values(a: &[f64], m: usize, n: usize) -> Result<Vec<f64>, LinalgError> {
    check(a, m, n)?;
    let r = m.min(n);
    if r == 0 {
        return Ok(Vec::new());
    }
    let failed = LinalgError::NoConvergence { what: "singular values", n: m.max(n) };
    if r < VALUES_LARGE {
        let a = DMatrix::from_row_slice(m, n, a);
        let svd =
            nalgebra::SVD::try_new(a, false, false, 5.0 * f64::EPSILON, SWEEPS * m.max(n)).ok_or(failed)?;
        return Ok(svd.singular_values.as_slice().to_vec());
    }
    let mut s = Diag::<f64>::zeros(r);
    let no = ComputeSvdVectors::No;
    let scratch = faer_svd::svd_scratch::<f64>(m, n, no, no, Par::Seq, faer::prelude::default());
    faer_svd::svd(
        MatRef::from_row_major_slice(a, m, n),
        s.as_mut(),
        None,
        None,
        Par::Seq,
        MemStack::new(&mut super::stack(scratch)),
        faer::prelude::default(),
    )
    .map_err(|_| failed)?;
    Ok((0..r).map(|i| s[i]).collect())
}

/// The spectral norm of `a`, `[m, n]` row-major: its largest singular value; 0 if it is empty.
///
/// # Errors
/// As [`svd`].
pub fn spectral_norm(a: &[f64], m: usize, n: usize) -> Result<f64, LinalgError> {
    Ok(singular_values(a, m, n)?.first().copied().unwrap_or(0.0))
}
