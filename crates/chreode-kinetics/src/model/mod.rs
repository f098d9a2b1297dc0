//! What an SBML model means: quantities, what changes them, and the order in which they are computed.
//!
//! A [`Model`] has states `y` (what rate rules and reactions change), a flat slice `p` (every other quantity that is not assigned by a
//! rule; events may change it) and formulas over both. Species that reactions change are stored as amounts, so that their
//! balance is right in compartments of any, also varying, size; what has a rate rule is stored as what the rule speaks of.
//!
//! `compile.rs` makes it from a document, `order.rs` orders what depends on each other, `evaluate.rs` computes on any number,
//! `initial.rs` starts it. Not here: running it (`simulate`).

mod compile;
mod conserved;
mod evaluate;
mod initial;
mod order;

use std::collections::HashMap;
use std::path::Path;

pub(crate) use evaluate::{Field, Formulas, Reading};
pub(crate) use initial::Start;

use crate::error::KineticsError;
use crate::math::Expr;
use crate::sbml::{self, SbmlError};

/// What a formula of a model is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Symbol {
    Time,
    /// A quantity, in the units that formulas have it in.
    Quantity(usize),
    /// The rate of a reaction.
    Reaction(usize),
    /// The rate of change of a quantity.
    Rate(usize),
    /// A value that is given beside `p`: a placeholder of an observable.
    Extra(usize),
}

/// What a quantity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuantityKind {
    /// A compartment's size.
    Compartment,
    /// A species' amount or concentration.
    Species,
    /// A parameter of the whole model.
    Parameter,
    /// A parameter of one rate law; its id is `reaction.parameter`.
    LocalParameter,
    /// A stoichiometry that something changes.
    Stoichiometry,
}

/// Where the value of a quantity is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Location {
    State(usize),
    Param(usize),
    /// Its formula, in the units that formulas have it in.
    Assigned(Expr<Symbol>),
}

/// In which form a species is given or stored. Other quantities have one form, which is [`Form::Formula`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As formulas have it: a concentration, or an amount if it has only substance units.
    Formula,
    Amount,
    Concentration,
}

/// Something in a model that has a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantity {
    pub(crate) id: String,
    pub(crate) kind: QuantityKind,
    pub(crate) constant: bool,
    pub(crate) location: Location,
    /// Of a species: its compartment.
    pub(crate) compartment: usize,
    /// Of a species: formulas have its amount, not its concentration.
    pub(crate) only_substance: bool,
    /// Whether `y` or `p` hold an amount where formulas have a concentration.
    pub(crate) stored_as_amount: bool,
    /// The value that the file gives, not a number if it gives none.
    pub(crate) given: f64,
    pub(crate) given_as: Form,
    pub(crate) initial_assignment: Option<Expr<Symbol>>,
    pub(crate) units: Option<String>,
}

/// A stoichiometric coefficient.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Coefficient {
    Number(f64),
    /// A formula and its sign: negative for a reactant.
    Formula(f64, Expr<Symbol>),
}

/// What changes a state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Derivative {
    Rule(Expr<Symbol>),
    /// Reactions with their coefficients, and a factor of conversion.
    Reactions(Vec<(usize, Coefficient)>, Option<usize>),
}

/// A rate law.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RateLaw {
    pub(crate) id: String,
    pub(crate) rate: Expr<Symbol>,
    /// Whether its file allows it to run backwards.
    pub(crate) reversible: bool,
    /// What the reaction produces: species, also those that it does not change.
    pub(crate) products: Vec<usize>,
}

/// An event, with its formulas.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelEvent {
    pub(crate) id: String,
    pub(crate) trigger: Expr<Symbol>,
    pub(crate) initial_value: bool,
    pub(crate) persistent: bool,
    pub(crate) delay: Option<Expr<Symbol>>,
    pub(crate) priority: Option<Expr<Symbol>>,
    pub(crate) values_from_trigger_time: bool,
    pub(crate) assignments: Vec<(usize, Expr<Symbol>)>,
}

/// A step of computing everything at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// A quantity that a rule assigns, or whose initial value is computed.
    Quantity(usize),
    Reaction(usize),
    Rate(usize),
}

/// A kinetic model: see the crate's documentation for its layout.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    id: String,
    time_units: Option<String>,
    pub(crate) functions: crate::math::Functions,
    pub(crate) quantities: Vec<Quantity>,
    pub(crate) by_id: HashMap<String, usize>,
    /// Quantities of `y` and of `p`.
    pub(crate) states: Vec<usize>,
    pub(crate) params: Vec<usize>,
    pub(crate) derivatives: Vec<Derivative>,
    pub(crate) laws: Vec<RateLaw>,
    pub(crate) events: Vec<ModelEvent>,
    /// What has to be computed, each after what it needs: at any time, and at the start.
    order: Vec<Node>,
    initial_order: Vec<Node>,
    /// What the stoichiometry conserved before something else took its place.
    pub(crate) conserved_before: Option<Vec<Vec<(usize, i64)>>>,
}

impl Model {
    /// Reads a model from the text of an SBML file (level 1, 2 or 3).
    ///
    /// # Errors
    /// [`SbmlError`] names the element that is wrong or not supported.
    pub fn from_sbml(text: &str) -> Result<Self, SbmlError> {
        compile::compile(sbml::read(text)?)
    }

    /// Reads a model from an SBML file.
    ///
    /// # Errors
    /// As [`from_sbml`](Self::from_sbml), with the file; [`KineticsError::Read`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self, KineticsError> {
        let text = crate::text::read_text(path)?;
        Self::from_sbml(&text).map_err(|source| {
            let source = Box::new(source);
            KineticsError::Sbml { path: path.into(), source }
        })
    }

    /// Whether nothing happens by itself at a time, or jumps: there are no events, and no formula has time.
    pub(crate) fn is_autonomous(&self) -> bool {
        let timed = |x: &Expr<Symbol>| {
            let mut found = false;
            x.leaves(&mut |leaf| found |= *leaf == Symbol::Time);
            found
        };
        let by_rule = |x: &Quantity| matches!(&x.location, Location::Assigned(math) if timed(math));
        let by_rate = |x: &Derivative| match x {
            Derivative::Rule(math) => timed(math),
            Derivative::Reactions(reactions, _) => {
                reactions.iter().any(|(_, x)| matches!(x, Coefficient::Formula(_, math) if timed(math)))
            }
        };
        self.events.is_empty()
            && !self.quantities.iter().any(by_rule)
            && !self.derivatives.iter().any(by_rate)
            && !self.laws.iter().any(|law| timed(&law.rate))
    }

    /// Adds a constant, or what `math` says it is.
    pub(crate) fn add(&mut self, id: String, given: f64, math: Option<Expr<Symbol>>) -> usize {
        let q = self.quantities.len();
        let constant = math.is_none();
        let location = math.map_or(Location::Param(self.params.len()), Location::Assigned);
        if constant {
            self.params.push(q);
        }
        self.by_id.insert(id.clone(), q);
        self.quantities.push(Quantity {
            location,
            ..compile::plain(id, QuantityKind::Parameter, constant, Some(given), None)
        });
        q
    }

    /// Finds the order of computing again, after formulas have changed.
    pub(crate) fn reorder(&mut self) -> Result<(), SbmlError> {
        self.order = order::order(self, false)?;
        self.initial_order = order::order(self, true)?;
        Ok(())
    }

    /// Its id, empty if it has none.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The unit of time, as the file has it.
    pub fn time_units(&self) -> Option<&str> {
        self.time_units.as_deref()
    }

    /// Number of states, the length of `y`.
    pub fn n_states(&self) -> usize {
        self.states.len()
    }

    /// Length of the flat slice `p`.
    pub fn n_params(&self) -> usize {
        self.params.len()
    }

    /// Number of reactions.
    pub fn n_reactions(&self) -> usize {
        self.laws.len()
    }

    /// Ids of the states, in the order of `y`.
    pub fn state_ids(&self) -> impl Iterator<Item = &str> {
        self.states.iter().map(|&q| self.quantities[q].id.as_str())
    }

    /// Ids of what `p` holds, in its order.
    pub fn param_ids(&self) -> impl Iterator<Item = &str> {
        self.params.iter().map(|&q| self.quantities[q].id.as_str())
    }

    /// What has this id, if it is a quantity.
    pub fn kind(&self, id: &str) -> Option<QuantityKind> {
        self.by_id.get(id).map(|&q| self.quantities[q].kind)
    }

    /// The value that the file itself gives a quantity; not a number if it gives none, or computes it.
    pub fn given(&self, id: &str) -> Option<f64> {
        self.by_id.get(id).map(|&q| self.quantities[q].given)
    }

    /// The unit that the file names for a quantity.
    pub fn units(&self, id: &str) -> Option<&str> {
        self.by_id.get(id).and_then(|&q| self.quantities[q].units.as_deref())
    }
}
