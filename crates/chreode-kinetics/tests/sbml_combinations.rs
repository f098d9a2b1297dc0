//! Elements of SBML that meet: sizes, amounts, stoichiometries, events and thresholds at once, with answers by hand.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use common::{
    assert_is, assign, compartment, delay, initial, list, of, once, priority, rate, reaction, run, s, sbml,
    species, trigger, variable, when,
};

const ONE: &str = r#"stoichiometry="1""#;

/// A compartment `c` of size 2 that may vary, and what else there is.
fn model(all_species: &str, parts: &[(&str, String)]) -> String {
    let compartments = compartment("c", r#"spatialDimensions="3" size="2" constant="false""#);
    let rest: String = parts.iter().map(|(name, items)| list(name, items)).collect();
    sbml(&(list("Compartments", &compartments) + &list("Species", all_species) + &rest))
}

/// An event whose values are those of its execution.
fn late(trigger: &str, more: &str, assignments: &[(&str, &str)]) -> String {
    when(trigger, more, assignments).replacen("<event ", r#"<event useValuesFromTriggerTime="false" "#, 1)
}

fn step(at: f64, before: f64, after: f64) -> impl Fn(f64) -> f64 {
    move |t| if t < at { before } else { after }
}

/// The value is that of the trigger, the size that of the execution: the compartment grows meanwhile, and is then set by the same event.
#[test]
fn a_delayed_event_sets_concentration_and_size_of_a_growing_compartment() {
    let text = model(
        &(species("A", r#"initialAmount="2""#)
            + &species("B", r#"initialAmount="2" hasOnlySubstanceUnits="true""#)
            + &species("C", r#"initialAmount="6""#)),
        &[
            ("Rules", rate("c", "1")),
            ("Events", when(&once("(geq t 1)"), &delay("1"), &[("A", "c"), ("c", "8"), ("B", "(plus B c)")])),
        ],
    );
    let (amounts, concentrations) = (run(&text, 4.0, false), run(&text, 4.0, true));
    let size = |t: f64| if t < 2.0 { 2.0 + t } else { 6.0 + t };
    assert_is(&amounts, "c", size);
    // A concentration of 3, that of the size at the trigger, in a compartment of 4.
    assert_is(&amounts, "A", step(2.0, 2.0, 12.0));
    assert_is(&concentrations, "A", |t| if t < 2.0 { 2.0 } else { 12.0 } / size(t));
    assert_is(&amounts, "B", step(2.0, 2.0, 5.0));
    assert_is(&amounts, "C", |_| 6.0);
    assert_is(&concentrations, "C", |t| 6.0 / size(t));
}

/// What goes first decides in which size a concentration is set.
#[test]
fn priorities_order_size_and_concentration() {
    for (of_size, of_a, expected) in [("2", "1", 30.0), ("1", "2", 6.0)] {
        let text = model(
            &species("A", r#"initialAmount="1""#),
            &[(
                "Events",
                when(&once("(geq t 1)"), &priority(of_size), &[("c", "10")])
                    + &when(&once("(geq t 1)"), &priority(of_a), &[("A", "3")]),
            )],
        );
        let amounts = run(&text, 2.0, false);
        assert_is(&amounts, "A", step(1.0, 1.0, expected));
        assert_is(&run(&text, 2.0, true), "A", step(1.0, 0.5, expected / 10.0));
    }
}

/// Rules speak of the amount of one species and the concentration of the other, while the compartment doubles in a jump and grows.
#[test]
fn rate_rules_of_amounts_and_concentrations_where_sizes_vary() {
    let text = model(
        &(species("N", r#"initialConcentration="1" hasOnlySubstanceUnits="true" boundaryCondition="true""#)
            + &species("R", r#"initialAmount="4" boundaryCondition="true""#)
            + &species("P", r#"initialAmount="0""#)
            + &species("Q", r#"initialAmount="0" hasOnlySubstanceUnits="true""#)),
        &[
            ("Rules", rate("c", "1") + &rate("N", "3") + &rate("R", "1")),
            (
                "Reactions",
                // Of the amount of N, and of the concentration of R in all of the compartment.
                reaction("r", &of("N", ONE), &of("P", ONE), "N", "")
                    + &reaction("q", &of("R", ONE), &of("Q", r#"stoichiometry="2""#), "(times R c)", ""),
            ),
            ("Events", when(&once("(geq t 1)"), "", &[("c", "(times 2 c)")])),
        ],
    );
    let (amounts, concentrations) = (run(&text, 2.0, false), run(&text, 2.0, true));
    let size = |t: f64| if t < 1.0 { 2.0 + t } else { 6.0 + (t - 1.0) };
    assert_is(&amounts, "N", |t| 2.0 + 3.0 * t);
    assert_is(&concentrations, "N", |t| (2.0 + 3.0 * t) / size(t));
    // The amount stays when the size doubles, so that the concentration halves and rises again.
    let r = |t: f64| if t < 1.0 { 2.0 + t } else { 1.5 + (t - 1.0) };
    assert_is(&concentrations, "R", r);
    assert_is(&amounts, "R", |t| r(t) * size(t));
    assert_is(&amounts, "P", |t| 2.0 * t + 1.5 * t * t);
    // Twice the integral of (2 + t)², then of (1.5 + u)(6 + u).
    let first = |t: f64| ((2.0 + t).powi(3) - 8.0) / 3.0;
    let then = |u: f64| 9.0 * u + 3.75 * u * u + u.powi(3) / 3.0;
    assert_is(&amounts, "Q", |t| 2.0 * if t < 1.0 { first(t) } else { first(1.0) + then(t - 1.0) });
}

/// Stoichiometries from an event, a threshold in time and an amount, with a conversion factor.
#[test]
fn stoichiometries_that_events_thresholds_and_species_set() {
    let reference = |of_species: &str, id: &str, value: &str| {
        of(of_species, &format!(r#"id="{id}" stoichiometry="{value}" constant="false""#))
    };
    let text = model(
        &(species("A", r#"initialAmount="0""#)
            + &species("B", r#"initialAmount="0" conversionFactor="f""#)
            + &species("C", r#"initialAmount="0" hasOnlySubstanceUnits="true""#)),
        &[
            ("Parameters", r#"<parameter id="f" value="10" constant="true"/>"#.to_owned()),
            ("Rules", assign("nb", "(piecewise 2 (lt t 1.5) 5)") + &assign("nc", "(plus 1 (times 2 A c))")),
            (
                "Reactions",
                reaction(
                    "r",
                    "",
                    &(reference("A", "na", "1") + &reference("B", "nb", "7") + &reference("C", "nc", "7")),
                    "(times 0.5 c)",
                    "",
                ),
            ),
            ("Events", when(&once("(geq t 1)"), &delay("0.5"), &[("na", "(plus na nb)")])),
        ],
    );
    let amounts = run(&text, 3.0, false);
    // The rate is one; na is 1 and then 1 + 2, since nb is that of the trigger.
    let a = |t: f64| if t < 1.5 { t } else { 1.5 + 3.0 * (t - 1.5) };
    assert_is(&amounts, "na", step(1.5, 1.0, 3.0));
    assert_is(&amounts, "A", a);
    assert_is(&amounts, "B", |t| 20.0 * t + 30.0 * (t - 1.5).max(0.0));
    // nc = 1 + 2 A.
    let u = |t: f64| (t - 1.5).max(0.0);
    assert_is(&amounts, "C", |t| t + if t < 1.5 { t * t } else { 2.25 + 3.0 * u(t) + 3.0 * u(t) * u(t) });
}

/// Three events at the start, in the order of their priorities, one of which depends on what another sets; what is saved at zero is after them.
#[test]
fn events_at_the_start_in_order() {
    let at_start = trigger(false, true, &s("(geq t 0)"));
    let tell = |digit: &str| format!("(plus (times 10 x) {digit})");
    let text = model(
        &species("A", r#"initialConcentration="3""#),
        &[
            ("Parameters", variable("x", "0") + &variable("p", "1")),
            (
                "Events",
                late(&at_start, &priority("2"), &[("x", &tell("1")), ("p", "9"), ("c", "4")])
                    + &late(&at_start, &priority("1.5"), &[("x", &tell("2")), ("A", "(times 2 A)")])
                    + &late(&at_start, &priority("p"), &[("x", &tell("3"))])
                    + &when(&trigger(true, true, &s("(geq t 0)")), &priority("99"), &[("x", "0")])
                    + &late(&at_start, &(delay("1") + &priority("7")), &[("x", &tell("4"))]),
            ),
        ],
    );
    let (amounts, concentrations) = (run(&text, 2.0, false), run(&text, 2.0, true));
    assert_is(&amounts, "x", step(1.0, 132.0, 1324.0));
    assert_is(&amounts, "c", |_| 4.0);
    // Six in a compartment of two, diluted, and then doubled.
    assert_is(&amounts, "A", |_| 12.0);
    assert_is(&concentrations, "A", |_| 3.0);
}

/// Thresholds in time that events move, within a rate law, a rule of a size and a trigger.
#[test]
fn thresholds_that_events_move() {
    let text = model(
        &(species("A", r#"initialAmount="0""#) + &species("B", r#"initialAmount="6""#)),
        &[
            (
                "Parameters",
                variable("th", "5") + &variable("k", "2") + &variable("n", "0") + &variable("m", "0"),
            ),
            ("Rules", assign("c", "(piecewise 2 (lt t th) 3)")),
            (
                "Reactions",
                reaction(
                    "r",
                    "",
                    &of("A", ONE),
                    "(piecewise k (and (geq t 0.5) (lt t th)) 1 (geq t 3) 0)",
                    "",
                ),
            ),
            (
                "Events",
                when(&once("(geq t 1)"), "", &[("th", "2"), ("k", "4")])
                    + &when(&once("(gt t th)"), "", &[("n", "(plus n 1)"), ("th", "2.5")])
                    + &when(&once("(lt B 2.5)"), "", &[("m", "(plus m 1)")]),
            ),
        ],
    );
    let (amounts, concentrations) = (run(&text, 4.0, false), run(&text, 4.0, true));
    // The trigger `t > th` comes true at 2, moves the threshold on, and comes true again at 2.5.
    let ramp = |t: f64, at: f64| (t - at).max(0.0);
    assert_is(&amounts, "A", |t| {
        2.0 * (ramp(t, 0.5) - ramp(t, 1.0)) + 4.0 * (ramp(t, 1.0) - ramp(t, 2.5)) + ramp(t, 3.0)
    });
    // At 2 itself the size has jumped, and the threshold moves on just after it.
    assert_is(&concentrations, "B", |t| if t == 2.0 || t >= 2.5 { 2.0 } else { 3.0 });
    assert_is(&amounts, "n", |t| f64::from(t > 2.0) + f64::from(t > 2.5));
    assert_is(&amounts, "m", |t| f64::from(t >= 2.0) + f64::from(t >= 2.5));
}

/// A size that a rule takes from an amount, an initial concentration in it, and a reaction within.
#[test]
fn a_size_that_follows_an_amount() {
    let text = model(
        &(species("A", r#"initialAmount="1" hasOnlySubstanceUnits="true""#)
            + &species("B", "")
            + &species("D", r#"initialConcentration="2""#)),
        &[
            ("InitialAssignments", initial("B", "(plus 1 (divide D c))")),
            ("Rules", assign("c", "(plus 1 A)")),
            (
                "Reactions",
                reaction("grow", "", &of("A", ONE), "2", "")
                    + &reaction("r", &of("B", ONE), &of("D", ONE), "(times 0.5 B c)", ""),
            ),
        ],
    );
    let (amounts, concentrations) = (run(&text, 2.0, false), run(&text, 2.0, true));
    let size = |t: f64| 2.0 + 2.0 * t;
    assert_is(&amounts, "c", size);
    // A concentration of 1 + 2/2 at first.
    let b = |t: f64| 4.0 * (-0.5 * t).exp();
    assert_is(&amounts, "B", b);
    assert_is(&amounts, "D", |t| 8.0 - b(t));
    assert_is(&concentrations, "D", |t| (8.0 - b(t)) / size(t));
}
