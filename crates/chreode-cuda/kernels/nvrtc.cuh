// The device language for NVRTC, which generated kernels are compiled by: what `device.cuh` is for clang.
#pragma once

#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, 1)
#define DEVICE static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__

DEVICE int thread_index() { return (int)threadIdx.x; }
DEVICE int block_index() { return (int)blockIdx.x; }
DEVICE int block_count() { return (int)gridDim.x; }

extern __shared__ __align__(16) float dynamic_shared[];
DEVICE float *shared_memory() { return dynamic_shared; }

DEVICE unsigned high_product(unsigned a, unsigned b) { return __umulhi(a, b); }
DEVICE float bits_to_float(unsigned v) { return __uint_as_float(v); }
DEVICE unsigned float_to_bits(float v) { return __float_as_uint(v); }
DEVICE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
DEVICE float reciprocal(float v) { return 1.0f / v; }
DEVICE float root(float v) { return __fsqrt_rn(v); }

// Of generated kernels alone.
DEVICE float sine(float v) { return sinf(v); }
DEVICE float cosine(float v) { return cosf(v); }
DEVICE float floor_of(float v) { return floorf(v); }
DEVICE float logarithm_of(float v) { return logf(v); }
// Not a number for a negative base.
DEVICE float power_of(float x, float p) { return x < 0.0f ? bits_to_float(0x7fc00000u) : powf(x, p); }
