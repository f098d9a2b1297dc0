//! Iterations over a list of the pairs that may count.
//!
//! A pair lacks `C_ij - f_i - g_j`; the list has all that lack less than some reach when it is made, with exact costs in `f64`.
//! Potentials that have risen since then by less than what the reach is above `ε` times thirty or so leave it complete.

use super::dense::Dense;
use super::{DELTA, Problem};
use crate::loss::sinkhorn::Cost;
use chreode_core::Real;
use chreode_linalg::{vexp, vln};
use rayon::prelude::*;

/// Rows of a parallel job.
const ROWS: usize = 256;
/// Pairs of a parallel job.
const PAIRS: usize = 4096;
/// Exponents above are cut off.
const MAX_EXPONENT: f64 = 600.0;
/// To what part of its size conjugate gradients reduce the residual, and in how many iterations at most.
const FORCING: f64 = 0.3;
const MOST_CONJUGATE: usize = 200;
/// A step of Newton's method must raise the dual value by this part of what the slope promises, or is shortened, but not below
/// `SHORTEST`; up to the rounding of its terms.
const ENOUGH: f64 = 1e-3;
const SHORTEST: f64 = 1e-3;
const ROUNDING: f64 = 1e-14;
/// How far such a step may move the logarithm of a scaling, at most.
const FARTHEST: f64 = 16.0;

/// The list, by rows and by columns, and the scalings `u`, `v` of its kernel.
#[derive(Debug, Clone, Default)]
pub(super) struct Sparse {
    rows: Lines,
    columns: Lines,
    /// What each pair lacks, by rows.
    lack: Vec<f64>,
    /// For each pair of `columns` its place in `rows`.
    place: Vec<u32>,
    x: Scaling,
    y: Scaling,
    /// All pairs that lack less than this are listed.
    reach: f64,
    /// Whether the kernel had entries too large to hold, so that another is needed once the potentials have moved.
    clipped: bool,
    conjugate: Conjugate,
    next: Vec<u32>,
    before: Vec<f64>,
    pull: Vec<f64>,
}

/// The kernel, line by line: rows, or columns.
#[derive(Debug, Clone, Default)]
struct Lines {
    start: Vec<u32>,
    other: Vec<u32>,
    kernel: Vec<f64>,
}

/// Scalings of one side.
#[derive(Debug, Clone, Default)]
struct Scaling {
    /// Their logarithms.
    ln: Vec<f64>,
    value: Vec<f64>,
    /// Times the weights.
    weighted: Vec<f64>,
    sum: Vec<f64>,
    ln_sum: Vec<f64>,
    gradient: Vec<f64>,
    slope: Vec<f64>,
    saved: Vec<f64>,
}

/// Work space of conjugate gradients: solution, residual, direction, its image, and what lies between.
#[derive(Debug, Clone, Default)]
struct Conjugate {
    solution: Vec<f64>,
    residual: Vec<f64>,
    direction: Vec<f64>,
    image: Vec<f64>,
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl Scaling {
    fn reset<T: Real>(&mut self, weights: &[T]) {
        let n = weights.len();
        self.ln.clear();
        self.ln.resize(n, 0.0);
        self.value.clear();
        self.value.resize(n, 1.0);
        self.weighted.clear();
        self.weighted.extend(weights.iter().map(|w| w.f64()));
        self.sum.resize(n, 0.0);
        self.ln_sum.resize(n, 0.0);
    }

    fn reset_scalings(&mut self) {
        for ((ln, value), w) in self.ln.iter_mut().zip(&mut self.value).zip(&mut self.weighted) {
            *w /= *value;
            (*ln, *value) = (0.0, 1.0);
        }
    }

    /// Sets the scalings from their logarithms.
    fn set<T: Real>(&mut self, weights: &[T]) {
        vexp(&self.ln, &mut self.value);
        for ((out, w), v) in self.weighted.iter_mut().zip(weights).zip(&self.value) {
            *out = w.f64() * v;
        }
    }

    /// Sets the lack of mass, and by how much it changes with the logarithm of a scaling.
    fn gradient<T: Real>(&mut self, p: &Problem<'_, T>, weights: &[T], f: &[f64], epsilon: f64) {
        self.gradient.clear();
        self.slope.clear();
        for (i, w) in weights.iter().enumerate() {
            let wanted = w.f64() * p.target(f[i] + epsilon * self.ln[i]);
            let got = self.weighted[i] * self.sum[i];
            self.gradient.push(wanted - got);
            self.slope.push(got + wanted * epsilon / p.rho);
        }
    }

    /// Moves the logarithms of the scalings from where they were saved.
    fn walk<T: Real>(&mut self, weights: &[T], steps: &[f64], length: f64) {
        for ((ln, from), step) in self.ln.iter_mut().zip(&self.saved).zip(steps) {
            *ln = from + length * step;
        }
        self.set(weights);
    }

    fn highest(&self) -> f64 {
        self.ln.iter().fold(0.0, |m, &v| m.max(v))
    }

    /// A step of `omega` times the plain one, given the sums of the lines; returns by how much the marginal was off.
    fn step<T: Real>(
        &mut self,
        p: &Problem<'_, T>,
        weights: &[T],
        f: &[f64],
        epsilon: f64,
        omega: f64,
    ) -> f64 {
        vln(&self.sum, &mut self.ln_sum);
        let mut error = 0.0;
        for (i, w) in weights.iter().enumerate() {
            let w = w.f64();
            let potential = f[i] + epsilon * self.ln[i];
            let got = self.value[i] * self.sum[i];
            error += w * (got - p.target(potential)).abs();
            // A line without pairs stays as it is, and counts as missing.
            if self.sum[i] > 0.0 {
                let to = p.update(potential, self.ln_sum[i] + self.ln[i], epsilon);
                self.ln[i] += omega * (to - potential) / epsilon;
            }
        }
        self.set(weights);
        error
    }
}

impl Lines {
    fn line(&self, i: usize) -> std::ops::Range<usize> {
        self.start[i] as usize..self.start[i + 1] as usize
    }

    /// Sums over each line of the kernel times `weights`.
    fn sums(&self, weights: &[f64], out: &mut [f64]) {
        out.par_chunks_mut(ROWS).enumerate().for_each(|(k, out)| {
            for (i, out) in out.iter_mut().enumerate() {
                let line = self.line(k * ROWS + i);
                let (kernel, other) = (&self.kernel[line.clone()], &self.other[line]);
                let (kernel, kernel_rest) = kernel.as_chunks::<4>();
                let (other, other_rest) = other.as_chunks::<4>();
                let mut sum = [0.0; 4];
                for (k, o) in kernel.iter().zip(other) {
                    for l in 0..4 {
                        sum[l] += k[l] * weights[o[l] as usize];
                    }
                }
                for (l, (k, &o)) in kernel_rest.iter().zip(other_rest).enumerate() {
                    sum[l] += k * weights[o as usize];
                }
                *out = (sum[0] + sum[1]) + (sum[2] + sum[3]);
            }
        });
    }
}

impl Lines {
    /// Sum over line `i` of the kernel times `weights` times the gradient of the cost.
    fn pull<T: Real>(&self, p: &Problem<'_, T>, i: usize, weights: &[f64], out: &mut [f64]) {
        let d = p.d;
        let x = &p.x.points[i * d..(i + 1) * d];
        out.fill(0.0);
        for e in self.line(i) {
            let j = self.other[e] as usize;
            let y = &p.y.points[j * d..(j + 1) * d];
            let mut w = self.kernel[e] * weights[j];
            if p.cost == Cost::Distance {
                w /= p.cost_of(i, j) + DELTA;
            }
            for ((out, x), y) in out.iter_mut().zip(x).zip(y) {
                *out += w * (x.f64() - y.f64());
            }
        }
    }
}

impl Sparse {
    /// Lists the pairs that lack less than `reach`; a point without any has its potential raised. False if there are more
    /// than `most`.
    pub(super) fn build<T: Real>(
        &mut self,
        p: &Problem<'_, T>,
        dense: &mut Dense<T>,
        f: &mut [f64],
        g: &mut [f64],
        reach: f64,
        most: usize,
    ) -> bool {
        let (n, m) = p.size();
        self.reach = reach;
        // Twice at most: raising a row's potential only adds pairs, and raising a column's, too.
        for attempt in 0..2 {
            let jobs = dense.scan(p, f, g, reach);
            if jobs.iter().map(|j| j.found.len()).sum::<usize>() > most {
                return false;
            }
            self.rows.start.clear();
            self.rows.start.push(0);
            self.rows.other.clear();
            let mut end = 0;
            for job in jobs {
                for count in &job.counts {
                    end += count;
                    self.rows.start.push(end);
                }
                self.rows.other.extend_from_slice(&job.found);
                for &(row, best) in &job.raised {
                    f[row] = best;
                }
            }
            if p.symmetric || attempt == 1 {
                break;
            }
            self.next.clear();
            self.next.resize(m, 0);
            self.rows.other.iter().for_each(|&j| self.next[j as usize] += 1);
            let mut complete = true;
            for j in (0..m).filter(|&j| self.next[j] == 0) {
                g[j] = (0..n).map(|i| p.cost_of(i, j) - f[i]).fold(f64::INFINITY, f64::min);
                complete = false;
            }
            if complete {
                break;
            }
        }
        let h: &[f64] = if p.symmetric { f } else { g };
        self.lack.clear();
        self.lack.resize(self.rows.other.len(), 0.0);
        let (rows, f) = (&self.rows, &*f);
        self.lack.par_chunks_mut(PAIRS).enumerate().for_each(|(k, lack)| {
            let first = k * PAIRS;
            let mut i = rows.start.partition_point(|&s| s as usize <= first) - 1;
            for (e, lack) in (first..).zip(lack) {
                while e >= rows.start[i + 1] as usize {
                    i += 1;
                }
                let j = rows.other[e] as usize;
                *lack = p.cost_of(i, j) - f[i] - h[j];
            }
        });
        self.x.reset(p.x.weights);
        self.y.reset(if p.symmetric { &[] } else { p.y.weights });
        self.columns.start.resize(self.y.ln.len() + 1, 0);
        true
    }

    /// Whether nothing is missing that lacks less than `least`, now that the potentials have moved.
    pub(super) fn covers(&self, epsilon: f64, least: f64) -> bool {
        self.reach - epsilon * (self.x.highest() + self.y.highest()) >= least
    }

    /// Whether the kernel is not that of the potentials: see [`start_level`](Self::start_level).
    pub(super) fn clipped(&self) -> bool {
        self.clipped
    }

    /// Adds the scalings to the potentials, and to what the pairs lack.
    pub(super) fn absorb(&mut self, f: &mut [f64], g: &mut [f64], epsilon: f64) {
        let symmetric = g.is_empty();
        let y = if symmetric { &self.x.ln } else { &self.y.ln };
        for i in 0..f.len() {
            for e in self.rows.line(i) {
                self.lack[e] -= epsilon * (self.x.ln[i] + y[self.rows.other[e] as usize]);
            }
        }
        // A cloud with itself starts from an upper bound of its potential.
        if !symmetric {
            self.reach -= epsilon * (self.x.highest() + self.y.highest());
        }
        f.iter_mut().zip(&self.x.ln).for_each(|(f, ln)| *f += epsilon * ln);
        g.iter_mut().zip(&self.y.ln).for_each(|(g, ln)| *g += epsilon * ln);
        self.x.reset_scalings();
        self.y.reset_scalings();
    }

    /// The kernel at `epsilon`, of the pairs that lack less than `reach`. False if some may be missing that lack less than `least`.
    pub(super) fn start_level(&mut self, epsilon: f64, reach: f64, least: f64) -> bool {
        if self.reach < least {
            return false;
        }
        if reach < self.reach {
            self.reach = reach;
            let (mut to, mut from) = (0, 0);
            for i in 0..self.x.ln.len() {
                let end = self.rows.start[i + 1] as usize;
                for e in from..end {
                    if self.lack[e] < reach {
                        (self.lack[to], self.rows.other[to]) = (self.lack[e], self.rows.other[e]);
                        to += 1;
                    }
                }
                from = end;
                self.rows.start[i + 1] = to as u32;
            }
            self.lack.truncate(to);
            self.rows.other.truncate(to);
        }
        self.clipped = false;
        self.rows.kernel.resize(self.lack.len(), 0.0);
        for (lack, kernel) in self.lack.chunks(64).zip(self.rows.kernel.chunks_mut(64)) {
            let mut exponent = [0.0; 64];
            let exponent = &mut exponent[..lack.len()];
            for (e, l) in exponent.iter_mut().zip(lack) {
                *e = -l / epsilon;
                self.clipped |= *e > MAX_EXPONENT;
                *e = e.min(MAX_EXPONENT);
            }
            vexp(exponent, kernel);
        }
        self.transpose();
        true
    }

    fn transpose(&mut self) {
        let m = self.y.ln.len();
        if m == 0 {
            return;
        }
        let columns = &mut self.columns;
        columns.start.clear();
        columns.start.resize(m + 1, 0);
        self.rows.other.iter().for_each(|&j| columns.start[j as usize + 1] += 1);
        for j in 0..m {
            columns.start[j + 1] += columns.start[j];
        }
        self.next.clear();
        self.next.extend_from_slice(&columns.start[..m]);
        columns.other.resize(self.lack.len(), 0);
        columns.kernel.resize(self.lack.len(), 0.0);
        self.place.resize(self.lack.len(), 0);
        for i in 0..self.x.ln.len() {
            for e in self.rows.line(i) {
                let next = &mut self.next[self.rows.other[e] as usize];
                columns.other[*next as usize] = i as u32;
                columns.kernel[*next as usize] = self.rows.kernel[e];
                self.place[*next as usize] = e as u32;
                *next += 1;
            }
        }
    }

    /// Fits rows, then columns, as [`Dense::pass`].
    pub(super) fn pass<T: Real>(&mut self, p: &Problem<'_, T>, f: &[f64], g: &[f64], epsilon: f64) -> f64 {
        if p.symmetric {
            self.rows.sums(&self.x.weighted, &mut self.x.sum);
            return self.x.step(p, p.x.weights, f, epsilon, 0.5);
        }
        self.rows.sums(&self.y.weighted, &mut self.x.sum);
        let error = self.x.step(p, p.x.weights, f, epsilon, 1.0);
        self.columns.sums(&self.x.weighted, &mut self.y.sum);
        let other = self.y.step(p, p.y.weights, g, epsilon, 1.0);
        // Not `max` alone: what is not a number must be told.
        if error.is_nan() { error } else { error.max(other) }
    }

    /// A step of Newton's method for the dual problem in the logarithms of the scalings of the rows, those of the columns being the
    /// best for them: a concave function, which the step is shortened to raise. Conjugate gradients solve for it, each iteration at the
    /// cost of a pass, as each trial of a length. Returns how many passes there were, `most` at most, and sets the next `radius`.
    pub(super) fn newton<T: Real>(
        &mut self,
        p: &Problem<'_, T>,
        f: &[f64],
        g: &[f64],
        epsilon: f64,
        radius: &mut f64,
        most: usize,
    ) -> usize {
        let (n, m) = p.size();
        let reached = self.value(p, f, g, epsilon);
        let Self { rows, columns, x, y, conjugate: c, .. } = self;
        columns.sums(&x.weighted, &mut y.sum);
        x.gradient(p, p.x.weights, f, epsilon);
        y.gradient(p, p.y.weights, g, epsilon);
        for (v, n) in [
            (&mut c.solution, n),
            (&mut c.residual, n),
            (&mut c.direction, n),
            (&mut c.image, n),
            (&mut c.rows, n),
            (&mut c.columns, m),
        ] {
            v.clear();
            v.resize(n, 0.0);
        }
        let inverse = |slope: f64| if slope > 0.0 { 1.0 / slope } else { 0.0 };
        // Plan times what is in `c.columns`, into `c.image`.
        let times_plan = |c: &mut Conjugate| {
            c.columns.iter_mut().zip(&y.weighted).for_each(|(v, w)| *v *= w);
            rows.sums(&c.columns, &mut c.image);
            c.image.iter_mut().zip(&x.weighted).for_each(|(v, w)| *v *= w);
        };
        for j in 0..m {
            c.columns[j] = y.gradient[j] * inverse(y.slope[j]);
        }
        times_plan(c);
        let mut square = 0.0;
        for i in 0..n {
            c.residual[i] = x.gradient[i] - c.image[i];
            c.direction[i] = c.residual[i] * inverse(x.slope[i]);
            square += c.residual[i] * c.direction[i];
        }
        let goal = square * FORCING * FORCING;
        let mut count = 0;
        // A trial, and the way back, are to be paid for too.
        while count + 2 < most.min(MOST_CONJUGATE) && square > goal {
            count += 1;
            c.rows.iter_mut().zip(&c.direction).zip(&x.weighted).for_each(|((v, d), w)| *v = d * w);
            columns.sums(&c.rows, &mut c.columns);
            for j in 0..m {
                c.columns[j] *= y.weighted[j] * inverse(y.slope[j]);
            }
            times_plan(c);
            let mut curvature = 0.0;
            for i in 0..n {
                c.image[i] = x.slope[i] * c.direction[i] - c.image[i];
                curvature += c.image[i] * c.direction[i];
            }
            if !(curvature > 0.0) {
                break; // nothing left but rounding
            }
            let mut length = square / curvature;
            // Where the step leaves the trusted region it ends [Steihaug 1983].
            let mut leaves = false;
            for (&s, &d) in c.solution.iter().zip(&c.direction) {
                if (s + length * d).abs() > *radius {
                    length = (*radius * d.signum() - s) / d;
                    leaves = true;
                }
            }
            let before = square;
            square = 0.0;
            for i in 0..n {
                c.solution[i] += length * c.direction[i];
                c.residual[i] -= length * c.image[i];
                square += c.residual[i] * c.residual[i] * inverse(x.slope[i]);
            }
            if leaves {
                break;
            }
            let again = square / before;
            for i in 0..n {
                c.direction[i] = c.residual[i] * inverse(x.slope[i]) + again * c.direction[i];
            }
        }
        let slope: f64 = x.gradient.iter().zip(&c.solution).map(|(g, s)| g * s).sum();
        x.saved.clone_from(&x.ln);
        let mut length = 1.0;
        loop {
            count += 1;
            self.x.walk(p.x.weights, &self.conjugate.solution, length);
            self.columns.sums(&self.x.weighted, &mut self.y.sum);
            let _ = self.y.step(p, p.y.weights, g, epsilon, 1.0);
            let (value, size) = self.value(p, f, g, epsilon);
            // Back where it began, or as high as rounding can tell.
            if length == 0.0 || value >= reached.0 + ENOUGH * length * slope - ROUNDING * size {
                break;
            }
            length *= 0.25;
            if count + 1 >= most || length < SHORTEST {
                length = 0.0;
            }
        }
        *radius = if length == 1.0 { (2.0 * *radius).min(FARTHEST) } else { (length * *radius).max(1.0) };
        count
    }

    /// The dual value over `ε`, for columns that fit, and the size of what it is summed from; leaves the sums of the rows.
    fn value<T: Real>(&mut self, p: &Problem<'_, T>, f: &[f64], g: &[f64], epsilon: f64) -> (f64, f64) {
        self.rows.sums(&self.y.weighted, &mut self.x.sum);
        let (mut value, mut size) = (0.0, 0.0);
        for (scaling, weights, potentials) in [(&self.x, p.x.weights, f), (&self.y, p.y.weights, g)] {
            for ((w, potential), ln) in weights.iter().zip(potentials).zip(&scaling.ln) {
                if *w > T::ZERO {
                    let term = w.f64() * p.reward(potential + epsilon * ln) / epsilon;
                    value += term;
                    size += term.abs();
                }
            }
        }
        let mass: f64 = self.x.weighted.iter().zip(&self.x.sum).map(|(w, s)| w * s).sum();
        (value - mass, size + mass)
    }

    /// Fits rows (or columns) exactly and adds their pulls, as [`Transport`](super::Transport) says.
    pub(super) fn finish<T: Real>(
        &mut self,
        p: &Problem<'_, T>,
        f: &mut [f64],
        g: &mut [f64],
        epsilon: f64,
        scale: f64,
        bar: &mut [T],
        columns: bool,
    ) {
        // One plain step of this side alone.
        let omega = if p.symmetric { 0.5 } else { 1.0 };
        let (lines, own, other, potential, q) = if columns {
            (&self.columns, &mut self.y, &self.x.weighted, &*g, p.swapped())
        } else {
            (&self.rows, &mut self.x, &self.y.weighted, &*f, *p)
        };
        self.before.clear();
        self.before.extend_from_slice(if p.symmetric { &own.weighted } else { other });
        lines.sums(&self.before, &mut own.sum);
        let _ = own.step(&q, q.x.weights, potential, epsilon, omega);
        if !bar.is_empty() {
            self.pull.resize(bar.len(), 0.0);
            let (own, before) = (&*own, &self.before[..]);
            self.pull
                .par_chunks_mut(p.d)
                .zip(bar.par_chunks_mut(p.d))
                .with_min_len(ROWS)
                .enumerate()
                .for_each(|(i, (pull, bar))| {
                    if own.sum[i] > 0.0 {
                        let mass = q.target(potential[i] + epsilon * own.ln[i]) / own.sum[i];
                        lines.pull(&q, i, before, pull);
                        let mass = scale * q.x.weights[i].f64() * mass;
                        bar.iter_mut().zip(&*pull).for_each(|(b, v)| *b += T::c(mass * v));
                    }
                });
        }
        self.absorb(f, g, epsilon);
    }
}
