//! Losses, the engine, optimisers and the trainer's steps allocate nothing once they have seen the largest sizes.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use chreode_core::BrownianIncrements;
use chreode_solve::TimeGrid;
use chreode_testkit::{CountingAllocator, allocations_in};
use chreode_train::{
    Cloud, CloudBar, CloudLoss, Cost, CpuEngine, GrowthUse, LossConfig, MmdConfig, Model, Optimiser,
    OptimiserConfig, ParamAverage, Paths, Segment, SinkhornConfig, SlicedConfig, TrainConfig, Trainer,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// What is counted are the allocations of one thread.
fn one_thread() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap()
}

#[test]
fn losses() {
    let (n, m, d) = (200, 130, 3);
    let wave = |n: usize, f: f32| (0..n).map(|i| (i as f32 * f).sin()).collect::<Vec<f32>>();
    let (x, y, lw) = (wave(n * d, 0.7), wave(m * d, 1.3), wave(n, 0.4));
    let origins: Vec<u32> = (0..n as u32).map(|i| i % 7).collect();
    let (mut xb, mut wb) = (vec![0.0; n * d], vec![0.0; n]);
    let pool = one_thread();
    let sinkhorn =
        |memory_mib| SinkhornConfig { cost: Cost::Distance, memory_mib, ..SinkhornConfig::default() };
    for config in [
        LossConfig::default(),
        LossConfig::Sinkhorn(sinkhorn(64)),
        LossConfig::Sinkhorn(sinkhorn(0)),
        LossConfig::Sinkhorn(SinkhornConfig { blur: 3.0, ..sinkhorn(0) }),
        LossConfig::Mmd(MmdConfig::default()),
        LossConfig::SlicedWasserstein(SlicedConfig::default()),
    ] {
        let mut loss = CloudLoss::new(d, &config).unwrap();
        let mut once = || {
            loss.evaluate(
                Cloud { states: &x, log_weights: &lw, origins: &origins },
                Cloud::equal(&y),
                Some(CloudBar { states: &mut xb, log_weights: &mut wb }),
            )
            .unwrap();
        };
        let count = pool.install(|| {
            once();
            allocations_in(once).0
        });
        assert_eq!(count, 0, "{config:?}");
    }
}

#[test]
fn engine() {
    let model: Model<_, _> = common::neural::<f32>(true).into();
    let p = common::neural::<f32>(true).init(1);
    let rows = 150; // several tiles
    let grid = TimeGrid::new(0.0, &[0.5, 1.0], 0.1).unwrap();
    let mut engine = CpuEngine::new(&model, vec![Segment { grid, rows }]);
    let noise = BrownianIncrements::new(2);
    let starts = vec![vec![0.1_f32; 2 * rows]];
    let bars = |len| vec![vec![vec![0.3_f32; len]; 2]];
    let (state_bar, weight_bar, mut p_bar) = (bars(2 * rows), bars(rows), vec![0.0; p.len()]);
    let mut once = || {
        engine.simulate(&p, &noise, &[0], &starts).unwrap();
        engine.pull_back(&p, &noise, &[0], &state_bar, &weight_bar, &mut p_bar).unwrap();
    };
    let count = one_thread().install(|| {
        once();
        allocations_in(once).0
    });
    assert_eq!(count, 0);
}

/// With times that have fewer cells than the batch, and learned growth.
#[test]
fn steps() {
    let sde = common::neural::<f32>(true);
    let p = sde.init(1);
    let config = TrainConfig {
        batch: 100,
        growth: GrowthUse::Learned,
        paths: Paths::Mixed { from_start: 0.5, horizon: 2 },
        ..TrainConfig::default()
    };
    let data = common::snapshots(&[0.0, 0.5, 1.0], 60, 1);
    let mut trainer = Trainer::new(sde, p, data, config).unwrap();
    let mut once = || trainer.step().map(|_| ()).unwrap();
    let count = one_thread().install(|| {
        once();
        allocations_in(once).0
    });
    assert_eq!(count, 0);
}

#[test]
fn optimisers() {
    let g = [0.3_f32; 50];
    for config in [OptimiserConfig::adam(), OptimiserConfig::rmsprop(), OptimiserConfig::sgd()] {
        let mut p = [0.0_f32; 50];
        let mut optimiser = Optimiser::new(config, 50);
        let mut average = ParamAverage::new(&p, 0.9);
        let (count, ()) = allocations_in(|| {
            for _ in 0..3 {
                optimiser.update(&mut p, &g, 0.1).unwrap();
                average.update(&p);
            }
        });
        assert_eq!(count, 0);
    }
}
