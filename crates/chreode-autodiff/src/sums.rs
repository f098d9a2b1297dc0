//! Long sums of a program as trees.
//!
//! What many steps owe to one parameter is added up one after the other, and each addition waits for the one before. Halves that are added
//! side by side, and their halves, take as many additions, of which few wait; rounding grows with the logarithm of their number.

use crate::graph::Op;
use crate::program::{operands, with_operands};

/// Sums of fewer terms stay as they are.
const LEAST: usize = 8;

/// What sums are made of.
pub(crate) struct Terms<'a> {
    ops: &'a [Op],
    /// Whether each is a sum that is used once, as a term of another: it is part of that.
    part: Vec<bool>,
    /// How many terms each sum has.
    number: Vec<usize>,
}

impl<'a> Terms<'a> {
    /// Of these operations, with these outputs.
    pub(crate) fn of(ops: &'a [Op], out: &[u32]) -> Self {
        let mut uses = vec![0_u32; ops.len()];
        out.iter()
            .copied()
            .chain(ops.iter().flat_map(|&op| operands(op)))
            .for_each(|i| uses[i as usize] += 1);
        let (mut part, mut number) = (vec![false; ops.len()], vec![1_usize; ops.len()]);
        for (i, op) in ops.iter().enumerate() {
            if let Op::Add(a, b) = *op {
                number[i] = 0;
                for k in [a as usize, b as usize] {
                    part[k] = uses[k] == 1 && matches!(ops[k], Op::Add(..));
                    number[i] += if part[k] { number[k] } else { 1 };
                }
            }
        }
        Self { ops, part, number }
    }

    /// Whether it is a long sum, or the end of one.
    fn is_long(&self, i: u32) -> bool {
        matches!(self.ops[i as usize], Op::Add(..)) && self.number[i as usize] >= LEAST
    }

    /// The terms of a long sum; of others, these themselves.
    pub(crate) fn of_long(&self, sum: u32) -> Vec<u32> {
        if self.is_long(sum) { self.in_order(sum) } else { vec![sum] }
    }

    /// The terms of a sum, first to last.
    fn in_order(&self, sum: u32) -> Vec<u32> {
        let (mut left, mut terms) = (vec![sum], Vec::new());
        while let Some(k) = left.pop() {
            match self.ops[k as usize] {
                Op::Add(a, b) if k == sum || self.part[k as usize] => left.extend([b, a]),
                _ => terms.push(k),
            }
        }
        terms
    }
}

/// The operations with long sums as trees, and where the outputs `out` are then.
pub(crate) fn by_halves(ops: &[Op], out: &[u32]) -> (Vec<Op>, Vec<u32>) {
    let terms = Terms::of(ops, out);
    // What lies inside of long sums is not there any more.
    let mut inside = vec![false; ops.len()];
    for (i, op) in ops.iter().enumerate().rev() {
        if let Op::Add(a, b) = *op {
            let within = inside[i] || (!terms.part[i] && terms.is_long(i as u32));
            for k in [a as usize, b as usize] {
                inside[k] |= within && terms.part[k];
            }
        }
    }
    let (mut new, mut place) = (Vec::with_capacity(ops.len()), vec![0_u32; ops.len()]);
    for (i, &op) in ops.iter().enumerate().filter(|&(i, _)| !inside[i]) {
        if !terms.part[i] && terms.is_long(i as u32) {
            let mut sum: Vec<u32> = terms.in_order(i as u32).into_iter().map(|k| place[k as usize]).collect();
            while sum.len() > 2 {
                let half = sum.len().div_ceil(2);
                for k in half..sum.len() {
                    new.push(Op::Add(sum[k - half], sum[k]));
                    sum[k - half] = new.len() as u32 - 1;
                }
                sum.truncate(half);
            }
            new.push(Op::Add(sum[0], sum[1]));
        } else {
            let mut needs = [0; 3];
            needs.iter_mut().zip(operands(op)).for_each(|(to, k)| *to = place[k as usize]);
            new.push(with_operands(op, needs));
        }
        place[i] = new.len() as u32 - 1;
    }
    let out = out.iter().map(|&i| place[i as usize]).collect();
    (new, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value of each operation of sums and products, with states `1, 2, ..`.
    fn values(ops: &[Op]) -> Vec<f64> {
        let mut values: Vec<f64> = Vec::new();
        for op in ops {
            values.push(match *op {
                Op::State(i) => f64::from(i + 1),
                Op::Add(a, b) => values[a as usize] + values[b as usize],
                Op::Mul(a, b) => values[a as usize] * values[b as usize],
                _ => f64::NAN,
            });
        }
        values
    }

    /// How many additions each operation waits for, one after the other.
    fn depth(ops: &[Op]) -> u32 {
        let mut depths: Vec<u32> = Vec::new();
        for op in ops {
            let before = operands(*op).map(|k| depths[k as usize]).max().unwrap_or(0);
            depths.push(before + u32::from(matches!(op, Op::Add(..))));
        }
        depths.into_iter().max().unwrap_or(0)
    }

    #[test]
    fn long_sums_become_trees_of_as_many_additions() {
        for n in [3, 7, 8, 9, 100] {
            let mut ops: Vec<Op> = (0..n).map(Op::State).collect();
            ops.push(Op::Add(0, 1));
            for k in 2..n {
                ops.push(Op::Add(n + k - 2, k));
            }
            // What is used twice stays whole: half of the sum, and the sum itself.
            let (half, whole) = (n + (n - 2) / 2, 2 * n - 2);
            ops.push(Op::Mul(half, whole));
            let (new, out) = by_halves(&ops, &[2 * n - 1, whole]);
            let (before, after) = (values(&ops), values(&new));
            assert_eq!(after[out[0] as usize], before[2 * n as usize - 1]);
            assert_eq!(after[out[1] as usize], before[whole as usize]);
            assert_eq!(new.len(), ops.len());
            if n == 100 {
                assert!(depth(&new) <= 13, "{}", depth(&new));
                assert_eq!(depth(&ops), 99);
            }
        }
    }
}
