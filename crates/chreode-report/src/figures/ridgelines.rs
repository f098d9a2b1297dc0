//! Densities of many groups below each other on one axis: a value per fate, per day, per gene.

use std::fmt::Write as _;

use crate::colour;
use crate::figures::lines::colour_class;
use crate::figures::{Figure, left_out};
use crate::format::{count, number};
use crate::frame::{Frame, Width};
use crate::scale::{Scale, extent};
use crate::svg::{Anchor, coordinate, text_width};

/// Places at which a density is evaluated.
const PLACES: usize = 160;

/// A density per named group.
#[derive(Debug, Clone)]
pub struct Ridgelines<'a> {
    groups: Vec<(String, &'a [f64])>,
    label: String,
    references: Vec<Option<f64>>,
    reference_name: String,
    ordered: bool,
}

impl<'a> Ridgelines<'a> {
    /// Densities of named sets of values, first on top.
    pub fn new(groups: Vec<(String, &'a [f64])>) -> Self {
        let (label, reference_name) = (String::new(), String::new());
        Self { groups, label, references: Vec::new(), reference_name, ordered: false }
    }

    /// Title of the value axis.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Groups are in order (days): colours follow the sequential ramp.
    #[must_use]
    pub fn ordered(mut self) -> Self {
        self.ordered = true;
        self
    }

    /// A reference value per group, drawn as a mark; `name` says what it is. Missing ones are not drawn.
    #[must_use]
    pub fn references(mut self, name: impl Into<String>, values: Vec<Option<f64>>) -> Self {
        self.reference_name = name.into();
        self.references = values;
        self
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let values = || self.groups.iter().flat_map(|g| g.1.iter().copied());
        let missing = values().filter(|v| !v.is_finite()).count();
        let mut notes = left_out(missing, "value");
        let Some(range) = extent(values()) else { return Figure::empty(notes) };
        notes.push("Each density is scaled to its own peak; the tick under it is the median.".to_string());
        let marks = self.references.iter().flatten().copied();
        let range = extent(marks.chain([range.0, range.1])).unwrap_or(range);
        Figure::chart(|width| self.at_width(width, range), "", notes)
    }

    fn at_width(&self, width: Width, range: (f64, f64)) -> String {
        let wide = width == Width::Wide;
        let (pitch, peak) = if wide { (40.0, 52.0) } else { (40.0, 48.0) };
        let most = if wide { 190.0 } else { 96.0 };
        let left = self.groups.iter().map(|g| text_width(&g.0, 13.0)).fold(30.0, f64::max).min(most) + 14.0;
        let right = width.units() - 12.0;
        let top = 18.0;
        let bottom = top + pitch * self.groups.len() as f64 + 14.0;
        let frame = Frame::rows(width, range, [left, right], [top, bottom]);
        let mut svg = frame.start(width, &format!("Densities of {}", self.label));
        frame.x_axis(&mut svg, &self.label, width.row_ticks(), true);
        for (g, (name, values)) in self.groups.iter().enumerate() {
            let base = top + pitch * (g as f64 + 1.0);
            let share = g as f64 / (self.groups.len().max(2) - 1) as f64;
            let class = if self.ordered {
                format!("q{}", colour::step(share, colour::SEQUENTIAL))
            } else {
                colour_class(g)
            };
            let mut finite: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
            finite.sort_by(f64::total_cmp);
            svg.label("name", [left - 12.0, base - 3.0], Anchor::End, name, 13.0, left - 13.0);
            svg.line("grid", [left, base], [right, base]);
            if let Some(&median) = finite.get(finite.len() / 2) {
                let density = density(&finite, &frame.x);
                let greatest = density.iter().copied().fold(0.0, f64::max).max(1e-300);
                let mut d = format!("M{} {}", coordinate(left), coordinate(base));
                for (i, v) in density.iter().enumerate() {
                    let x = left + (right - left) * i as f64 / (PLACES - 1) as f64;
                    let _ =
                        write!(d, "L{} {}", coordinate(x), coordinate(base - (peak - 12.0) * v / greatest));
                }
                let _ = write!(d, "L{} {}Z", coordinate(right), coordinate(base));
                let title = format!("{name}: median {}, n = {}", number(median, 3), count(finite.len()));
                svg.path(&format!("{class} ridge"), &d, &title);
                let x = frame.x.at(median);
                svg.line(&format!("{class} median"), [x, base], [x, base + 5.0]);
            }
            if let Some(Some(v)) = self.references.get(g).filter(|v| v.is_some_and(f64::is_finite)) {
                let x = frame.x.at(*v);
                let title = format!("{name}, {}: {}", self.reference_name, number(*v, 3));
                svg.rect("ki fill", [x - 1.25, base - 20.0], [2.5, 24.0], 1.0, &title);
            }
        }
        svg.finish()
    }
}

/// Gaussian kernel density at evenly spaced places of the axis, from binned counts; rule of thumb for the bandwidth
/// (Silverman 1986, eq. 3.31).
fn density(sorted: &[f64], x: &Scale) -> Vec<f64> {
    let n = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / n;
    let sd = (sorted.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let quartiles = sorted[(3 * sorted.len() - 1) / 4] - sorted[sorted.len() / 4];
    let spread = if quartiles > 0.0 { sd.min(quartiles / 1.34) } else { sd };
    let place = (x.hi - x.lo) / (PLACES - 1) as f64;
    // At least one place wide, so that equal values give a visible peak.
    let bandwidth = (0.9 * spread * n.powf(-0.2)).max(place);
    let mut counts = [0.0; PLACES];
    for v in sorted {
        counts[(((v - x.lo) / place).round().max(0.0) as usize).min(PLACES - 1)] += 1.0;
    }
    let reach = ((4.0 * bandwidth / place) as usize).min(PLACES);
    let kernel: Vec<f64> =
        (0..=reach).map(|k| (-0.5 * (k as f64 * place / bandwidth).powi(2)).exp()).collect();
    (0..PLACES)
        .map(|i| {
            let (from, to) = (i.saturating_sub(reach), (i + reach).min(PLACES - 1));
            (from..=to).map(|j| counts[j] * kernel[i.abs_diff(j)]).sum::<f64>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn density_of_two_lumps_has_two_peaks() {
        let mut values: Vec<f64> = (0..200)
            .map(|i| f64::from(i % 20) * 0.01)
            .chain((0..200).map(|i| 2.0 + f64::from(i % 20) * 0.01))
            .collect();
        values.sort_by(f64::total_cmp);
        let scale = Scale::linear((-1.0, 3.0), 0.0, 1.0);
        let d = density(&values, &scale);
        let at = |v: f64| d[((v + 1.0) / 4.0 * (PLACES - 1) as f64).round() as usize];
        assert!(at(0.1) > 1.2 * at(1.1) && at(2.1) > 1.2 * at(1.1), "{} {} {}", at(0.1), at(1.1), at(2.1));
        assert!((at(0.1) - at(2.1)).abs() < 0.02 * at(0.1));
    }
}
