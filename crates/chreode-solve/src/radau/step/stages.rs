//! Arrays of one vector for each stage, and small matrices that act on them.

use std::ops::Range;

use chreode_core::Real;

/// The first `S` of the arrays.
#[inline(always)]
pub(super) fn array_mut<T, const S: usize>(all: &mut [Vec<T>]) -> &mut [Vec<T>; S] {
    #[allow(clippy::expect_used, reason = "there are as many as the highest order has stages")]
    all.first_chunk_mut().expect("an array for each stage")
}

/// These elements of the first `S` arrays.
#[inline(always)]
pub(super) fn rows_mut<T, const S: usize>(all: &mut [Vec<T>], at: Range<usize>) -> [&mut [T]; S] {
    array_mut::<T, S>(all).each_mut().map(|v| &mut v[at.clone()])
}

/// As [`rows_mut`].
#[inline(always)]
pub(super) fn rows<T, const S: usize>(all: &[Vec<T>], at: Range<usize>) -> [&[T]; S] {
    #[allow(clippy::expect_used, reason = "there are as many as the highest order has stages")]
    let first: &[Vec<T>; S] = all.first_chunk().expect("an array for each stage");
    first.each_ref().map(|v| &v[at.clone()])
}

/// `out = m v`, where `m` acts on the parts of `v`.
#[inline(always)]
pub(super) fn transform<T: Real, const S: usize, const R: usize>(
    m: &[[f64; R]; S],
    v: [&[T]; R],
    mut out: [&mut [T]; S],
) {
    let m = m.map(|row| row.map(T::c));
    let n = v[0].len();
    let v = v.map(|v| &v[..n]);
    for out in &mut out {
        *out = &mut std::mem::take(out)[..n];
    }
    for j in 0..n {
        let x = v.map(|v| v[j]);
        for (out, m) in out.iter_mut().zip(&m) {
            let mut sum = m[0] * x[0];
            for k in 1..R {
                sum += m[k] * x[k];
            }
            out[j] = sum;
        }
    }
}
