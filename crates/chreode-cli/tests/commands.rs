//! The whole job in seconds, on small synthetic tables and `.h5ad` files: every command, every kind of output.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;

use chreode_cells::{Column, DenseMatrix, H5ad, H5adWriter, Labels, Matrix, Table, TableRequest};
use common::{SMALL, Uniform, chreode, fit, folder, refused, tree};

const PATHS: &[&str] = &["--start", "day=0", "--until", "2", "--quiet"];

/// The header of a table, its text columns and its numbers by name.
fn column(dir: &Path, file: &str, name: &str) -> Vec<f64> {
    let request = TableRequest { number: vec![name], ..TableRequest::default() };
    Table::open(dir.join(file)).unwrap().read(&request).unwrap().number.remove(0)
}

fn header(dir: &Path, file: &str) -> Vec<String> {
    Table::open(dir.join(file)).unwrap().names().to_vec()
}

/// What a command says last with `--json`.
fn told(dir: &Path, args: &[&str]) -> serde_json::Value {
    let assert = chreode(dir).args(args).arg("--json").assert().success();
    let output = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    serde_json::from_str(output.lines().last().unwrap()).unwrap()
}

#[test]
fn simulated_cells_in_three_formats() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    for out in ["sims.csv", "sims.csv.gz", "sims.h5ad"] {
        let args = ["simulate", "run", "cells.csv", "--n", "3", "--at", "1", "-o", out];
        chreode(dir).args(args).args(PATHS).assert().success().stdout("");
    }
    let names = header(dir, "sims.csv");
    assert_eq!(names, ["cell", "sim", "time", "weight", "x", "y"]);
    for name in &names[1..] {
        assert_eq!(column(dir, "sims.csv", name), column(dir, "sims.csv.gz", name), "{name}");
    }
    let (x, t) = (column(dir, "sims.csv", "x"), column(dir, "sims.csv", "time"));
    assert_eq!(x.len(), 40 * 2 * 3);
    assert!(t.iter().take(6).eq(&[1.0, 1.0, 1.0, 2.0, 2.0, 2.0]));
    assert_ne!(x[0], x[1], "paths of one cell have their own noise");
    assert!(column(dir, "sims.csv", "weight").iter().all(|&w| w == 1.0), "a model without growth");

    let file = H5ad::open(dir.join("sims.h5ad")).unwrap();
    let states = file.obsm("X_state").unwrap();
    assert_eq!((states.rows, states.cols), (240, 2));
    assert!((0..240).all(|i| f64::from(states.row(i)[0]) == f64::from(x[i] as f32)));
    let Column::Number(time) = file.obs("time").unwrap() else { panic!("time is no number") };
    assert_eq!(time, t);

    // Some cells only, and the same cells in another order.
    let only = ["simulate", "run", "cells.csv", "--cells", "c0_7,c0_3", "--n", "2", "-o", "two.csv"];
    chreode(dir).args(only).args(PATHS).assert().success();
    assert_eq!(column(dir, "two.csv", "sim"), [0.0, 1.0, 0.0, 1.0]);
    refused(
        dir,
        &["simulate", "run", "cells.csv", "--start", "day=0", "--until", "2", "--at", "3", "-o", "x.csv"],
        &["--at 3", "--until 2"],
    );
}

/// A blur that no iteration resolves: said while it learns, kept in the metrics, and again in the report.
#[test]
fn a_loss_that_does_not_converge_is_told() {
    const TOLD: &str = "the Sinkhorn iterations stopped before they converged";
    let dir = folder();
    let dir = dir.path();
    let base = [
        "fit",
        "cells.csv",
        "--time",
        "day",
        "--state",
        "x,y",
        "--route",
        "simulation",
        "--loss",
        "sinkhorn",
    ];
    let fit = |blur: &str, out: &str| {
        let assert = chreode(dir).args(base).args(["--blur", blur, "-o", out]).args(SMALL).assert().success();
        String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
    };
    let report = |run: &str| {
        chreode(dir).args(["report", run, "--quiet"]).assert().success();
        std::fs::read_to_string(dir.join("report.html")).unwrap()
    };
    let metrics = |run: &str| std::fs::read_to_string(dir.join(run).join("metrics.jsonl")).unwrap();
    let said = fit("0.0005", "bad");
    assert_eq!(said.matches("warning: ").count(), 2, "at once and at the end: {said}");
    assert_eq!(said.matches(TOLD).count(), 2, "{said}");
    assert_eq!(metrics("bad").matches("\"learning_rate\":0.001,\"marginal_error\":").count(), 30);
    assert!(report("bad").contains(TOLD));
    let said = fit("1", "good");
    assert!(!said.contains("warning"), "{said}");
    assert!(metrics("good").contains("\"marginal_error\":") && !report("good").contains(TOLD));
}

#[test]
fn learned_and_given_growth_weigh_the_paths() {
    let dir = folder();
    let dir = dir.path();
    let base = ["fit", "cells.csv", "--time", "day", "--state", "x,y", "--quiet"];
    chreode(dir).args(base).args(["--growth", "score", "-o", "given"]).args(SMALL).assert().success();
    chreode(dir).args(base).args(["--learn-growth", "-o", "learned"]).args(SMALL).assert().success();
    for run in ["given", "learned"] {
        let out = format!("{run}.csv");
        let args = ["simulate", run, "cells.csv", "--n", "1", "-o", &out];
        chreode(dir).args(args).args(PATHS).assert().success();
    }
    // Rates are -0.1 and 0.1 by side; two days make exp(±0.2).
    let weights = column(dir, "given.csv", "weight");
    assert!(
        weights
            .iter()
            .enumerate()
            .all(|(i, w)| { (w.ln() - if i % 2 == 0 { -0.2 } else { 0.2 }).abs() < 1e-9 })
    );
    let learned = column(dir, "learned.csv", "weight");
    assert!(learned.iter().all(|&w| w > 0.0) && learned.iter().any(|&w| w != 1.0));
    for (run, of_column) in [("given", true), ("learned", false)] {
        chreode(dir).args(["report", run, "--quiet"]).assert().success();
        let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
        assert!(page.contains("Growth weights have an effective sample size of"), "{run}");
        assert_eq!(page.contains("by the growth rates of the data"), of_column);
    }
}

#[test]
fn fates_are_probabilities() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    let fate = ["fate", "run", "cells.csv", "--labels", "type", "--n", "10", "-o", "fates.csv"];
    chreode(dir).args(fate).args(PATHS).assert().success();
    assert_eq!(header(dir, "fates.csv"), ["cell", "left", "right", "entropy"]);
    let [left, right, entropy] = ["left", "right", "entropy"].map(|name| column(dir, "fates.csv", name));
    assert_eq!(left.len(), 40);
    for i in 0..40 {
        assert!((left[i] + right[i] - 1.0).abs() < 1e-12 && left[i] > 0.0 && right[i] > 0.0);
        let h = -left[i] * left[i].ln() - right[i] * right[i].ln();
        assert!((entropy[i] - h).abs() < 1e-12);
    }
    let one = ["--fates", "right", "-o", "one.csv"];
    chreode(dir).args(&fate[..7]).args(one).args(PATHS).assert().success();
    assert_eq!(header(dir, "one.csv"), ["cell", "right", "entropy"]);
    assert!(column(dir, "one.csv", "right").iter().all(|&p| p == 1.0));

    // Labels from a table of their own give the same fates.
    let text = std::fs::read_to_string(dir.join("cells.csv")).unwrap();
    let mut own = String::new();
    for line in text.lines() {
        let f: Vec<&str> = line.split(',').collect();
        writeln!(own, "{},{}", f[0], f[6].replace("type", "kind")).unwrap();
    }
    std::fs::write(dir.join("kinds.csv"), own).unwrap();
    let joined = ["fate", "run", "cells.csv", "--labels", "kind", "--labels-from", "kinds.csv", "--n", "10"];
    chreode(dir).args(joined).args(["-o", "joined.csv"]).args(PATHS).assert().success();
    let [a, b] = ["fates.csv", "joined.csv"].map(|f| std::fs::read(dir.join(f)).unwrap());
    assert!(a == b);
}

/// Counts of 30 genes in 120 cells of three days: genes 0 to 9 rise with the day in one half of the cells.
fn counts(path: &Path) {
    counts_and_more(path, 0);
}

/// The same cells, with so many further genes that have ten times their counts.
fn counts_and_more(path: &Path, more: usize) {
    let (n, genes) = (40, 30);
    let mut random = Uniform(11);
    let (mut values, mut days, mut kinds, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for day in 0..3 {
        for i in 0..n {
            for g in 0..genes {
                let rises = (g < 10 && i % 2 == 0) || ((10..20).contains(&g) && i % 2 == 1);
                let level = 3.0 + if rises { 8.0 * f64::from(day) } else { 0.0 };
                values.push((level * (1.0 + 0.5 * random.next())).round() as f32);
            }
            values.extend((0..more).map(|g| (100 * (i + g) % 700) as f32));
            days.push(f64::from(day));
            kinds.push(["early", "odd", "even"][if day == 0 { 0 } else { 2 - i % 2 }]);
            names.push(format!("d{day}c{i}"));
        }
    }
    let var = (0..genes + more).map(|g| format!("g{g}")).collect();
    let mut file = H5adWriter::new(names, var);
    file.x(Matrix::Dense(DenseMatrix { rows: 3 * n, cols: genes + more, values }));
    file.obs("day", Column::Number(days));
    file.obs("cell_type", Column::Labels(Labels::from_text(&kinds)));
    file.write(path).unwrap();
}

#[test]
fn genes_are_perturbed_through_components_of_our_own() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    counts(&dir.join("cells.h5ad"));
    let args = ["fit", "cells.h5ad", "--time", "day", "--components", "4", "-o", "run", "--quiet"];
    chreode(dir).args(args).args(SMALL).assert().success();
    let perturb = ["perturb", "run", "cells.h5ad", "--labels", "cell_type", "--n", "10"];
    let set = ["--set", "g0=+3,g15=-3", "--per-cell", "cells.csv", "-o", "shifts.csv"];
    chreode(dir).args(perturb).args(set).args(PATHS).assert().success();
    assert_eq!(
        header(dir, "shifts.csv"),
        ["label", "baseline", "perturbed", "shift", "se", "lower", "upper"]
    );
    let [before, after, shift, se, lower] =
        ["baseline", "perturbed", "shift", "se", "lower"].map(|name| column(dir, "shifts.csv", name));
    assert!(
        (before.iter().sum::<f64>() - 1.0).abs() < 1e-9 && (after.iter().sum::<f64>() - 1.0).abs() < 1e-9
    );
    for k in 0..3 {
        assert!((after[k] - before[k] - shift[k]).abs() < 1e-12 && lower[k] <= shift[k] && se[k] >= 0.0);
    }
    assert!(shift.iter().any(|s| s.abs() > 1e-4), "{shift:?}");
    assert_eq!(column(dir, "cells.csv", "shift").len(), 40 * 3);

    let nothing = ["--set", "g0=0", "-o", "nothing.csv"];
    chreode(dir).args(perturb).args(nothing).args(PATHS).assert().success();
    assert!(column(dir, "nothing.csv", "shift").iter().all(|&s| s == 0.0), "both arms share their noise");

    // A shift by 2 moves the decoded gene by what the components hold of it, a clamp to 2 moves it to there.
    let shift = told(dir, &[&perturb[..], &PATHS[..4], &["--set", "g0=2,g15=-1", "-o", "set.csv"]].concat());
    let clamp = told(dir, &[&perturb[..], &PATHS[..4], &["--clamp", "g0=2", "-o", "held.csv"]].concat());
    let number = |x: &serde_json::Value| x.as_f64().unwrap();
    let (g0, g15) = (&shift["genes"][0], &shift["genes"][1]);
    assert_eq!((g0["gene"].as_str(), number(&g0["change"]["set"])), (Some("g0"), 2.0));
    let hold = number(&g0["held"]);
    assert!((0.05..0.95).contains(&hold), "{shift}");
    assert!(number(&g0["moved"]) < 1.9 && number(&g15["moved"]) < 0.0, "{shift}");
    let alone = told(dir, &[&perturb[..], &PATHS[..4], &["--set", "g0=2", "-o", "set.csv"]].concat());
    assert!((number(&alone["genes"][0]["moved"]) - 2.0 * hold).abs() < 1e-4, "{alone} {hold}");
    let held = &clamp["genes"][0];
    assert_eq!((number(&held["change"]["clamp"]), number(&held["held"])), (2.0, hold));
    // Cells of day 0 are near the middle: all the way to 2, not the part that the shift went.
    assert!(number(&held["moved"]) > 1.5, "{clamp}");
    // The same for people, a line a gene, and in the report.
    let said =
        chreode(dir).args(perturb).args(&PATHS[..4]).args(["--clamp", "g0=2", "-o", "held.csv"]).assert();
    let said = String::from_utf8(said.success().get_output().stderr.clone()).unwrap();
    let line = said.lines().find(|l| l.starts_with("g0 held at 2 sd")).expect(&said);
    assert!(line.contains(&format!("{:.1} %", 100.0 * hold)), "{line}");
    chreode(dir).args(["report", "run", "-o", "report.html", "--quiet"]).assert().success();
    let report = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(report.contains("What was done to the genes"));

    let with = |options: &[&'static str]| [&perturb[..], &PATHS[..4], options, &["-o", "no.csv"]].concat();
    refused(dir, &with(&["--set", "G0=1"]), &["`G0`", "`g0`"]);
    refused(dir, &with(&["--set", "g0=1", "--clamp", "g0=0"]), &["`g0`", "twice"]);
}

#[test]
fn genes_that_the_run_does_not_know_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    counts(&dir.join("cells.h5ad"));
    counts_and_more(&dir.join("more.h5ad"), 15);
    let args = ["fit", "cells.h5ad", "--time", "day", "--components", "4", "-o", "run", "--quiet"];
    chreode(dir).args(args).args(SMALL).assert().success();
    for (file, out) in [("cells.h5ad", "a.csv"), ("more.h5ad", "b.csv")] {
        let args = ["fate", "run", file, "--labels", "cell_type", "--n", "5", "-o", out];
        chreode(dir).args(args).args(PATHS).assert().success();
    }
    let [a, b] = ["a.csv", "b.csv"].map(|f| std::fs::read(dir.join(f)).unwrap());
    assert!(a == b);
}

#[test]
fn a_run_goes_on_without_its_table_of_labels() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    counts(&dir.join("cells.h5ad"));
    let mut kinds = String::from("name,kind\n");
    (0..40).for_each(|i| writeln!(kinds, "d2c{i},{}", ["odd", "even"][1 - i % 2]).unwrap());
    std::fs::write(dir.join("kinds.csv"), kinds).unwrap();
    let labels = ["--labels", "kind", "--labels-from", "kinds.csv", "--labels-id", "name"];
    let args = ["fit", "cells.h5ad", "--time", "day", "--components", "4", "-o", "run", "--quiet"];
    chreode(dir).args(args).args(labels).args(SMALL).assert().success();
    let whole = std::fs::read(dir.join("run/model.safetensors")).unwrap();
    // As if it had been killed before its last checkpoint.
    std::fs::remove_file(dir.join("run/checkpoints/000000030")).unwrap();
    std::fs::remove_file(dir.join("run/model.safetensors")).unwrap();
    std::fs::remove_file(dir.join("kinds.csv")).unwrap();
    chreode(dir).args(["fit", "--resume", "run", "--quiet"]).assert().success();
    assert!(std::fs::read(dir.join("run/model.safetensors")).unwrap() == whole);
    // The report still shows them.
    chreode(dir).args(["report", "run", "-o", "report.html", "--quiet"]).assert().success();
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains(">even<") && page.contains(">odd<"));
}

/// Cells of three days with coordinates of two principal components; what `with` adds to the file.
fn given_pca(path: &Path, prefix: &str, sign: f32, with: impl FnOnce(&mut H5adWriter)) {
    let mut random = Uniform(3);
    let names = (0..120).map(|i| format!("{prefix}{i}")).collect();
    let mut file = H5adWriter::new(names, (0..4).map(|g| format!("g{g}")).collect());
    let values = (0..120 * 2).map(|i| sign * ((i / 80) as f32 + random.next() as f32)).collect();
    file.obsm("X_pca", DenseMatrix { rows: 120, cols: 2, values });
    file.obs("day", Column::Number((0..120).map(|i| f64::from(i / 40)).collect()));
    let kinds: Vec<&str> = (0..120).map(|i| ["a", "b"][i % 2]).collect();
    file.obs("cell_type", Column::Labels(Labels::from_text(&kinds)));
    with(&mut file);
    file.write(path).unwrap();
}

/// Loadings of four genes and their scaling, the loadings times `sign`.
fn loadings(sign: f32) -> impl FnOnce(&mut H5adWriter) {
    move |file| {
        let values = [0.6, 0.8, 0.8, -0.6, 0.1, 0.2, 0.3, 0.1].map(|w| sign * w).to_vec();
        file.varm("PCs", DenseMatrix { rows: 4, cols: 2, values });
        file.var("mean", Column::Number(vec![1.0; 4])).var("std", Column::Number(vec![0.5; 4]));
    }
}

#[test]
fn a_basis_computed_anew_is_not_misread() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let fit = |file: &str, run: &str| {
        let args = ["fit", file, "--time", "day", "--basis", "X_pca", "-o", run, "--quiet"];
        chreode(dir).args(args).args(SMALL).assert().success();
    };
    let fate = |run: &'static str, file: &'static str| {
        let labels = ["--labels", "cell_type", "--n", "2", "-o", "fates.csv"];
        [&["fate", run, file][..], &PATHS[..4], &labels].concat()
    };
    let says = |run: &'static str, file: &'static str| {
        let assert = chreode(dir).args(fate(run, file)).assert().success();
        String::from_utf8_lossy(&assert.get_output().stderr).into_owned()
    };
    given_pca(&dir.join("pca.h5ad"), "c", 1.0, loadings(1.0));
    given_pca(&dir.join("new.h5ad"), "n", 1.0, loadings(1.0));
    given_pca(&dir.join("anew.h5ad"), "n", -1.0, loadings(-1.0));
    given_pca(&dir.join("bare.h5ad"), "c", 1.0, |_| ());
    given_pca(&dir.join("turned.h5ad"), "c", -1.0, |_| ());
    given_pca(&dir.join("others.h5ad"), "n", -1.0, |_| ());
    fit("pca.h5ad", "run");
    fit("bare.h5ad", "bare");
    for (run, file) in [
        ("run", "pca.h5ad"),
        ("run", "new.h5ad"),
        ("run", "bare.h5ad"),
        ("bare", "bare.h5ad"),
        ("bare", "pca.h5ad"),
    ] {
        let said = says(run, file);
        assert!(!said.contains("warning"), "{run} {file}: {said}");
    }
    for run in ["run", "bare"] {
        let said = says(run, "others.h5ad");
        assert!(said.contains("warning: nothing in others.h5ad tells whether its `X_pca`"), "{run}: {said}");
    }
    std::fs::remove_file(dir.join("fates.csv")).unwrap();
    refused(dir, &fate("run", "anew.h5ad"), &["anew.h5ad", "of 4 genes in both, 4", "`g0`", "--basis none"]);
    for run in ["run", "bare"] {
        refused(dir, &fate(run, "turned.h5ad"), &["turned.h5ad", "of 120 cells", "`c0`", "other names"]);
    }
    for command in [
        &["simulate", "run", "anew.h5ad"][..],
        &["perturb", "run", "anew.h5ad", "--labels", "cell_type", "--set", "g0=1"],
    ] {
        refused(dir, &[command, &PATHS[..4], &["-o", "out.csv"]].concat(), &["another basis"]);
    }
}

#[test]
fn coordinates_without_loadings_refuse_genes_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    counts(&dir.join("counts.h5ad"));
    let file = H5ad::open(dir.join("counts.h5ad")).unwrap();
    let mut with_pca = H5adWriter::new(file.obs_names().unwrap(), vec![]);
    let mut random = Uniform(3);
    let values = (0..120 * 2).map(|i| (i / 80) as f32 + random.next() as f32).collect();
    with_pca.obsm("X_pca", DenseMatrix { rows: 120, cols: 2, values });
    for column in ["day", "cell_type"] {
        with_pca.obs(column, file.obs(column).unwrap());
    }
    with_pca.write(&dir.join("pca.h5ad")).unwrap();
    // X_pca is found without being named.
    let args = ["fit", "pca.h5ad", "--time", "day", "-o", "run", "--quiet"];
    chreode(dir).args(args).args(SMALL).assert().success();
    let perturb = ["perturb", "run", "pca.h5ad", "--labels", "cell_type", "--set", "g0=1", "-o", "no.csv"];
    refused(dir, &[&perturb[..], &PATHS[..4]].concat(), &["X_pca", "PCs", "--basis none"]);
    let wrong = ["fit", "pca.h5ad", "--time", "day", "--basis", "X_pac", "-o", "other"];
    refused(dir, &wrong, &["`X_pac`", "`X_pca`"]);
}

#[test]
fn negative_and_broken_expression_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for (name, bad) in [("negative", -2.0_f32), ("nan", f32::NAN)] {
        let path = dir.join(format!("{name}.h5ad"));
        let mut values = vec![1.0_f32; 30 * 5];
        (0..150).for_each(|i| values[i] = (i % 7) as f32);
        values[7 * 5 + 2] = bad;
        let names = (0..30).map(|i| format!("c{i}")).collect();
        let mut file = H5adWriter::new(names, (0..5).map(|g| format!("g{g}")).collect());
        file.x(Matrix::Dense(DenseMatrix { rows: 30, cols: 5, values }));
        file.obs("day", Column::Number((0..30).map(|i| f64::from(i / 15)).collect()));
        file.write(&path).unwrap();
        let file = format!("{name}.h5ad");
        let args = ["fit", &file, "--time", "day", "--expression", "counts", "-o", "run"];
        refused(dir, &args, &[&file, "`g2`", "7"]);
    }
    let xy = ["fit", "cells.csv", "--time", "day", "--state", "x,y", "-o", "run"];
    std::fs::write(dir.join("cells.csv"), common::table(20)).unwrap();
    refused(dir, &[&xy[..], &["--drift", "production"]].concat(), &["production", "`x`", "negative"]);
    refused(dir, &[&xy[..], &["--diffusion", "langevin"]].concat(), &["langevin", "production"]);
    refused(dir, &[&xy[..], &["--blur", "0.1"]].concat(), &["--blur", "sinkhorn"]);
    refused(dir, &[&xy[..], &["--diffusion-rank", "3"]].concat(), &["--diffusion-rank", "low-rank"]);
    refused(
        dir,
        &[&xy[..], &["--diffusion", "scalar"]].concat(),
        &["scalar", "matching", "--route simulation"],
    );
}

#[test]
fn every_model_and_loss_trains() {
    let dir = folder();
    let dir = dir.path();
    // Amounts, so that a production drift has its data.
    let text = std::fs::read_to_string(dir.join("cells.csv")).unwrap();
    let mut lines = text.lines();
    let mut amounts = format!("{}\n", lines.next().unwrap());
    for line in lines {
        let mut f: Vec<String> = line.split(',').map(str::to_owned).collect();
        f[2] = f[2].trim_start_matches('-').to_owned();
        f[3] = f[3].trim_start_matches('-').to_owned();
        writeln!(amounts, "{}", f.join(",")).unwrap();
    }
    std::fs::write(dir.join("amounts.csv"), amounts).unwrap();
    let mut models = HashSet::new();
    for (i, options) in [
        "--drift potential --activation softplus --loss sinkhorn --blur 0.1",
        "--drift production --diffusion langevin",
        "--diffusion constant --optimiser rmsprop --lr 1e-4 --paths start",
        "--diffusion scalar --route simulation",
        "--diffusion low-rank --diffusion-rank 1",
        "--diffusion general --route simulation --learn-growth",
        "--learn-growth --growth-hidden 8 --growth-limit 1 --paths both --scale each --schedule cosine",
        "--holdout-by clone --hold-out 0.3 --leave-out day=1 --clip 0 --average 0 --scale off",
        "--hold-out 0 --initial-noise 0.1 --time-scale 2 --patience 3",
    ]
    .into_iter()
    .enumerate()
    {
        let run = format!("run{i}");
        let base = ["fit", "amounts.csv", "--time", "day", "--state", "x,y", "--quiet", "-o", &run];
        let small = SMALL.chunks(2).filter(|pair| {
            !(options.contains("constant") || options.contains("langevin")) || pair[0] != "--diffusion-hidden"
        });
        chreode(dir).args(base).args(options.split(' ')).args(small.flatten()).assert().success();
        assert!(models.insert(std::fs::read(dir.join(&run).join("model.safetensors")).unwrap()), "{options}");
        if ["scalar", "low-rank", "general"].iter().any(|form| options.contains(form)) {
            let fates = ["fate", &run, "amounts.csv", "--labels", "type", "--n", "5", "-o", "fates.csv"];
            chreode(dir).args(fates).args(PATHS).assert().success();
            let simulated = ["simulate", &run, "amounts.csv", "--n", "2", "-o", "sims.csv"];
            chreode(dir).args(simulated).args(PATHS).assert().success();
            let moved = ["perturb", &run, "amounts.csv", "--labels", "type", "--set", "x=+1", "--n", "5"];
            chreode(dir).args(moved).args(["-o", "moved.csv"]).args(PATHS).assert().success();
            for file in ["fates.csv", "sims.csv", "moved.csv"] {
                std::fs::remove_file(dir.join(file)).unwrap();
            }
            chreode(dir).args(["report", &run, "--quiet"]).assert().success();
        }
    }
}

/// The times go with the run: other commands and a resumed training have the field of time.
#[test]
fn fields_of_time_are_learned_and_used() {
    let dir = folder();
    let dir = dir.path();
    // By default.
    let base = ["fit", "cells.csv", "--time", "day", "--state", "x,y", "--schedule", "constant", "--quiet"];
    let fit = |run: &str, steps: &str| {
        let mut options = [&base[..], &["--learn-growth", "-o", run], SMALL].concat();
        let at = options.iter().position(|&o| o == "--steps").unwrap();
        options[at + 1] = steps;
        chreode(dir).args(options).assert().success();
    };
    fit("run", "30");
    fit("part", "15");
    let config = std::fs::read_to_string(dir.join("run/config.toml")).unwrap();
    let config: toml::Table = toml::from_str(&config).unwrap();
    assert_eq!(config["model"]["times"].as_array().unwrap().len(), 3);
    assert_eq!(config["training"]["matching"]["noise"].as_str(), Some("blur"));
    let part = std::fs::read_to_string(dir.join("part/config.toml")).unwrap();
    std::fs::write(dir.join("part/config.toml"), part.replace("steps = 15", "steps = 30")).unwrap();
    chreode(dir).args(["fit", "--resume", "part", "--quiet"]).assert().success();
    let fates = |run: &str, out: &str| {
        let args = ["fate", run, "cells.csv", "--labels", "type", "--n", "20", "-o", out];
        chreode(dir).args(args).args(PATHS).assert().success();
        column(dir, out, "left")
    };
    let left = fates("run", "fates.csv");
    assert_eq!(left, fates("part", "other.csv"));
    chreode(dir).args(["report", "run", "--quiet"]).assert().success();
    let potential =
        |options: &[&'static str]| [&base[..], &["--drift", "potential"], options, SMALL].concat();
    refused(dir, &potential(&["--time-input", "-o", "none"]), &["a potential drift is one of the state"]);
    chreode(dir).args(potential(&["-o", "potential"])).assert().success();
    let config = std::fs::read_to_string(dir.join("potential/config.toml")).unwrap();
    assert!(!config.contains("\ntimes =") && !config.contains("matching"), "{config}");
    let series =
        ["fit", "cells.csv", "--time", "day", "--trajectory", "clone", "--state", "x,y", "--time-input"];
    let assert = chreode(dir).args(series).args(["-o", "none"]).assert().failure();
    assert!(String::from_utf8_lossy(&assert.get_output().stderr).contains("--time-input"));
}

#[test]
fn the_report_shows_what_was_predicted() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    chreode(dir).args(["report", "run", "-o", "bare.html", "--quiet"]).assert().success();
    let fate = ["fate", "run", "cells.csv", "--labels", "type", "--n", "5", "-o", "fates.csv"];
    chreode(dir).args(fate).args(PATHS).assert().success();
    for change in ["x=+1", "y=-1"] {
        let shift = ["perturb", "run", "cells.csv", "--labels", "type", "--n", "5", "--set", change];
        let said = chreode(dir).args(shift).args(["-o", "shifts.csv"]).args(&PATHS[..4]).assert().success();
        let said = String::from_utf8(said.get_output().stderr.clone()).unwrap();
        assert!(!said.contains("decoded"), "no noise about columns: {said}");
        let json = told(dir, &[&shift[..], &["-o", "shifts.csv"], &PATHS[..4]].concat());
        let (held, moved) = (&json["genes"][0]["held"], &json["genes"][0]["moved"]);
        let asked = if change == "x=+1" { 1.0 } else { -1.0 };
        assert!(
            (held.as_f64().unwrap() - 1.0).abs() < 1e-9 && (moved.as_f64().unwrap() - asked).abs() < 1e-4
        );
    }
    chreode(dir).args(["report", "run", "-o", "full.html", "--quiet"]).assert().success();
    let [bare, full] = ["bare.html", "full.html"].map(|f| std::fs::read_to_string(dir.join(f)).unwrap());
    for page in [&bare, &full] {
        assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));
        assert!(page.contains("cells.csv") && page.contains("learning_rate"));
        assert!(!page.contains("src=\"http") && !page.contains("href=\"http"), "the page needs the network");
    }
    assert!(!full.contains("What was done to the genes"), "columns are moved by what is asked");
    for word in ["x +1 at the start", "y -1 at the start"] {
        assert!(full.contains(word) && !bare.contains(word), "{word}");
    }
    refused(dir, &["report", "run", "-o", "nowhere/report.html"], &["nowhere"]);
}

#[test]
fn machines_read_json() {
    let dir = folder();
    let dir = dir.path();
    let args = ["fit", "cells.csv", "--time", "day", "--state", "x,y", "-o", "run", "--json"];
    let assert = chreode(dir).args(args).args(SMALL).assert().success();
    let output = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    let lines: Vec<serde_json::Value> = output.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let events: HashSet<&str> = lines.iter().map(|l| l["event"].as_str().unwrap()).collect();
    assert!(events.contains("progress") && events.contains("note"));
    let last = lines.last().unwrap();
    assert_eq!((last["event"].as_str(), last["outcome"]["step"].as_u64()), (Some("fitted"), Some(30)));
    assert!(assert.get_output().stderr.is_empty());

    let bad = ["fit", "cells.csv", "--time", "dya", "--state", "x,y", "-o", "other", "--json"];
    let assert = chreode(dir).args(bad).assert().code(2);
    let error: serde_json::Value = serde_json::from_slice(&assert.get_output().stdout).unwrap();
    assert_eq!((error["event"].as_str(), error["code"].as_u64()), (Some("error"), Some(2)));
    assert!(error["message"].as_str().unwrap().contains("`dya`") && error["hint"].is_string());
}

/// A demo replaces an earlier one without a question, in one piece; anything else is left alone.
#[test]
fn a_small_demo_writes_everything_and_replaces_a_demo_alone() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let demo = ["demo", "--steps", "3", "--cells", "60"];
    let assert = chreode(dir).args(demo).args(["--write-truth", "truth"]).assert().success();
    let said = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    assert!(said.trim_end().ends_with("the report is in demo/report.html"), "{said}");
    for file in ["scores", "fractions", "spreads", "effects", "calibration", "held_out"] {
        assert!(Table::open(dir.join(format!("demo/{file}.csv"))).is_ok(), "{file}");
    }
    assert!(chreode_model::load::<f32>(&dir.join("demo/model.safetensors")).is_ok());
    // What it saves is data for the other commands.
    let args = ["fit", "truth/virtual_blood.h5ad", "--time", "day", "--basis", "X", "-o", "run", "--quiet"];
    chreode(dir).args(args).args(["--drift", "production"]).args(SMALL).assert().success();

    std::fs::write(dir.join("demo/.DS_Store"), "").unwrap();
    let scores = || std::fs::read(dir.join("demo/scores.csv")).unwrap();
    let (first, names) = (scores(), tree(&dir.join("demo")));
    chreode(dir).args(demo).args(["--seed", "9", "--write-truth", "./demo"]).assert().success();
    assert_ne!(first, scores());
    let mut now = tree(&dir.join("demo"));
    now.retain(|name| name.as_os_str() != "virtual_blood.h5ad");
    assert_eq!(now[..], names[1..], "the same files but for the litter");
    assert_eq!(std::fs::read_dir(dir).unwrap().count(), 3, "nothing is left beside: {:?}", tree(dir));
    // The snapshots are not thrown away unasked.
    refused(dir, &demo, &["virtual_blood.h5ad", "--out"]);
    refused(dir, &[&demo[..], &["-o", "truth"]].concat(), &["virtual_blood.h5ad", "--out"]);
    // A report alone is somebody's report.
    std::fs::create_dir(dir.join("mine")).unwrap();
    std::fs::copy(dir.join("demo/report.html"), dir.join("mine/report.html")).unwrap();
    refused(dir, &[&demo[..], &["-o", "mine"]].concat(), &["mine", "model.safetensors is missing"]);
    refused(dir, &[&demo[..], &["-o", "mine/report.html"]].concat(), &["is a file"]);
    refused(dir, &[&demo[..], &["-o", "mine/report.html/demo"]].concat(), &["is a file"]);
}

#[test]
fn measured_series_are_fitted() {
    let dir = folder();
    let dir = dir.path();
    let mut text = String::from("id,t,a,b\n");
    for (id, phase) in [("one", 0.0_f64), ("two", 1.0)] {
        for k in 0..30 {
            let t = 0.15 * f64::from(k);
            let b = if k % 9 == 4 { String::new() } else { (phase + 2.0 * t).cos().to_string() };
            writeln!(text, "{id},{t},{},{b}", (phase + 2.0 * t).sin()).unwrap();
        }
    }
    std::fs::write(dir.join("series.csv"), text).unwrap();
    let args = ["fit", "series.csv", "--time", "t", "--trajectory", "id", "--state", "a,b", "--steps", "400"];
    let last = told(dir, &[&args[..], &["--until", "6", "-o", "run"]].concat());
    assert!(last["residual"].as_array().unwrap().iter().all(|r| r.as_f64().unwrap() < 0.2), "{last}");
    assert_eq!(header(dir, "run/predictions.csv"), ["trajectory", "time", "a", "b"]);
    let times = column(dir, "run/predictions.csv", "time");
    assert_eq!(times.iter().filter(|t| (**t - 6.0).abs() < 1e-9).count(), 2, "both go on to 6");
    // Each measured value once: 2 of 30 rows of two coordinates, less what was not measured.
    assert_eq!(column(dir, "run/residuals.csv", "measured").len(), 2 * (60 - 3));
    for file in ["config.toml", "model.safetensors", "starts.csv", "metrics.jsonl", "report.html"] {
        assert!(dir.join("run").join(file).is_file(), "{file}");
    }
    // Other commands say what it is; a second fit does not overwrite it; options of cells are refused.
    refused(dir, &["report", "run", "-o", "r.html"], &["kind `series`"]);
    refused(dir, &[&args[..], &["-o", "run"]].concat(), &["already holds a run"]);
    let loss = [&args[..], &["--loss", "energy", "-o", "other"]].concat();
    chreode(dir).args(loss).assert().code(2);
    let wild = [&args[..], &["--hold-out", "0.9", "-o", "other"]].concat();
    refused(dir, &wild, &["hold_out = 0.9"]);
}

/// Fates without a model, in the same table; once the run has both, it is said how far they are apart.
#[test]
fn fates_by_transport_stand_beside_those_of_the_model() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    let base = ["fate", "run", "cells.csv", "--start", "day=0", "--until", "2", "--labels", "type"];
    chreode(dir)
        .args(base)
        .args(["--by", "transport", "-o", "transported.csv", "--quiet"])
        .assert()
        .success();
    let [left, right] = ["left", "right"].map(|name| column(dir, "transported.csv", name));
    assert!(left.len() == 40 && left.iter().zip(&right).all(|(l, r)| (l + r - 1.0).abs() < 1e-12));
    // On the first day sides are open; transport moves the least, so that cells left of the middle rather stay there.
    let x = column(dir, "cells.csv", "x");
    let of = |is_left: bool| {
        let p: Vec<f64> = (0..40).filter(|&i| (x[i] < 0.0) == is_left).map(|i| left[i]).collect();
        p.iter().sum::<f64>() / p.len() as f64
    };
    assert!(of(true) > 0.6 && of(false) < 0.4, "{} {}", of(true), of(false));
    let assert = chreode(dir).args(base).args(["--n", "50", "-o", "fates.csv", "--json"]).assert().success();
    let said = String::from_utf8_lossy(&assert.get_output().stdout).into_owned();
    let written: serde_json::Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    let agreement = &written["agreement"];
    let number = |name: &str| agreement[name].as_f64().unwrap();
    let model = column(dir, "fates.csv", "left");
    let apart = model.iter().zip(&left).map(|(m, t)| (m - t).abs()).sum::<f64>() / 40.0;
    assert!((number("total_variation") - apart).abs() < 1e-9, "{agreement}");
    assert!(number("cross_entropy") >= number("entropy"), "{agreement}");
    chreode(dir).args(["report", "run", "-o", "report.html", "--quiet"]).assert().success();
    let page = std::fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("The model beside transport"));
    // Other start cells are no comparison.
    let one = [&base[..], &["--cells", "c0_1", "-o", "one.csv", "--json"]].concat();
    let assert = chreode(dir).args(one).assert().success();
    assert!(String::from_utf8_lossy(&assert.get_output().stdout).contains("\"agreement\":null"));
    let refuse = |args: &[&str], words: &[&str]| {
        let all = [&base[..], &["--by", "transport", "-o", "x.csv"], args].concat();
        refused(dir, &all, words);
    };
    refuse(&["--n", "7"], &["--n is for paths"]);
    refuse(&["--dt", "0.1"], &["--dt is for paths"]);
    let between = ["fate", "run", "cells.csv", "--start", "day=0", "--until", "1.5", "--labels", "type"];
    refused(dir, &[&between[..], &["--by", "transport", "-o", "x.csv"]].concat(), &["no cells at 1.5"]);
}

/// A middle time left out: every prediction has its row, and those that know both neighbours beat the one that knows one.
#[test]
fn a_time_left_out_is_judged() {
    let dir = folder();
    let dir = dir.path();
    let base = ["evaluate", "cells.csv", "--time", "day", "--state", "x,y"];
    let brief = ["--seeds", "2", "--draws", "4", "--compared", "40", "-o", "left.csv", "--quiet"];
    chreode(dir)
        .args(base)
        .args([
            "--leave-out",
            "day=1",
            "--route",
            "simulation",
            "--against",
            "constant-diffusion,potential,mlp",
        ])
        .args(brief)
        .args(SMALL)
        .assert()
        .success()
        .stdout("");
    let request =
        TableRequest { text: vec!["prediction", "measure"], number: vec!["mean"], ..TableRequest::default() };
    let table = Table::open(dir.join("left.csv")).unwrap().read(&request).unwrap();
    // Three models (a free drift is what was asked for), three references, two differences and the floor.
    assert_eq!(table.number[0].len(), 9 * 3, "by three measures");
    let mean = |prediction: &str| {
        let row = table.text[0]
            .iter()
            .zip(&table.text[1])
            .position(|(p, m)| p == prediction && m == "energy distance");
        table.number[0][row.unwrap()]
    };
    let (before, transport) = (mean("time before"), mean("transport, interpolated"));
    assert!(transport < 0.3 * before, "{transport} {before}");
    assert!(mean("model") < before && mean("model, constant diffusion") < before);
    let paired = mean("model less model, potential drift");
    assert!((paired - (mean("model") - mean("model, potential drift"))).abs() < 1e-12);
    assert!(mean("sampling floor").abs() < 0.3, "of 20 cells");
    assert_eq!(tree(dir).len(), 2, "no run is left");
    refused(dir, &base, &["0 times to leave out"]);
    let against = [&base[..], &["--leave-out", "day=1", "--against", "potential"], SMALL].concat();
    refused(dir, &against, &["no comparison with --drift potential", "leave `times` out"]);
    let against = [&base[..], &["--leave-out", "day=1", "--against", "mlp"], SMALL].concat();
    refused(dir, &against, &["the model has the form --drift mlp already", "every form of --against"]);
    // One draw of cells decides nothing, whatever the seeds.
    let one =
        ["--leave-out", "day=1", "--seeds", "2", "--draws", "1", "--compared", "40", "--route", "simulation"];
    let told = chreode(dir).args(base).args(one).args(SMALL).assert().success();
    let told = String::from_utf8_lossy(&told.get_output().stdout).into_owned();
    assert!(told.contains("one draw says nothing of other cells, so this decides nothing"), "{told}");
    refused(dir, &[&base[..], &["--leave-out", "day=0"]].concat(), &["nothing comes before 0"]);
}
