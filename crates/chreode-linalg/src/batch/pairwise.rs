//! Squared distances between the rows of two matrices.

use chreode_core::Real;

use super::gemm::{GemmScratch, Operand, Product, Start};

/// `out[i, j] = |x_i - y_j|²` for the rows of `x` `[n, d]` and `y` `[m, d]`; `out` is `[n, m]`, row-major.
///
/// Computed from the differences, not from norms and a product: the relative error is at most (d + 2) / 2 units in the last
/// place, however close the points; equal rows have distance 0 exactly; nothing is ever negative. It
/// costs two operations where the product would cost one. One thread; every element's bits depend on its
/// two rows alone, so tiles of rows may go to different threads.
///
/// # Panics
/// If the slices do not have these shapes.
pub fn pairwise_sq_dists<T: Real>(x: &[T], y: &[T], d: usize, out: &mut [T], scratch: &mut GemmScratch<T>) {
    assert!(d > 0, "pairwise_sq_dists: d = 0");
    let (n, m) = (x.len() / d, y.len() / d);
    assert_eq!(x.len(), n * d, "pairwise_sq_dists: x has no rows of {d}");
    assert_eq!(y.len(), m * d, "pairwise_sq_dists: y has no rows of {d}");
    assert_eq!(out.len(), n * m, "pairwise_sq_dists: out is not [{n}, {m}]");
    Product::<T, true> {
        size: (n, m, d),
        a: Operand { data: x, ld: d, transposed: false },
        b: Operand { data: y, ld: d, transposed: true },
        start: Start::Zero,
        c: (out, m),
    }
    .run(scratch);
}
