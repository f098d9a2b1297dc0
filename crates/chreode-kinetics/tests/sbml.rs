//! Models written here, with solutions that are known.

use chreode_kinetics::{Model, Simulator, Tolerances, Trajectory};

/// A model of level 3 version 2 around these parts.
fn sbml(parts: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2"><model id="m">{parts}</model></sbml>"#
    )
}

fn math(inside: &str) -> String {
    format!(r#"<math xmlns="http://www.w3.org/1998/Math/MathML">{inside}</math>"#)
}

fn run(text: &str, until: f64, concentrations: bool) -> Trajectory {
    let model = Model::from_sbml(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let times: Vec<f64> = (0..=20).map(|i| until * f64::from(i) / 20.0).collect();
    Simulator::new(model, Tolerances::default()).trajectory(&times, concentrations).unwrap()
}

/// Compares a column with a function of time, to the suite's usual tolerances and better.
fn assert_is(run: &Trajectory, id: &str, exact: impl Fn(f64) -> f64) {
    for (&t, x) in run.times.iter().zip(run.column(id).unwrap_or_else(|| panic!("no column {id}"))) {
        let e = exact(t);
        assert!((x - e).abs() <= 1e-6 * e.abs() + 1e-9, "{id} at {t}: {x}, expected {e}");
    }
}

const DECAY: &str = r#"<listOfCompartments><compartment id="c" size="2" constant="true"/></listOfCompartments>
<listOfSpecies>
 <species id="A" compartment="c" initialConcentration="3" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/>
 <species id="B" compartment="c" initialAmount="1" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/>
</listOfSpecies>"#;

#[test]
fn mass_action_in_a_compartment() {
    let law = math("<apply><times/><ci>c</ci><ci>k</ci><ci>A</ci></apply>");
    let text = sbml(&format!(
        r#"{DECAY}<listOfReactions><reaction id="r" reversible="false">
        <listOfReactants><speciesReference species="A" stoichiometry="1" constant="true"/></listOfReactants>
        <listOfProducts><speciesReference species="B" stoichiometry="2" constant="true"/></listOfProducts>
        <kineticLaw>{law}<listOfLocalParameters><localParameter id="k" value="0.5"/></listOfLocalParameters></kineticLaw>
        </reaction></listOfReactions>"#
    ));
    let amounts = run(&text, 5.0, false);
    assert_is(&amounts, "A", |t| 6.0 * (-0.5 * t).exp());
    assert_is(&amounts, "B", |t| 1.0 + 12.0 * (1.0 - (-0.5 * t).exp()));
    assert_is(&run(&text, 5.0, true), "A", |t| 3.0 * (-0.5 * t).exp());
    assert_eq!(amounts.ids, ["A", "B", "c"]);
}
