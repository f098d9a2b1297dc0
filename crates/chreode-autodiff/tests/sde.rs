//! Stochastic equations from models that are written once.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_autodiff::{AutoSde, DimensionMismatch};
use chreode_core::{
    Calculus, Diffusion, DiffusionJvp, DiffusionJvpVjp, DiffusionVjp, Dynamics, NoiseKind, Number,
    VectorField, Vjp,
};
use chreode_testkit::{
    CountingAllocator, SinhSde, allocations_in, check_diffusion_jvp, check_diffusion_jvp_vjp,
    check_diffusion_vjp, check_vjp, compare,
};
use proptest::prelude::*;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// The drift of [`SinhSde`].
#[derive(Debug, Clone)]
struct Drift(usize);
impl Dynamics for Drift {
    fn dim(&self) -> usize {
        self.0
    }
    fn n_params(&self) -> usize {
        2
    }
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        for i in 0..self.0 {
            dy[i] = p[1] * p[1] * y[i] * 0.5 + p[0] * t.cos() * (y[i] * y[i] + 1.0).sqrt();
        }
    }
}

/// `σ √(1 + y²)` of the coordinate itself, the next one, or none; with one more parameter than the drift where it is none.
#[derive(Debug, Clone)]
struct Noise {
    d: usize,
    seen: Option<usize>,
}
impl Dynamics for Noise {
    fn dim(&self) -> usize {
        self.d
    }
    fn n_params(&self) -> usize {
        if self.seen.is_some() { 2 } else { 3 }
    }
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], g: &mut [S]) {
        for i in 0..self.d {
            g[i] = match self.seen {
                Some(shift) => {
                    let y = y[(i + shift) % self.d];
                    p[1] * (y * y + 1.0).sqrt()
                }
                None => p[1] * (p[2] * t.sin() + 1.0),
            };
        }
    }
}

type Sde<T = f64> = AutoSde<Drift, Noise, T>;

fn of(seen: Option<usize>, d: usize) -> Sde {
    AutoSde::new(Drift(d), Noise { d, seen }).unwrap()
}

#[test]
fn the_structure_of_the_noise_is_read_from_the_model() {
    assert_eq!(of(None, 3).noise_kind(), NoiseKind::Additive);
    assert_eq!(of(Some(0), 3).noise_kind(), NoiseKind::Separable);
    assert_eq!(of(Some(1), 3).noise_kind(), NoiseKind::Diagonal);
    let scalar: Sde = AutoSde::scalar(Drift(3), Noise { d: 3, seen: Some(1) }).unwrap();
    assert_eq!((scalar.noise_kind(), scalar.calculus()), (NoiseKind::Scalar, Calculus::Ito));
    assert_eq!(scalar.in_calculus(Calculus::Stratonovich).calculus(), Calculus::Stratonovich);
    assert_eq!((of(None, 3).n_params(), of(Some(0), 3).n_params()), (3, 2));
    let mismatch = AutoSde::<_, _, f64>::new(Drift(2), Noise { d: 3, seen: None });
    assert_eq!(mismatch.unwrap_err(), DimensionMismatch { drift: 2, diffusion: 3 });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn derivatives(t in 0.0..3.0_f64, seen in prop::option::of(0_usize..3), y in prop::collection::vec(-2.0..2.0_f64, 60), p in prop::collection::vec(0.2..1.5_f64, 3)) {
        // Two rows, and more than the vectors of the batch.
        for rows in [2, 20] {
            let mut sde = of(seen, 3);
            let (p, n) = (&p[..sde.n_params()], 3 * rows);
            let v: Vec<f64> = y[..n].iter().rev().map(|y| y + 0.3).collect();
            let l: Vec<f64> = y[..n].iter().map(|y| (3.0 * y).cos()).collect();
            for check in [
                check_vjp(&mut sde, t, &y[..n], p, &l, 1e-8),
                check_diffusion_vjp(&mut sde, t, &y[..n], p, &l, 1e-8),
                check_diffusion_jvp(&mut sde, t, &y[..n], p, &v, 1e-8),
                check_diffusion_jvp_vjp(&mut sde, t, &y[..n], p, &v, &l, 1e-8),
            ] {
                prop_assert!(check.is_ok(), "{:?}", check);
            }
        }
    }

    #[test]
    fn second_derivatives_by_hand(y in prop::collection::vec(-2.0..2.0_f64, 6), p in prop::collection::vec(0.2..1.5_f64, 2)) {
        let (mut auto, mut hand, l) = (of(Some(0), 3), SinhSde { dim: 3 }, [0.3, -0.5, 0.7, 1.1, -1.3, 0.2]);
        let mut found = [vec![0.5; 6], vec![0.5; 6], vec![0.5; 2]];
        let mut expected = found.clone();
        let [y_bar, v_bar, p_bar] = &mut found;
        auto.diffusion_jvp_vjp(0.5, &y, &p, &l, &y, y_bar, v_bar, p_bar).unwrap();
        let [y_bar, v_bar, p_bar] = &mut expected;
        hand.diffusion_jvp_vjp(0.5, &y, &p, &l, &y, y_bar, v_bar, p_bar).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            compare("second derivative", found, expected, 1e-13).unwrap();
        }
    }
}

#[test]
fn single_precision() {
    let mut sde: Sde<f32> = AutoSde::new(Drift(1), Noise { d: 1, seen: Some(0) }).unwrap();
    let (mut y_bar, mut v_bar, mut p_bar) = ([0.0_f32], [0.0_f32], [0.0_f32; 2]);
    sde.diffusion_jvp_vjp(0.0, &[0.75], &[0.3, 0.4], &[2.0], &[1.0], &mut y_bar, &mut v_bar, &mut p_bar)
        .unwrap();
    // r = 1.25: σ v / r³, σ y / r, y v / r.
    assert!(
        (y_bar[0] - 0.4096).abs() < 1e-6 && (v_bar[0] - 0.24).abs() < 1e-6 && (p_bar[1] - 1.2).abs() < 1e-6
    );
}

#[test]
fn nothing_is_allocated_after_the_first_call() {
    let mut sde = of(Some(1), 3);
    let (y, p) = (vec![0.3; 60], [0.5, 0.4]);
    let (mut out, mut bars, mut p_bar) = (vec![0.0; 60], [vec![0.0; 60], vec![0.0; 60]], [0.0; 2]);
    let mut calls = || {
        sde.drift_and_diffusion(0.1, &y, &p, &mut out, &mut bars[0]).unwrap();
        sde.diffusion_jvp(0.1, &y, &p, &y, &mut out).unwrap();
        sde.vjp(0.1, &y, &p, &y, &mut out, &mut p_bar).unwrap();
        sde.diffusion_vjp(0.1, &y, &p, &y, &mut out, &mut p_bar).unwrap();
        let [y_bar, v_bar] = &mut bars;
        sde.diffusion_jvp_vjp(0.1, &y, &p, &y, &y, y_bar, v_bar, &mut p_bar).unwrap();
    };
    calls();
    assert_eq!(allocations_in(calls).0, 0);
}
