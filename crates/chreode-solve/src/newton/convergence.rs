//! How a simplified Newton iteration gets on. Source: [HW96] section IV.8.

use crate::stepper::StepFailure;

/// Most iterations where the step cannot be made shorter.
const MOST_OF_FIXED_STEPS: u32 = 50;

/// What follows from the size of a correction.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    /// It is to be made, and the iteration goes on.
    Next,
    /// It is to be made, and is the last one.
    Converged,
    /// The iteration will not end in time, or grows.
    Diverged(StepFailure),
}

/// The corrections' sizes, relative to the tolerance, of the iterations with one matrix.
#[derive(Debug, Clone)]
pub(crate) struct Convergence {
    /// Most iterations.
    most: u32,
    /// What the iteration may leave, relative to the tolerance of the error.
    left: f64,
    fixed: bool,
    /// Iterations made.
    pub(crate) iterations: u32,
    /// The last correction over the one before; the largest such number since it was set to zero.
    rate: f64,
    pub(crate) worst_rate: f64,
    /// `rate / (1 - rate)` of the last iteration with this matrix: what is left over the last correction.
    eta: f64,
    before: f64,
    /// Corrections of this size are rounding.
    floor: f64,
}

impl Convergence {
    pub(crate) fn new(most: u32, left: f64) -> Self {
        Self {
            most,
            left,
            fixed: false,
            iterations: 0,
            rate: 0.0,
            worst_rate: 0.0,
            eta: 1.0,
            before: 0.0,
            floor: 0.0,
        }
    }

    /// Says that the matrix is another one.
    pub(crate) fn forget(&mut self) {
        self.eta = 1.0;
    }

    /// Begins an iteration for numbers of this rounding, relative to the tolerance. In `fixed` steps nothing is gained by giving up
    /// early. Returns what the iteration may leave.
    #[inline(always)]
    pub(crate) fn begin(&mut self, rounding: f64, fixed: bool) -> f64 {
        (self.floor, self.fixed) = (10.0 * rounding, fixed);
        let last = self.eta.sqrt();
        self.eta = last * last.sqrt(); // to the 3/4: it may have become worse
        (self.rate, self.iterations, self.before) = (0.0, 0, 0.0);
        self.enough()
    }

    #[inline(always)]
    fn enough(&self) -> f64 {
        self.floor.max(self.left)
    }

    /// Judges a correction of this size.
    #[inline(always)]
    pub(crate) fn judge(&mut self, size: f64) -> Verdict {
        self.iterations += 1;
        if !size.is_finite() {
            self.rate = f64::INFINITY;
            return self.diverged();
        }
        if self.iterations > 1 {
            self.rate = size / self.before;
            self.worst_rate = self.rate.max(self.worst_rate);
            if self.rate >= 1.0 && size > self.floor {
                return self.diverged();
            }
            self.eta = (self.rate / (1.0 - self.rate)).abs();
            let more = self.most.saturating_sub(self.iterations);
            if !self.fixed && self.eta * size * self.rate.powi(more as i32) > self.enough() {
                return self.diverged();
            }
        }
        if self.eta * size < self.enough() || size <= self.floor {
            return Verdict::Converged;
        }
        if self.iterations >= if self.fixed { MOST_OF_FIXED_STEPS } else { self.most } {
            return self.diverged();
        }
        self.before = size;
        Verdict::Next
    }

    fn diverged(&self) -> Verdict {
        Verdict::Diverged(StepFailure::NewtonDiverged { iterations: self.iterations, rate: self.rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(sizes: &[f64], fixed: bool) -> (u32, bool) {
        let mut newton = Convergence::new(4, 0.05);
        newton.begin(1e-9, fixed);
        for &size in sizes {
            match newton.judge(size) {
                Verdict::Next => {}
                verdict => return (newton.iterations, matches!(verdict, Verdict::Converged)),
            }
        }
        panic!("{sizes:?} did not decide it")
    }

    #[test]
    fn verdicts() {
        assert_eq!(judged(&[1.0, 0.1, 0.01], false), (2, true));
        assert_eq!(judged(&[0.01], false), (1, true));
        assert_eq!(judged(&[1.0, 1.1], false), (2, false));
        assert_eq!(judged(&[f64::NAN], false), (1, false));
        // Too slow for four iterations, but not for fifty.
        let slow: Vec<f64> = (0..60).map(|i| 0.7_f64.powi(i)).collect();
        assert_eq!(judged(&slow, false), (2, false));
        assert!(judged(&slow, true).1);
        let slowest: Vec<f64> = (0..60).map(|i| 0.99_f64.powi(i)).collect();
        assert_eq!(judged(&slowest, true), (50, false));
    }
}
