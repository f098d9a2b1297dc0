//! SBML, levels 2 and 3, as it stands in the file.
//!
//! `document.rs` is what a model says, `read.rs` reads it from XML, `error.rs` what may be wrong. Not here: what it means (`model`).

mod document;
mod error;
mod read;

pub(crate) use document::{Document, Reaction, RuleKind, SpeciesReference, Stoichiometry};
pub use error::SbmlError;
pub(crate) use read::read;
