//! Rows of a Gibbs kernel `exp((f + h - c) / ε)`: what a pass of entropic optimal transport is made of.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::elementary::{self, Elementary};
use super::lane::is_f32;
use super::slices::has_fma;

/// Elements handled side by side: four registers of `f32` on AVX-512.
const BLOCK: usize = 64;
/// Larger exponents are cut off here, smaller ones than its negative are zero (and never subnormal).
const MAX_EXPONENT: f64 = 80.0;

struct GibbsRow<'a, T> {
    c: &'a [T],
    h: &'a [T],
    w: &'a [T],
    f: T,
    inv: T,
    out: &'a mut [T],
}

impl<T: Elementary> WithSimd for GibbsRow<'_, T> {
    type Output = T;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> T {
        if has_fma::<S>() { self.run::<true>() } else { self.run::<false>() }
    }
}

impl<T: Elementary> GibbsRow<'_, T> {
    #[inline(always)]
    fn run<const FMA: bool>(self) -> T {
        let (top, f, inv) = (T::c(MAX_EXPONENT), self.f, self.inv);
        let mut sum = [T::ZERO; BLOCK];
        let at = |c: T, h: T| {
            let e = (f + h - c) * inv;
            let e = if e > top { top } else { e };
            let k = elementary::exp::<T, FMA>(e);
            if e < -top { T::ZERO } else { k }
        };
        let (c, c_rest) = self.c.as_chunks::<BLOCK>();
        let (h, h_rest) = self.h.as_chunks::<BLOCK>();
        let (w, w_rest) = self.w.as_chunks::<BLOCK>();
        let (out, out_rest) = self.out.as_chunks_mut::<BLOCK>();
        for (((c, h), w), out) in c.iter().zip(h).zip(w).zip(out) {
            for l in 0..BLOCK {
                let k = at(c[l], h[l]);
                out[l] = k;
                sum[l] += w[l] * k;
            }
        }
        // The rest goes through the same arithmetic, padded.
        let n = c_rest.len();
        let (mut c, mut h, mut w, mut k) =
            ([T::ZERO; BLOCK], [T::ZERO; BLOCK], [T::ZERO; BLOCK], [T::ZERO; BLOCK]);
        c[..n].copy_from_slice(c_rest);
        h[..n].copy_from_slice(h_rest);
        w[..n].copy_from_slice(w_rest);
        if n > 0 {
            for l in 0..BLOCK {
                k[l] = at(c[l], h[l]);
            }
            for l in 0..n {
                sum[l] += w[l] * k[l];
            }
            out_rest.copy_from_slice(&k[..n]);
        }
        let mut width = BLOCK / 2;
        while width > 0 {
            for l in 0..width {
                sum[l] += sum[l + width];
            }
            width /= 2;
        }
        sum[0]
    }
}

#[inline(never)]
fn gibbs_f32(row: GibbsRow<'_, f32>) -> f32 {
    Arch::new().dispatch(row)
}
#[inline(never)]
fn gibbs_f64(row: GibbsRow<'_, f64>) -> f64 {
    Arch::new().dispatch(row)
}

/// A row of a Gibbs kernel: sets `out[j] = exp((f + h[j] - c[j]) · inv)` and returns `Σ w[j] out[j]`, in a fixed order.
///
/// `c`: costs of one point to all others; `h`: their potentials; `inv = 1 / ε`. Exponents above 80 are taken as 80, those below
/// -80 give zero; NaN stays NaN.
///
/// # Panics
/// If the slices differ in length.
pub fn gibbs_row<T: Real>(c: &[T], h: &[T], w: &[T], f: T, inv: T, out: &mut [T]) -> T {
    let n = c.len();
    assert!(h.len() == n && w.len() == n && out.len() == n, "gibbs_row: slices differ in length");
    if is_f32::<T>() {
        let row = GibbsRow {
            c: bytemuck::cast_slice(c),
            h: bytemuck::cast_slice(h),
            w: bytemuck::cast_slice(w),
            f: f.f64() as f32,
            inv: inv.f64() as f32,
            out: bytemuck::cast_slice_mut(out),
        };
        T::c(f64::from(gibbs_f32(row)))
    } else {
        let row = GibbsRow {
            c: bytemuck::cast_slice(c),
            h: bytemuck::cast_slice(h),
            w: bytemuck::cast_slice(w),
            f: f.f64(),
            inv: inv.f64(),
            out: bytemuck::cast_slice_mut(out),
        };
        T::c(gibbs_f64(row))
    }
}

struct AddRows<'a, T> {
    rows: &'a [T],
    s: &'a [T],
    out: &'a mut [T],
}

impl<T: Real> WithSimd for AddRows<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let n = self.out.len();
        let mut rows = self.rows;
        let mut s = self.s;
        while s.len() >= 4 {
            let (four, rest) = rows.split_at(4 * n);
            let (r0, four) = four.split_at(n);
            let (r1, four) = four.split_at(n);
            let (r2, r3) = four.split_at(n);
            for (j, o) in self.out.iter_mut().enumerate() {
                *o += (s[0] * r0[j] + s[1] * r1[j]) + (s[2] * r2[j] + s[3] * r3[j]);
            }
            (rows, s) = (rest, &s[4..]);
        }
        for (row, &s) in rows.chunks_exact(n.max(1)).zip(s) {
            for (o, &r) in self.out.iter_mut().zip(row) {
                *o += s * r;
            }
        }
    }
}

#[inline(never)]
fn add_rows_f32(sum: AddRows<'_, f32>) {
    Arch::new().dispatch(sum);
}
#[inline(never)]
fn add_rows_f64(sum: AddRows<'_, f64>) {
    Arch::new().dispatch(sum);
}

/// `out[j] += Σ_r s[r] rows[r, j]`, rows in ascending order, four at a time.
///
/// # Panics
/// If `rows` is not `[s.len(), out.len()]`.
pub fn add_rows<T: Real>(rows: &[T], s: &[T], out: &mut [T]) {
    assert_eq!(rows.len(), s.len() * out.len(), "add_rows: rows and sums do not fit together");
    if is_f32::<T>() {
        add_rows_f32(AddRows {
            rows: bytemuck::cast_slice(rows),
            s: bytemuck::cast_slice(s),
            out: bytemuck::cast_slice_mut(out),
        });
    } else {
        add_rows_f64(AddRows {
            rows: bytemuck::cast_slice(rows),
            s: bytemuck::cast_slice(s),
            out: bytemuck::cast_slice_mut(out),
        });
    }
}

struct Below<'a, T> {
    c: &'a [T],
    h: &'a [T],
    limit: T,
    first: u32,
    found: &'a mut Vec<u32>,
}

impl<T: Real> WithSimd for Below<'_, T> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        const WIDTH: usize = 32;
        let limit = self.limit;
        let (c, c_rest) = self.c.as_chunks::<WIDTH>();
        let (h, h_rest) = self.h.as_chunks::<WIDTH>();
        let mut j = self.first;
        for (c, h) in c.iter().zip(h) {
            let mut low = [T::ZERO; WIDTH];
            for l in 0..WIDTH {
                low[l] = c[l] - h[l];
            }
            let mut any = false;
            for v in low {
                any |= v < limit;
            }
            if any {
                for (l, v) in low.iter().enumerate() {
                    if *v < limit {
                        self.found.push(j + l as u32);
                    }
                }
            }
            j += WIDTH as u32;
        }
        for (&c, &h) in c_rest.iter().zip(h_rest) {
            if c - h < limit {
                self.found.push(j);
            }
            j += 1;
        }
    }
}

#[inline(never)]
fn below_f32(row: Below<'_, f32>) {
    Arch::new().dispatch(row);
}
#[inline(never)]
fn below_f64(row: Below<'_, f64>) {
    Arch::new().dispatch(row);
}

/// Appends to `found` the positions `j`, ascending, where `c[j] - h[j] < limit`.
///
/// # Panics
/// If the slices differ in length.
pub fn indices_below<T: Real>(c: &[T], h: &[T], limit: T, found: &mut Vec<u32>) {
    assert_eq!(c.len(), h.len(), "indices_below: slices differ in length");
    if is_f32::<T>() {
        let (c, h) = (bytemuck::cast_slice(c), bytemuck::cast_slice(h));
        below_f32(Below { c, h, limit: limit.f64() as f32, first: 0, found });
    } else {
        let (c, h) = (bytemuck::cast_slice(c), bytemuck::cast_slice(h));
        below_f64(Below { c, h, limit: limit.f64(), first: 0, found });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize, k: f64) -> Vec<f64> {
        (0..n).map(|i| (k * i as f64).sin()).collect()
    }

    #[test]
    fn rows_are_what_plain_numbers_give() {
        for n in [1, 63, 64, 65, 200] {
            let (c, h) = (wave(n, 0.7), wave(n, 1.1));
            let w: Vec<f64> = wave(n, 0.3).iter().map(|v| v + 1.1).collect();
            let mut out = vec![0.0; n];
            let sum = gibbs_row(&c, &h, &w, 0.2, 5.0, &mut out);
            let want: Vec<f64> = c.iter().zip(&h).map(|(c, h)| ((0.2 + h - c) * 5.0).exp()).collect();
            let total: f64 = want.iter().zip(&w).map(|(k, w)| k * w).sum();
            assert!((sum - total).abs() < 1e-12 * total);
            assert!(out.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-13 * b));
            let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
            let single = gibbs_row(&narrow(&c), &narrow(&h), &narrow(&w), 0.2, 5.0, &mut vec![0.0; n]);
            assert!((f64::from(single) - total).abs() < 1e-5 * total);
        }
    }

    #[test]
    fn exponents_are_cut_off() {
        let mut out = [1.0_f32; 3];
        let sum = gibbs_row(&[1e3, -1e3, f32::NAN], &[0.0; 3], &[1.0; 3], 0.0, 1.0, &mut out);
        assert!(out[0] == 0.0 && out[1].is_finite() && out[1] > 1e34 && out[2].is_nan() && sum.is_nan());
    }

    #[test]
    fn rows_are_added() {
        for (m, n) in [(1, 5), (4, 33), (7, 64), (0, 3)] {
            let (rows, s) = (wave(m * n, 0.9), wave(m, 2.0));
            let mut out = vec![0.5; n];
            add_rows(&rows, &s, &mut out);
            for (j, o) in out.iter().enumerate() {
                let want: f64 = 0.5 + (0..m).map(|r| s[r] * rows[r * n + j]).sum::<f64>();
                assert!((o - want).abs() < 1e-14);
            }
        }
    }

    #[test]
    fn positions_below_a_limit() {
        let (c, h) = (wave(150, 0.37), wave(150, 0.1));
        let mut found = vec![7];
        indices_below(&c, &h, -0.5, &mut found);
        let want: Vec<u32> = (0..150).filter(|&j| c[j as usize] - h[j as usize] < -0.5).collect();
        assert!(!want.is_empty() && found[0] == 7 && found[1..] == want);
    }
}
