//! Profile likelihoods: how far a parameter can go while all others are fitted again.
//!
//! From the best fit a parameter walks both ways; at each step the others are fitted by Levenberg-Marquardt from where they were, moved
//! along what the curvature foretells. Steps are chosen so that the objective rises by a fair part of the threshold. The interval ends
//! where the objective is higher than the best by half the quantile of χ² with one degree of freedom [RKM09]; a walk that comes to a
//! bound before is open.

use std::sync::atomic::{AtomicBool, Ordering};

use chreode_train::{Curved, StopRule, minimise_curved};
use rayon::prelude::*;

use super::multi::Watched;
use crate::petab::Objective;

/// What a step should raise the objective by, as a part of the threshold.
const RISE: f64 = 0.25;
/// Steps are at most this part of the distance between the bounds.
const LONGEST: f64 = 0.1;
/// ... and at least this.
const SHORTEST: f64 = 1e-5;

/// What is asked of profiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProfileOptions {
    /// How much the objective may rise: half the quantile of χ² with one degree of freedom.
    pub threshold: f64,
    /// Most steps in each direction.
    pub steps: usize,
    /// When each fit of the other parameters stops.
    pub stop: StopRule,
}

impl Default for ProfileOptions {
    /// 95 %, 50 steps.
    fn default() -> Self {
        Self {
            threshold: 0.5 * 3.841_458_820_694_124,
            steps: 50,
            stop: StopRule { gradient: 1e-3, value: 1e-6, step: 1e-7, iterations: 50 },
        }
    }
}

/// One end of an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// The threshold is crossed here, on the parameter's scale.
    Closed(f64),
    /// The bound is reached, and the threshold not.
    Bound,
    /// The walk was given up here: too many steps, or the model could not be run.
    GivenUp(f64),
}

/// A point of a profile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ProfilePoint {
    /// The parameter, on its scale.
    pub x: f64,
    /// The objective with all others fitted.
    pub value: f64,
}

/// The profile of one parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// Its place among the estimated parameters.
    pub parameter: usize,
    /// The best value, where it started.
    pub best: ProfilePoint,
    /// The points, ascending.
    pub points: Vec<ProfilePoint>,
    /// The ends of the interval.
    pub ends: (End, End),
    /// All parameters at a point that is better than the fit, if the walk met one.
    pub better: Option<(f64, Vec<f64>)>,
}

/// Profiles of these parameters around the best fit `x`. `tell()` hears of every profile that ends, from any thread. Once `cancel` is true
/// profiles that are not finished are left out.
pub fn profile(
    objective: &Objective,
    x: &[f64],
    parameters: &[usize],
    options: &ProfileOptions,
    cancel: &AtomicBool,
    tell: &(dyn Fn() + Sync),
) -> Vec<Profile> {
    let profiles: Vec<Option<Profile>> = parameters
        .par_iter()
        .with_max_len(1)
        .map_init(
            || objective.clone(),
            |objective, &parameter| {
                let profile = of_one(objective, x, parameter, options, cancel)?;
                tell();
                Some(profile)
            },
        )
        .collect();
    profiles.into_iter().flatten().collect()
}

/// One profile; none if it was cancelled.
fn of_one(
    objective: &mut Objective,
    x: &[f64],
    parameter: usize,
    options: &ProfileOptions,
    cancel: &AtomicBool,
) -> Option<Profile> {
    if cancel.load(Ordering::Relaxed) {
        return None;
    }
    let (low, high) = objective.bounds();
    let bounds = (low[parameter], high[parameter]);
    let mut f = Watched { objective, failure: None };
    let value = Curved::value(&mut f, x);
    let n = x.len();
    let mut curvature = vec![0.0; n * n];
    let mut gradient = vec![0.0; n];
    let known = f.model(x, &mut gradient, &mut curvature).is_finite();
    let best = ProfilePoint { x: x[parameter], value };
    let mut better: Option<(f64, Vec<f64>)> = None;
    // The distance at which the curvature alone reaches the threshold, with the others fixed: the true one is longer.
    let bend = curvature[parameter * n + parameter];
    let range = bounds.1 - bounds.0;
    let first =
        if known && bend > 0.0 { (2.0 * RISE * options.threshold / bend).sqrt() } else { 0.01 * range };
    let mut points = vec![best];
    let mut ends = [End::Bound, End::Bound];
    for (side, sign) in [(0, -1.0), (1, 1.0)] {
        let bound = if side == 0 { bounds.0 } else { bounds.1 };
        let mut step = first.clamp(SHORTEST * range, LONGEST * range);
        let (mut at, mut last, mut before) = (x.to_vec(), best, None::<Vec<f64>>);
        let mut taken = 0;
        let mut end = End::Bound;
        while last.x != bound {
            if taken == options.steps {
                end = End::GivenUp(last.x);
                break;
            }
            let mut to = last.x + sign * step;
            if sign * (bound - to) <= 0.0 {
                to = bound;
            }
            // The others go on as they went.
            let mut guess = at.clone();
            if let Some(before) = &before {
                let moved = at[parameter] - before[parameter];
                if moved != 0.0 {
                    let along = (to - last.x) / moved;
                    guess.iter_mut().zip(&at).zip(before).for_each(|((g, a), b)| *g += along * (a - b));
                }
            }
            let found = refit(&mut f, &guess, &at, parameter, to, (&low, &high), options, cancel);
            if cancel.load(Ordering::Relaxed) {
                return None;
            }
            taken += 1;
            let rise = found.value - last.value;
            if !found.value.is_finite() || rise > 2.0 * options.threshold && step > 2.0 * SHORTEST * range {
                if step <= SHORTEST * range {
                    end = End::GivenUp(last.x);
                    break;
                }
                step = (0.25 * step).max(SHORTEST * range);
                continue;
            }
            let point = ProfilePoint { x: to, value: found.value };
            points.push(point);
            if found.value < value - 1e-3 && better.as_ref().is_none_or(|(v, _)| found.value < *v) {
                better = Some((found.value, found.x.clone()));
            }
            if found.value - value >= options.threshold {
                end = End::Closed(crossing(&points, best, sign, value + options.threshold));
                break;
            }
            before = Some(std::mem::replace(&mut at, found.x));
            last = point;
            let factor = if rise > 0.0 { (RISE * options.threshold / rise).sqrt() } else { 2.0 };
            step = (step * factor.clamp(0.3, 2.0)).clamp(SHORTEST * range, LONGEST * range);
        }
        ends[side] = end;
    }
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    Some(Profile { parameter, best, points, ends: (ends[0], ends[1]), better })
}

/// Where a profile crosses a level: linear in the root of the rise over the best value, which is nearly straight.
fn crossing(points: &[ProfilePoint], best: ProfilePoint, sign: f64, level: f64) -> f64 {
    let own: Vec<&ProfilePoint> = points.iter().filter(|p| sign * (p.x - best.x) >= 0.0).collect();
    let [.., a, b] = own[..] else { return best.x };
    let root = |value: f64| (value - best.value).max(0.0).sqrt();
    let (from, to) = (root(a.value), root(b.value));
    if to > from { a.x + (b.x - a.x) * (root(level) - from) / (to - from) } else { b.x }
}

/// Fits all but one parameter.
fn refit(
    f: &mut Watched<'_>,
    guess: &[f64],
    at: &[f64],
    parameter: usize,
    to: f64,
    (low, high): (&[f64], &[f64]),
    options: &ProfileOptions,
    cancel: &AtomicBool,
) -> chreode_train::Minimum {
    let (mut low, mut high) = (low.to_vec(), high.to_vec());
    (low[parameter], high[parameter]) = (to, to);
    let bounds = (&low[..], &high[..]);
    let mut watch = |_: usize, _: f64| !cancel.load(Ordering::Relaxed);
    let found = minimise_curved(f, guess, bounds, &options.stop, &mut watch);
    if found.value.is_finite() {
        return found;
    }
    minimise_curved(f, at, bounds, &options.stop, &mut watch)
}
