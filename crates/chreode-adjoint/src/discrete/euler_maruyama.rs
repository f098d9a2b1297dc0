//! Discrete adjoint of Euler-Maruyama (Itô, diagonal or additive noise): the exact gradient of computed paths.
//!
//! The forward pass keeps the states at the steps and nothing else. The backward pass draws every increment
//! again by its key, and lets the model compute its activations again inside the VJP. For the step
//! `y' = y + h f(y) + g(y) ⊙ ΔW`, `ln w' = ln w + h γ(y)` the adjoints `λ` of the states and `ω` of the
//! log-weights go back by
//!
//! ```text
//! λ = λ' + (∂f/∂y)ᵀ (h λ') + (∂g/∂y)ᵀ (λ' ⊙ ΔW) + (∂γ/∂y)ᵀ (h ω)          ω = ω'
//! ```
//!
//! and the same products with `∂/∂p` are added to the parameters' adjoint. At an observation `λ` and `ω` jump by
//! the loss's gradient there.
//! Not here: many tiles in parallel and the sum over them (`chreode-train`).

use chreode_core::{BrownianIncrements, DiffusionVjp, GrowthVjp, NoiseKind, Real};
use chreode_solve::{EulerMaruyama, SolveError, TimeGrid};

use crate::AdjointError;
use crate::error::{check_finite, check_len};

/// Forward and backward pass of one tile of trajectories; allocates when it is made and never again.
///
/// ```
/// # use chreode_core::{BrownianIncrements, Diffusion, DiffusionVjp, FieldError, NoiseKind, VectorField, Vjp};
/// # use chreode_adjoint::SdeAdjoint;
/// # use chreode_solve::TimeGrid;
/// # struct Ou; // dX = -p X dt + 0.5 dW
/// # impl VectorField<f64> for Ou {
/// #     fn dim(&self) -> usize { 1 }
/// #     fn n_params(&self) -> usize { 1 }
/// #     fn eval(&mut self, _: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
/// #         dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = -p[0] * y);
/// #         Ok(())
/// #     }
/// # }
/// # impl Vjp<f64> for Ou {
/// #     fn vjp(&mut self, _: f64, y: &[f64], p: &[f64], l: &[f64], y_bar: &mut [f64], p_bar: &mut [f64]) -> Result<(), FieldError> {
/// #         for i in 0..y.len() { y_bar[i] = -p[0] * l[i]; p_bar[0] -= y[i] * l[i]; }
/// #         Ok(())
/// #     }
/// # }
/// # impl Diffusion<f64> for Ou {
/// #     fn noise_kind(&self) -> NoiseKind { NoiseKind::Additive }
/// #     fn diffusion(&mut self, _: f64, _: &[f64], _: &[f64], g: &mut [f64]) -> Result<(), FieldError> { g.fill(0.5); Ok(()) }
/// # }
/// # impl DiffusionVjp<f64> for Ou {
/// #     fn diffusion_vjp(&mut self, _: f64, _: &[f64], _: &[f64], _: &[f64], _: &mut [f64], _: &mut [f64]) -> Result<(), FieldError> { Ok(()) }
/// # }
/// // dX = -p X dt + 0.5 dW for two trajectories; the loss is the sum of the states at t = 1.
/// let grid = TimeGrid::new(0.0, &[1.0], 0.1)?;
/// let noise = BrownianIncrements::new(1);
/// let mut paths = SdeAdjoint::new(2, 1, &grid);
/// paths.forward(&mut Ou, None, &noise, 0, &grid, &[1.0, 2.0], &[0.7])?;
/// let loss: f64 = paths.observed(0).iter().sum();
/// let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0]);
/// paths.backward(&mut Ou, None, &noise, 0, &grid, &[0.7], &[&[1.0, 1.0]], &[], &mut y0_bar, &mut p_bar)?;
/// assert!((y0_bar[0] - 0.93_f64.powi(10)).abs() < 1e-12); // each step multiplies by 1 - 0.7 · 0.1
/// # assert!(loss.is_finite() && p_bar[0] != 0.0);
/// # Ok::<(), chreode_adjoint::AdjointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SdeAdjoint<T> {
    max_rows: usize,
    d: usize,
    non_negative: bool,
    scheme: EulerMaruyama<T>,
    /// States before each step and after the last, `[steps + 1, n, d]`; log-weights `[steps + 1, n]`.
    states: Vec<T>,
    log_weights: Vec<T>,
    /// The step after which each observation lies.
    ends: Vec<usize>,
    /// Rows and steps of the last forward pass, and whether it had growth; none before it and after an error.
    done: Option<(usize, usize, bool)>,
    /// Adjoints of states and log-weights; work arrays of a step.
    lambda: Vec<T>,
    omega: Vec<T>,
    dw: Vec<T>,
    f_bar: Vec<T>,
    g_bar: Vec<T>,
    y_bar: Vec<T>,
    rate: Vec<T>,
}

impl<T: Real> SdeAdjoint<T> {
    /// A workspace for up to `max_rows` trajectories of `d` coordinates on `grid`, or one with fewer steps.
    pub fn new(max_rows: usize, d: usize, grid: &TimeGrid) -> Self {
        let zeros = |len| vec![T::ZERO; len];
        let len = max_rows * d;
        let points = grid.steps() + 1;
        Self {
            max_rows,
            d,
            non_negative: false,
            scheme: EulerMaruyama::new(max_rows, d),
            states: zeros(points * len),
            log_weights: zeros(points * max_rows),
            ends: Vec::with_capacity(points),
            done: None,
            lambda: zeros(len),
            omega: zeros(max_rows),
            dw: zeros(len),
            f_bar: zeros(len),
            g_bar: zeros(len),
            y_bar: zeros(len),
            rate: zeros(max_rows),
        }
    }

    /// Puts negative coordinates to zero after every step, for states that are amounts.
    ///
    /// No gradient goes through a coordinate that was put to zero.
    #[must_use]
    pub fn non_negative(mut self, on: bool) -> Self {
        self.non_negative = on;
        self
    }

    /// Simulates from `y0`, `[n, d]`, and keeps what the backward pass needs. Row `i` is trajectory
    /// `first_trajectory + i`. Log-weights start from zero; without `growth` they stay there.
    ///
    /// # Errors
    /// [`AdjointError::ShapeMismatch`] if `y0` or the grid does not fit the workspace, [`AdjointError::Solve`] for
    /// a state or log-weight that is not finite, with time and trajectory, and for noise that is not diagonal;
    /// [`AdjointError::Field`].
    pub fn forward(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        mut growth: Option<&mut dyn GrowthVjp<T>>,
        noise: &BrownianIncrements,
        first_trajectory: u64,
        grid: &TimeGrid,
        y0: &[T],
        p: &[T],
    ) -> Result<(), AdjointError> {
        self.done = None;
        let (d, n) = (self.d, y0.len() / self.d.max(1));
        check_len("dimension of the SDE", sde.dim(), d)?;
        let noise_kind = sde.noise_kind();
        if matches!(noise_kind, NoiseKind::Scalar | NoiseKind::General { .. }) {
            let (method, calculus) = ("adjoint of Euler-Maruyama", sde.calculus());
            return Err(SolveError::UnsupportedNoise { method, noise: noise_kind, calculus }.into());
        }
        check_len("start states (a multiple of the dimension)", y0.len(), n * d)?;
        at_most("trajectories (at most)", n, self.max_rows)?;
        at_most("steps of the grid (at most)", (grid.steps() + 1) * n * d, self.states.len())?;
        at_most("steps of the grid (at most)", (grid.steps() + 1) * n, self.log_weights.len())?;
        self.states[..n * d].copy_from_slice(y0);
        self.log_weights[..n].fill(T::ZERO);
        self.ends.clear();
        for k in 0..grid.steps() {
            let (t, h) = grid.step(k);
            let (before, after) = self.states[k * n * d..(k + 2) * n * d].split_at_mut(n * d);
            let (log_w, next_log_w) = self.log_weights[k * n..(k + 2) * n].split_at_mut(n);
            next_log_w.copy_from_slice(log_w);
            if let Some(growth) = growth.as_deref_mut() {
                let rate = &mut self.rate[..n];
                growth.growth(t, before, p, rate)?;
                next_log_w.iter_mut().zip(rate).for_each(|(w, &mut rate)| *w += rate * T::c(h));
                if let Some(row) = next_log_w.iter().position(|w| !w.is_finite()) {
                    let trajectory = first_trajectory + row as u64;
                    return Err(SolveError::NonFiniteWeight { t: t + h, trajectory }.into());
                }
            }
            after.copy_from_slice(before);
            self.scheme.step(&mut *sde, noise, first_trajectory, k as u64, t, h, after, p)?;
            if self.non_negative {
                for y in after.iter_mut() {
                    *y = y.max(T::ZERO);
                }
            }
            if grid.observed_after(k).is_some() {
                self.ends.push(k + 1); // within its capacity: no more observations than steps
            }
        }
        self.done = Some((n, grid.steps(), growth.is_some()));
        Ok(())
    }

    /// States at the `i`-th observation of the last forward pass, `[n, d]`.
    ///
    /// # Panics
    /// If there was no such observation.
    pub fn observed(&self, i: usize) -> &[T] {
        let (n, ..) = self.done.unwrap_or_default();
        let len = n * self.d;
        &self.states[self.ends[i] * len..(self.ends[i] + 1) * len]
    }

    /// Log-weights at the `i`-th observation of the last forward pass, `[n]`.
    ///
    /// # Panics
    /// If there was no such observation.
    pub fn log_weights(&self, i: usize) -> &[T] {
        let (n, ..) = self.done.unwrap_or_default();
        &self.log_weights[self.ends[i] * n..(self.ends[i] + 1) * n]
    }

    /// Pulls a loss's gradient back to the start states (set) and the parameters (ADDED).
    ///
    /// `sde`, `growth`, `noise`, `first_trajectory`, `grid` and `p` are those of the forward pass. `state_bar` holds
    /// for each observation the gradient in its states, `[n, d]`, and `log_weight_bar` that in its log-weights,
    /// `[n]`; an empty slice stands for zeros, and so does an empty list.
    ///
    /// # Errors
    /// [`AdjointError::NoForwardPass`]; [`AdjointError::ShapeMismatch`]; [`AdjointError::NonFinite`] with time,
    /// trajectory and coordinate; [`AdjointError::Field`].
    pub fn backward<'b>(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        growth: Option<&mut dyn GrowthVjp<T>>,
        noise: &BrownianIncrements,
        first_trajectory: u64,
        grid: &TimeGrid,
        p: &[T],
        state_bar: &[&'b [T]],
        log_weight_bar: &[&'b [T]],
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError>
    where
        T: 'b,
    {
        for (what, list) in
            [("adjoints of the states", state_bar), ("adjoints of the log-weights", log_weight_bar)]
        {
            if self.done.is_some() && !list.is_empty() {
                check_len(what, list.len(), self.ends.len())?;
            }
        }
        let of = |list: &[&'b [T]], i: usize| -> &'b [T] { list.get(i).copied().unwrap_or_default() };
        let jump = |i| (of(state_bar, i), of(log_weight_bar, i));
        self.backward_by(sde, growth, noise, first_trajectory, grid, p, &jump, y0_bar, p_bar)
    }

    /// [`backward`](Self::backward) with a function in place of the lists, for who would have to make the lists:
    /// `jump(i)` gives the loss's gradients in the states and in the log-weights of observation `i`.
    ///
    /// # Errors
    /// As [`backward`](Self::backward).
    pub fn backward_by<'b>(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        mut growth: Option<&mut dyn GrowthVjp<T>>,
        noise: &BrownianIncrements,
        first_trajectory: u64,
        grid: &TimeGrid,
        p: &[T],
        jump: &dyn Fn(usize) -> (&'b [T], &'b [T]),
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError>
    where
        T: 'b,
    {
        let (n, steps, grown) = self.done.ok_or(AdjointError::NoForwardPass)?;
        let (d, len) = (self.d, n * self.d);
        check_len("steps of the grid", grid.steps(), steps)?;
        check_len("growth (0 without, 1 with)", usize::from(growth.is_some()), usize::from(grown))?;
        check_len("adjoint of the start states", y0_bar.len(), len)?;
        check_len("adjoint of the parameters", p_bar.len(), p.len())?;
        for i in 0..self.ends.len() {
            let (state_bar, log_weight_bar) = jump(i);
            check_jump("adjoints of the states", state_bar, len)?;
            check_jump("adjoints of the log-weights", log_weight_bar, n)?;
        }

        let (lambda, omega) = (&mut self.lambda[..len], &mut self.omega[..n]);
        let (dw, y_bar) = (&mut self.dw[..len], &mut self.y_bar[..len]);
        let (f_bar, g_bar) = (&mut self.f_bar[..len], &mut self.g_bar[..len]);
        lambda.fill(T::ZERO);
        omega.fill(T::ZERO);
        let mut observation = self.ends.len();
        for k in (0..steps).rev() {
            let (t, h) = grid.step(k);
            let h_t = T::c(h);
            if observation > 0 && self.ends[observation - 1] == k + 1 {
                observation -= 1;
                let (state_bar, log_weight_bar) = jump(observation);
                add(lambda, state_bar);
                add(omega, log_weight_bar);
            }
            if self.non_negative {
                let after = &self.states[(k + 1) * len..(k + 2) * len];
                for (lambda, &y) in lambda.iter_mut().zip(after) {
                    *lambda = if y > T::ZERO { *lambda } else { T::ZERO };
                }
            }
            noise.fill(k as u64, first_trajectory, d, h, dw);
            for i in 0..len {
                f_bar[i] = h_t * lambda[i];
                g_bar[i] = lambda[i] * dw[i];
            }
            let y = &self.states[k * len..(k + 1) * len];
            sde.drift_and_diffusion_vjp(t, y, p, f_bar, g_bar, y_bar, p_bar)?;
            lambda.iter_mut().zip(&*y_bar).for_each(|(lambda, &y_bar)| *lambda += y_bar);
            if let Some(growth) = growth.as_deref_mut() {
                let rate_bar = &mut self.rate[..n];
                rate_bar.iter_mut().zip(&*omega).for_each(|(r, &omega)| *r = h_t * omega);
                growth.growth_vjp(t, y, p, rate_bar, lambda, p_bar)?;
            }
            check_finite(lambda, d, first_trajectory, t)?;
        }
        y0_bar.copy_from_slice(lambda);
        Ok(())
    }
}

fn at_most(what: &'static str, got: usize, expected: usize) -> Result<(), AdjointError> {
    if got <= expected { Ok(()) } else { Err(AdjointError::ShapeMismatch { what, expected, got }) }
}

fn check_jump<T>(what: &'static str, bar: &[T], len: usize) -> Result<(), AdjointError> {
    if bar.is_empty() { Ok(()) } else { check_len(what, bar.len(), len) }
}

fn add<T: Real>(x: &mut [T], jump: &[T]) {
    x.iter_mut().zip(jump).for_each(|(x, &jump)| *x += jump);
}
