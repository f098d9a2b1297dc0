//! What PEtab's tables mean, on problems whose simulations are known.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use chreode_kinetics::{KineticsError, Problem, Tolerances};
use common::{
    assign, compartment, initial, list, of, once, rate, reaction, s, sbml, species, variable, when,
};

/// A folder with a problem; its files may be replaced.
struct Folder(tempfile::TempDir);

/// `A` decays at rate `k`; `N` is an amount and rests; `P` has a rate rule from `p0`; `half` is `A / 2`; `f` doubles.
fn model() -> String {
    let double = common::math(&format!("<lambda><bvar><ci>u</ci></bvar>{}</lambda>", s("(times 2 u)")));
    sbml(
        &(list(
            "FunctionDefinitions",
            &format!(r#"<functionDefinition id="f">{double}</functionDefinition>"#),
        ) + &list(
            "Compartments",
            &(compartment("c", r#"size="2" constant="true""#)
                + &compartment("d", r#"size="1" constant="false""#)),
        ) + &list(
            "Species",
            &(species("A", r#"initialConcentration="1""#)
                + &species("N", r#"initialAmount="3" hasOnlySubstanceUnits="true""#)
                + &species("M", r#"initialConcentration="4""#)),
        ) + &list(
            "Parameters",
            &(["half", "P", "sum", "hit"].map(|id| variable(id, "0")).concat()
                + r#"<parameter id="k" value="0.5" constant="true"/><parameter id="k2" value="0.25" constant="true"/>
                    <parameter id="p0" value="1" constant="true"/><parameter id="i" constant="true"/>"#),
        ) + &list("InitialAssignments", &(initial("P", "(times 10 p0)") + &initial("i", "(plus k p0)")))
            + &list("Rules", &(assign("half", "(divide A 2)") + &rate("P", "0") + &rate("d", "0")))
            + &list("Reactions", &reaction("r", &of("A", r#"stoichiometry="1""#), "", "(times c k A)", ""))
            + &list("Events", &when(&once("(geq t 1)"), "", &[("hit", "5")]))),
    )
}

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("model.xml", &model());
        folder.write(
            "problem.yaml",
            "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [model.xml]\n  condition_files: [c.tsv]\n  measurement_files: [m.tsv]\n  observable_files: [o.tsv]\n  visualization_files: [v.tsv]\n",
        );
        folder.write("p.tsv", "parameterId\tparameterScale\tnominalValue\testimate\nk\tlog10\t1\t1\ns1\tlin\t3\t1\ns2\tlog\t0.5\t0\n");
        folder.write("c.tsv", "conditionId\nx\n");
        folder
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.0.path().join(name), text).unwrap();
        self
    }

    /// One observable a formula, `o0` and so on; each is measured where the row after it says: conditions before and while, time,
    /// placeholders.
    fn measured(&self, rows: &[(&str, &str)]) -> &Self {
        let mut observables = "observableId\tobservableFormula\tnoiseFormula\n".to_owned();
        let mut measurements = "observableId\tpreequilibrationConditionId\tsimulationConditionId\ttime\tobservableParameters\tmeasurement\n".to_owned();
        for (i, (formula, row)) in rows.iter().enumerate() {
            writeln!(observables, "o{i}\t{}\t1", formula.replace('#', &format!("_o{i}"))).unwrap();
            let cells: Vec<&str> = row.split(' ').map(|x| if x == "-" { "" } else { x }).collect();
            writeln!(
                measurements,
                "o{i}\t{}\t{}\t{}\t{}\t1",
                cells[0],
                cells[1],
                cells[2],
                cells.get(3).unwrap_or(&"")
            )
            .unwrap();
        }
        self.write("o.tsv", &observables).write("m.tsv", &measurements)
    }

    fn open(&self) -> Result<Problem, KineticsError> {
        Problem::open(&self.0.path().join("problem.yaml"), Tolerances::default())
    }

    fn simulated(&self) -> Vec<f64> {
        let mut problem = self.open().unwrap_or_else(|e| panic!("{e}"));
        let nominal = problem.nominal();
        problem.simulate(&nominal).unwrap().values
    }

    fn error(&self) -> String {
        self.open().unwrap_err().to_string()
    }
}

fn assert_close(values: &[f64], expected: &[f64]) {
    assert_eq!(values.len(), expected.len());
    for (i, (x, e)) in values.iter().zip(expected).enumerate() {
        assert!((x - e).abs() <= 1e-6 * e.abs() + 1e-9, "row {i}: {x}, expected {e}");
    }
}

fn e(t: f64) -> f64 {
    (-t).exp()
}

#[test]
fn formulas_use_all_of_the_model() {
    let folder = Folder::new();
    folder.measured(&[
        ("half", "- x 1"),        // the target of a rule, with k of the table
        ("f(A) + f(2)", "- x 1"), // a function of the model
        ("r", "- x 2"),           // a reaction: per time, an amount
        ("i + k2", "- x 0"),      // an initial assignment that depends on the table's k
        ("P", "- x 3"),           // an initial assignment of a state
        ("c * A + N", "- x 1"),   // a concentration and an amount
        ("hit + time", "- x 1"),  // what an event leaves at its time
        ("hit + time", "- x 0.5"),
        ("observableParameter1# * A + observableParameter2#^2", "- x 0 s1;-2e-1"),
        ("f(observableParameter1#)", "- x 0 s2"),
        ("s1 * log10(100) + log(exp(s2))", "- x 0"),
        ("piecewise(A, time > 0.5 && A < 2, 7)", "- x 1"),
        ("A", "- x inf"),
        ("N", "- x inf"),
    ]);
    assert_close(
        &folder.simulated(),
        &[
            0.5 * e(1.0),
            2.0 * e(1.0) + 4.0,
            2.0 * e(2.0),
            2.25,
            10.0,
            2.0 * e(1.0) + 3.0,
            6.0,
            0.5,
            3.04,
            1.0,
            6.5,
            e(1.0),
            0.0,
            3.0,
        ],
    );
}

#[test]
fn conditions_set_what_they_name() {
    let folder = Folder::new();
    // Species as formulas have them, sizes, parameters of the model by name, a parameter that formulas of observables alone have.
    folder.write(
        "c.tsv",
        "conditionId\tconditionName\tA\tN\tc\tk\tp0\tk2\tscale\toffset\n\
         x\tempty but for the last\t\tNaN\t\t\t\t\t1\t0\n\
         y\t\t5\t7\t4\ts2\t2\t\ts1\t0.5\n\
         z\t\ts1\tk2\t0.5\tk2\t3\t\t2\t-1\n\
         w\t\tk2\t1\t\t3\t\ts1\t0\tk2\n",
    );
    let scaled = "scale * A + offset";
    folder.measured(&[
        ("A", "- x 1"),
        ("A", "- y 1"),
        ("c * A", "- y 0"),
        ("N", "- y 2"),
        (scaled, "- x 0"),
        (scaled, "- y 0"),
        (scaled, "- z 0"),
        (scaled, "- w 0"),
        ("A", "- z 1"),
        ("N", "- z 1"),
        ("c * M", "- z 0"), // a concentration of the file, in the size that the condition sets
        ("M", "- z 0"),
        ("P + i", "- z 0"),
        ("A", "- w 0"), // k2 is what the condition itself sets
    ]);
    // k of the table is nominally 1.
    assert_close(
        &folder.simulated(),
        &[e(1.0), 5.0 * e(0.5), 20.0, 7.0, 1.0, 15.5, 5.0, 3.0, 3.0 * e(0.25), 0.25, 2.0, 4.0, 33.25, 3.0],
    );
    folder.write("c.tsv", "conditionId\tscale\toffset\nx\t\t1\n");
    folder.measured(&[(scaled, "- x 0")]);
    assert!(
        folder
            .error()
            .contains("row 1, simulationConditionId: there is no value in this condition for `scale`"),
        "{}",
        folder.error()
    );
}

#[test]
fn measurements_name_what_conditions_set() {
    let folder = Folder::new();
    // A column that nothing but measurements names, a constant of the model that a condition sets, and one that none does.
    folder.write("c.tsv", "conditionId\toffset_A\tp0\nx\t0.5\t\ny\ts1\t7\n");
    let sum = "A + observableParameter1#";
    folder.measured(&[
        (sum, "- x 0 offset_A"),
        (sum, "- y 0 offset_A"),
        (sum, "- x 0 p0"),
        (sum, "- y 0 p0"),
        (sum, "- y 0 k2"),
        (sum, "- y 0 k"),
    ]);
    assert_close(&folder.simulated(), &[1.5, 4.0, 2.0, 8.0, 1.25, 2.0]);
    folder.measured(&[(sum, "- x 0 offset_B")]);
    let expected = "row 1, observableParameters: there is no number or parameter `offset_B`";
    folder.write("c.tsv", "conditionId\nx\n");
    assert!(folder.error().contains(expected), "{}", folder.error());
}

#[test]
fn what_came_to_rest_stays_unless_it_is_set() {
    let folder = Folder::new();
    folder.write(
        "c.tsv",
        "conditionId\tA\tN\tM\tc\td\tk\tp0\n\
         before\t8\t7\t2\t3\t6\t2\t4\n\
         kept\t\t\tNaN\t\t\t1\t5\n\
         set\t9\tNaN\t10\t0.5\t\t1\t\n\
         again\t6\t\t\t\t\t1\t\n",
    );
    folder.measured(&[
        ("A", "before kept 1"),
        ("N", "before kept 0"),
        ("M", "before kept 1"),
        ("c", "before kept 1"),
        ("d", "before kept 1"),
        ("P", "before kept 0"), // a state, which starts before
        ("p0", "before kept 0"),
        ("i", "before kept 0"), // no state: computed for the condition
        ("A", "before set 1"),
        ("c * A", "before set 0"),
        ("c * M", "before set 0"),
        ("M", "before set inf"),
        ("N", "before set 0"),
        ("c * A", "before again 0"), // a concentration in the size that was before
        ("hit", "before again 0.5"),
        ("hit", "before again 1"),
        ("A", "- kept 0"),
        ("c", "- set 0"),
    ]);
    assert_close(
        &folder.simulated(),
        &[
            0.0,
            7.0,
            2.0,
            3.0,
            6.0,
            40.0,
            5.0,
            6.0,
            9.0 * e(1.0),
            4.5,
            5.0,
            10.0,
            7.0,
            18.0,
            0.0,
            5.0,
            1.0,
            0.5,
        ],
    );
}

#[test]
fn likelihoods_of_every_kind_of_noise() {
    let folder = Folder::new();
    let (mut observables, mut measurements) = (
        "observableId\tobservableName\tobservableFormula\tobservableTransformation\tnoiseFormula\tnoiseDistribution\n".to_owned(),
        "observableId\tsimulationConditionId\tmeasurement\ttime\tnoiseParameters\treplicateId\n".to_owned(),
    );
    let (mut expected, mut chi) = (0.0, 0.0);
    let (y, sigma, tau) = (e(1.0), 0.3, std::f64::consts::TAU);
    for scale in ["", "lin", "log", "log10"] {
        for noise in ["", "normal", "laplace"] {
            writeln!(
                observables,
                "o_{scale}{noise}\tname\tA\t{scale}\tnoiseParameter1_o_{scale}{noise} * s1\t{noise}"
            )
            .unwrap();
            for (replicate, m) in [0.4_f64, 0.2].iter().enumerate() {
                writeln!(measurements, "o_{scale}{noise}\tx\t{m}\t1\t0.1\t{replicate}").unwrap();
                let (residual, slope) = match scale {
                    "log" => (m.ln() - y.ln(), -m.ln()),
                    "log10" => (m.log10() - y.log10(), -(m * std::f64::consts::LN_10).ln()),
                    _ => (m - y, 0.0),
                };
                let z: f64 = residual / sigma;
                expected += slope
                    + if noise == "laplace" {
                        -(2.0 * sigma).ln() - z.abs()
                    } else {
                        -0.5 * (tau * sigma * sigma).ln() - 0.5 * z * z
                    };
                chi += z * z;
            }
        }
    }
    folder.write("o.tsv", &observables).write("m.tsv", &measurements);
    let mut problem = folder.open().unwrap();
    let nominal = problem.nominal();
    let simulation = problem.simulate(&nominal).unwrap();
    let likelihood = problem.likelihood(&simulation);
    assert!((likelihood.log_likelihood - expected).abs() < 1e-5, "{likelihood:?} {expected}");
    assert!((likelihood.chi_squared - chi).abs() < 1e-5);
    let mut table = Vec::new();
    problem.write_simulation(&simulation, &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    let mut lines = table.lines();
    let header = "observableId\tpreequilibrationConditionId\tsimulationConditionId\ttime\tsimulation\tnoiseParameters\treplicateId";
    assert_eq!(lines.next().unwrap(), header);
    // In the order of the measurements.
    for (line, row) in lines.zip(measurements.lines().skip(1)) {
        let (a, b): (Vec<&str>, Vec<&str>) = (line.split('\t').collect(), row.split('\t').collect());
        assert_eq!([a[0], a[1], a[2], a[3], a[5], a[6]], [b[0], "", b[1], b[3], b[4], b[5]]);
    }
    assert_eq!(table.lines().count(), 25);
}

#[test]
fn tables_may_be_written_in_many_ways() {
    let folder = Folder::new();
    // Windows' ends of lines, marks of the order of bytes, cells and rows that are empty, quotes, spaces, no end of the last line.
    let measurements = "\u{feff}time\tobservableId\tmeasurement\tsimulationConditionId\tother\t\r\n\r\n 1 \to\t1\tx\t\"a, \"\"b\"\"\"\t\r\n\t\t\t\t\t\r\n1e0\to\t 2\tx";
    folder.write("m.tsv", measurements);
    folder.write("o.tsv", "\u{feff}noiseFormula\tobservableFormula\tobservableId\r\n0.1\tA\to\t\t\r\n");
    folder.write("c.tsv", "conditionId\t\r\nx\t\r\n");
    folder.write(
        "q.tsv",
        "estimate\tparameterId\tparameterScale\tnominalValue\tlowerBound\n0\tk2\tlog10\t1E-1\t\n",
    );
    folder.write("more.tsv", "conditionId\tk\ny\t2\n");
    folder.write("sub.tsv", "observableId\tsimulationConditionId\tmeasurement\ttime\tpreequilibrationConditionId\no\ty\t1\t1\tNaN\n");
    for (version, path) in [("1", ""), ("'1'", "./"), ("1.0.0", "")] {
        folder.write(
            "problem.yaml",
            &format!(
                "\u{feff}format_version: {version}\r\nparameter_file:\r\n  - {path}p.tsv\r\n  - q.tsv\r\nproblems:\r\n  - sbml_files:\r\n    - {path}model.xml\r\n    condition_files: [c.tsv, more.tsv]\r\n    measurement_files: [m.tsv, sub.tsv]\r\n    observable_files:\r\n    - o.tsv\r\n"
            ),
        );
        assert_close(&folder.simulated(), &[e(1.0), e(1.0), e(2.0)]);
    }
    // Also by a path from elsewhere.
    let here = std::env::current_dir().unwrap();
    assert!(Path::new(&here).is_absolute() && folder.0.path().is_absolute());
}

#[test]
fn what_is_not_version_one_is_refused_by_name() {
    let folder = Folder::new();
    folder.measured(&[("A", "- x 1")]);
    let yaml = std::fs::read_to_string(folder.0.path().join("problem.yaml")).unwrap();
    for (text, expected) in [
        (
            "format_version: 2.0.0\nparameter_files: [p.tsv]\nmodel_files:\n  m: {location: model.xml, language: sbml}\n".to_owned(),
            "format_version is 2.0.0: version 1 is supported",
        ),
        (yaml.clone() + "extensions:\n  select: {version: 1.0.0, required: true}\n", "extensions of PEtab are not supported"),
        (yaml.clone() + "  mapping_files: [map.tsv]\n", "mapping files are not supported"),
        (yaml.replace("[model.xml]", "[model.xml, other.xml]"), "more than one SBML file are not supported"),
        (yaml.clone() + "- sbml_files: []\n  condition_files: []\n  measurement_files: []\n  observable_files: []\n", "more than one problem are not supported"),
        (yaml.replace("c.tsv", "gone.tsv"), "gone.tsv"),
    ] {
        folder.write("problem.yaml", &text);
        assert!(folder.error().contains(expected), "{}", folder.error());
    }
    folder.write("problem.yaml", &yaml);
    for (file, text, expected) in [
        ("c.tsv", "conditionId\tk\tk\nx\t1\t2\n", "there are two columns `k`"),
        ("c.tsv", "conditionId\thalf\nx\t1\n", "column `half` names what a rule of the model assigns"),
        ("c.tsv", "conditionId\tk\nx\tA\n", "there is no number or parameter `A`"),
        ("c.tsv", "conditionId\tgain\nx\t1\n", "column `gain` names nothing in the model or in the formulas"),
        ("c.tsv", "conditionId\nx\nx\n", "row 2: the conditionId `x` was there before"),
        (
            "o.tsv",
            "observableId\tobservableFormula\tnoiseFormula\no0\tA + bessel(A)\t1\n",
            "row 1, observableFormula: function `bessel` is not defined",
        ),
        (
            "o.tsv",
            "observableId\tobservableFormula\tnoiseFormula\tnoiseDistribution\no0\tA\t1\tcauchy\n",
            "\"cauchy\" is not normal or laplace",
        ),
        (
            "o.tsv",
            "observableId\tobservableFormula\tnoiseFormula\no0\tA\tsigma\n",
            "row 1, noiseFormula: `sigma` is not defined",
        ),
        (
            "m.tsv",
            "observableId\tsimulationConditionId\tmeasurement\ttime\no0\tx\t1\t-1\n",
            "row 1, time: \"-1\" is not zero, positive or inf",
        ),
        (
            "m.tsv",
            "observableId\tsimulationConditionId\tmeasurement\ttime\tobservableParameters\no0\tx\t1\t1\t2;\n",
            "row 1, observableParameters",
        ),
        (
            "p.tsv",
            "parameterId\tparameterScale\tnominalValue\testimate\nhalf\tlin\t1\t1\n",
            "row 1: the model does not have `half` as a constant",
        ),
    ] {
        let before = std::fs::read_to_string(folder.0.path().join(file)).unwrap();
        folder.write(file, text);
        let error = folder.error();
        assert!(error.contains(expected) && error.contains(file), "{error}");
        folder.write(file, &before);
    }
    assert_close(&folder.simulated(), &[e(1.0)]);
}
