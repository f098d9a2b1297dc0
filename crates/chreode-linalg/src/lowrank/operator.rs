//! Matrices by what they do to blocks of vectors: dense, sparse by rows, and centred or scaled ones.
//!
//! Rows are cut into tiles and groups whose sizes depend on the matrix alone, and partial sums are added in
//! the order of the groups: the bits do not depend on the number of threads.

use chreode_core::Real;
use rayon::prelude::*;

use crate::batch::gemm::{GemmScratch, Transpose, gemm};
use crate::error::LinalgError;

/// Rows of a tile.
const TILE: usize = 256;
/// Partial sums of a transposed product, at most.
const GROUPS: usize = 16;

/// A matrix A, `[n, m]`, that acts on blocks of `width` vectors (row-major, one vector a column).
pub trait LinearOperator: Sync {
    /// (n, m).
    fn shape(&self) -> (usize, usize);
    /// `y = A x`; `x` is `[m, width]`, `y` is `[n, width]`, overwritten.
    fn apply(&self, x: &[f64], width: usize, y: &mut [f64]);
    /// `z = Aᵀ y`; `y` is `[n, width]`, `z` is `[m, width]`, overwritten.
    fn apply_transpose(&self, y: &[f64], width: usize, z: &mut [f64]);
}

/// Rows of a group of a transposed product: at least a tile.
fn group_rows(n: usize) -> usize {
    n.div_ceil(GROUPS).max(TILE)
}

/// `z = Σ` of `part(first row, rows of y, partial)` over the groups, in their order.
fn sum_groups(
    n: usize,
    y: &[f64],
    width: usize,
    z: &mut [f64],
    part: impl Fn(usize, &[f64], &mut [f64]) + Sync,
) {
    let rows = group_rows(n);
    let parts: Vec<Vec<f64>> = y
        .par_chunks((rows * width).max(1))
        .enumerate()
        .map(|(group, y)| {
            let mut partial = vec![0.0; z.len()];
            part(group * rows, y, &mut partial);
            partial
        })
        .collect();
    z.par_chunks_mut(4096).enumerate().for_each(|(chunk, z)| {
        z.fill(0.0);
        for part in &parts {
            for (z, p) in z.iter_mut().zip(&part[chunk * 4096..]) {
                *z += p;
            }
        }
    });
}

/// A dense row-major matrix `[n, m]` of `f32` or `f64`; sums run in `f64`.
#[derive(Clone, Copy, Debug)]
pub struct DenseOperator<'a, T> {
    data: &'a [T],
    n: usize,
    m: usize,
}

impl<'a, T: Real> DenseOperator<'a, T> {
    /// Over `data`, `[n, m]`.
    ///
    /// # Errors
    /// [`LinalgError::Length`] if the length is not `n * m`, [`LinalgError::NotFinite`] for an element.
    pub fn new(data: &'a [T], n: usize, m: usize) -> Result<Self, LinalgError> {
        let expected = n * m;
        if data.len() != expected {
            return Err(LinalgError::Length { what: "matrix", found: data.len(), expected });
        }
        if let Some(at) = data.iter().position(|x| !x.is_finite()) {
            return Err(LinalgError::NotFinite { row: at / m, column: at % m, value: data[at].f64() });
        }
        Ok(Self { data, n, m })
    }

    /// Rows `first..first + rows` in `f64`.
    fn tile(&self, first: usize, rows: usize) -> Vec<f64> {
        self.data[first * self.m..(first + rows) * self.m].iter().map(|x| x.f64()).collect()
    }
}

impl<T: Real> LinearOperator for DenseOperator<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.n, self.m)
    }

    fn apply(&self, x: &[f64], width: usize, y: &mut [f64]) {
        y.par_chunks_mut((TILE * width).max(1)).enumerate().for_each_init(
            GemmScratch::new,
            |scratch, (tile, y)| {
                let rows = y.len() / width;
                let a = self.tile(tile * TILE, rows);
                gemm((rows, width, self.m), Transpose::None, &a, x, false, y, scratch);
            },
        );
    }

    fn apply_transpose(&self, y: &[f64], width: usize, z: &mut [f64]) {
        sum_groups(self.n, y, width, z, |first, y, partial| {
            let mut scratch = GemmScratch::new();
            for (tile, y) in y.chunks(TILE * width).enumerate() {
                let rows = y.len() / width;
                let a = self.tile(first + tile * TILE, rows);
                gemm((self.m, width, rows), Transpose::A, &a, y, true, partial, &mut scratch);
            }
        });
    }
}

/// A sparse matrix by rows (CSR) of `f32` or `f64`; sums run in `f64`.
#[derive(Clone, Copy, Debug)]
pub struct CsrOperator<'a, T> {
    indptr: &'a [usize],
    indices: &'a [u32],
    values: &'a [T],
    m: usize,
}

impl<'a, T: Real> CsrOperator<'a, T> {
    /// Row i has its entries at `indptr[i]..indptr[i + 1]` of `indices` (columns, below `m`) and `values`.
    ///
    /// # Errors
    /// [`LinalgError`] if the parts contradict each other or a value is not finite.
    pub fn new(
        indptr: &'a [usize],
        indices: &'a [u32],
        values: &'a [T],
        m: usize,
    ) -> Result<Self, LinalgError> {
        if indptr.is_empty() {
            return Err(LinalgError::Length { what: "indptr", found: 0, expected: 1 });
        }
        if indices.len() != values.len() {
            let (found, expected) = (values.len(), indices.len());
            return Err(LinalgError::Length { what: "values", found, expected });
        }
        let entries = values.len();
        for (row, ends) in indptr.windows(2).enumerate() {
            let (begin, end) = (ends[0], ends[1]);
            if begin > end || end > entries {
                return Err(LinalgError::SparseRow { row, begin, end, entries });
            }
            for entry in begin..end {
                let column = indices[entry] as usize;
                if column >= m {
                    return Err(LinalgError::SparseColumn { entry, column, columns: m });
                }
                if !values[entry].is_finite() {
                    return Err(LinalgError::NotFinite { row, column, value: values[entry].f64() });
                }
            }
        }
        Ok(Self { indptr, indices, values, m })
    }

    fn row(&self, i: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = self.indptr[i]..self.indptr[i + 1];
        self.indices[range.clone()].iter().zip(&self.values[range]).map(|(&j, v)| (j as usize, v.f64()))
    }
}

impl<T: Real> LinearOperator for CsrOperator<'_, T> {
    fn shape(&self) -> (usize, usize) {
        (self.indptr.len() - 1, self.m)
    }

    fn apply(&self, x: &[f64], width: usize, y: &mut [f64]) {
        y.par_chunks_mut((TILE * width).max(1)).enumerate().for_each(|(tile, y)| {
            y.fill(0.0);
            for (r, y) in y.chunks_exact_mut(width).enumerate() {
                for (j, v) in self.row(tile * TILE + r) {
                    for (y, x) in y.iter_mut().zip(&x[j * width..(j + 1) * width]) {
                        *y += v * x;
                    }
                }
            }
        });
    }

    fn apply_transpose(&self, y: &[f64], width: usize, z: &mut [f64]) {
        sum_groups(self.shape().0, y, width, z, |first, y, partial| {
            for (r, y) in y.chunks_exact(width).enumerate() {
                for (j, v) in self.row(first + r) {
                    for (z, y) in partial[j * width..(j + 1) * width].iter_mut().zip(y) {
                        *z += v * y;
                    }
                }
            }
        });
    }
}

/// `(A - 1 meanᵀ) diag(scale)`: columns shifted and scaled, while A stays as it is (sparse, say).
#[derive(Clone, Debug)]
pub struct Standardised<'a, A> {
    inner: A,
    mean: &'a [f64],
    scale: Option<&'a [f64]>,
}

impl<'a, A: LinearOperator> Standardised<'a, A> {
    /// Subtracts `mean[j]` from column j, then multiplies by `scale[j]` (1 / standard deviation, say).
    ///
    /// # Errors
    /// [`LinalgError`] if a slice has not one finite number a column.
    pub fn new(inner: A, mean: &'a [f64], scale: Option<&'a [f64]>) -> Result<Self, LinalgError> {
        let m = inner.shape().1;
        for (what, values) in [("mean", Some(mean)), ("scale", scale)] {
            let Some(values) = values else { continue };
            if values.len() != m {
                return Err(LinalgError::Length { what, found: values.len(), expected: m });
            }
            if let Some(column) = values.iter().position(|x| !x.is_finite()) {
                return Err(LinalgError::NotFinite { row: 0, column, value: values[column] });
            }
        }
        Ok(Self { inner, mean, scale })
    }

    /// Multiplies row j of `[m, width]` by `scale[j]`.
    fn scale_rows(&self, x: &mut [f64], width: usize) {
        if let Some(scale) = self.scale {
            for (row, s) in x.chunks_exact_mut(width).zip(scale) {
                for x in row {
                    *x *= s;
                }
            }
        }
    }
}

/// `Σ_i weight(i) · row_i` of `[n, width]`, in the order of the rows.
fn weighted_sum(rows: &[f64], width: usize, weight: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sum = vec![0.0; width];
    for (i, row) in rows.chunks_exact(width).enumerate() {
        let w = weight(i);
        for (sum, x) in sum.iter_mut().zip(row) {
            *sum += w * x;
        }
    }
    sum
}

impl<A: LinearOperator> LinearOperator for Standardised<'_, A> {
    fn shape(&self) -> (usize, usize) {
        self.inner.shape()
    }

    fn apply(&self, x: &[f64], width: usize, y: &mut [f64]) {
        let mut scaled = x.to_vec();
        self.scale_rows(&mut scaled, width);
        let shift = weighted_sum(&scaled, width, |j| self.mean[j]);
        self.inner.apply(&scaled, width, y);
        for row in y.chunks_exact_mut(width) {
            for (y, s) in row.iter_mut().zip(&shift) {
                *y -= s;
            }
        }
    }

    fn apply_transpose(&self, y: &[f64], width: usize, z: &mut [f64]) {
        let total = weighted_sum(y, width, |_| 1.0);
        self.inner.apply_transpose(y, width, z);
        for (row, mean) in z.chunks_exact_mut(width).zip(self.mean) {
            for (z, t) in row.iter_mut().zip(&total) {
                *z -= mean * t;
            }
        }
        self.scale_rows(z, width);
    }
}
