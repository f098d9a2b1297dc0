//! The state of a run as bytes: parameters, average, optimiser, counters, best so far.
//!
//! Random numbers are functions of seed and step, so there is no generator to keep. What must agree between the
//! run that wrote a state and the one that reads it (settings, data, split, model, number type) is kept as numbers.

use crate::CheckpointError;
use crate::sealed::{seal, unseal};
use chreode_core::Real;
use serde::{Deserialize, Serialize};

const MAGIC: [u8; 8] = *b"chreodeT";
const FORMAT: u32 = 2;

/// What tells one run from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) settings: u64,
    pub(crate) data: u64,
    pub(crate) split: u64,
    pub(crate) model: u64,
    pub(crate) parameters: u64,
    /// Bytes of a number: 4 or 8.
    pub(crate) width: u8,
}

impl Identity {
    fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            (self.width != other.width, "number type"),
            (self.parameters != other.parameters, "number of parameters"),
            (self.model != other.model, "model"),
            (self.data != other.data, "data"),
            (self.settings != other.settings, "settings"),
            (self.split != other.split, "hold-out"),
        ]
        .into_iter()
        .find_map(|(differs, what)| differs.then_some(what))
    }
}

/// All that changes while a run goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) identity: Identity,
    pub(crate) step: u64,
    pub(crate) seconds: f64,
    pub(crate) params: Numbers,
    pub(crate) average: Option<(Numbers, u64)>,
    pub(crate) first: Numbers,
    pub(crate) second: Numbers,
    pub(crate) updates: u64,
    pub(crate) best: Option<Best>,
    pub(crate) since_best: u64,
}

/// The best parameters so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) step: u64,
    pub(crate) loss: f64,
    pub(crate) params: Numbers,
}

/// Numbers as their bytes, little-endian.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Numbers(Vec<u8>);

impl Numbers {
    pub(crate) fn of<T: Real>(v: &[T]) -> Self {
        let mut bytes = bytemuck::cast_slice(v).to_vec();
        swap_if_big_endian(&mut bytes, size_of::<T>());
        Self(bytes)
    }

    /// Sets `v` if the length fits.
    pub(crate) fn put<T: Real>(&self, v: &mut [T]) -> Result<(), CheckpointError> {
        let out = bytemuck::cast_slice_mut::<T, u8>(v);
        if out.len() != self.0.len() {
            return Err(CheckpointError::Damaged { what: "a list of numbers has the wrong length" });
        }
        out.copy_from_slice(&self.0);
        swap_if_big_endian(out, size_of::<T>());
        Ok(())
    }
}

fn swap_if_big_endian(bytes: &mut [u8], width: usize) {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
}

impl State {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, CheckpointError> {
        seal(MAGIC, FORMAT, self)
    }

    pub(crate) fn from_bytes(bytes: &[u8], expected: &Identity) -> Result<Self, CheckpointError> {
        let state: Self = unseal(MAGIC, FORMAT, bytes)?;
        match state.identity.difference(expected) {
            Some(what) => Err(CheckpointError::OtherRun { what }),
            None => Ok(state),
        }
    }
}
