//! Where coupled cells are between the two times, and what they count for there.

use super::Coupling;
use chreode_core::{BrownianIncrements, Real};
use rand::{RngExt as _, SeedableRng};
use rand_pcg::Pcg64;

impl<T: Real> Coupling<T> {
    /// Moves the coupled cells `x`, `[n, d]`, to the part `part` of the way to a cell of `y`, `[m, d]`, that is drawn by the mass of their row, and
    /// gives every coordinate normal noise of this variance: a Brownian bridge has `part (1 - part)` times that of the whole gap, displacement
    /// interpolation none. Returns the logarithms of their weights, `[n]`: masses change at a constant rate along the way.
    ///
    /// # Panics
    /// If `x` and `y` are not of the sizes that were coupled.
    pub fn between(&self, d: usize, x: &mut [T], y: &[T], part: f64, variance: f64, seed: u64) -> Vec<T> {
        let (n, m) = (self.rows.len(), self.columns.len());
        assert_eq!((x.len(), y.len()), (n * d, m * d), "the clouds that were coupled");
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut noise = vec![T::ZERO; x.len()];
        if variance > 0.0 {
            BrownianIncrements::new(seed).fill(0, 0, d, variance, &mut noise);
        }
        let mut plan = vec![T::ZERO; m];
        let mut log_weights = Vec::with_capacity(n);
        for (i, (x, noise)) in x.chunks_exact_mut(d).zip(noise.chunks_exact(d)).enumerate() {
            // A row's mass may be below the number type: what it is made of counts, its largest part as one.
            self.log_row(i, &mut plan);
            let top = plan.iter().fold(plan[0], |top, &p| if p > top { p } else { top });
            plan.iter_mut().for_each(|p| *p = (*p - top).exp());
            let mass: f64 = plan.iter().map(|p| p.f64()).sum();
            log_weights.push(T::c(part * (top.f64() + (mass * n as f64).ln())));
            let j = pick(&plan, rng.random::<f64>() * mass);
            for ((x, &noise), &y) in x.iter_mut().zip(noise).zip(&y[j * d..(j + 1) * d]) {
                *x += T::c(part) * (y - *x) + noise;
            }
        }
        log_weights
    }
}

/// The column at which the running sum of a row passes `left`.
fn pick<T: Real>(row: &[T], mut left: f64) -> usize {
    let passed = row.iter().position(|p| {
        left -= p.f64();
        left < 0.0
    });
    passed.unwrap_or(row.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CouplingConfig;

    /// A cell far from all others has a row below the smallest number, and goes to the nearest cell nevertheless, with the weight of its row.
    #[test]
    fn cells_with_hardly_a_descendant_go_where_their_row_says() {
        let x = [0.0_f32, 0.1, 60.0];
        let y = [0.0_f32, 0.1, 0.2];
        let config = CouplingConfig { epsilon: 0.1, relaxation: 2.0, tolerance: 1e-6, iterations: 1000 };
        let coupling = Coupling::solve(1, &x, &[], &y, &config).unwrap();
        let mut row = [0.0; 3];
        coupling.row(2, &mut row);
        assert_eq!(row, [0.0; 3]);
        let mut ends = x;
        let weights = coupling.between(1, &mut ends, &y, 1.0, 0.0, 5);
        assert_eq!(ends[2], 0.2);
        coupling.log_row(2, &mut row);
        assert!(
            (weights[2] - (row[2] + 3.0_f32.ln())).abs() < 1e-3 * weights[2].abs(),
            "{weights:?} {row:?}"
        );
    }

    /// Cells at the end of their way are cells of the end, with the mass of their rows; on the way they have the bridges' noise.
    #[test]
    fn cells_go_where_their_rows_say() {
        let (n, m) = (400, 3);
        let first = vec![0.0_f64; n];
        let y = [-1.0, 1.0, 3.0];
        let config = CouplingConfig { epsilon: 50.0, relaxation: 1.0, tolerance: 1e-9, iterations: 1000 };
        let log_weights: Vec<f64> = (0..n).map(|i| if i < n / 2 { 0.0 } else { 1.0 }).collect();
        let coupling = Coupling::solve(1, &first, &log_weights, &y, &config).unwrap();
        let mut x = first.clone();
        let weights = coupling.between(1, &mut x, &y, 1.0, 0.0, 5);
        // So wide a blur couples all with all.
        for end in y {
            let share = x.iter().filter(|&&x| x == end).count() as f64 / n as f64;
            assert!((share - 1.0 / 3.0).abs() < 0.1, "{share} at {end}");
        }
        let mut row = vec![0.0; m];
        for i in [0, n - 1] {
            coupling.row(i, &mut row);
            assert!((weights[i] - (row.iter().sum::<f64>() * n as f64).ln()).abs() < 1e-12);
        }
        assert!((weights[n - 1] - weights[0] - 1.0).abs() < 1e-9);
        let mut x = first.clone();
        let half = coupling.between(1, &mut x, &y, 0.5, 4.0, 5);
        assert!((half[0] - 0.5 * weights[0]).abs() < 1e-12);
        let mean = x.iter().sum::<f64>() / n as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        // A quarter of the ends' variance of 8/3, and the noise.
        assert!((mean - 0.5).abs() < 0.35 && (variance - 4.67).abs() < 1.2, "{mean} {variance}");
    }
}
