//! Observables and their noise as recorded formulas.

use std::collections::{HashMap, HashSet};

use super::error::PetabError;
use super::tables::{Measurement, ObservableRow, ParameterRow};
use crate::math::{Expr, Raw, Resolver};
use crate::model::{Formulas, Model, Reading, Symbol};
use crate::simulate::Recorded;

/// An observable and its noise: two outputs over states, the model's parameters, the problem's parameters, the placeholders, and what
/// only the conditions set.
#[derive(Debug, Clone)]
pub(super) struct Observable {
    pub(super) id: String,
    /// Numbers of placeholders.
    pub(super) n_observable: usize,
    pub(super) n_noise: usize,
    /// What its formulas use that neither the model nor the parameter table has: columns of the condition table.
    pub(super) set_by_conditions: Vec<String>,
    pub(super) recorded: Recorded,
}

/// Every name in the formulas.
pub(super) fn names(rows: &[ObservableRow]) -> HashSet<&str> {
    let mut names = HashSet::new();
    rows.iter().flat_map(|row| [&row.formula, &row.noise]).for_each(|x| {
        x.names(&mut |name| {
            names.insert(name);
        });
    });
    names
}

/// Records all observables, in the order of their rows; `columns` are what conditions set beside the model.
pub(super) fn record(
    model: &Model,
    parameters: &[ParameterRow],
    rows: &[ObservableRow],
    columns: &HashSet<String>,
) -> Result<Vec<Observable>, PetabError> {
    let table: HashMap<&str, usize> =
        parameters.iter().enumerate().map(|(i, x)| (x.id.as_str(), i)).collect();
    let by_id: HashMap<&str, &ObservableRow> = rows.iter().map(|row| (row.id.as_str(), row)).collect();
    rows.iter()
        .map(|row| {
            let observable = placeholders(&row.formula, "observableParameter", &row.id);
            let noise_observable = placeholders(&row.noise, "observableParameter", &row.id);
            let n_observable = observable.max(noise_observable);
            let n_noise = placeholders(&row.noise, "noiseParameter", &row.id);
            let n_table = parameters.len();
            let used = names(std::slice::from_ref(row));
            let set_by_conditions: Vec<String> =
                columns.iter().filter(|c| used.contains(c.as_str())).cloned().collect();
            let symbol = |leaf: &Raw| {
                let name = match leaf {
                    Raw::Time => return Some(Expr::Leaf(Symbol::Time)),
                    Raw::Name(name) => name.as_str(),
                    Raw::RateOf(_) | Raw::Call(..) => return None,
                };
                let number = |kind: &str| placeholder(name, kind, &row.id);
                let leaf = if let Some(i) = number("observableParameter") {
                    Symbol::Extra(n_table + i - 1)
                } else if let Some(i) = number("noiseParameter") {
                    Symbol::Extra(n_table + n_observable + i - 1)
                } else if let Some(&q) = model.by_id.get(name) {
                    Symbol::Quantity(q)
                } else if let Some(i) = set_by_conditions.iter().position(|c| c == name) {
                    Symbol::Extra(n_table + n_observable + n_noise + i)
                } else if let Some(&i) = table.get(name) {
                    Symbol::Extra(i)
                } else {
                    Symbol::Reaction(model.laws.iter().position(|law| law.id == name)?)
                };
                Some(Expr::Leaf(leaf))
            };
            let resolver = Resolver { functions: &model.functions, symbol: &symbol };
            let resolve = |x: &Expr<Raw>, column| {
                let wrong = |source| PetabError::Formula { row: row.row, column, source };
                resolver.resolve(x).map_err(wrong)
            };
            let value = resolve(&row.formula, "observableFormula")?;
            // Noise may be a formula of the observable.
            let symbol = |leaf: &Raw| match leaf {
                Raw::Name(name) if *name == row.id => Some(value.clone()),
                Raw::Name(name) if by_id.contains_key(name.as_str()) => {
                    let other = by_id[name.as_str()];
                    (placeholders(&other.formula, "observableParameter", name) == 0)
                        .then(|| resolver.resolve(&other.formula).ok())
                        .flatten()
                }
                leaf => symbol(leaf),
            };
            let noise = Resolver { functions: &model.functions, symbol: &symbol }
                .resolve(&row.noise)
                .map_err(|source| PetabError::Formula { row: row.row, column: "noiseFormula", source })?;
            let readings = vec![Reading::Value(value), Reading::Value(noise)];
            let n_extra = n_table + n_observable + n_noise + set_by_conditions.len();
            let recorded = Recorded::new(&Formulas { model, readings, n_extra });
            Ok(Observable { id: row.id.clone(), n_observable, n_noise, set_by_conditions, recorded })
        })
        .collect()
}

/// The number in `kind{number}_{id}`, from one.
fn placeholder(name: &str, kind: &str, id: &str) -> Option<usize> {
    let number = name.strip_prefix(kind)?.strip_suffix(id)?.strip_suffix('_')?;
    number.parse().ok().filter(|&n| (1..=1000).contains(&n))
}

/// The highest number of a placeholder in a formula.
fn placeholders(x: &Expr<Raw>, kind: &str, id: &str) -> usize {
    let mut most = 0;
    x.names(&mut |name| most = most.max(placeholder(name, kind, id).unwrap_or(0)));
    most
}

impl Observable {
    /// Checks that a measurement gives a value for each placeholder.
    pub(super) fn check(&self, measurement: &Measurement) -> Result<(), PetabError> {
        let counts = [
            ("observableParameters", self.n_observable, measurement.observable_parameters.len()),
            ("noiseParameters", self.n_noise, measurement.noise_parameters.len()),
        ];
        for (column, expected, got) in counts {
            if got != expected {
                let (row, observable) = (measurement.row, self.id.clone());
                return Err(PetabError::Placeholders { row, column, observable, expected, got });
            }
        }
        Ok(())
    }
}
