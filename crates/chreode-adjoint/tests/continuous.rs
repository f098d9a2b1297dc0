//! Continuous adjoints against the discrete gradient of a tight run, as the tolerance falls, and where backsolve fails.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod frozen;

use chreode_adjoint::{AdjointError, ContinuousAdjoint, ContinuousMethod, ForwardSensitivities, OdeAdjoint};
use chreode_core::{FieldError, Real, VectorField, Vjp};
use chreode_solve::{
    Bdf, DOP853, Erk, Radau5, Rhs, SolveError, SolveOptions, Stepper, TSIT5, VERN7, solve_with_jacobian,
};
use chreode_testkit::{LotkaVolterra, Smooth, SmoothField, central_difference_by, compare, corpus, nonstiff};
use frozen::VanDerPol;
use proptest::prelude::*;

use ContinuousMethod::{Backsolve, Gauss, Interpolating};

type Maker = fn(usize, usize) -> Box<dyn Stepper<f64>>;
const TSIT5_BY: Maker = |n, d| Box::new(Erk::new(&TSIT5, n, d));
const DOP853_BY: Maker = |n, d| Box::new(Erk::new(&DOP853, n, d));
const RADAU5_BY: Maker = |n, d| Box::new(Radau5::new(n, d));
const VERN7_BY: Maker = |n, d| Box::new(Erk::new(&VERN7, n, d));
const BDF_BY: Maker = |n, d| Box::new(Bdf::new(n, d));

/// Where backsolve may be used. Lorenz contracts volumes by `e^{-13.7}` in a unit of time, which backward expands.
fn may(method: ContinuousMethod, name: &str) -> bool {
    method != Backsolve || name != "Lorenz"
}

/// `sin` of each coordinate, by weights that differ.
fn bars(states: &[Vec<f64>]) -> Vec<Vec<f64>> {
    states.iter().map(|s| s.iter().zip(1..).map(|(y, i)| f64::from(i) * y.cos()).collect()).collect()
}

fn times(span: (f64, f64)) -> [f64; 4] {
    [0.0, 0.31, 0.62, 1.0].map(|x| if x == 1.0 { span.1 } else { span.0 + x * (span.1 - span.0) })
}

/// Gradient in the start state, then in the parameters.
fn continuous(
    f: &mut dyn Vjp<f64>,
    method: ContinuousMethod,
    (ahead, back): (Maker, Maker),
    (y0, p, n): (&[f64], &[f64], usize),
    span: (f64, f64),
    options: &SolveOptions<'_>,
) -> Result<Vec<f64>, AdjointError> {
    let d = y0.len() / n;
    let mut adjoint = ContinuousAdjoint::new(method, n, d, p.len());
    let (mut y, mut states, at) = (y0.to_vec(), Vec::new(), times(span));
    let saving = SolveOptions { save_at: &at, ..*options };
    let mut stepper = ahead(n, d);
    adjoint.forward(&mut Rhs::Field(f), p, &mut y, span, &mut *stepper, &saving, &mut |_, _, y| {
        states.push(y.to_vec());
    })?;
    let bars = bars(&states);
    let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![f64::NAN; y0.len()], vec![0.0; p.len()]);
    let mut stepper = if method == Gauss { back(n, d) } else { back(1, adjoint.backward_len()) };
    adjoint.backward(f, p, &mut *stepper, options, &bars, &mut y0_bar, &mut p_bar)?;
    Ok([y0_bar, p_bar].concat())
}

/// The gradient of a tight run, exact for its steps.
fn reference(f: &mut dyn Vjp<f64>, y0: &[f64], p: &[f64], n: usize, span: (f64, f64)) -> Vec<f64> {
    let mut adjoint = OdeAdjoint::new(&VERN7, n, y0.len() / n);
    let (mut y, mut states, at) = (y0.to_vec(), Vec::new(), times(span));
    let options = SolveOptions { save_at: &at, ..SolveOptions::tolerance(1e-13, 1e-13) };
    adjoint.forward(f, p, &mut y, span, &options, &mut |_, _, y| states.push(y.to_vec())).unwrap();
    let bars = bars(&states);
    let bars: Vec<&[f64]> = bars.iter().map(Vec::as_slice).collect();
    let (mut y0_bar, mut p_bar) = (vec![0.0; y0.len()], vec![0.0; p.len()]);
    adjoint.backward(f, p, &bars, &mut y0_bar, &mut p_bar).unwrap();
    [y0_bar, p_bar].concat()
}

fn error(a: &[f64], b: &[f64]) -> f64 {
    let scale = b.iter().fold(1e-3, |s: f64, v| s.max(v.abs()));
    a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale).fold(0.0, f64::max)
}

/// Over three decades of the tolerance the error stays below a constant times it.
#[test]
fn error_falls_with_the_tolerance() {
    for method in [Interpolating, Gauss, Backsolve] {
        for (name, makers) in [
            ("Tsit5", (TSIT5_BY, TSIT5_BY)),
            ("Dop853", (DOP853_BY, DOP853_BY)),
            ("Radau5", (RADAU5_BY, RADAU5_BY)),
            ("Bdf back", (TSIT5_BY, BDF_BY)),
        ] {
            let orbits = nonstiff().into_iter().filter(|case| ["Arenstorf", "Pleiades"].contains(&case.name));
            let cases = corpus().into_iter().filter(|case| may(method, case.name)).chain(orbits);
            for mut case in cases {
                let span = (case.span.0, case.span.0 + 1.0);
                let exact = reference(&mut *case.field, &case.y0, &case.p, 1, span);
                let errors = [1e-5, 1e-6, 1e-7, 1e-8].map(|tolerance| {
                    let options = SolveOptions::tolerance(tolerance, tolerance);
                    let start = (&case.y0[..], &case.p[..], 1);
                    let g = continuous(&mut *case.field, method, makers, start, span, &options).unwrap();
                    error(&g, &exact) / tolerance
                });
                println!("{method:?} {name} {:15} error / tolerance: {errors:.2?}", case.name);
                // What docs/METHODS.md says.
                let most = match (case.name, name) {
                    ("Arenstorf", _) if method == Backsolve => 900.0,
                    ("Lorenz", _) => 200.0,
                    ("Arenstorf" | "Pleiades", _) => 20.0,
                    (_, "Tsit5" | "Dop853") => 4.0,
                    _ => 13.0,
                };
                assert!(errors.iter().all(|&e| e < most), "{method:?} {name} {}: {errors:?}", case.name);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    /// Many trajectories, either direction of time, any corpus problem.
    #[test]
    fn many_trajectories(by in prop::collection::vec(-0.2..0.2_f64, 9), backward: bool) {
        for mut case in corpus() {
            let d = case.y0.len();
            let y0: Vec<f64> = (0..3 * d).map(|i| case.y0[i % d] + by[i]).collect();
            let span = if backward { (0.15, 0.0) } else { (case.span.0, case.span.0 + 0.8) };
            let exact = reference(&mut *case.field, &y0, &case.p, 3, span);
            let name = case.name;
            for method in [Interpolating, Gauss, Backsolve].into_iter().filter(|&m| may(m, name)) {
                let options = SolveOptions::tolerance(1e-10, 1e-10);
                let start = (&y0[..], &case.p[..], 3);
                let g = continuous(&mut *case.field, method, (TSIT5_BY, TSIT5_BY), start, span, &options).unwrap();
                let error = error(&g, &exact);
                prop_assert!(error < 1e-7, "{:?} {}: {:e}", method, case.name, error);
            }
        }
    }
}

/// Gradients with respect to the times of observation and the start time, in either direction of time; the others are as without.
#[test]
fn times_of_observation() {
    let p = [1.5, 1.0, 0.75, 3.0];
    for method in [Interpolating, Gauss, Backsolve] {
        for x in [[0.0, 0.7, 1.9, 3.0], [3.0, 2.0, 1.5, 0.4]] {
            let options = SolveOptions::tolerance(1e-11, 1e-11);
            let run = |x: &[f64]| {
                let (mut f, mut y, mut value, mut bars) =
                    (SmoothField(LotkaVolterra), [1.0, 0.5], 0.0, Vec::new());
                let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
                let saving = SolveOptions { save_at: &x[1..], ..options };
                let save = &mut |i: usize, _: f64, y: &[f64]| {
                    let at = (1.0 + i as f64) * y[0] + y[1];
                    value += at.sin();
                    bars.push([(1.0 + i as f64) * at.cos(), at.cos()]);
                };
                let erk = &mut Erk::new(&VERN7, 1, 2);
                let rhs = &mut Rhs::Field(&mut f);
                adjoint.forward(rhs, &p, &mut y, (x[0], x[3]), erk, &saving, save).unwrap();
                let bars: Vec<&[f64]> = bars.iter().map(|b| &b[..]).collect();
                let mut back = Erk::new(&VERN7, 1, adjoint.backward_len());
                let (mut y0_bar, mut p_bar, mut time_bar) = ([0.0; 2], [0.0; 4], [f64::NAN; 3]);
                adjoint.backward(&mut f, &p, &mut back, &options, &bars, &mut y0_bar, &mut p_bar).unwrap();
                let without = (y0_bar, std::mem::replace(&mut p_bar, [0.0; 4]));
                let mut with = |time_bar: &mut [f64]| {
                    let (y0_bar, p_bar) = (&mut y0_bar, &mut p_bar);
                    adjoint
                        .backward_with_times(&mut f, &p, &mut back, &options, &bars, y0_bar, p_bar, time_bar)
                };
                let start = with(&mut time_bar).unwrap();
                let short = with(&mut [0.0; 2]);
                assert!(matches!(short, Err(AdjointError::ShapeMismatch { expected: 3, got: 2, .. })));
                assert_eq!((y0_bar, p_bar), without);
                (value, [&[start][..], &time_bar[..]].concat())
            };
            let difference = central_difference_by(&x, 1e-3, |x| run(x).0);
            compare("times", &run(&x).1, &difference, 1e-6).unwrap_or_else(|e| panic!("{method:?}: {e}"));
        }
    }
}

/// `y' = -p[0] (y - cos t)`: dissipative, and stiff for large `p[0]`.
struct Relaxation;
impl Smooth for Relaxation {
    const DIM: usize = 1;
    const N_PARAMS: usize = 1;
    fn f<T: Real>(t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        dy[0] = -p[0] * (y[0] - T::c(t.cos()));
    }
    fn df_dy<T: Real>(_t: f64, _y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][0] = -p[0];
    }
    fn df_dp<T: Real>(t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][0] = T::c(t.cos()) - y[0];
    }
}

/// What the documentation of backsolve says: where the flow forgets, it is wrong at any tolerance.
#[test]
fn backsolve_fails_where_the_flow_forgets() {
    let span = (0.0, 1.0);
    let (mut came_back, mut stuck) = (0, 0);
    for (rate, back) in [(60.0, TSIT5_BY), (200.0, TSIT5_BY), (200.0, RADAU5_BY)] {
        let p = [rate];
        let exact = reference(&mut SmoothField(Relaxation), &[2.0], &p, 1, span);
        for tolerance in [1e-6, 1e-9, 1e-12] {
            let options = SolveOptions::tolerance(tolerance, tolerance);
            let run = |method| {
                let f = &mut SmoothField(Relaxation);
                continuous(f, method, (TSIT5_BY, back), (&[2.0], &p, 1), span, &options)
            };
            for method in [Interpolating, Gauss] {
                let g = run(method).unwrap();
                assert!(error(&g, &exact) < 1e-3, "{method:?} {tolerance:e}: {g:?} {exact:?}");
            }
            match run(Backsolve) {
                Ok(g) => {
                    println!("backsolve at {tolerance:e}: {g:?}, exact {exact:?}");
                    assert!(error(&g, &exact) > 1.0, "{tolerance:e}: {g:?} {exact:?}");
                    came_back += 1;
                }
                Err(AdjointError::Solve(SolveError::StepSizeTooSmall { t, .. })) => {
                    println!("backsolve at {tolerance:e}: no way back from {t}");
                    stuck += 1;
                }
                Err(e) => panic!("{tolerance:e}: {e}"),
            }
        }
    }
    // Radau's state runs away so fast that it finds no step.
    assert_eq!((came_back, stuck), (6, 3));
}

/// Lorenz's equations over half a unit, one and a half, and three: backward, errors grow by e^13.7 a unit.
#[test]
fn backsolve_fails_on_lorenz() {
    let mut case = corpus().into_iter().find(|case| case.name == "Lorenz").unwrap();
    let errors = [0.5, 1.5, 3.0].map(|long| {
        let span = (0.0, long);
        let exact = reference(&mut *case.field, &case.y0, &case.p, 1, span);
        let options = SolveOptions::tolerance(1e-9, 1e-9);
        [Gauss, Backsolve].map(|method| {
            let start = (&case.y0[..], &case.p[..], 1);
            let run = continuous(&mut *case.field, method, (VERN7_BY, VERN7_BY), start, span, &options);
            run.map_or(f64::INFINITY, |g| error(&g, &exact))
        })
    });
    println!("Gauss, backsolve: {errors:?}");
    let [_, after] = errors[0];
    assert!(after < 1.6e-9, "{after:e}");
    assert!(errors[1][1] > 1e-5 && errors[2][1] > 1.0, "{errors:?}");
    assert!(errors.iter().all(|[gauss, _]| *gauss < 8e-9), "{errors:?}");
}

/// Stiff methods in both directions, against forward sensitivities.
#[test]
fn stiff() {
    let (y0, p, span) = ([2.0, -0.66], [1e4], (0.0, 0.5));
    let mut f = ForwardSensitivities::new(SmoothField(VanDerPol), &[0, 1], &[0]).unwrap();
    let mut z = [0.0; 8];
    f.start(&y0, &mut z).unwrap();
    let (at, mut exact) = (times(span), vec![0.0; 3]);
    let options = SolveOptions { save_at: &at, ..SolveOptions::tolerance(1e-12, 1e-12) };
    let mut shown = Vec::new();
    solve_with_jacobian(&mut f, &p, &mut z, span, &mut Radau5::new(1, 8), &options, &mut |_, _, z| {
        shown.push(z.to_vec());
    })
    .unwrap();
    for z in &shown {
        f.pull(z, &bars(&[z[..2].to_vec()])[0], &mut exact).unwrap();
    }
    for (name, makers, most) in [("Radau5", (RADAU5_BY, RADAU5_BY), 130.0), ("Bdf", (BDF_BY, BDF_BY), 20.0)] {
        for method in [Interpolating, Gauss] {
            let errors = [1e-5, 1e-6, 1e-7, 1e-8].map(|tolerance| {
                let options = SolveOptions::tolerance(tolerance, tolerance);
                let f = &mut SmoothField(VanDerPol);
                error(&continuous(f, method, makers, (&y0, &p, 1), span, &options).unwrap(), &exact)
                    / tolerance
            });
            println!("{method:?} {name}: {errors:.1?}");
            assert!(errors.iter().all(|&e| e < most), "{method:?} {name}: {errors:?}");
        }
    }
}

/// `y' = p[0] y` up to t = 0.8, `p[1] y` from then on.
struct Jump;
impl VectorField<f64> for Jump {
    fn dim(&self) -> usize {
        1
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy[0] = p[usize::from(t >= 0.8)] * y[0];
        Ok(())
    }
}
impl Vjp<f64> for Jump {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        let side = usize::from(t >= 0.8);
        y_bar[0] = p[side] * lambda[0];
        p_bar[side] += y[0] * lambda[0];
        Ok(())
    }
}

#[test]
fn discontinuities() {
    for method in [Interpolating, Gauss, Backsolve] {
        for saves in [&[2.0][..], &[0.8, 2.0]] {
            let (mut f, p, mut y) = (Jump, [0.7, -0.4], [1.5]);
            let options = SolveOptions::tolerance(1e-11, 1e-11);
            let forward = SolveOptions { save_at: saves, discontinuities: &[0.8], ..options };
            let mut adjoint = ContinuousAdjoint::new(method, 1, 1, 2);
            let (erk, nothing) = (&mut Erk::new(&VERN7, 1, 1), &mut |_: usize, _: f64, _: &[f64]| {});
            adjoint.forward(&mut Rhs::Field(&mut f), &p, &mut y, (0.0, 2.0), erk, &forward, nothing).unwrap();
            let (mut y0_bar, mut p_bar) = ([0.0], [0.0; 2]);
            let mut back = Erk::new(&VERN7, 1, adjoint.backward_len());
            let bars: [&[f64]; 2] = [&[0.0], &[1.0]];
            let bars = &bars[2 - saves.len()..];
            adjoint.backward(&mut f, &p, &mut back, &options, bars, &mut y0_bar, &mut p_bar).unwrap();
            let end = 1.5 * (p[0] * 0.8 + p[1] * 1.2).exp();
            let exact = [end / 1.5, 0.8 * end, 1.2 * end];
            let e = error(&[y0_bar[0], p_bar[0], p_bar[1]], &exact);
            assert!(e < 1e-9, "{method:?} {saves:?}: {e:e}");
        }
    }
}

#[test]
fn errors() {
    let (p, options) = ([1.5, 1.0, 0.75, 3.0], SolveOptions::default());
    for method in [Interpolating, Gauss, Backsolve] {
        let mut f = SmoothField(LotkaVolterra);
        let mut adjoint = ContinuousAdjoint::<f64>::new(method, 1, 2, 4);
        let mut back = Erk::new(&TSIT5, 1, adjoint.backward_len());
        let (mut y0_bar, mut p_bar) = ([9.0; 2], [0.0; 4]);
        let none = adjoint.backward(&mut f, &p, &mut back, &options, &[], &mut y0_bar, &mut p_bar);
        assert_eq!(none, Err(AdjointError::NoForwardPass));
        let (erk, nothing) = (&mut Erk::new(&TSIT5, 1, 2), &mut |_: usize, _: f64, _: &[f64]| {});
        let saving = SolveOptions { save_at: &[1.0], ..options };
        let rhs = &mut Rhs::Field(&mut f);
        let mut forward = |p: &[f64], t0: f64| {
            adjoint.forward(rhs, p, &mut [1.0, 0.5], (t0, 1.0), erk, &saving, nothing).map(|_| ())
        };
        let short = forward(&p[..3], 0.0);
        assert!(matches!(short, Err(AdjointError::ShapeMismatch { expected: 4, got: 3, .. })));
        let empty = forward(&p, 1.0);
        assert!(matches!(empty, Err(AdjointError::Solve(SolveError::InvalidOption { got: 1.0, .. }))));
        forward(&p, 0.0).unwrap();
        let mut backward = |bar: &[f64]| {
            adjoint
                .backward(&mut f, &p, &mut back, &options, &[bar], &mut y0_bar, &mut p_bar)
                .map(|()| (y0_bar, p_bar))
        };
        let right = backward(&[3.0, 4.0]).unwrap();
        let wrong = backward(&[3.0]);
        assert!(matches!(wrong, Err(AdjointError::ShapeMismatch { expected: 2, got: 1, .. })));
        let infinite = backward(&[3.0, f64::INFINITY]);
        assert!(matches!(infinite, Err(AdjointError::NonFinite { t: 1.0, trajectory: 0, coordinate: 1 })));
        let short = adjoint.backward(
            &mut f,
            &p[..3],
            &mut back,
            &options,
            &[&[3.0, 4.0]],
            &mut y0_bar,
            &mut [0.0; 3],
        );
        assert!(matches!(short, Err(AdjointError::ShapeMismatch { expected: 4, got: 3, .. })));
        // What is wrong leaves the gradient alone.
        assert_eq!((y0_bar, p_bar), right);
        assert!(y0_bar != [9.0; 2] && p_bar != [0.0; 4]);
    }
}

/// Trajectories that stay where they are, some of which have a derivative that is none: by the second coordinate from 2 on, by the
/// second parameter from 3 on.
struct Faulty;
impl VectorField<f64> for Faulty {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, _t: f64, _y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy.fill(0.0);
        Ok(())
    }
}
impl Vjp<f64> for Faulty {
    fn vjp(
        &mut self,
        _t: f64,
        y: &[f64],
        _p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        for (y, (y_bar, lambda)) in y.chunks(2).zip(y_bar.chunks_mut(2).zip(lambda.chunks(2))) {
            y_bar.copy_from_slice(lambda);
            if y[0] == 2.0 {
                y_bar[1] = f64::NAN;
            }
            if y[0] == 3.0 {
                p_bar[1] = f64::NAN;
            }
        }
        Ok(())
    }
}

/// What stops to be finite on the way back is named as the trajectories went forward, not as the backward system counts.
#[test]
fn the_trajectory_is_named() {
    for method in [Interpolating, Gauss, Backsolve] {
        for (starts, told) in [([1.0, 1.0, 2.0, 1.0], "trajectory 2"), ([1.0, 3.0, 1.0, 1.0], "parameter 1")]
        {
            let mut adjoint = ContinuousAdjoint::new(method, 4, 2, 2);
            let mut y: Vec<f64> = starts.iter().flat_map(|&y| [y, 1.0]).collect();
            let options = SolveOptions::tolerance(1e-6, 1e-6);
            let saving = SolveOptions { save_at: &[1.0], ..options };
            let (rhs, erk) = (&mut Rhs::Field(&mut Faulty), &mut Erk::new(&TSIT5, 4, 2));
            adjoint.forward(rhs, &[0.0; 2], &mut y, (0.0, 1.0), erk, &saving, &mut |_, _, _| {}).unwrap();
            let (n, d) = if method == Gauss { (4, 2) } else { (1, adjoint.backward_len()) };
            let (mut y0_bar, mut p_bar) = ([0.0; 8], [0.0; 2]);
            let back = &mut Erk::new(&TSIT5, n, d);
            let run = adjoint.backward(
                &mut Faulty,
                &[0.0; 2],
                back,
                &options,
                &[&[1.0; 8]],
                &mut y0_bar,
                &mut p_bar,
            );
            match run {
                Err(AdjointError::NonFinite { trajectory: 2, coordinate: 1, .. }) => {
                    assert_eq!(told, "trajectory 2");
                }
                Err(AdjointError::NonFiniteGradient { parameter: 1, first: 0, last: 3, .. }) => {
                    assert_eq!(told, "parameter 1");
                }
                other => panic!("{method:?}, {told}: {other:?}"),
            }
        }
    }
}

/// A mass matrix changes the jumps of the adjoint state: it is refused, forward and backward, and not left out.
#[test]
fn mass_matrices_are_refused() {
    let (p, options) =
        ([1.5, 1.0, 0.75, 3.0], SolveOptions { save_at: &[1.0], ..SolveOptions::tolerance(1e-6, 1e-6) });
    let with_mass = |d: usize| Radau5::new(1, d).with_mass_diagonal(&vec![2.0; d]);
    for method in [Interpolating, Gauss, Backsolve] {
        let mut adjoint = ContinuousAdjoint::new(method, 1, 2, 4);
        let mut f = SmoothField(LotkaVolterra);
        let mut run = |stepper: &mut dyn Stepper<f64>, adjoint: &mut ContinuousAdjoint<f64>| {
            let (rhs, mut y) = (&mut Rhs::Field(&mut f), [1.0, 0.5]);
            adjoint.forward(rhs, &p, &mut y, (0.0, 1.0), stepper, &options, &mut |_, _, _| {})
        };
        let refused = run(&mut with_mass(2), &mut adjoint);
        assert!(matches!(refused, Err(AdjointError::MassMatrix { what: "forward method" })), "{refused:?}");
        run(&mut Erk::new(&TSIT5, 1, 2), &mut adjoint).unwrap();
        let mut backward = with_mass(adjoint.backward_len());
        let (mut y0_bar, mut p_bar) = ([0.0; 2], [0.0; 4]);
        let refused =
            adjoint.backward(&mut f, &p, &mut backward, &options, &[&[1.0, 0.0]], &mut y0_bar, &mut p_bar);
        assert!(matches!(refused, Err(AdjointError::MassMatrix { what: "backward method" })), "{refused:?}");
    }
}
