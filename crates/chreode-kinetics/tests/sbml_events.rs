//! What events do: when they are triggered, when they are executed, in which order, and with which values.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use chreode_kinetics::{Model, SimulationError, Simulator, Tolerances};
use common::{
    assert_is, assign, delay, event, list, once, parameters, priority, rate, run, s, trigger, variable, when,
};

/// Parameters that start at zero, or as `id=value` says, with rules and events.
fn model(ids: &str, rules: &str, events: &[String]) -> String {
    let each = |word: &str| {
        let (id, value) = word.split_once('=').unwrap_or((word, "0"));
        variable(id, value)
    };
    let rules = if rules.is_empty() { String::new() } else { list("Rules", rules) };
    parameters(&ids.split(' ').map(each).collect::<String>(), &(rules + &list("Events", &events.concat())))
}

fn step(at: f64, before: f64, after: f64) -> impl Fn(f64) -> f64 {
    move |t| if t < at { before } else { after }
}

/// An event whose values are those of its execution.
fn late(trigger: &str, more: &str, assignments: &[(&str, &str)]) -> String {
    when(trigger, more, assignments).replacen("<event ", r#"<event useValuesFromTriggerTime="false" "#, 1)
}

#[test]
fn all_values_are_computed_before_any_is_set() {
    let events = [
        when(&once("(geq t 1)"), "", &[("a", "b"), ("b", "(plus a sum)")]),
        late(&once("(geq t 1)"), &delay("0.5"), &[("c", "d"), ("d", "c")]),
    ];
    let run = run(&model("a=1 b=2 c=3 d=4 sum", &assign("sum", "(plus a b)"), &events), 2.0, false);
    assert_is(&run, "a", step(1.0, 1.0, 2.0));
    assert_is(&run, "b", step(1.0, 2.0, 4.0));
    assert_is(&run, "sum", step(1.0, 3.0, 6.0));
    assert_is(&run, "c", step(1.5, 3.0, 4.0));
    assert_is(&run, "d", step(1.5, 4.0, 3.0));
}

#[test]
fn events_set_off_others_at_once() {
    // a sets off b, b sets off c and takes back what held a; then a goes off again.
    let events = [
        when(&once("(and (geq t 1) (eq a 0))"), "", &[("a", "1"), ("n", "(plus n 1)")]),
        when(&once("(eq a 1)"), "", &[("b", "(plus b 1)")]),
        when(&once("(and (geq b 1) (lt n 3))"), "", &[("a", "0"), ("b", "0")]),
    ];
    let run = run(&model("a b n", "", &events), 2.0, false);
    assert_is(&run, "n", step(1.0, 0.0, 3.0));
    assert_is(&run, "a", step(1.0, 0.0, 1.0));
    assert_is(&run, "b", step(1.0, 0.0, 1.0));
}

#[test]
fn delays_are_those_of_the_trigger_and_may_overlap() {
    // x is a sawtooth of period one; each reset is told 2.5 later, in order, with its own number.
    let events = [
        when(&once("(geq x 1)"), "", &[("x", "0"), ("n", "(plus n 1)")]),
        when(&once("(geq x 1)"), &delay("2.5"), &[("told", "(plus n 1)"), ("sum", "(plus sum 1)")]),
        // The delay is computed when the event is triggered.
        when(&once("(geq t 1)"), &delay("(times 2 t)"), &[("varying", "t")]),
        late(&once("(geq t 1)"), &delay("t"), &[("then", "t")]),
    ];
    let text = model("x=0.05 n told sum varying then", &rate("x", "1"), &events);
    let run = run(&text, 5.0, false);
    let resets = |t: f64| (t + 0.05).floor();
    assert_is(&run, "n", resets);
    assert_is(&run, "told", |t| if t < 3.45 { 0.0 } else { resets(t - 2.5) });
    // The values are those of the time of the trigger: when the first three are triggered, none is told.
    assert_is(&run, "sum", |t| match t {
        t if t < 3.45 => 0.0,
        t if t < 6.0 => 1.0,
        _ => f64::NAN,
    });
    assert_is(&run, "varying", step(3.0, 0.0, 1.0));
    assert_is(&run, "then", step(2.0, 0.0, 2.0));
}

#[test]
fn what_does_not_persist_is_dropped() {
    // The trigger holds in [1, 2) and from 3 on; the delay is longer than the first stay.
    let trigger_of = |persistent| trigger(true, persistent, &s("(or (and (geq t 1) (lt t 2)) (geq t 3))"));
    let count = |id: &str| format!("(plus {id} 1)");
    let events = [
        late(&trigger_of(false), &delay("1.5"), &[("dropped", &count("dropped"))]),
        late(&trigger_of(true), &delay("1.5"), &[("kept", &count("kept"))]),
        // It is false for one instant, since another event makes it so, and holds again.
        late(&trigger(true, false, &s("(gt on 0)")), &delay("1.5"), &[("blinked", &count("blinked"))]),
        when(&once("(geq t 1)"), "", &[("on", "1")]),
        when(&once("(geq t 2)"), "", &[("on", "0")]),
        when(&once("(leq on 0)"), "", &[("on", "2")]),
    ];
    let text = model("dropped kept blinked on=3", "", &events[..2]);
    let run_of = run(&text, 6.0, false);
    assert_is(&run_of, "dropped", step(4.5, 0.0, 1.0));
    assert_is(&run_of, "kept", |t| f64::from(t >= 2.5) + f64::from(t >= 4.5));
    let run_of = run(&model("blinked on", "", &events[2..]), 6.0, false);
    // On from the start by the last event? No: its trigger held before. On at 1, off and on again at 2.
    assert_is(&run_of, "on", |t| {
        if t < 1.0 {
            0.0
        } else if t < 2.0 {
            1.0
        } else {
            2.0
        }
    });
    assert_is(&run_of, "blinked", step(3.5, 0.0, 1.0));
}

#[test]
fn one_event_may_take_the_ground_from_another() {
    for (persistent, expected) in [(true, 11.0), (false, 1.0)] {
        let events = [
            late(&once("(geq t 1)"), &priority("2"), &[("off", "1"), ("n", "(plus n 1)")]),
            late(
                &trigger(true, persistent, &s("(and (geq t 1) (lt off 1))")),
                &priority("1"),
                &[("n", "(plus n 10)")],
            ),
        ];
        assert_is(&run(&model("off n", "", &events), 2.0, false), "n", step(1.0, 0.0, expected));
    }
}

#[test]
fn priorities_are_looked_at_again_after_each_execution() {
    // p is 3 until the first is executed; then the third goes before the second.
    let tell = |digit: &str| format!("(plus (times 10 x) {digit})");
    let events = [
        late(&once("(geq t 1)"), &priority("10"), &[("x", &tell("1")), ("p", "7")]),
        late(&once("(geq t 1)"), &priority("5"), &[("x", &tell("2"))]),
        late(&once("(geq t 1)"), &priority("p"), &[("x", &tell("3"))]),
        // Of equal priority: in either order; without: whenever.
        late(&once("(geq t 2)"), &priority("1"), &[("y", "(plus (times 10 y) 1)")]),
        late(&once("(geq t 2)"), &priority("1"), &[("y", "(plus (times 10 y) 2)")]),
        late(&once("(geq t 2)"), "", &[("z", "(plus z 1)")]),
        // Triggered earlier and due at the same time: the priority counts.
        late(&once("(geq t 1)"), &(delay("2") + &priority("1")), &[("w", "(plus (times 10 w) 1)")]),
        late(&once("(geq t 2)"), &(delay("1") + &priority("2")), &[("w", "(plus (times 10 w) 2)")]),
    ];
    let run = run(&model("x p=3 y z w", "", &events), 4.0, false);
    assert_is(&run, "x", step(1.0, 0.0, 132.0));
    let y = run.column("y").unwrap()[20];
    assert!(y == 12.0 || y == 21.0, "{y}");
    assert_is(&run, "z", step(2.0, 0.0, 1.0));
    assert_is(&run, "w", step(3.0, 0.0, 21.0));
}

#[test]
fn ties_are_broken_by_chance() {
    // Ten a unit of time, and both are first about as often; always in the same way.
    let due = once("(geq (minus t last) 0.1)");
    let first = |id: &str| {
        vec![
            (id.to_owned(), format!("(plus {id} (minus 1 taken))")),
            ("taken".into(), "(minus 1 taken)".into()),
        ]
    };
    let with = |id: &str, more: &[(&str, &str)]| {
        let all = first(id);
        let mut assignments: Vec<(&str, &str)> = all.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assignments.extend(more);
        late(&due, &priority("1"), &assignments)
    };
    let events = [with("a", &[]), with("b", &[]), late(&due, &priority("0"), &[("last", "t")])];
    let text = model("last a b taken", "", &events);
    let (one, two) = (run(&text, 100.0, false), run(&text, 100.0, false));
    assert_eq!(one, two);
    let [a, b] = ["a", "b"].map(|id| one.column(id).unwrap()[20]);
    assert!(a + b > 990.0 && a + b < 1010.0 && (a - b).abs() < 130.0, "{a} {b}");
}

#[test]
fn triggers_at_the_start() {
    let start = |initial, formula: &str| trigger(initial, true, &s(formula));
    let events = [
        when(&start(false, "(geq t 0)"), "", &[("a", "1")]),
        when(&start(true, "(geq t 0)"), "", &[("b", "1")]),
        when(&start(false, "(geq x 1)"), &delay("1"), &[("c", "(plus 1 t)")]),
        // Just after the start.
        when(&start(true, "(gt t 0)"), "", &[("d", "1")]),
        when(&start(true, "(lt x 1)"), "", &[("e", "1")]),
        // What is watched rests at first: y is t², z is t³.
        when(&start(true, "(gt y 0)"), "", &[("f", "1")]),
        when(&start(true, "(gt z 0)"), "", &[("g", "1")]),
        when(&start(false, "(lt y 0)"), "", &[("h", "1")]),
    ];
    let rules = rate("x", "(minus x)") + &rate("y", "(times 2 t)") + &rate("z", "(times 3 y)");
    let run = run(&model("a b c d e f g h x=1 y z", &rules, &events), 2.0, false);
    assert_is(&run, "a", |_| 1.0);
    assert_is(&run, "b", |_| 0.0);
    assert_is(&run, "c", step(1.0, 0.0, 1.0));
    for id in ["d", "e", "f", "g"] {
        assert_is(&run, id, |t| f64::from(t > 0.0));
    }
    assert_is(&run, "h", |_| 0.0);
}

#[test]
fn an_event_at_the_start_may_give_the_only_value() {
    let first = when(&trigger(false, true, &s("(geq t 0)")), "", &[("x", "2"), ("k", "3")]);
    let list = r#"<parameter id="x" constant="false"/><parameter id="k" constant="false"/>"#;
    let text = parameters(list, &(crate::list("Rules", &rate("x", "k")) + &crate::list("Events", &first)));
    assert_is(&run(&text, 2.0, false), "x", |t| 2.0 + 3.0 * t);
}

#[test]
fn strict_triggers_are_later_than_others() {
    let events = [
        when(&once("(gt t 1)"), "", &[("a", "1")]),
        when(&once("(gt t 1)"), &delay("1"), &[("b", "1")]),
        when(&once("(geq t 1)"), &delay("1"), &[("c", "1")]),
        when(&once("(eq t 1)"), "", &[("d", "(plus d 1)")]),
        when(&once("(neq t 1)"), "", &[("e", "(plus e 1)")]),
        when(&once("(not (leq t 1))"), "", &[("f", "1")]),
    ];
    let run = run(&model("a b c d e f", "", &events), 4.0, false);
    assert_is(&run, "a", |t| f64::from(t > 1.0));
    assert_is(&run, "b", |t| f64::from(t > 2.0));
    assert_is(&run, "c", |t| f64::from(t >= 2.0));
    assert_is(&run, "d", |t| f64::from(t >= 1.0));
    assert_is(&run, "e", |t| f64::from(t > 1.0));
    assert_is(&run, "f", |t| f64::from(t > 1.0));
}

#[test]
fn triggers_of_every_kind() {
    let events = [
        // Round times, again and again, without rounding.
        when(&once("(geq (minus t last) 0.25)"), "", &[("last", "t"), ("n", "(plus n 1)")]),
        // A rate of change; x is sin t.
        when(&once("(lt (#rateOf x) 0.5)"), "", &[("slow", "1")]),
        // What jumps by itself.
        when(&once("(geq (floor t) 2)"), "", &[("whole", "1")]),
        when(&once("(eq (piecewise 1 (lt t 1.5) 2) 2)"), "", &[("piece", "1")]),
        // A number that is true, and what is not a number until it is set.
        when(&once("flag"), "", &[("seen", "1")]),
        when(&once("(geq t 1)"), "", &[("flag", "3"), ("late", "t")]),
        when(&once("(geq (plus x late) 1.9)"), "", &[("known", "1")]),
        when(&once("(xor (gt x 0.9) (gt t 2.5))"), "", &[("turns", "(plus turns 1)")]),
    ];
    let rules = rate("x", "(cos t)");
    let text = model("last n slow whole piece flag seen late=NaN known turns x", &rules, &events);
    let run = run(&text, 4.0, false);
    assert_is(&run, "n", |t| (4.0 * t).floor());
    assert_is(&run, "slow", step(std::f64::consts::FRAC_PI_3, 0.0, 1.0));
    assert_is(&run, "whole", step(2.0, 0.0, 1.0));
    assert_is(&run, "piece", step(1.5, 0.0, 1.0));
    assert_is(&run, "seen", step(1.0, 0.0, 1.0));
    assert_is(&run, "known", step(0.9_f64.asin(), 0.0, 1.0));
    // Above 0.9 from 1.12 to 2.02, and then after 2.5.
    assert_is(&run, "turns", |t| f64::from(t > 0.9_f64.asin()) + f64::from(t > 2.5));
}

#[test]
fn sawteeth_are_seen_whatever_the_length_of_the_run() {
    // Parts of such a run are whole periods, between which a sawtooth looks like a line.
    let events = [
        when(&once("(gt (minus t (floor t)) 0.5)"), "", &[("n", "(plus n 1)")]),
        when(&once("(lt (rem t 2) 1.25)"), "", &[("m", "(plus m 1)")]),
    ];
    let text = model("n m x", &rate("x", "n"), &events);
    for until in [7.0, 10.0, 10.1, 20.0, 100.0] {
        let run = run(&text, until * 1.003, false);
        assert_is(&run, "n", |t| (t + 0.5).floor());
        assert_is(&run, "m", |t| (t / 2.0).floor());
    }
}

#[test]
fn doses_without_end_are_all_given() {
    // What was given is gone long before the next dose, so that steps would be longer than many periods.
    let events = [
        when(
            &once("(lt (minus t (times 0.7 (floor (divide t 0.7)))) 0.2)"),
            "",
            &[("x", "(plus x 1)"), ("n", "(plus n 1)")],
        ),
        when(&once("(geq (quotient t 3) 1)"), "", &[("late", "t")]),
        when(&once("(lt (ceiling (minus t)) -1.5)"), "", &[("down", "t")]),
    ];
    let rules = rate("x", "(times -200 x)");
    let model = Model::from_sbml(&model("x n late down", &rules, &events)).unwrap();
    let run = Simulator::new(model, Tolerances::default()).trajectory(&[0.0, 1000.0], false).unwrap();
    let last = |id: &str| run.column(id).unwrap()[1];
    // At 0.7, 1.4, .., 999.6: at the start it held before.
    assert_eq!(last("n"), 1428.0);
    assert!((last("late") - 3.0).abs() < 1e-9);
    assert!((last("down") - 2.0).abs() < 1e-9);
}

#[test]
fn what_is_not_finite_stays_so() {
    // From the start, by an event, by the rate; the rest goes on.
    let events = [
        when(&once("(geq t 1)"), "", &[("b", "notanumber"), ("p", "(minus infinity)")]),
        when(&once("(geq x 1.5)"), "", &[("seen", "1")]),
        when(&once("(geq t 2)"), "", &[("b", "3"), ("p", "1")]),
    ];
    let rules = rate("a", "1")
        + &rate("b", "1")
        + &rate("c", "(times p x)")
        + &rate("d", "(times 2 b)")
        + &rate("x", "1")
        + &rate("y", "(piecewise (divide 1 a) (lt t 2.5) x)");
    let run = run(&model("a=INF b c d x y p=1 seen", &rules, &events), 3.0, false);
    for (i, &t) in run.times.iter().enumerate() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|id| run.column(id).unwrap()[i]);
        assert_eq!(a, f64::INFINITY);
        if t < 1.0 {
            assert!((b - t).abs() < 1e-8 && (c - 0.5 * t * t).abs() < 1e-8 && (d - t * t).abs() < 1e-8);
        } else if t > 1.0 {
            assert!(if t < 2.0 { b.is_nan() } else { (b - (1.0 + t)).abs() < 1e-8 }, "{t} {b}");
            assert!(c == f64::NEG_INFINITY && d.is_nan(), "{t} {c} {d}");
        }
    }
    assert_is(&run, "x", |t| t);
    assert_is(&run, "seen", step(1.5, 0.0, 1.0));
    assert_is(&run, "y", |t| if t < 2.5 { 0.0 } else { 0.5 * (t * t - 6.25) });
}

#[test]
fn events_without_end_are_an_error() {
    let events = [
        when(&once("(geq a b)"), "", &[("b", "(plus a 1)")]),
        when(&once("(gt b a)"), "", &[("a", "(plus b 1)")]),
        when(&once("(geq t 1)"), "", &[("a", "0")]),
    ];
    let text = model("a b=1", "", &events).replace("initialValue=\"true\"", "initialValue=\"false\"");
    let model = Model::from_sbml(&text).unwrap();
    let error = Simulator::new(model, Tolerances::default()).trajectory(&[0.0, 2.0], false).unwrap_err();
    assert!(matches!(error, SimulationError::TooManyEvents { .. }), "{error}");
    let negative = event("", &once("(geq t 1)"), &delay("(minus t)"), &[]);
    let text = parameters(&variable("a", "0"), &list("Events", &negative));
    let model = Model::from_sbml(&text).unwrap();
    let error = Simulator::new(model, Tolerances::default()).trajectory(&[0.0, 2.0], false).unwrap_err();
    assert_eq!(error.to_string(), "the delay of event `event number 1` is -1 at t = 1");
}
