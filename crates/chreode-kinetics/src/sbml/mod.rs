//! SBML, levels 1 to 3, as it stands in the file.
//!
//! `document.rs` is what a model says, `read.rs` reads it from XML, `element.rs` has what an element may be asked, `error.rs` what may be
//! wrong. Not here: what it means (`model`).

mod document;
mod element;
mod error;
mod read;

pub(crate) use document::{Document, Reaction, RuleKind, SpeciesReference, Stoichiometry};
pub use error::SbmlError;
pub(crate) use read::read;
