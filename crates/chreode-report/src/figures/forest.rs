//! Estimates with intervals beside the truth, many rows: perturbation shifts predicted and real.

use crate::figures::legend::{self, Key};
use crate::figures::{Figure, left_out};
use crate::format::aligned;
use crate::frame::{Frame, Width};
use crate::scale::extent;
use crate::svg::{Anchor, text_width};

/// One row: an estimate, its interval, and the truth where it is known.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestRow {
    label: String,
    estimate: f64,
    interval: Option<(f64, f64)>,
    truth: Option<f64>,
    faint: bool,
}

impl ForestRow {
    /// A row with an estimate alone.
    pub fn new(label: impl Into<String>, estimate: f64) -> Self {
        Self { label: label.into(), estimate, interval: None, truth: None, faint: false }
    }

    /// Ends of the estimate's interval.
    #[must_use]
    pub fn interval(mut self, lo: f64, hi: f64) -> Self {
        self.interval = Some((lo, hi));
        self
    }

    /// The true value.
    #[must_use]
    pub fn truth(mut self, truth: f64) -> Self {
        self.truth = Some(truth);
        self
    }

    /// Draws the row in grey: not significant, or for reference.
    #[must_use]
    pub fn faint(mut self) -> Self {
        self.faint = true;
        self
    }
}

/// Rows in groups, each group under its heading.
#[derive(Debug, Clone, Default)]
pub struct Forest {
    groups: Vec<(String, Vec<ForestRow>)>,
    label: String,
    names: [String; 2],
}

impl Forest {
    /// A chart without rows.
    pub fn new() -> Self {
        Self { names: ["predicted".to_string(), "truth".to_string()], ..Self::default() }
    }

    /// Appends rows under a heading; an empty heading takes no line.
    #[must_use]
    pub fn group(mut self, heading: impl Into<String>, rows: Vec<ForestRow>) -> Self {
        self.groups.push((heading.into(), rows));
        self
    }

    /// Title of the value axis.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Names of estimate and truth in the legend.
    #[must_use]
    pub fn names(mut self, estimate: impl Into<String>, truth: impl Into<String>) -> Self {
        self.names = [estimate.into(), truth.into()];
        self
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let rows = || self.groups.iter().flat_map(|g| &g.1);
        let missing = rows().filter(|r| !r.estimate.is_finite()).count();
        let notes = left_out(missing, "row");
        if rows().all(|r| !r.estimate.is_finite()) {
            return Figure::empty(notes);
        }
        let mut keys = vec![Key::new("dot", "t0 k0", self.names[0].clone(), "")];
        if rows().any(|r| r.truth.is_some()) {
            keys.push(Key::new("ring", "t1 ki", self.names[1].clone(), ""));
        }
        Figure::chart(|width| self.at_width(width), &legend::keys("", &keys), notes)
    }

    fn at_width(&self, width: Width) -> String {
        const ROW: f64 = 21.0;
        const HEADING: f64 = 27.0;
        let wide = width == Width::Wide;
        let kept =
            |rows: &[ForestRow]| rows.iter().filter(|r| r.estimate.is_finite()).cloned().collect::<Vec<_>>();
        let groups: Vec<(&str, Vec<ForestRow>)> =
            self.groups.iter().map(|(h, r)| (h.as_str(), kept(r))).filter(|g| !g.1.is_empty()).collect();
        let all = || groups.iter().flat_map(|g| &g.1);
        let range = extent(all().flat_map(|r| {
            let (lo, hi) = r.interval.unwrap_or((r.estimate, r.estimate));
            [0.0, r.estimate, lo, hi, r.truth.unwrap_or(0.0)]
        }))
        .unwrap_or((0.0, 1.0));
        let reach = range.0.abs().max(range.1.abs());
        let most = if wide { 220.0 } else { 118.0 };
        let labels = all().map(|r| text_width(&r.label, 13.0)).fold(30.0, f64::max).min(most) + 16.0;
        let values = 46.0;
        let (left, right) = (labels, width.units() - values - 10.0);
        let height: f64 = groups
            .iter()
            .map(|(h, rows)| rows.len() as f64 * ROW + if h.is_empty() { 6.0 } else { HEADING })
            .sum();
        let top = 6.0;
        let bottom = top + height;
        let frame = Frame::rows(width, range, [left, right], [top, bottom]);
        let mut svg = frame.start(width, &format!("Estimates: {}", self.label));
        frame.x_axis(&mut svg, &self.label, width.row_ticks(), true);
        let zero = frame.x.at(0.0);
        let mut y = top;
        for (heading, rows) in &groups {
            if heading.is_empty() {
                y += 6.0;
            } else {
                svg.label("group halo", [1.0, y + 18.0], Anchor::Start, heading, 12.5, width.units() - 2.0);
                y += HEADING;
            }
            for row in rows {
                let middle = y + 0.5 * ROW;
                let class = if row.faint { "t0 kx" } else { "t0 k0" };
                svg.label("name", [1.0, middle + 4.5], Anchor::Start, &row.label, 13.0, labels - 10.0);
                let at = frame.x.at(row.estimate);
                let mut title =
                    format!("{}: {} {}", row.label, self.names[0], aligned(row.estimate, 0.1 * reach, true));
                if let Some((lo, hi)) = row.interval.filter(|i| i.0.is_finite() && i.1.is_finite()) {
                    svg.line(
                        &format!("{class} interval"),
                        [frame.x.at(lo), middle],
                        [frame.x.at(hi), middle],
                    );
                    title = format!(
                        "{title} ({} to {})",
                        aligned(lo, 0.1 * reach, true),
                        aligned(hi, 0.1 * reach, true)
                    );
                }
                if let Some(truth) = row.truth.filter(|t| t.is_finite()) {
                    title = format!("{title}; {} {}", self.names[1], aligned(truth, 0.1 * reach, true));
                    let x = frame.x.at(truth);
                    svg.line("t1 link", [at, middle], [x, middle]);
                    svg.circle("t1 ki ring", [x, middle], 5.2, &title);
                }
                svg.circle(&format!("{class} spot"), [at, middle], 4.2, &title);
                svg.text(
                    "value",
                    [width.units() - 4.0, middle + 4.0],
                    Anchor::End,
                    &aligned(row.estimate, reach, true),
                );
                y += ROW;
            }
        }
        svg.line("axis strong", [zero, top], [zero, bottom]);
        svg.finish()
    }
}
