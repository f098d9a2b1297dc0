// Costs between the points of two clouds, tile against tile, and sums of exponentials over them.
// Cost 0 is |x - y|^2 / 2, cost 1 is |x - y|, smooth at zero.
#pragma once
#include "clouds.cuh"

DEVICE float cost_of(int cost, float square) { return cost == 0 ? 0.5f * square : smooth_distance(square) - 1e-6f; }

// Distance of two points in shared memory: odd, so that no two of 32 begin in one bank.
DEVICE int point_row(int d) { return d | 1; }

// Points in shared memory, a warp a point; those that do not exist are zero.
DEVICE void load_tile(const float *x, int existing, int tile, int d, float *out) {
    for (int k = thread_index() % 32; k < d; k += 32)
        for (int r0 = thread_index() / 32; r0 < tile; r0 += THREADS / 4) {
            // Eight on their way at a time.
            float v[8];
#pragma unroll
            for (int q = 0; q < 8; ++q) {
                const int r = r0 + q * (THREADS / 32);
                v[q] = r < existing ? x[(long long)r * d + k] : 0.0f;
            }
#pragma unroll
            for (int q = 0; q < 8; ++q) {
                const int r = r0 + q * (THREADS / 32);
                if (r < tile) out[r * point_row(d) + k] = v[q];
            }
        }
}

// Squared distances of a warp's two rows and a lane's four columns: column j is lane + 32 j.
DEVICE void squares(const float *xs, const float *ys, int d, float square[2][4]) {
    const int row = point_row(d), lane = thread_index() % 32;
    const float *x = xs + thread_index() / 32 * 2 * row, *y = ys + lane * row;
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
        for (int j = 0; j < 4; ++j) square[r][j] = 0.0f;
#pragma unroll 4
    for (int k = 0; k < d; ++k)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const float at = y[32 * j * row + k];
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const float v = x[r * row + k] - at;
                square[r][j] = fused(v, v, square[r][j]);
            }
        }
}

// A lane's part of ln sum of exp(v): the largest v and the sum relative to it. At first not minus infinity, of which a difference would be no number.
struct LogSum {
    float top, sum;
    DEVICE_MEMBER LogSum() : top(-3.0e38f), sum(0.0f) {}
    DEVICE_MEMBER void add(float v) {
        const bool rises = v > top;
        const float e = exponential_falling(-magnitude(v - top));
        sum = rises ? fused(sum, e, 1.0f) : sum + e;
        top = rises ? v : top;
    }
    // That of all lanes of the warp.
    DEVICE_MEMBER float of_warp() const {
        float most = top;
#pragma unroll
        for (int mask = 1; mask < 32; mask *= 2) most = larger(most, shuffle_xor(most, mask));
        float all = sum * exponential_falling(top - most);
#pragma unroll
        for (int mask = 1; mask < 32; mask *= 2) all += shuffle_xor(all, mask);
        // Of what is no number the logarithm would be one.
        return all == all ? most + logarithm(all) : all;
    }
};
