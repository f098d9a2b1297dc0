//! A fit from every start, on all threads. Results do not depend on their number.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chreode_train::{Curved, Minimum, Smooth, StopRule, StoppedBy};
use rayon::prelude::*;

use super::single::{go_on, single};
use super::starts::latin_hypercube;
use crate::petab::Objective;

/// So many gradients by the adjoint cost what one curvature may: Levenberg-Marquardt needs so many fewer iterations.
const WORTH: f64 = 20.0;

/// How each fit is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FitMethod {
    /// By the number of parameters.
    #[default]
    Auto,
    /// Levenberg-Marquardt with Fisher's information, from sensitivities.
    LevenbergMarquardt,
    /// Limited-memory BFGS, with gradients by the adjoint.
    Lbfgs,
}

/// What is asked of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct FitOptions {
    /// Number of random starts.
    pub starts: usize,
    /// Each start chooses among so many points of the hypercube: where bounds are wide, most points are on plateaus, from which nothing
    /// leads.
    pub draws: usize,
    /// After so many hops in turn from what it found, each by a random change and a short fit, that gained nothing a fit from a random
    /// start ends.
    pub hops: usize,
    /// Seed of the starts.
    pub seed: u64,
    /// How each fit is made.
    pub method: FitMethod,
    /// When each fit stops; the best one may take twenty times the iterations.
    pub stop: StopRule,
    /// After so long no start is begun and no step taken. What is found then depends on how fast the machine is.
    pub at_most: Option<Duration>,
    /// One more fit starts from the nominal parameters. It has the number 0 then.
    pub from_nominal: bool,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self {
            starts: 20,
            draws: 200,
            hops: 20,
            seed: 0,
            method: FitMethod::Auto,
            stop: StopRule { gradient: 1e-4, value: 1e-8, step: 1e-8, iterations: 500 },
            at_most: None,
            from_nominal: false,
        }
    }
}

/// Until when steps are taken.
#[derive(Clone, Copy)]
pub(super) struct Until<'a> {
    begun: Instant,
    at_most: Option<Duration>,
    cancel: &'a AtomicBool,
}

impl Until<'_> {
    /// Whether steps may still be taken.
    pub(super) fn go_on(self) -> bool {
        !self.cancel.load(Ordering::Relaxed) && self.at_most.is_none_or(|limit| self.begun.elapsed() < limit)
    }
}

/// One fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The number of the start; the nominal parameters have 0, random ones follow from 1.
    pub number: usize,
    /// Where it started, on the parameters' scales.
    pub start: Vec<f64>,
    /// The objective there.
    pub start_value: f64,
    /// What was found.
    pub minimum: Minimum,
    /// How long it took.
    pub seconds: f64,
    /// What the last simulation that failed said, if one did.
    pub failure: Option<String>,
}

/// All fits, the best first; those that failed last.
#[derive(Debug, Clone, PartialEq)]
pub struct Fits {
    /// The fits.
    pub fits: Vec<Fit>,
    /// The method that was used.
    pub method: FitMethod,
    /// Why.
    pub why: String,
    /// How long all took.
    pub seconds: f64,
}

impl Fits {
    /// The best fit, if one came to a finite value.
    pub fn best(&self) -> Option<&Fit> {
        self.fits.first().filter(|fit| fit.minimum.value.is_finite())
    }

    /// How many came to their own end: the others were cut short by time or by somebody who asked to stop.
    pub fn finished(&self) -> usize {
        self.fits.iter().filter(|fit| fit.minimum.stopped != StoppedBy::Watcher).count()
    }

    /// How many ended within `by` of the best value.
    pub fn near_best(&self, by: f64) -> usize {
        let best = self.best().map_or(f64::NAN, |fit| fit.minimum.value);
        self.fits.iter().filter(|fit| fit.minimum.value - best <= by).count()
    }
}

/// The objective as minimisers see it: infinite where it cannot be computed.
pub(super) struct Watched<'a> {
    pub(super) objective: &'a mut Objective,
    pub(super) failure: Option<String>,
}

impl Watched<'_> {
    pub(super) fn told<T>(&mut self, result: Result<T, crate::KineticsError>) -> Option<T> {
        result.map_err(|error| self.failure = Some(error.to_string())).ok()
    }
}

impl Curved for Watched<'_> {
    fn value(&mut self, x: &[f64]) -> f64 {
        let value = self.objective.value(x);
        self.told(value).filter(|x| !x.is_nan()).unwrap_or(f64::INFINITY)
    }
    fn settle(&mut self, x: &mut [f64], bounds: (&[f64], &[f64])) -> f64 {
        let value = self.objective.value_refined(x, bounds, false);
        self.told(value).filter(|x| !x.is_nan()).unwrap_or(f64::INFINITY)
    }
    fn model(&mut self, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 {
        let evaluation = self.objective.evaluate(x);
        let Some(evaluation) = self.told(evaluation) else { return f64::INFINITY };
        gradient.copy_from_slice(&evaluation.gradient);
        curvature.copy_from_slice(&evaluation.curvature);
        evaluation.value
    }
}

impl Smooth for Watched<'_> {
    fn value(&mut self, x: &[f64]) -> f64 {
        Curved::value(self, x)
    }
    fn gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let value = self.objective.gradient(x, gradient);
        self.told(value).filter(|x| !x.is_nan()).unwrap_or(f64::INFINITY)
    }
}

/// The method for a problem, and why.
fn choose(objective: &Objective, method: FitMethod) -> (FitMethod, String) {
    let (pays, why) = objective.adjoint_pays();
    match method {
        FitMethod::Auto => {
            let run = Objective::RUN;
            let sensitivities = run.forward_runs(objective.n());
            if pays && sensitivities.is_some_and(|runs| runs > WORTH * run.adjoint_runs(1)) {
                (FitMethod::Lbfgs, format!("{} parameters are many; {why}", objective.n()))
            } else {
                (
                    FitMethod::LevenbergMarquardt,
                    format!("{} parameters; sensitivities give their curvature", objective.n()),
                )
            }
        }
        chosen => (chosen, "asked for".into()),
    }
}

/// Fits a problem from many starts. `tell(done, best)` hears of every fit that ends, from any thread. Once `cancel` is true no start is begun
/// and no step taken: what was found until then is the result.
pub fn fit(
    objective: &Objective,
    options: &FitOptions,
    cancel: &AtomicBool,
    tell: &(dyn Fn(usize, f64) + Sync),
) -> Fits {
    let begun = Instant::now();
    let until = Until { begun, at_most: options.at_most, cancel };
    let (method, why) = choose(objective, options.method);
    let mut starts: Vec<(usize, Vec<Vec<f64>>)> = Vec::new();
    if options.from_nominal {
        starts.push((0, vec![objective.nominal()]));
    }
    let draws = options.draws.max(1);
    let drawn = latin_hypercube(objective, options.starts * draws, options.seed);
    starts.extend(drawn.chunks(draws).enumerate().map(|(i, points)| (i + 1, points.to_vec())));
    let done = AtomicUsize::new(0);
    let best = std::sync::Mutex::new(f64::INFINITY);
    let mut fits: Vec<Fit> = starts
        .into_par_iter()
        .with_max_len(1)
        .map_init(
            || objective.clone(),
            |objective, (number, points)| {
                let fit = single(objective, method, options, number, &points, until);
                // The lock is not poisoned: nobody panics while holding it.
                let mut best = best.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                *best = best.min(fit.minimum.value);
                tell(done.fetch_add(1, Ordering::Relaxed) + 1, *best);
                fit
            },
        )
        .collect();
    fits.sort_by(|a, b| a.minimum.value.total_cmp(&b.minimum.value).then(a.number.cmp(&b.number)));
    let unfinished = |best: &&mut Fit| best.minimum.stopped == StoppedBy::Iterations && until.go_on();
    if let Some(best) = fits.first_mut().filter(unfinished) {
        go_on(&mut objective.clone(), method, options, best, until);
    }
    Fits { fits, method, why, seconds: begun.elapsed().as_secs_f64() }
}
