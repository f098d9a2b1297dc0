//! What the tests of the program share: the built binary, small synthetic data, and the shape of an error.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part, and stops at the first surprise"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use tempfile::TempDir;

/// The built program, in `dir`, on one thread.
pub(crate) fn chreode(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chreode"));
    command.current_dir(dir).env_remove("RUST_LOG");
    command
}

/// Options of a fit that takes a second: small nets, few steps.
pub(crate) const SMALL: &[&str] = &[
    "--drift-hidden",
    "16",
    "--diffusion-hidden",
    "8",
    "--steps",
    "30",
    "--batch",
    "64",
    "--dt",
    "0.25",
    "--checkpoint-every",
    "5",
    "--evaluate-every",
    "10",
];

/// Pseudo-random numbers, uniform in [-1, 1], the same everywhere.
pub(crate) struct Uniform(pub(crate) u64);

impl Uniform {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
    }
}

/// Cells of days 0, 1 and 2 that move up and to the left or the right, `n` a day.
///
/// Columns: `cell,day,x,y,clone,score,type`; the type is empty on day 0, `left` or `right` later.
pub(crate) fn table(n: usize) -> String {
    let mut random = Uniform(7);
    let mut text = String::from("cell,day,x,y,clone,score,type\n");
    for day in 0..3 {
        for i in 0..n {
            let side = if i % 2 == 0 { -1.0 } else { 1.0 };
            let t = f64::from(day);
            let (x, y) = (side * t + 0.4 * random.next(), t + 0.4 * random.next());
            let kind = if day == 0 {
                ""
            } else if side < 0.0 {
                "left"
            } else {
                "right"
            };
            let (clone, score) = (i / 4, 0.1 * side);
            writeln!(text, "c{day}_{i},{day},{x:.5},{y:.5},k{clone},{score},{kind}").unwrap();
        }
    }
    text
}

/// A folder with `cells.csv`, 40 cells a day.
pub(crate) fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cells.csv"), table(40)).unwrap();
    dir
}

/// Fits `cells.csv` of a folder into `run` in it.
pub(crate) fn fit(dir: &Path) {
    let base = ["fit", "cells.csv", "--time", "day", "--state", "x,y", "-o", "run", "--quiet"];
    chreode(dir).args(base).args(SMALL).assert().success();
}

/// Names of everything in a folder and below, sorted.
pub(crate) fn tree(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path.clone());
            }
            found.push(path.strip_prefix(dir).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

/// Runs a command that must be refused: exit code 2, one error that says all of `words`, a hint, nothing on
/// standard output, nothing written.
pub(crate) fn refused(dir: &Path, args: &[&str], words: &[&str]) {
    let before = tree(dir);
    let assert = chreode(dir).args(args).assert();
    let output = assert.get_output();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let context = format!("chreode {}\n{error}", args.join(" "));
    assert_eq!(output.status.code(), Some(2), "{context}");
    assert_eq!(error.lines().filter(|l| l.starts_with("error: ")).count(), 1, "one error: {context}");
    assert_eq!(error.lines().filter(|l| l.starts_with("hint: ")).count(), 1, "one hint: {context}");
    for word in words {
        assert!(error.contains(word), "`{word}` is missing: {context}");
    }
    assert!(output.stdout.is_empty(), "standard output is not empty: {context}");
    assert_eq!(tree(dir), before, "something was written: {context}");
}
