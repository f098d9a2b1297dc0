//! Radau IIA of order 5, 9 or 13, with three, five or seven stages. Sources: [HW96] sections IV.5, IV.8; [HW99].
//!
//! The stage equations `Z = h (A ⊗ I) F(y + Z)` are transformed by the eigenvectors of `A⁻¹`: one real system of size `d` and a
//! complex one for each pair of stages instead of one of all stages. The error estimate is of order 3, 5 or 7.

use chreode_core::{FieldError, Real, SingularMatrix, Tolerance};

mod control;
mod newton;
mod stages;

use self::control::tolerance_of_estimate;
use super::coefficients::{Coefficients, FIVE, SEVEN, THREE};
use super::order::StageControl;
use crate::error::SolveError;
use crate::implicit::Implicit;
use crate::initial_step::initial_step;
use crate::newton::linearisation::{JacobianAge, Linearisation};
use crate::newton::weights::Weights;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::{StepFailure, Stepper};

/// The Jacobian is kept while Newton's rate stays below this.
const RATE_TO_KEEP: f64 = 1e-3;

/// Radau IIA methods of the orders from `LEAST` to `MOST`, which are 5, 9 or 13, with their work arrays.
#[derive(Debug)]
pub(crate) struct RadauSteps<T: Real, const LEAST: usize, const MOST: usize> {
    nd: usize,
    linear: Linearisation<T>,
    /// The field at the step's start, and at the end of the proposed one.
    f0: Vec<T>,
    f1: Vec<T>,
    jacobian: JacobianAge,
    /// Step length of the factorisations; 0 for none.
    factored: f64,
    control: StageControl,
    /// Stage values minus `y`, transformed ones, and Newton corrections: `[stages, n, d]` each.
    z: Vec<Vec<T>>,
    w: Vec<Vec<T>>,
    dw: Vec<Vec<T>>,
    y1: Vec<T>,
    /// Stage values of the last accepted step, and how many.
    last_z: Vec<Vec<T>>,
    last_stages: usize,
    /// Length of the last accepted step; 0 if there is none to extrapolate.
    last_h: f64,
    proposed_h: f64,
    /// Length of the last accepted step over that of the one before; 0 if there was none.
    ratio: f64,
    tmp: Vec<T>,
    weights: Weights<T>,
    /// Steps are taken as they come: nothing is gained by giving up early.
    fixed: bool,
    iterations: u32,
    rate: f64,
    /// `η` of [HW96] (IV.8.10) from the last convergent iteration of each part.
    eta: [f64; 2],
    error_before: f64,
    rejected: bool,
    next_factor: f64,
    failure: Option<StepFailure>,
    work: Work,
}

impl<T: Real, const LEAST: usize, const MOST: usize> RadauSteps<T, LEAST, MOST> {
    const STAGES: [usize; 2] = [LEAST.div_ceil(2), MOST.div_ceil(2)];

    /// Work arrays for `n` trajectories of `d` coordinates.
    pub(crate) fn new(n: usize, d: usize) -> Self {
        const {
            assert!(matches!(LEAST, 5 | 9 | 13) && matches!(MOST, 5 | 9 | 13) && LEAST <= MOST);
        }
        let nd = n * d;
        let zeros = || vec![T::ZERO; nd];
        let [least, most] = Self::STAGES;
        let stages = || vec![zeros(); most];
        Self {
            nd,
            linear: Linearisation::new(n, d, most / 2),
            f0: zeros(),
            f1: zeros(),
            jacobian: JacobianAge::Expired,
            factored: 0.0,
            control: StageControl::new(least, most),
            z: stages(),
            w: stages(),
            dw: stages(),
            y1: zeros(),
            last_z: stages(),
            last_stages: least,
            last_h: 0.0,
            proposed_h: 0.0,
            ratio: 0.0,
            tmp: zeros(),
            weights: Weights::new(n, d),
            fixed: false,
            iterations: 0,
            rate: 0.0,
            eta: [1.0; 2],
            error_before: 1.0,
            rejected: false,
            next_factor: 1.0,
            failure: None,
            work: Work::default(),
        }
    }

    /// Length of the state.
    #[inline(always)]
    fn length<const N: usize>(&self) -> usize {
        if N > 0 { N } else { self.nd }
    }

    /// Factors the systems of a step of length `h`.
    fn factor_all<const S: usize>(&mut self, table: &Coefficients<S>, h: f64) -> Result<(), SingularMatrix> {
        self.linear.factor(table.gamma / h, &mut self.work)?;
        for (q, &(alpha, beta)) in table.pairs[..S / 2].iter().enumerate() {
            self.linear.factor_complex(q, alpha / h, beta / h, &mut self.work)?;
        }
        Ok(())
    }

    /// [`step`](Stepper::step) with `S` stages; `N` is the length of the state if the compiler is to know it, else 0.
    fn step_of<const S: usize, const N: usize>(
        &mut self,
        table: &Coefficients<S>,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        let nd = self.length::<N>();
        let y = &y[..nd];
        let h = t_end - t;
        self.failure = None;
        self.weights.follow(tol, tolerance_of_estimate::<S>);
        self.weights.set(y);
        loop {
            if self.jacobian == JacobianAge::Expired {
                self.linear.refresh(f, t, y, p, &self.f0, tol, &mut self.work)?;
                self.jacobian = JacobianAge::Fresh;
                self.factored = 0.0;
            }
            if (self.factored - h).abs() > 1e-9 * h.abs() {
                self.factored = 0.0;
                if let Err(singular) = self.factor_all(table, h) {
                    self.next_factor = 0.5;
                    self.failure = Some(self.linear.fault(t, y, &self.f0).unwrap_or(singular.into()));
                    return Ok(f64::INFINITY);
                }
                self.factored = h;
            }
            self.guess::<S, N>(table, h);
            if self.newton::<S, N>(table, f, t, h, y, p)? {
                break;
            }
            if self.jacobian == JacobianAge::Fresh {
                return Ok(f64::INFINITY);
            }
            self.jacobian = JacobianAge::Expired; // it was an old one: the same step with a new one
        }
        self.failure = None;
        let (y1, z) = (&mut self.y1[..nd], &self.z[S - 1][..nd]);
        for j in 0..nd {
            y1[j] = y[j] + z[j];
        }
        let finite = self.y1.iter().fold(true, |ok, v| ok & v.is_finite());
        let err = if finite { self.error::<S, N>(table, f, t, h, y, p)? } else { f64::NAN };
        if !err.is_nan() {
            self.control::<S>(h, err);
        }
        if self.fixed || err <= 1.0 {
            // Before the step is taken, so that a field that refuses its end has it tried again.
            self.work.evals += 1;
            f.eval(t_end, &self.y1, p, &mut self.f1)?;
        }
        self.proposed_h = h;
        Ok(err)
    }
}

impl<T: Real, const LEAST: usize, const MOST: usize> Stepper<T> for RadauSteps<T, LEAST, MOST> {
    fn state_len(&self) -> usize {
        self.nd
    }

    fn dim(&self) -> usize {
        self.linear.dim()
    }

    fn error_order(&self) -> Option<u32> {
        Some(self.control.stages as u32 + 1)
    }

    fn work(&self) -> Work {
        self.work
    }

    fn fixed_steps(&mut self, fixed: bool) {
        self.fixed = fixed;
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.jacobian = JacobianAge::Expired;
        (self.factored, self.last_h, self.eta, self.rejected) = (0.0, 0.0, [1.0; 2], false);
        self.control.restart();
        self.weights.forget();
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
        let order = self.control.stages as u32 + 1;
        initial_step(f, t, t_end, y, p, &self.f0, order, tol, &mut self.y1, &mut self.dw[0], &mut self.tmp)
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
        match (self.control.stages, length) {
            (3, 1) if LEAST == 5 => self.step_of::<3, 1>(&THREE, f, t, t_end, y, p, tol),
            (3, 2) if LEAST == 5 => self.step_of::<3, 2>(&THREE, f, t, t_end, y, p, tol),
            (3, 3) if LEAST == 5 => self.step_of::<3, 3>(&THREE, f, t, t_end, y, p, tol),
            (3, 4) if LEAST == 5 => self.step_of::<3, 4>(&THREE, f, t, t_end, y, p, tol),
            (5, _) if LEAST <= 9 && MOST >= 9 => self.step_of::<5, 0>(&FIVE, f, t, t_end, y, p, tol),
            (7, _) if MOST == 13 => self.step_of::<7, 0>(&SEVEN, f, t, t_end, y, p, tol),
            _ => self.step_of::<3, 0>(&THREE, f, t, t_end, y, p, tol),
        }
    }

    fn proposed(&self) -> &[T] {
        &self.y1
    }

    fn dense(&mut self, theta: f64, _h: f64, y: &[T]) -> &[T] {
        self.tmp.copy_from_slice(y);
        let mut add = |weights: &[f64]| {
            for (z, &weight) in self.z.iter().zip(weights) {
                let weight = T::c(weight);
                self.tmp.iter_mut().zip(z).for_each(|(out, &z)| *out += weight * z);
            }
        };
        match self.control.stages {
            3 => add(&THREE.weights(theta)),
            5 => add(&FIVE.weights(theta)),
            _ => add(&SEVEN.weights(theta)),
        }
        &self.tmp
    }

    fn accept(&mut self, y: &mut [T]) {
        y.copy_from_slice(&self.y1);
        std::mem::swap(&mut self.z, &mut self.last_z);
        self.ratio = if self.last_h == 0.0 { 0.0 } else { self.proposed_h / self.last_h };
        (self.last_h, self.last_stages) = (self.proposed_h, self.control.stages);
        std::mem::swap(&mut self.f0, &mut self.f1);
        self.jacobian =
            if self.rate <= self.rate_to_keep() { JacobianAge::Old } else { JacobianAge::Expired };
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
            if self.control.choose(self.ratio, self.rate, self.iterations) {
                self.factored = 0.0;
                self.weights.forget();
            }
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

impl<T: Real, const LEAST: usize, const MOST: usize> Implicit<T> for RadauSteps<T, LEAST, MOST> {
    fn order(&self) -> usize {
        2 * self.control.stages - 1
    }

    fn system(&mut self) -> (&mut Linearisation<T>, &mut Work) {
        (&mut self.linear, &mut self.work)
    }
}
