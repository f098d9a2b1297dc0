// Brownian increments as an array, and the words they are made of: what tests compare with the processor's.
#include "shared.cuh"
#include "philox.cuh"

// dw [n, d]: increments of variance scale^2; one thread a block of four coordinates.
KERNEL brownian_increments(int n, int d, unsigned step, unsigned long long first, unsigned key0, unsigned key1, float scale, float *dw) {
    const int blocks = (d + 3) / 4;
    const long long total = (long long)n * blocks;
    for (long long i = (long long)block_index() * THREADS + thread_index(); i < total; i += (long long)block_count() * THREADS) {
        const int row = (int)(i / blocks), block = (int)(i % blocks);
        float z[4];
        normals(block, step, first + row, key0, key1, z);
#pragma unroll
        for (int k = 0; k < 4; ++k)
            if (4 * block + k < d) dw[(long long)row * d + 4 * block + k] = z[k] * scale;
    }
}

// words [n, 4] of the counters [n, 4].
KERNEL philox_words(int n, unsigned key0, unsigned key1, const unsigned *counters, unsigned *words) {
    for (int i = block_index() * THREADS + thread_index(); i < n; i += block_count() * THREADS) {
        const unsigned *c = counters + 4 * (long long)i;
        const Words v = philox(c[0], c[1], c[2], c[3], key0, key1);
#pragma unroll
        for (int k = 0; k < 4; ++k) words[4 * (long long)i + k] = v.w[k];
    }
}
