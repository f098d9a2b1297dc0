//! Forward and backward through an adaptive run, beside the forward run alone; every state stored, or few.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_adjoint::{
    Checkpoints, ContinuousAdjoint, ContinuousMethod, ForwardSensitivities, OdeAdjoint, OdeMethod,
};
use chreode_autodiff::Auto;
use chreode_core::{Dynamics, Number, put, take};
use chreode_solve::{
    Bdf, Erk, Esdirk, KENCARP4, RODAS5P, Radau5, Radau9, Radau13, Rhs, Rosenbrock, SolveOptions, Stepper,
    TSIT5, solve, solve_with_jacobian,
};
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

/// Backward through implicit methods, beside a forward run that records nothing; with every state and stage stored, and with each
/// step taken once more.
fn implicit(c: &mut Criterion) {
    let mut group = c.benchmark_group("ode_adjoint_implicit");
    group.sample_size(10);
    for points in [8, 100] {
        let line = BrusselatorLine { points };
        let (y0, p, d) = (line.start(), line.parameters(), 2 * points);
        let mut f: Auto<_> = Auto::new(line);
        let options = SolveOptions { save_at: &[3.0], ..SolveOptions::tolerance(1e-6, 1e-6) };
        let methods: [(&str, OdeMethod, Box<dyn Stepper<f64>>); 6] = [
            ("Bdf", OdeMethod::Bdf, Box::new(Bdf::new(1, d))),
            ("Radau5", OdeMethod::Radau5, Box::new(Radau5::new(1, d))),
            ("Radau9", OdeMethod::Radau9, Box::new(Radau9::new(1, d))),
            ("Radau13", OdeMethod::Radau13, Box::new(Radau13::new(1, d))),
            ("KenCarp4", (&KENCARP4).into(), Box::new(Esdirk::new(&KENCARP4, 1, d))),
            ("Rodas5P", (&RODAS5P).into(), Box::new(Rosenbrock::new(&RODAS5P, 1, d))),
        ];
        for (name, method, mut stepper) in methods {
            let bar = vec![1.0; d];
            let (mut y0_bar, mut p_bar) = (vec![0.0; d], [0.0; 3]);
            group.bench_function(BenchmarkId::new(format!("{name}, forward alone"), d), |b| {
                b.iter(|| {
                    let (mut y, save) = (black_box(y0.clone()), &mut |_: usize, _: f64, _: &[f64]| {});
                    solve_with_jacobian(&mut f, &p, &mut y, (0.0, 3.0), &mut *stepper, &options, save)
                });
            });
            for (what, checkpoints) in [
                ("forward, recorded", Err(Checkpoints::All)),
                ("both", Ok(Checkpoints::All)),
                ("both, again", Ok(Checkpoints::Every(1000))),
            ] {
                let (Ok(kept) | Err(kept)) = checkpoints;
                let Ok(mut adjoint) = OdeAdjoint::with_checkpoints(method, 1, d, kept) else { continue };
                group.bench_function(BenchmarkId::new(format!("{name}, {what}"), d), |b| {
                    b.iter(|| {
                        let mut y = black_box(y0.clone());
                        adjoint.forward(&mut f, &p, &mut y, (0.0, 3.0), &options, &mut |_, _, _| {})?;
                        if checkpoints.is_err() {
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

/// Three reactions with rates of nine orders of magnitude.
#[derive(Clone, Copy)]
struct Robertson;
impl Dynamics for Robertson {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        3
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let (first, back, last) = (p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] * y[1]);
        put(dy, [back - first, first - back - last, last]);
    }
}

/// The Oregonator of Belousov and Zhabotinskii's reaction.
#[derive(Clone, Copy)]
struct Oregonator;
impl Dynamics for Oregonator {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        3
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([s, q, w], [a, b, c]) = (take(p), take(y));
        put(dy, [s * (b + a * (S::c(1.0) - q * a - b)), (c - (a + S::c(1.0)) * b) / s, w * (a - c)]);
    }
}

/// Continuous adjoints by stiff methods in both directions, beside the forward run alone.
fn stiff_continuous(c: &mut Criterion) {
    // To t = 40, and before the first pulse; with the sizes of the coordinates.
    stiff_adjoints(c, "Robertson", Robertson, [1.0, 0.0, 0.0], [0.04, 1e4, 3e7], 40.0, [1.0, 1e-5, 1.0]);
    stiff_adjoints(c, "OREGO", Oregonator, [1.0, 2.0, 3.0], [77.27, 8.375e-6, 0.161], 5.0, [1.0, 1e3, 1.0]);
}

fn stiff_adjoints<D: Dynamics>(
    c: &mut Criterion,
    problem: &str,
    model: D,
    y0: [f64; 3],
    p: [f64; 3],
    t_end: f64,
    sizes: [f64; 3],
) {
    let mut group = c.benchmark_group("ode_adjoint_stiff_continuous");
    let (mut f, tolerance): (Auto<D>, f64) = (Auto::new(model), 1e-6);
    let atol = sizes.map(|size| 1e-4 * tolerance * size);
    let ahead = SolveOptions { save_at: &[t_end], ..SolveOptions::tolerance(tolerance, &atol[..]) };
    let methods: [(&str, fn(usize) -> Box<dyn Stepper<f64>>); 2] =
        [("Radau5", |d| Box::new(Radau5::new(1, d))), ("Bdf", |d| Box::new(Bdf::new(1, d)))];
    for (name, make) in methods {
        let mut stepper = make(3);
        group.bench_function(BenchmarkId::new(format!("{name}, forward alone"), problem), |b| {
            b.iter(|| {
                let (mut y, save) = (black_box(y0), &mut |_: usize, _: f64, _: &[f64]| {});
                solve_with_jacobian(&mut f, &p, &mut y, (0.0, t_end), &mut *stepper, &ahead, save)
            });
        });
        for method in [ContinuousMethod::Gauss, ContinuousMethod::Interpolating] {
            let mut adjoint = ContinuousAdjoint::new(method, 1, 3, 3);
            let mut back = make(adjoint.backward_len());
            // The adjoint state is as large as one over a coordinate's size, an integral as one over its parameter.
            let mut atol = sizes.map(|size| 1e-3 * tolerance / size).to_vec();
            if method == ContinuousMethod::Interpolating {
                atol.extend(p.map(|p| tolerance / p));
            }
            let (options, bar) =
                (SolveOptions::tolerance(tolerance, &atol[..]), sizes.map(|size| 1.0 / size));
            let (mut y0_bar, mut p_bar) = ([0.0; 3], [0.0; 3]);
            group.bench_function(BenchmarkId::new(format!("{name}, {method:?}"), problem), |b| {
                b.iter(|| {
                    let (mut y, save) = (black_box(y0), &mut |_: usize, _: f64, _: &[f64]| {});
                    let rhs = &mut Rhs::Jacobian(&mut f);
                    adjoint.forward(rhs, &p, &mut y, (0.0, t_end), &mut *stepper, &ahead, save)?;
                    adjoint.backward(&mut f, &p, &mut *back, &options, &[&bar], &mut y0_bar, &mut p_bar)
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, lotka_volterra, other_ways, implicit, stiff_continuous);
criterion_main!(benches);
