//! Steps of the numerical differentiation formulas, of variable order and step length. Source: [SR97].

use chreode_core::{FieldError, Real, Sparsity, Tolerance};

use super::differences::{Differences, GAMMA, MAX_ORDER, alpha, error_constant};
use crate::error_norm::worst_norm;
use crate::initial_step::initial_step;
use crate::newton::linearisation::Linearisation;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::{StepFailure, Stepper};

/// Most Newton iterations of a step.
const MAX_ITERATIONS: u32 = 4;
const SAFETY: f64 = 0.9;
/// The next step is at most so much longer, and at least so much of the last one.
const MOST: f64 = 10.0;
const LEAST: f64 = 0.2;
/// A step would grow by less than this: it keeps its length, and the factorisation.
const NOT_WORTH: f64 = 1.2;

/// The numerical differentiation formulas (a BDF family) of orders 1 to 5 with their work arrays: the method of choice for
/// large stiff problems and low to middle accuracy, also with a mass matrix (index-1 differential-algebraic equations).
///
/// L-stable up to order 2, A(α)-stable with α = 88°, 80°, 66°, 52° for orders 2 to 5. Order and step length vary; dense output
/// has the order of the step.
#[derive(Debug, Clone)]
pub struct Bdf<T: Real> {
    d: usize,
    nd: usize,
    linear: Linearisation<T>,
    history: Differences<T>,
    order: usize,
    /// Highest order that is used.
    max_order: usize,
    /// Steps of one length and order so far.
    equal_steps: usize,
    f0: Vec<T>,
    started: bool,
    jacobian_fresh: bool,
    jacobian_serves: bool,
    /// Shift of the factorisation; NaN for none.
    shift: f64,
    y1: Vec<T>,
    psi: Vec<T>,
    /// New state minus predicted one.
    correction: Vec<T>,
    residual: Vec<T>,
    tmp: Vec<T>,
    ratio: Vec<T>,
    /// Whether the history already holds the proposed step.
    advanced: bool,
    iterations: u32,
    rate: f64,
    next_factor: f64,
    tolerance: (Vec<f64>, Vec<f64>),
    failure: Option<StepFailure>,
    work: Work,
}

impl<T: Real> Bdf<T> {
    /// Work arrays for `n` trajectories of `d` coordinates.
    pub fn new(n: usize, d: usize) -> Self {
        let nd = n * d;
        let zeros = || vec![T::ZERO; nd];
        Self {
            d,
            nd,
            linear: Linearisation::new(n, d, 0),
            history: Differences::new(nd),
            order: 1,
            max_order: MAX_ORDER,
            equal_steps: 0,
            f0: zeros(),
            started: false,
            jacobian_fresh: false,
            jacobian_serves: false,
            shift: f64::NAN,
            y1: zeros(),
            psi: zeros(),
            correction: zeros(),
            residual: zeros(),
            tmp: zeros(),
            ratio: zeros(),
            advanced: false,
            iterations: 0,
            rate: 0.0,
            next_factor: 1.0,
            tolerance: (vec![0.0; d], vec![0.0; d]),
            failure: None,
            work: Work::default(),
        }
    }

    /// Uses orders up to `order` (1 to 5) only: 2 keeps L-stability, where eigenvalues lie near the imaginary axis.
    #[must_use]
    pub fn with_max_order(mut self, order: usize) -> Self {
        self.max_order = order.clamp(1, MAX_ORDER);
        self
    }

    /// Solves `M dy/dt = f` with this mass matrix, `[d, d]` row-major. It may be singular: its null rows are
    /// algebraic equations (of index 1), which the start state must fulfil.
    ///
    /// # Panics
    /// If `mass` has not `d²` elements.
    #[must_use]
    pub fn with_mass(mut self, mass: &[T]) -> Self {
        assert_eq!(mass.len(), self.d * self.d, "Bdf::with_mass: elements of the mass matrix");
        self.linear.set_mass(mass);
        self
    }

    /// As [`with_mass`](Self::with_mass), for a diagonal mass matrix, `[d]`.
    ///
    /// # Panics
    /// If `mass` has not `d` elements.
    #[must_use]
    pub fn with_mass_diagonal(mut self, mass: &[T]) -> Self {
        assert_eq!(mass.len(), self.d, "Bdf::with_mass_diagonal: elements of the mass matrix");
        self.linear.set_mass_diagonal(mass);
        self
    }

    /// The sparsity of the Jacobian of fields that do not tell it themselves: differences then take one evaluation a colour,
    /// and systems are solved in banded or sparse form where that is faster.
    ///
    /// # Panics
    /// If the pattern has not `d` rows and columns.
    #[must_use]
    pub fn with_sparsity(mut self, pattern: &Sparsity) -> Self {
        let size = (pattern.n_rows(), pattern.n_cols());
        assert_eq!(size, (self.d, self.d), "Bdf::with_sparsity: size of the pattern");
        self.linear.set_sparsity(pattern);
        self
    }

    /// The order of the next step.
    pub fn order(&self) -> usize {
        self.order
    }

    /// Simplified Newton iteration for the correction; true if it converged.
    fn newton(
        &mut self,
        f: &mut Rhs<'_, T>,
        t_end: f64,
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<bool, FieldError> {
        let rtol = (0..self.d).map(|j| tol.rtol.of(j)).fold(f64::INFINITY, f64::min);
        let enough = (10.0 * T::EPSILON.f64() / rtol.max(1e-300)).max(0.03_f64.min(rtol.sqrt().max(1e-4)));
        let shift = T::c(self.shift);
        self.correction.fill(T::ZERO);
        let mut before = 0.0;
        for k in 1..=MAX_ITERATIONS {
            self.iterations = k;
            self.work.newton_iterations += 1;
            self.work.evals += 1;
            f.eval(t_end, &self.y1, p, &mut self.residual)?;
            if self.linear.has_mass() {
                for ((tmp, &psi), &c) in self.tmp.iter_mut().zip(&self.psi).zip(&self.correction) {
                    *tmp = psi + c;
                }
                self.linear.apply_mass(&self.tmp, &mut self.ratio);
                for (r, &m) in self.residual.iter_mut().zip(&self.ratio) {
                    *r -= shift * m;
                }
            } else {
                for ((r, &psi), &c) in self.residual.iter_mut().zip(&self.psi).zip(&self.correction) {
                    *r -= shift * (psi + c);
                }
            }
            self.linear.solve(&mut self.residual);
            let y1 = &self.y1;
            let size = worst_norm(&self.residual, y1, y1, self.d, tol, &mut self.ratio);
            if !size.is_finite() {
                self.rate = f64::INFINITY;
                return Ok(false);
            }
            if k > 1 {
                self.rate = size / before;
                let left = self.rate.powi((MAX_ITERATIONS - k) as i32) / (1.0 - self.rate) * size;
                if self.rate >= 1.0 || left > enough {
                    return Ok(false);
                }
            }
            for ((y, c), &r) in self.y1.iter_mut().zip(&mut self.correction).zip(&self.residual) {
                *y += r;
                *c += r;
            }
            if size == 0.0 || k > 1 && self.rate / (1.0 - self.rate) * size < enough {
                return Ok(true);
            }
            before = size;
        }
        Ok(false)
    }

    /// Size of an estimated error relative to the tolerance of the last step, at the new state.
    fn size(&mut self, row: usize, constant: f64) -> f64 {
        let (rtol, atol) = &self.tolerance;
        let tol = Tolerance::new(&rtol[..], &atol[..]);
        let y = self.history.row(0);
        constant.abs() * worst_norm(self.history.row(row), y, y, self.d, tol, &mut self.ratio)
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
        if order == k && (1.0 / NOT_WORTH..NOT_WORTH).contains(&factor) && factor >= 1.0 {
            return 1.0;
        }
        self.order = order;
        self.equal_steps = 0;
        factor.max(LEAST)
    }

    fn safety(&self) -> f64 {
        let most = f64::from(2 * MAX_ITERATIONS);
        SAFETY * (most + 1.0) / (most + f64::from(self.iterations))
    }

    fn advance(&mut self) {
        if !self.advanced {
            self.history.advance(self.order, &self.correction);
            self.advanced = true;
        }
    }
}

impl<T: Real> Stepper<T> for Bdf<T> {
    fn state_len(&self) -> usize {
        self.nd
    }

    fn error_order(&self) -> Option<u32> {
        Some(self.order as u32 + 1)
    }

    fn work(&self) -> Work {
        self.work
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.started = false;
        (self.order, self.equal_steps) = (1, 0);
        (self.jacobian_fresh, self.jacobian_serves) = (false, false);
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
        initial_step(f, t, t_end, y, p, &self.f0, 2, tol, &mut self.y1, &mut self.residual, &mut self.ratio)
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
        for j in 0..self.d {
            (self.tolerance.0[j], self.tolerance.1[j]) = (tol.rtol.of(j), tol.atol.of(j));
        }
        if !self.started {
            let derivative = (!self.linear.has_mass()).then_some(&self.f0[..]);
            self.history.restart(y, derivative, h);
            self.started = true;
        } else if (h - self.history.h).abs() > 1e-12 * h.abs() {
            self.history.rescale(h, self.order);
            self.equal_steps = 0;
        }
        self.advanced = false;
        let shift = alpha(self.order) / h;
        loop {
            self.history.predict(self.order, &mut self.y1, &mut self.psi);
            if !self.jacobian_serves {
                self.work.evals += 1;
                f.eval(t_end, &self.y1, p, &mut self.residual)?;
                self.linear.refresh(f, t_end, &self.y1, p, &self.residual, tol, &mut self.work)?;
                (self.jacobian_fresh, self.jacobian_serves) = (true, true);
                self.shift = f64::NAN;
            }
            if !((shift - self.shift).abs() <= 1e-9 * shift.abs()) {
                self.shift = f64::NAN;
                if let Err(singular) = self.linear.factor(shift, &mut self.work) {
                    self.next_factor = 0.5;
                    self.failure = Some(singular.into());
                    return Ok(f64::INFINITY);
                }
                self.shift = shift;
            }
            if self.newton(f, t_end, p, tol)? {
                break;
            }
            self.work.newton_failures += 1;
            if self.jacobian_fresh {
                self.next_factor = 0.5;
                self.failure =
                    Some(StepFailure::NewtonDiverged { iterations: self.iterations, rate: self.rate });
                return Ok(f64::INFINITY);
            }
            self.jacobian_serves = false; // it was an old one: the same step with a new one
        }
        let err = error_constant(self.order)
            * worst_norm(&self.correction, &self.y1, &self.y1, self.d, tol, &mut self.ratio);
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
        self.jacobian_fresh = false;
    }

    fn reject(&mut self) {
        self.equal_steps = 0;
    }

    fn factor(&mut self, err: f64) -> Option<f64> {
        if err <= 1.0 {
            return Some(self.choose_order(err));
        }
        (!err.is_nan()).then_some(self.next_factor)
    }

    fn failure(&self) -> Option<StepFailure> {
        self.failure
    }
}

const _: () = assert!(GAMMA[MAX_ORDER] > 2.28 && GAMMA[MAX_ORDER] < 2.29);
