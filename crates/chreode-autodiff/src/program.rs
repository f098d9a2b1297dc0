//! A model as a list of operations: recorded once, then replayed on any number type, forward and backward.

use chreode_core::{Number, Sparsity};

use crate::dual::power;
use crate::graph::{Expr, Graph, Op};
use crate::map::Map;
use crate::schedule::schedule;

/// A recorded model.
///
/// It holds what the model did with the fields that it had: after a change of a field that loops or branches depend
/// on, record again. Comparisons carry no dependence; both sides of a selection do.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    pub(crate) d: usize,
    pub(crate) np: usize,
    /// Values: time, states, parameters, these constants, and then what operations give.
    pub(crate) constants: Vec<f64>,
    /// Operands and results are places among the values, or among the masks.
    pub(crate) steps: Vec<Step>,
    /// The same in the order of replaying; the first `n_fixed` are of parameters and constants alone.
    replayed: Vec<Step>,
    n_fixed: usize,
    pub(crate) n_values: usize,
    pub(crate) n_masks: usize,
    /// Where the outputs are: for a [`Dynamics`](chreode_core::Dynamics), the derivatives of the states.
    pub(crate) out: Vec<u32>,
}

/// An operation with the place of its result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    pub(crate) op: Op,
    pub(crate) to: u32,
}

/// Memory for replaying a [`Program`] on numbers of one type.
#[derive(Debug, Clone)]
pub struct Replay<V: Number> {
    pub(crate) values: Vec<V>,
    pub(crate) bars: Vec<V>,
    masks: Vec<V::Mask>,
}

impl Program {
    /// Records a model.
    ///
    /// # Panics
    /// If the model has more than 2³² operations.
    pub fn record<M: Map>(model: &M) -> Self {
        let (d, np) = (model.dim(), model.n_params());
        let graph = Graph::default();
        let out: Vec<u32> = {
            let y: Vec<Expr<'_>> = (0..d as u32).map(|i| graph.node(Op::State(i))).collect();
            let p: Vec<Expr<'_>> = (0..np as u32).map(|i| graph.node(Op::Param(i))).collect();
            let mut out = vec![Expr::K(0.0); model.n_out()];
            model.eval(graph.node(Op::Time), &y, &p, &mut out);
            out.into_iter().map(|x| graph.of(x)).collect()
        };
        Self::new(&graph.into_ops(), &out, d, np)
    }

    /// Keeps what the outputs need, and gives every result a place.
    pub(crate) fn new(ops: &[Op], out: &[u32], d: usize, np: usize) -> Self {
        let mut needed = vec![false; ops.len()];
        for &i in out {
            needed[i as usize] = true;
        }
        for (i, op) in ops.iter().enumerate().rev() {
            if needed[i] {
                for a in operands(*op) {
                    needed[a as usize] = true;
                }
            }
        }
        let first_constant = 1 + d + np;
        let mut constants = Vec::new();
        let mut place = vec![0_u32; ops.len()];
        for (i, op) in ops.iter().enumerate().filter(|&(i, _)| needed[i]) {
            place[i] = match *op {
                Op::State(j) => 1 + j,
                Op::Param(j) => 1 + d as u32 + j,
                Op::Const(bits) => {
                    constants.push(f64::from_bits(bits));
                    (first_constant + constants.len() - 1) as u32
                }
                _ => 0, // time is at 0; the rest follows
            };
        }
        let (mut n_values, mut n_masks) = (first_constant + constants.len(), 0);
        let mut steps = Vec::new();
        for (i, op) in ops.iter().enumerate().filter(|&(i, _)| needed[i]) {
            let next = match op {
                Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => continue,
                Op::Lt(..) | Op::And(..) | Op::Or(..) | Op::Not(_) => &mut n_masks,
                _ => &mut n_values,
            };
            place[i] = *next as u32; // not more than the graph has nodes, which are counted in 32 bits
            *next += 1;
            steps.push(Step { op: renumbered(*op, &place), to: place[i] });
        }
        let out = out.iter().map(|&i| place[i as usize]).collect();
        let (replayed, n_fixed) = schedule(&steps, first_constant + constants.len(), 0..1 + d);
        Self { d, np, constants, steps, replayed, n_fixed, n_values, n_masks, out }
    }

    /// Number of states.
    pub fn dim(&self) -> usize {
        self.d
    }

    /// Number of parameters.
    pub fn n_params(&self) -> usize {
        self.np
    }

    /// Number of outputs.
    pub fn n_out(&self) -> usize {
        self.out.len()
    }

    #[cfg(test)]
    pub(crate) fn replayed(&self) -> &[Step] {
        &self.replayed
    }

    /// Number of operations of parameters and constants alone.
    pub fn n_fixed(&self) -> usize {
        self.n_fixed
    }

    /// Number of operations.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether the derivatives are constants, states, parameters or time, without any operation.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Where `∂f/∂y` may differ from zero: `[n_out, d]`.
    pub fn sparsity(&self) -> Sparsity {
        self.pattern(self.d)
    }

    /// Where `[∂f/∂y | ∂f/∂p]` may differ from zero: `[n_out, d + n_params]`.
    pub fn sparsity_with_params(&self) -> Sparsity {
        self.pattern(self.d + self.np)
    }

    fn pattern(&self, columns: usize) -> Sparsity {
        let first = 1 + self.d + self.np + self.constants.len();
        // The step that gave each value.
        let mut step_of = vec![usize::MAX; self.n_values];
        for (s, step) in self.steps.iter().enumerate().filter(|(_, s)| !is_mask(s.op)) {
            step_of[step.to as usize] = s;
        }
        let mut seen_for = vec![usize::MAX; self.n_values];
        let (mut entries, mut left) = (Vec::new(), Vec::new());
        for (row, &out) in self.out.iter().enumerate() {
            left.push(out as usize);
            while let Some(i) = left.pop() {
                if seen_for[i] == row {
                    continue;
                }
                seen_for[i] = row;
                if (1..=columns).contains(&i) {
                    entries.push((row, i - 1));
                } else if i >= first {
                    let op = self.steps[step_of[i]].op;
                    let skip = usize::from(matches!(op, Op::Select(..))); // the mask
                    left.extend(operands(op).skip(skip).map(|a| a as usize));
                }
            }
        }
        // Rows and columns were counted above, so no entry lies outside.
        Sparsity::new(self.out.len(), columns, entries).expect("entries inside")
    }

    /// Memory for replaying on numbers of type `V`.
    pub fn replay<V: Number>(&self) -> Replay<V> {
        let zero = V::c(0.0);
        let mut values = vec![zero; self.n_values];
        for (v, &c) in values[1 + self.d + self.np..].iter_mut().zip(&self.constants) {
            *v = V::c(c);
        }
        Replay { values, bars: vec![zero; self.n_values], masks: vec![zero.lt(zero); self.n_masks] }
    }

    /// Sets `dy`, `[n_out]`, as the model would.
    ///
    /// # Panics
    /// If a slice has not the program's length.
    pub fn eval<V: Number>(&self, memory: &mut Replay<V>, t: V, y: &[V], p: &[V], dy: &mut [V]) {
        self.load(memory, t, y, p);
        self.forward(memory);
        self.read(memory, dy);
    }

    /// As [`eval`](Self::eval), with the parameters of the last call with this memory: what depends on them alone is not computed again.
    ///
    /// # Panics
    /// If a slice has not the program's length.
    pub fn eval_again<V: Number>(&self, memory: &mut Replay<V>, t: V, y: &[V], dy: &mut [V]) {
        memory.values[0] = t;
        memory.values[1..=self.d].copy_from_slice(y);
        Self::replay_steps(&self.replayed[self.n_fixed..], memory);
        self.read(memory, dy);
    }

    fn read<V: Number>(&self, memory: &Replay<V>, dy: &mut [V]) {
        assert_eq!(dy.len(), self.out.len(), "results of a program");
        for (dy, &i) in dy.iter_mut().zip(&self.out) {
            *dy = memory.values[i as usize];
        }
    }

    /// Sets `y_bar = λᵀ ∂f/∂y` and adds `λᵀ ∂f/∂p` to `p_bar`.
    ///
    /// # Panics
    /// If a slice has not the program's length.
    pub fn vjp<V: Number>(
        &self,
        memory: &mut Replay<V>,
        t: V,
        y: &[V],
        p: &[V],
        lambda: &[V],
        y_bar: &mut [V],
        p_bar: &mut [V],
    ) {
        self.load(memory, t, y, p);
        self.forward(memory);
        self.seed(memory, |i| lambda[i]);
        self.backward(memory);
        y_bar.copy_from_slice(&memory.bars[1..=self.d]);
        for (p_bar, &bar) in p_bar.iter_mut().zip(&memory.bars[1 + self.d..]) {
            *p_bar += bar;
        }
    }

    fn load<V: Number>(&self, memory: &mut Replay<V>, t: V, y: &[V], p: &[V]) {
        memory.values[0] = t;
        memory.values[1..=self.d].copy_from_slice(y);
        memory.values[1 + self.d..1 + self.d + self.np].copy_from_slice(&p[..self.np]);
    }

    /// Clears the bars and sets those of the outputs.
    #[inline(always)]
    pub(crate) fn seed<V: Number>(&self, memory: &mut Replay<V>, lambda: impl Fn(usize) -> V) {
        memory.bars.fill(V::c(0.0));
        for (i, &out) in self.out.iter().enumerate() {
            memory.bars[out as usize] += lambda(i); // two outputs may be one value
        }
    }

    /// All values, from those of time, states and parameters.
    #[inline(always)]
    pub(crate) fn forward<V: Number>(&self, memory: &mut Replay<V>) {
        Self::replay_steps(&self.replayed, memory);
    }

    #[inline(always)]
    fn replay_steps<V: Number>(steps: &[Step], memory: &mut Replay<V>) {
        let Replay { values, masks, .. } = memory;
        for step in steps {
            let v = |i: u32| values[i as usize];
            let m = |i: u32| masks[i as usize];
            let to = step.to as usize;
            // Each arm stores by itself: one store after the match would send every value through memory twice.
            match step.op {
                Op::Neg(a) => values[to] = -v(a),
                Op::Add(a, b) => values[to] = v(a) + v(b),
                Op::Sub(a, b) => values[to] = v(a) - v(b),
                Op::Mul(a, b) => values[to] = v(a) * v(b),
                Op::Div(a, b) => values[to] = v(a) / v(b),
                Op::Powf(a, b) => values[to] = v(a).powf(v(b)),
                Op::Exp(a) => values[to] = v(a).exp(),
                Op::Ln(a) => values[to] = v(a).ln(),
                Op::Sqrt(a) => values[to] = v(a).sqrt(),
                Op::Sin(a) => values[to] = v(a).sin(),
                Op::Cos(a) => values[to] = v(a).cos(),
                Op::Tanh(a) => values[to] = v(a).tanh(),
                Op::Floor(a) => values[to] = v(a).floor(),
                Op::Select(k, a, b) => values[to] = V::select(m(k), v(a), v(b)),
                Op::Lt(a, b) => masks[to] = v(a).lt(v(b)),
                Op::And(a, b) => masks[to] = m(a) & m(b),
                Op::Or(a, b) => masks[to] = m(a) | m(b),
                Op::Not(a) => masks[to] = !m(a),
                Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => {} // never a step
            }
        }
    }

    /// All bars, from those of the outputs; the values are those of the last `forward`.
    #[inline(always)]
    pub(crate) fn backward<V: Number>(&self, memory: &mut Replay<V>) {
        let Replay { values, masks, bars } = memory;
        // What the result of a step owes to one of its operands.
        macro_rules! owe {
            ($i:expr, $x:expr) => {{
                let x = $x;
                bars[$i as usize] += x;
            }};
        }
        for step in self.replayed.iter().rev() {
            let v = |i: u32| values[i as usize];
            let to = step.to;
            match step.op {
                Op::Neg(a) => owe!(a, -bars[to as usize]),
                Op::Add(a, b) => {
                    owe!(a, bars[to as usize]);
                    owe!(b, bars[to as usize]);
                }
                Op::Sub(a, b) => {
                    owe!(a, bars[to as usize]);
                    owe!(b, -bars[to as usize]);
                }
                Op::Mul(a, b) => {
                    let bar = bars[to as usize];
                    owe!(a, bar * v(b));
                    owe!(b, bar * v(a));
                }
                Op::Div(a, b) => {
                    let q = bars[to as usize] / v(b);
                    owe!(a, q);
                    owe!(b, -(q * v(to)));
                }
                Op::Powf(a, b) => {
                    let (bar, (by_base, by_exponent)) = (bars[to as usize], power(v(a), v(b), v(to)));
                    owe!(a, bar * by_base);
                    owe!(b, bar * by_exponent);
                }
                Op::Exp(a) => owe!(a, bars[to as usize] * v(to)),
                Op::Ln(a) => owe!(a, bars[to as usize] / v(a)),
                Op::Sqrt(a) => owe!(a, bars[to as usize] / (v(to) + v(to))),
                Op::Sin(a) => owe!(a, bars[to as usize] * v(a).cos()),
                Op::Cos(a) => owe!(a, -(bars[to as usize] * v(a).sin())),
                Op::Tanh(a) => {
                    let bar = bars[to as usize];
                    owe!(a, bar - bar * v(to) * v(to));
                }
                Op::Select(k, a, b) => {
                    let (m, bar, zero) = (masks[k as usize], bars[to as usize], V::c(0.0));
                    owe!(a, V::select(m, bar, zero));
                    owe!(b, V::select(m, zero, bar));
                }
                _ => {} // inputs, masks and what is flat
            }
        }
    }
}

pub(crate) fn is_mask(op: Op) -> bool {
    matches!(op, Op::Lt(..) | Op::And(..) | Op::Or(..) | Op::Not(_))
}

pub(crate) fn operands(op: Op) -> impl Iterator<Item = u32> {
    let (list, n) = match op {
        Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => ([0; 3], 0),
        Op::Neg(a)
        | Op::Exp(a)
        | Op::Ln(a)
        | Op::Sqrt(a)
        | Op::Sin(a)
        | Op::Cos(a)
        | Op::Tanh(a)
        | Op::Floor(a)
        | Op::Not(a) => ([a, 0, 0], 1),
        Op::Add(a, b)
        | Op::Sub(a, b)
        | Op::Mul(a, b)
        | Op::Div(a, b)
        | Op::Powf(a, b)
        | Op::Lt(a, b)
        | Op::And(a, b)
        | Op::Or(a, b) => ([a, b, 0], 2),
        Op::Select(m, a, b) => ([m, a, b], 3),
    };
    list.into_iter().take(n)
}

/// The same operation on places instead of node numbers.
fn renumbered(op: Op, place: &[u32]) -> Op {
    let at = |i: u32| place[i as usize];
    match op {
        Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => op,
        Op::Neg(a) => Op::Neg(at(a)),
        Op::Add(a, b) => Op::Add(at(a), at(b)),
        Op::Sub(a, b) => Op::Sub(at(a), at(b)),
        Op::Mul(a, b) => Op::Mul(at(a), at(b)),
        Op::Div(a, b) => Op::Div(at(a), at(b)),
        Op::Powf(a, b) => Op::Powf(at(a), at(b)),
        Op::Exp(a) => Op::Exp(at(a)),
        Op::Ln(a) => Op::Ln(at(a)),
        Op::Sqrt(a) => Op::Sqrt(at(a)),
        Op::Sin(a) => Op::Sin(at(a)),
        Op::Cos(a) => Op::Cos(at(a)),
        Op::Tanh(a) => Op::Tanh(at(a)),
        Op::Floor(a) => Op::Floor(at(a)),
        Op::Select(m, a, b) => Op::Select(at(m), at(a), at(b)),
        Op::Lt(a, b) => Op::Lt(at(a), at(b)),
        Op::And(a, b) => Op::And(at(a), at(b)),
        Op::Or(a, b) => Op::Or(at(a), at(b)),
        Op::Not(a) => Op::Not(at(a)),
    }
}
