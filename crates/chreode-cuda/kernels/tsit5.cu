// Ensembles of small networks by Tsitouras 5(4) [Tsi11]: a thread owns a trajectory, with its own time and step size.
//
// dy = sum over the terms of p[term] times the product of the term's factors, times its effects: mass action, and any polynomial.
// States are f32, time and step f64. Steps are chosen as `chreode-solve` does: PI, first step by [HNW93].
#include "math.cuh"
#include "shared.cuh"

struct Terms {
    int d, count;
    const int *factor_starts, *factors, *effect_starts, *effect_rows;
    const float *effects, *p;
};

// Slots of a thread's vectors: coordinate i of vector s is slots[(s d + i) THREADS].
DEVICE float *slot(float *slots, int d, int s) { return slots + (long long)s * d * THREADS; }

DEVICE void field(const Terms &terms, const float *y, float *dy) {
    for (int i = 0; i < terms.d; ++i) dy[i * THREADS] = 0.0f;
    for (int t = 0; t < terms.count; ++t) {
        float rate = terms.p[t];
        for (int f = terms.factor_starts[t]; f < terms.factor_starts[t + 1]; ++f) rate *= y[terms.factors[f] * THREADS];
        for (int e = terms.effect_starts[t]; e < terms.effect_starts[t + 1]; ++e) {
            float *to = dy + terms.effect_rows[e] * THREADS;
            *to = fused(terms.effects[e], rate, *to);
        }
    }
}

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

DEVICE float error_weight(int j) {
    constexpr float e[7] = {0.00178001105222577714f, 0.0008164344596567469f, -0.007880878010261995f, 0.1447110071732629f,
                            -0.5823571654525552f,    0.45808210592918697f,   -1.0f / 66.0f};
    return e[j];
}

// v / (atol + rtol max(|a|, |b|)) in root mean square. Not a number where a value is not finite.
struct Norm {
    float rtol, atol, sum;
};

DEVICE void add(Norm &norm, float v, float a, float b) {
    const float r = v / (norm.atol + norm.rtol * larger(magnitude(a), magnitude(b))) + (a + b) * 0.0f;
    norm.sum = fused(r, r, norm.sum);
}

DEVICE float value(const Norm &norm, int d) { return root(norm.sum / (float)d); }

// exp(ln x / 5) and the like, for x > 0; the smallest normal number stands for less.
DEVICE float power(float x, float exponent) { return exponential(exponent * logarithm(larger(x, 1.2e-38f))); }

constexpr int K = 0, Y = 7, NEXT = 8;

// start [n, d]; times [saves + 1], ascending, the first is where the run starts; p [terms], or [n, terms] with `each`.
// saved [saves, n, d] at the times after the first, steps [2, n]: accepted and rejected, status [n]: 0, or 1 after too many steps, 2 for a
// step that has become too small, 3 for a start that is not finite; then saved is zero from there on.
// Shared memory: 9 d floats a thread.
KERNEL tsit5_ensemble(int d, int n, int terms, int saves, int each, int max_steps, float rtol, float atol, const int *factor_starts,
                      const int *factors, const int *effect_starts, const int *effect_rows, const float *effects, const float *p, const float *start,
                      const double *times, float *saved, int *steps, int *status) {
    const long long row = (long long)block_index() * THREADS + thread_index();
    if (row >= n) return;
    float *slots = shared_memory() + thread_index();
    float *y = slot(slots, d, Y), *next = slot(slots, d, NEXT), *k = slot(slots, d, K);
    const Terms f = {d, terms, factor_starts, factors, effect_starts, effect_rows, effects, each ? p + row * terms : p};
    const float order = 5.0f, aim = order * -0.28768207f; // ln of the safety, 0.75
    double t = times[0];
    int accepted = 0, rejected = 0, outcome = 0;

    bool good = true;
    for (int i = 0; i < d; ++i) {
        y[i * THREADS] = start[row * d + i];
        good = good && finite(y[i * THREADS]);
    }
    if (!good) outcome = 3;
    // The first step, from the sizes of state, derivative and second derivative.
    field(f, y, k);
    Norm size = {rtol, atol, 0.0f}, slope = size, change = size;
    for (int i = 0; i < d; ++i) {
        add(size, y[i * THREADS], y[i * THREADS], y[i * THREADS]);
        add(slope, k[i * THREADS], y[i * THREADS], y[i * THREADS]);
    }
    const float s0 = value(size, d), s1 = value(slope, d), span = saves > 0 ? (float)(times[1] - t) : 0.0f;
    float guess = s0 < 1e-5f || s1 < 1e-5f ? 1e-6f : 0.01f * s0 / s1;
    if (!(guess > 0.0f && finite(guess))) guess = 1e-6f;
    guess = smaller(guess, span);
    for (int i = 0; i < d; ++i) next[i * THREADS] = fused(guess, k[i * THREADS], y[i * THREADS]);
    field(f, next, slot(slots, d, K + 1));
    for (int i = 0; i < d; ++i) add(change, slot(slots, d, K + 1)[i * THREADS] - k[i * THREADS], y[i * THREADS], y[i * THREADS]);
    const float second = value(change, d) / guess, steepest = larger(s1, second);
    float first = guess * 1e-3f;
    if (second == second) {
        const float wanted = steepest <= 1e-15f ? larger(guess * 1e-3f, 1e-6f) : power(0.01f / steepest, 1.0f / order);
        if (wanted > 0.0f) first = smaller(wanted, 100.0f * guess);
    }
    double h = first;
    float before = 0.0f, most = 10.0f;

    for (int save = 0; save < saves; ++save) {
        const double stop = times[save + 1];
        while (outcome == 0 && t < stop) {
            if (accepted + rejected >= max_steps) {
                outcome = 1;
                break;
            }
            const double left = stop - t;
            // Two equal steps before a stop rather than a long and a tiny one.
            const bool near = h >= left, halved = !near && left < 2.0 * h, whole = near ? h == left : !halved;
            const double end = near ? stop : halved ? t + 0.5 * left : t + h;
            const double tried = end - t;
            // Sixteen times the distance of two times: shorter steps do not move it.
            if (tried <= 3.6e-15 * (t < 0.0 ? -t : t)) {
                outcome = 2;
                break;
            }
            const float step = (float)tried;
#pragma unroll
            for (int s = 1; s < 7; ++s) {
                for (int i = 0; i < d; ++i) {
                    float sum = 0.0f;
#pragma unroll
                    for (int j = 0; j < s; ++j) sum = fused(weight(s, j), k[(j * d + i) * THREADS], sum);
                    next[i * THREADS] = fused(step, sum, y[i * THREADS]);
                }
                field(f, next, slot(slots, d, K + s));
            }
            Norm norm = {rtol, atol, 0.0f};
            for (int i = 0; i < d; ++i) {
                float sum = 0.0f;
#pragma unroll
                for (int j = 0; j < 7; ++j) sum = fused(error_weight(j), k[(j * d + i) * THREADS], sum);
                add(norm, step * sum, y[i * THREADS], next[i * THREADS]);
            }
            const float error = value(norm, d);
            const bool accept = error <= 1.0f;
            const float logged = logarithm(larger(error, 1e-30f)) - aim;
            float factor = 0.2f;
            if (error == error) {
                factor = exponential(accept ? -(0.7f * logged - 0.4f * before) / order : -logged / order);
                factor = larger(smaller(factor, accept ? most : 0.9f), 0.2f);
            }
            const double planned = tried * factor;
            if (!accept) {
                ++rejected;
                most = 1.0f;
                h = planned;
                continue;
            }
            ++accepted;
            most = 10.0f;
            if (whole) before = larger(logged, -6.9314718f);
            // The error of a step cut short by a stop must not shrink the plan.
            if (whole || planned > h) h = planned;
            t = end;
            for (int i = 0; i < d; ++i) {
                y[i * THREADS] = next[i * THREADS];
                k[i * THREADS] = k[(6 * d + i) * THREADS];
            }
        }
        for (int i = 0; i < d; ++i) saved[((long long)save * n + row) * d + i] = outcome == 0 ? y[i * THREADS] : 0.0f;
    }
    steps[row] = accepted;
    steps[n + row] = rejected;
    status[row] = outcome;
}
