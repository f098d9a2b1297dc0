//! Debiased Sinkhorn divergence between weighted clouds.
//!
//! `S(α, β) = OT(α, β) - OT(α, α) / 2 - OT(β, β) / 2` with entropic optimal transport of cost `|x - y|²/2` or
//! `|x - y|` at `ε = blur^p`, balanced. Differentiable, zero if and only if the clouds agree; between the
//! Wasserstein distance (blur to 0) and a kernel distance (large blur).
//! The gradient is the envelope theorem's, exact for converged potentials. Stopping early biases it and
//! shrinks learned noise: hence a tolerance on the marginals instead of a number of iterations.
//! It compares the two clouds as they are, not samples of distributions: a point has no pair with itself to leave
//! out, and where several paths start at one cell nothing changes but that the cloud is less varied.
//! References: [FSVATP19] Feydy et al. (2019), AISTATS, PMLR 89, 2681-2690.

use super::cloud::{Cloud, CloudBar, Weights, check_finite, normalise_log_weights_vjp};
use super::error::{LossError, check_len};
use super::pairwise::Columns;
use super::transport::{Side, Transport};
use chreode_core::Real;
use serde::{Deserialize, Serialize};

/// What moving one unit of mass costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// `|x - y|² / 2` (p = 2).
    #[default]
    HalfSquare,
    /// `|x - y|` (p = 1), smooth at zero.
    Distance,
}

impl Cost {
    pub(crate) fn of_distance(self, r: f64) -> f64 {
        match self {
            Self::HalfSquare => r * r / 2.0,
            Self::Distance => r,
        }
    }

    /// `r^p`.
    pub(crate) fn power(self, r: f64) -> f64 {
        match self {
            Self::HalfSquare => r * r,
            Self::Distance => r,
        }
    }
}

/// Settings of a [`SinkhornDivergence`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkhornConfig {
    /// The cost.
    pub cost: Cost,
    /// Length below which details are blurred, in units of the coordinates: `ε = blur^p`.
    pub blur: f64,
    /// Iterations stop when the marginals are off by less than this in total (L1; the mass is one).
    pub tolerance: f64,
    /// Iterations stop here in any case, those of the annealing counted; the report then says what error was left.
    pub max_iterations: usize,
    /// Factor of the blur from one level of the annealing to the next, in (0, 1).
    pub scaling: f64,
    /// Costs and kernel are kept if they need less than this; otherwise they are recomputed in every iteration.
    pub memory_mib: usize,
}

impl Default for SinkhornConfig {
    /// `|x - y|²/2`, blur 0.05, tolerance 1e-3, at most 5000 iterations, scaling 0.5, 512 MiB.
    fn default() -> Self {
        Self {
            cost: Cost::HalfSquare,
            blur: 0.05,
            tolerance: 1e-3,
            max_iterations: 5000,
            scaling: 0.5,
            memory_mib: 512,
        }
    }
}

impl SinkhornConfig {
    pub(crate) fn epsilon(&self) -> f64 {
        self.cost.power(self.blur)
    }

    fn check(&self) -> Result<(), LossError> {
        let above = |name, value: f64| {
            if value > 0.0 && value.is_finite() {
                return Ok(());
            }
            Err(LossError::Setting { name, value, rule: "must be finite and above zero" })
        };
        above("blur", self.blur)?;
        above("tolerance", self.tolerance)?;
        above("max_iterations", self.max_iterations as f64)?;
        if !(self.scaling > 0.0 && self.scaling < 1.0) {
            let rule = "must lie between 0 and 1";
            return Err(LossError::Setting { name: "scaling", value: self.scaling, rule });
        }
        Ok(())
    }
}

/// The divergence and how well its three transport problems converged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SinkhornReport {
    /// The divergence.
    pub value: f64,
    /// The largest L1 error of a marginal that was left.
    pub marginal_error: f64,
    /// The most iterations that one of the three problems took.
    pub iterations: usize,
}

/// Sinkhorn divergence with its work space: call it with clouds of any size.
#[derive(Debug, Clone)]
pub struct SinkhornDivergence<T> {
    d: usize,
    config: SinkhornConfig,
    weights: Weights<T>,
    x_columns: Columns<T>,
    y_columns: Columns<T>,
    transport: Transport<T>,
    potential: Vec<T>,
}

impl<T: Real> SinkhornDivergence<T> {
    /// For points of `d >= 1` coordinates.
    ///
    /// # Errors
    /// [`LossError::Setting`] if `d` is zero or a setting is out of its range.
    pub fn new(d: usize, config: SinkhornConfig) -> Result<Self, LossError> {
        if d == 0 {
            return Err(LossError::Setting { name: "d", value: 0.0, rule: "must be at least 1" });
        }
        config.check()?;
        Ok(Self {
            d,
            config,
            weights: Weights::default(),
            x_columns: Columns::default(),
            y_columns: Columns::default(),
            transport: Transport::default(),
            potential: Vec::new(),
        })
    }

    /// The divergence between `x` and `y`; sets `x_bar` to its gradient if one is given.
    ///
    /// Cost `O((n + m)² (d + iterations))`; memory `O(n m)` or, above the budget, `O(32 (n + m))`.
    ///
    /// # Errors
    /// [`LossError::Length`] if a shape does not fit, [`LossError::NonFinite`] naming the first bad row.
    pub fn evaluate(
        &mut self,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
        x_bar: Option<CloudBar<'_, T>>,
    ) -> Result<SinkhornReport, LossError> {
        // One entry into the thread pool for all iterations.
        rayon::scope(|_| self.evaluate_in_pool(x, y, x_bar))
    }

    fn evaluate_in_pool(
        &mut self,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
        x_bar: Option<CloudBar<'_, T>>,
    ) -> Result<SinkhornReport, LossError> {
        let d = self.d;
        let (n, _) = self.weights.set(d, x, y)?;
        let CloudBar { states: bar, log_weights: weight_bar } =
            x_bar.unwrap_or(CloudBar { states: &mut [], log_weights: &mut [] });
        if !bar.is_empty() {
            check_len("gradient to the states", bar.len(), n * d)?;
        }
        if !weight_bar.is_empty() {
            check_len("gradient to the log-weights", weight_bar.len(), n)?;
        }
        check_finite(0.0, d, x.states, y.states, x.states)?;
        check_finite(0.0, d, x.states, y.states, y.states)?;
        let diameter = diameter(d, x.states, y.states);
        self.x_columns.set(x.states, d);
        self.y_columns.set(y.states, d);
        let (a, b) = (&self.weights.a, &self.weights.b);
        let xs = Side { states: x.states, weights: a, columns: &self.x_columns };
        let ys = Side { states: y.states, weights: b, columns: &self.y_columns };
        let (transport, config) = (&mut self.transport, &self.config);
        bar.fill(T::ZERO);

        let cross = transport.solve(config, xs, Some(ys), diameter)?;
        transport.finish(config, xs, Some(ys), 1.0, bar);
        self.potential.clear();
        self.potential.extend_from_slice(&transport.f);
        let mut value = total(a, &transport.f) + total(b, &transport.g);

        let own_x = transport.solve(config, xs, None, diameter)?;
        transport.finish(config, xs, None, -1.0, bar);
        value -= total(a, &transport.f);
        for (p, &f) in self.potential.iter_mut().zip(&transport.f) {
            *p -= f;
        }

        let own_y = transport.solve(config, ys, None, diameter)?;
        transport.finish(config, ys, None, 0.0, &mut []);
        value -= total(b, &transport.f);

        if !weight_bar.is_empty() {
            weight_bar.copy_from_slice(&self.potential);
            normalise_log_weights_vjp(a, weight_bar);
        }
        check_finite(value, d, x.states, y.states, bar)?;
        let all = [cross, own_x, own_y];
        Ok(SinkhornReport {
            value,
            marginal_error: all.iter().fold(0.0, |e, c| c.error.max(e)),
            iterations: all.iter().map(|c| c.iterations).max().unwrap_or(0),
        })
    }
}

fn total<T: Real>(a: &[T], f: &[T]) -> f64 {
    a.iter().zip(f).map(|(a, f)| if *a == T::ZERO { 0.0 } else { a.f64() * f.f64() }).sum()
}

/// Diagonal of the box around both clouds.
fn diameter<T: Real>(d: usize, x: &[T], y: &[T]) -> f64 {
    let mut square = 0.0;
    for k in 0..d {
        let (mut lo, mut hi) = (f64::INFINITY, f64::NEG_INFINITY);
        for v in x[k..].iter().step_by(d).chain(y[k..].iter().step_by(d)) {
            lo = lo.min(v.f64());
            hi = hi.max(v.f64());
        }
        square += (hi - lo) * (hi - lo);
    }
    square.sqrt()
}
