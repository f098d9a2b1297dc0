//! The page and the figures of a chreode report: one HTML file that needs no network, readable on a phone and
//! on paper, in light and in dark.
//!
//! Start with [`Page`]: a title, key figures as [`Tile`]s, and [`Section`]s that hold prose, figures, tables,
//! warnings and settings. Each figure is a struct with public options and a `draw` method that gives a
//! [`Figure`] (inline SVG and its legend); the page numbers it and puts the caption under it.
//!
//! * What the figures show is decided by the caller; nothing here computes a model.
//! * Same input, same bytes: no clock, no random numbers, no hash-map order.
//! * Values that are not finite are left out and counted in the caption.
//! * Text is escaped everywhere; a caller never writes HTML.
//!
//! ```
//! use chreode_report::{Lines, Page, Series};
//!
//! let mut page = Page::new("Myeloid differentiation");
//! let loss = Lines::new(vec![Series::new("training", vec![[0.0, 1.0], [1.0, 0.4], [2.0, 0.3]])])
//!     .labels("step", "loss").draw();
//! let section = page.section("training", "How the fit went");
//! section.text("The loss falls and stays down.");
//! section.figure("Loss curve", "Lower is better.", &loss);
//! let html = page.render().unwrap();
//! assert!(html.starts_with("<!DOCTYPE html>"));
//! ```

mod colour;
mod figures;
mod format;
mod frame;
mod grid;
mod page;
mod scale;
mod svg;
mod theme;

pub use figures::{
    BarSeries, Bars, Calibration, CalibrationBin, ColourBy, FateBars, Figure, Forest, ForestRow, HeatMap,
    Histogram, Lines, Matrix, Ridgelines, Scatter, Series, ShapeError, Streamlines,
};
pub use format::{count, number, percent, signed};
pub use grid::{Lattice, ScalarGrid, VectorGrid};
pub use page::{Column, Page, PageError, Row, RowKind, Section, Severity, Status, Table, Tile, Warning};
pub use theme::stylesheet;
