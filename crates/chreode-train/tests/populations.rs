//! Populations that do not mix: cells become cells of their own, in couplings, simulation, hold-out and judgement.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use chreode_core::BrownianIncrements;
use chreode_model::{DiffusionConfig, ModelConfig, NeuralSde};
use chreode_train::{
    BridgeNoise, HoldOutBy, MatchingConfig, NoObserver, Schedule, Snapshots, Split, States, TrainConfig,
    TrainError, Trainer, choose_growth,
};
use std::sync::atomic::AtomicBool;

/// Two populations, of `n` and `2 n` cells: one starts at (-2, 0), the other at (2, 0), and later one is where the other began, one unit up
/// or down: the shortest ways are those to the other population.
fn crossed(n: usize) -> Snapshots<f32> {
    let cloud = |time: u64, at: [[f32; 2]; 2]| -> (Vec<f32>, Vec<u32>) {
        let mut z = vec![0.0; 6 * n];
        BrownianIncrements::new(3).fill(time, 0, 2, 0.04, &mut z);
        let of: Vec<u32> = (0..3 * n).map(|i| u32::from(i % 3 > 0)).collect();
        for (z, &p) in z.chunks_exact_mut(2).zip(&of) {
            z[0] += at[p as usize][0];
            z[1] += at[p as usize][1];
        }
        (z, of)
    };
    let (start, first) = cloud(0, [[-2.0, 0.0], [2.0, 0.0]]);
    let (end, second) = cloud(1, [[2.0, 1.0], [-2.0, -1.0]]);
    Snapshots {
        dim: 2,
        times: vec![0.0, 1.0],
        states: States::each([start, end]),
        populations: vec![first, second],
        ..Snapshots::default()
    }
}

fn config(steps: u64) -> TrainConfig {
    TrainConfig {
        steps,
        batch: 120,
        learning_rate: 1e-2,
        schedule: Schedule::Cosine { warm_up: 0, over: steps, floor: 0.01 },
        matching: Some(MatchingConfig {
            epsilon: 0.02,
            noise: BridgeNoise::Blur,
            ..MatchingConfig::default()
        }),
        evaluate_every: 50,
        ..TrainConfig::default()
    }
}

fn model() -> NeuralSde<f32> {
    let mut model = ModelConfig::new(vec![0.0; 2], vec![1.0; 2]);
    model.times = Some(vec![0.0, 1.0]);
    model.drift.hidden = vec![32, 32];
    model.diffusion = DiffusionConfig::Constant { initial_level: 0.3 };
    NeuralSde::new(model).unwrap()
}

fn trained(
    data: &Snapshots<f32>,
    settings: TrainConfig,
) -> Trainer<f32, NeuralSde<f32>, chreode_model::GrowthNet<f32>> {
    let sde = model();
    let mut trainer = Trainer::new(sde.clone(), sde.init(1), data.clone(), settings).unwrap();
    trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    trainer
}

/// Where cells that start at `x` are on average at the end.
fn end_of(p: &[f32], x: [f32; 2]) -> [f32; 2] {
    let (n, grid) = (200, chreode_solve::TimeGrid::new(0.0, &[1.0], 0.05).unwrap());
    let options = chreode_solve::EnsembleOptions::new(5);
    let ends = chreode_solve::simulate(&model(), p, &x.repeat(n), &grid, &options).unwrap();
    let mean = |k: usize| ends.states[0].iter().skip(k).step_by(2).sum::<f32>() / n as f32;
    [mean(0), mean(1)]
}

#[test]
fn cells_follow_their_own_population() {
    let data = crossed(100);
    let own = trained(&data, config(400));
    let [left, right] = [[-2.0, 0.0], [2.0, 0.0]].map(|x| end_of(own.best_params(), x));
    assert!((left[0] - 2.0).abs() < 0.3 && (left[1] - 1.0).abs() < 0.3, "{left:?}");
    assert!((right[0] + 2.0).abs() < 0.3 && (right[1] + 1.0).abs() < 0.3, "{right:?}");
    // Each population has its part of the loss: one that ends among the other's cells is far off.
    let mixed = trained(&Snapshots { populations: vec![], ..data.clone() }, config(400));
    let other = end_of(mixed.best_params(), [-2.0, 0.0]);
    assert!(other[0] < -1.0, "{other:?}");
    let sde = model();
    let mut judge = Trainer::new(sde, mixed.best_params().to_vec(), data, config(400)).unwrap();
    let (own, mixed) = (own.hold_out_noise().unwrap().unwrap(), judge.evaluate().unwrap().unwrap());
    assert!(mixed.hold_out_loss > 1.0 && own < 0.1, "{mixed:?}");
    assert_eq!(mixed.terms.len(), 1);
    assert!((mixed.terms[0].loss - mixed.hold_out_loss).abs() < 1e-12);
}

#[test]
fn simulation_is_compared_within_populations() {
    let settings = TrainConfig { matching: None, dt: 0.25, ..config(400) };
    let own = trained(&crossed(100), settings);
    let left = end_of(own.best_params(), [-2.0, 0.0]);
    assert!((left[0] - 2.0).abs() < 0.5 && (left[1] - 1.0).abs() < 0.5, "{left:?}");
}

#[test]
fn bits_do_not_depend_on_threads_or_interruptions() {
    let (data, settings) = (crossed(40), config(30));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(&data, settings.clone()).params().to_vec())
    };
    let whole = on(1);
    assert_eq!(whole, on(2));
    let sde = model();
    let mut first = Trainer::new(sde.clone(), sde.init(1), data.clone(), settings.clone()).unwrap();
    for _ in 0..11 {
        first.step().unwrap();
    }
    let state = first.save().unwrap();
    let mut again =
        Trainer::resumed(sde.clone(), sde.init(1), data.clone(), settings.clone(), &state).unwrap();
    again.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    assert_eq!(again.params(), whole);
    // A checkpoint is of its populations.
    let mut others = data.clone();
    others.populations[1].swap(0, 1);
    assert!(Trainer::resumed(sde.clone(), sde.init(1), others, settings, &state).is_err());
}

#[test]
fn each_population_is_held_out_alike() {
    let data = crossed(100);
    let split = Split::draw(&data, 0.1, HoldOutBy::Cell, 4).unwrap();
    for time in 0..2 {
        let held = |p| data.rows_of(p, time, &split.hold_out[time]).len();
        assert_eq!([held(0), held(1)], [10, 20]);
        let mut all = [&split.train[time][..], &split.hold_out[time]].concat();
        all.sort_unstable();
        assert_eq!(all, (0..300).collect::<Vec<u32>>());
    }
    // One population is as none.
    let one = Snapshots { populations: vec![vec![0; 300]; 2], ..data.clone() };
    let none = Snapshots { populations: vec![], ..data };
    let draw = |data| Split::draw(data, 0.1, HoldOutBy::Cell, 4).unwrap();
    assert_eq!(draw(&one), draw(&none));
    let settings = config(20);
    assert_eq!(trained(&one, settings.clone()).params(), trained(&none, settings).params());
}

/// Cells of one population alone have its rows, in their order, with what belongs to them.
#[test]
fn a_population_is_a_snapshot_of_its_own() {
    let mut data = crossed(10);
    data.growth = vec![(0..30).map(|i| i as f32).collect(), vec![0.0; 30]];
    let second = data.population(1);
    second.check().unwrap();
    assert_eq!((second.cells(0), data.share(1, 0)), (20, 20.0 / 30.0));
    assert_eq!(second.states[0].as_slice().unwrap()[..2], data.states[0].as_slice().unwrap()[2..4]);
    assert_eq!(second.growth[0][..3], [1.0, 2.0, 4.0]);
    assert!(second.populations.is_empty());
}

/// Two arms that do not grow, each a population, of which ever more cells of the right one are sampled: without populations that is growth.
#[test]
fn what_is_sampled_more_has_not_grown() {
    let arms = |within: bool| {
        let (mut states, mut populations) = (Vec::new(), Vec::new());
        for time in 0..3_u64 {
            let n = 600;
            let right = [150, 300, 450][time as usize];
            let mut z = vec![0.0_f32; 2 * n];
            BrownianIncrements::new(8).fill(time, 0, 2, 0.09, &mut z);
            let of: Vec<u32> = (0..n).map(|i| u32::from(i < right)).collect();
            for (z, &p) in z.chunks_exact_mut(2).zip(&of) {
                z[0] += if p == 1 { 2.0 } else { -2.0 };
                z[1] += time as f32;
            }
            states.push(States::from(z));
            populations.push(of);
        }
        let populations = if within { populations } else { vec![] };
        Snapshots { dim: 2, times: vec![0.0, 1.0, 2.0], states, populations, ..Snapshots::default() }
    };
    let apart = choose_growth(&arms(true), &config(10)).unwrap();
    let together = choose_growth(&arms(false), &config(10)).unwrap();
    assert!(together.learned && !apart.learned, "{together:?} {apart:?}");
    assert!(apart.without[0] < 0.2 * together.without[0], "{together:?} {apart:?}");
}

#[test]
fn populations_that_do_not_fit_are_refused() {
    let sde = model();
    let refused = |data: Snapshots<f32>| {
        Trainer::new(sde.clone(), sde.init(1), data, config(10)).map(|_| ()).unwrap_err()
    };
    let mut few = crossed(20);
    few.populations[1] = vec![0; 60];
    few.populations[1][7] = 1;
    assert!(
        matches!(refused(few), TrainError::TooFewOfPopulation { population: 1, found: 1, time, .. } if time == 1.0)
    );
    let mut short = crossed(20);
    short.populations[1].pop();
    assert!(matches!(refused(short), TrainError::Data { time: 1, .. }));
    let mut missing = crossed(20);
    missing.populations.pop();
    assert!(matches!(refused(missing), TrainError::Data { time: 1, .. }));
}
