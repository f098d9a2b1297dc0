//! Rows of a plan for states that were not coupled.
//!
//! A state `x` is coupled with column `j` in proportion to `exp(g_j / ε - |x - y_j|² / (2 ε))` [PNW21]. On the way, at the part `s` of the gap,
//! bridges with the noise of the blur that pass through `x` end at `y_j` in proportion to `exp(g_j / ε - |x - y_j|² / (2 ε (1 - s)))`,
//! wherever they began [Leo14].

use super::Kinship;
use chreode_core::Real;
use chreode_linalg::vexp;

/// The columns of a plan and their potentials: what its rows are made of.
#[derive(Debug, Clone)]
pub struct Extension<T> {
    /// Scaled states, a coordinate after the other: `[d, m]`.
    states: Vec<T>,
    /// `g / ε` with the logarithm of the weights, `[m]`.
    log_weights: Vec<T>,
    epsilon: f64,
    /// What clones say of the rows that were coupled.
    kinship: Option<Kinship<T>>,
}

impl<T: Real> Extension<T> {
    /// Of columns `y`, `[m, d]`, as they were coupled at the blur `epsilon`, with their potentials
    /// ([`Coupling::column_potentials`](crate::Coupling::column_potentials)), `[m]`. What is added to a potential is the logarithm of a weight.
    ///
    /// # Panics
    /// If `y` is not `[m, d]`.
    pub fn new(d: usize, y: &[T], potentials: &[T], epsilon: f64) -> Self {
        let m = potentials.len();
        assert_eq!(y.len(), m * d, "a column has a state and a potential");
        let states = (0..d * m).map(|at| y[at % m * d + at / m]).collect();
        Self { states, log_weights: potentials.to_vec(), epsilon, kinship: None }
    }

    /// With what clones say of the rows that were coupled.
    pub(crate) fn among_kin(self, kinship: Option<Kinship<T>>) -> Self {
        Self { kinship, ..self }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.log_weights.len()
    }

    /// Sets the first half of `scratch`, `[2 m]`, to the weights of the columns, the largest one, for the scaled state `x`, `[d]`, at the part
    /// `s` below one of the gap; returns their sum. All are NaN for a state too far away for the number type.
    ///
    /// # Panics
    /// If `scratch` is not `[2 m]`.
    pub fn weights(&self, x: &[T], s: f64, scratch: &mut [T]) -> T {
        self.weights_from(None, x, s, scratch)
    }

    /// The same on bridges from a coupled row, if one is named: by the clone of that, too.
    fn weights_from(&self, row: Option<usize>, x: &[T], s: f64, scratch: &mut [T]) -> T {
        let m = self.log_weights.len();
        assert_eq!(scratch.len(), 2 * m, "weights and work space of the columns");
        let (weight, exponent) = scratch.split_at_mut(m);
        exponent.fill(T::ZERO);
        for (&x, states) in x.iter().zip(self.states.chunks_exact(m)) {
            for (e, &y) in exponent.iter_mut().zip(states) {
                *e += (x - y) * (x - y);
            }
        }
        let factor = T::c(-0.5 / (self.epsilon * (1.0 - s)));
        for (e, &g) in exponent.iter_mut().zip(&self.log_weights) {
            *e = factor * *e + g;
        }
        if let (Some(kinship), Some(row)) = (&self.kinship, row) {
            kinship.add_row(row, T::ONE, exponent);
        }
        let mut top = T::c(f64::NEG_INFINITY);
        for &e in exponent.iter() {
            top = if e > top { e } else { top };
        }
        if !top.is_finite() {
            weight.fill(T::c(f64::NAN));
            return T::c(f64::NAN);
        }
        // Below this a term adds nothing, and no exponential is subnormal.
        let least = T::c(-80.0);
        for e in exponent.iter_mut() {
            let shifted = *e - top;
            *e = if shifted < least { least } else { shifted };
        }
        vexp(exponent, weight);
        weight.iter().copied().sum()
    }

    /// Sets `mean`, `[d]`, to where bridges from row `row` through the scaled state `x` end on average, seen at the part `s` below one of the gap: what a
    /// drift net would learn from single ends, without their scatter; `scratch` is `[2 m]`. Without clones all rows' bridges through `x` end alike.
    pub(crate) fn mean(&self, row: usize, x: &[T], s: f64, scratch: &mut [T], mean: &mut [T]) {
        let total = self.weights_from(Some(row), x, s, scratch);
        let m = self.log_weights.len();
        for (mean, states) in mean.iter_mut().zip(self.states.chunks_exact(m)) {
            *mean = scratch.iter().zip(states).map(|(&w, &y)| w * y).sum::<T>() / total;
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
        let extension = Extension::new(d, &y, coupling.column_potentials(), epsilon);
        let (mut row, mut mean, mut scratch) = (vec![0.0; m], [0.0; 2], vec![0.0; 2 * m]);
        for (i, x) in x.chunks_exact(d).enumerate() {
            coupling.row(i, &mut row);
            let mass: f64 = row.iter().sum();
            extension.mean(i, x, 0.0, &mut scratch, &mut mean);
            for k in 0..d {
                let expected: f64 = row.iter().zip(y.chunks_exact(d)).map(|(p, y)| p * y[k] / mass).sum();
                assert!((mean[k] - expected).abs() < 1e-12, "{i}: {} instead of {expected}", mean[k]);
            }
            extension.mean(i, x, 1.0 - 1e-9, &mut scratch, &mut mean);
            let distance = |y: &[f64]| (y[0] - x[0]).hypot(y[1] - x[1]);
            let nearest = y.chunks_exact(d).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
            assert!((mean[0] - nearest[0]).hypot(mean[1] - nearest[1]) < 1e-9);
        }
    }
}
