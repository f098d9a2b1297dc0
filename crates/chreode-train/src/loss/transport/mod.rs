//! One entropic optimal-transport problem between two weighted clouds, balanced or with a penalty on its marginals.
//!
//! The dual potentials `f`, `g` (`f64`) are found by annealing: ε falls level by level to its value, and at each level the
//! marginals of `K_ij = exp((f_i + g_j - C_ij) / ε)` are fitted, rows then columns, over-relaxed when that helps
//! (`relaxation`). As long as most of the kernel counts, a pass computes it row by row, each exponential once (`dense`). At a
//! small ε nearly all of it is zero: then the pairs that may count are listed once, with exact costs, and iterations go
//! over the list alone [Schmitzer 2019], which is made anew when the potentials have moved too far for it (`sparse`).
//! A problem of a cloud with itself has one potential and damped symmetric updates [Feydy et al. 2019], which contract by
//! half at least, and need no annealing.
//! A penalty `ρ KL` on each marginal damps every update by `ρ / (ρ + ε)` [Séjourné et al. 2019].
//! References: [Sch19] Schmitzer (2019), SIAM J. Sci. Comput. 41(3), A1443; [SFVTP19] Séjourné, Feydy, Vialard, Trouvé & Peyré
//! (2019), arXiv:1910.12958.

mod dense;
mod relaxation;
mod sparse;

use super::error::LossError;
use super::sinkhorn::{Cost, SinkhornConfig};
use chreode_core::Real;
use dense::Dense;
use relaxation::Relaxation;
use sparse::Sparse;

/// Passes over the whole kernel at a level that is not the last. On a list they are cheap, and are made until the marginals
/// fit: potentials that are far from those of their level make the next one slow.
const DENSE_PASSES: usize = 2;
/// Of all iterations, the part that one level may take that is not the last; together they may take half.
const LEVEL_SHARE: usize = 16;
/// Plain passes over a list before each step of Newton's method.
const PASSES: usize = 4;
/// How far such a step may move the logarithm of a scaling at first.
const FIRST_RADIUS: f64 = 4.0;
/// So many pairs may always be listed at the last level.
const FEW_PAIRS: usize = 1 << 19;
/// Passes over the whole kernel without a smaller error after which rounding is what is left.
const STAGNATION: usize = 100;
/// Smoothing of distances at zero, for the cost `|x - y|`.
pub(crate) const DELTA: f64 = 1e-6;

/// One of the two clouds.
#[derive(Clone, Copy)]
pub(crate) struct Side<'a, T> {
    /// The points, `[n, d]`.
    pub(crate) points: &'a [T],
    /// Their weights, which sum to one.
    pub(crate) weights: &'a [T],
}

/// Which problem is to be solved.
#[derive(Clone, Copy)]
pub(crate) struct Problem<'a, T> {
    pub(crate) d: usize,
    pub(crate) cost: Cost,
    pub(crate) x: Side<'a, T>,
    /// The second cloud; the first for a problem of a cloud with itself.
    pub(crate) y: Side<'a, T>,
    /// Whether it is one of a cloud with itself.
    pub(crate) symmetric: bool,
    /// Penalty of the marginals; infinite if they are given.
    pub(crate) rho: f64,
}

impl<T: Real> Problem<'_, T> {
    fn size(&self) -> (usize, usize) {
        (self.x.weights.len(), self.y.weights.len())
    }

    /// Rows for columns.
    fn swapped(&self) -> Self {
        Self { x: self.y, y: self.x, ..*self }
    }

    /// What a potential becomes where the kernel's sum, weighted, has the logarithm `ln_sum`.
    fn update(&self, f: f64, ln_sum: f64, epsilon: f64) -> f64 {
        self.damping(epsilon) * (f - epsilon * ln_sum)
    }

    fn damping(&self, epsilon: f64) -> f64 {
        if self.rho.is_finite() { self.rho / (self.rho + epsilon) } else { 1.0 }
    }

    /// The mass that a potential asks for, of each unit of weight.
    pub(crate) fn target(&self, f: f64) -> f64 {
        if self.rho.is_finite() { (-f / self.rho).exp() } else { 1.0 }
    }

    /// What a unit of weight with potential `f` adds to the dual value.
    pub(crate) fn reward(&self, f: f64) -> f64 {
        if self.rho.is_finite() { -self.rho * (-f / self.rho).exp_m1() } else { f }
    }

    /// Cost between point `i` of the first and point `j` of the second cloud, in `f64`.
    fn cost_of(&self, i: usize, j: usize) -> f64 {
        let d = self.d;
        let (x, y) = (&self.x.points[i * d..(i + 1) * d], &self.y.points[j * d..(j + 1) * d]);
        let r2: f64 = x.iter().zip(y).map(|(x, y)| (x.f64() - y.f64()).powi(2)).sum();
        self.cost.of_square(r2)
    }

    /// `-ε ln Σ_j b_j exp((g_j - C_ij) / ε)`, damped: the potential of a point to which the kernel's row says nothing.
    fn softmin(&self, i: usize, g: &[f64], epsilon: f64) -> f64 {
        let exponent = |j: usize| (g[j] - self.cost_of(i, j)) / epsilon + self.y.weights[j].f64().ln();
        let top = (0..g.len()).map(exponent).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = (0..g.len()).map(|j| (exponent(j) - top).exp()).sum();
        self.update(0.0, top + sum.ln(), epsilon)
    }
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
    pub(crate) f: Vec<f64>,
    /// Potential of the second cloud; empty for a problem of a cloud with itself.
    pub(crate) g: Vec<f64>,
    dense: Dense<T>,
    sparse: Sparse,
    /// Factor of over-relaxation that served last.
    omega: f64,
    /// Whether the list of pairs stands for the kernel.
    listed: bool,
}

/// Exponents below minus this add nothing that a `T` could hold, whatever the number of points.
fn negligible<T: Real>() -> f64 {
    4.0 - T::EPSILON.f64().ln()
}

impl<T: Real> Transport<T> {
    /// Solves the problem at `ε = blur^p`; from the potentials that stand there if `warm`.
    pub(crate) fn solve(
        &mut self,
        config: &SinkhornConfig,
        p: &Problem<'_, T>,
        warm: bool,
    ) -> Result<Convergence, LossError> {
        let (n, m) = p.size();
        self.dense.set(p, config.memory_mib);
        self.listed = false;
        self.omega = 1.0;
        let epsilon = config.epsilon();
        self.f.resize(n, 0.0);
        self.g.resize(if p.symmetric { 0 } else { m }, 0.0);
        if p.symmetric {
            // No potential can be larger: a point's own entry would exceed its marginal. So the list lacks nothing.
            for (f, a) in self.f.iter_mut().zip(p.x.weights) {
                *f = if *a > T::ZERO { -0.5 * epsilon * a.f64().ln() } else { 0.0 };
            }
            self.list(p, epsilon, negligible::<T>() * epsilon, false);
            return self.iterate(p, epsilon, config.tolerance, config.max_iterations);
        }
        let spread = if warm { self.unrest(p, epsilon) } else { self.first_guess(p) };
        if !spread.is_finite() {
            return Err(LossError::Overflow { value: spread });
        }
        let ratio = config.cost.power(config.scaling);
        let (mut level, mut used) = (spread.max(epsilon), 0);
        while level > epsilon {
            self.choose(p, level, false);
            let left = (config.max_iterations / 2).saturating_sub(used);
            let most = left.min(if self.listed { config.max_iterations / LEVEL_SHARE } else { DENSE_PASSES });
            // Levels without iterations still list their pairs, and give points that have none a potential.
            if most > 0 {
                used += self.iterate(p, level, config.tolerance, most)?.iterations;
            }
            level = (level * ratio).max(epsilon);
        }
        self.choose(p, epsilon, true);
        let last = self.iterate(p, epsilon, config.tolerance, config.max_iterations - used)?;
        Ok(Convergence { iterations: used + last.iterations, ..last })
    }

    /// Potentials in the limit of a large ε, from some points; returns the level from which to go on.
    fn first_guess(&mut self, p: &Problem<'_, T>) -> f64 {
        const SOME: usize = 64;
        let (n, m) = p.size();
        let some = |n: usize| (0..n.min(SOME)).map(move |k| k * n / n.min(SOME));
        self.dense.mean_costs(p, some(m), &mut self.f);
        self.dense.mean_costs(&p.swapped(), some(n), &mut self.g);
        let all: f64 = some(n).map(|i| self.f[i]).sum::<f64>() / some(n).count() as f64;
        self.g.iter_mut().for_each(|g| *g -= all);
        let mut square = 0.0;
        for i in some(n) {
            square += some(m).map(|j| (self.f[i] + self.g[j] - p.cost_of(i, j)).powi(2)).sum::<f64>();
        }
        (square / (some(n).count() * some(m).count()) as f64).sqrt()
    }

    /// How far one update would move the potentials: the level at which they are as good as any.
    fn unrest(&mut self, p: &Problem<'_, T>, epsilon: f64) -> f64 {
        const SOME: usize = 32;
        let n = self.f.len();
        let some = (0..n.min(SOME)).map(|k| k * n / n.min(SOME));
        let count = some.clone().count() as f64;
        some.map(|i| (p.softmin(i, &self.g, epsilon) - self.f[i]).abs()).sum::<f64>() / count
    }

    /// Decides how the kernel of a level is kept.
    fn choose(&mut self, p: &Problem<'_, T>, epsilon: f64, last: bool) {
        let least = negligible::<T>() * epsilon;
        if self.listed && self.sparse.start_level(epsilon, 1.5 * least, least) {
            return;
        }
        self.list(p, epsilon, 1.5 * least, last);
    }

    /// Lists the pairs that lack less than `reach`, unless they are too many.
    fn list(&mut self, p: &Problem<'_, T>, epsilon: f64, reach: f64, last: bool) {
        let (n, m) = p.size();
        // A list costs a few times as much a pair as the whole kernel, but is exact, and has Newton's method.
        let few = if last { FEW_PAIRS } else { 0 };
        let most = (n * m / 8).min((128 * n.max(m)).max(FEW_PAIRS)).max(few);
        self.listed = self.dense.share_within(p, &self.f, &self.g, reach) * (n * m) as f64 <= most as f64
            && self.sparse.build(p, &mut self.dense, &mut self.f, &mut self.g, reach, 2 * most);
        if self.listed {
            self.sparse.start_level(epsilon, reach, 0.0);
        }
    }

    /// Fits the marginals at one `ε`, with `most` passes at most, until they are off by less than the tolerance.
    fn iterate(
        &mut self,
        p: &Problem<'_, T>,
        epsilon: f64,
        tolerance: f64,
        most: usize,
    ) -> Result<Convergence, LossError> {
        let least = negligible::<T>() * epsilon;
        let mut relaxation = Relaxation::from(self.omega);
        let (mut iteration, mut rest, mut radius) = (0, PASSES, FIRST_RADIUS);
        let (mut lowest, mut since) = (f64::INFINITY, 0);
        loop {
            iteration += 1;
            if !self.listed {
                let error = self.dense.pass(p, &mut self.f, &mut self.g, epsilon, relaxation.omega());
                if !error.is_finite() {
                    return Err(LossError::Overflow { value: error });
                }
                if !p.symmetric {
                    relaxation.observe(error);
                    self.omega = relaxation.omega();
                }
                (lowest, since) = if error < lowest { (error, 0) } else { (lowest, since + 1) };
                if error < tolerance || iteration >= most || since > STAGNATION {
                    return Ok(Convergence { error, iterations: iteration });
                }
                continue;
            }
            let mut error = self.sparse.pass(p, &self.f, &self.g, epsilon);
            if !error.is_finite() {
                return Err(LossError::Overflow { value: error });
            }
            // No stop where the error does not fall for long: at a small ε Newton's steps go through such valleys.
            let mut done = (error < tolerance && !self.sparse.clipped()) || iteration >= most;
            if self.sparse.clipped() && !done {
                self.sparse.absorb(&mut self.f, &mut self.g, epsilon);
                self.sparse.start_level(epsilon, f64::INFINITY, 0.0);
            }
            rest -= 1;
            if !p.symmetric && (done || rest == 0) && !self.sparse.covers(epsilon, least) {
                self.sparse.absorb(&mut self.f, &mut self.g, epsilon);
                self.list(p, epsilon, 1.5 * least, true);
                // What the list lacked may be what made the marginals fit.
                done = iteration >= most;
                if done {
                    error = if self.listed {
                        self.sparse.pass(p, &self.f, &self.g, epsilon)
                    } else {
                        self.dense.pass(p, &mut self.f, &mut self.g, epsilon, 1.0)
                    };
                }
            }
            if done {
                if self.listed {
                    self.sparse.absorb(&mut self.f, &mut self.g, epsilon);
                }
                return Ok(Convergence { error, iterations: iteration });
            }
            if rest == 0 {
                rest = PASSES;
                if self.listed && !p.symmetric {
                    iteration +=
                        self.sparse.newton(p, &self.f, &self.g, epsilon, &mut radius, most - iteration);
                }
            }
        }
    }

    /// After [`solve`](Self::solve): fits the rows exactly and adds `scale · Σ_j π_ij ∂C_ij/∂x_i` to `bar`, if it is not empty;
    /// returns the dual value.
    pub(crate) fn finish_rows(&mut self, p: &Problem<'_, T>, epsilon: f64, scale: f64, bar: &mut [T]) -> f64 {
        self.finish(p, epsilon, scale, bar, false);
        let (x, y) = (p.x.weights.iter().zip(&self.f), p.y.weights.iter());
        let g = if p.symmetric { &self.f } else { &self.g };
        let weighed = |(w, f): (&T, &f64)| if *w == T::ZERO { 0.0 } else { w.f64() * p.reward(*f) };
        let mass: f64 = x.clone().map(|(w, f)| w.f64() * p.target(*f)).sum();
        let excess = if p.rho.is_finite() { epsilon * (mass - 1.0) } else { 0.0 };
        x.map(weighed).sum::<f64>() + y.zip(g).map(weighed).sum::<f64>() - excess
    }

    /// As [`finish_rows`](Self::finish_rows) for the columns, and after it.
    pub(crate) fn finish_columns(&mut self, p: &Problem<'_, T>, epsilon: f64, bar: &mut [T]) {
        self.finish(p, epsilon, 1.0, bar, true);
    }

    fn finish(&mut self, p: &Problem<'_, T>, epsilon: f64, scale: f64, bar: &mut [T], columns: bool) {
        if self.listed {
            self.sparse.start_level(epsilon, f64::INFINITY, 0.0);
            self.sparse.finish(p, &mut self.f, &mut self.g, epsilon, scale, bar, columns);
        } else if columns {
            self.dense.finish(&p.swapped(), &mut self.g, &self.f, epsilon, scale, bar, true);
        } else if p.symmetric {
            self.dense.finish(p, &mut self.f, &[], epsilon, scale, bar, false);
        } else {
            self.dense.finish(p, &mut self.f, &self.g, epsilon, scale, bar, false);
        }
    }
}
