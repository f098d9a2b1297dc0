//! Every check and test, one after the other; all run, all are reported.
//!
//! All steps build with one profile, one feature set and the same flags, so that they share their artefacts:
//! clippy, `alone` and `doc` the checked ones, tests, examples and benches the built ones.

mod compile_time;
mod cuda;
mod demo;
mod doc;
mod native;
mod python;
pub(crate) mod run;
mod tests;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::tidy;
use crate::workspace::{Workspace, cargo};
use run::{has_subcommand, installed_toolchain, passes, system};

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// All is well; what was counted, or nothing.
    Passed(String),
    /// Something is wrong.
    Failed(String),
    /// The step did not run, for this reason.
    Skipped(String),
}

impl Outcome {
    fn of(passed: bool, failure: &str) -> Self {
        if passed { Self::Passed(String::new()) } else { Self::Failed(failure.into()) }
    }
}

/// What the steps know of each other.
struct Context {
    workspace: Workspace,
    /// Whether the tests compiled; what needs their artefacts does not run otherwise.
    tests_built: Option<bool>,
    /// An interpreter with `anndata`, if a step found one.
    python: Option<PathBuf>,
    /// What was left out inside a step, with the reason: `(what, why)`.
    left_out: Vec<(String, String)>,
}

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&mut Context) -> Result<Outcome>,
}

/// The steps in their order: the quick ones first.
const STEPS: &[Step] = &[
    Step { name: "fmt", what: "the code is formatted", run: fmt },
    Step { name: "tidy", what: "crate edges, file lengths, SAFETY notes, citations, words", run: tidy_step },
    Step { name: "native", what: "nothing needs cmake, HDF5, Python or CUDA to build", run: native::check },
    Step { name: "kernels", what: "PTX and launchers are those of the CUDA sources", run: cuda::kernels },
    Step { name: "deny", what: "licences, bans and sources of the dependencies", run: deny },
    Step { name: "clippy", what: "lints of all targets, warnings are errors", run: clippy },
    Step { name: "alone", what: "every library builds by itself", run: alone },
    Step { name: "doc", what: "the documentation builds without a warning", run: doc::check },
    Step { name: "python", what: "a Python with anndata for the round trip of .h5ad", run: python::check },
    Step { name: "test", what: "unit, integration and property tests", run: tests::test },
    Step { name: "cuda", what: "CUDA kernels against the processor, on a stand-in driver", run: cuda::test },
    Step { name: "doctest", what: "the examples in the documentation", run: tests::doctest },
    Step { name: "examples", what: "every example program runs", run: tests::examples },
    Step { name: "compile", what: "a new problem compiles in a second", run: compile_time::check },
    Step { name: "demo", what: "the README's first command keeps its promises", run: demo::check },
    Step { name: "benches", what: "every benchmark runs once", run: tests::benches },
    Step { name: "msrv", what: "the oldest supported Rust compiles it", run: msrv },
];

/// Runs the long steps too.
const LONG: &str = "--long";

/// Steps that take too long for every change: they run when they are named, or with `--long`.
const LONG_STEPS: &[Step] =
    &[Step { name: "sweep", what: "tests that are ignored elsewhere for their length", run: tests::ignored }];

/// The names of all steps, for the usage message.
pub(crate) fn step_names() -> String {
    STEPS.iter().chain(LONG_STEPS).map(|s| s.name).collect::<Vec<_>>().join(", ")
}

/// Runs the steps (all but the long ones, all with `--long`, or those named), prints a summary, and says whether none failed.
pub(crate) fn run(only: &[&str]) -> Result<bool> {
    let long = only.contains(&LONG);
    let only: Vec<&str> = only.iter().copied().filter(|name| *name != LONG).collect();
    ensure!(!long || only.is_empty(), "{LONG} runs every step: name none beside it");
    if let Some(unknown) = only.iter().find(|n| STEPS.iter().chain(LONG_STEPS).all(|s| s.name != **n)) {
        anyhow::bail!("no step is called {unknown}; there are {}", step_names());
    }
    let mut context =
        Context { workspace: Workspace::load()?, tests_built: None, python: None, left_out: Vec::new() };
    let start = Instant::now();
    let mut results = Vec::new();
    let every = STEPS.iter().chain(LONG_STEPS);
    let steps: Vec<_> = match (only.is_empty(), long) {
        (true, false) => STEPS.iter().collect(),
        (true, true) => every.collect(),
        (false, _) => every.filter(|s| only.contains(&s.name)).collect(),
    };
    for step in steps {
        println!("\n=== {}: {} ===", step.name, step.what);
        let begun = Instant::now();
        let outcome = (step.run)(&mut context).unwrap_or_else(|e| Outcome::Failed(format!("{e:#}")));
        println!("=== {} {} ({}) ===", step.name, said(&outcome), clock(begun.elapsed()));
        results.push((step.name, outcome, begun.elapsed()));
    }
    ensure!(!results.is_empty(), "no step ran");

    println!("\n=== summary, {} in all ===", clock(start.elapsed()));
    for (name, outcome, time) in &results {
        println!("{name:<9} {:>7}  {}", clock(*time), said(outcome));
    }
    for (what, why) in &context.left_out {
        println!("left out: {what}: {why}");
    }
    let failed: Vec<_> = results.iter().filter(|r| matches!(r.1, Outcome::Failed(_))).map(|r| r.0).collect();
    let skipped: Vec<_> =
        results.iter().filter(|r| matches!(r.1, Outcome::Skipped(_))).map(|r| r.0).collect();
    let list = |names: &[&str]| if names.is_empty() { "none".into() } else { names.join(", ") };
    println!("failed: {}; skipped: {}", list(&failed), list(&skipped));
    Ok(failed.is_empty())
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Passed(counted) if counted.is_empty() => "passed".into(),
        Outcome::Passed(counted) => format!("passed: {counted}"),
        Outcome::Failed(why) => format!("FAILED: {why}"),
        Outcome::Skipped(why) => format!("skipped: {why}"),
    }
}

/// `0.8 s`, `42 s`, `3 m 07 s`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} m {:02} s", seconds / 60, seconds % 60),
    }
}

fn fmt(_: &mut Context) -> Result<Outcome> {
    Ok(Outcome::of(passes(cargo().args(["fmt", "--all", "--", "--check"]))?, "run `cargo fmt --all`"))
}

fn tidy_step(_: &mut Context) -> Result<Outcome> {
    Ok(Outcome::of(tidy::run()?, "see the lines that begin with `tidy:`"))
}

fn deny(context: &mut Context) -> Result<Outcome> {
    if !has_subcommand("deny")? {
        return Ok(Outcome::Skipped("cargo-deny is not installed (`cargo install cargo-deny`)".into()));
    }
    context.left_out.push(("security advisories".into(), "their database needs the network".into()));
    let passed = passes(cargo().args(["deny", "check", "bans", "licenses", "sources"]))?;
    Ok(Outcome::of(passed, "see deny.toml"))
}

fn clippy(_: &mut Context) -> Result<Outcome> {
    let args = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    Ok(Outcome::of(passes(cargo().args(args))?, "there are warnings"))
}

/// Downstream crates take one library and not the workspace: its own features must be enough.
fn alone(context: &mut Context) -> Result<Outcome> {
    let mut broken = Vec::new();
    let mut count = 0;
    for package in context.workspace.packages.iter().filter(|p| p.has_lib) {
        count += 1;
        if !passes(cargo().args(["check", "--release", "--lib", "-p", &package.name]))? {
            broken.push(package.name.as_str());
        }
    }
    if broken.is_empty() {
        Ok(Outcome::Passed(format!("{count} libraries")))
    } else {
        Ok(Outcome::Failed(format!("does not build alone: {}", broken.join(", "))))
    }
}

fn msrv(context: &mut Context) -> Result<Outcome> {
    let Some(version) = context.workspace.rust_version.clone() else {
        return Ok(Outcome::Failed("the workspace names no rust-version".into()));
    };
    let Some(toolchain) = installed_toolchain(&version)? else {
        return Ok(Outcome::Skipped(format!(
            "Rust {version} is not installed (`rustup toolchain install {version}`)"
        )));
    };
    let mut command = system("rustup");
    command.args(["run", &toolchain, "cargo", "check", "--release", "--workspace"]);
    // The cargo that started this program must not decide which compiler is used.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    Ok(Outcome::of(passes(&mut command)?, &format!("does not compile with Rust {version}")))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn times_are_readable() {
        let shown = [0.84, 42.3, 187.0].map(|s| clock(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["0.8 s", "42 s", "3 m 07 s"]);
    }

    #[test]
    fn steps_have_names_of_their_own() {
        for (i, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..i].iter().all(|s| s.name != step.name), "{}", step.name);
        }
        assert!(run(&["no-such-step"]).unwrap_err().to_string().contains("clippy"));
        assert!(run(&["sweep", LONG]).unwrap_err().to_string().contains("name none"));
    }
}
