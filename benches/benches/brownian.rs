//! Brownian increments of a batch of cells: what the forward and the backward pass both draw.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_core::{BrownianIncrements, Real};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn fill<T: Real>(c: &mut Criterion, name: &str) {
    let mut group = c.benchmark_group(format!("brownian/{name}"));
    for d in [2, 11, 50] {
        let mut dw = vec![T::ZERO; 1024 * d];
        let noise = BrownianIncrements::new(1);
        group.throughput(Throughput::Elements(dw.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(d), |b| {
            b.iter(|| noise.fill(black_box(3), 0, d, 0.1, &mut dw));
        });
    }
    group.finish();
}

fn both(c: &mut Criterion) {
    fill::<f32>(c, "f32");
    fill::<f64>(c, "f64");
}

criterion_group!(benches, both);
criterion_main!(benches);
