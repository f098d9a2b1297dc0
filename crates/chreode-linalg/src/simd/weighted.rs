//! Weighted sums of rows: the arithmetic of a Runge-Kutta step.

use chreode_core::Real;
use pulp::{Simd, WithSimd};

use super::dispatch::ARCH;
use super::lane::is_f32;

struct WeightedSum<'a, T> {
    base: Option<&'a [T]>,
    h: T,
    weights: &'a [T],
    rows: &'a [u8],
    k: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> WithSimd for WeightedSum<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) {
        let n = self.out.len();
        let mut start = 0;
        while start + 32 <= n {
            self.block::<32>(start);
            start += 32;
        }
        if start + 16 <= n {
            self.block::<16>(start);
            start += 16;
        }
        if start + 8 <= n {
            self.block::<8>(start);
            start += 8;
        }
        if start + 4 <= n {
            self.block::<4>(start);
            start += 4;
        }
        while start < n {
            self.block::<1>(start);
            start += 1;
        }
    }
}

impl<T: Real> WeightedSum<'_, T> {
    /// `B` positions at once: the sums stay in registers, and each row is read once.
    #[inline(always)]
    fn block<const B: usize>(&mut self, start: usize) {
        let n = self.out.len();
        let (Some((&last, weights)), Some((&last_row, rows))) =
            (self.weights.split_last(), self.rows.split_last())
        else {
            return;
        };
        let k = |row: u8| &self.k[usize::from(row) * n + start..][..B];
        let mut sum = [T::ZERO; B];
        for (&w, &row) in weights.iter().zip(rows) {
            let k = k(row);
            for j in 0..B {
                sum[j] += w * k[j];
            }
        }
        let (last, k) = (self.h * last, k(last_row));
        let out = &mut self.out[start..start + B];
        if let Some(base) = self.base {
            let base = &base[start..start + B];
            for j in 0..B {
                out[j] = (base[j] + self.h * sum[j]) + last * k[j];
            }
        } else {
            for j in 0..B {
                out[j] = self.h * sum[j] + last * k[j];
            }
        }
    }
}

// Compiled here, once: a generic function would be compiled again by every crate that calls it.
#[inline(never)]
fn run_f32(op: WeightedSum<'_, f32>) {
    ARCH.dispatch(op);
}
#[inline(never)]
fn run_f64(op: WeightedSum<'_, f64>) {
    ARCH.dispatch(op);
}

/// `out = base + h Σ_m weights[m] · k[rows[m]]`, where row `i` of `k` begins at `i * out.len()`; without a base, zero.
///
/// Terms are added in their order, without fused operations, and the last one for itself:
/// `(base + h Σ others) + (h w) k`, so that all else is ready when the last row is made. The bits depend neither on the
/// instruction set nor on the place in the row.
///
/// # Panics
/// If `weights` and `rows`, or `base` and `out`, differ in length, or if `k` lacks a row.
pub fn weighted_sum<T: Real>(base: Option<&[T]>, h: T, weights: &[T], rows: &[u8], k: &[T], out: &mut [T]) {
    assert_eq!(weights.len(), rows.len(), "weighted sum: a weight for each row");
    assert!(base.is_none_or(|b| b.len() == out.len()), "weighted sum: base and result of different lengths");
    if weights.is_empty() {
        match base {
            Some(base) => out.copy_from_slice(base),
            None => out.fill(T::ZERO),
        }
    } else if is_f32::<T>() {
        run_f32(WeightedSum {
            base: base.map(bytemuck::cast_slice),
            h: h.f64() as f32,
            weights: bytemuck::cast_slice(weights),
            rows,
            k: bytemuck::cast_slice(k),
            out: bytemuck::cast_slice_mut(out),
        });
    } else {
        run_f64(WeightedSum {
            base: base.map(bytemuck::cast_slice),
            h: h.f64(),
            weights: bytemuck::cast_slice(weights),
            rows,
            k: bytemuck::cast_slice(k),
            out: bytemuck::cast_slice_mut(out),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<T: Real>(n: usize, x: &[f64], rows: &[u8], h: f64) {
        let k: Vec<T> = x.iter().cycle().take(8 * n).map(|&x| T::c(x)).collect();
        let w: Vec<T> = x.iter().rev().take(rows.len()).map(|&x| T::c(x)).collect();
        let base = &k[..n];
        let (mut with, mut without) = (vec![T::ZERO; n], vec![T::ZERO; n]);
        weighted_sum(Some(base), T::c(h), &w, rows, &k, &mut with);
        weighted_sum(None, T::c(h), &w, rows, &k, &mut without);
        for j in 0..n {
            let mut terms: Vec<_> =
                w.iter().zip(rows).map(|(&w, &row)| (w, k[usize::from(row) * n + j])).collect();
            let (w, newest) = terms.pop().unwrap_or((T::ZERO, T::ZERO));
            let older = T::c(h) * terms.iter().fold(T::ZERO, |s, &(w, k)| s + w * k);
            let last = (T::c(h) * w) * newest;
            assert_eq!((with[j], without[j]), ((base[j] + older) + last, older + last), "{n} {j}");
        }
    }

    proptest! {
        #[test]
        fn same_bits_as_a_plain_loop(n in 0_usize..140, x in prop::collection::vec(-2.0..2.0_f64, 40), rows in prop::collection::vec(0_u8..8, 0..20), h in -1.0..1.0_f64) {
            check::<f64>(n, &x, &rows, h);
            check::<f32>(n, &x, &rows, h);
        }
    }
}
