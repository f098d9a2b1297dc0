//! One step of an explicit Runge-Kutta method.

use std::array::from_fn;

use chreode_core::{Bound, FieldError, Real, Tolerance};

use super::combine::{Gathered, MOST_VALUES, Plan, TinyPlan};
use super::dense_output::dense_into;
use super::tableau::{DenseOutput, ErkTableau};
use super::tiny::{Proposal, UnrolledStep, unrolled};
use crate::error_norm::{TINY, error_norm, pair_norm, row_norm};
use crate::initial_step::initial_step;
use crate::precision::of_precision;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::Stepper;

/// An explicit Runge-Kutta method with its work arrays.
///
/// A step ends with the derivative at its end, which is the next step's first stage: a method that is not FSAL
/// pays one evaluation more for the last step of a run, and for each rejected one. Errors of
/// dense output fall with the method's order; that of the methods of order 7 and more takes further evaluations in
/// the steps where it is asked for.
#[derive(Debug, Clone)]
pub struct Erk<T> {
    tableau: &'static ErkTableau,
    plan: Plan<T>,
    tiny: TinyPlan<T>,
    unrolled: Option<UnrolledStep<T>>,
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
        static SINGLE: New<f32> = Erk::made;
        static DOUBLE: New<f64> = Erk::made;
        of_precision::<T, New<T>>(&SINGLE, &DOUBLE)(tableau, n, d)
    }

    /// The method.
    pub fn tableau(&self) -> &'static ErkTableau {
        self.tableau
    }

    /// Of the last step, `[rows, n, d]`: its stages, the derivative at its end (unless the last stage is it), and the stages of the
    /// dense output, if [`prepare_dense`](Stepper::prepare_dense) made them.
    pub fn rows(&self) -> &[T] {
        &self.k
    }
}

type AnyStep<T> =
    fn(&mut Erk<T>, &mut Rhs<'_, T>, f64, f64, &[T], &[T], Tolerance<'_>) -> Result<f64, FieldError>;
type New<T> = fn(&'static ErkTableau, usize, usize) -> Erk<T>;

impl<T: Real> Erk<T> {
    fn made(tableau: &'static ErkTableau, n: usize, d: usize) -> Self {
        assert!(tableau.is_consistent(), "tableau {} is not consistent", tableau.name);
        let nd = n * d;
        let zeros = |len| vec![T::ZERO; len];
        Self {
            tableau,
            plan: Plan::new(tableau),
            tiny: TinyPlan::new(tableau),
            unrolled: unrolled(tableau, nd),
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

    /// A step of any method and state; returns its error norm.
    fn any_step(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        match self.nd {
            1 => return self.tiny_step::<1>(f, t, t_end, y, p, tol),
            2 => return self.tiny_step::<2>(f, t, t_end, y, p, tol),
            3 => return self.tiny_step::<3>(f, t, t_end, y, p, tol),
            MOST_VALUES => return self.tiny_step::<MOST_VALUES>(f, t, t_end, y, p, tol),
            _ => self.stages(f, t, t_end, y, p)?,
        }
        if self.tableau.b_err.is_empty() {
            return Ok(norm_without_estimate(&self.y1));
        }
        if self.tableau.lower.is_some() {
            return Ok(pair_norm(&self.err, &mut self.lower, y, &self.y1, self.dim, tol, &mut self.stage));
        }
        Ok(error_norm(&self.err, y, &self.y1, self.dim, tol, &mut self.stage))
    }

    /// A step of a state of `D` values, with the bits of any other; returns its error norm.
    ///
    /// States of few values are ruled by how soon each number is ready: all but the last term of a sum is added before the
    /// last stage has arrived, and nothing passes through memory but the stages.
    #[inline(never)]
    fn tiny_step<const D: usize>(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        let (dt, h) = (t_end - t, T::c(t_end - t));
        let (k, _) = self.k.as_chunks_mut::<D>();
        let y: [T; D] = from_fn(|j| y[j]);
        let (mut input, mut weights, places) = (y, &self.tiny.weights[..], &self.tiny.places);
        for (i, sum) in (1..).zip(&self.tiny.stages) {
            input = sum.of(&mut weights, Some(&y), h, k, places);
            let at = if sum.node == 1.0 { t_end } else { t + sum.node * dt };
            let result = f.eval(at, &input, p, &mut k[i]);
            if result.is_err() {
                self.evals += i as u64;
                result?;
            }
        }
        self.evals += self.tiny.stages.len() as u64;
        self.y1.copy_from_slice(&input);
        let mut errors = [[T::ZERO; D]; 2];
        for (error, sum) in errors.iter_mut().zip(&self.tiny.errors) {
            *error = sum.of(&mut weights, None, h, k, places);
        }
        let estimates = &mut errors[..self.tiny.errors.len()];
        if self.dim == D
            && let (Bound::Same(rtol), Bound::Same(atol)) = (tol.rtol, tol.atol)
            && !estimates.is_empty()
        {
            return Ok(row_norm(estimates, &y, &input, rtol, atol));
        }
        let scratch = &mut [T::ZERO; D];
        Ok(match estimates {
            [err, low] => pair_norm(err, low, &y, &input, self.dim, tol, scratch),
            [err] => error_norm(err, &y, &input, self.dim, tol, scratch),
            _ => norm_without_estimate(&input),
        })
    }

    /// Takes a step of a state of `D` values.
    #[inline(always)]
    fn tiny_accept<const D: usize>(&mut self, y: &mut [T]) {
        let (k, _) = self.k.as_chunks_mut::<D>();
        k[0] = k[self.tableau.last_row()];
        y[..D].copy_from_slice(&self.y1[..D]);
    }
}

/// Zero, or NaN if the step's end is not finite.
fn norm_without_estimate<T: Real>(y1: &[T]) -> f64 {
    if y1.iter().fold(true, |ok, v| ok & v.is_finite()) { 0.0 } else { f64::NAN }
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
        static SINGLE: AnyStep<f32> = Erk::any_step;
        static DOUBLE: AnyStep<f64> = Erk::any_step;
        if let Some(step) = self.unrolled {
            let (k, y1, evals) = (&mut self.k[..], &mut self.y1[..], &mut self.evals);
            let (dim, places) = (self.dim, &self.tiny.places);
            return step(Proposal { k, y1, evals, field: f.field(), t, t_end, y, p, tol, dim, places });
        }
        of_precision::<T, AnyStep<T>>(&SINGLE, &DOUBLE)(self, f, t, t_end, y, p, tol)
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
        match self.nd {
            1 => return self.tiny_accept::<1>(y),
            2 => return self.tiny_accept::<2>(y),
            3 => return self.tiny_accept::<3>(y),
            MOST_VALUES => return self.tiny_accept::<MOST_VALUES>(y),
            _ => {}
        }
        y.copy_from_slice(&self.y1);
        let last = self.tableau.last_row() * self.nd;
        self.k.copy_within(last..last + self.nd, 0);
    }
}
