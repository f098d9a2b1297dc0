//! What a solver of linear equations can do: factor once, then solve, also with the transpose.

/// A direct or iterative solver of `A x = b` for square matrices of one size and structure.
///
/// `S` is the type of a matrix element, real or complex. Work space is sized once: no call allocates.
pub trait LinearSolver<S> {
    /// Size of the matrices.
    fn n(&self) -> usize;

    /// Factors the matrix with these values, in the solver's own order (dense: `[n, n]` row-major; sparse: in the
    /// order of its [`Sparsity`](crate::Sparsity)).
    ///
    /// # Errors
    /// [`SingularMatrix`]; solving is then meaningless until a later matrix was factored.
    ///
    /// # Panics
    /// If the number of values is not that of the structure.
    fn factor(&mut self, values: &[S]) -> Result<(), SingularMatrix>;

    /// Solves `A x = b` in place.
    ///
    /// # Panics
    /// If `b` has not `n` elements.
    fn solve(&mut self, b: &mut [S]);

    /// Solves `Aᵀ x = b` in place (no conjugation).
    ///
    /// # Panics
    /// If `b` has not `n` elements.
    fn solve_transpose(&mut self, b: &mut [S]);
}

/// A pivot was zero or not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("matrix of size {n} is singular: pivot {pivot} is zero or not finite")]
pub struct SingularMatrix {
    /// Which pivot.
    pub pivot: usize,
    /// Size of the matrix.
    pub n: usize,
}
