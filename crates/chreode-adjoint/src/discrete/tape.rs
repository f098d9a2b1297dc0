//! What the reverse of a run needs of it.

use chreode_core::Real;
use chreode_solve::{Observer, StepRecord};

use crate::checkpoint::Store;
use crate::event::{Ending, Endings, EventVjp};

/// Gradients with respect to the states at the saved times, `[n, d]` each: a slice of each, or all in one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Bars<'a, T> {
    Each(&'a [&'a [T]]),
    /// Of so many times.
    Flat(&'a [T], usize),
}

impl<'a, T> Bars<'a, T> {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Each(bars) => bars.len(),
            Self::Flat(_, times) => times,
        }
    }

    pub(super) fn get(self, i: usize) -> &'a [T] {
        match self {
            Self::Each(bars) => bars[i],
            Self::Flat(bars, times) => {
                let len = bars.len() / times;
                &bars[i * len..(i + 1) * len]
            }
        }
    }
}

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
    pub(super) endings: Endings<T>,
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
            endings: Endings::new(nd),
        }
    }

    /// A run begins, of `steps` steps if that is known, which watches these events.
    pub(super) fn begin(&mut self, steps: Option<usize>, events: &[&dyn EventVjp<T>]) {
        self.steps.clear();
        self.orders.clear();
        self.saved.clear();
        self.states.begin(steps);
        self.last = steps.and_then(|steps| steps.checked_sub(1));
        self.endings.begin(events);
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
        let starts = to != t || self.endings.of(i - 1).is_some();
        let cut = self.endings.of(i).is_some();
        Taken { number: i, t, t_end, error_order: self.orders[i], starts, before: to - from, cut }
    }
}

/// Passes the caller's saves on and fills the tape.
pub(super) struct Recorder<'a, T> {
    pub(super) tape: &'a mut Tape<T>,
    pub(super) save: &'a mut dyn FnMut(usize, f64, &[T]),
}

impl<T: Real> Observer<T> for Recorder<'_, T> {
    fn step(&mut self, r: StepRecord<'_, T>) {
        let step = self.tape.steps.len();
        self.tape.endings.begin_step(step, r.y);
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
        let step = self.tape.steps.len(); // the step that it ends is told after it
        self.tape.endings.end(Ending { step, index, t, moves: true }, y);
    }

    fn event_at_jump(&mut self, index: usize, t: f64, y: &[T]) {
        if let Some(step) = self.tape.steps.len().checked_sub(1) {
            self.tape.endings.end(Ending { step, index, t, moves: false }, y);
        }
    }
}
