// The second stage of gradients of parameters.
#include "shared.cuh"
#include "math.cuh"

// total [parameters] is the sum of the slabs [splits, parameters], in their order.
KERNEL add_slabs(int splits, int parameters, const float *slabs, float *total) {
    for (int i = block_index() * THREADS + thread_index(); i < parameters; i += block_count() * THREADS) {
        float sum = 0.0f;
        for (int s = 0; s < splits; ++s) sum += slabs[(long long)s * parameters + i];
        total[i] = sum;
    }
}
