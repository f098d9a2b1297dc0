//! Launchers of `gradient.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Kernel, Net};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::ops::Precision;

// Adds to slab `block_index_y()` of `slabs` [splits, parameters], from rows `block_index_y()` per_split on of the `total` in `kept`, the gradient of the
// net's parameters: for each layer sum of z_bar^T x, [outs][inner], and of z_bar, [outs] (see `Kept`). A block owns a tile of one layer.
// Shared memory: GRADIENT_STAGES times two of [GRADIENT_STAGE][GRADIENT_LD].
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn layer_gradient(
    stream: &Stream,
    grid: Grid,
    precision: Precision,
    net: &Buffer<Net>,
    total: i32,
    per_split: i32,
    parameters: i32,
    kept: &Buffer<f32>,
    slabs: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    kept.must_be_of(stream, "kept")?;
    slabs.must_be_of(stream, "slabs")?;
    let net = net.address();
    let kept = kept.address();
    let slabs = slabs.address();
    let kernel = match precision {
        Precision::F32 => Kernel::LayerGradientF32,
        Precision::Tf32 => Kernel::LayerGradientTf32,
        Precision::Bf16 => Kernel::LayerGradientBf16,
    };
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const total).cast_mut().cast(),
        (&raw const per_split).cast_mut().cast(),
        (&raw const parameters).cast_mut().cast(),
        (&raw const kept).cast_mut().cast(),
        (&raw const slabs).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
