//! An ensemble of one model: what is asked and answered, and the tiles of work.

use chreode_core::Dynamics;
use chreode_linalg::{Kernel, dispatch};
use rayon::prelude::*;

use super::group::Group;
use crate::error::{check_len, rows};
use crate::options::{SolveOptions, StepSize};
use crate::stats::{Stats, log_lanes};
use crate::{SolveError, Work};

/// Trajectories that one worker takes at a time. Results do not depend on it; what waits for the last of a tile is
/// small beside the tile.
const TILE: usize = 512;

/// The same for every trajectory, or one for each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PerTrajectory<'a, X> {
    /// The same.
    Same(X),
    /// One for each, `[n]`.
    Each(&'a [X]),
}

impl<X: Copy> PerTrajectory<'_, X> {
    /// That of trajectory `i`.
    ///
    /// # Panics
    /// If there is one for each, and none for `i`.
    pub fn of(&self, i: usize) -> X {
        match self {
            Self::Same(x) => *x,
            Self::Each(x) => x[i],
        }
    }

    fn check(&self, what: &'static str, n: usize) -> Result<(), SolveError> {
        match self {
            Self::Same(_) => Ok(()),
            Self::Each(x) => check_len(what, x.len(), n),
        }
    }
}

/// What became of the trajectories of [`solve_lanes`].
#[derive(Debug, Clone, PartialEq)]
pub struct LaneRuns {
    d: usize,
    /// Saved states, one trajectory after the other.
    saved: Vec<f64>,
    /// Where each trajectory's saved states begin, and their end: `[n + 1]`.
    starts: Vec<usize>,
    outcomes: Vec<Result<Stats, SolveError>>,
}

impl LaneRuns {
    /// Of every trajectory, its statistics or why it stopped.
    pub fn outcomes(&self) -> &[Result<Stats, SolveError>] {
        &self.outcomes
    }

    /// States of trajectory `i` at its save times, `[times, d]`. After a failure, zeros where it did not come to.
    ///
    /// # Panics
    /// If there is no such trajectory.
    pub fn saved(&self, i: usize) -> &[f64] {
        &self.saved[self.starts[i] * self.d..self.starts[i + 1] * self.d]
    }

    /// The statistics of all trajectories, added up; `h_next` is zero.
    ///
    /// # Errors
    /// [`LaneError::Trajectory`]: the first that failed.
    pub fn total(&self) -> Result<Stats, LaneError> {
        let mut total = Stats::default();
        for (trajectory, outcome) in self.outcomes.iter().enumerate() {
            match outcome {
                Ok(stats) => {
                    total.work.evals += stats.work.evals;
                    total.accepted += stats.accepted;
                    total.rejected += stats.rejected;
                }
                Err(source) => return Err(LaneError::Trajectory { trajectory, source: source.clone() }),
            }
        }
        Ok(total)
    }
}

/// Errors of an ensemble.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LaneError {
    /// What was asked cannot be done; nothing ran.
    #[error(transparent)]
    Arguments(#[from] SolveError),
    /// A trajectory stopped, or what was asked of it cannot be done.
    #[error("trajectory {trajectory}: {source}")]
    Trajectory {
        /// Its number.
        trajectory: usize,
        /// Why.
        source: SolveError,
    },
}

/// Solves `n` trajectories of one model by Tsitouras 5(4), 16 at a time in the lanes of vectors, over rayon's current
/// thread pool. Every lane has its own time and step size, stops at its own saved times and discontinuities, and takes the next
/// trajectory when its own has ended.
///
/// `y`, `[n, d]`, holds the start states and becomes the end states; `p` is `[n_params]`, the same for all, or
/// `[n, n_params]`. Steps, saved states and statistics are those of [`solve`](crate::solve) with
/// [`TSIT5`](crate::TSIT5), to rounding. A trajectory's bits depend on nothing but its own data and the machine: not on
/// its neighbours, its place, or the number of threads.
///
/// # Errors
/// [`LaneError`] for arguments that cannot be used, before anything runs. A trajectory that fails on its way stops by
/// itself, in its last accepted state: see [`LaneRuns::outcomes`] and [`LaneRuns::total`].
///
/// ```
/// use chreode_core::{Dynamics, Number, put, take};
/// use chreode_solve::{PerTrajectory, SolveOptions, solve_lanes};
/// struct Lorenz;
/// impl Dynamics for Lorenz {
///     fn dim(&self) -> usize { 3 }
///     fn n_params(&self) -> usize { 3 }
///     #[inline(always)]
///     fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
///         let ([x, y, z], [sigma, rho, beta]) = (take(y), take(p));
///         put(dy, [sigma * (y - x), x * (rho - z) - y, x * y - beta * z]);
///     }
/// }
/// let p: Vec<f64> = (0..100).flat_map(|i| [10.0, 0.2 * f64::from(i), 8.0 / 3.0]).collect();
/// let mut y = [1.0, 0.0, 0.0].repeat(100);
/// let options = SolveOptions { save_at: &[0.5], ..SolveOptions::tolerance(1e-6, 1e-8) };
/// let runs = solve_lanes(&Lorenz, &p, &mut y, PerTrajectory::Same((0.0, 1.0)), PerTrajectory::Same(options))?;
/// assert!(runs.total()?.accepted > 500 && runs.saved(7).len() == 3);
/// # Ok::<(), chreode_solve::LaneError>(())
/// ```
pub fn solve_lanes<D: Dynamics + Sync>(
    model: &D,
    p: &[f64],
    y: &mut [f64],
    span: PerTrajectory<'_, (f64, f64)>,
    options: PerTrajectory<'_, SolveOptions<'_>>,
) -> Result<LaneRuns, LaneError> {
    let d = model.dim();
    let n = rows(y.len(), d)?;
    let np = model.n_params();
    if p.len() != np {
        check_len("parameters (of all trajectories, or of each)", p.len(), n * np)?;
    }
    span.check("spans", n)?;
    options.check("options", n)?;
    if let (PerTrajectory::Same(span), PerTrajectory::Same(options)) = (span, options) {
        check(&options, span, d)?;
    } else {
        for trajectory in 0..n {
            check(&options.of(trajectory), span.of(trajectory), d)
                .map_err(|source| LaneError::Trajectory { trajectory, source })?;
        }
    }

    let mut starts = Vec::with_capacity(n + 1);
    let mut end = 0;
    starts.push(0);
    for i in 0..n {
        end += options.of(i).save_at.len();
        starts.push(end);
    }
    let mut saved = vec![0.0; end * d];
    // Overwritten for every trajectory.
    let mut outcomes = vec![Ok(Stats { work: Work::default(), ..Stats::default() }); n];
    let mut tiles = Vec::with_capacity(n.div_ceil(TILE));
    let mut rest = saved.as_mut_slice();
    for (i, (y, outcomes)) in y.chunks_mut(TILE * d).zip(outcomes.chunks_mut(TILE)).enumerate() {
        let first = i * TILE;
        let len = (starts[first + outcomes.len()] - starts[first]) * d;
        let (saved, after) = std::mem::take(&mut rest).split_at_mut(len);
        rest = after;
        tiles.push(Tile { model, p, span, options, starts: &starts, first, y, saved, outcomes });
    }
    tiles.into_par_iter().for_each(dispatch);
    log_lanes(&outcomes);
    Ok(LaneRuns { d, saved, starts, outcomes })
}

fn check(options: &SolveOptions<'_>, span: (f64, f64), d: usize) -> Result<(), SolveError> {
    if let StepSize::Fixed(got) = options.step {
        return Err(SolveError::InvalidOption { what: "step of a lane", must: "adaptive, not fixed", got });
    }
    options.check(span, d)
}

/// A part of the trajectories, and where their results go.
pub(super) struct Tile<'a, D> {
    pub(super) model: &'a D,
    pub(super) p: &'a [f64],
    pub(super) span: PerTrajectory<'a, (f64, f64)>,
    pub(super) options: PerTrajectory<'a, SolveOptions<'a>>,
    pub(super) starts: &'a [usize],
    /// Number of the first trajectory; the slices below begin with it.
    pub(super) first: usize,
    pub(super) y: &'a mut [f64],
    pub(super) saved: &'a mut [f64],
    pub(super) outcomes: &'a mut [Result<Stats, SolveError>],
}

impl<D> Tile<'_, D> {
    /// Start and end state of the tile's trajectory `row`.
    pub(super) fn state(&mut self, row: usize, d: usize) -> &mut [f64] {
        &mut self.y[row * d..(row + 1) * d]
    }

    /// State number `i` that is saved of the tile's trajectory `row`.
    pub(super) fn save(&mut self, row: usize, i: usize, d: usize) -> &mut [f64] {
        let at = self.starts[self.first + row] - self.starts[self.first] + i;
        &mut self.saved[at * d..(at + 1) * d]
    }
}

impl<D: Dynamics> Kernel for Tile<'_, D> {
    type Output = ();
    #[inline(always)]
    fn run<const ISA: u8>(self) {
        Group::<D, ISA>::new(self).run();
    }
}
