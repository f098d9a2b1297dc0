//! Radau IIA of orders 5, 9 and 13, and the choice between them: orders, stability, algebraic equations, costs at many digits.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{Tolerance, VectorField, field};
use chreode_solve::{
    EveryStep, Observer, Radau, Radau5, Radau9, Radau13, Rhs, SolveError, SolveOptions, Stats, StepFailure,
    StepRecord, Stepper, solve, solve_observed, solve_with_jacobian,
};
use chreode_testkit::{
    BrusselatorSquare, CountingAllocator, Rational, SmoothField, StiffCase, StiffField, VanDerPol,
    allocations_in, observed_order, stiff_corpus,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

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

/// A solution, and the non-linear, non-autonomous equation that it solves, with `square` for its square.
fn exact(t: f64) -> f64 {
    (3.0 * t).sin().exp()
}

fn slope(t: f64, y: f64, square: f64) -> f64 {
    3.0 * (3.0 * t).cos() * y + (2.0 * (3.0 * t).sin()).exp() - square
}

/// Largest errors at steps' ends and inside steps, of runs with fixed steps that solve their equations to rounding.
fn errors(
    f: &mut dyn VectorField<f64>,
    stepper: &mut dyn Stepper<f64>,
    y0: &[f64],
    span: (f64, f64),
    steps: u32,
) -> (f64, f64) {
    struct Errors(f64, f64);
    impl Observer<f64> for Errors {
        fn step(&mut self, r: StepRecord<'_, f64>) {
            self.0 = self.0.max((r.y_end[0] - exact(r.t_end)).abs());
        }
        fn save(&mut self, _i: usize, t: f64, y: &[f64]) {
            self.1 = self.1.max((y[0] - exact(t)).abs());
        }
    }
    let h = (span.1 - span.0) / f64::from(steps);
    let inside: Vec<f64> = (0..steps)
        .flat_map(|i| [0.1, 0.3, 0.5, 0.7, 0.93].map(|theta| span.0 + h * (f64::from(i) + theta)))
        .collect();
    let options = SolveOptions {
        save_at: &inside,
        tolerance: Tolerance::new(1e-14, 1e-15),
        ..SolveOptions::fixed(h.abs())
    };
    let (mut y, mut errors) = (y0.to_vec(), Errors(0.0, 0.0));
    solve_observed(&mut Rhs::Field(f), &[], &mut y, span, stepper, &options, &mut errors).unwrap();
    (errors.0, errors.1)
}

fn order(errors: &[(u32, f64)]) -> f64 {
    observed_order(&errors.iter().map(|(n, e)| (-f64::from(*n).log2(), e.log2())).collect::<Vec<_>>())
}

/// Which method, its stages, and numbers of steps whose errors at the ends of steps and inside them lie between rounding and
/// the pre-asymptotic ones.
type Fixed = (fn(usize) -> Box<dyn Stepper<f64>>, f64, [u32; 4], [u32; 4]);
const FIXED: [Fixed; 3] = [
    (|d| Box::new(Radau5::new(1, d)), 3.0, [20, 40, 80, 160], [20, 40, 80, 160]),
    (|d| Box::new(Radau9::new(1, d)), 5.0, [12, 16, 20, 24], [24, 32, 40, 48]),
    (|d| Box::new(Radau13::new(1, d)), 7.0, [5, 7, 8, 10], [20, 24, 28, 32]),
];

/// 2 s - 1 at the ends of steps, s + 1 inside.
#[test]
fn orders_are_attained() {
    for (make, s, ends, inside) in FIXED {
        let mut f = field(1, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = slope(t, y[0], y[0] * y[0]));
        let mut run = |n: u32| errors(&mut f, &mut *make(1), &[exact(0.2)], (0.2, 2.2), n);
        let at_ends = ends.map(|n| (n, run(n).0));
        let inside = inside.map(|n| (n, run(n).1));
        println!("{s} stages: {at_ends:?} {inside:?}");
        let (at_ends, inside) = (order(&at_ends), order(&inside));
        assert!((at_ends - (2.0 * s - 1.0)).abs() < 0.15 * s, "{s}: {at_ends}");
        assert!((inside - (s + 1.0)).abs() < 0.15 * s, "{s}: {inside}");
    }
}

/// The square as an unknown with an equation of its own: a differential-algebraic equation of index 1.
#[test]
fn orders_on_algebraic_equations() {
    let y0 = exact(0.2);
    let makers: [fn() -> Box<dyn Stepper<f64>>; 3] = [
        || Box::new(Radau5::new(1, 2).with_mass_diagonal(&[1.0, 0.0])),
        || Box::new(Radau9::new(1, 2).with_mass_diagonal(&[1.0, 0.0])),
        || Box::new(Radau13::new(1, 2).with_mass(&[1.0, 0.0, 0.0, 0.0])),
    ];
    for (make, (_, s, ends, _)) in makers.into_iter().zip(FIXED) {
        let mut f = field(2, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
            (dy[0], dy[1]) = (slope(t, y[0], y[1]), y[1] - y[0] * y[0]);
        });
        let at_ends = ends.map(|n| (n, errors(&mut f, &mut *make(), &[y0, y0 * y0], (0.2, 2.2), n).0));
        println!("{s} stages: {at_ends:?}");
        let at_ends = order(&at_ends);
        assert!((at_ends - (2.0 * s - 1.0)).abs() < 0.15 * s, "{s}: {at_ends}");
    }
}

type Complex = (f64, f64);

fn times(x: Complex, y: Complex) -> Complex {
    (x.0 * y.0 - x.1 * y.1, x.0 * y.1 + x.1 * y.0)
}

/// `Σ k! (k + j - i)! / ((k - i)! (k + j)! i!) z^i`: the numerator of the Padé approximation `(k, j)` of the exponential.
fn pade(k: u32, j: u32, z: Complex) -> Complex {
    let (mut sum, mut power, mut weight) = ((0.0, 0.0), (1.0, 0.0), 1.0);
    for i in 0..=k {
        sum = (sum.0 + weight * power.0, sum.1 + weight * power.1);
        power = times(power, z);
        weight *= f64::from(k - i) / (f64::from(k + j - i).max(1.0) * f64::from(i + 1));
    }
    sum
}

/// One step of `y' = λ y` multiplies by the Padé approximation `(s - 1, s)`, and infinite `λ` give zero.
#[test]
fn stability_functions() {
    for (make, s, _, _) in FIXED {
        for (a, b) in [
            (-0.3, 0.0),
            (-5.0, 0.0),
            (-1e3, 0.0),
            (-1e9, 0.0),
            (-2.0, 7.0),
            (0.0, 3.0),
            (0.0, 1e4),
            (1.0, 0.5),
        ] {
            let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
                (dy[0], dy[1]) = (a * y[0] - b * y[1], b * y[0] + a * y[1]);
            });
            let mut y = [1.0, 0.0];
            let options =
                SolveOptions { tolerance: Tolerance::new(1e-13, 1e-15), ..SolveOptions::fixed(1.0) };
            solve(&mut f, &[], &mut y, (0.0, 1.0), &mut *make(2), &options, &mut |_, _, _| {}).unwrap();
            let stages = s as u32;
            let (top, bottom) = (pade(stages - 1, stages, (a, b)), pade(stages, stages - 1, (-a, -b)));
            let size = bottom.0 * bottom.0 + bottom.1 * bottom.1;
            let r = times(top, (bottom.0 / size, -bottom.1 / size));
            assert!((y[0] - r.0).abs() < 1e-7 && (y[1] - r.1).abs() < 1e-7, "{s}, {a} {b}: {y:?} {r:?}");
            let growth = y[0].hypot(y[1]);
            assert!(a > 0.0 || growth <= 1.0 + 1e-12, "A-stable: {a} {b} {growth}");
            assert!(a > -1e9 || growth < 1e-7, "L-stable: {growth}");
        }
    }
}

/// At many digits, variable order takes a fraction of the steps and evaluations of order 5. E5 is determined to three digits: see there.
#[test]
fn many_digits_cost_less() {
    for mut case in small() {
        let d = case.y0.len();
        let (y5, five) = run(&mut case, &mut Radau5::new(1, d), 1e-12);
        let (y, variable) = run(&mut case, &mut Radau::new(1, d), 1e-12);
        let (e5, e) = (case.error(&y5), case.error(&y));
        println!(
            "{:16} order 5: {e5:.1e} in {} steps, {} evaluations; variable: {e:.1e} in {}, {}",
            case.name, five.accepted, five.work.evals, variable.accepted, variable.work.evals
        );
        // HIRES ends within a fast transition.
        let most = if case.name == "HIRES" { 1e-8 } else { 1e-10 };
        assert!(case.name == "E5" || e < most, "{}: {e:e}", case.name);
        assert!(3 * variable.accepted < five.accepted, "{}: {variable:?} {five:?}", case.name);
        assert!(5 * variable.work.evals < 4 * five.work.evals, "{}: {variable:?} {five:?}", case.name);
    }
}

/// Ten digits of a reference that was computed by another method, in another arithmetic.
#[test]
fn ring_modulator() {
    let mut case = stiff_corpus().into_iter().find(|case| case.name == "ring modulator").unwrap();
    let (y, stats) = run(&mut case, &mut Radau13::new(1, 15), 1e-12);
    let error = case.error(&y);
    println!("{error:.1e} in {} steps", stats.accepted);
    assert!(error < 1e-10, "{error:e}");
}

/// The error follows the tolerance, for each order and for their choice.
#[test]
fn tolerance_proportionality() {
    for mut case in small() {
        let d = case.y0.len();
        for rtol in [1e-4, 1e-6, 1e-8, 1e-10] {
            let steppers: [(&str, Box<dyn Stepper<f64>>); 3] = [
                ("variable", Box::new(Radau::new(1, d))),
                ("9", Box::new(Radau9::new(1, d))),
                ("13", Box::new(Radau13::new(1, d))),
            ];
            for (name, mut stepper) in steppers {
                let (y, stats) = run(&mut case, &mut *stepper, rtol);
                let e = case.error(&y);
                println!("{:16} {name:8} {rtol:5.0e}: {e:.1e} in {} steps", case.name, stats.accepted);
                let most = if case.name == "E5" { 1e-2_f64.max(1000.0 * rtol) } else { 1000.0 * rtol };
                assert!(e < most, "{} {name} rtol {rtol:e}: {e:e}", case.name);
            }
        }
    }
}

/// Accepted and rejected steps, evaluations, Jacobians, factorisations, failed Newton iterations at 1e-9. A change of any number is a
/// change of behaviour: look at it, then record it.
#[test]
fn costs() {
    #[rustfmt::skip]
    let expected = [
        ("Robertson", [112, 1, 3416, 96, 401, 0]), ("HIRES", [67, 7, 2243, 43, 210, 7]), ("OREGO", [207, 53, 12000, 184, 945, 48]),
        ("van der Pol 1e3", [184, 31, 6464, 128, 693, 26]), ("van der Pol 1e6", [317, 54, 11799, 223, 1195, 48]),
        ("E5", [222, 1, 4926, 179, 654, 0]), ("POLLU", [39, 0, 728, 24, 109, 0]),
    ];
    let mut costs = Vec::new();
    for mut case in small() {
        let mut radau = Radau::new(1, case.y0.len());
        let (_, s) = run(&mut case, &mut radau, 1e-9);
        let w = s.work;
        costs.push((
            case.name,
            [s.accepted, s.rejected, w.evals, w.jacobians, w.factorisations, w.newton_failures],
        ));
    }
    println!("{costs:?}");
    assert_eq!(costs.len(), expected.len());
    for ((name, got), (expected_name, expected)) in costs.into_iter().zip(expected) {
        assert_eq!(name, expected_name);
        // Another instruction set rounds otherwise, which may move a step.
        for (got, expected) in got.into_iter().zip(expected) {
            assert!(got.abs_diff(expected) <= 5 + expected / 20, "{name}: {got}, expected {expected}");
        }
    }
}

/// A smooth problem at a tight tolerance goes up to order 13; a loose one stays at 5.
#[test]
fn orders_rise_where_digits_are_asked_for() {
    for (rtol, order) in [(1e-3, 5), (1e-13, 13)] {
        let mut f = StiffField::new(VanDerPol { eps: 1e-1 });
        let (mut y, mut radau) = ([2.0, 0.0], Radau::new(1, 2));
        assert_eq!(radau.order(), 5);
        let options = SolveOptions::tolerance(rtol, rtol);
        let stats =
            solve_with_jacobian(&mut f, &[], &mut y, (0.0, 0.7), &mut radau, &options, &mut |_, _, _| {});
        assert_eq!(radau.order(), order, "{stats:?}");
    }
}

/// What is saved by dense output is what steps that end there give: the collocation polynomial of each order.
#[test]
fn saved_states() {
    let at = [1e-3, 0.7, 1.3, 40.0, 321.0];
    let mut radau = Radau::new(1, 8);
    let saved = [false, true].map(|land_on_saves| {
        let mut case = small().find(|case| case.name == "HIRES").unwrap();
        let options = SolveOptions { save_at: &at, land_on_saves, ..SolveOptions::tolerance(1e-9, 1e-13) };
        let (mut y, mut saved) = (case.y0.clone(), Vec::new());
        let f = &mut *case.field;
        solve_with_jacobian(f, &[], &mut y, case.span, &mut radau, &options, &mut |_, t, y| {
            saved.push((t, y.to_vec()));
        })
        .unwrap();
        saved
    });
    for ((t, a), (s, b)) in saved[0].iter().zip(&saved[1]) {
        assert_eq!(t, s);
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() < 1e-6 * (b.abs() + 1e-4), "at {t}: {a} {b}");
        }
    }
}

/// Robertson's reactions with the conserved sum as an equation; two trajectories; single precision; backward in time.
#[test]
fn as_general_as_order_5() {
    let mut conserved = field(3, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        let (slow, fast, back) = (0.04 * y[0], 3e7 * y[1] * y[1], 1e4 * y[1] * y[2]);
        (dy[0], dy[1], dy[2]) = (back - slow, slow - back - fast, y[0] + y[1] + y[2] - 1.0);
    });
    let case = small().find(|case| case.name == "Robertson").unwrap();
    let mut radau = Radau::new(2, 3).with_mass_diagonal(&[1.0, 1.0, 0.0]);
    let mut y = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let options = SolveOptions::tolerance(1e-9, 1e-18);
    solve(&mut conserved, &[], &mut y, case.span, &mut radau, &options, &mut |_, _, _| {}).unwrap();
    assert!(case.error(&y[..3]) < 1e-6, "{:e}", case.error(&y[..3]));
    assert_eq!(y[..3], y[3..], "equal trajectories");

    let mut f = StiffField::new(VanDerPol { eps: 1e-4 });
    let mut single = [2.0_f32, 0.0];
    let options = SolveOptions::tolerance(1e-4, 1e-4);
    let mut radau = Radau13::<f32>::new(1, 2);
    solve_with_jacobian(&mut f, &[], &mut single, (0.0, 0.5), &mut radau, &options, &mut |_, _, _| {})
        .unwrap();
    assert!((single[0] - 1.596_768).abs() < 1e-3, "{single:?}"); // as in stiff.rs

    let rational = |t: f64| 1.0 / (1.7 + t * t);
    let (mut y, mut f) = ([rational(2.0)], SmoothField(Rational));
    let options = SolveOptions::tolerance(1e-12, 1e-14);
    let mut radau = Radau::new(1, 1);
    solve_with_jacobian(&mut f, &[1.0], &mut y, (2.0, 0.1), &mut radau, &options, &mut |_, _, _| {}).unwrap();
    assert!((y[0] - rational(0.1)).abs() < 1e-11, "{}", y[0] - rational(0.1));
}

/// Sparse systems with three complex shifts; nothing is allocated after the first Jacobian.
#[test]
fn sparse_systems_and_no_allocation() {
    let mut square = BrusselatorSquare::new(8);
    let y0 = square.start();
    let mut ends = Vec::new();
    let [mut radau, mut five] = [Radau13::new(1, 128), Radau13::new(1, 128)];
    let mut variable = Radau::new(1, 128);
    for (f, stepper) in [
        (&mut Rhs::Jacobian(&mut square.clone()), &mut radau as &mut dyn Stepper<f64>),
        (&mut Rhs::Field(&mut square.clone()), &mut five),
        (&mut Rhs::Jacobian(&mut square), &mut variable),
    ] {
        for again in [false, true] {
            let mut y = y0.clone();
            let options = SolveOptions::tolerance(1e-10, 1e-10);
            let (count, stats) = allocations_in(|| {
                let steps = &mut EveryStep(|_, _: &[f64]| {});
                solve_observed(f, &[], &mut y, (0.0, 1.0), stepper, &options, steps).unwrap()
            });
            assert!(stats.accepted > 5 && (!again || count == 0), "{count} allocations, {stats:?}");
            if again {
                ends.push(y);
            }
        }
    }
    for end in &ends[1..] {
        let worst = end.iter().zip(&ends[0]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-8, "{worst:e}");
    }
    // Small systems allocate nothing at all.
    let mut case = small().next().unwrap();
    let (mut y, mut radau) = (case.y0.clone(), Radau::new(1, 3));
    let options = SolveOptions::tolerance(1e-9, 1e-9 * case.floor);
    let (count, _) = allocations_in(|| {
        solve_with_jacobian(&mut *case.field, &[], &mut y, case.span, &mut radau, &options, &mut |_, _, _| {})
    });
    assert_eq!(count, 0);
}

/// Errors as typed as those of order 5.
#[test]
fn steps_without_a_solution() {
    let mut f = field(2, |t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        (dy[0], dy[1]) = (-y[0], y[1] * y[1] + if t > 0.0 { 1.0 } else { -0.3 * 0.3 });
    });
    for options in [SolveOptions::default(), SolveOptions::fixed(0.1)] {
        let mut radau = Radau13::new(1, 2).with_mass_diagonal(&[1.0, 0.0]);
        let f: &mut dyn VectorField<f64> = &mut f;
        let result = solve(f, &[], &mut [1.0, 0.3], (0.0, 1.0), &mut radau, &options, &mut |_, _, _| {});
        assert!(
            matches!(result, Err(SolveError::Unsolved { failure: StepFailure::NewtonDiverged { .. }, .. })),
            "{result:?}"
        );
    }
}
