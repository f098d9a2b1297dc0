//! Radau IIA of order 5, three stages. Source: [HW96] sections IV.5, IV.8.
//!
//! The stage equations `Z = h (A ⊗ I) F(y + Z)` are transformed by the eigenvectors of `A⁻¹`: one real and one complex
//! system of size `d` instead of one of size `3 d`. The error estimate is of order 3.

use chreode_core::{FieldError, Real, Sparsity, Tolerance};

use super::coefficients::{ALPHA, BETA, C, E, GAMMA, T, T_INV};
use crate::initial_step::initial_step;
use crate::newton::linearisation::{JacobianAge, Linearisation};
use crate::newton::weights::Weights;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::{StepFailure, Stepper};

/// Most Newton iterations of a step.
const MAX_ITERATIONS: u32 = 7;
/// The same where the step cannot be made shorter.
const MOST_OF_FIXED_STEPS: u32 = 50;
/// The Jacobian is kept while Newton's rate stays below this.
const RATE_TO_KEEP: f64 = 1e-3;
const SAFETY: f64 = 0.9;
/// The next step is at most so much longer, and at least so much of the last one.
const MOST: f64 = 8.0;
const LEAST: f64 = 0.2;
/// A step would grow by less than this: it keeps its length, and the factorisations.
const NOT_WORTH: f64 = 1.2;

/// Radau IIA of order 5 with its work arrays: the method of choice for stiff problems that are to be solved to few or many
/// digits, also with a mass matrix (index-1 differential-algebraic equations).
///
/// L-stable; order 5 at the steps' ends, 4 inside a step (the collocation polynomial). Since its error estimate is of order
/// 3 only, it is held to `0.1 rtol^(2/3)` (and `atol` in proportion), which brings the true error near `rtol`.
///
/// ```
/// use chreode_core::field;
/// use chreode_solve::{Radau5, SolveOptions, solve};
/// // Robertson's reactions: rates differ by nine orders of magnitude.
/// let mut robertson = field(3, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
///     let (slow, fast, back) = (0.04 * y[0], 3e7 * y[1] * y[1], 1e4 * y[1] * y[2]);
///     (dy[0], dy[1], dy[2]) = (back - slow, slow - back - fast, fast);
/// });
/// let mut y = [1.0, 0.0, 0.0];
/// let options = SolveOptions::tolerance(1e-6, 1e-14);
/// let stats = solve(&mut robertson, &[], &mut y, (0.0, 1e11), &mut Radau5::new(1, 3), &options, &mut |_, _, _| {})?;
/// assert!((y[0] / 2.0833401e-8 - 1.0).abs() < 1e-4 && stats.accepted < 500);
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Radau5<T: Real> {
    d: usize,
    nd: usize,
    linear: Linearisation<T>,
    /// The field at the step's start, and at the end of the proposed one.
    f0: Vec<T>,
    f1: Vec<T>,
    jacobian: JacobianAge,
    /// Step length of the factorisations; 0 for none.
    factored: f64,
    /// Stage values minus `y`, transformed ones, and Newton corrections: `[3, n, d]` each.
    z: [Vec<T>; 3],
    w: [Vec<T>; 3],
    dw: [Vec<T>; 3],
    y1: Vec<T>,
    /// Divided differences of the collocation polynomial of the step that is proposed, and of the last accepted one.
    poly: [Vec<T>; 3],
    last_poly: [Vec<T>; 3],
    /// Length of the last accepted step; 0 if there is none to extrapolate.
    last_h: f64,
    proposed_h: f64,
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

impl<S: Real> Radau5<S> {
    /// Work arrays for `n` trajectories of `d` coordinates.
    pub fn new(n: usize, d: usize) -> Self {
        let nd = n * d;
        let zeros = || vec![S::ZERO; nd];
        let three = || [zeros(), zeros(), zeros()];
        Self {
            d,
            nd,
            linear: Linearisation::new(n, d, 1),
            f0: zeros(),
            f1: zeros(),
            jacobian: JacobianAge::Expired,
            factored: 0.0,
            z: three(),
            w: three(),
            dw: three(),
            y1: zeros(),
            poly: three(),
            last_poly: three(),
            last_h: 0.0,
            proposed_h: 0.0,
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

    /// Solves `M dy/dt = f` with this mass matrix, `[d, d]` row-major. It may be singular: its null rows are
    /// algebraic equations (of index 1), which the start state must fulfil.
    ///
    /// # Panics
    /// If `mass` has not `d²` elements.
    #[must_use]
    pub fn with_mass(mut self, mass: &[S]) -> Self {
        assert_eq!(mass.len(), self.d * self.d, "Radau5::with_mass: elements of the mass matrix");
        self.linear.set_mass(mass);
        self
    }

    /// As [`with_mass`](Self::with_mass), for a diagonal mass matrix, `[d]`.
    ///
    /// # Panics
    /// If `mass` has not `d` elements.
    #[must_use]
    pub fn with_mass_diagonal(mut self, mass: &[S]) -> Self {
        assert_eq!(mass.len(), self.d, "Radau5::with_mass_diagonal: elements of the mass matrix");
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
        assert_eq!(size, (self.d, self.d), "Radau5::with_sparsity: size of the pattern");
        self.linear.set_sparsity(pattern);
        self
    }

    /// First guess of the stages: the last step's polynomial, continued, or zero.
    #[inline(always)]
    fn guess<const N: usize>(&mut self, h: f64) {
        if self.last_h == 0.0 {
            for v in self.z.iter_mut().chain(&mut self.w) {
                v.fill(S::ZERO);
            }
            return;
        }
        let nd = self.length::<N>();
        let q = h / self.last_h;
        let [p1, p2, p3] = self.last_poly.each_ref().map(|p| &p[..nd]);
        for (z, c) in self.z.iter_mut().zip(C) {
            let (z, s) = (&mut z[..nd], c * q);
            let (s, s2, s1) = (S::c(s), S::c(s - (C[1] - 1.0)), S::c(s - (C[0] - 1.0)));
            for j in 0..nd {
                z[j] = s * (p1[j] + s2 * (p2[j] + s1 * p3[j]));
            }
        }
        transform(&T_INV, self.z.each_ref().map(|z| &z[..nd]), self.w.each_mut().map(|w| &mut w[..nd]));
    }

    /// Length of the state.
    #[inline(always)]
    fn length<const N: usize>(&self) -> usize {
        if N > 0 { N } else { self.nd }
    }

    /// Simplified Newton iteration for the stages; true if it converged, else `failure` and `next_factor` are set.
    fn newton<const N: usize>(
        &mut self,
        f: &mut Rhs<'_, S>,
        t: f64,
        h: f64,
        y: &[S],
        p: &[S],
    ) -> Result<bool, FieldError> {
        let rtol = self.weights.least_rtol().max(1e-300);
        // Corrections of this size are rounding.
        let floor = 10.0 * S::EPSILON.f64() / rtol;
        let tolerance = floor.max(0.03_f64.min(rtol.sqrt().max(1e-4)));
        let most = if self.fixed { MOST_OF_FIXED_STEPS } else { MAX_ITERATIONS };
        let last = self.eta.max(S::EPSILON.f64()).sqrt();
        let mut eta = last * last.sqrt(); // the last one to the 3/4: it may have become worse
        let (mut before, mut rate_before) = (0.0, 0.0);
        self.rate = RATE_TO_KEEP;
        for k in 1..=most {
            self.iterations = k;
            self.work.newton_iterations += 1;
            let nd = self.length::<N>();
            for i in 0..3 {
                let (tmp, y, z) = (&mut self.tmp[..nd], &y[..nd], &self.z[i][..nd]);
                for j in 0..nd {
                    tmp[j] = y[j] + z[j];
                }
                self.work.evals += 1;
                let time = if i == 2 { t + h } else { t + C[i] * h };
                f.eval(time, &self.tmp, p, &mut self.z[i])?; // the guess has been transformed already
            }
            self.residual::<N>(h);
            let [d1, d2, d3] = self.dw.each_mut().map(|d| &mut d[..nd]);
            self.linear.solve(d1);
            self.linear.solve_complex(0, d2, d3);
            let size = self.weights.norm_of(self.dw.each_ref().map(|d| &d[..nd]));
            if !size.is_finite() {
                return Ok(self.give_up(0.5, f64::INFINITY));
            }
            if k > 1 {
                let step_rate = size / before;
                self.rate = if k == 2 { step_rate } else { (step_rate * rate_before).sqrt() };
                rate_before = step_rate;
                if self.rate >= 0.99 && size > floor {
                    return Ok(self.give_up(0.5, self.rate));
                }
                eta = (self.rate / (1.0 - self.rate)).abs();
                if !self.fixed && k < MAX_ITERATIONS {
                    // What will be left after the last iteration, if it goes on like this.
                    let left = eta * size * self.rate.powi((MAX_ITERATIONS - 1 - k) as i32);
                    if left >= tolerance {
                        let excess = (left / tolerance).clamp(1e-4, 20.0);
                        let power = f64::from(4 + MAX_ITERATIONS - 1 - k);
                        return Ok(self.give_up(0.8 * excess.powf(-1.0 / power), self.rate));
                    }
                }
            }
            before = size.max(S::EPSILON.f64());
            self.correct::<N>();
            if eta * size <= tolerance || size <= floor {
                self.eta = eta;
                return Ok(true);
            }
        }
        Ok(self.give_up(0.5, self.rate))
    }

    /// Sets `dw` to the right-hand sides of the transformed Newton systems; `z` holds the field at the stages.
    #[inline(always)]
    fn residual<const N: usize>(&mut self, h: f64) {
        let nd = self.length::<N>();
        let [g, a, b] = [GAMMA / h, ALPHA / h, BETA / h].map(S::c);
        let [z1, z2, z3] = self.z.each_mut().map(|z| &mut z[..nd]);
        let [w1, w2, w3] = self.w.each_ref().map(|w| &w[..nd]);
        let [d1, d2, d3] = self.dw.each_mut().map(|d| &mut d[..nd]);
        transform(&T_INV, [&*z1, &*z2, &*z3], [&mut *d1, &mut *d2, &mut *d3]);
        let (mut m1, mut m2, mut m3) = (w1, w2, w3);
        if self.linear.has_mass() {
            // `z` is free until it is set from the corrected `w`.
            self.linear.apply_mass(w1, z1);
            self.linear.apply_mass(w2, z2);
            self.linear.apply_mass(w3, z3);
            (m1, m2, m3) = (z1, z2, z3);
        }
        for j in 0..nd {
            d1[j] -= g * m1[j];
            d2[j] -= a * m2[j] - b * m3[j];
            d3[j] -= a * m3[j] + b * m2[j];
        }
    }

    /// Adds the corrections `dw` to `w` and sets the stages `z` from it.
    #[inline(always)]
    fn correct<const N: usize>(&mut self) {
        let nd = self.length::<N>();
        let [w1, w2, w3] = self.w.each_mut().map(|w| &mut w[..nd]);
        let [d1, d2, d3] = self.dw.each_ref().map(|d| &d[..nd]);
        for j in 0..nd {
            w1[j] += d1[j];
            w2[j] += d2[j];
            w3[j] += d3[j];
        }
        transform(&T, [&*w1, &*w2, &*w3], self.z.each_mut().map(|z| &mut z[..nd]));
    }

    /// [`step`](Stepper::step); `N` is the length of the state if the compiler is to know it, else 0.
    fn step_of<const N: usize>(
        &mut self,
        f: &mut Rhs<'_, S>,
        t: f64,
        t_end: f64,
        y: &[S],
        p: &[S],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        let y = &y[..self.length::<N>()];
        let h = t_end - t;
        self.failure = None;
        self.weights.follow(tol, tolerance_of_estimate);
        self.weights.set(y);
        loop {
            if self.jacobian == JacobianAge::Expired {
                self.linear.refresh(f, t, y, p, &self.f0, tol, &mut self.work)?;
                self.jacobian = JacobianAge::Fresh;
                self.factored = 0.0;
            }
            if (self.factored - h).abs() > 1e-9 * h.abs() {
                self.factored = 0.0;
                let real = self.linear.factor(GAMMA / h, &mut self.work);
                let both =
                    real.and_then(|()| self.linear.factor_complex(0, ALPHA / h, BETA / h, &mut self.work));
                if let Err(singular) = both {
                    self.next_factor = 0.5;
                    self.failure = Some(singular.into());
                    return Ok(f64::INFINITY);
                }
                self.factored = h;
            }
            self.guess::<N>(h);
            if self.newton::<N>(f, t, h, y, p)? {
                break;
            }
            if self.jacobian == JacobianAge::Fresh {
                return Ok(f64::INFINITY);
            }
            self.jacobian = JacobianAge::Expired; // it was an old one: the same step with a new one
        }
        self.failure = None;
        let nd = self.length::<N>();
        let (y1, z3) = (&mut self.y1[..nd], &self.z[2][..nd]);
        for j in 0..nd {
            y1[j] = y[j] + z3[j];
        }
        let finite = self.y1.iter().fold(true, |ok, v| ok & v.is_finite());
        let err = if finite { self.error::<N>(f, t, h, y, p)? } else { f64::NAN };
        if !err.is_nan() {
            self.control(h, err);
        }
        if self.fixed || err <= 1.0 {
            // Before the step is taken, so that a field that refuses its end has it tried again.
            self.work.evals += 1;
            f.eval(t_end, &self.y1, p, &mut self.f1)?;
        }
        self.proposed_h = h;
        let [z1, z2, z3] = self.z.each_ref().map(|z| &z[..nd]);
        let [p1, p2, p3] = self.poly.each_mut().map(|p| &mut p[..nd]);
        let [i12, i1, i2, i23, i13] =
            [1.0 / (C[0] - C[1]), 1.0 / C[0], 1.0 / C[1], 1.0 / (C[1] - 1.0), 1.0 / (C[0] - 1.0)].map(S::c);
        for j in 0..nd {
            let first = (z1[j] - z2[j]) * i12;
            p1[j] = (z2[j] - z3[j]) * i23;
            p2[j] = (first - p1[j]) * i13;
            p3[j] = p2[j] - (first - z1[j] * i1) * i2;
        }
        Ok(err)
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
    fn error<const N: usize>(
        &mut self,
        f: &mut Rhs<'_, S>,
        t: f64,
        h: f64,
        y: &[S],
        p: &[S],
    ) -> Result<f64, FieldError> {
        let nd = self.length::<N>();
        let e = E.map(|e| S::c(e / h));
        let [z1, z2, z3] = self.z.each_ref().map(|z| &z[..nd]);
        // `dw` is free after the Newton iteration.
        let [base, err, stage] = self.dw.each_mut().map(|d| &mut d[..nd]);
        for j in 0..nd {
            base[j] = e[0] * z1[j] + e[1] * z2[j] + e[2] * z3[j];
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
            size = self.weights.norm(err);
        }
        Ok(size.max(1e-10))
    }

    /// Step-size control: the classical factor and the predictive one of Gustafsson, the smaller.
    fn control(&mut self, h: f64, err: f64) {
        let most = f64::from(2 * MAX_ITERATIONS);
        let safety = SAFETY.min(SAFETY * (1.0 + most) / (f64::from(self.iterations) + most));
        let mut factor = (safety / err.sqrt().sqrt()).clamp(LEAST, MOST);
        if err <= 1.0 {
            if self.last_h != 0.0 {
                let predicted =
                    SAFETY * (h / self.last_h).abs() * (self.error_before / (err * err)).sqrt().sqrt();
                factor = factor.min(predicted.clamp(LEAST, MOST));
            }
            if self.rejected {
                factor = factor.min(1.0);
            }
            if (1.0..NOT_WORTH).contains(&factor) && self.rate <= RATE_TO_KEEP {
                factor = 1.0;
            }
        } else if self.last_h == 0.0 {
            factor = factor.min(0.1);
        }
        self.next_factor = factor;
    }
}

/// The tolerances, `(rtol, atol)`, that the error estimate of order 3 is held to.
fn tolerance_of_estimate(rtol: f64, atol: f64) -> (f64, f64) {
    if rtol > 0.0 {
        let inner = 0.1 * rtol.powf(2.0 / 3.0);
        (inner, inner * atol / rtol)
    } else {
        (0.0, atol)
    }
}

/// `out = m v`, where `m` acts on the three parts of `v`.
#[inline]
fn transform<S: Real>(m: &[[f64; 3]; 3], v: [&[S]; 3], out: [&mut [S]; 3]) {
    let m = m.map(|row| row.map(S::c));
    let n = v[0].len();
    let [v1, v2, v3] = v.map(|v| &v[..n]);
    let [o1, o2, o3] = out.map(|o| &mut o[..n]);
    for j in 0..n {
        let (a, b, c) = (v1[j], v2[j], v3[j]);
        o1[j] = m[0][0] * a + m[0][1] * b + m[0][2] * c;
        o2[j] = m[1][0] * a + m[1][1] * b + m[1][2] * c;
        o3[j] = m[2][0] * a + m[2][1] * b + m[2][2] * c;
    }
}

impl<S: Real> Stepper<S> for Radau5<S> {
    fn state_len(&self) -> usize {
        self.nd
    }

    fn error_order(&self) -> Option<u32> {
        Some(4)
    }

    fn work(&self) -> Work {
        self.work
    }

    fn fixed_steps(&mut self, fixed: bool) {
        self.fixed = fixed;
    }

    fn start(&mut self, f: &mut Rhs<'_, S>, t: f64, y: &[S], p: &[S]) -> Result<(), FieldError> {
        self.jacobian = JacobianAge::Expired;
        (self.factored, self.last_h, self.eta, self.rejected) = (0.0, 0.0, 1.0, false);
        self.work.evals += 1;
        f.eval(t, y, p, &mut self.f0)
    }

    fn initial_step(
        &mut self,
        f: &mut Rhs<'_, S>,
        t: f64,
        t_end: f64,
        y: &[S],
        p: &[S],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        self.work.evals += 1;
        let [f1, ..] = &mut self.dw;
        initial_step(f, t, t_end, y, p, &self.f0, 4, tol, &mut self.y1, f1, &mut self.tmp)
    }

    fn step(
        &mut self,
        f: &mut Rhs<'_, S>,
        t: f64,
        t_end: f64,
        y: &[S],
        p: &[S],
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

    fn proposed(&self) -> &[S] {
        &self.y1
    }

    fn dense(&mut self, theta: f64, _h: f64, _y: &[S]) -> &[S] {
        let s = theta - 1.0;
        let (s, s2, s1) = (S::c(s), S::c(s - (C[1] - 1.0)), S::c(s - (C[0] - 1.0)));
        let [p1, p2, p3] = &self.poly;
        for j in 0..self.nd {
            self.tmp[j] = self.y1[j] + s * (p1[j] + s2 * (p2[j] + s1 * p3[j]));
        }
        &self.tmp
    }

    fn accept(&mut self, y: &mut [S]) {
        y.copy_from_slice(&self.y1);
        std::mem::swap(&mut self.poly, &mut self.last_poly);
        self.last_h = self.proposed_h;
        std::mem::swap(&mut self.f0, &mut self.f1);
        self.jacobian = if self.rate <= RATE_TO_KEEP { JacobianAge::Old } else { JacobianAge::Expired };
        self.rejected = false;
    }

    fn reject(&mut self) {
        self.rejected = true;
        if self.jacobian == JacobianAge::Old {
            self.jacobian = JacobianAge::Expired;
        }
    }

    fn factor(&mut self, err: f64) -> Option<f64> {
        if err <= 1.0 {
            self.error_before = err.max(1e-2);
        }
        // After something that is not finite, or a field that refused, nothing is known.
        (!err.is_nan()).then_some(self.next_factor)
    }

    fn failure(&self) -> Option<StepFailure> {
        self.failure
    }

    fn has_mass(&self) -> bool {
        self.linear.has_mass()
    }
}
