//! Every method attains its order, at the steps and between them, forward and backward in time.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{ALL_ERK, Erk, ErkTableau, Observer, Rhs, SolveOptions, StepRecord, solve_observed};
use chreode_testkit::{Rational, SmoothField, observed_order};
use proptest::prelude::*;
use proptest::sample::select;

/// Largest errors of `y' = -2ty²` over `span`, at the steps' ends of `n` fixed steps and (by dense output) inside them.
///
/// The largest, since the leading error term may vanish at some time.
fn errors(method: &'static ErkTableau, k: f64, span: (f64, f64), n: u32) -> (f64, f64) {
    let exact = |t: f64| 1.0 / (k + t * t);
    let h = (span.1 - span.0) / f64::from(n);
    // The same place in every step, whatever their number.
    let inside: Vec<f64> = (0..n).map(|i| span.0 + h * (f64::from(i) + 0.37)).collect();
    let options = SolveOptions { save_at: &inside, ..SolveOptions::fixed(h.abs()) };
    let mut errors = Errors { exact: &exact, ends: 0.0, inside: 0.0 };
    let (mut y, mut erk) = ([exact(span.0)], Erk::new(method, 1, 1));
    let stats = solve_observed(
        &mut Rhs::Field(&mut SmoothField(Rational)),
        &[1.0],
        &mut y,
        span,
        &mut erk,
        &options,
        &mut errors,
    )
    .unwrap();
    assert_eq!(stats.accepted, u64::from(n));
    (errors.ends, errors.inside)
}

/// Numbers of steps, and what `k` is divided by: methods of high order reach the rounding floor with few steps, and
/// need poles (at `±i√k`) that are closer.
fn runs(method: &ErkTableau) -> (&'static [u32], f64) {
    if method.order < 7 { (&[20, 40, 80, 160], 1.0) } else { (&[24, 28, 34, 40, 48, 56, 68, 80], 16.0) }
}

struct Errors<'a> {
    exact: &'a dyn Fn(f64) -> f64,
    ends: f64,
    inside: f64,
}

impl Observer<f64> for Errors<'_> {
    fn step(&mut self, r: StepRecord<'_, f64>) {
        self.ends = self.ends.max((r.y_end[0] - (self.exact)(r.t_end)).abs());
    }
    fn save(&mut self, _i: usize, t: f64, y: &[f64]) {
        self.inside = self.inside.max((y[0] - (self.exact)(t)).abs());
    }
}

fn order(method: &ErkTableau, k: f64, errors: impl Iterator<Item = (u32, f64)>) -> Option<f64> {
    // What rounding may make of sums with these weights, where the solution is largest.
    let weights: f64 = method.b.iter().map(|b| b.abs()).sum();
    let floor = (4.0 * f64::EPSILON * weights / k).max(7e-15);
    let points: Vec<_> =
        errors.filter(|&(_, e)| e > floor).map(|(n, e)| (-f64::from(n).log2(), e.log2())).collect();
    (points.len() >= 3).then(|| observed_order(&points))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn erk_attains_design_order(method in select(&ALL_ERK[..]), k in 1.0..4.0_f64, backward: bool) {
        let span = if backward { (0.4, -1.6) } else { (0.0, 2.0) };
        let (steps, scale) = runs(method);
        let k = k / scale;
        let runs: Vec<_> = steps.iter().map(|&n| (n, errors(method, k, span, n))).collect();
        let end = order(method, k, runs.iter().map(|&(n, e)| (n, e.0)));
        let inside = order(method, k, runs.iter().map(|&(n, e)| (n, e.1)));
        prop_assert!(end.is_some() && inside.is_some(), "{}: too few points", method.name);
        let (end, inside) = (end.unwrap(), inside.unwrap());
        let p = f64::from(method.order);
        let least = p - if method.order < 7 { 0.25 } else { 0.8 }; // few steps: the next term is not far below
        prop_assert!(end > least, "{}: {end} at the steps' ends", method.name);
        prop_assert!(inside > least, "{}: {inside} inside", method.name);
    }
}

/// Not more than the design order either, on a problem without symmetries.
#[test]
fn observed_orders() {
    for method in ALL_ERK {
        let (steps, scale) = runs(method);
        let k = 1.7 / scale;
        let runs: Vec<_> = steps.iter().map(|&n| (n, errors(method, k, (0.2, 1.9), n))).collect();
        let end = order(method, k, runs.iter().map(|&(n, e)| (n, e.0))).unwrap();
        let inside = order(method, k, runs.iter().map(|&(n, e)| (n, e.1))).unwrap();
        println!("{:9} order {}: {end:.2} at the steps' ends, {inside:.2} inside", method.name, method.order);
        let tolerance = if method.order < 7 { 0.35 } else { 0.6 };
        assert!((end - f64::from(method.order)).abs() < tolerance, "{}: {end}", method.name);
    }
}
