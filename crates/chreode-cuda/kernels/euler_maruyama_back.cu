// The discrete adjoint of Euler-Maruyama: reads the path, draws the increments again and computes the activations again [LWCD20].
// Units and lengths are those of `euler_maruyama.cu`.
#include "euler_maruyama.cuh"

// Steps last - 1 down to begin of the way back, for a chunk whose kept layers fit the memory. lambda [n, d] and omega [n] are the
// adjoints of states and log-weights after the chunk, and then before it. The rows of a chunk are numbered (step - begin) n + row.
// `back` is packed for the way back. drift, noise and growth hold the inputs and adjoints of every layer (see `Kept`); `layer_gradient` sums over them.
// Shared memory: two tiles of activations, two tiles of d columns.
PRECISION_KERNEL em_backward(const Sde *sde, int rows, int ld, int n, int steps, int begin, int last, const float *p, const float *packed, const float *back,
                   const float *units, const float *lengths, const int *observe, unsigned key0, unsigned key1, unsigned long long trajectory, const float *path, const float *state_bar,
                   const float *weight_bar, float *lambda, float *omega, float *drift, float *noise, float *growth) {
    float *a = shared_memory(), *b = other_tile(a, rows, ld);
    {
        const Rows own = own_rows(n, rows);
        const int d = dim_of(sde);
        float *total = state_tile(1, rows, ld, d);
        for (int i = own_thread(); i < rows * d; i += NET_THREADS) total[i] = i < own.existing * d ? lambda[(long long)own.first * d + i] : 0.0f;
    }
#pragma unroll 1
    for (int k = last - 1; k >= begin; --k) {
        {
            const Rows own = own_rows(n, rows);
            const int d = dim_of(sde), seen = observe[k];
            float *l = state_tile(0, rows, ld, d), *total = state_tile(1, rows, ld, d);
            for (int i = own_thread(); i < own.existing * d; i += NET_THREADS) {
                l[i] = total[i] + (seen >= 0 ? state_bar[((long long)seen * n + own.first) * d + i] : 0.0f);
                total[i] = l[i];
            }
            if (seen >= 0 && own_thread() < own.existing) omega[own.first + own_thread()] += weight_bar[(long long)seen * n + own.first + own_thread()];
        }

#pragma unroll 1
        for (int which = DRIFT; which <= GROWTH; ++which) {
            if (net_of(sde, which)->layers == 0) continue;
            float *out;
            {
                const Rows own = own_rows(n, rows);
                const Net *net = net_of(sde, which);
                const Kept tile = {which == DRIFT ? drift : which == NOISE ? noise : growth, (last - begin) * n, (k - begin) * n + own.first, own.existing};
                standardise<true>(sde, net, path + ((long long)k * n + own.first) * dim_of(sde), units, lengths, steps, k, rows, own.existing, a, ld);
                // What the drift's last layer gives is not needed.
                out = net_forward<true>(net, which == DRIFT ? net->layers - 1 : net->layers, p, packed + packed_of(sde, which), rows, a, b, ld, tile);
            }
            {
                const Rows own = own_rows(n, rows);
                const int d = dim_of(sde), blocks = (d + 3) / 4;
                const float *l = state_tile(0, rows, ld, d);
                if (which == DRIFT) {
                    // The adjoint of the outputs is unit h lambda.
                    for (int i = own_thread(); i < rows * padded(d); i += NET_THREADS) {
                        const int r = i / padded(d), c = i % padded(d);
                        out[r * ld + c] = r < own.existing && c < d ? units[2 * d + c] * (lengths[k] * l[r * d + c]) : 0.0f;
                    }
                } else if (which == NOISE) {
                    // That of g is lambda dw, and that of its net's outputs has the slope of softplus.
                    const float root_h = lengths[steps + k];
                    for (int i = own_thread(); i < rows * blocks; i += NET_THREADS) {
                        const int r = i / blocks, block = i % blocks;
                        float z[4] = {};
                        if (r < own.existing) normals(block, k, trajectory + own.first + r, key0, key1, z);
#pragma unroll
                        for (int j = 0; j < 4; ++j) {
                            const int c = 4 * block + j;
                            if (c < d) out[r * ld + c] = r < own.existing ? units[3 * d + c] * (l[r * d + c] * (z[j] * root_h)) * logistic(out[r * ld + c]) : 0.0f;
                        }
                    }
                } else if (own_thread() < rows) {
                    const int r = own_thread();
                    const float rate = hyperbolic_tangent(out[r * ld]);
                    out[r * ld] = r < own.existing ? sde->growth_unit * (lengths[k] * omega[own.first + r]) * (1.0f - rate * rate) : 0.0f;
                }
            }
            const Rows own = own_rows(n, rows);
            const int same = opaque(which);
            const Kept tile = {same == DRIFT ? drift : same == NOISE ? noise : growth, (opaque(last) - begin) * n, (k - begin) * n + own.first, own.existing};
            const float *bar = net_backward(net_of(sde, same), back + packed_of(sde, same), rows, out, out == a ? b : a, ld, tile);
            if (net_of(sde, opaque(which))->width[0] > 0) {
                const int d = dim_of(sde), existing = own_rows(n, rows).existing;
                float *total = state_tile(1, rows, ld, d);
                for (int i = own_thread(); i < existing * d; i += NET_THREADS) total[i] += bar[i / d * ld + i % d] * units[d + i % d];
            }
            barrier();
        }
    }
    const Rows own = own_rows(n, rows);
    const int d = dim_of(sde);
    const float *total = state_tile(1, rows, ld, d);
    for (int i = own_thread(); i < own.existing * d; i += NET_THREADS) lambda[(long long)own.first * d + i] = total[i];
}
