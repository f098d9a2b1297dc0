//! The page: title, key figures, sections of prose, figures, tables, warnings and settings; one HTML file.
//!
//! Start with [`Page`]. The template is `page.html`, its looks `style.css`, both embedded. Texts are plain; a
//! little markup is understood in prose: `` `code` ``, `**strong**` and `[text](#section)`.

mod section;
mod table;
mod text;
mod tile;
mod warning;
mod write;

pub use section::Section;
pub use table::{Column, Row, RowKind, Table};
pub use tile::{Status, Tile};
pub use warning::{Severity, Warning};

use std::path::{Path, PathBuf};

use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use serde::Serialize;

use crate::figures::columns;
use crate::theme;
use text::{clean, id_of, prose};

const TEMPLATE: &str = include_str!("page.html");

/// Why a page was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The embedded template failed on the page's content.
    #[error("the page could not be laid out: {0}")]
    Template(#[from] minijinja::Error),
    /// The file could not be written; nothing was left behind.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The page's file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A report under construction.
#[derive(Debug, Clone, Default)]
pub struct Page {
    title: String,
    subtitle: String,
    kicker: String,
    footer: String,
    tiles: Vec<Tile>,
    sections: Vec<Section>,
}

/// What the template sees.
#[derive(Serialize)]
struct Document<'a> {
    title: &'a str,
    subtitle: &'a str,
    kicker: &'a str,
    footer: &'a str,
    tiles: &'a [Tile],
    sections: &'a [Section],
    alarms: String,
    serious: bool,
    tile_columns: usize,
    alarms_at: Option<String>,
    style: String,
    script: &'static str,
}

impl Page {
    /// An empty page.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: clean(title), kicker: "chreode report".to_string(), ..Self::default() }
    }

    /// One or two sentences under the title: what was learned from what.
    pub fn subtitle(&mut self, text: impl Into<String>) -> &mut Self {
        self.subtitle = prose(&clean(text));
        self
    }

    /// The small line over the title; "chreode report" unless set.
    pub fn kicker(&mut self, text: impl Into<String>) -> &mut Self {
        self.kicker = clean(text);
        self
    }

    /// The line at the end: program, version, command.
    pub fn footer(&mut self, text: impl Into<String>) -> &mut Self {
        self.footer = prose(&clean(text));
        self
    }

    /// Appends a key figure.
    pub fn tile(&mut self, tile: Tile) -> &mut Self {
        self.tiles.push(tile);
        self
    }

    /// Appends a section and returns it to be filled. `id` is its anchor: letters, digits and dashes are kept, and a
    /// number is added when it is taken.
    pub fn section(&mut self, id: &str, heading: impl Into<String>) -> &mut Section {
        let base = id_of(id);
        let taken = |id: &str| self.sections.iter().any(|s| s.id == id);
        let mut id = base.clone();
        let mut n = 2;
        while taken(&id) {
            id = format!("{base}-{n}");
            n += 1;
        }
        self.sections.push(Section::new(id, clean(heading)));
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }

    /// The whole HTML document.
    ///
    /// # Errors
    /// [`PageError::Template`] when the template fails.
    pub fn render(&self) -> Result<String, PageError> {
        let mut sections = self.sections.clone();
        section::number_figures(&mut sections);
        let warnings = |severity| sections.iter().map(|s| s.warnings(severity)).sum::<usize>();
        let alarms = warning::summary(warnings(Severity::Serious), warnings(Severity::Caution));
        let alarms_at = sections
            .iter()
            .find(|s| s.warnings(Severity::Serious) + s.warnings(Severity::Caution) > 0)
            .map(|s| s.id.clone());
        let document = Document {
            title: &self.title,
            subtitle: &self.subtitle,
            kicker: &self.kicker,
            footer: &self.footer,
            tiles: &self.tiles,
            sections: &sections,
            alarms,
            serious: warnings(Severity::Serious) > 0,
            tile_columns: columns(self.tiles.len(), 4),
            alarms_at,
            style: theme::stylesheet(),
            script: theme::SCRIPT,
        };
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.add_template("page.html", TEMPLATE)?;
        let html = environment.get_template("page.html")?.render(Serde(document))?;
        Ok(html)
    }

    /// Writes the document to `path` through a temporary file beside it, so that a reader never sees half a page.
    ///
    /// # Errors
    /// [`PageError`] when the page cannot be laid out or written; an older file then stays as it was.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), PageError> {
        let path = path.as_ref();
        let html = self.render()?;
        write::replace(path, html.as_bytes())
            .map_err(|source| PageError::Write { path: path.to_path_buf(), source })
    }
}
