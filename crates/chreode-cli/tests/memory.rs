//! Fits within little memory: the same model, less taken, and a word when it cannot be.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::{Path, PathBuf};

use chreode_cells::{Column, DenseMatrix, H5adWriter};
use common::{SMALL, Uniform, chreode, refused, tree};

/// Cells of a basis of 40 coordinates: in memory twice they take 48 MB.
const CELLS: usize = 150_000;
const DIM: usize = 40;

fn write(path: &Path) {
    let mut random = Uniform(3);
    let day = |i: usize| (i % 3) as f64;
    let values = (0..CELLS * DIM).map(|k| (random.next() + 0.3 * day(k / DIM)) as f32).collect();
    let mut file = H5adWriter::new((0..CELLS).map(|i| format!("c{i}")).collect(), Vec::new());
    file.obs("day", Column::Number((0..CELLS).map(day).collect()));
    file.obsm("X_some", DenseMatrix { rows: CELLS, cols: DIM, values });
    file.write(path).unwrap();
}

/// Fits by simulation, for which so many coordinates are no work, and returns the peak of the memory in bytes with what was said.
fn fit(dir: &Path, out: &str, memory: &[&str]) -> (u64, String) {
    let base = ["fit", "cells.h5ad", "--time", "day", "--basis", "X_some", "-o", out, "--json"];
    let route = ["--route", "simulation"];
    let command = [&base[..], &route, SMALL, memory].concat();
    let output = chreode(dir).args(command).assert().success().get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    let peak = text.split("\"peak_memory_bytes\":").nth(1).unwrap();
    let digits = peak.find(|c: char| !c.is_ascii_digit()).unwrap();
    (peak[..digits].parse().unwrap_or(0), text)
}

#[test]
fn cells_in_a_file_take_less_memory_and_give_the_same_model() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("cells.h5ad"));
    let (large, told) = fit(dir.path(), "large", &["--memory", "4GB"]);
    assert!(told.contains("with all cells in it, of 4000 MB"), "{told}");
    // Their states are 24 MB, once as they are read and once by time.
    let (small, told) = fit(dir.path(), "small", &["--memory", "400MB"]);
    assert!(told.contains("whose states (24 MB) lie in a file"), "{told}");
    for file in ["model.safetensors", "training_cells.safetensors"] {
        let of = |run: &str| std::fs::read(dir.path().join(run).join(file)).unwrap();
        assert!(of("small") == of("large"), "{file} differs");
    }
    let names: Vec<_> = tree(dir.path()).into_iter().filter(|p| p.components().count() == 1).collect();
    assert_eq!(names, ["cells.h5ad", "large", "small"].map(PathBuf::from));
    if cfg!(target_os = "linux") {
        let limit = 400_000_000;
        assert!(small <= limit, "{small} bytes of {limit}");
        // Half of what lies in the file leaves room for what an allocator does.
        assert!(small + 24_000_000 < large, "{small} bytes instead of {large}");
    }

    // The least that will do, and one megabyte less.
    let base = ["fit", "cells.h5ad", "--time", "day", "--basis", "X_some", "-o", "none"];
    let words = ["its 150000 cells need about", "more than the 300 MB allowed", "--memory"];
    refused(dir.path(), &[&base[..], &["--memory", "300MB"]].concat(), &words);
    let output =
        chreode(dir.path()).args(base).args(["--memory", "much"]).assert().code(2).get_output().clone();
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected a size such as 2GB"));
}

/// A run that was fitted with its cells in a file goes on with them in memory, and the other way round.
#[test]
fn runs_resume_whatever_the_memory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cells.csv"), common::table(400)).unwrap();
    let base = ["fit", "cells.csv", "--time", "day", "--state", "x,y", "-o"];
    // What is taken whatever the cells, and 180 bytes of each: their states have no room.
    let little = (256_u64 << 20) + (96 << 20) + 180 * 1200;
    let little = little.to_string();
    for (out, first, then) in [("a", "4GB", "4GB"), ("b", &little, "4GB"), ("c", "4GB", &little)] {
        let run = |rest: &[&str]| chreode(dir.path()).args(rest).assert().success();
        let told = run(&[&base[..], &[out, "--memory", first], SMALL].concat()).get_output().clone();
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.contains("lie in a file"), first == little, "{told}");
        let last = dir.path().join(out).join("model.safetensors");
        std::fs::remove_file(&last).unwrap();
        run(&["fit", "--resume", out, "--quiet", "--memory", then]);
        let of = |out: &str| std::fs::read(dir.path().join(out).join("model.safetensors")).unwrap();
        assert!(of(out) == of("a"), "{out} differs");
    }
}
