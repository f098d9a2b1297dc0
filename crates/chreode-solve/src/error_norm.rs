//! The size of an error relative to the tolerance.

use chreode_core::{Bound, ErrorNorm, Real, Tolerance};

/// Smallest scale: keeps `0 / 0` out of a coordinate that is zero with `atol = 0`.
pub(crate) const TINY: f64 = 1e-30;

/// `v_j / (atol + rtol max(|a_j|, |b_j|))` in root mean square over the coordinates of the worst of the
/// trajectories, or of all, as the tolerance says; NaN if a value of `v` is not finite or a state is infinite or NaN.
///
/// `ratio` is scratch of the same length.
#[inline]
pub(crate) fn error_norm<T: Real>(
    v: &[T],
    a: &[T],
    b: &[T],
    d: usize,
    tol: Tolerance<'_>,
    ratio: &mut [T],
) -> f64 {
    if let (Bound::Same(rtol), Bound::Same(atol)) = (tol.rtol, tol.atol)
        && v.len() == d
        && d <= 4
    {
        // Nothing to vectorise, and a pass over memory saved.
        let (atol, rtol) = (T::c(atol + TINY), T::c(rtol));
        let (a, b) = (&a[..d], &b[..d]);
        let mut sum = T::ZERO;
        for j in 0..d {
            let r = v[j] / (atol + rtol * a[j].abs().max(b[j].abs())) + (a[j] + b[j]) * T::ZERO;
            sum += r * r;
        }
        return (sum.f64() / d as f64).sqrt();
    }
    squares(v, a, b, d, tol, ratio);
    if tol.norm == ErrorNorm::Together {
        let sum: f64 = ratio.chunks_exact(d).map(|row| lane_sum(row).f64()).sum();
        return (sum / v.len() as f64).sqrt();
    }
    worst_row(ratio, d, |row| (lane_sum(row).f64() / d as f64).sqrt())
}

/// The combined size of two estimates `v` and `low`: `|v|² / √(|v|² + 0.01 |low|²)` of the worst trajectory, or of all, with norms
/// as in [`error_norm`]. Overwrites `low`.
pub(crate) fn pair_norm<T: Real>(
    v: &[T],
    low: &mut [T],
    a: &[T],
    b: &[T],
    d: usize,
    tol: Tolerance<'_>,
    ratio: &mut [T],
) -> f64 {
    if let (Bound::Same(rtol), Bound::Same(atol)) = (tol.rtol, tol.atol) {
        let n = v.len();
        let (a, b, ratio, low) = (&a[..n], &b[..n], &mut ratio[..n], &mut low[..n]);
        let (atol, rtol) = (T::c(atol + TINY), T::c(rtol));
        for j in 0..n {
            // One division for both.
            let inverse = T::ONE / (atol + rtol * a[j].abs().max(b[j].abs()));
            let nothing = (a[j] + b[j]) * T::ZERO;
            let (high, lower) = (v[j] * inverse + nothing, low[j] * inverse + nothing);
            (ratio[j], low[j]) = (high * high, lower * lower);
        }
    } else {
        squares(v, a, b, d, tol, ratio);
        for (low, (a, b)) in low.chunks_exact_mut(d).zip(a.chunks_exact(d).zip(b.chunks_exact(d))) {
            in_place(low, a, b, tol);
        }
    }
    let mut lows = low.chunks_exact(d).map(|row| lane_sum(row).f64());
    if tol.norm == ErrorNorm::Together {
        let high = ratio.chunks_exact(d).map(|row| lane_sum(row).f64()).sum();
        return combined(high, lows.sum(), v.len());
    }
    worst_row(ratio, d, |row| combined(lane_sum(row).f64(), lows.next().unwrap_or(0.0), d))
}

/// The size of two estimates from their sums of squares over `count` numbers; NaN if one is not finite.
#[inline(always)]
fn combined(high: f64, low: f64, count: usize) -> f64 {
    if high == 0.0 {
        return low * 0.0;
    }
    high / (count as f64 * (high + 0.01 * low)).sqrt() + low * 0.0
}

/// [`error_norm`] of one estimate, or [`pair_norm`] of two, for one trajectory of `D` coordinates, to rounding.
///
/// The end `b` of a step is known before its last stage: the division is done by then.
#[inline(always)]
pub(crate) fn row_norm<T: Real, const D: usize>(
    estimates: &[[T; D]],
    a: &[T; D],
    b: &[T; D],
    rtol: f64,
    atol: f64,
) -> f64 {
    let (atol, rtol, d) = (T::c(atol + TINY), T::c(rtol), D as f64);
    let mut sums = [T::ZERO; 2];
    for (sum, v) in sums.iter_mut().zip(estimates) {
        for j in 0..D {
            let inverse = T::ONE / (atol + rtol * a[j].abs().max(b[j].abs()));
            let r = v[j] * inverse + (a[j] + b[j]) * T::ZERO;
            *sum += r * r;
        }
    }
    let [high, low] = sums.map(T::f64);
    if estimates.len() == 1 {
        return (high * (1.0 / d)).sqrt();
    }
    combined(high, low, D)
}

/// Sets `ratio` to `(v_j / scale_j)²`.
#[inline(always)]
fn squares<T: Real>(v: &[T], a: &[T], b: &[T], d: usize, tol: Tolerance<'_>, ratio: &mut [T]) {
    let n = v.len();
    let (a, b, ratio) = (&a[..n], &b[..n], &mut ratio[..n]);
    let (Bound::Same(rtol), Bound::Same(atol)) = (tol.rtol, tol.atol) else {
        for (i, row) in ratio.chunks_exact_mut(d).enumerate() {
            let at = i * d..(i + 1) * d;
            row.copy_from_slice(&v[at.clone()]);
            in_place(row, &a[at.clone()], &b[at], tol);
        }
        return;
    };
    let (atol, rtol) = (T::c(atol + TINY), T::c(rtol));
    for j in 0..n {
        // Times zero: an infinite state, which would hide the error by its scale, becomes NaN.
        let r = v[j] / (atol + rtol * a[j].abs().max(b[j].abs())) + (a[j] + b[j]) * T::ZERO;
        ratio[j] = r * r;
    }
}

/// Sets `v`, of one trajectory, to `(v_j / scale_j)²`.
#[inline(always)]
fn in_place<T: Real>(v: &mut [T], a: &[T], b: &[T], tol: Tolerance<'_>) {
    for (j, v) in v.iter_mut().enumerate() {
        let scale = T::c(tol.atol.of(j) + TINY) + T::c(tol.rtol.of(j)) * a[j].abs().max(b[j].abs());
        let r = *v / scale + (a[j] + b[j]) * T::ZERO;
        *v = r * r;
    }
}

/// The largest norm of a row of squares; NaN if there is one.
fn worst_row<T: Real>(squares: &[T], d: usize, mut norm: impl FnMut(&[T]) -> f64) -> f64 {
    let mut worst = 0.0;
    for row in squares.chunks_exact(d) {
        let norm = norm(row);
        if norm.is_nan() {
            return f64::NAN;
        }
        worst = norm.max(worst);
    }
    worst
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

    const TOL: Tolerance<'_> =
        Tolerance { rtol: Bound::Same(0.0), atol: Bound::Same(0.5), norm: ErrorNorm::Worst };

    #[test]
    fn the_worst_trajectory_counts() {
        let mut v = vec![0.0_f64; 5 * 20];
        v[42] = 1.0; // row 2
        v[81] = 3.0; // row 4
        let zero = vec![0.0; 100];
        let norm = error_norm(&v, &zero, &zero, 20, TOL, &mut [0.0; 100]);
        assert!((norm - (36.0_f64 / 20.0).sqrt()).abs() < 1e-14, "{norm}");
    }

    #[test]
    fn all_trajectories_together_are_one_of_all_coordinates() {
        let numbers = |shift: usize| (0..60).map(|i| ((i + shift) % 7) as f64 - 3.0).collect::<Vec<_>>();
        let (v, low, y, d) = (numbers(0), numbers(5), numbers(2), 20);
        for tol in [Tolerance::new(0.1, 0.2), Tolerance::new(&[0.1; 20][..], 0.2)] {
            let whole = [0.1; 60];
            let as_one = Tolerance { rtol: Bound::Each(&whole), ..tol };
            let r = &mut [0.0; 60];
            let one = error_norm(&v, &y, &y, 60, as_one, r);
            assert!((error_norm(&v, &y, &y, d, tol.together(), r) - one).abs() < 1e-14);
            assert!(one < error_norm(&v, &y, &y, d, tol, r));
            let one = pair_norm(&v, &mut low.clone(), &y, &y, 60, as_one, r);
            assert!((pair_norm(&v, &mut low.clone(), &y, &y, d, tol.together(), r) - one).abs() < 1e-14);
        }
        let mut bad = v.clone();
        bad[59] = f64::NAN;
        assert!(error_norm(&bad, &y, &y, d, TOL.together(), &mut [0.0; 60]).is_nan());
        assert!(pair_norm(&v, &mut bad, &y, &y, d, TOL.together(), &mut [0.0; 60]).is_nan());
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
                    assert!(error_norm(&v, &good, &state, d, TOL, &mut r).is_nan());
                    assert!(error_norm(&v, &state, &good, d, TOL, &mut r).is_nan());
                }
                let mut v = vec![1e-3; n * d];
                v[i] = f64::NAN;
                assert!(error_norm(&v, &v, &v, d, TOL, &mut vec![0.0; n * d]).is_nan());
            }
        }
    }

    #[test]
    fn two_estimates() {
        let (v, zero) = ([0.3, 0.4, 0.0, 0.0], [0.0; 4]);
        let norm =
            |v: &[f64; 4], low: [f64; 4]| pair_norm(v, &mut low.clone(), &zero, &zero, 2, TOL, &mut [0.0; 4]);
        assert!((norm(&v, zero) - 0.5_f64.sqrt()).abs() < 1e-14);
        // 0.5 / sqrt(0.5 + 0.01 * 50)
        assert!((norm(&v, [3.0, 4.0, 9.0, 9.0]) - 0.5).abs() < 1e-14);
        assert_eq!(norm(&zero, [1.0; 4]), 0.0);
        for bad in [f64::NAN, f64::INFINITY] {
            assert!(norm(&v, [0.0, 0.0, 0.0, bad]).is_nan() && norm(&[bad, 0.0, 0.0, 0.0], zero).is_nan());
        }
    }

    #[test]
    fn a_row_has_the_norm_of_the_worst_of_one() {
        let (a, b, low) = ([1.0, -3.0, 0.0], [1.5, 2.0, 0.0], [0.3, 0.0, -0.9]);
        let tol = Tolerance::new(0.1, 0.2);
        for bad in [0.25, 0.0, f64::NAN, f64::INFINITY] {
            let v = [0.1, bad, -0.4];
            let one = error_norm(&v, &a, &b, 3, tol, &mut [0.0; 3]);
            let two = pair_norm(&v, &mut low.clone(), &a, &b, 3, tol, &mut [0.0; 3]);
            for (is, must) in
                [(row_norm(&[v], &a, &b, 0.1, 0.2), one), (row_norm(&[v, low], &a, &b, 0.1, 0.2), two)]
            {
                let same = is.to_bits() == must.to_bits() || is.is_nan() && must.is_nan();
                assert!(same || (is - must).abs() < 1e-15, "{is} {must}");
            }
            let end = [b[0], b[1], bad];
            assert_eq!(row_norm(&[low], &a, &end, 0.1, 0.2).is_finite(), bad.is_finite());
        }
    }

    #[test]
    fn one_tolerance_a_coordinate() {
        let (v, y) = ([0.3, 0.4, 0.6, 0.1], [1.0; 4]);
        let same = error_norm(&v, &y, &y, 2, Tolerance::new(0.1, 0.2), &mut [0.0; 4]);
        let each = error_norm(&v, &y, &y, 2, Tolerance::new(&[0.1; 2], &[0.2; 2]), &mut [0.0; 4]);
        assert_eq!(same, each);
        let mixed = error_norm(&v, &y, &y, 2, Tolerance::new(0.0, &[1.0, 0.1]), &mut [0.0; 4]);
        assert!((mixed - f64::midpoint(0.09_f64, 16.0).sqrt()).abs() < 1e-12, "{mixed}");
    }

    #[test]
    fn zero_state_without_absolute_tolerance() {
        let tol = Tolerance::new(1e-3, 0.0);
        assert_eq!(error_norm(&[0.0], &[0.0], &[0.0], 1, tol, &mut [0.0]), 0.0);
        assert!(error_norm(&[1e-9], &[0.0], &[0.0], 1, tol, &mut [0.0]) > 1.0);
    }
}
