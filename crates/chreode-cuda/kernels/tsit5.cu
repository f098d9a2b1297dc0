// Ensembles of small networks by Tsitouras 5(4) [Tsi11]: a thread owns a trajectory, with its own time and step size.
#include "polynomial.cuh"
#include "tsit5.cuh"

// start [n, d]; times [saves + 1], ascending, the first is where the run starts; p [terms], or [n, terms] with `each`.
// saved [saves, n, d] at the times after the first, steps [2, n] and status [n] as in `solve_row`.
// Shared memory: 9 d floats a thread.
KERNEL tsit5_ensemble(int d, int n, int terms, int saves, int each, int max_steps, float rtol, float atol, const int *factor_starts,
                      const int *factors, const int *effect_starts, const int *effect_rows, const float *effects, const float *p, const float *start,
                      const double *times, float *saved, int *steps, int *status) {
    const long long row = (long long)block_index() * THREADS + thread_index();
    if (row >= n) return;
    float *slots = shared_memory() + thread_index();
    const PolynomialField f = {d, terms, factor_starts, factors, effect_starts, effect_rows, effects, each ? p + row * terms : p};
    Tsit5 method = {slots, d, rtol, atol};
    solve_row(method, f, row, d, n, saves, max_steps, start, times, saved, steps, status);
}
