//! Settings of training by matching.

use crate::TrainError;
use serde::{Deserialize, Serialize};

/// The noise of the bridges between coupled cells, which the model's noise becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BridgeNoise {
    /// A coordinate, the spread of the cells to which a start cell is coupled, at most that of the blur: for a drift of the state
    /// alone, which blurs the couplings itself.
    #[default]
    Spread,
    /// That of the blur, everywhere: bridges of a coupling then are one Markov process, a Schrödinger bridge, and a drift of state and
    /// time that follows it reproduces the coupling.
    Blur,
}

/// How neighbouring times are coupled, and for how long a run learns from the couplings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MatchingConfig {
    /// Entropic blur of the couplings, in squared units of the scaled states, for a gap of mean length; others have more in proportion
    /// to theirs. Larger couples wider.
    pub epsilon: f64,
    /// The noise of the bridges.
    pub noise: BridgeNoise,
    /// With growth, the price of a start cell that leaves more or fewer descendants than its rate says, in units of the mean cost
    /// at which transport without growth bridges the gap. Without growth every start cell counts the same.
    pub relaxation: f64,
    /// Cells of each time in one coupling; memory is its square.
    pub cells: usize,
    /// Most couplings between two times, each of other cells.
    pub couplings: usize,
    /// Cells of the time before, at least, to which a cell is traced by its clone: those of its own, and, where these are fewer, of the clones that were nearest
    /// to its own at the first time at which both were seen. Without it clones have no part in couplings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clone_neighbours: Option<usize>,
    /// Updates after which the run goes on by simulation; never, if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Default for MatchingConfig {
    fn default() -> Self {
        Self {
            epsilon: 0.6,
            noise: BridgeNoise::default(),
            relaxation: 1.0,
            cells: 2048,
            couplings: 8,
            clone_neighbours: None,
            until: None,
        }
    }
}

impl MatchingConfig {
    /// Cells of the time before to which a cell is traced by its clone, where clones are to be used and nobody says how many.
    pub const CLONE_NEIGHBOURS: usize = 20;

    /// Checks every range.
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        let wrong = |name, value, rule| Err(TrainError::Setting { name, value, rule });
        for (name, value) in [("matching.epsilon", self.epsilon), ("matching.relaxation", self.relaxation)] {
            if !(value > 0.0 && value.is_finite()) {
                return wrong(name, value, "must be finite and above zero");
            }
        }
        if !(2..=1 << 14).contains(&self.cells) {
            return wrong("matching.cells", self.cells as f64, "must be at least 2 and at most 2^14");
        }
        if self.couplings == 0 {
            return wrong("matching.couplings", 0.0, "must be at least 1");
        }
        if self.clone_neighbours == Some(0) {
            return wrong("matching.clone_neighbours", 0.0, "must be at least 1");
        }
        Ok(())
    }
}
