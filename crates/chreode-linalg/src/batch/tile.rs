//! The kernel: a tile of `MR` rows and `NV` registers of columns, summed over k in ascending order.

use pulp::Simd;

use crate::simd::lane::Lane;

/// `acc[i, j] += Σ_k A(i, k) · panel[k, j]`, or the squared difference instead of the product.
///
/// One accumulator per element and ascending k: the bits of an element do not depend on the tile's shape.
/// `A(i, k)` is `a[i * row + k * step]`: one instance serves matrices and their transposes.
///
/// # Panics
/// If `a` is too short for that.
#[inline(always)]
#[allow(unsafe_code, reason = "a bounds check at each of the broadcasts would double the time")]
pub(crate) fn accumulate<T: Lane, S: Simd, const MR: usize, const NV: usize, const DISTANCE: bool>(
    simd: S,
    a: &[T],
    (row, step): (usize, usize),
    panel: &[T::V<S>],
    mut acc: [[T::V<S>; NV]; MR],
) -> [[T::V<S>; NV]; MR] {
    let kc = panel.len() / NV;
    if kc == 0 {
        return acc;
    }
    let last = (MR - 1).saturating_mul(row).saturating_add((kc - 1).saturating_mul(step));
    assert!(last < a.len(), "tile: A ends before its last element");
    // The compiler must not see how the rows lie to each other: it would make each address from the one before, a chain that
    // takes as long as the sums.
    let mut rows = [0; MR];
    for (i, start) in rows.iter_mut().enumerate() {
        *start = std::hint::black_box(i * row);
    }
    for (k, b) in panel.chunks_exact(NV).enumerate() {
        let b: [T::V<S>; NV] = std::array::from_fn(|j| b[j]);
        for i in 0..MR {
            // SAFETY: `i <= MR - 1` and `k <= kc - 1`, so that the index is at most `last`, which lies in `a`.
            let x = T::splat(simd, unsafe { *a.get_unchecked(k * step + rows[i]) });
            for j in 0..NV {
                acc[i][j] = if DISTANCE {
                    let d = T::sub_v(simd, x, b[j]);
                    T::mul_add(simd, d, d, acc[i][j])
                } else {
                    T::mul_add(simd, x, b[j], acc[i][j])
                };
            }
        }
    }
    acc
}
