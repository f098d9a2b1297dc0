//! Sparse LU with partial pivoting of whole columns, by faer, in double precision.

use chreode_core::{Real, Sparsity};
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::sparse::linalg::lu::{LuRef, LuSymbolicParams, NumericLu, SymbolicLu, factorize_symbolic_lu};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMatRef};
use faer::traits::ComplexField;
use faer::{Conj, MatMut, Par, c64};

use crate::scalar::Scalar;

/// Double precision, real and complex, with what faer's sparse LU does for it. Its functions are not generic, so that faer's code
/// is compiled here and not again in every crate that uses this one.
pub trait Wide: ComplexField + Copy {
    #[doc(hidden)]
    fn scratch(symbolic: &SymbolicLu<usize>) -> StackReq;
    #[doc(hidden)]
    fn factor(
        symbolic: &SymbolicLu<usize>,
        numeric: &mut NumericLu<usize, Self>,
        a: SparseColMatRef<'_, usize, Self>,
        memory: &mut MemBuffer,
    ) -> bool;
    #[doc(hidden)]
    fn solve(
        symbolic: &SymbolicLu<usize>,
        numeric: &NumericLu<usize, Self>,
        x: &mut [Self],
        transpose: bool,
        memory: &mut MemBuffer,
    );
}

macro_rules! wide {
    ($($number:ty),*) => {$(
        impl Wide for $number {
            fn scratch(symbolic: &SymbolicLu<usize>) -> StackReq {
                StackReq::any_of(&[
                    symbolic.factorize_numeric_lu_scratch::<Self>(Par::Seq, faer::prelude::default()),
                    symbolic.solve_in_place_scratch::<Self>(1, Par::Seq),
                    symbolic.solve_transpose_in_place_scratch::<Self>(1, Par::Seq),
                ])
            }

            fn factor(
                symbolic: &SymbolicLu<usize>,
                numeric: &mut NumericLu<usize, Self>,
                a: SparseColMatRef<'_, usize, Self>,
                memory: &mut MemBuffer,
            ) -> bool {
                let stack = MemStack::new(memory);
                symbolic.factorize_numeric_lu(numeric, a, Par::Seq, stack, faer::prelude::default()).is_ok()
            }

            fn solve(
                symbolic: &SymbolicLu<usize>,
                numeric: &NumericLu<usize, Self>,
                x: &mut [Self],
                transpose: bool,
                memory: &mut MemBuffer,
            ) {
                let lu = LuRef::new_unchecked(symbolic, numeric);
                let (n, stack) = (x.len(), MemStack::new(memory));
                let x = MatMut::from_column_major_slice_mut(x, n, 1);
                if transpose {
                    lu.solve_transpose_in_place_with_conj(Conj::No, x, Par::Seq, stack);
                } else {
                    lu.solve_in_place_with_conj(Conj::No, x, Par::Seq, stack);
                }
            }
        }
    )*};
}

wide!(f64, c64);

fn analyse(pattern: &Sparsity) -> Option<SymbolicLu<usize>> {
    factorize_symbolic_lu(columns(pattern), LuSymbolicParams::default()).ok()
}

/// faer's factorisation of matrices of one pattern. Its factors grow as their pivots demand: factoring allocates.
pub(super) struct Library<S: Scalar> {
    pattern: Sparsity,
    symbolic: SymbolicLu<usize>,
    numeric: NumericLu<usize, S::Wide>,
    values: Vec<S::Wide>,
    x: Vec<S::Wide>,
    memory: MemBuffer,
}

impl<S: Scalar> Library<S> {
    /// The analysis; `None` if there is no memory for it.
    pub(super) fn new(pattern: &Sparsity) -> Option<Self> {
        let symbolic = analyse(pattern)?;
        let memory = S::Wide::scratch(&symbolic);
        Some(Self {
            pattern: pattern.clone(),
            symbolic,
            numeric: NumericLu::new(),
            values: Vec::with_capacity(pattern.len()),
            x: Vec::with_capacity(pattern.n_cols()),
            memory: MemBuffer::new(memory),
        })
    }

    /// Factors; `Err` is a pivot that was noticed to be zero or not finite.
    pub(super) fn factor(&mut self, values: &[S]) -> Result<(), usize> {
        self.values.clear();
        self.values.extend(values.iter().map(|v| v.widen()));
        let a = SparseColMatRef::new(columns(&self.pattern), &self.values[..]);
        if !S::Wide::factor(&self.symbolic, &mut self.numeric, a, &mut self.memory) {
            return Err(0);
        }
        // A zero pivot shows in what is solved with it.
        self.x.clear();
        self.x.resize(self.pattern.n_cols(), S::ONE.widen());
        S::Wide::solve(&self.symbolic, &self.numeric, &mut self.x, false, &mut self.memory);
        match self.x.iter().position(|&x| !S::narrow(x).magnitude().is_finite()) {
            None => Ok(()),
            Some(at) => Err(at),
        }
    }

    pub(super) fn solve(&mut self, b: &mut [S], transpose: bool) {
        self.x.clear();
        self.x.extend(b.iter().map(|b| b.widen()));
        S::Wide::solve(&self.symbolic, &self.numeric, &mut self.x, transpose, &mut self.memory);
        for (b, &x) in b.iter_mut().zip(&self.x) {
            *b = S::narrow(x);
        }
    }
}

fn columns(pattern: &Sparsity) -> SymbolicSparseColMatRef<'_, usize> {
    let (n, m) = (pattern.n_rows(), pattern.n_cols());
    SymbolicSparseColMatRef::new_checked(n, m, pattern.col_starts(), None, pattern.row_indices())
}
