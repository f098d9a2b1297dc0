//! Why a series could not be learned from.

use chreode_adjoint::AdjointError;
use chreode_core::FieldError;

use crate::CheckpointError;

/// Errors of learning from measured series.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// The data do not fit together; `trajectory` and `observation` are positions.
    #[error("series: {what} (trajectory number {trajectory}, observation {observation})")]
    Data {
        /// What is wrong.
        what: &'static str,
        /// Number of the trajectory, from zero.
        trajectory: usize,
        /// Number of its observation, from zero.
        observation: usize,
    },
    /// Nothing is known of a coordinate.
    #[error("coordinate {coordinate} is measured nowhere")]
    NeverMeasured {
        /// The coordinate, from zero.
        coordinate: usize,
    },
    /// A setting is out of its range.
    #[error("{name} = {value}: {rule}")]
    Setting {
        /// Name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        rule: &'static str,
    },
    /// A slice has the wrong length.
    #[error("{what}: found {found}, expected {expected}")]
    Length {
        /// The slice.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        expected: usize,
    },
    /// Simulations failed for one set of parameters after the other, at ever smaller learning rates.
    #[error(
        "update {step}: {source}; it failed {attempts} times at ever smaller learning rates: try a smaller `learning_rate` or shorter windows"
    )]
    Simulation {
        /// Update, from zero.
        step: u64,
        /// How often it was tried.
        attempts: u32,
        /// What happened last.
        source: AdjointError,
    },
    /// Noise that leaves out a direction gives increments no likelihood.
    #[error(
        "the noise has {motions} Brownian motions for {coordinates} coordinates; increments need as many"
    )]
    FewMotions {
        /// Brownian motions.
        motions: usize,
        /// Coordinates.
        coordinates: usize,
    },
    /// Drift or diffusion is undefined at an observation.
    #[error("update {step}: {source}")]
    Field {
        /// Update, from zero.
        step: u64,
        /// What happened.
        source: FieldError,
    },
    /// Loss or gradient became infinite or NaN, though the simulations did not.
    #[error("update {step}: loss or gradient is not finite; try a smaller `learning_rate`")]
    NotFinite {
        /// Update, from zero.
        step: u64,
    },
    /// The state to go on from is damaged or of another fit.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}
