//! A problem as a whole: its files, checked against each other.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::error::PetabError;
use super::observables::{Observable, names, record};
use super::read::{Tsv, read_yaml};
use super::tables::{
    self, COPIED, ConditionRow, Measurement, NoiseDistribution, ObservableRow, ParameterRow, Scale,
    Transformation, Value,
};
use crate::error::KineticsError;
use crate::hybrid::{HybridConfig, HybridError, NetOptions};
use crate::model::{Location, Model, QuantityKind};
use crate::simulate::{Simulator, Tolerances, number};

/// What may change a model, its parameters, and which quantities these are.
type Change<'a> =
    dyn Fn(&mut Model, &mut Vec<ParameterRow>, &mut HashMap<usize, usize>) -> Result<(), HybridError> + 'a;

/// Where a value comes from: a number, or a parameter of the table by its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Source {
    Number(f64),
    Parameter(usize),
}

/// A condition: which quantities of the model it sets, and to what.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) id: String,
    pub(super) set: HashMap<usize, Source>,
    /// What it sets of formulas of observables alone, by name.
    beside: HashMap<String, Source>,
}

/// What belongs to a measurement, by places.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Link {
    pub(super) observable: usize,
    pub(super) before: Option<usize>,
    pub(super) condition: usize,
    /// Values of the observable's placeholders, then those of its noise, then what only the condition sets.
    pub(super) placeholders: Vec<Source>,
}

/// A parameter estimation problem: model, conditions, observables, measurements.
///
/// Its parameters are those of the parameter table, on the linear scale and in its order, wherever a slice of parameters is asked for.
#[derive(Debug, Clone)]
pub struct Problem {
    pub(super) simulator: Simulator,
    pub(super) parameters: Vec<ParameterRow>,
    /// The parameter tables as they were read, to be written with other values.
    pub(super) parameter_tables: Vec<Tsv>,
    /// For each quantity of the model that the parameter table has: its place there.
    pub(super) mapped: HashMap<usize, usize>,
    pub(super) conditions: Vec<Condition>,
    pub(super) observables: Vec<Observable>,
    pub(super) comparisons: Vec<(Transformation, NoiseDistribution)>,
    pub(super) measurements: Vec<Measurement>,
    pub(super) links: Vec<Link>,
    pub(super) has_copied: [bool; COPIED.len()],
}

impl Problem {
    /// Reads a problem from its YAML file, whose paths are relative to its folder, and checks all of it.
    ///
    /// # Errors
    /// [`KineticsError`] with the file, and the row and column or element that is wrong.
    pub fn open(path: &Path, tolerances: Tolerances) -> Result<Self, KineticsError> {
        Self::open_with(path, tolerances, &|_, _, _| Ok(()))
    }

    /// The problem with nets in its model: their weights are the last of its parameters, with priors.
    ///
    /// # Errors
    /// As [`open`](Self::open), and [`KineticsError::Hybrid`] if the nets do not belong to the model.
    pub fn open_hybrid(
        path: &Path,
        tolerances: Tolerances,
        hybrid: &HybridConfig,
        options: &NetOptions,
    ) -> Result<Self, KineticsError> {
        Self::open_with(path, tolerances, &|model, rows, mapped| hybrid.apply(options, model, rows, mapped))
    }

    /// Reads a problem; `change` may change its model and parameters before anything refers to them.
    fn open_with(path: &Path, tolerances: Tolerances, change: &Change<'_>) -> Result<Self, KineticsError> {
        let files = read_yaml(path)?;
        let mut model = Model::open(&files.sbml)?;
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |source| KineticsError::Petab { path: path.clone(), source: Box::new(source) }
        };
        let tables = |paths: &[std::path::PathBuf]| -> Result<Vec<_>, KineticsError> {
            paths.iter().map(|path| Ok((path.clone(), Tsv::read(path)?))).collect()
        };

        let (mut parameters, mut mapped): (Vec<ParameterRow>, _) = (Vec::new(), HashMap::new());
        let mut parameter_tables = Vec::new();
        for (path, tsv) in tables(&files.parameters)? {
            let rows = tables::parameters(&tsv).map_err(at(&path))?;
            for (i, row) in rows.into_iter().enumerate() {
                if let Some(&q) = model.by_id.get(&row.id) {
                    if matches!(model.quantities[q].location, Location::Assigned(_)) {
                        let (row, id) = (i + 1, row.id);
                        return Err(at(&path)(PetabError::NotConstant { row, id }));
                    }
                    mapped.insert(q, parameters.len());
                }
                if parameters.iter().any(|x| x.id == row.id) {
                    let (row, column, id) = (i + 1, "parameterId", row.id);
                    return Err(at(&path)(PetabError::Duplicate { row, column, id }));
                }
                parameters.push(row);
            }
            parameter_tables.push(tsv);
        }
        change(&mut model, &mut parameters, &mut mapped)
            .map_err(|source| KineticsError::Hybrid { source })?;
        let by_id: HashMap<&str, usize> =
            parameters.iter().enumerate().map(|(i, x)| (x.id.as_str(), i)).collect();
        let source = |value: &Value, row, column: &str| match value {
            Value::Number(x) => Ok(Source::Number(*x)),
            Value::Name(id) => by_id.get(id.as_str()).map(|&i| Source::Parameter(i)).ok_or_else(|| {
                let (column, expected) = (column.to_owned(), "number or parameter");
                PetabError::Unknown { row, column, expected, id: id.clone() }
            }),
        };

        let mut formulas: Vec<(_, Vec<ObservableRow>)> = Vec::new();
        for (path, tsv) in tables(&files.observables)? {
            let rows = tables::observables(&tsv).map_err(at(&path))?;
            formulas.push((path, rows));
        }
        let mut measured: Vec<(_, Vec<Measurement>)> = Vec::new();
        let mut has_copied = [false; COPIED.len()];
        for (path, tsv) in tables(&files.measurements)? {
            has_copied.iter_mut().zip(COPIED).for_each(|(has, column)| *has |= tsv.has(column));
            let rows = tables::measurements(&tsv, 0).map_err(at(&path))?;
            measured.push((path, rows));
        }
        let used: HashSet<&str> = formulas
            .iter()
            .flat_map(|(_, rows)| names(rows))
            .chain(measured.iter().flat_map(|(_, rows)| tables::overrides(rows)))
            .collect();

        let mut conditions: Vec<Condition> = Vec::new();
        let (mut condition_of, mut beside) = (HashMap::new(), HashSet::new());
        for (path, tsv) in tables(&files.conditions)? {
            let (columns, rows) = tables::conditions(&tsv).map_err(at(&path))?;
            let columns: HashSet<String> =
                columns.into_iter().filter(|c| !model.by_id.contains_key(c)).collect();
            if let Some(column) = columns.iter().find(|c| !used.contains(c.as_str())) {
                let why = "nothing in the model or in the formulas of observables";
                return Err(at(&path)(PetabError::Target { column: column.clone(), why }));
            }
            beside.extend(columns);
            for row in rows {
                let condition = condition(&model, row, &source, &mut condition_of, conditions.len());
                conditions.push(condition.map_err(at(&path))?);
            }
        }

        let (mut observables, mut comparisons, mut observable_of) = (Vec::new(), Vec::new(), HashMap::new());
        for (path, rows) in &formulas {
            for row in rows {
                let number = observable_of.len();
                if observable_of.insert(row.id.clone(), number).is_some() {
                    let (row, id) = (row.row, row.id.clone());
                    return Err(at(path)(PetabError::Duplicate { row, column: "observableId", id }));
                }
                comparisons.push((row.transformation, row.distribution));
            }
            observables.extend(record(&model, &parameters, rows, &beside).map_err(at(path))?);
        }

        let (mut measurements, mut links) = (Vec::new(), Vec::new());
        for (path, rows) in measured {
            for measurement in rows {
                let known = (&conditions[..], &condition_of);
                let link = link(&model, &measurement, &observables, &observable_of, known, &source);
                let link = link.map_err(at(&path))?;
                comparable(&measurement, comparisons[link.observable].0).map_err(at(&path))?;
                links.push(link);
                measurements.push(measurement);
            }
        }
        let simulator = Simulator::new(model, tolerances);
        Ok(Self {
            simulator,
            parameters,
            parameter_tables,
            mapped,
            conditions,
            observables,
            comparisons,
            measurements,
            links,
            has_copied,
        })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.simulator.model()
    }

    /// The rows of the parameter table.
    pub fn parameters(&self) -> &[ParameterRow] {
        &self.parameters
    }

    /// The rows of the measurement table.
    pub fn measurements(&self) -> &[Measurement] {
        &self.measurements
    }

    /// The nominal values of all parameters, on the linear scale.
    pub fn nominal(&self) -> Vec<f64> {
        self.parameters.iter().map(|x| x.nominal).collect()
    }

    /// Writes the parameter table with these nominal values (linear scale, in the order of the table); all else stays as it was read.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_parameters(&self, parameters: &[f64], out: &mut dyn std::io::Write) -> std::io::Result<()> {
        let mut columns: Vec<&String> = Vec::new();
        for column in self.parameter_tables.iter().flat_map(|table| &table.columns) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let nominal = "nominalValue".to_owned();
        if !columns.contains(&&nominal) {
            columns.push(&nominal);
        }
        let mut tsv = csv::WriterBuilder::new().delimiter(b'\t').from_writer(out);
        tsv.write_record(&columns)?;
        let rows = self.parameter_tables.iter().flat_map(Tsv::rows);
        for (row, &value) in rows.zip(parameters) {
            tsv.write_record(columns.iter().map(|column| {
                if **column == nominal && !value.is_nan() { number(value) } else { row.text(column).into() }
            }))?;
        }
        tsv.flush()
    }

    /// Number of conditions.
    pub fn n_conditions(&self) -> usize {
        self.conditions.len()
    }

    /// Number of observables.
    pub fn n_observables(&self) -> usize {
        self.observables.len()
    }
}

/// What a condition sets in the model.
fn condition(
    model: &Model,
    row: ConditionRow,
    source: &dyn Fn(&Value, usize, &str) -> Result<Source, PetabError>,
    condition_of: &mut HashMap<String, usize>,
    number: usize,
) -> Result<Condition, PetabError> {
    if condition_of.insert(row.id.clone(), number).is_some() {
        return Err(PetabError::Duplicate { row: row.row, column: "conditionId", id: row.id });
    }
    let (mut set, mut beside) = (HashMap::new(), HashMap::new());
    for (column, value) in &row.settings {
        // A name is one of the table, or else a constant of the model, which this condition may set itself.
        let value = source(value, row.row, column).or_else(|error| {
            let Value::Name(id) = value else { return Err(error) };
            match row.settings.iter().find(|(column, _)| column == id) {
                Some((column, value)) => source(value, row.row, column),
                None => constant(model, id).map(Source::Number).ok_or(error),
            }
        })?;
        let Some(&q) = model.by_id.get(column) else {
            beside.insert(column.clone(), value);
            continue;
        };
        if matches!(model.quantities[q].location, Location::Assigned(_)) {
            let (column, why) = (column.clone(), "what a rule of the model assigns");
            return Err(PetabError::Target { column, why });
        }
        set.insert(q, value);
    }
    Ok(Condition { id: row.id, set, beside })
}

/// The value of a parameter that the model has as a plain number.
fn constant(model: &Model, id: &str) -> Option<f64> {
    let quantity = &model.quantities[*model.by_id.get(id)?];
    let plain = quantity.kind == QuantityKind::Parameter
        && matches!(quantity.location, Location::Param(_))
        && quantity.initial_assignment.is_none();
    (plain && !quantity.given.is_nan()).then_some(quantity.given)
}

/// The error if a measurement has no value on the scale on which it is compared.
fn comparable(measurement: &Measurement, scale: Scale) -> Result<(), PetabError> {
    let x = measurement.measurement;
    let expected = match scale {
        _ if !x.is_finite() => "a finite number",
        Scale::Log | Scale::Log10 if x <= 0.0 => "above zero, which its observable's transformation asks for",
        _ => return Ok(()),
    };
    let (row, column) = (measurement.row, "measurement".to_owned());
    Err(PetabError::Cell { row, column, value: x.to_string(), expected })
}

/// Finds what a measurement names.
fn link(
    model: &Model,
    measurement: &Measurement,
    observables: &[Observable],
    observable_of: &HashMap<String, usize>,
    (conditions, condition_of): (&[Condition], &HashMap<String, usize>),
    source: &dyn Fn(&Value, usize, &str) -> Result<Source, PetabError>,
) -> Result<Link, PetabError> {
    let row = measurement.row;
    let find = |id: &str, known: &HashMap<String, usize>, column: &str, expected| {
        known.get(id).copied().ok_or_else(|| {
            let (column, id) = (column.to_owned(), id.to_owned());
            PetabError::Unknown { row, column, expected, id }
        })
    };
    let observable = find(&measurement.observable_id, observable_of, "observableId", "observable")?;
    let condition =
        find(&measurement.simulation_condition_id, condition_of, "simulationConditionId", "condition")?;
    let before = match measurement.preequilibration_condition_id.as_str() {
        "" => None,
        id => Some(find(id, condition_of, "preequilibrationConditionId", "condition")?),
    };
    observables[observable].check(measurement)?;
    let mut placeholders = Vec::new();
    for (values, column) in [
        (&measurement.observable_parameters, "observableParameters"),
        (&measurement.noise_parameters, "noiseParameters"),
    ] {
        for value in values {
            // A name is one of the table, or else what the condition sets, or a constant of the model.
            let value = source(value, row, column).or_else(|error| {
                let Value::Name(id) = value else { return Err(error) };
                let Condition { beside, set, .. } = &conditions[condition];
                let in_model = || model.by_id.get(id).and_then(|q| set.get(q));
                let set = beside.get(id).or_else(in_model).copied();
                set.or_else(|| constant(model, id).map(Source::Number)).ok_or(error)
            });
            placeholders.push(value?);
        }
    }
    for name in &observables[observable].set_by_conditions {
        let value = conditions[condition].beside.get(name).copied();
        placeholders.push(value.ok_or_else(|| {
            let (column, expected) = ("simulationConditionId".into(), "value in this condition for");
            PetabError::Unknown { row, column, expected, id: name.clone() }
        })?);
    }
    Ok(Link { observable, before, condition, placeholders })
}
