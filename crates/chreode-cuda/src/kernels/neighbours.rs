//! Launchers of `neighbours.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::Kernel;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// Of split s, which is block_index_y(), with the points from s per_split on: indices and squares [splits, n, k], nearest first; of equal
// distances the smaller index is the nearer. k <= 32. `skip` leaves out the point with the query's own number.
// Shared memory: 64 lists of 32 squares and numbers; and 64 by 128 squares, where 32 by 68 and 32 by 132 coordinates are before.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn nearest_of_split(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    m: i32,
    k: i32,
    skip: i32,
    per_split: i32,
    queries: &Buffer<f32>,
    points: &Buffer<f32>,
    indices: &mut Buffer<u32>,
    squares: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    queries.must_be_of(stream, "queries")?;
    points.must_be_of(stream, "points")?;
    indices.must_be_of(stream, "indices")?;
    squares.must_be_of(stream, "squares")?;
    let queries = queries.address();
    let points = points.address();
    let indices = indices.address();
    let squares = squares.address();
    let kernel = Kernel::NearestOfSplit;
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const k).cast_mut().cast(),
        (&raw const skip).cast_mut().cast(),
        (&raw const per_split).cast_mut().cast(),
        (&raw const queries).cast_mut().cast(),
        (&raw const points).cast_mut().cast(),
        (&raw const indices).cast_mut().cast(),
        (&raw const squares).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// indices and distances [n, k] from those of the splits, in their order; a warp owns a query.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn merge_nearest(
    stream: &Stream,
    grid: Grid,
    n: i32,
    k: i32,
    splits: i32,
    split_indices: &Buffer<u32>,
    split_squares: &Buffer<f32>,
    indices: &mut Buffer<u32>,
    distances: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    split_indices.must_be_of(stream, "split_indices")?;
    split_squares.must_be_of(stream, "split_squares")?;
    indices.must_be_of(stream, "indices")?;
    distances.must_be_of(stream, "distances")?;
    let split_indices = split_indices.address();
    let split_squares = split_squares.address();
    let indices = indices.address();
    let distances = distances.address();
    let kernel = Kernel::MergeNearest;
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const k).cast_mut().cast(),
        (&raw const splits).cast_mut().cast(),
        (&raw const split_indices).cast_mut().cast(),
        (&raw const split_squares).cast_mut().cast(),
        (&raw const indices).cast_mut().cast(),
        (&raw const distances).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
