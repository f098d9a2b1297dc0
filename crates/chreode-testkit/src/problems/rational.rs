//! The smallest problem that is neither linear nor autonomous, with a closed form.

use chreode_core::Real;

use super::smooth::{Case, Smooth, SmoothField};

/// `y' = -2 p t y²`, solved by `y(t) = 1 / (1 / y(0) + p t²)`.
///
/// A linear problem tests the tall trees among the order conditions only, so a wrong tableau can pass it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rational;

impl Rational {
    /// The solution at `t`, from `y0` at time 0.
    pub fn exact(t: f64, y0: f64, p: f64) -> f64 {
        1.0 / (1.0 / y0 + p * t * t)
    }

    pub(super) fn case() -> Case {
        Case {
            name: "rational",
            field: Box::new(SmoothField(Self)),
            p: vec![1.0],
            y0: vec![0.5],
            span: (0.0, 2.0),
            end: vec![1.0 / 6.0],
        }
    }
}

impl Smooth for Rational {
    const DIM: usize = 1;
    const N_PARAMS: usize = 1;
    fn f<T: Real>(t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        dy[0] = T::c(-2.0 * t) * p[0] * y[0] * y[0];
    }
    fn df_dy<T: Real>(t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][0] = T::c(-4.0 * t) * p[0] * y[0];
    }
    fn df_dp<T: Real>(t: f64, y: &[T], _p: &[T], j: &mut [[T; 8]; 8]) {
        j[0][0] = T::c(-2.0 * t) * y[0] * y[0];
    }
}
