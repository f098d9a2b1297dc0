//! A model as a list of operations: recorded once, then replayed on any number type, forward and backward.

use chreode_core::Sparsity;

use crate::graph::{Expr, Graph, Op};
use crate::map::Map;
use crate::replay::Replay;
use crate::schedule::{Copies, Run, Schedule};

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
    pub(crate) operands: Vec<[u32; 3]>,
    pub(crate) runs: Vec<Run>,
    /// States that are copied before the first of these.
    pub(crate) copies: Option<Copies>,
    pub(crate) fixed_runs: usize,
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

    /// The same function as derivatives take it: values that differ in their sign alone are one, so that what is owed to them is summed
    /// before it goes on.
    pub(crate) fn for_derivatives(&self) -> Self {
        let graph = Graph::of_derivatives();
        let out: Vec<u32> = {
            let values = self.on_symbols(&graph).values;
            self.out.iter().map(|&i| graph.of(values[i as usize])).collect()
        };
        Self::new(&graph.into_ops(), &out, self.d, self.np)
    }

    /// All values, recorded.
    pub(crate) fn on_symbols<'g>(&self, graph: &'g Graph) -> Replay<Expr<'g>> {
        let mut memory = self.replay();
        let symbols = (0..self.d as u32).map(Op::State).chain((0..self.np as u32).map(Op::Param));
        for (value, op) in memory.values.iter_mut().zip([Op::Time].into_iter().chain(symbols)) {
            *value = graph.node(op);
        }
        self.forward(&mut memory);
        memory
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
        let Schedule { runs, operands, fixed_runs, n_fixed, values, masks, copies } =
            Schedule::new(&steps, first, (d, np));
        n_values += copies.map_or(0, |_| d);
        for step in &mut steps {
            step.op = with_operands(step.op, renamed(step.op, &values, &masks));
            step.to = (if is_mask(step.op) { &masks } else { &values })[step.to as usize];
        }
        let out = out.into_iter().map(|i| values[i as usize]).collect();
        Self { d, np, constants, steps, operands, runs, copies, fixed_runs, n_fixed, n_values, n_masks, out }
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

    /// Whether functions like `exp` are taken of what depends on the state.
    pub(crate) fn has_functions_of_states(&self) -> bool {
        let mut moves = vec![false; self.n_values];
        moves[1..=self.d].fill(true);
        self.steps.iter().filter(|step| !is_mask(step.op)).any(|&Step { op, to }| {
            let of_states = operands(op).skip(mask_operands(op)).any(|a| moves[a as usize]);
            moves[to as usize] = of_states;
            let is_function =
                matches!(op, Op::Powf(..) | Op::Exp(_) | Op::Ln(_) | Op::Sin(_) | Op::Cos(_) | Op::Tanh(_));
            of_states && is_function
        })
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

/// The places of operands, which moved.
pub(crate) fn renamed(op: Op, values: &[u32], masks: &[u32]) -> [u32; 3] {
    let mut places = [0; 3];
    for (k, (to, old)) in places.iter_mut().zip(operands(op)).enumerate() {
        *to = if k < mask_operands(op) { masks[old as usize] } else { values[old as usize] };
    }
    places
}

/// The same operation on other operands.
pub(crate) fn with_operands(op: Op, [a, b, c]: [u32; 3]) -> Op {
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
