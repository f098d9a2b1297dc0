//! Random numbers: the words are those of `chreode-core`, the normals agree to rounding.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::Grid;
use crate::error::{check_len, int};
use crate::kernels;

/// Sets `dw`, `[n, d]`, to Brownian increments over a step of length `h`: independent, normal, variance `h`.
///
/// Row `i` belongs to trajectory `first_trajectory + i`; the seed, the step, the trajectory and the coordinate name a number.
///
/// # Errors
/// [`CudaError::Shape`] if `dw` is not `[n, d]`; the launch's.
pub fn brownian_increments(
    seed: u64,
    step: u32,
    first_trajectory: u64,
    d: usize,
    h: f64,
    dw: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    let n = dw.len() / d.max(1);
    check_len("increments", dw.len(), n * d)?;
    let stream = dw.stream().clone();
    let (grid, scale) = (Grid::per_item(n * d.div_ceil(4)), h.sqrt() as f32);
    let (n, d) = (int("rows", n)?, int("coordinates", d)?);
    let key = key(seed);
    // SAFETY: `dw` is [n, d].
    unsafe {
        kernels::brownian_increments(&stream, grid, n, d, step, first_trajectory, key[0], key[1], scale, dw)
    }
}

/// Sets `words`, `[n, 4]`, to the Philox4x32-10 words of `counters`, `[n, 4]`.
///
/// # Errors
/// [`CudaError::Shape`], [`CudaError::OtherStream`]; the launch's.
pub fn philox_words(seed: u64, counters: &Buffer<u32>, words: &mut Buffer<u32>) -> Result<(), CudaError> {
    check_len("words", words.len(), counters.len())?;
    let stream = words.stream().clone();
    let n = words.len() / 4;
    check_len("words (a multiple of 4)", words.len(), 4 * n)?;
    let (grid, n) = (Grid::per_item(n), int("counters", n)?);
    let [key0, key1] = key(seed);
    // SAFETY: both are [n, 4].
    unsafe { kernels::philox_words(&stream, grid, n, key0, key1, counters, words) }
}

/// The generator's key.
pub(crate) fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}
