// A perceptron on a tile of rows that a block owns: activations never leave the chip.
//
// The tile has 16 or 32 rows. Activations lie in shared memory, [rows][ld], padded with zeros to a multiple of STAGE. Each weight is
// read once by the block, from the second-level cache into the registers of the one warp that owns its column, in the order in which the
// tensor cores want it (`pack`). A row's bits depend on neither the tile nor the row's place.
#pragma once
#include "math.cuh"
#include "shared.cuh"

DEVICE int padded(int width) { return (width + STAGE - 1) / STAGE * STAGE; }

// The nearest number with the 10 bits that TF32 has.
DEVICE float rounded(float v) { return bits_to_float((float_to_bits(v) + 0x1000u) & 0xffffe000u); }

// Numbers of a net's packed weights, whichever way.
DEVICE long long packed_size(const Net *net) {
    long long size = 0;
    for (int l = 0; l < net->layers; ++l) size += (long long)padded(net->width[l]) * padded(net->width[l + 1]);
    return size;
}

// Where the packed weights of a layer begin.
DEVICE long long packed_offset(const Net *net, int layer) {
    long long offset = 0;
    for (int l = 0; l < layer; ++l) offset += (long long)padded(net->width[l]) * padded(net->width[l + 1]);
    return offset;
}

// Of a product with `inner` inputs, weight (column, k) is number packed_place(..) of its layer: [column / 8][k / 16][column % 8][k % 16].
DEVICE long long packed_place(int inner, int column, int k) {
    return (((long long)(column / 8) * (padded(inner) / STAGE) + k / STAGE) * 8 + column % 8) * STAGE + k % STAGE;
}

// Packs a net's weights by the blocks of a grid, for the forward pass or `transposed` for the way back.
DEVICE void pack(const Net *net, int transposed, const float *p, float *packed) {
    long long offset = net->offset;
    for (int l = 0; l < net->layers; ++l) {
        const int inner = net->width[l], outs = net->width[l + 1];
        const int k_width = transposed ? outs : inner, columns = transposed ? inner : outs;
        const int per_eight = padded(k_width) * 8, all = padded(k_width) * padded(columns);
        for (int i = block_index() * THREADS + thread_index(); i < all; i += block_count() * THREADS) {
            const int column = i / per_eight * 8 + i / STAGE % 8, k = i % per_eight / (8 * STAGE) * STAGE + i % STAGE;
            const int in = transposed ? column : k, out = transposed ? k : column;
            packed[i] = in < inner && out < outs ? p[offset + (long long)out * inner + in] : 0.0f;
        }
        packed += all;
        offset += (long long)outs * (inner + 1);
    }
}

// visit(row, column) for the elements of the padded width that this thread's products give.
template <class Visit>
DEVICE void each_own(int rows, int outs, Visit visit) {
    const int lane = thread_index() % 32, eights = padded(outs) / 8, per_warp = (eights + THREADS / 32 - 1) / (THREADS / 32);
    const int first = thread_index() / 32 * per_warp, last = smaller_int(first + per_warp, eights);
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

// EIGHTS times eight columns of a warp, SIXTEENS times sixteen rows. With TF32 a product of rounded factors, else three of their parts: what
// is left out is 2^-21 of a product.
template <int SIXTEENS, int EIGHTS, bool TF32>
DEVICE void columns_of_warp(const float *a, int ld, int stages, const float *packed, int eight, float *out) {
    const int lane = opaque(thread_index() % 32), g = lane / 4, t = lane % 4;
    ld = opaque(ld);
    stages = opaque(stages);
    float sum[SIXTEENS][EIGHTS][4] = {};
    const Four *w = (const Four *)packed + (long long)eight * stages * 32 + lane;
    a += g * ld + 4 * t;
    const int step = stages * 32;
    // What the next stage multiplies is asked for as soon as its registers are free.
    Four b[EIGHTS];
#pragma unroll
    for (int j = 0; j < EIGHTS; ++j) b[j] = stages > 0 ? w[j * step] : Four{};
#pragma unroll 1
    for (int s = 0; s < stages; ++s) {
        if (s + 1 < stages) w += 32;
        Four top[SIXTEENS], bottom[SIXTEENS];
#pragma unroll
        for (int m = 0; m < SIXTEENS; ++m) {
            top[m] = *(const Four *)(a + 16 * m * ld + s * STAGE);
            bottom[m] = *(const Four *)(a + (16 * m + 8) * ld + s * STAGE);
        }
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            unsigned high[SIXTEENS][4], low[SIXTEENS][4];
#pragma unroll
            for (int m = 0; m < SIXTEENS; ++m) {
                split(half == 0 ? top[m].x : top[m].z, high[m][0], low[m][0]);
                split(half == 0 ? bottom[m].x : bottom[m].z, high[m][1], low[m][1]);
                split(half == 0 ? top[m].y : top[m].w, high[m][2], low[m][2]);
                split(half == 0 ? bottom[m].y : bottom[m].w, high[m][3], low[m][3]);
            }
#pragma unroll
            for (int j = 0; j < EIGHTS; ++j) {
                unsigned b0, b1, small0, small1;
                split(half == 0 ? b[j].x : b[j].z, b0, small0);
                split(half == 0 ? b[j].y : b[j].w, b1, small1);
                if (half == 1) b[j] = w[j * step];
#pragma unroll
                for (int m = 0; m < SIXTEENS; ++m) {
                    if (TF32) {
                        multiply_add(sum[m][j], high[m], b0, b1);
                        continue;
                    }
                    // The units cut what they add: short sums of their own, which are added with rounding.
                    float part[4] = {};
                    multiply_add(part, low[m], b0, b1);
                    multiply_add(part, high[m], small0, small1);
                    multiply_add(part, high[m], b0, b1);
#pragma unroll
                    for (int e = 0; e < 4; ++e) sum[m][j][e] += part[e];
                }
            }
        }
    }
#pragma unroll
    for (int m = 0; m < SIXTEENS; ++m)
#pragma unroll
        for (int j = 0; j < EIGHTS; ++j)
#pragma unroll
            for (int e = 0; e < 4; ++e) out[(16 * m + g + e / 2 * 8) * ld + (eight + j) * 8 + 2 * t + e % 2] = sum[m][j][e];
}

template <int SIXTEENS, bool TF32>
DEVICE void rows_of_block(const float *a, int ld, int inner, int outs, const float *packed, float *out) {
    const int stages = padded(inner) / STAGE, eights = padded(outs) / 8, per_warp = (eights + THREADS / 32 - 1) / (THREADS / 32);
    int eight = thread_index() / 32 * per_warp;
    const int last = smaller_int(eight + per_warp, eights);
    // As many as the registers hold beside what a kernel keeps.
    for (; eight + 4 <= last; eight += 4) columns_of_warp<SIXTEENS, 4, TF32>(a, ld, stages, packed, eight, out);
    for (; eight < last; ++eight) columns_of_warp<SIXTEENS, 1, TF32>(a, ld, stages, packed, eight, out);
}
#endif

// out[row][column] = sum of a[row][k] weight(column, k) over k, for every row of the tile and every column of the padded width. What
// others wrote to `a` is read after a barrier of its own; `each_own` may read the result at once, others after a barrier.
DEVICE void product(bool tf32, int rows, const float *a, int ld, int inner, int outs, const float *packed, float *out) {
    barrier();
#ifdef TENSOR_CORES
    if (tf32) {
        if (rows == 16) rows_of_block<1, true>(a, ld, inner, outs, packed, out);
        else rows_of_block<2, true>(a, ld, inner, outs, packed, out);
    } else {
        if (rows == 16) rows_of_block<1, false>(a, ld, inner, outs, packed, out);
        else rows_of_block<2, false>(a, ld, inner, outs, packed, out);
    }
#else
    each_own(rows, outs, [&](int r, int column) {
        float sum = 0.0f;
        for (int k = 0; k < padded(inner); ++k) {
            const float x = a[r * ld + k], w = packed[packed_place(inner, column, k)];
            sum = tf32 ? fused(rounded(x), rounded(w), sum) : fused(x, w, sum);
        }
        out[r * ld + column] = sum;
    });
#endif
}

// Where a chunk of `total` rows keeps what the backward pass needs of a net: for each layer its inputs, [total][in], and then
// slopes of the activation and at last the adjoints of what the layer gives, [total][out].
struct Kept {
    float *base;
    long long total;
    // Number of the tile's first row in the chunk, and rows of the tile that exist.
    long long first;
    int rows;
};

DEVICE float *kept_inputs(const Net *net, const Kept &kept, int layer) {
    long long before = 0;
    for (int l = 0; l < layer; ++l) before += net->width[l] + net->width[l + 1];
    return kept.base + before * kept.total + kept.first * net->width[layer];
}

DEVICE float *kept_adjoints(const Net *net, const Kept &kept, int layer) {
    long long before = net->width[layer];
    for (int l = 0; l < layer; ++l) before += net->width[l] + net->width[l + 1];
    return kept.base + before * kept.total + kept.first * net->width[layer + 1];
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
        const int inner = net->width[l], outs = net->width[l + 1];
        if (KEEP) {
            barrier();
            float *out = kept_inputs(net, kept, l);
            for (int i = thread_index(); i < kept.rows * inner; i += THREADS) out[i] = a[i / inner * ld + i % inner];
        }
        if (l == layers) break;
        const float *bias = p + layer_offset(net, l) + (long long)inner * outs;
        const bool hidden = l + 1 < net->layers;
        const int kind = net->activation;
        float *slopes = KEEP && hidden ? kept_adjoints(net, kept, l) : nullptr;
        product(net->tf32, rows, a, ld, inner, outs, packed + packed_offset(net, l), b);
        each_own(rows, outs, [&](int r, int o) {
            float z = 0.0f;
            if (o < outs) {
                z = b[r * ld + o] + bias[o];
                if (hidden) {
                    float slope;
                    z = activate(kind, z, slope);
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
    for (int i = thread_index(); i < kept.rows * last; i += THREADS) top[i] = a[i / last * ld + i % last];
    for (int l = net->layers - 1; l >= 0; --l) {
        const int inner = net->width[l], outs = net->width[l + 1];
        float *below = l > 0 ? kept_adjoints(net, kept, l - 1) : nullptr;
        product(net->tf32, rows, a, ld, outs, inner, packed + packed_offset(net, l), b);
        each_own(rows, inner, [&](int r, int i) {
            float v = 0.0f;
            if (i < inner && r < kept.rows) {
                v = b[r * ld + i];
                if (l > 0) {
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
    for (int i = thread_index(); i < rows * columns; i += THREADS) {
        const int r = i / columns, c = i % columns;
        a[r * ld + c] = r < existing && c < width ? x[(long long)r * width + c] : 0.0f;
    }
}

DEVICE void store_rows(const float *a, int ld, int existing, int width, float *x) {
    for (int i = thread_index(); i < existing * width; i += THREADS) x[i] = a[i / width * ld + i % width];
}
