//! Kernels, their structures and their launchers. Written by `cargo xtask kernels build` from the signatures of the `.cu` files.

mod energy;
mod euler_maruyama;
mod mlp;
mod neighbours;
mod noise;
mod optimiser;
mod rosenbrock;
mod sinkhorn;
mod tsit5;

pub(crate) use energy::energy_rows;
pub(crate) use euler_maruyama::{em_backward, em_forward, pack_sde};
pub(crate) use mlp::{add_slabs, layer_gradient, mlp_backward, mlp_forward, pack_net};
pub(crate) use neighbours::{merge_nearest, nearest_of_split};
pub(crate) use noise::{brownian_increments, philox_words};
pub(crate) use optimiser::{adam, rmsprop};
pub(crate) use rosenbrock::rosenbrock_ensemble;
pub(crate) use sinkhorn::{softmin_rows, transport_rows, weighted_potential};
pub(crate) use tsit5::tsit5_ensemble;

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

// The most neighbours that are looked for: a lane of a warp holds each.
pub(crate) const MAX_NEIGHBOURS: usize = 32;

// Queries and points that a block compares at a time, and coordinates of them that it stages.
pub(crate) const NEIGHBOUR_ROWS: usize = 64;

pub(crate) const NEIGHBOUR_COLUMNS: usize = 128;

pub(crate) const NEIGHBOUR_STAGE: usize = 32;

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
    NearestOfSplit,
    MergeNearest,
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
    ("nearest_of_split", 3),
    ("merge_nearest", 3),
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
    ("energy", include_str!("../../kernels/ptx/energy.ptx")),
    ("euler_maruyama", include_str!("../../kernels/ptx/euler_maruyama.ptx")),
    ("mlp", include_str!("../../kernels/ptx/mlp.ptx")),
    ("neighbours", include_str!("../../kernels/ptx/neighbours.ptx")),
    ("noise", include_str!("../../kernels/ptx/noise.ptx")),
    ("optimiser", include_str!("../../kernels/ptx/optimiser.ptx")),
    ("rosenbrock", include_str!("../../kernels/ptx/rosenbrock.ptx")),
    ("sinkhorn", include_str!("../../kernels/ptx/sinkhorn.ptx")),
    ("tsit5", include_str!("../../kernels/ptx/tsit5.ptx")),
];
