//! `C = op(A) op(B) + ..` on row-major slices, one thread, with bits that do not depend on the other rows.
//!
//! `op(B)` is copied panel by panel (a few registers wide, [`KC`] rows deep) into contiguous memory, of which one panel stays
//! in the first cache; `op(A)`, of which an element is one broadcast, is copied block by block (a few rows, [`KC`] columns) where
//! enough panels go over it, and else read where it lies. Where that is cheaper, above all where
//! C has few columns that would not fill the last register, the product is computed as `Cᵀ = Bᵀ Aᵀ`: every element is the
//! same chain of multiply-adds in ascending k either way, so the choice does not show in the bits.

use chreode_core::Real;

use super::blocks::{Cut, KC, TALLEST, WIDEST, distance_f32, distance_f64, product_f32, product_f64};
use crate::simd::dispatch::register_bytes;
use crate::simd::lane::{AlignedBuf, is_f32};
use crate::simd::transpose::transpose;

/// Bytes from row to row from which on a few numbers of each are dear to read: a page holds two rows at most.
const FAR: usize = 2048;
/// Largest C that is transposed to be added to, and back.
const MOST_ADDED: usize = 1 << 16;

/// A row-major matrix in a slice with row stride `ld`, used as it is or transposed.
#[derive(Clone, Copy)]
pub(crate) struct Operand<'a, T> {
    pub data: &'a [T],
    pub ld: usize,
    pub transposed: bool,
}

impl<T> Operand<'_, T> {
    fn flipped(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Bytes from row to row.
    pub(super) fn row_bytes(&self) -> usize {
        self.ld * size_of::<T>()
    }
}

/// What an element of C starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    Zero,
    /// One value a column.
    PerColumn(&'a [T]),
    /// One value a row.
    PerRow(&'a [T]),
    /// The products are summed by themselves (in chunks of [`KC`]) and then added to C.
    AddToC,
    /// As before, and subtracted.
    SubtractFromC,
}

/// `C[m, n] = start + op(A)[m, k] op(B)[k, n]`; or squared distances between rows of A and columns of B.
pub(crate) struct Product<'a, T, const DISTANCE: bool> {
    pub size: (usize, usize, usize), // m, n, k
    pub a: Operand<'a, T>,
    pub b: Operand<'a, T>,
    pub start: Start<'a, T>,
    /// C and its row stride.
    pub c: (&'a mut [T], usize),
}

/// Work space of matrix products: packed panels and transposes. One for each worker.
///
/// It grows when a product needs more than any before, and then allocates nothing. Its content means nothing
/// between calls.
#[derive(Clone)]
pub struct GemmScratch<T> {
    panel: AlignedBuf,
    transposed: AlignedBuf,
    of: std::marker::PhantomData<T>,
}

impl<T: Real> GemmScratch<T> {
    /// An empty work space.
    pub fn new() -> Self {
        let mut panel = AlignedBuf::default();
        let _ = panel.get::<T>(KC * WIDEST);
        Self { panel, transposed: AlignedBuf::default(), of: std::marker::PhantomData }
    }

    /// Grows to what products of `n` rows with a layer of at most `width` inputs and outputs can need, so that none
    /// allocates.
    pub fn reserve(&mut self, n: usize, width: usize) {
        let weights = (width * width).min(MOST_ADDED);
        let _ = self.transposed.get::<T>((n * width).max(weights));
        let most = n.max(width);
        let rows = Cut::most_rows::<T>().min(most.next_multiple_of(TALLEST));
        let _ = self.panel.get::<T>(Cut::of::<T>((most, most, most), true).b + rows * most.min(KC));
    }
}

#[cfg(target_arch = "x86_64")]
impl GemmScratch<f32> {
    /// Room for the rounded inputs of a layer.
    pub(super) fn words(&mut self) -> &mut AlignedBuf {
        &mut self.transposed
    }
}

impl<T: Real> Default for GemmScratch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Real> std::fmt::Debug for GemmScratch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GemmScratch").finish_non_exhaustive()
    }
}

impl<T: Real, const DISTANCE: bool> Product<'_, T, DISTANCE> {
    /// Computes it, as it stands or as its transpose. The caller has checked the lengths.
    pub(super) fn run(self, scratch: &mut GemmScratch<T>) {
        if !self.better_transposed() {
            self.run_as_it_stands(&mut scratch.panel);
            return;
        }
        let (m, n, k) = self.size;
        let (c, ld) = self.c;
        let ct = scratch.transposed.get::<T>(n * m);
        let start = match self.start {
            Start::PerColumn(x) => Start::PerRow(x),
            Start::PerRow(x) => Start::PerColumn(x),
            same => same,
        };
        if matches!(start, Start::AddToC | Start::SubtractFromC) {
            transpose((&*c, ld), (m, n), (&mut *ct, m));
        }
        Product::<T, DISTANCE> {
            size: (n, m, k),
            a: self.b.flipped(),
            b: self.a.flipped(),
            start,
            c: (&mut *ct, m),
        }
        .run_as_it_stands(&mut scratch.panel);
        transpose((ct, m), (n, m), (c, ld));
    }

    /// Whether `Cᵀ = op(B)ᵀ op(A)ᵀ` is cheaper: columns are padded to whole registers, rows are not; the right operand is
    /// copied, with more effort if it must be transposed; and a left one that is transposed is read a few numbers at a time, which takes
    /// half as long as its products (64 rows, 980 x 980) where its rows are wide. In quarters of a multiply-add of registers.
    fn better_transposed(&self) -> bool {
        let (m, n, k) = self.size;
        let lanes = register_bytes() / size_of::<T>();
        let cost = |(rows, left): (usize, Operand<'_, T>), (columns, right): (usize, Operand<'_, T>)| {
            let copy = if right.transposed { 3 } else { 1 } * columns * k * 4 / lanes;
            let far = if left.transposed && left.row_bytes() >= FAR { 2 * rows * k } else { 0 };
            4 * rows * columns.div_ceil(lanes) * k + copy + far
        };
        let adds = matches!(self.start, Start::AddToC | Start::SubtractFromC);
        // C goes there and back if it is added to, in narrow rows.
        let back = if adds { 28 } else { 3 } * m * n * 4 / lanes;
        (!adds || m * n <= MOST_ADDED)
            && cost((n, self.b.flipped()), (m, self.a.flipped())) + back < cost((m, self.a), (n, self.b))
    }

    /// Computes it without a transpose of C. The panel grows to its full size at the first call.
    pub(crate) fn run_as_it_stands(self, panel: &mut AlignedBuf) {
        match (is_f32::<T>(), DISTANCE) {
            (true, false) => product_f32(self.cast(), panel),
            (false, false) => product_f64(self.cast(), panel),
            (true, true) => distance_f32(self.cast(), panel),
            (false, true) => distance_f64(self.cast(), panel),
        }
    }
}

/// Which operands of [`gemm`] are transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transpose {
    /// `A[m, k] B[k, n]`.
    None,
    /// `A[m, k] B[n, k]ᵀ`.
    B,
    /// `A[k, m]ᵀ B[k, n]`.
    A,
}

/// `C[m, n] = op(A) op(B)`, or `C += op(A) op(B)` if `add`; row-major, `size` is `(m, n, k)`, one thread.
///
/// Without `add`, every element is one chain of multiply-adds in ascending k: its bits depend on its row of
/// `op(A)` and its column of `op(B)` alone. With `add`, the products are summed in chunks of 256 that are
/// added to C one after the other.
///
/// # Panics
/// If a slice has another length than `size` says.
pub fn gemm<T: Real>(
    size: (usize, usize, usize),
    transpose: Transpose,
    a: &[T],
    b: &[T],
    add: bool,
    c: &mut [T],
    scratch: &mut GemmScratch<T>,
) {
    let (m, n, k) = size;
    assert_eq!(a.len(), m * k, "gemm: A has not m * k elements");
    assert_eq!(b.len(), n * k, "gemm: B has not n * k elements");
    assert_eq!(c.len(), m * n, "gemm: C has not m * n elements");
    let (ta, tb) = (transpose == Transpose::A, transpose == Transpose::B);
    Product::<T, false> {
        size,
        a: Operand { data: a, ld: if ta { m } else { k }, transposed: ta },
        b: Operand { data: b, ld: if tb { k } else { n }, transposed: tb },
        start: if add { Start::AddToC } else { Start::Zero },
        c: (c, n),
    }
    .run(scratch);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_suffices() {
        for (n, width) in
            [(1, 1), (50, 64), (121, 30), (119, 241), (240, 241), (481, 480), (700, 50), (64, 1_100)]
        {
            let mut scratch = GemmScratch::<f64>::new();
            scratch.reserve(n, width);
            let reserved = scratch.panel.len::<f64>();
            for m in 0..=n.max(width) {
                for columns in [1, 33, 129, 240, 512, 1_100] {
                    for strided in [false, true] {
                        let columns = columns.min(n.max(width));
                        let Cut { rows, b, a } = Cut::of::<f64>((m, columns, n.max(width)), strided);
                        assert!(a + b <= reserved, "{m} x {columns} of {n}, {width}: {a} + {b}");
                        assert!(rows > 0 && rows % TALLEST == 0 && rows <= Cut::most_rows::<f64>());
                    }
                }
            }
        }
    }
}
