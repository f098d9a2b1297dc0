//! The parallel ensemble: same bits for any threads and chunks, hooks, weights, errors that say where.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{Calculus, Diffusion, FieldError, NoiseKind, VectorField};
use chreode_solve::{
    Ensemble, EnsembleOptions, EulerMaruyama, Increments, Milstein, SdeMethod, SdeScheme, SolveError, TILE,
    TimeGrid, simulate, simulate_weighted,
};
use chreode_testkit::{MixedSinhSde, RingSde, SinhSde, SpinSde, WellSde};
use proptest::prelude::*;

const P: [f32; 4] = [1.0, 0.7, 0.5, 0.3];

fn start(n: usize, d: usize) -> Vec<f32> {
    (0..n * d).map(|i| (i as f32 * 0.37).sin()).collect()
}

fn weighted(n: usize, d: usize, options: &EnsembleOptions<'_, f32>) -> Ensemble<f32> {
    let sde = WellSde { dim: d };
    let grid = TimeGrid::new(0.5, &[0.8, 1.5], 0.04).unwrap();
    simulate_weighted(&sde, &sde, &P, &start(n, d), &grid, options).unwrap()
}

#[test]
fn same_bits_for_any_number_of_threads() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| weighted(5 * TILE + 17, 3, &EnsembleOptions::new(5)))
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
    assert!(one.states[1].iter().all(|y| y.is_finite()) && one.states[0] != one.states[1]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    /// Any split of the cells into calls, and any offset of the trajectory numbers, gives the same rows.
    #[test]
    fn same_bits_for_any_chunking(n in 1..3 * TILE, cut in 0.0..1.0_f64, first in 0_u64..1 << 40, d in 1_usize..6) {
        let sde = WellSde { dim: d };
        let grid = TimeGrid::new(0.0, &[0.5], 0.1).unwrap();
        let y0 = start(n, d);
        let run = |from: usize, to: usize| {
            let options = EnsembleOptions { first_trajectory: first + from as u64, ..EnsembleOptions::new(1) };
            simulate_weighted(&sde, &sde, &P, &y0[from * d..to * d], &grid, &options).unwrap()
        };
        let cut = (cut * n as f64) as usize;
        let (all, a, b) = (run(0, n), run(0, cut), run(cut, n));
        prop_assert_eq!(&all.states[0], &[&a.states[0][..], &b.states[0][..]].concat());
        prop_assert_eq!(&all.log_weights[0], &[&a.log_weights[0][..], &b.log_weights[0][..]].concat());
    }
}

#[test]
fn weights_follow_the_path() {
    // Without noise and forcing, from the fixed point x = 1 of dx = x - x³: growth is c per coordinate.
    let sde = WellSde { dim: 2 };
    let grid = TimeGrid::new(0.0, &[1.0, 3.0], 0.1).unwrap();
    let p = [1.0, 0.0, 0.0, 0.25];
    let out = simulate_weighted(&sde, &sde, &p, &[1.0_f64; 6], &grid, &EnsembleOptions::new(0)).unwrap();
    for (log_w, expected) in out.log_weights.iter().zip([0.5, 1.5]) {
        assert!(log_w.iter().all(|w| (w - expected).abs() < 1e-12), "{log_w:?}");
    }
    let plain = simulate(&sde, &p, &[1.0_f64; 6], &grid, &EnsembleOptions::new(0)).unwrap();
    assert_eq!((plain.log_weights.len(), &plain.states), (0, &out.states));
}

#[test]
fn after_step_sees_every_step_and_shapes_the_path() {
    let clamp = |_t: f64, tile: &mut [f32]| tile.chunks_exact_mut(3).for_each(|y| y[1] = 2.0);
    let free = weighted(100, 3, &EnsembleOptions::new(5));
    let held = weighted(100, 3, &EnsembleOptions { after_step: Some(&clamp), ..EnsembleOptions::new(5) });
    for (free, held) in free.states[1].chunks_exact(3).zip(held.states[1].chunks_exact(3)) {
        assert_eq!((held[1], held[0], held[2]), (2.0, free[0], free[2]));
        assert_ne!(free[1], 2.0);
    }
    assert_ne!(free.log_weights[1], held.log_weights[1]);
}

/// Infinite in coordinate 1 of trajectories that start above 5, after t = 0.5.
#[derive(Clone)]
struct Explodes;
impl VectorField<f64> for Explodes {
    fn dim(&self) -> usize {
        2
    }
    fn eval(&mut self, t: f64, y: &[f64], _p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        for (y, dy) in y.chunks_exact(2).zip(dy.chunks_exact_mut(2)) {
            dy[0] = 0.0;
            dy[1] = if y[0] > 5.0 && t > 0.55 { f64::INFINITY } else { 0.0 };
        }
        Ok(())
    }
}
impl Diffusion<f64> for Explodes {
    fn noise_kind(&self) -> NoiseKind {
        NoiseKind::Additive
    }
    fn diffusion(&mut self, _t: f64, _y: &[f64], _p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
        g.fill(0.0);
        Ok(())
    }
}

#[test]
fn errors_say_where() {
    let grid = TimeGrid::new(0.0, &[1.0], 0.1).unwrap();
    let mut y0 = vec![0.0; 2 * 300];
    y0[2 * 130] = 6.0;
    y0[2 * 250] = 6.0;
    let options = EnsembleOptions { first_trajectory: 1000, ..EnsembleOptions::new(0) };
    match simulate(&Explodes, &[], &y0, &grid, &options) {
        Err(SolveError::NonFinite { t, trajectory: 1130, coordinate: 1 }) => assert!((t - 0.7).abs() < 1e-12),
        other => panic!("{other:?}"),
    }
    y0[2 * 70 + 1] = f64::NAN;
    assert_eq!(
        simulate(&Explodes, &[], &y0, &grid, &options),
        Err(SolveError::NonFinite { t: 0.0, trajectory: 1070, coordinate: 1 })
    );
    let sde = SinhSde { dim: 2 };
    let run = |p: &[f64], y0: &[f64]| simulate(&sde, p, y0, &grid, &EnsembleOptions::new(0));
    assert!(matches!(
        run(&[1.0, 1.0], &[0.0; 3]),
        Err(SolveError::ShapeMismatch { expected: 2, got: 3, .. })
    ));
    assert!(matches!(run(&[1.0], &[0.0; 2]), Err(SolveError::ShapeMismatch { expected: 2, got: 1, .. })));
    assert_eq!(run(&[1.0, 1.0], &[]).unwrap().states, [vec![]]);
}

/// Every method on every structure of noise: it runs, with the same bits on any number of threads and for any
/// chunking, or it is a typed error.
#[test]
fn every_method_on_every_noise() {
    fn check<S: Diffusion<f32> + Clone + Send + Sync>(sde: &S, p: &[f32], runs: &mut usize) {
        let (n, d) = (2 * TILE + 9, sde.dim());
        let y0 = start(n, d);
        let grid = TimeGrid::new(0.0, &[0.2, 0.5], 0.05).unwrap();
        for method in SdeMethod::ALL {
            let run = |threads: usize, from: usize, to: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let options =
                    EnsembleOptions { method, first_trajectory: from as u64, ..EnsembleOptions::new(3) };
                pool.install(|| simulate(sde, p, &y0[from * d..to * d], &grid, &options))
            };
            let (noise, calculus) = (sde.noise_kind(), sde.calculus());
            if method.strong_order(noise, calculus).is_none() {
                let error = SolveError::UnsupportedNoise { method: method.name(), noise, calculus };
                assert_eq!(run(1, 0, n), Err(error.clone()));
                assert_eq!(method.scheme(1, sde).err(), Some(error));
                continue;
            }
            *runs += 1;
            let all = run(1, 0, n).unwrap();
            assert_eq!(all, run(2, 0, n).unwrap());
            let (a, b) = (run(1, 0, 50).unwrap(), run(1, 50, n).unwrap());
            assert_eq!(all.states[1], [&a.states[1][..], &b.states[1][..]].concat());
            assert!(all.states[1] != y0 && all.states[1].iter().all(|y| y.is_finite()));
        }
    }
    let mut runs = 0;
    for calculus in [Calculus::Ito, Calculus::Stratonovich] {
        for noise in [NoiseKind::Additive, NoiseKind::Separable, NoiseKind::Diagonal] {
            check(&RingSde { dim: 3, noise, calculus }, &[0.5], &mut runs);
        }
        check(&SpinSde { calculus }, &[0.8, 0.6], &mut runs);
        let mixing = vec![0.5, 0.3, -0.2, 0.4, 0.1, 0.2];
        check(&MixedSinhSde { mixing, motions: 2, calculus }, &[0.5], &mut runs);
    }
    // Additive: 5 and 5; Itô: 3 (separable), 1, 3 (scalar), 1; Stratonovich: 1 each.
    assert_eq!(runs, 10 + 8 + 4);
    let none = MixedSinhSde { mixing: vec![], motions: 0, calculus: Calculus::Ito };
    let kind = NoiseKind::General { motions: 0 };
    assert!(SdeMethod::ALL.iter().all(|m| m.strong_order(kind, none.calculus).is_none()));
}

/// A diagonal matrix and its diagonal are one equation; a column of ones times one motion is scalar noise.
#[test]
fn structures_agree() {
    /// An SDE whose diffusion is written out as a matrix.
    #[derive(Clone)]
    struct AsMatrix<S>(S);
    impl<S: VectorField<f64>> VectorField<f64> for AsMatrix<S> {
        fn dim(&self) -> usize {
            self.0.dim()
        }
        fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
            self.0.eval(t, y, p, dy)
        }
    }
    impl<S: Diffusion<f64>> Diffusion<f64> for AsMatrix<S> {
        fn noise_kind(&self) -> NoiseKind {
            NoiseKind::General { motions: self.0.noise_kind().motions(self.0.dim()) }
        }
        fn calculus(&self) -> Calculus {
            self.0.calculus()
        }
        fn diffusion(&mut self, t: f64, y: &[f64], p: &[f64], g: &mut [f64]) -> Result<(), FieldError> {
            let (d, m) = (self.0.dim(), self.0.noise_kind().motions(self.0.dim()));
            let mut own = vec![0.0; y.len()];
            self.0.diffusion(t, y, p, &mut own)?;
            g.fill(0.0);
            for (i, own) in own.into_iter().enumerate() {
                g[i * m + if m == 1 { 0 } else { i % d }] = own;
            }
            Ok(())
        }
    }
    fn check<S: Diffusion<f64> + Clone + Send + Sync>(sde: &S, p: &[f64], method: SdeMethod) {
        let grid = TimeGrid::new(0.0, &[1.0], 0.1).unwrap();
        let options = EnsembleOptions { method, ..EnsembleOptions::new(3) };
        let y0: Vec<f64> = start(20, sde.dim()).into_iter().map(f64::from).collect();
        let (a, b) = (
            simulate(sde, p, &y0, &grid, &options).unwrap(),
            simulate(&AsMatrix(sde.clone()), p, &y0, &grid, &options).unwrap(),
        );
        for (a, b) in a.states[0].iter().zip(&b.states[0]) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }
    for (calculus, method) in
        [(Calculus::Ito, SdeMethod::EulerMaruyama), (Calculus::Stratonovich, SdeMethod::StochasticHeun)]
    {
        check(&RingSde { dim: 3, noise: NoiseKind::Diagonal, calculus }, &[0.5], method);
        check(&SpinSde { calculus }, &[0.8, 0.6], method);
    }
}

#[test]
fn steps_that_do_not_fit_are_errors() {
    let mut sde = SinhSde { dim: 2 };
    let mut step = |scheme: &mut dyn SdeScheme<f64>, dw: &[f64], area: &[f64], y: &mut [f64], p: &[f64]| {
        scheme.advance(&mut sde, Increments { dw, area }, 0, 0.0, 0.1, y, p)
    };
    let own = SinhSde { dim: 2 };
    let schemes: [Box<dyn SdeScheme<f64>>; 3] = [
        Box::new(EulerMaruyama::new(2, 2)),
        Box::new(Milstein::new(2, &own).unwrap()),
        SdeMethod::Sriw1.scheme(2, &own).unwrap(),
    ];
    let (four, p) = ([0.1; 4], [0.5; 2]);
    for mut scheme in schemes {
        let scheme = &mut *scheme;
        let mismatch = |result| matches!(result, Err(SolveError::ShapeMismatch { .. }));
        assert!(mismatch(step(scheme, &four, &four, &mut [0.1; 3], &p)));
        assert!(mismatch(step(scheme, &[0.1; 6], &[0.1; 6], &mut [0.1; 6], &p)));
        assert!(mismatch(step(scheme, &four[1..], &four[1..], &mut [0.1; 4], &p)));
        assert!(mismatch(step(scheme, &four, &four, &mut [0.1; 4], &p[1..])));
        assert_eq!(step(scheme, &four, &[], &mut [0.1; 4], &p).is_err(), scheme.needs_area());
        assert_eq!(step(scheme, &four, &four, &mut [0.1; 4], &p), Ok(()));
        let y = &mut [0.1, 0.1, f64::NAN, 0.1];
        assert!(matches!(
            step(scheme, &four, &four, y, &p),
            Err(SolveError::NonFinite { trajectory: 1, coordinate: 0, .. })
        ));
    }
    // A workspace for diagonal noise, and an equation of one motion.
    let mut spin = SpinSde { calculus: Calculus::Ito };
    let mut euler = EulerMaruyama::new(2, 2);
    let noise = Increments { dw: &[0.1; 2], area: &[] };
    let error = euler.advance(&mut spin, noise, 0, 0.0, 0.1, &mut [0.1; 4], &p);
    assert!(matches!(error, Err(SolveError::ShapeMismatch { .. })), "{error:?}");
}
