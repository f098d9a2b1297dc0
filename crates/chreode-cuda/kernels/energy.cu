// Row sums of distances between two clouds, and their gradients: the parts of an energy distance [SR13].
#include "clouds.cuh"

// sums [n]: sum over j of w_j |x_i - y_j|; pull [n, d]: sum over j of w_j (x_i - y_j) / |x_i - y_j|, not wanted where `with_pull`
// is zero. With `by_cell`, pairs of points that stem from one cell are left out.
// Shared memory: 64 and 32 points of d + 1, two tiles of 64 by 33, 64 pulls of d.
KERNEL energy_rows(int d, int n, int m, int with_pull, int by_cell, const float *x, const float *y, const float *w, const unsigned *x_cells,
                   const unsigned *y_cells, float *sums, float *pull) {
    float *xs = shared_memory(), *ys = xs + CLOUD_ROWS * (d + 1), *c = ys + CLOUD_COLUMNS * (d + 1);
    float *reach = c + CLOUD_ROWS * (CLOUD_COLUMNS + 1), *pulls = reach + CLOUD_ROWS * (CLOUD_COLUMNS + 1);
    const long long first = (long long)block_index() * CLOUD_ROWS;
    const int rows = n - first < CLOUD_ROWS ? (int)(n - first) : CLOUD_ROWS;
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
            float weight = 0.0f, length = 0.0f;
            if (r < rows && j < columns && !(by_cell && x_cells[first + r] == y_cells[j0 + j])) {
                const float square = squared_distance(xs + r * (d + 1), ys + j * (d + 1), d), v = smooth_distance(square);
                length = w[j0 + j] * (v - 1e-6f);
                // Equal points pull nowhere. What is not a number is kept, to be noticed.
                weight = square == 0.0f ? 0.0f : w[j0 + j] / v;
            }
            c[r * (CLOUD_COLUMNS + 1) + j] = weight;
            reach[r * (CLOUD_COLUMNS + 1) + j] = length;
        }
        barrier();
        if (thread_index() < CLOUD_ROWS)
            for (int j = 0; j < columns; ++j) sum += reach[thread_index() * (CLOUD_COLUMNS + 1) + j];
        if (with_pull) add_pull(c, xs, ys, columns, d, pulls);
    }
    if (thread_index() < rows) sums[first + thread_index()] = sum;
    if (with_pull) // each its own, as `add_pull` left them
        for (int i = thread_index(); i < rows * d; i += THREADS) pull[first * d + i] = pulls[i];
}
