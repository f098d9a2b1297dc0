//! The state of a fit of measured series between two updates, as bytes.

use super::Series;
use super::config::SeriesConfig;
use super::shooting::Losses;
use crate::CheckpointError;
use crate::data::Fnv;
use crate::optim::{Optimiser, OptimiserConfig};
use crate::sealed::{seal, unseal};
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 8] = *b"chreodeS";
const FORMAT: u32 = 1;

/// What tells one fit from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    settings: u64,
    data: u64,
    first_params: u64,
}

impl Identity {
    pub(super) fn of(config: &SeriesConfig, series: &Series, first_params: &[f64]) -> Self {
        let hash = |add: &dyn Fn(&mut Fnv)| {
            let mut hash = Fnv::default();
            add(&mut hash);
            hash.0
        };
        Self {
            settings: hash(&|hash| hash.add(format!("{config:?}").as_bytes())),
            data: hash(&|hash| {
                hash.add(&(series.dim as u64).to_le_bytes());
                for t in &series.trajectories {
                    hash.add(&(t.times.len() as u64).to_le_bytes());
                    hash.add(bytemuck::cast_slice(&t.times));
                    hash.add(bytemuck::cast_slice(&t.values));
                }
            }),
            first_params: hash(&|hash| hash.add(bytemuck::cast_slice(first_params))),
        }
    }
}

/// Moments of Adam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    first: Vec<f64>,
    second: Vec<f64>,
    updates: u64,
}

impl Moments {
    pub(super) fn of(adam: &Optimiser<f64>) -> Self {
        Self { first: adam.first.clone(), second: adam.second.clone(), updates: adam.updates }
    }

    /// Adam with these moments, of `n` parameters.
    pub(super) fn adam(self, n: usize) -> Result<Optimiser<f64>, CheckpointError> {
        let mut adam = Optimiser::new(OptimiserConfig::adam(), n);
        if self.first.len() != adam.first.len() || self.second.len() != adam.second.len() {
            return Err(CheckpointError::Damaged { what: "a list of numbers has the wrong length" });
        }
        (adam.first, adam.second, adam.updates) = (self.first, self.second, self.updates);
        Ok(adam)
    }
}

/// Where a stage of shooting is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shot {
    /// Number of the stage.
    pub(super) stage: usize,
    /// Updates done in it.
    pub(super) k: u64,
    /// Field's parameters and start states, which can be simulated.
    pub(super) all: Vec<f64>,
    pub(super) adam: Moments,
    /// Part of the learning rate that failures have left, and their number.
    pub(super) slower: f64,
    pub(super) attempts: u32,
    pub(super) best: Option<(Losses, u64, Vec<f64>)>,
    /// Start states of every observation of each trajectory, as the stage found them.
    pub(super) states: Vec<Vec<f64>>,
}

/// What is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Stage {
    WarmStart(Moments),
    Shooting(Shot),
}

/// All that changes while a fit goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) identity: Identity,
    pub(super) step: u64,
    /// The field's parameters at the beginning of the stage; in the warm start now.
    pub(super) params: Vec<f64>,
    pub(super) stage: Stage,
}

impl State {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        seal(MAGIC, FORMAT, self)
    }

    pub(super) fn from_bytes(bytes: &[u8], expected: &Identity) -> Result<Self, CheckpointError> {
        let state: Self = unseal(MAGIC, FORMAT, bytes)?;
        let found = state.identity;
        let differs = [
            (found.data != expected.data, "data"),
            (found.settings != expected.settings, "settings"),
            (found.first_params != expected.first_params, "first parameters"),
        ];
        match differs.iter().find(|d| d.0) {
            Some((_, what)) => Err(CheckpointError::OtherRun { what }),
            None => Ok(state),
        }
    }
}
