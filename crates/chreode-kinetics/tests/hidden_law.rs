//! A law of a published model that a net learns from the measurements. Runs where `CHREODE_DATA` names a folder with `petab/`.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use chreode_kinetics::{
    FitOptions, HybridConfig, HybridRequest, NetOptions, Objective, Problem, Tolerances, fit,
};

/// STAT5 A and B are phosphorylated and bind each other at a rate that nobody tells; what the two monomers are part of is conserved.
#[test]
fn a_net_fits_as_well_as_the_law_that_it_replaces() {
    let folder = std::env::var_os("CHREODE_DATA").map(|x| PathBuf::from(x).join("petab"));
    let Some(folder) = folder.filter(|x| x.is_dir()) else {
        return println!("skipped: CHREODE_DATA names no folder with petab/");
    };
    let path = folder.join("Boehm_JProteomeRes2014/Boehm_JProteomeRes2014.yaml");
    let tolerances = Tolerances { rtol: 1e-7, atol: 1e-11 };
    let plain = Problem::open(&path, tolerances).unwrap();
    let mut mechanism = Objective::new(plain.clone()).unwrap();
    let nominal = mechanism.nominal();
    let nominal = mechanism.value(&nominal).unwrap();

    let request = HybridRequest::Rates(vec!["v2_v_1".parse().unwrap()]);
    let options = NetOptions::default();
    let nets = HybridConfig::resolve(&plain, &request, &options).unwrap();
    let inputs: Vec<&str> = nets.nets[0].inputs.iter().map(|x| x.id.as_str()).collect();
    assert_eq!(inputs, ["STAT5A", "STAT5B", "BaF3_Epo"]);
    let mut problem = Problem::open_hybrid(&path, tolerances, &nets, &options).unwrap();
    assert!(problem.fix_idle().is_empty()); // `k_phos` is in other laws too
    let objective = Objective::new(problem.clone()).unwrap();
    let fits = fit(
        &objective,
        &FitOptions { starts: 15, ..FitOptions::default() },
        &AtomicBool::new(false),
        &|_, _| {},
    );
    let p = objective.parameters(&fits.best().unwrap().minimum.x);
    let simulation = problem.simulate(&p).unwrap();
    let likelihood = problem.likelihood(&simulation);
    println!(
        "log-likelihood {}; {} with the law; {:.1} s",
        likelihood.log_likelihood, -nominal, fits.seconds
    );
    assert!(likelihood.log_likelihood > -nominal - 1.0);
    let along = nets.along(&mut problem, &p, 0.0, &|_| true).unwrap();
    assert_eq!(along.conserved.len(), 2);
    assert!(along.conserved.iter().all(|drift| drift.relative < 1e-12), "{:?}", along.conserved);
    assert!(along.lowest.1 > -1e-6, "{:?}", along.lowest);
    assert!(along.nets[0].runs[0].rows.iter().all(|row| row[4] >= 0.0));
}
