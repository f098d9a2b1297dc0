//! The continuous adjoint of Stratonovich equations, solved backward along the same Brownian path.
//!
//! For `dX = f dt + g ∘ dW` the chain rule is the ordinary one, and the adjoint equations are [LWCD20] [KFLL21]
//!
//! ```text
//! dλ = −(∂f/∂x)ᵀ λ dt − (∂g/∂x)ᵀ (λ ∘ dW)          dμ = −(∂f/∂p)ᵀ λ dt − (∂g/∂p)ᵀ (λ ∘ dW)
//! ```
//!
//! Both are solved with the state from the end to the start by stochastic Heun, which converges to Stratonovich's integral
//! in this direction too.
//! Not here: the exact gradient of a computed path (`discrete::sde`), the path itself (`chreode_solve::BrownianTree`).

use chreode_core::{Diffusion, DiffusionVjp, NoiseKind, Real};
use chreode_solve::{
    BrownianTree, Increments, SdeMethod, SdeScheme, SolveError, StochasticHeun, TimeGrid, noise_term,
};

use crate::AdjointError;
use crate::discrete::sde_step::{layout, outer};
use crate::error::{check_finite, check_gradient, check_len};

/// Gradients of Stratonovich paths with nothing stored: state and adjoint go backward along a virtual Brownian tree.
///
/// [`forward`](Self::forward) runs stochastic Heun on a grid; [`backward`](Self::backward) starts from the end of that run or any
/// other on the same tree, such as [`chreode_solve::simulate_adaptive`] with the tree's seed and span. Its own grid has the
/// same observations and any steps. Memory is ten states, whatever the number of steps. The noise is read from the tree: ends of
/// steps between observations move by up to 1/64 of a step to where that costs a draw for each halving down to a step.
///
/// # Errors of the gradient
/// It is that of the equation and not of the computed numbers, and approaches it path by path with the order of the
/// forward method: 1 for separable, scalar and additive noise, 1/2 for others [LWCD20]. Its steps must be as small
/// as the tolerated error asks for in both directions.
///
/// It is wrong where the flow forgets: what contracts forward by `e^{-c}` multiplies every error by `e^{c}` backward.
/// Drifts towards an attractor over more than a few relaxation times, stiff drifts and strong multiplicative
/// noise fail, often with finite values that are plainly wrong. [`start`](Self::start) tells: compare the state that the backward
/// run came to with the true one. [`SdeAdjoint`](crate::SdeAdjoint) has neither error.
///
/// Noise of Itô equations that depends on the state is refused: the equation must be written in Stratonovich's calculus first.
///
/// ```
/// use chreode_adjoint::SdeBacksolve;
/// use chreode_core::Calculus;
/// use chreode_solve::{BrownianTree, TimeGrid};
/// use chreode_testkit::SpinSde;
/// let mut sde = SpinSde { calculus: Calculus::Stratonovich };
/// let (p, y0) = ([0.8, 0.5], [1.0_f64, 0.5]);
/// let grid = TimeGrid::new(0.0, &[1.0], 1e-3)?;
/// let mut tree = BrownianTree::new(7, 1, (0.0, 1.0))?; // one motion drives both coordinates
/// let mut adjoint = SdeBacksolve::new(1, &sde)?;
/// let mut y = y0;
/// adjoint.forward(&mut sde, &mut tree, 0, &grid, &p, &mut y, &mut |_i, _t, _y| {})?;
/// let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 2]);
/// adjoint.backward(&mut sde, &mut tree, 0, &grid, &p, &y, &[&[1.0, 0.0]], &mut y0_bar, &mut p_bar)?;
/// assert!((adjoint.start()[0] - y0[0]).abs() < 1e-3);
/// # Ok::<(), chreode_adjoint::AdjointError>(())
/// ```
#[derive(Debug, Clone)]
pub struct SdeBacksolve<T> {
    max_rows: usize,
    /// Rows of the last backward run.
    rows: usize,
    heun: StochasticHeun<T>,
    slopes: Slopes<T>,
    area: Vec<T>,
    y: Vec<T>,
    lambda: Vec<T>,
    /// Changes of state and adjoint over a step by the slopes at its end, and at the point to which they lead.
    change: [Vec<T>; 2],
    lambda_change: [Vec<T>; 2],
    point: Vec<T>,
    lambda_point: Vec<T>,
}

/// How far ends of steps may be moved, in steps, to where the tree is cheap to read.
const NEAR: f64 = 1.0 / 64.0;

/// What is evaluated at one point: state and adjoint, with the increments of the step.
#[derive(Debug, Clone)]
struct Slopes<T> {
    d: usize,
    layout: NoiseKind,
    dw: Vec<T>,
    f: Vec<T>,
    g: Vec<T>,
    f_bar: Vec<T>,
    g_bar: Vec<T>,
}

impl<T: Real> SdeBacksolve<T> {
    /// Work arrays for up to `max_rows` trajectories of this equation.
    ///
    /// # Errors
    /// [`SolveError::UnsupportedNoise`] for noise in Itô calculus that is not additive; [`AdjointError::ShapeMismatch`] for an
    /// equation without coordinates.
    pub fn new(max_rows: usize, sde: &dyn Diffusion<T>) -> Result<Self, AdjointError> {
        check_calculus(sde)?;
        let (d, layout) = (sde.dim(), layout(sde.noise_kind()));
        if d == 0 {
            return Err(AdjointError::ShapeMismatch {
                what: "dimension of the SDE (at least)",
                expected: 1,
                got: 0,
            });
        }
        let zeros = |len: usize| vec![T::ZERO; max_rows * len];
        let pair = || [zeros(d), zeros(d)];
        let motions = layout.motions(d);
        Ok(Self {
            max_rows,
            rows: 0,
            heun: StochasticHeun::new(max_rows, sde)?,
            slopes: Slopes {
                d,
                layout,
                dw: zeros(motions),
                f: zeros(d),
                g: zeros(layout.values(d)),
                f_bar: zeros(d),
                g_bar: zeros(layout.values(d)),
            },
            area: vec![T::ZERO; motions],
            y: zeros(d),
            lambda: zeros(d),
            change: pair(),
            lambda_change: pair(),
            point: zeros(d),
            lambda_point: zeros(d),
        })
    }

    /// Advances `y`, `[n, d]`, over the grid by stochastic Heun; row `i` is trajectory `first_trajectory + i` of the tree.
    /// Calls `save(i, t, y)` at every observation.
    ///
    /// # Errors
    /// [`AdjointError::ShapeMismatch`]; [`AdjointError::Solve`] for another equation's noise, a grid that leaves the tree's
    /// span, and a state that is not finite, with time and trajectory; [`AdjointError::Field`].
    pub fn forward(
        &mut self,
        sde: &mut dyn Diffusion<T>,
        tree: &mut BrownianTree<T>,
        first_trajectory: u64,
        grid: &TimeGrid,
        p: &[T],
        y: &mut [T],
        save: &mut dyn FnMut(usize, f64, &[T]),
    ) -> Result<(), AdjointError> {
        let n = self.check(sde, y.len(), p)?;
        let used = n * self.area.len();
        for k in 0..grid.steps() {
            let (t, t_end) = ends(grid, tree, k);
            self.draw(tree, first_trajectory, n, (t, t_end))?;
            let noise = Increments { dw: &self.slopes.dw[..used], area: &[] };
            self.heun.advance(sde, noise, first_trajectory, t, t_end - t, y, p)?;
            if let Some(i) = grid.observed_after(k) {
                save(i, t_end, y);
            }
        }
        Ok(())
    }

    /// Solves backward over the grid from `y_end`, `[n, d]`, the states of the forward run at the last observation.
    ///
    /// `sde`, `tree`, `first_trajectory` and `p` are those of the forward run, and so are the grid's observations.
    /// `state_bar[i]`, `[n, d]`, is the gradient of the objective with respect to the states at observation `i`. Sets `y0_bar`,
    /// `[n, d]`, and ADDS the gradient with respect to the parameters, summed over the trajectories, to `p_bar`.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`AdjointError::NonFinite`] with time, trajectory and coordinate;
    /// [`AdjointError::NonFiniteGradient`] if `p_bar` alone is not finite in the end.
    pub fn backward(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        tree: &mut BrownianTree<T>,
        first_trajectory: u64,
        grid: &TimeGrid,
        p: &[T],
        y_end: &[T],
        state_bar: &[&[T]],
        y0_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let n = self.check(&*sde, y_end.len(), p)?;
        let (d, len) = (self.slopes.d, n * self.slopes.d);
        check_len("state_bar (observations)", state_bar.len(), grid.observe().len())?;
        check_len("y0_bar", y0_bar.len(), len)?;
        check_len("p_bar", p_bar.len(), p.len())?;
        for bar in state_bar {
            check_len("an element of state_bar", bar.len(), len)?;
        }
        self.rows = n;
        self.y[..len].copy_from_slice(y_end);
        self.lambda[..len].fill(T::ZERO);
        for k in (0..grid.steps()).rev() {
            let (t, t_end) = ends(grid, tree, k);
            if let Some(i) = grid.observed_after(k) {
                self.lambda.iter_mut().zip(state_bar[i]).for_each(|(l, &bar)| *l += bar);
                check_finite(&self.lambda[..len], d, first_trajectory, t_end)?;
            }
            self.draw(tree, first_trajectory, n, (t, t_end))?;
            self.back(sde, len, (t, t_end), p, p_bar)?;
            state_finite(&self.y[..len], d, first_trajectory, t)?;
            check_finite(&self.lambda[..len], d, first_trajectory, t)?;
        }
        y0_bar.copy_from_slice(&self.lambda[..len]);
        check_gradient(p_bar, (first_trajectory, n), grid.t0())
    }

    /// The states, `[n, d]`, that the last backward run came to at the start: near the true ones if its gradient is right.
    pub fn start(&self) -> &[T] {
        &self.y[..self.rows * self.slopes.d]
    }

    /// The number of trajectories, if everything fits.
    fn check(&self, sde: &dyn Diffusion<T>, len: usize, p: &[T]) -> Result<usize, AdjointError> {
        check_calculus(sde)?;
        let d = self.slopes.d;
        let n = len / d;
        check_len("dimension of the SDE", sde.dim(), d)?;
        check_len("parameters", p.len(), sde.n_params())?;
        check_len("states (a multiple of the dimension)", len, n * d)?;
        if layout(sde.noise_kind()) != self.slopes.layout {
            let (noise, calculus) = (sde.noise_kind(), sde.calculus());
            let method = "backsolve made for noise of another structure";
            return Err(SolveError::UnsupportedNoise { method, noise, calculus }.into());
        }
        if n > self.max_rows {
            return Err(AdjointError::ShapeMismatch {
                what: "trajectories (at most)",
                expected: self.max_rows,
                got: n,
            });
        }
        Ok(n)
    }

    /// The increments of `n` trajectories over a step.
    fn draw(
        &mut self,
        tree: &mut BrownianTree<T>,
        first_trajectory: u64,
        n: usize,
        (from, to): (f64, f64),
    ) -> Result<(), SolveError> {
        let motions = self.area.len();
        for row in 0..n {
            let dw = &mut self.slopes.dw[row * motions..(row + 1) * motions];
            tree.increment(first_trajectory + row as u64, from, to, dw, &mut self.area)?;
        }
        Ok(())
    }

    /// One Heun step of state, adjoint and parameters' gradient from `t_end` back to `t`.
    fn back(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        len: usize,
        (t, t_end): (f64, f64),
        p: &[T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let ([y0, y1], [l0, l1]) = (&mut self.change, &mut self.lambda_change);
        let (y, lambda) = (&mut self.y[..len], &mut self.lambda[..len]);
        let (point, lambda_point) = (&mut self.point[..len], &mut self.lambda_point[..len]);
        let (h, half) = (t_end - t, T::c(0.5));
        self.slopes.at(sde, t_end, h, p, (y, lambda), (y0, l0), p_bar)?;
        for i in 0..len {
            point[i] = y[i] - y0[i];
            lambda_point[i] = lambda[i] + l0[i] + l0[i];
        }
        self.slopes.at(sde, t, h, p, (point, lambda_point), (y1, l1), p_bar)?;
        for i in 0..len {
            y[i] -= half * (y0[i] + y1[i]);
            lambda[i] += l0[i] + l1[i];
        }
        Ok(())
    }
}

impl<T: Real> Slopes<T> {
    /// Sets `change` to `f h + g Δw` and `lambda_change` to half of `(∂f/∂x)ᵀ λ h + (∂g/∂x)ᵀ (λ Δw)`, its part of a Heun step;
    /// adds the same in `∂p` to the gradient.
    fn at(
        &mut self,
        sde: &mut dyn DiffusionVjp<T>,
        t: f64,
        h: f64,
        p: &[T],
        (y, lambda): (&[T], &[T]),
        (change, lambda_change): (&mut [T], &mut [T]),
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let (d, layout, len, n) = (self.d, self.layout, y.len(), y.len() / self.d);
        let (change, lambda_change) = (&mut change[..len], &mut lambda_change[..len]);
        let (f, g) = (&mut self.f[..len], &mut self.g[..n * layout.values(d)]);
        let (f_bar, g_bar) = (&mut self.f_bar[..len], &mut self.g_bar[..n * layout.values(d)]);
        let dw = &self.dw[..n * layout.motions(d)];
        let (half, h_t) = (T::c(0.5), T::c(h));
        sde.drift_and_diffusion(t, y, p, f, g)?;
        noise_term(layout, d, g, dw, change);
        for i in 0..len {
            change[i] += f[i] * h_t;
            f[i] = half * lambda[i]; // from here on what is pulled back
            f_bar[i] = h_t * f[i];
        }
        outer(layout, d, f, dw, g_bar);
        Ok(sde.drift_and_diffusion_vjp(t, y, p, f_bar, g_bar, lambda_change, p_bar)?)
    }
}

/// The error unless the equation is one of Stratonovich's calculus.
fn check_calculus<T: Real>(sde: &dyn Diffusion<T>) -> Result<(), SolveError> {
    let (noise, calculus) = (sde.noise_kind(), sde.calculus());
    let known = SdeMethod::StochasticHeun.strong_order(noise, calculus).is_some();
    if known { Ok(()) } else { Err(SolveError::UnsupportedNoise { method: "backsolve", noise, calculus }) }
}

/// Start and end of step `k`: observations, and where the tree is cheap to read near the ends of the grid's other steps.
fn ends<T: Real>(grid: &TimeGrid, tree: &BrownianTree<T>, k: usize) -> (f64, f64) {
    let near = |k: usize| {
        let (t, h) = grid.step(k);
        tree.time_near(t, h * NEAR)
    };
    let start = match k.checked_sub(1).map(|before| grid.observed_after(before)) {
        None => grid.t0(),
        Some(Some(i)) => grid.observe()[i],
        Some(None) => near(k),
    };
    let end = grid.observed_after(k).map_or_else(|| near(k + 1), |i| grid.observe()[i]);
    (start, end)
}

fn state_finite<T: Real>(y: &[T], d: usize, first: u64, t: f64) -> Result<(), SolveError> {
    match y.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(SolveError::NonFinite { t, trajectory: first + (i / d) as u64, coordinate: i % d }),
    }
}
