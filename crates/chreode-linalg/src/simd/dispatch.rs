//! Code of other crates on the best instruction set of the machine.

use std::sync::LazyLock;

use pulp::{Arch, Simd, WithSimd};

use super::slices::has_fma;

/// A computation that is to run on the best instruction set of the machine.
///
/// `ISA` is the number of doubles in a register with fused multiply-add: 8 (AVX-512), 4 (AVX2), 2 (NEON); 0 without.
/// Number types carry it, so that a generic function has one instance, and one caller, for each instruction set.
pub trait Kernel {
    /// The result.
    type Output;
    /// Runs it. Mark it `#[inline(always)]`, and all that it calls: what is not inlined is compiled for the oldest
    /// processors, with the same results at half the speed.
    fn run<const ISA: u8>(self) -> Self::Output;
}

/// The machine's: a kernel may be as short as twenty nanoseconds, and finding it out again takes about as long.
pub(super) static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Runs a [`Kernel`].
#[inline]
pub fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    ARCH.dispatch(Run(kernel))
}

/// Bytes in a register of the best instruction set.
pub(crate) fn register_bytes() -> usize {
    struct Bytes;
    impl WithSimd for Bytes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            size_of::<S::f32s>()
        }
    }
    Arch::new().dispatch(Bytes)
}

struct Run<K>(K);

impl<K: Kernel> WithSimd for Run<K> {
    type Output = K::Output;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> K::Output {
        match const { size_of::<S::f64s>() } {
            64 if has_fma::<S>() => self.0.run::<8>(),
            32 if has_fma::<S>() => self.0.run::<4>(),
            16 if has_fma::<S>() => self.0.run::<2>(),
            _ => self.0.run::<0>(),
        }
    }
}
