//! How much memory a fit may take, and where the states of cells go that do not fit.
//!
//! States and what they are made of are read in blocks. Up to the limit they stay in memory; beyond it they are rows of a
//! file without a name in a folder of the user's, which the system removes with the process, however that ends.

use std::path::{Path, PathBuf};

use chreode_train::{StateFile, StateWriter, States, StoredStates};

use crate::error::DataError;

/// What a cell takes beside its states, in bytes: its name, time and labels, where it stands in its time, in the hold-out and in what is
/// drawn, and while it is read its name a second time. Counted from the types, with names of up to 24 letters; not measured.
const CELL: u64 = 180;
/// What reading holds at once: a block as it is stored, as numbers and as a matrix.
const READING: u64 = 96 << 20;
/// Bytes of a block as it is stored, about.
pub(crate) const BLOCK: usize = 8 << 20;

/// Memory that reading cells and learning from them may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that the process may take in all.
    pub limit: u64,
    /// Bytes of it that are taken whatever the number of cells: by nets, their gradients and the program itself.
    pub beside: u64,
    /// Folder of the files that hold what does not fit.
    pub scratch: PathBuf,
}

impl Memory {
    /// Bytes without which `cells` cells cannot be learned from: their states are in a file.
    pub fn least(&self, cells: usize) -> u64 {
        self.beside + READING + CELL * cells as u64
    }

    /// Bytes with all states of `dim` coordinates in memory, as they are read and once more by time.
    pub fn whole(&self, cells: usize, dim: usize) -> u64 {
        self.least(cells) + 2 * state_bytes(cells, dim)
    }

    /// Bytes that are left with the states where they belong.
    pub fn spare(&self, cells: usize, dim: usize) -> u64 {
        let whole = self.whole(cells, dim);
        self.limit.saturating_sub(if whole <= self.limit { whole } else { self.least(cells) })
    }

    /// Whether all states are in memory.
    pub fn holds(&self, cells: usize, dim: usize) -> bool {
        self.whole(cells, dim) <= self.limit
    }

    /// Refuses more cells than the memory can do with.
    fn check(&self, path: &Path, cells: usize) -> Result<(), DataError> {
        let least = self.least(cells);
        if least <= self.limit {
            return Ok(());
        }
        Err(DataError::LittleMemory { path: path.to_owned(), cells, limit: self.limit, least })
    }

    /// An empty file without a name.
    fn file(&self) -> Result<std::fs::File, DataError> {
        tempfile::tempfile_in(&self.scratch)
            .map_err(|source| DataError::Scratch { folder: self.scratch.clone(), source })
    }

    /// What was decided, for the log.
    fn told(&self, cells: usize, dim: usize) -> String {
        let (whole, least) = (bytes(self.whole(cells, dim)), bytes(self.least(cells)));
        let limit = bytes(self.limit);
        if self.holds(cells, dim) {
            format!("memory: about {whole} with all cells in it, of {limit}")
        } else {
            format!(
                "memory: about {least} of {limit}; {whole} would be needed for all cells, whose states ({}) lie in a file in {}",
                bytes(state_bytes(cells, dim)),
                self.scratch.display()
            )
        }
    }
}

fn state_bytes(cells: usize, dim: usize) -> u64 {
    4 * cells as u64 * dim as u64
}

/// Bytes in words.
pub fn bytes(n: u64) -> String {
    match n {
        0..10_000_000 => format!("{} kB", n.div_ceil(1000)),
        10_000_000..10_000_000_000 => format!("{} MB", n.div_ceil(1_000_000)),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}

/// What reading may take of the memory; nothing bounds it if there is no [`Memory`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room<'a> {
    pub(crate) path: &'a Path,
    pub(crate) memory: Option<&'a Memory>,
}

impl<'a> Room<'a> {
    /// Refuses more cells than there is memory for.
    pub(crate) fn check(&self, cells: usize) -> Result<(), DataError> {
        self.memory.map_or(Ok(()), |memory| memory.check(self.path, cells))
    }

    /// A place for states of `dim` coordinates, of `cells` cells if it is known how many.
    pub(crate) fn sink(&self, cells: Option<usize>, dim: usize) -> Result<Sink<'a>, DataError> {
        let mut sink = Sink { room: *self, dim, rows: 0, place: Place::Memory(Vec::new()) };
        match (cells, self.memory) {
            (Some(cells), Some(memory)) if !memory.holds(cells, dim) => sink.spill()?,
            (Some(cells), _) => sink.place = Place::Memory(Vec::with_capacity(cells * dim)),
            (None, _) => {}
        }
        Ok(sink)
    }

    /// Bytes that are left for what is made on the way to states of `dim` coordinates.
    pub(crate) fn spare(&self, cells: usize, dim: usize) -> u64 {
        self.memory.map_or(u64::MAX, |memory| memory.spare(cells, dim))
    }

    /// An empty file without a name; in the system's folder for such files if nothing is bounded.
    pub(crate) fn file(&self) -> Result<std::fs::File, DataError> {
        match self.memory {
            Some(memory) => memory.file(),
            None => tempfile::tempfile()
                .map_err(|source| DataError::Scratch { folder: std::env::temp_dir(), source }),
        }
    }

    /// What is to be said of where the states went.
    pub(crate) fn told(&self, states: &States<f32>, dim: usize) -> Option<String> {
        self.memory.map(|memory| memory.told(states.cells(dim), dim))
    }
}

/// Takes states as they are read.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    room: Room<'a>,
    dim: usize,
    rows: usize,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Memory(Vec<f32>),
    File(StateWriter),
}

impl Sink<'_> {
    /// Appends whole rows.
    ///
    /// # Errors
    /// [`DataError::Scratch`], [`DataError::LittleMemory`].
    pub(crate) fn push(&mut self, states: &[f32]) -> Result<(), DataError> {
        self.rows += states.len() / self.dim.max(1);
        if let (Place::Memory(_), Some(memory)) = (&self.place, self.room.memory)
            && !memory.holds(self.rows, self.dim)
        {
            self.room.check(self.rows)?;
            self.spill()?;
        }
        match &mut self.place {
            Place::Memory(all) => {
                all.extend_from_slice(states);
                Ok(())
            }
            Place::File(writer) => writer.push(states).map_err(|e| self.room.scratch_error(e)),
        }
    }

    fn spill(&mut self) -> Result<(), DataError> {
        let mut writer = StateWriter::new(self.room.file()?, self.dim);
        if let Place::Memory(states) = &self.place {
            writer.push(states).map_err(|e| self.room.scratch_error(e))?;
        }
        self.place = Place::File(writer);
        Ok(())
    }

    /// The states.
    ///
    /// # Errors
    /// [`DataError::Scratch`], [`DataError::LittleMemory`].
    pub(crate) fn finish(self) -> Result<States<f32>, DataError> {
        self.room.check(self.rows)?;
        match self.place {
            Place::Memory(states) => Ok(States::Memory(states)),
            Place::File(writer) => {
                let file: StateFile = writer.finish().map_err(|e| self.room.scratch_error(e))?;
                let rows = (0..self.rows as u32).collect();
                Ok(States::Stored(StoredStates::new(file.into(), rows)?))
            }
        }
    }
}

impl Room<'_> {
    /// An error of a file without a name.
    pub(crate) fn scratch_error(&self, source: std::io::Error) -> DataError {
        let folder = self.memory.map_or_else(std::env::temp_dir, |memory| memory.scratch.clone());
        DataError::Scratch { folder, source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit: u64) -> Memory {
        Memory { limit, beside: 1 << 20, scratch: std::env::temp_dir() }
    }

    fn all(states: &States<f32>, d: usize) -> Vec<f32> {
        let mut out = Vec::new();
        states
            .each_block(d, |_, block| {
                out.extend_from_slice(block);
                Ok::<_, DataError>(())
            })
            .unwrap();
        out
    }

    /// As many bytes as are needed hold them, one less does not, and less than the least is refused.
    #[test]
    fn states_go_where_they_fit() {
        let (n, d, path) = (5000, 4, Path::new("cells.csv"));
        let values: Vec<f32> = (0..n * d).map(|i| i as f32).collect();
        let (whole, least) = (memory(0).whole(n, d), memory(0).least(n));
        assert_eq!(whole - least, 2 * 4 * (n * d) as u64);
        for known in [Some(n), None] {
            let put = |limit| -> Result<States<f32>, DataError> {
                let memory = memory(limit);
                let room = Room { path, memory: Some(&memory) };
                let mut sink = room.sink(known, d)?;
                for rows in values.chunks(7 * d) {
                    sink.push(rows)?;
                }
                sink.finish()
            };
            let (inside, outside, barely) =
                (put(whole).unwrap(), put(whole - 1).unwrap(), put(least).unwrap());
            assert!(inside.as_slice().is_some() && outside.as_slice().is_none());
            for states in [inside, outside, barely] {
                assert_eq!(all(&states, d), values);
            }
            let error = put(least - 1).unwrap_err();
            assert!(matches!(error, DataError::LittleMemory { least: told, .. } if told == least), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_none_is_told() {
        let memory = Memory { scratch: "/no/such/folder".into(), ..memory(0) };
        let room = Room { path: Path::new("cells.csv"), memory: Some(&memory) };
        let error = room.sink(Some(100), 2).unwrap_err();
        assert!(error.to_string().contains("/no/such/folder"), "{error}");
    }

    #[test]
    fn bytes_in_words() {
        assert_eq!(
            [900, 9_999_999, 10_000_000, 2_000_000_001, 12_340_000_000].map(bytes),
            ["1 kB", "10000 kB", "10 MB", "2001 MB", "12.3 GB"]
        );
    }
}
