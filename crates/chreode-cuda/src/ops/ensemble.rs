//! Euler-Maruyama for an ensemble of paths, and the exact gradient of the computed paths.
//!
//! The forward pass is one launch. The backward pass goes some steps at a time, as many as the memory for the kept layers holds: it computes their
//! activations again from the states before them, for all of these steps at once, draws the noise again, and goes through them from the last to the first. References: [LWCD20] Li, Wong, Chen & Duvenaud (2020),
//! AISTATS, PMLR 108, 3870-3882.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use super::gradient::{GradientNet, Slabs};
use super::net::{NetShape, Precision};
use super::noise::key;
use super::tile::{Tile, Tiles};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::error::{check_len, int};
use crate::kernels::{PACKED_SLACK, Sde, em_backward, em_forward, em_layers, pack_sde};

const FLOAT: usize = size_of::<f32>();

/// A net for the growth rate `γ(x) = unit · tanh(net(x̂))`, of one output.
#[derive(Debug, Clone, PartialEq)]
pub struct GrowthShape {
    /// The net.
    pub net: NetShape,
    /// The largest rate, per time.
    pub unit: f32,
}

/// A neural stochastic equation `dX = f dt + g dW` (Itô, diagonal noise) with `x̂ = (x - shift) · inv_scale`,
/// `f = drift_unit ⊙ drift(x̂)`, `g = noise_unit ⊙ softplus(noise(x̂))`. Drift and growth may see more than the state: numbers of the step,
/// such as its time ([`Steps::seen`]), behind the state.
#[derive(Debug, Clone, PartialEq)]
pub struct EnsembleShape {
    /// Net of the drift, from `d`, and what it sees of the step, to `d`.
    pub drift: NetShape,
    /// Net of the noise, from `d` to `d`; from 0 inputs and with one layer for noise that is constant.
    pub noise: NetShape,
    /// Net of the growth rate, if there is one.
    pub growth: Option<GrowthShape>,
    /// Parameters of the whole model.
    pub n_params: usize,
    /// Subtracted from the state, `[d]`.
    pub shift: Vec<f32>,
    /// Then multiplied, `[d]`.
    pub inv_scale: Vec<f32>,
    /// Units of the drift, `[d]`.
    pub drift_unit: Vec<f32>,
    /// Units of the noise, `[d]`.
    pub noise_unit: Vec<f32>,
}

impl EnsembleShape {
    /// Coordinates of a state.
    pub fn dim(&self) -> usize {
        self.shift.len()
    }

    fn nets(&self) -> impl Iterator<Item = &NetShape> {
        [&self.drift, &self.noise].into_iter().chain(self.growth.as_ref().map(|g| &g.net))
    }

    fn widest(&self) -> usize {
        self.nets().map(NetShape::widest).max().unwrap_or(0).max(self.dim())
    }

    /// Numbers that drift and growth see of a step.
    fn seen(&self) -> usize {
        self.drift.inputs().saturating_sub(self.dim())
    }

    /// Numbers that a row keeps of one step for the backward pass.
    fn kept(&self) -> usize {
        self.nets().map(NetShape::kept).sum()
    }

    /// Numbers of the packed weights, whichever way, and of what is read behind them.
    fn packed(&self) -> usize {
        self.nets().map(NetShape::packed).sum::<usize>() + PACKED_SLACK
    }

    fn describe(&self) -> Result<Sde, CudaError> {
        let d = self.dim();
        check_len("coordinates of a state (at least)", d.min(1), 1)?;
        for (what, len) in [
            ("scales", self.inv_scale.len()),
            ("units of the drift", self.drift_unit.len()),
            ("units of the noise", self.noise_unit.len()),
            ("outputs of the drift", self.drift.outputs()),
            ("outputs of the noise", self.noise.outputs()),
        ] {
            check_len(what, len, d)?;
        }
        check_len("inputs of the drift (at least)", self.drift.inputs().min(d), d)?;
        if self.noise.inputs() != 0 {
            check_len("inputs of the noise", self.noise.inputs(), d)?;
        }
        let mut growth = bytemuck::Zeroable::zeroed();
        if let Some(shape) = &self.growth {
            check_len("inputs of the growth", shape.net.inputs(), self.drift.inputs())?;
            check_len("outputs of the growth", shape.net.outputs(), 1)?;
            growth = shape.net.describe()?;
        }
        for net in self.nets() {
            crate::error::at_most("end of a net's parameters", net.offset + net.n_params(), self.n_params)?;
        }
        Ok(Sde {
            d: int("coordinates", d)?,
            growth_unit: self.growth.as_ref().map_or(0.0, |g| g.unit),
            drift: self.drift.describe()?,
            noise: self.noise.describe()?,
            growth,
        })
    }
}

/// The steps of a run: their lengths, and the number of the observation that each ends at, if it ends at one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Steps {
    /// Length of each step, in units of time.
    pub h: Vec<f64>,
    /// For each step the observation after it; observations are numbered in their order, from 0.
    pub observed: Vec<Option<usize>>,
    /// What drift and growth see of each step behind the state, `[steps, inputs of the drift - d]`; empty for nets of the state alone.
    pub seen: Vec<f32>,
}

impl Steps {
    /// Checks the numbers and counts the observations. Nets see so many numbers of a step.
    pub(super) fn observations(&self, of_step: usize) -> Result<usize, CudaError> {
        check_len("observations of steps", self.observed.len(), self.h.len())?;
        check_len("what nets see of the steps", self.seen.len(), self.h.len() * of_step)?;
        let mut seen = 0;
        for &observation in self.observed.iter().flatten() {
            check_len("number of an observation", observation, seen)?;
            seen += 1;
        }
        Ok(seen)
    }
}

/// Paths of a model on a device, and their gradients; memory is planned and taken when it is made.
#[derive(Debug)]
pub struct Ensemble {
    stream: Stream,
    shape: EnsembleShape,
    n: usize,
    steps: usize,
    /// Steps whose layers are kept at a time.
    chunk: usize,
    forward_tiles: Tiles,
    backward_tile: Tile,
    precision: Precision,
    sde: Buffer<Sde>,
    /// Weights in the order of the forward pass.
    packed: Buffer<f32>,
    units: Buffer<f32>,
    grid: Buffer<f32>,
    observe: Buffer<i32>,
    observed: Buffer<f32>,
    log_weights: Buffer<f32>,
    path: Buffer<f32>,
    failed: Buffer<i32>,
    /// The same on the host.
    failed_here: Vec<i32>,
    /// What the last forward pass was given, for the backward pass.
    last: Option<(u64, u64)>,
    training: Option<Training>,
}

/// What the backward pass needs beside the path.
#[derive(Debug)]
struct Training {
    omega: Buffer<f32>,
    /// Weights in the order of the way back.
    back: Buffer<f32>,
    drift: Buffer<f32>,
    noise: Buffer<f32>,
    growth: Buffer<f32>,
    /// Drift, noise and, if there is one, growth.
    nets: Vec<GradientNet>,
    slabs: Slabs,
}

impl Ensemble {
    /// For `n` paths of these steps. `memory` bounds the bytes on the device, those of the caller's starts and gradients counted; without
    /// a bound it is 0.9 of what is free now. With `gradients`, room for the states of every step and for the layers of as many steps as fit.
    ///
    /// # Errors
    /// [`CudaError::Shape`], [`CudaError::TooLarge`] for what the kernels cannot do; [`CudaError::DoesNotFit`], which says how many rows
    /// would; [`CudaError::OutOfMemory`].
    pub fn new(
        stream: &Stream,
        shape: EnsembleShape,
        steps: &Steps,
        n: usize,
        gradients: bool,
        memory: Option<usize>,
    ) -> Result<Self, CudaError> {
        let description = shape.describe()?;
        let observations = steps.observations(shape.seen())?;
        let (d, count) = (shape.dim(), steps.h.len());
        let info = stream.device().info();
        let forward_tiles = Tiles::new(info, n, shape.widest(), 3 * d + 1)?;
        let backward_tile = Tile::new(info, n, shape.widest(), 2 * d)?;
        int("rows", n)?;
        int("steps", count)?;

        let available = match memory {
            Some(bytes) => bytes,
            None => stream.device().memory()?.0 / 10 * 9,
        };
        // With what the caller has to bring: the starts, and the gradients.
        let mut per_row = observations * (d + 1) + 1 + d;
        let mut fixed =
            (2 + shape.seen()) * count + observations + 4 * d + size_of::<Sde>() / FLOAT + shape.packed();
        let step = shape.kept();
        if gradients {
            // Adjoints and their kept layers for one step at least.
            per_row += count * d + 1 + step + d + observations * (d + 1);
            fixed += Slabs::bytes(usize::MAX, shape.n_params) / FLOAT + shape.packed();
        }
        let needed = (fixed + per_row * n) * FLOAT;
        if needed > available {
            let fitting = (available / FLOAT).saturating_sub(fixed) / per_row;
            return Err(CudaError::DoesNotFit { rows: n, needed, available, fitting });
        }
        let spare = (available - needed) / FLOAT;
        // More steps at a time need more memory, and give longer sums; with these rows every multiprocessor has some large tiles.
        let wanted = (32768 / n.max(1)).max(1);
        let chunk = (1 + spare / (step * n).max(1)).min(wanted).min(count.max(1));

        let training = if gradients {
            let rows = chunk * n;
            int("rows of a chunk", rows)?;
            let growth = shape.growth.as_ref().map_or(0, |g| g.net.kept());
            Some(Training {
                omega: stream.zeros(n)?,
                back: stream.zeros(shape.packed())?,
                drift: stream.zeros(rows * shape.drift.kept())?,
                noise: stream.zeros(rows * shape.noise.kept())?,
                growth: stream.zeros(rows * growth)?,
                nets: shape.nets().map(|net| GradientNet::new(stream, net)).collect::<Result<_, _>>()?,
                slabs: Slabs::new(stream, rows, shape.n_params)?,
            })
        } else {
            None
        };
        let units =
            [&shape.shift, &shape.inv_scale, &shape.drift_unit, &shape.noise_unit].map(|v| &v[..]).concat();
        let (h, roots) = (steps.h.iter().map(|&h| h as f32), steps.h.iter().map(|h| h.sqrt() as f32));
        let lengths: Vec<f32> = h.chain(roots).chain(steps.seen.iter().copied()).collect();
        let observe: Vec<i32> = steps.observed.iter().map(|o| o.map_or(-1, |i| i as i32)).collect();
        Ok(Self {
            stream: stream.clone(),
            n,
            steps: count,
            chunk,
            forward_tiles,
            backward_tile,
            precision: Precision::default(),
            sde: stream.upload(&[description])?,
            packed: stream.zeros(shape.packed())?,
            units: stream.upload(&units)?,
            grid: stream.upload(&lengths)?,
            observe: stream.upload(&observe)?,
            observed: stream.zeros(observations * n * d)?,
            log_weights: stream.zeros(observations * n)?,
            path: stream.zeros(if gradients { count * n * d } else { 0 })?,
            failed: stream.zeros(n)?,
            failed_here: vec![-1; n],
            last: None,
            training,
            shape,
        })
    }

    /// How factors of the nets' products are rounded from now on; [`Precision::F32`] at first.
    pub fn set_precision(&mut self, precision: Precision) {
        self.last = None;
        self.precision = precision;
    }

    /// Has each block own so many rows of the paths from now on, 16 or 32, instead of as many as keep every multiprocessor busy: more rows read the weights
    /// less often, and fewer blocks run. Results have the same bits.
    ///
    /// # Errors
    /// [`CudaError::Setting`] for other numbers, [`CudaError::TooLarge`] if so many do not fit the shared memory; nothing is changed then.
    pub fn set_rows_of_block(&mut self, rows: Option<usize>) -> Result<(), CudaError> {
        let (info, n, widest, d) =
            (self.stream.device().info(), self.n, self.shape.widest(), self.shape.dim());
        let backward_tile = Tile::chosen(info, n, widest, 2 * d, rows)?;
        self.forward_tiles = Tiles::chosen(info, n, widest, 3 * d + 1, rows)?;
        self.backward_tile = backward_tile;
        Ok(())
    }

    /// Steps whose layers the backward pass keeps at a time.
    pub fn steps_at_a_time(&self) -> usize {
        self.chunk
    }

    /// Runs all paths from `start`, `[n, d]`; row `i` is trajectory `first_trajectory + i` of the seed's noise. Waits for them.
    ///
    /// # Errors
    /// [`CudaError::Shape`], [`CudaError::OtherStream`]; [`CudaError::NonFinite`] for the first row that ran away; the launch's.
    pub fn forward(
        &mut self,
        p: &Buffer<f32>,
        seed: u64,
        first_trajectory: u64,
        start: &Buffer<f32>,
    ) -> Result<(), CudaError> {
        self.begin_forward(p, seed, first_trajectory, start)?;
        self.check()
    }

    /// Waits for the paths of the last pass, and says whether one ran away.
    ///
    /// # Errors
    /// [`CudaError::NonFinite`] for the first row that did; the failure of what was put on the stream.
    pub fn check(&mut self) -> Result<(), CudaError> {
        if self.n == 0 || self.last.is_none() {
            return Ok(());
        }
        self.failed.read(&mut self.failed_here)?;
        if let Some(row) = self.failed_here.iter().position(|&step| step >= 0) {
            self.last = None;
            return Err(CudaError::NonFinite { row, step: self.failed_here[row] as usize });
        }
        Ok(())
    }

    /// As [`forward`](Self::forward), without waiting: [`check`](Self::check) later says whether a path ran away. What follows from one that did is no
    /// number.
    ///
    /// # Errors
    /// [`CudaError::Shape`], [`CudaError::OtherStream`]; the launch's.
    pub fn begin_forward(
        &mut self,
        p: &Buffer<f32>,
        seed: u64,
        first_trajectory: u64,
        start: &Buffer<f32>,
    ) -> Result<(), CudaError> {
        self.last = None;
        check_len("parameters", p.len(), self.shape.n_params)?;
        check_len("start states", start.len(), self.n * self.shape.dim())?;
        if self.n == 0 {
            self.last = Some((seed, first_trajectory));
            return Ok(());
        }
        let (variant, Tile { rows, ld, grid }) = self.forward_tiles.of(self.precision);
        let [key0, key1] = key(seed);
        let path_steps = if self.training.is_some() { self.steps } else { 0 };
        // SAFETY: lengths are checked above or planned in `new`.
        unsafe {
            pack_sde(
                &self.stream,
                Grid::per_item(self.packed.len()),
                &self.sde,
                self.precision.number(),
                0,
                p,
                &mut self.packed,
            )?;
            em_forward(
                &self.stream,
                grid,
                variant,
                &self.sde,
                rows as i32,
                ld as i32,
                self.n as i32,
                self.steps as i32,
                path_steps as i32,
                p,
                &self.packed,
                &self.units,
                &self.grid,
                &self.observe,
                key0,
                key1,
                first_trajectory,
                start,
                &mut self.observed,
                &mut self.log_weights,
                &mut self.path,
                &mut self.failed,
            )?;
        }
        self.last = Some((seed, first_trajectory));
        Ok(())
    }

    /// States at the observations, `[observations, n, d]`.
    pub fn observed(&self) -> &Buffer<f32> {
        &self.observed
    }

    /// Log-weights at the observations, `[observations, n]`; zeros without growth.
    pub fn log_weights(&self) -> &Buffer<f32> {
        &self.log_weights
    }

    /// Sets `start_bar`, `[n, d]`, and `p_bar`, `[n_params]`, to the gradients of a loss whose gradients in the observed states and
    /// log-weights are `state_bar`, `[observations, n, d]`, and `weight_bar`, `[observations, n]`. The parameters are those of the last
    /// forward pass.
    ///
    /// # Errors
    /// [`CudaError::Shape`] for other lengths, without a forward pass, or if the ensemble was made without gradients;
    /// [`CudaError::OtherStream`]; the launch's.
    pub fn backward(
        &mut self,
        p: &Buffer<f32>,
        state_bar: &Buffer<f32>,
        weight_bar: &Buffer<f32>,
        start_bar: &mut Buffer<f32>,
        p_bar: &mut Buffer<f32>,
    ) -> Result<(), CudaError> {
        let d = self.shape.dim();
        check_len("parameters", p.len(), self.shape.n_params)?;
        check_len("adjoints of the states", state_bar.len(), self.observed.len())?;
        check_len("adjoints of the log-weights", weight_bar.len(), self.log_weights.len())?;
        check_len("adjoints of the start states", start_bar.len(), self.n * d)?;
        let nothing = |what| CudaError::Shape { what, expected: 1, got: 0 };
        let (seed, first_trajectory) = self.last.ok_or(nothing("forward passes"))?;
        let training = self.training.as_mut().ok_or(nothing("rooms for gradients"))?;
        let Tile { rows, ld, grid } = self.backward_tile;
        let [key0, key1] = key(seed);
        start_bar.fill_zero()?;
        training.omega.fill_zero()?;
        training.slabs.clear()?;
        let mut end = if self.n == 0 { 0 } else { self.steps };
        if end > 0 {
            let grid = Grid::per_item(training.back.len());
            // SAFETY: lengths are checked above or planned in `new`.
            unsafe {
                pack_sde(&self.stream, grid, &self.sde, self.precision.number(), 1, p, &mut training.back)?;
            }
        }
        while end > 0 {
            let begin = end.saturating_sub(self.chunk);
            let kept = (end - begin) * self.n;
            let tiles = Tiles::new(self.stream.device().info(), kept, self.shape.widest(), 0)?;
            let (variant, layers) = tiles.of(self.precision);
            // Beside each other the nets, of which growth may be none.
            let layers_grid = Grid { blocks: (layers.grid.blocks.0, 3), ..layers.grid };
            // SAFETY: lengths are checked above or planned in `new`; a chunk has `chunk` steps at most.
            unsafe {
                em_layers(
                    &self.stream,
                    layers_grid,
                    variant,
                    &self.sde,
                    layers.rows as i32,
                    layers.ld as i32,
                    self.n as i32,
                    kept as i32,
                    self.steps as i32,
                    begin as i32,
                    p,
                    &self.packed,
                    &self.units,
                    &self.grid,
                    &self.path,
                    &mut training.drift,
                    &mut training.noise,
                    &mut training.growth,
                )?;
                em_backward(
                    &self.stream,
                    grid,
                    self.precision,
                    &self.sde,
                    rows as i32,
                    ld as i32,
                    self.n as i32,
                    self.steps as i32,
                    begin as i32,
                    end as i32,
                    &training.back,
                    &self.units,
                    &self.grid,
                    &self.observe,
                    key0,
                    key1,
                    first_trajectory,
                    state_bar,
                    weight_bar,
                    start_bar,
                    &mut training.omega,
                    &mut training.drift,
                    &mut training.noise,
                    &mut training.growth,
                )?;
            }
            let all = [&training.drift, &training.noise, &training.growth];
            for (net, of) in training.nets.iter().zip(all) {
                training.slabs.add(&self.stream, self.precision, net, kept, of)?;
            }
            end = begin;
        }
        training.slabs.total(&self.stream, p_bar)
    }
}
