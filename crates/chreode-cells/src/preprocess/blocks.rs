//! Expression that is read block by block, and what is kept of it between passes.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Seek as _, SeekFrom, Write as _};

use super::PreprocessError;
use crate::matrix::{DenseMatrix, Matrix};

/// Cells by genes that can be read as often as need be, from the first cell to the last.
pub(crate) trait Blocks {
    /// Why it cannot be read.
    type Error;

    /// Number of cells.
    fn rows(&self) -> usize;

    /// Calls `f(first, block)` for blocks of rows, of which `first` is the first.
    fn pass(
        &self,
        f: &mut dyn FnMut(usize, &Matrix) -> Result<(), PreprocessError>,
    ) -> Result<(), BlockError<Self::Error>>;
}

/// What can go wrong in a pass.
#[derive(Debug)]
pub(crate) enum BlockError<E> {
    /// The cells could not be read.
    Read(E),
    /// What was read will not do.
    Preprocess(PreprocessError),
}

impl<E> From<PreprocessError> for BlockError<E> {
    fn from(error: PreprocessError) -> Self {
        Self::Preprocess(error)
    }
}

impl Blocks for Matrix {
    type Error = Infallible;

    fn rows(&self) -> usize {
        self.rows()
    }

    fn pass(
        &self,
        f: &mut dyn FnMut(usize, &Matrix) -> Result<(), PreprocessError>,
    ) -> Result<(), BlockError<Infallible>> {
        Ok(f(0, self)?)
    }
}

/// Cells of a block that is kept: sums over cells are taken over such blocks, whatever blocks the cells came in, so that their bits are the same.
pub(super) const CELLS: usize = 1024;

/// Rows in blocks of [`CELLS`], in memory up to a limit and beyond it in a file.
pub(crate) struct Kept {
    /// Bytes in memory after which the rest goes to the file.
    limit: u64,
    file: Option<File>,
    blocks: Vec<Block>,
    held: u64,
    /// The rows of the last block, while it is not full.
    open: Option<Matrix>,
    written: u64,
}

enum Block {
    Memory(Matrix),
    File { at: u64, rows: usize, entries: usize, like: Matrix },
}

fn scratch(error: &io::Error) -> PreprocessError {
    PreprocessError::Scratch { kind: error.kind() }
}

impl Kept {
    /// Nothing yet; `file` is empty and can be read and written. Without one all stays in memory.
    pub(crate) fn new(limit: u64, file: Option<File>) -> Self {
        Self { limit, file, blocks: Vec::new(), held: 0, open: None, written: 0 }
    }

    /// Appends rows.
    pub(super) fn push(&mut self, rows: &Matrix) -> Result<(), PreprocessError> {
        let mut first = 0;
        while first < rows.rows() {
            let open = self.open.get_or_insert_with(|| rows.empty(rows.cols()));
            let count = (CELLS - open.rows()).min(rows.rows() - first);
            open.push_rows(rows, first, count);
            first += count;
            if open.rows() == CELLS {
                self.close()?;
            }
        }
        Ok(())
    }

    /// Closes the block that rows were last appended to.
    pub(super) fn close(&mut self) -> Result<(), PreprocessError> {
        let Some(block) = self.open.take() else { return Ok(()) };
        let bytes = block.bytes() as u64;
        let block = match &mut self.file {
            Some(file) if self.held + bytes > self.limit => {
                let kept = put(file, self.written, &block).map_err(|e| scratch(&e))?;
                self.written = file.stream_position().map_err(|e| scratch(&e))?;
                kept
            }
            _ => {
                self.held += bytes;
                Block::Memory(block)
            }
        };
        self.blocks.push(block);
        Ok(())
    }

    /// Number of blocks.
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Changes every block, one after the other.
    pub(super) fn change(&mut self, mut f: impl FnMut(Matrix) -> Matrix) -> Result<(), PreprocessError> {
        for block in &mut self.blocks {
            let (place, old) =
                match std::mem::replace(block, Block::Memory(Matrix::Dense(DenseMatrix::default()))) {
                    Block::Memory(matrix) => (None, matrix),
                    Block::File { at, rows, entries, like } => {
                        (Some((at, entries)), take(self.file.as_mut(), at, rows, entries, like)?)
                    }
                };
            let new = f(old);
            *block = match (place, &mut self.file) {
                // It has as many entries as before, or fewer: there is room where it was.
                (Some((at, entries)), Some(file)) if new.entries() <= entries => {
                    put(file, at, &new).map_err(|e| scratch(&e))?
                }
                _ => Block::Memory(new),
            };
        }
        Ok(())
    }

    /// Calls `f(first block, blocks)` for groups of up to `group` blocks.
    pub(super) fn each(
        &mut self,
        group: usize,
        mut f: impl FnMut(usize, &[&Matrix]) -> Result<(), PreprocessError>,
    ) -> Result<(), PreprocessError> {
        for first in (0..self.blocks.len()).step_by(group.max(1)) {
            let blocks = first..(first + group.max(1)).min(self.blocks.len());
            let mut read = Vec::with_capacity(blocks.len());
            for k in blocks.clone() {
                if let Block::File { at, rows, entries, like } = &self.blocks[k] {
                    read.push(take(self.file.as_mut(), *at, *rows, *entries, like.empty(like.cols()))?);
                }
            }
            let mut read = read.iter();
            let mut matrices = Vec::with_capacity(blocks.len());
            for block in &self.blocks[blocks] {
                match block {
                    Block::Memory(matrix) => matrices.push(matrix),
                    Block::File { .. } => matrices.extend(read.next()),
                }
            }
            f(first, &matrices)?;
        }
        Ok(())
    }
}

fn put(file: &mut File, at: u64, block: &Matrix) -> io::Result<Block> {
    file.seek(SeekFrom::Start(at))?;
    let mut out = BufWriter::with_capacity(1 << 18, &mut *file);
    block.write_to(&mut out)?;
    out.flush()?;
    Ok(Block::File { at, rows: block.rows(), entries: block.entries(), like: block.empty(block.cols()) })
}

fn take(
    file: Option<&mut File>,
    at: u64,
    rows: usize,
    entries: usize,
    mut like: Matrix,
) -> Result<Matrix, PreprocessError> {
    let missing = || Err(io::ErrorKind::NotFound.into());
    let read = |file: &mut File| {
        file.seek(SeekFrom::Start(at))?;
        like.read_from(&mut BufReader::with_capacity(1 << 18, file), rows, entries)
    };
    file.map_or_else(missing, read).map_err(|e| scratch(&e))?;
    Ok(like)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::CsrMatrix;

    fn sparse(n: usize) -> Matrix {
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for i in 0..n {
            for j in 0..5 {
                if (i * 7 + j * 3) % 4 == 0 {
                    indices.push(j as i64);
                    values.push((i + j) as f32 + 0.5);
                }
            }
            indptr.push(values.len() as i64);
        }
        Matrix::Sparse(CsrMatrix::new(n, 5, &indptr, &indices, values).unwrap())
    }

    /// Whatever blocks rows come in and wherever they are kept, they come back as they were, or as they were changed.
    #[test]
    fn rows_come_back() {
        let n = 2 * CELLS + 77;
        let dense =
            Matrix::Dense(DenseMatrix { rows: n, cols: 3, values: (0..3 * n).map(|i| i as f32).collect() });
        for (all, limit) in
            [(sparse(n), 0), (sparse(n), u64::MAX), (sparse(n), 30_000), (dense.clone(), 0), (dense, 13_000)]
        {
            let mut kept = Kept::new(limit, Some(tempfile::tempfile().unwrap()));
            for (first, count) in [(0, 300), (300, 1500), (1800, n - 1800)] {
                kept.push(&all.rows_from(first, count)).unwrap();
            }
            kept.close().unwrap();
            assert_eq!(kept.len(), 3);
            let in_file = kept.blocks.iter().filter(|b| matches!(b, Block::File { .. })).count();
            assert_eq!(in_file > 0, limit < u64::MAX);
            let collect = |kept: &mut Kept, group| {
                let mut seen = all.empty(all.cols());
                let each = |first, blocks: &[&Matrix]| {
                    assert_eq!(first * CELLS, seen.rows());
                    blocks.iter().for_each(|b| seen.push_rows(b, 0, b.rows()));
                    Ok(())
                };
                kept.each(group, each).unwrap();
                seen
            };
            assert_eq!(collect(&mut kept, 1), all);
            assert_eq!(collect(&mut kept, 2), all);
            kept.change(|m| m.select_columns(&[2, 0])).unwrap();
            let mut seen = all.select_columns(&[2, 0]).empty(2);
            kept.each(9, |_, blocks| {
                blocks.iter().for_each(|b| seen.push_rows(b, 0, b.rows()));
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, all.select_columns(&[2, 0]));
        }
    }
}
