//! Stochastic runs whose steps follow the error of each trajectory.
//!
//! A step is an interval of the trajectory's Brownian tree. A rejected one is halved and both halves are walked, so
//! that no time at which the path was looked at is passed over: steps are nested, which is what keeps decisions that
//! depend on the path ahead from biasing the result [FJ23]. This is a loop of its own, since the one of ordinary
//! equations chooses its step ends freely.

use chreode_core::{Diffusion, FieldError, Real, Tolerance};
use rayon::prelude::*;

use super::brownian_tree::BrownianTree;
use super::ensemble::{AfterStep, TILE, Tile, tiles};
use super::scheme::{Increments, SdeMethod, SdeScheme};
use crate::controller::{Control, Controller};
use crate::error::{check_finite, check_params, rows};
use crate::error_norm::error_norm;
use crate::stats::log_stochastic;
use crate::{SolveError, SolveOptions, StepSize};

/// What [`simulate_adaptive`] may be told beside the equation.
#[derive(Clone, Copy)]
pub struct AdaptiveOptions<'a, T> {
    /// How a step is done: a method with an error estimate.
    pub method: SdeMethod,
    /// A step is accepted when its error estimate, in the root mean square over the coordinates of the trajectory, is
    /// below `atol + rtol |y|`.
    pub tolerance: Tolerance<'a>,
    /// Seed of the Brownian paths. Two runs with the same one and the same span share paths where they share
    /// trajectory numbers, whatever their methods and tolerances.
    pub seed: u64,
    /// Row `i` of the start states is trajectory `first_trajectory + i`.
    pub first_trajectory: u64,
    /// Most length of the first step; `None` takes 1/64 of the span, and leaves the rest to rejections.
    pub h0: Option<f64>,
    /// No step is longer.
    pub h_max: f64,
    /// Most steps of one trajectory, rejected ones included.
    pub max_steps: u64,
    /// Step size control.
    pub controller: Controller,
    /// Called after every step with the time reached and the states, `[1, d]`: see
    /// [`EnsembleOptions`](crate::EnsembleOptions::after_step).
    pub after_step: Option<&'a AfterStep<'a, T>>,
}

impl<'a, T> AdaptiveOptions<'a, T> {
    /// This method, tolerance and seed; trajectories numbered from 0, at most a million steps each.
    pub fn new(method: SdeMethod, tolerance: Tolerance<'a>, seed: u64) -> Self {
        Self {
            method,
            tolerance,
            seed,
            first_trajectory: 0,
            h0: None,
            h_max: f64::INFINITY,
            max_steps: 1_000_000,
            controller: Controller::default(),
            after_step: None,
        }
    }
}

impl<T> std::fmt::Debug for AdaptiveOptions<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdaptiveOptions")
            .field("method", &self.method)
            .field("tolerance", &self.tolerance)
            .field("seed", &self.seed)
            .field("first_trajectory", &self.first_trajectory)
            .field("h0", &self.h0)
            .field("h_max", &self.h_max)
            .field("max_steps", &self.max_steps)
            .field("controller", &self.controller)
            .field("after_step", &self.after_step.is_some())
            .finish()
    }
}

/// States of an ensemble at the saved times, and what they cost.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptiveEnsemble<T> {
    /// One `[n, d]` for each saved time.
    pub states: Vec<Vec<T>>,
    /// Accepted steps of all trajectories.
    pub accepted: u64,
    /// Rejected steps of all trajectories.
    pub rejected: u64,
}

/// Simulates the SDE from `y0`, `[n, d]`, over `span` with steps that follow the error of each trajectory, along its
/// path of a [`BrownianTree`], and saves the states at `save_at` (increasing, within the span, ends included).
///
/// Saved times do not change the steps: the state there comes from a step of its own that ends at it.
///
/// A trajectory's result depends on its number, the seed, the span and the options alone: it has the same bits on any
/// number of threads and beside any other rows. Each worker has a clone of the SDE.
///
/// # Errors
/// [`SolveError::UnsupportedNoise`] if the method cannot treat the noise, [`SolveError::NoErrorEstimate`];
/// [`SolveError::InvalidOption`], [`SolveError::InvalidTime`] and [`SolveError::ShapeMismatch`] for options, times and
/// slices out of range; [`SolveError::StepSizeTooSmall`], [`SolveError::TooManySteps`], [`SolveError::NonFinite`] with
/// time, trajectory and coordinate, and [`SolveError::Field`]. A state that is not finite and a field that is
/// undefined at a state are met by shorter steps first. When several tiles fail, the one with the lowest trajectories
/// is named.
///
/// ```
/// # use chreode_core::{Diffusion, FieldError, NoiseKind, Tolerance, VectorField};
/// # use chreode_solve::{AdaptiveOptions, SdeMethod, simulate_adaptive};
/// #[derive(Clone)]
/// struct Logistic; // dX = X (1 - X) dt + 0.3 X dW
/// impl VectorField<f64> for Logistic {
///     fn dim(&self) -> usize { 1 }
///     fn eval(&mut self, _t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
///         for (dy, y) in dy.iter_mut().zip(y) { *dy = y * (1.0 - y); }
///         Ok(())
///     }
/// }
/// impl Diffusion<f64> for Logistic {
///     fn noise_kind(&self) -> NoiseKind { NoiseKind::Separable }
///     fn diffusion(&mut self, _t: f64, y: &[f64], _p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
///         for (g, y) in g.iter_mut().zip(y) { *g = 0.3 * y; }
///         Ok(())
///     }
/// }
/// let options = AdaptiveOptions::new(SdeMethod::Sriw1, Tolerance::new(1e-3, 1e-3), 7);
/// let cells = simulate_adaptive(&Logistic, &[], &[0.1; 2000], (0.0, 20.0), &[20.0], &options)?;
/// let mean = cells.states[0].iter().sum::<f64>() / 2000.0;
/// assert!((mean - 0.955).abs() < 0.03); // 1 - 0.3² / 2
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
pub fn simulate_adaptive<T, S>(
    sde: &S,
    p: &[T],
    y0: &[T],
    span: (f64, f64),
    save_at: &[f64],
    options: &AdaptiveOptions<'_, T>,
) -> Result<AdaptiveEnsemble<T>, SolveError>
where
    T: Real,
    S: Diffusion<T> + Clone + Send + Sync,
{
    let d = sde.dim();
    let n = rows(y0.len(), d)?;
    check_params(p.len(), sde.n_params())?;
    let step = StepSize::Adaptive { h0: options.h0, h_max: options.h_max };
    SolveOptions { tolerance: options.tolerance, step, save_at, ..SolveOptions::default() }.check(span, d)?;
    let tree = BrownianTree::new(options.seed, sde.noise_kind().motions(d), span)?;
    if options.method.scheme(1, sde)?.error().is_none() {
        return Err(SolveError::NoErrorEstimate);
    }
    let mut states: Vec<Vec<T>> = save_at.iter().map(|_| vec![T::ZERO; n * d]).collect();
    // Without saved times there is nothing to cut, yet every trajectory runs for its errors and its cost.
    let tiles = tiles(n, d, &mut states, &mut []);
    let worker = || {
        let zeros = || vec![T::ZERO; d];
        Ok::<_, SolveError>(Worker {
            sde: sde.clone(),
            scheme: options.method.scheme(1, sde)?,
            tree: tree.clone(),
            aside: tree.clone(),
            y: zeros(),
            proposed: zeros(),
            ratio: zeros(),
            dw: vec![T::ZERO; sde.noise_kind().motions(d)],
            area: vec![T::ZERO; sde.noise_kind().motions(d)],
            accepted: 0,
            rejected: 0,
        })
    };
    let run_tile = |worker: &mut Result<Worker<T, S>, SolveError>, mut tile: Tile<'_, T>| {
        let worker = worker.as_mut().map_err(|error| error.clone())?;
        (worker.accepted, worker.rejected) = (0, 0);
        for row in 0..TILE.min(n - tile.first_row) {
            let start = &y0[(tile.first_row + row) * d..(tile.first_row + row + 1) * d];
            let trajectory = options.first_trajectory + (tile.first_row + row) as u64;
            let mut save = |i: usize, y: &[T]| tile.states[i][row * d..(row + 1) * d].copy_from_slice(y);
            worker.run(trajectory, p, start, save_at, options, &mut save)?;
        }
        Ok((worker.accepted, worker.rejected))
    };
    // All tiles finish before the first error is looked for, so that the error named is always the same.
    let done: Vec<Result<(u64, u64), SolveError>> =
        tiles.into_par_iter().map_init(worker, run_tile).collect();
    let done = done.into_iter().try_fold((0, 0), |all, counts| {
        counts.map(|(accepted, rejected)| (all.0 + accepted, all.1 + rejected))
    });
    log_stochastic(options.method, n, done.as_ref().copied());
    done.map(|(accepted, rejected)| AdaptiveEnsemble { states, accepted, rejected })
}

/// What one thread owns.
struct Worker<T, S> {
    sde: S,
    scheme: Box<dyn SdeScheme<T>>,
    tree: BrownianTree<T>,
    /// For the steps to saved times.
    aside: BrownianTree<T>,
    y: Vec<T>,
    proposed: Vec<T>,
    ratio: Vec<T>,
    dw: Vec<T>,
    area: Vec<T>,
    accepted: u64,
    rejected: u64,
}

impl<T: Real, S: Diffusion<T>> Worker<T, S> {
    /// One trajectory from the start of the tree's span to its end.
    fn run(
        &mut self,
        trajectory: u64,
        p: &[T],
        y0: &[T],
        save_at: &[f64],
        options: &AdaptiveOptions<'_, T>,
        save: &mut dyn FnMut(usize, &[T]),
    ) -> Result<(), SolveError> {
        let d = y0.len();
        self.y.copy_from_slice(y0);
        self.tree.start(trajectory);
        let (t0, t1) = self.tree.span();
        check_finite(y0, d, trajectory, t0)?;
        let mut saved = 0;
        if save_at.first() == Some(&t0) {
            save(0, y0);
            saved = 1;
        }
        let mut h = options.h0.unwrap_or((t1 - t0) / 64.0).min(options.h_max);
        let (mut control, mut steps) = (Control::new(options.controller), 0);
        while let Some((start, end)) = self.tree.next() {
            let (t, t_end) = (self.tree.time(start), self.tree.time(end));
            let length = t_end - t;
            let middle = self.tree.time(start + (end - start) / 2);
            let divisible = end - start > 1 && t < middle && middle < t_end;
            // A step that divides the plan but for rounding counts as short enough.
            if length > h * (1.0 + 1e-9) && divisible {
                self.tree.halve();
                continue;
            }
            if steps == options.max_steps {
                return Err(SolveError::TooManySteps { t, max_steps: options.max_steps });
            }
            steps += 1;
            self.proposed.copy_from_slice(&self.y);
            let (dw, area) = self.tree.noise();
            let noise = Increments { dw, area };
            let outcome =
                self.scheme.advance(&mut self.sde, noise, trajectory, t, length, &mut self.proposed, p);
            let (error, power) = self.scheme.error().unwrap_or((&[], 1.0));
            let err = match outcome {
                Ok(()) => error_norm(error, &self.y, &self.proposed, d, options.tolerance, &mut self.ratio),
                Err(SolveError::NonFinite { .. } | SolveError::Field(FieldError::Recoverable { .. })) => {
                    f64::NAN
                }
                Err(error) => return Err(error),
            };
            if err.is_nan() || err > 1.0 {
                self.rejected += 1;
                if !divisible {
                    outcome?;
                    return Err(SolveError::StepSizeTooSmall { t, h: length / 2.0, h_min: length });
                }
                self.tree.halve();
                h = (length * control.rejected(err, power)).min(length / 2.0);
                continue;
            }
            while let Some(&at) = save_at.get(saved).filter(|&&at| at < t_end) {
                self.step_aside(trajectory, p, start, at, options, &mut |y| save(saved, y))?;
                saved += 1;
            }
            if let Some(after_step) = options.after_step {
                after_step(t_end, &mut self.proposed);
                check_finite(&self.proposed, d, trajectory, t_end)?;
            }
            std::mem::swap(&mut self.y, &mut self.proposed);
            self.accepted += 1;
            if save_at.get(saved) == Some(&t_end) {
                save(saved, &self.y);
                saved += 1;
            }
            self.tree.pass();
            // A step cut short by the tree, and not by the plan, must not shorten the plan.
            let whole = 2.0 * length > h;
            let next = length * control.accepted(err, power, whole);
            h = if whole { next } else { h.max(next) }.min(options.h_max);
        }
        Ok(())
    }

    /// The state at a time `at` within the accepted step that begins at `start`, by a step that ends there.
    fn step_aside(
        &mut self,
        trajectory: u64,
        p: &[T],
        start: u64,
        at: f64,
        options: &AdaptiveOptions<'_, T>,
        save: &mut dyn FnMut(&[T]),
    ) -> Result<(), SolveError> {
        let stop = self.tree.nearest(at);
        let (t, t_stop) = (self.tree.time(start), self.tree.time(stop));
        if t_stop <= t {
            save(&self.y);
            return Ok(());
        }
        self.aside.start_within(&self.tree);
        self.aside.gather(start, stop, &mut self.dw, &mut self.area);
        let noise = Increments { dw: &self.dw, area: &self.area };
        self.ratio.copy_from_slice(&self.y);
        let y = &mut self.ratio;
        self.scheme.advance(&mut self.sde, noise, trajectory, t, t_stop - t, y, p)?;
        if let Some(after_step) = options.after_step {
            after_step(t_stop, y);
        }
        check_finite(y, y.len(), trajectory, t_stop)?;
        save(y);
        Ok(())
    }
}
