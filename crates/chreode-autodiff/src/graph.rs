//! Recording: a model run on symbols, which leave a graph of its operations.
//!
//! Constants are folded and equal nodes shared. In derivatives signs move out of products and differences to where sums take them
//! in, so that nodes that differ in their sign alone are equal (what lies between two bodies, of both). `x · 0` is 0, whatever `x`:
//! a term with a coefficient of zero is no dependence.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::{Add, AddAssign, BitAnd, BitOr, Div, DivAssign, Mul, MulAssign, Neg, Not, Sub, SubAssign};

use chreode_core::Number;

/// One operation; operands are numbers of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// Bits of a constant.
    Const(u64),
    Time,
    State(u32),
    Param(u32),
    Neg(u32),
    Add(u32, u32),
    Sub(u32, u32),
    Mul(u32, u32),
    Div(u32, u32),
    Powf(u32, u32),
    Exp(u32),
    Ln(u32),
    Sqrt(u32),
    Sin(u32),
    Cos(u32),
    Tanh(u32),
    Floor(u32),
    /// Mask, where it holds, where not.
    Select(u32, u32, u32),
    // Masks.
    Lt(u32, u32),
    And(u32, u32),
    Or(u32, u32),
    Not(u32),
}

/// Where operations are recorded.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    inner: RefCell<Recorded>,
    /// Whether signs are moved.
    of_derivatives: bool,
}

#[derive(Debug, Default)]
struct Recorded {
    ops: Vec<Op>,
    known: HashMap<Op, u32>,
}

impl Graph {
    /// For derivatives, where what belongs to two is there twice.
    pub(crate) fn of_derivatives() -> Self {
        Self { of_derivatives: true, ..Self::default() }
    }

    /// The operations so far, in an order in which each comes after its operands.
    pub(crate) fn into_ops(self) -> Vec<Op> {
        self.inner.into_inner().ops
    }

    fn number(&self, op: Op) -> u32 {
        let mut inner = self.inner.borrow_mut();
        if let Some(&i) = inner.known.get(&op) {
            return i;
        }
        // A graph of so many nodes would take 100 GB.
        let i = u32::try_from(inner.ops.len()).expect("more than 2^32 operations");
        inner.ops.push(op);
        inner.known.insert(op, i);
        i
    }

    pub(crate) fn node(&self, op: Op) -> Expr<'_> {
        Expr::N(self, self.number(op))
    }

    /// The number of an expression's node.
    pub(crate) fn of(&self, x: Expr<'_>) -> u32 {
        match x {
            Expr::K(k) => self.number(Op::Const(k.to_bits())),
            Expr::N(_, i) => i,
        }
    }
}

/// A value that is recorded: a constant, or a node of a graph.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Expr<'g> {
    K(f64),
    N(&'g Graph, u32),
}

/// A comparison that is recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MaskExpr<'g> {
    K(bool),
    N(&'g Graph, u32),
}

use Expr::{K, N};

impl Expr<'_> {
    /// `a - b`, if `b - a` is known.
    fn known_difference(self, other: Self) -> Option<Self> {
        match (self, other) {
            (N(g, a), N(_, b)) if g.of_derivatives => {
                let known = g.inner.borrow().known.get(&Op::Sub(b, a)).copied();
                known.map(|i| -N(g, i))
            }
            _ => None,
        }
    }

    /// `x`, if this is `-x` in derivatives: the sign is moved.
    fn signed(self) -> Option<Self> {
        match self {
            N(g, _) if g.of_derivatives => self.negated(),
            _ => None,
        }
    }

    /// `x`, if this is `-x`.
    fn negated(self) -> Option<Self> {
        match self {
            K(_) => None,
            N(g, i) => match g.inner.borrow().ops[i as usize] {
                Op::Neg(x) => Some(N(g, x)),
                _ => None,
            },
        }
    }
}

/// An operation on one value, folded for constants.
fn unary(x: Expr<'_>, fold: fn(f64) -> f64, op: fn(u32) -> Op) -> Expr<'_> {
    match x {
        K(x) => K(fold(x)),
        N(g, i) => g.node(op(i)),
    }
}

/// An operation on two values, one of which is no constant.
fn binary<'g>(a: Expr<'g>, b: Expr<'g>, fold: fn(f64, f64) -> f64, op: fn(u32, u32) -> Op) -> Expr<'g> {
    match (a, b) {
        (K(a), K(b)) => K(fold(a, b)),
        (N(g, _), _) | (_, N(g, _)) => g.node(op(g.of(a), g.of(b))),
    }
}

/// In one order, so that `a + b` and `b + a` are one node.
fn sorted(op: fn(u32, u32) -> Op, a: u32, b: u32) -> Op {
    op(a.min(b), a.max(b))
}

impl Neg for Expr<'_> {
    type Output = Self;
    fn neg(self) -> Self {
        self.negated().unwrap_or_else(|| unary(self, |x| -x, Op::Neg))
    }
}

impl Add for Expr<'_> {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        match (self, o) {
            (x, K(0.0)) | (K(0.0), x) => x,
            (a, b) => match (a.negated(), b.negated()) {
                (_, Some(b)) => a - b,
                (Some(a), None) => b - a,
                _ => binary(a, b, |a, b| a + b, |a, b| sorted(Op::Add, a, b)),
            },
        }
    }
}

impl Sub for Expr<'_> {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        match (self, o) {
            (x, K(0.0)) => x,
            (K(0.0), x) => -x,
            (a, b) => match (a.signed(), b.negated()) {
                (_, Some(b)) => a + b,
                (Some(a), None) => -(a + b),
                _ => a.known_difference(b).unwrap_or_else(|| binary(a, b, |a, b| a - b, Op::Sub)),
            },
        }
    }
}

impl Mul for Expr<'_> {
    type Output = Self;
    fn mul(self, o: Self) -> Self {
        match (self, o) {
            (N(..), K(0.0)) | (K(0.0), N(..)) => K(0.0),
            (x, K(1.0)) | (K(1.0), x) => x,
            (x, K(-1.0)) | (K(-1.0), x) => -x,
            (x @ N(..), K(c)) | (K(c), x @ N(..)) if x.negated().is_some() && x.signed().is_none() => {
                -x * K(-c)
            }
            (a, b) => match (a.signed(), b.signed()) {
                (Some(a), Some(b)) => a * b,
                (Some(a), None) => -(a * b),
                (None, Some(b)) => -(a * b),
                _ => binary(a, b, |a, b| a * b, |a, b| sorted(Op::Mul, a, b)),
            },
        }
    }
}

impl Div for Expr<'_> {
    type Output = Self;
    fn div(self, o: Self) -> Self {
        match (self, o) {
            (K(0.0), N(..)) => K(0.0),
            (x, K(1.0)) => x,
            (a, b) => match (a.signed(), b.signed()) {
                (Some(a), Some(b)) => a / b,
                (Some(a), None) => -(a / b),
                (None, Some(b)) => -(a / b),
                _ => binary(a, b, |a, b| a / b, Op::Div),
            },
        }
    }
}

macro_rules! with_constant {
    ($op:ident, $f:ident, $assign:ident, $g:ident) => {
        impl $op<f64> for Expr<'_> {
            type Output = Self;
            fn $f(self, c: f64) -> Self {
                $op::$f(self, K(c))
            }
        }
        impl $assign for Expr<'_> {
            fn $g(&mut self, o: Self) {
                *self = $op::$f(*self, o);
            }
        }
    };
}
with_constant!(Add, add, AddAssign, add_assign);
with_constant!(Sub, sub, SubAssign, sub_assign);
with_constant!(Mul, mul, MulAssign, mul_assign);
with_constant!(Div, div, DivAssign, div_assign);

impl BitAnd for MaskExpr<'_> {
    type Output = Self;
    fn bitand(self, o: Self) -> Self {
        match (self, o) {
            (Self::K(true), m) | (m, Self::K(true)) => m,
            (Self::K(false), _) | (_, Self::K(false)) => Self::K(false),
            (Self::N(g, a), Self::N(_, b)) => Self::N(g, g.number(sorted(Op::And, a, b))),
        }
    }
}

impl BitOr for MaskExpr<'_> {
    type Output = Self;
    fn bitor(self, o: Self) -> Self {
        match (self, o) {
            (Self::K(false), m) | (m, Self::K(false)) => m,
            (Self::K(true), _) | (_, Self::K(true)) => Self::K(true),
            (Self::N(g, a), Self::N(_, b)) => Self::N(g, g.number(sorted(Op::Or, a, b))),
        }
    }
}

impl Not for MaskExpr<'_> {
    type Output = Self;
    fn not(self) -> Self {
        match self {
            Self::K(m) => Self::K(!m),
            Self::N(g, i) => Self::N(g, g.number(Op::Not(i))),
        }
    }
}

impl<'g> Number for Expr<'g> {
    type Mask = MaskExpr<'g>;
    fn c(x: f64) -> Self {
        K(x)
    }
    fn exp(self) -> Self {
        unary(self, f64::exp, Op::Exp)
    }
    fn ln(self) -> Self {
        unary(self, f64::ln, Op::Ln)
    }
    fn sqrt(self) -> Self {
        unary(self, f64::sqrt, Op::Sqrt)
    }
    fn sin(self) -> Self {
        unary(self, f64::sin, Op::Sin)
    }
    fn cos(self) -> Self {
        unary(self, f64::cos, Op::Cos)
    }
    fn tanh(self) -> Self {
        unary(self, f64::tanh, Op::Tanh)
    }
    fn floor(self) -> Self {
        unary(self, f64::floor, Op::Floor)
    }
    fn lt(self, o: Self) -> MaskExpr<'g> {
        match (self, o) {
            (K(a), K(b)) => MaskExpr::K(a < b),
            (N(g, _), _) | (_, N(g, _)) => MaskExpr::N(g, g.number(Op::Lt(g.of(self), g.of(o)))),
        }
    }
    fn select(m: MaskExpr<'g>, a: Self, b: Self) -> Self {
        match m {
            MaskExpr::K(m) => {
                if m {
                    a
                } else {
                    b
                }
            }
            MaskExpr::N(g, m) => {
                let (i, j) = (g.of(a), g.of(b));
                if i == j { a } else { g.node(Op::Select(m, i, j)) }
            }
        }
    }
    fn powf(self, p: Self) -> Self {
        binary(self, p, Number::powf, Op::Powf)
    }
}
