//! How many stages the next step has: more while Newton's iteration converges so fast that they cost little, fewer when it does not.
//! Source: [HW99], order selection.

/// Newton's rate up to which, and from which on, the order changes.
const RATE_TO_RAISE: f64 = 0.002;
const RATE_TO_LOWER: f64 = 0.8;
/// Lengths of a step over that of the last one at which the order may rise.
const STEADY: std::ops::Range<f64> = 0.8..1.2;
/// Steps between two changes.
const PATIENCE: u32 = 10;

/// Chooses the number of stages: 3, 5 or 7.
#[derive(Debug, Clone)]
pub(super) struct StageControl {
    pub(super) stages: usize,
    least: usize,
    most: usize,
    /// Accepted steps since the last change.
    steps: u32,
    /// Newton's iteration has diverged since the last accepted step.
    failed: bool,
}

impl StageControl {
    pub(super) fn new(least: usize, most: usize) -> Self {
        Self { stages: least, least, most, steps: 0, failed: false }
    }

    /// Begins anew, with the lowest order.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.least, self.most);
    }

    /// Newton's iteration has diverged.
    pub(super) fn failed(&mut self) {
        self.failed = true;
    }

    /// Chooses after an accepted step; true if the number changes. `ratio` is the step's length over that of the one before, `rate` what
    /// Newton's iteration reached in `iterations`.
    pub(super) fn choose(&mut self, ratio: f64, rate: f64, iterations: u32) -> bool {
        self.steps += 1;
        let failed = std::mem::take(&mut self.failed);
        let before = self.stages;
        if failed || rate >= RATE_TO_LOWER {
            self.stages = (self.stages - 2).max(self.least);
        } else if self.steps > PATIENCE && iterations > 1 && rate <= RATE_TO_RAISE && STEADY.contains(&ratio)
        {
            self.stages = (self.stages + 2).min(self.most);
        }
        let changes = self.stages != before;
        if changes {
            self.steps = 0;
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_while_newton_is_fast_and_falls_when_it_fails() {
        let mut control = StageControl::new(3, 7);
        let mut stages = Vec::new();
        for _ in 0..40 {
            control.choose(1.0, 1e-4, 2);
            stages.push(control.stages);
        }
        assert_eq!((stages[9], stages[10], stages[20], stages[21], stages[39]), (3, 5, 5, 7, 7));
        assert!(!control.choose(1.0, 0.5, 5), "in between it stays");
        assert!(control.choose(1.0, 0.9, 5) && control.stages == 5);
        control.failed();
        assert!(control.choose(1.0, 1e-4, 2) && control.stages == 3, "a failure counts once");
        assert!(!control.choose(1.0, 0.9, 5) && control.stages == 3);
        for ratio in [0.5, 2.0] {
            for _ in 0..20 {
                assert!(!control.choose(ratio, 1e-4, 2), "steps that are not steady keep their order");
            }
        }
        assert!(!control.choose(1.0, 1e-4, 1), "one iteration says nothing of the rate");
        assert!(control.choose(1.0, 1e-4, 2));
        control.restart();
        assert_eq!(control.stages, 3);
        let mut fixed = StageControl::new(5, 5);
        assert!((0..40).all(|_| !fixed.choose(1.0, 1e-4, 2)) && !fixed.choose(1.0, 0.9, 2));
    }
}
