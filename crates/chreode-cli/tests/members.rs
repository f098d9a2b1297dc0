//! Runs of several seeds: trained side by side or in turn, killed and resumed, and what the other commands make of them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chreode_cells::{Table, TableRequest};
use common::{SMALL, chreode, folder, refused};

const DATA: &[&str] = &["fit", "cells.csv", "--time", "day", "--state", "x,y", "--quiet"];

fn column(dir: &Path, file: &str, name: &str) -> Vec<f64> {
    let request = TableRequest { number: vec![name], ..TableRequest::default() };
    Table::open(dir.join(file)).unwrap().read(&request).unwrap().number.remove(0)
}

/// All models, metrics and the judgement of two runs of three members are the same bytes.
fn equal(dir: &Path, a: &str, b: &str) {
    for member in ["", "members/2", "members/3"] {
        for file in ["model.safetensors", "metrics.jsonl"] {
            let [a, b] = [a, b].map(|run| std::fs::read(dir.join(run).join(member).join(file)).unwrap());
            assert!(!a.is_empty() && a == b, "{member}/{file} differs");
        }
    }
    let [a, b] = [a, b].map(|run| std::fs::read(dir.join(run).join("members.json")).unwrap());
    assert!(a == b, "members.json differs");
}

#[test]
fn members_are_the_same_bits_side_by_side_and_in_turn() {
    let dir = folder();
    let dir = dir.path();
    for (threads, out) in [("1", "turn"), ("2", "side")] {
        let own = ["--seeds", "3", "--seed", "5", "--threads", threads, "-o", out];
        chreode(dir).args(DATA).args(SMALL).args(own).assert().success();
    }
    equal(dir, "turn", "side");
    let models = ["", "members/2", "members/3"]
        .map(|m| std::fs::read(dir.join("turn").join(m).join("model.safetensors")).unwrap());
    assert!(models[0] != models[1] && models[1] != models[2]);
    // The hold-out is that of all, and a member alone is not that of a run of one seed with another hold-out.
    let text = std::fs::read_to_string(dir.join("turn/members.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        json["members"].as_array().unwrap().iter().map(|m| m["seed"].as_u64().unwrap()).collect::<Vec<_>>(),
        [5, 6, 7]
    );
    chreode(dir).args(DATA).args(SMALL).args(["--seed", "5", "-o", "one"]).assert().success();
    assert!(
        models[0] == std::fs::read(dir.join("one/model.safetensors")).unwrap(),
        "the first member is the run of its seed"
    );
}

#[test]
fn commands_average_over_members_and_say_how_far_they_differ() {
    let dir = folder();
    let dir = dir.path();
    chreode(dir).args(DATA).args(SMALL).args(["--seeds", "3", "-o", "run"]).assert().success();
    let paths = ["run", "cells.csv", "--start", "day=0", "--until", "2", "--n", "40", "--quiet"];
    let fates = ["--labels", "type", "-o", "fates.csv"];
    chreode(dir).arg("fate").args(paths).args(fates).assert().success();
    let sd = column(dir, "fates.csv", "left_sd");
    assert!(sd.iter().all(|&s| (0.0..0.71).contains(&s)) && sd.iter().any(|&s| s > 0.0));
    // Two fates sum to one: they spread alike.
    let other = column(dir, "fates.csv", "right_sd");
    assert!(sd.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-9));

    // One member set aside by hand: the mean is then of the two others.
    let path = dir.join("run/members.json");
    let mut json: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let all = column(dir, "fates.csv", "left");
    json["members"][0]["astray"] = true.into();
    std::fs::write(&path, json.to_string()).unwrap();
    chreode(dir).arg("fate").args(paths).args(fates).assert().success();
    assert!(all != column(dir, "fates.csv", "left"));

    chreode(dir).arg("simulate").args(paths).args(["-o", "sims.csv"]).assert().success();
    assert_eq!(column(dir, "sims.csv", "sim").len(), 40 * 40);
    let set = ["--set", "x=+1", "--labels", "type", "-o", "shifts.csv"];
    chreode(dir).arg("perturb").args(paths).args(set).assert().success();
    chreode(dir).args(["report", "run", "-o", "report.html", "--quiet"]).assert().success();
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    for words in
        ["How they came out", "no: went astray", "Where members disagree", "1 of 3 members went astray"]
    {
        assert!(page.contains(words), "{words}");
    }
    // Members that are not all trained are not used.
    std::fs::remove_file(&path).unwrap();
    let base = ["simulate", "run", "cells.csv", "--start", "day=0", "--until", "2", "-o", "more.csv"];
    refused(dir, &base, &["not all 3 members of run are trained"]);
    chreode(dir).args(["fit", "--resume", "run", "--quiet"]).assert().success();
    chreode(dir).args(base).args(["--n", "2", "--quiet"]).assert().success();
    let series = ["--trajectory", "clone", "--seeds", "2", "-o", "s"];
    chreode(dir).args(DATA).args(series).assert().code(2);
}

/// A run of several seeds that is killed goes on to the same bits, whichever members were on their way.
#[test]
fn killed_members_resume_to_the_same_bits() {
    let dir = folder();
    let dir = dir.path();
    let fit = |out: &'static str| {
        let mut args = DATA.to_vec();
        args.extend(["--drift-hidden", "16", "--diffusion-hidden", "8", "--steps", "200", "--batch", "64"]);
        args.extend([
            "--dt",
            "0.25",
            "--checkpoint-every",
            "7",
            "--evaluate-every",
            "10",
            "--patience",
            "1000",
        ]);
        args.extend(["--seeds", "3", "--threads", "2", "-o", out]);
        args
    };
    chreode(dir).args(fit("whole")).assert().success();
    let mut child = Command::new(env!("CARGO_BIN_EXE_chreode"))
        .args(fit("killed"))
        .current_dir(dir)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    // Until the second member is on its way.
    while std::fs::read_dir(dir.join("killed/members/2/checkpoints")).is_ok_and(|c| c.count() == 0)
        || !dir.join("killed/members/2").exists()
    {
        assert!(begin.elapsed() < Duration::from_secs(120), "no checkpoint within two minutes");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap(); // SIGKILL
    assert!(!child.wait().unwrap().success(), "the fit was too fast to be killed");
    chreode(dir).args(["fit", "--resume", "killed", "--quiet", "--threads", "1"]).assert().success();
    equal(dir, "whole", "killed");
}
