//! Settings of training by bridges.

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// How cells of neighbouring times are coupled, and how long the model learns from the bridges between them.
///
/// Lengths are in units of the scaled state, as in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchingConfig {
    /// Updates by bridges; those after them are by simulation.
    pub steps: u64,
    /// Regularisation `ε` of the transport, times the number of coordinates: the variance of a bridge at the middle is an eighth of it.
    pub epsilon: f64,
    /// How strongly each cell is held to its share, `ρ`, in units of `ε`; infinite is a balanced transport.
    pub source_penalty: f64,
    /// The same for the later cells.
    pub target_penalty: f64,
    /// Cells of each time in one coupling (all, if there are fewer).
    pub cells: usize,
    /// Couplings of different cells between two times, where they have more.
    pub couplings: usize,
}

impl Default for MatchingConfig {
    fn default() -> Self {
        Self {
            steps: 2000,
            epsilon: 0.2,
            source_penalty: 10.0,
            target_penalty: f64::INFINITY,
            cells: 2048,
            couplings: 8,
        }
    }
}

impl MatchingConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`TrainError::Setting`], naming the first that is out of its range.
    pub fn check(&self) -> Result<(), TrainError> {
        let positive = |name, value: f64| {
            let ok = value > 0.0;
            if ok { Ok(()) } else { Err(TrainError::Setting { name, value, rule: "must be above 0" }) }
        };
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            let rule = "must be finite and above 0";
            return Err(TrainError::Setting { name: "matching.epsilon", value: self.epsilon, rule });
        }
        positive("matching.source_penalty", self.source_penalty)?;
        positive("matching.target_penalty", self.target_penalty)?;
        positive("matching.couplings", self.couplings as f64)?;
        let cells = self.cells as f64;
        if !(2..=1 << 14).contains(&self.cells) {
            return Err(TrainError::Setting {
                name: "matching.cells",
                value: cells,
                rule: "must be between 2 and 16384",
            });
        }
        Ok(())
    }
}
