//! Horizontal bars in groups, with error bars and reference marks: fate fractions observed and simulated.

use crate::figures::legend::{self, Key};
use crate::figures::lines::colour_class;
use crate::figures::{Figure, ShapeError, left_out};
use crate::format::{number, percent};
use crate::frame::{Frame, Width};
use crate::scale::extent;
use crate::svg::{Anchor, text_width};

/// One bar per group.
#[derive(Debug, Clone, PartialEq)]
pub struct BarSeries {
    name: String,
    values: Vec<f64>,
    intervals: Vec<(f64, f64)>,
    marker: bool,
}

impl BarSeries {
    /// Bars of these lengths, one per group; `NaN` where there is none.
    pub fn new(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self { name: name.into(), values, intervals: Vec::new(), marker: false }
    }

    /// Lower and upper end of an error bar per group; `NaN` for none.
    #[must_use]
    pub fn intervals(mut self, intervals: Vec<(f64, f64)>) -> Self {
        self.intervals = intervals;
        self
    }

    /// Draws the values as marks across the group's bars instead of bars: a reference.
    #[must_use]
    pub fn as_marker(mut self) -> Self {
        self.marker = true;
        self
    }
}

/// Bars in groups.
#[derive(Debug, Clone)]
pub struct Bars {
    groups: Vec<String>,
    series: Vec<BarSeries>,
    label: String,
    percent: bool,
    reach: f64,
}

impl Bars {
    /// Bars of every series for every group.
    pub fn new(groups: Vec<String>, series: Vec<BarSeries>) -> Self {
        Self { groups, series, label: String::new(), percent: false, reach: 0.0 }
    }

    /// Title of the value axis.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Writes the values at the bars, at the axis and in tooltips as percentages.
    #[must_use]
    pub fn percent(mut self) -> Self {
        self.percent = true;
        self
    }

    /// Lets the axis reach to this value at least, the same for charts that are to be compared.
    #[must_use]
    pub fn reach(mut self, value: f64) -> Self {
        self.reach = value;
        self
    }

    /// Draws it.
    ///
    /// # Errors
    /// [`ShapeError`] when a series has not one value (and no or one interval) per group.
    pub fn draw(&self) -> Result<Figure, ShapeError> {
        for s in &self.series {
            ShapeError::check("values of a bar series", self.groups.len(), s.values.len())?;
            if !s.intervals.is_empty() {
                ShapeError::check("intervals of a bar series", self.groups.len(), s.intervals.len())?;
            }
        }
        let missing = self.series.iter().flat_map(|s| &s.values).filter(|v| !v.is_finite()).count();
        let total: usize = self.series.iter().map(|s| s.values.len()).sum();
        let notes = left_out(missing, "value");
        if missing == total {
            return Ok(Figure::empty(notes));
        }
        let keys: Vec<Key> = self
            .series
            .iter()
            .enumerate()
            .map(|(i, s)| {
                let shape = if s.marker { "tickmark" } else { "box" };
                Key::new(shape, format!("t{i} {}", self.class(i)), s.name.clone(), "")
            })
            .collect();
        let legend = if keys.len() > 1 { legend::keys("", &keys) } else { String::new() };
        Ok(Figure::chart(|width| self.at_width(width), &legend, notes))
    }

    /// References are drawn in ink, bars in the series' colours.
    fn class(&self, i: usize) -> String {
        if self.series[i].marker {
            "ki".to_string()
        } else {
            colour_class(self.series[..i].iter().filter(|s| !s.marker).count())
        }
    }

    fn text(&self, v: f64) -> String {
        if self.percent { percent(v) } else { number(v, 3) }
    }

    fn at_width(&self, width: Width) -> String {
        const BAR: f64 = 13.0;
        let bars = self.series.iter().filter(|s| !s.marker).count().max(1);
        let wide = width == Width::Wide;
        let all = self.series.iter().flat_map(|s| {
            s.values.iter().copied().chain(s.intervals.iter().flat_map(|i| [i.0, i.1])).chain([0.0])
        });
        let range = extent(all.chain([self.reach])).unwrap_or((0.0, 1.0));
        // Labels stand at the left on a wide figure, above their bars on a narrow one.
        let label_room = if wide {
            self.groups.iter().map(|g| text_width(g, 13.0)).fold(40.0, f64::max).min(220.0) + 14.0
        } else {
            12.0
        };
        let right = width.units() - if wide { 60.0 } else { 46.0 };
        let header = if wide { 0.0 } else { 19.0 };
        let pitch = bars as f64 * (BAR + 2.0) + header + if wide { 16.0 } else { 12.0 };
        let top = 6.0;
        let bottom = top + self.groups.len() as f64 * pitch;
        let mut frame = Frame::rows(width, range, [label_room, right], [top, bottom]);
        frame.x.percent = self.percent;
        let mut svg = frame.start(width, &format!("Bar chart: {}", self.label));
        frame.x_axis(&mut svg, &self.label, width.row_ticks(), true);
        let zero = frame.x.at(0.0);
        svg.line("axis", [zero, top], [zero, bottom]);
        for (g, group) in self.groups.iter().enumerate() {
            let y = top + g as f64 * pitch;
            let first = y + header + if wide { 8.0 } else { 2.0 };
            let height = bars as f64 * (BAR + 2.0) - 2.0;
            if wide {
                svg.label(
                    "name",
                    [label_room - 12.0, first + 0.5 * height + 4.5],
                    Anchor::End,
                    group,
                    13.0,
                    label_room - 14.0,
                );
            } else {
                let at = [label_room + 5.0, first - 6.0];
                svg.label("name halo", at, Anchor::Start, group, 13.0, right - label_room);
            }
            let mut row = first;
            for (i, s) in self.series.iter().enumerate().filter(|(_, s)| !s.marker) {
                let v = s.values[g];
                if v.is_finite() {
                    let class = format!("t{i} {}", self.class(i));
                    let interval = s.intervals.get(g).filter(|e| e.0.is_finite() && e.1.is_finite());
                    let title = match interval {
                        Some(e) => format!(
                            "{group}, {}: {} ({} to {})",
                            s.name,
                            self.text(v),
                            self.text(e.0),
                            self.text(e.1)
                        ),
                        None => format!("{group}, {}: {}", s.name, self.text(v)),
                    };
                    let end = frame.x.at(v);
                    svg.rect(
                        &format!("{class} fill"),
                        [zero.min(end), row],
                        [(end - zero).abs().max(0.7), BAR],
                        2.0,
                        &title,
                    );
                    let mut beyond = end.max(zero);
                    if let Some(&(lo, hi)) = interval {
                        let (a, b) = (frame.x.at(lo), frame.x.at(hi));
                        let middle = row + 0.5 * BAR;
                        svg.line(&format!("t{i} whisker"), [a, middle], [b, middle]);
                        for x in [a, b] {
                            svg.line(&format!("t{i} whisker"), [x, middle - 3.0], [x, middle + 3.0]);
                        }
                        beyond = beyond.max(b);
                    }
                    for marker in self.series.iter().filter(|s| s.marker) {
                        let x = frame.x.at(marker.values[g]);
                        if x.is_finite() && x > beyond - 2.0 && x < beyond + 44.0 {
                            beyond = x;
                        }
                    }
                    svg.text(
                        &format!("t{i} value"),
                        [beyond + 6.0, row + 0.5 * BAR + 4.0],
                        Anchor::Start,
                        &self.text(v),
                    );
                }
                row += BAR + 2.0;
            }
            for (i, s) in self.series.iter().enumerate().filter(|(_, s)| s.marker) {
                let v = s.values[g];
                if v.is_finite() {
                    let x = frame.x.at(v);
                    let title = format!("{group}, {}: {}", s.name, self.text(v));
                    svg.rect(
                        &format!("t{i} ki fill"),
                        [x - 1.25, first - 3.0],
                        [2.5, height + 6.0],
                        1.0,
                        &title,
                    );
                }
            }
        }
        svg.finish()
    }
}
