//! Learning a stochastic equation from densely measured series, by the likelihood of its increments.
//!
//! Between neighbouring observations the equation is taken as one Euler-Maruyama step, `x' ~ N(x + f(x) h, g(x)² h)`: the contrast of
//! [Flo89], consistent as `h` goes to zero, with a bias in proportion to `h` times the rates of the drift.
//! Not here: series with errors of measurement or few observations (`fit`).

use std::ops::ControlFlow;

use chreode_core::{DiffusionVjp, Real, sub_seed};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::{Series, SeriesError, SeriesProgress};
use crate::likelihood::{Increments, Likelihood};
use crate::optim::{Optimiser, OptimiserConfig, Schedule, clip_global_norm};
use crate::split::{Sampler, shuffle};

/// Settings of [`fit_increments`]. All fields have defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IncrementsConfig {
    /// Seed of hold-out and minibatches.
    pub seed: u64,
    /// Updates.
    pub steps: u64,
    /// Increments of an update (all, if there are fewer).
    pub batch: usize,
    /// Learning rate at the start; it falls by half a cosine.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Fraction that is held out: whole trajectories where there are ten or more, else single increments.
    pub hold_out: f64,
    /// Updates between two looks at the hold-out.
    pub evaluate_every: u64,
    /// Stops after so many looks without a better one; zero for never.
    pub patience: u64,
}

impl Default for IncrementsConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            steps: 4000,
            batch: 1024,
            learning_rate: 2e-3,
            weight_decay: 0.0,
            hold_out: 0.1,
            evaluate_every: 100,
            patience: 0,
        }
    }
}

impl IncrementsConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`SeriesError::Setting`], naming the first that is out of its range.
    pub fn check(&self) -> Result<(), SeriesError> {
        let within = |name, value: f64, ok: bool, rule| {
            if ok { Ok(()) } else { Err(SeriesError::Setting { name, value, rule }) }
        };
        let rate = self.learning_rate;
        within("learning_rate", rate, rate > 0.0 && rate.is_finite(), "must be finite and above 0")?;
        let decay = self.weight_decay;
        within("weight_decay", decay, decay >= 0.0 && decay.is_finite(), "must be finite and at least 0")?;
        within("hold_out", self.hold_out, (0.0..=0.5).contains(&self.hold_out), "must be between 0 and 0.5")?;
        within("batch", self.batch as f64, self.batch > 0, "must be at least 1")?;
        within("evaluate_every", self.evaluate_every as f64, self.evaluate_every > 0, "must be at least 1")
    }
}

/// What was learned from increments.
#[derive(Debug, Clone, PartialEq)]
pub struct IncrementsFit<T> {
    /// Parameters of drift and diffusion.
    pub params: Vec<T>,
    /// Mean negative log-likelihood of a coordinate's increment, without `½ ln 2π` and in units of the spread: that of the last batch.
    pub loss: f64,
    /// The same of the increments held out, at the update that was chosen.
    pub hold_out: Option<f64>,
    /// The update that was chosen.
    pub step: u64,
    /// Increments trained on, held out, and left aside because a coordinate of their start was not measured.
    pub increments: [usize; 3],
}

/// Learns drift and diffusion of a stochastic equation with diagonal noise from the increments of measured series.
///
/// The increments must be short beside the times in which drift and diffusion change, and the measurement's own errors small
/// beside them: neither can be told from the noise of the process afterwards. `progress` is told every
/// [`evaluate_every`](IncrementsConfig::evaluate_every) updates and may break the fit off, which returns what is best so far.
/// Same bits on any number of threads.
///
/// # Errors
/// [`SeriesError::Data`], [`SeriesError::Setting`], [`SeriesError::Length`] and [`SeriesError::FewMotions`] before anything runs;
/// [`SeriesError::Field`] and [`SeriesError::NotFinite`] with the update.
pub fn fit_increments<T, S>(
    sde: &S,
    mut params: Vec<T>,
    series: &Series,
    config: &IncrementsConfig,
    progress: &mut dyn FnMut(&SeriesProgress) -> ControlFlow<()>,
) -> Result<IncrementsFit<T>, SeriesError>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send,
{
    config.check()?;
    series.check()?;
    let d = series.dim;
    for (what, found, expected) in
        [("coordinates of the series", d, sde.dim()), ("parameters", params.len(), sde.n_params())]
    {
        if found != expected {
            return Err(SeriesError::Length { what, found, expected });
        }
    }
    let noise = sde.noise_kind();
    if noise.motions(d) < d {
        return Err(SeriesError::FewMotions { motions: noise.motions(d), coordinates: d });
    }
    let (train, held_out, left) = pairs::<T>(series, config);
    if train.h.is_empty() {
        return Err(SeriesError::Data {
            what: "no increment has a start that is measured whole",
            trajectory: 0,
            observation: 0,
        });
    }
    let scale = series.moments().1;
    // The logarithm of a rate's unit: makes losses comparable between units.
    let unit: f64 = scale.iter().map(|s| s.ln()).sum::<f64>() / d as f64;
    let rows = config.batch.min(train.h.len());
    let mut batch = Increments::default();
    let mut likelihood = Likelihood::new(sde, rows);
    let mut gradient = vec![T::ZERO; params.len()];
    let decay = config.weight_decay;
    let adam = OptimiserConfig::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: decay };
    let mut optimiser = Optimiser::new(adam, params.len());
    let schedule =
        Schedule::Cosine { warm_up: 10.min(config.steps / 4), over: config.steps.max(1), floor: 0.01 };
    let all: Vec<u32> = (0..u32::try_from(train.h.len()).unwrap_or(u32::MAX)).collect();
    let (mut sampler, mut drawn) = (Sampler::new(&all), vec![0_u32; rows]);
    let mut rng = Pcg64::seed_from_u64(sub_seed(config.seed, "increments"));
    let mut best: Option<(f64, u64, Vec<T>)> = None;
    let (mut loss, mut looks) = (f64::NAN, 0);
    for step in 0..=config.steps {
        let last = step == config.steps;
        if !last {
            sampler.draw(&mut rng, &mut drawn);
            batch.gather(&train, &drawn, d);
            loss = likelihood
                .evaluate(&params, &batch, Some(&mut gradient))
                .map_err(|source| SeriesError::Field { step, source })?
                - unit;
            let norm = clip_global_norm(&mut gradient, 10.0);
            if !loss.is_finite() || !norm.is_finite() {
                return Err(SeriesError::NotFinite { step });
            }
        }
        if last || step.is_multiple_of(config.evaluate_every) {
            let hold_out = if held_out.h.is_empty() {
                None
            } else {
                let value = likelihood.evaluate(&params, &held_out, None);
                Some(value.map_err(|source| SeriesError::Field { step, source })? - unit)
            };
            looks += 1;
            if let Some(value) = hold_out.filter(|v| best.as_ref().is_none_or(|b| *v < b.0)) {
                best = Some((value, step, params.clone()));
                looks = 0;
            }
            let told = SeriesProgress { step, of: config.steps, window: Some(1), loss, hold_out, gap: 0.0 };
            let tired = config.patience > 0 && hold_out.is_some() && looks >= config.patience;
            if progress(&told).is_break() || tired || last {
                let (hold_out, step, params) = match best {
                    Some((value, step, params)) => (Some(value), step, params),
                    None => (None, step, params),
                };
                let increments = [train.h.len(), held_out.h.len(), left];
                return Ok(IncrementsFit { params, loss, hold_out, step, increments });
            }
        }
        if optimiser.update(&mut params, &gradient, config.learning_rate * schedule.factor(step)).is_err() {
            unreachable!("the optimiser was made for as many parameters");
        }
    }
    unreachable!("the last round returns")
}

/// Increments to train on, those held out, and the number of those without a whole start.
fn pairs<T: Real>(series: &Series, config: &IncrementsConfig) -> (Increments<T>, Increments<T>, usize) {
    let d = series.dim;
    let mut rng = Pcg64::seed_from_u64(sub_seed(config.seed, "increments hold-out"));
    let n = series.trajectories.len();
    let whole = n >= 10;
    let units = if whole { n } else { series.trajectories.iter().map(|t| t.times.len() - 1).sum() };
    let mut order: Vec<usize> = (0..units).collect();
    shuffle(&mut order, &mut rng);
    let mut is_held = vec![false; units];
    order[..(config.hold_out * units as f64).floor() as usize].iter().for_each(|&i| is_held[i] = true);
    let (mut train, mut held_out, mut left) = (Increments::default(), Increments::default(), 0);
    let mut number = 0;
    for (i, t) in series.trajectories.iter().enumerate() {
        for (k, h) in t.times.windows(2).map(|w| w[1] - w[0]).enumerate() {
            let side = if is_held[if whole { i } else { number }] { &mut held_out } else { &mut train };
            number += 1;
            let (x, next) = t.values[k * d..(k + 2) * d].split_at(d);
            if x.iter().any(|v| v.is_nan()) || next.iter().all(|v| v.is_nan()) {
                left += 1;
                continue;
            }
            side.from.extend(x.iter().map(|&v| T::c(v)));
            side.slope.extend(next.iter().zip(x).map(|(b, a)| T::c((b - a) / h)));
            side.h.push(h);
        }
    }
    (train, held_out, left)
}
