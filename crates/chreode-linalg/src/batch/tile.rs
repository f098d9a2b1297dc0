//! The kernel: a tile of `MR` rows and `NV` registers of columns, summed over k in ascending order.

use pulp::Simd;

use crate::simd::lane::Lane;

/// `acc[i, j] += Σ_k A(i, k) · panel[k, j]`, or the squared difference instead of the product.
///
/// One accumulator per element and ascending k: the bits of an element do not depend on the tile's shape.
/// `A(i, k)` is `a[i * ld + k]`, or `a[k * ld + i]` if `AT`.
#[inline(always)]
pub(crate) fn accumulate<
    T: Lane,
    S: Simd,
    const MR: usize,
    const NV: usize,
    const AT: bool,
    const DISTANCE: bool,
>(
    simd: S,
    a: &[T],
    ld: usize,
    panel: &[T::V<S>],
    mut acc: [[T::V<S>; NV]; MR],
) -> [[T::V<S>; NV]; MR] {
    let kc = panel.len() / NV;
    let rows: [&[T]; MR] = std::array::from_fn(|i| if AT { &a[..0] } else { &a[i * ld..i * ld + kc] });
    for (k, b) in panel.chunks_exact(NV).enumerate() {
        let b: [T::V<S>; NV] = std::array::from_fn(|j| b[j]);
        let column: &[T] = if AT { &a[k * ld..k * ld + MR] } else { &[] };
        for i in 0..MR {
            let x = T::splat(simd, if AT { column[i] } else { rows[i][k] });
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
