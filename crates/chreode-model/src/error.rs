//! What can be wrong with a configuration, a call or a stored model.

use std::path::PathBuf;

use chreode_core::FieldError;
use chreode_linalg::LinalgError;

use crate::DriftKind;

/// Why a [`crate::ModelConfig`] describes no model. Fields are named as in the configuration file.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The state has no coordinate.
    #[error("`shift` is empty: a model needs at least one coordinate")]
    NoCoordinates,
    /// A vector does not have one number a coordinate.
    #[error("`{field}` has {found} numbers, but the state has {expected} coordinates")]
    Length {
        /// The vector.
        field: &'static str,
        /// Numbers that it has.
        found: usize,
        /// Numbers that it needs.
        expected: usize,
    },
    /// One number of a vector is out of range.
    #[error("`{field}[{index}]` is {value}, but must be {need}")]
    Element {
        /// The vector.
        field: &'static str,
        /// Which of its numbers, from zero.
        index: usize,
        /// The number.
        value: f64,
        /// What it must be.
        need: &'static str,
    },
    /// A number is out of range.
    #[error("`{field}` is {value}, but must be {need}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
        /// What it must be.
        need: &'static str,
    },
    /// A hidden layer without units, or with far too many.
    #[error("`{field}[{index}]` is {value}, but a hidden layer has 1 to {max} units")]
    Width {
        /// The list of widths.
        field: &'static str,
        /// Which layer, from zero.
        index: usize,
        /// Its width.
        value: usize,
        /// The largest width.
        max: usize,
    },
    /// A potential without a hidden layer has a constant gradient.
    #[error("`drift.hidden` is empty, but a potential needs at least one hidden layer")]
    PotentialWithoutHidden,
    /// A potential is one of the state alone.
    #[error(
        "`times` makes the drift one of time, but a potential drift is one of the state: use another, or leave `times` out"
    )]
    PotentialInTime,
    /// Fewer than two times enclose no gap.
    #[error("`times` has {found} numbers, but a drift of time needs two or more")]
    TooFewTimes {
        /// Numbers that it has.
        found: usize,
    },
    /// Chemical Langevin noise is derived from production and decay.
    #[error("`diffusion.kind` = \"langevin\" needs `drift.kind` = \"production\", not \"{drift}\"")]
    LangevinNeedsProduction {
        /// The drift that was asked for.
        drift: DriftKind,
    },
    /// A network without a reaction.
    #[error("`reactions` is empty: a network needs at least one")]
    NoReactions,
    /// Two reactions have one name.
    #[error("two reactions are called `{reaction}`")]
    ReactionTwice {
        /// The name.
        reaction: String,
    },
    /// A reaction that changes nothing.
    #[error("reaction `{reaction}` changes no species")]
    NoChange {
        /// The reaction.
        reaction: String,
    },
    /// A species that is not there.
    #[error("reaction `{reaction}` names species {species}, but there are {d}, counted from zero")]
    Species {
        /// The reaction.
        reaction: String,
        /// The index.
        species: usize,
        /// Number of species.
        d: usize,
    },
    /// A change of zero, or two of one species.
    #[error("reaction `{reaction}`: the change of species {species} must be one number other than zero")]
    Change {
        /// The reaction.
        reaction: String,
        /// The species.
        species: usize,
    },
    /// Constants of a law that are too few, too many or not positive.
    #[error("reaction `{reaction}`: `law.constants` must be {expected} numbers, finite and above zero")]
    Constants {
        /// The reaction.
        reaction: String,
        /// How many its factors need, with the rate constant.
        expected: usize,
    },
    /// A power of zero.
    #[error("reaction `{reaction}`: the power of a factor must be at least one")]
    PowerZero {
        /// The reaction.
        reaction: String,
    },
    /// A law that goes on consuming what is not there.
    #[error("reaction `{reaction}` consumes species {species}, but its rate law does not vanish with it")]
    RateDoesNotVanish {
        /// The reaction.
        reaction: String,
        /// The species.
        species: usize,
    },
    /// A rate that neither a law nor the net gives.
    #[error("reaction `{reaction}` has no rate law, and its rate is not `neural`")]
    NoLaw {
        /// The reaction.
        reaction: String,
    },
    /// A rate that is not a constant times powers of concentrations.
    #[error("the rate of reaction `{reaction}` is not mass action alone")]
    NotMassAction {
        /// The reaction.
        reaction: String,
    },
    /// Conservation laws that do not fit 64-bit integers.
    #[error("conservation laws of the network: {source}")]
    Conservation {
        /// What overflowed.
        source: LinalgError,
    },
}

/// A call that a model cannot serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A slice does not have its length.
    #[error("{what} has length {found}, expected {expected}")]
    Length {
        /// Which argument.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that it needs.
        expected: usize,
    },
    /// A part of the model is undefined at a state.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// Only a potential drift has a potential.
    #[error("a drift of kind \"{drift}\" has no potential")]
    NoPotential {
        /// The drift of this model.
        drift: DriftKind,
    },
    /// Only a production drift has decay rates.
    #[error("a drift of kind \"{drift}\" has no decay rates")]
    NoDecay {
        /// The drift of this model.
        drift: DriftKind,
    },
}

/// Why a model could not be saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a safetensors file, or is cut short.
    #[error("{}: not a readable safetensors file: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What its header lacks.
        source: safetensors::SafeTensorError,
    },
    /// The file is a safetensors file of something else, or of another version.
    #[error("{}: not a model of this version: `format` is {}, expected \"{expected}\"", path.display(),
        found.as_ref().map_or("missing".into(), |f| format!("\"{f}\"")))]
    Format {
        /// The file.
        path: PathBuf,
        /// The metadata entry `format`, if there is one.
        found: Option<String>,
        /// What it should be.
        expected: &'static str,
    },
    /// The configuration in the metadata cannot be read.
    #[error("{}: the configuration in the metadata cannot be read: {source}", path.display())]
    ConfigJson {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The configuration in the metadata describes no model.
    #[error("{}: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Which field.
        source: ConfigError,
    },
    /// A tensor of the model is not in the file.
    #[error("{}: tensor `{tensor}` is missing", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
    },
    /// A tensor in the file is not one of the model.
    #[error("{}: tensor `{tensor}` does not belong to the model", path.display())]
    UnknownTensor {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("{}: tensor `{tensor}` has shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Shape in the file.
        found: Vec<usize>,
        /// Shape of the model's tensor.
        expected: Vec<usize>,
    },
    /// A tensor is neither f32 nor f64.
    #[error("{}: tensor `{tensor}` is of type {found}, expected F32 or F64", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// A parameter is infinite or not a number.
    #[error("{}: tensor `{tensor}` holds {value} at index {index}", path.display())]
    NonFinite {
        /// The file.
        path: PathBuf,
        /// Its name.
        tensor: String,
        /// Where, in row-major order.
        index: usize,
        /// The value.
        value: f64,
    },
    /// The parameters do not belong to the model.
    #[error(transparent)]
    Model(#[from] ModelError),
}
