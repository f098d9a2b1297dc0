//! Work and precision of all stiff methods of this crate: one row a problem, method and tolerance, as
//! `problem,solver,rtol,error,time_ns_median,steps,rejected,evaluations,jacobians,factorisations,newton_failures,switches`.
//!
//! For choosing constants of a method: `cargo xtask bench-peers ode` sets two of these methods beside those of other projects, and
//! tells no factorisations or failures of Newton's iteration.
//!
//! `cargo run --release -p chreode-solve --example work_precision -- [PROBLEM [METHOD [RTOL..]]]`, METHOD one of radau, radau5,
//! radau9, radau13, bdf, rodas5p, kencarp4, switching; the error is `StiffCase::error`, the time includes making the stepper.

use std::time::{Duration, Instant};

use chreode_solve::{
    AutoSwitch, Bdf, Erk, Esdirk, KENCARP4, RODAS5P, Radau, Radau5, Radau9, Radau13, Rosenbrock, SolveError,
    SolveOptions, Stats, Stepper, TSIT5, solve_with_jacobian,
};
use chreode_testkit::{StiffCase, stiff_corpus};

const METHODS: [&str; 8] =
    ["radau", "radau5", "radau9", "radau13", "bdf", "rodas5p", "kencarp4", "switching"];
const BUDGET: Duration = Duration::from_millis(300);

fn stepper(name: &str, d: usize) -> Box<dyn Stepper<f64>> {
    match name {
        "radau" => Box::new(Radau::new(1, d)),
        "radau5" => Box::new(Radau5::new(1, d)),
        "radau9" => Box::new(Radau9::new(1, d)),
        "radau13" => Box::new(Radau13::new(1, d)),
        "bdf" => Box::new(Bdf::new(1, d)),
        "rodas5p" => Box::new(Rosenbrock::new(&RODAS5P, 1, d)),
        "switching" => Box::new(AutoSwitch::new(Erk::new(&TSIT5, 1, d), Radau5::new(1, d))),
        _ => Box::new(Esdirk::new(&KENCARP4, 1, d)),
    }
}

fn run(case: &mut StiffCase, solver: &str, rtol: f64) -> Result<(Vec<f64>, Stats), SolveError> {
    let mut y = case.y0.clone();
    let mut stepper = stepper(solver, y.len());
    let options = SolveOptions::tolerance(rtol, rtol * case.floor);
    let stats = solve_with_jacobian(
        &mut *case.field,
        &[],
        &mut y,
        case.span,
        &mut *stepper,
        &options,
        &mut |_, _, _| {},
    )?;
    Ok((y, stats))
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (only, method) = (args.next().unwrap_or_default(), args.next().unwrap_or_default());
    let mut tolerances: Vec<f64> = args.filter_map(|x| x.parse().ok()).collect();
    if tolerances.is_empty() {
        tolerances = vec![1e-4, 1e-6, 1e-8];
    }
    println!(
        "problem,solver,rtol,error,time_ns_median,steps,rejected,evaluations,jacobians,factorisations,newton_failures,switches"
    );
    for mut case in stiff_corpus() {
        if !case.name.contains(&only) || case.y0.len() > 100 {
            continue;
        }
        for solver in METHODS.into_iter().filter(|s| method.is_empty() || *s == method) {
            for &rtol in &tolerances {
                let (y, stats) = match run(&mut case, solver, rtol) {
                    Ok(done) => done,
                    Err(e) => {
                        println!("{},{solver},{rtol:e},failed: {e}", case.name);
                        continue;
                    }
                };
                let mut times = Vec::new();
                let begin = Instant::now();
                while times.len() < 3 || begin.elapsed() < BUDGET {
                    let t = Instant::now();
                    let done = run(&mut case, solver, rtol);
                    times.push(t.elapsed().as_nanos());
                    drop(done);
                }
                times.sort_unstable();
                let w = stats.work;
                println!(
                    "{},{solver},{rtol:e},{:.2e},{},{},{},{},{},{},{},{}",
                    case.name,
                    case.error(&y),
                    times[times.len() / 2],
                    stats.accepted,
                    stats.rejected,
                    w.evals,
                    w.jacobians,
                    w.factorisations,
                    w.newton_failures,
                    w.switches
                );
            }
        }
    }
}
