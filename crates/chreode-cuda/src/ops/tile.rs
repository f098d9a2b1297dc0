//! How many rows a block owns, and the shared memory that it takes.

use super::net::Precision;
use crate::CudaError;
use crate::device::{DeviceInfo, Grid};
use crate::error::int;
use crate::kernels::{LARGE_LD, LARGE_TILE, LARGE_TILE_WIDTH, STAGE, Variant};

/// Rows that the kernels can do, most first.
const ROWS: [usize; 2] = [32, 16];
const FLOAT: usize = size_of::<f32>();

/// A block's tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) rows: usize,
    /// Distance of two rows of activations in shared memory: an odd multiple of 4, so that eight rows share no bank.
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
        Self::chosen(info, n, widest, extra, None)
    }

    /// The same, or with the rows that are asked for.
    ///
    /// # Errors
    /// As [`new`](Self::new), also if the tile that is asked for does not fit; [`CudaError::Setting`] for other rows than 16 and 32.
    pub(crate) fn chosen(
        info: &DeviceInfo,
        n: usize,
        widest: usize,
        extra: usize,
        asked: Option<usize>,
    ) -> Result<Self, CudaError> {
        if let Some(rows) = asked
            && !ROWS.contains(&rows)
        {
            return Err(CudaError::Setting {
                name: "the number of a block's rows",
                value: rows as f64,
                rule: "must be 16 or 32",
            });
        }
        let ld = widest.next_multiple_of(STAGE) + STAGE / 4;
        let shared = |rows: usize| FLOAT * (2 * rows * ld + rows * extra);
        let fits = |&&rows: &&usize| shared(rows) <= info.shared_memory;
        let enough = |&&rows: &&usize| asked.is_some() || n.div_ceil(rows) >= info.multiprocessors;
        let mut fitting = ROWS.iter().filter(fits).filter(|&&rows| asked.is_none_or(|a| a == rows));
        let Some(&rows) = fitting.clone().find(enough).or_else(|| fitting.next_back()) else {
            let [.., least] = ROWS;
            let least = asked.unwrap_or(least);
            let most = (info.shared_memory / FLOAT / least).saturating_sub(extra) / 2;
            return Err(CudaError::TooLarge { what: "width of the widest layer", got: widest, most });
        };
        let blocks = int("rows", n.div_ceil(rows).max(1))? as u32;
        Ok(Self { rows, ld, grid: Grid { blocks: (blocks, 1), shared: shared(rows) } })
    }
}

/// Tiles of a pass whose kernels have a variant with a large one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tiles {
    small: Tile,
    large: Option<Tile>,
}

impl Tiles {
    /// As [`Tile::new`]. A large tile is taken where it fits and there are two for every multiprocessor at least: a block then reads weights
    /// for twice the rows.
    ///
    /// # Errors
    /// As [`Tile::new`].
    pub(crate) fn new(info: &DeviceInfo, n: usize, widest: usize, extra: usize) -> Result<Self, CudaError> {
        Self::chosen(info, n, widest, extra, None)
    }

    /// The same, or small tiles with the rows that are asked for.
    ///
    /// # Errors
    /// As [`Tile::chosen`].
    pub(crate) fn chosen(
        info: &DeviceInfo,
        n: usize,
        widest: usize,
        extra: usize,
        asked: Option<usize>,
    ) -> Result<Self, CudaError> {
        let small = Tile::chosen(info, n, widest, extra, asked)?;
        let shared = FLOAT * LARGE_TILE * (LARGE_LD + extra); // activations lie in one tile
        let many = n >= 2 * LARGE_TILE * info.multiprocessors;
        let large = (asked.is_none() && many && widest <= LARGE_TILE_WIDTH && shared <= info.shared_memory)
            .then(|| {
                let blocks = n.div_ceil(LARGE_TILE) as u32; // fewer than those of `small`
                Tile { rows: LARGE_TILE, ld: LARGE_LD, grid: Grid { blocks: (blocks, 1), shared } }
            });
        Ok(Self { small, large })
    }

    /// The variant that is launched, and its tile.
    pub(crate) fn of(&self, precision: Precision) -> (Variant, Tile) {
        match (precision.large(), self.large) {
            (Some(variant), Some(tile)) => (variant, tile),
            _ => (precision.small(), self.small),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(shared_memory: usize) -> DeviceInfo {
        DeviceInfo { name: "test".into(), capability: (9, 0), multiprocessors: 132, shared_memory }
    }

    #[test]
    fn many_rows_have_large_tiles() {
        let rows = |shared_memory, n, widest, precision| {
            let (variant, tile) = Tiles::new(&info(shared_memory), n, widest, 151).unwrap().of(precision);
            assert!(
                tile.grid.shared <= shared_memory && tile.grid.blocks.0 as usize == n.div_ceil(tile.rows)
            );
            (variant, tile.rows)
        };
        let (h100, a100) = (227 << 10, 163 << 10);
        assert_eq!(rows(h100, 100_000, 512, Precision::Tf32), (Variant::Tf32Large, 64));
        assert_eq!(rows(h100, 2 * 64 * 132, 512, Precision::Bf16), (Variant::Bf16Large, 64));
        assert_eq!(rows(h100, 2 * 64 * 132 - 1, 512, Precision::Bf16), (Variant::Bf16, 32));
        assert_eq!(rows(h100, 100_000, 512, Precision::F32), (Variant::F32, 32));
        assert_eq!(rows(h100, 100_000, 20, Precision::Tf32), (Variant::Tf32Large, 64));
        assert_eq!(rows(h100, 100_000, 513, Precision::Tf32), (Variant::Tf32, 32));
        assert_eq!(rows(a100, 100_000, 512, Precision::Tf32), (Variant::Tf32, 32));
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
        let asked = |widest, rows| Tile::chosen(&large, 2048, widest, 151, Some(rows)).map(|t| t.grid.blocks);
        assert_eq!((asked(512, 32), asked(512, 16)), (Ok((64, 1)), Ok((128, 1))));
        assert!(matches!(asked(1000, 32), Err(CudaError::TooLarge { got: 1000, .. })));
        assert!(matches!(asked(512, 64), Err(CudaError::Setting { .. })));
        let refused = Tile::new(&info(48 << 10), 10, 4000, 0);
        assert!(matches!(refused, Err(CudaError::TooLarge { got: 4000, most, .. }) if most < 400));
    }
}
