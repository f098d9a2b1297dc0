//! Learning-rate schedules: a factor that depends on the number of the update alone.

use serde::{Deserialize, Serialize};

/// By what the learning rate is multiplied at each update.
///
/// A schedule knows its own length, not that of the run: a run that ends early (for its time budget, say) can be
/// repeated to the bit with the number of steps it made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// One throughout.
    #[default]
    Constant,
    /// Rises linearly over `warm_up` updates, then falls to `floor` by half a cosine that ends at update `over`.
    Cosine {
        /// Updates of linear rise.
        warm_up: u64,
        /// Update at which the floor is reached.
        over: u64,
        /// Factor at the end, in [0, 1].
        floor: f64,
    },
    /// Multiplied by `gamma` every `every` updates.
    Step {
        /// Updates between two drops.
        every: u64,
        /// Factor of a drop.
        gamma: f64,
    },
}

impl Schedule {
    /// The factor of update number `step`, counted from zero.
    pub fn factor(&self, step: u64) -> f64 {
        match *self {
            Self::Constant => 1.0,
            Self::Cosine { warm_up, .. } if step < warm_up => (step + 1) as f64 / warm_up as f64,
            Self::Cosine { warm_up, over, floor } => {
                let done = (step - warm_up) as f64 / over.saturating_sub(warm_up).max(1) as f64;
                floor + (1.0 - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos())
            }
            Self::Step { every, gamma } => gamma.powi((step / every.max(1)).min(10_000) as i32),
        }
    }

    /// Why the schedule makes no sense, if it does not: the setting, its value and the rule.
    pub(crate) fn check(&self) -> Result<(), (&'static str, f64, &'static str)> {
        match *self {
            Self::Cosine { floor, .. } if !(0.0..=1.0).contains(&floor) => {
                Err(("schedule.floor", floor, "must lie between 0 and 1"))
            }
            Self::Cosine { warm_up, over, .. } if over <= warm_up => {
                Err(("schedule.over", over as f64, "must be larger than warm_up"))
            }
            Self::Step { every: 0, .. } => Err(("schedule.every", 0.0, "must be at least 1")),
            Self::Step { gamma, .. } if !(gamma > 0.0 && gamma <= 1.0) => {
                Err(("schedule.gamma", gamma, "must be above 0 and at most 1"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let s = Schedule::Cosine { warm_up: 4, over: 104, floor: 0.1 };
        assert_eq!(s.factor(0), 0.25);
        assert_eq!(s.factor(3), 1.0);
        assert_eq!(s.factor(4), 1.0);
        assert!((s.factor(54) - 0.55).abs() < 1e-12);
        assert!((s.factor(104) - 0.1).abs() < 1e-12 && (s.factor(1_000_000) - 0.1).abs() < 1e-12);
        let s = Schedule::Step { every: 10, gamma: 0.1 };
        assert_eq!((s.factor(9), s.factor(10)), (1.0, 0.1));
        assert!((s.factor(25) - 0.01).abs() < 1e-15);
        assert!(Schedule::Cosine { warm_up: 5, over: 5, floor: 0.0 }.check().is_err());
    }
}
