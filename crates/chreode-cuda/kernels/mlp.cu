// Perceptrons on n rows.
#include "mlp.cuh"

// y [n, out] from x [n, in]; a block owns `rows` rows. Shared memory: two tiles of activations (one in a large tile).
VARIANT_KERNEL mlp_forward(const Net *net, int rows, int ld, int n, const float *p, const float *packed, const float *x, float *y) {
    rows = rows_of_tile(rows);
    ld = distance_of_rows(ld);
    float *a = shared_memory(), *b = other_tile(a, rows, ld);
    {
        const int inputs = net->width[0], first = block_index() * rows;
        load_rows<false>(x + (long long)first * inputs, rows, smaller_int(n - first, rows), inputs, a, ld);
    }
    const float *out = net_forward<false>(net, net->layers, p, packed, rows, a, b, ld, Kept{});
    // Asked for again: it held no register meanwhile.
    const int outputs = net->width[net->layers], first = opaque(block_index()) * rows;
    store_rows(out, ld, smaller_int(n - first, rows), outputs, y + (long long)first * outputs);
}
