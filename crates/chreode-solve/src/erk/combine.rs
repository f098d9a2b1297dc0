//! Weighted sums of stages: all the arithmetic of a step outside the field.

use chreode_core::Real;

/// `out = y + h Σ_m w_m k_m`; row `m` of `k` begins at `m * y.len()`.
///
/// The number of terms is a constant inside each instance, so that one pass reads every stage once.
#[inline]
pub(super) fn combine<T: Real>(y: &[T], h: f64, w: &[f64], k: &[T], out: &mut [T]) {
    match w.len() {
        1 => terms::<T, 1>(y, h, w, k, out),
        2 => terms::<T, 2>(y, h, w, k, out),
        3 => terms::<T, 3>(y, h, w, k, out),
        4 => terms::<T, 4>(y, h, w, k, out),
        5 => terms::<T, 5>(y, h, w, k, out),
        6 => terms::<T, 6>(y, h, w, k, out),
        7 => terms::<T, 7>(y, h, w, k, out),
        _ => {
            out.fill(T::ZERO);
            for (&w, k) in w.iter().zip(k.chunks_exact(y.len())) {
                let w = T::c(w);
                for (out, &k) in out.iter_mut().zip(k) {
                    *out += w * k;
                }
            }
            for (out, &y) in out.iter_mut().zip(y) {
                *out = y + T::c(h) * *out;
            }
        }
    }
}

#[inline(always)]
fn terms<T: Real, const N: usize>(y: &[T], h: f64, w: &[f64], k: &[T], out: &mut [T]) {
    let n = y.len();
    let out = &mut out[..n];
    let h = T::c(h);
    let w: [T; N] = std::array::from_fn(|m| T::c(w[m]));
    let k: [&[T]; N] = std::array::from_fn(|m| &k[m * n..(m + 1) * n]);
    for j in 0..n {
        let mut s = w[0] * k[0][j];
        for m in 1..N {
            s += w[m] * k[m][j];
        }
        out[j] = y[j] + h * s;
    }
}

/// The same for a state of `D` values, kept in registers.
#[inline(always)]
pub(super) fn combine_tiny<T: Real, const D: usize>(y: [T; D], h: f64, w: &[f64], k: &[[T; D]]) -> [T; D] {
    let mut s = [T::ZERO; D];
    for (&w, k) in w.iter().zip(k) {
        for j in 0..D {
            s[j] += T::c(w) * k[j];
        }
    }
    std::array::from_fn(|j| y[j] + T::c(h) * s[j])
}
