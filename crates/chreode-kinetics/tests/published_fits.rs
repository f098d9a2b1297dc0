//! Published problems fitted from 20 random starts. Runs where `CHREODE_DATA` names a folder with `petab/`.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use chreode_kinetics::{FitOptions, Objective, Problem, Tolerances, fit};

/// The best of 20 starts must be as good as the nominal parameters, which others found.
fn check(name: &str) {
    let folder = std::env::var_os("CHREODE_DATA").map(|x| PathBuf::from(x).join("petab"));
    let Some(folder) = folder.filter(|x| x.is_dir()) else {
        println!("skipped: CHREODE_DATA names no folder with petab/");
        return;
    };
    let path = folder.join(name).join(format!("{name}.yaml"));
    let problem = Problem::open(&path, Tolerances { rtol: 1e-7, atol: 1e-11 }).unwrap();
    let mut objective = Objective::new(problem).unwrap();
    let nominal = objective.nominal();
    let nominal = objective.value(&nominal).unwrap();
    let fits = fit(&objective, &FitOptions::default(), &AtomicBool::new(false), &|done, best| {
        println!("{name} {done}: {best:.5}");
    });
    let best = &fits.best().unwrap().minimum;
    let gradients: usize = fits.fits.iter().map(|fit| fit.minimum.gradients).sum();
    println!(
        "{name}: {} of 20 starts within 0.1 of the best; objective {:.5}, at the nominal parameters {nominal:.5}; {gradients} gradients, {:.1} s",
        fits.near_best(0.1),
        best.value,
        fits.seconds
    );
    for fit in &fits.fits {
        println!(
            "{:.4} {:?} {} {:?}",
            fit.minimum.value, fit.minimum.stopped, fit.minimum.iterations, fit.failure
        );
    }
    assert!(best.value < nominal + 1e-3, "{} {nominal}", best.value);
}

#[test]
fn boehm_is_found_again() {
    check("Boehm_JProteomeRes2014");
}

#[test]
#[ignore = "takes minutes: cargo xtask ci sweep"]
fn fujita_is_found_again() {
    check("Fujita_SciSignal2010");
}

#[test]
#[ignore = "takes minutes: cargo xtask ci sweep"]
fn raia_is_found_again() {
    check("Raia_CancerResearch2011");
}
