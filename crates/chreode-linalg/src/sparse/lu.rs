//! LU of large matrices with few entries: the pattern is analysed once, values are factored often.

use std::sync::Arc;

use chreode_core::{LinearSolver, SingularMatrix, Sparsity};

use super::analysis::Analysis;
use super::fronts::{Fronts, Trouble};
use super::library::Library;
use crate::scalar::Scalar;

/// `P A Q = L U` of a sparse square matrix, real or complex, with its work space.
///
/// Values come in the order of the pattern. Rows are scaled, columns and rows ordered by minimum degree on a diagonal
/// without structural zeros, and pivots are chosen inside of the diagonal blocks of the multifrontal method, so that the
/// pattern of the factors never changes: neither factoring nor solving allocates. Where a pivot is less than a thousandth of
/// what it divides, that matrix is factored by faer, with partial pivoting over all rows and in double precision; this
/// allocates when it happens first, and in faer when its factors grow.
///
/// Sources: [DR83], [DER17], [SG04], [ADD96].
///
/// ```
/// use chreode_core::{LinearSolver, Sparsity};
/// use chreode_linalg::SparseLu;
/// let mut lu = SparseLu::new(&Sparsity::banded(3, 1, 1));
/// lu.factor(&[2.0, -1.0, -1.0, 2.0, -1.0, -1.0, 2.0])?; // column by column
/// let mut x = [1.0, 0.0, 1.0];
/// lu.solve(&mut x);
/// assert!(x.iter().all(|x: &f64| (x - 1.0).abs() < 1e-15));
/// # Ok::<(), chreode_core::SingularMatrix>(())
/// ```
pub struct SparseLu<S: Scalar> {
    pattern: Arc<Sparsity>,
    analysis: Arc<Analysis>,
    fronts: Fronts<S>,
    /// Made when it is needed first.
    library: Option<Box<Library<S>>>,
    by_library: bool,
}

impl<S: Scalar> Clone for SparseLu<S> {
    /// A work space for the same pattern; it holds no factorisation.
    fn clone(&self) -> Self {
        self.of_same_pattern()
    }
}

impl<S: Scalar> std::fmt::Debug for SparseLu<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut f = f.debug_struct("SparseLu");
        f.field("n", &self.analysis.n).field("entries", &self.pattern.len());
        f.field("factor_entries", &self.factor_len()).finish_non_exhaustive()
    }
}

impl<S: Scalar> SparseLu<S> {
    /// Analyses a pattern. Structural zeros on the diagonal are allowed.
    ///
    /// # Panics
    /// If the pattern is not square.
    pub fn new(pattern: &Sparsity) -> Self {
        assert_eq!(pattern.n_rows(), pattern.n_cols(), "SparseLu::new: rows of the pattern");
        Self::with(Arc::new(pattern.clone()), Arc::new(Analysis::new(pattern)))
    }

    /// A work space, perhaps for another type of elements, that shares the analysis.
    pub fn of_same_pattern<R: Scalar>(&self) -> SparseLu<R> {
        SparseLu::with(self.pattern.clone(), self.analysis.clone())
    }

    fn with(pattern: Arc<Sparsity>, analysis: Arc<Analysis>) -> Self {
        let fronts = Fronts::new(&analysis);
        Self { pattern, analysis, fronts, library: None, by_library: false }
    }

    /// Elements that are stored of L and U, zeros of merged blocks included.
    pub fn factor_len(&self) -> usize {
        self.analysis.n_values
    }

    /// Multiplications of one factorisation of a real matrix.
    pub fn multiplications(&self) -> f64 {
        self.analysis.multiplications
    }

    /// Whether the last matrix needed pivots from all rows, and was factored by faer.
    pub fn is_pivoted_by_column(&self) -> bool {
        self.by_library
    }

    fn apply(&mut self, b: &mut [S], transpose: bool) {
        assert_eq!(b.len(), self.analysis.n, "SparseLu::solve: right-hand side");
        match &mut self.library {
            Some(library) if self.by_library => library.solve(b, transpose),
            _ => self.fronts.solve(&self.analysis, b, transpose),
        }
    }
}

impl<S: Scalar> LinearSolver<S> for SparseLu<S> {
    fn n(&self) -> usize {
        self.analysis.n
    }

    fn factor(&mut self, values: &[S]) -> Result<(), SingularMatrix> {
        let n = self.analysis.n;
        assert_eq!(values.len(), self.pattern.len(), "SparseLu::factor: values");
        self.by_library = false;
        if let Some(pivot) = self.analysis.singular {
            return Err(SingularMatrix { pivot, n });
        }
        match self.fronts.factor(&self.analysis, values) {
            Ok(()) => Ok(()),
            Err(Trouble::Singular(k)) => Err(SingularMatrix { pivot: self.analysis.column_at[k], n }),
            Err(Trouble::Unstable(k)) => {
                let here = SingularMatrix { pivot: self.analysis.column_at[k], n };
                if self.library.is_none() {
                    self.library = Library::new(&self.pattern).map(Box::new);
                }
                let library = self.library.as_mut().ok_or(here)?;
                library.factor(values).map_err(|pivot| SingularMatrix { pivot, n })?;
                self.by_library = true;
                Ok(())
            }
        }
    }

    fn solve(&mut self, b: &mut [S]) {
        self.apply(b, false);
    }

    fn solve_transpose(&mut self, b: &mut [S]) {
        self.apply(b, true);
    }
}
