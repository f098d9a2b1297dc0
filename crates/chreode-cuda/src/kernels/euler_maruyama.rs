//! Launchers of `euler_maruyama.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Kernel, Sde, Variant};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// observed [observations, n, d], log_weights [observations, n], path [steps, n, d] (states before the steps; not wanted where the
// length `path_steps` is zero), failed [n]: the number of the step after which a state or log-weight was not finite, or -1.
// Shared memory: two tiles of activations (one in a large tile), three tiles of d columns, one of one column.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn em_forward(
    stream: &Stream,
    grid: Grid,
    variant: Variant,
    sde: &Buffer<Sde>,
    rows: i32,
    ld: i32,
    n: i32,
    steps: i32,
    path_steps: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    units: &Buffer<f32>,
    lengths: &Buffer<f32>,
    observe: &Buffer<i32>,
    key0: u32,
    key1: u32,
    trajectory: u64,
    start: &Buffer<f32>,
    observed: &mut Buffer<f32>,
    log_weights: &mut Buffer<f32>,
    path: &mut Buffer<f32>,
    failed: &mut Buffer<i32>,
) -> Result<(), CudaError> {
    sde.must_be_of(stream, "sde")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    units.must_be_of(stream, "units")?;
    lengths.must_be_of(stream, "lengths")?;
    observe.must_be_of(stream, "observe")?;
    start.must_be_of(stream, "start")?;
    observed.must_be_of(stream, "observed")?;
    log_weights.must_be_of(stream, "log_weights")?;
    path.must_be_of(stream, "path")?;
    failed.must_be_of(stream, "failed")?;
    let sde = sde.address();
    let p = p.address();
    let packed = packed.address();
    let units = units.address();
    let lengths = lengths.address();
    let observe = observe.address();
    let start = start.address();
    let observed = observed.address();
    let log_weights = log_weights.address();
    let path = path.address();
    let failed = failed.address();
    let kernel = match variant {
        Variant::F32 => Kernel::EmForwardF32,
        Variant::Tf32 => Kernel::EmForwardTf32,
        Variant::Bf16 => Kernel::EmForwardBf16,
        Variant::Tf32Large => Kernel::EmForwardTf32Large,
        Variant::Bf16Large => Kernel::EmForwardBf16Large,
    };
    let mut arguments = [
        (&raw const sde).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const path_steps).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const units).cast_mut().cast(),
        (&raw const lengths).cast_mut().cast(),
        (&raw const observe).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const trajectory).cast_mut().cast(),
        (&raw const start).cast_mut().cast(),
        (&raw const observed).cast_mut().cast(),
        (&raw const log_weights).cast_mut().cast(),
        (&raw const path).cast_mut().cast(),
        (&raw const failed).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
