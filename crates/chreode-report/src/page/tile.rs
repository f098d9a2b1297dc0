//! Key figures at the top of the page.

use serde::Serialize;

use super::text::clean;

/// How a key figure is to be taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Neither good nor bad.
    #[default]
    Plain,
    /// As hoped for.
    Good,
    /// Usable with care.
    Warn,
    /// Not to be relied on.
    Bad,
}

/// A key figure: value and unit under a label, with a note.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tile {
    label: String,
    value: String,
    unit: String,
    note: String,
    status: Status,
}

impl Tile {
    /// A value under its label; format numbers with [`number`](crate::number), [`percent`](crate::percent), [`count`](crate::count).
    pub fn new(label: impl Into<String>, value: impl Into<String>) -> Self {
        let (label, value) = (clean(label), clean(value));
        Self { label, value, unit: String::new(), note: String::new(), status: Status::Plain }
    }

    /// The value's unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = clean(unit);
        self
    }

    /// A short sentence that says what to compare the value with.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = clean(note);
        self
    }

    /// How to take the value.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }
}
