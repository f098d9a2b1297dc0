//! Chemical Langevin noise beside what is known of it.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use chreode_kinetics::{LangevinOptions, LangevinRun, Model, SimulationError, Simulator, Tolerances};
use common::{assign, compartment, initial, list, of, once, rate, reaction, sbml, species, when};
use proptest::prelude::*;

/// A model in a compartment `c` of size 2. Species with amounts; parameters, without a value what a rule sets; reactions `id, reactants,
/// products, law`, of which those with an exclamation mark are irreversible; more lists.
fn model(
    given: &[(&str, f64)],
    parameters: &[(&str, f64)],
    reactions: &[(&str, &str, &str, &str)],
    more: &str,
) -> Simulator {
    let start = |(id, x): &(&str, f64)| species(id, &format!(r#"initialAmount="{x}""#));
    let parameter = |(id, x): &(&str, f64)| {
        let value =
            if x.is_nan() { r#"constant="false""#.into() } else { format!(r#"value="{x}" constant="true""#) };
        format!(r#"<parameter id="{id}" {value}/>"#)
    };
    let side = |text: &str| -> String {
        let reference = |x: &str| {
            let (n, id) = x.split_once('*').unwrap_or(("1", x));
            of(id, &format!(r#"stoichiometry="{n}""#))
        };
        text.split_whitespace().map(reference).collect()
    };
    let written = |(id, from, to, law): &(&str, &str, &str, &str)| match id.strip_prefix('!') {
        Some(id) => reaction(id, &side(from), &side(to), law, "").replace("true\">", "false\">"),
        None => reaction(id, &side(from), &side(to), law, ""),
    };
    let parts = [
        list("Compartments", &compartment("c", r#"size="2" constant="true""#)),
        list("Species", &given.iter().map(start).collect::<String>()),
        list("Parameters", &parameters.iter().map(parameter).collect::<String>()),
        more.to_owned(),
        list("Reactions", &reactions.iter().map(written).collect::<String>()),
    ];
    Simulator::new(Model::from_sbml(&sbml(&parts.concat())).unwrap(), Tolerances::default())
}

fn options(molecules: f64, paths: usize) -> LangevinOptions {
    LangevinOptions { molecules, paths, seed: 3, longest_step: None }
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0))
}

/// Asserts mean and variance of normal values, within four standard errors and `bias` of either.
fn check(values: &[f64], mean: f64, variance: f64, bias: f64) {
    let (m, v) = moments(values);
    let n = values.len() as f64;
    assert!((m - mean).abs() < 4.0 * (variance / n).sqrt() + bias * mean, "mean {m}, {mean}");
    assert!((v - variance).abs() < (4.0 * (2.0 / n).sqrt() + bias) * variance, "variance {v}, {variance}");
}

fn column(run: &LangevinRun, id: &str) -> usize {
    run.ids.iter().position(|x| x == id).unwrap()
}

/// Production and decay: propensities are linear, so that the first two moments are those of the master equation, which are known.
#[test]
fn a_birth_death_process_has_its_mean_and_variance() {
    // 400 molecules at rest, from 100; ten molecules are one unit of substance. Rates are of amounts.
    let reactions = [("birth", "", "X", "b"), ("death", "X", "", "(times k X c)")];
    let mut simulator = model(&[("X", 10.0)], &[("b", 40.0), ("k", 1.0)], &reactions, "");
    let times = [0.0, 0.3, 1.0, 5.0];
    let run = simulator.langevin(&times, false, &options(10.0, 4000)).unwrap();
    assert_eq!(run.ids, ["X", "birth", "death"]);
    for (k, &t) in times.iter().enumerate() {
        let left = (-t).exp();
        let (mean, variance) = (400.0 - 300.0 * left, 100.0 * left * (1.0 - left) + 400.0 * (1.0 - left));
        if t == 0.0 {
            assert!(run.at(0, 0).iter().all(|x| *x == 10.0));
        } else {
            check(&run.at(k, 0), mean / 10.0, variance / 100.0, 0.01);
        }
    }
    assert_eq!(run.cut, 0);
    // Concentrations are half of that, with the same noise.
    let half = simulator.langevin(&times, true, &options(10.0, 3)).unwrap();
    for i in 0..3 {
        assert_eq!(2.0 * half.at(3, 0)[i], run.at(3, 0)[i]);
    }
}

/// 2 A <-> B, one net rate: the noise is that of both ways. The equation has one dimension, since A + 2 B is conserved, and its density at
/// rest is known: `exp(2 ∫ drift / diffusion) / diffusion`.
#[test]
fn dimerisation_has_the_moments_of_its_density() {
    // With V = c: a rate of V (kf A^2 - kr B) in concentrations.
    let law = "(times c (minus (times kf A A) (times kr B)))";
    let (kf, kr, total) = (0.05, 1.0, 120.0);
    let mut simulator =
        model(&[("A", 60.0), ("B", 30.0)], &[("kf", kf), ("kr", kr)], &[("r", "2*A", "B", law)], "");
    let run = simulator.langevin(&[4.0, 8.0], false, &options(1.0, 4000)).unwrap();
    let (mut mass, mut first, mut second, mut potential) = (0.0, 0.0, 0.0, 0.0);
    let n = 40_000;
    let h = total / 2.0 / f64::from(n);
    for k in 0..n {
        let b = (f64::from(k) + 0.5) * h;
        let a = total - 2.0 * b;
        let (forward, back) = (kf * a * a / 2.0, kr * b);
        let slope = 2.0 * (forward - back) / (forward + back);
        potential += 0.5 * h * slope;
        let density = (potential - 40.0).exp() / (forward + back);
        potential += 0.5 * h * slope;
        mass += density;
        first += density * b;
        second += density * b * b;
    }
    let (mean, variance) = (first / mass, second / mass - (first / mass).powi(2));
    let (a, b) = (column(&run, "A"), column(&run, "B"));
    check(&run.at(1, b), mean, variance, 0.01);
    for k in 0..2 {
        for (a, b) in run.at(k, a).iter().zip(run.at(k, b)) {
            assert!((a + 2.0 * b - total).abs() < 1e-9, "{a} {b}");
        }
    }
}

/// The variance that accumulates in a short time is that of the rate; a law that is a product of an inhibition is one rate, not two.
#[test]
fn an_inhibited_rate_is_one_way() {
    let inhibited = "(times k A (minus 1 (divide I (plus I h))))";
    let back = "(times k (minus A (divide B q)))";
    let constant = "(times k A (minus 1 h))";
    // The law, and the noise's rate at A = 1000, B = 500, I = 1 (concentrations 500, 250, 0.5), with k = 1, h = 0.5, q = 2.
    for (law, id, rate) in [
        (inhibited, "r", 250.0),
        (constant, "r", 250.0),
        (back, "r", 500.0 + 125.0),
        (back, "!r", 500.0 - 125.0),
    ] {
        let species = [("A", 1000.0), ("B", 500.0), ("I", 1.0)];
        let parameters = [("k", 1.0), ("h", 0.5), ("q", 2.0)];
        let mut simulator = model(&species, &parameters, &[(id, "A", "B", law)], "");
        let run = simulator.langevin(&[1e-3], false, &options(1.0, 4000)).unwrap();
        let (_, variance) = moments(&run.at(0, column(&run, "A")));
        assert!((variance / (1e-3 * rate) - 1.0).abs() < 0.1, "{law} {id}: {variance} {rate}");
    }
}

/// Without noise a run is that of the integrator, by steps of second order.
#[test]
fn with_very_many_molecules_it_is_the_rate_equation() {
    let reactions = [
        ("bind", "A B", "C", "(times c (minus (times kf A B) (times kr C)))"),
        ("turn", "C", "A P", "(times c kr C)"),
        ("feed", "", "B", "(times c input)"),
    ];
    let species = [("A", 4.0), ("B", 6.0), ("C", 0.0), ("P", 0.0)];
    let rule = list("Rules", &assign("input", "(times kr (exp (minus t)))"));
    let mut simulator = model(&species, &[("kf", 1.0), ("kr", 0.5), ("input", f64::NAN)], &reactions, &rule);
    let times = [0.0, 0.5, 1.0, 4.0];
    let exact = simulator.trajectory(&times, false).unwrap();
    let run = simulator.langevin(&times, false, &options(1e16, 1)).unwrap();
    for id in ["A", "B", "C", "P", "bind", "feed", "input"] {
        let exact = exact.column(id).unwrap();
        for (k, exact) in exact.iter().enumerate() {
            let found = run.at(k, column(&run, id))[0];
            assert!((found - exact).abs() < 2e-4, "{id} at {}: {found} {exact}", times[k]);
        }
    }
}

#[test]
fn what_has_no_chemical_noise_is_named() {
    let decay = [("r", "A", "", "(times k A)")];
    let text = |simulator: &mut Simulator, options: &LangevinOptions| -> String {
        simulator.langevin(&[0.0, 5.0], false, options).unwrap_err().to_string()
    };
    let plain = options(10.0, 2);
    let event = list("Events", &when(&once("(lt A 1)"), "", &[("A", "9")]))
        .replace("<event ", r#"<event id="pulse" "#);
    let rule = list("Rules", &rate("v", "k"));
    let parameters = [("k", 1.0), ("v", f64::NAN)];
    let start = list("InitialAssignments", &initial("v", "1"));
    let mut with_event = model(&[("A", 5.0)], &[("k", 1.0)], &decay, &event);
    let mut with_rule = model(&[("A", 5.0)], &parameters, &decay, &(start + &rule));
    assert!(text(&mut with_event, &plain).contains("event `pulse` is not supported"));
    assert!(text(&mut with_rule, &plain).contains("the rate rule of `v` is not supported"));
    let sum = list("Rules", &assign("n", "(plus 1 k)"));
    let varying = r#"<speciesReference id="n" species="A" constant="false"/>"#;
    let computed = reaction("r", varying, "", "(times k A)", "");
    let parts = [
        list("Compartments", &compartment("c", r#"size="2" constant="true""#)),
        list("Species", &species("A", r#"initialAmount="3""#)),
        list("Parameters", r#"<parameter id="k" value="1" constant="true"/>"#),
        sum,
        list("Reactions", &computed),
    ];
    let computed = Model::from_sbml(&sbml(&parts.concat())).unwrap();
    let found = text(&mut Simulator::new(computed, Tolerances::default()), &plain);
    assert!(
        found.contains("the stoichiometry of `A` in `r`, which is computed, is not supported"),
        "{found}"
    );
    // A net rate that turns round and says so nowhere.
    let relaxes = [("relax", "A", "", "(times k (minus A 2))")];
    let error =
        model(&[("A", 1.0)], &[("k", 1.0)], &relaxes, "").langevin(&[1.0], false, &plain).unwrap_err();
    let SimulationError::NoiseRate { reaction, rate, t } = error else { panic!("{error}") };
    assert_eq!((reaction.as_str(), rate, t), ("relax", -1.5, 0.0));
    let mut negative = model(&[("A", -1.0)], &[("k", 1.0)], &decay, "");
    assert!(text(&mut negative, &plain).contains("the amount of `A` is -1"));
    let mut fine = model(&[("A", 9.0)], &[("k", 1.0)], &decay, "");
    for (molecules, paths, step, what) in [
        (0.0, 2, None, "molecules in a unit of substance must be positive, got 0"),
        (f64::NAN, 2, None, "molecules"),
        (10.0, 0, None, "paths must be at least one"),
        (10.0, 2, Some(0.0), "the longest step must be positive"),
    ] {
        let found = text(&mut fine, &LangevinOptions { molecules, paths, longest_step: step, seed: 0 });
        assert!(found.contains(what), "{found}");
    }
}

#[test]
fn bits_depend_on_the_seed_and_not_on_threads() {
    let mut simulator = model(&[("A", 9.0)], &[("k", 1.0)], &[("r", "A", "", "(times k A)")], "");
    let mut runs = Vec::new();
    for (threads, seed) in [(1, 3), (2, 3), (2, 4)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let options = LangevinOptions { seed, ..options(10.0, 20) };
        runs.push(pool.install(|| simulator.langevin(&[0.5, 1.0], false, &options)).unwrap());
    }
    assert!(runs[0] == runs[1] && runs[0] != runs[2]);
    let mut written = Vec::new();
    runs[0].write_paths(&mut written).unwrap();
    let written = String::from_utf8(written).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!((lines.len(), lines[0]), (41, "path,time,A,r"));
    assert_eq!(lines[4].split(',').take(2).collect::<Vec<_>>(), ["1", "1"]);
    // Twenty sorted numbers: what lies between them is linear.
    let mut summary = Vec::new();
    runs[0].write_summary(&mut summary).unwrap();
    let summary = String::from_utf8(summary).unwrap();
    let row: Vec<&str> = summary.lines().nth(1).unwrap().split(',').collect();
    let mut values = runs[0].at(0, 0);
    values.sort_by(f64::total_cmp);
    assert_eq!(row[..2], ["0.5", "A"]);
    let close = |text: &str, x: f64| (text.parse::<f64>().unwrap() - x).abs() < 1e-12;
    let (mean, variance) = moments(&values);
    assert!(close(row[2], mean) && close(row[3], variance.sqrt()), "{row:?}");
    assert!(
        close(row[4], 0.05 * values[0] + 0.95 * values[1]) && close(row[6], 0.5 * (values[9] + values[10]))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Few molecules, so that noise is as large as amounts: nothing becomes negative, and what the stoichiometry conserves is conserved.
    #[test]
    fn amounts_stay_positive_and_sums_are_kept(
        amounts in prop::collection::vec(0.0..4.0_f64, 3),
        rates in prop::collection::vec(0.1..3.0_f64, 4),
        seed in 0..1000_u64,
    ) {
        let reactions = [
            ("bind", "A B", "C", "(minus (times k0 A B) (times k1 C))"),
            ("split", "C", "2*A", "(times k2 C)"),
            ("join", "2*A", "C", "(times k3 A A)"),
        ];
        let ids = ["k0", "k1", "k2", "k3"];
        let parameters: Vec<(&str, f64)> = ids.into_iter().zip(rates).collect();
        let species: Vec<(&str, f64)> = ["A", "B", "C"].into_iter().zip(amounts.clone()).collect();
        let mut simulator = model(&species, &parameters, &reactions, "");
        let times: Vec<f64> = (0..20).map(|k| 0.2 * f64::from(k)).collect();
        let run = simulator.langevin(&times, false, &LangevinOptions { seed, ..options(1.0, 8) }).unwrap();
        // Every reaction keeps A + B + 2 C.
        let total = amounts[0] + amounts[1] + 2.0 * amounts[2];
        for k in 0..times.len() {
            let [a, b, c] = [0, 1, 2].map(|j| run.at(k, j));
            for i in 0..run.paths {
                prop_assert!(a[i] >= 0.0 && b[i] >= 0.0 && c[i] >= 0.0);
                prop_assert!((a[i] + b[i] + 2.0 * c[i] - total).abs() < 1e-10);
            }
        }
        prop_assert!(run.steps >= 19 * 8);
    }
}
