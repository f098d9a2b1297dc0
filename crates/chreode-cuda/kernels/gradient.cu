// Gradients of parameters, from what the way back keeps of every layer.
#include "math.cuh"
#include "shared.cuh"

// Adds to slab `block_index_y()` of `slabs` [splits, parameters], at `offset`, the gradient of one layer, [outs][inner] and then [outs], from
// the rows of the split: sum of z_bar^T x, and of z_bar. The rows' inputs x, [total, inner], and adjoints z_bar, [total, outs], begin at
// `x_at` and `z_at` of `kept`. A block owns a tile of 64 columns of both; the bias is the column after the last input.
KERNEL layer_gradient(int inner, int outs, int total, int per_split, int parameters, int offset, unsigned long long x_at,
                      unsigned long long z_at, const float *kept, float *slabs) {
    const float *x = kept + x_at, *z_bar = kept + z_at;
    float *zs = shared_memory(), *xs = zs + GRADIENT_STAGE * (GRADIENT_TILE + 4);
    const int across = (inner + 1 + GRADIENT_TILE - 1) / GRADIENT_TILE;
    const int o0 = block_index() / across * GRADIENT_TILE, i0 = block_index() % across * GRADIENT_TILE;
    const int ty = thread_index() / 16 * 4, tx = thread_index() % 16 * 4;
    const int begin = block_index_y() * per_split;
    const int end = total - begin < per_split ? total : begin + per_split;
    float sum[4][4] = {};
    for (int r0 = begin; r0 < end; r0 += GRADIENT_STAGE) {
        // All loads are on their way before the first is needed.
        float zv[GRADIENT_STAGE * GRADIENT_TILE / THREADS], xv[GRADIENT_STAGE * GRADIENT_TILE / THREADS];
#pragma unroll
        for (int q = 0; q < GRADIENT_STAGE * GRADIENT_TILE / THREADS; ++q) {
            const int i = thread_index() + q * THREADS, c = i % GRADIENT_TILE;
            const long long row = r0 + i / GRADIENT_TILE;
            const bool inside = row < end;
            zv[q] = inside && o0 + c < outs ? z_bar[row * outs + o0 + c] : 0.0f;
            xv[q] = inside && i0 + c < inner ? x[row * inner + i0 + c] : inside && i0 + c == inner ? 1.0f : 0.0f;
        }
#pragma unroll
        for (int q = 0; q < GRADIENT_STAGE * GRADIENT_TILE / THREADS; ++q) {
            const int i = thread_index() + q * THREADS, at = i / GRADIENT_TILE * (GRADIENT_TILE + 4) + i % GRADIENT_TILE;
            zs[at] = zv[q];
            xs[at] = xv[q];
        }
        barrier();
#pragma unroll 4
        for (int r = 0; r < GRADIENT_STAGE; ++r) {
            const Four z = *(const Four *)(zs + r * (GRADIENT_TILE + 4) + ty);
            const Four v = *(const Four *)(xs + r * (GRADIENT_TILE + 4) + tx);
            const float zz[4] = {z.x, z.y, z.z, z.w}, vv[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) sum[i][j] = fused(zz[i], vv[j], sum[i][j]);
        }
        barrier();
    }
    float *out = slabs + (long long)block_index_y() * parameters + offset;
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int o = o0 + ty + i, c = i0 + tx + j;
            if (o < outs && c < inner) out[(long long)o * inner + c] += sum[i][j];
            if (o < outs && c == inner) out[(long long)outs * inner + o] += sum[i][j];
        }
}

// Second stage: total [parameters] is the sum of the slabs, in their order.
KERNEL add_slabs(int splits, int parameters, const float *slabs, float *total) {
    for (int i = block_index() * THREADS + thread_index(); i < parameters; i += block_count() * THREADS) {
        float sum = 0.0f;
        for (int s = 0; s < splits; ++s) sum += slabs[(long long)s * parameters + i];
        total[i] = sum;
    }
}
