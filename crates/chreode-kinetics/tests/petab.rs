//! Problems written here, whose simulations are known: rest before a condition, what it sets, and measurements at rest.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::Path;

use chreode_kinetics::{KineticsError, Problem, Tolerances};

/// `A` is made at rate `k` and decays at rate `d`, as `B` does at `e` from two; `S` is a sum, `c` a compartment, `i` is set by an
/// initial assignment.
fn model() -> String {
    let math = |x: &str| format!(r#"<math xmlns="http://www.w3.org/1998/Math/MathML">{x}</math>"#);
    format!(
        r#"<sbml xmlns="http://www.sbml.org/sbml/level3/version1/core" level="3" version="1"><model id="m">
<listOfCompartments><compartment id="c" size="3" constant="true"/></listOfCompartments>
<listOfSpecies><species id="A" compartment="c" initialConcentration="0" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/>
<species id="B" compartment="c" initialConcentration="2" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/></listOfSpecies>
<listOfParameters><parameter id="k" value="1" constant="true"/><parameter id="d" value="1" constant="true"/><parameter id="e" value="0.001" constant="true"/>
<parameter id="i" constant="true"/><parameter id="dose" value="0" constant="false"/></listOfParameters>
<listOfInitialAssignments><initialAssignment symbol="i">{}</initialAssignment></listOfInitialAssignments>
<listOfReactions>
<reaction id="make" reversible="false" fast="false"><listOfProducts><speciesReference species="A" stoichiometry="1" constant="true"/></listOfProducts><kineticLaw>{}</kineticLaw></reaction>
<reaction id="lose" reversible="false" fast="false"><listOfReactants><speciesReference species="A" stoichiometry="1" constant="true"/></listOfReactants><kineticLaw>{}</kineticLaw></reaction>
<reaction id="fade" reversible="false" fast="false"><listOfReactants><speciesReference species="B" stoichiometry="1" constant="true"/></listOfReactants><kineticLaw>{}</kineticLaw></reaction>
</listOfReactions>
<listOfEvents><event useValuesFromTriggerTime="true"><trigger initialValue="false" persistent="true">{}</trigger>
<listOfEventAssignments><eventAssignment variable="dose">{}</eventAssignment></listOfEventAssignments></event></listOfEvents>
</model></sbml>"#,
        math("<apply><times/><cn>2</cn><ci>d</ci></apply>"),
        math("<apply><times/><ci>c</ci><ci>k</ci></apply>"),
        math("<apply><times/><ci>c</ci><ci>d</ci><ci>A</ci></apply>"),
        math("<apply><times/><ci>c</ci><ci>e</ci><ci>B</ci></apply>"),
        math(
            r#"<apply><geq/><csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">t</csymbol><cn>1.5</cn></apply>"#
        ),
        math("<cn>4</cn>"),
    )
}

fn open(
    folder: &Path,
    conditions: &str,
    observables: &str,
    measurements: &str,
) -> Result<Problem, KineticsError> {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("model.xml", &model());
    write(
        "problem.yaml",
        "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [model.xml]\n  condition_files: [c.tsv]\n  measurement_files: [m.tsv]\n  observable_files: [o.tsv]\n",
    );
    write(
        "p.tsv",
        "parameterId\tparameterScale\tnominalValue\testimate\nk\tlog10\t2\t1\nslow\tlin\t0.5\t1\nb0\tlin\t7\t0\n",
    );
    write("c.tsv", conditions);
    write("o.tsv", observables);
    write("m.tsv", measurements);
    Problem::open(&folder.join("problem.yaml"), Tolerances::default())
}

const OBSERVABLES: &str =
    "observableId\tobservableFormula\tnoiseFormula\na\tA\t1\nb\tB\t1\ni\ti + 10 * dose\t1\n";

#[test]
fn rest_before_a_condition_is_kept_but_for_what_it_sets() {
    let folder = tempfile::tempdir().unwrap();
    // Before: A rests at k / slow = 4, B at nothing. Then d is 1, and B is set.
    let conditions = "conditionId\td\tB\nbefore\tslow\tNaN\nset\t1\tb0\nkept\t1\t\n";
    let header = "observableId\tpreequilibrationConditionId\tsimulationConditionId\tmeasurement\ttime\n";
    let rows = [
        ("a", "before", "set", 0.0),
        ("a", "before", "set", 1.0),
        ("b", "before", "set", 1.0),
        ("b", "before", "kept", 1.0),
        ("i", "before", "kept", 1.0),
        ("i", "before", "kept", 2.0),
        ("a", "", "set", 1.0),
        ("a", "", "before", f64::INFINITY),
        ("i", "", "before", f64::INFINITY),
        ("b", "", "set", f64::INFINITY),
    ];
    let row =
        |(o, before, condition, t): &(&str, &str, &str, f64)| format!("{o}\t{before}\t{condition}\t1\t{t}\n");
    let measurements = header.to_owned() + &rows.iter().map(row).collect::<String>();
    let mut problem = open(folder.path(), conditions, OBSERVABLES, &measurements).unwrap();
    let nominal = problem.nominal();
    let simulation = problem.simulate(&nominal).unwrap();
    let fall = (-1.0_f64).exp();
    let faded = 7.0 * (-0.001_f64).exp();
    let expected = [4.0, 2.0 + 2.0 * fall, faded, 0.0, 2.0, 42.0, 2.0 - 2.0 * fall, 4.0, 41.0, 0.0];
    for ((x, e), row) in simulation.values.iter().zip(expected).zip(rows) {
        assert!((x - e).abs() < 2e-6, "{row:?}: {x}, expected {e}");
    }
    // Other parameters, other simulations.
    let simulation = problem.simulate(&[1.0, 0.25, 7.0]).unwrap();
    assert!(
        (simulation.values[0] - 4.0).abs() < 2e-6 && (simulation.values[1] - (1.0 + 3.0 * fall)).abs() < 2e-6
    );
}

#[test]
fn what_never_rests_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let conditions = "conditionId\td\ngrow\t-1\n";
    let measurements = "observableId\tsimulationConditionId\tmeasurement\ttime\na\tgrow\t1\tinf\n";
    let mut problem = open(folder.path(), conditions, OBSERVABLES, measurements).unwrap();
    let nominal = problem.nominal();
    let error = problem.simulate(&nominal).unwrap_err();
    assert!(error.to_string().starts_with("condition `grow`: "), "{error}");
}

#[test]
fn noise_may_use_its_observable() {
    let folder = tempfile::tempdir().unwrap();
    let observables = "observableId\tobservableFormula\tnoiseFormula\to\nb\tobservableParameter2_b * B + observableParameter1_b\tnoiseParameter1_b + 0.5 * b\t\n";
    let measurements = "observableId\tsimulationConditionId\tmeasurement\ttime\tobservableParameters\tnoiseParameters\nb\tx\t1\t0\t1;slow\t0.25\n";
    let mut problem = open(folder.path(), "conditionId\nx\n", observables, measurements).unwrap();
    let nominal = problem.nominal();
    let simulation = problem.simulate(&nominal).unwrap();
    assert_eq!((simulation.values[0], simulation.noise[0]), (2.0, 1.25));
}
