//! Sliced Wasserstein distance: the mean transport cost between the clouds' shadows on many lines.
//!
//! On a line the cheapest transport moves mass in order, so a projection costs two sorts [Bonneel et al. 2015, J. Math. Imaging
//! Vis. 51, 22-45]. The directions are drawn once, from a seed. Values are `|x - y|² / 2` or `|x - y|` along the line: for clouds
//! that differ by a shift `s`, `|s|² / (2 d)`.

use super::cloud::{Cloud, CloudBar, Weights, check_finite, normalise_log_weights_vjp};
use super::error::{LossError, check_len};
use super::sinkhorn::Cost;
use chreode_core::{BrownianIncrements, Real};
use chreode_linalg::{GemmScratch, Transpose, gemm};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Settings of a [`SlicedWasserstein`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SlicedConfig {
    /// The cost along a line.
    pub cost: Cost,
    /// Number of lines.
    pub projections: usize,
    /// Seed of their directions.
    pub seed: u64,
}

impl Default for SlicedConfig {
    /// `|x - y|²/2` on 128 lines, seed 0.
    fn default() -> Self {
        Self { cost: Cost::HalfSquare, projections: 128, seed: 0 }
    }
}

/// Rows of one product.
const ROWS: usize = 128;

/// Sliced Wasserstein distance with its work space: call it with clouds of any size.
#[derive(Debug, Clone)]
pub struct SlicedWasserstein<T> {
    d: usize,
    cost: Cost,
    /// Unit vectors, `[projections, d]`.
    directions: Vec<T>,
    weights: Weights<T>,
    lines: Vec<Line<T>>,
    /// Derivatives by the shadows, `[projections, n]`.
    slopes: Vec<T>,
    scratch: Vec<Product<T>>,
}

/// Work space of one line.
#[derive(Clone)]
struct Line<T> {
    x: Vec<T>,
    y: Vec<T>,
    x_order: Vec<u32>,
    y_order: Vec<u32>,
    value: f64,
    /// Dual potential of the first cloud.
    potential: Vec<f64>,
    scratch: GemmScratch<T>,
}

impl<T> std::fmt::Debug for Line<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// Work space of a product.
#[derive(Clone)]
struct Product<T>(Vec<T>, GemmScratch<T>);

impl<T> std::fmt::Debug for Product<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Product").finish_non_exhaustive()
    }
}

impl<T: Real> SlicedWasserstein<T> {
    /// For points of `d >= 1` coordinates.
    ///
    /// # Errors
    /// [`LossError::Setting`] if `d` or the number of projections is zero.
    pub fn new(d: usize, config: SlicedConfig) -> Result<Self, LossError> {
        for (name, value) in [("d", d), ("projections", config.projections)] {
            if value == 0 {
                return Err(LossError::Setting { name, value: 0.0, rule: "must be at least 1" });
            }
        }
        let mut normals = vec![0.0; config.projections * d];
        BrownianIncrements::new(config.seed).fill(0, 0, 1, 1.0, &mut normals);
        let mut directions = Vec::with_capacity(normals.len());
        for v in normals.chunks_exact(d) {
            let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            directions.extend(v.iter().map(|v| T::c(v / norm)));
        }
        let line = Line {
            x: Vec::new(),
            y: Vec::new(),
            x_order: Vec::new(),
            y_order: Vec::new(),
            value: 0.0,
            potential: Vec::new(),
            scratch: GemmScratch::new(),
        };
        Ok(Self {
            d,
            cost: config.cost,
            directions,
            weights: Weights::default(),
            lines: vec![line; config.projections],
            slopes: Vec::new(),
            scratch: Vec::new(),
        })
    }

    /// The distance between `x` and `y`; sets `x_bar` to its gradient if one is given.
    ///
    /// Where two shadows or two sums of weights coincide the distance has a kink, and the gradient is one of its sides.
    /// Cost `O(projections (n + m) (d + log(n + m)))`.
    ///
    /// # Errors
    /// [`LossError::Length`] if a shape does not fit, [`LossError::Empty`], [`LossError::NonFinite`] naming the first bad row.
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
        for (what, bar, len) in
            [("gradient to the states", &*bar, n * d), ("gradient to the log-weights", &*weight_bar, n)]
        {
            if !bar.is_empty() {
                check_len(what, bar.len(), len)?;
            }
        }
        check_finite(0.0, d, x.states, y.states, x.states)?;
        check_finite(0.0, d, x.states, y.states, y.states)?;
        let count = self.lines.len();
        self.slopes.resize(count * n, T::ZERO);
        let (a, b, cost) = (&self.weights.a[..], &self.weights.b[..], self.cost);
        self.lines
            .par_iter_mut()
            .zip(self.directions.par_chunks(d))
            .zip(self.slopes.par_chunks_mut(n))
            .for_each(|((line, direction), slopes)| {
                line.x.resize(n, T::ZERO);
                line.y.resize(m, T::ZERO);
                gemm((1, n, d), Transpose::B, direction, x.states, false, &mut line.x, &mut line.scratch);
                gemm((1, m, d), Transpose::B, direction, y.states, false, &mut line.y, &mut line.scratch);
                line.transport(cost, a, b, slopes);
            });
        let value = self.lines.iter().map(|l| l.value).sum::<f64>() / count as f64;
        if !bar.is_empty() {
            self.scratch.resize_with(n.div_ceil(ROWS), || Product(Vec::new(), GemmScratch::new()));
            let (slopes, directions, share) = (&self.slopes, &self.directions, T::c(1.0 / count as f64));
            bar.par_chunks_mut(ROWS * d).zip(&mut self.scratch).enumerate().for_each(
                |(k, (bar, product))| {
                    let (first, rows) = (k * ROWS, bar.len() / d);
                    let Product(block, scratch) = product;
                    block.clear();
                    for line in slopes.chunks_exact(n) {
                        block.extend(line[first..first + rows].iter().map(|&s| s * share));
                    }
                    gemm((rows, d, count), Transpose::A, block, directions, false, bar, scratch);
                },
            );
        }
        if !weight_bar.is_empty() {
            for (i, bar) in weight_bar.iter_mut().enumerate() {
                *bar = T::c(self.lines.iter().map(|l| l.potential[i]).sum::<f64>() / count as f64);
            }
            normalise_log_weights_vjp(a, weight_bar);
        }
        check_finite(value, d, x.states, y.states, bar)?;
        Ok(value)
    }
}

/// The positions in ascending order of their values, equal ones in their own order.
fn sort<T: Real>(values: &[T], order: &mut Vec<u32>) {
    order.clear();
    order.extend(0..values.len() as u32);
    order.sort_unstable_by(|&i, &j| {
        let (p, q) = (values[i as usize].f64(), values[j as usize].f64());
        p.total_cmp(&q).then(i.cmp(&j))
    });
}

impl<T: Real> Line<T> {
    /// Moves mass in order; sets the value, the derivatives by the shadows of the first cloud and its potential.
    fn transport(&mut self, cost: Cost, a: &[T], b: &[T], slopes: &mut [T]) {
        sort(&self.x, &mut self.x_order);
        sort(&self.y, &mut self.y_order);
        let (n, m) = (a.len(), b.len());
        self.potential.resize(n, 0.0);
        let at = |p: usize, q: usize| {
            let (i, j) = (self.x_order[p] as usize, self.y_order[q] as usize);
            let e = self.x[i].f64() - self.y[j].f64();
            match cost {
                Cost::HalfSquare => (0.5 * e * e, e),
                Cost::Distance => (e.abs(), if e == 0.0 { 0.0 } else { e.signum() }),
            }
        };
        let (sum_a, sum_b): (f64, f64) = (a.iter().map(|a| a.f64()).sum(), b.iter().map(|b| b.f64()).sum());
        let weight = |order: &[u32], w: &[T], sum: f64, k: usize| w[order[k] as usize].f64() / sum;
        let (mut p, mut q, mut value, mut slope) = (0, 0, 0.0, 0.0);
        let (mut left, mut lacks) = (weight(&self.x_order, a, sum_a, 0), weight(&self.y_order, b, sum_b, 0));
        // Potentials along the staircase of pairs: each step leaves one of the two points as it is.
        let (mut f, mut g) = (at(0, 0).0, 0.0);
        loop {
            let mass = left.min(lacks);
            let (c, e) = at(p, q);
            value += mass * c;
            slope += mass * e;
            left -= mass;
            lacks -= mass;
            let last = (p + 1 == n, q + 1 == m);
            if !last.0 && (last.1 || left <= lacks) {
                let i = self.x_order[p] as usize;
                (slopes[i], self.potential[i]) = (T::c(slope), f);
                (p, slope) = (p + 1, 0.0);
                left = weight(&self.x_order, a, sum_a, p);
                f = at(p, q).0 - g;
            } else if !last.1 {
                q += 1;
                lacks = weight(&self.y_order, b, sum_b, q);
                g = at(p, q).0 - f;
            } else {
                let i = self.x_order[p] as usize;
                (slopes[i], self.potential[i]) = (T::c(slope), f);
                break;
            }
        }
        self.value = value;
    }
}
