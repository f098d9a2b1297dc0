//! One tile of 64 cells through ten Euler-Maruyama steps: forward alone, forward and backward, on one thread.
//! Elements are the floating-point operations of the dense layers alone: forward, recomputed, and two products
//! backward (a potential: two forward, and six backward on values and tangents).
//! And every method's gradient, of a net with additive noise, which all of them treat, and of a cheap equation.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_adjoint::{Checkpoints, SdeAdjoint, SdeBacksolve};
use chreode_benches::normals;
use chreode_core::{BrownianIncrements, Calculus, DiffusionVjp, NoiseKind};
use chreode_model::{DiffusionConfig, DriftKind, ModelConfig, NeuralSde, TILE};
use chreode_solve::{BrownianTree, SdeMethod, TimeGrid};
use chreode_testkit::{RingSde, SinhSde};
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

fn methods(c: &mut Criterion) {
    let mut group = c.benchmark_group("sde_gradients");
    let mut config = ModelConfig::new(vec![0.5; 50], vec![0.4; 50]);
    config.drift.hidden = vec![128; 2];
    config.diffusion = DiffusionConfig::Constant { initial_level: 0.3 };
    let Ok(net) = NeuralSde::<f32>::new(config) else { unreachable!("the configuration is valid") };
    let p_net = net.init(1);
    let ring = RingSde { dim: 10, noise: NoiseKind::Separable, calculus: Calculus::Stratonovich };
    let sinh = SinhSde { dim: 10 };
    let methods = [SdeMethod::EulerMaruyama, SdeMethod::Milstein, SdeMethod::StochasticHeun];
    for method in methods {
        gradients(&mut group, "net", method, &mut net.clone(), &p_net);
    }
    gradients(&mut group, "sinh", SdeMethod::EulerMaruyama, &mut sinh.clone(), &[0.5, 0.3]);
    gradients(&mut group, "sinh", SdeMethod::Milstein, &mut sinh.clone(), &[0.5, 0.3]);
    gradients(&mut group, "ring", SdeMethod::StochasticHeun, &mut ring.clone(), &[0.3]);
    backsolve(&mut group, "net", &mut net.clone(), &p_net);
    backsolve(&mut group, "ring", &mut ring.clone(), &[0.3]);
    group.finish();
}

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// Steps of the runs that compare methods, 64 paths each.
const MANY: usize = 60;

fn starts(d: usize) -> Vec<f32> {
    normals::<f32>(TILE * d).iter().map(|z| 0.5 + 0.2 * z).collect()
}

/// Forward alone, and with the gradient: every state kept, and six.
fn gradients(
    group: &mut Group<'_>,
    name: &str,
    method: SdeMethod,
    sde: &mut dyn DiffusionVjp<f32>,
    p: &[f32],
) {
    let Ok(grid) = TimeGrid::new(0.0, &[1.0], 1.0 / MANY as f64) else { unreachable!("times increase") };
    let (d, noise) = (sde.dim(), BrownianIncrements::new(1));
    let y0 = starts(d);
    let (bar, mut y0_bar, mut p_bar) = (vec![1.0; TILE * d], vec![0.0; TILE * d], vec![0.0; p.len()]);
    for (what, checkpoints) in [("all", Checkpoints::All), ("six states", Checkpoints::States(6))] {
        let Ok(mut paths) = SdeAdjoint::with_method(method, checkpoints, TILE, &*sde, &grid) else {
            unreachable!("the method treats the noise")
        };
        let id = |part: &str| BenchmarkId::new(format!("{name} {} {part}", method.name()), what);
        if checkpoints == Checkpoints::All {
            group.bench_function(id("forward"), |b| {
                b.iter(|| paths.forward(sde, None, &noise, 0, &grid, black_box(&y0), p));
            });
        }
        group.bench_function(id("gradient"), |b| {
            b.iter(|| {
                paths.forward(sde, None, &noise, 0, &grid, black_box(&y0), p)?;
                paths.backward(sde, None, &noise, 0, &grid, p, &[&bar], &[], &mut y0_bar, &mut p_bar)
            });
        });
    }
}

fn backsolve(group: &mut Group<'_>, name: &str, sde: &mut dyn DiffusionVjp<f32>, p: &[f32]) {
    let Ok(grid) = TimeGrid::new(0.0, &[1.0], 1.0 / MANY as f64) else { unreachable!("times increase") };
    let (d, y0) = (sde.dim(), starts(sde.dim()));
    let Ok(mut tree) = BrownianTree::new(1, d, (0.0, 1.0)) else { unreachable!("the span is forward") };
    let Ok(mut adjoint) = SdeBacksolve::new(TILE, &*sde) else { unreachable!("Stratonovich or additive") };
    let (bar, mut y0_bar, mut p_bar) = (vec![1.0; TILE * d], vec![0.0; TILE * d], vec![0.0; p.len()]);
    let mut y = y0.clone();
    let nothing = &mut |_: usize, _: f64, _: &[f32]| {};
    group.bench_function(BenchmarkId::new(format!("{name} tree"), "forward"), |b| {
        b.iter(|| {
            y.copy_from_slice(&y0);
            adjoint.forward(sde, &mut tree, 0, &grid, p, black_box(&mut y), nothing)
        });
    });
    group.bench_function(BenchmarkId::new(format!("{name} tree"), "backsolve"), |b| {
        b.iter(|| {
            y.copy_from_slice(&y0);
            adjoint.forward(sde, &mut tree, 0, &grid, p, black_box(&mut y), nothing)?;
            adjoint.backward(sde, &mut tree, 0, &grid, p, &y, &[&bar], &mut y0_bar, &mut p_bar)
        });
    });
}

criterion_group!(benches, sde_adjoint, methods);
criterion_main!(benches);
