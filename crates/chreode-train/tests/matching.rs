//! Couplings against a dense reference, and what matching learns from snapshots of a known process.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use chreode_core::{BrownianIncrements, Diffusion, VectorField};
use chreode_model::{DiffusionConfig, ModelConfig, NeuralSde};
use chreode_testkit::{CountingAllocator, allocations_in};
use chreode_train::{
    BridgeNoise, Coupling, CouplingConfig, GrowthUse, MatchingConfig, NoObserver, Schedule, Snapshots,
    Standardise, States, TrainConfig, TrainError, Trainer,
};
use std::sync::atomic::AtomicBool;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn on<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

fn wave(n: usize, f: f64) -> Vec<f64> {
    (0..n).map(|i| (i as f64 * f + f).sin()).collect()
}

/// The plan by plain scalings of the whole kernel, far beyond convergence, `[n, m]`.
fn reference(x: &[f64], weights: &[f64], y: &[f64], epsilon: f64, relaxation: f64) -> Vec<f64> {
    let (n, m) = (x.len() / 2, y.len() / 2);
    let total: f64 = weights.iter().sum();
    let kernel = |i: usize, j: usize| {
        let r2 = (x[2 * i] - y[2 * j]).powi(2) + (x[2 * i + 1] - y[2 * j + 1]).powi(2);
        (-0.5 * r2 / epsilon).exp() * weights[i] / total / m as f64
    };
    let power = if relaxation.is_finite() { relaxation / (relaxation + epsilon) } else { 1.0 };
    let (mut u, mut v) = (vec![1.0; n], vec![1.0; m]);
    for _ in 0..20_000 {
        for i in 0..n {
            let sum: f64 = (0..m).map(|j| kernel(i, j) * v[j]).sum();
            u[i] = (weights[i] / total / sum).powf(power);
        }
        for j in 0..m {
            let sum: f64 = (0..n).map(|i| kernel(i, j) * u[i]).sum();
            v[j] = 1.0 / m as f64 / sum;
        }
    }
    (0..n * m).map(|k| u[k / m] * kernel(k / m, k % m) * v[k % m]).collect()
}

#[test]
fn plans_are_those_of_a_dense_reference() {
    let (n, m) = (13, 19);
    let (x, y) = (wave(2 * n, 1.7), wave(2 * m, 2.9));
    let log_weights = wave(n, 0.6);
    let weights: Vec<f64> = log_weights.iter().map(|w| w.exp()).collect();
    for (epsilon, relaxation) in [(0.3, f64::INFINITY), (0.1, 1.0), (0.05, 0.2)] {
        let config = CouplingConfig { epsilon, relaxation, tolerance: 1e-12, iterations: 20_000 };
        let coupling = Coupling::solve(2, &x, &log_weights, &y, &config).unwrap();
        let again = on(2, || Coupling::solve(2, &x, &log_weights, &y, &config).unwrap());
        let expected = reference(&x, &weights, &y, epsilon, relaxation);
        let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
        let single = CouplingConfig { tolerance: 1e-5, ..config };
        let single = Coupling::solve(2, &narrow(&x), &narrow(&log_weights), &narrow(&y), &single).unwrap();
        let (mut row, mut other, mut row32) = (vec![0.0; m], vec![0.0; m], vec![0.0; m]);
        for (i, expected) in expected.chunks(m).enumerate() {
            coupling.row(i, &mut row);
            again.row(i, &mut other);
            single.row(i, &mut row32);
            assert_eq!(row, other);
            for ((p, q), e) in row.iter().zip(&row32).zip(expected) {
                assert!((p - e).abs() < 1e-9, "{epsilon} {relaxation}: {p} {e}");
                assert!((f64::from(*q) - e).abs() < 1e-5, "{epsilon} {relaxation}: {q} {e}");
            }
        }
    }
}

#[test]
fn couplings_that_cannot_be() {
    let config = CouplingConfig { epsilon: 0.1, relaxation: 1.0, tolerance: 1e-3, iterations: 10 };
    let x = wave(10, 1.0);
    let solve = |x: &[f64], w: &[f64], config: &CouplingConfig| {
        Coupling::solve(2, x, w, &wave(6, 2.0), config).map(|_| ()).unwrap_err()
    };
    let none = CouplingConfig { epsilon: 0.0, ..config };
    assert!(matches!(solve(&x, &[], &none), TrainError::Setting { name: "matching.epsilon", .. }));
    assert!(matches!(solve(&x[..9], &[], &config), TrainError::Length { got: 9, .. }));
    assert!(matches!(solve(&x, &[0.0; 3], &config), TrainError::Length { got: 3, expected: 5, .. }));
    let mut nan = x.clone();
    nan[3] = f64::NAN;
    assert!(matches!(solve(&nan, &[], &config), TrainError::Coupling { .. }));
    nan[3] = f64::INFINITY;
    assert!(matches!(solve(&nan, &[], &config), TrainError::Coupling { .. }));
}

fn config(steps: u64) -> TrainConfig {
    TrainConfig {
        steps,
        batch: 300,
        dt: 0.05,
        learning_rate: 1e-2,
        evaluate_every: 50,
        patience: 0,
        matching: Some(MatchingConfig { cells: 400, ..MatchingConfig::default() }),
        ..TrainConfig::default()
    }
}

/// Drift and noise of two relaxing coordinates from snapshots, by regression alone.
#[test]
fn matching_recovers_a_relaxation() {
    let data = common::snapshots::<f32>(&[0.0, 0.4, 0.8, 1.2], 1500, 3);
    let mut sde = common::neural::<f32>(false);
    let first = sde.init(1);
    let mut settings = config(600);
    settings.matching.as_mut().unwrap().epsilon = 0.1;
    settings.matching.as_mut().unwrap().cells = 1500;
    let mut trainer = Trainer::new(sde.clone(), first.clone(), data, settings).unwrap();
    let before = trainer.evaluate().unwrap().unwrap().hold_out_loss;
    let outcome = trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    let after = outcome.best_loss.unwrap();
    assert!(after < 0.1 * before, "{before} {after}");
    let p = trainer.best_params();
    // How large they are hangs on the blur, which sets the noise: the direction does not.
    let (mut dot, mut own, mut true_norm) = (0.0, 0.0, 0.0);
    for y in [[0.5_f32, -0.2], [1.0, 0.2], [0.2, -0.4], [0.8, 0.5]] {
        let (mut f, mut g) = ([0.0; 2], [0.0; 2]);
        sde.eval(0.0, &y, p, &mut f).unwrap();
        sde.diffusion(0.0, &y, p, &mut g).unwrap();
        for k in 0..2 {
            let truth = common::TRUTH[3 * k].exp() * (common::TRUTH[3 * k + 1] - f64::from(y[k]));
            dot += truth * f64::from(f[k]);
            own += f64::from(f[k]).powi(2);
            true_norm += truth * truth;
            let ratio = f64::from(g[k]) / common::TRUTH[3 * k + 2].exp();
            assert!((0.4..1.6).contains(&ratio), "noise {k} at {y:?}: {ratio} of the truth");
        }
    }
    let cosine = dot / (own * true_norm).sqrt();
    assert!(cosine > 0.95, "{cosine}");
}

/// Cells of two narrow clones spread with correlated noise: the covariance of what each is coupled to becomes that of the noise.
#[test]
fn matching_recovers_correlated_noise() {
    let (n, span) = (1500, 2.0);
    let root = [[0.5, 0.0], [0.4, 0.2]];
    let normal = |seed: u64| {
        let mut z = vec![0.0_f64; 2 * n];
        BrownianIncrements::new(seed).fill(0, 0, 2, 1.0, &mut z);
        z
    };
    let centre = |i: usize| if i.is_multiple_of(2) { -4.0 } else { 4.0 };
    let rows = |f: &dyn Fn(usize, &[f64]) -> [f64; 2], seed| -> Vec<f32> {
        normal(seed).chunks_exact(2).enumerate().flat_map(|(i, z)| f(i, z)).map(|x| x as f32).collect()
    };
    let start = rows(&|i, z| [centre(i) + 0.01 * z[0], 0.01 * z[1]], 1);
    let end = rows(
        &|i, z| {
            let by = f64::sqrt(span);
            [centre(i) + by * root[0][0] * z[0], by * (root[1][0] * z[0] + root[1][1] * z[1])]
        },
        2,
    );
    let states = States::each([start, end]);
    let data = Snapshots { dim: 2, times: vec![0.0, span], states, ..Snapshots::default() };
    for noise in common::noises().into_iter().skip(2) {
        let name = noise.name();
        let mut sde = common::neural_with::<f32>(noise);
        let settings = TrainConfig {
            hold_out: 0.0,
            standardise: Standardise::Off,
            schedule: Schedule::Cosine { warm_up: 0, over: 600, floor: 0.01 },
            matching: Some(MatchingConfig { epsilon: 2.0, cells: 1500, ..MatchingConfig::default() }),
            ..config(600)
        };
        let mut trainer = Trainer::new(sde.clone(), sde.init(1), data.clone(), settings).unwrap();
        trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
        for y in [[-4.0_f32, 0.0], [4.1, 0.3]] {
            let motions = sde.noise_kind().motions(2);
            let mut g = vec![0.0; 2 * motions];
            sde.diffusion(0.0, &y, trainer.params(), &mut g).unwrap();
            let covariance = |i: usize, j: usize| -> f32 {
                (0..motions).map(|m| g[i * motions + m] * g[j * motions + m]).sum()
            };
            for (i, j, truth) in [(0, 0, 0.25), (0, 1, 0.2), (1, 1, 0.2)] {
                let found = covariance(i, j);
                assert!(
                    (found / truth - 1.0).abs() < 0.12,
                    "{name} at {y:?}, {i} {j}: {found} and not {truth}"
                );
            }
        }
    }
}

/// One motion for two coordinates has no density, and bridges of the blur have no covariance.
#[test]
fn noise_that_bridges_cannot_show_is_refused() {
    let refused = |noise, blur| {
        let sde = common::neural_with::<f32>(noise);
        let mut settings = config(10);
        if blur {
            settings.matching.as_mut().unwrap().noise = BridgeNoise::Blur;
        }
        let data = common::snapshots(&[0.0, 0.5, 1.0], 300, 1);
        Trainer::new(sde.clone(), sde.init(1), data, settings).map(|_| ()).unwrap_err().to_string()
    };
    let [_, scalar, low_rank, general] = common::noises();
    assert!(refused(scalar, false).starts_with("scalar noise cannot be learned by matching: "));
    for noise in [low_rank, general] {
        let said = refused(noise, true);
        assert!(
            said.starts_with("general noise cannot be learned by matching with the noise of the blur"),
            "{said}"
        );
    }
}

/// Largest relative errors, over two gaps of unlike length between normal clouds, of covariance of start and end and of variance of the end.
/// The clouds' variances `a²`, `b²` and the blur `ε` make a covariance of `√(a² b² + ε²/4) - ε/2` [JMPC20].
fn errors_of_bridges(of_time: bool, noise: BridgeNoise) -> (f64, f64) {
    let (n, epsilon) = (2000, 0.3);
    let (times, sd): ([f64; 3], [f64; 3]) = ([0.0, 1.0, 3.0], [1.0, 0.5, 1.0]);
    let normal = |seed: u64| {
        let mut z = vec![0.0_f32; n];
        BrownianIncrements::new(seed).fill(0, 0, 1, 1.0, &mut z);
        z
    };
    let states = (0..3).map(|k| normal(k as u64).iter().map(|z| z * sd[k] as f32).collect()).collect();
    let data = Snapshots { dim: 1, times: times.to_vec(), states, ..Snapshots::default() };
    let mut model = ModelConfig::new(vec![0.0], vec![1.0]);
    model.times = of_time.then(|| times.to_vec());
    model.drift.hidden = vec![32, 32];
    model.diffusion = DiffusionConfig::Constant { initial_level: 0.5 };
    let mut sde = NeuralSde::<f32>::new(model).unwrap();
    let settings = TrainConfig {
        learning_rate: 3e-3,
        hold_out: 0.0,
        standardise: Standardise::Off,
        schedule: Schedule::Cosine { warm_up: 0, over: 600, floor: 0.01 },
        matching: Some(MatchingConfig { epsilon, noise, cells: 1000, ..MatchingConfig::default() }),
        ..config(600)
    };
    let mut trainer = Trainer::new(sde.clone(), sde.init(1), data, settings).unwrap();
    trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    let p = trainer.params();
    let mut worst = (0.0_f64, 0.0_f64);
    for gap in 0..2 {
        let span = times[gap + 1] - times[gap];
        // The mean gap has the blur of the settings, and others in proportion to their length.
        let (a2, b2, blur) = (sd[gap].powi(2), sd[gap + 1].powi(2), epsilon * span / 1.5);
        let expected = (a2 * b2 + 0.25 * blur * blur).sqrt() - 0.5 * blur;
        let start: Vec<f32> = normal(7 + gap as u64).iter().map(|z| z * sd[gap] as f32).collect();
        let (steps, mut x) = (100, start.clone());
        let (mut f, mut g, mut dw) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
        for step in 0..steps {
            let h = span / steps as f64;
            sde.drift_and_diffusion(times[gap] + h * step as f64, &x, p, &mut f, &mut g).unwrap();
            BrownianIncrements::new(11).fill(step as u64, 0, 1, h, &mut dw);
            for i in 0..n {
                x[i] += h as f32 * f[i] + g[i] * dw[i];
            }
        }
        let mean = |v: &[f32]| v.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
        let moment = |u: &[f32], v: &[f32]| {
            let (m, k) = (mean(u), mean(v));
            u.iter().zip(v).map(|(&u, &v)| (f64::from(u) - m) * (f64::from(v) - k)).sum::<f64>() / n as f64
        };
        let covariance = moment(&start, &x) * (a2 / moment(&start, &start));
        worst.0 = worst.0.max((covariance / expected - 1.0).abs());
        worst.1 = worst.1.max((moment(&x, &x) / b2 - 1.0).abs());
    }
    worst
}

/// The coupling's joint law, which neither a drift of the state alone, whose two flows undo one another, nor bridges of another noise
/// have.
#[test]
fn bridges_are_those_of_schroedinger() {
    let right = errors_of_bridges(true, BridgeNoise::Blur);
    let other_noise = errors_of_bridges(true, BridgeNoise::Spread);
    let of_state = errors_of_bridges(false, BridgeNoise::Blur);
    let all = format!(
        "{right:?}, bridges of another noise {other_noise:?}, a drift of the state alone {of_state:?}"
    );
    assert!(right.0 < 0.1 && right.1 < 0.12, "{all}");
    assert!(other_noise.0 > 0.13, "{all}");
    assert!(of_state.0 > 0.2 && of_state.1 > 0.3, "{all}");
}

/// One and two threads, and a run that is interrupted before and after simulation takes over.
#[test]
fn bits_do_not_depend_on_threads_or_interruptions() {
    let settings = |steps| {
        let mut settings = config(steps);
        settings.matching.as_mut().unwrap().until = Some(6);
        settings.growth = GrowthUse::Learned;
        settings
    };
    let trainer = |steps| {
        let sde = common::neural::<f32>(true);
        let p = sde.init(1);
        Trainer::new(sde, p, common::snapshots(&[0.0, 0.5, 1.0], 600, 1), settings(steps)).unwrap()
    };
    let run = |steps, threads, from: Option<Vec<u8>>| {
        on(threads, || {
            let mut trainer = trainer(steps);
            if let Some(state) = from {
                trainer.restore(&state).unwrap();
            }
            trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
            (trainer.save().unwrap(), trainer.params().to_vec())
        })
    };
    let (_, whole) = run(10, 1, None);
    assert_eq!(whole, run(10, 2, None).1);
    for stop in [3, 8] {
        let (state, _) = run(stop, 2, None);
        assert_eq!(whole, run(10, 1, Some(state)).1, "stopped at {stop}");
    }
}

/// A training that came to its end couples no cells when it is resumed, and would go on with the same couplings if it were asked to.
#[test]
fn a_finished_training_is_resumed_without_couplings() {
    let resumed = |steps, state: &[u8]| {
        let sde = common::neural::<f32>(true);
        let p = sde.init(1);
        let data = common::snapshots(&[0.0, 0.5, 1.0], 600, 1);
        let settings = TrainConfig { growth: GrowthUse::Learned, ..config(steps) };
        on(1, || allocations_in(|| Trainer::resumed(sde, p, data, settings, state).unwrap()))
    };
    let sde = common::neural::<f32>(true);
    let p = sde.init(1);
    let settings = TrainConfig { growth: GrowthUse::Learned, ..config(4) };
    let mut whole = Trainer::new(sde, p, common::snapshots(&[0.0, 0.5, 1.0], 600, 1), settings).unwrap();
    whole.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    let state = whole.save().unwrap();
    let (without, mut finished) = resumed(4, &state);
    let (with, mut further) = resumed(5, &state);
    // Every coupling has costs, potentials, plans and pairs.
    assert!(with > without + 30, "{without} and {with} allocations");
    for trainer in [&mut whole, &mut finished, &mut further] {
        trainer.step().unwrap();
    }
    assert_eq!(whole.params(), finished.params());
    assert_eq!(whole.params(), further.params());
}

#[test]
fn steps_allocate_nothing() {
    let allocations = |sde: NeuralSde<f32>, growth| {
        let p = sde.init(1);
        let settings = TrainConfig { growth, ..config(10) };
        let data = common::snapshots(&[0.0, 0.5, 1.0], 600, 1);
        on(1, || {
            let mut trainer = Trainer::new(sde, p, data, settings).unwrap();
            trainer.step().unwrap();
            allocations_in(|| {
                trainer.step().unwrap();
            })
            .0
        })
    };
    assert_eq!(allocations(common::neural::<f32>(true), GrowthUse::Learned), 0);
    for noise in common::noises().into_iter().skip(2) {
        let name = noise.name();
        assert_eq!(allocations(common::neural_with::<f32>(noise), GrowthUse::None), 0, "{name}");
    }
}
