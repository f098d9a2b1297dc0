//! A model computed at a point, on any number.

use chreode_autodiff::Map;
use chreode_core::{Dynamics, Number};

use super::{Coefficient, Derivative, Location, Model, Node, QuantityKind, Symbol};
use crate::math::{Expr, is_true, value};

/// Everything in a model at one point.
pub(super) struct Values<'m, S> {
    model: &'m Model,
    pub(super) time: S,
    /// As `y` and `p` store it; what rules assign as formulas have it.
    pub(super) stored: Vec<S>,
    reactions: Vec<S>,
    /// Of each quantity as formulas have it, and of each state as it is stored.
    rates: Vec<S>,
    derivatives: Vec<S>,
    extra: &'m [S],
}

impl<'m, S: Number> Values<'m, S> {
    /// Nothing is computed yet.
    pub(super) fn new(model: &'m Model, time: S, extra: &'m [S]) -> Self {
        let zeros = |n: usize| vec![S::c(0.0); n];
        Self {
            model,
            time,
            stored: zeros(model.quantities.len()),
            reactions: zeros(model.laws.len()),
            rates: zeros(model.quantities.len()),
            derivatives: zeros(model.states.len()),
            extra,
        }
    }

    /// Everything at a point.
    fn at(model: &'m Model, t: S, y: &[S], p: &[S], extra: &'m [S]) -> Self {
        let mut values = Self::new(model, t, extra);
        for (&q, &y) in model.states.iter().zip(y) {
            values.stored[q] = y;
        }
        for (&q, &p) in model.params.iter().zip(p) {
            values.stored[q] = p;
        }
        for &node in &model.order {
            values.compute(node);
        }
        values
    }

    /// Computes one node, after those that it needs.
    pub(super) fn compute(&mut self, node: Node) {
        match node {
            Node::Quantity(q) => {
                if let Location::Assigned(math) = &self.model.quantities[q].location {
                    self.stored[q] = self.value(math);
                }
            }
            Node::Reaction(r) => self.reactions[r] = self.value(&self.model.laws[r].rate),
            Node::Rate(q) => {
                let quantity = &self.model.quantities[q];
                let stored = match quantity.location {
                    Location::State(i) => {
                        self.derivatives[i] = self.derivative(i);
                        self.derivatives[i]
                    }
                    Location::Param(_) | Location::Assigned(_) => S::c(0.0),
                };
                self.rates[q] = if quantity.stored_as_amount {
                    let c = quantity.compartment;
                    (stored - self.quantity(q) * self.rates[c]) / self.stored[c]
                } else {
                    stored
                };
            }
        }
    }

    fn derivative(&self, i: usize) -> S {
        match &self.model.derivatives[i] {
            Derivative::Rule(math) => self.value(math),
            Derivative::Reactions(reactions, factor) => {
                let terms = reactions.iter().map(|(r, coefficient)| match coefficient {
                    Coefficient::Number(n) => self.reactions[*r] * *n,
                    Coefficient::Formula(sign, math) => self.reactions[*r] * (self.value(math) * *sign),
                });
                let sum = terms.reduce(|a, b| a + b).unwrap_or_else(|| S::c(0.0));
                factor.map_or(sum, |factor| sum * self.quantity(factor))
            }
        }
    }

    /// A quantity as formulas have it.
    pub(super) fn quantity(&self, q: usize) -> S {
        let quantity = &self.model.quantities[q];
        let stored = self.stored[q];
        if quantity.stored_as_amount { stored / self.stored[quantity.compartment] } else { stored }
    }

    /// A species' amount; any other quantity as it is.
    fn amount(&self, q: usize) -> S {
        let quantity = &self.model.quantities[q];
        if quantity.kind != QuantityKind::Species || quantity.only_substance || quantity.stored_as_amount {
            self.stored[q]
        } else {
            self.stored[q] * self.stored[quantity.compartment]
        }
    }

    /// A species' concentration; any other quantity as it is.
    fn concentration(&self, q: usize) -> S {
        let quantity = &self.model.quantities[q];
        if quantity.kind == QuantityKind::Species && quantity.only_substance {
            self.stored[q] / self.stored[quantity.compartment]
        } else {
            self.quantity(q)
        }
    }

    pub(super) fn value(&self, x: &Expr<Symbol>) -> S {
        value(x, &|symbol| self.symbol(*symbol))
    }

    fn is_true(&self, x: &Expr<Symbol>) -> S {
        S::select(is_true(x, &|symbol| self.symbol(*symbol)), S::c(1.0), S::c(0.0))
    }

    fn symbol(&self, symbol: Symbol) -> S {
        match symbol {
            Symbol::Time => self.time,
            Symbol::Quantity(q) => self.quantity(q),
            Symbol::Reaction(r) => self.reactions[r],
            Symbol::Rate(q) => self.rates[q],
            Symbol::Extra(i) => self.extra[i],
        }
    }
}

/// The right-hand side of a model: what is integrated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'m>(pub(crate) &'m Model);

impl Dynamics for Field<'_> {
    fn dim(&self) -> usize {
        self.0.states.len()
    }
    fn n_params(&self) -> usize {
        self.0.params.len()
    }
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        dy.copy_from_slice(&Values::at(self.0, t, y, p, &[]).derivatives);
    }
}

/// What is read off a model at a point.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Reading {
    Value(Expr<Symbol>),
    /// One if it holds, zero if not.
    Truth(Expr<Symbol>),
    Amount(usize),
    Concentration(usize),
}

/// Readings of a model: values of formulas, amounts, concentrations. Their parameters are `p` and then `n_extra` more.
#[derive(Debug, Clone)]
pub(crate) struct Formulas<'m> {
    pub(crate) model: &'m Model,
    pub(crate) readings: Vec<Reading>,
    pub(crate) n_extra: usize,
}

impl Map for Formulas<'_> {
    fn dim(&self) -> usize {
        self.model.states.len()
    }
    fn n_params(&self) -> usize {
        self.model.params.len() + self.n_extra
    }
    fn n_out(&self) -> usize {
        self.readings.len()
    }
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], out: &mut [S]) {
        let (p, extra) = p.split_at(self.model.params.len());
        let values = Values::at(self.model, t, y, p, extra);
        for (out, reading) in out.iter_mut().zip(&self.readings) {
            *out = match reading {
                Reading::Value(x) => values.value(x),
                Reading::Truth(x) => values.is_true(x),
                Reading::Amount(q) => values.amount(*q),
                Reading::Concentration(q) => values.concentration(*q),
            };
        }
    }
}
