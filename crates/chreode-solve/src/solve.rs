//! The one time loop: every method runs through it.
//!
//! The loop owns time, step size, state and statistics; the method ([`Stepper`]) proposes steps.
//! Not here: how a step is made (`erk`), the next step size (`controller`), what may be asked for (`options`).

use chreode_core::{FieldError, Jacobian, Real, VectorField};

use crate::SolveError;
use crate::error::{check_finite, check_len, check_params, rows};
use crate::options::{SolveOptions, StepSize};
use crate::rhs::Rhs;
use crate::stats::Stats;
use crate::stepper::Stepper;

/// An accepted step, as an adjoint needs it: everything else can be computed again from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepRecord<'a, T> {
    /// Where the step began.
    pub t: f64,
    /// Where it ended.
    pub t_end: f64,
    /// State at its start, `[n, d]`.
    pub y: &'a [T],
    /// State at its end, `[n, d]`.
    pub y_end: &'a [T],
}

/// Sees a run as it goes.
pub trait Observer<T: Real> {
    /// A step was accepted.
    fn step(&mut self, record: StepRecord<'_, T>);
    /// The state at `save_at[i]`. With [`land_on_saves`](SolveOptions::land_on_saves) the last step ended there.
    fn save(&mut self, i: usize, t: f64, y: &[T]);
}

/// Solves `dy/dt = f(t, y; p)` over `span` (backward if it ends before it starts); `y`, `[n, d]`, is the start
/// state and becomes the end state. `save(i, t, y)` is called for every `save_at[i]` in turn.
///
/// Nothing is allocated. The error of the worst trajectory rules the step size of all.
///
/// # Errors
/// On an error `y` is the state of the last accepted step.
/// * [`SolveError::ShapeMismatch`], [`SolveError::InvalidOption`], [`SolveError::InvalidTime`] before anything runs.
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
    solve_observed(&mut Rhs::Field(f), p, y, span, stepper, options, &mut Saves(save))
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
    solve_observed(&mut Rhs::Jacobian(f), p, y, span, stepper, options, &mut Saves(save))
}

/// Passes saved states on and looks at nothing else.
struct Saves<'a, T>(&'a mut dyn FnMut(usize, f64, &[T]));

impl<T: Real> Observer<T> for Saves<'_, T> {
    fn step(&mut self, _record: StepRecord<'_, T>) {}
    fn save(&mut self, i: usize, t: f64, y: &[T]) {
        (self.0)(i, t, y);
    }
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
    let d = f.dim();
    rows(y.len(), d)?;
    check_len("state (the stepper's)", y.len(), stepper.state_len())?;
    check_params(p.len(), f.n_params())?;
    options.check(span, d)?;
    if matches!(options.step, StepSize::Adaptive { .. }) && stepper.error_order().is_none() {
        return Err(SolveError::NoErrorEstimate);
    }
    let (mut t, t1) = span;
    let sign = if t1 >= t { 1.0 } else { -1.0 };
    check_finite(y, d, 0, t)?;

    let mut saves = options.save_at;
    let first = options.save_at.len();
    if saves.first() == Some(&t) {
        observer.save(0, t, y);
        saves = &saves[1..];
    }
    let mut stats = Stats::default();
    if t == t1 || y.is_empty() {
        for (i, &t) in options.save_at.iter().enumerate().skip(first - saves.len()) {
            observer.save(i, t, y); // only for no trajectories: nothing moves
        }
        return Ok(stats);
    }
    let before = stepper.work();
    stepper.fixed_steps(matches!(options.step, StepSize::Fixed(_)));
    stepper.start(f, t, y, p)?;
    let (mut h, h_max) = match options.step {
        StepSize::Fixed(h) => (h, f64::INFINITY),
        StepSize::Adaptive { h0: Some(h0), h_max } => (h0.min(h_max), h_max),
        StepSize::Adaptive { h0: None, h_max } => {
            (stepper.initial_step(f, t, t1, y, p, options.tolerance)?.min(h_max), h_max)
        }
    };
    let adaptive = matches!(options.step, StepSize::Adaptive { .. });
    let mut err_prev = 1.0;
    let mut grow = true;
    let mut segment = Segment::new(t, next_stop(options, saves, t1), h);

    while t != t1 {
        if stats.accepted + stats.rejected + stats.field_failures >= options.max_steps {
            return Err(SolveError::TooManySteps { t, max_steps: options.max_steps });
        }
        let (t_end, whole) = if adaptive { segment.reach(t, h, sign) } else { segment.equal_step() };
        let outcome = stepper.step(f, t, t_end, y, p, options.tolerance);
        let err = match outcome {
            Ok(err) => err,
            Err(FieldError::Recoverable { .. }) if adaptive => f64::NAN,
            Err(e) => return Err(e.into()),
        };
        let tried = (t_end - t).abs();
        let error_order = f64::from(stepper.error_order().unwrap_or(1));
        let accepted = if adaptive { err <= 1.0 } else { err.is_finite() };
        if !accepted {
            stepper.reject();
            if outcome.is_ok() {
                stats.rejected += 1;
            } else {
                stats.field_failures += 1;
            }
            if !adaptive {
                return Err(match stepper.failure() {
                    Some(failure) if !err.is_nan() => SolveError::Unsolved { t, h: tried, failure },
                    _ => not_finite(stepper.proposed(), d, t_end),
                });
            }
            let factor = stepper.factor(err);
            h = tried * factor.unwrap_or_else(|| options.controller.rejected(err, error_order));
            grow = false;
            let h_min = (16.0 * f64::EPSILON * t.abs()).max(1e-290);
            if h < h_min {
                outcome?;
                return Err(match stepper.failure() {
                    _ if err.is_nan() => not_finite(stepper.proposed(), d, t_end),
                    Some(failure) => SolveError::Unsolved { t, h: tried, failure },
                    None => SolveError::StepSizeTooSmall { t, h, h_min },
                });
            }
            continue;
        }
        stats.accepted += 1;
        if !options.land_on_saves {
            if saves.first().is_some_and(|&at| sign * (at - t_end) < 0.0) {
                stepper.prepare_dense(f, t, t_end, y, p)?;
            }
            while let Some(&at) = saves.first().filter(|&&at| sign * (at - t_end) < 0.0) {
                let theta = (at - t) / (t_end - t);
                observer.save(first - saves.len(), at, stepper.dense(theta, t_end - t, y));
                saves = &saves[1..];
            }
        }
        observer.step(StepRecord { t, t_end, y, y_end: stepper.proposed() });
        stepper.accept(y);
        t = t_end;
        if saves.first() == Some(&t) {
            observer.save(first - saves.len(), t, y);
            saves = &saves[1..];
        }
        if adaptive {
            let factor = stepper
                .factor(err)
                .unwrap_or_else(|| options.controller.accepted(err, err_prev, error_order, grow));
            grow = true;
            if whole {
                h = tried * factor;
                // Not less, or one lucky step would make the next ones tiny.
                err_prev = err.max(1e-4);
            } else {
                // The error of a step cut short by a stop, which may be rounding alone, must not shrink the plan.
                h = h.max(tried * factor);
            }
            h = h.min(h_max);
        }
        if t == segment.stop && t != t1 {
            segment = Segment::new(t, next_stop(options, saves, t1), h);
        }
    }
    stats.work = stepper.work().since(before);
    stats.h_next = sign * h;
    Ok(stats)
}

/// The error of a step that ended at `t` in something that is not finite.
fn not_finite<T: Real>(y: &[T], d: usize, t: f64) -> SolveError {
    check_finite(y, d, 0, t).err().unwrap_or(SolveError::NonFiniteDerivative { t })
}

/// Where the run must stop next.
fn next_stop(options: &SolveOptions<'_>, saves: &[f64], t1: f64) -> f64 {
    if options.land_on_saves { saves.first().copied().unwrap_or(t1) } else { t1 }
}

/// From one stop to the next.
struct Segment {
    from: f64,
    stop: f64,
    /// Equal steps taken, and in all.
    done: u64,
    steps: u64,
}

impl Segment {
    fn new(from: f64, stop: f64, h: f64) -> Self {
        let steps = ((stop - from).abs() / h * (1.0 - 1e-9)).ceil().max(1.0) as u64;
        Self { from, stop, done: 0, steps }
    }

    /// End of the next of the equal steps.
    fn equal_step(&mut self) -> (f64, bool) {
        self.done += 1;
        if self.done >= self.steps {
            return (self.stop, true);
        }
        (self.from + (self.stop - self.from) * (self.done as f64 / self.steps as f64), true)
    }

    /// End of a step no longer than `h`, and whether it has that length: two equal steps before a stop rather
    /// than a long and a tiny one.
    fn reach(&self, t: f64, h: f64, sign: f64) -> (f64, bool) {
        let left = (self.stop - t).abs();
        if left <= h {
            (self.stop, left == h)
        } else if left < 2.0 * h {
            (t + 0.5 * (self.stop - t), false)
        } else {
            (t + sign * h, true)
        }
    }
}
