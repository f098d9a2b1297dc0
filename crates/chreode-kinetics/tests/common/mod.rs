//! Models written down in parts, and what they become.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses some of it, and stops at the first surprise"
)]

use chreode_kinetics::{Model, Simulator, Tolerances, Trajectory};

/// A model of level 3 version 2 around these parts.
pub(crate) fn sbml(parts: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<sbml xmlns="http://www.sbml.org/sbml/level3/version2/core" level="3" version="2"><model id="m">{parts}</model></sbml>"#
    )
}

pub(crate) fn math(inside: &str) -> String {
    format!(r#"<math xmlns="http://www.w3.org/1998/Math/MathML">{inside}</math>"#)
}

pub(crate) fn run(text: &str, until: f64, concentrations: bool) -> Trajectory {
    let model = Model::from_sbml(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let times: Vec<f64> = (0..=20).map(|i| until * f64::from(i) / 20.0).collect();
    Simulator::new(model, Tolerances::default()).trajectory(&times, concentrations).unwrap()
}

/// Compares a column with a function of time, to the suite's usual tolerances and better.
pub(crate) fn assert_is(run: &Trajectory, id: &str, exact: impl Fn(f64) -> f64) {
    for (&t, x) in run.times.iter().zip(run.column(id).unwrap_or_else(|| panic!("no column {id}"))) {
        let e = exact(t);
        assert!((x - e).abs() <= 1e-6 * e.abs() + 1e-9, "{id} at {t}: {x}, expected {e}");
    }
}

pub(crate) const DECAY: &str = r#"<listOfCompartments><compartment id="c" size="2" constant="true"/></listOfCompartments>
<listOfSpecies>
 <species id="A" compartment="c" initialConcentration="3" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/>
 <species id="B" compartment="c" initialAmount="1" hasOnlySubstanceUnits="false" boundaryCondition="false" constant="false"/>
</listOfSpecies>"#;

/// A model of a parameter `x` that starts at `start` with these parts around it.
pub(crate) fn parameters(list: &str, parts: &str) -> String {
    sbml(&format!("<listOfParameters>{list}</listOfParameters>{parts}"))
}

pub(crate) fn variable(id: &str, value: &str) -> String {
    format!(r#"<parameter id="{id}" value="{value}" constant="false"/>"#)
}

pub(crate) fn rule(kind: &str, of: &str, inside: &str) -> String {
    format!(r#"<{kind} variable="{of}">{}</{kind}>"#, math(inside))
}

pub(crate) const TIME: &str =
    r#"<csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/time">t</csymbol>"#;

pub(crate) fn event(attributes: &str, trigger: &str, more: &str, assignments: &[(&str, &str)]) -> String {
    let one =
        |(of, x): &(&str, &str)| format!(r#"<eventAssignment variable="{of}">{}</eventAssignment>"#, math(x));
    let assignments = assignments.iter().map(one).collect::<Vec<_>>().concat();
    format!(
        "<event {attributes}>{trigger}{more}<listOfEventAssignments>{assignments}</listOfEventAssignments></event>"
    )
}

pub(crate) fn trigger(initial: bool, persistent: bool, inside: &str) -> String {
    format!(r#"<trigger initialValue="{initial}" persistent="{persistent}">{}</trigger>"#, math(inside))
}

pub(crate) fn after(t: &str) -> String {
    format!("<apply><geq/>{TIME}<cn>{t}</cn></apply>")
}

/// MathML of a formula in brackets, such as `(plus 1 (times 2 x))`: `t` is time, `@f` the model's function `f`, `#rateOf` the symbol.
pub(crate) fn s(formula: &str) -> String {
    let spaced = formula.replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let text = read(&mut words);
    assert!(words.next().is_none(), "{formula}");
    text
}

fn read<'a>(words: &mut std::iter::Peekable<impl Iterator<Item = &'a str>>) -> String {
    let word = words.next().unwrap();
    if word != "(" {
        return match word {
            "t" => TIME.into(),
            "true" | "false" | "pi" | "infinity" | "notanumber" => format!("<{word}/>"),
            _ if word.parse::<f64>().is_ok() => format!("<cn> {word} </cn>"),
            _ => format!("<ci> {word} </ci>"),
        };
    }
    let head = words.next().unwrap();
    let mut operands = Vec::new();
    while words.peek() != Some(&")") {
        operands.push(read(words));
    }
    words.next();
    let all = operands.concat();
    match (head.strip_prefix('@'), head) {
        (Some(function), _) => format!("<apply><ci>{function}</ci>{all}</apply>"),
        (_, "#rateOf") => format!(
            r#"<apply><csymbol encoding="text" definitionURL="http://www.sbml.org/sbml/symbols/rateOf">r</csymbol>{all}</apply>"#
        ),
        // Value, condition, and so on.
        (_, "piecewise") => {
            let pieces = operands.chunks(2).map(|pair| match pair {
                [value, condition] => format!("<piece>{value}{condition}</piece>"),
                rest => format!("<otherwise>{}</otherwise>", rest.concat()),
            });
            format!("<piecewise>{}</piecewise>", pieces.collect::<String>())
        }
        _ => format!("<apply><{head}/>{all}</apply>"),
    }
}

/// A list of the model, if there is anything in it.
pub(crate) fn list(name: &str, items: &str) -> String {
    format!("<listOf{name}>{items}</listOf{name}>")
}

pub(crate) fn compartment(id: &str, more: &str) -> String {
    format!(r#"<compartment id="{id}" {more}/>"#)
}

/// A species that nothing but rules and reactions changes, in `c`.
pub(crate) fn species(id: &str, more: &str) -> String {
    let default = |name: &str| if more.contains(name) { String::new() } else { format!(r#"{name}="false""#) };
    let rest = ["hasOnlySubstanceUnits", "boundaryCondition", "constant"].map(default).join(" ");
    let place = if more.contains("compartment=") { "" } else { r#"compartment="c""# };
    format!(r#"<species id="{id}" {place} {more} {rest}/>"#)
}

/// A reaction from and to species references, with its law as [`s`] reads it.
pub(crate) fn reaction(id: &str, from: &str, to: &str, law: &str, locals: &str) -> String {
    let sides = [("Reactants", from), ("Products", to)]
        .map(|(name, side)| if side.is_empty() { String::new() } else { list(name, side) });
    let locals = if locals.is_empty() { String::new() } else { list("LocalParameters", locals) };
    format!(
        r#"<reaction id="{id}" reversible="true">{}<kineticLaw>{}{locals}</kineticLaw></reaction>"#,
        sides.concat(),
        math(&s(law))
    )
}

/// A species reference.
pub(crate) fn of(species: &str, more: &str) -> String {
    let constant = if more.contains("constant") { "" } else { r#"constant="true""# };
    format!(r#"<speciesReference species="{species}" {more} {constant}/>"#)
}

pub(crate) fn assign(variable: &str, formula: &str) -> String {
    rule("assignmentRule", variable, &s(formula))
}

pub(crate) fn rate(variable: &str, formula: &str) -> String {
    rule("rateRule", variable, &s(formula))
}

pub(crate) fn initial(symbol: &str, formula: &str) -> String {
    format!(r#"<initialAssignment symbol="{symbol}">{}</initialAssignment>"#, math(&s(formula)))
}

/// An event: its trigger, what is between trigger and assignments, and the assignments.
pub(crate) fn when(trigger: &str, more: &str, assignments: &[(&str, &str)]) -> String {
    let assignments: Vec<(&str, String)> = assignments.iter().map(|(id, x)| (*id, s(x))).collect();
    let assignments: Vec<(&str, &str)> = assignments.iter().map(|(id, x)| (*id, x.as_str())).collect();
    event("", trigger, more, &assignments)
}

/// A trigger that held before the start, so that it has to become false first.
pub(crate) fn once(formula: &str) -> String {
    trigger(true, true, &s(formula))
}

pub(crate) fn delay(formula: &str) -> String {
    format!("<delay>{}</delay>", math(&s(formula)))
}

pub(crate) fn priority(formula: &str) -> String {
    format!("<priority>{}</priority>", math(&s(formula)))
}
