//! `fit --clone`: cells couple with those of their clone, whole clones are held out, and what they say is told.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use chreode_cells::run::{HeldOutClones, RunConfig, TrainingCells};
use chreode_train::HoldOutBy;
use common::{SMALL, chreode, folder, refused};

const FIT: &[&str] = &["--time", "day", "--state", "x,y", "--clone", "barcode", "--hold-out", "0.4"];

/// The common table with a column of barcodes.
fn barcodes(dir: &Path, name: &str, barcode: impl Fn(usize, usize) -> String) {
    let text = std::fs::read_to_string(dir.join("cells.csv")).unwrap();
    let mut lines = text.lines();
    let mut out = format!("{},barcode\n", lines.next().unwrap());
    for line in lines {
        let (day, i) = line[1..line.find(',').unwrap()].split_once('_').unwrap();
        writeln!(out, "{line},{}", barcode(day.parse().unwrap(), i.parse().unwrap())).unwrap();
    }
    std::fs::write(dir.join(name), out).unwrap();
}

/// Ten clones of four cells a day, each on one side, and one cell a day of none.
fn by_side(_day: usize, i: usize) -> String {
    if i == 39 { "lost".to_owned() } else { format!("b{}_{}", i % 2, i / 8) }
}

fn clones(dir: &Path, run: &str) -> HeldOutClones {
    serde_json::from_slice(&std::fs::read(dir.join(run).join("clones.json")).unwrap()).unwrap()
}

#[test]
fn clones_from_the_fit_to_the_report() {
    let dir = folder();
    let dir = dir.path();
    barcodes(dir, "barcodes.csv", by_side);
    let fit = ["fit", "barcodes.csv", "-o", "run", "--no-clone", "lost", "--json"];
    let assert = chreode(dir).args(fit).args(FIT).args(SMALL).assert().success();
    let said = String::from_utf8_lossy(&assert.get_output().stdout).into_owned()
        + &String::from_utf8_lossy(&assert.get_output().stderr);
    assert!(said.contains("10 clones of `barcode`") && said.contains("\"held_out_clones\""), "{said}");
    assert!(said.contains("energy score of held-out clones"), "{said}");
    let config = RunConfig::load(&dir.join("run")).unwrap();
    assert_eq!(config.data.options.clone.as_deref(), Some("barcode"));
    assert_eq!(config.data.options.no_clone.as_deref(), Some("lost"));
    assert_eq!(config.training.hold_out_by, HoldOutBy::Clone);
    assert!(config.training.matching.unwrap().clone_neighbours.is_some());

    // Clones are held out whole, and named; cells of none are not followed.
    let cells = TrainingCells::load(&dir.join("run/training_cells.safetensors")).unwrap();
    let held = clones(dir, "run");
    assert!(held.coupled && held.column == "barcode" && !held.held_out.is_empty(), "{held:?}");
    let of = cells.clones.as_ref().unwrap();
    let mut names = BTreeSet::new();
    for row in 0..cells.len() {
        match of.name(row) {
            Some(name) => {
                assert_eq!(cells.held_out[row], held.held_out.iter().any(|h| h == name), "{name}");
                names.insert(name);
            }
            None => assert!(cells.ids[row].ends_with("_39")),
        }
    }
    assert_eq!(names.len(), 10);
    let pairs: Vec<[f64; 2]> = held.scores.iter().map(|s| [s.start, s.target]).collect();
    assert_eq!(pairs, [[0.0, 1.0], [1.0, 2.0], [0.0, 2.0]]);
    assert!(
        held.scores.iter().all(|s| s.clones == held.held_out.len() && s.score > 0.0 && s.score.is_finite())
    );

    // A finished run is resumed to itself, and one that was interrupted to the same.
    chreode(dir).args(["fit", "--resume", "run", "--quiet"]).assert().success();
    assert_eq!(clones(dir, "run"), held);
    let model = std::fs::read(dir.join("run/model.safetensors")).unwrap();
    let checkpoints: Vec<_> =
        std::fs::read_dir(dir.join("run/checkpoints")).unwrap().map(|e| e.unwrap().path()).collect();
    std::fs::remove_file(checkpoints.iter().max().unwrap()).unwrap();
    chreode(dir).args(["fit", "--resume", "run", "--quiet"]).assert().success();
    assert_eq!(std::fs::read(dir.join("run/model.safetensors")).unwrap(), model);
    assert_eq!(clones(dir, "run"), held);

    chreode(dir).args(["report", "run", "--quiet"]).assert().success();
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(
        page.contains("Clones that were held out whole") && page.contains("decided which cells were coupled")
    );

    // The same clones are held out where they have no other part; the fit is another.
    let without =
        ["fit", "barcodes.csv", "-o", "without", "--quiet", "--holdout-by", "barcode", "--hold-out", "0.4"];
    let state = ["--time", "day", "--state", "x,y"];
    chreode(dir).args(without).args(state).args(SMALL).assert().success();
    assert!(!clones(dir, "without").coupled);
    assert_ne!(std::fs::read(dir.join("without/model.safetensors")).unwrap(), model);

    // New cells need no clones.
    let fate = ["fate", "run", "cells.csv", "--n", "5", "-o", "f.csv", "--start", "day=0", "--until", "2"];
    chreode(dir).args(fate).args(["--labels", "type", "--quiet"]).assert().success();
}

#[test]
fn clones_that_say_nothing_are_named() {
    let dir = folder();
    let dir = dir.path();
    barcodes(dir, "barcodes.csv", by_side);
    let fit = |file: &str, more: &[&str], words: &[&str]| {
        refused(dir, &[&["fit", file, "-o", "run"], FIT, SMALL, more].concat(), words);
    };
    fit("cells.csv", &[], &["cells.csv", "`barcode`"]);
    barcodes(dir, "once.csv", |day, i| format!("b{day}_{i}"));
    fit("once.csv", &[], &["once.csv", "120 clones", "`barcode`", "two of the times"]);
    fit("barcodes.csv", &["--no-clone", "gone"], &["barcodes.csv", "`gone`", "`barcode`", "--no-clone"]);
    fit("barcodes.csv", &["--route", "simulation"], &["--clone", "--route matching"]);
    fit("barcodes.csv", &["--holdout-by", "type"], &["--holdout-by type", "--clone barcode"]);
    let state = ["fit", "cells.csv", "-o", "run", "--time", "day", "--state", "x,score", "--clone", "score"];
    refused(dir, &state, &["`score`", "the clones"]);
    let alone = ["fit", "cells.csv", "-o", "run", "--time", "day", "--no-clone", "x"];
    let said = chreode(dir).args(alone).assert().code(2);
    assert!(String::from_utf8_lossy(&said.get_output().stderr).contains("--clone"));
}
