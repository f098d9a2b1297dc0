//! Multiple shooting: trajectories cut into windows, each simulated from a free start state.
//!
//! The loss is that at the observations, plus the mean squared gap between the end of a window and the start of the next.
//! Gradients by the discrete adjoint, whose state jumps at observations and ends. Windows with the same times are one
//! batch; batches run side by side, and their gradients are summed in their order, so that threads change no bit.
//!
//! Multiple shooting: [BP84].

use chreode_adjoint::{AdjointError, OdeAdjoint};
use chreode_core::Vjp;
use chreode_solve::{SolveOptions, TSIT5};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Series, SeriesLoss};

/// Rows of one batch.
const BATCH: usize = 32;

/// What the evaluations of all tiles may take that are kept for the way back.
const KEPT_BYTES: usize = 1 << 28;

/// One window: observations `first..=last` of a trajectory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) trajectory: usize,
    pub(super) first: usize,
    last: usize,
    /// Whether another window begins where this one ends.
    joined: bool,
}

/// Windows with the same times, and what simulating them needs.
#[derive(Debug)]
struct Tile<F> {
    windows: Vec<usize>,
    /// Times of the observations, the start first.
    times: Vec<f64>,
    field: F,
    adjoint: OdeAdjoint<f64>,
    /// States at `times`, `[times, windows, d]`, and the gradient with respect to them.
    predicted: Vec<f64>,
    bar: Vec<f64>,
    start_bar: Vec<f64>,
    p_bar: Vec<f64>,
    outcome: Result<(), AdjointError>,
}

/// What is fixed in a fit: the data, what is made small, and how accurately it is simulated.
#[derive(Debug)]
pub(super) struct Objective {
    /// The series with NaN where a value is held out, and the other way round.
    pub(super) train: Series,
    pub(super) held_out: Series,
    pub(super) shift: Vec<f64>,
    pub(super) scale: Vec<f64>,
    pub(super) loss: SeriesLoss,
    pub(super) continuity: f64,
    pub(super) tolerance: f64,
}

/// Losses of one evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Losses {
    /// That at the observations trained on.
    pub(super) train: f64,
    /// That at those held out, if there are any.
    pub(super) hold_out: Option<f64>,
    /// Mean squared gap between windows, in units of the spread.
    pub(super) gap: f64,
    /// Root mean square of the residuals of each coordinate.
    pub(super) residual: Vec<f64>,
}

/// Sums over the residuals of each coordinate.
#[derive(Debug, Clone)]
struct Residuals {
    squares: Vec<f64>,
    count: Vec<f64>,
}

impl Residuals {
    fn new(d: usize) -> Self {
        Self { squares: vec![0.0; d], count: vec![0.0; d] }
    }

    fn add(&mut self, predicted: &[f64], measured: &[f64]) {
        for (j, (x, y)) in predicted.iter().zip(measured).enumerate() {
            if !y.is_nan() {
                self.squares[j] += (x - y).powi(2);
                self.count[j] += 1.0;
            }
        }
    }

    fn total(&self) -> f64 {
        self.count.iter().sum()
    }
}

/// A standard deviation below this part of the spread is taken for it: a likelihood has no maximum otherwise.
const LEAST_SD: f64 = 1e-3;

/// The simulation of all windows of one length.
#[derive(Debug)]
pub(super) struct Shooting<F> {
    windows: Vec<Window>,
    tiles: Vec<Tile<F>>,
    atol: Vec<f64>,
}

impl<F: Vjp<f64> + Clone + Send> Shooting<F> {
    /// Cuts the trajectories into windows of `length` gaps between observations.
    pub(super) fn new(field: &F, objective: &Objective, length: usize) -> Self {
        let d = objective.train.dim;
        let mut windows = Vec::new();
        for (trajectory, t) in objective.train.trajectories.iter().enumerate() {
            let end = t.times.len() - 1;
            for first in (0..end).step_by(length) {
                let last = first.saturating_add(length).min(end);
                windows.push(Window { trajectory, first, last, joined: last < end });
            }
        }
        let times = |w: &Window| &objective.train.trajectories[w.trajectory].times[w.first..=w.last];
        let mut order: Vec<usize> = (0..windows.len()).collect();
        let bits = |i: usize| times(&windows[i]).iter().map(|t| t.to_bits());
        order.sort_by(|&a, &b| bits(a).cmp(bits(b)).then(a.cmp(&b)));
        let same = order.chunk_by(|&a, &b| bits(a).eq(bits(b)));
        let tiles = same.flat_map(|same| same.chunks(BATCH)).map(|rows| {
            let times = times(&windows[rows[0]]).to_vec();
            let len = times.len() * rows.len() * d;
            Tile {
                windows: rows.to_vec(),
                field: field.clone(),
                adjoint: OdeAdjoint::new(&TSIT5, rows.len(), d),
                predicted: vec![0.0; len],
                bar: vec![0.0; len],
                start_bar: vec![0.0; rows.len() * d],
                p_bar: vec![0.0; field.n_params()],
                outcome: Ok(()),
                times,
            }
        });
        let mut tiles: Vec<Tile<F>> = tiles.collect();
        let share = KEPT_BYTES / tiles.len().max(1);
        tiles.iter_mut().for_each(|tile| tile.adjoint.keep_evaluations(share));
        let atol = objective.scale.iter().map(|s| s * objective.tolerance).collect();
        Self { windows, tiles, atol }
    }

    /// The windows, in the order of their start states.
    pub(super) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The losses with start states `shift + scale z`, `z` of `[windows, d]`; with `gradient`, sets it to the derivative of their sum
    /// (`p` first, then `z`).
    pub(super) fn losses(
        &mut self,
        objective: &Objective,
        p: &[f64],
        z: &[f64],
        gradient: Option<&mut [f64]>,
    ) -> Result<Losses, AdjointError> {
        let d = objective.train.dim;
        let start = |w: usize, j: usize| objective.shift[j] + objective.scale[j] * z[w * d + j];
        let (rtol, atol) = (objective.tolerance, &self.atol);
        self.tiles.par_iter_mut().for_each(|tile| tile.simulate(p, d, rtol, atol, &start));
        for tile in &mut self.tiles {
            std::mem::replace(&mut tile.outcome, Ok(()))?;
        }

        let (mut train, mut held_out) = (Residuals::new(d), Residuals::new(d));
        let (mut gaps, mut joints) = (0.0, 0.0);
        for tile in &self.tiles {
            for (row, k, w) in rows(&tile.windows, tile.times.len(), d) {
                let window = self.windows[w];
                let predicted = &tile.predicted[row..row + d];
                if window.joined && window.first + k == window.last {
                    // The next window's start is that of the next row of `z`.
                    gaps += (0..d)
                        .map(|j| ((predicted[j] - start(w + 1, j)) / objective.scale[j]).powi(2))
                        .sum::<f64>();
                    joints += d as f64;
                } else {
                    train.add(predicted, measured(&objective.train, window, k));
                    held_out.add(predicted, measured(&objective.held_out, window, k));
                }
            }
        }
        let gap = if joints > 0.0 { gaps / joints } else { 0.0 };
        let (scale, total) = (&objective.scale, train.total());
        // The standard deviation by which residuals of each coordinate are measured.
        let sd: Vec<f64> = match objective.loss {
            SeriesLoss::Squared => scale.clone(),
            SeriesLoss::Likelihood => {
                let of =
                    |j: usize| (train.squares[j] / train.count[j].max(1.0)).sqrt().max(LEAST_SD * scale[j]);
                (0..d).map(of).collect()
            }
        };
        let value = |r: &Residuals| {
            let terms = (0..d).map(|j| match objective.loss {
                SeriesLoss::Squared => r.squares[j] / sd[j].powi(2),
                SeriesLoss::Likelihood => {
                    0.5 * r.squares[j] / sd[j].powi(2) + r.count[j] * (sd[j] / scale[j]).ln()
                }
            });
            terms.sum::<f64>() / r.total()
        };
        let losses = Losses {
            train: value(&train),
            hold_out: (held_out.total() > 0.0).then(|| value(&held_out)),
            gap,
            residual: (0..d).map(|j| (train.squares[j] / train.count[j].max(1.0)).sqrt()).collect(),
        };
        let Some(gradient) = gradient else { return Ok(losses) };

        // The learned standard deviations are where the likelihood is stationary: they add nothing.
        let factor = if objective.loss == SeriesLoss::Squared { 2.0 } else { 1.0 };
        let of_residual: Vec<f64> = sd.iter().map(|s| factor / (s * s * total)).collect();
        let of_gap: Vec<f64> =
            scale.iter().map(|s| 2.0 * objective.continuity / (s * s * joints.max(1.0))).collect();
        let (p_bar, z_bar) = gradient.split_at_mut(p.len());
        z_bar.fill(0.0);
        for tile in &mut self.tiles {
            tile.bar.fill(0.0);
            for (row, k, w) in rows(&tile.windows, tile.times.len(), d) {
                let window = self.windows[w];
                let at_join = window.joined && window.first + k == window.last;
                let measured = measured(&objective.train, window, k);
                for j in 0..d {
                    let x = tile.predicted[row + j];
                    if at_join {
                        let bar = of_gap[j] * (x - start(w + 1, j));
                        tile.bar[row + j] = bar;
                        z_bar[(w + 1) * d + j] -= bar * scale[j];
                    } else if !measured[j].is_nan() {
                        tile.bar[row + j] = of_residual[j] * (x - measured[j]);
                    }
                }
            }
        }
        self.tiles.par_iter_mut().for_each(|tile| tile.pull_back(p, d));
        p_bar.fill(0.0);
        for tile in &mut self.tiles {
            std::mem::replace(&mut tile.outcome, Ok(()))?;
            p_bar.iter_mut().zip(&tile.p_bar).for_each(|(sum, b)| *sum += b);
            for (r, &w) in tile.windows.iter().enumerate() {
                for j in 0..d {
                    z_bar[w * d + j] += scale[j] * (tile.start_bar[r * d + j] + tile.bar[r * d + j]);
                }
            }
        }
        Ok(losses)
    }
}

/// The measured values of observation `k` of a window, `[d]`.
fn measured(series: &Series, window: Window, k: usize) -> &[f64] {
    let at = (window.first + k) * series.dim;
    &series.trajectories[window.trajectory].values[at..at + series.dim]
}

/// Of each observation of each window of a tile: where its state begins, its number in the window, and the window.
fn rows(windows: &[usize], times: usize, d: usize) -> impl Iterator<Item = (usize, usize, usize)> + '_ {
    let n = windows.len();
    (0..times).flat_map(move |k| windows.iter().enumerate().map(move |(r, &w)| ((k * n + r) * d, k, w)))
}

impl<F: Vjp<f64>> Tile<F> {
    /// Sets `predicted`, and `outcome`.
    fn simulate(
        &mut self,
        p: &[f64],
        d: usize,
        rtol: f64,
        atol: &[f64],
        start: &impl Fn(usize, usize) -> f64,
    ) {
        let nd = self.windows.len() * d;
        let (y, later) = self.predicted.split_at_mut(nd);
        for (r, &w) in self.windows.iter().enumerate() {
            (0..d).for_each(|j| y[r * d + j] = start(w, j));
        }
        let span = (self.times[0], self.times[self.times.len() - 1]);
        let options = SolveOptions { save_at: &self.times[1..], ..SolveOptions::tolerance(rtol, atol) };
        // The run changes its state in place; the start stays in `predicted`.
        self.start_bar.copy_from_slice(y);
        let save = &mut |i: usize, _t: f64, y: &[f64]| later[i * nd..(i + 1) * nd].copy_from_slice(y);
        let run = self.adjoint.forward(&mut self.field, p, &mut self.start_bar, span, &options, save);
        self.outcome = run.map(drop);
    }

    /// Sets `start_bar` and `p_bar` from `bar`, and `outcome`.
    fn pull_back(&mut self, p: &[f64], d: usize) {
        let jumps: Vec<&[f64]> = self.bar.chunks_exact(self.windows.len() * d).skip(1).collect();
        self.p_bar.fill(0.0);
        self.outcome =
            self.adjoint.backward(&mut self.field, p, &jumps, &mut self.start_bar, &mut self.p_bar);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Trajectory;
    use chreode_testkit::{LotkaVolterra, SmoothField};

    fn objective(loss: SeriesLoss) -> Objective {
        // Two trajectories with the same first times, one longer; some values not measured, some held out.
        let wave = |t: f64, j: f64| 1.0 + 0.4 * (1.3 * t + j).sin();
        let run = |m: usize, phase: f64| {
            let times: Vec<f64> = (0..m).map(|k| 0.3 * k as f64 + 0.01 * (k * k) as f64).collect();
            let values = times.iter().flat_map(|&t| [wave(t, phase), wave(t, phase + 1.0)]).collect();
            Trajectory { times, values }
        };
        let mut train = Series { dim: 2, trajectories: vec![run(6, 0.0), run(9, 0.5)] };
        let mut held_out = train.clone();
        held_out.trajectories.iter_mut().for_each(|t| t.values.fill(f64::NAN));
        train.trajectories[0].values[3] = f64::NAN;
        held_out.trajectories[1].values[8] =
            std::mem::replace(&mut train.trajectories[1].values[8], f64::NAN);
        let (shift, scale) = train.moments();
        Objective { train, held_out, shift, scale, loss, continuity: 0.7, tolerance: 1e-10 }
    }

    #[test]
    fn gradient_is_that_of_losses_and_gaps() {
        for (loss, length) in
            [(SeriesLoss::Squared, 2), (SeriesLoss::Squared, 20), (SeriesLoss::Likelihood, 3)]
        {
            let objective = objective(loss);
            let mut shooting = Shooting::new(&SmoothField(LotkaVolterra), &objective, length);
            let mut all = vec![1.3, 0.9, 1.1, 1.2];
            let n = all.len();
            all.extend((0..2 * shooting.windows().len()).map(|i| 0.5 * (i as f64).cos()));
            let mut gradient = vec![0.0; all.len()];
            let losses = shooting.losses(&objective, &all[..n], &all[n..], Some(&mut gradient)).unwrap();
            assert!(losses.hold_out.is_some() && (losses.gap > 0.0) == (length < 9));
            let mut value = |all: &[f64]| {
                let losses = shooting.losses(&objective, &all[..n], &all[n..], None).unwrap();
                losses.train + objective.continuity * losses.gap
            };
            for i in 0..all.len() {
                let (mut hi, mut lo) = (all.clone(), all.clone());
                hi[i] += 1e-4;
                lo[i] -= 1e-4;
                let difference = (value(&hi) - value(&lo)) / 2e-4;
                let error = (gradient[i] - difference).abs();
                assert!(
                    error < 2e-6 * (1.0 + difference.abs()),
                    "{loss:?} {length} {i}: {} {difference}",
                    gradient[i]
                );
            }
        }
    }
}
