//! Steps of the numerical differentiation formulas, of variable order and step length. Source: [SR97].

use chreode_core::{FieldError, Real, Tolerance};

mod newton;

use super::differences::{BackwardDifferences, MAX_ORDER, alpha, error_constant};
use crate::error::SolveError;
use crate::implicit::{Implicit, Multistep};
use crate::initial_step::initial_step;
use crate::newton::convergence::Convergence;
use crate::newton::krylov::{Krylov, KrylovOptions, Preconditioner};
use crate::newton::linearisation::{JacobianAge, Linearisation};
use crate::newton::weights::Weights;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::{StepFailure, Stepper};

/// Most Newton iterations of a step.
const MAX_ITERATIONS: u32 = 4;
/// What Newton's iteration may leave, relative to the tolerance of the error. This, the safety factor and `NOT_WORTH` were chosen by
/// work against precision on the stiff problems of `chreode-testkit`.
const LEFT_OF_NEWTON: f64 = 0.03;
const SAFETY: f64 = 0.7;
/// The next step is at most so much longer, and at least so much of the last one.
const MOST: f64 = 10.0;
const LEAST: f64 = 0.2;
/// A step would grow by less than this: it keeps its length, and the factorisation.
const NOT_WORTH: f64 = 1.2;

/// The numerical differentiation formulas with their work arrays.
#[derive(Debug)]
pub(crate) struct BdfSteps<T: Real> {
    nd: usize,
    linear: Linearisation<T>,
    /// Solves the systems without matrices.
    krylov: Option<Krylov<T>>,
    history: BackwardDifferences<T>,
    order: usize,
    /// Highest order that is used.
    max_order: usize,
    /// Steps of one length and order so far.
    equal_steps: usize,
    f0: Vec<T>,
    started: bool,
    jacobian: JacobianAge,
    /// Shift of the factorisation; 0 for none.
    shift: f64,
    y1: Vec<T>,
    psi: Vec<T>,
    /// New state minus predicted one.
    correction: Vec<T>,
    residual: Vec<T>,
    tmp: Vec<T>,
    product: Vec<T>,
    /// Of the predicted state.
    weights: Weights<T>,
    /// Steps are taken as they come.
    fixed: bool,
    /// Whether the history already holds the proposed step.
    advanced: bool,
    convergence: Convergence,
    next_factor: f64,
    failure: Option<StepFailure>,
    work: Work,
}

impl<T: Real> BdfSteps<T> {
    /// Work arrays for `n` trajectories of `d` coordinates.
    pub(crate) fn new(n: usize, d: usize) -> Self {
        let nd = n * d;
        let zeros = || vec![T::ZERO; nd];
        Self {
            nd,
            linear: Linearisation::new(n, d, 0),
            krylov: None,
            history: BackwardDifferences::new(nd),
            order: 1,
            max_order: MAX_ORDER,
            equal_steps: 0,
            f0: zeros(),
            started: false,
            jacobian: JacobianAge::Expired,
            shift: 0.0,
            y1: zeros(),
            psi: zeros(),
            correction: zeros(),
            residual: zeros(),
            tmp: zeros(),
            product: zeros(),
            weights: Weights::new(n, d),
            fixed: false,
            advanced: false,
            convergence: Convergence::new(MAX_ITERATIONS, LEFT_OF_NEWTON),
            next_factor: 1.0,
            failure: None,
            work: Work::default(),
        }
    }

    /// Size of an estimated error relative to the tolerance.
    fn size(&self, row: usize, constant: f64) -> f64 {
        constant.abs() * self.weights.norm(self.history.row(row))
    }

    /// Order and factor after an accepted step of error `err`.
    fn choose_order(&mut self, err: f64) -> f64 {
        let k = self.order;
        self.equal_steps += 1;
        if self.equal_steps <= k {
            return 1.0;
        }
        let power = |size: f64, order: usize| size.powf(-1.0 / (order as f64 + 1.0));
        let (mut best, mut order) = (power(err, k), k);
        if k > 1 {
            let lower = power(self.size(k, error_constant(k - 1)), k - 1);
            if lower > best {
                (best, order) = (lower, k - 1);
            }
        }
        if k < self.max_order {
            let higher = power(self.size(k + 2, error_constant(k + 1)), k + 1);
            if higher > best {
                (best, order) = (higher, k + 1);
            }
        }
        let factor = (self.safety() * best).min(MOST);
        if order == k && (1.0..NOT_WORTH).contains(&factor) {
            return 1.0;
        }
        self.order = order;
        self.equal_steps = 0;
        factor.max(LEAST)
    }

    fn safety(&self) -> f64 {
        let most = f64::from(2 * MAX_ITERATIONS);
        SAFETY * (most + 1.0) / (most + f64::from(self.convergence.iterations))
    }

    fn advance(&mut self) {
        if !self.advanced {
            self.history.advance(self.order, &self.correction);
            self.advanced = true;
        }
    }
}

impl<T: Real> Stepper<T> for BdfSteps<T> {
    fn state_len(&self) -> usize {
        self.nd
    }

    fn dim(&self) -> usize {
        self.linear.dim()
    }

    fn error_order(&self) -> Option<u32> {
        Some(self.order as u32 + 1)
    }

    fn work(&self) -> Work {
        self.work
    }

    fn fixed_steps(&mut self, fixed: bool) {
        self.fixed = fixed;
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.started = false;
        (self.order, self.equal_steps) = (1, 0);
        self.jacobian = JacobianAge::Expired;
        self.work.evals += 1;
        f.eval(t, y, p, &mut self.f0)
    }

    fn initial_step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        self.work.evals += 1;
        initial_step(f, t, t_end, y, p, &self.f0, 2, tol, &mut self.y1, &mut self.residual, &mut self.tmp)
    }

    fn step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        let h = t_end - t;
        self.failure = None;
        self.weights.follow(tol, |rtol, atol| (rtol, atol));
        if !self.started {
            if let Some(fault) = self.linear.field_fault(t, y, &self.f0) {
                (self.failure, self.next_factor) = (Some(fault), 0.5); // nothing can be predicted from it
                return Ok(f64::INFINITY);
            }
            let derivative = (!self.linear.has_mass()).then_some(&self.f0[..]);
            self.history.restart(y, derivative, h);
            self.started = true;
        } else if !self.history.is_for(h) {
            self.history.rescale(h, self.order);
            self.equal_steps = 0;
        }
        self.advanced = false;
        let shift = alpha(self.order) / h;
        loop {
            self.history.predict(self.order, &mut self.y1, &mut self.psi);
            self.weights.set(&self.y1);
            self.failure = self.linearise(f, t_end, p, shift, tol)?;
            if self.failure.is_some() {
                self.next_factor = 0.5;
                return Ok(f64::INFINITY);
            }
            self.failure = self.newton(f, t_end, p)?;
            if self.failure.is_none() {
                break;
            }
            self.work.newton_failures += 1;
            if self.jacobian == JacobianAge::Fresh {
                self.next_factor = 0.5;
                return Ok(f64::INFINITY);
            }
            self.jacobian = JacobianAge::Expired; // it was an old one: the same step with a new one
        }
        if let Some(block) = self.first_block() {
            self.failure = self.solve_other_blocks(f, t_end, p, block, tol)?;
            if self.failure.is_some() {
                self.next_factor = 0.5;
                return Ok(f64::INFINITY);
            }
        }
        if !self.y1.iter().fold(true, |ok, v| ok & v.is_finite()) {
            return Ok(f64::NAN);
        }
        let err = error_constant(self.order) * self.weights.norm(&self.correction);
        if err > 1.0 {
            let power = err.powf(-1.0 / (self.order as f64 + 1.0));
            self.next_factor = (self.safety() * power).clamp(LEAST, 0.9);
        }
        Ok(err)
    }

    fn proposed(&self) -> &[T] {
        &self.y1
    }

    fn prepare_dense(
        &mut self,
        _f: &mut Rhs<'_, T>,
        _t: f64,
        _t_end: f64,
        _y: &[T],
        _p: &[T],
    ) -> Result<(), FieldError> {
        self.advance();
        Ok(())
    }

    fn dense(&mut self, theta: f64, _h: f64, _y: &[T]) -> &[T] {
        self.history.interpolate(theta - 1.0, self.order, &mut self.tmp);
        &self.tmp
    }

    fn accept(&mut self, y: &mut [T]) {
        y.copy_from_slice(&self.y1);
        self.advance();
        if self.jacobian == JacobianAge::Fresh {
            self.jacobian = JacobianAge::Old;
        }
        if self.fixed && self.order < self.max_order {
            self.equal_steps += 1;
            if self.equal_steps > self.order {
                (self.order, self.equal_steps) = (self.order + 1, 0);
            }
        }
    }

    fn reject(&mut self) {
        self.equal_steps = 0;
    }

    fn step_ratio(&mut self, err: f64) -> Option<f64> {
        if err <= 1.0 {
            return Some(self.choose_order(err));
        }
        (!err.is_nan()).then_some(self.next_factor)
    }

    fn failure(&self) -> Option<StepFailure> {
        self.failure
    }

    fn memory(&self) -> &[T] {
        self.history.memory()
    }

    fn correct(&mut self, y: &[T], memory: &[T]) {
        self.history.correct(y, memory);
    }

    fn check(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<(), SolveError> {
        if self.krylov.is_some() {
            return self.linear.check_sizes(); // the rest needs a matrix
        }
        self.linear.check_start(f, t, y, p, tol, &mut self.work)
    }

    fn has_mass(&self) -> bool {
        self.linear.has_mass()
    }
}

impl<T: Real> Implicit<T> for BdfSteps<T> {
    fn order(&self) -> usize {
        self.order
    }

    fn system(&mut self) -> (&mut Linearisation<T>, &mut Work) {
        (&mut self.linear, &mut self.work)
    }
}

impl<T: Real> Multistep<T> for BdfSteps<T> {
    fn set_max_order(&mut self, order: usize) {
        if !(1..=MAX_ORDER).contains(&order) {
            let got = order as f64;
            return self.linear.refuse(SolveError::InvalidOption {
                what: "highest order of Bdf",
                must: "1 to 5",
                got,
            });
        }
        self.max_order = order;
    }

    fn set_krylov(&mut self, options: KrylovOptions, preconditioner: Option<Box<dyn Preconditioner<T>>>) {
        if let Err(e) = options.check() {
            return self.linear.refuse(e);
        }
        self.krylov = Some(Krylov::new(self.nd, options, preconditioner));
    }
}

#[cfg(test)]
mod tests;
