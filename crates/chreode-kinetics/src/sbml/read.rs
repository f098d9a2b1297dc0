//! SBML from XML.
//!
//! Elements of other namespaces (annotations, packages that are not required) and notes are passed over; any other element that is
//! not known is an error.

use roxmltree::{Document as Xml, Node, ParsingOptions};

use super::document::{
    Compartment, Document, Event, EventAssignment, KineticLaw, Parameter, Reaction, Rule, RuleKind, Species,
    SpeciesReference, Stoichiometry, Trigger,
};
use super::error::SbmlError;
use crate::math::{Expr, Raw, read_lambda, read_math};

/// Reads a model.
pub(crate) fn read(text: &str) -> Result<Document, SbmlError> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: 20_000_000, ..ParsingOptions::default() };
    let text = text.trim_start_matches('\u{feff}');
    let xml =
        Xml::parse_with_options(text, options).map_err(|e| SbmlError::Xml { message: e.to_string() })?;
    let sbml = At(xml.root_element());
    if sbml.name() != "sbml" {
        return Err(SbmlError::Element { expected: "sbml", found: sbml.name().into(), line: sbml.line() });
    }
    let (level, version) = (sbml.whole("level")?, sbml.whole("version")?);
    if !matches!(level, 2 | 3) {
        return Err(SbmlError::Level { level, version });
    }
    for attribute in sbml.0.attributes() {
        if attribute.name() == "required" && matches!(attribute.value().trim(), "true" | "1") {
            let package = attribute.namespace().unwrap_or_default();
            let what = format!("the package {package}, which it requires, is");
            return Err(sbml.unsupported(&what));
        }
    }
    let model = sbml.child("model").ok_or_else(|| sbml.missing("<model>"))?;
    let mut document = Document {
        level,
        version,
        id: model.text("id").unwrap_or_default(),
        time_units: model.text("timeUnits"),
        conversion_factor: model.text("conversionFactor"),
        ..Document::default()
    };
    for part in model.children() {
        let items = part.children();
        match part.name() {
            "listOfFunctionDefinitions" => {
                for item in items {
                    let id = item.required("id")?;
                    let Some(math) = item.math_if_needed(&document)? else { continue };
                    let lambda = read_lambda(math.0).map_err(|e| item.math_error(e))?;
                    if document.functions.insert(id.clone(), lambda).is_some() {
                        return Err(SbmlError::Duplicate { id });
                    }
                }
            }
            "listOfCompartments" => {
                document.compartments = items.map(|x| compartment(x, level)).collect::<Result<_, _>>()?;
            }
            "listOfSpecies" => document.species = items.map(species).collect::<Result<_, _>>()?,
            "listOfParameters" => {
                document.parameters = items.map(|x| parameter(x, false)).collect::<Result<_, _>>()?;
            }
            "listOfInitialAssignments" => {
                for item in items {
                    let symbol = item.required("symbol")?;
                    if let Some(math) = item.formula(&document)? {
                        document.initial_assignments.push((symbol, math));
                    }
                }
            }
            "listOfRules" => {
                for item in items {
                    let kind = match item.name() {
                        "assignmentRule" => RuleKind::Assignment,
                        "rateRule" => RuleKind::Rate,
                        "algebraicRule" => match item.math_if_needed(&document)? {
                            Some(_) => return Err(item.unsupported("algebraic rules are")),
                            None => continue,
                        },
                        _ => return Err(item.unexpected("assignmentRule")),
                    };
                    let variable = item.required("variable")?;
                    if let Some(math) = item.formula(&document)? {
                        document.rules.push(Rule { kind, variable, math });
                    }
                }
            }
            "listOfConstraints" => {
                // A constraint changes no trajectory: it says where a model is meant to hold.
                for item in items {
                    if item.name() != "constraint" {
                        return Err(item.unexpected("constraint"));
                    }
                }
            }
            "listOfReactions" => {
                for item in items {
                    let reaction = reaction(item, &document)?;
                    document.reactions.push(reaction);
                }
            }
            "listOfEvents" => {
                for (i, item) in items.enumerate() {
                    if let Some(event) = event(item, i, &document)? {
                        document.events.push(event);
                    }
                }
            }
            // Units are kept as text where they are used; these two give hints to people.
            "listOfUnitDefinitions" | "listOfCompartmentTypes" | "listOfSpeciesTypes" => {}
            _ => return Err(part.unexpected("listOfReactions, or another part of a model")),
        }
    }
    Ok(document)
}

/// An element and what may be asked of it.
#[derive(Clone, Copy)]
struct At<'a, 'i>(Node<'a, 'i>);

impl<'a, 'i> At<'a, 'i> {
    fn name(self) -> &'a str {
        self.0.tag_name().name()
    }

    fn line(self) -> u32 {
        self.0.document().text_pos_at(self.0.range().start).row
    }

    /// The elements inside, without notes, annotations and what belongs to other namespaces.
    fn children(self) -> impl Iterator<Item = Self> + use<'a, 'i> {
        let own = self.0.tag_name().namespace();
        self.0.children().filter(Node::is_element).map(At).filter(move |x| {
            let known = x.0.tag_name().namespace() == own;
            known && !matches!(x.name(), "notes" | "annotation") || x.name() == "math"
        })
    }

    fn child(self, name: &str) -> Option<Self> {
        self.children().find(|x| x.name() == name)
    }

    /// The elements of a list inside, or of none.
    fn list(self, name: &str) -> impl Iterator<Item = Self> {
        self.child(name).into_iter().flat_map(Self::children)
    }

    /// What the element is called by: its id, or what it is about.
    fn id(self) -> String {
        let id = ["id", "variable", "symbol", "species"].iter().find_map(|a| self.text(a));
        id.unwrap_or_default()
    }

    fn text(self, attribute: &str) -> Option<String> {
        self.0.attribute(attribute).map(|x| x.trim().to_owned())
    }

    fn required(self, attribute: &'static str) -> Result<String, SbmlError> {
        self.text(attribute).filter(|x| !x.is_empty()).ok_or_else(|| self.missing(attribute))
    }

    fn wrong(self, attribute: &str, value: String, expected: &'static str) -> SbmlError {
        let (element, id, line) = (self.name().into(), self.id(), self.line());
        SbmlError::Attribute { element, id, attribute: attribute.into(), value, expected, line }
    }

    fn number(self, attribute: &str) -> Result<Option<f64>, SbmlError> {
        let Some(text) = self.text(attribute) else { return Ok(None) };
        let value = match text.as_str() {
            "INF" => Some(f64::INFINITY),
            "-INF" => Some(f64::NEG_INFINITY),
            _ => text.parse().ok(),
        };
        value.map(Some).ok_or_else(|| self.wrong(attribute, text, "a number"))
    }

    fn whole(self, attribute: &'static str) -> Result<u32, SbmlError> {
        let text = self.required(attribute)?;
        text.parse().map_err(|_| self.wrong(attribute, text, "a whole number"))
    }

    fn flag(self, attribute: &str, default: bool) -> Result<bool, SbmlError> {
        match self.text(attribute).as_deref() {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(self.wrong(attribute, other.into(), "true or false")),
        }
    }

    fn missing(self, what: &'static str) -> SbmlError {
        SbmlError::Missing { element: self.name().into(), id: self.id(), what, line: self.line() }
    }

    fn unsupported(self, what: &str) -> SbmlError {
        let (element, id, line) = (self.name().into(), self.id(), self.line());
        SbmlError::Unsupported { element, id, what: what.into(), line }
    }

    fn unexpected(self, expected: &'static str) -> SbmlError {
        SbmlError::Element { expected, found: self.name().into(), line: self.line() }
    }

    fn math_error(self, source: crate::math::MathError) -> SbmlError {
        let (name, id) = (self.name(), self.id());
        let owner = if id.is_empty() {
            format!("<{name}> (line {})", self.line())
        } else {
            format!("<{name}> `{id}`")
        };
        SbmlError::Math { owner, source }
    }

    /// The `<math>` inside. From level 3 version 2 on it may be missing, and the element then says nothing.
    fn math_if_needed(self, document: &Document) -> Result<Option<Self>, SbmlError> {
        match self.child("math") {
            Some(math) => Ok(Some(math)),
            None if (document.level, document.version) >= (3, 2) => Ok(None),
            None => Err(self.missing("<math>")),
        }
    }

    fn formula(self, document: &Document) -> Result<Option<Expr<Raw>>, SbmlError> {
        let math = self.math_if_needed(document)?;
        math.map(|math| read_math(math.0).map_err(|e| self.math_error(e))).transpose()
    }
}

fn compartment(x: At<'_, '_>, level: u32) -> Result<Compartment, SbmlError> {
    let dimensions = x.number("spatialDimensions")?.unwrap_or(3.0);
    Ok(Compartment {
        id: x.required("id")?,
        // A point needs no size: it has no concentrations.
        size: x.number("size")?.or((dimensions == 0.0).then_some(1.0)),
        constant: x.flag("constant", level == 2)?,
        point: dimensions == 0.0,
        units: x.text("units"),
    })
}

fn species(x: At<'_, '_>) -> Result<Species, SbmlError> {
    Ok(Species {
        id: x.required("id")?,
        compartment: x.required("compartment")?,
        initial_amount: x.number("initialAmount")?,
        initial_concentration: x.number("initialConcentration")?,
        only_substance: x.flag("hasOnlySubstanceUnits", false)?,
        boundary: x.flag("boundaryCondition", false)?,
        constant: x.flag("constant", false)?,
        conversion_factor: x.text("conversionFactor"),
        units: x.text("substanceUnits"),
    })
}

/// Local parameters are constant.
fn parameter(x: At<'_, '_>, local: bool) -> Result<Parameter, SbmlError> {
    Ok(Parameter {
        id: x.required("id")?,
        value: x.number("value")?,
        constant: local || x.flag("constant", true)?,
        units: x.text("units"),
    })
}

fn reaction(x: At<'_, '_>, document: &Document) -> Result<Reaction, SbmlError> {
    let id = x.required("id")?;
    if x.flag("fast", false)? {
        return Err(x.unsupported("fast reactions are"));
    }
    let (mut reactants, mut products, mut law) = (Vec::new(), Vec::new(), None);
    for part in x.children() {
        match part.name() {
            "listOfReactants" => {
                reactants =
                    part.children().map(|x| species_reference(x, document)).collect::<Result<_, _>>()?;
            }
            "listOfProducts" => {
                products =
                    part.children().map(|x| species_reference(x, document)).collect::<Result<_, _>>()?;
            }
            // Modifiers say what a rate law uses; the law itself uses it.
            "listOfModifiers" => {}
            "kineticLaw" => {
                let Some(math) = part.formula(document)? else { continue };
                let locals = part.list("listOfParameters").chain(part.list("listOfLocalParameters"));
                let parameters = locals.map(|x| parameter(x, true)).collect::<Result<_, _>>()?;
                law = Some(KineticLaw { math, parameters });
            }
            _ => return Err(part.unexpected("kineticLaw, or another part of a reaction")),
        }
    }
    if law.is_none() && (document.level, document.version) < (3, 2) {
        return Err(x.missing("<kineticLaw>"));
    }
    Ok(Reaction { id, reactants, products, law, reversible: x.flag("reversible", true)? })
}

fn species_reference(x: At<'_, '_>, document: &Document) -> Result<SpeciesReference, SbmlError> {
    let stoichiometry = match (x.child("stoichiometryMath"), x.number("stoichiometry")?) {
        (Some(math), _) => match math.formula(document)? {
            Some(math) => Stoichiometry::Math(math),
            None => Stoichiometry::Unset,
        },
        (None, Some(number)) => Stoichiometry::Number(number),
        (None, None) if document.level == 2 => Stoichiometry::Number(1.0),
        (None, None) => Stoichiometry::Unset,
    };
    Ok(SpeciesReference {
        id: x.text("id"),
        species: x.required("species")?,
        stoichiometry,
        constant: x.flag("constant", false)?,
    })
}

/// None for an event that can never occur, since it has no trigger (level 3 version 2).
fn event(x: At<'_, '_>, number: usize, document: &Document) -> Result<Option<Event>, SbmlError> {
    let (mut trigger, mut delay, mut priority, mut assignments) = (None, None, None, Vec::new());
    for part in x.children() {
        match part.name() {
            "trigger" => {
                let Some(math) = part.formula(document)? else { continue };
                trigger = Some(Trigger {
                    math,
                    initial_value: part.flag("initialValue", true)?,
                    persistent: part.flag("persistent", true)?,
                });
            }
            "delay" => delay = part.formula(document)?,
            "priority" => priority = part.formula(document)?,
            "listOfEventAssignments" => {
                for item in part.children() {
                    let variable = item.required("variable")?;
                    if let Some(math) = item.formula(document)? {
                        assignments.push(EventAssignment { variable, math });
                    }
                }
            }
            _ => return Err(part.unexpected("trigger, or another part of an event")),
        }
    }
    let values_from_trigger_time = x.flag("useValuesFromTriggerTime", true)?;
    let Some(trigger) = trigger else {
        if (document.level, document.version) >= (3, 2) {
            return Ok(None);
        }
        return Err(x.missing("<trigger>"));
    };
    let id = x.text("id").unwrap_or_else(|| format!("event number {}", number + 1));
    Ok(Some(Event { id, trigger, delay, priority, values_from_trigger_time, assignments }))
}
