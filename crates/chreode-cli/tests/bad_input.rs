//! Bad input: one clear error that names the thing, a hint, exit code 2, and nothing written.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use chreode_cells::run::RunConfig;
use common::{SMALL, chreode, fit, folder, refused, table};

/// A fit of `file` by `time` and `state` that must be refused.
fn fit_refused(dir: &Path, file: &str, options: &[&str], words: &[&str]) {
    let args = [&["fit", file, "-o", "run"], options, SMALL].concat();
    refused(dir, &args, words);
}

const XY: &[&str] = &["--time", "day", "--state", "x,y"];

#[test]
fn missing_and_misspelt_columns_name_those_that_exist() {
    let dir = folder();
    let dir = dir.path();
    fit_refused(dir, "cells.csv", &["--time", "dya", "--state", "x,y"], &["cells.csv", "`dya`", "`day`"]);
    fit_refused(dir, "cells.csv", &["--time", "day", "--state", "x,z"], &["`z`", "score"]);
    fit_refused(dir, "cells.csv", &[XY, &["--growth", "grwth"]].concat(), &["`grwth`", "score"]);
    fit_refused(dir, "cells.csv", &[XY, &["--holdout-by", "colne"]].concat(), &["`colne`", "`clone`"]);
    fit_refused(dir, "cells.csv", &[XY, &["--id", "name"]].concat(), &["`name`", "cell"]);
    fit_refused(dir, "cells.csv", &[XY, &["--leave-out", "dya=1"]].concat(), &["dya=1", "`day`"]);
    fit_refused(dir, "cells.csv", &[XY, &["--leave-out", "day=7"]].concat(), &["7", "0, 1, 2"]);
    fit_refused(dir, "cells.csv", &["--time", "day", "--basis", "X_pca"], &["X_pca", "cells.csv"]);
    fit_refused(dir, "other.csv", XY, &["other.csv"]);
}

#[test]
fn a_column_has_one_meaning() {
    let dir = folder();
    let dir = dir.path();
    let with = |state: &'static str| vec!["--time", "day", "--state", state];
    fit_refused(dir, "cells.csv", &with("x,x"), &["cells.csv", "`x`", "twice"]);
    fit_refused(dir, "cells.csv", &with("x,day"), &["`day`", "the times"]);
    fit_refused(dir, "cells.csv", &with("x,cell"), &["`cell`", "names"]);
    let more = ["--growth", "score", "--labels", "y", "--holdout-by", "clone"];
    for (state, holds) in [("x,score", "growth"), ("x,y", "labels"), ("clone,x", "clones")] {
        fit_refused(dir, "cells.csv", &[&with(state)[..], &more].concat(), &["`", holds]);
    }
    let genes = ["--time", "day", "--basis", "none", "--expression", "log", "--genes", "x,y,x"];
    fit_refused(dir, "cells.csv", &genes, &["`x`", "twice", "genes"]);
}

#[test]
fn the_table_of_labels_names_its_cells() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    let text = std::fs::read_to_string(dir.join("cells.csv")).unwrap();
    let mut labels = String::from("row,name,type\n");
    for (i, line) in text.lines().skip(1).enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        writeln!(labels, "{i},{},{}", fields[0], fields[6]).unwrap();
    }
    std::fs::write(dir.join("labels.csv"), labels).unwrap();
    let fate = |options: &[&'static str]| {
        let base =
            ["fate", "run", "cells.csv", "--start", "day=0", "--until", "2", "--n", "3", "--labels", "type"];
        [&base[..], options].concat()
    };
    let from = ["--labels-from", "labels.csv"];
    let out = ["-o", "joined.csv"];
    refused(
        dir,
        &[fate(&from), out.to_vec()].concat(),
        &["labels.csv", "no column names the cells", "row, name, type", "--labels-id"],
    );
    refused(
        dir,
        &[fate(&from), vec!["--labels-id", "nmae"], out.to_vec()].concat(),
        &["labels.csv", "`nmae`", "`name`", "row, name, type"],
    );
    refused(
        dir,
        &[fate(&from), vec!["--labels-id", "row"], out.to_vec()].concat(),
        &["like `0`", "--labels-id"],
    );
    let usage = chreode(dir).args(fate(&["--labels-id", "name", "-o", "x.csv"])).assert().code(2);
    assert!(String::from_utf8_lossy(&usage.get_output().stderr).contains("--labels-from"));
    chreode(dir)
        .args([fate(&from), vec!["--labels-id", "name", "--quiet"], out.to_vec()].concat())
        .assert()
        .success();
    chreode(dir).args(fate(&["--quiet", "-o", "own.csv"])).assert().success();
    let [a, b] = ["joined.csv", "own.csv"].map(|file| std::fs::read(dir.join(file)).unwrap());
    assert!(a == b);
    fit_refused(
        dir,
        "cells.csv",
        &[XY, &["--labels", "type", "--overwrite"], &from].concat(),
        &["labels.csv", "--labels-id"],
    );
}

#[test]
fn bad_values_name_their_row() {
    let dir = folder();
    let dir = dir.path();
    let text = table(20);
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();

    let line = text.lines().nth(30).unwrap(); // line 31 of the file
    let fields: Vec<&str> = line.split(',').collect();
    let nan = [fields[0], fields[1], "NaN", fields[3], fields[4], fields[5], fields[6]].join(",");
    write("nan.csv", &text.replace(line, &nan));
    fit_refused(dir, "nan.csv", XY, &["nan.csv", "line 31", "`x`", "NaN"]);

    let text_time = line.replacen(",1,", ",monday,", 1);
    write("monday.csv", &text.replace(line, &text_time));
    fit_refused(dir, "monday.csv", XY, &["monday.csv", "`day`", "`monday`"]);

    let twice = text.replace(fields[0], text.lines().nth(3).unwrap().split(',').next().unwrap());
    write("twice.csv", &twice);
    fit_refused(dir, "twice.csv", XY, &["twice.csv", "c0_2"]);

    let one_day: String = text.lines().filter(|l| !l.contains(",1,") && !l.contains(",2,")).fold(
        String::new(),
        |mut all, line| {
            all.push_str(line);
            all.push('\n');
            all
        },
    );
    write("one_day.csv", &one_day);
    fit_refused(dir, "one_day.csv", XY, &["one", "`day`"]);

    let few: String = text
        .lines()
        .enumerate()
        .filter(|(i, line)| !(line.starts_with("c2_") && *i > 46))
        .fold(String::new(), |all, (_, line)| all + line + "\n");
    write("few.csv", &few);
    fit_refused(dir, "few.csv", XY, &["6", "10", "2"]);

    write("empty.csv", "");
    fit_refused(dir, "empty.csv", XY, &["empty.csv"]);
    write("ragged.csv", "cell,day,x,y\na,0,1,2\nb,0,1\n");
    fit_refused(dir, "ragged.csv", XY, &["ragged.csv", "line 3"]);
}

#[test]
fn foreign_and_truncated_files() {
    let dir = folder();
    let dir = dir.path();
    std::fs::write(dir.join("cells.h5ad"), "this is no HDF5 at all, just text\n").unwrap();
    fit_refused(dir, "cells.h5ad", &["--time", "day"], &["cells.h5ad"]);
    std::fs::write(dir.join("cells.h5ad"), [b"\x89HDF\r\n\x1a\n".as_slice(), &[0; 100]].concat()).unwrap();
    fit_refused(dir, "cells.h5ad", &["--time", "day"], &["cells.h5ad"]);
    std::fs::write(dir.join("cells.xlsx"), b"PK\x03\x04rest of a spreadsheet").unwrap();
    fit_refused(dir, "cells.xlsx", XY, &["cells.xlsx", "spreadsheet"]);
    std::fs::write(dir.join("cut.csv.gz"), [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]).unwrap();
    fit_refused(dir, "cut.csv.gz", XY, &["cut.csv.gz"]);
}

#[test]
fn folders_in_the_way() {
    let dir = folder();
    let dir = dir.path();
    std::fs::create_dir(dir.join("thesis")).unwrap();
    std::fs::write(dir.join("thesis/chapter1.tex"), "x").unwrap();
    let into = |out: &'static str| [&["fit", "cells.csv", "-o", out], XY, SMALL].concat();
    refused(dir, &into("thesis"), &["thesis", "not empty"]);
    refused(dir, &[into("thesis"), vec!["--overwrite"]].concat(), &["thesis", "not empty"]);
    refused(dir, &into("cells.csv"), &["cells.csv"]);
    fit(dir);
    refused(dir, &into("run"), &["run", "--resume", "--overwrite"]);
    chreode(dir).args([into("run"), vec!["--overwrite", "--quiet"]].concat()).assert().success();
}

#[test]
fn runs_of_other_versions_and_no_runs() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    let paths = ["cells.csv", "--start", "day=0", "--until", "2", "-o", "out.csv"];
    refused(dir, &[&["simulate", "nowhere"], &paths[..]].concat(), &["nowhere", "config.toml"]);
    refused(dir, &["fit", "--resume", "nowhere"], &["nowhere"]);
    let file = dir.join("run/config.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let [mine, other] = [RunConfig::FORMAT, RunConfig::FORMAT + 1].map(|f| format!("format = {f}"));
    assert!(config.starts_with(&mine));
    std::fs::write(&file, config.replacen(&mine, &other, 1)).unwrap();
    for args in [[&["simulate", "run"], &paths[..]].concat(), vec!["fit", "--resume", "run"]] {
        refused(dir, &args, &["run", &other.replace("= ", ""), &mine.replace("= ", ""), "fit it again"]);
    }
    std::fs::write(&file, &config).unwrap();
    let model = std::fs::read(dir.join("run/model.safetensors")).unwrap();
    std::fs::write(dir.join("run/model.safetensors"), &model[..model.len() / 2]).unwrap();
    refused(dir, &[&["simulate", "run"], &paths[..]].concat(), &["model.safetensors"]);
}

#[test]
fn data_that_changed_is_not_trained_on() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    std::fs::write(dir.join("cells.csv"), table(41)).unwrap();
    refused(dir, &["fit", "--resume", "run"], &["cells.csv", "has changed"]);
    std::fs::remove_file(dir.join("cells.csv")).unwrap();
    refused(dir, &["fit", "--resume", "run"], &["cells.csv"]);
}

#[test]
fn starts_and_labels_that_do_not_exist() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    let with = |command: &'static str, options: &[&'static str]| {
        [&[command, "run", "cells.csv"], options, &["-o", "out.csv"]].concat()
    };
    refused(dir, &with("simulate", &["--start", "day=5", "--until", "6"]), &["day", "5", "0, 1, 2"]);
    refused(dir, &with("simulate", &["--start", "dya=0", "--until", "2"]), &["`dya`", "`day`"]);
    refused(dir, &with("simulate", &["--start", "day=2", "--until", "1"]), &["--until", "1", "2"]);
    refused(
        dir,
        &with("simulate", &["--start", "day=0", "--until", "2", "--cells", "c0_1,nobody"]),
        &["nobody"],
    );
    let fate =
        |options: &[&'static str]| with("fate", &[&["--start", "day=0", "--until", "2"], options].concat());
    refused(dir, &fate(&["--labels", "tpye"]), &["`tpye`", "`type`"]);
    refused(dir, &fate(&["--labels", "x"]), &["`x`", "different labels", "no classes"]);
    refused(dir, &fate(&["--labels", "type", "--fates", "left,up"]), &["up", "left", "right"]);
    std::fs::write(dir.join("labels.csv"), "cell,type\nz1,left\nz2,right\n").unwrap();
    refused(dir, &fate(&["--labels", "type", "--labels-from", "labels.csv"]), &["labels.csv", "z1"]);
    refused(
        dir,
        &with("perturb", &["--start", "day=0", "--until", "2", "--labels", "type", "--set", "Gata1=3"]),
        &["Gata1"],
    );
}

#[test]
fn outputs_that_cannot_be_written() {
    let dir = folder();
    let dir = dir.path();
    fit(dir);
    let with = |out: &'static str| {
        vec!["simulate", "run", "cells.csv", "--start", "day=0", "--until", "2", "--n", "2", "-o", out]
    };
    refused(dir, &with("nowhere/out.csv"), &["nowhere"]);
    refused(dir, &with("out.xlsx"), &["out.xlsx", ".csv", ".h5ad"]);
    let fates = ["fate", "run", "cells.csv", "--start", "day=0", "--until", "2", "--labels", "type", "-o"];
    refused(dir, &[&fates[..], &["out.csv.gz"]].concat(), &["out.csv.gz", ".csv"]);
    refused(dir, &[&fates[..], &["nowhere/out.csv"]].concat(), &["nowhere", "hint: make the folder"]);
    refused(dir, &[&fates[..], &["run/log"]].concat(), &["run/log", "replace"]);
    refused(dir, &["report", "run", "-o", "run/config.toml"], &["run/config.toml", "replace"]);
}

/// A second table is guarded like the first.
#[test]
fn tables_of_a_perturbation_replace_nothing() {
    let dir = folder();
    let dir = dir.path();
    let log = ["--basis", "none", "--expression", "log", "--genes", "x,y", "--exclude", "score"];
    let args = [&["fit", "cells.csv", "--time", "day", "-o", "run"], &log[..], SMALL].concat();
    chreode(dir).args(args).assert().success();
    let perturb = ["perturb", "run", "cells.csv", "--start", "day=0", "--until", "2", "--labels", "type"];
    let with = |out: &'static str, per_cell: &'static str| {
        [&perturb[..], &["--set", "x=1", "-o", out, "--per-cell", per_cell]].concat()
    };
    refused(dir, &with("out.csv", "cells.csv"), &["cells.csv", "replace"]);
    refused(dir, &with("out.csv", "out.csv"), &["--per-cell", "out.csv"]);
    refused(dir, &with("out.csv", "out.csv.gz"), &["out.csv.gz", ".csv"]);
    chreode(dir).args(with("out.csv", "cell.csv")).assert().success();
}

/// Resuming keeps the settings, so that it cannot be what mends them.
#[test]
fn a_training_that_diverges_wants_other_settings() {
    let dir = folder();
    let dir = dir.path();
    let output = chreode(dir)
        .args(["fit", "cells.csv", "-o", "run", "--lr", "1e30"])
        .args([XY, SMALL].concat())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("hint: fit again with a smaller --lr") && !error.contains("--resume"), "{error}");
}

/// Every write beyond a few kilobytes fails, as on a full disk; the message names the file.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    use common::tree;
    let dir = folder();
    let dir = dir.path();
    std::fs::write(dir.join("cells.csv"), table(400)).unwrap();
    let limited = |arguments: &str| {
        // An ignored SIGXFSZ turns the limit into an error of write(2).
        let script = format!("trap '' XFSZ; ulimit -f 8; exec {} {arguments}", env!("CARGO_BIN_EXE_chreode"));
        std::process::Command::new("sh").args(["-c", &script]).current_dir(dir).output().unwrap()
    };
    let before = tree(dir);
    let output = limited(&format!("fit cells.csv --time day --state x,y -o run {}", SMALL.join(" ")));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("cannot write") && error.contains("run/training_cells.safetensors"), "{error}");
    assert_eq!(tree(dir), before);

    // In the middle of a training: what is there is kept, and goes on once there is room.
    std::fs::write(dir.join("cells.csv"), table(40)).unwrap();
    let long = "fit cells.csv --time day --state x,y --drift-hidden 8 --diffusion-hidden 4 --batch 32 --dt 0.5 \
                --steps 200 --checkpoint-every 10 --evaluate-every 50";
    let output = limited(&format!("{long} -o full"));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("cannot write full/metrics.jsonl"), "{error}");
    assert!(error.contains("hint: make room") && error.contains("`chreode fit --resume full`"), "{error}");
    chreode(dir).args(["fit", "--resume", "full", "--quiet"]).assert().success();
    chreode(dir).args(long.split_whitespace()).args(["-o", "roomy", "--quiet"]).assert().success();
    for file in ["model.safetensors", "metrics.jsonl"] {
        let [a, b] = ["full", "roomy"].map(|run| std::fs::read(dir.join(run).join(file)).unwrap());
        assert!(a == b, "{file}");
    }

    fit(dir);
    let before = tree(dir);
    let output = limited("simulate run cells.csv --start day=0 --until 2 --n 50 -o sims.csv");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("cannot write") && error.contains("sims.csv"), "{error}");
    assert!(error.contains("hint: make room"), "{error}");
    assert_eq!(tree(dir), before);
}

/// A device that must be and cannot: before anything is written, in one line.
#[test]
fn a_device_that_is_not_there() {
    let dir = folder();
    let run = |device: &str| {
        let args = ["fit", "cells.csv", "-o", device, "--device", device];
        let output = chreode(dir.path())
            .args(args)
            .args(XY)
            .args(SMALL)
            .env("CUDA_VISIBLE_DEVICES", "") // where there is a driver, it finds none
            .assert()
            .get_output()
            .clone();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, error) = run("cuda");
    // Built beside a package that asks for the kernels, the program has them too.
    let why = if error.contains("without CUDA") { "without CUDA" } else { "CUDA driver" };
    assert!(why == "CUDA driver" || cfg!(not(feature = "cuda")), "{error}");
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains(why) && error.contains("hint: ") && error.contains("--device"), "{error}");
    assert!(!dir.path().join("cuda").exists());

    let (code, said) = run("auto");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("on the processor: "), "{said}");
    // The same method and the same bits as without the option.
    let (code, plain) = run("cpu");
    assert!(
        code == Some(0) && said.contains("by matching") && plain.contains("by matching"),
        "{said} {plain}"
    );
    let [auto, cpu] =
        ["auto", "cpu"].map(|d| std::fs::read(dir.path().join(d).join("model.safetensors")).unwrap());
    assert!(auto == cpu);
    let config = std::fs::read_to_string(dir.path().join("auto/config.toml")).unwrap();
    assert!(config.contains("device = \"auto\""), "{config}");
    // Nor are paths of the run: nothing is written where a device must be, and the bits are the processor's where one may.
    let paths = |command: &str, device: &str, more: &[&str]| {
        let out = format!("{command}_{device}.csv");
        let mut chreode = chreode(dir.path());
        chreode.args([
            command,
            "cpu",
            "cells.csv",
            "--start",
            "day=0",
            "--until",
            "2",
            "--n",
            "3",
            "-o",
            &out,
        ]);
        let output = chreode.args(["--device", device]).args(more).env("CUDA_VISIBLE_DEVICES", "");
        let output = output.assert().get_output().clone();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said, std::fs::read(dir.path().join(out)).ok())
    };
    for (command, more) in [("simulate", &[][..]), ("fate", &["--labels", "type"])] {
        let (code, error, written) = paths(command, "cuda", more);
        assert!(code == Some(2) && error.contains(why) && error.contains("hint: "), "{command}: {error}");
        assert!(written.is_none());
        let [auto, cpu] = ["auto", "cpu"].map(|device| paths(command, device, more));
        assert!(auto.0 == Some(0) && auto.1.contains("on the processor: "), "{command}: {}", auto.1);
        assert!(auto.2.is_some() && auto.2 == cpu.2 && !cpu.1.contains("on the processor: "));
    }
    let (code, error, _) = paths("fate", "cpu", &["--labels", "type", "--by", "transport"]);
    assert!(code == Some(2) && error.contains("--by transport"), "{error}");
    // The run is on, wherever it was begun.
    let resumed = chreode(dir.path()).args(["fit", "--resume", "auto", "--device", "cpu"]).assert();
    resumed.success();
    let refused_series = [
        "fit",
        "cells.csv",
        "-o",
        "s",
        "--time",
        "day",
        "--trajectory",
        "cell",
        "--state",
        "x",
        "--device",
        "cpu",
    ];
    chreode(dir.path()).args(refused_series).assert().code(2);
}

/// A fit of measured series has no growth to set, and keeps what it learned where its curves cannot be followed as far as asked.
#[test]
fn series_keep_what_they_learned() {
    let dir = tempfile::tempdir().unwrap();
    let rows: String = (0..20).fold("id,t,x\n".to_owned(), |text, i| {
        let t = 0.1 * f64::from(i);
        text + &format!("a,{t},{}\n", t.exp())
    });
    std::fs::write(dir.path().join("grows.csv"), rows).unwrap();
    let fit = |options: &[&str]| {
        let base = [
            "fit",
            "grows.csv",
            "--time",
            "t",
            "--trajectory",
            "id",
            "--state",
            "x",
            "--steps",
            "60",
            "--drift-hidden",
            "8",
            "-o",
            "s",
        ];
        let assert = chreode(dir.path()).args(base).args(options).assert();
        let output = assert.get_output();
        (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
    };
    for option in [["--growth-hidden", "4"], ["--growth-limit", "1"]] {
        let (code, said) = fit(&option);
        assert!(code == Some(2) && said.contains(option[0]), "{said}");
    }
    let (code, said) = fit(&["--activation", "softplus", "--until", "100000"]);
    assert!(code == Some(0) && said.contains("curves end with the data"), "{said}");
    assert!(dir.path().join("s/model.safetensors").exists() && dir.path().join("s/report.html").exists());
}
