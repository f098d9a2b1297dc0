//! Steps of Radau IIA methods, again and backward.

use chreode_core::{Real, Vjp};
use chreode_solve::{RadauTableau, SolveError, Stats, Stepper};

use super::implicit::field::Rows;
use super::implicit::stages::StageEquations;
use super::method::{Run, StepAdjoint};
use super::tape::Taken;
use crate::AdjointError;

/// A Radau method and the steps of each order that it has.
#[derive(Debug)]
pub(super) struct RadauAdjoint<T: Real, S> {
    stepper: S,
    rows: Rows<T>,
    orders: Vec<Collocation<T>>,
}

/// Steps with one number of stages.
#[derive(Debug)]
struct Collocation<T: Real> {
    c: &'static [f64],
    /// Sums of the rows of `A⁻¹`.
    sums: Vec<f64>,
    equations: StageEquations<T>,
    times: Vec<f64>,
    inputs: Vec<T>,
    z: Vec<T>,
    bars: Vec<T>,
    mu: Vec<T>,
}

/// `A⁻¹` of collocation at `c`: derivatives at the nodes of the polynomials that are 1 at one node, and 0 at the others and at 0.
fn inverse(c: &[f64]) -> Vec<f64> {
    let s = c.len();
    let mut w = vec![0.0; s * s];
    for i in 0..s {
        for j in 0..s {
            let others = || (0..s).filter(move |&m| m != j);
            // x Π (x - c_m) over its value at c_j, differentiated at c_i.
            let scale: f64 = c[j] * others().map(|m| c[j] - c[m]).product::<f64>();
            w[i * s + j] = if i == j {
                1.0 / c[j] + others().map(|m| 1.0 / (c[j] - c[m])).sum::<f64>()
            } else {
                c[i] * others().filter(|&m| m != i).map(|m| c[i] - c[m]).product::<f64>() / scale
            };
        }
    }
    w
}

impl<T: Real> Collocation<T> {
    fn new(table: RadauTableau, n: usize, d: usize) -> Self {
        let (c, s) = (table.c, table.c.len());
        let w = inverse(c);
        let zeros = || vec![T::ZERO; s * n * d];
        Self {
            c,
            sums: w.chunks_exact(s).map(|row| row.iter().sum()).collect(),
            equations: StageEquations::new(w, n, d),
            times: vec![0.0; s],
            inputs: zeros(),
            z: zeros(),
            bars: zeros(),
            mu: zeros(),
        }
    }

    /// Solves for the stages; `y_end` tells where they may lie.
    fn stages(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        y_end: &[T],
    ) -> Result<(), AdjointError> {
        let h = step.t_end - step.t;
        self.equations.begin(f, h);
        for ((time, &c), input) in
            self.times.iter_mut().zip(self.c).zip(self.inputs.chunks_exact_mut(y.len().max(1)))
        {
            *time = if c == 1.0 { step.t_end } else { step.t + c * h };
            for ((input, &y), &end) in input.iter_mut().zip(y).zip(y_end) {
                *input = y + T::c(c) * (end - y);
            }
        }
        self.equations.solve(f, &self.times, h, y, p, &mut self.inputs, &mut self.z)
    }
}

impl<T: Real, S: Stepper<T>> RadauAdjoint<T, S> {
    /// The adjoint of a method with these numbers of stages.
    pub(super) fn new(stepper: S, stages: &[usize], n: usize, d: usize) -> Self {
        let tables = stages.iter().filter_map(|&s| RadauTableau::with_stages(s));
        Self { stepper, rows: Rows::new(d), orders: tables.map(|table| Collocation::new(table, n, d)).collect() }
    }

    fn of(&mut self, step: Taken) -> &mut Collocation<T> {
        // The error estimate of `s` stages scales with the power `s + 1` of the step.
        let at = self.orders.iter().position(|m| m.c.len() + 1 == usize::from(step.error_order));
        &mut self.orders[at.unwrap_or(0)]
    }
}

impl<T: Real, S: Stepper<T> + std::fmt::Debug + Send> StepAdjoint<T> for RadauAdjoint<T, S> {
    fn with_stepper(&mut self, f: &mut dyn Vjp<T>, run: &mut Run<'_, T>) -> Result<Stats, SolveError> {
        self.rows.run(f, &mut self.stepper, run)
    }

    fn again(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        _goes_on: bool,
        p: &[T],
        y: &mut [T],
    ) -> Result<(), AdjointError> {
        let m = self.of(step);
        m.stages(f, step, p, y, y)?;
        y.copy_from_slice(&m.inputs[m.inputs.len() - y.len()..]);
        Ok(())
    }

    fn back(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        y_end: &[T],
        a: &mut [T],
        p_bar: &mut [T],
    ) -> Result<(), AdjointError> {
        let (m, nd, h) = (self.of(step), y.len(), step.t_end - step.t);
        m.stages(f, step, p, y, y_end)?;
        // The step's end is the last stage.
        let last = m.bars.len() - nd;
        m.bars[last..].copy_from_slice(a);
        m.equations.solve_adjoint(f, &m.times, h, p, &m.inputs, &m.bars, &mut m.mu, p_bar)?;
        // a + Σ J_jᵀ μ_j, but with no product that rounding would spoil.
        a.fill(T::ZERO);
        for (mu, &sum) in m.mu.chunks_exact(nd.max(1)).zip(&m.sums) {
            let weight = T::c(sum / h);
            a.iter_mut().zip(mu).for_each(|(a, &mu)| *a += weight * mu);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The product `T Λ T⁻¹` of the forward method.
    #[test]
    fn inverse_is_that_of_the_method() {
        for s in [3, 5, 7] {
            let m = RadauTableau::with_stages(s).unwrap();
            let mut lambda = vec![0.0; s * s];
            lambda[0] = m.gamma;
            for (q, &(alpha, beta)) in m.pairs.iter().enumerate() {
                let (i, j) = (2 * q + 1, 2 * q + 2);
                (lambda[i * s + i], lambda[i * s + j]) = (alpha, -beta);
                (lambda[j * s + i], lambda[j * s + j]) = (beta, alpha);
            }
            let times = |a: &[f64], b: &[f64]| -> Vec<f64> {
                let dot = |at: usize| (0..s).map(|k| a[at / s * s + k] * b[k * s + at % s]).sum();
                (0..s * s).map(dot).collect()
            };
            let product = times(&times(m.t, &lambda), m.t_inv);
            for (a, b) in inverse(m.c).iter().zip(product) {
                assert!((a - b).abs() < 1e-10, "{s} stages: {a} {b}");
            }
        }
    }
}
