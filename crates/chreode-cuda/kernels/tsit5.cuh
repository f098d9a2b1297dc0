// A step of Tsitouras 5(4) [Tsi11]: explicit, seven stages, the last of which is the first of the next step.
#pragma once
#include "adaptive.cuh"

// Stage `s` as a row of the tableau; the last row is the step's end. Coefficients are immediate where s is known.
DEVICE float weight(int s, int j) {
    constexpr float a[7][6] = {
        {},
        {0.161f},
        {-0.008480655492356989f, 0.335480655492357f},
        {2.8971530571054935f, -6.359448489975075f, 4.3622954328695815f},
        {5.325864828439257f, -11.748883564062828f, 7.4955393428898365f, -0.09249506636175525f},
        {5.86145544294642f, -12.92096931784711f, 8.159367898576159f, -0.071584973281401f, -0.028269050394068383f},
        {0.09646076681806523f, 0.01f, 0.4798896504144996f, 1.379008574103742f, -3.290069515436081f, 2.324710524099774f},
    };
    return a[s][j];
}

// Where in the step stage `s` is.
DEVICE double node(int s) {
    constexpr double c[7] = {0.0, 0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0};
    return c[s];
}

DEVICE float error_weight(int j) {
    constexpr float e[7] = {0.00178001105222577714f, 0.0008164344596567469f, -0.007880878010261995f, 0.1447110071732629f,
                            -0.5823571654525552f,    0.45808210592918697f,   -1.0f / 66.0f};
    return e[j];
}

struct Tsit5 {
    constexpr static int ORDER = 5, K = 0, K1 = 1, Y = 7, NEXT = 8;
    float *slots;
    int d;
    float rtol, atol;

    template <class Field>
    DEVICE_MEMBER float step(const Field &f, double t, double h) {
        float *k = slots, *y = vector_slot(slots, d, Y), *next = vector_slot(slots, d, NEXT);
        const float step = (float)h;
#pragma unroll
        for (int s = 1; s < 7; ++s) {
            for (int i = 0; i < d; ++i) {
                float sum = 0.0f;
#pragma unroll
                for (int j = 0; j < s; ++j) sum = fused(weight(s, j), k[(j * d + i) * THREADS], sum);
                next[i * THREADS] = fused(step, sum, y[i * THREADS]);
            }
            f(t + node(s) * h, next, vector_slot(slots, d, K + s));
        }
        ErrorNorm norm = {rtol, atol, 0.0f};
        for (int i = 0; i < d; ++i) {
            float sum = 0.0f;
#pragma unroll
            for (int j = 0; j < 7; ++j) sum = fused(error_weight(j), k[(j * d + i) * THREADS], sum);
            include(norm, step * sum, y[i * THREADS], next[i * THREADS]);
        }
        return mean_root(norm, d);
    }

    // The last stage is the first of the next step.
    DEVICE_MEMBER void accept() {
        for (int i = 0; i < d; ++i) slots[i * THREADS] = slots[(6 * d + i) * THREADS];
    }
};
