//! `chreode kinetics`: a model by itself, a problem, and what is wrong with either.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use common::chreode;

const MODEL: &str = r#"<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"><model id="m">
<listOfCompartments><compartment id="c" size="2"/></listOfCompartments>
<listOfSpecies><species id="A" compartment="c" initialConcentration="3"/></listOfSpecies>
<listOfParameters><parameter id="k" value="0.5"/><parameter id="x" constant="false"/></listOfParameters>
<listOfRules><assignmentRule variable="x"><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><cn>2</cn><ci>A</ci></apply></math></assignmentRule></listOfRules>
<listOfReactions><reaction id="r"><listOfReactants><speciesReference species="A"/></listOfReactants>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>c</ci><ci>k</ci><ci>A</ci></apply></math></kineticLaw></reaction></listOfReactions>
</model></sbml>"#;

fn rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    text.lines().map(|l| l.split(delimiter).map(str::to_owned).collect()).collect()
}

#[test]
fn a_model_is_saved_at_equal_steps() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.xml"), MODEL).unwrap();
    for (more, factor) in [(&[][..], 2.0), (&["--concentrations"][..], 1.0)] {
        let args = ["kinetics", "model.xml", "--until", "10", "--points", "51", "-o", "out.csv"];
        chreode(dir.path()).args(args).args(more).assert().success();
        let table = rows(&std::fs::read_to_string(dir.path().join("out.csv")).unwrap(), ',');
        assert_eq!(table[0], ["time", "A", "c", "x", "k", "r"]);
        assert_eq!(table.len(), 52);
        for (i, row) in table[1..].iter().enumerate() {
            let [t, a, c, x, k, r] = [0, 1, 2, 3, 4, 5].map(|j| row[j].parse::<f64>().unwrap());
            assert!((t - 0.2 * i as f64).abs() < 1e-12);
            let exact = 3.0 * (-0.5 * t).exp();
            assert!(
                (a - factor * exact).abs() < 1e-6 && c == 2.0 && (x - 2.0 * exact).abs() < 1e-6,
                "{row:?}"
            );
            assert!(k == 0.5 && (r - exact).abs() < 1e-6, "{row:?}");
        }
    }
}

/// What the help says that the tolerances are.
#[test]
fn simulations_have_the_tolerances_that_are_promised() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.xml"), MODEL).unwrap();
    let run = |more: &[&str]| {
        let args = ["kinetics", "model.xml", "--until", "10", "-o", "out.csv"];
        chreode(dir.path()).args(args).args(more).assert().success();
        std::fs::read_to_string(dir.path().join("out.csv")).unwrap()
    };
    let promised = run(&["--rtol", "1e-9", "--atol", "1e-13"]);
    assert_eq!(run(&[]), promised);
    assert_ne!(run(&["--rtol", "1e-8"]), promised);
}

#[test]
fn a_problem_is_simulated_at_its_nominal_parameters() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("model.xml", MODEL);
    write(
        "problem.yaml",
        "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [model.xml]\n  condition_files: [c.tsv]\n  measurement_files: [m.tsv]\n  observable_files: [o.tsv]\n",
    );
    write("p.tsv", "parameterId\tparameterScale\tnominalValue\testimate\nk\tlog10\t1\t1\n");
    write("c.tsv", "conditionId\tA\nlow\t1\nhigh\t10\n");
    write(
        "o.tsv",
        "observableId\tobservableFormula\tnoiseFormula\tobservableTransformation\nobs\tA\t0.1\tlog10\n",
    );
    write(
        "m.tsv",
        "observableId\tsimulationConditionId\tmeasurement\ttime\tdatasetId\nobs\thigh\t4\t1\td1\nobs\tlow\t1\t0\td2\n",
    );
    let assert = chreode(dir.path())
        .args(["kinetics", "problem.yaml", "--simulate", "-o", "sim.tsv", "--json"])
        .assert();
    let printed = String::from_utf8(assert.success().get_output().stdout.clone()).unwrap();
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let s = 10.0 * (-1.0_f64).exp();
    let density = |m: f64, s: f64| {
        let residual = (m.log10() - s.log10()) / 0.1;
        -0.5 * (2.0 * std::f64::consts::PI * 0.01).ln() - 0.5 * residual * residual - (m * 10_f64.ln()).ln()
    };
    let expected = density(4.0, s) + density(1.0, 1.0);
    assert!((printed["log_likelihood"].as_f64().unwrap() - expected).abs() < 1e-5, "{printed} {expected}");
    let table = rows(&std::fs::read_to_string(dir.path().join("sim.tsv")).unwrap(), '\t');
    let header = [
        "observableId",
        "preequilibrationConditionId",
        "simulationConditionId",
        "time",
        "simulation",
        "datasetId",
    ];
    assert_eq!(table[0], header);
    assert_eq!(table[2], ["obs", "", "low", "0", "1", "d2"]);
    assert!((table[1][4].parse::<f64>().unwrap() - s).abs() < 1e-6);
}

/// A problem of measurements of A = 3 exp(-0.7 t), without noise.
fn decay_problem(dir: &Path) {
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).unwrap();
    write("model.xml", MODEL);
    write(
        "problem.yaml",
        "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [model.xml]\n  condition_files: [c.tsv]\n  measurement_files: [m.tsv]\n  observable_files: [o.tsv]\n",
    );
    write(
        "p.tsv",
        "parameterId\tparameterName\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\nk\trate\tlog10\t0.001\t100\t3\t1\ns\tnoise\tlin\t0.1\t1\t0.1\t0\n",
    );
    write("c.tsv", "conditionId\nx\n");
    write("o.tsv", "observableId\tobservableFormula\tnoiseFormula\nobs\tA\ts\n");
    let mut rows_of = String::from("observableId\tsimulationConditionId\tmeasurement\ttime\n");
    for i in 0..8 {
        let t = 0.5 * f64::from(i);
        writeln!(rows_of, "obs\tx\t{}\t{t}", 3.0 * (-0.7 * t).exp()).unwrap();
    }
    write("m.tsv", &rows_of);
}

#[test]
fn a_problem_is_fitted() {
    let dir = tempfile::tempdir().unwrap();
    decay_problem(dir.path());
    let run = |more: &[&str]| {
        chreode(dir.path())
            .args(["kinetics", "problem.yaml", "--starts", "4", "--profiles", "all", "-o", "fit", "--json"])
            .args(more)
            .assert()
    };
    let printed = String::from_utf8(run(&[]).success().get_output().stdout.clone()).unwrap();
    let printed: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert!((printed["parameters"]["k"].as_f64().unwrap() - 0.7).abs() < 1e-4, "{printed}");
    assert_eq!((&printed["event"], &printed["fits"]), (&"fitted".into(), &4.into()));
    let interval = &printed["intervals"][0];
    let ends = (interval["lower"].as_f64().unwrap(), interval["upper"].as_f64().unwrap());
    assert!(ends.0 > 0.6 && ends.0 < 0.7 && ends.1 > 0.7 && ends.1 < 0.8, "{interval}");
    let read = |name: &str| std::fs::read_to_string(dir.path().join("fit").join(name)).unwrap();
    let best = rows(&read("parameters.tsv"), '\t');
    assert_eq!(best[0][..3], ["parameterId", "parameterName", "parameterScale"]);
    assert!((best[1][5].parse::<f64>().unwrap() - 0.7).abs() < 1e-4);
    assert_eq!(best[2][..6], ["s", "noise", "lin", "0.1", "1", "0.1"]);
    assert_eq!(rows(&read("fits.csv"), ',').len(), 5);
    assert_eq!(rows(&read("simulation.tsv"), '\t').len(), 9);
    assert_eq!(rows(&read("residuals.csv"), ',').len(), 9);
    assert!(rows(&read("profiles.csv"), ',').len() > 5 && read("intervals.csv").contains("closed,closed"));
    assert!(read("report.html").contains("Waterfall"));
    // Twice only by force, and never over something else.
    let error = String::from_utf8(run(&[]).code(2).get_output().stdout.clone()).unwrap();
    assert!(error.contains("holds a fit"), "{error}");
    run(&["--force"]).success();
    std::fs::remove_file(dir.path().join("fit/fits.csv")).unwrap();
    run(&["--force"]).code(2);
    let wrong = chreode(dir.path())
        .args(["kinetics", "problem.yaml", "--profiles", "z", "-o", "new"])
        .assert()
        .code(2);
    let error = String::from_utf8(wrong.get_output().stderr.clone()).unwrap();
    assert!(error.contains("`z` is no estimated parameter") && !dir.path().join("new").exists(), "{error}");
}

/// Starts a fit of far more starts than it is given time for, and interrupts it when `done` of them have ended.
#[cfg(unix)]
fn interrupted(dir: &Path, args: &[&str], task: &str, done: u64) -> (Option<i32>, Vec<serde_json::Value>) {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_chreode"))
        .args(["kinetics", "problem.yaml", "-o", "fit", "--json"])
        .args(args)
        .current_dir(dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines: Vec<serde_json::Value> = Vec::new();
    let mut sent = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        if !sent && line["task"] == task && line["done"].as_u64() >= Some(done) {
            let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
            sent = status.success();
            assert!(sent);
        }
        lines.push(line);
    }
    (child.wait().unwrap().code(), lines)
}

/// Ctrl-C keeps what was found.
#[cfg(unix)]
#[test]
fn an_interrupted_fit_keeps_its_starts() {
    let dir = tempfile::tempdir().unwrap();
    decay_problem(dir.path());
    let args = ["--starts", "20000", "--draws", "20", "--profiles", "all"];
    let (code, lines) = interrupted(dir.path(), &args, "fits", 3);
    let [.., result, error] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(code, Some(130), "{error}");
    assert!((result["parameters"]["k"].as_f64().unwrap() - 0.7).abs() < 1e-4, "{result}");
    let message = error["message"].as_str().unwrap();
    let done: usize = message.split(' ').nth(2).unwrap().parse().unwrap();
    assert!(message.starts_with("interrupted after ") && message.contains(" of 20000 starts;"), "{message}");
    assert!((3..20_000).contains(&done), "{message}");
    let read = |name: &str| std::fs::read_to_string(dir.path().join("fit").join(name)).unwrap();
    let fits = rows(&read("fits.csv"), ',');
    let ended: Vec<&Vec<String>> = fits[1..].iter().filter(|row| row[8] != "cut short").collect();
    assert_eq!(ended.len(), done);
    assert!(ended.iter().any(|row| (row[11].parse::<f64>().unwrap() - 0.7_f64.log10()).abs() < 1e-4));
    assert!(read("report.html").contains("Waterfall") && !dir.path().join("fit/profiles.csv").exists());
}

#[test]
fn what_is_wrong_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("model.xml"), MODEL.replace("<cn>2</cn>", "<cn>two</cn>")).unwrap();
    let cases: &[(&[&str], &str)] = &[
        (
            &["model.xml", "--until", "1", "-o", "o.csv"],
            "model.xml: <assignmentRule> `x`: \"two\" is not a number",
        ),
        (&["model.xml", "-o", "o.csv"], "needs a time to run to"),
        (&["other.xml", "--until", "1", "-o", "o.csv"], "cannot read other.xml"),
        (&["model.txt", "-o", "o.csv"], "cannot tell what model.txt is"),
        (&["problem.yaml", "-o", "o"], "cannot read problem.yaml"),
        (&["problem.yaml", "--simulate", "--starts", "3", "-o", "o.tsv"], "are for fits of problems"),
    ];
    for (args, expected) in cases {
        let assert = chreode(dir.path()).arg("kinetics").args(*args).assert().code(2);
        let error = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
        assert!(error.contains(expected) && error.contains("hint: "), "{error}");
    }
    assert!(!dir.path().join("o.csv").exists());
}

/// Chemical noise of a decay: the mean is that of the rate equation, the variance binomial.
#[test]
fn reactions_have_chemical_noise() {
    let dir = tempfile::tempdir().unwrap();
    decay_problem(dir.path());
    let run = |args: &str| chreode(dir.path()).arg("kinetics").args(args.split(' ')).assert();
    let read = |name: &str| rows(&std::fs::read_to_string(dir.path().join(name)).unwrap(), ',');
    let number = |x: &String| x.parse::<f64>().unwrap();
    // 6 units of 50 molecules, which decay at 0.5; the law is in concentrations.
    let args = "model.xml --until 2 --points 3 --langevin 50 --paths 2000";
    run(&format!("{args} -o noise.csv")).success();
    let table = read("noise.csv");
    assert_eq!(table[0], ["time", "id", "mean", "sd", "q05", "q25", "median", "q75", "q95"]);
    assert_eq!(table.len(), 1 + 3 * 3); // A, x and the rate r at three times
    assert_eq!(table[4][..2], ["1", "A"]);
    let left = (-0.5_f64).exp();
    let sd = (300.0 * left * (1.0 - left)).sqrt() / 50.0;
    assert!(
        (number(&table[4][2]) - 6.0 * left).abs() < 0.02 && (number(&table[4][3]) / sd - 1.0).abs() < 0.1
    );
    let quantiles: Vec<f64> = table[4][4..].iter().map(number).collect();
    assert!((quantiles[4] - quantiles[0] - 3.29 * sd).abs() < 0.4 * sd, "{quantiles:?} {sd}");
    run(&format!("{args} --each-path --seed 1 -o paths.csv")).success();
    let paths = read("paths.csv");
    assert_eq!((paths[0].join(","), paths.len()), ("path,time,A,x,r".into(), 1 + 2000 * 3));
    run(&format!("{args} --concentrations --each-path --seed 1 -o half.csv")).success();
    assert_eq!(number(&paths[3][2]), 2.0 * number(&read("half.csv")[3][2]));
    // A problem has its own k: 3, of its parameter table.
    run("problem.yaml --simulate --until 1 --points 2 --langevin 5000 --paths 50 -o problem.csv").success();
    let mean = number(&read("problem.csv")[4][2]);
    assert!((mean - 6.0 * (-3.0_f64).exp()).abs() < 0.02, "{mean}");
    for (args, expected) in [
        ("model.xml --until 1 --paths 3 -o new.csv", "--langevin"),
        ("model.xml --until 1 --langevin 5 --condition x -o new.csv", "--condition is for problems"),
        ("model.xml --until 1 --langevin 5 -o new.tsv", "noise is written as .csv"),
        ("model.xml --until 1 --langevin 5 --rtol 1e-3 -o new.csv", "--rtol and --atol have no effect"),
        (
            "problem.yaml --simulate --until 1 --langevin 5 --atol 1e-3 -o new.csv",
            "--rtol and --atol have no",
        ),
        (
            "model.xml --until 1 --langevin 5 --paths 4000000000 -o new.csv",
            "4000000000 paths, each of 303 numbers",
        ),
        ("problem.yaml --langevin 5 -o new.csv", "--langevin is for simulations"),
        ("problem.yaml --simulate --langevin 5 -o new.csv", "give --until"),
        (
            "problem.yaml --simulate --until 1 --langevin 5 --condition y -o new.csv",
            "no condition `y`; it has x",
        ),
    ] {
        let error = String::from_utf8(run(args).code(2).get_output().stderr.clone()).unwrap();
        assert!(error.contains(expected), "{args}: {error}");
        assert!(!dir.path().join("new.csv").exists());
    }
}

#[test]
fn a_rate_is_replaced_by_a_net() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("model.xml", MODEL);
    write(
        "problem.yaml",
        "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [model.xml]\n  condition_files: [c.tsv]\n  measurement_files: [m.tsv]\n  observable_files: [o.tsv]\n",
    );
    write(
        "p.tsv",
        "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\nk\tlog10\t0.001\t100\t3\t1\n",
    );
    write("c.tsv", "conditionId\nx\n");
    write("o.tsv", "observableId\tobservableFormula\tnoiseFormula\nobs\tA\t0.1\n");
    // Of dA/dt = -A/(1 + A), which is not the law of the model.
    let mut rows_of = String::from("observableId\tsimulationConditionId\tmeasurement\ttime\n");
    let mut a = 3.0_f64;
    for i in 0..=4000 {
        if i % 250 == 0 {
            writeln!(rows_of, "obs\tx\t{a}\t{}", f64::from(i) / 500.0).unwrap();
        }
        let (rate, h) = (|a: f64| -a / (1.0 + a), 0.002);
        a += h * rate(a + 0.5 * h * rate(a));
    }
    write("m.tsv", &rows_of);
    let run =
        |args: &str| chreode(dir.path()).args(["kinetics", "problem.yaml"]).args(args.split(' ')).assert();
    let result = |args: &str| -> serde_json::Value {
        let printed = String::from_utf8(run(args).success().get_output().stdout.clone()).unwrap();
        serde_json::from_str(printed.lines().last().unwrap()).unwrap()
    };
    let fitted =
        result("--hybrid r --weight-sd 0.5,1 --hidden 3 --hold-out after=6 --starts 3 -o fit --json");
    // 13 measurements are fitted, 4 are later.
    assert!(fitted["chi_squared"].as_f64().unwrap() < 0.5, "{fitted}");
    assert_eq!((&fitted["measurements"], &fitted["held_out"]["measurements"]), (&13.into(), &4.into()));
    assert!(fitted["held_out"]["chi_squared"].as_f64().unwrap() < 4.0, "{fitted}");
    assert_eq!((&fitted["idle"], fitted["conservation"].as_f64()), (&serde_json::json!(["k"]), Some(0.0)));
    assert!([0.5, 1.0].contains(&fitted["weight_sd"].as_f64().unwrap()));
    let read = |name: &str| std::fs::read_to_string(dir.path().join("fit").join(name)).unwrap();
    assert_eq!(
        (rows(&read("simulation.tsv"), '\t').len(), rows(&read("parameters.tsv"), '\t').len()),
        (18, 2)
    );
    let report = read("report.html");
    assert!(report.contains("What the nets say") && report.contains("r by A"));
    // With the same nets: the same simulation, up to tolerances.
    run("--simulate --net fit/hybrid.safetensors -o again.tsv").success();
    let again = std::fs::read_to_string(dir.path().join("again.tsv")).unwrap();
    for (a, b) in rows(&again, '\t').iter().zip(rows(&read("simulation.tsv"), '\t')).skip(1) {
        let [a, b] = [&a[4], &b[4]].map(|x| x.parse::<f64>().unwrap());
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    for (args, expected) in [
        ("--hybrid q -o new", "the model has no reaction `q`; it has r"),
        ("--hybrid r:swap -o new", "`r:swap` is no rate of a hybrid"),
        ("--hybrid r --weight-sd 0.5,1 -o new", "compared by what is held out"),
        ("--hidden 4 -o new", "--hidden and --weight-sd are for nets"),
        ("--hold-out after=100 -o new", "17 measurements to fit and 0 to predict"),
        ("--hybrid r --simulate -o new.tsv", "are for fits of problems"),
        ("--net fit/hybrid.safetensors -o new", "--net is for --simulate"),
        ("--simulate --net model.xml -o new.tsv", "model.xml"),
    ] {
        let error = String::from_utf8(run(args).code(2).get_output().stderr.clone()).unwrap();
        assert!(error.contains(expected), "{args}: {error}");
    }
    assert!(!dir.path().join("new").exists() && !dir.path().join("new.tsv").exists());
}
