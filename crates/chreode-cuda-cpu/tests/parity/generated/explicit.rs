//! Models by `Tsit5`, each trajectory with its own steps, against the lanes of `chreode-solve` in f64.

use super::{Driven, Ring, ensemble, source};
use crate::lab::{lab, numbers, tries};
use crate::network;
use chreode_core::{Dynamics, Number, put, take};
use chreode_cuda::{AdaptiveOptions, CudaError, GeneratedEnsemble, GeneratedMethod, TrajectoryEnd};
use proptest::prelude::*;

const OPTIONS: AdaptiveOptions = network::OPTIONS;
const METHOD: GeneratedMethod = GeneratedMethod::Tsit5;

/// Solves on the device with the threads in both orders, and compares with the processor.
fn check<D: Dynamics + Sync>(name: &str, model: &D, p: &[f32], start: &[f32], times: &[f64], tolerance: f64) {
    let Some(lab) = lab() else { return };
    let source = source(name, METHOD, model);
    let got = lab.both_orders(|stream| {
        let ensemble = ensemble(&lab, stream, &source);
        let mut saved = stream.zeros((times.len() - 1) * start.len()).unwrap();
        let [p, start] = [p, start].map(|v| stream.upload(v).unwrap());
        let ends = ensemble.solve(OPTIONS, &p, &start, times, &mut saved).unwrap();
        vec![saved.to_vec().unwrap(), network::steps(&ends)]
    });
    network::check(model, p, start, times, &got, tolerance);
}

/// Lorenz's system.
#[derive(Clone)]
struct Lorenz;

impl Dynamics for Lorenz {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        3
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([x, y, z], [sigma, rho, beta]) = (take(y), take(p));
        put(dy, [sigma * (y - x), x * (rho - z) - y, x * y - beta * z]);
    }
}

/// Over a short time, from times that are not zero.
#[test]
fn lorenz() {
    for n in [0, 1, 31, 33, 257] {
        let start: Vec<f32> =
            numbers(7, 3 * n).iter().enumerate().map(|(i, z)| 5.0 * z + [1.0, 2.0, 20.0][i % 3]).collect();
        check("lorenz", &Lorenz, &[10.0, 28.0, 8.0 / 3.0], &start, &[-0.5, -0.3, 0.1], 2e-2);
    }
}

/// As many states as there is room for, and few.
#[test]
fn rings() {
    for (d, name) in [(1, "explicit_ring_1"), (5, "explicit_ring_5"), (25, "explicit_ring_25")] {
        let start: Vec<f32> = numbers(13, 33 * d).iter().map(|z| 1.1 + z).collect();
        check(name, &Ring(d), &[0.5], &start, &[0.0, 0.1, 1.0], 1e-3);
    }
}

proptest! {
    #![proptest_config(tries(24))]

    /// Every operation, driven in time, with parameters of each trajectory's own: ten tolerances.
    ///
    /// Powers of `|x|` are two and more: a step over the kink of a lower one is wrong by up to twenty tolerances, on
    /// either side, with a different step on each.
    #[test]
    fn any_number_of_driven_trajectories(
        n in prop_oneof![Just(0_usize), Just(1), Just(31), Just(33), Just(53), Just(257), 1_usize..300],
        seed: u64,
        from in -2.0..2.0_f64,
        gaps in prop::collection::vec(0.05..1.5_f64, 1..4),
    ) {
        let p: Vec<f32> = numbers(seed, n).iter().flat_map(|z| [3.0 * (1.2 + z), 3.0 + z]).collect();
        let start: Vec<f32> = numbers(seed ^ 1, 4 * n).iter().map(|z| 0.6 + 0.5 * z).collect();
        let times: Vec<f64> = std::iter::once(from)
            .chain(gaps.iter().scan(from, |t, gap| { *t += gap; Some(*t) }))
            .collect();
        check("explicit_driven", &Driven, &p, &start, &times, 1e-3);
    }
}

/// What stops on its way says why, what does not fit is refused.
#[test]
fn what_fails() {
    let Some(lab) = lab() else { return };
    let wide = source("explicit_wide", METHOD, &Ring(26));
    let refused = GeneratedEnsemble::from_ptx(&lab.stream, &wide, "").err();
    assert!(matches!(refused, Some(CudaError::TooLarge { got: 26, most: 25, .. })), "{refused:?}");
    // dy = 0.5 (y_before - y) - y^2 runs away from below -0.5.
    let ring = ensemble(&lab, &lab.stream, &source("explicit_ring_1", METHOD, &Ring(1)));
    let mut saved = lab.stream.zeros(3).unwrap();
    let (p, start) = (lab.upload(&[0.5]), lab.upload(&[0.25, -3.0, f32::NAN]));
    let mut run = |options| ring.solve(options, &p, &start, &[0.0, 1.0], &mut saved).unwrap();
    let ends = run(OPTIONS);
    assert!(matches!(ends[0], TrajectoryEnd::Done { .. }), "{ends:?}");
    assert!(matches!(ends[1], TrajectoryEnd::StepTooSmall | TrajectoryEnd::TooManySteps), "{ends:?}");
    assert_eq!(ends[2], TrajectoryEnd::NonFiniteStart);
    let ends = run(AdaptiveOptions { max_steps: 1, ..OPTIONS });
    assert_eq!(ends[1], TrajectoryEnd::TooManySteps);
    let refused = ring.solve(OPTIONS, &p, &start, &[0.0, 0.0], &mut saved).err();
    assert!(matches!(refused, Some(CudaError::Shape { .. })), "{refused:?}");
}
