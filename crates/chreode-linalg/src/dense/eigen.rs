//! Eigenvalues of symmetric and of general matrices.

use faer::diag::Diag;
use faer::dyn_stack::MemStack;
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::{Mat, MatRef, Par};
use nalgebra::DMatrix;

use crate::error::{LinalgError, check};

/// From this size on faer is faster for symmetric matrices (50: 140 against 166 µs; 100: 940 against 820; 400: 102
/// against 32 ms).
const SYMMETRIC_LARGE: usize = 64;
/// The same for general ones (50: 0.27 against 1.2 ms; 200: 31 against 30; 400: 194 against 99).
const GENERAL_LARGE: usize = 200;
/// Sweeps of nalgebra's iterations, for each row.
const SWEEPS: usize = 100;

/// `A = V diag(λ) Vᵀ` of a symmetric matrix.
#[derive(Clone, Debug)]
pub struct SymmetricEigen {
    /// Eigenvalues, ascending.
    pub values: Vec<f64>,
    /// Eigenvectors in the COLUMNS of a row-major `[n, n]`, in the order of the values; the largest component of each is positive.
    pub vectors: Vec<f64>,
}

/// Eigenvalues and eigenvectors of a symmetric `a`, `[n, n]`; only the lower triangle is read.
///
/// # Errors
/// [`LinalgError`] if the length is not n², an element is not finite, or the iteration fails.
pub fn symmetric_eigen(a: &[f64], n: usize) -> Result<SymmetricEigen, LinalgError> {
    check(a, n, n)?;
    let failed = LinalgError::NoConvergence { what: "symmetric eigenvalues", n };
    let mut pairs: Vec<(f64, Vec<f64>)> = if n < SYMMETRIC_LARGE {
        let lower = DMatrix::from_fn(n, n, |i, j| a[i.max(j) * n + i.min(j)]);
        let eigen =
            nalgebra::SymmetricEigen::try_new(lower, f64::EPSILON, SWEEPS * n.max(1)).ok_or(failed)?;
        let columns = eigen.eigenvectors.column_iter().map(|c| c.iter().copied().collect());
        eigen.eigenvalues.iter().copied().zip(columns).collect()
    } else {
        let mut values = Diag::<f64>::zeros(n);
        let mut vectors = Mat::<f64>::zeros(n, n);
        let scratch = evd::self_adjoint_evd_scratch::<f64>(
            n,
            ComputeEigenvectors::Yes,
            Par::Seq,
            faer::prelude::default(),
        );
        evd::self_adjoint_evd(
            MatRef::from_row_major_slice(a, n, n),
            values.as_mut(),
            Some(vectors.as_mut()),
            Par::Seq,
            MemStack::new(&mut super::stack(scratch)),
            faer::prelude::default(),
        )
        .map_err(|_| failed)?;
        (0..n).map(|j| (values[j], (0..n).map(|i| vectors[(i, j)]).collect())).collect()
    };
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut vectors = vec![0.0; n * n];
    for (j, (_, vector)) in pairs.iter_mut().enumerate() {
        orient(vector);
        for i in 0..n {
            vectors[i * n + j] = vector[i];
        }
    }
    Ok(SymmetricEigen { values: pairs.into_iter().map(|(value, _)| value).collect(), vectors })
}

/// Turns a vector so that its component of the largest magnitude (the first of equals) is positive; whether
/// it had to be turned.
pub(crate) fn orient(vector: &mut [f64]) -> bool {
    let mut largest = 0.0_f64;
    for &x in vector.iter() {
        if x.abs() > largest.abs() {
            largest = x;
        }
    }
    let turn = largest < 0.0;
    if turn {
        negate(vector);
    }
    turn
}

/// `x = -x`.
pub(crate) fn negate<'a>(x: impl IntoIterator<Item = &'a mut f64>) {
    for x in x {
        *x = -*x;
    }
}

/// Eigenvalues (re, im) of a general `a`, `[n, n]`; descending by real part, then by imaginary part.
///
/// # Errors
/// [`LinalgError`] if the length is not n², an element is not finite, or the iteration fails.
pub fn eigenvalues(a: &[f64], n: usize) -> Result<Vec<(f64, f64)>, LinalgError> {
    check(a, n, n)?;
    if n == 0 {
        return Ok(Vec::new());
    }
    let failed = LinalgError::NoConvergence { what: "eigenvalues", n };
    let mut values: Vec<(f64, f64)> = if n < GENERAL_LARGE {
        let schur =
            nalgebra::linalg::Schur::try_new(DMatrix::from_row_slice(n, n, a), f64::EPSILON, SWEEPS * n)
                .ok_or(failed)?;
        schur.complex_eigenvalues().iter().map(|z| (z.re, z.im)).collect()
    } else {
        let (mut re, mut im) = (Diag::<f64>::zeros(n), Diag::<f64>::zeros(n));
        let no = ComputeEigenvectors::No;
        let scratch = evd::evd_scratch::<f64>(n, no, no, Par::Seq, faer::prelude::default());
        evd::evd_real(
            MatRef::from_row_major_slice(a, n, n),
            re.as_mut(),
            im.as_mut(),
            None,
            None,
            Par::Seq,
            MemStack::new(&mut super::stack(scratch)),
            faer::prelude::default(),
        )
        .map_err(|_| failed)?;
        (0..n).map(|i| (re[i], im[i])).collect()
    };
    values.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
    Ok(values)
}
