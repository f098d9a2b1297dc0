//! Large matrices with few entries: column colouring, banded and sparse LU.
//!
//! Start with `lu` ([`SparseLu`]): `analysis` reads the pattern once, `fronts` factors values, `library` (faer) takes over
//! where the pivots that the pattern allows would not be stable. Not here: matrix-free solvers (`krylov`).

pub(crate) mod analysis;
pub(crate) mod band;
pub(crate) mod coloring;
mod fronts;
mod library;
pub(crate) mod lu;
mod matching;

#[cfg(doc)]
use lu::SparseLu;
