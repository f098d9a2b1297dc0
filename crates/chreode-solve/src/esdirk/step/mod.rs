//! One step of a diagonally implicit method with an explicit first stage. Sources: [KC03], [HW96] section IV.8 (Newton
//! iteration and step-size control), [HS96] (stage derivatives and error estimate).

use chreode_core::{FieldError, Real, Tolerance};

mod stages;

use self::stages::predictor;
use super::tableau::EsdirkTableau;
use crate::erk::combine::{Gathered, Plan};
use crate::error::SolveError;
use crate::implicit::Implicit;
use crate::initial_step::initial_step;
use crate::newton::convergence::Convergence;
use crate::newton::linearisation::{JacobianAge, Linearisation};
use crate::newton::weights::Weights;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::{StepFailure, Stepper};

/// Most Newton iterations of a stage.
const MAX_ITERATIONS: u32 = 5;
/// What Newton's iteration may leave, relative to the tolerance of the error. This, the rate, the safety factor and the points that the
/// second stage is predicted from were chosen by work against precision on the stiff problems of `chreode-testkit`: 0.80 of the work at
/// equal error of 0.02, 0.1, 0.9 and three points.
const LEFT_OF_NEWTON: f64 = 0.05;
/// The Jacobian is kept while Newton's rate stays below this.
const RATE_TO_KEEP: f64 = 0.01;
const SAFETY: f64 = 0.8;
/// The next step is at most so much longer, and at least so much of the last one.
const MOST: f64 = 8.0;
const LEAST: f64 = 0.2;
/// A step would grow by less than this: it keeps its length, and the factorisation.
const NOT_WORTH: f64 = 1.2;

/// The steps of an ESDIRK method with their work arrays.
#[derive(Debug)]
pub(crate) struct EsdirkSteps<T: Real> {
    tableau: &'static EsdirkTableau,
    /// Rows of `a`, the error estimate, the predictors of the stages.
    plan: Plan<T>,
    nd: usize,
    linear: Linearisation<T>,
    jacobian: JacobianAge,
    /// Step length of the factorisation; 0 for none.
    factored: f64,
    /// Stage derivatives of the step that is proposed, and of the last accepted one, as rows.
    k: Vec<T>,
    last_k: Vec<T>,
    /// Length of the last accepted step; 0 if there is none to extrapolate.
    last_h: f64,
    /// Whether the first row of `k` is the derivative at the step's start.
    started: bool,
    proposed_h: f64,
    /// What a stage adds to its implicit term.
    psi: Vec<T>,
    /// The implicit term, `h γ k_i`.
    delta: Vec<T>,
    residual: Vec<T>,
    tmp: Vec<T>,
    product: Vec<T>,
    y1: Vec<T>,
    weights: Weights<T>,
    fixed: bool,
    /// Of the iterations for the stages, and for their other blocks where these come after the first.
    convergence: [Convergence; 2],
    error_before: f64,
    rejected: bool,
    next_factor: f64,
    failure: Option<StepFailure>,
    work: Work,
}

impl<T: Real> EsdirkSteps<T> {
    /// Work arrays for `n` trajectories of `d` coordinates.
    ///
    /// # Panics
    /// If the tableau is not [consistent](EsdirkTableau::is_consistent): a programming error, best caught at compile
    /// time by `const _: () = assert!(..)`.
    pub(crate) fn new(tableau: &'static EsdirkTableau, n: usize, d: usize) -> Self {
        assert!(tableau.is_consistent(), "tableau {} is not consistent", tableau.name);
        let (s, nd) = (tableau.stages(), n * d);
        let zeros = || vec![T::ZERO; nd];
        let predictors: Vec<Vec<f64>> = (2..s).map(|i| predictor(tableau.c, i)).collect();
        let rows = tableau.a.iter().copied().chain([tableau.b_err]);
        Self {
            tableau,
            plan: Plan::of(rows.chain(predictors.iter().map(|p| &p[..]))),
            nd,
            linear: Linearisation::new(n, d, 0),
            jacobian: JacobianAge::Expired,
            factored: 0.0,
            k: vec![T::ZERO; s * nd],
            last_k: vec![T::ZERO; s * nd],
            last_h: 0.0,
            started: false,
            proposed_h: 0.0,
            psi: zeros(),
            delta: zeros(),
            residual: zeros(),
            tmp: zeros(),
            product: zeros(),
            y1: zeros(),
            weights: Weights::new(n, d),
            fixed: false,
            convergence: std::array::from_fn(|_| Convergence::new(MAX_ITERATIONS, LEFT_OF_NEWTON)),
            error_before: 1.0,
            rejected: false,
            next_factor: 1.0,
            failure: None,
            work: Work::default(),
        }
    }

    /// [`step`](Stepper::step); `N` is the length of the state if the compiler is to know it, else 0.
    fn step_of<const N: usize>(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        let (m, h) = (self.tableau, t_end - t);
        self.failure = None;
        self.weights.follow(tol, |rtol, atol| (rtol, atol));
        self.weights.set(y);
        loop {
            if self.jacobian == JacobianAge::Expired {
                self.refresh(f, t, y, p, tol)?;
            }
            if !self.started {
                if !self.derivative_at_start(f, t, h, y, p)? {
                    return Ok(f64::INFINITY);
                }
                self.started = true;
            }
            if !self.factor_for(f, t, h, y, p) {
                return Ok(f64::INFINITY);
            }
            if self.stages::<N>(f, t, t_end, y, p)? {
                break;
            }
            if self.jacobian == JacobianAge::Fresh {
                return Ok(f64::INFINITY);
            }
            self.jacobian = JacobianAge::Expired; // it was an old one: the same step with a new one
        }
        self.failure = None;
        self.proposed_h = h;
        if !self.y1.iter().fold(true, |ok, v| ok & v.is_finite()) {
            return Ok(f64::NAN);
        }
        // What the stiff part of the error estimate would have grown to is undone by one more system.
        self.plan.terms(m.stages()).sum_of::<N>(None, 1.0 / m.gamma, &self.k, &mut self.residual);
        if self.linear.has_mass() {
            self.tmp.copy_from_slice(&self.residual);
            self.linear.apply_mass(&self.tmp, &mut self.residual);
        }
        self.linear.solve(&mut self.residual);
        let err = self.weights.norm(&self.residual);
        if !err.is_nan() {
            self.control(h, err);
        }
        Ok(err)
    }

    /// Step-size control: the classical factor and the predictive one of Gustafsson, the smaller.
    fn control(&mut self, h: f64, err: f64) {
        let power = -1.0 / f64::from(self.tableau.embedded_order + 1);
        let err = err.max(1e-10);
        let mut factor = (SAFETY * err.powf(power)).clamp(LEAST, MOST);
        if err <= 1.0 {
            if self.last_h != 0.0 {
                let predicted =
                    SAFETY * (h / self.last_h).abs() * (err * err / self.error_before).powf(power);
                factor = factor.min(predicted.clamp(LEAST, MOST));
            }
            if self.rejected {
                factor = factor.min(1.0);
            }
            if (1.0..NOT_WORTH).contains(&factor) {
                factor = 1.0;
            }
        }
        self.next_factor = factor;
    }
}

impl<T: Real> Stepper<T> for EsdirkSteps<T> {
    fn state_len(&self) -> usize {
        self.nd
    }

    fn dim(&self) -> usize {
        self.linear.dim()
    }

    fn error_order(&self) -> Option<u32> {
        Some(self.tableau.embedded_order + 1)
    }

    fn work(&self) -> Work {
        self.work
    }

    fn fixed_steps(&mut self, fixed: bool) {
        self.fixed = fixed;
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.jacobian = JacobianAge::Expired;
        (self.factored, self.last_h, self.rejected) = (0.0, 0.0, false);
        self.convergence.iter_mut().for_each(Convergence::forget);
        self.work.evals += 1;
        f.eval(t, y, p, &mut self.k[..self.nd])?;
        self.started = !self.linear.has_mass();
        Ok(())
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
        let order = self.tableau.embedded_order + 1;
        let (f0, y1, f1) = (&self.k[..self.nd], &mut self.y1, &mut self.residual);
        initial_step(f, t, t_end, y, p, f0, order, tol, y1, f1, &mut self.tmp)
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
        // Parts of a state have no length that the compiler knows.
        let length = if self.linear.is_staggered() { 0 } else { self.nd };
        match length {
            1 => self.step_of::<1>(f, t, t_end, y, p, tol),
            2 => self.step_of::<2>(f, t, t_end, y, p, tol),
            3 => self.step_of::<3>(f, t, t_end, y, p, tol),
            4 => self.step_of::<4>(f, t, t_end, y, p, tol),
            _ => self.step_of::<0>(f, t, t_end, y, p, tol),
        }
    }

    fn proposed(&self) -> &[T] {
        &self.y1
    }

    fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T] {
        let weights = self.tableau.dense.iter();
        let weights = weights.map(|row| theta * row.iter().rev().fold(0.0, |s, &c| s * theta + c));
        Gathered::new(weights).terms().sum(Some(y), h, &self.k, &mut self.tmp);
        &self.tmp
    }

    fn accept(&mut self, y: &mut [T]) {
        y.copy_from_slice(&self.y1);
        std::mem::swap(&mut self.k, &mut self.last_k);
        let last = self.last_k.len() - self.nd;
        self.k[..self.nd].copy_from_slice(&self.last_k[last..]);
        self.last_h = self.proposed_h;
        let fast = self.convergence.iter().all(|of| of.worst_rate <= RATE_TO_KEEP);
        self.jacobian = if fast { JacobianAge::Old } else { JacobianAge::Expired };
        self.rejected = false;
    }

    fn reject(&mut self) {
        self.rejected = true;
        if self.jacobian == JacobianAge::Old {
            self.jacobian = JacobianAge::Expired;
        }
    }

    fn step_ratio(&mut self, err: f64) -> Option<f64> {
        if err <= 1.0 {
            self.error_before = err.max(1e-2);
        }
        // After something that is not finite, or a field that refused, nothing is known.
        (!err.is_nan()).then_some(self.next_factor)
    }

    fn failure(&self) -> Option<StepFailure> {
        self.failure
    }

    fn check(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<(), SolveError> {
        self.linear.check_start(f, t, y, p, tol, &mut self.work)
    }

    fn has_mass(&self) -> bool {
        self.linear.has_mass()
    }
}

impl<T: Real> Implicit<T> for EsdirkSteps<T> {
    fn order(&self) -> usize {
        self.tableau.order as usize
    }

    fn system(&mut self) -> (&mut Linearisation<T>, &mut Work) {
        (&mut self.linear, &mut self.work)
    }
}
