//! The adjoint equation as a vector field, with its Jacobian.

use chreode_core::{FieldError, Jacobian, Real, Sparsity, VectorField, Vjp};

use super::ContinuousMethod;
use super::track::Track;
use super::transposed::Transposed;

/// `dλ/dt = -(∂f/∂y)ᵀ λ`, with what the method solves beside it: the state, and `dμ/dt = -(∂f/∂p)ᵀ λ`.
pub(super) struct AdjointField<'a, T> {
    pub(super) method: ContinuousMethod,
    pub(super) f: &'a mut dyn Vjp<T>,
    /// The forward run, unless the state is solved backward.
    pub(super) track: &'a Track<T>,
    /// Number of values of the state, and of parameters.
    pub(super) nd: usize,
    pub(super) np: usize,
    /// The state at the time; what nobody asked for.
    pub(super) y: &'a mut [T],
    pub(super) p_bar: &'a mut [T],
    /// Of the field's Jacobian.
    pub(super) transposed: &'a mut Transposed<T>,
}

impl<T: Real> VectorField<T> for AdjointField<'_, T> {
    fn dim(&self) -> usize {
        match self.method {
            ContinuousMethod::Gauss => self.f.dim(),
            ContinuousMethod::Interpolating => self.nd + self.np,
            ContinuousMethod::Backsolve => 2 * self.nd + self.np,
        }
    }

    fn n_params(&self) -> usize {
        self.f.n_params()
    }

    fn eval(&mut self, t: f64, z: &[T], p: &[T], dz: &mut [T]) -> Result<(), FieldError> {
        let nd = self.nd;
        let (y, z, dz) = if self.method == ContinuousMethod::Backsolve {
            let ((y, z), (dy, dz)) = (z.split_at(nd), dz.split_at_mut(nd));
            self.f.eval(t, y, p, dy)?;
            (y, z, dz)
        } else {
            self.track.at(t, self.y);
            (&*self.y, z, dz)
        };
        let (d_lambda, d_mu) = dz.split_at_mut(nd);
        if self.method == ContinuousMethod::Gauss {
            self.f.vjp(t, y, p, z, d_lambda, self.p_bar)?;
        } else {
            d_mu.fill(T::ZERO);
            self.f.vjp(t, y, p, &z[..nd], d_lambda, d_mu)?;
        }
        d_lambda.iter_mut().chain(d_mu).for_each(|v| *v = -*v);
        Ok(())
    }
}

/// By the state of the forward run: backsolve has none, and no Jacobian.
impl<T: Real> Jacobian<T> for AdjointField<'_, T> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.transposed.sparsity()
    }

    fn jacobian(&mut self, t: f64, z: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        if z.len() < self.nd {
            // λ does not tell which of the trajectories it is of.
            return Err(FieldError::Fatal {
                t,
                what: "the Jacobian of one of several adjoint states is not known",
            });
        }
        self.jacobians(t, z, p, values)
    }

    fn jacobians(&mut self, t: f64, _z: &[T], p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        self.track.at(t, self.y);
        if self.method == ContinuousMethod::Gauss {
            return self.transposed.of_states(self.f, t, self.y, p, values);
        }
        self.transposed.with_integrals(self.f, t, self.y, p, self.p_bar, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AdjointError, ContinuousAdjoint};
    use chreode_solve::{Bdf, Erk, Rhs, SolveOptions, TSIT5};

    /// Three coordinates, each of which moves the next, so that the pattern is not its own transpose.
    struct Chain {
        sparsity: Option<Sparsity>,
    }

    /// Entries of the Jacobian, column by column.
    fn entries(t: f64, y: &[f64], p: &[f64]) -> [(usize, usize, f64); 5] {
        let first = 2.0 * p[0] * y[0];
        [(0, 0, -first), (1, 0, first), (1, 1, -p[1]), (2, 1, p[1]), (2, 2, -2.0 * t * y[2])]
    }

    impl Chain {
        fn new(sparse: bool) -> Self {
            let places = entries(0.0, &[0.0; 3], &[0.0; 2]).map(|(i, j, _)| (i, j));
            Self { sparsity: sparse.then(|| Sparsity::new(3, 3, places).unwrap()) }
        }
    }

    impl VectorField<f64> for Chain {
        fn dim(&self) -> usize {
            3
        }
        fn n_params(&self) -> usize {
            2
        }
        fn eval(&mut self, t: f64, y: &[f64], p: &[f64], dy: &mut [f64]) -> Result<(), FieldError> {
            for (y, dy) in y.chunks(3).zip(dy.chunks_mut(3)) {
                let (first, second) = (p[0] * y[0] * y[0], p[1] * y[1]);
                dy.copy_from_slice(&[-first, first - second, second - t * y[2] * y[2]]);
            }
            Ok(())
        }
    }

    impl Jacobian<f64> for Chain {
        fn sparsity(&self) -> Option<&Sparsity> {
            self.sparsity.as_ref()
        }
        fn jacobian(&mut self, t: f64, y: &[f64], p: &[f64], values: &mut [f64]) -> Result<(), FieldError> {
            let entries = entries(t, y, p);
            if self.sparsity.is_some() {
                values.iter_mut().zip(entries).for_each(|(value, (_, _, x))| *value = x);
            } else {
                values.fill(0.0);
                entries.into_iter().for_each(|(i, j, x)| values[3 * i + j] = x);
            }
            Ok(())
        }
    }

    impl Vjp<f64> for Chain {
        fn vjp(
            &mut self,
            t: f64,
            y: &[f64],
            p: &[f64],
            lambda: &[f64],
            y_bar: &mut [f64],
            p_bar: &mut [f64],
        ) -> Result<(), FieldError> {
            y_bar.fill(0.0);
            for ((y, lambda), y_bar) in y.chunks(3).zip(lambda.chunks(3)).zip(y_bar.chunks_mut(3)) {
                entries(t, y, p).into_iter().for_each(|(i, j, x)| y_bar[j] += lambda[i] * x);
                p_bar[0] += (lambda[1] - lambda[0]) * y[0] * y[0];
                p_bar[1] += (lambda[2] - lambda[1]) * y[1];
            }
            Ok(())
        }
        fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<f64>> {
            Some(self)
        }
    }

    /// After a run of these trajectories from 0.5 to 1.5.
    fn ahead(method: ContinuousMethod, f: &mut Chain, n: usize) -> ContinuousAdjoint<f64> {
        let mut adjoint = ContinuousAdjoint::new(method, n, 3, 2);
        let mut y: Vec<f64> = (0..3 * n).map(|i| 0.4 + 0.1 * i as f64).collect();
        let options = SolveOptions { save_at: &[1.5], ..SolveOptions::tolerance(1e-6, 1e-6) };
        let (rhs, erk, nothing) =
            (&mut Rhs::Field(f), &mut Erk::new(&TSIT5, n, 3), &mut |_: usize, _: f64, _: &[f64]| {});
        adjoint.forward(rhs, &P, &mut y, (0.5, 1.5), erk, &options, nothing).unwrap();
        adjoint
    }

    const P: [f64; 2] = [0.9, 1.7];

    /// The field is linear in what is solved: differences have no error but rounding.
    #[test]
    fn the_jacobian_is_that_of_the_field() {
        use ContinuousMethod::{Gauss, Interpolating};
        for (method, n, sparse) in [
            (Gauss, 1, false),
            (Gauss, 1, true),
            (Gauss, 3, false),
            (Gauss, 3, true),
            (Interpolating, 1, false),
            (Interpolating, 1, true),
            (Interpolating, 3, false),
            (Interpolating, 3, true),
        ] {
            let f = &mut Chain::new(sparse);
            let mut adjoint = ahead(method, f, n);
            let (len, t) = (adjoint.backward_len(), 0.83);
            assert_eq!(adjoint.transposed.look(f, 1.5), Ok(true));
            adjoint.track.look_at(0..adjoint.track.steps());
            let mut field = AdjointField {
                method,
                f,
                track: &adjoint.track,
                nd: 3 * n,
                np: 2,
                y: &mut adjoint.y,
                p_bar: &mut adjoint.p_bar,
                transposed: &mut adjoint.transposed,
            };
            let d = field.dim();
            let pattern = field.sparsity().cloned();
            assert_eq!(pattern.is_some(), sparse || method == Interpolating);
            let entries = pattern.as_ref().map_or(d * d, Sparsity::len);
            let mut z: Vec<f64> = (0..len).map(|i| 1.0 - 0.3 * i as f64).collect();
            let mut values = vec![f64::NAN; len / d * entries];
            field.jacobians(t, &z, &P, &mut values).unwrap();
            let mut shown = vec![0.0; len * d];
            for (values, shown) in values.chunks(entries).zip(shown.chunks_mut(d * d)) {
                let Some(pattern) = &pattern else {
                    shown.copy_from_slice(values);
                    continue;
                };
                let columns = (0..d).flat_map(|j| pattern.column(j).iter().map(move |&i| (i, j)));
                columns.zip(values).for_each(|((i, j), &x)| shown[i * d + j] = x);
            }
            let (mut before, mut after) = (vec![0.0; len], vec![0.0; len]);
            field.eval(t, &z, &P, &mut before).unwrap();
            let mut largest = 0.0_f64;
            for j in 0..len {
                z[j] += 1.0;
                field.eval(t, &z, &P, &mut after).unwrap();
                z[j] -= 1.0;
                for i in 0..len {
                    let own = if i / d == j / d { shown[i * d + j % d] } else { 0.0 };
                    let difference = after[i] - before[i];
                    assert!(
                        (own - difference).abs() < 1e-13,
                        "{method:?} {n} {sparse}: {i} {j} {own} {difference}"
                    );
                    largest = largest.max(own.abs());
                }
            }
            assert!(largest > 1.0);
            let mut one = vec![f64::NAN; entries];
            let told = field.jacobian(t, &z[..d], &P, &mut one);
            if len == d {
                assert_eq!((told, one), (Ok(()), values));
            } else {
                assert!(matches!(told, Err(FieldError::Fatal { t: 0.83, .. })), "{told:?}");
            }
        }
    }

    /// A pattern of another size is an error before anything is solved, and one that changes is looked at anew.
    #[test]
    fn patterns_of_the_field() {
        for method in [ContinuousMethod::Gauss, ContinuousMethod::Interpolating] {
            let f = &mut Chain::new(true);
            let mut adjoint = ahead(method, f, 1);
            let mut back = Bdf::new(1, adjoint.backward_len());
            let options = SolveOptions::tolerance(1e-9, 1e-9);
            let mut backward = |f: &mut Chain| {
                let (mut y0_bar, mut p_bar) = ([f64::NAN; 3], [0.0; 2]);
                let bars: [&[f64]; 1] = [&[1.0, -2.0, 3.0]];
                let run = adjoint.backward(f, &P, &mut back, &options, &bars, &mut y0_bar, &mut p_bar);
                run.map(|()| [&y0_bar[..], &p_bar].concat())
            };
            let sparse = backward(f).unwrap();
            f.sparsity = Some(Sparsity::banded(5, 1, 1));
            let told = backward(f);
            assert!(matches!(told, Err(AdjointError::Field(FieldError::Fatal { t: 1.5, .. }))), "{told:?}");
            f.sparsity = None;
            let dense = backward(f).unwrap();
            let off = sparse.iter().zip(&dense).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(off < 1e-12, "{method:?}: {off:e}");
        }
    }
}
