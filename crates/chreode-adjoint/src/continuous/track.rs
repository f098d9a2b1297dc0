//! A run as one function of time: every step's dense output, whatever the method, as values at fixed places.

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
    /// Start and end of each step.
    pieces: Vec<(f64, f64)>,
    /// `[steps, NODES, len]`.
    values: Vec<T>,
}

impl<T: Real> Track<T> {
    pub(crate) fn new(len: usize) -> Self {
        Self { len, pieces: Vec::new(), values: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.pieces.clear();
        self.values.clear();
    }

    /// Start and end of each step.
    pub(crate) fn pieces(&self) -> &[(f64, f64)] {
        &self.pieces
    }

    /// Sets `out` to the state at `t`; between the numbers beside a discontinuity, to the nearest one of the step after it.
    pub(crate) fn at(&self, t: f64, out: &mut [T]) {
        let Some((&(first, _), &(_, last))) = self.pieces.first().zip(self.pieces.last()) else { return };
        let sign = if last >= first { 1.0 } else { -1.0 };
        let before = self.pieces.partition_point(|&(_, end)| sign * (end - t) < 0.0);
        let i = before.min(self.pieces.len() - 1);
        let (from, to) = self.pieces[i];
        self.within(i, ((t - from) / (to - from)).clamp(0.0, 1.0), out);
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
    /// Start and end of the step that is proposed, and whether steps have fixed lengths.
    step: (f64, f64),
    fixed: bool,
}

impl<'a, T: Real> Recording<'a, T> {
    pub(crate) fn new(inner: &'a mut dyn Stepper<T>, track: &'a mut Track<T>) -> Self {
        Self { inner, track, step: (0.0, 0.0), fixed: false }
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
        self.step = (t, t_end);
        if err <= 1.0 || self.fixed && err.is_finite() {
            self.inner.prepare_dense(f, t, t_end, y, p)?; // it will be accepted
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
        let (t, t_end) = self.step;
        self.track.pieces.push(self.step);
        self.track.values.extend_from_slice(y);
        for theta in &THETA[1..NODES - 1] {
            self.track.values.extend_from_slice(self.inner.dense(*theta, t_end - t, y));
        }
        self.track.values.extend_from_slice(self.inner.proposed());
        self.inner.accept(y);
    }

    fn reject(&mut self) {
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
                track.pieces.push((a, b));
                track.values.extend(THETA.map(|x| value(a + x * (b - a))));
            }
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
