// The k nearest points by brute force: tiles of squared distances in registers, and for each query a list over the lanes of a warp.
#include "math.cuh"
#include "shared.cuh"

// Three blocks of a multiprocessor hide what one waits for.
#undef BLOCKS_AT_ONCE
#define BLOCKS_AT_ONCE 3

// Rows of staged coordinates: 4 more than a multiple of 32, so that 8 coordinates of 4 points lie in 32 banks.
constexpr int QUERY_LD = NEIGHBOUR_ROWS + 4, POINT_LD = NEIGHBOUR_COLUMNS + 4;
constexpr int ROWS_OF_WARP = NEIGHBOUR_ROWS / (THREADS / 32), PER_LANE = NEIGHBOUR_COLUMNS / 32;

DEVICE float infinity() { return bits_to_float(0x7f800000u); }
DEVICE float shuffle_float(float v, int from) { return bits_to_float(shuffle(float_to_bits(v), from)); }

// Coordinates k0 to k0 + count - 1 of 64 points of x [.., d], transposed: out[k][point], rows of ld. Points that do not exist are zero.
DEVICE void stage(const float *x, int existing, int d, int k0, int count, float *out, int ld) {
    constexpr int DOWN = NEIGHBOUR_STAGE / 8, POINTS = THREADS / 8, ACROSS = 64 / POINTS;
    const int k = thread_index() % 8, r = thread_index() / 8;
    x += (long long)r * d + k0 + k;
    out += k * ld + r;
    // All loads are on their way before the first is needed.
    float v[ACROSS][DOWN];
#pragma unroll
    for (int i = 0; i < ACROSS; ++i)
#pragma unroll
        for (int j = 0; j < DOWN; ++j)
            v[i][j] = r + i * POINTS < existing && k + 8 * j < count ? x[(long long)i * POINTS * d + 8 * j] : 0.0f;
#pragma unroll
    for (int i = 0; i < ACROSS; ++i)
#pragma unroll
        for (int j = 0; j < DOWN; ++j) out[8 * j * ld + i * POINTS] = v[i][j];
}

// Puts (v, name) into the ascending list of a warp, lane i of which holds number i, behind its equals; the last falls out.
DEVICE void insert(float v, unsigned name, float &value, unsigned &who) {
    const int lane = thread_index() % 32;
    const float value_before = shuffle_float(value, lane - 1);
    const unsigned who_before = shuffle(who, lane - 1);
    if (value > v) {
        const bool here = lane == 0 || !(value_before > v);
        value = here ? v : value_before;
        who = here ? name : who_before;
    }
}

// Of split s, which is block_index_y(), with the points from s per_split on: indices and squares [splits, n, k], nearest first; of equal
// distances the smaller index is the nearer. k <= 32. `skip` leaves out the point with the query's own number.
// Shared memory: 64 lists of 32 squares and numbers; and 64 by 128 squares, where 32 by 68 and 32 by 132 coordinates are before.
KERNEL nearest_of_split(int d, int n, int m, int k, int skip, int per_split, const float *queries, const float *points, unsigned *indices,
                        float *squares) {
    float *best = shared_memory(), *who = best + NEIGHBOUR_ROWS * 32, *tile = who + NEIGHBOUR_ROWS * 32;
    float *xs = tile, *ys = xs + NEIGHBOUR_STAGE * QUERY_LD;
    const int first = block_index() * NEIGHBOUR_ROWS, rows = smaller_int(n - first, NEIGHBOUR_ROWS);
    const int begin = block_index_y() * per_split, end = m - begin < per_split ? m : begin + per_split;
    const int lane = thread_index() % 32, first_of_warp = thread_index() / 32 * ROWS_OF_WARP;
    // A warp's threads own 4 times 4 queries, and twice 8 times 4 points.
    const int row = (thread_index() / 64 * 4 + lane / 8) * 4, column = (thread_index() / 32 % 2 * 8 + lane % 8) * 4;
    queries += (long long)first * d;
    // A lane's own places of the lists of its warp.
    best += first_of_warp * 32 + lane;
    who += first_of_warp * 32 + lane;
    for (int r = 0; r < ROWS_OF_WARP; ++r) {
        best[r * 32] = infinity();
        who[r * 32] = bits_to_float(0xffffffffu);
    }
#pragma unroll 1
    for (int j0 = begin; j0 < end; j0 += NEIGHBOUR_COLUMNS) {
        const int columns = smaller_int(end - j0, NEIGHBOUR_COLUMNS);
        float sum[4][8] = {};
#pragma unroll 1
        for (int k0 = 0; k0 < d; k0 += NEIGHBOUR_STAGE) {
            const int count = smaller_int(d - k0, NEIGHBOUR_STAGE);
            barrier();
            stage(queries, rows, d, k0, count, xs, QUERY_LD);
#pragma unroll 1
            for (int j = 0; j < NEIGHBOUR_COLUMNS; j += 64) stage(points + (long long)(j0 + j) * d, columns - j, d, k0, count, ys + j, POINT_LD);
            barrier();
#pragma unroll 1
            for (int c = 0; c < count; ++c) {
                const Four x = *(const Four *)(xs + c * QUERY_LD + row);
                const Four y = *(const Four *)(ys + c * POINT_LD + column), z = *(const Four *)(ys + c * POINT_LD + column + 64);
                const float xx[4] = {x.x, x.y, x.z, x.w}, yy[8] = {y.x, y.y, y.z, y.w, z.x, z.y, z.z, z.w};
#pragma unroll
                for (int i = 0; i < 4; ++i)
#pragma unroll
                    for (int j = 0; j < 8; ++j) {
                        const float v = xx[i] - yy[j];
                        sum[i][j] = fused(v, v, sum[i][j]);
                    }
            }
        }
        barrier();
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < 8; j += 4)
                *(Four *)(tile + (row + i) * NEIGHBOUR_COLUMNS + column + 16 * j) = Four{sum[i][j], sum[i][j + 1], sum[i][j + 2], sum[i][j + 3]};
        barrier();
#pragma unroll 1
        for (int r = 0; r < ROWS_OF_WARP; ++r) {
            if (first_of_warp + r >= rows) break;
            float value = best[r * 32], worst = shuffle_float(value, k - 1);
            const int own = skip ? first + first_of_warp + r - j0 : -1;
            float square[PER_LANE];
            bool any = false;
#pragma unroll
            for (int q = 0; q < PER_LANE; ++q) {
                const int j = 32 * q + lane;
                square[q] = tile[(first_of_warp + r) * NEIGHBOUR_COLUMNS + j];
                if (j >= columns || j == own) square[q] = infinity();
                any = any || square[q] < worst;
            }
            if (ballot(any) == 0) continue;
            unsigned name = float_to_bits(who[r * 32]);
            // Points come in ascending order: an equal one stays behind.
#pragma unroll
            for (int q = 0; q < PER_LANE; ++q)
                for (unsigned left = ballot(square[q] < worst); left != 0; left &= left - 1) {
                    const int from = lowest_bit(left);
                    const float v = shuffle_float(square[q], from);
                    if (!(v < worst)) continue;
                    insert(v, j0 + 32 * q + from, value, name);
                    worst = shuffle_float(value, k - 1);
                }
            best[r * 32] = value;
            who[r * 32] = bits_to_float(name);
        }
    }
    for (int r = 0; r < ROWS_OF_WARP && first_of_warp + r < rows && lane < k; ++r) {
        const long long at = ((long long)block_index_y() * n + first + first_of_warp + r) * k + lane;
        indices[at] = float_to_bits(who[r * 32]);
        squares[at] = best[r * 32];
    }
}

// indices and distances [n, k] from those of the splits, in their order; a warp owns a query.
KERNEL merge_nearest(int n, int k, int splits, const unsigned *split_indices, const float *split_squares, unsigned *indices, float *distances) {
    const int lane = thread_index() % 32;
    const long long query = (long long)block_index() * (THREADS / 32) + thread_index() / 32;
    if (query >= n) return;
    float best = infinity();
    unsigned who = 0xffffffffu;
    for (int s = 0; s < splits; ++s) {
        const long long at = (s * (long long)n + query) * k + lane;
        const float square = lane < k ? split_squares[at] : infinity();
        const unsigned name = lane < k ? split_indices[at] : 0xffffffffu;
        const float worst = shuffle_float(best, k - 1);
        for (unsigned left = ballot(square < worst); left != 0; left &= left - 1) {
            const int from = lowest_bit(left);
            insert(shuffle_float(square, from), shuffle(name, from), best, who);
        }
    }
    if (lane < k) {
        indices[query * k + lane] = who;
        distances[query * k + lane] = root(best);
    }
}
