//! A neural SDE learned from destructive snapshots of a process whose truth is known.
//!
//! Every cell is seen once. One time is left out; predicted cells of that time are compared with the true ones,
//! beside what no model could improve on: the distance between two samples of the truth.
//! `cargo run --release -p chreode --example neural_sde`

mod shared;

use chreode::prelude::*;
use chreode::train::{Comparison, LossConfig, Model, distance_to_time, sampling_floor};
use shared::{Decision, LEFT_OUT, TIMES, fitted};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let trainer = fitted()?;
    let (model, data, p) = (trainer.model(), trainer.data(), trainer.best_params());
    let untrained = model.sde.init(1);

    println!("\nenergy distance to the cells of time {}, which the fit never saw", TIMES[LEFT_OUT]);
    let comparison = Comparison {
        loss: LossConfig::default(),
        inverse_scale: trainer.inverse_scale(),
        cells: 500,
        seed: 3,
    };
    let floor = sampling_floor(&data.states[LEFT_OUT], 2, &comparison, 100)?;
    println!("  two samples of the truth  {:8.4} ± {:.4}", floor.mean, floor.sd);
    let from = |start| -> Result<[f64; 3], Box<dyn std::error::Error>> {
        let truth = Model::new(Decision);
        Ok([
            distance_to_time(&truth, &[], data, start, LEFT_OUT, 0.02, false, &comparison)?,
            distance_to_time(model, p, data, start, LEFT_OUT, 0.05, false, &comparison)?,
            distance_to_time(model, &untrained, data, start, LEFT_OUT, 0.05, false, &comparison)?,
        ])
    };
    for (start, name) in [(0, "the start"), (LEFT_OUT - 1, "the time before")] {
        let distances = from(start)?;
        println!("  from {name}:");
        for (row, d) in ["true equation", "learned", "untrained"].into_iter().zip(distances) {
            println!("    {row:<22}  {d:8.4}  {:+7.1} sd from the floor", (d - floor.mean) / floor.sd);
        }
        let [_, learned, untrained] = distances;
        assert!(learned < 0.1 * untrained, "from {name} the fit must be far better than no fit");
        assert!(learned < floor.mean + 10.0 * floor.sd, "from {name} the fit must be near the floor");
    }

    println!("\n  x      drift of x       noise of x        (truth, learned; y = 0)");
    let mut sde = model.sde.clone();
    let states: Vec<f32> = [-1.0, -0.5, 0.0, 0.5, 1.0].into_iter().flat_map(|x| [x, 0.0]).collect();
    let (mut f, mut g, mut f_true, mut g_true) = ([0.0; 10], [0.0; 10], [0.0; 10], [0.0; 10]);
    sde.drift_and_diffusion(0.0, &states, p, &mut f, &mut g)?;
    Decision.drift_and_diffusion(0.0, &states, &[], &mut f_true, &mut g_true)?;
    for i in (0..10).step_by(2) {
        println!("{:5.1} {:8.2} {:7.2}  {:8.2} {:7.2}", states[i], f_true[i], f[i], g_true[i], g[i]);
    }
    assert!(f[2] < 0.0 && f[6] > 0.0, "cells leave the middle");
    assert!(g[4] > 1.3 * g[0].max(g[8]), "undecided cells are noisier than decided ones");
    Ok(())
}
