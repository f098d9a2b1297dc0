//! Settings of learning from measured series.

use serde::{Deserialize, Serialize};

use super::SeriesError;

/// What is made small at the observation times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesLoss {
    /// Mean squared error in units of each coordinate's spread.
    #[default]
    Squared,
    /// Negative log-likelihood of independent normal errors, one standard deviation a coordinate, which is learned too.
    Likelihood,
}

/// Everything that decides a fit beside data and field. All fields have defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeriesConfig {
    /// Seed of the hold-out.
    pub seed: u64,
    /// Updates of the warm start, in which the field's values are matched with the slopes of smoothed series; zero for none.
    pub warm_start: u64,
    /// Part of a trajectory's observations that the smoothing sees at once.
    pub smoothing: f64,
    /// Updates by simulation, half of them along whole trajectories.
    pub steps: u64,
    /// Observations between two starts of the first multiple shooting; doubled until trajectories are whole. Zero: a sixteenth of
    /// the longest trajectory, but at least four.
    pub window: usize,
    /// Weight of the mean squared gap between a window's end and the next one's start, beside the loss.
    pub continuity: f64,
    /// What is made small.
    pub loss: SeriesLoss,
    /// Largest learning rate; it rises over ten updates and falls by half a cosine in each stage.
    pub learning_rate: f64,
    /// Decoupled weight decay of the field's parameters.
    pub weight_decay: f64,
    /// Relative tolerance of the simulations; the absolute one is it times each coordinate's spread.
    pub tolerance: f64,
    /// Fraction of the observations (none of a start) that is held out, to choose among the last stage's parameters.
    pub hold_out: f64,
    /// Updates between two looks at the hold-out.
    pub evaluate_every: u64,
}

impl Default for SeriesConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            warm_start: 500,
            smoothing: 0.15,
            steps: 2000,
            window: 0,
            continuity: 1.0,
            loss: SeriesLoss::Squared,
            learning_rate: 0.01,
            weight_decay: 0.0,
            tolerance: 1e-5,
            hold_out: 0.1,
            evaluate_every: 25,
        }
    }
}

impl SeriesConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`SeriesError::Setting`], naming the first that is out of its range.
    pub fn check(&self) -> Result<(), SeriesError> {
        let within = |name, value: f64, ok: bool, rule| {
            if ok { Ok(()) } else { Err(SeriesError::Setting { name, value, rule }) }
        };
        let s = self.smoothing;
        within("smoothing", s, s > 0.0 && s <= 1.0, "must be above 0 and at most 1")?;
        let c = self.continuity;
        within("continuity", c, c > 0.0 && c.is_finite(), "must be finite and above 0")?;
        let rate = self.learning_rate;
        within("learning_rate", rate, rate > 0.0 && rate.is_finite(), "must be finite and above 0")?;
        let decay = self.weight_decay;
        within("weight_decay", decay, decay >= 0.0 && decay.is_finite(), "must be finite and at least 0")?;
        let tol = self.tolerance;
        within("tolerance", tol, (1e-12..=0.1).contains(&tol), "must be between 1e-12 and 0.1")?;
        let held = self.hold_out;
        within("hold_out", held, (0.0..=0.5).contains(&held), "must be between 0 and 0.5")?;
        within("evaluate_every", self.evaluate_every as f64, self.evaluate_every > 0, "must be at least 1")
    }
}
