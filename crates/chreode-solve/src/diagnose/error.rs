//! Why a diagnosis was not possible.

use chreode_linalg::LinalgError;

use crate::SolveError;

/// Errors of the functions that diagnose a field. Of several rows that fail, the first is named.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DiagnoseError {
    /// What was asked cannot be done; nothing ran.
    #[error(transparent)]
    Arguments(#[from] SolveError),
    /// The field or the solver failed at one state or trajectory.
    #[error("row {row}: {source}")]
    Row {
        /// Number of the row of the states that were given.
        row: usize,
        /// Why.
        source: SolveError,
    },
    /// The Jacobian at a state is not finite, or cannot be decomposed.
    #[error("Jacobian at t = {t}, row {row}: {source}")]
    Matrix {
        /// Number of the row of the states that were given.
        row: usize,
        /// Its time.
        t: f64,
        /// Why.
        source: LinalgError,
    },
    /// The field's Jacobian is one of blocks and leaves out what couples them.
    #[error("the Jacobian leaves out what couples its {blocks} blocks: diagnose the field of one block")]
    Blocks {
        /// Number of blocks.
        blocks: usize,
    },
    /// More Lyapunov exponents were asked for than there are, or none.
    #[error("{asked} Lyapunov exponents asked of {d} coordinates: 1 to {d} exist")]
    Exponents {
        /// How many were asked for.
        asked: usize,
        /// Coordinates of the field.
        d: usize,
    },
    /// Tangent vectors became parallel, vanished or overflowed before they were made orthonormal again.
    #[error(
        "row {row}: tangent {direction} is lost between t = {from} and {to}: make tangents orthonormal more often"
    )]
    TangentLost {
        /// Number of the row of the states that were given.
        row: usize,
        /// Number of the tangent.
        direction: usize,
        /// Start of the interval.
        from: f64,
        /// End of the interval.
        to: f64,
    },
}
