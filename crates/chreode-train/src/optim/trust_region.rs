//! Levenberg and Marquardt's method in its trust-region form, within bounds.
//!
//! A step minimises the quadratic model in a ball: exactly, by the curvature's eigenvectors [MS83]. Coordinates that it would carry over
//! a bound are put on it, and the rest is solved again. Sources: [Mor78], [MS83], [FS22] (what serves kinetic models best).

use chreode_linalg::symmetric_eigen;

use super::minimise::{Curved, Minimum, StopRule, StoppedBy, dot, inside, is_free, projected};

/// Radius of the first ball.
const FIRST_RADIUS: f64 = 1.0;
/// A step whose decrease is less than this part of what the model predicts is not taken.
const LEAST_AGREEMENT: f64 = 1e-4;
/// A small gradient ends the run if the model promises less than this many of the smallest decreases that count.
const PLATEAU: f64 = 1e3;
/// Eigenvalues below this part of the largest one count as this: along them the model knows nothing.
const FLAT: f64 = 1e-13;

/// Minimises `f` from `start` between the bounds, with steps of Levenberg and Marquardt.
///
/// `watch(iteration, value)` hears of every iteration and may end the run by answering false.
///
/// ```
/// use chreode_train::{Curved, StopRule, minimise_curved};
/// /// A line through three points, y = a + b t: sums of squares have a curvature of their own.
/// struct Line;
/// impl Curved for Line {
///     fn value(&mut self, x: &[f64]) -> f64 {
///         [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)].iter().map(|(t, y)| 0.5 * (x[0] + x[1] * t - y).powi(2)).sum()
///     }
///     fn model(&mut self, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 {
///         gradient.fill(0.0);
///         curvature.copy_from_slice(&[3.0, 3.0, 3.0, 5.0]);
///         for (t, y) in [(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)] {
///             let r = x[0] + x[1] * t - y;
///             (gradient[0], gradient[1]) = (gradient[0] + r, gradient[1] + r * t);
///         }
///         self.value(x)
///     }
/// }
/// let found = minimise_curved(&mut Line, &[0.0, 0.0], (&[-10.0; 2], &[10.0; 2]), &StopRule::default(), &mut |_, _| true);
/// assert!((found.x[0] - 1.0).abs() < 1e-9 && (found.x[1] - 2.0).abs() < 1e-9);
/// ```
///
/// # Panics
/// If there is not one lower and one upper bound a coordinate, the lower below the upper.
pub fn minimise_curved(
    f: &mut dyn Curved,
    start: &[f64],
    bounds: (&[f64], &[f64]),
    stop: &StopRule,
    watch: &mut dyn FnMut(usize, f64) -> bool,
) -> Minimum {
    let n = start.len();
    let mut x = inside(start, bounds);
    let mut value = f.settle(&mut x, bounds);
    let (mut gradient, mut curvature) = (vec![f64::NAN; n], vec![0.0; n * n]);
    let mut found = Minimum {
        x: x.clone(),
        value,
        gradient: f64::NAN,
        iterations: 0,
        values: 1,
        gradients: 0,
        stopped: StoppedBy::NotFinite,
    };
    if !value.is_finite() {
        return found;
    }
    let mut radius = FIRST_RADIUS;
    let mut moved = true;
    // The point before with its derivatives, to go back to.
    let mut last: Option<(Vec<f64>, f64, Vec<f64>, Vec<f64>)> = None;
    loop {
        if moved {
            found.gradients += 1;
            let again = f.model(&x, &mut gradient, &mut curvature);
            let finite = |x: &[f64]| x.iter().all(|x| x.is_finite());
            if !(again.is_finite() && finite(&gradient) && finite(&curvature)) {
                let Some(before) = last.take() else {
                    found.stopped = StoppedBy::NotFinite;
                    break;
                };
                let away = x.iter().zip(&before.0).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                (x, value, gradient, curvature) = before;
                (found.x, found.value) = (x.clone(), value);
                radius = 0.25 * away;
            }
            found.gradient = projected(&x, &gradient, bounds);
            // On a plateau the gradient is small, and so is the curvature: what the model promises far away is not.
            if found.gradient <= stop.gradient {
                let (_, promised) = bounded_step(&x, &gradient, &curvature, bounds, f64::INFINITY);
                if promised <= PLATEAU * stop.value * (1.0 + value.abs()) {
                    found.stopped = StoppedBy::Gradient;
                    break;
                }
            }
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
        let (step, predicted) = bounded_step(&x, &gradient, &curvature, bounds, radius);
        let length = dot(&step, &step).sqrt();
        if !(predicted > 0.0) || length <= stop.step * (1.0 + dot(&x, &x).sqrt()) {
            found.stopped = StoppedBy::Step;
            break;
        }
        let trial: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x + s).collect();
        let mut trial = inside(&trial, bounds);
        found.values += 1;
        let new = f.settle(&mut trial, bounds);
        let agreement = (value - new) / predicted;
        let cut = length > 0.8 * radius;
        if !(agreement >= 0.25) {
            radius = 0.25 * length;
        } else if agreement > 0.75 && cut {
            radius *= 2.0;
        }
        moved = new.is_finite() && agreement > LEAST_AGREEMENT;
        if moved {
            let gained = value - new;
            last = Some((x, value, gradient.clone(), curvature.clone()));
            (x, value) = (trial, new);
            (found.x, found.value) = (x.clone(), value);
            // Steps that the ball cuts short grow, and may yet gain.
            if !cut
                && gained <= stop.value * (1.0 + value.abs())
                && predicted <= 10.0 * stop.value * (1.0 + value.abs())
            {
                found.stopped = StoppedBy::Value;
                break;
            }
        } else if predicted <= stop.value * (1.0 + value.abs()) {
            // What the model promises is lost in what values are uncertain by.
            found.stopped = StoppedBy::Value;
            break;
        }
    }
    found
}

/// The step in the ball and between the bounds, and the decrease that the model predicts for it.
fn bounded_step(
    x: &[f64],
    gradient: &[f64],
    curvature: &[f64],
    (low, high): (&[f64], &[f64]),
    radius: f64,
) -> (Vec<f64>, f64) {
    let n = x.len();
    let mut free: Vec<usize> = (0..n).filter(|&j| is_free(x[j], gradient[j], low[j], high[j])).collect();
    let first_free = free.clone();
    let mut step = vec![0.0; n];
    while !free.is_empty() {
        // What is fixed has moved, and leaves less room to the rest.
        let left: f64 = (0..n).filter(|j| !free.contains(j)).map(|j| step[j] * step[j]).sum();
        let room = (radius * radius - left).max(0.0).sqrt();
        let g: Vec<f64> = free
            .iter()
            .map(|&j| {
                let fixed = (0..n).filter(|k| step[*k] != 0.0 && !free.contains(k));
                gradient[j] + fixed.map(|k| curvature[j * n + k] * step[k]).sum::<f64>()
            })
            .collect();
        let h: Vec<f64> =
            free.iter().flat_map(|&j| free.iter().map(move |&k| curvature[j * n + k])).collect();
        let Some(s) = in_ball(&g, &h, room) else { break };
        let mut over = false;
        free = free
            .iter()
            .zip(&s)
            .filter_map(|(&j, &s)| {
                let to = x[j] + s;
                if to < low[j] || to > high[j] {
                    step[j] = to.clamp(low[j], high[j]) - x[j];
                    over = true;
                    None
                } else {
                    Some(j)
                }
            })
            .collect();
        if !over {
            free.iter().zip(&s).for_each(|(&j, &s)| step[j] = s);
            break;
        }
    }
    let predicted = predict(gradient, curvature, &step);
    if predicted > 0.0 {
        return (step, predicted);
    }
    // Down the gradient, along the bounds.
    let steepest = first_free.iter().map(|&j| gradient[j] * gradient[j]).sum::<f64>().sqrt();
    let mut length = radius / steepest.max(f64::MIN_POSITIVE);
    for _ in 0..60 {
        let mut step = vec![0.0; n];
        for &j in &first_free {
            step[j] = (x[j] - length * gradient[j]).clamp(low[j], high[j]) - x[j];
        }
        let predicted = predict(gradient, curvature, &step);
        if predicted > 0.0 {
            return (step, predicted);
        }
        length *= 0.5;
    }
    (vec![0.0; n], 0.0)
}

/// The decrease of the quadratic model.
fn predict(gradient: &[f64], curvature: &[f64], step: &[f64]) -> f64 {
    let bent: f64 =
        curvature.chunks_exact(step.len().max(1)).zip(step).map(|(row, s)| s * dot(row, step)).sum();
    -(dot(gradient, step) + 0.5 * bent)
}

/// The minimum of a quadratic model in a ball; none if its eigenvectors cannot be found.
fn in_ball(g: &[f64], h: &[f64], radius: f64) -> Option<Vec<f64>> {
    let n = g.len();
    let eigen = symmetric_eigen(h, n).ok()?;
    let largest = eigen.values.iter().fold(0.0_f64, |a, x| a.max(x.abs())).max(f64::MIN_POSITIVE);
    let values: Vec<f64> = eigen.values.iter().map(|x| x.max(FLAT * largest)).collect();
    let along: Vec<f64> = (0..n).map(|k| (0..n).map(|i| eigen.vectors[i * n + k] * g[i]).sum()).collect();
    let length =
        |lambda: f64| along.iter().zip(&values).map(|(a, e)| (a / (e + lambda)).powi(2)).sum::<f64>().sqrt();
    let mut lambda = 0.0;
    if length(0.0) > radius {
        if radius <= 0.0 {
            return Some(vec![0.0; n]);
        }
        // The length falls with λ: halve the interval, on a logarithmic scale.
        let mut high = dot(g, g).sqrt() / radius;
        let mut low = high * 1e-20;
        for _ in 0..80 {
            let middle = (low * high).sqrt();
            if length(middle) > radius {
                low = middle;
            } else {
                high = middle;
            }
        }
        lambda = high;
    }
    let mut step = vec![0.0; n];
    for k in 0..n {
        let by = -along[k] / (values[k] + lambda);
        (0..n).for_each(|i| step[i] += by * eigen.vectors[i * n + k]);
    }
    Some(step)
}
