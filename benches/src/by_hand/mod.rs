//! Derivatives of the small problems of the corpora as one writes them for speed: sizes are constants, what is zero is not there, and
//! nothing passes through a matrix. What automatic ones are measured by.

mod gravity;
mod stiff;

use chreode_core::{FieldError, Jacobian, Jvp, VectorField, Vjp, put, take};

pub use gravity::{Arenstorf, ArenstorfModel, Pleiades, PleiadesModel};
pub use stiff::{E5, Hires, Orego, Robertson, VanDerPol};

/// A right-hand side of `D` states and `NP` parameters with its products, for one trajectory.
pub trait Hand<const D: usize, const NP: usize> {
    /// `f`.
    fn f(t: f64, y: [f64; D], p: [f64; NP]) -> [f64; D];
    /// `∂f/∂y v`.
    fn jv(t: f64, y: [f64; D], p: [f64; NP], v: [f64; D]) -> [f64; D];
    /// `∂f/∂y`, row by row.
    fn jacobian(t: f64, y: [f64; D], p: [f64; NP]) -> [[f64; D]; D];
    /// `λᵀ ∂f/∂y` and `λᵀ ∂f/∂p`.
    fn pulled(t: f64, y: [f64; D], p: [f64; NP], l: [f64; D]) -> ([f64; D], [f64; NP]);
}

/// A [`Hand`] behind the traits.
#[derive(Debug, Clone, Copy, Default)]
pub struct HandField<H, const D: usize, const NP: usize>(pub H);

impl<H: Hand<D, NP> + Send + Sync, const D: usize, const NP: usize> VectorField<f64> for HandField<H, D, NP> {
    fn dim(&self) -> usize {
        D
    }
    fn n_params(&self) -> usize {
        NP
    }
    fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
        let p = take(p);
        for (y, dy) in y.chunks_exact(D).zip(dy.chunks_exact_mut(D)) {
            put(dy, H::f(t, take(y), p));
        }
        Ok(())
    }
}

impl<H: Hand<D, NP> + Send + Sync, const D: usize, const NP: usize> Jvp<f64> for HandField<H, D, NP> {
    fn jvp(&mut self, t: f64, y: &[f64], p: &[f64], v: &[f64], jv: &mut [f64]) -> Result<(), FieldError> {
        let (p, rows) = (take(p), y.chunks_exact(D).zip(v.chunks_exact(D)));
        for ((y, v), jv) in rows.zip(jv.chunks_exact_mut(D)) {
            put(jv, H::jv(t, take(y), p, take(v)));
        }
        Ok(())
    }
}

impl<H: Hand<D, NP> + Send + Sync, const D: usize, const NP: usize> Jacobian<f64> for HandField<H, D, NP> {
    fn jacobian(&mut self, t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
        let rows = H::jacobian(t, take(y), take(p));
        values.chunks_exact_mut(D).zip(rows).for_each(|(values, row)| put(values, row));
        Ok(())
    }
}

impl<H: Hand<D, NP> + Send + Sync, const D: usize, const NP: usize> Vjp<f64> for HandField<H, D, NP> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[f64],
        p: &[f64],
        lambda: &[f64],
        y_bar: &mut [f64],
        p_bar: &mut [f64],
    ) -> Result<(), FieldError> {
        let (p, mut sums) = (take(p), [0.0; NP]);
        let rows = y.chunks_exact(D).zip(lambda.chunks_exact(D));
        for ((y, l), y_bar) in rows.zip(y_bar.chunks_exact_mut(D)) {
            let (by_state, by_parameter) = H::pulled(t, take(y), p, take(l));
            put(y_bar, by_state);
            sums.iter_mut().zip(by_parameter).for_each(|(sum, by)| *sum += by);
        }
        p_bar.iter_mut().zip(sums).for_each(|(p_bar, sum)| *p_bar += sum);
        Ok(())
    }
}

/// `y' = -2 p t y²`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rational;
impl Hand<1, 1> for Rational {
    #[inline(always)]
    fn f(t: f64, [y]: [f64; 1], [p]: [f64; 1]) -> [f64; 1] {
        [-2.0 * t * p * y * y]
    }
    #[inline(always)]
    fn jv(t: f64, [y]: [f64; 1], [p]: [f64; 1], [v]: [f64; 1]) -> [f64; 1] {
        [-4.0 * t * p * y * v]
    }
    #[inline(always)]
    fn jacobian(t: f64, [y]: [f64; 1], [p]: [f64; 1]) -> [[f64; 1]; 1] {
        [[-4.0 * t * p * y]]
    }
    #[inline(always)]
    fn pulled(t: f64, [y]: [f64; 1], [p]: [f64; 1], [l]: [f64; 1]) -> ([f64; 1], [f64; 1]) {
        let x = -2.0 * t * y * l;
        ([2.0 * p * x], [x * y])
    }
}

/// Prey and predators.
#[derive(Debug, Clone, Copy, Default)]
pub struct LotkaVolterra;
impl Hand<2, 4> for LotkaVolterra {
    #[inline(always)]
    fn f(_t: f64, [u, v]: [f64; 2], [a, b, c, d]: [f64; 4]) -> [f64; 2] {
        let meetings = u * v;
        [a * u - b * meetings, c * meetings - d * v]
    }
    #[inline(always)]
    fn jv(_t: f64, [u, v]: [f64; 2], [a, b, c, d]: [f64; 4], [x, y]: [f64; 2]) -> [f64; 2] {
        let meetings = x * v + u * y;
        [a * x - b * meetings, c * meetings - d * y]
    }
    #[inline(always)]
    fn jacobian(_t: f64, [u, v]: [f64; 2], [a, b, c, d]: [f64; 4]) -> [[f64; 2]; 2] {
        [[a - b * v, -b * u], [c * v, c * u - d]]
    }
    #[inline(always)]
    fn pulled(_t: f64, [u, v]: [f64; 2], [a, b, c, d]: [f64; 4], [x, y]: [f64; 2]) -> ([f64; 2], [f64; 4]) {
        let (meetings, by_meetings) = (u * v, c * y - b * x);
        let by_state = [a * x + v * by_meetings, u * by_meetings - d * y];
        (by_state, [u * x, -meetings * x, meetings * y, -v * y])
    }
}

/// Lorenz's convection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lorenz;
impl Hand<3, 3> for Lorenz {
    #[inline(always)]
    fn f(_t: f64, [x, y, z]: [f64; 3], [s, r, b]: [f64; 3]) -> [f64; 3] {
        [s * (y - x), x * (r - z) - y, x * y - b * z]
    }
    #[inline(always)]
    fn jv(_t: f64, [x, y, z]: [f64; 3], [s, r, b]: [f64; 3], [u, v, w]: [f64; 3]) -> [f64; 3] {
        [s * (v - u), u * (r - z) - x * w - v, u * y + x * v - b * w]
    }
    #[inline(always)]
    fn jacobian(_t: f64, [x, y, z]: [f64; 3], [s, r, b]: [f64; 3]) -> [[f64; 3]; 3] {
        [[-s, s, 0.0], [r - z, -1.0, -x], [y, x, -b]]
    }
    #[inline(always)]
    fn pulled(
        _t: f64,
        [x, y, z]: [f64; 3],
        [s, r, b]: [f64; 3],
        [u, v, w]: [f64; 3],
    ) -> ([f64; 3], [f64; 3]) {
        let su = s * u;
        ([v * (r - z) + w * y - su, su - v + w * x, -x * v - b * w], [u * (y - x), v * x, -w * z])
    }
}

/// The Brusselator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Brusselator;
impl Hand<2, 2> for Brusselator {
    #[inline(always)]
    fn f(_t: f64, [u, v]: [f64; 2], [a, b]: [f64; 2]) -> [f64; 2] {
        let uuv = u * u * v;
        [a + uuv - (b + 1.0) * u, b * u - uuv]
    }
    #[inline(always)]
    fn jv(_t: f64, [u, v]: [f64; 2], [_, b]: [f64; 2], [x, y]: [f64; 2]) -> [f64; 2] {
        let moved = u * (2.0 * v * x + u * y) - b * x;
        [moved - x, -moved]
    }
    #[inline(always)]
    fn jacobian(_t: f64, [u, v]: [f64; 2], [_, b]: [f64; 2]) -> [[f64; 2]; 2] {
        let (uu, moved) = (u * u, 2.0 * u * v - b);
        [[moved - 1.0, uu], [-moved, -uu]]
    }
    #[inline(always)]
    fn pulled(_t: f64, [u, v]: [f64; 2], [_, b]: [f64; 2], [x, y]: [f64; 2]) -> ([f64; 2], [f64; 2]) {
        let difference = x - y;
        ([(2.0 * u * v - b) * difference - x, u * u * difference], [x, -u * difference])
    }
}

/// Duffing's oscillator.
#[derive(Debug, Clone, Copy, Default)]
pub struct Duffing;
impl Hand<2, 5> for Duffing {
    #[inline(always)]
    fn f(t: f64, [x, v]: [f64; 2], p: [f64; 5]) -> [f64; 2] {
        [v, p[3] * (p[4] * t).cos() - p[0] * v - (p[1] + p[2] * x * x) * x]
    }
    #[inline(always)]
    fn jv(_t: f64, [x, _]: [f64; 2], p: [f64; 5], [dx, dv]: [f64; 2]) -> [f64; 2] {
        [dv, -p[0] * dv - (p[1] + 3.0 * p[2] * x * x) * dx]
    }
    #[inline(always)]
    fn jacobian(_t: f64, [x, _]: [f64; 2], p: [f64; 5]) -> [[f64; 2]; 2] {
        [[0.0, 1.0], [-p[1] - 3.0 * p[2] * x * x, -p[0]]]
    }
    #[inline(always)]
    fn pulled(t: f64, [x, v]: [f64; 2], p: [f64; 5], [a, b]: [f64; 2]) -> ([f64; 2], [f64; 5]) {
        let ((sin, cos), xx) = ((p[4] * t).sin_cos(), x * x);
        let by_state = [-(p[1] + 3.0 * p[2] * xx) * b, a - p[0] * b];
        (by_state, [-v * b, -x * b, -xx * x * b, cos * b, -p[3] * t * sin * b])
    }
}
