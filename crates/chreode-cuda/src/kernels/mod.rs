//! Kernels, their structures and their launchers. Written by `cargo xtask kernels build` from the signatures of the `.cu` files.

mod energy;
mod euler_maruyama;
mod euler_maruyama_back;
mod generated_euler_maruyama;
mod generated_rodas5p;
mod generated_tsit5;
mod gradient;
mod mlp;
mod mlp_back;
mod neighbours;
mod noise;
mod optimiser;
mod pack;
mod rosenbrock;
mod sinkhorn;
mod tsit5;

pub(crate) use energy::energy_rows;
pub(crate) use euler_maruyama::em_forward;
pub(crate) use euler_maruyama_back::em_backward;
pub(crate) use generated_euler_maruyama::generated_euler_maruyama;
pub(crate) use generated_rodas5p::generated_rodas5p;
pub(crate) use generated_tsit5::generated_tsit5;
pub(crate) use gradient::{add_slabs, layer_gradient};
pub(crate) use mlp::mlp_forward;
pub(crate) use mlp_back::mlp_backward;
pub(crate) use neighbours::{merge_nearest, nearest_of_split};
pub(crate) use noise::{brownian_increments, philox_words};
pub(crate) use optimiser::{adam, rmsprop};
pub(crate) use pack::{pack_net, pack_sde};
pub(crate) use rosenbrock::rosenbrock_ensemble;
pub(crate) use sinkhorn::{softmin_rows, transport_rows, weighted_potential};
pub(crate) use tsit5::tsit5_ensemble;

// Threads of a block.
pub(crate) const THREADS: usize = 256;

// Layers of a net.
pub(crate) const MAX_LAYERS: usize = 8;

// How products of nets round their factors: not at all, to TF32, to bfloat16.
pub(crate) const PRECISION_F32: usize = 0;

pub(crate) const PRECISION_TF32: usize = 1;

pub(crate) const PRECISION_BF16: usize = 2;

// Threads of a block of these, but in f32, where so many registers as a thread then has are too few.
pub(crate) const ROUNDED_THREADS: usize = 512;

// Rows of the largest tile, whose layers give their outputs in the place of their inputs, their widest layer, and the distance of two rows of
// activations.
pub(crate) const LARGE_TILE: usize = 64;

pub(crate) const LARGE_TILE_WIDTH: usize = 512;

pub(crate) const LARGE_LD: usize = 516;

// Weights behind a net's last that are read beside those of a few columns, and not used.
pub(crate) const PACKED_SLACK: usize = 448;

// Widths of layers are padded to a multiple of it with zeros.
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

// The most neighbours that are looked for: a lane of a warp holds each.
pub(crate) const MAX_NEIGHBOURS: usize = 32;

// Queries and points that a block compares at a time, and coordinates of them that it stages.
pub(crate) const NEIGHBOUR_ROWS: usize = 64;

pub(crate) const NEIGHBOUR_COLUMNS: usize = 128;

pub(crate) const NEIGHBOUR_STAGE: usize = 32;

// A perceptron; `offset` is where its parameters begin. `width[0]` is the number of inputs.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Net {
    pub(crate) layers: i32,
    pub(crate) activation: i32,
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

// What kernels of nets are compiled for: a precision, and LARGE with tiles of LARGE_TILE rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    F32,
    Tf32,
    Bf16,
    Tf32Large,
    Bf16Large,
}

/// Every kernel, in the order of [`KERNELS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    EnergyRows,
    EmForwardF32,
    EmForwardTf32,
    EmForwardBf16,
    EmForwardTf32Large,
    EmForwardBf16Large,
    EmBackwardF32,
    EmBackwardTf32,
    EmBackwardBf16,
    LayerGradient,
    AddSlabs,
    MlpForwardF32,
    MlpForwardTf32,
    MlpForwardBf16,
    MlpForwardTf32Large,
    MlpForwardBf16Large,
    MlpBackwardF32,
    MlpBackwardTf32,
    MlpBackwardBf16,
    NearestOfSplit,
    MergeNearest,
    BrownianIncrements,
    PhiloxWords,
    Adam,
    Rmsprop,
    PackNet,
    PackSde,
    RosenbrockEnsemble,
    SoftminRows,
    TransportRows,
    WeightedPotential,
    Tsit5Ensemble,
}

/// Name of each kernel, the number of its module, and threads of a block.
pub(crate) const KERNELS: &[(&str, usize, usize)] = &[
    ("energy_rows", 0, THREADS),
    ("em_forward_f32", 1, THREADS),
    ("em_forward_tf32", 2, ROUNDED_THREADS),
    ("em_forward_bf16", 3, ROUNDED_THREADS),
    ("em_forward_tf32_large", 4, ROUNDED_THREADS),
    ("em_forward_bf16_large", 5, ROUNDED_THREADS),
    ("em_backward_f32", 6, THREADS),
    ("em_backward_tf32", 7, ROUNDED_THREADS),
    ("em_backward_bf16", 8, ROUNDED_THREADS),
    ("layer_gradient", 9, THREADS),
    ("add_slabs", 9, THREADS),
    ("mlp_forward_f32", 10, THREADS),
    ("mlp_forward_tf32", 11, ROUNDED_THREADS),
    ("mlp_forward_bf16", 12, ROUNDED_THREADS),
    ("mlp_forward_tf32_large", 13, ROUNDED_THREADS),
    ("mlp_forward_bf16_large", 14, ROUNDED_THREADS),
    ("mlp_backward_f32", 15, THREADS),
    ("mlp_backward_tf32", 16, ROUNDED_THREADS),
    ("mlp_backward_bf16", 17, ROUNDED_THREADS),
    ("nearest_of_split", 18, THREADS),
    ("merge_nearest", 18, THREADS),
    ("brownian_increments", 19, THREADS),
    ("philox_words", 19, THREADS),
    ("adam", 20, THREADS),
    ("rmsprop", 20, THREADS),
    ("pack_net", 21, THREADS),
    ("pack_sde", 21, THREADS),
    ("rosenbrock_ensemble", 22, THREADS),
    ("softmin_rows", 23, THREADS),
    ("transport_rows", 23, THREADS),
    ("weighted_potential", 23, THREADS),
    ("tsit5_ensemble", 24, THREADS),
];

/// Name and PTX of each module.
pub(crate) const MODULES: &[(&str, &str)] = &[
    ("energy", include_str!("../../kernels/ptx/energy.ptx")),
    ("euler_maruyama_f32", include_str!("../../kernels/ptx/euler_maruyama_f32.ptx")),
    ("euler_maruyama_tf32", include_str!("../../kernels/ptx/euler_maruyama_tf32.ptx")),
    ("euler_maruyama_bf16", include_str!("../../kernels/ptx/euler_maruyama_bf16.ptx")),
    ("euler_maruyama_tf32_large", include_str!("../../kernels/ptx/euler_maruyama_tf32_large.ptx")),
    ("euler_maruyama_bf16_large", include_str!("../../kernels/ptx/euler_maruyama_bf16_large.ptx")),
    ("euler_maruyama_back_f32", include_str!("../../kernels/ptx/euler_maruyama_back_f32.ptx")),
    ("euler_maruyama_back_tf32", include_str!("../../kernels/ptx/euler_maruyama_back_tf32.ptx")),
    ("euler_maruyama_back_bf16", include_str!("../../kernels/ptx/euler_maruyama_back_bf16.ptx")),
    ("gradient", include_str!("../../kernels/ptx/gradient.ptx")),
    ("mlp_f32", include_str!("../../kernels/ptx/mlp_f32.ptx")),
    ("mlp_tf32", include_str!("../../kernels/ptx/mlp_tf32.ptx")),
    ("mlp_bf16", include_str!("../../kernels/ptx/mlp_bf16.ptx")),
    ("mlp_tf32_large", include_str!("../../kernels/ptx/mlp_tf32_large.ptx")),
    ("mlp_bf16_large", include_str!("../../kernels/ptx/mlp_bf16_large.ptx")),
    ("mlp_back_f32", include_str!("../../kernels/ptx/mlp_back_f32.ptx")),
    ("mlp_back_tf32", include_str!("../../kernels/ptx/mlp_back_tf32.ptx")),
    ("mlp_back_bf16", include_str!("../../kernels/ptx/mlp_back_bf16.ptx")),
    ("neighbours", include_str!("../../kernels/ptx/neighbours.ptx")),
    ("noise", include_str!("../../kernels/ptx/noise.ptx")),
    ("optimiser", include_str!("../../kernels/ptx/optimiser.ptx")),
    ("pack", include_str!("../../kernels/ptx/pack.ptx")),
    ("rosenbrock", include_str!("../../kernels/ptx/rosenbrock.ptx")),
    ("sinkhorn", include_str!("../../kernels/ptx/sinkhorn.ptx")),
    ("tsit5", include_str!("../../kernels/ptx/tsit5.ptx")),
];
