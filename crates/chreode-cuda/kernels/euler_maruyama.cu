// Euler-Maruyama for a neural stochastic equation with diagonal noise: a whole ensemble in one launch, and its discrete adjoint.
//
// A block owns a tile of rows for all steps. States, drift and noise amplitude lie in shared memory, Brownian increments are drawn
// into registers where they are used, and the state leaves the chip at observation times (and at every step, if a path is asked for).
// The way back reads the path, draws the increments again and computes the activations again [LWCD20].
// Units [4, d]: shift, 1 / scale, unit of the drift, unit of the noise. Lengths [2, steps]: h, sqrt(h).
#include "mlp.cuh"
#include "philox.cuh"

DEVICE void standardise(const float *x, const float *units, int rows, int existing, int d, float *a, int ld) {
    const int columns = padded(d);
    for (int i = thread_index(); i < rows * columns; i += THREADS) {
        const int r = i / columns, c = i % columns;
        a[r * ld + c] = r < existing && c < d ? (x[r * d + c] - units[c]) * units[d + c] : 0.0f;
    }
}

// The nets of an equation.
constexpr int DRIFT = 0, NOISE = 1, GROWTH = 2;
DEVICE const Net *net_of(const Sde *sde, int which) { return which == DRIFT ? &sde->drift : which == NOISE ? &sde->noise : &sde->growth; }

// Where the packed weights of a net begin in those of the equation.
DEVICE long long packed_of(const Sde *sde, int which) {
    long long offset = 0;
    for (int before = DRIFT; before < which; ++before) offset += packed_size(net_of(sde, before));
    return offset;
}

// Packs the weights of all nets, one behind the other, in the order in which products read them.
KERNEL pack_sde(const Sde *sde, int transposed, const float *p, float *packed) {
    for (int which = DRIFT; which <= GROWTH; ++which) pack(net_of(sde, which), transposed, p, packed + packed_of(sde, which));
}

// observed [observations, n, d], log_weights [observations, n], path [steps, n, d] (states before the steps; not wanted where the
// length `path_steps` is zero), failed [n]: the number of the step after which a state or log-weight was not finite, or -1.
// Shared memory: two tiles of activations, three tiles of d columns, one of one column.
KERNEL em_forward(const Sde *sde, int rows, int ld, int n, int steps, int path_steps, const float *p, const float *packed, const float *units,
                  const float *lengths, const int *observe, unsigned key0, unsigned key1, unsigned long long trajectory, const float *start, float *observed,
                  float *log_weights, float *path, int *failed) {
    const int d = sde->d, blocks = (d + 3) / 4;
    float *a = shared_memory(), *b = a + rows * ld;
    float *x = b + rows * ld, *f = x + rows * d, *g = f + rows * d, *weight = g + rows * d;
    const long long first = (long long)block_index() * rows;
    const int existing = n - first < rows ? (int)(n - first) : rows;
    for (int i = thread_index(); i < rows * d; i += THREADS) x[i] = i < existing * d ? start[first * d + i] : 0.0f;
    int bad = -1;
    if (thread_index() < rows) weight[thread_index()] = 0.0f;
    barrier();
    for (int k = 0; k < steps; ++k) {
        const float h = lengths[k], root_h = lengths[steps + k];
        if (k < path_steps)
            for (int i = thread_index(); i < existing * d; i += THREADS) path[((long long)k * n + first) * d + i] = x[i];
#pragma unroll 1
        for (int which = DRIFT; which <= GROWTH; ++which) {
            const Net *net = net_of(sde, which);
            if (net->layers == 0) continue;
            standardise(x, units, rows, existing, d, a, ld);
            const float *out = net_forward<false>(net, net->layers, p, packed + packed_of(sde, which), rows, a, b, ld, Kept{});
            if (which == DRIFT)
                for (int i = thread_index(); i < existing * d; i += THREADS) f[i] = units[2 * d + i % d] * out[i / d * ld + i % d];
            else if (which == NOISE)
                for (int i = thread_index(); i < existing * d; i += THREADS) g[i] = units[3 * d + i % d] * softplus(out[i / d * ld + i % d]);
            else if (thread_index() < existing)
                weight[thread_index()] += sde->growth_unit * hyperbolic_tangent(out[thread_index() * ld]) * h;
            barrier();
        }
        for (int i = thread_index(); i < existing * blocks; i += THREADS) {
            const int r = i / blocks, block = i % blocks;
            float z[4];
            normals(block, k, trajectory + first + r, key0, key1, z);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int c = 4 * block + j;
                if (c < d) x[r * d + c] += f[r * d + c] * h + g[r * d + c] * (z[j] * root_h);
            }
        }
        barrier();
        if (thread_index() < existing && bad < 0) {
            const int r = thread_index();
            bool good = finite(weight[r]);
            for (int c = 0; c < d; ++c) good = good && finite(x[r * d + c]);
            if (!good) bad = k;
        }
        const int seen = observe[k];
        if (seen >= 0) {
            for (int i = thread_index(); i < existing * d; i += THREADS) observed[((long long)seen * n + first) * d + i] = x[i];
            if (thread_index() < existing) log_weights[(long long)seen * n + first + thread_index()] = weight[thread_index()];
        }
    }
    if (thread_index() < existing) failed[first + thread_index()] = bad;
}

// Steps last - 1 down to begin of the way back, for a chunk whose kept layers fit the memory. lambda [n, d] and omega [n] are the
// adjoints of states and log-weights after the chunk, and then before it. The rows of a chunk are numbered (step - begin) n + row.
// `back` is packed for the way back. drift, noise and growth hold the inputs and adjoints of every layer (see `Kept`); `layer_gradient` sums over them.
// Shared memory: two tiles of activations, two tiles of d columns.
KERNEL em_backward(const Sde *sde, int rows, int ld, int n, int steps, int begin, int last, const float *p, const float *packed, const float *back,
                   const float *units, const float *lengths, const int *observe, unsigned key0, unsigned key1, unsigned long long trajectory, const float *path, const float *state_bar,
                   const float *weight_bar, float *lambda, float *omega, float *drift, float *noise, float *growth) {
    const int d = sde->d, blocks = (d + 3) / 4;
    float *a = shared_memory(), *b = a + rows * ld;
    float *l = b + rows * ld, *total = l + rows * d;
    const long long chunk = (long long)(last - begin) * n;
    const long long first = (long long)block_index() * rows;
    const int existing = n - first < rows ? (int)(n - first) : rows;
    for (int i = thread_index(); i < rows * d; i += THREADS) total[i] = i < existing * d ? lambda[first * d + i] : 0.0f;
    float w = thread_index() < existing ? omega[first + thread_index()] : 0.0f;
    for (int k = last - 1; k >= begin; --k) {
        const float h = lengths[k], root_h = lengths[steps + k];
        const float *x = path + ((long long)k * n + first) * d;
        const long long at = (long long)(k - begin) * n + first;
        const int seen = observe[k];
        for (int i = thread_index(); i < existing * d; i += THREADS) {
            l[i] = total[i] + (seen >= 0 ? state_bar[((long long)seen * n + first) * d + i] : 0.0f);
            total[i] = l[i];
        }
        if (seen >= 0 && thread_index() < existing) w += weight_bar[(long long)seen * n + first + thread_index()];

#pragma unroll 1
        for (int which = DRIFT; which <= GROWTH; ++which) {
            const Net *net = net_of(sde, which);
            if (net->layers == 0) continue;
            const Kept tile = {which == DRIFT ? drift : which == NOISE ? noise : growth, chunk, at, existing};
            standardise(x, units, rows, existing, d, a, ld);
            // What the drift's last layer gives is not needed.
            const long long weights = packed_of(sde, which);
            float *out = net_forward<true>(net, which == DRIFT ? net->layers - 1 : net->layers, p, packed + weights, rows, a, b, ld, tile);
            if (which == DRIFT) {
                // The adjoint of the outputs is unit h lambda.
                for (int i = thread_index(); i < rows * padded(d); i += THREADS) {
                    const int r = i / padded(d), c = i % padded(d);
                    out[r * ld + c] = r < existing && c < d ? units[2 * d + c] * (h * l[r * d + c]) : 0.0f;
                }
            } else if (which == NOISE) {
                // That of g is lambda dw, and that of its net's outputs has the slope of softplus.
                for (int i = thread_index(); i < rows * blocks; i += THREADS) {
                    const int r = i / blocks, block = i % blocks;
                    float z[4] = {};
                    if (r < existing) normals(block, k, trajectory + first + r, key0, key1, z);
#pragma unroll
                    for (int j = 0; j < 4; ++j) {
                        const int c = 4 * block + j;
                        if (c < d) out[r * ld + c] = r < existing ? units[3 * d + c] * (l[r * d + c] * (z[j] * root_h)) * logistic(out[r * ld + c]) : 0.0f;
                    }
                }
            } else if (thread_index() < rows) {
                const float rate = hyperbolic_tangent(out[thread_index() * ld]);
                out[thread_index() * ld] = thread_index() < existing ? sde->growth_unit * (h * w) * (1.0f - rate * rate) : 0.0f;
            }
            const float *bar = net_backward(net, back + weights, rows, out, out == a ? b : a, ld, tile);
            if (net->width[0] > 0)
                for (int i = thread_index(); i < existing * d; i += THREADS) total[i] += bar[i / d * ld + i % d] * units[d + i % d];
            barrier();
        }
    }
    for (int i = thread_index(); i < existing * d; i += THREADS) lambda[first * d + i] = total[i];
    if (thread_index() < existing) omega[first + thread_index()] = w;
}
