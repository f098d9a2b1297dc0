//! Launchers of `pack.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Kernel, Net, Sde};
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
    precision: i32,
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
    let kernel = Kernel::PackNet;
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const precision).cast_mut().cast(),
        (&raw const transposed).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// Packs the weights of all nets, one behind the other, in the order in which products read them.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn pack_sde(
    stream: &Stream,
    grid: Grid,
    sde: &Buffer<Sde>,
    precision: i32,
    transposed: i32,
    p: &Buffer<f32>,
    packed: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    sde.must_be_of(stream, "sde")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    let sde = sde.address();
    let p = p.address();
    let packed = packed.address();
    let kernel = Kernel::PackSde;
    let mut arguments = [
        (&raw const sde).cast_mut().cast(),
        (&raw const precision).cast_mut().cast(),
        (&raw const transposed).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
