//! Weighted sums over stages and norms, for all lanes at once.

use chreode_core::Number;
use chreode_linalg::Lanes;

use super::group::LANES;
use crate::error_norm::TINY;

pub(super) type V<const ISA: u8> = Lanes<LANES, ISA>;

/// `out_j = y_j + step Σ_m w_m k_mj`, with row `m` of `k` at `m * d`.
#[inline(always)]
pub(super) fn combine<const ISA: u8>(
    y: &[V<ISA>],
    step: V<ISA>,
    w: &[f64],
    k: &[V<ISA>],
    out: &mut [V<ISA>],
) {
    // The number of terms is a constant in each instance, so that sums stay in registers.
    match w.len() {
        1 => terms::<1, ISA>(y, step, w, k, out),
        2 => terms::<2, ISA>(y, step, w, k, out),
        3 => terms::<3, ISA>(y, step, w, k, out),
        4 => terms::<4, ISA>(y, step, w, k, out),
        5 => terms::<5, ISA>(y, step, w, k, out),
        _ => terms::<6, ISA>(y, step, w, k, out),
    }
}

#[inline(always)]
fn terms<const N: usize, const ISA: u8>(
    y: &[V<ISA>],
    step: V<ISA>,
    w: &[f64],
    k: &[V<ISA>],
    out: &mut [V<ISA>],
) {
    let d = y.len();
    let out = &mut out[..d];
    let k: [&[V<ISA>]; N] = std::array::from_fn(|m| &k[m * d..(m + 1) * d]);
    for j in 0..d {
        out[j] = sum(&k, w, j).mul_add(step, y[j]);
    }
}

#[inline(always)]
fn sum<const N: usize, const ISA: u8>(k: &[&[V<ISA>]; N], w: &[f64], j: usize) -> V<ISA> {
    let mut s = k[0][j] * w[0];
    for m in 1..N {
        s = k[m][j].mul_add(V::c(w[m]), s);
    }
    s
}

/// Tolerances of every lane: one value for all coordinates, or one for each.
#[derive(Debug, Clone)]
pub(super) struct Scales<const ISA: u8> {
    /// Distance between the values of neighbouring coordinates: 0 or 1.
    pub(super) stride: usize,
    pub(super) rtol: Vec<V<ISA>>,
    pub(super) atol: Vec<V<ISA>>,
}

impl<const ISA: u8> Scales<ISA> {
    #[inline(always)]
    fn ratio(&self, j: usize, v: V<ISA>, a: V<ISA>, b: V<ISA>) -> V<ISA> {
        let size = b.abs().max(a.abs());
        let scale = self.rtol[j * self.stride].mul_add(size, self.atol[j * self.stride] + TINY);
        // Times zero: an infinite state, which would hide the error by its scale, becomes NaN.
        (a + b).mul_add(V::c(0.0), v / scale)
    }

    /// Root mean square of `v_j` in units of the tolerance at a state `y`.
    #[inline(always)]
    pub(super) fn norm(&self, v: impl Fn(usize) -> V<ISA>, y: &[V<ISA>]) -> V<ISA> {
        let mut squares = V::c(0.0);
        for j in 0..y.len() {
            let r = self.ratio(j, v(j), y[j], y[j]);
            squares = r.mul_add(r, squares);
        }
        (squares / y.len() as f64).sqrt()
    }

    /// The same for the error estimate `step Σ_m w_m k_mj` of a step from `y` to `y1`.
    #[inline(always)]
    pub(super) fn error(
        &self,
        step: V<ISA>,
        w: &[f64; 7],
        k: &[V<ISA>],
        y: &[V<ISA>],
        y1: &[V<ISA>],
    ) -> V<ISA> {
        let d = y.len();
        let k: [&[V<ISA>]; 7] = std::array::from_fn(|m| &k[m * d..(m + 1) * d]);
        let y1 = &y1[..d];
        let mut squares = V::c(0.0);
        for j in 0..d {
            let r = self.ratio(j, sum(&k, w, j) * step, y[j], y1[j]);
            squares = r.mul_add(r, squares);
        }
        (squares / d as f64).sqrt()
    }
}
