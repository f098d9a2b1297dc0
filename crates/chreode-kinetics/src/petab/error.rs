//! What may be wrong with the files of a problem.

use crate::math::MathError;

/// Errors of reading a problem. Rows count from one, the header not counted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PetabError {
    /// The problem's YAML file is not as it should be.
    #[error("{message}")]
    Yaml {
        /// What is wrong and where.
        message: String,
    },
    /// A version that is not read.
    #[error("format_version is {version}: version 1 is supported")]
    Version {
        /// The version.
        version: String,
    },
    /// A table that cannot be read as one.
    #[error("not a tab-separated table: {message}")]
    Table {
        /// What is wrong and where.
        message: String,
    },
    /// A column is missing.
    #[error("there is no column `{column}`")]
    Column {
        /// The column.
        column: String,
    },
    /// A cell that is empty, or cannot be what it is.
    #[error("row {row}, {column}: {value:?} is not {expected}")]
    Cell {
        /// The row.
        row: usize,
        /// The column.
        column: String,
        /// What the cell holds.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// An id that nothing has.
    #[error("row {row}, {column}: there is no {expected} `{id}`")]
    Unknown {
        /// The row.
        row: usize,
        /// The column.
        column: String,
        /// What it should be.
        expected: &'static str,
        /// The id.
        id: String,
    },
    /// Two rows with the same id.
    #[error("row {row}: the {column} `{id}` was there before")]
    Duplicate {
        /// The row.
        row: usize,
        /// The column.
        column: &'static str,
        /// The id.
        id: String,
    },
    /// A column of the condition table that sets what cannot be set.
    #[error("column `{column}` names {why}")]
    Target {
        /// The column.
        column: String,
        /// Why it cannot be set.
        why: &'static str,
    },
    /// A parameter of the table that the model has as something which is no constant.
    #[error("row {row}: the model does not have `{id}` as a constant")]
    NotConstant {
        /// The row.
        row: usize,
        /// The parameter.
        id: String,
    },
    /// A formula that cannot be used.
    #[error("row {row}, {column}: {source}")]
    Formula {
        /// The row.
        row: usize,
        /// The column.
        column: &'static str,
        /// What is wrong.
        source: MathError,
    },
    /// A measurement that gives too few or too many values for the placeholders of its observable.
    #[error("row {row}, {column}: {got} values, but `{observable}` has {expected} placeholders")]
    Placeholders {
        /// The row.
        row: usize,
        /// The column.
        column: &'static str,
        /// The observable.
        observable: String,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
    },
    /// Something of PEtab that is not supported.
    #[error("{what} not supported")]
    Unsupported {
        /// What it is ("models in more than one SBML file are").
        what: &'static str,
    },
}
