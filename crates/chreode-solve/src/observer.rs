//! Who looks on while a run goes.

use chreode_core::Real;

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
    /// [`Stepper::error_order`](crate::Stepper::error_order) of the step, which tells the order of a method that changes it.
    pub error_order: Option<u32>,
}

/// Sees a run as it goes.
pub trait Observer<T: Real> {
    /// A step was accepted; one that an event cuts short ends at the event.
    fn step(&mut self, record: StepRecord<'_, T>);
    /// The state at `save_at[i]`. With [`land_on_saves`](crate::SolveOptions::land_on_saves) the last step ended there.
    fn save(&mut self, i: usize, t: f64, y: &[T]);
    /// After each step that an event did not cut short: [`Stepper::memory`](crate::Stepper::memory), at its end.
    fn memory(&mut self, _memory: &[T]) {}
    /// Event number `i` occurred at `t`; `y` is the state before it is reset.
    fn event(&mut self, _i: usize, _t: f64, _y: &[T]) {}
    /// Event number `i` occurred because its root jumped at a discontinuity: after the step that ended before it, at the first time `t`
    /// behind it, which the state does not move. By default an [`event`](Self::event) as any.
    fn event_at_jump(&mut self, i: usize, t: f64, y: &[T]) {
        self.event(i, t, y);
    }
}

/// Passes saved states on and looks at nothing else.
pub(crate) struct Saver<'a, T>(pub(crate) &'a mut dyn FnMut(usize, f64, &[T]));

impl<T: Real> Observer<T> for Saver<'_, T> {
    fn step(&mut self, _record: StepRecord<'_, T>) {}
    fn save(&mut self, i: usize, t: f64, y: &[T]) {
        (self.0)(i, t, y);
    }
}

/// Calls `f(t, y)` at the end of every step, whatever their lengths: how a run is saved as it went.
///
/// ```
/// use chreode_core::field;
/// use chreode_solve::{Erk, EveryStep, Rhs, SolveOptions, TSIT5, solve_observed};
/// let mut decay = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = -y[0]);
/// let mut path = vec![(0.0, 1.0)];
/// let mut observer = EveryStep(|t, y: &[f64]| path.push((t, y[0])));
/// let (mut y, mut tsit5, options) = ([1.0], Erk::new(&TSIT5, 1, 1), SolveOptions::default());
/// let stats = solve_observed(&mut Rhs::Field(&mut decay), &[], &mut y, (0.0, 1.0), &mut tsit5, &options, &mut observer)?;
/// assert_eq!(path.len() as u64, 1 + stats.accepted);
/// assert_eq!(path.last(), Some(&(1.0, y[0])));
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct EveryStep<F>(pub F);

impl<T: Real, F: FnMut(f64, &[T])> Observer<T> for EveryStep<F> {
    fn step(&mut self, record: StepRecord<'_, T>) {
        (self.0)(record.t_end, record.y_end);
    }
    fn save(&mut self, _i: usize, _t: f64, _y: &[T]) {}
}
