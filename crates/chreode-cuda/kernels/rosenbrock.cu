// Stiff ensembles of small networks by Rodas5P [Ste23]: a thread owns a trajectory, with its own time, step size and linear systems.
//
// A polynomial field, with its exact Jacobian.
#include "polynomial.cuh"
#include "rosenbrock.cuh"

struct StiffPolynomial : PolynomialField {
    // The derivative of a product: each factor left out in turn.
    DEVICE_MEMBER void jacobian(double, const float *y, const Matrix &m, float *) const {
        for (int i = 0; i < d; ++i)
            for (int j = 0; j < d; ++j) element(m, i, j) = 0.0f;
        for (int t = 0; t < count; ++t)
            for (int left = factor_starts[t]; left < factor_starts[t + 1]; ++left) {
                float slope = p[t];
                for (int f = factor_starts[t]; f < factor_starts[t + 1]; ++f)
                    if (f != left) slope *= y[factors[f] * THREADS];
                for (int e = effect_starts[t]; e < effect_starts[t + 1]; ++e) {
                    float &to = element(m, effect_rows[e], factors[left]);
                    to = fused(effects[e], slope, to);
                }
            }
    }
};

// start [n, d]; times [saves + 1], ascending, the first is where the run starts; p [terms], or [n, terms] with `each`.
// saved [saves, n, d] at the times after the first, steps [2, n] and status [n] as in `solve_row`.
// matrices: with `outside` the room of the systems, [d d, threads of the grid]; else they lie in shared memory.
// Shared memory: 11 d floats a thread, and without `outside` d d more.
KERNEL rosenbrock_ensemble(int d, int n, int terms, int saves, int each, int outside, int max_steps, float rtol, float atol, const int *factor_starts,
                           const int *factors, const int *effect_starts, const int *effect_rows, const float *effects, const float *p,
                           const float *start, const double *times, float *matrices, float *saved, int *steps, int *status) {
    const long long row = (long long)block_index() * THREADS + thread_index();
    if (row >= n) return;
    float *slots = shared_memory() + thread_index();
    const StiffPolynomial f = {{d, terms, factor_starts, factors, effect_starts, effect_rows, effects, each ? p + row * terms : p}};
    const Matrix inside = {slots + 11 * d * THREADS, THREADS, d}, outer = {matrices + row, (long long)block_count() * THREADS, d};
    Rodas method = {slots, outside ? outer : inside, rtol, atol};
    solve_row(method, f, row, d, n, saves, max_steps, start, times, saved, steps, status);
}
