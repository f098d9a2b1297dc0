//! The figures, one file each: a struct with public options and `draw`, which gives a [`Figure`].
//!
//! Start with `lines.rs` (a chart in two widths) or `scatter.rs` (a square panel with its legend beside it).
//! Shared: `cloud.rs` (thousands of dots in few bytes), `legend.rs`. Not here: scales and axes (`scale`, `frame`).

mod bars;
mod calibration;
mod cloud;
mod fate_bars;
mod forest;
mod heat_map;
mod histogram;
mod legend;
mod lines;
mod matrix;
mod ridgelines;
mod scatter;
mod streamlines;

pub use bars::{BarSeries, Bars};
pub use calibration::{Calibration, CalibrationBin};
pub use fate_bars::FateBars;
pub use forest::{Forest, ForestRow};
pub use heat_map::HeatMap;
pub use histogram::Histogram;
pub use lines::{Lines, Series};
pub use matrix::Matrix;
pub use ridgelines::Ridgelines;
pub use scatter::{ColourBy, Scatter};
pub use streamlines::Streamlines;

use crate::format::count;
use crate::frame::Width;
use crate::svg::escape;

/// Two inputs of a figure that must be equally long are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {expected} needed, {found} given")]
pub struct ShapeError {
    /// What has the wrong length.
    pub what: &'static str,
    /// The length that fits the other inputs.
    pub expected: usize,
    /// The length that was given.
    pub found: usize,
}

impl ShapeError {
    pub(crate) fn check(what: &'static str, expected: usize, found: usize) -> Result<(), Self> {
        if expected == found { Ok(()) } else { Err(Self { what, expected, found }) }
    }
}

/// A drawn figure: inline SVG with its legend, and notes for its caption (values left out, points not shown).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    html: String,
    notes: Vec<String>,
}

impl Figure {
    /// The markup: SVG and legend, coloured by the classes of [`stylesheet`](crate::stylesheet).
    pub fn html(&self) -> &str {
        &self.html
    }

    /// Sentences that the page adds to the caption.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Small multiples: titled panels side by side where there is room, below each other on a phone.
    pub fn grid(panels: &[(String, Self)]) -> Self {
        let mut grid = Self::panels(panels, "large", 2);
        grid.html = format!("<div class=\"fig\">{}</div>", grid.html);
        grid
    }

    /// Panels in at most `most` columns where there is room.
    fn panels(panels: &[(String, Self)], size: &str, most: usize) -> Self {
        let mut html = format!("<div class=\"panels {size} n{}\">", columns(panels.len(), most));
        let mut notes: Vec<String> = Vec::new();
        for (title, panel) in panels {
            html.push_str("<div class=\"panel\"><div class=\"panel-title\">");
            html.push_str(&escape(title));
            html.push_str("</div>");
            html.push_str(&panel.html);
            html.push_str("</div>");
            notes.extend(panel.notes.iter().map(|n| format!("{title}: {n}")));
        }
        html.push_str("</div>");
        Self { html, notes }
    }

    /// A chart that was drawn for both widths.
    fn chart(draw: impl Fn(Width) -> String, legend: &str, notes: Vec<String>) -> Self {
        let html =
            format!("<div class=\"fig chart\">{}{}{legend}</div>", draw(Width::Wide), draw(Width::Narrow));
        Self { html, notes }
    }

    /// A square panel with its legend beside or below it.
    fn square(svg: &str, legend: &str, notes: Vec<String>) -> Self {
        Self {
            html: format!("<div class=\"fig square\"><div class=\"stage\">{svg}</div>{legend}</div>"),
            notes,
        }
    }

    /// What stands in the place of a figure without data.
    fn empty(notes: Vec<String>) -> Self {
        Self { html: "<div class=\"fig nothing\">No data to show.</div>".to_string(), notes }
    }
}

/// Columns, three at least, that leave the fewest empty places in the last row.
pub(crate) fn columns(n: usize, most: usize) -> usize {
    if n <= most {
        return n.max(1);
    }
    (3.min(most)..=most).rev().min_by_key(|c| n.next_multiple_of(*c) - n).unwrap_or(most)
}

/// The caption's note on values that were left out.
fn left_out(n: usize, what: &str) -> Vec<String> {
    if n == 0 {
        return Vec::new();
    }
    let verb = if n == 1 { "is" } else { "are" };
    vec![format!(
        "{} {what}{} without a finite value {verb} left out.",
        count(n),
        if n == 1 { "" } else { "s" }
    )]
}
