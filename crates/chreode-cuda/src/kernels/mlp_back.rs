//! Launchers of `mlp_back.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Kernel, Net};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::ops::Precision;

// x_bar [n, in] from y_bar [n, out]; `back` is packed for the way back. Leaves in `kept` the inputs and adjoints of every layer for `layer_gradient`.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn mlp_backward(
    stream: &Stream,
    grid: Grid,
    precision: Precision,
    net: &Buffer<Net>,
    rows: i32,
    ld: i32,
    n: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    back: &Buffer<f32>,
    x: &Buffer<f32>,
    y_bar: &Buffer<f32>,
    x_bar: &mut Buffer<f32>,
    kept: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    back.must_be_of(stream, "back")?;
    x.must_be_of(stream, "x")?;
    y_bar.must_be_of(stream, "y_bar")?;
    x_bar.must_be_of(stream, "x_bar")?;
    kept.must_be_of(stream, "kept")?;
    let net = net.address();
    let p = p.address();
    let packed = packed.address();
    let back = back.address();
    let x = x.address();
    let y_bar = y_bar.address();
    let x_bar = x_bar.address();
    let kept = kept.address();
    let kernel = match precision {
        Precision::F32 => Kernel::MlpBackwardF32,
        Precision::Tf32 => Kernel::MlpBackwardTf32,
        Precision::Bf16 => Kernel::MlpBackwardBf16,
    };
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const back).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y_bar).cast_mut().cast(),
        (&raw const x_bar).cast_mut().cast(),
        (&raw const kept).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
