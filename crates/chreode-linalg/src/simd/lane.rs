//! SIMD vectors of `f32` and `f64` behind one private trait, and the way from a public `T: Real` to it.

use std::any::TypeId;

use bytemuck::Pod;
use chreode_core::Real;
use pulp::Simd;

/// A [`Real`] with its vector type on the instruction set `S`.
pub(crate) trait Lane: Real {
    /// A vector register.
    type V<S: Simd>: Pod;
    /// All lanes equal to `x`.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::V<S>;
    /// `a * b + c`, fused where the instruction set has it (so the bits are those of the machine).
    fn mul_add<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>, c: Self::V<S>) -> Self::V<S>;
    /// `a + b`.
    fn add_v<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// `a - b`.
    fn sub_v<S: Simd>(simd: S, a: Self::V<S>, b: Self::V<S>) -> Self::V<S>;
    /// Lanes in a register.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::V<S>>() / size_of::<Self>()
    }
}

macro_rules! lane {
    ($t:ident, $v:ident, $splat:ident, $fma:ident, $add:ident, $sub:ident) => {
        impl Lane for $t {
            type V<S: Simd> = S::$v;
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$v {
                simd.$splat(x)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(simd: S, a: S::$v, b: S::$v, c: S::$v) -> S::$v {
                simd.$fma(a, b, c)
            }
            #[inline(always)]
            fn add_v<S: Simd>(simd: S, a: S::$v, b: S::$v) -> S::$v {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn sub_v<S: Simd>(simd: S, a: S::$v, b: S::$v) -> S::$v {
                simd.$sub(a, b)
            }
        }
    };
}
lane!(f32, f32s, splat_f32s, mul_add_e_f32s, add_f32s, sub_f32s);
lane!(f64, f64s, splat_f64s, mul_add_e_f64s, add_f64s, sub_f64s);

/// Whether `T` is `f32` (else it is `f64`: [`Real`] is sealed). Folded at compile time.
#[inline(always)]
pub(crate) fn is_f32<T: Real>() -> bool {
    TypeId::of::<T>() == TypeId::of::<f32>()
}

/// A cache line: what buffers are made of, so that vectors never straddle two lines.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u8; 64]);

/// A growing buffer of `T` on cache-line boundaries.
#[derive(Clone, Default)]
pub(crate) struct AlignedBuf(Vec<Line>);

impl AlignedBuf {
    /// Room for `len` numbers; allocates only if it never was so large. The content is arbitrary.
    pub(crate) fn get<T: Pod>(&mut self, len: usize) -> &mut [T] {
        let lines = (len * size_of::<T>()).div_ceil(64);
        if self.0.len() < lines {
            self.0.resize(lines, bytemuck::Zeroable::zeroed());
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }
}
