//! What implicit methods refuse to start from: sizes that do not fit, algebraic equations that do not hold.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::Sparsity;
use chreode_solve::{
    Bdf, Esdirk, KENCARP4, RODAS5P, Radau, Radau5, Radau13, Rhs, Rosenbrock, SolveError, SolveOptions, Stats,
    Stepper, Tolerance, field, solve,
};

fn run(
    stepper: &mut dyn Stepper<f64>,
    y: &mut [f64],
    f: impl Fn(&[f64], &mut [f64]),
) -> Result<Stats, SolveError> {
    let mut f = field(stepper.dim(), move |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| f(y, dy));
    solve(&mut f, &[], y, (0.0, 1.0), stepper, &SolveOptions::tolerance(1e-6, 1e-8), &mut |_, _, _| {})
}

#[test]
fn wrong_sizes() {
    macro_rules! check {
        ($($new:expr),*) => {$(
            let (two, three) = (Sparsity::banded(2, 1, 1), Sparsity::banded(3, 1, 1));
            let wrong: [(Box<dyn Stepper<f64>>, usize, usize); 4] = [
                (Box::new($new.with_mass(&[1.0, 0.0, 0.0])), 4, 3),
                (Box::new($new.with_mass_diagonal(&[1.0, 2.0, 3.0])), 2, 3),
                (Box::new($new.with_sparsity(&three)), 2, 3),
                // The first is told.
                (Box::new($new.with_sparsity(&two).with_mass(&[1.0]).with_sparsity(&three)), 4, 1),
            ];
            for (mut stepper, expected, got) in wrong {
                let e = run(&mut *stepper, &mut [1.0, 2.0], |y, dy| dy.copy_from_slice(y)).unwrap_err();
                assert!(matches!(e, SolveError::ShapeMismatch { expected: x, got: g, .. } if (x, g) == (expected, got)), "{e}");
            }
        )*};
    }
    check!(
        Radau5::new(1, 2),
        Radau::new(1, 2),
        Radau13::new(1, 2),
        Bdf::new(1, 2),
        Rosenbrock::new(&RODAS5P, 1, 2),
        Esdirk::new(&KENCARP4, 1, 2)
    );
    for order in [0, 6, 9] {
        let e =
            run(&mut Bdf::new(1, 1).with_max_order(order), &mut [1.0], |y, dy| dy[0] = -y[0]).unwrap_err();
        assert!(matches!(e, SolveError::InvalidOption { got, .. } if got == order as f64), "{e}");
    }
}

fn steppers(mass: &[f64]) -> [Box<dyn Stepper<f64>>; 4] {
    [
        Box::new(Radau5::new(2, 2).with_mass(mass)),
        Box::new(Bdf::new(2, 2).with_mass(mass)),
        Box::new(Rosenbrock::new(&RODAS5P, 2, 2).with_mass(mass)),
        Box::new(Esdirk::new(&KENCARP4, 2, 2).with_mass(mass)),
    ]
}

/// `y0' = -y0`, `0 = y1 - y0²`.
fn square(y: &[f64], dy: &mut [f64]) {
    (dy[0], dy[1]) = (-y[0], 3.0 * (y[0] * y[0] - y[1]));
}

#[test]
fn inconsistent_starts() {
    for mut stepper in steppers(&[1.0, 0.0, 0.0, 0.0]) {
        run(&mut *stepper, &mut [1.0, 1.0, 2.0, 4.0], square).unwrap();
        // Within the tolerance of 4e-6 + 1e-8 at the second coordinate.
        run(&mut *stepper, &mut [1.0, 1.0, 2.0, 4.0 + 3.9e-6], square).unwrap();
        let mut y = [1.0, 1.0, 2.0, 4.0 + 1e-5];
        match run(&mut *stepper, &mut y, square) {
            Err(SolveError::InconsistentStart {
                trajectory: 1,
                equation: 1,
                residual,
                coordinate: 1,
                change,
                ..
            }) => {
                assert!(
                    (residual + 3e-5).abs() < 1e-9 && (change + 1e-5).abs() < 1e-9,
                    "{residual} {change}"
                );
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(y, [1.0, 1.0, 2.0, 4.0 + 1e-5]);
    }
}

/// The same in other unknowns and equations, so that no row of the mass matrix is null: `y0 = u + v`, `y1 = u - v`, and the
/// sum and the difference of both equations.
#[test]
fn singular_masses_without_null_rows() {
    let mixed = |u: &[f64], du: &mut [f64]| {
        let mut dy = [0.0; 2];
        square(&[u[0] + u[1], u[0] - u[1]], &mut dy);
        (du[0], du[1]) = (dy[0] + dy[1], dy[0] - dy[1]);
    };
    for mut stepper in steppers(&[1.0; 4]) {
        run(&mut *stepper, &mut [1.0, 0.0, 3.0, -1.0], mixed).unwrap();
        let e = run(&mut *stepper, &mut [1.0, 0.0, 3.0, -1.001], mixed).unwrap_err();
        assert!(matches!(e, SolveError::InconsistentStart { trajectory: 1, .. }), "{e}");
    }
    // A regular one has no algebraic equations.
    for mut stepper in steppers(&[2.0, 1.0, 0.0, 1.0]) {
        run(&mut *stepper, &mut [1.0, 7.0, 3.0, -9.0], mixed).unwrap();
    }
}

#[test]
fn consistent_starts_are_found() {
    let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
        for (y, dy) in y.chunks_exact(2).zip(dy.chunks_exact_mut(2)) {
            square(y, dy);
            dy[1] = y[1].exp() - y[0]; // y1 = ln y0
        }
    });
    let tol = Tolerance::new(1e-10, 1e-12);
    let mut y = [2.0, 0.0, 0.3, 1.0];
    let mut radau = Radau5::new(2, 2).with_mass_diagonal(&[1.0, 0.0]);
    let iterations = radau.consistent_start(&mut Rhs::Field(&mut f), 0.0, &mut y, &[], tol).unwrap();
    assert!((3..12).contains(&iterations), "{iterations}");
    assert!((y[0], y[2]) == (2.0, 0.3), "{y:?}");
    assert!((y[1] - 2_f64.ln()).abs() < 1e-12 && (y[3] - 0.3_f64.ln()).abs() < 1e-12, "{y:?}");
    let options = SolveOptions::tolerance(1e-10, 1e-12);
    solve(&mut f, &[], &mut y, (0.0, 1.0), &mut radau, &options, &mut |_, _, _| {}).unwrap();
    // Nothing to find, and nowhere to find it.
    let mut plain = Radau5::new(2, 2);
    assert_eq!(plain.consistent_start(&mut Rhs::Field(&mut f), 0.0, &mut y, &[], tol).unwrap(), 0);
    let mut none = field(1, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| dy[0] = y[0] * y[0] + 1.0);
    let mut bdf = Bdf::new(1, 1).with_mass_diagonal(&[0.0]);
    let e = bdf.consistent_start(&mut Rhs::Field(&mut none), 0.0, &mut [0.7], &[], tol).unwrap_err();
    assert!(matches!(e, SolveError::Unsolved { .. }), "{e}");
}
