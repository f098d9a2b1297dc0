//! A model run by itself, as a table.

use std::io::Write;

use super::field::Recorded;
use super::run::Simulator;
use crate::math::Expr;
use crate::model::{Formulas, Location, QuantityKind, Reading, Symbol};
use crate::{Model, SimulationError};

/// A run of a model: what was saved, `[times, columns]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    /// The ids of the columns.
    pub ids: Vec<String>,
    /// The times of the rows.
    pub times: Vec<f64>,
    /// Row-major values.
    pub values: Vec<f64>,
}

impl Trajectory {
    /// The values of a column, if there is one with this id.
    pub fn column(&self, id: &str) -> Option<Vec<f64>> {
        let j = self.ids.iter().position(|x| x == id)?;
        Some(self.values.chunks_exact(self.ids.len()).map(|row| row[j]).collect())
    }

    /// Writes it as comma-separated values: `time`, then the columns. Numbers have all their digits; `NaN` is none.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_csv(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(std::iter::once("time").chain(self.ids.iter().map(String::as_str)))?;
        for (i, t) in self.times.iter().enumerate() {
            let row = &self.values[i * self.ids.len()..][..self.ids.len()];
            csv.write_record(std::iter::once(t).chain(row).map(|&x| number(x)))?;
        }
        csv.flush()
    }
}

impl Simulator {
    /// Runs the model as its file has it from time zero, and saves at the times, which ascend from zero: every species, every
    /// compartment, every parameter and named stoichiometry that may vary or is computed, then the plain constants among these, and
    /// the rates of the reactions. Species are amounts, or `concentrations`.
    ///
    /// # Errors
    /// [`SimulationError`]: no value at the start, a failure of the integrator, events without an end.
    pub fn trajectory(&mut self, times: &[f64], concentrations: bool) -> Result<Trajectory, SimulationError> {
        let columns = columns(&self.model);
        let quantities = columns
            .iter()
            .map(|&q| if concentrations { Reading::Concentration(q) } else { Reading::Amount(q) });
        let rates = (0..self.model.n_reactions()).map(|r| Reading::Value(Expr::Leaf(Symbol::Reaction(r))));
        let readings: Vec<Reading> = quantities.chain(rates).collect();
        let width = readings.len();
        let mut read = Recorded::new(&Formulas { model: &self.model, readings, n_extra: 0 });
        let mut values = Vec::with_capacity(times.len() * width);
        let start = self.model.start(0.0, &|_| None);
        self.run(0.0, start, times, &mut |_, t, y, p| {
            values.extend(read.values(t, y, p));
            true
        })?;
        let ids = columns.iter().map(|&q| &self.model.quantities[q].id);
        let ids = ids.chain(self.model.laws.iter().map(|law| &law.id)).cloned().collect();
        Ok(Trajectory { ids, times: times.to_vec(), values })
    }
}

/// Species first, then compartments, then what may vary, then constants. Parameters of one rate law are its own.
pub(super) fn columns(model: &Model) -> Vec<usize> {
    let shown = |q: usize| {
        let x = &model.quantities[q];
        let moves =
            !x.constant || x.initial_assignment.is_some() || !matches!(x.location, Location::Param(_));
        match x.kind {
            QuantityKind::Species => Some(0),
            QuantityKind::Compartment => Some(1),
            QuantityKind::Parameter if moves => Some(2),
            QuantityKind::Stoichiometry if !x.constant || x.initial_assignment.is_some() => Some(3),
            QuantityKind::Parameter | QuantityKind::Stoichiometry => Some(4),
            QuantityKind::LocalParameter => None,
        }
    };
    let mut columns: Vec<usize> = (0..model.quantities.len()).filter(|&q| shown(q).is_some()).collect();
    columns.sort_by_key(|&q| shown(q));
    columns
}

/// All digits of a number; with an exponent where zeros would fill the field.
pub(crate) fn number(x: f64) -> String {
    if x != 0.0 && x.is_finite() && !(1e-5..1e15).contains(&x.abs()) {
        format!("{x:e}")
    } else {
        x.to_string()
    }
}
