//! Events: times at which a function of time and state changes its sign.
//!
//! A sign that differs between the ends of a step is never lost: the time is then found on the dense output, to the
//! last digits of time, by a bracketing method. Not here: what the time loop does with it (`solve`).

use std::cmp::Ordering;

use chreode_core::Real;

use crate::SolveError;
use crate::stepper::Stepper;

/// Which sign changes count, in the direction of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Crossing {
    /// Both.
    #[default]
    Either,
    /// From negative to positive.
    Rising,
    /// From positive to negative.
    Falling,
}

/// A function `root(t, y, p)` that is watched for changes of its sign, and what is done when it changes.
///
/// `y` is the whole state, `[n, d]`. Where the root is zero at the start, or right after the event itself, that is no
/// event: it must leave zero first. Two changes within one step cancel and are not seen; a largest step
/// ([`StepSize::Adaptive`](crate::StepSize::Adaptive)) bounds how close they may be.
pub struct Event<'a, T> {
    root: Box<dyn FnMut(f64, &[T], &[T]) -> f64 + 'a>,
    crossing: Crossing,
    terminal: bool,
    reset: Option<Box<dyn FnMut(f64, &mut [T], &[T]) + 'a>>,
    /// Value at the step's start (zero: its sign is not known) and at its end.
    start: f64,
    end: f64,
    /// Where in the step the event lies, and whether that has not been told yet.
    theta: Option<f64>,
    pending: bool,
}

impl<'a, T: Real> Event<'a, T> {
    /// An event at any sign change of `root(t, y, p)`, which is told to the [`Observer`](crate::Observer).
    pub fn new(root: impl FnMut(f64, &[T], &[T]) -> f64 + 'a) -> Self {
        Self {
            root: Box::new(root),
            crossing: Crossing::Either,
            terminal: false,
            reset: None,
            start: 0.0,
            end: 0.0,
            theta: None,
            pending: false,
        }
    }

    /// Counts only such sign changes.
    #[must_use]
    pub fn crossing(self, crossing: Crossing) -> Self {
        Self { crossing, ..self }
    }

    /// Ends the run there.
    #[must_use]
    pub fn terminal(self) -> Self {
        Self { terminal: true, ..self }
    }

    /// Lets `reset(t, y, p)` change the state there; the method then starts anew.
    #[must_use]
    pub fn reset(self, reset: impl FnMut(f64, &mut [T], &[T]) + 'a) -> Self {
        Self { reset: Some(Box::new(reset)), ..self }
    }
}

impl<T> std::fmt::Debug for Event<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("crossing", &self.crossing)
            .field("terminal", &self.terminal)
            .field("resets", &self.reset.is_some())
            .finish_non_exhaustive()
    }
}

/// Where to look for the sign that a root takes after it was zero, as a fraction of the step.
const JUST_AFTER: f64 = 1e-6;

/// The events of a run.
pub(crate) struct Events<'e, 'a, T>(pub(crate) &'e mut [Event<'a, T>]);

impl<T: Real> Events<'_, '_, T> {
    /// Looks at the roots where the method starts; the events at `now` of the step before just occurred there, and what
    /// is left of their roots, if no reset changed it, is rounding without a sign.
    pub(crate) fn start(&mut self, t: f64, y: &[T], p: &[T], now: Option<f64>) -> Result<(), SolveError> {
        for (index, e) in self.0.iter_mut().enumerate() {
            let value = finite((e.root)(t, y, p), index, t)?;
            e.start = if now.is_some() && e.theta == now && value == e.start { 0.0 } else { value };
            (e.theta, e.pending) = (None, false);
        }
        Ok(())
    }

    /// Looks at the roots at the end of a step; true if the dense output is needed to look into it.
    pub(crate) fn end(&mut self, t: f64, y: &[T], p: &[T]) -> Result<bool, SolveError> {
        let mut look = false;
        for (index, e) in self.0.iter_mut().enumerate() {
            e.end = finite((e.root)(t, y, p), index, t)?;
            let unknown = e.start == 0.0;
            let changes = e.start.signum() != e.end.signum() || e.end == 0.0;
            look |= if unknown { e.end != 0.0 } else { changes && counts(e.crossing, e.start, e.end) };
        }
        Ok(look)
    }

    /// Finds the events within the step, which is ready for dense output.
    pub(crate) fn locate(&mut self, step: &mut Proposed<'_, '_, T>, p: &[T]) -> Result<(), SolveError> {
        for (index, e) in self.0.iter_mut().enumerate() {
            let last_digits = step.last_digits();
            let mut value = |theta: f64| {
                let at = step.time(theta);
                finite((e.root)(at, step.state(theta), p), index, at)
            };
            let (mut from, mut start) = (0.0, e.start);
            if start == 0.0 && e.end != 0.0 {
                (from, start) = (JUST_AFTER, value(JUST_AFTER)?);
            }
            if start == 0.0
                || e.end != 0.0 && start.signum() == e.end.signum()
                || !counts(e.crossing, start, e.end)
            {
                continue;
            }
            let found = if e.end == 0.0 { 1.0 } else { root((from, start), e.end, last_digits, value)? };
            (e.theta, e.pending) = (Some(found), true);
        }
        Ok(())
    }

    /// The next event of the step, its place in it, and whether it ends the step; none after `cut`.
    pub(crate) fn next(&mut self, cut: Option<f64>) -> Option<(usize, f64, bool)> {
        let pending = self.0.iter_mut().enumerate().filter(|(_, e)| e.pending);
        let (index, e) =
            pending.min_by(|(_, a), (_, b)| a.theta.partial_cmp(&b.theta).unwrap_or(Ordering::Equal))?;
        let theta = e.theta.filter(|&theta| cut.is_none_or(|cut| theta <= cut))?;
        e.pending = false;
        Some((index, theta, e.terminal || e.reset.is_some()))
    }

    /// Looks at what changed its sign where the field jumps, from the last number before to `t`, the first one after, and tells it.
    /// Such events count as those at the end of the step before, at `theta` = 1; false if there are none.
    pub(crate) fn cross(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        tell: &mut dyn FnMut(usize, &[T]),
    ) -> Result<bool, SolveError> {
        let mut any = false;
        for (index, e) in self.0.iter_mut().enumerate() {
            e.end = finite((e.root)(t, y, p), index, t)?;
            let changes = e.start != 0.0 && (e.start.signum() != e.end.signum() || e.end == 0.0);
            let occurs = changes && counts(e.crossing, e.start, e.end);
            (e.theta, e.pending) = (occurs.then_some(1.0), false);
            if occurs {
                any = true;
                tell(index, y);
            }
        }
        Ok(any)
    }

    /// Changes the state as the events at `theta` ask for; returns the first of them that ends the run.
    pub(crate) fn reset(&mut self, theta: f64, t: f64, y: &mut [T], p: &[T]) -> Option<usize> {
        let mut last = None;
        let here = |e: &&mut Event<'_, T>| e.theta == Some(theta);
        for e in self.0.iter_mut().filter(here) {
            e.start = (e.root)(t, y, p);
        }
        for (index, e) in self.0.iter_mut().enumerate().filter(|(_, e)| here(e)) {
            if let Some(reset) = &mut e.reset {
                reset(t, y, p);
            }
            last = last.or(e.terminal.then_some(index));
        }
        last
    }

    /// The step was accepted as a whole: its end is the next one's start.
    pub(crate) fn advance(&mut self) {
        for e in &mut *self.0 {
            (e.start, e.theta, e.pending) = (e.end, None, false);
        }
    }
}

/// Whether a change of sign from `start` to `end` counts.
fn counts(crossing: Crossing, start: f64, end: f64) -> bool {
    match crossing {
        Crossing::Either => true,
        Crossing::Rising => start < end,
        Crossing::Falling => start > end,
    }
}

fn finite(value: f64, index: usize, t: f64) -> Result<f64, SolveError> {
    if value.is_nan() { Err(SolveError::EventNotANumber { index, t }) } else { Ok(value) }
}

/// The step that a method proposes, before it is accepted.
pub(crate) struct Proposed<'a, 's, T> {
    pub(crate) stepper: &'a mut (dyn Stepper<T> + 's),
    pub(crate) y: &'a [T],
    pub(crate) t: f64,
    pub(crate) t_end: f64,
}

impl<T: Real> Proposed<'_, '_, T> {
    pub(crate) fn time(&self, theta: f64) -> f64 {
        if theta < 1.0 { self.t + theta * (self.t_end - self.t) } else { self.t_end }
    }

    pub(crate) fn state(&mut self, theta: f64) -> &[T] {
        if theta < 1.0 {
            self.stepper.dense(theta, self.t_end - self.t, self.y)
        } else {
            self.stepper.proposed()
        }
    }

    /// What `θ` must change by to change the time.
    fn last_digits(&self) -> f64 {
        f64::EPSILON * (self.t.abs().max(self.t_end.abs()) / (self.t_end - self.t).abs()).max(1.0)
    }
}

/// Where `value` changes its sign between `a`, with its value there, and one, where it is `end`; to within `tolerance`,
/// on the side of one. Interpolate, truncate, project: superlinear, and never many more steps than bisection. Source: [OT21].
fn root(
    (mut a, mut at_a): (f64, f64),
    end: f64,
    tolerance: f64,
    mut value: impl FnMut(f64) -> Result<f64, SolveError>,
) -> Result<f64, SolveError> {
    let (mut b, mut at_b) = (1.0, end);
    let slope = 0.2 / (b - a);
    // What bisection would have left, and one step more.
    let mut reach = 2.0 * (b - a);
    while b - a > tolerance {
        let (half, width) = (0.5 * (a + b), b - a);
        let radius = 0.5 * (reach.max(tolerance) - width);
        let secant = (at_b * a - at_a * b) / (at_b - at_a);
        let side = if half > secant { 1.0 } else { -1.0 };
        let push = slope * width * width;
        let truncated = if push <= (half - secant).abs() { secant + side * push } else { half };
        let x = if (truncated - half).abs() <= radius { truncated } else { half - side * radius };
        let x = if x > a && x < b { x } else { half };
        if x <= a || x >= b {
            break;
        }
        let at_x = value(x)?;
        if at_x.signum() == at_a.signum() && at_x != 0.0 {
            (a, at_a) = (x, at_x);
        } else {
            (b, at_b) = (x, at_x);
        }
        if at_x == 0.0 {
            break;
        }
        reach *= 0.5;
    }
    Ok(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn roots_are_found_in_few_steps(at in 0.0..1.0_f64, power in 0_u32..4, scale in 1e-12..1e12_f64, offset in 0.0..30.0_f64) {
            // Odd powers of the distance, and an exponential, whose secants are of little use.
            let f = |x: f64| match power {
                3 => (offset * x).exp() - (offset * at).exp(),
                n => (x - at).powi(2 * n as i32 + 1),
            };
            prop_assume!(f(0.0) != 0.0 && f(1.0) != 0.0 && f(0.0).signum() != f(1.0).signum());
            let mut calls = 0;
            let x = root((0.0, scale * f(0.0)), scale * f(1.0), 1e-14, |x| { calls += 1; Ok(scale * f(x)) }).unwrap();
            prop_assert!(calls <= 50, "{calls}");
            // A power is flat at its root: zero in floating point over a width of its own.
            let flat = 1e-300_f64.powf(1.0 / f64::from(2 * power.min(2) + 1));
            prop_assert!((x - at).abs() < 3e-14 + flat, "{x} {at} {calls}");
            prop_assert!(f(x) == 0.0 || f(x).signum() == f(1.0).signum());
        }
    }

    #[test]
    fn smooth_roots_take_few_evaluations() {
        let mut calls = 0;
        let value = |x: f64| {
            calls += 1;
            Ok(x.cos() - x)
        };
        let x = root((0.0, 1.0), 1.0_f64.cos() - 1.0, 1e-15, value).unwrap();
        assert!((x - 0.739_085_133_215_160_6).abs() < 2e-15 && calls <= 10, "{x} {calls}");
    }
}
