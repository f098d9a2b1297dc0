//! Curves over a common axis, with bands and marks: losses of training and hold-out, values over time.

use std::fmt::Write as _;

use crate::figures::legend::{self, Key};
use crate::figures::{Figure, left_out};
use crate::format::number;
use crate::frame::{Frame, Width};
use crate::scale::{Scale, extent};
use crate::svg::{coordinate, polyline};

/// Longest series that is drawn point by point; longer ones keep least and greatest of each bucket.
const MOST_POINTS: usize = 600;

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    name: String,
    points: Vec<[f64; 2]>,
    dashed: bool,
    band: Vec<[f64; 3]>,
    note: String,
}

impl Series {
    /// A curve through `points`; a point that is not finite makes a gap.
    pub fn new(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self { name: name.into(), points, dashed: false, band: Vec::new(), note: String::new() }
    }

    /// Draws it dashed: a reference rather than a result.
    #[must_use]
    pub fn dashed(mut self) -> Self {
        self.dashed = true;
        self
    }

    /// A band behind the curve: x, lower end, upper end.
    #[must_use]
    pub fn band(mut self, band: Vec<[f64; 3]>) -> Self {
        self.band = band;
        self
    }

    /// A note in the legend, such as the last value.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// A chart of curves.
#[derive(Debug, Clone)]
pub struct Lines {
    series: Vec<Series>,
    labels: [String; 2],
    log_x: bool,
    log_y: bool,
    from_zero: bool,
    marks: Vec<(f64, String)>,
}

impl Lines {
    /// A chart with linear axes.
    pub fn new(series: Vec<Series>) -> Self {
        let labels = [String::new(), String::new()];
        Self { series, labels, log_x: false, log_y: false, from_zero: false, marks: Vec::new() }
    }

    /// Titles of the axes.
    #[must_use]
    pub fn labels(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.labels = [x.into(), y.into()];
        self
    }

    /// Logarithmic x axis; points at or below zero are left out.
    #[must_use]
    pub fn log_x(mut self) -> Self {
        self.log_x = true;
        self
    }

    /// Logarithmic y axis; points at or below zero are left out.
    #[must_use]
    pub fn log_y(mut self) -> Self {
        self.log_y = true;
        self
    }

    /// Lets the y axis begin at zero.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    /// A vertical line with a short label, such as the best step.
    #[must_use]
    pub fn mark(mut self, x: f64, label: impl Into<String>) -> Self {
        self.marks.push((x, label.into()));
        self
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let total: usize = self.series.iter().map(|s| s.points.len()).sum();
        let usable = |p: &[f64; 2]| {
            p[0].is_finite() && p[1].is_finite() && (!self.log_x || p[0] > 0.0) && (!self.log_y || p[1] > 0.0)
        };
        let finite: usize = self.series.iter().map(|s| s.points.iter().filter(|p| usable(p)).count()).sum();
        let notes = left_out(total - finite, "point");
        if finite == 0 {
            return Figure::empty(notes);
        }
        // Gaps stay where points were unusable.
        let series: Vec<Vec<[f64; 2]>> = self
            .series
            .iter()
            .map(|s| {
                thin(&s.points.iter().map(|p| if usable(p) { *p } else { [f64::NAN; 2] }).collect::<Vec<_>>())
            })
            .collect();
        let keys: Vec<Key> = self
            .series
            .iter()
            .enumerate()
            .map(|(i, s)| {
                let dash = if s.dashed { " dashed" } else { "" };
                Key::new("line", format!("t{i} {}{dash}", colour_class(i)), s.name.clone(), s.note.clone())
            })
            .collect();
        let legend = if self.series.len() > 1 || !self.series[0].note.is_empty() {
            legend::keys("", &keys)
        } else {
            String::new()
        };
        Figure::chart(|width| self.at_width(width, &series), &legend, notes)
    }

    fn at_width(&self, width: Width, series: &[Vec<[f64; 2]>]) -> String {
        let all = || series.iter().flatten().filter(|p| p[0].is_finite());
        let bands = || self.series.iter().flat_map(|s| &s.band).filter(|b| !self.log_y || b[1] > 0.0);
        let x = extent(all().map(|p| p[0])).unwrap_or((0.0, 1.0));
        let y = all().map(|p| p[1]).chain(bands().flat_map(|b| [b[1], b[2]]));
        let y = extent(y.chain(self.from_zero.then_some(0.0))).unwrap_or((0.0, 1.0));
        let (top, bottom) = (30.0, if width == Width::Wide { 300.0 } else { 250.0 });
        let y = if self.log_y {
            Scale::log((y.0 / 1.1, y.1 * 1.1), bottom, top)
        } else {
            Scale::nice(y, 5, bottom, top)
        };
        let left = Frame::y_room(&y, bottom - top);
        let right = width.units() - 14.0;
        let x = if self.log_x { Scale::log(x, left, right) } else { Scale::linear(x, left, right) };
        let frame = Frame { x, y, left, right, top, bottom };

        let names: Vec<&str> = self.series.iter().map(|s| s.name.as_str()).collect();
        let label = format!("Line chart of {}", names.join(", "));
        let mut svg = frame.start(width, &label);
        frame.axes(&mut svg, &self.labels[0], &self.labels[1], false);
        for (at, text) in self.marks.iter().filter(|m| (frame.x.lo..=frame.x.hi).contains(&m.0)) {
            frame.mark(&mut svg, *at, text);
        }
        for (i, (s, points)) in self.series.iter().zip(series).enumerate() {
            let class = format!("t{i} {}", colour_class(i));
            svg.path(&format!("{class} band"), &band_path(&s.band, &frame, self.log_y), "");
            let places: Vec<[f64; 2]> = points.iter().map(|&p| frame.at(p)).collect();
            let kind = if s.dashed {
                " dashed"
            } else if places.len() > 250 {
                " fine"
            } else {
                ""
            };
            svg.path(&format!("{class} curve{kind}"), &polyline(&places), "");
            if points.len() <= 40 {
                for (p, at) in points.iter().zip(&places).filter(|(p, _)| p[0].is_finite()) {
                    let title = format!("{}: {} at {}", s.name, number(p[1], 4), number(p[0], 4));
                    let (kind, radius) = if s.dashed { ("speck", 2.4) } else { ("spot", 3.6) };
                    svg.circle(&format!("{class} {kind}"), *at, radius, &title);
                }
            }
        }
        svg.finish()
    }
}

/// Colour class of the `i`-th series.
pub(crate) fn colour_class(i: usize) -> String {
    if i < crate::colour::CATEGORIES { format!("k{i}") } else { "kx".to_string() }
}

fn band_path(band: &[[f64; 3]], frame: &Frame, log_y: bool) -> String {
    let usable: Vec<&[f64; 3]> =
        band.iter().filter(|b| b.iter().all(|v| v.is_finite()) && (!log_y || b[1] > 0.0)).collect();
    if usable.len() < 2 {
        return String::new();
    }
    let mut d = String::new();
    let upper = usable.iter().map(|b| frame.at([b[0], b[2]]));
    let lower = usable.iter().rev().map(|b| frame.at([b[0], b[1]]));
    for (n, p) in upper.chain(lower).enumerate() {
        let _ = write!(d, "{}{} {}", if n == 0 { 'M' } else { 'L' }, coordinate(p[0]), coordinate(p[1]));
    }
    d.push('Z');
    d
}

/// A long series as the least and the greatest point of each of equally long stretches, so that spikes stay visible.
fn thin(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let mut out = Vec::with_capacity(MOST_POINTS + 2);
    for stretch in points.chunks(points.len().div_ceil(MOST_POINTS / 2)) {
        let finite = || stretch.iter().enumerate().filter(|(_, p)| p[1].is_finite());
        let least = finite().min_by(|a, b| a.1[1].total_cmp(&b.1[1]));
        let greatest = finite().max_by(|a, b| a.1[1].total_cmp(&b.1[1]));
        match (least, greatest) {
            (Some((i, a)), Some((j, b))) if i < j => out.extend([*a, *b]),
            (Some((i, a)), Some((j, b))) if i > j => out.extend([*b, *a]),
            (Some((_, a)), _) => out.push(*a),
            _ => out.push([f64::NAN; 2]),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_spikes_and_gaps() {
        let mut points: Vec<[f64; 2]> = (0..10_000).map(|i| [f64::from(i), 1.0]).collect();
        points[1234][1] = 50.0;
        for p in &mut points[5000..6000] {
            *p = [f64::NAN; 2];
        }
        let thin = thin(&points);
        assert!(thin.len() <= MOST_POINTS + 2);
        assert!(thin.contains(&[1234.0, 50.0]));
        assert!(thin.iter().any(|p| p[0].is_nan()));
        assert!(thin.windows(2).all(|w| w[0][0].is_nan() || w[1][0].is_nan() || w[1][0] > w[0][0]));
    }
}
