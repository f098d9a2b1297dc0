//! Systems in the form that suits their pattern: dense, banded or sparse.

use chreode_core::{LinearSolver, Real, SingularMatrix, Sparsity};

use super::band::BandLu;
use super::lu::SparseLu;
use crate::dense::lu::Lu;
use crate::scalar::{Complex, Scalar};

/// Up to this size all matrices are dense.
const DENSE_UP_TO: usize = 16;

/// From this size on it is worth an effort to factor dense matrices less often.
const DEAR_FROM: usize = 64;

/// A solver of the form that suits its pattern, by an estimate of the time of one factorisation and a few solves.
#[derive(Debug, Clone)]
pub enum StructuredLu<S: Scalar> {
    /// `[n, n]`, row-major.
    Dense(Lu<S>),
    /// A band, with its values in the pattern's order.
    Band(BandLu<S>),
    /// Few entries, in the pattern's order.
    Sparse(Box<SparseLu<S>>),
}

impl<S: Scalar> StructuredLu<S> {
    /// Up to this size all matrices are dense.
    pub const DENSE_UP_TO: usize = DENSE_UP_TO;

    /// The fastest by an estimate of one factorisation and a few solves. `None`: dense.
    pub fn of(pattern: Option<&Sparsity>, d: usize) -> Self {
        let Some(pattern) = pattern.filter(|_| d > DENSE_UP_TO) else {
            return Self::Dense(Lu::new(d));
        };
        let (lower, upper) = pattern.bandwidths();
        let (size, low, high) = (d as f64, lower as f64, (lower + upper) as f64);
        // Nanoseconds of one factorisation and four solves, fitted to benches/linear_systems.rs within a factor of two from
        // 16 to 8,192 unknowns: a short loop for each row of the band, a part for each unknown and for each element of the
        // factors, large blocks.
        let band = size * (110.0 + low * (8.0 + 0.55 * high));
        let dense = 6.0 * size.powi(2) + 0.15 * size.powi(3);
        if band < dense && lower + upper <= 6 {
            return Self::Band(BandLu::new(pattern)); // nothing has less to do: no need to analyse
        }
        let sparse = SparseLu::new(pattern);
        let cost = 200.0 * size + 6.0 * sparse.factor_len() as f64 + 0.13 * sparse.multiplications();
        if band < cost.min(dense) {
            Self::Band(BandLu::new(pattern))
        } else if dense < cost {
            Self::Dense(Lu::new(d))
        } else {
            Self::Sparse(Box::new(sparse))
        }
    }

    /// A solver of the same form for another type of elements.
    pub fn like<R: Scalar>(&self, pattern: Option<&Sparsity>) -> StructuredLu<R> {
        match (self, pattern) {
            (Self::Band(_), Some(pattern)) => StructuredLu::Band(BandLu::new(pattern)),
            (Self::Sparse(lu), _) => StructuredLu::Sparse(Box::new(lu.of_same_pattern())),
            _ => StructuredLu::Dense(Lu::new(self.n())),
        }
    }

    /// Whether its values are dense, `[d, d]` row-major.
    pub fn is_dense(&self) -> bool {
        matches!(self, Self::Dense(_))
    }

    /// Whether factoring takes tens of times as long as solving.
    pub fn is_dear(&self) -> bool {
        match self {
            Self::Dense(lu) => lu.n() >= DEAR_FROM,
            Self::Band(_) => false,
            Self::Sparse(_) => true,
        }
    }

    /// As [`SparseLu::forget_order`], where it is sparse.
    pub fn forget_order(&mut self) {
        if let Self::Sparse(lu) = self {
            lu.forget_order();
        }
    }

    /// Factors a dense matrix from its entries, as [`Lu::factor_from`].
    ///
    /// # Errors
    /// [`SingularMatrix`].
    ///
    /// # Panics
    /// If the solver is not dense.
    #[inline]
    pub fn factor_from(&mut self, entry: impl Fn(usize, bool) -> S) -> Result<(), SingularMatrix> {
        let Self::Dense(lu) = self else { panic!("entries of a dense matrix for a solver of another form") };
        lu.factor_from(entry)
    }
}

impl<S: Scalar> LinearSolver<S> for StructuredLu<S> {
    fn n(&self) -> usize {
        match self {
            Self::Dense(lu) => lu.n(),
            Self::Band(lu) => lu.n(),
            Self::Sparse(lu) => lu.n(),
        }
    }

    fn factor(&mut self, values: &[S]) -> Result<(), SingularMatrix> {
        match self {
            Self::Dense(lu) => lu.factor(values),
            Self::Band(lu) => lu.factor(values),
            Self::Sparse(lu) => lu.factor(values),
        }
    }

    #[inline]
    fn solve(&mut self, b: &mut [S]) {
        match self {
            Self::Dense(lu) => lu.solve(b),
            Self::Band(lu) => lu.solve(b),
            Self::Sparse(lu) => lu.solve(b),
        }
    }

    fn solve_transpose(&mut self, b: &mut [S]) {
        match self {
            Self::Dense(lu) => lu.solve_transpose(b),
            Self::Band(lu) => lu.solve_transpose(b),
            Self::Sparse(lu) => lu.solve_transpose(b),
        }
    }
}

impl<T: Real> StructuredLu<Complex<T>> {
    /// Solves for a right-hand side whose parts are apart, in place; `whole` is scratch of the same length.
    #[inline]
    pub fn solve_parts(&mut self, re: &mut [T], im: &mut [T], whole: &mut [Complex<T>]) {
        if let Self::Dense(lu) = self {
            return lu.solve_parts(re, im);
        }
        for ((b, &re), &im) in whole.iter_mut().zip(&*re).zip(&*im) {
            *b = Complex::new(re, im);
        }
        self.solve(whole);
        for ((b, re), im) in whole.iter().zip(re).zip(im) {
            (*re, *im) = (b.re, b.im);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Every form solves, also with the transpose: a band, few entries far off, many entries.
        #[test]
        fn all_forms_solve(x in prop::collection::vec(-1.0..1.0_f64, 200), reach in 1_usize..100, kind in 0_usize..3) {
            let d = if kind == 2 { 20 } else { 200 };
            let off = |j: usize| match kind {
                0 => vec![(j + 1) % d.min(j + 2), j.saturating_sub(1)],
                1 => vec![(j + reach) % d, (7 * j + 3) % d],
                _ => (0..d).collect(),
            };
            let entries = (0..d).flat_map(|j| off(j).into_iter().chain([j]).map(move |i| (i, j)));
            let pattern = Sparsity::new(d, d, entries).unwrap();
            let mut lu = StructuredLu::<f64>::of(Some(&pattern), d);
            let form = match &lu {
                StructuredLu::Band(_) => 0,
                StructuredLu::Sparse(_) => 1,
                StructuredLu::Dense(_) => 2,
            };
            prop_assert!(kind == 1 || form == kind, "{} {}", form, kind);
            let value = |i: usize, j: usize| if i == j { 30.0 } else { x[(3 * i + 5 * j) % 200] };
            let mut dense = vec![0.0; d * d];
            let mut values = Vec::new();
            for j in 0..d {
                for &i in pattern.column(j) {
                    values.push(value(i, j));
                    dense[i * d + j] = value(i, j);
                }
            }
            lu.factor(if lu.is_dense() { &dense } else { &values }).unwrap();
            for transposed in [false, true] {
                let at = |i: usize, j: usize| if transposed { dense[j * d + i] } else { dense[i * d + j] };
                let mut b: Vec<f64> = (0..d).map(|i| (0..d).map(|j| at(i, j) * x[j]).sum()).collect();
                if transposed { lu.solve_transpose(&mut b) } else { lu.solve(&mut b) }
                for (b, x) in b.iter().zip(&x) {
                    prop_assert!((b - x).abs() < 1e-11, "{} {}", b, x);
                }
            }
        }
    }
}
