//! A chemical oscillator: slow drifts and sudden jumps, so that an adaptive step has work to do.

use chreode_core::Real;

use super::smooth::{Case, Smooth, SmoothField};

/// `u' = a + u² v - (b + 1) u`, `v' = b u - u² v`; `p = [a, b]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Brusselator;

impl Brusselator {
    pub(super) fn case() -> Case {
        Case {
            name: "Brusselator",
            field: Box::new(SmoothField(Self)),
            p: vec![1.0, 3.0],
            y0: vec![1.5, 3.0],
            span: (0.0, 10.0),
            end: vec![0.413558783001955894001534, 2.989025379473972898932766],
        }
    }
}

impl Smooth for Brusselator {
    const DIM: usize = 2;
    const N_PARAMS: usize = 2;
    fn f<T: Real>(_t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        let uuv = y[0] * y[0] * y[1];
        dy[0] = p[0] + uuv - (p[1] + T::ONE) * y[0];
        dy[1] = p[1] * y[0] - uuv;
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        let (uv2, uu) = (T::c(2.0) * y[0] * y[1], y[0] * y[0]);
        (j[0][0], j[0][1]) = (uv2 - p[1] - T::ONE, uu);
        (j[1][0], j[1][1]) = (p[1] - uv2, -uu);
    }
    fn df_dp<T: Real>(_t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][0] = T::ONE;
        (j[0][1], j[1][1]) = (-y[0], y[0]);
    }
}
