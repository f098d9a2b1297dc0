//! The demo: learn virtual blood from snapshots, then say how good the result is, which only a known truth allows.
//!
//! One fit, with one day held out, gives everything. The fit sees snapshots alone; the form of its noise is the truth's,
//! and the size at which it starts was chosen by the held-out day. `settings`: sizes and the model. `judge`: everything that is measured. `result`: how it is handed over.
//! Not here: the network and its scores (`virtual_blood`), what the report shows (`page`).

mod judge;
mod result;
mod settings;

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use chreode_core::sub_seed;
use chreode_model::{ConfigError, GrowthNet, ModelConfig, ModelError, NeuralSde};
use chreode_solve::SolveError;
use chreode_train::{
    Evaluation, LossError, Observer, Snapshots, States, StepReport, StopReason, TrainError, Trainer,
};

use crate::AnalysisError;
use crate::moments::mean_and_sd_of;
use crate::virtual_blood::{D, SNAPSHOT_TIMES, snapshots};

pub use result::{
    DemoResult, EffectRow, FateFraction, HeldOutDistance, OutsideRow, ScoreRow, Scores, SignScore, SpreadRow,
};
pub use settings::DemoSettings;

/// What a demo learned, and how good it is.
#[derive(Debug)]
pub struct Demo {
    /// The learned model.
    pub model: NeuralSde<f32>,
    /// Its parameters.
    pub params: Vec<f32>,
    /// How good it is.
    pub result: DemoResult,
}

/// Why a demo ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// A simulation failed.
    #[error(transparent)]
    Solve(#[from] SolveError),
    /// Neighbours or fields could not be computed.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// A distance between clouds could not be computed.
    #[error(transparent)]
    Loss(#[from] LossError),
    /// The model's configuration does not fit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model refused a request.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// It was told to stop.
    #[error("the demo was interrupted")]
    Interrupted,
}

/// Keeps the losses on their way to another observer.
struct Recorder<'a> {
    inner: &'a mut dyn Observer,
    losses: Vec<(u64, f64)>,
    holdout: Vec<(u64, f64)>,
}

impl Observer for Recorder<'_> {
    fn step(&mut self, report: &StepReport, seconds: f64) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.losses.push((report.step, report.loss));
        self.inner.step(report, seconds)
    }

    fn evaluation(&mut self, evaluation: &Evaluation) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.holdout.push((evaluation.step, evaluation.hold_out_loss));
        self.inner.evaluation(evaluation)
    }

    fn checkpoint(&mut self, step: u64, state: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.inner.checkpoint(step, state)
    }
}

/// Simulates snapshots, fits a model to all but one of them and judges it.
///
/// `stage` hears what begins; `observer` follows the training; `cancel` stops the training and the demo.
///
/// # Errors
/// [`DemoError`], [`DemoError::Interrupted`] once `cancel` is set.
pub fn run(
    settings: &DemoSettings,
    observer: &mut dyn Observer,
    stage: &mut dyn FnMut(&str),
    cancel: &AtomicBool,
) -> Result<Demo, DemoError> {
    stage("simulating snapshots of virtual blood");
    let data = Snapshots {
        dim: D,
        times: SNAPSHOT_TIMES.to_vec(),
        states: States::each(snapshots(settings.cells, sub_seed(settings.seed, "demo data"))?),
        ..Snapshots::default()
    };
    let (shift, scale) = centre_and_spread(&data, settings::HELD_OUT)?;
    let model = NeuralSde::<f32>::new(ModelConfig {
        drift: settings.drift.clone(),
        diffusion: settings.diffusion.clone(),
        ..ModelConfig::new(shift, scale)
    })?;
    let first = model.init(sub_seed(settings.seed, "demo weights"));

    stage("learning drift and diffusion");
    let config = chreode_train::TrainConfig { seed: settings.seed, ..settings.train.clone() };
    let mut trainer =
        Trainer::<f32, NeuralSde<f32>, GrowthNet<f32>>::new(model, first.clone(), data, config)?;
    let mut recorder = Recorder { inner: observer, losses: Vec::new(), holdout: Vec::new() };
    let outcome = trainer.run(&mut recorder, cancel)?;
    if outcome.reason == StopReason::Cancelled {
        return Err(DemoError::Interrupted);
    }
    let Recorder { losses, holdout, .. } = recorder;

    let judge = judge::Judge::new(settings, &trainer, first);
    let interrupted = || if cancel.load(Ordering::Relaxed) { Err(DemoError::Interrupted) } else { Ok(()) };
    let mut stage = |name: &str| {
        stage(name);
        interrupted()
    };
    let result = judge.result(losses, holdout, outcome.seconds, &mut stage)?;
    Ok(Demo { model: trainer.model().sde.clone(), params: trainer.best_params().to_vec(), result })
}

/// Mean and standard deviation of each coordinate over all cells but those of time number `without`.
fn centre_and_spread(data: &Snapshots<f32>, without: usize) -> Result<(Vec<f64>, Vec<f64>), TrainError> {
    let times = (0..data.times.len()).filter(|&k| k != without).map(|k| &data.states[k]);
    mean_and_sd_of(&times.collect::<Vec<_>>(), data.dim, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_train::NoObserver;

    fn small() -> DemoSettings {
        let mut settings =
            DemoSettings { cells: 60, progenitors: 5, runs: 20, judged_cells: 60, ..DemoSettings::default() };
        settings.drift.hidden = vec![8];
        settings.train.batch = 32;
        settings.train.evaluate_every = 2;
        settings.with_steps(6)
    }

    fn demo(threads: usize) -> Demo {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&small(), &mut NoObserver, &mut |_| (), &AtomicBool::new(false))).unwrap()
    }

    /// Everything is measured and finite, and one or two threads measure the same.
    #[test]
    fn a_small_demo_is_complete_and_repeatable() {
        let (one, two) = (demo(1), demo(2));
        assert_eq!(one.params, two.params);
        let r = &one.result;
        assert_eq!((r.losses.len(), r.holdout_losses.len(), r.effects.len()), (6, 3, 33));
        assert_eq!(r.held_out, 2.0);
        let total = |model: fn(&FateFraction) -> f64| r.fractions.iter().map(model).sum::<f64>();
        assert!((total(|f| f.truth) - 1.0).abs() < 1e-9 && (total(|f| f.model) - 1.0).abs() < 1e-9);
        // An untrained model is worse than the truth, and the truth never worse than chance by much.
        assert!(r.scores.oracle.cross_entropy < r.scores.model.cross_entropy);
        assert!(r.held_out_distance.floor.abs() < r.held_out_distance.previous_time);
        assert_eq!(r.model_ends, two.result.model_ends);
    }

    #[test]
    fn a_set_flag_interrupts() {
        let result = run(&small(), &mut NoObserver, &mut |_| (), &AtomicBool::new(true));
        assert!(matches!(result, Err(DemoError::Interrupted)));
    }
}
