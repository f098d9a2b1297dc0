//! Trajectories whose errors count together run as one system of all their coordinates.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_solve::{
    Bdf, DOP853, Erk, Esdirk, KENCARP4, RODAS5P, Radau5, Rosenbrock, SolveOptions, Stats, Stepper, TSIT5,
    Tolerance, field, solve,
};

const N: usize = 12;
const SPAN: (f64, f64) = (0.0, 3.0);

/// A reaction of two partners.
fn reaction(y: &[f64], dy: &mut [f64]) {
    let flux = y[0] * y[1];
    (dy[0], dy[1]) = (y[0] - flux, flux - 2.0 * y[1]);
}

/// One start is far from rest, all others near it.
fn starts() -> Vec<f64> {
    let start = |i: usize| if i == 5 { [4.0, 3.0] } else { [2.0 + 1e-3 * i as f64, 1.0] };
    (0..N).flat_map(start).collect()
}

fn run(stepper: &mut dyn Stepper<f64>, tolerance: Tolerance<'_>) -> (Stats, Vec<f64>) {
    let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| reaction(y, dy));
    let (mut y, options) = (starts(), SolveOptions { tolerance, ..SolveOptions::default() });
    let stats = solve(&mut f, &[], &mut y, SPAN, stepper, &options, &mut |_, _, _| {}).unwrap();
    (stats, y)
}

#[test]
fn together_is_as_one_system() {
    for tableau in [&TSIT5, &DOP853] {
        let tolerance = Tolerance::new(1e-6, 1e-8);
        let (stats, y) = run(&mut Erk::new(tableau, N, 2), tolerance.together());
        let mut f = field(2 * N, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
            y.chunks_exact(2).zip(dy.chunks_exact_mut(2)).for_each(|(y, dy)| reaction(y, dy));
        });
        let (mut one, options) = (starts(), SolveOptions { tolerance, ..SolveOptions::default() });
        let mut erk = Erk::new(tableau, 1, 2 * N);
        let as_one = solve(&mut f, &[], &mut one, SPAN, &mut erk, &options, &mut |_, _, _| {}).unwrap();
        assert_eq!((stats.accepted, stats.rejected), (as_one.accepted, as_one.rejected), "{}", tableau.name);
        assert!(y.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-9), "{}", tableau.name);
    }
}

#[test]
fn fewer_steps_than_for_the_worst() {
    let tolerance = Tolerance::new(1e-7, 1e-9);
    let steppers: [(&str, Box<dyn Fn() -> Box<dyn Stepper<f64>>>); 6] = [
        ("Tsit5", Box::new(|| Box::new(Erk::new(&TSIT5, N, 2)))),
        ("DOP853", Box::new(|| Box::new(Erk::new(&DOP853, N, 2)))),
        ("Rodas5P", Box::new(|| Box::new(Rosenbrock::new(&RODAS5P, N, 2)))),
        ("KenCarp4", Box::new(|| Box::new(Esdirk::new(&KENCARP4, N, 2)))),
        ("Radau5", Box::new(|| Box::new(Radau5::new(N, 2)))),
        ("Bdf", Box::new(|| Box::new(Bdf::new(N, 2)))),
    ];
    for (name, stepper) in steppers {
        let worst = run(&mut *stepper(), tolerance).0.accepted;
        let together = run(&mut *stepper(), tolerance.together()).0.accepted;
        assert!(together < worst, "{name}: {together} steps together, {worst} for the worst");
    }
}
