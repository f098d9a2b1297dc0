//! Launchers of `mlp.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Kernel, Net};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// Packs the weights of a net, in the order in which products read them.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn pack_net(
    stream: &Stream,
    grid: Grid,
    net: &Buffer<Net>,
    transposed: i32,
    p: &Buffer<f32>,
    packed: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    let net = net.address();
    let p = p.address();
    let packed = packed.address();
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const transposed).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::PackNet, grid, &mut arguments) }
}

// y [n, out] from x [n, in]; a block owns `rows` rows. Shared memory: two tiles of activations.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn mlp_forward(
    stream: &Stream,
    grid: Grid,
    net: &Buffer<Net>,
    rows: i32,
    ld: i32,
    n: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    let net = net.address();
    let p = p.address();
    let packed = packed.address();
    let x = x.address();
    let y = y.address();
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::MlpForward, grid, &mut arguments) }
}

// x_bar [n, in] from y_bar [n, out]; `back` is packed for the way back. Leaves in `kept` the inputs and adjoints of every layer for `layer_gradient`.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn mlp_backward(
    stream: &Stream,
    grid: Grid,
    net: &Buffer<Net>,
    rows: i32,
    ld: i32,
    n: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    back: &Buffer<f32>,
    x: &Buffer<f32>,
    y_bar: &Buffer<f32>,
    x_bar: &mut Buffer<f32>,
    kept: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    back.must_be_of(stream, "back")?;
    x.must_be_of(stream, "x")?;
    y_bar.must_be_of(stream, "y_bar")?;
    x_bar.must_be_of(stream, "x_bar")?;
    kept.must_be_of(stream, "kept")?;
    let net = net.address();
    let p = p.address();
    let packed = packed.address();
    let back = back.address();
    let x = x.address();
    let y_bar = y_bar.address();
    let x_bar = x_bar.address();
    let kept = kept.address();
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const back).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y_bar).cast_mut().cast(),
        (&raw const x_bar).cast_mut().cast(),
        (&raw const kept).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::MlpBackward, grid, &mut arguments) }
}

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
    unsafe { stream.launch(Kernel::LayerGradient, grid, &mut arguments) }
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
    let mut arguments = [
        (&raw const splits).cast_mut().cast(),
        (&raw const parameters).cast_mut().cast(),
        (&raw const slabs).cast_mut().cast(),
        (&raw const total).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::AddSlabs, grid, &mut arguments) }
}
