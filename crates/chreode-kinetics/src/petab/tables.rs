//! The tables of a problem, row by row.

use std::collections::HashSet;

use super::error::PetabError;
use super::prior::Prior;
use super::read::{Tsv, is_nothing, number};
use crate::math::{Expr, Raw, parse};

/// The scale that a parameter is estimated on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scale {
    /// As it is.
    #[default]
    Lin,
    /// Its natural logarithm.
    Log,
    /// Its decimal logarithm.
    Log10,
}

/// How measurements and simulations are transformed before they are compared.
pub type Transformation = Scale;

impl Scale {
    fn named(text: &str) -> Option<Self> {
        match text {
            "" | "lin" => Some(Self::Lin),
            "log" => Some(Self::Log),
            "log10" => Some(Self::Log10),
            _ => None,
        }
    }

    /// Its name in PEtab.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lin => "lin",
            Self::Log => "log",
            Self::Log10 => "log10",
        }
    }

    /// The value that is `x` on this scale.
    pub fn linear(self, x: f64) -> f64 {
        match self {
            Self::Lin => x,
            Self::Log => x.exp(),
            Self::Log10 => 10_f64.powf(x),
        }
    }

    /// The derivative of a value `x` by what it is on this scale.
    pub(crate) fn slope(self, x: f64) -> f64 {
        match self {
            Self::Lin => 1.0,
            Self::Log => x,
            Self::Log10 => x * std::f64::consts::LN_10,
        }
    }

    /// A value on this scale.
    pub fn scaled(self, x: f64) -> f64 {
        match self {
            Self::Lin => x,
            Self::Log => x.ln(),
            Self::Log10 => x.log10(),
        }
    }
}

/// The distribution of measurement noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoiseDistribution {
    /// Normal; noise is its standard deviation.
    #[default]
    Normal,
    /// Laplace; noise is its scale.
    Laplace,
}

/// A row of the parameter table.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterRow {
    /// Its id.
    pub id: String,
    /// The scale that it is estimated on.
    pub scale: Scale,
    /// Bounds, on the linear scale; not numbers where the table has none.
    pub bounds: (f64, f64),
    /// Its nominal value, on the linear scale; not a number if the table has none.
    pub nominal: f64,
    /// Whether it is to be estimated.
    pub estimate: bool,
    /// Its prior as a part of the objective.
    pub prior: Option<Prior>,
    /// Where fits start; between the bounds if there is none.
    pub start: Option<Prior>,
}

pub(super) fn parameters(tsv: &Tsv) -> Result<Vec<ParameterRow>, PetabError> {
    tsv.need(&["parameterId", "parameterScale", "estimate"])?;
    let mut seen = HashSet::new();
    tsv.rows()
        .map(|row| {
            let id = row.required("parameterId")?.to_owned();
            if !seen.insert(id.clone()) {
                return Err(PetabError::Duplicate { row: row.number, column: "parameterId", id });
            }
            let scale = row.text("parameterScale");
            let scale =
                Scale::named(scale).ok_or_else(|| row.wrong("parameterScale", "lin, log or log10"))?;
            let optional = |column: &str| match row.text(column) {
                text if is_nothing(text) => Ok(f64::NAN),
                _ => row.number(column),
            };
            let estimate = match row.text("estimate") {
                "1" | "1.0" => true,
                "0" | "0.0" => false,
                _ => return Err(row.wrong("estimate", "0 or 1")),
            };
            let bounds = (optional("lowerBound")?, optional("upperBound")?);
            let (prior, start) = (Prior::read(row, "objective")?, Prior::read(row, "initialization")?);
            Ok(ParameterRow { id, scale, bounds, nominal: optional("nominalValue")?, estimate, prior, start })
        })
        .collect()
}

/// A number, or a parameter by its name.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Name(String),
}

impl Value {
    pub(super) fn of(text: &str) -> Self {
        number(text).map_or_else(|| Self::Name(text.into()), Self::Number)
    }
}

/// A row of the condition table: what it sets, by the number of the column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ConditionRow {
    pub(super) id: String,
    pub(super) row: usize,
    pub(super) settings: Vec<(String, Value)>,
}

/// The columns that set something, and the rows.
pub(super) fn conditions(tsv: &Tsv) -> Result<(Vec<String>, Vec<ConditionRow>), PetabError> {
    tsv.need(&["conditionId"])?;
    let is_target = |c: &&String| !matches!(c.as_str(), "conditionId" | "conditionName" | "");
    let targets: Vec<String> = tsv.columns.iter().filter(is_target).cloned().collect();
    let rows: Result<_, _> = tsv
        .rows()
        .map(|row| {
            let id = row.required("conditionId")?.to_owned();
            // What is left empty, or is no number, is not set.
            let set = targets.iter().filter(|c| !is_nothing(row.text(c)));
            let settings = set.map(|c| (c.clone(), Value::of(row.text(c)))).collect();
            Ok(ConditionRow { id, row: row.number, settings })
        })
        .collect();
    Ok((targets, rows?))
}

/// A row of the observable table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ObservableRow {
    pub(super) id: String,
    pub(super) row: usize,
    pub(super) formula: Expr<Raw>,
    pub(super) noise: Expr<Raw>,
    pub(super) transformation: Transformation,
    pub(super) distribution: NoiseDistribution,
}

pub(super) fn observables(tsv: &Tsv) -> Result<Vec<ObservableRow>, PetabError> {
    tsv.need(&["observableId", "observableFormula", "noiseFormula"])?;
    tsv.rows()
        .map(|row| {
            let formula = |column: &'static str| {
                let text = row.required(column)?;
                parse(text).map_err(|source| PetabError::Formula { row: row.number, column, source })
            };
            let transformation = Scale::named(row.text("observableTransformation"));
            let distribution = match row.text("noiseDistribution") {
                "" | "normal" => NoiseDistribution::Normal,
                "laplace" => NoiseDistribution::Laplace,
                _ => return Err(row.wrong("noiseDistribution", "normal or laplace")),
            };
            Ok(ObservableRow {
                id: row.required("observableId")?.to_owned(),
                row: row.number,
                formula: formula("observableFormula")?,
                noise: formula("noiseFormula")?,
                transformation: transformation
                    .ok_or_else(|| row.wrong("observableTransformation", "lin, log or log10"))?,
                distribution,
            })
        })
        .collect()
}

/// A row of the measurement table.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Its row, from one.
    pub row: usize,
    /// What was measured.
    pub observable_id: String,
    /// The condition before, if there is one.
    pub preequilibration_condition_id: String,
    /// The condition under which it was measured.
    pub simulation_condition_id: String,
    /// The value, on the observable's linear scale.
    pub measurement: f64,
    /// The time; infinite for a steady state.
    pub time: f64,
    pub(super) observable_parameters: Vec<Value>,
    pub(super) noise_parameters: Vec<Value>,
    /// What tables of simulations repeat.
    pub(super) copied: Vec<String>,
}

/// Every name that measurements give for a placeholder.
pub(super) fn overrides(rows: &[Measurement]) -> impl Iterator<Item = &str> {
    let all = rows.iter().flat_map(|row| row.observable_parameters.iter().chain(&row.noise_parameters));
    all.filter_map(|value| match value {
        Value::Name(id) => Some(id.as_str()),
        Value::Number(_) => None,
    })
}

/// Columns that a table of simulations repeats if the measurements have them.
pub(super) const COPIED: [&str; 4] = ["observableParameters", "noiseParameters", "datasetId", "replicateId"];

pub(super) fn measurements(tsv: &Tsv, first: usize) -> Result<Vec<Measurement>, PetabError> {
    tsv.need(&["observableId", "simulationConditionId", "measurement", "time"])?;
    tsv.rows()
        .map(|row| {
            let list = |column: &str| -> Result<Vec<Value>, PetabError> {
                let text = row.text(column);
                if is_nothing(text) {
                    return Ok(Vec::new());
                }
                let values = text.split(';').map(|x| match x.trim() {
                    "" => Err(row.wrong(column, "numbers or parameters with semicolons between")),
                    x => Ok(Value::of(x)),
                });
                values.collect()
            };
            // No zero below zero: times are compared bit by bit.
            let time = row.number("time")? + 0.0;
            if !(time >= 0.0) {
                return Err(row.wrong("time", "zero, positive or inf"));
            }
            let before = row.text("preequilibrationConditionId");
            let before = if is_nothing(before) { "" } else { before };
            Ok(Measurement {
                row: first + row.number,
                observable_id: row.required("observableId")?.to_owned(),
                preequilibration_condition_id: before.to_owned(),
                simulation_condition_id: row.required("simulationConditionId")?.to_owned(),
                measurement: row.number("measurement")?,
                time,
                observable_parameters: list("observableParameters")?,
                noise_parameters: list("noiseParameters")?,
                copied: COPIED.iter().map(|c| row.text(c).to_owned()).collect(),
            })
        })
        .collect()
}
