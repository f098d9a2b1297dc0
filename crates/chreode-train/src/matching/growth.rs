//! Whether growth is learned, decided by the times between others.
//!
//! What growth is taken for may also be noise, or cells that were sampled more readily: a model that may grow can fit each time and yet
//! go astray between. So each inner time is predicted from its neighbours by couplings whose cells have as many descendants as they want and by ones whose
//! cells all have equally many ([`Between`]). Labels have no part in it, nor have cells held out.

use super::Between;
use super::between::ENERGY;
use crate::evaluate::floor_of;
use crate::split::Split;
use crate::trainer::{inverse_scales, training_times};
use crate::{Comparison, Snapshots, TrainConfig, TrainError};
use chreode_core::{Real, sub_seed};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// Most cells of a time in a draw.
const CELLS: usize = 1024;
/// Fewest cells of every time, and population, to train on.
const FEWEST: usize = 8;
/// Draws of cells.
const DRAWS: usize = 8;
/// Repeats by which the sampling spread is measured.
const REPEATS: usize = 16;
/// Standard errors by which growth must be better.
const ERRORS: f64 = 2.0;
/// Part of what is missed without growth that it must explain. Open numbers of descendants shorten ways, and so come nearer to bends that straight
/// bridges cut, also where nothing grows: by a twentieth in virtual blood.
const PART: f64 = 0.1;

/// A decision whether growth is learned, and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthChoice {
    /// Whether it is.
    pub learned: bool,
    /// The part of the energy distance to the cells of the inner times without growth by which they are nearer with it: mean over draws of cells, where each
    /// inner time counts in units of the standard deviation between two samples of its cells, and misses one such unit at least.
    pub gain: f64,
    /// Its standard error, for other cells of the same times and for the draws.
    pub standard_error: f64,
    /// The inner times; none, and growth is not learned, if there are two times only or one has too few cells.
    pub times: Vec<f64>,
    /// Energy distances there without growth, means over the draws.
    pub without: Vec<f64>,
    /// The same with growth.
    pub with: Vec<f64>,
}

impl GrowthChoice {
    /// The decision and its figures, in words.
    pub fn told(&self) -> String {
        let Self { gain, standard_error, .. } = self;
        let not = if self.learned { "" } else { "not " };
        let mut text = format!("growth is {not}learned: ");
        if self.times.is_empty() {
            text += "there is no time between others with enough cells to judge it by";
            return text;
        }
        text += "energy distance of cells predicted from their neighbours in time, with and without it, ";
        for (i, ((time, with), without)) in self.times.iter().zip(&self.with).zip(&self.without).enumerate() {
            // Writing into a `String` does not fail.
            let _ = write!(text, "{}{with:.4} and {without:.4} at {time}", if i > 0 { ", " } else { "" });
        }
        // Writing into a `String` does not fail.
        let _ = write!(
            text,
            "; it explains {:.1} ± {:.1} % of what is missed without it",
            100.0 * gain,
            100.0 * standard_error
        );
        text
    }
}

/// Decides whether a fit by matching with these settings, whose growth is open, shall learn growth: if that explains a tenth of what is missed of
/// the inner times without it, at the blur of the settings, and twice its standard error. A function of the data, the settings and the seed.
///
/// The standard error is that of half of the cells drawn again and again (the jackknife with groups deleted [SW89], which tells what other
/// cells would say) with that of the draws themselves.
///
/// # Errors
/// [`TrainError`] if data, settings or times do not fit; [`TrainError::Setting`] for settings without matching.
pub fn choose_growth<T: Real>(data: &Snapshots<T>, config: &TrainConfig) -> Result<GrowthChoice, TrainError> {
    config.check()?;
    data.check()?;
    let Some(matching) = &config.matching else {
        let rule = "growth is judged by the couplings of matching";
        return Err(TrainError::Setting { name: "matching", value: 0.0, rule });
    };
    let kept = training_times(&data.times, &config.leave_out_times)?;
    let split = Split::draw(data, config.hold_out, config.hold_out_by, config.judge_seed())?;
    let inverse_scale = inverse_scales(data, &split, &kept, config.standardise)?;
    let between = Between {
        data,
        kept: &kept,
        rows: &split.train,
        inverse_scale: &inverse_scale,
        relaxation: matching.relaxation,
        cells: CELLS,
        seed: sub_seed(config.judge_seed(), "growth"),
    };
    let mut choice = GrowthChoice {
        learned: false,
        gain: 0.0,
        standard_error: 0.0,
        times: Vec::new(),
        without: Vec::new(),
        with: Vec::new(),
    };
    let populations = 0..data.n_populations();
    let few = |k: usize| populations.clone().any(|p| between.rows_of(p, k).len() < FEWEST);
    if kept.iter().any(|&k| few(k)) {
        return Ok(choice);
    }
    let (mut gains, mut missed) = ([0.0; DRAWS], 0.0);
    for at in between.inner() {
        let time = kept[at];
        let mut spread = 0.0;
        for population in populations.clone() {
            let rows = between.rows_of(population, time);
            let comparison = Comparison {
                loss: ENERGY,
                inverse_scale: &inverse_scale,
                cells: between.drawn(population, time),
                seed: between.seed,
            };
            let sd = floor_of(&data.states[time], &rows, data.dim, &comparison, REPEATS)?.sd;
            // Of a mean of independent parts.
            spread = f64::hypot(spread, data.share(population, time) * sd);
        }
        let spread = spread.max(f64::MIN_POSITIVE);
        let (mut without, mut with) = (0.0, 0.0);
        for (draw, gain) in gains.iter_mut().enumerate() {
            let [equal, open] = between.distances(at, matching.epsilon, draw as u64)?;
            *gain += (equal - open) / spread;
            missed += equal / spread / DRAWS as f64;
            without += equal / DRAWS as f64;
            with += open / DRAWS as f64;
        }
        choice.times.push(data.times[time]);
        choice.without.push(without);
        choice.with.push(with);
    }
    if !choice.times.is_empty() {
        let mean = gains.iter().sum::<f64>() / DRAWS as f64;
        let variance = gains.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / (DRAWS - 1) as f64;
        // Of m of n cells: as m / (n - m), which is one at most.
        let part = |(population, k): (usize, &usize)| {
            let n = between.rows_of(population, *k).len() as f64;
            let m = between.drawn(population, *k) as f64;
            m / (n - m)
        };
        let all = populations.flat_map(|population| kept.iter().map(move |k| (population, k)));
        let others = all.map(part).fold(0.0, f64::max);
        // Where no more is missed than between two samples there is nothing to explain.
        let missed = f64::max(missed, choice.times.len() as f64);
        choice.gain = mean / missed;
        choice.standard_error = (variance * (others + 1.0 / DRAWS as f64)).sqrt() / missed;
        choice.learned = choice.gain > PART.max(ERRORS * choice.standard_error);
    }
    Ok(choice)
}
