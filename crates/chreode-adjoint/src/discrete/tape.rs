//! What the reverse of a run needs of it.

use chreode_core::Real;
use chreode_solve::{Observer, StepRecord};

use crate::checkpoint::Store;

/// What a forward run leaves behind.
#[derive(Debug, Clone)]
pub(super) struct Tape<T> {
    /// Values of a state.
    nd: usize,
    /// Start and end of each step, and the power of its length that its error scales with: for methods that change their order.
    pub(super) steps: Vec<(f64, f64)>,
    pub(super) orders: Vec<u8>,
    pub(super) states: Store<T>,
    /// Steps taken before each saved time, and that time.
    pub(super) saved: Vec<(usize, f64)>,
    /// The last step, if the number of steps is known, and the state at its start: the reverse sweep begins there.
    pub(super) last: Option<usize>,
    pub(super) y_last: Vec<T>,
    /// The state at the start of a step and what the method remembers there, if that is kept.
    whole: Vec<T>,
    /// Number of events that were watched, those that ended a step, and the states, `[2, n, d]`, before and after each.
    pub(super) events: usize,
    pub(super) endings: Vec<Ending>,
    pub(super) event_states: Vec<T>,
}

/// A step of the forward run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    pub(super) number: usize,
    pub(super) t: f64,
    pub(super) t_end: f64,
    /// [`Stepper::error_order`](chreode_solve::Stepper::error_order) of the step; 0 for none.
    pub(super) error_order: u8,
    /// Whether the method started anew; else the signed length of the step before.
    pub(super) starts: bool,
    pub(super) before: f64,
    /// An event ended it early: its end is not that of a step of its length.
    pub(super) cut: bool,
}

/// An event that ended a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) step: usize,
    pub(super) index: usize,
    pub(super) t: f64,
    /// Whether it occurs at another time from another state: not where the root jumps at a discontinuity.
    pub(super) moves: bool,
}

impl<T: Real> Tape<T> {
    /// For states of `nd` values, which are kept with as many as the method remembers.
    pub(super) fn new(states: Store<T>, nd: usize, memory: usize) -> Self {
        Self {
            nd,
            steps: Vec::new(),
            orders: Vec::new(),
            states,
            saved: Vec::new(),
            last: None,
            y_last: vec![T::ZERO; nd + memory],
            whole: vec![T::ZERO; nd + memory],
            events: 0,
            endings: Vec::new(),
            event_states: Vec::new(),
        }
    }

    /// A run begins, of `steps` steps if that is known, which watches so many events.
    pub(super) fn begin(&mut self, steps: Option<usize>, events: usize) {
        self.steps.clear();
        self.orders.clear();
        self.saved.clear();
        self.states.begin(steps);
        self.last = steps.and_then(|steps| steps.checked_sub(1));
        self.events = events;
        self.endings.clear();
        self.event_states.clear();
    }

    /// Where inside `step` the state was saved as number `save`, as a part of its length; `None` if not there.
    pub(super) fn inside(&self, step: usize, save: usize) -> Option<f64> {
        let (before, at) = self.saved[save];
        let &(t, t_end) = self.steps.get(step).filter(|_| before == step)?;
        let theta = (at - t) / (t_end - t);
        // At its start, or before a discontinuity there, which moves time on by some last digits.
        (theta > 0.0).then_some(theta)
    }

    pub(super) fn step(&self, i: usize) -> Taken {
        let (t, t_end) = self.steps[i];
        let (from, to) = if i > 0 { self.steps[i - 1] } else { (t, f64::NAN) };
        // Over a discontinuity time goes on by some last digits.
        let starts = to != t || self.ending(i - 1).is_some();
        let cut = self.ending(i).is_some();
        Taken { number: i, t, t_end, error_order: self.orders[i], starts, before: to - from, cut }
    }

    /// The event that ended a step, if one did, and the states before and after it.
    pub(super) fn ending(&self, step: usize) -> Option<(Ending, &[T], &[T])> {
        let i = self.endings.binary_search_by_key(&step, |e| e.step).ok()?;
        let nd = self.nd;
        let (before, after) = self.event_states[2 * i * nd..2 * (i + 1) * nd].split_at(nd);
        Some((self.endings[i], before, after))
    }

    /// Keeps the state after the last event, unless it is there.
    pub(super) fn after_event(&mut self, y: &[T]) {
        if self.event_states.len() < 2 * self.endings.len() * y.len() {
            self.event_states.extend_from_slice(y);
        }
    }
}

/// Passes the caller's saves on and fills the tape.
pub(super) struct Recorder<'a, T> {
    pub(super) tape: &'a mut Tape<T>,
    pub(super) save: &'a mut dyn FnMut(usize, f64, &[T]),
    /// Which events end a step; whether two did at once.
    pub(super) ends: &'a [bool],
    pub(super) together: Option<f64>,
}

impl<T: Real> Observer<T> for Recorder<'_, T> {
    fn step(&mut self, r: StepRecord<'_, T>) {
        let step = self.tape.steps.len();
        if self.tape.endings.last().is_some_and(|e| e.step < step) {
            self.tape.after_event(r.y);
        }
        let Tape { whole, states, y_last, last, .. } = &mut *self.tape;
        whole[..r.y.len()].copy_from_slice(r.y);
        states.offer(step, whole);
        if *last == Some(step) {
            y_last.copy_from_slice(whole);
        }
        self.tape.steps.push((r.t, r.t_end));
        self.tape.orders.push(r.error_order.unwrap_or(0) as u8); // methods have orders below 20
    }

    fn memory(&mut self, memory: &[T]) {
        let kept = &mut self.tape.whole[self.tape.nd..];
        if !kept.is_empty() {
            kept.copy_from_slice(memory);
        }
    }

    fn save(&mut self, i: usize, t: f64, y: &[T]) {
        self.tape.saved.push((self.tape.steps.len(), t));
        (self.save)(i, t, y);
    }

    fn event(&mut self, index: usize, t: f64, y: &[T]) {
        self.end(Ending { step: self.tape.steps.len(), index, t, moves: true }, y); // the step that it ends is told after it
    }

    fn event_at_jump(&mut self, index: usize, t: f64, y: &[T]) {
        if let Some(step) = self.tape.steps.len().checked_sub(1) {
            self.end(Ending { step, index, t, moves: false }, y);
        }
    }
}

impl<T: Real> Recorder<'_, T> {
    fn end(&mut self, ending: Ending, y: &[T]) {
        if !self.ends[ending.index] {
            return;
        }
        if self.tape.endings.last().is_some_and(|e| e.step == ending.step) {
            self.together = Some(ending.t);
        } else {
            self.tape.endings.push(ending);
            self.tape.event_states.extend_from_slice(y);
        }
    }
}
