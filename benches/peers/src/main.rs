//! chreode's solvers and those of other projects on the same problems, in one run. `cargo xtask bench-peers` builds and
//! calls it, and makes tables of what it prints.
//!
//! `peers list`: a line `problem,coordinates,stiff,SOLVER;SOLVER;..` for each problem.
//! `peers run PROBLEM BUDGET_MS CAP_MS RTOLS SOLVERS`: a row for each solver and tolerance; `SOLVERS` are parts of names, or `-`
//! for all.
//! `peers kinetics DATA FOLDER`: answers as `kinetics.rs` says.
//! `peers ensembles`, `peers gradient`, `peers sinkhorn`, `peers train`: answer each line `CASE SOLVER` of their input with one run.

mod clock;
mod corpus;
mod ensembles;
mod gradient;
mod kinetics;
mod measure;
mod ours;
mod peers;
mod problem;
mod sinkhorn;
mod solvers;
mod train;
mod turns;

use std::process::ExitCode;
use std::time::Duration;

use corpus::corpus;
use measure::{HEAD, Limits, measure};
use solvers::Solver;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done =
        match args.as_slice() {
            ["list"] => list(),
            ["run", problem, budget, cap, rtols, solvers] => run(problem, budget, cap, rtols, solvers),
            ["kinetics", data, folder] => kinetics::serve(data, folder),
            ["ensembles"] => ensembles::serve(),
            ["gradient"] => gradient::serve(),
            ["sinkhorn"] => sinkhorn::serve(),
            ["train"] => train::serve(),
            _ => Err("usage: peers list | run PROBLEM BUDGET_MS CAP_MS RTOLS SOLVERS | kinetics DATA FOLDER | ensembles | gradient | sinkhorn | train"
                .into()),
        };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<(), String> {
    for entry in corpus() {
        let head = format!("{},{},{}", entry.name, entry.dim, entry.stiff);
        let (problem, _) = entry.problem()?;
        let all = ours::solvers(&problem).into_iter().chain(peers::solvers(&problem));
        println!("{head},{}", all.map(|s| s.name).collect::<Vec<_>>().join(";"));
    }
    Ok(())
}

fn run(name: &str, budget: &str, cap: &str, rtols: &str, only: &str) -> Result<(), String> {
    let ms = |text: &str| {
        let ms = text.parse().map_err(|_| format!("{text} is no number of milliseconds"))?;
        Ok::<_, String>(Duration::from_millis(ms))
    };
    let limits = Limits { budget: ms(budget)?, cap: ms(cap)? };
    let rtols = rtols
        .split(',')
        .map(|x| x.parse().map_err(|_| format!("{x} is no tolerance")))
        .collect::<Result<Vec<f64>, _>>()?;
    let entry = corpus().into_iter().find(|e| e.name == name).ok_or(format!("no problem {name}"))?;
    let (problem, answer) = entry.problem()?;
    let wanted = |s: &Solver| {
        let full = s.name.to_lowercase();
        only == "-" || only.split(',').any(|part| full.contains(&part.to_lowercase()))
    };
    let ours = ours::solvers(&problem).into_iter().filter(wanted);
    let theirs = peers::solvers(&problem).into_iter().filter(wanted);
    bound_memory();
    // A panic is how many solvers are stopped: its message is in the row.
    std::panic::set_hook(Box::new(|_| {}));
    println!("{HEAD}");
    measure(name, &problem, &answer, &in_turns(ours.collect(), theirs.collect()), &rtols, &limits);
    Ok(())
}

/// Lets the process have three quarters of the memory that is free, where the system says how much that is: the factors of a sparse
/// matrix may fill up, and a solver that gets no more memory fails alone.
fn bound_memory() {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = text
        .lines()
        .find_map(|l| l.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    if let Some(kib) = free {
        let most = rustix::process::Rlimit { current: Some(kib * 768), maximum: None };
        // Where it cannot be bound it runs as other programs do.
        let _ = rustix::process::setrlimit(rustix::process::Resource::As, most);
    }
}

/// Ours and theirs, mixed evenly.
fn in_turns(ours: Vec<Solver>, theirs: Vec<Solver>) -> Vec<Solver> {
    let (n, m) = (ours.len(), theirs.len());
    let mut all = Vec::new();
    let mut theirs = theirs.into_iter();
    for (k, solver) in ours.into_iter().enumerate() {
        all.push(solver);
        all.extend(theirs.by_ref().take((k + 1) * m / n - k * m / n));
    }
    all.extend(theirs);
    all
}
