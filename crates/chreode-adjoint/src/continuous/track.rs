//! A run as one function of time: every step's dense output, whatever the method, as values at fixed places.

use std::ops::Range;

use chreode_core::{FieldError, Real, Tolerance};
use chreode_solve::{Rhs, SolveError, StepFailure, Stepper, Work};

/// Values of a step that are kept. Dense output of degree seven or less is kept without loss.
const NODES: usize = 8;

/// Chebyshev-Lobatto points of a step, `(1 - cos(π k / 7)) / 2`, where interpolation is well conditioned.
const THETA: [f64; NODES] = [
    0.0,
    0.049_515_566_048_790_427,
    0.188_255_099_070_633_23,
    0.388_739_533_021_842_77,
    0.611_260_466_978_157_23,
    0.811_744_900_929_366_77,
    0.950_484_433_951_209_57,
    1.0,
];

/// The accepted steps of a run of `len` values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Track<T> {
    len: usize,
    /// Start and end of each step, and how far it counts: less where an event cut it.
    pieces: Vec<Piece>,
    /// `[steps, NODES, len]`.
    values: Vec<T>,
    /// The steps that are looked at.
    window: Range<usize>,
}

/// A step: it was made from one time to another, and is the run until a third.
#[derive(Debug, Clone, Copy)]
struct Piece {
    from: f64,
    to: f64,
    until: f64,
}

impl<T: Real> Track<T> {
    pub(crate) fn new(len: usize) -> Self {
        Self { len, pieces: Vec::new(), values: Vec::new(), window: 0..0 }
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.values.clear();
    }

    /// Number of steps.
    pub(crate) fn steps(&self) -> usize {
        self.pieces.len()
    }

    /// Start and end of a step.
    pub(crate) fn step(&self, i: usize) -> (f64, f64) {
        (self.pieces[i].from, self.pieces[i].to)
    }

    /// Looks at these steps alone: those between two events.
    pub(crate) fn look_at(&mut self, window: Range<usize>) {
        self.window = window;
    }

    /// Sets `out` to the state at `t` in the steps that are looked at; between the numbers beside a discontinuity, to the nearest one of the step after it.
    pub(crate) fn at(&self, t: f64, out: &mut [T]) {
        let pieces = &self.pieces[self.window.clone()];
        let Some((first, last)) = pieces.first().zip(pieces.last()) else { return };
        let sign = if last.to >= first.from { 1.0 } else { -1.0 };
        let before = pieces.partition_point(|piece| sign * (piece.until - t) < 0.0);
        let i = before.min(pieces.len() - 1);
        let Piece { from, to, .. } = pieces[i];
        self.within(self.window.start + i, ((t - from) / (to - from)).clamp(0.0, 1.0), out);
    }

    /// Sets `out` to the state at a place of step `i`, by the barycentric formula [BT04].
    pub(crate) fn within(&self, i: usize, theta: f64, out: &mut [T]) {
        let values = &self.values[i * NODES * self.len..(i + 1) * NODES * self.len];
        let row = |k: usize| &values[k * self.len..(k + 1) * self.len];
        if let Some(k) = THETA.iter().position(|&x| x == theta) {
            out.copy_from_slice(row(k));
            return;
        }
        let mut weights = [0.0; NODES];
        for (k, (weight, x)) in weights.iter_mut().zip(THETA).enumerate() {
            let end = if k == 0 || k == NODES - 1 { 0.5 } else { 1.0 };
            *weight = if k % 2 == 0 { end } else { -end } / (theta - x);
        }
        let sum: f64 = weights.iter().sum();
        out.fill(T::ZERO);
        for (k, weight) in weights.into_iter().enumerate() {
            let weight = T::c(weight / sum);
            out.iter_mut().zip(row(k)).for_each(|(out, &v)| *out += weight * v);
        }
    }
}

/// A method whose accepted steps are kept.
pub(crate) struct Recording<'a, T> {
    pub(crate) inner: &'a mut dyn Stepper<T>,
    pub(crate) track: &'a mut Track<T>,
    /// Whether the last piece is of a step that is proposed, and whether steps have fixed lengths.
    proposed: bool,
    fixed: bool,
}

impl<'a, T: Real> Recording<'a, T> {
    pub(crate) fn new(inner: &'a mut dyn Stepper<T>, track: &'a mut Track<T>) -> Self {
        track.clear();
        Self { inner, track, proposed: false, fixed: false }
    }

    /// The run goes on from `t` or ends there: a step that was neither accepted nor rejected was cut there by an event.
    pub(crate) fn cut(&mut self, t: f64) {
        if std::mem::take(&mut self.proposed)
            && let Some(piece) = self.track.pieces.last_mut()
        {
            piece.until = t;
        }
    }

    /// Forgets the step that is proposed.
    fn forget(&mut self) {
        if std::mem::take(&mut self.proposed) {
            self.track.pieces.pop();
            self.track.values.truncate(self.track.pieces.len() * NODES * self.track.len);
        }
    }
}

impl<T: Real> Stepper<T> for Recording<'_, T> {
    fn state_len(&self) -> usize {
        self.inner.state_len()
    }

    fn dim(&self) -> usize {
        self.inner.dim()
    }

    fn check(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<(), SolveError> {
        self.inner.check(f, t, y, p, tol)
    }

    fn memory(&self) -> &[T] {
        self.inner.memory()
    }

    fn has_mass(&self) -> bool {
        self.inner.has_mass()
    }

    fn error_order(&self) -> Option<u32> {
        self.inner.error_order()
    }

    fn work(&self) -> Work {
        self.inner.work()
    }

    fn fixed_steps(&mut self, fixed: bool) {
        self.fixed = fixed;
        self.inner.fixed_steps(fixed);
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.cut(t);
        self.inner.start(f, t, y, p)
    }

    fn initial_step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        self.inner.initial_step(f, t, t_end, y, p, tol)
    }

    fn step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        let err = self.inner.step(f, t, t_end, y, p, tol)?;
        if err <= 1.0 || self.fixed && err.is_finite() {
            self.inner.prepare_dense(f, t, t_end, y, p)?; // it will be accepted, or cut by an event
            self.proposed = true;
            self.track.pieces.push(Piece { from: t, to: t_end, until: t_end });
            self.track.values.extend_from_slice(y);
            for theta in &THETA[1..NODES - 1] {
                self.track.values.extend_from_slice(self.inner.dense(*theta, t_end - t, y));
            }
            self.track.values.extend_from_slice(self.inner.proposed());
        }
        Ok(err)
    }

    fn proposed(&self) -> &[T] {
        self.inner.proposed()
    }

    fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T] {
        self.inner.dense(theta, h, y)
    }

    fn accept(&mut self, y: &mut [T]) {
        self.proposed = false;
        self.inner.accept(y);
    }

    fn reject(&mut self) {
        self.forget();
        self.inner.reject();
    }

    fn step_ratio(&mut self, err: f64) -> Option<f64> {
        self.inner.step_ratio(err)
    }

    fn failure(&self) -> Option<StepFailure> {
        self.inner.failure()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn polynomials_of_degree_seven_are_kept(c in prop::collection::vec(-1.0..1.0_f64, 8), t in 0.0..1.0_f64, backward: bool) {
            let value = |t: f64| c.iter().fold(0.0, |sum, c| sum * t + c);
            let mut track = Track::new(1);
            let mut pieces = vec![(0.0, 0.3), (0.3, 0.9), (0.9, 1.0)];
            if backward {
                pieces = pieces.into_iter().rev().map(|(a, b)| (b, a)).collect();
            }
            for (a, b) in pieces {
                track.pieces.push(Piece { from: a, to: b, until: b });
                track.values.extend(THETA.map(|x| value(a + x * (b - a))));
            }
            track.look_at(0..3);
            for t in [t, 0.0, 0.3, 0.9, 1.0] {
                let mut out = [f64::NAN];
                track.at(t, &mut out);
                prop_assert!((out[0] - value(t)).abs() < 1e-13, "{} {} {}", t, out[0], value(t));
            }
        }
    }

    #[test]
    fn places() {
        for (k, x) in THETA.iter().enumerate() {
            let exact = 0.5 - 0.5 * (std::f64::consts::PI * k as f64 / 7.0).cos();
            assert!((x - exact).abs() < 1e-15, "{k} {x} {exact}");
        }
    }
}
