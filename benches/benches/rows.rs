//! What transport and energy losses do with pairs of cells: distances, and a soft minimum over a row.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_benches::normals;
use chreode_linalg::{GemmScratch, pairwise_sq_dists, softmin_row};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn pairs(c: &mut Criterion) {
    let (n, m) = (64, 1024);
    let mut group = c.benchmark_group("pairs");
    group.throughput(Throughput::Elements((n * m) as u64));
    for d in [2, 11, 50] {
        let (x, y) = (normals::<f32>(n * d), normals::<f32>(m * d));
        let mut out = vec![0.0_f32; n * m];
        let mut scratch = GemmScratch::new();
        group.bench_function(BenchmarkId::new("sq_dists", d), |b| {
            b.iter(|| pairwise_sq_dists(black_box(&x), &y, d, &mut out, &mut scratch));
        });
    }
    group.finish();
}

fn softmin(c: &mut Criterion) {
    let m = 1024;
    let (cost, h) = (normals::<f32>(m), normals::<f32>(m));
    let mut group = c.benchmark_group("softmin_row");
    group.throughput(Throughput::Elements(m as u64));
    group.bench_function(BenchmarkId::from_parameter(m), |b| {
        b.iter(|| softmin_row(black_box(&cost), &h, 0.1));
    });
    group.finish();
}

criterion_group!(benches, pairs, softmin);
criterion_main!(benches);
