//! From expression to coordinates: normalise, take logarithms, choose genes, scale, principal components.
//!
//! [`Transform::fit`] learns all of it from one matrix, [`Transform::apply`] takes new cells through the same. The
//! steps are those of scanpy's usual recipe: counts scaled to one sum per cell, `ln(1 + x)`, the most variable genes, scaling to
//! unit variance with large values cut, PCA. Sparse matrices stay sparse. Cells are read in blocks, several times; of the genes
//! that were chosen a copy is kept between passes, in memory or in a file.
//! Files: `options` (what can be chosen, and what the numbers are taken for), `genes` (the most variable ones),
//! `blocks` (cells that are read in blocks), `fit` (the passes), `pca`, `transform` (the stored whole).

mod blocks;
mod error;
mod fit;
mod genes;
mod options;
mod pca;
mod transform;

pub(crate) use blocks::{BlockError, Blocks, Kept};
pub use error::PreprocessError;
pub use options::{ExpressionKind, PreprocessOptions};
pub use transform::{Fitted, MissingCounts, Transform};
