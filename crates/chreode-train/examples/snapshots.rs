//! Fits a neural SDE to snapshots of a two-dimensional process and compares what it predicts with cells that it
//! never saw. Run with `cargo run --release -p chreode-train --example snapshots`.

use chreode_core::{BrownianIncrements, sub_seed};
use chreode_model::{DriftConfig, ModelConfig, NeuralSde};
use chreode_train::{
    Comparison, LossConfig, NoObserver, Schedule, Snapshots, States, TrainConfig, Trainer, distance_to_time,
    sampling_floor,
};
use std::sync::atomic::AtomicBool;

/// Cells that leave a saddle towards one of two fates, `(±1.5, 1)`; every cell is seen once.
fn cells(times: &[f64], n: usize) -> Snapshots<f32> {
    let simulate = |k: usize, t: f64| {
        let noise = BrownianIncrements::new(sub_seed(7, &format!("time {k}")));
        let mut y = vec![0.0_f32; 2 * n];
        noise.fill(0, 0, 2, 0.04, &mut y);
        let (steps, mut dw) = ((t / 0.02) as u64, vec![0.0_f32; 2 * n]);
        for step in 1..=steps {
            noise.fill(step, 0, 2, 0.02, &mut dw);
            for (y, dw) in y.chunks_exact_mut(2).zip(dw.chunks_exact(2)) {
                let f = [2.0 * y[0] * (1.0 - y[0] * y[0] / 2.25), 1.0 - y[1]];
                y[0] += 0.02 * f[0] + 0.4 * dw[0];
                y[1] += 0.02 * f[1] + 0.2 * dw[1];
            }
        }
        y
    };
    Snapshots {
        dim: 2,
        times: times.to_vec(),
        states: States::each(times.iter().enumerate().map(|(k, &t)| simulate(k, t))),
        ..Snapshots::default()
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = cells(&[0.0, 0.5, 1.0, 1.5, 2.0], 1000);
    let sde = NeuralSde::<f32>::new(ModelConfig {
        time_scale: 1.0,
        shift: vec![0.0, 0.5],
        scale: vec![1.0, 0.5],
        drift: DriftConfig { hidden: vec![32, 32], ..DriftConfig::default() },
        diffusion: chreode_model::DiffusionConfig::default(),
        growth: None,
        times: None,
    })?;
    let params = sde.init(1);
    let config = TrainConfig {
        steps: 400,
        batch: 256,
        learning_rate: 5e-3,
        schedule: Schedule::Cosine { warm_up: 20, over: 400, floor: 0.05 },
        leave_out_times: vec![1.0],
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(sde, params.clone(), data, config)?;
    let outcome = trainer.run(&mut NoObserver, &AtomicBool::new(false))?;
    println!("{} steps in {:.1} s, best at step {}", outcome.step, outcome.seconds, outcome.best_step);

    // How far are predicted cells from those of the time that was left out?
    let comparison = Comparison {
        loss: LossConfig::default(),
        inverse_scale: trainer.inverse_scale(),
        cells: 500,
        seed: 3,
    };
    let left_out = trainer.left_out_times()[0];
    let floor = sampling_floor(&trainer.data().states[left_out], 2, &comparison, 50)?;
    println!("two samples of the true cells: {:.4} ± {:.4}", floor.mean, floor.sd);
    for (name, p) in [("before training", &params[..]), ("after", trainer.best_params())] {
        let distance =
            distance_to_time(trainer.model(), p, trainer.data(), 1, left_out, 0.1, false, &comparison)?;
        println!("{name}: {distance:.4}");
    }
    Ok(())
}
