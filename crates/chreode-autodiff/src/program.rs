//! A model as a list of operations: recorded once, then replayed on any number type, forward and backward.

use std::mem::discriminant;

use chreode_core::{Number, Sparsity};

use crate::dual::power;
use crate::graph::{Expr, Graph, Op};
use crate::map::Map;
use crate::schedule::schedule;

/// A recorded model.
///
/// It holds what the model did with the fields that it had: after a change of a field that loops or branches depend
/// on, record again. Comparisons carry no dependence; both sides of a selection do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Program {
    pub(crate) d: usize,
    pub(crate) np: usize,
    /// Values: time, states, parameters, these constants, and then what operations give.
    pub(crate) constants: Vec<f64>,
    /// In the order of the recording. Operands and results are places among the values, or among the masks.
    pub(crate) steps: Vec<Step>,
    /// The steps in the order of replaying, by the operands of each, in runs of one kind; the first `fixed_runs`, of `n_fixed` steps, are
    /// of parameters and constants alone.
    operands: Vec<[u32; 3]>,
    runs: Vec<Run>,
    fixed_runs: usize,
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

/// Steps of one kind in a row, none of which needs the result of another: these lie side by side from `to` on.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Run {
    op: Op,
    from: usize,
    len: usize,
    to: usize,
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
            let mut needs = [0; 3];
            needs.iter_mut().zip(operands(*op)).for_each(|(to, a)| *to = place[a as usize]);
            steps.push(Step { op: with_operands(*op, needs), to: place[i] });
        }
        let out: Vec<u32> = out.iter().map(|&i| place[i as usize]).collect();
        let first = first_constant + constants.len();
        let (ordered, n_fixed) = schedule(&steps, first, 0..1 + d);
        let mut program =
            Self { d, np, constants, steps, n_fixed, n_values, n_masks, out, ..Self::default() };
        program.find_runs(&ordered, first);
        program
    }

    /// Finds runs in the steps as they are replayed, and gives results places in this order.
    fn find_runs(&mut self, ordered: &[Step], first: usize) {
        // By the places so far.
        let mut value: Vec<u32> = (0..self.n_values as u32).collect();
        let mut mask = vec![0_u32; self.n_masks];
        let renamed = |op: Op, value: &[u32], mask: &[u32]| {
            let mut places = [0; 3];
            for (k, (to, old)) in places.iter_mut().zip(operands(op)).enumerate() {
                *to = if k < mask_operands(op) { mask[old as usize] } else { value[old as usize] };
            }
            places
        };
        let (mut values, mut masks) = (first as u32, 0);
        for (s, step) in ordered.iter().enumerate() {
            let op = step.op;
            let needed = renamed(op, &value, &mask);
            let (next, of) = if is_mask(op) { (&mut masks, &mut mask) } else { (&mut values, &mut value) };
            of[step.to as usize] = *next;
            // A step that needs the result of one of the same run begins another.
            let goes_on = self.runs.last_mut().filter(|run| {
                let needs = |k: usize| (k < mask_operands(op)) == is_mask(op) && needed[k] as usize >= run.to;
                let needs_run = (0..operands(op).count()).any(needs);
                s != self.n_fixed && discriminant(&run.op) == discriminant(&op) && !needs_run
            });
            match goes_on {
                Some(run) => run.len += 1,
                None => self.runs.push(Run { op, from: s, len: 1, to: *next as usize }),
            }
            *next += 1;
            self.operands.push(needed);
        }
        self.fixed_runs = self.runs.iter().take_while(|run| run.from < self.n_fixed).count();
        for step in &mut self.steps {
            step.op = with_operands(step.op, renamed(step.op, &value, &mask));
            let of = if is_mask(step.op) { &mask } else { &value };
            step.to = of[step.to as usize];
        }
        self.out.iter_mut().for_each(|out| *out = value[*out as usize]);
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
    pub(crate) fn runs(&self) -> usize {
        self.runs.len()
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
        self.replay_runs(&self.runs[self.fixed_runs..], memory);
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
        self.replay_runs(&self.runs, memory);
    }

    #[inline(always)]
    fn replay_runs<V: Number>(&self, runs: &[Run], memory: &mut Replay<V>) {
        let Replay { values, masks, .. } = memory;
        for run in runs {
            let operands = &self.operands[run.from..run.from + run.len];
            // Results of values, all of which lie before them.
            macro_rules! results {
                (|$a:ident| $x:expr) => {
                    results!(|$a, _b| $x)
                };
                (|$a:ident, $b:ident| $x:expr) => {{
                    let (before, results) = values.split_at_mut(run.to);
                    for (to, operands) in results[..run.len].iter_mut().zip(operands) {
                        let ($a, $b) = (before[operands[0] as usize], before[operands[1] as usize]);
                        *to = $x;
                    }
                }};
            }
            // Masks of masks.
            macro_rules! masks {
                (|$a:ident, $b:ident| $x:expr) => {
                    for (i, operands) in operands.iter().enumerate() {
                        let ($a, $b) = (masks[operands[0] as usize], masks[operands[1] as usize]);
                        masks[run.to + i] = $x;
                    }
                };
            }
            match run.op {
                Op::Neg(_) => results!(|a| -a),
                Op::Add(..) => results!(|a, b| a + b),
                Op::Sub(..) => results!(|a, b| a - b),
                Op::Mul(..) => results!(|a, b| a * b),
                Op::Div(..) => results!(|a, b| a / b),
                Op::Powf(..) => results!(|a, b| a.powf(b)),
                Op::Exp(_) => results!(|a| a.exp()),
                Op::Ln(_) => results!(|a| a.ln()),
                Op::Sqrt(_) => results!(|a| a.sqrt()),
                Op::Sin(_) => results!(|a| a.sin()),
                Op::Cos(_) => results!(|a| a.cos()),
                Op::Tanh(_) => results!(|a| a.tanh()),
                Op::Floor(_) => results!(|a| a.floor()),
                Op::Select(..) => {
                    let (before, results) = values.split_at_mut(run.to);
                    for (to, &[m, a, b]) in results[..run.len].iter_mut().zip(operands) {
                        *to = V::select(masks[m as usize], before[a as usize], before[b as usize]);
                    }
                }
                Op::Lt(..) => {
                    for (to, &[a, b, _]) in masks[run.to..run.to + run.len].iter_mut().zip(operands) {
                        *to = values[a as usize].lt(values[b as usize]);
                    }
                }
                Op::And(..) => masks!(|a, b| a & b),
                Op::Or(..) => masks!(|a, b| a | b),
                Op::Not(_) => masks!(|a, _b| !a),
                Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => {} // never a step
            }
        }
    }

    /// All bars, from those of the outputs; the values are those of the last `forward`.
    #[inline(always)]
    pub(crate) fn backward<V: Number>(&self, memory: &mut Replay<V>) {
        let Replay { values, masks, bars } = memory;
        for run in self.runs.iter().rev().filter(|run| !is_mask(run.op)) {
            let operands = &self.operands[run.from..run.from + run.len];
            let (before, own) = bars.split_at_mut(run.to);
            let results = &values[run.to..run.to + run.len];
            let steps = own[..run.len].iter().zip(results).zip(operands).rev();
            // What the results of steps owe to their operands.
            macro_rules! owed {
                (|$a:ident, $v:ident, $bar:ident| $x:expr) => {
                    for ((&$bar, &$v), operands) in steps {
                        let a = operands[0] as usize;
                        let $a = values[a];
                        before[a] += $x;
                    }
                };
                (|$a:ident, $b:ident, $v:ident, $bar:ident| $x:expr, $y:expr) => {
                    for ((&$bar, &$v), operands) in steps {
                        let (a, b) = (operands[0] as usize, operands[1] as usize);
                        let ($a, $b) = (values[a], values[b]);
                        before[a] += $x;
                        before[b] += $y;
                    }
                };
            }
            match run.op {
                Op::Neg(_) => owed!(|_a, _v, bar| -bar),
                Op::Add(..) => owed!(|_a, _b, _v, bar| bar, bar),
                Op::Sub(..) => owed!(|_a, _b, _v, bar| bar, -bar),
                Op::Mul(..) => owed!(|a, b, _v, bar| bar * b, bar * a),
                Op::Div(..) => {
                    for ((&bar, &v), &[a, b, _]) in steps {
                        let q = bar / values[b as usize];
                        before[a as usize] += q;
                        before[b as usize] += -(q * v);
                    }
                }
                Op::Powf(..) => {
                    for ((&bar, &v), &[a, b, _]) in steps {
                        let (by_base, by_exponent) = power(values[a as usize], values[b as usize], v);
                        before[a as usize] += bar * by_base;
                        before[b as usize] += bar * by_exponent;
                    }
                }
                Op::Exp(_) => owed!(|_a, v, bar| bar * v),
                Op::Ln(_) => owed!(|a, _v, bar| bar / a),
                Op::Sqrt(_) => owed!(|_a, v, bar| bar / (v + v)),
                Op::Sin(_) => owed!(|a, _v, bar| bar * a.cos()),
                Op::Cos(_) => owed!(|a, _v, bar| -(bar * a.sin())),
                Op::Tanh(_) => owed!(|_a, v, bar| bar - bar * v * v),
                Op::Select(..) => {
                    let zero = V::c(0.0);
                    for ((&bar, _), &[m, a, b]) in steps {
                        let m = masks[m as usize];
                        before[a as usize] += V::select(m, bar, zero);
                        before[b as usize] += V::select(m, zero, bar);
                    }
                }
                _ => {} // what is flat
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

/// How many of the operands, which come first, are masks.
pub(crate) fn mask_operands(op: Op) -> usize {
    match op {
        Op::Select(..) | Op::Not(_) => 1,
        Op::And(..) | Op::Or(..) => 2,
        _ => 0,
    }
}

/// The same operation on other operands.
fn with_operands(op: Op, [a, b, c]: [u32; 3]) -> Op {
    match op {
        Op::Const(_) | Op::Time | Op::State(_) | Op::Param(_) => op,
        Op::Neg(_) => Op::Neg(a),
        Op::Add(..) => Op::Add(a, b),
        Op::Sub(..) => Op::Sub(a, b),
        Op::Mul(..) => Op::Mul(a, b),
        Op::Div(..) => Op::Div(a, b),
        Op::Powf(..) => Op::Powf(a, b),
        Op::Exp(_) => Op::Exp(a),
        Op::Ln(_) => Op::Ln(a),
        Op::Sqrt(_) => Op::Sqrt(a),
        Op::Sin(_) => Op::Sin(a),
        Op::Cos(_) => Op::Cos(a),
        Op::Tanh(_) => Op::Tanh(a),
        Op::Floor(_) => Op::Floor(a),
        Op::Select(..) => Op::Select(a, b, c),
        Op::Lt(..) => Op::Lt(a, b),
        Op::And(..) => Op::And(a, b),
        Op::Or(..) => Op::Or(a, b),
        Op::Not(_) => Op::Not(a),
    }
}
