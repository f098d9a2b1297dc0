//! A model written once, for every number type.

use crate::Number;

/// The right-hand side of a differential equation for ONE trajectory, over any [`Number`].
///
/// From this one function come plain evaluation, derivatives, vectors of trajectories and generated code: wrap it
/// in `chreode_autodiff::Auto` for a [`VectorField`](crate::VectorField) with every derivative, or give it to
/// `chreode_solve::solve_lanes` for an ensemble.
///
/// The model is pure, and so shared between threads: constants are its fields, what may be fitted is `p`. Loops and
/// `if`s may depend on its fields, not on values (see [`Number`]). Put `#[inline(always)]` on `eval`: a body that is
/// not inlined into a vector kernel is compiled for the oldest processors, with the same results at half the speed.
///
/// ```
/// use chreode_core::{Dynamics, Number, c, put, take};
/// /// Gardner's toggle switch, with a stimulus until `off`.
/// struct Toggle { off: f64 }
/// impl Dynamics for Toggle {
///     fn dim(&self) -> usize { 2 }
///     fn n_params(&self) -> usize { 4 }
///     #[inline(always)]
///     fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
///         let [u, v] = take(y);
///         let [a1, a2, n, stimulus] = take(p);
///         let on = S::select(t.lt(S::c(self.off)), stimulus, S::c(0.0));
///         put(dy, [a1 / (c(1.0) + v.powf(n)) - u + on, a2 / (c(1.0) + u.powi(3)) - v]);
///     }
/// }
/// let mut dy = [0.0; 2];
/// Toggle { off: 5.0 }.eval(1.0, &[1.0, 0.0], &[3.0, 2.0, 2.5, 0.5], &mut dy);
/// assert_eq!(dy, [2.5, 1.0]);
/// ```
pub trait Dynamics {
    /// Number of coordinates `d`.
    fn dim(&self) -> usize;

    /// Length of the parameter slice.
    fn n_params(&self) -> usize {
        0
    }

    /// Sets `dy` (`[d]`) from `y` (`[d]`) and `p` (`[n_params]`). It must set all of `dy`.
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]);
}

impl<D: Dynamics> Dynamics for &D {
    fn dim(&self) -> usize {
        (**self).dim()
    }
    fn n_params(&self) -> usize {
        (**self).n_params()
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], dy: &mut [S]) {
        (**self).eval(t, y, p, dy);
    }
}

/// The first `N` values, with `N` from the pattern: `let [x, y, z] = take(y);` has one bounds check.
///
/// # Panics
/// If there are fewer.
#[inline(always)]
pub fn take<S: Copy, const N: usize>(s: &[S]) -> [S; N] {
    match s.first_chunk() {
        Some(values) => *values,
        None => panic!("{N} values taken of {}", s.len()),
    }
}

/// Sets the first `N` values.
///
/// # Panics
/// If there is no room for them.
#[inline(always)]
pub fn put<S: Copy, const N: usize>(out: &mut [S], values: [S; N]) {
    out[..N].copy_from_slice(&values);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Real, Single, c};

    struct Decay(f64);
    impl Dynamics for Decay {
        fn dim(&self) -> usize {
            2
        }
        fn eval<S: Number>(&self, t: S, y: &[S], _p: &[S], dy: &mut [S]) {
            let [a, b] = take(y);
            put(dy, [c(3.0) - a * self.0 - t, c(2.0) / b + c(0.5) * a + 1.0]);
        }
    }

    #[test]
    fn one_model_in_two_precisions_and_by_reference() {
        let model = &Decay(0.25);
        let mut dy = [0.0; 2];
        Dynamics::eval(&model, 0.5, &[4.0, 8.0], &[], &mut dy);
        assert_eq!(dy, [1.5, 3.25]);
        let mut single = [0.0_f32; 2];
        let y = [4.0_f32, 8.0];
        model.eval(Single::c(0.5), Real::num(&y), &[], Real::num_mut(&mut single));
        assert_eq!(single, [1.5, 3.25]);
        let mut double = [0.0_f64; 2];
        model.eval(0.5, Real::num(&[4.0, 8.0]), &[], Real::num_mut(&mut double));
        assert_eq!(double, [1.5, 3.25]);
    }

    #[test]
    #[should_panic(expected = "3 values taken of 2")]
    fn too_few_to_take() {
        let [_, _, _] = take(&[1.0, 2.0]);
    }
}
