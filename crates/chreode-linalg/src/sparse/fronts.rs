//! The numbers of a sparse LU: fronts are filled, eliminated and passed on to their parents. Sources: [DR83] for the
//! multifrontal method, [SG04] for pivoting inside of the diagonal blocks that the pattern allows.
//!
//! Complex matrices are kept as two planes, real and imaginary parts, so that all inner loops are those of real numbers.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::analysis::{Analysis, Front, Run};
use super::pivots::{BLOCK, PivotRows, pivot_columns};
use super::planes::{
    Planes, at, cut, cut_ref, dot, gather_rows, put, split_planes, subtract_product, subtract_row,
};
use crate::scalar::Scalar;
use crate::simd::lane::AlignedBuf;

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
    /// One over the largest element of each row, or what was given.
    scale: Vec<S::Part>,
    scale_is_given: bool,
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
            scale_is_given: false,
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

    /// A work space for another analysis of the pattern; rows are scaled as here.
    pub(super) fn scaled_alike(&self, analysis: &Analysis) -> Self {
        Self { scale: self.scale.clone(), scale_is_given: self.scale_is_given, ..Self::new(analysis) }
    }

    /// Scales the rows by these numbers from now on, not by their largest elements.
    pub(super) fn scale_by(&mut self, scale: impl Iterator<Item = S::Part>) {
        self.scale.iter_mut().zip(scale).for_each(|(to, from)| *to = from);
        self.scale_is_given = true;
    }

    /// Sets the scale of each row to one over its largest element.
    fn find_scale(&mut self, analysis: &Analysis, values: &[S]) -> Result<(), Trouble> {
        self.scale.fill(<S::Part as Real>::ZERO);
        for (&row, &value) in analysis.rows.iter().zip(values) {
            let (most, size) = (self.scale[row], value.magnitude());
            // What is not finite stays so, until it is noticed.
            self.scale[row] =
                if most.is_finite() && (size > most || !size.is_finite()) { size } else { most };
        }
        for (k, &row) in analysis.row_at.iter().enumerate() {
            let most = self.scale[row];
            if !(most > <S::Part as Real>::ZERO && most.is_finite()) {
                return Err(Trouble::Singular(k));
            }
            self.scale[row] = <S::Part as Real>::ONE / most;
        }
        Ok(())
    }

    /// Scales the rows and puts all values where they belong.
    fn fill(&mut self, analysis: &Analysis, values: &[S]) -> Result<(), Trouble> {
        if !self.scale_is_given {
            self.find_scale(analysis, values)?;
        }
        for plane in &mut self.values {
            plane.fill(<S::Part as Real>::ZERO);
        }
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
                let x = self.inverse[first + j] * at::<S>(&self.x, first + j);
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
                x = self.inverse[first + j] * (x - dot::<S>(row, done));
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
                for run in runs {
                    add(&row[run.from..run.from + run.len], &mut out[run.to..]);
                }
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
