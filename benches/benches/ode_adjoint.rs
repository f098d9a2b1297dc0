//! Forward and backward through an adaptive run, beside the forward run alone; every state stored, or few.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_adjoint::{Checkpoints, OdeAdjoint};
use chreode_solve::{Erk, SolveOptions, TSIT5, solve};
use chreode_testkit::{LotkaVolterra, SmoothField};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const P: [f64; 4] = [1.5, 1.0, 0.75, 3.0];

fn lotka_volterra(c: &mut Criterion) {
    let mut group = c.benchmark_group("ode_adjoint");
    for n in [1, 64] {
        let y0 = [1.0, 0.5].repeat(n);
        let mut f = SmoothField(LotkaVolterra);
        let options = SolveOptions { save_at: &[5.0], ..SolveOptions::tolerance(1e-6, 1e-6) };
        let mut erk = Erk::new(&TSIT5, n, 2);
        group.bench_function(BenchmarkId::new("forward alone", n), |b| {
            b.iter(|| {
                let mut y = black_box(y0.clone());
                solve(&mut f, &P, &mut y, (0.0, 5.0), &mut erk, &options, &mut |_, _, _| {})
            });
        });
        for checkpoints in [Checkpoints::All, Checkpoints::Every(8), Checkpoints::States(8)] {
            let Ok(mut adjoint) = OdeAdjoint::with_checkpoints(&TSIT5, n, 2, checkpoints) else { continue };
            let (mut y0_bar, mut p_bar) = (vec![0.0; 2 * n], [0.0; 4]);
            group.bench_function(BenchmarkId::new(format!("both, {checkpoints:?}"), n), |b| {
                b.iter(|| {
                    let mut y = black_box(y0.clone());
                    adjoint.forward(&mut f, &P, &mut y, (0.0, 5.0), &options, &mut |_, _, _| {})?;
                    p_bar.fill(0.0);
                    adjoint.backward(&mut f, &P, &[&y], &mut y0_bar, &mut p_bar)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, lotka_volterra);
criterion_main!(benches);
