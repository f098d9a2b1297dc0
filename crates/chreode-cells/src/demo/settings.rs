//! What the demo does by default.

use chreode_model::{DiffusionConfig, DriftConfig, DriftKind};
use chreode_train::{LossConfig, OptimiserConfig, Schedule, Standardise, TrainConfig};

/// The model's step when it is simulated after training, in days: fates are then within 1 % of their limit.
pub(super) const MODEL_DT: f64 = 1.0 / 16.0;
/// The snapshot that is never trained on.
pub(super) const HELD_OUT: usize = 2;

/// Sizes of a demo.
#[derive(Debug, Clone, PartialEq)]
pub struct DemoSettings {
    /// Seed of everything: data, weights, minibatches, noise.
    pub seed: u64,
    /// Cells of a snapshot.
    pub cells: usize,
    /// The drift.
    pub drift: DriftConfig,
    /// The diffusion.
    pub diffusion: DiffusionConfig,
    /// Training settings.
    pub train: TrainConfig,
    /// Progenitors whose fates are predicted.
    pub progenitors: usize,
    /// Runs of each progenitor, in the truth and in the model.
    pub runs: usize,
    /// Cells that fractions, spreads and interventions are read from.
    pub judged_cells: usize,
}

impl DemoSettings {
    /// The same demo with another number of updates: the learning rate falls over all of them.
    #[must_use]
    pub fn with_steps(mut self, steps: u64) -> Self {
        self.train.steps = steps;
        self.train.schedule = falling(steps);
        self
    }
}

/// The learning rate falls to a fiftieth by half a cosine.
fn falling(steps: u64) -> Schedule {
    Schedule::Cosine { warm_up: 20.min(steps / 2), over: steps, floor: 0.02 }
}

impl Default for DemoSettings {
    /// Production minus decay with chemical Langevin noise: the form of the truth goes in, its rates and noise do
    /// not. The size at which the noise starts, from which training hardly moves it, is the one of those tried that
    /// the distance to the held-out day prefers.
    fn default() -> Self {
        const STEPS: u64 = 3000;
        Self {
            seed: 1,
            cells: crate::virtual_blood::CELLS_PER_TIME,
            drift: DriftConfig {
                kind: DriftKind::Production,
                hidden: vec![64, 64],
                ..DriftConfig::default()
            },
            diffusion: DiffusionConfig::Langevin { initial_level: 1.5, kappa: None, floor: 0.01 },
            train: TrainConfig {
                steps: STEPS,
                batch: 512,
                dt: 1.0 / 8.0,
                loss: LossConfig::default(),
                standardise: Standardise::Global,
                optimiser: OptimiserConfig::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 },
                learning_rate: 3e-3,
                schedule: falling(STEPS),
                leave_out_times: vec![crate::virtual_blood::SNAPSHOT_TIMES[HELD_OUT]],
                evaluate_every: 250,
                patience: 0,
                ..TrainConfig::default()
            },
            progenitors: 200,
            runs: 400,
            judged_cells: 2000,
        }
    }
}
