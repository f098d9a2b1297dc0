//! What step control costs: the figures that `Controller` and docs/METHODS.md state.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{
    BOSH3, Controller, DOP853, DOPRI5, Erk, ErkTableau, SolveOptions, TSIT5, VERN7, VERN8, VERN9, solve,
};
use chreode_testkit::{Case, corpus, nonstiff};

/// Logarithms of error and work of runs at tolerances from 1e-5 to 1e-10.
fn runs(case: &mut Case, method: &'static ErkTableau, controller: Controller) -> Vec<(f64, f64)> {
    let scale = case.end.iter().fold(0.0_f64, |s, v| s.max(v.abs()));
    let tolerances = (0..21).map(|i| 10_f64.powf(-5.0 - 0.25 * f64::from(i)));
    let mut run = |rtol| {
        let mut y = case.y0.clone();
        let mut erk = Erk::new(method, 1, y.len());
        let options = SolveOptions { controller: Some(controller), ..SolveOptions::tolerance(rtol, rtol) };
        let field = &mut *case.field;
        let stats = solve(field, &case.p, &mut y, case.span, &mut erk, &options, &mut |_, _, _| {}).unwrap();
        let error = case.end.iter().zip(&y).map(|(a, b)| (a - b).abs() / scale).fold(1e-16, f64::max);
        (error.ln(), (stats.work.evals as f64).ln())
    };
    tolerances.map(&mut run).collect()
}

/// The line through logarithms of work over error, at `error`.
fn work_at(error: f64, runs: &[(f64, f64)]) -> f64 {
    let n = runs.len() as f64;
    let (x, y) = (runs.iter().map(|r| r.0).sum::<f64>() / n, runs.iter().map(|r| r.1).sum::<f64>() / n);
    let slope = runs.iter().map(|r| (r.0 - x) * (r.1 - y)).sum::<f64>()
        / runs.iter().map(|r| (r.0 - x).powi(2)).sum::<f64>();
    y + slope * (error - x)
}

/// Work of each controller over that of the first at equal error, the geometric mean over nine problems.
fn ratios<const N: usize>(method: &'static ErkTableau, controllers: [Controller; N]) -> [f64; N] {
    let mut cases: Vec<_> = corpus().into_iter().chain(nonstiff()).collect();
    let n = cases.len() as f64;
    let mut sums = [0.0; N];
    for case in &mut cases {
        let all = controllers.map(|c| runs(case, method, c));
        let error = all[0].iter().map(|r| r.0).sum::<f64>() / all[0].len() as f64;
        let base = work_at(error, &all[0]);
        for (sum, runs) in sums.iter_mut().zip(&all) {
            *sum += (work_at(error, runs) - base) / n;
        }
    }
    sums.map(f64::exp)
}

#[test]
fn gains_hardly_matter() {
    for method in [&BOSH3, &TSIT5, &DOPRI5] {
        let [_, i, pid] = ratios(method, [Controller::PI, Controller::I, Controller::PID]);
        println!("{}: work at equal error over that of PI: I {i:.3}, PID {pid:.3}", method.name);
        assert!(i > 0.9 && i < 1.05 && pid > 0.95 && pid < 1.15, "{}: {i} {pid}", method.name);
    }
}

/// From order 7 on, which is why methods of such orders look at the last error alone.
#[test]
fn high_orders_need_no_look_back() {
    let mut mean = 1.0_f64;
    for method in [&VERN7, &DOP853, &VERN8, &VERN9] {
        assert_eq!(Controller::of_order(method.error_order().unwrap()), Controller::I);
        let [_, i] = ratios(method, [Controller::PI, Controller::I]);
        println!("{}: work at equal error over that of PI: I {i:.3}", method.name);
        assert!(i > 0.85 && i < 1.0, "{}: {i}", method.name);
        mean *= i.powf(0.25);
    }
    assert!(mean < 0.97, "{mean}");
}

#[test]
fn the_error_aimed_at_hardly_matters() {
    for method in [&BOSH3, &TSIT5, &DOPRI5, &VERN7, &DOP853, &VERN9] {
        let order = f64::from(method.error_order().unwrap());
        let aim = |error: f64| Controller { safety: error.powf(1.0 / order), ..Controller::PI };
        let [_, fifth, half] = ratios(method, [aim(0.1), aim(0.24), aim(0.5)]);
        println!("{}: work of aiming at 0.24 {fifth:.3}, at 0.5 {half:.3}, over that at 0.1", method.name);
        let range = if order <= 5.0 { 0.95..1.05 } else { 1.0..1.08 };
        assert!(range.contains(&fifth) && range.contains(&half), "{}: {fifth} {half}", method.name);
    }
}
