//! SBML from XML.
//!
//! Elements of other namespaces (annotations, packages that are not required) and notes are passed over; any other element that is
//! not known is an error. Level 1 has other names for some attributes, and text where the others have MathML.

use roxmltree::{Document as Xml, Node, ParsingOptions};

use super::document::{
    Compartment, Document, Event, EventAssignment, KineticLaw, Parameter, Reaction, Rule, RuleKind, Species,
    SpeciesReference, Stoichiometry, Trigger,
};
use super::element::At;
use super::error::SbmlError;
use crate::math::{parse_level_one, read_lambda};

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
    if !matches!(level, 1..=3) {
        return Err(SbmlError::Level { level, version });
    }
    check_packages(sbml)?;
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
            "listOfRules" if level == 1 => {
                document.rules = items.map(rule_of_level_one).collect::<Result<_, _>>()?;
            }
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
                document.parameters = items.map(|x| parameter(x, level, false)).collect::<Result<_, _>>()?;
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

/// The error if something belongs to a package that the file requires: a package that it names and does not use changes nothing.
fn check_packages(sbml: At<'_, '_>) -> Result<(), SbmlError> {
    for attribute in sbml.0.attributes() {
        if attribute.name() != "required" || !matches!(attribute.value().trim(), "true" | "1") {
            continue;
        }
        let Some(package) = attribute.namespace() else { continue };
        let mut inside = sbml.0.descendants().filter(Node::is_element);
        let used = inside.find(|x| {
            let mut attributes = x.attributes().filter(|a| *x != sbml.0 || a.name() != "required");
            x.tag_name().namespace() == Some(package) || attributes.any(|a| a.namespace() == Some(package))
        });
        if let Some(used) = used {
            return Err(At(used).unsupported(&format!("the package {package}, which the file requires, is")));
        }
    }
    Ok(())
}

fn compartment(x: At<'_, '_>, level: u32) -> Result<Compartment, SbmlError> {
    let dimensions = x.number("spatialDimensions")?.unwrap_or(3.0);
    Ok(Compartment {
        id: x.required("id")?,
        // A point needs no size: it has no concentrations.
        size: x.number("size")?.or((dimensions == 0.0 || level == 1).then_some(1.0)),
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
fn parameter(x: At<'_, '_>, level: u32, local: bool) -> Result<Parameter, SbmlError> {
    Ok(Parameter {
        id: x.required("id")?,
        value: x.number("value")?,
        constant: local || x.flag("constant", level > 1)?,
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
                let parameters =
                    locals.map(|x| parameter(x, document.level, true)).collect::<Result<_, _>>()?;
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
    let denominator = if document.level == 1 { x.number("denominator")?.unwrap_or(1.0) } else { 1.0 };
    if denominator == 0.0 {
        return Err(x.wrong("denominator", "0".into(), "a number other than zero"));
    }
    let stoichiometry = match (x.child("stoichiometryMath"), x.number("stoichiometry")?) {
        (Some(math), _) => match math.formula(document)? {
            Some(math) => Stoichiometry::Math(math),
            None => Stoichiometry::Unset,
        },
        (None, Some(number)) => Stoichiometry::Number(number / denominator),
        (None, None) if document.level < 3 => Stoichiometry::Number(1.0 / denominator),
        (None, None) => Stoichiometry::Unset,
    };
    Ok(SpeciesReference {
        id: x.text("id"),
        species: x.required("species")?,
        stoichiometry,
        constant: x.flag("constant", false)?,
    })
}

/// In level 1 a rule's element says what it is about, and an attribute of which kind it is.
fn rule_of_level_one(x: At<'_, '_>) -> Result<Rule, SbmlError> {
    let variable = match x.name() {
        "speciesConcentrationRule" | "specieConcentrationRule" => x.required("species")?,
        "compartmentVolumeRule" => x.required("compartment")?,
        "parameterRule" => x.required("name")?,
        "algebraicRule" => return Err(x.unsupported("algebraic rules are")),
        _ => return Err(x.unexpected("parameterRule")),
    };
    let kind = match x.text("type").as_deref() {
        None | Some("scalar") => RuleKind::Assignment,
        Some("rate") => RuleKind::Rate,
        Some(other) => return Err(x.wrong("type", other.into(), "scalar or rate")),
    };
    let math = parse_level_one(&x.required("formula")?).map_err(|e| x.math_error(e))?;
    Ok(Rule { kind, variable, math })
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
