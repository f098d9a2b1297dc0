//! What the page computes from the model: its fields at the cells, and how far it can be trusted.

use chreode_core::{Diffusion, Growth, sub_seed};
use chreode_model::NeuralSde;
use chreode_train::{
    Cloud, CloudLoss, Comparison, LossConfig, Model, Snapshots, States, TrainError, distance_to_time,
    effective_sample_size, sampling_floor,
};
use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::rates::DriftRates;
use crate::run::TrainingCells;
use crate::{AnalysisError, Manifold, Rollout};

/// Cells at which the fields are shown.
const FIELD_CELLS: usize = 3000;
/// Training cells that distances are measured from.
const REFERENCE_CELLS: usize = 10_000;
/// Cells that are run from the first time.
const START_CELLS: usize = 1000;
/// Training cells at which the drift is linearised.
const JACOBIAN_CELLS: usize = 300;
/// Cells in a comparison on the hold-out, and the fewest that one is made with.
const COMPARED_CELLS: usize = 500;
const FEWEST_COMPARED: usize = 20;
/// Repeats of a comparison on the hold-out, and of two samples of the same cells.
const REPEATS: u64 = 5;
const FLOOR_REPEATS: usize = 20;
/// Quantiles of the training cells' distances that stand for them in the histogram.
const QUANTILES: usize = 400;

/// Drift, diffusion and growth of a model at some training cells.
#[derive(Debug, Clone, PartialEq)]
pub struct CellFields {
    /// Rows of the cells, ascending.
    pub rows: Vec<usize>,
    /// Drift there, `[m, d]`, in state per time.
    pub drift: Vec<f32>,
    /// Size of the noise of each coordinate there, `[m, d]`, in state per square root of time.
    pub diffusion: Vec<f32>,
    /// Growth rates there, `[m]`, per time, if the model has growth.
    pub growth: Option<Vec<f32>>,
}

impl CellFields {
    /// The fields at no more than 3,000 of the cells, drawn by the seed, each at its time.
    ///
    /// # Errors
    /// [`AnalysisError::Field`] if the model is undefined at a cell.
    pub fn at(
        model: &NeuralSde<f32>,
        p: &[f32],
        cells: &TrainingCells,
        seed: u64,
    ) -> Result<Self, AnalysisError> {
        let all: Vec<usize> = (0..cells.len()).collect();
        let rows = drawn(&all, FIELD_CELLS, sub_seed(seed, "report fields"));
        let states = states_of(cells, &rows);
        let (mut drift, mut diffusion) = (vec![0.0; states.len()], vec![0.0; states.len()]);
        let (kind, mut model) = (model.noise_kind(), model.clone());
        let mut noise = vec![0.0; rows.len() * kind.values(cells.dim)];
        let mut net = model.growth_net();
        let mut growth = net.as_ref().map(|_| vec![0.0; rows.len()]);
        // Cells of one time that stand behind one another in one call: the fields may be of time.
        let (d, mut begin) = (cells.dim, 0);
        for same in rows.chunk_by(|&a, &b| cells.times[a] == cells.times[b]) {
            let (t, end) = (cells.times[same[0]], begin + same.len());
            let at = begin * d..end * d;
            let (f, g) = (&mut drift[at.clone()], &mut noise[..same.len() * kind.values(d)]);
            model.drift_and_diffusion(t, &states[at.clone()], p, f, g)?;
            kind.sizes(d, g, &mut diffusion[at.clone()]);
            if let (Some(net), Some(growth)) = (&mut net, &mut growth) {
                net.growth(t, &states[at], p, &mut growth[begin..end])?;
            }
            begin = end;
        }
        Ok(Self { rows, drift, diffusion, growth })
    }
}

/// Simulated cells at one time against the training cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Outside {
    /// The time.
    pub time: f64,
    /// Mean distance of each simulated cell to its five nearest training cells.
    pub distance: Vec<f32>,
    /// Share of the simulated cells that are farther out than 99 % of the training cells.
    pub share: f64,
}

/// How well held-out cells of a time are met by cells that are simulated from the time before.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldOutDistance {
    /// Time of the start.
    pub start: f64,
    /// Time of the comparison.
    pub target: f64,
    /// Unbiased energy distances, one per repeat with other noise.
    pub distances: Vec<f64>,
    /// Mean distance of two samples of the target's cells: what a perfect model is at.
    pub floor: f64,
    /// Standard deviation of that distance.
    pub floor_sd: f64,
    /// Distance of the start cells, unmoved and all of one weight: what no model is at.
    pub unmoved: f64,
}

impl HoldOutDistance {
    /// The mean over populations of the same times, by their weights; nothing of none.
    fn mean_of(parts: Vec<(f64, Self)>) -> Option<Self> {
        let total: f64 = parts.iter().map(|part| part.0).sum();
        let mut parts = parts.into_iter().map(|(weight, part)| (weight / total, part));
        let scaled = |(share, mut part): (f64, Self)| {
            part.distances
                .iter_mut()
                .chain([&mut part.floor, &mut part.floor_sd, &mut part.unmoved])
                .for_each(|v| *v *= share);
            part
        };
        let first = scaled(parts.next()?);
        Some(parts.map(scaled).fold(first, |mut sum, part| {
            sum.distances.iter_mut().zip(&part.distances).for_each(|(sum, d)| *sum += d);
            sum.floor += part.floor;
            sum.floor_sd = sum.floor_sd.hypot(part.floor_sd);
            sum.unmoved += part.unmoved;
            sum
        }))
    }

    /// Mean over the repeats.
    pub fn mean(&self) -> f64 {
        self.distances.iter().sum::<f64>() / self.distances.len() as f64
    }

    /// Share of the distance between the two times that the model misses: 0 perfect, 1 no better than not moving.
    pub fn missed(&self) -> f64 {
        (self.mean() - self.floor) / (self.unmoved - self.floor)
    }

    /// Whether the model is farther off than chance explains: two standard deviations above the floor.
    pub fn beyond_chance(&self) -> bool {
        self.mean() > self.floor + 2.0 * self.floor_sd
    }

    /// Whether the comparison could tell a model from none: cells that do not move at all are beyond chance.
    pub fn tells(&self) -> bool {
        self.unmoved > self.floor + 2.0 * self.floor_sd
    }
}

/// What tells whether a model can be trusted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunTrust {
    /// Simulated cells at each time after the first.
    pub outside: Vec<Outside>,
    /// Distances of the training cells among themselves: evenly spaced quantiles, ascending.
    pub among_training: Vec<f32>,
    /// The distance beyond which a cell counts as outside.
    pub threshold: f32,
    /// Comparisons on the hold-out, one per interval that has enough held-out cells.
    pub hold_out: Vec<HoldOutDistance>,
    /// Time and effective sample size of the growth weights, as a fraction of the cells; empty without growth.
    pub effective: Vec<(f64, f64)>,
    /// How fast the drift is at training cells, beside the simulation's step.
    pub rates: Option<DriftRates>,
}

/// What the measurements depend on beside model and cells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrustSettings {
    /// Longest step of the simulation, in units of the times.
    pub dt: f64,
    /// Seed of the cells that are drawn and of the noise.
    pub seed: u64,
    /// Whether the training counted growth by a column from the first time on, and not from each time to the next.
    pub growth_from_start: bool,
}

impl RunTrust {
    /// Runs the model from its first cells, and from each time to the next, and compares.
    ///
    /// Growth weights are the model's or, if it has none, those of the cells' rates: in the comparisons on the hold-out
    /// and in the effective sample sizes. Simulated cells outside the data are counted as they are.
    ///
    /// # Errors
    /// [`TrainError`] where a comparison fails, [`AnalysisError`] (within) if a path leaves the finite numbers.
    pub fn measure(
        model: &NeuralSde<f32>,
        p: &[f32],
        cells: &TrainingCells,
        settings: TrustSettings,
    ) -> Result<Self, TrustError> {
        let mut trust = Self::default();
        let times = distinct_times(&cells.times);
        let Some(&(first, _)) = times.first() else { return Ok(trust) };
        let rows_at = |t: f64, held: Option<bool>| -> Vec<usize> {
            (0..cells.len())
                .filter(|&i| cells.times[i] == t && held.is_none_or(|h| cells.held_out[i] == h))
                .collect()
        };

        let training: Vec<usize> = (0..cells.len()).filter(|&i| !cells.held_out[i]).collect();
        let linearised = drawn(&training, JACOBIAN_CELLS, sub_seed(settings.seed, "report jacobians"));
        let times_of: Vec<f64> = linearised.iter().map(|&row| cells.times[row]).collect();
        trust.rates = DriftRates::at(model, p, &times_of, &states_of(cells, &linearised), settings.dt)?;
        let later: Vec<f64> = times[1..].iter().map(|t| t.0).collect();
        let start = drawn(&rows_at(first, None), START_CELLS, sub_seed(settings.seed, "report start"));
        // Distances need six cells to be taken from.
        if training.len() > 5 && !later.is_empty() && !start.is_empty() {
            let reference = drawn(&training, REFERENCE_CELLS, sub_seed(settings.seed, "report reference"));
            let manifold = Manifold::new(states_of(cells, &reference), cells.dim)?;
            let quantile = |k: usize| manifold.quantile((k as f64 + 0.5) / QUANTILES as f64);
            trust.among_training = (0..QUANTILES).map(quantile).collect();
            trust.threshold = manifold.quantile(0.99);
            let seed = sub_seed(settings.seed, "report paths");
            let rollout = Rollout { model, p, dt: settings.dt, paths: 1, seed, clamp: None, place: None };
            let mut states = vec![Vec::new(); later.len()];
            let mut weights = vec![Vec::new(); later.len()];
            rollout.run(&states_of(cells, &start), first, &later, |chunk| {
                for (k, s) in chunk.ensemble.states.iter().enumerate() {
                    states[k].extend_from_slice(s);
                }
                for (k, w) in chunk.ensemble.log_weights.iter().enumerate() {
                    weights[k].extend_from_slice(w);
                }
                Ok(())
            })?;
            for ((&time, states), weights) in later.iter().zip(&states).zip(&weights) {
                let distances = manifold.distances(states)?;
                trust.outside.push(Outside {
                    time,
                    share: distances.outside(),
                    distance: distances.distance,
                });
                if !weights.is_empty() {
                    trust.effective.push((time, effective_sample_size(weights) / weights.len() as f64));
                }
            }
        }

        if let Some(growth) = &cells.growth {
            for pair in times.windows(2) {
                let (from, time) = (if settings.growth_from_start { first } else { pair[0].0 }, pair[1].0);
                let weights: Vec<f64> =
                    rows_at(from, None).iter().map(|&i| f64::from(growth[i]) * (time - from)).collect();
                trust.effective.push((time, effective_sample_size(&weights) / weights.len() as f64));
            }
        }

        let inverse_scale = cells.inverse_scale(&training);
        for pair in times.windows(2) {
            let (t0, t1) = (pair[0].0, pair[1].0);
            let target = rows_at(t1, Some(true));
            let held = rows_at(t0, Some(true));
            let start = if held.len() < FEWEST_COMPARED { rows_at(t0, None) } else { held };
            let all = rows_at(t1, None);
            // Of populations that do not mix each is compared with itself.
            let mut parts = Vec::new();
            for population in populations(cells) {
                let of = |rows: &[usize]| -> Vec<usize> {
                    rows.iter().copied().filter(|&row| is_of(cells, row, population)).collect()
                };
                let (rows, all) = ([of(&start), of(&target)], of(&all));
                if rows.iter().any(|rows| rows.len() < FEWEST_COMPARED) {
                    continue;
                }
                let states = states_of(cells, &all);
                let part = hold_out(model, p, cells, [t0, t1], &rows, &states, &inverse_scale, settings)?;
                parts.push((all.len() as f64, part));
            }
            trust.hold_out.extend(HoldOutDistance::mean_of(parts));
        }
        Ok(trust)
    }

    /// The comparison on the hold-out in which the model misses most.
    pub(super) fn worst_hold_out(&self) -> Option<&HoldOutDistance> {
        let known = self.hold_out.iter().filter(|h| h.missed().is_finite());
        known.max_by(|a, b| a.missed().total_cmp(&b.missed()))
    }

    /// The time at which most simulated cells are outside.
    pub(super) fn worst_outside(&self) -> Option<&Outside> {
        self.outside.iter().filter(|o| o.share.is_finite()).max_by(|a, b| a.share.total_cmp(&b.share))
    }

    /// The time at which the growth weights rest on the fewest cells.
    pub(super) fn worst_effective(&self) -> Option<(f64, f64)> {
        self.effective.iter().copied().filter(|e| e.1.is_finite()).min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// Why the trust in a model could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Paths or distances failed.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// A comparison of clouds failed.
    #[error(transparent)]
    Comparison(#[from] TrainError),
}

/// From cells `rows[0]` of `times[0]` to cells `rows[1]` of `times[1]`; `all` are the states of all cells of `times[1]`.
#[allow(clippy::too_many_arguments, reason = "one comparison, called once")]
fn hold_out(
    model: &NeuralSde<f32>,
    p: &[f32],
    cells: &TrainingCells,
    times: [f64; 2],
    rows: &[Vec<usize>; 2],
    all: &[f32],
    inverse_scale: &[f32],
    settings: TrustSettings,
) -> Result<HoldOutDistance, TrustError> {
    let data = Snapshots {
        dim: cells.dim,
        times: times.to_vec(),
        states: States::each(rows.iter().map(|r| states_of(cells, r))),
        growth: cells.growth.as_ref().map_or_else(Vec::new, |growth| {
            rows.iter().map(|rows| rows.iter().map(|&i| growth[i]).collect()).collect()
        }),
        ..Snapshots::default()
    };
    // As many as there are on both sides: the spread of two samples that size is then that of the comparison.
    let compared = rows[0].len().min(rows[1].len()).min(COMPARED_CELLS);
    // The default loss is the unbiased energy distance, whatever the model was trained with.
    let mut comparison =
        Comparison { loss: LossConfig::default(), inverse_scale, cells: compared, seed: settings.seed };
    let model = Model::from(model.clone());
    let distances = (0..REPEATS)
        .map(|k| {
            comparison.seed = sub_seed(settings.seed, &format!("report hold-out {k}"));
            distance_to_time(&model, p, &data, 0, 1, settings.dt, true, &comparison)
        })
        .collect::<Result<Vec<f64>, TrainError>>()?;
    let floor = sampling_floor(&States::from(all.to_vec()), cells.dim, &comparison, FLOOR_REPEATS)?;
    let scaled = |states: &[f32]| -> Vec<f32> {
        states.iter().zip(inverse_scale.iter().cycle()).map(|(x, s)| x * s).collect()
    };
    let start = drawn(&rows[0], compared, sub_seed(settings.seed, "report unmoved"));
    let target = drawn(&rows[1], compared, sub_seed(settings.seed, "report target"));
    let (a, b) = (scaled(&states_of(cells, &start)), scaled(&states_of(cells, &target)));
    let unmoved = CloudLoss::new(cells.dim, &comparison.loss)
        .and_then(|mut loss| loss.evaluate(Cloud::equal(&a), Cloud::equal(&b), None))
        .map_err(TrainError::from)?
        .value;
    Ok(HoldOutDistance {
        start: times[0],
        target: times[1],
        distances,
        floor: floor.mean,
        floor_sd: floor.sd,
        unmoved,
    })
}

/// Numbers of the populations that do not mix; one, of no number, if there are none.
fn populations(cells: &TrainingCells) -> Vec<Option<usize>> {
    match &cells.populations {
        None => vec![None],
        Some(populations) => (0..populations.names().len()).map(Some).collect(),
    }
}

/// Whether a cell is of a population.
fn is_of(cells: &TrainingCells, row: usize, population: Option<usize>) -> bool {
    population.is_none() || cells.populations.as_ref().is_some_and(|p| p.code(row) == population)
}

/// The different times, ascending, with the number of their cells.
pub(super) fn distinct_times(times: &[f64]) -> Vec<(f64, usize)> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut out: Vec<(f64, usize)> = Vec::new();
    for t in sorted {
        match out.last_mut() {
            Some(last) if last.0 == t => last.1 += 1,
            _ => out.push((t, 1)),
        }
    }
    out
}

/// At most `max` of the rows, drawn without replacement, in their old order.
fn drawn(rows: &[usize], max: usize, seed: u64) -> Vec<usize> {
    if rows.len() <= max {
        return rows.to_vec();
    }
    let mut rng = Pcg64::seed_from_u64(seed);
    let mut chosen = rand::seq::index::sample(&mut rng, rows.len(), max).into_vec();
    chosen.sort_unstable();
    chosen.into_iter().map(|i| rows[i]).collect()
}

fn states_of(cells: &TrainingCells, rows: &[usize]) -> Vec<f32> {
    let d = cells.dim;
    rows.iter().flat_map(|&r| &cells.states[r * d..(r + 1) * d]).copied().collect()
}
