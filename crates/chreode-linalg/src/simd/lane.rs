//! SIMD vectors of `f32` and `f64` behind one private trait, and the way from a public `T: Real` to it.

use std::any::TypeId;

use bytemuck::Pod;
use chreode_core::Real;
use pulp::Simd;
#[cfg(target_arch = "x86_64")]
use pulp::x86::V4;

#[cfg(target_arch = "x86_64")]
use super::masked;

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
    /// A register from a slice that may be shorter; zeros behind it.
    fn load<S: Simd>(simd: S, from: &[Self]) -> Self::V<S>;
    /// The first lanes of a register to a slice that may be shorter.
    fn store<S: Simd>(simd: S, to: &mut [Self], x: Self::V<S>);
    /// Lanes in a register.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::V<S>>() / size_of::<Self>()
    }
}

/// `simd` as what it is.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code, reason = "generic code cannot name the type that it has at hand")]
fn is_v4<S: Simd>(_simd: S) -> V4 {
    assert!(TypeId::of::<S>() == TypeId::of::<V4>());
    // SAFETY: `_simd` is a V4, and no V4 exists where the processor lacks AVX-512.
    unsafe { V4::new_unchecked() }
}

macro_rules! lane {
    ($t:ident, $v:ident, $splat:ident, $fma:ident, $add:ident, $sub:ident, $load:ident, $store:ident) => {
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
            #[inline(always)]
            fn load<S: Simd>(simd: S, from: &[Self]) -> S::$v {
                #[cfg(target_arch = "x86_64")]
                if TypeId::of::<S>() == TypeId::of::<V4>() {
                    return bytemuck::cast(masked::$load(is_v4(simd), bytemuck::cast_slice(from)));
                }
                let mut x = simd.$splat(0.0);
                copy_few(from, bytemuck::cast_slice_mut(std::slice::from_mut(&mut x)));
                x
            }
            #[inline(always)]
            fn store<S: Simd>(simd: S, to: &mut [Self], x: S::$v) {
                #[cfg(target_arch = "x86_64")]
                if TypeId::of::<S>() == TypeId::of::<V4>() {
                    return masked::$store(is_v4(simd), bytemuck::cast_slice_mut(to), bytemuck::cast(x));
                }
                let _ = simd;
                copy_few(bytemuck::cast_slice(std::slice::from_ref(&x)), to);
            }
        }
    };
}
lane!(f32, f32s, splat_f32s, mul_add_e_f32s, add_f32s, sub_f32s, load_32, store_32);
lane!(f64, f64s, splat_f64s, mul_add_e_f64s, add_f64s, sub_f64s, load_64, store_64);

/// The first numbers of a slice to another, as many as both have, in pieces whose lengths the compiler knows: a copy of any length is a
/// call, which takes longer than what else is done with a part of a register.
#[inline(always)]
pub(super) fn copy_few<T: Copy>(from: &[T], to: &mut [T]) {
    let len = from.len().min(to.len());
    let mut at = 0;
    while len - at >= 8 {
        to[at..at + 8].copy_from_slice(&from[at..at + 8]);
        at += 8;
    }
    if len & 4 != 0 {
        to[at..at + 4].copy_from_slice(&from[at..at + 4]);
        at += 4;
    }
    if len & 2 != 0 {
        to[at..at + 2].copy_from_slice(&from[at..at + 2]);
        at += 2;
    }
    if len & 1 != 0 {
        to[at] = from[at];
    }
}

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
    /// What it holds, in whole lines.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn view<T: Pod>(&self) -> &[T] {
        bytemuck::cast_slice(&self.0)
    }

    /// How many numbers it holds.
    #[cfg(test)]
    pub(crate) fn len<T: Pod>(&self) -> usize {
        self.0.len() * (64 / size_of::<T>())
    }

    /// Room for `len` numbers; allocates only if it never was so large. The content is arbitrary.
    pub(crate) fn get<T: Pod>(&mut self, len: usize) -> &mut [T] {
        let lines = (len * size_of::<T>()).div_ceil(64);
        if self.0.len() < lines {
            self.0.resize(lines, bytemuck::Zeroable::zeroed());
        }
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }
}
