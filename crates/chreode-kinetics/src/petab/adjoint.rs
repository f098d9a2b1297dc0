//! The gradient by the discrete adjoint: a run and the way back for each condition, whatever the number of parameters.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use super::gradient::{Evaluation, Objective, residual};
use super::problem::Source;
use crate::SimulationError;
use crate::error::KineticsError;
use crate::model::{QuantityKind, Start};
use crate::simulate::Tangent;

/// A condition before, at rest, with what later runs owe to it.
struct Rested {
    start: Tangent,
    at: Start<f64>,
    y_bar: Vec<f64>,
}

impl Objective {
    /// The objective with its gradient by the adjoint; none where a run cannot be gone back through: there are events or switches that
    /// move, or steady states that depend on the start or are measured at an infinite time.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    pub fn gradient_by_adjoint(
        &mut self,
        x: &[f64],
        gradient: &mut [f64],
    ) -> Result<Option<f64>, KineticsError> {
        let infinite = |time: f64| time == f64::INFINITY;
        if !self.problem.simulator.has_adjoint() || self.problem.measurements.iter().any(|m| infinite(m.time))
        {
            return Ok(None);
        }
        let (n, parameters) = (self.n(), self.parameters(x));
        let mut sum = Evaluation { value: 0.0, gradient: vec![0.0; n], curvature: vec![0.0; n * n] };
        self.priors(x, &mut sum);
        let mut runs: BTreeMap<(Option<usize>, usize), Vec<usize>> = BTreeMap::new();
        for (i, link) in self.problem.links.iter().enumerate() {
            runs.entry((link.before, link.condition)).or_default().push(i);
        }
        let mut steady = HashMap::new();
        for ((before, condition), measured) in runs {
            match self.back(&parameters, (before, condition), &measured, &mut steady, &mut sum) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(source) => return Err(self.problem.in_condition(before, condition, source)),
            }
        }
        for rested in steady.into_values() {
            let mut p_bar = vec![0.0; rested.at.p.len()];
            let simulator = &mut self.problem.simulator;
            if !simulator.rest_pull(&mut self.derivatives, 0.0, &rested.at, &rested.y_bar, &mut p_bar) {
                return Ok(None);
            }
            add(&rested.start, &vec![0.0; rested.y_bar.len()], &p_bar, &mut sum.gradient);
        }
        gradient.copy_from_slice(&sum.gradient);
        Ok(Some(sum.value))
    }

    /// One condition; false if there is no way back.
    fn back(
        &mut self,
        parameters: &[f64],
        (before, condition): (Option<usize>, usize),
        measured: &[usize],
        steady: &mut HashMap<usize, Rested>,
        sum: &mut Evaluation,
    ) -> Result<bool, SimulationError> {
        let model = self.problem.simulator.model();
        let d = model.n_states();
        // Which coordinates go on from rest.
        let mut goes_on = vec![false; d];
        let start = match before {
            None => self.start(condition, parameters, None),
            // A start would depend on the sizes in which the condition before came to rest, not only go on from there.
            Some(_)
                if model.states.iter().any(|&q| model.quantities[q].kind == QuantityKind::Compartment) =>
            {
                return Ok(false);
            }
            Some(before) => {
                let rested = match steady.entry(before) {
                    Entry::Occupied(rested) => rested.into_mut(),
                    Entry::Vacant(place) => {
                        let first = self.start(before, parameters, None);
                        let from = Start { y: first.y.clone(), p: first.p.clone() };
                        let at = self.problem.simulator.settle(0.0, from)?;
                        place.insert(Rested { start: first, at, y_bar: vec![0.0; d] })
                    }
                };
                let set = &self.problem.conditions[condition].set;
                let states = &self.problem.simulator.model().states;
                for (goes_on, q) in goes_on.iter_mut().zip(states) {
                    *goes_on = !set.contains_key(q);
                }
                // The states' own derivatives come back through `y_bar`; without events parameters stay those of the start.
                let Start { y, p } = rested.at.clone();
                let (s, q) = (vec![0.0; rested.start.s.len()], rested.start.q.clone());
                self.start(condition, parameters, Some(&Tangent { y, p, s, q }))
            }
        };
        let np = start.p.len();
        let mut times: Vec<f64> = measured.iter().map(|&i| self.problem.measurements[i].time).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let moves: Vec<bool> =
            (0..np).map(|k| start.q.iter().skip(k).step_by(np).any(|q| *q != 0.0)).collect();
        let mut saved = Vec::with_capacity(times.len());
        let from = Start { y: start.y.clone(), p: start.p.clone() };
        let simulator = &mut self.problem.simulator;
        let run = simulator.run_backward(0.0, from, &times, &moves, &mut |_, y| saved.push(y.to_vec()))?;
        let Some((mut run, _)) = run else { return Ok(false) };
        let mut bars = vec![vec![0.0; d]; times.len()];
        let mut p_bar = vec![0.0; np];
        for &i in measured {
            let t = self.problem.measurements[i].time;
            // Every measurement's time is among them.
            let k = times.binary_search_by(|x| x.total_cmp(&t)).unwrap_or_else(|k| k.min(times.len() - 1));
            self.add_bars(parameters, i, (&saved[k], &start.p), &mut bars[k], &mut p_bar, sum);
        }
        let mut y_bar = vec![0.0; d];
        self.problem.simulator.go_back(&mut run, &bars, &vec![0.0; d], &mut y_bar, &mut p_bar)?;
        add(&start, &y_bar, &p_bar, &mut sum.gradient);
        if let Some(rested) = before.and_then(|before| steady.get_mut(&before)) {
            for i in (0..d).filter(|&i| goes_on[i]) {
                rested.y_bar[i] += y_bar[i];
            }
        }
        Ok(true)
    }

    /// What a measurement adds to the objective, and to the gradients with respect to the state, the model's parameters and the
    /// estimated ones.
    pub(super) fn add_bars(
        &self,
        parameters: &[f64],
        i: usize,
        (y, p): (&[f64], &[f64]),
        y_bar: &mut [f64],
        p_bar: &mut [f64],
        sum: &mut Evaluation,
    ) {
        let problem = &self.problem;
        let (link, measurement) = (&problem.links[i], &problem.measurements[i]);
        let inputs = link.inputs(p, parameters);
        let observable = &problem.observables[link.observable].recorded.program;
        let mut memory = observable.replay();
        let mut out = [0.0; 2];
        observable.eval(&mut memory, measurement.time, y, &inputs, &mut out);
        let (scale, distribution) = problem.comparisons[link.observable];
        let r = residual(scale, distribution, measurement.measurement, out[0], out[1]);
        sum.value += r.value;
        let (mut own, mut all) = (vec![0.0; y.len()], vec![0.0; inputs.len()]);
        observable.vjp(
            &mut memory,
            measurement.time,
            y,
            &inputs,
            &[r.by_value, r.by_noise],
            &mut own,
            &mut all,
        );
        y_bar.iter_mut().zip(&own).for_each(|(to, x)| *to += x);
        p_bar.iter_mut().zip(&all).for_each(|(to, x)| *to += x);
        let (np, n_table) = (p.len(), parameters.len());
        for (j, &place) in self.estimated.iter().enumerate() {
            let placeholders = link.placeholders.iter().zip(&all[np + n_table..]);
            let own: f64 =
                placeholders.filter(|(s, _)| **s == Source::Parameter(place)).map(|(_, x)| x).sum();
            let direct = all[np + place] + own;
            if direct != 0.0 {
                sum.gradient[j] += direct * problem.parameters[place].scale.slope(parameters[place]);
            }
        }
    }
}

/// Adds what gradients with respect to start and parameters mean in all directions.
fn add(start: &Tangent, y_bar: &[f64], p_bar: &[f64], gradient: &mut [f64]) {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (d, np) = (start.y.len(), start.p.len());
    for (j, gradient) in gradient.iter_mut().enumerate() {
        *gradient += dot(y_bar, &start.s[j * d..(j + 1) * d]) + dot(p_bar, &start.q[j * np..(j + 1) * np]);
    }
}
