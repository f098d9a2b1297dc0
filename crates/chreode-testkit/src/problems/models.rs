//! The corpus once more, written for every number type, and two models with what the corpus lacks: branches and
//! fitted exponents, and a sparse Jacobian.

use chreode_core::{Dynamics, Number, c, put, take};

use super::{Brusselator, Duffing, Lorenz, LotkaVolterra, Rational};

/// Implements [`Dynamics`] for a problem of the corpus, whose derivatives are written by hand elsewhere.
macro_rules! model {
    ($name:ident, $d:literal, $np:literal, |$t:ident, $y:ident, $p:ident| $f:expr) => {
        impl Dynamics for $name {
            fn dim(&self) -> usize {
                $d
            }
            fn n_params(&self) -> usize {
                $np
            }
            #[inline(always)]
            fn eval<S: Number>(&self, $t: S, y: &[S], p: &[S], dy: &mut [S]) {
                let $y: [S; $d] = take(y);
                let $p: [S; $np] = take(p);
                put(dy, $f);
            }
        }
    };
}

model!(Rational, 1, 1, |t, y, p| [t * -2.0 * p[0] * y[0] * y[0]]);
model!(LotkaVolterra, 2, 4, |_t, y, p| {
    let meetings = y[0] * y[1];
    [p[0] * y[0] - p[1] * meetings, p[2] * meetings - p[3] * y[1]]
});
model!(Lorenz, 3, 3, |_t, y, p| [
    p[0] * (y[1] - y[0]),
    y[0] * (p[1] - y[2]) - y[1],
    y[0] * y[1] - p[2] * y[2]
]);
model!(Brusselator, 2, 2, |_t, y, p| {
    let uuv = y[0] * y[0] * y[1];
    [p[0] + uuv - (p[1] + 1.0) * y[0], p[1] * y[0] - uuv]
});
model!(Duffing, 2, 5, |t, y, p| {
    let x = y[0];
    [y[1], -p[0] * y[1] - p[1] * x - p[2] * x * x * x + p[3] * (p[4] * t).cos()]
});

/// Gardner's toggle switch: two genes that repress each other, the second with a warm-up, and a stimulus of the
/// first until `off`. `p = [α1, α2, n, k, stimulus]`; the exponent `n` is fitted.
#[derive(Debug, Clone, Copy)]
pub struct Toggle {
    /// When the stimulus ends.
    pub off: f64,
}

impl Dynamics for Toggle {
    fn dim(&self) -> usize {
        2
    }
    fn n_params(&self) -> usize {
        5
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let [u, v] = take(y);
        let [a1, a2, n, k, stimulus] = take(p);
        let (u, v) = (u.max(S::c(0.0)), v.max(S::c(0.0)));
        let on = S::select(t.lt(S::c(self.off)), stimulus, S::c(0.0));
        let warm = c(1.0) + (-(k * t)).exp();
        put(dy, [a1 / (c(1.0) + v.powf(n)) - u + on, a2 * warm / (c(1.0) + u.powi(3)) - v]);
    }
}

/// The Brusselator on a line of `cells` places with diffusion, reflecting ends: `2 cells` coordinates, of which each
/// sees at most four. `y = [u_0, v_0, u_1, ..]`, `p = [a, b, α]`.
#[derive(Debug, Clone, Copy)]
pub struct BrusselatorModel {
    /// Number of places.
    pub cells: usize,
}

impl BrusselatorModel {
    /// A start state: a bump of the first substance over the steady state of `a = 1`, `b = 3`.
    pub fn start(&self) -> Vec<f64> {
        (0..self.cells)
            .flat_map(|i| {
                let x = i as f64 / self.cells as f64;
                [1.0 + (2.0 * std::f64::consts::PI * x).sin(), 3.0 + 0.1 * x]
            })
            .collect()
    }

    /// The Jacobian by hand, calling `entry(i, j, value)` for each entry in the order of columns, then rows.
    #[inline(always)]
    pub fn jacobian(&self, y: &[f64], p: &[f64], mut entry: impl FnMut(usize, usize, f64)) {
        let (b, alpha) = (p[1], p[2]);
        let n = self.cells;
        for i in 0..n {
            let (u, v) = (y[2 * i], y[2 * i + 1]);
            let neighbours = f64::from(u8::from(i > 0) + u8::from(i + 1 < n));
            let (uv2, uu) = (2.0 * u * v, u * u);
            for (s, own) in
                [(0, [uv2 - (b + 1.0) - alpha * neighbours, b - uv2]), (1, [uu, -uu - alpha * neighbours])]
            {
                let j = 2 * i + s;
                if i > 0 {
                    entry(j - 2, j, alpha);
                }
                entry(2 * i, j, own[0]);
                entry(2 * i + 1, j, own[1]);
                if i + 1 < n {
                    entry(j + 2, j, alpha);
                }
            }
        }
    }

    /// `y_bar = λᵀ ∂f/∂y` and `p_bar += λᵀ ∂f/∂p` by hand.
    #[inline(always)]
    pub fn vjp(&self, y: &[f64], p: &[f64], lambda: &[f64], y_bar: &mut [f64], p_bar: &mut [f64]) {
        let (b, alpha) = (p[1], p[2]);
        let n = self.cells;
        for i in 0..n {
            let (u, v, lu, lv) = (y[2 * i], y[2 * i + 1], lambda[2 * i], lambda[2 * i + 1]);
            let (uv2, uu, difference) = (2.0 * u * v, u * u, lu - lv);
            let (mut du, mut dv) = (uv2 * difference - (b + 1.0) * lu + b * lv, uu * difference);
            p_bar[0] += lu;
            p_bar[1] -= u * difference;
            for j in [i.wrapping_sub(1), i + 1] {
                if j < n {
                    du += alpha * (lambda[2 * j] - lu);
                    dv += alpha * (lambda[2 * j + 1] - lv);
                    p_bar[2] += lu * (y[2 * j] - u) + lv * (y[2 * j + 1] - v);
                }
            }
            (y_bar[2 * i], y_bar[2 * i + 1]) = (du, dv);
        }
    }
}

impl Dynamics for BrusselatorModel {
    fn dim(&self) -> usize {
        2 * self.cells
    }
    fn n_params(&self) -> usize {
        3
    }
    #[inline(always)]
    fn eval<S: Number>(&self, _t: S, y: &[S], p: &[S], dy: &mut [S]) {
        let [a, b, alpha] = take(p);
        let n = self.cells;
        for i in 0..n {
            let (left, right) = (i.saturating_sub(1), (i + 1).min(n - 1));
            let (u, v) = (y[2 * i], y[2 * i + 1]);
            let uuv = u * u * v;
            // Written out: a closure that is called twice is not inlined into a vector kernel for sure.
            let to_u = y[2 * left] + y[2 * right] - u * 2.0;
            let to_v = y[2 * left + 1] + y[2 * right + 1] - v * 2.0;
            dy[2 * i] = a + uuv - (b + 1.0) * u + alpha * to_u;
            dy[2 * i + 1] = b * u - uuv + alpha * to_v;
        }
    }
}
