//! Changes between an explicit and an implicit method: where they come, what they cost, that nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::cell::Cell;

use chreode_core::{FieldError, Sparsity, VectorField, field};
use chreode_solve::{
    AutoSwitch, BOSH3, Bdf, Crossing, DOP853, Erk, Esdirk, Event, EveryStep, KENCARP4, RK4, RODAS5P, Radau5,
    Rhs, Rosenbrock, SolveError, SolveOptions, Stats, Stepper, TSIT5, VERN7, solve, solve_events,
    solve_observed, solve_with_jacobian,
};
use chreode_testkit::{StiffCase, corpus, nonstiff, stiff_corpus};

fn run(case: &mut StiffCase, stepper: &mut dyn Stepper<f64>, rtol: f64) -> (f64, Stats) {
    let mut y = case.y0.clone();
    let options = SolveOptions::tolerance(rtol, rtol * case.floor);
    let f = &mut *case.field;
    let stats = solve_with_jacobian(f, &[], &mut y, case.span, stepper, &options, &mut |_, _, _| {}).unwrap();
    (case.error(&y), stats)
}

/// With each implicit method, at any tolerance: as accurate as it alone; with Radau5 at most a little dearer, and cheaper where the
/// problem is stiff in parts. A factorisation counts as three evaluations.
#[test]
fn costs_little_more_than_the_better_method() {
    for mut case in stiff_corpus().into_iter().filter(|case| case.y0.len() <= 8 && case.name != "E5") {
        let d = case.y0.len();
        let radau = || Radau5::new(1, d);
        let tsit5 = || Erk::new(&TSIT5, 1, d);
        for rtol in [1e-4, 1e-6, 1e-8, 1e-10] {
            let mut both = AutoSwitch::new(tsit5(), radau());
            let (alone, switching) = (run(&mut case, &mut radau(), rtol), run(&mut case, &mut both, rtol));
            let cost = |s: &Stats| (s.work.evals + 3 * s.work.factorisations) as f64;
            let ratio = cost(&switching.1) / cost(&alone.1);
            println!("{:16} {rtol:.0e}: {ratio:.2}, {} switches", case.name, switching.1.work.switches);
            assert!(switching.0 < 300.0 * rtol, "{} {rtol:e}: {:e}", case.name, switching.0);
            assert!(ratio < 1.35, "{} {rtol:e}: {ratio}", case.name);
            assert!(switching.1.work.switches >= 1, "{}", case.name);
            if case.name.starts_with("van der Pol") {
                assert!(ratio < 0.9, "{} {rtol:e}: {ratio}", case.name);
                assert_eq!(switching.1.work.switches, 5, "explicit, then two jumps");
            }
            let others: [Box<dyn Stepper<f64>>; 3] = [
                Box::new(AutoSwitch::new(tsit5(), Rosenbrock::new(&RODAS5P, 1, d))),
                Box::new(AutoSwitch::new(tsit5(), Esdirk::new(&KENCARP4, 1, d))),
                Box::new(AutoSwitch::new(tsit5(), Bdf::new(1, d))),
            ];
            for mut other in others {
                let (error, stats) = run(&mut case, &mut *other, rtol);
                assert!(error < 1e3 * rtol, "{} {rtol:e}: {error:e}", case.name);
                assert!(stats.work.switches >= 1 && stats.work.factorisations > 10, "{stats:?}");
            }
        }
    }
}

/// Where nothing is stiff, the explicit method runs alone, to the last bit.
#[test]
fn other_problems_stay_explicit() {
    for tableau in [&TSIT5, &VERN7, &DOP853] {
        for rtol in [1e-3, 1e-5, 1e-7, 1e-9] {
            for mut case in corpus().into_iter().chain(nonstiff()) {
                let d = case.y0.len();
                let options = SolveOptions::tolerance(rtol, rtol);
                let (mut y, mut alone) = (case.y0.clone(), case.y0.clone());
                let (mut both, mut erk) =
                    (AutoSwitch::new(Erk::new(tableau, 1, d), Radau5::new(1, d)), Erk::new(tableau, 1, d));
                let mut solve = |y: &mut [f64], stepper: &mut dyn Stepper<f64>| {
                    let f = &mut *case.field;
                    solve(f, &case.p, y, case.span, stepper, &options, &mut |_, _, _| {}).unwrap()
                };
                let stats = solve(&mut y, &mut both);
                assert_eq!(stats, solve(&mut alone, &mut erk), "{} by {} {rtol:e}", case.name, tableau.name);
                assert_eq!(y, alone);
            }
        }
    }
}

/// `y` follows `cos t`, at rate 1 in the beginning and at the end, and at 1e5 around t = 10.
fn in_between(t: f64, y: &[f64], dy: &mut [f64]) {
    let rate = 1.0 + 1e5 * (-(t - 10.0).powi(4) / 16.0).exp();
    dy[0] = -rate * (y[0] - t.cos()) - t.sin();
}

#[test]
fn stiff_in_between() {
    for (rtol, backward) in [(1e-4, false), (1e-6, false), (1e-8, false), (1e-6, true)] {
        let evals = Cell::new(0);
        let mut f = field(1, |t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| {
            evals.set(evals.get() + 1);
            let sign = if backward { -1.0 } else { 1.0 };
            in_between(sign * t, y, dy);
            dy[0] *= sign;
        });
        let options = SolveOptions::tolerance(rtol, rtol);
        let mut both = AutoSwitch::new(Erk::new(&TSIT5, 1, 1), Radau5::new(1, 1));
        let (mut y, mut worst) = ([1.0], 0.0_f64);
        let span = (0.0, if backward { -20.0 } else { 20.0 });
        let mut steps = EveryStep(|t: f64, y: &[f64]| worst = worst.max((y[0] - t.cos()).abs()));
        let stats =
            solve_observed(&mut Rhs::Field(&mut f), &[], &mut y, span, &mut both, &options, &mut steps)
                .unwrap();
        println!("{rtol:e}: {worst:e} {stats:?}");
        assert_eq!(stats.work.switches, 2);
        assert!(!both.is_stiff());
        assert!(worst < 100.0 * rtol && (y[0] - 20.0_f64.cos()).abs() < 100.0 * rtol, "{worst:e}");
        assert_eq!(stats.work.evals, evals.get(), "all of both methods, and what it takes to look");
        // By the explicit method alone, thirty times as many.
        let mut explicit = Erk::new(&TSIT5, 1, 1);
        let mut y = [1.0];
        let alone = solve(&mut f, &[], &mut y, span, &mut explicit, &options, &mut |_, _, _| {}).unwrap();
        assert!(alone.work.evals > 30 * stats.work.evals, "{alone:?}");
    }
}

/// A second run with the same stepper begins anew: explicit, and with the same bits.
#[test]
fn runs_do_not_depend_on_the_last_one() {
    let mut case = stiff_corpus().into_iter().find(|case| case.name == "Robertson").unwrap();
    let mut both = AutoSwitch::new(Erk::new(&TSIT5, 1, 3), Radau5::new(1, 3));
    let first = run(&mut case, &mut both, 1e-6);
    assert!(both.is_stiff());
    assert_eq!(first, run(&mut case, &mut both, 1e-6));
}

/// An event that resets the state in a stiff phase, and one in a phase that is not.
#[test]
fn events() {
    let mut f = field(1, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| in_between(t, y, dy));
    let mut both = AutoSwitch::new(Erk::new(&TSIT5, 1, 1), Radau5::new(1, 1));
    let options = SolveOptions::tolerance(1e-7, 1e-7);
    for at in [4.0, 10.0] {
        let mut events = [Event::new(move |t, _y: &[f64], _p: &[f64]| t - at)
            .crossing(Crossing::Rising)
            .reset(|_t, y, _p| y[0] = 0.5)];
        let mut y = [1.0];
        let steps = &mut EveryStep(|_t, _y: &[f64]| {});
        let stats = solve_events(
            &mut Rhs::Field(&mut f),
            &[],
            &mut y,
            (0.0, 20.0),
            &mut both,
            &options,
            &mut events,
            steps,
        )
        .unwrap();
        // What follows a reset in the stiff phase is fast, so that its steps are short, and explicit for a while.
        assert_eq!((stats.events, stats.work.switches), (1, if at < 5.0 { 2 } else { 4 }));
        assert!((y[0] - 20.0_f64.cos()).abs() < 1e-4, "{y:?}");
    }
}

/// A field that refuses the states that are looked at, or for good.
#[test]
fn refused_states() {
    let mut f = field(1, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        if y[0].abs() > 1.0 + 1e-7 {
            return Err(FieldError::Recoverable { t, what: "outside" });
        }
        in_between(t, y, dy);
        Ok(())
    });
    let mut both = AutoSwitch::new(Erk::new(&TSIT5, 1, 1), Radau5::new(1, 1));
    let options = SolveOptions::tolerance(1e-8, 1e-8);
    let mut y = [1.0];
    let stats = solve(&mut f, &[], &mut y, (0.0, 20.0), &mut both, &options, &mut |_, _, _| {}).unwrap();
    assert!(stats.work.switches >= 2 && (y[0] - 20.0_f64.cos()).abs() < 1e-6, "{y:?}");

    let mut broken = field(1, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        if t > 10.0 {
            return Err(FieldError::Fatal { t, what: "broken" });
        }
        in_between(t, y, dy);
        Ok(())
    });
    let result = solve(&mut broken, &[], &mut [1.0], (0.0, 20.0), &mut both, &options, &mut |_, _, _| {});
    assert!(matches!(result, Err(chreode_solve::SolveError::Field(FieldError::Fatal { .. }))), "{result:?}");
}

#[test]
fn single_precision_and_several_trajectories() {
    struct Follow;
    impl VectorField<f32> for Follow {
        fn dim(&self) -> usize {
            1
        }
        fn eval(&mut self, t: f64, y: &[f32], _p: &[f32], dy: &mut [f32]) -> Result<(), FieldError> {
            for (y, dy) in y.iter().zip(dy) {
                let mut slope = [0.0];
                in_between(t, &[f64::from(*y)], &mut slope);
                *dy = slope[0] as f32;
            }
            Ok(())
        }
    }
    let mut both = AutoSwitch::new(Erk::<f32>::new(&TSIT5, 3, 1), Radau5::new(3, 1));
    let mut y = [1.0, 0.9, 1.1];
    let options = SolveOptions::tolerance(1e-4, 1e-4);
    let stats = solve(&mut Follow, &[], &mut y, (0.0, 20.0), &mut both, &options, &mut |_, _, _| {}).unwrap();
    assert_eq!(stats.work.switches, 2);
    assert!(y.iter().all(|y| (y - 20.0_f32.cos()).abs() < 1e-3), "{y:?}");
}

/// Methods that cannot take turns: a typed error when a run starts.
#[test]
fn unsuited_methods_are_refused() {
    let refusal = |mut both: AutoSwitch<f64, Radau5<f64>>, d: usize| {
        let mut f = field(d, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy.copy_from_slice(y));
        let (mut y, options) = (vec![1.0; both.state_len()], SolveOptions::default());
        solve(&mut f, &[], &mut y, (0.0, 1.0), &mut both, &options, &mut |_, _, _| {}).unwrap_err()
    };
    let radau = || Radau5::new(1, 2);
    let mass = refusal(AutoSwitch::new(Erk::new(&TSIT5, 1, 2), radau().with_mass_diagonal(&[1.0, 0.0])), 2);
    assert!(mass.to_string().contains("mass matrix"), "{mass}");
    let blind = refusal(AutoSwitch::new(Erk::new(&BOSH3, 1, 2), radau()), 2);
    assert!(blind.to_string().contains("one stage at its step's end"), "{blind}");
    let blind = refusal(AutoSwitch::new(Erk::new(&RK4, 1, 2), radau()), 2);
    assert!(blind.to_string().contains("no error estimate"), "{blind}");
    let longer = refusal(AutoSwitch::new(Erk::new(&TSIT5, 1, 2), Radau5::new(2, 2)), 2);
    assert!(matches!(longer, SolveError::ShapeMismatch { expected: 2, got: 4, .. }), "{longer}");
    let other = refusal(AutoSwitch::new(Erk::new(&TSIT5, 2, 1), radau()), 1);
    assert!(matches!(other, SolveError::ShapeMismatch { expected: 1, got: 2, .. }), "{other}");
    // What the implicit method was made with.
    let radau = radau().with_sparsity(&Sparsity::banded(3, 1, 1));
    let sparsity = refusal(AutoSwitch::new(Erk::new(&TSIT5, 1, 2), radau), 2);
    assert!(matches!(sparsity, SolveError::ShapeMismatch { expected: 2, got: 3, .. }), "{sparsity}");
}
