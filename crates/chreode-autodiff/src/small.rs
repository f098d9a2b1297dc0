//! Models of a few states and parameters: derivatives whose zeros the compiler knows.
//!
//! A number carries eight derivatives and, of each, whether it is zero whatever the point. Where a model is inlined and its sizes are
//! constants, so are these marks: what multiplies a zero is not compiled, and what is left is about what one would write by hand. Where
//! they are not, results are the same and branches remain: loops over the eight are written out, so that nothing has to be unrolled
//! first.

#![allow(
    clippy::manual_map,
    reason = "a closure might be inlined too late for the compiler to see the zeros"
)]

use std::array::from_fn;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use chreode_core::{Dynamics, Number, Real};
use chreode_linalg::{Kernel, Lanes};

use crate::batch::LANES;
use crate::dual::power;

/// Most states and parameters together.
const MOST: usize = 8;
/// Most operations: of longer models the compiler does not see which are zero, their loops remain.
const SHORT: usize = 48;

/// Whether derivatives of a model of `d` states, `np` parameters and `len` operations are computed here.
pub(crate) fn fits(d: usize, np: usize, len: usize) -> bool {
    d > 0 && d + np <= MOST && len <= SHORT
}

/// Eight values of an expression in `k`.
macro_rules! each {
    ($k:ident, $e:expr) => {
        [
            each!(@ $k, 0, $e), each!(@ $k, 1, $e), each!(@ $k, 2, $e), each!(@ $k, 3, $e),
            each!(@ $k, 4, $e), each!(@ $k, 5, $e), each!(@ $k, 6, $e), each!(@ $k, 7, $e),
        ]
    };
    (@ $k:ident, $i:literal, $e:expr) => {{
        let $k: usize = $i;
        $e
    }};
}

/// Does something for all `k` below `n`, which is not more than eight.
macro_rules! below {
    ($k:ident, $n:expr, $e:expr) => {
        let _: [(); MOST] = each!(
            $k,
            if $k < $n {
                $e
            }
        );
    };
}

/// A value with eight derivatives; none: zero.
#[derive(Debug, Clone, Copy)]
struct Known<V> {
    v: V,
    d: [Option<V>; MOST],
}

impl<V: Number> Known<V> {
    /// A value whose derivative in direction `i` is `slope`, and zero in the others.
    #[inline(always)]
    fn moved(v: V, i: usize, slope: V) -> Self {
        Self { v, d: each!(k, if k == i { Some(slope) } else { None }) }
    }

    /// A value and one slope: the chain rule.
    #[inline(always)]
    fn chain(self, v: V, slope: V) -> Self {
        Self { v, d: each!(k, scaled(self.d[k], slope)) }
    }
}

#[inline(always)]
fn scaled<V: Number>(d: Option<V>, by: V) -> Option<V> {
    match d {
        Some(d) => Some(d * by),
        None => None,
    }
}

/// `a x + b y`.
#[inline(always)]
fn combined<V: Number>(a: Option<V>, x: V, b: Option<V>, y: V) -> Option<V> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.mul_add(x, b * y)),
        (Some(a), None) => Some(a * x),
        (None, Some(b)) => Some(b * y),
        (None, None) => None,
    }
}

#[inline(always)]
fn value<V: Number>(d: Option<V>) -> V {
    match d {
        Some(d) => d,
        None => V::c(0.0),
    }
}

impl<V: Number> Neg for Known<V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        let minus = |d: Option<V>| match d {
            Some(d) => Some(-d),
            None => None,
        };
        Self { v: -self.v, d: each!(k, minus(self.d[k])) }
    }
}

impl<V: Number> Add for Known<V> {
    type Output = Self;
    #[inline(always)]
    fn add(self, o: Self) -> Self {
        let sum = |a: Option<V>, b: Option<V>| match (a, b) {
            (Some(a), Some(b)) => Some(a + b),
            (Some(d), None) | (None, Some(d)) => Some(d),
            (None, None) => None,
        };
        Self { v: self.v + o.v, d: each!(k, sum(self.d[k], o.d[k])) }
    }
}

impl<V: Number> Sub for Known<V> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, o: Self) -> Self {
        let difference = |a: Option<V>, b: Option<V>| match (a, b) {
            (Some(a), Some(b)) => Some(a - b),
            (Some(a), None) => Some(a),
            (None, Some(b)) => Some(-b),
            (None, None) => None,
        };
        Self { v: self.v - o.v, d: each!(k, difference(self.d[k], o.d[k])) }
    }
}

impl<V: Number> Mul for Known<V> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, o: Self) -> Self {
        Self { v: self.v * o.v, d: each!(k, combined(self.d[k], o.v, o.d[k], self.v)) }
    }
}

impl<V: Number> Div for Known<V> {
    type Output = Self;
    #[inline(always)]
    fn div(self, o: Self) -> Self {
        let (v, r) = (self.v / o.v, o.v.recip());
        let by = -(v * r);
        Self { v, d: each!(k, combined(self.d[k], r, o.d[k], by)) }
    }
}

macro_rules! with_constant {
    ($op:ident, $f:ident, |$d:ident, $c:ident| $derivative:expr) => {
        impl<V: Number> $op<f64> for Known<V> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, $c: f64) -> Self {
                let derivative = |d: Option<V>| match d {
                    Some($d) => Some($derivative),
                    None => None,
                };
                Self { v: $op::$f(self.v, $c), d: each!(k, derivative(self.d[k])) }
            }
        }
    };
}
with_constant!(Add, add, |d, _c| d);
with_constant!(Sub, sub, |d, _c| d);
with_constant!(Mul, mul, |d, c| d * c);
with_constant!(Div, div, |d, c| d / c);

macro_rules! assign {
    ($op:ident, $f:ident, $by:ident, $g:ident) => {
        impl<V: Number> $op for Known<V> {
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

impl<V: Number> Number for Known<V> {
    type Mask = V::Mask;
    #[inline(always)]
    fn c(x: f64) -> Self {
        Self { v: V::c(x), d: [None; MOST] }
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
        self.chain(v, (-v).mul_add(v, V::c(1.0)))
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Self { v: self.v.floor(), d: [None; MOST] }
    }
    #[inline(always)]
    fn lt(self, o: Self) -> V::Mask {
        self.v.lt(o.v)
    }
    #[inline(always)]
    fn select(m: V::Mask, a: Self, b: Self) -> Self {
        let chosen = |a: Option<V>, b: Option<V>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(V::select(m, value(a), value(b))),
        };
        Self { v: V::select(m, a.v, b.v), d: each!(k, chosen(a.d[k], b.d[k])) }
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
        Self { v, d: each!(k, combined(self.d[k], by_base, p.d[k], by_exponent)) }
    }
}

/// The derivatives of the states, from those of states `y(j)`; each parameter has the slope that `q(k)` says in the direction after
/// those of the states, counted from the last.
#[inline(always)]
fn run<D: Dynamics, V: Number>(
    model: &D,
    t: V,
    y: impl Fn(usize) -> Known<V>,
    p: impl Fn(usize) -> Known<V>,
) -> [Known<V>; MOST] {
    let (d, np, zero) = (model.dim(), model.n_params(), Known::c(0.0));
    let ys = each!(j, if j < d { y(j) } else { zero });
    let ps = each!(k, if k < np { p(k) } else { zero });
    let mut dy = [zero; MOST];
    model.eval(Known { v: t, d: [None; MOST] }, &ys[..d], &ps[..np], &mut dy[..d]);
    dy
}

/// `λᵀ` times the derivatives: of states from the first direction on, of parameters from the last one down.
#[inline(always)]
fn pulled<V: Number>(d: usize, dy: &[Known<V>; MOST], lambda: impl Fn(usize) -> V) -> [Option<V>; MOST] {
    let mut bars = [None; MOST];
    let add = |sum: Option<V>, d: Option<V>, l: V| match (sum, d) {
        (Some(sum), Some(d)) => Some(d.mul_add(l, sum)),
        (None, Some(d)) => Some(d * l),
        (sum, None) => sum,
    };
    below!(i, d, {
        let l = lambda(i);
        bars = each!(k, add(bars[k], dy[i].d[k], l));
    });
    bars
}

/// Sets `values`, `[d, d]`, to the Jacobian.
#[inline]
pub(crate) fn jacobian<D: Dynamics, T: Real>(model: &D, t: f64, y: &[T], p: &[T], values: &mut [T]) {
    let d = model.dim();
    let (y, p) = (&y[..d], &p[..model.n_params()]);
    let values = &mut values[..d * d];
    let dy = run(model, t, |j| Known::moved(y[j].f64(), j, 1.0), |k| Known::c(p[k].f64()));
    below!(i, d, {
        below!(j, d, values[i * d + j] = T::c(value(dy[i].d[j])));
    });
}

/// Sets `jv` to `∂f/∂y v + ∂f/∂p q` of each trajectory, where `q(k)` is none for parameters that stay. Zeros have the bits of none.
#[inline]
pub(crate) fn jvp<D: Dynamics, T: Real>(
    model: &D,
    t: f64,
    y: &[T],
    p: &[T],
    v: &[T],
    q: impl Fn(usize) -> Option<f64>,
    jv: &mut [T],
) {
    let d = model.dim();
    let p = &p[..model.n_params()];
    let parameter = |k: usize| Known { v: p[k].f64(), d: each!(i, if i == 0 { q(k) } else { None }) };
    for ((y, v), jv) in y.chunks_exact(d).zip(v.chunks_exact(d)).zip(jv.chunks_exact_mut(d)) {
        let dy = run(model, t, |j| Known::moved(y[j].f64(), 0, v[j].f64()), parameter);
        below!(i, d, jv[i] = T::c(value(dy[i].d[0])));
    }
}

/// Sets `y_bar` to `λᵀ ∂f/∂y` of each trajectory, one after another, and adds `λᵀ ∂f/∂p` to `p_bar`. What depends on the time and
/// parameters alone is computed once.
#[inline]
pub(crate) fn vjp<D: Dynamics, T: Real>(
    model: &D,
    t: f64,
    y: &[T],
    p: &[T],
    lambda: &[T],
    y_bar: &mut [T],
    p_bar: &mut [T],
) {
    let (d, np) = (model.dim(), model.n_params());
    let (p, p_bar) = (&p[..np], &mut p_bar[..np]);
    // Copies, which nothing that is written can change.
    let p = each!(k, if k < np { p[k].f64() } else { 0.0 });
    let mut sums = [0.0; MOST];
    for ((y, lambda), y_bar) in y.chunks_exact(d).zip(lambda.chunks_exact(d)).zip(y_bar.chunks_exact_mut(d)) {
        let by_parameter = |k: usize| Known::moved(p[k], MOST - 1 - k, 1.0);
        let dy = run(model, t, |j| Known::moved(y[j].f64(), j, 1.0), by_parameter);
        let bars = pulled(d, &dy, |i| lambda[i].f64());
        below!(j, d, y_bar[j] = T::c(value(bars[j])));
        below!(k, np, sums[k] += value(bars[MOST - 1 - k]));
    }
    below!(k, np, p_bar[k] += T::c(sums[k]));
}

/// The same, eight trajectories at once in the lanes of vectors.
pub(crate) struct SmallBatch<'a, D, T> {
    pub(crate) model: &'a D,
    pub(crate) t: f64,
    pub(crate) y: &'a [T],
    pub(crate) p: &'a [T],
    pub(crate) lambda: &'a [T],
    pub(crate) y_bar: &'a mut [T],
    pub(crate) p_bar: &'a mut [T],
}

impl<D: Dynamics, T: Real> Kernel for SmallBatch<'_, D, T> {
    type Output = ();
    #[inline(always)]
    fn run<const ISA: u8>(self) {
        let (model, d, np) = (self.model, self.model.dim(), self.model.n_params());
        let (p, p_bar) = (&self.p[..np], &mut self.p_bar[..np]);
        let (zero, one) = (Lanes::<LANES, ISA>::c(0.0), Lanes::<LANES, ISA>::c(1.0));
        let mut sums = [zero; MOST];
        // Of the last trajectories, which do not fill the lanes: the first of them again, to which nothing is owed.
        let mut rest = [[T::ZERO; LANES * MOST]; 3];
        let states = self.y.chunks(LANES * d).zip(self.lambda.chunks(LANES * d));
        for ((y, lambda), y_bar) in states.zip(self.y_bar.chunks_mut(LANES * d)) {
            let len = y.len();
            let [more_y, more_lambda, more_bar] = &mut rest;
            let whole = len == LANES * d;
            if !whole {
                more_y.iter_mut().zip(y.iter().chain(y[..d].iter().cycle())).for_each(|(to, &y)| *to = y);
                more_lambda[..len].copy_from_slice(lambda);
            }
            let from_y: &[T] = if whole { y } else { more_y };
            let from_lambda: &[T] = if whole { lambda } else { more_lambda };
            let to: &mut [T] = if whole { &mut *y_bar } else { &mut more_bar[..LANES * d] };
            let (from_y, from_lambda) = (&from_y[..LANES * d], &from_lambda[..LANES * d]);
            let column = |from: &[T], j: usize| Lanes(from_fn(|l| from[l * d + j].f64()));
            let by_parameter = |k: usize| Known::moved(Lanes::c(p[k].f64()), MOST - 1 - k, one);
            let dy = run(model, Lanes::c(self.t), |j| Known::moved(column(from_y, j), j, one), by_parameter);
            let bars = pulled(d, &dy, |i| column(from_lambda, i));
            below!(j, d, {
                let bar = value(bars[j]);
                to.chunks_exact_mut(d).zip(bar.0).for_each(|(to, bar)| to[j] = T::c(bar));
            });
            below!(k, np, sums[k] += value(bars[MOST - 1 - k]));
            if !whole {
                y_bar.copy_from_slice(&more_bar[..len]);
            }
        }
        below!(k, np, p_bar[k] += T::c(sums[k].iter().sum()));
    }
}
