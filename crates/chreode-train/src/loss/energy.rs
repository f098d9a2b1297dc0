//! Energy distance between weighted clouds.
//!
//! `E(X, Y) = 2 E|X - Y| - E|X - X'| - E|Y - Y'|`, with Euclidean distances. Zero if and only if the
//! distributions agree, and its unbiased form has unbiased gradients in minibatches, which Sinkhorn
//! divergences have not, also where several paths start at one cell ([`Cloud::origins`]). Distances are smooth at zero: `|r|` is `sqrt(r² + δ²) - δ` with `δ = 1e-6`.
//! References: [SR13] Székely & Rizzo (2013), J. Stat. Plan. Inference 143, 1249-1272.

use super::cloud::{Cloud, CloudBar, Weights, check_finite, normalise_log_weights_vjp};
use super::error::{LossError, check_len};
use super::origins::Origins;

use chreode_core::Real;
use chreode_linalg::{GemmScratch, Transpose, gemm, pairwise_sq_dists, vexp};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How the two self-terms are averaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Over pairs of points of different cells: the U-statistic `Σ a_i a_j r_ij / Σ a_i a_j`, whose sums leave out
    /// each point with itself and with those of its cell ([`Cloud::origins`]). Its mean is the energy distance of
    /// the distributions; a value can be negative.
    #[default]
    Unbiased,
    /// Over all pairs, a point with itself included: the V-statistic. Never negative; too large by about
    /// `E|X - X'| / n + E|Y - Y'| / m`, where points that stem from one cell count as one or more.
    Biased,
}

const DELTA: f64 = 1e-6;

/// What takes the place of the Euclidean distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Distance {
    /// `|r|`, smooth at zero.
    Euclidean,
    /// One minus the mean of `exp(-r² / 2 s²)` over so many widths `s`, the first given and each twice the one before.
    Gaussian { narrowest: f64, widths: u32 },
}

/// Rows of one parallel job.
const ROWS: usize = 64;
/// Columns whose distances to the rows of a job are held at a time.
const COLUMNS: usize = 512;
/// Partial sums of a row, kept side by side.
const LANES: usize = 16;

/// Energy distance with its work space: call it with clouds of any size.
#[derive(Debug, Clone)]
pub struct EnergyDistance<T> {
    d: usize,
    statistic: Statistic,
    distance: Distance,
    weights: Weights<T>,
    x_origins: Origins,
    y_origins: Origins,
    x: Vec<T>,
    y: Vec<T>,
    cross: Vec<T>,
    own: Vec<T>,
    pull: Vec<T>,
    jobs: Vec<Job<T>>,
}

/// Work space of one job.
#[derive(Clone)]
struct Job<T> {
    distances: Vec<T>,
    reach: Vec<T>,
    scratch: GemmScratch<T>,
}

impl<T> std::fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl<T: Real> EnergyDistance<T> {
    /// For points of `d >= 1` coordinates.
    ///
    /// # Errors
    /// [`LossError::Setting`] if `d` is zero.
    pub fn new(d: usize, statistic: Statistic) -> Result<Self, LossError> {
        Self::with_distance(d, statistic, Distance::Euclidean)
    }

    /// With another distance.
    pub(super) fn with_distance(
        d: usize,
        statistic: Statistic,
        distance: Distance,
    ) -> Result<Self, LossError> {
        if d == 0 {
            return Err(LossError::Setting { name: "d", value: 0.0, rule: "must be at least 1" });
        }
        Ok(Self {
            d,
            statistic,
            distance,
            weights: Weights::default(),
            x_origins: Origins::default(),
            y_origins: Origins::default(),
            x: Vec::new(),
            y: Vec::new(),
            cross: Vec::new(),
            own: Vec::new(),
            pull: Vec::new(),
            jobs: Vec::new(),
        })
    }

    /// The distance between `x` and `y`; sets `x_bar` to its gradient if one is given.
    ///
    /// Cost `O((n + m)² d)`, memory `O((n + m) d)`.
    ///
    /// # Errors
    /// [`LossError::Length`] if a shape does not fit, [`LossError::TooFewPoints`] if the unbiased form meets a
    /// cloud of one point or of one cell, [`LossError::NonFinite`] naming the first bad row.
    pub fn evaluate(
        &mut self,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
        x_bar: Option<CloudBar<'_, T>>,
    ) -> Result<f64, LossError> {
        let d = self.d;
        let (n, m) = self.weights.set(d, x, y)?;
        let CloudBar { states: bar, log_weights: weight_bar } =
            x_bar.unwrap_or(CloudBar { states: &mut [], log_weights: &mut [] });
        let with_grad = !bar.is_empty();
        if with_grad {
            check_len("gradient to the states", bar.len(), n * d)?;
        }
        if !weight_bar.is_empty() {
            check_len("gradient to the log-weights", weight_bar.len(), n)?;
        }
        let (a, b) = (&self.weights.a[..], &self.weights.b[..]);
        let unbiased = self.statistic == Statistic::Unbiased;
        let kept = |cells| if unbiased { cells } else { &[][..] };
        self.x_origins.set(kept(x.origins), a);
        self.y_origins.set(kept(y.origins), b);
        let (x_origins, y_origins) = (&self.x_origins, &self.y_origins);
        let norm_a = self_norm(self.statistic, a, x_origins)?;
        let norm_b = self_norm(self.statistic, b, y_origins)?;
        centre(d, x.states, y.states, &mut self.x, &mut self.y);
        self.cross.resize(n, T::ZERO);
        self.own.resize(n.max(m), T::ZERO);
        self.pull.resize(if with_grad { n * d } else { 0 }, T::ZERO);
        let jobs = n.max(m).div_ceil(ROWS);
        self.jobs.resize_with(self.jobs.len().max(jobs), || Job {
            distances: vec![T::ZERO; ROWS * COLUMNS],
            reach: vec![T::ZERO; ROWS],
            scratch: GemmScratch::new(),
        });
        let (jobs, distance) = (&mut self.jobs[..], self.distance);

        row_sums(d, distance, &self.y, &self.y, b, y_origins, jobs, &mut self.own[..m], &mut []);
        let own_y = weighted_total(b, &self.own[..m]) / norm_b;
        row_sums(d, distance, &self.x, &self.y, b, &Origins::default(), jobs, &mut self.cross, bar);
        let cross = weighted_total(a, &self.cross);
        row_sums(d, distance, &self.x, &self.x, a, x_origins, jobs, &mut self.own[..n], &mut self.pull);
        let own_x = weighted_total(a, &self.own[..n]) / norm_a;

        let value = 2.0 * cross - own_x - own_y;
        if with_grad {
            let inv = T::c(1.0 / norm_a);
            for ((bar, pull), &a) in bar.chunks_exact_mut(d).zip(self.pull.chunks_exact(d)).zip(a) {
                for (b, &p) in bar.iter_mut().zip(pull) {
                    *b = (a + a) * (*b - p * inv);
                }
            }
        }
        if !weight_bar.is_empty() {
            let norm_bar = if unbiased { own_x / norm_a } else { 0.0 };
            for (i, b) in weight_bar.iter_mut().enumerate() {
                let left_out = x_origins.mass().get(i).copied().unwrap_or(a[i].f64());
                let own = self.own[i].f64() / norm_a + left_out * norm_bar;
                *b = T::c(2.0 * (self.cross[i].f64() - own));
            }
            normalise_log_weights_vjp(a, weight_bar);
        }
        check_finite(value, d, x.states, y.states, bar)?;
        Ok(value)
    }
}

/// Copies of both clouds, moved so that the mean of `y` is the origin: the pull is a difference of products.
pub(super) fn centre<T: Real>(d: usize, x: &[T], y: &[T], x_out: &mut Vec<T>, y_out: &mut Vec<T>) {
    x_out.resize(x.len(), T::ZERO);
    y_out.resize(y.len(), T::ZERO);
    for k in 0..d {
        let sum: f64 = y[k..].iter().step_by(d).map(|v| v.f64()).sum();
        let mean = T::c(sum / (y.len() / d) as f64);
        for (out, cloud) in [(&mut *x_out, x), (&mut *y_out, y)] {
            for (o, &v) in out[k..].iter_mut().step_by(d).zip(cloud[k..].iter().step_by(d)) {
                *o = v - mean;
            }
        }
    }
}

/// For each row of `x`: `sums_i = Σ_j w_j |x_i - y_j|` and, unless `pull` is empty,
/// `pull_i = Σ_j w_j (x_i - y_j) / |x_i - y_j|`; without the pairs of one cell if `x` and `y` are one cloud.
fn row_sums<T: Real>(
    d: usize,
    distance: Distance,
    x: &[T],
    y: &[T],
    w: &[T],
    origins: &Origins,
    jobs: &mut [Job<T>],
    sums: &mut [T],
    pull: &mut [T],
) {
    let rows = x.par_chunks(ROWS * d).zip(sums.par_chunks_mut(ROWS)).zip(jobs).enumerate();
    if pull.is_empty() {
        rows.for_each(|(k, ((x, sums), job))| {
            block(d, distance, (k * ROWS, x), y, w, origins, job, sums, &mut []);
        });
    } else {
        rows.zip(pull.par_chunks_mut(ROWS * d)).for_each(|((k, ((x, sums), job)), pull)| {
            block(d, distance, (k * ROWS, x), y, w, origins, job, sums, pull);
        });
    }
}

/// The rows of one job, the first of them with its number, piece by piece of the columns.
fn block<T: Real>(
    d: usize,
    distance: Distance,
    (first, x): (usize, &[T]),
    y: &[T],
    w: &[T],
    origins: &Origins,
    job: &mut Job<T>,
    sums: &mut [T],
    pull: &mut [T],
) {
    let n = sums.len();
    let reach = &mut job.reach[..n];
    sums.fill(T::ZERO);
    reach.fill(T::ZERO);
    pull.fill(T::ZERO);
    for (piece, (y, w)) in y.chunks(COLUMNS * d).zip(w.chunks(COLUMNS)).enumerate() {
        let m = w.len();
        let distances = &mut job.distances[..n * m];
        pairwise_sq_dists(x, y, d, distances, &mut job.scratch);
        if !origins.is_empty() {
            // At no distance a pair adds nothing, neither to the sums nor to the pull.
            for (i, row) in distances.chunks_exact_mut(m).enumerate() {
                origins.clear_same(first + i, piece * COLUMNS, row);
            }
        }
        for ((row, sum), reach) in distances.chunks_exact_mut(m).zip(&mut *sums).zip(&mut *reach) {
            let (s, v) = match distance {
                Distance::Euclidean => weigh(row, w),
                Distance::Gaussian { narrowest, widths } => weigh_gaussian(narrowest, widths, row, w),
            };
            *sum += s;
            *reach += v;
        }
        if !pull.is_empty() {
            gemm((n, d, m), Transpose::None, distances, y, true, pull, &mut job.scratch);
        }
    }
    for ((pull, x), &reach) in pull.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(&*reach) {
        for (p, &x) in pull.iter_mut().zip(x) {
            *p = x * reach - *p;
        }
    }
}

/// Turns squared distances, in place, into `w / r`; returns the sums of `w r` and of `w / r`.
///
/// Equal points pull nowhere: their huge `w / r` would only cost digits.
fn weigh<T: Real>(row: &mut [T], w: &[T]) -> (T, T) {
    let (delta, delta2) = (T::c(DELTA), T::c(DELTA * DELTA));
    let at = |r2: &mut T, w: T| {
        let r = (*r2 + delta2).sqrt();
        *r2 = if *r2 > T::ZERO { w / r } else { T::ZERO };
        w * (r - delta)
    };
    let (mut s, mut v) = ([T::ZERO; LANES], [T::ZERO; LANES]);
    let (row_lanes, row_rest) = row.as_chunks_mut::<LANES>();
    let (w_lanes, w_rest) = w.as_chunks::<LANES>();
    for (r, w) in row_lanes.iter_mut().zip(w_lanes) {
        for l in 0..LANES {
            s[l] += at(&mut r[l], w[l]);
            v[l] += r[l];
        }
    }
    for (l, (r, &w)) in row_rest.iter_mut().zip(w_rest).enumerate() {
        s[l] += at(r, w);
        v[l] += *r;
    }
    (add_lanes(&s), add_lanes(&v))
}

/// As [`weigh`], for one minus a mean of Gaussians: into `w Σ k / s²`, and the sum of `w (1 - k)`.
fn weigh_gaussian<T: Real>(narrowest: f64, widths: u32, row: &mut [T], w: &[T]) -> (T, T) {
    const PIECE: usize = 64;
    let widest = narrowest * 2.0_f64.powi(widths as i32 - 1);
    let (scale, share) = (T::c(-0.5 / (widest * widest)), 1.0 / f64::from(widths));
    let (mut s, mut v) = ([T::ZERO; LANES], [T::ZERO; LANES]);
    for (row, w) in row.chunks_mut(PIECE).zip(w.chunks(PIECE)) {
        let (mut exponent, mut k) = ([T::ZERO; PIECE], [T::ZERO; PIECE]);
        exponent.iter_mut().zip(&*row).for_each(|(e, &r2)| *e = r2 * scale);
        vexp(&exponent, &mut k);
        let (mut sum, mut slope) = ([T::ZERO; PIECE], [T::ZERO; PIECE]);
        let mut weight = T::c(share / (widest * widest));
        for _ in 0..widths {
            for l in 0..PIECE {
                sum[l] += k[l];
                slope[l] += k[l] * weight;
                // Half the width.
                let square = k[l] * k[l];
                k[l] = square * square;
            }
            weight *= T::c(4.0);
        }
        for (l, (r, &w)) in row.iter_mut().zip(w).enumerate() {
            // Equal points are at no distance, and pull nowhere.
            let (value, pull) =
                if *r > T::ZERO { (T::ONE - sum[l] * T::c(share), slope[l]) } else { (T::ZERO, T::ZERO) };
            *r = w * pull;
            s[l % LANES] += w * value;
            v[l % LANES] += *r;
        }
    }
    (add_lanes(&s), add_lanes(&v))
}

/// What the sum over pairs within a cloud is divided by: the weight `1 - Σ a²` of the pairs of different cells,
/// where `a` are the weights of the cells, or one.
fn self_norm<T: Real>(statistic: Statistic, a: &[T], origins: &Origins) -> Result<f64, LossError> {
    if statistic == Statistic::Biased {
        return Ok(1.0);
    }
    let squares: f64 = if origins.is_empty() {
        a.iter().map(|w| w.f64() * w.f64()).sum()
    } else {
        a.iter().zip(origins.mass()).map(|(w, mass)| w.f64() * mass).sum()
    };
    if 1.0 - squares < 1e-6 {
        return Err(LossError::TooFewPoints { n: a.len(), effective: 1.0 / squares });
    }
    Ok(1.0 - squares)
}

fn weighted_total<T: Real>(a: &[T], rows: &[T]) -> f64 {
    a.iter().zip(rows).map(|(a, r)| a.f64() * r.f64()).sum()
}

/// The sum of the lanes, halves first.
#[inline(always)]
fn add_lanes<T: Real>(v: &[T; LANES]) -> T {
    let mut s = *v;
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            s[l] += s[l + half];
        }
        half /= 2;
    }
    s[0]
}
