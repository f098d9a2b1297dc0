//! How well a model carries the cells of a clone on: paths from its cells at one time beside its cells at a later one.
//!
//! The energy score of paths `X, X'` from the cells of a clone and its later cells `y`, the mean of `|X - y| - |X - X'| / 2`, is smallest on
//! average if and only if paths are distributed as the clone's later cells [Gneiting & Raftery 2007, JASA 102, 359]. The score of paths of
//! all clones together stands beside it: a model that knows no more than that each clone is one of them is no better. Cells of a clone at
//! two times are relatives, not ancestors and descendants, so that of a model which is right the scores fall short of what paths from the ancestors
//! themselves would have, by as much as a clone had spread before it was first seen.

use crate::trainer::scale;
use crate::{Model, Snapshots, TrainError};
use chreode_core::{Diffusion, Growth, Real, sub_seed};
use chreode_solve::{EnsembleOptions, TimeGrid, simulate, simulate_weighted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Paths of all clones that a clone's cells are compared with, at most.
const COMMON: usize = 1024;

/// Cells whose clones are followed, and how.
#[derive(Debug, Clone, Copy)]
pub struct CloneCells<'a, T> {
    /// The cells, with their clones.
    pub data: &'a Snapshots<T>,
    /// Rows of the cells that count, for each time.
    pub rows: &'a [Vec<u32>],
    /// One over the scale of each coordinate, `[d]`; empty for none.
    pub inverse_scale: &'a [T],
    /// Longest step of the simulation, in units of the times.
    pub dt: f64,
    /// Paths from each cell, two at least.
    pub paths: usize,
    /// Seed of the noise.
    pub seed: u64,
}

/// How well clones are followed from one time to another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloneScore {
    /// The time of the cells at which paths start.
    pub start: f64,
    /// The time of the cells with which they are compared.
    pub target: f64,
    /// Clones with cells at both.
    pub clones: usize,
    /// Energy score of the paths of each clone, mean over clones, in scaled units; less is better.
    pub score: f64,
    /// The score of the paths of all these clones together.
    pub without: f64,
    /// Standard error of `without - score` over clones.
    pub standard_error: f64,
}

impl CloneScore {
    /// The part of the score without clones by which the model is better for knowing where each clone was; none below zero is.
    pub fn gain(&self) -> f64 {
        1.0 - self.score / self.without
    }
}

/// Follows clones with the model from each time to the next, and from the first to every later one. Pairs of times that fewer than two
/// clones share are left out.
///
/// # Errors
/// [`TrainError::Data`] for cells that name no clones, [`TrainError::Setting`] for fewer than two paths, [`TrainError::Solve`],
/// [`TrainError::States`] if cells cannot be read.
///
/// # Panics
/// If a row is not in the data.
pub fn clone_scores<T, S, G>(
    model: &Model<S, G>,
    p: &[T],
    cells: &CloneCells<'_, T>,
) -> Result<Vec<CloneScore>, TrainError>
where
    T: Real,
    S: Diffusion<T> + Clone + Send + Sync,
    G: Growth<T> + Clone + Send + Sync,
{
    let CloneCells { data, rows, .. } = *cells;
    data.check()?;
    if data.groups.is_empty() {
        return Err(TrainError::Data { what: "no clones to follow", time: 0, row: 0 });
    }
    if cells.paths < 2 {
        let value = cells.paths as f64;
        return Err(TrainError::Setting { name: "paths", value, rule: "must be at least 2" });
    }
    // Rows of each clone at each time.
    let mut clones: BTreeMap<u64, Vec<Vec<u32>>> = BTreeMap::new();
    for (time, rows) in rows.iter().enumerate() {
        for &row in rows {
            if let Some(id) = data.groups[time][row as usize] {
                clones.entry(id).or_insert_with(|| vec![Vec::new(); data.times.len()])[time].push(row);
            }
        }
    }
    let last = data.times.len() - 1;
    let pairs = (0..last).map(|k| (k, k + 1)).chain((2..=last).map(|k| (0, k)));
    let mut out = Vec::new();
    for (start, target) in pairs {
        let both: Vec<[&[u32]; 2]> = clones
            .values()
            .map(|rows| [&rows[start][..], &rows[target]])
            .filter(|rows| rows.iter().all(|r| !r.is_empty()))
            .collect();
        if both.len() > 1 {
            out.push(follow(model, p, cells, [start, target], &both)?);
        }
    }
    Ok(out)
}

/// Scaled end states of paths and their weights.
struct Ends {
    states: Vec<f64>,
    weights: Vec<f64>,
}

fn follow<T, S, G>(
    model: &Model<S, G>,
    p: &[T],
    cells: &CloneCells<'_, T>,
    [start, target]: [usize; 2],
    clones: &[[&[u32]; 2]],
) -> Result<CloneScore, TrainError>
where
    T: Real,
    S: Diffusion<T> + Clone + Send + Sync,
    G: Growth<T> + Clone + Send + Sync,
{
    let (data, d) = (cells.data, cells.data.dim);
    let mut rows = Vec::new();
    for row in clones.iter().flat_map(|[before, _]| before.iter().copied()) {
        rows.extend(std::iter::repeat_n(row, cells.paths));
    }
    let mut y0 = vec![T::ZERO; rows.len() * d];
    data.states[start].gather(d, &rows, &mut y0)?;
    let grid = TimeGrid::new(data.times[start], &[data.times[target]], cells.dt)?;
    let floor = |_: f64, y: &mut [T]| y.iter_mut().for_each(|v| *v = v.max(T::ZERO));
    let mut options = EnsembleOptions::new(sub_seed(cells.seed, "clones"));
    if model.non_negative {
        options.after_step = Some(&floor);
    }
    let mut paths = match &model.growth {
        Some(growth) => simulate_weighted(&model.sde, growth, p, &y0, &grid, &options)?,
        None => simulate(&model.sde, p, &y0, &grid, &options)?,
    };
    let scaled = |mut states: Vec<T>| -> Vec<f64> {
        if !cells.inverse_scale.is_empty() {
            scale(&mut states, cells.inverse_scale);
        }
        states.iter().map(|x| x.f64()).collect()
    };
    let states = scaled(paths.states.swap_remove(0));
    let weights: Vec<f64> = match paths.log_weights.pop() {
        Some(log_weights) => {
            let top = log_weights.iter().fold(f64::NEG_INFINITY, |top, w| top.max(w.f64()));
            log_weights.iter().map(|w| (w.f64() - top).exp().max(f64::MIN_POSITIVE)).collect()
        }
        None => vec![1.0; states.len() / d],
    };
    // Paths of all clones: every so many of them.
    let every = weights.len().div_ceil(COMMON).max(1);
    let some = || (0..weights.len()).step_by(every);
    let common = Ends {
        states: some().flat_map(|i| &states[i * d..(i + 1) * d]).copied().collect(),
        weights: some().map(|i| weights[i]).collect(),
    };
    let spread = common.spread(d);
    let (mut first, mut score, mut without, mut square) = (0, 0.0, 0.0, 0.0);
    for [rows, later] in clones {
        let n = rows.len() * cells.paths;
        let own = Ends {
            states: states[first * d..(first + n) * d].to_vec(),
            weights: weights[first..first + n].to_vec(),
        };
        first += n;
        let mut y = vec![T::ZERO; later.len() * d];
        data.states[target].gather(d, later, &mut y)?;
        let y = scaled(y);
        let (own, all) = (own.distance(d, &y) - own.spread(d), common.distance(d, &y) - spread);
        score += own;
        without += all;
        square += (all - own).powi(2);
    }
    let n = clones.len() as f64;
    let gain = (without - score) / n;
    Ok(CloneScore {
        start: data.times[start],
        target: data.times[target],
        clones: clones.len(),
        score: score / n,
        without: without / n,
        standard_error: ((square / n - gain * gain).max(0.0) / (n - 1.0)).sqrt(),
    })
}

impl Ends {
    /// Mean distance to the cells `y`, `[m, d]`.
    fn distance(&self, d: usize, y: &[f64]) -> f64 {
        let (mut sum, mut mass) = (0.0, 0.0);
        for (x, w) in self.states.chunks_exact(d).zip(&self.weights) {
            sum += w * y.chunks_exact(d).map(|y| distance(x, y)).sum::<f64>();
            mass += w;
        }
        sum / mass / (y.len() / d) as f64
    }

    /// Half of the mean distance between two different paths.
    fn spread(&self, d: usize) -> f64 {
        let (mut sum, mut mass) = (0.0, 0.0);
        for (i, (a, u)) in self.states.chunks_exact(d).zip(&self.weights).enumerate() {
            for (b, v) in self.states.chunks_exact(d).zip(&self.weights).take(i) {
                sum += u * v * distance(a, b);
                mass += u * v;
            }
        }
        0.5 * sum / mass
    }
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}
