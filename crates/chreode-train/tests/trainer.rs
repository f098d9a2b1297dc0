//! The trainer: finds known parameters, resumes to the bit, stops as told, refuses what does not fit.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use chreode_model::NeuralSde;
use chreode_train::{
    CheckpointError, Comparison, Evaluation, GrowthUse, HoldOutBy, LossConfig, Model, NoObserver, Observer,
    Paths, Schedule, Snapshots, StepReport, StopReason, TrainConfig, TrainError, Trainer, distance_to_time,
    sampling_floor,
};
use common::{Relaxation, TRUTH, neural, snapshots};
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

const TIMES: [f64; 4] = [0.0, 0.5, 1.2, 2.0];

fn quick() -> TrainConfig {
    TrainConfig {
        steps: 40,
        batch: 96,
        dt: 0.2,
        evaluate_every: 7,
        evaluate_cells: 80,
        checkpoint_every: 13,
        learning_rate: 0.02,
        ..TrainConfig::default()
    }
}

fn trainer(
    config: TrainConfig,
) -> Trainer<f32, chreode_model::NeuralSde<f32>, chreode_model::GrowthNet<f32>> {
    let sde = neural::<f32>(config.growth == GrowthUse::Learned);
    let p = sde.init(1);
    Trainer::new(sde, p, snapshots(&TIMES, 300, 4), config).unwrap()
}

/// Everything but the seconds.
fn outcome<S, G>(t: &Trainer<f32, S, G>) -> (u64, Vec<f32>, Vec<f32>)
where
    S: chreode_core::DiffusionVjp<f32> + Clone + Send + Sync + 'static,
    G: chreode_core::GrowthVjp<f32> + Clone + Send + Sync + 'static,
{
    (t.steps_done(), t.params().to_vec(), t.best_params().to_vec())
}

#[test]
fn finds_the_truth() {
    let mut data = snapshots::<f64>(&TIMES, 4000, 9);
    data.growth.clear();
    for paths in [Paths::default(), Paths::FromStart, Paths::Mixed { from_start: 0.5, horizon: 2 }] {
        let config = TrainConfig {
            steps: 1000,
            batch: 256,
            dt: 0.05,
            paths,
            learning_rate: 0.03,
            schedule: Schedule::Cosine { warm_up: 10, over: 1000, floor: 0.02 },
            hold_out: 0.0,
            average: 0.98,
            ..TrainConfig::default()
        };
        let mut trainer = Trainer::new(Model::new(Relaxation), vec![0.0; 6], data.clone(), config).unwrap();
        let outcome = trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
        assert_eq!((outcome.reason, outcome.best_loss), (StopReason::Finished, None));
        for (got, want) in trainer.best_params().iter().zip(TRUTH) {
            assert!((got - want).abs() < 0.12, "{paths:?}: {:?} {TRUTH:?}", trainer.best_params());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// A run that is dropped at any two points and restored gives the bits of the uninterrupted one.
    #[test]
    fn resumes_to_the_bit(a in 1_u64..20, b in 1_u64..19, learned: bool, average: bool, rms: bool) {
        let mut config = quick();
        config.growth = if learned { GrowthUse::Learned } else { GrowthUse::None };
        config.average = if average { 0.9 } else { 0.0 };
        if rms {
            config.optimiser = chreode_train::OptimiserConfig::RmsProp { alpha: 0.99, eps: 1e-8, momentum: 0.5 };
        }
        let mut whole = trainer(config.clone());
        whole.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
        let mut saved: Option<Vec<u8>> = None;
        for steps in [a, a + b, 40] {
            let mut part = trainer(TrainConfig { steps, checkpoint_every: 5, ..config.clone() });
            if let Some(saved) = &saved {
                part.restore(saved).unwrap();
            }
            part.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
            saved = Some(part.save().unwrap());
            if steps == 40 {
                prop_assert_eq!(outcome(&part), outcome(&whole));
            }
        }
    }
}

/// Keeps what it hears; sets the flag at a step.
#[derive(Default)]
struct Listener<'a> {
    cancel: Option<(&'a AtomicBool, u64)>,
    fail_at: Option<u64>,
    losses: Vec<f64>,
    evaluations: Vec<Evaluation>,
    checkpoints: Vec<(u64, Vec<u8>)>,
}

impl Observer for Listener<'_> {
    fn step(
        &mut self,
        report: &StepReport,
        seconds: f64,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        assert!(seconds > 0.0 && report.terms.len() == 3);
        self.losses.push(report.loss);
        if let Some((flag, step)) = self.cancel
            && step == report.step
        {
            flag.store(true, Ordering::Relaxed);
        }
        if self.fail_at == Some(report.step) {
            return Err("no space left".into());
        }
        Ok(())
    }
    fn evaluation(&mut self, report: &Evaluation) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.evaluations.push(report.clone());
        Ok(())
    }
    fn checkpoint(
        &mut self,
        step: u64,
        state: &[u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.checkpoints.push((step, state.to_vec()));
        Ok(())
    }
}

#[test]
fn cancelled_runs_resume_from_their_last_checkpoint() {
    let mut whole = trainer(quick());
    let mut all = Listener::default();
    whole.run(&mut all, &AtomicBool::new(false)).unwrap();
    assert_eq!(all.checkpoints.iter().map(|c| c.0).collect::<Vec<_>>(), [13, 26, 39, 40]);
    assert_eq!(all.evaluations.iter().map(|e| e.step).collect::<Vec<_>>(), [7, 14, 21, 28, 35]);

    let flag = AtomicBool::new(false);
    let mut first = trainer(quick());
    let mut heard = Listener { cancel: Some((&flag, 17)), ..Listener::default() };
    let stopped = first.run(&mut heard, &flag).unwrap();
    assert_eq!((stopped.reason, stopped.step), (StopReason::Cancelled, 17));
    let (step, state) = heard.checkpoints.pop().unwrap();
    assert_eq!(step, 17);
    let mut second = trainer(quick());
    second.restore(&state).unwrap();
    let mut rest = Listener::default();
    second.run(&mut rest, &AtomicBool::new(false)).unwrap();
    assert_eq!(outcome(&second), outcome(&whole));
    heard.losses.extend(rest.losses);
    assert_eq!(heard.losses, all.losses);
    heard.evaluations.extend(rest.evaluations);
    assert_eq!(heard.evaluations, all.evaluations);

    // The observer's failure stops the run and says where.
    let mut failing = Listener { fail_at: Some(5), ..Listener::default() };
    let error = trainer(quick()).run(&mut failing, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.to_string(), "at step 5: no space left");
}

#[test]
fn threads_do_not_matter() {
    let runs = [1, 2].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut t = trainer(TrainConfig { steps: 12, growth: GrowthUse::Learned, ..quick() });
            t.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
            outcome(&t)
        })
    });
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn checkpoints_of_other_runs_are_refused() {
    let mut a = trainer(TrainConfig { steps: 3, ..quick() });
    a.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    let state = a.save().unwrap();
    let other = |t: &mut Trainer<f32, _, _>, state: &[u8]| match t.restore(state) {
        Err(TrainError::Checkpoint(e)) => e,
        other => panic!("{other:?}"),
    };
    let differs = |what| CheckpointError::OtherRun { what };
    assert_eq!(other(&mut trainer(TrainConfig { batch: 90, ..quick() }), &state), differs("settings"));
    let sde = neural::<f32>(false);
    let p = sde.init(1);
    let mut moved = Trainer::new(sde, p, snapshots(&TIMES, 300, 5), quick()).unwrap();
    assert_eq!(other(&mut moved, &state), differs("data"));
    let mut grown = trainer(TrainConfig { growth: GrowthUse::Learned, ..quick() });
    assert_eq!(other(&mut grown, &state), differs("number of parameters"));
    // As many parameters, but another model: each of these would go on to nonsense.
    let config = neural::<f32>(false).config().clone();
    let leaky = {
        let mut c = config.clone();
        c.drift.activation = "leaky_relu".parse().unwrap();
        c
    };
    let scaled = {
        let mut c = config.clone();
        c.scale[1] = 2.0;
        c
    };
    let shifted = {
        let mut c = config.clone();
        c.shift[0] += 1e-9;
        c
    };
    let slower = {
        let mut c = config.clone();
        c.time_scale = 3.0;
        c
    };
    for other_config in [leaky, scaled, shifted, slower] {
        let sde = NeuralSde::new(other_config).unwrap();
        let mut t = Trainer::new(sde, a.params().to_vec(), a.data().clone(), quick()).unwrap();
        assert_eq!(other(&mut t, &state), differs("model"));
    }
    let mut pushed = neural::<f32>(false);
    pushed.set_forcing(Some(vec![0.0, 0.1])).unwrap();
    let mut pushed = Trainer::new(pushed, a.params().to_vec(), a.data().clone(), quick()).unwrap();
    assert_eq!(other(&mut pushed, &state), differs("model"));
    let mut b = trainer(quick());
    for cut in [0, 7, 30, state.len() - 1] {
        assert!(matches!(other(&mut b, &state[..cut]), CheckpointError::Damaged { .. }));
    }
    for at in [0, 9, 15, 25, state.len() / 2] {
        let mut bent = state.clone();
        bent[at] ^= 4;
        let e = other(&mut b, &bent);
        assert!(matches!(e, CheckpointError::Damaged { .. } | CheckpointError::Format { .. }), "{e:?}");
    }
    assert_eq!(b.steps_done(), 0);
    b.restore(&state).unwrap();
    assert_eq!(outcome(&a), outcome(&b));
}

#[test]
fn stops_early_and_keeps_the_best() {
    // A rate far too high: the first evaluations are the best.
    let config = TrainConfig {
        steps: 2000,
        patience: 3,
        evaluate_every: 2,
        learning_rate: 0.3,
        average: 0.0,
        ..quick()
    };
    let mut t = trainer(config);
    let mut heard = Listener::default();
    let end = t.run(&mut heard, &AtomicBool::new(false)).unwrap();
    assert_eq!(end.reason, StopReason::EarlyStop);
    let best = heard.evaluations.iter().map(|e| e.hold_out_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(end.best_loss, Some(best));
    assert_eq!(end.step, end.best_step + 6);
    assert_ne!(t.best_params(), t.params());

    let budget = TrainConfig { steps: u64::MAX, time_budget: Some(0.2), patience: 0, ..quick() };
    let end = trainer(budget).run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    assert_eq!(end.reason, StopReason::TimeBudget);
    assert!(end.seconds >= 0.2 && end.seconds < 5.0);
}

/// Cells do not move; those right of zero divide, the others die. Two snapshots cannot tell growth from drift, so the
/// model here has growth alone: weights from the data's rates and learned ones must both explain the second.
#[test]
fn growth_weights_explain_what_drift_does_not() {
    let mut data = snapshots::<f64>(&[0.0, 1.0], 3000, 2);
    let rate = |x: f64| 0.8 * (4.0 * x).tanh();
    let start = data.states[0].as_slice().unwrap().to_vec();
    let mut u = vec![0.0_f64; 3000];
    chreode_core::BrownianIncrements::new(8).fill(0, 0, 1, 1.0, &mut u);
    // exp(-(u² + v²)/2) is uniform on (0, 1).
    let mut v = vec![0.0_f64; 3000];
    chreode_core::BrownianIncrements::new(9).fill(0, 0, 1, 1.0, &mut v);
    data.states[1] = start
        .chunks_exact(2)
        .zip(u.iter().zip(&v))
        .filter(|(x, (u, v))| (-(*u * *u + *v * *v) / 2.0).exp() < (rate(x[0]) - 0.8).exp())
        .flat_map(|(x, _)| x.to_vec())
        .collect();
    data.growth = vec![start.chunks_exact(2).map(|x| rate(x[0])).collect(), vec![0.0; data.cells(1)]];
    let run = |growth: GrowthUse, model: Model<Still, StillGrowth>| {
        let steps = if growth == GrowthUse::Learned { 150 } else { 1 };
        let config = TrainConfig {
            growth,
            steps,
            evaluate_every: steps,
            evaluate_cells: 300,
            growth_penalty: 1e-4,
            ..quick()
        };
        let mut t = Trainer::new(model, vec![0.0], data.clone(), config).unwrap();
        let loss = t.run(&mut NoObserver, &AtomicBool::new(false)).unwrap().best_loss.unwrap();
        (loss, t.best_params()[0])
    };
    let plain = || Model { sde: Still, growth: None, non_negative: false, description: String::new() };
    let (none, _) = run(GrowthUse::None, plain());
    let (column, _) = run(GrowthUse::Column, plain());
    let (learned, p) = run(GrowthUse::Learned, Model { growth: Some(StillGrowth), ..plain() });
    assert!(column < 0.3 * none && learned < 0.3 * none, "{none} {column} {learned}");
    assert!((p - 0.8).abs() < 0.2, "{p}");
}

/// Nothing moves. One parameter, for [`StillGrowth`].
#[derive(Clone)]
struct Still;

/// `γ = p tanh(4 x₀)`.
#[derive(Clone)]
struct StillGrowth;

mod still {
    use super::{Still, StillGrowth};
    use chreode_core::{Diffusion, DiffusionVjp, FieldError, Growth, GrowthVjp, NoiseKind, VectorField, Vjp};

    type Done = Result<(), FieldError>;

    impl VectorField<f64> for Still {
        fn dim(&self) -> usize {
            2
        }
        fn n_params(&self) -> usize {
            1
        }
        fn eval(&mut self, _: f64, _: &[f64], _: &[f64], dy: &mut [f64]) -> Done {
            dy.fill(0.0);
            Ok(())
        }
    }
    impl Vjp<f64> for Still {
        fn vjp(&mut self, _: f64, _: &[f64], _: &[f64], _: &[f64], y_bar: &mut [f64], _: &mut [f64]) -> Done {
            y_bar.fill(0.0);
            Ok(())
        }
    }
    impl Diffusion<f64> for Still {
        fn noise_kind(&self) -> NoiseKind {
            NoiseKind::Additive
        }
        fn diffusion(&mut self, _: f64, _: &[f64], _: &[f64], g: &mut [f64]) -> Done {
            g.fill(0.0);
            Ok(())
        }
    }
    impl DiffusionVjp<f64> for Still {
        fn diffusion_vjp(
            &mut self,
            _: f64,
            _: &[f64],
            _: &[f64],
            _: &[f64],
            _: &mut [f64],
            _: &mut [f64],
        ) -> Done {
            Ok(())
        }
    }
    impl Growth<f64> for StillGrowth {
        fn growth(&mut self, _: f64, y: &[f64], p: &[f64], rate: &mut [f64]) -> Done {
            rate.iter_mut().zip(y.chunks(2)).for_each(|(r, y)| *r = p[0] * (4.0 * y[0]).tanh());
            Ok(())
        }
    }
    impl GrowthVjp<f64> for StillGrowth {
        fn growth_vjp(
            &mut self,
            _: f64,
            y: &[f64],
            p: &[f64],
            bar: &[f64],
            y_bar: &mut [f64],
            p_bar: &mut [f64],
        ) -> Done {
            for ((y, b), y_bar) in y.chunks(2).zip(bar).zip(y_bar.chunks_mut(2)) {
                let t = (4.0 * y[0]).tanh();
                p_bar[0] += b * t;
                y_bar[0] += b * p[0] * 4.0 * (1.0 - t * t);
            }
            Ok(())
        }
    }
}

#[test]
fn left_out_times_are_left_out() {
    let config = TrainConfig { leave_out_times: vec![1.2], ..quick() };
    let t = trainer(config);
    assert_eq!(t.left_out_times(), [2]);
    assert!(t.plan().iter().all(|s| s.start != 2 && s.targets.iter().all(|t| t.time != 2)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let data = snapshots::<f32>(&TIMES, 300, 4);
    let make = |data: Snapshots<f32>, config: TrainConfig| {
        let sde = neural::<f32>(config.growth == GrowthUse::Learned);
        let p = sde.init(1);
        Trainer::new(sde, p, data, config).map(|_| ()).unwrap_err().to_string()
    };
    let mut few = data.clone();
    common::changed(&mut few.states[2], |states| states.truncate(18));
    assert_eq!(make(few, quick()), "time 1.2 has 9 cells; at least 10 are needed");
    let mut nan = data.clone();
    common::changed(&mut nan.states[1], |states| states[7] = f32::NAN);
    assert_eq!(make(nan, quick()), "training data: a state is not finite (time number 1, row 3)");
    let mut one = data.clone();
    one.times.truncate(1);
    one.states.truncate(1);
    assert!(make(one, quick()).starts_with("found 1 training times"));
    assert!(
        make(data.clone(), TrainConfig { growth: GrowthUse::Column, ..quick() }).contains("no growth rates")
    );
    assert!(make(data.clone(), TrainConfig { dt: 0.0, ..quick() }).starts_with("dt = 0"));
    assert!(
        make(data.clone(), TrainConfig { leave_out_times: vec![3.0], ..quick() }).contains("no such time")
    );
    assert!(
        make(data.clone(), TrainConfig { hold_out_by: HoldOutBy::Clone, ..quick() }).contains("no clones")
    );
    let sde = neural::<f32>(false);
    assert!(matches!(
        Trainer::new(sde, vec![0.0; 3], data, quick()),
        Err(TrainError::Length { what: "parameters", got: 3, .. })
    ));
}

/// A model that blows up is an error that names step and cell, not a silent NaN.
#[test]
fn divergence_is_named() {
    let data = snapshots::<f32>(&TIMES, 300, 4);
    let mut p = TRUTH.map(|v| v as f32).to_vec();
    p[0] = 80.0; // r = e^80
    let mut t = Trainer::new(Model::new(Relaxation), p.clone(), data, quick()).unwrap();
    match t.step() {
        Err(TrainError::Path { step: 0, start, cell, .. }) => assert!(start < 2.0 && cell < 300),
        other => panic!("{other:?}"),
    }
    assert_eq!(t.params(), p);
}

#[test]
fn settings_survive_toml() {
    let config = TrainConfig {
        loss: LossConfig::Sinkhorn(chreode_train::SinkhornConfig::default()),
        paths: Paths::Mixed { from_start: 0.25, horizon: 2 },
        schedule: Schedule::Cosine { warm_up: 5, over: 100, floor: 0.1 },
        time_budget: Some(3.5),
        leave_out_times: vec![2.0],
        ..quick()
    };
    let text = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<TrainConfig>(&text).unwrap(), config, "{text}");
    assert_eq!(toml::from_str::<TrainConfig>("").unwrap(), TrainConfig::default());
    let short = "loss = { kind = \"sinkhorn\", blur = 0.1 }\noptimiser = { kind = \"rmsprop\" }\npaths = { kind = \"from_start\" }";
    let got = toml::from_str::<TrainConfig>(short).unwrap();
    assert_eq!(got.optimiser, chreode_train::OptimiserConfig::rmsprop());
    assert!(toml::from_str::<TrainConfig>("step = 3").is_err());
}

/// The true model is at the sampling floor at a time that it was not started from; a wrong one is not.
#[test]
fn distances_and_floors() {
    let data = snapshots::<f64>(&TIMES, 3000, 6);
    let comparison = Comparison { loss: LossConfig::default(), inverse_scale: &[], cells: 1000, seed: 1 };
    let floor = sampling_floor(&data.states[3], 2, &comparison, 20).unwrap();
    assert_eq!(floor.cells, 1000);
    assert!(floor.mean.abs() < 4.0 * floor.sd / 20.0_f64.sqrt() && floor.sd > 0.0, "{floor:?}");
    // Samples that together are all cells are drawn anew each time, too.
    let halves =
        sampling_floor(&data.states[3], 2, &Comparison { cells: 1500, ..comparison.clone() }, 20).unwrap();
    assert!(
        halves.mean.abs() < 4.0 * halves.sd / 20.0_f64.sqrt() && halves.sd > 0.2 * floor.sd,
        "{halves:?}"
    );
    let at = |p: &[f64]| {
        distance_to_time(&Model::new(Relaxation), p, &data, 0, 3, 0.01, false, &comparison).unwrap()
    };
    let truth = at(&TRUTH);
    assert!(truth.abs() < 4.0 * floor.sd, "{truth} {floor:?}");
    let mut wrong = TRUTH;
    wrong[1] += 0.5;
    assert!(at(&wrong) > 20.0 * floor.sd);
    assert!(sampling_floor(&data.states[3].select(2, &[0, 1, 2]), 2, &comparison, 3).is_err());
}
