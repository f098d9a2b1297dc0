//! Launchers of `euler_maruyama_back.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Kernel, Sde};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::ops::Precision;

// Steps last - 1 down to begin of the way back, for a chunk whose kept layers fit the memory. lambda [n, d] and omega [n] are the
// adjoints of states and log-weights after the chunk, and then before it. The rows of a chunk are numbered (step - begin) n + row.
// `back` is packed for the way back. drift, noise and growth hold what `em_layers` left, and then the inputs and adjoints of every layer (see `Kept`);
// `layer_gradient` sums over them.
// Shared memory: two tiles of activations, two tiles of d columns.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn em_backward(
    stream: &Stream,
    grid: Grid,
    precision: Precision,
    sde: &Buffer<Sde>,
    rows: i32,
    ld: i32,
    n: i32,
    steps: i32,
    begin: i32,
    last: i32,
    back: &Buffer<f32>,
    units: &Buffer<f32>,
    lengths: &Buffer<f32>,
    observe: &Buffer<i32>,
    key0: u32,
    key1: u32,
    trajectory: u64,
    state_bar: &Buffer<f32>,
    weight_bar: &Buffer<f32>,
    lambda: &mut Buffer<f32>,
    omega: &mut Buffer<f32>,
    drift: &mut Buffer<f32>,
    noise: &mut Buffer<f32>,
    growth: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    sde.must_be_of(stream, "sde")?;
    back.must_be_of(stream, "back")?;
    units.must_be_of(stream, "units")?;
    lengths.must_be_of(stream, "lengths")?;
    observe.must_be_of(stream, "observe")?;
    state_bar.must_be_of(stream, "state_bar")?;
    weight_bar.must_be_of(stream, "weight_bar")?;
    lambda.must_be_of(stream, "lambda")?;
    omega.must_be_of(stream, "omega")?;
    drift.must_be_of(stream, "drift")?;
    noise.must_be_of(stream, "noise")?;
    growth.must_be_of(stream, "growth")?;
    let sde = sde.address();
    let back = back.address();
    let units = units.address();
    let lengths = lengths.address();
    let observe = observe.address();
    let state_bar = state_bar.address();
    let weight_bar = weight_bar.address();
    let lambda = lambda.address();
    let omega = omega.address();
    let drift = drift.address();
    let noise = noise.address();
    let growth = growth.address();
    let kernel = match precision {
        Precision::F32 => Kernel::EmBackwardF32,
        Precision::Tf32 => Kernel::EmBackwardTf32,
        Precision::Bf16 => Kernel::EmBackwardBf16,
    };
    let mut arguments = [
        (&raw const sde).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const begin).cast_mut().cast(),
        (&raw const last).cast_mut().cast(),
        (&raw const back).cast_mut().cast(),
        (&raw const units).cast_mut().cast(),
        (&raw const lengths).cast_mut().cast(),
        (&raw const observe).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const trajectory).cast_mut().cast(),
        (&raw const state_bar).cast_mut().cast(),
        (&raw const weight_bar).cast_mut().cast(),
        (&raw const lambda).cast_mut().cast(),
        (&raw const omega).cast_mut().cast(),
        (&raw const drift).cast_mut().cast(),
        (&raw const noise).cast_mut().cast(),
        (&raw const growth).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
