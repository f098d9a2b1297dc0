// Steps chosen for each trajectory as `chreode-solve` does: PI, first step by [HNW93]. States are f32, time and step f64.
//
// A field is a structure with `void operator()(double t, const float *y, float *dy) const`; coordinate i of a vector is v[i THREADS].
#pragma once
#include "math.cuh"
#include "shared.cuh"

// Slots of a thread's vectors: coordinate i of vector s is slots[(s d + i) THREADS].
DEVICE float *vector_slot(float *slots, int d, int s) { return slots + (long long)s * d * THREADS; }

// v / (atol + rtol max(|a|, |b|)) in root mean square. Not a number where a value is not finite.
struct ErrorNorm {
    float rtol, atol, sum;
};

DEVICE void include(ErrorNorm &norm, float v, float a, float b) {
    const float r = v / (norm.atol + norm.rtol * larger(magnitude(a), magnitude(b))) + (a + b) * 0.0f;
    norm.sum = fused(r, r, norm.sum);
}

DEVICE float mean_root(const ErrorNorm &norm, int d) { return root(norm.sum / (float)d); }

// x to a power, for x > 0; the smallest normal number stands for less.
DEVICE float positive_power(float x, float exponent) { return exponential(exponent * logarithm(larger(x, 1.2e-38f))); }

// The first step of a method whose error scales with h to the `order`, from the sizes of state, derivative and second derivative. Leaves the field at
// the start in k; k1 and next are scratch.
template <class Field>
DEVICE float first_step(const Field &f, double t, double span, int d, float order, float rtol, float atol, const float *y, float *k, float *k1,
                        float *next) {
    f(t, y, k);
    ErrorNorm size = {rtol, atol, 0.0f}, slope = size, change = size;
    for (int i = 0; i < d; ++i) {
        include(size, y[i * THREADS], y[i * THREADS], y[i * THREADS]);
        include(slope, k[i * THREADS], y[i * THREADS], y[i * THREADS]);
    }
    const float s0 = mean_root(size, d), s1 = mean_root(slope, d);
    float guess = s0 < 1e-5f || s1 < 1e-5f ? 1e-6f : 0.01f * s0 / s1;
    if (!(guess > 0.0f && finite(guess))) guess = 1e-6f;
    guess = smaller(guess, (float)span);
    for (int i = 0; i < d; ++i) next[i * THREADS] = fused(guess, k[i * THREADS], y[i * THREADS]);
    f(t + guess, next, k1);
    for (int i = 0; i < d; ++i) include(change, k1[i * THREADS] - k[i * THREADS], y[i * THREADS], y[i * THREADS]);
    const float second = mean_root(change, d) / guess, steepest = larger(s1, second);
    float first = guess * 1e-3f;
    if (second == second) {
        const float wanted = steepest <= 1e-15f ? larger(guess * 1e-3f, 1e-6f) : positive_power(0.01f / steepest, 1.0f / order);
        if (wanted > 0.0f) first = smaller(wanted, 100.0f * guess);
    }
    return first;
}

// What the choice of steps remembers.
struct StepControl {
    float order, before, most;
};

// Whether a step with this error norm is accepted, and the factor to the next one; `whole` steps alone are remembered.
DEVICE bool judge(StepControl &control, float error, bool whole, float &factor) {
    const bool accept = error <= 1.0f;
    const float aim = control.order * -0.28768207f; // ln of the safety, 0.75
    const float logged = logarithm(larger(error, 1e-30f)) - aim;
    factor = 0.2f;
    if (error == error && finite(error)) {
        factor = exponential(accept ? -(0.7f * logged - 0.4f * control.before) / control.order : -logged / control.order);
        factor = larger(smaller(factor, accept ? control.most : 0.9f), 0.2f);
    }
    control.most = accept ? 10.0f : 1.0f;
    if (accept && whole) control.before = larger(logged, -6.9314718f);
    return accept;
}

// An end of a step before `stop`: two equal steps before a stop rather than a long and a tiny one.
DEVICE double step_end(double t, double stop, double h, bool &whole) {
    const double left = stop - t;
    const bool near = h >= left, halved = !near && left < 2.0 * h;
    whole = near ? h == left : !halved;
    return near ? stop : halved ? t + 0.5 * left : t + h;
}

// Runs one trajectory through all save times. A method is a structure with `constexpr static int ORDER` (of its error's growth), slots K, K1 (the field at
// the start and at a guess), Y (the state) and NEXT (the proposed one), and `float step(f, t, h)`, which proposes and returns the error norm.
// saved [saves, n, d]; steps [2, n]; status [n]: 0, or 1 after too many steps, 2 for a step that has become too small, 3 for a start
// that is not finite; then saved is zero from there on.
template <class Method, class Field>
DEVICE void solve_row(Method &method, const Field &f, long long row, int d, int n, int saves, int max_steps, const float *start, const double *times,
                      float *saved, int *steps, int *status) {
    float *y = vector_slot(method.slots, d, Method::Y), *next = vector_slot(method.slots, d, Method::NEXT);
    double t = times[0];
    int accepted = 0, rejected = 0, outcome = 0;
    bool good = true;
    for (int i = 0; i < d; ++i) {
        y[i * THREADS] = start[row * d + i];
        good = good && finite(y[i * THREADS]);
    }
    if (!good) outcome = 3;
    double h = first_step(f, t, saves > 0 ? times[1] - t : 0.0, d, (float)Method::ORDER, method.rtol, method.atol, y,
                          vector_slot(method.slots, d, Method::K), vector_slot(method.slots, d, Method::K1), next);
    StepControl control = {(float)Method::ORDER, 0.0f, 10.0f};
    for (int save = 0; save < saves; ++save) {
        const double stop = times[save + 1];
        while (outcome == 0 && t < stop) {
            if (accepted + rejected >= max_steps) {
                outcome = 1;
                break;
            }
            bool whole;
            const double end = step_end(t, stop, h, whole), tried = end - t;
            // Sixteen times the distance of two times: shorter steps do not move it.
            if (tried <= 3.6e-15 * (t < 0.0 ? -t : t)) {
                outcome = 2;
                break;
            }
            float factor;
            const bool accept = judge(control, method.step(f, t, tried), whole, factor);
            const double planned = tried * factor;
            // The error of a step cut short by a stop must not shrink the plan.
            if (!accept || whole || planned > h) h = planned;
            if (!accept) {
                ++rejected;
                continue;
            }
            ++accepted;
            t = end;
            for (int i = 0; i < d; ++i) y[i * THREADS] = next[i * THREADS];
            method.accept();
        }
        for (int i = 0; i < d; ++i) saved[((long long)save * n + row) * d + i] = outcome == 0 ? y[i * THREADS] : 0.0f;
    }
    steps[row] = accepted;
    steps[n + row] = rejected;
    status[row] = outcome;
}
