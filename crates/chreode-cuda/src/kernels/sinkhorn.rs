//! Launchers of `sinkhorn.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::Kernel;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// out [n] = -epsilon ln sum over j of exp((h_j - cost(x_i, y_j)) / epsilon), where h_j holds epsilon ln(weight). A lane has a running
// maximum and sum for each of its rows. With `average`, out becomes the mean of what it was and this.
// Shared memory: 16 and 128 points of d, rounded up to odd.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn softmin_rows(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    n: i32,
    m: i32,
    average: i32,
    epsilon: f32,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    h: &Buffer<f32>,
    out: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    h.must_be_of(stream, "h")?;
    out.must_be_of(stream, "out")?;
    let x = x.address();
    let y = y.address();
    let h = h.address();
    let out = out.address();
    let kernel = Kernel::SoftminRows;
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const average).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const h).cast_mut().cast(),
        (&raw const out).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// With pi_ij = exp((f_i + h_j - cost) / epsilon), h_j with epsilon ln(weight): mass [n] = sum over j of pi, and pull [n, d] = sum over j
// of pi times the cost's gradient in x_i, not wanted where `with_pull` is zero.
// Shared memory: 16 and 128 points of d, rounded up to odd, a tile of 16 by 129, 16 pulls of d.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn transport_rows(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    n: i32,
    m: i32,
    with_pull: i32,
    epsilon: f32,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    f: &Buffer<f32>,
    h: &Buffer<f32>,
    mass: &mut Buffer<f32>,
    pull: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    f.must_be_of(stream, "f")?;
    h.must_be_of(stream, "h")?;
    mass.must_be_of(stream, "mass")?;
    pull.must_be_of(stream, "pull")?;
    let x = x.address();
    let y = y.address();
    let f = f.address();
    let h = h.address();
    let mass = mass.address();
    let pull = pull.address();
    let kernel = Kernel::TransportRows;
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const with_pull).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const f).cast_mut().cast(),
        (&raw const h).cast_mut().cast(),
        (&raw const mass).cast_mut().cast(),
        (&raw const pull).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// h [n] = potential [n] + epsilon ln(weight [n]); a weight of zero takes no part.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn weighted_potential(
    stream: &Stream,
    grid: Grid,
    n: i32,
    epsilon: f32,
    potential: &Buffer<f32>,
    weight: &Buffer<f32>,
    h: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    potential.must_be_of(stream, "potential")?;
    weight.must_be_of(stream, "weight")?;
    h.must_be_of(stream, "h")?;
    let potential = potential.address();
    let weight = weight.address();
    let h = h.address();
    let kernel = Kernel::WeightedPotential;
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const potential).cast_mut().cast(),
        (&raw const weight).cast_mut().cast(),
        (&raw const h).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
