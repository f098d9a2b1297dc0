//! A run that was killed or interrupted goes on to the same bits; so does one on another number of threads.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{chreode, folder};

/// A fit of some seconds into `out`, in the folder of `cells.csv`.
fn long_fit(out: &str) -> Vec<&str> {
    vec![
        "fit",
        "cells.csv",
        "--time",
        "day",
        "--state",
        "x,y",
        "-o",
        out,
        "--quiet",
        "--drift-hidden",
        "32",
        "--diffusion-hidden",
        "8",
        "--steps",
        "300",
        "--batch",
        "64",
        "--dt",
        "0.1",
        "--checkpoint-every",
        "7",
        "--evaluate-every",
        "10",
        "--patience",
        "1000",
    ]
}

/// Starts the program and waits until its run holds the checkpoint of a step between 20 and 250.
fn started(dir: &Path, out: &str) -> Child {
    started_with(dir, out, &long_fit(out))
}

fn started_with(dir: &Path, out: &str, args: &[&str]) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chreode"))
        .args(args)
        .current_dir(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        if let Ok(entries) = std::fs::read_dir(dir.join(out).join("checkpoints")) {
            let steps = entries.filter_map(|e| e.unwrap().file_name().to_str()?.parse::<u64>().ok());
            if steps.max().is_some_and(|step| step >= 20) {
                return child;
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    panic!("no checkpoint within two minutes: {:?}", child.wait());
}

fn finished(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

/// Files of a fit of cells that tell its result.
const OF_CELLS: &[&str] = &["model.safetensors", "metrics.jsonl"];

fn equal(dir: &Path, a: &str, b: &str) {
    equal_files(dir, a, b, OF_CELLS);
}

fn equal_files(dir: &Path, a: &str, b: &str, files: &[&str]) {
    for file in files {
        let [a, b] = [a, b].map(|run| std::fs::read(dir.join(run).join(file)).unwrap());
        assert!(!a.is_empty());
        assert!(a == b, "{file} differs");
    }
}

#[test]
fn killed_at_any_moment_it_resumes_to_the_same_bits() {
    let dir = folder();
    let dir = dir.path();
    chreode(dir).args(long_fit("whole")).assert().success();
    let mut child = started(dir, "killed");
    child.kill().unwrap(); // SIGKILL
    let output = finished(child);
    assert!(!output.status.success(), "the fit was too fast to be killed");
    chreode(dir).args(["fit", "--resume", "killed", "--quiet"]).assert().success();
    equal(dir, "whole", "killed");
    // A finished run has nothing to resume, and says so.
    let again = chreode(dir).args(["fit", "--resume", "killed"]).assert().success();
    let said = String::from_utf8_lossy(&again.get_output().stderr).into_owned()
        + &String::from_utf8_lossy(&again.get_output().stdout);
    assert!(said.contains("finished"), "{said}");
    equal(dir, "whole", "killed");
}

/// A fit of measured series of some seconds into `out`, in a folder with their `series.csv`.
fn series_fit(out: &str) -> Vec<&str> {
    let base = ["fit", "series.csv", "--time", "t", "--trajectory", "id", "--state", "a,b", "--quiet"];
    [&base[..], &["--steps", "1500", "--until", "6", "-o", out]].concat()
}

/// Two measured waves.
fn series(dir: &Path) {
    let mut text = String::from("id,t,a,b\n");
    for (id, phase) in [("one", 0.0_f64), ("two", 1.0)] {
        for k in 0..60 {
            let t = 0.08 * f64::from(k);
            writeln!(text, "{id},{t},{},{}", (phase + 2.0 * t).sin(), (phase + 2.0 * t).cos()).unwrap();
        }
    }
    std::fs::write(dir.join("series.csv"), text).unwrap();
}

/// Files of a fit of measured series that tell its result.
const OF_SERIES: &[&str] =
    &["model.safetensors", "metrics.jsonl", "starts.csv", "predictions.csv", "residuals.csv", "report.html"];

/// Kills the fit, and each process that goes on with it, at `kills` moments of a run: anywhere, also before it has a folder or while a
/// file is written. Then lets it end, and compares with a run that was left alone.
fn killed_at(kills: u32, fit: fn(&str) -> Vec<&str>, files: &[&str]) {
    let dir = folder();
    let dir = dir.path();
    series(dir);
    let begin = Instant::now();
    chreode(dir).args(fit("whole")).assert().success();
    // A start takes its part too: so the kills reach to the end of the run and seldom beyond.
    let mut most = begin.elapsed().as_secs_f64() * 1.5 / f64::from(kills) + 0.05;
    let mut random = common::Uniform(u64::from(kills));
    let (mut tried, mut killed, mut folders) = (0, 0, 0);
    // Where others take the processor, a process may need longer than that to have a folder: some more are tried then, later.
    while tried < kills || folders == 0 && tried < 4 * kills {
        tried += 1;
        let has_run = dir.join("killed/config.toml").exists();
        folders += u32::from(has_run);
        let args = if has_run { vec!["fit", "--resume", "killed", "--quiet"] } else { fit("killed") };
        let mut child = Command::new(env!("CARGO_BIN_EXE_chreode"))
            .args(args)
            .current_dir(dir)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs_f64(most * 0.5 * (1.0 + random.next())));
        child.kill().unwrap(); // SIGKILL
        killed += u32::from(!child.wait().unwrap().success());
        if !dir.join("killed/config.toml").exists() {
            most *= 1.5;
        }
    }
    assert!(
        killed >= tried.div_ceil(2) && folders > 0,
        "{killed} of {tried} were killed on their way, {folders} in a run"
    );
    chreode(dir).args(["fit", "--resume", "killed", "--quiet"]).assert().success();
    equal_files(dir, "whole", "killed", files);
}

#[test]
fn killed_three_times_it_resumes_to_the_same_bits() {
    killed_at(3, long_fit, OF_CELLS);
}

#[test]
fn a_fit_of_series_that_is_killed_three_times_resumes_to_the_same_bits() {
    killed_at(3, series_fit, OF_SERIES);
}

#[test]
#[ignore = "twenty starts of the program: cargo xtask ci sweep"]
fn killed_twenty_times_it_resumes_to_the_same_bits() {
    killed_at(20, long_fit, OF_CELLS);
}

#[test]
#[ignore = "twenty starts of the program: cargo xtask ci sweep"]
fn a_fit_of_series_that_is_killed_twenty_times_resumes_to_the_same_bits() {
    killed_at(20, series_fit, OF_SERIES);
}

/// Ctrl-C in a fit of series: what was done is kept, and how to go on is said.
#[cfg(unix)]
#[test]
fn a_fit_of_series_that_is_interrupted_says_how_to_go_on() {
    let dir = folder();
    let dir = dir.path();
    series(dir);
    chreode(dir).args(series_fit("whole")).assert().success();
    let child = started_with(dir, "interrupted", &series_fit("interrupted"));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = finished(child);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(error.contains("hint: continue with `chreode fit --resume interrupted`"), "{error}");
    assert!(!dir.join("interrupted/model.safetensors").exists(), "it is not done");
    let seed = ["fit", "--resume", "interrupted", "--seed", "1"];
    chreode(dir).args(seed).assert().code(2);
    chreode(dir).args(["fit", "--resume", "interrupted", "--quiet", "--threads", "1"]).assert().success();
    equal_files(dir, "whole", "interrupted", OF_SERIES);
    // Once more, from the last checkpoint; and not with other data.
    chreode(dir).args(["fit", "--resume", "interrupted", "--quiet"]).assert().success();
    equal_files(dir, "whole", "interrupted", OF_SERIES);
    std::fs::write(dir.join("series.csv"), "id,t,a,b\n").unwrap();
    let changed = chreode(dir).args(["fit", "--resume", "interrupted"]).assert().code(2);
    let error = String::from_utf8_lossy(&changed.get_output().stderr).into_owned();
    assert!(error.contains("has changed since the run began"), "{error}");
}

#[cfg(unix)]
#[test]
fn interrupted_it_says_how_to_go_on() {
    let dir = folder();
    let dir = dir.path();
    chreode(dir).args(long_fit("whole")).assert().success();
    let child = started(dir, "interrupted");
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = finished(child);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(error.contains("hint: continue with `chreode fit --resume interrupted`"), "{error}");
    assert!(dir.join("interrupted/model.safetensors").is_file());
    chreode(dir).args(["fit", "--resume", "interrupted", "--quiet"]).assert().success();
    equal(dir, "whole", "interrupted");
}

#[test]
fn one_thread_and_two_give_the_same_bits() {
    let dir = folder();
    let dir = dir.path();
    for (threads, out) in [("1", "one"), ("2", "two")] {
        let mut args = long_fit(out);
        args.extend(["--threads", threads]);
        let steps = args.iter().position(|&a| a == "300").unwrap();
        args[steps] = "40";
        chreode(dir).args(args).assert().success();
    }
    equal(dir, "one", "two");
    let mut outputs = Vec::new();
    for (threads, out) in [("1", "one.csv"), ("2", "two.csv")] {
        let paths = ["--start", "day=0", "--until", "2", "--n", "7", "--threads", threads, "-o", out];
        chreode(dir).args(["simulate", "one", "cells.csv", "--quiet"]).args(paths).assert().success();
        outputs.push(std::fs::read(dir.join(out)).unwrap());
    }
    assert!(outputs[0] == outputs[1]);
}

#[test]
fn another_seed_gives_another_model() {
    let dir = folder();
    let dir = dir.path();
    let mut models = Vec::new();
    for (seed, out) in [("1", "a"), ("2", "b"), ("1", "c")] {
        let args =
            ["fit", "cells.csv", "--time", "day", "--state", "x,y", "-o", out, "--quiet", "--seed", seed];
        chreode(dir).args(args).args(common::SMALL).assert().success();
        models.push(std::fs::read(dir.join(out).join("model.safetensors")).unwrap());
    }
    assert!(models[0] != models[1]);
    assert!(models[0] == models[2]);
}

#[test]
fn two_processes_do_not_train_one_run() {
    let dir = folder();
    let dir = dir.path();
    let mut child = started(dir, "busy");
    let second = chreode(dir).args(["fit", "--resume", "busy"]).assert().code(2);
    let error = String::from_utf8_lossy(&second.get_output().stderr).into_owned();
    assert!(error.contains("another process"), "{error}");
    child.kill().unwrap();
    finished(child);
}
