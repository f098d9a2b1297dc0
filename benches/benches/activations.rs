//! Activations and their derivatives on one thread.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_benches::normals;
use chreode_core::Real;
use chreode_linalg::Activation;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// One tile of a layer of 64 outputs: it stays in the first cache.
const LEN: usize = 64 * 64;

fn activations<T: Real>(c: &mut Criterion, number: &str) {
    let z = normals::<T>(LEN);
    let mut a = vec![T::ZERO; LEN];
    let mut group = c.benchmark_group(format!("activation/{number}"));
    group.throughput(Throughput::Elements(LEN as u64));
    for activation in Activation::ALL {
        group.bench_function(BenchmarkId::new("apply", activation), |b| {
            b.iter(|| activation.apply(black_box(&z), &mut a));
        });
        activation.apply(&z, &mut a);
        let ones = vec![T::ONE; LEN];
        let mut a_bar = ones.clone();
        group.bench_function(BenchmarkId::new("backward", activation), |b| {
            b.iter(|| {
                a_bar.copy_from_slice(&ones); // repeated products would end among the subnormals
                activation.backward(black_box(&z), &a, &mut a_bar);
            });
        });
    }
    group.finish();
}

fn both(c: &mut Criterion) {
    activations::<f32>(c, "f32");
    activations::<f64>(c, "f64");
}

criterion_group!(benches, both);
criterion_main!(benches);
