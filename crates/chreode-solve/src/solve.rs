//! The one time loop: every method runs through it.
//!
//! The loop owns time, step size, state and statistics; the method ([`Stepper`]) proposes steps.
//! Not here: how a step is made (`erk`), the next step size (`controller`), where steps must end (`stops`), where in a
//! step an event lies (`event`), what may be asked for (`options`).

use chreode_core::{FieldError, Jacobian, Real, VectorField};

use crate::SolveError;
use crate::controller::{Control, Controller};
use crate::error::{check_finite, check_len, check_params, rows};
use crate::event::{Event, Events, Proposed};
use crate::observer::{Observer, Saver, StepRecord};
use crate::options::{SolveOptions, StepSize};
use crate::precision::of_precision;
use crate::rhs::Rhs;
use crate::stats::{Stats, Stopped};
use crate::stepper::{StepFailure, Stepper};
use crate::stops::{Segment, Stops};

/// Solves `dy/dt = f(t, y; p)` over `span` (backward if it ends before it starts); `y`, `[n, d]`, is the start
/// state and becomes the end state. `save(i, t, y)` is called for every `save_at[i]` in turn.
///
/// Nothing is allocated. The error of the worst trajectory, or of all together, rules the step size of all: the tolerance says which
/// ([`ErrorNorm`](chreode_core::ErrorNorm)).
///
/// # Errors
/// On an error `y` is the state of the last accepted step.
/// * [`SolveError::ShapeMismatch`], [`SolveError::InvalidOption`], [`SolveError::InvalidTime`] before anything runs. An end time
///   equal to the start time is an invalid option: who observes at the start needs no run.
/// * [`SolveError::NonFinite`] for a start state, or when no step size keeps the state finite.
/// * [`SolveError::Field`] for a fatal field error, or a recoverable one that no step size avoids (with fixed
///   steps: at once).
/// * [`SolveError::StepSizeTooSmall`], [`SolveError::Unsolved`] of an implicit method, [`SolveError::TooManySteps`].
///
/// ```
/// use chreode_core::field;
/// use chreode_solve::{Erk, SolveOptions, TSIT5, solve};
/// let mut decay = field(1, |_t, y: &[f64], p: &[f64], dy: &mut [f64]| dy[0] = -p[0] * y[0]);
/// let (mut y, mut tsit5) = ([1.0], Erk::new(&TSIT5, 1, 1));
/// let options = SolveOptions { save_at: &[1.0], ..SolveOptions::tolerance(1e-9, 1e-12) };
/// let mut saved = 0.0;
/// let stats = solve(&mut decay, &[0.5], &mut y, (0.0, 2.0), &mut tsit5, &options, &mut |_i, _t, y| saved = y[0])?;
/// assert!((saved - (-0.5_f64).exp()).abs() < 1e-9 && (y[0] - (-1.0_f64).exp()).abs() < 1e-9);
/// assert_eq!(stats.work.evals, 2 + 6 * (stats.accepted + stats.rejected));
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
pub fn solve<T: Real>(
    f: &mut dyn VectorField<T>,
    p: &[T],
    y: &mut [T],
    span: (f64, f64),
    stepper: &mut dyn Stepper<T>,
    options: &SolveOptions<'_>,
    save: &mut dyn FnMut(usize, f64, &[T]),
) -> Result<Stats, SolveError> {
    solve_observed(&mut Rhs::Field(f), p, y, span, stepper, options, &mut Saver(save))
}

/// As [`solve`], with the field's own Jacobian: implicit methods then need no differences.
///
/// # Errors
/// As [`solve`].
pub fn solve_with_jacobian<T: Real>(
    f: &mut dyn Jacobian<T>,
    p: &[T],
    y: &mut [T],
    span: (f64, f64),
    stepper: &mut dyn Stepper<T>,
    options: &SolveOptions<'_>,
    save: &mut dyn FnMut(usize, f64, &[T]),
) -> Result<Stats, SolveError> {
    solve_observed(&mut Rhs::Jacobian(f), p, y, span, stepper, options, &mut Saver(save))
}

/// As [`solve`], for any kind of right-hand side, and also shows every accepted step.
///
/// # Errors
/// As [`solve`].
pub fn solve_observed<T: Real>(
    f: &mut Rhs<'_, T>,
    p: &[T],
    y: &mut [T],
    span: (f64, f64),
    stepper: &mut dyn Stepper<T>,
    options: &SolveOptions<'_>,
    observer: &mut dyn Observer<T>,
) -> Result<Stats, SolveError> {
    solve_events(f, p, y, span, stepper, options, &mut [], observer)
}

/// As [`solve_observed`], and watches for events: they are told to the observer in the order of their times, may change
/// the state, and may end the run ([`Stats::stopped`] says so, and when; `y` is then the state there).
///
/// Without a reset, events leave the steps alone. A state saved at the time of an event is that before its reset.
///
/// # Errors
/// As [`solve`], and [`SolveError::EventNotANumber`]; [`SolveError::NonFinite`] also after a reset.
///
/// ```
/// use chreode_core::field;
/// use chreode_solve::{Crossing, Erk, Event, EveryStep, Rhs, SolveOptions, Stopped, TSIT5, solve_events};
/// // A ball that keeps nine tenths of its speed when it bounces, until it is slower than 5.
/// let mut ball = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| (dy[0], dy[1]) = (y[1], -9.81));
/// let mut events = [
///     Event::new(|_t, y: &[f64], _p| y[0]).crossing(Crossing::Falling).reset(|_t, y, _p| y[1] *= -0.9),
///     Event::new(|_t, y: &[f64], _p| y[1].abs() - 5.0 + 100.0 * y[0].max(0.0)).terminal(),
/// ];
/// let (mut y, mut tsit5, options) = ([10.0, 0.0], Erk::new(&TSIT5, 1, 2), SolveOptions::default());
/// let (rhs, steps) = (&mut Rhs::Field(&mut ball), &mut EveryStep(|_t, _y: &[f64]| {}));
/// let stats = solve_events(rhs, &[], &mut y, (0.0, 100.0), &mut tsit5, &options, &mut events, steps)?;
/// assert!(matches!(stats.stopped, Stopped::Event { index: 1, .. }));
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
pub fn solve_events<T: Real>(
    f: &mut Rhs<'_, T>,
    p: &[T],
    y: &mut [T],
    span: (f64, f64),
    stepper: &mut dyn Stepper<T>,
    options: &SolveOptions<'_>,
    events: &mut [Event<'_, T>],
    observer: &mut dyn Observer<T>,
) -> Result<Stats, SolveError> {
    static SINGLE: Run<f32> = run;
    static DOUBLE: Run<f64> = run;
    let (before, mut stats) = (stepper.work(), Stats::default());
    let run = of_precision::<T, Run<T>>(&SINGLE, &DOUBLE);
    let result = run(f, p, y, span, stepper, options, &mut Events(events), observer, &mut stats);
    stats.work = stepper.work().since(before);
    stats.log(span, result.as_ref().err());
    result.map(|()| stats)
}

type Run<T> = fn(
    &mut Rhs<'_, T>,
    &[T],
    &mut [T],
    (f64, f64),
    &mut dyn Stepper<T>,
    &SolveOptions<'_>,
    &mut Events<'_, '_, T>,
    &mut dyn Observer<T>,
    &mut Stats,
) -> Result<(), SolveError>;

/// The loop. `stats` is true also of a run that fails.
fn run<T: Real>(
    f: &mut Rhs<'_, T>,
    p: &[T],
    y: &mut [T],
    span: (f64, f64),
    stepper: &mut dyn Stepper<T>,
    options: &SolveOptions<'_>,
    events: &mut Events<'_, '_, T>,
    observer: &mut dyn Observer<T>,
    stats: &mut Stats,
) -> Result<(), SolveError> {
    let d = f.dim();
    rows(y.len(), d)?;
    check_len("state (the stepper's)", y.len(), stepper.state_len())?;
    check_len("coordinates (the stepper's)", d, stepper.dim())?;
    check_params(p.len(), f.n_params())?;
    options.check(span, d)?;
    if matches!(options.step, StepSize::Adaptive { .. }) && stepper.error_order().is_none() {
        return Err(SolveError::NoErrorEstimate);
    }
    let (mut t, t1) = span;
    check_finite(y, d, 0, t)?;

    let mut saves = Saves { all: options.save_at, done: 0 };
    if saves.next() == Some(t) {
        saves.tell(observer, y);
    }
    if y.is_empty() {
        while saves.next().is_some() {
            saves.tell(observer, y); // nothing moves
        }
        return Ok(());
    }
    let mut stops = Stops::new(options, span);
    t = stops.cross(t).unwrap_or(t);
    stepper.check(f, t, y, p, options.tolerance)?;
    stepper.fixed_steps(matches!(options.step, StepSize::Fixed(_)));
    stepper.start(f, t, y, p)?;
    events.start(t, y, p, None)?;
    let stop = stops.next(saves.next());
    let (mut h, h_max) = match options.step {
        StepSize::Fixed(h) => (h, f64::INFINITY),
        StepSize::Adaptive { h0: Some(h0), h_max } => (h0.min(h_max), h_max),
        StepSize::Adaptive { h0: None, h_max } => {
            let h = stepper.initial_step(f, t, stop, y, p, options.tolerance)?;
            (h.max(least_step(t)).min(h_max), h_max)
        }
    };
    let adaptive = matches!(options.step, StepSize::Adaptive { .. });
    let passes = |err: f64| if adaptive { err <= 1.0 } else { err.is_finite() };
    let rule = options.controller.unwrap_or_else(|| Controller::of_order(stepper.error_order().unwrap_or(0)));
    let mut control = Control::new(rule);
    let mut segment = Segment::new(t, stop, h);
    let watched = !events.0.is_empty(); // two calls less a step where there are none

    while t != t1 {
        if stats.accepted + stats.rejected + stats.field_failures >= options.max_steps {
            return Err(SolveError::TooManySteps { t, max_steps: options.max_steps });
        }
        let (t_end, whole) = if adaptive { segment.reach(t, h, stops.sign) } else { segment.equal_step() };
        if t_end == t {
            return Err(SolveError::StepSizeTooSmall { t, h, h_min: least_step(t) });
        }
        let mut outcome = stepper.step(f, t, t_end, y, p, options.tolerance);
        let mut look = false;
        if matches!(outcome, Ok(err) if passes(err)) {
            look = watched && events.end(t_end, stepper.proposed(), p)?;
            if look || !options.land_on_saves && saves.next().is_some_and(|at| stops.before(at, t_end)) {
                outcome = stepper.prepare_dense(f, t, t_end, y, p).and(outcome);
            }
        }
        let err = match outcome {
            Ok(err) => err,
            Err(FieldError::Recoverable { .. }) if adaptive => f64::NAN,
            Err(e) => return Err(e.into()),
        };
        let tried = (t_end - t).abs();
        let step_order = stepper.error_order();
        let error_order = f64::from(step_order.unwrap_or(1));
        if !passes(err) {
            stepper.reject();
            if outcome.is_ok() {
                stats.rejected += 1;
            } else {
                stats.field_failures += 1;
            }
            if !adaptive {
                return Err(match stepper.failure() {
                    Some(failure) if !err.is_nan() || is_named(failure) => unsolved(t, tried, failure),
                    _ => not_finite(f, t, t_end, y, stepper.proposed(), p),
                });
            }
            let factor = stepper.step_ratio(err);
            h = tried * factor.unwrap_or_else(|| control.rejected(err, error_order));
            let h_min = least_step(t);
            if h < h_min {
                outcome?;
                return Err(match stepper.failure() {
                    Some(failure) if !err.is_nan() || is_named(failure) => unsolved(t, tried, failure),
                    _ if err.is_nan() => not_finite(f, t, t_end, y, stepper.proposed(), p),
                    _ => SolveError::StepSizeTooSmall { t, h, h_min },
                });
            }
            continue;
        }
        stats.accepted += 1;

        // What happens inside the step, in the order of time; an event may end it early.
        let mut step = Proposed { stepper, y, t, t_end };
        let mut cut = None;
        if look {
            events.locate(&mut step, p)?;
            while let Some((index, theta, ends)) = events.next(cut) {
                saves.tell_before(step.time(theta), &stops, &mut step, observer);
                observer.event(index, step.time(theta), step.state(theta));
                stats.events += 1;
                cut = cut.or(ends.then_some(theta));
            }
        }
        let theta = cut.unwrap_or(1.0);
        let end = step.time(theta);
        saves.tell_before(end, &stops, &mut step, observer);
        observer.step(StepRecord { t, t_end: end, y, y_end: step.state(theta), error_order: step_order });
        if theta < 1.0 {
            y.copy_from_slice(stepper.dense(theta, t_end - t, y));
        } else {
            stepper.accept(y);
            observer.memory(stepper.memory());
        }
        t = end;
        if saves.next() == Some(t) {
            saves.tell(observer, y);
        }

        let mut restart = cut.is_some();
        if let Some(theta) = cut {
            let last = events.reset(theta, t, y, p);
            check_finite(y, d, 0, t)?;
            if let Some(index) = last {
                stats.stopped = Stopped::Event { index, t };
                stats.h_next = stops.sign * h;
                return Ok(());
            }
        } else {
            events.advance();
        }
        if let Some(after) = stops.cross(t) {
            (t, restart) = (after, true);
            while saves.next().is_some_and(|at| !stops.before(t, at)) {
                saves.tell(observer, y);
            }
            let crossed = events.cross(t, y, p, &mut |index, y| {
                observer.event_at_jump(index, t, y);
                stats.events += 1;
            })?;
            if crossed {
                cut = Some(1.0);
                let last = events.reset(1.0, t, y, p);
                check_finite(y, d, 0, t)?;
                if let Some(index) = last {
                    stats.stopped = Stopped::Event { index, t };
                    stats.h_next = stops.sign * h;
                    return Ok(());
                }
            }
        }
        if restart && t != t1 {
            stepper.start(f, t, y, p)?;
            events.start(t, y, p, cut)?;
            control = Control::new(rule);
            if adaptive {
                let stop = stops.next(saves.next());
                h = stepper.initial_step(f, t, stop, y, p, options.tolerance)?;
                h = h.max(least_step(t)).min(h_max);
            }
        } else if adaptive {
            let factor = stepper.step_ratio(err).unwrap_or_else(|| control.accepted(err, error_order, whole));
            if whole {
                h = tried * factor;
            } else {
                // The error of a step cut short by a stop, which may be rounding alone, must not shrink the plan.
                h = h.max(tried * factor);
            }
            h = h.min(h_max);
        }
        if (restart || t == segment.stop) && t != t1 {
            segment = Segment::new(t, stops.next(saves.next()), h);
        }
    }
    stats.h_next = stops.sign * h;
    Ok(())
}

/// The saved times, and how many have been told.
struct Saves<'a> {
    all: &'a [f64],
    done: usize,
}

impl Saves<'_> {
    fn next(&self) -> Option<f64> {
        self.all.get(self.done).copied()
    }

    /// Tells the next one, at which the state is `y`.
    fn tell<T: Real>(&mut self, observer: &mut dyn Observer<T>, y: &[T]) {
        if let Some(t) = self.next() {
            observer.save(self.done, t, y);
            self.done += 1;
        }
    }

    /// Tells all that lie inside the step before `end`; there are none if steps land on them.
    #[inline(always)]
    fn tell_before<T: Real>(
        &mut self,
        end: f64,
        stops: &Stops<'_>,
        step: &mut Proposed<'_, '_, T>,
        observer: &mut dyn Observer<T>,
    ) {
        while let Some(at) = self.next().filter(|&at| stops.before(at, end)) {
            self.tell(observer, step.state((at - step.t) / (step.t_end - step.t)));
        }
    }
}

/// The shortest step at `t`: some last digits of time.
fn least_step(t: f64) -> f64 {
    (16.0 * f64::EPSILON * t.abs()).max(1e-290)
}

/// Whether the method itself says what is not finite.
fn is_named(failure: StepFailure) -> bool {
    matches!(failure, StepFailure::NotFinite { .. })
}

/// The error of a step from `(t, y)` of length `h` that an implicit method could not make.
fn unsolved(t: f64, h: f64, failure: StepFailure) -> SolveError {
    match failure {
        StepFailure::NotFinite { what, t, trajectory, coordinate } => {
            SolveError::NonFiniteDerivative { what, t, trajectory, coordinate }
        }
        failure => SolveError::Unsolved { t, h, failure },
    }
}

/// The error of a step from `(t, y)` to `(t_end, y_end)` in which something is not finite: the state, or the field at one of its ends,
/// which is evaluated for that.
fn not_finite<T: Real>(f: &mut Rhs<'_, T>, t: f64, t_end: f64, y: &[T], y_end: &[T], p: &[T]) -> SolveError {
    let d = f.dim();
    if let Err(error) = check_finite(y_end, d, 0, t_end) {
        return error;
    }
    let mut slope = vec![T::ZERO; y.len()];
    for (t, y) in [(t_end, y_end), (t, y)] {
        if f.eval(t, y, p, &mut slope).is_ok()
            && let Some(k) = slope.iter().position(|v| !v.is_finite())
        {
            let (trajectory, coordinate) = ((k / d) as u64, k % d);
            return SolveError::NonFiniteDerivative { what: "the field", t, trajectory, coordinate };
        }
    }
    // An error estimate that overflowed: states are finite, but differ by more than numbers can be large.
    SolveError::StepSizeTooSmall { t, h: (t_end - t).abs(), h_min: least_step(t) }
}
