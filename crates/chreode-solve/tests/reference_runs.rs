//! End points of the whole corpus against references of twenty digits, and the cost of the runs.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{BOSH3, Erk, ErkTableau, HEUN, SolveOptions, Stats, TSIT5, solve};
use chreode_testkit::{Case, corpus};

fn run(case: &mut Case, method: &'static ErkTableau, options: &SolveOptions<'_>) -> (Vec<f64>, Stats) {
    let mut y = case.y0.clone();
    let mut erk = Erk::new(method, 1, y.len());
    let stats =
        solve(&mut *case.field, &case.p, &mut y, case.span, &mut erk, options, &mut |_, _, _| {}).unwrap();
    (y, stats)
}

fn error(case: &Case, y: &[f64]) -> f64 {
    let scale = case.end.iter().fold(0.0_f64, |s, v| s.max(v.abs()));
    case.end.iter().zip(y).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max)
}

#[test]
fn eleven_digits() {
    for mut case in corpus() {
        let (y, stats) = run(&mut case, &TSIT5, &SolveOptions::tolerance(1e-13, 1e-14));
        let e = error(&case, &y);
        println!("{:15} {e:.1e} in {} steps", case.name, stats.accepted);
        assert!(e < 1e-11, "{}: {e:e}", case.name);
    }
}

/// The error follows the tolerance, over six decades.
#[test]
fn tolerance_proportionality() {
    for mut case in corpus() {
        for rtol in [1e-4, 1e-6, 1e-8, 1e-10] {
            for method in [&TSIT5, &BOSH3] {
                let (y, _) = run(&mut case, method, &SolveOptions::tolerance(rtol, rtol * 1e-2));
                let e = error(&case, &y);
                assert!(e < 200.0 * rtol, "{} {} rtol {rtol:e}: {e:e}", case.name, method.name);
            }
        }
    }
}

/// Accepted and rejected steps. A change of any number is a change of behaviour: look at it, then record it.
#[test]
fn step_counts() {
    let mut counts = Vec::new();
    for mut case in corpus() {
        for (method, rtol) in [(&TSIT5, 1e-6), (&TSIT5, 1e-10), (&BOSH3, 1e-6), (&HEUN, 1e-4)] {
            let (_, s) = run(&mut case, method, &SolveOptions::tolerance(rtol, rtol));
            let stages = method.stages() as u64 - u64::from(method.fsal);
            assert_eq!(s.work.evals, 2 + stages * (s.accepted + s.rejected));
            counts.push((case.name, method.name, s.accepted, s.rejected));
        }
    }
    #[rustfmt::skip]
    let expected = [
        ("rational", "TSIT5", 14, 0), ("rational", "TSIT5", 53, 0), ("rational", "BOSH3", 52, 0), ("rational", "HEUN", 79, 0),
        ("Lotka-Volterra", "TSIT5", 54, 2), ("Lotka-Volterra", "TSIT5", 316, 0), ("Lotka-Volterra", "BOSH3", 395, 0), ("Lotka-Volterra", "HEUN", 829, 0),
        ("Lorenz", "TSIT5", 89, 0), ("Lorenz", "TSIT5", 546, 0), ("Lorenz", "BOSH3", 608, 0), ("Lorenz", "HEUN", 1279, 0),
        ("Brusselator", "TSIT5", 77, 7), ("Brusselator", "TSIT5", 431, 0), ("Brusselator", "BOSH3", 412, 0), ("Brusselator", "HEUN", 736, 0),
        ("Duffing", "TSIT5", 55, 0), ("Duffing", "TSIT5", 333, 0), ("Duffing", "BOSH3", 338, 0), ("Duffing", "HEUN", 645, 0),
    ];
    assert_eq!(counts, expected);
}
