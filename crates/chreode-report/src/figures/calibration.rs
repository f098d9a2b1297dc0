//! Predicted probability against observed frequency, with the identity and the number of cells behind each point.

use crate::figures::legend::{self, Key};
use crate::figures::lines::colour_class;
use crate::figures::scatter::PANEL;
use crate::figures::{Figure, ShapeError, left_out};
use crate::format::{count, percent};
use crate::frame::Frame;
use crate::scale::Scale;
use crate::svg::{Svg, polyline};

/// Cells whose predicted probabilities are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CalibrationBin {
    /// Mean predicted probability.
    pub predicted: f64,
    /// Mean outcome: the share that took place, or the mean true probability.
    pub observed: f64,
    /// 95 % interval of the observed share (Wilson); NaN where it is not one.
    pub interval: (f64, f64),
    /// Number of predictions.
    pub count: usize,
}

impl CalibrationBin {
    /// The interval, if it is known.
    fn bar(&self) -> Option<(f64, f64)> {
        Some(self.interval).filter(|i| i.0.is_finite() && i.1.is_finite())
    }
}

/// A calibration plot of one or several sets of predictions.
#[derive(Debug, Clone, Default)]
pub struct Calibration {
    series: Vec<(String, Vec<CalibrationBin>)>,
    labels: [String; 2],
    missing: usize,
}

impl Calibration {
    /// A plot without predictions.
    pub fn new() -> Self {
        Self {
            labels: ["predicted probability".to_string(), "observed share".to_string()],
            ..Self::default()
        }
    }

    /// Titles of the axes.
    #[must_use]
    pub fn labels(mut self, predicted: impl Into<String>, observed: impl Into<String>) -> Self {
        self.labels = [predicted.into(), observed.into()];
        self
    }

    /// Appends predictions and what became of them (0 or 1, or a known probability), sorted into `bins` equal parts of `[0, 1]`.
    ///
    /// Pairs that are not finite are left out and counted.
    ///
    /// # Errors
    /// [`ShapeError`] when the two are not equally long.
    pub fn pairs(
        mut self,
        name: impl Into<String>,
        predicted: &[f64],
        outcome: &[f64],
        bins: usize,
    ) -> Result<Self, ShapeError> {
        ShapeError::check("outcomes of the predictions", predicted.len(), outcome.len())?;
        let bins = bins.clamp(1, 50);
        let mut sums = vec![(0.0, 0.0, 0usize); bins];
        for (&p, &o) in predicted.iter().zip(outcome) {
            if !(p.is_finite() && o.is_finite()) {
                self.missing += 1;
                continue;
            }
            let sum = &mut sums[((p * bins as f64) as usize).min(bins - 1)];
            *sum = (sum.0 + p, sum.1 + o, sum.2 + 1);
        }
        let made = sums
            .into_iter()
            .filter(|s| s.2 > 0)
            .map(|(p, o, count)| {
                let n = count as f64;
                CalibrationBin { predicted: p / n, observed: o / n, interval: wilson(o / n, n), count }
            })
            .collect();
        self.series.push((name.into(), made));
        Ok(self)
    }

    /// Appends bins that were made elsewhere.
    #[must_use]
    pub fn bins(mut self, name: impl Into<String>, bins: Vec<CalibrationBin>) -> Self {
        self.series.push((name.into(), bins));
        self
    }

    /// Mean distance between predicted and observed over the series' bins, weighted by their counts; `NaN` without predictions.
    pub fn expected_error(&self, series: usize) -> f64 {
        let Some((_, bins)) = self.series.get(series) else { return f64::NAN };
        let n: f64 = bins.iter().map(|b| b.count as f64).sum();
        bins.iter().map(|b| b.count as f64 * (b.predicted - b.observed).abs()).sum::<f64>() / n
    }

    /// Draws it.
    pub fn draw(&self) -> Figure {
        let notes = left_out(self.missing, "prediction");
        let greatest = self.series.iter().flat_map(|s| &s.1).map(|b| b.count).max().unwrap_or(0);
        if greatest == 0 {
            return Figure::empty(notes);
        }
        let (left, right, top) = (42.0, PANEL - 12.0, 28.0);
        let bottom = top + (right - left) * 0.92;
        let frame = Frame {
            x: Scale::linear((0.0, 1.0), left, right),
            y: Scale::linear((0.0, 1.0), bottom, top),
            left,
            right,
            top,
            bottom,
        };
        let mut svg = Svg::new(PANEL, bottom + 42.0, "art", "Calibration of predicted probabilities");
        frame.axes(&mut svg, &self.labels[0], &self.labels[1], true);
        svg.line("reference", frame.at([0.0, 0.0]), frame.at([1.0, 1.0]));
        for (i, (name, bins)) in self.series.iter().enumerate() {
            let class = format!("t{i} {}", colour_class(i));
            let usable: Vec<&CalibrationBin> =
                bins.iter().filter(|b| b.predicted.is_finite() && b.observed.is_finite()).collect();
            for (b, (lo, hi)) in usable.iter().filter_map(|b| Some((b, b.bar()?))) {
                let class = format!("{class} interval");
                svg.line(&class, frame.at([b.predicted, lo]), frame.at([b.predicted, hi]));
            }
            let places: Vec<[f64; 2]> = usable.iter().map(|b| frame.at([b.predicted, b.observed])).collect();
            svg.path(&format!("{class} curve"), &polyline(&places), "");
            for (b, at) in usable.iter().zip(places) {
                // The area tells the count.
                let radius = 2.5 + 5.5 * (b.count as f64 / greatest as f64).sqrt();
                let bar = b
                    .bar()
                    .map_or_else(String::new, |(lo, hi)| format!(" ({} to {})", percent(lo), percent(hi)));
                let title = format!(
                    "{name}: predicted {}, observed {}{bar}, n = {}",
                    percent(b.predicted),
                    percent(b.observed),
                    count(b.count)
                );
                svg.circle(&format!("{class} spot"), at, radius, &title);
            }
        }
        let keys: Vec<Key> = self
            .series
            .iter()
            .enumerate()
            .map(|(i, (name, bins))| {
                let n = bins.iter().map(|b| b.count).sum();
                Key::new("dot", format!("t{i} {}", colour_class(i)), name.clone(), count(n))
            })
            .collect();
        let mut legend = legend::keys("", &keys);
        let has_bars = self.series.iter().flat_map(|s| &s.1).any(|b| b.bar().is_some());
        legend.push_str("<div class=\"legend legend-note\">Dashed: perfect calibration. Larger dots stand for more predictions");
        legend.push_str(if has_bars { "; bars are 95 % intervals.</div>" } else { ".</div>" });
        Figure::square(&svg.finish(), &legend, notes)
    }
}

/// 95 % interval of a share by Wilson (1927), J. Am. Stat. Assoc. 22(158).
fn wilson(share: f64, n: f64) -> (f64, f64) {
    let z2 = 1.959_963_984_540_054_f64.powi(2);
    let share = share.clamp(0.0, 1.0);
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = (z2 * (share * (1.0 - share) / n + z2 / (4.0 * n * n))).sqrt() / (1.0 + z2 / n);
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_means_and_wilson_intervals() {
        let predicted = [0.05, 0.15, 0.15, 0.95, 1.0, f64::NAN];
        let outcome = [0.0, 1.0, 0.0, 1.0, 1.0, 1.0];
        let c = Calibration::new().pairs("all", &predicted, &outcome, 10).unwrap();
        let bins = &c.series[0].1;
        assert_eq!(bins.iter().map(|b| b.count).collect::<Vec<_>>(), [1, 2, 2]);
        assert!((bins[1].observed - 0.5).abs() < 1e-12 && (bins[2].predicted - 0.975).abs() < 1e-12);
        let expected = (0.05 + 2.0 * 0.35 + 2.0 * 0.025) / 5.0;
        assert!((c.expected_error(0) - expected).abs() < 1e-12);
        assert!(c.draw().notes()[0].starts_with("1 prediction "));
        assert!(c.draw().html().contains("95 % intervals"));
        let known = CalibrationBin { interval: (f64::NAN, f64::NAN), ..bins[1] };
        let html = Calibration::new().bins("all", vec![known]).draw().html().to_string();
        assert!(!html.contains("intervals") && !html.contains(" to "), "no bars, no word of them: {html}");
        // Newcombe (1998), Stat. Med. 17, table I: 81 of 263 gives .2553 to .3662.
        let (lo, hi) = wilson(81.0 / 263.0, 263.0);
        assert!((lo - 0.2553).abs() < 1e-4 && (hi - 0.3662).abs() < 1e-4, "{lo} {hi}");
    }
}
