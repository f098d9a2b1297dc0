//! Launchers of `generated_tsit5.cuh`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, OwnKernel, Stream};

// start [n, d]; times [saves + 1], ascending, the first is where the run starts; p [parameters], or [n, parameters] with `each`.
// saved [saves, n, d] at the times after the first, steps [2, n] and status [n] as in `solve_row`.
// Shared memory: 9 d floats a thread.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn generated_tsit5(
    stream: &Stream,
    grid: Grid,
    kernel: &OwnKernel,
    n: i32,
    saves: i32,
    each: i32,
    max_steps: i32,
    rtol: f32,
    atol: f32,
    p: &Buffer<f32>,
    start: &Buffer<f32>,
    times: &Buffer<f64>,
    saved: &mut Buffer<f32>,
    steps: &mut Buffer<i32>,
    status: &mut Buffer<i32>,
) -> Result<(), CudaError> {
    p.must_be_of(stream, "p")?;
    start.must_be_of(stream, "start")?;
    times.must_be_of(stream, "times")?;
    saved.must_be_of(stream, "saved")?;
    steps.must_be_of(stream, "steps")?;
    status.must_be_of(stream, "status")?;
    let p = p.address();
    let start = start.address();
    let times = times.address();
    let saved = saved.address();
    let steps = steps.address();
    let status = status.address();
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const saves).cast_mut().cast(),
        (&raw const each).cast_mut().cast(),
        (&raw const max_steps).cast_mut().cast(),
        (&raw const rtol).cast_mut().cast(),
        (&raw const atol).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const start).cast_mut().cast(),
        (&raw const times).cast_mut().cast(),
        (&raw const saved).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const status).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { kernel.launch(stream, grid, &mut arguments) }
}
