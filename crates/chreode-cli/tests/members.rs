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
    let few =
        ["simulate", "run", "cells.csv", "--start", "day=0", "--until", "2", "--n", "1", "-o", "few.csv"];
    let few = chreode(dir).args(few).assert().success();
    let said = String::from_utf8_lossy(&few.get_output().stderr).into_owned();
    assert!(said.contains("of the 2 members that count only the first 1 make paths"), "{said}");
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

/// FNV-1a over words of eight bytes with a last shift, as in the checkpoints of a training.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash, word| {
        let word = word.iter().rev().fold(0_u64, |w, &b| w << 8 | u64::from(b));
        let hash = (hash ^ word).wrapping_mul(0x0100_0000_01b3);
        hash ^ (hash >> 29)
    })
}

/// Writes numbers that are none over some parameters of a checkpoint, in the same length and with the right checksums.
fn poison(path: &Path) {
    let mut state = std::fs::read(path).unwrap().split_off(4);
    // A run's parameters come early in it: some of them, not the identity before them.
    state[200..232].fill(0xff);
    let sum = checksum(&state[20..]);
    state[12..20].copy_from_slice(&sum.to_le_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&state);
    let mut bytes = crc.sum().to_le_bytes().to_vec();
    bytes.extend(state);
    std::fs::write(path, bytes).unwrap();
}

/// A member whose numbers run away is set aside with its reason; the others go on, and the run can be used.
#[test]
fn a_member_that_fails_is_set_aside() {
    let dir = folder();
    let dir = dir.path();
    chreode(dir).args(DATA).args(SMALL).args(["--seeds", "3", "-o", "run"]).assert().success();
    // Ten more updates for all, of which the second member's cannot be.
    let go_on = |from: u64, to: u64| {
        let config = dir.join("run/config.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let line = |steps: u64| format!("\nsteps = {steps}\n");
        assert_eq!(text.matches(&line(from)).count(), 1, "{text}");
        std::fs::write(&config, text.replace(&line(from), &line(to))).unwrap();
        std::fs::remove_file(dir.join("run/members.json")).unwrap();
    };
    go_on(30, 40);
    poison(&dir.join("run/members/2/checkpoints/000000030"));
    let done = chreode(dir).args(["fit", "--resume", "run"]).assert().success();
    let said = String::from_utf8_lossy(&done.get_output().stderr).into_owned();
    assert!(
        said.contains("member 2 (seed 1) failed and is set aside: the training stopped after step 30"),
        "{said}"
    );
    let text = std::fs::read_to_string(dir.join("run/members.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |m: usize, key: &str| json["members"][m][key].clone();
    assert!(of(1, "astray") == true && of(1, "failed").is_string() && of(0, "failed").is_null(), "{text}");
    assert_eq!((of(0, "steps"), of(1, "steps"), of(2, "steps")), (40.into(), 30.into(), 40.into()));
    let paths = ["run", "cells.csv", "--start", "day=0", "--until", "2", "--n", "20", "--quiet"];
    chreode(dir).arg("fate").args(paths).args(["--labels", "type", "-o", "fates.csv"]).assert().success();
    chreode(dir).args(["report", "run", "-o", "report.html", "--quiet"]).assert().success();
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("no: failed after 30 steps"));
    // A second failure leaves one, whose run is that of one model.
    go_on(40, 50);
    poison(&dir.join("run/members/3/checkpoints/000000040"));
    chreode(dir).args(["fit", "--resume", "run", "--quiet"]).assert().success();
    let text = std::fs::read_to_string(dir.join("run/members.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let failed = |m: usize| json["members"][m]["failed"].is_string();
    assert_eq!((failed(0), failed(1), failed(2)), (false, true, true), "{text}");
}

/// An error of the run, not of one member's numbers, stops the others at once and is what is told.
#[test]
fn an_error_of_the_run_halts_all_members() {
    let dir = folder();
    let dir = dir.path();
    let own = ["--seeds", "3", "--patience", "0", "-o", "run"];
    chreode(dir).args(DATA).args(SMALL).args(own).assert().success();
    // Days of updates, were they not stopped.
    let config = dir.join("run/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\nsteps = 30\n", "\nsteps = 100000000\n")).unwrap();
    // The checkpoints of the second member cannot be read.
    let checkpoints = dir.join("run/members/2/checkpoints");
    std::fs::remove_dir_all(&checkpoints).unwrap();
    std::fs::write(&checkpoints, "").unwrap();
    let resume = ["fit", "--resume", "run", "--quiet", "--threads", "2"];
    let ended = chreode(dir).args(resume).timeout(Duration::from_secs(60)).assert().code(2);
    let error = String::from_utf8_lossy(&ended.get_output().stderr).into_owned();
    assert!(error.contains("cannot read") && error.contains("checkpoints"), "{error}");
}
