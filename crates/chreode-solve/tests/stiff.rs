//! The stiff methods on problems with known answers: orders, stability, differential-algebraic equations, costs, and what
//! they say when a step has no solution.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{FieldError, Tolerance, VectorField, field};
use chreode_solve::{
    AutoSwitch, Bdf, Erk, Esdirk, Jacobian, KENCARP4, Observer, RODAS5P, Radau, Radau5, Radau9, Radau13, Rhs,
    Rosenbrock, SolveError, SolveOptions, Stats, StepFailure, StepRecord, StepSize, Stepper, TSIT5, solve,
    solve_observed, solve_with_jacobian,
};
use chreode_testkit::{
    Duffing, Rational, Robertson, SmoothField, StiffCase, StiffField, VanDerPol, observed_order, stiff_corpus,
};

/// All methods for `n` trajectories of `d` coordinates.
fn methods(n: usize, d: usize) -> [(&'static str, Box<dyn Stepper<f64>>); 5] {
    [
        ("Radau5", Box::new(Radau5::new(n, d))),
        ("Bdf", Box::new(Bdf::new(n, d))),
        ("Rodas5P", Box::new(Rosenbrock::new(&RODAS5P, n, d))),
        ("KenCarp4", Box::new(Esdirk::new(&KENCARP4, n, d))),
        ("switching", Box::new(AutoSwitch::new(Erk::new(&TSIT5, n, d), Radau5::new(n, d)))),
    ]
}

/// The same for one trajectory, with a mass matrix.
fn with_mass(d: usize, mass: &[f64]) -> [Box<dyn Stepper<f64>>; 4] {
    [
        Box::new(Radau5::new(1, d).with_mass(mass)),
        Box::new(Bdf::new(1, d).with_mass(mass)),
        Box::new(Rosenbrock::new(&RODAS5P, 1, d).with_mass(mass)),
        Box::new(Esdirk::new(&KENCARP4, 1, d).with_mass(mass)),
    ]
}

fn case(name: &str) -> StiffCase {
    stiff_corpus().into_iter().find(|case| case.name == name).unwrap()
}

/// Problems of the corpus that a test can afford.
fn small() -> impl Iterator<Item = StiffCase> {
    stiff_corpus().into_iter().filter(|case| case.y0.len() <= 20 && case.name != "ring modulator")
}

fn run(case: &mut StiffCase, stepper: &mut dyn Stepper<f64>, rtol: f64) -> (Vec<f64>, Stats) {
    let mut y = case.y0.clone();
    let options = SolveOptions::tolerance(rtol, rtol * case.floor);
    let stats =
        solve_with_jacobian(&mut *case.field, &[], &mut y, case.span, stepper, &options, &mut |_, _, _| {})
            .unwrap();
    (y, stats)
}

/// Sums that the field keeps, the steps keep too, to rounding, by every implicit method: of Robertson's three species at a tolerance
/// that leaves far larger errors in each, and of five that exchange, with Jacobians by differences, whose rounding Newton's iteration
/// leaves a trace of.
#[test]
fn linear_invariants() {
    let mut robertson = case("Robertson");
    let sum = |y: &[f64]| y.iter().sum::<f64>();
    // The third species is the first and the second, the fifth is half of the third and the fourth.
    let atoms = |y: &[f64]| y.iter().zip([1.0, 1.0, 2.0, 1.0, 1.5]).map(|(y, w)| y * w).sum::<f64>();
    let mut exchange = field(5, |t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        let flows = [
            1e4 * y[0] * y[1] - 3.0 * y[2],
            y[1] * y[1] - 1e3 * y[3],
            (2.0 + t.sin()) * y[2] * y[3] - 0.1 * y[4],
        ];
        dy[0] = -flows[0];
        dy[1] = -flows[0] - 2.0 * flows[1];
        dy[2] = flows[0] - flows[2];
        dy[3] = 2.0 * flows[1] - flows[2];
        dy[4] = 2.0 * flows[2];
    });
    let all = |d: usize| -> Vec<(&str, Box<dyn Stepper<f64>>)> {
        let more: [(&str, Box<dyn Stepper<f64>>); 3] = [
            ("Radau", Box::new(Radau::new(1, d))),
            ("Radau9", Box::new(Radau9::new(1, d))),
            ("Radau13", Box::new(Radau13::new(1, d))),
        ];
        methods(1, d).into_iter().chain(more).collect()
    };
    for (name, mut stepper) in all(3) {
        let (y, stats) = run(&mut robertson, &mut *stepper, 1e-4);
        let off = (sum(&y) - 1.0).abs();
        println!("Robertson {name:9} {off:.1e} in {} steps", stats.accepted);
        assert!(off < 1e-12, "{name}: the sum is off by {off:e}");
    }
    for (name, mut stepper) in all(5) {
        let mut y = [1.0, 0.7, 0.0, 0.1, 0.2];
        let before = atoms(&y);
        let options = SolveOptions::tolerance(1e-4, 1e-6);
        let stats =
            solve(&mut exchange, &[], &mut y, (0.0, 50.0), &mut *stepper, &options, &mut |_, _, _| {});
        let off = (atoms(&y) - before).abs();
        println!("exchange {name:9} {off:.1e} in {} steps", stats.unwrap().accepted);
        assert!(off < 1e-10, "{name}: the sum is off by {off:e}");
    }
}

/// The error follows the tolerance. E5's second and third coordinate are determined to three digits: see there.
#[test]
fn tolerance_proportionality() {
    for mut case in small() {
        for rtol in [1e-4, 1e-6, 1e-8, 1e-10] {
            for (name, mut stepper) in methods(1, case.y0.len()) {
                let (y, stats) = run(&mut case, &mut *stepper, rtol);
                let e = case.error(&y);
                println!("{:16} {name:9} {rtol:5.0e}: {e:.1e} in {} steps", case.name, stats.accepted);
                if case.name == "E5" && name == "Rodas5P" {
                    continue; // its weights, up to a hundred, multiply what rounding does to the conserved sum
                }
                let most = match (case.name, name) {
                    ("E5", "KenCarp4") => 1e-3_f64.max(1e4 * rtol),
                    ("E5", _) => 1e-3_f64.max(300.0 * rtol),
                    _ => 300.0 * rtol,
                };
                assert!(e < most, "{} {name} rtol {rtol:e}: {e:e}", case.name);
            }
        }
    }
}

/// Close to the rounding of the problem.
#[test]
fn ten_digits() {
    for mut case in small().filter(|case| case.name != "E5") {
        let mut radau = Radau5::new(1, case.y0.len());
        let (y, stats) = run(&mut case, &mut radau, 1e-13);
        let e = case.error(&y);
        println!("{:16} {e:.1e} in {} steps", case.name, stats.accepted);
        assert!(e < 3e-11, "{}: {e:e}", case.name);
    }
}

/// The problems whose runs are longer: all methods approach the end points as the tolerance falls, Radau5 to five digits at least.
#[test]
fn ring_modulator_and_brusselator() {
    for name in ["ring modulator", "Brusselator 1-D", "scaffold"] {
        let d = case(name).y0.len();
        for k in 0..4 {
            let tolerances = if k < 2 { [1e-6, 1e-8] } else { [1e-5, 1e-7] };
            let [loose, tight] = tolerances.map(|rtol| {
                let mut case = case(name);
                let (_, mut stepper) = methods(1, d).into_iter().nth(k).unwrap();
                let (y, _) = run(&mut case, &mut *stepper, rtol);
                case.error(&y)
            });
            println!("{name}, method {k}: {loose:e}, {tight:e}");
            assert!(tight < 0.2 * loose, "{name}, method {k}: {loose:e}, {tight:e}");
            assert!(tight < if k == 0 { 1e-5 } else { 1e-3 }, "{name}, method {k}: {tight:e}");
        }
    }
}

/// Accepted and rejected steps, evaluations, Jacobians, factorisations, failed Newton iterations. A change of any number is a change of
/// behaviour: look at it, then record it.
#[test]
fn costs() {
    let mut costs = Vec::new();
    for mut case in small() {
        for (name, mut stepper) in methods(1, case.y0.len()) {
            let (_, s) = run(&mut case, &mut *stepper, 1e-6);
            let w = s.work;
            costs.push((
                case.name,
                name,
                [s.accepted, s.rejected, w.evals, w.jacobians, w.factorisations, w.newton_failures],
            ));
        }
    }
    #[rustfmt::skip]
    let expected = [
        ("Robertson", "Radau5", [296, 1, 2203, 275, 582, 0]), ("Robertson", "Bdf", [973, 2, 1953, 10, 161, 9]),
        ("Robertson", "Rodas5P", [396, 0, 3566, 396, 396, 0]), ("Robertson", "KenCarp4", [195, 1, 2108, 135, 184, 0]),
        ("Robertson", "switching", [312, 1, 2395, 253, 512, 0]),
        ("HIRES", "Radau5", [114, 10, 1115, 72, 202, 8]), ("HIRES", "Bdf", [398, 4, 817, 9, 81, 8]),
        ("HIRES", "Rodas5P", [268, 0, 2414, 268, 268, 0]), ("HIRES", "KenCarp4", [139, 11, 1607, 84, 117, 9]),
        ("HIRES", "switching", [145, 9, 1275, 39, 124, 9]),
        ("OREGO", "Radau5", [575, 43, 5413, 484, 1084, 33]), ("OREGO", "Bdf", [1742, 15, 3818, 58, 359, 57]),
        ("OREGO", "Rodas5P", [1127, 6, 10187, 1127, 1133, 0]), ("OREGO", "KenCarp4", [638, 27, 7028, 399, 551, 24]),
        ("OREGO", "switching", [646, 42, 5645, 235, 558, 28]),
        ("van der Pol 1e3", "Radau5", [485, 10, 4028, 304, 820, 1]), ("van der Pol 1e3", "Bdf", [1398, 6, 2892, 19, 248, 18]),
        ("van der Pol 1e3", "Rodas5P", [680, 14, 6220, 680, 694, 0]), ("van der Pol 1e3", "KenCarp4", [451, 31, 5295, 239, 404, 26]),
        ("van der Pol 1e3", "switching", [419, 17, 3431, 98, 226, 0]),
        ("van der Pol 1e6", "Radau5", [873, 10, 7287, 536, 1296, 1]), ("van der Pol 1e6", "Bdf", [2518, 6, 5447, 35, 403, 34]),
        ("van der Pol 1e6", "Rodas5P", [1137, 29, 10438, 1137, 1166, 0]), ("van der Pol 1e6", "KenCarp4", [751, 52, 9503, 397, 559, 42]),
        ("van der Pol 1e6", "switching", [703, 32, 6089, 179, 434, 1]),
        ("E5", "Radau5", [455, 1, 3094, 369, 810, 0]), ("E5", "Bdf", [1510, 0, 2918, 31, 278, 30]),
        ("E5", "Rodas5P", [782, 0, 7040, 782, 782, 0]), ("E5", "KenCarp4", [468, 0, 5029, 347, 410, 0]),
        ("E5", "switching", [473, 1, 3464, 368, 760, 0]),
        ("POLLU", "Radau5", [49, 0, 348, 33, 86, 0]), ("POLLU", "Bdf", [194, 0, 325, 4, 43, 3]),
        ("POLLU", "Rodas5P", [79, 0, 713, 79, 79, 0]), ("POLLU", "KenCarp4", [43, 0, 400, 20, 36, 0]),
        ("POLLU", "switching", [68, 12, 550, 32, 100, 0]),
    ];
    assert_eq!(costs.len(), expected.len());
    for ((case, name, got), (expected_case, expected_name, expected)) in costs.into_iter().zip(expected) {
        assert_eq!((case, name), (expected_case, expected_name));
        // Another instruction set rounds otherwise, which may move a step.
        for (got, expected) in got.into_iter().zip(expected) {
            assert!(
                got.abs_diff(expected) <= 3 + expected / 50,
                "{case}, {name}: {got}, expected {expected}"
            );
        }
    }
}

/// Largest errors at steps' ends and inside steps, of runs with `steps` fixed steps that solve their equations to rounding.
fn errors(
    f: &mut Rhs<'_, f64>,
    stepper: &mut dyn Stepper<f64>,
    exact: &dyn Fn(f64) -> f64,
    y0: &[f64],
    span: (f64, f64),
    steps: u32,
) -> (f64, f64) {
    struct Errors<'a>(&'a dyn Fn(f64) -> f64, f64, f64);
    impl Observer<f64> for Errors<'_> {
        fn step(&mut self, r: StepRecord<'_, f64>) {
            self.1 = self.1.max((r.y_end[0] - (self.0)(r.t_end)).abs());
        }
        fn save(&mut self, _i: usize, t: f64, y: &[f64]) {
            self.2 = self.2.max((y[0] - (self.0)(t)).abs());
        }
    }
    let h = (span.1 - span.0) / f64::from(steps);
    let inside: Vec<f64> = (0..steps).map(|i| span.0 + h * (f64::from(i) + 0.37)).collect();
    let options = SolveOptions {
        save_at: &inside,
        tolerance: Tolerance::new(1e-13, 1e-15),
        ..SolveOptions::fixed(h.abs())
    };
    let (mut y, mut errors) = (y0.to_vec(), Errors(exact, 0.0, 0.0));
    solve_observed(f, &[1.0], &mut y, span, stepper, &options, &mut errors).unwrap();
    (errors.1, errors.2)
}

fn orders(runs: &[(u32, (f64, f64))]) -> (f64, f64) {
    let of = |pick: fn(&(f64, f64)) -> f64| {
        let points: Vec<_> = runs.iter().map(|(n, e)| (-f64::from(*n).log2(), pick(e).log2())).collect();
        observed_order(&points)
    };
    (of(|e| e.0), of(|e| e.1))
}

/// On a non-linear, non-autonomous problem, forward and backward.
#[test]
fn radau5_attains_its_orders() {
    for span in [(0.2, 1.9), (1.9, 0.2)] {
        let exact = |t: f64| 1.0 / (1.7 + t * t);
        let runs = [5, 10, 20, 40].map(|n| {
            let (mut f, mut radau) = (SmoothField(Rational), Radau5::new(1, 1));
            let mut f = Rhs::Jacobian(&mut f);
            (n, errors(&mut f, &mut radau, &exact, &[exact(span.0)], span, n))
        });
        let (ends, inside) = orders(&runs);
        println!("{span:?}: {ends:.2} at the steps' ends, {inside:.2} inside");
        assert!((ends - 5.0).abs() < 0.3, "{ends}");
        assert!((inside - 4.0).abs() < 0.3, "{inside}");
    }
}

/// `y' = -2 t z` and `0 = z - y²`: the rational problem as a differential-algebraic equation of index 1.
fn algebraic(t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) {
    dy[0] = -2.0 * t * y[1];
    dy[1] = y[1] - y[0] * y[0];
}

#[test]
fn radau5_attains_its_order_on_algebraic_equations() {
    let exact = |t: f64| 1.0 / (1.7 + t * t);
    let y0 = exact(0.2);
    let runs = [5, 10, 20, 40].map(|n| {
        let (mut f, mut radau) = (field(2, algebraic), Radau5::new(1, 2).with_mass(&[1.0, 0.0, 0.0, 0.0]));
        (n, errors(&mut Rhs::Field(&mut f), &mut radau, &exact, &[y0, y0 * y0], (0.2, 1.9), n))
    });
    let (ends, _) = orders(&runs);
    assert!((ends - 5.0).abs() < 0.3, "{ends}");
}

/// With fixed steps the order rises to the highest that is allowed.
#[test]
fn bdf_with_fixed_steps_raises_its_order() {
    let exact = |t: f64| 1.0 / (1.7 + t * t);
    for (most, bound) in [(1, 2e-3), (2, 4e-5), (5, 4e-5)] {
        let mut bdf = Bdf::new(1, 1).with_max_order(most);
        let mut f = SmoothField(Rational);
        let e = errors(&mut Rhs::Jacobian(&mut f), &mut bdf, &exact, &[exact(0.2)], (0.2, 1.9), 200);
        assert_eq!(bdf.order(), most);
        assert!(e.0 < bound && e.0 > 1e-3 * bound, "order {most}: {e:?}");
    }
}

/// One step of `y' = λ y` multiplies by `R(λ h)`, also for complex `λ`, and infinite ones give zero.
#[test]
fn stability_function_of_radau5() {
    for (a, b) in
        [(-0.3, 0.0), (-5.0, 0.0), (-1e3, 0.0), (-1e9, 0.0), (-2.0, 7.0), (0.0, 3.0), (0.0, 1e4), (1.0, 0.5)]
    {
        let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
            (dy[0], dy[1]) = (a * y[0] - b * y[1], b * y[0] + a * y[1]);
        });
        let mut y = [1.0, 0.0];
        let options = SolveOptions { tolerance: Tolerance::new(1e-13, 1e-15), ..SolveOptions::fixed(1.0) };
        solve(&mut f, &[], &mut y, (0.0, 1.0), &mut Radau5::new(1, 2), &options, &mut |_, _, _| {}).unwrap();
        // R(z) = (1 + 2z/5 + z²/20) / (1 - 3z/5 + 3z²/20 - z³/60)
        let times = |x: (f64, f64), y: (f64, f64)| (x.0 * y.0 - x.1 * y.1, x.0 * y.1 + x.1 * y.0);
        let z = (a, b);
        let (z2, z3) = (times(z, z), times(z, times(z, z)));
        let top = (1.0 + 0.4 * z.0 + z2.0 / 20.0, 0.4 * z.1 + z2.1 / 20.0);
        let bottom = (1.0 - 0.6 * z.0 + 0.15 * z2.0 - z3.0 / 60.0, -0.6 * z.1 + 0.15 * z2.1 - z3.1 / 60.0);
        let size = bottom.0 * bottom.0 + bottom.1 * bottom.1;
        let r = times(top, (bottom.0 / size, -bottom.1 / size));
        assert!((y[0] - r.0).abs() < 1e-7 && (y[1] - r.1).abs() < 1e-7, "{z:?}: {y:?} {r:?}");
        let growth = y[0].hypot(y[1]);
        assert!(a > 0.0 || growth <= 1.0 + 1e-12, "A-stable: {z:?} {growth}");
        assert!(a > -1e9 || growth < 1e-8, "L-stable: {growth}");
    }
}

/// Robertson's reactions with the conserved sum as an equation, and with a mass matrix that only mixes the equations.
#[test]
fn mass_matrices() {
    let mut conserved = field(3, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        let (slow, fast, back) = (0.04 * y[0], 3e7 * y[1] * y[1], 1e4 * y[1] * y[2]);
        (dy[0], dy[1], dy[2]) = (back - slow, slow - back - fast, y[0] + y[1] + y[2] - 1.0);
    });
    let mixing = [2.0, 1.0, 0.0, 0.0, 1.0, -1.0, 1.0, 0.0, 3.0];
    let mut mixed = field(3, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        let (slow, fast, back) = (0.04 * y[0], 3e7 * y[1] * y[1], 1e4 * y[1] * y[2]);
        let f = [back - slow, slow - back - fast, fast];
        for (row, dy) in mixing.chunks_exact(3).zip(dy) {
            *dy = row.iter().zip(f).map(|(m, f)| m * f).sum();
        }
    });
    let diagonal = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0];
    let case = case("Robertson");
    let options = SolveOptions::tolerance(1e-7, 1e-16);
    for (f, mass) in [(&mut conserved as &mut dyn VectorField<f64>, &diagonal), (&mut mixed, &mixing)] {
        for mut stepper in with_mass(3, mass) {
            let mut y = [1.0, 0.0, 0.0];
            solve(f, &[], &mut y, case.span, &mut *stepper, &options, &mut |_, _, _| {}).unwrap();
            let e = case.error(&y);
            assert!(e < 1e-5, "{e:e}");
        }
    }
}

#[test]
fn adaptive_runs_of_algebraic_equations() {
    for mut stepper in with_mass(2, &[1.0, 0.0, 0.0, 0.0]) {
        let mut y = [0.5, 0.25];
        let options = SolveOptions::tolerance(1e-8, 1e-10);
        solve(&mut field(2, algebraic), &[], &mut y, (0.0, 2.0), &mut *stepper, &options, &mut |_, _, _| {})
            .unwrap();
        assert!((y[0] - 1.0 / 6.0).abs() < 1e-6 && (y[1] - 1.0 / 36.0).abs() < 1e-6, "{y:?}");
    }
}

/// Differences instead of the Jacobian: as accurate, in as many steps.
#[test]
fn differences_serve_as_well() {
    for mut case in small().filter(|case| case.name != "E5") {
        for (name, mut stepper) in methods(1, case.y0.len()) {
            let (y, with) = run(&mut case, &mut *stepper, 1e-6);
            let e_with = case.error(&y);
            let mut y = case.y0.clone();
            let options = SolveOptions::tolerance(1e-6, 1e-6 * case.floor);
            let f: &mut dyn VectorField<f64> = &mut *case.field;
            let without =
                solve(f, &[], &mut y, case.span, &mut *stepper, &options, &mut |_, _, _| {}).unwrap();
            let (e, ratio) = (case.error(&y), without.accepted as f64 / with.accepted as f64);
            println!("{:16} {name:9} {e_with:.1e} {e:.1e}, steps {ratio:.2}", case.name);
            // Rodas5P's order needs a Jacobian that is right beside the slow eigenvalues, too.
            let most = if name == "Rodas5P" { 8.0 } else { 1.25 };
            assert!((0.8..most).contains(&ratio), "{} {name}: {ratio}", case.name);
            assert!(e < 20.0 * e_with.max(1e-6), "{} {name}: {e:e} {e_with:e}", case.name);
            assert!(without.work.evals > with.work.evals);
        }
    }
}

/// Equal trajectories give the bits of one; different ones each keep the tolerance.
#[test]
fn several_trajectories() {
    let reference = case("Robertson");
    let options = SolveOptions::tolerance(1e-6, 1e-15);
    for ((name, mut one), (_, mut three)) in methods(1, 3).into_iter().zip(methods(3, 3)) {
        let mut f = StiffField::new(Robertson);
        let mut y = reference.y0.clone();
        let single =
            solve_with_jacobian(&mut f, &[], &mut y, reference.span, &mut *one, &options, &mut |_, _, _| {});
        let mut ys = reference.y0.repeat(3);
        let equal = solve_with_jacobian(
            &mut f,
            &[],
            &mut ys,
            reference.span,
            &mut *three,
            &options,
            &mut |_, _, _| {},
        );
        assert_eq!(single.unwrap().accepted, equal.unwrap().accepted);
        assert_eq!(y.repeat(3), ys, "{name}");

        let mut ys = [1.0, 0.0, 0.0, 0.5, 0.0, 0.5, 1.0, 0.0, 0.0];
        let options = SolveOptions::tolerance(1e-7, 1e-16);
        solve_with_jacobian(&mut f, &[], &mut ys, reference.span, &mut *three, &options, &mut |_, _, _| {})
            .unwrap();
        assert!(reference.error(&ys[..3]) < 1e-5 && reference.error(&ys[6..]) < 1e-5, "{name}: {ys:?}");
        assert!((ys[3..6].iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }
}

#[test]
fn single_precision() {
    let mut radau = Radau5::<f32>::new(1, 2);
    let mut bdf = Bdf::<f32>::new(1, 2);
    let mut rodas = Rosenbrock::<f32>::new(&RODAS5P, 1, 2);
    let mut kencarp = Esdirk::<f32>::new(&KENCARP4, 1, 2);
    for stepper in [&mut radau as &mut dyn Stepper<f32>, &mut bdf, &mut rodas, &mut kencarp] {
        let mut y = [2.0_f32, 0.0];
        let mut f = StiffField::new(VanDerPol { eps: 1e-4 });
        let options = SolveOptions::tolerance(1e-4, 1e-4);
        let stats =
            solve_with_jacobian(&mut f, &[], &mut y, (0.0, 0.5), stepper, &options, &mut |_, _, _| {})
                .unwrap();
        // By Radau5 in double precision at 1e-12.
        assert!((y[0] - 1.596_768).abs() < 1e-3, "{y:?} {stats:?}");
    }
}

/// There and back again.
#[test]
fn backward() {
    for (name, mut stepper) in methods(1, 2) {
        let mut f = SmoothField(Duffing);
        let case = chreode_testkit::corpus().into_iter().find(|case| case.name == "Duffing").unwrap();
        let mut y = case.end.clone();
        let options = SolveOptions::tolerance(1e-8, 1e-10);
        let span = (case.span.1, case.span.0);
        solve_with_jacobian(&mut f, &case.p, &mut y, span, &mut *stepper, &options, &mut |_, _, _| {})
            .unwrap();
        for (y, y0) in y.iter().zip(&case.y0) {
            assert!((y - y0).abs() < 1e-5, "{name}: {y} {y0}");
        }
    }
}

/// What is saved by dense output is what steps that end there give, to the tolerance.
#[test]
fn saved_states() {
    let at = [1e-3, 0.7, 1.3, 40.0, 321.0];
    for (name, mut stepper) in methods(1, 8) {
        let saved = [false, true].map(|land_on_saves| {
            let mut case = case("HIRES");
            let options =
                SolveOptions { save_at: &at, land_on_saves, ..SolveOptions::tolerance(1e-6, 1e-10) };
            let (mut y, mut saved) = (case.y0.clone(), Vec::new());
            solve_with_jacobian(
                &mut *case.field,
                &[],
                &mut y,
                case.span,
                &mut *stepper,
                &options,
                &mut |_, t, y| {
                    saved.push((t, y.to_vec()));
                },
            )
            .unwrap();
            saved
        });
        assert_eq!(saved[0].len(), at.len());
        for ((t, a), (s, b)) in saved[0].iter().zip(&saved[1]) {
            assert_eq!(t, s);
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() < 1e-4 * (b.abs() + 1e-4), "{name} at {t}: {a} {b}");
            }
        }
    }
}

/// Newton's iteration with fixed steps goes on as long as it converges: once, a tight tolerance was given up on.
#[test]
fn fixed_steps_iterate_to_a_tight_tolerance() {
    for (name, mut stepper) in methods(1, 2) {
        let mut y = [2.0, 0.0];
        let mut f = StiffField::new(VanDerPol { eps: 1e-3 });
        // One matrix for all its stages: in the jump, KenCarp4's iteration converges for shorter steps only.
        let h = if name == "KenCarp4" { 2e-4 } else { 1e-3 };
        let options = SolveOptions { tolerance: Tolerance::new(1e-13, 1e-15), ..SolveOptions::fixed(h) };
        let stats =
            solve_with_jacobian(&mut f, &[], &mut y, (0.0, 1.0), &mut *stepper, &options, &mut |_, _, _| {});
        assert!(stats.is_ok(), "{name}: {stats:?}");
    }
}

#[test]
fn singular_newton_matrix() {
    // Neither a derivative nor an unknown in the second equation.
    let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| (dy[0], dy[1]) = (-y[0], y[0] - 1.0));
    let mass = [1.0, 0.0, 0.0, 0.0];
    for mut stepper in with_mass(2, &mass) {
        for options in [SolveOptions::default(), SolveOptions::fixed(0.1)] {
            let result =
                solve(&mut f, &[], &mut [1.0, 0.0], (0.0, 1.0), &mut *stepper, &options, &mut |_, _, _| {});
            match result {
                Err(SolveError::Unsolved { t, h, failure: StepFailure::Singular(m) }) => {
                    assert!(t == 0.0 && h > 0.0 && m.n == 2, "{t} {h} {m}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn step_without_a_solution() {
    // After the start, the algebraic equation has no real solution.
    let mut f = field(2, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        (dy[0], dy[1]) = (-y[0], y[1] * y[1] + if t > 0.0 { 1.0 } else { -0.3 * 0.3 });
    });
    let mass = [1.0, 0.0, 0.0, 0.0];
    for (k, mut stepper) in with_mass(2, &mass).into_iter().enumerate() {
        for options in [SolveOptions::default(), SolveOptions::fixed(0.1)] {
            let mut y = [1.0, 0.3];
            let mut run =
                || solve(&mut f, &[], &mut y, (0.0, 1.0), &mut *stepper, &options, &mut |_, _, _| {});
            if k == 2 {
                // Rodas5P solves linear systems only: what it says is that no step is short enough.
                if options == SolveOptions::default() {
                    let result = run();
                    assert!(matches!(result, Err(SolveError::StepSizeTooSmall { .. })), "{result:?}");
                }
                continue;
            }
            match run() {
                Err(SolveError::Unsolved {
                    t,
                    h,
                    failure: StepFailure::NewtonDiverged { iterations, rate },
                }) => {
                    assert!(t == 0.0 && h > 0.0 && iterations > 0 && rate > 0.0, "{t} {h} {rate}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(y, [1.0, 0.3], "the state of the last accepted step");
        }
    }
}

#[test]
fn field_that_is_not_finite() {
    for (name, mut stepper) in methods(1, 1) {
        let mut f = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = (0.5 - y[0]).sqrt());
        let result = solve(
            &mut f,
            &[],
            &mut [0.7],
            (0.0, 1.0),
            &mut *stepper,
            &SolveOptions::default(),
            &mut |_, _, _| {},
        );
        match result {
            // Explicit steps tell the state that they came to.
            Err(SolveError::NonFinite { trajectory: 0, coordinate: 0, .. }) if name == "switching" => {}
            Err(SolveError::NonFiniteDerivative { what: "the field", t, trajectory: 0, coordinate: 0 })
                if t < 1e-9 => {}
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Where a field, or its Jacobian, is not a number, the error says so: not a singular matrix, nor an iteration that diverged.
#[test]
fn what_is_not_finite_is_named() {
    /// Decay; from `t = 0.5` on, coordinate 1 of trajectory 1 has no derivative, or no row in the Jacobian.
    struct Hole {
        in_field: bool,
    }
    impl VectorField<f64> for Hole {
        fn dim(&self) -> usize {
            2
        }
        fn eval(&mut self, t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
            dy.iter_mut().zip(y).for_each(|(dy, y)| *dy = -y);
            if self.in_field && t >= 0.5 {
                dy[3] = f64::NAN;
            }
            Ok(())
        }
    }
    impl Jacobian<f64> for Hole {
        fn jacobian(&mut self, t: f64, y: &[f64], _p: &[f64], jac: &mut [f64]) -> Result<(), FieldError> {
            jac.copy_from_slice(&[-1.0, 0.0, 0.0, -1.0]);
            if !self.in_field && t >= 0.5 && y[0] > 1.0 {
                jac[2] = f64::NAN;
            }
            Ok(())
        }
    }
    for in_field in [true, false] {
        for (name, mut stepper) in methods(2, 2) {
            if name == "switching" {
                continue; // its explicit method does the decay
            }
            for options in
                [SolveOptions::tolerance(1e-6, 1e-6), SolveOptions::fixed(if in_field { 0.3 } else { 0.5 })]
            {
                let mut y = [1.0, 1.0, 4.0, 4.0];
                let f = &mut Hole { in_field };
                let span = if in_field { (0.0, 1.0) } else { (0.5, 1.0) };
                let end =
                    solve_with_jacobian(f, &[], &mut y, span, &mut *stepper, &options, &mut |_, _, _| {});
                match end.unwrap_err() {
                    SolveError::NonFiniteDerivative { what, t, trajectory: 1, coordinate: 1 } => {
                        assert_eq!(what == "the field", in_field, "{name}");
                        assert!(
                            (0.5..0.51).contains(&t) || options != SolveOptions::tolerance(1e-6, 1e-6),
                            "{name} {t}"
                        );
                    }
                    other => panic!("{name} {in_field}: {other:?}"),
                }
            }
        }
    }
}

/// A field that refuses states: steps are tried again, and the answer is right.
#[test]
fn refused_states() {
    for (name, mut stepper) in methods(1, 1) {
        // Bdf does not evaluate where its steps end, so it needs room for what the tolerance allows.
        let least = if name == "Bdf" { -1e-6 } else { 0.0 };
        // Saturated decay: nearly linear, then sudden; y + 0.001 ln y falls as -t.
        let mut f = field(1, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
            if y[0] < least {
                return Err(FieldError::Recoverable { t, what: "a negative concentration" });
            }
            dy[0] = -y[0] / (0.001 + y[0]);
            Ok(())
        });
        let (mut y, mut saved) = ([1.0], f64::NAN);
        let step = StepSize::Adaptive { h0: Some(1.2), h_max: f64::INFINITY };
        let options = SolveOptions { save_at: &[0.9], step, ..SolveOptions::tolerance(1e-6, 1e-8) };
        let stats =
            solve(&mut f, &[], &mut y, (0.0, 1.2), &mut *stepper, &options, &mut |_, _, y| saved = y[0])
                .unwrap();
        assert!((saved + 0.001 * saved.ln() - 0.1).abs() < 1e-4, "{name}: {saved}");
        assert!(y[0].abs() < 1e-6, "{name}: {y:?}");
        assert!(stats.field_failures > 0, "{name}: {stats:?}");
        let fatal = FieldError::Fatal { t: 0.0, what: "broken" };
        let mut broken = field(1, |t, _y: &[f64], _p: &[f64], _dy: &mut [f64]| {
            Err::<(), _>(FieldError::Fatal { t, what: "broken" })
        });
        let result = solve(&mut broken, &[], &mut y, (0.0, 1.0), &mut *stepper, &options, &mut |_, _, _| {});
        assert_eq!(result, Err(SolveError::Field(fatal)));
    }
}

/// Where the error estimate points to, a field may be undefined: a step is not accepted for that.
#[test]
fn estimates_that_leave_the_domain() {
    let mut f = field(1, |t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        dy[0] = (5.0 * t).sin().powi(2) + 1e-9 * y[0].sqrt();
    });
    let step = StepSize::Adaptive { h0: Some(1.0), h_max: f64::INFINITY };
    let options = SolveOptions { step, ..SolveOptions::tolerance(1e-6, 1e-6) };
    for (name, mut stepper) in methods(1, 1) {
        let mut y = [0.01];
        solve(&mut f, &[], &mut y, (0.0, 2.0), &mut *stepper, &options, &mut |_, _, _| {}).unwrap();
        let exact = 0.01 + 1.0 - 20.0_f64.sin() / 20.0;
        assert!((y[0] - exact).abs() < 1e-4, "{name}: {} {exact}", y[0]);
    }
}

/// Newton's iteration goes on to rounding where nothing else is asked for, and a relative tolerance of zero is one.
#[test]
fn tolerances_of_zero() {
    for (name, mut stepper) in methods(1, 2) {
        let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
            (dy[0], dy[1]) = (y[1], 30.0 * (1.0 - y[0] * y[0]) * y[1] - y[0]);
        });
        let mut ends = Vec::new();
        for options in [
            SolveOptions::tolerance(0.0, 1e-8),
            SolveOptions::tolerance(1e-8, 1e-8),
            SolveOptions { tolerance: chreode_core::Tolerance::new(0.0, 0.0), ..SolveOptions::fixed(2e-4) },
        ] {
            let mut y = [2.0, 0.0];
            let stats =
                solve(&mut f, &[], &mut y, (0.0, 10.0), &mut *stepper, &options, &mut |_, _, _| {}).unwrap();
            ends.push((y[0], stats.accepted));
        }
        assert!(ends.iter().all(|end| (end.0 - ends[1].0).abs() < 1e-4), "{name}: {ends:?}");
        assert!(ends[0].1 < 5 * ends[1].1, "{name}: {ends:?}");
    }
}

/// A field that is not a number beyond a bound: runs come as near to it as steps can, by every method.
#[test]
fn fields_that_end() {
    for (name, mut stepper) in methods(1, 1) {
        let mut f = field(1, |t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| {
            dy[0] = if t > 1.0 { f64::NAN } else { -y[0] };
        });
        let (mut y, options) = ([1.0], SolveOptions::tolerance(1e-6, 1e-8));
        let end = solve(&mut f, &[], &mut y, (0.0, 2.0), &mut *stepper, &options, &mut |_, _, _| {});
        assert!(end.is_err() && (y[0] - (-1.0_f64).exp()).abs() < 1e-4, "{name}: {y:?} {end:?}");
    }
}
