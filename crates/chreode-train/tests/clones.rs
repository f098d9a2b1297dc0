//! Clones: cells become cells of their own clone, and held-out clones tell whether a model knows it.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use chreode_core::BrownianIncrements;
use chreode_model::{DiffusionConfig, GrowthNet, ModelConfig, NeuralSde};
use chreode_train::{
    BridgeNoise, CloneCells, CloneScore, HoldOutBy, MatchingConfig, NoObserver, Schedule, Snapshots, States,
    TrainConfig, TrainError, Trainer, clone_scores,
};
use std::sync::atomic::AtomicBool;

/// Clones of `each` cells at either time, `clones` of them on either side, which cross: what begins at (-2, 0) ends at (2, 2), and what begins at
/// (2, 0) at (-2, -2), where the shortest ways are those to the other side. On their ways they are seven deviations apart, since a field of state and time
/// cannot tell cells of two clones that are in one place. Every seventh cell is of no known clone.
fn crossed(clones: usize, each: usize) -> Snapshots<f32> {
    let n = 2 * clones * each;
    let cloud = |time: u64, at: [[f32; 2]; 2]| -> (Vec<f32>, Vec<Option<u64>>) {
        let mut z = vec![0.0; 2 * n];
        BrownianIncrements::new(3).fill(time, 0, 2, 0.04, &mut z);
        let of: Vec<u64> = (0..n).map(|i| (i / each) as u64).collect();
        for (z, &clone) in z.chunks_exact_mut(2).zip(&of) {
            let side = at[clone as usize % 2];
            z[0] += side[0];
            z[1] += side[1];
        }
        (z, of.into_iter().enumerate().map(|(i, clone)| (i % 7 > 0).then_some(clone)).collect())
    };
    let (start, first) = cloud(0, [[-2.0, 0.0], [2.0, 0.0]]);
    let (end, second) = cloud(1, [[2.0, 2.0], [-2.0, -2.0]]);
    Snapshots {
        dim: 2,
        times: vec![0.0, 1.0],
        states: States::each([start, end]),
        groups: vec![first, second],
        ..Snapshots::default()
    }
}

fn config(steps: u64, clone_neighbours: Option<usize>, noise: BridgeNoise) -> TrainConfig {
    TrainConfig {
        steps,
        batch: 120,
        learning_rate: 1e-2,
        schedule: Schedule::Cosine { warm_up: 0, over: steps, floor: 0.01 },
        matching: Some(MatchingConfig { epsilon: 0.1, noise, clone_neighbours, ..MatchingConfig::default() }),
        evaluate_every: 50,
        hold_out: 0.4,
        hold_out_by: HoldOutBy::Clone,
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

type CloneTrainer = Trainer<f32, NeuralSde<f32>, GrowthNet<f32>>;

fn trained(data: &Snapshots<f32>, settings: TrainConfig) -> CloneTrainer {
    let sde = model();
    let mut trainer = Trainer::new(sde.clone(), sde.init(1), data.clone(), settings).unwrap();
    trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    trainer
}

fn scores(trainer: &CloneTrainer) -> Vec<CloneScore> {
    let cells = CloneCells {
        data: trainer.data(),
        rows: &trainer.split().hold_out,
        inverse_scale: trainer.inverse_scale(),
        dt: 0.05,
        paths: 20,
        seed: 1,
    };
    clone_scores(trainer.model(), trainer.best_params(), &cells).unwrap()
}

/// Where cells that start at `x` are on average at the end.
fn end_of(p: &[f32], x: [f32; 2]) -> [f32; 2] {
    let (n, grid) = (200, chreode_solve::TimeGrid::new(0.0, &[1.0], 0.05).unwrap());
    let options = chreode_solve::EnsembleOptions::new(5);
    let ends = chreode_solve::simulate(&model(), p, &x.repeat(n), &grid, &options).unwrap();
    let mean = |k: usize| ends.states[0].iter().skip(k).step_by(2).sum::<f32>() / n as f32;
    [mean(0), mean(1)]
}

/// Both with single cells of a clone, which borrow from neighbours, and with many; with means of ends and with single ends.
#[test]
fn clones_decide_where_snapshots_do_not() {
    for (data, noise) in [
        (crossed(120, 1), BridgeNoise::Blur),
        (crossed(15, 8), BridgeNoise::Blur),
        (crossed(15, 8), BridgeNoise::Spread),
    ] {
        let own = trained(&data, config(400, Some(5), noise));
        let [left, right] = [[-2.0, 0.0], [2.0, 0.0]].map(|x| end_of(own.best_params(), x));
        assert!(left[0] > 1.0 && left[1] > 1.0, "{left:?}");
        assert!(right[0] < -1.0 && right[1] < -1.0, "{right:?}");
        let mixed = trained(&data, config(400, None, noise));
        let other = end_of(mixed.best_params(), [-2.0, 0.0]);
        assert!(other[0] < -1.0, "{other:?}");
        // Clones that neither fit has seen know it, of themselves: no one is told which fit is which.
        assert_eq!(own.split(), mixed.split());
        let ([own], [mixed]) = (&scores(&own)[..], &scores(&mixed)[..]) else { panic!("one pair of times") };
        assert!(own.clones > 4 && own.clones == mixed.clones, "{own:?}");
        assert!(own.score < 0.8 * own.without && own.gain() > 0.2, "{own:?}");
        assert!(own.without - own.score > 4.0 * own.standard_error, "{own:?}");
        assert!(mixed.score > 1.5 * mixed.without, "{mixed:?}");
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_interruptions() {
    let (data, settings) = (crossed(15, 4), config(30, Some(5), BridgeNoise::Blur));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| trained(&data, settings.clone()).params().to_vec())
    };
    let whole = on(1);
    assert_eq!(whole, on(2));
    assert_ne!(whole, trained(&data, config(30, None, BridgeNoise::Blur)).params());
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
    // A checkpoint is of its clones, and of how they were used.
    let mut others = data.clone();
    others.groups[1].swap(1, 9);
    assert!(Trainer::resumed(sde.clone(), sde.init(1), others, settings, &state).is_err());
    let without = config(30, None, BridgeNoise::Blur);
    assert!(Trainer::resumed(sde.clone(), sde.init(1), data, without, &state).is_err());
}

/// Clones that no cell has change nothing.
#[test]
fn without_known_clones_all_is_as_before() {
    let mut data = crossed(10, 4);
    data.groups.iter_mut().flatten().for_each(|clone| *clone = None);
    let settings = |neighbours| TrainConfig {
        hold_out_by: HoldOutBy::Cell,
        ..config(20, neighbours, BridgeNoise::Blur)
    };
    assert_eq!(trained(&data, settings(Some(5))).params(), trained(&data, settings(None)).params());
}

/// A model that moves nothing knows as much of a clone as its cells' places say, and the score is the mean of what it says.
#[test]
fn scores_are_means_of_distances() {
    let states = vec![
        vec![0.0, 2.0, 10.0, 10.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        vec![1.0, 3.0, 10.0, 7.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0],
    ];
    let groups = [[Some(0), Some(0), Some(1), None, Some(2)], [Some(0), Some(0), Some(1), Some(3), None]];
    let rest = [None; 5];
    let groups = groups.iter().map(|g| [&g[..], &rest].concat()).collect();
    let data = Snapshots {
        dim: 1,
        times: vec![0.0, 1.0],
        states: States::each(states),
        groups,
        ..Snapshots::default()
    };
    let mut config = ModelConfig::new(vec![0.0], vec![1.0]);
    config.drift.hidden = vec![2];
    config.diffusion = DiffusionConfig::Constant { initial_level: 1e-9 };
    let sde = NeuralSde::<f64>::new(config).unwrap();
    let mut p = sde.init(1);
    let drift = p.len() - 1;
    p[..drift].fill(0.0);
    let rows: Vec<Vec<u32>> = vec![(0..10).collect(), (0..10).collect()];
    let cells = CloneCells { data: &data, rows: &rows, inverse_scale: &[], dt: 0.5, paths: 2, seed: 1 };
    let scores = clone_scores(&chreode_train::Model::from(sde), &p, &cells).unwrap();
    let [score] = scores[..] else { panic!("{scores:?}") };
    assert_eq!((score.clones, score.start, score.target), (2, 0.0, 1.0));
    // Of the first clone |x - y| is 1, 3, 1, 1, and of six pairs of its four paths four are 2 apart; of the second all is at 10.
    let first = 1.5 - 0.5 * 4.0 * 2.0 / 6.0;
    assert!((score.score - first / 2.0).abs() < 1e-6, "{score:?}");
    // All six paths: to the cells at 1 and 3 (mean of 1, 1, 9 and 3, 1, 7), and to that at 10 (10, 8, 0).
    let spread = 0.5 * (4.0 * 2.0 + 4.0 * 10.0 + 4.0 * 8.0) / 15.0;
    let without = ((11.0 + 11.0) / 6.0 - spread + 18.0 / 3.0 - spread) / 2.0;
    assert!((score.without - without).abs() < 1e-6, "{score:?} {without}");
}

#[test]
fn clones_that_do_not_fit_are_refused() {
    let sde = model();
    let refused = |data: Snapshots<f32>, settings: TrainConfig| {
        Trainer::new(sde.clone(), sde.init(1), data, settings).map(|_| ()).unwrap_err()
    };
    let blur = BridgeNoise::Blur;
    let none = Snapshots { groups: vec![], ..crossed(10, 4) };
    let by_cell = TrainConfig { hold_out_by: HoldOutBy::Cell, ..config(10, Some(3), blur) };
    let error = refused(none.clone(), by_cell).to_string();
    assert!(error.contains("matching.clone_neighbours") && error.contains("no clones"), "{error}");
    let error = refused(crossed(10, 4), config(10, Some(0), blur)).to_string();
    assert!(error.contains("matching.clone_neighbours = 0"), "{error}");
    let mut short = crossed(10, 4);
    short.groups[1].pop();
    assert!(matches!(refused(short, config(10, Some(3), blur)), TrainError::Data { time: 1, .. }));
    let data = crossed(10, 4);
    let rows: Vec<Vec<u32>> = vec![(0..80).collect(); 2];
    let cells = CloneCells { data: &none, rows: &rows, inverse_scale: &[], dt: 0.1, paths: 4, seed: 1 };
    let model = chreode_train::Model::from(sde.clone());
    let followed = |cells: &CloneCells<'_, f32>| clone_scores(&model, &sde.init(1), cells);
    assert!(matches!(followed(&cells), Err(TrainError::Data { .. })));
    let cells = CloneCells { data: &data, paths: 1, ..cells };
    assert!(matches!(followed(&cells), Err(TrainError::Setting { name: "paths", .. })));
}
