//! Numbers that carry derivatives forward.

use std::array::from_fn;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use chreode_core::Number;

/// A value with its derivatives in `N` directions.
///
/// It is a [`Number`] over any [`Number`], so it nests: `Dual<Dual<f64, 1>, 1>` has second derivatives,
/// `Dual<Lanes<8, ISA>, 4>` those of eight trajectories at once.
///
/// ```
/// use chreode_autodiff::Dual;
/// use chreode_core::Number;
/// let x = Dual::<f64, 1>::variable(0.5, 0);
/// let y = (x * x + 1.0).ln();
/// assert_eq!(y.d, [1.0 / 1.25]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dual<T, const N: usize> {
    /// Value.
    pub v: T,
    /// Derivatives.
    pub d: [T; N],
}

impl<T: Number, const N: usize> Dual<T, N> {
    /// A value whose derivative in direction `i` is one, and zero in the others (all, if `i >= N`).
    #[inline(always)]
    pub fn variable(v: T, i: usize) -> Self {
        Self { v, d: from_fn(|k| T::c(if k == i { 1.0 } else { 0.0 })) }
    }

    /// A value and one slope: the chain rule.
    #[inline(always)]
    fn chain(self, v: T, slope: T) -> Self {
        Self { v, d: self.d.map(|d| d * slope) }
    }
}

impl<T: Number, const N: usize> Neg for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self { v: -self.v, d: self.d.map(|d| -d) }
    }
}

impl<T: Number, const N: usize> Add for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        Self { v: self.v + o.v, d: from_fn(|k| self.d[k] + o.d[k]) }
    }
}

impl<T: Number, const N: usize> Sub for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        Self { v: self.v - o.v, d: from_fn(|k| self.d[k] - o.d[k]) }
    }
}

impl<T: Number, const N: usize> Mul for Dual<T, N> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self { v: self.v * o.v, d: from_fn(|k| self.d[k].mul_add(o.v, self.v * o.d[k])) }
    }
}

impl<T: Number, const N: usize> Div for Dual<T, N> {
    type Output = Self;
    #[allow(clippy::suspicious_arithmetic_impl, reason = "one reciprocal instead of N quotients")]
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        let r = o.v.recip();
        let v = self.v / o.v;
        Self { v, d: from_fn(|k| (-v).mul_add(o.d[k], self.d[k]) * r) }
    }
}

macro_rules! with_constant {
    ($op:ident, $f:ident, $d:expr) => {
        impl<T: Number, const N: usize> $op<f64> for Dual<T, N> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, c: f64) -> Self {
                let derivative: fn(T, f64) -> T = $d;
                Self { v: $op::$f(self.v, c), d: self.d.map(|d| derivative(d, c)) }
            }
        }
    };
}
with_constant!(Add, add, |d, _| d);
with_constant!(Sub, sub, |d, _| d);
with_constant!(Mul, mul, |d, c| d * c);
with_constant!(Div, div, |d, c| d / c);

macro_rules! assign {
    ($op:ident, $f:ident, $by:ident, $g:ident) => {
        impl<T: Number, const N: usize> $op for Dual<T, N> {
            #[inline(always)]
            fn $f(&mut self, o: Self) {
                *self = $by::$g(*self, o);
            }
        }
    };
}
assign!(AddAssign, add_assign, Add, add);
assign!(SubAssign, sub_assign, Sub, sub);
assign!(MulAssign, mul_assign, Mul, mul);
assign!(DivAssign, div_assign, Div, div);

impl<T: Number, const N: usize> Number for Dual<T, N> {
    type Mask = T::Mask;
    #[inline(always)]
    fn c(x: f64) -> Self {
        Self { v: T::c(x), d: [T::c(0.0); N] }
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let v = self.v.exp();
        self.chain(v, v)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.chain(self.v.ln(), self.v.recip())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let v = self.v.sqrt();
        self.chain(v, (v + v).recip())
    }
    #[inline(always)]
    fn sin(self) -> Self {
        self.chain(self.v.sin(), self.v.cos())
    }
    #[inline(always)]
    fn cos(self) -> Self {
        self.chain(self.v.cos(), -self.v.sin())
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        let v = self.v.tanh();
        self.chain(v, (-v).mul_add(v, T::c(1.0)))
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Self { v: self.v.floor(), d: [T::c(0.0); N] }
    }
    #[inline(always)]
    fn lt(self, o: Self) -> T::Mask {
        self.v.lt(o.v)
    }
    #[inline(always)]
    fn select(m: T::Mask, a: Self, b: Self) -> Self {
        Self { v: T::select(m, a.v, b.v), d: from_fn(|k| T::select(m, a.d[k], b.d[k])) }
    }
    #[inline(always)]
    fn recip(self) -> Self {
        let v = self.v.recip();
        self.chain(v, -(v * v))
    }
    #[inline(always)]
    fn powf(self, p: Self) -> Self {
        let v = self.v.powf(p.v);
        let (by_base, by_exponent) = power(self.v, p.v, v);
        Self { v, d: from_fn(|k| self.d[k].mul_add(by_base, p.d[k] * by_exponent)) }
    }
}

/// The derivatives of `v = x^p` by `x` and by `p`, which are 0 unless `x > 0`.
#[inline(always)]
pub(crate) fn power<T: Number>(x: T, p: T, v: T) -> (T, T) {
    let zero = T::c(0.0);
    let positive = zero.lt(x);
    // Safe before the quotient and the logarithm: 0 · ∞ would be NaN.
    let (x, w) = (T::select(positive, x, T::c(1.0)), T::select(positive, v, zero));
    (p * w / x, w * x.ln())
}
