//! Gradients of parameters: sums over many rows in two stages of fixed order, so that every run has the same bits.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use super::net::{NetShape, Precision};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::error::int;
use crate::kernels::{
    GRADIENT_LD, GRADIENT_STAGE, GRADIENT_STAGES, GRADIENT_TILE, Net, add_slabs, layer_gradient,
};

/// The most sums that are kept side by side.
const MOST_SPLITS: usize = 32;
/// Rows that are worth a sum of their own.
const ROWS_PER_SPLIT: usize = 256;

/// A net whose gradient is summed: its shape, and what the kernel reads of it.
#[derive(Debug)]
pub(crate) struct GradientNet {
    shape: NetShape,
    net: Buffer<Net>,
}

impl GradientNet {
    pub(crate) fn new(stream: &Stream, shape: &NetShape) -> Result<Self, CudaError> {
        Ok(Self { net: stream.upload(&[shape.describe()?])?, shape: shape.clone() })
    }

    /// Tiles of all layers, as the kernel counts them.
    fn tiles(&self) -> usize {
        let of = |w: &[usize]| w[1].div_ceil(GRADIENT_TILE) * w[0].div_ceil(GRADIENT_TILE).max(1);
        self.shape.widths.windows(2).map(of).sum()
    }
}

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

    /// Sets every sum to zero.
    pub(crate) fn clear(&mut self) -> Result<(), CudaError> {
        self.sums.fill_zero()
    }

    /// Adds the gradient of every layer of a net from `rows` rows, whose inputs and adjoints are in `kept`.
    pub(crate) fn add(
        &mut self,
        stream: &Stream,
        precision: Precision,
        net: &GradientNet,
        rows: usize,
        kept: &Buffer<f32>,
    ) -> Result<(), CudaError> {
        let shape = &net.shape;
        crate::error::at_most("rows of a gradient", rows, self.splits * self.per_split)?;
        crate::error::at_most("numbers kept of a net", rows * shape.kept(), kept.len())?;
        crate::error::at_most("end of a net's parameters", shape.offset + shape.n_params(), self.parameters)?;
        let stages = 2 * GRADIENT_STAGES * GRADIENT_STAGE * GRADIENT_LD;
        let grid = Grid {
            blocks: (int("tiles of a net", net.tiles())? as u32, self.splits as u32),
            shared: stages * size_of::<f32>(),
        };
        // SAFETY: the layers' inputs and adjoints lie in `kept`, the net's parameters in each slab: checked above.
        unsafe {
            layer_gradient(
                stream,
                grid,
                precision,
                &net.net,
                int("rows of a gradient", rows)?,
                int("rows of a split", self.per_split)?,
                self.parameters as i32, // checked when it was made
                kept,
                &mut self.sums,
            )
        }
    }

    /// Sets `total`, `[parameters]`.
    pub(crate) fn total(&self, stream: &Stream, total: &mut Buffer<f32>) -> Result<(), CudaError> {
        crate::error::check_len("gradient of the parameters", total.len(), self.parameters)?;
        let grid = Grid::per_item(self.parameters);
        // SAFETY: the slabs are [splits, parameters], the total is checked above.
        unsafe { add_slabs(stream, grid, self.splits as i32, self.parameters as i32, &self.sums, total) }
    }
}
