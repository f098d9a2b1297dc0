//! Vectorised elementary functions beside the standard library's in the same run, on one thread.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_core::Real;
use chreode_linalg::{log_sum_exp, vexp, vsigmoid, vsilu, vsoftplus, vtanh};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Stays in the first cache with its results.
const LEN: usize = 2048;

type Functions<T> = [(&'static str, fn(&[T], &mut [T]), fn(T) -> T); 5];

fn functions<T: Real>(c: &mut Criterion, number: &str) {
    let functions: Functions<T> = [
        ("exp", vexp, T::exp),
        ("tanh", vtanh, T::tanh),
        ("sigmoid", vsigmoid, |x| T::ONE / (T::ONE + (-x).exp())),
        ("softplus", vsoftplus, |x| (T::ONE + x.exp()).ln()),
        ("silu", vsilu, |x| x / (T::ONE + (-x).exp())),
    ];
    let x: Vec<T> = (0..LEN).map(|i| T::c((i * 1_031 % LEN) as f64 * (16.0 / LEN as f64) - 8.0)).collect();
    let mut y = vec![T::ZERO; LEN];
    let mut group = c.benchmark_group(number);
    group.throughput(Throughput::Elements(LEN as u64));
    for (name, vector, scalar) in functions {
        group.bench_function(BenchmarkId::new("ours", name), |b| b.iter(|| vector(black_box(&x), &mut y)));
        group.bench_function(BenchmarkId::new("std", name), |b| {
            b.iter(|| black_box(&x).iter().zip(&mut y).for_each(|(&x, y)| *y = scalar(x)));
        });
    }
    group.bench_function(BenchmarkId::new("ours", "log_sum_exp"), |b| b.iter(|| log_sum_exp(black_box(&x))));
    group.bench_function(BenchmarkId::new("std", "log_sum_exp"), |b| {
        b.iter(|| {
            let top = black_box(&x).iter().fold(x[0], |top, &x| top.max(x));
            top + x.iter().map(|&x| (x - top).exp()).sum::<T>().ln()
        });
    });
    group.finish();
}

fn both(c: &mut Criterion) {
    functions::<f32>(c, "f32");
    functions::<f64>(c, "f64");
}

criterion_group!(benches, both);
criterion_main!(benches);
