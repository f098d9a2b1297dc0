//! Perceptrons on many rows.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use super::gradient::{GradientNet, Slabs};
use super::net::{NetShape, Precision};
use super::tile::{Tile, Tiles};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::error::{check_len, int};
use crate::kernels::{Net, PACKED_SLACK, mlp_backward, mlp_forward, pack_net};

/// A perceptron on a device, with work space for up to `max_rows` rows.
#[derive(Debug)]
pub struct Mlp {
    stream: Stream,
    shape: NetShape,
    max_rows: usize,
    precision: Precision,
    net: Buffer<Net>,
    /// Weights in the order of the forward pass, and of the way back.
    packed: [Buffer<f32>; 2],
    kept: Buffer<f32>,
    gradient: GradientNet,
    slabs: Slabs,
}

impl Mlp {
    /// Of this shape, whose offset must be zero.
    ///
    /// # Errors
    /// [`CudaError::Shape`] or [`CudaError::TooLarge`] for a net that the kernels cannot do, [`CudaError::OutOfMemory`].
    pub fn new(stream: &Stream, shape: NetShape, max_rows: usize) -> Result<Self, CudaError> {
        let description = shape.describe()?;
        check_len("offset of a net by itself", shape.offset, 0)?;
        check_len("inputs of the net (at least)", shape.inputs().min(1), 1)?;
        Tile::new(stream.device().info(), max_rows, shape.widest(), 0)?;
        int("rows", max_rows)?;
        let packed = shape.packed() + PACKED_SLACK;
        Ok(Self {
            stream: stream.clone(),
            net: stream.upload(&[description])?,
            packed: [stream.zeros(packed)?, stream.zeros(packed)?],
            kept: stream.zeros(max_rows * shape.kept())?,
            gradient: GradientNet::new(stream, &shape)?,
            slabs: Slabs::new(stream, max_rows, shape.n_params())?,
            shape,
            max_rows,
            precision: Precision::default(),
        })
    }

    /// Its shape.
    pub fn shape(&self) -> &NetShape {
        &self.shape
    }

    /// How factors are rounded from now on; [`Precision::F32`] at first.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// Packs the weights, for the way back too if that is wanted.
    fn pack(&mut self, p: &Buffer<f32>, ways: usize) -> Result<(), CudaError> {
        for (transposed, packed) in self.packed.iter_mut().enumerate().take(ways) {
            // SAFETY: the parameters' length was checked, the packed weights' is that of the shape.
            unsafe {
                pack_net(
                    &self.stream,
                    Grid::per_item(packed.len()),
                    &self.net,
                    self.precision.number(),
                    transposed as i32,
                    p,
                    packed,
                )?;
            }
        }
        Ok(())
    }

    /// Sets `y`, `[n, outputs]`, from `x`, `[n, inputs]`, and the parameters.
    ///
    /// # Errors
    /// [`CudaError::Shape`], [`CudaError::OtherStream`]; the launch's.
    pub fn forward(
        &mut self,
        p: &Buffer<f32>,
        x: &Buffer<f32>,
        y: &mut Buffer<f32>,
    ) -> Result<(), CudaError> {
        let n = self.check(p, x)?;
        check_len("outputs of the net", y.len(), n * self.shape.outputs())?;
        let tiles = Tiles::new(self.stream.device().info(), n, self.shape.widest(), 0)?;
        let (variant, tile) = tiles.of(self.precision);
        let (rows, ld) = (tile.rows as i32, tile.ld as i32);
        self.pack(p, 1)?;
        let packed = &self.packed[0];
        // SAFETY: all lengths are checked above.
        unsafe {
            mlp_forward(&self.stream, tile.grid, variant, &self.net, rows, ld, n as i32, p, packed, x, y)
        }
    }

    /// Sets `x_bar = y_barᵀ ∂y/∂x`, `[n, inputs]`, and `p_bar = y_barᵀ ∂y/∂p`, summed over the rows. The layers are computed again.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn backward(
        &mut self,
        p: &Buffer<f32>,
        x: &Buffer<f32>,
        y_bar: &Buffer<f32>,
        x_bar: &mut Buffer<f32>,
        p_bar: &mut Buffer<f32>,
    ) -> Result<(), CudaError> {
        let n = self.check(p, x)?;
        check_len("adjoints of the outputs", y_bar.len(), n * self.shape.outputs())?;
        check_len("adjoints of the inputs", x_bar.len(), n * self.shape.inputs())?;
        let tile = Tile::new(self.stream.device().info(), n, self.shape.widest(), 0)?;
        let (rows, ld, precision) = (tile.rows as i32, tile.ld as i32, self.precision);
        self.pack(p, 2)?;
        let (stream, net, n32, kept, [packed, back]) =
            (&self.stream, &self.net, n as i32, &mut self.kept, &self.packed);
        // SAFETY: all lengths are checked above; `kept` has room for `max_rows` rows.
        unsafe {
            mlp_backward(
                stream, tile.grid, precision, net, rows, ld, n32, p, packed, back, x, y_bar, x_bar, kept,
            )?;
        }
        self.slabs.clear()?;
        self.slabs.add(&self.stream, precision, &self.gradient, n, &self.kept)?;
        self.slabs.total(&self.stream, p_bar)
    }

    /// The number of rows.
    fn check(&self, p: &Buffer<f32>, x: &Buffer<f32>) -> Result<usize, CudaError> {
        check_len("parameters of the net", p.len(), self.shape.n_params())?;
        let n = x.len() / self.shape.inputs(); // at least one, checked when it was made
        check_len("inputs of the net", x.len(), n * self.shape.inputs())?;
        crate::error::at_most("rows", n, self.max_rows)?;
        Ok(n)
    }
}
