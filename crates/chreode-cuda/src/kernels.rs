//! Kernels, their structures and their launchers. Written by `cargo xtask kernels build` from the signatures of the `.cu` files.

// tidy: data

#![allow(unsafe_code, reason = "launches, whose lengths the callers check")]

use crate::CudaError;
use crate::buffer::Buffer;
use crate::device::{Grid, Stream};

// Threads of every block.
pub(crate) const THREADS: usize = 256;

// Layers of a net.
pub(crate) const MAX_LAYERS: usize = 8;

// Widths of layers are padded to a multiple of it with zeros: inputs that a warp multiplies at a time.
pub(crate) const STAGE: usize = 16;

// Rows and columns of the tile of a layer's gradient that a block owns, and rows that it stages.
pub(crate) const GRADIENT_TILE: usize = 64;

pub(crate) const GRADIENT_STAGE: usize = 16;

// Points of a cloud that a block owns, and points that it compares them with at a time.
pub(crate) const CLOUD_ROWS: usize = 64;

pub(crate) const CLOUD_COLUMNS: usize = 32;

// The same for transport: a warp owns two rows, a lane four columns.
pub(crate) const TRANSPORT_ROWS: usize = 16;

pub(crate) const TRANSPORT_COLUMNS: usize = 128;

// The most neighbours that are looked for.
pub(crate) const MAX_NEIGHBOURS: usize = 32;

// A perceptron; `offset` is where its parameters begin. `width[0]` is the number of inputs. `tf32` is not zero where products round their
// factors to TF32.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Net {
    pub(crate) layers: i32,
    pub(crate) activation: i32,
    pub(crate) tf32: i32,
    pub(crate) offset: i32,
    pub(crate) width: [i32; MAX_LAYERS + 1],
}

// A neural stochastic equation with diagonal noise; `noise` of no inputs is a constant. No growth if `growth.layers` is zero.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Sde {
    pub(crate) d: i32,
    pub(crate) growth_unit: f32,
    pub(crate) drift: Net,
    pub(crate) noise: Net,
    pub(crate) growth: Net,
}

/// Every kernel, in the order of [`KERNELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    EnergyRows,
    PackSde,
    EmForward,
    EmBackward,
    PackNet,
    MlpForward,
    MlpBackward,
    LayerGradient,
    AddSlabs,
    Nearest,
    BrownianIncrements,
    PhiloxWords,
    Adam,
    Rmsprop,
    RosenbrockEnsemble,
    SoftminRows,
    TransportRows,
    WeightedPotential,
    Tsit5Ensemble,
}

/// Name of each kernel, and the number of its module.
pub(crate) const KERNELS: &[(&str, usize)] = &[
    ("energy_rows", 0),
    ("pack_sde", 1),
    ("em_forward", 1),
    ("em_backward", 1),
    ("pack_net", 2),
    ("mlp_forward", 2),
    ("mlp_backward", 2),
    ("layer_gradient", 2),
    ("add_slabs", 2),
    ("nearest", 3),
    ("brownian_increments", 4),
    ("philox_words", 4),
    ("adam", 5),
    ("rmsprop", 5),
    ("rosenbrock_ensemble", 6),
    ("softmin_rows", 7),
    ("transport_rows", 7),
    ("weighted_potential", 7),
    ("tsit5_ensemble", 8),
];

/// Name and PTX of each module.
pub(crate) const MODULES: &[(&str, &str)] = &[
    ("energy", include_str!("../kernels/ptx/energy.ptx")),
    ("euler_maruyama", include_str!("../kernels/ptx/euler_maruyama.ptx")),
    ("mlp", include_str!("../kernels/ptx/mlp.ptx")),
    ("neighbours", include_str!("../kernels/ptx/neighbours.ptx")),
    ("noise", include_str!("../kernels/ptx/noise.ptx")),
    ("optimiser", include_str!("../kernels/ptx/optimiser.ptx")),
    ("rosenbrock", include_str!("../kernels/ptx/rosenbrock.ptx")),
    ("sinkhorn", include_str!("../kernels/ptx/sinkhorn.ptx")),
    ("tsit5", include_str!("../kernels/ptx/tsit5.ptx")),
];

// sums [n]: sum over j of w_j |x_i - y_j|; pull [n, d]: sum over j of w_j (x_i - y_j) / |x_i - y_j|, not wanted where `with_pull`
// is zero. With `by_cell`, pairs of points that stem from one cell are left out.
// Shared memory: 64 and 32 points of d + 1, two tiles of 64 by 33, 64 pulls of d.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn energy_rows(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    m: i32,
    with_pull: i32,
    by_cell: i32,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    w: &Buffer<f32>,
    x_cells: &Buffer<u32>,
    y_cells: &Buffer<u32>,
    sums: &mut Buffer<f32>,
    pull: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    w.must_be_of(stream, "w")?;
    x_cells.must_be_of(stream, "x_cells")?;
    y_cells.must_be_of(stream, "y_cells")?;
    sums.must_be_of(stream, "sums")?;
    pull.must_be_of(stream, "pull")?;
    let x = x.address();
    let y = y.address();
    let w = w.address();
    let x_cells = x_cells.address();
    let y_cells = y_cells.address();
    let sums = sums.address();
    let pull = pull.address();
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const with_pull).cast_mut().cast(),
        (&raw const by_cell).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const w).cast_mut().cast(),
        (&raw const x_cells).cast_mut().cast(),
        (&raw const y_cells).cast_mut().cast(),
        (&raw const sums).cast_mut().cast(),
        (&raw const pull).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::EnergyRows, grid, &mut arguments) }
}

// Packs the weights of all nets, one behind the other, in the order in which products read them.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn pack_sde(
    stream: &Stream,
    grid: Grid,
    sde: &Buffer<Sde>,
    transposed: i32,
    p: &Buffer<f32>,
    packed: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    sde.must_be_of(stream, "sde")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    let sde = sde.address();
    let p = p.address();
    let packed = packed.address();
    let mut arguments = [
        (&raw const sde).cast_mut().cast(),
        (&raw const transposed).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::PackSde, grid, &mut arguments) }
}

// observed [observations, n, d], log_weights [observations, n], path [steps, n, d] (states before the steps; not wanted where the
// length `path_steps` is zero), failed [n]: the number of the step after which a state or log-weight was not finite, or -1.
// Shared memory: two tiles of activations, three tiles of d columns, one of one column.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn em_forward(
    stream: &Stream,
    grid: Grid,
    sde: &Buffer<Sde>,
    rows: i32,
    ld: i32,
    n: i32,
    steps: i32,
    path_steps: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    units: &Buffer<f32>,
    lengths: &Buffer<f32>,
    observe: &Buffer<i32>,
    key0: u32,
    key1: u32,
    trajectory: u64,
    start: &Buffer<f32>,
    observed: &mut Buffer<f32>,
    log_weights: &mut Buffer<f32>,
    path: &mut Buffer<f32>,
    failed: &mut Buffer<i32>,
) -> Result<(), CudaError> {
    sde.must_be_of(stream, "sde")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    units.must_be_of(stream, "units")?;
    lengths.must_be_of(stream, "lengths")?;
    observe.must_be_of(stream, "observe")?;
    start.must_be_of(stream, "start")?;
    observed.must_be_of(stream, "observed")?;
    log_weights.must_be_of(stream, "log_weights")?;
    path.must_be_of(stream, "path")?;
    failed.must_be_of(stream, "failed")?;
    let sde = sde.address();
    let p = p.address();
    let packed = packed.address();
    let units = units.address();
    let lengths = lengths.address();
    let observe = observe.address();
    let start = start.address();
    let observed = observed.address();
    let log_weights = log_weights.address();
    let path = path.address();
    let failed = failed.address();
    let mut arguments = [
        (&raw const sde).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const path_steps).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const units).cast_mut().cast(),
        (&raw const lengths).cast_mut().cast(),
        (&raw const observe).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const trajectory).cast_mut().cast(),
        (&raw const start).cast_mut().cast(),
        (&raw const observed).cast_mut().cast(),
        (&raw const log_weights).cast_mut().cast(),
        (&raw const path).cast_mut().cast(),
        (&raw const failed).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::EmForward, grid, &mut arguments) }
}

// Steps last - 1 down to begin of the way back, for a chunk whose kept layers fit the memory. lambda [n, d] and omega [n] are the
// adjoints of states and log-weights after the chunk, and then before it. The rows of a chunk are numbered (step - begin) n + row.
// `back` is packed for the way back. drift, noise and growth hold the inputs and adjoints of every layer (see `Kept`); `layer_gradient` sums over them.
// Shared memory: two tiles of activations, two tiles of d columns.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn em_backward(
    stream: &Stream,
    grid: Grid,
    sde: &Buffer<Sde>,
    rows: i32,
    ld: i32,
    n: i32,
    steps: i32,
    begin: i32,
    last: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    back: &Buffer<f32>,
    units: &Buffer<f32>,
    lengths: &Buffer<f32>,
    observe: &Buffer<i32>,
    key0: u32,
    key1: u32,
    trajectory: u64,
    path: &Buffer<f32>,
    state_bar: &Buffer<f32>,
    weight_bar: &Buffer<f32>,
    lambda: &mut Buffer<f32>,
    omega: &mut Buffer<f32>,
    drift: &mut Buffer<f32>,
    noise: &mut Buffer<f32>,
    growth: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    sde.must_be_of(stream, "sde")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    back.must_be_of(stream, "back")?;
    units.must_be_of(stream, "units")?;
    lengths.must_be_of(stream, "lengths")?;
    observe.must_be_of(stream, "observe")?;
    path.must_be_of(stream, "path")?;
    state_bar.must_be_of(stream, "state_bar")?;
    weight_bar.must_be_of(stream, "weight_bar")?;
    lambda.must_be_of(stream, "lambda")?;
    omega.must_be_of(stream, "omega")?;
    drift.must_be_of(stream, "drift")?;
    noise.must_be_of(stream, "noise")?;
    growth.must_be_of(stream, "growth")?;
    let sde = sde.address();
    let p = p.address();
    let packed = packed.address();
    let back = back.address();
    let units = units.address();
    let lengths = lengths.address();
    let observe = observe.address();
    let path = path.address();
    let state_bar = state_bar.address();
    let weight_bar = weight_bar.address();
    let lambda = lambda.address();
    let omega = omega.address();
    let drift = drift.address();
    let noise = noise.address();
    let growth = growth.address();
    let mut arguments = [
        (&raw const sde).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const begin).cast_mut().cast(),
        (&raw const last).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const back).cast_mut().cast(),
        (&raw const units).cast_mut().cast(),
        (&raw const lengths).cast_mut().cast(),
        (&raw const observe).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const trajectory).cast_mut().cast(),
        (&raw const path).cast_mut().cast(),
        (&raw const state_bar).cast_mut().cast(),
        (&raw const weight_bar).cast_mut().cast(),
        (&raw const lambda).cast_mut().cast(),
        (&raw const omega).cast_mut().cast(),
        (&raw const drift).cast_mut().cast(),
        (&raw const noise).cast_mut().cast(),
        (&raw const growth).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::EmBackward, grid, &mut arguments) }
}

// Packs the weights of a net, in the order in which products read them.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn pack_net(
    stream: &Stream,
    grid: Grid,
    net: &Buffer<Net>,
    transposed: i32,
    p: &Buffer<f32>,
    packed: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    let net = net.address();
    let p = p.address();
    let packed = packed.address();
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const transposed).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::PackNet, grid, &mut arguments) }
}

// y [n, out] from x [n, in]; a block owns `rows` rows. Shared memory: two tiles of activations.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn mlp_forward(
    stream: &Stream,
    grid: Grid,
    net: &Buffer<Net>,
    rows: i32,
    ld: i32,
    n: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    x: &Buffer<f32>,
    y: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    let net = net.address();
    let p = p.address();
    let packed = packed.address();
    let x = x.address();
    let y = y.address();
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::MlpForward, grid, &mut arguments) }
}

// x_bar [n, in] from y_bar [n, out]; `back` is packed for the way back. Leaves in `kept` the inputs and adjoints of every layer for `layer_gradient`.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn mlp_backward(
    stream: &Stream,
    grid: Grid,
    net: &Buffer<Net>,
    rows: i32,
    ld: i32,
    n: i32,
    p: &Buffer<f32>,
    packed: &Buffer<f32>,
    back: &Buffer<f32>,
    x: &Buffer<f32>,
    y_bar: &Buffer<f32>,
    x_bar: &mut Buffer<f32>,
    kept: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    net.must_be_of(stream, "net")?;
    p.must_be_of(stream, "p")?;
    packed.must_be_of(stream, "packed")?;
    back.must_be_of(stream, "back")?;
    x.must_be_of(stream, "x")?;
    y_bar.must_be_of(stream, "y_bar")?;
    x_bar.must_be_of(stream, "x_bar")?;
    kept.must_be_of(stream, "kept")?;
    let net = net.address();
    let p = p.address();
    let packed = packed.address();
    let back = back.address();
    let x = x.address();
    let y_bar = y_bar.address();
    let x_bar = x_bar.address();
    let kept = kept.address();
    let mut arguments = [
        (&raw const net).cast_mut().cast(),
        (&raw const rows).cast_mut().cast(),
        (&raw const ld).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const packed).cast_mut().cast(),
        (&raw const back).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y_bar).cast_mut().cast(),
        (&raw const x_bar).cast_mut().cast(),
        (&raw const kept).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::MlpBackward, grid, &mut arguments) }
}

// Adds to slab `block_index_y()` of `slabs` [splits, parameters], at `offset`, the gradient of one layer, [outs][inner] and then [outs], from
// the rows of the split: sum of z_bar^T x, and of z_bar. The rows' inputs x, [total, inner], and adjoints z_bar, [total, outs], begin at
// `x_at` and `z_at` of `kept`. A block owns a tile of 64 columns of both; the bias is the column after the last input.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn layer_gradient(
    stream: &Stream,
    grid: Grid,
    inner: i32,
    outs: i32,
    total: i32,
    per_split: i32,
    parameters: i32,
    offset: i32,
    x_at: u64,
    z_at: u64,
    kept: &Buffer<f32>,
    slabs: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    kept.must_be_of(stream, "kept")?;
    slabs.must_be_of(stream, "slabs")?;
    let kept = kept.address();
    let slabs = slabs.address();
    let mut arguments = [
        (&raw const inner).cast_mut().cast(),
        (&raw const outs).cast_mut().cast(),
        (&raw const total).cast_mut().cast(),
        (&raw const per_split).cast_mut().cast(),
        (&raw const parameters).cast_mut().cast(),
        (&raw const offset).cast_mut().cast(),
        (&raw const x_at).cast_mut().cast(),
        (&raw const z_at).cast_mut().cast(),
        (&raw const kept).cast_mut().cast(),
        (&raw const slabs).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::LayerGradient, grid, &mut arguments) }
}

// Second stage: total [parameters] is the sum of the slabs, in their order.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn add_slabs(
    stream: &Stream,
    grid: Grid,
    splits: i32,
    parameters: i32,
    slabs: &Buffer<f32>,
    total: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    slabs.must_be_of(stream, "slabs")?;
    total.must_be_of(stream, "total")?;
    let slabs = slabs.address();
    let total = total.address();
    let mut arguments = [
        (&raw const splits).cast_mut().cast(),
        (&raw const parameters).cast_mut().cast(),
        (&raw const slabs).cast_mut().cast(),
        (&raw const total).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::AddSlabs, grid, &mut arguments) }
}

// indices and distances [n, k], nearest first; of equal distances the smaller index is the nearer. m >= k, k <= 32.
// `skip` leaves out the point with the query's own number. Shared memory: 32 points of d + 1.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn nearest(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    m: i32,
    k: i32,
    skip: i32,
    queries: &Buffer<f32>,
    points: &Buffer<f32>,
    indices: &mut Buffer<u32>,
    distances: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    queries.must_be_of(stream, "queries")?;
    points.must_be_of(stream, "points")?;
    indices.must_be_of(stream, "indices")?;
    distances.must_be_of(stream, "distances")?;
    let queries = queries.address();
    let points = points.address();
    let indices = indices.address();
    let distances = distances.address();
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const k).cast_mut().cast(),
        (&raw const skip).cast_mut().cast(),
        (&raw const queries).cast_mut().cast(),
        (&raw const points).cast_mut().cast(),
        (&raw const indices).cast_mut().cast(),
        (&raw const distances).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::Nearest, grid, &mut arguments) }
}

// dw [n, d]: increments of variance scale^2; one thread a block of four coordinates.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn brownian_increments(
    stream: &Stream,
    grid: Grid,
    n: i32,
    d: i32,
    step: u32,
    first: u64,
    key0: u32,
    key1: u32,
    scale: f32,
    dw: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    dw.must_be_of(stream, "dw")?;
    let dw = dw.address();
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const step).cast_mut().cast(),
        (&raw const first).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const scale).cast_mut().cast(),
        (&raw const dw).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::BrownianIncrements, grid, &mut arguments) }
}

// words [n, 4] of the counters [n, 4].
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn philox_words(
    stream: &Stream,
    grid: Grid,
    n: i32,
    key0: u32,
    key1: u32,
    counters: &Buffer<u32>,
    words: &mut Buffer<u32>,
) -> Result<(), CudaError> {
    counters.must_be_of(stream, "counters")?;
    words.must_be_of(stream, "words")?;
    let counters = counters.address();
    let words = words.address();
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const key0).cast_mut().cast(),
        (&raw const key1).cast_mut().cast(),
        (&raw const counters).cast_mut().cast(),
        (&raw const words).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::PhiloxWords, grid, &mut arguments) }
}

// step = rate / (1 - beta1^k), unbias = 1 / sqrt(1 - beta2^k), keep = 1 - rate decay.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn adam(
    stream: &Stream,
    grid: Grid,
    n: i32,
    beta1: f32,
    rest1: f32,
    beta2: f32,
    rest2: f32,
    epsilon: f32,
    step: f32,
    unbias: f32,
    keep: f32,
    gradient: &Buffer<f32>,
    first: &mut Buffer<f32>,
    second: &mut Buffer<f32>,
    p: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    gradient.must_be_of(stream, "gradient")?;
    first.must_be_of(stream, "first")?;
    second.must_be_of(stream, "second")?;
    p.must_be_of(stream, "p")?;
    let gradient = gradient.address();
    let first = first.address();
    let second = second.address();
    let p = p.address();
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const beta1).cast_mut().cast(),
        (&raw const rest1).cast_mut().cast(),
        (&raw const beta2).cast_mut().cast(),
        (&raw const rest2).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const step).cast_mut().cast(),
        (&raw const unbias).cast_mut().cast(),
        (&raw const keep).cast_mut().cast(),
        (&raw const gradient).cast_mut().cast(),
        (&raw const first).cast_mut().cast(),
        (&raw const second).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::Adam, grid, &mut arguments) }
}

// No velocities are kept without momentum.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn rmsprop(
    stream: &Stream,
    grid: Grid,
    n: i32,
    alpha: f32,
    rest: f32,
    epsilon: f32,
    rate: f32,
    momentum: f32,
    gradient: &Buffer<f32>,
    velocity: &mut Buffer<f32>,
    second: &mut Buffer<f32>,
    p: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    gradient.must_be_of(stream, "gradient")?;
    velocity.must_be_of(stream, "velocity")?;
    second.must_be_of(stream, "second")?;
    p.must_be_of(stream, "p")?;
    let gradient = gradient.address();
    let velocity = velocity.address();
    let second = second.address();
    let p = p.address();
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const alpha).cast_mut().cast(),
        (&raw const rest).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const rate).cast_mut().cast(),
        (&raw const momentum).cast_mut().cast(),
        (&raw const gradient).cast_mut().cast(),
        (&raw const velocity).cast_mut().cast(),
        (&raw const second).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::Rmsprop, grid, &mut arguments) }
}

// start [n, d]; times [saves + 1], ascending, the first is where the run starts; p [terms], or [n, terms] with `each`.
// saved [saves, n, d] at the times after the first, steps [2, n] and status [n] as in `solve_row`.
// matrices: with `outside` the room of the systems, [d d, threads of the grid]; else they lie in shared memory.
// Shared memory: 11 d floats a thread, and without `outside` d d more.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn rosenbrock_ensemble(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    terms: i32,
    saves: i32,
    each: i32,
    outside: i32,
    max_steps: i32,
    rtol: f32,
    atol: f32,
    factor_starts: &Buffer<i32>,
    factors: &Buffer<i32>,
    effect_starts: &Buffer<i32>,
    effect_rows: &Buffer<i32>,
    effects: &Buffer<f32>,
    p: &Buffer<f32>,
    start: &Buffer<f32>,
    times: &Buffer<f64>,
    matrices: &mut Buffer<f32>,
    saved: &mut Buffer<f32>,
    steps: &mut Buffer<i32>,
    status: &mut Buffer<i32>,
) -> Result<(), CudaError> {
    factor_starts.must_be_of(stream, "factor_starts")?;
    factors.must_be_of(stream, "factors")?;
    effect_starts.must_be_of(stream, "effect_starts")?;
    effect_rows.must_be_of(stream, "effect_rows")?;
    effects.must_be_of(stream, "effects")?;
    p.must_be_of(stream, "p")?;
    start.must_be_of(stream, "start")?;
    times.must_be_of(stream, "times")?;
    matrices.must_be_of(stream, "matrices")?;
    saved.must_be_of(stream, "saved")?;
    steps.must_be_of(stream, "steps")?;
    status.must_be_of(stream, "status")?;
    let factor_starts = factor_starts.address();
    let factors = factors.address();
    let effect_starts = effect_starts.address();
    let effect_rows = effect_rows.address();
    let effects = effects.address();
    let p = p.address();
    let start = start.address();
    let times = times.address();
    let matrices = matrices.address();
    let saved = saved.address();
    let steps = steps.address();
    let status = status.address();
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const terms).cast_mut().cast(),
        (&raw const saves).cast_mut().cast(),
        (&raw const each).cast_mut().cast(),
        (&raw const outside).cast_mut().cast(),
        (&raw const max_steps).cast_mut().cast(),
        (&raw const rtol).cast_mut().cast(),
        (&raw const atol).cast_mut().cast(),
        (&raw const factor_starts).cast_mut().cast(),
        (&raw const factors).cast_mut().cast(),
        (&raw const effect_starts).cast_mut().cast(),
        (&raw const effect_rows).cast_mut().cast(),
        (&raw const effects).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const start).cast_mut().cast(),
        (&raw const times).cast_mut().cast(),
        (&raw const matrices).cast_mut().cast(),
        (&raw const saved).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const status).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::RosenbrockEnsemble, grid, &mut arguments) }
}

// out [n] = -epsilon ln sum over j of exp((h_j - cost(x_i, y_j)) / epsilon), where h_j holds epsilon ln(weight). A lane has a running
// maximum and sum for each of its rows. With `average`, out becomes the mean of what it was and this.
// Shared memory: 16 and 128 points of d, rounded up to odd.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn softmin_rows(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    n: i32,
    m: i32,
    average: i32,
    epsilon: f32,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    h: &Buffer<f32>,
    out: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    h.must_be_of(stream, "h")?;
    out.must_be_of(stream, "out")?;
    let x = x.address();
    let y = y.address();
    let h = h.address();
    let out = out.address();
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const average).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const h).cast_mut().cast(),
        (&raw const out).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::SoftminRows, grid, &mut arguments) }
}

// With pi_ij = exp((f_i + h_j - cost) / epsilon), h_j with epsilon ln(weight): mass [n] = sum over j of pi, and pull [n, d] = sum over j
// of pi times the cost's gradient in x_i, not wanted where `with_pull` is zero.
// Shared memory: 16 and 128 points of d, rounded up to odd, a tile of 16 by 129, 16 pulls of d.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn transport_rows(
    stream: &Stream,
    grid: Grid,
    cost: i32,
    d: i32,
    n: i32,
    m: i32,
    with_pull: i32,
    epsilon: f32,
    x: &Buffer<f32>,
    y: &Buffer<f32>,
    f: &Buffer<f32>,
    h: &Buffer<f32>,
    mass: &mut Buffer<f32>,
    pull: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    x.must_be_of(stream, "x")?;
    y.must_be_of(stream, "y")?;
    f.must_be_of(stream, "f")?;
    h.must_be_of(stream, "h")?;
    mass.must_be_of(stream, "mass")?;
    pull.must_be_of(stream, "pull")?;
    let x = x.address();
    let y = y.address();
    let f = f.address();
    let h = h.address();
    let mass = mass.address();
    let pull = pull.address();
    let mut arguments = [
        (&raw const cost).cast_mut().cast(),
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const m).cast_mut().cast(),
        (&raw const with_pull).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const x).cast_mut().cast(),
        (&raw const y).cast_mut().cast(),
        (&raw const f).cast_mut().cast(),
        (&raw const h).cast_mut().cast(),
        (&raw const mass).cast_mut().cast(),
        (&raw const pull).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::TransportRows, grid, &mut arguments) }
}

// h [n] = potential [n] + epsilon ln(weight [n]); a weight of zero takes no part.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn weighted_potential(
    stream: &Stream,
    grid: Grid,
    n: i32,
    epsilon: f32,
    potential: &Buffer<f32>,
    weight: &Buffer<f32>,
    h: &mut Buffer<f32>,
) -> Result<(), CudaError> {
    potential.must_be_of(stream, "potential")?;
    weight.must_be_of(stream, "weight")?;
    h.must_be_of(stream, "h")?;
    let potential = potential.address();
    let weight = weight.address();
    let h = h.address();
    let mut arguments = [
        (&raw const n).cast_mut().cast(),
        (&raw const epsilon).cast_mut().cast(),
        (&raw const potential).cast_mut().cast(),
        (&raw const weight).cast_mut().cast(),
        (&raw const h).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::WeightedPotential, grid, &mut arguments) }
}

// start [n, d]; times [saves + 1], ascending, the first is where the run starts; p [terms], or [n, terms] with `each`.
// saved [saves, n, d] at the times after the first, steps [2, n]: accepted and rejected, status [n]: 0, or 1 after too many steps, 2 for a
// step that has become too small, 3 for a start that is not finite; then saved is zero from there on.
// Shared memory: 9 d floats a thread.
/// # Safety
/// Buffers are as long as the kernel reads and writes them with these sizes.
pub(crate) unsafe fn tsit5_ensemble(
    stream: &Stream,
    grid: Grid,
    d: i32,
    n: i32,
    terms: i32,
    saves: i32,
    each: i32,
    max_steps: i32,
    rtol: f32,
    atol: f32,
    factor_starts: &Buffer<i32>,
    factors: &Buffer<i32>,
    effect_starts: &Buffer<i32>,
    effect_rows: &Buffer<i32>,
    effects: &Buffer<f32>,
    p: &Buffer<f32>,
    start: &Buffer<f32>,
    times: &Buffer<f64>,
    saved: &mut Buffer<f32>,
    steps: &mut Buffer<i32>,
    status: &mut Buffer<i32>,
) -> Result<(), CudaError> {
    factor_starts.must_be_of(stream, "factor_starts")?;
    factors.must_be_of(stream, "factors")?;
    effect_starts.must_be_of(stream, "effect_starts")?;
    effect_rows.must_be_of(stream, "effect_rows")?;
    effects.must_be_of(stream, "effects")?;
    p.must_be_of(stream, "p")?;
    start.must_be_of(stream, "start")?;
    times.must_be_of(stream, "times")?;
    saved.must_be_of(stream, "saved")?;
    steps.must_be_of(stream, "steps")?;
    status.must_be_of(stream, "status")?;
    let factor_starts = factor_starts.address();
    let factors = factors.address();
    let effect_starts = effect_starts.address();
    let effect_rows = effect_rows.address();
    let effects = effects.address();
    let p = p.address();
    let start = start.address();
    let times = times.address();
    let saved = saved.address();
    let steps = steps.address();
    let status = status.address();
    let mut arguments = [
        (&raw const d).cast_mut().cast(),
        (&raw const n).cast_mut().cast(),
        (&raw const terms).cast_mut().cast(),
        (&raw const saves).cast_mut().cast(),
        (&raw const each).cast_mut().cast(),
        (&raw const max_steps).cast_mut().cast(),
        (&raw const rtol).cast_mut().cast(),
        (&raw const atol).cast_mut().cast(),
        (&raw const factor_starts).cast_mut().cast(),
        (&raw const factors).cast_mut().cast(),
        (&raw const effect_starts).cast_mut().cast(),
        (&raw const effect_rows).cast_mut().cast(),
        (&raw const effects).cast_mut().cast(),
        (&raw const p).cast_mut().cast(),
        (&raw const start).cast_mut().cast(),
        (&raw const times).cast_mut().cast(),
        (&raw const saved).cast_mut().cast(),
        (&raw const steps).cast_mut().cast(),
        (&raw const status).cast_mut().cast(),
    ];
    // SAFETY: types and order are those of the signature, the buffers are of this stream; lengths are the caller's promise.
    unsafe { stream.launch(Kernel::Tsit5Ensemble, grid, &mut arguments) }
}
