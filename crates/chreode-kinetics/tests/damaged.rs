//! Files that are cut off or damaged give an error or a model, never a panic.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use chreode_kinetics::{Model, Problem, Simulator, Tolerances};
use proptest::prelude::*;

const MODEL: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="m" timeUnits="s">
<listOfFunctionDefinitions><functionDefinition id="f"><math xmlns="http://www.w3.org/1998/Math/MathML">
<lambda><bvar><ci>u</ci></bvar><apply><power/><ci>u</ci><cn type="e-notation">2<sep/>0</cn></apply></lambda></math></functionDefinition></listOfFunctionDefinitions>
<listOfCompartments><compartment id="c" size="2" constant="true"/></listOfCompartments>
<listOfSpecies><species id="A" compartment="c" initialConcentration="3" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/></listOfSpecies>
<listOfParameters><parameter id="k" value="0.5" constant="true"/><parameter id="x" value="1" constant="false"/></listOfParameters>
<listOfInitialAssignments><initialAssignment symbol="x"><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><ci>f</ci><ci>k</ci></apply></math></initialAssignment></listOfInitialAssignments>
<listOfReactions><reaction id="r" reversible="false" fast="false"><listOfReactants><speciesReference species="A" stoichiometry="1" constant="true"/></listOfReactants>
<kineticLaw><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><times/><ci>k</ci><ci>A</ci></apply></math></kineticLaw></reaction></listOfReactions>
<listOfEvents><event useValuesFromTriggerTime="true"><trigger initialValue="true" persistent="true"><math xmlns="http://www.w3.org/1998/Math/MathML"><apply><lt/><ci>A</ci><cn>1</cn></apply></math></trigger>
<listOfEventAssignments><eventAssignment variable="x"><math xmlns="http://www.w3.org/1998/Math/MathML"><cn type="rational">1<sep/>3</cn></math></eventAssignment></listOfEventAssignments></event></listOfEvents>
</model></sbml>"#;

const FILES: [(&str, &str); 6] = [
    (
        "problem.yaml",
        "format_version: 1\nparameter_file: parameters.tsv\nproblems:\n- condition_files: [conditions.tsv]\n  measurement_files:\n  - measurements.tsv\n  observable_files: [observables.tsv]\n  sbml_files:\n  - model.xml\n",
    ),
    (
        "parameters.tsv",
        "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\nk\tlog10\t1e-3\t10\t0.5\t1\nscale\tlin\t0\t10\t2\t1\n",
    ),
    ("conditions.tsv", "conditionId\tA\tc\nrest\t0\t1\ngo\t2\tNaN\n"),
    (
        "measurements.tsv",
        "observableId\tpreequilibrationConditionId\tsimulationConditionId\tmeasurement\ttime\tobservableParameters\tnoiseParameters\no\t\tgo\t1.5\t0\tscale\t0.1\no\trest\tgo\t1\t2.5\tscale\t0.2\no\t\tgo\t0.1\tinf\t1\t0.1\n",
    ),
    (
        "observables.tsv",
        "observableId\tobservableFormula\tnoiseFormula\tobservableTransformation\tnoiseDistribution\no\tobservableParameter1_o * A + piecewise(0, time < 1, 1e-9)\tnoiseParameter1_o * (1 + 0 * o)\tlin\tlaplace\n",
    ),
    ("model.xml", MODEL),
];

fn write_all(folder: &Path) {
    for (name, text) in FILES {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

fn open(folder: &Path) -> Result<Problem, chreode_kinetics::KineticsError> {
    Problem::open(&folder.join("problem.yaml"), Tolerances::default())
}

/// What is done to a text.
fn damage(text: &str, cut: usize, at: usize, byte: u8, take: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % bytes.len();
    bytes.splice(at..(at + take).min(text.len()), [byte]);
    bytes.truncate(cut.max(1));
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn the_files_are_right_before_they_are_damaged() {
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path());
    let mut problem = open(folder.path()).unwrap();
    let nominal = problem.nominal();
    let simulation = problem.simulate(&nominal).unwrap();
    // A decays from 2 with rate k / c per amount; in `go` the size of c is that of the model, 2, or what it was before: 1 after `rest`.
    let a = |t: f64| 2.0 * (-0.5 * t).exp();
    let expected = [2.0 * a(0.0), 2.0 * a(2.5) + 1e-9, 1e-9];
    for (x, e) in simulation.values.iter().zip(expected) {
        assert!((x - e).abs() < 1e-6, "{:?} {expected:?}", simulation.values);
    }
    let likelihood = problem.likelihood(&simulation);
    let mut sum = 0.0;
    for (m, (s, noise)) in [1.5, 1.0, 0.1].iter().zip(expected.iter().zip([0.1, 0.2, 0.1])) {
        sum -= f64::ln(2.0 * noise) + f64::abs(m - s) / noise;
    }
    assert!((likelihood.log_likelihood - sum).abs() < 1e-5, "{likelihood:?} {sum}");
    let mut table = Vec::new();
    problem.write_simulation(&simulation, &mut table).unwrap();
    let table = String::from_utf8(table).unwrap();
    assert!(table.starts_with("observableId\tpreequilibrationConditionId\tsimulationConditionId\ttime\tsimulation\tobservableParameters\tnoiseParameters\no\t\tgo\t0\t4\tscale\t0.1\n"), "{table}");
    assert_eq!(table.lines().count(), 4);
}

#[test]
fn errors_name_file_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let check = |file: &str, from: &str, to: &str, expected: &str| {
        write_all(folder.path());
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(folder.path().join(file), text.replacen(from, to, 1)).unwrap();
        let error = open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains(expected), "{error}");
    };
    check(
        "measurements.tsv",
        "go\t1.5",
        "gone\t1.5",
        "row 1, simulationConditionId: there is no condition `gone`",
    );
    check("measurements.tsv", "go\t1\t", "go\tNaN\t", "row 2, measurement: \"NaN\" is not a finite number");
    check(
        "measurements.tsv",
        "go\t0.1\t",
        "go\t-inf\t",
        "row 3, measurement: \"-inf\" is not a finite number",
    );
    check("measurements.tsv", "2.5", "soon", "row 2, time: \"soon\" is not a number");
    check("measurements.tsv", "scale\t0.2", "\t0.2", "row 2, observableParameters: 0 values, but `o` has 1");
    check(
        "measurements.tsv",
        "scale\t0.2",
        "skale\t0.2",
        "row 2, observableParameters: there is no number or parameter `skale`",
    );
    check("parameters.tsv", "log10", "log3", "row 1, parameterScale: \"log3\" is not lin, log or log10");
    let files = [("observables.tsv", "lin", "log10"), ("measurements.tsv", "go\t1.5", "go\t0")];
    write_all(folder.path());
    for (file, from, to) in files {
        let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
        std::fs::write(folder.path().join(file), text.replacen(from, to, 1)).unwrap();
    }
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("row 1, measurement: \"0\" is not above zero"), "{error}");
    write_all(folder.path());
    let twice = ("parameter_file: parameters.tsv", "parameter_file: [parameters.tsv, parameters.tsv]");
    let text = std::fs::read_to_string(folder.path().join("problem.yaml")).unwrap().replace(twice.0, twice.1);
    std::fs::write(folder.path().join("problem.yaml"), text).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("row 1: the parameterId `k` was there before"), "{error}");
    check("parameters.tsv", "scale", "k", "row 2: the parameterId `k` was there before");
    check("parameters.tsv", "estimate", "fit", "there is no column `estimate`");
    check(
        "conditions.tsv",
        "A\tc",
        "B\tc",
        "column `B` names nothing in the model or in the formulas of observables",
    );
    check("observables.tsv", "* A", "* B", "row 1, observableFormula: `B` is not defined");
    check("observables.tsv", "* A", "* * A", "expected a name, a number or a parenthesis at character 26");
    check(
        "problem.yaml",
        "format_version: 1",
        "format_version: 2",
        "format_version is 2: version 1 is supported",
    );
    check("problem.yaml", "sbml_files", "models", "sbml_files");
    check(
        "model.xml",
        "size=\"2\"",
        "size=\"two\"",
        "<compartment> `c` (line 5): size = \"two\" is not a number",
    );
}

#[test]
fn endless_nesting_is_an_error() {
    for tag in ["a", "apply", "math", "model"] {
        let text = format!(r#"<sbml level="3" version="1">{}"#, format!("<{tag}>").repeat(200_000));
        assert!(Model::from_sbml(&text).is_err());
        let closed = text + &format!("</{tag}>").repeat(200_000) + "</sbml>";
        let _ = Model::from_sbml(&closed);
    }
    let folder = tempfile::tempdir().unwrap();
    write_all(folder.path());
    std::fs::write(folder.path().join("problem.yaml"), "[".repeat(200_000)).unwrap();
    assert!(open(folder.path()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_models(cut in 0..4000_usize, at in 0..4000_usize, byte in any::<u8>(), take in 0..30_usize, whole in any::<bool>()) {
        let text = damage(MODEL, if whole { usize::MAX } else { cut }, at, byte, take);
        if let Ok(model) = Model::from_sbml(&text) {
            let _ = Simulator::new(model, Tolerances::default()).trajectory(&[0.0], false);
        }
    }

    #[test]
    fn damaged_problems(file in 0..6_usize, cut in 0..800_usize, at in 0..800_usize, byte in any::<u8>(), take in 0..20_usize, whole in any::<bool>()) {
        let folder = tempfile::tempdir().unwrap();
        write_all(folder.path());
        let (name, text) = FILES[file];
        std::fs::write(folder.path().join(name), damage(text, if whole { usize::MAX } else { cut }, at, byte, take)).unwrap();
        let _ = open(folder.path());
    }
}
