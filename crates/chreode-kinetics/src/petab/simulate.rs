//! What the measurements would be, according to the model.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use super::problem::{Condition, Link, Problem, Source};
use super::tables::COPIED;
use crate::SimulationError;
use crate::error::KineticsError;
use crate::model::Start;
use crate::simulate::{number, rests};

/// Simulated values and their noise, one for each measurement, in the order of the measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Values of the observables, on their linear scale.
    pub values: Vec<f64>,
    /// Noise: standard deviations or scales, on the scale of the transformation.
    pub noise: Vec<f64>,
}

impl Source {
    fn value(self, parameters: &[f64]) -> f64 {
        match self {
            Self::Number(x) => x,
            Self::Parameter(i) => parameters[i],
        }
    }
}

impl Link {
    /// What an observable is computed from beside the state: the model's parameters, those of the table, and its placeholders.
    pub(super) fn inputs(&self, p: &[f64], parameters: &[f64]) -> Vec<f64> {
        let placeholders = self.placeholders.iter().map(|source| source.value(parameters));
        p.iter().copied().chain(parameters.iter().copied()).chain(placeholders).collect()
    }
}

impl Problem {
    /// Simulates all measurements at these parameters (linear scale, in the order of the parameter table).
    ///
    /// # Errors
    /// [`KineticsError::Condition`] if the model cannot be run under a condition.
    ///
    /// # Panics
    /// If there are not as many parameters as the table has rows.
    pub fn simulate(&mut self, parameters: &[f64]) -> Result<Simulation, KineticsError> {
        assert_eq!(parameters.len(), self.parameters.len(), "parameters, one a row of the table");
        let n = self.measurements.len();
        let mut simulation = Simulation { values: vec![f64::NAN; n], noise: vec![f64::NAN; n] };
        // Measurements under the same conditions share a run.
        let mut runs: BTreeMap<(Option<usize>, usize), Vec<usize>> = BTreeMap::new();
        for (i, link) in self.links.iter().enumerate() {
            runs.entry((link.before, link.condition)).or_default().push(i);
        }
        let mut steady = HashMap::new();
        for ((before, condition), measured) in runs {
            let result = self.simulate_condition(
                parameters,
                before,
                condition,
                &measured,
                &mut steady,
                &mut simulation,
            );
            if let Err(source) = result {
                return Err(self.in_condition(before, condition, source));
            }
        }
        Ok(simulation)
    }

    /// The error with the condition that it belongs to.
    pub(super) fn in_condition(
        &self,
        before: Option<usize>,
        condition: usize,
        source: SimulationError,
    ) -> KineticsError {
        let before = before.map(|b| format!("{} and then ", self.conditions[b].id));
        let condition = before.unwrap_or_default() + &self.conditions[condition].id;
        KineticsError::Condition { condition, source: Box::new(source) }
    }

    /// The start under a condition.
    fn start(&self, condition: &Condition, parameters: &[f64]) -> Start<f64> {
        self.simulator.model().start(0.0, &|q| {
            let set = condition.set.get(&q).map(|source| source.value(parameters));
            set.or_else(|| self.mapped.get(&q).map(|&i| parameters[i]))
        })
    }

    fn simulate_condition(
        &mut self,
        parameters: &[f64],
        before: Option<usize>,
        condition: usize,
        measured: &[usize],
        steady: &mut HashMap<usize, Vec<f64>>,
        simulation: &mut Simulation,
    ) -> Result<(), SimulationError> {
        let mut start = self.start(&self.conditions[condition], parameters);
        if let Some(before) = before {
            let rested = if let Some(y) = steady.get(&before) {
                Vec::clone(y)
            } else {
                let first = self.start(&self.conditions[before], parameters);
                let y = self.simulator.settle(0.0, first)?.y;
                steady.insert(before, y.clone());
                y
            };
            // States go on from there, but for those that the condition itself sets.
            let states = &self.simulator.model().states;
            for ((y, rested), q) in start.y.iter_mut().zip(rested).zip(states) {
                if !self.conditions[condition].set.contains_key(q) {
                    *y = rested;
                }
            }
        }
        let mut times: Vec<f64> =
            measured.iter().map(|&i| self.measurements[i].time).filter(|t| t.is_finite()).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let n_finite = times.len();
        let wants_rest = measured.iter().any(|&i| self.measurements[i].time == f64::INFINITY);
        if wants_rest {
            let last = times.last().copied().unwrap_or(0.0);
            times.extend(self.simulator.doublings(last, &start)?);
        }
        let (mut saved, mut last, mut quiet) = (Vec::new(), Vec::new(), 0);
        let atol = self.simulator.absolute(&start.y);
        let rtol = self.simulator.tolerances.rtol;
        let end = self.simulator.run(0.0, start, &times, &mut |i, _, y, p| {
            if i < n_finite {
                saved.push((y.to_vec(), p.to_vec()));
                return true;
            }
            quiet = if i > n_finite && rests(&last, y, rtol, atol) { quiet + 1 } else { 0 };
            last = y.to_vec();
            quiet < 2
        })?;
        if wants_rest && quiet < 2 {
            let t = times.last().copied().unwrap_or(0.0);
            return Err(self.simulator.not_steady(t, &end.y, &end.p));
        }
        for &i in measured {
            let t = self.measurements[i].time;
            let (y, p) = match times[..n_finite].binary_search_by(|x| x.total_cmp(&t)) {
                Ok(k) => (&saved[k].0, &saved[k].1),
                Err(_) => (&end.y, &end.p),
            };
            let link = &self.links[i];
            let inputs = link.inputs(p, parameters);
            let mut out = [0.0; 2];
            self.observables[link.observable].recorded.eval(t, y, &inputs, &mut out);
            (simulation.values[i], simulation.noise[i]) = (out[0], out[1]);
        }
        Ok(())
    }

    /// Writes a PEtab table of simulations: one row for each measurement, in their order.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_simulation(&self, simulation: &Simulation, out: &mut dyn Write) -> std::io::Result<()> {
        let mut tsv = csv::WriterBuilder::new().delimiter(b'\t').from_writer(out);
        let copied = || COPIED.iter().zip(self.has_copied).enumerate().filter(|(_, (_, has))| *has);
        let mut header = vec![
            "observableId",
            "preequilibrationConditionId",
            "simulationConditionId",
            "time",
            "simulation",
        ];
        header.extend(copied().map(|(_, (name, _))| *name));
        tsv.write_record(&header)?;
        for (measurement, value) in self.measurements.iter().zip(&simulation.values) {
            let mut row = vec![
                measurement.observable_id.clone(),
                measurement.preequilibration_condition_id.clone(),
                measurement.simulation_condition_id.clone(),
                if measurement.time == f64::INFINITY { "inf".into() } else { measurement.time.to_string() },
                number(*value),
            ];
            row.extend(copied().map(|(k, _)| measurement.copied[k].clone()));
            tsv.write_record(&row)?;
        }
        tsv.flush()
    }
}
