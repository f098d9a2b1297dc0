//! Launchers of `energy.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::Kernel;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// sums [n]: sum over j of w_j |x_i - y_j|; pull [n, d]: sum over j of w_j (x_i - y_j) / |x_i - y_j|, not wanted where `with_pull`
// is zero. With `by_cell`, pairs of points that stem from one cell are left out.
// Shared memory: 64 and 32 points of d + 1, two tiles of 64 by 33, 64 pulls of d.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn energy_rows(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    m: i32,
    with_pull: i32,
    by_cell: i32,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    w: &Buffer<f32>,
    x_cells: &Buffer<u32>,
    y_cells: &Buffer<u32>,
    sums: &mut Buffer<f32>,
    pull: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    w.must_be_of(stream, "w")?;
    x_cells.must_be_of(stream, "x_cells")?;
    y_cells.must_be_of(stream, "y_cells")?;
    sums.must_be_of(stream, "sums")?;
    pull.must_be_of(stream, "pull")?;
    let x = x.address();
    let y = y.address();
    let w = w.address();
    let x_cells = x_cells.address();
    let y_cells = y_cells.address();
    let sums = sums.address();
    let pull = pull.address();
    let kernel = Kernel::EnergyRows;
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const with_pull).cast_mut().cast(),
        (&raw const by_cell).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const w).cast_mut().cast(),
        (&raw const x_cells).cast_mut().cast(),
        (&raw const y_cells).cast_mut().cast(),
        (&raw const sums).cast_mut().cast(),
        (&raw const pull).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
