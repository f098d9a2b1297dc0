// The k nearest points by brute force: a thread owns a query and keeps its best in registers.
#include "clouds.cuh"

// indices and distances [n, k], nearest first; of equal distances the smaller index is the nearer. m >= k, k <= 32.
// `skip` leaves out the point with the query's own number. Shared memory: 32 points of d + 1.
KERNEL nearest(int d, int n, int m, int k, int skip, const float *queries, const float *points, unsigned *indices, float *distances) {
    float *ys = shared_memory();
    const long long query = (long long)block_index() * THREADS + thread_index();
    const float *x = queries + query * d;
    float best[MAX_NEIGHBOURS];
    unsigned who[MAX_NEIGHBOURS];
#pragma unroll
    for (int i = 0; i < MAX_NEIGHBOURS; ++i) {
        best[i] = bits_to_float(0x7f800000u);
        who[i] = 0xffffffffu;
    }
    float worst = bits_to_float(0x7f800000u);
    for (int j0 = 0; j0 < m; j0 += CLOUD_COLUMNS) {
        const int columns = m - j0 < CLOUD_COLUMNS ? m - j0 : CLOUD_COLUMNS;
        barrier();
        load_points(points + (long long)j0 * d, columns, CLOUD_COLUMNS, d, ys);
        barrier();
        for (int j = 0; query < n && j < columns; ++j) {
            if (skip && query == j0 + j) continue;
            const float *y = ys + j * (d + 1);
            const float square = squared_distance(x, y, d);
            if (!(square < worst)) continue;
            // Points come in ascending order: an equal one stays behind.
            float value = square;
            unsigned name = j0 + j;
#pragma unroll
            for (int i = 0; i < MAX_NEIGHBOURS; ++i) {
                if (i < k && value < best[i]) {
                    const float v = best[i];
                    const unsigned w = who[i];
                    best[i] = value;
                    who[i] = name;
                    value = v;
                    name = w;
                }
                if (i == k - 1) worst = best[i];
            }
        }
    }
    if (query < n)
#pragma unroll
        for (int i = 0; i < MAX_NEIGHBOURS; ++i)
            if (i < k) {
                indices[query * k + i] = who[i];
                distances[query * k + i] = root(best[i]);
            }
}
