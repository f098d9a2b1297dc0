//! Long sums of a program as trees.
//!
//! What many steps owe to one parameter is added up one after the other, and each addition waits for the one before. Halves that are added
//! side by side, and their halves, take as many additions, of which few wait; rounding grows with the logarithm of their number.

use crate::graph::Op;
use crate::program::{operands, with_operands};

/// Sums of fewer terms stay as they are.
const LEAST: usize = 6;
/// Sums of fewer terms are not left to the reader.
const LEAST_READ: usize = 8;

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
        out.iter().for_each(|&i| uses[i as usize] += 1);
        for (i, &op) in ops.iter().enumerate().rev() {
            if uses[i] > 0 {
                operands(op).for_each(|k| uses[k as usize] += 1);
            }
        }
        let (mut part, mut number) = (vec![false; ops.len()], vec![1_usize; ops.len()]);
        for (i, &op) in ops.iter().enumerate().filter(|&(i, op)| uses[i] > 0 && is_sum(*op)) {
            number[i] = 0;
            for k in operands(op).map(|k| k as usize) {
                part[k] = uses[k] == 1 && is_sum(ops[k]);
                number[i] += if part[k] { number[k] } else { 1 };
            }
        }
        Self { ops, part, number }
    }

    /// Whether it is a sum of so many terms, or the end of one.
    fn is_sum_of(&self, i: u32, least: usize) -> bool {
        is_sum(self.ops[i as usize]) && self.number[i as usize] >= least
    }

    /// The terms of a long sum that are added, and those that are subtracted; of others, these themselves.
    pub(crate) fn of_long(&self, sum: u32) -> [Vec<u32>; 2] {
        let terms = if self.is_sum_of(sum, LEAST_READ) { self.in_order(sum) } else { vec![(sum, false)] };
        [false, true].map(|sign| terms.iter().filter(|term| term.1 == sign).map(|term| term.0).collect())
    }

    /// The terms of a sum, first to last, and whether each is subtracted.
    fn in_order(&self, sum: u32) -> Vec<(u32, bool)> {
        let (mut left, mut terms) = (vec![(sum, false)], Vec::new());
        while let Some((k, less)) = left.pop() {
            match self.ops[k as usize] {
                _ if k != sum && !self.part[k as usize] => terms.push((k, less)),
                Op::Add(a, b) => left.extend([(b, less), (a, less)]),
                Op::Sub(a, b) => left.extend([(b, !less), (a, less)]),
                Op::Neg(a) => left.push((a, !less)),
                _ => terms.push((k, less)),
            }
        }
        terms
    }
}

/// Whether it adds its operands, or takes some of them with the other sign.
fn is_sum(op: Op) -> bool {
    matches!(op, Op::Add(..) | Op::Sub(..) | Op::Neg(_))
}

/// The operations with long sums as trees, and where the outputs `out` are then.
pub(crate) fn by_halves(ops: &[Op], out: &[u32]) -> (Vec<Op>, Vec<u32>) {
    let terms = Terms::of(ops, out);
    // What lies inside of long sums is not there any more.
    let mut inside = vec![false; ops.len()];
    for (i, op) in ops.iter().enumerate().rev() {
        let within = inside[i] || (!terms.part[i] && terms.is_sum_of(i as u32, LEAST));
        for k in operands(*op).map(|k| k as usize) {
            inside[k] |= within && terms.part[k];
        }
    }
    let (mut new, mut place) = (Vec::with_capacity(ops.len()), vec![0_u32; ops.len()]);
    for (i, &op) in ops.iter().enumerate().filter(|&(i, _)| !inside[i]) {
        if !terms.part[i] && terms.is_sum_of(i as u32, LEAST) {
            let at = |(k, less): (u32, bool)| (place[k as usize], less);
            let mut sum: Vec<(u32, bool)> = terms.in_order(i as u32).into_iter().map(at).collect();
            while sum.len() > 1 {
                let half = sum.len().div_ceil(2);
                for k in half..sum.len() {
                    let (op, less) = match (sum[k - half], sum[k]) {
                        ((a, false), (b, true)) | ((b, true), (a, false)) => (Op::Sub(a, b), false),
                        ((a, less), (b, _)) => (Op::Add(a, b), less),
                    };
                    new.push(op);
                    sum[k - half] = (new.len() as u32 - 1, less);
                }
                sum.truncate(half);
            }
            if sum[0].1 {
                new.push(Op::Neg(sum[0].0));
            }
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
                Op::Sub(a, b) => values[a as usize] - values[b as usize],
                Op::Neg(a) => -values[a as usize],
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

    #[test]
    fn terms_keep_their_signs() {
        for n in [5, 6, 7, 20] {
            // -(1 - 2) + 3, and then alternating signs, so that a half may hold subtracted terms alone.
            let mut ops: Vec<Op> = (0..n).map(Op::State).collect();
            ops.extend([Op::Sub(0, 1), Op::Neg(n), Op::Add(n + 1, 2)]);
            for k in 3..n {
                let sum = ops.len() as u32 - 1;
                ops.push(if k % 3 == 0 { Op::Add(sum, k) } else { Op::Sub(sum, k) });
            }
            let end = ops.len() as u32 - 1;
            let (new, out) = by_halves(&ops, &[end]);
            let exact = values(&ops)[end as usize];
            assert_eq!(values(&new)[out[0] as usize], exact);
            assert!(new.len() <= ops.len());
            let [more, less] = Terms::of(&ops, &[end]).of_long(end);
            let sum = |terms: &[u32]| terms.iter().map(|&k| values(&ops)[k as usize]).sum::<f64>();
            assert_eq!(sum(&more) - sum(&less), exact);
        }
    }

    /// What nobody needs is no user: a long sum of it must not swallow a sum that another needs.
    #[test]
    fn sums_that_are_dead_have_no_parts() {
        // 1 + 2 + .. + 5 is too short to be a tree; with one term more, which nobody needs, it is long enough.
        let mut ops: Vec<Op> = (0..6).map(Op::State).collect();
        ops.extend([
            Op::Add(0, 1),
            Op::Add(6, 2),
            Op::Add(7, 3),
            Op::Add(8, 4),
            Op::Mul(9, 2),
            Op::Add(9, 5),
        ]);
        let needed = 10;
        let (new, out) = by_halves(&ops, &[needed]);
        assert_eq!(values(&new)[out[0] as usize], values(&ops)[needed as usize]);
    }
}
