//! Gradients of published problems against central differences.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::PathBuf;
use std::time::Instant;

use chreode_kinetics::{Objective, Problem, Tolerances};

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("CHREODE_DATA").map(|x| PathBuf::from(x).join("petab"));
    if folder.as_ref().is_none_or(|x| !x.is_dir()) {
        println!("skipped: CHREODE_DATA names no folder with petab/");
        return None;
    }
    folder
}

/// A point beside the nominal parameters, inside of the bounds.
fn beside(objective: &Objective) -> Vec<f64> {
    let (low, high) = objective.bounds();
    let nominal = objective.nominal();
    let units = units(objective);
    let moved = |j: usize| nominal[j] + 0.01 * units[j] * (1.0 + j as f64).sin();
    (0..nominal.len()).map(|j| moved(j).clamp(low[j], high[j])).collect()
}

/// What a small step is small beside, for each parameter: one, or its value if that is smaller, as of rates on a linear scale.
fn units(objective: &Objective) -> Vec<f64> {
    objective.nominal().iter().map(|x| if *x == 0.0 { 1.0 } else { x.abs().min(1.0) }).collect()
}

/// The largest error of the gradient, relative to its largest element, over every `stride`-th parameter.
fn check(name: &str, stride: usize, tolerances: Tolerances, most: f64) {
    let Some(folder) = data() else { return };
    let path = folder.join(name).join(format!("{name}.yaml"));
    let mut objective = Objective::new(Problem::open(&path, tolerances).unwrap()).unwrap();
    let x = beside(&objective);
    let started = Instant::now();
    let value = objective.value(&x).unwrap();
    let simulated = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let evaluation = objective.evaluate(&x).unwrap();
    let forward = started.elapsed().as_secs_f64();
    assert!((evaluation.value - value).abs() <= 1e-6 * value.abs(), "{} {value}", evaluation.value);
    let started = Instant::now();
    let mut by_adjoint = vec![0.0; x.len()];
    let adjoint = objective.gradient_by_adjoint(&x, &mut by_adjoint).unwrap();
    let backward = started.elapsed().as_secs_f64();
    // In these units, in which the elements can be compared.
    let units = units(&objective);
    let scaled = |g: &[f64]| -> Vec<f64> { g.iter().zip(&units).map(|(g, u)| g * u).collect() };
    let (by_adjoint, by_sensitivities) = (scaled(&by_adjoint), scaled(&evaluation.gradient));
    let largest = by_sensitivities.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
    let mut worst = (0.0_f64, 0);
    for j in (0..x.len()).step_by(stride) {
        let at = |h: f64, objective: &mut Objective| {
            let mut moved = x.clone();
            moved[j] += h * units[j];
            objective.value(&moved).unwrap()
        };
        // Of fourth order; near blow-up the objective curves on scales that are not known before.
        let mut difference = |h: f64| {
            let near = at(h, &mut objective) - at(-h, &mut objective);
            let far = at(2.0 * h, &mut objective) - at(-2.0 * h, &mut objective);
            (8.0 * near - far) / (12.0 * h)
        };
        let mut error = f64::INFINITY;
        for h in [1e-3, 1e-4, 1e-5] {
            if error > 1e-6 {
                error = error.min((difference(h) - by_sensitivities[j]).abs() / largest);
            }
        }
        if error > worst.0 {
            worst = (error, j);
        }
    }
    println!(
        "{name}: {} parameters; simulation {:.1} ms, with sensitivities {:.1} ms; largest error {:.1e} of the gradient ({})",
        x.len(),
        1e3 * simulated,
        1e3 * forward,
        worst.0,
        objective.rows().nth(worst.1).unwrap().id
    );
    assert!(worst.0 < most, "{worst:?}");
    let Some(adjoint) = adjoint else {
        println!("{name}: no adjoint");
        return;
    };
    assert!((adjoint - value).abs() <= 1e-6 * value.abs(), "{adjoint} {value}");
    let apart =
        by_adjoint.iter().zip(&by_sensitivities).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / largest;
    println!(
        "{name}: adjoint {:.1} ms, {apart:.1e} of the gradient apart from sensitivities",
        1e3 * backward
    );
    assert!(apart < most);
}

/// The same of the adjoint alone, for a model of which sensitivities would take minutes.
fn check_adjoint(name: &str, stride: usize, tolerances: Tolerances, most: f64) {
    let Some(folder) = data() else { return };
    let path = folder.join(name).join(format!("{name}.yaml"));
    let mut objective = Objective::new(Problem::open(&path, tolerances).unwrap()).unwrap();
    let x = beside(&objective);
    let started = Instant::now();
    let value = objective.value(&x).unwrap();
    let simulated = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut gradient = vec![0.0; x.len()];
    let again = objective.gradient_by_adjoint(&x, &mut gradient).unwrap().unwrap();
    let backward = started.elapsed().as_secs_f64();
    assert!((again - value).abs() <= 1e-4 * value.abs(), "{again} {value}");
    let largest = gradient.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
    let mut worst = 0.0_f64;
    for j in (0..x.len()).step_by(stride) {
        let mut at = |h: f64| {
            let mut moved = x.clone();
            moved[j] += h;
            objective.value(&moved).unwrap()
        };
        let difference = (at(0.01) - at(-0.01)) / 0.02;
        worst = worst.max((difference - gradient[j]).abs() / largest);
    }
    println!(
        "{name}: {} parameters; simulation {:.1} ms, adjoint {:.1} ms; largest error {worst:.1e} of the gradient",
        x.len(),
        1e3 * simulated,
        1e3 * backward
    );
    assert!(worst < most, "{worst}");
}

const TIGHT: Tolerances = Tolerances { rtol: 1e-10, atol: 1e-14 };

#[test]
fn boehm() {
    check("Boehm_JProteomeRes2014", 1, TIGHT, 1e-6);
}

#[test]
fn crauste() {
    check("Crauste_CellSystems2017", 1, TIGHT, 1e-6);
}

#[test]
fn elowitz() {
    check("Elowitz_Nature2000", 1, TIGHT, 1e-6);
}

#[test]
fn fujita() {
    check("Fujita_SciSignal2010", 1, TIGHT, 1e-6);
}

#[test]
fn raia() {
    check("Raia_CancerResearch2011", 1, TIGHT, 1e-6);
}

#[test]
fn bachmann() {
    check("Bachmann_MSB2011", 8, Tolerances::default(), 1e-5);
}

#[test]
fn chen() {
    check_adjoint("Chen_MSB2009", 31, Tolerances { rtol: 1e-7, atol: 1e-11 }, 1e-3);
}
