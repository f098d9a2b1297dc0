//! Kernels that are generated from models: compiled by g++ on the stand-in, by NVRTC on a GPU.

mod explicit;
mod stiff;
mod stochastic;

use crate::lab::Lab;
use chreode_autodiff::Program;
use chreode_core::{Dynamics, Number, put, take};
use chreode_cuda::{GeneratedEnsemble, GeneratedMethod, GeneratedSource, Stream};

/// The model's source: with its Jacobian if the method needs it.
fn source<D: Dynamics>(name: &str, method: GeneratedMethod, model: &D) -> GeneratedSource {
    let code = match method {
        GeneratedMethod::Rodas5P => Program::cuda_code(model),
        _ => Program::record(model).cuda_field(),
    };
    GeneratedSource::new(name, method, model.dim(), model.n_params(), &code).unwrap()
}

/// The source's ensemble, by the compiler that fits the device.
fn ensemble(lab: &Lab, stream: &Stream, source: &GeneratedSource) -> GeneratedEnsemble {
    match lab.stand_in {
        Some(stand_in) => {
            let ptx = stand_in.add_kernel(source.name(), &source.body()).unwrap();
            GeneratedEnsemble::from_ptx(stream, source, &ptx).unwrap()
        }
        None => GeneratedEnsemble::new(stream, source).unwrap(),
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
