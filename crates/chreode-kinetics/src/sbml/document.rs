//! What an SBML model says.

use crate::math::{Expr, Functions, Raw};

/// A model as it was written, with the defaults of its level filled in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Document {
    pub(crate) level: u32,
    pub(crate) version: u32,
    pub(crate) id: String,
    /// Unit of time, as text.
    pub(crate) time_units: Option<String>,
    pub(crate) conversion_factor: Option<String>,
    pub(crate) functions: Functions,
    pub(crate) compartments: Vec<Compartment>,
    pub(crate) species: Vec<Species>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) initial_assignments: Vec<(String, Expr<Raw>)>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) reactions: Vec<Reaction>,
    pub(crate) events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compartment {
    pub(crate) id: String,
    pub(crate) size: Option<f64>,
    pub(crate) constant: bool,
    /// It is a point: its species have amounts alone.
    pub(crate) point: bool,
    pub(crate) units: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Species {
    pub(crate) id: String,
    pub(crate) compartment: String,
    pub(crate) initial_amount: Option<f64>,
    pub(crate) initial_concentration: Option<f64>,
    pub(crate) only_substance: bool,
    pub(crate) boundary: bool,
    pub(crate) constant: bool,
    pub(crate) conversion_factor: Option<String>,
    pub(crate) units: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Parameter {
    pub(crate) id: String,
    pub(crate) value: Option<f64>,
    pub(crate) constant: bool,
    pub(crate) units: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RuleKind {
    Assignment,
    Rate,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) kind: RuleKind,
    pub(crate) variable: String,
    pub(crate) math: Expr<Raw>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reaction {
    pub(crate) id: String,
    pub(crate) reactants: Vec<SpeciesReference>,
    pub(crate) products: Vec<SpeciesReference>,
    /// None if it says nothing (level 3 version 2): the reaction then changes nothing.
    pub(crate) law: Option<KineticLaw>,
    pub(crate) reversible: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SpeciesReference {
    /// Formulas may use it from level 3 on.
    pub(crate) id: Option<String>,
    pub(crate) species: String,
    pub(crate) stoichiometry: Stoichiometry,
    pub(crate) constant: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Stoichiometry {
    Number(f64),
    Math(Expr<Raw>),
    /// Something else in the model has to set it.
    Unset,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KineticLaw {
    pub(crate) math: Expr<Raw>,
    pub(crate) parameters: Vec<Parameter>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// Its id, or its position where it has none.
    pub(crate) id: String,
    pub(crate) trigger: Trigger,
    pub(crate) delay: Option<Expr<Raw>>,
    pub(crate) priority: Option<Priority>,
    pub(crate) values_from_trigger_time: bool,
    pub(crate) assignments: Vec<EventAssignment>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Trigger {
    pub(crate) math: Expr<Raw>,
    pub(crate) initial_value: bool,
    pub(crate) persistent: bool,
}

pub(crate) type Priority = Expr<Raw>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EventAssignment {
    pub(crate) variable: String,
    pub(crate) math: Expr<Raw>,
}
