//! LU of large matrices with few entries: the pattern is analysed once, values are factored often.

use std::sync::Arc;

use chreode_core::{LinearSolver, Real, SingularMatrix, Sparsity};

use super::analysis::Analysis;
use super::fronts::{Fronts, Trouble};
use super::library::Library;
use super::matching::{Heaviest, heaviest};
use crate::scalar::Scalar;

/// `P A Q = L U` of a sparse square matrix, real or complex, with its work space.
///
/// Values come in the order of the pattern. Rows are scaled, columns and rows ordered by minimum degree on a diagonal
/// without structural zeros, and pivots are chosen inside of the diagonal blocks of the multifrontal method, so that the
/// pattern of the factors does not change: neither factoring nor solving allocates.
///
/// Where a pivot is less than a tenth of what it divides, the pattern is analysed anew: rows are scaled and matched with columns
/// by the values of that matrix, so that no entry of a column is larger than the diagonal's, and if this is not enough a few columns are
/// put into one dense front after all others. What was found stays for the matrices that follow. If it is still not enough, faer
/// factors this matrix, and later ones with such pivots, in double precision with pivots from all rows. All this allocates when it
/// happens first; faer does so too when its factors grow.
///
/// Sources: [DR83], [DER17], [SG04], [ADD96], [DK01].
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
    /// By the pattern alone.
    first_analysis: Arc<Analysis>,
    analysis: Arc<Analysis>,
    fronts: Fronts<S>,
    /// Made when it is needed first.
    library: Option<Box<Library<S>>>,
    by_library: bool,
    /// Whether rows are scaled and matched with columns by values of a matrix.
    by_values: bool,
    /// Columns that come after all others.
    postponed: Vec<usize>,
    /// No order of these was good enough once.
    is_hopeless: bool,
}

/// Most columns that are put after all others.
const MOST_POSTPONED: usize = 64;

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
        SparseLu::with(self.pattern.clone(), self.first_analysis.clone())
    }

    /// Goes back to the order of elimination and the scaling that a new one has: results then do not depend on the matrices that were
    /// factored before. It holds no factorisation afterwards.
    pub fn forget_order(&mut self) {
        if self.by_values {
            self.analysis = self.first_analysis.clone();
            self.fronts = Fronts::new(&self.analysis);
            self.postponed.clear();
            self.by_values = false;
        }
        self.is_hopeless = false;
    }

    fn with(pattern: Arc<Sparsity>, analysis: Arc<Analysis>) -> Self {
        let fronts = Fronts::new(&analysis);
        Self {
            pattern,
            first_analysis: analysis.clone(),
            analysis,
            fronts,
            library: None,
            by_library: false,
            by_values: false,
            postponed: Vec::new(),
            is_hopeless: false,
        }
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

    /// Factors where the pivot at position `k` was too small, by an order that suits these values, else by faer.
    #[cold]
    fn recover(&mut self, k: usize, values: &[S]) -> Result<(), SingularMatrix> {
        let n = self.analysis.n;
        let here = SingularMatrix { pivot: self.analysis.column_at[k], n };
        if let Some(at) = values.iter().position(|v| !v.magnitude().is_finite()) {
            let pivot = self.pattern.col_starts().partition_point(|&start| start <= at) - 1;
            return Err(SingularMatrix { pivot, n });
        }
        if !self.is_hopeless && self.reorder(k, values) {
            return Ok(());
        }
        if self.library.is_none() {
            self.library = Library::new(&self.pattern).map(Box::new);
        }
        let library = self.library.as_mut().ok_or(here)?;
        library.factor(values).map_err(|pivot| SingularMatrix { pivot, n })?;
        (self.by_library, self.is_hopeless) = (true, true);
        Ok(())
    }

    /// Puts columns whose pivots are too small behind all others, one after the other and at first that at position `k`, until the fronts
    /// can be eliminated; rows are scaled, and matched with columns, for these values before, if they have not been yet. False if
    /// that does not help.
    fn reorder(&mut self, k: usize, values: &[S]) -> bool {
        let most = (self.analysis.n / 16 + 4).min(MOST_POSTPONED);
        let mut trouble = Err(Trouble::Unstable(k));
        let mut is_matched = false;
        while let Err(Trouble::Unstable(k)) = trouble {
            let column = self.analysis.column_at[k];
            if self.postponed.contains(&column) {
                return false; // among all rows that are left there is none
            }
            if self.by_values && self.postponed.len() < most {
                self.postponed.push(column);
                self.analyse(&self.analysis.diagonal());
            } else if is_matched || !self.rearrange(values) {
                return false;
            } else {
                (self.by_values, is_matched) = (true, true);
            }
            trouble = self.fronts.factor(&self.analysis, values);
        }
        trouble.is_ok()
    }

    /// Scales the rows, and chooses those on the diagonal, by what is best for these values; false if nothing is.
    fn rearrange(&mut self, values: &[S]) -> bool {
        let sizes: Vec<f64> = values.iter().map(|v| v.magnitude().f64()).collect();
        let before = self.analysis.diagonal();
        let Some(Heaviest { row_of, log_scale }) = heaviest(&self.pattern, &sizes, &before) else {
            return false;
        };
        self.postponed.clear();
        self.analyse(&row_of);
        // Powers of two, so that nothing is rounded; far from the largest number and the least.
        let most = if S::Part::EPSILON.f64() > 1e-10 { 60.0 } else { 500.0 };
        let scale = |log: &f64| S::Part::c((log / std::f64::consts::LN_2).round().clamp(-most, most).exp2());
        self.fronts.scale_by(log_scale.iter().map(scale));
        true
    }

    /// Analyses the pattern with these rows on the diagonal, and with the postponed columns at the end.
    fn analyse(&mut self, row_of: &[usize]) {
        self.analysis = Arc::new(Analysis::with_diagonal(&self.pattern, row_of, &self.postponed));
        self.fronts = self.fronts.scaled_alike(&self.analysis);
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
            Err(Trouble::Unstable(k)) => self.recover(k, values),
        }
    }

    fn solve(&mut self, b: &mut [S]) {
        self.apply(b, false);
    }

    fn solve_transpose(&mut self, b: &mut [S]) {
        self.apply(b, true);
    }
}
