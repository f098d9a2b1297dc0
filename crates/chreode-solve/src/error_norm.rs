//! The size of an error relative to the tolerance.

use chreode_core::{Real, Tolerance};

/// Smallest scale: keeps `0 / 0` out of a coordinate that is zero with `atol = 0`.
const TINY: f64 = 1e-30;

/// `v_j / (atol + rtol max(|a_j|, |b_j|))` in root mean square over the coordinates of the worst of the
/// trajectories; NaN if a value of `v` is not finite or a state is infinite or NaN.
///
/// `ratio` is scratch of the same length.
#[inline]
pub(crate) fn worst_norm<T: Real>(
    v: &[T],
    a: &[T],
    b: &[T],
    d: usize,
    tol: Tolerance,
    ratio: &mut [T],
) -> f64 {
    let (atol, rtol) = (T::c(tol.atol + TINY), T::c(tol.rtol));
    let n = v.len();
    let (a, b, ratio) = (&a[..n], &b[..n], &mut ratio[..n]);
    if n == d && n <= 4 {
        // Nothing to vectorise, and a pass over memory saved.
        let mut sum = T::ZERO;
        for j in 0..n {
            let r = v[j] / (atol + rtol * a[j].abs().max(b[j].abs())) + (a[j] + b[j]) * T::ZERO;
            sum += r * r;
        }
        return mean_root(sum, d);
    }
    for j in 0..n {
        // Times zero: an infinite state, which would hide the error by its scale, becomes NaN.
        let r = v[j] / (atol + rtol * a[j].abs().max(b[j].abs())) + (a[j] + b[j]) * T::ZERO;
        ratio[j] = r * r;
    }
    let mut worst = 0.0;
    for row in ratio.chunks_exact(d) {
        let norm = mean_root(lane_sum(row), d);
        if norm.is_nan() {
            return f64::NAN;
        }
        worst = norm.max(worst);
    }
    worst
}

fn mean_root<T: Real>(sum: T, d: usize) -> f64 {
    (sum.f64() / d as f64).sqrt()
}

/// Sum in eight lanes, so that it need not wait for each addition; the order is fixed.
#[inline]
fn lane_sum<T: Real>(x: &[T]) -> T {
    let (chunks, rest) = x.as_chunks::<8>();
    let mut lanes = [T::ZERO; 8];
    for c in chunks {
        for l in 0..8 {
            lanes[l] += c[l];
        }
    }
    lanes.into_iter().sum::<T>() + rest.iter().copied().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOL: Tolerance = Tolerance { rtol: 0.0, atol: 0.5 };

    #[test]
    fn the_worst_trajectory_counts() {
        let mut v = vec![0.0_f64; 5 * 20];
        v[42] = 1.0; // row 2
        v[81] = 3.0; // row 4
        let zero = vec![0.0; 100];
        let norm = worst_norm(&v, &zero, &zero, 20, TOL, &mut [0.0; 100]);
        assert!((norm - (36.0_f64 / 20.0).sqrt()).abs() < 1e-14, "{norm}");
    }

    #[test]
    fn not_a_number_wherever_it_stands() {
        for (n, d) in [(1, 3), (4, 3), (2, 17)] {
            for i in 0..n * d {
                for bad in [f64::NAN, f64::INFINITY] {
                    let mut state = vec![1.0; n * d];
                    state[i] = bad;
                    let (good, v) = (vec![1.0; n * d], vec![1e-3; n * d]);
                    let mut r = vec![0.0; n * d];
                    assert!(worst_norm(&v, &good, &state, d, TOL, &mut r).is_nan());
                    assert!(worst_norm(&v, &state, &good, d, TOL, &mut r).is_nan());
                }
                let mut v = vec![1e-3; n * d];
                v[i] = f64::NAN;
                assert!(worst_norm(&v, &v, &v, d, TOL, &mut vec![0.0; n * d]).is_nan());
            }
        }
    }

    #[test]
    fn zero_state_without_absolute_tolerance() {
        let tol = Tolerance { rtol: 1e-3, atol: 0.0 };
        assert_eq!(worst_norm(&[0.0], &[0.0], &[0.0], 1, tol, &mut [0.0]), 0.0);
        assert!(worst_norm(&[1e-9], &[0.0], &[0.0], 1, tol, &mut [0.0]) > 1.0);
    }
}
