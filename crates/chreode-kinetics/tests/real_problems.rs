//! Published problems, simulated at their nominal parameters, against the simulations that they come with.
//!
//! Runs where `CHREODE_DATA` names a folder with `petab/`. Rows are compared in order. What these files have otherwise is mapped:
//!
//! * Raia: observables without the prefix `observable_`, columns `simulationCondition` and `preequilibrationCondition`.
//! * Fujita: conditions are numbered. The simulations belong to the parameters that stand in the SBML file, not to the nominal ones of
//!   the table (whose likelihood other programs find too), and to scales of the observables that are told nowhere: one factor an observable.
//! * Chen: the simulations belong to the parameters that stand in the SBML file; the table has them rounded to three digits.
//! * Elowitz: the columns of parameters hold their decimal logarithms, and are not used; simulations are on the linear scale.
//!
//! Log-likelihoods are those of an integration by `SciPy` (LSODA at 1e-11, formulas translated to Python), within 1e-7; Raia's and Chen's are
//! our own. The tests of PEtab.jl expect the same within 1e-5.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use chreode_kinetics::{Problem, Tolerances};

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("CHREODE_DATA").map(|x| PathBuf::from(x).join("petab"));
    if folder.as_ref().is_none_or(|x| !x.is_dir()) {
        println!("skipped: CHREODE_DATA names no folder with petab/");
        return None;
    }
    folder
}

/// Rows of a table, each by column.
fn table(path: &std::path::Path) -> Vec<HashMap<String, String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().filter(|l| !l.trim().is_empty());
    let header: Vec<&str> = lines.next().unwrap().split('\t').collect();
    lines
        .map(|l| header.iter().map(|h| (*h).to_owned()).zip(l.split('\t').map(str::to_owned)).collect())
        .collect()
}

/// Which parameters the simulations of a folder belong to.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Nominal,
    Model,
    /// And observables are scaled by something unknown.
    ModelScaled,
}

fn check(name: &str, at: At, log_likelihood: f64) {
    let Some(folder) = data() else { return };
    let folder = folder.join(name);
    let started = Instant::now();
    let mut problem = Problem::open(&folder.join(format!("{name}.yaml")), Tolerances::default()).unwrap();
    let opened = started.elapsed();
    let nominal = problem.nominal();
    let started = Instant::now();
    let simulation = problem.simulate(&nominal).unwrap();
    let took = started.elapsed();
    let likelihood = problem.likelihood(&simulation);
    println!(
        "{name}: {} states, {} reactions, {} measurements; opened in {:.1} ms, simulated in {:.1} ms; ln L = {}, chi2 = {}",
        problem.model().n_states(),
        problem.model().n_reactions(),
        simulation.values.len(),
        opened.as_secs_f64() * 1e3,
        took.as_secs_f64() * 1e3,
        likelihood.log_likelihood,
        likelihood.chi_squared,
    );
    let theirs = table(&folder.join(format!("simulatedData_{name}.tsv")));
    assert_eq!(theirs.len(), simulation.values.len());
    assert!((likelihood.log_likelihood - log_likelihood).abs() < 1e-7 * log_likelihood.abs());
    let mut simulation = simulation;
    if at != At::Nominal {
        let model = problem.model();
        let values = problem.parameters().iter().zip(&nominal);
        let values: Vec<f64> = values.map(|(x, &nominal)| model.given(&x.id).unwrap_or(nominal)).collect();
        simulation = problem.simulate(&values).unwrap();
    }
    if at == At::ModelScaled {
        // Of each observable, so that the largest values agree.
        let mut most: HashMap<String, (f64, f64)> = HashMap::new();
        for ((m, &x), row) in problem.measurements().iter().zip(&simulation.values).zip(&theirs) {
            let y = row["simulation"].parse().unwrap();
            let most = most.entry(m.observable_id.clone()).or_default();
            if y > most.1 {
                *most = (x, y);
            }
        }
        for (m, x) in problem.measurements().iter().zip(&mut simulation.values) {
            let (ours, theirs) = most[&m.observable_id];
            *x *= theirs / ours;
        }
    }
    let mut largest: HashMap<&str, f64> = HashMap::new();
    for (m, x) in problem.measurements().iter().zip(&simulation.values) {
        let most = largest.entry(&m.observable_id).or_default();
        *most = most.max(x.abs());
    }
    let mut wrong = 0;
    for ((m, &x), row) in problem.measurements().iter().zip(&simulation.values).zip(&theirs) {
        let observable = row["observableId"].trim_start_matches("observable_");
        assert_eq!(m.observable_id.trim_start_matches("observable_"), observable, "row {}", m.row);
        let time: f64 = row["time"].parse().unwrap();
        assert!((time - m.time).abs() <= 1e-6 * m.time, "row {}", m.row);
        let y: f64 = row["simulation"].parse().unwrap();
        let most = largest[m.observable_id.as_str()];
        if !((x - y).abs() <= 1e-4 * y.abs() + 1e-6 * most) {
            wrong += 1;
            if wrong < 12 {
                println!(
                    "{name} row {}: {} {} at {}: {x}, theirs {y} ({:e})",
                    m.row,
                    m.observable_id,
                    m.simulation_condition_id,
                    m.time,
                    (x - y) / y
                );
            }
        }
    }
    assert_eq!(wrong, 0, "{name}: {wrong} of {} differ", theirs.len());
}

#[test]
fn boehm() {
    check("Boehm_JProteomeRes2014", At::Nominal, -138.221_997_75);
}

#[test]
fn crauste() {
    check("Crauste_CellSystems2017", At::Nominal, -190.963_977_57);
}

#[test]
fn elowitz() {
    check("Elowitz_Nature2000", At::Nominal, 63.202_750_42);
}

#[test]
fn fujita() {
    check("Fujita_SciSignal2010", At::ModelScaled, 53.083_767_86);
}

#[test]
fn raia() {
    check("Raia_CancerResearch2011", At::Nominal, -346.089_781_28);
}

#[test]
fn bachmann() {
    check("Bachmann_MSB2011", At::Nominal, 418.405_720_52);
}

#[test]
fn chen() {
    check("Chen_MSB2009", At::Model, -130_591.753);
}
