//! The pivots of one front: its rows are eliminated, the largest pivot of the diagonal block first, and its columns divided.

use chreode_core::Real;

use super::planes::{
    Planes, at, cut, cut_ref, largest, multiply, substitute, subtract_product, subtract_row,
};
use crate::scalar::Scalar;
use crate::simd::lane::AlignedBuf;

/// Columns that are eliminated before the rest of a front is updated.
pub(super) const BLOCK: usize = 16;
/// Entries of L are to stay below this (rows being scaled to 1): pivots at least a tenth of what they divide. Larger ones let errors of
/// solves grow, which methods that do not iterate keep: at 1e2 as at 1e3 small species of the scaffold were off by 3e-7 of themselves.
const GROWTH: f64 = 1e1;

/// The pivot rows `[k, m]` of a front.
pub(super) struct PivotRows<'a, S: Scalar> {
    pub rows: [&'a mut [S::Part]; 2],
    pub inverse: &'a mut [S],
    pub swaps: &'a mut [usize],
    pub packed: &'a mut Planes<S::Part>,
    pub panel: &'a mut AlignedBuf,
    pub k: usize,
    pub m: usize,
}

impl<S: Scalar> PivotRows<'_, S> {
    /// Eliminates them, the largest pivot of their columns first; a pivot that is zero or not finite is returned.
    #[inline(always)]
    pub(super) fn pivot_rows(&mut self) -> Option<usize> {
        let k = self.k;
        for j0 in (0..k).step_by(BLOCK) {
            let j1 = (j0 + BLOCK).min(k);
            if let Some(bad) = self.block_columns(j0, j1) {
                return Some(bad);
            }
            self.block_rows(j0, j1);
            if j1 < k {
                self.trailing(j0, j1);
            }
        }
        None
    }

    /// Columns `j0..j1` of all rows from `j0` on. They are copied to columns that are contiguous, so that loops run along them.
    #[inline(always)]
    fn block_columns(&mut self, j0: usize, j1: usize) -> Option<usize> {
        let (m, h) = (self.m, self.k - j0);
        for (packed, plane) in self.packed.iter_mut().zip(&self.rows) {
            if !plane.is_empty() {
                for (i, row) in plane[j0 * m..].chunks_exact(m).enumerate() {
                    for (c, &x) in row[j0..j1].iter().enumerate() {
                        packed[c * h + i] = x;
                    }
                }
            }
        }
        for j in j0..j1 {
            let (c, i0) = (j - j0, j - j0);
            let (mut pivot, mut most) = (i0, at::<S>(self.packed, c * h + i0).magnitude());
            for i in i0 + 1..h {
                let size = at::<S>(self.packed, c * h + i).magnitude();
                if size > most {
                    (pivot, most) = (i, size);
                }
            }
            if !(most > <S::Part as Real>::ZERO && most.is_finite()) {
                return Some(j);
            }
            self.swaps[j] = j0 + pivot;
            if pivot != i0 {
                for plane in self.rows.iter_mut().filter(|p| !p.is_empty()) {
                    let (above, below) = plane.split_at_mut((j0 + pivot) * m);
                    above[j * m..(j + 1) * m].swap_with_slice(&mut below[..m]);
                }
                for plane in self.packed.iter_mut().filter(|p| !p.is_empty()) {
                    (0..j1 - j0).for_each(|c| plane.swap(c * h + i0, c * h + pivot));
                }
            }
            let inverse = S::ONE / at::<S>(self.packed, c * h + i0);
            self.inverse[j] = inverse;
            let len = h - i0 - 1;
            let [re, im] = self.packed.each_mut().map(|v| cut(v, c * h + i0 + 1, len));
            multiply::<S>(inverse, re, im);
            for c in c + 1..j1 - j0 {
                let u = at::<S>(self.packed, c * h + i0);
                let halves = self
                    .packed
                    .each_mut()
                    .map(|v| if v.is_empty() { v.split_at_mut(0) } else { v.split_at_mut(c * h) });
                let [(l_re, re), (l_im, im)] = halves;
                let l = [&*l_re, &*l_im].map(|v| cut_ref(v, (j - j0) * h + i0 + 1, len));
                subtract_row::<S>(u, l, [re, im].map(|v| cut(v, i0 + 1, len)));
            }
        }
        for (packed, plane) in self.packed.iter().zip(&mut self.rows) {
            if !plane.is_empty() {
                for (i, row) in plane[j0 * m..].chunks_exact_mut(m).enumerate() {
                    for (c, x) in row[j0..j1].iter_mut().enumerate() {
                        *x = packed[c * h + i];
                    }
                }
            }
        }
        None
    }

    /// Rows `j0..j1` from column `j1` on; L of the block is still where [`block_columns`](Self::block_columns) left it.
    #[inline(always)]
    fn block_rows(&mut self, j0: usize, j1: usize) {
        let (m, h, packed) = (self.m, self.k - j0, &*self.packed);
        let rows = self.rows.each_mut().map(|v| {
            let len = v.len().saturating_sub(j0 * m + j1);
            cut(v, j0 * m + j1, len)
        });
        substitute::<S>(rows, m, (j1 - j0, m - j1), |i, p| at::<S>(packed, p * h + i), None);
    }

    /// Takes pivots `j0..j1` from the pivot rows after them.
    #[inline(always)]
    fn trailing(&mut self, j0: usize, j1: usize) {
        let (k, m, h, block) = (self.k, self.m, self.k - j0, j1 - j0);
        let a = self.packed.each_ref().map(|p| cut_ref(p, block, block * h - block));
        let halves = self
            .rows
            .each_mut()
            .map(|p| if p.is_empty() { p.split_at_mut(0) } else { p.split_at_mut(j1 * m) });
        let [(b_re, c_re), (b_im, c_im)] = halves;
        let b = [&*b_re, &*b_im].map(|b| cut_ref(b, j0 * m + j1, block * m - j1));
        let c = [c_re, c_im].map(|c| {
            let len = c.len().saturating_sub(j1);
            cut(c, j1, len)
        });
        subtract_product::<S>((k - j1, m - j1, block), (a, h, true), (b, m), (c, m), self.panel);
    }
}

/// Divides the pivot columns below the diagonal block, `[k, r]` transposed, by its upper triangle. A pivot that leaves
/// entries too large is returned.
#[inline(always)]
pub(super) fn pivot_columns<S: Scalar>(
    rows: &[&[S::Part]; 2],
    columns: [&mut [S::Part]; 2],
    inverse: &[S],
    (k, r): (usize, usize),
    panel: &mut AlignedBuf,
) -> Option<usize> {
    let m = k + r;
    let [re, im] = columns;
    for j0 in (0..k).step_by(BLOCK) {
        let j1 = (j0 + BLOCK).min(k);
        let cut_at = if im.is_empty() { 0 } else { j0 * r };
        let ((done_re, rest_re), (done_im, rest_im)) = (re.split_at_mut(j0 * r), im.split_at_mut(cut_at));
        if j0 > 0 {
            let a = rows.map(|v| cut_ref(v, j0, v.len().saturating_sub(j0)));
            let b = [&*done_re, &*done_im];
            subtract_product::<S>(
                (j1 - j0, r, j0),
                (a, m, true),
                (b, r),
                ([&mut *rest_re, &mut *rest_im], r),
                panel,
            );
        }
        let u = |i: usize, p: usize| {
            let at = (j0 + p) * m + j0 + i;
            S::from_parts(rows[0][at], rows[1].get(at).copied().unwrap_or(<S::Part as Real>::ZERO))
        };
        let size = (j1 - j0, r);
        substitute::<S>([&mut *rest_re, &mut *rest_im], r, size, u, Some(&inverse[j0..j1]));
        for j in j0..j1 {
            let row = [&*rest_re, &*rest_im].map(|v| cut_ref(v, (j - j0) * r, r));
            let most = largest::<S>(row);
            if most > <S::Part as Real>::c(GROWTH) || !most.is_finite() {
                return Some(j);
            }
        }
    }
    None
}
