//! Launchers of `gradient.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::Kernel;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// Adds to slab `block_index_y()` of `slabs` [splits, parameters], at `offset`, the gradient of one layer, [outs][inner] and then [outs], from
// the rows of the split: sum of z_bar^T x, and of z_bar. The rows' inputs x, [total, inner], and adjoints z_bar, [total, outs], begin at
// `x_at` and `z_at` of `kept`. A block owns a tile of 64 columns of both; the bias is the column after the last input.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn layer_gradient(
    stream: &Stream,
    grid: Grid,
    inner: i32,
    outs: i32,
    total: i32,
    per_split: i32,
    parameters: i32,
    offset: i32,
    x_at: u64,
    z_at: u64,
    kept: &Buffer<f32>,
    slabs: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    kept.must_be_of(stream, "kept")?;
    slabs.must_be_of(stream, "slabs")?;
    let kept = kept.address();
    let slabs = slabs.address();
    let kernel = Kernel::LayerGradient;
    let mut arguments = [
        (&raw const inner).cast_mut().cast(),
        (&raw const outs).cast_mut().cast(),
        (&raw const total).cast_mut().cast(),
        (&raw const per_split).cast_mut().cast(),
        (&raw const parameters).cast_mut().cast(),
        (&raw const offset).cast_mut().cast(),
        (&raw const x_at).cast_mut().cast(),
        (&raw const z_at).cast_mut().cast(),
        (&raw const kept).cast_mut().cast(),
        (&raw const slabs).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// Second stage: total [parameters] is the sum of the slabs, in their order.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn add_slabs(
    stream: &Stream,
    grid: Grid,
    splits: i32,
    parameters: i32,
    slabs: &Buffer<f32>,
    total: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    slabs.must_be_of(stream, "slabs")?;
    total.must_be_of(stream, "total")?;
    let slabs = slabs.address();
    let total = total.address();
    let kernel = Kernel::AddSlabs;
    let mut arguments = [
        (&raw const splits).cast_mut().cast(),
        (&raw const parameters).cast_mut().cast(),
        (&raw const slabs).cast_mut().cast(),
        (&raw const total).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
