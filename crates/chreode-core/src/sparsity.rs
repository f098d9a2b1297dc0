//! Which entries of a matrix may differ from zero.

/// A sparsity pattern, column by column (compressed sparse columns): what a sparse Jacobian's values follow.
///
/// Rows ascend within each column, no entry is listed twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sparsity {
    n_rows: usize,
    /// Where each column's entries begin in `rows`, and their number at the end: `[n_cols + 1]`.
    col_starts: Vec<usize>,
    rows: Vec<usize>,
}

/// Parts that make no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SparsityError {
    /// An entry lies outside of the matrix.
    #[error("entry [{row}, {column}] lies outside of a {n_rows} x {n_cols} matrix")]
    Outside {
        /// Row of the entry.
        row: usize,
        /// Column of the entry.
        column: usize,
        /// Rows of the matrix.
        n_rows: usize,
        /// Columns of the matrix.
        n_cols: usize,
    },
}

impl Sparsity {
    /// A pattern of these entries `(row, column)`, in any order; an entry that is named twice counts once.
    ///
    /// # Errors
    /// [`SparsityError::Outside`] for an entry outside of the matrix.
    pub fn new(
        n_rows: usize,
        n_cols: usize,
        entries: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self, SparsityError> {
        let mut sorted: Vec<(usize, usize)> = Vec::new();
        for (row, column) in entries {
            if row >= n_rows || column >= n_cols {
                return Err(SparsityError::Outside { row, column, n_rows, n_cols });
            }
            sorted.push((column, row));
        }
        sorted.sort_unstable();
        sorted.dedup();
        let mut col_starts = vec![0; n_cols + 1];
        for &(column, _) in &sorted {
            col_starts[column + 1] += 1;
        }
        for j in 0..n_cols {
            col_starts[j + 1] += col_starts[j];
        }
        Ok(Self { n_rows, col_starts, rows: sorted.into_iter().map(|(_, row)| row).collect() })
    }

    /// A square pattern of `d` rows whose entries lie at most `lower` below and `upper` above the diagonal.
    pub fn banded(d: usize, lower: usize, upper: usize) -> Self {
        let mut col_starts = Vec::with_capacity(d + 1);
        let mut rows = Vec::new();
        col_starts.push(0);
        for j in 0..d {
            rows.extend(j.saturating_sub(upper)..=(j + lower).min(d - 1));
            col_starts.push(rows.len());
        }
        Self { n_rows: d, col_starts, rows }
    }

    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of columns.
    pub fn n_cols(&self) -> usize {
        self.col_starts.len() - 1
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Where each column's entries begin among all, and their number at the end: `[n_cols + 1]`.
    pub fn col_starts(&self) -> &[usize] {
        &self.col_starts
    }

    /// Row of every entry, column by column.
    pub fn row_indices(&self) -> &[usize] {
        &self.rows
    }

    /// Rows of a column's entries, ascending.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn column(&self, j: usize) -> &[usize] {
        &self.rows[self.col_starts[j]..self.col_starts[j + 1]]
    }

    /// How far entries lie below and above the diagonal.
    pub fn bandwidths(&self) -> (usize, usize) {
        let (mut lower, mut upper) = (0, 0);
        for j in 0..self.n_cols() {
            let column = self.column(j);
            if let (Some(&first), Some(&last)) = (column.first(), column.last()) {
                lower = lower.max(last.saturating_sub(j));
                upper = upper.max(j.saturating_sub(first));
            }
        }
        (lower, upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_in_order() {
        let s = Sparsity::new(3, 4, [(2, 1), (0, 1), (1, 3), (0, 1)]).unwrap();
        assert_eq!((s.n_rows(), s.n_cols(), s.len()), (3, 4, 3));
        assert_eq!(s.col_starts(), [0, 0, 2, 2, 3]);
        assert_eq!(s.row_indices(), [0, 2, 1]);
        assert_eq!(s.bandwidths(), (1, 2));
        assert_eq!(
            Sparsity::new(3, 4, [(3, 0)]),
            Err(SparsityError::Outside { row: 3, column: 0, n_rows: 3, n_cols: 4 })
        );
    }

    proptest! {
        #[test]
        fn a_band_is_its_entries(d in 1..12_usize, lower in 0..4_usize, upper in 0..4_usize) {
            let entries = (0..d).flat_map(|i| (0..d).map(move |j| (i, j))).filter(|&(i, j)| {
                i <= j + lower && j <= i + upper
            });
            let band = Sparsity::banded(d, lower, upper);
            prop_assert_eq!(&band, &Sparsity::new(d, d, entries).unwrap());
            prop_assert_eq!(band.bandwidths(), (lower.min(d - 1), upper.min(d - 1)));
        }
    }
}
