//! What the measurements would be, according to the model.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use super::problem::{Condition, Link, Problem, Source};
use super::tables::COPIED;
use crate::SimulationError;
use crate::error::KineticsError;
use crate::model::{QuantityKind, Start};
use crate::simulate::{number, rests};

/// Simulated values and their noise, one for each measurement, in the order of the measurements.
#[derive(Debug, Clone, PartialEq)]
pub struct Simulation {
    /// Values of the observables, on their linear scale.
    pub values: Vec<f64>,
    /// Noise: standard deviations or scales, on the scale of the transformation.
    pub noise: Vec<f64>,
}

/// States with the model's parameters at the times of measurements.
pub(super) struct Moments {
    states: Vec<(Vec<f64>, Vec<f64>)>,
    /// Of each measurement: its place among them.
    of: Vec<usize>,
}

impl Moments {
    pub(super) fn new(measurements: usize) -> Self {
        Self { states: Vec::new(), of: vec![0; measurements] }
    }

    /// Adds states, and says which place the first has.
    pub(super) fn add(&mut self, states: impl IntoIterator<Item = (Vec<f64>, Vec<f64>)>) -> usize {
        let first = self.states.len();
        self.states.extend(states);
        first
    }

    /// Says where the state of a measurement is.
    pub(super) fn place(&mut self, measurement: usize, place: usize) {
        self.of[measurement] = place;
    }

    /// The state and the model's parameters of a measurement.
    pub(super) fn at(&self, measurement: usize) -> (&[f64], &[f64]) {
        let (y, p) = &self.states[self.of[measurement]];
        (y, p)
    }
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

/// Where a run keeps a quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    State(usize),
    Param(usize),
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
        let moments = self.moments(parameters)?;
        Ok(self.observe(&moments, parameters))
    }

    /// The states at the times of all measurements.
    pub(super) fn moments(&mut self, parameters: &[f64]) -> Result<Moments, KineticsError> {
        assert_eq!(parameters.len(), self.parameters.len(), "parameters, one a row of the table");
        let mut moments = Moments::new(self.measurements.len());
        // Measurements under the same conditions share a run.
        let mut runs: BTreeMap<(Option<usize>, usize), Vec<usize>> = BTreeMap::new();
        for (i, link) in self.links.iter().enumerate() {
            runs.entry((link.before, link.condition)).or_default().push(i);
        }
        let mut steady: HashMap<usize, Start<f64>> = HashMap::new();
        for ((before, condition), measured) in runs {
            let run = (before, condition);
            let result = self.simulate_condition(parameters, run, &measured, &mut steady, &mut moments);
            if let Err(source) = result {
                return Err(self.in_condition(before, condition, source));
            }
        }
        Ok(moments)
    }

    /// What is measured of states, at these parameters.
    pub(super) fn observe(&mut self, moments: &Moments, parameters: &[f64]) -> Simulation {
        let n = self.measurements.len();
        let mut simulation = Simulation { values: vec![f64::NAN; n], noise: vec![f64::NAN; n] };
        for (i, link) in self.links.iter().enumerate() {
            let (y, p) = moments.at(i);
            let inputs = link.inputs(p, parameters);
            let mut out = [0.0; 2];
            let recorded = &mut self.observables[link.observable].recorded;
            recorded.eval(self.measurements[i].time, y, &inputs, &mut out);
            (simulation.values[i], simulation.noise[i]) = (out[0], out[1]);
        }
        simulation
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

    /// The start under a condition; after another, where that came to rest: species and compartments that the condition does not set
    /// stay as they are, with all states. Parameters are those of the condition.
    pub(super) fn start(
        &self,
        condition: &Condition,
        parameters: &[f64],
        rested: Option<&Start<f64>>,
    ) -> Start<f64> {
        let model = self.simulator.model();
        let kept = match rested {
            Some(_) => self.kept(condition),
            None => HashMap::new(),
        };
        let stays = |q: &usize| {
            let (rested, place) = (rested?, kept.get(q)?);
            Some(match *place {
                Place::State(i) => rested.y[i],
                Place::Param(i) => rested.p[i],
            })
        };
        // Sizes are needed for the concentrations that the condition sets.
        let size = |q: usize| stays(&q).filter(|_| model.quantities[q].kind == QuantityKind::Compartment);
        let mut start = model.start(0.0, &|q| {
            let set = condition.set.get(&q).map(|source| source.value(parameters));
            set.or_else(|| size(q)).or_else(|| self.mapped.get(&q).map(|&i| parameters[i]))
        });
        let quantities = model.states.iter().chain(&model.params);
        for (x, q) in start.y.iter_mut().chain(&mut start.p).zip(quantities) {
            *x = stays(q).unwrap_or(*x);
        }
        start
    }

    /// What stays as it is when this condition follows another: all states, and species and compartments that nothing changes, but for
    /// what the condition sets.
    pub(super) fn kept(&self, condition: &Condition) -> HashMap<usize, Place> {
        let model = self.simulator.model();
        let lasts =
            |q: usize| matches!(model.quantities[q].kind, QuantityKind::Species | QuantityKind::Compartment);
        let states = model.states.iter().enumerate().map(|(i, &q)| (q, Place::State(i)));
        let params = model.params.iter().enumerate().filter(|p| lasts(*p.1));
        let all = states.chain(params.map(|(i, &q)| (q, Place::Param(i))));
        all.filter(|(q, _)| !condition.set.contains_key(q)).collect()
    }

    fn simulate_condition(
        &mut self,
        parameters: &[f64],
        (before, condition): (Option<usize>, usize),
        measured: &[usize],
        steady: &mut HashMap<usize, Start<f64>>,
        moments: &mut Moments,
    ) -> Result<(), SimulationError> {
        let rested = match before {
            None => None,
            Some(before) => Some(if let Some(rested) = steady.get(&before) {
                rested.clone()
            } else {
                let first = self.start(&self.conditions[before], parameters, None);
                let rested = self.simulator.settle(0.0, first)?;
                steady.insert(before, rested.clone());
                rested
            }),
        };
        let start = self.start(&self.conditions[condition], parameters, rested.as_ref());
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
        let atol = self.simulator.absolute_of_run(0.0, &start.y, &start.p, &times);
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
        let n_saved = saved.len();
        let first = moments.add(saved);
        moments.add([(end.y, end.p)]);
        for &i in measured {
            let t = self.measurements[i].time;
            let k = times[..n_finite].binary_search_by(|x| x.total_cmp(&t));
            moments.place(i, first + k.unwrap_or(n_saved));
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Instant;

    use chreode_core::{Jacobian, Sparsity};
    use chreode_solve::{Bdf, Esdirk, KENCARP4, RODAS5P, Radau, Radau5, Rosenbrock, Stepper};

    use super::Problem;
    use crate::simulate::Tolerances;

    /// Published problems by the method that they are not run by otherwise, at tighter tolerances. Runs where `CHREODE_DATA` names a
    /// folder with `petab/`.
    fn check(name: &str, rtol: f64, method: fn(usize) -> Box<dyn Stepper<f64>>) {
        // Of Crauste the immune response depends on what is left of the pathogen after days of its decay.
        let most = if name.starts_with("Crauste") { 2e-5 } else { 1e-6 };
        if let Some(mut problem) = open(name) {
            compare(name, &mut problem, rtol, method, most);
        }
    }

    fn open(name: &str) -> Option<Problem> {
        let Some(folder) =
            std::env::var_os("CHREODE_DATA").map(|x| std::path::PathBuf::from(x).join("petab"))
        else {
            println!("skipped: CHREODE_DATA names no folder");
            return None;
        };
        let path = folder.join(name).join(format!("{name}.yaml"));
        if !path.exists() {
            println!("skipped: there is no {}", path.display());
            return None;
        }
        Some(Problem::open(&path, Tolerances::default()).unwrap())
    }

    /// The problem by this method at this tolerance, against its own method at the default ones.
    fn compare(
        name: &str,
        problem: &mut Problem,
        rtol: f64,
        method: fn(usize) -> Box<dyn Stepper<f64>>,
        most: f64,
    ) {
        let (own, default) = (problem.simulator.method, problem.simulator.tolerances);
        let nominal = problem.nominal();
        let ours = problem.simulate(&nominal).unwrap();
        problem.simulator.method = method;
        problem.simulator.tolerances = Tolerances { rtol, atol: 1e-4 * rtol };
        let started = Instant::now();
        let theirs = problem.simulate(&nominal).unwrap();
        let mut largest: HashMap<&str, f64> = HashMap::new();
        for (m, x) in problem.measurements.iter().zip(&theirs.values) {
            let most = largest.entry(&m.observable_id).or_default();
            *most = most.max(x.abs());
        }
        let worst = problem
            .measurements
            .iter()
            .zip(ours.values.iter().zip(&theirs.values))
            .map(|(m, (x, y))| (x - y).abs() / (y.abs() + 1e-4 * largest[m.observable_id.as_str()]));
        let worst = worst.fold(0.0, f64::max);
        println!("{name}: {worst:e} apart, {:.1} s", started.elapsed().as_secs_f64());
        assert!(worst < most, "{name}: {worst:e}");
        (problem.simulator.method, problem.simulator.tolerances) = (own, default);
    }

    fn bdf(d: usize) -> Box<dyn Stepper<f64>> {
        Box::new(Bdf::new(1, d))
    }

    fn radau(d: usize) -> Box<dyn Stepper<f64>> {
        Box::new(Radau::new(1, d))
    }

    #[test]
    fn small_problems_by_backward_differences() {
        for name in [
            "Boehm_JProteomeRes2014",
            "Crauste_CellSystems2017",
            "Elowitz_Nature2000",
            "Fujita_SciSignal2010",
            "Raia_CancerResearch2011",
            "Bachmann_MSB2011",
        ] {
            check(name, 1e-12, bdf);
        }
    }

    #[test]
    fn the_large_problem_by_collocation() {
        check("Chen_MSB2009", 1e-9, radau);
    }

    /// Its rows and columns are of very different size, and many of its matrices cannot keep the diagonal as pivots: all stiff methods
    /// are to solve it with its sparse Jacobian.
    #[test]
    fn the_large_problem_is_sparse_and_stiff_to_all_methods() {
        let Some(mut problem) = open("Chen_MSB2009") else { return };
        let (field, _) = problem.simulator.recorded();
        let entries = field.sparsity().len();
        assert_eq!((field.dim(), problem.simulator.model().n_reactions()), (500, 827));
        assert!(entries < 500 * 500 / 50, "{entries}");
        assert_eq!(Jacobian::sparsity(problem.simulator.field()).map(Sparsity::len), Some(entries));
        let methods: [fn(usize) -> Box<dyn Stepper<f64>>; 5] = [
            bdf,
            radau,
            |d| Box::new(Radau5::new(1, d)),
            |d| Box::new(Rosenbrock::new(&RODAS5P, 1, d)),
            |d| Box::new(Esdirk::new(&KENCARP4, 1, d)),
        ];
        for method in methods {
            compare("Chen_MSB2009", &mut problem, 1e-5, method, 2e-3);
        }
    }
}
