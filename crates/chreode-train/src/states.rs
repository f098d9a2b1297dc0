//! The states of the cells of one time: in memory, or rows of a file that is read by position.
//!
//! A file holds the cells of all times in the data's order; the states of one time name their rows. What is drawn from either has
//! the same bits.
//! Not here: which cells are drawn (`split`), and what decides where they lie (`chreode-cells`).

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use chreode_core::Real;

use crate::TrainError;

/// Most rows of a block in a pass over all states, and of one read.
const BLOCK: usize = 4096;
/// Bytes of a block, about, where there are many coordinates.
const BLOCK_BYTES: usize = 8 << 20;
/// Bytes from one row to the next up to which both are read at once: as long as what lies between costs less than a second call.
const NEAR: usize = 4096;

/// Rows of a block of `d` coordinates. An even number, so that a block is whole words of eight bytes in a
/// [`Snapshots`](crate::Snapshots)' fingerprint.
fn block_rows(d: usize) -> usize {
    (BLOCK_BYTES / (size_of::<f32>() * d.max(1))).clamp(2, BLOCK) & !1
}

/// States of the cells of one time, `[n, d]`, row-major.
#[derive(Debug, Clone)]
pub enum States<T> {
    /// In memory.
    Memory(Vec<T>),
    /// In a file, in single precision.
    Stored(StoredStates),
}

/// Rows of a file of states.
#[derive(Debug, Clone)]
pub struct StoredStates {
    file: Arc<StateFile>,
    rows: Vec<u32>,
}

impl StoredStates {
    /// The cells `rows` of a file, in that order.
    ///
    /// # Errors
    /// [`TrainError::Length`] if there is a row that the file has not.
    pub fn new(file: Arc<StateFile>, rows: Vec<u32>) -> Result<Self, TrainError> {
        match rows.iter().find(|&&row| row as usize >= file.rows) {
            Some(&row) => Err(TrainError::Length {
                what: "rows of the file of states",
                got: file.rows,
                expected: row as usize + 1,
            }),
            None => Ok(Self { file, rows }),
        }
    }
}

impl<T> Default for States<T> {
    fn default() -> Self {
        Self::Memory(Vec::new())
    }
}

impl<T> From<Vec<T>> for States<T> {
    fn from(states: Vec<T>) -> Self {
        Self::Memory(states)
    }
}

impl<T> FromIterator<T> for States<T> {
    fn from_iter<I: IntoIterator<Item = T>>(states: I) -> Self {
        Self::Memory(states.into_iter().collect())
    }
}

/// The same numbers in memory, or the same rows of the same file.
impl<T: PartialEq> PartialEq for States<T> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory(a), Self::Memory(b)) => a == b,
            (Self::Stored(a), Self::Stored(b)) => Arc::ptr_eq(&a.file, &b.file) && a.rows == b.rows,
            _ => false,
        }
    }
}

impl<T: Real> States<T> {
    /// States in memory, a list for each time.
    pub fn each(states: impl IntoIterator<Item = Vec<T>>) -> Vec<Self> {
        states.into_iter().map(Self::Memory).collect()
    }

    /// Number of cells of `d` coordinates.
    pub fn cells(&self, d: usize) -> usize {
        match self {
            Self::Memory(states) => states.len() / d.max(1),
            Self::Stored(stored) => stored.rows.len(),
        }
    }

    /// All of them, if they are in memory.
    pub fn as_slice(&self) -> Option<&[T]> {
        match self {
            Self::Memory(states) => Some(states),
            Self::Stored(_) => None,
        }
    }

    /// All of them, `[n, d]`, read if they are in a file: for as many as fit in memory.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn all(&self, d: usize) -> Result<Cow<'_, [T]>, TrainError> {
        match self {
            Self::Memory(states) => Ok(states.into()),
            Self::Stored(stored) => {
                let mut out = vec![T::ZERO; stored.rows.len() * d];
                stored.file.gather(d, stored.rows.iter().copied(), &mut out)?;
                Ok(out.into())
            }
        }
    }

    /// Some of the cells, in memory if these are, else rows of the same file.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn select(&self, d: usize, rows: &[usize]) -> Self {
        match self {
            Self::Memory(states) => {
                let mut out = Vec::with_capacity(rows.len() * d);
                rows.iter().for_each(|&row| out.extend_from_slice(&states[row * d..(row + 1) * d]));
                Self::Memory(out)
            }
            Self::Stored(stored) => Self::Stored(StoredStates {
                file: Arc::clone(&stored.file),
                rows: rows.iter().map(|&row| stored.rows[row]).collect(),
            }),
        }
    }

    /// Copies rows to `out`, `[rows, d]`.
    ///
    /// # Errors
    /// [`TrainError::States`] if the file cannot be read, [`TrainError::Length`] if it has another number of coordinates.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn gather(&self, d: usize, rows: &[u32], out: &mut [T]) -> Result<(), TrainError> {
        match self {
            Self::Memory(states) => {
                for (out, &row) in out.chunks_exact_mut(d).zip(rows) {
                    out.copy_from_slice(&states[row as usize * d..(row as usize + 1) * d]);
                }
                Ok(())
            }
            Self::Stored(stored) => {
                stored.file.gather(d, rows.iter().map(|&row| stored.rows[row as usize]), out)
            }
        }
    }

    /// Calls `f(first, states)` for blocks of rows in their order, of which `first` is the first.
    ///
    /// # Errors
    /// As [`gather`](Self::gather), and those of `f`.
    pub fn each_block<E: From<TrainError>>(
        &self,
        d: usize,
        mut f: impl FnMut(usize, &[T]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::Memory(states) => f(0, states),
            Self::Stored(stored) => {
                let most = block_rows(d);
                let mut block = vec![T::ZERO; most.min(stored.rows.len()) * d];
                for (k, rows) in stored.rows.chunks(most).enumerate() {
                    let block = &mut block[..rows.len() * d];
                    stored.file.gather(d, rows.iter().copied(), block)?;
                    f(k * most, block)?;
                }
                Ok(())
            }
        }
    }
}

/// A file of states in single precision, `[rows, d]`, as [`StateWriter`] wrote it.
#[derive(Debug)]
pub struct StateFile {
    /// The file and what was read of it last.
    open: Mutex<(File, Vec<f32>)>,
    dim: usize,
    rows: usize,
}

impl StateFile {
    /// Coordinates of a cell.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Number of cells.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Copies rows to `out`; ascending ones that are near each other in the file are read at once.
    fn gather<T: Real>(
        &self,
        d: usize,
        rows: impl Iterator<Item = u32> + Clone,
        out: &mut [T],
    ) -> Result<(), TrainError> {
        if d != self.dim {
            return Err(TrainError::Length {
                what: "coordinates of the file of states",
                got: self.dim,
                expected: d,
            });
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, buffer) = &mut *open;
        let near = (NEAR / (d * size_of::<f32>()).max(1)).max(1) as u32;
        let most = block_rows(d);
        let (mut rows, mut at) = (rows.peekable(), 0);
        while let Some(&first) = rows.peek() {
            let (run, mut last, mut count) = (rows.clone(), first, 0);
            let joins =
                |last: u32, row: u32| row >= last && row - last <= near && ((row - first) as usize) < most;
            while let Some(row) = rows.next_if(|&row| joins(last, row)) {
                (last, count) = (row, count + 1);
            }
            buffer.resize(((last - first) as usize + 1) * d, 0.0);
            file.seek(SeekFrom::Start(u64::from(first) * (d * size_of::<f32>()) as u64))
                .and_then(|_| file.read_exact(bytemuck::cast_slice_mut(buffer)))
                .map_err(|source| TrainError::States { source })?;
            for (out, row) in out[at * d..].chunks_exact_mut(d).zip(run.take(count)) {
                let x = &buffer[(row - first) as usize * d..][..d];
                out.iter_mut().zip(x).for_each(|(out, &x)| *out = T::c(f64::from(x)));
            }
            at += count;
        }
        Ok(())
    }
}

/// Writes a [`StateFile`] from its beginning.
#[derive(Debug)]
pub struct StateWriter {
    file: BufWriter<File>,
    dim: usize,
    rows: usize,
}

impl StateWriter {
    /// Into an empty file that can be written and read, for cells of `dim` coordinates. The file is of this machine's byte order and
    /// for this process: nobody reads it later.
    pub fn new(file: File, dim: usize) -> Self {
        Self { file: BufWriter::with_capacity(1 << 18, file), dim, rows: 0 }
    }

    /// Appends whole rows.
    ///
    /// # Errors
    /// What writing may bring; rows that are not whole are [`io::ErrorKind::InvalidInput`].
    pub fn push(&mut self, states: &[f32]) -> io::Result<()> {
        if self.dim == 0 || !states.len().is_multiple_of(self.dim) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.rows += states.len() / self.dim;
        self.file.write_all(bytemuck::cast_slice(states))
    }

    /// The file, to be read.
    ///
    /// # Errors
    /// What writing may bring.
    pub fn finish(self) -> io::Result<StateFile> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(StateFile { open: Mutex::new((file, Vec::new())), dim: self.dim, rows: self.rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(states: &[f32], d: usize, rows: Vec<u32>) -> States<f32> {
        let mut writer = StateWriter::new(tempfile::tempfile().unwrap(), d);
        states.chunks(3 * d).for_each(|block| writer.push(block).unwrap());
        States::Stored(StoredStates::new(Arc::new(writer.finish().unwrap()), rows).unwrap())
    }

    proptest! {
        /// Any rows in any order, also several times, are those of the memory.
        #[test]
        fn rows_of_a_file_are_those_of_the_memory(
            n in 1_usize..40, d in 1_usize..5, picks in proptest::collection::vec(any::<u32>(), 0..60),
            order in any::<u32>(),
        ) {
            let all: Vec<f32> = (0..n * d).map(|i| (i as f32 * 0.7).sin()).collect();
            let rows: Vec<u32> = (0..n as u32).map(|i| (i * 7 + order % 5) % n as u32).collect();
            let memory = States::Memory(rows.iter().flat_map(|&r| &all[r as usize * d..(r as usize + 1) * d]).copied().collect());
            let file = stored(&all, d, rows);
            prop_assert_eq!((memory.cells(d), file.cells(d)), (n, n));
            let picks: Vec<u32> = picks.iter().map(|p| p % n as u32).collect();
            let (mut a, mut b) = (vec![0.0; picks.len() * d], vec![1.0; picks.len() * d]);
            memory.gather(d, &picks, &mut a).unwrap();
            file.gather(d, &picks, &mut b).unwrap();
            prop_assert_eq!(a, b);
            let mut seen = Vec::new();
            file.each_block(d, |first, block| {
                assert_eq!(first * d, seen.len());
                seen.extend_from_slice(block);
                Ok::<_, TrainError>(())
            }).unwrap();
            prop_assert_eq!(Some(&seen[..]), memory.as_slice());
            let some: Vec<usize> = picks.iter().map(|&p| p as usize).collect();
            let (a, b) = (memory.select(d, &some), file.select(d, &some));
            prop_assert_eq!(a.all(d).unwrap(), b.all(d).unwrap());
            prop_assert!(a.as_slice().is_some() && b.as_slice().is_none());
        }
    }

    #[test]
    fn blocks_are_bounded() {
        let (d, n) = (3, 3 * BLOCK + 5);
        let all: Vec<f32> = (0..n * d).map(|i| i as f32).collect();
        let mut blocks = Vec::new();
        let keep = |_, block: &[f32]| {
            blocks.push(block.len() / d);
            Ok::<_, TrainError>(())
        };
        stored(&all, d, (0..n as u32).collect()).each_block(d, keep).unwrap();
        assert_eq!(blocks, [BLOCK, BLOCK, BLOCK, 5]);
        for d in [1, 511, 513, 30_000, 40_000_000] {
            let rows = block_rows(d);
            assert!(rows.is_multiple_of(2) && rows >= 2, "{rows} rows of {d} coordinates");
            assert!(rows == 2 || 4 * d * rows <= BLOCK_BYTES, "{rows} rows of {d} coordinates");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut writer = StateWriter::new(tempfile::tempfile().unwrap(), 2);
        assert!(writer.push(&[1.0, 2.0, 3.0]).is_err());
        writer.push(&[1.0, 2.0]).unwrap();
        let file = Arc::new(writer.finish().unwrap());
        assert_eq!((file.rows(), file.dim()), (1, 2));
        let missing = StoredStates::new(file.clone(), vec![0, 1]).unwrap_err();
        assert!(matches!(missing, TrainError::Length { got: 1, expected: 2, .. }), "{missing}");
        let states = States::<f64>::Stored(StoredStates::new(file, vec![0]).unwrap());
        let other = states.gather(1, &[0], &mut [0.0]).unwrap_err();
        assert!(matches!(other, TrainError::Length { got: 2, expected: 1, .. }), "{other}");
        // A file that somebody cut.
        let mut writer = StateWriter::new(tempfile::tempfile().unwrap(), 1);
        writer.push(&[1.0, 2.0]).unwrap();
        let file = writer.finish().unwrap();
        file.open.lock().unwrap().0.set_len(4).unwrap();
        let states = States::<f32>::Stored(StoredStates::new(Arc::new(file), vec![0, 1]).unwrap());
        assert!(matches!(states.gather(1, &[1], &mut [0.0]), Err(TrainError::States { .. })));
    }
}
