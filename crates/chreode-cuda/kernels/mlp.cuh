// A perceptron on a tile of rows that a block owns: activations never leave the chip.
//
// The tile has 16 or 32 rows, or LARGE_TILE where factors are rounded. Activations lie in shared memory, [rows][ld], padded with zeros to a
// multiple of STAGE: a tile for a layer's inputs and one for its outputs, but in a large tile, where the outputs wait in registers until the
// inputs were read. Each weight is read once by the block, from the second-level cache into the registers of the one warp that owns its
// column, in the order in which the tensor cores want it (`pack`). A row's bits depend on neither the tile nor the row's place.
#pragma once
#include "net.cuh"

// What the kernels are compiled for: one for all would need the registers of the greediest.
constexpr int PRECISION = VARIANT == VARIANT_F32 ? PRECISION_F32 : VARIANT == VARIANT_TF32 || VARIANT == VARIANT_TF32_LARGE ? PRECISION_TF32 : PRECISION_BF16;
constexpr bool LARGE = VARIANT == VARIANT_TF32_LARGE || VARIANT == VARIANT_BF16_LARGE;

// Asked for again wherever it is used: what follows from it shall hold no register while products run.
DEVICE int own_thread() { return opaque(thread_index()); }

// The tile of a layer's outputs behind that of its inputs, or the same.
DEVICE float *other_tile(float *a, int rows, int ld) { return LARGE ? a : a + rows * ld; }

// visit(row, column) for the elements of the padded width that this thread's products give.
template <class Visit>
DEVICE void each_own(int rows, int outs, Visit visit) {
    const int lane = own_thread() % 32, eights = padded(outs) / 8, per_warp = (eights + THREADS / 32 - 1) / (THREADS / 32);
    const int first = own_thread() / 32 * per_warp, last = smaller_int(first + per_warp, eights);
#pragma unroll 1
    for (int eight = first; eight < last; ++eight)
#pragma unroll 1
        for (int m = 0; m < rows; m += 16)
#pragma unroll
            for (int e = 0; e < 4; ++e) visit(m + lane / 4 + e / 2 * 8, eight * 8 + lane % 4 * 2 + e % 2);
}

#ifdef TENSOR_CORES
// A factor in two parts that TF32 holds, and what f32 has beside them is lost.
DEVICE void split(float v, unsigned &high, unsigned &low) {
    const float top = rounded(v);
    high = float_to_bits(top);
    low = float_to_bits(v - top);
}

// What a lane multiplies of eight columns of weights in a stage: four numbers.
template <int> struct Weights {
    Four v;
    DEVICE_MEMBER void load(const float *packed, int at) { v = ((const Four *)packed)[at]; }
};
template <> struct Weights<PRECISION_BF16> {
    Two v;
    DEVICE_MEMBER void load(const float *packed, int at) { v = ((const Two *)packed)[at]; }
};

// A sixteen of rows for half a stage, in parts that TF32 holds.
struct Parts {
    unsigned high[4], low[4];
    DEVICE_MEMBER void set(float top0, float top1, float bottom0, float bottom1) {
        split(top0, high[0], low[0]);
        split(bottom0, high[1], low[1]);
        split(top1, high[2], low[2]);
        split(bottom1, high[3], low[3]);
    }
};

// A barrier at which every warp of the block arrives once, each wherever its number of columns has led it: one of its own with a number of
// threads, since that of `__syncthreads` must be the same instruction for all.
DEVICE void meet() { asm volatile("bar.sync 1, %0;" ::"n"(THREADS) : "memory"); }

// The first `count` of EIGHTS times eight columns of a warp, SIXTEENS times sixteen rows; weights of others are read and not used. In f32 a product is
// three of the factors' parts: what is left out is 2^-21 of it. In a large tile all threads arrive before the outputs are written.
template <int SIXTEENS, int EIGHTS, bool BACK>
DEVICE void columns_of_warp(const float *a, int ld, int stages, const float *packed, int eights, int eight, int count, float *out) {
    // Stages of weights that are on their way: with few rows there is little to do meanwhile. In f32 registers are missing.
    constexpr int DEPTH = SIXTEENS == 1 && PRECISION != PRECISION_F32 ? 2 : 1;
    const int lane = own_thread() % 32, g = lane / 4, t = lane % 4;
    ld = opaque(ld);
    stages = opaque(stages);
    apart<SIXTEENS, EIGHTS>();
    float sum[SIXTEENS][EIGHTS][4] = {};
    const int step = eights * 32;
    int at = eight * 32 + lane;
    a += g * ld + 4 * t;
    Weights<PRECISION> b[DEPTH][EIGHTS];
#pragma unroll
    for (int u = 0; u < DEPTH; ++u) {
        if (u < stages)
#pragma unroll
            for (int j = 0; j < EIGHTS; ++j) b[u][j].load(packed, at + 32 * j);
        if (u + 1 < stages) at += step;
    }
#pragma unroll 1
    for (int s0 = 0; s0 < stages; s0 += DEPTH) {
#pragma unroll
        for (int u = 0; u < DEPTH; ++u) {
            const int s = s0 + u;
            if (s >= stages) break;
            // What a later stage multiplies is asked for as soon as its registers are free; `at` stays at the last.
            if constexpr (PRECISION == PRECISION_BF16) {
                unsigned both[SIXTEENS][4];
#pragma unroll
                for (int m = 0; m < SIXTEENS; ++m) {
                    const Four top = *(const Four *)(a + 16 * m * ld + s * STAGE), bottom = *(const Four *)(a + (16 * m + 8) * ld + s * STAGE);
                    both[m][0] = pair_bf16(top.x, top.y);
                    both[m][1] = pair_bf16(bottom.x, bottom.y);
                    both[m][2] = pair_bf16(top.z, top.w);
                    both[m][3] = pair_bf16(bottom.z, bottom.w);
                }
#pragma unroll
                for (int j = 0; j < EIGHTS; ++j) {
                    const Two w = b[u][j].v;
                    b[u][j].load(packed, at + 32 * j);
#pragma unroll
                    for (int m = 0; m < SIXTEENS; ++m) multiply_add_bf16(sum[m][j], both[m], w.x, w.y);
                }
            } else {
                // All of a stage at once, or by halves: as registers allow.
                constexpr bool HALVES = SIXTEENS == 4 || (SIXTEENS == 2 && PRECISION == PRECISION_F32 && BACK);
                Four top[SIXTEENS], bottom[SIXTEENS];
#pragma unroll
                for (int m = 0; m < SIXTEENS && !HALVES; ++m) {
                    top[m] = *(const Four *)(a + 16 * m * ld + s * STAGE);
                    bottom[m] = *(const Four *)(a + (16 * m + 8) * ld + s * STAGE);
                }
#pragma unroll
                for (int half = 0; half < 2; ++half) {
                    Parts parts[SIXTEENS];
#pragma unroll
                    for (int m = 0; m < SIXTEENS; ++m) {
                        if (HALVES) {
                            const Pair above = *(const Pair *)(a + 16 * m * ld + s * STAGE + 2 * half);
                            const Pair below = *(const Pair *)(a + (16 * m + 8) * ld + s * STAGE + 2 * half);
                            parts[m].set(above.x, above.y, below.x, below.y);
                        } else if (half == 0) parts[m].set(top[m].x, top[m].y, bottom[m].x, bottom[m].y);
                        else parts[m].set(top[m].z, top[m].w, bottom[m].z, bottom[m].w);
                    }
#pragma unroll
                    for (int j = 0; j < EIGHTS; ++j) {
                        const Four w = b[u][j].v;
                        const float w0 = half == 0 ? w.x : w.z, w1 = half == 0 ? w.y : w.w;
                        if (half == 1) b[u][j].load(packed, at + 32 * j);
                        unsigned b0, b1, small0, small1;
                        split(w0, b0, small0);
                        split(w1, b1, small1);
#pragma unroll
                        for (int m = 0; m < SIXTEENS; ++m) {
                            if (PRECISION == PRECISION_TF32) { // of which the weights are already
                                multiply_add(sum[m][j], parts[m].high, float_to_bits(w0), float_to_bits(w1));
                                continue;
                            }
                            // The units cut what they add: short sums of their own, which are added with rounding.
                            float part[4] = {};
                            multiply_add(part, parts[m].low, b0, b1);
                            multiply_add(part, parts[m].high, small0, small1);
                            multiply_add(part, parts[m].high, b0, b1);
#pragma unroll
                            for (int e = 0; e < 4; ++e) sum[m][j][e] += part[e];
                        }
                    }
                }
            }
            if (s + 1 + DEPTH < stages) at += step;
        }
    }
    apart<SIXTEENS, EIGHTS>();
    if (LARGE) meet();
#pragma unroll
    for (int m = 0; m < SIXTEENS; ++m)
#pragma unroll
        for (int j = 0; j < EIGHTS; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e)
                if (j < count) out[(16 * m + g + e / 2 * 8) * ld + (eight + j) * 8 + 2 * t + e % 2] = sum[m][j][e];
    apart<SIXTEENS, EIGHTS>();
}

template <int SIXTEENS, bool BACK>
DEVICE void rows_of_block(const float *a, int ld, int inner, int outs, const float *packed, float *out) {
    const int stages = padded(inner) / STAGE, eights = padded(outs) / 8, per_warp = (eights + THREADS / 32 - 1) / (THREADS / 32);
    int eight = own_thread() / 32 * per_warp;
    const int last = smaller_int(eight + per_warp, eights);
    if (LARGE && eight >= last) meet();
    // As many as the registers hold beside what a kernel keeps; in a large tile once at most, for no layer is wider than LARGE_TILE_WIDTH.
    constexpr int MOST = LARGE ? LARGE_TILE_WIDTH / 8 / (THREADS / 32) : 4;
#pragma unroll 1
    for (; eight < last; eight += MOST) {
        const int count = smaller_int(last - eight, MOST);
        if (LARGE && count > 4) columns_of_warp<SIXTEENS, MOST, BACK>(a, ld, stages, packed, eights, eight, count, out);
        else if (count > 1) columns_of_warp<SIXTEENS, 4, BACK>(a, ld, stages, packed, eights, eight, count, out);
        else columns_of_warp<SIXTEENS, 1, BACK>(a, ld, stages, packed, eights, eight, count, out);
    }
}
#else
DEVICE float factor(float v) { return PRECISION == PRECISION_F32 ? v : PRECISION == PRECISION_TF32 ? rounded(v) : rounded_bf16(v); }

DEVICE float packed_weight(const float *packed, long long at) {
    return PRECISION == PRECISION_BF16 ? bits_to_float((unsigned)((const unsigned short *)packed)[at] << 16) : packed[at];
}
#endif

// out[row][column] = sum of a[row][k] weight(column, k) over k, for every row of the tile and every column of the padded width; `out` is `a` where
// the tile is large. What others wrote to `a` is read after a barrier of its own; `each_own` may read the result at once, others after a barrier.
// BACK in kernels of the way back, which keep more in registers.
template <bool BACK>
DEVICE void product(int rows, const float *a, int ld, int inner, int outs, const float *packed, float *out) {
    barrier();
#ifdef TENSOR_CORES
    if (LARGE) rows_of_block<LARGE_TILE / 16, BACK>(a, ld, inner, outs, packed, out);
    else if (rows == 16) rows_of_block<1, BACK>(a, ld, inner, outs, packed, out);
    else rows_of_block<2, BACK>(a, ld, inner, outs, packed, out);
#else
    float own[LARGE ? LARGE_TILE * LARGE_TILE_WIDTH / THREADS : 1];
    int count = 0;
    each_own(rows, outs, [&](int r, int column) {
        float sum = 0.0f;
        for (int k = 0; k < padded(inner); ++k)
            sum = fused(factor(a[r * ld + k]), packed_weight(packed, packed_place(outs, column, k)), sum);
        if (LARGE) own[count++] = sum;
        else out[r * ld + column] = sum;
    });
    if (!LARGE) return;
    barrier();
    count = 0;
    each_own(rows, outs, [&](int r, int column) { out[r * ld + column] = own[count++]; });
#endif
}

// Where a chunk of `total` rows keeps what the backward pass needs of a net: for each layer its inputs, [total][in], and then
// slopes of the activation and at last the adjoints of what the layer gives, [total][out].
struct Kept {
    float *base;
    int total;
    // Number of the tile's first row in the chunk, and rows of the tile that exist.
    int first;
    int rows;
};

DEVICE float *kept_inputs(const Net *net, const Kept &kept, int layer) {
    long long before = 0;
    for (int l = 0; l < layer; ++l) before += net->width[l] + net->width[l + 1];
    return kept.base + before * kept.total + (long long)kept.first * net->width[layer];
}

DEVICE float *kept_adjoints(const Net *net, const Kept &kept, int layer) {
    long long before = net->width[layer];
    for (int l = 0; l < layer; ++l) before += net->width[l] + net->width[l + 1];
    return kept.base + before * kept.total + (long long)kept.first * net->width[layer + 1];
}

DEVICE long long layer_offset(const Net *net, int layer) {
    long long offset = net->offset;
    for (int l = 0; l < layer; ++l) offset += (long long)net->width[l + 1] * (net->width[l] + 1);
    return offset;
}

// Runs the first `layers` layers, of packed weights, from the inputs in `a`; the result lies in what is returned, `a` or `b`, after a barrier.
// KEEP also writes what the backward pass needs, and the inputs of the layer after them.
template <bool KEEP>
DEVICE float *net_forward(const Net *net, int layers, const float *p, const float *packed, int rows, float *a, float *b, int ld, const Kept &kept) {
    for (int l = 0; l <= layers; ++l) {
        if (l == net->layers) break;
        if (KEEP) {
            barrier();
            const int inner = net->width[l];
            float *out = kept_inputs(net, kept, l);
            for (int i = own_thread(); i < kept.rows * inner; i += THREADS) out[i] = a[i / inner * ld + i % inner];
        }
        if (l == layers) break;
        product<KEEP>(rows, a, ld, net->width[l], net->width[l + 1], packed + packed_offset(net, l), b);
        // What is needed from here on held no register meanwhile.
        const int layer = opaque(l), outs = net->width[layer + 1];
        const float *bias = p + layer_offset(net, layer) + (long long)net->width[layer] * outs;
        const bool hidden = layer + 1 < net->layers;
        float *slopes = KEEP && hidden ? kept_adjoints(net, kept, layer) : nullptr;
        each_own(rows, outs, [&](int r, int o) {
            float z = 0.0f;
            if (o < outs) {
                z = b[r * ld + o] + bias[o];
                if (hidden) {
                    float slope;
                    z = activate(net->activation, z, slope);
                    if (KEEP && r < kept.rows) slopes[(long long)r * outs + o] = slope;
                }
            }
            b[r * ld + o] = z;
        });
        float *other = a;
        a = b;
        b = other;
    }
    barrier();
    return a;
}

// Pulls, with weights packed for the way back, the adjoint of the outputs in `a` (rows that do not exist are zero, columns padded with zeros) back to the inputs, and
// leaves the adjoints of all layers in `kept`. The result lies in what is returned, after a barrier.
DEVICE float *net_backward(const Net *net, const float *packed, int rows, float *a, float *b, int ld, const Kept &kept) {
    const int last = net->width[net->layers];
    float *top = kept_adjoints(net, kept, net->layers - 1);
    barrier();
    for (int i = own_thread(); i < kept.rows * last; i += THREADS) top[i] = a[i / last * ld + i % last];
    for (int l = net->layers - 1; l >= 0; --l) {
        product<true>(rows, a, ld, net->width[l + 1], net->width[l], packed + packed_offset(net, l), b);
        const int layer = opaque(l), inner = net->width[layer];
        float *below = layer > 0 ? kept_adjoints(net, kept, layer - 1) : nullptr;
        each_own(rows, inner, [&](int r, int i) {
            float v = 0.0f;
            if (i < inner && r < kept.rows) {
                v = b[r * ld + i];
                if (layer > 0) {
                    v *= below[(long long)r * inner + i];
                    below[(long long)r * inner + i] = v;
                }
            }
            b[r * ld + i] = v;
        });
        float *other = a;
        a = b;
        b = other;
    }
    barrier();
    return a;
}

// Loads rows first.. of x [n, width] into the tile; rows that do not exist, and the padding, are zero.
DEVICE void load_rows(const float *x, int rows, int existing, int width, float *a, int ld) {
    const int columns = padded(width);
    for (int i = own_thread(); i < rows * columns; i += THREADS) {
        const int r = i / columns, c = i % columns;
        a[r * ld + c] = r < existing && c < width ? x[(long long)r * width + c] : 0.0f;
    }
}

DEVICE void store_rows(const float *a, int ld, int existing, int width, float *x) {
    for (int i = own_thread(); i < existing * width; i += THREADS) x[i] = a[i / width * ld + i % width];
}
