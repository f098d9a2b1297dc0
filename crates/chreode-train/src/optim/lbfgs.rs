//! Limited-memory BFGS within bounds, by projection.
//!
//! The direction comes from the two-loop recursion [Noc80] over the coordinates that may move; the search along it follows the bounds,
//! back until the decrease is sufficient [Ber82]. For functions with many parameters and nothing but a gradient.

use std::collections::VecDeque;

use super::minimise::{Minimum, Smooth, StopRule, StoppedBy, dot, inside, is_free, projected};

/// Pairs of steps and changes of the gradient that are kept.
const MEMORY: usize = 12;
/// Part of the linear decrease that counts as sufficient.
const SUFFICIENT: f64 = 1e-4;
/// Most halvings in one search.
const MOST_TRIALS: usize = 40;

/// Minimises `f` from `start` between the bounds by limited-memory BFGS.
///
/// `watch(iteration, value)` hears of every iteration and may end the run by answering false.
///
/// # Panics
/// If there is not one lower and one upper bound a coordinate, the lower below the upper.
pub fn minimise_smooth(
    f: &mut dyn Smooth,
    start: &[f64],
    bounds: (&[f64], &[f64]),
    stop: &StopRule,
    watch: &mut dyn FnMut(usize, f64) -> bool,
) -> Minimum {
    let n = start.len();
    let (low, high) = bounds;
    let mut x = inside(start, bounds);
    let mut gradient = vec![f64::NAN; n];
    let mut value = f.gradient(&x, &mut gradient);
    let mut found = Minimum {
        x: x.clone(),
        value,
        gradient: f64::NAN,
        iterations: 0,
        values: 0,
        gradients: 1,
        stopped: StoppedBy::NotFinite,
    };
    let finite = |value: f64, gradient: &[f64]| value.is_finite() && gradient.iter().all(|x| x.is_finite());
    if !finite(value, &gradient) {
        return found;
    }
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>)> = VecDeque::new();
    loop {
        found.gradient = projected(&x, &gradient, bounds);
        if found.gradient <= stop.gradient {
            found.stopped = StoppedBy::Gradient;
            break;
        }
        if found.iterations >= stop.iterations {
            found.stopped = StoppedBy::Iterations;
            break;
        }
        if !watch(found.iterations, value) {
            found.stopped = StoppedBy::Watcher;
            break;
        }
        found.iterations += 1;
        let free: Vec<bool> = (0..n).map(|j| is_free(x[j], gradient[j], low[j], high[j])).collect();
        let mut direction = direction(&gradient, &free, &pairs);
        if !(dot(&direction, &gradient) < 0.0) {
            pairs.clear();
            direction = gradient.iter().zip(&free).map(|(g, &free)| if free { -g } else { 0.0 }).collect();
        }
        let size = dot(&direction, &direction).sqrt();
        let mut length = if pairs.is_empty() { (1.0 / size).min(1.0) } else { 1.0 };
        let mut next = None;
        for _ in 0..MOST_TRIALS {
            let trial: Vec<f64> = x.iter().zip(&direction).map(|(x, d)| x + length * d).collect();
            let trial = inside(&trial, bounds);
            let slope: f64 = trial.iter().zip(&x).zip(&gradient).map(|((t, x), g)| (t - x) * g).sum();
            found.values += 1;
            let new = f.value(&trial);
            if new.is_finite() && new <= value + SUFFICIENT * slope && slope < 0.0 {
                next = Some((trial, new));
                break;
            }
            length *= 0.5;
        }
        let Some((trial, new)) = next else {
            if pairs.is_empty() {
                found.stopped = StoppedBy::Step;
                break;
            }
            pairs.clear(); // what was remembered misleads
            continue;
        };
        let before = std::mem::replace(&mut gradient, vec![f64::NAN; n]);
        found.gradients += 1;
        let again = f.gradient(&trial, &mut gradient);
        let step: Vec<f64> = trial.iter().zip(&x).map(|(a, b)| a - b).collect();
        let gained = value - new;
        (x, value) = (trial, new);
        (found.x, found.value) = (x.clone(), value);
        if !finite(again, &gradient) {
            found.gradient = f64::NAN;
            found.stopped = StoppedBy::NotFinite;
            break;
        }
        let change: Vec<f64> = gradient.iter().zip(&before).map(|(a, b)| a - b).collect();
        let (curved, size) = (dot(&step, &change), dot(&step, &step).sqrt());
        if curved > 1e-10 * size * dot(&change, &change).sqrt() {
            if pairs.len() == MEMORY {
                pairs.pop_front();
            }
            pairs.push_back((step, change));
        }
        if gained <= stop.value * (1.0 + value.abs()) {
            found.gradient = projected(&x, &gradient, bounds);
            found.stopped = StoppedBy::Value;
            break;
        }
        if size <= stop.step * (1.0 + dot(&x, &x).sqrt()) {
            found.gradient = projected(&x, &gradient, bounds);
            found.stopped = StoppedBy::Step;
            break;
        }
    }
    found
}

/// The two-loop recursion over the free coordinates.
fn direction(gradient: &[f64], free: &[bool], pairs: &VecDeque<(Vec<f64>, Vec<f64>)>) -> Vec<f64> {
    let only = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).zip(free).filter(|(_, free)| **free).map(|((a, b), _)| a * b).sum()
    };
    let mut q: Vec<f64> = gradient.iter().zip(free).map(|(g, &free)| if free { -g } else { 0.0 }).collect();
    // Pairs that do not curve upward on these coordinates say nothing.
    let useful: Vec<_> = pairs
        .iter()
        .filter_map(|(s, y)| {
            let curved = only(s, y);
            (curved > 0.0).then_some((s, y, curved))
        })
        .collect();
    let mut factors = Vec::new();
    for (s, y, curved) in useful.iter().rev() {
        let factor = only(s, &q) / curved;
        q.iter_mut()
            .zip(y.iter())
            .zip(free)
            .filter(|(_, free)| **free)
            .for_each(|((q, y), _)| *q -= factor * y);
        factors.push(factor);
    }
    if let Some((_, y, curved)) = useful.last() {
        let by = curved / only(y, y);
        q.iter_mut().for_each(|q| *q *= by);
    }
    for ((s, y, curved), factor) in useful.iter().zip(factors.iter().rev()) {
        let by = factor - only(y, &q) / curved;
        q.iter_mut().zip(s.iter()).zip(free).filter(|(_, free)| **free).for_each(|((q, s), _)| *q += by * s);
    }
    q
}
