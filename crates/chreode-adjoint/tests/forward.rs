//! Forward sensitivities against the discrete adjoint and against finite differences, by explicit and stiff methods.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_adjoint::{AdjointError, ForwardSensitivities, OdeAdjoint};
use chreode_autodiff::Auto;
use chreode_core::{Dynamics, FieldError, Jacobian, Jvp, Number, ParamJvp, Real, VectorField};
use chreode_solve::{
    BOSH3, Bdf, DOP853, Erk, Esdirk, KENCARP4, RODAS5P, Radau, Radau5, Radau9, Radau13, Rosenbrock,
    SolveError, SolveOptions, Stats, Stepper, TSIT5, VERN7, solve, solve_with_jacobian,
};
use chreode_testkit::{
    Differentiable, LotkaVolterra, Smooth, SmoothField, central_difference_by, compare, corpus,
};

/// Robertson's reaction with its three rates as parameters.
struct Robertson;
impl Smooth for Robertson {
    const DIM: usize = 3;
    const N_PARAMS: usize = 3;
    fn f<T: Real>(_t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        let (a, b, c) = (p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] * y[1]);
        dy.copy_from_slice(&[b - a, a - b - c, c]);
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        let c = T::c(2.0) * p[2] * y[1];
        j[0][..3].copy_from_slice(&[-p[0], p[1] * y[2], p[1] * y[1]]);
        j[1][..3].copy_from_slice(&[p[0], -p[1] * y[2] - c, -p[1] * y[1]]);
        j[2][..3].copy_from_slice(&[T::ZERO, c, T::ZERO]);
    }
    fn df_dp<T: Real>(_t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        let (b, c) = (y[1] * y[2], y[1] * y[1]);
        j[0][..3].copy_from_slice(&[-y[0], b, T::ZERO]);
        j[1][..3].copy_from_slice(&[y[0], -b, -c]);
        j[2][..3].copy_from_slice(&[T::ZERO, T::ZERO, c]);
    }
}

/// The same for any number.
struct Generic;
impl Dynamics for Generic {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        3
    }
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let (a, b, c) = (p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] * y[1]);
        (dy[0], dy[1], dy[2]) = (b - a, a - b - c, c);
    }
}

const RATES: [f64; 3] = [0.04, 1e4, 3e7];

/// `S` at the end for every start coordinate and parameter, `[m, d]`.
fn sensitivities(
    f: Box<dyn Differentiable<f64>>,
    y0: &[f64],
    p: &[f64],
    span: (f64, f64),
    method: impl Fn(usize) -> Box<dyn Stepper<f64>>,
    options: &SolveOptions<'_>,
) -> Vec<f64> {
    let (d, np) = (y0.len(), p.len());
    let mut f =
        ForwardSensitivities::new(f, &(0..d).collect::<Vec<_>>(), &(0..np).collect::<Vec<_>>()).unwrap();
    let mut z = vec![0.0; (1 + d + np) * d];
    f.start(y0, &mut z).unwrap();
    let mut method = method(z.len());
    solve_with_jacobian(&mut f, p, &mut z, span, method.as_mut(), options, &mut |_, _, _| {}).unwrap();
    let mut gradient = vec![0.0; d + np];
    let bar: Vec<f64> = (0..d).map(|i| 1.0 + i as f64).collect();
    f.pull(&z, &bar, &mut gradient).unwrap();
    gradient
}

#[test]
fn agree_with_the_discrete_adjoint() {
    for case in 0..corpus().len() {
        for (name, method, tolerance) in [
            (
                "Tsit5",
                (|len| Box::new(Erk::new(&TSIT5, 1, len))) as fn(usize) -> Box<dyn Stepper<f64>>,
                1e-11,
            ),
            ("Dop853", |len| Box::new(Erk::new(&DOP853, 1, len)), 1e-12),
            ("Radau5", |len| Box::new(Radau5::new(1, len)), 1e-10),
            ("Bdf", |len| Box::new(Bdf::new(1, len)), 1e-11),
            ("Bdf, staggered", |len| Box::new(Bdf::new(1, len).staggered()), 1e-11),
            ("Bosh3", |len| Box::new(Erk::new(&BOSH3, 1, len)), 1e-9),
            ("Vern7", |len| Box::new(Erk::new(&VERN7, 1, len)), 1e-11),
            ("Radau9", |len| Box::new(Radau9::new(1, len)), 1e-10),
            ("Radau13", |len| Box::new(Radau13::new(1, len)), 1e-10),
            ("Radau", |len| Box::new(Radau::new(1, len)), 1e-10),
            ("KenCarp4", |len| Box::new(Esdirk::new(&KENCARP4, 1, len)), 1e-10),
            ("Rodas5P", |len| Box::new(Rosenbrock::new(&RODAS5P, 1, len)), 1e-10),
            ("Radau5, staggered", |len| Box::new(Radau5::new(1, len).staggered()), 1e-10),
            ("Radau9, staggered", |len| Box::new(Radau9::new(1, len).staggered()), 1e-10),
            ("Radau13, staggered", |len| Box::new(Radau13::new(1, len).staggered()), 1e-10),
            ("Radau, staggered", |len| Box::new(Radau::new(1, len).staggered()), 1e-10),
            ("KenCarp4, staggered", |len| Box::new(Esdirk::new(&KENCARP4, 1, len).staggered()), 1e-10),
        ] {
            let mut c = corpus().swap_remove(case);
            let span = (c.span.0, c.span.0 + 1.0);
            let mut adjoint = OdeAdjoint::new(&VERN7, 1, c.y0.len());
            let options = SolveOptions { save_at: &[span.1], ..SolveOptions::tolerance(1e-12, 1e-12) };
            adjoint
                .forward(&mut *c.field, &c.p, &mut c.y0.clone(), span, &options, &mut |_, _, _| {})
                .unwrap();
            let bar: Vec<f64> = (0..c.y0.len()).map(|i| 1.0 + i as f64).collect();
            let (mut y0_bar, mut p_bar) = (vec![0.0; c.y0.len()], vec![0.0; c.p.len()]);
            adjoint.backward(&mut *c.field, &c.p, &[&bar], &mut y0_bar, &mut p_bar).unwrap();
            let options = SolveOptions::tolerance(tolerance, tolerance);
            let forward = sensitivities(c.field, &c.y0, &c.p, span, method, &options);
            let result = compare("gradient", &forward, &[y0_bar, p_bar].concat(), 1e-6);
            result.unwrap_or_else(|e| panic!("{} {name}: {e}", c.name));
        }
    }
}

/// A stiff problem, each column for itself, since the rates differ by nine orders of magnitude.
#[test]
fn stiff() {
    let (y0, span) = ([1.0, 0.0, 0.0], (0.0, 40.0));
    let tight = SolveOptions::tolerance(1e-12, 1e-15);
    let end = |x: &[f64], k: usize| {
        let mut p = RATES;
        p[k] = x[0];
        let mut y = y0;
        let (f, radau) = (&mut SmoothField(Robertson), &mut Radau5::new(1, 3));
        solve_with_jacobian(f, &p, &mut y, span, radau, &tight, &mut |_, _, _| {}).unwrap();
        y
    };
    for (name, mut method) in [
        ("Radau5", Box::new(Radau5::new(1, 12)) as Box<dyn Stepper<f64>>),
        ("Bdf", Box::new(Bdf::new(1, 12))),
        ("Bdf, staggered", Box::new(Bdf::new(1, 12).staggered())),
        ("Radau9", Box::new(Radau9::new(1, 12))),
        ("Radau13", Box::new(Radau13::new(1, 12))),
        ("KenCarp4", Box::new(Esdirk::new(&KENCARP4, 1, 12))),
        ("Rodas5P", Box::new(Rosenbrock::new(&RODAS5P, 1, 12))),
        ("Radau5, staggered", Box::new(Radau5::new(1, 12).staggered())),
        ("Radau9, staggered", Box::new(Radau9::new(1, 12).staggered())),
        ("Radau13, staggered", Box::new(Radau13::new(1, 12).staggered())),
        ("KenCarp4, staggered", Box::new(Esdirk::new(&KENCARP4, 1, 12).staggered())),
    ] {
        let mut f = ForwardSensitivities::new(SmoothField(Robertson), &[], &[0, 1, 2]).unwrap();
        let mut z = [0.0; 12];
        f.start(&y0, &mut z).unwrap();
        // The sensitivities to a rate scale as one over it.
        let mut atol = [1e-14; 12];
        for (atol, k) in atol[3..].iter_mut().zip(0..) {
            *atol = 1e-13 / RATES[k / 3];
        }
        let options = SolveOptions::tolerance(1e-11, &atol);
        let stats =
            solve_with_jacobian(&mut f, &RATES, &mut z, span, &mut *method, &options, &mut |_, _, _| {})
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        for k in 0..3 {
            let scaled = |v: f64| v * RATES[k];
            let given: Vec<f64> = z[3 + 3 * k..6 + 3 * k].iter().map(|&v| scaled(v)).collect();
            let difference: Vec<f64> = (0..3)
                .map(|i| {
                    scaled(
                        central_difference_by(&[RATES[k]], 1e-3 * (RATES[k] / RATES[k].max(0.1)), |x| {
                            end(x, k)[i]
                        })[0],
                    )
                })
                .collect();
            compare("column", &given, &difference, 1e-6)
                .unwrap_or_else(|e| panic!("{name} {k}: {e} {stats:?}"));
        }
    }
}

/// What Newton's iteration is given: one block, which stands for all.
#[test]
fn the_jacobian_is_that_of_the_field() {
    let (p, z) = ([1.5, 1.0, 0.75, 3.0], [0.3, 0.8, 1.0, 2.0, 3.0, 4.0]);
    let mut f = ForwardSensitivities::new(SmoothField(LotkaVolterra), &[0, 1], &[]).unwrap();
    assert_eq!(Jacobian::<f64>::blocks(&f), 3);
    let (mut block, mut of_field) = ([0.0; 4], [0.0; 4]);
    f.jacobian(0.0, &z, &p, &mut block).unwrap();
    SmoothField(LotkaVolterra).jacobian(0.0, &z[..2], &p, &mut of_field).unwrap();
    assert_eq!(block, of_field);
}

/// The columns are beside the state in a Rosenbrock method of the whole system too, to rounding, with one small factorisation for all:
/// the same order and steps, whether the field tells how its products change or differences do.
#[test]
fn rosenbrock_methods_factor_one_block() {
    let run_from = |f: Box<dyn Differentiable<f64>>, whole: bool, y0: &[f64], h: Option<f64>| {
        let mut f = ForwardSensitivities::new(f, &[0], &[0, 1, 2]).unwrap();
        let n = y0.len() / 3;
        let (mut z, mut rodas) = (vec![0.0; n * 15], Rosenbrock::new(&RODAS5P, n, 15));
        f.start(y0, &mut z).unwrap();
        let mut atol = [1e-8; 15];
        for (atol, k) in atol[6..].iter_mut().zip(0..) {
            *atol = 1e-6 / RATES[k / 3];
        }
        let options = h.map_or(SolveOptions::tolerance(1e-6, &atol), SolveOptions::fixed);
        let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
        let stats = if whole {
            solve(&mut f, &RATES, &mut z, (0.0, 40.0), &mut rodas, &options, nothing)
        } else {
            solve_with_jacobian(&mut f, &RATES, &mut z, (0.0, 40.0), &mut rodas, &options, nothing)
        };
        (z, stats.unwrap())
    };
    let run = |f: Box<dyn Differentiable<f64>>, whole: bool| run_from(f, whole, &[1.0, 0.0, 0.0], None);
    let (whole, of_whole) = run(Box::new(SmoothField(Robertson)), true);
    for f in [Box::new(SmoothField(Robertson)) as Box<dyn Differentiable<f64>>, Box::new(Auto::new(Generic))]
    {
        let (blocks, of_blocks) = run(f, false);
        assert_eq!(of_blocks.accepted, of_whole.accepted);
        assert!(of_blocks.work.evals * 2 < of_whole.work.evals, "{of_blocks:?} {of_whole:?}");
        for (column, (a, b)) in blocks.chunks(3).zip(whole.chunks(3)).enumerate() {
            compare("column", a, b, 1e-6).unwrap_or_else(|e| panic!("{column}: {e}"));
        }
    }
    let makes: [fn() -> Box<dyn Differentiable<f64>>; 2] =
        [|| Box::new(SmoothField(Robertson)), || Box::new(Auto::new(Generic))];
    for make in makes {
        // Where the second species is nearly as the others leave it, so that long steps are stable.
        let (first, second) = ([1.0, 2.3e-5, 0.1], [0.6, 5.7e-6, 0.4]);
        let alone = [first, second].map(|y0| run_from(make(), false, &y0, Some(0.25)).0);
        let (two, _) = run_from(make(), false, &[first, second].concat(), Some(0.25));
        assert_eq!(two, alone.concat());
    }
}

/// A species becomes another, of which two react: neither is defined below zero, where the second one starts. `lost` has a Jacobian that is
/// not finite.
struct Species {
    blocks: usize,
    lost: bool,
}
impl Species {
    fn check(t: f64, y: &[f64]) -> Result<(), FieldError> {
        if y.iter().all(|&y| y >= 0.0) { Ok(()) } else { Err(FieldError::Recoverable { t, what: "y < 0" }) }
    }
}
impl VectorField<f64> for Species {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        (dy[0], dy[1]) = (-p[0] * y[0], p[0] * y[0] - p[1] * y[1] * y[1]);
        Self::check(t, y)
    }
}
impl Jvp<f64> for Species {
    fn jvp(&mut self, t: f64, y: &[f64], p: &[f64], v: &[f64], jv: &mut [f64]) -> Result<(), FieldError> {
        self.param_jvp(t, y, p, v, &[0.0; 2], jv)
    }
}
impl ParamJvp<f64> for Species {
    fn param_jvp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        v: &[f64],
        q: &[f64],
        jv: &mut [f64],
    ) -> Result<(), FieldError> {
        for ((v, q), jv) in v.chunks(2).zip(q.chunks(2)).zip(jv.chunks_mut(2)) {
            let (made, lost) = (p[0] * v[0] + q[0] * y[0], 2.0 * p[1] * y[1] * v[1] + q[1] * y[1] * y[1]);
            (jv[0], jv[1]) = (-made, made - lost);
        }
        Self::check(t, y)
    }
}
impl Jacobian<f64> for Species {
    fn blocks(&self) -> usize {
        self.blocks
    }
    fn jacobian(&mut self, t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        if self.blocks == 1 {
            let lost = if self.lost { f64::NAN } else { -2.0 * p[1] * y[1] };
            values.copy_from_slice(&[-p[0], 0.0, p[0], lost]);
        } else {
            values[0] = -p[0];
        }
        Self::check(t, y)
    }
}

fn species(
    of: Species,
    method: fn(usize) -> Box<dyn Stepper<f64>>,
    tolerance: f64,
) -> Result<Vec<f64>, SolveError> {
    let mut f = ForwardSensitivities::new(of, &[0], &[0, 1]).unwrap();
    let mut z = vec![0.0; 8];
    f.start(&[1.0, 0.0], &mut z).unwrap();
    let options = SolveOptions::tolerance(tolerance, tolerance);
    let nothing = &mut |_: usize, _: f64, _: &[f64]| {};
    solve_with_jacobian(&mut f, &[2.0, 30.0], &mut z, (0.0, 3.0), &mut *method(8), &options, nothing)?;
    Ok(z)
}

#[test]
fn rosenbrock_methods_start_at_the_edge_of_a_domain() {
    let of = || Species { blocks: 1, lost: false };
    let exact = species(of(), |len| Box::new(Radau13::new(1, len)), 1e-12).unwrap();
    let given = species(of(), |len| Box::new(Rosenbrock::new(&RODAS5P, 1, len)), 1e-9).unwrap();
    compare("state and columns", &given, &exact, 1e-7).unwrap();
}

/// What lies beside the blocks of a field itself is not told.
#[test]
fn rosenbrock_methods_refuse_a_field_of_blocks() {
    let rodas = |len| Box::new(Rosenbrock::new(&RODAS5P, 1, len)) as Box<dyn Stepper<f64>>;
    let refused = species(Species { blocks: 2, lost: false }, rodas, 1e-6);
    assert_eq!(refused, Err(SolveError::BlockJacobian { blocks: 8 }));
}

/// By its coordinate in the state, of which the block is.
#[test]
fn a_jacobian_that_is_not_finite_names_its_row() {
    let methods: [fn(usize) -> Box<dyn Stepper<f64>>; 2] =
        [|len| Box::new(Rosenbrock::new(&RODAS5P, 1, len)), |len| Box::new(Radau5::new(1, len))];
    for method in methods {
        let e = species(Species { blocks: 1, lost: true }, method, 1e-6).unwrap_err();
        let SolveError::NonFiniteDerivative { what, trajectory: 0, coordinate: 1, .. } = e else {
            panic!("{e:?}")
        };
        assert_eq!(what, "the Jacobian of the field");
    }
}

#[test]
fn many_trajectories() {
    let p = [1.5, 1.0, 0.75, 3.0];
    let run = |y0: &[f64]| {
        let mut f = ForwardSensitivities::new(SmoothField(LotkaVolterra), &[1], &[3]).unwrap();
        let mut z = vec![0.0; 3 * y0.len()];
        f.start(y0, &mut z).unwrap();
        let erk = &mut Erk::new(&TSIT5, y0.len() / 2, 6);
        solve(&mut f, &p, &mut z, (0.0, 1.0), erk, &SolveOptions::fixed(0.02), &mut |_, _, _| {}).unwrap();
        z
    };
    assert_eq!(run(&[1.0, 0.5, 0.3, 0.9]), [run(&[1.0, 0.5]), run(&[0.3, 0.9])].concat());
}

/// Robertson's reactions, of which evaluations and products are counted.
#[derive(Default)]
struct Counted {
    evals: usize,
    products: usize,
}
impl VectorField<f64> for Counted {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        3
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.evals += 1;
        SmoothField(Robertson).eval(t, y, p, dy)
    }
}
impl Jvp<f64> for Counted {
    fn jvp(&mut self, t: f64, y: &[f64], p: &[f64], v: &[f64], jv: &mut [f64]) -> Result<(), FieldError> {
        SmoothField(Robertson).jvp(t, y, p, v, jv)
    }
}
impl ParamJvp<f64> for Counted {
    fn param_jvp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        v: &[f64],
        q: &[f64],
        jv: &mut [f64],
    ) -> Result<(), FieldError> {
        self.products += 1;
        SmoothField(Robertson).param_jvp(t, y, p, v, q, jv)
    }
}
impl Jacobian<f64> for Counted {
    fn jacobian(&mut self, t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        SmoothField(Robertson).jacobian(t, y, p, values)
    }
}

/// Fewer products with all columns, for one factorisation more a step by Bdf and for none by others; two trajectories are alike.
#[test]
fn staggered_runs_iterate_for_the_state_alone() {
    type Make = fn(usize, bool) -> Box<dyn Stepper<f64>>;
    macro_rules! staggered_or_not {
        ($plain:expr) => {
            |n, staggered| {
                let plain = $plain(n);
                Box::new(if staggered { plain.staggered() } else { plain })
            }
        };
    }
    let methods: [(&str, Make); 6] = [
        ("Bdf", staggered_or_not!(|n| Bdf::new(n, 12))),
        ("Radau5", staggered_or_not!(|n| Radau5::new(n, 12))),
        ("Radau9", staggered_or_not!(|n| Radau9::new(n, 12))),
        ("Radau13", staggered_or_not!(|n| Radau13::new(n, 12))),
        ("Radau", staggered_or_not!(|n| Radau::new(n, 12))),
        ("KenCarp4", staggered_or_not!(|n| Esdirk::new(&KENCARP4, n, 12))),
    ];
    for (name, make) in methods {
        let run = |n: usize, staggered: bool| {
            let mut field = Counted::default();
            let mut f = ForwardSensitivities::new(&mut field, &[0], &[0, 1]).unwrap();
            let mut z = vec![0.0; n * 12];
            f.start(&[1.0, 0.0, 0.0].repeat(n), &mut z).unwrap();
            // Of the column of the second rate, which is small.
            let mut atol = [1e-10; 12];
            atol[9..].fill(1e-14);
            let options = SolveOptions::tolerance(1e-7, &atol);
            let (nothing, mut method) = (&mut |_: usize, _: f64, _: &[f64]| {}, make(n, staggered));
            let stats =
                solve_with_jacobian(&mut f, &RATES, &mut z, (0.0, 40.0), &mut *method, &options, nothing)
                    .unwrap();
            (z, stats, field)
        };
        let ((staggered, of_staggered, of_field), (all, of_all, with_all)) = (run(1, true), run(1, false));
        println!("{name}: {of_staggered:?} {} products\n{of_all:?}", of_field.products);
        for (column, (a, b)) in staggered.chunks(3).zip(all.chunks(3)).enumerate() {
            compare("column", a, b, 1e-4).unwrap_or_else(|e| panic!("{name} {column}: {e}"));
        }
        assert_eq!(with_all.products, with_all.evals, "{name}");
        assert!(of_field.products < with_all.products, "{name}: {} {}", of_field.products, with_all.products);
        assert!(of_field.products < of_field.evals * 3 / 4, "{name}");
        let a_try = |stats: &Stats| {
            let tries = stats.accepted + stats.rejected + stats.work.newton_failures;
            stats.work.factorisations as f64 / tries as f64
        };
        if name == "Bdf" {
            assert!(of_staggered.work.newton_iterations < of_all.work.newton_iterations);
            assert!(of_staggered.work.factorisations >= of_staggered.accepted);
        } else {
            // One set more a step would be twice as many; a higher order, by one method of changing order, has more in a set.
            assert!(a_try(&of_staggered) < 1.5 * a_try(&of_all), "{name}");
        }
        let (two, of_two, _) = run(2, true);
        assert_eq!((two, of_two.accepted), (staggered.repeat(2), of_staggered.accepted), "{name}");
    }
}

/// Of two different trajectories: with fixed steps, and with errors of both together.
#[test]
fn staggered_as_all_together() {
    type Make = fn(bool) -> Box<dyn Stepper<f64>>;
    let methods: [(&str, Make); 3] = [
        ("Radau5", |st| Box::new(if st { Radau5::new(2, 8).staggered() } else { Radau5::new(2, 8) })),
        ("Radau", |st| Box::new(if st { Radau::new(2, 8).staggered() } else { Radau::new(2, 8) })),
        ("KenCarp4", |st| {
            let plain = Esdirk::new(&KENCARP4, 2, 8);
            Box::new(if st { plain.staggered() } else { plain })
        }),
    ];
    let adaptive = SolveOptions::tolerance(1e-9, 1e-12);
    let together = SolveOptions { tolerance: adaptive.tolerance.together(), ..adaptive };
    let fixed = SolveOptions { tolerance: adaptive.tolerance, ..SolveOptions::fixed(0.0625) };
    for (what, options, most) in [("fixed", fixed, 1e-8), ("together", together, 1e-6)] {
        for (name, make) in methods {
            let end = |staggered: bool| {
                let mut f = ForwardSensitivities::new(SmoothField(LotkaVolterra), &[0], &[1, 3]).unwrap();
                let mut z = vec![0.0; 16];
                f.start(&[1.0, 0.5, 0.3, 0.9], &mut z).unwrap();
                let (span, nothing) = ((0.0, 2.0), &mut |_: usize, _: f64, _: &[f64]| {});
                solve_with_jacobian(
                    &mut f,
                    &[1.5, 1.0, 0.75, 3.0],
                    &mut z,
                    span,
                    &mut *make(staggered),
                    &options,
                    nothing,
                )
                .unwrap();
                z
            };
            let (staggered, all) = (end(true), end(false));
            assert!(staggered[..8] != staggered[8..]);
            for (column, (a, b)) in staggered.chunks(2).zip(all.chunks(2)).enumerate() {
                compare("column", a, b, most).unwrap_or_else(|e| panic!("{name} {what} {column}: {e}"));
            }
        }
    }
}

#[test]
fn errors() {
    let none = |c: &[usize], p: &[usize]| {
        ForwardSensitivities::<_, f64>::new(SmoothField(LotkaVolterra), c, p).unwrap_err()
    };
    assert_eq!(none(&[2], &[]), AdjointError::NoSuch { what: "coordinate", index: 2, len: 2 });
    assert_eq!(none(&[0], &[4]).to_string(), "there is no parameter 4: the field has 4");
    let f = ForwardSensitivities::<_, f64>::new(SmoothField(LotkaVolterra), &[0], &[]).unwrap();
    assert_eq!((VectorField::<f64>::dim(&f), f.columns()), (4, 1));
    let wrong = f.start(&[1.0, 2.0], &mut [0.0; 3]);
    assert!(matches!(wrong, Err(AdjointError::ShapeMismatch { expected: 4, got: 3, .. })));
    assert!(f.pull(&[0.0; 4], &[0.0; 2], &mut [0.0; 2]).is_err());
}
