//! Events that an adjoint goes back through, discrete or continuous.

use chreode_core::{FieldError, Real, Vjp};
use chreode_solve::{Crossing, Event};

use crate::discrete::sweep::dot;

/// An event with its derivatives: what happens where `root` changes its sign. See [`chreode_solve::Event`].
///
/// States are `[n, d]`, and an event concerns all trajectories. Derivatives of the reset default to those of none.
pub trait EventVjp<T: Real> {
    /// The function whose changes of sign are events.
    fn root(&self, t: f64, y: &[T], p: &[T]) -> f64;

    /// Sets `y_bar` and `p_bar` to the root's gradient, and returns its derivative with respect to the time.
    fn root_gradient(&self, t: f64, y: &[T], p: &[T], y_bar: &mut [T], p_bar: &mut [T]) -> T;

    /// Which changes count.
    fn crossing(&self) -> Crossing {
        Crossing::Either
    }

    /// Whether it ends the run.
    fn terminal(&self) -> bool {
        false
    }

    /// Whether it changes the state.
    fn resets(&self) -> bool {
        false
    }

    /// Changes the state.
    fn reset(&self, _t: f64, _y: &mut [T], _p: &[T]) {}

    /// Of the state `r(t, y, p)` that [`reset`](Self::reset) makes of `y`: sets `y_bar = λᵀ ∂r/∂y`, ADDS `λᵀ ∂r/∂p` to `p_bar`,
    /// and returns `λᵀ ∂r/∂t`.
    fn reset_vjp(&self, _t: f64, _y: &[T], _p: &[T], lambda: &[T], y_bar: &mut [T], _p_bar: &mut [T]) -> T {
        y_bar.copy_from_slice(lambda);
        T::ZERO
    }
}

/// The event as the solver knows it.
pub(crate) fn watch<T: Real>(event: &dyn EventVjp<T>) -> Event<'_, T> {
    let mut watched = Event::new(|t, y: &[T], p: &[T]| event.root(t, y, p)).crossing(event.crossing());
    if event.terminal() {
        watched = watched.terminal();
    }
    if event.resets() {
        watched = watched.reset(|t, y, p| event.reset(t, y, p));
    }
    watched
}

/// An event that ended a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) step: usize,
    pub(crate) index: usize,
    pub(crate) t: f64,
    /// Whether it occurs at another time from another state: not where the root jumps at a discontinuity.
    pub(crate) moves: bool,
}

/// The events that ended steps of a run, in their order, with the states, `[2, n, d]`, before and after each.
#[derive(Debug, Clone)]
pub(crate) struct Endings<T> {
    /// Values of a state.
    nd: usize,
    /// Number of events that were watched, and which of them end a step.
    pub(crate) watched: usize,
    ends: Vec<bool>,
    list: Vec<Ending>,
    states: Vec<T>,
    /// When two ended a step at once.
    pub(crate) together: Option<f64>,
}

impl<T: Real> Endings<T> {
    /// For states of `nd` values.
    pub(crate) fn new(nd: usize) -> Self {
        Self { nd, watched: 0, ends: Vec::new(), list: Vec::new(), states: Vec::new(), together: None }
    }

    /// A run begins that watches these.
    pub(crate) fn begin(&mut self, events: &[&dyn EventVjp<T>]) {
        self.watched = events.len();
        self.ends.clear();
        self.ends.extend(events.iter().map(|e| e.terminal() || e.resets()));
        self.list.clear();
        self.states.clear();
        self.together = None;
    }

    /// A step begins at the state `y`, which is that after the event that ended the step before, if one did.
    pub(crate) fn begin_step(&mut self, step: usize, y: &[T]) {
        if self.list.last().is_some_and(|e| e.step < step) {
            self.finish(y);
        }
    }

    /// Keeps the state after the last event, unless it is there.
    pub(crate) fn finish(&mut self, y: &[T]) {
        if self.states.len() < 2 * self.list.len() * self.nd {
            self.states.extend_from_slice(y);
        }
    }

    /// Event `index` ends the step, if it is one that does; `y` is the state before it.
    pub(crate) fn end(&mut self, ending: Ending, y: &[T]) {
        if !self.ends[ending.index] {
            return;
        }
        if self.list.last().is_some_and(|e| e.step == ending.step) {
            self.together = Some(ending.t);
        } else {
            self.list.push(ending);
            self.states.extend_from_slice(y);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// One of them, and the states before and after it.
    pub(crate) fn get(&self, i: usize) -> (Ending, &[T], &[T]) {
        let (before, after) = self.states[2 * i * self.nd..2 * (i + 1) * self.nd].split_at(self.nd);
        (self.list[i], before, after)
    }

    /// That which ended a step, if one did.
    pub(crate) fn of(&self, step: usize) -> Option<(Ending, &[T], &[T])> {
        self.list.binary_search_by_key(&step, |e| e.step).ok().map(|i| self.get(i))
    }
}

/// Work space for the jump of the adjoint state at an event.
#[derive(Debug, Clone)]
pub(crate) struct EventJump<T> {
    lambda: Vec<T>,
    /// The field, and the gradient of the root with respect to the state and to the parameters.
    slope: Vec<T>,
    root_bar: Vec<T>,
    p_root: Vec<T>,
}

impl<T: Real> EventJump<T> {
    /// For states of `nd` values.
    pub(crate) fn new(nd: usize) -> Self {
        let zeros = || vec![T::ZERO; nd];
        Self { lambda: zeros(), slope: zeros(), root_bar: zeros(), p_root: Vec::new() }
    }

    /// Pulls the adjoint state `a` back through an event, and adds what it owes to the parameters to `p_bar` [GFB99].
    /// `end_time_bar` is the gradient with respect to the end of the run, if this event ends it.
    pub(crate) fn pull_back(
        &mut self,
        f: &mut dyn Vjp<T>,
        p: &[T],
        event: &dyn EventVjp<T>,
        (ending, before, after): (Ending, &[T], &[T]),
        end_time_bar: T,
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let (t, Self { lambda, slope, root_bar, p_root }) = (ending.t, self);
        if !ending.moves {
            let _ = event.reset_vjp(t, before, p, a, lambda, p_bar);
            a.copy_from_slice(lambda);
            return Ok(());
        }
        p_root.resize(p.len(), T::ZERO);
        // What a later time does: less of the flow after the event, more of that before it.
        let mut later = if event.terminal() {
            end_time_bar
        } else {
            f.eval(t, after, p, slope)?;
            -dot(a, slope)
        };
        later += event.reset_vjp(t, before, p, a, lambda, p_bar);
        f.eval(t, before, p, slope)?;
        later += dot(lambda, slope);
        let root_t = event.root_gradient(t, before, p, root_bar, p_root);
        let by = -later / (dot(root_bar, slope) + root_t);
        for ((a, &bar), &root) in a.iter_mut().zip(&*lambda).zip(&*root_bar) {
            *a = bar + by * root;
        }
        p_bar.iter_mut().zip(&*p_root).for_each(|(p_bar, &root)| *p_bar += by * root);
        Ok(())
    }
}
