//! Matrix elements: real and complex numbers of both precisions.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub, SubAssign};

use chreode_core::Real;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::lu::partial_pivoting::factor::{lu_in_place, lu_in_place_scratch};
use faer::traits::ComplexField;
use faer::{MatMut, Par, c64};

use crate::simd::lane::is_f32;
use crate::sparse::library::Wide;

/// A complex number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub struct Complex<T> {
    /// Real part.
    pub re: T,
    /// Imaginary part.
    pub im: T,
}

impl<T> Complex<T> {
    /// `re + i im`.
    pub const fn new(re: T, im: T) -> Self {
        Self { re, im }
    }
}

impl<T: Real> Add for Complex<T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self::new(self.re + o.re, self.im + o.im)
    }
}

impl<T: Real> Sub for Complex<T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self::new(self.re - o.re, self.im - o.im)
    }
}

impl<T: Real> Mul for Complex<T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self::new(self.re * o.re - self.im * o.im, self.re * o.im + self.im * o.re)
    }
}

impl<T: Real> Div for Complex<T> {
    type Output = Self;
    /// By Smith's scaling, so that no intermediate overflows that the quotient does not.
    #[inline]
    fn div(self, o: Self) -> Self {
        if o.re.abs() >= o.im.abs() {
            let r = o.im / o.re;
            let den = o.re + o.im * r;
            Self::new((self.re + self.im * r) / den, (self.im - self.re * r) / den)
        } else {
            let r = o.re / o.im;
            let den = o.re * r + o.im;
            Self::new((self.re * r + self.im) / den, (self.im * r - self.re) / den)
        }
    }
}

impl<T: Real> Neg for Complex<T> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self::new(-self.re, -self.im)
    }
}

impl<T: Real> AddAssign for Complex<T> {
    #[inline(always)]
    fn add_assign(&mut self, o: Self) {
        *self = *self + o;
    }
}

impl<T: Real> SubAssign for Complex<T> {
    #[inline(always)]
    fn sub_assign(&mut self, o: Self) {
        *self = *self - o;
    }
}

impl<T: Real> MulAssign for Complex<T> {
    #[inline(always)]
    fn mul_assign(&mut self, o: Self) {
        *self = *self * o;
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T: chreode_core::Real> Sealed for T {}
    impl<T: chreode_core::Real> Sealed for super::Complex<T> {}
}

/// An element of a matrix: `f32`, `f64`, or [`Complex`] of either. Sealed.
pub trait Scalar:
    sealed::Sealed
    + Copy
    + Debug
    + Default
    + PartialEq
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + Send
    + Sync
    + 'static
{
    /// The type of its parts.
    type Part: Real;
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// `|re| + |im|`: what pivots are compared by.
    fn magnitude(self) -> Self::Part;
    /// Whether it has an imaginary part.
    const COMPLEX: bool;
    /// Real part.
    fn re(self) -> Self::Part;
    /// Imaginary part, zero for a real number.
    fn im(self) -> Self::Part;
    /// From its parts; a real number drops the imaginary one.
    fn from_parts(re: Self::Part, im: Self::Part) -> Self;

    /// The double-precision number that faer's sparse LU works with.
    #[doc(hidden)]
    type Wide: Wide;
    #[doc(hidden)]
    fn widen(self) -> Self::Wide;
    #[doc(hidden)]
    fn narrow(x: Self::Wide) -> Self;

    /// Work space for [`library_lu`](Self::library_lu) at size `n`, if faer factors such matrices.
    #[doc(hidden)]
    fn library_lu_scratch(_n: usize) -> Option<StackReq> {
        None
    }

    /// Factors row-major `a` in place by faer; `rows` becomes the permutation and `back` its inverse.
    #[doc(hidden)]
    fn library_lu(_a: &mut [Self], _rows: &mut [usize], _back: &mut [usize], _memory: &mut MemBuffer) {}
}

impl<T: Real> Scalar for T {
    type Part = T;
    const ZERO: T = T::ZERO;
    const ONE: T = T::ONE;
    #[inline(always)]
    fn magnitude(self) -> T {
        self.abs()
    }
    const COMPLEX: bool = false;
    #[inline(always)]
    fn re(self) -> T {
        self
    }
    #[inline(always)]
    fn im(self) -> T {
        T::ZERO
    }
    #[inline(always)]
    fn from_parts(re: T, _im: T) -> T {
        re
    }

    type Wide = f64;
    fn widen(self) -> f64 {
        self.f64()
    }
    fn narrow(x: f64) -> T {
        T::c(x)
    }

    fn library_lu_scratch(n: usize) -> Option<StackReq> {
        Some(lu_scratch(n, is_f32::<T>()))
    }

    fn library_lu(a: &mut [T], rows: &mut [usize], back: &mut [usize], memory: &mut MemBuffer) {
        if is_f32::<T>() {
            single_lu(bytemuck::cast_slice_mut(a), rows, back, memory);
        } else {
            double_lu(bytemuck::cast_slice_mut(a), rows, back, memory);
        }
    }
}

// Not generic, so that faer's code is compiled here and not again in every crate that uses this one.

fn lu_scratch(n: usize, single: bool) -> StackReq {
    if single {
        lu_in_place_scratch::<usize, f32>(n, n, Par::Seq, faer::prelude::default())
    } else {
        lu_in_place_scratch::<usize, f64>(n, n, Par::Seq, faer::prelude::default())
    }
}

fn single_lu(a: &mut [f32], rows: &mut [usize], back: &mut [usize], memory: &mut MemBuffer) {
    faer_lu(a, rows, back, memory);
}

fn double_lu(a: &mut [f64], rows: &mut [usize], back: &mut [usize], memory: &mut MemBuffer) {
    faer_lu(a, rows, back, memory);
}

fn faer_lu<F: ComplexField>(a: &mut [F], rows: &mut [usize], back: &mut [usize], memory: &mut MemBuffer) {
    let n = rows.len();
    let a = MatMut::from_row_major_slice_mut(a, n, n);
    lu_in_place(a, rows, back, Par::Seq, MemStack::new(memory), faer::prelude::default());
}

impl<T: Real> Scalar for Complex<T> {
    type Part = T;
    const ZERO: Self = Self::new(T::ZERO, T::ZERO);
    const ONE: Self = Self::new(T::ONE, T::ZERO);
    #[inline(always)]
    fn magnitude(self) -> T {
        self.re.abs() + self.im.abs()
    }
    const COMPLEX: bool = true;
    #[inline(always)]
    fn re(self) -> T {
        self.re
    }
    #[inline(always)]
    fn im(self) -> T {
        self.im
    }
    #[inline(always)]
    fn from_parts(re: T, im: T) -> Self {
        Self::new(re, im)
    }

    type Wide = c64;
    fn widen(self) -> c64 {
        c64::new(self.re.f64(), self.im.f64())
    }
    fn narrow(x: c64) -> Self {
        Self::new(T::c(x.re), T::c(x.im))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn division_undoes_multiplication(a in -9.0..9.0_f64, b in -9.0..9.0_f64, c in 0.1..9.0_f64, d in -9.0..9.0_f64) {
            let (x, y) = (Complex::new(a, b), Complex::new(c, d));
            let r = x * y / y - x;
            prop_assert!(r.magnitude() < 1e-12 * (1.0 + x.magnitude()));
        }
    }

    #[test]
    fn division_does_not_overflow() {
        let big = Complex::new(1e200_f64, 1e200);
        assert!((big / big - Complex::ONE).magnitude() < 1e-15);
    }
}
