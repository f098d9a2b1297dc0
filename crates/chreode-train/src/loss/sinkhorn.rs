//! Debiased Sinkhorn divergence between weighted clouds.
//!
//! `S(α, β) = OT(α, β) - OT(α, α) / 2 - OT(β, β) / 2` with entropic optimal transport of cost `|x - y|²/2` or
//! `|x - y|` at `ε = blur^p`, balanced, or with a penalty on the marginals (`reach`). Differentiable; balanced, it is zero if and
//! only if the clouds agree. It lies between the
//! Wasserstein distance (blur to 0) and a kernel distance (large blur).
//! The gradient is the envelope theorem's, exact for converged potentials. Stopping early biases it and
//! shrinks learned noise: hence a tolerance on the marginals instead of a number of iterations.
//! It compares the two clouds as they are, not samples of distributions: a point has no pair with itself to leave
//! out, and where several paths start at one cell nothing changes but that the cloud is less varied.
//! References: [FSVATP19] Feydy et al. (2019), AISTATS, PMLR 89, 2681-2690.

use super::cloud::{Cloud, CloudBar, Weights, check_finite, normalise_log_weights_vjp};
use super::energy::centre;
use super::error::{LossError, check_len};
use super::transport::{DELTA, Problem, Side, Transport};
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
    /// Of two points at squared distance `r2`.
    pub(crate) fn of_square(self, r2: f64) -> f64 {
        match self {
            Self::HalfSquare => r2 / 2.0,
            Self::Distance => (r2 + DELTA * DELTA).sqrt() - DELTA,
        }
    }

    /// As [`of_square`](Self::of_square), with its kink at zero.
    pub(crate) fn exact(self, r2: f64) -> f64 {
        match self {
            Self::HalfSquare => r2 / 2.0,
            Self::Distance => r2.sqrt(),
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
    /// Length beyond which mass is rather made and lost than moved: marginals may be missed at a price of `reach^p` times
    /// their Kullback-Leibler divergence. None: all mass is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach: Option<f64>,
    /// Iterations stop when the marginals are off by less than this in total (L1; the mass is one).
    pub tolerance: f64,
    /// Iterations stop here in any case, or one pass later, those of the annealing counted; the report then says what error was left.
    pub max_iterations: usize,
    /// Factor of the blur from one level of the annealing to the next, in (0, 1).
    pub scaling: f64,
    /// Costs are kept if they need less than this; otherwise they are recomputed in every pass over them.
    pub memory_mib: usize,
}

impl Default for SinkhornConfig {
    /// `|x - y|²/2`, blur 0.05, balanced, tolerance 1e-3, at most 5000 iterations, scaling 0.5, 64 MiB.
    fn default() -> Self {
        Self {
            cost: Cost::HalfSquare,
            blur: 0.05,
            reach: None,
            tolerance: 1e-3,
            max_iterations: 5000,
            scaling: 0.5,
            memory_mib: 64,
        }
    }
}

impl SinkhornConfig {
    pub(crate) fn epsilon(&self) -> f64 {
        self.cost.power(self.blur)
    }

    pub(crate) fn rho(&self) -> f64 {
        self.reach.map_or(f64::INFINITY, |reach| self.cost.power(reach))
    }

    fn check(&self) -> Result<(), LossError> {
        let above = |name, value: f64| {
            if value > 0.0 && value.is_finite() {
                return Ok(());
            }
            Err(LossError::Setting { name, value, rule: "must be finite and above zero" })
        };
        above("blur", self.blur)?;
        self.reach.map_or(Ok(()), |reach| above("reach", reach))?;
        above("tolerance", self.tolerance)?;
        above("max_iterations", self.max_iterations as f64)?;
        if !(self.scaling > 0.0 && self.scaling <= 0.95) {
            let rule = "must lie between 0 and 0.95";
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

/// Dual potentials of the transport between two clouds: what one evaluation leaves to the next one, of the same rows.
///
/// Empty at first. They can be stored beside a checkpoint, so that a resumed run has the same bits.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Potentials {
    /// Of the first cloud, `[n]`.
    pub f: Vec<f64>,
    /// Of the second cloud, `[m]`.
    pub g: Vec<f64>,
}

/// Sinkhorn divergence with its work space: call it with clouds of any size.
#[derive(Debug, Clone)]
pub struct SinkhornDivergence<T> {
    d: usize,
    config: SinkhornConfig,
    weights: Weights<T>,
    x: Vec<T>,
    y: Vec<T>,
    transport: Transport<T>,
    x_potential: Vec<f64>,
    y_potential: Vec<f64>,
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
            x: Vec::new(),
            y: Vec::new(),
            transport: Transport::default(),
            x_potential: Vec::new(),
            y_potential: Vec::new(),
        })
    }

    /// The divergence between `x` and `y`; sets `x_bar` to its gradient if one is given.
    ///
    /// Cost `O((n + m)² d)` and, for each iteration, as much as pairs count at the blur; memory `O(n m)` for the costs or, above
    /// the budget, `O(200 (n + m))`.
    ///
    /// # Errors
    /// [`LossError::Length`] if a shape does not fit, [`LossError::NonFinite`] naming the first bad row,
    /// [`LossError::Empty`] if a cloud has no points.
    pub fn evaluate(
        &mut self,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
        x_bar: Option<CloudBar<'_, T>>,
    ) -> Result<SinkhornReport, LossError> {
        self.evaluate_from(x, y, x_bar, None, None)
    }

    /// As [`evaluate`](Self::evaluate), with the gradient to `y` too if one is given. It starts from the `potentials` if they have the
    /// clouds' lengths, and leaves in them those that it found: for clouds that moved little since, that saves most of the annealing.
    ///
    /// # Errors
    /// As [`evaluate`](Self::evaluate); [`LossError::NonFinite`] if a potential is not finite.
    pub fn evaluate_from(
        &mut self,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
        x_bar: Option<CloudBar<'_, T>>,
        y_bar: Option<CloudBar<'_, T>>,
        potentials: Option<&mut Potentials>,
    ) -> Result<SinkhornReport, LossError> {
        // One entry into the thread pool for all iterations.
        rayon::scope(|_| self.evaluate_in_pool(x, y, x_bar, y_bar, potentials))
    }

    fn evaluate_in_pool(
        &mut self,
        x: Cloud<'_, T>,
        y: Cloud<'_, T>,
        x_bar: Option<CloudBar<'_, T>>,
        y_bar: Option<CloudBar<'_, T>>,
        potentials: Option<&mut Potentials>,
    ) -> Result<SinkhornReport, LossError> {
        let d = self.d;
        let (n, m) = self.weights.set(d, x, y)?;
        let with_y = y_bar.is_some();
        let none = || CloudBar { states: &mut [], log_weights: &mut [] };
        let CloudBar { states: bar, log_weights: weight_bar } = x_bar.unwrap_or_else(none);
        let CloudBar { states: other, log_weights: other_weight } = y_bar.unwrap_or_else(none);
        for (what, bar, len) in [
            ("gradient to the states", &*bar, n * d),
            ("gradient to the log-weights", &*weight_bar, n),
            ("gradient to the observed states", &*other, m * d),
            ("gradient to the observed log-weights", &*other_weight, m),
        ] {
            if !bar.is_empty() {
                check_len(what, bar.len(), len)?;
            }
        }
        check_finite(0.0, d, x.states, y.states, x.states)?;
        check_finite(0.0, d, x.states, y.states, y.states)?;
        centre(d, x.states, y.states, &mut self.x, &mut self.y);
        let (a, b) = (&self.weights.a[..], &self.weights.b[..]);
        let xs = Side { points: &self.x, weights: a };
        let ys = Side { points: &self.y, weights: b };
        let problem =
            |x, y, symmetric| Problem { d, cost: self.config.cost, x, y, symmetric, rho: self.config.rho() };
        let (cross, own_x, own_y) = (problem(xs, ys, false), problem(xs, xs, true), problem(ys, ys, true));
        let (transport, config, epsilon) = (&mut self.transport, &self.config, self.config.epsilon());
        bar.fill(T::ZERO);
        other.fill(T::ZERO);

        let warm = match &potentials {
            Some(p) if p.f.len() == n && p.g.len() == m => {
                for (what, p) in
                    [("potentials of the first cloud", &p.f), ("potentials of the second cloud", &p.g)]
                {
                    if let Some(row) = p.iter().position(|v| !v.is_finite()) {
                        return Err(LossError::NonFinite { what, row });
                    }
                }
                transport.f.clone_from(&p.f);
                transport.g.clone_from(&p.g);
                true
            }
            _ => false,
        };
        let between = transport.solve(config, &cross, warm)?;
        if let Some(p) = potentials {
            p.f.clone_from(&transport.f);
            p.g.clone_from(&transport.g);
        }
        let mut value = transport.finish_rows(&cross, epsilon, 1.0, bar);
        // What a unit of weight adds, those terms left out that are the same for all.
        let gain =
            |f: &f64| cross.reward(*f) - if cross.rho.is_finite() { epsilon * cross.target(*f) } else { 0.0 };
        self.x_potential.clear();
        self.x_potential.extend(transport.f.iter().map(gain));
        if with_y {
            transport.finish_columns(&cross, epsilon, other);
            self.y_potential.clear();
            self.y_potential.extend(transport.g.iter().map(gain));
        }

        let in_x = transport.solve(config, &own_x, false)?;
        value -= 0.5 * transport.finish_rows(&own_x, epsilon, -1.0, bar);
        self.x_potential.iter_mut().zip(&transport.f).for_each(|(p, f)| *p -= gain(f));

        let in_y = transport.solve(config, &own_y, false)?;
        value -= 0.5 * transport.finish_rows(&own_y, epsilon, -1.0, other);
        if with_y {
            self.y_potential.iter_mut().zip(&transport.f).for_each(|(p, f)| *p -= gain(f));
        }

        for (bar, potential, w) in [(weight_bar, &self.x_potential, a), (other_weight, &self.y_potential, b)]
        {
            if !bar.is_empty() {
                bar.iter_mut().zip(potential).for_each(|(b, &p)| *b = T::c(p));
                normalise_log_weights_vjp(w, bar);
            }
        }
        check_finite(value, d, x.states, y.states, bar)?;
        check_finite(value, d, x.states, y.states, other)?;
        let all = [between, in_x, in_y];
        Ok(SinkhornReport {
            value,
            marginal_error: all.iter().fold(0.0, |e, c| c.error.max(e)),
            iterations: all.iter().map(|c| c.iterations).max().unwrap_or(0),
        })
    }
}
