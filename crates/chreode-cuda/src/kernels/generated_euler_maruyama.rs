//! Launchers of `generated_euler_maruyama.cuh`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, OwnKernel, Stream};

// start [n, d]; times [steps] where the steps begin, lengths [2, steps]: h, sqrt(h); observe [steps]: the observation that a step ends at, or -1;
// p [parameters], or [n, parameters] with `each`. Row i is trajectory `trajectory + i` of the noise.
// observed [observations, n, d]; failed [n]: the number of the step after which a state was not finite, or -1.
// Shared memory: 3 d floats a thread.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn generated_euler_maruyama(
    stream: &Stream,
    grid: Grid,
    kernel: &OwnKernel,
    n: i32,
    steps: i32,
    each: i32,
    key0: u32,
    key1: u32,
    trajectory: u64,
    p: &Buffer<f32>,
    start: &Buffer<f32>,
    times: &Buffer<f64>,
    lengths: &Buffer<f32>,
    observe: &Buffer<i32>,
    observed: &mut Buffer<f32>,
    failed: &mut Buffer<i32>,
) -> Result<(), CudaError> {
    p.must_be_of(stream, "p")?;
    start.must_be_of(stream, "start")?;
    times.must_be_of(stream, "times")?;
    lengths.must_be_of(stream, "lengths")?;
    observe.must_be_of(stream, "observe")?;
    observed.must_be_of(stream, "observed")?;
    failed.must_be_of(stream, "failed")?;
    let p = p.address();
    let start = start.address();
    let times = times.address();
    let lengths = lengths.address();
    let observe = observe.address();
    let observed = observed.address();
    let failed = failed.address();
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const each).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const trajectory).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const start).cast_mut().cast(),
        (&raw const times).cast_mut().cast(),
        (&raw const lengths).cast_mut().cast(),
        (&raw const observe).cast_mut().cast(),
        (&raw const observed).cast_mut().cast(),
        (&raw const failed).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { kernel.launch(stream, grid, &mut arguments) }
}
