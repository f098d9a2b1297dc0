//! Why a model cannot be made a hybrid.

use crate::sbml::SbmlError;

/// Errors of asking for nets in a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HybridError {
    /// What is asked for is not written as it has to be.
    #[error(
        "`{text}` is no rate of a hybrid: expected REACTION, REACTION:PART or REACTION:PART:INPUT,INPUT with PART one of replace, correct, add"
    )]
    Syntax {
        /// What was written.
        text: String,
    },
    /// A reaction that the model does not have.
    #[error("the model has no reaction `{id}`; it has {}", .known.join(", "))]
    Reaction {
        /// The id.
        id: String,
        /// All ids.
        known: Vec<String>,
    },
    /// A reaction that is asked for twice.
    #[error("reaction `{id}` is given twice")]
    Twice {
        /// The id.
        id: String,
    },
    /// A reaction that changes nothing: its species are all boundary, constant or without a kinetic law.
    #[error("reaction `{id}` changes no state of the model: a net in its place would have no effect")]
    ChangesNothing {
        /// The id.
        id: String,
    },
    /// A reaction whose rate is to be corrected, but that has none.
    #[error("reaction `{id}` has no kinetic law that a net could correct: use {id}:replace")]
    NoLaw {
        /// The id.
        id: String,
    },
    /// An input of a net that the model does not have.
    #[error(
        "`{id}`, an input of the net of `{net}`, is no species, compartment or parameter of the model, nor `time`"
    )]
    Input {
        /// The input.
        id: String,
        /// The net.
        net: String,
    },
    /// A net without inputs: its reaction names no species and its law depends on nothing that varies.
    #[error("nothing that varies is in the law of `{net}`: name inputs, as in {net}:replace:A,B")]
    NoInputs {
        /// The net.
        net: String,
    },
    /// A model without states.
    #[error("the model has no states: there is nothing that a net could change")]
    NoStates,
    /// Widths of hidden layers.
    #[error("hidden layers: {found:?}; expected at least one layer, of 1 to {most} units each")]
    Hidden {
        /// The widths.
        found: Vec<usize>,
        /// The largest.
        most: usize,
    },
    /// A standard deviation of weights.
    #[error("the prior's standard deviation of weights is {found}; expected a positive number")]
    WeightSd {
        /// The number.
        found: f64,
    },
    /// A number in a file that has to be positive.
    #[error("net of `{net}`: {what} is {found}; expected a positive number")]
    NotPositive {
        /// The net.
        net: String,
        /// What it is.
        what: &'static str,
        /// The number.
        found: f64,
    },
    /// A net for another problem.
    #[error("the net was fitted with the parameters {}; the problem's table has {}", .expected.join(", "), .found.join(", "))]
    Parameters {
        /// Of the net.
        expected: Vec<String>,
        /// Of the problem.
        found: Vec<String>,
    },
    /// A net for the states of another model.
    #[error("a net in place of the whole model is of the states {}; the model has {}", .expected.join(", "), .found.join(", "))]
    States {
        /// Of the net.
        expected: Vec<String>,
        /// Of the model.
        found: Vec<String>,
    },
    /// The model with its nets has no order of computing: an input depends on the rate itself.
    #[error("the model with its nets: {0}")]
    Model(Box<SbmlError>),
}
