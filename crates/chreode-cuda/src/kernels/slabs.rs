//! Launchers of `slabs.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::Kernel;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// total [parameters] is the sum of the slabs [splits, parameters], in their order.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn add_slabs(
    stream: &Stream,
    grid: Grid,
    splits: i32,
    parameters: i32,
    slabs: &Buffer<f32>,
    total: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    slabs.must_be_of(stream, "slabs")?;
    total.must_be_of(stream, "total")?;
    let slabs = slabs.address();
    let total = total.address();
    let kernel = Kernel::AddSlabs;
    let mut arguments = [
        (&raw const splits).cast_mut().cast(),
        (&raw const parameters).cast_mut().cast(),
        (&raw const slabs).cast_mut().cast(),
        (&raw const total).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
