// Entropic transport between two clouds, streaming: no matrix of costs is kept [FSVATP19].
#include "transport.cuh"

// out [n] = -epsilon ln sum over j of exp((h_j - cost(x_i, y_j)) / epsilon), where h_j holds epsilon ln(weight). A lane has a running
// maximum and sum for each of its rows. With `average`, out becomes the mean of what it was and this.
// Shared memory: 16 and 128 points of d, rounded up to odd.
KERNEL softmin_rows(int cost, int d, int n, int m, int average, float epsilon, const float *x, const float *y, const float *h, float *out) {
    float *xs = shared_memory(), *ys = xs + TRANSPORT_ROWS * point_row(d);
    const long long first = (long long)block_index() * TRANSPORT_ROWS;
    const int rows = smaller_int(n - (int)first, TRANSPORT_ROWS), lane = thread_index() % 32;
    const float scale = 1.0f / epsilon;
    load_tile(x + first * d, rows, TRANSPORT_ROWS, d, xs);
    LogSum own[2];
    for (int j0 = 0; j0 < m; j0 += TRANSPORT_COLUMNS) {
        const int columns = smaller_int(m - j0, TRANSPORT_COLUMNS);
        barrier();
        load_tile(y + (long long)j0 * d, columns, TRANSPORT_COLUMNS, d, ys);
        barrier();
        float square[2][4];
        squares(xs, ys, d, square);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            if (lane + 32 * j >= columns) continue;
            const float potential = h[j0 + lane + 32 * j];
#pragma unroll
            for (int r = 0; r < 2; ++r) own[r].add((potential - cost_of(cost, square[r][j])) * scale);
        }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float all = own[r].of_warp();
        const int row = thread_index() / 32 * 2 + r;
        if (lane == 0 && row < rows) {
            const float value = -epsilon * all, before = average ? out[first + row] : value;
            out[first + row] = 0.5f * (before + value);
        }
    }
}

// With pi_ij = exp((f_i + h_j - cost) / epsilon), h_j with epsilon ln(weight): mass [n] = sum over j of pi, and pull [n, d] = sum over j
// of pi times the cost's gradient in x_i, not wanted where `with_pull` is zero.
// Shared memory: 16 and 128 points of d, rounded up to odd, a tile of 16 by 129, 16 pulls of d.
KERNEL transport_rows(int cost, int d, int n, int m, int with_pull, float epsilon, const float *x, const float *y, const float *f, const float *h,
                      float *mass, float *pull) {
    float *xs = shared_memory(), *ys = xs + TRANSPORT_ROWS * point_row(d), *c = ys + TRANSPORT_COLUMNS * point_row(d);
    float *pulls = c + TRANSPORT_ROWS * (TRANSPORT_COLUMNS + 1);
    const long long first = (long long)block_index() * TRANSPORT_ROWS;
    const int rows = smaller_int(n - (int)first, TRANSPORT_ROWS), lane = thread_index() % 32;
    const float scale = 1.0f / epsilon;
    load_tile(x + first * d, rows, TRANSPORT_ROWS, d, xs);
    for (int i = thread_index(); i < TRANSPORT_ROWS * d; i += THREADS) pulls[i] = 0.0f;
    float sum[2] = {};
    for (int j0 = 0; j0 < m; j0 += TRANSPORT_COLUMNS) {
        const int columns = smaller_int(m - j0, TRANSPORT_COLUMNS);
        barrier();
        load_tile(y + (long long)j0 * d, columns, TRANSPORT_COLUMNS, d, ys);
        barrier();
        float square[2][4];
        squares(xs, ys, d, square);
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const int row = thread_index() / 32 * 2 + r, column = lane + 32 * j;
                float pi = 0.0f, weight = 0.0f;
                if (row < rows && column < columns) {
                    pi = exponential((f[first + row] + h[j0 + column] - cost_of(cost, square[r][j])) * scale);
                    weight = cost == 0 ? pi : square[r][j] == 0.0f ? 0.0f : pi / smooth_distance(square[r][j]);
                }
                sum[r] += pi;
                c[row * (TRANSPORT_COLUMNS + 1) + column] = weight;
            }
        if (!with_pull) continue;
        barrier();
        for (int r = thread_index() / 32; r < rows; r += THREADS / 32)
            for (int k = lane; k < d; k += 32) {
                const float at = xs[r * point_row(d) + k];
                float total = pulls[r * d + k];
#pragma unroll 8
                for (int j = 0; j < columns; ++j) total = fused(c[r * (TRANSPORT_COLUMNS + 1) + j], at - ys[j * point_row(d) + k], total);
                pulls[r * d + k] = total;
            }
    }
    barrier();
    if (with_pull)
        for (int i = thread_index(); i < rows * d; i += THREADS) pull[first * d + i] = pulls[i];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
        for (int mask = 1; mask < 32; mask *= 2) sum[r] += shuffle_xor(sum[r], mask);
        const int row = thread_index() / 32 * 2 + r;
        if (lane == 0 && row < rows) mass[first + row] = sum[r];
    }
}

// h [n] = potential [n] + epsilon ln(weight [n]); a weight of zero takes no part.
KERNEL weighted_potential(int n, float epsilon, const float *potential, const float *weight, float *h) {
    for (int i = block_index() * THREADS + thread_index(); i < n; i += block_count() * THREADS)
        h[i] = weight[i] > 1.2e-38f ? potential[i] + epsilon * logarithm(weight[i]) : -1.0e37f;
}
