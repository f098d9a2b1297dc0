//! The value of a formula, on any number.

use chreode_core::Number;

use super::functions::{at_most, equal, factorial, inverse, power, trig, truncate};
use super::{Expr, Op};

/// The value of `x`, whose leaves have the values that `leaf` gives.
pub(crate) fn value<L, S: Number>(x: &Expr<L>, leaf: &dyn Fn(&L) -> S) -> S {
    match x {
        Expr::Number(x) => S::c(*x),
        Expr::Leaf(l) => leaf(l),
        Expr::Apply(op, operands) => apply(*op, operands, leaf),
        Expr::Piecewise(pieces, otherwise) => {
            // Without a piece that holds, the value is undefined.
            let last = otherwise.as_ref().map_or_else(|| S::c(f64::NAN), |x| value(x, leaf));
            pieces.iter().rev().fold(last, |rest, (piece, condition)| {
                S::select(is_true(condition, leaf), value(piece, leaf), rest)
            })
        }
    }
}

/// Whether `x` holds.
pub(crate) fn is_true<L, S: Number>(x: &Expr<L>, leaf: &dyn Fn(&L) -> S) -> S::Mask {
    let truth = match x {
        Expr::Apply(op, operands) => truth(*op, operands, leaf),
        _ => None,
    };
    truth.unwrap_or_else(|| !equal(value(x, leaf), S::c(0.0)))
}

/// The truth value of an operation that has one.
fn truth<L, S: Number>(op: Op, operands: &[Expr<L>], leaf: &dyn Fn(&L) -> S) -> Option<S::Mask> {
    let always = || S::c(0.0).lt(S::c(1.0));
    let all = |relation: &dyn Fn(S, S) -> S::Mask| {
        let values: Vec<S> = operands.iter().map(|x| value(x, leaf)).collect();
        values.windows(2).map(|w| relation(w[0], w[1])).reduce(|a, b| a & b).unwrap_or_else(always)
    };
    let holds = |x| is_true(x, leaf);
    Some(match op {
        Op::Eq => all(&|a, b| equal(a, b)),
        Op::Neq => all(&|a, b| !equal(a, b)),
        Op::Lt => all(&|a, b| a.lt(b)),
        Op::Gt => all(&|a, b| b.lt(a)),
        Op::Leq => all(&|a, b| at_most(a, b)),
        Op::Geq => all(&|a, b| at_most(b, a)),
        Op::And => operands.iter().map(holds).reduce(|a, b| a & b).unwrap_or_else(always),
        Op::Or => operands.iter().map(holds).reduce(|a, b| a | b).unwrap_or_else(|| !always()),
        Op::Xor => operands.iter().map(holds).reduce(|a, b| (a & !b) | (!a & b)).unwrap_or_else(|| !always()),
        Op::Not => !is_true(&operands[0], leaf),
        Op::Implies => !is_true(&operands[0], leaf) | is_true(&operands[1], leaf),
        _ => return None,
    })
}

/// The operands are as many as the operation takes: `Expr::apply` made it.
fn apply<L, S: Number>(op: Op, operands: &[Expr<L>], leaf: &dyn Fn(&L) -> S) -> S {
    let v = |i: usize| value(&operands[i], leaf);
    let fold = |f: fn(S, S) -> S, none: f64| {
        operands.iter().map(|x| value(x, leaf)).reduce(f).unwrap_or_else(|| S::c(none))
    };
    match op {
        Op::Add => fold(|a, b| a + b, 0.0),
        Op::Mul => fold(|a, b| a * b, 1.0),
        Op::Max => fold(S::max, f64::NAN),
        Op::Min => fold(S::min, f64::NAN),
        Op::Sub => v(0) - v(1),
        Op::Neg => -v(0),
        Op::Div => v(0) / v(1),
        Op::Power => {
            let constant = match &operands[1] {
                Expr::Number(n) => Some(*n),
                Expr::Apply(Op::Neg, inner) => match inner[0] {
                    Expr::Number(n) => Some(-n),
                    _ => None,
                },
                _ => None,
            };
            power(v(0), v(1), constant)
        }
        Op::Root => match operands[0] {
            Expr::Number(2.0) => v(1).sqrt(),
            _ => power(v(1), v(0).recip(), None),
        },
        Op::Exp => v(0).exp(),
        Op::Ln => v(0).ln(),
        Op::Log => v(1).ln() / v(0).ln(),
        Op::Abs => v(0).abs(),
        Op::Floor => v(0).floor(),
        Op::Ceil => -((-v(0)).floor()),
        Op::Factorial => factorial(v(0)),
        Op::Quotient => truncate(v(0) / v(1)),
        Op::Rem => {
            let (a, b) = (v(0), v(1));
            a - b * truncate(a / b)
        }
        Op::Trig(f, form) => trig(f, form, v(0)),
        Op::Inverse(f, form) => inverse(f, form, v(0)),
        _ => {
            // What is no number so far is a truth value.
            truth(op, operands, leaf).map_or_else(|| S::c(f64::NAN), |m| S::select(m, S::c(1.0), S::c(0.0)))
        }
    }
}
