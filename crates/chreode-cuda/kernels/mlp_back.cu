// The way back through perceptrons on n rows.
#include "mlp.cuh"

// x_bar [n, in] from y_bar [n, out]; `back` is packed for the way back. Leaves in `kept` the inputs and adjoints of every layer for `layer_gradient`.
PRECISION_KERNEL mlp_backward(const Net *net, int rows, int ld, int n, const float *p, const float *packed, const float *back, const float *x,
                    const float *y_bar, float *x_bar, float *kept) {
    float *a = shared_memory(), *b = other_tile(a, rows, ld);
    const int inputs = net->width[0], outputs = net->width[net->layers];
    const int first = block_index() * rows, existing = smaller_int(n - first, rows);
    const Kept tile = {kept, n, first, existing};
    load_rows<true>(x + (long long)first * inputs, rows, existing, inputs, a, ld);
    net_forward<true>(net, net->layers - 1, p, packed, rows, a, b, ld, tile);
    load_rows<true>(y_bar + (long long)first * outputs, rows, existing, outputs, a, ld);
    const float *bar = net_backward(net, back, rows, a, b, ld, tile);
    store_rows(bar, ld, existing, inputs, x_bar + (long long)first * inputs);
}
