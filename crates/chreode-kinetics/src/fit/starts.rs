//! Where fits start: a Latin hypercube over the bounds, or over the priors that a problem has for its starts.

use chreode_core::sub_seed;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

use crate::petab::Objective;

/// `n` starts on the parameters' scales: every parameter is drawn once from each `n`-th of its distribution [MBC79].
pub(super) fn latin_hypercube(objective: &Objective, n: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut rng = Pcg64::seed_from_u64(sub_seed(seed, "starts"));
    let mut starts = vec![Vec::with_capacity(objective.n()); n];
    for j in 0..objective.n() {
        let mut part: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            part.swap(i, rng.random_range(0..=i));
        }
        for (start, part) in starts.iter_mut().zip(part) {
            let u = (part as f64 + rng.random::<f64>()) / n as f64;
            start.push(at(objective, j, u));
        }
    }
    starts
}

/// Another start in place of the `i`-th, where the model cannot be run: the `k`-th such.
pub(super) fn another(objective: &Objective, i: usize, k: usize, seed: u64) -> Vec<f64> {
    let mut rng = Pcg64::seed_from_u64(sub_seed(seed, &format!("start {i}, again {k}")));
    (0..objective.n()).map(|j| at(objective, j, rng.random::<f64>())).collect()
}

/// The value that a part `u` of a parameter's distribution lies below, between its bounds.
pub(super) fn at(objective: &Objective, j: usize, u: f64) -> f64 {
    let row = objective.row(j);
    let (low, high) = (row.scale.scaled(row.bounds.0), row.scale.scaled(row.bounds.1));
    let x = match &row.start {
        Some(prior) => prior.quantile(row.scale, u.clamp(1e-12, 1.0 - 1e-12)),
        None => low + u * (high - low),
    };
    // A prior may reach where its scale has no values.
    if x.is_nan() { low } else { x.clamp(low, high) }
}
