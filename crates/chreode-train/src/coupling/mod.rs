//! Couplings of two clouds: which cells of one time became which of the next, by unbalanced entropic transport.
//!
//! [`Coupling::solve`] minimises `Σ π C + ε KL(π | a bᵀ) + ρ KL(π 1 | a)` over plans `π` whose column sums are `b`, with
//! `C = |x - y|² / 2` [Chizat, Peyré, Schmitzer & Vialard 2018, Math. Comp. 87, 2563]. Both potentials are updated in the
//! log domain, while `ε` falls from the scale of the costs to its own. Rows are independent and columns too: the same
//! bits for any number of threads.
//! `kinship.rs` says what clones know of it, `extension.rs` has rows for states that were not coupled, `way.rs` the cells between the two times.
//! Not here: drawing the cells, and learning from the couplings (`matching`).

mod extension;
mod kinship;
mod way;

pub use extension::Extension;
pub(crate) use kinship::{Clones, Kinship, Relatives};

use crate::TrainError;
use chreode_core::Real;
use chreode_linalg::vexp;
use rayon::prelude::*;

/// How two clouds are coupled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CouplingConfig {
    /// Entropic blur, in squared units of the states.
    pub epsilon: f64,
    /// Price of a row sum that differs from its weight, in units of the cost; infinite for rows that are kept.
    pub relaxation: f64,
    /// The iterations stop once no row sum moves by more than this part of itself.
    pub tolerance: f64,
    /// Most iterations at the last `ε`.
    pub iterations: usize,
}

/// Least price of growth, in units of the blur: where nothing moves, mass has a price nevertheless.
const LEAST_PRICE: f64 = 1e-3;

impl CouplingConfig {
    /// As fits by matching couple where cells do not grow: row sums are kept.
    pub fn balanced(epsilon: f64) -> Self {
        Self { epsilon, relaxation: f64::INFINITY, tolerance: 1e-3, iterations: 500 }
    }

    /// As they couple where cells grow. Growth is as dear as the way that it saves, whatever the units, the dimension and the gap: a row
    /// sum has `price` times the mean cost of the balanced coupling of the same clouds.
    pub fn open<T: Real>(balanced: &Coupling<T>, epsilon: f64, price: f64) -> Self {
        let cost = balanced.mean_cost(epsilon).max(LEAST_PRICE * epsilon);
        Self { relaxation: price * cost, ..Self::balanced(epsilon) }
    }
}

/// The blur between two times that lie `span` apart, if it is `blur` for the mean gap of `times`, ascending and two at least: one diffusion
/// for all.
pub fn blur_over(blur: f64, span: f64, times: &[f64]) -> f64 {
    let whole = times.last().zip(times.first()).map_or(f64::NAN, |(last, first)| last - first);
    blur * span * times.len().saturating_sub(1) as f64 / whole
}

/// A solved coupling of `n` cells with `m`.
#[derive(Debug, Clone)]
pub struct Coupling<T> {
    /// Row potentials divided by `ε`, with the logarithm of the weights, `[n]`.
    rows: Vec<T>,
    /// The same of the columns, `[m]`.
    columns: Vec<T>,
    /// `C / ε`, `[n, m]`.
    costs: Vec<T>,
    /// Part by which the last iteration moved the row sums.
    pub residual: f64,
    /// Iterations at the last `ε`.
    pub iterations: usize,
}

/// Cells per job of a pass over rows.
const JOB: usize = 16;

impl<T: Real> Coupling<T> {
    /// Couples `x`, `[n, d]`, with weights `exp(log_weights)` (`[n]`, need not be normalised; empty for equal ones) to
    /// equally weighted `y`, `[m, d]`.
    ///
    /// # Errors
    /// [`TrainError::Setting`] for an `ε` or `ρ` that is not above zero, [`TrainError::Length`] for slices that do not fit,
    /// [`TrainError::Coupling`] if potentials are not finite.
    pub fn solve(
        d: usize,
        x: &[T],
        log_weights: &[T],
        y: &[T],
        config: &CouplingConfig,
    ) -> Result<Self, TrainError> {
        Self::solve_among_kin(d, x, log_weights, y, None, config)
    }

    /// The same, where the plan has the odds of `kinship` as factors beside `exp(-C / ε)`: the least of `Σ π C + ε KL(π | a bᵀ κ) + ρ KL(π 1 | a)`.
    ///
    /// # Errors
    /// Those of [`solve`](Self::solve).
    pub(crate) fn solve_among_kin(
        d: usize,
        x: &[T],
        log_weights: &[T],
        y: &[T],
        kinship: Option<&Kinship<T>>,
        config: &CouplingConfig,
    ) -> Result<Self, TrainError> {
        for (name, value) in
            [("matching.epsilon", config.epsilon), ("matching.relaxation", config.relaxation)]
        {
            if !(value > 0.0) || (name == "matching.epsilon" && value.is_infinite()) {
                return Err(TrainError::Setting { name, value, rule: "must be above zero" });
            }
        }
        let (n, m) = (x.len() / d.max(1), y.len() / d.max(1));
        for (what, got, expected) in [
            ("states to couple", x.len(), n.max(1) * d.max(1)),
            ("states to couple with", y.len(), m.max(1) * d.max(1)),
            ("log-weights to couple", log_weights.len(), if log_weights.is_empty() { 0 } else { n }),
        ] {
            if got != expected {
                return Err(TrainError::Length { what, got, expected });
            }
        }
        let mut log_a = vec![T::ZERO; n];
        crate::normalise_log_weights(log_weights, &mut log_a)?;
        log_a.iter_mut().for_each(|a| *a = a.ln());
        let log_b = T::c(-(m as f64).ln());

        let cost = |i: usize, j: usize| -> T {
            let mut sum = T::ZERO;
            for (&a, &b) in x[i * d..(i + 1) * d].iter().zip(&y[j * d..(j + 1) * d]) {
                sum += (a - b) * (a - b);
            }
            sum * T::c(0.5)
        };
        let mut costs = vec![T::ZERO; n * m];
        costs.par_chunks_mut(m).enumerate().for_each(|(i, row)| {
            row.iter_mut().enumerate().for_each(|(j, c)| *c = cost(i, j));
            if let Some(kinship) = kinship {
                kinship.add_row(i, T::c(-config.epsilon), row);
            }
        });
        let mut turned = vec![T::ZERO; n * m];
        turned.par_chunks_mut(n).enumerate().for_each(|(j, row)| {
            row.iter_mut().enumerate().for_each(|(i, c)| *c = costs[i * m + j]);
        });
        let largest = costs
            .par_chunks(m)
            .map(|row| row.iter().fold(0.0, |s: f64, c| s.max(c.f64())))
            .reduce(|| 0.0, f64::max);

        if !largest.is_finite() {
            return Err(TrainError::Coupling { residual: largest, iterations: 0 });
        }
        // Potentials in units of the cost; the work space holds one row of exponents a job.
        let (mut f, mut g) = (vec![T::ZERO; n], vec![T::ZERO; m]);
        let (mut next, mut offset) = (vec![T::ZERO; n.max(m)], vec![T::ZERO; n.max(m)]);
        let mut scratch = vec![T::ZERO; 2 * n.max(m) * n.max(m).div_ceil(JOB)];
        let mut epsilon = (0.25 * largest).max(config.epsilon);
        let mut iterations = 0;
        let residual = loop {
            let last = epsilon <= config.epsilon;
            let inv = T::c(1.0 / epsilon);
            let damping = if config.relaxation.is_finite() {
                config.relaxation / (config.relaxation + epsilon)
            } else {
                1.0
            };
            // f first, then g: the columns, which are kept, are exact at the end.
            for (o, &g) in offset.iter_mut().zip(&g) {
                *o = g * inv + log_b;
            }
            soft_max(&costs, &offset[..m], inv, &mut scratch, &mut next[..n]);
            let mut moved = 0.0_f64;
            for (f, s) in f.iter_mut().zip(&next) {
                let new = T::c(-damping * epsilon) * *s;
                // Not `max`: what is not a number must stay.
                let by = (new - *f).f64().abs();
                moved = if by <= moved { moved } else { by };
                *f = new;
            }
            for ((o, &f), &a) in offset.iter_mut().zip(&f).zip(&log_a) {
                *o = f * inv + a;
            }
            soft_max(&turned, &offset[..n], inv, &mut scratch, &mut next[..m]);
            for (g, s) in g.iter_mut().zip(&next) {
                *g = T::c(-epsilon) * *s;
            }
            if last {
                iterations += 1;
                let residual = moved / epsilon;
                if !residual.is_finite() {
                    return Err(TrainError::Coupling { residual, iterations });
                }
                if residual <= config.tolerance || iterations >= config.iterations {
                    break residual;
                }
            } else {
                epsilon = (0.5 * epsilon).max(config.epsilon);
            }
        };
        let inv = T::c(1.0 / config.epsilon);
        f.iter_mut().zip(&log_a).for_each(|(f, &a)| *f = *f * inv + a);
        g.iter_mut().for_each(|g| *g = *g * inv + log_b);
        costs.par_iter_mut().for_each(|c| *c *= inv);
        Ok(Self { rows: f, columns: g, costs, residual, iterations })
    }

    /// The same of the rows, `[n]`.
    pub(crate) fn row_potentials(&self) -> &[T] {
        &self.rows
    }

    /// Mean cost of what the plan moves, in units of the cost.
    pub fn mean_cost(&self, epsilon: f64) -> f64 {
        let m = self.columns.len();
        let mut plan = vec![T::ZERO; m];
        let (mut cost, mut mass) = (0.0, 0.0);
        for (i, costs) in self.costs.chunks_exact(m).enumerate() {
            self.row(i, &mut plan);
            for (p, c) in plan.iter().zip(costs) {
                cost += p.f64() * c.f64();
                mass += p.f64();
            }
        }
        epsilon * cost / mass.max(f64::MIN_POSITIVE)
    }

    /// The potentials of the columns divided by `ε`, with the logarithm of their weights, `[m]`: a cell at `x` that is not among the
    /// rows is coupled with column `j` in proportion to `exp(potential_j - C(x, y_j) / ε)`.
    pub fn column_potentials(&self) -> &[T] {
        &self.columns
    }

    /// Sets `plan`, `[m]`, to row `i` of the plan; all rows sum to one.
    ///
    /// # Panics
    /// If there is no such row or `plan` is not `[m]`.
    pub fn row(&self, i: usize, plan: &mut [T]) {
        self.log_row(i, plan);
        plan.iter_mut().for_each(|p| *p = p.exp());
    }

    /// Sets `plan`, `[m]`, to the logarithms of row `i` of the plan: finite also where the row's mass is below the number type's.
    ///
    /// # Panics
    /// If there is no such row or `plan` is not `[m]`.
    pub fn log_row(&self, i: usize, plan: &mut [T]) {
        let m = self.columns.len();
        let (costs, f) = (&self.costs[i * m..(i + 1) * m], self.rows[i]);
        assert_eq!(plan.len(), m, "a row of the plan has as many entries as there are columns");
        for ((p, &c), &g) in plan.iter_mut().zip(costs).zip(&self.columns) {
            *p = f + g - c;
        }
    }
}

/// `out_i = ln Σ_j exp(offset_j - C_ij / ε)`.
fn soft_max<T: Real>(costs: &[T], offset: &[T], inv: T, scratch: &mut [T], out: &mut [T]) {
    let m = offset.len();
    out.par_chunks_mut(JOB).zip(costs.par_chunks(JOB * m)).zip(scratch.par_chunks_mut(2 * m)).for_each(
        |((out, costs), scratch)| {
            let (exponent, value) = scratch.split_at_mut(m);
            for (out, row) in out.iter_mut().zip(costs.chunks_exact(m)) {
                for ((e, &c), &o) in exponent.iter_mut().zip(row).zip(offset) {
                    *e = o - c * inv;
                }
                // Eight lanes: the largest and the sum do not wait for one another.
                let mut top = [exponent[0]; 8];
                for part in exponent.chunks(8) {
                    for (t, &e) in top.iter_mut().zip(part) {
                        *t = if e > *t { e } else { *t };
                    }
                }
                let top = top.iter().fold(top[0], |t, &e| if e > t { e } else { t });
                // Below this a term adds nothing, and no exponential is subnormal.
                let least = T::c(-80.0);
                for e in exponent.iter_mut() {
                    let shifted = *e - top;
                    *e = if shifted < least { least } else { shifted };
                }
                vexp(exponent, value);
                let mut sum = [T::ZERO; 8];
                for part in value.chunks(8) {
                    for (s, &v) in sum.iter_mut().zip(part) {
                        *s += v;
                    }
                }
                *out = top + sum.iter().fold(T::ZERO, |s, &v| s + v).ln();
            }
        },
    );
}
