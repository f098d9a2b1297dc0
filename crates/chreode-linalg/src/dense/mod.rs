//! Decompositions of dense matrices in `f64`, row-major slices in and out, on one thread (so that the bits
//! never depend on the number of threads). Small matrices go to nalgebra, large ones to faer; the sizes where
//! that changes were measured and stand in each file.

pub(crate) mod cholesky;
pub(crate) mod eigen;
pub(crate) mod lu;
pub(crate) mod qr;
pub(crate) mod svd;

use faer::dyn_stack::{MemBuffer, StackReq};

/// Work space for faer.
fn stack(req: StackReq) -> MemBuffer {
    MemBuffer::new(req)
}

/// A faer matrix as a row-major vector.
fn row_major(a: faer::MatRef<'_, f64>) -> Vec<f64> {
    let mut out = Vec::with_capacity(a.nrows() * a.ncols());
    for i in 0..a.nrows() {
        out.extend((0..a.ncols()).map(|j| a[(i, j)]));
    }
    out
}
