//! The trainer: one update, the hold-out's evaluation, the loop.

use super::batch::{Batch, inverse_scales};
use super::config::{GrowthUse, TrainConfig};
use super::observer::{Evaluation, Observer, Outcome, StepReport, StopReason};
use super::pass::{Context, Pass, Purpose};
use super::plan::{PlannedSegment, plan, training_times};
use super::state::{Best, Identity, Numbers, State};
use crate::data::{Fnv, Snapshots};
use crate::engine::{CpuEngine, Segment};
use crate::gaussian::is_correlated;
use crate::matching::{BridgeNoise, Bridges, Descendants, Regression};
use crate::optim::{Optimiser, ParamAverage, clip_global_norm};
use crate::split::Split;
use crate::{CheckpointError, CloudLoss, Model, NoGrowth, TrainError};
use chreode_core::{BrownianIncrements, DiffusionVjp, GrowthVjp, Real, sub_seed};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Trains a model on snapshots. See [`TrainConfig`] for what can be chosen.
///
/// A run is a function of data, model, first parameters and settings: the same bits for any number of threads,
/// and whether or not it was interrupted and restored. Paths are simulated on the processor unless [`place`](Self::place) says otherwise.
#[derive(Debug)]
pub struct Trainer<T, S, G = NoGrowth> {
    config: TrainConfig,
    data: Snapshots<T>,
    split: Split,
    plan: Vec<PlannedSegment>,
    left_out: Vec<usize>,
    inverse_scale: Vec<T>,
    pub(super) model: Model<S, G>,
    loss: CloudLoss<T>,
    pub(super) train: Pass<T>,
    matching: Option<(Bridges<T>, Regression<T, S, G>)>,
    descendants: Option<Descendants<T>>,
    pub(super) hold_out: Option<Pass<T>>,
    params: Vec<T>,
    gradient: Vec<T>,
    average: Option<ParamAverage<T>>,
    optimiser: Optimiser<T>,
    step: u64,
    best: Option<(u64, f64, Vec<T>)>,
    since_best: u64,
    seconds: f64,
    identity: Identity,
    report: StepReport,
}

impl<T, S, G> Trainer<T, S, G>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send + Sync + 'static,
    G: GrowthVjp<T> + Clone + Send + Sync + 'static,
{
    /// A trainer at step zero with these first parameters.
    ///
    /// # Errors
    /// [`TrainError`] that says which setting, time or row does not fit.
    pub fn new(
        model: impl Into<Model<S, G>>,
        params: Vec<T>,
        data: Snapshots<T>,
        config: TrainConfig,
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::uncoupled(model.into(), params, data, config)?;
        trainer.couple()?;
        Ok(trainer)
    }

    /// A trainer where another one was when it saved `state`: [`new`](Self::new) and then [`restore`](Self::restore), but a training
    /// that came to its end couples no cells.
    ///
    /// # Errors
    /// Those of the two.
    pub fn resumed(
        model: impl Into<Model<S, G>>,
        params: Vec<T>,
        data: Snapshots<T>,
        config: TrainConfig,
        state: &[u8],
    ) -> Result<Self, TrainError> {
        let mut trainer = Self::uncoupled(model.into(), params, data, config)?;
        trainer.restore(state)?;
        if trainer.stop_reason(&AtomicBool::new(false)).is_none() {
            trainer.couple()?;
        }
        Ok(trainer)
    }

    /// A trainer whose cells are not coupled yet.
    fn uncoupled(
        model: Model<S, G>,
        params: Vec<T>,
        data: Snapshots<T>,
        config: TrainConfig,
    ) -> Result<Self, TrainError> {
        config.check()?;
        data.check()?;
        let length = |what, got, expected| {
            if got == expected { Ok(()) } else { Err(TrainError::Length { what, got, expected }) }
        };
        length("parameters", params.len(), model.sde.n_params())?;
        length("coordinates of a cell", data.dim, model.sde.dim())?;
        let off = |name, rule| Err(TrainError::Setting { name, value: 0.0, rule });
        match config.growth {
            GrowthUse::Column if data.growth.is_empty() => {
                return off("growth", "from a column, but the data have no growth rates");
            }
            GrowthUse::Learned if model.growth.is_none() => {
                return off("growth", "learned, but the model has no growth");
            }
            GrowthUse::None | GrowthUse::Column if model.growth.is_some() => {
                return off(
                    "growth",
                    "the model has a growth that would never be trained; set it to learned",
                );
            }
            _ => {}
        }
        let kept = training_times(&data.times, &config.leave_out_times)?;
        let left_out = (0..data.times.len()).filter(|i| !kept.contains(i)).collect();
        let plan = plan(&data, &kept, &config)?;
        let split = Split::draw(&data, config.hold_out, config.hold_out_by, config.judge_seed())?;
        let inverse_scale = inverse_scales(&data, &split, &kept, config.standardise)?;
        if let Some(settings) = &config.matching {
            if settings.clone_neighbours.is_some() && data.groups.is_empty() {
                return off("matching.clone_neighbours", "the data name no clones");
            }
            let kind = model.sde.noise_kind();
            let refused = |route, why| Err(TrainError::NoiseForm { form: kind.name(), route, why });
            if kind.motions(data.dim) < data.dim {
                return refused("matching", "bridges have noise in every direction");
            }
            if is_correlated(kind) && settings.noise == BridgeNoise::Blur {
                let why = "bridges then have the same noise in every direction";
                return refused("matching with the noise of the blur", why);
            }
        }
        let d = data.dim;
        let pass = |rows: &[Vec<u32>], paths: usize| -> Pass<T> {
            let segments: Vec<_> =
                plan.iter().map(|s| Segment { grid: s.grid.clone(), rows: s.paths(paths) }).collect();
            let each = |width: usize| {
                plan.iter().map(|s| vec![vec![T::ZERO; s.paths(paths) * width]; s.targets.len()]).collect()
            };
            let most = plan.iter().map(|s| s.paths(paths)).max().unwrap_or(0);
            Pass {
                engine: Box::new(CpuEngine::new(&model, segments)),
                batch: Batch::new(&plan, &data, rows, paths, config.growth),
                first_trajectory: vec![0; plan.len()],
                state_bar: each(d),
                log_weight_bar: each(usize::from(config.growth == GrowthUse::Learned)),
                scaled: vec![T::ZERO; most * d],
                terms: Vec::with_capacity(plan.iter().map(|s| s.targets.len()).sum()),
            }
        };
        let train = pass(&split.train, config.batch);
        let hold_out = (config.hold_out > 0.0).then(|| {
            // Few cells are started several times each: less noise in what decides about stopping.
            pass(&split.hold_out, config.evaluate_cells)
        });
        let (mut settings, mut description) = (Fnv::default(), Fnv::default());
        settings.add(format!("{:?}", config.decisive()).as_bytes());
        description.add(format!("{} {}", model.non_negative, model.description).as_bytes());
        let identity = Identity {
            settings: settings.0,
            data: data.fingerprint()?,
            split: split.fingerprint(),
            model: description.0,
            parameters: params.len() as u64,
            width: size_of::<T>() as u8,
        };
        let descendants =
            config.matching.as_ref().map(|_| Descendants::new(plan.iter().map(|s| s.paths(config.batch)), d));
        let terms = data.times.len() * data.times.len();
        Ok(Self {
            loss: CloudLoss::new(d, &config.loss)?,
            optimiser: Optimiser::new(config.optimiser, params.len()),
            average: (config.average > 0.0).then(|| ParamAverage::new(&params, config.average)),
            gradient: vec![T::ZERO; params.len()],
            config,
            data,
            split,
            plan,
            left_out,
            inverse_scale,
            model,
            train,
            descendants,
            matching: None,
            hold_out,
            params,
            step: 0,
            best: None,
            since_best: 0,
            seconds: 0.0,
            identity,
            report: StepReport { terms: Vec::with_capacity(terms), ..StepReport::default() },
        })
    }

    /// Couples the cells of neighbouring times, if that is to be and was not done.
    fn couple(&mut self) -> Result<(), TrainError> {
        let (None, Some(settings)) = (&self.matching, &self.config.matching) else { return Ok(()) };
        let kept: Vec<usize> = (0..self.data.times.len()).filter(|i| !self.left_out.contains(i)).collect();
        let bridges = Bridges::new(
            &self.data,
            &self.split,
            &kept,
            &self.inverse_scale,
            self.config.growth,
            settings,
            is_correlated(self.model.sde.noise_kind()),
            self.config.seed,
        )?;
        let regression = Regression::new(&self.model, &bridges, self.config.batch);
        self.matching = Some((bridges, regression));
        Ok(())
    }

    /// What a pass simulates.
    pub(super) fn segments(&self, pass: &Pass<T>) -> Vec<Segment> {
        let rows = |s: usize| pass.batch.segments[s].start_rows.len();
        self.plan
            .iter()
            .enumerate()
            .map(|(s, planned)| Segment { grid: planned.grid.clone(), rows: rows(s) })
            .collect()
    }

    /// Simulates on the processor from now on.
    pub(super) fn move_to_processor(&mut self) {
        self.train.engine = Box::new(CpuEngine::new(&self.model, self.segments(&self.train)));
        let engine = self.hold_out.as_ref().map(|pass| CpuEngine::new(&self.model, self.segments(pass)));
        if let (Some(pass), Some(engine)) = (&mut self.hold_out, engine) {
            pass.engine = Box::new(engine);
        }
    }

    /// One update: draw cells, simulate, compare, pull back, move the parameters.
    ///
    /// # Errors
    /// [`TrainError`] naming step, term and cell if something is not finite; the parameters are then unchanged.
    pub fn step(&mut self) -> Result<&StepReport, TrainError> {
        rayon::scope(|_| self.step_in_pool())?; // one entry into the thread pool
        Ok(&self.report)
    }

    fn step_in_pool(&mut self) -> Result<(), TrainError> {
        self.couple()?;
        let mut rng = Pcg64::seed_from_u64(sub_seed(self.config.seed, "minibatch").wrapping_add(self.step));
        let until = self.config.matching.as_ref().map(|m| m.until);
        if let (Some(until), Some((bridges, regression))) = (until, &mut self.matching)
            && until.is_none_or(|until| self.step < until)
        {
            let loss = regression.step(
                bridges,
                &self.data,
                &self.inverse_scale,
                self.model.non_negative,
                &self.params,
                BrownianIncrements::new(sub_seed(self.config.seed, "bridges")),
                (self.step, &mut rng),
                &mut self.gradient,
                &mut self.report.terms,
            )?;
            return self.update(loss);
        }
        let pass = &mut self.train;
        if let (Some((bridges, _)), Some(descendants)) = (&self.matching, &mut self.descendants) {
            descendants.draw(bridges, &self.data, &self.inverse_scale, &mut rng)?;
        }
        let pairs = self.descendants.as_ref();
        pass.batch.draw(&self.data, &self.plan, &self.inverse_scale, pairs, &mut rng)?;
        let noise = sub_seed(self.config.seed, "training noise");
        let base = self.step << 32; // every step has its own trajectories
        for (s, first) in pass.first_trajectory.iter_mut().enumerate() {
            *first = base + (s * self.config.batch) as u64;
        }
        let context = Context {
            data: &self.data,
            plan: &self.plan,
            config: &self.config,
            step: self.step,
            inverse_scale: &self.inverse_scale,
        };
        let loss = context.losses(pass, &mut self.loss, &self.params, noise, Purpose::Train(pairs))?;
        pass.engine
            .pull_back(
                &self.params,
                noise,
                &pass.first_trajectory,
                &pass.state_bar,
                &pass.log_weight_bar,
                &mut self.gradient,
            )
            .map_err(|e| context.path_error(&pass.batch, e))?;
        self.report.terms.clone_from(&pass.terms);
        self.update(loss)
    }

    /// Moves the parameters by the gradient.
    fn update(&mut self, loss: f64) -> Result<(), TrainError> {
        let max_norm = if self.config.clip_norm > 0.0 { self.config.clip_norm } else { f64::INFINITY };
        let norm = clip_global_norm(&mut self.gradient, max_norm);
        if !norm.is_finite() {
            let bad = |g: &T| !g.is_finite();
            // A norm can overflow though no element has; then the first is as good as any.
            let parameter = self.gradient.iter().position(bad).unwrap_or(0);
            let value = self.gradient.get(parameter).map_or(norm, |g| g.f64());
            return Err(TrainError::Gradient { step: self.step, parameter, value });
        }
        let rate = self.config.learning_rate * self.config.schedule.factor(self.step);
        self.optimiser.update(&mut self.params, &self.gradient, rate).map_err(|e| TrainError::Length {
            what: "parameters",
            got: e.got,
            expected: e.expected,
        })?;
        if let Some(average) = &mut self.average {
            average.update(&self.params);
        }
        self.step += 1;
        self.report.step = self.step;
        self.report.loss = loss;
        self.report.gradient_norm = norm;
        self.report.learning_rate = rate;
        Ok(())
    }

    /// Compares simulated with observed held-out cells, with the same noise each time, and keeps the parameters if
    /// they are the best so far; `None` without a hold-out.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub fn evaluate(&mut self) -> Result<Option<Evaluation>, TrainError> {
        let params = self.average.as_ref().map_or(&self.params[..], ParamAverage::values);
        let Some(pass) = &mut self.hold_out else { return Ok(None) };
        let mut rng = Pcg64::seed_from_u64(sub_seed(self.config.judge_seed(), "hold-out cells"));
        pass.batch.draw(&self.data, &self.plan, &self.inverse_scale, None, &mut rng)?;
        let noise = sub_seed(self.config.judge_seed(), "hold-out noise");
        for (s, first) in pass.first_trajectory.iter_mut().enumerate() {
            *first = (s * self.config.evaluate_cells) as u64;
        }
        let context = Context {
            data: &self.data,
            plan: &self.plan,
            config: &self.config,
            step: self.step,
            inverse_scale: &self.inverse_scale,
        };
        let loss = context.losses(pass, &mut self.loss, params, noise, Purpose::Judge)?;
        let terms = pass.terms.clone();
        self.since_best += 1;
        match &mut self.best {
            Some((_, best, _)) if *best <= loss => {}
            Some((step, best, kept)) => {
                (*step, *best) = (self.step, loss);
                kept.copy_from_slice(params);
                self.since_best = 0;
            }
            none => {
                *none = Some((self.step, loss, params.to_vec()));
                self.since_best = 0;
            }
        }
        let (best_step, best_loss) = self.best.as_ref().map_or((self.step, loss), |b| (b.0, b.1));
        Ok(Some(Evaluation { step: self.step, hold_out_loss: loss, terms, best_loss, best_step }))
    }

    /// Steps until the settings say stop, `cancel` is set or something fails, reporting to `observer`.
    ///
    /// The last thing it does, cancelled or not, is a checkpoint. Called again after a cancellation (or on a
    /// restored trainer) it goes on.
    ///
    /// # Errors
    /// As [`step`](Self::step); [`TrainError::Observer`] if the observer fails.
    pub fn run(&mut self, observer: &mut dyn Observer, cancel: &AtomicBool) -> Result<Outcome, TrainError> {
        let (begin, before) = (Instant::now(), self.seconds);
        let mut saved = None;
        let reason = loop {
            self.seconds = before + begin.elapsed().as_secs_f64();
            if let Some(reason) = self.stop_reason(cancel) {
                break reason;
            }
            self.step()?;
            self.seconds = before + begin.elapsed().as_secs_f64();
            let failed = |step| move |source| TrainError::Observer { step, source };
            observer.step(&self.report, self.seconds).map_err(failed(self.step))?;
            if self.step.is_multiple_of(self.config.evaluate_every)
                && let Some(evaluation) = self.evaluate()?
            {
                observer.evaluation(&evaluation).map_err(failed(self.step))?;
            }
            if self.step.is_multiple_of(self.config.checkpoint_every) {
                observer.checkpoint(self.step, &self.save()?).map_err(failed(self.step))?;
                saved = Some(self.step);
            }
        };
        if saved != Some(self.step) {
            let step = self.step;
            observer
                .checkpoint(step, &self.save()?)
                .map_err(|source| TrainError::Observer { step, source })?;
        }
        self.seconds = before + begin.elapsed().as_secs_f64();
        Ok(Outcome {
            reason,
            step: self.step,
            best_step: self.best.as_ref().map_or(self.step, |b| b.0),
            best_loss: self.best.as_ref().map(|b| b.1),
            seconds: self.seconds,
        })
    }

    fn stop_reason(&self, cancel: &AtomicBool) -> Option<StopReason> {
        if self.step >= self.config.steps {
            Some(StopReason::Finished)
        } else if self.config.patience > 0 && self.since_best >= self.config.patience {
            Some(StopReason::EarlyStop)
        } else if self.config.time_budget.is_some_and(|budget| self.seconds >= budget) {
            Some(StopReason::TimeBudget)
        } else if cancel.load(Ordering::Relaxed) {
            Some(StopReason::Cancelled)
        } else {
            None
        }
    }

    /// The state as bytes, for [`restore`](Self::restore).
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] if it cannot be encoded, which no state that was seen has caused.
    pub fn save(&self) -> Result<Vec<u8>, TrainError> {
        let state = State {
            identity: self.identity,
            step: self.step,
            seconds: self.seconds,
            params: Numbers::of(&self.params),
            average: self.average.as_ref().map(|a| (Numbers::of(&a.values), a.updates)),
            first: Numbers::of(&self.optimiser.first),
            second: Numbers::of(&self.optimiser.second),
            updates: self.optimiser.updates,
            best: self.best.as_ref().map(|(step, loss, params)| Best {
                step: *step,
                loss: *loss,
                params: Numbers::of(params),
            }),
            since_best: self.since_best,
        };
        Ok(state.to_bytes()?)
    }

    /// Puts the trainer where it was when `state` was saved: what follows has the same bits as without the
    /// interruption. The number of steps, the budget, the patience and the checkpoint interval may differ.
    ///
    /// # Errors
    /// [`CheckpointError`] if the state is damaged or belongs to other data, settings or model; the trainer is
    /// then unchanged.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), TrainError> {
        let state = State::from_bytes(state, &self.identity)?;
        let mut next = self.clone_progress();
        state.params.put(&mut next.params)?;
        state.first.put(&mut next.optimiser.first)?;
        state.second.put(&mut next.optimiser.second)?;
        next.optimiser.updates = state.updates;
        match (&mut next.average, &state.average) {
            (Some(average), Some((values, updates))) => {
                values.put(&mut average.values)?;
                average.updates = *updates;
            }
            (None, None) => {}
            _ => {
                return Err(CheckpointError::Damaged { what: "the average does not fit the settings" }.into());
            }
        }
        let best = match &state.best {
            None => None,
            Some(best) => {
                let mut params = vec![T::ZERO; next.params.len()];
                best.params.put(&mut params)?;
                Some((best.step, best.loss, params))
            }
        };
        self.params = next.params;
        self.optimiser = next.optimiser;
        self.average = next.average;
        self.best = best;
        self.step = state.step;
        self.seconds = state.seconds;
        self.since_best = state.since_best;
        Ok(())
    }

    fn clone_progress(&self) -> Progress<T> {
        Progress {
            params: self.params.clone(),
            optimiser: self.optimiser.clone(),
            average: self.average.clone(),
        }
    }

    /// Updates done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// The parameters as the optimiser left them.
    pub fn params(&self) -> &[T] {
        &self.params
    }

    /// The parameters to use: those of the best evaluation; without a hold-out the moving average, or the last.
    pub fn best_params(&self) -> &[T] {
        match (&self.best, &self.average) {
            (Some((_, _, params)), _) => params,
            (None, Some(average)) => average.values(),
            (None, None) => &self.params,
        }
    }

    /// The data.
    pub fn data(&self) -> &Snapshots<T> {
        &self.data
    }

    /// Which cells are held out.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// Numbers of the times that are left out of training altogether.
    pub fn left_out_times(&self) -> &[usize] {
        &self.left_out
    }

    /// Which paths are simulated and compared.
    pub fn plan(&self) -> &[PlannedSegment] {
        &self.plan
    }

    /// One over the scale of each coordinate in the loss, `[d]`.
    pub fn inverse_scale(&self) -> &[T] {
        &self.inverse_scale
    }

    /// The model.
    pub fn model(&self) -> &Model<S, G> {
        &self.model
    }

    /// The settings.
    pub fn config(&self) -> &TrainConfig {
        &self.config
    }
}

/// What a restore replaces at once.
struct Progress<T> {
    params: Vec<T>,
    optimiser: Optimiser<T>,
    average: Option<ParamAverage<T>>,
}
