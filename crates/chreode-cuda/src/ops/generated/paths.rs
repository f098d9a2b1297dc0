//! Paths of a generated stochastic equation.
//!
//! References: [KP92] Kloeden & Platen (1992), section 10.2; [SMDS11] Salmon, Moraes, Dror & Shaw (2011), SC'11.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use super::super::ensemble::Steps;
use super::super::noise::key;
use super::{GeneratedMethod, GeneratedSource};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, OwnKernel, Stream};
use crate::error::{at_most, check_len, int};
use crate::kernels::{THREADS, generated_euler_maruyama};

const FLOAT: usize = size_of::<f32>();
/// Vectors of a trajectory: state, drift, diffusion.
const SLOTS: usize = 3;

/// A stochastic equation, Itô, on a device: each coordinate with a Brownian motion of its own, or one for all, as its source says.
#[derive(Debug)]
pub struct GeneratedPaths {
    stream: Stream,
    d: usize,
    n_params: usize,
    kernel: OwnKernel,
}

impl GeneratedPaths {
    /// Compiles a source by NVRTC and loads it.
    ///
    /// # Errors
    /// As [`GeneratedSource::compile`] and [`from_ptx`](Self::from_ptx).
    pub fn new(stream: &Stream, source: &GeneratedSource) -> Result<Self, CudaError> {
        check(stream, source)?; // before anything is compiled
        Self::from_ptx(stream, source, &source.compile()?)
    }

    /// Loads what a compiler made of the source.
    ///
    /// # Errors
    /// [`CudaError::OtherMethod`] for an ordinary equation; [`CudaError::TooLarge`] for more states than fit the shared memory (75 on an H100);
    /// [`CudaError::BadModule`] if the driver refuses the PTX; [`CudaError::MissingKernel`] if it is of another source.
    pub fn from_ptx(stream: &Stream, source: &GeneratedSource, ptx: &str) -> Result<Self, CudaError> {
        check(stream, source)?;
        Ok(Self {
            stream: stream.clone(),
            d: source.d,
            n_params: source.n_params,
            kernel: source.load(stream.device(), ptx)?,
        })
    }

    /// Runs all paths from `start`, `[n, d]`, by Euler-Maruyama (strong order 0.5, weak 1), and sets `observed`, `[observations, n, d]`. Steps
    /// begin at `t`, `[steps]`. Row `i` is trajectory `first_trajectory + i` of the seed's noise, which is that of `chreode-core`: words to the bit,
    /// normals to rounding. `p` is `[n_params]`, the same for all, or `[n, n_params]`.
    ///
    /// # Errors
    /// [`CudaError::Shape`] for other lengths; [`CudaError::Setting`] for times or steps that are not finite; [`CudaError::OtherStream`];
    /// [`CudaError::NonFinite`] for the first row that ran away; the launch's.
    pub fn simulate(
        &self,
        steps: &Steps,
        t: &[f64],
        seed: u64,
        first_trajectory: u64,
        p: &Buffer<f32>,
        start: &Buffer<f32>,
        observed: &mut Buffer<f32>,
    ) -> Result<(), CudaError> {
        let observations = steps.observations(0)?;
        let (d, count) = (self.d, steps.h.len());
        check_len("times of steps", t.len(), count)?;
        if let Some(&value) = t.iter().chain(&steps.h).find(|t| !t.is_finite()) {
            return Err(CudaError::Setting { name: "a time or a step", value, rule: "must be finite" });
        }
        let n = start.len() / d;
        check_len("start states", start.len(), n * d)?;
        let each = p.len() != self.n_params;
        if each {
            check_len("parameters (of all trajectories, or of each)", p.len(), n * self.n_params)?;
        }
        check_len("observed states", observed.len(), observations * n * d)?;
        if n == 0 {
            return Ok(());
        }
        let (rows, step_count, each) = (int("trajectories", n)?, int("steps", count)?, i32::from(each));
        let (h, roots) = (steps.h.iter().map(|&h| h as f32), steps.h.iter().map(|h| h.sqrt() as f32));
        let lengths: Vec<f32> = h.chain(roots).collect();
        let observe: Vec<i32> = steps.observed.iter().map(|o| o.map_or(-1, |i| i as i32)).collect();
        let (times, lengths) = (self.stream.upload(t)?, self.stream.upload(&lengths)?);
        let (observe, mut failed) = (self.stream.upload(&observe)?, self.stream.zeros(n)?);
        let [key0, key1] = key(seed);
        let blocks = (n as u32).div_ceil(THREADS as u32);
        let grid = Grid { blocks: (blocks, 1), shared: FLOAT * SLOTS * THREADS * d };
        // SAFETY: all lengths are checked above, and the source asserts that drift and diffusion have these sizes.
        unsafe {
            generated_euler_maruyama(
                &self.stream,
                grid,
                &self.kernel,
                rows,
                step_count,
                each,
                key0,
                key1,
                first_trajectory,
                p,
                start,
                &times,
                &lengths,
                &observe,
                observed,
                &mut failed,
            )?;
        }
        let failed = failed.to_vec()?;
        match failed.iter().position(|&step| step >= 0) {
            Some(row) => Err(CudaError::NonFinite { row, step: failed[row] as usize }),
            None => Ok(()),
        }
    }
}

/// Whether a source's paths can run on this device.
fn check(stream: &Stream, source: &GeneratedSource) -> Result<(), CudaError> {
    source.must_run(&[GeneratedMethod::EulerMaruyama])?;
    at_most("states of a model", source.d, stream.device().info().shared_memory / (FLOAT * SLOTS * THREADS))
}
