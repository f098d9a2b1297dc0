//! Work arrays of the stiff methods are sized once, those of larger systems when a run first sees a field of their sparsity: nothing
//! allocates after it.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{
    AutoSwitch, Bdf, Erk, Esdirk, KENCARP4, RODAS5P, Radau5, Rosenbrock, SolveOptions, Stepper, TSIT5, solve,
    solve_with_jacobian,
};
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
        let steppers: [Box<dyn Stepper<f64>>; 5] = [
            Box::new(Radau5::new(1, d)),
            Box::new(Bdf::new(1, d)),
            Box::new(Rosenbrock::new(&RODAS5P, 1, d)),
            Box::new(Esdirk::new(&KENCARP4, 1, d)),
            Box::new(AutoSwitch::new(Erk::new(&TSIT5, 1, d), Rosenbrock::new(&RODAS5P, 1, d))),
        ];
        for mut stepper in steppers {
            for with_jacobian in [true, false] {
                let mut sum = 0.0;
                let mut save = |_: usize, _: f64, y: &[f64]| sum += y[0];
                let mut run = |y: &mut [f64]| {
                    let f = &mut *case.field;
                    if with_jacobian {
                        solve_with_jacobian(f, &[], y, case.span, &mut *stepper, &options, &mut save)
                    } else {
                        solve(f, &[], y, case.span, &mut *stepper, &options, &mut save)
                    }
                };
                let (mut first, mut y) = (case.y0.clone(), case.y0.clone());
                let (count, stats) = allocations_in(|| run(&mut first));
                assert!(d > 16 || count == 0, "{}, first run: {count}", case.name);
                assert!(stats.unwrap().accepted > 20);
                let (count, stats) = allocations_in(|| run(&mut y));
                assert!(stats.unwrap().accepted > 20);
                assert_eq!(count, 0, "{}", case.name);
            }
        }
    }
}
