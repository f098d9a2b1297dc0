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
    /// For each time the populations of its cells, `[n_t]`, numbered from zero: cells that were sorted, plated or housed apart, none of which
    /// becomes one of another population. Each has cells at every time. No list at all if all are of one.
    pub populations: Vec<Vec<u32>>,
}

impl<T: Real> Snapshots<T> {
    /// Number of cells at time number `time`.
    ///
    /// # Panics
    /// If there is no such time.
    pub fn cells(&self, time: usize) -> usize {
        self.states[time].cells(self.dim)
    }

    /// Number of populations, one at least.
    pub fn n_populations(&self) -> usize {
        self.populations.iter().flatten().max().map_or(1, |&last| last as usize + 1)
    }

    /// Those of the rows of time number `time` that are of a population, in their order.
    ///
    /// # Panics
    /// If there is no such time or row.
    pub fn rows_of(&self, population: usize, time: usize, rows: &[u32]) -> Vec<u32> {
        match self.populations.get(time) {
            None => rows.to_vec(),
            Some(of) => rows.iter().copied().filter(|&row| of[row as usize] as usize == population).collect(),
        }
    }

    /// The part of the cells of time number `time` that is of a population.
    ///
    /// # Panics
    /// If there is no such time.
    pub fn share(&self, population: usize, time: usize) -> f64 {
        self.populations.get(time).map_or(1.0, |of| {
            of.iter().filter(|&&p| p as usize == population).count() as f64 / of.len() as f64
        })
    }

    /// The cells of one population alone, as if there were no other.
    #[must_use]
    pub fn population(&self, population: usize) -> Self {
        if self.populations.is_empty() {
            return self.clone();
        }
        let mut only = Self { dim: self.dim, times: self.times.clone(), ..Self::default() };
        for (time, states) in self.states.iter().enumerate() {
            let all: Vec<u32> = (0..self.cells(time) as u32).collect();
            let rows = self.rows_of(population, time, &all);
            let rows: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
            only.states.push(states.select(self.dim, &rows));
            if let Some(rates) = self.growth.get(time) {
                only.growth.push(rows.iter().map(|&r| rates[r]).collect());
            }
            if let Some(clones) = self.groups.get(time) {
                only.groups.push(rows.iter().map(|&r| clones[r]).collect());
            }
        }
        only
    }

    /// Checks shapes, times and values.
    ///
    /// # Errors
    /// [`TrainError::Data`] with what is wrong and where; [`TrainError::TooFewTimes`],
    /// [`TrainError::TooFewCells`], [`TrainError::TooFewOfPopulation`]; [`TrainError::States`] if cells cannot be read.
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
        if !self.populations.is_empty() {
            for i in 0..self.times.len() {
                let found = self.populations.get(i).map_or(0, Vec::len);
                if found != self.cells(i) {
                    return wrong("as many populations as cells are needed", i, found);
                }
            }
            let last = self.n_populations();
            for (time, of) in self.times.iter().zip(&self.populations) {
                let mut counts = vec![0; last];
                of.iter().for_each(|&p| counts[p as usize] += 1);
                if let Some(population) = counts.iter().position(|&n| n < MIN_CELLS) {
                    let (time, found, needed) = (*time, counts[population], MIN_CELLS);
                    return Err(TrainError::TooFewOfPopulation { population, time, found, needed });
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
        for list in &self.populations {
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
