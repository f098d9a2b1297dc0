// The tensor cores' operations, lane by lane as they are documented: what a lane multiplies comes from the others of its warp. They see of a number what
// TF32 or bfloat16 holds, and nothing else. `chreode-cuda/kernels/device.cuh` has them for clang. Slower by far than `multiply_stage` and the like by plain
// loops, and for tests of what kernels give to the units.
#pragma once
#define TENSOR_CORES
#define __syncthreads() standin_barrier()

struct alignas(8) Two { unsigned x, y; };

// From the beginning of the shared memory, in bytes.
DEVICE unsigned shared_address(const float *p) { return unsigned((const char *)p - (const char *)shared_memory()); }
// Row l % 8 of matrix l / 8 is where lane l says; a lane gets number l % 4 of row l / 4 of each.
DEVICE void load_matrices(unsigned a[4], unsigned at) {
    const int lane = thread_index() % 32;
    for (int i = 0; i < 4; ++i) {
        const unsigned row = shuffle(at, 8 * i + lane / 4);
        std::memcpy(&a[i], (const char *)shared_memory() + row + lane % 4 * 4, 4);
    }
}

DEVICE float tf32(unsigned v) { return bits_to_float(v & 0xffffe000u); }
DEVICE float low_bf16(unsigned v) { return bits_to_float(v << 16); }
DEVICE float high_bf16(unsigned v) { return bits_to_float(v & 0xffff0000u); }

DEVICE void multiply_add(float c[4], const unsigned a[4], unsigned b0, unsigned b1) {
    const int lane = thread_index() % 32, g = lane / 4, t = lane % 4;
    for (int k = 0; k < 4; ++k) {
        float f[4], w[2][2];
        for (int i = 0; i < 4; ++i) f[i] = tf32(shuffle(a[i], 4 * g + k));
        for (int j = 0; j < 2; ++j) {
            w[j][0] = tf32(shuffle(b0, 4 * (2 * t + j) + k));
            w[j][1] = tf32(shuffle(b1, 4 * (2 * t + j) + k));
        }
        for (int e = 0; e < 4; ++e) c[e] += f[e / 2] * w[e % 2][0] + f[2 + e / 2] * w[e % 2][1];
    }
}

DEVICE void multiply_add_bf16(float c[4], const unsigned a[4], unsigned b0, unsigned b1) {
    const int lane = thread_index() % 32, g = lane / 4, t = lane % 4;
    for (int k = 0; k < 4; ++k) {
        unsigned f[4], w[2][2];
        for (int i = 0; i < 4; ++i) f[i] = shuffle(a[i], 4 * g + k);
        for (int j = 0; j < 2; ++j) {
            w[j][0] = shuffle(b0, 4 * (2 * t + j) + k);
            w[j][1] = shuffle(b1, 4 * (2 * t + j) + k);
        }
        for (int e = 0; e < 4; ++e)
            for (int h = 0; h < 2; ++h)
                c[e] += low_bf16(f[2 * h + e / 2]) * low_bf16(w[e % 2][h]) + high_bf16(f[2 * h + e / 2]) * high_bf16(w[e % 2][h]);
    }
}

DEVICE unsigned pair_bf16(float first, float second) {
    const auto one = [](float v) {
        const unsigned bits = float_to_bits(v);
        return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    };
    return one(first) | one(second) << 16;
}
template <int A, int B> DEVICE void apart() {}
