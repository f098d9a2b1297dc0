//! What a model is made of, as it stands in a configuration file.

use std::fmt;

use chreode_linalg::Activation;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// A neural SDE: standardisation of its inputs, drift, diffusion and growth.
///
/// Inputs of every net are `(x - shift) / scale`. Outputs are in units of `scale` and `time_scale`, so that
/// the nets see and give numbers of order one whatever the units of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The time, in units of the data's, in which a state typically moves by `scale`.
    #[serde(default = "one")]
    pub time_scale: f64,
    /// Centre of each coordinate, usually the mean of the data; `[d]`.
    pub shift: Vec<f64>,
    /// Spread of each coordinate, usually the standard deviation of the data; `[d]`.
    pub scale: Vec<f64>,
    /// Drift and growth that change with time: the times between which they may do so smoothly, from one to the next also by
    /// jumps. Before the first and after the last they are as there. Without it they depend on the state alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Vec<f64>>,
    /// The drift `f`.
    #[serde(default)]
    pub drift: DriftConfig,
    /// The diffusion `g`.
    #[serde(default)]
    pub diffusion: DiffusionConfig,
    /// The growth rate `γ`; without it, cells neither divide nor die.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<GrowthConfig>,
}

/// The form of the drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftKind {
    /// A free net: `f = scale/time_scale · net(x̂)`.
    #[default]
    Mlp,
    /// The gradient `f = +∇ψ(x)` of a scalar net: cells move uphill in `ψ`.
    ///
    /// With `s` the root mean square of `scale`, `ψ(x) = s²/time_scale · net((x - shift)/s)`: one scale for
    /// all coordinates, since a gradient does not survive unequal ones. Prefer a smooth activation: with
    /// `leaky_relu` the drift is piecewise constant.
    Potential,
    /// Production minus decay: `f_i = v_i sigmoid(net_i(x̂)) - δ_i x_i`, with `v, δ > 0` learned.
    ///
    /// For states on their natural scale, where zero means nothing is there: `f_i >= 0` at `x_i = 0`.
    Production,
}

impl fmt::Display for DriftKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mlp => "mlp",
            Self::Potential => "potential",
            Self::Production => "production",
        })
    }
}

/// The drift: its form and its net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriftConfig {
    /// The form.
    pub kind: DriftKind,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    #[serde(with = "activation_name")]
    pub activation: Activation,
}

impl Default for DriftConfig {
    /// A free net with two hidden layers of 512 and SiLU.
    fn default() -> Self {
        Self { kind: DriftKind::Mlp, hidden: vec![512, 512], activation: Activation::Silu }
    }
}

/// The diffusion, in state per square root of time: for each coordinate a positive number, unless it says otherwise.
///
/// `initial_level` sets the size before training: about `initial_level · scale / sqrt(time_scale)`. Nets see the standardised state `x̂`, and
/// their outputs are in units of `scale/sqrt(time_scale)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum DiffusionConfig {
    /// `g = scale/sqrt(time_scale) · softplus(net(x̂))`.
    Diagonal {
        /// Widths of the hidden layers.
        #[serde(default = "small_hidden")]
        hidden: Vec<usize>,
        /// Activation of the hidden layers.
        #[serde(default = "silu", with = "activation_name")]
        activation: Activation,
        /// Size before training.
        #[serde(default = "half")]
        initial_level: f64,
    },
    /// One learned number a coordinate, wherever the state is.
    Constant {
        /// Size before training.
        #[serde(default = "half")]
        initial_level: f64,
    },
    /// One Brownian motion for all coordinates, `g = scale/sqrt(time_scale) · net(x̂)`, of any sign in each.
    Scalar {
        /// Widths of the hidden layers.
        #[serde(default = "small_hidden")]
        hidden: Vec<usize>,
        /// Activation of the hidden layers.
        #[serde(default = "silu", with = "activation_name")]
        activation: Activation,
        /// Size before training.
        #[serde(default = "half")]
        initial_level: f64,
    },
    /// A positive number a coordinate as in the diagonal form, and beside it `rank` Brownian motions that drive all coordinates, of any sign
    /// in each: noise that is correlated along a few directions.
    LowRank {
        /// Number of common motions.
        rank: usize,
        /// Widths of the hidden layers.
        #[serde(default = "small_hidden")]
        hidden: Vec<usize>,
        /// Activation of the hidden layers.
        #[serde(default = "silu", with = "activation_name")]
        activation: Activation,
        /// Size of the diagonal before training; the common motions start near zero.
        #[serde(default = "half")]
        initial_level: f64,
    },
    /// A matrix of any signs, one Brownian motion a coordinate, `g = scale/sqrt(time_scale) · net(x̂)` row by row: noise of any covariance.
    General {
        /// Widths of the hidden layers.
        #[serde(default = "small_hidden")]
        hidden: Vec<usize>,
        /// Activation of the hidden layers.
        #[serde(default = "silu", with = "activation_name")]
        activation: Activation,
        /// Size before training, of a multiple of the identity.
        #[serde(default = "half")]
        initial_level: f64,
    },
    /// Chemical Langevin noise of a production drift, with `P_i = v_i sigmoid(net_i)`:
    /// `g_i² = s_i (P_i x_i/(x_i + κ_i) + δ_i x_i) + ε_i²`, with `s_i > 0` learned and `x_i` taken as zero where negative.
    ///
    /// Fading production out below `κ` keeps the exact process positive.
    Langevin {
        /// Size before training.
        #[serde(default = "half")]
        initial_level: f64,
        /// `κ`, in state units, `[d]`; a tenth of `scale` if it is not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kappa: Option<Vec<f64>>,
        /// `ε` in units of `scale/sqrt(time_scale)`: keeps the square root differentiable at zero.
        #[serde(default = "hundredth")]
        floor: f64,
    },
}

impl DiffusionConfig {
    /// The form in a word or two.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Diagonal { .. } => "diagonal",
            Self::Constant { .. } => "constant",
            Self::Scalar { .. } => "scalar",
            Self::LowRank { .. } => "low-rank",
            Self::General { .. } => "general",
            Self::Langevin { .. } => "chemical Langevin",
        }
    }

    /// Size before training.
    pub fn initial_level(&self) -> f64 {
        match self {
            Self::Diagonal { initial_level, .. }
            | Self::Constant { initial_level }
            | Self::Scalar { initial_level, .. }
            | Self::LowRank { initial_level, .. }
            | Self::General { initial_level, .. }
            | Self::Langevin { initial_level, .. } => *initial_level,
        }
    }

    /// Hidden layers and their activation, if it is a net of its own.
    pub fn net(&self) -> Option<(&[usize], Activation)> {
        match self {
            Self::Diagonal { hidden, activation, .. }
            | Self::Scalar { hidden, activation, .. }
            | Self::LowRank { hidden, activation, .. }
            | Self::General { hidden, activation, .. } => Some((hidden, *activation)),
            Self::Constant { .. } | Self::Langevin { .. } => None,
        }
    }
}

impl Default for DiffusionConfig {
    /// Diagonal, two hidden layers of 32, SiLU, level 0.5.
    fn default() -> Self {
        Self::Diagonal { hidden: small_hidden(), activation: Activation::Silu, initial_level: 0.5 }
    }
}

/// The growth rate `γ = max_rate/time_scale · tanh(net(x̂))`, per unit of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GrowthConfig {
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Activation of the hidden layers.
    #[serde(with = "activation_name")]
    pub activation: Activation,
    /// Largest rate of growth or death, per `time_scale`: log-weights move by no more than this in that time.
    pub max_rate: f64,
}

impl Default for GrowthConfig {
    /// Two hidden layers of 32, SiLU, at most 2 per `time_scale`.
    fn default() -> Self {
        Self { hidden: small_hidden(), activation: Activation::Silu, max_rate: 2.0 }
    }
}

impl ModelConfig {
    /// The default model, a free drift and a diagonal diffusion, of data with this centre and spread.
    pub fn new(shift: Vec<f64>, scale: Vec<f64>) -> Self {
        Self {
            time_scale: 1.0,
            shift,
            scale,
            times: None,
            drift: DriftConfig::default(),
            diffusion: DiffusionConfig::default(),
            growth: None,
        }
    }

    /// Number of coordinates `d`.
    pub fn dim(&self) -> usize {
        self.shift.len()
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`ConfigError`], naming the first field that is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.shift.is_empty() {
            return Err(ConfigError::NoCoordinates);
        }
        positive("time_scale", self.time_scale)?;
        let production = self.drift.kind == DriftKind::Production;
        let (ok, need): (fn(f64) -> bool, _) = if production {
            (|x| x.is_finite() && x >= 0.0, "finite and not negative with a production drift")
        } else {
            (f64::is_finite, "finite")
        };
        elements("shift", &self.shift, self.dim(), ok, need)?;
        elements("scale", &self.scale, self.dim(), is_positive, POSITIVE)?;
        if let Some(times) = &self.times {
            if self.drift.kind == DriftKind::Potential {
                return Err(ConfigError::PotentialInTime);
            }
            if times.len() < 2 {
                return Err(ConfigError::TooFewTimes { found: times.len() });
            }
            elements("times", times, times.len(), f64::is_finite, "finite")?;
            if let Some(k) = times.windows(2).position(|pair| pair[0] >= pair[1]) {
                let (index, value) = (k + 1, times[k + 1]);
                return Err(ConfigError::Element {
                    field: "times",
                    index,
                    value,
                    need: "later than the one before",
                });
            }
        }
        widths("drift.hidden", &self.drift.hidden)?;
        if self.drift.kind == DriftKind::Potential && self.drift.hidden.is_empty() {
            return Err(ConfigError::PotentialWithoutHidden);
        }
        if let Some((hidden, _)) = self.diffusion.net() {
            widths("diffusion.hidden", hidden)?;
        }
        positive("diffusion.initial_level", self.diffusion.initial_level())?;
        match &self.diffusion {
            DiffusionConfig::LowRank { rank, .. } => widths("diffusion.rank", &[*rank])?,
            DiffusionConfig::Langevin { kappa, floor, .. } => {
                if !production {
                    return Err(ConfigError::LangevinNeedsProduction { drift: self.drift.kind });
                }
                positive("diffusion.floor", *floor)?;
                if let Some(kappa) = kappa {
                    elements("diffusion.kappa", kappa, self.dim(), is_positive, POSITIVE)?;
                }
            }
            _ => {}
        }
        if let Some(growth) = &self.growth {
            widths("growth.hidden", &growth.hidden)?;
            positive("growth.max_rate", growth.max_rate)?;
        }
        Ok(())
    }
}

/// Wider layers are taken for a mistake, before they take the memory.
const MAX_WIDTH: usize = 1 << 16;

pub(crate) const POSITIVE: &str = "finite and above zero";

pub(crate) fn is_positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}

pub(crate) fn positive(field: &'static str, value: f64) -> Result<(), ConfigError> {
    if is_positive(value) { Ok(()) } else { Err(ConfigError::Value { field, value, need: POSITIVE }) }
}

pub(crate) fn elements(
    field: &'static str,
    values: &[f64],
    expected: usize,
    ok: fn(f64) -> bool,
    need: &'static str,
) -> Result<(), ConfigError> {
    if values.len() != expected {
        return Err(ConfigError::Length { field, found: values.len(), expected });
    }
    match values.iter().position(|&x| !ok(x)) {
        None => Ok(()),
        Some(index) => Err(ConfigError::Element { field, index, value: values[index], need }),
    }
}

pub(crate) fn widths(field: &'static str, hidden: &[usize]) -> Result<(), ConfigError> {
    match hidden.iter().position(|w| !(1..=MAX_WIDTH).contains(w)) {
        None => Ok(()),
        Some(index) => Err(ConfigError::Width { field, index, value: hidden[index], max: MAX_WIDTH }),
    }
}

pub(crate) fn one() -> f64 {
    1.0
}

pub(crate) fn half() -> f64 {
    0.5
}

fn hundredth() -> f64 {
    0.01
}

pub(crate) fn small_hidden() -> Vec<usize> {
    vec![32, 32]
}

pub(crate) fn silu() -> Activation {
    Activation::Silu
}

/// An activation as its name.
pub(crate) mod activation_name {
    use chreode_linalg::Activation;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(activation: &Activation, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(activation)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Activation, D::Error> {
        let name = String::deserialize(d)?;
        name.parse().map_err(D::Error::custom)
    }
}
