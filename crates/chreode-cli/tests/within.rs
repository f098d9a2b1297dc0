//! `fit --within`: cells become cells of their own population, from the fit to the fates.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::Path;

use chreode_cells::run::{RunConfig, TrainingCells};
use chreode_cells::{Table, TableRequest};
use common::{SMALL, chreode, folder, refused};

const FIT: &[&str] = &["--time", "day", "--state", "x,y", "--within", "well"];

/// The common table with a column of wells, which the sides are: `b` on the left, `a` on the right.
fn wells(dir: &Path, name: &str, well: impl Fn(usize, f64, &str) -> &'static str) {
    let text = std::fs::read_to_string(dir.join("cells.csv")).unwrap();
    let mut lines = text.lines().enumerate();
    let mut out = format!("{},well\n", lines.next().unwrap().1);
    for (row, line) in lines {
        let fields: Vec<&str> = line.split(',').collect();
        out += &format!("{line},{}\n", well(row - 1, fields[1].parse().unwrap(), fields[6]));
    }
    std::fs::write(dir.join(name), out).unwrap();
}

fn by_side(row: usize, _day: f64, _kind: &str) -> &'static str {
    if row.is_multiple_of(2) { "b" } else { "a" }
}

fn left(dir: &Path, file: &str) -> Vec<f64> {
    let request = TableRequest { number: vec!["left"], ..TableRequest::default() };
    Table::open(dir.join(file)).unwrap().read(&request).unwrap().number.remove(0)
}

#[test]
fn populations_from_the_fit_to_the_fates() {
    let dir = folder();
    let dir = dir.path();
    wells(dir, "wells.csv", by_side);
    let assert =
        chreode(dir).args(["fit", "wells.csv", "-o", "run"]).args(FIT).args(SMALL).assert().success();
    let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
    assert!(said.contains("coupled within `well`: a (") && said.contains(" b ("), "{said}");
    let config = RunConfig::load(&dir.join("run")).unwrap();
    assert_eq!(config.data.options.within.as_deref(), Some("well"));
    let cells = TrainingCells::load(&dir.join("run/training_cells.safetensors")).unwrap();
    assert_eq!(cells.populations.unwrap().names(), ["a", "b"]);
    // A finished run is resumed to itself.
    chreode(dir).args(["fit", "--resume", "run", "--quiet"]).assert().success();

    // A model asks new cells for no column; couplings do.
    let paths = ["--start", "day=0", "--until", "2", "--labels", "type", "--quiet"];
    let fate = ["fate", "run", "cells.csv", "--n", "5", "-o", "model.csv"];
    chreode(dir).args(fate).args(paths).assert().success();
    let fate = ["fate", "run", "cells.csv", "--by", "transport", "-o", "no.csv"];
    refused(dir, &[&fate[..], &paths].concat(), &["cells.csv", "`well`"]);
    let fate = ["fate", "run", "wells.csv", "--by", "transport", "-o", "transport.csv"];
    chreode(dir).args(fate).args(paths).assert().success();
    let own = left(dir, "transport.csv");
    assert!(own.iter().enumerate().all(|(row, &p)| (p > 0.9) == row.is_multiple_of(2)), "{own:?}");
    chreode(dir).args(["report", "run", "--quiet"]).assert().success();

    let evaluate =
        ["evaluate", "wells.csv", "--leave-out", "day=1", "--seeds", "1", "--draws", "2", "-o", "out.csv"];
    chreode(dir).args(evaluate).args(FIT).args(SMALL).assert().success();
    let table = std::fs::read_to_string(dir.join("out.csv")).unwrap();
    assert!(table.contains("unbalanced transport, interpolated\",MMD,"), "{table}");
}

/// At the first time the wells are the other way round, so that cells must cross.
#[test]
fn descendants_are_of_the_same_population() {
    let dir = folder();
    let dir = dir.path();
    wells(dir, "wells.csv", |row, day, kind| by_side(row + usize::from(day == 0.0), day, kind));
    chreode(dir).args(["fit", "wells.csv", "-o", "run", "--quiet"]).args(FIT).args(SMALL).assert().success();
    let paths = ["--start", "day=0", "--until", "2", "--labels", "type", "--quiet"];
    let fate = ["fate", "run", "wells.csv", "--by", "transport", "-o", "fates.csv"];
    chreode(dir).args(fate).args(paths).assert().success();
    let own = left(dir, "fates.csv");
    assert!(own.iter().enumerate().all(|(row, &p)| (p > 0.9) != row.is_multiple_of(2)), "{own:?}");
}

#[test]
fn populations_that_cannot_be_followed_are_named() {
    let dir = folder();
    let dir = dir.path();
    let fit_refused = |file: &str, words: &[&str]| {
        refused(dir, &[&["fit", file, "-o", "run"], FIT, SMALL].concat(), words);
    };
    fit_refused("cells.csv", &["cells.csv", "`well`"]);
    wells(dir, "missing.csv", |row, day, kind| if day == 2.0 { "a" } else { by_side(row, day, kind) });
    fit_refused("missing.csv", &["missing.csv", "`well` = b", "`day` = 2", ": 0", "10"]);
    wells(dir, "empty.csv", |row, day, kind| if row == 3 { "" } else { by_side(row, day, kind) });
    fit_refused("empty.csv", &["empty.csv", "`c0_3`", "`well`"]);
    let state = ["fit", "cells.csv", "-o", "run", "--time", "day", "--state", "x,score", "--within", "score"];
    refused(dir, &state, &["`score`", "the populations"]);
}
