//! The numbers of a sparse LU: fronts are filled, eliminated and passed on to their parents. Sources: [DR83] for the
//! multifrontal method, [SG04] for pivoting inside of the diagonal blocks that the pattern allows.
//!
//! Complex matrices are kept as two planes, real and imaginary parts, so that all inner loops are those of real numbers.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::analysis::{Analysis, Front, Run};
use crate::batch::gemm::{Operand, Product, Start};
use crate::scalar::Scalar;
use crate::simd::lane::AlignedBuf;

/// Columns that are eliminated before the rest of a front is updated.
const BLOCK: usize = 16;
/// Entries of L are to stay below this (rows being scaled to 1): pivots at least a thousandth of what they divide.
const GROWTH: f64 = 1e3;

/// Real and imaginary parts; the second is empty for real numbers.
type Planes<T> = [Vec<T>; 2];

/// Why the fronts cannot be eliminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A row of zeros, or something that is not finite, at this position.
    Singular(usize),
    /// A pivot at this position would be too small for what it divides.
    Unstable(usize),
}

/// The factors of one matrix, with their work space.
#[derive(Clone)]
pub(super) struct Fronts<S: Scalar> {
    values: Planes<S::Part>,
    stack: Planes<S::Part>,
    /// The row of the front's pivots that each pivot's row was swapped with.
    swaps: Vec<usize>,
    inverse: Vec<S>,
    /// One over the largest element of each row.
    scale: Vec<S::Part>,
    x: Planes<S::Part>,
    w: Planes<S::Part>,
    packed: Planes<S::Part>,
    panel: AlignedBuf,
}

impl<S: Scalar> Fronts<S> {
    pub(super) fn new(analysis: &Analysis) -> Self {
        let planes = |len: usize| {
            let zeros = |on: bool| vec![<S::Part as Real>::ZERO; if on { len } else { 0 }];
            [zeros(true), zeros(S::COMPLEX)]
        };
        Self {
            values: planes(analysis.n_values),
            stack: planes(analysis.stack),
            swaps: vec![0; analysis.n],
            inverse: vec![S::ONE; analysis.n],
            scale: vec![<S::Part as Real>::ONE; analysis.n],
            x: planes(analysis.n),
            w: planes(analysis.most_others),
            packed: planes(analysis.most_pivots * BLOCK),
            panel: AlignedBuf::default(),
        }
    }

    pub(super) fn factor(&mut self, analysis: &Analysis, values: &[S]) -> Result<(), Trouble> {
        self.fill(analysis, values)?;
        Arch::new().dispatch(Eliminate { fronts: self, analysis })
    }

    /// Scales the rows and puts all values where they belong.
    fn fill(&mut self, analysis: &Analysis, values: &[S]) -> Result<(), Trouble> {
        self.scale.fill(<S::Part as Real>::ZERO);
        for (&row, &value) in analysis.rows.iter().zip(values) {
            let (most, size) = (self.scale[row], value.magnitude());
            // NaN must not be lost.
            self.scale[row] = if size <= most { most } else { size };
        }
        for (k, &row) in analysis.row_at.iter().enumerate() {
            let most = self.scale[row];
            if !(most > <S::Part as Real>::ZERO && most.is_finite()) {
                return Err(Trouble::Singular(k));
            }
            self.scale[row] = <S::Part as Real>::ONE / most;
        }
        self.values.iter_mut().for_each(|plane| plane.fill(<S::Part as Real>::ZERO));
        let [re, im] = &mut self.values;
        for ((&row, &place), &value) in analysis.rows.iter().zip(&analysis.places).zip(values) {
            let scale = self.scale[row];
            re[place] = value.re() * scale;
            if S::COMPLEX {
                im[place] = value.im() * scale;
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn eliminate(&mut self, analysis: &Analysis, front: &Front) -> Result<(), Trouble> {
        let (k, r) = (front.k(), front.r());
        let (m, first) = (k + r, front.pivots.start);
        let children = &analysis.children[front.children.clone()];
        let top = children.last().map_or(front.contribution, |&c| {
            let child = &analysis.fronts[c];
            child.contribution + child.r() * child.r()
        });
        for (values, stack) in self.values.iter_mut().zip(&mut self.stack) {
            if values.is_empty() {
                continue;
            }
            let (rows, columns) = values[front.values..front.values + k * (m + r)].split_at_mut(k * m);
            let (below, above) = stack.split_at_mut(top);
            let own = &mut above[..r * r];
            own.fill(<S::Part as Real>::ZERO);
            for &c in children {
                let child = &analysis.fronts[c];
                let size = child.r();
                let from = &below[child.contribution..child.contribution + size * size];
                take_in(from, size, &analysis.runs[child.runs.clone()], (k, r), rows, columns, own);
            }
        }
        let mut block = PivotRows {
            rows: self.values.each_mut().map(|v| cut(v, front.values, k * m)),
            inverse: &mut self.inverse[front.pivots.clone()],
            swaps: &mut self.swaps[front.pivots.clone()],
            packed: &mut self.packed,
            panel: &mut self.panel,
            k,
            m,
        };
        if let Some(bad) = block.pivot_rows() {
            return Err(Trouble::Unstable(first + bad));
        }
        if r == 0 {
            return Ok(());
        }
        let (rows, columns) = split_planes(&mut self.values, front.values, k * m, k * r);
        if let Some(bad) =
            pivot_columns(&rows, columns, &self.inverse[front.pivots.clone()], (k, r), &mut self.panel)
        {
            return Err(Trouble::Unstable(first + bad));
        }
        let (rows, columns) = split_planes(&mut self.values, front.values, k * m, k * r);
        let own = self.stack.each_mut().map(|s| cut(s, top, r * r));
        subtract_product::<S>(
            (r, r, k),
            (columns.each_ref().map(|c| &**c), r, true),
            (rows.map(|v| cut_ref(v, k, v.len().saturating_sub(k))), m),
            (own, r),
            &mut self.panel,
        );
        for stack in &mut self.stack {
            if !stack.is_empty() && top != front.contribution {
                stack.copy_within(top..top + r * r, front.contribution);
            }
        }
        Ok(())
    }

    /// Solves with the factored matrix, or with its transpose.
    pub(super) fn solve(&mut self, analysis: &Analysis, b: &mut [S], transpose: bool) {
        let [re, im] = &mut self.x;
        for k in 0..analysis.n {
            let value = if transpose { b[analysis.column_at[k]] } else { b[analysis.row_at[k]] };
            let scale = if transpose { <S::Part as Real>::ONE } else { self.scale[analysis.row_at[k]] };
            re[k] = value.re() * scale;
            if S::COMPLEX {
                im[k] = value.im() * scale;
            }
        }
        Arch::new().dispatch(Substitute { fronts: self, analysis, transpose });
        let [re, im] = &self.x;
        for k in 0..analysis.n {
            let im = if S::COMPLEX { im[k] } else { <S::Part as Real>::ZERO };
            if transpose {
                let row = analysis.row_at[k];
                b[row] = S::from_parts(re[k] * self.scale[row], im * self.scale[row]);
            } else {
                b[analysis.column_at[k]] = S::from_parts(re[k], im);
            }
        }
    }

    /// `x` of the pivots by the lower triangle (`L`, or `Uᵀ`), then what they take from the others.
    #[inline(always)]
    fn forward<const TRANSPOSE: bool>(&mut self, analysis: &Analysis, front: &Front) {
        let (k, r) = (front.k(), front.r());
        let (m, first) = (k + r, front.pivots.start);
        let rows = self.values.each_ref().map(|v| cut_ref(v, front.values, k * m));
        let columns = self.values.each_ref().map(|v| cut_ref(v, front.values + k * m, k * r));
        if TRANSPOSE {
            for j in 0..k {
                let x = times::<S>(self.inverse[first + j], at::<S>(&self.x, first + j));
                put::<S>(&mut self.x, first + j, x);
                let row = rows.map(|v| cut_ref(v, j * m + j + 1, k - j - 1));
                let y = self.x.each_mut().map(|v| cut(v, first + j + 1, k - j - 1));
                subtract_row::<S>(x, row, y);
            }
        } else {
            for j in 0..k {
                let with = first + self.swaps[first + j];
                self.x.iter_mut().filter(|v| !v.is_empty()).for_each(|v| v.swap(first + j, with));
            }
            for i in 1..k {
                let row = rows.map(|v| cut_ref(v, i * m, i));
                let done = self.x.each_ref().map(|v| cut_ref(v, first, i));
                let x = at::<S>(&self.x, first + i) - dot::<S>(row, done);
                put::<S>(&mut self.x, first + i, x);
            }
        }
        if r == 0 {
            return;
        }
        let [w_re, w_im] = self.w.each_mut().map(|w| cut(w, 0, r));
        let [x_re, x_im] = self.x.each_ref().map(|x| cut_ref(x, first, k));
        let ([re, im], from, stride) = if TRANSPOSE { (rows, k, m) } else { (columns, 0, r) };
        w_re.fill(<S::Part as Real>::ZERO);
        gather_rows(w_re, re, from, stride, x_re, <S::Part as Real>::ONE);
        if S::COMPLEX {
            w_im.fill(<S::Part as Real>::ZERO);
            gather_rows(w_re, im, from, stride, x_im, -<S::Part as Real>::ONE);
            gather_rows(w_im, re, from, stride, x_im, <S::Part as Real>::ONE);
            gather_rows(w_im, im, from, stride, x_re, <S::Part as Real>::ONE);
        }
        let others = &analysis.others[front.others.clone()];
        for (x, w) in self.x.iter_mut().zip(&self.w) {
            if !x.is_empty() {
                others.iter().zip(w).for_each(|(&i, &w)| x[i] -= w);
            }
        }
    }

    /// `x` of the pivots by the upper triangle (`U`, or `Lᵀ`), from the others.
    #[inline(always)]
    fn backward<const TRANSPOSE: bool>(&mut self, analysis: &Analysis, front: &Front) {
        let (k, r) = (front.k(), front.r());
        let (m, first) = (k + r, front.pivots.start);
        let others = &analysis.others[front.others.clone()];
        for (x, w) in self.x.iter().zip(&mut self.w) {
            if !x.is_empty() {
                others.iter().zip(w).for_each(|(&i, w)| *w = x[i]);
            }
        }
        let rows = self.values.each_ref().map(|v| cut_ref(v, front.values, k * m));
        let columns = self.values.each_ref().map(|v| cut_ref(v, front.values + k * m, k * r));
        let w = self.w.each_ref().map(|w| cut_ref(w, 0, r));
        for j in (0..k).rev() {
            let row = if TRANSPOSE {
                columns.map(|v| cut_ref(v, j * r, r))
            } else {
                rows.map(|v| cut_ref(v, j * m + k, r))
            };
            let mut x = at::<S>(&self.x, first + j) - dot::<S>(row, w);
            if !TRANSPOSE {
                let row = rows.map(|v| cut_ref(v, j * m + j + 1, k - j - 1));
                let done = self.x.each_ref().map(|v| cut_ref(v, first + j + 1, k - j - 1));
                x = times::<S>(self.inverse[first + j], x - dot::<S>(row, done));
            }
            put::<S>(&mut self.x, first + j, x);
        }
        if TRANSPOSE {
            for j in (1..k).rev() {
                let x = at::<S>(&self.x, first + j);
                let row = rows.map(|v| cut_ref(v, j * m, j));
                let y = self.x.each_mut().map(|v| cut(v, first, j));
                subtract_row::<S>(x, row, y);
            }
            for j in (0..k).rev() {
                let with = first + self.swaps[first + j];
                self.x.iter_mut().filter(|v| !v.is_empty()).for_each(|v| v.swap(first + j, with));
            }
        }
    }
}

/// All fronts in turn, compiled for each instruction set.
struct Eliminate<'a, S: Scalar> {
    fronts: &'a mut Fronts<S>,
    analysis: &'a Analysis,
}

impl<S: Scalar> WithSimd for Eliminate<'_, S> {
    type Output = Result<(), Trouble>;
    #[inline(always)]
    fn with_simd<I: Simd>(self, _simd: I) -> Self::Output {
        for front in &self.analysis.fronts {
            self.fronts.eliminate(self.analysis, front)?;
        }
        Ok(())
    }
}

/// Both triangles, compiled for each instruction set.
struct Substitute<'a, S: Scalar> {
    fronts: &'a mut Fronts<S>,
    analysis: &'a Analysis,
    transpose: bool,
}

impl<S: Scalar> WithSimd for Substitute<'_, S> {
    type Output = ();
    #[inline(always)]
    fn with_simd<I: Simd>(self, _simd: I) {
        let Self { fronts, analysis, transpose } = self;
        for front in &analysis.fronts {
            if transpose {
                fronts.forward::<true>(analysis, front);
            } else {
                fronts.forward::<false>(analysis, front);
            }
        }
        for front in analysis.fronts.iter().rev() {
            if transpose {
                fronts.backward::<true>(analysis, front);
            } else {
                fronts.backward::<false>(analysis, front);
            }
        }
    }
}

/// Adds a child's contribution to its parent, of `k` pivots and `r` others, by runs of rows that stay adjacent.
#[inline(always)]
fn take_in<T: Real>(
    from: &[T],
    size: usize,
    runs: &[Run],
    (k, r): (usize, usize),
    rows: &mut [T],
    columns: &mut [T],
    own: &mut [T],
) {
    let m = k + r;
    for down in runs {
        if down.to < k {
            for i in 0..down.len {
                let row = &from[(down.from + i) * size..(down.from + i + 1) * size];
                let out = &mut rows[(down.to + i) * m..(down.to + i + 1) * m];
                runs.iter().for_each(|run| add(&row[run.from..run.from + run.len], &mut out[run.to..]));
            }
            continue;
        }
        let to = down.to - k;
        for run in runs.iter().filter(|run| run.to < k) {
            for j in 0..run.len {
                let out = &mut columns[(run.to + j) * r + to..(run.to + j) * r + to + down.len];
                let column = from[down.from * size + run.from + j..].iter().step_by(size);
                out.iter_mut().zip(column).for_each(|(out, &x)| *out += x);
            }
        }
        for i in 0..down.len {
            let row = &from[(down.from + i) * size..(down.from + i + 1) * size];
            let out = &mut own[(to + i) * r..(to + i + 1) * r];
            for run in runs.iter().filter(|run| run.to >= k) {
                add(&row[run.from..run.from + run.len], &mut out[run.to - k..]);
            }
        }
    }
}

#[inline(always)]
fn add<T: Real>(x: &[T], y: &mut [T]) {
    x.iter().zip(y).for_each(|(&x, y)| *y += x);
}

/// The pivot rows `[k, m]` of a front.
struct PivotRows<'a, S: Scalar> {
    rows: [&'a mut [S::Part]; 2],
    inverse: &'a mut [S],
    swaps: &'a mut [usize],
    packed: &'a mut Planes<S::Part>,
    panel: &'a mut AlignedBuf,
    k: usize,
    m: usize,
}

impl<S: Scalar> PivotRows<'_, S> {
    /// Eliminates them, the largest pivot of their columns first; a pivot that is zero or not finite is returned.
    #[inline(always)]
    fn pivot_rows(&mut self) -> Option<usize> {
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
fn pivot_columns<S: Scalar>(
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
            if !(most <= <S::Part as Real>::c(GROWTH)) {
                return Some(j);
            }
        }
    }
    None
}

/// `row *= by`; returns the largest real or imaginary part.
#[inline(always)]
fn scale_row<S: Scalar>(by: S, re: &mut [S::Part], im: &mut [S::Part]) -> S::Part {
    let mut most = <S::Part as Real>::ZERO;
    let (b, c) = (by.re(), by.im());
    if S::COMPLEX {
        for (x, y) in re.iter_mut().zip(im) {
            (*x, *y) = (*x * b - *y * c, *x * c + *y * b);
            let size = x.abs() + y.abs();
            // Also NaN, which compares with nothing.
            most = if size <= most { most } else { size };
        }
    } else {
        for x in re {
            *x *= b;
            let size = x.abs();
            most = if size <= most { most } else { size };
        }
    }
    most
}

/// `C -= A B` of planes; rows of `A` lie `stride` apart, or its columns if the flag is set.
#[inline(always)]
fn subtract_product<S: Scalar>(
    size: (usize, usize, usize),
    (a, a_stride, transposed): ([&[S::Part]; 2], usize, bool),
    (b, b_stride): ([&[S::Part]; 2], usize),
    (c, c_stride): ([&mut [S::Part]; 2], usize),
    panel: &mut AlignedBuf,
) {
    let (m, n, k) = size;
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    let [c_re, c_im] = c;
    let mut product = |a: &[S::Part], b: &[S::Part], c: &mut [S::Part], add: bool| {
        let start = if add { Start::AddToC } else { Start::SubtractFromC };
        let a = Operand { data: a, ld: a_stride, transposed };
        let b = Operand { data: b, ld: b_stride, transposed: false };
        Product::<_, false> { size, a, b, start, c: (c, c_stride) }.run_as_it_stands(panel);
    };
    product(a[0], b[0], c_re, false);
    if S::COMPLEX {
        product(a[1], b[1], c_re, true);
        product(a[0], b[1], c_im, false);
        product(a[1], b[0], c_im, false);
    }
}

/// `y -= l x`.
#[inline(always)]
fn subtract_row<S: Scalar>(l: S, x: [&[S::Part]; 2], y: [&mut [S::Part]; 2]) {
    let (a, b) = (l.re(), l.im());
    let ([x_re, x_im], [y_re, y_im]) = (x, y);
    if S::COMPLEX {
        for ((&u, &v), (y, z)) in x_re.iter().zip(x_im).zip(y_re.iter_mut().zip(y_im)) {
            *y -= a * u - b * v;
            *z -= a * v + b * u;
        }
    } else {
        for (&u, y) in x_re.iter().zip(y_re) {
            *y -= a * u;
        }
    }
}

/// `Σ a b` of planes.
#[inline(always)]
fn dot<S: Scalar>(a: [&[S::Part]; 2], b: [&[S::Part]; 2]) -> S {
    let re = real_dot(a[0], b[0]);
    if S::COMPLEX {
        S::from_parts(re - real_dot(a[1], b[1]), real_dot(a[0], b[1]) + real_dot(a[1], b[0]))
    } else {
        S::from_parts(re, <S::Part as Real>::ZERO)
    }
}

/// Sum in 16 lanes; the order is fixed.
#[inline(always)]
fn real_dot<T: Real>(a: &[T], b: &[T]) -> T {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    let mut sum = T::ZERO;
    if !a.is_empty() {
        let mut sums = [T::ZERO; 16];
        for (a, b) in a.iter().zip(b) {
            for l in 0..16 {
                sums[l] += a[l] * b[l];
            }
        }
        let mut half = 8;
        while half > 0 {
            for l in 0..half {
                sums[l] += sums[l + half];
            }
            half /= 2;
        }
        sum = sums[0];
    }
    for (&a, &b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

/// `w += sign Σ_j x_j row_j`, where rows of `w`'s length begin at `from` and lie `stride` apart.
#[inline(always)]
fn gather_rows<T: Real>(w: &mut [T], rows: &[T], from: usize, stride: usize, x: &[T], sign: T) {
    let r = w.len();
    let row = |j: usize| &rows[from + j * stride..from + j * stride + r];
    let (fours, rest) = x.as_chunks::<4>();
    for (q, four) in fours.iter().enumerate() {
        let [a, b, c, d] = four.map(|x| sign * x);
        let rows = (row(4 * q), row(4 * q + 1), row(4 * q + 2), row(4 * q + 3));
        for i in 0..r {
            w[i] += (a * rows.0[i] + b * rows.1[i]) + (c * rows.2[i] + d * rows.3[i]);
        }
    }
    for (q, &x) in rest.iter().enumerate() {
        let x = sign * x;
        w.iter_mut().zip(row(4 * fours.len() + q)).for_each(|(w, &y)| *w += x * y);
    }
}

#[inline(always)]
fn times<S: Scalar>(a: S, b: S) -> S {
    a * b
}

#[inline(always)]
fn at<S: Scalar>(x: &Planes<S::Part>, i: usize) -> S {
    S::from_parts(x[0][i], if S::COMPLEX { x[1][i] } else { <S::Part as Real>::ZERO })
}

#[inline(always)]
fn put<S: Scalar>(x: &mut Planes<S::Part>, i: usize, value: S) {
    x[0][i] = value.re();
    if S::COMPLEX {
        x[1][i] = value.im();
    }
}

/// `v[from..from + len]`, or nothing of a plane that is not there.
#[inline(always)]
fn cut<T>(v: &mut [T], from: usize, len: usize) -> &mut [T] {
    if v.is_empty() { v } else { &mut v[from..from + len] }
}

#[inline(always)]
fn cut_ref<T>(v: &[T], from: usize, len: usize) -> &[T] {
    if v.is_empty() { v } else { &v[from..from + len] }
}

/// The pivot rows and the pivot columns of a front.
#[inline(always)]
fn split_planes<T>(
    values: &mut Planes<T>,
    from: usize,
    rows: usize,
    columns: usize,
) -> ([&[T]; 2], [&mut [T]; 2]) {
    let [re, im] = values.each_mut().map(|v| {
        if v.is_empty() {
            return (&[][..], &mut [][..]);
        }
        let (rows, columns) = v[from..from + rows + columns].split_at_mut(rows);
        (&*rows, columns)
    });
    ([re.0, im.0], [re.1, im.1])
}
