//! After the first call of each kind, nothing allocates.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_autodiff::{Auto, Tape};
use chreode_core::{Dynamics, Jacobian, Jvp, Sparsity, VectorField, Vjp};
use chreode_testkit::{BrusselatorLine, CountingAllocator, Toggle, allocations_in};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn check<D: Dynamics + Copy>(model: D, y: &[f64], p: &[f64]) {
    let (d, n) = (model.dim(), 19);
    let ys = y.repeat(n);
    let mut out = vec![0.0; n * d];
    let mut p_bar = vec![0.0; p.len()];
    let mut auto: Auto<D> = Auto::new(model);
    let mut tape = Tape::new();
    let mut values = vec![0.0; auto.sparsity().map_or(d * d, Sparsity::len)];
    let mut calls = |auto: &mut Auto<D>| {
        auto.eval(0.5, &ys, p, &mut out).expect("a model cannot fail");
        auto.jvp(0.5, &ys, p, &ys, &mut out).expect("a model cannot fail");
        auto.jacobian(0.5, y, p, &mut values).expect("a model cannot fail");
        auto.vjp(0.5, y, p, y, &mut out[..d], &mut p_bar).expect("a model cannot fail");
        auto.vjp(0.5, &ys, p, &ys, &mut out, &mut p_bar).expect("a model cannot fail");
        tape.vjp(&model, 0.5, y, p, y, &mut out[..d], &mut p_bar);
        tape.gradient(y, &mut out[..d], |x| x[0] * x[1]);
    };
    calls(&mut auto);
    let (count, ()) = allocations_in(|| {
        for _ in 0..3 {
            calls(&mut auto);
        }
    });
    assert_eq!(count, 0);
    // A clone warms up by itself.
    let mut clone = auto.clone();
    calls(&mut clone);
    assert_eq!(allocations_in(|| calls(&mut clone)).0, 0);
}

#[test]
fn derivatives_allocate_nothing() {
    check(Toggle { off: 5.0 }, &[0.7, 1.2], &[3.0, 2.5, 2.7, 0.4, 0.8]);
    let line = BrusselatorLine { points: 50 };
    check(line, &line.start(), &[1.0, 3.0, 50.0]);
}
