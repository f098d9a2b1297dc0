//! One pass over a batch: simulation, the losses at every target, and their gradients to states and log-weights.

use super::batch::{Batch, scale};
use super::config::{GrowthUse, TrainConfig};
use super::observer::TermReport;
use super::plan::PlannedSegment;
use crate::data::Snapshots;
use crate::engine::{Engine, Failure};
use crate::matching::Descendants;
use crate::{Cloud, CloudBar, CloudLoss, TrainError, effective_sample_size};
use chreode_core::Real;

/// Everything that one pass of simulation and losses needs; training and hold-out have one each.
pub(super) struct Pass<T> {
    pub(super) engine: Box<dyn Engine<T>>,
    pub(super) batch: Batch<T>,
    pub(super) first_trajectory: Vec<u64>,
    pub(super) state_bar: Vec<Vec<Vec<T>>>,
    pub(super) log_weight_bar: Vec<Vec<Vec<T>>>,
    /// As long as the states of the largest segment.
    pub(super) scaled: Vec<T>,
    pub(super) terms: Vec<TermReport>,
}

impl<T> std::fmt::Debug for Pass<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").field("terms", &self.terms).finish_non_exhaustive() // an engine is an unnamed type
    }
}

/// What a pass reads of the trainer.
pub(super) struct Context<'a, T> {
    pub(super) data: &'a Snapshots<T>,
    pub(super) plan: &'a [PlannedSegment],
    pub(super) config: &'a TrainConfig,
    pub(super) step: u64,
    pub(super) inverse_scale: &'a [T],
}

/// What losses are computed for.
#[derive(Clone, Copy)]
pub(super) enum Purpose<'a, T> {
    /// To judge the model.
    Judge,
    /// To move its parameters, with the descendants of start cells where there are couplings.
    Train(Option<&'a Descendants<T>>),
}

impl<T: Real> Context<'_, T> {
    /// Simulates the batch and sums the losses. To train it also sets the gradient to states and log-weights, and adds how far paths are
    /// from the descendants of their start cells, if there are couplings.
    pub(super) fn losses(
        &self,
        pass: &mut Pass<T>,
        loss: &mut CloudLoss<T>,
        params: &[T],
        noise: u64,
        purpose: Purpose<'_, T>,
    ) -> Result<f64, TrainError> {
        pass.engine
            .simulate(params, noise, &pass.first_trajectory, &pass.batch.starts)
            .map_err(|e| self.path_error(&pass.batch, e))?;
        pass.terms.clear();
        let (trains, pairs) = match purpose {
            Purpose::Judge => (false, None),
            Purpose::Train(pairs) => (true, pairs),
        };
        let mut sum = 0.0;
        // Number of the first term of the first population from this time.
        let mut first = 0;
        for (s, planned) in self.plan.iter().enumerate() {
            for (i, target) in planned.targets.iter().enumerate() {
                let (start, time) = (self.data.times[planned.start], self.data.times[target.time]);
                let states = pass.engine.states(s, i);
                let scaled = &mut pass.scaled[..states.len()];
                scaled.copy_from_slice(states);
                scale(scaled, self.inverse_scale);
                let learned = self.config.growth == GrowthUse::Learned;
                let log_weights = if learned {
                    pass.engine.log_weights(s, i)
                } else {
                    &pass.batch.segments[s].log_weights[i]
                };
                let x = Cloud { states: scaled, log_weights, origins: pass.batch.segments[s].origins() };
                let y = Cloud::equal(&pass.batch.segments[s].targets[i].scaled);
                let bar = trains.then_some(CloudBar {
                    states: &mut pass.state_bar[s][i],
                    log_weights: &mut pass.log_weight_bar[s][i],
                });
                let report = loss.evaluate(x, y, bar).map_err(|source| TrainError::Loss {
                    step: self.step,
                    start,
                    target: time,
                    source,
                })?;
                let n = log_weights.len();
                let effective = if n > 0 { effective_sample_size(log_weights) / n as f64 } else { 1.0 };
                if planned.population == 0 {
                    if i == 0 {
                        first = pass.terms.len();
                    }
                    let (loss, effective) = (planned.share * report.value, planned.share * effective);
                    let marginal_error = report.marginal_error;
                    pass.terms.push(TermReport { start, target: time, loss, marginal_error, effective });
                } else {
                    let term = &mut pass.terms[first + i];
                    term.loss += planned.share * report.value;
                    term.marginal_error = term.marginal_error.max(report.marginal_error);
                    term.effective += planned.share * effective;
                }
                sum += target.weight * report.value;
                if let Some(pairs) = pairs.map(|pairs| pairs.of(s)) {
                    sum += target.weight * pairs.score(self.data.dim, scaled, &mut pass.state_bar[s][i]);
                    if learned {
                        sum +=
                            target.weight * pairs.growth_error(log_weights, &mut pass.log_weight_bar[s][i]);
                    }
                }
                if trains {
                    let weight = T::c(target.weight);
                    let bar = &mut pass.state_bar[s][i];
                    scale(bar, self.inverse_scale);
                    for b in bar.iter_mut().chain(&mut pass.log_weight_bar[s][i]) {
                        *b *= weight;
                    }
                }
                if learned {
                    // Mean square of the growth rate along the path; also fixes the mean rate, which weights
                    // that are normalised do not show.
                    let factor =
                        self.config.growth_penalty * target.weight / n as f64 / (time - start).powi(2);
                    sum += factor * log_weights.iter().map(|w| w.f64() * w.f64()).sum::<f64>();
                    if trains {
                        for (b, &w) in pass.log_weight_bar[s][i].iter_mut().zip(log_weights) {
                            *b += T::c(2.0 * factor) * w;
                        }
                    }
                }
            }
        }
        Ok(sum)
    }

    /// Names the cell from which a failed path started.
    pub(super) fn path_error(&self, batch: &Batch<T>, failure: Failure) -> TrainError {
        let step = self.step;
        let origin = |segment: usize, row: usize| {
            let start = self.data.times[self.plan[segment].start];
            (start, batch.segments[segment].start_rows[row] as usize)
        };
        match failure {
            Failure::Processor(e) => match e.row {
                Some(row) => {
                    let (start, cell) = origin(e.segment, row);
                    TrainError::Path { step, start, cell, source: e.source }
                }
                None => TrainError::Simulation { step, source: e.source },
            },
            #[cfg(feature = "cuda")]
            Failure::DevicePath { segment, row, source } => {
                let (start, cell) = origin(segment, row);
                TrainError::DevicePath { step, start, cell, source }
            }
            #[cfg(feature = "cuda")]
            Failure::Device(source) => TrainError::Device { step, source },
        }
    }
}
