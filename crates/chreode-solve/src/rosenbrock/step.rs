//! One step of a Rosenbrock method. Source: [HW96] section IV.7.

use chreode_core::{FieldError, Real, Tolerance};

use super::tableau::RosenbrockTableau;
use crate::erk::combine::{Gathered, Plan};
use crate::error::SolveError;
use crate::error_norm::error_norm;
use crate::implicit::Implicit;
use crate::initial_step::initial_step;
use crate::newton::linearisation::Linearisation;
use crate::newton::part::Part;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::{StepFailure, Stepper};

/// The steps of a Rosenbrock method with their work arrays.
#[derive(Debug)]
pub(crate) struct RosenbrockSteps<T: Real> {
    tableau: &'static RosenbrockTableau,
    /// Rows of `a`, rows of `coupling`, `m`, `m_err`.
    plan: Plan<T>,
    d: usize,
    nd: usize,
    linear: Linearisation<T>,
    /// The field at the step's start, and at the end of the proposed one.
    f0: Vec<T>,
    f1: Vec<T>,
    /// `∂f/∂t` at the step's start.
    ft: Vec<T>,
    /// Whether Jacobian and `ft` are those of the step's start.
    linearised: bool,
    /// Step length of the factorisation; 0 for none.
    factored: f64,
    /// Stages as rows.
    u: Vec<T>,
    stage: Vec<T>,
    slope: Vec<T>,
    y1: Vec<T>,
    err: Vec<T>,
    fixed: bool,
    failure: Option<StepFailure>,
    work: Work,
}

impl<T: Real> RosenbrockSteps<T> {
    /// Work arrays for `n` trajectories of `d` coordinates.
    ///
    /// # Panics
    /// If the tableau is not [consistent](RosenbrockTableau::is_consistent): a programming error, best caught at compile
    /// time by `const _: () = assert!(..)`.
    pub(crate) fn new(tableau: &'static RosenbrockTableau, n: usize, d: usize) -> Self {
        assert!(tableau.is_consistent(), "tableau {} is not consistent", tableau.name);
        let nd = n * d;
        let zeros = || vec![T::ZERO; nd];
        Self {
            tableau,
            plan: Plan::of(
                tableau.a.iter().chain(tableau.coupling).chain([&tableau.m, &tableau.m_err]).copied(),
            ),
            d,
            nd,
            linear: Linearisation::new(n, d, 0),
            f0: zeros(),
            f1: zeros(),
            ft: zeros(),
            linearised: false,
            factored: 0.0,
            u: vec![T::ZERO; tableau.stages() * nd],
            stage: zeros(),
            slope: zeros(),
            y1: zeros(),
            err: zeros(),
            fixed: false,
            failure: None,
            work: Work::default(),
        }
    }

    /// Sets `ft` to `∂f/∂t`, by a difference of second order into the step; no more than one evaluation if the field does not
    /// depend on time.
    ///
    /// Its length is `ε^(1/3)` of the step's: `h ∂f/∂t` then has errors of `ε^(2/3)` from rounding and from curvature alike, and
    /// rounding, which stiff fields amplify, is what matters. But it is so many times the spacing of numbers at `t` that a field
    /// which computes in `T` sees it.
    fn time_derivative(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
    ) -> Result<(), FieldError> {
        let eps = T::EPSILON.f64();
        let size = (eps.cbrt() * h.abs()).max(64.0 * eps * t.abs()).min(0.5 * h.abs()).copysign(h);
        let (t1, t2) = (t + 0.5 * size, t + size);
        self.work.evals += 1;
        f.eval(t1, y, p, &mut self.ft)?;
        if self.ft == self.f0 {
            self.ft.fill(T::ZERO);
            return Ok(());
        }
        self.work.evals += 1;
        f.eval(t2, y, p, &mut self.slope)?;
        // The slope at `t` of the parabola through three points.
        let (d1, d2) = (t1 - t, t2 - t);
        let (w1, w2) = (T::c(d2 / (d1 * (d2 - d1))), T::c(-d1 / (d2 * (d2 - d1))));
        for ((ft, &f2), &f0) in self.ft.iter_mut().zip(&self.slope).zip(&self.f0) {
            *ft = w1 * (*ft - f0) + w2 * (f2 - f0);
        }
        Ok(())
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
        let (m, nd, h) = (self.tableau, self.nd, t_end - t);
        self.failure = None;
        if !self.linearised {
            self.factored = 0.0;
            self.linear.refresh(f, t, y, p, &self.f0, tol, &mut self.work)?;
            self.time_derivative(f, t, h, y, p)?;
            self.linearised = true;
        }
        if self.factored != h {
            self.factored = 0.0;
            if let Err(singular) = self.linear.factor(1.0 / (m.gamma * h), &mut self.work) {
                self.failure = Some(self.linear.fault(t, y, &self.f0).unwrap_or(singular.into()));
                return Ok(f64::INFINITY);
            }
            self.factored = h;
        }
        let per_h = 1.0 / h;
        for i in 0..m.stages() {
            let (done, rest) = self.u.split_at_mut(i * nd);
            let u = &mut rest[..nd];
            if i == 0 {
                u.copy_from_slice(&self.f0);
            } else {
                self.plan.terms(i).sum_of::<N>(Some(y), 1.0, done, &mut self.stage);
                self.work.evals += 1;
                let time = if m.c[i] == 1.0 { t_end } else { t + m.c[i] * h };
                f.eval(time, &self.stage, p, &mut self.slope)?;
                let coupling = self.plan.terms(m.stages() + i);
                if self.linear.has_mass() {
                    coupling.sum_of::<N>(None, per_h, done, &mut self.stage);
                    self.linear.apply_mass(&self.stage, u);
                    for (u, &slope) in u.iter_mut().zip(&self.slope) {
                        *u += slope;
                    }
                } else {
                    coupling.sum_of::<N>(Some(&self.slope), per_h, done, u);
                }
            }
            if m.d[i] != 0.0 {
                let weight = T::c(m.d[i] * h);
                for (u, &ft) in u.iter_mut().zip(&self.ft) {
                    *u += weight * ft;
                }
            }
            if let (Some(block), Rhs::Jacobian(f)) = (self.linear.block(), &mut *f) {
                // The first block of the stage moves what lies below it.
                self.stage.copy_from_slice(u);
                self.linear.solve_part(Part::FirstBlock(block), &mut self.stage);
                if !f.add_below_first_block(t, y, p, &self.stage, u)? {
                    let what = "it no longer tells what lies below the first block of its Jacobian";
                    return Err(FieldError::Fatal { t, what });
                }
            }
            self.linear.solve(u);
        }
        self.plan.terms(2 * m.stages()).sum_of::<N>(Some(y), 1.0, &self.u, &mut self.y1);
        self.plan.terms(2 * m.stages() + 1).sum_of::<N>(None, 1.0, &self.u, &mut self.err);
        let err = error_norm(&self.err, y, &self.y1, self.d, tol, &mut self.stage);
        if err.is_nan() {
            // Systems spread it over the coordinates of the state: the field itself says where it comes from.
            self.work.evals += 1;
            if f.eval(t_end, y, p, &mut self.slope).is_ok() {
                self.failure = self.linear.field_fault(t_end, y, &self.slope);
            }
        }
        if err <= 1.0 || self.fixed && !err.is_nan() {
            // Before the step is taken, so that a field that refuses its end has it tried again.
            self.work.evals += 1;
            f.eval(t_end, &self.y1, p, &mut self.f1)?;
        }
        Ok(err)
    }
}

impl<T: Real> Stepper<T> for RosenbrockSteps<T> {
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
        self.linearised = false;
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
        let order = self.tableau.embedded_order + 1;
        let (y1, f1) = (&mut self.y1, &mut self.slope);
        initial_step(f, t, t_end, y, p, &self.f0, order, tol, y1, f1, &mut self.stage)
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
        match self.nd {
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

    fn dense(&mut self, theta: f64, _h: f64, y: &[T]) -> &[T] {
        let m = self.tableau;
        let weights = (0..m.stages()).map(|i| {
            let inside = m.dense.iter().rev().fold(0.0, |s, row| s * theta + row[i]);
            theta * (m.m[i] + (1.0 - theta) * inside)
        });
        Gathered::new(weights).terms().sum(Some(y), 1.0, &self.u, &mut self.stage);
        &self.stage
    }

    fn accept(&mut self, y: &mut [T]) {
        y.copy_from_slice(&self.y1);
        std::mem::swap(&mut self.f0, &mut self.f1);
        self.linearised = false;
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
        // Asked of no motion at all, which leads nowhere that a field may refuse.
        self.slope.fill(T::ZERO);
        if let Rhs::Jacobian(f) = f
            && f.blocks() > 1
            && !f.add_below_first_block(t, y, p, &self.slope, &mut self.stage)?
        {
            return Err(SolveError::BlockJacobian { blocks: f.blocks() });
        }
        self.linear.check_start(f, t, y, p, tol, &mut self.work)
    }

    fn has_mass(&self) -> bool {
        self.linear.has_mass()
    }
}

impl<T: Real> Implicit<T> for RosenbrockSteps<T> {
    fn order(&self) -> usize {
        self.tableau.order as usize
    }

    fn system(&mut self) -> (&mut Linearisation<T>, &mut Work) {
        (&mut self.linear, &mut self.work)
    }
}
