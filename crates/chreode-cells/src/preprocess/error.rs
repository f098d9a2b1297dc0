//! Why expression could not be turned into coordinates.

use chreode_linalg::LinalgError;

use crate::names::Known;

/// Why expression could not be turned into coordinates.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// An entry that cannot be what the matrix is said to hold.
    #[error("cell {row}, gene `{gene}`: {value} is not {expected}")]
    BadEntry {
        /// Row of the cell, from 0.
        row: usize,
        /// The gene.
        gene: String,
        /// The entry.
        value: f32,
        /// What it must be.
        expected: &'static str,
    },
    /// A gene that the transform needs is not among those of the new cells.
    #[error("{missing} of the {needed} genes needed are missing, first `{gene}`; {known}")]
    MissingGenes {
        /// How many are missing.
        missing: usize,
        /// How many are needed.
        needed: usize,
        /// The first missing one.
        gene: String,
        /// The genes there are.
        known: Box<Known>,
    },
    /// A gene that the transform needs is there more than once.
    #[error("gene `{gene}` is needed and occurs more than once")]
    AmbiguousGene {
        /// The gene.
        gene: String,
    },
    /// Too much is missing of what a cell's counts are totalled over.
    #[error(
        "{missing} of the {all} genes that a cell's counts are totalled over are missing, and with them {:.1} % of the counts; \
         so cells cannot be normalised as the fitted ones were",
        100.0 * share
    )]
    MissingCounts {
        /// How many are missing.
        missing: usize,
        /// How many there were in the fitted file.
        all: usize,
        /// The part that the missing ones had in all counts of the fitted cells.
        share: f64,
    },
    /// No gene differs between the cells.
    #[error("no gene differs between the {cells} cells, so they have no principal components")]
    NoVariation {
        /// Number of cells.
        cells: usize,
    },
    /// The genes that were chosen do not fit in memory, and the file that is to hold them fails.
    #[error("the file that holds the chosen genes between passes: {kind}")]
    Scratch {
        /// What the system said.
        kind: std::io::ErrorKind,
    },
    /// The decomposition failed.
    #[error("principal components: {0}")]
    Linalg(#[from] LinalgError),
}
