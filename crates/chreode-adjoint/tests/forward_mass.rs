//! Forward sensitivities of a differential-algebraic equation: each block has the mass matrix of the state.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_adjoint::ForwardSensitivities;
use chreode_autodiff::Auto;
use chreode_core::{Dynamics, Number};
use chreode_solve::{
    Bdf, Esdirk, KENCARP4, RODAS5P, Radau5, Radau9, Rosenbrock, SolveOptions, Stepper, solve_with_jacobian,
};

/// Robertson's reaction, of which the third species follows from the sum, that a parameter gives; and the same with three rates.
#[derive(Clone, Copy)]
struct Robertson {
    algebraic: bool,
}

impl Dynamics for Robertson {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        4
    }
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let (a, b, c) = (p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] * y[1]);
        (dy[0], dy[1]) = (b - a, a - b - c);
        dy[2] = if self.algebraic { y[0] + y[1] + y[2] - p[3] } else { c };
    }
}

const P: [f64; 4] = [0.04, 1e4, 3e7, 1.0];
/// Of the state and four columns.
const LEN: usize = 15;
const DIM: usize = 3;

/// The state and its sensitivities at time 40. The start follows the sum: its third species moves with the fourth parameter.
fn end(algebraic: bool, tolerance: f64, method: &mut dyn Stepper<f64>) -> Vec<f64> {
    let mut f =
        ForwardSensitivities::new(Auto::<_>::new(Robertson { algebraic }), &[], &[0, 1, 2, 3]).unwrap();
    let mut z = vec![0.0; LEN];
    f.start(&[1.0, 0.0, 0.0], &mut z).unwrap();
    z[LEN - 1] = 1.0;
    let options = SolveOptions::tolerance(tolerance, 1e-6 * tolerance);
    solve_with_jacobian(&mut f, &P, &mut z, (0.0, 40.0), method, &options, &mut |_, _, _| {}).unwrap();
    z
}

/// Those of the three rate equations, whose sum is the first state's, by another method.
#[test]
fn are_those_of_the_rate_equations() {
    let want = end(false, 1e-11, &mut Radau9::new(1, LEN));
    let mass: Vec<f64> = (0..LEN).map(|i| if i % DIM == DIM - 1 { 0.0 } else { 1.0 }).collect();
    for (name, mut method) in [
        ("Radau5", Box::new(Radau5::new(1, LEN).with_mass_diagonal(&mass)) as Box<dyn Stepper<f64>>),
        ("Bdf", Box::new(Bdf::new(1, LEN).with_mass_diagonal(&mass))),
        ("Bdf, staggered", Box::new(Bdf::new(1, LEN).staggered().with_mass_diagonal(&mass))),
        ("Radau5, staggered", Box::new(Radau5::new(1, LEN).staggered().with_mass_diagonal(&mass))),
        ("Radau9, staggered", Box::new(Radau9::new(1, LEN).staggered().with_mass_diagonal(&mass))),
        ("KenCarp4", Box::new(Esdirk::new(&KENCARP4, 1, LEN).with_mass_diagonal(&mass))),
        (
            "KenCarp4, staggered",
            Box::new(Esdirk::new(&KENCARP4, 1, LEN).staggered().with_mass_diagonal(&mass)),
        ),
        ("Rodas5P", Box::new(Rosenbrock::new(&RODAS5P, 1, LEN).with_mass_diagonal(&mass))),
    ] {
        let got = end(true, 1e-8, method.as_mut());
        // In units of each column's largest.
        for (k, (got, want)) in got.chunks(DIM).zip(want.chunks(DIM)).enumerate() {
            let largest = want.iter().fold(0.0_f64, |m, w| m.max(w.abs()));
            let off = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max) / largest;
            println!("{name}, column {k}: {off:.1e}");
            assert!(off < 1e-7, "{name}, column {k}: {got:?} {want:?}");
        }
    }
}
