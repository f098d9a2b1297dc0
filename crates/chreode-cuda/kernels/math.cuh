// Elementary functions in f32, the same on the device and on the processor but for rounding.
#pragma once

DEVICE float larger(float a, float b) { return a > b ? a : b; }
DEVICE float smaller(float a, float b) { return a < b ? a : b; }
DEVICE int smaller_int(int a, int b) { return a < b ? a : b; }
DEVICE float magnitude(float v) { return bits_to_float(float_to_bits(v) & 0x7fffffffu); }
// Whether v is a number and not infinite.
DEVICE bool finite(float v) { return (float_to_bits(v) & 0x7f800000u) != 0x7f800000u; }

// exp(x - n ln 2), which is between 0.7 and 1.5.
DEVICE float exponential_of_rest(float x, float n) {
    float r = fused(n, -0.693359375f, x); // ln 2 in two parts
    r = fused(n, 2.12194440e-4f, r);
    float q = 1.9875691500e-4f;
    q = fused(q, r, 1.3981999507e-3f);
    q = fused(q, r, 8.3334519073e-3f);
    q = fused(q, r, 4.1665795894e-2f);
    q = fused(q, r, 1.6666665459e-1f);
    q = fused(q, r, 5.0000001201e-1f);
    return fused(q * r, r, r) + 1.0f;
}

// exp, within 2 units of rounding; 0 below -87.3, infinite above 88.7; NaN stays. No branches, so that several go on side by side.
DEVICE float exponential(float x) {
    const float inside = x > 88.7f ? 88.7f : x < -87.3f ? -87.3f : x;
    const float shift = 12582912.0f; // 1.5 2^23: adding it rounds to an integer, which then stands in the last bits
    const float shifted = fused(inside, 1.44269504f, shift);
    const float q = exponential_of_rest(inside, shifted - shift);
    const int e = (int)(float_to_bits(shifted) - float_to_bits(shift));
    // Two factors, since 2^128 is no f32.
    const int half = e >> 1;
    const float y = q * bits_to_float((unsigned)(half + 127) << 23) * bits_to_float((unsigned)(e - half + 127) << 23);
    return x > 88.7f ? bits_to_float(0x7f800000u) : x < -87.3f ? 0.0f : y;
}

// The same for x that is not positive.
DEVICE float exponential_falling(float x) {
    const float inside = x < -87.3f ? -87.3f : x;
    const float shift = 12582912.0f; // 1.5 2^23: adding it rounds to an integer, which then stands in the last bits
    const float shifted = fused(inside, 1.44269504f, shift);
    const float q = exponential_of_rest(inside, shifted - shift);
    const float y = q * bits_to_float((float_to_bits(shifted) << 23) + 0x3f800000u);
    return x < -87.3f ? 0.0f : y;
}

// ln u for u in (0, 1], relative error below 2e-7: exponent plus 2 atanh((m - 1) / (m + 1)).
DEVICE float log_unit(float u) {
    const unsigned shifted = float_to_bits(u) - 0x3f3504f3u;
    const float e = (float)((int)shifted >> 23);
    const float m = bits_to_float((shifted & 0x007fffffu) + 0x3f3504f3u);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float s2 = s * s;
    const float series = 2.0f * s + 2.0f * s * s2 * (1.0f / 3.0f + s2 * (0.2f + s2 * (1.0f / 7.0f + s2 * (1.0f / 9.0f))));
    return e * 0.693147180559945f + series;
}

// ln v for any positive normal v.
DEVICE float logarithm(float v) {
    const unsigned shifted = float_to_bits(v) - 0x3f3504f3u;
    const float e = (float)((int)shifted >> 23);
    const float m = bits_to_float((shifted & 0x007fffffu) + 0x3f3504f3u);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float s2 = s * s;
    return e * 0.693147180559945f + 2.0f * s * (1.0f + s2 * (1.0f / 3.0f + s2 * (0.2f + s2 * (1.0f / 7.0f + s2 * (1.0f / 9.0f)))));
}

// ln(1 + u) for u in [0, 1]: 2 atanh(u / (2 + u)), error of the series below 1e-9.
DEVICE float log_one_plus(float u) {
    const float s = u * reciprocal(2.0f + u);
    const float s2 = s * s;
    float q = 1.0f / 15.0f;
    q = fused(q, s2, 1.0f / 13.0f);
    q = fused(q, s2, 1.0f / 11.0f);
    q = fused(q, s2, 1.0f / 9.0f);
    q = fused(q, s2, 1.0f / 7.0f);
    q = fused(q, s2, 1.0f / 5.0f);
    q = fused(q, s2, 1.0f / 3.0f);
    return 2.0f * fused(q * s2, s, s);
}

// (cos, sin) of 2 pi b / 2^32 by Taylor polynomials on [-pi/4, pi/4] and quarter turns.
DEVICE void cos_sin_turn(unsigned b, float &c, float &s) {
    const unsigned quarter = (b + (1u << 29)) >> 30;
    const float x = (float)(int)(b - (quarter << 30)) * (1.57079632679489662f / 1073741824.0f);
    const float x2 = x * x;
    const float sine = x + x * x2 * (-1.0f / 6.0f + x2 * (1.0f / 120.0f + x2 * (-1.0f / 5040.0f + x2 * (1.0f / 362880.0f))));
    const float cosine = 1.0f + x2 * (-0.5f + x2 * (1.0f / 24.0f + x2 * (-1.0f / 720.0f + x2 * (1.0f / 40320.0f))));
    const bool swap = (quarter & 1u) == 1u;
    // cos is negative in quarters 1 and 2, sin in quarters 2 and 3.
    c = bits_to_float(float_to_bits(swap ? sine : cosine) ^ (((quarter + 1u) & 2u) << 30));
    s = bits_to_float(float_to_bits(swap ? cosine : sine) ^ ((quarter & 2u) << 30));
}

// Both ways are computed and one is taken: no branches, as above.
DEVICE float hyperbolic_tangent(float x) {
    const float m = magnitude(x), x2 = x * x;
    float q = -5.70498872745e-3f;
    q = fused(q, x2, 2.06390887954e-2f);
    q = fused(q, x2, -5.37397155531e-2f);
    q = fused(q, x2, 1.33314422036e-1f);
    q = fused(q, x2, -3.33332819422e-1f);
    const float e = exponential_falling(-2.0f * m);
    const float t = 1.0f - 2.0f * e * reciprocal(1.0f + e);
    const float far = bits_to_float(float_to_bits(t) | (float_to_bits(x) & 0x80000000u));
    return m < 0.625f ? fused(q * x2, x, x) : far;
}

DEVICE float logistic(float x) {
    const float e = exponential_falling(-magnitude(x)), r = reciprocal(1.0f + e);
    return x >= 0.0f ? r : e * r;
}

DEVICE float softplus(float x) {
    return (x > 0.0f ? x : 0.0f) + log_one_plus(exponential_falling(-magnitude(x))) + (x == x ? 0.0f : x);
}

// Activations, in the order of the host's enumeration, and their derivatives.
template <int KIND> DEVICE float activate(float z, float &slope) {
    if (KIND == 1) {
        const float a = hyperbolic_tangent(z);
        slope = 1.0f - a * a;
        return a;
    }
    if (KIND == 2) {
        const float a = logistic(z);
        slope = a * (1.0f - a);
        return a;
    }
    if (KIND == 3) {
        slope = logistic(z);
        return softplus(z);
    }
    if (KIND == 4) {
        const float s = logistic(z);
        slope = s * (1.0f + z * (1.0f - s));
        return z * s;
    }
    slope = KIND == 5 && !(z > 0.0f) ? 0.01f : 1.0f;
    return KIND == 5 ? z * slope : z;
}

// act(k) with the number of an activation as k's: what then runs decides nothing for each element.
template <int NUMBER> struct Kind {
    static constexpr int number = NUMBER;
};
template <class Act>
DEVICE void with_activation(int kind, Act act) {
    switch (kind) {
    case 1: act(Kind<1>{}); break;
    case 2: act(Kind<2>{}); break;
    case 3: act(Kind<3>{}); break;
    case 4: act(Kind<4>{}); break;
    case 5: act(Kind<5>{}); break;
    default: act(Kind<0>{});
    }
}
