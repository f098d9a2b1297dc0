//! The debiased Sinkhorn divergence with its gradient, from points on the device to their gradients there.
//!
//! `S(α, β) = OT(α, β) - OT(α, α) / 2 - OT(β, β) / 2`. The blur falls from the clouds' diameter to what was asked for, one update of all potentials
//! at each level, as other projects do; then, with a tolerance, updates go on until the marginals are near enough, and a last one gives value and
//! gradient (the envelope theorem's). The device itself finds the diameter and judges the marginals. References: [FSVATP19] Feydy et al. (2019),
//! AISTATS, PMLR 89, 2681-2690.

#![allow(unsafe_code, reason = "launches, whose lengths are checked here")]

use super::clouds::TransportCost;
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};
use crate::error::{at_most, check_len, int, positive};
use crate::kernels::{
    Annealing, BOUND_BLOCKS, COST_TILE, MAX_LEVELS, THREADS, TRANSPORT_COLUMNS, TRANSPORT_ROWS,
    begin_annealing, cloud_bounds, cloud_pulls, cloud_pulls_kept, end_divergence, judge_potentials,
    pair_costs, update_potentials, update_potentials_kept,
};

const FLOAT: usize = size_of::<f32>();
/// Updates between two judgements by the device, and between two looks of the host at whether there is anything left to do.
const JUDGED_EVERY: usize = 4;
const LOOKED_AT_EVERY: usize = 32;
/// The blur falls from no more than 2 to this times what was asked for: f32 does not tell points apart that are nearer to each other.
const DOUBLINGS: f64 = 20.0;
/// All potentials.
const ALL: i32 = 0b1111;
/// What the kernel takes for the launches left after one of the annealing: an update that is left out once the marginals are near enough, and the last one.
const CONVERGING: i32 = -1;
const LAST: i32 = -2;

/// Settings of a [`Divergence`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DivergenceOptions {
    /// The cost.
    pub cost: TransportCost,
    /// Length below which details are blurred, in units of the coordinates.
    pub blur: f64,
    /// Factor of the blur from one level to the next, in (0, 0.9].
    pub scaling: f64,
    /// The marginals may be off by this in total (the mass is one). None: no updates after the annealing.
    pub tolerance: Option<f64>,
    /// Updates of all potentials after the annealing stop here in any case.
    pub max_updates: usize,
    /// Costs of all pairs are kept on the device if they need no more bytes than this; otherwise they are computed at every update. None: if they
    /// need no more than a quarter of what is free. The result has the same bits.
    pub memory: Option<usize>,
}

impl Default for DivergenceOptions {
    /// `|x - y|²/2`, blur 0.05, scaling 0.5, tolerance 1e-3, at most 5000 updates, a quarter of what is free.
    fn default() -> Self {
        let cost = TransportCost::HalfSquare;
        Self { cost, blur: 0.05, scaling: 0.5, tolerance: Some(1e-3), max_updates: 5000, memory: None }
    }
}

/// What an evaluation came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DivergenceReport {
    /// The divergence.
    pub value: f64,
    /// The largest error of a marginal, in total, that was left before the last update; none without a tolerance.
    pub marginal_error: Option<f64>,
    /// Levels of the annealing.
    pub levels: usize,
    /// Updates after the annealing.
    pub updates: usize,
}

/// The divergence of clouds of `n` points to a fixed cloud, with memory for it.
#[derive(Debug)]
pub struct Divergence {
    stream: Stream,
    options: DivergenceOptions,
    d: usize,
    n: usize,
    m: usize,
    /// Launches of the annealing: as many levels as there can be.
    levels: usize,
    target: Buffer<f32>,
    /// Of the clouds' points, first those of the cloud that is given: `[n + m]`.
    weights: Buffer<f32>,
    log_weights: Buffer<f32>,
    x_bounds: Buffer<f32>,
    y_bounds: Buffer<f32>,
    schedule: Buffer<Annealing>,
    /// Of all pairs of each problem; empty if they are computed at every update.
    costs: Buffer<f32>,
    /// What potentials are, and what they were before the last update.
    potentials: [Buffer<f32>; 2],
    errors: Buffer<f32>,
    pulls: Buffer<f32>,
    value: Buffer<f64>,
}

impl Divergence {
    /// To the points of `target`, `[m, d]`, for clouds with as many points as `weights` has for them. Weights are of any sum; none is negative.
    ///
    /// # Errors
    /// [`CudaError::Setting`] for settings and weights that cannot be; [`CudaError::Shape`] if a cloud is empty or there are not as many weights as points;
    /// [`CudaError::TooLarge`] for points of too many coordinates; [`CudaError::OutOfMemory`].
    pub fn new(
        stream: &Stream,
        d: usize,
        target: &[f32],
        weights: &[f32],
        target_weights: &[f32],
        options: DivergenceOptions,
    ) -> Result<Self, CudaError> {
        options.check()?;
        let (n, m) = (weights.len(), target_weights.len());
        check_len("coordinates of the target's points", target.len(), m * d)?;
        for (what, size) in [
            ("points of the first cloud (at least)", n),
            ("points of the second cloud (at least)", m),
            ("coordinates of a point (at least)", d),
        ] {
            check_len(what, size.min(1), 1)?;
        }
        for size in [2 * (n + m), n * d, m * d] {
            int("numbers of a cloud", size)?;
        }
        let shares = [shares(weights)?, shares(target_weights)?].concat();
        let logs: Vec<f32> = shares.iter().map(|&w| if w > 0.0 { w.ln() } else { -1e30 }).collect();
        let room = stream.device().info().shared_memory;
        let fixed = TRANSPORT_ROWS * (TRANSPORT_COLUMNS + 4);
        let most = (room / FLOAT).saturating_sub(fixed) / (2 * TRANSPORT_ROWS + TRANSPORT_COLUMNS);
        at_most("coordinates of a point", d, most.saturating_sub(1))?;
        let pairs = 2 * n * m + n * n + m * m;
        let memory = match options.memory {
            Some(bytes) => bytes,
            None => stream.device().memory()?.0 / 4,
        };
        let levels = 3 + (DOUBLINGS * 2.0_f64.ln() / -options.scaling.ln()).ceil() as usize;
        let bounds = |points: usize| stream.zeros(2 * d * bound_blocks(points) as usize);
        let mut this = Self {
            stream: stream.clone(),
            options,
            d,
            n,
            m,
            levels: levels.min(MAX_LEVELS),
            target: stream.upload(target)?,
            weights: stream.upload(&shares)?,
            log_weights: stream.upload(&logs)?,
            x_bounds: bounds(n)?,
            y_bounds: bounds(m)?,
            schedule: stream.zeros(1)?,
            costs: stream.zeros(if pairs.saturating_mul(FLOAT) <= memory { pairs } else { 0 })?,
            potentials: [stream.zeros(2 * (n + m))?, stream.zeros(2 * (n + m))?],
            errors: stream.zeros(2 * (n + m))?,
            pulls: stream.zeros(2 * n * d)?,
            value: stream.zeros(1)?,
        };
        // What the target does not share with a cloud.
        // SAFETY: the target has m points of d, its bounds the blocks of this launch.
        unsafe {
            let (grid, bounds) = (Self::bound_grid(m), &mut this.y_bounds);
            cloud_bounds(stream, grid, d as i32, m as i32, 0, &this.target, bounds)?;
        }
        if !this.costs.is_empty() {
            // The cloud, which has no part in problem 3, stands in for itself.
            // SAFETY: problem 3 reads the target alone; costs have room for those of all problems.
            unsafe {
                let grid = this.cost_grid(m, m, 1);
                let (cost, costs) = (this.options.cost as i32, &mut this.costs);
                let (d, n, m) = (d as i32, n as i32, m as i32);
                pair_costs(stream, grid, cost, d, n, m, 3, 0, &this.target, &this.target, costs)?;
            }
        }
        Ok(this)
    }

    /// Whether costs are kept.
    pub fn keeps_costs(&self) -> bool {
        !self.costs.is_empty()
    }

    /// Evaluates the cloud of the `[n, d]` numbers of `x` from `at` on, and sets those numbers of `bar` to the gradient. The host waits for the device
    /// only if there is a tolerance, after every 32 updates. [`report`](Self::report) has the value.
    ///
    /// # Errors
    /// [`CudaError::Shape`] if the numbers are not there or `bar` is not as long as `x`; [`CudaError::OtherStream`]; the launches'.
    pub fn evaluate(&mut self, x: &Buffer<f32>, at: usize, bar: &mut Buffer<f32>) -> Result<(), CudaError> {
        let points = self.n * self.d;
        let last = at.saturating_add(points);
        if last > x.len() {
            return Err(CudaError::Shape { what: "numbers of the cloud", expected: last, got: x.len() });
        }
        check_len("gradient of the points", bar.len(), x.len())?;
        let (n, m, d, x_at) = (self.n as i32, self.m as i32, self.d as i32, at as u64);
        let cost = self.options.cost as i32;
        // SAFETY: the cloud was checked above, all else is as long as `new` made it.
        unsafe {
            let grid = Self::bound_grid(self.n);
            cloud_bounds(&self.stream, grid, d, n, x_at, x, &mut self.x_bounds)?;
            let grid = Self::one_block();
            let (blur, scaling) = (self.options.blur as f32, self.options.scaling as f32);
            let [x_blocks, y_blocks] = [self.n, self.m].map(|points| bound_blocks(points) as i32);
            let most = self.levels as i32;
            let (x_bounds, y_bounds) = (&self.x_bounds, &self.y_bounds);
            begin_annealing(
                &self.stream,
                grid,
                cost,
                d,
                x_blocks,
                y_blocks,
                most,
                blur,
                scaling,
                x_bounds,
                y_bounds,
                &mut self.schedule,
            )?;
            if self.keeps_costs() {
                // As many tiles as the greatest of the problems has.
                let grid = self.cost_grid(self.n, self.n.max(self.m), 3);
                pair_costs(&self.stream, grid, cost, d, n, m, 0, x_at, x, &self.target, &mut self.costs)?;
            }
        }
        for left in (0..self.levels as i32).rev() {
            self.update(x, x_at, left, ALL, ALL)?;
        }
        if let Some(tolerance) = self.options.tolerance {
            self.converge(x, x_at, tolerance)?;
        }
        // Its plan gives the gradient: of all potentials, from what they were, whether the marginals are near enough or not.
        self.update(x, x_at, LAST, ALL, 0)?;
        let [after, before] = &self.potentials;
        let (schedule, logs, target) = (&self.schedule, &self.log_weights, &self.target);
        let mut grid = self.row_grid(self.n, 2);
        grid.shared += FLOAT
            * (TRANSPORT_ROWS * self.d
                + TRANSPORT_ROWS * (TRANSPORT_COLUMNS + 4)
                + if self.keeps_costs() { self.tile_floats() } else { 0 });
        // SAFETY: as above.
        unsafe {
            let (stream, pulls) = (&self.stream, &mut self.pulls);
            if self.costs.is_empty() {
                cloud_pulls(
                    stream, grid, cost, d, n, m, schedule, x_at, x, target, logs, before, after, pulls,
                )?;
            } else {
                let costs = &self.costs;
                cloud_pulls_kept(
                    stream, grid, cost, d, n, m, schedule, x_at, x, target, costs, logs, before, after, pulls,
                )?;
            }
            let grid = Grid { shared: size_of::<f64>() * THREADS, ..Grid::per_item(points) };
            let (weights, pulls, value) = (&self.weights, &self.pulls, &mut self.value);
            end_divergence(stream, grid, d, n, m, x_at, weights, after, pulls, bar, value)
        }
    }

    /// Value of the last evaluation, and what it took.
    ///
    /// # Errors
    /// The failure of what was put on the stream.
    pub fn report(&self) -> Result<DivergenceReport, CudaError> {
        let mut value = [0.0];
        self.value.read(&mut value)?;
        let schedule = self.look()?;
        let size = |v: i32| usize::try_from(v).unwrap_or(0);
        Ok(DivergenceReport {
            value: value[0],
            marginal_error: self.options.tolerance.map(|_| f64::from(schedule.error)),
            levels: size(schedule.levels),
            updates: size(schedule.updates),
        })
    }

    /// Value of the last evaluation alone: one copy of eight bytes.
    ///
    /// # Errors
    /// The failure of what was put on the stream.
    pub fn value(&self) -> Result<f64, CudaError> {
        let mut value = [0.0];
        self.value.read(&mut value)?;
        Ok(value[0])
    }

    /// Updates until the device says that the marginals are near enough: each time first the potential of the target and that of the cloud for itself,
    /// and then, from the new one, the cloud's and that of the target for itself.
    fn converge(&mut self, x: &Buffer<f32>, x_at: u64, tolerance: f64) -> Result<(), CudaError> {
        let mut done = 0;
        while done < self.options.max_updates {
            self.update(x, x_at, CONVERGING, 0b0110, 0b0100)?;
            self.update(x, x_at, CONVERGING, 0b1001, 0b1000)?;
            done += 1;
            let last = done == self.options.max_updates;
            if done % JUDGED_EVERY == 0 || last {
                let updates = if done % JUDGED_EVERY == 0 { JUDGED_EVERY } else { done % JUDGED_EVERY };
                let grid = Self::one_block();
                let (n, m, updates) = (self.n as i32, self.m as i32, updates as i32);
                let (errors, schedule) = (&self.errors, &mut self.schedule);
                // SAFETY: errors are those of all rows of all problems.
                unsafe {
                    judge_potentials(&self.stream, grid, n, m, updates, tolerance as f32, errors, schedule)?;
                }
            }
            if done % LOOKED_AT_EVERY == 0 && !last && self.look()?.done != 0 {
                break;
            }
        }
        Ok(())
    }

    /// Puts an update on the stream, as the kernel has it; the potentials change places.
    fn update(
        &mut self,
        x: &Buffer<f32>,
        x_at: u64,
        left: i32,
        active: i32,
        averaged: i32,
    ) -> Result<(), CudaError> {
        let grid = self.row_grid(self.n.max(self.m), 4);
        let (n, m) = (self.n as i32, self.m as i32);
        let (stream, schedule) = (&self.stream, &self.schedule);
        let (logs, weights) = (&self.log_weights, &self.weights);
        let [before, after] = &mut self.potentials;
        let errors = &mut self.errors;
        // SAFETY: all lengths are those of `new`; the caller checked the cloud.
        unsafe {
            if self.costs.is_empty() {
                let (cost, d, target) = (self.options.cost as i32, self.d as i32, &self.target);
                update_potentials(
                    stream, grid, cost, d, n, m, left, active, averaged, schedule, x_at, x, target, logs,
                    weights, before, after, errors,
                )?;
            } else {
                let costs = &self.costs;
                update_potentials_kept(
                    stream, grid, n, m, left, active, averaged, schedule, costs, logs, weights, before,
                    after, errors,
                )?;
            }
        }
        self.potentials.swap(0, 1);
        Ok(())
    }

    fn look(&self) -> Result<Annealing, CudaError> {
        let mut schedule = [bytemuck::Zeroable::zeroed()];
        self.schedule.read(&mut schedule)?;
        Ok(schedule[0])
    }

    fn one_block() -> Grid {
        Grid { blocks: (1, 1), shared: FLOAT * THREADS }
    }

    fn bound_grid(points: usize) -> Grid {
        Grid { blocks: (bound_blocks(points), 1), shared: 2 * FLOAT * THREADS }
    }

    fn cost_grid(&self, rows: usize, columns: usize, problems: u32) -> Grid {
        let blocks = rows.div_ceil(COST_TILE) * columns.div_ceil(COST_TILE);
        let quarters = self.d.div_ceil(4);
        let ld = 4 * (quarters + usize::from(quarters.is_multiple_of(2)));
        Grid { blocks: (blocks as u32, problems), shared: 2 * FLOAT * COST_TILE * ld }
    }

    /// Floats of the points of a tile.
    fn tile_floats(&self) -> usize {
        (TRANSPORT_ROWS + TRANSPORT_COLUMNS) * (self.d | 1)
    }

    /// A block for some rows of each problem.
    fn row_grid(&self, rows: usize, problems: u32) -> Grid {
        let floats = if self.keeps_costs() { 0 } else { self.tile_floats() };
        Grid { blocks: (rows.div_ceil(TRANSPORT_ROWS) as u32, problems), shared: FLOAT * floats }
    }
}

impl DivergenceOptions {
    fn check(&self) -> Result<(), CudaError> {
        positive("the blur", self.blur)?;
        if let Some(tolerance) = self.tolerance {
            positive("the tolerance of marginals", tolerance)?;
            positive("the most updates", self.max_updates as f64)?;
        }
        if !(self.scaling > 0.0 && self.scaling <= 0.9) {
            let (name, rule) = ("the factor of the blur", "must lie between 0 and 0.9");
            return Err(CudaError::Setting { name, value: self.scaling, rule });
        }
        Ok(())
    }
}

/// Blocks that look for the bounds of so many points.
fn bound_blocks(points: usize) -> u32 {
    points.div_ceil(32).clamp(1, BOUND_BLOCKS) as u32
}

/// Weights that sum to one.
fn shares(weights: &[f32]) -> Result<Vec<f32>, CudaError> {
    let bad = |value: f64| CudaError::Setting {
        name: "a weight, or the sum of all",
        value,
        rule: "must not be negative, and weights must have a finite sum above zero",
    };
    if let Some(&w) = weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        return Err(bad(f64::from(w)));
    }
    let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    if !(sum > 0.0) {
        return Err(bad(sum));
    }
    Ok(weights.iter().map(|&w| (f64::from(w) / sum) as f32).collect())
}
