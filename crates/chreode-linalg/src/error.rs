//! What can go wrong in a decomposition.

/// A matrix that a decomposition cannot work with.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinalgError {
    /// A slice is not as long as its shape says.
    #[error("{what}: {found} numbers, expected {expected}")]
    Length {
        /// Which argument.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length that the shape asks for.
        expected: usize,
    },
    /// An element is infinite or NaN.
    #[error("matrix element [{row}, {column}] is {value}")]
    NotFinite {
        /// Its row.
        row: usize,
        /// Its column.
        column: usize,
        /// The element.
        value: f64,
    },
    /// A zero pivot.
    #[error("matrix is singular: pivot {pivot} of {n} is zero")]
    Singular {
        /// Which pivot.
        pivot: usize,
        /// Size of the matrix.
        n: usize,
    },
    /// A Cholesky pivot that is not positive.
    #[error("matrix is not positive definite: pivot {pivot} of {n} is not positive")]
    NotPositiveDefinite {
        /// Which pivot.
        pivot: usize,
        /// Size of the matrix.
        n: usize,
    },
    /// An iteration did not converge.
    #[error("{what} of a matrix of size {n} did not converge")]
    NoConvergence {
        /// What was computed.
        what: &'static str,
        /// The larger size of the matrix.
        n: usize,
    },
    /// More components were asked for than there are.
    #[error("{components} components asked of a matrix of {rows} x {columns}")]
    TooManyComponents {
        /// How many were asked for.
        components: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
    },
    /// Exact arithmetic left the range of its integers.
    #[error("integers grow too large in column {column}")]
    IntegerOverflow {
        /// Column of the matrix, followed by its combinations, that was worked on.
        column: usize,
    },
    /// A sparse matrix whose parts contradict each other.
    #[error("sparse matrix: row {row} runs over entries {begin}..{end} of {entries}")]
    SparseRow {
        /// The row.
        row: usize,
        /// Where it begins.
        begin: usize,
        /// Where it ends.
        end: usize,
        /// Entries in all.
        entries: usize,
    },
    /// A sparse matrix with an entry outside of its columns.
    #[error("sparse matrix: entry {entry} lies in column {column} of {columns}")]
    SparseColumn {
        /// The entry.
        entry: usize,
        /// Its column.
        column: usize,
        /// Columns of the matrix.
        columns: usize,
    },
}

/// Checks a row-major matrix: its length, and that all elements are finite.
pub(crate) fn check(a: &[f64], rows: usize, columns: usize) -> Result<(), LinalgError> {
    let expected = rows * columns;
    if a.len() != expected {
        return Err(LinalgError::Length { what: "matrix", found: a.len(), expected });
    }
    match a.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => Err(LinalgError::NotFinite { row: at / columns, column: at % columns, value: a[at] }),
    }
}
