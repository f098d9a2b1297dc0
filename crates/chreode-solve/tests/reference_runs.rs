//! End points of the whole corpus against references of twenty digits, and the cost of the runs.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{ALL_ERK, BOSH3, Erk, ErkTableau, HEUN, SolveOptions, Stats, TSIT5, solve};
use chreode_testkit::{Case, corpus, nonstiff};
use proptest::prelude::*;
use proptest::sample::select;

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
        ("rational", "TSIT5", 14, 0), ("rational", "TSIT5", 50, 0), ("rational", "BOSH3", 48, 0), ("rational", "HEUN", 76, 1),
        ("Lotka-Volterra", "TSIT5", 53, 2), ("Lotka-Volterra", "TSIT5", 297, 0), ("Lotka-Volterra", "BOSH3", 371, 0), ("Lotka-Volterra", "HEUN", 779, 0),
        ("Lorenz", "TSIT5", 85, 0), ("Lorenz", "TSIT5", 514, 0), ("Lorenz", "BOSH3", 571, 0), ("Lorenz", "HEUN", 1201, 0),
        ("Brusselator", "TSIT5", 76, 4), ("Brusselator", "TSIT5", 405, 0), ("Brusselator", "BOSH3", 387, 0), ("Brusselator", "HEUN", 691, 0),
        ("Duffing", "TSIT5", 53, 1), ("Duffing", "TSIT5", 313, 0), ("Duffing", "BOSH3", 318, 0), ("Duffing", "HEUN", 606, 0),
    ];
    assert_eq!(counts, expected);
}

/// The long runs that explicit solvers are measured on, by every pair of order 5 and more: accepted and rejected steps,
/// and an error that is near what it was.
#[test]
fn long_runs() {
    let mut counts = Vec::new();
    for mut case in nonstiff() {
        for method in ALL_ERK.into_iter().filter(|m| m.order >= 5) {
            for rtol in [1e-6, 1e-9] {
                let (y, s) = run(&mut case, method, &SolveOptions::tolerance(rtol, rtol));
                let e = error(&case, &y);
                println!("{:15} {:7} {rtol:e} {e:.1e} {s:?}", case.name, method.name);
                // Arenstorf's orbit and Lotka-Volterra's long one multiply errors.
                let growth = match case.name {
                    "Arenstorf" => 1e5,
                    "Lotka-Volterra" => 1e3,
                    _ => 2e3,
                };
                assert!(e < growth * rtol, "{} {} {rtol:e}: {e:e}", case.name, method.name);
                counts.push((case.name, method.name, s.accepted, s.rejected));
            }
        }
    }
    #[rustfmt::skip]
    let expected = [
        ("Lorenz", "DOPRI5", 362, 0), ("Lorenz", "DOPRI5", 1432, 0), ("Lorenz", "TSIT5", 326, 0), ("Lorenz", "TSIT5", 1287, 0), ("Lorenz", "VERN7", 188, 0),
        ("Lorenz", "VERN7", 501, 0), ("Lorenz", "DOP853", 119, 3), ("Lorenz", "DOP853", 280, 2), ("Lorenz", "VERN8", 110, 0), ("Lorenz", "VERN8", 262, 0),
        ("Lorenz", "VERN9", 127, 3), ("Lorenz", "VERN9", 246, 6), ("Lotka-Volterra", "DOPRI5", 966, 54), ("Lotka-Volterra", "DOPRI5", 3646, 0), ("Lotka-Volterra", "TSIT5", 967, 30),
        ("Lotka-Volterra", "TSIT5", 3702, 0), ("Lotka-Volterra", "VERN7", 540, 90), ("Lotka-Volterra", "VERN7", 1334, 1), ("Lotka-Volterra", "DOP853", 391, 58), ("Lotka-Volterra", "DOP853", 903, 59),
        ("Lotka-Volterra", "VERN8", 305, 34), ("Lotka-Volterra", "VERN8", 731, 52), ("Lotka-Volterra", "VERN9", 328, 61), ("Lotka-Volterra", "VERN9", 633, 30), ("Arenstorf", "DOPRI5", 165, 12),
        ("Arenstorf", "DOPRI5", 602, 4), ("Arenstorf", "TSIT5", 167, 12), ("Arenstorf", "TSIT5", 616, 3), ("Arenstorf", "VERN7", 105, 13), ("Arenstorf", "VERN7", 272, 1),
        ("Arenstorf", "DOP853", 74, 16), ("Arenstorf", "DOP853", 150, 11), ("Arenstorf", "VERN8", 70, 12), ("Arenstorf", "VERN8", 144, 12), ("Arenstorf", "VERN9", 67, 8),
        ("Arenstorf", "VERN9", 124, 9), ("Pleiades", "DOPRI5", 187, 17), ("Pleiades", "DOPRI5", 671, 3), ("Pleiades", "TSIT5", 202, 19), ("Pleiades", "TSIT5", 718, 2),
        ("Pleiades", "VERN7", 123, 25), ("Pleiades", "VERN7", 304, 0), ("Pleiades", "DOP853", 90, 20), ("Pleiades", "DOP853", 192, 9), ("Pleiades", "VERN8", 83, 18),
        ("Pleiades", "VERN8", 165, 16), ("Pleiades", "VERN9", 79, 19), ("Pleiades", "VERN9", 145, 20),
    ];
    assert_eq!(counts, expected);
}

/// Every method of order 5 and more comes as close as double precision lets it.
#[test]
fn tight_tolerances() {
    for mut case in nonstiff() {
        for method in ALL_ERK.into_iter().filter(|m| m.order >= 5) {
            let (y, s) = run(&mut case, method, &SolveOptions::tolerance(1e-13, 1e-13));
            let e = error(&case, &y);
            println!("{:15} {:7} {e:.1e} in {} steps", case.name, method.name, s.accepted);
            assert!(
                e < if case.name == "Arenstorf" { 1e-8 } else { 3e-11 },
                "{} {}: {e:e}",
                case.name,
                method.name
            );
        }
    }
}

/// Sums that the field keeps, the steps keep too: linear invariants, to rounding, by every method.
#[test]
fn linear_invariants() {
    // Total momentum of the stars.
    let mut case = nonstiff().pop().unwrap();
    let momentum = |y: &[f64]| -> [f64; 2] {
        [0, 7].map(|from| (0..7).map(|i| (i + 1) as f64 * y[14 + from + i]).sum())
    };
    let before = momentum(&case.y0);
    for method in ALL_ERK {
        let options = if method.embedded_order > 0 {
            SolveOptions::tolerance(1e-4, 1e-4)
        } else {
            SolveOptions::fixed(1e-3)
        };
        let (y, _) = run(&mut case, method, &options);
        for (b, a) in before.iter().zip(momentum(&y)) {
            assert!((a - b).abs() < 1e-11, "{}: {b} {a}", method.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// There and back again, by every pair: the start, within what the tolerance allows. Not Lorenz nor the Brusselator: what shrinks
    /// by e^-27 on the way there grows by as much on the way back.
    #[test]
    fn time_reversal(method in select(&ALL_ERK[..]), which in select(&[0_usize, 1, 4][..]), exponent in 5..9_i32) {
        prop_assume!(method.embedded_order > 0);
        let mut case = corpus().swap_remove(which);
        let rtol = 10.0_f64.powi(-exponent);
        let options = SolveOptions::tolerance(rtol, rtol);
        let start = case.y0.clone();
        let (there, _) = run(&mut case, method, &options);
        (case.y0, case.span) = (there, (case.span.1, case.span.0));
        let (back, stats) = run(&mut case, method, &options);
        prop_assert!(stats.h_next < 0.0);
        for (a, b) in start.iter().zip(&back) {
            // Errors of the forward run that shrink on the way there grow on the way back.
            prop_assert!((a - b).abs() < 1e5 * rtol, "{} {}: {a} {b}", case.name, method.name);
        }
    }

    /// A tolerance a hundred times smaller makes the error smaller, in any problem, by any pair, unless it is near the tolerance anyhow:
    /// runs of very few steps may be better than was asked.
    #[test]
    fn errors_fall_with_the_tolerance(method in select(&ALL_ERK[..]), which in 0_usize..9, exponent in 5.0..8.0_f64) {
        prop_assume!(method.order >= 3 && method.embedded_order > 0);
        let mut case = corpus().into_iter().chain(nonstiff()).nth(which).unwrap();
        // The worst of three: an error at the end may be small by chance.
        let [coarse, fine] = [exponent, exponent + 2.0].map(|exponent| {
            let errors = [0.0, 0.1, 0.2].map(|more| {
                let rtol = 10.0_f64.powf(-exponent - more);
                let (y, _) = run(&mut case, method, &SolveOptions::tolerance(rtol, rtol));
                error(&case, &y)
            });
            errors.into_iter().fold(0.0, f64::max)
        });
        let near = 10.0 * 10.0_f64.powf(-exponent - 2.0);
        prop_assert!(fine < (0.3 * coarse).max(near), "{} {}: {coarse:e} {fine:e}", case.name, method.name);
    }
}
