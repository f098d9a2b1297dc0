// Paths of a generated stochastic equation, whose `GeneratedField` and `GeneratedNoise` stand before this text, by Euler-Maruyama [KP92]; GENERATED is
// the kernel's name. A thread owns a trajectory for all steps, and draws its increments where they are used.

// start [n, d]; times [steps] where the steps begin, lengths [2, steps]: h, sqrt(h); observe [steps]: the observation that a step ends at, or -1;
// p [parameters], or [n, parameters] with `each`. Row i is trajectory `trajectory + i` of the noise.
// observed [observations, n, d]; failed [n]: the number of the step after which a state was not finite, or -1.
// Shared memory: 3 d floats a thread.
KERNEL GENERATED(int n, int steps, int each, unsigned key0, unsigned key1, unsigned long long trajectory, const float *p, const float *start,
                 const double *times, const float *lengths, const int *observe, float *observed, int *failed) {
    constexpr int d = GeneratedField::STATES;
    const long long row = (long long)block_index() * THREADS + thread_index();
    if (row >= n) return;
    const float *own = each ? p + row * GeneratedField::PARAMETERS : p;
    const GeneratedField f = {own};
    const GeneratedNoise g = {own};
    float *y = shared_memory() + thread_index(), *drift = y + d * THREADS, *noise = drift + d * THREADS;
    for (int i = 0; i < d; ++i) y[i * THREADS] = start[row * d + i];
    int outcome = -1;
#pragma unroll 1
    for (int k = 0; k < steps; ++k) {
        f(times[k], y, drift);
        g(times[k], y, noise);
        const float h = lengths[k], root_h = lengths[steps + k];
        float z[4] = {};
        bool good = true;
        // One motion for each coordinate, or one for all.
#pragma unroll 1
        for (int first = 0; first < d; first += 4) {
            if (first == 0 || !GeneratedNoise::SCALAR) normals(first / 4, k, trajectory + row, key0, key1, z);
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const int i = first + j;
                if (i >= d) break;
                const float dw = (GeneratedNoise::SCALAR ? z[0] : z[j]) * root_h;
                y[i * THREADS] += drift[i * THREADS] * h + noise[i * THREADS] * dw;
                good = good && finite(y[i * THREADS]);
            }
        }
        if (!good && outcome < 0) outcome = k;
        if (observe[k] >= 0)
            for (int i = 0; i < d; ++i) observed[((long long)observe[k] * n + row) * d + i] = y[i * THREADS];
    }
    failed[row] = outcome;
}
