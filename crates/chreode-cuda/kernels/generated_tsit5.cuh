// The ensemble of a generated field, whose `GeneratedField` stands before this text, by Tsitouras 5(4); GENERATED is the kernel's name.

// start [n, d]; times [saves + 1], ascending, the first is where the run starts; p [parameters], or [n, parameters] with `each`.
// saved [saves, n, d] at the times after the first, steps [2, n] and status [n] as in `solve_row`.
// Shared memory: 9 d floats a thread.
KERNEL GENERATED(int n, int saves, int each, int max_steps, float rtol, float atol, const float *p, const float *start, const double *times, float *saved,
                 int *steps, int *status) {
    constexpr int d = GeneratedField::STATES;
    const long long row = (long long)block_index() * THREADS + thread_index();
    if (row >= n) return;
    const GeneratedField f = {each ? p + row * GeneratedField::PARAMETERS : p};
    Tsit5 method = {shared_memory() + thread_index(), d, rtol, atol};
    solve_row(method, f, row, d, n, saves, max_steps, start, times, saved, steps, status);
}
