//! A section of the page: an anchor, a heading, and blocks in the order in which they were added.

use serde::Serialize;

use super::table::Table;
use super::text::{clean, prose};
use super::warning::{Severity, Warning};
use crate::figures::Figure;

/// A section; made by [`Page::section`](crate::Page::section).
#[derive(Debug, Clone, Serialize)]
pub struct Section {
    pub(super) id: String,
    pub(super) heading: String,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Block {
    Prose { html: String },
    Figure { number: usize, title: String, html: String, caption: String, half: bool },
    Table { table: Table },
    Warnings { warnings: Vec<Warning> },
    Settings { title: String, rows: Vec<(String, String)> },
}

impl Section {
    pub(super) fn new(id: String, heading: String) -> Self {
        Self { id, heading, blocks: Vec::new() }
    }

    /// A paragraph.
    pub fn text(&mut self, text: impl Into<String>) -> &mut Self {
        self.blocks.push(Block::Prose { html: prose(&clean(text)) });
        self
    }

    /// A figure over the whole width; `caption` says what to see in it.
    pub fn figure(
        &mut self,
        title: impl Into<String>,
        caption: impl Into<String>,
        figure: &Figure,
    ) -> &mut Self {
        self.add_figure(clean(title), &clean(caption), figure, false)
    }

    /// A figure over half the width: two in a row stand side by side where there is room.
    pub fn half_figure(
        &mut self,
        title: impl Into<String>,
        caption: impl Into<String>,
        figure: &Figure,
    ) -> &mut Self {
        self.add_figure(clean(title), &clean(caption), figure, true)
    }

    fn add_figure(&mut self, title: String, caption: &str, figure: &Figure, half: bool) -> &mut Self {
        let mut caption = prose(caption);
        for note in figure.notes() {
            if !caption.is_empty() {
                caption.push(' ');
            }
            caption.push_str(&prose(&clean(note.as_str())));
        }
        self.blocks.push(Block::Figure { number: 0, title, html: figure.html().to_string(), caption, half });
        self
    }

    /// A table.
    pub fn table(&mut self, table: Table) -> &mut Self {
        self.blocks.push(Block::Table { table });
        self
    }

    /// Warnings, the most serious first.
    pub fn warn(&mut self, mut warnings: Vec<Warning>) -> &mut Self {
        warnings.sort_by_key(|w| w.severity);
        self.blocks.push(Block::Warnings { warnings });
        self
    }

    /// Settings as names and values.
    pub fn settings<K: Into<String>, V: Into<String>>(
        &mut self,
        title: impl Into<String>,
        rows: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        let rows = rows.into_iter().map(|(k, v)| (clean(k), clean(v))).collect();
        self.blocks.push(Block::Settings { title: clean(title), rows });
        self
    }

    pub(super) fn warnings(&self, severity: Severity) -> usize {
        let of = |b: &Block| match b {
            Block::Warnings { warnings } => warnings.iter().filter(|w| w.severity == severity).count(),
            _ => 0,
        };
        self.blocks.iter().map(of).sum()
    }
}

/// Numbers the figures through the page, from 1.
pub(super) fn number_figures(sections: &mut [Section]) {
    let mut next = 1;
    for block in sections.iter_mut().flat_map(|s| &mut s.blocks) {
        if let Block::Figure { number, .. } = block {
            *number = next;
            next += 1;
        }
    }
}
