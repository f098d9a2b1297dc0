//! Pull-backs as programs of their own.
//!
//! A program that is replayed backward computes all of its values, then what is owed to each of them, constants included. Replayed once on
//! symbols it leaves a program with the pull-back as its values: what it does not need is not there, and what is zero or equal neither.

use crate::graph::{Expr, Graph, Op};
use crate::program::Program;
use crate::sums::by_halves;

impl Program {
    /// `λᵀ [∂f/∂y | ∂f/∂p]`: its states are those of this program and then λ, `[d + n_out]`; its values `[d + np]`.
    pub(crate) fn pulled_back(&self) -> Self {
        let (d, np) = (self.d, self.np);
        let graph = Graph::default();
        let out: Vec<u32> = {
            let node = |op: Op| graph.node(op);
            let mut memory = self.replay::<Expr<'_>>();
            memory.values[0] = node(Op::Time);
            for (i, y) in memory.values[1..=d].iter_mut().enumerate() {
                *y = node(Op::State(i as u32));
            }
            for (i, p) in memory.values[1 + d..=d + np].iter_mut().enumerate() {
                *p = node(Op::Param(i as u32));
            }
            self.forward(&mut memory);
            self.seed(&mut memory, |i| node(Op::State((d + i) as u32)));
            self.backward(&mut memory);
            memory.bars[1..=d + np].iter().map(|&bar| graph.of(bar)).collect()
        };
        let (ops, out) = by_halves(&graph.into_ops(), &out);
        Self::new(&ops, &out, d + self.out.len(), np)
    }
}
