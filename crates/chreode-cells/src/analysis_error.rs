//! Errors of what is computed from a learned model: fates, perturbations, trust.

use chreode_core::FieldError;
use chreode_solve::{DiagnoseError, SolveError};
use chreode_train::{LossError, SimulatorError};

use crate::{Known, NeighbourError};

/// Why fates, perturbations or trust could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// A path of the model failed.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// Paths on a device failed.
    #[error(transparent)]
    Device(#[from] SimulatorError),
    /// No kernel holds directions of the state.
    #[error("there is no CUDA kernel for paths with genes that are held")]
    HeldOnDevice,
    /// The model is undefined at a state.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The model could not be linearised.
    #[error(transparent)]
    Diagnose(#[from] DiagnoseError),
    /// Neighbours could not be found.
    #[error(transparent)]
    Neighbours(#[from] NeighbourError),
    /// Weights of paths cannot be normalised.
    #[error(transparent)]
    Weights(#[from] LossError),
    /// Held directions are linearly dependent, or one is zero.
    #[error("the {k} held genes are not independent directions of the state: hold fewer of them")]
    DependentClamps {
        /// Number of directions.
        k: usize,
    },
    /// Too few labelled cells for a read-out.
    #[error("{labelled} labelled cells are too few for a read-out of fates: at least {needed} are needed")]
    FewLabels {
        /// Labelled cells there are.
        labelled: usize,
        /// Labelled cells needed.
        needed: usize,
    },
    /// A fate was asked for twice.
    #[error("the fate `{name}` is named twice")]
    RepeatedFate {
        /// The name.
        name: String,
    },
    /// A fate was asked for that no labelled cell has.
    #[error("no labelled cell has the fate `{name}`; {known}")]
    UnknownFate {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Known,
    },
}
