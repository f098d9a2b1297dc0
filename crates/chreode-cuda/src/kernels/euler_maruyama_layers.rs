//! Launchers of `euler_maruyama_layers.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Kernel, Sde, Variant};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// Layers of `total` rows, `n` a step from `begin` on, of the states in path [steps, n, d], as the way back wants them (see `Kept`): of each net the inputs of
// every layer and the slopes of hidden ones, and what the nets of noise and growth give, in the place of their last layer's adjoints. `block_index_y()` is
// the net. Units and lengths are those of `euler_maruyama.cu`.
// Shared memory: two tiles of activations (one in a large tile).
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn em_layers(
    stream: &Stream,
    grid: Grid,
    variant: Variant,
    sde: &Buffer<Sde>,
    rows: i32,
    ld: i32,
    n: i32,
    total: i32,
    steps: i32,
    begin: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    units: &Buffer<f32>,
    lengths: &Buffer<f32>,
    path: &Buffer<f32>,
    drift: &mut Buffer<f32>,
    noise: &mut Buffer<f32>,
    growth: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    sde.must_be_of(stream, "sde")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    units.must_be_of(stream, "units")?;
    lengths.must_be_of(stream, "lengths")?;
    path.must_be_of(stream, "path")?;
    drift.must_be_of(stream, "drift")?;
    noise.must_be_of(stream, "noise")?;
    growth.must_be_of(stream, "growth")?;
    let sde = sde.address();
    let p = p.address();
    let packed = packed.address();
    let units = units.address();
    let lengths = lengths.address();
    let path = path.address();
    let drift = drift.address();
    let noise = noise.address();
    let growth = growth.address();
    let kernel = match variant {
        Variant::F32 => Kernel::EmLayersF32,
        Variant::Tf32 => Kernel::EmLayersTf32,
        Variant::Bf16 => Kernel::EmLayersBf16,
        Variant::Tf32Large => Kernel::EmLayersTf32Large,
        Variant::Bf16Large => Kernel::EmLayersBf16Large,
    };
    let mut arguments = [
        (&raw const sde).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const total).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const begin).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const units).cast_mut().cast(),
        (&raw const lengths).cast_mut().cast(),
        (&raw const path).cast_mut().cast(),
        (&raw const drift).cast_mut().cast(),
        (&raw const noise).cast_mut().cast(),
        (&raw const growth).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
