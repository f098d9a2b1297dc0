//! A process with known truth, its snapshots, and a fit: what three of the examples have in common.

use std::sync::atomic::AtomicBool;

use chreode::core::{BrownianIncrements, FieldError, NoiseKind, sub_seed};
use chreode::model::GrowthNet;
use chreode::prelude::*;
use chreode::solve::SolveError;
use chreode::train::{NoObserver, Schedule};

/// Cells that decide between `x = -1` and `x = 1`, pushed by a factor `y`, and noisier before they have decided:
/// `dx = (2x - 2x³ + y) dt + g(x) dW`, `dy = -y dt + 0.5 dW`.
#[derive(Debug, Clone)]
pub(crate) struct Decision;

impl VectorField<f32> for Decision {
    fn dim(&self) -> usize {
        2
    }
    fn eval(&mut self, _t: f64, s: &[f32], _p: &[f32], ds: &mut [f32]) -> Result<(), FieldError> {
        for (ds, s) in ds.chunks_exact_mut(2).zip(s.chunks_exact(2)) {
            ds[0] = 2.0 * (s[0] - s[0].powi(3)) + s[1];
            ds[1] = -s[1];
        }
        Ok(())
    }
}

impl Diffusion<f32> for Decision {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Diagonal
    }
    fn diffusion(&mut self, _t: f64, s: &[f32], _p: &[f32], g: &mut [f32]) -> Result<(), FieldError> {
        for (g, s) in g.chunks_exact_mut(2).zip(s.chunks_exact(2)) {
            g[0] = 0.1 + 0.3 * (-2.0 * s[0] * s[0]).exp();
            g[1] = 0.5;
        }
        Ok(())
    }
}

/// When cells are taken. Early gaps are short: while all cells are still alike, their spread shows the noise. From
/// late snapshots alone, strong noise between the two states would explain them as well as the drift does.
pub(crate) const TIMES: [f64; 7] = [0.0, 0.2, 0.4, 0.7, 1.0, 1.5, 2.5];
/// The time that is never trained on.
pub(crate) const LEFT_OUT: usize = 4;
const CELLS: usize = 5000;

/// `n` undecided cells, `[n, 2]`: `x` with standard deviation 0.15, `y` with its stationary 0.35.
pub(crate) fn progenitors(n: usize, seed: u64) -> Vec<f32> {
    let mut s = vec![0.0_f32; 2 * n];
    BrownianIncrements::new(sub_seed(seed, "progenitors")).fill(0, 0, 2, 0.125, &mut s);
    s.iter_mut().step_by(2).for_each(|x| *x *= 0.15 / 0.125_f32.sqrt());
    s
}

/// Destructive snapshots: every time has cells of its own.
fn snapshots(seed: u64) -> Result<Snapshots<f32>, SolveError> {
    let mut states = Vec::new();
    for (k, &t) in TIMES.iter().enumerate() {
        let seed = sub_seed(seed, &format!("snapshot {k}"));
        let start = progenitors(CELLS, seed);
        states.push(if t > 0.0 {
            let grid = TimeGrid::new(0.0, &[t], 0.02)?;
            simulate(&Decision, &[], &start, &grid, &EnsembleOptions::new(seed))?.states.swap_remove(0)
        } else {
            start
        });
    }
    Ok(Snapshots { dim: 2, times: TIMES.to_vec(), states: States::each(states), ..Snapshots::default() })
}

/// A trainer that is done.
pub(crate) type Fitted = Trainer<f32, NeuralSde<f32>, GrowthNet<f32>>;

/// A neural SDE that was trained on snapshots of [`Decision`], without those of the left-out time.
pub(crate) fn fitted() -> Result<Fitted, Box<dyn std::error::Error>> {
    let mut config = ModelConfig::new(vec![0.0, 0.0], vec![0.8, 0.35]);
    config.drift.hidden = vec![32, 32];
    let sde = NeuralSde::new(config)?;
    let params = sde.init(1);
    let config = TrainConfig {
        steps: 600,
        batch: 256,
        learning_rate: 0.01,
        schedule: Schedule::Cosine { warm_up: 20, over: 600, floor: 0.05 },
        leave_out_times: vec![TIMES[LEFT_OUT]],
        ..TrainConfig::default()
    };
    let mut trainer = Trainer::new(sde, params, snapshots(7)?, config)?;
    let outcome = trainer.run(&mut NoObserver, &AtomicBool::new(false))?;
    println!("fitted in {} steps, {:.1} s", outcome.step, outcome.seconds);
    Ok(trainer)
}
