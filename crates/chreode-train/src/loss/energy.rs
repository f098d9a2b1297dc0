//! Energy distance between weighted clouds.
//!
//! `E(X, Y) = 2 E|X - Y| - E|X - X'| - E|Y - Y'|`, with Euclidean distances. Zero if and only if the
//! distributions agree, and its unbiased form has unbiased gradients in minibatches, which Sinkhorn
//! divergences have not. Distances are smooth at zero: `|r|` is `sqrt(r² + δ²) - δ` with `δ = 1e-6`.
//! References: [SR13] Székely & Rizzo (2013), J. Stat. Plan. Inference 143, 1249-1272.

use super::cloud::{Cloud, CloudBar, Weights, check_finite, normalise_log_weights_vjp};
use super::error::{LossError, check_len};
use super::pairwise::{BLOCK, Columns, LANES, ROWS, set_lanes, weighted_sums};
use chreode_core::Real;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How the two self-terms are averaged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Over pairs of different points: the U-statistic `Σ_{i≠j} a_i a_j r_ij / (1 - Σ a_i²)`. Its mean is the
    /// energy distance of the distributions; a value can be negative.
    #[default]
    Unbiased,
    /// Over all pairs, a point with itself included: the V-statistic. Never negative; too large by about
    /// `E|X - X'| / n + E|Y - Y'| / m`.
    Biased,
}

const DELTA: f64 = 1e-6;

/// Energy distance with its work space: call it with clouds of any size.
#[derive(Debug, Clone)]
pub struct EnergyDistance<T> {
    d: usize,
    statistic: Statistic,
    weights: Weights<T>,
    columns: Columns<T>,
    lanes: Vec<[T; LANES]>,
    scratch: Vec<[T; LANES]>,
    cross: Vec<T>,
    own: Vec<T>,
    pull: Vec<T>,
}

impl<T: Real> EnergyDistance<T> {
    /// For points of `d >= 1` coordinates.
    ///
    /// # Errors
    /// [`LossError::Setting`] if `d` is zero.
    pub fn new(d: usize, statistic: Statistic) -> Result<Self, LossError> {
        if d == 0 {
            return Err(LossError::Setting { name: "d", value: 0.0, rule: "must be at least 1" });
        }
        Ok(Self {
            d,
            statistic,
            weights: Weights::default(),
            columns: Columns::default(),
            lanes: Vec::new(),
            scratch: Vec::new(),
            cross: Vec::new(),
            own: Vec::new(),
            pull: Vec::new(),
        })
    }

    /// The distance between `x` and `y`; sets `x_bar` to its gradient if one is given.
    ///
    /// Cost `O((n + m)² d)`, memory `O((n + m) d)`.
    ///
    /// # Errors
    /// [`LossError::Length`] if a shape does not fit, [`LossError::TooFewPoints`] if the unbiased form meets a
    /// cloud of one point, [`LossError::NonFinite`] naming the first bad row.
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
        let norm_a = self_norm(self.statistic, &self.weights.a)?;
        let norm_b = self_norm(self.statistic, &self.weights.b)?;
        let jobs = n.max(m).div_ceil(BLOCK);
        self.scratch.resize(jobs * ROWS * d, [T::ZERO; LANES]);
        self.cross.resize(n, T::ZERO);
        self.own.resize(n.max(m), T::ZERO);
        self.pull.resize(if with_grad { n * d } else { 0 }, T::ZERO);

        // Own term of y: a value only.
        self.columns.set(y.states, d);
        set_lanes(&self.weights.b, &mut self.lanes);
        self.row_sums(y.states, Target::Own);
        let own_y = weighted_total(&self.weights.b, &self.own[..m]) / norm_b;
        // Between x and y; the columns are still those of y.
        self.row_sums(x.states, Target::Cross(bar));
        let cross = weighted_total(&self.weights.a, &self.cross);
        // Own term of x.
        self.columns.set(x.states, d);
        set_lanes(&self.weights.a, &mut self.lanes);
        self.row_sums(x.states, if with_grad { Target::OwnPull } else { Target::Own });
        let raw_x = weighted_total(&self.weights.a, &self.own[..n]);
        let own_x = raw_x / norm_a;

        let value = 2.0 * cross - own_x - own_y;
        if with_grad {
            let inv = T::c(1.0 / norm_a);
            for ((bar, pull), &a) in
                bar.chunks_exact_mut(d).zip(self.pull.chunks_exact(d)).zip(&self.weights.a)
            {
                let two_a = a + a;
                for (b, &p) in bar.iter_mut().zip(pull) {
                    *b = two_a * (*b - p * inv);
                }
            }
        }
        if !weight_bar.is_empty() {
            let unbiased = if self.statistic == Statistic::Unbiased { own_x / norm_a } else { 0.0 };
            for (i, b) in weight_bar.iter_mut().enumerate() {
                let own = self.own[i].f64() / norm_a + self.weights.a[i].f64() * unbiased;
                *b = T::c(2.0 * (self.cross[i].f64() - own));
            }
            normalise_log_weights_vjp(&self.weights.a, weight_bar);
        }
        check_finite(value, d, x.states, y.states, bar)?;
        Ok(value)
    }

    /// Sums over the columns for each row of `x`.
    fn row_sums(&mut self, x: &[T], target: Target<'_, T>) {
        let (d, columns, lanes) = (self.d, &self.columns, &self.lanes);
        let n = x.len() / d;
        let (sums, pull): (&mut [T], &mut [T]) = match target {
            Target::Cross(bar) => (&mut self.cross[..n], bar),
            Target::Own => (&mut self.own[..n], &mut []),
            Target::OwnPull => (&mut self.own[..n], &mut self.pull),
        };
        let jobs = x
            .par_chunks(BLOCK * d)
            .zip(sums.par_chunks_mut(BLOCK))
            .zip(self.scratch.par_chunks_mut(ROWS * d));
        if pull.is_empty() {
            jobs.for_each(|((x, sums), scratch)| block(x, columns, lanes, scratch, sums, &mut []));
        } else {
            jobs.zip(pull.par_chunks_mut(BLOCK * d))
                .for_each(|(((x, sums), scratch), pull)| block(x, columns, lanes, scratch, sums, pull));
        }
    }
}

/// Where the sums over pairs go.
enum Target<'a, T> {
    /// Between the clouds, with the pull into the caller's gradient.
    Cross(&'a mut [T]),
    /// Within a cloud, distances only.
    Own,
    /// Within a cloud, with the pull.
    OwnPull,
}

/// One block of rows: `sums_i = Σ_j w_j |x_i - y_j|`, `pull_i = Σ_j w_j (x_i - y_j) / |x_i - y_j|`.
fn block<T: Real>(
    x: &[T],
    columns: &Columns<T>,
    weights: &[[T; LANES]],
    scratch: &mut [[T; LANES]],
    sums: &mut [T],
    pull: &mut [T],
) {
    let (delta, delta2) = (T::c(DELTA), T::c(DELTA * DELTA));
    weighted_sums(x, columns, scratch, sums, pull, |_, g, r2| {
        let w = &weights[g];
        let (mut s, mut v) = ([T::ZERO; LANES], [T::ZERO; LANES]);
        for l in 0..LANES {
            let r = (r2[l] + delta2).sqrt();
            s[l] = w[l] * (r - delta);
            v[l] = w[l] / r;
        }
        (s, v)
    });
}

/// What the sum over pairs within a cloud is divided by: `1 - Σ a²`, or one.
fn self_norm<T: Real>(statistic: Statistic, a: &[T]) -> Result<f64, LossError> {
    if statistic == Statistic::Biased {
        return Ok(1.0);
    }
    let squares: f64 = a.iter().map(|w| w.f64() * w.f64()).sum();
    if 1.0 - squares < 1e-6 {
        return Err(LossError::TooFewPoints { n: a.len(), effective: 1.0 / squares });
    }
    Ok(1.0 - squares)
}

fn weighted_total<T: Real>(a: &[T], rows: &[T]) -> f64 {
    a.iter().zip(rows).map(|(a, r)| a.f64() * r.f64()).sum()
}
