//! From a document to a model: names become quantities, formulas are resolved.

use std::collections::{HashMap, HashSet};

use super::order::order;
use super::{
    Coefficient, Derivative, Form, Location, Model, ModelEvent, Quantity, QuantityKind, RateLaw, Symbol,
};
use crate::math::{Expr, Functions, Raw, Resolver};
use crate::sbml::{Document, Reaction, RuleKind, SbmlError, SpeciesReference, Stoichiometry};

/// A reaction's local parameters by name.
type Locals<'a> = HashMap<&'a str, usize>;

struct Compiler {
    quantities: Vec<Quantity>,
    by_id: HashMap<String, usize>,
    reactions: HashMap<String, usize>,
    functions: Functions,
}

impl Compiler {
    fn add(&mut self, name: String, quantity: Quantity) -> Result<usize, SbmlError> {
        let q = self.quantities.len();
        if self.reactions.contains_key(&name) || self.by_id.insert(name.clone(), q).is_some() {
            return Err(SbmlError::Duplicate { id: name });
        }
        self.quantities.push(quantity);
        Ok(q)
    }

    fn resolve(&self, x: &Expr<Raw>, locals: &Locals<'_>, owner: &str) -> Result<Expr<Symbol>, SbmlError> {
        let symbol = |leaf: &Raw| {
            let leaf = match leaf {
                Raw::Time => Symbol::Time,
                Raw::RateOf(name) => match self.by_id.get(name) {
                    _ if locals.contains_key(name.as_str()) => return Some(Expr::Number(0.0)),
                    Some(&q) if self.quantities[q].constant => return Some(Expr::Number(0.0)),
                    Some(&q) => Symbol::Rate(q),
                    None => return None,
                },
                Raw::Name(name) => {
                    if let Some(&q) = locals.get(name.as_str()).or_else(|| self.by_id.get(name)) {
                        Symbol::Quantity(q)
                    } else {
                        Symbol::Reaction(*self.reactions.get(name)?)
                    }
                }
                Raw::Call(..) => return None,
            };
            Some(Expr::Leaf(leaf))
        };
        let resolver = Resolver { functions: &self.functions, symbol: &symbol };
        resolver.resolve(x).map_err(|source| SbmlError::Math { owner: owner.into(), source })
    }

    fn find(&self, id: &str, owner: &str, expected: &'static str) -> Result<usize, SbmlError> {
        let unknown = || SbmlError::Unknown { owner: owner.into(), expected, id: id.into() };
        self.by_id.get(id).copied().ok_or_else(unknown)
    }

    /// The quantity that a rule or event sets.
    fn variable(&self, id: &str, owner: &str) -> Result<usize, SbmlError> {
        let q = self.find(id, owner, "compartment, species, parameter or stoichiometry that can be set:")?;
        if self.quantities[q].constant {
            let (owner, id, why) = (owner.into(), id.into(), "is constant");
            return Err(SbmlError::NotVariable { owner, id, why });
        }
        Ok(q)
    }
}

pub(super) fn plain(
    id: String,
    kind: QuantityKind,
    constant: bool,
    given: Option<f64>,
    units: Option<String>,
) -> Quantity {
    Quantity {
        id,
        kind,
        constant,
        location: Location::Param(0),
        compartment: 0,
        only_substance: false,
        stored_as_amount: false,
        given: given.unwrap_or(f64::NAN),
        given_as: Form::Formula,
        initial_assignment: None,
        units,
    }
}

/// Builds the model that a document describes.
pub(super) fn compile(document: Document) -> Result<Model, SbmlError> {
    let mut compiler = Compiler {
        quantities: Vec::new(),
        by_id: HashMap::new(),
        reactions: HashMap::new(),
        functions: document.functions,
    };
    for (r, reaction) in document.reactions.iter().enumerate() {
        if compiler.reactions.insert(reaction.id.clone(), r).is_some() {
            return Err(SbmlError::Duplicate { id: reaction.id.clone() });
        }
    }
    let mut points = HashSet::new();
    for x in document.compartments {
        let q = compiler
            .add(x.id.clone(), plain(x.id, QuantityKind::Compartment, x.constant, x.size, x.units))?;
        if x.point {
            points.insert(q);
        }
    }
    let mut conversions = HashMap::new();
    let mut boundary = HashSet::new();
    for x in document.species {
        let owner = format!("species `{}`", x.id);
        let compartment = compiler.find(&x.compartment, &owner, "compartment")?;
        if compiler.quantities[compartment].kind != QuantityKind::Compartment {
            return Err(SbmlError::Unknown { owner, expected: "compartment", id: x.compartment });
        }
        let only_substance = x.only_substance || points.contains(&compartment);
        let (given, given_as) = match (x.initial_amount, x.initial_concentration) {
            (Some(amount), _) => (Some(amount), Form::Amount),
            (None, Some(concentration)) => (Some(concentration), Form::Concentration),
            (None, None) => (None, Form::Formula),
        };
        let quantity = plain(x.id.clone(), QuantityKind::Species, x.constant, given, x.units);
        let quantity =
            Quantity { compartment, only_substance, stored_as_amount: !only_substance, given_as, ..quantity };
        let q = compiler.add(x.id, quantity)?;
        if x.boundary || x.constant {
            boundary.insert(q);
        }
        if let Some(factor) = x.conversion_factor.or_else(|| document.conversion_factor.clone()) {
            conversions.insert(q, (factor, owner));
        }
    }
    for x in document.parameters {
        compiler.add(x.id.clone(), plain(x.id, QuantityKind::Parameter, x.constant, x.value, x.units))?;
    }
    // Stoichiometries with a name are quantities; those that nothing can set are numbers for good.
    let set: HashSet<&str> = (document.initial_assignments.iter().map(|(id, _)| id.as_str()))
        .chain(document.rules.iter().map(|rule| rule.variable.as_str()))
        .chain(document.events.iter().flat_map(|e| e.assignments.iter().map(|a| a.variable.as_str())))
        .collect();
    let references = |reactions: &'_ [Reaction]| -> Vec<SpeciesReference> {
        reactions.iter().flat_map(|r| r.reactants.iter().chain(&r.products)).cloned().collect()
    };
    if document.level == 3 {
        for reference in references(&document.reactions) {
            let Some(id) = reference.id else { continue };
            let given = match reference.stoichiometry {
                Stoichiometry::Number(x) => Some(x),
                _ => None,
            };
            let number = given.filter(|_| reference.constant && !set.contains(id.as_str()));
            let quantity = plain(id.clone(), QuantityKind::Stoichiometry, reference.constant, given, None);
            let q = compiler.add(id, quantity)?;
            if let Some(x) = number {
                compiler.quantities[q].location = Location::Assigned(Expr::Number(x));
            }
        }
    }
    let mut locals: Vec<Locals<'_>> = Vec::new();
    for reaction in &document.reactions {
        let mut own = Locals::new();
        for x in reaction.law.iter().flat_map(|law| &law.parameters) {
            let id = format!("{}.{}", reaction.id, x.id);
            let quantity = plain(id.clone(), QuantityKind::LocalParameter, true, x.value, x.units.clone());
            own.insert(&x.id, compiler.add(id, quantity)?);
        }
        locals.push(own);
    }

    // Rules.
    let none = Locals::new();
    let mut rates: HashMap<usize, Expr<Symbol>> = HashMap::new();
    let mut ruled = HashSet::new();
    for rule in &document.rules {
        let what = if rule.kind == RuleKind::Assignment { "assignment rule" } else { "rate rule" };
        let owner = format!("{what} of `{}`", rule.variable);
        let q = compiler.variable(&rule.variable, &owner)?;
        let math = compiler.resolve(&rule.math, &none, &owner)?;
        if !ruled.insert(q) {
            return Err(SbmlError::Duplicate {
                id: format!("{} (as the variable of a rule)", rule.variable),
            });
        }
        // What a rule speaks of is what formulas have.
        compiler.quantities[q].stored_as_amount = false;
        match rule.kind {
            RuleKind::Assignment => compiler.quantities[q].location = Location::Assigned(math),
            RuleKind::Rate => {
                rates.insert(q, math);
            }
        }
    }
    for (symbol, math) in &document.initial_assignments {
        let owner = format!("initial assignment of `{symbol}`");
        let q = compiler.find(symbol, &owner, "compartment, species, parameter or stoichiometry")?;
        if matches!(compiler.quantities[q].location, Location::Assigned(_)) {
            let why = "has an assignment rule";
            return Err(SbmlError::NotVariable { owner, id: symbol.clone(), why });
        }
        let math = compiler.resolve(math, &none, &owner)?;
        if compiler.quantities[q].initial_assignment.replace(math).is_some() {
            return Err(SbmlError::Duplicate { id: format!("{symbol} (in initial assignments)") });
        }
    }

    // Reactions.
    let mut laws = Vec::new();
    let mut changes: HashMap<usize, Vec<(usize, Coefficient)>> = HashMap::new();
    for (r, reaction) in document.reactions.iter().enumerate() {
        let owner = format!("reaction `{}`", reaction.id);
        let law = reaction.law.as_ref();
        let rate = law.map(|law| compiler.resolve(&law.math, &locals[r], &owner)).transpose()?;
        laws.push(RateLaw {
            id: reaction.id.clone(),
            rate: rate.unwrap_or(Expr::Number(f64::NAN)),
            reversible: reaction.reversible,
            products: reaction
                .products
                .iter()
                .filter_map(|x| compiler.by_id.get(&x.species).copied())
                .collect(),
        });
        let sides = [(-1.0, &reaction.reactants), (1.0, &reaction.products)];
        for (sign, reference) in sides.iter().flat_map(|(sign, side)| side.iter().map(|x| (*sign, x))) {
            let q = compiler.find(&reference.species, &owner, "species")?;
            if compiler.quantities[q].kind != QuantityKind::Species {
                let id = reference.species.clone();
                return Err(SbmlError::Unknown { owner, expected: "species", id });
            }
            if boundary.contains(&q) || law.is_none() {
                continue;
            }
            if ruled.contains(&q) {
                let why = "has a rule, and is no boundary";
                return Err(SbmlError::NotVariable { owner, id: reference.species.clone(), why });
            }
            let id = reference.id.as_ref().and_then(|id| compiler.by_id.get(id)).filter(|&&s| {
                let quantity = &compiler.quantities[s];
                // Numbers for good stay numbers here.
                let number = matches!(quantity.location, Location::Assigned(Expr::Number(_)));
                document.level == 3 && quantity.kind == QuantityKind::Stoichiometry && !number
            });
            let coefficient = match (&reference.stoichiometry, id) {
                (_, Some(&s)) => Coefficient::Formula(sign, Expr::Leaf(Symbol::Quantity(s))),
                (Stoichiometry::Number(x), None) => Coefficient::Number(sign * x),
                (Stoichiometry::Math(math), None) => {
                    let owner = format!("{owner}, stoichiometry of `{}`", reference.species);
                    Coefficient::Formula(sign, compiler.resolve(math, &none, &owner)?)
                }
                (Stoichiometry::Unset, None) => {
                    let (element, what, line) = ("speciesReference".into(), "stoichiometry", 0);
                    let id = format!("{}, species {}", reaction.id, reference.species);
                    return Err(SbmlError::Missing { element, id, what, line });
                }
            };
            changes.entry(q).or_default().push((r, coefficient));
        }
    }

    // Where everything is stored.
    let (mut states, mut params, mut derivatives) = (Vec::new(), Vec::new(), Vec::new());
    for q in 0..compiler.quantities.len() {
        if let Some(rate) = rates.remove(&q) {
            derivatives.push(Derivative::Rule(rate));
        } else if let Some(reactions) = changes.remove(&q) {
            let factor = match conversions.get(&q) {
                Some((factor, owner)) => Some(compiler.find(factor, owner, "conversion factor")?),
                None => None,
            };
            derivatives.push(Derivative::Reactions(reactions, factor));
        } else {
            if !matches!(compiler.quantities[q].location, Location::Assigned(_)) {
                compiler.quantities[q].location = Location::Param(params.len());
                params.push(q);
            }
            continue;
        }
        compiler.quantities[q].location = Location::State(states.len());
        states.push(q);
    }

    let mut events = Vec::new();
    for event in &document.events {
        let owner = format!("event `{}`", event.id);
        let resolve = |x: &Expr<Raw>| compiler.resolve(x, &none, &owner);
        let mut assignments = Vec::new();
        for x in &event.assignments {
            let q = compiler.variable(&x.variable, &owner)?;
            if matches!(compiler.quantities[q].location, Location::Assigned(_)) {
                let why = "has an assignment rule";
                return Err(SbmlError::NotVariable { owner, id: x.variable.clone(), why });
            }
            assignments.push((q, resolve(&x.math)?));
        }
        events.push(ModelEvent {
            id: event.id.clone(),
            trigger: resolve(&event.trigger.math)?,
            initial_value: event.trigger.initial_value,
            persistent: event.trigger.persistent,
            delay: event.delay.as_ref().map(resolve).transpose()?,
            priority: event.priority.as_ref().map(resolve).transpose()?,
            values_from_trigger_time: event.values_from_trigger_time,
            assignments,
        });
    }
    let mut model = Model {
        id: document.id,
        time_units: document.time_units,
        functions: compiler.functions,
        quantities: compiler.quantities,
        by_id: compiler.by_id,
        states,
        params,
        derivatives,
        laws,
        events,
        order: Vec::new(),
        initial_order: Vec::new(),
        conserved_before: None,
    };
    check_rates(&model)?;
    model.order = order(&model, false)?;
    model.initial_order = order(&model, true)?;
    Ok(model)
}

/// The error if a formula uses the rate of change of what a rule assigns, or of a concentration in a compartment that a rule assigns: that
/// would be a derivative of formulas.
fn check_rates(model: &Model) -> Result<(), SbmlError> {
    let mut wrong = None;
    let assigned = |q: usize| matches!(model.quantities[q].location, Location::Assigned(_));
    let mut look = |x: &Expr<Symbol>| {
        x.leaves(&mut |symbol| {
            if let Symbol::Rate(q) = *symbol {
                let quantity = &model.quantities[q];
                if assigned(q) || quantity.stored_as_amount && assigned(quantity.compartment) {
                    wrong = Some(quantity.id.clone());
                }
            }
        });
    };
    for quantity in &model.quantities {
        if let Location::Assigned(math) = &quantity.location {
            look(math);
        }
        quantity.initial_assignment.iter().for_each(&mut look);
    }
    for derivative in &model.derivatives {
        match derivative {
            Derivative::Rule(math) => look(math),
            Derivative::Reactions(reactions, _) => {
                for (_, coefficient) in reactions {
                    if let Coefficient::Formula(_, math) = coefficient {
                        look(math);
                    }
                }
            }
        }
    }
    model.laws.iter().for_each(|law| look(&law.rate));
    for event in &model.events {
        let values = event.assignments.iter().map(|(_, x)| x);
        std::iter::once(&event.trigger)
            .chain(&event.delay)
            .chain(&event.priority)
            .chain(values)
            .for_each(&mut look);
    }
    match wrong {
        Some(id) => Err(SbmlError::RateOf { id }),
        None => Ok(()),
    }
}
