// Gradients of parameters, from what the way back keeps of every layer: products over rows, by the tensor cores. Sums go along the rows of a split in
// their order, and splits are added in theirs (`add_slabs`): the same bits at every run.
#include "mlp.cuh"

// The warps of a block, beside each other over the inputs and over the outputs, and what each has of the tile: sixteens of outputs and eights of
// inputs.
constexpr int WARPS_ACROSS = 4, WARPS_DOWN = NET_WARPS / WARPS_ACROSS;
constexpr int DOWN = GRADIENT_TILE / WARPS_DOWN, ACROSS = GRADIENT_TILE / WARPS_ACROSS;
constexpr int SIXTEENS = DOWN / 16, EIGHTS = ACROSS / 8;

// A layer's adjoints or inputs, [rows][width], of which a block has the columns from `first` on.
struct Side {
    const float *rows;
    int width, first;
    // Whether a row's columns can be copied by fours.
    bool fours;
    DEVICE_MEMBER Side(const float *all, long long at, int given_width, int given_first)
        : rows(all + at), width(given_width), first(given_first), fours(given_width % 4 == 0 && at % 4 == 0) {}
    // Begins to copy rows r0 to before end, a stage at most, into [GRADIENT_STAGE][GRADIENT_LD]; what does not exist is zero.
    DEVICE_MEMBER void load(int r0, int end, float *to) const {
        if (fours) {
#pragma unroll
            for (int i = thread_index(); i < GRADIENT_STAGE * GRADIENT_TILE / 4; i += NET_THREADS) {
                const int r = i / (GRADIENT_TILE / 4), c = i % (GRADIENT_TILE / 4) * 4;
                const bool there = r0 + r < end && first + c < width;
                copy_four(to + r * GRADIENT_LD + c, rows + (there ? (long long)(r0 + r) * width + first + c : 0), there);
            }
            return;
        }
#pragma unroll
        for (int i = thread_index(); i < GRADIENT_STAGE * GRADIENT_TILE; i += NET_THREADS) {
            const int r = i / GRADIENT_TILE, c = i % GRADIENT_TILE;
            const bool there = r0 + r < end && first + c < width;
            copy_one(to + r * GRADIENT_LD + c, rows + (there ? (long long)(r0 + r) * width + first + c : 0), there);
        }
    }
};

// sum += z^T x over the rows of a stage, of a warp's outputs and inputs, which begin at z and x; only the first `sixteens` and `eights` are needed.
#ifdef TENSOR_CORES
DEVICE void multiply_stage(const float *z, const float *x, int, int, float sum[SIXTEENS][EIGHTS][4]) {
    const int lane = thread_index() % 32;
    z += lane % 4 * GRADIENT_LD + lane / 4;
    x += lane % 4 * GRADIENT_LD + lane / 4;
    // In f32 there are no registers for two at once.
    constexpr int AT_ONCE = PRECISION == PRECISION_F32 ? 1 : GRADIENT_STAGE / INNER;
#pragma unroll AT_ONCE
    for (int k = 0; k < GRADIENT_STAGE; k += INNER) {
        // Rows t and t + 4 are neighbours to the units in bfloat16, on both sides.
        unsigned a[SIXTEENS][4], a_low[SIXTEENS][4], b[EIGHTS][2], b_low[EIGHTS][2];
        const auto take = [](const float *at, unsigned &high, unsigned &low) {
            if (PRECISION == PRECISION_BF16) high = pair_bf16(at[0], at[4 * GRADIENT_LD]);
            else if (PRECISION == PRECISION_TF32) high = float_to_bits(rounded(*at));
            else split(*at, high, low);
        };
        constexpr int NEXT = INNER / 2 * GRADIENT_LD;
#pragma unroll
        for (int m = 0; m < SIXTEENS; ++m)
#pragma unroll
            for (int i = 0; i < 4; ++i) take(z + k * GRADIENT_LD + 16 * m + i % 2 * 8 + i / 2 * NEXT, a[m][i], a_low[m][i]);
#pragma unroll
        for (int n = 0; n < EIGHTS; ++n)
#pragma unroll
            for (int i = 0; i < 2; ++i) take(x + k * GRADIENT_LD + 8 * n + i * NEXT, b[n][i], b_low[n][i]);
#pragma unroll
        for (int n = 0; n < EIGHTS; ++n)
#pragma unroll
            for (int m = 0; m < SIXTEENS; ++m) {
                if (PRECISION == PRECISION_BF16) multiply_add_bf16(sum[m][n], a[m], b[n][0], b[n][1]);
                else if (PRECISION == PRECISION_TF32) multiply_add(sum[m][n], a[m], b[n][0], b[n][1]);
                else {
                    // As in a layer's product: what the units cut stays small.
                    float part[4] = {};
                    multiply_add(part, a_low[m], b[n][0], b[n][1]);
                    multiply_add(part, a[m], b_low[n][0], b_low[n][1]);
                    multiply_add(part, a[m], b[n][0], b[n][1]);
#pragma unroll
                    for (int e = 0; e < 4; ++e) sum[m][n][e] += part[e];
                }
            }
    }
}
#else
DEVICE void multiply_stage(const float *z, const float *x, int sixteens, int eights, float sum[SIXTEENS][EIGHTS][4]) {
    const int lane = thread_index() % 32;
    z += lane / 4;
    x += lane % 4 * 2;
    for (int m = 0; m < sixteens; ++m)
        for (int n = 0; n < eights; ++n)
            for (int e = 0; e < 4; ++e)
                for (int k = 0; k < GRADIENT_STAGE; ++k)
                    sum[m][n][e] = fused(factor(z[k * GRADIENT_LD + 16 * m + e / 2 * 8]), factor(x[k * GRADIENT_LD + 8 * n + e % 2]), sum[m][n][e]);
}
#endif

// Tiles of a layer: of all its outputs and inputs, or of the outputs alone if it has no inputs.
DEVICE int tiles_across(int inner) { return inner > GRADIENT_TILE ? (inner + GRADIENT_TILE - 1) / GRADIENT_TILE : 1; }
DEVICE int tiles_down(int outs) { return (outs + GRADIENT_TILE - 1) / GRADIENT_TILE; }

// Adds to slab `block_index_y()` of `slabs` [splits, parameters], from rows `block_index_y()` per_split on of the `total` in `kept`, the gradient of the
// net's parameters: for each layer sum of z_bar^T x, [outs][inner], and of z_bar, [outs] (see `Kept`). A block owns a tile of one layer.
// Shared memory: GRADIENT_STAGES times two of [GRADIENT_STAGE][GRADIENT_LD].
PRECISION_KERNEL layer_gradient(const Net *net, int total, int per_split, int parameters, const float *kept, float *slabs) {
    int layer = 0, tile = block_index();
    long long before = 0, offset = net->offset;
    for (; layer + 1 < net->layers; ++layer) {
        const int inner = net->width[layer], outs = net->width[layer + 1], tiles = tiles_across(inner) * tiles_down(outs);
        if (tile < tiles) break;
        tile -= tiles;
        before += inner + outs;
        offset += (long long)outs * (inner + 1);
    }
    const int inner = net->width[layer], outs = net->width[layer + 1];
    const int begin = block_index_y() * per_split, end = smaller_int(total, begin + per_split);
    if (begin >= end) return;
    const Side z(kept, (before + inner) * total, outs, tile / tiles_across(inner) * GRADIENT_TILE);
    const Side x(kept, before * total, inner, tile % tiles_across(inner) * GRADIENT_TILE);
    const int warp = thread_index() / 32, down = warp / WARPS_ACROSS * DOWN, across = warp % WARPS_ACROSS * ACROSS;
    const int sixteens = (outs - z.first - down + 15) / 16, eights = (inner - x.first - across + 7) / 8;

    float *shared = shared_memory();
    constexpr int PART = GRADIENT_STAGE * GRADIENT_LD;
    const int stages = (end - begin + GRADIENT_STAGE - 1) / GRADIENT_STAGE;
    const auto load = [&](int stage) {
        if (stage < stages) {
            float *to = shared + stage % GRADIENT_STAGES * 2 * PART;
            z.load(begin + stage * GRADIENT_STAGE, end, to);
            x.load(begin + stage * GRADIENT_STAGE, end, to + PART);
        }
        copies_begun();
    };
#pragma unroll 1
    for (int stage = 0; stage < GRADIENT_STAGES - 1; ++stage) load(stage);
    // The bias is the sum of the adjoints, in f32 whatever the precision: a thread has an output's.
    const bool has_bias = x.first == 0 && thread_index() < GRADIENT_TILE;
    float sum[SIXTEENS][EIGHTS][4] = {}, bias = 0.0f;
#pragma unroll 1
    for (int stage = 0; stage < stages; ++stage) {
        copies_arrived<GRADIENT_STAGES - 2>();
        barrier();
        // Into the place of the stage before, which all have read.
        load(stage + GRADIENT_STAGES - 1);
        const float *own = shared + stage % GRADIENT_STAGES * 2 * PART;
        if (has_bias)
#pragma unroll
            for (int r = 0; r < GRADIENT_STAGE; ++r) bias += own[r * GRADIENT_LD + thread_index()];
        if (sixteens > 0 && eights > 0) multiply_stage(own + down, own + PART + across, smaller_int(sixteens, SIXTEENS), smaller_int(eights, EIGHTS), sum);
    }

    float *slab = slabs + (long long)block_index_y() * parameters + offset;
    const int lane = thread_index() % 32, o0 = z.first + down + lane / 4, i0 = x.first + across + lane % 4 * 2;
#pragma unroll
    for (int m = 0; m < SIXTEENS; ++m)
#pragma unroll
        for (int n = 0; n < EIGHTS; ++n)
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int o = o0 + 16 * m + e / 2 * 8, i = i0 + 8 * n + e % 2;
                if (o < outs && i < inner) slab[(long long)o * inner + i] += sum[m][n][e];
            }
    const int output = z.first + thread_index();
    if (has_bias && output < outs) slab[(long long)outs * inner + output] += bias;
}
