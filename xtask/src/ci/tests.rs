//! What runs the project's own code: tests, doctests, examples, benchmarks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use super::cuda::STAND_IN;
use super::python::PYTHON;
use super::run::{passes, passes_with_lines, system};
use super::{Context, Outcome};
use crate::workspace::cargo;

/// Folder of real data that tests may use; they say so when they leave something out.
const DATA: &str = "CHREODE_DATA";

/// Unit and integration tests of the whole workspace.
pub(super) fn test(context: &mut Context) -> Result<Outcome> {
    if !tests_built(context)? {
        return Ok(Outcome::Failed("the tests do not compile".into()));
    }
    let mut command = cargo();
    // With the features of the whole workspace, so that the artefacts are those of the other steps.
    command.args(["test", "--release", "--workspace", "--exclude", STAND_IN, "--no-fail-fast"]);
    command.args(["--features", "chreode-train/cuda"]);
    command.args(["--lib", "--bins", "--tests", "--", "--show-output"]);
    if let Some(python) = &context.python {
        command.env(PYTHON, python);
    }
    let mut log = Log::default();
    let passed = passes_with_lines(&mut command, |line| {
        if log.take(line) {
            println!("{line}");
        }
    })?;
    if std::env::var_os(DATA).is_none() {
        context.left_out.push(("tests on real data".into(), format!("{DATA} is not set")));
    }
    context.left_out.extend(log.skipped.iter().map(|s| ("inside a test".to_owned(), s.clone())));
    let counted = log.counted();
    Ok(if passed { Outcome::Passed(counted) } else { Outcome::Failed(counted) })
}

/// The tests that are too long for every change. What they print is shown: they say what they looked at.
pub(super) fn ignored(context: &mut Context) -> Result<Outcome> {
    let mut log = Log::default();
    let mut command = cargo();
    command.args(["test", "--release", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]);
    command.args(["--", "--ignored", "--show-output"]);
    let passed = passes_with_lines(&mut command, |line| {
        log.take(line);
        println!("{line}");
    })?;
    context.left_out.extend(log.skipped.iter().map(|s| ("inside a long test".to_owned(), s.clone())));
    let counted = log.counted();
    Ok(if passed { Outcome::Passed(counted) } else { Outcome::Failed(counted) })
}

/// The examples in the documentation, which are the user guide too.
pub(super) fn doctest(context: &mut Context) -> Result<Outcome> {
    if !tests_built(context)? {
        return Ok(Outcome::Skipped("the tests do not compile".into()));
    }
    let mut log = Log::default();
    let mut command = cargo();
    command.args(["test", "--release", "--workspace", "--no-fail-fast", "--doc"]);
    let passed = passes_with_lines(&mut command, |line| {
        if log.take(line) {
            println!("{line}");
        }
    })?;
    let counted = log.counted();
    Ok(if passed { Outcome::Passed(counted) } else { Outcome::Failed(counted) })
}

/// Runs every example of every crate, built with the features that the tests have.
pub(super) fn examples(context: &mut Context) -> Result<Outcome> {
    if !tests_built(context)? {
        return Ok(Outcome::Skipped("the tests do not compile".into()));
    }
    let mut built = Vec::new();
    let mut command = cargo();
    command.args(["build", "--release", "--workspace", "--examples"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    let compiled = passes_with_lines(&mut command, |line| built.extend(example(line)))?;
    if !compiled {
        return Ok(Outcome::Failed("the examples do not compile".into()));
    }
    built.sort();
    // An example may write files: not into the checkout.
    let out = context.workspace.target.join("example-output");
    std::fs::create_dir_all(&out)?;
    let mut failed = Vec::new();
    for (name, path) in &built {
        println!("--- example {name} ---");
        if !passes(system(&path.to_string_lossy()).current_dir(&out))? {
            failed.push(name.as_str());
        }
    }
    Ok(match (built.len(), failed.len()) {
        (0, _) => Outcome::Passed("there are none".into()),
        (n, 0) => Outcome::Passed(format!("{n} examples")),
        _ => Outcome::Failed(failed.join(", ")),
    })
}

/// Runs every benchmark once, without measuring.
pub(super) fn benches(context: &mut Context) -> Result<Outcome> {
    if context.workspace.packages.iter().all(|p| p.name != "chreode-benches") {
        return Ok(Outcome::Passed("there are none".into()));
    }
    if !tests_built(context)? {
        return Ok(Outcome::Skipped("the tests do not compile".into()));
    }
    // Criterion runs each routine once when it is not called by `cargo bench`.
    let passed = passes(cargo().args(["test", "--release", "--workspace", "--benches"]))?;
    Ok(Outcome::of(passed, "a benchmark failed"))
}

/// Builds what `test` runs; once.
fn tests_built(context: &mut Context) -> Result<bool> {
    if context.tests_built.is_none() {
        let mut command = cargo();
        command.args(["test", "--release", "--workspace", "--no-run", "--lib", "--bins", "--tests"]);
        context.tests_built = Some(passes(&mut command)?);
    }
    Ok(context.tests_built == Some(true))
}

/// Name and program of an example, from one line of cargo's JSON messages.
fn example(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let target = &message["target"];
    let is_example = target["kind"].as_array()?.iter().any(|k| k == "example");
    let program = message["executable"].as_str()?;
    is_example.then(|| (target["name"].as_str().unwrap_or_default().to_owned(), program.into()))
}

/// Reads what the test programs print: counts, and what tests say that they left out.
#[derive(Default)]
pub(super) struct Log {
    passed: u64,
    failed: u64,
    ignored: u64,
    programs: u64,
    /// Inside the list of what passing tests printed.
    in_successes: bool,
    pub(super) skipped: BTreeSet<String>,
}

impl Log {
    /// Takes one line and says whether to show it: what passing tests print is read but not shown.
    pub(super) fn take(&mut self, line: &str) -> bool {
        let text = line.trim();
        if let Some(result) = text.strip_prefix("test result:") {
            self.programs += 1;
            for part in result.split(['.', ';']) {
                let mut words = part.split_whitespace();
                if let (Some(n), Some(what)) =
                    (words.next().and_then(|n| n.parse::<u64>().ok()), words.next())
                {
                    match what {
                        "passed" => self.passed += n,
                        "failed" => self.failed += n,
                        "ignored" => self.ignored += n,
                        _ => {}
                    }
                }
            }
        }
        if text.to_lowercase().starts_with("skipped") {
            self.skipped.insert(text.to_owned());
        }
        match text {
            "successes:" => self.in_successes = true,
            "failures:" => self.in_successes = false,
            _ if text.starts_with("test result:") => self.in_successes = false,
            _ => {}
        }
        !self.in_successes
    }

    pub(super) fn counted(&self) -> String {
        format!(
            "{} passed, {} failed, {} ignored, in {} programs",
            self.passed, self.failed, self.ignored, self.programs
        )
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn the_log_is_counted() {
        let mut log = Log::default();
        let shown: Vec<bool> = [
            "running 2 tests",
            "test a ... ok",
            "successes:",
            "---- a stdout ----",
            "skipped: no CHREODE_DATA",
            "successes:",
            "    a",
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.52s",
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s",
        ]
        .iter()
        .map(|l| log.take(l))
        .collect();
        assert_eq!(shown, [true, true, false, false, false, false, false, true, true]);
        assert_eq!(log.counted(), "5 passed, 1 failed, 1 ignored, in 2 programs");
        assert_eq!(log.skipped.iter().collect::<Vec<_>>(), ["skipped: no CHREODE_DATA"]);
    }

    #[test]
    fn examples_are_found_in_cargos_messages() {
        let line = r#"{"reason":"compiler-artifact","target":{"kind":["example"],"name":"fit"},"executable":"/t/fit"}"#;
        assert_eq!(example(line), Some(("fit".into(), "/t/fit".into())));
        assert_eq!(example(r#"{"target":{"kind":["lib"],"name":"fit"},"executable":null}"#), None);
        assert_eq!(example("   Compiling"), None);
    }
}
