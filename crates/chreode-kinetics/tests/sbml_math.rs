//! What formulas of a model mean.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use chreode_kinetics::Model;
use common::{assert_is, assign, list, math, parameters, rate, run, s, variable};

/// What a formula is worth at one half, with `x` = 2 and `u` not a number.
fn worth(formula: &str) -> f64 {
    let text = parameters(
        &(variable("v", "0") + &variable("x", "2") + r#"<parameter id="u" constant="false"/>"#),
        &list("Rules", &rule_of("v", formula)),
    );
    run(&text, 1.0, false).column("v").unwrap()[10]
}

fn rule_of(id: &str, formula: &str) -> String {
    let formula = if formula.starts_with('<') { formula.to_owned() } else { s(formula) };
    common::rule("assignmentRule", id, &formula)
}

#[test]
fn truth_is_told_of_any_number_of_operands() {
    for (formula, expected) in [
        ("(and)", 1.0),
        ("(or)", 0.0),
        ("(xor)", 0.0),
        ("(and false)", 0.0),
        ("(or true)", 1.0),
        ("(xor true)", 1.0),
        ("(and true true false)", 0.0),
        ("(or false false true)", 1.0),
        ("(xor true false true true)", 1.0),
        ("(not (gt x 3))", 1.0),
        ("(implies false false)", 1.0),
        ("(implies (lt x 3) (gt x 3))", 0.0),
        ("(eq 2 x 2)", 1.0),
        ("(eq 2 x 3)", 0.0),
        ("(gt 3 x 1)", 1.0),
        ("(gt 3 x x)", 0.0),
        ("(geq 3 x x)", 1.0),
        ("(lt 1 x 1.5)", 0.0),
        ("(leq 1 x x 7)", 1.0),
        ("(neq x x)", 0.0),
        ("(plus)", 0.0),
        ("(times)", 1.0),
        ("(plus x)", 2.0),
        ("(times x)", 2.0),
        ("(plus 1 x 3 t)", 6.5),
        ("(max x)", 2.0),
        ("(min 3 t x)", 0.5),
        // Truth as a number, and numbers as truth.
        ("(plus 1 (gt x 1))", 2.0),
        ("(times 3 (and true true))", 3.0),
        ("(piecewise 5 x 7)", 5.0),
        ("(piecewise 5 0 7)", 7.0),
        ("(not 0.2)", 0.0),
        ("(piecewise 1 (eq true (lt x 3)) 0)", 1.0),
        ("(eq (gt x 1) (gt x 5))", 0.0),
    ] {
        assert_eq!(worth(formula), expected, "{formula}");
    }
}

#[test]
fn what_is_not_a_number_compares_with_nothing() {
    for (formula, expected) in [
        ("(eq u u)", 0.0),
        ("(neq u 1)", 1.0),
        ("(lt u 1)", 0.0),
        ("(gt u 1)", 0.0),
        ("(leq u 1)", 0.0),
        ("(geq u 1)", 0.0),
        ("(leq infinity infinity)", 1.0),
        ("(eq infinity (minus infinity))", 0.0),
        ("(geq infinity x)", 1.0),
        ("(piecewise 1 (lt u 1) 2 (geq u 1) 3)", 3.0),
    ] {
        assert_eq!(worth(formula), expected, "{formula}");
    }
    assert!(worth("(piecewise 1 (gt x 3))").is_nan());
    assert!(worth("(piecewise)").is_nan());
    assert!(worth("notanumber").is_nan());
    assert!(worth("(plus 1 u)").is_nan());
    assert_eq!(worth("(divide 1 0)"), f64::INFINITY);
    assert_eq!(worth("(ln 0)"), f64::NEG_INFINITY);
}

#[test]
fn numbers_are_written_in_many_ways() {
    for (text, expected) in [
        ("<cn>1e3</cn>", 1e3),
        ("<cn> -.5 </cn>", -0.5),
        (r#"<cn type="real"> +2. </cn>"#, 2.0),
        (r#"<cn type="integer"> +12 </cn>"#, 12.0),
        (r#"<cn type="integer">602214179000000000000000</cn>"#, 6.022_141_79e23),
        (r#"<cn type="e-notation"> -2 <sep/> +2 </cn>"#, -200.0),
        (r#"<cn type="rational"> -3 <sep/> 8 </cn>"#, -0.375),
        (
            r#"<cn xmlns:sbml="http://www.sbml.org/sbml/level3/version2/core" sbml:units="mole" id="n" class="c">4</cn>"#,
            4.0,
        ),
        ("<cn>INF</cn>", f64::INFINITY),
        ("<cn>1<!-- and -->2</cn>", 12.0),
    ] {
        assert_eq!(worth(text), expected, "{text}");
    }
    for wrong in [
        r#"<cn type="integer">1.5</cn>"#,
        r#"<cn type="integer"></cn>"#,
        r#"<cn type="complex">1</cn>"#,
        "<cn>1,5</cn>",
    ] {
        let text = parameters(&variable("v", "0"), &list("Rules", &rule_of("v", wrong)));
        assert!(Model::from_sbml(&text).is_err(), "{wrong}");
    }
}

#[test]
fn functions_are_those_of_mathematics() {
    let x = 2.0_f64;
    for (formula, expected) in [
        ("(arcsin 0.3)", 0.3_f64.asin()),
        ("(arccos -0.3)", (-0.3_f64).acos()),
        ("(arctan -7)", (-7.0_f64).atan()),
        ("(arccot -2)", (-0.5_f64).atan()),
        ("(arccot 0)", std::f64::consts::FRAC_PI_2),
        ("(arcsec -2)", (-0.5_f64).acos()),
        ("(arccsc -2)", (-0.5_f64).asin()),
        ("(arcsinh -3)", (-3.0_f64).asinh()),
        ("(arccosh 3)", 3.0_f64.acosh()),
        ("(arctanh -0.4)", (-0.4_f64).atanh()),
        ("(arccoth -3)", (-1.0_f64 / 3.0).atanh()),
        ("(arcsech 0.3)", (1.0_f64 / 0.3).acosh()),
        ("(arccsch -0.3)", (-1.0_f64 / 0.3).asinh()),
        ("(sec x)", x.cos().recip()),
        ("(csc x)", x.sin().recip()),
        ("(cot x)", x.tan().recip()),
        ("(sinh x)", x.sinh()),
        ("(cosh x)", x.cosh()),
        ("(tanh x)", x.tanh()),
        ("(sech x)", x.cosh().recip()),
        ("(csch x)", x.sinh().recip()),
        ("(coth x)", x.tanh().recip()),
        ("(tan x)", x.tan()),
        ("(power x -1.5)", x.powf(-1.5)),
        ("(power 0 0)", 1.0),
        ("(power (minus x) 3)", -8.0),
        ("(power 2 (plus x 1))", 8.0),
        ("(root 16)", 4.0),
        ("(exp (minus x))", (-x).exp()),
        ("(factorial 7)", 5040.0),
        ("(ceiling 1.2)", 2.0),
        ("(floor -1.2)", -2.0),
        ("(quotient 7 -2)", -3.0),
        ("(rem 7 -2)", 1.0),
        ("(rem -7.5 2)", -1.5),
        ("(log 0.001)", -3.0),
        ("(times pi 1)", std::f64::consts::PI),
        ("(abs (minus x))", 2.0),
    ] {
        let got = worth(formula);
        assert!(
            (got - expected).abs() <= 2e-15 * expected.abs().max(1.0),
            "{formula}: {got}, expected {expected}"
        );
    }
}

#[test]
fn functions_of_a_model_may_stand_in_any_order() {
    let define = |id: &str, arguments: &[&str], body: &str| {
        let arguments = arguments.iter().map(|a| format!("<bvar><ci> {a} </ci></bvar>"));
        let arguments = arguments.collect::<Vec<_>>().concat();
        let lambda = math(&format!("<lambda>{arguments}{}</lambda>", s(body)));
        format!(r#"<functionDefinition id="{id}">{lambda}</functionDefinition>"#)
    };
    let functions = define("f", &["x", "y"], "(plus (@g y x) (@now))")
        + &define("g", &["y", "x"], "(minus (times 10 y) x)")
        + &define("now", &[], "t")
        + r#"<functionDefinition id="nothing"/>"#;
    let with = |functions: &str, formula: &str| {
        common::sbml(
            &(list("FunctionDefinitions", functions)
                + &list("Parameters", &(variable("v", "0") + &variable("x", "100") + &variable("y", "7")))
                + &list("Rules", &assign("v", formula))),
        )
    };
    // The arguments of f hide x and y of the model.
    assert_is(&run(&with(&functions, "(@f 1 2)"), 2.0, false), "v", |t| 19.0 + t);
    assert_is(&run(&with(&functions, "(@f y (@g x 1))"), 2.0, false), "v", |t| 9990.0 - 7.0 + t);
    for (functions, formula, expected) in [
        (define("f", &["x"], "(@f x)"), "(@f 1)", "function `f` is not defined, or uses itself"),
        (
            define("f", &["x"], "(@g x)") + &define("g", &["x"], "(@f x)"),
            "(@f 1)",
            "function `f` is not defined, or uses itself",
        ),
        (define("f", &["x"], "(plus x y)"), "(@f 1)", "`y` is not defined"),
        (define("f", &["x"], "x"), "(@f 1 2)", "`f` takes 1 to 1 operands, got 2"),
        (functions, "(@nothing)", "function `nothing` is not defined"),
    ] {
        let error = Model::from_sbml(&with(&functions, formula)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn functions_are_told_how_their_arguments_change() {
    let define = |id: &str, argument: &str, body: &str| {
        let lambda = format!("<lambda><bvar><ci>{argument}</ci></bvar>{}</lambda>", s(body));
        format!(r#"<functionDefinition id="{id}">{}</functionDefinition>"#, math(&lambda))
    };
    // `x` is what `g` calls its argument too, and is not what it means.
    let functions = define("f", "u", "(times 2 (#rateOf u))") + &define("g", "x", "(plus 1 (@f x))");
    let rules = rate("y", "3") + &assign("z", "(@g y)");
    let all = [variable("x", "0"), variable("y", "0"), variable("z", "0")].concat();
    let text = parameters(&all, &(list("FunctionDefinitions", &functions) + &list("Rules", &rules)));
    assert_is(&run(&text, 1.0, false), "z", |_| 7.0);
    let error =
        Model::from_sbml(&text.replace("<ci>g</ci><ci> y </ci>", "<ci>g</ci><cn>1</cn>")).unwrap_err();
    assert!(error.to_string().contains("`u` is not defined"), "{error}");
}

#[test]
fn rates_that_jump() {
    let text = parameters(
        &["a", "b", "c", "d", "e", "f"].map(|id| variable(id, "0")).concat(),
        &list(
            "Rules",
            &(rate("a", "(piecewise 1 (and (geq t 1) (lt t 2.5)) 0)")
                + &rate("b", "(ceiling t)")
                + &rate("c", "(rem t 1.5)")
                + &rate("d", "(quotient (times 2 t) 1)")
                + &rate("e", "(piecewise 4 (geq (times t t) 2) 1)")
                + &rate("f", "(times (gt t 0.3) (xor (gt t 1) (gt t 2)))")),
        ),
    );
    let run = run(&text, 3.0, false);
    let ramp = |t: f64, at: f64| (t - at).max(0.0);
    assert_is(&run, "a", |t| ramp(t, 1.0) - ramp(t, 2.5));
    assert_is(&run, "b", |t| t + ramp(t, 1.0) + ramp(t, 2.0));
    assert_is(&run, "c", |t| 0.5 * t * t - 1.5 * ramp(t, 1.5) - 1.5 * ramp(t, 3.0));
    assert_is(&run, "d", |t| (1..6).map(|k| ramp(t, 0.5 * f64::from(k))).sum());
    assert_is(&run, "e", |t| t + 3.0 * ramp(t, 2.0_f64.sqrt()));
    assert_is(&run, "f", |t| ramp(t, 1.0) - ramp(t, 2.0));
}
