//! What several tests need.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use chreode_cells::{CsrMatrix, DenseMatrix, Matrix};

/// The same matrix by its entries that are not zero.
pub(crate) fn sparse(m: &DenseMatrix) -> Matrix {
    let (mut indptr, mut indices, mut values) = (vec![0_i64], Vec::new(), Vec::new());
    for i in 0..m.rows {
        for (j, &x) in m.row(i).iter().enumerate().filter(|e| *e.1 != 0.0) {
            indices.push(j as i64);
            values.push(x);
        }
        indptr.push(values.len() as i64);
    }
    Matrix::Sparse(CsrMatrix::new(m.rows, m.cols, &indptr, &indices, values).unwrap())
}
