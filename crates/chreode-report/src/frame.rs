//! A plot area with its axes: where data meets drawing units.

use crate::scale::Scale;
use crate::svg::{Anchor, Svg, text_width};

/// The two widths that a chart is drawn for; the style sheet shows the one that fits its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Wide,
    Narrow,
}

impl Width {
    /// Width in drawing units.
    pub(crate) fn units(self) -> f64 {
        match self {
            Self::Wide => 820.0,
            Self::Narrow => 380.0,
        }
    }

    /// About how many ticks the value axis of rows has.
    pub(crate) fn row_ticks(self) -> usize {
        match self {
            Self::Wide => 7,
            Self::Narrow => 4,
        }
    }

    /// Class of the `<svg>`.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Wide => "art wide",
            Self::Narrow => "art narrow",
        }
    }
}

/// Size of tick labels in drawing units, as in the style sheet.
pub(crate) const TICK_SIZE: f64 = 12.0;

/// Room below a plot area for tick labels and the axis title.
pub(crate) const BELOW: f64 = 42.0;

/// A rectangle with a scale on each side.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) x: Scale,
    pub(crate) y: Scale,
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
}

impl Frame {
    /// Drawing position of a data point.
    pub(crate) fn at(&self, p: [f64; 2]) -> [f64; 2] {
        [self.x.at(p[0]), self.y.at(p[1])]
    }

    /// Rows below each other over one value axis: bars, estimates, densities.
    pub(crate) fn rows(
        width: Width,
        range: (f64, f64),
        [left, right]: [f64; 2],
        [top, bottom]: [f64; 2],
    ) -> Self {
        let x = Scale::nice(range, width.row_ticks(), left, right);
        Self { x, y: Scale::linear((0.0, 1.0), bottom, top), left, right, top, bottom }
    }

    /// A drawing of that width with the room that the plot area and its axes take.
    pub(crate) fn start(&self, width: Width, name: &str) -> Svg {
        Svg::new(width.units(), self.bottom + BELOW, width.class(), name)
    }

    /// A vertical line with a short label at its top; at the edge for a value beyond it.
    pub(crate) fn mark(&self, svg: &mut Svg, at: f64, text: &str) {
        let x = self.x.clamped(at);
        svg.line("mark", [x, self.top], [x, self.bottom]);
        let room = text_width(text, TICK_SIZE) + 6.0;
        let (anchor, shift) = if x + room > self.right { (Anchor::End, -5.0) } else { (Anchor::Start, 5.0) };
        let width = (self.right - self.left) * 0.6;
        svg.label("mark-text", [x + shift, self.top + 10.0], anchor, text, TICK_SIZE, width);
    }

    /// Grid lines, base line, tick labels and axis titles.
    pub(crate) fn axes(&self, svg: &mut Svg, x_label: &str, y_label: &str, vertical_grid: bool) {
        let wanted = (((self.right - self.left) / 75.0) as usize).clamp(2, 9);
        self.x_axis(svg, x_label, wanted, vertical_grid);
        for tick in self.y.ticks(y_ticks(self.bottom - self.top)) {
            let y = self.y.at(tick.value);
            svg.line("grid", [self.left, y], [self.right, y]);
            svg.text("tick", [self.left - 7.0, y + 4.0], Anchor::End, &tick.label);
        }
        if !y_label.is_empty() {
            svg.label(
                "axis-title",
                [1.0, self.top - 10.0],
                Anchor::Start,
                y_label,
                TICK_SIZE,
                self.right - 1.0,
            );
        }
    }

    /// Base line with tick labels and the axis title below.
    pub(crate) fn x_axis(&self, svg: &mut Svg, x_label: &str, wanted: usize, grid: bool) {
        let ticks = self.x.ticks(wanted);
        // Labels that would touch are thinned, from the first on.
        let widest = ticks.iter().map(|t| text_width(&t.label, TICK_SIZE)).fold(0.0, f64::max) + 8.0;
        let mut free_from = f64::NEG_INFINITY;
        for tick in &ticks {
            let x = self.x.at(tick.value);
            if grid {
                svg.line("grid", [x, self.top], [x, self.bottom]);
            } else {
                svg.line("axis", [x, self.bottom], [x, self.bottom + 4.0]);
            }
            if x - 0.5 * widest >= free_from {
                svg.text("tick", [x, self.bottom + 18.0], Anchor::Middle, &tick.label);
                free_from = x + 0.5 * widest;
            }
        }
        svg.line("axis", [self.left, self.bottom], [self.right, self.bottom]);
        if !x_label.is_empty() {
            let middle = 0.5 * (self.left + self.right);
            svg.label(
                "axis-title",
                [middle, self.bottom + 36.0],
                Anchor::Middle,
                x_label,
                TICK_SIZE,
                self.right - self.left,
            );
        }
    }

    /// Room that the tick labels of `y` need at the left.
    pub(crate) fn y_room(y: &Scale, height: f64) -> f64 {
        y.ticks(y_ticks(height)).iter().map(|t| text_width(&t.label, TICK_SIZE)).fold(14.0, f64::max) + 11.0
    }
}

/// Ticks that an axis of that height takes.
fn y_ticks(height: f64) -> usize {
    ((height / 48.0) as usize).clamp(2, 8)
}
