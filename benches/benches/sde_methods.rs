//! One step of one tile by each stochastic method, and a run with adaptive steps. The field is cheap: what is timed is
//! the method and its noise.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_benches::normals;
use chreode_core::{BrownianIncrements, Calculus, NoiseKind, Tolerance};
use chreode_solve::{AdaptiveOptions, Increments, SdeMethod, TILE, simulate_adaptive};
use chreode_testkit::{RingSde, SinhSde};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn step(c: &mut Criterion) {
    let d = 11;
    let mut group = c.benchmark_group("sde_methods/step");
    group.throughput(Throughput::Elements((TILE * d) as u64));
    for method in SdeMethod::ALL {
        let mut sde = RingSde { dim: d, noise: NoiseKind::Additive, calculus: Calculus::Ito };
        let Ok(mut scheme) = method.scheme::<f32>(TILE, &sde) else {
            unreachable!("every method treats additive noise")
        };
        let noise = BrownianIncrements::new(1);
        let (mut dw, mut area) = (vec![0.0; TILE * d], vec![0.0; TILE * d]);
        let y0 = normals::<f32>(TILE * d);
        let mut y = y0.clone();
        group.bench_function(BenchmarkId::from_parameter(method.name()), |b| {
            b.iter(|| {
                y.copy_from_slice(&y0); // the same work in every round
                noise.fill(black_box(3), 0, d, 0.05, &mut dw);
                if scheme.needs_area() {
                    noise.fill_area(3, 0, d, 0.05, &mut area);
                }
                let noise = Increments { dw: &dw, area: &area };
                assert!(scheme.advance(&mut sde, noise, 0, 0.0, 0.05, &mut y, &[0.5]).is_ok());
            });
        });
    }
    group.finish();
}

fn adaptive(c: &mut Criterion) {
    let (n, d) = (256, 4);
    let y0 = normals::<f64>(n * d);
    let sde = SinhSde { dim: d };
    let mut group = c.benchmark_group("sde_methods/adaptive");
    group.sample_size(20);
    let options = AdaptiveOptions::new(SdeMethod::Sriw1, Tolerance::new(1e-3, 1e-3), 1);
    group.bench_function("SRIW1", |b| {
        b.iter(|| {
            let cells = simulate_adaptive(&sde, &[0.8, 0.6], black_box(&y0), (0.0, 1.0), &[1.0], &options);
            assert!(cells.is_ok());
            cells
        });
    });
    group.finish();
}

criterion_group!(benches, step, adaptive);
criterion_main!(benches);
