//! Unbalanced entropic optimal transport between the cells of two times, and pairs of cells drawn from it.
//!
//! `P` minimises `⟨|x - y|², P⟩ + ε KL(P | a ⊗ b) + ρ KL(P 1 | a) + ρ' KL(Pᵀ 1 | b)`, by updates of the dual potentials in the log domain,
//! each a soft minimum damped by `ρ/(ρ + ε)` [CPSV18]. Cells that the plan sends more than their share of were growing.
//! Not here: divergences between clouds, with their gradients (`loss`).

use chreode_core::Real;
use chreode_linalg::{GemmScratch, pairwise_sq_dists, softmin_row, vexp};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use rayon::prelude::*;

/// How strongly transport and marginals are regularised, in squared units of the scaled state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Regularisation {
    /// `ε`.
    pub(super) epsilon: f64,
    /// `ρ` of the source; infinite for a marginal that is met.
    pub(super) source: f64,
    /// `ρ'` of the target.
    pub(super) target: f64,
}

/// A solved problem: costs are kept, the plan is not.
#[derive(Debug)]
pub(super) struct Coupling<T> {
    columns: usize,
    costs: Vec<T>,
    epsilon: T,
    /// `g_j + ε ln b_j`, `[columns]`.
    h: Vec<T>,
    /// `ln(mass/share)` of each source: what it grew by.
    pub(super) log_growth: Vec<f64>,
    /// Mass that leaves each source.
    mass: Vec<f64>,
    /// Largest change of a potential in the last iteration, over `ε`.
    pub(super) change: f64,
    pub(super) iterations: usize,
}

/// Rows of one piece of work: the same for any number of threads.
const ROWS: usize = 64;
const MOST_ITERATIONS: usize = 500;
/// Potentials are right to this part of `ε`: marginals to as much.
const TOLERANCE: f64 = 2e-3;

impl<T: Real> Coupling<T> {
    /// Couples sources `x`, `[n, d]`, with log-shares `log_a` (normalised, `[n]`) with equally weighted targets `y`, `[m, d]`.
    pub(super) fn new(x: &[T], log_a: &[f64], y: &[T], d: usize, by: Regularisation) -> Self {
        let (n, m) = (x.len() / d, y.len() / d);
        let costs = distances(x, y, d);
        let transposed = distances(y, x, d);
        let epsilon = T::c(by.epsilon);
        let damping = |rho: f64| if rho.is_finite() { T::c(rho / (rho + by.epsilon)) } else { T::ONE };
        let (of_source, of_target) = (damping(by.source), damping(by.target));
        let log_b = T::c(-(m as f64).ln() * by.epsilon);
        let shares: Vec<T> = log_a.iter().map(|w| T::c(w * by.epsilon)).collect();
        let (mut f, mut g) = (vec![T::ZERO; n], vec![T::ZERO; m]);
        let (mut soft, mut h) = (vec![T::ZERO; n], vec![log_b; m]);
        let mut from = vec![T::ZERO; n];
        let (mut change, mut iterations) = (f64::INFINITY, 0);
        while change > TOLERANCE && iterations < MOST_ITERATIONS {
            soft_minima(&costs, &h, epsilon, &mut soft);
            change = 0.0;
            for i in 0..n {
                let next = of_source * soft[i];
                change = (next - f[i]).f64().abs().max(change);
                f[i] = next;
                from[i] = next + shares[i];
            }
            soft_minima(&transposed, &from, epsilon, &mut g);
            for j in 0..m {
                g[j] *= of_target;
                h[j] = g[j] + log_b;
            }
            change /= by.epsilon;
            iterations += 1;
        }
        soft_minima(&costs, &h, epsilon, &mut soft);
        let log_growth: Vec<f64> = (0..n).map(|i| (f[i] - soft[i]).f64() / by.epsilon).collect();
        let mass = log_a.iter().zip(&log_growth).map(|(a, w)| (a + w).exp()).collect();
        Self { columns: m, costs, epsilon, h, log_growth, mass, change, iterations }
    }

    /// About `count` pairs (source, target), each as likely as its share of the plan: both drawn systematically, so that no source is
    /// missed that is due a pair.
    pub(super) fn pairs(&self, count: usize, seed: u64) -> Vec<(u32, u32)> {
        let total: f64 = self.mass.iter().sum();
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut at = rng.random::<f64>();
        let due: Vec<usize> = self
            .mass
            .iter()
            .map(|mass| {
                let next = at + mass / total * count as f64;
                let due = next.floor() - at.floor();
                at = next;
                due as usize
            })
            .collect();
        let of_row = |i: usize| {
            let mut pairs = Vec::with_capacity(due[i]);
            if due[i] == 0 {
                return pairs;
            }
            let row = &self.costs[i * self.columns..(i + 1) * self.columns];
            let top = self.h.iter().zip(row).map(|(&h, &c)| h - c).fold(T::c(f64::NEG_INFINITY), T::max);
            let exponents: Vec<T> =
                self.h.iter().zip(row).map(|(&h, &c)| (h - c - top) / self.epsilon).collect();
            let mut weights = vec![T::ZERO; self.columns];
            vexp(&exponents, &mut weights);
            let sum: f64 = weights.iter().map(|w| w.f64()).sum();
            let mut rng = Pcg64::seed_from_u64(seed ^ (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let mut wanted = rng.random::<f64>();
            let (mut so_far, each) = (0.0, sum / due[i] as f64);
            for (j, w) in weights.iter().enumerate() {
                so_far += w.f64();
                while pairs.len() < due[i] && wanted * each < so_far {
                    pairs.push((i as u32, j as u32));
                    wanted += 1.0;
                }
            }
            pairs
        };
        (0..self.mass.len()).into_par_iter().flat_map_iter(of_row).collect()
    }
}

/// Squared distances `[n, m]`.
fn distances<T: Real>(x: &[T], y: &[T], d: usize) -> Vec<T> {
    let m = y.len() / d;
    let mut out = vec![T::ZERO; x.len() / d * m];
    out.par_chunks_mut(ROWS * m).zip(x.par_chunks(ROWS * d)).for_each_init(
        GemmScratch::default,
        |scratch, (out, x)| {
            pairwise_sq_dists(x, y, d, out, scratch);
        },
    );
    out
}

/// The soft minimum of every row.
fn soft_minima<T: Real>(costs: &[T], h: &[T], epsilon: T, out: &mut [T]) {
    costs.par_chunks(ROWS * h.len()).zip(out.par_chunks_mut(ROWS)).for_each(|(costs, out)| {
        for (row, out) in costs.chunks_exact(h.len()).zip(out) {
            *out = softmin_row(row, h, epsilon);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(n: usize, shift: f64, key: u64) -> Vec<f64> {
        let mut x = vec![0.0; 2 * n];
        chreode_core::BrownianIncrements::new(key).fill(0, 0, 1, 1.0, &mut x);
        x.iter_mut().for_each(|v| *v += shift);
        x
    }

    /// The plan by plain multiplications of the kernel, no logarithms.
    fn dense(x: &[f64], a: &[f64], y: &[f64], by: Regularisation) -> Vec<f64> {
        let (n, m) = (a.len(), y.len() / 2);
        let kernel: Vec<f64> = (0..n * m)
            .map(|k| {
                let (x, y) = (&x[k / m * 2..], &y[k % m * 2..]);
                (-((x[0] - y[0]).powi(2) + (x[1] - y[1]).powi(2)) / by.epsilon).exp() * a[k / m] / m as f64
            })
            .collect();
        let power = |rho: f64| if rho.is_finite() { rho / (rho + by.epsilon) } else { 1.0 };
        let (mut u, mut v) = (vec![1.0; n], vec![1.0; m]);
        for _ in 0..20_000 {
            for i in 0..n {
                let sum: f64 = (0..m).map(|j| kernel[i * m + j] * v[j]).sum();
                u[i] = (a[i] / sum).powf(power(by.source));
            }
            for j in 0..m {
                let sum: f64 = (0..n).map(|i| kernel[i * m + j] * u[i]).sum();
                v[j] = (1.0 / m as f64 / sum).powf(power(by.target));
            }
        }
        (0..n * m).map(|k| u[k / m] * kernel[k] * v[k % m]).collect()
    }

    #[test]
    fn masses_and_pairs_are_those_of_the_plan() {
        let (n, m) = (40, 60);
        let (x, y) = (cloud(n, 0.0, 1), cloud(m, 0.7, 2));
        let a: Vec<f64> = (0..n).map(|i| 1.0 + (i % 3) as f64).collect();
        let sum: f64 = a.iter().sum();
        let a: Vec<f64> = a.iter().map(|a| a / sum).collect();
        let log_a: Vec<f64> = a.iter().map(|a| a.ln()).collect();
        for (source, target) in [(1.0, f64::INFINITY), (0.5, 2.0), (f64::INFINITY, f64::INFINITY)] {
            let by = Regularisation { epsilon: 0.4, source, target };
            let coupling = Coupling::new(&x, &log_a, &y, 2, by);
            let plan = dense(&x, &a, &y, by);
            for i in 0..n {
                let row: f64 = plan[i * m..(i + 1) * m].iter().sum();
                assert!(
                    (coupling.mass[i] / row - 1.0).abs() < 0.02,
                    "{source} {i}: {} {row}",
                    coupling.mass[i]
                );
            }
            let pairs = coupling.pairs(200_000, 5);
            assert!(pairs.len().abs_diff(200_000) <= 1);
            let total: f64 = plan.iter().sum();
            let mut counts = vec![0.0; n * m];
            pairs.iter().for_each(|&(i, j)| counts[i as usize * m + j as usize] += 1.0 / 200_000.0);
            let error: f64 = counts.iter().zip(&plan).map(|(c, p)| (c - p / total).abs()).sum();
            assert!(error < 0.03, "{error}");
            assert_eq!(pairs, coupling.pairs(200_000, 5));
        }
    }

    #[test]
    fn growth_is_seen_and_a_met_marginal_has_none() {
        // Two groups of sources in equal parts, whose places hold a fifth and four fifths of the targets.
        let place = |k: usize, n: usize, part: f64| if (k as f64) < part * n as f64 { 0.0 } else { 6.0 };
        let x: Vec<f64> = (0..50).flat_map(|k| [place(k, 50, 0.5), (k % 7) as f64 * 0.1]).collect();
        let y: Vec<f64> = (0..50).flat_map(|k| [place(k, 50, 0.2), (k % 5) as f64 * 0.1]).collect();
        let log_a = vec![-(50.0_f64).ln(); 50];
        let free = Coupling::new(
            &x,
            &log_a,
            &y,
            2,
            Regularisation { epsilon: 0.3, source: 0.5, target: f64::INFINITY },
        );
        assert!((free.log_growth[0] - 0.4_f64.ln()).abs() < 0.2, "{}", free.log_growth[0]);
        assert!((free.log_growth[40] - 1.6_f64.ln()).abs() < 0.2, "{}", free.log_growth[40]);
        let met = Coupling::new(
            &x,
            &log_a,
            &y,
            2,
            Regularisation { epsilon: 0.3, source: f64::INFINITY, target: f64::INFINITY },
        );
        assert!(met.log_growth.iter().all(|w| w.abs() < 0.01));
        assert!(met.change <= TOLERANCE && met.iterations < MOST_ITERATIONS);
    }
}
