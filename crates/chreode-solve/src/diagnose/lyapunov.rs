//! Finite-time Lyapunov exponents.

use chreode_core::{BrownianIncrements, Jacobian, Real, Tolerance};

use super::error::DiagnoseError;
use super::rows::{checked_rows, end_of, for_rows, positive_number};
use super::variational::{Tangents, check_tangent_tolerance};
use crate::SolveError;
use crate::stepper::Stepper;

/// More intervals are a mistake, and would not fit memory.
const MOST_INTERVALS: f64 = 1e7;

/// What [`lyapunov`] may be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LyapunovOptions<'a> {
    /// Number `k` of leading exponents, 1 to `d`.
    pub exponents: usize,
    /// Time that passes before anything is counted: states come to the attractor and tangents turn to their directions.
    pub settle: f64,
    /// Time over which exponents are averaged.
    pub horizon: f64,
    /// Longest time between two orthonormalisations. Within it tangents must not grow apart by more than the tolerance can hold:
    /// `(λ_1 - λ_k)` times it should be a few units at most.
    pub interval: f64,
    /// Tolerance of the solver, atol in units of the states. Tangents have unit length and are held to rtol.
    pub tolerance: Tolerance<'a>,
}

impl LyapunovOptions<'_> {
    /// `k` exponents over this time, after a tenth of it; orthonormal again each hundredth.
    pub fn new(exponents: usize, horizon: f64) -> Self {
        Self {
            exponents,
            settle: 0.1 * horizon,
            horizon,
            interval: 0.01 * horizon,
            tolerance: Tolerance::new(1e-8, 1e-8),
        }
    }

    fn check(&self, d: usize, t0: f64) -> Result<(), DiagnoseError> {
        if self.exponents == 0 || self.exponents > d {
            return Err(DiagnoseError::Exponents { asked: self.exponents, d });
        }
        positive_number("horizon", self.horizon)?;
        positive_number("interval between orthonormalisations", self.interval)?;
        if !(self.settle >= 0.0 && self.settle.is_finite()) {
            let (what, must) = ("time to settle", "finite and not negative");
            return Err(SolveError::InvalidOption { what, must, got: self.settle }.into());
        }
        if self.horizon.max(self.settle) / self.interval > MOST_INTERVALS {
            let (what, must) =
                ("interval between orthonormalisations", "at least 1e-7 of horizon and settling");
            return Err(SolveError::InvalidOption { what, must, got: self.interval }.into());
        }
        // The last interval is the one that may be too short for its times.
        let end = end_of("horizon", t0 + self.settle, self.horizon)?;
        let shortest = self.interval.min(self.horizon) / 2.0;
        end_of("half an interval between orthonormalisations", end, shortest)?;
        Ok(check_tangent_tolerance(self.tolerance, d)?)
    }
}

/// Lyapunov exponents of many trajectories: of [`lyapunov`].
#[derive(Debug, Clone, PartialEq)]
pub struct LyapunovSpectra<T> {
    k: usize,
    intervals: usize,
    /// Averages since counting began, `[n, intervals, k]`.
    running: Vec<f64>,
    /// States at the end, `[n, d]`.
    pub ends: Vec<T>,
}

impl<T> LyapunovSpectra<T> {
    /// The `k` exponents of trajectory `row`, in one over time. They come in descending order as they converge.
    ///
    /// # Panics
    /// If there is no such trajectory.
    pub fn of(&self, row: usize) -> &[f64] {
        let end = (row + 1) * self.intervals * self.k;
        &self.running[end - self.k..end]
    }

    /// Averages since counting began, after each interval: `[intervals, k]`; the last are the exponents.
    ///
    /// # Panics
    /// If there is no such trajectory.
    pub fn running(&self, row: usize) -> &[f64] {
        let len = self.intervals * self.k;
        &self.running[row * len..(row + 1) * len]
    }

    /// How far exponent `j` of trajectory `row` has converged: largest minus smallest running average within the second half
    /// of the time.
    ///
    /// # Panics
    /// If there is no such trajectory or exponent.
    pub fn spread(&self, row: usize, j: usize) -> f64 {
        assert!(j < self.k, "exponent {j} of {}", self.k);
        let late = self.running(row)[self.intervals / 2 * self.k..].iter().skip(j).step_by(self.k);
        let (least, most) = late.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &x| (a.min(x), b.max(x)));
        most - least
    }
}

/// The leading `k` Lyapunov exponents of trajectories from `y`, `[n, d]`, at time `t0`, by any method that solves ordinary
/// equations: `method(1, (1 + k) d)` makes its stepper.
///
/// `k` tangent vectors, at first in general position (the same for every trajectory), follow `dv/dt = ∂f/∂y v` beside the
/// state; after each interval they are made orthonormal, `V = Q R`, and `λ_j` is the mean of `ln R_jj` over time
/// [BGGS80], [GPL90]. With `k = d` their sum is the mean [`divergence`](crate::divergence), whatever the time. For the greatest
/// growth within a short time see [`local_sensitivity`](crate::local_sensitivity). Rosenbrock methods lose their order here.
///
/// Trajectories are spread over rayon's current thread pool, each worker with a clone of the field.
///
/// # Errors
/// [`DiagnoseError::Arguments`], [`DiagnoseError::Blocks`] and [`DiagnoseError::Exponents`] before anything runs;
/// [`DiagnoseError::Row`] if a run fails, [`DiagnoseError::TangentLost`] if the interval is too long.
///
/// ```
/// use chreode_solve::{Erk, LyapunovOptions, TSIT5, lyapunov};
/// use chreode_testkit::{Lorenz, SmoothField};
/// let options = LyapunovOptions { interval: 0.1, ..LyapunovOptions::new(3, 20.0) };
/// let p = [10.0, 28.0, 8.0 / 3.0];
/// let spectra = lyapunov(&SmoothField(Lorenz), &p, &[1.0; 3], 0.0, &options, |n, d| Erk::new(&TSIT5, n, d))?;
/// let sum: f64 = spectra.of(0).iter().sum();
/// assert!((sum + 10.0 + 1.0 + 8.0 / 3.0).abs() < 1e-6 && spectra.of(0)[0] > 0.5);
/// # Ok::<(), chreode_solve::DiagnoseError>(())
/// ```
pub fn lyapunov<T, F, S>(
    f: &F,
    p: &[T],
    y: &[T],
    t0: f64,
    options: &LyapunovOptions<'_>,
    method: impl Fn(usize, usize) -> S + Sync + Send,
) -> Result<LyapunovSpectra<T>, DiagnoseError>
where
    T: Real,
    F: Jacobian<T> + Clone + Send + Sync,
    S: Stepper<T>,
{
    let n = checked_rows(f, p, y, t0)?;
    let (d, k) = (f.dim(), options.exponents);
    options.check(d, t0)?;
    let settling = (options.settle / options.interval).ceil() as usize;
    let intervals = (options.horizon / options.interval).ceil() as usize;
    let frame = general_frame(k, d);
    let worker = || {
        let tangents = Tangents::new(f.clone(), k, options.tolerance, &method);
        (tangents, vec![0.0; k * d], vec![0.0; k])
    };
    let rows = for_rows(n, worker, |(tangents, q, log_r), row| {
        tangents.start(&y[row * d..(row + 1) * d]);
        q.copy_from_slice(&frame);
        let mut go =
            |from: f64, to: f64, log_r: &mut [f64]| {
                for (v, &q) in tangents.z[d..].iter_mut().zip(&*q) {
                    *v = T::c(q);
                }
                tangents.advance(p, from, to).map_err(|source| DiagnoseError::Row { row, source })?;
                for (q, v) in q.iter_mut().zip(&tangents.z[d..]) {
                    *q = v.f64();
                }
                orthonormalise(q, d, T::EPSILON.f64(), log_r)
                    .map_err(|direction| DiagnoseError::TangentLost { row, direction, from, to })
            };
        for i in 0..settling {
            let at = |i: usize| t0 + options.settle * i as f64 / settling as f64;
            go(at(i), at(i + 1), log_r)?;
        }
        let counted = t0 + options.settle;
        let at = |i: usize| counted + options.horizon * i as f64 / intervals as f64;
        let (mut sums, mut running) = (vec![0.0; k], Vec::with_capacity(intervals * k));
        for i in 0..intervals {
            go(at(i), at(i + 1), log_r)?;
            sums.iter_mut().zip(&*log_r).for_each(|(sum, x)| *sum += x);
            let passed = options.horizon * (i + 1) as f64 / intervals as f64;
            running.extend(sums.iter().map(|sum| sum / passed));
        }
        Ok((running, tangents.z[..d].to_vec()))
    })?;
    let (mut running, mut ends) = (Vec::with_capacity(n * intervals * k), Vec::with_capacity(n * d));
    for (average, end) in rows {
        running.extend(average);
        ends.extend(end);
    }
    Ok(LyapunovSpectra { k, intervals, running, ends })
}

/// `k` orthonormal vectors of `d` coordinates that lie in no special direction.
fn general_frame(k: usize, d: usize) -> Vec<f64> {
    let mut frame = vec![0.0; k * d];
    // Random ones are dependent with probability zero; the next draw then.
    for step in 0..16 {
        BrownianIncrements::new(0x4C79_6170).fill(step, 0, d, 1.0, &mut frame);
        if orthonormalise(&mut frame, d, f64::EPSILON, &mut vec![0.0; k]).is_ok() {
            break;
        }
    }
    frame
}

/// Makes the rows of `v`, `[k, d]`, orthonormal by the modified Gram-Schmidt process, twice [GVL13, section 5.2], and sets `log_r`
/// to the logarithms of the lengths that each had beside those before it. The number of the first row of which less than a
/// few `epsilon` is left, or that is not finite, else.
fn orthonormalise(v: &mut [f64], d: usize, epsilon: f64, log_r: &mut [f64]) -> Result<(), usize> {
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for (j, log_r) in log_r.iter_mut().enumerate() {
        let (done, rest) = v.split_at_mut(j * d);
        let x = &mut rest[..d];
        let before = norm(x);
        if !(before.is_finite() && before > 0.0) {
            return Err(j);
        }
        x.iter_mut().for_each(|x| *x /= before);
        for _ in 0..2 {
            for q in done.chunks_exact(d) {
                let dot: f64 = q.iter().zip(&*x).map(|(q, x)| q * x).sum();
                x.iter_mut().zip(q).for_each(|(x, q)| *x -= dot * q);
            }
        }
        let left = norm(x);
        if !(left > 8.0 * epsilon) {
            return Err(j);
        }
        x.iter_mut().for_each(|x| *x /= left);
        *log_r = before.ln() + left.ln();
    }
    Ok(())
}
