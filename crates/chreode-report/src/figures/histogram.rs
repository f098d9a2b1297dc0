//! How often values occur: one or several sets over common bins.

use std::fmt::Write as _;

use crate::figures::legend::{self, Key};
use crate::figures::lines::colour_class;
use crate::figures::{Figure, left_out};
use crate::format::{count, number, percent};
use crate::frame::{Frame, Width};
use crate::scale::{Scale, extent, nice_step};
use crate::svg::coordinate;

/// Histograms of sets of values, as shares of each set.
#[derive(Debug, Clone)]
pub struct Histogram<'a> {
    sets: Vec<(String, &'a [f64])>,
    label: String,
    bins: usize,
    marks: Vec<(f64, String)>,
}

impl<'a> Histogram<'a> {
    /// Histograms of named sets of values, in about 30 bins.
    pub fn new(sets: Vec<(String, &'a [f64])>) -> Self {
        Self { sets, label: String::new(), bins: 30, marks: Vec::new() }
    }

    /// Title of the value axis.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// About how many bins.
    #[must_use]
    pub fn bins(mut self, n: usize) -> Self {
        self.bins = n.clamp(2, 100);
        self
    }

    /// A vertical line with a short label, such as a threshold.
    #[must_use]
    pub fn mark(mut self, x: f64, label: impl Into<String>) -> Self {
        self.marks.push((x, label.into()));
        self
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let values = || self.sets.iter().flat_map(|s| s.1.iter().copied());
        let missing = values().filter(|v| !v.is_finite()).count();
        let notes = left_out(missing, "value");
        let Some(range) = extent(values()) else { return Figure::empty(notes) };
        let scale = Scale::linear(range, 0.0, 1.0);
        let step = nice_step(scale.hi - scale.lo, self.bins);
        let first = (scale.lo / step).floor();
        // nice_step keeps the number of bins below about twice the wanted.
        let n = ((scale.hi / step).floor() - first + 1.0).clamp(1.0, 400.0) as usize;
        let counts: Vec<Vec<usize>> = self
            .sets
            .iter()
            .map(|(_, set)| {
                let mut counts = vec![0; n];
                for v in set.iter().filter(|v| v.is_finite()) {
                    counts[((v / step - first).max(0.0) as usize).min(n - 1)] += 1;
                }
                counts
            })
            .collect();
        let sizes: Vec<usize> = counts.iter().map(|c| c.iter().sum()).collect();
        let keys: Vec<Key> = self
            .sets
            .iter()
            .enumerate()
            .map(|(i, s)| Key::new("box", format!("t{i} {}", colour_class(i)), s.0.clone(), count(sizes[i])))
            .collect();
        let legend = legend::keys("", &keys);
        let edges = (first * step, (first + n as f64) * step);
        Figure::chart(|width| self.at_width(width, &counts, &sizes, edges, step), &legend, notes)
    }

    fn at_width(
        &self,
        width: Width,
        counts: &[Vec<usize>],
        sizes: &[usize],
        edges: (f64, f64),
        step: f64,
    ) -> String {
        let share = |i: usize, b: usize| counts[i][b] as f64 / sizes[i].max(1) as f64;
        let most = (0..counts.len())
            .flat_map(|i| (0..counts[i].len()).map(move |b| share(i, b)))
            .fold(0.0, f64::max);
        let (top, bottom) = (30.0, if width == Width::Wide { 260.0 } else { 220.0 });
        let y = Scale::nice((0.0, most), 4, bottom, top);
        let left = Frame::y_room(&y, bottom - top);
        let right = width.units() - 14.0;
        let marks = self.marks.iter().map(|m| m.0).filter(|v| v.is_finite());
        let (lo, hi) = extent(marks.chain([edges.0, edges.1])).unwrap_or(edges);
        // A mark far away would squash the bars: beyond one more width of the data it is named at the edge instead.
        let span = edges.1 - edges.0;
        let range = (lo.max(edges.0 - span), hi.min(edges.1 + span));
        let frame = Frame { x: Scale::linear(range, left, right), y, left, right, top, bottom };
        let mut svg = frame.start(width, &format!("Histogram of {}", self.label));
        frame.axes(&mut svg, &self.label, "share of each set", false);
        for (i, (name, _)) in self.sets.iter().enumerate() {
            let class = format!("t{i} {}", colour_class(i));
            let mut outline = String::new();
            for b in 0..counts[i].len() {
                let (from, to) = (edges.0 + b as f64 * step, edges.0 + (b + 1) as f64 * step);
                let [x, y] = frame.at([from, share(i, b)]);
                let open = if b == 0 {
                    format!("M{} {}V", coordinate(x), coordinate(bottom))
                } else {
                    "V".to_string()
                };
                let _ = write!(outline, "{open}{}H{}", coordinate(y), coordinate(frame.x.at(to)));
                if counts[i][b] > 0 {
                    let title = format!(
                        "{name}: {} ({}) from {} to {}",
                        count(counts[i][b]),
                        percent(share(i, b)),
                        number(from, 4),
                        number(to, 4)
                    );
                    let gap = if frame.x.at(to) - x > 4.0 { 0.5 } else { 0.0 };
                    svg.rect(
                        &format!("{class} wash"),
                        [x + gap, y],
                        [frame.x.at(to) - x - 2.0 * gap, bottom - y],
                        0.0,
                        &title,
                    );
                }
            }
            let _ = write!(outline, "V{}", coordinate(bottom));
            svg.path(&format!("{class} outline"), &outline, "");
        }
        for (at, text) in self.marks.iter().filter(|m| m.0.is_finite()) {
            frame.mark(&mut svg, *at, text);
        }
        svg.finish()
    }
}
