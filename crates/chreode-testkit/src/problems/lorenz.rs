//! Lorenz's convection: sensitive to its start, short enough here to have a reference.

use chreode_core::Real;

use super::smooth::{Case, Smooth, SmoothField};

/// `x' = σ (y - x)`, `y' = x (ρ - z) - y`, `z' = x y - β z`; `p = [σ, ρ, β]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lorenz;

impl Lorenz {
    pub(super) fn case() -> Case {
        Case {
            name: "Lorenz",
            field: Box::new(SmoothField(Self)),
            p: vec![10.0, 28.0, 8.0 / 3.0],
            y0: vec![1.0; 3],
            span: (0.0, 2.0),
            end: vec![-8.17349993224224886958139, -9.56202368679879801797895, 24.62070204967966598325992],
        }
    }
}

impl Lorenz {
    /// From a start that other programs are measured on, over a time in which errors grow a thousandfold.
    pub(super) fn long_case() -> Case {
        Case {
            y0: vec![1.0, 0.0, 0.0],
            span: (0.0, 10.0),
            end: vec![-5.85768538242409079510320, -5.83108248642609794102555, 23.9321329870275691416075],
            ..Self::case()
        }
    }
}

impl Smooth for Lorenz {
    const DIM: usize = 3;
    const N_PARAMS: usize = 3;
    #[inline(always)]
    fn f<T: Real>(_t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        dy[0] = p[0] * (y[1] - y[0]);
        dy[1] = y[0] * (p[1] - y[2]) - y[1];
        dy[2] = y[0] * y[1] - p[2] * y[2];
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        (j[0][0], j[0][1]) = (-p[0], p[0]);
        (j[1][0], j[1][1], j[1][2]) = (p[1] - y[2], -T::ONE, -y[0]);
        (j[2][0], j[2][1], j[2][2]) = (y[1], y[0], -p[2]);
    }
    fn df_dp<T: Real>(_t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][0] = y[1] - y[0];
        j[1][1] = y[0];
        j[2][2] = -y[2];
    }
}
