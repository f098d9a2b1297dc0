//! Changes between an explicit and an implicit method during a run. Sources: [Sha77], [HW96] section IV.2 (where stiffness is seen
//! in an explicit step), [SSV98] (spectral radius by a power iteration on differences of the field).

use chreode_core::{FieldError, Real, Tolerance};

use crate::erk::step::Erk;
use crate::error::{SolveError, check_len};
use crate::error_norm::TINY;
use crate::rhs::Rhs;
use crate::stats::Work;
use crate::stepper::{StepFailure, Stepper};

/// An explicit step counts as stiff if `h |λ|` is above `STIFF rtol^(1/order)` of the method's real stability bound, within
/// limits: then stiffness, not the error of the slow solution, rules its length.
///
/// Well below the bound where the tolerance is tight: the error estimate, which amplifies stiff parts of the solution, keeps
/// steps from it.
const STIFF: f64 = 6.0;
const LEAST_STIFF: f64 = 0.07;
const MOST_STIFF: f64 = 0.85;
/// So many stiff steps are stiffness, unless so many others came between.
const STIFF_STEPS: u32 = 12;
const FORGET_AFTER: u32 = 6;
/// Stiffness has ended if the implicit method's steps have `h |λ|` below this part of what counts as stiff, at so many checks in
/// turn: there the explicit method would take them too.
const EASY: f64 = 0.7;
const EASY_CHECKS: u32 = 2;
/// Implicit steps from one check to the next.
const CHECK_EVERY: u32 = 4;
/// Power iterations of the first check after a change; later ones go on from its direction by one.
const FIRST_ITERATIONS: u32 = 4;

/// An explicit method that hands over to an implicit one where the problem becomes stiff, and takes over again where that ends:
/// for problems that are stiff in parts, or of which one does not know.
///
/// A run begins with the explicit method. [`Work::switches`](crate::Work::switches) counts the changes; the step size is kept over
/// one.
///
/// ```
/// use chreode_core::field;
/// use chreode_solve::{AutoSwitch, Erk, Radau5, SolveOptions, TSIT5, solve};
/// // The van der Pol oscillator crawls, with a stiff Jacobian, and jumps.
/// let mut f = field(2, |_t, y: &[f64], _p: &[f64], dy: &mut [f64]| {
///     (dy[0], dy[1]) = (y[1], 1e3 * ((1.0 - y[0] * y[0]) * y[1] - y[0]));
/// });
/// let mut switching = AutoSwitch::new(Erk::new(&TSIT5, 1, 2), Radau5::new(1, 2));
/// let (mut y, options) = ([2.0, 0.0], SolveOptions::tolerance(1e-6, 1e-6));
/// let stats = solve(&mut f, &[], &mut y, (0.0, 0.5), &mut switching, &options, &mut |_, _, _| {})?;
/// assert!(stats.work.switches >= 1 && stats.accepted < 150);
/// # Ok::<(), chreode_solve::SolveError>(())
/// ```
#[derive(Debug, Clone)]
pub struct AutoSwitch<T, S> {
    explicit: Erk<T>,
    implicit: S,
    /// Largest `x` up to which the explicit method damps `y' = -y` with steps of length `x`.
    bound: f64,
    /// `h |λ|` above which an explicit step counts as stiff.
    threshold: f64,
    stiff: bool,
    /// `h |λ|` of the proposed explicit step.
    estimate: f64,
    stiff_steps: u32,
    other_steps: u32,
    easy_checks: u32,
    /// Implicit steps since the last check, and whether there was one since the last change.
    unchecked: u32,
    checked: bool,
    last_h: f64,
    proposed_h: f64,
    slope: Vec<T>,
    shifted: Vec<T>,
    direction: Vec<T>,
    evals: u64,
    switches: u64,
    wrong: Option<SolveError>,
}

impl<T: Real, S: Stepper<T>> AutoSwitch<T, S> {
    /// Both methods must be made for the same numbers of trajectories and coordinates, the implicit one without a mass matrix, the
    /// explicit one with an error estimate and two stages at the step's end to see stiffness by ([`BOSH3`](crate::BOSH3) has one;
    /// [`TSIT5`](crate::TSIT5) and all of higher order have two): else runs end before they start, with
    /// [`SolveError::ShapeMismatch`] or [`SolveError::UnsuitedToSwitch`].
    pub fn new(explicit: Erk<T>, implicit: S) -> Self {
        let nd = implicit.state_len();
        let zeros = || vec![T::ZERO; nd];
        Self {
            wrong: unsuited(&explicit, &implicit).err(),
            bound: real_stability_bound(&explicit),
            explicit,
            implicit,
            threshold: f64::INFINITY,
            stiff: false,
            estimate: 0.0,
            stiff_steps: 0,
            other_steps: 0,
            easy_checks: 0,
            unchecked: 0,
            checked: false,
            last_h: 0.0,
            proposed_h: 0.0,
            slope: zeros(),
            shifted: zeros(),
            direction: zeros(),
            evals: 0,
            switches: 0,
        }
    }

    /// Whether the implicit method is at work.
    pub fn is_stiff(&self) -> bool {
        self.stiff
    }

    /// The method at work.
    fn current(&self) -> &dyn Stepper<T> {
        if self.stiff { &self.implicit } else { &self.explicit }
    }

    fn current_mut(&mut self) -> &mut dyn Stepper<T> {
        if self.stiff { &mut self.implicit } else { &mut self.explicit }
    }

    /// Forgets what was seen.
    fn forget(&mut self) {
        (self.stiff_steps, self.other_steps, self.easy_checks, self.unchecked) = (0, 0, 0, 0);
        (self.checked, self.last_h) = (false, 0.0);
    }

    /// Sets the threshold by the tolerance.
    fn follow(&mut self, tol: Tolerance<'_>, d: usize) {
        let least = (0..d).map(|j| tol.rtol.of(j)).fold(1.0, f64::min);
        let order = f64::from(self.explicit.tableau().order);
        self.threshold = self.bound * (STIFF * least.powf(1.0 / order)).clamp(LEAST_STIFF, MOST_STIFF);
    }

    /// Hands over at `(t, y)`.
    fn switch(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        if self.stiff {
            self.explicit.start(f, t, y, p)?;
        } else {
            self.implicit.start(f, t, y, p)?;
        }
        self.stiff = !self.stiff;
        self.switches += 1;
        self.forget();
        Ok(())
    }

    /// The largest growth of a small change of the state, `|λ|`, by a power iteration whose products with the Jacobian are
    /// differences; infinite if the field refuses the changed state.
    fn spectral_radius(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<f64, FieldError> {
        let d = f.dim();
        self.evals += 1;
        f.eval(t, y, p, &mut self.slope)?;
        let iterations = if self.checked { 1 } else { FIRST_ITERATIONS };
        if !self.checked {
            self.direction.copy_from_slice(&self.slope);
        }
        self.checked = true;
        let least = (0..d).map(|j| tol.rtol.of(j)).fold(1.0, f64::min);
        // A hundredth of the tolerance, but well above rounding.
        let size = (1e4 * T::EPSILON.f64() / least.max(T::EPSILON.f64())).max(0.01);
        let mut radius = 0.0;
        for _ in 0..iterations {
            let length = size_of(&self.direction, y, d, tol);
            if !(length > 0.0 && length.is_finite()) {
                self.checked = false; // nothing to go on from
                return Ok(radius);
            }
            let scale = T::c(size / length);
            for ((s, &y), &v) in self.shifted.iter_mut().zip(y).zip(&self.direction) {
                *s = y + scale * v;
            }
            self.evals += 1;
            match f.eval(t, &self.shifted, p, &mut self.direction) {
                Ok(()) => {}
                Err(FieldError::Recoverable { .. }) => {
                    self.checked = false;
                    return Ok(f64::INFINITY);
                }
                Err(e) => return Err(e),
            }
            for ((v, &f0), (s, &y)) in
                self.direction.iter_mut().zip(&self.slope).zip(self.shifted.iter_mut().zip(y))
            {
                *v -= f0;
                *s -= y; // what the change was after rounding
            }
            radius = size_of(&self.direction, y, d, tol) / size_of(&self.shifted, y, d, tol);
        }
        Ok(radius)
    }

    /// Looks, every few implicit steps, whether the explicit method would take steps of length `h` too.
    fn stiffness_has_ended(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        h: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<bool, FieldError> {
        if self.unchecked < CHECK_EVERY {
            return Ok(false);
        }
        self.unchecked = 0;
        // A step that is cut short by a stop does not show stiffness.
        let h = h.abs().max(self.last_h);
        let easy = h * self.spectral_radius(f, t, y, p, tol)? < EASY * self.threshold;
        self.easy_checks = if easy { self.easy_checks + 1 } else { 0 };
        Ok(self.easy_checks >= EASY_CHECKS)
    }
}

/// Why two methods cannot take turns.
fn unsuited<T: Real>(explicit: &Erk<T>, implicit: &dyn Stepper<T>) -> Result<(), SolveError> {
    check_len("state of AutoSwitch's implicit method", implicit.state_len(), explicit.state_len())?;
    check_len("coordinates of AutoSwitch's implicit method", implicit.dim(), explicit.dim())?;
    let no = |method, why| Err(SolveError::UnsuitedToSwitch { method, why });
    let method = explicit.tableau().name;
    if implicit.has_mass() {
        return no(method, "it cannot treat the other method's mass matrix");
    }
    if explicit.tableau().error_order().is_none() {
        return no(method, "it has no error estimate");
    }
    match explicit.stage_at_end() {
        Some(_) => Ok(()),
        None => no(method, "it has one stage at its step's end, which shows no stiffness"),
    }
}

/// Root of the sum of squares of `v`, `[n, d]`, in units of the tolerance at `y`.
fn size_of<T: Real>(v: &[T], y: &[T], d: usize, tol: Tolerance<'_>) -> f64 {
    let mut sum = 0.0;
    for (v, y) in v.chunks_exact(d).zip(y.chunks_exact(d)) {
        for (j, (v, y)) in v.iter().zip(y).enumerate() {
            let r = v.f64() / (tol.atol.of(j) + tol.rtol.of(j) * y.f64().abs() + TINY);
            sum += r * r;
        }
    }
    sum.sqrt()
}

/// The largest `x` such that `|R(-x')| <= 1` for all `x'` up to it, to 0.01.
fn real_stability_bound<T: Real>(explicit: &Erk<T>) -> f64 {
    let m = explicit.tableau();
    let stages = m.stages();
    let mut k = vec![0.0; stages];
    let grows = |x: f64, k: &mut Vec<f64>| {
        for i in 0..stages {
            let state: f64 = 1.0 + m.stage_weights(i).iter().zip(&*k).map(|(a, k)| a * k).sum::<f64>();
            k[i] = -x * state;
        }
        let end: f64 = 1.0 + m.b.iter().zip(&*k).map(|(b, k)| b * k).sum::<f64>();
        end.abs() > 1.0 + 1e-9
    };
    // No explicit method is stable for all x.
    (1..100_000).map(|i| 0.01 * f64::from(i)).find(|&x| grows(x, &mut k)).map_or(1.0, |x| x - 0.01)
}

impl<T: Real, S: Stepper<T>> Stepper<T> for AutoSwitch<T, S> {
    fn dim(&self) -> usize {
        self.explicit.dim()
    }

    fn state_len(&self) -> usize {
        self.implicit.state_len()
    }

    fn error_order(&self) -> Option<u32> {
        self.current().error_order()
    }

    fn work(&self) -> Work {
        let own = Work { evals: self.evals, switches: self.switches, ..Work::default() };
        self.explicit.work().plus(self.implicit.work()).plus(own)
    }

    /// A run begins: with the explicit method.
    fn fixed_steps(&mut self, fixed: bool) {
        self.stiff = false;
        self.forget();
        self.explicit.fixed_steps(fixed);
        self.implicit.fixed_steps(fixed);
    }

    fn start(&mut self, f: &mut Rhs<'_, T>, t: f64, y: &[T], p: &[T]) -> Result<(), FieldError> {
        self.forget();
        self.current_mut().start(f, t, y, p)
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
        self.current_mut().initial_step(f, t, t_end, y, p, tol)
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
        let changes = if self.stiff {
            self.stiffness_has_ended(f, t, t_end - t, y, p, tol)?
        } else {
            self.stiff_steps >= STIFF_STEPS
        };
        if changes {
            self.switch(f, t, y, p)?;
        }
        self.proposed_h = (t_end - t).abs();
        self.follow(tol, f.dim());
        let err = self.current_mut().step(f, t, t_end, y, p, tol)?;
        if !self.stiff {
            self.estimate = self.explicit.stiffness(t_end - t, tol);
        }
        Ok(err)
    }

    fn proposed(&self) -> &[T] {
        self.current().proposed()
    }

    fn prepare_dense(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        t_end: f64,
        y: &[T],
        p: &[T],
    ) -> Result<(), FieldError> {
        self.current_mut().prepare_dense(f, t, t_end, y, p)
    }

    fn dense(&mut self, theta: f64, h: f64, y: &[T]) -> &[T] {
        self.current_mut().dense(theta, h, y)
    }

    fn accept(&mut self, y: &mut [T]) {
        self.current_mut().accept(y);
        self.last_h = self.proposed_h;
        if self.stiff {
            self.unchecked += 1;
        } else if self.estimate > self.threshold {
            self.stiff_steps += 1;
            self.other_steps = 0;
        } else {
            self.other_steps += 1;
            if self.other_steps >= FORGET_AFTER {
                self.stiff_steps = 0;
            }
        }
    }

    fn reject(&mut self) {
        self.current_mut().reject();
    }

    fn step_ratio(&mut self, err: f64) -> Option<f64> {
        self.current_mut().step_ratio(err)
    }

    fn failure(&self) -> Option<StepFailure> {
        self.current().failure()
    }

    fn check(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        tol: Tolerance<'_>,
    ) -> Result<(), SolveError> {
        self.wrong.clone().map_or(Ok(()), Err)?;
        self.implicit.check(f, t, y, p, tol)
    }

    fn has_mass(&self) -> bool {
        self.implicit.has_mass()
    }
}
