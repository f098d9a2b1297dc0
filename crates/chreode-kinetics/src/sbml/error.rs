//! What may be wrong with an SBML file.

use crate::math::MathError;

/// Errors of reading a model. Lines count from one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SbmlError {
    /// It is no XML.
    #[error("not well-formed XML: {message}")]
    Xml {
        /// What the XML reader says, with the place.
        message: String,
    },
    /// It is no SBML.
    #[error("expected <{expected}> at line {line}, found <{found}>")]
    Element {
        /// The element that should stand there.
        expected: &'static str,
        /// The one that does.
        found: String,
        /// Its line.
        line: u32,
    },
    /// A level that is not read.
    #[error("SBML level {level} version {version} is not supported: levels 1, 2 and 3 are")]
    Level {
        /// Level.
        level: u32,
        /// Version.
        version: u32,
    },
    /// A feature that is not supported.
    #[error("<{element}>{} (line {line}): {what} not supported", named(id))]
    Unsupported {
        /// The element.
        element: String,
        /// Its id, or what it is about; empty if it has none.
        id: String,
        /// What is not supported ("algebraic rules are").
        what: String,
        /// Its line.
        line: u32,
    },
    /// A part is missing.
    #[error("<{element}>{} (line {line}) has no {what}", named(id))]
    Missing {
        /// The element.
        element: String,
        /// Its id; empty if it has none.
        id: String,
        /// The attribute or element.
        what: &'static str,
        /// Its line.
        line: u32,
    },
    /// An attribute with a value that it cannot have.
    #[error("<{element}>{} (line {line}): {attribute} = {value:?} is not {expected}", named(id))]
    Attribute {
        /// The element.
        element: String,
        /// Its id; empty if it has none.
        id: String,
        /// The attribute.
        attribute: String,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
        /// Its line.
        line: u32,
    },
    /// A formula that cannot be used.
    #[error("{owner}: {source}")]
    Math {
        /// Whose formula it is.
        owner: String,
        /// What is wrong with it.
        source: MathError,
    },
    /// Two things with the same id.
    #[error("the id `{id}` is used twice")]
    Duplicate {
        /// The id.
        id: String,
    },
    /// A name that nothing has.
    #[error("{owner}: there is no {expected} `{id}`")]
    Unknown {
        /// What names it.
        owner: String,
        /// What it should be.
        expected: &'static str,
        /// The name.
        id: String,
    },
    /// Something that may not be set is set.
    #[error("{owner} cannot set `{id}`, which {why}")]
    NotVariable {
        /// What sets it.
        owner: String,
        /// The id.
        id: String,
        /// Why not.
        why: &'static str,
    },
    /// The rate of change of something whose rate is not known.
    #[error("rateOf: `{id}`, or its compartment, is assigned by a rule, which is not supported")]
    RateOf {
        /// What it is the rate of.
        id: String,
    },
    /// Formulas that need each other.
    #[error("formulas depend on themselves: {}", .ids.join(" -> "))]
    Cycle {
        /// What is computed from the next, round.
        ids: Vec<String>,
    },
}

fn named(id: &str) -> String {
    if id.is_empty() { String::new() } else { format!(" `{id}`") }
}
