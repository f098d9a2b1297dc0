//! Columns of a matrix that share no row: one sweep in the sum of their directions gives all their entries.
//! Source: [CPR74].

use chreode_core::Sparsity;

/// Columns grouped by colour; no two columns of one colour have an entry in the same row.
#[derive(Debug, Clone)]
pub(crate) struct Coloring {
    colors: Vec<usize>,
    n_colors: usize,
}

impl Coloring {
    /// Greedily, in the order of the columns, which is the best for bands.
    pub(crate) fn of_columns(pattern: &Sparsity) -> Self {
        let mut by_row = vec![Vec::new(); pattern.n_rows()];
        let mut colors = Vec::with_capacity(pattern.n_cols());
        let (mut n_colors, mut taken_by) = (0, Vec::new());
        for j in 0..pattern.n_cols() {
            for &i in pattern.column(j) {
                for &color in &by_row[i] {
                    taken_by[color] = j;
                }
            }
            let color = (0..n_colors).find(|&c| taken_by[c] != j).unwrap_or(n_colors);
            if color == n_colors {
                n_colors += 1;
                taken_by.push(usize::MAX);
            }
            for &i in pattern.column(j) {
                by_row[i].push(color);
            }
            colors.push(color);
        }
        Self { colors, n_colors }
    }

    /// Number of colours.
    pub(crate) fn n_colors(&self) -> usize {
        self.n_colors
    }

    /// Colour of column `j`.
    pub(crate) fn color(&self, j: usize) -> usize {
        self.colors[j]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn columns_of_one_color_share_no_row(
            entries in prop::collection::vec((0..9_usize, 0..14_usize), 0..60)
        ) {
            let pattern = Sparsity::new(9, 14, entries).unwrap();
            let coloring = Coloring::of_columns(&pattern);
            for a in 0..14 {
                prop_assert!(coloring.color(a) < coloring.n_colors());
                for b in 0..a {
                    let shared = pattern.column(a).iter().any(|i| pattern.column(b).contains(i));
                    prop_assert!(!shared || coloring.color(a) != coloring.color(b));
                }
            }
        }
    }

    #[test]
    fn a_band_needs_its_width() {
        let coloring = Coloring::of_columns(&Sparsity::banded(40, 2, 1));
        assert_eq!(coloring.n_colors(), 4);
        assert_eq!(Coloring::of_columns(&Sparsity::new(3, 3, []).unwrap()).n_colors(), 1);
        assert_eq!(Coloring::of_columns(&Sparsity::new(0, 0, []).unwrap()).n_colors(), 0);
    }
}
