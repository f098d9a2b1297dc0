// Entropic transport between two clouds, streaming: no matrix of costs is kept [FSVATP19].
// Cost 0 is |x - y|^2 / 2, cost 1 is |x - y|, smooth at zero.
#include "clouds.cuh"

DEVICE float cost_of(int cost, float square) { return cost == 0 ? 0.5f * square : smooth_distance(square) - 1e-6f; }

DEVICE void cost_tile(int cost, int d, int rows, int columns, const float *xs, const float *ys, float *c) {
    for (int i = thread_index(); i < CLOUD_ROWS * CLOUD_COLUMNS; i += THREADS) {
        const int r = i / CLOUD_COLUMNS, j = i % CLOUD_COLUMNS;
        float v = 0.0f;
        if (r < rows && j < columns) v = cost_of(cost, squared_distance(xs + r * (d + 1), ys + j * (d + 1), d));
        c[r * (CLOUD_COLUMNS + 1) + j] = v;
    }
}

// out [n] = -epsilon ln sum over j of exp((h_j - cost(x_i, y_j)) / epsilon), where h_j holds epsilon ln(weight). Four threads a row,
// each with a running maximum and sum. With `average`, out becomes the mean of what it was and this.
// Shared memory: 64 and 32 points of d + 1, a tile of 64 by 33.
KERNEL softmin_rows(int cost, int d, int n, int m, int average, float epsilon, const float *x, const float *y, const float *h, float *out) {
    float *xs = shared_memory(), *ys = xs + CLOUD_ROWS * (d + 1), *c = ys + CLOUD_COLUMNS * (d + 1);
    const long long first = (long long)block_index() * CLOUD_ROWS;
    const int rows = n - first < CLOUD_ROWS ? (int)(n - first) : CLOUD_ROWS;
    const float scale = 1.0f / epsilon;
    load_points(x + first * d, rows, CLOUD_ROWS, d, xs);
    const int row = thread_index() / 4, part = thread_index() % 4;
    // Not minus infinity, of which a difference would be no number.
    float top = -3.0e38f, sum = 0.0f;
    for (int j0 = 0; j0 < m; j0 += CLOUD_COLUMNS) {
        const int columns = m - j0 < CLOUD_COLUMNS ? m - j0 : CLOUD_COLUMNS;
        // Nobody reads the points of the step before any more: the costs were made of them before a barrier.
        load_points(y + (long long)j0 * d, columns, CLOUD_COLUMNS, d, ys);
        barrier();
        cost_tile(cost, d, rows, columns, xs, ys, c);
        barrier();
        for (int j = part; j < columns; j += 4) {
            const float v = (h[j0 + j] - c[row * (CLOUD_COLUMNS + 1) + j]) * scale;
            if (v > top) {
                sum = sum * exponential(top - v) + 1.0f;
                top = v;
            } else {
                sum += exponential(v - top);
            }
        }
    }
    float most = larger(top, shuffle_xor(top, 1));
    most = larger(most, shuffle_xor(most, 2));
    sum *= exponential(top - most);
    sum += shuffle_xor(sum, 1);
    sum += shuffle_xor(sum, 2);
    if (part == 0 && row < rows) {
        const float value = -epsilon * (most + logarithm(sum)), before = average ? out[first + row] : value;
        out[first + row] = 0.5f * (before + value);
    }
}

// With pi_ij = exp((f_i + h_j - cost) / epsilon), h_j with epsilon ln(weight): mass [n] = sum over j of pi, and pull [n, d] = sum over j
// of pi times the cost's gradient in x_i, not wanted where `with_pull` is zero.
// Shared memory: 64 and 32 points of d + 1, two tiles of 64 by 33, 64 pulls of d.
KERNEL transport_rows(int cost, int d, int n, int m, int with_pull, float epsilon, const float *x, const float *y, const float *f, const float *h,
                      float *mass, float *pull) {
    float *xs = shared_memory(), *ys = xs + CLOUD_ROWS * (d + 1), *c = ys + CLOUD_COLUMNS * (d + 1);
    float *plan = c + CLOUD_ROWS * (CLOUD_COLUMNS + 1), *pulls = plan + CLOUD_ROWS * (CLOUD_COLUMNS + 1);
    const long long first = (long long)block_index() * CLOUD_ROWS;
    const int rows = n - first < CLOUD_ROWS ? (int)(n - first) : CLOUD_ROWS;
    const float scale = 1.0f / epsilon;
    load_points(x + first * d, rows, CLOUD_ROWS, d, xs);
    for (int i = thread_index(); i < CLOUD_ROWS * d; i += THREADS) pulls[i] = 0.0f;
    float sum = 0.0f;
    for (int j0 = 0; j0 < m; j0 += CLOUD_COLUMNS) {
        const int columns = m - j0 < CLOUD_COLUMNS ? m - j0 : CLOUD_COLUMNS;
        barrier();
        load_points(y + (long long)j0 * d, columns, CLOUD_COLUMNS, d, ys);
        barrier();
        for (int i = thread_index(); i < CLOUD_ROWS * CLOUD_COLUMNS; i += THREADS) {
            const int r = i / CLOUD_COLUMNS, j = i % CLOUD_COLUMNS;
            float pi = 0.0f, weight = 0.0f;
            if (r < rows && j < columns) {
                const float square = squared_distance(xs + r * (d + 1), ys + j * (d + 1), d);
                pi = exponential((f[first + r] + h[j0 + j] - cost_of(cost, square)) * scale);
                weight = cost == 0 ? pi : square == 0.0f ? 0.0f : pi / smooth_distance(square);
            }
            plan[r * (CLOUD_COLUMNS + 1) + j] = pi;
            c[r * (CLOUD_COLUMNS + 1) + j] = weight;
        }
        barrier();
        if (thread_index() < CLOUD_ROWS)
            for (int j = 0; j < columns; ++j) sum += plan[thread_index() * (CLOUD_COLUMNS + 1) + j];
        if (with_pull) add_pull(c, xs, ys, columns, d, pulls);
    }
    if (thread_index() < rows) mass[first + thread_index()] = sum;
    if (with_pull) // each its own, as `add_pull` left them
        for (int i = thread_index(); i < rows * d; i += THREADS) pull[first * d + i] = pulls[i];
}

// h [n] = potential [n] + epsilon ln(weight [n]); a weight of zero takes no part.
KERNEL weighted_potential(int n, float epsilon, const float *potential, const float *weight, float *h) {
    for (int i = block_index() * THREADS + thread_index(); i < n; i += block_count() * THREADS)
        h[i] = weight[i] > 1.2e-38f ? potential[i] + epsilon * logarithm(weight[i]) : -1.0e37f;
}
