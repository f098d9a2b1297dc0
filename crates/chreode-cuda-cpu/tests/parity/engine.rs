//! The engine of training on the device against that on the processor.

use crate::lab::{close, lab, numbers};
use chreode_core::BrownianIncrements;
use chreode_cuda::{Adam, Device, adam};
use chreode_linalg::Activation;
use chreode_model::{DiffusionConfig, DriftConfig, DriftKind, GrowthConfig, ModelConfig, NeuralSde};
use chreode_solve::{EnsembleOptions, TimeGrid, simulate, simulate_weighted};
use chreode_train::{
    Cloud, CloudBar, CpuEngine, CudaEngine, CudaEngineError, DeviceChoice, EnergyDistance, Model, Optimiser,
    OptimiserConfig, Segment, Simulator, SimulatorError, Statistic,
};

const D: usize = 4;

fn config() -> ModelConfig {
    ModelConfig {
        time_scale: 1.5,
        drift: DriftConfig { hidden: vec![24, 16], activation: Activation::Silu, ..DriftConfig::default() },
        diffusion: DiffusionConfig::Diagonal {
            hidden: vec![8],
            activation: Activation::Tanh,
            initial_level: 0.3,
        },
        growth: Some(GrowthConfig { hidden: vec![8], activation: Activation::Softplus, max_rate: 1.0 }),
        ..ModelConfig::new(vec![0.1; D], vec![0.7; D])
    }
}

fn segments() -> Vec<Segment> {
    vec![
        Segment { grid: TimeGrid::new(0.0, &[0.5, 1.0], 0.125).unwrap(), rows: 67 },
        Segment { grid: TimeGrid::new(1.0, &[1.7], 0.1).unwrap(), rows: 31 },
    ]
}

/// Gradients at the observations of each segment.
type Bars = Vec<Vec<Vec<f32>>>;

/// The sum of the energy distances at all observations, and its gradients.
fn loss<'a>(
    of: impl Fn(usize, usize) -> (&'a [f32], &'a [f32]),
    targets: &[Vec<Vec<f32>>],
) -> (f64, Bars, Bars) {
    let mut distance = EnergyDistance::new(D, Statistic::Unbiased).unwrap();
    let (mut total, mut state_bar, mut weight_bar) = (0.0, Bars::new(), Bars::new());
    for (s, targets) in targets.iter().enumerate() {
        let (mut states_bars, mut weights_bars) = (Vec::new(), Vec::new());
        for (i, target) in targets.iter().enumerate() {
            let (states, weights) = of(s, i);
            let (mut x_bar, mut w_bar) = (vec![0.0; states.len()], vec![0.0; weights.len()]);
            let bar = CloudBar { states: &mut x_bar, log_weights: &mut w_bar };
            total +=
                distance.evaluate(Cloud::weighted(states, weights), Cloud::equal(target), Some(bar)).unwrap();
            states_bars.push(x_bar);
            weights_bars.push(w_bar);
        }
        state_bar.push(states_bars);
        weight_bar.push(weights_bars);
    }
    (total, state_bar, weight_bar)
}

/// Each of 20 steps from the processor's state: states, loss and gradient to 1e-4, the update to 2e-2 of its size where the gradient is
/// not rounding alone (Adam divides by it).
fn training(config: ModelConfig) {
    let Some(lab) = lab() else { return };
    let model = NeuralSde::<f32>::new(config).unwrap();
    let mut p: Vec<f32> = model.init(3);
    let n = p.len();
    let mut device = CudaEngine::new(lab.stream.device(), &model, segments()).unwrap();
    let mut cpu = CpuEngine::new(&Model::from(model), segments());
    let (rows, firsts) = ([67, 31], [5_u64, 1_000_000]);
    let starts: Vec<Vec<f32>> = rows.iter().map(|&r| numbers(r as u64, r * D)).collect();
    let moved = |seed, m: usize| numbers(seed, m * D).iter().map(|v| 0.7 * v + 0.4).collect();
    let targets = vec![vec![moved(8, 50), moved(9, 45)], vec![moved(10, 40)]];

    let settings = Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0 };
    let mut optimiser = Optimiser::<f32>::new(OptimiserConfig::adam(), n);
    let (mut first, mut second) = (lab.stream.zeros(n).unwrap(), lab.stream.zeros(n).unwrap());
    let mut losses = Vec::new();
    for step in 1..=20_u64 {
        let seed = 100 + step;
        cpu.simulate(&p, &BrownianIncrements::new(seed), &firsts, &starts).unwrap();
        device.simulate(&p, seed, &firsts, &starts).unwrap();
        for (s, i) in [(0, 0), (0, 1), (1, 0)] {
            close("states", device.states(s, i), cpu.states(s, i), 2e-5);
            close("log-weights", device.log_weights(s, i), cpu.log_weights(s, i), 2e-5);
        }
        let (want, state_bar, weight_bar) = loss(|s, i| (cpu.states(s, i), cpu.log_weights(s, i)), &targets);
        let (got, device_bar, device_weight_bar) =
            loss(|s, i| (device.states(s, i), device.log_weights(s, i)), &targets);
        assert!((got - want).abs() < 1e-4 * (1.0 + want.abs()), "step {step}: {got} {want}");
        losses.push(want);

        let (mut gradient, mut twin) = (vec![0.0; n], vec![0.0; n]);
        cpu.pull_back(&p, &BrownianIncrements::new(seed), &firsts, &state_bar, &weight_bar, &mut gradient)
            .unwrap();
        device.pull_back(&device_bar, &device_weight_bar, &mut twin).unwrap();
        close("gradient", &twin, &gradient, 1e-4);

        let mut p_device = lab.upload(&p);
        adam(settings, step, 0.01, &lab.upload(&twin), &mut first, &mut second, &mut p_device).unwrap();
        let before = p.clone();
        optimiser.update(&mut p, &gradient, 0.01).unwrap();
        let size = gradient.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
        for (((got, want), before), g) in
            p_device.to_vec().unwrap().iter().zip(&p).zip(&before).zip(&gradient)
        {
            if g.abs() > 1e-2 * size {
                let off = ((got - before) - (want - before)).abs();
                assert!(off < 2e-2 * 0.01, "step {step}: {got} {want} from {before}");
            }
        }
    }
    assert!(losses[19] < 0.8 * losses[0], "{losses:?}"); // it did learn
}

#[test]
fn training_steps() {
    training(config());
}

/// Drift and growth that change with time, at the ends of gaps by jumps.
#[test]
fn training_steps_in_time() {
    training(ModelConfig { times: Some(vec![0.0, 0.55, 1.0, 1.7]), ..config() });
}

/// Segments beside each other have the bits of each alone, and their gradients' sum.
#[test]
fn segments_do_not_see_each_other() {
    let Some(lab) = lab() else { return };
    let (model, device) = (NeuralSde::<f32>::new(config()).unwrap(), lab.stream.device());
    let p: Vec<f32> = model.init(3);
    let starts = [67, 31].map(|rows| numbers(rows as u64, rows * D)).to_vec();
    let bars = [vec![numbers(1, 67 * D), numbers(2, 67 * D)], vec![numbers(3, 31 * D)]];
    let run = |parts: std::ops::Range<usize>| {
        let mut engine = CudaEngine::new(device, &model, segments()[parts.clone()].to_vec()).unwrap();
        let (firsts, none) = ([5, 1_000_000], vec![Vec::new(); parts.len()]);
        let mut gradient = vec![0.0; p.len()];
        // Twice: the second time memory holds what the first one left.
        for seed in [8, 9] {
            engine.simulate(&p, seed, &firsts[parts.clone()], &starts[parts.clone()]).unwrap();
            engine.pull_back(&bars[parts.clone()], &none, &mut gradient).unwrap();
        }
        let states: Vec<f32> = parts.enumerate().flat_map(|(s, _)| engine.states(s, 0).to_vec()).collect();
        (states, gradient)
    };
    let ((both, total), (first, one), (second, two)) = (run(0..2), run(0..1), run(1..2));
    assert_eq!(both, [first, second].concat());
    assert_eq!(total, one.iter().zip(&two).map(|(a, b)| a + b).collect::<Vec<f32>>());
}

/// Lengths are checked before anything runs, and an engine without gradients says so.
#[test]
fn what_an_engine_is_not_made_for() {
    let Some(lab) = lab() else { return };
    let (model, device) = (NeuralSde::<f32>::new(config()).unwrap(), lab.stream.device());
    let p: Vec<f32> = model.init(3);
    let mut engine = CudaEngine::without_gradients(device, &model, segments()).unwrap();
    let mut starts = vec![numbers(1, 67 * D), numbers(2, 31 * D)];
    engine.simulate(&p, 1, &[0, 0], &starts).unwrap();
    let none = vec![Vec::new(); 2];
    let refused = engine.pull_back(&none, &none, &mut vec![0.0; p.len()]);
    assert_eq!(refused, Err(CudaEngineError::WithoutGradients));
    starts[1].pop();
    let short = engine.simulate(&p, 1, &[0, 0], &starts);
    assert!(matches!(short, Err(CudaEngineError::Shape { expected: 124, got: 123, .. })), "{short:?}");
}

/// Paths without a training, of drift and growth in time: those of the processor to 2e-5; a row's bits are the same in any part of the rows.
#[test]
fn simulated_paths() {
    let Some(_) = lab() else { return };
    let times = Some(vec![0.0, 0.55, 1.0, 1.7]);
    for config in [config(), ModelConfig { times, ..config() }, ModelConfig { growth: None, ..config() }] {
        let model = NeuralSde::<f32>::new(config).unwrap();
        let p: Vec<f32> = model.init(3);
        let simulator = Simulator::new(DeviceChoice::Cuda, &model).unwrap();
        assert!(simulator.is_device());
        let grid = TimeGrid::new(0.2, &[0.55, 1.3, 2.0], 0.1).unwrap();
        let (n, first) = (131, (1 << 33) - 7);
        let start = numbers(4, n * D);
        let run = |rows: std::ops::Range<usize>, first| {
            simulator
                .simulate(&model, &p, &start[rows.start * D..rows.end * D], &grid, 9, first)
                .unwrap()
                .unwrap()
        };
        let got = run(0..n, first);
        let options = EnsembleOptions { first_trajectory: first, ..EnsembleOptions::new(9) };
        let want = match model.growth_net() {
            Some(growth) => simulate_weighted(&model, &growth, &p, &start, &grid, &options),
            None => simulate(&model, &p, &start, &grid, &options),
        };
        let want = want.unwrap();
        assert_eq!((got.states.len(), got.log_weights.len()), (3, want.log_weights.len()));
        let pairs = got.states.iter().zip(&want.states).chain(got.log_weights.iter().zip(&want.log_weights));
        pairs.for_each(|(got, want)| close("paths", got, want, 2e-5));
        let part = run(100..n, first + 100);
        assert_eq!(part.states[2][..], got.states[2][100 * D..]);
        let mut broken = start.clone();
        broken[70 * D] = f32::NAN;
        let failed = simulator.simulate(&model, &p, &broken, &grid, 9, first).err();
        assert_eq!(failed, Some(SimulatorError::Path { trajectory: first + 70, t: 0.2 }));
    }
}

/// What has no kernel is refused before anything runs.
#[test]
fn models_without_kernels() {
    let Some(lab) = lab() else { return };
    let device: &Device = lab.stream.device();
    let refused = |config: ModelConfig| {
        let model = NeuralSde::<f32>::new(config).unwrap();
        CudaEngine::new(device, &model, segments()).err()
    };
    let potential = DriftConfig { kind: DriftKind::Potential, ..config().drift };
    let what = Some(CudaEngineError::Unsupported { what: "a potential drift" });
    assert_eq!(refused(ModelConfig { drift: potential, ..config() }), what);
    let production = DriftConfig { kind: DriftKind::Production, ..config().drift };
    assert!(matches!(
        refused(ModelConfig { drift: production, ..config() }),
        Some(CudaEngineError::Unsupported { .. })
    ));
    let (hidden, activation, initial_level) = (vec![4], Activation::Silu, 0.5);
    for (diffusion, what) in [
        (DiffusionConfig::Scalar { hidden: hidden.clone(), activation, initial_level }, "scalar noise"),
        (
            DiffusionConfig::LowRank { rank: 1, hidden: hidden.clone(), activation, initial_level },
            "low-rank noise",
        ),
        (DiffusionConfig::General { hidden, activation, initial_level }, "general noise"),
    ] {
        let what = Some(CudaEngineError::Unsupported { what });
        assert_eq!(refused(ModelConfig { diffusion, ..config() }), what);
    }
    let mut forced = NeuralSde::<f32>::new(config()).unwrap();
    forced.set_forcing(Some(vec![0.1; D])).unwrap();
    let what = Some(CudaEngineError::Unsupported { what: "a forcing" });
    assert_eq!(CudaEngine::new(device, &forced, segments()).err(), what);
}
