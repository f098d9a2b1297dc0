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
}
