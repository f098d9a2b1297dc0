//! The parallel ensemble: same bits for any threads and chunks, hooks, weights, errors that say where.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use chreode_core::{Diffusion, FieldError, NoiseKind, VectorField};
use chreode_solve::{Ensemble, EnsembleOptions, SolveError, TILE, TimeGrid, simulate, simulate_weighted};
use chreode_testkit::{SinhSde, WellSde};
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
