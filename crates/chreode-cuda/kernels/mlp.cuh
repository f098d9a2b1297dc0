// A perceptron on a tile of rows that a block owns: activations never leave the chip.
//
// The tile has 16 or 32 rows, or LARGE_TILE where factors are rounded. Activations lie in shared memory, [rows][ld], padded with zeros to a
// multiple of STAGE: a tile for a layer's inputs and one for its outputs, but in a large tile, where the outputs wait in registers until the
// inputs were read. Each weight is read by the one warp that owns its column (in a large tile of few columns by two, with half of the rows each), from
// the second-level cache into its registers, in the order in which the tensor cores want it (`pack`). A row's bits depend on neither the tile nor
// the row's place.
#pragma once
#include "net.cuh"

// What the kernels are compiled for: one for all would need the registers of the greediest.
constexpr int PRECISION = VARIANT == VARIANT_F32 ? PRECISION_F32 : VARIANT == VARIANT_TF32 || VARIANT == VARIANT_TF32_LARGE ? PRECISION_TF32 : PRECISION_BF16;
constexpr bool LARGE = VARIANT == VARIANT_TF32_LARGE || VARIANT == VARIANT_BF16_LARGE;
// Threads of a block, and its warps.
constexpr int NET_THREADS = PRECISION == PRECISION_F32 ? THREADS : ROUNDED_THREADS, NET_WARPS = NET_THREADS / 32;

// Asked for again wherever it is used: what follows from it shall hold no register while products run.
DEVICE int own_thread() { return opaque(thread_index()); }

// The tile of a layer's outputs behind that of its inputs, or the same.
DEVICE float *other_tile(float *a, int rows, int ld) { return LARGE ? a : a + rows * ld; }

// What the forward kernels keep for products alone is rounded once, when it is written, and not by every warp that reads it; on the way back, where KEEP
// holds, it is needed as it is.
template <bool KEEP> DEVICE float for_product(float v) { return PRECISION == PRECISION_TF32 && !KEEP ? rounded(v) : v; }

// In a large tile both are known, and hold no register.
DEVICE int rows_of_tile(int rows) { return LARGE ? LARGE_TILE : rows; }
DEVICE int distance_of_rows(int ld) { return LARGE ? LARGE_LD : ld; }

// What a warp gives of a layer: columns from eight times 8 to before last times 8, which may be none, and `rows` rows from `row` on.
struct Part {
    int eight, last, row, rows;
};
// Whether the columns are so few that two warps share each.
DEVICE bool few_columns(int eights) { return LARGE && eights <= NET_WARPS / 2; }
DEVICE Part own_part(int rows, int outs) {
    const int warp = own_thread() / 32, eights = padded(outs) / 8;
    if (few_columns(eights)) {
        const int eight = warp % (NET_WARPS / 2);
        return {eight, smaller_int(eight + 1, eights), warp / (NET_WARPS / 2) * (LARGE_TILE / 2), LARGE_TILE / 2};
    }
    const int per_warp = (eights + NET_WARPS - 1) / NET_WARPS, first = warp * per_warp;
    return {first, smaller_int(first + per_warp, eights), 0, rows};
}

// visit(row, column) for the elements of the padded width that this thread's products give, by fours: those of rows row and row + 8, and of
// columns column and column + 1.
template <class Visit>
DEVICE void each_own(int rows, int outs, Visit visit) {
    const Part own = own_part(rows, outs);
    const int lane = own_thread() % 32;
#pragma unroll 1
    for (int eight = own.eight; eight < own.last; ++eight)
#pragma unroll 1
        for (int m = 0; m < own.rows; m += 16) visit(own.row + m + lane / 4, eight * 8 + lane % 4 * 2);
}

#ifdef TENSOR_CORES
// Inputs that the units multiply at a time: a stage.
constexpr int INNER = PRECISION == PRECISION_BF16 ? 16 : 8;

// A factor in two parts that TF32 holds, and what f32 has beside them is lost.
DEVICE void split(float v, unsigned &high, unsigned &low) {
    const float top = rounded(v);
    high = float_to_bits(top);
    low = float_to_bits(v - top);
}

// What a lane multiplies of sixteen rows in a stage, in the order of `multiply_add`; in f32 in parts that TF32 holds. In bfloat16 k and k + 4 are neighbours
// to the units, as they are in packed weights.
struct Factors {
    unsigned high[4], low[4];
    // From the lane's address of the first row and input; to be rounded in TF32 if `raw`.
    DEVICE_MEMBER void load(unsigned at, bool raw) {
        unsigned v[4];
        load_matrices(v, at);
        if (PRECISION == PRECISION_BF16) {
            unsigned on[4];
            load_matrices(on, at + 8 * sizeof(float));
            high[0] = pair_bf16(bits_to_float(v[0]), bits_to_float(v[2]));
            high[1] = pair_bf16(bits_to_float(v[1]), bits_to_float(v[3]));
            high[2] = pair_bf16(bits_to_float(on[0]), bits_to_float(on[2]));
            high[3] = pair_bf16(bits_to_float(on[1]), bits_to_float(on[3]));
            return;
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            if (PRECISION == PRECISION_F32) split(bits_to_float(v[i]), high[i], low[i]);
            else high[i] = raw ? float_to_bits(rounded(bits_to_float(v[i]))) : v[i];
        }
    }
};

// The first `count` of EIGHTS times eight columns of a warp, SIXTEENS times sixteen rows; weights of others are read and not used. In f32 a product is
// three of the factors' parts: what is left out is 2^-21 of it. In a large tile all threads arrive before the outputs are written.
template <int SIXTEENS, int EIGHTS, bool BACK>
DEVICE void columns_of_warp(const float *a, int given_ld, int stages, const float *packed, int eights, int eight, int count, float *out) {
    // Stages of weights that are on their way: with few products in a stage there is little to do meanwhile.
    constexpr int DEPTH = EIGHTS == 1 ? 8 : SIXTEENS == 1 ? 4 : 2;
    const int lane = own_thread() % 32, g = lane / 4, t = lane % 4, ld = LARGE ? LARGE_LD : opaque(given_ld);
    stages = opaque(stages);
    apart<SIXTEENS, EIGHTS>();
    float sum[SIXTEENS][EIGHTS][4] = {};
    const int step = eights * 32;
    const Two *weights = (const Two *)packed + (eight * 32 + lane);
    unsigned at = shared_address(a + lane % 16 * ld + lane / 16 * 4);
    Two b[DEPTH][EIGHTS] = {};
#pragma unroll
    for (int u = 0; u < DEPTH; ++u) {
        if (u < stages)
#pragma unroll
            for (int j = 0; j < EIGHTS; ++j) b[u][j] = weights[32 * j];
        if (u + 1 < stages) weights += step;
    }
#pragma unroll 1
    for (int s0 = 0; s0 < stages; s0 += DEPTH) {
#pragma unroll
        for (int u = 0; u < DEPTH; ++u) {
            const int s = s0 + u;
            if ((DEPTH > STAGE / INNER) && s >= stages) break;
            Factors own[SIXTEENS];
#pragma unroll
            for (int m = 0; m < SIXTEENS; ++m) own[m].load(at + 16 * m * ld * (int)sizeof(float), BACK);
#pragma unroll
            for (int j = 0; j < EIGHTS; ++j) {
                const Two w = b[u][j];
                // What a later stage multiplies is asked for as soon as its registers are free; `weights` stays at the last stage.
                b[u][j] = weights[32 * j];
                unsigned b0, b1, small0, small1;
                if (PRECISION == PRECISION_F32) {
                    split(bits_to_float(w.x), b0, small0);
                    split(bits_to_float(w.y), b1, small1);
                }
#pragma unroll
                for (int m = 0; m < SIXTEENS; ++m) {
                    if (PRECISION == PRECISION_BF16) multiply_add_bf16(sum[m][j], own[m].high, w.x, w.y);
                    else if (PRECISION == PRECISION_TF32) multiply_add(sum[m][j], own[m].high, w.x, w.y); // weights are rounded already
                    else {
                        // The units cut what they add: short sums of their own, which are added with rounding.
                        float part[4] = {};
                        multiply_add(part, own[m].low, b0, b1);
                        multiply_add(part, own[m].high, small0, small1);
                        multiply_add(part, own[m].high, b0, b1);
#pragma unroll
                        for (int e = 0; e < 4; ++e) sum[m][j][e] += part[e];
                    }
                }
            }
            at += INNER * sizeof(float);
            if (s + 1 + DEPTH < stages) weights += step;
        }
    }
    apart<SIXTEENS, EIGHTS>();
    if (LARGE) __syncthreads();
    out += g * ld + eight * 8 + 2 * t;
#pragma unroll
    for (int m = 0; m < SIXTEENS; ++m)
#pragma unroll
        for (int j = 0; j < EIGHTS; ++j)
#pragma unroll
            for (int half = 0; half < 2; ++half)
                if (j < count) *(Pair *)(out + (16 * m + 8 * half) * ld + 8 * j) = {sum[m][j][2 * half], sum[m][j][2 * half + 1]};
    apart<SIXTEENS, EIGHTS>();
}

template <int SIXTEENS, bool BACK>
DEVICE void rows_of_block(const float *a, int ld, int inner, int outs, const float *packed, float *out) {
    const int stages = padded(inner) / INNER, eights = padded(outs) / 8;
    const Part own = own_part(16 * SIXTEENS, outs);
    if constexpr (LARGE) {
        // All warps meet in one instance, for which they have no more columns than it can do; one without columns keeps nothing of what it multiplies.
        static_assert(!LARGE || 4 * NET_WARPS * 8 >= LARGE_TILE_WIDTH);
        const int eight = smaller_int(own.eight, eights - 1), count = own.last - own.eight;
        a += own.row * ld;
        out += own.row * ld;
        if (few_columns(eights)) columns_of_warp<SIXTEENS / 2, 1, BACK>(a, ld, stages, packed, eights, eight, count, out);
        else if (eights <= NET_WARPS) columns_of_warp<SIXTEENS, 1, BACK>(a, ld, stages, packed, eights, eight, count, out);
        else if (eights <= 2 * NET_WARPS) columns_of_warp<SIXTEENS, 2, BACK>(a, ld, stages, packed, eights, eight, count, out);
        else columns_of_warp<SIXTEENS, 4, BACK>(a, ld, stages, packed, eights, eight, count, out);
    } else {
        // As many as the registers hold beside what a kernel keeps.
        constexpr int MOST = SIXTEENS == 1 && NET_WARPS == 8 ? 8 : 4;
#pragma unroll 1
        for (int eight = own.eight; eight < own.last; eight += MOST) {
            const int count = smaller_int(own.last - eight, MOST);
            if (MOST == 8 && count > 4) columns_of_warp<SIXTEENS, MOST, BACK>(a, ld, stages, packed, eights, eight, count, out);
            else if (count > 1) columns_of_warp<SIXTEENS, 4, BACK>(a, ld, stages, packed, eights, eight, count, out);
            else columns_of_warp<SIXTEENS, 1, BACK>(a, ld, stages, packed, eights, eight, count, out);
        }
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
    float own[LARGE ? LARGE_TILE * LARGE_TILE_WIDTH / NET_THREADS : 1];
    int count = 0;
    each_own(rows, outs, [&](int first, int left) {
        for (int e = 0; e < 4; ++e) {
            const int r = first + e / 2 * 8, column = left + e % 2;
            float sum = 0.0f;
            for (int k = 0; k < padded(inner); ++k)
                sum = fused(factor(a[r * ld + k]), packed_weight(packed, packed_place(PRECISION, outs, column, k)), sum);
            if (LARGE) own[count++] = sum;
            else out[r * ld + column] = sum;
        }
    });
    if (!LARGE) return;
    barrier();
    count = 0;
    each_own(rows, outs, [&](int r, int column) {
        for (int e = 0; e < 4; ++e) out[(r + e / 2 * 8) * ld + column + e % 2] = own[count++];
    });
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

// Bias and activation of this thread's elements of a layer's products, in their place; `slopes` [rows of the tile that exist][outs] if they are
// kept. The four elements of a visit are done side by side: one waits long for its own operations.
template <int KIND, bool HIDDEN, bool KEEP>
DEVICE void finish_layer(int rows, int outs, const float *bias, float *b, int ld, float *slopes, int existing) {
    each_own(rows, outs, [&](int r, int column) {
        const float shift[2] = {column < outs ? bias[column] : 0.0f, column + 1 < outs ? bias[column + 1] : 0.0f};
        float z[4], slope[4];
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const Pair v = *(const Pair *)(b + (r + 8 * half) * ld + column);
            z[2 * half] = v.x + shift[0];
            z[2 * half + 1] = v.y + shift[1];
        }
#pragma unroll
        for (int e = 0; e < 4; ++e) {
            if (HIDDEN) z[e] = for_product<KEEP>(activate<KIND>(z[e], slope[e]));
            if (column + e % 2 >= outs) z[e] = 0.0f;
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int row = r + 8 * half;
            *(Pair *)(b + row * ld + column) = {z[2 * half], z[2 * half + 1]};
#pragma unroll
            for (int e = 0; e < 2; ++e)
                if (KEEP && HIDDEN && row < existing && column + e < outs) slopes[(long long)row * outs + column + e] = slope[2 * half + e];
        }
    });
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
            for (int i = own_thread(); i < kept.rows * inner; i += NET_THREADS) out[i] = a[i / inner * ld + i % inner];
        }
        if (l == layers) break;
        product<KEEP>(rows, a, ld, net->width[l], net->width[l + 1], packed + packed_offset(net, l), b);
        // What is needed from here on held no register meanwhile.
        const int layer = opaque(l), outs = net->width[layer + 1];
        const float *bias = p + layer_offset(net, layer) + (long long)net->width[layer] * outs;
        const bool hidden = layer + 1 < net->layers;
        float *slopes = KEEP && hidden ? kept_adjoints(net, kept, layer) : nullptr;
        const auto finish = [&](auto kind) { finish_layer<decltype(kind)::number, true, KEEP>(rows, outs, bias, b, ld, slopes, kept.rows); };
        if (hidden) with_activation(net->activation, finish);
        else finish_layer<0, false, KEEP>(rows, outs, bias, b, ld, slopes, kept.rows);
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
    for (int i = own_thread(); i < kept.rows * last; i += NET_THREADS) top[i] = a[i / last * ld + i % last];
    for (int l = net->layers - 1; l >= 0; --l) {
        // Slopes come from memory meanwhile, 32 to a line.
        if (l > 0)
            for (int i = own_thread() * 32; i < kept.rows * net->width[l]; i += NET_THREADS * 32) prefetch(kept_adjoints(net, kept, l - 1) + i);
        product<true>(rows, a, ld, net->width[l + 1], net->width[l], packed + packed_offset(net, l), b);
        const int layer = opaque(l), inner = net->width[layer];
        float *below = layer > 0 ? kept_adjoints(net, kept, layer - 1) : nullptr;
        each_own(rows, inner, [&](int r, int column) {
            float v[4];
            bool real[4];
            // All slopes of a visit are asked for before the first is used.
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                const int row = r + e / 2 * 8, i = column + e % 2;
                real[e] = i < inner && row < kept.rows;
                v[e] = real[e] ? layer > 0 ? below[(long long)row * inner + i] : 1.0f : 0.0f;
            }
#pragma unroll
            for (int half = 0; half < 2; ++half) {
                const int row = r + 8 * half;
                Pair *at = (Pair *)(b + row * ld + column);
                const Pair bar = *at;
                v[2 * half] = real[2 * half] ? v[2 * half] * bar.x : 0.0f;
                v[2 * half + 1] = real[2 * half + 1] ? v[2 * half + 1] * bar.y : 0.0f;
                *at = {v[2 * half], v[2 * half + 1]};
#pragma unroll
                for (int e = 0; e < 2; ++e)
                    if (layer > 0 && real[2 * half + e]) below[(long long)row * inner + column + e] = v[2 * half + e];
            }
        });
        float *other = a;
        a = b;
        b = other;
    }
    barrier();
    return a;
}

// Loads rows first.. of x [n, width] into the tile, for products alone unless KEEP; rows that do not exist, and the padding, are zero.
template <bool KEEP>
DEVICE void load_rows(const float *x, int rows, int existing, int width, float *a, int ld) {
    const int columns = padded(width);
    for (int i = own_thread(); i < rows * columns; i += NET_THREADS) {
        const int r = i / columns, c = i % columns;
        a[r * ld + c] = r < existing && c < width ? for_product<KEEP>(x[(long long)r * width + c]) : 0.0f;
    }
}

DEVICE void store_rows(const float *a, int ld, int existing, int width, float *x) {
    for (int i = own_thread(); i < existing * width; i += NET_THREADS) x[i] = a[i / width * ld + i % width];
}
