//! Curves over a common axis, with bands and marks: losses of training and hold-out, values over time.

use std::fmt::Write as _;

use crate::figures::legend::{self, Key};
use crate::figures::{Figure, left_out};
use crate::format::number;
use crate::frame::{BELOW, Frame, Width};
use crate::scale::{Scale, extent};
use crate::svg::{Anchor, Svg, coordinate, polyline, text_width};
use crate::theme::stylesheet;

/// Height of the legend in a file of its own.
const LEGEND_ROW: f64 = 28.0;

/// Longest series that is drawn point by point; longer ones keep least and greatest of each bucket.
const MOST_POINTS: usize = 600;

/// One curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    name: String,
    points: Vec<[f64; 2]>,
    dashed: bool,
    dots: bool,
    colour: Option<usize>,
    band: Vec<[f64; 3]>,
    note: String,
}

impl Series {
    /// A curve through `points`; a point that is not finite makes a gap.
    pub fn new(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self {
            name: name.into(),
            points,
            dashed: false,
            dots: false,
            colour: None,
            band: Vec::new(),
            note: String::new(),
        }
    }

    /// Draws it dashed: a reference rather than a result.
    #[must_use]
    pub fn dashed(mut self) -> Self {
        self.dashed = true;
        self
    }

    /// Draws its points alone: measurements.
    #[must_use]
    pub fn dots(mut self) -> Self {
        self.dots = true;
        self
    }

    /// The colour of series number `i` of the chart, from zero, instead of its own: measurements beside the curve through them.
    #[must_use]
    pub fn colour_of(mut self, i: usize) -> Self {
        self.colour = Some(i);
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

    /// Draws it as a file of its own: an SVG of one width, with its legend below and its style inside.
    pub fn svg(&self) -> String {
        let series: Vec<_> = self.series.iter().map(|s| thin(&self.usable(s))).collect();
        let (mut svg, below) = self.drawing(Width::Wide, &series, LEGEND_ROW);
        svg.raw(&format!("<style>{}svg{{font-family:sans-serif}}</style>", stylesheet()));
        let (mut x, y) = (14.0, below + 0.5 * LEGEND_ROW);
        for (i, s) in self.series.iter().enumerate() {
            let class = format!("t{i} {}", colour_class(s.colour.unwrap_or(i)));
            if s.dots {
                svg.circle(&format!("{class} speck"), [x + 12.0, y - 4.0], 3.0, "");
            } else {
                let kind = if s.dashed { " dashed" } else { "" };
                svg.line(&format!("{class} curve{kind}"), [x, y - 4.0], [x + 24.0, y - 4.0]);
            }
            let text = if s.note.is_empty() { s.name.clone() } else { format!("{} {}", s.name, s.note) };
            svg.text("name", [x + 30.0, y], Anchor::Start, &text);
            x += text_width(&text, 13.0) + 54.0;
        }
        svg.finish()
    }

    /// The points of a series, NaN where they cannot be drawn.
    fn usable(&self, s: &Series) -> Vec<[f64; 2]> {
        let usable = |p: &[f64; 2]| {
            p[0].is_finite() && p[1].is_finite() && (!self.log_x || p[0] > 0.0) && (!self.log_y || p[1] > 0.0)
        };
        s.points.iter().map(|p| if usable(p) { *p } else { [f64::NAN; 2] }).collect()
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let usable: Vec<_> = self.series.iter().map(|s| self.usable(s)).collect();
        let total: usize = usable.iter().map(Vec::len).sum();
        let finite = usable.iter().flatten().filter(|p| p[0].is_finite()).count();
        let notes = left_out(total - finite, "point");
        if finite == 0 {
            return Figure::empty(notes);
        }
        // Gaps stay where points were unusable.
        let series: Vec<_> = usable.iter().map(|points| thin(points)).collect();
        let keys: Vec<Key> = self
            .series
            .iter()
            .enumerate()
            .map(|(i, s)| {
                let dash = if s.dashed { " dashed" } else { "" };
                Key::new(
                    if s.dots { "dot" } else { "line" },
                    format!("t{i} {}{dash}", colour_class(s.colour.unwrap_or(i))),
                    s.name.clone(),
                    s.note.clone(),
                )
            })
            .collect();
        let legend = if self.series.len() > 1 || !self.series[0].note.is_empty() {
            legend::keys("", &keys)
        } else {
            String::new()
        };
        Figure::chart(|width| self.drawing(width, &series, 0.0).0.finish(), &legend, notes)
    }

    /// The chart with so much room below it, and where that room begins.
    fn drawing(&self, width: Width, series: &[Vec<[f64; 2]>], room: f64) -> (Svg, f64) {
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
        let below = bottom + BELOW;
        let mut svg = Svg::new(width.units(), below + room, width.class(), &label);
        frame.axes(&mut svg, &self.labels[0], &self.labels[1], false);
        for (at, text) in self.marks.iter().filter(|m| (frame.x.lo..=frame.x.hi).contains(&m.0)) {
            frame.mark(&mut svg, *at, text);
        }
        for (i, (s, points)) in self.series.iter().zip(series).enumerate() {
            let class = format!("t{i} {}", colour_class(s.colour.unwrap_or(i)));
            svg.path(&format!("{class} band"), &band_path(&s.band, &frame, self.log_y), "");
            let places: Vec<[f64; 2]> = points.iter().map(|&p| frame.at(p)).collect();
            let kind = if s.dashed {
                " dashed"
            } else if places.len() > 250 {
                " fine"
            } else {
                ""
            };
            if !s.dots {
                svg.path(&format!("{class} curve{kind}"), &polyline(&places), "");
            }
            if points.len() <= 40 || s.dots {
                for (p, at) in points.iter().zip(&places).filter(|(p, _)| p[0].is_finite()) {
                    let title = format!("{}: {} at {}", s.name, number(p[1], 4), number(p[0], 4));
                    let (kind, radius) = if s.dashed || s.dots { ("speck", 2.4) } else { ("spot", 3.6) };
                    svg.circle(&format!("{class} {kind}"), *at, radius, &title);
                }
            }
        }
        (svg, below)
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
    fn a_file_of_its_own_has_style_and_legend() {
        let dots = Series::new("measured <b>", vec![[0.0, 1.0], [f64::NAN, 2.0], [2.0, 3.0]]).dots();
        let svg = Lines::new(vec![Series::new("fit", vec![[0.0, 1.0], [2.0, 3.0]]), dots]).svg();
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>") && svg.contains("<style>"));
        assert!(svg.contains(">fit</text>") && svg.contains(">measured &lt;b&gt;</text>"));
        // Two measurements and their key, each a dot; one curve and its key.
        assert_eq!(svg.matches("<circle class=\"t1 k1 speck\"").count(), 3);
        assert_eq!((svg.matches("class=\"t0 k0 curve").count(), svg.matches("k1 curve").count()), (2, 0));
    }

    #[test]
    fn measurements_take_the_colour_of_their_curve() {
        let dots = Series::new("measured", vec![[0.0, 1.0], [2.0, 3.0]]).dots().colour_of(0);
        let svg = Lines::new(vec![Series::new("fit", vec![[0.0, 1.0], [2.0, 3.0]]), dots]).svg();
        assert_eq!(svg.matches("<circle class=\"t1 k0 speck\"").count(), 3);
    }

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
