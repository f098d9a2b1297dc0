//! The loops of a product: chunks of rows and columns, what is copied for them, and the blocks of C.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::gemm::{Operand, Product, Start};
use super::tile::accumulate;
use crate::simd::lane::{AlignedBuf, Lane};
use crate::simd::prefetch::prefetch;
use crate::simd::transpose::transpose;

/// Depth of a packed panel.
pub(super) const KC: usize = 256;
/// Bytes of A, with [`KC`] columns, that one panel after the other goes over: they stay in the second cache.
const CHUNK_BYTES: usize = 240 << 10;
/// Columns of B that are copied before the rows of A go over them, if those are more than stay in the second cache.
const COLUMNS: usize = 512;
/// Bytes from row to row of B from which on its next panel is asked for ahead.
const AHEAD: usize = 1024;
/// Columns of the widest panel on any instruction set.
pub(super) const WIDEST: usize = 64;
/// Rows of the tallest block.
pub(super) const TALLEST: usize = 6;

/// How a product is cut.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    /// Rows of A at a time: as many in each chunk, so that none has a few.
    pub(super) rows: usize,
    /// Numbers of copied panels of B, and of A.
    pub(super) b: usize,
    pub(super) a: usize,
}

impl Cut {
    /// Most rows at a time; a multiple of [`TALLEST`].
    pub(super) const fn most_rows<T>() -> usize {
        CHUNK_BYTES / (KC * size_of::<T>())
    }

    pub(super) fn of<T>((m, n, k): (usize, usize, usize), strided: bool) -> Self {
        let chunks = m.div_ceil(Self::most_rows::<T>()).max(1);
        let rows = m.div_ceil(chunks).max(1).next_multiple_of(TALLEST);
        let depth = k.min(KC);
        let b = if chunks > 1 { n.min(COLUMNS) + WIDEST } else { WIDEST };
        // A copied number is read once a panel; lines of a transposed A, of which a block needs a part, once a panel too.
        let a = if n > if strided { WIDEST / 2 } else { 2 * WIDEST } { rows } else { 0 };
        Self { rows, b: b * depth, a: a * depth }
    }
}

/// Instances that are not generic: they are compiled once, here, and not in every crate that calls them.
macro_rules! instance {
    ($name:ident, $t:ident, $distance:literal) => {
        #[inline(never)]
        pub(super) fn $name(product: Product<'_, $t, $distance>, panel: &mut AlignedBuf) {
            Arch::new().dispatch(Kernel::new(product, panel));
        }
    };
}
instance!(product_f32, f32, false);
instance!(product_f64, f64, false);
instance!(distance_f32, f32, true);
instance!(distance_f64, f64, true);

impl<'a, T: Real, const DISTANCE: bool> Product<'a, T, DISTANCE> {
    pub(super) fn cast<U: Real, const D: bool>(self) -> Product<'a, U, D> {
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
    cut: Cut,
    /// Copied panels of B: one, or all of a chunk of columns.
    b: &'a mut [T],
    /// Copied blocks of A, if any.
    a: &'a mut [T],
}

impl<'a, T: Real, const DISTANCE: bool> Kernel<'a, T, DISTANCE> {
    fn new(product: Product<'a, T, DISTANCE>, panel: &'a mut AlignedBuf) -> Self {
        let cut = Cut::of::<T>(product.size, product.a.transposed);
        let (b, a) = panel.get(cut.b + cut.a).split_at_mut(cut.b);
        Self { product, cut, b, a }
    }
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
        let (m, n, k) = self.product.size;
        for j in (0..n).step_by(COLUMNS) {
            let mut k0 = 0;
            loop {
                let kc = (k - k0).min(KC);
                for i in (0..m).step_by(self.cut.rows) {
                    let end = (i + self.cut.rows).min(m);
                    self.row_chunk(simd, (i, end), (k0, kc), (j, n.min(j + COLUMNS)));
                }
                k0 += kc;
                if k0 >= k {
                    break;
                }
            }
        }
    }

    #[inline(always)]
    fn row_chunk<S: Simd>(
        &mut self,
        simd: S,
        (i, end): (usize, usize),
        (k0, kc): (usize, usize),
        (first, n): (usize, usize),
    ) {
        let lanes = T::lanes::<S>();
        // Accumulators, one row of B and a broadcast fit the registers with 6 x 4 of 32, 6 x 2 of 16.
        let most = const { if S::REGISTER_COUNT >= 32 { 4 } else { 2 } };
        if !self.a.is_empty() {
            self.product.copy_rows((i, end), (k0, kc), self.a);
        }
        let mut j = first;
        while j < n {
            let registers = (n - j).div_ceil(lanes).min(most);
            let cols = (n - j).min(registers * lanes);
            let place = Place { i, j, cols, k0, start: self.product.start };
            // The panels of all columns are kept if there are more rows.
            let at = if self.cut.rows < self.product.size.0 { (j - first) * kc } else { 0 };
            match registers {
                4 if most == 4 => self.panel_rows::<S, 4>(simd, end, kc, at, place),
                3 if most == 4 => self.panel_rows::<S, 3>(simd, end, kc, at, place),
                2 => self.panel_rows::<S, 2>(simd, end, kc, at, place),
                _ => self.panel_rows::<S, 1>(simd, end, kc, at, place),
            }
            j += cols;
        }
    }

    #[inline(always)]
    fn panel_rows<S: Simd, const NV: usize>(
        &mut self,
        simd: S,
        end: usize,
        kc: usize,
        at: usize,
        mut place: Place<'_, T>,
    ) {
        let width = NV * T::lanes::<S>();
        let panel = &mut self.b[at..at + kc * width];
        let first = place.i;
        if first == 0 {
            self.product.pack(simd, (place.k0, kc), (place.j, place.cols), panel, width);
        }
        let panel: &[T::V<S>] = bytemuck::cast_slice(panel);
        // The processor does not guess rows of B that are far apart: of the next panel they come with the blocks.
        let b = self.product.b;
        let ahead = first == 0 && !b.transposed && b.row_bytes() >= AHEAD;
        let next = if ahead { b.data.get(place.k0 * b.ld + place.j + width..).unwrap_or(&[]) } else { &[] };
        while place.i < end {
            let i = place.i;
            let height = block_height(end - i);
            for k in kc * i / end..kc * (i + height) / end {
                if let Some(row) = next.get(k * b.ld..k * b.ld + width) {
                    prefetch(row);
                }
            }
            let a = if self.a.is_empty() {
                self.product.a.from(i, place.k0)
            } else {
                copied(&self.a[(i - first) * kc..], self.product.a.transposed, height, kc)
            };
            match height {
                TALLEST => self.product.block::<S, TALLEST, NV>(simd, a, panel, &place),
                4 => self.product.block::<S, 4, NV>(simd, a, panel, &place),
                2 => self.product.block::<S, 2, NV>(simd, a, panel, &place),
                _ => self.product.block::<S, 1, NV>(simd, a, panel, &place),
            }
            place.i += height;
        }
    }
}

/// Rows of the next block, of those that are left.
#[inline(always)]
fn block_height(left: usize) -> usize {
    match left {
        TALLEST.. => TALLEST,
        4.. => 4,
        2.. => 2,
        _ => 1,
    }
}

/// Elements from one of A on, with the distances to the next row and the next column.
type Strided<'a, T> = (&'a [T], (usize, usize));

/// A block as [`Product::copy_rows`] leaves it.
#[inline(always)]
fn copied<T>(block: &[T], transposed: bool, height: usize, kc: usize) -> Strided<'_, T> {
    (block, if transposed { (1, height) } else { (kc, 1) })
}

impl<'a, T: Real> Operand<'a, T> {
    /// `op(A)` from element `(i, k)` on.
    #[inline(always)]
    fn from(&self, i: usize, k: usize) -> Strided<'a, T> {
        let strides @ (row, step) = if self.transposed { (1, self.ld) } else { (self.ld, 1) };
        (self.data.get(i * row + k * step..).unwrap_or(&[]), strides)
    }
}

impl<T: Lane, const DISTANCE: bool> Product<'_, T, DISTANCE> {
    /// Rows `i..end`, columns `k0..k0 + kc` of `op(A)`, block after block, each as it lies in A: rows one after the other, or columns if A
    /// is transposed. So what a block needs fills the lines that it lies in, which no power of two keeps out of a cache.
    #[inline(always)]
    fn copy_rows(&self, (mut i, end): (usize, usize), (k0, kc): (usize, usize), mut to: &mut [T]) {
        while i < end {
            let height = block_height(end - i);
            let (block, rest) = to.split_at_mut(height * kc);
            let (from, (row, step)) = self.a.from(i, k0);
            if self.a.transposed {
                match height {
                    TALLEST => copy_columns::<T, TALLEST>(from, step, block),
                    4 => copy_columns::<T, 4>(from, step, block),
                    2 => copy_columns::<T, 2>(from, step, block),
                    _ => copy_columns::<T, 1>(from, step, block),
                }
            } else if kc > 0 {
                for (r, to) in block.chunks_exact_mut(kc).enumerate() {
                    to.copy_from_slice(&from[r * row..][..kc]);
                }
            }
            (i, to) = (i + height, rest);
        }
    }

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
            transpose((&data[j * ld + k0..], ld), (cols, kc), (&mut *panel, width));
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

    /// One block of `MR` rows.
    #[inline(always)]
    fn block<S: Simd, const MR: usize, const NV: usize>(
        &mut self,
        simd: S,
        (a, strides): Strided<'_, T>,
        panel: &[T::V<S>],
        place: &Place<'_, T>,
    ) {
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
                acc = [load_rows::<T, S, 1, NV>(simd, &bias[j..j + cols], cols, cols)[0]; MR];
            }
            Start::PerRow(bias) if k0 == 0 => {
                for (row, &x) in acc.iter_mut().zip(&bias[i..i + MR]) {
                    *row = [T::splat(simd, x); NV];
                }
            }
            Start::Zero if k0 == 0 => {}
            Start::AddToC | Start::SubtractFromC => {}
            // A later chunk of k continues the chain.
            _ => acc = load_rows::<T, S, MR, NV>(simd, c, n, cols),
        }
        if !panel.is_empty() {
            acc = accumulate::<T, S, MR, NV, DISTANCE>(simd, a, strides, panel, acc);
        }
        match start {
            Start::AddToC => {
                let old = load_rows::<T, S, MR, NV>(simd, c, n, cols);
                for r in 0..MR {
                    for v in 0..NV {
                        acc[r][v] = T::add_v(simd, old[r][v], acc[r][v]);
                    }
                }
            }
            Start::SubtractFromC => {
                let old = load_rows::<T, S, MR, NV>(simd, c, n, cols);
                for r in 0..MR {
                    for v in 0..NV {
                        acc[r][v] = T::sub_v(simd, old[r][v], acc[r][v]);
                    }
                }
            }
            _ => {}
        }
        if cols == NV * T::lanes::<S>() {
            for r in 0..MR {
                let to = &mut c[r * n..][..cols];
                for v in 0..NV {
                    // One by one, or they would pass through the stack.
                    let register = acc[r][v];
                    let from = bytemuck::cast_slice(std::slice::from_ref(&register));
                    to[v * T::lanes::<S>()..][..T::lanes::<S>()].copy_from_slice(from);
                }
            }
        } else {
            for r in 0..MR {
                for v in 0..NV {
                    let at = (v * T::lanes::<S>()).min(cols);
                    T::store(simd, &mut c[r * n..r * n + cols][at..], acc[r][v]);
                }
            }
        }
    }
}

/// `MR` rows of `cols` numbers, `n` apart; zeros behind them.
#[inline(always)]
fn load_rows<T: Lane, S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    c: &[T],
    n: usize,
    cols: usize,
) -> [[T::V<S>; NV]; MR] {
    let lanes = T::lanes::<S>();
    let mut rows = [[T::splat(simd, T::ZERO); NV]; MR];
    if cols == NV * lanes {
        for r in 0..MR {
            let from = &c[r * n..][..cols];
            for v in 0..NV {
                let mut register = T::splat(simd, T::ZERO);
                let to = bytemuck::cast_slice_mut::<_, T>(std::slice::from_mut(&mut register));
                to.copy_from_slice(&from[v * lanes..][..lanes]);
                rows[r][v] = register;
            }
        }
    } else {
        for r in 0..MR {
            for v in 0..NV {
                rows[r][v] = T::load(simd, &c[r * n..r * n + cols][(v * lanes).min(cols)..]);
            }
        }
    }
    rows
}

/// Columns of `MR` numbers, `step` apart, one after the other.
#[inline(always)]
fn copy_columns<T: Lane, const MR: usize>(from: &[T], step: usize, to: &mut [T]) {
    for (column, to) in from.chunks(step.max(1)).zip(to.as_chunks_mut::<MR>().0) {
        if let Some(column) = column.first_chunk() {
            *to = *column;
        }
    }
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
        simd.vectorize(Kernel::new(product, &mut panel));
        c
    }

    #[test]
    fn instruction_sets_agree() {
        // The last ones: more rows, and more columns, than are taken at a time.
        for size in [
            (1, 1, 1),
            (7, 50, 33),
            (13, 67, 300),
            (6, 16, 0),
            (20, 3, 5),
            (11, 140, 40),
            (251, 70, 300),
            (245, 530, 9),
        ] {
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
