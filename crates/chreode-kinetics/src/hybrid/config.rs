//! Nets of a model as they stand in a file, and where their weights lie.

use std::path::Path;

use chreode_core::ParamLayout;
use chreode_linalg::Activation;
use chreode_model::{ConfigError, MlpShape, Stored, load_as, save};
use serde::{Deserialize, Serialize};

use super::error::HybridError;
use super::request::Part;
use crate::error::KineticsError;

/// Weights are between this and its negative.
pub(super) const MOST_WEIGHT: f64 = 10.0;
/// Widest hidden layer: with weights within their bounds, `exp` of what a net says is finite.
pub(super) const WIDEST: usize = 64;

/// The nets of a problem, and the ids of the parameters that were fitted with them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HybridConfig {
    /// Ids of the problem's parameter table, in its order.
    pub parameters: Vec<String>,
    /// The nets.
    pub nets: Vec<RateNet>,
}

/// One net.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateNet {
    /// What it says.
    pub target: Target,
    /// What it sees.
    pub inputs: Vec<NetInput>,
    /// Widths of its hidden layers, tanh.
    pub hidden: Vec<usize>,
}

/// What a net says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The rate of a reaction, or a part of it.
    Rate {
        /// The reaction.
        reaction: String,
        /// What it does to the rate.
        part: Part,
        /// What the reaction consumes: its rate vanishes with that.
        consumed: Vec<Gate>,
        /// What it makes: the rate of its reverse vanishes with that.
        produced: Vec<Gate>,
        /// A typical rate.
        unit: f64,
    },
    /// All rates of change.
    Field {
        /// The states, in their order.
        states: Vec<String>,
        /// A typical rate of change of each.
        units: Vec<f64>,
    },
}

/// A species that gates a rate, by `x/(x + scale)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The species.
    pub id: String,
    /// A typical concentration.
    pub scale: f64,
}

/// What a net sees: `ln(1 + x/scale)` of a species that stays positive, `asinh(x/scale)` of anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetInput {
    /// A quantity of the model, or `time`.
    pub id: String,
    /// Its typical size.
    pub scale: f64,
    /// Whether it is a species of a model that keeps it from being negative: beside a mechanism, not in place of one.
    pub positive: bool,
}

impl RateNet {
    /// What the net is called: its reaction, or `field`.
    pub fn name(&self) -> &str {
        match &self.target {
            Target::Rate { reaction, .. } => reaction,
            Target::Field { .. } => "field",
        }
    }

    /// Numbers that come out of the net.
    pub fn outputs(&self) -> usize {
        match &self.target {
            Target::Rate { part: Part::Add, .. } => 2,
            Target::Rate { .. } => 1,
            Target::Field { states, .. } => states.len(),
        }
    }

    /// Whether a parameter is the size of what it says; a factor of a law needs none.
    pub fn has_size(&self) -> bool {
        !matches!(self.target, Target::Rate { part: Part::Correct, .. })
    }

    /// The net's sizes and the layout of its weights.
    pub fn shape(&self) -> MlpShape {
        MlpShape::new(self.inputs.len(), &self.hidden, self.outputs(), Activation::Tanh)
    }

    /// The bias that an output starts with.
    pub(super) fn first_bias(&self) -> f64 {
        match &self.target {
            Target::Rate { part: Part::Replace, .. } => 0.5_f64.exp_m1().ln(),
            Target::Rate { part: Part::Add, .. } => 0.05_f64.exp_m1().ln(),
            Target::Rate { part: Part::Correct, .. } | Target::Field { .. } => 0.0,
        }
    }

    pub(super) fn check(&self) -> Result<(), HybridError> {
        check_hidden(&self.hidden)?;
        let net = || self.name().to_owned();
        if self.inputs.is_empty() {
            return Err(HybridError::NoInputs { net: net() });
        }
        let positive = |what, found: f64| {
            let wrong = !(found > 0.0 && found.is_finite());
            if wrong { Err(HybridError::NotPositive { net: net(), what, found }) } else { Ok(()) }
        };
        self.inputs.iter().try_for_each(|x| positive("the scale of an input", x.scale))?;
        match &self.target {
            Target::Rate { consumed, produced, unit, .. } => {
                consumed
                    .iter()
                    .chain(produced)
                    .try_for_each(|x| positive("the scale of a species", x.scale))?;
                positive("its unit", *unit)
            }
            Target::Field { units, .. } => units.iter().try_for_each(|x| positive("a unit", *x)),
        }
    }
}

pub(super) fn check_hidden(hidden: &[usize]) -> Result<(), HybridError> {
    if hidden.is_empty() || hidden.iter().any(|n| !(1..=WIDEST).contains(n)) {
        return Err(HybridError::Hidden { found: hidden.to_vec(), most: WIDEST });
    }
    Ok(())
}

impl HybridConfig {
    /// Writes the nets and all parameters of their problem (linear scale) as a safetensors file, at once or not at all.
    ///
    /// # Errors
    /// [`KineticsError::Store`]: a number that is not finite, another number of parameters, a file that cannot be written.
    pub fn save(&self, path: &Path, parameters: &[f64]) -> Result<(), KineticsError> {
        save(path, self, parameters).map_err(|source| KineticsError::Store { source })
    }

    /// Reads nets with the parameters of their problem (linear scale).
    ///
    /// # Errors
    /// [`KineticsError::Store`]: a file that cannot be read, of another format, or damaged.
    pub fn load(path: &Path) -> Result<(Self, Vec<f64>), KineticsError> {
        load_as(path).map_err(|source| KineticsError::Store { source })
    }
}

/// The file holds all parameters of the problem on the linear scale: `parameters`, then those of each net, `nets.0.layers.0.weight` and so
/// on, with `nets.0.size` last.
impl Stored for HybridConfig {
    type Config = Self;
    const FORMAT: &'static str = "chreode-kinetics-hybrid/1";

    fn from_config(config: Self) -> Result<Self, ConfigError> {
        // What a layout is computed from; all else is checked against the problem that it is for.
        for net in &config.nets {
            if let Some(index) = net.hidden.iter().position(|n| !(1..=WIDEST).contains(n)) {
                let (field, value, max) = ("nets.hidden", net.hidden[index], WIDEST);
                return Err(ConfigError::Width { field, index, value, max });
            }
        }
        Ok(config)
    }

    fn config(&self) -> Self {
        self.clone()
    }

    fn layout(&self) -> ParamLayout {
        let mut layout = ParamLayout::new();
        layout.push("parameters", &[self.parameters.len()]);
        for (i, net) in self.nets.iter().enumerate() {
            layout.append(&format!("nets.{i}"), net.shape().layout());
            if net.has_size() {
                layout.push(format!("nets.{i}.size"), &[1]);
            }
        }
        layout
    }
}
