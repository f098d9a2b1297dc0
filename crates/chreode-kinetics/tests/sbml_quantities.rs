//! What quantities of a model mean: species and compartments of every kind, stoichiometries, what stands in for what.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use chreode_kinetics::{Model, Simulator, Tolerances};
use common::{
    assert_is, assign, compartment, initial, list, math, of, once, parameters, rate, reaction, run, s, sbml,
    species, variable, when,
};

const ONE: &str = r#"stoichiometry="1""#;

fn model(compartments: &str, all_species: &str, rest: &str) -> String {
    sbml(&(list("Compartments", compartments) + &list("Species", all_species) + rest))
}

#[test]
fn species_in_a_compartment_that_a_rule_sizes() {
    // c = 1 + t. A, a concentration, decays in amount; N, an amount, too; the law of N uses its amount.
    let text = model(
        &compartment("c", r#"constant="false""#),
        &(species("A", r#"initialConcentration="4""#)
            + &species("N", r#"initialConcentration="3" hasOnlySubstanceUnits="true""#)
            + &species("K", r#"initialAmount="6" constant="true" boundaryCondition="true""#)),
        &(list("Parameters", &(variable("a", "0") + &variable("n", "0") + &variable("k", "0")))
            + &list(
                "Rules",
                &(assign("c", "(plus 1 t)") + &assign("a", "A") + &assign("n", "N") + &assign("k", "K")),
            )
            + &list(
                "Reactions",
                &(reaction("r", &of("A", ONE), "", "(times 0.5 A c)", "")
                    + &reaction("q", &of("N", ONE), "", "(times 0.5 N)", "")),
            )),
    );
    let (amounts, concentrations) = (run(&text, 4.0, false), run(&text, 4.0, true));
    let fall = |t: f64| (-0.5 * t).exp();
    assert_is(&amounts, "A", |t| 4.0 * fall(t));
    assert_is(&amounts, "a", |t| 4.0 * fall(t) / (1.0 + t));
    assert_is(&concentrations, "A", |t| 4.0 * fall(t) / (1.0 + t));
    assert_is(&amounts, "N", |t| 3.0 * fall(t));
    assert_is(&amounts, "n", |t| 3.0 * fall(t));
    assert_is(&concentrations, "N", |t| 3.0 * fall(t) / (1.0 + t));
    assert_is(&amounts, "K", |_| 6.0);
    assert_is(&amounts, "k", |t| 6.0 / (1.0 + t));
    assert_is(&amounts, "r", |t| 2.0 * fall(t));
}

#[test]
fn initial_assignments_size_compartments() {
    let text = model(
        &(compartment("c", r#"constant="true""#)
            + &compartment("d", r#"size="5" constant="false" spatialDimensions="2""#)),
        &(species("A", r#"initialConcentration="4""#)
            + &species("B", r#"initialAmount="4""#)
            + &species("C", "")
            + &species("D", r#"compartment="d" hasOnlySubstanceUnits="true""#)),
        &(list("Parameters", &(variable("b", "0") + &variable("half", "0.5")))
            + &list(
                "InitialAssignments",
                &(initial("C", "(times 2 A)") + &initial("c", "(divide d 2)") + &initial("D", "(plus C d)")),
            )
            + &list("Rules", &assign("b", "(times half B)"))),
    );
    let (amounts, concentrations) = (run(&text, 1.0, false), run(&text, 1.0, true));
    for (id, amount, concentration) in [
        ("A", 10.0, 4.0),
        ("B", 4.0, 1.6),
        ("C", 20.0, 8.0),
        ("D", 13.0, 2.6),
        ("c", 2.5, 2.5),
        ("b", 0.8, 0.8),
    ] {
        assert_is(&amounts, id, |_| amount);
        assert_is(&concentrations, id, |_| concentration);
    }
}

#[test]
fn points_and_compartments_without_size() {
    // A point has amounts alone; a compartment of unknown size may hold amounts.
    let text = model(
        &(compartment("c", r#"spatialDimensions="0" constant="true""#)
            + &compartment("u", r#"spatialDimensions="3" constant="true""#)),
        &(species("P", r#"initialAmount="2""#)
            + &species("U", r#"initialAmount="3" compartment="u" hasOnlySubstanceUnits="true""#)
            + &species("V", r#"initialAmount="1" compartment="u""#)),
        &list(
            "Reactions",
            &(reaction("r", &of("P", ONE), &of("V", ONE), "(times 2 P)", "")
                + &reaction("q", &of("U", ONE), "", "(times 1 U)", "")),
        ),
    );
    let amounts = run(&text, 1.0, false);
    assert_is(&amounts, "P", |t| 2.0 * (-2.0 * t).exp());
    assert_is(&amounts, "U", |t| 3.0 * (-t).exp());
    assert_is(&amounts, "V", |t| 3.0 - 2.0 * (-2.0 * t).exp());
    assert!(amounts.column("u").unwrap()[0].is_nan());
    assert!(run(&text, 1.0, true).column("U").unwrap()[0].is_nan());
}

#[test]
fn rules_of_species_speak_of_what_formulas_have() {
    let text = model(
        &compartment("c", r#"size="4" constant="true""#),
        &(species("A", "") // assigned: a concentration
            + &species("N", r#"hasOnlySubstanceUnits="true""#)
            + &species("R", r#"initialAmount="8""#)
            + &species("Q", r#"initialConcentration="2" hasOnlySubstanceUnits="true" boundaryCondition="true""#)
            + &species("S", r#"initialAmount="1" boundaryCondition="true""#)),
        &(list(
            "Rules",
            &(assign("A", "(plus 1 t)")
                + &assign("N", "(plus 1 t)")
                + &rate("R", "3")
                + &rate("Q", "(minus Q)")),
        ) + &list(
            "Reactions",
            // Boundaries are not changed by reactions, with a rule or without.
            &reaction("r", &(of("Q", ONE) + &of("S", ONE)), &of("S", r#"stoichiometry="2""#), "7", ""),
        )),
    );
    let (amounts, concentrations) = (run(&text, 2.0, false), run(&text, 2.0, true));
    assert_is(&amounts, "A", |t| 4.0 * (1.0 + t));
    assert_is(&concentrations, "A", |t| 1.0 + t);
    assert_is(&amounts, "N", |t| 1.0 + t);
    assert_is(&concentrations, "N", |t| 0.25 * (1.0 + t));
    assert_is(&amounts, "R", |t| 8.0 + 12.0 * t);
    assert_is(&concentrations, "R", |t| 2.0 + 3.0 * t);
    assert_is(&amounts, "Q", |t| 8.0 * (-t).exp());
    assert_is(&amounts, "S", |_| 1.0);
}

#[test]
fn an_event_that_resizes_leaves_amounts() {
    // At 1 the compartment grows from 2 to 8, and A is given a concentration that it has before that.
    let kinds = species("A", r#"initialConcentration="1""#)
        + &species("B", r#"initialConcentration="1""#) // by a reaction
        + &species("C", r#"initialConcentration="1""#) // by a rate rule
        + &species("D", r#"initialConcentration="1" boundaryCondition="true""#) // by nothing
        + &species("E", r#"initialConcentration="1" hasOnlySubstanceUnits="true""#);
    let text = model(
        &compartment("c", r#"size="2" constant="false""#),
        &kinds,
        &(list("Rules", &rate("C", "1"))
            + &list("Reactions", &reaction("r", "", &of("B", ONE), "6", ""))
            + &list(
                "Events",
                &when(
                    &once("(geq t 1)"),
                    "",
                    &[("c", "(times 4 c)"), ("A", "(times 3 A)"), ("E", "(plus E 5)")],
                ),
            )),
    );
    let (amounts, concentrations) = (run(&text, 2.0, false), run(&text, 2.0, true));
    let then = |before: f64, after: f64| move |t: f64| if t < 1.0 { before } else { after };
    assert_is(&amounts, "A", then(2.0, 6.0));
    assert_is(&concentrations, "A", then(1.0, 0.75));
    assert_is(&amounts, "B", |t| 2.0 + 6.0 * t);
    assert_is(&concentrations, "B", |t| (2.0 + 6.0 * t) / if t < 1.0 { 2.0 } else { 8.0 });
    // The concentration goes on from a quarter of two.
    assert_is(&concentrations, "C", |t| if t < 1.0 { 1.0 + t } else { 0.5 + (t - 1.0) });
    assert_is(&amounts, "D", |_| 2.0);
    assert_is(&concentrations, "D", then(1.0, 0.25));
    assert_is(&amounts, "E", then(2.0, 7.0));
}

#[test]
fn stoichiometries_vary() {
    let text = model(
        &compartment("c", r#"size="2" constant="true""#),
        &["A", "B", "C", "D", "E"].map(|id| species(id, r#"initialAmount="0""#)).concat(),
        &(list("Parameters", &(variable("p", "0") + &variable("q", "0")))
            + &list("InitialAssignments", &initial("ni", "(plus 1 fixed)"))
            + &list(
                "Rules",
                &(assign("na", "(times 2 t)")
                    + &rate("nr", "1")
                    + &assign("p", "(plus na fixed)")
                    + &assign("q", "ne")),
            )
            + &list(
                "Reactions",
                &reaction(
                    "r",
                    "",
                    &(of("A", r#"id="na" constant="false""#)
                        + &of("B", r#"id="nr" stoichiometry="3" constant="false""#)
                        + &of("C", r#"id="ne" stoichiometry="1" constant="false""#)
                        + &of("D", r#"id="ni" constant="true""#)
                        + &of("E", r#"id="fixed" stoichiometry="1.5""#)),
                    "2",
                    "",
                ),
            )
            + &list("Events", &when(&once("(geq t 1)"), "", &[("ne", "(plus ne 3)")]))),
    );
    let run = run(&text, 2.0, false);
    assert_is(&run, "A", |t| 2.0 * t * t);
    assert_is(&run, "B", |t| 6.0 * t + t * t);
    assert_is(&run, "C", |t| 2.0 * t + 6.0 * (t - 1.0).max(0.0));
    assert_is(&run, "D", |t| 5.0 * t);
    assert_is(&run, "E", |t| 3.0 * t);
    assert_is(&run, "p", |t| 2.0 * t + 1.5);
    assert_is(&run, "q", |t| if t < 1.0 { 1.0 } else { 4.0 });
    assert_is(&run, "nr", |t| 3.0 + t);
    assert_is(&run, "fixed", |_| 1.5);
    assert_is(&run, "ni", |_| 2.5);
}

#[test]
fn conversion_factors_of_species_go_before_that_of_the_model() {
    let reactions = reaction("r", &(of("A", ONE) + &of("B", ONE)), &of("A", r#"stoichiometry="3""#), "1", "");
    let text = sbml(
        &(list("Compartments", &compartment("c", r#"size="2" constant="true""#))
            + &list(
                "Species",
                &(species("A", r#"initialAmount="0""#)
                    + &species("B", r#"initialAmount="0" conversionFactor="g""#)),
            )
            + &list(
                "Parameters",
                r#"<parameter id="f" value="10" constant="true"/><parameter id="g" constant="true"/>"#,
            )
            + &list("InitialAssignments", &initial("g", "(divide f 4)"))
            + &list("Reactions", &reactions)),
    )
    .replace(r#"<model id="m""#, r#"<model id="m" conversionFactor="f""#);
    let run = run(&text, 2.0, false);
    // A is on both sides: two more at each turn.
    assert_is(&run, "A", |t| 20.0 * t);
    assert_is(&run, "B", |t| -2.5 * t);
}

#[test]
fn local_parameters_hide_what_has_their_name() {
    let text = model(
        &compartment("c", r#"size="1" constant="true""#),
        &["A", "B", "C"].map(|id| species(id, r#"initialAmount="1""#)).concat(),
        &(list("Parameters", &variable("k", "1"))
            + &list(
                "Reactions",
                &(reaction("r", "", &of("A", ONE), "k", r#"<localParameter id="k" value="5"/>"#)
                    + &reaction(
                        "q",
                        "",
                        &of("B", ONE),
                        "(times k C)",
                        r#"<localParameter id="C" value="3"/>"#,
                    )
                    + &reaction(
                        "z",
                        "",
                        &of("C", ONE),
                        "(plus 2 (#rateOf k))",
                        r#"<localParameter id="k" value="7"/>"#,
                    )),
            )
            + &list("Rules", &rate("k", "2"))),
    );
    let run = run(&text, 2.0, false);
    assert_is(&run, "A", |t| 1.0 + 5.0 * t);
    assert_is(&run, "B", |t| 1.0 + 3.0 * (t + t * t));
    assert_is(&run, "C", |t| 1.0 + 2.0 * t);
}

#[test]
fn rates_of_change_of_everything() {
    let read = ["oa", "on", "oc", "ob", "ok", "of", "op", "os"];
    let text = model(
        &compartment("c", r#"size="2" constant="false""#),
        &(species("A", r#"initialAmount="3""#)
            + &species("N", r#"initialAmount="4" hasOnlySubstanceUnits="true""#)
            + &species("B", r#"initialAmount="5" boundaryCondition="true""#)),
        &(list(
            "Parameters",
            &(read.map(|id| variable(id, "0")).concat()
                + &variable("p", "1")
                + r#"<parameter id="k" value="3" constant="true"/><parameter id="start" constant="true"/>"#),
        ) + &list("InitialAssignments", &initial("start", "(plus (#rateOf N) (times 10 r))"))
            + &list(
                "Rules",
                &(rate("c", "1")
                    + &rate("p", "(cos t)")
                    + &assign("oa", "(#rateOf A)")
                    + &assign("on", "(#rateOf N)")
                    + &assign("oc", "(#rateOf c)")
                    + &assign("ob", "(#rateOf B)")
                    + &assign("ok", "(#rateOf k)")
                    + &assign("of", "(#rateOf n)")
                    + &assign("op", "(#rateOf p)")
                    + &assign("os", "(#rateOf os2)")),
            )
            + &list(
                "Reactions",
                &(reaction("r", &of("N", r#"id="n" stoichiometry="1""#), &of("A", ONE), "(times 0.5 N)", "")
                    + &reaction(
                        "q",
                        "",
                        &of("B", r#"id="os2" stoichiometry="1" constant="false""#),
                        "1",
                        "",
                    )),
            )),
    );
    let run = run(&text, 2.0, false);
    let n = |t: f64| 4.0 * (-0.5 * t).exp();
    assert_is(&run, "on", |t| -0.5 * n(t));
    // Of the concentration, in a compartment that grows too.
    for (&t, x) in run.times.iter().zip(run.column("oa").unwrap()) {
        let exact = 0.5 * n(t) / (2.0 + t) - (7.0 - n(t)) / (2.0 + t).powi(2);
        assert!((x - exact).abs() < 1e-7, "{t}: {x}, {exact}"); // what is left of two terms
    }
    assert_is(&run, "oc", |_| 1.0);
    assert_is(&run, "ob", |t| -5.0 / (2.0 + t).powi(2));
    assert_is(&run, "ok", |_| 0.0);
    assert_is(&run, "of", |_| 0.0);
    assert_is(&run, "os", |_| 0.0);
    assert_is(&run, "op", f64::cos);
    assert_is(&run, "start", |_| 18.0);
}

#[test]
fn every_version_of_levels_two_and_three_is_read() {
    let parts = |constant: &str| {
        format!(
            r#"<listOfCompartments><compartment id="c" size="1" {constant}/></listOfCompartments>
            <listOfSpecies><species id="S" compartment="c" initialAmount="2" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/></listOfSpecies>
            <listOfReactions><reaction id="r" reversible="false" fast="false"><notes><p xmlns="http://www.w3.org/1999/xhtml">note</p></notes>
            <annotation><x xmlns="urn:x"><reaction/></x></annotation>
            <listOfReactants><speciesReference species="S" stoichiometry="1" {}/></listOfReactants><listOfModifiers><modifierSpeciesReference species="S"/></listOfModifiers>
            <kineticLaw>{}</kineticLaw></reaction></listOfReactions>"#,
            if constant.is_empty() { "" } else { r#"constant="true""# },
            math(&s("(times 1 S)")),
        )
    };
    for (level, version, namespace) in [
        (2, 1, "http://www.sbml.org/sbml/level2"),
        (2, 2, "http://www.sbml.org/sbml/level2/version2"),
        (2, 3, "http://www.sbml.org/sbml/level2/version3"),
        (2, 4, "http://www.sbml.org/sbml/level2/version4"),
        (2, 5, "http://www.sbml.org/sbml/level2/version5"),
        (3, 1, "http://www.sbml.org/sbml/level3/version1/core"),
        (3, 2, "http://www.sbml.org/sbml/level3/version2/core"),
    ] {
        let constant = if level == 2 { "" } else { r#"constant="true""# };
        let text = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><sbml xmlns="{namespace}" level="{level}" version="{version}"><model timeUnits="minute">{}</model></sbml>"#,
            parts(constant)
        );
        assert_is(&run(&text, 1.0, false), "S", |t| 2.0 * (-t).exp());
        // With a prefix for every element, as some programs write.
        let prefixed = text.replace("xmlns=\"http://www.sbml", "xmlns:s=\"http://www.sbml");
        let tags = [
            "sbml",
            "model",
            "listOf",
            "compartment",
            "species",
            "reaction",
            "kineticLaw",
            "modifier",
            "notes",
            "annotation",
        ];
        let prefixed = tags.iter().fold(prefixed, |text, tag| {
            text.replace(&format!("<{tag}"), &format!("<s:{tag}"))
                .replace(&format!("</{tag}"), &format!("</s:{tag}"))
        });
        assert_is(&run(&prefixed, 1.0, false), "S", |t| 2.0 * (-t).exp());
    }
}

#[test]
fn stoichiometry_of_level_two_is_computed_all_the_time() {
    let text = format!(
        r#"<sbml xmlns="http://www.sbml.org/sbml/level2/version4" level="2" version="4"><model>
        <listOfCompartments><compartment id="c" size="1"/></listOfCompartments>
        <listOfSpecies><species id="S" compartment="c" initialAmount="0"/></listOfSpecies>
        <listOfParameters><parameter id="p" value="1" constant="false"/></listOfParameters><listOfRules>{}</listOfRules>
        <listOfReactions><reaction id="r"><listOfProducts><speciesReference id="n" species="S"><stoichiometryMath>{}</stoichiometryMath></speciesReference></listOfProducts>
        <kineticLaw>{}</kineticLaw></reaction></listOfReactions></model></sbml>"#,
        rate("p", "2"),
        math(&s("(times 3 p)")),
        math(&s("1")),
    );
    assert_is(&run(&text, 2.0, false), "S", |t| 3.0 * (t + t * t));
}

#[test]
fn what_has_no_formula_says_nothing() {
    // Level 3 version 2: a reaction without a law changes nothing, but its stoichiometries are still there.
    let text = model(
        &compartment("c", r#"size="1" constant="true""#),
        &species("A", r#"initialAmount="1""#),
        &(list("Parameters", &(variable("p", "0") + &variable("q", "4")))
            + "<listOfInitialAssignments/><listOfConstraints><constraint/></listOfConstraints>"
            + &list("Rules", &(assign("p", "(times 2 n)") + r#"<algebraicRule/><rateRule variable="q"/>"#))
            + &list(
                "Reactions",
                &format!(
                    r#"<reaction id="r" reversible="false"><listOfReactants>{}</listOfReactants></reaction>
                    <reaction id="e" reversible="false"><listOfReactants/><listOfProducts>{}</listOfProducts><kineticLaw><listOfLocalParameters/></kineticLaw></reaction>"#,
                    of("A", r#"id="n" stoichiometry="3""#),
                    of("A", ONE),
                ),
            )
            + "<listOfEvents/>"),
    );
    let run = run(&text, 1.0, false);
    assert_is(&run, "A", |_| 1.0);
    assert_is(&run, "p", |_| 6.0);
    assert_is(&run, "q", |_| 4.0);
    let earlier = text.replace(r#"version="2""#, r#"version="1""#);
    assert!(Model::from_sbml(&earlier).is_err());
}

#[test]
fn a_species_is_in_a_compartment() {
    let text = model(
        &compartment("c", r#"size="1" constant="true""#),
        &(species("A", "") + &species("B", r#"compartment="A""#)),
        "",
    );
    let error = Model::from_sbml(&text).unwrap_err().to_string();
    assert_eq!(error, "species `B`: there is no compartment `A`");
}

#[test]
fn columns_are_what_varies_and_then_the_rest() {
    let text = model(
        &compartment("c", r#"size="2" constant="true""#),
        &(species("K", r#"initialAmount="1" constant="true" boundaryCondition="true""#)
            + &species("A", r#"initialAmount="1""#)),
        &(list(
            "Parameters",
            &(r#"<parameter id="k" value="INF" constant="true"/><parameter id="u" constant="false"/>"#
                .to_owned()
                + &variable("v", "-INF")),
        ) + &list(
            "Reactions",
            &reaction(
                "r",
                &of("A", r#"id="n" stoichiometry="2""#),
                "",
                "(times A z)",
                r#"<localParameter id="z" value="1"/>"#,
            ),
        )),
    );
    let run = run(&text, 1.0, false);
    assert_eq!(run.ids, ["K", "A", "c", "u", "v", "k", "n", "r"]);
    assert_eq!(run.column("k").unwrap()[1], f64::INFINITY);
    assert_eq!(run.column("v").unwrap()[1], f64::NEG_INFINITY);
    assert!(run.column("u").unwrap()[1].is_nan());
    let mut csv = Vec::new();
    run.write_csv(&mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.starts_with("time,K,A,c,u,v,k,n,r\n0,1,1,2,NaN,-inf,inf,2,0.5\n"), "{csv}");
}

#[test]
fn slopes_that_are_infinite_and_amounts_that_are_tiny() {
    // x' = 1 - √x from zero, where the root has no slope: t = -2 √x - 2 ln(1 - √x).
    let text = parameters(
        &(variable("x", "0") + &variable("z", "0")),
        &list("Rules", &(rate("x", "(minus 1 (root x))") + &rate("z", "(power z 0.5)"))),
    );
    let run_of = run(&text, 3.0, false);
    for (t, x) in run_of.times.iter().zip(run_of.column("x").unwrap()) {
        let root = x.sqrt();
        assert!((-2.0 * root - 2.0 * (1.0 - root).ln() - t).abs() < 1e-5, "{t} {x}");
    }
    assert_is(&run_of, "z", |_| 0.0);
    // All starts from nothing, and stays below any tolerance that does not know it.
    let text = parameters(
        &(variable("x", "0") + &variable("y", "0")),
        &list("Rules", &(rate("x", "(minus 3e-18 x)") + &rate("y", "(minus x y)"))),
    );
    let run = run(&text, 5.0, false);
    for (&t, y) in run.times.iter().zip(run.column("y").unwrap()) {
        let exact = 3e-18 * (1.0 - (1.0 + t) * (-t).exp());
        assert!((y - exact).abs() < 1e-24, "{t}: {y}, {exact}");
    }
    // Nothing may start far from one either.
    let text = parameters(&variable("x", "1e-20"), &list("Rules", &rate("x", "(minus x)")));
    let model = Model::from_sbml(&text).unwrap();
    let run = Simulator::new(model, Tolerances::default()).trajectory(&[0.0, 1.0], false).unwrap();
    assert!((run.column("x").unwrap()[1] / (1e-20 * (-1.0_f64).exp()) - 1.0).abs() < 1e-6);
}
