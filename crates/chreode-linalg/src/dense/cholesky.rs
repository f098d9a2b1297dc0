//! Cholesky factors of symmetric positive definite matrices.

use std::mem::MaybeUninit;

use faer::dyn_stack::MemStack;
use faer::linalg::cholesky::llt::factor::{LltError, cholesky_in_place, cholesky_in_place_scratch};
use faer::{MatMut, Par};

use crate::error::{LinalgError, check};

/// `A = L Lᵀ` (faer's factorisation at every size; the solves are plain loops).
#[derive(Clone, Debug, Default)]
pub struct Cholesky {
    n: usize,
    /// L, row-major; above the diagonal lies what A had there.
    factor: Vec<f64>,
    /// What the factorisation works in.
    memory: Vec<MaybeUninit<u8>>,
}

impl Cholesky {
    /// Factors `a`, `[n, n]`; only the lower triangle is read.
    ///
    /// # Errors
    /// [`LinalgError`] if the length is not n², an element is not finite, or a pivot is not positive.
    pub fn factor(a: &[f64], n: usize) -> Result<Self, LinalgError> {
        let mut new = Self::default();
        new.factor_again(a, n)?;
        Ok(new)
    }

    /// Factors another matrix in the place of the last one, as [`factor`](Self::factor) does; one of the same size allocates nothing.
    ///
    /// # Errors
    /// Those of [`factor`](Self::factor); no matrix is held then.
    pub fn factor_again(&mut self, a: &[f64], n: usize) -> Result<(), LinalgError> {
        self.n = 0;
        check(a, n, n)?;
        self.factor.clear();
        self.factor.extend_from_slice(a);
        let needed = cholesky_in_place_scratch::<f64>(n, Par::Seq, faer::prelude::default());
        self.memory.resize(needed.unaligned_bytes_required(), MaybeUninit::uninit());
        cholesky_in_place(
            MatMut::from_row_major_slice_mut(&mut self.factor, n, n),
            faer::prelude::default(),
            Par::Seq,
            MemStack::new(&mut self.memory),
            faer::prelude::default(),
        )
        .map_err(|LltError::NonPositivePivot { index }| LinalgError::NotPositiveDefinite {
            pivot: index,
            n,
        })?;
        self.n = n;
        Ok(())
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
