//! Pull-backs as programs of their own.
//!
//! A program that is replayed backward computes all of its values, then what is owed to each of them, constants included. Replayed once on
//! symbols it leaves a program with the pull-back as its values: what it does not need is not there, and what is zero or equal neither.

use std::ops::Range;

use chreode_core::Number;

use crate::graph::{Expr, Graph, Op};
use crate::program::Program;
use crate::sums::{Terms, by_halves};

/// `λᵀ [∂f/∂y | ∂f/∂p]`, recorded.
#[derive(Debug, Clone)]
pub(crate) struct PullBack {
    /// Its states are those of the model and then λ, `[d + n_out]`; of its outputs the first `d` are owed to the states.
    pub(crate) program: Program,
    /// What is owed to each parameter is the sum of these values.
    owed: Vec<Vec<Range<usize>>>,
}

impl PullBack {
    pub(crate) fn new(model: &Program) -> Self {
        let (d, np) = (model.d, model.np);
        let graph = Graph::default();
        let bars: Vec<u32> = {
            let node = |op: Op| graph.node(op);
            let mut memory = model.replay::<Expr<'_>>();
            memory.values[0] = node(Op::Time);
            for (i, y) in memory.values[1..=d].iter_mut().enumerate() {
                *y = node(Op::State(i as u32));
            }
            for (i, p) in memory.values[1 + d..=d + np].iter_mut().enumerate() {
                *p = node(Op::Param(i as u32));
            }
            model.forward(&mut memory);
            model.seed(&mut memory, |i| node(Op::State((d + i) as u32)));
            model.backward(&mut memory);
            memory.bars[1..=d + np].iter().map(|&bar| graph.of(bar)).collect()
        };
        let ops = graph.into_ops();
        let (by_state, by_parameter) = bars.split_at(d);
        // Each point of a grid owes something to a parameter: these values lie side by side, and are added faster when they are read.
        let terms = Terms::of(&ops, &bars);
        let of_parameters: Vec<Vec<u32>> = by_parameter.iter().map(|&bar| terms.of_long(bar)).collect();
        let out: Vec<u32> = by_state.iter().chain(of_parameters.iter().flatten()).copied().collect();
        let (ops, out) = by_halves(&ops, &out);
        let program = Program::new(&ops, &out, d + model.out.len(), np);
        // Those of one species lie side by side in the copies of the states.
        let mut places = program.out[d..].iter().map(|&i| match (program.copies, i as usize) {
            (Some(copies), i) if (1..=program.d).contains(&i) => copies.place(program.d, i - 1),
            (_, i) => i,
        });
        let owed =
            of_parameters.iter().map(|terms| side_by_side(places.by_ref().take(terms.len()))).collect();
        Self { program, owed }
    }

    /// What is owed to each parameter, after a replay that left these values: sums over `N` terms at a time.
    #[inline(always)]
    pub(crate) fn owed<'a, V: Number, const N: usize>(&'a self, values: &'a [V]) -> impl Iterator<Item = V> {
        self.owed.iter().map(|parts| {
            if let [part] = &parts[..]
                && part.len() == 1
            {
                return values[part.start];
            }
            let mut sums = [V::c(0.0); N];
            for part in parts {
                let (terms, rest) = values[part.clone()].as_chunks::<N>();
                for terms in terms {
                    sums.iter_mut().zip(terms).for_each(|(sum, &term)| *sum += term);
                }
                sums.iter_mut().zip(rest).for_each(|(sum, &term)| *sum += term);
            }
            sums.into_iter().reduce(|a, b| a + b).unwrap_or(V::c(0.0))
        })
    }
}

/// These places in their order, as ranges.
fn side_by_side(places: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut places: Vec<usize> = places.collect();
    places.sort_unstable();
    let mut parts: Vec<Range<usize>> = Vec::new();
    for place in places {
        match parts.last_mut() {
            Some(part) if part.end == place => part.end += 1,
            _ => parts.push(place..place + 1),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_summed_as_often_as_they_stand_there() {
        assert_eq!(side_by_side([7, 3, 4, 4, 5].into_iter()), [3..5, 4..6, 7..8]);
    }
}
