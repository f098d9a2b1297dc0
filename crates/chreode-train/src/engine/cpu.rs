//! Paths and their gradients on the processor's cores.
//!
//! The rows of every segment are cut into tiles of 64 and the tiles into at most 16 groups: a partition that
//! depends on the numbers of rows alone. A group works through its tiles in order with its own clone of the
//! model and its own gradient, and the groups' gradients are added in order: the same bits for any number of
//! threads.

use super::{Engine, Failure};
use crate::Model;
use chreode_adjoint::{AdjointError, Checkpoints, SdeAdjoint};
use chreode_core::{BrownianIncrements, DiffusionVjp, GrowthVjp, Real};
use chreode_solve::{SdeMethod, TILE, TimeGrid};
use rayon::prelude::*;
use std::ops::Range;

/// Gradients that are accumulated side by side.
const MAX_GROUPS: usize = 16;
/// Parameters that are added up by one job.
const REDUCE: usize = 4096;

/// Paths that start together: the same start time, observation times and steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Start, observation times and steps.
    pub grid: TimeGrid,
    /// Number of paths.
    pub rows: usize,
}

/// A failed call: which segment and row, as far as it is known.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("segment {segment}: {source}")]
pub struct EngineError {
    /// Number of the segment.
    pub segment: usize,
    /// Row within the segment; none if the failure is not that of one path.
    pub row: Option<usize>,
    /// What happened.
    pub source: AdjointError,
}

/// One tile of one segment.
#[derive(Debug, Clone)]
struct Tile<T> {
    segment: usize,
    rows: Range<usize>,
    adjoint: SdeAdjoint<T>,
    start_bar: Vec<T>,
}

/// What works through some tiles in order.
#[derive(Debug, Clone)]
struct Group<T, S, G> {
    sde: S,
    growth: Option<G>,
    p_bar: Vec<T>,
    result: Result<(), EngineError>,
}

/// Observed states and log-weights of a segment, one for each observation time.
#[derive(Debug, Clone)]
struct Observed<T> {
    states: Vec<Vec<T>>,
    log_weights: Vec<Vec<T>>,
}

/// Simulates segments of paths and differentiates them; sized once.
#[derive(Debug, Clone)]
pub struct CpuEngine<T, S, G> {
    d: usize,
    segments: Vec<Segment>,
    tiles: Vec<Tile<T>>,
    tiles_per_group: usize,
    groups: Vec<Group<T, S, G>>,
    observed: Vec<Observed<T>>,
}

impl<T, S, G> CpuEngine<T, S, G>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send + Sync,
    G: GrowthVjp<T> + Clone + Send + Sync,
{
    /// An engine for these segments, each with at least one row.
    pub fn new(model: &Model<S, G>, segments: Vec<Segment>) -> Self {
        let d = model.sde.dim();
        let mut tiles = Vec::new();
        for (i, segment) in segments.iter().enumerate() {
            for start in (0..segment.rows).step_by(TILE) {
                let rows = start..(start + TILE).min(segment.rows);
                let (method, grid) = (SdeMethod::EulerMaruyama, &segment.grid);
                let adjoint = SdeAdjoint::with_method(method, Checkpoints::All, rows.len(), &model.sde, grid);
                // Noise that the method cannot treat is an error of the first pass.
                let adjoint = adjoint.unwrap_or_else(|_| SdeAdjoint::new(rows.len(), d, grid));
                tiles.push(Tile {
                    segment: i,
                    adjoint: adjoint.non_negative(model.non_negative),
                    start_bar: vec![T::ZERO; rows.len() * d],
                    rows,
                });
            }
        }
        let tiles_per_group = tiles.len().div_ceil(MAX_GROUPS).max(1);
        let group = Group {
            sde: model.sde.clone(),
            growth: model.growth.clone(),
            p_bar: vec![T::ZERO; model.sde.n_params()],
            result: Ok(()),
        };
        let weighted = model.growth.is_some();
        let observed = segments
            .iter()
            .map(|s| Observed {
                states: vec![vec![T::ZERO; s.rows * d]; s.grid.observe().len()],
                log_weights: vec![vec![T::ZERO; if weighted { s.rows } else { 0 }]; s.grid.observe().len()],
            })
            .collect();
        Self {
            d,
            groups: vec![group; tiles.len().div_ceil(tiles_per_group)],
            segments,
            tiles,
            tiles_per_group,
            observed,
        }
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Simulates every segment from its `starts`, `[rows, d]` each; row `i` of segment `s` is trajectory
    /// `first_trajectory[s] + i` of the noise.
    ///
    /// # Errors
    /// [`EngineError`] naming segment and row of the first path that failed.
    pub fn simulate(
        &mut self,
        p: &[T],
        noise: &BrownianIncrements,
        first_trajectory: &[u64],
        starts: &[Vec<T>],
    ) -> Result<(), EngineError> {
        let (d, segments) = (self.d, &self.segments);
        let jobs = self.groups.par_iter_mut().zip(self.tiles.par_chunks_mut(self.tiles_per_group));
        jobs.for_each(|(group, tiles)| {
            group.result = tiles.iter_mut().try_for_each(|tile| {
                let first = first_trajectory[tile.segment];
                let start = &starts[tile.segment][tile.rows.start * d..tile.rows.end * d];
                let growth = group.growth.as_mut().map(|g| g as &mut dyn GrowthVjp<T>);
                let (grid, at) = (&segments[tile.segment].grid, first + tile.rows.start as u64);
                tile.adjoint
                    .forward(&mut group.sde, growth, noise, at, grid, start, p)
                    .map_err(|source| located(tile.segment, first, source))
            });
        });
        self.first_error()?;
        for tile in &self.tiles {
            let out = &mut self.observed[tile.segment];
            for (i, (states, log_weights)) in out.states.iter_mut().zip(&mut out.log_weights).enumerate() {
                states[tile.rows.start * d..tile.rows.end * d].copy_from_slice(tile.adjoint.observed(i));
                if !log_weights.is_empty() {
                    log_weights[tile.rows.clone()].copy_from_slice(tile.adjoint.log_weights(i));
                }
            }
        }
        Ok(())
    }

    /// States of a segment at its observation number `i`, `[rows, d]`.
    ///
    /// # Panics
    /// If there is no such segment or observation.
    pub fn states(&self, segment: usize, i: usize) -> &[T] {
        &self.observed[segment].states[i]
    }

    /// Log-weights of a segment at its observation number `i`, `[rows]`; empty if the model has no growth.
    ///
    /// # Panics
    /// If there is no such segment or observation.
    pub fn log_weights(&self, segment: usize, i: usize) -> &[T] {
        &self.observed[segment].log_weights[i]
    }

    /// Sets `p_bar` to the gradient of a loss whose gradients to the observed states and log-weights are
    /// `state_bar[s][i]` (`[rows, d]`) and `log_weight_bar[s][i]` (`[rows]`, or empty). The other arguments are
    /// those of the last [`simulate`](Self::simulate). Allocates nothing.
    ///
    /// # Errors
    /// [`EngineError`] naming segment and row of the first path whose adjoint failed, or the segment whose gradients
    /// have another shape.
    pub fn pull_back(
        &mut self,
        p: &[T],
        noise: &BrownianIncrements,
        first_trajectory: &[u64],
        state_bar: &[Vec<Vec<T>>],
        log_weight_bar: &[Vec<Vec<T>>],
        p_bar: &mut [T],
    ) -> Result<(), EngineError> {
        let (d, segments) = (self.d, &self.segments);
        check_bars("gradients to the states", segments, state_bar, d)?;
        check_bars("gradients to the log-weights", segments, log_weight_bar, 1)?;
        let jobs = self.groups.par_iter_mut().zip(self.tiles.par_chunks_mut(self.tiles_per_group));
        jobs.for_each(|(group, tiles)| {
            group.p_bar.fill(T::ZERO);
            group.result = tiles.iter_mut().try_for_each(|tile| {
                let first = first_trajectory[tile.segment];
                let rows = &tile.rows;
                let (states, log_weights) = (&state_bar[tile.segment], &log_weight_bar[tile.segment]);
                let jump =
                    |i| (part(states, i, rows.start * d..rows.end * d), part(log_weights, i, rows.clone()));
                let growth = group.growth.as_mut().map(|g| g as &mut dyn GrowthVjp<T>);
                let (grid, at) = (&segments[tile.segment].grid, first + rows.start as u64);
                tile.adjoint
                    .backward_by(
                        &mut group.sde,
                        growth,
                        noise,
                        at,
                        grid,
                        p,
                        &jump,
                        &mut tile.start_bar,
                        &mut group.p_bar,
                    )
                    .map_err(|source| located(tile.segment, first, source))
            });
        });
        self.first_error()?;
        let groups = &self.groups;
        p_bar.par_chunks_mut(REDUCE).enumerate().for_each(|(k, out)| {
            out.fill(T::ZERO);
            for group in groups {
                for (o, &g) in out.iter_mut().zip(&group.p_bar[k * REDUCE..]) {
                    *o += g;
                }
            }
        });
        Ok(())
    }

    /// The first error in the order of the tiles.
    fn first_error(&mut self) -> Result<(), EngineError> {
        self.groups.iter_mut().try_for_each(|group| std::mem::replace(&mut group.result, Ok(())))
    }
}

impl<T, S, G> Engine<T> for CpuEngine<T, S, G>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send + Sync,
    G: GrowthVjp<T> + Clone + Send + Sync,
{
    fn simulate(
        &mut self,
        p: &[T],
        seed: u64,
        first_trajectory: &[u64],
        starts: &[Vec<T>],
    ) -> Result<(), Failure> {
        Ok(self.simulate(p, &BrownianIncrements::new(seed), first_trajectory, starts)?)
    }

    fn states(&self, segment: usize, i: usize) -> &[T] {
        self.states(segment, i)
    }

    fn log_weights(&self, segment: usize, i: usize) -> &[T] {
        self.log_weights(segment, i)
    }

    fn pull_back(
        &mut self,
        p: &[T],
        seed: u64,
        first_trajectory: &[u64],
        state_bar: &[Vec<Vec<T>>],
        log_weight_bar: &[Vec<Vec<T>>],
        p_bar: &mut [T],
    ) -> Result<(), Failure> {
        let noise = BrownianIncrements::new(seed);
        Ok(self.pull_back(p, &noise, first_trajectory, state_bar, log_weight_bar, p_bar)?)
    }
}

/// Checks that there is a list for each segment, that it holds nothing or an entry for each observation, and the
/// entry nothing or `width` numbers a row.
fn check_bars<T>(
    what: &'static str,
    segments: &[Segment],
    bars: &[Vec<Vec<T>>],
    width: usize,
) -> Result<(), EngineError> {
    let check = |segment, got, expected, may_be_empty| {
        if got == expected || (may_be_empty && got == 0) {
            return Ok(());
        }
        Err(EngineError { segment, row: None, source: AdjointError::ShapeMismatch { what, expected, got } })
    };
    check(0, bars.len(), segments.len(), false)?;
    segments.iter().zip(bars).enumerate().try_for_each(|(i, (segment, lists))| {
        check(i, lists.len(), segment.grid.observe().len(), true)?;
        lists.iter().try_for_each(|bar| check(i, bar.len(), segment.rows * width, true))
    })
}

/// A part of the entry for observation `i`; an empty slice, which stands for zeros, where there is nothing.
fn part<T>(bars: &[Vec<T>], i: usize, range: Range<usize>) -> &[T] {
    bars.get(i).and_then(|bar| bar.get(range)).unwrap_or_default()
}

/// Puts segment and row to an error, whose trajectory becomes the row too: its number in the noise tells a user nothing.
fn located(segment: usize, first: u64, mut source: AdjointError) -> EngineError {
    use chreode_solve::SolveError;
    let trajectory = match &mut source {
        AdjointError::NonFinite { trajectory, .. }
        | AdjointError::ReplayDiffers { trajectory, .. }
        | AdjointError::Solve(
            SolveError::NonFinite { trajectory, .. }
            | SolveError::NonFiniteDerivative { trajectory, .. }
            | SolveError::NonFiniteWeight { trajectory, .. },
        ) => {
            *trajectory -= first;
            Some(*trajectory as usize)
        }
        AdjointError::NonFiniteGradient { first: from, last, .. } => {
            *from -= first;
            *last -= first;
            None
        }
        _ => None,
    };
    EngineError { segment, row: trajectory, source }
}
