//! Long sums of a program as trees.
//!
//! What many steps owe to one parameter is added up one after the other, and each addition waits for the one before. Halves that are added
//! side by side, and their halves, take as many additions, of which few wait; rounding grows with the logarithm of their number.

use crate::graph::Op;
use crate::program::{operands, with_operands};

/// Sums of fewer terms stay as they are.
const LEAST: usize = 8;

/// The operations with long sums as trees, and where the outputs `out` are then.
pub(crate) fn by_halves(ops: &[Op], out: &[u32]) -> (Vec<Op>, Vec<u32>) {
    let mut uses = vec![0_u32; ops.len()];
    out.iter().copied().chain(ops.iter().flat_map(|&op| operands(op))).for_each(|i| uses[i as usize] += 1);
    // A sum that is used once, as a term of another, is part of that.
    let (mut part, mut terms) = (vec![false; ops.len()], vec![1_usize; ops.len()]);
    for (i, op) in ops.iter().enumerate() {
        if let Op::Add(a, b) = *op {
            terms[i] = 0;
            for k in [a as usize, b as usize] {
                part[k] = uses[k] == 1 && matches!(ops[k], Op::Add(..));
                terms[i] += if part[k] { terms[k] } else { 1 };
            }
        }
    }
    let mut long = vec![false; ops.len()];
    for (i, op) in ops.iter().enumerate().rev() {
        if let Op::Add(a, b) = *op {
            long[i] |= !part[i] && terms[i] >= LEAST;
            for k in [a as usize, b as usize] {
                long[k] |= long[i] && part[k];
            }
        }
    }
    let (mut new, mut place) = (Vec::with_capacity(ops.len()), vec![0_u32; ops.len()]);
    let (mut left, mut sum) = (Vec::new(), Vec::new());
    for (i, &op) in ops.iter().enumerate().filter(|&(i, _)| !(part[i] && long[i])) {
        if long[i] {
            left.push(i as u32);
            while let Some(k) = left.pop() {
                match ops[k as usize] {
                    Op::Add(a, b) if long[k as usize] && (part[k as usize] || k as usize == i) => {
                        left.extend([b, a]);
                    }
                    _ => sum.push(place[k as usize]),
                }
            }
            while sum.len() > 2 {
                let half = sum.len().div_ceil(2);
                for k in half..sum.len() {
                    new.push(Op::Add(sum[k - half], sum[k]));
                    sum[k - half] = new.len() as u32 - 1;
                }
                sum.truncate(half);
            }
            new.push(Op::Add(sum[0], sum[1]));
            sum.clear();
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
