// The device language for clang, without any header of NVIDIA: included before every kernel file when PTX is made.
// `chreode-cuda-cpu/driver/shim.h` says the same for g++. Kernels use what both define, and nothing else.
#pragma once

#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __shared__ __attribute__((shared))
#define __launch_bounds__(n, blocks) __attribute__((launch_bounds(n, blocks)))

// Blocks that a multiprocessor shall have room for: what follows of a kernel file may have another number.
#define BLOCKS_AT_ONCE 1
#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_AT_ONCE)
// Kernels that are compiled for every VARIANT, or for those without a large tile, with the variant's name behind their own.
#define VARIANT_KERNEL extern "C" __global__ void __launch_bounds__(NET_THREADS, BLOCKS_AT_ONCE)
#define PRECISION_KERNEL VARIANT_KERNEL
#define DEVICE_MEMBER inline __device__ __attribute__((always_inline))
#define DEVICE static inline __device__ __attribute__((always_inline))

DEVICE int thread_index() { return __nvvm_read_ptx_sreg_tid_x(); }
DEVICE int block_index() { return __nvvm_read_ptx_sreg_ctaid_x(); }
DEVICE int block_index_y() { return __nvvm_read_ptx_sreg_ctaid_y(); }
DEVICE int block_count() { return __nvvm_read_ptx_sreg_nctaid_x(); }

// All threads of a block arrive before one leaves.
DEVICE void barrier() { __syncthreads(); }

// The dynamic shared memory of the block.
extern __shared__ __attribute__((aligned(16))) float dynamic_shared[];
DEVICE float *shared_memory() { return dynamic_shared; }

// The value of the lane whose number differs by `mask`; all 32 lanes take part.
DEVICE float shuffle_xor(float v, int mask) { return __nvvm_shfl_sync_bfly_f32(0xffffffffu, v, mask, 31); }

// The value of the lane `from`, and the bits of the lanes for which v holds; all 32 lanes take part.
DEVICE unsigned shuffle(unsigned v, int from) { return __nvvm_shfl_sync_idx_i32(0xffffffffu, v, from, 31); }
DEVICE unsigned ballot(bool v) { return __nvvm_vote_ballot_sync(0xffffffffu, v); }
// The number of the lowest bit that is set; one is.
DEVICE int lowest_bit(unsigned v) { return __builtin_ctz(v); }

DEVICE unsigned high_product(unsigned a, unsigned b) { return ((unsigned long long)a * b) >> 32; }
DEVICE float bits_to_float(unsigned v) { return __builtin_bit_cast(float, v); }
DEVICE unsigned float_to_bits(float v) { return __builtin_bit_cast(unsigned, v); }
DEVICE float fused(float a, float b, float c) { return __nvvm_fma_rn_f(a, b, c); }
// 1 / v for v from 1 to 4, within a unit of rounding: no case to look after, so that several go on side by side.
DEVICE float reciprocal(float v) {
    const float r = __nvvm_rcp_approx_ftz_f(v);
    return fused(fused(-v, r, 1.0f), r, r);
}
DEVICE float root(float v) { return __nvvm_sqrt_rn_f(v); }

struct __attribute__((aligned(8))) Two { unsigned x, y; };
struct __attribute__((aligned(8))) Pair { float x, y; };
struct __attribute__((aligned(16))) Four { float x, y, z, w; };

// c [16][8] += a [16][8] b [8][8] of a warp, factors in TF32, sums in f32. A lane holds, with g = lane / 4 and t = lane % 4:
// a[g][t], a[g + 8][t], a[g][t + 4], a[g + 8][t + 4]; b[t][g], b[t + 4][g]; c[g][2t], c[g][2t + 1], c[g + 8][2t], c[g + 8][2t + 1].
#define TENSOR_CORES
DEVICE void multiply_add(float c[4], const unsigned a[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The address of shared memory that `load_matrices` takes, in bytes.
DEVICE unsigned shared_address(const float *p) {
    unsigned at;
    asm("{ .reg .u64 p; cvta.to.shared.u64 p, %1; cvt.u32.u64 %0, p; }" : "=r"(at) : "l"(p));
    return at;
}

// a [16][8] of a warp as `multiply_add` takes it, from rows in shared memory: lane l gives the address of a[l % 16][4 (l / 16)], a multiple of 16 bytes.
DEVICE void load_matrices(unsigned a[4], unsigned at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(a[0]), "=r"(a[1]), "=r"(a[2]), "=r"(a[3]) : "r"(at));
}

// Brings what lies around the address into the second-level cache, beside the arithmetic.
DEVICE void prefetch(const float *p) { asm volatile("prefetch.global.L2 [%0];" : : "l"(p)); }

// Copies of shared memory from memory that go on beside the arithmetic: four numbers, at multiples of 16 bytes, or one; zeros where the source is not
// `there`. They go in groups: what was begun since the last `copies_begun` is one.
DEVICE void copy_four(float *to, const float *from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(shared_address(to)), "l"(from), "r"(there ? 16 : 0) : "memory");
}
DEVICE void copy_one(float *to, const float *from, bool there) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" : : "r"(shared_address(to)), "l"(from), "r"(there ? 4 : 0) : "memory");
}
DEVICE void copies_begun() { asm volatile("cp.async.commit_group;" : : : "memory"); }
// Waits for this thread's groups but the last `GROUPS`; others see what they brought after a barrier.
template <int GROUPS> DEVICE void copies_arrived() { asm volatile("cp.async.wait_group %0;" : : "n"(GROUPS) : "memory"); }

// `multiply_add` for a [16][16] and b [16][8] in bfloat16, two in a word, the first in the lower half: a[g][k], a[g + 8][k], a[g][k + 8], a[g + 8][k + 8]
// for k = 2t and 2t + 1; b[k][g], b[k + 8][g].
DEVICE void multiply_add_bf16(float c[4], const unsigned a[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two numbers in bfloat16, the first in the lower half.
DEVICE unsigned pair_bf16(float first, float second) {
    unsigned v;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(v) : "f"(second), "f"(first));
    return v;
}

// A place that is one for each of these numbers: what stands before and behind it in one branch is not joined with the like of another, which would
// hold the registers of both.
template <int A, int B> DEVICE void apart() { asm volatile("// %0 %1" : : "n"(A), "n"(B) : "memory"); }

// The same number, of which the compiler knows nothing: what follows from it is computed after this, and kept in no register before.
DEVICE int opaque(int v) {
    asm volatile("" : "+r"(v));
    return v;
}
