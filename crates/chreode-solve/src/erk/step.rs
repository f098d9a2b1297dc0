//! One step of an explicit Runge-Kutta method.

use std::array::from_fn;

use chreode_core::{FieldError, Real, Tolerance};

use super::combine::{Gathered, Plan, TinyPlan};
use super::dense_output::dense_into;
use super::tableau::{DenseOutput, ErkTableau};
use crate::error_norm::{TINY, worst_norm, worst_pair_norm};
use crate::initial_step::initial_step;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::Stepper;

/// An explicit Runge-Kutta method with its work arrays.
///
/// A step ends with the derivative at its end, which is the next step's first stage: a method that is not FSAL
/// pays one evaluation more for the last step of a run, and for each rejected one. Dense output is of the
/// method's order, four at most for the cubic Hermite ones, seven for [`DOP853`](crate::DOP853); that of the methods
/// of order 7 and more takes further evaluations in the steps where it is asked for.
#[derive(Debug, Clone)]
pub struct Erk<T> {
    tableau: &'static ErkTableau,
    plan: Plan<T>,
    tiny: TinyPlan<T>,
    dim: usize,
    nd: usize,
    /// Stages as rows, then (unless FSAL, where the last stage is it) the derivative at the step's end, then the
    /// stages of the dense output.
    k: Vec<T>,
    stage: Vec<T>,
    y1: Vec<T>,
    err: Vec<T>,
    /// The lower estimate, if there is one.
    lower: Vec<T>,
    evals: u64,
}

impl<T: Real> Erk<T> {
    /// Work arrays for `n` trajectories of `d` coordinates.
    ///
    /// # Panics
    /// If the tableau is not [consistent](ErkTableau::is_consistent): a programming error, best caught at compile
    /// time by `const _: () = assert!(..)`.
    pub fn new(tableau: &'static ErkTableau, n: usize, d: usize) -> Self {
        assert!(tableau.is_consistent(), "tableau {} is not consistent", tableau.name);
        let nd = n * d;
        let zeros = |len| vec![T::ZERO; len];
        Self {
            tableau,
            plan: Plan::new(tableau),
            tiny: TinyPlan::new(tableau),
            dim: d,
            nd,
            k: zeros(tableau.rows() * nd),
            stage: zeros(nd),
            y1: zeros(nd),
            err: zeros(nd),
            lower: zeros(if tableau.lower.is_some() { nd } else { 0 }),
            evals: 0,
        }
    }

    /// The method.
    pub fn tableau(&self) -> &'static ErkTableau {
        self.tableau
    }
}

impl<T: Real> Erk<T> {
    /// The inputs of stages `1..`, their derivatives, and the error estimates.
    fn stages(&mut self, f: &mut Rhs<'_, T>, t: f64, t_end: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        let (m, nd, h) = (self.tableau, self.nd, t_end - t);
        let last = m.last_row();
        for i in 1..=last {
            let (k, rest) = self.k.split_at_mut(i * nd);
            let input = if i == last { &mut self.y1 } else { &mut self.stage };
            self.plan.terms(i).sum(Some(y), h, k, input);
            self.evals += 1;
            f.eval(m.stage_time(i, t, t_end), input, p, &mut rest[..nd])?;
        }
        if !m.b_err.is_empty() {
            self.plan.terms(last + 1).sum(None, h, &self.k, &mut self.err);
        }
        if m.lower.is_some() {
            self.plan.terms(last + 2).sum(None, h, &self.k, &mut self.lower);
        }
        Ok(())
    }

    /// The same for a state of `D` values. Same bits as [`stages`](Self::stages).
    #[inline(never)]
    fn tiny_stages<const D: usize>(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
    ) -> Result<(), FieldError> {
        let (m, h) = (self.tableau, t_end - t);
        let (last, step) = (m.last_row(), T::c(h));
        let (k, _) = self.k.as_chunks_mut::<D>();
        let y: [T; D] = from_fn(|j| y[j]);
        let mut sums = self.tiny.iter();
        for (i, sum) in (1..=last).zip(&mut sums) {
            let sum = sum.of(&k[..i]);
            let input: [T; D] = from_fn(|j| y[j] + step * sum[j]);
            if i == last {
                self.y1.copy_from_slice(&input);
            }
            self.evals += 1;
            f.eval(m.stage_time(i, t, t_end), &input, p, &mut k[i])?;
        }
        for (estimate, sum) in [&mut self.err, &mut self.lower].into_iter().zip(sums) {
            estimate.copy_from_slice(&sum.of(k).map(|sum| step * sum));
        }
        Ok(())
    }
}

impl<T: Real> Erk<T> {
    /// The latest stage before the derivative at the step's end that is evaluated at the end too.
    pub(crate) fn stage_at_end(&self) -> Option<usize> {
        self.tableau.c[..self.tableau.last_row()].iter().rposition(|&c| c == 1.0)
    }

    /// `h |λ|` of the proposed step: how much the field differs at two states at its end, over their distance, for the worst
    /// trajectory; sizes are in units of the tolerance. Zero if the method has no two such states, or they differ by rounding alone.
    ///
    /// Where the field is stiff, repeated steps turn that difference toward the direction of the largest `|λ|` [HW96, section IV.2].
    pub(crate) fn stiffness(&mut self, h: f64, tol: Tolerance<'_>) -> f64 {
        let Some(stage) = self.stage_at_end() else { return 0.0 };
        let (m, nd, last) = (self.tableau, self.nd, self.tableau.last_row());
        let before = m.stage_weights(stage);
        let difference = m.b.iter().enumerate().map(|(j, b)| b - before.get(j).copied().unwrap_or(0.0));
        Gathered::new(difference).terms().sum(None, h, &self.k, &mut self.stage);
        let (end, near) = (&self.k[last * nd..(last + 1) * nd], &self.k[stage * nd..(stage + 1) * nd]);
        let mut worst = 0.0;
        for (i, distance) in self.stage.chunks_exact(self.dim).enumerate() {
            let (mut slopes, mut states, mut rounding) = (0.0, 0.0, 0.0);
            for (j, distance) in distance.iter().enumerate() {
                let k = i * self.dim + j;
                let y = self.y1[k].f64().abs();
                let scale = 1.0 / (tol.atol.of(j) + tol.rtol.of(j) * y + TINY);
                slopes += ((end[k] - near[k]).f64() * scale).powi(2);
                states += (distance.f64() * scale).powi(2);
                rounding += (10.0 * T::EPSILON.f64() * y * scale).powi(2);
            }
            if states > rounding {
                worst = f64::max(worst, slopes / states);
            }
        }
        h.abs() * worst.sqrt()
    }
}

impl<T: Real> Stepper<T> for Erk<T> {
    fn state_len(&self) -> usize {
        self.nd
    }

    fn dim(&self) -> usize {
        self.dim
    }

    fn error_order(&self) -> Option<u32> {
        self.tableau.error_order()
    }

    fn work(&self) -> Work {
        Work { evals: self.evals, ..Work::default() }
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.evals += 1;
        f.eval(t, y, p, &mut self.k[..self.nd])
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
        self.evals += 1;
        let order = self.error_order().unwrap_or(self.tableau.order + 1);
        let (f0, rest) = self.k.split_at_mut(self.nd);
        let f1 = &mut rest[..self.nd];
        initial_step(f, t, t_end, y, p, f0, order, tol, &mut self.y1, f1, &mut self.stage)
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
            1 => self.tiny_stages::<1>(f, t, t_end, y, p)?,
            2 => self.tiny_stages::<2>(f, t, t_end, y, p)?,
            3 => self.tiny_stages::<3>(f, t, t_end, y, p)?,
            4 => self.tiny_stages::<4>(f, t, t_end, y, p)?,
            _ => self.stages(f, t, t_end, y, p)?,
        }
        if self.tableau.b_err.is_empty() {
            let finite = self.y1.iter().fold(true, |ok, v| ok & v.is_finite());
            return Ok(if finite { 0.0 } else { f64::NAN });
        }
        if self.tableau.lower.is_some() {
            return Ok(worst_pair_norm(
                &self.err,
                &mut self.lower,
                y,
                &self.y1,
                self.dim,
                tol,
                &mut self.stage,
            ));
        }
        Ok(worst_norm(&self.err, y, &self.y1, self.dim, tol, &mut self.stage))
    }

    fn proposed(&self) -> &[T] {
        &self.y1
    }

    fn prepare_dense(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
    ) -> Result<(), FieldError> {
        let DenseOutput::Extended { c, .. } = self.tableau.dense else { return Ok(()) };
        let (nd, h, last) = (self.nd, t_end - t, self.tableau.last_row());
        for (i, &c) in c.iter().enumerate() {
            let (k, rest) = self.k.split_at_mut((last + 1 + i) * nd);
            self.plan.terms(last + 3 + i).sum(Some(y), h, k, &mut self.stage);
            self.evals += 1;
            f.eval(t + c * h, &self.stage, p, &mut rest[..nd])?;
        }
        Ok(())
    }

    fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T] {
        dense_into(self.tableau, theta, h, y, &self.y1, &self.k, &mut self.stage);
        &self.stage
    }

    fn accept(&mut self, y: &mut [T]) {
        y.copy_from_slice(&self.y1);
        let last = self.tableau.last_row() * self.nd;
        self.k.copy_within(last..last + self.nd, 0);
    }
}
