//! Several values of a model at once: the number types of vector kernels.

use std::array::from_fn;
use std::ops::{
    Add, AddAssign, BitAnd, BitOr, Deref, DerefMut, Div, DivAssign, Mul, MulAssign, Neg, Not, Sub, SubAssign,
};

use chreode_core::Number;

use super::elementary;
use super::trigonometry::{MOST, sin_shifted};

/// `L` values, one of each of `L` trajectories: a [`Number`], so that a model of `chreode_core::Dynamics` advances
/// them together.
///
/// Plain arrays, which the compiler turns into vectors inside a [`Kernel`](crate::Kernel); `ISA` is that kernel's.
/// exp, ln, tanh, sin and cos are polynomials of our own: errors at most 2, 3, 4, 2 and 2 ulp (sin and cos of more
/// than 1.6e6 are the platform's), a power about `|p ln x|` ulp. A lane's result does not depend on the others.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub struct Lanes<const L: usize, const ISA: u8>(pub [f64; L]);

/// One outcome of a comparison for each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneMask<const L: usize>(pub [bool; L]);

impl<const L: usize> LaneMask<L> {
    /// Whether it holds in a lane at least.
    #[inline(always)]
    pub fn any(self) -> bool {
        self.0.iter().fold(false, |any, &m| any | m)
    }
}

impl<const L: usize> BitAnd for LaneMask<L> {
    type Output = Self;
    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        Self(from_fn(|l| self.0[l] & other.0[l]))
    }
}

impl<const L: usize> BitOr for LaneMask<L> {
    type Output = Self;
    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        Self(from_fn(|l| self.0[l] | other.0[l]))
    }
}

impl<const L: usize> Not for LaneMask<L> {
    type Output = Self;
    #[inline(always)]
    fn not(self) -> Self {
        Self(from_fn(|l| !self.0[l]))
    }
}

impl<const L: usize, const ISA: u8> Deref for Lanes<L, ISA> {
    type Target = [f64; L];
    #[inline(always)]
    fn deref(&self) -> &[f64; L] {
        &self.0
    }
}

impl<const L: usize, const ISA: u8> DerefMut for Lanes<L, ISA> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f64; L] {
        &mut self.0
    }
}

impl<const L: usize, const ISA: u8> Lanes<L, ISA> {
    #[inline(always)]
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        let mut out = self.0;
        for x in &mut out {
            *x = f(*x);
        }
        Self(out)
    }

    /// sin of `x + quarter π/2`.
    #[inline(always)]
    fn trigonometric(self, quarter: u64) -> Self {
        let out = if ISA > 0 {
            self.map(|x| sin_shifted::<true>(x, quarter))
        } else {
            self.map(|x| sin_shifted::<false>(x, quarter))
        };
        if self.0.iter().fold(false, |any, x| any | (x.abs() > MOST)) {
            return Self(large(&self.0, &out.0, quarter));
        }
        out
    }
}

/// Arguments beyond the reduction's range by the platform's functions.
#[cold]
#[inline(never)]
fn large<const L: usize>(x: &[f64; L], out: &[f64; L], quarter: u64) -> [f64; L] {
    from_fn(|l| match (x[l].abs() > MOST, quarter) {
        (false, _) => out[l],
        (true, 0) => x[l].sin(),
        (true, _) => x[l].cos(),
    })
}

macro_rules! lane_op {
    ($op:ident, $f:ident, $assign:ident, $f_assign:ident) => {
        impl<const L: usize, const ISA: u8> $op for Lanes<L, ISA> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: Self) -> Self {
                Self(from_fn(|l| $op::$f(self.0[l], other.0[l])))
            }
        }
        impl<const L: usize, const ISA: u8> $op<f64> for Lanes<L, ISA> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: f64) -> Self {
                Self(from_fn(|l| $op::$f(self.0[l], other)))
            }
        }
        impl<const L: usize, const ISA: u8> $assign for Lanes<L, ISA> {
            #[inline(always)]
            fn $f_assign(&mut self, other: Self) {
                *self = $op::$f(*self, other);
            }
        }
    };
}
lane_op!(Add, add, AddAssign, add_assign);
lane_op!(Sub, sub, SubAssign, sub_assign);
lane_op!(Mul, mul, MulAssign, mul_assign);
lane_op!(Div, div, DivAssign, div_assign);

impl<const L: usize, const ISA: u8> Neg for Lanes<L, ISA> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(from_fn(|l| -self.0[l]))
    }
}

/// One of the elementary functions with the kernel's arithmetic.
macro_rules! function {
    ($f:ident) => {
        #[inline(always)]
        fn $f(self) -> Self {
            if ISA > 0 {
                self.map(elementary::$f::<f64, true>)
            } else {
                self.map(elementary::$f::<f64, false>)
            }
        }
    };
}

impl<const L: usize, const ISA: u8> Number for Lanes<L, ISA> {
    type Mask = LaneMask<L>;
    #[inline(always)]
    fn c(x: f64) -> Self {
        Self([x; L])
    }
    function!(exp);
    function!(ln);
    function!(tanh);
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(f64::sqrt)
    }
    #[inline(always)]
    fn floor(self) -> Self {
        self.map(f64::floor)
    }
    #[inline(always)]
    fn sin(self) -> Self {
        self.trigonometric(0)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        self.trigonometric(1)
    }
    #[inline(always)]
    fn lt(self, other: Self) -> LaneMask<L> {
        LaneMask(from_fn(|l| self.0[l] < other.0[l]))
    }
    #[inline(always)]
    fn select(mask: LaneMask<L>, a: Self, b: Self) -> Self {
        Self(from_fn(|l| if mask.0[l] { a.0[l] } else { b.0[l] }))
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        if ISA > 0 { Self(from_fn(|l| self.0[l].mul_add(a.0[l], b.0[l]))) } else { self * a + b }
    }
}

/// One `f64` inside a [`Kernel`](crate::Kernel): products are fused where the instruction set can, and every
/// instruction set has instances of its own.
///
/// The functions are the platform's.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(transparent)]
pub struct Tuned<const ISA: u8>(pub f64);

macro_rules! tuned_op {
    ($op:ident, $f:ident, $assign:ident, $f_assign:ident) => {
        impl<const ISA: u8> $op for Tuned<ISA> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: Self) -> Self {
                Self($op::$f(self.0, other.0))
            }
        }
        impl<const ISA: u8> $op<f64> for Tuned<ISA> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: f64) -> Self {
                Self($op::$f(self.0, other))
            }
        }
        impl<const ISA: u8> $assign for Tuned<ISA> {
            #[inline(always)]
            fn $f_assign(&mut self, other: Self) {
                *self = $op::$f(*self, other);
            }
        }
    };
}
tuned_op!(Add, add, AddAssign, add_assign);
tuned_op!(Sub, sub, SubAssign, sub_assign);
tuned_op!(Mul, mul, MulAssign, mul_assign);
tuned_op!(Div, div, DivAssign, div_assign);

impl<const ISA: u8> Neg for Tuned<ISA> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl<const ISA: u8> Number for Tuned<ISA> {
    type Mask = bool;
    #[inline(always)]
    fn c(x: f64) -> Self {
        Self(x)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        Self(self.0.exp())
    }
    #[inline(always)]
    fn ln(self) -> Self {
        Self(self.0.ln())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self(self.0.sqrt())
    }
    #[inline(always)]
    fn sin(self) -> Self {
        Self(self.0.sin())
    }
    #[inline(always)]
    fn cos(self) -> Self {
        Self(self.0.cos())
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        Self(self.0.tanh())
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Self(self.0.floor())
    }
    #[inline(always)]
    fn lt(self, other: Self) -> bool {
        self.0 < other.0
    }
    #[inline(always)]
    fn select(mask: bool, a: Self, b: Self) -> Self {
        if mask { a } else { b }
    }
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Self(if ISA > 0 { self.0.mul_add(a.0, b.0) } else { self.0 * a.0 + b.0 })
    }
    #[inline(always)]
    fn powf(self, p: Self) -> Self {
        Self(Number::powf(self.0, p.0))
    }
}
