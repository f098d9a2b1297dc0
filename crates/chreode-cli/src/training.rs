//! Training into a run folder: metrics, checkpoints, the model at every improvement, Ctrl-C.

use std::error::Error;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chreode_cells::run::{MetricsLog, RunError, RunFolder, TrainingLock};
use chreode_model::{GrowthNet, NeuralSde};
use chreode_train::{Evaluation, Observer, Outcome, StepReport, StopReason, TrainError, Trainer};
use serde::Serialize;
use serde_json::json;

use crate::console::{Console, Progress};
use crate::failure::{Interrupted, Stopped};

/// The trainer of a run: single precision, a neural SDE with or without growth.
pub(crate) type RunTrainer = Trainer<f32, NeuralSde<f32>, GrowthNet<f32>>;

/// Where all trainings of a run show how far they are.
pub(crate) struct Board {
    progress: Progress,
    /// Steps done by each.
    done: Vec<u64>,
}

impl Board {
    /// For `members` trainings of at most `steps` steps.
    pub(crate) fn new(console: Console, members: usize, steps: u64) -> Mutex<Self> {
        let progress = console.progress("learning", steps.saturating_mul(members as u64));
        Mutex::new(Self { progress, done: vec![0; members] })
    }

    fn update(&mut self, member: usize, step: u64, message: &str, loss: f64) {
        self.done[member] = step;
        let done = self.done.iter().sum();
        if self.done.len() == 1 {
            self.progress.update(done, message, &json!({ "loss": loss }));
        } else {
            let message = format!("member {}: {message}", member + 1);
            self.progress.update(done, &message, &json!({ "loss": loss, "member": member + 1 }));
        }
    }
}

/// What a training is part of.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Where its model, metrics and checkpoints lie.
    pub(crate) folder: &'a RunFolder,
    /// Number of the member.
    pub(crate) member: usize,
    /// The command that goes on after an interruption.
    pub(crate) resume: &'a str,
    pub(crate) board: &'a Mutex<Board>,
    /// Set by Ctrl-C.
    pub(crate) asked: &'a AtomicBool,
    /// Set when another training of the run met an error that ends it.
    pub(crate) halted: &'a AtomicBool,
}

impl Place<'_> {
    /// Writes to the board; what another thread left there when it failed is as good as any.
    fn on_board<R>(&self, write: impl FnOnce(&mut Board) -> R) -> R {
        write(&mut self.board.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn warn(&self, message: &str) {
        self.on_board(|board| board.progress.warn(message));
    }

    /// Whether the training is to save what it has and to come back.
    fn is_to_stop(&self) -> bool {
        self.asked.load(Ordering::Relaxed) || self.halted.load(Ordering::Relaxed)
    }
}

/// Writes what the trainer tells into the run folder, and shows it.
struct Recorder<'a> {
    place: Place<'a>,
    /// Marginal error that a Sinkhorn loss may have; none for other losses.
    tolerance: Option<f64>,
    /// Steps whose loss had a larger one, and the largest.
    unconverged: (u64, f64),
    metrics: MetricsLog,
    hold_out: Option<Evaluation>,
    /// Makes the trainer come back: the model is to be written, or Ctrl-C was heard.
    pause: &'a AtomicBool,
}

/// A line of `metrics.jsonl` after an update; those after an evaluation are [`Evaluation`]s.
#[derive(Serialize)]
struct StepLine {
    step: u64,
    loss: f64,
    gradient_norm: f64,
    learning_rate: f64,
    /// Of a Sinkhorn loss.
    #[serde(skip_serializing_if = "Option::is_none")]
    marginal_error: Option<f64>,
}

impl Recorder<'_> {
    /// Says it when the iterations of a Sinkhorn loss did not converge, the first time at once.
    fn check_convergence(&mut self, step: u64, error: f64) {
        let Some(tolerance) = self.tolerance.filter(|tolerance| error >= *tolerance) else { return };
        let (steps, worst) = &mut self.unconverged;
        *steps += 1;
        *worst = worst.max(error);
        if *steps == 1 {
            self.place.warn(&format!(
                "step {step}: the Sinkhorn iterations stopped before they converged: marginals are off by {error:.2e}, \
                 more than {tolerance:.0e}. Such a loss makes the noise too small and fates too certain; \
                 choose a larger --blur, or --loss energy"
            ));
        }
    }
}

type Told = Result<(), Box<dyn Error + Send + Sync>>;

impl Observer for Recorder<'_> {
    fn step(&mut self, report: &StepReport, _seconds: f64) -> Told {
        self.metrics.append(&StepLine {
            step: report.step,
            loss: report.loss,
            gradient_norm: report.gradient_norm,
            learning_rate: report.learning_rate,
            marginal_error: self.tolerance.map(|_| report.marginal_error()),
        })?;
        self.check_convergence(report.step, report.marginal_error());
        let mut message = format!("loss {:.4}", report.loss);
        if let Some(e) = &self.hold_out {
            // Writing into a `String` does not fail.
            let _ = write!(message, "  held out {:.4}", e.hold_out_loss);
            let _ = write!(message, "  best {:.4} at {}", e.best_loss, e.best_step);
        }
        let (member, step) = (self.place.member, report.step);
        self.place.on_board(|board| board.update(member, step, &message, report.loss));
        if self.place.is_to_stop() {
            self.pause.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn evaluation(&mut self, report: &Evaluation) -> Told {
        self.metrics.append(report)?;
        tracing::info!(
            "step {}: held-out loss {:.6}, best {:.6} at step {}",
            report.step,
            report.hold_out_loss,
            report.best_loss,
            report.best_step
        );
        if report.best_step == report.step {
            self.pause.store(true, Ordering::Relaxed);
        }
        self.hold_out = Some(report.clone());
        Ok(())
    }

    fn checkpoint(&mut self, step: u64, state: &[u8]) -> Told {
        self.metrics.sync()?;
        self.place.folder.save_checkpoint(step, state)?;
        tracing::debug!("checkpoint at step {step}");
        Ok(())
    }
}

/// Sends what is said from now on to the run's log too, and keeps the run locked until the program ends.
pub(crate) fn start_log(lock: TrainingLock) {
    // A second log in one process would be refused; there is one run a process.
    let _ = tracing_subscriber::fmt()
        .with_writer(Arc::new(lock.log))
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::DEBUG)
        .try_init();
}

/// Trains until the end, Ctrl-C, or the halt of the run; the folder then holds all that there is to keep.
///
/// # Errors
/// [`Interrupted`] with the command that goes on, if it was stopped; what the trainer or the disk says, within a [`Stopped`].
pub(crate) fn train(place: Place<'_>, trainer: &mut RunTrainer) -> anyhow::Result<Outcome> {
    let steps = trainer.config().steps;
    tracing::info!(
        "chreode {}, {} parameters, member {}, step {} of {steps}",
        env!("CARGO_PKG_VERSION"),
        trainer.params().len(),
        place.member + 1,
        trainer.steps_done()
    );
    let resume = || place.resume.to_owned();
    let pause = AtomicBool::new(false);
    let mut recorder = Recorder {
        place,
        tolerance: trainer.config().loss.tolerance(),
        unconverged: (0, 0.0),
        metrics: place.folder.resume_metrics(trainer.steps_done())?,
        hold_out: None,
        pause: &pause,
    };
    let outcome = loop {
        pause.store(false, Ordering::Relaxed);
        let outcome = train_on(place.folder, trainer, &mut recorder, &pause)
            .map_err(|error| error.context(Stopped { step: trainer.steps_done(), resume: resume() }))?;
        if outcome.reason != StopReason::Cancelled || place.is_to_stop() {
            break outcome;
        }
    };
    let (unconverged, worst) = recorder.unconverged;
    drop(recorder);
    if unconverged > 1 {
        place.warn(&format!(
            "in {unconverged} steps the Sinkhorn iterations stopped before they converged, \
             with marginals off by up to {worst:.2e}"
        ));
    }
    tracing::info!("{outcome:?}");
    if outcome.reason == StopReason::Cancelled {
        return Err(Interrupted { step: outcome.step, steps, resume: resume() }.into());
    }
    Ok(outcome)
}

/// Trains until it ends or `pause` is set, and writes the best model.
fn train_on(
    folder: &RunFolder,
    trainer: &mut RunTrainer,
    recorder: &mut Recorder<'_>,
    pause: &AtomicBool,
) -> anyhow::Result<Outcome> {
    let outcome = trainer.run(recorder, pause).map_err(unwrap_observer)?;
    folder.save_model(&trainer.model().sde, trainer.best_params())?;
    Ok(outcome)
}

/// The recorder's own error as it was, so that its hint is found; every other error of the trainer as it is.
fn unwrap_observer(error: TrainError) -> anyhow::Error {
    match error {
        TrainError::Observer { source, .. } => match source.downcast::<RunError>() {
            Ok(error) => (*error).into(),
            Err(other) => anyhow::Error::from_boxed(other),
        },
        other => other.into(),
    }
}
