//! Stiff models by `Rodas5P`, against `chreode-solve` in f64 with the same method and tolerances.

use super::{Driven, Ring, ensemble, source};
use crate::lab::{lab, numbers, sizes, tries};
use crate::stiff::compare;
use chreode_autodiff::Program;
use chreode_core::{Dynamics, Number, put, take};
use chreode_cuda::{
    AdaptiveOptions, CudaError, GeneratedEnsemble, GeneratedMethod, GeneratedPaths, GeneratedSource,
    TrajectoryEnd,
};
use proptest::prelude::*;

const OPTIONS: AdaptiveOptions = AdaptiveOptions { rtol: 1e-4, atol: 1e-6, max_steps: 10_000 };
const METHOD: GeneratedMethod = GeneratedMethod::Rodas5P;

/// Solves on the device with the threads in both orders, and compares with the processor.
fn check<D: Dynamics + Clone>(
    name: &str,
    model: &D,
    p: &[f32],
    start: &[f32],
    times: &[f64],
    options: AdaptiveOptions,
    tolerance: f64,
) {
    let Some(lab) = lab() else { return };
    let ends = std::cell::RefCell::new(Vec::new());
    let mut saved = lab.both_orders(|stream| {
        let ensemble = ensemble(&lab, stream, &source(name, METHOD, model));
        let mut saved = stream.zeros((times.len() - 1) * start.len()).unwrap();
        let [p, start] = [p, start].map(|v| stream.upload(v).unwrap());
        *ends.borrow_mut() = ensemble.solve(options, &p, &start, times, &mut saved).unwrap();
        vec![saved.to_vec().unwrap()]
    });
    compare(model, options, p, start, times, tolerance, &(saved.swap_remove(0), ends.into_inner()));
}

/// Robertson's reactions as a model.
#[derive(Clone)]
struct Robertson;

impl Dynamics for Robertson {
    fn dim(&self) -> usize {
        3
    }
    fn n_params(&self) -> usize {
        3
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([a, b, c], [k1, k2, k3]) = (take(y), take(p));
        let (slow, back, fast) = (k1 * a, k2 * b * c, k3 * b * b);
        put(dy, [back - slow, slow - back - fast, fast]);
    }
}

#[test]
fn robertson() {
    let options = AdaptiveOptions { rtol: 1e-4, atol: 1e-8, max_steps: 10_000 };
    for n in [0, 1, 31, 33, 257] {
        let p: Vec<f32> = numbers(3, n).iter().flat_map(|z| [0.04 * (1.0 + 0.3 * z), 1e4, 3e7]).collect();
        let start = [1.0, 0.0, 0.0].repeat(n);
        check("robertson", &Robertson, &p, &start, &[0.0, 0.4, 40.0, 4000.0], options, 2e-3);
    }
}

#[test]
fn driven_by_time() {
    let n = 37;
    let p: Vec<f32> = numbers(11, n).iter().flat_map(|z| [300.0 * (1.2 + z), 2.0 + z]).collect();
    let start: Vec<f32> = numbers(12, 4 * n).iter().map(|z| 0.6 + 0.5 * z).collect();
    check("driven", &Driven, &p, &start, &[0.5, 0.75, 3.0], OPTIONS, 2e-3);
}

#[test]
fn rings() {
    for (d, name) in [(1, "ring_1"), (5, "ring_5"), (17, "ring_17")] {
        let n = 33;
        let start: Vec<f32> = numbers(13, n * d).iter().map(|z| 1.1 + z).collect();
        check(name, &Ring(d), &[20.0], &start, &[0.0, 0.1, 1.0], OPTIONS, 1e-3);
    }
}

proptest! {
    #![proptest_config(tries(8))]

    /// Any number of trajectories: none, around a warp, primes. Powers are above 2, so that the field is smooth where their base crosses zero.
    #[test]
    fn any_number_of_trajectories(n in sizes(), seed: u64) {
        let p: Vec<f32> = numbers(seed, n).iter().flat_map(|z| [300.0 * (1.2 + z), 3.1 + z]).collect();
        let start: Vec<f32> = numbers(seed ^ 1, 4 * n).iter().map(|z| 0.6 + 0.5 * z).collect();
        check("driven", &Driven, &p, &start, &[0.5, 0.75, 3.0], OPTIONS, 2e-3);
    }
}

/// What does not compile, does not load or does not fit is an error; a trajectory that runs away stops alone.
#[test]
fn what_fails() {
    let Some(lab) = lab() else { return };
    let field = Program::cuda_code(&Robertson);
    let source = GeneratedSource::new("of_another_name", METHOD, 3, 3, &field).unwrap();
    // Where there is no NVRTC, that is said; where it is, it compiles.
    match source.compile() {
        Ok(ptx) => assert!(ptx.contains(".entry of_another_name("), "{ptx}"),
        Err(error) => assert_eq!(error, CudaError::NoRuntimeCompiler),
    }
    let wide = super::source("wide", METHOD, &Ring(19));
    let refused = GeneratedEnsemble::from_ptx(&lab.stream, &wide, "").err();
    assert!(matches!(refused, Some(CudaError::TooLarge { got: 19, most: 18, .. })), "{refused:?}");
    let Some(stand_in) = lab.stand_in else { return };
    let load = |ptx: &str| GeneratedEnsemble::from_ptx(&lab.stream, &source, ptx).err();
    assert!(matches!(load("no PTX"), Some(CudaError::BadModule { .. })));
    let robertson = super::source("robertson", METHOD, &Robertson);
    let other = stand_in.add_kernel("robertson", &robertson.body());
    assert!(matches!(load(&other.unwrap()), Some(CudaError::MissingKernel { .. })));
    let sizes = GeneratedSource::new("sizes", METHOD, 4, 3, &field).unwrap();
    let error = stand_in.add_kernel("sizes", &sizes.body()).err().map(|e| e.to_string());
    assert!(error.is_some_and(|e| e.contains("the model has other sizes")));

    let paths = GeneratedPaths::from_ptx(&lab.stream, &robertson, "").err();
    assert_eq!(paths, Some(CudaError::OtherMethod { method: METHOD }));

    let runaway = ensemble(&lab, &lab.stream, &robertson);
    let mut saved = lab.stream.zeros(6).unwrap();
    let (p, start) = (lab.upload(&[0.04, 1e4, 3e7]), lab.upload(&[1.0, 0.0, 0.0, f32::NAN, 0.0, 0.0]));
    let ends = runaway.solve(OPTIONS, &p, &start, &[0.0, 1.0], &mut saved).unwrap();
    assert!(matches!(ends[..], [TrajectoryEnd::Done { .. }, TrajectoryEnd::NonFiniteStart]), "{ends:?}");
    assert!(runaway.solve(OPTIONS, &p, &start, &[0.0, 0.0], &mut saved).is_err());
}
