//! Paths and their gradients on a CUDA device, in f32: the two calls of [`CpuEngine`](super::CpuEngine).
//!
//! For a free drift, of time too, with diagonal or constant noise, and growth. The noise is that of the processor's engine to rounding, so that both see the same
//! paths. Gradients of the segments are added in their order; every run has the same bits.
//!
//! Each segment has a stream of its own: small ones run beside each other, and what goes there and comes back is copied beside the kernels of others.

use chreode_cuda::{
    Activation, Buffer, CudaError, Device, Ensemble, EnsembleShape, GrowthShape, HostBuffer, NetShape, Steps,
    Stream,
};
use chreode_model::{DiffusionConfig, DriftKind, NeuralSde};
use chreode_solve::TimeGrid;

use super::{Engine, Failure, PlaceError, Segment};

/// Why a device could not do what the processor can.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CudaEngineError {
    /// There are no kernels for a part of the model.
    #[error("there is no CUDA kernel for {what}: train on the processor")]
    Unsupported {
        /// Which part.
        what: &'static str,
    },
    /// A call failed in a segment.
    #[error("segment {segment}: {source}")]
    Segment {
        /// Number of the segment.
        segment: usize,
        /// What happened; a row is that of the segment.
        source: CudaError,
    },
    /// It keeps nothing for gradients.
    #[error("the engine was made without gradients")]
    WithoutGradients,
    /// Lists or slices of another length than the segments have.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// Which list or slice.
        what: &'static str,
        /// The length that it should have.
        expected: usize,
        /// The length that it has.
        got: usize,
    },
    /// A call failed.
    #[error(transparent)]
    Device(#[from] CudaError),
}

/// Memory of the device, and that of the host which it is written from or read into.
#[derive(Debug)]
struct Mirrored {
    there: Buffer<f32>,
    here: HostBuffer<f32>,
}

/// One segment on the device, on a stream of its own.
#[derive(Debug)]
struct Paths {
    ensemble: Ensemble,
    p: Mirrored,
    start: Mirrored,
    /// What the last forward pass gave, `[observations, rows, d]` and `[observations, rows]`.
    states: HostBuffer<f32>,
    log_weights: HostBuffer<f32>,
    gradients: Option<Gradients>,
}

/// What goes back through a segment.
#[derive(Debug)]
struct Gradients {
    /// Of the observations, as the states and log-weights are.
    states: Mirrored,
    log_weights: Mirrored,
    start: Buffer<f32>,
    p: Mirrored,
}

/// Simulates segments of paths on a device and differentiates them; sized once.
#[derive(Debug)]
pub struct CudaEngine {
    d: usize,
    n_params: usize,
    weighted: bool,
    segments: Vec<Segment>,
    paths: Vec<Paths>,
}

impl CudaEngine {
    /// An engine for these segments on a device.
    ///
    /// # Errors
    /// [`CudaEngineError::Unsupported`] for a potential or production drift, noise that is neither diagonal nor constant, a
    /// quadratic activation or a forcing;
    /// [`CudaEngineError::Segment`] with [`CudaError::DoesNotFit`], which says how many rows would fit.
    pub fn new(
        device: &Device,
        model: &NeuralSde<f32>,
        segments: Vec<Segment>,
    ) -> Result<Self, CudaEngineError> {
        Self::with(device, model, segments, true)
    }

    /// An engine that simulates alone, and keeps nothing for gradients: [`pull_back`](Self::pull_back) is an error.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn without_gradients(
        device: &Device,
        model: &NeuralSde<f32>,
        segments: Vec<Segment>,
    ) -> Result<Self, CudaEngineError> {
        Self::with(device, model, segments, false)
    }

    /// Whether there are kernels for all of the model; needs no device.
    ///
    /// # Errors
    /// [`CudaEngineError::Unsupported`].
    pub fn check(model: &NeuralSde<f32>) -> Result<(), CudaEngineError> {
        ensemble_shape(model).map(drop)
    }

    fn with(
        device: &Device,
        model: &NeuralSde<f32>,
        segments: Vec<Segment>,
        gradients: bool,
    ) -> Result<Self, CudaEngineError> {
        let shape = ensemble_shape(model)?;
        let mut paths = Vec::with_capacity(segments.len());
        for (i, segment) in segments.iter().enumerate() {
            paths.push(Paths::new(&device.stream()?, model, &shape, segment, gradients).map_err(at(i))?);
        }
        Ok(Self {
            d: shape.dim(),
            n_params: shape.n_params,
            weighted: shape.growth.is_some(),
            segments,
            paths,
        })
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Simulates every segment from its `starts`, `[rows, d]` each, with the noise of the seed; row `i` of segment `s` is trajectory
    /// `first_trajectory[s] + i`.
    ///
    /// # Errors
    /// [`CudaEngineError::Segment`], with [`CudaError::NonFinite`] for the first row that ran away; [`CudaEngineError::Shape`].
    pub fn simulate(
        &mut self,
        p: &[f32],
        seed: u64,
        first_trajectory: &[u64],
        starts: &[Vec<f32>],
    ) -> Result<(), CudaEngineError> {
        check("first trajectories", first_trajectory.len(), self.paths.len())?;
        check("start states of segments", starts.len(), self.paths.len())?;
        check("parameters", p.len(), self.n_params)?;
        for (segment, start) in self.segments.iter().zip(starts) {
            check("coordinates of a segment's start states", start.len(), segment.rows * self.d)?;
        }
        let mut result = Ok(());
        let each = self.paths.iter_mut().zip(first_trajectory).zip(starts);
        for (i, ((paths, &first), start)) in each.enumerate() {
            result = result.and(paths.begin_forward(p, seed, first, start).map_err(at(i)));
        }
        // All are waited for, whichever failed: none is under way any more.
        for (i, paths) in self.paths.iter_mut().enumerate() {
            result = result.and(paths.end_forward().map_err(at(i)));
        }
        result
    }

    /// States of a segment at its observation number `i`, `[rows, d]`.
    ///
    /// # Panics
    /// If there is no such segment or observation; it may if the last [`simulate`](Self::simulate) failed.
    pub fn states(&self, segment: usize, i: usize) -> &[f32] {
        let len = self.segments[segment].rows * self.d;
        &self.paths[segment].states.values()[i * len..(i + 1) * len]
    }

    /// Log-weights of a segment at its observation number `i`, `[rows]`; empty if the model has no growth.
    ///
    /// # Panics
    /// As [`states`](Self::states).
    pub fn log_weights(&self, segment: usize, i: usize) -> &[f32] {
        let len = if self.weighted { self.segments[segment].rows } else { 0 };
        &self.paths[segment].log_weights.values()[i * len..(i + 1) * len]
    }

    /// Sets `p_bar` to the gradient of a loss whose gradients to the observed states and log-weights are `state_bar[s][i]`
    /// (`[rows, d]`) and `log_weight_bar[s][i]` (`[rows]`); an empty list or slice stands for zeros. At the parameters of the last
    /// [`simulate`](Self::simulate).
    ///
    /// # Errors
    /// [`CudaEngineError::Segment`], [`CudaEngineError::Shape`].
    pub fn pull_back(
        &mut self,
        state_bar: &[Vec<Vec<f32>>],
        log_weight_bar: &[Vec<Vec<f32>>],
        p_bar: &mut [f32],
    ) -> Result<(), CudaEngineError> {
        check("gradients to the states of segments", state_bar.len(), self.paths.len())?;
        check("gradients to the log-weights of segments", log_weight_bar.len(), self.paths.len())?;
        check("gradient of the parameters", p_bar.len(), self.n_params)?;
        for (i, paths) in self.paths.iter_mut().enumerate() {
            let Some(gradients) = &mut paths.gradients else {
                return Err(CudaEngineError::WithoutGradients);
            };
            let (rows, seen) = (self.segments[i].rows, self.segments[i].grid.observe().len());
            for (bars, to, len) in [
                (&state_bar[i], &mut gradients.states, rows * self.d),
                (&log_weight_bar[i], &mut gradients.log_weights, rows),
            ] {
                gather(bars, seen, len, to.here.values_mut().map_err(at(i))?)?;
                to.there.write_from(&mut to.here).map_err(at(i))?;
            }
            let Gradients { states, log_weights, start, p } = gradients;
            paths
                .ensemble
                .backward(&paths.p.there, &states.there, &log_weights.there, start, &mut p.there)
                .and_then(|()| p.there.read_into(&mut p.here))
                .map_err(at(i))?;
        }
        p_bar.fill(0.0);
        for (i, paths) in self.paths.iter_mut().enumerate() {
            if let Some(Gradients { p, .. }) = &mut paths.gradients {
                p.here.wait().map_err(at(i))?;
                p_bar.iter_mut().zip(p.here.values()).for_each(|(p, &part)| *p += part);
            }
        }
        Ok(())
    }
}

/// Names the segment in which a call failed.
fn at(segment: usize) -> impl FnOnce(CudaError) -> CudaEngineError {
    move |source| CudaEngineError::Segment { segment, source }
}

impl Engine<f32> for CudaEngine {
    fn simulate(
        &mut self,
        p: &[f32],
        seed: u64,
        first_trajectory: &[u64],
        starts: &[Vec<f32>],
    ) -> Result<(), Failure> {
        Ok(self.simulate(p, seed, first_trajectory, starts)?)
    }

    fn states(&self, segment: usize, i: usize) -> &[f32] {
        self.states(segment, i)
    }

    fn log_weights(&self, segment: usize, i: usize) -> &[f32] {
        self.log_weights(segment, i)
    }

    fn pull_back(
        &mut self,
        _p: &[f32],
        _seed: u64,
        _first_trajectory: &[u64],
        state_bar: &[Vec<Vec<f32>>],
        log_weight_bar: &[Vec<Vec<f32>>],
        p_bar: &mut [f32],
    ) -> Result<(), Failure> {
        Ok(self.pull_back(state_bar, log_weight_bar, p_bar)?)
    }
}

impl From<CudaEngineError> for PlaceError {
    fn from(error: CudaEngineError) -> Self {
        match error {
            CudaEngineError::Unsupported { what } => Self::Unsupported { what },
            other => Self::NoDevice { reason: other.to_string() },
        }
    }
}

impl From<CudaEngineError> for Failure {
    fn from(error: CudaEngineError) -> Self {
        match error {
            CudaEngineError::Segment { segment, source: source @ CudaError::NonFinite { row, .. } } => {
                Self::DevicePath { segment, row, source: source.into() }
            }
            other => Self::Device(other.into()),
        }
    }
}

impl Paths {
    fn new(
        stream: &Stream,
        model: &NeuralSde<f32>,
        shape: &EnsembleShape,
        segment: &Segment,
        gradients: bool,
    ) -> Result<Self, CudaError> {
        let (rows, seen) = (segment.rows, segment.grid.observe().len());
        let (states, weights) = (seen * rows * shape.dim(), seen * rows);
        let steps = steps(model, &segment.grid);
        Ok(Self {
            ensemble: Ensemble::new(stream, shape.clone(), &steps, rows, gradients, None)?,
            p: Mirrored::new(stream, shape.n_params)?,
            start: Mirrored::new(stream, rows * shape.dim())?,
            states: stream.host_zeros(states)?,
            log_weights: stream.host_zeros(weights)?,
            gradients: if gradients {
                Some(Gradients {
                    states: Mirrored::new(stream, states)?,
                    log_weights: Mirrored::new(stream, weights)?,
                    start: stream.zeros(rows * shape.dim())?,
                    p: Mirrored::new(stream, shape.n_params)?,
                })
            } else {
                None
            },
        })
    }

    /// Puts what a forward pass needs, the pass, and its results on the stream.
    fn begin_forward(
        &mut self,
        p: &[f32],
        seed: u64,
        first_trajectory: u64,
        start: &[f32],
    ) -> Result<(), CudaError> {
        self.p.write(p)?;
        self.start.write(start)?;
        self.ensemble.begin_forward(&self.p.there, seed, first_trajectory, &self.start.there)?;
        self.ensemble.observed().read_into(&mut self.states)?;
        self.ensemble.log_weights().read_into(&mut self.log_weights)
    }

    /// Waits for the pass and its results.
    fn end_forward(&mut self) -> Result<(), CudaError> {
        self.states.wait()?;
        self.log_weights.wait()?;
        self.ensemble.check()
    }
}

impl Mirrored {
    fn new(stream: &Stream, len: usize) -> Result<Self, CudaError> {
        Ok(Self { there: stream.zeros(len)?, here: stream.host_zeros(len)? })
    }

    /// Puts a copy of these values on the stream.
    fn write(&mut self, values: &[f32]) -> Result<(), CudaError> {
        self.here.fill_from(values)?;
        self.there.write_from(&mut self.here)
    }
}

/// The steps of a grid, for the device, and what the model's nets see of them.
fn steps(model: &NeuralSde<f32>, grid: &TimeGrid) -> Steps {
    Steps {
        h: (0..grid.steps()).map(|k| grid.step(k).1).collect(),
        observed: (0..grid.steps()).map(|k| grid.observed_after(k)).collect(),
        seen: (0..grid.steps()).filter_map(|k| model.time_inputs(grid.step(k).0)).flatten().collect(),
    }
}

/// Puts the gradients at `seen` observations, `len` numbers each, one behind the other; nothing stands for zeros.
fn gather(bars: &[Vec<f32>], seen: usize, len: usize, out: &mut [f32]) -> Result<(), CudaEngineError> {
    if !bars.is_empty() {
        check("gradients at the observations", bars.len(), seen)?;
    }
    out.fill(0.0);
    for (out, bar) in out.chunks_mut(len.max(1)).zip(bars).filter(|(_, bar)| !bar.is_empty()) {
        check("gradient at an observation", bar.len(), len)?;
        out.copy_from_slice(bar);
    }
    Ok(())
}

fn check(what: &'static str, got: usize, expected: usize) -> Result<(), CudaEngineError> {
    if got == expected { Ok(()) } else { Err(CudaEngineError::Shape { what, expected, got }) }
}

/// The model as the kernels see it: drift, noise and growth one behind the other, as [`NeuralSde`] lays them out.
fn ensemble_shape(model: &NeuralSde<f32>) -> Result<EnsembleShape, CudaEngineError> {
    let (config, d) = (model.config(), model.config().dim());
    let unsupported = |what| Err(CudaEngineError::Unsupported { what });
    match config.drift.kind {
        DriftKind::Mlp => {}
        DriftKind::Potential => return unsupported("a potential drift"),
        DriftKind::Production => return unsupported("a production drift"),
    }
    if model.forcing().is_some() {
        return unsupported("a forcing");
    }
    let net =
        |inputs: usize, hidden: &[usize], outputs: usize, activation: chreode_linalg::Activation, offset| {
            Ok::<_, CudaEngineError>(NetShape {
                widths: [&[inputs][..], hidden, &[outputs]].concat(),
                activation: kernel_activation(activation)?,
                offset,
            })
        };
    // Drift and growth see the time behind the state, if the model has times.
    let inputs = d + model.time_inputs(0.0).map_or(0, |seen| seen.len());
    let drift = net(inputs, &config.drift.hidden, d, config.drift.activation, 0)?;
    let noise = match &config.diffusion {
        DiffusionConfig::Diagonal { hidden, activation, .. } => {
            net(d, hidden, d, *activation, drift.n_params())?
        }
        DiffusionConfig::Constant { .. } => {
            net(0, &[], d, chreode_linalg::Activation::Identity, drift.n_params())?
        }
        DiffusionConfig::Scalar { .. } => return unsupported("scalar noise"),
        DiffusionConfig::LowRank { .. } => return unsupported("low-rank noise"),
        DiffusionConfig::General { .. } => return unsupported("general noise"),
        DiffusionConfig::Langevin { .. } => return unsupported("chemical Langevin noise"),
    };
    let growth = match &config.growth {
        Some(growth) => Some(GrowthShape {
            net: net(inputs, &growth.hidden, 1, growth.activation, drift.n_params() + noise.n_params())?,
            unit: (growth.max_rate / config.time_scale) as f32,
        }),
        None => None,
    };
    let each = |f: &dyn Fn(f64) -> f64, values: &[f64]| values.iter().map(|&v| f(v) as f32).collect();
    Ok(EnsembleShape {
        drift,
        noise,
        growth,
        n_params: model.layout().len(),
        shift: each(&|v| v, &config.shift),
        inv_scale: each(&|v| 1.0 / v, &config.scale),
        drift_unit: each(&|v| v / config.time_scale, &config.scale),
        noise_unit: each(&|v| v / config.time_scale.sqrt(), &config.scale),
    })
}

fn kernel_activation(activation: chreode_linalg::Activation) -> Result<Activation, CudaEngineError> {
    Ok(match activation {
        chreode_linalg::Activation::Identity => Activation::Identity,
        chreode_linalg::Activation::Tanh => Activation::Tanh,
        chreode_linalg::Activation::Sigmoid => Activation::Sigmoid,
        chreode_linalg::Activation::Softplus => Activation::Softplus,
        chreode_linalg::Activation::Silu => Activation::Silu,
        chreode_linalg::Activation::LeakyRelu => Activation::LeakyRelu,
        chreode_linalg::Activation::Quadratic => {
            return Err(CudaEngineError::Unsupported { what: "the quadratic activation" });
        }
    })
}
