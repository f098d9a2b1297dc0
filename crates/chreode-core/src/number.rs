//! What a model may do to a value, whatever kind of number the value is.
//!
//! A model that is written for any [`Number`] runs on plain numbers, on dual numbers and tapes (derivatives), on
//! vectors of trajectories, and on symbols that record it. Not here: those types (`chreode-autodiff`,
//! `chreode-linalg`); literals on the left of an operator (`literal`).

use std::ops::{Add, AddAssign, BitAnd, BitOr, Div, DivAssign, Mul, MulAssign, Neg, Not, Sub, SubAssign};

/// A value in a model.
///
/// There is no ordering and no way to `f64`, on purpose: an `if` on a value would make vectors, recorded programs
/// and generated code silently wrong. [`lt`](Self::lt) gives a mask and [`select`](Self::select) chooses.
///
/// Constants stand as `f64` on the right of an operator (`x * 2.0`), as [`c(2.0)`](crate::c) on its left, and as
/// `S::c(2.0)` where a value is wanted.
///
/// # Guards
/// `select` evaluates both sides, and in a derivative `0 · ∞` is NaN: make the argument safe first, then select.
/// `S::select(m, x, S::c(1.0)).ln()` under the same mask, not `select(m, x.ln(), ..)` alone.
///
/// # Kinks
/// `max`, `min`, `abs` and `select` have the derivative of the side that is taken; a kink inside a step lowers a
/// solver's order. Announce switches in time to the solver.
pub trait Number:
    Copy
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
{
    /// The outcome of a comparison.
    type Mask: Copy + BitAnd<Output = Self::Mask> + BitOr<Output = Self::Mask> + Not<Output = Self::Mask>;

    /// A constant.
    fn c(x: f64) -> Self;
    /// Exponential.
    #[must_use]
    fn exp(self) -> Self;
    /// Natural logarithm.
    #[must_use]
    fn ln(self) -> Self;
    /// Square root; its derivative at 0 is infinite.
    #[must_use]
    fn sqrt(self) -> Self;
    /// Sine.
    #[must_use]
    fn sin(self) -> Self;
    /// Cosine.
    #[must_use]
    fn cos(self) -> Self;
    /// Hyperbolic tangent.
    #[must_use]
    fn tanh(self) -> Self;
    /// The largest whole number that is not above; its derivative is 0, also where it jumps.
    #[must_use]
    fn floor(self) -> Self;
    /// Whether `self < other`; false if one is NaN.
    fn lt(self, other: Self) -> Self::Mask;
    /// `a` where the mask holds, else `b`.
    #[must_use]
    fn select(mask: Self::Mask, a: Self, b: Self) -> Self;

    /// `self * a + b`, fused where the type knows that the machine can.
    #[must_use]
    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        self * a + b
    }

    /// `1 / self`.
    #[must_use]
    #[inline(always)]
    fn recip(self) -> Self {
        Self::c(1.0) / self
    }

    /// The larger of two; `other` if they are equal or one is NaN.
    #[must_use]
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self::select(other.lt(self), self, other)
    }

    /// The smaller of two; `other` if they are equal or one is NaN.
    #[must_use]
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self::select(self.lt(other), self, other)
    }

    /// Absolute value; its derivative at 0 is 1.
    #[must_use]
    #[inline(always)]
    fn abs(self) -> Self {
        Self::select(self.lt(Self::c(0.0)), -self, self)
    }

    /// The `n`-th power, by repeated squaring: any base, also negative and zero.
    #[must_use]
    #[inline(always)]
    fn powi(self, n: i32) -> Self {
        let (mut square, mut left) = (self, n.unsigned_abs());
        let mut power: Option<Self> = None;
        while left > 0 {
            if left & 1 == 1 {
                power = Some(power.map_or(square, |p| p * square));
            }
            left >>= 1;
            if left > 0 {
                square = square * square;
            }
        }
        match power {
            None => Self::c(1.0),
            Some(p) if n < 0 => p.recip(),
            Some(p) => p,
        }
    }

    /// `self` to the power of `p`, which may be a parameter: `exp(p ln self)` for a positive base.
    ///
    /// At 0 the value is that of a constant (0, 1 or ∞ as `p` is positive, zero or negative), with derivatives that
    /// are 0 (where `p` > 0: `0 · ln 0` would be NaN). A negative base gives NaN, also for a whole `p`: that is
    /// [`powi`](Self::powi)'s.
    #[must_use]
    #[inline(always)]
    fn powf(self, p: Self) -> Self {
        let (zero, one) = (Self::c(0.0), Self::c(1.0));
        let positive = zero.lt(self);
        let safe = Self::select(positive, self, one);
        Self::select(positive, (p * safe.ln()).exp(), zero_or_negative_base(self, p))
    }
}

/// `x^p` for an `x` that is not positive, or NaN; without derivatives where it is finite.
#[inline(always)]
fn zero_or_negative_base<S: Number>(x: S, p: S) -> S {
    let zero = S::c(0.0);
    let negative_power = S::select(p.lt(zero), S::c(f64::INFINITY), S::c(1.0));
    let at_zero = S::select(zero.lt(p), zero, negative_power);
    // Times zero: NaN stays NaN, everything else stays.
    S::select(x.lt(zero), S::c(f64::NAN), at_zero + (x + p) * 0.0)
}

impl Number for f64 {
    type Mask = bool;
    #[inline(always)]
    fn c(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn sin(self) -> Self {
        f64::sin(self)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        f64::cos(self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        f64::tanh(self)
    }
    #[inline(always)]
    fn floor(self) -> Self {
        f64::floor(self)
    }
    #[inline(always)]
    fn lt(self, other: Self) -> bool {
        self < other
    }
    #[inline(always)]
    fn select(mask: bool, a: Self, b: Self) -> Self {
        if mask { a } else { b }
    }
    #[inline(always)]
    fn powf(self, p: Self) -> Self {
        if self > 0.0 { f64::powf(self, p) } else { zero_or_negative_base(self, p) }
    }
}

/// An `f32` as a [`Number`]: a type of its own, since `f32 * f64` cannot be defined for `f32` itself.
///
/// Made from slices of `f32` by [`Real::num`](crate::Real::num). Time has 7 digits in it: keep it relative to the
/// first observation.
#[derive(Debug, Clone, Copy, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Single(pub f32);

macro_rules! single_op {
    ($op:ident, $f:ident, $assign:ident, $f_assign:ident) => {
        impl $op for Single {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: Self) -> Self {
                Self($op::$f(self.0, other.0))
            }
        }
        impl $op<f64> for Single {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: f64) -> Self {
                Self($op::$f(self.0, other as f32))
            }
        }
        impl $assign for Single {
            #[inline(always)]
            fn $f_assign(&mut self, other: Self) {
                *self = $op::$f(*self, other);
            }
        }
    };
}
single_op!(Add, add, AddAssign, add_assign);
single_op!(Sub, sub, SubAssign, sub_assign);
single_op!(Mul, mul, MulAssign, mul_assign);
single_op!(Div, div, DivAssign, div_assign);

impl Neg for Single {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

impl Number for Single {
    type Mask = bool;
    #[inline(always)]
    fn c(x: f64) -> Self {
        Self(x as f32)
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
    fn powf(self, p: Self) -> Self {
        if self.0 > 0.0 { Self(self.0.powf(p.0)) } else { zero_or_negative_base(self, p) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A number type that overrides nothing: the provided methods themselves.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Bare(f64);
    macro_rules! bare_op {
        ($op:ident, $f:ident, $assign:ident, $f_assign:ident) => {
            impl $op for Bare {
                type Output = Self;
                fn $f(self, other: Self) -> Self {
                    Self($op::$f(self.0, other.0))
                }
            }
            impl $op<f64> for Bare {
                type Output = Self;
                fn $f(self, other: f64) -> Self {
                    Self($op::$f(self.0, other))
                }
            }
            impl $assign for Bare {
                fn $f_assign(&mut self, other: Self) {
                    *self = $op::$f(*self, other);
                }
            }
        };
    }
    bare_op!(Add, add, AddAssign, add_assign);
    bare_op!(Sub, sub, SubAssign, sub_assign);
    bare_op!(Mul, mul, MulAssign, mul_assign);
    bare_op!(Div, div, DivAssign, div_assign);
    impl Neg for Bare {
        type Output = Self;
        fn neg(self) -> Self {
            Self(-self.0)
        }
    }
    impl Number for Bare {
        type Mask = bool;
        fn c(x: f64) -> Self {
            Self(x)
        }
        fn exp(self) -> Self {
            Self(self.0.exp())
        }
        fn ln(self) -> Self {
            Self(self.0.ln())
        }
        fn sqrt(self) -> Self {
            Self(self.0.sqrt())
        }
        fn sin(self) -> Self {
            Self(self.0.sin())
        }
        fn cos(self) -> Self {
            Self(self.0.cos())
        }
        fn tanh(self) -> Self {
            Self(self.0.tanh())
        }
        fn floor(self) -> Self {
            Self(self.0.floor())
        }
        fn lt(self, other: Self) -> bool {
            self.0 < other.0
        }
        fn select(mask: bool, a: Self, b: Self) -> Self {
            if mask { a } else { b }
        }
    }

    fn same(a: f64, b: f64, rtol: f64) -> bool {
        a == b || a.is_nan() && b.is_nan() || (a - b).abs() <= rtol * a.abs()
    }

    #[test]
    fn powers_at_the_edges_agree_between_types() {
        let edges = [0.0, -0.0, 1.5, -1.5, 2.0, 0.5, f64::NAN];
        for x in edges {
            for p in [-2.0, 0.0, 0.5, 1.0, 3.0, f64::NAN] {
                let plain = Number::powf(x, p);
                assert!(same(plain, Bare(x).powf(Bare(p)).0, 1e-14), "{x}^{p}");
                let single = Single(x as f32).powf(Single(p as f32)).0;
                assert!(same(plain, f64::from(single), 1e-6), "{x}^{p}");
            }
        }
        assert_eq!(Number::powf(0.0, 2.5), 0.0);
        assert_eq!(Number::powf(0.0, 0.0), 1.0);
        assert_eq!(Number::powf(0.0, -1.0), f64::INFINITY);
        assert!(Number::powf(-2.0, 2.0).is_nan());
    }

    proptest! {
        #[test]
        fn provided_methods(x in -3.0..3.0_f64, y in -3.0..3.0_f64, n in -6..7_i32) {
            let power = Number::powi(x, n);
            prop_assert!((power - f64::powi(x, n)).abs() <= 1e-14 * power.abs());
            prop_assert_eq!(Number::max(x, y), f64::max(x, y));
            prop_assert_eq!(Number::min(x, y), f64::min(x, y));
            prop_assert_eq!(Number::abs(x), f64::abs(x));
            prop_assert_eq!(Number::recip(x), 1.0 / x);
            prop_assert_eq!(Number::floor(x), f64::from(Single(x as f32).floor().0));
            prop_assert_eq!(Number::mul_add(x, y, 1.0), x * y + 1.0);
            let power = Bare(x.abs()).powf(Bare(y)).0;
            prop_assert!((power - Number::powf(x.abs(), y)).abs() <= 1e-14 * power.abs());
        }
    }
}
