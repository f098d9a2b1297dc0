//! The restricted three-body problem on a closed orbit that passes close to the smaller body: steps must vary by orders of
//! magnitude. Source: [HNW93] section II.0.

use chreode_core::Real;

use super::smooth::{Case, Smooth, SmoothField};

/// A body without mass in the frame that turns with two others, of masses `1 - μ` and `μ`; state `[x, y, x', y']`,
/// `p = [μ]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Arenstorf;

impl Arenstorf {
    pub(super) fn case() -> Case {
        Case {
            name: "Arenstorf",
            field: Box::new(SmoothField(Self)),
            p: vec![0.012277471],
            y0: vec![0.994, 0.0, 0.0, -2.00158510637908252240537862224],
            span: (0.0, 17.0652165601579625588917206249),
            end: vec![0.993999999999973996, -8.855134e-14, -1.438866737e-11, -2.00158510638312901984],
        }
    }
}

/// Coordinates relative to both bodies, and for each the distance to the power of -3 and -5.
fn relative<T: Real>(y: &[T], mu: T) -> ([T; 2], [T; 2], [T; 2]) {
    let x = [y[0] + mu, y[0] - (T::ONE - mu)];
    let inverse = x.map(|x| T::ONE / (x * x + y[1] * y[1]));
    let cubes = inverse.map(|i| i * i.sqrt());
    (x, cubes, [cubes[0] * inverse[0], cubes[1] * inverse[1]])
}

impl Smooth for Arenstorf {
    const DIM: usize = 4;
    const N_PARAMS: usize = 1;
    #[inline(always)]
    fn f<T: Real>(_t: f64, y: &[T], p: &[T], dy: &mut [T]) {
        let (mu, mu1) = (p[0], T::ONE - p[0]);
        let (a, b) = (y[0] + mu, y[0] - mu1);
        let (r1, r2) = (a * a + y[1] * y[1], b * b + y[1] * y[1]);
        let (d1, d2) = (r1 * r1.sqrt(), r2 * r2.sqrt());
        let two = T::c(2.0);
        (dy[0], dy[1]) = (y[2], y[3]);
        dy[2] = y[0] + two * y[3] - mu1 * a / d1 - mu * b / d2;
        dy[3] = y[1] - two * y[2] - mu1 * y[1] / d1 - mu * y[1] / d2;
    }
    fn df_dy<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        let m = [T::ONE - p[0], p[0]];
        let (x, cubes, fifths) = relative(y, p[0]);
        let (three, two) = (T::c(3.0), T::c(2.0));
        (j[0][2], j[1][3], j[2][3], j[3][2]) = (T::ONE, T::ONE, two, -two);
        (j[2][0], j[3][1]) = (T::ONE, T::ONE);
        for i in 0..2 {
            j[2][0] -= m[i] * (cubes[i] - three * x[i] * x[i] * fifths[i]);
            j[3][1] -= m[i] * (cubes[i] - three * y[1] * y[1] * fifths[i]);
            j[2][1] += three * m[i] * x[i] * y[1] * fifths[i];
        }
        j[3][0] = j[2][1];
    }
    fn df_dp<T: Real>(_t: f64, y: &[T], p: &[T], j: &mut [[T; 8]; 8]) {
        let m = [T::ONE - p[0], p[0]];
        let (x, cubes, fifths) = relative(y, p[0]);
        let three = T::c(3.0);
        j[2][0] = x[0] * cubes[0] - x[1] * cubes[1];
        j[3][0] = y[1] * (cubes[0] - cubes[1]);
        for i in 0..2 {
            j[2][0] -= m[i] * (cubes[i] - three * x[i] * x[i] * fifths[i]);
            j[3][0] += three * m[i] * x[i] * y[1] * fifths[i];
        }
    }
}
