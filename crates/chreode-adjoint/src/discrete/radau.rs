//! Steps of Radau IIA methods, again and backward.

use chreode_core::{Real, Vjp};
use chreode_solve::{RadauTableau, SolveError, Stats, Stepper};

use super::implicit::exact::{ExactSteps, Room, check_end};
use super::implicit::field::Rows;
use super::implicit::kept::KeptStages;
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
    /// The step that was gone back through last, if its stages are known, and the state at its start.
    later: Option<Later>,
    y_later: Vec<T>,
    room: Room<T>,
    kept: KeptStages<T>,
    /// If few states are kept: solves the steps of the forward run, and again. What the way back remembers is not touched.
    again: Vec<Collocation<T>>,
}

/// A step whose stages are known.
#[derive(Debug, Clone, Copy)]
struct Later {
    t: f64,
    h: f64,
    /// Which of the orders has them.
    order: usize,
}

/// Steps with one number of stages.
#[derive(Debug)]
struct Collocation<T: Real> {
    c: &'static [f64],
    d: usize,
    /// Sums of the rows of `A⁻¹`.
    sums: Vec<f64>,
    equations: StageEquations<T>,
    times: Vec<f64>,
    inputs: Vec<T>,
    z: Vec<T>,
    bars: Vec<T>,
    mu: Vec<T>,
    /// First guess of the stages.
    guess: Vec<T>,
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
            d,
            sums: w.chunks_exact(s).map(|row| row.iter().sum()).collect(),
            equations: StageEquations::new(w, Some(table), n, d),
            times: vec![0.0; s],
            inputs: zeros(),
            z: zeros(),
            bars: zeros(),
            mu: zeros(),
            guess: zeros(),
        }
    }

    /// A step is in hand: sets the times of its stages, and returns its length.
    fn begin(&mut self, f: &mut dyn Vjp<T>, step: Taken) -> f64 {
        let h = step.t_end - step.t;
        self.equations.begin(f, h);
        for (time, &c) in self.times.iter_mut().zip(self.c) {
            *time = if c == 1.0 { step.t_end } else { step.t + c * h };
        }
        h
    }

    /// Solves for the stages from `guess`.
    fn stages(&mut self, f: &mut dyn Vjp<T>, step: Taken, p: &[T], y: &[T]) -> Result<(), AdjointError> {
        let h = self.begin(f, step);
        self.inputs.copy_from_slice(&self.guess);
        self.equations.solve(f, &self.times, h, y, p, &mut self.inputs, &mut self.z)
    }

    /// Solves for the stages from nothing but what is given: the same bits every time.
    fn anew(&mut self, f: &mut dyn Vjp<T>, step: Taken, p: &[T], y: &[T]) -> Result<(), AdjointError> {
        self.guess_line(y, y);
        self.equations.forget();
        self.stages(f, step, p, y)
    }

    /// The end of the step whose stages were solved last.
    fn end(&self) -> &[T] {
        &self.inputs[self.inputs.len() - self.inputs.len() / self.c.len()..]
    }

    /// Guesses that the stages lie on the line between both ends.
    fn guess_line(&mut self, y: &[T], y_end: &[T]) {
        for (&c, guess) in self.c.iter().zip(self.guess.chunks_exact_mut(y.len().max(1))) {
            for ((guess, &y), &end) in guess.iter_mut().zip(y).zip(y_end) {
                *guess = y + T::c(c) * (end - y);
            }
        }
    }
}

/// Which of the orders made the step.
fn order_of<T: Real>(orders: &[Collocation<T>], step: Taken) -> usize {
    // The error estimate of `s` stages scales with the power `s + 1` of the step.
    let own = |m: &Collocation<T>| m.c.len() + 1 == usize::from(step.error_order);
    orders.iter().position(own).unwrap_or(0)
}

/// Values of the Lagrange polynomials of the first `len` nodes at `x`.
fn lagrange(node: impl Fn(usize) -> f64 + Copy, len: usize, x: f64) -> impl Iterator<Item = f64> {
    (0..len).map(move |k| {
        let others = (0..len).filter(move |&m| m != k);
        others.map(|m| (x - node(m)) / (node(k) - node(m))).product()
    })
}

impl<T: Real, S: Stepper<T>> RadauAdjoint<T, S> {
    /// The adjoint of a method with these numbers of stages.
    pub(super) fn new(stepper: S, stages: &[usize], n: usize, d: usize) -> Self {
        let tables = stages.iter().filter_map(|&s| RadauTableau::with_stages(s));
        Self {
            stepper,
            rows: Rows::new(d),
            orders: tables.map(|table| Collocation::new(table, n, d)).collect(),
            later: None,
            y_later: vec![T::ZERO; n * d],
            room: Room::new(n * d, 0),
            kept: KeptStages::new(),
            again: Vec::new(),
        }
    }

    /// First guess of the stages: the polynomial through both ends and what is known of the step after this one, if that was gone back
    /// through before and is of a like length. Else the line between both ends.
    fn guess(&mut self, order: usize, step: Taken, y: &[T], y_end: &[T]) {
        let h = step.t_end - step.t;
        let later = self.later.take().and_then(|later| {
            let q = later.h / h;
            let fits = later.t == step.t_end && self.y_later == y_end && (0.3..8.0).contains(&q);
            fits.then_some((q, later.order))
        });
        let Some((q, from)) = later else { return self.orders[order].guess_line(y, y_end) };
        let nd = y.len().max(1);
        let mut guess = std::mem::take(&mut self.orders[order].guess);
        let last = &self.orders[from];
        for (&x, guess) in self.orders[order].c.iter().zip(guess.chunks_exact_mut(nd)) {
            guess.fill(T::ZERO);
            let node = |k: usize| if k < 2 { k as f64 } else { 1.0 + q * last.c[k - 2] };
            let values = [y, y_end].into_iter().chain(last.inputs.chunks_exact(nd));
            for (weight, values) in lagrange(node, last.c.len() + 2, x).zip(values) {
                let weight = T::c(weight);
                guess.iter_mut().zip(values).for_each(|(guess, &v)| *guess += weight * v);
            }
        }
        self.orders[order].guess = guess;
    }

    /// Solves a step of the forward run once more, with a guess that knows its end.
    fn solve_again(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        p: &[T],
        y: &[T],
        y_end: &[T],
    ) -> Result<(), AdjointError> {
        let order = order_of(&self.orders, step);
        self.guess(order, step, y, y_end);
        let m = &mut self.orders[order];
        for retry in [false, true] {
            if retry {
                m.guess_line(y, y_end); // the other one was bad, perhaps outside of the field's domain
            }
            let solved = m.stages(f, step, p, y).and_then(|()| check_end(step, m.end(), y_end, m.d));
            if solved.is_ok() {
                return Ok(());
            }
            m.equations.forget(); // Jacobians of where it went astray
        }
        // There are several solutions: as the forward run did.
        if let Some(again) = self.again.get_mut(order) {
            again.anew(f, step, p, y)?;
            m.inputs.copy_from_slice(&again.inputs);
        } else {
            m.stages(f, step, p, y)?;
        }
        check_end(step, m.end(), y_end, m.d)
    }
}

impl<T: Real, S: Stepper<T> + std::fmt::Debug + Send> StepAdjoint<T> for RadauAdjoint<T, S> {
    fn with_stepper(
        &mut self,
        f: &mut dyn Vjp<T>,
        _whole: bool,
        run: &mut Run<'_, T>,
    ) -> Result<Stats, SolveError> {
        let (orders, again, kept) = (&mut self.orders, &mut self.again, &mut self.kept);
        kept.clear();
        let mut solve = |f: &mut dyn Vjp<T>,
                         stepper: &mut dyn Stepper<T>,
                         step: Taken,
                         p: &[T],
                         y: &[T],
                         end: &mut [T]| {
            let order = order_of(orders, step);
            let m = if let Some(m) = again.get_mut(order) {
                m.anew(f, step, p, y)?;
                m
            } else {
                let m = &mut orders[order];
                // The method's dense output is the polynomial through its stages.
                for (&c, guess) in m.c.iter().zip(m.guess.chunks_exact_mut(y.len().max(1))) {
                    guess.copy_from_slice(stepper.dense(c, step.t_end - step.t, y));
                }
                m.stages(f, step, p, y)?;
                kept.push(step, &m.inputs);
                m
            };
            end.copy_from_slice(m.end());
            Ok(())
        };
        self.rows.run(f, &mut ExactSteps::new(&mut self.stepper, &mut solve, &mut self.room), run)
    }

    fn kept_values(&self) -> usize {
        self.kept.len()
    }

    fn take_again(&mut self) {
        let (d, nd) = (self.orders[0].d, self.y_later.len());
        let tables = self.orders.iter().filter_map(|m| RadauTableau::with_stages(m.c.len()));
        self.again = tables.map(|table| Collocation::new(table, nd / d.max(1), d)).collect();
    }

    fn begin(&mut self) {
        self.later = None;
        self.kept.rewind();
    }

    fn again(
        &mut self,
        f: &mut dyn Vjp<T>,
        step: Taken,
        _goes_on: bool,
        p: &[T],
        y: &mut [T],
    ) -> Result<(), AdjointError> {
        let order = order_of(&self.again, step);
        self.again[order].anew(f, step, p, y)?;
        y.copy_from_slice(self.again[order].end());
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
        let (order, nd, h) = (order_of(&self.orders, step), y.len(), step.t_end - step.t);
        if let Some(stages) = self.kept.next(step) {
            let m = &mut self.orders[order];
            m.begin(f, step);
            m.inputs.copy_from_slice(stages);
        } else {
            self.solve_again(f, step, p, y, y_end)?;
        }
        let m = &mut self.orders[order];
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
        self.later = Some(Later { t: step.t, h, order });
        self.y_later.copy_from_slice(y);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::implicit::system::StageSystem;
    use super::*;

    /// With the same Jacobian at all stages, decoupled and coupled systems have the same solutions, also transposed.
    #[test]
    fn decoupled_and_coupled_systems_agree() {
        for s in [3, 5, 7] {
            let (n, d, h) = (2, 20, 0.3);
            let table = RadauTableau::with_stages(s).unwrap();
            let mut system = StageSystem::<f64>::new(inverse(table.c), Some(table), n, d);
            assert!(system.shape(None) && !system.shape(None));
            let jac: Vec<f64> = (0..n * d * d).map(|i| (i as f64 * 1.7).sin()).collect();
            let b: Vec<f64> = (0..s * n * d).map(|i| (i as f64 * 0.9).cos()).collect();
            let solved = |system: &mut StageSystem<f64>| {
                let (mut x, mut z) = (b.clone(), b.clone());
                system.solve(&mut x);
                system.solve_transpose(&mut z);
                [x, z].concat()
            };
            assert_eq!(system.one_for_all(), Some(s / 2));
            system.factor(h, &jac).unwrap();
            let apart = solved(&mut system);
            system.couple();
            assert_eq!(system.one_for_all(), None);
            system.factor(h, &jac.repeat(s)).unwrap();
            let together = solved(&mut system);
            assert!(system.decouple() && !system.decouple());
            let scale = together.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
            for (a, b) in apart.iter().zip(&together) {
                assert!((a - b).abs() < 1e-9 * scale, "{s} stages: {a} {b}");
            }
        }
    }

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
