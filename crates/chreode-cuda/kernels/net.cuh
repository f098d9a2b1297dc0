// Weights of a perceptron: how they are rounded, and where they lie when they are packed.
#pragma once
#include "math.cuh"
#include "shared.cuh"

DEVICE int padded(int width) { return (width + STAGE - 1) / STAGE * STAGE; }

// The nearest number with the 10 bits that TF32 has.
DEVICE float rounded(float v) { return bits_to_float((float_to_bits(v) + 0x1000u) & 0xffffe000u); }

// The nearest number with the 7 bits that bfloat16 has, to even where two are.
DEVICE float rounded_bf16(float v) {
    const unsigned bits = float_to_bits(v);
    return v == v ? bits_to_float((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u) : v;
}

// Numbers of a net's packed weights, whichever way.
DEVICE long long packed_size(const Net *net) {
    long long size = 0;
    for (int l = 0; l < net->layers; ++l) size += (long long)padded(net->width[l]) * padded(net->width[l + 1]);
    return size;
}

// Where the packed weights of a layer begin.
DEVICE long long packed_offset(const Net *net, int layer) {
    long long offset = 0;
    for (int l = 0; l < layer; ++l) offset += (long long)padded(net->width[l]) * padded(net->width[l + 1]);
    return offset;
}

// Of a product with `outs` outputs, weight (column, k) is number packed_place(..) of its layer: [k / 8][column][k % 4][k / 4 % 2], so that what a warp
// multiplies in a stage lies together, and what a lane does. In bfloat16 a stage has sixteen inputs.
DEVICE long long packed_place(int precision, int outs, int column, int k) {
    const int stage = precision == PRECISION_BF16 ? 16 : 8;
    return ((long long)(k / stage) * padded(outs) + column) * stage + k % 4 * (stage / 4) + k % stage / 4;
}

// Packs a net's weights by the blocks of a grid, for the forward pass or `transposed` for the way back, rounded as its products round
// them. In bfloat16 they take the first half of a layer's room.
DEVICE void pack(const Net *net, int precision, int transposed, const float *p, float *packed) {
    long long offset = net->offset;
    for (int l = 0; l < net->layers; ++l) {
        const int inner = net->width[l], outs = net->width[l + 1];
        const int k_width = transposed ? outs : inner, columns = transposed ? inner : outs;
        const int all = padded(k_width) * padded(columns);
        for (int i = block_index() * THREADS + thread_index(); i < all; i += block_count() * THREADS) {
            const int column = i / 8 % padded(columns), k = i / 8 / padded(columns) * 8 + i % 8;
            const long long at = packed_place(precision, columns, column, k);
            const int in = transposed ? column : k, out = transposed ? k : column;
            const float w = in < inner && out < outs ? p[offset + (long long)out * inner + in] : 0.0f;
            if (precision == PRECISION_BF16) ((unsigned short *)packed)[at] = (unsigned short)(float_to_bits(rounded_bf16(w)) >> 16);
            else packed[at] = precision == PRECISION_TF32 ? rounded(w) : w;
        }
        packed += all;
        offset += (long long)outs * (inner + 1);
    }
}

// The nets of an equation.
constexpr int DRIFT = 0, NOISE = 1, GROWTH = 2;
DEVICE const Net *net_of(const Sde *sde, int which) { return which == DRIFT ? &sde->drift : which == NOISE ? &sde->noise : &sde->growth; }

// Where the packed weights of a net begin in those of the equation.
DEVICE long long packed_of(const Sde *sde, int which) {
    long long offset = 0;
    for (int before = DRIFT; before < which; ++before) offset += packed_size(net_of(sde, before));
    return offset;
}
