//! One path, step by step.

use chreode_core::BrownianIncrements;
use chreode_solve::SolveError;

use super::LangevinOptions;
use super::channels::Channels;
use crate::SimulationError;
use crate::model::{Model, Start};

/// In a step an amount turns over by no more than this part, and noise is expected to change it by no more [CGP06].
const PART: f64 = 0.1;
/// ... where there is less than this part of the largest amount, by that.
const LEAST: f64 = 1e-6;
/// No more steps in one path: the noise counts their halves in 32 bits.
const MOST_STEPS: u64 = (u32::MAX / 2) as u64;

/// Steps that were taken, and those of them in which something was cut.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stepped {
    pub(super) steps: u64,
    pub(super) cut: u64,
}

/// What a thread needs for a path.
pub(super) struct Path<'m> {
    model: &'m Model,
    channels: Channels,
    noise: BrownianIncrements,
    molecules: f64,
    longest: f64,
    /// Of each channel: rates at the start of a step and at its half, increments, and what is turned over.
    rates: Vec<f64>,
    later: Vec<f64>,
    dw: Vec<f64>,
    extents: Vec<f64>,
    /// Of each state: what is taken, or turned over, and how fast its variance grows.
    taken: Vec<f64>,
    variance: Vec<f64>,
}

impl<'m> Path<'m> {
    pub(super) fn new(model: &'m Model, channels: Channels, options: &LangevinOptions, longest: f64) -> Self {
        let (n, d) = (channels.list.len(), model.n_states());
        Self {
            model,
            channels,
            noise: BrownianIncrements::new(options.seed),
            molecules: options.molecules,
            longest,
            rates: vec![0.0; n],
            later: vec![0.0; n],
            dw: vec![0.0; n],
            extents: vec![0.0; n],
            taken: vec![0.0; d],
            variance: vec![0.0; d],
        }
    }

    /// Runs path `number` from time zero and tells `save(t, y)` at each of the times.
    pub(super) fn run(
        &mut self,
        number: u64,
        start: &Start<f64>,
        times: &[f64],
        save: &mut dyn FnMut(f64, &[f64]),
    ) -> Result<Stepped, SimulationError> {
        let mut y = start.y.clone();
        let (mut t, mut stepped) = (0.0, Stepped::default());
        for &to in times {
            while t < to {
                if stepped.steps == MOST_STEPS {
                    return Err(SolveError::TooManySteps { t, max_steps: MOST_STEPS }.into());
                }
                self.channels.rates(self.model, t, &y, &start.p, &mut self.rates)?;
                let mut h = self.length(&y).min(to - t);
                // What is left after a step is not a sliver.
                if t + 1.001 * h >= to {
                    h = to - t;
                }
                if t + h == t {
                    return Err(SolveError::StepSizeTooSmall { t, h, h_min: f64::EPSILON * t.abs() }.into());
                }
                stepped.cut += u64::from(self.step(number, stepped.steps, (t, h), &mut y, &start.p)?);
                stepped.steps += 1;
                t = if h == to - t { to } else { t + h };
            }
            if let Some(coordinate) = y.iter().position(|y| !y.is_finite()) {
                return Err(SolveError::NonFinite { t, trajectory: number, coordinate }.into());
            }
            save(t, &y);
        }
        Ok(stepped)
    }

    /// The longest step in which little changes, from the rates at its start.
    fn length(&mut self, y: &[f64]) -> f64 {
        self.taken.fill(0.0);
        self.variance.fill(0.0);
        for (channel, rate) in self.channels.list.iter().zip(&self.rates) {
            for &(i, n) in &channel.changes {
                self.taken[i] += n.abs() * rate;
                self.variance[i] += n * n * rate / self.molecules;
            }
        }
        let mut h = self.longest;
        let least = self.molecules.recip().max(LEAST * y.iter().fold(0.0, |m: f64, y| m.max(*y)));
        for ((y, turnover), variance) in y.iter().zip(&self.taken).zip(&self.variance) {
            let change = (PART * y).max(least);
            // What does not change allows any length.
            h = h.min(change / turnover).min(change * change / variance);
        }
        h
    }

    /// A step of length `h` from `t`, whose rates are known: half of it with these, half with what makes the whole one of second order.
    /// Returns whether something was cut.
    fn step(
        &mut self,
        number: u64,
        k: u64,
        (t, h): (f64, f64),
        y: &mut [f64],
        p: &[f64],
    ) -> Result<bool, SimulationError> {
        if self.rates.is_empty() {
            return Ok(false);
        }
        let first = self.half(number, 2 * k, 0.5 * h, y);
        self.channels.rates(self.model, t + 0.5 * h, y, p, &mut self.later)?;
        for (rate, later) in self.rates.iter_mut().zip(&self.later) {
            *rate = 2.0 * later - *rate;
        }
        Ok(self.half(number, 2 * k + 1, 0.5 * h, y) || first)
    }

    /// Adds what all channels turn over in `h` at these rates. Returns whether something was cut.
    fn half(&mut self, number: u64, k: u64, h: f64, y: &mut [f64]) -> bool {
        self.noise.fill(k, number, self.rates.len(), h, &mut self.dw);
        for ((extent, rate), dw) in self.extents.iter_mut().zip(&self.rates).zip(&self.dw) {
            *extent = rate * h + (rate.max(0.0) / self.molecules).sqrt() * dw;
        }
        // What all channels together would take of each amount; noise may turn a channel round.
        self.taken.fill(0.0);
        for (channel, extent) in self.channels.list.iter().zip(&self.extents) {
            channel.changes.iter().for_each(|&(i, n)| self.taken[i] -= (n * extent).min(0.0));
        }
        let mut cut = false;
        // A channel is cut to the part that there is of what it takes most of beyond what there is.
        for (channel, extent) in self.channels.list.iter().zip(&mut self.extents) {
            let takes = channel.changes.iter().filter(|(i, n)| n * *extent < 0.0 && self.taken[*i] > y[*i]);
            let part = takes.map(|&(i, _)| y[i] / self.taken[i]).fold(1.0, f64::min);
            if part < 1.0 {
                *extent *= part;
                cut = true;
            }
        }
        for (channel, extent) in self.channels.list.iter().zip(&self.extents) {
            channel.changes.iter().for_each(|&(i, n)| y[i] += n * extent);
        }
        // Only rounding is left below zero.
        y.iter_mut().for_each(|y| *y = if *y < 0.0 { 0.0 } else { *y });
        cut
    }
}
