// Perceptrons on n rows.
#include "mlp.cuh"

// y [n, out] from x [n, in]; a block owns `rows` rows. Shared memory: two tiles of activations (one in a large tile).
VARIANT_KERNEL mlp_forward(const Net *net, int rows, int ld, int n, const float *p, const float *packed, const float *x, float *y) {
    float *a = shared_memory(), *b = other_tile(a, rows, ld);
    const int inputs = net->width[0], outputs = net->width[net->layers];
    const int first = block_index() * rows, existing = smaller_int(n - first, rows);
    load_rows(x + (long long)first * inputs, rows, existing, inputs, a, ld);
    const float *out = net_forward<false>(net, net->layers, p, packed, rows, a, b, ld, Kept{});
    store_rows(out, ld, existing, outputs, y + (long long)first * outputs);
}
