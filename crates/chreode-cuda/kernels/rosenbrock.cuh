// A step of Rodas5P [Ste23]: linearly implicit, L-stable, order 5(4); the linear systems by LU with row exchanges, one a thread.
#pragma once
#include "adaptive.cuh"

// Element (i, j) of a thread's matrix of d columns is at[(i d + j) stride].
struct Matrix {
    float *at;
    long long stride;
    int d;
};

DEVICE float &element(const Matrix &m, int i, int j) { return m.at[(long long)(i * m.d + j) * m.stride]; }

// Row i: weights of the stages before it in the argument of stage i; the last row but for its end is the solution's.
DEVICE float rodas_argument(int i, int j) {
    static constexpr float a[8][7] = {
        {},
        {3.0f},
        {2.849394379747939f, 0.45842242204463923f},
        {-6.954028509809101f, 2.489845061869568f, -10.358996098473584f},
        {2.8029986275628964f, 0.5072464736228206f, -0.3988312541770524f, -0.04721187230404641f},
        {-7.502846399306121f, 2.561846144803919f, -11.627539656261098f, -0.18268767659942256f, 0.030198172008377946f},
        {-7.502846399306121f, 2.561846144803919f, -11.627539656261098f, -0.18268767659942256f, 0.030198172008377946f, 1.0f},
        {-7.502846399306121f, 2.561846144803919f, -11.627539656261098f, -0.18268767659942256f, 0.030198172008377946f, 1.0f, 1.0f},
    };
    return a[i][j];
}

// Row i: weights of the stages before it on the right-hand side, over h.
DEVICE float rodas_coupling(int i, int j) {
    static constexpr float c[8][7] = {
        {},
        {-14.155112264123755f},
        {-17.97296035885952f, -2.859693295451294f},
        {147.12150275711716f, -1.41221402718213f, 71.68940251302358f},
        {165.43517024871676f, -0.4592823456491126f, 42.90938336958603f, -5.961986721573306f},
        {24.854864614690072f, -3.0009227002832186f, 47.4931110020768f, 5.5814197821558125f, -0.6610691825249471f},
        {30.91273214028599f, -3.1208243349937974f, 77.79954646070892f, 34.28646028294783f, -19.097331116725623f, -28.087943162872662f},
        {37.80277123390563f, -3.2571969029072276f, 112.26918849496327f, 66.9347231244047f, -40.06618937091002f, -54.66780262877968f,
         -9.48861652309627f},
    };
    return c[i][j];
}

DEVICE double rodas_node(int i) {
    static constexpr double c[8] = {0.0, 0.6358126895828704, 0.4095798393397535, 0.9769306725060716, 0.4288403609558664, 1.0, 1.0, 1.0};
    return c[i];
}

// Weight of h df/dt.
DEVICE float rodas_time_weight(int i) {
    static constexpr float d[8] = {0.21193756319429014f, -0.42387512638858027f, -0.3384627126235924f, 1.8046452872882734f, 2.325825639765069f,
                                   0.0f,                 0.0f,                  0.0f};
    return d[i];
}

// Factors m in place with row exchanges, whose numbers go to `exchanges`. False if it is singular or not finite.
DEVICE bool factor(const Matrix &m, float *exchanges) {
    for (int k = 0; k < m.d; ++k) {
        int pivot = k;
        float largest = magnitude(element(m, k, k));
        for (int i = k + 1; i < m.d; ++i) {
            const float v = magnitude(element(m, i, k));
            if (v > largest) {
                largest = v;
                pivot = i;
            }
        }
        if (!(largest > 0.0f && finite(largest))) return false;
        exchanges[k * THREADS] = (float)pivot;
        if (pivot != k)
            for (int j = 0; j < m.d; ++j) {
                const float v = element(m, k, j);
                element(m, k, j) = element(m, pivot, j);
                element(m, pivot, j) = v;
            }
        const float inverse = 1.0f / element(m, k, k);
        for (int i = k + 1; i < m.d; ++i) {
            const float below = element(m, i, k) * inverse;
            element(m, i, k) = below;
            for (int j = k + 1; j < m.d; ++j) element(m, i, j) = fused(-below, element(m, k, j), element(m, i, j));
        }
        element(m, k, k) = inverse;
    }
    return true;
}

// Solves with what `factor` left; b becomes the solution.
DEVICE void solve_factored(const Matrix &m, const float *exchanges, float *b) {
    for (int k = 0; k < m.d; ++k) {
        const int pivot = (int)exchanges[k * THREADS];
        const float v = b[pivot * THREADS];
        b[pivot * THREADS] = b[k * THREADS];
        b[k * THREADS] = v;
    }
    for (int i = 1; i < m.d; ++i) {
        float sum = b[i * THREADS];
        for (int j = 0; j < i; ++j) sum = fused(-element(m, i, j), b[j * THREADS], sum);
        b[i * THREADS] = sum;
    }
    for (int i = m.d - 1; i >= 0; --i) {
        float sum = b[i * THREADS];
        for (int j = i + 1; j < m.d; ++j) sum = fused(-element(m, i, j), b[j * THREADS], sum);
        b[i * THREADS] = sum * element(m, i, i);
    }
}

// The method, for `solve_row`. A field has `void jacobian(double t, const float *y, const Matrix &m, float *slope) const` beside its call, which sets every
// element to df_i/dy_j, and `constexpr static bool TIMED`: whether it depends on t; then it sets `slope` to df/dt too.
struct Rodas {
    constexpr static int ORDER = 5, K = 0, K1 = 1, Y = 8, NEXT = 9, EXCHANGES = 10, SLOPE = 11;
    float *slots;
    Matrix matrix;
    float rtol, atol;

    DEVICE_MEMBER void accept() {}

    template <class Field> DEVICE_MEMBER float step(const Field &f, double t, double tried) {
        const int d = matrix.d;
        float *y = vector_slot(slots, d, Y), *stage = vector_slot(slots, d, NEXT), *u = slots;
        float *exchanges = vector_slot(slots, d, EXCHANGES), *slope = vector_slot(slots, d, SLOPE);
        const float h = (float)tried, per_h = (float)(1.0 / tried), diagonal = (float)(1.0 / (0.21193756319429014 * tried));
        const float not_a_number = bits_to_float(0x7fc00000u);
        f(t, y, u);
        f.jacobian(t, y, matrix, slope);
        for (int i = 0; i < d; ++i)
            for (int j = 0; j < d; ++j) element(matrix, i, j) = (i == j ? diagonal : 0.0f) - element(matrix, i, j);
        if (!factor(matrix, exchanges)) return not_a_number;
        for (int s = 0; s < 8; ++s) {
            float *us = u + (long long)s * d * THREADS;
            if (s > 0) {
                for (int i = 0; i < d; ++i) {
                    float sum = y[i * THREADS];
                    for (int j = 0; j < s; ++j) sum = fused(rodas_argument(s, j), u[(j * d + i) * THREADS], sum);
                    stage[i * THREADS] = sum;
                }
                f(t + rodas_node(s) * tried, stage, us);
                for (int i = 0; i < d; ++i) {
                    float sum = 0.0f;
                    for (int j = 0; j < s; ++j) sum = fused(rodas_coupling(s, j), u[(j * d + i) * THREADS], sum);
                    us[i * THREADS] = fused(per_h, sum, us[i * THREADS]);
                }
            }
            if (Field::TIMED) {
                const float weight = rodas_time_weight(s) * h;
                for (int i = 0; i < d; ++i) us[i * THREADS] = fused(weight, slope[i * THREADS], us[i * THREADS]);
            }
            solve_factored(matrix, exchanges, us);
        }
        // The last stage is the error, and is added to its argument.
        ErrorNorm norm = {rtol, atol, 0.0f};
        for (int i = 0; i < d; ++i) {
            const float last = u[(7 * d + i) * THREADS];
            stage[i * THREADS] += last;
            include(norm, last, y[i * THREADS], stage[i * THREADS]);
        }
        return mean_root(norm, d);
    }
};
