//! Cholesky factors of symmetric positive definite matrices.

use faer::dyn_stack::MemStack;
use faer::linalg::cholesky::llt::factor::{LltError, cholesky_in_place, cholesky_in_place_scratch};
use faer::{MatMut, Par};

use crate::error::{LinalgError, check};

/// `A = L Lᵀ` (faer's factorisation at every size; the solves are plain loops).
#[derive(Clone, Debug)]
pub struct Cholesky {
    n: usize,
    /// L, row-major; above the diagonal lies what A had there.
    factor: Vec<f64>,
}

impl Cholesky {
    /// Factors `a`, `[n, n]`; only the lower triangle is read.
    ///
    /// # Errors
    /// [`LinalgError`] if the length is not n², an element is not finite, or a pivot is not positive.
    pub fn factor(a: &[f64], n: usize) -> Result<Self, LinalgError> {
        check(a, n, n)?;
        let mut factor = a.to_vec();
        let mut memory =
            super::stack(cholesky_in_place_scratch::<f64>(n, Par::Seq, faer::prelude::default()));
        cholesky_in_place(
            MatMut::from_row_major_slice_mut(&mut factor, n, n),
            faer::prelude::default(),
            Par::Seq,
            MemStack::new(&mut memory),
            faer::prelude::default(),
        )
        .map_err(|LltError::NonPositivePivot { index }| LinalgError::NotPositiveDefinite {
            pivot: index,
            n,
        })?;
        Ok(Self { n, factor })
    }

    /// Size of the matrix.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Element `[i, j]` of L, `j <= i`.
    pub fn l(&self, i: usize, j: usize) -> f64 {
        if j <= i { self.factor[i * self.n + j] } else { 0.0 }
    }

    /// Solves `A x = b` in place.
    ///
    /// # Panics
    /// If `b` has not n elements.
    pub fn solve(&self, b: &mut [f64]) {
        let (n, l) = (self.n, &self.factor);
        assert_eq!(b.len(), n, "Cholesky::solve: right-hand side");
        for i in 0..n {
            let sum = l[i * n..i * n + i].iter().zip(&b[..i]).map(|(l, b)| l * b).sum::<f64>();
            b[i] = (b[i] - sum) / l[i * n + i];
        }
        for i in (0..n).rev() {
            b[i] /= l[i * n + i];
            let bi = b[i];
            for (b, l) in b[..i].iter_mut().zip(&l[i * n..i * n + i]) {
                *b -= bi * l;
            }
        }
    }

    /// `ln det A`.
    pub fn ln_det(&self) -> f64 {
        2.0 * (0..self.n).map(|i| self.factor[i * self.n + i].ln()).sum::<f64>()
    }
}

/// Solves `A x = b` for a symmetric positive definite `a`, `[n, n]`, where n is the length of `b`.
///
/// # Errors
/// As [`Cholesky::factor`].
pub fn solve_spd(a: &[f64], b: &[f64]) -> Result<Vec<f64>, LinalgError> {
    let factor = Cholesky::factor(a, b.len())?;
    let mut x = b.to_vec();
    factor.solve(&mut x);
    Ok(x)
}
