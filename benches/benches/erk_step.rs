//! Explicit Runge-Kutta: one step of each method, and what the `dyn` field and stepper cost on the smallest
//! problem, where they cost most.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use chreode_core::{Tolerance, VectorField, field};
use chreode_solve::{ALL_ERK, Controller, Erk, Rhs, SolveOptions, StepSize, Stepper, TSIT5, solve};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A chain of `d` coordinates, each pulled by its neighbour.
fn chain(d: usize) -> impl VectorField<f64> {
    field(d, |t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        let mut before = t;
        for (dy, &y) in dy.iter_mut().zip(y) {
            *dy = before - y * y;
            before = y;
        }
    })
}

fn step(c: &mut Criterion) {
    let mut group = c.benchmark_group("erk_step");
    for d in [3, 100, 6400] {
        let (mut f, y) = (chain(d), vec![0.5; d]);
        group.throughput(Throughput::Elements(d as u64));
        for method in ALL_ERK {
            let mut erk = Erk::new(method, 1, d);
            let tol = Tolerance::default();
            group.bench_with_input(BenchmarkId::new(method.name, d), &d, |b, _| {
                b.iter(|| {
                    erk.start(&mut Rhs::Field(&mut f), 0.0, black_box(&y), &[])?;
                    erk.step(&mut Rhs::Field(&mut f), 0.0, black_box(0.01), &y, &[], tol)
                });
            });
        }
    }
    group.finish();
}

const LORENZ: [f64; 3] = [10.0, 28.0, 8.0 / 3.0];
const START: [f64; 3] = [1.0, 0.0, 0.0];
/// Relative and absolute tolerance.
const TOL: f64 = 1e-9;

fn lorenz(_t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) {
    dy[0] = p[0] * (y[1] - y[0]);
    dy[1] = y[0] * (p[1] - y[2]) - y[1];
    dy[2] = y[0] * y[1] - p[2] * y[2];
}

/// A loop for this method, this dimension and this error control alone, as one would write it for one problem.
fn monomorphic(f: impl Fn(f64, &[f64], &[f64], &mut [f64]), mut y: [f64; 3], t1: f64, h0: f64) -> [f64; 3] {
    let (m, c) = (&TSIT5, Controller::default());
    let aim = c.safety.powi(5);
    let (mut k, mut t, mut h, mut err_prev, mut grow) = ([[0.0; 3]; 7], 0.0, h0, 1.0_f64, true);
    f(t, &y, &LORENZ, &mut k[0]);
    while t < t1 {
        let left = t1 - t;
        let t_end = if left <= h { t1 } else { t + if left < 2.0 * h { 0.5 * left } else { h } };
        let step = t_end - t;
        let mut y1 = [0.0; 3];
        // Unrolled by hand: the number of terms must be a constant, or the comparison would be too kind.
        macro_rules! stages {
            ($($i:literal)*) => {$(
                for j in 0..3 {
                    let mut s = 0.0;
                    for l in 0..$i {
                        s += m.a[$i][l] * k[l][j];
                    }
                    y1[j] = y[j] + step * s;
                }
                f(t + m.c[$i] * step, &y1, &LORENZ, &mut k[$i]);
            )*};
        }
        stages!(1 2 3 4 5 6);
        let mut sum = 0.0;
        for j in 0..3 {
            let e: f64 = (0..7).map(|l| m.b_err[l] * k[l][j]).sum();
            let r = step * e / (TOL + TOL * f64::abs(y[j]).max(y1[j].abs()));
            sum += r * r;
        }
        let err = (sum / 3.0).sqrt();
        if err <= 1.0 {
            let e = err / aim;
            let factor = e.powf(-c.gains[0] / 5.0) * err_prev.powf(-c.gains[1] / 5.0);
            h = step * factor.clamp(c.min_factor, if grow { c.max_factor } else { 1.0 });
            (y, t, k[0], err_prev, grow) = (y1, t_end, k[6], e.max(1e-3), true);
        } else {
            h = step * (c.safety * err.powf(-0.2)).max(c.min_factor);
            grow = false;
        }
    }
    y
}

/// 1,287 steps. The aim: `dyn` costs at most 5 % over a monomorphic loop that calls the field. The one here is
/// also specialised to the method and the dimension, so the ratio is an upper bound.
fn whole_run(c: &mut Criterion) {
    let mut group = c.benchmark_group("erk_lorenz");
    let mut erk = Erk::new(&TSIT5, 1, 3);
    let step = StepSize::Adaptive { h0: Some(1e-3), h_max: f64::INFINITY };
    let options = SolveOptions { step, ..SolveOptions::tolerance(TOL, TOL) };
    group.bench_function("dyn", |b| {
        let mut f = field(3, lorenz);
        b.iter(|| {
            let mut y = black_box(START);
            solve(&mut f, &LORENZ, &mut y, (0.0, 10.0), &mut erk, &options, &mut |_, _, _| {}).map(|_| y)
        });
    });
    let called: fn(f64, &[f64], &[f64], &mut [f64]) = black_box(lorenz);
    group.bench_function("monomorphic, field called", |b| {
        b.iter(|| monomorphic(called, black_box(START), 10.0, 1e-3));
    });
    group.bench_function("monomorphic, field inlined", |b| {
        b.iter(|| monomorphic(lorenz, black_box(START), 10.0, 1e-3));
    });
    group.finish();
}

criterion_group!(benches, step, whole_run);
criterion_main!(benches);
