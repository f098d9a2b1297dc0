//! Launchers of `divergence.cu`. Written by `cargo xtask kernels build`.

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use super::{Annealing, Kernel};
use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// bounds [blocks][2][d]: the least and the largest of each coordinate among a block's points.
// Shared memory: two of THREADS.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn cloud_bounds(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    x_at: u64,
    x: &Buffer<f32>,
    bounds: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    x.must_be_of(stream, "x")?;
    bounds.must_be_of(stream, "bounds")?;
    let x = x.address();
    let bounds = bounds.address();
    let kernel = Kernel::CloudBounds;
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const x_at).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const bounds).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// The values of epsilon from the diameter of both clouds, by their bounds, down to `blur`; `most` levels at most, the last ones. One block.
// Shared memory: THREADS.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn begin_annealing(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    x_blocks: i32,
    y_blocks: i32,
    most: i32,
    blur: f32,
    scaling: f32,
    x_bounds: &Buffer<f32>,
    y_bounds: &Buffer<f32>,
    schedule: &mut Buffer<Annealing>,
) -> Result<(), CudaError> {
    x_bounds.must_be_of(stream, "x_bounds")?;
    y_bounds.must_be_of(stream, "y_bounds")?;
    schedule.must_be_of(stream, "schedule")?;
    let x_bounds = x_bounds.address();
    let y_bounds = y_bounds.address();
    let schedule = schedule.address();
    let kernel = Kernel::BeginAnnealing;
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const x_blocks).cast_mut().cast(),
        (&raw const y_blocks).cast_mut().cast(),
        (&raw const most).cast_mut().cast(),
        (&raw const blur).cast_mut().cast(),
        (&raw const scaling).cast_mut().cast(),
        (&raw const x_bounds).cast_mut().cast(),
        (&raw const y_bounds).cast_mut().cast(),
        (&raw const schedule).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// Costs of problems from `first` on, as many as the grid has rows. A block owns COST_TILE points of both clouds, a thread four of each.
// Shared memory: twice COST_TILE points of d, rounded up to an odd multiple of four.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn pair_costs(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    n: i32,
    m: i32,
    first: i32,
    x_at: u64,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    costs: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    costs.must_be_of(stream, "costs")?;
    let x = x.address();
    let y = y.address();
    let costs = costs.address();
    let kernel = Kernel::PairCosts;
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const first).cast_mut().cast(),
        (&raw const x_at).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const costs).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// See `update`. Shared memory: 16 and 128 points of d, rounded up to odd.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn update_potentials(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    n: i32,
    m: i32,
    left: i32,
    active: i32,
    averaged: i32,
    schedule: &Buffer<Annealing>,
    x_at: u64,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    log_weights: &Buffer<f32>,
    weights: &Buffer<f32>,
    before: &Buffer<f32>,
    after: &mut Buffer<f32>,
    errors: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    schedule.must_be_of(stream, "schedule")?;
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    log_weights.must_be_of(stream, "log_weights")?;
    weights.must_be_of(stream, "weights")?;
    before.must_be_of(stream, "before")?;
    after.must_be_of(stream, "after")?;
    errors.must_be_of(stream, "errors")?;
    let schedule = schedule.address();
    let x = x.address();
    let y = y.address();
    let log_weights = log_weights.address();
    let weights = weights.address();
    let before = before.address();
    let after = after.address();
    let errors = errors.address();
    let kernel = Kernel::UpdatePotentials;
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const left).cast_mut().cast(),
        (&raw const active).cast_mut().cast(),
        (&raw const averaged).cast_mut().cast(),
        (&raw const schedule).cast_mut().cast(),
        (&raw const x_at).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const log_weights).cast_mut().cast(),
        (&raw const weights).cast_mut().cast(),
        (&raw const before).cast_mut().cast(),
        (&raw const after).cast_mut().cast(),
        (&raw const errors).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// The same from costs that are kept.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn update_potentials_kept(
    stream: &Stream,
    grid: Grid,
    n: i32,
    m: i32,
    left: i32,
    active: i32,
    averaged: i32,
    schedule: &Buffer<Annealing>,
    costs: &Buffer<f32>,
    log_weights: &Buffer<f32>,
    weights: &Buffer<f32>,
    before: &Buffer<f32>,
    after: &mut Buffer<f32>,
    errors: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    schedule.must_be_of(stream, "schedule")?;
    costs.must_be_of(stream, "costs")?;
    log_weights.must_be_of(stream, "log_weights")?;
    weights.must_be_of(stream, "weights")?;
    before.must_be_of(stream, "before")?;
    after.must_be_of(stream, "after")?;
    errors.must_be_of(stream, "errors")?;
    let schedule = schedule.address();
    let costs = costs.address();
    let log_weights = log_weights.address();
    let weights = weights.address();
    let before = before.address();
    let after = after.address();
    let errors = errors.address();
    let kernel = Kernel::UpdatePotentialsKept;
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const left).cast_mut().cast(),
        (&raw const active).cast_mut().cast(),
        (&raw const averaged).cast_mut().cast(),
        (&raw const schedule).cast_mut().cast(),
        (&raw const costs).cast_mut().cast(),
        (&raw const log_weights).cast_mut().cast(),
        (&raw const weights).cast_mut().cast(),
        (&raw const before).cast_mut().cast(),
        (&raw const after).cast_mut().cast(),
        (&raw const errors).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// Whether the marginals are off by `tolerance` at most, by the errors of problems 0, 2 and 3: problem 1 was updated before 0, whose plan then has its
// marginal. Numbers that are none are never better: they end it too. One block.
// Shared memory: THREADS.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn judge_potentials(
    stream: &Stream,
    grid: Grid,
    n: i32,
    m: i32,
    updates: i32,
    tolerance: f32,
    errors: &Buffer<f32>,
    schedule: &mut Buffer<Annealing>,
) -> Result<(), CudaError> {
    errors.must_be_of(stream, "errors")?;
    schedule.must_be_of(stream, "schedule")?;
    let errors = errors.address();
    let schedule = schedule.address();
    let kernel = Kernel::JudgePotentials;
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const updates).cast_mut().cast(),
        (&raw const tolerance).cast_mut().cast(),
        (&raw const errors).cast_mut().cast(),
        (&raw const schedule).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// See `pull_rows`.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn cloud_pulls(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    n: i32,
    m: i32,
    schedule: &Buffer<Annealing>,
    x_at: u64,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    log_weights: &Buffer<f32>,
    before: &Buffer<f32>,
    after: &Buffer<f32>,
    pulls: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    schedule.must_be_of(stream, "schedule")?;
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    log_weights.must_be_of(stream, "log_weights")?;
    before.must_be_of(stream, "before")?;
    after.must_be_of(stream, "after")?;
    pulls.must_be_of(stream, "pulls")?;
    let schedule = schedule.address();
    let x = x.address();
    let y = y.address();
    let log_weights = log_weights.address();
    let before = before.address();
    let after = after.address();
    let pulls = pulls.address();
    let kernel = Kernel::CloudPulls;
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const schedule).cast_mut().cast(),
        (&raw const x_at).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const log_weights).cast_mut().cast(),
        (&raw const before).cast_mut().cast(),
        (&raw const after).cast_mut().cast(),
        (&raw const pulls).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// The same from costs that are kept.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn cloud_pulls_kept(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    n: i32,
    m: i32,
    schedule: &Buffer<Annealing>,
    x_at: u64,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    costs: &Buffer<f32>,
    log_weights: &Buffer<f32>,
    before: &Buffer<f32>,
    after: &Buffer<f32>,
    pulls: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    schedule.must_be_of(stream, "schedule")?;
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    costs.must_be_of(stream, "costs")?;
    log_weights.must_be_of(stream, "log_weights")?;
    before.must_be_of(stream, "before")?;
    after.must_be_of(stream, "after")?;
    pulls.must_be_of(stream, "pulls")?;
    let schedule = schedule.address();
    let x = x.address();
    let y = y.address();
    let costs = costs.address();
    let log_weights = log_weights.address();
    let before = before.address();
    let after = after.address();
    let pulls = pulls.address();
    let kernel = Kernel::CloudPullsKept;
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const schedule).cast_mut().cast(),
        (&raw const x_at).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const costs).cast_mut().cast(),
        (&raw const log_weights).cast_mut().cast(),
        (&raw const before).cast_mut().cast(),
        (&raw const after).cast_mut().cast(),
        (&raw const pulls).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}

// bar [n, d], from `x_at` on, is the gradient of the divergence in the points of x. Its value, in block 0: the potentials' means, those for the clouds
// themselves subtracted.
// Shared memory: THREADS of f64.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn end_divergence(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    m: i32,
    x_at: u64,
    weights: &Buffer<f32>,
    potentials: &Buffer<f32>,
    pulls: &Buffer<f32>,
    bar: &mut Buffer<f32>,
    value: &mut Buffer<f64>,
) -> Result<(), CudaError> {
    weights.must_be_of(stream, "weights")?;
    potentials.must_be_of(stream, "potentials")?;
    pulls.must_be_of(stream, "pulls")?;
    bar.must_be_of(stream, "bar")?;
    value.must_be_of(stream, "value")?;
    let weights = weights.address();
    let potentials = potentials.address();
    let pulls = pulls.address();
    let bar = bar.address();
    let value = value.address();
    let kernel = Kernel::EndDivergence;
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const x_at).cast_mut().cast(),
        (&raw const weights).cast_mut().cast(),
        (&raw const potentials).cast_mut().cast(),
        (&raw const pulls).cast_mut().cast(),
        (&raw const bar).cast_mut().cast(),
        (&raw const value).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(kernel, grid, &mut arguments) }
}
