//! The fit from one start.
//!
//! Many points are looked at, with parameters that only observables see fitted to each; the best go a few steps, and what is best then
//! goes on until it rests. Kinetic models have many minima that are not the lowest one, and some parameter is often where it has no
//! effect; so the fit hops on, by random changes of some parameters, as long as that leads lower [WD97]. All of that is done with
//! coarse tolerances; the last steps and every value that is told are those of the tolerances that were asked for.

use std::time::Instant;

use chreode_core::sub_seed;
use chreode_train::{Minimum, StopRule, StoppedBy, minimise_curved, minimise_smooth};
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

use super::multi::{Fit, FitMethod, FitOptions, Until, Watched};
use super::starts::{another, at};
use crate::petab::Objective;
use crate::simulate::Tolerances;

/// So often another start is drawn where the model cannot be run at any of a start's draws.
const MOST_DRAWS: usize = 20;
/// So many of the points go a few steps.
const CANDIDATES: usize = 4;
/// ... and so many steps.
const FEW: usize = 15;
/// Steps of a hop.
const HOP: usize = 25;
/// Tolerances until the last steps, unless coarser ones are asked for.
const COARSE: Tolerances = Tolerances { rtol: 1e-4, atol: 1e-11 };
/// A run with coarse tolerances is given up after so many steps from one stop to the next.
const MOST_STEPS: u64 = 5_000;
/// ... and in the last part of a fit after so many.
const MOST_STEPS_AT_LAST: u64 = 100_000;
/// The best of all fits may take so many times the iterations that the others may, where those did not bring it to rest.
const MORE: usize = 20;
/// When to stop with coarse tolerances.
const COARSE_STOP: StopRule = StopRule { gradient: 1e-3, value: 1e-6, step: 1e-6, iterations: usize::MAX };
/// A decrease by this part of `1 + |value|` is a gain.
const GAIN: f64 = 1e-3;
/// In every second hop each coordinate moves with this probability, by a normal number ...
const MOVES: f64 = 0.5;
/// ... of a size between the first and the second of these, equally likely on a logarithmic scale.
const SIZES: (f64, f64) = (0.2, 2.0);
/// In the others so many coordinates at most are drawn anew.
const REDRAWN: usize = 3;

struct Single<'a> {
    f: Watched<'a>,
    method: FitMethod,
    bounds: (&'a [f64], &'a [f64]),
    /// Iterations and evaluations of all parts together.
    total: Minimum,
    in_time: &'a dyn Fn() -> bool,
}

impl Single<'_> {
    fn minimise(&mut self, start: &[f64], stop: StopRule) -> Minimum {
        let in_time = self.in_time;
        let mut watch = |_: usize, _: f64| in_time();
        let found = if self.method == FitMethod::Lbfgs {
            minimise_smooth(&mut self.f, start, self.bounds, &stop, &mut watch)
        } else {
            minimise_curved(&mut self.f, start, self.bounds, &stop, &mut watch)
        };
        self.total.iterations += found.iterations;
        self.total.values += found.values;
        self.total.gradients += found.gradients;
        found
    }

    /// The best points with their values, the best first; none if the model can be run at no point.
    fn look(&mut self, number: usize, points: &[Vec<f64>], seed: u64) -> Vec<(Vec<f64>, f64)> {
        let (low, high) = self.bounds;
        let mut best: Vec<(Vec<f64>, f64)> = Vec::new();
        let mut again = (0..MOST_DRAWS).filter(|_| number > 0);
        let mut points = points.iter();
        while (self.in_time)() {
            let mut x = match (points.next(), best.is_empty()) {
                (Some(x), _) => x.clone(),
                (None, false) => break,
                (None, true) => match again.next() {
                    Some(k) => another(self.f.objective, number, k, seed),
                    None => break,
                },
            };
            x.iter_mut().zip(low.iter().zip(high)).for_each(|(x, (low, high))| *x = x.clamp(*low, *high));
            self.total.values += 1;
            let value = self.f.objective.value_refined(&mut x, self.bounds, number > 0);
            if let Some(value) = self.f.told(value).filter(|x| x.is_finite()) {
                let place = best.partition_point(|(_, other)| *other <= value);
                best.insert(place, (x, value));
                best.truncate(CANDIDATES);
            }
        }
        best
    }

    /// A point beside another.
    fn hop(&self, x: &[f64], rng: &mut Pcg64) -> Vec<f64> {
        let mut x = x.to_vec();
        if rng.random::<bool>() {
            let size = SIZES.0 * (SIZES.1 / SIZES.0).powf(rng.random());
            for x in &mut x {
                let by: f64 = StandardNormal.sample(rng);
                if rng.random::<f64>() < MOVES {
                    *x += size * by;
                }
            }
        } else {
            for _ in 0..rng.random_range(1..=REDRAWN) {
                let j = rng.random_range(0..x.len());
                x[j] = at(self.f.objective, j, rng.random());
            }
        }
        x
    }
}

/// The fit from the best of these points, all of which are one start.
pub(super) fn single(
    objective: &mut Objective,
    method: FitMethod,
    options: &FitOptions,
    number: usize,
    points: &[Vec<f64>],
    until: Until<'_>,
) -> Fit {
    let started = Instant::now();
    let (low, high) = objective.bounds();
    let in_time = || until.go_on();
    let asked = objective.tolerances();
    let coarse = Tolerances { rtol: asked.rtol.max(COARSE.rtol), atol: asked.atol.max(COARSE.atol) };
    objective.set_tolerances(coarse, Some(MOST_STEPS));
    let total = Minimum {
        // Every start has at least one point.
        x: points[0].clone(),
        value: f64::INFINITY,
        gradient: f64::NAN,
        iterations: 0,
        values: 0,
        gradients: 0,
        stopped: StoppedBy::NotFinite,
    };
    let f = Watched { objective, failure: None };
    let mut s = Single { f, method, bounds: (&low, &high), total, in_time: &in_time };
    let best = s.look(number, points, options.seed);
    let most = |iterations| StopRule { iterations, ..COARSE_STOP };
    let all = options.stop.iterations;
    let (mut start, mut start_value) = (s.total.x.clone(), f64::INFINITY);
    let mut ahead: Option<Minimum> = None;
    for (x, value) in &best {
        let found = s.minimise(x, most(if best.len() > 1 { FEW.min(all) } else { all }));
        if ahead.as_ref().is_none_or(|ahead| found.value < ahead.value) {
            (start, start_value) = (x.clone(), *value);
            ahead = Some(found);
        }
    }
    if let Some(mut ahead) = ahead {
        if best.len() > 1 {
            ahead = s.minimise(&ahead.x, most(all));
        }
        let mut rng = Pcg64::seed_from_u64(sub_seed(options.seed, &format!("hops of start {number}")));
        let mut in_vain = if number > 0 { 0 } else { options.hops };
        while in_vain < options.hops && in_time() {
            let from = s.hop(&ahead.x, &mut rng);
            let found = s.minimise(&from, most(HOP.min(all)));
            in_vain += 1;
            if found.value < ahead.value {
                let gained = ahead.value - found.value > GAIN * (1.0 + found.value.abs());
                ahead = found;
                if gained {
                    in_vain = 0;
                    ahead = s.minimise(&ahead.x, most(all));
                }
            }
        }
        s.f.objective.set_tolerances(asked, Some(MOST_STEPS_AT_LAST));
        let found = s.minimise(&ahead.x, options.stop);
        (s.total.x, s.total.value, s.total.gradient, s.total.stopped) =
            (found.x, found.value, found.gradient, found.stopped);
    } else if !in_time() {
        s.total.stopped = StoppedBy::Watcher;
    }
    s.f.objective.set_tolerances(asked, None);
    let Single { f, total, .. } = s;
    Fit {
        number,
        start,
        start_value,
        minimum: total,
        seconds: started.elapsed().as_secs_f64(),
        failure: f.failure,
    }
}

/// Goes on with a fit that its iterations did not bring to rest: along a curved valley that may take thousands.
pub(super) fn go_on(
    objective: &mut Objective,
    method: FitMethod,
    options: &FitOptions,
    fit: &mut Fit,
    until: Until<'_>,
) {
    let started = Instant::now();
    let (low, high) = objective.bounds();
    let in_time = || until.go_on();
    let asked = objective.tolerances();
    objective.set_tolerances(asked, Some(MOST_STEPS_AT_LAST));
    let (f, total) = (Watched { objective, failure: None }, fit.minimum.clone());
    let mut s = Single { f, method, bounds: (&low, &high), total, in_time: &in_time };
    let stop = StopRule { iterations: options.stop.iterations.saturating_mul(MORE), ..options.stop };
    let found = s.minimise(&fit.minimum.x, stop);
    s.f.objective.set_tolerances(asked, None);
    let Minimum { iterations, values, gradients, .. } = s.total;
    fit.failure = s.f.failure.take().or(fit.failure.take());
    fit.minimum = Minimum { iterations, values, gradients, ..found };
    fit.seconds += started.elapsed().as_secs_f64();
}
