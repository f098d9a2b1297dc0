//! What can be wrong with the data: one error each, with the place and what exists there.

use std::path::PathBuf;

use crate::names::Known;

/// Why data could not be read, understood or written.
///
/// Every message names the file, then the place in it, then what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The operating system refused to read the file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operating system refused to write the file; nothing is left at its place that was not there before.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else than its use asks for.
    #[error("{} is not {expected}: {found}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was expected: `an .h5ad file`.
        expected: &'static str,
        /// What it looks like.
        found: &'static str,
    },
    /// The file ends too early, or its content contradicts itself.
    #[error("{} is truncated or damaged: {detail}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        detail: String,
    },
    /// The table has a header but no rows, or nothing at all.
    #[error("{} holds no rows below its header", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
    },
    /// Two columns of a table have one name.
    #[error("{}: column `{column}` occurs twice in the header", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        column: String,
    },
    /// A row has another number of fields than the header.
    #[error("{}, line {line}: {found} fields, but the header has {expected}", path.display())]
    RaggedRow {
        /// The file.
        path: PathBuf,
        /// Line of the file, the header being line 1.
        line: u64,
        /// Fields in this row.
        found: usize,
        /// Fields in the header.
        expected: usize,
    },
    /// A field of a table holds something else than it must.
    #[error("{}, line {line}, column `{column}`: `{value}` is not {expected}", path.display())]
    BadField {
        /// The file.
        path: PathBuf,
        /// Line of the file, the header being line 1.
        line: u64,
        /// The column's name.
        column: String,
        /// What stands there.
        value: String,
        /// What must stand there: `a finite number`.
        expected: &'static str,
    },
    /// A column, key or gene that does not exist.
    #[error("{} has no {what} `{name}`; {known}", path.display())]
    NoSuchName {
        /// The file.
        path: PathBuf,
        /// What was looked for: `column`, `obsm key`.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// What exists.
        known: Known,
    },
    /// A part of an `.h5ad` file could not be read.
    #[error("{}, `{key}`: {source}", path.display())]
    Hdf5 {
        /// The file.
        path: PathBuf,
        /// The group or array.
        key: String,
        /// What the HDF5 reader said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A part of an `.h5ad` file is stored in a way that is not understood here.
    #[error("{}, `{key}`: stored as {found}, expected {expected}", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The group or array.
        key: String,
        /// How it is stored.
        found: String,
        /// What can be read.
        expected: &'static str,
    },
    /// A part of an `.h5ad` file has a shape that does not fit the others.
    #[error("{}, `{key}`: shape {found:?}, expected {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The group or array.
        key: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that the number of cells and genes asks for (0 where any will do).
        expected: Vec<usize>,
    },
    /// The parts of a matrix contradict each other.
    #[error("{}, `{key}`: {source}", path.display())]
    Matrix {
        /// The file.
        path: PathBuf,
        /// The group.
        key: String,
        /// The contradiction.
        source: crate::matrix::MatrixError,
    },
}
