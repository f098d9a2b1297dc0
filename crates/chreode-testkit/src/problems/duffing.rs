//! A driven oscillator with a cubic spring: non-linear and non-autonomous, also in a parameter.

use chreode_core::Real;

use super::smooth::{Case, Smooth, SmoothField};

/// `x' = v`, `v' = -δ v - α x - β x³ + γ cos ω t`; `p = [δ, α, β, γ, ω]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Duffing;

impl Duffing {
    pub(super) fn case() -> Case {
        Case {
            name: "Duffing",
            field: Box::new(SmoothField(Self)),
            p: vec![0.2, -1.0, 1.0, 0.3, 1.2],
            y0: vec![0.5, 0.0],
            span: (0.0, 10.0),
            end: vec![-0.27228028205927946492728, -0.38390207561325380042897],
        }
    }
}

impl Smooth for Duffing {
    const DIM: usize = 2;
    const N_PARAMS: usize = 5;
    fn f<T: Real>(t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        let x = y[0];
        dy[0] = y[1];
        dy[1] = -p[0] * y[1] - p[1] * x - p[2] * x * x * x + p[3] * T::c((p[4].f64() * t).cos());
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][1] = T::ONE;
        (j[1][0], j[1][1]) = (-p[1] - T::c(3.0) * p[2] * y[0] * y[0], -p[0]);
    }
    fn df_dp<T: Real>(t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        let (sin, cos) = (p[4].f64() * t).sin_cos();
        let x = y[0];
        j[1][..5].copy_from_slice(&[-y[1], -x, -x * x * x, T::c(cos), -p[3] * T::c(t * sin)]);
    }
}
