//! How many rows a block owns, and the shared memory that it takes.

use crate::CudaError;
use crate::device::{DeviceInfo, Grid};
use crate::error::int;
use crate::kernels::STAGE;

/// Rows that the kernels can do, most first.
const ROWS: [usize; 2] = [32, 16];
const FLOAT: usize = size_of::<f32>();

/// A block's tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    /// Distance of two rows of activations in shared memory: an odd multiple of 16, so that two rows share no bank.
    pub(crate) ld: usize,
    pub(crate) grid: Grid,
}

impl Tile {
    /// For `n` rows of nets that are `widest` at most, with `extra` more floats a row.
    ///
    /// The most rows that fit, but as few as keep every multiprocessor busy: a row's bits do not depend on it.
    ///
    /// # Errors
    /// [`CudaError::TooLarge`] if not even the smallest tile fits.
    pub(crate) fn new(info: &DeviceInfo, n: usize, widest: usize, extra: usize) -> Result<Self, CudaError> {
        let ld = (widest.div_ceil(STAGE) | 1) * STAGE;
        let shared = |rows: usize| FLOAT * (2 * rows * ld + rows * extra);
        let fits = |&&rows: &&usize| shared(rows) <= info.shared_memory;
        let enough = |&&rows: &&usize| n.div_ceil(rows) >= info.multiprocessors;
        let mut fitting = ROWS.iter().filter(fits);
        let Some(&rows) = fitting.clone().find(enough).or_else(|| fitting.next_back()) else {
            let [.., least] = ROWS;
            let most = (info.shared_memory / FLOAT / least).saturating_sub(extra) / 2;
            return Err(CudaError::TooLarge { what: "width of the widest layer", got: widest, most });
        };
        let blocks = int("rows", n.div_ceil(rows).max(1))? as u32;
        Ok(Self { rows, ld, grid: Grid { blocks: (blocks, 1), shared: shared(rows) } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(shared_memory: usize) -> DeviceInfo {
        DeviceInfo { name: "test".into(), capability: (9, 0), multiprocessors: 132, shared_memory }
    }

    #[test]
    fn tiles_fit_and_keep_the_device_busy() {
        let large = info(227 << 10);
        let rows = |n, widest| Tile::new(&large, n, widest, 151).map(|t| t.rows);
        assert_eq!(rows(100_000, 512), Ok(32));
        assert_eq!(rows(100_000, 1000), Ok(16)); // 32 rows of two activations of 1008 are 258 kB
        assert_eq!(rows(2048, 64), Ok(16));
        let tile = Tile::new(&large, 2048, 512, 151).unwrap();
        assert_eq!(tile.grid.blocks, (128, 1));
        assert!(tile.grid.shared <= 227 << 10);
        assert_eq!(Tile::new(&large, 0, 3, 0).unwrap().grid.blocks, (1, 1));
        let refused = Tile::new(&info(48 << 10), 10, 4000, 0);
        assert!(matches!(refused, Err(CudaError::TooLarge { got: 4000, most, .. }) if most < 400));
    }
}
