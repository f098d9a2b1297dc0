//! Many trajectories in parallel, in tiles of a fixed size, so that the bits never depend on the threads.

use chreode_core::{BrownianIncrements, Diffusion, FieldError, Growth, Real};
use rayon::prelude::*;

use super::scheme::{Increments, SdeMethod, SdeScheme};
use super::time_grid::TimeGrid;
use crate::SolveError;
use crate::error::{check_finite, check_params, rows};
use crate::stats::log_stochastic;

/// Trajectories that are advanced together by one worker.
pub const TILE: usize = 64;

/// A function of the time reached and a tile's states, `[rows, d]`, which it may change.
pub type AfterStep<'a, T> = dyn Fn(f64, &mut [T]) + Sync + 'a;

/// What [`simulate`] may be told beside the equation and its grid.
#[derive(Clone, Copy)]
pub struct EnsembleOptions<'a, T> {
    /// How a step is done.
    pub method: SdeMethod,
    /// The increments' source. Two runs with the same one share noise where they share trajectory numbers.
    pub noise: BrownianIncrements,
    /// Row `i` of the start states is trajectory `first_trajectory + i`.
    pub first_trajectory: u64,
    /// Called after every step with the time reached and a tile's states, `[rows, d]`: clamps a gene, keeps a
    /// concentration positive. It must treat every row by itself.
    pub after_step: Option<&'a AfterStep<'a, T>>,
}

impl<T> EnsembleOptions<'_, T> {
    /// Euler-Maruyama with noise of this seed, trajectories numbered from 0, states left as the scheme gives them.
    pub fn new(seed: u64) -> Self {
        Self {
            method: SdeMethod::EulerMaruyama,
            noise: BrownianIncrements::new(seed),
            first_trajectory: 0,
            after_step: None,
        }
    }
}

impl<T> std::fmt::Debug for EnsembleOptions<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnsembleOptions")
            .field("method", &self.method)
            .field("noise", &self.noise)
            .field("first_trajectory", &self.first_trajectory)
            .field("after_step", &self.after_step.is_some())
            .finish()
    }
}

/// States (and log-weights) of an ensemble at the observation times of its grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Ensemble<T> {
    /// One `[n, d]` for each observation time.
    pub states: Vec<Vec<T>>,
    /// One `[n]` for each observation time; no element at all without growth. Zero at the start.
    pub log_weights: Vec<Vec<T>>,
}

/// Simulates the SDE from `y0`, `[n, d]`, by the method of `options` and saves the states at the grid's observation
/// times.
///
/// Tiles of [`TILE`] trajectories are spread over rayon's current thread pool, each worker with a clone of the
/// SDE. The result has the same bits for any number of threads, and for any way to split the rows over several
/// calls with matching `first_trajectory`, provided that the field's rows do not depend on each other.
///
/// # Errors
/// [`SolveError::UnsupportedNoise`] if the method cannot treat the noise of this SDE,
/// [`SolveError::ShapeMismatch`] for `y0` or `p` of a wrong length, [`SolveError::Field`], [`SolveError::NonFinite`] with time, trajectory and coordinate (also for a start state, at `t0`). When
/// several tiles fail, the one with the lowest trajectories is named.
///
/// ```
/// # use chreode_core::{Diffusion, FieldError, NoiseKind, VectorField};
/// # use chreode_solve::{EnsembleOptions, TimeGrid, simulate};
/// #[derive(Clone)]
/// struct Ou; // dX = -X dt + 0.5 dW
/// impl VectorField<f32> for Ou {
///     fn dim(&self) -> usize { 1 }
///     fn eval(&mut self, _t: f64, y: &[f32], _p: &[f32], dy: &mut [f32]) -> Result<(), FieldError> {
///         for (dy, y) in dy.iter_mut().zip(y) { *dy = -y; }
///         Ok(())
///     }
/// }
/// impl Diffusion<f32> for Ou {
///     fn noise_kind(&self) -> NoiseKind { NoiseKind::Additive }
///     fn diffusion(&mut self, _t: f64, _y: &[f32], _p: &[f32], g: &mut [f32]) -> Result<(), FieldError> {
///         g.fill(0.5);
///         Ok(())
///     }
/// }
/// let grid = TimeGrid::new(0.0, &[1.0, 2.0], 0.05)?;
/// let cells = simulate(&Ou, &[], &[1.0; 1000], &grid, &EnsembleOptions::new(7))?;
/// let mean = cells.states[1].iter().sum::<f32>() / 1000.0;
/// assert!((mean - 0.13).abs() < 0.05); // e⁻²
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
pub fn simulate<T, S>(
    sde: &S,
    p: &[T],
    y0: &[T],
    grid: &TimeGrid,
    options: &EnsembleOptions<'_, T>,
) -> Result<Ensemble<T>, SolveError>
where
    T: Real,
    S: Diffusion<T> + Clone + Send + Sync,
{
    run(sde, None::<&NoGrowth>, p, y0, grid, options)
}

/// As [`simulate`], with the log-weight of each trajectory: `ln w += γ(t, y) h` before each step, from zero.
///
/// `growth` may be the same object as `sde`. Both read the same `p`. The weights' sum over the steps has order 1,
/// whatever the method's.
///
/// # Errors
/// As [`simulate`], and [`SolveError::NonFiniteWeight`].
pub fn simulate_weighted<T, S, G>(
    sde: &S,
    growth: &G,
    p: &[T],
    y0: &[T],
    grid: &TimeGrid,
    options: &EnsembleOptions<'_, T>,
) -> Result<Ensemble<T>, SolveError>
where
    T: Real,
    S: Diffusion<T> + Clone + Send + Sync,
    G: Growth<T> + Clone + Send + Sync,
{
    run(sde, Some(growth), p, y0, grid, options)
}

/// The type of an absent growth.
#[derive(Clone)]
struct NoGrowth;

impl<T: Real> Growth<T> for NoGrowth {
    fn growth(&mut self, _t: f64, _y: &[T], _p: &[T], rate: &mut [T]) -> Result<(), FieldError> {
        rate.fill(T::ZERO);
        Ok(())
    }
}

/// What one tile writes: its part of every saved array.
pub(crate) struct Tile<'a, T> {
    pub(crate) first_row: usize,
    pub(crate) states: Vec<&'a mut [T]>,
    log_weights: Vec<&'a mut [T]>,
}

/// Cuts saved states, `[n, d]` each, and log-weights, `[n]` each, into tiles.
pub(crate) fn tiles<'a, T>(
    n: usize,
    d: usize,
    states: &'a mut [Vec<T>],
    log_weights: &'a mut [Vec<T>],
) -> Vec<Tile<'a, T>> {
    let mut tiles: Vec<Tile<'a, T>> = (0..n.div_ceil(TILE))
        .map(|i| Tile { first_row: i * TILE, states: Vec::new(), log_weights: Vec::new() })
        .collect();
    for saved in states {
        saved.chunks_mut(TILE * d).zip(&mut tiles).for_each(|(part, tile)| tile.states.push(part));
    }
    for saved in log_weights {
        saved.chunks_mut(TILE).zip(&mut tiles).for_each(|(part, tile)| tile.log_weights.push(part));
    }
    tiles
}

/// What one worker owns.
struct Worker<T, S, G> {
    sde: S,
    growth: Option<G>,
    scheme: Box<dyn SdeScheme<T>>,
    y: Vec<T>,
    dw: Vec<T>,
    area: Vec<T>,
    log_w: Vec<T>,
    rate: Vec<T>,
}

fn run<T, S, G>(
    sde: &S,
    growth: Option<&G>,
    p: &[T],
    y0: &[T],
    grid: &TimeGrid,
    options: &EnsembleOptions<'_, T>,
) -> Result<Ensemble<T>, SolveError>
where
    T: Real,
    S: Diffusion<T> + Clone + Send + Sync,
    G: Growth<T> + Clone + Send + Sync,
{
    let d = sde.dim();
    let n = rows(y0.len(), d)?;
    check_params(p.len(), sde.n_params())?;
    options.method.check(sde)?;
    let observed = grid.observe().len();
    let zeros = |len| -> Vec<Vec<T>> { (0..observed).map(|_| vec![T::ZERO; len]).collect() };
    let mut states = zeros(n * d);
    let mut log_weights = if growth.is_some() { zeros(n) } else { Vec::new() };

    let tiles = tiles(n, d, &mut states, &mut log_weights);
    let motions = sde.noise_kind().motions(d);
    let worker = || {
        let scheme = options.method.scheme(TILE, sde)?;
        Ok::<_, SolveError>(Worker {
            sde: sde.clone(),
            growth: growth.cloned(),
            y: Vec::with_capacity(TILE * d),
            dw: vec![T::ZERO; TILE * motions],
            area: vec![T::ZERO; if scheme.needs_area() { TILE * motions } else { 0 }],
            scheme,
            log_w: Vec::with_capacity(TILE),
            rate: vec![T::ZERO; TILE],
        })
    };
    // All tiles finish before the first error is looked for, so that the error named is always the same.
    let run_tile = |worker: &mut Result<Worker<T, S, G>, SolveError>, tile| match worker {
        Ok(worker) => worker.run(tile, p, y0, grid, options),
        Err(error) => Err(error.clone()),
    };
    let done: Vec<Result<(), SolveError>> = tiles.into_par_iter().map_init(worker, run_tile).collect();
    let done = done.into_iter().collect::<Result<(), _>>();
    log_stochastic(options.method, n, done.as_ref().map(|()| ((n * grid.steps()) as u64, 0)));
    done.map(|()| Ensemble { states, log_weights })
}

impl<T: Real, S: Diffusion<T>, G: Growth<T>> Worker<T, S, G> {
    fn run(
        &mut self,
        mut tile: Tile<'_, T>,
        p: &[T],
        y0: &[T],
        grid: &TimeGrid,
        options: &EnsembleOptions<'_, T>,
    ) -> Result<(), SolveError> {
        let d = self.sde.dim();
        let first = options.first_trajectory + tile.first_row as u64;
        let start = tile.first_row * d;
        self.y.clear();
        self.y.extend_from_slice(&y0[start..y0.len().min(start + TILE * d)]);
        let rows = self.y.len() / d;
        self.log_w.clear();
        self.log_w.resize(rows, T::ZERO);
        check_finite(&self.y, d, first, grid.t0())?;
        let motions = self.sde.noise_kind().motions(d);
        let dw = &mut self.dw[..rows * motions];
        let used = self.area.len().min(dw.len()); // none at all without areas
        let area = &mut self.area[..used];
        for k in 0..grid.steps() {
            let (t, h) = grid.step(k);
            if let Some(growth) = &mut self.growth {
                growth.growth(t, &self.y, p, &mut self.rate[..rows])?;
                for (log_w, &rate) in self.log_w.iter_mut().zip(&self.rate) {
                    *log_w += rate * T::c(h);
                }
            }
            options.noise.fill(k as u64, first, motions, h, dw);
            if self.scheme.needs_area() {
                options.noise.fill_area(k as u64, first, motions, h, area);
            }
            let noise = Increments { dw, area };
            self.scheme.advance(&mut self.sde, noise, first, t, h, &mut self.y, p)?;
            if let Some(after_step) = options.after_step {
                after_step(t + h, &mut self.y);
            }
            if let Some(i) = grid.observed_after(k) {
                check_finite(&self.y, d, first, t + h)?; // what `after_step` made of it
                tile.states[i].copy_from_slice(&self.y);
                if self.growth.is_some() {
                    if let Some(row) = self.log_w.iter().position(|w| !w.is_finite()) {
                        return Err(SolveError::NonFiniteWeight { t: t + h, trajectory: first + row as u64 });
                    }
                    tile.log_weights[i].copy_from_slice(&self.log_w);
                }
            }
        }
        Ok(())
    }
}
