// What kernels and host agree on. `cargo xtask kernels build` writes the same structures and numbers in Rust
// (`src/kernels.rs`): only `constexpr int`, and structures of int, float, arrays of them and structures above.
#pragma once

// Threads of a block.
constexpr int THREADS = 256;
// Layers of a net.
constexpr int MAX_LAYERS = 8;
// How products of nets round their factors: not at all, to TF32, to bfloat16.
constexpr int PRECISION_F32 = 0;
constexpr int PRECISION_TF32 = 1;
constexpr int PRECISION_BF16 = 2;
// What kernels of nets are compiled for: a precision, and LARGE with tiles of LARGE_TILE rows.
constexpr int VARIANT_F32 = 0;
constexpr int VARIANT_TF32 = 1;
constexpr int VARIANT_BF16 = 2;
constexpr int VARIANT_TF32_LARGE = 3;
constexpr int VARIANT_BF16_LARGE = 4;
// Threads of a block of these, but in f32, where so many registers as a thread then has are too few.
constexpr int ROUNDED_THREADS = 512;
// Rows of the largest tile, whose layers give their outputs in the place of their inputs, their widest layer, and the distance of two rows of
// activations.
constexpr int LARGE_TILE = 64;
constexpr int LARGE_TILE_WIDTH = 512;
constexpr int LARGE_LD = 516;
// Weights behind a net's last that are read beside those of a few columns, and not used.
constexpr int PACKED_SLACK = 448;
// Widths of layers are padded to a multiple of it with zeros.
constexpr int STAGE = 16;
// Outputs and inputs of the tile of a layer's gradient that a block owns, rows of a stage, stages that are in shared memory at a time, and the
// distance of two rows there: rows t of a stage and columns g, which a warp reads at a time, lie in 32 banks for t below 4 and g below 8.
constexpr int GRADIENT_TILE = 128;
constexpr int GRADIENT_STAGE = 16;
constexpr int GRADIENT_STAGES = 4;
constexpr int GRADIENT_LD = 136;
// Points of a cloud that a block owns, and points that it compares them with at a time.
constexpr int CLOUD_ROWS = 64;
constexpr int CLOUD_COLUMNS = 32;
// The same for transport: a warp owns two rows, a lane four columns.
constexpr int TRANSPORT_ROWS = 16;
constexpr int TRANSPORT_COLUMNS = 128;
// Points of both clouds whose costs a block computes.
constexpr int COST_TILE = 64;
// The most levels of an annealing.
constexpr int MAX_LEVELS = 256;
// The most blocks that look for a cloud's bounds.
constexpr int BOUND_BLOCKS = 64;
// The most neighbours that are looked for: a lane of a warp holds each.
constexpr int MAX_NEIGHBOURS = 32;
// Queries and points that a block compares at a time, and coordinates of them that it stages.
constexpr int NEIGHBOUR_ROWS = 64;
constexpr int NEIGHBOUR_COLUMNS = 128;
constexpr int NEIGHBOUR_STAGE = 32;

// A perceptron; `offset` is where its parameters begin. `width[0]` is the number of inputs.
struct Net {
    int layers;
    int activation;
    int offset;
    int width[MAX_LAYERS + 1];
};

// A neural stochastic equation with diagonal noise; `noise` of no inputs is a constant. No growth if `growth.layers` is zero.
struct Sde {
    int d;
    float growth_unit;
    Net drift;
    Net noise;
    Net growth;
};

// What an evaluation of a divergence knows on the device: the blur falls through `levels` values of epsilon; then, whether the marginals are off by no
// more than was asked for, after how many updates, and by how much.
struct Annealing {
    int levels;
    int done;
    int updates;
    float error;
    float epsilon[MAX_LEVELS];
};
