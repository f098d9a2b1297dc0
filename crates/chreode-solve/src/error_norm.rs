//! The size of an error relative to the tolerance.

use chreode_core::{Bound, Real, Tolerance};

/// Smallest scale: keeps `0 / 0` out of a coordinate that is zero with `atol = 0`.
pub(crate) const TINY: f64 = 1e-30;

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
    tol: Tolerance<'_>,
    ratio: &mut [T],
) -> f64 {
    let n = v.len();
    let (a, b, ratio) = (&a[..n], &b[..n], &mut ratio[..n]);
    let (Bound::Same(rtol), Bound::Same(atol)) = (tol.rtol, tol.atol) else {
        for (i, row) in ratio.chunks_exact_mut(d).enumerate() {
            for (j, ratio) in row.iter_mut().enumerate() {
                let k = i * d + j;
                let scale = T::c(tol.atol.of(j) + TINY) + T::c(tol.rtol.of(j)) * a[k].abs().max(b[k].abs());
                let r = v[k] / scale + (a[k] + b[k]) * T::ZERO;
                *ratio = r * r;
            }
        }
        return worst_row(ratio, d);
    };
    let (atol, rtol) = (T::c(atol + TINY), T::c(rtol));
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
    worst_row(ratio, d)
}

/// The largest root mean square of a row of squares; NaN if there is one.
fn worst_row<T: Real>(squares: &[T], d: usize) -> f64 {
    let mut worst = 0.0;
    for row in squares.chunks_exact(d) {
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

    const TOL: Tolerance<'_> = Tolerance { rtol: Bound::Same(0.0), atol: Bound::Same(0.5) };

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
    fn one_tolerance_a_coordinate() {
        let (v, y) = ([0.3, 0.4, 0.6, 0.1], [1.0; 4]);
        let same = worst_norm(&v, &y, &y, 2, Tolerance::new(0.1, 0.2), &mut [0.0; 4]);
        let each = worst_norm(&v, &y, &y, 2, Tolerance::new(&[0.1; 2], &[0.2; 2]), &mut [0.0; 4]);
        assert_eq!(same, each);
        let mixed = worst_norm(&v, &y, &y, 2, Tolerance::new(0.0, &[1.0, 0.1]), &mut [0.0; 4]);
        assert!((mixed - ((0.09_f64 + 16.0) / 2.0).sqrt()).abs() < 1e-12, "{mixed}");
    }

    #[test]
    fn zero_state_without_absolute_tolerance() {
        let tol = Tolerance::new(1e-3, 0.0);
        assert_eq!(worst_norm(&[0.0], &[0.0], &[0.0], 1, tol, &mut [0.0]), 0.0);
        assert!(worst_norm(&[1e-9], &[0.0], &[0.0], 1, tol, &mut [0.0]) > 1.0);
    }
}
