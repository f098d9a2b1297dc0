//! Losses between a simulated and an observed cloud, with gradient, on all threads; elements are pairs.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_benches::normals;
use chreode_train::{Cloud, CloudBar, EnergyDistance, SinkhornConfig, SinkhornDivergence, Statistic};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Cells and coordinates: the demo's batch, and a large one in principal components.
const SIZES: [(usize, usize); 2] = [(512, 11), (2048, 50)];

/// Two clouds that overlap, the second moved by half a standard deviation.
fn clouds(n: usize, d: usize) -> (Vec<f32>, Vec<f32>) {
    let all = normals::<f32>(2 * n * d);
    let y = all[n * d..].iter().map(|y| y + 0.5).collect();
    (all[..n * d].to_vec(), y)
}

fn energy(c: &mut Criterion) {
    let mut group = c.benchmark_group("loss/energy");
    group.sample_size(20);
    for (n, d) in SIZES {
        let (x, y) = clouds(n, d);
        let mut bar = vec![0.0_f32; n * d];
        let Ok(mut loss) = EnergyDistance::new(d, Statistic::Unbiased) else { unreachable!("d > 0") };
        group.throughput(Throughput::Elements((n * n) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{n}x{d}")), |b| {
            b.iter(|| {
                let bar = CloudBar { states: &mut bar, log_weights: &mut [] };
                let value = loss.evaluate(Cloud::equal(black_box(&x)), Cloud::equal(&y), Some(bar));
                assert!(value.is_ok());
                value
            });
        });
    }
    group.finish();
}

fn sinkhorn(c: &mut Criterion) {
    let mut group = c.benchmark_group("loss/sinkhorn");
    group.sample_size(10);
    for (n, d) in SIZES {
        let (x, y) = clouds(n, d);
        let mut bar = vec![0.0_f32; n * d];
        // A tenth of the clouds' typical distance, which is the square root of 2 d.
        let config = SinkhornConfig { blur: 0.1 * (2.0 * d as f64).sqrt(), ..SinkhornConfig::default() };
        let Ok(mut loss) = SinkhornDivergence::new(d, config) else { unreachable!("d and blur > 0") };
        group.throughput(Throughput::Elements((n * n) as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{n}x{d}")), |b| {
            b.iter(|| {
                let bar = CloudBar { states: &mut bar, log_weights: &mut [] };
                let value = loss.evaluate(Cloud::equal(black_box(&x)), Cloud::equal(&y), Some(bar));
                assert!(value.is_ok());
                value
            });
        });
    }
    group.finish();
}

criterion_group!(benches, energy, sinkhorn);
criterion_main!(benches);
