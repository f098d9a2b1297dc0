//! `C = op(A) op(B) + ..` on row-major slices, one thread, with bits that do not depend on the other rows.
//!
//! `op(B)` is copied panel by panel (a few registers wide, [`KC`] rows deep) into contiguous memory that stays
//! in the first cache; `op(A)` is read where it lies, one broadcast an element. Where transposing B would cost
//! more than transposing A and C, the product is computed as `Cᵀ = Bᵀ Aᵀ`: every element is the same chain
//! of multiply-adds in ascending k either way, so the choice does not show in the bits.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::pack;
use super::tile::accumulate;
use crate::simd::lane::{AlignedBuf, Lane, is_f32};

/// Depth of a packed panel.
const KC: usize = 256;
/// Columns of the widest panel on any instruction set.
const WIDEST: usize = 64;

/// A row-major matrix in a slice with row stride `ld`, used as it is or transposed.
#[derive(Clone, Copy)]
pub(super) struct Operand<'a, T> {
    pub data: &'a [T],
    pub ld: usize,
    pub transposed: bool,
}

/// What an element of C starts from.
#[derive(Clone, Copy)]
pub(super) enum Start<'a, T> {
    Zero,
    /// One value a column.
    PerColumn(&'a [T]),
    /// One value a row.
    PerRow(&'a [T]),
    /// The products are summed by themselves (in chunks of [`KC`]) and then added to C.
    AddToC,
}

/// `C[m, n] = start + op(A)[m, k] op(B)[k, n]`; or squared distances between rows of A and columns of B.
pub(super) struct Product<'a, T, const DISTANCE: bool> {
    pub size: (usize, usize, usize), // m, n, k
    pub a: Operand<'a, T>,
    pub b: Operand<'a, T>,
    pub start: Start<'a, T>,
    pub c: &'a mut [T],
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

    /// Grows to what products of `n` rows with a layer of `out` outputs can need, so that none allocates.
    pub fn reserve(&mut self, n: usize, out: usize) {
        let _ = self.transposed.get::<T>(n * out);
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
    /// Computes it. The caller has checked the lengths.
    pub(super) fn run(self, scratch: &mut GemmScratch<T>) {
        let (m, n, k) = self.size;
        let swap = self.b.transposed
            && !self.a.transposed
            && !matches!(self.start, Start::AddToC)
            && m * (n + k) < n * k;
        if !swap {
            self.dispatch(&mut scratch.panel);
            return;
        }
        let ct = scratch.transposed.get::<T>(n * m);
        let start = match self.start {
            Start::PerColumn(x) => Start::PerRow(x),
            Start::PerRow(x) => Start::PerColumn(x),
            same => same,
        };
        Product::<T, DISTANCE> {
            size: (n, m, k),
            a: Operand { transposed: false, ..self.b },
            b: Operand { transposed: true, ..self.a },
            start,
            c: &mut *ct,
        }
        .dispatch(&mut scratch.panel);
        pack::transpose(ct, m, n, m, self.c, n);
    }

    fn dispatch(self, panel: &mut AlignedBuf) {
        match (is_f32::<T>(), DISTANCE) {
            (true, false) => product_f32(self.cast(), panel),
            (false, false) => product_f64(self.cast(), panel),
            (true, true) => distance_f32(self.cast(), panel),
            (false, true) => distance_f64(self.cast(), panel),
        }
    }
}

/// Instances that are not generic: they are compiled once, here, and not in every crate that calls them.
macro_rules! instance {
    ($name:ident, $t:ident, $distance:literal) => {
        #[inline(never)]
        fn $name(product: Product<'_, $t, $distance>, panel: &mut AlignedBuf) {
            Arch::new().dispatch(Kernel { product, panel: panel.get(KC * WIDEST) });
        }
    };
}
instance!(product_f32, f32, false);
instance!(product_f64, f64, false);
instance!(distance_f32, f32, true);
instance!(distance_f64, f64, true);

impl<'a, T: Real, const DISTANCE: bool> Product<'a, T, DISTANCE> {
    fn cast<U: Real, const D: bool>(self) -> Product<'a, U, D> {
        let operand = |x: Operand<'a, T>| Operand {
            data: bytemuck::cast_slice(x.data),
            ld: x.ld,
            transposed: x.transposed,
        };
        Product {
            size: self.size,
            a: operand(self.a),
            b: operand(self.b),
            start: match self.start {
                Start::Zero => Start::Zero,
                Start::PerColumn(x) => Start::PerColumn(bytemuck::cast_slice(x)),
                Start::PerRow(x) => Start::PerRow(bytemuck::cast_slice(x)),
                Start::AddToC => Start::AddToC,
            },
            c: bytemuck::cast_slice_mut(self.c),
        }
    }
}

struct Kernel<'a, T, const DISTANCE: bool> {
    product: Product<'a, T, DISTANCE>,
    panel: &'a mut [T],
}

impl<T: Lane, const DISTANCE: bool> WithSimd for Kernel<'_, T, DISTANCE> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.product.a.transposed { self.chunks::<S, true>(simd) } else { self.chunks::<S, false>(simd) }
    }
}

/// Where a block of C lies, and what it starts from.
struct Place<'a, T> {
    i: usize,
    j: usize,
    cols: usize,
    k0: usize,
    start: Start<'a, T>,
}

impl<T: Lane, const DISTANCE: bool> Kernel<'_, T, DISTANCE> {
    #[inline(always)]
    fn chunks<S: Simd, const AT: bool>(&mut self, simd: S) {
        let (_, n, k) = self.product.size;
        let lanes = T::lanes::<S>();
        // Accumulators, one row of B and a broadcast fit the registers with 6 x 4 of 32, 6 x 2 of 16.
        let most = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
        let mut k0 = 0;
        loop {
            let kc = (k - k0).min(KC);
            let mut j = 0;
            while j < n {
                let registers = (n - j).div_ceil(lanes).min(most);
                let cols = (n - j).min(registers * lanes);
                match registers {
                    4 => self.panel_rows::<S, AT, 4>(simd, (k0, kc), (j, cols)),
                    3 => self.panel_rows::<S, AT, 3>(simd, (k0, kc), (j, cols)),
                    2 => self.panel_rows::<S, AT, 2>(simd, (k0, kc), (j, cols)),
                    _ => self.panel_rows::<S, AT, 1>(simd, (k0, kc), (j, cols)),
                }
                j += cols;
            }
            k0 += kc;
            if k0 >= k {
                break;
            }
        }
    }

    #[inline(always)]
    fn panel_rows<S: Simd, const AT: bool, const NV: usize>(
        &mut self,
        simd: S,
        (k0, kc): (usize, usize),
        (j, cols): (usize, usize),
    ) {
        let width = NV * T::lanes::<S>();
        let panel = &mut self.panel[..kc * width];
        let b = self.product.b;
        pack::panel(b.data, b.ld, b.transposed, (k0, kc), (j, cols), panel, width);
        let panel: &[T::V<S>] = bytemuck::cast_slice(panel);
        let m = self.product.size.0;
        let mut i = 0;
        while i < m {
            let place = Place { i, j, cols, k0, start: self.product.start };
            i += match m - i {
                6.. => self.product.block::<S, 6, NV, AT>(simd, panel, &place),
                4.. => self.product.block::<S, 4, NV, AT>(simd, panel, &place),
                2.. => self.product.block::<S, 2, NV, AT>(simd, panel, &place),
                _ => self.product.block::<S, 1, NV, AT>(simd, panel, &place),
            };
        }
    }
}

impl<T: Lane, const DISTANCE: bool> Product<'_, T, DISTANCE> {
    /// One block of `MR` rows; returns `MR`.
    #[inline(always)]
    fn block<S: Simd, const MR: usize, const NV: usize, const AT: bool>(
        &mut self,
        simd: S,
        panel: &[T::V<S>],
        place: &Place<'_, T>,
    ) -> usize {
        let &Place { i, j, cols, k0, start } = place;
        let (_, n, _) = self.size;
        let c = &mut self.c[i * n + j..];
        let mut acc = [[T::splat(simd, T::ZERO); NV]; MR];
        match start {
            Start::PerColumn(bias) if k0 == 0 => {
                let row = load::<T, S, NV>(simd, &bias[j..j + cols]);
                acc = [row; MR];
            }
            Start::PerRow(bias) if k0 == 0 => {
                for (row, &x) in acc.iter_mut().zip(&bias[i..i + MR]) {
                    *row = [T::splat(simd, x); NV];
                }
            }
            Start::Zero if k0 == 0 => {}
            Start::AddToC => {}
            // A later chunk of k continues the chain.
            _ => {
                for r in 0..MR {
                    acc[r] = load::<T, S, NV>(simd, &c[r * n..r * n + cols]);
                }
            }
        }
        let at = if AT { k0 * self.a.ld + i } else { i * self.a.ld + k0 };
        if !panel.is_empty() {
            let a = &self.a.data[at..];
            acc = accumulate::<T, S, MR, NV, AT, DISTANCE>(simd, a, self.a.ld, panel, acc);
        }
        if matches!(start, Start::AddToC) {
            for r in 0..MR {
                let old = load::<T, S, NV>(simd, &c[r * n..r * n + cols]);
                for v in 0..NV {
                    acc[r][v] = T::add_v(simd, old[v], acc[r][v]);
                }
            }
        }
        let full = NV * T::lanes::<S>();
        for r in 0..MR {
            let row: &[T] = bytemuck::cast_slice(&acc[r]);
            if cols == full {
                c[r * n..r * n + full].copy_from_slice(row);
            } else {
                c[r * n..r * n + cols].copy_from_slice(&row[..cols]);
            }
        }
        MR
    }
}

/// `NV` registers from a slice that may be shorter; zeros behind it.
#[inline(always)]
fn load<T: Lane, S: Simd, const NV: usize>(simd: S, from: &[T]) -> [T::V<S>; NV] {
    let mut registers = [T::splat(simd, T::ZERO); NV];
    let to: &mut [T] = bytemuck::cast_slice_mut(&mut registers);
    if from.len() == to.len() {
        to.copy_from_slice(from);
    } else {
        to[..from.len()].copy_from_slice(from);
    }
    registers
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
        c,
    }
    .run(scratch);
}
