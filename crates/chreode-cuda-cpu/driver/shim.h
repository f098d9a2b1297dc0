// The device language for g++: included before every kernel file. `chreode-cuda/kernels/device.cuh` says the same for clang.
// A thread of a block is a fiber, and a barrier gives the processor to the next one.
#pragma once
#include <cmath>
#include <cstring>

#define KERNEL extern "C" void
#define VARIANT_KERNEL KERNEL
#define PRECISION_KERNEL KERNEL
#define DEVICE_MEMBER inline __attribute__((always_inline))
#define DEVICE static inline __attribute__((always_inline))

// Where the running fiber stands; `fibers.cpp`.
struct Place {
    int thread, block, block_y, blocks;
    float *shared;
};
extern "C" Place *standin_place();
extern "C" void standin_barrier();
extern "C" unsigned standin_shuffle(unsigned v, int from);
extern "C" unsigned standin_ballot(bool v);

DEVICE int thread_index() { return standin_place()->thread; }
DEVICE int block_index() { return standin_place()->block; }
DEVICE int block_index_y() { return standin_place()->block_y; }
DEVICE int block_count() { return standin_place()->blocks; }
DEVICE float *shared_memory() { return standin_place()->shared; }
DEVICE void barrier() { standin_barrier(); }

DEVICE unsigned high_product(unsigned a, unsigned b) { return ((unsigned long long)a * b) >> 32; }
DEVICE float bits_to_float(unsigned v) {
    float f;
    std::memcpy(&f, &v, 4);
    return f;
}
DEVICE unsigned float_to_bits(float v) {
    unsigned u;
    std::memcpy(&u, &v, 4);
    return u;
}
DEVICE unsigned shuffle(unsigned v, int from) { return standin_shuffle(v, from); }
DEVICE float shuffle_xor(float v, int mask) { return bits_to_float(shuffle(float_to_bits(v), (thread_index() % 32) ^ mask)); }
DEVICE unsigned ballot(bool v) { return standin_ballot(v); }
DEVICE int lowest_bit(unsigned v) { return __builtin_ctz(v); }
DEVICE float fused(float a, float b, float c) { return std::fma(a, b, c); }
DEVICE float reciprocal(float v) { return 1.0f / v; }
DEVICE float root(float v) { return std::sqrt(v); }
DEVICE int opaque(int v) { return v; }

// Of generated kernels alone, as `nvrtc.cuh` has them.
DEVICE float sine(float v) { return std::sin(v); }
DEVICE float cosine(float v) { return std::cos(v); }
DEVICE float floor_of(float v) { return std::floor(v); }
DEVICE float logarithm_of(float v) { return std::log(v); }
DEVICE float power_of(float x, float p) { return x < 0.0f ? NAN : std::pow(x, p); }

DEVICE void prefetch(const float *) {}
// Copies beside the arithmetic are done at once.
DEVICE void copy_one(float *to, const float *from, bool there) { *to = there ? *from : 0.0f; }
DEVICE void copy_four(float *to, const float *from, bool there) {
    for (int i = 0; i < 4; ++i) copy_one(to + i, from + i, there);
}
DEVICE void copies_begun() {}
template <int GROUPS> DEVICE void copies_arrived() {}

struct alignas(8) Pair {
    float x, y;
};
struct alignas(16) Four {
    float x, y, z, w;
};

#ifdef STANDIN_TENSOR_CORES
#include "tensor.h"
#endif
