//! An element of SBML and what may be asked of it.

use roxmltree::Node;

use super::document::Document;
use super::error::SbmlError;
use crate::math::{Expr, Raw, parse_level_one, read_math};

/// What level 1 calls an attribute.
fn name_in_level_one(element: &str, attribute: &'static str) -> &'static str {
    match (element, attribute) {
        (_, "id") => "name",
        ("compartment", "size") => "volume",
        ("species" | "specie", "substanceUnits") => "units",
        // Version 1 did not know the plural.
        ("specieReference" | "specieConcentrationRule", "species") => "specie",
        _ => attribute,
    }
}

/// An element and what may be asked of it.
#[derive(Clone, Copy)]
pub(super) struct At<'a, 'i>(pub(super) Node<'a, 'i>);

impl<'a, 'i> At<'a, 'i> {
    pub(super) fn name(self) -> &'a str {
        self.0.tag_name().name()
    }

    pub(super) fn line(self) -> u32 {
        self.0.document().text_pos_at(self.0.range().start).row
    }

    /// The elements inside, without notes, annotations and what belongs to other namespaces.
    pub(super) fn children(self) -> impl Iterator<Item = Self> + use<'a, 'i> {
        let own = self.0.tag_name().namespace();
        self.0.children().filter(Node::is_element).map(At).filter(move |x| {
            let known = x.0.tag_name().namespace() == own;
            known && !matches!(x.name(), "notes" | "annotation") || x.name() == "math"
        })
    }

    pub(super) fn child(self, name: &str) -> Option<Self> {
        self.children().find(|x| x.name() == name)
    }

    /// The elements of a list inside, or of none.
    pub(super) fn list(self, name: &str) -> impl Iterator<Item = Self> {
        self.child(name).into_iter().flat_map(Self::children)
    }

    /// What the element is called by: its id, or what it is about.
    pub(super) fn id(self) -> String {
        let id = ["id", "variable", "symbol", "species"].iter().find_map(|a| self.text(a));
        id.unwrap_or_default()
    }

    fn is_of_level_one(self) -> bool {
        self.0.document().root_element().attribute("level").is_some_and(|level| level.trim() == "1")
    }

    pub(super) fn text(self, attribute: &'static str) -> Option<String> {
        let name = if self.is_of_level_one() { name_in_level_one(self.name(), attribute) } else { attribute };
        self.0.attribute(name).map(|x| x.trim().to_owned())
    }

    pub(super) fn required(self, attribute: &'static str) -> Result<String, SbmlError> {
        self.text(attribute).filter(|x| !x.is_empty()).ok_or_else(|| self.missing(attribute))
    }

    pub(super) fn wrong(self, attribute: &str, value: String, expected: &'static str) -> SbmlError {
        let (element, id, line) = (self.name().into(), self.id(), self.line());
        SbmlError::Attribute { element, id, attribute: attribute.into(), value, expected, line }
    }

    pub(super) fn number(self, attribute: &'static str) -> Result<Option<f64>, SbmlError> {
        let Some(text) = self.text(attribute) else { return Ok(None) };
        let value = match text.as_str() {
            "INF" => Some(f64::INFINITY),
            "-INF" => Some(f64::NEG_INFINITY),
            _ => text.parse().ok(),
        };
        value.map(Some).ok_or_else(|| self.wrong(attribute, text, "a number"))
    }

    pub(super) fn whole(self, attribute: &'static str) -> Result<u32, SbmlError> {
        let text = self.required(attribute)?;
        text.parse().map_err(|_| self.wrong(attribute, text, "a whole number"))
    }

    pub(super) fn flag(self, attribute: &'static str, default: bool) -> Result<bool, SbmlError> {
        match self.text(attribute).as_deref() {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(self.wrong(attribute, other.into(), "true or false")),
        }
    }

    pub(super) fn missing(self, what: &'static str) -> SbmlError {
        SbmlError::Missing { element: self.name().into(), id: self.id(), what, line: self.line() }
    }

    pub(super) fn unsupported(self, what: &str) -> SbmlError {
        let (element, id, line) = (self.name().into(), self.id(), self.line());
        SbmlError::Unsupported { element, id, what: what.into(), line }
    }

    pub(super) fn unexpected(self, expected: &'static str) -> SbmlError {
        SbmlError::Element { expected, found: self.name().into(), line: self.line() }
    }

    pub(super) fn math_error(self, source: crate::math::MathError) -> SbmlError {
        let (name, id) = (self.name(), self.id());
        let owner = if id.is_empty() {
            format!("<{name}> (line {})", self.line())
        } else {
            format!("<{name}> `{id}`")
        };
        SbmlError::Math { owner, source }
    }

    /// The `<math>` inside. From level 3 version 2 on it may be missing, and the element then says nothing.
    pub(super) fn math_if_needed(self, document: &Document) -> Result<Option<Self>, SbmlError> {
        match self.child("math") {
            Some(math) => Ok(Some(math)),
            None if (document.level, document.version) >= (3, 2) => Ok(None),
            None => Err(self.missing("<math>")),
        }
    }

    pub(super) fn formula(self, document: &Document) -> Result<Option<Expr<Raw>>, SbmlError> {
        if document.level == 1 {
            let text = self.required("formula")?;
            return parse_level_one(&text).map(Some).map_err(|e| self.math_error(e));
        }
        let math = self.math_if_needed(document)?;
        math.map(|math| read_math(math.0).map_err(|e| self.math_error(e))).transpose()
    }
}
