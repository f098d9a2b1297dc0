//! Sparse LU with partial pivoting of whole columns, by faer, in double precision.

use chreode_core::{Real, Sparsity};
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::sparse::linalg::lu::{LuRef, LuSymbolicParams, NumericLu, SymbolicLu, factorize_symbolic_lu};
use faer::sparse::{SparseColMatRef, SymbolicSparseColMatRef};
use faer::{Conj, MatMut, Par};

use crate::scalar::Scalar;

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
        let symbolic = factorize_symbolic_lu(columns(pattern), LuSymbolicParams::default()).ok()?;
        let memory = StackReq::any_of(&[
            symbolic.factorize_numeric_lu_scratch::<S::Wide>(Par::Seq, faer::prelude::default()),
            symbolic.solve_in_place_scratch::<S::Wide>(1, Par::Seq),
            symbolic.solve_transpose_in_place_scratch::<S::Wide>(1, Par::Seq),
        ]);
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
        let stack = MemStack::new(&mut self.memory);
        self.symbolic
            .factorize_numeric_lu(&mut self.numeric, a, Par::Seq, stack, faer::prelude::default())
            .map_err(|_| 0_usize)?;
        // A zero pivot shows in what is solved with it.
        let mut probe = vec![S::ONE; self.pattern.n_cols()];
        self.solve(&mut probe, false);
        match probe.iter().position(|x| !x.magnitude().is_finite()) {
            None => Ok(()),
            Some(at) => Err(at),
        }
    }

    pub(super) fn solve(&mut self, b: &mut [S], transpose: bool) {
        self.x.clear();
        self.x.extend(b.iter().map(|b| b.widen()));
        let lu = LuRef::new_unchecked(&self.symbolic, &self.numeric);
        let x = MatMut::from_column_major_slice_mut(&mut self.x, b.len(), 1);
        let stack = MemStack::new(&mut self.memory);
        if transpose {
            lu.solve_transpose_in_place_with_conj(Conj::No, x, Par::Seq, stack);
        } else {
            lu.solve_in_place_with_conj(Conj::No, x, Par::Seq, stack);
        }
        for (b, &x) in b.iter_mut().zip(&self.x) {
            *b = S::narrow(x);
        }
    }
}

fn columns(pattern: &Sparsity) -> SymbolicSparseColMatRef<'_, usize> {
    let (n, m) = (pattern.n_rows(), pattern.n_cols());
    SymbolicSparseColMatRef::new_checked(n, m, pattern.col_starts(), None, pattern.row_indices())
}
