//! What is learned from: cells at several times, each cell seen once.

use crate::{States, TrainError};
use chreode_core::Real;

/// Fewest cells that a time must have.
pub(crate) const MIN_CELLS: usize = 10;

/// Time-resolved snapshots of cells.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshots<T> {
    /// Coordinates of a cell.
    pub dim: usize,
    /// The times, ascending, at least two.
    pub times: Vec<f64>,
    /// For each time the states of its cells, `[n_t, dim]`.
    pub states: Vec<States<T>>,
    /// For each time the net growth rates of its cells, `[n_t]` per unit of time; no list at all if unknown.
    pub growth: Vec<Vec<T>>,
    /// For each time the clones of its cells, `[n_t]`; a cell of no known clone counts as one of its own. No
    /// list at all if unknown.
    pub groups: Vec<Vec<Option<u64>>>,
}

impl<T: Real> Snapshots<T> {
    /// Number of cells at time number `time`.
    ///
    /// # Panics
    /// If there is no such time.
    pub fn cells(&self, time: usize) -> usize {
        self.states[time].cells(self.dim)
    }

    /// Checks shapes, times and values.
    ///
    /// # Errors
    /// [`TrainError::Data`] with what is wrong and where; [`TrainError::TooFewTimes`],
    /// [`TrainError::TooFewCells`]; [`TrainError::States`] if cells cannot be read.
    pub fn check(&self) -> Result<(), TrainError> {
        let wrong = |what, time: usize, row| Err(TrainError::Data { what, time, row });
        if self.dim == 0 {
            return wrong("no coordinates", 0, 0);
        }
        if self.times.len() < 2 {
            return Err(TrainError::TooFewTimes { found: self.times.len() });
        }
        if self.states.len() != self.times.len() {
            return wrong("as many lists of states as times are needed", self.states.len(), 0);
        }
        for (i, t) in self.times.iter().enumerate() {
            if !t.is_finite() || (i > 0 && *t <= self.times[i - 1]) {
                return wrong("times must be finite and ascending", i, 0);
            }
        }
        for (i, states) in self.states.iter().enumerate() {
            if let Some(states) = states.as_slice()
                && states.len() % self.dim != 0
            {
                return wrong("states are not whole rows", i, states.len() / self.dim);
            }
            states.each_block(self.dim, |first, block| match block.iter().position(|v| !v.is_finite()) {
                Some(k) => wrong("a state is not finite", i, first + k / self.dim),
                None => Ok(()),
            })?;
            if self.cells(i) < MIN_CELLS {
                return Err(TrainError::TooFewCells {
                    time: self.times[i],
                    found: self.cells(i),
                    needed: MIN_CELLS,
                });
            }
        }
        if !self.growth.is_empty() {
            for i in 0..self.times.len() {
                let rates = self.growth.get(i).map_or(&[][..], |r| r);
                if rates.len() != self.cells(i) {
                    return wrong("as many growth rates as cells are needed", i, rates.len());
                }
                if let Some(row) = rates.iter().position(|v| !v.is_finite()) {
                    return wrong("a growth rate is not finite", i, row);
                }
            }
        }
        if !self.groups.is_empty() {
            for i in 0..self.times.len() {
                let found = self.groups.get(i).map_or(0, Vec::len);
                if found != self.cells(i) {
                    return wrong("as many clones as cells are needed", i, found);
                }
            }
        }
        Ok(())
    }

    /// A number that depends on every value: tells whether a checkpoint belongs to these data.
    ///
    /// # Errors
    /// [`TrainError::States`] if cells cannot be read.
    pub(crate) fn fingerprint(&self) -> Result<u64, TrainError> {
        let mut hash = Fnv::default();
        hash.add(&(self.dim as u64).to_le_bytes());
        for t in &self.times {
            hash.add(&t.to_le_bytes());
        }
        for states in &self.states {
            hash.add(&((states.cells(self.dim) * self.dim) as u64).to_le_bytes());
            states.each_block(self.dim, |_, block| {
                hash.add(bytemuck::cast_slice(block));
                Ok::<_, TrainError>(())
            })?;
        }
        for list in &self.growth {
            hash.add(&(list.len() as u64).to_le_bytes());
            hash.add(bytemuck::cast_slice(list));
        }
        for id in self.groups.iter().flatten() {
            hash.add(
                &id.map_or([255; 9], |id| {
                    std::array::from_fn(|k| if k < 8 { id.to_le_bytes()[k] } else { 0 })
                }),
            );
        }
        Ok(hash.0)
    }
}

/// FNV-1a over 64-bit words; the last word is filled with zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fnv(pub(crate) u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for word in bytes.chunks(8) {
            let word = word.iter().rev().fold(0_u64, |w, &b| w << 8 | u64::from(b));
            self.0 = (self.0 ^ word).wrapping_mul(0x0100_0000_01b3);
            self.0 ^= self.0 >> 29;
        }
    }
}
