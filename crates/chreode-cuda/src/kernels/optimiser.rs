//! Launchers of `optimiser.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::Kernel;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// step = rate / (1 - beta1^k), unbias = 1 / sqrt(1 - beta2^k), keep = 1 - rate decay.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn adam(
    stream: &Stream,
    grid: Grid,
    n: i32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    epsilon: f32,
    step: f32,
    unbias: f32,
    keep: f32,
    gradient: &Buffer<f32>,
    first: &mut Buffer<f32>,
    second: &mut Buffer<f32>,
    p: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    gradient.must_be_of(stream, "gradient")?;
    first.must_be_of(stream, "first")?;
    second.must_be_of(stream, "second")?;
    p.must_be_of(stream, "p")?;
    let gradient = gradient.address();
    let first = first.address();
    let second = second.address();
    let p = p.address();
    let kernel = Kernel::Adam;
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const beta1).cast_mut().cast(),
        (&raw const rest1).cast_mut().cast(),
        (&raw const beta2).cast_mut().cast(),
        (&raw const rest2).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const step).cast_mut().cast(),
        (&raw const unbias).cast_mut().cast(),
        (&raw const keep).cast_mut().cast(),
        (&raw const gradient).cast_mut().cast(),
        (&raw const first).cast_mut().cast(),
        (&raw const second).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// No velocities are kept without momentum.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn rmsprop(
    stream: &Stream,
    grid: Grid,
    n: i32,
    alpha: f32,
    rest: f32,
    epsilon: f32,
    rate: f32,
    momentum: f32,
    gradient: &Buffer<f32>,
    velocity: &mut Buffer<f32>,
    second: &mut Buffer<f32>,
    p: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    gradient.must_be_of(stream, "gradient")?;
    velocity.must_be_of(stream, "velocity")?;
    second.must_be_of(stream, "second")?;
    p.must_be_of(stream, "p")?;
    let gradient = gradient.address();
    let velocity = velocity.address();
    let second = second.address();
    let p = p.address();
    let kernel = Kernel::Rmsprop;
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const alpha).cast_mut().cast(),
        (&raw const rest).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const rate).cast_mut().cast(),
        (&raw const momentum).cast_mut().cast(),
        (&raw const gradient).cast_mut().cast(),
        (&raw const velocity).cast_mut().cast(),
        (&raw const second).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
