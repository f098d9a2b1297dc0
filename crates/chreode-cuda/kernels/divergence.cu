// The debiased Sinkhorn divergence between a cloud x [n, d] that moves and a cloud y [m, d] that stays, from the points to the gradient: the device
// decides how far the blur has to fall and when to stop [FSVATP19].
//
// There are four potentials, one behind the other: 0 of x for transport to y, 1 of y for that to x, 2 of x and 3 of y for that to themselves. Weights
// are those of x and then those of y, and their logarithms; a weight of zero has -1e30. Where costs are kept they are those of problem 0, [n, m], of 1,
// [m, n], of 2 and of 3. Points of x begin at `x_at`.
#include "transport.cuh"

// What updates potential `which`.
struct Problem {
    const float *rows, *columns;
    int n, m;
    // Where the rows' potential begins, the columns', and the weights of both.
    int own, other, row_weights, column_weights;
    long long costs;
    DEVICE_MEMBER Problem(int which, int given_n, int given_m, const float *x, const float *y) {
        const bool row_x = which % 2 == 0, column_x = which == 1 || which == 2;
        rows = row_x ? x : y;
        columns = column_x ? x : y;
        n = row_x ? given_n : given_m;
        m = column_x ? given_n : given_m;
        const int pair = given_n + given_m;
        own = which / 2 * pair + (row_x ? 0 : given_n);
        other = which / 2 * pair + (column_x ? 0 : given_n);
        row_weights = row_x ? 0 : given_n;
        column_weights = column_x ? 0 : given_n;
        const long long cross = (long long)given_n * given_m;
        costs = which * cross;
        if (which == 3) costs = 2 * cross + (long long)given_n * given_n;
    }
};

// bounds [blocks][2][d]: the least and the largest of each coordinate among a block's points.
// Shared memory: two of THREADS.
KERNEL cloud_bounds(int d, int n, unsigned long long x_at, const float *x, float *bounds) {
    float *least = shared_memory(), *most = least + THREADS;
    const int per_block = (n + block_count() - 1) / block_count(), begin = block_index() * per_block, end = smaller_int(n, begin + per_block);
    for (int k0 = 0; k0 < d; k0 += THREADS) {
        const int width = smaller_int(d - k0, THREADS), beside = THREADS / width, k = k0 + thread_index() % width;
        float lo = 3.0e38f, hi = -3.0e38f;
        if (thread_index() < beside * width)
#pragma unroll 4
            for (int r = begin + thread_index() / width; r < end; r += beside) {
                const float v = x[x_at + (long long)r * d + k];
                lo = smaller(v, lo);
                hi = larger(v, hi);
            }
        least[thread_index()] = lo;
        most[thread_index()] = hi;
        barrier();
        if (thread_index() < width) {
            for (int i = 1; i < beside; ++i) {
                lo = smaller(lo, least[i * width + thread_index()]);
                hi = larger(hi, most[i * width + thread_index()]);
            }
            bounds[(2 * block_index()) * d + k] = lo;
            bounds[(2 * block_index() + 1) * d + k] = hi;
        }
        // No barrier: only the last coordinates are shared among threads, before them each looks at numbers of its own alone.
    }
}

// The values of epsilon from the diameter of both clouds, by their bounds, down to `blur`; `most` levels at most, the last ones. One block.
// Shared memory: THREADS.
KERNEL begin_annealing(int cost, int d, int x_blocks, int y_blocks, int most, float blur, float scaling, const float *x_bounds, const float *y_bounds,
                       Annealing *schedule) {
    float *squares = shared_memory(), sum = 0.0f;
    for (int k = thread_index(); k < d; k += THREADS) {
        float lo = 3.0e38f, hi = -3.0e38f;
        for (int b = 0; b < x_blocks + y_blocks; ++b) {
            const float *bounds = b < x_blocks ? x_bounds + 2 * b * d : y_bounds + 2 * (b - x_blocks) * d;
            lo = smaller(lo, bounds[k]);
            hi = larger(hi, bounds[d + k]);
        }
        sum = fused(hi - lo, hi - lo, sum);
    }
    squares[thread_index()] = sum;
    barrier();
    if (thread_index() > 0) return;
#pragma unroll 16
    for (int i = 1; i < THREADS; ++i) sum += squares[i];
    float length = root(sum);
    if (!finite(length) || length < blur) length = blur;
    const auto put = [&](int level, float l) { schedule->epsilon[level] = cost == 0 ? l * l : l; };
    // First from nothing, and then with the same blur again.
    int levels = 2;
    for (float l = length; l > blur; l *= scaling) ++levels;
    for (; levels > most; --levels) length *= scaling;
    put(0, length);
    for (int level = 1; level < levels; ++level, length *= scaling) put(level, level == levels - 1 ? blur : length);
    schedule->levels = levels;
    schedule->done = 0;
    schedule->updates = 0;
    schedule->error = 0.0f;
}

// Costs of problems from `first` on, as many as the grid has rows. A block owns COST_TILE points of both clouds, a thread four of each.
// Shared memory: twice COST_TILE points of d, rounded up to an odd multiple of four.
KERNEL pair_costs(int cost, int d, int n, int m, int first, unsigned long long x_at, const float *x, const float *y, float *costs) {
    const Problem problem(first + block_index_y(), n, m, x + x_at, y);
    const int across = (problem.m + COST_TILE - 1) / COST_TILE, ld = (d + 3) / 4 % 2 == 1 ? (d + 3) / 4 * 4 : (d + 3) / 4 * 4 + 4;
    const int r0 = block_index() / across * COST_TILE, c0 = block_index() % across * COST_TILE;
    if (r0 >= problem.n) return;
    float *xs = shared_memory(), *ys = xs + COST_TILE * ld;
    for (int r = thread_index() / 32; r < COST_TILE; r += THREADS / 32)
        for (int k = thread_index() % 32; k < ld; k += 32) {
            xs[r * ld + k] = r0 + r < problem.n && k < d ? problem.rows[(long long)(r0 + r) * d + k] : 0.0f;
            ys[r * ld + k] = c0 + r < problem.m && k < d ? problem.columns[(long long)(c0 + r) * d + k] : 0.0f;
        }
    barrier();
    const int row = thread_index() / 16, column = thread_index() % 16;
    float square[4][4] = {};
    for (int k = 0; k < d; k += 4) {
        Four a[4], b[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            a[i] = *(const Four *)(xs + (row + 16 * i) * ld + k);
            b[i] = *(const Four *)(ys + (column + 16 * i) * ld + k);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i)
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const float v[4] = {a[i].x - b[j].x, a[i].y - b[j].y, a[i].z - b[j].z, a[i].w - b[j].w};
#pragma unroll
                for (int e = 0; e < 4; ++e) square[i][j] = fused(v[e], v[e], square[i][j]);
            }
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int r = r0 + row + 16 * i, c = c0 + column + 16 * j;
            if (r < problem.n && c < problem.m) costs[problem.costs + (long long)r * problem.m + c] = cost_of(cost, square[i][j]);
        }
}

// Costs of a warp's two rows and a lane's four columns from column j0 on, where both exist; kept or computed of the points of a tile.
template <bool KEPT>
DEVICE void costs_of_lane(const Problem &problem, int cost, int d, const float *costs, int first, int rows, int j0, int columns, const float *xs, const float *ys,
                          float c[2][4]) {
    const int lane = thread_index() % 32;
    if (!KEPT) {
        squares(xs, ys, d, c);
#pragma unroll
        for (int r = 0; r < 2; ++r)
#pragma unroll
            for (int j = 0; j < 4; ++j) c[r][j] = cost_of(cost, c[r][j]);
        return;
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const int row = smaller_int(thread_index() / 32 * 2 + r, rows - 1);
        const float *at = costs + problem.costs + (long long)(first + row) * problem.m + j0 + lane;
#pragma unroll
        for (int j = 0; j < 4; ++j) c[r][j] = lane + 32 * j < columns ? at[32 * j] : 0.0f;
    }
}

// What stands for the number of launches that come after one, in those after the annealing.
constexpr int CONVERGING = -1;

// One update of the potentials whose bits are set in `active`: -epsilon ln sum over the other cloud's points of weight exp((potential - cost) / epsilon),
// or with the bit in `averaged` the mean of that and what it was; others are copied. In the annealing `left` launches come after this one: those before its
// first level do nothing, and that has zeros for what potentials were. After it `left` is CONVERGING, and all are copied once the marginals are near
// enough, and then one less, for the last update. errors: of each row, its weight times how far the mass is from one that the plan of the potentials before gives it.
template <bool KEPT>
DEVICE void update(int cost, int d, int n, int m, int left, int active, int averaged, const Annealing *schedule, const float *x, const float *y,
                   const float *costs, const float *log_weights, const float *weights, const float *before, float *after, float *errors) {
    const int which = block_index_y(), first = block_index() * TRANSPORT_ROWS, lane = thread_index() % 32;
    const Problem problem(which, n, m, x, y);
    const int rows = smaller_int(problem.n - first, TRANSPORT_ROWS), level = left < 0 ? schedule->levels - 1 : schedule->levels - 1 - left;
    if (rows <= 0 || level < 0) return;
    if (!(active >> which & 1) || (left == CONVERGING && schedule->done)) {
        if (thread_index() < rows) after[problem.own + first + thread_index()] = before[problem.own + first + thread_index()];
        return;
    }
    const bool begins = level == 0;
    const float epsilon = schedule->epsilon[level], scale = 1.0f / epsilon;
    float *xs = shared_memory(), *ys = xs + TRANSPORT_ROWS * point_row(d);
    if (!KEPT) load_tile(problem.rows + (long long)first * d, rows, TRANSPORT_ROWS, d, xs);
    const float *potential = before + problem.other, *log_weight = log_weights + problem.column_weights;
    LogSum own[2];
    for (int j0 = 0; j0 < problem.m; j0 += TRANSPORT_COLUMNS) {
        const int columns = smaller_int(problem.m - j0, TRANSPORT_COLUMNS);
        if (!KEPT) {
            barrier();
            load_tile(problem.columns + (long long)j0 * d, columns, TRANSPORT_COLUMNS, d, ys);
            barrier();
        }
        float c[2][4];
        costs_of_lane<KEPT>(problem, cost, d, costs, first, rows, j0, columns, xs, ys, c);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int column = j0 + lane + 32 * j;
            if (column >= problem.m) continue;
            const float h = fused(epsilon, log_weight[column], begins ? 0.0f : potential[column]);
#pragma unroll
            for (int r = 0; r < 2; ++r) own[r].add((h - c[r][j]) * scale);
        }
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
        const float value = -epsilon * own[r].of_warp();
        const int row = first + thread_index() / 32 * 2 + r;
        if (lane > 0 || row >= problem.n) continue;
        const float old = begins ? 0.0f : before[problem.own + row];
        after[problem.own + row] = begins || !(averaged >> which & 1) ? value : 0.5f * (old + value);
        errors[problem.own + row] = weights[problem.row_weights + row] * magnitude(exponential((old - value) * scale) - 1.0f);
    }
}

// See `update`. Shared memory: 16 and 128 points of d, rounded up to odd.
KERNEL update_potentials(int cost, int d, int n, int m, int left, int active, int averaged, const Annealing *schedule, unsigned long long x_at, const float *x,
                         const float *y, const float *log_weights, const float *weights, const float *before, float *after, float *errors) {
    update<false>(cost, d, n, m, left, active, averaged, schedule, x + x_at, y, nullptr, log_weights, weights, before, after, errors);
}

// The same from costs that are kept.
KERNEL update_potentials_kept(int n, int m, int left, int active, int averaged, const Annealing *schedule, const float *costs, const float *log_weights,
                              const float *weights, const float *before, float *after, float *errors) {
    update<true>(0, 0, n, m, left, active, averaged, schedule, nullptr, nullptr, costs, log_weights, weights, before, after, errors);
}

// Whether the marginals are off by `tolerance` at most, by the errors of problems 0, 2 and 3: problem 1 was updated before 0, whose plan then has its
// marginal. Numbers that are none are never better: they end it too. One block.
// Shared memory: THREADS.
KERNEL judge_potentials(int n, int m, int updates, float tolerance, const float *errors, Annealing *schedule) {
    if (schedule->done) return;
    float *parts = shared_memory(), worst = 0.0f;
    for (int which = 0; which < 4; ++which) {
        if (which == 1) continue;
        const Problem problem(which, n, m, nullptr, nullptr);
        float sum = 0.0f;
        for (int i = thread_index(); i < problem.n; i += THREADS) sum += errors[problem.own + i];
        barrier();
        parts[thread_index()] = sum;
        barrier();
        if (thread_index() > 0) continue;
#pragma unroll 16
        for (int i = 1; i < THREADS; ++i) sum += parts[i];
        worst = sum > worst || sum != sum ? sum : worst;
    }
    if (thread_index() > 0) return;
    schedule->error = worst;
    schedule->updates += updates;
    schedule->done = !(worst > tolerance);
}

// With pi_ij = exp((f_i + g_j - cost) / epsilon) weight_j, f from `after` and g from `before`, so that rows have a mass of one: pulls [2][n][d] are the sums
// over j of pi times the cost's gradient in x_i, for y's points and for x's own.
// Shared memory: 16 and 128 points of d, rounded up to odd, a tile of 16 by 132, 16 pulls of d.
template <bool KEPT>
DEVICE void pull_rows(int cost, int d, int n, int m, const Annealing *schedule, const float *x, const float *y, const float *costs, const float *log_weights,
                      const float *before, const float *after, float *pulls) {
    constexpr int LD = TRANSPORT_COLUMNS + 4;
    const int first = block_index() * TRANSPORT_ROWS, lane = thread_index() % 32, warp = thread_index() / 32;
    const Problem problem(2 * block_index_y(), n, m, x, y);
    const int rows = smaller_int(n - first, TRANSPORT_ROWS), from = point_row(d);
    const float epsilon = schedule->epsilon[schedule->levels - 1], scale = 1.0f / epsilon;
    float *xs = shared_memory(), *ys = xs + TRANSPORT_ROWS * from, *weights = ys + TRANSPORT_COLUMNS * from, *sums = weights + TRANSPORT_ROWS * LD;
    load_tile(problem.rows + (long long)first * d, rows, TRANSPORT_ROWS, d, xs);
    for (int i = thread_index(); i < TRANSPORT_ROWS * d; i += THREADS) sums[i] = 0.0f;
    for (int j0 = 0; j0 < problem.m; j0 += TRANSPORT_COLUMNS) {
        const int columns = smaller_int(problem.m - j0, TRANSPORT_COLUMNS);
        barrier();
        load_tile(problem.columns + (long long)j0 * d, columns, TRANSPORT_COLUMNS, d, ys);
        barrier();
        float c[2][4];
        costs_of_lane<KEPT>(problem, cost, d, costs, first, rows, j0, columns, xs, ys, c);
#pragma unroll
        for (int j = 0; j < 4; ++j)
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                const int row = 2 * warp + r, column = lane + 32 * j;
                float weight = 0.0f;
                if (row < rows && column < columns) {
                    const float h = fused(epsilon, log_weights[problem.column_weights + j0 + column], before[problem.other + j0 + column]);
                    weight = exponential((after[problem.own + first + row] + h - c[r][j]) * scale);
                    // The distance's gradient is that of unit length; smooth at zero.
                    if (cost != 0) weight /= c[r][j] + 1e-6f;
                }
                weights[row * LD + column] = weight;
            }
        barrier();
        const float *own = weights + 2 * warp * LD;
        for (int k = lane; k < d; k += 32) {
            const float at[2] = {xs[2 * warp * from + k], xs[(2 * warp + 1) * from + k]};
            float total[2] = {sums[2 * warp * d + k], sums[(2 * warp + 1) * d + k]};
            // Beyond the columns weights and points are zero.
#pragma unroll 4
            for (int j = 0; j < columns; j += 4) {
                const Four a = *(const Four *)(own + j), b = *(const Four *)(own + LD + j);
                const float w[2][4] = {{a.x, a.y, a.z, a.w}, {b.x, b.y, b.z, b.w}};
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const float v = ys[(j + i) * from + k];
                    total[0] = fused(w[0][i], at[0] - v, total[0]);
                    total[1] = fused(w[1][i], at[1] - v, total[1]);
                }
            }
            sums[2 * warp * d + k] = total[0];
            sums[(2 * warp + 1) * d + k] = total[1];
        }
    }
    barrier();
    float *out = pulls + ((long long)block_index_y() * n + first) * d;
    for (int i = thread_index(); i < rows * d; i += THREADS) out[i] = sums[i];
}

// See `pull_rows`.
KERNEL cloud_pulls(int cost, int d, int n, int m, const Annealing *schedule, unsigned long long x_at, const float *x, const float *y,
                   const float *log_weights, const float *before, const float *after, float *pulls) {
    pull_rows<false>(cost, d, n, m, schedule, x + x_at, y, nullptr, log_weights, before, after, pulls);
}

// The same from costs that are kept.
KERNEL cloud_pulls_kept(int cost, int d, int n, int m, const Annealing *schedule, unsigned long long x_at, const float *x, const float *y, const float *costs,
                        const float *log_weights, const float *before, const float *after, float *pulls) {
    pull_rows<true>(cost, d, n, m, schedule, x + x_at, y, costs, log_weights, before, after, pulls);
}

// bar [n, d], from `x_at` on, is the gradient of the divergence in the points of x. Its value, in block 0: the potentials' means, those for the clouds
// themselves subtracted.
// Shared memory: THREADS of f64.
KERNEL end_divergence(int d, int n, int m, unsigned long long x_at, const float *weights, const float *potentials, const float *pulls, float *bar, double *value) {
    const int all = n * d;
    for (int i = block_index() * THREADS + thread_index(); i < all; i += block_count() * THREADS)
        bar[x_at + i] = weights[i / d] * (pulls[i] - pulls[all + i]);
    if (block_index() > 0) return;
    double *parts = (double *)shared_memory(), sum = 0.0;
    // The last two potentials belong to the same points as the first two.
    for (int i = thread_index(); i < n + m; i += THREADS) sum += (double)weights[i] * ((double)potentials[i] - (double)potentials[n + m + i]);
    parts[thread_index()] = sum;
    barrier();
    if (thread_index() > 0) return;
#pragma unroll 16
    for (int i = 1; i < THREADS; ++i) sum += parts[i];
    *value = sum;
}
