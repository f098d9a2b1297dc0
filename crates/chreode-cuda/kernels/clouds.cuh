// Two clouds of points, tile against tile: a block owns 64 points of one and walks through the other, 32 at a time.
#pragma once
#include "math.cuh"
#include "shared.cuh"

// Rows are one longer than the number of coordinates: no two begin in one bank if that is even.
DEVICE void load_points(const float *x, int existing, int tile, int d, float *out) {
    for (int i = thread_index(); i < tile * d; i += THREADS) out[i / d * (d + 1) + i % d] = i < existing * d ? x[i] : 0.0f;
}

DEVICE float squared_distance(const float *x, const float *y, int d) {
    float sum = 0.0f;
    for (int k = 0; k < d; ++k) {
        const float v = x[k] - y[k];
        sum = fused(v, v, sum);
    }
    return sum;
}

// |x - y|, smooth at zero, from its square.
DEVICE float smooth_distance(float square) { return root(square + 1e-12f); }

// Adds sum over the tile's columns of c[r][j] (x[r] - y[j]) to pull, [64][d].
DEVICE void add_pull(const float *c, const float *x, const float *y, int columns, int d, float *pull) {
    for (int i = thread_index(); i < CLOUD_ROWS * d; i += THREADS) {
        const int r = i / d, k = i % d;
        const float at = x[r * (d + 1) + k];
        float sum = pull[i];
        for (int j = 0; j < columns; ++j) sum = fused(c[r * (CLOUD_COLUMNS + 1) + j], at - y[j * (d + 1) + k], sum);
        pull[i] = sum;
    }
}
