// The ensemble of a generated field, whose `GeneratedField` stands before this text, by Rodas5P; GENERATED is the kernel's name.

// start [n, d]; times [saves + 1], ascending, the first is where the run starts; p [parameters], or [n, parameters] with `each`.
// saved [saves, n, d] at the times after the first, steps [2, n] and status [n] as in `solve_row`.
// matrices: with `outside` the room of the systems, [d d, threads of the grid]; else they lie in shared memory.
// Shared memory: 12 d floats a thread, and without `outside` d d more.
KERNEL GENERATED(int n, int saves, int each, int outside, int max_steps, float rtol, float atol, const float *p, const float *start,
                 const double *times, float *matrices, float *saved, int *steps, int *status) {
    constexpr int d = GeneratedField::STATES;
    const long long row = (long long)block_index() * THREADS + thread_index();
    if (row >= n) return;
    float *slots = shared_memory() + thread_index();
    const GeneratedField f = {each ? p + row * GeneratedField::PARAMETERS : p};
    const Matrix inside = {slots + 12 * d * THREADS, THREADS, d}, outer = {matrices + row, (long long)block_count() * THREADS, d};
    Rodas method = {slots, outside ? outer : inside, rtol, atol};
    solve_row(method, f, row, d, n, saves, max_steps, start, times, saved, steps, status);
}
