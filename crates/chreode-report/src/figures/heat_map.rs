//! A value over the plane as colours, blank where no cell is near: diffusion as a map.

use std::fmt::Write as _;

use crate::colour;
use crate::figures::Figure;
use crate::figures::scatter::{panel, robust_range, value_legend};
use crate::format::number;
use crate::grid::ScalarGrid;
use crate::svg::coordinate;

/// A map of one value on a lattice.
#[derive(Debug, Clone)]
pub struct HeatMap<'a> {
    grid: &'a ScalarGrid,
    title: String,
    labels: [String; 2],
    range: Option<(f64, f64)>,
}

impl<'a> HeatMap<'a> {
    /// A map; `title` names the value and its unit.
    pub fn new(grid: &'a ScalarGrid, title: impl Into<String>) -> Self {
        Self { grid, title: title.into(), labels: [String::new(), String::new()], range: None }
    }

    /// Values at the two ends of the colours, the same for maps that are to be compared; without it, the map's own 1 % and 99 % quantiles.
    #[must_use]
    pub fn range(mut self, lo: f64, hi: f64) -> Self {
        self.range = Some((lo, hi));
        self
    }

    /// Titles of the axes.
    #[must_use]
    pub fn labels(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.labels = [x.into(), y.into()];
        self
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let l = self.grid.lattice;
        let values = &self.grid.values;
        let filled = values.iter().filter(|v| v.is_finite()).count();
        if filled == 0 {
            return Figure::empty(vec!["No place of the map has enough cells.".to_string()]);
        }
        let (from, to) = ([l.x0 - 0.5 * l.dx, l.y0 - 0.5 * l.dy], l.node(l.nx - 1, l.ny - 1));
        let extents = [(from[0], to[0] + 0.5 * l.dx), (from[1], to[1] + 0.5 * l.dy)];
        let (mut svg, frame) = panel(extents, &self.labels, &format!("Map of {}", self.title), true);

        let (lo, hi) = self.range.unwrap_or_else(|| robust_range(values));
        let step =
            |v: f64| colour::step(if hi > lo { (v - lo) / (hi - lo) } else { 0.5 }, colour::SEQUENTIAL);
        let mut d = vec![String::new(); colour::SEQUENTIAL];
        // Rectangles overlap a little, so that rounding leaves no seams.
        let height = l.dy * frame.y.slope().abs() + 0.4;
        for j in 0..l.ny {
            let row = &values[j * l.nx..(j + 1) * l.nx];
            let mut i = 0;
            while i < l.nx {
                if !row[i].is_finite() {
                    i += 1;
                    continue;
                }
                // Neighbours of one colour are one rectangle.
                let (q, start) = (step(row[i]), i);
                while i < l.nx && row[i].is_finite() && step(row[i]) == q {
                    i += 1;
                }
                let [x, y] = frame.at([l.x0 + (start as f64 - 0.5) * l.dx, l.y0 + (j as f64 + 0.5) * l.dy]);
                let w = (i - start) as f64 * l.dx * frame.x.slope()
                    + if i < l.nx && row[i].is_finite() { 0.4 } else { 0.0 };
                let (w, h) = (coordinate(w), coordinate(height));
                let _ = write!(d[q], "M{} {}h{w}v{h}h-{w}z", coordinate(x), coordinate(y));
            }
        }
        svg.raw("<g class=\"cells\">");
        for (q, d) in d.iter().enumerate() {
            let edge = |k: usize| number(lo + (hi - lo) * k as f64 / colour::SEQUENTIAL as f64, 3);
            svg.path(&format!("q{q}"), d, &format!("{}: {} to {}", self.title, edge(q), edge(q + 1)));
        }
        svg.raw("</g>");

        let masked = (filled < l.len()).then_some("blank: too few cells");
        Figure::square(&svg.finish(), &value_legend(&self.title, values, (lo, hi), masked), Vec::new())
    }
}
