//! A problem's runs as paths of states and of what else is read off; how large its quantities are; measurements that are held out.

use std::collections::{BTreeSet, HashMap};

use super::problem::Problem;
use super::tables::Measurement;
use crate::SimulationError;
use crate::error::KineticsError;
use crate::math::Expr;
use crate::model::{Formulas, QuantityKind, Reading, Start, Symbol};
use crate::simulate::Recorded;

/// A run under one condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path {
    /// The condition; with the one before, if there is one.
    pub(crate) condition: String,
    pub(crate) times: Vec<f64>,
    /// The last time of a measurement that was fitted; negative infinity if none was under this condition.
    pub(crate) fitted_until: f64,
    /// States, `[times]` of `[d]`.
    pub(crate) states: Vec<Vec<f64>>,
    /// What was asked for, `[times]` of `[readings]`.
    pub(crate) values: Vec<Vec<f64>>,
}

/// How large the quantities of a problem are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sizes {
    sizes: Vec<f64>,
    volumes: Vec<f64>,
    /// The last finite time of a measurement, or one.
    pub(crate) time: f64,
}

impl Sizes {
    /// A typical size of a quantity as formulas have it, positive.
    pub(crate) fn of(&self, q: usize) -> f64 {
        self.sizes[q]
    }

    /// What makes an amount of a species' value in formulas.
    pub(crate) fn volume(&self, q: usize) -> f64 {
        self.volumes[q]
    }
}

impl Problem {
    /// The last finite time that is measured under conditions; zero if there is none.
    pub(crate) fn last_time(&self) -> f64 {
        self.measurements.iter().map(|m| m.time).filter(|t| t.is_finite()).fold(0.0, f64::max)
    }

    /// The problem with the measurements that are to be fitted, and that with those that `held` is true for.
    pub fn split(&self, held: impl Fn(&Measurement) -> bool) -> (Self, Self) {
        let part = |which: bool| {
            let mut part = self.clone();
            let chosen: Vec<usize> =
                (0..self.measurements.len()).filter(|&i| held(&self.measurements[i]) == which).collect();
            part.measurements = chosen.iter().map(|&i| self.measurements[i].clone()).collect();
            part.links = chosen.iter().map(|&i| self.links[i].clone()).collect();
            part
        };
        (part(false), part(true))
    }

    /// Nominal values; of what is estimated and has none, the middle of its bounds on its scale.
    pub(super) fn typical(&self) -> Vec<f64> {
        let middle = |row: &super::tables::ParameterRow| {
            let (low, high) = (row.scale.scaled(row.bounds.0), row.scale.scaled(row.bounds.1));
            row.scale.linear(0.5 * (low + high))
        };
        self.parameters
            .iter()
            .map(|row| if row.nominal.is_nan() { middle(row) } else { row.nominal })
            .collect()
    }

    /// How large quantities are: where they start under any condition, or as what they are measured; of species that are neither, what
    /// conserved sums allow, or the largest of all.
    pub(crate) fn sizes(&self) -> Sizes {
        let model = self.simulator.model();
        let n = model.quantities.len();
        let readings: Vec<Reading> =
            (0..n).map(|q| Reading::Value(Expr::Leaf(Symbol::Quantity(q)))).collect();
        let mut read = Recorded::new(&Formulas { model, readings, n_extra: 0 });
        let parameters = self.typical();
        let (mut sizes, mut volumes) = (vec![0.0_f64; n], vec![1.0; n]);
        let mut allowed = vec![0.0_f64; n];
        let laws = model.conserved();
        for condition in &self.conditions {
            let start = self.start(condition, &parameters, None);
            let values = read.values(0.0, &start.y, &start.p);
            for (size, value) in sizes.iter_mut().zip(&values) {
                *size = size.max(if value.is_finite() { value.abs() } else { 0.0 });
            }
            for (q, quantity) in model.quantities.iter().enumerate() {
                let size = values[quantity.compartment];
                if quantity.kind == QuantityKind::Species && !quantity.only_substance && size > 0.0 {
                    volumes[q] = size;
                }
            }
            let mut most = vec![f64::INFINITY; n];
            for law in laws.iter().filter(|law| law.iter().all(|(_, w)| *w > 0)) {
                let total: f64 = law.iter().map(|&(i, w)| w as f64 * start.y[i]).sum();
                for &(i, w) in law {
                    let q = model.states[i];
                    most[q] = most[q].min(total / w as f64 / volumes[q]);
                }
            }
            let finite = allowed.iter_mut().zip(&most).filter(|(_, most)| most.is_finite());
            finite.for_each(|(allowed, most)| *allowed = allowed.max(*most));
        }
        for (q, measured) in self.measured() {
            sizes[q] = sizes[q].max(measured);
        }
        let species = |q: &usize| model.quantities[*q].kind == QuantityKind::Species;
        let largest = (0..n).filter(species).map(|q| sizes[q]).fold(0.0, f64::max);
        let largest = if largest > 0.0 { largest } else { 1.0 };
        for q in 0..n {
            if sizes[q] == 0.0 {
                let bound = Some(allowed[q]).filter(|x| *x > 0.0);
                sizes[q] = if species(&q) { bound.unwrap_or(largest) } else { 1.0 };
            }
        }
        let time = self.last_time();
        Sizes { sizes, volumes, time: if time > 0.0 { time } else { 1.0 } }
    }

    /// States that an observable is, without factors: with the largest that is measured.
    fn measured(&self) -> Vec<(usize, f64)> {
        let model = self.simulator.model();
        let Some(condition) = self.conditions.first() else { return Vec::new() };
        let parameters = self.typical();
        let start = self.start(condition, &parameters, None);
        let mut found = Vec::new();
        for (k, observable) in self.observables.iter().enumerate() {
            let most = self.links.iter().zip(&self.measurements).filter(|(link, _)| link.observable == k);
            let most = most.map(|(_, m)| m.measurement).fold(0.0_f64, f64::max);
            let pattern = observable.recorded.program.sparsity();
            // Its value is the first output.
            let seen: Vec<usize> = (0..start.y.len()).filter(|&i| pattern.column(i).contains(&0)).collect();
            let (Some(link), [i]) = (self.links.iter().find(|link| link.observable == k), &seen[..]) else {
                continue;
            };
            let mut recorded = observable.recorded.clone();
            let inputs = link.inputs(&start.p, &parameters);
            let mut at = |y: f64| {
                let mut state = start.y.clone();
                state[*i] = y;
                recorded.values(0.0, &state, &inputs)[0]
            };
            let q = model.states[*i];
            let quantity = &model.quantities[q];
            let size =
                if quantity.stored_as_amount { model_size(model, quantity.compartment, &start) } else { 1.0 };
            if (at(size) - 1.0).abs() < 1e-12 && (at(3.0 * size) - 3.0).abs() < 1e-12 && most > 0.0 {
                found.push((q, most));
            }
        }
        found
    }

    /// Runs under all conditions until a time, saved at `points` times each, with what is read off; `fitted` says which measurements were.
    ///
    /// # Errors
    /// [`KineticsError::Condition`] if the model cannot be run.
    pub(crate) fn paths(
        &mut self,
        parameters: &[f64],
        until: f64,
        points: usize,
        readings: Vec<Reading>,
        fitted: &dyn Fn(&Measurement) -> bool,
    ) -> Result<Vec<Path>, KineticsError> {
        let runs: BTreeSet<(Option<usize>, usize)> =
            self.links.iter().map(|link| (link.before, link.condition)).collect();
        let model = self.simulator.model();
        let mut read = Recorded::new(&Formulas { model, readings, n_extra: 0 });
        let mut times: Vec<f64> =
            (0..points).map(|k| until * k as f64 / (points - 1).max(1) as f64).collect();
        times.dedup(); // what is measured at the start or at rest alone has no time to run
        let mut rested: HashMap<usize, Start<f64>> = HashMap::new();
        let mut paths = Vec::new();
        for (before, condition) in runs {
            let own = self.links.iter().zip(&self.measurements);
            let own =
                own.filter(|(link, m)| (link.before, link.condition) == (before, condition) && fitted(m));
            let fitted_until = own.map(|(_, m)| m.time).fold(f64::NEG_INFINITY, f64::max);
            let mut run = || -> Result<Path, SimulationError> {
                if let Some(before) = before.filter(|before| !rested.contains_key(before)) {
                    let first = self.start(&self.conditions[before], parameters, None);
                    rested.insert(before, self.simulator.settle(0.0, first)?);
                }
                let rested = before.and_then(|before| rested.get(&before));
                let start = self.start(&self.conditions[condition], parameters, rested);
                let (mut states, mut values) = (Vec::new(), Vec::new());
                self.simulator.run(0.0, start, &times, &mut |_, t, y, p| {
                    values.push(read.values(t, y, p));
                    states.push(y.to_vec());
                    true
                })?;
                let name = before.map(|b| format!("{}, then ", self.conditions[b].id)).unwrap_or_default();
                let condition = name + &self.conditions[condition].id;
                Ok(Path { condition, times: times.clone(), fitted_until, states, values })
            };
            let path = run();
            paths.push(path.map_err(|source| self.in_condition(before, condition, source))?);
        }
        Ok(paths)
    }
}

/// The size of a compartment at a start.
fn model_size(model: &crate::Model, compartment: usize, start: &Start<f64>) -> f64 {
    let readings = vec![Reading::Value(Expr::Leaf(Symbol::Quantity(compartment)))];
    Recorded::new(&Formulas { model, readings, n_extra: 0 }).values(0.0, &start.y, &start.p)[0]
}
