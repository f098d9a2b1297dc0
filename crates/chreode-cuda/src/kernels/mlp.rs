//! Launchers of `mlp.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Kernel, Net, Variant};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// y [n, out] from x [n, in]; a block owns `rows` rows. Shared memory: two tiles of activations (one in a large tile).
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn mlp_forward(
    stream: &Stream,
    grid: Grid,
    variant: Variant,
    net: &Buffer<Net>,
    rows: i32,
    ld: i32,
    n: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    let net = net.address();
    let p = p.address();
    let packed = packed.address();
    let x = x.address();
    let y = y.address();
    let kernel = match variant {
        Variant::F32 => Kernel::MlpForwardF32,
        Variant::Tf32 => Kernel::MlpForwardTf32,
        Variant::Bf16 => Kernel::MlpForwardBf16,
        Variant::Tf32Large => Kernel::MlpForwardTf32Large,
        Variant::Bf16Large => Kernel::MlpForwardBf16Large,
    };
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
