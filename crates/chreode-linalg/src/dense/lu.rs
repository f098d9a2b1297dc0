//! LU with partial pivoting: factor once, solve often, also with the transpose.

use faer::dyn_stack::MemStack;
use faer::linalg::lu::partial_pivoting::factor::{lu_in_place, lu_in_place_scratch};
use faer::{MatMut, Par};

use crate::error::{LinalgError, check};

/// `P A = L U` of a square matrix (faer's factorisation at every size; the solves are plain loops).
#[derive(Clone, Debug)]
pub struct Lu {
    n: usize,
    /// L below the diagonal (its own diagonal is 1), U on and above; row-major.
    factors: Vec<f64>,
    /// Row i of `P A` is this row of A.
    rows: Vec<usize>,
    scratch: Vec<f64>,
}

impl Lu {
    /// Factors `a`, `[n, n]` row-major.
    ///
    /// # Errors
    /// [`LinalgError`] if the length is not n², an element is not finite, or a pivot is exactly zero.
    pub fn factor(a: &[f64], n: usize) -> Result<Self, LinalgError> {
        check(a, n, n)?;
        let mut factors = a.to_vec();
        let (mut rows, mut inverse) = (vec![0_usize; n], vec![0_usize; n]);
        let mut memory =
            super::stack(lu_in_place_scratch::<usize, f64>(n, n, Par::Seq, faer::prelude::default()));
        lu_in_place(
            MatMut::from_row_major_slice_mut(&mut factors, n, n),
            &mut rows,
            &mut inverse,
            Par::Seq,
            MemStack::new(&mut memory),
            faer::prelude::default(),
        );
        match (0..n).find(|&i| factors[i * n + i] == 0.0 || !factors[i * n + i].is_finite()) {
            Some(pivot) => Err(LinalgError::Singular { pivot, n }),
            None => Ok(Self { n, factors, rows, scratch: vec![0.0; n] }),
        }
    }

    /// Size of the matrix.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Solves `A x = b` in place.
    ///
    /// # Panics
    /// If `b` has not n elements.
    pub fn solve(&mut self, b: &mut [f64]) {
        let (n, lu, x) = (self.n, &self.factors, &mut self.scratch);
        assert_eq!(b.len(), n, "Lu::solve: right-hand side");
        for i in 0..n {
            let row = &lu[i * n..i * n + i];
            x[i] = b[self.rows[i]] - row.iter().zip(&x[..i]).map(|(l, x)| l * x).sum::<f64>();
        }
        for i in (0..n).rev() {
            let row = &lu[i * n + i + 1..(i + 1) * n];
            let sum = row.iter().zip(&x[i + 1..]).map(|(u, x)| u * x).sum::<f64>();
            x[i] = (x[i] - sum) / lu[i * n + i];
        }
        b.copy_from_slice(x);
    }

    /// Solves `Aᵀ x = b` in place.
    ///
    /// # Panics
    /// If `b` has not n elements.
    pub fn solve_transpose(&mut self, b: &mut [f64]) {
        let (n, lu, x) = (self.n, &self.factors, &mut self.scratch);
        assert_eq!(b.len(), n, "Lu::solve_transpose: right-hand side");
        x.copy_from_slice(b);
        for i in 0..n {
            x[i] /= lu[i * n + i];
            let xi = x[i];
            for (x, u) in x[i + 1..].iter_mut().zip(&lu[i * n + i + 1..(i + 1) * n]) {
                *x -= xi * u;
            }
        }
        for i in (0..n).rev() {
            let xi = x[i];
            for (x, l) in x[..i].iter_mut().zip(&lu[i * n..i * n + i]) {
                *x -= xi * l;
            }
        }
        for i in 0..n {
            b[self.rows[i]] = x[i];
        }
    }
}
