//! The negative log-likelihood, with priors, as a function of the estimated parameters on their scales, with exact derivatives.
//!
//! Sensitivities run beside the state, in the directions that move a condition's start or parameters, one set for all conditions with
//! that of preequilibration; observables and noise are differentiated by their recorded programs. With `u = ∂μ/σ` and `w = ∂σ/σ`, the
//! expected curvature (Fisher's information) is `Σ u uᵀ + 2 w wᵀ` for normal noise, `Σ u uᵀ + w wᵀ` for Laplace's.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use chreode_adjoint::{OdeMethod, RunKind, Sensitivity, Task};
use chreode_autodiff::Dual;
use chreode_core::Number;

use super::likelihood::above_zero;
use super::outer::{Group, groups};
use super::problem::{Problem, Source};
use super::simulate::{Place, Simulation};
use super::tables::{NoiseDistribution, ParameterRow, Scale};
use crate::SimulationError;
use crate::error::KineticsError;
use crate::model::{QuantityKind, Start};
use crate::simulate::{Derivatives, MOST_STEPS, Tangent, Tolerances, rests};

/// Directions that one computation of a start follows.
const WIDTH: usize = 8;
/// Steps of a run, about: what a choice of ways needs to know.
const STEPS: usize = 500;
type Wide = Dual<f64, WIDTH>;

/// A value of an objective with its derivatives on the parameters' scales.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The objective: negative log-likelihood and negative logarithms of priors.
    pub value: f64,
    /// Its gradient, `[n]`.
    pub gradient: Vec<f64>,
    /// A positive curvature, `[n, n]`: Fisher's information, and that of the priors.
    pub curvature: Vec<f64>,
}

/// A problem as a function to minimise. Every thread takes a clone.
#[derive(Debug, Clone)]
pub struct Objective {
    pub(super) problem: Problem,
    pub(super) derivatives: Derivatives,
    /// Places in the parameter table.
    pub(super) estimated: Vec<usize>,
    /// All parameters, on the linear scale; those that are not estimated stay.
    fixed: Vec<f64>,
    /// Estimated parameters that only observables see.
    pub(super) groups: Vec<Group>,
}

/// What one measurement adds, and how that depends on the simulated value and the noise.
pub(super) struct Residual {
    pub(super) value: f64,
    /// Derivatives by value and noise.
    pub(super) by_value: f64,
    pub(super) by_noise: f64,
    /// Factors that make of their derivatives `u` and `w`.
    value_weight: f64,
    noise_weight: f64,
}

pub(super) fn residual(
    scale: Scale,
    distribution: NoiseDistribution,
    m: f64,
    s: f64,
    noise: f64,
) -> Residual {
    let (difference, slope) = match scale {
        Scale::Lin => (m - s, 1.0),
        Scale::Log => (m.ln() - s.ln(), s.recip()),
        Scale::Log10 => (m.log10() - s.log10(), (s * std::f64::consts::LN_10).recip()),
    };
    let density = match scale {
        Scale::Lin => 0.0,
        Scale::Log => m.ln(),
        Scale::Log10 => (m * std::f64::consts::LN_10).ln(),
    };
    let noise = above_zero(noise);
    let r = difference / noise;
    let (value, by_r, by_noise, weight) = match distribution {
        NoiseDistribution::Normal => (
            0.5 * (2.0 * std::f64::consts::PI * noise * noise).ln() + 0.5 * r * r,
            r,
            1.0 - r * r,
            2_f64.sqrt(),
        ),
        NoiseDistribution::Laplace => {
            let sign = if r == 0.0 { 0.0 } else { r.signum() };
            ((2.0 * noise).ln() + r.abs(), sign, 1.0 - r.abs(), 1.0)
        }
    };
    Residual {
        value: value + density,
        by_value: -by_r * slope / noise,
        by_noise: by_noise / noise,
        value_weight: slope / noise,
        noise_weight: weight / noise,
    }
}

impl Objective {
    /// The objective of a problem. Parameters that are not estimated keep their nominal values.
    ///
    /// # Errors
    /// [`KineticsError::Parameters`] if nothing is estimated, or what is fixed has no value, or what is estimated no bounds.
    pub fn new(problem: Problem) -> Result<Self, KineticsError> {
        let rows = problem.parameters();
        let wrong = |ids: Vec<String>, what| Err(KineticsError::Parameters { ids, what });
        let named = |wrong: &dyn Fn(&ParameterRow) -> bool| -> Vec<String> {
            rows.iter().filter(|x| wrong(x)).map(|x| x.id.clone()).collect()
        };
        let estimated: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].estimate).collect();
        if estimated.is_empty() {
            return wrong(Vec::new(), "no parameter is to be estimated");
        }
        let unset = named(&|x| !x.estimate && x.nominal.is_nan());
        if !unset.is_empty() {
            return wrong(unset, "not estimated, and without a nominal value");
        }
        let unbound = named(&|x| {
            let (low, high) = (x.scale.scaled(x.bounds.0), x.scale.scaled(x.bounds.1));
            x.estimate && !(low.is_finite() && high.is_finite() && low < high)
        });
        if !unbound.is_empty() {
            return wrong(
                unbound,
                "estimated, but without finite bounds on their scales, the lower one below the upper one",
            );
        }
        let derivatives = Derivatives::new(&problem.simulator);
        let groups = groups(&problem, &estimated);
        Ok(Self { derivatives, estimated, fixed: problem.nominal(), groups, problem })
    }

    /// The problem.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Number of estimated parameters.
    pub fn n(&self) -> usize {
        self.estimated.len()
    }

    /// The rows of the estimated parameters.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &ParameterRow> {
        self.estimated.iter().map(|&i| &self.problem.parameters[i])
    }

    /// The row of an estimated parameter.
    ///
    /// # Panics
    /// If `j` is not below [`n`](Self::n).
    pub fn row(&self, j: usize) -> &ParameterRow {
        &self.problem.parameters[self.estimated[j]]
    }

    /// Bounds of the estimated parameters on their scales.
    pub fn bounds(&self) -> (Vec<f64>, Vec<f64>) {
        self.rows().map(|x| (x.scale.scaled(x.bounds.0), x.scale.scaled(x.bounds.1))).unzip()
    }

    /// The nominal values of the estimated parameters on their scales.
    pub fn nominal(&self) -> Vec<f64> {
        self.rows().map(|x| x.scale.scaled(x.nominal)).collect()
    }

    /// All parameters of the table on the linear scale, from the estimated ones on their scales.
    ///
    /// # Panics
    /// If there are not as many as are estimated.
    pub fn parameters(&self, x: &[f64]) -> Vec<f64> {
        assert_eq!(x.len(), self.n(), "estimated parameters");
        let mut all = self.fixed.clone();
        for (&i, &x) in self.estimated.iter().zip(x) {
            all[i] = self.problem.parameters[i].scale.linear(x);
        }
        all
    }

    /// The measurements as simulated with these estimated parameters.
    ///
    /// # Errors
    /// As [`Problem::simulate`].
    pub fn simulate(&mut self, x: &[f64]) -> Result<Simulation, KineticsError> {
        self.problem.simulate(&self.parameters(x))
    }

    /// The objective alone.
    ///
    /// # Errors
    /// [`KineticsError::Condition`] if the model cannot be run. The value is not finite where the likelihood is not.
    pub fn value(&mut self, x: &[f64]) -> Result<f64, KineticsError> {
        let simulation = self.simulate(x)?;
        Ok(self.value_of(x, &simulation))
    }

    pub(super) fn value_of(&self, x: &[f64], simulation: &Simulation) -> f64 {
        let priors = self.rows().zip(x).filter_map(|(row, &x)| Some(row.prior?.term(row.scale, x).value));
        priors.sum::<f64>() - self.problem.likelihood(simulation).log_likelihood
    }

    /// How exactly the model is run.
    pub fn tolerances(&self) -> Tolerances {
        self.problem.simulator.tolerances
    }

    /// Runs the model with these tolerances from now on, and gives it up after so many steps from one stop to the next; no number is a
    /// million.
    pub fn set_tolerances(&mut self, tolerances: Tolerances, most_steps: Option<u64>) {
        self.problem.simulator.tolerances = tolerances;
        self.problem.simulator.most_steps = most_steps.unwrap_or(MOST_STEPS);
    }

    /// Adds the negative logarithms of priors.
    pub(super) fn priors(&self, x: &[f64], sum: &mut Evaluation) {
        let n = self.n();
        for (j, (row, &x)) in self.rows().zip(x).enumerate() {
            let Some(prior) = &row.prior else { continue };
            let term = prior.term(row.scale, x);
            sum.value += term.value;
            sum.gradient[j] += term.slope;
            sum.curvature[j * n + j] += term.curvature;
        }
    }

    /// The objective with its gradient and curvature, by forward sensitivities.
    ///
    /// # Errors
    /// As [`value`](Self::value), and [`SimulationError::NotDifferentiable`] in it.
    pub fn evaluate(&mut self, x: &[f64]) -> Result<Evaluation, KineticsError> {
        let (n, parameters) = (self.n(), self.parameters(x));
        let mut sum = Evaluation { value: 0.0, gradient: vec![0.0; n], curvature: vec![0.0; n * n] };
        self.priors(x, &mut sum);
        let mut runs: BTreeMap<(Option<usize>, usize), Vec<usize>> = BTreeMap::new();
        for (i, link) in self.problem.links.iter().enumerate() {
            runs.entry((link.before, link.condition)).or_default().push(i);
        }
        let mut steady = HashMap::new();
        for ((before, condition), measured) in runs {
            let run = (before, condition);
            if let Err(source) = self.add_condition(&parameters, run, &measured, &mut steady, &mut sum) {
                return Err(self.problem.in_condition(before, condition, source));
            }
        }
        Ok(sum)
    }

    /// The objective with its gradient: by the adjoint where that costs less ([`adjoint_pays`](Self::adjoint_pays)) and can be had, else
    /// by sensitivities.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate).
    pub fn gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> Result<f64, KineticsError> {
        if self.adjoint_pays().0
            && let Some(value) = self.gradient_by_adjoint(x, gradient)?
        {
            return Ok(value);
        }
        let evaluation = self.evaluate(x)?;
        gradient.copy_from_slice(&evaluation.gradient);
        Ok(evaluation.value)
    }

    /// The runs whose derivatives are compared: sensitivities go by Bdf, whatever the size; Radau's adjoint takes as many runs as Bdf's.
    pub(crate) const RUN: RunKind = RunKind::Ode(OdeMethod::Bdf);

    /// Whether one gradient costs less by the discrete adjoint than by sensitivities, and why. Steps of stiff methods are stored whole.
    pub fn adjoint_pays(&self) -> (bool, String) {
        let model = self.problem.model();
        if !self.problem.simulator.has_adjoint() {
            let why = "sensitivities: the model has events, or switches that depend on its state".into();
            return (false, why);
        }
        let task = Task {
            state_len: model.n_states(),
            value_bytes: 8,
            unknowns: self.n(),
            objectives: 1,
            run: Self::RUN,
            times: false,
            steps: STEPS,
            bytes: usize::MAX,
        };
        match Sensitivity::auto(&task) {
            Ok((way, why)) => (way != Sensitivity::Forward, why),
            Err(error) => (false, error.to_string()),
        }
    }

    /// The start under a condition with its derivatives in all `n` directions; after another condition, where that came to rest, as
    /// without derivatives.
    pub(super) fn start(&self, condition: usize, parameters: &[f64], rested: Option<&Tangent>) -> Tangent {
        let (problem, n) = (&self.problem, self.n());
        let model = problem.simulator.model();
        let (d, np) = (model.n_states(), model.n_params());
        let condition = &problem.conditions[condition];
        // What stays: its place among the states, or among the parameters.
        let kept = match rested {
            Some(_) => problem.kept(condition),
            None => HashMap::new(),
        };
        let mut tangent = Tangent { y: Vec::new(), p: Vec::new(), s: vec![0.0; n * d], q: vec![0.0; n * np] };
        let mut lane = vec![usize::MAX; parameters.len()];
        self.estimated.iter().enumerate().for_each(|(j, &i)| lane[i] = j);
        for first in (0..n).step_by(WIDTH) {
            let value = |i: usize| {
                let mut x = Wide::variable(parameters[i], lane[i].wrapping_sub(first));
                let slope = problem.parameters[i].scale.slope(parameters[i]);
                x.d.iter_mut().for_each(|d| *d *= slope);
                x
            };
            let stays = |q: &usize| {
                let (rested, place) = (rested?, kept.get(q)?);
                let lanes = |all: &[f64], i: usize, len: usize| {
                    std::array::from_fn(|k| if first + k < n { all[(first + k) * len + i] } else { 0.0 })
                };
                Some(match *place {
                    Place::State(i) => Wide { v: rested.y[i], d: lanes(&rested.s, i, d) },
                    Place::Param(i) => Wide { v: rested.p[i], d: lanes(&rested.q, i, np) },
                })
            };
            let Start { mut y, mut p } = model.start::<Wide>(0.0, &|q| {
                let set = condition.set.get(&q).map(|source| match *source {
                    Source::Number(x) => Wide::c(x),
                    Source::Parameter(i) => value(i),
                });
                let size = || stays(&q).filter(|_| model.quantities[q].kind == QuantityKind::Compartment);
                set.or_else(size).or_else(|| problem.mapped.get(&q).map(|&i| value(i)))
            });
            let quantities = model.states.iter().chain(&model.params);
            for (x, q) in y.iter_mut().chain(&mut p).zip(quantities) {
                *x = stays(q).unwrap_or(*x);
            }
            for k in 0..WIDTH.min(n - first) {
                let at = first + k;
                tangent.s[at * d..(at + 1) * d].iter_mut().zip(&y).for_each(|(s, y)| *s = y.d[k]);
                tangent.q[at * np..(at + 1) * np].iter_mut().zip(&p).for_each(|(q, p)| *q = p.d[k]);
            }
            if first == 0 {
                tangent.y = y.iter().map(|y| y.v).collect();
                tangent.p = p.iter().map(|p| p.v).collect();
            }
        }
        tangent
    }

    fn add_condition(
        &mut self,
        parameters: &[f64],
        (before, condition): (Option<usize>, usize),
        measured: &[usize],
        steady: &mut HashMap<usize, Tangent>,
        sum: &mut Evaluation,
    ) -> Result<(), SimulationError> {
        let start = match before {
            None => self.start(condition, parameters, None),
            Some(before) => {
                let rested = match steady.entry(before) {
                    Entry::Occupied(rested) => rested.into_mut(),
                    Entry::Vacant(place) => {
                        let (active, first) = self.start(before, parameters, None).active();
                        let simulator = &mut self.problem.simulator;
                        let rested = simulator.settle_sensitive(&mut self.derivatives, 0.0, first)?;
                        place.insert(rested.spread(&active, self.estimated.len()))
                    }
                };
                self.start(condition, parameters, Some(rested))
            }
        };
        // Only directions that move something here.
        let (active, start) = start.active();
        let mut times: Vec<f64> =
            measured.iter().map(|&i| self.problem.measurements[i].time).filter(|t| t.is_finite()).collect();
        times.sort_by(f64::total_cmp);
        times.dedup();
        let wants_rest = measured.iter().any(|&i| self.problem.measurements[i].time == f64::INFINITY);
        let mut saved = Vec::with_capacity(times.len());
        let (simulator, derivatives) = (&mut self.problem.simulator, &mut self.derivatives);
        let rest = if wants_rest { Some(start.clone()) } else { None };
        simulator.run_sensitive(derivatives, 0.0, start, &times, &mut |_, _, at| {
            saved.push(at.clone());
            true
        })?;
        let rest = match rest {
            Some(start) => Some(self.rest(times.last().copied().unwrap_or(0.0), start)?),
            None => None,
        };
        for &i in measured {
            let t = self.problem.measurements[i].time;
            let at = match (times.binary_search_by(|x| x.total_cmp(&t)), &rest) {
                (Ok(k), _) => &saved[k],
                (Err(_), Some(rest)) => rest,
                (Err(_), None) => continue, // times are finite, or infinite: read and checked
            };
            self.add_measurement(parameters, i, at, &active, sum);
        }
        Ok(())
    }

    /// The steady state that is measured at an infinite time, after the last finite one.
    fn rest(&mut self, last: f64, start: Tangent) -> Result<Tangent, SimulationError> {
        let simulator = &mut self.problem.simulator;
        let rtol = simulator.tolerances.rtol;
        let m = start.columns();
        let plain = Start { y: start.y.clone(), p: start.p.clone() };
        let times = simulator.doublings(last, &plain)?;
        let atol = simulator.absolute_of_run(0.0, &plain.y, &plain.p, &times);
        if simulator.model().is_autonomous() {
            let (mut before, mut quiet) = (Vec::new(), 0);
            let end = simulator.run(0.0, plain, &times, &mut |i, _, y, _| {
                quiet = if i > 0 && rests(&before, y, rtol, atol) { quiet + 1 } else { 0 };
                before = y.to_vec();
                quiet < 2
            })?;
            if quiet == 2
                && let Some(s) = simulator.rest_derivative(&mut self.derivatives, last, &end, &start.q, m)
            {
                return Ok(Tangent { y: end.y, p: end.p, s, q: start.q });
            }
        }
        let (mut before, mut quiet) = (None::<Tangent>, 0);
        let end = simulator.run_sensitive(&mut self.derivatives, 0.0, start, &times, &mut |_, _, at| {
            let same = before
                .as_ref()
                .is_some_and(|x| rests(&x.y, &at.y, rtol, atol) && rests(&x.s, &at.s, rtol, atol));
            quiet = if same { quiet + 1 } else { 0 };
            before = Some(at.clone());
            quiet < 2
        })?;
        if quiet == 2 { Ok(end) } else { Err(simulator.not_steady(times[times.len() - 1], &end.y, &end.p)) }
    }

    fn add_measurement(
        &self,
        parameters: &[f64],
        i: usize,
        at: &Tangent,
        active: &[usize],
        sum: &mut Evaluation,
    ) {
        let (problem, n) = (&self.problem, self.n());
        let link = &problem.links[i];
        let measurement = &problem.measurements[i];
        let inputs = link.inputs(&at.p, parameters);
        let observable = &problem.observables[link.observable].recorded.program;
        let mut memory = observable.replay();
        let (d, np, n_table) = (at.y.len(), at.p.len(), parameters.len());
        let mut out = [0.0; 2];
        observable.eval(&mut memory, measurement.time, &at.y, &inputs, &mut out);
        let (scale, distribution) = problem.comparisons[link.observable];
        let r = residual(scale, distribution, measurement.measurement, out[0], out[1]);
        sum.value += r.value;
        // Derivatives of the value and of the noise in all directions.
        let mut slopes = [vec![0.0; n], vec![0.0; n]];
        for (output, slopes) in slopes.iter_mut().enumerate() {
            let mut lambda = [0.0; 2];
            lambda[output] = 1.0;
            let (mut y_bar, mut p_bar) = (vec![0.0; d], vec![0.0; inputs.len()]);
            observable.vjp(&mut memory, measurement.time, &at.y, &inputs, &lambda, &mut y_bar, &mut p_bar);
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            for (c, &j) in active.iter().enumerate() {
                slopes[j] = dot(&y_bar, &at.s[c * d..(c + 1) * d]) + dot(&p_bar, &at.q[c * np..(c + 1) * np]);
            }
            for (j, &place) in self.estimated.iter().enumerate() {
                let mut direct = p_bar[np + place];
                for (source, bar) in link.placeholders.iter().zip(&p_bar[np + n_table..]) {
                    if *source == Source::Parameter(place) {
                        direct += bar;
                    }
                }
                if direct != 0.0 {
                    slopes[j] += direct * problem.parameters[place].scale.slope(parameters[place]);
                }
            }
        }
        r.add(&slopes, &mut sum.gradient, &mut sum.curvature);
    }
}

impl Residual {
    /// Adds to gradient and curvature, from the derivatives of the value and of the noise in all directions.
    pub(super) fn add(&self, slopes: &[Vec<f64>; 2], gradient: &mut [f64], curvature: &mut [f64]) {
        let n = gradient.len();
        let touched: Vec<usize> = (0..n).filter(|&j| slopes[0][j] != 0.0 || slopes[1][j] != 0.0).collect();
        for &j in &touched {
            gradient[j] += self.by_value * slopes[0][j] + self.by_noise * slopes[1][j];
            let (u, w) = (self.value_weight * slopes[0][j], self.noise_weight * slopes[1][j]);
            for &k in &touched {
                curvature[j * n + k] +=
                    u * (self.value_weight * slopes[0][k]) + w * (self.noise_weight * slopes[1][k]);
            }
        }
    }
}

impl Tangent {
    /// The directions in which something moves, and these alone.
    pub(super) fn active(&self) -> (Vec<usize>, Self) {
        let (d, np) = (self.y.len(), self.p.len());
        let m = self.columns();
        let s = |j: usize| &self.s[j * d..(j + 1) * d];
        let q = |j: usize| &self.q[j * np..(j + 1) * np];
        let moves = |j: &usize| s(*j).iter().chain(q(*j)).any(|x| *x != 0.0);
        let active: Vec<usize> = (0..m).filter(moves).collect();
        let kept = Self {
            y: self.y.clone(),
            p: self.p.clone(),
            s: active.iter().flat_map(|&j| s(j)).copied().collect(),
            q: active.iter().flat_map(|&j| q(j)).copied().collect(),
        };
        (active, kept)
    }

    /// Back to all `n` directions.
    fn spread(self, active: &[usize], n: usize) -> Self {
        let (d, np) = (self.y.len(), self.p.len());
        let (mut s, mut q) = (vec![0.0; n * d], vec![0.0; n * np]);
        for (c, &j) in active.iter().enumerate() {
            s[j * d..(j + 1) * d].copy_from_slice(&self.s[c * d..(c + 1) * d]);
            q[j * np..(j + 1) * np].copy_from_slice(&self.q[c * np..(c + 1) * np]);
        }
        Self { y: self.y, p: self.p, s, q }
    }
}
