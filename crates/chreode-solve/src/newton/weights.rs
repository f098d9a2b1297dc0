//! How much each coordinate counts: sizes relative to the tolerance, with the divisions done once a step.

use std::ops::Range;

use chreode_core::{ErrorNorm, Real, Tolerance};

use crate::error_norm::TINY;
use crate::newton::part::Part;

/// `1 / (atol + rtol |y|)` for the coordinates of `n` trajectories at one state, and tolerances as a method uses them.
#[derive(Debug, Clone)]
pub(crate) struct Weights<T> {
    d: usize,
    /// Of each coordinate: what was asked for, and what is used.
    asked: Vec<(f64, f64)>,
    used: Vec<(T, T)>,
    least_rtol: f64,
    norm: ErrorNorm,
    /// `[n, d]`.
    inverse: Vec<T>,
}

impl<T: Real> Weights<T> {
    pub(crate) fn new(n: usize, d: usize) -> Self {
        Self {
            d,
            asked: vec![(f64::NAN, f64::NAN); d],
            used: vec![(T::ZERO, T::ZERO); d],
            least_rtol: 0.0,
            norm: ErrorNorm::Worst,
            inverse: vec![T::ZERO; n * d],
        }
    }

    /// Takes over the tolerances; `inner` makes what is used, `(rtol, atol)`, from what is asked for.
    #[inline]
    pub(crate) fn follow(&mut self, tol: Tolerance<'_>, inner: impl Fn(f64, f64) -> (f64, f64)) {
        self.norm = tol.norm;
        let mut same = true;
        for (j, asked) in self.asked.iter_mut().enumerate() {
            let now = (tol.rtol.of(j), tol.atol.of(j));
            same &= *asked == now;
            *asked = now;
        }
        if same {
            return;
        }
        self.least_rtol = f64::INFINITY;
        for (&(rtol, atol), used) in self.asked.iter().zip(&mut self.used) {
            let (rtol, atol) = inner(rtol, atol);
            self.least_rtol = self.least_rtol.min(rtol);
            *used = (T::c(rtol), T::c(atol + TINY));
        }
    }

    /// Takes the tolerances over again, since another `inner` will be used.
    pub(crate) fn forget(&mut self) {
        self.asked.fill((f64::NAN, f64::NAN));
    }

    /// The weights, `[n, d]`.
    pub(crate) fn inverse(&self) -> &[T] {
        &self.inverse
    }

    /// The least relative tolerance that is used.
    pub(crate) fn least_rtol(&self) -> f64 {
        self.least_rtol
    }

    /// Weighs by the state `y`, `[n, d]`.
    #[inline]
    pub(crate) fn set(&mut self, y: &[T]) {
        for (y, weights) in y.chunks_exact(self.d).zip(self.inverse.chunks_exact_mut(self.d)) {
            for ((w, y), &(rtol, atol)) in weights.iter_mut().zip(y).zip(&self.used) {
                *w = T::ONE / (atol + rtol * y.abs());
            }
        }
    }

    /// The rounding of numbers like `v`, `[n, d]`, in units of what may be wrong with them. A relative tolerance bounds it, for
    /// whatever goes into `v`; without one, the largest coordinate tells.
    pub(crate) fn rounding(&self, v: &[T]) -> f64 {
        if self.least_rtol > T::EPSILON.f64() {
            return T::EPSILON.f64() / self.least_rtol;
        }
        let largest = self.inverse.iter().zip(v).fold(T::ZERO, |most, (&w, &v)| most.max(w * v.abs()));
        T::EPSILON.f64() * largest.f64()
    }

    /// Root mean square of the weighted vector, `[n, d]`, of the worst trajectory or of all, as the tolerance says; NaN if there is one in it.
    #[inline(always)]
    pub(crate) fn norm(&self, v: &[T]) -> f64 {
        self.norm_of([v])
    }

    /// The same over the coordinates of several vectors.
    #[inline(always)]
    pub(crate) fn norm_of<const N: usize>(&self, v: [&[T]; N]) -> f64 {
        let d = self.d;
        let n = v[0].len();
        if n == d {
            // The length may be known to the compiler.
            let weights = &self.inverse[..n];
            let mut sum = T::ZERO;
            for v in v {
                sum += sum_of_squares(weights, &v[..n]);
            }
            let sum = sum.f64();
            return (sum / (N * n) as f64).sqrt();
        }
        self.norm_of_rows(v, 0..d)
    }

    /// The same over a part of each trajectory alone.
    #[inline(always)]
    pub(crate) fn norm_of_part<const N: usize>(&self, part: Part, v: [&[T]; N]) -> f64 {
        match part {
            Part::All => self.norm_of(v),
            part => self.norm_of_rows(v, part.of(self.d)),
        }
    }

    fn norm_of_rows<const N: usize>(&self, v: [&[T]; N], within: Range<usize>) -> f64 {
        let (d, mut worst, mut all) = (self.d, 0.0_f64, 0.0_f64);
        let (mut from, counted) = (0, (N * within.len()) as f64);
        for weights in self.inverse.chunks_exact(d) {
            let mut sum = T::ZERO;
            for v in v {
                sum += sum_of_squares(&weights[within.clone()], &v[from..from + d][within.clone()]);
            }
            let sum = sum.f64();
            if sum.is_nan() {
                return f64::NAN;
            }
            worst = sum.max(worst);
            all += sum;
            from += d;
        }
        if self.norm == ErrorNorm::Together {
            return (all / (counted * (from / d) as f64)).sqrt();
        }
        (worst / counted).sqrt()
    }
}

/// In eight lanes, so that it need not wait for each addition; the order is fixed.
#[inline(always)]
fn sum_of_squares<T: Real>(w: &[T], v: &[T]) -> T {
    let ((w, w_rest), (v, v_rest)) = (w.as_chunks::<8>(), v.as_chunks::<8>());
    let mut sum = T::ZERO;
    for (&w, &v) in w_rest.iter().zip(v_rest) {
        sum += (w * v) * (w * v);
    }
    if w.is_empty() {
        return sum;
    }
    let mut lanes = [T::ZERO; 8];
    for (w, v) in w.iter().zip(v) {
        for l in 0..8 {
            lanes[l] += (w[l] * v[l]) * (w[l] * v[l]);
        }
    }
    for l in lanes {
        sum += l;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_norm::error_norm;
    use proptest::prelude::*;

    proptest! {
        /// The norm of the explicit methods' errors.
        #[test]
        fn agrees_with_the_plain_norm(n in 1..4_usize, d in 1..20_usize, v in proptest::collection::vec(-2.0..2.0_f64, 160)) {
            let (y, v) = (&v[80..80 + n * d], &v[..n * d]);
            let rtol: Vec<f64> = (0..d).map(|j| 0.1 + j as f64).collect();
            let tol = Tolerance::new(&rtol[..], 0.3);
            let mut weights = Weights::new(n, d);
            for tol in [tol, tol.together()] {
                weights.follow(tol, |rtol, atol| (rtol, atol));
                weights.set(y);
                let (plain, norm) = (error_norm(v, y, y, d, tol, &mut vec![0.0; n * d]), weights.norm(v));
                prop_assert!((plain - norm).abs() < 1e-13 * (1.0 + plain), "{plain} {norm}");
                prop_assert!((weights.norm_of([v, v]) - norm).abs() < 1e-13 * (1.0 + plain));
                // What is not counted may be anything.
                let mut first = v.to_vec();
                first.chunks_exact_mut(d).for_each(|row| row[1..].fill(0.0));
                let alone = weights.norm(&first) * (d as f64).sqrt();
                first.chunks_exact_mut(d).for_each(|row| row[1..].fill(f64::NAN));
                prop_assert!((weights.norm_of_part(Part::FirstBlock(1), [&first]) - alone).abs() < 1e-13 * (1.0 + alone));
                let mut others = v.to_vec();
                others.chunks_exact_mut(d).for_each(|row| row[0] = 0.0);
                let alone = weights.norm(&others) * (d as f64 / (d - 1).max(1) as f64).sqrt();
                others.chunks_exact_mut(d).for_each(|row| row[0] = f64::NAN);
                let of_part = weights.norm_of_part(Part::OtherBlocks(1), [&others]);
                prop_assert!(d == 1 || (of_part - alone).abs() < 1e-13 * (1.0 + alone));
            }
            prop_assert_eq!(weights.least_rtol(), 0.1);
        }
    }

    #[test]
    fn changed_tolerances_are_taken_over() {
        let mut weights = Weights::new(1, 2);
        for (tolerance, norm) in [(0.5, 2.0), (0.25, 4.0)] {
            weights.follow(Tolerance::new(0.0, tolerance), |rtol, atol| (rtol, atol));
            weights.set(&[0.0, 0.0]);
            assert_eq!(weights.norm(&[1.0, 1.0]), norm);
        }
        assert!(weights.norm(&[f64::NAN, 0.0]).is_nan());
    }
}
