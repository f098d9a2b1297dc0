//! Losses and optimisers allocate nothing once they have seen clouds of the largest size.

use chreode_testkit::{CountingAllocator, allocations_in};
use chreode_train::{
    Cloud, CloudBar, CloudLoss, Cost, LossConfig, Optimiser, OptimiserConfig, ParamAverage, SinkhornConfig,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[test]
fn losses() {
    let (n, m, d) = (200, 130, 3);
    let wave = |n: usize, f: f32| (0..n).map(|i| (i as f32 * f).sin()).collect::<Vec<f32>>();
    let (x, y, lw) = (wave(n * d, 0.7), wave(m * d, 1.3), wave(n, 0.4));
    let (mut xb, mut wb) = (vec![0.0; n * d], vec![0.0; n]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let sinkhorn =
        |memory_mib| SinkhornConfig { cost: Cost::Distance, memory_mib, ..SinkhornConfig::default() };
    for config in
        [LossConfig::default(), LossConfig::Sinkhorn(sinkhorn(64)), LossConfig::Sinkhorn(sinkhorn(0))]
    {
        let mut loss = CloudLoss::new(d, &config).unwrap();
        let mut once = || {
            loss.evaluate(
                Cloud { states: &x, log_weights: &lw },
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
fn optimisers() {
    let g = [0.3_f32; 50];
    for config in [OptimiserConfig::adam(), OptimiserConfig::rmsprop()] {
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
