//! Learning a field from measured series: warm start, windows that grow, whole trajectories.

use std::ops::ControlFlow;

use chreode_core::{Vjp, sub_seed};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};

use super::shooting::{Losses, Objective, Shooting};
use super::smooth::{Smoothed, smooth};
use super::state::{Identity, Moments, Shot, Stage, State};
use super::{Series, SeriesConfig, SeriesError};
use crate::CheckpointError;
use crate::optim::{Optimiser, OptimiserConfig, Schedule};
use crate::split::shuffle;

/// How far a fit has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeriesProgress {
    /// Updates done, those of the warm start included.
    pub step: u64,
    /// Updates in all.
    pub of: u64,
    /// Gaps between observations in a window; none in the warm start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// The loss; in the warm start the mean squared error of the slopes, relative to their mean square.
    pub loss: f64,
    /// The same at the observations that are held out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_out: Option<f64>,
    /// Mean squared gap between windows, in units of the spread.
    pub gap: f64,
}

/// What is told of a fit as it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SeriesEvent<'a> {
    /// How far it has come.
    Progress(&'a SeriesProgress),
    /// All that [`fit_series_from`] needs to go on from here. Progress up to that of `step` was told before, and is not told again.
    State {
        /// Updates done.
        step: u64,
        /// The state.
        bytes: &'a [u8],
    },
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesFit {
    /// The field's parameters.
    pub params: Vec<f64>,
    /// State of each trajectory at its first time, `[trajectories, d]`.
    pub starts: Vec<f64>,
    /// The loss along whole trajectories.
    pub loss: f64,
    /// The same at the observations that were held out.
    pub hold_out: Option<f64>,
    /// Root mean square of the residuals of each coordinate, in its units, `[d]`.
    pub residual: Vec<f64>,
    /// The update after which it was like this: the best at the hold-out, or the last.
    pub step: u64,
    /// Which observations were held out, as (trajectory, observation).
    pub held_out: Vec<(usize, usize)>,
}

/// Learns the parameters of a vector field, and the start states of the trajectories, from measured series.
///
/// 1. **Gradient matching**: the field's values are matched with slopes of smoothed series. No simulation, no false minima far away.
/// 2. **Multiple shooting**: trajectories are cut into windows with free start states, whose ends are pulled towards the next start;
///    windows double in length. The gradient comes from the discrete adjoint, which jumps at observations.
/// 3. **Single shooting** along whole trajectories; of these parameters the best at the hold-out are returned.
///
/// `params` are the first parameters. `progress` is told every [`evaluate_every`](SeriesConfig::evaluate_every) updates, and may break
/// the fit off, which returns what is best so far. Same data, settings and parameters give the same bits on any number of threads.
///
/// # Errors
/// [`SeriesError::Data`], [`SeriesError::NeverMeasured`], [`SeriesError::Setting`] and [`SeriesError::Length`] before anything runs;
/// [`SeriesError::Simulation`] if simulations fail however small the updates.
pub fn fit_series<F: Vjp<f64> + Clone + Send>(
    field: &F,
    params: Vec<f64>,
    series: &Series,
    config: &SeriesConfig,
    progress: &mut dyn FnMut(&SeriesProgress) -> ControlFlow<()>,
) -> Result<SeriesFit, SeriesError> {
    fit_series_from(field, params, series, config, None, &mut |event| match event {
        SeriesEvent::Progress(p) => progress(p),
        SeriesEvent::State { .. } => ControlFlow::Continue(()),
    })
}

/// [`fit_series`] from its beginning, or from a state that was told of an earlier fit with the same arguments: what follows, and what is
/// learned, has the same bits as without the interruption. `tell` hears of progress and states every
/// [`evaluate_every`](SeriesConfig::evaluate_every) updates, and may break the fit off.
///
/// # Errors
/// Those of [`fit_series`]; [`SeriesError::Checkpoint`] for a state that is damaged or of another fit.
pub fn fit_series_from<F: Vjp<f64> + Clone + Send>(
    field: &F,
    params: Vec<f64>,
    series: &Series,
    config: &SeriesConfig,
    from: Option<&[u8]>,
    tell: &mut dyn FnMut(SeriesEvent<'_>) -> ControlFlow<()>,
) -> Result<SeriesFit, SeriesError> {
    config.check_for(series)?;
    let length = |what, found, expected| {
        if found == expected { Ok(()) } else { Err(SeriesError::Length { what, found, expected }) }
    };
    length("coordinates of the series", series.dim, field.dim())?;
    length("parameters", params.len(), field.n_params())?;
    let held_out = draw_hold_out(series, config);
    let (train, hold_out) = split(series, &held_out);
    let (shift, scale) = train.moments();
    let objective = Objective {
        train,
        held_out: hold_out,
        shift,
        scale,
        loss: config.loss,
        continuity: config.continuity,
        tolerance: config.tolerance,
    };
    let smoothed = smooth(&objective.train, config.smoothing, &objective.shift);
    let plan = plan(series, config);
    let total = config.warm_start + plan.iter().map(|stage| stage.1).sum::<u64>();
    let identity = Identity::of(config, series, &params);
    let mut run = Run { field, config, objective, params, tell, step: 0, total, identity };
    // Start states of every observation; those of windows are picked from them and put back.
    let mut states = smoothed;
    let (mut warm, mut shot) = (None, None);
    if let Some(bytes) = from {
        let state = State::from_bytes(bytes, &identity)?;
        let lengths = |a: &[f64], b: &[f64]| {
            let what = "a list of numbers has the wrong length";
            if a.len() == b.len() { Ok(()) } else { Err(CheckpointError::Damaged { what }) }
        };
        lengths(&state.params, &run.params)?;
        (run.step, run.params) = (state.step, state.params);
        match state.stage {
            Stage::WarmStart(moments) => warm = Some(moments),
            Stage::Shooting(found) => {
                for (now, then) in states.iter_mut().zip(&found.states) {
                    lengths(then, &now.states)?;
                    now.states.copy_from_slice(then);
                }
                shot = Some(found);
            }
        }
    }
    let mut broken = shot.is_none() && run.warm_start(&states, warm)?.is_break();
    let mut best = None;
    let begun = shot.as_ref().map_or(0, |shot| shot.stage);
    for (i, &(window, steps)) in plan.iter().enumerate().skip(begun) {
        let whole = i + 1 == plan.len();
        if broken && !whole {
            continue;
        }
        let steps = if broken { 0 } else { steps };
        let stage = Windows { number: i, window, steps, whole };
        let (end, stopped) = run.shoot(stage, &mut states, shot.take())?;
        broken |= stopped.is_break();
        best = Some(end);
    }
    // A state of a stage that the plan does not have is none of this fit.
    let Some((losses, step)) = best else {
        return Err(CheckpointError::Damaged { what: "its stage is not one of the fit" }.into());
    };
    let starts = states.iter().flat_map(|s| &s.states[..series.dim]).copied().collect();
    Ok(SeriesFit {
        params: run.params,
        starts,
        loss: losses.train,
        hold_out: losses.hold_out,
        residual: losses.residual,
        step,
        held_out,
    })
}

impl SeriesConfig {
    /// Checks every setting, and whether a fit of these series can begin: also without the observations that are held out.
    ///
    /// # Errors
    /// [`SeriesError::Setting`], [`SeriesError::Data`], [`SeriesError::NeverMeasured`].
    pub fn check_for(&self, series: &Series) -> Result<(), SeriesError> {
        self.check()?;
        series.check()?;
        split(series, &draw_hold_out(series, self)).0.check()
    }
}

/// The observations held out: a random part of all but those of the starts.
fn draw_hold_out(series: &Series, config: &SeriesConfig) -> Vec<(usize, usize)> {
    let mut later: Vec<(usize, usize)> = series
        .trajectories
        .iter()
        .enumerate()
        .flat_map(|(i, t)| (1..t.times.len()).map(move |k| (i, k)))
        .collect();
    let mut rng = Pcg64::seed_from_u64(sub_seed(config.seed, "series hold-out"));
    shuffle(&mut later, &mut rng);
    later.truncate((config.hold_out * later.len() as f64).floor() as usize);
    later.sort_unstable();
    later
}

/// The series without the observations held out, and with them alone.
fn split(series: &Series, held_out: &[(usize, usize)]) -> (Series, Series) {
    let (mut train, mut hold_out) = (series.clone(), series.clone());
    hold_out.trajectories.iter_mut().for_each(|t| t.values.fill(f64::NAN));
    for &(i, k) in held_out {
        let row = k * series.dim..(k + 1) * series.dim;
        hold_out.trajectories[i].values[row.clone()]
            .copy_from_slice(&series.trajectories[i].values[row.clone()]);
        train.trajectories[i].values[row].fill(f64::NAN);
    }
    (train, hold_out)
}

/// The stages: gaps in a window, and updates. The last has whole trajectories and half of the updates.
fn plan(series: &Series, config: &SeriesConfig) -> Vec<(usize, u64)> {
    let longest = series.trajectories.iter().map(|t| t.times.len() - 1).max().unwrap_or(1);
    let first = if config.window > 0 { config.window } else { (longest / 16).max(4) };
    let mut windows = Vec::new();
    let mut window = first;
    while window < longest {
        windows.push(window);
        window *= 2;
    }
    let each = if windows.is_empty() { 0 } else { config.steps / 2 / windows.len() as u64 };
    let last = config.steps - each * windows.len() as u64;
    let mut plan: Vec<_> = windows.into_iter().map(|w| (w, each)).collect();
    plan.push((longest, last));
    plan
}

/// The state of a fit between stages.
struct Run<'a, F> {
    field: &'a F,
    config: &'a SeriesConfig,
    objective: Objective,
    params: Vec<f64>,
    tell: &'a mut dyn FnMut(SeriesEvent<'_>) -> ControlFlow<()>,
    step: u64,
    total: u64,
    identity: Identity,
}

/// A stage of shooting.
#[derive(Clone, Copy)]
struct Windows {
    number: usize,
    /// Gaps between observations in a window.
    window: usize,
    /// Updates.
    steps: u64,
    /// Whether the windows are whole trajectories.
    whole: bool,
}

/// How often the learning rate is halved for simulations that fail, before the fit does.
const ATTEMPTS: u32 = 20;

impl<F: Vjp<f64> + Clone + Send> Run<'_, F> {
    fn schedule(steps: u64) -> Schedule {
        Schedule::Cosine { warm_up: 10.min(steps / 4), over: steps.max(1), floor: 0.02 }
    }

    fn is_time_to_tell(&self) -> bool {
        self.step.is_multiple_of(self.config.evaluate_every)
    }

    /// Tells the state.
    fn tell_state(&mut self, stage: Stage) -> Result<ControlFlow<()>, SeriesError> {
        let state = State { identity: self.identity, step: self.step, params: self.params.clone(), stage };
        Ok((self.tell)(SeriesEvent::State { step: self.step, bytes: &state.to_bytes()? }))
    }

    /// Matches the field with the slopes of the smoothed series; goes on where the optimiser had these moments.
    fn warm_start(
        &mut self,
        smoothed: &[Smoothed],
        from: Option<Moments>,
    ) -> Result<ControlFlow<()>, SeriesError> {
        let (d, steps) = (self.objective.train.dim, self.config.warm_start);
        // Points at the same time are one batch.
        let mut points: Vec<(f64, usize, usize)> = Vec::new();
        for (i, t) in self.objective.train.trajectories.iter().enumerate() {
            points.extend(t.times.iter().enumerate().map(|(k, &time)| (time, i, k)));
        }
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let row = |values: &[f64], k: usize| values[k * d..(k + 1) * d].to_vec();
        let states: Vec<f64> = points.iter().flat_map(|&(_, i, k)| row(&smoothed[i].states, k)).collect();
        let slopes: Vec<f64> = points.iter().flat_map(|&(_, i, k)| row(&smoothed[i].slopes, k)).collect();
        let mean_square =
            |j: usize| slopes.iter().skip(j).step_by(d).map(|s| s * s).sum::<f64>() / points.len() as f64;
        let weights: Vec<f64> = (0..d).map(|j| 1.0 / mean_square(j).max(f64::MIN_POSITIVE)).collect();
        let (mut values, mut y_bar) = (vec![0.0; states.len()], vec![0.0; states.len()]);
        let (mut field, mut gradient) = (self.field.clone(), vec![0.0; self.params.len()]);
        let mut optimiser = match from {
            Some(moments) => moments.adam(self.params.len())?,
            None => Optimiser::new(OptimiserConfig::adam(), self.params.len()),
        };
        let schedule = Self::schedule(steps);
        let failed = |step, source| SeriesError::Field { step, source };
        for k in self.step..steps {
            let mut loss = 0.0;
            gradient.fill(0.0);
            let mut from = 0;
            for batch in points.chunk_by(|a, b| a.0 == b.0) {
                let rows = from * d..(from + batch.len()) * d;
                from += batch.len();
                let (t, y, f) = (batch[0].0, &states[rows.clone()], &mut values[rows.clone()]);
                field.eval(t, y, &self.params, f).map_err(|source| failed(self.step, source))?;
                for (i, (f, s)) in f.iter_mut().zip(&slopes[rows.clone()]).enumerate() {
                    let r = *f - s;
                    loss += weights[i % d] * r * r / states.len() as f64;
                    *f = 2.0 * weights[i % d] * r / states.len() as f64;
                }
                let f_bar = &values[rows.clone()];
                field
                    .vjp(t, y, &self.params, f_bar, &mut y_bar[rows], &mut gradient)
                    .map_err(|source| failed(self.step, source))?;
            }
            let rate = self.config.learning_rate * schedule.factor(k);
            decay(&mut self.params, rate * self.config.weight_decay);
            update(&mut optimiser, &mut self.params, &gradient, rate);
            self.step += 1;
            if self.is_time_to_tell() {
                let progress = SeriesProgress {
                    step: self.step,
                    of: self.total,
                    window: None,
                    loss,
                    hold_out: None,
                    gap: 0.0,
                };
                let mut broken = (self.tell)(SeriesEvent::Progress(&progress)).is_break();
                // The first state of what follows has the same step.
                if k + 1 < steps {
                    broken |= self.tell_state(Stage::WarmStart(Moments::of(&optimiser)))?.is_break();
                }
                if broken {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// One stage, from its beginning or from where it was. `states` holds the guesses of the windows' starts, and gets what was found.
    fn shoot(
        &mut self,
        stage: Windows,
        states: &mut [Smoothed],
        from: Option<Shot>,
    ) -> Result<((Losses, u64), ControlFlow<()>), SeriesError> {
        let Windows { number, window, steps, whole } = stage;
        let (d, n) = (self.objective.train.dim, self.params.len());
        let mut shooting = Shooting::new(self.field, &self.objective, window);
        let (shift, scale) = (self.objective.shift.clone(), self.objective.scale.clone());
        let mut all = self.params.clone();
        for w in shooting.windows() {
            let state = &states[w.trajectory].states[w.first * d..(w.first + 1) * d];
            all.extend((0..d).map(|j| (state[j] - shift[j]) / scale[j]));
        }
        let mut gradient = vec![0.0; all.len()];
        let mut optimiser = Optimiser::new(OptimiserConfig::adam(), all.len());
        let schedule = Self::schedule(steps);
        let (mut k, mut slower, mut attempts) = (0, 1.0, 0);
        let mut best: Option<(Losses, u64, Vec<f64>)> = None;
        let mut is_told = from.is_some();
        if let Some(shot) = from {
            if shot.all.len() != all.len() || shot.k >= steps {
                return Err(CheckpointError::Damaged { what: "its stage is not one of the fit" }.into());
            }
            optimiser = shot.adam.adam(all.len())?;
            (k, slower, attempts, best, all) = (shot.k, shot.slower, shot.attempts, shot.best, shot.all);
        }
        let mut good = all.clone();
        let mut flow = ControlFlow::Continue(());
        loop {
            let last = k == steps;
            let evaluated =
                shooting.losses(&self.objective, &all[..n], &all[n..], (!last).then_some(&mut gradient));
            let losses = match evaluated {
                Ok(losses) if losses.train.is_finite() && gradient.iter().all(|g| g.is_finite()) => losses,
                other => {
                    // Back to where it could be simulated, and on in smaller steps.
                    attempts += 1;
                    if attempts > ATTEMPTS || k == 0 {
                        return Err(match other {
                            Err(source) => SeriesError::Simulation { step: self.step, attempts, source },
                            Ok(_) => SeriesError::NotFinite { step: self.step },
                        });
                    }
                    all.copy_from_slice(&good);
                    optimiser = Optimiser::new(OptimiserConfig::adam(), all.len());
                    slower *= 0.5;
                    shooting
                        .losses(&self.objective, &all[..n], &all[n..], Some(&mut gradient))
                        .map_err(|source| SeriesError::Simulation { step: self.step, attempts, source })?
                }
            };
            good.copy_from_slice(&all);
            if std::mem::take(&mut is_told) {
                // It was when the state was.
            } else if last || self.is_time_to_tell() {
                let judged = losses.hold_out.unwrap_or(losses.train);
                let is_better = best.as_ref().is_none_or(|b| judged < b.0.hold_out.unwrap_or(b.0.train));
                if whole && is_better {
                    best = Some((losses.clone(), self.step, all.clone()));
                }
                let progress = SeriesProgress {
                    step: self.step,
                    of: self.total,
                    window: Some(window),
                    loss: losses.train,
                    hold_out: losses.hold_out,
                    gap: losses.gap,
                };
                flow = (self.tell)(SeriesEvent::Progress(&progress));
                if !last {
                    let shot = Shot {
                        stage: number,
                        k,
                        all: all.clone(),
                        adam: Moments::of(&optimiser),
                        slower,
                        attempts,
                        best: best.clone(),
                        states: states.iter().map(|s| s.states.clone()).collect(),
                    };
                    if self.tell_state(Stage::Shooting(shot))?.is_break() {
                        flow = ControlFlow::Break(());
                    }
                }
            }
            if last || flow.is_break() {
                let (losses, step, all) = best.unwrap_or((losses, self.step, all));
                self.params.copy_from_slice(&all[..n]);
                for (w, z) in shooting.windows().iter().zip(all[n..].chunks_exact(d)) {
                    let state = &mut states[w.trajectory].states[w.first * d..(w.first + 1) * d];
                    (0..d).for_each(|j| state[j] = shift[j] + scale[j] * z[j]);
                }
                return Ok(((losses, step), flow));
            }
            let rate = slower * self.config.learning_rate * schedule.factor(k);
            decay(&mut all[..n], rate * self.config.weight_decay);
            update(&mut optimiser, &mut all, &gradient, rate);
            self.step += 1;
            k += 1;
        }
    }
}

/// Weight decay, of the field's parameters alone: start states are no weights.
fn decay(p: &mut [f64], part: f64) {
    p.iter_mut().for_each(|p| *p -= part * *p);
}

fn update(optimiser: &mut Optimiser<f64>, p: &mut [f64], gradient: &[f64], rate: f64) {
    if optimiser.update(p, gradient, rate).is_err() {
        unreachable!("the optimiser was made for as many parameters");
    }
}
