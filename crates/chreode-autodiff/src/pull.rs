//! Pull-backs as programs of their own.
//!
//! A program that is replayed backward computes all of its values, then what is owed to each of them, constants included. Replayed once on
//! symbols it leaves a program with the pull-back as its values: what it does not need is not there, and what is zero or equal neither.

use std::ops::Range;

use chreode_core::Number;

use crate::graph::{Graph, Op};
use crate::program::Program;
use crate::sums::{Terms, by_halves};

/// `λᵀ [∂f/∂y | ∂f/∂p]`, recorded.
#[derive(Debug, Clone)]
pub(crate) struct PullBack {
    /// Its states are those of the model and then λ, `[d + n_out]`; of its outputs the first `d` are owed to the states.
    pub(crate) program: Program,
    /// What is owed to each parameter.
    owed: Vec<Owed>,
}

/// What is owed to a parameter, after a replay.
#[derive(Debug, Clone)]
enum Owed {
    Value(usize),
    /// The sum of the values in the first parts, without that of the others.
    Sum([Vec<Range<usize>>; 2]),
}

impl PullBack {
    pub(crate) fn new(model: &Program) -> Self {
        let model = &model.for_derivatives();
        let (d, np) = (model.d, model.np);
        let graph = Graph::of_derivatives();
        let bars: Vec<u32> = {
            let mut memory = model.on_symbols(&graph);
            model.seed(&mut memory, |i| graph.node(Op::State((d + i) as u32)));
            model.backward(&mut memory);
            memory.bars[1..=d + np].iter().map(|&bar| graph.of(bar)).collect()
        };
        let ops = graph.into_ops();
        let (by_state, by_parameter) = bars.split_at(d);
        // Each point of a grid owes something to a parameter: these values lie side by side, and are added faster when they are read.
        let terms = Terms::of(&ops, &bars);
        let of_parameters: Vec<[Vec<u32>; 2]> = by_parameter.iter().map(|&bar| terms.of_long(bar)).collect();
        let out: Vec<u32> =
            by_state.iter().chain(of_parameters.iter().flatten().flatten()).copied().collect();
        let (ops, out) = by_halves(&ops, &out);
        let program = Program::new(&ops, &out, d + model.out.len(), np);
        // Those of one species lie side by side in the copies of the states.
        let mut places = program.out[d..].iter().map(|&i| match (program.copies, i as usize) {
            (Some(copies), i) if (1..=program.d).contains(&i) => copies.place(program.d, i - 1),
            (_, i) => i,
        });
        let owed = of_parameters
            .iter()
            .map(|signs| {
                match signs.each_ref().map(|terms| side_by_side(places.by_ref().take(terms.len()))) {
                    [more, less] if less.is_empty() && more.len() == 1 && more[0].len() == 1 => {
                        Owed::Value(more[0].start)
                    }
                    parts => Owed::Sum(parts),
                }
            })
            .collect();
        Self { program, owed }
    }

    /// What is owed to each parameter, after a replay that left these values: sums over `N` terms at a time.
    #[inline(always)]
    pub(crate) fn owed<'a, V: Number, const N: usize>(&'a self, values: &'a [V]) -> impl Iterator<Item = V> {
        self.owed.iter().map(|owed| match owed {
            Owed::Value(at) => values[*at],
            Owed::Sum([more, less]) => {
                let more = summed::<V, N>(values, more);
                if less.is_empty() { more } else { more - summed::<V, N>(values, less) }
            }
        })
    }
}

/// The sum of the values in these parts.
#[inline(always)]
fn summed<V: Number, const N: usize>(values: &[V], parts: &[Range<usize>]) -> V {
    let mut sums = [V::c(0.0); N];
    for part in parts {
        let (terms, rest) = values[part.clone()].as_chunks::<N>();
        for terms in terms {
            sums.iter_mut().zip(terms).for_each(|(sum, &term)| *sum += term);
        }
        sums.iter_mut().zip(rest).for_each(|(sum, &term)| *sum += term);
    }
    sums.into_iter().reduce(|a, b| a + b).unwrap_or(V::c(0.0))
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
    use chreode_core::Dynamics;

    use super::*;
    use crate::Tape;
    use crate::schedule::tests::{BODIES, Bodies};

    #[test]
    fn both_sides_of_a_pair_are_one() {
        let pulled = PullBack::new(&Program::record(&Bodies));
        let roots = pulled.program.steps.iter().filter(|step| matches!(step.op, Op::Sqrt(_))).count();
        assert_eq!(roots, BODIES * (BODIES - 1) / 2);

        let y: Vec<f64> = (0..2 * BODIES).map(|i| (i as f64 * 1.7).sin() * 3.0).collect();
        let lambda: Vec<f64> = (0..2 * BODIES).map(|i| (i as f64).cos()).collect();
        let p: Vec<f64> = (0..BODIES).map(|i| 1.0 + i as f64).collect();
        let mut memory = pulled.program.replay::<f64>();
        memory.load(0.0, [&y, &lambda, &p]);
        pulled.program.run(&mut memory);
        let by_state = pulled.program.out[..Bodies.dim()].iter().map(|&i| memory.values[i as usize]);
        let all: Vec<f64> = by_state.chain(pulled.owed::<_, 4>(&memory.values)).collect();
        let mut by_tape = [0.0; 3 * BODIES];
        let (y_bar, p_bar) = by_tape.split_at_mut(2 * BODIES);
        Tape::new().vjp(&Bodies, 0.0, &y, &p, &lambda, y_bar, p_bar);
        for (a, b) in all.iter().zip(&by_tape) {
            assert!((a - b).abs() <= 1e-13 * (1.0 + b.abs()), "{all:?} {by_tape:?}");
        }
    }

    #[test]
    fn places_are_summed_as_often_as_they_stand_there() {
        assert_eq!(side_by_side([7, 3, 4, 4, 5].into_iter()), [3..5, 4..6, 7..8]);
    }
}
