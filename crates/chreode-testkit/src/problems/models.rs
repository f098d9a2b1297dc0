//! The corpus once more, written for every number type, and a model with what the corpus lacks: branches and
//! fitted exponents.

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
