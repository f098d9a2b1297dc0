// A perceptron on a tile of rows that a block owns: activations never leave the chip.
//
// The tile has 16, 32 or 64 rows. Activations lie in shared memory, [rows][ld], padded with zeros to a multiple of STAGE;
// weights pass through a staging buffer. A thread owns 4 rows and 4 columns of a product, and adds in the order of the inputs:
// a row's bits depend on neither the tile nor the row's place.
#pragma once
#include "math.cuh"
#include "shared.cuh"

DEVICE int padded(int width) { return (width + STAGE - 1) / STAGE * STAGE; }

// 16 products for 8 loads of four floats. Tensor cores would take this function's place, and only this one's.
DEVICE void multiply_stage(const float *a, int lda, const float *w, int across, float sum[4][4]) {
#pragma unroll
    for (int k = 0; k < STAGE; k += 4) {
        Four x[4], y[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) x[i] = *(const Four *)(a + i * lda + k);
#pragma unroll
        for (int j = 0; j < 4; ++j) y[j] = *(const Four *)(w + j * across * STAGE_ROW + k);
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                sum[i][j] = fused(x[i].x, y[j].x, sum[i][j]);
                sum[i][j] = fused(x[i].y, y[j].y, sum[i][j]);
                sum[i][j] = fused(x[i].z, y[j].z, sum[i][j]);
                sum[i][j] = fused(x[i].w, y[j].w, sum[i][j]);
            }
    }
}

// out[row][column] = sum of a[row][k] weight(column, k) over k, for every row of the tile and every column of the padded width.
// A weight is w[column * column_step + k * k_step]. What others wrote to `a` is read after a barrier of its own; `each_own` may read the
// result at once, others after a barrier.
DEVICE void product(int rows, const float *a, int ld, int inner, int outs, const float *w, int column_step, int k_step, float *stage, float *out) {
    const int across = THREADS / (rows / 4), chunk = 4 * across;
    const int row = thread_index() / across * 4, lane = thread_index() % across;
    const int width = padded(outs);
    for (int first = 0; first < width; first += chunk) {
        float sum[4][4] = {};
        for (int k0 = 0; k0 < inner; k0 += STAGE) {
            for (int i = thread_index(); i < chunk * STAGE; i += THREADS) {
                // Neighbouring threads read neighbouring numbers.
                const int column = k_step == 1 ? i / STAGE : i % chunk, k = k_step == 1 ? i % STAGE : i / chunk;
                const bool inside = first + column < outs && k0 + k < inner;
                stage[column * STAGE_ROW + k] = inside ? w[(long long)(first + column) * column_step + (long long)(k0 + k) * k_step] : 0.0f;
            }
            barrier();
            multiply_stage(a + row * ld + k0, ld, stage + lane * STAGE_ROW, across, sum);
            barrier();
        }
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int column = first + lane + j * across;
#pragma unroll
            for (int i = 0; i < 4; ++i)
                if (column < width) out[(row + i) * ld + column] = sum[i][j];
        }
    }
}

// visit(row, column) for the elements of the padded width that this thread's products gave: one body, not sixteen.
template <class Visit>
DEVICE void each_own(int rows, int outs, Visit visit) {
    const int across = THREADS / (rows / 4);
    const int row = thread_index() / across * 4;
#pragma unroll 1
    for (int column = thread_index() % across; column < padded(outs); column += across)
#pragma unroll 1
        for (int i = 0; i < 4; ++i) visit(row + i, column);
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

// Runs the first `layers` layers from the inputs in `a`; the result lies in what is returned, `a` or `b`, after a barrier.
// KEEP also writes what the backward pass needs, and the inputs of the layer after them.
template <bool KEEP>
DEVICE float *net_forward(const Net *net, int layers, const float *p, int rows, float *a, float *b, int ld, float *stage, const Kept &kept) {
    for (int l = 0; l <= layers; ++l) {
        if (l == net->layers) break;
        const int inner = net->width[l], outs = net->width[l + 1];
        if (KEEP) {
            barrier();
            float *out = kept_inputs(net, kept, l);
            for (int i = thread_index(); i < kept.rows * inner; i += THREADS) out[i] = a[i / inner * ld + i % inner];
        }
        if (l == layers) break;
        const float *w = p + layer_offset(net, l), *bias = w + (long long)inner * outs;
        const bool hidden = l + 1 < net->layers;
        const int kind = net->activation;
        float *slopes = KEEP && hidden ? kept_adjoints(net, kept, l) : nullptr;
        product(rows, a, ld, inner, outs, w, inner, 1, stage, b);
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

// Pulls the adjoint of the outputs in `a` (rows that do not exist are zero, columns padded with zeros) back to the inputs, and
// leaves the adjoints of all layers in `kept`. The result lies in what is returned, after a barrier.
DEVICE float *net_backward(const Net *net, const float *p, int rows, float *a, float *b, int ld, float *stage, const Kept &kept) {
    const int last = net->width[net->layers];
    float *top = kept_adjoints(net, kept, net->layers - 1);
    barrier();
    for (int i = thread_index(); i < kept.rows * last; i += THREADS) top[i] = a[i / last * ld + i % last];
    for (int l = net->layers - 1; l >= 0; --l) {
        const int inner = net->width[l], outs = net->width[l + 1];
        const float *w = p + layer_offset(net, l);
        float *below = l > 0 ? kept_adjoints(net, kept, l - 1) : nullptr;
        product(rows, a, ld, outs, inner, w, 1, inner, stage, b);
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
