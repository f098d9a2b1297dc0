//! The pivots of one front: its rows are eliminated, the largest pivot of the diagonal block first, and its columns divided.

use chreode_core::Real;

use super::planes::{Planes, cut, cut_ref, scale_row, subtract_product, subtract_row};
use crate::scalar::Scalar;
use crate::simd::lane::AlignedBuf;

/// Columns that are eliminated before the rest of a front is updated.
pub(super) const BLOCK: usize = 16;
/// Entries of L are to stay below this (rows being scaled to 1): pivots at least a thousandth of what they divide.
const GROWTH: f64 = 1e3;

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
        let (k, m) = (self.k, self.m);
        for j0 in (0..k).step_by(BLOCK) {
            let j1 = (j0 + BLOCK).min(k);
            for j in j0..j1 {
                let (mut pivot, mut most) = (j, self.at(j, j).magnitude());
                for i in j + 1..k {
                    let size = self.at(i, j).magnitude();
                    if size > most {
                        (pivot, most) = (i, size);
                    }
                }
                if !(most > <S::Part as Real>::ZERO && most.is_finite()) {
                    return Some(j);
                }
                self.swaps[j] = pivot;
                if pivot != j {
                    for plane in self.rows.iter_mut().filter(|p| !p.is_empty()) {
                        let (above, below) = plane.split_at_mut(pivot * m);
                        above[j * m..(j + 1) * m].swap_with_slice(&mut below[..m]);
                    }
                }
                self.inverse[j] = S::ONE / self.at(j, j);
                for i in j + 1..k {
                    let l = self.at(i, j) * self.inverse[j];
                    self.set(i, j, l);
                    self.subtract(l, j, i, j + 1..j1);
                }
            }
            for i in j0 + 1..j1 {
                for p in j0..i {
                    self.subtract(self.at(i, p), p, i, j1..m);
                }
            }
            if j1 < k {
                self.trailing(j0, j1);
            }
        }
        None
    }

    /// Takes pivots `j0..j1` from the pivot rows after them.
    #[inline(always)]
    fn trailing(&mut self, j0: usize, j1: usize) {
        let (k, m, block) = (self.k, self.m, j1 - j0);
        for (packed, plane) in self.packed.iter_mut().zip(&self.rows) {
            if !plane.is_empty() {
                for (to, from) in packed.chunks_exact_mut(block).zip(plane[j1 * m..].chunks_exact(m)) {
                    to.copy_from_slice(&from[j0..j1]);
                }
            }
        }
        let len = (k - j1) * block;
        let a = self.packed.each_ref().map(|p| cut_ref(p, 0, len));
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
        subtract_product::<S>((k - j1, m - j1, block), (a, block, false), (b, m), (c, m), self.panel);
    }

    #[inline(always)]
    fn at(&self, i: usize, j: usize) -> S {
        let at = i * self.m + j;
        let im = if S::COMPLEX { self.rows[1][at] } else { <S::Part as Real>::ZERO };
        S::from_parts(self.rows[0][at], im)
    }

    #[inline(always)]
    fn set(&mut self, i: usize, j: usize, x: S) {
        let at = i * self.m + j;
        self.rows[0][at] = x.re();
        if S::COMPLEX {
            self.rows[1][at] = x.im();
        }
    }

    /// Row `i` minus `l` times row `p < i`, in these columns.
    #[inline(always)]
    fn subtract(&mut self, l: S, p: usize, i: usize, columns: std::ops::Range<usize>) {
        let (m, len) = (self.m, columns.len());
        let [(p_re, i_re), (p_im, i_im)] = self
            .rows
            .each_mut()
            .map(|v| if v.is_empty() { v.split_at_mut(0) } else { v.split_at_mut(i * m) });
        let row = [&*p_re, &*p_im].map(|v| cut_ref(v, p * m + columns.start, len));
        let out = [i_re, i_im].map(|v| cut(v, columns.start, len));
        subtract_row::<S>(l, row, out);
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
        for j in j0..j1 {
            let at = if S::COMPLEX { (j - j0) * r } else { 0 };
            let ((before_re, own_re), (before_im, own_im)) =
                (rest_re.split_at_mut((j - j0) * r), rest_im.split_at_mut(at));
            let (own_re, own_im) = (cut(own_re, 0, r), cut(own_im, 0, r));
            for p in j0..j {
                let u = cut_ref(rows[1], p * m + j, 1).first().copied();
                let u = S::from_parts(rows[0][p * m + j], u.unwrap_or(<S::Part as Real>::ZERO));
                let row = [&*before_re, &*before_im].map(|v| cut_ref(v, (p - j0) * r, r));
                subtract_row::<S>(u, row, [&mut *own_re, &mut *own_im]);
            }
            let most = scale_row::<S>(inverse[j], own_re, own_im);
            if most > <S::Part as Real>::c(GROWTH) || !most.is_finite() {
                return Some(j);
            }
        }
    }
    None
}
