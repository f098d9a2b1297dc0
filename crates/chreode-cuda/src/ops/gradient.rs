//! Gradients of parameters: sums over many rows in two stages of fixed order, so that every run has the same bits.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use super::net::NetShape;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::error::int;
use crate::kernels::{GRADIENT_STAGE, GRADIENT_TILE, add_slabs, layer_gradient};

/// The most sums that are kept side by side.
const MOST_SPLITS: usize = 32;
/// Rows that are worth a sum of their own.
const ROWS_PER_SPLIT: usize = 256;

/// Partial gradients, `[splits, parameters]`.
#[derive(Debug)]
pub(crate) struct Slabs {
    splits: usize,
    per_split: usize,
    parameters: usize,
    sums: Buffer<f32>,
}

impl Slabs {
    /// For calls with up to `rows` rows.
    pub(crate) fn new(stream: &Stream, rows: usize, parameters: usize) -> Result<Self, CudaError> {
        let splits = Self::splits(rows);
        let per_split = rows.div_ceil(splits).next_multiple_of(GRADIENT_STAGE).max(GRADIENT_STAGE);
        int("parameters", parameters)?;
        Ok(Self { splits, per_split, parameters, sums: stream.zeros(splits * parameters)? })
    }

    /// Bytes of the partial gradients.
    pub(crate) fn bytes(rows: usize, parameters: usize) -> usize {
        Self::splits(rows) * parameters * size_of::<f32>()
    }

    fn splits(rows: usize) -> usize {
        rows.div_ceil(ROWS_PER_SPLIT).clamp(1, MOST_SPLITS)
    }

    pub(crate) fn clear(&mut self) -> Result<(), CudaError> {
        self.sums.fill_zero()
    }

    /// Adds the gradient of every layer of a net from `rows` rows, whose inputs and adjoints are in `kept`.
    pub(crate) fn add(
        &mut self,
        stream: &Stream,
        net: &NetShape,
        rows: usize,
        kept: &Buffer<f32>,
    ) -> Result<(), CudaError> {
        crate::error::at_most("rows of a gradient", rows, self.splits * self.per_split)?;
        crate::error::at_most("numbers kept of a net", rows * net.kept(), kept.len())?;
        crate::error::at_most("end of a net's parameters", net.offset + net.n_params(), self.parameters)?;
        let (mut at, mut offset) = (0, net.offset);
        for width in net.widths.windows(2) {
            let (inner, outs) = (width[0], width[1]);
            let tiles = outs.div_ceil(GRADIENT_TILE) * (inner + 1).div_ceil(GRADIENT_TILE);
            let grid = Grid {
                blocks: (int("tiles of a layer", tiles)? as u32, self.splits as u32),
                shared: 2 * GRADIENT_STAGE * (GRADIENT_TILE + 4) * size_of::<f32>(),
            };
            // SAFETY: the layer's inputs and adjoints lie in `kept`, its parameters in each slab: checked above.
            unsafe {
                layer_gradient(
                    stream,
                    grid,
                    int("width of a layer", inner)?,
                    int("width of a layer", outs)?,
                    int("rows of a gradient", rows)?,
                    int("rows of a split", self.per_split)?,
                    self.parameters as i32, // checked when it was made
                    offset as i32,
                    at as u64,
                    (at + rows * inner) as u64,
                    kept,
                    &mut self.sums,
                )?;
            }
            at += rows * (inner + outs);
            offset += outs * (inner + 1);
        }
        Ok(())
    }

    /// Sets `total`, `[parameters]`.
    pub(crate) fn total(&self, stream: &Stream, total: &mut Buffer<f32>) -> Result<(), CudaError> {
        crate::error::check_len("gradient of the parameters", total.len(), self.parameters)?;
        let grid = Grid::per_item(self.parameters);
        // SAFETY: the slabs are [splits, parameters], the total is checked above.
        unsafe { add_slabs(stream, grid, self.splits as i32, self.parameters as i32, &self.sums, total) }
    }
}
