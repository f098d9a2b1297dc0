//! Kernels, their structures and their launchers. Written by `cargo xtask kernels build` from the signatures of the `.cu` files.

mod divergence;
mod energy;
mod euler_maruyama;
mod euler_maruyama_back;
mod euler_maruyama_layers;
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
mod slabs;
mod tsit5;

pub(crate) use divergence::{
    begin_annealing, cloud_bounds, cloud_pulls, cloud_pulls_kept, end_divergence, judge_potentials,
    pair_costs, update_potentials, update_potentials_kept,
};
pub(crate) use energy::energy_rows;
pub(crate) use euler_maruyama::em_forward;
pub(crate) use euler_maruyama_back::em_backward;
pub(crate) use euler_maruyama_layers::em_layers;
pub(crate) use generated_euler_maruyama::generated_euler_maruyama;
pub(crate) use generated_rodas5p::generated_rodas5p;
pub(crate) use generated_tsit5::generated_tsit5;
pub(crate) use gradient::layer_gradient;
pub(crate) use mlp::mlp_forward;
pub(crate) use mlp_back::mlp_backward;
pub(crate) use neighbours::{merge_nearest, nearest_of_split};
pub(crate) use noise::{brownian_increments, philox_words};
pub(crate) use optimiser::{adam, rmsprop};
pub(crate) use pack::{pack_net, pack_sde};
pub(crate) use rosenbrock::rosenbrock_ensemble;
pub(crate) use sinkhorn::{softmin_rows, transport_rows, weighted_potential};
pub(crate) use slabs::add_slabs;
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

// Outputs and inputs of the tile of a layer's gradient that a block owns, rows of a stage, stages that are in shared memory at a time, and the
// distance of two rows there: rows t of a stage and columns g, which a warp reads at a time, lie in 32 banks for t below 4 and g below 8.
pub(crate) const GRADIENT_TILE: usize = 128;

pub(crate) const GRADIENT_STAGE: usize = 16;

pub(crate) const GRADIENT_STAGES: usize = 4;

pub(crate) const GRADIENT_LD: usize = 136;

// Points of a cloud that a block owns, and points that it compares them with at a time.
pub(crate) const CLOUD_ROWS: usize = 64;

pub(crate) const CLOUD_COLUMNS: usize = 32;

// The same for transport: a warp owns two rows, a lane four columns.
pub(crate) const TRANSPORT_ROWS: usize = 16;

pub(crate) const TRANSPORT_COLUMNS: usize = 128;

// Points of both clouds whose costs a block computes.
pub(crate) const COST_TILE: usize = 64;

// The most levels of an annealing.
pub(crate) const MAX_LEVELS: usize = 256;

// The most blocks that look for a cloud's bounds.
pub(crate) const BOUND_BLOCKS: usize = 64;

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

// What an evaluation of a divergence knows on the device: the blur falls through `levels` values of epsilon; then, whether the marginals are off by no
// more than was asked for, after how many updates, and by how much.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Annealing {
    pub(crate) levels: i32,
    pub(crate) done: i32,
    pub(crate) updates: i32,
    pub(crate) error: f32,
    pub(crate) epsilon: [f32; MAX_LEVELS],
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
    CloudBounds,
    BeginAnnealing,
    PairCosts,
    UpdatePotentials,
    UpdatePotentialsKept,
    JudgePotentials,
    CloudPulls,
    CloudPullsKept,
    EndDivergence,
    EnergyRows,
    EmForwardF32,
    EmForwardTf32,
    EmForwardBf16,
    EmForwardTf32Large,
    EmForwardBf16Large,
    EmBackwardF32,
    EmBackwardTf32,
    EmBackwardBf16,
    EmLayersF32,
    EmLayersTf32,
    EmLayersBf16,
    EmLayersTf32Large,
    EmLayersBf16Large,
    LayerGradientF32,
    LayerGradientTf32,
    LayerGradientBf16,
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
    AddSlabs,
    Tsit5Ensemble,
}

/// Name of each kernel, the number of its module, and threads of a block.
pub(crate) const KERNELS: &[(&str, usize, usize)] = &[
    ("cloud_bounds", 0, THREADS),
    ("begin_annealing", 0, THREADS),
    ("pair_costs", 0, THREADS),
    ("update_potentials", 0, THREADS),
    ("update_potentials_kept", 0, THREADS),
    ("judge_potentials", 0, THREADS),
    ("cloud_pulls", 0, THREADS),
    ("cloud_pulls_kept", 0, THREADS),
    ("end_divergence", 0, THREADS),
    ("energy_rows", 1, THREADS),
    ("em_forward_f32", 2, THREADS),
    ("em_forward_tf32", 3, ROUNDED_THREADS),
    ("em_forward_bf16", 4, ROUNDED_THREADS),
    ("em_forward_tf32_large", 5, ROUNDED_THREADS),
    ("em_forward_bf16_large", 6, ROUNDED_THREADS),
    ("em_backward_f32", 7, THREADS),
    ("em_backward_tf32", 8, ROUNDED_THREADS),
    ("em_backward_bf16", 9, ROUNDED_THREADS),
    ("em_layers_f32", 10, THREADS),
    ("em_layers_tf32", 11, ROUNDED_THREADS),
    ("em_layers_bf16", 12, ROUNDED_THREADS),
    ("em_layers_tf32_large", 13, ROUNDED_THREADS),
    ("em_layers_bf16_large", 14, ROUNDED_THREADS),
    ("layer_gradient_f32", 15, THREADS),
    ("layer_gradient_tf32", 16, ROUNDED_THREADS),
    ("layer_gradient_bf16", 17, ROUNDED_THREADS),
    ("mlp_forward_f32", 18, THREADS),
    ("mlp_forward_tf32", 19, ROUNDED_THREADS),
    ("mlp_forward_bf16", 20, ROUNDED_THREADS),
    ("mlp_forward_tf32_large", 21, ROUNDED_THREADS),
    ("mlp_forward_bf16_large", 22, ROUNDED_THREADS),
    ("mlp_backward_f32", 23, THREADS),
    ("mlp_backward_tf32", 24, ROUNDED_THREADS),
    ("mlp_backward_bf16", 25, ROUNDED_THREADS),
    ("nearest_of_split", 26, THREADS),
    ("merge_nearest", 26, THREADS),
    ("brownian_increments", 27, THREADS),
    ("philox_words", 27, THREADS),
    ("adam", 28, THREADS),
    ("rmsprop", 28, THREADS),
    ("pack_net", 29, THREADS),
    ("pack_sde", 29, THREADS),
    ("rosenbrock_ensemble", 30, THREADS),
    ("softmin_rows", 31, THREADS),
    ("transport_rows", 31, THREADS),
    ("weighted_potential", 31, THREADS),
    ("add_slabs", 32, THREADS),
    ("tsit5_ensemble", 33, THREADS),
];

/// Name and PTX of each module.
pub(crate) const MODULES: &[(&str, &str)] = &[
    ("divergence", include_str!("../../kernels/ptx/divergence.ptx")),
    ("energy", include_str!("../../kernels/ptx/energy.ptx")),
    ("euler_maruyama_f32", include_str!("../../kernels/ptx/euler_maruyama_f32.ptx")),
    ("euler_maruyama_tf32", include_str!("../../kernels/ptx/euler_maruyama_tf32.ptx")),
    ("euler_maruyama_bf16", include_str!("../../kernels/ptx/euler_maruyama_bf16.ptx")),
    ("euler_maruyama_tf32_large", include_str!("../../kernels/ptx/euler_maruyama_tf32_large.ptx")),
    ("euler_maruyama_bf16_large", include_str!("../../kernels/ptx/euler_maruyama_bf16_large.ptx")),
    ("euler_maruyama_back_f32", include_str!("../../kernels/ptx/euler_maruyama_back_f32.ptx")),
    ("euler_maruyama_back_tf32", include_str!("../../kernels/ptx/euler_maruyama_back_tf32.ptx")),
    ("euler_maruyama_back_bf16", include_str!("../../kernels/ptx/euler_maruyama_back_bf16.ptx")),
    ("euler_maruyama_layers_f32", include_str!("../../kernels/ptx/euler_maruyama_layers_f32.ptx")),
    ("euler_maruyama_layers_tf32", include_str!("../../kernels/ptx/euler_maruyama_layers_tf32.ptx")),
    ("euler_maruyama_layers_bf16", include_str!("../../kernels/ptx/euler_maruyama_layers_bf16.ptx")),
    (
        "euler_maruyama_layers_tf32_large",
        include_str!("../../kernels/ptx/euler_maruyama_layers_tf32_large.ptx"),
    ),
    (
        "euler_maruyama_layers_bf16_large",
        include_str!("../../kernels/ptx/euler_maruyama_layers_bf16_large.ptx"),
    ),
    ("gradient_f32", include_str!("../../kernels/ptx/gradient_f32.ptx")),
    ("gradient_tf32", include_str!("../../kernels/ptx/gradient_tf32.ptx")),
    ("gradient_bf16", include_str!("../../kernels/ptx/gradient_bf16.ptx")),
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
    ("slabs", include_str!("../../kernels/ptx/slabs.ptx")),
    ("tsit5", include_str!("../../kernels/ptx/tsit5.ptx")),
];
