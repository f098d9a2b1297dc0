//! A tile of cells through the net forward and backward: what training does all day, on one thread.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_adjoint::SdeAdjoint;
use chreode_benches::normals;
use chreode_core::BrownianIncrements;
use chreode_model::{DriftKind, ModelConfig, NeuralSde};
use chreode_solve::{TILE, TimeGrid};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Coordinates, drift and its hidden layers: the demo's model, and the default on 50 principal components.
fn models() -> [(&'static str, ModelConfig); 2] {
    let config = |d: usize, kind, hidden: &[usize]| {
        let mut config = ModelConfig::new(vec![0.0; d], vec![1.0; d]);
        config.drift.kind = kind;
        config.drift.hidden = hidden.to_vec();
        config
    };
    [
        ("11-production-64-64", config(11, DriftKind::Production, &[64, 64])),
        ("50-free-512-512", config(50, DriftKind::Mlp, &[512, 512])),
    ]
}

fn passes(c: &mut Criterion) {
    let Ok(grid) = TimeGrid::new(0.0, &[1.0], 0.0625) else { unreachable!("times increase") };
    let noise = BrownianIncrements::new(1);
    let mut group = c.benchmark_group("sde_adjoint");
    group.sample_size(20);
    group.throughput(Throughput::Elements((TILE * grid.steps()) as u64));
    for (name, config) in models() {
        let d = config.dim();
        let Ok(mut sde) = NeuralSde::<f32>::new(config) else { unreachable!("the configuration is valid") };
        let p = sde.init(7);
        let y0 = normals::<f32>(TILE * d);
        let state_bar = vec![1.0_f32; TILE * d];
        let (mut y0_bar, mut p_bar) = (vec![0.0; TILE * d], vec![0.0; p.len()]);
        let mut paths = SdeAdjoint::new(TILE, d, &grid);
        group.bench_function(BenchmarkId::new("forward", name), |b| {
            b.iter(|| assert!(paths.forward(&mut sde, None, &noise, 0, &grid, black_box(&y0), &p).is_ok()));
        });
        group.bench_function(BenchmarkId::new("forward_and_backward", name), |b| {
            b.iter(|| {
                let bars = [&state_bar[..]];
                let done =
                    paths.forward(&mut sde, None, &noise, 0, &grid, black_box(&y0), &p).and_then(|()| {
                        paths.backward(
                            &mut sde,
                            None,
                            &noise,
                            0,
                            &grid,
                            &p,
                            &bars,
                            &[],
                            &mut y0_bar,
                            &mut p_bar,
                        )
                    });
                assert!(done.is_ok());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, passes);
criterion_main!(benches);
