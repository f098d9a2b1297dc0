//! Functions that are written once and have any number of outputs, and their Jacobians as programs.

use chreode_core::{Dynamics, Number, Sparsity};
use chreode_linalg::Coloring;

use crate::Dual;
use crate::graph::{Expr, Graph, Op};
use crate::program::Program;

/// Directions that one recording follows.
const WIDTH: usize = 8;

/// A function of time, `dim` states and `n_params` parameters with `n_out` values, over any [`Number`]: what can be
/// [recorded](Program::record). Every [`Dynamics`] is one, with a value for each state; observables are others.
///
/// The rules are those of [`Dynamics`]: it is pure, and branches on nothing but its own fields.
pub trait Map {
    /// Number of states.
    fn dim(&self) -> usize;

    /// Number of parameters.
    fn n_params(&self) -> usize;

    /// Number of values.
    fn n_out(&self) -> usize;

    /// Sets all of `out`, `[n_out]`, from `y`, `[dim]`, and `p`, `[n_params]`.
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], out: &mut [S]);
}

impl<D: Dynamics> Map for D {
    fn dim(&self) -> usize {
        Dynamics::dim(self)
    }
    fn n_params(&self) -> usize {
        Dynamics::n_params(self)
    }
    fn n_out(&self) -> usize {
        Dynamics::dim(self)
    }
    #[inline(always)]
    fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], out: &mut [S]) {
        Dynamics::eval(self, t, y, p, out);
    }
}

impl Program {
    /// Records `∂f/∂y` itself: a program whose outputs are the entries of this pattern, `[n_out, dim]`, in its order.
    ///
    /// What operations share is computed once and what is zero not at all, so that it takes little more operations than the
    /// function: for large sparse models that are evaluated one point at a time this beats sweeps.
    ///
    /// ```
    /// use chreode_autodiff::Program;
    /// use chreode_core::{Dynamics, Number};
    /// struct Decay;
    /// impl Dynamics for Decay {
    ///     fn dim(&self) -> usize { 2 }
    ///     fn eval<S: Number>(&self, _t: S, y: &[S], _p: &[S], dy: &mut [S]) {
    ///         (dy[0], dy[1]) = (-(y[0] * y[0]), y[0] * y[0]);
    ///     }
    /// }
    /// let (pattern, jacobian) = Program::record_jacobian(&Decay);
    /// let mut entries = [0.0; 2];
    /// jacobian.eval(&mut jacobian.replay(), 0.0, &[3.0, 0.0], &[], &mut entries);
    /// assert_eq!((pattern.column(0), entries), (&[0, 1][..], [-6.0, 6.0]));
    /// ```
    ///
    /// # Panics
    /// If it has more than 2³² operations.
    pub fn record_jacobian<M: Map>(model: &M) -> (Sparsity, Self) {
        Self::record_derivatives(model, false)
    }

    /// As [`record_jacobian`](Self::record_jacobian), of `[∂f/∂y | ∂f/∂p]`: `[n_out, dim + n_params]`.
    ///
    /// # Panics
    /// If it has more than 2³² operations.
    pub fn record_jacobian_with_params<M: Map>(model: &M) -> (Sparsity, Self) {
        Self::record_derivatives(model, true)
    }

    fn record_derivatives<M: Map>(model: &M, with_params: bool) -> (Sparsity, Self) {
        let program = Self::record(model);
        let pattern = if with_params { program.sparsity_with_params() } else { program.sparsity() };
        let coloring = Coloring::of_columns(&pattern);
        let (d, np) = (program.dim(), program.n_params());
        let mut colors = vec![0; pattern.n_cols()];
        for color in 0..coloring.n_colors() {
            for &j in coloring.columns(color) {
                colors[j] = color;
            }
        }
        let graph = Graph::of_derivatives();
        let mut out = vec![0; pattern.len()];
        for first in (0..coloring.n_colors()).step_by(WIDTH) {
            // A column whose colour is not among these has no direction: its number is too large.
            let lane = |j: usize| colors.get(j).map_or(WIDTH, |&color| color.wrapping_sub(first));
            let y: Vec<Dual<Expr<'_>, WIDTH>> =
                (0..d).map(|j| Dual::variable(graph.node(Op::State(j as u32)), lane(j))).collect();
            let p: Vec<Dual<Expr<'_>, WIDTH>> =
                (0..np).map(|j| Dual::variable(graph.node(Op::Param(j as u32)), lane(d + j))).collect();
            let mut values = vec![Dual::c(0.0); model.n_out()];
            model.eval(Dual::variable(graph.node(Op::Time), WIDTH), &y, &p, &mut values);
            for j in 0..pattern.n_cols() {
                let lane = colors[j].wrapping_sub(first);
                if lane < WIDTH {
                    let start = pattern.col_starts()[j];
                    for (k, &row) in pattern.column(j).iter().enumerate() {
                        out[start + k] = graph.of(values[row].d[lane]);
                    }
                }
            }
        }
        (pattern, Self::new(&graph.into_ops(), &out, d, np))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;
    use proptest::prelude::*;

    /// Two states and three parameters to three values, of every operation.
    struct Everything;
    impl Map for Everything {
        fn dim(&self) -> usize {
            2
        }
        fn n_params(&self) -> usize {
            3
        }
        fn n_out(&self) -> usize {
            3
        }
        fn eval<S: Number>(&self, t: S, y: &[S], p: &[S], out: &mut [S]) {
            out[0] = (y[0] * p[0]).sin() * (y[1] + t).exp() / (p[1] + 2.0);
            out[1] = S::select(y[0].lt(y[1]), y[0].powf(p[2]), (y[1] + 1.0).ln() * y[0].floor());
            out[2] = y[1].tanh() + (y[1] * y[1] + 1.0).sqrt() - y[1].cos();
        }
    }

    proptest! {
        #[test]
        fn recorded_jacobians_are_those_of_duals(y in [0.1..3.0_f64, 0.1..3.0_f64], p in [0.1..2.0_f64, 0.1..2.0_f64, 0.5..2.0_f64]) {
            let (pattern, program) = Program::record_jacobian_with_params(&Everything);
            let mut entries = vec![0.0; pattern.len()];
            program.eval(&mut program.replay(), 0.3, &y, &p, &mut entries);
            let inputs: Vec<Dual<f64, 5>> = y.iter().chain(&p).enumerate().map(|(i, &x)| Dual::variable(x, i)).collect();
            let mut values = [Dual::c(0.0); 3];
            Everything.eval(Dual::c(0.3), &inputs[..2], &inputs[2..], &mut values);
            let mut dense = [[0.0; 5]; 3];
            for j in 0..5 {
                for (k, &row) in pattern.column(j).iter().enumerate() {
                    dense[row][j] = entries[pattern.col_starts()[j] + k];
                }
            }
            for (row, value) in dense.iter().zip(&values) {
                for (a, b) in row.iter().zip(&value.d) {
                    prop_assert!((a - b).abs() <= 1e-13 * b.abs(), "{dense:?} {values:?}");
                }
            }
        }
    }

    #[test]
    fn floors_are_flat_on_tapes_too() {
        let mut gradient = [0.0];
        let value = Tape::new().gradient(&[2.75_f64], &mut gradient, |x| x[0].floor() * x[0]);
        assert_eq!((value, gradient), (5.5, [2.0]));
    }
}
