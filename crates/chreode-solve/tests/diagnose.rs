//! What fields are like: spectra, stiffness, divergence, Lyapunov exponents, sensitivity and fixed points of fields for which they
//! are known; the same bits whatever lies beside; errors that say what is wrong.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{FieldError, Jacobian, Jvp, Sparsity, Tolerance, VectorField};
use chreode_solve::{
    AutoSwitch, Bdf, DOP853, DiagnoseError, Erk, FixedPointKind, FixedPointOptions, JvpJacobian,
    LyapunovOptions, NewtonFailure, Radau5, SolveError, SolveOptions, TSIT5, VERN7, VjpJacobian, divergence,
    fixed_points, jacobian_spectra, local_sensitivity, log_norms, lyapunov, solve, solve_with_jacobian,
};
use chreode_testkit::{Lorenz, LotkaVolterra, Robertson, SmoothField, StiffField, VanDerPol};
use proptest::prelude::*;

const LORENZ: [f64; 3] = [10.0, 28.0, 8.0 / 3.0];

/// One trajectory's field with its Jacobian, from closures.
#[derive(Clone)]
struct Own<const D: usize> {
    f: fn(&[f64], &[f64]) -> Result<[f64; D], FieldError>,
    j: fn(&[f64], &[f64]) -> [[f64; D]; D],
    sparsity: Option<Sparsity>,
}

impl<const D: usize> Own<D> {
    fn new(
        f: fn(&[f64], &[f64]) -> Result<[f64; D], FieldError>,
        j: fn(&[f64], &[f64]) -> [[f64; D]; D],
    ) -> Self {
        Self { f, j, sparsity: None }
    }
}

impl<const D: usize> VectorField<f64> for Own<D> {
    fn dim(&self) -> usize {
        D
    }
    fn eval(&mut self, _t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        for (y, dy) in y.chunks_exact(D).zip(dy.chunks_exact_mut(D)) {
            dy.copy_from_slice(&(self.f)(y, p)?);
        }
        Ok(())
    }
}

impl<const D: usize> Jacobian<f64> for Own<D> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.sparsity.as_ref()
    }
    fn jacobian(&mut self, _t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        let j = (self.j)(y, p);
        match &self.sparsity {
            None => values.copy_from_slice(j.as_flattened()),
            Some(pattern) => {
                let mut values = values.iter_mut();
                for k in 0..D {
                    for (&i, value) in pattern.column(k).iter().zip(&mut values) {
                        *value = j[i][k];
                    }
                }
            }
        }
        Ok(())
    }
}

/// `y' = A y`, with products alone; `A` is `p`, `[d, d]`.
#[derive(Clone)]
struct Linear(usize);

impl VectorField<f64> for Linear {
    fn dim(&self) -> usize {
        self.0
    }
    fn n_params(&self) -> usize {
        self.0 * self.0
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        self.jvp(t, y, p, y, dy)
    }
}

impl Jvp<f64> for Linear {
    fn jvp(&mut self, _: f64, _: &[f64], p: &[f64], v: &[f64], jv: &mut [f64]) -> Result<(), FieldError> {
        for (v, jv) in v.chunks_exact(self.0).zip(jv.chunks_exact_mut(self.0)) {
            for (jv, row) in jv.iter_mut().zip(p.chunks_exact(self.0)) {
                *jv = row.iter().zip(v).map(|(a, v)| a * v).sum();
            }
        }
        Ok(())
    }
}

fn roessler() -> Own<3> {
    let f = |y: &[f64], _: &[f64]| Ok([-y[1] - y[2], y[0] + 0.2 * y[1], 0.2 + y[2] * (y[0] - 5.7)]);
    let j = |y: &[f64], _: &[f64]| [[0.0, -1.0, -1.0], [1.0, 0.2, 0.0], [y[2], 0.0, y[0] - 5.7]];
    let entries = [(1, 0), (2, 0), (0, 1), (1, 1), (0, 2), (2, 2)];
    Own { sparsity: Some(Sparsity::new(3, 3, entries).unwrap()), ..Own::new(f, j) }
}

/// Two genes that repress each other, `u' = a/(1 + v²) - u`. Fixed points: `u = v`, and `u v = 1` with `u + v = a`.
fn toggle() -> Own<2> {
    let f = |y: &[f64], p: &[f64]| Ok([p[0] / (1.0 + y[1] * y[1]) - y[0], p[0] / (1.0 + y[0] * y[0]) - y[1]]);
    let j = |y: &[f64], p: &[f64]| {
        let slope = |x: f64| -2.0 * p[0] * x / (1.0 + x * x).powi(2);
        [[-1.0, slope(y[1])], [slope(y[0]), -1.0]]
    };
    Own::new(f, j)
}

/// `-(p[1] + sigma + 1)`: the divergence of Lorenz's field is the same everywhere.
const LORENZ_DIVERGENCE: f64 = -(10.0 + 1.0 + 8.0 / 3.0);

#[test]
fn exponents_of_lorenz() {
    let options = LyapunovOptions {
        settle: 20.0,
        interval: 0.2,
        tolerance: Tolerance::new(1e-9, 1e-9),
        ..LyapunovOptions::new(3, 10_000.0)
    };
    let y = [1.0, 1.0, 1.0, -3.0, 2.0, 20.0];
    let spectra =
        lyapunov(&SmoothField(Lorenz), &LORENZ, &y, 0.0, &options, |n, d| Erk::new(&DOP853, n, d)).unwrap();
    for row in 0..2 {
        let found = spectra.of(row);
        let spread: Vec<f64> = (0..3).map(|j| spectra.spread(row, j)).collect();
        println!("Lorenz from start {row}: {found:.5?}, spread {spread:.5?}");
        for ((found, expected), most) in found.iter().zip([0.9056, 0.0, -14.5723]).zip([0.009, 0.003, 0.03]) {
            assert!((found - expected).abs() < most, "{found} instead of {expected}");
        }
        assert!((found.iter().sum::<f64>() - LORENZ_DIVERGENCE).abs() < 1e-7);
        assert!(spread.iter().all(|&x| x < 0.03) && spread[0] > 0.0);
        assert_eq!(spectra.running(row).len(), 50_000 * 3);
    }
    // The leading one alone is the same, to what chaos makes of other steps.
    let one = LyapunovOptions { exponents: 1, ..options };
    let one =
        lyapunov(&SmoothField(Lorenz), &LORENZ, &y[..3], 0.0, &one, |n, d| Erk::new(&TSIT5, n, d)).unwrap();
    assert!((one.of(0)[0] - 0.9056).abs() < 0.009, "{:?}", one.of(0));
}

/// The values of [Spr03, appendix A]; a sparse Jacobian.
#[test]
fn exponents_of_roessler() {
    let options = LyapunovOptions { settle: 200.0, interval: 0.5, ..LyapunovOptions::new(3, 8000.0) };
    let spectra =
        lyapunov(&roessler(), &[], &[1.0, 1.0, 0.0], 0.0, &options, |n, d| Erk::new(&VERN7, n, d)).unwrap();
    println!("Roessler: {:.5?}, spread {:.1e}", spectra.of(0), spectra.spread(0, 0));
    for ((found, expected), most) in
        spectra.of(0).iter().zip([0.0714, 0.0, -5.3943]).zip([0.003, 0.001, 0.02])
    {
        assert!((found - expected).abs() < most, "{found} instead of {expected}");
    }
}

/// On a limit cycle one exponent is zero and the other is the mean divergence, here of van der Pol's oscillator with mu = 1.
#[test]
fn exponents_of_a_limit_cycle() {
    let field = StiffField::new(VanDerPol { eps: 1.0 });
    let tight = Tolerance::new(1e-10, 1e-10);
    // Counted over whole periods, so that no part of one is left.
    let period = 6.663_286_859_323_12;
    let options = LyapunovOptions {
        settle: 60.0,
        interval: period / 20.0,
        tolerance: tight,
        ..LyapunovOptions::new(2, 50.0 * period)
    };
    let y = [2.0, 0.0, 0.1, 0.1_f64];
    let spectra = lyapunov(&field, &[], &y, 0.0, &options, |n, d| Erk::new(&VERN7, n, d)).unwrap();
    let times: Vec<f64> = (0..=2000).map(|i| 60.0 + period * f64::from(i) / 2000.0).collect();
    let (mut on, mut saved) = ([2.0, 0.0], Vec::new());
    let run = SolveOptions { save_at: &times, ..SolveOptions::tolerance(1e-10, 1e-10) };
    let end = times[2000];
    solve(
        &mut field.clone(),
        &[],
        &mut on,
        (0.0, end),
        &mut Erk::new(&VERN7, 1, 2),
        &run,
        &mut |_, _, y: &[f64]| {
            saved.extend_from_slice(y);
        },
    )
    .unwrap();
    let along = divergence(&field, &[], &times, &saved).unwrap();
    let mean = along[1..].iter().sum::<f64>() / 2000.0; // of a periodic function the sum converges fast
    println!("van der Pol: {:?}, mean divergence {mean}", spectra.of(0));
    for row in 0..2 {
        assert!(spectra.of(row)[0].abs() < 1e-6, "{:?}", spectra.of(row));
        assert!((spectra.of(row)[1] - mean).abs() < 1e-6);
        assert!(spectra.ends[2 * row].abs() < 2.1);
    }
}

/// After the tangents have turned, exponents of a linear equation are real parts of eigenvalues. The unit vectors alone would stay
/// in the wrong direction.
#[test]
fn exponents_of_a_linear_equation() {
    #[rustfmt::skip]
    let a = [
        -3.0, 1.0,  0.5,  0.0,
         0.0, 0.5,  2.0,  0.0,
         0.0, -2.0, 0.5,  0.0,
         0.0, 0.0,  0.0, -1.0,
    ];
    let field = JvpJacobian::new(Linear(4));
    let options = LyapunovOptions {
        settle: 20.0,
        interval: 0.5,
        tolerance: Tolerance::new(1e-10, 1e-10),
        ..LyapunovOptions::new(4, 30.0)
    };
    let spectra = lyapunov(&field, &a, &[0.0; 4], 0.0, &options, |n, d| Erk::new(&VERN7, n, d)).unwrap();
    println!("linear: {:?}", spectra.of(0));
    for (found, expected) in spectra.of(0).iter().zip([0.5, 0.5, -1.0, -3.0]) {
        assert!((found - expected).abs() < 0.01, "{found} instead of {expected}");
    }
    assert!((spectra.of(0).iter().sum::<f64>() + 3.0).abs() < 1e-8);
    assert!((spectra.of(0)[2] + 1.0).abs() < 1e-7 && (spectra.of(0)[3] + 3.0).abs() < 1e-7);
    let leading = LyapunovOptions { exponents: 1, ..options };
    let two = JvpJacobian::new(Linear(2));
    let found =
        lyapunov(&two, &[-3.0, 0.0, 0.0, -1.0], &[0.0; 2], 0.0, &leading, |n, d| Erk::new(&TSIT5, n, d));
    assert!((found.unwrap().of(0)[0] + 1.0).abs() < 1e-7);
}

#[test]
fn spectra_and_divergence_along_lorenz() {
    let times = [0.0, 0.5, 1.0];
    let (mut y, mut saved) = ([1.0, 1.0, 1.0, -5.0, 3.0, 20.0], Vec::new());
    let options = SolveOptions { save_at: &times, ..SolveOptions::default() };
    let mut stepper = Erk::new(&TSIT5, 2, 3);
    solve(
        &mut SmoothField(Lorenz),
        &LORENZ,
        &mut y,
        (0.0, 1.0),
        &mut stepper,
        &options,
        &mut |_, _, y: &[f64]| {
            saved.extend_from_slice(y);
        },
    )
    .unwrap();
    let field = SmoothField(Lorenz);
    let spectra = jacobian_spectra(&field, &LORENZ, &times, &saved).unwrap();
    assert_eq!((spectra.len(), spectra.is_empty()), (6, false));
    let along = divergence(&field, &LORENZ, &times, &saved).unwrap();
    for row in 0..6 {
        let values = spectra.of(row);
        let sum: f64 = values.iter().map(|z| z.0).sum();
        assert!((sum - LORENZ_DIVERGENCE).abs() < 1e-12 && (along[row] - LORENZ_DIVERGENCE).abs() < 1e-14);
        // Product of the eigenvalues is the determinant.
        let (x, z) = (saved[3 * row], saved[3 * row + 2]);
        let ([sigma, rho, beta], yy) = (LORENZ, saved[3 * row + 1]);
        let determinant = -sigma * (beta + x * x) - sigma * (-beta * (rho - z) + x * yy);
        let product =
            values.iter().fold((1.0, 0.0), |a: (f64, f64), b| (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0));
        assert!(
            (product.0 - determinant).abs() < 1e-9 * determinant.abs().max(1.0),
            "{product:?} {determinant}"
        );
        assert_eq!(spectra.abscissa(row), values[0].0);
    }
    // The same by products and by pull-backs.
    let by_products = jacobian_spectra(&JvpJacobian::new(field), &LORENZ, &times, &saved).unwrap();
    let by_pull_backs = jacobian_spectra(&VjpJacobian::new(field), &LORENZ, &times, &saved).unwrap();
    assert_eq!((&by_products, &by_pull_backs), (&spectra, &spectra));
}

/// The two eigenvalues of Robertson's equations that are not zero solve a quadratic equation.
#[test]
fn stiffness_of_robertson() {
    let field = StiffField::new(Robertson);
    let times: Vec<f64> = (-6..=8).map(|k| 10.0_f64.powi(k)).collect();
    let (mut y, mut saved) = ([1.0, 0.0, 0.0], Vec::new());
    let options = SolveOptions { save_at: &times, ..SolveOptions::tolerance(1e-8, 1e-14) };
    let mut stepper = Radau5::new(1, 3);
    solve_with_jacobian(
        &mut field.clone(),
        &[],
        &mut y,
        (0.0, 1e8),
        &mut stepper,
        &options,
        &mut |_, _, y: &[f64]| {
            saved.extend_from_slice(y);
        },
    )
    .unwrap();
    let spectra = jacobian_spectra(&field, &[], &times, &saved).unwrap();
    let norms = log_norms(&field, &[], &times, &saved).unwrap();
    for (row, y) in saved.chunks_exact(3).enumerate() {
        let sum = 0.04 + 1e4 * y[2] + 6e7 * y[1];
        let product = 0.04 * 6e7 * y[1] + 6e11 * y[1] * y[1];
        let fast = f64::midpoint(sum, (sum * sum - 4.0 * product).sqrt());
        let expected = fast * fast / product;
        let ratio = spectra.stiffness_ratio(row).unwrap();
        println!("Robertson t = {:e}: ratio {ratio:.4e}, factor {:.2e}", times[row], norms.factor(row, 1e8));
        assert!(
            (ratio / expected - 1.0).abs() < 1e-4,
            "t = {}: {ratio:e} instead of {expected:e}",
            times[row]
        );
        // A conserved sum has the eigenvalue zero.
        assert!(spectra.of(row).iter().any(|z| z.0.abs() < 1e-10 * fast));
    }
    assert!(spectra.stiffness_ratio(14).unwrap() > 1e9 && norms.factor(14, 1e8) > 1e10);
    // At the start one eigenvalue alone decays.
    let start = jacobian_spectra(&field, &[], &[0.0], &[1.0, 0.0, 0.0]).unwrap();
    assert_eq!(start.stiffness_ratio(0), Some(1.0));
    let grows = jacobian_spectra(&JvpJacobian::new(Linear(1)), &[2.0], &[0.0], &[1.0]).unwrap();
    assert_eq!(grows.stiffness_ratio(0), None);
}

#[test]
fn log_norms_of_small_matrices() {
    let two = JvpJacobian::new(Linear(2));
    let norms = log_norms(&two, &[-1.0, 0.0, 0.0, -3.0], &[0.0], &[0.0; 2]).unwrap();
    assert_eq!((norms.lower[0], norms.upper[0]), (-3.0, -1.0));
    assert_eq!((norms.indicator(0), norms.time_scale(0), norms.factor(0, 8.0)), (-2.0, 0.5, 16.0));
    // Shear: distances may grow for a while, though both eigenvalues are zero.
    let shear = log_norms(&two, &[0.0, 4.0, 0.0, 0.0], &[0.0], &[0.0; 2]).unwrap();
    assert!((shear.lower[0] + 2.0).abs() < 1e-14 && (shear.upper[0] - 2.0).abs() < 1e-14);
    let grows = log_norms(&two, &[1.0, 0.0, 0.0, 3.0], &[0.0], &[0.0; 2]).unwrap();
    assert_eq!((grows.time_scale(0), grows.factor(0, 8.0)), (f64::INFINITY, 0.0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    /// Eigenvalues add up to the divergence, and their real parts lie between the logarithmic norms.
    #[test]
    fn eigenvalues_lie_between_the_norms(d in 1..9_usize, seed in 0..1_000_000_u32) {
        let mut state = seed;
        let a: Vec<f64> = (0..d * d).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            4.0 * f64::from(state) / f64::from(u32::MAX) - 2.0
        }).collect();
        let (field, y) = (JvpJacobian::new(Linear(d)), vec![0.0; d]);
        let spectra = jacobian_spectra(&field, &a, &[0.0], &y).unwrap();
        let norms = log_norms(&field, &a, &[0.0], &y).unwrap();
        let trace = divergence(&field, &a, &[0.0], &y).unwrap()[0];
        let sum: f64 = spectra.of(0).iter().map(|z| z.0).sum();
        prop_assert!((sum - trace).abs() < 1e-10);
        for z in spectra.of(0) {
            prop_assert!(norms.lower[0] - 1e-10 < z.0 && z.0 < norms.upper[0] + 1e-10);
        }
    }
}

/// `exp(A t)` of a triangular matrix: small deviations grow at first, though both eigenvalues are negative.
#[test]
fn sensitivity_of_a_linear_equation() {
    let (a, t): ([f64; 4], f64) = ([-1.0, 10.0, 0.0, -2.0], 0.7);
    let tight = Tolerance::new(1e-11, 1e-11);
    let field = JvpJacobian::new(Linear(2));
    let found =
        local_sensitivity(&field, &a, &[1.0, 2.0], 3.0, t, tight, |n, d| Erk::new(&DOP853, n, d)).unwrap();
    let (e1, e2) = ((-t).exp(), (-2.0 * t).exp());
    let off = 10.0 * (e1 - e2);
    let (squares, determinant) = (e1 * e1 + e2 * e2 + off * off, e1 * e2);
    let norm = f64::midpoint(squares, (squares * squares - 4.0 * determinant * determinant).sqrt()).sqrt();
    assert!(norm > 2.0 && (found.norm(0) - norm).abs() < 1e-9, "{} instead of {norm}", found.norm(0));
    assert!((found.of(0)[1] - determinant / norm).abs() < 1e-9);
    assert!((found.exponent(0) - norm.ln() / t).abs() < 1e-9);
    assert!((found.ends[0] - (e1 + 2.0 * off)).abs() < 1e-9);
}

/// Implicit methods, which factor one block for the state and all tangents, agree with explicit ones, and go where those cannot.
#[test]
fn sensitivity_of_a_stiff_equation() {
    let field = StiffField::new(Robertson);
    let (y, atol) = ([1.0, 0.0, 0.0], [1e-10, 1e-14, 1e-10]);
    let tight = Tolerance::new(1e-8, &atol);
    let explicit =
        local_sensitivity(&field, &[], &y, 0.0, 0.5, tight, |n, d| Erk::new(&TSIT5, n, d)).unwrap();
    let radau = local_sensitivity(&field, &[], &y, 0.0, 0.5, tight, Radau5::new).unwrap();
    let bdf = local_sensitivity(&field, &[], &y, 0.0, 0.5, tight, Bdf::new).unwrap();
    let switching = |n, d| AutoSwitch::new(Erk::new(&TSIT5, n, d), Radau5::new(n, d));
    let switched = local_sensitivity(&field, &[], &y, 0.0, 0.5, tight, switching).unwrap();
    println!("Robertson to 0.5: {:?} {:?} {:?}", explicit.of(0), radau.of(0), bdf.of(0));
    for found in [&radau, &bdf, &switched] {
        assert!((found.norm(0) - explicit.norm(0)).abs() < 1e-5, "{} {}", found.norm(0), explicit.norm(0));
    }
    let long = local_sensitivity(&field, &[], &y, 0.0, 4e5, tight, Radau5::new).unwrap();
    assert!(long.norm(0) >= 1.0 && long.norm(0).is_finite() && long.of(0)[1] < long.norm(0));
}

#[test]
fn fixed_points_of_lorenz() {
    let starts: Vec<f64> = (0..90).map(|i| 25.0 * (f64::from(i) * 1.7).sin()).collect();
    let find = |rho: f64| {
        fixed_points(
            &SmoothField(Lorenz),
            &[10.0, rho, 8.0 / 3.0],
            0.0,
            &starts,
            &FixedPointOptions::default(),
        )
        .unwrap()
    };
    for (rho, off, origin) in [
        (28.0, Some(FixedPointKind::Saddle { unstable: 2 }), FixedPointKind::Saddle { unstable: 1 }),
        (20.0, Some(FixedPointKind::StableFocus), FixedPointKind::Saddle { unstable: 1 }),
        (0.5, None, FixedPointKind::StableNode),
    ] {
        let found = find(rho);
        assert!(found.outcomes.iter().all(Result::is_ok), "{:?}", found.outcomes);
        assert_eq!(found.points.len(), if off.is_some() { 3 } else { 1 });
        for point in &found.points {
            println!("Lorenz rho {rho}: {:?} {} {:?}", point.state, point.kind, point.eigenvalues);
            assert!(point.residual < 1e-9);
            if point.state[0].abs() < 1e-6 {
                assert_eq!(point.kind, origin);
            } else {
                assert_eq!(Some(point.kind), off);
                let x = (8.0 / 3.0 * (rho - 1.0)).sqrt();
                assert!((point.state[0].abs() - x).abs() < 1e-9 && (point.state[2] - rho + 1.0).abs() < 1e-9);
                assert!((point.state[0] - point.state[1]).abs() < 1e-9);
            }
        }
    }
    // Where the pitchfork divides, corrections shrink by a third only, and points near the triple root are one.
    let found = find(1.0);
    assert_eq!(
        (found.points.len(), found.points[0].kind),
        (1, FixedPointKind::NonHyperbolic { neutral: 1, unstable: 0 })
    );
    // In single precision, with its tolerance.
    let starts: Vec<f32> = starts.iter().map(|&x| x as f32).collect();
    let p = LORENZ.map(|x| x as f32);
    let single = fixed_points(&SmoothField(Lorenz), &p, 0.0, &starts, &FixedPointOptions::default()).unwrap();
    assert_eq!(single.points.len(), 3);
    assert!(single.outcomes.iter().all(Result::is_ok), "{:?}", single.outcomes);
}

#[test]
fn fixed_points_of_a_toggle_switch() {
    let starts: Vec<f64> =
        (0..5).flat_map(|i| (0..5).flat_map(move |j| [f64::from(i), f64::from(j)])).collect();
    let found = fixed_points(&toggle(), &[4.0], 0.0, &starts, &FixedPointOptions::default()).unwrap();
    assert!(found.outcomes.iter().all(Result::is_ok), "{:?}", found.outcomes);
    assert_eq!(found.points.len(), 3);
    for point in &found.points {
        let (u, v) = (point.state[0], point.state[1]);
        println!("toggle: {u} {v} {}", point.kind);
        if (u - v).abs() < 1e-6 {
            assert_eq!(point.kind, FixedPointKind::Saddle { unstable: 1 });
            assert!((u + u * u * u - 4.0).abs() < 1e-9);
        } else {
            assert_eq!(point.kind, FixedPointKind::StableNode);
            assert!((u * v - 1.0).abs() < 1e-9 && (u + v - 4.0).abs() < 1e-9);
        }
    }
    for (outcome, start) in found.outcomes.iter().zip(starts.chunks_exact(2)) {
        if start[0] == start[1] {
            let point = &found.points[outcome.unwrap()];
            assert!((point.state[0] - point.state[1]).abs() < 1e-6); // symmetry is kept
        }
    }
}

#[test]
fn starts_that_lead_nowhere_and_borders() {
    let options = FixedPointOptions::default();
    let none = Own::<1>::new(|y, _| Ok([1.0 + y[0] * y[0]]), |y, _| [[2.0 * y[0]]]);
    let found = fixed_points(&none, &[], 0.0, &[0.5, 0.0, 3.0], &options).unwrap();
    println!("no root: {:?}", found.outcomes);
    assert!(found.points.is_empty());
    assert!(matches!(found.outcomes[1], Err(NewtonFailure::Stalled { iterations: 0, residual: 1.0 })));
    // Newton's first step leaves the domain of the root.
    let root = Own::<1>::new(
        |y, _| match y[0] {
            y if y < 0.0 => Err(FieldError::Recoverable { t: 0.0, what: "root of a negative number" }),
            y => Ok([1.0 - y.sqrt()]),
        },
        |y, _| [[-0.5 / y[0].sqrt()]],
    );
    let found = fixed_points(&root, &[], 0.0, &[9.0, -1.0, 0.0], &options).unwrap();
    assert_eq!(found.outcomes[..2], [Ok(0), Err(NewtonFailure::Undefined { iterations: 0 })]);
    assert_eq!(found.outcomes[2], Err(NewtonFailure::Undefined { iterations: 0 })); // infinite slope
    assert!((found.points[0].state[0] - 1.0).abs() < 1e-10);
    let hasty = FixedPointOptions { max_iterations: 1, ..options };
    let hasty = fixed_points(&root, &[], 0.0, &[9.0], &hasty).unwrap();
    assert!(matches!(hasty.outcomes[0], Err(NewtonFailure::TooManyIterations { iterations: 1, .. })));
    // A conserved sum: a line of fixed points, one eigenvalue zero.
    let exchange = JvpJacobian::new(Linear(2));
    let found = fixed_points(&exchange, &[-2.0, 3.0, 2.0, -3.0], 0.0, &[1.0, 0.0], &options).unwrap();
    let point = &found.points[found.outcomes[0].unwrap()];
    assert_eq!(point.kind, FixedPointKind::NonHyperbolic { neutral: 1, unstable: 0 });
    assert!((2.0 * point.state[0] - 3.0 * point.state[1]).abs() < 1e-12 && point.state[0] > 0.1);
    let fatal = Own::<1>::new(|_, _| Err(FieldError::Fatal { t: 0.0, what: "broken" }), |_, _| [[1.0]]);
    let error = fixed_points(&fatal, &[], 0.0, &[1.0], &options).unwrap_err();
    assert!(matches!(
        error,
        DiagnoseError::Row { row: 0, source: SolveError::Field(FieldError::Fatal { .. }) }
    ));
}

/// Rows do not depend on what lies beside them, nor on threads.
#[test]
fn same_bits_for_any_threads_and_neighbours() {
    let y: Vec<f64> = (0..21).map(|i| 5.0 * (f64::from(i) * 0.7).sin()).collect();
    let options = LyapunovOptions { interval: 0.25, ..LyapunovOptions::new(2, 2.0) };
    let all = |y: &[f64]| {
        let field = SmoothField(Lorenz);
        let method = |n, d| Erk::new(&TSIT5, n, d);
        (
            jacobian_spectra(&field, &LORENZ, &[0.0], y).unwrap(),
            log_norms(&field, &LORENZ, &[0.0], y).unwrap(),
            divergence(&field, &LORENZ, &[0.0], y).unwrap(),
            lyapunov(&field, &LORENZ, y, 0.0, &options, method).unwrap(),
            local_sensitivity(&field, &LORENZ, y, 0.0, 1.0, Tolerance::default(), method).unwrap(),
            fixed_points(&field, &LORENZ, 0.0, y, &FixedPointOptions::default()).unwrap(),
        )
    };
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| all(&y))
    };
    let one = on(1);
    assert_eq!(one, on(2));
    assert_eq!(one, on(3));
    for (row, y) in y.chunks_exact(3).enumerate() {
        let alone = all(y);
        assert_eq!(alone.0.of(0), one.0.of(row));
        assert_eq!(
            (alone.1.lower[0], alone.1.upper[0], alone.2[0]),
            (one.1.lower[row], one.1.upper[row], one.2[row])
        );
        assert_eq!(alone.3.running(0), one.3.running(row));
        assert_eq!(alone.4.of(0), one.4.of(row));
    }
}

/// Two equal blocks, of which one is told.
#[derive(Clone)]
struct Blocks;

impl VectorField<f64> for Blocks {
    fn dim(&self) -> usize {
        2
    }
    fn eval(&mut self, _: f64, _: &[f64], _: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        dy.fill(0.0);
        Ok(())
    }
}

impl Jacobian<f64> for Blocks {
    fn blocks(&self) -> usize {
        2
    }
    fn jacobian(&mut self, _: f64, _: &[f64], _: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        values.fill(0.0);
        Ok(())
    }
}

#[test]
fn errors_say_what_is_wrong() {
    let field = SmoothField(Lorenz);
    let method = |n, d| Erk::new(&TSIT5, n, d);
    let said = |e: DiagnoseError| e.to_string();
    let at = |times: &[f64], y: &[f64]| said(jacobian_spectra(&field, &LORENZ, times, y).unwrap_err());
    assert_eq!(at(&[0.0], &[0.0; 4]), "state (a multiple of the dimension) has length 4, expected 3");
    assert_eq!(
        at(&[0.0, 1.0], &[0.0; 9]),
        "rows of states (a multiple of the number of times) has length 3, expected 2"
    );
    assert_eq!(
        at(&[], &[0.0; 3]),
        "rows of states (a multiple of the number of times) has length 1, expected 0"
    );
    assert_eq!(at(&[f64::NAN], &[0.0; 3]), "time must be finite, got NaN");
    let states = [0.0, 0.0, 0.0, 0.0, f64::INFINITY, 0.0];
    assert_eq!(at(&[0.0, 2.0], &states), "state is not finite at t = 2: trajectory 1, coordinate 1");
    let short = divergence(&field, &LORENZ[..2], &[0.0], &[0.0; 3]).unwrap_err();
    assert_eq!(said(short), "parameters (at least) has length 2, expected 3");
    let blocks = log_norms(&Blocks, &[], &[0.0], &[0.0; 2]).unwrap_err();
    assert_eq!(blocks, DiagnoseError::Blocks { blocks: 2 });
    let steep = Own::<1>::new(|_, _| Ok([0.0]), |_, _| [[f64::NAN]]);
    let steep = jacobian_spectra(&steep, &[], &[5.0], &[0.0, 0.0]).unwrap_err();
    assert_eq!(said(steep), "Jacobian at t = 5, row 0: matrix element [0, 0] is NaN");

    let options = LyapunovOptions { interval: 0.2, ..LyapunovOptions::new(3, 1.0) };
    let exponents = |options: LyapunovOptions<'_>, y: &[f64]| {
        said(lyapunov(&field, &LORENZ, y, 0.0, &options, method).unwrap_err())
    };
    for asked in [0, 4] {
        let wrong = LyapunovOptions { exponents: asked, ..options };
        assert_eq!(
            exponents(wrong, &[1.0; 3]),
            format!("{asked} Lyapunov exponents asked of 3 coordinates: 1 to 3 exist")
        );
    }
    let wrong = |what: &str, got: &str| format!("{what} must be {got}");
    let wrong_horizon = LyapunovOptions { horizon: 0.0, ..options };
    assert_eq!(exponents(wrong_horizon, &[1.0; 3]), wrong("horizon", "positive and finite, got 0"));
    let wrong_settle = LyapunovOptions { settle: -1.0, ..options };
    assert_eq!(
        exponents(wrong_settle, &[1.0; 3]),
        wrong("time to settle", "finite and not negative, got -1")
    );
    for interval in [-0.5, f64::NAN] {
        let wrong_interval = LyapunovOptions { interval, ..options };
        let expected = format!("positive and finite, got {interval}");
        assert_eq!(
            exponents(wrong_interval, &[1.0; 3]),
            wrong("interval between orthonormalisations", &expected)
        );
    }
    let tiny = LyapunovOptions { interval: 1e-300, ..options };
    assert!(exponents(tiny, &[1.0; 3]).contains("1e-7"));
    let absolute = LyapunovOptions { tolerance: Tolerance::new(0.0, 1e-6), ..options };
    assert_eq!(exponents(absolute, &[1.0; 3]), wrong("rtol, which tangents are held to,", "positive, got 0"));
    // Intervals that times so large cannot tell apart.
    let late = lyapunov(&field, &LORENZ, &[1.0; 3], 1e17, &options, method).unwrap_err();
    assert!(matches!(late, DiagnoseError::Arguments(SolveError::InvalidOption { .. })), "{late}");
    let loose = LyapunovOptions { tolerance: Tolerance::new(-1.0, 0.0), ..options };
    assert!(exponents(loose, &[1.0; 3]).contains("got -1"));
    assert_eq!(
        exponents(options, &[1.0, 1.0, 1.0, 1.0, f64::NAN, 1.0]),
        "state is not finite at t = 0: trajectory 1, coordinate 1"
    );
    // Forty e-folds within an interval leave nothing of the second tangent.
    let wide = LyapunovOptions { settle: 0.0, interval: 4.0, ..LyapunovOptions::new(3, 8.0) };
    assert_eq!(
        exponents(wide, &[1.0; 3]),
        "row 0: tangent 2 is lost between t = 0 and 4: make tangents orthonormal more often"
    );
    let explodes = Own::<1>::new(|y, _| Ok([y[0] * y[0]]), |y, _| [[2.0 * y[0]]]);
    let one = LyapunovOptions { settle: 0.0, interval: 2.0, ..LyapunovOptions::new(1, 2.0) };
    let error = lyapunov(&explodes, &[], &[0.1, 1.0], 0.0, &one, method).unwrap_err();
    assert!(matches!(error, DiagnoseError::Row { row: 1, .. }), "{error}");

    let change = |horizon| {
        let p = [1.0; 4];
        local_sensitivity(
            &SmoothField(LotkaVolterra),
            &p,
            &[1.0; 2],
            0.0,
            horizon,
            Tolerance::default(),
            method,
        )
    };
    assert_eq!(said(change(-1.0).unwrap_err()), "horizon must be positive and finite, got -1");
    let (p, state) = ([1.0; 4], [1.0; 2]);
    let late =
        local_sensitivity(&SmoothField(LotkaVolterra), &p, &state, 1e17, 1.0, Tolerance::default(), method);
    assert!(said(late.unwrap_err()).starts_with("horizon must be long enough"));
    // A method for another number of coordinates.
    let wrong = |_, _| Erk::new(&TSIT5, 1, 2);
    let error =
        local_sensitivity(&field, &LORENZ, &[1.0; 3], 0.0, 1.0, Tolerance::default(), wrong).unwrap_err();
    assert_eq!(said(error), "row 0: state (the stepper's) has length 12, expected 2");

    let find = |options: FixedPointOptions<'_>| {
        said(fixed_points(&field, &LORENZ, 0.0, &[1.0; 3], &options).unwrap_err())
    };
    let options = FixedPointOptions::default();
    assert!(find(FixedPointOptions { hyperbolic: 1.5, ..options }).contains("got 1.5"));
    assert!(find(FixedPointOptions { merge: 0.0, ..options }).contains("got 0"));
    assert!(find(FixedPointOptions { tolerance: Tolerance::new(0.0, 0.0), ..options }).contains("positive"));
}

/// A correction that is not a number: infinite parts of it cancel. It is no root, and no step toward one.
#[test]
fn corrections_that_are_not_numbers() {
    let steep = Own::<2>::new(
        |y, _| Ok([1e200 * (1.0 + y[0]), 1e200 * (1.0 - y[1])]),
        |_, _| [[1e-120, 2e-120], [-2e-120, 1e-120]],
    );
    let found = fixed_points(&steep, &[], 0.0, &[1.0, 3.0], &FixedPointOptions::default()).unwrap();
    assert!(found.points.is_empty());
    assert!(matches!(found.outcomes[0], Err(NewtonFailure::Stalled { iterations: 0, .. })), "{found:?}");
}
