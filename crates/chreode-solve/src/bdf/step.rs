//! Steps of the numerical differentiation formulas, of variable order and step length. Source: [SR97].

use chreode_core::{FieldError, Real, Tolerance};
use chreode_linalg::GmresOutcome;

use super::differences::{BackwardDifferences, MAX_ORDER, alpha, error_constant};
use crate::error::SolveError;
use crate::implicit::{Implicit, Multistep};
use crate::initial_step::initial_step;
use crate::newton::convergence::{Convergence, Verdict};
use crate::newton::krylov::{ENOUGH_TO_GO_ON, Krylov, KrylovOptions, Preconditioner};
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
    /// Blocks after the first are solved after it.
    staggered: bool,
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
            staggered: false,
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

    /// Simplified Newton iteration for the correction (not simplified without matrices); why it failed, if it did.
    fn newton(&mut self, f: &mut Rhs<'_, T>, t_end: f64, p: &[T]) -> Result<Option<StepFailure>, FieldError> {
        let enough = self.convergence.begin(self.weights.rounding(&self.y1), self.fixed);
        let first = self.first_block();
        self.correction.fill(T::ZERO);
        loop {
            self.work.newton_iterations += 1;
            self.work.evals += 1;
            if first.is_some() {
                f.eval_first_block(t_end, &self.y1, p, &mut self.residual)?;
            } else {
                f.eval(t_end, &self.y1, p, &mut self.residual)?;
            }
            if let Some(krylov) = &mut self.krylov {
                krylov.field_is(&self.residual);
            }
            self.subtract_derivative();
            if let Some(krylov) = &mut self.krylov {
                let outcome = krylov.solve(
                    f,
                    t_end,
                    &self.y1,
                    p,
                    self.shift,
                    &self.linear,
                    &self.weights,
                    enough,
                    &mut self.residual,
                    &mut self.work,
                )?;
                if !(outcome.converged || outcome.residual <= ENOUGH_TO_GO_ON) {
                    let GmresOutcome { iterations, residual, .. } = outcome;
                    let failure = StepFailure::Krylov { iterations, residual };
                    let fault = if residual.is_finite() { None } else { self.fault(f, t_end, p) };
                    return Ok(Some(fault.unwrap_or(failure)));
                }
            } else if let Some(block) = first {
                self.linear.solve_first_block(&mut self.residual);
                let d = self.linear.dim();
                self.residual.chunks_exact_mut(d).for_each(|r| r[block..].fill(T::ZERO));
            } else {
                self.linear.solve(&mut self.residual);
            }
            let mut size = self.weights.norm(&self.residual);
            if let Some(block) = first {
                size *= (self.linear.dim() as f64 / block as f64).sqrt(); // the mean over the first block alone
            }
            let verdict = self.convergence.judge(size);
            if let Verdict::Diverged(failure) = verdict {
                let fault = if size.is_finite() { None } else { self.fault(f, t_end, p) };
                return Ok(Some(fault.unwrap_or(failure)));
            }
            for ((y, c), &r) in self.y1.iter_mut().zip(&mut self.correction).zip(&self.residual) {
                *y += r;
                *c += r;
            }
            if let Verdict::Converged = verdict {
                return Ok(None);
            }
        }
    }

    /// The size of the first block, if the others are solved after it.
    fn first_block(&self) -> Option<usize> {
        if self.staggered && self.krylov.is_none() { self.linear.block() } else { None }
    }

    /// Of the field in `residual`, makes the residual of the formula.
    fn subtract_derivative(&mut self) {
        let shift = T::c(self.shift);
        if self.linear.has_mass() {
            for ((tmp, &psi), &c) in self.tmp.iter_mut().zip(&self.psi).zip(&self.correction) {
                *tmp = psi + c;
            }
            self.linear.apply_mass(&self.tmp, &mut self.product);
            for (r, &m) in self.residual.iter_mut().zip(&self.product) {
                *r -= shift * m;
            }
        } else {
            for ((r, &psi), &c) in self.residual.iter_mut().zip(&self.psi).zip(&self.correction) {
                *r -= shift * (psi + c);
            }
        }
    }

    /// Solves for the blocks after the first, whose iteration has converged: they are linear in themselves.
    fn solve_other_blocks(
        &mut self,
        f: &mut Rhs<'_, T>,
        t_end: f64,
        p: &[T],
        block: usize,
        tol: Tolerance<'_>,
    ) -> Result<Option<StepFailure>, FieldError> {
        let (shift, d) = (self.shift, self.linear.dim());
        self.work.evals += 1;
        f.eval(t_end, &self.y1, p, &mut self.residual)?;
        self.linear.refresh(f, t_end, &self.y1, p, &self.residual, tol, &mut self.work)?;
        self.shift = 0.0;
        if let Err(singular) = self.linear.factor(shift, &mut self.work) {
            self.jacobian = JacobianAge::Expired;
            return Ok(Some(singular.into()));
        }
        (self.shift, self.jacobian) = (shift, JacobianAge::Fresh);
        self.subtract_derivative();
        self.linear.solve(&mut self.residual);
        self.residual.chunks_exact_mut(d).for_each(|r| r[..block].fill(T::ZERO));
        for ((y, c), &r) in self.y1.iter_mut().zip(&mut self.correction).zip(&self.residual) {
            *y += r;
            *c += r;
        }
        Ok(None)
    }

    /// What is not finite of the field and its Jacobian, where an iteration came to.
    fn fault(&mut self, f: &mut Rhs<'_, T>, t_end: f64, p: &[T]) -> Option<StepFailure> {
        self.work.evals += 1;
        f.eval(t_end, &self.y1, p, &mut self.residual).ok()?;
        self.linear.fault(t_end, &self.y1, &self.residual)
    }

    /// Gets the Jacobian and its factorisation for this shift, or the preconditioner for it; says why there is none.
    fn linearise(
        &mut self,
        f: &mut Rhs<'_, T>,
        t_end: f64,
        p: &[T],
        shift: f64,
        tol: Tolerance<'_>,
    ) -> Result<Option<StepFailure>, FieldError> {
        let expired = self.jacobian == JacobianAge::Expired;
        let moved = (shift - self.shift).abs() > 1e-9 * shift.abs();
        if let Some(krylov) = &mut self.krylov {
            if expired || moved {
                self.shift = 0.0;
                krylov.prepare(t_end, &self.y1, p, shift, expired, &mut self.work)?;
            }
            if expired || !krylov.has_preconditioner() {
                self.jacobian = JacobianAge::Fresh;
            }
        } else {
            if expired {
                self.work.evals += 1;
                f.eval(t_end, &self.y1, p, &mut self.residual)?;
                self.linear.refresh(f, t_end, &self.y1, p, &self.residual, tol, &mut self.work)?;
                self.jacobian = JacobianAge::Fresh;
                self.shift = 0.0;
            }
            if expired || moved {
                self.shift = 0.0;
                if let Err(singular) = self.linear.factor(shift, &mut self.work) {
                    // Also where the Jacobian is not finite: another state may have a better one.
                    self.jacobian = JacobianAge::Expired;
                    return Ok(Some(self.fault(f, t_end, p).unwrap_or(singular.into())));
                }
            }
        }
        if expired || moved {
            self.shift = shift;
            self.convergence.forget();
        }
        Ok(None)
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
    fn set_staggered(&mut self) {
        self.staggered = true;
    }

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
        self.krylov = Some(Krylov::new(self.nd, options, preconditioner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chreode_testkit::{Rational, SmoothField, observed_order};

    /// Error at 1.9 of `n` equal steps of order `k` from 0.4 on, with an exact history.
    fn error(k: usize, n: u32) -> f64 {
        let exact = |t: f64| 1.0 / (1.7 + t * t);
        let (from, until) = (0.4, 1.9);
        let h = (until - from) / f64::from(n);
        let mut bdf = BdfSteps::new(1, 1);
        (bdf.order, bdf.started) = (k, true);
        let past: Vec<f64> = (0..=k + 2).map(|i| exact(from - h * i as f64)).collect();
        bdf.history.set_from(&past, h);
        let (mut field, mut y) = (SmoothField(Rational), [past[0]]);
        let mut f = Rhs::Jacobian(&mut field);
        for i in 0..n {
            let t = from + h * f64::from(i);
            let t_end = t + bdf.history.h; // equal to the last bit
            let err = bdf.step(&mut f, t, t_end, &y, &[1.0], Tolerance::new(1e-13, 1e-13)).unwrap();
            assert!(err.is_finite());
            bdf.accept(&mut y);
        }
        assert_eq!(bdf.order(), k);
        (y[0] - exact(until)).abs()
    }

    #[test]
    fn each_order_is_attained() {
        for k in 1..=MAX_ORDER {
            let points = [20, 40, 80, 160].map(|n| (-f64::from(n).log2(), error(k, n).log2()));
            let order = observed_order(&points);
            println!("order {k}: {order:.2}");
            assert!((order - k as f64).abs() < 0.35, "{k}: {order}");
        }
    }

    /// Largest angle, in degrees, such that `y' = λ y` decays for every `λ` within it of the negative axis: from the locus of `h λ` with a
    /// solution of modulus 1.
    fn stability_angle(k: usize) -> f64 {
        let times = |a: (f64, f64), b: (f64, f64)| (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0);
        let mut angle = 90.0_f64;
        for i in 1..20_000 {
            let phase = std::f64::consts::PI * f64::from(i) / 20_000.0;
            let difference = (1.0 - phase.cos(), phase.sin()); // 1 - 1/ζ
            let (mut power, mut z) = ((1.0, 0.0), (0.0, 0.0));
            for m in 1..=k + 1 {
                power = times(power, difference);
                let weight = if m <= k { 1.0 / m as f64 } else { kappa_gamma(k) };
                z = (z.0 + weight * power.0, z.1 + weight * power.1);
            }
            if z.0 < -1e-9 {
                angle = angle.min((z.1.abs() / -z.0).atan().to_degrees());
            }
        }
        angle
    }

    /// `-κ_k γ_k`: weight of the next difference.
    fn kappa_gamma(k: usize) -> f64 {
        1.0 / (k as f64 + 1.0) - error_constant(k)
    }

    /// The angles of [SR97], table 1.
    #[test]
    fn stability_angles() {
        for (k, degrees) in [(1, 90.0), (2, 90.0), (3, 80.0), (4, 66.0), (5, 51.0)] {
            let angle = stability_angle(k);
            println!("order {k}: {angle:.1}");
            assert!((angle - degrees).abs() < 1.0, "order {k}: {angle}");
        }
    }
}
