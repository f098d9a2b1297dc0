//! 10,000 Lorenz systems to t = 1 and 10, rtol 1e-6, on one thread: in lanes, and one after the other.

#![allow(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

use std::hint::black_box;

use chreode_core::{Dynamics, field};
use chreode_solve::{Erk, PerTrajectory, SolveOptions, TSIT5, solve, solve_lanes};
use chreode_testkit::{Lorenz, Toggle};
use criterion::{Criterion, criterion_group, criterion_main};

const N: usize = 10_000;

fn lorenz(c: &mut Criterion) {
    let mut group = c.benchmark_group("ensemble_lorenz");
    group.sample_size(20);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let p: Vec<f64> = (0..N).flat_map(|i| [10.0, 21.0 * i as f64 / N as f64, 8.0 / 3.0]).collect();
    let start = [1.0, 0.0, 0.0].repeat(N);
    let options = SolveOptions::tolerance(1e-6, 1e-8);
    for t1 in [1.0, 10.0] {
        group.bench_function(format!("lanes, t = {t1}"), |b| {
            b.iter(|| {
                let mut y = start.clone();
                let (span, options) = (PerTrajectory::Same((0.0, t1)), PerTrajectory::Same(options));
                pool.install(|| solve_lanes(&Lorenz, &p, &mut y, span, options)).map(|_| y)
            });
        });
    }
    group.bench_function("one after the other, t = 1", |b| {
        let mut f = field(3, |t, y: &[f64], p: &[f64], dy: &mut [f64]| Lorenz.eval(t, y, p, dy));
        let mut erk = Erk::new(&TSIT5, 1, 3);
        b.iter(|| {
            let mut y = start.clone();
            for (y, p) in y.chunks_exact_mut(3).zip(p.chunks_exact(3)) {
                let run = solve(&mut f, p, y, (0.0, 1.0), &mut erk, &options, &mut |_, _, _| {});
                black_box(run.is_ok());
            }
            y
        });
    });
    group.finish();
}

/// Powers, exponentials and branches.
fn toggle(c: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let start: Vec<f64> = (0..N).flat_map(|i| [i as f64 / N as f64, 1.0]).collect();
    let mut group = c.benchmark_group("ensemble_toggle");
    group.sample_size(10);
    group.bench_function("lanes, t = 50", |b| {
        b.iter(|| {
            let mut y = start.clone();
            let options = PerTrajectory::Same(SolveOptions::tolerance(1e-6, 1e-8));
            let (model, span) = (Toggle { off: 5.0 }, PerTrajectory::Same((0.0, 50.0)));
            pool.install(|| solve_lanes(&model, &[3.0, 2.5, 2.7, 0.4, 0.8], &mut y, span, options)).map(|_| y)
        });
    });
    group.finish();
}

criterion_group!(benches, lorenz, toggle);
criterion_main!(benches);
