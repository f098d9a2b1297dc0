//! Models whose words are exchanged, doubled or lost give an error or a model, never a panic.
//!
//! Unlike a damaged byte (`damaged.rs`), most of this is still well-formed: the reader, and what is behind it, see all of it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use chreode_kinetics::{Model, Problem, Simulator, Tolerances};
use common::{
    assign, compartment, delay, initial, list, math, of, priority, rate, reaction, s, sbml, species, trigger,
    variable, when,
};
use proptest::prelude::*;

/// A model with some of everything.
fn model() -> String {
    let function = math(&format!(
        "<lambda><bvar><ci>u</ci></bvar><bvar><ci>w</ci></bvar>{}</lambda>",
        s("(max (times 2 u) w 1)")
    ));
    sbml(
        &(list(
            "FunctionDefinitions",
            &format!(r#"<functionDefinition id="f">{function}</functionDefinition>"#),
        ) + &list(
            "Compartments",
            &(compartment("c", r#"size="2" constant="false""#)
                + &compartment("o", r#"spatialDimensions="0" constant="true""#)),
        ) + &list(
            "Species",
            &(species("A", r#"initialConcentration="1""#)
                + &species(
                    "B",
                    r#"initialAmount="3" hasOnlySubstanceUnits="true" boundaryCondition="true""#,
                )
                + &species("C", r#"initialAmount="4" compartment="o" conversionFactor="k""#)),
        ) + &list(
            "Parameters",
            &(["x", "y", "z"].map(|id| variable(id, "1")).concat()
                + r#"<parameter id="k" value="0.5" constant="true"/>"#),
        ) + &list(
            "InitialAssignments",
            &(initial("z", "(plus k (@f x 2))") + &initial("n", "(factorial 2)")),
        ) + &list(
            "Rules",
            &(assign("y", "(piecewise A (and (lt t 2) (geq x k)) (#rateOf A))")
                + &rate("x", "(minus (root x) (rem t 0.5))")
                + &rate("c", "0.1")),
        ) + &list(
            "Reactions",
            &(reaction(
                "r",
                &of("A", r#"stoichiometry="1""#),
                &of("C", r#"id="n" constant="false""#),
                "(divide (times c q A) (plus A B))",
                r#"<localParameter id="q" value="3"/>"#,
            ) + &reaction("back", &of("C", r#"stoichiometry="2""#), "", "(times k C (power n 2))", "")),
        ) + &list(
            "Events",
            &(when(
                &trigger(false, true, &s("(gt A 0.5)")),
                &(delay("0.1") + &priority("y")),
                &[("z", "(plus z 1)"), ("B", "A")],
            ) + &when(&trigger(true, false, &s("(lt A 0.9)")), "", &[("c", "3"), ("n", "(floor z)")])),
        )),
    )
}

/// The parts of a text that have a meaning of their own: tags, names, values, separators.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for c in text.chars() {
        let inside = |c: char| c.is_alphanumeric() || "._-:/".contains(c);
        match words.last_mut() {
            Some(word) if inside(c) && word.chars().all(inside) => word.push(c),
            _ => words.push(c.into()),
        }
    }
    words
}

/// What is done to the words of a text.
fn changed(text: &str, changes: &[(usize, usize, u8)]) -> String {
    let mut words = words(text);
    let meaning: Vec<usize> =
        (0..words.len()).filter(|&i| words[i].chars().all(char::is_alphanumeric)).collect();
    for &(at, from, how) in changes {
        let (at, from) = (meaning[at % meaning.len()], meaning[from % meaning.len()]);
        match how % 6 {
            0 => words.swap(at, from),
            1 => {
                let word = words[from].clone();
                words[at] = word;
            }
            2 => words[at] = String::new(),
            3 => words[at] = ["-1", "0", "1e308", "NaN", "INF", "2.5"][from % 6].into(),
            4 => words[at] = format!("{0}{0}", words[at]),
            _ => words[at] = ["A", "c", "n", "r", "k", "f", "x", "q", "true"][from % 9].into(),
        }
    }
    words.concat()
}

#[test]
fn the_model_is_right_before_it_is_changed() {
    assert_eq!(changed(&model(), &[]), model());
    let model = Model::from_sbml(&model()).unwrap();
    Simulator::new(model, Tolerances::default()).trajectory(&[0.0, 1.0], true).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn models_with_other_words(changes in prop::collection::vec((0..10_000_usize, 0..10_000_usize, any::<u8>()), 1..4)) {
        if let Ok(model) = Model::from_sbml(&changed(&model(), &changes)) {
            let _ = Simulator::new(model, Tolerances::default()).trajectory(&[0.0, 1e-3], true);
        }
    }
}

const TABLES: [(&str, &str); 4] = [
    ("p.tsv", "parameterId\tparameterScale\tnominalValue\testimate\nk\tlog10\t0.5\t1\ns\tlin\t2\t0\n"),
    ("c.tsv", "conditionId\tA\tc\tgain\nx\t1\tNaN\t2\ny\ts\t3\tk\n"),
    (
        "m.tsv",
        "observableId\tpreequilibrationConditionId\tsimulationConditionId\tmeasurement\ttime\tobservableParameters\tnoiseParameters\no\t\tx\t1\t0\ts;1\t0.1\no\t\ty\t1\t0.001\t2;s\ts\n",
    ),
    (
        "o.tsv",
        "observableId\tobservableFormula\tnoiseFormula\tobservableTransformation\tnoiseDistribution\no\tgain * observableParameter1_o * f(A, x) + observableParameter2_o ^ 2\tnoiseParameter1_o + o\tlog\tlaplace\n",
    ),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn problems_with_other_words(table in 0..4_usize, changes in prop::collection::vec((0..500_usize, 0..500_usize, any::<u8>()), 0..3)) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("model.xml"), model()).unwrap();
        std::fs::write(
            folder.path().join("problem.yaml"),
            "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [model.xml]\n  condition_files: [c.tsv]\n  measurement_files: [m.tsv]\n  observable_files: [o.tsv]\n",
        ).unwrap();
        for (i, (name, text)) in TABLES.iter().enumerate() {
            let text = if i == table { changed(text, &changes) } else { (*text).to_owned() };
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        match Problem::open(&folder.path().join("problem.yaml"), Tolerances::default()) {
            Err(error) => prop_assert!(!changes.is_empty(), "{error}"),
            Ok(mut problem) => {
                // A time may have become too late to run to here.
                if problem.measurements().iter().all(|m| m.time < 0.1) {
                    let nominal = problem.nominal();
                    if let Ok(simulation) = problem.simulate(&nominal) {
                        let _ = problem.likelihood(&simulation);
                    }
                }
            }
        }
    }
}
