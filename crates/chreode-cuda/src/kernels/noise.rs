//! Launchers of `noise.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::Kernel;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// dw [n, d]: increments of variance scale^2; one thread a block of four coordinates.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn brownian_increments(
    stream: &Stream,
    grid: Grid,
    n: i32,
    d: i32,
    step: u32,
    first: u64,
    key0: u32,
    key1: u32,
    scale: f32,
    dw: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    dw.must_be_of(stream, "dw")?;
    let dw = dw.address();
    let kernel = Kernel::BrownianIncrements;
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const step).cast_mut().cast(),
        (&raw const first).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const scale).cast_mut().cast(),
        (&raw const dw).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// words [n, 4] of the counters [n, 4].
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn philox_words(
    stream: &Stream,
    grid: Grid,
    n: i32,
    key0: u32,
    key1: u32,
    counters: &Buffer<u32>,
    words: &mut Buffer<u32>,
) -> Result<(), CudaError> {
    counters.must_be_of(stream, "counters")?;
    words.must_be_of(stream, "words")?;
    let counters = counters.address();
    let words = words.address();
    let kernel = Kernel::PhiloxWords;
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const counters).cast_mut().cast(),
        (&raw const words).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
