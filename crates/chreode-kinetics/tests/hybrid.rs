//! Problems with nets in their models: gradients against differences, what is conserved and stays non-negative under any weights, the same
//! rates as `chreode_model::Hybrid`, files, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use chreode_kinetics::{
    FitOptions, HybridConfig, HybridRequest, LangevinOptions, NetOptions, Objective, Part, Problem,
    RateRequest, Target, Tolerances, fit,
};
use chreode_model::{Hybrid, NetConfig, RateLaw, RatePart, Stored};
use common::{assign, compartment, list, of, reaction, sbml, species};
use proptest::prelude::*;

const TIGHT: Tolerances = Tolerances { rtol: 1e-10, atol: 1e-14 };

/// A binds B and turns it into C, `A + B ⇌ AB → A + C`: A + AB and B + AB + C stay. The turn saturates, at `vmax AB / (0.5 + AB)`.
fn model() -> String {
    let start = |id: &str, x: f64| species(id, &format!(r#"initialConcentration="{x}""#));
    let parameters =
        ["k", "kr", "vmax"].map(|id| format!(r#"<parameter id="{id}" value="1" constant="true"/>"#));
    let one = |id: &str| of(id, r#"stoichiometry="1""#);
    let reactions = [
        reaction("bind", &(one("A") + &one("B")), &one("AB"), "(times c k A B)", ""),
        reaction("part", &one("AB"), &(one("A") + &one("B")), "(times c kr AB)", ""),
        reaction("turn", &one("AB"), &(one("A") + &one("C")), "(divide (times c vmax AB) (plus 0.5 AB))", ""),
    ];
    sbml(
        &[
            list("Compartments", &compartment("c", r#"size="2" constant="true""#)),
            list("Species", &[start("A", 1.0), start("B", 3.0), start("AB", 0.0), start("C", 0.0)].concat()),
            list("Parameters", &parameters.concat()),
            list("Reactions", &reactions.concat()),
        ]
        .concat(),
    )
}

/// The problem in a folder, with what the model itself would be measured as.
fn write(folder: &Path) -> PathBuf {
    let file = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    file("model.xml", &model());
    file(
        "problem.yaml",
        "format_version: 1\nparameter_file: p.tsv\nproblems:\n- sbml_files: [model.xml]\n  condition_files: [c.tsv]\n  measurement_files: [m.tsv]\n  observable_files: [o.tsv]\n",
    );
    file(
        "p.tsv",
        "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\nk\tlog10\t0.01\t100\t1.5\t1\nkr\tlog10\t0.01\t100\t0.3\t1\nvmax\tlog10\t0.01\t100\t0.4\t1\n",
    );
    file("c.tsv", "conditionId\tB\nlow\t1\nhigh\t4\n");
    file("o.tsv", "observableId\tobservableFormula\tnoiseFormula\nbound\tAB\t0.02\nmade\tC\t0.02\n");
    let mut rows = String::from("observableId\tsimulationConditionId\tmeasurement\ttime\n");
    for condition in ["low", "high"] {
        for i in 1..=10 {
            writeln!(rows, "bound\t{condition}\t0.5\t{i}\nmade\t{condition}\t0.7\t{i}").unwrap();
        }
    }
    file("m.tsv", &rows);
    let path = folder.join("problem.yaml");
    let mut problem = Problem::open(&path, TIGHT).unwrap();
    let nominal = problem.nominal();
    let mut table = Vec::new();
    problem.write_simulation(&problem.clone().simulate(&nominal).unwrap(), &mut table).unwrap();
    let table = String::from_utf8(table).unwrap().replace("\tsimulation\n", "\tmeasurement\n");
    file("m.tsv", &table);
    problem = Problem::open(&path, TIGHT).unwrap();
    assert!(problem.likelihood(&problem.clone().simulate(&nominal).unwrap()).chi_squared < 1e-10);
    path
}

fn rate(text: &str) -> HybridRequest {
    HybridRequest::Rates(text.split(' ').map(|x| x.parse::<RateRequest>().unwrap()).collect())
}

fn open(path: &Path, request: &HybridRequest, options: &NetOptions) -> (Problem, HybridConfig) {
    let config = HybridConfig::resolve(&Problem::open(path, TIGHT).unwrap(), request, options).unwrap();
    (Problem::open_hybrid(path, TIGHT, &config, options).unwrap(), config)
}

#[test]
fn gradients_are_those_of_differences() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let options = NetOptions { hidden: vec![3, 2], ..NetOptions::default() };
    for request in [
        rate("turn"),
        rate("turn:correct bind:add"),
        rate("part:add:AB,time turn:replace:AB,B"),
        HybridRequest::AllRates,
        HybridRequest::BlackBox,
    ] {
        let (problem, config) = open(&path, &request, &options);
        let mut objective = Objective::new(problem).unwrap();
        let x = objective.nominal();
        let evaluation = objective.evaluate(&x).unwrap();
        let mut by_adjoint = vec![0.0; x.len()];
        let value = objective.gradient_by_adjoint(&x, &mut by_adjoint).unwrap().unwrap();
        assert!((value - evaluation.value).abs() < 1e-6 * value.abs());
        let largest = evaluation.gradient.iter().fold(0.0_f64, |a, g| a.max(g.abs()));
        for j in 0..x.len() {
            let mut at = |h: f64| {
                let mut moved = x.clone();
                moved[j] += h;
                objective.value(&moved).unwrap()
            };
            let h = 1e-3;
            let difference = (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * h);
            let [forward, backward] =
                [evaluation.gradient[j], by_adjoint[j]].map(|g| (g - difference).abs() / largest);
            assert!(forward < 1e-6 && backward < 1e-6, "{request:?}, {j}: {forward:e} {backward:e}");
        }
        assert!(config.nets.iter().all(|net| net.shape().layout().len() > 4));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn sums_stay_and_nothing_becomes_negative(seed in 0..1_000_000_u64, size in 0.01..30.0_f64) {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path());
        let options = NetOptions { seed, ..NetOptions::default() };
        for request in [rate("turn bind part"), rate("turn:add part:correct")] {
            let (mut problem, config) = open(&path, &request, &options);
            let mut p = problem.nominal();
            for (row, p) in problem.parameters().iter().zip(&mut p) {
                if row.id.rsplit('.').next() == Some("size") {
                    *p = size;
                } else if row.id.starts_with("net.") {
                    *p *= 3.0;
                }
            }
            let along = config.along(&mut problem, &p, 30.0, &|_| true).unwrap();
            prop_assert_eq!(along.conserved.len(), 2);
            for drift in &along.conserved {
                prop_assert!(drift.relative < 1e-12, "{:?}", drift);
            }
            prop_assert!(along.lowest.1 > -1e-9, "{:?}", along.lowest);
        }
    }
}

#[test]
fn a_net_in_place_of_the_model_conserves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let (mut problem, config) = open(&path, &HybridRequest::BlackBox, &NetOptions::default());
    let p = problem.nominal();
    let along = config.along(&mut problem, &p, 10.0, &|_| true).unwrap();
    assert_eq!(along.conserved.len(), 2);
    assert!(along.conserved.iter().all(|drift| drift.relative > 1e-3), "{:?}", along.conserved);
}

/// The same net and weights in both crates.
#[test]
fn rates_are_those_of_the_model_crate() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    for part in [Part::Replace, Part::Correct, Part::Add] {
        let inputs = ["A", "B", "AB", "C"].map(str::to_owned).to_vec();
        let request = RateRequest { reaction: "part".into(), part, inputs };
        let (mut problem, config) = open(&path, &HybridRequest::Rates(vec![request]), &NetOptions::default());
        let mut p = problem.nominal();
        let net = &config.nets[0];
        let (Target::Rate { unit, .. }, scales) = (&net.target, net.inputs.iter().map(|x| x.scale).collect())
        else {
            panic!("a rate was asked for")
        };
        let mut theirs = chreode_model::HybridConfig::new(scales);
        theirs.volumes = vec![2.0; 4];
        theirs.net = NetConfig { hidden: net.hidden.clone(), activation: chreode_linalg::Activation::Tanh };
        theirs.time_scale = 1.0; // 10 units of time are measured
        let bind = [(0, -1), (1, -1), (2, 1)];
        let law = |k: f64, reactants: &[(usize, u32)]| Some(RateLaw::mass_action(2.0 * k, reactants));
        theirs.push("bind", &bind, RatePart::Known, law(p[0], &[(0, 1), (1, 1)]));
        let their_part = match part {
            Part::Replace => RatePart::Neural,
            Part::Correct => RatePart::Multiply,
            Part::Add => RatePart::Add,
        };
        theirs.push("part", &bind.map(|(i, by)| (i, -by)), their_part, law(p[1], &[(2, 1)]));
        let mut hybrid = Hybrid::<f64>::from_laws(theirs).unwrap();
        let mut q = hybrid.init(0);
        let known = hybrid.known_range().len();
        let n = net.shape().layout().len();
        q[known..].copy_from_slice(&p[3..3 + n]);
        if part == Part::Correct {
            // Theirs is one where the net says what makes softplus one; ours where it says nothing.
            *q.last_mut().unwrap() += 1_f64.exp_m1().ln();
        }
        if net.has_size() {
            p[3 + n] = 1.0;
        }
        let along = config.along(&mut problem, &p, 10.0, &|_| true).unwrap();
        assert!((unit - 2.0 * net.inputs[2].scale).abs() < 1e-12);
        for row in &along.nets[0].runs[0].rows {
            let mut rates = [0.0; 2];
            hybrid.rates(0.0, &row[1..5], &q, &mut rates).unwrap();
            assert!((rates[1] - row[5]).abs() < 1e-12 * rates[1].abs() + 1e-15, "{part:?} {row:?} {rates:?}");
        }
    }
}

/// A rate that nobody told it: from measurements without noise the net learns the law along what was measured.
#[test]
fn a_hidden_law_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let (mut problem, config) =
        open(&path, &rate("turn"), &NetOptions { hidden: vec![4], ..NetOptions::default() });
    assert_eq!(problem.fix_idle(), ["vmax"]);
    let objective = Objective::new(problem.clone()).unwrap();
    let fits = fit(
        &objective,
        &FitOptions { starts: 3, draws: 5, ..FitOptions::default() },
        &AtomicBool::new(false),
        &|_, _| {},
    );
    let p = objective.parameters(&fits.best().unwrap().minimum.x);
    let simulation = problem.simulate(&p).unwrap();
    let likelihood = problem.likelihood(&simulation);
    assert!(likelihood.chi_squared < 1.0, "{likelihood:?}");
    assert!((p[0] / 1.5 - 1.0).abs() < 0.05 && (p[1] / 0.3 - 1.0).abs() < 0.2, "{p:?}");
    let along = config.along(&mut problem, &p, 10.0, &|_| true).unwrap();
    for row in along.nets[0].runs.iter().flat_map(|run| &run.rows).filter(|row| row[0] >= 1.0) {
        let truth = 2.0 * 0.4 * row[1] / (0.5 + row[1]);
        assert!((row[2] - truth).abs() < 0.1 * truth, "{row:?}: {truth}");
    }
    // Of one condition alone: the other asks the net about more of what is bound than it was fitted to.
    let low = config.along(&mut problem, &p, 10.0, &|m| m.simulation_condition_id == "low").unwrap();
    let (all, low) = (&along.nets[0], &low.nets[0]);
    assert!(all.extrapolation().0 == 0.0 && low.extrapolation().0 > 0.1, "{:?} {:?}", low.fitted, low.all);
    assert_eq!((low.runs[0].fitted_until, low.runs[1].fitted_until), (10.0, f64::NEG_INFINITY));
    // In a file, and back.
    let file = folder.path().join("hybrid.safetensors");
    config.save(&file, &p).unwrap();
    let (again, q) = HybridConfig::load(&file).unwrap();
    assert_eq!((&again, &q), (&config, &p));
    let mut problem = Problem::open_hybrid(&path, TIGHT, &again, &NetOptions::default()).unwrap();
    assert_eq!(problem.simulate(&q).unwrap(), simulation);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let problem = Problem::open(&path, TIGHT).unwrap();
    let error = |request: &HybridRequest, options: &NetOptions| {
        HybridConfig::resolve(&problem, request, options).unwrap_err().to_string()
    };
    let plain = NetOptions::default();
    assert_eq!(error(&rate("trn"), &plain), "the model has no reaction `trn`; it has bind, part, turn");
    assert!(error(&rate("turn turn:add"), &plain).contains("`turn` is given twice"));
    assert!(error(&rate("turn:replace:D"), &plain).contains("`D`, an input of the net of `turn`"));
    let wide = NetOptions { hidden: vec![65], ..NetOptions::default() };
    assert!(error(&rate("turn"), &wide).contains("[65]") && error(&rate("turn"), &wide).contains("1 to 64"));
    for text in ["", ":add", "turn:swap", "turn:add:", "turn:add:A:B"] {
        let error = text.parse::<RateRequest>().unwrap_err().to_string();
        assert!(error.contains(&format!("`{text}` is no rate of a hybrid")), "{error}");
    }
    let (_, config) = open(&path, &rate("turn"), &plain);
    let with = |config: &HybridConfig, options: &NetOptions| {
        Problem::open_hybrid(&path, TIGHT, config, options).unwrap_err().to_string()
    };
    let loose = NetOptions { weight_sd: 0.0, ..NetOptions::default() };
    assert!(with(&config, &loose).contains("standard deviation of weights is 0"));
    let mut other = config.clone();
    other.parameters.pop();
    assert!(with(&other, &plain).contains("the problem's table has k, kr, vmax"));
    let mut other = config.clone();
    other.nets[0].inputs[0].scale = -1.0;
    assert!(with(&other, &plain).contains("the scale of an input is -1"));
    let mut other = config.clone();
    other.nets.push(other.nets[0].clone());
    assert!(with(&other, &plain).contains("`turn` is given twice"));
    let mut other = config.clone();
    other.nets[0].hidden = vec![3, usize::MAX];
    assert!(HybridConfig::from_config(other).unwrap_err().to_string().contains("`nets.hidden[1]`"));
    let mut other = config;
    other.nets[0].inputs[0].id = "gone".into();
    assert!(with(&other, &plain).contains("`gone`, an input of the net of `turn`"));
}

/// What is measured at rest alone has a run of one point, and no error.
#[test]
fn a_problem_that_is_measured_at_rest_is_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let rows =
        "observableId\tsimulationConditionId\tmeasurement\ttime\nmade\tlow\t0.9\tinf\nmade\thigh\t3.9\tinf\n";
    std::fs::write(folder.path().join("m.tsv"), rows).unwrap();
    let (mut problem, config) = open(&path, &rate("turn"), &NetOptions::default());
    let p = problem.nominal();
    let along = config.along(&mut problem, &p, 0.0, &|_| true).unwrap();
    assert_eq!(along.nets[0].runs[0].rows.len(), 1);
    let along = config.along(&mut problem, &p, 5.0, &|_| true).unwrap();
    assert_eq!((along.until, along.nets[0].runs[0].rows.len()), (5.0, 121));
}

/// A species that a rule sets may be negative: a net does not see its logarithm, which would be no number.
#[test]
fn a_species_by_rule_is_an_input_of_any_sign() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let text = model().replace("</listOfSpecies>", &(species("excess", "") + "</listOfSpecies>")).replace(
        "<listOfReactions>",
        &(list("Rules", &assign("excess", "(minus A 5)")) + "<listOfReactions>"),
    );
    std::fs::write(folder.path().join("model.xml"), text).unwrap();
    let (mut problem, config) = open(&path, &rate("turn:replace:excess,AB"), &NetOptions::default());
    let signs: Vec<bool> = config.nets[0].inputs.iter().map(|x| x.positive).collect();
    assert_eq!(signs, [false, true]);
    let p = problem.nominal();
    assert!(problem.simulate(&p).unwrap().values.iter().all(|x| x.is_finite()));
}

/// Chemical noise of a hybrid: an added rate is two ways, also where its file calls the reaction irreversible; sums are kept, and one net for
/// everything has no reactions.
#[test]
fn a_hybrid_has_chemical_noise() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path());
    let text = model().replace(r#"reversible="true""#, r#"reversible="false""#);
    assert!(text.contains(r#"reversible="false""#), "{text}");
    std::fs::write(folder.path().join("model.xml"), text).unwrap();
    let times = [0.0, 1.0, 5.0];
    let options = LangevinOptions { molecules: 200.0, paths: 8, seed: 1, longest_step: None };
    let (mut problem, _) = open(&path, &rate("turn:add part:replace bind:correct"), &NetOptions::default());
    let p = problem.nominal();
    let run = problem.langevin(&p, (None, "high"), &times, false, &options).unwrap();
    let column = |id: &str| run.ids.iter().position(|x| x == id).unwrap();
    let [a, ab] = ["A", "AB"].map(column);
    for k in 0..times.len() {
        for (a, ab) in run.at(k, a).iter().zip(run.at(k, ab)) {
            assert!((a + ab - 2.0).abs() < 1e-12 && *a >= 0.0 && ab >= 0.0, "{a} {ab}");
        }
    }
    let spread = run.at(2, column("C"));
    assert!(spread.iter().any(|x| (x - spread[0]).abs() > 1e-3));
    let error = problem.langevin(&p, (None, "none"), &times, false, &options).unwrap_err();
    assert!(error.to_string().contains("no condition `none`; it has low, high"), "{error}");
    let (mut problem, _) = open(&path, &HybridRequest::BlackBox, &NetOptions::default());
    let p = problem.nominal();
    let error = problem.langevin(&p, (None, "low"), &times, false, &options).unwrap_err();
    assert!(error.to_string().contains("condition `low`: chemical Langevin noise"), "{error}");
}
