//! Minibatches: which cells, in buffers that are sized once.

use super::config::{GrowthUse, Standardise};
use super::plan::PlannedSegment;
use crate::TrainError;
use crate::data::Snapshots;
use crate::matching::Descendants;
use crate::split::{Sampler, Split};
use chreode_core::Real;
use rand_pcg::Pcg64;

/// Cells of one target time, scaled for the loss.
#[derive(Debug, Clone)]
pub(crate) struct TargetBatch<T> {
    pub(crate) rows: Vec<u32>,
    pub(crate) scaled: Vec<T>,
}

/// Start cells and target cells of one segment.
#[derive(Debug, Clone)]
pub(crate) struct SegmentBatch<T> {
    pub(crate) start_rows: Vec<u32>,
    /// Whether some cell starts more than one path.
    repeated: bool,
    /// For each target its cells.
    pub(crate) targets: Vec<TargetBatch<T>>,
    /// For each target the log-weights of the simulated cells from the data's rates; empty without.
    pub(crate) log_weights: Vec<Vec<T>>,
}

impl<T> SegmentBatch<T> {
    /// The start cell of each path, for [`Cloud::origins`](crate::Cloud::origins).
    pub(crate) fn origins(&self) -> &[u32] {
        if self.repeated { &self.start_rows } else { &[] }
    }
}

/// A drawn minibatch of all segments.
#[derive(Debug, Clone)]
pub(crate) struct Batch<T> {
    pub(crate) segments: Vec<SegmentBatch<T>>,
    /// Start states of each segment, `[rows, d]`, not scaled.
    pub(crate) starts: Vec<Vec<T>>,
    /// For each population one for each time.
    samplers: Vec<Vec<Sampler>>,
}

impl<T: Real> Batch<T> {
    /// Buffers for a segment's part of `paths` paths and up to as many cells a target, drawn from `rows` of each time.
    pub(crate) fn new(
        plan: &[PlannedSegment],
        data: &Snapshots<T>,
        rows: &[Vec<u32>],
        paths: usize,
        growth: GrowthUse,
    ) -> Self {
        let d = data.dim;
        let of = |population| {
            rows.iter()
                .enumerate()
                .map(|(time, r)| Sampler::new(&data.rows_of(population, time, r)))
                .collect()
        };
        let samplers: Vec<Vec<Sampler>> = (0..data.n_populations()).map(of).collect();
        let segments = plan
            .iter()
            .map(|s| {
                let (paths, samplers) = (s.paths(paths), &samplers[s.population]);
                let weighted = if growth == GrowthUse::Column { paths } else { 0 };
                SegmentBatch {
                    start_rows: vec![0; paths],
                    repeated: paths > samplers[s.start].len(),
                    targets: s
                        .targets
                        .iter()
                        .map(|t| {
                            let n = samplers[t.time].len().min(paths);
                            TargetBatch { rows: vec![0; n], scaled: vec![T::ZERO; n * d] }
                        })
                        .collect(),
                    log_weights: vec![vec![T::ZERO; weighted]; s.targets.len()],
                }
            })
            .collect();
        let starts = plan.iter().map(|s| vec![T::ZERO; s.paths(paths) * d]).collect();
        Self { segments, starts, samplers }
    }

    /// Draws starts and targets of every segment, in order; the starts are those of `pairs`, if there are any.
    ///
    /// # Errors
    /// [`TrainError::States`] if cells cannot be read.
    pub(crate) fn draw(
        &mut self,
        data: &Snapshots<T>,
        plan: &[PlannedSegment],
        inverse_scale: &[T],
        pairs: Option<&Descendants<T>>,
        rng: &mut Pcg64,
    ) -> Result<(), TrainError> {
        let d = data.dim;
        let segments = self.segments.iter_mut().zip(plan).zip(&mut self.starts).enumerate();
        for (s, ((batch, planned), starts)) in segments {
            let samplers = &mut self.samplers[planned.population];
            match pairs {
                Some(pairs) => {
                    batch.repeated = true;
                    batch.start_rows.copy_from_slice(pairs.of(s).start_rows());
                }
                None => samplers[planned.start].draw(rng, &mut batch.start_rows),
            }
            data.states[planned.start].gather(d, &batch.start_rows, starts)?;
            for (target, t) in batch.targets.iter_mut().zip(&planned.targets) {
                samplers[t.time].draw(rng, &mut target.rows);
                data.states[t.time].gather(d, &target.rows, &mut target.scaled)?;
                scale(&mut target.scaled, inverse_scale);
            }
            for (log_weights, t) in batch.log_weights.iter_mut().zip(&planned.targets) {
                let span = T::c(data.times[t.time] - data.times[planned.start]);
                for (w, &row) in log_weights.iter_mut().zip(&batch.start_rows) {
                    *w = span * data.growth[planned.start][row as usize];
                }
            }
        }
        Ok(())
    }
}

/// Multiplies every row by `factors`, `[d]`.
pub(crate) fn scale<T: Real>(states: &mut [T], factors: &[T]) {
    for row in states.chunks_exact_mut(factors.len()) {
        for (v, &f) in row.iter_mut().zip(factors) {
            *v *= f;
        }
    }
}

/// One over the scale of each coordinate, `[d]`, from the training cells of the times `kept`.
///
/// A coordinate that does not vary is left as it is.
///
/// # Errors
/// [`TrainError::States`] if cells cannot be read.
pub(crate) fn inverse_scales<T: Real>(
    data: &Snapshots<T>,
    split: &Split,
    kept: &[usize],
    how: Standardise,
) -> Result<Vec<T>, TrainError> {
    let d = data.dim;
    let mut count = 0.0;
    let (mut mean, mut square) = (vec![0.0; d], vec![0.0; d]);
    for &t in kept {
        let mut train = split.train[t].iter().map(|&row| row as usize).peekable();
        data.states[t].each_block(d, |first, block| {
            let end = first + block.len() / d;
            while let Some(row) = train.next_if(|&row| row < end) {
                count += 1.0;
                let x = &block[(row - first) * d..][..d];
                for k in 0..d {
                    let delta = x[k].f64() - mean[k]; // Welford's update: no cancellation
                    mean[k] += delta / count;
                    square[k] += delta * (x[k].f64() - mean[k]);
                }
            }
            Ok::<_, TrainError>(())
        })?;
    }
    let inverse = |variance: f64| T::c(if variance > 0.0 { variance.sqrt().recip() } else { 1.0 });
    Ok(match how {
        Standardise::Off => vec![T::ONE; d],
        Standardise::Global => vec![inverse(square.iter().sum::<f64>() / count / d as f64); d],
        Standardise::PerCoordinate => square.iter().map(|s| inverse(s / count)).collect(),
    })
}
