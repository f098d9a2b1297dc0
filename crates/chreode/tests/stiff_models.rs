//! A model that is written once, through the stiff methods: its Jacobian and the Jacobian's sparsity come from its recorded program.

#![allow(clippy::unwrap_used, reason = "a helper of a test may panic")]

use chreode::autodiff::Auto;
use chreode::core::{Jacobian, VectorField, field};
use chreode::solve::{
    Bdf, EveryStep, KrylovOptions, Radau, Radau5, Rhs, SolveOptions, Stats, Stepper, solve_observed,
};
use chreode_testkit::{BrusselatorLine, StiffField};

const LINE: BrusselatorLine = BrusselatorLine { points: 60 };
const D: usize = 120;

fn run(f: &mut Rhs<'_, f64>, stepper: &mut dyn Stepper<f64>) -> (Vec<f64>, Stats) {
    let mut y = LINE.start();
    let options = SolveOptions::tolerance(1e-7, 1e-7);
    let steps = &mut EveryStep(|_, _: &[f64]| {});
    let stats = solve_observed(f, &LINE.parameters(), &mut y, (0.0, 3.0), stepper, &options, steps).unwrap();
    (y, stats)
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn a_sparse_model_runs_as_one_by_hand() {
    let mut auto: Auto<_> = Auto::new(LINE);
    let mut by_hand = StiffField::new(LINE);
    let pattern = Jacobian::<f64>::sparsity(&by_hand).unwrap().clone();
    assert_eq!(auto.sparsity(), Some(&pattern));
    let makers: [fn() -> Box<dyn Stepper<f64>>; 3] =
        [|| Box::new(Radau5::new(1, D)), || Box::new(Radau::new(1, D)), || Box::new(Bdf::new(1, D))];
    for make in makers {
        let (exact, by_hand) = run(&mut Rhs::Jacobian(&mut by_hand), &mut *make());
        let (y, stats) = run(&mut Rhs::Jacobian(&mut auto), &mut *make());
        // The same run, up to rounding: no evaluation was spent on differences.
        assert!(distance(&y, &exact) < 1e-9, "{}", distance(&y, &exact));
        assert_eq!(stats.work, by_hand.work);
        // An opaque field without a pattern: one evaluation a column and Jacobian more.
        let mut opaque = field(D, |t, y: &[f64], p: &[f64], dy: &mut [f64]| auto.eval(t, y, p, dy));
        let (z, differences) = run(&mut Rhs::Field(&mut opaque), &mut *make());
        assert!(distance(&z, &exact) < 1e-5, "{}", distance(&z, &exact));
        assert!(differences.work.evals >= stats.work.evals / 2 + D as u64 * differences.work.jacobians);
    }
}

/// Products with the Jacobian, without a matrix.
#[test]
fn products_of_a_model_serve_gmres() {
    let mut auto: Auto<_> = Auto::new(LINE);
    let (exact, _) = run(&mut Rhs::Jacobian(&mut auto), &mut Bdf::new(1, D));
    let options = KrylovOptions { products: 120, ..KrylovOptions::default() };
    let (y, stats) = run(&mut Rhs::Jvp(&mut auto), &mut Bdf::new(1, D).with_krylov(options));
    assert!(distance(&y, &exact) < 1e-4, "{}", distance(&y, &exact));
    assert_eq!((stats.work.jacobians, stats.work.factorisations), (0, 0));
    assert_eq!(stats.work.evals, stats.work.newton_iterations + 2);
    assert!(stats.work.linear_iterations > stats.work.newton_iterations);
}
