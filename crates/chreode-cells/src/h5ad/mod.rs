//! AnnData files (`.h5ad`): reading what the Python package `anndata` writes, and writing what it reads.
//!
//! [`H5ad`] opens a file and reads one element at a time, so that a large `X` costs nothing unless it is asked
//! for. [`H5adWriter`] collects the parts of a new file and writes them atomically. Encodings are those of
//! anndata 0.8 and later; categories as versions before 0.8 stored them are read too.
//! Not here: what the parts mean (`dataset`); `uns` is written, never read.

mod read;
mod rows;
mod write;

pub use read::H5ad;
pub use rows::MatrixRows;
pub use write::{H5adWriter, Unstructured};
