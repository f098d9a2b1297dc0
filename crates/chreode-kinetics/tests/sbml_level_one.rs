//! Level 1: other names, text for formulas, and rules that say what they are about.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use chreode_kinetics::Model;
use common::{assert_is, run};

/// A model of a version of level 1; `s` is the end of the word that version 1 does not have.
fn model(version: u32, s: &str, parts: &str) -> String {
    let all = format!(
        r#"<listOfCompartments><compartment name="c" volume="2" units="volume"/><compartment name="one"/></listOfCompartments>
        <listOfSpecies>
         <specie{s} name="A" compartment="c" initialAmount="6" units="substance" boundaryCondition="false" charge="1"/>
         <specie{s} name="B" compartment="c" initialAmount="0"/>
         <specie{s} name="F" compartment="one" initialAmount="3" boundaryCondition="true"/>
        </listOfSpecies>
        <listOfParameters><parameter name="k" value="0.5" units="per_second"/><parameter name="x" value="1"/><parameter name="y"/></listOfParameters>
        {parts}"#
    );
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?><sbml xmlns="http://www.sbml.org/sbml/level1" level="1" version="{version}"><model name="m"><listOfUnitDefinitions><unitDefinition name="per_second"><listOfUnits><unit kind="second" exponent="-1"/></listOfUnits></unitDefinition></listOfUnitDefinitions>{all}</model></sbml>"#
    )
}

/// What a formula is worth, with `x` = 1 and `k` = 0.5.
fn worth(formula: &str) -> f64 {
    let rules = format!(r#"<listOfRules><parameterRule name="y" formula="{formula}"/></listOfRules>"#);
    run(&model(2, "s", &rules), 1.0, false).column("y").unwrap()[0]
}

#[test]
fn both_versions_are_read() {
    for (version, s) in [(1, ""), (2, "s")] {
        let parts = format!(
            r#"<listOfRules>
             <specie{s}ConcentrationRule specie{s}="F" type="rate" formula="2*x"/>
             <parameterRule name="x" type="rate" formula="1"/>
             <parameterRule name="y" formula="A + B"/>
             <compartmentVolumeRule compartment="one" type="scalar" formula="2 + x"/>
            </listOfRules>
            <listOfReactions><reaction name="r" reversible="false">
             <listOfReactants><specie{s}Reference specie{s}="A"/></listOfReactants>
             <listOfProducts><specie{s}Reference specie{s}="B" stoichiometry="3" denominator="2"/></listOfProducts>
             <kineticLaw formula="c * k * own * A" timeUnits="second"><listOfParameters><parameter name="own" value="2"/></listOfParameters></kineticLaw>
            </reaction></listOfReactions>"#
        );
        let run = run(&model(version, s, &parts), 2.0, false);
        assert_is(&run, "A", |t| 6.0 * (-t).exp());
        assert_is(&run, "B", |t| 9.0 * (1.0 - (-t).exp()));
        assert_is(&run, "y", |t| 3.0 * (-t).exp() + 4.5 * (1.0 - (-t).exp()));
        assert_is(&run, "one", |t| 3.0 + t);
        // A concentration of one at the start, in a volume of three.
        assert_is(&run, "F", |t| (1.0 + 2.0 * t + t * t) * (3.0 + t));
    }
}

#[test]
fn a_denominator_alone_divides() {
    let parts = r#"<listOfReactions><reaction name="r"><listOfReactants><speciesReference species="A"/></listOfReactants>
        <listOfProducts><speciesReference species="B" denominator="2"/></listOfProducts><kineticLaw formula="c * k * A"/></reaction></listOfReactions>"#;
    let run = run(&model(2, "s", parts), 2.0, false);
    assert_is(&run, "B", |t| 3.0 * (1.0 - (-0.5 * t).exp()));
}

#[test]
fn formulas_are_text() {
    for (formula, expected) in [
        ("2 + 3*k^2 - x/4", 2.5),
        ("1 - 2 - 3", -4.0),
        ("8/2/2", 2.0),
        // A sign before a power, powers from the left.
        ("-3^2", 9.0),
        ("2^3^2", 64.0),
        ("2^-1", 0.5),
        ("2 - -3^2", -7.0),
        ("sqr(3) + sqrt(4) + pow(2, 3) + abs(-1)", 20.0),
        ("log(exp(2)) + log10(1000)", 5.0),
        ("ceil(1.5) + floor(-0.5)", 1.0),
        ("sin(0) + cos(0) + tan(0)", 1.0),
        ("acos(1) + asin(0) + atan(0)", 0.0),
        ("1.5e1 + .5", 15.5),
    ] {
        assert!((worth(formula) - expected).abs() < 1e-14, "{formula}: {}", worth(formula));
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (parts, expected) in [
        (
            r#"<listOfReactions><reaction name="r"><listOfProducts><speciesReference species="B" denominator="0"/></listOfProducts></reaction></listOfReactions>"#,
            "a number other than zero",
        ),
        (
            r#"<listOfRules><algebraicRule formula="x"/></listOfRules>"#,
            "<algebraicRule> (line 8): algebraic rules are",
        ),
        (
            r#"<listOfRules><parameterRule name="y" formula="x +"/></listOfRules>"#,
            "<parameterRule> `y`: expected a name, a number or a parenthesis at character 4 of `x +`",
        ),
        // Level 1 has no comparisons and no time.
        (
            r#"<listOfRules><parameterRule name="y" formula="x == 1"/></listOfRules>"#,
            "expected an operator or the end",
        ),
        (r#"<listOfRules><parameterRule name="y" formula="time"/></listOfRules>"#, "`time` is not defined"),
        (
            r#"<listOfRules><parameterRule name="y" type="x" formula="1"/></listOfRules>"#,
            "is not scalar or rate",
        ),
        (
            r#"<listOfRules><parameterRule formula="1"/></listOfRules>"#,
            "<parameterRule> (line 8) has no name",
        ),
        (
            r#"<listOfReactions><reaction name="r"><kineticLaw/></reaction></listOfReactions>"#,
            "<kineticLaw> (line 8) has no formula",
        ),
    ] {
        let error = Model::from_sbml(&model(2, "s", parts)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let deep = "-".repeat(500) + "1";
    let deep = format!(r#"<listOfRules><parameterRule name="y" formula="{deep}"/></listOfRules>"#);
    assert!(Model::from_sbml(&model(2, "s", &deep)).unwrap_err().to_string().contains("nested more than"));
}
