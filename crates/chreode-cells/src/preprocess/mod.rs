//! From expression to coordinates: normalise, take logarithms, choose genes, scale, principal components.
//!
//! [`Transform::fit`] learns all of it from one matrix, [`Transform::apply`] takes new cells through the same. The
//! steps are those of scanpy's usual recipe: counts scaled to one sum per cell, `ln(1 + x)`, the most variable genes, scaling to
//! unit variance with large values cut, PCA. Sparse matrices stay sparse.
//! Files: `options` (what can be chosen, and what the numbers are taken for), `genes` (the most variable ones),
//! `pca`, `transform` (the stored whole).

mod error;
mod genes;
mod options;
mod pca;
mod transform;

pub use error::PreprocessError;
pub use options::{ExpressionKind, PreprocessOptions};
pub use transform::{Fitted, MissingCounts, Transform};
