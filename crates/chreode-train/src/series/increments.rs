//! Learning a stochastic equation from densely measured series, by the likelihood of its increments.
//!
//! Between neighbouring observations the equation is taken as one Euler-Maruyama step, `x' ~ N(x + f(x) h, g(x)² h)`: the contrast of
//! [Flo89], consistent as `h` goes to zero, with a bias in proportion to `h` times the rates of the drift.
//! Not here: series with errors of measurement or few observations (`fit`).

use std::ops::ControlFlow;

use chreode_core::{DiffusionVjp, FieldError, Real, sub_seed};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Series, SeriesError, SeriesProgress};
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

/// Increments, row by row.
#[derive(Debug, Default)]
struct Pairs<T> {
    from: Vec<T>,
    /// `(x' - x) / h`, NaN where it was not measured.
    slope: Vec<T>,
    h: Vec<f64>,
}

/// Rows of one piece of work.
const TILE: usize = 128;

/// One worker's field and sums.
#[derive(Debug)]
struct Worker<T, S> {
    sde: S,
    f: Vec<T>,
    g: Vec<T>,
    y_bar: Vec<T>,
    p_bar: Vec<T>,
    loss: f64,
    outcome: Result<(), FieldError>,
}

/// Learns drift and diffusion of a stochastic equation with diagonal noise from the increments of measured series.
///
/// The increments must be short beside the times in which drift and diffusion change, and the measurement's own errors small
/// beside them: neither can be told from the noise of the process afterwards. `progress` is told every
/// [`evaluate_every`](IncrementsConfig::evaluate_every) updates and may break the fit off, which returns what is best so far.
/// Same bits on any number of threads.
///
/// # Errors
/// [`SeriesError::Data`], [`SeriesError::Setting`], [`SeriesError::Length`] and [`SeriesError::NotDiagonal`] before anything runs;
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
    if noise.motions(d) != d || noise.values(d) != d {
        return Err(SeriesError::NotDiagonal { motions: noise.motions(d), coordinates: d });
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
    let mut batch = Pairs::default();
    let mut workers: Vec<Worker<T, S>> = (0..rows.max(held_out.h.len()).div_ceil(TILE))
        .map(|_| Worker {
            sde: sde.clone(),
            f: vec![T::ZERO; TILE * d],
            g: vec![T::ZERO; TILE * d],
            y_bar: vec![T::ZERO; TILE * d],
            p_bar: vec![T::ZERO; params.len()],
            loss: 0.0,
            outcome: Ok(()),
        })
        .collect();
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
            loss = losses(&mut workers, &params, &batch, d, Some(&mut gradient))
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
                let value = losses(&mut workers, &params, &held_out, d, None);
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
fn pairs<T: Real>(series: &Series, config: &IncrementsConfig) -> (Pairs<T>, Pairs<T>, usize) {
    let d = series.dim;
    let mut rng = Pcg64::seed_from_u64(sub_seed(config.seed, "increments hold-out"));
    let n = series.trajectories.len();
    let whole = n >= 10;
    let units = if whole { n } else { series.trajectories.iter().map(|t| t.times.len() - 1).sum() };
    let mut order: Vec<usize> = (0..units).collect();
    shuffle(&mut order, &mut rng);
    let mut is_held = vec![false; units];
    order[..(config.hold_out * units as f64).floor() as usize].iter().for_each(|&i| is_held[i] = true);
    let (mut train, mut held_out, mut left) = (Pairs::default(), Pairs::default(), 0);
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

impl<T: Real> Pairs<T> {
    /// Sets these to some rows of others.
    fn gather(&mut self, all: &Self, rows: &[u32], d: usize) {
        self.from.clear();
        self.slope.clear();
        self.h.clear();
        for &row in rows {
            let row = row as usize;
            self.from.extend_from_slice(&all.from[row * d..(row + 1) * d]);
            self.slope.extend_from_slice(&all.slope[row * d..(row + 1) * d]);
            self.h.push(all.h[row]);
        }
    }
}

/// Mean negative log-likelihood of a coordinate's increment, and its gradient if one is asked for (set).
fn losses<T, S>(
    workers: &mut [Worker<T, S>],
    p: &[T],
    pairs: &Pairs<T>,
    d: usize,
    gradient: Option<&mut [T]>,
) -> Result<f64, FieldError>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send,
{
    let count = pairs.slope.iter().filter(|s| !s.f64().is_nan()).count().max(1) as f64;
    let tiles = pairs.h.len().div_ceil(TILE);
    let with_gradient = gradient.is_some();
    workers[..tiles].par_iter_mut().enumerate().for_each(|(i, worker)| {
        let rows = i * TILE..((i + 1) * TILE).min(pairs.h.len());
        worker.outcome = worker.tile(p, pairs, rows, d, count, with_gradient);
    });
    let mut loss = 0.0;
    for worker in &mut workers[..tiles] {
        std::mem::replace(&mut worker.outcome, Ok(()))?;
        loss += worker.loss;
    }
    if let Some(gradient) = gradient {
        gradient.fill(T::ZERO);
        for worker in &workers[..tiles] {
            gradient.iter_mut().zip(&worker.p_bar).for_each(|(sum, &b)| *sum += b);
        }
    }
    Ok(loss / count)
}

impl<T: Real, S: DiffusionVjp<T>> Worker<T, S> {
    /// Sets `loss`, the sum over the rows, and `p_bar`, the gradient of it over `count`.
    fn tile(
        &mut self,
        p: &[T],
        pairs: &Pairs<T>,
        rows: std::ops::Range<usize>,
        d: usize,
        count: f64,
        with_gradient: bool,
    ) -> Result<(), FieldError> {
        let len = rows.len() * d;
        let (x, slope) =
            (&pairs.from[rows.start * d..rows.end * d], &pairs.slope[rows.start * d..rows.end * d]);
        let (f, g) = (&mut self.f[..len], &mut self.g[..len]);
        self.sde.drift_and_diffusion(0.0, x, p, f, g)?;
        self.loss = 0.0;
        for (i, (f, g)) in f.iter_mut().zip(g.iter_mut()).enumerate() {
            let h = T::c(pairs.h[rows.start + i / d]);
            if slope[i].f64().is_nan() {
                (*f, *g) = (T::ZERO, T::ZERO);
                continue;
            }
            // r = (x' - x - f h) / (g √h), and ½ r² + ln g; √h in the density is no function of the parameters, but of the unit.
            let r = (slope[i] - *f) * h.sqrt() / *g;
            self.loss += 0.5 * (r * r).f64() + (*g).f64().ln() + 0.5 * h.f64().ln();
            let each = T::c(1.0 / count);
            (*f, *g) = (-r * h.sqrt() / *g * each, (T::ONE - r * r) / *g * each);
        }
        if with_gradient {
            self.p_bar.fill(T::ZERO);
            let y_bar = &mut self.y_bar[..len];
            self.sde.drift_and_diffusion_vjp(
                0.0,
                x,
                p,
                &self.f[..len],
                &self.g[..len],
                y_bar,
                &mut self.p_bar,
            )?;
        }
        Ok(())
    }
}
