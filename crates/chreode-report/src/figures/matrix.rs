//! A small matrix as coloured, labelled cells: change of each fate under each perturbation, confusion of fates.

use crate::colour;
use crate::figures::legend;
use crate::figures::{Figure, ShapeError, left_out};
use crate::format::aligned;
use crate::frame::Width;
use crate::scale::extent;
use crate::svg::{Anchor, Svg, text_width};

/// Values of rows by columns.
#[derive(Debug, Clone)]
pub struct Matrix<'a> {
    rows: &'a [String],
    columns: &'a [String],
    values: &'a [f64],
    title: String,
    change: bool,
    range: Option<(f64, f64)>,
}

impl<'a> Matrix<'a> {
    /// `values` is `[rows, columns]` row-major; `title` names them. Stronger blue stands for more.
    ///
    /// # Errors
    /// [`ShapeError`] when there are not as many values as cells.
    pub fn new(
        rows: &'a [String],
        columns: &'a [String],
        values: &'a [f64],
        title: impl Into<String>,
    ) -> Result<Self, ShapeError> {
        ShapeError::check("values of the matrix", rows.len() * columns.len(), values.len())?;
        Ok(Self { rows, columns, values, title: title.into(), change: false, range: None })
    }

    /// The values are changes: colours diverge from zero, and signs are written.
    #[must_use]
    pub fn change(mut self) -> Self {
        self.change = true;
        self
    }

    /// Values of the strongest colours, the same for matrices that are to be compared; without it, the matrix's own.
    #[must_use]
    pub fn range(mut self, lo: f64, hi: f64) -> Self {
        self.range = Some((lo, hi));
        self
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let notes = left_out(self.values.iter().filter(|v| !v.is_finite()).count(), "value");
        let Some(own) = extent(self.values.iter().copied()) else { return Figure::empty(notes) };
        let (lo, hi) = self.range.unwrap_or(own);
        let (lo, hi) = if self.change {
            let reach = lo.abs().max(hi.abs());
            (-reach, reach)
        } else {
            (lo, hi)
        };
        let reach = lo.abs().max(hi.abs());
        let ends = [lo, 0.5 * (lo + hi), hi].map(|v| aligned(v, reach, self.change));
        let letter = if self.change { 'd' } else { 'b' };
        let legend = legend::ramp(&self.title, letter, [&ends[0], &ends[1], &ends[2]], None);
        Figure::chart(|width| self.at_width(width, (lo, hi)), &legend, notes)
    }

    fn at_width(&self, width: Width, (lo, hi): (f64, f64)) -> String {
        let most = if width == Width::Wide { 200.0 } else { 100.0 };
        let left = self.rows.iter().map(|r| text_width(r, 13.0)).fold(30.0, f64::max).min(most) + 12.0;
        let w = ((width.units() - left - 2.0) / self.columns.len().max(1) as f64).min(110.0);
        let h = 26.0;
        let fits = self.columns.iter().all(|c| text_width(c, 12.0) < w - 4.0);
        let head = if fits {
            24.0
        } else {
            self.columns.iter().map(|c| text_width(c, 12.0)).fold(0.0, f64::max).min(110.0) + 10.0
        };
        let reach = lo.abs().max(hi.abs());
        let middle = colour::DIVERGING / 2;
        let height = head + h * self.rows.len() as f64 + 4.0;
        let mut svg = Svg::new(width.units(), height, width.class(), &format!("Table of {}", self.title));
        for (c, name) in self.columns.iter().enumerate() {
            let x = left + (c as f64 + 0.5) * w;
            if fits {
                svg.text("axis-title", [x, head - 9.0], Anchor::Middle, name);
            } else {
                let turn =
                    format!("<g transform=\"translate({:.1} {:.1}) rotate(-90)\">", x + 4.0, head - 6.0);
                svg.raw(&turn);
                svg.label("axis-title", [0.0, 0.0], Anchor::Start, name, 12.0, 110.0);
                svg.raw("</g>");
            }
        }
        for (r, name) in self.rows.iter().enumerate() {
            let y = head + r as f64 * h;
            svg.label("name", [left - 8.0, y + 0.5 * h + 4.5], Anchor::End, name, 13.0, left - 9.0);
            for (c, column) in self.columns.iter().enumerate() {
                let v = self.values[r * self.columns.len() + c];
                let x = left + c as f64 * w;
                let text = aligned(v, reach, self.change);
                let title = format!("{name}, {column}: {text}");
                if !v.is_finite() {
                    svg.rect("void", [x + 1.0, y + 1.0], [w - 2.0, h - 2.0], 3.0, &title);
                    continue;
                }
                let share = if hi > lo { (v - lo) / (hi - lo) } else { 0.5 };
                let k = if self.change {
                    colour::step(share, colour::DIVERGING)
                } else {
                    middle - colour::step(share, middle + 1)
                };
                svg.rect(&format!("d{k} fill"), [x + 1.0, y + 1.0], [w - 2.0, h - 2.0], 3.0, &title);
                if text_width(&text, 11.5) <= w - 3.0 {
                    // Strong colours carry text of the ground's tone, weak ones of the ink's.
                    let tone = if k.abs_diff(middle) > 5 { "cell-text strong" } else { "cell-text" };
                    svg.text(tone, [x + 0.5 * w, y + 0.5 * h + 4.0], Anchor::Middle, &text);
                }
            }
        }
        svg.finish()
    }
}
