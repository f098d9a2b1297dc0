//! Ensembles of a generated ordinary equation, each trajectory with its own steps.
//!
//! References: [Tsi11] Tsitouras (2011), Comput. Math. Appl. 62, 770-775; [Ste23] Steinebach (2023), BIT Numer. Math. 63, 27.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use super::super::network::{AdaptiveOptions, Room, Run, SLOTS, TrajectoryEnd, ends};
use super::{GeneratedMethod, GeneratedSource};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, OwnKernel, Stream};
use crate::error::{at_most, int};
use crate::kernels::{THREADS, generated_rodas5p, generated_tsit5};

const FLOAT: usize = size_of::<f32>();
/// Vectors of a stiff trajectory: eight stages, the state, that of the stage, row exchanges, the slope in time.
const STIFF_SLOTS: usize = 12;

/// An ordinary equation on a device.
#[derive(Debug)]
pub struct GeneratedEnsemble {
    stream: Stream,
    d: usize,
    n_params: usize,
    stiff: bool,
    kernel: OwnKernel,
}

impl GeneratedEnsemble {
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
    /// [`CudaError::OtherMethod`] for a stochastic one; [`CudaError::TooLarge`] for more states than fit the shared memory (of an H100: 25 with
    /// `Tsit5`, 18 with `Rodas5P`); [`CudaError::BadModule`] if the driver refuses the PTX; [`CudaError::MissingKernel`] if it is of another source.
    pub fn from_ptx(stream: &Stream, source: &GeneratedSource, ptx: &str) -> Result<Self, CudaError> {
        check(stream, source)?;
        Ok(Self {
            stream: stream.clone(),
            d: source.d,
            n_params: source.n_params,
            stiff: source.method == GeneratedMethod::Rodas5P,
            kernel: source.load(stream.device(), ptx)?,
        })
    }

    /// Solves from `start`, `[n, d]`, at the first of `times` to the last, by the source's method, and sets `saved`, `[times - 1, n, d]`, to the
    /// states at the times after the first. `p` is `[n_params]`, the same for all, or `[n, n_params]`. A trajectory that stops on its way is zero
    /// from there on. States are f32: relative tolerances below 1e-6 (stiff: 1e-5) have no digits.
    ///
    /// # Errors
    /// [`CudaError::Shape`] for other lengths, or for times that do not ascend; [`CudaError::Setting`] for tolerances that are not positive,
    /// or times that are not finite; [`CudaError::OtherStream`]; the launch's.
    pub fn solve(
        &self,
        options: AdaptiveOptions,
        p: &Buffer<f32>,
        start: &Buffer<f32>,
        times: &[f64],
        saved: &mut Buffer<f32>,
    ) -> Result<Vec<TrajectoryEnd>, CudaError> {
        let Run { n, saves, each } = Run::check(options, self.d, self.n_params, p, start, times, saved)?;
        if n == 0 {
            return Ok(Vec::new());
        }
        let times = self.stream.upload(times)?;
        let (mut steps, mut status) = (self.stream.zeros(2 * n)?, self.stream.zeros(n)?);
        let (rows, max_steps) = (n as i32, int("steps", options.max_steps)?);
        let AdaptiveOptions { rtol, atol, .. } = options;
        if self.stiff {
            let Room { blocks, outside, shared, matrices } = Room::of(&self.stream, self.d, n, STIFF_SLOTS)?;
            let mut matrices = self.stream.zeros(matrices)?;
            // SAFETY: all lengths are checked above, the systems have room, and the source asserts that the field has these sizes.
            unsafe {
                generated_rodas5p(
                    &self.stream,
                    Grid { blocks: (blocks, 1), shared },
                    &self.kernel,
                    rows,
                    saves,
                    each,
                    i32::from(outside),
                    max_steps,
                    rtol,
                    atol,
                    p,
                    start,
                    &times,
                    &mut matrices,
                    saved,
                    &mut steps,
                    &mut status,
                )?;
            }
        } else {
            let blocks = (n as u32).div_ceil(THREADS as u32);
            let grid = Grid { blocks: (blocks, 1), shared: FLOAT * SLOTS * THREADS * self.d };
            // SAFETY: all lengths are checked above, and the source asserts that the field has these sizes.
            unsafe {
                generated_tsit5(
                    &self.stream,
                    grid,
                    &self.kernel,
                    rows,
                    saves,
                    each,
                    max_steps,
                    rtol,
                    atol,
                    p,
                    start,
                    &times,
                    saved,
                    &mut steps,
                    &mut status,
                )?;
            }
        }
        ends(&steps, &status)
    }
}

/// Whether a source's trajectories can be solved on this device.
fn check(stream: &Stream, source: &GeneratedSource) -> Result<(), CudaError> {
    source.must_run(&[GeneratedMethod::Tsit5, GeneratedMethod::Rodas5P])?;
    if source.method == GeneratedMethod::Rodas5P {
        return Room::of(stream, source.d, 0, STIFF_SLOTS).map(drop);
    }
    at_most("states of a model", source.d, stream.device().info().shared_memory / (FLOAT * SLOTS * THREADS))
}
