//! Tables that scroll inside their box on a phone, with reference rows set apart.

use serde::Serialize;

use super::text::{clean, prose};

/// A column's heading and alignment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    name: String,
    numeric: bool,
    hint: String,
}

impl Column {
    /// A column of words, aligned at the left.
    pub fn text(name: impl Into<String>) -> Self {
        Self { name: clean(name), numeric: false, hint: String::new() }
    }

    /// A column of numbers, aligned at the right in figures of one width.
    pub fn numeric(name: impl Into<String>) -> Self {
        Self { name: clean(name), numeric: true, hint: String::new() }
    }

    /// A second, smaller line of the heading: the unit, or which direction is better.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = clean(hint);
        self
    }
}

/// How a row is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RowKind {
    /// As the others.
    #[default]
    Plain,
    /// The row that the reader came for.
    Highlight,
    /// Something to compare with: a base rate, an oracle, a bound.
    Reference,
    /// Begins a group: its first cell is the group's name.
    Heading,
}

/// One row: as many texts as the table has columns; missing ones stay empty, further ones are dropped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    cells: Vec<String>,
    kind: RowKind,
}

impl Row {
    /// An ordinary row.
    pub fn new<S: Into<String>>(cells: impl IntoIterator<Item = S>) -> Self {
        Self { cells: cells.into_iter().map(|c| prose(&clean(c))).collect(), kind: RowKind::Plain }
    }

    /// Sets how the row is set.
    #[must_use]
    pub fn kind(mut self, kind: RowKind) -> Self {
        self.kind = kind;
        self
    }
}

/// A table with a title and a caption.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    title: String,
    caption: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, columns: Vec<Column>) -> Self {
        Self { title: clean(title), caption: String::new(), columns, rows: Vec::new() }
    }

    /// A sentence under the table.
    #[must_use]
    pub fn caption(mut self, text: impl Into<String>) -> Self {
        self.caption = prose(&clean(text));
        self
    }

    /// Appends a row.
    pub fn row(&mut self, mut row: Row) -> &mut Self {
        row.cells.resize(self.columns.len(), String::new());
        self.rows.push(row);
        self
    }
}
