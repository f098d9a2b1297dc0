//! The kernels on a real GPU: tests, sanitizers, times beside PyTorch and diffrax, and a profile, recorded in `docs/GPU.md`.
//!
//! Machines with a GPU often have no Rust: `--bundle` puts the programs and a script into a folder that can be carried there, and
//! `--record` reads what the script left. With a GPU here one call does all.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::ci::run::{passes, passes_with_lines, system};
use crate::workspace::{Workspace, cargo};

const USAGE: &str = "\
usage: cargo xtask gpu                 on a machine with a GPU: all of it
       cargo xtask gpu --bundle DIR    the programs and run.sh, for a machine without Rust: sh DIR/run.sh OUT
       cargo xtask gpu --record OUT    into docs/GPU.md what run.sh left";

/// Where the script and the other projects' cases are.
const SCRIPTS: &str = "benches/gpu";
const PAGE: &str = "docs/GPU.md";
const BEGIN: &str = "<!-- gpu run: begin -->";
const END: &str = "<!-- gpu run: end -->";
/// The package of the tests and of the times, and that of the program.
const PACKAGE: &str = "chreode-cuda-cpu";
const CLI: &str = "chreode-cli";
/// Programs that travel.
const PROGRAMS: &[&str] = &["parity", "no_driver", "gpu_times", "chreode"];

pub(crate) fn run(args: &[&str]) -> Result<bool> {
    let workspace = Workspace::load()?;
    match args {
        [] => {
            if system("nvidia-smi").output().is_err() {
                println!("gpu: skipped, there is no nvidia-smi, so no NVIDIA driver\n\n{USAGE}");
                return Ok(false);
            }
            let (dir, out) = (workspace.target.join("gpu"), workspace.target.join("gpu/out"));
            if out.exists() {
                std::fs::remove_dir_all(&out)?;
            }
            bundle(&workspace, &dir)?;
            Ok(passes(system("sh").arg(dir.join("run.sh")).arg(&out))? && record(&workspace, &out)?)
        }
        ["--bundle", dir] => bundle(&workspace, Path::new(dir)).map(|()| true),
        ["--record", out] => record(&workspace, Path::new(out)),
        _ => {
            println!("{USAGE}");
            Ok(args == ["--help"])
        }
    }
}

/// Builds the programs and puts them, without symbols, beside the scripts.
fn bundle(workspace: &Workspace, dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut built: Vec<(String, PathBuf)> = Vec::new();
    let mut command = cargo();
    command.args(["test", "--release", "-p", PACKAGE, "--tests", "--examples", "--no-run"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    // The example by itself too: as a test it has no main of its own.
    let mut example = cargo();
    example.args(["build", "--release", "-p", PACKAGE, "--example", "gpu_times"]);
    example.args(["--message-format", "json-render-diagnostics"]);
    let mut program_of_users = cargo();
    program_of_users.args(["build", "--release", "-p", CLI, "--features", "cuda", "--bin", "chreode"]);
    program_of_users.args(["--message-format", "json-render-diagnostics"]);
    for command in [&mut command, &mut example, &mut program_of_users] {
        ensure!(
            passes_with_lines(command, |line| built.extend(program(line)))?,
            "the programs do not compile"
        );
    }
    for &name in PROGRAMS {
        let found = built.iter().rev().find(|(n, _)| n == name);
        let (_, from) = found.with_context(|| format!("cargo made no program {name}"))?;
        let to = dir.join(name);
        std::fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        // Smaller is all: without the tool it travels as it is.
        let _ = system("strip").arg(&to).output();
    }
    for script in ["run.sh", "peers.py"] {
        std::fs::copy(workspace.root.join(SCRIPTS).join(script), dir.join(script))?;
    }
    println!("gpu: {} holds {}; run: sh run.sh OUT", dir.display(), PROGRAMS.join(", "));
    Ok(())
}

/// Name and path of a program, from one line of cargo's JSON messages.
fn program(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    Some((message["target"]["name"].as_str()?.to_owned(), message["executable"].as_str()?.into()))
}

/// Writes what a run left into the page; whether its tests passed.
fn record(workspace: &Workspace, out: &Path) -> Result<bool> {
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap_or_default();
    let device = read("device.txt");
    ensure!(!device.is_empty(), "{} has no device.txt: is it the folder that run.sh wrote?", out.display());
    let tests = read("tests.txt");
    let (text, passed) = section(
        &device,
        &tests,
        &read("sanitizer.txt"),
        &read("ours.csv"),
        &read("peers.csv"),
        &read("profile.txt"),
        &read("fit.txt"),
    );
    let path = workspace.root.join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} has no {END}"))?;
    std::fs::write(path, format!("{before}{BEGIN}\n\n{text}\n{END}{after}"))?;
    print!("{text}");
    Ok(passed)
}

/// The recorded run as text, and whether every test passed.
fn section(
    device: &str,
    tests: &str,
    sanitizer: &str,
    ours: &str,
    peers: &str,
    profile: &str,
    fit: &str,
) -> (String, bool) {
    let mut lines = device.lines();
    let (date, card) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let about = peers.lines().find_map(|l| l.strip_prefix("device: ")).unwrap_or("no PyTorch");
    // Writing to a String cannot fail.
    let mut text = format!("{date}, {card} (name, driver, memory, highest clock); beside {about}.\n\n");
    let failed: Vec<&str> =
        tests.lines().filter_map(|l| l.strip_prefix("test ")?.strip_suffix(" ... FAILED")).collect();
    let results: Vec<&str> = tests.lines().filter_map(|l| l.strip_prefix("test result: ")).collect();
    let passed = !results.is_empty() && results.iter().all(|r| r.starts_with("ok"));
    let _ = writeln!(
        text,
        "Tests: {}.",
        if results.is_empty() {
            "not run".into()
        } else {
            results.iter().map(|r| r.split("; 0 measured").next().unwrap_or(r)).collect::<Vec<_>>().join("; ")
        }
    );
    for test in failed {
        let _ = writeln!(text, "- `{test}` differs from the processor");
    }
    for line in tests.lines().filter(|l| l.contains(": off by ")).take(8) {
        let _ = writeln!(text, "- {line}");
    }
    text.push('\n');
    let tools = tools(sanitizer);
    if tools.is_empty() {
        text.push_str("compute-sanitizer: not run.\n\n");
    }
    for (tool, said) in &tools {
        let _ = writeln!(text, "compute-sanitizer {tool}: {said}.\n");
    }
    for (device, said) in fits(fit) {
        let _ = writeln!(text, "`chreode fit --device {device}`: {said}.\n");
    }
    text.push_str("| case | who | ms | slowest - fastest | against ours |\n|---|---|---|---|---|\n");
    let rows: Vec<[&str; 5]> = ours.lines().chain(peers.lines()).filter_map(row).collect();
    let mut cases: Vec<&str> = Vec::new();
    for [case, ..] in &rows {
        if !cases.contains(case) {
            cases.push(case);
        }
    }
    for case in cases {
        let of: Vec<_> = rows.iter().filter(|r| r[0] == case).collect();
        let own = of.iter().find(|r| r[1] == "chreode").and_then(|r| r[2].parse::<f64>().ok());
        for [_, who, ms, spread, _] in of {
            let ratio =
                own.zip(ms.parse::<f64>().ok()).map_or(String::new(), |(own, ms)| format!("{:.2}", ms / own));
            let _ = writeln!(text, "| {case} | {who} | {ms} | {spread} | {ratio} |");
        }
    }
    let kernels = profiles(profile);
    if !kernels.is_empty() {
        text.push_str("\n| kernel | grid | time | compute % | memory % | occupancy % | instructions a cycle | warps wait for |\n|---|---|---|---|---|---|---|---|\n");
        for kernel in kernels {
            let _ = writeln!(text, "{kernel}");
        }
    }
    (text, passed)
}

/// A measured line.
fn row(line: &str) -> Option<[&str; 5]> {
    let cells: Vec<&str> = line.split(',').collect();
    let cells: [&str; 5] = cells.try_into().ok()?;
    cells[2..].iter().all(|c| c.parse::<f64>().is_ok()).then_some(cells)
}

/// Each tool of the sanitizer with its verdict, and the tests that it was given together with those of the same verdict.
fn tools(text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String, Vec<&str>)> = Vec::new();
    let mut verdict = String::new();
    for line in text.lines() {
        if let Some((_, summary)) = line.split_once("SUMMARY: ") {
            summary.trim_end_matches('=').trim().clone_into(&mut verdict);
        }
        if let Some((status, command)) = line.strip_prefix("exit status ").and_then(|l| l.split_once(": ")) {
            let tool = command.split_whitespace().skip_while(|w| *w != "--tool").nth(1).unwrap_or("?");
            let said = match status {
                "0" => std::mem::take(&mut verdict),
                "124" => "stopped by its time limit".into(),
                other => format!("exit status {other}, {}", std::mem::take(&mut verdict)),
            };
            let tests = command.split_whitespace().skip_while(|w| *w != "--test-threads=1").skip(1);
            match found.iter_mut().find(|(t, s, _)| t == tool && *s == said) {
                Some((.., all)) => all.extend(tests),
                None => found.push((tool.to_owned(), said, tests.collect())),
            }
        }
    }
    found.into_iter().map(|(tool, said, tests)| (format!("{tool} ({})", tests.join(", ")), said)).collect()
}

/// What a fit by the program came to: the device with its seconds and last losses.
fn fits(text: &str) -> Vec<(&str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        if let Some(device) = line.strip_prefix("fit: ") {
            found.push((device, String::new()));
        } else if let (Some(said), Some((_, told))) = (line.strip_prefix("told: "), found.last_mut()) {
            if !told.is_empty() {
                told.push_str("; ");
            }
            told.push_str(said);
        }
    }
    found
}

/// A table row of each profiled kernel, from ncu's pages.
fn profiles(text: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let mut lines = text.lines().peekable();
    let mut current: Option<[String; 8]> = None;
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if line.contains("Context ") && line.contains("Stream ") {
            rows.extend(current.take().as_ref().map(table_row));
            let (name, grid) = line.trim().split_once(" (").unwrap_or((line, ""));
            let grid = grid.split(')').next().unwrap_or_default();
            current = Some([
                format!("`{name}`"),
                grid.into(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]);
        }
        let Some(row) = current.as_mut() else { continue };
        let last = words.last().copied().unwrap_or_default();
        match words.as_slice() {
            ["Duration", unit, _] => row[2] = format!("{last} {unit}"),
            ["Compute", "(SM)", "Throughput", ..] => last.clone_into(&mut row[3]),
            ["Memory", "Throughput", "%", _] => last.clone_into(&mut row[4]),
            ["Achieved", "Occupancy", ..] => last.clone_into(&mut row[5]),
            ["Executed", "Ipc", "Active", ..] => last.clone_into(&mut row[6]),
            _ => {}
        }
        if let Some((_, waits)) = line.split_once("cycles being stalled ")
            && row[7].is_empty()
        {
            let next = lines.peek().map_or("", |l| l.trim());
            let all = format!("{} {next}", waits.trim());
            row[7] = all
                .split('.')
                .next()
                .unwrap_or_default()
                .trim_start_matches("waiting ")
                .trim_start_matches("on ")
                .trim_start_matches("for ")
                .into();
        }
    }
    rows.extend(current.as_ref().map(table_row));
    rows
}

fn table_row(cells: &[String; 8]) -> String {
    format!("| {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_told() {
        let device = "2026-01-02\nH100, 580, 81559 MiB, 1980 MHz\ntest: 3 s\n";
        let tests = "test a::b ... FAILED\nstates: off by 3e-5, 2e-5 is allowed\ntest result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n";
        let sanitizer = "========= ERROR SUMMARY: 0 errors\nexit status 0: compute-sanitizer --tool memcheck parity --test-threads=1 a::\n========= ERROR SUMMARY: 0 errors\nexit status 0: compute-sanitizer --tool memcheck parity --test-threads=1 b\nexit status 124: compute-sanitizer --tool racecheck parity --test-threads=1 c\n";
        let ours = "device: H100\npaths,chreode,2.0,0.1,0.5\n";
        let peers = "device: H100, PyTorch 2\npaths,PyTorch,3.0,0.2,0.5\nno row\n";
        let fit = "fit: cpu\ntold: 12 s\ntold: loss 0.5\nnothing\nfit: cuda\ntold: 3 s\n";
        let profile = "  em_forward (128, 1, 1)x(256, 1, 1), Context 1, Stream 13, Device 0, CC 9.0\n    Duration  ms   2.07\n          On average, each warp of this workload spends 2.8 cycles being stalled waiting for a scoreboard on\n          a load. To reduce\n    Achieved Occupancy   %   12.50\n";
        let (text, passed) = section(device, tests, sanitizer, ours, peers, profile, fit);
        assert!(!passed);
        for part in [
            "2026-01-02, H100, 580",
            "beside H100, PyTorch 2",
            "- `a::b` differs",
            "- states: off by 3e-5",
            "memcheck (a::, b): 0 errors.",
            "racecheck (c): stopped by its time limit.",
            "`chreode fit --device cpu`: 12 s; loss 0.5.",
            "`chreode fit --device cuda`: 3 s.",
            "| paths | PyTorch | 3.0 | 0.2 | 1.50 |",
            "| `em_forward` | 128, 1, 1 | 2.07 ms |  |  | 12.50 |  | a scoreboard on a load |",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn a_run_without_tests_has_not_passed() {
        assert!(!section("d\nc\n", "", "", "", "", "", "").1);
        assert!(section("d\nc\n", "test result: ok. 2 passed; 0 failed\n", "", "", "", "", "").1);
    }
}
