//! The CUDA kernels: whether what is committed is that of the sources, and their tests on the stand-in driver.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use super::run::{passes_with_lines, system};
use super::tests::Log;
use super::{Context, Outcome};
use crate::kernels;
use crate::workspace::cargo;

/// The package of the stand-in driver and of the tests on it, which the step `test` leaves to this one.
pub(super) const STAND_IN: &str = "chreode-cuda-cpu";

/// PTX and launchers against the sources.
pub(super) fn kernels(context: &mut Context) -> Result<Outcome> {
    let found = kernels::check()?;
    context.left_out.extend(found.skipped.map(|why| ("compiling the kernels again".into(), why)));
    Ok(Outcome::of(found.fresh, "run `cargo xtask kernels build`"))
}

/// Every kernel against the processor, and faults, on the driver that g++ makes of the kernels' sources.
pub(super) fn test(context: &mut Context) -> Result<Outcome> {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "g++".into());
    if system(&compiler).arg("--version").output().is_err() {
        return Ok(Outcome::Skipped(format!("there is no {compiler} to build the stand-in driver with")));
    }
    // With the workspace's features, so that the artefacts are those of the other steps.
    let mut programs = Vec::new();
    let mut command = cargo();
    command.args(["test", "--release", "--workspace", "--no-run", "--lib", "--bins", "--tests"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    if !passes_with_lines(&mut command, |line| programs.extend(program(line)))? {
        return Ok(Outcome::Failed("the tests do not compile".into()));
    }
    programs.sort();
    let mut log = Log::default();
    let mut passed = !programs.is_empty();
    for program in &programs {
        let mut command = system(&program.to_string_lossy());
        passed &= passes_with_lines(command.arg("--show-output"), |line| {
            if log.take(line) {
                println!("{line}");
            }
        })?;
    }
    context.left_out.extend(log.skipped.iter().map(|s| ("inside a CUDA test".to_owned(), s.clone())));
    let counted = log.counted();
    Ok(if passed { Outcome::Passed(counted) } else { Outcome::Failed(counted) })
}

/// A test program of the package, from one line of cargo's JSON messages.
fn program(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let of_package = message["manifest_path"].as_str()?.contains(&format!("/{STAND_IN}/"));
    let program = message["executable"].as_str()?;
    of_package.then(|| program.into())
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn test_programs_of_the_package_are_found() {
        let line = |package: &str| {
            serde_json::json!({"manifest_path": format!("/w/crates/{package}/Cargo.toml"), "executable": "/w/t/x"})
                .to_string()
        };
        assert_eq!(program(&line(STAND_IN)), Some("/w/t/x".into()));
        assert_eq!(program(&line("chreode-cuda")), None);
        assert_eq!(program("no json"), None);
    }
}
