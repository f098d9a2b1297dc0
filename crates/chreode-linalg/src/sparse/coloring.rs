//! Groups of columns that share no row: their derivatives fit one evaluation of a field. Sources: [CPR74], [GMP05] section 3.

use chreode_core::Sparsity;

/// A partition of a pattern's columns into groups ("colours") in which no two columns have an entry in the same row.
///
/// A sparse Jacobian then takes one directional derivative or one difference a colour, not one a column.
///
/// ```
/// use chreode_core::Sparsity;
/// use chreode_linalg::Coloring;
/// let tridiagonal = Sparsity::banded(1000, 1, 1);
/// assert_eq!(Coloring::of_columns(&tridiagonal).n_colors(), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coloring {
    /// Where each colour's columns begin in `columns`, and their number at the end.
    starts: Vec<usize>,
    columns: Vec<usize>,
}

impl Coloring {
    /// Colours the columns greedily, once in their own order (the best for bands) and once by falling degree
    /// (largest first), and keeps the better. At least as many colours are needed as the fullest row has entries.
    pub fn of_columns(pattern: &Sparsity) -> Self {
        let rows = Rows::of(pattern);
        let natural: Vec<usize> = (0..pattern.n_cols()).collect();
        if rows.fullest() == natural.len() {
            // Every column has an entry in one row.
            return Self { starts: (0..=natural.len()).collect(), columns: natural };
        }
        let (mut colors, mut n) = greedy(pattern, &rows, &natural);
        if n > rows.fullest() {
            let degree = |j: usize| -> usize { pattern.column(j).iter().map(|&i| rows.row(i).len()).sum() };
            let mut order = natural;
            order.sort_by_cached_key(|&j| std::cmp::Reverse(degree(j)));
            let (other, m) = greedy(pattern, &rows, &order);
            if m < n {
                (colors, n) = (other, m);
            }
        }
        let mut starts = vec![0; n + 1];
        for &c in &colors {
            starts[c + 1] += 1;
        }
        for c in 0..n {
            starts[c + 1] += starts[c];
        }
        let (mut columns, mut next) = (vec![0; colors.len()], starts.clone());
        for (j, &c) in colors.iter().enumerate() {
            columns[next[c]] = j;
            next[c] += 1;
        }
        Self { starts, columns }
    }

    /// Number of colours.
    pub fn n_colors(&self) -> usize {
        self.starts.len() - 1
    }

    /// The columns of a colour, ascending.
    ///
    /// # Panics
    /// If there is no such colour.
    pub fn columns(&self, color: usize) -> &[usize] {
        &self.columns[self.starts[color]..self.starts[color + 1]]
    }
}

/// Gives each column, in this order, the lowest colour that no column sharing a row has; returns their number too.
fn greedy(pattern: &Sparsity, rows: &Rows, order: &[usize]) -> (Vec<usize>, usize) {
    let n = pattern.n_cols();
    let (mut colors, mut count) = (vec![usize::MAX; n], 0);
    // Which column last ruled a colour out.
    let mut ruled_out = vec![usize::MAX; n + 1];
    for &j in order {
        for &i in pattern.column(j) {
            for &other in rows.row(i) {
                if colors[other] != usize::MAX {
                    ruled_out[colors[other]] = j;
                }
            }
        }
        let color = (0..n).find(|&c| ruled_out[c] != j).unwrap_or(0);
        colors[j] = color;
        count = count.max(color + 1);
    }
    (colors, count)
}

/// A pattern row by row.
pub(super) struct Rows {
    starts: Vec<usize>,
    columns: Vec<usize>,
}

impl Rows {
    pub(super) fn of(pattern: &Sparsity) -> Self {
        let mut starts = vec![0; pattern.n_rows() + 1];
        for &i in pattern.row_indices() {
            starts[i + 1] += 1;
        }
        for i in 0..pattern.n_rows() {
            starts[i + 1] += starts[i];
        }
        let (mut columns, mut next) = (vec![0; pattern.len()], starts.clone());
        for j in 0..pattern.n_cols() {
            for &i in pattern.column(j) {
                columns[next[i]] = j;
                next[i] += 1;
            }
        }
        Self { starts, columns }
    }

    pub(super) fn row(&self, i: usize) -> &[usize] {
        &self.columns[self.starts[i]..self.starts[i + 1]]
    }

    fn fullest(&self) -> usize {
        self.starts.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_two_columns_of_a_color_share_a_row(
            (m, n, entries) in (1..20_usize, 1..20_usize).prop_flat_map(|(m, n)| {
                (Just(m), Just(n), prop::collection::vec((0..m, 0..n), 0..60))
            })
        ) {
            let pattern = Sparsity::new(m, n, entries).unwrap();
            let coloring = Coloring::of_columns(&pattern);
            let mut seen = vec![0; n];
            for c in 0..coloring.n_colors() {
                let mut taken = vec![false; m];
                prop_assert!(!coloring.columns(c).is_empty());
                for &j in coloring.columns(c) {
                    seen[j] += 1;
                    for &i in pattern.column(j) {
                        prop_assert!(!taken[i], "row {i} twice in color {c}");
                        taken[i] = true;
                    }
                }
            }
            prop_assert!(seen.iter().all(|&s| s == 1));
        }

        #[test]
        fn a_band_needs_its_width(d in 1..40_usize, lower in 0..4_usize, upper in 0..4_usize) {
            let coloring = Coloring::of_columns(&Sparsity::banded(d, lower, upper));
            prop_assert_eq!(coloring.n_colors(), d.min(lower + upper + 1));
        }
    }

    #[test]
    fn a_full_row_an_empty_matrix_and_none() {
        let arrow = Sparsity::new(3, 4, (0..4).map(|j| (1, j))).unwrap();
        let coloring = Coloring::of_columns(&arrow);
        assert_eq!(coloring.n_colors(), 4);
        assert!((0..4).all(|c| coloring.columns(c) == [c]));
        assert_eq!(Coloring::of_columns(&Sparsity::new(3, 3, []).unwrap()).n_colors(), 1);
        assert_eq!(Coloring::of_columns(&Sparsity::new(0, 0, []).unwrap()).n_colors(), 0);
    }

    #[test]
    fn largest_first_mends_a_bad_order() {
        // A chain of column pairs (0, 3), (1, 2), (0, 2) .. in which the columns' own order wastes a colour.
        let rows = [(0, 3), (1, 2), (2, 3)];
        let entries = rows.iter().enumerate().flat_map(|(i, &(a, b))| [(i, a), (i, b)]);
        let pattern = Sparsity::new(3, 4, entries).unwrap();
        let natural = greedy(&pattern, &Rows::of(&pattern), &[0, 1, 2, 3]).1;
        assert_eq!((natural, Coloring::of_columns(&pattern).n_colors()), (3, 2));
    }
}
