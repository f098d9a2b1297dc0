//! From hand-written partial derivatives of one trajectory to every capability of a field.

use chreode_core::{FieldError, Jacobian, Jvp, ParamJvp, Real, VectorField, Vjp};

/// Most coordinates or parameters that a [`Smooth`] problem may have.
const MAX: usize = 8;

/// A right-hand side of at most 8 coordinates and 8 parameters, with its partial derivatives, for one
/// trajectory.
pub trait Smooth {
    /// Number of coordinates.
    const DIM: usize;
    /// Number of parameters.
    const N_PARAMS: usize;
    /// Sets `dy`.
    fn f<T: Real>(t: f64, y: &[T], p: &[T], dy: &mut [T]);
    /// Sets the entries of `∂f/∂y` that are not zero; `j[i][k]` is row `i`, column `k`.
    fn df_dy<T: Real>(t: f64, y: &[T], p: &[T], j: &mut [[T; MAX]; MAX]);
    /// Sets the entries of `∂f/∂p` that are not zero.
    fn df_dp<T: Real>(t: f64, y: &[T], p: &[T], j: &mut [[T; MAX]; MAX]);
}

/// A [`Smooth`] problem as a field with every derivative.
#[derive(Debug, Clone, Copy, Default)]
pub struct SmoothField<S>(pub S);

impl<T: Real, S: Smooth> VectorField<T> for SmoothField<S> {
    fn dim(&self) -> usize {
        S::DIM
    }
    fn n_params(&self) -> usize {
        S::N_PARAMS
    }
    fn eval(&mut self, t: f64, y: &[T], p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        for (y, dy) in y.chunks_exact(S::DIM).zip(dy.chunks_exact_mut(S::DIM)) {
            S::f(t, y, p, dy);
        }
        Ok(())
    }
}

impl<T: Real, S: Smooth> Jvp<T> for SmoothField<S> {
    fn jvp(&mut self, t: f64, y: &[T], p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
        let d = S::DIM;
        for ((y, v), jv) in y.chunks_exact(d).zip(v.chunks_exact(d)).zip(jv.chunks_exact_mut(d)) {
            let mut j = [[T::ZERO; MAX]; MAX];
            S::df_dy(t, y, p, &mut j);
            for i in 0..d {
                jv[i] = (0..d).map(|k| j[i][k] * v[k]).sum();
            }
        }
        Ok(())
    }
}

impl<T: Real, S: Smooth> ParamJvp<T> for SmoothField<S> {
    fn param_jvp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        v: &[T],
        q: &[T],
        jv: &mut [T],
    ) -> Result<(), FieldError> {
        let (d, np, directions) = (S::DIM, S::N_PARAMS, v.len() / y.len().max(1));
        for (row, y) in y.chunks_exact(d).enumerate() {
            let (mut jy, mut jp) = ([[T::ZERO; MAX]; MAX], [[T::ZERO; MAX]; MAX]);
            S::df_dy(t, y, p, &mut jy);
            S::df_dp(t, y, p, &mut jp);
            for m in 0..directions {
                let (at, q) = (m * v.len() / directions + row * d, &q[m * np..(m + 1) * np]);
                for i in 0..d {
                    let by_state: T = (0..d).map(|k| jy[i][k] * v[at + k]).sum();
                    jv[at + i] = by_state + (0..np).map(|k| jp[i][k] * q[k]).sum();
                }
            }
        }
        Ok(())
    }
}

impl<T: Real, S: Smooth> Jacobian<T> for SmoothField<S> {
    fn jacobian(&mut self, t: f64, y: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let mut j = [[T::ZERO; MAX]; MAX];
        S::df_dy(t, y, p, &mut j);
        for (row, j) in values.chunks_exact_mut(S::DIM).zip(&j) {
            row.copy_from_slice(&j[..S::DIM]);
        }
        Ok(())
    }
}

impl<T: Real, S: Smooth> Vjp<T> for SmoothField<S> {
    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
        Some(self)
    }

    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let d = S::DIM;
        let rows = y.chunks_exact(d).zip(lambda.chunks_exact(d)).zip(y_bar.chunks_exact_mut(d));
        for ((y, l), y_bar) in rows {
            let (mut jy, mut jp) = ([[T::ZERO; MAX]; MAX], [[T::ZERO; MAX]; MAX]);
            S::df_dy(t, y, p, &mut jy);
            S::df_dp(t, y, p, &mut jp);
            for k in 0..d {
                y_bar[k] = (0..d).map(|i| l[i] * jy[i][k]).sum();
            }
            for k in 0..S::N_PARAMS {
                p_bar[k] += (0..d).map(|i| l[i] * jp[i][k]).sum();
            }
        }
        Ok(())
    }
}

/// A field with every first derivative that the traits of `chreode-core` know.
pub trait Differentiable<T: Real>: Vjp<T> + ParamJvp<T> + Jacobian<T> {}
impl<T: Real, F: Vjp<T> + ParamJvp<T> + Jacobian<T>> Differentiable<T> for F {}

/// An initial value problem with its answer.
pub struct Case {
    /// Name, for messages.
    pub name: &'static str,
    /// Right-hand side.
    pub field: Box<dyn Differentiable<f64>>,
    /// Parameters.
    pub p: Vec<f64>,
    /// Start state of one trajectory.
    pub y0: Vec<f64>,
    /// Start and end time.
    pub span: (f64, f64),
    /// State at the end, correct to all digits of a double.
    pub end: Vec<f64>,
}
