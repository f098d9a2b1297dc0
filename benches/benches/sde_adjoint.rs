//! One tile of 64 cells through ten Euler-Maruyama steps: forward alone, forward and backward, on one thread.
//! Elements are the floating-point operations of the dense layers alone: forward, recomputed, and two products
//! backward (a potential: two forward, and six backward on values and tangents).
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_adjoint::SdeAdjoint;
use chreode_benches::normals;
use chreode_core::BrownianIncrements;
use chreode_model::{DiffusionConfig, DriftKind, ModelConfig, NeuralSde, TILE};
use chreode_solve::TimeGrid;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const STEPS: usize = 10;

/// The demo's size with free nets and in Langevin form, and the default model on 50 principal components.
fn models() -> Vec<(&'static str, ModelConfig)> {
    let config = |d: usize, kind, hidden: usize, noise_hidden: usize| {
        let mut config = ModelConfig::new(vec![0.5; d], vec![0.4; d]);
        config.drift.kind = kind;
        config.drift.hidden = vec![hidden; 2];
        if let DiffusionConfig::Diagonal { hidden, .. } = &mut config.diffusion {
            *hidden = vec![noise_hidden; 2];
        }
        config
    };
    let mut langevin = config(11, DriftKind::Production, 64, 64);
    langevin.diffusion = DiffusionConfig::Langevin { initial_level: 0.5, kappa: None, floor: 0.01 };
    vec![
        ("11-64-64-11 twice", config(11, DriftKind::Mlp, 64, 64)),
        ("11-64-64-11 langevin", langevin),
        ("50-512-512-50, 50-32-32-50", config(50, DriftKind::Mlp, 512, 32)),
        ("50-512-512-1 potential, 50-32-32-50", config(50, DriftKind::Potential, 512, 32)),
    ]
}

/// Operations of one pass forward: of the potential's net, and of all other nets.
fn operations(sde: &NeuralSde<f32>) -> (usize, usize) {
    let potential = sde.config().drift.kind == DriftKind::Potential;
    let weights = sde.layout().entries().iter().filter(|e| e.shape.len() == 2);
    let (of_potential, other): (Vec<_>, Vec<_>) =
        weights.partition(|e| potential && e.name.starts_with("drift"));
    let count = |entries: Vec<&chreode_core::ParamEntry>| {
        2 * TILE * STEPS * entries.iter().map(|e| e.len()).sum::<usize>()
    };
    (count(of_potential), count(other))
}

fn sde_adjoint(c: &mut Criterion) {
    let mut group = c.benchmark_group("sde_adjoint");
    let grid = TimeGrid::new(0.0, &[1.0], 1.0 / STEPS as f64);
    let Ok(grid) = grid else { unreachable!("times increase") };
    for (name, config) in models() {
        let sde = NeuralSde::<f32>::new(config);
        let Ok(mut sde) = sde else { unreachable!("the configurations are valid") };
        let d = sde.config().dim();
        let (p, noise) = (sde.init(1), BrownianIncrements::new(1));
        let y0: Vec<f32> = normals::<f32>(TILE * d).iter().map(|z| 0.5 + 0.2 * z).collect();
        let mut paths = SdeAdjoint::new(TILE, d, &grid);
        let bar = vec![1.0_f32; TILE * d];
        let (mut y0_bar, mut p_bar) = (vec![0.0_f32; TILE * d], vec![0.0_f32; p.len()]);
        let (of_potential, other) = operations(&sde);
        group.throughput(Throughput::Elements((2 * of_potential + other) as u64));
        group.bench_function(BenchmarkId::new("forward", name), |b| {
            b.iter(|| paths.forward(&mut sde, None, &noise, 0, &grid, black_box(&y0), &p));
        });
        group.throughput(Throughput::Elements((8 * of_potential + 4 * other) as u64));
        group.bench_function(BenchmarkId::new("forward and backward", name), |b| {
            b.iter(|| {
                paths.forward(&mut sde, None, &noise, 0, &grid, black_box(&y0), &p)?;
                let bars = [&bar[..]];
                paths.backward(&mut sde, None, &noise, 0, &grid, &p, &bars, &[], &mut y0_bar, &mut p_bar)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sde_adjoint);
criterion_main!(benches);
