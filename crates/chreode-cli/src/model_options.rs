//! `chreode fit`: what is learned.

use anyhow::Context as _;
use chreode_linalg::Activation;
use chreode_model::{DiffusionConfig, DriftConfig, DriftKind, GrowthConfig, ModelConfig};
use clap::{Args, ValueEnum};

use crate::failure::bad_input;
use crate::values;

/// Gaps between the observations of measured series in which states are taken to move by one standard deviation.
const SERIES_GAPS: f64 = 5.0;

/// Form of the drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Drift {
    /// A free net of the state
    Mlp,
    /// The gradient of a potential net: cells move uphill
    Potential,
    /// v sigmoid(net) - decay x, for states that are amounts and not negative
    Production,
}

/// Form of the diffusion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Diffusion {
    /// A net of the state, one positive value a coordinate
    Diagonal,
    /// One value a coordinate, wherever the state is
    Constant,
    /// One Brownian motion for all coordinates, of any sign in each: not with --route matching
    Scalar,
    /// The diagonal, and a few Brownian motions that drive all coordinates: correlated noise
    LowRank,
    /// A matrix of the state: noise of any covariance
    General,
    /// Chemical Langevin noise, for a production drift
    Langevin,
}

/// Whether growth is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LearnGrowth {
    /// If that predicts the cells of each time between others better, by transport between these: with --route matching, and three times
    Auto,
    /// It is
    Yes,
    /// It is not: all cells count the same
    No,
}

/// What is learned.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Form of the drift
    #[arg(long, value_enum, default_value = "mlp")]
    drift: Drift,
    /// Widths of the drift's hidden layers [default: 128,128 with --route matching, else 512,512; of measured series 32,32]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = values::count)]
    drift_hidden: Vec<usize>,
    /// Activation of all hidden layers: tanh, sigmoid, softplus, silu, `leaky_relu`, quadratic
    /// [default: silu; of measured series tanh]
    #[arg(long, value_name = "NAME")]
    activation: Option<Activation>,
    /// Form of the diffusion
    #[arg(long, value_enum, default_value = "diagonal")]
    diffusion: Diffusion,
    /// Common Brownian motions of a low-rank diffusion [default: 2]
    #[arg(long, value_name = "N", value_parser = values::count)]
    diffusion_rank: Option<usize>,
    /// Widths of the hidden layers of a diffusion that is a net [default: 32,32]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = values::count)]
    diffusion_hidden: Vec<usize>,
    /// Size of the noise before training, in standard deviations of the state per root of --time-scale
    #[arg(long, value_name = "X", default_value = "0.5", value_parser = values::positive)]
    pub(crate) initial_noise: f64,
    /// Let drift and growth change with time, not with the state alone; before the first and after the last time of the data they
    /// are as there [default: with --route matching, unless the drift is a potential]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    time_input: Option<bool>,
    /// Learn at which rate cells divide and die, as a net of the state; --learn-growth alone is yes
    #[arg(long, value_enum, value_name = "WHETHER", num_args = 0..=1, require_equals = true, default_value = "auto",
          default_missing_value = "yes", conflicts_with = "growth")]
    pub(crate) learn_growth: LearnGrowth,
    /// Widths of the hidden layers of the growth net, if growth is learned [default: 32,32]
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = values::count)]
    growth_hidden: Vec<usize>,
    /// Largest rate of growth or death that can be learned, per --time-scale [default: 2]
    #[arg(long, value_name = "X", value_parser = values::positive)]
    growth_limit: Option<f64>,
    /// Time in which cells typically move by one standard deviation [default: the mean gap between the times]
    #[arg(long, value_name = "TIME", value_parser = values::positive)]
    time_scale: Option<f64>,
}

impl ModelArgs {
    /// Whether states must be amounts.
    pub(crate) fn is_production(&self) -> bool {
        self.drift == Drift::Production
    }

    /// The field of measured series with this mean and standard deviation a coordinate, whose times are `gap` apart: small and smooth,
    /// without noise or growth.
    pub(crate) fn of_series(
        &self,
        shift: Vec<f64>,
        scale: Vec<f64>,
        gap: f64,
    ) -> anyhow::Result<ModelConfig> {
        let config = ModelConfig {
            time_scale: self.time_scale.unwrap_or(SERIES_GAPS * gap),
            drift: self.drift_config(&[32, 32], Activation::Tanh),
            diffusion: DiffusionConfig::Constant { initial_level: self.initial_noise },
            ..ModelConfig::new(shift, scale)
        };
        config.validate().context("the model cannot be built")?;
        Ok(config)
    }

    fn drift_config(&self, hidden: &[usize], activation: Activation) -> DriftConfig {
        DriftConfig {
            kind: match self.drift {
                Drift::Mlp => DriftKind::Mlp,
                Drift::Potential => DriftKind::Potential,
                Drift::Production => DriftKind::Production,
            },
            hidden: if self.drift_hidden.is_empty() { hidden.to_vec() } else { self.drift_hidden.clone() },
            activation: self.activation.unwrap_or(activation),
        }
    }

    /// Whether the drift can be one of time.
    pub(crate) fn takes_time(&self) -> bool {
        self.drift != Drift::Potential
    }

    /// Whether bridges of matching have the noise of the blur: a drift of time can follow the couplings themselves, one of the state alone blurs
    /// them; and noise that coordinates share can be learned from the spread of coupled cells alone.
    pub(crate) fn has_noise_of_blur(&self) -> bool {
        self.of_time(true) && !matches!(self.diffusion, Diffusion::LowRank | Diffusion::General)
    }

    /// Whether drift and growth change with time.
    pub(crate) fn of_time(&self, by_matching: bool) -> bool {
        self.time_input.unwrap_or(by_matching && self.takes_time())
    }

    /// Refuses options of a growth net that cannot be there.
    pub(crate) fn without_growth(&self) -> anyhow::Result<()> {
        let options = [
            ("--growth-hidden", !self.growth_hidden.is_empty()),
            ("--growth-limit", self.growth_limit.is_some()),
        ];
        match options.iter().find(|o| o.1) {
            Some((name, _)) => {
                let what = format!("{name} is for growth that is learned, and none is");
                Err(bad_input(what, "leave it out, or give --learn-growth"))
            }
            None => Ok(()),
        }
    }

    /// The model of data with this mean and standard deviation a coordinate, observed at `times`, which are `gap` apart; with `growth` it learns
    /// that too.
    pub(crate) fn config(
        &self,
        shift: Vec<f64>,
        scale: Vec<f64>,
        times: &[f64],
        gap: f64,
        by_matching: bool,
        growth: bool,
    ) -> anyhow::Result<ModelConfig> {
        let activation = self.activation.unwrap_or(Activation::Silu);
        if matches!(self.diffusion, Diffusion::Constant | Diffusion::Langevin)
            && !self.diffusion_hidden.is_empty()
        {
            return Err(bad_input(
                "--diffusion-hidden is for a diffusion that is a net",
                "leave it out, or choose another --diffusion",
            ));
        }
        if self.diffusion != Diffusion::LowRank && self.diffusion_rank.is_some() {
            return Err(bad_input(
                "--diffusion-rank is for a low-rank diffusion",
                "leave it out, or choose --diffusion low-rank",
            ));
        }
        let or_small = |hidden: &[usize]| if hidden.is_empty() { vec![32, 32] } else { hidden.to_vec() };
        let (hidden, initial_level) = (or_small(&self.diffusion_hidden), self.initial_noise);
        let config = ModelConfig {
            time_scale: self.time_scale.unwrap_or(gap),
            shift,
            scale,
            times: self.of_time(by_matching).then(|| times.to_vec()),
            drift: self.drift_config(if by_matching { &[128, 128] } else { &[512, 512] }, activation),
            diffusion: match self.diffusion {
                Diffusion::Diagonal => DiffusionConfig::Diagonal { hidden, activation, initial_level },
                Diffusion::Constant => DiffusionConfig::Constant { initial_level },
                Diffusion::Scalar => DiffusionConfig::Scalar { hidden, activation, initial_level },
                Diffusion::LowRank => {
                    let rank = self.diffusion_rank.unwrap_or(2);
                    DiffusionConfig::LowRank { rank, hidden, activation, initial_level }
                }
                Diffusion::General => DiffusionConfig::General { hidden, activation, initial_level },
                Diffusion::Langevin => DiffusionConfig::Langevin { initial_level, kappa: None, floor: 0.01 },
            },
            growth: growth.then(|| GrowthConfig {
                hidden: or_small(&self.growth_hidden),
                activation,
                max_rate: self.growth_limit.unwrap_or(GrowthConfig::default().max_rate),
            }),
        };
        config.validate().context("the model cannot be built")?;
        Ok(config)
    }
}
