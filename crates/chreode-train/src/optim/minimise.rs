//! What the minimisers of a smooth function within bounds share: the function, when to stop, what comes out.

/// A function to minimise. Where it cannot be computed its value is infinite (or not a number), and minimisers step back.
pub trait Smooth {
    /// Its value.
    fn value(&mut self, x: &[f64]) -> f64;

    /// Sets `gradient`, `[n]`, and returns the value.
    fn gradient(&mut self, x: &[f64], gradient: &mut [f64]) -> f64;
}

/// A function with a positive semidefinite approximation of its second derivatives: Gauss-Newton's of a sum of squares, or Fisher's
/// information of a likelihood.
pub trait Curved {
    /// Its value.
    fn value(&mut self, x: &[f64]) -> f64;

    /// The value where `x` is moved to, between the bounds: functions whose value is little work once it is known nearby, such as those
    /// that are easily minimised over some of their arguments, move it to where they are smaller.
    fn settle(&mut self, x: &mut [f64], bounds: (&[f64], &[f64])) -> f64 {
        let _ = bounds;
        self.value(x)
    }

    /// Sets `gradient`, `[n]`, and `curvature`, `[n, n]`, and returns the value.
    fn model(&mut self, x: &[f64], gradient: &mut [f64], curvature: &mut [f64]) -> f64;
}

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StopRule {
    /// Largest component of the gradient, projected on the bounds: below it, `x` is stationary.
    pub gradient: f64,
    /// Decrease of the value in a step, relative to `1 + |value|`: below it, nothing is left to gain.
    pub value: f64,
    /// Length of a step, relative to `1 + |x|`.
    pub step: f64,
    /// Most iterations, steps that were not taken included.
    pub iterations: usize,
}

impl Default for StopRule {
    /// `1e-6`, `1e-9`, `1e-9`, 1000.
    fn default() -> Self {
        Self { gradient: 1e-6, value: 1e-9, step: 1e-9, iterations: 1000 }
    }
}

/// Why a minimiser stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoppedBy {
    /// The projected gradient is small.
    Gradient,
    /// The value decreases no more.
    Value,
    /// Steps are short.
    Step,
    /// There were as many iterations as were allowed.
    Iterations,
    /// Whoever watched said so.
    Watcher,
    /// The function or its derivatives are not finite at the start, or (without a curvature) its derivatives at a later point.
    NotFinite,
}

/// What a minimiser found.
#[derive(Debug, Clone, PartialEq)]
pub struct Minimum {
    /// The best point.
    pub x: Vec<f64>,
    /// The value there.
    pub value: f64,
    /// Largest component of the projected gradient there; not a number if it was never computed.
    pub gradient: f64,
    /// Iterations.
    pub iterations: usize,
    /// Evaluations of the value alone.
    pub values: usize,
    /// Evaluations with derivatives.
    pub gradients: usize,
    /// Why it stopped.
    pub stopped: StoppedBy,
}

/// The largest component of a step along the gradient that bounds leave of it.
pub(super) fn projected(x: &[f64], gradient: &[f64], (low, high): (&[f64], &[f64])) -> f64 {
    let mut largest = 0.0_f64;
    for j in 0..x.len() {
        largest = largest.max((x[j] - (x[j] - gradient[j]).clamp(low[j], high[j])).abs());
    }
    largest
}

/// Whether a coordinate may move: it is not at a bound over which the gradient would carry it.
pub(super) fn is_free(x: f64, gradient: f64, low: f64, high: f64) -> bool {
    !(x <= low && gradient > 0.0 || x >= high && gradient < 0.0)
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Puts a point between the bounds.
///
/// # Panics
/// If lengths differ, or a lower bound lies above the upper one.
pub(super) fn inside(x: &[f64], (low, high): (&[f64], &[f64])) -> Vec<f64> {
    assert!(x.len() == low.len() && x.len() == high.len(), "one lower and one upper bound a coordinate");
    x.iter().zip(low.iter().zip(high)).map(|(x, (low, high))| x.clamp(*low, *high)).collect()
}
