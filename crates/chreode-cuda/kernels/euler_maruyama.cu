// Euler-Maruyama for a neural stochastic equation with diagonal noise: a whole ensemble in one launch.
//
// A block owns a tile of rows for all steps. States, drift and noise amplitude lie in shared memory, Brownian increments are drawn
// into registers where they are used, and the state leaves the chip at observation times (and at every step, if a path is asked for).
// Units [4, d]: shift, 1 / scale, unit of the drift, unit of the noise. Lengths [2, steps]: h, sqrt(h); behind them what the nets of drift and growth see
// of each step beside the state, [steps, inputs - d].
#include "euler_maruyama.cuh"

// observed [observations, n, d], log_weights [observations, n], path [steps, n, d] (states before the steps; not wanted where the
// length `path_steps` is zero), failed [n]: the number of the step after which a state or log-weight was not finite, or -1.
// Shared memory: two tiles of activations (one in a large tile), three tiles of d columns, one of one column.
VARIANT_KERNEL em_forward(const Sde *sde, int rows, int ld, int n, int steps, int path_steps, const float *p, const float *packed, const float *units,
                  const float *lengths, const int *observe, unsigned key0, unsigned key1, unsigned long long trajectory, const float *start, float *observed,
                  float *log_weights, float *path, int *failed) {
    rows = rows_of_tile(rows);
    ld = distance_of_rows(ld);
    float *a = shared_memory(), *b = other_tile(a, rows, ld);
    {
        const Rows own = own_rows(n, rows);
        const int d = dim_of(sde);
        float *x = state_tile(0, rows, ld, d), *weight = state_tile(3, rows, ld, d);
        for (int i = own_thread(); i < rows * d; i += NET_THREADS) x[i] = i < own.existing * d ? start[(long long)own.first * d + i] : 0.0f;
        if (own_thread() < rows) weight[own_thread()] = 0.0f;
        if (own_thread() < own.existing) failed[own.first + own_thread()] = -1;
        barrier();
    }
#pragma unroll 1
    for (int k = 0; k < steps; ++k) {
        if (k < path_steps) {
            const Rows own = own_rows(n, rows);
            const int d = dim_of(sde);
            const float *x = state_tile(0, rows, ld, d);
            for (int i = own_thread(); i < own.existing * d; i += NET_THREADS) path[((long long)k * n + own.first) * d + i] = x[i];
        }
#pragma unroll 1
        for (int which = DRIFT; which <= GROWTH; ++which) {
            const Net *net = net_of(sde, which);
            if (net->layers == 0) continue;
            standardise<false>(sde, net, state_tile(0, rows, ld, dim_of(sde)), units, lengths, steps, k, n, 0, rows, own_rows(n, rows).existing, a, ld);
            const float *out = net_forward<false>(net, net->layers, p, packed + packed_of(sde, which), rows, a, b, ld, Kept{});
            const int d = dim_of(sde), existing = own_rows(n, rows).existing;
            float *f = state_tile(1, rows, ld, d), *g = state_tile(2, rows, ld, d), *weight = state_tile(3, rows, ld, d);
            if (which == DRIFT)
                for (int i = own_thread(); i < existing * d; i += NET_THREADS) f[i] = units[2 * d + i % d] * out[i / d * ld + i % d];
            else if (which == NOISE)
                for (int i = own_thread(); i < existing * d; i += NET_THREADS) g[i] = units[3 * d + i % d] * softplus(out[i / d * ld + i % d]);
            else if (own_thread() < existing)
                weight[own_thread()] += sde->growth_unit * hyperbolic_tangent(out[own_thread() * ld]) * lengths[k];
            barrier();
        }
        const Rows own = own_rows(n, rows);
        const int d = dim_of(sde), blocks = (d + 3) / 4;
        float *x = state_tile(0, rows, ld, d);
        const float *f = state_tile(1, rows, ld, d), *g = state_tile(2, rows, ld, d), *weight = state_tile(3, rows, ld, d);
        const float h = lengths[k], root_h = lengths[steps + k];
        for (int i = own_thread(); i < own.existing * blocks; i += NET_THREADS) {
            const int r = i / blocks, block = i % blocks;
            float z[4];
            normals(block, k, trajectory + own.first + r, key0, key1, z);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int c = 4 * block + j;
                if (c < d) x[r * d + c] += f[r * d + c] * h + g[r * d + c] * (z[j] * root_h);
            }
        }
        barrier();
        if (own_thread() < own.existing) {
            const int r = own_thread();
            bool good = finite(weight[r]);
#pragma unroll 8
            for (int c = 0; c < d; ++c) good &= finite(x[r * d + c]);
            if (!good && failed[own.first + r] < 0) failed[own.first + r] = k;
        }
        const int seen = observe[k];
        if (seen >= 0) {
            for (int i = own_thread(); i < own.existing * d; i += NET_THREADS) observed[((long long)seen * n + own.first) * d + i] = x[i];
            if (own_thread() < own.existing) log_weights[(long long)seen * n + own.first + own_thread()] = weight[own_thread()];
        }
    }
}
