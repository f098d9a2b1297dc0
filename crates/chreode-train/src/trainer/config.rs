//! Settings of a training run.

use crate::optim::{OptimiserConfig, Schedule};
use crate::split::HoldOutBy;
use crate::{LossConfig, MatchingConfig, TrainError};
use serde::{Deserialize, Serialize};

/// Everything that decides a training run beside data and model. All fields have defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of minibatches, noise and hold-out.
    pub seed: u64,
    /// Seed of the hold-out, and of cells and noise when it is compared, if it is another: runs with different seeds and the same one
    /// here are judged by the same cells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_out_seed: Option<u64>,
    /// Updates.
    pub steps: u64,
    /// Stops after so many seconds, if that comes first. Not repeatable: repeat with the `steps` that were done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_budget: Option<f64>,
    /// Paths from each start, and observed cells at each target (all, where a time has fewer).
    pub batch: usize,
    /// Longest step of the simulation, in units of the times.
    pub dt: f64,
    /// Learns from bridges between coupled cells before, or instead of, simulation; by simulation alone if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matching: Option<MatchingConfig>,
    /// Which paths are simulated.
    pub paths: Paths,
    /// The loss between simulated and observed cells at a target time.
    pub loss: LossConfig,
    /// How coordinates are scaled for the loss.
    pub standardise: Standardise,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
    /// Learning rate before the schedule's factor.
    pub learning_rate: f64,
    /// Factor of the learning rate.
    pub schedule: Schedule,
    /// Gradients longer than this are shortened to it; zero for never.
    pub clip_norm: f64,
    /// Decay of the moving average of the parameters, which is what is evaluated and kept; zero for none.
    pub average: f64,
    /// Where growth weights come from.
    pub growth: GrowthUse,
    /// Weight of the mean squared growth rate along the paths in the loss, if growth is learned.
    pub growth_penalty: f64,
    /// Fraction of the cells that is held out.
    pub hold_out: f64,
    /// What is held out together.
    pub hold_out_by: HoldOutBy,
    /// Times that are neither trained on nor used for early stopping.
    pub leave_out_times: Vec<f64>,
    /// Updates between two evaluations on the hold-out.
    pub evaluate_every: u64,
    /// Stops after so many evaluations without a better one; zero for never.
    pub patience: u64,
    /// Paths from each start in an evaluation.
    pub evaluate_cells: usize,
    /// Updates between two checkpoints.
    pub checkpoint_every: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            hold_out_seed: None,
            steps: 2000,
            time_budget: None,
            batch: 512,
            dt: 0.1,
            matching: None,
            paths: Paths::default(),
            loss: LossConfig::default(),
            standardise: Standardise::default(),
            optimiser: OptimiserConfig::default(),
            learning_rate: 1e-3,
            schedule: Schedule::Constant,
            clip_norm: 1.0,
            average: 0.99,
            growth: GrowthUse::None,
            growth_penalty: 0.01,
            hold_out: 0.1,
            hold_out_by: HoldOutBy::Cell,
            leave_out_times: Vec::new(),
            evaluate_every: 50,
            patience: 20,
            evaluate_cells: 1024,
            checkpoint_every: 100,
        }
    }
}

/// Which paths are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Paths {
    /// From the observed cells of every training time but the last, to the next `horizon` training times.
    Intervals {
        /// Targets of a start.
        #[serde(default = "one")]
        horizon: usize,
    },
    /// From the cells of the first training time through all later ones.
    FromStart,
    /// Both; the losses of the paths from the start are multiplied by `from_start`, the others by `1 - from_start`.
    Mixed {
        /// Weight of the paths from the start, in (0, 1).
        from_start: f64,
        /// Targets of a start, for the others.
        #[serde(default = "one")]
        horizon: usize,
    },
}

fn one() -> usize {
    1
}

impl Default for Paths {
    /// Each gap from its observed cells.
    fn default() -> Self {
        Self::Intervals { horizon: 1 }
    }
}

/// How coordinates are scaled before a loss compares cells. Scales are those of the training cells of all times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standardise {
    /// Not at all.
    Off,
    /// All by one number, the root of the mean variance: keeps the shape of the basis, as wanted for principal
    /// components.
    #[default]
    Global,
    /// Each by its own standard deviation, as wanted for genes.
    PerCoordinate,
}

/// Where the growth weights of simulated cells come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrowthUse {
    /// All simulated cells weigh the same.
    #[default]
    None,
    /// From the rates in the data: weight `exp((t - t_start) · rate)` by the start cell's rate.
    Column,
    /// From the model's growth, learned jointly.
    Learned,
}

impl TrainConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// [`TrainError::Setting`] with the first setting that is wrong.
    pub fn check(&self) -> Result<(), TrainError> {
        let wrong = |name, value, rule| Err(TrainError::Setting { name, value, rule });
        for (name, value) in [("dt", self.dt), ("learning_rate", self.learning_rate)] {
            if !(value > 0.0 && value.is_finite()) {
                return wrong(name, value, "must be finite and above zero");
            }
        }
        for (name, value) in [("clip_norm", self.clip_norm), ("growth_penalty", self.growth_penalty)] {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(name, value, "must be finite and at least zero");
            }
        }
        for (name, value) in [
            ("batch", self.batch as f64),
            ("evaluate_every", self.evaluate_every as f64),
            ("evaluate_cells", self.evaluate_cells as f64),
            ("checkpoint_every", self.checkpoint_every as f64),
        ] {
            let least = if name == "batch" || name == "evaluate_cells" { 2.0 } else { 1.0 };
            if value < least {
                return wrong(name, value, "is too small");
            }
        }
        if self.batch > 1 << 20 {
            return wrong("batch", self.batch as f64, "must be at most 2^20");
        }
        if !(0.0..1.0).contains(&self.average) {
            return wrong("average", self.average, "must be at least 0 and below 1");
        }
        if let Some(budget) = self.time_budget
            && !(budget > 0.0 && budget.is_finite())
        {
            return wrong("time_budget", budget, "must be finite and above zero");
        }
        match self.paths {
            Paths::Intervals { horizon: 0 } | Paths::Mixed { horizon: 0, .. } => {
                return wrong("paths.horizon", 0.0, "must be at least 1");
            }
            Paths::Mixed { from_start, .. } if !(from_start > 0.0 && from_start < 1.0) => {
                return wrong("paths.from_start", from_start, "must lie between 0 and 1");
            }
            _ => {}
        }
        if let Some(matching) = &self.matching {
            matching.check()?;
            if let (Some(until), false) = (matching.until, self.paths == Paths::default()) {
                let rule = "simulation after matching is from each time to the next: set `paths` to intervals of one";
                return wrong("matching.until", until as f64, rule);
            }
        }
        let setting = |(name, value, rule)| TrainError::Setting { name, value, rule };
        self.optimiser.check().map_err(setting)?;
        self.schedule.check().map_err(setting)
    }

    /// The seed of the hold-out and its comparisons.
    pub(crate) fn judge_seed(&self) -> u64 {
        self.hold_out_seed.unwrap_or(self.seed)
    }

    /// The settings that decide the bits: a checkpoint fits if these agree. How long to go on, and when to look
    /// and to save, may change.
    pub(crate) fn decisive(&self) -> Self {
        Self { steps: 0, time_budget: None, checkpoint_every: 1, patience: 0, ..self.clone() }
    }
}
