//! One entropic optimal-transport problem between two weighted clouds.
//!
//! ε-annealing: at each level one update of both potentials in the log domain, then iterations with scalings `u`,
//! `v` of the kernel `K_ij = exp((f_i + g_j - C_ij) / ε)` until the marginals fit, roughly at first and to the
//! tolerance at the last level; scalings that leave [1e-10, 1e10] are absorbed into the potentials `f`, `g`
//! [Schmitzer 2019], which keeps `f32` stable. A problem of a cloud with itself has one potential and damped symmetric
//! updates [Feydy et al. 2019], which need no iterations on the way.
//! Costs and kernel are kept if they fit the memory budget, else recomputed row by row: same arithmetic.
//! At a small blur nearly all of the kernel is zero: a row holds the groups of lanes that are not, one behind the
//! other, and where they stand. Over-relaxed when that helps [TCDP21].
//! References: [TCDP21] Thibault, Chizat, Dossal & Papadakis (2021), Algorithms 14(5), 143; [Sch19] Schmitzer (2019), SIAM J. Sci. Comput. 41(3), A1443.

use super::error::LossError;
use super::kernel::{DELTA, KernelRows, Lanes, Scratch, Stored, kernel_row};
use super::pairwise::{Columns, LANES, ROWS, add_lanes, each_row, set_lanes};
use super::sinkhorn::{Cost, SinkhornConfig};
use chreode_core::Real;
use chreode_linalg::softmin_row;
use rayon::prelude::*;

/// Scalings further from one than this are absorbed.
const MAX_SCALING: f64 = 1e10;
/// Marginal error to which the levels of the annealing are iterated: potentials that are far from those of their level
/// make the last one slow. The levels together take half of all iterations at most.
const LEVEL_TOLERANCE: f64 = 1e-2;
/// Levels above this part of the first are smooth enough to need no iterations.
const SMOOTH: f64 = 1.0 / 64.0;

/// One of the two clouds.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a, T> {
    pub(crate) states: &'a [T],
    pub(crate) weights: &'a [T],
    pub(crate) columns: &'a Columns<T>,
}

/// How the iterations ended.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Convergence {
    pub(crate) error: f64,
    pub(crate) iterations: usize,
}

/// Potentials and work space of one problem.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transport<T> {
    /// Potential of the first cloud.
    pub(crate) f: Vec<T>,
    /// Potential of the second cloud; empty for a problem of a cloud with itself.
    pub(crate) g: Vec<T>,
    cost: Vec<Lanes<T>>,
    cost_t: Vec<Lanes<T>>,
    /// The kernel's rows, `[n, groups]`, of which each begins with its groups that are not zero.
    kernel: Vec<Lanes<T>>,
    /// For each of those its place in the row.
    places: Vec<u32>,
    /// How many there are in each row, `[n]`.
    counts: Vec<u32>,
    stored: bool,
    u: Vec<T>,
    v: Vec<T>,
    scaled: Vec<Lanes<T>>,
    potential_lanes: Vec<Lanes<T>>,
    offset: Vec<T>,
    update: Vec<T>,
    errors: Vec<f64>,
    partial: Vec<Lanes<T>>,
    scratch: Vec<Lanes<T>>,
    scratch_places: Vec<u32>,
}

/// Rows of one job: at most 32 jobs, so that the partial sums stay small; depends on `n` alone.
fn rows_per_job(n: usize) -> usize {
    n.div_ceil(32).next_multiple_of(ROWS).max(64)
}

impl<T: Real> Transport<T> {
    /// Solves the problem between `x` and `y`, or of `x` with itself if `y` is `None`, at `ε = blur^p`.
    pub(crate) fn solve(
        &mut self,
        config: &SinkhornConfig,
        x: Side<'_, T>,
        y: Option<Side<'_, T>>,
        diameter: f64,
    ) -> Result<Convergence, LossError> {
        let other = y.unwrap_or(x);
        let (n, m) = (x.weights.len(), other.weights.len());
        let groups = |k: usize| k.div_ceil(LANES);
        let matrices = if y.is_some() { 3 } else { 2 };
        self.stored =
            matrices * n.max(m) * groups(n.max(m)) * size_of::<Lanes<T>>() <= config.memory_mib << 20;
        let jobs = |k: usize| k.div_ceil(rows_per_job(k));
        let per_job = (ROWS + 1) * groups(n.max(m)) + x.states.len() / n;
        self.scratch.resize(jobs(n).max(jobs(m)) * per_job, [T::ZERO; LANES]);
        self.scratch_places.resize(jobs(n) * groups(m), 0);
        self.partial.resize(if y.is_some() { jobs(n) * groups(m) } else { 0 }, [T::ZERO; LANES]);
        self.f.resize(n, T::ZERO);
        self.f.fill(T::ZERO);
        self.g.resize(if y.is_some() { m } else { 0 }, T::ZERO);
        self.g.fill(T::ZERO);
        self.u.resize(n, T::ONE);
        self.v.resize(self.g.len(), T::ONE);
        self.errors.resize(n, 0.0);
        self.update.resize(n.max(m), T::ZERO);
        if self.stored {
            self.cost.resize(n * groups(m), [T::ZERO; LANES]);
            self.kernel.resize(n * groups(m), [T::ZERO; LANES]);
            self.places.resize(n * groups(m), 0);
            self.counts.resize(n, 0);
            store_costs(config.cost, x, other, &mut self.cost, &mut self.scratch);
            if let Some(y) = y {
                self.cost_t.resize(m * groups(n), [T::ZERO; LANES]);
                store_costs(config.cost, y, x, &mut self.cost_t, &mut self.scratch);
            }
        }

        let epsilon = config.epsilon();
        let first = config.cost.of_distance(diameter).max(epsilon);
        let ratio = config.cost.power(config.scaling);
        let (mut level, mut used) = (first, 0);
        loop {
            self.log_domain_update(config.cost, x, y, level);
            if level <= epsilon {
                break;
            }
            let left = (config.max_iterations / 2).saturating_sub(used);
            if y.is_some() && level < SMOOTH * first && left > 0 {
                let tolerance = config.tolerance.max(LEVEL_TOLERANCE);
                used += self.iterate(config.cost, x, y, level, tolerance, left)?.iterations;
                if self.u.iter().chain(&self.v).all(|s| s.is_finite() && *s != T::ZERO) {
                    self.absorb(level);
                }
            }
            level = (level * ratio).max(epsilon);
        }
        let most = config.max_iterations - used;
        let last = self.iterate(config.cost, x, y, epsilon, config.tolerance, most)?;
        Ok(Convergence { iterations: used + last.iterations, ..last })
    }

    /// One update of `f`, and of `g` if there is a second cloud, in the log domain.
    fn log_domain_update(&mut self, cost: Cost, x: Side<'_, T>, y: Option<Side<'_, T>>, epsilon: f64) {
        let n = x.weights.len();
        let Some(y) = y else {
            set_offset(&mut self.offset, &self.f, x.weights, epsilon);
            let stored = if self.stored { &self.cost[..] } else { &[] };
            softmin(cost, x, x, stored, &self.offset, epsilon, &mut self.update[..n], &mut self.scratch);
            for (f, &new) in self.f.iter_mut().zip(&self.update) {
                *f = (*f + new) * T::c(0.5);
            }
            return;
        };
        let (rows, columns): (&[Lanes<T>], &[Lanes<T>]) =
            if self.stored { (&self.cost, &self.cost_t) } else { (&[], &[]) };
        set_offset(&mut self.offset, &self.g, y.weights, epsilon);
        softmin(cost, x, y, rows, &self.offset, epsilon, &mut self.f, &mut self.scratch);
        set_offset(&mut self.offset, &self.f, x.weights, epsilon);
        softmin(cost, y, x, columns, &self.offset, epsilon, &mut self.g, &mut self.scratch);
    }

    /// Scaling iterations at one `ε`, `most` at most, until the marginals are off by less than the tolerance.
    fn iterate(
        &mut self,
        cost: Cost,
        x: Side<'_, T>,
        y: Option<Side<'_, T>>,
        epsilon: f64,
        tolerance: f64,
        most: usize,
    ) -> Result<Convergence, LossError> {
        let other = y.unwrap_or(x);
        self.start_scaling(other, epsilon);
        let mut repaired = false;
        let mut relaxation = Relaxation::default();
        for iteration in 1.. {
            self.row_update(cost, x, y, epsilon, relaxation.omega);
            let mut error: f64 = self.errors.iter().sum();
            if y.is_some() {
                error = error.max(self.column_update(other.weights, relaxation.omega));
                relaxation.observe(error);
            }
            self.set_scaled(other.weights);
            if error < tolerance || iteration >= most {
                return Ok(Convergence { error, iterations: iteration });
            }
            let far = |s: &T| !(s.f64() < MAX_SCALING && s.f64() > 1.0 / MAX_SCALING);
            if self.u.iter().chain(&self.v).any(|s| !s.is_finite() || *s == T::ZERO) {
                // A row of the kernel underflowed: its potential is found anew in the log domain.
                if repaired {
                    return Err(LossError::Overflow { value: error });
                }
                repaired = true;
                self.log_domain_update(cost, x, y, epsilon);
                self.start_scaling(other, epsilon);
            } else if self.u.iter().chain(&self.v).any(far) {
                self.absorb(epsilon);
                self.start_scaling(other, epsilon);
                repaired = false;
            }
        }
        unreachable!("the loop returns at the last iteration")
    }

    /// Adds the scalings to the potentials.
    fn absorb(&mut self, epsilon: f64) {
        let scalings = self.u.iter().chain(&self.v);
        for (f, s) in self.f.iter_mut().chain(&mut self.g).zip(scalings) {
            *f += T::c(epsilon * s.f64().ln());
        }
    }

    /// Scalings of one, and the kernel of the present potentials.
    fn start_scaling(&mut self, y: Side<'_, T>, epsilon: f64) {
        self.u.fill(T::ONE);
        self.v.fill(T::ONE);
        self.set_scaled(y.weights);
        set_lanes(if self.g.is_empty() { &self.f } else { &self.g }, &mut self.potential_lanes);
        if self.stored {
            let groups = y.columns.groups();
            let (f, potential, costs) = (&self.f, &self.potential_lanes, &self.cost);
            self.kernel
                .par_chunks_mut(groups)
                .zip(self.places.par_chunks_mut(groups))
                .zip(&mut self.counts)
                .zip(costs.par_chunks(groups))
                .enumerate()
                .with_min_len(64)
                .for_each(|(i, (((kernel, places), count), cost))| {
                    *count = kernel_row(cost, f[i], potential, epsilon, kernel, places) as u32;
                });
        }
    }

    /// `scaled_j = b_j v_j`, or `a_j u_j` for a problem of a cloud with itself.
    fn set_scaled(&mut self, weights: &[T]) {
        let s = if self.v.is_empty() { &self.u } else { &self.v };
        for ((out, &w), &s) in self.update.iter_mut().zip(weights).zip(s) {
            *out = w * s;
        }
        set_lanes(&self.update[..weights.len()], &mut self.scaled);
    }

    /// Updates `u` from the row sums, notes by how much each row's marginal was off, and sums the columns.
    fn row_update(&mut self, cost: Cost, x: Side<'_, T>, y: Option<Side<'_, T>>, epsilon: f64, omega: f64) {
        let n = x.weights.len();
        let other = y.unwrap_or(x);
        let groups = other.columns.groups();
        let rows = rows_per_job(n);
        let per_job = self.scratch.len() / n.div_ceil(rows);
        let source = KernelRows {
            cost,
            columns: other.columns,
            costs: &self.cost,
            stored: self.stored.then_some(Stored {
                kernel: &self.kernel,
                places: &self.places,
                counts: &self.counts,
            }),
            f: &self.f,
            potential: &self.potential_lanes,
            epsilon,
        };
        let (scaled, symmetric) = (&self.scaled, y.is_none());
        let d = x.states.len() / n;
        let run = |job: usize,
                   states: &[T],
                   u: &mut [T],
                   errors: &mut [f64],
                   scratch: &mut Scratch<'_, T>,
                   partial: &mut [Lanes<T>]| {
            partial.fill([T::ZERO; LANES]);
            source.each(states, job * rows, scratch, |i, kernel, _, _| {
                let a = x.weights[job * rows + i];
                let sum = kernel.dot(scaled);
                errors[i] = a.f64() * (u[i].f64() * sum.f64() - 1.0).abs();
                if symmetric {
                    u[i] = (u[i] / sum).sqrt();
                } else {
                    u[i] = relaxed(u[i], sum, omega);
                    kernel.add_to(a * u[i], partial);
                }
            });
        };
        let jobs = x
            .states
            .par_chunks(rows * d)
            .zip(self.u.par_chunks_mut(rows))
            .zip(self.errors.par_chunks_mut(rows))
            .zip(self.scratch.par_chunks_mut(per_job).zip(self.scratch_places.par_chunks_mut(groups)))
            .enumerate();
        if symmetric {
            jobs.for_each(|(job, (((states, u), errors), mut scratch))| {
                run(job, states, u, errors, &mut scratch, &mut []);
            });
        } else {
            jobs.zip(self.partial.par_chunks_mut(groups)).for_each(
                |((job, (((states, u), errors), mut scratch)), partial)| {
                    run(job, states, u, errors, &mut scratch, partial);
                },
            );
        }
    }

    /// `v_j = 1 / Σ_i a_i u_i K_ij`, the jobs' sums added in order; returns by how much the marginal was off.
    fn column_update(&mut self, b: &[T], omega: f64) -> f64 {
        let groups = self.v.len().div_ceil(LANES);
        let (total, rest) = self.partial.split_at_mut(groups);
        for job in rest.chunks_exact(groups) {
            for (t, p) in total.iter_mut().zip(job) {
                for l in 0..LANES {
                    t[l] += p[l];
                }
            }
        }
        let mut error = 0.0;
        for ((v, &sum), &b) in self.v.iter_mut().zip(self.partial.as_flattened()).zip(b) {
            error += b.f64() * (v.f64() * sum.f64() - 1.0).abs();
            *v = relaxed(*v, sum, omega);
        }
        error
    }

    /// After [`solve`](Self::solve): finishes the potentials (rows last, so that row marginals are exact) and
    /// adds `scale · a_i Σ_j π_ij / a_i ∂C/∂x_i` to `x_bar`, if it is not empty.
    pub(crate) fn finish(
        &mut self,
        config: &SinkhornConfig,
        x: Side<'_, T>,
        y: Option<Side<'_, T>>,
        scale: f64,
        x_bar: &mut [T],
    ) {
        let n = x.weights.len();
        let d = x.states.len() / n;
        let other = y.unwrap_or(x);
        let rows = rows_per_job(n);
        let per_job = self.scratch.len() / n.div_ceil(rows);
        let epsilon = config.epsilon();
        let source = KernelRows {
            cost: config.cost,
            columns: other.columns,
            costs: &self.cost,
            stored: self.stored.then_some(Stored {
                kernel: &self.kernel,
                places: &self.places,
                counts: &self.counts,
            }),
            f: &self.f,
            potential: &self.potential_lanes,
            epsilon,
        };
        let scaled = &self.scaled;
        let with_pull = !x_bar.is_empty();
        let groups = other.columns.groups();
        let run = |job: usize, states: &[T], sums: &mut [T], scratch: &mut Scratch<'_, T>, bar: &mut [T]| {
            source.each(states, job * rows, scratch, |i, kernel, cost, pull| {
                sums[i] = kernel.dot(scaled);
                if !with_pull {
                    return;
                }
                let row = &states[i * d..(i + 1) * d];
                pull.fill([T::ZERO; LANES]);
                for (w, g) in kernel.groups() {
                    let mut w = *w;
                    for l in 0..LANES {
                        w[l] *= scaled[g][l];
                        if config.cost == Cost::Distance {
                            w[l] /= cost[g][l] + T::c(DELTA);
                        }
                    }
                    for ((acc, y), &xk) in pull.iter_mut().zip(other.columns.group(g)).zip(row) {
                        for l in 0..LANES {
                            acc[l] += w[l] * (xk - y[l]);
                        }
                    }
                }
                let factor = T::c(scale) * x.weights[job * rows + i] / sums[i];
                for (b, p) in bar[i * d..(i + 1) * d].iter_mut().zip(&*pull) {
                    *b += factor * add_lanes(p);
                }
            });
        };
        let jobs = x
            .states
            .par_chunks(rows * d)
            .zip(self.update[..n].par_chunks_mut(rows))
            .zip(self.scratch.par_chunks_mut(per_job).zip(self.scratch_places.par_chunks_mut(groups)))
            .enumerate();
        if with_pull {
            jobs.zip(x_bar.par_chunks_mut(rows * d)).for_each(
                |((job, ((states, sums), mut scratch)), bar)| run(job, states, sums, &mut scratch, bar),
            );
        } else {
            jobs.for_each(|(job, ((states, sums), mut scratch))| {
                run(job, states, sums, &mut scratch, &mut []);
            });
        }
        for (i, f) in self.f.iter_mut().enumerate() {
            let update = -self.update[i].f64().ln();
            let symmetric = 0.5 * (self.u[i].f64().ln() + update);
            *f += T::c(epsilon * if y.is_some() { update } else { symmetric });
        }
        for (g, v) in self.g.iter_mut().zip(&self.v) {
            *g += T::c(epsilon * v.f64().ln());
        }
    }
}

/// `1 / sum`, or a step beyond it: `u (1 / (u sum))^ω`.
#[inline(always)]
fn relaxed<T: Real>(u: T, sum: T, omega: f64) -> T {
    if omega == 1.0 {
        return T::ONE / sum;
    }
    u * (T::c(-omega) * (u * sum).ln()).exp()
}

/// Over-relaxation [TCDP21], the factor chosen as for linear systems: the contraction that was seen gives the
/// rate of the plain iteration, and that the best factor [Young 1971]. It turns a rate of `1 - δ` into about
/// `1 - 2 √δ`, which at a small blur is the difference between thousands of iterations and a hundred.
#[derive(Debug, Clone, Copy)]
struct Relaxation {
    omega: f64,
    since: usize,
    reference: f64,
}

impl Default for Relaxation {
    fn default() -> Self {
        Self { omega: 1.0, since: 0, reference: f64::INFINITY }
    }
}

impl Relaxation {
    /// Iterations between two looks at the contraction.
    const WINDOW: usize = 12;

    fn observe(&mut self, error: f64) {
        self.since += 1;
        if self.since < Self::WINDOW {
            return;
        }
        if self.reference.is_finite() {
            let rate = (error / self.reference).powf(1.0 / self.since as f64);
            if rate < 1.0 {
                let plain = (rate + self.omega - 1.0).powi(2) / (rate * self.omega * self.omega);
                let best = 2.0 / (1.0 + (1.0 - plain.min(1.0)).sqrt());
                self.omega = best.clamp(self.omega, 1.98);
            } else {
                self.omega = 1.0 + (self.omega - 1.0) * 0.5; // it grew: too bold, or not yet in the linear phase
            }
        }
        self.since = 0;
        self.reference = error;
    }
}

/// `offset_j = g_j + ε ln b_j`.
fn set_offset<T: Real>(offset: &mut Vec<T>, g: &[T], b: &[T], epsilon: f64) {
    offset.clear();
    offset.extend(g.iter().zip(b).map(|(&g, &b)| g + T::c(epsilon * b.f64().ln())));
}

/// `out_i = -ε ln Σ_j exp((offset_j - C_ij) / ε)`.
fn softmin<T: Real>(
    cost: Cost,
    x: Side<'_, T>,
    y: Side<'_, T>,
    stored: &[Lanes<T>],
    offset: &[T],
    epsilon: f64,
    out: &mut [T],
    scratch: &mut [Lanes<T>],
) {
    let (n, m, groups) = (x.weights.len(), y.weights.len(), y.columns.groups());
    let rows = rows_per_job(n);
    let per_job = scratch.len() / n.div_ceil(rows);
    let d = y.columns.dim();
    let one = |c: &[Lanes<T>]| softmin_row(&c.as_flattened()[..m], offset, T::c(epsilon));
    x.states
        .par_chunks(rows * d)
        .zip(out.par_chunks_mut(rows))
        .zip(scratch.par_chunks_mut(per_job))
        .enumerate()
        .for_each(|(job, ((states, out), scratch))| {
            if stored.is_empty() {
                each_row(states, y.columns, scratch, |i, r2| {
                    cost.apply(r2);
                    out[i] = one(r2);
                });
            } else {
                for (i, o) in out.iter_mut().enumerate() {
                    let row = job * rows + i;
                    *o = one(&stored[row * groups..(row + 1) * groups]);
                }
            }
        });
}

fn store_costs<T: Real>(
    cost: Cost,
    x: Side<'_, T>,
    y: Side<'_, T>,
    out: &mut [Lanes<T>],
    scratch: &mut [Lanes<T>],
) {
    let n = x.weights.len();
    let (groups, rows, d) = (y.columns.groups(), rows_per_job(n), y.columns.dim());
    let per_job = scratch.len() / n.div_ceil(rows);
    x.states
        .par_chunks(rows * d)
        .zip(out.par_chunks_mut(rows * groups))
        .zip(scratch.par_chunks_mut(per_job))
        .for_each(|((states, out), scratch)| {
            each_row(states, y.columns, scratch, |i, r2| {
                cost.apply(r2);
                out[i * groups..(i + 1) * groups].copy_from_slice(r2);
            });
        });
}
