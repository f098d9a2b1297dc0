//! Scales from data to drawing units, and the ticks that people can read.

use crate::format;

/// One labelled position on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// A map from `[lo, hi]` in data to `[from, to]` in drawing units.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    pub(crate) lo: f64,
    pub(crate) hi: f64,
    from: f64,
    to: f64,
    log: bool,
    /// Ticks are labelled as percentages (linear scales).
    pub(crate) percent: bool,
}

impl Scale {
    /// A linear scale; an empty or reversed range is widened around its middle.
    pub(crate) fn linear(range: (f64, f64), from: f64, to: f64) -> Self {
        let (lo, hi) = widen(range);
        Self { lo, hi, from, to, log: false, percent: false }
    }

    /// A linear scale whose ends are ticks.
    pub(crate) fn nice(range: (f64, f64), ticks: usize, from: f64, to: f64) -> Self {
        let (lo, hi) = widen(range);
        let step = nice_step(hi - lo, ticks);
        let (down, up) = ((lo / step + 1e-9).floor() * step, (hi / step - 1e-9).ceil() * step);
        Self { lo: down, hi: up, from, to, log: false, percent: false }
    }

    /// A logarithmic scale over whole decades or their 1-2-5 parts; `range` must be positive, else it is set to `1..10`.
    pub(crate) fn log(range: (f64, f64), from: f64, to: f64) -> Self {
        let (lo, hi) =
            if range.0 > 0.0 && range.1 >= range.0 && range.1.is_finite() { range } else { (1.0, 10.0) };
        let (lo, hi) = if hi / lo < 1.5 { (lo / 1.5, hi * 1.5) } else { (lo, hi) };
        Self { lo, hi, from, to, log: true, percent: false }
    }

    /// Position of `v` in drawing units; not clamped.
    pub(crate) fn at(&self, v: f64) -> f64 {
        let share = if self.log {
            (v.ln() - self.lo.ln()) / (self.hi.ln() - self.lo.ln())
        } else {
            (v - self.lo) / (self.hi - self.lo)
        };
        self.from + share * (self.to - self.from)
    }

    /// As [`Scale::at`], held inside the drawing range.
    pub(crate) fn clamped(&self, v: f64) -> f64 {
        self.at(v).clamp(self.from.min(self.to), self.from.max(self.to))
    }

    /// Drawing units per data unit (linear scales).
    pub(crate) fn slope(&self) -> f64 {
        (self.to - self.from) / (self.hi - self.lo)
    }

    /// About `n` ticks inside the range.
    pub(crate) fn ticks(&self, n: usize) -> Vec<Tick> {
        if self.log {
            log_ticks(self.lo, self.hi, n)
        } else if self.percent {
            let hundredth = |t: Tick| Tick { value: t.value / 100.0, label: format!("{}\u{202f}%", t.label) };
            linear_ticks(100.0 * self.lo, 100.0 * self.hi, n).into_iter().map(hundredth).collect()
        } else {
            linear_ticks(self.lo, self.hi, n)
        }
    }
}

/// The least and the greatest finite value, `None` when there is none.
pub(crate) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|v| v.is_finite()).fold(None, |range: Option<(f64, f64)>, v| {
        Some(range.map_or((v, v), |(lo, hi)| (lo.min(v), hi.max(v))))
    })
}

/// The step among 1, 2, 5 times a power of ten that cuts `span` into about `n` parts.
pub(crate) fn nice_step(span: f64, n: usize) -> f64 {
    let rough = span / n.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let share = rough / power;
    power
        * if share < 1.5 {
            1.0
        } else if share < 3.5 {
            2.0
        } else if share < 7.5 {
            5.0
        } else {
            10.0
        }
}

fn linear_ticks(lo: f64, hi: f64, n: usize) -> Vec<Tick> {
    let step = nice_step(hi - lo, n);
    let (first, last) = ((lo / step - 1e-9).ceil(), (hi / step + 1e-9).floor());
    // At most about 2n ticks, because `nice_step` is at least two thirds of span / n.
    let ticks = (last - first).clamp(0.0, 1000.0) as usize;
    (0..=ticks)
        .map(|i| (first + i as f64) * step)
        .map(|value| Tick { value, label: format::tick(value, step) })
        .collect()
}

fn log_ticks(lo: f64, hi: f64, n: usize) -> Vec<Tick> {
    let (first, last) = (lo.log10().floor() as i32, hi.log10().ceil() as i32);
    let decades = (hi / lo).log10();
    let parts: &[u32] = if decades <= 1.2 {
        &[1, 2, 3, 5, 7]
    } else if decades <= 2.5 {
        &[1, 2, 5]
    } else {
        &[1]
    };
    let stride = (((last - first) as usize) / n.max(1)).max(1) as i32;
    let mut ticks = Vec::new();
    for exponent in (first..=last).filter(|e| parts.len() > 1 || e.rem_euclid(stride) == 0) {
        for &mantissa in parts {
            let value = f64::from(mantissa) * 10f64.powi(exponent);
            if value >= lo * (1.0 - 1e-9) && value <= hi * (1.0 + 1e-9) {
                ticks.push(Tick { value, label: format::log_tick(mantissa, exponent) });
            }
        }
    }
    ticks
}

fn widen((lo, hi): (f64, f64)) -> (f64, f64) {
    // Keeps spans finite for any f64 input.
    let bound = |v: f64| if v.is_finite() { v.clamp(-1e300, 1e300) } else { 0.0 };
    let (lo, hi) = (bound(lo.min(hi)), bound(hi.max(lo)));
    let middle = 0.5 * (lo + hi);
    let least = (middle.abs() * 1e-9).max(1e-280);
    if hi - lo > least {
        return (lo, hi);
    }
    let half = if middle == 0.0 { 0.5 } else { 0.1 * middle.abs() };
    (middle - half, middle + half)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn linear_ticks_lie_inside_rise_and_are_few(lo in -1e6..1e6_f64, span in 1e-6..1e9_f64, n in 2usize..9) {
            let scale = Scale::linear((lo, lo + span), 0.0, 100.0);
            let ticks = scale.ticks(n);
            prop_assert!(ticks.len() <= 2 * n + 1, "{}", ticks.len());
            let slack = 1e-6 * span;
            for pair in ticks.windows(2) {
                prop_assert!(pair[1].value > pair[0].value);
                prop_assert!(pair[0].label != pair[1].label || span < 1e-3 * lo.abs(), "{:?}", pair);
            }
            for t in &ticks {
                prop_assert!(t.value >= lo - slack && t.value <= lo + span + slack);
            }
        }

        #[test]
        fn steps_are_one_two_or_five(span in 1e-9..1e9_f64, n in 1usize..12) {
            let step = nice_step(span, n);
            let mantissa = step / 10f64.powf((step * 1.0001).log10().floor());
            prop_assert!([1.0, 2.0, 5.0, 10.0].iter().any(|m| (mantissa - m).abs() < 1e-6), "{mantissa}");
            let parts = span / step;
            prop_assert!(parts > 0.5 * n as f64 && parts < 2.0 * n as f64 + 1.0, "{parts} parts for {n}");
        }

        #[test]
        fn nice_ends_hold_the_data_and_are_ticks(lo in -1e4..1e4_f64, span in 1e-3..1e5_f64) {
            let scale = Scale::nice((lo, lo + span), 5, 0.0, 1.0);
            prop_assert!(scale.lo <= lo + 1e-6 * span && scale.hi >= lo + span - 1e-6 * span);
            prop_assert!(scale.at(lo) >= -1e-6 && scale.at(lo + span) <= 1.0 + 1e-6);
        }

        #[test]
        fn log_scale_is_monotone_and_ticked(lo in 1e-8..1e3_f64, ratio in 1.0..1e9_f64) {
            let scale = Scale::log((lo, lo * ratio), 0.0, 50.0);
            let ticks = scale.ticks(5);
            prop_assert!(!ticks.is_empty() && ticks.len() < 16);
            for t in &ticks {
                let p = scale.at(t.value);
                prop_assert!((-1e-6..=50.0 + 1e-6).contains(&p));
            }
        }

        #[test]
        fn any_range_gives_finite_positions(a in proptest::num::f64::ANY, b in proptest::num::f64::ANY) {
            for scale in [Scale::linear((a, b), 0.0, 10.0), Scale::nice((a, b), 5, 0.0, 10.0), Scale::log((a, b), 0.0, 10.0)] {
                prop_assert!(scale.at(0.5 * scale.lo + 0.5 * scale.hi).is_finite());
                prop_assert!(scale.ticks(5).len() < 30);
            }
        }
    }

    #[test]
    fn percentages_stand_at_the_same_ticks() {
        let mut scale = Scale::nice((0.0, 0.34), 7, 0.0, 1.0);
        let plain: Vec<f64> = scale.ticks(7).iter().map(|t| t.value).collect();
        scale.percent = true;
        let ticks = scale.ticks(7);
        assert!(
            ticks.iter().zip(&plain).all(|(t, p)| (t.value - p).abs() < 1e-12) && ticks.len() == plain.len()
        );
        assert_eq!((ticks[0].label.as_str(), ticks[1].label.as_str()), ("0\u{202f}%", "5\u{202f}%"));
    }

    #[test]
    fn extent_skips_what_is_not_finite() {
        assert_eq!(extent([f64::NAN, 2.0, f64::INFINITY, -1.0]), Some((-1.0, 2.0)));
        assert_eq!(extent([f64::NAN]), None);
    }
}
