// Brownian increments: Philox4x32-10 [SMDS11] keyed by the seed and counted by (block of coordinates, step, trajectory),
// then Box-Muller. The words are those of `chreode-core`, the normals to rounding.
#pragma once
#include "math.cuh"

struct Words {
    unsigned w[4];
};

DEVICE Words philox(unsigned c0, unsigned c1, unsigned c2, unsigned c3, unsigned k0, unsigned k1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const unsigned high0 = high_product(0xd2511f53u, c0), low0 = 0xd2511f53u * c0;
        const unsigned high1 = high_product(0xcd9e8d57u, c2), low1 = 0xcd9e8d57u * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return {{c0, c1, c2, c3}};
}

DEVICE void normal_pair(unsigned a, unsigned b, float &x, float &y) {
    const float u = ((float)a + 0.5f) * 2.3283064365386963e-10f;
    const float r = root(larger(-2.0f * log_unit(u), 0.0f));
    float c, s;
    cos_sin_turn(b, c, s);
    x = r * c;
    y = r * s;
}

// Four normals: coordinates 4 block to 4 block + 3 of a trajectory's step.
DEVICE void normals(unsigned block, unsigned step, unsigned long long trajectory, unsigned k0, unsigned k1, float z[4]) {
    const Words v = philox(block, step, (unsigned)trajectory, (unsigned)(trajectory >> 32), k0, k1);
    normal_pair(v.w[0], v.w[1], z[0], z[1]);
    normal_pair(v.w[2], v.w[3], z[2], z[3]);
}
