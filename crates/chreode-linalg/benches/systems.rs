//! Factorisations and solves of linear systems as the implicit methods use them: sparse, and small ones in lanes.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_core::{BrownianIncrements, LinearSolver, Sparsity};
use chreode_linalg::{BatchLu, Complex, Scalar, SparseLu};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn normals(len: usize) -> Vec<f64> {
    let mut z = vec![0.0; len];
    BrownianIncrements::new(0).fill(0, 0, 1, 1.0, &mut z);
    z
}

/// Two unknowns at each point of a square grid that takes from its four neighbours: a Brusselator's matrix.
fn grid(side: usize) -> Sparsity {
    let n = 2 * side * side;
    let entries = (0..n).flat_map(|row| {
        let (point, own) = (row / 2, row % 2);
        let (x, y) = (point % side, point / side);
        let around = [(x + 1, y), (x + side - 1, y), (x, y + 1), (x, y + side - 1)];
        let around = around.map(|(x, y)| (row, 2 * (y % side * side + x % side) + own));
        around.into_iter().chain([(row, 2 * point), (row, 2 * point + 1)])
    });
    Sparsity::new(n, n, entries).expect("all entries lie in the square")
}

fn sparse<S: Scalar>(c: &mut Criterion, number: &str, from: fn(f64) -> S) {
    let mut group = c.benchmark_group(format!("sparse_lu/{number}"));
    for side in [32, 64] {
        let pattern = grid(side);
        let mut values: Vec<S> = normals(pattern.len()).into_iter().map(from).collect();
        let mut at = 0;
        for j in 0..pattern.n_cols() {
            for &i in pattern.column(j) {
                if i == j {
                    values[at] = from(9.0);
                }
                at += 1;
            }
        }
        let mut lu = SparseLu::<S>::new(&pattern);
        group.bench_function(BenchmarkId::new("factor", side), |b| {
            b.iter(|| lu.factor(black_box(&values)).expect("its diagonal dominates"));
        });
        let mut x = vec![from(1.0); pattern.n_cols()];
        group.bench_function(BenchmarkId::new("solve", side), |b| {
            b.iter(|| {
                x.fill(from(1.0));
                lu.solve(black_box(&mut x));
            });
        });
    }
    group.finish();
}

fn batch(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch_lu");
    for n in [3, 8, 32] {
        let mut a = vec![[0.0; 8]; n * n];
        for (a, x) in a.iter_mut().zip(normals(8 * n * n).as_chunks::<8>().0) {
            *a = *x;
        }
        for i in 0..n {
            a[i * n + i] = [9.0; 8];
        }
        let mut lu = BatchLu::<f64, 8>::new(n);
        group.bench_function(BenchmarkId::new("factor", n), |b| {
            b.iter(|| lu.factor(black_box(&a)).expect("its diagonal dominates"));
        });
        let mut x = vec![[1.0; 8]; n];
        group.bench_function(BenchmarkId::new("solve", n), |b| {
            b.iter(|| {
                x.fill([1.0; 8]);
                lu.solve(black_box(&mut x));
            });
        });
    }
    group.finish();
}

fn all(c: &mut Criterion) {
    sparse::<f64>(c, "f64", |x| x);
    sparse::<Complex<f64>>(c, "complex", |x| Complex::new(x, 0.5 * x));
    batch(c);
}

criterion_group!(benches, all);
criterion_main!(benches);
