//! Large matrices with few entries: column colouring, banded and sparse LU.
//!
//! Start with `lu` ([`SparseLu`]): `analysis` reads the pattern once, `fronts` factors values (`pivots` those of one
//! front). Where pivots would not be stable `matching` finds other rows for the diagonal by their size, and `library` (faer)
//! takes over where that does not help. `structured` chooses between dense, banded and sparse. Not here: matrix-free solvers
//! (`krylov`).

pub(crate) mod analysis;
pub(crate) mod band;
pub(crate) mod coloring;
mod fronts;
pub(crate) mod library;
pub(crate) mod lu;
mod matching;
mod pivots;
mod planes;
pub(crate) mod structured;

#[cfg(doc)]
use lu::SparseLu;
