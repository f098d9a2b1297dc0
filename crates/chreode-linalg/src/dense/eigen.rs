//! Eigenvalues and eigenvectors of symmetric and of general matrices.

use std::cmp::Ordering;

use faer::diag::Diag;
use faer::dyn_stack::MemStack;
use faer::linalg::evd::{self, ComputeEigenvectors};
use faer::{Mat, MatMut, MatRef, Par};
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
        general(a, n, None)?
    };
    values.sort_by(descending);
    Ok(values)
}

/// The order of general eigenvalues: descending by real part, then by imaginary part.
fn descending(a: &(f64, f64), b: &(f64, f64)) -> Ordering {
    b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1))
}

/// faer's eigenvalues, and its right eigenvectors if asked for: a complex pair, whose first value has the positive imaginary part, has
/// the real and the imaginary part of the first one's vector in its two columns.
fn general(a: &[f64], n: usize, vectors: Option<MatMut<'_, f64>>) -> Result<Vec<(f64, f64)>, LinalgError> {
    let (mut re, mut im) = (Diag::<f64>::zeros(n), Diag::<f64>::zeros(n));
    let right = if vectors.is_some() { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
    let (no, defaults) = (ComputeEigenvectors::No, faer::prelude::default());
    let scratch = evd::evd_scratch::<f64>(n, no, right, Par::Seq, defaults);
    evd::evd_real(
        MatRef::from_row_major_slice(a, n, n),
        re.as_mut(),
        im.as_mut(),
        None,
        vectors,
        Par::Seq,
        MemStack::new(&mut super::stack(scratch)),
        defaults,
    )
    .map_err(|_| LinalgError::NoConvergence { what: "eigenvalues", n })?;
    Ok((0..n).map(|i| (re[i], im[i])).collect())
}

/// `A V = V diag(λ)` of a general matrix, in complex numbers (re, im).
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// Eigenvalues; descending by real part, then by imaginary part.
    pub values: Vec<(f64, f64)>,
    /// Right eigenvectors in the COLUMNS of a row-major `[n, n]`, in the order of the values: of Euclidean length 1, the component of
    /// the largest magnitude real and positive. Those of a complex pair are conjugate.
    pub vectors: Vec<(f64, f64)>,
}

/// Eigenvalues and right eigenvectors of a general `a`, `[n, n]`. (Left ones are those of the transpose.)
///
/// The vectors of a matrix that lacks some (a defective one) are parallel to rounding, and those of values that nearly coincide are as
/// uncertain as the values are close.
///
/// # Errors
/// [`LinalgError`] if the length is not n², an element is not finite, or the iteration fails.
///
/// ```
/// use chreode_linalg::eigen;
/// // A rotation by 90 degrees: ±i, with the vectors (1, ∓i) / √2.
/// let e = eigen(&[0.0, -1.0, 1.0, 0.0], 2).unwrap();
/// assert!((e.values[0].1 - 1.0).abs() < 1e-15 && (e.values[1].1 + 1.0).abs() < 1e-15);
/// let ratio = |k: usize| {
///     let ((a, b), (c, d)) = (e.vectors[2 + k], e.vectors[k]);
///     ((a * c + b * d) / (c * c + d * d), (b * c - a * d) / (c * c + d * d))
/// };
/// assert!((ratio(0).1 + 1.0).abs() < 1e-14 && (ratio(1).1 - 1.0).abs() < 1e-14);
/// ```
pub fn eigen(a: &[f64], n: usize) -> Result<Eigen, LinalgError> {
    check(a, n, n)?;
    if n == 0 {
        return Ok(Eigen { values: Vec::new(), vectors: Vec::new() });
    }
    let mut columns = Mat::<f64>::zeros(n, n);
    let values = general(a, n, Some(columns.as_mut()))?;
    let mut pairs = Vec::with_capacity(n);
    let mut j = 0;
    while j < n {
        let column = |j: usize| columns.col(j).iter().copied();
        if values[j].1 == 0.0 {
            pairs.push((values[j], unit(column(j).map(|x| (x, 0.0)).collect())));
            j += 1;
        } else {
            let vector = unit(column(j).zip(column(j + 1)).collect());
            let conjugate = vector.iter().map(|&(re, im)| (re, -im)).collect();
            let (re, im) = values[j];
            pairs.push(((re, im), vector));
            pairs.push(((re, -im), conjugate));
            j += 2;
        }
    }
    pairs.sort_by(|a, b| descending(&a.0, &b.0));
    let mut vectors = vec![(0.0, 0.0); n * n];
    for (j, (_, vector)) in pairs.iter().enumerate() {
        for (i, &x) in vector.iter().enumerate() {
            vectors[i * n + j] = x;
        }
    }
    Ok(Eigen { values: pairs.into_iter().map(|(value, _)| value).collect(), vectors })
}

/// The multiple of a vector that has length 1 and a largest component (the first of equals) that is real and positive.
fn unit(mut vector: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let mut largest = (0.0, 0.0);
    for &x in &vector {
        if f64::hypot(x.0, x.1) > f64::hypot(largest.0, largest.1) {
            largest = x;
        }
    }
    // Scaled by the largest component, so that no square leaves the range of numbers.
    let size = f64::hypot(largest.0, largest.1);
    let (c, s) = (largest.0 / size, -largest.1 / size);
    let sum: f64 = vector.iter().map(|x| (x.0 / size).powi(2) + (x.1 / size).powi(2)).sum();
    let length = size * sum.sqrt();
    for x in &mut vector {
        let (re, im) = (x.0 / length, x.1 / length);
        *x = (re * c - im * s, re * s + im * c);
    }
    vector
}
