// What both ways through the steps of a stochastic equation share.
#pragma once
#include "mlp.cuh"
#include "philox.cuh"

// What is asked for again where it is used, and what follows from it, holds no register while a net runs.

// The block's first row, and how many it has.
struct Rows {
    int first, existing;
};
DEVICE Rows own_rows(int n, int rows) {
    const int first = opaque(block_index()) * rows;
    return {first, smaller_int(n - first, rows)};
}

// Coordinates of a state.
DEVICE int dim_of(const Sde *sde) { return opaque(sde->d); }

// Tile `number` of d columns, behind those of activations.
DEVICE float *state_tile(int number, int rows, int ld, int d) { return shared_memory() + (LARGE ? 1 : 2) * rows * ld + number * rows * d; }

// Inputs of a net: the state, standardised, and behind it what the net sees of the row's step, which stands behind the lengths, [steps, inputs - d]. None
// for a net of no inputs. All rows are of step `k`, and for products alone; or with KEEP they are those of a chunk from `first` on, `n` a step, which
// begins with step `k`.
template <bool KEEP>
DEVICE void standardise(const Sde *sde, const Net *net, const float *x, const float *units, const float *lengths, int steps, int k, int n, int first, int rows,
                        int existing, float *a, int ld) {
    const int d = dim_of(sde), inputs = net->width[0], columns = padded(inputs);
    const float *seen = lengths + 2 * (long long)steps + (long long)k * (inputs - d);
    for (int i = own_thread(); i < rows * columns; i += NET_THREADS) {
        const int r = i / columns, c = i % columns;
        float v = 0.0f;
        if (r < existing && c < d) v = (x[r * d + c] - units[c]) * units[d + c];
        else if (r < existing && c < inputs) v = seen[(KEEP ? (long long)((first + r) / n) * (inputs - d) : 0) + c - d];
        a[r * ld + c] = for_product<KEEP>(v);
    }
}
