//! `chreode fit`: how it is learned.

use chreode_train::{
    BridgeNoise, GrowthUse, HoldOutBy, LossConfig, MatchingConfig, MmdConfig, OptimiserConfig, Paths,
    Schedule, SinkhornConfig, SlicedConfig, Standardise, Statistic, TrainConfig,
};
use clap::{Args, ValueEnum};

use crate::failure::bad_input;
use crate::values::{self, ColumnValue};

/// Measure between simulated and observed cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Loss {
    /// Energy distance, unbiased
    Energy,
    /// Sinkhorn divergence, debiased
    Sinkhorn,
    /// Maximum mean discrepancy of Gaussian kernels, unbiased
    Mmd,
    /// Sliced Wasserstein distance
    Sliced,
}

/// Rule by which the parameters move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Optimiser {
    /// Adam
    Adam,
    /// `RMSprop`
    Rmsprop,
    /// Gradient descent with momentum 0.9
    Sgd,
}

/// Change of the learning rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RateSchedule {
    /// One rate throughout
    Constant,
    /// Falls to a hundredth by half a cosine over --steps
    Cosine,
}

/// How drift, noise and growth are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Route {
    /// From bridges between cells of neighbouring times that transport couples, without simulation
    Matching,
    /// From simulated paths and the gradient of their distance to the observed cells
    Simulation,
}

/// Which paths are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PathsFrom {
    /// From the cells of each time to the next time
    Intervals,
    /// From the cells of the first time through all later times
    Start,
    /// Both, with equal weight
    Both,
}

/// How coordinates are scaled before cells are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scaling {
    /// Not at all
    Off,
    /// All by one number: keeps the shape of principal components
    Global,
    /// Each by its own standard deviation, as genes want
    Each,
}

/// How it is learned.
#[derive(Debug, Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainingArgs {
    /// Way to learn; either way simulated paths are compared with the cells held out [default: matching; with a potential drift or
    /// on a device simulation]
    #[arg(long, value_enum)]
    route: Option<Route>,
    /// With --route matching, so many of the last --steps are by simulation
    #[arg(long, value_name = "N", default_value = "0")]
    finetune: u64,
    /// With --route matching, the entropic blur of the couplings, in squared units of the scaled state
    /// [default: 0.1; with a drift of the state alone, or a low-rank or general diffusion, 0.6]
    #[arg(long, value_name = "BLUR", value_parser = values::positive)]
    coupling_blur: Option<f64>,
    /// Distance between simulated and observed cells
    #[arg(long, value_enum, default_value = "energy")]
    loss: Loss,
    /// Length below which a Sinkhorn divergence does not look, in units of the scaled state [default: 0.05]
    #[arg(long, value_name = "LENGTH", value_parser = values::positive)]
    blur: Option<f64>,
    /// Length beyond which a Sinkhorn divergence rather makes and loses mass than moves it [default: all is moved]
    #[arg(long, value_name = "LENGTH", value_parser = values::positive)]
    reach: Option<f64>,
    /// Width of the middle one of five kernels of the maximum mean discrepancy, in units of the scaled state [default: 1]
    #[arg(long, value_name = "LENGTH", value_parser = values::positive)]
    bandwidth: Option<f64>,
    /// Scaling of the coordinates before cells are compared
    #[arg(long, value_enum, default_value = "global")]
    scale: Scaling,
    /// Paths that are simulated and compared
    #[arg(long, value_enum, default_value = "intervals")]
    paths: PathsFrom,
    /// Longest step of the simulation, in the data's unit of time [default: a tenth of the mean gap between times]
    #[arg(long, value_name = "STEP", value_parser = values::positive)]
    dt: Option<f64>,
    /// Most updates [default: 2000; with --route matching 1000]
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// Stop after so many seconds of training; such a run is repeated with the --steps that it made
    #[arg(long, value_name = "SECONDS", value_parser = values::positive)]
    time_budget: Option<f64>,
    /// Cells drawn from each time for one update
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().batch, value_parser = values::count)]
    batch: usize,
    /// Rule by which the parameters move
    #[arg(long, alias = "optimizer", value_enum, default_value = "adam")]
    optimiser: Optimiser,
    /// Learning rate [default: 0.001; with --route matching 0.005; of measured series 0.01]
    #[arg(long, value_name = "RATE", value_parser = values::positive)]
    pub(crate) lr: Option<f64>,
    /// Change of the learning rate over the run [default: constant; with --route matching cosine]
    #[arg(long, value_enum)]
    schedule: Option<RateSchedule>,
    /// Length to which longer gradients are shortened; 0 for never
    #[arg(long, value_name = "LENGTH", default_value_t = TrainConfig::default().clip_norm,
          value_parser = values::finite)]
    clip: f64,
    /// Decay of the moving average of the parameters, which is what is judged and kept; 0 for none
    #[arg(long, value_name = "DECAY", default_value_t = TrainConfig::default().average,
          value_parser = values::finite)]
    average: f64,
    /// Part of each time's cells that is kept from the training, to judge it and to stop it
    #[arg(long, value_name = "FRACTION", default_value_t = TrainConfig::default().hold_out,
          value_parser = values::finite)]
    pub(crate) hold_out: f64,
    /// Hold out whole groups of this column, such as a clone, instead of single cells
    #[arg(long, value_name = "COLUMN")]
    pub(crate) holdout_by: Option<String>,
    /// Leave a whole time out of the training, such as day=4, to judge the model there; may be given again
    #[arg(long, value_name = "COLUMN=VALUE")]
    pub(crate) leave_out: Vec<ColumnValue>,
    /// Updates between two looks at the hold-out
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().evaluate_every,
          value_parser = clap::value_parser!(u64).range(1..))]
    evaluate_every: u64,
    /// Stop after so many looks at the hold-out without a better one; 0 for never
    #[arg(long, value_name = "N", default_value_t = TrainConfig::default().patience)]
    patience: u64,
    /// Updates between two checkpoints: the most that a kill can lose
    #[arg(long, value_name = "N", default_value = "50", value_parser = clap::value_parser!(u64).range(1..))]
    checkpoint_every: u64,
}

impl TrainingArgs {
    /// Whether it is learned by matching, given whether it is where no route is named.
    pub(crate) fn by_matching(&self, unless_named: bool) -> bool {
        self.route.map_or(unless_named, |route| route == Route::Matching)
    }

    fn loss_config(&self) -> anyhow::Result<LossConfig> {
        let of_sinkhorn = [("--blur", self.blur), ("--reach", self.reach)];
        let given =
            |options: &[(&'static str, Option<f64>)]| options.iter().find(|o| o.1.is_some()).map(|o| o.0);
        if self.loss != Loss::Sinkhorn
            && let Some(name) = given(&of_sinkhorn)
        {
            let what = format!("{name} is for a Sinkhorn divergence");
            return Err(bad_input(what, "leave it out, or choose --loss sinkhorn"));
        }
        if self.loss != Loss::Mmd && self.bandwidth.is_some() {
            return Err(bad_input(
                "--bandwidth is for the maximum mean discrepancy",
                "leave it out, or choose --loss mmd",
            ));
        }
        Ok(match self.loss {
            Loss::Energy => LossConfig::Energy { statistic: Statistic::Unbiased },
            Loss::Sinkhorn => {
                let default = SinkhornConfig::default();
                let blur = self.blur.unwrap_or(default.blur);
                LossConfig::Sinkhorn(SinkhornConfig { blur, reach: self.reach, ..default })
            }
            Loss::Mmd => {
                let default = MmdConfig::default();
                LossConfig::Mmd(MmdConfig {
                    bandwidth: self.bandwidth.unwrap_or(default.bandwidth),
                    ..default
                })
            }
            Loss::Sliced => LossConfig::SlicedWasserstein(SlicedConfig::default()),
        })
    }

    /// The settings for data whose times are `gap` apart, of cells that do not grow, coupled among `clones` if there are any.
    pub(crate) fn config(
        &self,
        clones: bool,
        seed: u64,
        gap: f64,
        noise_of_blur: bool,
        by_matching: bool,
    ) -> anyhow::Result<TrainConfig> {
        let loss = self.loss_config()?;
        let defaults = TrainConfig::default();
        // By matching targets have little scatter: few and large steps do.
        let (steps, rate, schedule) = if by_matching {
            (1000, 5e-3, RateSchedule::Cosine)
        } else {
            (defaults.steps, defaults.learning_rate, RateSchedule::Constant)
        };
        let steps = self.steps.unwrap_or(steps);
        let matching = match by_matching {
            true => {
                let default = MatchingConfig::default();
                let (epsilon, noise) =
                    if noise_of_blur { (0.1, BridgeNoise::Blur) } else { (default.epsilon, default.noise) };
                Some(MatchingConfig {
                    epsilon: self.coupling_blur.unwrap_or(epsilon),
                    noise,
                    clone_neighbours: clones.then_some(MatchingConfig::CLONE_NEIGHBOURS),
                    until: (self.finetune > 0).then(|| steps.saturating_sub(self.finetune)),
                    ..default
                })
            }
            false if clones => {
                return Err(bad_input(
                    "--clone is for the couplings of matching",
                    "choose --route matching; --holdout-by COLUMN alone holds out whole clones",
                ));
            }
            false if self.finetune > 0 || self.coupling_blur.is_some() => {
                return Err(bad_input(
                    "--finetune and --coupling-blur are for matching",
                    "leave them out, or choose --route matching",
                ));
            }
            false => None,
        };
        let config = TrainConfig {
            seed,
            matching,
            steps,
            time_budget: self.time_budget,
            batch: self.batch,
            dt: self.dt.unwrap_or(gap / 10.0),
            paths: match self.paths {
                PathsFrom::Intervals => Paths::Intervals { horizon: 1 },
                PathsFrom::Start => Paths::FromStart,
                PathsFrom::Both => Paths::Mixed { from_start: 0.5, horizon: 1 },
            },
            loss,
            standardise: match self.scale {
                Scaling::Off => Standardise::Off,
                Scaling::Global => Standardise::Global,
                Scaling::Each => Standardise::PerCoordinate,
            },
            optimiser: match self.optimiser {
                Optimiser::Adam => OptimiserConfig::adam(),
                Optimiser::Rmsprop => OptimiserConfig::rmsprop(),
                Optimiser::Sgd => OptimiserConfig::sgd(),
            },
            learning_rate: self.lr.unwrap_or(rate),
            schedule: match self.schedule.unwrap_or(schedule) {
                RateSchedule::Constant => Schedule::Constant,
                RateSchedule::Cosine => Schedule::Cosine { warm_up: 0, over: steps, floor: 0.01 },
            },
            clip_norm: self.clip,
            average: self.average,
            growth: GrowthUse::None,
            hold_out: self.hold_out,
            hold_out_by: if clones || self.holdout_by.is_some() { HoldOutBy::Clone } else { HoldOutBy::Cell },
            leave_out_times: self.leave_out.iter().map(|t| t.value).collect(),
            // A short run is judged once at least.
            evaluate_every: self.evaluate_every.min(steps.max(1)),
            patience: self.patience,
            checkpoint_every: self.checkpoint_every,
            ..defaults
        };
        config.check()?;
        Ok(config)
    }
}
