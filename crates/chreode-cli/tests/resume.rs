//! A run that was killed or interrupted goes on to the same bits; so does one on another number of threads.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

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
    let mut child = Command::new(env!("CARGO_BIN_EXE_chreode"))
        .args(long_fit(out))
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

fn equal(dir: &Path, a: &str, b: &str) {
    for file in ["model.safetensors", "metrics.jsonl"] {
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

/// Kills the fit, and each process that goes on with it, at `kills` moments of a run: anywhere, also before it has a folder or while a
/// file is written. Then lets it end, and compares with a run that was left alone.
fn killed_at(kills: u32) {
    let dir = folder();
    let dir = dir.path();
    let begin = Instant::now();
    chreode(dir).args(long_fit("whole")).assert().success();
    // A start takes its part too: so the kills reach to the end of the run and seldom beyond.
    let most = begin.elapsed().as_secs_f64() * 1.5 / f64::from(kills) + 0.05;
    let mut random = common::Uniform(u64::from(kills));
    let (mut killed, mut folders) = (0, 0);
    for _ in 0..kills {
        let has_run = dir.join("killed/config.toml").exists();
        folders += u32::from(has_run);
        let args = if has_run { vec!["fit", "--resume", "killed", "--quiet"] } else { long_fit("killed") };
        let mut child = Command::new(env!("CARGO_BIN_EXE_chreode"))
            .args(args)
            .current_dir(dir)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_secs_f64(most * 0.5 * (1.0 + random.next())));
        child.kill().unwrap(); // SIGKILL
        killed += u32::from(!child.wait().unwrap().success());
    }
    assert!(
        killed >= kills.div_ceil(2) && folders > 0,
        "{killed} of {kills} were killed on their way, {folders} in a run"
    );
    chreode(dir).args(["fit", "--resume", "killed", "--quiet"]).assert().success();
    equal(dir, "whole", "killed");
}

#[test]
fn killed_three_times_it_resumes_to_the_same_bits() {
    killed_at(3);
}

#[test]
#[ignore = "twenty starts of the program: cargo xtask ci sweep"]
fn killed_twenty_times_it_resumes_to_the_same_bits() {
    killed_at(20);
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
