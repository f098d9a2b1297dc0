//! What a run may be told.

use chreode_core::{Bound, Tolerance};

use crate::SolveError;
use crate::controller::Controller;
use crate::stops::{Segment, Stops};

/// How the step size is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StepSize {
    /// By the error estimate.
    Adaptive {
        /// Length of the first step; `None` lets [HNW93] section II.4 choose.
        h0: Option<f64>,
        /// No step is longer.
        h_max: f64,
    },
    /// Equal steps, no longer than this, between the times where the run must stop: its end, discontinuities, and the saved
    /// times if it [lands](SolveOptions::land_on_saves) on them. The tolerance then only says how far the iterations of implicit
    /// methods go.
    Fixed(f64),
}

/// Options of a run; `SolveOptions::default()` is adaptive and saves nothing.
///
/// Step lengths are positive, whichever way time runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SolveOptions<'a> {
    /// Tolerances, in units of the state.
    pub tolerance: Tolerance<'a>,
    /// Step size.
    pub step: StepSize,
    /// Times to save the state at: strictly monotone in the run's direction, inside its span, ends included.
    pub save_at: &'a [f64],
    /// Whether steps end at the saved times. If not, states there come from dense output and the steps do not
    /// depend on them.
    pub land_on_saves: bool,
    /// Times at which the field or its derivatives jump: strictly monotone in the run's direction, inside its span, ends
    /// included. Steps end there, no stage sees the other side, and the method starts anew.
    pub discontinuities: &'a [f64],
    /// Most steps, rejected ones included.
    pub max_steps: u64,
    /// Step size control of explicit methods; `None` is [`Controller::of_order`]. (Implicit ones rule their own steps, by Newton's
    /// iteration too.)
    pub controller: Option<Controller>,
}

impl Default for SolveOptions<'_> {
    fn default() -> Self {
        Self {
            tolerance: Tolerance::default(),
            step: StepSize::Adaptive { h0: None, h_max: f64::INFINITY },
            save_at: &[],
            land_on_saves: false,
            discontinuities: &[],
            max_steps: 1_000_000,
            controller: None,
        }
    }
}

impl<'a> SolveOptions<'a> {
    /// Adaptive steps with these tolerances, each a number or a slice `[d]`.
    pub fn tolerance(rtol: impl Into<Bound<'a>>, atol: impl Into<Bound<'a>>) -> Self {
        Self { tolerance: Tolerance::new(rtol, atol), ..Self::default() }
    }

    /// Equal steps no longer than `h`.
    pub fn fixed(h: f64) -> Self {
        Self { step: StepSize::Fixed(h), ..Self::default() }
    }

    /// The number of steps of a run over `span` without events, if it is fixed before: with equal steps, which stops make shorter.
    pub fn known_steps(&self, span: (f64, f64)) -> Option<u64> {
        let StepSize::Fixed(h) = self.step else { return None };
        let (mut stops, mut saves) = (Stops::new(self, span), self.save_at);
        let (mut t, mut steps) = (stops.cross(span.0).unwrap_or(span.0), 0_u64);
        while stops.before(t, span.1) {
            while let [first, rest @ ..] = saves
                && !stops.before(t, *first)
            {
                saves = rest;
            }
            let segment = Segment::new(t, stops.next(saves.first().copied()), h);
            steps = steps.saturating_add(segment.steps());
            t = stops.cross(segment.stop).unwrap_or(segment.stop);
        }
        Some(steps)
    }

    pub(crate) fn check(&self, span: (f64, f64), d: usize) -> Result<(), SolveError> {
        let bad = |what, must, got| Err(SolveError::InvalidOption { what, must, got });
        let positive = |what, got: f64| if got > 0.0 { Ok(()) } else { bad(what, "positive", got) };
        for (what, t) in [("start time", span.0), ("end time", span.1)] {
            if !t.is_finite() {
                return bad(what, "finite", t);
            }
        }
        if span.0 == span.1 {
            return bad("end time", "another than the start time", span.1);
        }
        let Tolerance { rtol, atol, .. } = self.tolerance;
        for (what, bound) in [("rtol", rtol), ("atol", atol)] {
            let values = match &bound {
                Bound::Same(x) => std::slice::from_ref(x),
                Bound::Each(x) if x.len() == d => x,
                Bound::Each(x) => return Err(SolveError::ShapeMismatch { what, expected: d, got: x.len() }),
            };
            if let Some(&x) = values.iter().find(|&&x| !(x >= 0.0 && x.is_finite())) {
                return bad(what, "finite and not negative", x);
            }
        }
        match self.step {
            StepSize::Fixed(h) => positive("fixed step", h)?,
            StepSize::Adaptive { h0, h_max } => {
                (0..d).try_for_each(|j| positive("rtol + atol", rtol.of(j) + atol.of(j)))?;
                positive("h_max", h_max)?;
                if let Some(h0) = h0 {
                    positive("h0", h0)?;
                }
            }
        }
        check_times(self.save_at, span)?;
        check_times(self.discontinuities, span)?;
        let Controller { gains, safety, min_factor, max_factor } = self.controller.unwrap_or_default();
        if !gains.iter().all(|g| g.is_finite()) || !(gains.iter().sum::<f64>() > 0.0) {
            return bad("sum of the controller's gains", "positive", gains.iter().sum());
        }
        if !(safety > 0.0 && safety <= 1.0) {
            return bad("the controller's safety", "above 0 and at most 1", safety);
        }
        if !(min_factor > 0.0 && min_factor < 0.9) {
            return bad("the controller's smallest factor", "above 0 and below 0.9", min_factor);
        }
        if !(max_factor > 1.0 && max_factor.is_finite()) {
            return bad("the controller's largest factor", "finite and above 1", max_factor);
        }
        Ok(())
    }
}

/// Finite, inside the span, strictly monotone in its direction.
fn check_times(times: &[f64], span: (f64, f64)) -> Result<(), SolveError> {
    let sign = if span.1 >= span.0 { 1.0 } else { -1.0 };
    for (index, &t) in times.iter().enumerate() {
        let invalid = |must, bound| Err(SolveError::InvalidTime { index, t, must, bound });
        if !t.is_finite() || sign * (t - span.0) < 0.0 {
            return invalid("not before the run starts, at", span.0);
        }
        if sign * (t - span.1) > 0.0 {
            return invalid("not after the run ends, at", span.1);
        }
        if index > 0 && sign * (t - times[index - 1]) <= 0.0 {
            return invalid("after the time before it,", times[index - 1]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Erk, RK4, solve};
    use chreode_core::field;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn known_steps_are_those_of_the_run(
            mut times in prop::collection::vec(0.0..2.0_f64, 0..8),
            mut breaks in prop::collection::vec(0.0..=2.0_f64, 0..5),
            h in 0.004..0.3_f64,
            land_on_saves: bool,
            backward: bool,
        ) {
            breaks.extend([0.0, 2.0]);
            for list in [&mut times, &mut breaks] {
                list.sort_by(f64::total_cmp);
                list.dedup();
                if backward {
                    list.reverse();
                }
            }
            let options =
                SolveOptions { save_at: &times, discontinuities: &breaks, land_on_saves, ..SolveOptions::fixed(h) };
            let mut f = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = -y[0]);
            let span = if backward { (2.0, 0.0) } else { (0.0, 2.0) };
            let mut erk = Erk::new(&RK4, 1, 1);
            let stats = solve(&mut f, &[], &mut [1.0], span, &mut erk, &options, &mut |_, _, _| {});
            prop_assert_eq!(options.known_steps(span), Some(stats.map_or(0, |stats| stats.accepted)));
        }
    }

    #[test]
    fn adaptive_runs_are_not_known() {
        assert_eq!(SolveOptions::default().known_steps((0.0, 1.0)), None);
        assert_eq!(SolveOptions::fixed(0.1).known_steps((1.0, 1.0)), Some(0));
        assert_eq!(SolveOptions::fixed(0.1).known_steps((f64::NAN, 1.0)), Some(0));
    }
}
