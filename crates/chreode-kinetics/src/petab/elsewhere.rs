//! A problem for integrators of other projects: its formulas as C ([`field_code`]), its runs as initial value problems ([`tasks`]), and the
//! objective from what they found ([`observe`], [`pull`]). `cargo xtask bench-peers kinetics` puts them beside ours this way.

use std::collections::BTreeMap;

use chreode_core::Sparsity;

use super::gradient::{Evaluation, Objective};
use super::simulate::{Moments, Simulation};

/// The right-hand side and its derivatives as C (C99), for any integrator.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldCode {
    /// Functions `field`, `jacobian` and `derivatives`, each `(double t, const double *y, const double *p, double *out)`. `jacobian` sets
    /// the entries of the first columns of the pattern, those of states, `derivatives` all.
    pub source: String,
    /// Where `[∂f/∂y | ∂f/∂p]` may differ from zero, `[d, d + n_params]`; entries column by column.
    pub pattern: Sparsity,
}

/// One condition's run as an initial value problem, with the directions in which estimated parameters move it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// The start at time zero, `[d]`.
    pub y0: Vec<f64>,
    /// The model's parameters, `[n_params]`.
    pub p: Vec<f64>,
    /// Which estimated parameters move the run.
    pub directions: Vec<usize>,
    /// Derivatives of the start in these directions, `[directions, d]`.
    pub s0: Vec<f64>,
    /// Those of the parameters, `[directions, n_params]`.
    pub q: Vec<f64>,
    /// Where the right-hand side jumps before the last time, ascending; the sensitivities do not.
    pub stops: Vec<f64>,
    /// When states are measured, ascending.
    pub times: Vec<f64>,
    /// The absolute tolerance that a run of ours would have.
    pub atol: f64,
    /// The measurements, and each one's place among the times.
    measured: Vec<(usize, usize)>,
}

/// What a task adds to the objective, and how that depends on its states and parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Pull {
    /// Value and gradient, as far as that does not come through states and parameters of the model.
    pub value: f64,
    /// `[n]`.
    pub gradient: Vec<f64>,
    /// With respect to the states at each time, `[times]` of `[d]`.
    pub states: Vec<Vec<f64>>,
    /// With respect to the model's parameters.
    pub params: Vec<f64>,
}

/// The right-hand side as C.
pub fn field_code(objective: &Objective) -> FieldCode {
    let (field, jacobian) = objective.problem.simulator.recorded();
    let (pattern, derivatives) = objective.derivatives.recorded();
    let parts = [field.c_code("field"), jacobian.c_code("jacobian"), derivatives.c_code("derivatives")];
    FieldCode { source: parts.concat(), pattern: pattern.clone() }
}

/// The runs at these estimated parameters; none where a run is not smooth between times known before: with events, formulas
/// that jump where the state or an estimated parameter says so, a condition before, or states at rest that are measured.
///
/// # Panics
/// If there are not as many parameters as are estimated.
pub fn tasks(objective: &mut Objective, x: &[f64]) -> Option<Vec<Task>> {
    let parameters = objective.parameters(x);
    let mut runs: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, (link, m)) in objective.problem.links.iter().zip(&objective.problem.measurements).enumerate() {
        if link.before.is_some() || m.time == f64::INFINITY {
            return None;
        }
        runs.entry(link.condition).or_default().push(i);
    }
    let tasks = runs.into_iter().map(|(condition, measured)| {
        let (directions, start) = objective.start(condition, &parameters, None).active();
        let time = |i: usize| objective.problem.measurements[i].time;
        let mut times: Vec<f64> = measured.iter().map(|&i| time(i)).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let place = |i: usize| times.partition_point(|&t| t < time(i));
        let measured = measured.into_iter().map(|i| (i, place(i))).collect();
        let simulator = &mut objective.problem.simulator;
        let atol = simulator.absolute_of_run(0.0, &start.y, &start.p, &times);
        let (y0, p, s0, q) = (start.y, start.p, start.s, start.q);
        let np = p.len();
        let moves: Vec<bool> = (0..np).map(|k| q.iter().skip(k).step_by(np).any(|q| *q != 0.0)).collect();
        let last = times.last().copied().unwrap_or(0.0);
        let stops = simulator.stops((0.0, last), &p, &moves)?;
        Some(Task { y0, p, directions, s0, q, stops, times, atol, measured })
    });
    tasks.collect()
}

/// The measurements as simulated by other means: of each task the states at its times, `[times]` of `[d]`.
///
/// # Panics
/// If there are not as many parameters as are estimated, or not as many states as the tasks have times.
pub fn observe(objective: &mut Objective, x: &[f64], tasks: &[Task], states: &[Vec<Vec<f64>>]) -> Simulation {
    assert_eq!(states.len(), tasks.len(), "states of every task");
    let mut moments = Moments::new(objective.problem.measurements.len());
    for (task, states) in tasks.iter().zip(states) {
        task.check(states);
        let first = moments.add(states.iter().map(|y| (y.clone(), task.p.clone())));
        task.measured.iter().for_each(|&(i, k)| moments.place(i, first + k));
    }
    let parameters = objective.parameters(x);
    objective.problem.observe(&moments, &parameters)
}

/// What a task adds to the objective, from its states at its times.
///
/// # Panics
/// As [`observe`].
pub fn pull(objective: &Objective, x: &[f64], task: &Task, states: &[Vec<f64>]) -> Pull {
    task.check(states);
    let (n, parameters) = (objective.n(), objective.parameters(x));
    let mut sum = Evaluation { value: 0.0, gradient: vec![0.0; n], curvature: Vec::new() };
    let mut bars = vec![vec![0.0; task.y0.len()]; task.times.len()];
    let mut params = vec![0.0; task.p.len()];
    for &(i, k) in &task.measured {
        objective.add_bars(&parameters, i, (&states[k], &task.p), &mut bars[k], &mut params, &mut sum);
    }
    Pull { value: sum.value, gradient: sum.gradient, states: bars, params }
}

impl Task {
    fn check(&self, states: &[Vec<f64>]) {
        assert_eq!(states.len(), self.times.len(), "states at every time of a task");
    }
}
