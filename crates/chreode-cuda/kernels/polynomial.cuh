// Polynomial fields: dy = sum over the terms of p[term] times the product of the term's factors, times its effects. Mass action is one.
#pragma once
#include "shared.cuh"

struct PolynomialField {
    constexpr static bool TIMED = false;
    int d, count;
    const int *factor_starts, *factors, *effect_starts, *effect_rows;
    const float *effects, *p;

    DEVICE_MEMBER void operator()(double, const float *y, float *dy) const {
        for (int i = 0; i < d; ++i) dy[i * THREADS] = 0.0f;
        for (int t = 0; t < count; ++t) {
            float rate = p[t];
            for (int f = factor_starts[t]; f < factor_starts[t + 1]; ++f) rate *= y[factors[f] * THREADS];
            for (int e = effect_starts[t]; e < effect_starts[t + 1]; ++e) {
                float *to = dy + effect_rows[e] * THREADS;
                *to = fused(effects[e], rate, *to);
            }
        }
    }
};
