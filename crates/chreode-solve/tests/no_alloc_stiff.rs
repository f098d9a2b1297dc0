//! Work arrays of the stiff methods are sized once: nothing allocates inside a run.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{Bdf, Radau5, SolveOptions, Stepper, solve, solve_with_jacobian};
use chreode_testkit::{CountingAllocator, allocations_in, stiff_corpus};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Jacobians by the field and by differences, small systems and larger ones, rejected steps.
#[test]
fn stiff_runs() {
    for mut case in
        stiff_corpus().into_iter().filter(|case| case.y0.len() <= 20 && case.name != "ring modulator")
    {
        let at = [0.3 * case.span.1, 0.6 * case.span.1];
        let d = case.y0.len();
        let options = SolveOptions { save_at: &at, ..SolveOptions::tolerance(1e-5, 1e-5 * case.floor) };
        let steppers: [Box<dyn Stepper<f64>>; 2] = [Box::new(Radau5::new(1, d)), Box::new(Bdf::new(1, d))];
        for mut stepper in steppers {
            for with_jacobian in [true, false] {
                let mut y = case.y0.clone();
                let mut sum = 0.0;
                let mut save = |_: usize, _: f64, y: &[f64]| sum += y[0];
                let (count, stats) = allocations_in(|| {
                    let f = &mut *case.field;
                    if with_jacobian {
                        solve_with_jacobian(f, &[], &mut y, case.span, &mut *stepper, &options, &mut save)
                    } else {
                        solve(f, &[], &mut y, case.span, &mut *stepper, &options, &mut save)
                    }
                });
                assert!(stats.unwrap().accepted > 20);
                assert_eq!(count, 0, "{}", case.name);
            }
        }
    }
}
