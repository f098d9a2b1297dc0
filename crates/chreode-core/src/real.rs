//! The two floating-point types of states and parameters.

use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use crate::{Number, Single};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`: the type of a state coordinate. Sealed; constants are written `T::c(0.5)`.
pub trait Real:
    sealed::Sealed
    + Copy
    + Debug
    + Default
    + Display
    + PartialEq
    + PartialOrd
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + Sum
    + bytemuck::Pod
    + Send
    + Sync
    + 'static
{
    /// The same number as a model sees it.
    type Num: Number + Send + Sync;
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Distance from one to the next larger number.
    const EPSILON: Self;
    /// A constant, rounded to this type.
    fn c(x: f64) -> Self;
    /// The value as `f64` (exact).
    fn f64(self) -> f64;
    /// The same numbers, for a [`Dynamics`](crate::Dynamics); nothing is copied.
    fn num(x: &[Self]) -> &[Self::Num];
    /// As [`num`](Self::num), to write to.
    fn num_mut(x: &mut [Self]) -> &mut [Self::Num];
    /// Exponential.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm.
    #[must_use]
    fn ln(self) -> Self;
    /// Square root.
    #[must_use]
    fn sqrt(self) -> Self;
    /// Hyperbolic tangent.
    #[must_use]
    fn tanh(self) -> Self;
    /// Absolute value.
    #[must_use]
    fn abs(self) -> Self;
    /// The larger of two; the other one if one is NaN.
    #[must_use]
    fn max(self, other: Self) -> Self;
    /// The smaller of two; the other one if one is NaN.
    #[must_use]
    fn min(self, other: Self) -> Self;
    /// Whether the value is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Two independent standard normals from two uniform 32-bit words (Box-Muller).
    ///
    /// For `f32` the elementary functions are polynomials of our own without fused operations, so the bits do
    /// not depend on the machine; for `f64` they are those of the platform.
    fn normal_pair(a: u32, b: u32) -> (Self, Self);
}

macro_rules! real {
    ($t:ident, $num:ty, $normal_pair:path) => {
        impl Real for $t {
            type Num = $num;
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const EPSILON: Self = $t::EPSILON;
            #[inline(always)]
            #[allow(clippy::cast_lossless, reason = "`as` serves both types")]
            fn c(x: f64) -> Self {
                x as $t
            }
            #[inline(always)]
            #[allow(clippy::cast_lossless, reason = "`as` serves both types")]
            fn f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn num(x: &[Self]) -> &[$num] {
                bytemuck::cast_slice(x)
            }
            #[inline(always)]
            fn num_mut(x: &mut [Self]) -> &mut [$num] {
                bytemuck::cast_slice_mut(x)
            }
            #[inline(always)]
            fn exp(self) -> Self {
                $t::exp(self)
            }
            #[inline(always)]
            fn ln(self) -> Self {
                $t::ln(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $t::sqrt(self)
            }
            #[inline(always)]
            fn tanh(self) -> Self {
                $t::tanh(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $t::abs(self)
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                $t::max(self, other)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                $t::min(self, other)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $t::is_finite(self)
            }
            #[inline(always)]
            fn normal_pair(a: u32, b: u32) -> (Self, Self) {
                $normal_pair(a, b)
            }
        }
    };
}
real!(f32, Single, crate::philox::normal_pair_f32);
real!(f64, f64, crate::philox::normal_pair_f64);
