//! `C = op(A) op(B) + ..` on row-major slices, one thread, with bits that do not depend on the other rows.
//!
//! `op(B)` is copied panel by panel (a few registers wide, [`KC`] rows deep) into contiguous memory that stays
//! in the first caches; `op(A)` is read where it lies, one broadcast an element. Where that is cheaper, above all where
//! C has few columns that would not fill the last register, the product is computed as `Cᵀ = Bᵀ Aᵀ`: every element is the
//! same chain of multiply-adds in ascending k either way, so the choice does not show in the bits.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::tile::accumulate;
use crate::simd::dispatch::register_bytes;
use crate::simd::lane::{AlignedBuf, Lane, is_f32};
use crate::simd::prefetch::prefetch;
use crate::simd::transpose::transpose;

/// Depth of a packed panel.
const KC: usize = 256;
/// Rows of A that one panel after the other goes over: with [`KC`] columns they stay in the second cache.
const ROWS: usize = 504;
/// Columns of the widest panel on any instruction set.
const WIDEST: usize = 64;
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
            transpose((&*c, ld), (m, n), (&mut *ct, m), false);
        }
        Product::<T, DISTANCE> {
            size: (n, m, k),
            a: self.b.flipped(),
            b: self.a.flipped(),
            start,
            c: (&mut *ct, m),
        }
        .run_as_it_stands(&mut scratch.panel);
        transpose((ct, m), (n, m), (c, ld), false);
    }

    /// Whether `Cᵀ = op(B)ᵀ op(A)ᵀ` is cheaper: columns are padded to whole registers, rows are not; and the right operand is
    /// copied, with more effort if it must be transposed. In quarters of a multiply-add of registers.
    fn better_transposed(&self) -> bool {
        let (m, n, k) = self.size;
        let lanes = register_bytes() / size_of::<T>();
        let cost = |rows: usize, columns: usize, transposed: bool| {
            let copy = if transposed { 3 } else { 1 } * columns * k * 4 / lanes;
            4 * rows * columns.div_ceil(lanes) * k + copy
        };
        let adds = matches!(self.start, Start::AddToC | Start::SubtractFromC);
        // C goes there and back if it is added to, in narrow rows.
        let back = if adds { 28 } else { 3 } * m * n * 4 / lanes;
        (!adds || m * n <= MOST_ADDED)
            && cost(n, m, !self.a.transposed) + back < cost(m, n, self.b.transposed)
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
                Start::SubtractFromC => Start::SubtractFromC,
            },
            c: (bytemuck::cast_slice_mut(self.c.0), self.c.1),
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
        self.chunks(simd);
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
    fn chunks<S: Simd>(&mut self, simd: S) {
        let m = self.product.size.0;
        let mut i = 0;
        while i < m {
            let rows = (m - i).min(ROWS);
            self.row_chunk(simd, (i, i + rows));
            i += rows;
        }
    }

    #[inline(always)]
    fn row_chunk<S: Simd>(&mut self, simd: S, rows: (usize, usize)) {
        let (_, n, k) = self.product.size;
        let lanes = T::lanes::<S>();
        // Accumulators, one row of B and a broadcast fit the registers with 6 x 4 of 32, 6 x 2 of 16.
        let most = const { if S::REGISTER_COUNT >= 32 { 4 } else { 2 } };
        let mut k0 = 0;
        loop {
            let kc = (k - k0).min(KC);
            let mut j = 0;
            while j < n {
                let registers = (n - j).div_ceil(lanes).min(most);
                let cols = (n - j).min(registers * lanes);
                match registers {
                    4 if most == 4 => self.panel_rows::<S, 4>(simd, rows, (k0, kc), (j, cols)),
                    3 if most == 4 => self.panel_rows::<S, 3>(simd, rows, (k0, kc), (j, cols)),
                    2 => self.panel_rows::<S, 2>(simd, rows, (k0, kc), (j, cols)),
                    _ => self.panel_rows::<S, 1>(simd, rows, (k0, kc), (j, cols)),
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
    fn panel_rows<S: Simd, const NV: usize>(
        &mut self,
        simd: S,
        (mut i, end): (usize, usize),
        (k0, kc): (usize, usize),
        (j, cols): (usize, usize),
    ) {
        let width = NV * T::lanes::<S>();
        let panel = &mut self.panel[..kc * width];
        self.product.pack(simd, (k0, kc), (j, cols), panel, width);
        let panel: &[T::V<S>] = bytemuck::cast_slice(panel);
        while i < end {
            let place = Place { i, j, cols, k0, start: self.product.start };
            i += match end - i {
                6.. => self.product.block::<S, 6, NV>(simd, panel, &place),
                2.. => self.product.block::<S, 2, NV>(simd, panel, &place),
                _ => self.product.block::<S, 1, NV>(simd, panel, &place),
            };
        }
    }
}

impl<T: Lane, const DISTANCE: bool> Product<'_, T, DISTANCE> {
    /// Rows `k0..k0 + kc`, columns `j..j + cols` of `op(B)` into `panel[kc, width]`, zeros on the right.
    #[inline(always)]
    fn pack<S: Simd>(
        &self,
        simd: S,
        (k0, kc): (usize, usize),
        (j, cols): (usize, usize),
        panel: &mut [T],
        width: usize,
    ) {
        let Operand { data, ld, transposed } = self.b;
        if kc == 0 {
            return;
        }
        if transposed {
            transpose((&data[j * ld + k0..], ld), (cols, kc), (&mut *panel, width), false);
            if cols < width {
                panel.chunks_exact_mut(width).for_each(|row| row[cols..].fill(T::ZERO));
            }
            return;
        }
        let lanes = T::lanes::<S>();
        for (k, row) in panel.chunks_exact_mut(width).enumerate() {
            let from = &data[(k0 + k) * ld + j..][..cols];
            for (to, v) in row.chunks_exact_mut(lanes).zip((0..width).step_by(lanes)) {
                let x = T::load(simd, &from[v.min(cols)..]);
                to.copy_from_slice(bytemuck::cast_slice(std::slice::from_ref(&x)));
            }
        }
    }

    /// One block of `MR` rows; returns `MR`.
    #[inline(always)]
    fn block<S: Simd, const MR: usize, const NV: usize>(
        &mut self,
        simd: S,
        panel: &[T::V<S>],
        place: &Place<'_, T>,
    ) -> usize {
        let &Place { i, j, cols, k0, start } = place;
        let (ref mut c, n) = self.c;
        let c = &mut c[i * n + j..];
        // Rows of C are too far apart for the processor to guess the next ones: they come while this block is summed.
        for r in MR..2 * MR {
            if let Some(next) = c.get(r * n..r * n + cols) {
                prefetch(next);
            }
        }
        let mut acc = [[T::splat(simd, T::ZERO); NV]; MR];
        match start {
            Start::PerColumn(bias) if k0 == 0 => {
                acc = [load::<T, S, NV>(simd, &bias[j..j + cols]); MR];
            }
            Start::PerRow(bias) if k0 == 0 => {
                for (row, &x) in acc.iter_mut().zip(&bias[i..i + MR]) {
                    *row = [T::splat(simd, x); NV];
                }
            }
            Start::Zero if k0 == 0 => {}
            Start::AddToC | Start::SubtractFromC => {}
            // A later chunk of k continues the chain.
            _ => {
                for r in 0..MR {
                    acc[r] = load::<T, S, NV>(simd, &c[r * n..r * n + cols]);
                }
            }
        }
        if !panel.is_empty() {
            let Operand { data, ld, transposed } = self.a;
            let (row, step) = if transposed { (1, ld) } else { (ld, 1) };
            let a = &data[i * row + k0 * step..];
            acc = accumulate::<T, S, MR, NV, DISTANCE>(simd, a, (row, step), panel, acc);
        }
        if let Start::AddToC | Start::SubtractFromC = start {
            let add = matches!(start, Start::AddToC);
            for r in 0..MR {
                let old = load::<T, S, NV>(simd, &c[r * n..r * n + cols]);
                for v in 0..NV {
                    let sum = acc[r][v];
                    acc[r][v] = if add { T::add_v(simd, old[v], sum) } else { T::sub_v(simd, old[v], sum) };
                }
            }
        }
        for r in 0..MR {
            store::<T, S, NV>(simd, &mut c[r * n..r * n + cols], &acc[r]);
        }
        MR
    }
}

/// `NV` registers from a slice that may be shorter; zeros behind it.
#[inline(always)]
fn load<T: Lane, S: Simd, const NV: usize>(simd: S, from: &[T]) -> [T::V<S>; NV] {
    let lanes = T::lanes::<S>();
    if from.len() == NV * lanes {
        let mut registers = [T::splat(simd, T::ZERO); NV];
        bytemuck::cast_slice_mut::<_, T>(&mut registers).copy_from_slice(from);
        return registers;
    }
    std::array::from_fn(|v| T::load(simd, &from[(v * lanes).min(from.len())..]))
}

/// `NV` registers to a slice that may be shorter.
#[inline(always)]
fn store<T: Lane, S: Simd, const NV: usize>(simd: S, to: &mut [T], registers: &[T::V<S>; NV]) {
    let (lanes, len) = (T::lanes::<S>(), to.len());
    if len == NV * lanes {
        to.copy_from_slice(bytemuck::cast_slice(registers));
        return;
    }
    for v in 0..NV {
        T::store(simd, &mut to[(v * lanes).min(len)..], registers[v]);
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

    /// One product on an instruction set that need not be the machine's best.
    fn on<S: Simd>(
        simd: S,
        (m, n, k): (usize, usize, usize),
        start: Start<'_, f32>,
        flipped: bool,
    ) -> Vec<f32> {
        let number = |i: usize| (i * 37 % 101) as f32 / 50.0 - 1.0;
        let (a, b): (Vec<f32>, Vec<f32>) =
            ((0..m * k).map(number).collect(), (0..n * k).map(number).collect());
        let mut c: Vec<f32> = (0..m * n).map(number).collect();
        let mut panel = AlignedBuf::default();
        let product = Product::<f32, false> {
            size: (m, n, k),
            a: Operand { data: &a, ld: if flipped { m } else { k }, transposed: flipped },
            b: Operand { data: &b, ld: if flipped { n } else { k }, transposed: !flipped },
            start,
            c: (&mut c, n),
        };
        simd.vectorize(Kernel { product, panel: panel.get(KC * WIDEST) });
        c
    }

    #[test]
    fn instruction_sets_agree() {
        for size in [(1, 1, 1), (7, 50, 33), (13, 67, 300), (6, 16, 0), (20, 3, 5)] {
            let bias: Vec<f32> = (0..size.1).map(|i| i as f32 * 0.1).collect();
            for start in [Start::Zero, Start::PerColumn(&bias), Start::AddToC, Start::SubtractFromC] {
                for flipped in [false, true] {
                    let plain = on(pulp::Scalar::new(), size, start, flipped);
                    #[cfg(target_arch = "x86_64")]
                    {
                        let fused = pulp::x86::V3::try_new().map(|simd| on(simd, size, start, flipped));
                        let wide = pulp::x86::V4::try_new().map(|simd| on(simd, size, start, flipped));
                        if let (Some(fused), Some(wide)) = (&fused, &wide) {
                            assert_eq!(fused, wide, "{size:?}: AVX2 and AVX-512 differ");
                        }
                        let close = |x: &Vec<f32>| x.iter().zip(&plain).all(|(x, y)| (x - y).abs() <= 1e-4);
                        assert!(
                            fused.iter().chain(&wide).all(close),
                            "{size:?}: not what plain numbers give"
                        );
                    }
                    assert!(plain.iter().all(|x| x.is_finite()));
                }
            }
        }
    }
}
