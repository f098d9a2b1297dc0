//! Parameters that the model does not have: scales, offsets and noise, which observables alone see.
//!
//! Given the states at the times of all measurements they are fitted without another run. Those that share a measurement, directly or
//! over others, make a group; groups are fitted each for itself. Sources: [GP73] (the idea, where these parameters are linear),
//! [SSFH20] (kinetic models). Here they need not be linear, nor have a closed form: a trust region finds them.

use chreode_autodiff::Replay;
use chreode_train::{Curved, StopRule, minimise_curved};

use super::gradient::{Objective, residual};
use super::problem::{Problem, Source};
use super::simulate::Moments;
use crate::error::KineticsError;

/// Values of a parameter between its bounds that a search from nothing looks at.
const SCANNED: usize = 33;
/// Rounds of that search over the parameters of a group.
const ROUNDS: usize = 2;
/// When a group's fit stops.
const STOP: StopRule = StopRule { gradient: 1e-6, value: 1e-10, step: 1e-10, iterations: 30 };

/// Parameters that share measurements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// Their places among the estimated parameters.
    columns: Vec<usize>,
    measurements: Vec<usize>,
}

/// The groups of a problem's estimated parameters that its model does not have.
pub(super) fn groups(problem: &Problem, estimated: &[usize]) -> Vec<Group> {
    let sets = |place: usize| {
        problem.conditions.iter().any(|c| c.set.values().any(|s| *s == Source::Parameter(place)))
    };
    let inner: Vec<bool> = estimated
        .iter()
        .map(|&place| !problem.mapped.values().any(|&p| p == place) && !sets(place))
        .collect();
    let mut groups: Vec<Group> = Vec::new();
    for i in 0..problem.measurements.len() {
        let used: Vec<usize> =
            used(problem, estimated, i).into_iter().map(|(_, j)| j).filter(|&j| inner[j]).collect();
        if used.is_empty() {
            continue;
        }
        let mut all = Group { columns: used, measurements: vec![i] };
        let (joined, apart): (Vec<_>, Vec<_>) =
            groups.into_iter().partition(|g| g.columns.iter().any(|j| all.columns.contains(j)));
        for group in joined {
            all.columns.extend(group.columns);
            all.measurements.extend(group.measurements);
        }
        all.columns.sort_unstable();
        all.columns.dedup();
        groups = apart;
        groups.push(all);
    }
    groups.iter_mut().for_each(|g| g.measurements.sort_unstable());
    groups
}

/// Which estimated parameters a measurement's observable and noise see, and at which of their inputs.
fn used(problem: &Problem, estimated: &[usize], i: usize) -> Vec<(usize, usize)> {
    let link = &problem.links[i];
    let program = &problem.observables[link.observable].recorded.program;
    let pattern = program.sparsity_with_params();
    let table = program.n_params() - link.placeholders.len() - problem.parameters.len();
    let mut used = Vec::new();
    for (j, &place) in estimated.iter().enumerate() {
        let placeholders = link.placeholders.iter().enumerate();
        let own = placeholders
            .filter(|(_, s)| **s == Source::Parameter(place))
            .map(|(k, _)| problem.parameters.len() + k);
        let inputs = std::iter::once(place).chain(own).map(|k| table + k);
        used.extend(inputs.filter(|k| !pattern.column(program.dim() + k).is_empty()).map(|k| (k, j)));
    }
    used
}

/// What a group adds to the objective, as a function of its parameters on their scales.
struct Part<'a> {
    problem: &'a Problem,
    estimated: &'a [usize],
    group: &'a Group,
    moments: &'a Moments,
    /// Of each measurement: its observable's inputs, and which of them are parameters of the group.
    inputs: Vec<(Vec<f64>, Vec<(usize, usize)>)>,
    /// Of each observable.
    memory: &'a mut [Replay<f64>],
}

impl<'a> Part<'a> {
    fn new(
        objective: &'a Objective,
        group: &'a Group,
        moments: &'a Moments,
        parameters: &[f64],
        memory: &'a mut [Replay<f64>],
    ) -> Self {
        let (problem, estimated) = (&objective.problem, &objective.estimated[..]);
        let inputs = group.measurements.iter().map(|&i| {
            let used = used(problem, estimated, i).into_iter();
            let own = used.filter_map(|(k, j)| Some((k, group.columns.iter().position(|c| *c == j)?)));
            (problem.links[i].inputs(moments.at(i).1, parameters), own.collect())
        });
        Self { problem, estimated, group, moments, inputs: inputs.collect(), memory }
    }

    /// The value; with derivatives where they are asked for.
    fn at(&mut self, x: &[f64], mut derivatives: Option<(&mut [f64], &mut [f64])>) -> f64 {
        let (problem, n) = (self.problem, x.len());
        let mut value = 0.0;
        if let Some((gradient, curvature)) = &mut derivatives {
            gradient.fill(0.0);
            curvature.fill(0.0);
        }
        let (mut linear, mut slope) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (k, &j) in self.group.columns.iter().enumerate() {
            let row = &problem.parameters[self.estimated[j]];
            linear.push(row.scale.linear(x[k]));
            slope.push(row.scale.slope(linear[k]));
            let Some(prior) = &row.prior else { continue };
            let term = prior.term(row.scale, x[k]);
            value += term.value;
            if let Some((gradient, curvature)) = &mut derivatives {
                gradient[k] += term.slope;
                curvature[k * n + k] += term.curvature;
            }
        }
        let (mut y_bar, mut p_bar) = (Vec::new(), Vec::new());
        let mut slopes = [vec![0.0; n], vec![0.0; n]];
        for (&i, (inputs, own)) in self.group.measurements.iter().zip(&mut self.inputs) {
            own.iter().for_each(|&(at, k)| inputs[at] = linear[k]);
            let (link, measurement) = (&problem.links[i], &problem.measurements[i]);
            let program = &problem.observables[link.observable].recorded.program;
            let memory = &mut self.memory[link.observable];
            let (t, y) = (measurement.time, self.moments.at(i).0);
            let mut out = [0.0; 2];
            program.eval(memory, t, y, inputs, &mut out);
            let (scale, distribution) = problem.comparisons[link.observable];
            let r = residual(scale, distribution, measurement.measurement, out[0], out[1]);
            value += r.value;
            let Some((gradient, curvature)) = &mut derivatives else { continue };
            for (output, slopes) in slopes.iter_mut().enumerate() {
                let mut lambda = [0.0; 2];
                lambda[output] = 1.0;
                y_bar.clear();
                y_bar.resize(y.len(), 0.0);
                p_bar.clear();
                p_bar.resize(inputs.len(), 0.0);
                program.vjp(memory, t, y, inputs, &lambda, &mut y_bar, &mut p_bar);
                slopes.fill(0.0);
                own.iter().for_each(|&(at, k)| slopes[k] += p_bar[at] * slope[k]);
            }
            r.add(&slopes, gradient, curvature);
        }
        value
    }

    /// Looks at each parameter's whole range in turn.
    fn scan(&mut self, x: &mut [f64], (low, high): (&[f64], &[f64])) {
        let mut best = self.at(x, None);
        for _ in 0..ROUNDS {
            for k in 0..x.len() {
                for step in 0..SCANNED {
                    let before = x[k];
                    x[k] = low[k] + (high[k] - low[k]) * step as f64 / (SCANNED - 1) as f64;
                    let value = self.at(x, None);
                    if value < best || best.is_nan() {
                        best = value;
                    } else {
                        x[k] = before;
                    }
                }
            }
        }
    }
}

impl Curved for Part<'_> {
    fn value(&mut self, x: &[f64]) -> f64 {
        self.at(x, None)
    }
    fn model(&mut self, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 {
        self.at(x, Some((gradient, curvature)))
    }
}

impl Objective {
    /// The objective where `x` is moved to: parameters that the model does not have, but observables and noise, are fitted between
    /// these bounds with the states as they are, which takes no other run. With `scan` their whole range is looked at before.
    ///
    /// # Errors
    /// As [`value`](Self::value).
    ///
    /// # Panics
    /// If lengths are not the number of estimated parameters.
    pub fn value_refined(
        &mut self,
        x: &mut [f64],
        (low, high): (&[f64], &[f64]),
        scan: bool,
    ) -> Result<f64, KineticsError> {
        let parameters = self.parameters(x);
        let moments = self.problem.moments(&parameters)?;
        let mut memory: Vec<Replay<f64>> =
            self.problem.observables.iter().map(|o| o.recorded.program.replay()).collect();
        for group in &self.groups {
            let of = |all: &[f64]| -> Vec<f64> { group.columns.iter().map(|&j| all[j]).collect() };
            let (mut start, low, high) = (of(x), of(low), of(high));
            let mut part = Part::new(self, group, &moments, &parameters, &mut memory);
            if scan {
                part.scan(&mut start, (&low, &high));
            }
            let before = part.at(&of(x), None);
            let found = minimise_curved(&mut part, &start, (&low, &high), &STOP, &mut |_, _| true);
            if found.value < before || before.is_nan() {
                group.columns.iter().zip(&found.x).for_each(|(&j, &to)| x[j] = to);
            }
        }
        let parameters = self.parameters(x);
        let simulation = self.problem.observe(&moments, &parameters);
        Ok(self.value_of(x, &simulation))
    }
}
