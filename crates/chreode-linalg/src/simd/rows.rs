//! Reductions over a row: log-sum-exp and the soft minimum of optimal transport.

use chreode_core::Real;
use pulp::{Arch, Simd, WithSimd};

use super::elementary::{self, Elementary};
use super::lane::is_f32;
use super::slices::has_fma;

/// Partial results kept side by side; they are combined in one fixed order.
const BLOCK: usize = 64;

/// `ln Σ exp(scale · (h[j] - c[j]))`; `c` may be missing (zero).
struct LogSumExp<'a, T> {
    h: &'a [T],
    c: Option<&'a [T]>,
    scale: T,
}

impl<T: Elementary> LogSumExp<'_, T> {
    /// `h[j] - c[j]` of one block; `-∞` in the padding.
    #[inline(always)]
    fn block(&self, start: usize) -> [T; BLOCK] {
        let mut x = [T::c(f64::NEG_INFINITY); BLOCK];
        if start + BLOCK <= self.h.len() {
            let h = &self.h[start..start + BLOCK];
            if let Some(c) = self.c {
                let c = &c[start..start + BLOCK];
                for i in 0..BLOCK {
                    x[i] = h[i] - c[i];
                }
            } else {
                x.copy_from_slice(h);
            }
        } else {
            for i in 0..self.h.len() - start {
                x[i] =
                    if let Some(c) = self.c { self.h[start + i] - c[start + i] } else { self.h[start + i] };
            }
        }
        x
    }

    #[inline(always)]
    fn run<const FMA: bool>(self) -> T {
        let mut top = [T::c(f64::NEG_INFINITY); BLOCK];
        let mut start = 0;
        while start < self.h.len() {
            let x = self.block(start);
            for i in 0..BLOCK {
                top[i] = if x[i] > top[i] { x[i] } else { top[i] };
            }
            start += BLOCK;
        }
        let top = fold(top, |a, b| if b > a { b } else { a });
        // An infinite maximum decides the result by itself: without a shift, exp gives 0 or ∞ there.
        let shift = if top.is_finite() { top } else { T::ZERO };
        let mut sum = [T::ZERO; BLOCK];
        let mut start = 0;
        while start < self.h.len() {
            let x = self.block(start);
            for i in 0..BLOCK {
                sum[i] += elementary::exp::<T, FMA>((x[i] - shift) * self.scale);
            }
            start += BLOCK;
        }
        shift * self.scale + Real::ln(fold(sum, |a, b| a + b))
    }
}

/// Halves the array until one is left: a fixed tree.
#[inline(always)]
fn fold<T: Elementary>(mut x: [T; BLOCK], f: impl Fn(T, T) -> T) -> T {
    let mut width = BLOCK / 2;
    while width > 0 {
        for i in 0..width {
            x[i] = f(x[i], x[i + width]);
        }
        width /= 2;
    }
    x[0]
}

impl<T: Elementary> WithSimd for LogSumExp<'_, T> {
    type Output = T;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> T {
        if has_fma::<S>() { self.run::<true>() } else { self.run::<false>() }
    }
}

// Not generic, so that they are compiled in this crate alone.
#[inline(never)]
fn run_f32(row: LogSumExp<'_, f32>) -> f32 {
    Arch::new().dispatch(row)
}
#[inline(never)]
fn run_f64(row: LogSumExp<'_, f64>) -> f64 {
    Arch::new().dispatch(row)
}

fn dispatch<T: Real>(h: &[T], c: Option<&[T]>, scale: f64) -> T {
    if is_f32::<T>() {
        let (h, c) = (bytemuck::cast_slice(h), c.map(bytemuck::cast_slice));
        T::c(f64::from(run_f32(LogSumExp { h, c, scale: scale as f32 })))
    } else {
        let (h, c) = (bytemuck::cast_slice(h), c.map(bytemuck::cast_slice));
        T::c(run_f64(LogSumExp { h, c, scale }))
    }
}

/// `ln Σ exp(x[j])` without overflow; `-∞` for an empty slice, NaN if an element is.
///
/// The sum runs in a fixed order: 64 interleaved partial sums, then a tree. Error at most 4 ulp of the result where that is no less in
/// magnitude than 1 and than the largest element, else 4 ulp of the larger of those two: a result near zero is what is left of a
/// largest element and a logarithm that cancel.
pub fn log_sum_exp<T: Real>(x: &[T]) -> T {
    dispatch(x, None, 1.0)
}

/// The soft minimum of a row of costs: `-ε ln Σ_j exp((h[j] - c[j]) / ε)`.
///
/// `c`: costs of one point to all others; `h`: their potentials, to which `ε ln(weight)` was added. This is the
/// update of a Sinkhorn iteration in the log domain [Peyré & Cuturi 2019, section 4.4]: two passes over the
/// row, one exponential an element. `epsilon > 0`. The order of the sum is fixed. `+∞` where every
/// `h[j]` is `-∞`; NaN if an element is.
///
/// # Panics
/// If the slices differ in length.
pub fn softmin_row<T: Real>(c: &[T], h: &[T], epsilon: T) -> T {
    assert_eq!(c.len(), h.len(), "softmin_row: costs and potentials differ in length");
    -epsilon * dispatch(h, Some(c), 1.0 / epsilon.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain numbers, as on a machine without vectors, give what the best instruction set gives, to the error that each may have.
    #[test]
    fn rows_without_vectors() {
        let value = |i: usize| (i * 7_919 % 1_009) as f64 / 1_009.0;
        for len in [0, 1, 2, 63, 64, 65, 200, 1_000] {
            for span in [0.5, 20.0, 300.0] {
                let h: Vec<f64> = (0..len).map(|i| span * (value(i) - 0.5)).collect();
                let c: Vec<f64> = (0..len).map(|i| span * value(i + 31)).collect();
                for (c, scale) in [(None, 1.0), (Some(&c[..]), 0.7)] {
                    let plain = LogSumExp { h: &h, c, scale }.with_simd(pulp::Scalar::new());
                    let vector = run_f64(LogSumExp { h: &h, c, scale });
                    let near = |plain: f64, vector: f64, epsilon: f64| {
                        plain == vector || (plain - vector).abs() <= 8.0 * epsilon * vector.abs().max(span)
                    };
                    assert!(near(plain, vector, f64::EPSILON), "{len} within {span}: {plain} {vector}");
                    let single = |x: &[f64]| x.iter().map(|&x| x as f32).collect::<Vec<_>>();
                    let (h, c) = (single(&h), c.map(single));
                    let row = || LogSumExp { h: &h, c: c.as_deref(), scale: scale as f32 };
                    let (plain, vector) = (row().with_simd(pulp::Scalar::new()), run_f32(row()));
                    assert!(near(plain.into(), vector.into(), f32::EPSILON.into()), "{plain} {vector}");
                }
            }
        }
        let ends = |h: &[f32]| LogSumExp { h, c: None, scale: 1.0 }.with_simd(pulp::Scalar::new());
        let inf = f32::INFINITY;
        assert_eq!((ends(&[-inf, -inf]), ends(&[-inf, 1.5]), ends(&[inf, 1.0])), (-inf, 1.5, inf));
        assert!(ends(&[f32::NAN, 1.0]).is_nan() && ends(&[1.0, f32::NAN, -inf]).is_nan());
    }
}
