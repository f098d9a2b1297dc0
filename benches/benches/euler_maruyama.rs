//! One step of one tile, and an ensemble on all threads. The field is cheap: what is timed is the scheme.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_benches::normals;
use chreode_core::BrownianIncrements;
use chreode_solve::{EnsembleOptions, EulerMaruyama, TILE, TimeGrid, simulate};
use chreode_testkit::WellSde;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const P: [f32; 4] = [1.0, 0.5, 0.3, 0.0];

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("euler_maruyama/step");
    for d in [2, 11, 50] {
        let mut sde = WellSde { dim: d };
        let noise = BrownianIncrements::new(1);
        let mut scheme = EulerMaruyama::new(TILE, d);
        let y0 = normals::<f32>(TILE * d);
        let mut y = y0.clone();
        group.throughput(Throughput::Elements(y.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(d), |b| {
            b.iter(|| {
                y.copy_from_slice(&y0); // the same work in every round
                assert!(scheme.step(&mut sde, &noise, 0, black_box(3), 0.0, 0.05, &mut y, &P).is_ok());
            });
        });
    }
    group.finish();
}

fn ensemble(c: &mut Criterion) {
    let (n, d) = (4096, 11);
    let y0 = normals::<f32>(n * d);
    let grid = TimeGrid::new(0.0, &[1.0, 2.0], 0.05);
    let Ok(grid) = grid else { unreachable!("times increase") };
    let mut group = c.benchmark_group("euler_maruyama/ensemble");
    group.throughput(Throughput::Elements((n * d * grid.steps()) as u64));
    group.sample_size(20);
    group.bench_function(BenchmarkId::new("threads", rayon::current_num_threads()), |b| {
        b.iter(|| {
            let cells = simulate(&WellSde { dim: d }, &P, black_box(&y0), &grid, &EnsembleOptions::new(7));
            assert!(cells.is_ok());
            cells
        });
    });
    group.finish();
}

criterion_group!(benches, step, ensemble);
criterion_main!(benches);
