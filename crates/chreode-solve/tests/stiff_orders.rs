//! One-step methods for stiff problems: their orders at the steps' ends and inside, for ordinary and differential-algebraic equations,
//! and their stability functions.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{Tolerance, field};
use chreode_solve::{
    Esdirk, KENCARP4, Observer, RODAS5P, Rhs, Rosenbrock, RosenbrockTableau, SolveOptions, StepRecord,
    Stepper, solve, solve_observed,
};
use chreode_testkit::{Rational, SmoothField, observed_order};

/// A method of a user: RODAS of order 4(3), six stages [HW96, section VI.4].
#[rustfmt::skip]
const RODAS4: RosenbrockTableau = RosenbrockTableau {
    name: "RODAS4", order: 4, embedded_order: 3,
    gamma: 0.25,
    a: &[
        &[],
        &[1.544],
        &[0.9466785280815826, 0.2557011698983284],
        &[3.314825187068521, 2.896124015972201, 0.9986419139977817],
        &[1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950],
        &[1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0],
    ],
    coupling: &[
        &[],
        &[-5.6688],
        &[-2.430093356833875, -0.2063599157091915],
        &[-0.1073529058151375, -9.594562251023355, -20.47028614809616],
        &[7.496443313967647, -10.24680431464352, -33.99990352819905, 11.70890893206160],
        &[8.083246795921522, -7.981132988064893, -31.52159432874371, 16.31930543123136, -6.058818238834054],
    ],
    m: &[1.221224509226641, 6.019134481288629, 12.53708332932087, -0.6878860361058950, 1.0, 1.0],
    m_err: &[0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
    c: &[0.0, 0.386, 0.21, 0.63, 1.0, 1.0],
    d: &[0.25, -0.1043, 0.1035, -0.03620000000000023, 0.0, 0.0],
    dense: &[
        &[10.12623508344586, -7.487995877610167, -34.80091861555747, -7.992771707568823, 1.025137723295662, 0.0],
        &[-0.6762803392801253, 6.087714651680015, 16.43084320892478, 24.76722511418386, -6.594389125716872, 0.0],
    ],
};
const _: () = assert!(RODAS4.is_consistent());

/// Methods of one trajectory, with their orders at the steps' ends and inside.
fn methods(d: usize) -> [(&'static str, Box<dyn Stepper<f64>>, f64, f64); 3] {
    [
        ("Rodas5P", Box::new(Rosenbrock::new(&RODAS5P, 1, d)), 5.0, 5.0),
        ("KenCarp4", Box::new(Esdirk::new(&KENCARP4, 1, d)), 4.0, 4.0),
        ("RODAS4", Box::new(Rosenbrock::new(&RODAS4, 1, d)), 4.0, 4.0),
    ]
}

fn with_mass(mass: &[f64]) -> [(&'static str, Box<dyn Stepper<f64>>, f64); 3] {
    [
        ("RODAS4", Box::new(Rosenbrock::new(&RODAS4, 1, 2).with_mass(mass)), 4.0),
        ("Rodas5P", Box::new(Rosenbrock::new(&RODAS5P, 1, 2).with_mass(mass)), 5.0),
        ("KenCarp4", Box::new(Esdirk::new(&KENCARP4, 1, 2).with_mass(mass)), 4.0),
    ]
}

/// Largest errors of the first coordinate at steps' ends and inside steps, and of the last one at the ends.
struct Errors<'a>(&'a dyn Fn(f64) -> f64, [f64; 3]);

impl Observer<f64> for Errors<'_> {
    fn step(&mut self, r: StepRecord<'_, f64>) {
        let exact = (self.0)(r.t_end);
        self.1[0] = self.1[0].max((r.y_end[0] - exact).abs());
        let last = r.y_end.last().unwrap();
        self.1[2] = self.1[2].max((last - exact * exact).abs());
    }
    fn save(&mut self, _i: usize, t: f64, y: &[f64]) {
        self.1[1] = self.1[1].max((y[0] - (self.0)(t)).abs());
    }
}

/// Orders seen with 20, 40, 80 and 160 fixed steps that solve their equations to rounding.
fn orders(f: &mut Rhs<'_, f64>, stepper: &mut dyn Stepper<f64>, y0: &[f64], span: (f64, f64)) -> [f64; 3] {
    let runs = [10, 20, 40, 80].map(|steps| {
        let h = (span.1 - span.0) / f64::from(steps);
        let inside: Vec<f64> = (0..steps).map(|i| span.0 + h * (f64::from(i) + 0.37)).collect();
        let options = SolveOptions {
            save_at: &inside,
            tolerance: Tolerance::new(1e-13, 1e-15),
            ..SolveOptions::fixed(h.abs())
        };
        let (mut y, mut errors) = (y0.to_vec(), Errors(&exact, [0.0; 3]));
        solve_observed(f, &[1.0], &mut y, span, stepper, &options, &mut errors).unwrap();
        println!("{steps} {:?}", errors.1);
        (-f64::from(steps).log2(), errors.1)
    });
    [0, 1, 2].map(|k| {
        let points: Vec<_> =
            runs.iter().map(|(n, e)| (*n, e[k].log2())).filter(|(_, e)| *e > -46.0).collect();
        observed_order(&points)
    })
}

fn exact(t: f64) -> f64 {
    1.0 / (1.7 + t * t)
}

/// On a non-linear, non-autonomous problem, forward and backward.
#[test]
fn orders_of_ordinary_equations() {
    for span in [(0.2, 1.9), (1.9, 0.2)] {
        for with_jacobian in [true, false] {
            for (name, mut stepper, at_ends, at_inner) in methods(1) {
                let mut f = SmoothField(Rational);
                let mut f = if with_jacobian { Rhs::Jacobian(&mut f) } else { Rhs::Field(&mut f) };
                let [ends, inside, _] = orders(&mut f, &mut *stepper, &[exact(span.0)], span);
                println!("{name} {span:?}: {ends:.2} at the steps' ends, {inside:.2} inside");
                assert!((ends - at_ends).abs() < 0.35, "{name}: {ends}");
                assert!((inside - at_inner).abs() < 0.35, "{name}: {inside}");
            }
        }
    }
}

/// `y' = -2 t z` and `0 = z - y²`: the rational problem as a differential-algebraic equation of index 1; both variables.
#[test]
fn orders_of_algebraic_equations() {
    let mut f = field(2, |t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        (dy[0], dy[1]) = (-2.0 * t * y[1], y[1] - y[0] * y[0]);
    });
    let y0 = exact(0.2);
    for (name, mut stepper, order) in with_mass(&[1.0, 0.0, 0.0, 0.0]) {
        let [ends, inside, algebraic] =
            orders(&mut Rhs::Field(&mut f), &mut *stepper, &[y0, y0 * y0], (0.2, 1.9));
        println!(
            "{name}: {ends:.2} at the steps' ends, {inside:.2} inside, {algebraic:.2} of the algebraic variable"
        );
        assert!((ends - order).abs() < 0.35, "{name}: {ends}");
        assert!((inside - order).abs() < 0.35, "{name}: {inside}");
        assert!(algebraic > order - 0.35, "{name}: {algebraic}");
    }
}

/// Complex numbers as pairs.
fn times(x: (f64, f64), y: (f64, f64)) -> (f64, f64) {
    (x.0 * y.0 - x.1 * y.1, x.0 * y.1 + x.1 * y.0)
}

fn over(x: (f64, f64), y: (f64, f64)) -> (f64, f64) {
    let size = y.0 * y.0 + y.1 * y.1;
    times(x, (y.0 / size, -y.1 / size))
}

/// One step of length 1 of `y' = λ y`, `λ = a + b i`, from 1.
fn growth(stepper: &mut dyn Stepper<f64>, a: f64, b: f64) -> (f64, f64) {
    let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        (dy[0], dy[1]) = (a * y[0] - b * y[1], b * y[0] + a * y[1]);
    });
    let mut y = [1.0, 0.0];
    let options = SolveOptions { tolerance: Tolerance::new(1e-13, 1e-15), ..SolveOptions::fixed(1.0) };
    solve(&mut f, &[], &mut y, (0.0, 1.0), stepper, &options, &mut |_, _, _| {}).unwrap();
    (y[0], y[1])
}

/// Along the imaginary axis nothing grows, infinite eigenvalues give zero, and steps have the growth that the tableau says: for both,
/// `y₁ = R(z)` follows from the stages, one after the other.
#[test]
fn stability_functions() {
    let add = |x: (f64, f64), y: (f64, f64), s: f64| (x.0 + s * y.0, x.1 + s * y.1);
    let rosenbrock = |m: &RosenbrockTableau, z: (f64, f64)| {
        let mut u: Vec<(f64, f64)> = Vec::new();
        for i in 0..m.stages() {
            let state = m.a[i].iter().zip(&u).fold((1.0, 0.0), |s, (&a, &u)| add(s, u, a));
            let right = m.coupling[i].iter().zip(&u).fold(times(z, state), |s, (&c, &u)| add(s, u, c));
            u.push(over(right, (1.0 / m.gamma - z.0, -z.1)));
        }
        m.m.iter().zip(&u).fold((1.0, 0.0), |s, (&m, &u)| add(s, u, m))
    };
    let esdirk = |z: (f64, f64)| {
        let m = &KENCARP4;
        let (mut k, mut state) = (vec![z], (1.0, 0.0));
        for i in 1..m.stages() {
            let before = m.a[i].iter().zip(&k).fold((1.0, 0.0), |s, (&a, &k)| add(s, k, a));
            state = over(before, (1.0 - m.gamma * z.0, -m.gamma * z.1));
            k.push(times(z, state));
        }
        state
    };
    let functions: [&dyn Fn((f64, f64)) -> (f64, f64); 3] =
        [&|z| rosenbrock(&RODAS5P, z), &esdirk, &|z| rosenbrock(&RODAS4, z)];
    for ((name, mut stepper, ..), r) in methods(2).into_iter().zip(functions) {
        for (a, b) in [(-0.3, 0.0), (-5.0, 0.0), (-1e3, 0.0), (-2.0, 7.0), (0.0, 3.0), (0.0, 1e3), (1.0, 0.5)]
        {
            let (got, expected) = (growth(&mut *stepper, a, b), r((a, b)));
            let distance = (got.0 - expected.0).hypot(got.1 - expected.1);
            // Jacobians by differences.
            assert!(distance < 1e-6, "{name} at {a} + {b} i: {got:?} {expected:?}");
        }
        for i in -400..600 {
            let size = r((0.0, 10.0_f64.powf(f64::from(i) / 100.0)));
            assert!(size.0.hypot(size.1) <= 1.0 + 1e-10, "{name}: not A-stable at {i}: {size:?}");
        }
        for z in [(-1e9, 0.0), (0.0, 1e9), (-1e8, 1e8)] {
            let size = r(z);
            assert!(size.0.hypot(size.1) < 1e-6, "{name}: not L-stable: {size:?}");
        }
        let z = (0.1, 0.2);
        let exact = (0.1_f64.exp() * 0.2_f64.cos(), 0.1_f64.exp() * 0.2_f64.sin());
        let distance = (r(z).0 - exact.0).hypot(r(z).1 - exact.1);
        assert!(distance < 1e-6 && distance > 1e-12, "{name}: {distance:e}");
    }
}
