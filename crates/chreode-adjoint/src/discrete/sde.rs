//! The discrete adjoint of stochastic methods on a fixed grid: the exact gradient of computed paths.
//!
//! The forward pass keeps states at the start of steps, all or some. The backward pass draws every increment again by
//! its key, takes steps again whose states are not kept, and lets the model compute its activations again inside the
//! VJP. How a step of each method is pulled back is in `sde_step`. Beside the states' adjoint `λ`, the adjoint `ω` of
//! the log-weights, `ln w' = ln w + h γ(y)`, adds `(∂γ/∂y)ᵀ (h ω)` to `λ` and the same in `∂p` to the parameters' adjoint.
//! At an observation `λ` and `ω` jump by the loss's gradient there.
//! Not here: many tiles in parallel and the sum over them (`chreode-train`), which states are kept (`checkpoint`).

use chreode_core::{BrownianIncrements, Diffusion, DiffusionVjp, GrowthVjp, Real};
use chreode_solve::{SdeMethod, SolveError, TimeGrid};

use super::sde_step::SdeStep;
use crate::AdjointError;
use crate::checkpoint::{Checkpoints, Store};
use crate::error::{check_finite, check_gradient, check_len};

/// Forward and backward pass of one tile of trajectories; allocates when it is made and never again.
///
/// [`new`](Self::new) is for Euler-Maruyama and diagonal noise; [`with_method`](Self::with_method) for the others:
///
/// | method | noise | needs beside [`DiffusionVjp`] |
/// |---|---|---|
/// | Euler-Maruyama | any (Itô) | |
/// | Milstein | separable, scalar, additive (Itô) | second derivatives of `g` ([`DiffusionJvpVjp`](chreode_core::DiffusionJvpVjp)), else it is the scheme with Platen's difference in their place, which costs a second evaluation of `g` |
/// | stochastic Heun | any (Stratonovich) | |
///
/// The gradient is that of the computed numbers, to rounding, in every case. There is none by the observation times: a path has no
/// derivative by the time. (That of the numbers, with the increments written as `√h ξ`, has a variance that grows with `1/h`.)
///
/// # Memory
/// Kept are the states and log-weights at the observations, and of the steps' start states as many as [`Checkpoints`] say
/// (each as large as `max_rows` trajectories). The length of the run is known, so a budget costs the least possible number
/// of steps taken again ([`recomputed_steps`](crate::recomputed_steps)); the gradient has the same bits.
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
    max_steps: usize,
    non_negative: bool,
    step: SdeStep<T>,
    /// States before steps, each of `max_rows` trajectories.
    store: Store<T>,
    /// The state before the last step, which the forward pass has in hand.
    last: Vec<T>,
    /// The state that a pass has come to, and in the backward pass that after the step.
    y: Vec<T>,
    after: Vec<T>,
    /// States, `[observations, n, d]`, and log-weights, `[observations, n]`, at the observations.
    observed: Vec<T>,
    log_weights: Vec<T>,
    /// The step after which each observation lies.
    ends: Vec<usize>,
    /// Rows and steps of the last forward pass, and whether it had growth; none before it and after an error.
    done: Option<(usize, usize, bool)>,
    recomputed: u64,
    /// Adjoints of states and log-weights; the log-weights before; rates of growth and their adjoints.
    lambda: Vec<T>,
    omega: Vec<T>,
    log_w: Vec<T>,
    rate: Vec<T>,
}

impl<T: Real> SdeAdjoint<T> {
    /// Euler-Maruyama with diagonal noise for up to `max_rows` trajectories of `d` coordinates on `grid`, or one with no
    /// more steps and observations; every state will be stored.
    pub fn new(max_rows: usize, d: usize, grid: &TimeGrid) -> Self {
        let step = SdeStep::euler_maruyama(max_rows, d);
        match Self::with_step(step, Checkpoints::All, max_rows, d, grid) {
            Ok(adjoint) => adjoint,
            Err(_) => unreachable!("storing every state has no limit that could be too small"),
        }
    }

    /// As [`new`](Self::new), with a choice of the method, for the noise of this equation, and of the states that are
    /// stored.
    ///
    /// # Errors
    /// [`AdjointError::NoDiscreteAdjoint`] for SRIW1 and SRA1; [`AdjointError::Solve`] if the method cannot treat the
    /// noise; [`AdjointError::CheckpointsTooFew`] if not even the start state may be kept, with the least that will do.
    pub fn with_method(
        method: SdeMethod,
        checkpoints: Checkpoints,
        max_rows: usize,
        sde: &dyn Diffusion<T>,
        grid: &TimeGrid,
    ) -> Result<Self, AdjointError> {
        Self::with_step(SdeStep::new(method, max_rows, sde)?, checkpoints, max_rows, sde.dim(), grid)
    }

    fn with_step(
        step: SdeStep<T>,
        checkpoints: Checkpoints,
        max_rows: usize,
        d: usize,
        grid: &TimeGrid,
    ) -> Result<Self, AdjointError> {
        let zeros = |len| vec![T::ZERO; len];
        let (len, observations) = (max_rows * d, grid.observe().len());
        let mut store = Store::new(checkpoints, len)?;
        store.reserve(grid.steps());
        Ok(Self {
            max_rows,
            d,
            max_steps: grid.steps(),
            non_negative: false,
            step,
            store,
            last: zeros(len),
            y: zeros(len),
            after: zeros(len),
            observed: zeros(observations * len),
            log_weights: zeros(observations * max_rows),
            ends: Vec::with_capacity(observations),
            done: None,
            recomputed: 0,
            lambda: zeros(len),
            omega: zeros(max_rows),
            log_w: zeros(max_rows),
            rate: zeros(max_rows),
        })
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
    /// [`AdjointError::ShapeMismatch`] if `y0` or the grid does not fit the workspace or `p` is short, [`AdjointError::Solve`] for
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
        let (len, steps) = (n * d, grid.steps());
        check_len("dimension of the SDE", sde.dim(), d)?;
        if d == 0 {
            return Err(AdjointError::ShapeMismatch {
                what: "dimension of the SDE (at least)",
                expected: 1,
                got: 0,
            });
        }
        check_len("parameters (at least)", p.len().min(sde.n_params()), sde.n_params())?;
        self.step.check(&*sde)?;
        check_len("start states (a multiple of the dimension)", y0.len(), len)?;
        at_most("trajectories (at most)", n, self.max_rows)?;
        at_most("steps of the grid (at most)", steps, self.max_steps)?;
        let room = self.observed.len() / (self.max_rows * d).max(1);
        at_most("observations (at most)", grid.observe().len(), room)?;
        self.y[..len].copy_from_slice(y0);
        self.log_w[..n].fill(T::ZERO);
        self.ends.clear();
        self.store.begin(Some(steps));
        for k in 0..steps {
            let (t, h) = grid.step(k);
            self.store.offer(k, &self.y);
            if k + 1 == steps {
                self.last.copy_from_slice(&self.y);
            }
            let y = &mut self.y[..len];
            if let Some(growth) = growth.as_deref_mut() {
                let (rate, log_w) = (&mut self.rate[..n], &mut self.log_w[..n]);
                growth.growth(t, y, p, rate)?;
                log_w.iter_mut().zip(rate).for_each(|(w, &mut rate)| *w += rate * T::c(h));
                if let Some(row) = log_w.iter().position(|w| !w.is_finite()) {
                    let trajectory = first_trajectory + row as u64;
                    return Err(SolveError::NonFiniteWeight { t: t + h, trajectory }.into());
                }
            }
            self.step.forward(sde, *noise, first_trajectory, k, (t, h), y, p)?;
            clamp(self.non_negative, y);
            if grid.observed_after(k).is_some() {
                let i = self.ends.len();
                self.observed[i * len..(i + 1) * len].copy_from_slice(y);
                self.log_weights[i * n..(i + 1) * n].copy_from_slice(&self.log_w[..n]);
                self.ends.push(k + 1);
            }
        }
        self.done = Some((n, steps, growth.is_some()));
        Ok(())
    }

    /// States at the `i`-th observation of the last forward pass, `[n, d]`.
    ///
    /// # Panics
    /// If there was no such observation.
    pub fn observed(&self, i: usize) -> &[T] {
        let (n, ..) = self.done.unwrap_or_default();
        let len = n * self.d;
        assert!(i < self.ends.len(), "there is no observation {i}");
        &self.observed[i * len..(i + 1) * len]
    }

    /// Log-weights at the `i`-th observation of the last forward pass, `[n]`.
    ///
    /// # Panics
    /// If there was no such observation.
    pub fn log_weights(&self, i: usize) -> &[T] {
        let (n, ..) = self.done.unwrap_or_default();
        assert!(i < self.ends.len(), "there is no observation {i}");
        &self.log_weights[i * n..(i + 1) * n]
    }

    /// States of steps that are stored now, beside those at the observations.
    pub fn stored_states(&self) -> usize {
        self.store.kept()
    }

    /// Steps that the last backward pass took again.
    pub fn recomputed(&self) -> u64 {
        self.recomputed
    }

    /// Pulls a loss's gradient back to the start states (set) and the parameters (ADDED).
    ///
    /// `sde`, `growth`, `noise`, `first_trajectory`, `grid` and `p` are those of the forward pass. `state_bar` holds
    /// for each observation the gradient in its states, `[n, d]`, and `log_weight_bar` that in its log-weights,
    /// `[n]`; an empty slice stands for zeros, and so does an empty list.
    ///
    /// # Errors
    /// [`AdjointError::NoForwardPass`]; [`AdjointError::ShapeMismatch`]; [`AdjointError::NonFinite`] with time,
    /// trajectory and coordinate; [`AdjointError::NonFiniteGradient`] if `p_bar` alone is not finite in the end;
    /// [`AdjointError::Field`].
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
        growth: Option<&mut dyn GrowthVjp<T>>,
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
        check_len("dimension of the SDE", sde.dim(), d)?;
        check_len("parameters (at least)", p.len().min(sde.n_params()), sde.n_params())?;
        check_len("steps of the grid", grid.steps(), steps)?;
        check_len("growth (0 without, 1 with)", usize::from(growth.is_some()), usize::from(grown))?;
        check_len("adjoint of the start states", y0_bar.len(), len)?;
        check_len("adjoint of the parameters", p_bar.len(), p.len())?;
        for i in 0..self.ends.len() {
            let (state_bar, log_weight_bar) = jump(i);
            check_jump("adjoints of the states", state_bar, len)?;
            check_jump("adjoints of the log-weights", log_weight_bar, n)?;
            // Here, as a coordinate that is held at zero passes nothing on.
            let (t, h) = grid.step(self.ends[i] - 1);
            check_finite(state_bar, d, first_trajectory, t + h)?;
            check_finite(log_weight_bar, 1, first_trajectory, t + h)?;
        }

        self.recomputed = 0;
        self.lambda[..len].fill(T::ZERO);
        self.omega[..n].fill(T::ZERO);
        sde.defer();
        let swept = self.steps_back(sde, growth, *noise, (first_trajectory, n), grid, p, jump, p_bar);
        sde.settle(p_bar); // after an error too, so that nothing is left in the field
        swept?;
        y0_bar.copy_from_slice(&self.lambda[..len]);
        check_gradient(p_bar, (first_trajectory, n), grid.t0())
    }

    /// From the last step to the first: `self.lambda` is then the adjoint of the start states.
    fn steps_back<'b>(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        mut growth: Option<&mut dyn GrowthVjp<T>>,
        noise: BrownianIncrements,
        (first_trajectory, n): (u64, usize),
        grid: &TimeGrid,
        p: &[T],
        jump: &dyn Fn(usize) -> (&'b [T], &'b [T]),
        p_bar: &mut [T],
    ) -> Result<(), AdjointError>
    where
        T: 'b,
    {
        let (d, len) = (self.d, n * self.d);
        let mut observation = self.ends.len();
        for k in (0..grid.steps()).rev() {
            let (t, h) = grid.step(k);
            let (lambda, omega) = (&mut self.lambda[..len], &mut self.omega[..n]);
            if observation > 0 && self.ends[observation - 1] == k + 1 {
                observation -= 1;
                let (state_bar, log_weight_bar) = jump(observation);
                add(lambda, state_bar);
                add(omega, log_weight_bar);
                self.after[..len].copy_from_slice(&self.observed[observation * len..(observation + 1) * len]);
            }
            if self.non_negative {
                for (lambda, &y) in lambda.iter_mut().zip(&self.after) {
                    *lambda = if y > T::ZERO { *lambda } else { T::ZERO };
                }
            }
            self.go_to(sde, noise, first_trajectory, grid, k, len, p)?;
            let (y, lambda) = (&self.y[..len], &mut self.lambda[..len]);
            self.step.backward(sde, noise, first_trajectory, k, (t, h), y, p, lambda, p_bar)?;
            if let Some(growth) = growth.as_deref_mut() {
                let rate_bar = &mut self.rate[..n];
                let h_t = T::c(h);
                rate_bar.iter_mut().zip(&self.omega).for_each(|(r, &omega)| *r = h_t * omega);
                growth.growth_vjp(t, y, p, rate_bar, lambda, p_bar)?;
            }
            check_finite(lambda, d, first_trajectory, t)?;
            std::mem::swap(&mut self.y, &mut self.after);
        }
        Ok(())
    }

    /// Brings `self.y` to the start of step `k`, from the last state kept before it; keeps others on the way as the
    /// schedule says.
    fn go_to(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        noise: BrownianIncrements,
        first_trajectory: u64,
        grid: &TimeGrid,
        k: usize,
        len: usize,
        p: &[T],
    ) -> Result<(), AdjointError> {
        if let Some(y) = self.store.of_all(k) {
            self.y[..len].copy_from_slice(&y[..len]);
            return Ok(());
        }
        let Some((mut at, y)) = self.store.last() else { return Ok(()) }; // the start is always kept
        if at < k && k + 1 == grid.steps() {
            self.y.copy_from_slice(&self.last);
            return Ok(());
        }
        self.y.copy_from_slice(y);
        while at < k {
            let next = self.store.next(at, k + 1);
            let to = next.unwrap_or(k);
            for i in at..to {
                let y = &mut self.y[..len];
                self.step.forward(sde, noise, first_trajectory, i, grid.step(i), y, p)?;
                clamp(self.non_negative, y);
                self.recomputed += 1;
            }
            at = to;
            if next.is_some() {
                self.store.push(at, 0, &self.y);
            }
        }
        if k > 0 && self.store.last().is_some_and(|(at, _)| at == k) {
            self.store.pop();
        }
        Ok(())
    }
}

fn clamp<T: Real>(on: bool, y: &mut [T]) {
    if on {
        y.iter_mut().for_each(|y| *y = y.max(T::ZERO));
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
