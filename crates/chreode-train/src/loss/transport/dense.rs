//! Passes over the whole kernel, block by block of its rows; costs are kept if they fit the memory budget, else computed anew.
//!
//! Half squared distances are `|x|²/2 + |y|²/2 - x·y`, where that is exact enough for the blur: the norms go to the potentials, and one
//! product is left. Otherwise, and for other costs, distances come from differences.
//!
//! The blocks are shared between jobs by the number of rows alone, and the jobs' sums are added in order: same bits for any
//! number of threads, and with or without kept costs.

use super::{DELTA, Problem};
use crate::loss::sinkhorn::Cost;
use chreode_core::Real;
use chreode_linalg::{GemmScratch, Transpose, add_rows, gemm, gibbs_row, indices_below, pairwise_sq_dists};
use rayon::prelude::*;

/// Elements of a block of rows: they stay in the second cache.
const BLOCK: usize = 1 << 17;
/// Most jobs.
const JOBS: usize = 16;

/// Work space of passes.
#[derive(Debug, Clone, Default)]
pub(super) struct Dense<T> {
    /// Costs, `[n, m]`, if they are kept.
    cost: Vec<T>,
    keep: bool,
    /// Whether the kept ones are products.
    kept_product: bool,
    /// Half squared norms of both clouds' points, their maximum, and the second cloud's points times minus one.
    x_norm: Vec<f64>,
    y_norm: Vec<f64>,
    top: f64,
    minus_y: Vec<T>,
    /// Potentials of the columns.
    h: Vec<T>,
    jobs: Vec<Job<T>>,
    /// Points of some rows, or columns.
    some: Vec<T>,
}

/// Work space of one job.
#[derive(Clone)]
pub(super) struct Job<T> {
    /// Kernel of a block, `[rows, m]`, and its costs.
    kernel: Vec<T>,
    cost: Vec<T>,
    /// By what its rows are multiplied.
    scale: Vec<T>,
    /// Sums of the columns over the rows of this job, `[m]`.
    columns: Vec<T>,
    /// By how much the marginals of its rows were off.
    error: f64,
    scratch: GemmScratch<T>,
    /// Positions in the rows of this job, and how many in each row.
    pub(super) found: Vec<u32>,
    pub(super) counts: Vec<u32>,
    /// Rows whose potential had to be raised to find any, and to what.
    pub(super) raised: Vec<(usize, f64)>,
}

impl<T> std::fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl<T: Real> Default for Job<T> {
    fn default() -> Self {
        Self {
            kernel: Vec::new(),
            cost: Vec::new(),
            scale: Vec::new(),
            columns: Vec::new(),
            error: 0.0,
            scratch: GemmScratch::new(),
            found: Vec::new(),
            counts: Vec::new(),
            raised: Vec::new(),
        }
    }
}

/// Rows of a job: at most [`JOBS`] of them, so that the partial sums stay small; depends on `n` alone.
fn rows_per_job(n: usize) -> usize {
    n.div_ceil(JOBS).next_multiple_of(8).max(32)
}

/// Rows of a block.
fn rows_per_block(m: usize) -> usize {
    (BLOCK / m.max(1)).clamp(8, 64)
}

impl Cost {
    /// Turns squared distances into costs.
    fn apply<T: Real>(self, r2: &mut [T]) {
        match self {
            Cost::HalfSquare => r2.iter_mut().for_each(|v| *v *= T::c(0.5)),
            Cost::Distance => {
                for v in r2 {
                    *v = (*v + T::c(DELTA * DELTA)).sqrt() - T::c(DELTA);
                }
            }
        }
    }
}

/// How the costs of a pass are computed.
#[derive(Clone, Copy)]
struct Source<'a, T> {
    /// The second cloud's points times minus one, for products `-x·y`; empty for costs from differences.
    minus_y: &'a [T],
    /// Half squared norms of the rows, for products.
    x_norm: &'a [f64],
    /// All of them, if they are kept.
    kept: &'a [T],
}

impl<T: Real> Source<'_, T> {
    /// What is to be taken from the potential of row `i`.
    fn shift(&self, i: usize) -> f64 {
        if self.minus_y.is_empty() { 0.0 } else { self.x_norm[i] }
    }

    /// Costs of the rows that `points` has, `[rows, m]`.
    fn costs(&self, p: &Problem<'_, T>, points: &[T], out: &mut [T], scratch: &mut GemmScratch<T>) {
        let (rows, m) = (points.len() / p.d, p.y.weights.len());
        if self.minus_y.is_empty() {
            pairwise_sq_dists(points, p.y.points, p.d, out, scratch);
            p.cost.apply(out);
        } else {
            gemm((rows, m, p.d), Transpose::B, points, self.minus_y, false, out, scratch);
        }
    }
}

impl<T: Real> Job<T> {
    /// Calls `block(first row, its costs, work space)` for each block of rows from `first` to `end`.
    fn each_block(
        &mut self,
        p: &Problem<'_, T>,
        source: Source<'_, T>,
        (first, end): (usize, usize),
        mut block: impl FnMut(usize, &[T], &mut Self),
    ) {
        let m = p.y.weights.len();
        let step = rows_per_block(m);
        let mut cost = std::mem::take(&mut self.cost);
        for i in (first..end).step_by(step) {
            let last = (i + step).min(end);
            let here = if source.kept.is_empty() {
                cost.resize(((last - i) * m).max(cost.len()), T::ZERO);
                let out = &mut cost[..(last - i) * m];
                source.costs(p, &p.x.points[i * p.d..last * p.d], out, &mut self.scratch);
                &*out
            } else {
                &source.kept[i * m..last * m]
            };
            block(i, here, self);
        }
        self.cost = cost;
    }
}

impl<T: Real> Dense<T> {
    /// Prepares for a problem, whose costs are kept from the first pass on if they need less than the budget.
    pub(super) fn set(&mut self, p: &Problem<'_, T>, memory_mib: usize) {
        let (n, m) = p.size();
        let jobs = n.div_ceil(rows_per_job(n)).max(m.div_ceil(rows_per_job(m)));
        self.jobs.resize_with(self.jobs.len().max(jobs), Job::default);
        self.keep = n * m * size_of::<T>() <= memory_mib << 20;
        self.cost.clear();
        let norms = |points: &[T], out: &mut Vec<f64>| {
            out.clear();
            out.extend(
                points.chunks_exact(p.d).map(|x| 0.5 * x.iter().map(|x| x.f64() * x.f64()).sum::<f64>()),
            );
        };
        norms(p.x.points, &mut self.x_norm);
        norms(p.y.points, &mut self.y_norm);
        self.top = self.x_norm.iter().chain(&self.y_norm).fold(0.0, |m, &v| m.max(v));
        self.minus_y.clear();
        self.minus_y.extend(p.y.points.iter().map(|&y| -y));
    }

    /// Whether products are exact enough where a cost of `scale` counts.
    fn by_product(&self, p: &Problem<'_, T>, scale: f64) -> bool {
        p.cost == Cost::HalfSquare && 8.0 * T::EPSILON.f64() * self.top < 0.01 * scale
    }

    /// Sets the potentials of the columns as products, or distances, want them.
    fn set_columns(&mut self, g: &[f64], product: bool) {
        self.h.clear();
        if product {
            self.h.extend(g.iter().zip(&self.y_norm).map(|(g, y)| T::c(g - y)));
        } else {
            self.h.extend(g.iter().map(|&g| T::c(g)));
        }
    }

    fn source(&self, product: bool, with_kept: bool) -> Source<'_, T> {
        let minus_y = if product { &self.minus_y[..] } else { &[] };
        let kept = if with_kept && self.kept_product == product { &self.cost[..] } else { &[] };
        Source { minus_y, x_norm: &self.x_norm, kept }
    }

    fn keep_costs(&mut self, p: &Problem<'_, T>, product: bool) {
        if !self.keep || (!self.cost.is_empty() && self.kept_product == product) {
            return;
        }
        let (n, m) = p.size();
        let mut cost = std::mem::take(&mut self.cost);
        cost.resize(n * m, T::ZERO);
        let rows = rows_per_job(n);
        let mut jobs = std::mem::take(&mut self.jobs);
        let source = self.source(product, false);
        let each = cost.par_chunks_mut(rows * m).zip(p.x.points.par_chunks(rows * p.d));
        each.zip(&mut jobs).for_each(|((out, points), job)| source.costs(p, points, out, &mut job.scratch));
        (self.cost, self.jobs, self.kept_product) = (cost, jobs, product);
    }

    /// Fits rows, then columns, by steps `omega` times the plain one; returns the larger of the errors that their marginals had.
    pub(super) fn pass(
        &mut self,
        p: &Problem<'_, T>,
        f: &mut [f64],
        g: &mut [f64],
        epsilon: f64,
        omega: f64,
    ) -> f64 {
        let (n, m) = p.size();
        let product = self.by_product(p, epsilon);
        self.keep_costs(p, product);
        self.set_columns(if p.symmetric { f } else { g }, product);
        let mut jobs = std::mem::take(&mut self.jobs);
        let (rows, h, inv) = (rows_per_job(n), &self.h[..], T::c(1.0 / epsilon));
        let source = self.source(product, true);
        let old_g = &*g;
        f.par_chunks_mut(rows).zip(&mut jobs).enumerate().for_each(|(k, (f, job))| {
            let first = k * rows;
            job.columns.clear();
            job.columns.resize(if p.symmetric { 0 } else { m }, T::ZERO);
            job.error = 0.0;
            job.each_block(p, source, (first, first + f.len()), |i, cost, job| {
                let count = cost.len() / m;
                job.kernel.resize(cost.len().max(job.kernel.len()), T::ZERO);
                job.scale.resize(count.max(job.scale.len()), T::ZERO);
                let f = &mut f[i - first..][..count];
                for (q, ((cost, kernel), f)) in
                    cost.chunks_exact(m).zip(job.kernel.chunks_exact_mut(m)).zip(f).enumerate()
                {
                    let a = p.x.weights[i + q].f64();
                    let mut sum =
                        gibbs_row(cost, h, p.y.weights, T::c(*f - source.shift(i + q)), inv, kernel).f64();
                    let mut from = *f;
                    let says = sum > 0.0 && sum.is_finite();
                    if !says && p.symmetric && a == 0.0 {
                        // No other point sees it, and its own potential may stay.
                        continue;
                    }
                    if !says && !p.symmetric {
                        // It says nothing: the potential is found anew.
                        *f = p.softmin(i + q, old_g, epsilon);
                        job.error += a;
                        from = *f;
                        sum = gibbs_row(cost, h, p.y.weights, T::c(*f - source.shift(i + q)), inv, kernel)
                            .f64();
                    }
                    job.error += a * (sum - p.target(*f)).abs();
                    let to = p.update(*f, sum.ln(), epsilon);
                    *f += if p.symmetric { 0.5 } else { omega } * (to - *f);
                    job.scale[q] = T::c(a * ((*f - from) / epsilon).exp());
                }
                if !p.symmetric {
                    add_rows(&job.kernel[..cost.len()], &job.scale[..count], &mut job.columns);
                }
            });
        });
        self.jobs = jobs;
        let jobs = &self.jobs[..n.div_ceil(rows)];
        let error: f64 = jobs.iter().map(|j| j.error).sum();
        if p.symmetric {
            return error;
        }
        let mut other = 0.0;
        for (j, g) in g.iter_mut().enumerate() {
            let sum: f64 = jobs.iter().map(|job| job.columns[j].f64()).sum();
            let b = p.y.weights[j].f64();
            if sum > 0.0 && sum.is_finite() {
                other += b * (sum - p.target(*g)).abs();
                *g += omega * (p.update(*g, sum.ln(), epsilon) - *g);
            } else {
                other += b;
                *g = p.swapped().softmin(j, f, epsilon);
            }
        }
        // Not `max` alone: what is not a number must be told.
        if error.is_nan() { error } else { error.max(other) }
    }

    /// Fits the rows exactly and adds their pulls, as [`Transport`](super::Transport) says.
    pub(super) fn finish(
        &mut self,
        p: &Problem<'_, T>,
        f: &mut [f64],
        g: &[f64],
        epsilon: f64,
        scale: f64,
        bar: &mut [T],
        swapped: bool,
    ) {
        let (n, m) = p.size();
        let d = p.d;
        let product = !swapped && self.by_product(p, epsilon);
        self.set_columns(if p.symmetric { f } else { g }, product);
        let mut jobs = std::mem::take(&mut self.jobs);
        let (rows, h, inv) = (rows_per_job(n), &self.h[..], T::c(1.0 / epsilon));
        let source = self.source(product, !swapped);
        let with_pull = !bar.is_empty();
        let run = |k: usize, f: &mut [f64], job: &mut Job<T>, bar: &mut [T]| {
            let first = k * rows;
            job.each_block(p, source, (first, first + f.len()), |i, cost, job| {
                let count = cost.len() / m;
                job.kernel.resize(cost.len().max(job.kernel.len()), T::ZERO);
                job.scale.resize(count.max(job.scale.len()), T::ZERO);
                job.columns.clear();
                job.columns.resize(count * d, T::ZERO);
                let f = &mut f[i - first..][..count];
                for (q, ((cost, kernel), f)) in
                    cost.chunks_exact(m).zip(job.kernel.chunks_exact_mut(m)).zip(f).enumerate()
                {
                    let sum =
                        gibbs_row(cost, h, p.y.weights, T::c(*f - source.shift(i + q)), inv, kernel).f64();
                    // A row that says nothing has no weight.
                    if sum > 0.0 && sum.is_finite() {
                        let to = p.update(*f, sum.ln(), epsilon);
                        *f += if p.symmetric { 0.5 } else { 1.0 } * (to - *f);
                    }
                    if !with_pull {
                        continue;
                    }
                    let mass = scale * p.x.weights[i + q].f64() * p.target(*f) / sum;
                    let mass = T::c(if mass.is_finite() { mass } else { 0.0 });
                    let mut reach = T::ZERO;
                    for ((w, &b), &c) in kernel.iter_mut().zip(p.y.weights).zip(cost) {
                        *w *= b * mass;
                        if p.cost == Cost::Distance {
                            // Equal points pull nowhere.
                            *w = if c > T::ZERO { *w / (c + T::c(DELTA)) } else { T::ZERO };
                        }
                        reach += *w;
                    }
                    job.scale[q] = reach;
                }
                if with_pull {
                    let pull = &mut job.columns[..count * d];
                    let kernel = &job.kernel[..cost.len()];
                    gemm((count, d, m), Transpose::None, kernel, p.y.points, false, pull, &mut job.scratch);
                    let points = &p.x.points[i * d..(i + count) * d];
                    let bar = &mut bar[(i - first) * d..][..count * d];
                    for (q, &reach) in job.scale[..count].iter().enumerate() {
                        for k in q * d..(q + 1) * d {
                            bar[k] += points[k] * reach - pull[k];
                        }
                    }
                }
            });
        };
        let each = f.par_chunks_mut(rows).zip(&mut jobs).enumerate();
        if with_pull {
            each.zip(bar.par_chunks_mut(rows * d)).for_each(|((k, (f, job)), bar)| run(k, f, job, bar));
        } else {
            each.for_each(|(k, (f, job))| run(k, f, job, &mut []));
        }
        self.jobs = jobs;
    }

    /// Mean cost of each row to some of the columns.
    pub(super) fn mean_costs(
        &mut self,
        p: &Problem<'_, T>,
        columns: impl ExactSizeIterator<Item = usize>,
        out: &mut [f64],
    ) {
        let d = p.d;
        self.some.clear();
        let count = columns.len();
        for j in columns {
            self.some.extend_from_slice(&p.y.points[j * d..(j + 1) * d]);
        }
        let (rows, some) = (rows_per_job(out.len()), &self.some[..]);
        let each = out.par_chunks_mut(rows).zip(p.x.points.par_chunks(rows * d)).zip(&mut self.jobs);
        each.for_each(|((out, points), job)| {
            job.kernel.resize((out.len() * count).max(job.kernel.len()), T::ZERO);
            let cost = &mut job.kernel[..out.len() * count];
            pairwise_sq_dists(points, some, d, cost, &mut job.scratch);
            p.cost.apply(cost);
            for (out, cost) in out.iter_mut().zip(cost.chunks_exact(count)) {
                *out = cost.iter().map(|c| c.f64()).sum::<f64>() / count as f64;
            }
        });
    }

    /// Share of the pairs that lack less than `reach`, by some of the rows.
    pub(super) fn share_within(&mut self, p: &Problem<'_, T>, f: &[f64], g: &[f64], reach: f64) -> f64 {
        const SOME: usize = 32;
        let (n, m) = p.size();
        let (d, count) = (p.d, n.min(SOME));
        self.set_columns(if p.symmetric { f } else { g }, false);
        self.some.clear();
        for k in 0..count {
            let i = k * n / count;
            self.some.extend_from_slice(&p.x.points[i * d..(i + 1) * d]);
        }
        let mut jobs = std::mem::take(&mut self.jobs);
        let job = &mut jobs[0];
        job.cost.resize((count * m).max(job.cost.len()), T::ZERO);
        let costs = &mut job.cost[..count * m];
        self.source(false, false).costs(p, &self.some, costs, &mut job.scratch);
        job.found.clear();
        for (k, cost) in costs.chunks_exact(m).enumerate() {
            indices_below(cost, &self.h, T::c(f[k * n / count] + reach), &mut job.found);
        }
        let share = job.found.len() as f64 / (count * m) as f64;
        self.jobs = jobs;
        share
    }

    /// Finds, row by row, the columns of the pairs that lack less than `reach`; of a row without any, those within `reach`
    /// of its best. The jobs hold them in the order of the rows.
    pub(super) fn scan(&mut self, p: &Problem<'_, T>, f: &[f64], g: &[f64], reach: f64) -> &[Job<T>] {
        let (n, m) = p.size();
        let product = self.by_product(p, reach);
        self.set_columns(if p.symmetric { f } else { g }, product);
        let mut jobs = std::mem::take(&mut self.jobs);
        let (rows, h) = (rows_per_job(n), &self.h[..]);
        let source = self.source(product, true);
        f.par_chunks(rows).zip(&mut jobs).enumerate().for_each(|(k, (f, job))| {
            let first = k * rows;
            job.found.clear();
            job.counts.clear();
            job.raised.clear();
            job.each_block(p, source, (first, first + f.len()), |i, cost, job| {
                for (q, cost) in cost.chunks_exact(m).enumerate() {
                    let before = job.found.len();
                    indices_below(
                        cost,
                        h,
                        T::c(f[i - first + q] - source.shift(i + q) + reach),
                        &mut job.found,
                    );
                    if job.found.len() == before {
                        let best =
                            cost.iter().zip(h).map(|(&c, &h)| (c - h).f64()).fold(f64::INFINITY, f64::min);
                        job.raised.push((i + q, best + source.shift(i + q)));
                        indices_below(cost, h, T::c(best + reach), &mut job.found);
                    }
                    job.counts.push((job.found.len() - before) as u32);
                }
            });
        });
        self.jobs = jobs;
        &self.jobs[..n.div_ceil(rows)]
    }
}
