//! Predator and prey: a closed orbit, every parameter identifiable from it.

use chreode_core::Real;

use super::smooth::{Case, Smooth, SmoothField};

/// `u' = a u - b u v`, `v' = c u v - e v`; `p = [a, b, c, e]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LotkaVolterra;

impl LotkaVolterra {
    pub(super) fn case() -> Case {
        Case {
            name: "Lotka-Volterra",
            field: Box::new(SmoothField(Self)),
            p: vec![1.5, 1.0, 0.75, 3.0],
            y0: vec![1.0, 0.5],
            span: (0.0, 5.0),
            end: vec![6.075514746084328154484310, 0.134293499981411646471506],
        }
    }
}

impl LotkaVolterra {
    /// Twenty-five turns.
    pub(super) fn long_case() -> Case {
        Case {
            p: vec![1.5, 1.0, 1.0, 3.0],
            y0: vec![1.0, 1.0],
            span: (0.0, 100.0),
            end: vec![1.4924249378651620035658, 0.424888250072087557843],
            ..Self::case()
        }
    }
}

impl Smooth for LotkaVolterra {
    const DIM: usize = 2;
    const N_PARAMS: usize = 4;
    fn f<T: Real>(_t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        dy[0] = p[0] * y[0] - p[1] * y[0] * y[1];
        dy[1] = p[2] * y[0] * y[1] - p[3] * y[1];
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][0] = p[0] - p[1] * y[1];
        j[0][1] = -p[1] * y[0];
        j[1][0] = p[2] * y[1];
        j[1][1] = p[2] * y[0] - p[3];
    }
    fn df_dp<T: Real>(_t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][0] = y[0];
        j[0][1] = -y[0] * y[1];
        j[1][2] = y[0] * y[1];
        j[1][3] = -y[1];
    }
}
