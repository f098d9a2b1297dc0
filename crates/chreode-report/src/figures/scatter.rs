//! Points in two dimensions, coloured by category or by value; optionally one panel per group.

use crate::colour;
use crate::figures::cloud::{self, Dot};
use crate::figures::legend::{self, Key};
use crate::figures::{Figure, ShapeError, left_out};
use crate::format::{count, number};
use crate::frame::{BELOW, Frame};
use crate::scale::{Scale, extent};
use crate::svg::Svg;

/// What the colour of a point says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ColourBy<'a> {
    /// Nothing: all points alike.
    Nothing,
    /// A category without order, such as a cell type. Beyond twelve, the rarest share one grey.
    Category {
        /// What the labels are, for the legend.
        title: &'a str,
        /// The labels.
        labels: &'a [String],
        /// Index of each point's label; `None`, or an index beyond the labels, draws the point in grey.
        of: &'a [Option<usize>],
    },
    /// A category with an order, such as the day: colours follow the sequential ramp.
    Ordered {
        /// What the labels are, for the legend.
        title: &'a str,
        /// The labels, in order.
        labels: &'a [String],
        /// Index of each point's label; `None`, or an index beyond the labels, draws the point in grey.
        of: &'a [Option<usize>],
    },
    /// A number per point; the ramp ends at the 1 % and 99 % quantiles.
    Value {
        /// What the number is, with its unit, for the legend.
        title: &'a str,
        /// One number per point.
        values: &'a [f64],
    },
}

/// Points in the plane of two coordinates.
#[derive(Debug, Clone)]
pub struct Scatter<'a> {
    points: &'a [[f64; 2]],
    colour: ColourBy<'a>,
    labels: [String; 2],
    max_points: usize,
    identity: bool,
}

/// The points that are drawn, with the class of each.
pub(crate) struct Paint {
    /// Class attribute of each colour.
    pub(crate) classes: Vec<String>,
    /// Colour of each point, `None` where a value is missing.
    pub(crate) of: Vec<Option<usize>>,
    /// The legend's markup.
    pub(crate) legend: String,
}

impl<'a> Scatter<'a> {
    /// Points without colours, and 20,000 shown at most.
    pub fn new(points: &'a [[f64; 2]]) -> Self {
        Self {
            points,
            colour: ColourBy::Nothing,
            labels: [String::new(), String::new()],
            max_points: 20_000,
            identity: false,
        }
    }

    /// What the colour says.
    #[must_use]
    pub fn colour(mut self, colour: ColourBy<'a>) -> Self {
        self.colour = colour;
        self
    }

    /// Titles of the axes.
    #[must_use]
    pub fn labels(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.labels = [x.into(), y.into()];
        self
    }

    /// Most points drawn; the choice keeps every category's share and never loses a small one.
    #[must_use]
    pub fn max_points(mut self, n: usize) -> Self {
        self.max_points = n.clamp(1, 40_000);
        self
    }

    /// Draws the line on which both coordinates are equal, in the single panel: for predicted against true values.
    #[must_use]
    pub fn identity(mut self) -> Self {
        self.identity = true;
        self
    }

    /// One panel with a legend.
    ///
    /// # Errors
    /// [`ShapeError`] when the colours are not as many as the points.
    pub fn draw(&self) -> Result<Figure, ShapeError> {
        let paint = paint(&self.colour, self.points)?;
        let (shown, missing) = self.shown(&paint);
        if shown.is_empty() {
            return Ok(Figure::empty(left_out(missing, "point")));
        }
        let (mut svg, frame) = panel(extents(self.points), &self.labels, "Scatter plot", true);
        let (from, to) = (frame.x.lo.max(frame.y.lo), frame.x.hi.min(frame.y.hi));
        if self.identity && from < to {
            svg.line("reference", frame.at([from; 2]), frame.at([to; 2]));
        }
        svg.raw(&self.dots(&frame, &shown, &paint, cloud::radius(shown.len(), PANEL)));
        Ok(Figure::square(&svg.finish(), &paint.legend, self.notes(shown.len(), missing)))
    }

    /// One small panel per group on common axes, the other groups' points in grey behind; groups without points are left out.
    ///
    /// # Errors
    /// [`ShapeError`] when groups or colours are not as many as the points.
    pub fn draw_by(&self, groups: &[String], of: &[Option<usize>]) -> Result<Figure, ShapeError> {
        ShapeError::check("groups of the points", self.points.len(), of.len())?;
        let paint = paint(&self.colour, self.points)?;
        let (shown, missing) = self.shown(&paint);
        if shown.is_empty() {
            return Ok(Figure::empty(left_out(missing, "point")));
        }
        let frame = panel_frame(extents(self.points), SMALL, false);
        let behind_all: Vec<usize> =
            cloud::subsample(&vec![0; shown.len()], 1, 2500).iter().map(|&i| shown[i]).collect();
        let mut panels = Vec::new();
        for (g, title) in groups.iter().enumerate() {
            let members: Vec<usize> = shown.iter().copied().filter(|&i| of[i] == Some(g)).collect();
            if members.is_empty() {
                continue;
            }
            let mut svg = Svg::new(SMALL, frame.bottom + 1.0, "art", &format!("Scatter plot of {title}"));
            svg.rect("plate", [0.5, 0.5], [SMALL - 1.0, frame.bottom], 6.0, "");
            let behind: Vec<Dot> = behind_all
                .iter()
                .filter(|&&i| of[i] != Some(g))
                .map(|&i| Dot { at: frame.at(self.points[i]), class: 0 })
                .collect();
            svg.raw(&cloud::draw(&behind, &["faint".to_string()], 0.9));
            svg.raw(&self.dots(&frame, &members, &paint, cloud::radius(members.len(), SMALL)));
            let n = of.iter().filter(|&&o| o == Some(g)).count();
            let svg = svg.finish();
            let panel = Figure { html: svg, notes: Vec::new() };
            panels.push((format!("{title} ({})", count(n)), panel));
        }
        if panels.is_empty() {
            return Ok(Figure::empty(left_out(missing, "point")));
        }
        let mut figure = Figure::panels(&panels, "small", 5);
        // Where the panels are the colours, their titles say it all.
        let same = match self.colour {
            ColourBy::Category { labels, .. } | ColourBy::Ordered { labels, .. } => labels == groups,
            ColourBy::Nothing | ColourBy::Value { .. } => false,
        };
        let legend = if same { "" } else { &paint.legend };
        figure.html = format!("<div class=\"fig multiples\">{}{legend}</div>", figure.html);
        figure.notes = self.notes(shown.len(), missing);
        Ok(figure)
    }

    fn dots(&self, frame: &Frame, shown: &[usize], paint: &Paint, radius: f64) -> String {
        let dots: Vec<Dot> = shown
            .iter()
            .filter_map(|&i| Some(Dot { at: frame.at(self.points[i]), class: paint.of[i]? }))
            .collect();
        cloud::draw(&dots, &paint.classes, radius)
    }

    /// Points to draw, and how many cannot be.
    fn shown(&self, paint: &Paint) -> (Vec<usize>, usize) {
        choose(self.points, paint, self.max_points)
    }

    fn notes(&self, shown: usize, missing: usize) -> Vec<String> {
        let mut notes = Vec::new();
        let total = self.points.len() - missing;
        if shown < total {
            notes.push(format!(
                "{} of {} points are drawn; every group keeps its share.",
                count(shown),
                count(total)
            ));
        }
        notes.extend(left_out(missing, "point"));
        notes
    }
}

/// Width of a single panel in drawing units.
pub(crate) const PANEL: f64 = 400.0;
/// Width of one panel among small multiples.
const SMALL: f64 = 220.0;

/// Points to draw out of those that are finite and have a colour, and the number of the others.
pub(crate) fn choose(points: &[[f64; 2]], paint: &Paint, limit: usize) -> (Vec<usize>, usize) {
    let usable: Vec<usize> = (0..points.len())
        .filter(|&i| points[i].iter().all(|v| v.is_finite()) && paint.of[i].is_some())
        .collect();
    let missing = points.len() - usable.len();
    let group: Vec<usize> = usable.iter().map(|&i| paint.of[i].unwrap_or(0)).collect();
    let kept = cloud::subsample(&group, paint.classes.len().max(1), limit);
    (kept.into_iter().map(|k| usable[k]).collect(), missing)
}

/// Least and greatest finite coordinates.
pub(crate) fn extents(points: &[[f64; 2]]) -> [(f64, f64); 2] {
    let finite = || points.iter().filter(|p| p[0].is_finite() && p[1].is_finite());
    [0, 1].map(|k| {
        let (lo, hi) = extent(finite().map(|p| p[k])).unwrap_or((0.0, 1.0));
        let margin = 0.03 * (hi - lo);
        (lo - margin, hi + margin)
    })
}

/// A single panel with its axes, and the frame to draw in.
pub(crate) fn panel(
    extents: [(f64, f64); 2],
    [x, y]: &[String; 2],
    name: &str,
    vertical_grid: bool,
) -> (Svg, Frame) {
    let frame = panel_frame(extents, PANEL, true);
    let mut svg = Svg::new(PANEL, frame.bottom + BELOW, "art", name);
    frame.axes(&mut svg, x, y, vertical_grid);
    (svg, frame)
}

/// The plot area of a panel: one unit is equally long on both axes unless that would make a strip of it.
pub(crate) fn panel_frame([x, y]: [(f64, f64); 2], width: f64, axes: bool) -> Frame {
    let (left, right, top) = if axes { (y_left(y), width - 14.0, 28.0) } else { (7.0, width - 7.0, 7.0) };
    let data = Scale::linear(x, 0.0, 1.0);
    let other = Scale::linear(y, 0.0, 1.0);
    let ratio = (other.hi - other.lo) / (data.hi - data.lo);
    let height = (right - left) * if ratio.is_finite() { ratio.clamp(0.62, 1.0) } else { 0.8 };
    let bottom = top + height;
    // A cloud taller than wide is centred on the common unit.
    let x = if ratio > 1.0 && ratio < 1.8 {
        let (middle, half) = (0.5 * (data.lo + data.hi), 0.5 * (other.hi - other.lo));
        (middle - half, middle + half)
    } else {
        (data.lo, data.hi)
    };
    let pad = if axes { 0.0 } else { 7.0 };
    Frame {
        x: Scale::linear(x, left, right),
        y: Scale::linear((other.lo, other.hi), bottom, top),
        left,
        right,
        top,
        bottom: bottom + pad,
    }
}

/// Classes and legend of a colouring.
pub(crate) fn paint(colour: &ColourBy<'_>, points: &[[f64; 2]]) -> Result<Paint, ShapeError> {
    let n = points.len();
    match *colour {
        ColourBy::Nothing => {
            Ok(Paint { classes: vec!["k0".to_string()], of: vec![Some(0); n], legend: String::new() })
        }
        ColourBy::Category { title, labels, of } => {
            ShapeError::check("categories of the points", n, of.len())?;
            Ok(categories(title, labels, of, false))
        }
        ColourBy::Ordered { title, labels, of } => {
            ShapeError::check("categories of the points", n, of.len())?;
            Ok(categories(title, labels, of, true))
        }
        ColourBy::Value { title, values } => {
            ShapeError::check("values of the points", n, values.len())?;
            Ok(by_value(title, values))
        }
    }
}

fn categories(title: &str, labels: &[String], of: &[Option<usize>], ordered: bool) -> Paint {
    let mut sizes = vec![0usize; labels.len()];
    let mut unlabelled = 0;
    for o in of {
        match o.and_then(|k| sizes.get_mut(k)) {
            Some(size) => *size += 1,
            None => unlabelled += 1,
        }
    }
    let present: Vec<usize> = (0..labels.len()).filter(|&k| sizes[k] > 0).collect();
    // A label has one colour in all figures of a page while there are colours for all; beyond that, the most frequent
    // ones of each figure get them.
    let own = labels.len() <= colour::CATEGORIES;
    let mut coloured = present.clone();
    if !ordered && present.len() > colour::CATEGORIES {
        coloured.sort_by_key(|&k| (std::cmp::Reverse(sizes[k]), k));
        coloured.truncate(colour::CATEGORIES - 1);
        coloured.sort_unstable();
    }
    let mut classes = Vec::new();
    let mut keys = Vec::new();
    let mut index = vec![None; labels.len()];
    for (place, &k) in coloured.iter().enumerate() {
        index[k] = Some(classes.len());
        let class = if ordered {
            let share = place as f64 / (coloured.len().max(2) - 1) as f64;
            format!("t{place} q{}", colour::step(share, colour::SEQUENTIAL))
        } else {
            format!("t{place} k{}", if own { k } else { place })
        };
        keys.push(Key::new("dot", class.clone(), labels[k].clone(), count(sizes[k])));
        classes.push(class);
    }
    let rest = present.len() - coloured.len();
    let grey = classes.len();
    if rest > 0 || unlabelled > 0 {
        let label = match (rest, unlabelled) {
            (0, _) => "without a label".to_string(),
            (_, 0) => format!("{rest} rarer labels"),
            _ => format!("{rest} rarer labels, or none"),
        };
        let n = of.len() - coloured.iter().map(|&k| sizes[k]).sum::<usize>();
        keys.push(Key::new("dot", "tx kx", label, count(n)));
        classes.push("tx kx".to_string());
    }
    let of =
        of.iter().map(|o| Some(o.and_then(|k| index.get(k).copied().flatten()).unwrap_or(grey))).collect();
    Paint { classes, of, legend: legend::keys(title, &keys) }
}

fn by_value(title: &str, values: &[f64]) -> Paint {
    let (lo, hi) = robust_range(values);
    let share = |v: f64| if hi > lo { (v - lo) / (hi - lo) } else { 0.5 };
    let of =
        values.iter().map(|&v| v.is_finite().then(|| colour::step(share(v), colour::SEQUENTIAL))).collect();
    let classes = (0..colour::SEQUENTIAL).map(|q| format!("q{q}")).collect();
    Paint { classes, of, legend: value_legend(title, values, (lo, hi), None) }
}

/// A colour bar for `values`, with signs at its ends that say when values lie beyond.
pub(crate) fn value_legend(
    title: &str,
    values: &[f64],
    (lo, hi): (f64, f64),
    masked: Option<&str>,
) -> String {
    let (least, greatest) = extent(values.iter().copied()).unwrap_or((lo, hi));
    let low = format!("{}{}", if least < lo { "≤ " } else { "" }, number(lo, 3));
    let high = format!("{}{}", if greatest > hi { "≥ " } else { "" }, number(hi, 3));
    legend::ramp(title, 'q', [&low, &number(0.5 * (lo + hi), 3), &high], masked)
}

/// The 1 % and 99 % quantiles of the finite values, or all of a short list.
pub(crate) fn robust_range(values: &[f64]) -> (f64, f64) {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if sorted.is_empty() {
        return (0.0, 1.0);
    }
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len() - 1;
    let cut = if sorted.len() < 100 { 0 } else { sorted.len() / 100 };
    if sorted[cut] < sorted[last - cut] {
        (sorted[cut], sorted[last - cut])
    } else {
        (sorted[0], sorted[last])
    }
}

/// Left edge that leaves room for the tick labels of such a y axis.
fn y_left(y: (f64, f64)) -> f64 {
    Frame::y_room(&Scale::linear(y, 300.0, 0.0), 300.0).clamp(36.0, 90.0)
}
