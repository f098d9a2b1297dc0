//! Forward and backward through an adaptive run, beside the forward run alone; every state stored, or few.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_adjoint::{
    Checkpoints, ContinuousAdjoint, ContinuousMethod, ForwardSensitivities, OdeAdjoint, OdeMethod,
};
use chreode_autodiff::Auto;
use chreode_solve::{Erk, KENCARP4, RODAS5P, Rhs, SolveOptions, TSIT5, solve};
use chreode_testkit::{BrusselatorLine, LotkaVolterra, SmoothField};
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

/// The other ways to the same gradient, with a small memory and without any.
fn other_ways(c: &mut Criterion) {
    let mut group = c.benchmark_group("ode_adjoint");
    let (y0, mut f) = ([1.0, 0.5], SmoothField(LotkaVolterra));
    let options = SolveOptions { save_at: &[5.0], ..SolveOptions::tolerance(1e-6, 1e-6) };
    for method in [ContinuousMethod::Interpolating, ContinuousMethod::Gauss, ContinuousMethod::Backsolve] {
        let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
        let (mut ahead, mut back) = (Erk::new(&TSIT5, 1, 2), Erk::new(&TSIT5, 1, adjoint.backward_len()));
        let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
        group.bench_function(BenchmarkId::new(format!("continuous, {method:?}"), 1), |b| {
            b.iter(|| {
                let (mut y, rhs) = (black_box(y0), &mut Rhs::Field(&mut f));
                adjoint.forward(rhs, &P, &mut y, (0.0, 5.0), &mut ahead, &options, &mut |_, _, _| {})?;
                adjoint.backward(&mut f, &P, &mut back, &options, &[&y], &mut y0_bar, &mut p_bar)
            });
        });
    }
    if let Ok(mut f) = ForwardSensitivities::new(SmoothField(LotkaVolterra), &[0, 1], &[0, 1, 2, 3]) {
        let (mut z, mut erk) = ([0.0; 14], Erk::new(&TSIT5, 1, 14));
        group.bench_function(BenchmarkId::new("forward sensitivities, 6", 1), |b| {
            b.iter(|| {
                f.start(&black_box(y0), &mut z)?;
                let stats = solve(&mut f, &P, &mut z, (0.0, 5.0), &mut erk, &options, &mut |_, _, _| {})?;
                Ok::<_, chreode_adjoint::AdjointError>(stats)
            });
        });
    }
    group.finish();
}

/// Backward through implicit methods, beside the forward run alone; with every state and stage stored, and with each
/// step taken once more.
fn implicit(c: &mut Criterion) {
    let mut group = c.benchmark_group("ode_adjoint_implicit");
    group.sample_size(10);
    for points in [8, 100] {
        let line = BrusselatorLine { points };
        let (y0, p, d) = (line.start(), line.parameters(), 2 * points);
        let mut f: Auto<_> = Auto::new(line);
        let options = SolveOptions { save_at: &[3.0], ..SolveOptions::tolerance(1e-6, 1e-6) };
        let methods: [(&str, OdeMethod); 6] = [
            ("Bdf", OdeMethod::Bdf),
            ("Radau5", OdeMethod::Radau5),
            ("Radau9", OdeMethod::Radau9),
            ("Radau13", OdeMethod::Radau13),
            ("KenCarp4", (&KENCARP4).into()),
            ("Rodas5P", (&RODAS5P).into()),
        ];
        for (name, method) in methods {
            let bar = vec![1.0; d];
            let (mut y0_bar, mut p_bar) = (vec![0.0; d], [0.0; 3]);
            for (what, checkpoints) in [
                ("forward", None),
                ("both", Some(Checkpoints::All)),
                ("both, again", Some(Checkpoints::Every(1000))),
            ] {
                let Ok(mut adjoint) =
                    OdeAdjoint::with_checkpoints(method, 1, d, checkpoints.unwrap_or_default())
                else {
                    continue;
                };
                group.bench_function(BenchmarkId::new(format!("{name}, {what}"), d), |b| {
                    b.iter(|| {
                        let mut y = black_box(y0.clone());
                        adjoint.forward(&mut f, &p, &mut y, (0.0, 3.0), &options, &mut |_, _, _| {})?;
                        if checkpoints.is_none() {
                            return Ok(());
                        }
                        p_bar.fill(0.0);
                        adjoint.backward(&mut f, &p, &[&bar], &mut y0_bar, &mut p_bar)
                    });
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, lotka_volterra, other_ways, implicit);
criterion_main!(benches);
