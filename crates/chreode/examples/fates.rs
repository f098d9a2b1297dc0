//! Fates of single cells by a neural SDE that never saw a label or a path, beside their true probabilities.
//! `cargo run --release -p chreode --example fates`

mod shared;

use chreode::cells::Labels;
use chreode::prelude::*;
use shared::{Decision, TIMES, fitted, progenitors};

const PATHS: usize = 1000;

/// The true probability of ending right, for each of `start`, `[n, 2]`.
fn true_right(start: &[f32], until: f64) -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    let repeated: Vec<f32> = start.chunks_exact(2).flat_map(|cell| cell.repeat(PATHS)).collect();
    let grid = TimeGrid::new(0.0, &[until], 0.02)?;
    let ends = simulate(&Decision, &[], &repeated, &grid, &EnsembleOptions::new(11))?;
    let right = |cell: &[f32]| cell.iter().step_by(2).filter(|x| **x > 0.0).count() as f64 / PATHS as f64;
    Ok(ends.states[0].chunks_exact(2 * PATHS).map(right).collect())
}

/// Mean cross-entropy in nats of probabilities `q` where `p` is true.
fn cross_entropy(p: &[f64], q: impl Fn(usize) -> f64) -> f64 {
    let cell = |(i, p): (usize, &f64)| -p * q(i).ln() - (1.0 - p) * (1.0 - q(i)).ln();
    p.iter().enumerate().map(cell).sum::<f64>() / p.len() as f64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let trainer = fitted()?;
    let until = TIMES[TIMES.len() - 1];

    // Cells of the last time carry the labels that fates are read by.
    let ends = &trainer.data().states[TIMES.len() - 1].all(2)?;
    let names: Vec<&str> = ends.chunks_exact(2).map(|s| if s[0] > 0.0 { "right" } else { "left" }).collect();
    let readout = LabelReadout::new(ends, 2, &Labels::from_text(&names), None)?;
    println!("labels are read off the {}, log-loss {:.3} nats", readout.quality().told(), readout.log_loss());

    // Five cells on a line, then 100 progenitors as they come.
    let mut start: Vec<f32> = [-0.5, -0.2, 0.0, 0.2, 0.5].into_iter().flat_map(|x| [x, 0.0]).collect();
    start.extend(progenitors(100, 21));
    let (model, p) = (&trainer.model().sde, trainer.best_params());
    let rollout = Rollout { model, p, dt: 0.05, paths: PATHS, seed: 5, clamp: None, place: None };
    let fates = Fates::predict(&rollout, &readout, &start, 0.0, until)?;
    let truth = true_right(&start, until)?;

    println!("\n    x   P(right) true  learned   entropy");
    for i in 0..5 {
        println!("{:5.1} {:15.3} {:8.3} {:9.3}", start[2 * i], truth[i], fates.of(i)[1], fates.entropy(i));
    }
    assert!((0..5).all(|i| fates.entropy(i) <= fates.entropy(2)), "the cell between is the least certain");

    let truth = &truth[5..];
    let base = truth.iter().sum::<f64>() / truth.len() as f64;
    let model = cross_entropy(truth, |i| fates.of(5 + i)[1]);
    let base_rate = cross_entropy(truth, |_| base);
    // A fraction of 0 or 1 among the paths is no certainty.
    let oracle = cross_entropy(truth, |i| truth[i].clamp(0.5 / PATHS as f64, 1.0 - 0.5 / PATHS as f64));
    println!("\ncross-entropy of 100 progenitors: {model:.3} nats");
    println!("base rate {base_rate:.3}, true probabilities {oracle:.3}");
    assert!(model < oracle + 0.4 * (base_rate - oracle), "most of what can be known is known");
    Ok(())
}
