// The first half of the discrete adjoint of Euler-Maruyama: the layers of some steps, computed again from the states before them. Steps do not wait for each
// other here, so that a block reads weights for many rows.
#include "euler_maruyama.cuh"

// Layers of `total` rows, `n` a step from `begin` on, of the states in path [steps, n, d], as the way back wants them (see `Kept`): of each net the inputs of
// every layer and the slopes of hidden ones, and what the nets of noise and growth give, in the place of their last layer's adjoints. `block_index_y()` is
// the net. Units and lengths are those of `euler_maruyama.cu`.
// Shared memory: two tiles of activations (one in a large tile).
VARIANT_KERNEL em_layers(const Sde *sde, int rows, int ld, int n, int total, int steps, int begin, const float *p, const float *packed,
                  const float *units, const float *lengths, const float *path, float *drift, float *noise, float *growth) {
    rows = rows_of_tile(rows);
    ld = distance_of_rows(ld);
    const int which = block_index_y();
    const Net *net = net_of(sde, which);
    if (net->layers == 0) return;
    const Rows own = own_rows(total, rows);
    const Kept tile = {which == DRIFT ? drift : which == NOISE ? noise : growth, total, own.first, own.existing};
    float *a = shared_memory(), *b = other_tile(a, rows, ld);
    const float *x = path + ((long long)begin * n + own.first) * dim_of(sde);
    standardise<true>(sde, net, x, units, lengths, steps, begin, n, own.first, rows, own.existing, a, ld);
    // What the drift's last layer gives is not needed.
    const float *out = net_forward<true>(net, which == DRIFT ? net->layers - 1 : net->layers, p, packed + packed_of(sde, which), rows, a, b, ld, tile);
    if (which != DRIFT) store_rows(out, ld, tile.rows, net->width[net->layers], kept_adjoints(net, tile, net->layers - 1));
}
