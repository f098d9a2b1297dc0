//! Fate probabilities cell by cell: one thin stacked column per cell, sorted so that groups of alike cells show.

use std::fmt::Write as _;

use crate::figures::legend::{self, Key};
use crate::figures::lines::colour_class;
use crate::figures::{Figure, ShapeError, cloud, left_out};
use crate::format::{count, percent};
use crate::frame::{Frame, Width};
use crate::scale::Scale;
use crate::svg::{Anchor, Svg, coordinate};

/// Probabilities of several fates for many cells.
#[derive(Debug, Clone)]
pub struct FateBars<'a> {
    fates: &'a [String],
    probabilities: &'a [f64],
}

impl<'a> FateBars<'a> {
    /// `probabilities` is `[cells, fates]` row-major; rows are drawn as they are, scaled to sum to one.
    ///
    /// # Errors
    /// [`ShapeError`] when the length is not a multiple of the number of fates, or there is no fate.
    pub fn new(fates: &'a [String], probabilities: &'a [f64]) -> Result<Self, ShapeError> {
        let k = fates.len().max(1);
        let whole = if fates.is_empty() { 0 } else { probabilities.len().div_ceil(k) * k };
        ShapeError::check("probabilities of the fates", whole, probabilities.len())?;
        Ok(Self { fates, probabilities })
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let k = self.fates.len().max(1);
        let rows: Vec<Vec<f64>> = self
            .probabilities
            .chunks_exact(k)
            .filter_map(|r| {
                let sum: f64 = r.iter().sum();
                (r.iter().all(|p| p.is_finite() && *p >= 0.0) && sum > 0.0)
                    .then(|| r.iter().map(|p| p / sum).collect())
            })
            .collect();
        let total = self.probabilities.len() / k;
        let mut notes = left_out(total - rows.len(), "cell");
        if rows.is_empty() {
            return Figure::empty(notes);
        }
        let most = 380;
        if rows.len() > most {
            notes.push(format!(
                "A part of the {} cells is drawn; every fate keeps its share.",
                count(rows.len())
            ));
        }
        let means: Vec<f64> =
            (0..k).map(|f| rows.iter().map(|r| r[f]).sum::<f64>() / rows.len() as f64).collect();
        let keys: Vec<Key> = self
            .fates
            .iter()
            .enumerate()
            .map(|(f, name)| {
                Key::new("box", format!("t{f} {}", colour_class(f)), name.clone(), percent(means[f]))
            })
            .collect();
        let legend = legend::keys("fate, and its mean probability", &keys);
        let draw = |width: Width| {
            let limit = if width == Width::Wide { most } else { most / 2 };
            let group: Vec<usize> = rows.iter().map(|r| likeliest(r)).collect();
            let mut shown = cloud::subsample(&group, k, limit);
            // By likeliest fate; inside, from certain to doubtful.
            shown.sort_by(|&a, &b| {
                let (fa, fb) = (group[a], group[b]);
                fa.cmp(&fb).then(rows[b][fa].total_cmp(&rows[a][fa])).then(a.cmp(&b))
            });
            self.at_width(width, &shown.iter().map(|&i| rows[i].as_slice()).collect::<Vec<_>>())
        };
        Figure::chart(draw, &legend, notes)
    }

    fn at_width(&self, width: Width, rows: &[&[f64]]) -> String {
        let (left, right, top) = (42.0, width.units() - 8.0, 28.0);
        let bottom = top + if width == Width::Wide { 190.0 } else { 160.0 };
        let frame = Frame {
            x: Scale::linear((0.0, rows.len() as f64), left, right),
            y: Scale::linear((0.0, 1.0), bottom, top),
            left,
            right,
            top,
            bottom,
        };
        let mut svg =
            Svg::new(width.units(), bottom + 26.0, width.class(), "Fate probabilities of the cells");
        svg.text("axis-title", [1.0, top - 10.0], Anchor::Start, "probability");
        for (v, text) in [(0.0, "0"), (0.5, "0.5"), (1.0, "1")] {
            svg.text("tick", [left - 7.0, frame.y.at(v) + 4.0], Anchor::End, text);
        }
        let w = (right - left) / rows.len() as f64;
        svg.raw("<g class=\"cells calm\">");
        for (f, name) in self.fates.iter().enumerate() {
            let mut d = String::new();
            for (i, r) in rows.iter().enumerate() {
                if r[f] < 1e-3 {
                    continue;
                }
                // The likeliest fate stands at the bottom, the others on it in their order: edges inside a group are smooth.
                let best = likeliest(r);
                let below = if f == best {
                    0.0
                } else {
                    r[best] + (0..f).filter(|&g| g != best).map(|g| r[g]).sum::<f64>()
                };
                let (from, to) = (frame.y.at(below), frame.y.at((below + r[f]).min(1.0)));
                let x = [left + i as f64 * w, left + (i + 1) as f64 * w].map(coordinate);
                let _ = write!(d, "M{} {}H{}V{}H{}z", x[0], coordinate(from), x[1], coordinate(to), x[0]);
            }
            svg.path(&format!("t{f} {}", colour_class(f)), &d, name);
        }
        svg.raw("</g>");
        svg.line("grid over", [left, frame.y.at(0.5)], [right, frame.y.at(0.5)]);
        svg.line("axis", [left, bottom], [right, bottom]);
        let text = format!("{} cells, sorted by their likeliest fate", count(rows.len()));
        svg.text("axis-title", [0.5 * (left + right), bottom + 19.0], Anchor::Middle, &text);
        svg.finish()
    }
}

/// Index of the greatest probability, the first of equal ones.
fn likeliest(row: &[f64]) -> usize {
    (0..row.len()).fold(0, |best, f| if row[f] > row[best] { f } else { best })
}
