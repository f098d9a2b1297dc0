//! Error and time of whole runs: every pair of a long non-stiff problem and an explicit method, over tolerances.
//!
//! Prints a table instead of criterion's statistics, since a time says nothing without the error beside it. The error
//! is the largest of `|y - reference| / (|reference| + 1)` at the end.

use std::hint::black_box;
use std::time::Instant;

use chreode_solve::{ALL_ERK, Erk, SolveError, SolveOptions, Stats, solve};
use chreode_testkit::{Case, nonstiff};

fn error(case: &Case, y: &[f64]) -> f64 {
    case.end.iter().zip(y).map(|(r, y)| (y - r).abs() / (r.abs() + 1.0)).fold(0.0, f64::max)
}

fn run(case: &mut Case, erk: &mut Erk<f64>, tol: f64) -> Result<(Vec<f64>, Stats), SolveError> {
    let mut y = black_box(case.y0.clone());
    let options = SolveOptions::tolerance(tol, tol);
    let stats = solve(&mut *case.field, &case.p, &mut y, case.span, erk, &options, &mut |_, _, _| {})?;
    Ok((y, stats))
}

fn main() -> Result<(), SolveError> {
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    println!(
        "{:15} {:7} {:>6} {:>9} {:>9} {:>6} {:>4} {:>7}",
        "problem", "method", "tol", "error", "us", "steps", "rej", "evals"
    );
    for mut case in nonstiff() {
        for m in ALL_ERK.into_iter().filter(|m| m.order >= 5) {
            if !only.is_empty() && !only.iter().any(|o| o == m.name || o == case.name) {
                continue;
            }
            for exponent in 6..=12 {
                let tol = 10.0_f64.powi(-exponent);
                let mut erk = Erk::new(m, 1, case.y0.len());
                let (y, stats) = run(&mut case, &mut erk, tol)?;
                let mut times = Vec::new();
                let begin = Instant::now();
                while times.len() < 5 || begin.elapsed().as_millis() < 60 {
                    let start = Instant::now();
                    black_box(run(&mut case, &mut erk, tol)?);
                    times.push(start.elapsed().as_secs_f64() * 1e6);
                }
                // The machine may be shared: the least disturbed tenth.
                times.sort_by(f64::total_cmp);
                let time = times[times.len() / 10];
                println!(
                    "{:15} {:7} {tol:>6.0e} {:>9.1e} {time:>9.1} {:>6} {:>4} {:>7}",
                    case.name,
                    m.name,
                    error(&case, &y),
                    stats.accepted,
                    stats.rejected,
                    stats.work.evals
                );
            }
        }
    }
    Ok(())
}
