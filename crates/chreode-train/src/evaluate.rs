//! How far simulated cells are from observed ones, and how far two samples of the same cells would be.

use crate::split::{Sampler, shuffle};
use crate::trainer::scale;
use crate::{Cloud, CloudLoss, LossConfig, Model, Snapshots, States, TrainError};
use chreode_core::{Diffusion, Growth, Real, sub_seed};
use chreode_solve::{EnsembleOptions, TimeGrid, simulate, simulate_weighted};
use rand::SeedableRng;
use rand_pcg::Pcg64;

/// What a comparison of clouds depends on beside the cells.
#[derive(Debug, Clone)]
pub struct Comparison<'a, T> {
    /// The loss. The unbiased energy distance has mean zero between two samples of one distribution.
    pub loss: LossConfig,
    /// One over the scale of each coordinate, `[d]`; empty for none.
    pub inverse_scale: &'a [T],
    /// Simulated cells, and at most so many observed ones.
    pub cells: usize,
    /// Seed of the cells that are drawn and of the noise.
    pub seed: u64,
}

/// Mean and spread of the distance between two samples of the same cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingFloor {
    /// Mean over the repeats.
    pub mean: f64,
    /// Standard deviation over the repeats; zero for one.
    pub sd: f64,
    /// Cells in each of the two samples.
    pub cells: usize,
}

/// Distance between two disjoint random samples of one cloud: what a perfect model would be at, within its spread.
///
/// `states` is `[n, d]`; each sample has `comparison.cells` cells, or half of all if there are fewer.
///
/// # Errors
/// [`TrainError::TooFewCells`] (with NaN for the time) below four cells, [`TrainError::Setting`] for no repeats,
/// [`TrainError::States`], those of the loss.
pub fn sampling_floor<T: Real>(
    states: &States<T>,
    d: usize,
    comparison: &Comparison<'_, T>,
    repeats: usize,
) -> Result<SamplingFloor, TrainError> {
    let all: Vec<u32> = (0..states.cells(d) as u32).collect();
    floor_of(states, &all, d, comparison, repeats)
}

/// The same of the cells `of`.
pub(crate) fn floor_of<T: Real>(
    states: &States<T>,
    of: &[u32],
    d: usize,
    comparison: &Comparison<'_, T>,
    repeats: usize,
) -> Result<SamplingFloor, TrainError> {
    let n = of.len();
    if n < 4 {
        return Err(TrainError::TooFewCells { time: f64::NAN, found: n, needed: 4 });
    }
    if repeats == 0 {
        return Err(TrainError::Setting { name: "repeats", value: 0.0, rule: "must be at least 1" });
    }
    let cells = comparison.cells.min(n / 2);
    let mut loss = CloudLoss::new(d, &comparison.loss)?;
    let mut rng = Pcg64::seed_from_u64(sub_seed(comparison.seed, "sampling floor"));
    let mut rows = of.to_vec();
    let values = (0..repeats)
        .map(|_| {
            shuffle(&mut rows, &mut rng);
            let x = picked(states, d, &rows[..cells], comparison.inverse_scale)?;
            let y = picked(states, d, &rows[cells..2 * cells], comparison.inverse_scale)?;
            Ok(loss.evaluate(Cloud::equal(&x), Cloud::equal(&y), None)?.value)
        })
        .collect::<Result<Vec<f64>, TrainError>>()?;
    let mean = values.iter().sum::<f64>() / repeats as f64;
    let square: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let sd = if repeats > 1 { (square / (repeats - 1) as f64).sqrt() } else { 0.0 };
    Ok(SamplingFloor { mean, sd, cells })
}

/// Distance of simulated to observed cells: starts at the cells of time number `start`, ends at `target`.
///
/// Start cells and observed cells are drawn without replacement. Where there are fewer start cells than asked for,
/// each starts several paths, whose pairs the unbiased energy distance leaves out; `dt` is the longest step.
/// Simulated cells carry the model's growth weights if it has growth, else, with `column_growth`, those of the data's
/// rates.
///
/// # Errors
/// [`TrainError::Data`] if `target` is not after `start` or not in the data, [`TrainError::States`], [`TrainError::Solve`],
/// those of the loss.
pub fn distance_to_time<T, S, G>(
    model: &Model<S, G>,
    p: &[T],
    data: &Snapshots<T>,
    start: usize,
    target: usize,
    dt: f64,
    column_growth: bool,
    comparison: &Comparison<'_, T>,
) -> Result<f64, TrainError>
where
    T: Real,
    S: Diffusion<T> + Clone + Send + Sync,
    G: Growth<T> + Clone + Send + Sync,
{
    data.check()?;
    if target >= data.times.len() || start >= target {
        return Err(TrainError::Data { what: "no such pair of times", time: target, row: 0 });
    }
    let d = data.dim;
    let mut rng = Pcg64::seed_from_u64(sub_seed(comparison.seed, "distance"));
    let mut draw = |time: usize, count: usize| {
        let mut rows = vec![0; count];
        Sampler::new(&(0..data.cells(time) as u32).collect::<Vec<_>>()).draw(&mut rng, &mut rows);
        rows
    };
    let start_rows = draw(start, comparison.cells);
    let target_rows = draw(target, comparison.cells.min(data.cells(target)));
    let y0 = picked(&data.states[start], d, &start_rows, &[])?;
    let grid = TimeGrid::new(data.times[start], &[data.times[target]], dt)?;
    let floor = |_: f64, y: &mut [T]| y.iter_mut().for_each(|v| *v = v.max(T::ZERO));
    let mut options = EnsembleOptions::new(sub_seed(comparison.seed, "distance noise"));
    if model.non_negative {
        options.after_step = Some(&floor);
    }
    let mut paths = match &model.growth {
        Some(growth) => simulate_weighted(&model.sde, growth, p, &y0, &grid, &options)?,
        None => simulate(&model.sde, p, &y0, &grid, &options)?,
    };
    let mut x = paths.states.swap_remove(0);
    if !comparison.inverse_scale.is_empty() {
        scale(&mut x, comparison.inverse_scale);
    }
    let log_weights: Vec<T> = match paths.log_weights.pop() {
        Some(w) => w,
        None if column_growth && !data.growth.is_empty() => {
            let span = T::c(data.times[target] - data.times[start]);
            start_rows.iter().map(|&r| span * data.growth[start][r as usize]).collect()
        }
        None => Vec::new(),
    };
    let y = picked(&data.states[target], d, &target_rows, comparison.inverse_scale)?;
    let mut loss = CloudLoss::new(d, &comparison.loss)?;
    let origins = if comparison.cells > data.cells(start) { &start_rows[..] } else { &[] };
    let x = Cloud { states: &x, log_weights: &log_weights, origins };
    Ok(loss.evaluate(x, Cloud::equal(&y), None)?.value)
}

/// Rows of `[n, d]`, scaled.
fn picked<T: Real>(
    states: &States<T>,
    d: usize,
    rows: &[u32],
    inverse_scale: &[T],
) -> Result<Vec<T>, TrainError> {
    let mut out = vec![T::ZERO; rows.len() * d];
    states.gather(d, rows, &mut out)?;
    if !inverse_scale.is_empty() {
        scale(&mut out, inverse_scale);
    }
    Ok(out)
}
