// Adam (decoupled decay) and RMSprop, with PyTorch's definitions [KB15, LH19, TH12].
#include "shared.cuh"
#include "math.cuh"

// step = rate / (1 - beta1^k), unbias = 1 / sqrt(1 - beta2^k), keep = 1 - rate decay.
KERNEL adam(int n, float beta1, float rest1, float beta2, float rest2, float epsilon, float step, float unbias, float keep, const float *gradient, float *first,
            float *second, float *p) {
    for (int i = block_index() * THREADS + thread_index(); i < n; i += block_count() * THREADS) {
        const float g = gradient[i];
        const float m = beta1 * first[i] + rest1 * g, v = beta2 * second[i] + rest2 * g * g;
        first[i] = m;
        second[i] = v;
        p[i] = keep * p[i] - step * m / (root(v) * unbias + epsilon);
    }
}

// No velocities are kept without momentum.
KERNEL rmsprop(int n, float alpha, float rest, float epsilon, float rate, float momentum, const float *gradient, float *velocity, float *second, float *p) {
    for (int i = block_index() * THREADS + thread_index(); i < n; i += block_count() * THREADS) {
        const float g = gradient[i], v = alpha * second[i] + rest * g * g;
        second[i] = v;
        float move = g / (root(v) + epsilon);
        if (momentum != 0.0f) {
            move += momentum * velocity[i];
            velocity[i] = move;
        }
        p[i] -= rate * move;
    }
}
