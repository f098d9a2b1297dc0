//! Radau IIA of order 5, 9 or 13, with three, five or seven stages. Sources: [HW96] sections IV.5, IV.8; [HW99].
//!
//! The stage equations `Z = h (A ⊗ I) F(y + Z)` are transformed by the eigenvectors of `A⁻¹`: one real system of size `d` and a
//! complex one for each pair of stages instead of one of all stages. The error estimate is of order 3, 5 or 7.

use chreode_core::{FieldError, Real, SingularMatrix, Tolerance};

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

/// Most Newton iterations where the step cannot be made shorter.
const MOST_OF_FIXED_STEPS: u32 = 50;
/// The Jacobian is kept while Newton's rate stays below this; where a factorisation costs much more than an iteration, below the
/// other.
const RATE_TO_KEEP: f64 = 1e-3;
const RATE_TO_KEEP_DEAR: f64 = 0.1;
const SAFETY: f64 = 0.9;
/// The next step is at most so much longer, and at least so much of the last one.
const MOST_FACTOR: f64 = 8.0;
const LEAST_FACTOR: f64 = 0.2;
/// A step would change by a factor within these bounds: it keeps its length, and the factorisations.
const NOT_WORTH: [f64; 2] = [1.0, 1.2];
const NOT_WORTH_DEAR: [f64; 2] = [0.9, 1.5];

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
    /// `η` of [HW96] (IV.8.10) from the last convergent iteration.
    eta: f64,
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
            eta: 1.0,
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

    /// First guess of the stages: the last step's polynomial, continued, or zero.
    #[inline(always)]
    fn guess<const S: usize, const N: usize>(&mut self, table: &Coefficients<S>, h: f64) {
        let nd = self.length::<N>();
        if self.last_h == 0.0 {
            for v in self.z.iter_mut().chain(&mut self.w) {
                v.fill(T::ZERO);
            }
            return;
        }
        let q = h / self.last_h;
        match self.last_stages {
            3 => self.extrapolate(&THREE, table, q, nd),
            5 if MOST > 5 => self.extrapolate(&FIVE, table, q, nd),
            _ if MOST > 9 => self.extrapolate(&SEVEN, table, q, nd),
            _ => {}
        }
        transform(&table.t_inv, rows(&self.z, nd), rows_mut(&mut self.w, nd));
    }

    /// Sets `z` to the polynomial of the last step, `1 / q` times as long and of `R` stages, at the nodes of this one.
    #[inline(always)]
    fn extrapolate<const R: usize, const S: usize>(
        &mut self,
        last: &Coefficients<R>,
        table: &Coefficients<S>,
        q: f64,
        nd: usize,
    ) {
        let from = table.c.map(|c| {
            let mut weights = last.weights(1.0 + c * q);
            weights[R - 1] -= 1.0; // minus the last step's end
            weights
        });
        transform::<T, S, R>(&from, rows(&self.last_z, nd), rows_mut(&mut self.z, nd));
    }

    /// Simplified Newton iteration for the stages; true if it converged, else `failure` and `next_factor` are set.
    fn newton<const S: usize, const N: usize>(
        &mut self,
        table: &Coefficients<S>,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
    ) -> Result<bool, FieldError> {
        let rtol = self.weights.least_rtol().max(1e-300);
        // Corrections of this size are rounding, which `T⁻¹` magnifies.
        let magnified = match S {
            3 => 10.0,
            5 => 40.0,
            _ => 300.0,
        };
        let floor = magnified * self.weights.rounding(y);
        // So that a few hundredths of the tolerance that the run was asked for are left of every step.
        let needed =
            if S == 3 { rtol.sqrt().max(1e-4) } else { rtol.powf((S as f64 - 1.0) / (S as f64 + 1.0)) };
        let tolerance = floor.max(0.03_f64.min(needed));
        let most = if self.fixed { MOST_OF_FIXED_STEPS } else { max_iterations(S) };
        let last = self.eta.max(T::EPSILON.f64()).sqrt();
        let mut eta = last * last.sqrt(); // the last one to the 3/4: it may have become worse
        let (mut before, mut rate_before) = (0.0, 0.0);
        self.rate = RATE_TO_KEEP;
        let nd = self.length::<N>();
        for k in 1..=most {
            self.iterations = k;
            self.work.newton_iterations += 1;
            let z: &mut [Vec<T>; S] = array_mut(&mut self.z);
            for (i, (z, c)) in z.iter_mut().zip(table.c).enumerate() {
                let (tmp, y, z) = (&mut self.tmp[..nd], &y[..nd], &mut z[..nd]);
                for j in 0..nd {
                    tmp[j] = y[j] + z[j];
                }
                self.work.evals += 1;
                let time = if i == S - 1 { t + h } else { t + c * h };
                f.eval(time, &self.tmp, p, z)?; // the guess has been transformed already
            }
            self.residual::<S, N>(table, h);
            let [d1, pairs @ ..] = &mut self.dw[..S] else { return Ok(false) };
            self.linear.solve(d1);
            for (q, pair) in pairs.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                let [re, im] = pair;
                self.linear.solve_complex(q, re, im);
            }
            let size = self.weights.norm_of(rows::<T, S>(&self.dw, nd));
            if !size.is_finite() {
                self.give_up(0.5, f64::INFINITY);
                if let Some(fault) = self.fault(table, f, t, h, y, p) {
                    self.failure = Some(fault);
                }
                return Ok(false);
            }
            if k > 1 {
                let step_rate = size / before;
                self.rate = if k == 2 { step_rate } else { (step_rate * rate_before).sqrt() };
                rate_before = step_rate;
                if self.rate >= 0.99 && size > floor {
                    self.control.failed();
                    return Ok(self.give_up(0.5, self.rate));
                }
                eta = (self.rate / (1.0 - self.rate)).abs();
                if !self.fixed && k < most {
                    // What will be left after the last iteration, if it goes on like this.
                    let left = eta * size * self.rate.powi((most - 1 - k) as i32);
                    if left >= tolerance {
                        let excess = (left / tolerance).clamp(1e-4, 20.0);
                        let power = f64::from(4 + most - 1 - k);
                        return Ok(self.give_up(0.8 * excess.powf(-1.0 / power), self.rate));
                    }
                }
            }
            before = size.max(T::EPSILON.f64());
            self.correct::<S, N>(table);
            if eta * size <= tolerance || size <= floor {
                self.eta = eta;
                return Ok(true);
            }
        }
        Ok(self.give_up(0.5, self.rate))
    }

    /// Sets `dw` to the right-hand sides of the transformed Newton systems; `z` holds the field at the stages.
    #[inline(always)]
    fn residual<const S: usize, const N: usize>(&mut self, table: &Coefficients<S>, h: f64) {
        let nd = self.length::<N>();
        let mut d: [&mut [T]; S] = rows_mut(&mut self.dw, nd);
        transform(&table.t_inv, rows(&self.z, nd), d.each_mut().map(|d| &mut **d));
        let mut m: [&[T]; S] = rows(&self.w, nd);
        if self.linear.has_mass() {
            // `z` is free until it is set from the corrected `w`.
            for (w, z) in m.iter().zip(&mut self.z) {
                self.linear.apply_mass(w, z);
            }
            m = rows(&self.z, nd);
        }
        let gamma = T::c(table.gamma / h);
        for j in 0..nd {
            d[0][j] -= gamma * m[0][j];
        }
        for q in 0..S / 2 {
            let (alpha, beta) = table.pairs[q];
            let (a, b) = (T::c(alpha / h), T::c(beta / h));
            let (re, im) = (2 * q + 1, 2 * q + 2);
            for j in 0..nd {
                d[re][j] -= a * m[re][j] - b * m[im][j];
                d[im][j] -= a * m[im][j] + b * m[re][j];
            }
        }
    }

    /// Adds the corrections `dw` to `w` and sets the stages `z` from it.
    #[inline(always)]
    fn correct<const S: usize, const N: usize>(&mut self, table: &Coefficients<S>) {
        let nd = self.length::<N>();
        let d: [&[T]; S] = rows(&self.dw, nd);
        let w: [&mut [T]; S] = rows_mut(&mut self.w, nd);
        for (w, d) in w.into_iter().zip(d) {
            for j in 0..nd {
                w[j] += d[j];
            }
        }
        transform(&table.t, rows(&self.w, nd), rows_mut(&mut self.z, nd));
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

    /// What is not finite of the field and its Jacobian, where the stages came to.
    fn fault<const S: usize>(
        &mut self,
        table: &Coefficients<S>,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
    ) -> Option<StepFailure> {
        transform(&table.t, rows(&self.w, self.nd), rows_mut(&mut self.z, self.nd));
        for (i, c) in table.c.into_iter().enumerate() {
            for ((tmp, &y), &z) in self.tmp.iter_mut().zip(y).zip(&self.z[i]) {
                *tmp = y + z;
            }
            self.work.evals += 1;
            let time = if i == S - 1 { t + h } else { t + c * h };
            f.eval(time, &self.tmp, p, &mut self.f1).ok()?;
            if let Some(fault) = self.linear.fault(time, &self.tmp, &self.f1) {
                return Some(fault);
            }
        }
        None
    }

    fn give_up(&mut self, factor: f64, rate: f64) -> bool {
        self.work.newton_failures += 1;
        self.next_factor = factor;
        self.failure = Some(StepFailure::NewtonDiverged { iterations: self.iterations, rate });
        false
    }

    /// The error estimate `(γ/h M - J)⁻¹ (f(t, y) + M Σ E_i Z_i / h)`; after a rejection, or on the first step, once more from
    /// where it points to.
    #[inline(always)]
    fn error<const S: usize, const N: usize>(
        &mut self,
        table: &Coefficients<S>,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
    ) -> Result<f64, FieldError> {
        let nd = self.length::<N>();
        let e = table.e.map(|e| T::c(e / h));
        let z: [&[T]; S] = rows(&self.z, nd);
        // `dw` is free after the Newton iteration.
        let [base, err, stage] = rows_mut(&mut self.dw, nd);
        for j in 0..nd {
            base[j] = e[0] * z[0][j];
            for i in 1..S {
                base[j] += e[i] * z[i][j];
            }
        }
        if self.linear.has_mass() {
            stage.copy_from_slice(base);
            self.linear.apply_mass(stage, base);
        }
        let f0 = &self.f0[..nd];
        for j in 0..nd {
            err[j] = base[j] + f0[j];
        }
        self.linear.solve(err);
        let mut size = self.weights.norm(err);
        if size >= 1.0 && (self.last_h == 0.0 || self.rejected) {
            for j in 0..nd {
                stage[j] = y[j] + err[j];
            }
            self.work.evals += 1;
            f.eval(t, stage, p, err)?;
            for j in 0..nd {
                err[j] += base[j];
            }
            self.linear.solve(err);
            let second = self.weights.norm(err);
            // Where it points to, the field may be undefined: the first estimate then stands.
            size = if second.is_nan() { size } else { second };
        }
        Ok(if size.is_nan() { size } else { size.max(1e-10) })
    }

    fn rate_to_keep(&self) -> f64 {
        if self.linear.is_dear() { RATE_TO_KEEP_DEAR } else { RATE_TO_KEEP }
    }

    /// Step-size control: the classical factor and the predictive one of Gustafsson, the smaller.
    fn control<const S: usize>(&mut self, h: f64, err: f64) {
        let most = f64::from(2 * max_iterations(S));
        let safety = SAFETY.min(SAFETY * (1.0 + most) / (f64::from(self.iterations) + most));
        let mut factor = (safety / root::<S>(err)).clamp(LEAST_FACTOR, MOST_FACTOR);
        if err <= 1.0 {
            if self.last_h != 0.0 && self.last_stages == S {
                let change = root::<S>(self.error_before / (err * err));
                let predicted = SAFETY * (h / self.last_h).abs() * change;
                factor = factor.min(predicted.clamp(LEAST_FACTOR, MOST_FACTOR));
            }
            if self.rejected {
                factor = factor.min(1.0);
            }
            let [least, most] = if self.linear.is_dear() { NOT_WORTH_DEAR } else { NOT_WORTH };
            if (least..most).contains(&factor) && self.rate <= self.rate_to_keep() {
                factor = 1.0;
            }
        } else if self.last_h == 0.0 {
            factor = factor.min(0.1);
        }
        self.next_factor = factor;
    }
}

/// Most Newton iterations of a step.
const fn max_iterations(stages: usize) -> u32 {
    match stages {
        3 => 7,
        5 => 12,
        _ => 17,
    }
}

/// What an error of `x` changes a step by: the root of order `S + 1`.
fn root<const S: usize>(x: f64) -> f64 {
    if S == 3 { x.sqrt().sqrt() } else { x.powf(1.0 / (S as f64 + 1.0)) }
}

/// The tolerances, `(rtol, atol)`, that the error estimate of order `S` is held to.
fn tolerance_of_estimate<const S: usize>(rtol: f64, atol: f64) -> (f64, f64) {
    if rtol > 0.0 {
        let inner = 0.1 * rtol.powf((S as f64 + 1.0) / (2.0 * S as f64));
        (inner, inner * atol / rtol)
    } else {
        (0.0, atol)
    }
}

/// The first `S` of the arrays.
#[inline(always)]
fn array_mut<T, const S: usize>(all: &mut [Vec<T>]) -> &mut [Vec<T>; S] {
    #[allow(clippy::expect_used, reason = "there are as many as the highest order has stages")]
    all.first_chunk_mut().expect("an array for each stage")
}

/// The first `nd` elements of the first `S` arrays.
#[inline(always)]
fn rows_mut<T, const S: usize>(all: &mut [Vec<T>], nd: usize) -> [&mut [T]; S] {
    array_mut::<T, S>(all).each_mut().map(|v| &mut v[..nd])
}

/// As [`rows_mut`].
#[inline(always)]
fn rows<T, const S: usize>(all: &[Vec<T>], nd: usize) -> [&[T]; S] {
    #[allow(clippy::expect_used, reason = "there are as many as the highest order has stages")]
    let first: &[Vec<T>; S] = all.first_chunk().expect("an array for each stage");
    first.each_ref().map(|v| &v[..nd])
}

/// `out = m v`, where `m` acts on the parts of `v`.
#[inline(always)]
fn transform<T: Real, const S: usize, const R: usize>(
    m: &[[f64; R]; S],
    v: [&[T]; R],
    mut out: [&mut [T]; S],
) {
    let m = m.map(|row| row.map(T::c));
    let n = v[0].len();
    let v = v.map(|v| &v[..n]);
    for out in &mut out {
        *out = &mut std::mem::take(out)[..n];
    }
    for j in 0..n {
        let x = v.map(|v| v[j]);
        for (out, m) in out.iter_mut().zip(&m) {
            let mut sum = m[0] * x[0];
            for k in 1..R {
                sum += m[k] * x[k];
            }
            out[j] = sum;
        }
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
        (self.factored, self.last_h, self.eta, self.rejected) = (0.0, 0.0, 1.0, false);
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
        match (self.control.stages, self.nd) {
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
