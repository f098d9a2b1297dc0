//! The order in which a model's formulas are computed.

use std::collections::HashMap;

use super::{Coefficient, Derivative, Form, Location, Model, Node, Symbol};
use crate::math::Expr;
use crate::sbml::SbmlError;

/// Every computed quantity, reaction and rate of change, each after what it needs; `initial`: at the start, where initial values
/// are computed too.
pub(super) fn order(model: &Model, initial: bool) -> Result<Vec<Node>, SbmlError> {
    let mut roots = Vec::new();
    for q in 0..model.quantities.len() {
        if is_computed(model, q, initial) {
            roots.push(Node::Quantity(q));
        }
    }
    roots.extend((0..model.laws.len()).map(Node::Reaction));
    roots.extend(model.states.iter().map(|&q| Node::Rate(q)));
    if initial {
        // Reactions and rates of change only as far as initial values need them.
        roots.retain(|node| matches!(node, Node::Quantity(_)));
    }
    let (mut done, mut state) = (Vec::new(), HashMap::new());
    for root in roots {
        visit(model, root, initial, &mut state, &mut done)?;
    }
    Ok(done)
}

/// Whether a quantity has to be computed before it is used.
fn is_computed(model: &Model, q: usize, initial: bool) -> bool {
    let quantity = &model.quantities[q];
    let assigned = matches!(quantity.location, Location::Assigned(_));
    let converts = quantity.stored_as_amount || converts(model, q);
    assigned || initial && (quantity.initial_assignment.is_some() || converts)
}

/// Whether the value that the file gives is not in the form that is stored.
fn converts(model: &Model, q: usize) -> bool {
    let quantity = &model.quantities[q];
    match quantity.given_as {
        Form::Formula => false,
        Form::Amount => !(quantity.stored_as_amount || quantity.only_substance),
        Form::Concentration => quantity.stored_as_amount || quantity.only_substance,
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    /// On the path from the root.
    Open,
    Done,
}

/// Depth first, with a path of its own: chains of rules may be long.
fn visit(
    model: &Model,
    root: Node,
    initial: bool,
    marks: &mut HashMap<Node, Mark>,
    done: &mut Vec<Node>,
) -> Result<(), SbmlError> {
    if marks.contains_key(&root) {
        return Ok(());
    }
    let mut path = vec![(root, needs(model, root, initial), 0)];
    marks.insert(root, Mark::Open);
    while let Some((node, needed, next)) = path.last_mut() {
        let Some(&child) = needed.get(*next) else {
            marks.insert(*node, Mark::Done);
            done.push(*node);
            path.pop();
            continue;
        };
        *next += 1;
        match marks.get(&child) {
            Some(Mark::Done) => {}
            Some(Mark::Open) => {
                let start = path.iter().position(|(node, ..)| *node == child).unwrap_or(0);
                let mut ids: Vec<String> =
                    path[start..].iter().map(|(node, ..)| name(model, *node)).collect();
                ids.push(name(model, child));
                return Err(SbmlError::Cycle { ids });
            }
            None => {
                marks.insert(child, Mark::Open);
                path.push((child, needs(model, child, initial), 0));
            }
        }
    }
    Ok(())
}

fn name(model: &Model, node: Node) -> String {
    match node {
        Node::Quantity(q) => model.quantities[q].id.clone(),
        Node::Reaction(r) => model.laws[r].id.clone(),
        Node::Rate(q) => format!("rate of {}", model.quantities[q].id),
    }
}

/// What has to be computed before a node.
fn needs(model: &Model, node: Node, initial: bool) -> Vec<Node> {
    let mut needed = Vec::new();
    let formula = |x: &Expr<Symbol>, needed: &mut Vec<Node>| {
        x.leaves(&mut |symbol| match *symbol {
            Symbol::Time | Symbol::Extra(_) => {}
            Symbol::Quantity(q) => quantity(model, q, initial, needed),
            Symbol::Reaction(r) => needed.push(Node::Reaction(r)),
            Symbol::Rate(q) => needed.push(Node::Rate(q)),
        });
    };
    match node {
        Node::Quantity(q) => {
            let x = &model.quantities[q];
            if let Location::Assigned(math) = &x.location {
                formula(math, &mut needed);
            } else {
                if let Some(math) = &x.initial_assignment {
                    formula(math, &mut needed);
                }
                if x.stored_as_amount || converts(model, q) {
                    quantity(model, x.compartment, initial, &mut needed);
                }
            }
        }
        Node::Reaction(r) => formula(&model.laws[r].rate, &mut needed),
        Node::Rate(q) => {
            let x = &model.quantities[q];
            if let Location::State(i) = x.location {
                match &model.derivatives[i] {
                    Derivative::Rule(math) => formula(math, &mut needed),
                    Derivative::Reactions(reactions, factor) => {
                        for (r, coefficient) in reactions {
                            needed.push(Node::Reaction(*r));
                            if let Coefficient::Formula(_, math) = coefficient {
                                formula(math, &mut needed);
                            }
                        }
                        if let Some(factor) = *factor {
                            quantity(model, factor, initial, &mut needed);
                        }
                    }
                }
            }
            if x.stored_as_amount {
                quantity(model, q, initial, &mut needed);
                needed.push(Node::Rate(x.compartment));
            }
        }
    }
    needed
}

/// What has to be computed before formulas can use a quantity.
fn quantity(model: &Model, q: usize, initial: bool, needed: &mut Vec<Node>) {
    let x = &model.quantities[q];
    if is_computed(model, q, initial) {
        needed.push(Node::Quantity(q));
    }
    if x.stored_as_amount && is_computed(model, x.compartment, initial) {
        needed.push(Node::Quantity(x.compartment));
    }
}
