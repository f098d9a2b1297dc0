//! Our solvers and those of other projects on the same problems, in one run.
//!
//! `build` makes the program of `benches/peers`, which measures; `args` reads what is asked; `rows` holds what was measured;
//! `ratio` compares at equal error; `turns` takes turns with a Python program, `kinetics` too, on published kinetic problems.
//! Not here: the measurement itself and the solvers, which are no dependencies of the workspace (`benches/peers`).

mod args;
mod build;
mod kinetics;
mod ratio;
mod rows;
mod turns;

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::ci::run::passes_with_lines;
use crate::workspace::Workspace;
use args::{Kinetics, Ode, Task, Turns};
use build::{Program, build};
use rows::{Listed, Row};

/// Runs `bench-peers`; says whether all went well.
pub(crate) fn run(args: &[&str]) -> Result<bool> {
    match args::parse(args)? {
        Task::Help => {
            println!("{}", args::USAGE);
            Ok(true)
        }
        Task::Ode(ode) => self::ode(&ode),
        Task::Kinetics(asked) => self::kinetics(&asked),
        Task::Ensembles(asked) => take_turns(&turns::ENSEMBLES, &asked),
        Task::Gradient(asked) => take_turns(&turns::GRADIENT, &asked),
        Task::Accuracy(asked) => take_turns(&turns::ACCURACY, &asked),
        Task::Sinkhorn(asked) => take_turns(&turns::SINKHORN, &asked),
        Task::Train(asked) => take_turns(&turns::TRAIN, &asked),
    }
}

/// A file made before the long work begins, so that a wrong path is known at once.
fn create(path: Option<&PathBuf>) -> Result<Option<File>> {
    path.map(|p| File::create(p).with_context(|| format!("cannot write {}", p.display()))).transpose()
}

fn ode(asked: &Ode) -> Result<bool> {
    let mut csv = create(asked.output.as_ref())?;
    let program = build(&Workspace::load()?)?;
    let listed = list(&program)?;
    let chosen = asked.choose(&listed)?;
    println!(
        "One thread each; medians of {} s of CPU time for each solver and tolerance, all solvers taking turns.",
        asked.budget
    );
    let mut rows = Vec::new();
    let begun = Instant::now();
    if let Some(csv) = &mut csv {
        writeln!(csv, "{}", rows::HEAD)?;
    }
    for problem in chosen {
        println!("\n=== {}{} ===", problem.name, load());
        let mut command = program.command();
        let rtols = asked.rtols_of(problem).iter().map(|x| format!("{x:e}")).collect::<Vec<_>>().join(",");
        let ms = |s: f64| format!("{:.0}", s * 1e3);
        let solvers = if asked.solvers.is_empty() { "-".into() } else { asked.solvers.join(",") };
        command.args(["run", &problem.name, &ms(asked.budget), &ms(asked.cap_of(problem)), &rtols, &solvers]);
        let mut broken = None;
        let from = rows.len();
        let passed = passes_with_lines(&mut command, |line| match Row::parse(line) {
            Ok(Some(row)) => {
                println!("{row}");
                if let Some(csv) = &mut csv
                    && let Err(e) = writeln!(csv, "{line}")
                {
                    broken = Some(e.into());
                }
                rows.push(row);
            }
            Ok(None) => println!("{}", rows::title()),
            Err(e) => broken = Some(e),
        })?;
        if let Some(e) = broken {
            return Err(e);
        }
        if !passed {
            // A peer may bring down its process; what was measured before it stays.
            println!("{}: the program ended early; rows are missing", problem.name);
        }
        println!();
        ratio::print(&ratio::compare(&rows[from..]));
    }
    println!(
        "\n=== ours against the best peer at the same error ({:.0} s in all) ===",
        begun.elapsed().as_secs_f64()
    );
    let all = ratio::compare(&rows);
    ratio::print(&all);
    ratio::print_summary(&all);
    println!("left out: {}", program.left_out_or_none());
    Ok(true)
}

fn list(program: &Program) -> Result<Vec<Listed>> {
    let out = program.command().arg("list").output().context("the program of the peers did not start")?;
    ensure!(out.status.success(), "the program of the peers: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).lines().map(Listed::parse).collect()
}

/// What else the machine does, where it says so.
fn load() -> String {
    let read = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut averages = read.split_whitespace();
    averages.next().map(|one| format!(", load {one}")).unwrap_or_default()
}

fn kinetics(asked: &Kinetics) -> Result<bool> {
    let csv = create(asked.output.as_ref())?;
    let workspace = Workspace::load()?;
    let script = workspace.root.join("benches/peers/kinetics.py");
    let folder = workspace.target.join("peers").join("kinetics");
    let program = build(&workspace)?;
    println!("One thread each; medians of CPU time, all solvers taking turns.");
    kinetics::run(&program, &script, &folder, asked, csv)
}

fn take_turns(task: &turns::Task, asked: &Turns) -> Result<bool> {
    let csv = create(asked.output.as_ref())?;
    let workspace = Workspace::load()?;
    let script = workspace.root.join(format!("benches/peers/{}.py", task.name));
    if !script.is_file() {
        bail!("{} is missing", script.display());
    }
    let program = build(&workspace)?;
    println!("Threads: {} each; CPU time, taking turns{}.", asked.threads, load());
    turns::run(task, &program, &script, asked, csv)
}
