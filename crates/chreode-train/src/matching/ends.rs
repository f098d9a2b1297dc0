//! Where the bridges of a coupling end, seen from a point on the way.
//!
//! With the noise of the blur, bridges through `x` at the part `s` of the gap end at `y_j` with chances in proportion to
//! `exp(g_j / ε - |x - y_j|² / (2 ε (1 - s)))`, wherever they began [Leo14]. Their mean is what a drift net
//! would learn from single ends, without the scatter of those.

use chreode_core::Real;
use chreode_linalg::vexp;

/// The end cells of one coupling and their potentials.
#[derive(Debug, Clone)]
pub(crate) struct Ends<T> {
    /// Scaled states, a coordinate after the other: `[d, m]`.
    states: Vec<T>,
    /// `g / ε` with the logarithm of the weights, `[m]`.
    log_weights: Vec<T>,
    epsilon: f64,
}

impl<T: Real> Ends<T> {
    /// The ends `y`, `[m, d]`, scaled, with the column potentials of their coupling, `[m]`.
    pub(crate) fn new(d: usize, y: &[T], log_weights: &[T], epsilon: f64) -> Self {
        let m = log_weights.len();
        let states = (0..d * m).map(|at| y[at % m * d + at / m]).collect();
        Self { states, log_weights: log_weights.to_vec(), epsilon }
    }

    /// Number of end cells.
    pub(crate) fn len(&self) -> usize {
        self.log_weights.len()
    }

    /// Sets `mean`, `[d]`, to where bridges through the scaled state `x` end on average, seen at the part `s` below one of the gap; `scratch`
    /// is `[2 m]`.
    pub(crate) fn mean(&self, x: &[T], s: f64, scratch: &mut [T], mean: &mut [T]) {
        let m = self.log_weights.len();
        let (exponent, weight) = scratch.split_at_mut(m);
        exponent.fill(T::ZERO);
        for (&x, states) in x.iter().zip(self.states.chunks_exact(m)) {
            for (e, &y) in exponent.iter_mut().zip(states) {
                *e += (x - y) * (x - y);
            }
        }
        let factor = T::c(-0.5 / (self.epsilon * (1.0 - s)));
        let mut top = T::c(f64::NEG_INFINITY);
        for (e, &g) in exponent.iter_mut().zip(&self.log_weights) {
            *e = factor * *e + g;
            top = if *e > top { *e } else { top };
        }
        // Below this a term adds nothing, and no exponential is subnormal.
        let least = T::c(-80.0);
        for e in exponent.iter_mut() {
            let shifted = *e - top;
            *e = if shifted < least { least } else { shifted };
        }
        vexp(exponent, weight);
        let total: T = weight.iter().copied().sum();
        for (mean, states) in mean.iter_mut().zip(self.states.chunks_exact(m)) {
            *mean = weight.iter().zip(states).map(|(&w, &y)| w * y).sum::<T>() / total;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Coupling, CouplingConfig};

    /// From a coupled cell, before it has moved, the mean is that of its row of the plan; near the end it is the nearest cell.
    #[test]
    fn means_are_those_of_the_plan() {
        let wave = |n: usize, f: f64| (0..n).map(|i| (i as f64 * f + f).sin()).collect::<Vec<f64>>();
        let (d, n, m, epsilon) = (2, 11, 17, 0.2);
        let (x, y) = (wave(n * d, 1.3), wave(m * d, 0.7));
        let config = CouplingConfig { epsilon, relaxation: 0.5, tolerance: 1e-10, iterations: 10_000 };
        let coupling = Coupling::solve(d, &x, &wave(n, 0.4), &y, &config).unwrap();
        let ends = Ends::new(d, &y, coupling.log_columns(), epsilon);
        let (mut row, mut mean, mut scratch) = (vec![0.0; m], [0.0; 2], vec![0.0; 2 * m]);
        for (i, x) in x.chunks_exact(d).enumerate() {
            coupling.row(i, &mut row);
            let mass: f64 = row.iter().sum();
            ends.mean(x, 0.0, &mut scratch, &mut mean);
            for k in 0..d {
                let expected: f64 = row.iter().zip(y.chunks_exact(d)).map(|(p, y)| p * y[k] / mass).sum();
                assert!((mean[k] - expected).abs() < 1e-12, "{i}: {} instead of {expected}", mean[k]);
            }
            ends.mean(x, 1.0 - 1e-9, &mut scratch, &mut mean);
            let distance = |y: &[f64]| (y[0] - x[0]).hypot(y[1] - x[1]);
            let nearest = y.chunks_exact(d).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
            assert!((mean[0] - nearest[0]).hypot(mean[1] - nearest[1]) < 1e-9);
        }
    }
}
