//! Reverse mode on a tape that is borrowed and used again.
//!
//! Each operation leaves a node with two parents and its two partial derivatives; a sweep from the last node to the
//! first adds up what the result owes to each. All safe code: the tape has a fixed number of cells while it records;
//! past the end it only counts, and the recording is repeated on a larger one.
//! Not here: models that are recorded once and replayed (`program`), which is faster for many evaluations.

use std::cell::Cell;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use chreode_core::{Dynamics, Number};

use crate::dual::power;

/// What an operation leaves: parents, and the derivatives by them. Node 0 is a sink, the parent of constants.
#[derive(Debug, Clone, Copy)]
struct Node<V> {
    a: u32,
    b: u32,
    da: V,
    db: V,
}

struct Nodes<V> {
    cells: Vec<Cell<Node<V>>>,
    len: Cell<usize>,
}

impl<V> std::fmt::Debug for Nodes<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nodes({} of {})", self.len.get(), self.cells.len())
    }
}

impl<V: Copy> Nodes<V> {
    #[inline(always)]
    fn push(&self, node: Node<V>) -> u32 {
        let i = self.len.get();
        self.len.set(i + 1);
        if let Some(cell) = self.cells.get(i) {
            cell.set(node);
        }
        i as u32
    }
}

/// A value that leaves its operations on a tape: a [`Number`] for gradients of one result by many inputs.
#[derive(Debug, Clone, Copy)]
pub struct Var<'t, V> {
    /// None for a constant.
    tape: Option<&'t Nodes<V>>,
    i: u32,
    v: V,
}

/// Memory for reverse mode, used again by every call: after the largest one, nothing is allocated.
///
/// `V` is any [`Number`]; over `Dual<f64, 1>` the gradients carry their derivative in a direction, which gives
/// products with second derivatives.
///
/// ```
/// use chreode_autodiff::Tape;
/// use chreode_core::Number;
/// let mut tape = Tape::new();
/// let mut gradient = [0.0; 2];
/// let value = tape.gradient(&[2.0, 3.0], &mut gradient, |x| x[0] * x[0] * x[1].ln());
/// assert_eq!(value, 4.0 * 3.0_f64.ln());
/// assert_eq!(gradient, [4.0 * 3.0_f64.ln(), 4.0 / 3.0]);
/// ```
#[derive(Debug)]
pub struct Tape<V: 'static> {
    nodes: Nodes<V>,
    bars: Vec<V>,
    vars: Vec<Var<'static, V>>,
    outputs: Vec<u32>,
}

impl<V: Number> Default for Tape<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V: Number> Tape<V> {
    /// An empty tape.
    pub fn new() -> Self {
        let nodes = Nodes { cells: Vec::new(), len: Cell::new(0) };
        Self { nodes, bars: Vec::new(), vars: Vec::new(), outputs: Vec::new() }
    }

    /// The value of `f` at `x`, and its gradient.
    ///
    /// `f` is called again when the tape was too short.
    ///
    /// # Panics
    /// If the gradient is not as long as `x`.
    pub fn gradient<F>(&mut self, x: &[V], gradient: &mut [V], f: F) -> V
    where
        F: for<'t> Fn(&[Var<'t, V>]) -> Var<'t, V>,
    {
        assert_eq!(x.len(), gradient.len(), "gradient of another length than its inputs");
        loop {
            let mut vars = recycled(std::mem::take(&mut self.vars));
            self.nodes.len.set(1);
            vars.extend(x.iter().map(|&v| self.nodes.input(v)));
            let result = f(&vars);
            let (i, value) = (result.i as usize, result.v);
            self.vars = recycled(vars);
            if self.fits() {
                self.bars[i] += V::c(1.0);
                self.pull_back();
                gradient.copy_from_slice(&self.bars[1..=x.len()]);
                return value;
            }
        }
    }

    /// `y_bar = λᵀ ∂f/∂y` and `p_bar += λᵀ ∂f/∂p` of a model at one point.
    ///
    /// # Panics
    /// If a slice is shorter than the model asks for.
    pub fn vjp<D: Dynamics>(
        &mut self,
        model: &D,
        t: V,
        y: &[V],
        p: &[V],
        lambda: &[V],
        y_bar: &mut [V],
        p_bar: &mut [V],
    ) {
        let (d, np) = (model.dim(), model.n_params());
        loop {
            let mut vars = recycled(std::mem::take(&mut self.vars));
            self.nodes.len.set(1);
            vars.extend(y[..d].iter().chain(&p[..np]).map(|&v| self.nodes.input(v)));
            vars.extend((0..d).map(|_| Var::constant(V::c(0.0))));
            let (inputs, dy) = vars.split_at_mut(d + np);
            model.eval(Var::constant(t), &inputs[..d], &inputs[d..], dy);
            self.outputs.clear();
            self.outputs.extend(dy.iter().map(|dy| dy.i));
            self.vars = recycled(vars);
            if self.fits() {
                for (&i, &lambda) in self.outputs.iter().zip(lambda) {
                    self.bars[i as usize] += lambda;
                }
                self.pull_back();
                y_bar[..d].copy_from_slice(&self.bars[1..=d]);
                for (p_bar, &bar) in p_bar.iter_mut().zip(&self.bars[1 + d..1 + d + np]) {
                    *p_bar += bar;
                }
                return;
            }
        }
    }

    /// Whether all nodes found room, and then zeros for what the result owes to each; makes the room if not.
    fn fits(&mut self) -> bool {
        let (len, zero) = (self.nodes.len.get(), V::c(0.0));
        if len > self.nodes.cells.len() {
            let empty = Node { a: 0, b: 0, da: zero, db: zero };
            self.nodes.cells.resize(len.next_power_of_two(), Cell::new(empty));
            return false;
        }
        self.bars.clear();
        self.bars.resize(len, zero);
        true
    }

    fn pull_back(&mut self) {
        for i in (1..self.bars.len()).rev() {
            let (bar, node) = (self.bars[i], self.nodes.cells[i].get());
            let (a, b) = (node.a as usize, node.b as usize);
            self.bars[a] = node.da.mul_add(bar, self.bars[a]);
            self.bars[b] = node.db.mul_add(bar, self.bars[b]);
        }
    }
}

impl<V: Number> Nodes<V> {
    fn input(&self, v: V) -> Var<'_, V> {
        let zero = V::c(0.0);
        Var { tape: Some(self), i: self.push(Node { a: 0, b: 0, da: zero, db: zero }), v }
    }
}

/// An empty vector in the same memory, for variables of another tape lifetime: collecting in place keeps it.
fn recycled<'b, V>(mut vars: Vec<Var<'_, V>>) -> Vec<Var<'b, V>> {
    vars.clear();
    vars.into_iter().map(|var| Var { tape: None, i: 0, v: var.v }).collect()
}

impl<V: Number> Var<'_, V> {
    #[inline(always)]
    fn constant(v: V) -> Self {
        Self { tape: None, i: 0, v }
    }

    /// The value.
    pub fn value(&self) -> V {
        self.v
    }

    /// A function of one variable, with its slope.
    #[inline(always)]
    fn unary(self, v: V, slope: V) -> Self {
        let i = self.tape.map_or(0, |t| t.push(Node { a: self.i, b: 0, da: slope, db: V::c(0.0) }));
        Self { tape: self.tape, i, v }
    }

    /// A function of two, with its slopes.
    #[inline(always)]
    fn binary(self, o: Self, v: V, da: V, db: V) -> Self {
        let tape = self.tape.or(o.tape);
        let i = tape.map_or(0, |t| t.push(Node { a: self.i, b: o.i, da, db }));
        Self { tape, i, v }
    }
}

impl<V: Number> Neg for Var<'_, V> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.unary(-self.v, V::c(-1.0))
    }
}

macro_rules! binary {
    ($op:ident, $f:ident, $assign:ident, $g:ident, |$a:ident, $b:ident, $v:ident| ($da:expr, $db:expr), |$c:ident| $dc:expr) => {
        impl<V: Number> $op for Var<'_, V> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, o: Self) -> Self {
                let ($a, $b, $v) = (self.v, o.v, $op::$f(self.v, o.v));
                self.binary(o, $v, $da, $db)
            }
        }
        impl<V: Number> $op<f64> for Var<'_, V> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, $c: f64) -> Self {
                self.unary($op::$f(self.v, $c), $dc)
            }
        }
        impl<V: Number> $assign for Var<'_, V> {
            #[inline(always)]
            fn $g(&mut self, o: Self) {
                *self = $op::$f(*self, o);
            }
        }
    };
}
binary!(Add, add, AddAssign, add_assign, |_a, _b, v| (V::c(1.0), V::c(1.0)), |_c| V::c(1.0));
binary!(Sub, sub, SubAssign, sub_assign, |_a, _b, v| (V::c(1.0), V::c(-1.0)), |_c| V::c(1.0));
binary!(Mul, mul, MulAssign, mul_assign, |a, b, v| (b, a), |c| V::c(c));
binary!(Div, div, DivAssign, div_assign, |_a, b, v| (b.recip(), -(v / b)), |c| V::c(1.0 / c));

impl<V: Number> Number for Var<'_, V> {
    type Mask = V::Mask;
    #[inline(always)]
    fn c(x: f64) -> Self {
        Self::constant(V::c(x))
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let v = self.v.exp();
        self.unary(v, v)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.unary(self.v.ln(), self.v.recip())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let v = self.v.sqrt();
        self.unary(v, (v + v).recip())
    }
    #[inline(always)]
    fn sin(self) -> Self {
        self.unary(self.v.sin(), self.v.cos())
    }
    #[inline(always)]
    fn cos(self) -> Self {
        self.unary(self.v.cos(), -self.v.sin())
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        let v = self.v.tanh();
        self.unary(v, (-v).mul_add(v, V::c(1.0)))
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Self::constant(self.v.floor())
    }
    #[inline(always)]
    fn lt(self, o: Self) -> V::Mask {
        self.v.lt(o.v)
    }
    #[inline(always)]
    fn select(m: V::Mask, a: Self, b: Self) -> Self {
        let (one, zero) = (V::c(1.0), V::c(0.0));
        a.binary(b, V::select(m, a.v, b.v), V::select(m, one, zero), V::select(m, zero, one))
    }
    #[inline(always)]
    fn recip(self) -> Self {
        let v = self.v.recip();
        self.unary(v, -(v * v))
    }
    #[inline(always)]
    fn powf(self, p: Self) -> Self {
        let v = self.v.powf(p.v);
        let (by_base, by_exponent) = power(self.v, p.v, v);
        self.binary(p, v, by_base, by_exponent)
    }
}
