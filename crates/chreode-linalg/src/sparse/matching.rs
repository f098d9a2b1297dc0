//! Rows for the diagonal: which row each column takes its pivot from, by structure alone. Source: [DER17], maximum transversals.

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
}
