//! The dense products of a sparse factorisation: `C -= A B` on blocks with row strides, in real numbers.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use crate::batch::tile::accumulate;
use crate::simd::lane::{AlignedBuf, Lane, is_f32};

/// Depth of a packed panel.
const DEPTH: usize = 128;
/// Columns of the widest panel on any instruction set.
const WIDEST: usize = 64;

/// `A`, `[m, k]`: `a[i * stride + p]`, or `a[p * stride + i]` if transposed.
#[derive(Clone, Copy)]
pub(super) struct Left<'a, T> {
    pub data: &'a [T],
    pub stride: usize,
    pub transposed: bool,
}

/// `C[m, n] -= A[m, k] B[k, n]` (or `+=`), rows of `B` and `C` with a stride.
pub(super) struct Update<'a, T> {
    /// `m`, `n`, `k`.
    pub size: (usize, usize, usize),
    pub a: Left<'a, T>,
    pub b: (&'a [T], usize),
    pub c: (&'a mut [T], usize),
    pub add: bool,
}

impl<T: Real> Update<'_, T> {
    pub(super) fn run(self, panel: &mut AlignedBuf) {
        let (m, n, k) = self.size;
        if m == 0 || n == 0 || k == 0 {
            return;
        }
        if is_f32::<T>() { update_f32(self.cast(), panel) } else { update_f64(self.cast(), panel) }
    }
}

impl<'a, T: Real> Update<'a, T> {
    fn cast<U: Real>(self) -> Update<'a, U> {
        Update {
            size: self.size,
            a: Left {
                data: bytemuck::cast_slice(self.a.data),
                stride: self.a.stride,
                transposed: self.a.transposed,
            },
            b: (bytemuck::cast_slice(self.b.0), self.b.1),
            c: (bytemuck::cast_slice_mut(self.c.0), self.c.1),
            add: self.add,
        }
    }
}

#[inline(never)]
fn update_f32(update: Update<'_, f32>, panel: &mut AlignedBuf) {
    Arch::new().dispatch(Kernel { update, panel: panel.get(DEPTH * WIDEST) });
}

#[inline(never)]
fn update_f64(update: Update<'_, f64>, panel: &mut AlignedBuf) {
    Arch::new().dispatch(Kernel { update, panel: panel.get(DEPTH * WIDEST) });
}

struct Kernel<'a, T> {
    update: Update<'a, T>,
    panel: &'a mut [T],
}

impl<T: Lane> WithSimd for Kernel<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if self.update.a.transposed { self.chunks::<S, true>(simd) } else { self.chunks::<S, false>(simd) }
    }
}

impl<T: Lane> Kernel<'_, T> {
    #[inline(always)]
    fn chunks<S: Simd, const AT: bool>(&mut self, simd: S) {
        let (_, n, k) = self.update.size;
        let lanes = T::lanes::<S>();
        let most = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
        for p in (0..k).step_by(DEPTH) {
            let depth = (k - p).min(DEPTH);
            let mut j = 0;
            while j < n {
                let registers = (n - j).div_ceil(lanes).min(most);
                let cols = (n - j).min(registers * lanes);
                match registers {
                    4 => self.panel_rows::<S, AT, 4>(simd, (p, depth), (j, cols)),
                    3 => self.panel_rows::<S, AT, 3>(simd, (p, depth), (j, cols)),
                    2 => self.panel_rows::<S, AT, 2>(simd, (p, depth), (j, cols)),
                    _ => self.panel_rows::<S, AT, 1>(simd, (p, depth), (j, cols)),
                }
                j += cols;
            }
        }
    }

    #[inline(always)]
    fn panel_rows<S: Simd, const AT: bool, const NV: usize>(
        &mut self,
        simd: S,
        (p, depth): (usize, usize),
        (j, cols): (usize, usize),
    ) {
        let width = NV * T::lanes::<S>();
        let panel = &mut self.panel[..depth * width];
        let (b, stride) = self.update.b;
        for (q, row) in panel.chunks_exact_mut(width).enumerate() {
            let from = (p + q) * stride + j;
            row[..cols].copy_from_slice(&b[from..from + cols]);
            row[cols..].fill(T::ZERO);
        }
        let panel: &[T::V<S>] = bytemuck::cast_slice(panel);
        let m = self.update.size.0;
        let mut i = 0;
        while i < m {
            i += match m - i {
                6.. => self.update.block::<S, 6, NV, AT>(simd, panel, (i, j), cols, p),
                4.. => self.update.block::<S, 4, NV, AT>(simd, panel, (i, j), cols, p),
                2.. => self.update.block::<S, 2, NV, AT>(simd, panel, (i, j), cols, p),
                _ => self.update.block::<S, 1, NV, AT>(simd, panel, (i, j), cols, p),
            };
        }
    }
}

impl<T: Lane> Update<'_, T> {
    /// One block of `MR` rows; returns `MR`.
    #[inline(always)]
    fn block<S: Simd, const MR: usize, const NV: usize, const AT: bool>(
        &mut self,
        simd: S,
        panel: &[T::V<S>],
        (i, j): (usize, usize),
        cols: usize,
        p: usize,
    ) -> usize {
        let Left { data, stride, .. } = self.a;
        let from = if AT { p * stride + i } else { i * stride + p };
        let zero = [[T::splat(simd, T::ZERO); NV]; MR];
        let acc = accumulate::<T, S, MR, NV, AT, false>(simd, &data[from..], stride, panel, zero);
        let (ref mut c, stride) = self.c;
        for r in 0..MR {
            let at = (i + r) * stride + j;
            let c = &mut c[at..at + cols];
            let sums: &[T] = bytemuck::cast_slice(&acc[r]);
            if self.add {
                c.iter_mut().zip(sums).for_each(|(c, &s)| *c += s);
            } else {
                c.iter_mut().zip(sums).for_each(|(c, &s)| *c -= s);
            }
        }
        MR
    }
}
