//! The commands on real data, with few steps: they read it, finish and write what they say.
//!
//! The environment variable `CHREODE_DATA` names the folder of the data; without it these tests say that they were
//! skipped.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::path::{Path, PathBuf};

use chreode_cells::{Column, Dataset, DatasetOptions, H5ad, H5adWriter, Table};
use common::{chreode, refused};

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

/// Published files whose coordinates say nothing of their genes: the cells tell whether they are the run's.
#[test]
fn coordinates_of_published_files() {
    for (file, time, start, until, labels) in [
        ("larry/larry_781.h5ad", "time_info", "2", "6", "state_info"),
        ("timecourse/pancreas_100.h5ad", "age(days)", "12", "35", "clusters"),
    ] {
        let Some(path) = data(file) else { continue };
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        run(dir, &[&["fit", &path, "--time", time, "--basis", "X_pca"][..], SMALL].concat());
        let options =
            DatasetOptions { time: time.into(), labels: Some(labels.into()), ..DatasetOptions::default() };
        let cells = Dataset::load(&path, &options).unwrap();
        let write = |name: &str, prefix: &str, sign: f32| {
            let ids = cells.ids.iter().map(|id| format!("{prefix}{id}")).collect();
            let mut out = H5adWriter::new(ids, Vec::new());
            let mut pca = H5ad::open(&path).unwrap().obsm("X_pca").unwrap();
            pca.values.iter_mut().for_each(|x| *x *= sign);
            out.obsm("X_pca", pca);
            out.obs(time, Column::Number(cells.times.clone()));
            out.obs(labels, Column::Labels(cells.labels.clone().unwrap()));
            out.write(&dir.join(name)).unwrap();
        };
        write("same.h5ad", "", 1.0);
        write("turned.h5ad", "", -1.0);
        write("others.h5ad", "new-", -1.0);
        let start = format!("{time}={start}");
        let fate = |file: &'static str| {
            [
                &["fate", "run", file, "--start", &start, "--until", until, "--labels", labels][..],
                &["--n", "2", "-o", "fates.csv"],
            ]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
        };
        for (name, warned) in [("same.h5ad", false), ("others.h5ad", true)] {
            let assert = chreode(dir).args(fate(name)).assert().success();
            let said = String::from_utf8_lossy(&assert.get_output().stderr).into_owned();
            assert_eq!(said.contains("warning: nothing in"), warned, "{file} {name}: {said}");
        }
        std::fs::remove_file(dir.join("fates.csv")).unwrap();
        let turned = fate("turned.h5ad");
        let turned: Vec<&str> = turned.iter().map(String::as_str).collect();
        refused(dir, &turned, &["turned.h5ad", &format!("of {} cells", cells.len()), "another basis"]);
    }
}
