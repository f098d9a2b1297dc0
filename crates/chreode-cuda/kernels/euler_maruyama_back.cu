// The second half of the discrete adjoint of Euler-Maruyama: from the layers of each step, and increments that are drawn again, the adjoints [LWCD20].
// Units and lengths are those of `euler_maruyama.cu`.
#include "euler_maruyama.cuh"

// Steps last - 1 down to begin of the way back, for a chunk whose kept layers fit the memory. lambda [n, d] and omega [n] are the
// adjoints of states and log-weights after the chunk, and then before it. The rows of a chunk are numbered (step - begin) n + row.
// `back` is packed for the way back. drift, noise and growth hold what `em_layers` left, and then the inputs and adjoints of every layer (see `Kept`);
// `layer_gradient` sums over them.
// Shared memory: two tiles of activations, two tiles of d columns.
PRECISION_KERNEL em_backward(const Sde *sde, int rows, int ld, int n, int steps, int begin, int last, const float *back,
                   const float *units, const float *lengths, const int *observe, unsigned key0, unsigned key1, unsigned long long trajectory, const float *state_bar,
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
        barrier();

#pragma unroll 1
        for (int which = DRIFT; which <= GROWTH; ++which) {
            if (net_of(sde, which)->layers == 0) continue;
            {
                const Rows own = own_rows(n, rows);
                const Net *net = net_of(sde, which);
                const Kept tile = {which == DRIFT ? drift : which == NOISE ? noise : growth, (last - begin) * n, (k - begin) * n + own.first, own.existing};
                const int d = dim_of(sde), outs = net->width[net->layers];
                const float *l = state_tile(0, rows, ld, d), *given = kept_adjoints(net, tile, net->layers - 1);
                if (which == DRIFT) {
                    // The adjoint of the outputs is unit h lambda.
                    for (int i = own_thread(); i < rows * padded(d); i += NET_THREADS) {
                        const int r = i / padded(d), c = i % padded(d);
                        a[r * ld + c] = r < own.existing && c < d ? units[2 * d + c] * (lengths[k] * l[r * d + c]) : 0.0f;
                    }
                } else if (which == NOISE) {
                    // That of g is lambda dw, and that of its net's outputs has the slope of softplus.
                    const int blocks = padded(d) / 4;
                    const float root_h = lengths[steps + k];
                    for (int i = own_thread(); i < rows * blocks; i += NET_THREADS) {
                        const int r = i / blocks, block = i % blocks;
                        const bool there = r < own.existing && 4 * block < d;
                        float z[4] = {};
                        if (there) normals(block, k, trajectory + own.first + r, key0, key1, z);
#pragma unroll
                        for (int j = 0; j < 4; ++j) {
                            const int c = 4 * block + j;
                            a[r * ld + c] = there && c < d ? units[3 * d + c] * (l[r * d + c] * (z[j] * root_h)) * logistic(given[(long long)r * outs + c]) : 0.0f;
                        }
                    }
                } else {
                    for (int i = own_thread(); i < rows * STAGE; i += NET_THREADS) {
                        const int r = i / STAGE, c = i % STAGE;
                        const bool there = r < own.existing && c == 0;
                        const float rate = there ? hyperbolic_tangent(given[r]) : 0.0f;
                        a[r * ld + c] = there ? sde->growth_unit * (lengths[k] * omega[own.first + r]) * (1.0f - rate * rate) : 0.0f;
                    }
                }
            }
            const Rows own = own_rows(n, rows);
            const int same = opaque(which);
            const Kept tile = {same == DRIFT ? drift : same == NOISE ? noise : growth, (opaque(last) - begin) * n, (k - begin) * n + own.first, own.existing};
            const float *bar = net_backward(net_of(sde, same), back + packed_of(sde, same), rows, a, b, ld, tile);
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
