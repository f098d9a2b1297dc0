//! Stiff problems with known answers, one file each: right-hand side, Jacobian, end point.
//!
//! End points were computed in 113-bit arithmetic by Radau IIA collocation with 7 and with 9 or 10 stages (orders 13, 17
//! and 19) and coupled Newton iterations (`scaffold`: see there), from the double-precision values of constants and start states; both agree to
//! 15 digits or more (ring modulator: see there). Where [MM08] publishes an end point they agree with it to the digits that it
//! has, except for `E5` and the last digits of `Robertson`: see there. Error measures and time spans follow [HW96] and
//! [MM08].

pub(crate) mod e5;
pub(crate) mod hires;
pub(crate) mod orego;
pub(crate) mod pollu;
pub(crate) mod ring_modulator;
pub(crate) mod robertson;
pub(crate) mod scaffold;
pub(crate) mod van_der_pol;

use chreode_core::{
    Dynamics, FieldError, Jacobian, Jvp, Number, Real, Sparsity, VectorField, Vjp, VjpTangent,
};

/// A stiff problem written once for every number type. It has no parameters.
pub trait Stiff {
    /// Number of coordinates.
    fn dim(&self) -> usize;
    /// The derivative of one trajectory.
    fn f<S: Number>(&self, t: S, y: &[S], dy: &mut [S]);
    /// Hands `(row, column, ∂f_row/∂y_column)` to `put`, where it is not zero; what goes to the same place adds up. A
    /// [`sparse`](Self::SPARSE) problem hands each place once, column by column, rows ascending.
    fn jacobian<T: Real>(&self, t: f64, y: &[T], put: impl FnMut(usize, usize, T));
    /// Hands `(row, [j, k], ∂²f_row/∂y_j ∂y_k)` to `put`, where it is not zero, in both orders of `j` and `k`; what goes to the same
    /// place adds up.
    fn second<T: Real>(&self, t: f64, y: &[T], put: impl FnMut(usize, [usize; 2], T));
    /// Whether [`StiffField`] gives the Jacobian as sparse.
    const SPARSE: bool = false;
}

/// Hands the second derivatives of `rate y_j y_k`, a part of row `row`.
pub(super) fn product<T: Real>(
    row: usize,
    [j, k]: [usize; 2],
    rate: T,
    put: &mut impl FnMut(usize, [usize; 2], T),
) {
    put(row, [j, k], rate);
    put(row, [k, j], rate);
}

/// A field with its Jacobian and its second derivatives in the state.
pub trait Curved<T: Real>: Jacobian<T> {
    /// As [`Stiff::second`], of one trajectory.
    fn second(&self, t: f64, y: &[T], put: &mut dyn FnMut(usize, [usize; 2], T));
}

/// A [`Stiff`] problem as a field with its Jacobian, and products with its first and second derivatives.
#[derive(Debug, Clone)]
pub struct StiffField<S> {
    problem: S,
    sparsity: Option<Sparsity>,
}

impl<S: Stiff> StiffField<S> {
    /// The field of `problem`.
    ///
    /// # Panics
    /// If the problem names an entry outside of its Jacobian.
    pub fn new(problem: S) -> Self {
        let d = problem.dim();
        let sparsity = S::SPARSE.then(|| {
            let mut entries = Vec::new();
            problem.jacobian(0.0, &vec![1.0; d], |i, j, _| entries.push((i, j)));
            Sparsity::new(d, d, entries).unwrap_or_else(|e| panic!("{e}"))
        });
        Self { problem, sparsity }
    }
}

impl<T: Real, S: Stiff> VectorField<T> for StiffField<S> {
    fn dim(&self) -> usize {
        self.problem.dim()
    }
    fn eval(&mut self, t: f64, y: &[T], _p: &[T], dy: &mut [T]) -> Result<(), FieldError> {
        let d = self.problem.dim();
        for (y, dy) in y.chunks_exact(d).zip(dy.chunks_exact_mut(d)) {
            self.problem.f(T::Num::c(t), T::num(y), T::num_mut(dy));
        }
        Ok(())
    }
}

impl<T: Real, S: Stiff> Jacobian<T> for StiffField<S> {
    fn sparsity(&self) -> Option<&Sparsity> {
        self.sparsity.as_ref()
    }
    fn jacobian(&mut self, t: f64, y: &[T], _p: &[T], values: &mut [T]) -> Result<(), FieldError> {
        let d = self.problem.dim();
        if self.sparsity.is_some() {
            let mut next = values.iter_mut();
            self.problem.jacobian(t, y, |_, _, x| {
                if let Some(value) = next.next() {
                    *value = x;
                }
            });
        } else {
            values.fill(T::ZERO);
            self.problem.jacobian(t, y, |i, j, x| values[i * d + j] += x);
        }
        Ok(())
    }
}

impl<T: Real, S: Stiff> Curved<T> for StiffField<S> {
    fn second(&self, t: f64, y: &[T], put: &mut dyn FnMut(usize, [usize; 2], T)) {
        self.problem.second(t, y, put);
    }
}

impl<T: Real, S: Stiff> Jvp<T> for StiffField<S> {
    fn jvp(&mut self, t: f64, y: &[T], _p: &[T], v: &[T], jv: &mut [T]) -> Result<(), FieldError> {
        let d = self.problem.dim();
        jv.fill(T::ZERO);
        let rows = y.chunks_exact(d).zip(v.chunks_exact(d)).zip(jv.chunks_exact_mut(d));
        for ((y, v), jv) in rows {
            self.problem.jacobian(t, y, |i, j, x: T| jv[i] += x * v[j]);
        }
        Ok(())
    }
}

impl<T: Real, S: Stiff> Vjp<T> for StiffField<S> {
    fn vjp(
        &mut self,
        t: f64,
        y: &[T],
        _p: &[T],
        lambda: &[T],
        y_bar: &mut [T],
        _p_bar: &mut [T],
    ) -> Result<(), FieldError> {
        let d = self.problem.dim();
        y_bar.fill(T::ZERO);
        let rows = y.chunks_exact(d).zip(lambda.chunks_exact(d)).zip(y_bar.chunks_exact_mut(d));
        for ((y, lambda), y_bar) in rows {
            self.problem.jacobian(t, y, |i, j, x: T| y_bar[j] += x * lambda[i]);
        }
        Ok(())
    }

    fn as_jacobian(&mut self) -> Option<&mut dyn Jacobian<T>> {
        Some(self)
    }

    fn as_vjp_tangent(&mut self) -> Option<&mut dyn VjpTangent<T>> {
        Some(self)
    }
}

impl<T: Real, S: Stiff> VjpTangent<T> for StiffField<S> {
    fn vjp_tangent(
        &mut self,
        t: f64,
        (y, v): (&[T], &[T]),
        _p_q: (&[T], &[T]),
        (lambda, lambda_dot): (&[T], &[T]),
        (y_bar, y_bar_dot): (&mut [T], &mut [T]),
        _p_bars: (&mut [T], &mut [T]),
    ) -> Result<(), FieldError> {
        let d = self.problem.dim();
        y_bar.fill(T::ZERO);
        y_bar_dot.fill(T::ZERO);
        for row in (0..y.len() / d).map(|i| i * d..(i + 1) * d) {
            let (y, v, lambda) = (&y[row.clone()], &v[row.clone()], &lambda[row.clone()]);
            let (bar, dot) = (&mut y_bar[row.clone()], &mut y_bar_dot[row.clone()]);
            let lambda_dot = &lambda_dot[row];
            self.problem.jacobian(t, y, |i, j, x: T| {
                bar[j] += x * lambda[i];
                dot[j] += x * lambda_dot[i];
            });
            self.problem.second(t, y, |i, [j, k], x: T| dot[j] += x * lambda[i] * v[k]);
        }
        Ok(())
    }
}

/// The right-hand side of a [`Stiff`] problem alone, as a model that is written once.
#[derive(Debug, Clone, Copy)]
pub struct StiffModel<S>(pub S);

impl<S: Stiff> Dynamics for StiffModel<S> {
    fn dim(&self) -> usize {
        self.0.dim()
    }
    #[inline(always)]
    fn eval<N: Number>(&self, t: N, y: &[N], _p: &[N], dy: &mut [N]) {
        self.0.f(t, y, dy);
    }
}

/// A stiff initial value problem with its answer.
pub struct StiffCase {
    /// Name, for messages.
    pub name: &'static str,
    /// Right-hand side, Jacobian and second derivatives.
    pub field: Box<dyn Curved<f64>>,
    /// Start state.
    pub y0: Vec<f64>,
    /// Start and end time.
    pub span: (f64, f64),
    /// Size of a coordinate below which its relative error does not count: `atol / rtol` of a run.
    pub floor: f64,
    /// Coordinates at the end: all of a small problem, some of a large one.
    pub end: Vec<(usize, f64)>,
}

impl StiffCase {
    pub(super) fn new<S: Stiff + 'static>(
        name: &'static str,
        problem: S,
        y0: &[f64],
        t_end: f64,
        floor: f64,
        end: &[f64],
    ) -> Self {
        Self {
            name,
            field: Box::new(StiffField::new(problem)),
            y0: y0.to_vec(),
            span: (0.0, t_end),
            floor,
            end: end.iter().copied().enumerate().collect(),
        }
    }

    /// The largest of `|y_i - end_i| / (|end_i| + floor)`.
    pub fn error(&self, y: &[f64]) -> f64 {
        self.end.iter().map(|&(i, end)| (y[i] - end).abs() / (end.abs() + self.floor)).fold(0.0, f64::max)
    }
}

/// Every stiff problem with its reference end point.
pub fn stiff_corpus() -> Vec<StiffCase> {
    vec![
        robertson::Robertson::case(),
        hires::Hires::case(),
        orego::Orego::case(),
        van_der_pol::VanDerPol::case_mu_1e3(),
        van_der_pol::VanDerPol::case_mu_1e6(),
        e5::E5::case(),
        pollu::Pollu::case(),
        ring_modulator::RingModulator::case(),
        scaffold::Scaffold::case(),
        super::brusselator_line::BrusselatorLine::case(),
    ]
}
