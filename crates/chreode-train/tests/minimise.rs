//! Minimisers on problems whose minima are known.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use chreode_train::{Curved, Minimum, Smooth, StopRule, StoppedBy, minimise_curved, minimise_smooth};

/// Residuals and their derivatives: everything else follows.
trait Residuals {
    /// Residuals and their Jacobian, row by row; none where they cannot be computed.
    fn at(&self, x: &[f64]) -> Option<(Vec<f64>, Vec<f64>)>;
}

struct Squares<R>(R);

impl<R: Residuals> Squares<R> {
    fn sum(&self, x: &[f64]) -> f64 {
        self.0.at(x).map_or(f64::INFINITY, |(r, _)| 0.5 * r.iter().map(|r| r * r).sum::<f64>())
    }
    fn slope(&self, x: &[f64], gradient: &mut [f64]) -> f64 {
        let Some((r, j)) = self.0.at(x) else { return f64::INFINITY };
        gradient.fill(0.0);
        for (r, row) in r.iter().zip(j.chunks_exact(x.len())) {
            gradient.iter_mut().zip(row).for_each(|(g, j)| *g += r * j);
        }
        self.sum(x)
    }
}

impl<R: Residuals> Smooth for Squares<R> {
    fn value(&mut self, x: &[f64]) -> f64 {
        self.sum(x)
    }
    fn gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> f64 {
        self.slope(x, gradient)
    }
}

impl<R: Residuals> Curved for Squares<R> {
    fn value(&mut self, x: &[f64]) -> f64 {
        self.sum(x)
    }
    fn model(&mut self, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 {
        let Some((_, j)) = self.0.at(x) else { return f64::INFINITY };
        let n = x.len();
        curvature.fill(0.0);
        for row in j.chunks_exact(n) {
            for a in 0..n {
                for b in 0..n {
                    curvature[a * n + b] += row[a] * row[b];
                }
            }
        }
        self.slope(x, gradient)
    }
}

/// Rosenbrock's valley, a minimum of zero at (1, 1).
struct Rosenbrock;
impl Residuals for Rosenbrock {
    fn at(&self, x: &[f64]) -> Option<(Vec<f64>, Vec<f64>)> {
        Some((vec![10.0 * (x[1] - x[0] * x[0]), 1.0 - x[0]], vec![-20.0 * x[0], 10.0, -1.0, 0.0]))
    }
}

/// Two exponentials at 40 times: ill-conditioned, as kinetic models are. Undefined for a large first rate.
struct Exponentials(Vec<f64>);
impl Exponentials {
    fn new() -> Self {
        Self((0..40).map(|i| 2.0 * (-0.1 * f64::from(i)).exp() + (-0.02 * f64::from(i)).exp()).collect())
    }
}
impl Residuals for Exponentials {
    fn at(&self, x: &[f64]) -> Option<(Vec<f64>, Vec<f64>)> {
        if x[1] > 1.0 {
            return None;
        }
        // Parameters on a decimal logarithm.
        let p: Vec<f64> = x.iter().map(|x| 10_f64.powf(*x)).collect();
        let (mut r, mut j) = (Vec::new(), Vec::new());
        for (i, data) in self.0.iter().enumerate() {
            let t = i as f64;
            let (a, b) = (p[0] * (-p[1] * t).exp(), p[2] * (-p[3] * t).exp());
            r.push(a + b - data);
            j.extend([a, -a * p[1] * t, b, -b * p[3] * t].map(|x| x * std::f64::consts::LN_10));
        }
        Some((r, j))
    }
}

fn both<R: Residuals>(
    make: impl Fn() -> R,
    start: &[f64],
    low: &[f64],
    high: &[f64],
    stop: &StopRule,
) -> [Minimum; 2] {
    let found = [
        minimise_curved(&mut Squares(make()), start, (low, high), stop, &mut |_, _| true),
        minimise_smooth(&mut Squares(make()), start, (low, high), stop, &mut |_, _| true),
    ];
    for x in &found {
        println!("{x:?}");
        assert!(x.x.iter().zip(low.iter().zip(high)).all(|(x, (low, high))| low <= x && x <= high));
    }
    found
}

const EXACT: StopRule = StopRule { gradient: 1e-9, value: 1e-16, step: 1e-14, iterations: 500 };

#[test]
fn rosenbrocks_valley_has_its_end_at_one() {
    for found in both(|| Rosenbrock, &[-1.2, 1.0], &[-5.0; 2], &[5.0; 2], &EXACT) {
        assert!(found.x.iter().all(|x| (x - 1.0).abs() < 1e-6), "{found:?}");
        assert!(found.iterations < 100);
    }
}

#[test]
fn bounds_hold_where_the_minimum_lies_beyond() {
    // With x₀ <= 0.5 the best is on the bound, and x₁ = x₀².
    for found in both(|| Rosenbrock, &[-1.2, 1.0], &[-5.0; 2], &[0.5, 5.0], &EXACT) {
        assert_eq!(found.x[0], 0.5);
        assert!((found.x[1] - 0.25).abs() < 1e-7, "{found:?}");
        assert!((found.value - 0.125).abs() < 1e-12);
    }
    // Both on their bounds.
    for found in both(|| Rosenbrock, &[3.0, 4.0], &[2.0, -5.0], &[5.0, 3.0], &EXACT) {
        assert_eq!(found.x, [2.0, 3.0]);
        assert_eq!(found.stopped, StoppedBy::Gradient);
    }
}

#[test]
fn exponentials_are_told_apart() {
    let truth = [2_f64.log10(), -1.0, 0.0, 0.02_f64.log10()];
    let [curved, smooth] = both(
        Exponentials::new,
        &[1.0, 0.9, -1.0, -3.0],
        &[-5.0; 4],
        &[3.0; 4],
        &StopRule { iterations: 5000, ..EXACT },
    );
    let matches = |x: &[f64]| {
        let swapped = [x[2], x[3], x[0], x[1]];
        x.iter().zip(truth).all(|(a, b)| (a - b).abs() < 1e-4)
            || swapped.iter().zip(truth).all(|(a, b)| (a - b).abs() < 1e-4)
    };
    assert!(matches(&curved.x) && curved.iterations < 100, "{curved:?}");
    assert!(smooth.value < 1e-6, "{smooth:?}");
    // Fewer evaluations where the curvature is known.
    assert!(curved.gradients < smooth.gradients);
}

/// A parabola whose derivatives cannot be computed beyond 3.8: its first step would lead there.
struct Cut;
impl Curved for Cut {
    fn value(&mut self, x: &[f64]) -> f64 {
        (x[0] - 3.5).powi(2)
    }
    fn model(&mut self, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 {
        if x[0] > 3.8 {
            return f64::INFINITY;
        }
        (gradient[0], curvature[0]) = (2.0 * (x[0] - 3.5), 0.5);
        Curved::value(self, x)
    }
}

#[test]
fn steps_to_where_derivatives_fail_are_taken_back() {
    let found = minimise_curved(&mut Cut, &[2.9], (&[0.0], &[10.0]), &EXACT, &mut |_, _| true);
    assert!((found.x[0] - 3.5).abs() < 1e-6, "{found:?}");
}

#[test]
fn what_cannot_be_computed_is_said() {
    for found in both(Exponentials::new, &[0.0, 2.0, 0.0, -1.0], &[-5.0; 4], &[3.0; 4], &EXACT) {
        assert_eq!((found.stopped, found.value), (StoppedBy::NotFinite, f64::INFINITY));
    }
    let mut heard = 0;
    let found = minimise_curved(
        &mut Squares(Rosenbrock),
        &[-1.2, 1.0],
        (&[-5.0; 2], &[5.0; 2]),
        &EXACT,
        &mut |i, _| {
            heard += 1;
            i < 3
        },
    );
    assert_eq!((found.stopped, found.iterations, heard), (StoppedBy::Watcher, 3, 4));
    let few = StopRule { iterations: 2, ..EXACT };
    for found in both(|| Rosenbrock, &[-1.2, 1.0], &[-5.0; 2], &[5.0; 2], &few) {
        assert_eq!((found.stopped, found.iterations), (StoppedBy::Iterations, 2));
    }
}

/// The valley with its second coordinate on its floor wherever a value is asked for.
struct Floor(Squares<Rosenbrock>);
impl Curved for Floor {
    fn value(&mut self, x: &[f64]) -> f64 {
        Curved::value(&mut self.0, x)
    }
    fn settle(&mut self, x: &mut [f64], (low, high): (&[f64], &[f64])) -> f64 {
        x[1] = (x[0] * x[0]).clamp(low[1], high[1]);
        self.value(x)
    }
    fn model(&mut self, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64 {
        self.0.model(x, gradient, curvature)
    }
}

#[test]
fn points_that_are_settled_lead_down_at_once() {
    let bounds = (&[-5.0; 2][..], &[5.0; 2][..]);
    let found = minimise_curved(
        &mut Floor(Squares(Rosenbrock)),
        &[-1.2, 1.0],
        bounds,
        &StopRule::default(),
        &mut |_, _| true,
    );
    assert!((found.x[0] - 1.0).abs() < 1e-6 && (found.x[1] - 1.0).abs() < 1e-6, "{found:?}");
    let plain =
        minimise_curved(&mut Squares(Rosenbrock), &[-1.2, 1.0], bounds, &StopRule::default(), &mut |_, _| {
            true
        });
    assert!(found.iterations < plain.iterations, "{} {}", found.iterations, plain.iterations);
}
