//! Events that an adjoint goes back through.

use chreode_core::Real;
use chreode_solve::{Crossing, Event};

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
pub(super) fn watch<T: Real>(event: &dyn EventVjp<T>) -> Event<'_, T> {
    let mut watched = Event::new(|t, y: &[T], p: &[T]| event.root(t, y, p)).crossing(event.crossing());
    if event.terminal() {
        watched = watched.terminal();
    }
    if event.resets() {
        watched = watched.reset(|t, y, p| event.reset(t, y, p));
    }
    watched
}
