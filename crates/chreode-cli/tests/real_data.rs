//! The commands on real data, with few steps: they read it, finish and write what they say.
//!
//! The environment variable `CHREODE_DATA` names the folder of the data; without it these tests say that they were
//! skipped.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::{Path, PathBuf};

use chreode_cells::{H5ad, Table};
use common::chreode;

const SMALL: &[&str] =
    &["--drift-hidden", "32,32", "--steps", "20", "--batch", "128", "--quiet", "-o", "run"];

/// A file of the real data; nothing, and a word about it, if there is none.
fn data(file: &str) -> Option<String> {
    let folder = std::env::var_os("CHREODE_DATA").map(PathBuf::from);
    let path = folder.map(|f| f.join(file)).filter(|path| path.exists());
    if path.is_none() {
        eprintln!("skipped: CHREODE_DATA is not set, or has no {file}");
    }
    path.map(|path| path.to_str().unwrap().to_owned())
}

fn run(dir: &Path, args: &[&str]) {
    chreode(dir).args(args).assert().success();
}

#[test]
fn larry_in_two_coordinates() {
    let (Some(cells), Some(states)) = (data("larry/cells.csv.gz"), data("larry/states_781.csv")) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let columns = ["--time", "day", "--state", "spring_x,spring_y", "--learn-growth"];
    run(dir, &[&["fit", &cells][..], &columns, SMALL].concat());
    let paths = ["--start", "day=2", "--until", "6", "--n", "2", "--quiet"];
    let labels = ["--labels", "state", "--labels-from", &states, "-o", "fates.csv"];
    run(dir, &[&["fate", "run", &cells][..], &paths, &labels].concat());
    let names = Table::open(dir.join("fates.csv")).unwrap().names().to_vec();
    assert_eq!(names.len(), 14, "{names:?}");
    assert!(names.contains(&"Neutrophil".to_owned()) && names[13] == "entropy");
    run(dir, &["report", "run", "-o", "report.html", "--quiet"]);
    let page = std::fs::metadata(dir.join("report.html")).unwrap().len();
    assert!((100_000..5_000_000).contains(&page), "{page} bytes");

    // Growth of a column is kept with the cells, and measured.
    let columns = ["--time", "day", "--state", "spring_x,spring_y", "--growth", "growth_score"];
    run(dir, &[&["fit", &cells, "--overwrite"][..], &columns, SMALL].concat());
    run(dir, &["report", "run", "-o", "report.html", "--quiet"]);
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("Growth weights have an effective sample size of"));
}

#[test]
fn larry_with_genes() {
    let Some(cells) = data("larry/larry_781.h5ad") else { return };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, &[&["fit", &cells, "--time", "time_info", "--basis", "none"], SMALL].concat());
    let paths = ["--start", "time_info=2", "--until", "6", "--n", "5", "--quiet"];
    let change = ["--set", "Gata1=+3", "--labels", "state_info", "-o", "shifts.csv"];
    run(dir, &[&["perturb", "run", &cells][..], &paths, &change].concat());
    assert_eq!(Table::open(dir.join("shifts.csv")).unwrap().names()[3], "shift");
    run(dir, &[&["simulate", "run", &cells][..], &paths, &["-o", "sims.h5ad"]].concat());
    let sims = H5ad::open(dir.join("sims.h5ad")).unwrap().obsm("X_pca").unwrap();
    assert_eq!((sims.rows, sims.cols), (34 * 5, 50));
}

#[test]
fn counts_and_coordinates_of_other_studies() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (file, columns) in [
        ("semrau/counts.csv", "--time time_h --basis none --exclude RA --components 10"),
        ("timecourse/emt_3d.csv", "--time samples --state x1,x2,x3 --leave-out samples=2"),
        ("timecourse/larry_2d_standard.csv", "--time samples --state x1,x2"),
        ("timecourse/reprogramming_250.h5ad", "--time day"),
    ] {
        let Some(path) = data(file) else { continue };
        let columns: Vec<&str> = columns.split(' ').collect();
        run(dir, &[&["fit", &path, "--overwrite"][..], &columns, SMALL].concat());
        assert!(chreode_model::load::<f32>(&dir.join("run/model.safetensors")).is_ok(), "{file}");
    }
}
