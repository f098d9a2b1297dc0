//! Linear systems of implicit steps: dense, banded and sparse LU of the same matrices, and batches of small ones.
//!
//! The estimates by which `chreode-solve` chooses a form come from here.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;
use std::time::Duration;

use chreode_benches::normals;
use chreode_core::{Jacobian, LinearSolver, Sparsity};
use chreode_linalg::{BandLu, BatchLu, Complex, Lu, SparseLu};
use chreode_testkit::{BrusselatorLine, BrusselatorSquare, StiffField};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

/// A shifted Jacobian: the pattern's values, with a large diagonal.
fn shifted(pattern: &Sparsity) -> Vec<f64> {
    let mut values = normals::<f64>(pattern.len());
    let diagonal = (0..pattern.n_cols()).flat_map(|j| pattern.column(j).iter().map(move |&i| i == j));
    values.iter_mut().zip(diagonal).for_each(|(x, on)| *x += if on { 20.0 } else { 0.0 });
    values
}

fn dense(pattern: &Sparsity, values: &[f64]) -> Vec<f64> {
    let d = pattern.n_cols();
    let mut a = vec![0.0; d * d];
    let places = (0..d).flat_map(|j| pattern.column(j).iter().map(move |&i| i * d + j));
    places.zip(values).for_each(|(at, &x)| a[at] = x);
    a
}

/// One factorisation and four solves: what a step of an implicit method takes when its length changes.
fn used(solver: &mut dyn LinearSolver<f64>, values: &[f64], b: &mut [f64]) {
    solver.factor(black_box(values)).unwrap_or_else(|e| panic!("{e}"));
    (0..4).for_each(|_| solver.solve(b));
}

fn forms(c: &mut Criterion) {
    let line = |points| StiffField::new(BrusselatorLine { points });
    let square = |side| BrusselatorSquare::new(side);
    let of = |f: &dyn Jacobian<f64>| f.sparsity().map_or_else(|| Sparsity::banded(1, 0, 0), Clone::clone);
    let patterns = [
        ("line", [8, 16, 32, 64, 500].map(|n| of(&line(n))).to_vec()),
        ("square", [3, 4, 5, 6, 8, 12, 16].map(|n| of(&square(n))).to_vec()),
        ("band 5", [20, 40, 80, 160].map(|d| Sparsity::banded(d, 5, 5)).to_vec()),
        ("band 10", [40, 80, 160, 320].map(|d| Sparsity::banded(d, 10, 10)).to_vec()),
        ("band 30", [80, 160, 320].map(|d| Sparsity::banded(d, 30, 30)).to_vec()),
    ];
    for (name, patterns) in patterns {
        let mut group = c.benchmark_group(name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(100))
            .measurement_time(Duration::from_millis(300));
        for pattern in patterns {
            let d = pattern.n_cols();
            let (values, mut b) = (shifted(&pattern), vec![1.0; d]);
            if d <= 600 {
                let (mut lu, a) = (Lu::new(d), dense(&pattern, &values));
                group.bench_function(BenchmarkId::new("dense", d), |bench| {
                    bench.iter(|| used(&mut lu, &a, &mut b));
                });
            }
            let mut lu = BandLu::new(&pattern);
            group.bench_function(BenchmarkId::new("band", d), |bench| {
                bench.iter(|| used(&mut lu, &values, &mut b));
            });
            let mut lu = SparseLu::new(&pattern);
            group.bench_function(BenchmarkId::new("sparse", d), |bench| {
                bench.iter(|| used(&mut lu, &values, &mut b));
            });
        }
        group.finish();
    }
}

fn large(c: &mut Criterion) {
    let mut group = c.benchmark_group("sparse LU, square");
    group.sample_size(10);
    for side in [16, 32, 64] {
        let square = BrusselatorSquare::new(side);
        let Some(pattern) = Jacobian::<f64>::sparsity(&square) else { continue };
        let values = shifted(pattern);
        let mut lu = SparseLu::new(pattern);
        let mut b = vec![1.0; pattern.n_cols()];
        group.bench_function(BenchmarkId::new("factor", side), |bench| {
            bench.iter(|| lu.factor(black_box(&values)).unwrap_or_else(|e| panic!("{e}")));
        });
        group.bench_function(BenchmarkId::new("solve", side), |bench| bench.iter(|| lu.solve(&mut b)));
        let mut lu = lu.of_same_pattern();
        let values: Vec<_> = values.iter().map(|&x| Complex::new(x, 1.0)).collect();
        group.bench_function(BenchmarkId::new("factor, complex", side), |bench| {
            bench.iter(|| lu.factor(black_box(&values)).unwrap_or_else(|e| panic!("{e}")));
        });
    }
    group.finish();
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("16 small systems, factor and solve");
    for n in [2, 3, 8, 20, 64] {
        let mut a: Vec<[f64; 16]> = normals::<f64>(16 * n * n).as_chunks::<16>().0.to_vec();
        a.iter_mut().step_by(n + 1).for_each(|x| x.iter_mut().for_each(|x| *x += 10.0));
        let mut batch = BatchLu::<f64, 16>::new(n);
        let mut b = vec![[1.0; 16]; n];
        group.bench_function(BenchmarkId::new("lanes", n), |bench| {
            bench.iter(|| {
                batch.factor(black_box(&a)).unwrap_or_else(|e| panic!("{e}"));
                batch.solve(&mut b);
            });
        });
        let single: Vec<Vec<f64>> = (0..16).map(|l| a.iter().map(|x| x[l]).collect()).collect();
        let mut lu = Lu::new(n);
        let mut b = vec![1.0; n];
        group.bench_function(BenchmarkId::new("one by one", n), |bench| {
            bench.iter(|| {
                for a in &single {
                    lu.factor(black_box(a)).unwrap_or_else(|e| panic!("{e}"));
                    lu.solve(&mut b);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, forms, large, batches);
criterion_main!(benches);
