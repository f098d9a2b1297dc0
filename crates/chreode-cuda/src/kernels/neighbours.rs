//! Launchers of `neighbours.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::Kernel;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// indices and distances [n, k], nearest first; of equal distances the smaller index is the nearer. m >= k, k <= 32.
// `skip` leaves out the point with the query's own number. Shared memory: 32 points of d + 1.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn nearest(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    m: i32,
    k: i32,
    skip: i32,
    queries: &Buffer<f32>,
    points: &Buffer<f32>,
    indices: &mut Buffer<u32>,
    distances: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    queries.must_be_of(stream, "queries")?;
    points.must_be_of(stream, "points")?;
    indices.must_be_of(stream, "indices")?;
    distances.must_be_of(stream, "distances")?;
    let queries = queries.address();
    let points = points.address();
    let indices = indices.address();
    let distances = distances.address();
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const k).cast_mut().cast(),
        (&raw const skip).cast_mut().cast(),
        (&raw const queries).cast_mut().cast(),
        (&raw const points).cast_mut().cast(),
        (&raw const indices).cast_mut().cast(),
        (&raw const distances).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::Nearest, grid, &mut arguments) }
}
