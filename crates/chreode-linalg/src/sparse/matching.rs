//! Rows for the diagonal: which row each column takes its pivot from, by structure alone or by size. Sources: [DER17], maximum
//! transversals; [DK01], the permutation and the scaling that make a matrix's diagonal largest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chreode_core::Sparsity;

const NONE: usize = usize::MAX;

/// For each column a row of its own that has an entry there, the diagonal's where it has one; `Err` is a column for
/// which no row is left: every matrix of this pattern is singular.
pub(super) fn transversal(pattern: &Sparsity) -> Result<Vec<usize>, usize> {
    let n = pattern.n_cols();
    let (mut row_of, mut column_of) = (vec![NONE; n], vec![NONE; n]);
    for j in 0..n {
        if pattern.column(j).binary_search(&j).is_ok() {
            (row_of[j], column_of[j]) = (j, j);
        }
    }
    let mut visited = vec![NONE; n];
    // A path of columns, each with its next entry to try and the row it would take.
    let mut path: Vec<(usize, usize, usize)> = Vec::new();
    for start in 0..n {
        if row_of[start] != NONE {
            continue;
        }
        path.clear();
        path.push((start, 0, NONE));
        visited[start] = start;
        'search: loop {
            let Some(&mut (j, ref mut next, ref mut takes)) = path.last_mut() else {
                return Err(start);
            };
            let column = pattern.column(j);
            if let Some(&free) = column.iter().find(|&&i| column_of[i] == NONE) {
                *takes = free;
                for &(j, _, row) in &path {
                    (row_of[j], column_of[row]) = (row, j);
                }
                break 'search;
            }
            while *next < column.len() {
                let row = column[*next];
                *next += 1;
                let holder = column_of[row];
                if visited[holder] != start {
                    visited[holder] = start;
                    *takes = row;
                    path.push((holder, 0, NONE));
                    continue 'search;
                }
            }
            path.pop();
        }
    }
    Ok(row_of)
}

/// The rows whose entries have the largest product, one row for each column, and scales of the rows such that no entry of a
/// column is larger than the chosen one.
#[derive(Debug)]
pub(super) struct Heaviest {
    /// The row of each column.
    pub row_of: Vec<usize>,
    /// The logarithm of each row's scale.
    pub log_scale: Vec<f64>,
}

/// [`Heaviest`] of a matrix whose entries have these moduli, in the pattern's order; among equals the rows in `before`. `None`
/// if all products are zero, or something is not finite.
///
/// Shortest augmenting paths with the scales as potentials: columns are assigned one after the other.
pub(super) fn heaviest(pattern: &Sparsity, sizes: &[f64], before: &[usize]) -> Option<Heaviest> {
    let n = pattern.n_cols();
    let entries = |j: usize| {
        let starts = pattern.col_starts();
        (starts[j]..starts[j + 1]).map(|at| (at, pattern.row_indices()[at]))
    };
    // What an entry falls short of its column's largest, as a logarithm: the sum over a diagonal is to be least.
    let mut costs: Vec<f64> = sizes.iter().map(|size| size.ln()).collect();
    for j in 0..n {
        let most = entries(j).fold(f64::NEG_INFINITY, |most, (at, _)| most.max(costs[at]));
        if !most.is_finite() {
            return None;
        }
        entries(j).for_each(|(at, _)| costs[at] = most - costs[at]);
    }
    if costs.iter().any(|cost| cost.is_nan()) {
        return None;
    }
    // costs - rows - columns >= 0, and 0 for what is chosen.
    let (mut rows, mut columns) = (vec![f64::INFINITY; n], vec![0.0; n]);
    for (&i, &cost) in pattern.row_indices().iter().zip(&costs) {
        rows[i] = cost.min(rows[i]);
    }
    if rows.contains(&f64::INFINITY) {
        return None;
    }
    let (mut row_of, mut column_of, mut chosen) = (vec![NONE; n], vec![NONE; n], vec![NONE; n]);
    for j in 0..n {
        columns[j] = entries(j).fold(f64::INFINITY, |least, (at, i)| least.min(costs[at] - rows[i]));
        if let Some((at, i)) = entries(j).find(|&(_, i)| i == before[j])
            && costs[at] - rows[i] <= columns[j]
        {
            (row_of[j], column_of[i], chosen[j]) = (i, j, at);
        }
    }
    let mut distance = vec![f64::INFINITY; n];
    let mut from = vec![(NONE, NONE); n]; // the column that a row is reached from, and the entry
    let (mut seen, mut done): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut heap: BinaryHeap<Reverse<(Length, usize)>> = BinaryHeap::new();
    for start in 0..n {
        if row_of[start] != NONE {
            continue;
        }
        heap.clear();
        seen.drain(..).for_each(|i| distance[i] = f64::INFINITY);
        done.clear();
        let (mut j, mut length) = (start, 0.0);
        let (mut shortest, mut end) = (f64::INFINITY, NONE);
        loop {
            for (at, i) in entries(j) {
                let to = length + (costs[at] - rows[i] - columns[j]).max(0.0);
                if to < distance[i] && to < shortest {
                    if distance[i] == f64::INFINITY {
                        seen.push(i);
                    }
                    (distance[i], from[i]) = (to, (j, at));
                    if column_of[i] == NONE {
                        (shortest, end) = (to, i);
                    } else {
                        heap.push(Reverse((Length(to), i)));
                    }
                }
            }
            // The nearest row that was not left yet; longer ways to it are still on the heap.
            let next = loop {
                match heap.pop() {
                    Some(Reverse((Length(to), i))) if to <= distance[i] => break Some(i),
                    Some(_) => {}
                    None => break None,
                }
            };
            match next {
                Some(i) if distance[i] < shortest => {
                    done.push(i);
                    (j, length) = (column_of[i], distance[i]);
                }
                _ => break,
            }
        }
        if end == NONE {
            return None;
        }
        done.iter().for_each(|&i| rows[i] += distance[i] - shortest);
        let mut i = end;
        loop {
            let (j, at) = from[i];
            let old = row_of[j];
            (row_of[j], column_of[i], chosen[j]) = (i, j, at);
            if j == start {
                break;
            }
            i = old;
        }
        for &i in done.iter().chain([&end]) {
            let j = column_of[i];
            columns[j] = costs[chosen[j]] - rows[i];
        }
    }
    Some(Heaviest { row_of, log_scale: rows })
}

/// A number that is not NaN, to be ordered.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Length(f64);

impl Eq for Length {}

impl PartialOrd for Length {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Length {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn structurally_singular() {
        let s = Sparsity::new(3, 3, [(0, 0), (0, 1), (0, 2), (1, 0)]).unwrap();
        assert!(transversal(&s).is_err());
        let s = Sparsity::new(2, 2, [(1, 0), (0, 1)]).unwrap();
        assert_eq!(transversal(&s), Ok(vec![1, 0]));
    }

    proptest! {
        /// A permutation hidden among random entries is found, or another one.
        #[test]
        fn finds_a_permutation(order in Just((0..12_usize).collect::<Vec<_>>()).prop_shuffle(),
            more in prop::collection::vec((0..12_usize, 0..12_usize), 0..20)) {
            let entries = order.iter().enumerate().map(|(j, &i)| (i, j)).chain(more);
            let s = Sparsity::new(12, 12, entries).unwrap();
            let rows = transversal(&s).unwrap();
            let mut seen = [false; 12];
            for (j, &i) in rows.iter().enumerate() {
                prop_assert!(s.column(j).contains(&i) && !seen[i]);
                seen[i] = true;
            }
        }
    }

    proptest! {
        /// No other choice has a larger product, and no scaled entry is larger than the one chosen in its column.
        #[test]
        fn heaviest_of_all(v in prop::collection::vec(-30.0..30.0_f64, 36), holes in prop::collection::vec(0..6_usize, 12)) {
            let n = 6;
            let entries = (0..n * n).map(|k| (k % n, k / n));
            let entries: Vec<_> =
                entries.filter(|&(i, j)| i == (j + 1) % n || !(holes[2 * i] == j || holes[2 * i + 1] == j)).collect();
            let s = Sparsity::new(n, n, entries).unwrap();
            let log = |i: usize, j: usize| s.column(j).contains(&i).then_some(v[i * n + j]);
            let sizes: Vec<f64> =
                (0..n).flat_map(|j| s.column(j).iter().map(move |&i| (i, j))).map(|(i, j)| v[i * n + j].exp()).collect();
            let before: Vec<usize> = (0..n).map(|j| (j + 1) % n).collect();
            let found = heaviest(&s, &sizes, &before).unwrap();
            let product: f64 = found.row_of.iter().enumerate().map(|(j, &i)| log(i, j).unwrap()).sum();
            for j in 0..n {
                let scaled = |i: usize| log(i, j).map(|log| log + found.log_scale[i]);
                let own = scaled(found.row_of[j]).unwrap();
                prop_assert!((0..n).filter_map(scaled).all(|other| other <= own + 1e-9));
            }
            // All permutations, by Heap's method.
            let mut order: Vec<usize> = (0..n).collect();
            let (mut count, mut at) = (vec![0; n], 1);
            let value = |order: &[usize]| (0..n).map(|j| log(order[j], j)).sum::<Option<f64>>();
            let mut best = value(&order).unwrap_or(f64::NEG_INFINITY);
            while at < n {
                if count[at] < at {
                    let with = if at % 2 == 0 { 0 } else { count[at] };
                    order.swap(with, at);
                    best = best.max(value(&order).unwrap_or(f64::NEG_INFINITY));
                    count[at] += 1;
                    at = 1;
                } else {
                    count[at] = 0;
                    at += 1;
                }
            }
            prop_assert!((product - best).abs() < 1e-9, "{} {}", product, best);
        }
    }

    #[test]
    fn ties_keep_the_rows_there_were() {
        let s = Sparsity::banded(2, 1, 1);
        assert_eq!(heaviest(&s, &[1.0; 4], &[1, 0]).unwrap().row_of, [1, 0]);
        assert_eq!(heaviest(&s, &[1.0; 4], &[0, 1]).unwrap().row_of, [0, 1]);
        assert!(heaviest(&s, &[1.0, 1.0, 0.0, 0.0], &[0, 1]).is_none()); // a column of zeros
        assert!(heaviest(&s, &[1.0, 0.0, 1.0, 0.0], &[0, 1]).is_none()); // a row of zeros
        assert!(heaviest(&s, &[1.0, f64::NAN, 1.0, 1.0], &[0, 1]).is_none());
    }
}
