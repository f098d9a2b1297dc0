//! Kernels that are generated from models: compiled by g++ on the stand-in, by NVRTC on a GPU.

use crate::lab::{Lab, lab, numbers};
use crate::stiff::compare;
use chreode_autodiff::Program;
use chreode_core::{Dynamics, Number, put, take};
use chreode_cuda::{AdaptiveOptions, CudaError, GeneratedEnsemble, GeneratedSource, Stream, TrajectoryEnd};

const OPTIONS: AdaptiveOptions = AdaptiveOptions { rtol: 1e-4, atol: 1e-6, max_steps: 10_000 };

/// The model's ensemble, by the compiler that fits the device.
fn ensemble<D: Dynamics>(lab: &Lab, stream: &Stream, name: &str, model: &D) -> GeneratedEnsemble {
    let source =
        GeneratedSource::new(name, model.dim(), model.n_params(), &Program::cuda_code(model)).unwrap();
    match lab.stand_in {
        Some(stand_in) => {
            let ptx = stand_in.add_kernel(name, &source.body()).unwrap();
            GeneratedEnsemble::from_ptx(stream, &source, &ptx).unwrap()
        }
        None => GeneratedEnsemble::new(stream, &source).unwrap(),
    }
}

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
        let ensemble = ensemble(&lab, stream, name, model);
        let mut saved = stream.zeros((times.len() - 1) * start.len()).unwrap();
        let [p, start] = [p, start].map(|v| stream.upload(v).unwrap());
        *ends.borrow_mut() = ensemble.solve_stiff(options, &p, &start, times, &mut saved).unwrap();
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

/// Every operation, and a driven, fast relaxation: the field depends on time.
#[derive(Clone)]
struct Driven;

impl Dynamics for Driven {
    fn dim(&self) -> usize {
        4
    }
    fn n_params(&self) -> usize {
        2
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let ([x, y, z, w], [fast, power]) = (take(y), take(p));
        let drive = (t * 3.0).cos() + (t * 2.0).sin() * 0.5;
        let hill = x.abs().powf(power) / (x.abs().powf(power) + 1.0);
        // Smooth where it changes from one formula to the other.
        let gate = S::select(y.lt(S::c(0.2)), y * y, y * 0.4 - 0.04);
        put(
            dy,
            [
                fast * (drive - x),
                hill - (y * y + 1.0).sqrt() * y - gate,
                (x * 0.5).tanh() - (z * z + 1.0).ln() * z * (-z).exp(),
                w * w * -0.5 + S::c(2.5).floor() * 0.1 + t * 0.01,
            ],
        );
    }
}

#[test]
fn driven_by_time() {
    let n = 37;
    let p: Vec<f32> = numbers(11, n).iter().flat_map(|z| [300.0 * (1.2 + z), 2.0 + z]).collect();
    let start: Vec<f32> = numbers(12, 4 * n).iter().map(|z| 0.6 + 0.5 * z).collect();
    check("driven", &Driven, &p, &start, &[0.5, 0.75, 3.0], OPTIONS, 2e-3);
}

/// A ring of `d` states, whose systems lie outside of shared memory for a large ring.
#[derive(Clone)]
struct Ring(usize);

impl Dynamics for Ring {
    fn dim(&self) -> usize {
        self.0
    }
    fn n_params(&self) -> usize {
        1
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let d = self.0;
        for i in 0..d {
            dy[i] = p[0] * (i + 1) as f64 * (y[(i + d - 1) % d] - y[i]) - y[i] * y[i];
        }
    }
}

#[test]
fn rings() {
    for (d, name) in [(1, "ring_1"), (5, "ring_5"), (17, "ring_17")] {
        let n = 33;
        let start: Vec<f32> = numbers(13, n * d).iter().map(|z| 1.1 + z).collect();
        check(name, &Ring(d), &[20.0], &start, &[0.0, 0.1, 1.0], OPTIONS, 1e-3);
    }
}

/// What does not compile, does not load or does not fit is an error; a trajectory that runs away stops alone.
#[test]
fn what_fails() {
    let Some(lab) = lab() else { return };
    let field = Program::cuda_code(&Robertson);
    let source = GeneratedSource::new("of_another_name", 3, 3, &field).unwrap();
    // Where there is no NVRTC, that is said; where it is, it compiles.
    match source.compile() {
        Ok(ptx) => assert!(ptx.contains(".entry of_another_name("), "{ptx}"),
        Err(error) => assert_eq!(error, CudaError::NoRuntimeCompiler),
    }
    let wide = GeneratedSource::new("wide", 19, 1, &Program::cuda_code(&Ring(19))).unwrap();
    let refused = GeneratedEnsemble::from_ptx(&lab.stream, &wide, "").err();
    assert!(matches!(refused, Some(CudaError::TooLarge { got: 19, most: 18, .. })), "{refused:?}");
    let Some(stand_in) = lab.stand_in else { return };
    let load = |ptx: &str| GeneratedEnsemble::from_ptx(&lab.stream, &source, ptx).err();
    assert!(matches!(load("no PTX"), Some(CudaError::BadModule { .. })));
    let other =
        stand_in.add_kernel("robertson", &GeneratedSource::new("robertson", 3, 3, &field).unwrap().body());
    assert!(matches!(load(&other.unwrap()), Some(CudaError::MissingKernel { .. })));
    let sizes = GeneratedSource::new("sizes", 4, 3, &field).unwrap();
    let error = stand_in.add_kernel("sizes", &sizes.body()).err().map(|e| e.to_string());
    assert!(error.is_some_and(|e| e.contains("the field has other sizes")));

    let runaway = ensemble(&lab, &lab.stream, "robertson", &Robertson);
    let mut saved = lab.stream.zeros(6).unwrap();
    let (p, start) = (lab.upload(&[0.04, 1e4, 3e7]), lab.upload(&[1.0, 0.0, 0.0, f32::NAN, 0.0, 0.0]));
    let ends = runaway.solve_stiff(OPTIONS, &p, &start, &[0.0, 1.0], &mut saved).unwrap();
    assert!(matches!(ends[..], [TrajectoryEnd::Done { .. }, TrajectoryEnd::NonFiniteStart]), "{ends:?}");
    assert!(runaway.solve_stiff(OPTIONS, &p, &start, &[0.0, 0.0], &mut saved).is_err());
}
