//! The start of a model: initial values and assignments, with what is set from outside.

use chreode_core::Number;

use super::evaluate::Values;
use super::{Form, Location, Model, Node};

/// States and parameters at the start.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Start<S> {
    pub(crate) y: Vec<S>,
    pub(crate) p: Vec<S>,
}

impl Model {
    /// The start, where `set` replaces what the file gives for a quantity (its initial assignment too); the value is that which
    /// formulas have.
    pub(crate) fn start<S: Number>(&self, t: f64, set: &dyn Fn(usize) -> Option<S>) -> Start<S> {
        let mut values = Values::new(self, S::c(t), &[]);
        // What needs nothing else stands from the beginning.
        for q in 0..self.quantities.len() {
            values.stored[q] = set(q).unwrap_or_else(|| S::c(self.quantities[q].given));
        }
        for &node in &self.initial_order {
            match node {
                Node::Quantity(q) if !matches!(self.quantities[q].location, Location::Assigned(_)) => {
                    values.stored[q] = self.initial(q, set(q), &values);
                }
                _ => values.compute(node),
            }
        }
        let all = |list: &[usize]| list.iter().map(|&q| values.stored[q]).collect();
        Start { y: all(&self.states), p: all(&self.params) }
    }

    /// The initial value of a quantity as it is stored, once what it needs is known.
    fn initial<S: Number>(&self, q: usize, set: Option<S>, values: &Values<'_, S>) -> S {
        let quantity = &self.quantities[q];
        let size = values.stored[quantity.compartment];
        let (x, form) = match (set, &quantity.initial_assignment) {
            (Some(x), _) => (x, Form::Formula),
            (None, Some(math)) => (values.value(math), Form::Formula),
            (None, None) => (S::c(quantity.given), quantity.given_as),
        };
        self.stored(q, x, form, size)
    }

    /// A quantity as it is stored, from its value in some form, in a compartment of this size.
    pub(crate) fn stored<S: Number>(&self, q: usize, x: S, form: Form, size: S) -> S {
        let quantity = &self.quantities[q];
        let amount = quantity.stored_as_amount || quantity.only_substance;
        match form {
            Form::Formula if quantity.stored_as_amount => x * size,
            Form::Amount if !amount => x / size,
            Form::Concentration if amount => x * size,
            _ => x,
        }
    }
}
