//! Fixed points by damped Newton iterations from many starts, and their stability.

use chreode_core::{FieldError, Jacobian, Real, Tolerance};
use chreode_linalg::{LinalgError, Svd, eigenvalues, svd};

use super::dense::DenseJacobian;
use super::error::DiagnoseError;
use super::kind::FixedPointKind;
use super::rows::{checked_rows, for_rows, positive_number};
use super::variational::check_tolerance;
use crate::SolveError;

/// Least part of a correction that is tried.
const LEAST_DAMPING: f64 = 1e-6;
/// Whole corrections that one start may take where no part of one comes nearer: beyond a surface of singular Jacobians there may
/// be roots.
const LEAPS: usize = 4;

/// What [`fixed_points`] may be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FixedPointOptions<'a> {
    /// A point is found when Newton's correction of each coordinate is below `atol + rtol |y|`. (Rounding of the states' type is a
    /// lower bound of rtol.)
    pub tolerance: Tolerance<'a>,
    /// Points are one if they differ by no more than this many tolerances in each coordinate. Where the Jacobian is singular the
    /// last corrections are as large as what is still missing, so leave room.
    pub merge: f64,
    /// An eigenvalue with `|Re λ|` below this part of the largest `|λ|` counts as neutral.
    pub hyperbolic: f64,
    /// Most Newton iterations from one start.
    pub max_iterations: usize,
}

impl Default for FixedPointOptions<'_> {
    fn default() -> Self {
        Self { tolerance: Tolerance::new(1e-10, 1e-10), merge: 1e4, hyperbolic: 1e-10, max_iterations: 100 }
    }
}

/// A state at which the field vanishes.
#[derive(Debug, Clone, PartialEq)]
pub struct FixedPoint<T> {
    /// The state, `[d]`.
    pub state: Vec<T>,
    /// The largest `|f_i|` that is left there.
    pub residual: f64,
    /// Eigenvalues (re, im) of the Jacobian there, in one over time, descending by real part.
    pub eigenvalues: Vec<(f64, f64)>,
    /// What they say.
    pub kind: FixedPointKind,
}

/// Why a start led to no fixed point.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NewtonFailure {
    /// No step along the correction comes nearer to a root: a singular Jacobian, often where `|f|` has a least value that is not
    /// zero.
    #[error("stalled after {iterations} iterations, where the field is {residual:e}")]
    Stalled {
        /// Iterations made.
        iterations: usize,
        /// Largest `|f_i|` there.
        residual: f64,
    },
    /// The iterations did not suffice.
    #[error("{iterations} iterations left a field of {residual:e}")]
    TooManyIterations {
        /// Iterations made.
        iterations: usize,
        /// Largest `|f_i|` there.
        residual: f64,
    },
    /// The field is undefined or not finite at an iterate, and not only beyond it.
    #[error("the field or its Jacobian is undefined or not finite after {iterations} iterations")]
    Undefined {
        /// Iterations made.
        iterations: usize,
    },
}

/// Fixed points and what became of each start: of [`fixed_points`].
#[derive(Debug, Clone, PartialEq)]
pub struct FixedPoints<T> {
    /// Different points, in the order of the first start that led to each.
    pub points: Vec<FixedPoint<T>>,
    /// For every start the number of its point, or why there is none.
    pub outcomes: Vec<Result<usize, NewtonFailure>>,
}

/// Fixed points `f(t, y*; p) = 0` of a field at time `t`, searched from the starts `y`, `[n, d]`, and their stability.
///
/// Newton's iteration `y += λ Δ`, `Δ = -J⁺ f`, is damped by the natural monotonicity test [Deu11, chapter 3]: the next correction
/// with the same `J` must be shorter than `1 - λ/4` of this one. Where no `λ` does that, a surface of singular Jacobians lies in the
/// way; a few whole steps may leap over it. `J⁺` is the pseudo-inverse, so that a field with conserved sums, whose
/// Jacobian is singular everywhere, leads to the point of its line of fixed points that is near. A root that no start leads to is
/// not found; a start may lead to a distant root.
///
/// Starts are spread over rayon's current thread pool, each worker with a clone of the field.
///
/// # Errors
/// [`DiagnoseError::Arguments`] and [`DiagnoseError::Blocks`] before anything runs; [`DiagnoseError::Row`] for an error of the field
/// that is fatal, [`DiagnoseError::Matrix`] if a decomposition fails. A start that leads nowhere is no error: see
/// [`FixedPoints::outcomes`].
///
/// ```
/// use chreode_solve::{FixedPointKind, FixedPointOptions, fixed_points};
/// use chreode_testkit::{LotkaVolterra, SmoothField};
/// let (f, p) = (SmoothField(LotkaVolterra), [1.5, 1.0, 0.75, 3.0]);
/// let found = fixed_points(&f, &p, 0.0, &[3.0, 2.0, 0.1, 0.1], &FixedPointOptions::default())?;
/// assert_eq!(found.outcomes, [Ok(0), Ok(1)]);
/// let near = |x: f64, y: f64| (x - y).abs() < 1e-9;
/// assert!(near(found.points[0].state[0], 4.0) && near(found.points[0].state[1], 1.5));
/// assert_eq!(found.points[0].kind, FixedPointKind::NonHyperbolic { neutral: 2, unstable: 0 }); // a centre
/// assert_eq!(found.points[1].kind, FixedPointKind::Saddle { unstable: 1 }); // both extinct
/// # Ok::<(), chreode_solve::DiagnoseError>(())
/// ```
pub fn fixed_points<T, F>(
    f: &F,
    p: &[T],
    t: f64,
    y: &[T],
    options: &FixedPointOptions<'_>,
) -> Result<FixedPoints<T>, DiagnoseError>
where
    T: Real,
    F: Jacobian<T> + Clone + Send + Sync,
{
    let (n, d) = (checked_rows(f, p, y, t)?, f.dim());
    check_tolerance(options.tolerance, d)?;
    positive_number("distance in tolerances below which points are one", options.merge)?;
    if !(options.hyperbolic >= 0.0 && options.hyperbolic < 1.0) {
        let (what, must) = ("tolerance of real parts", "not negative and below 1");
        return Err(SolveError::InvalidOption { what, must, got: options.hyperbolic }.into());
    }
    let worker = || Newton::new(f.clone(), p, t, options);
    let ends = for_rows(n, worker, |newton, row| newton.run(row, &y[row * d..(row + 1) * d]))?;

    let mut newton = worker();
    let mut found = FixedPoints { points: Vec::<FixedPoint<T>>::new(), outcomes: Vec::with_capacity(n) };
    for (row, end) in ends.into_iter().enumerate() {
        let outcome = match end {
            Err(failure) => Err(failure),
            Ok((state, iterations)) => {
                let same = |point: &FixedPoint<T>| {
                    (0..d).all(|i| {
                        let most = options.merge * newton.tolerance(i, point.state[i].f64());
                        (state[i].f64() - point.state[i].f64()).abs() <= most
                    })
                };
                match found.points.iter().position(same) {
                    Some(known) => Ok(known),
                    None => newton.point(row, state, iterations)?.map(|point| {
                        found.points.push(point);
                        found.points.len() - 1
                    }),
                }
            }
        };
        found.outcomes.push(outcome);
    }
    Ok(found)
}

/// Newton's iteration with its work arrays.
struct Newton<'a, F, T> {
    jacobian: DenseJacobian<F, T>,
    p: &'a [T],
    t: f64,
    options: &'a FixedPointOptions<'a>,
    y: Vec<T>,
    trial: Vec<T>,
    slope: Vec<T>,
    f: Vec<f64>,
    delta: Vec<f64>,
    next_delta: Vec<f64>,
}

impl<'a, T: Real, F: Jacobian<T>> Newton<'a, F, T> {
    fn new(f: F, p: &'a [T], t: f64, options: &'a FixedPointOptions<'a>) -> Self {
        let d = f.dim();
        Self {
            jacobian: DenseJacobian::new(f),
            p,
            t,
            options,
            y: vec![T::ZERO; d],
            trial: vec![T::ZERO; d],
            slope: vec![T::ZERO; d],
            f: vec![0.0; d],
            delta: vec![0.0; d],
            next_delta: vec![0.0; d],
        }
    }

    /// What a correction of coordinate `i` with this value may be.
    fn tolerance(&self, i: usize, y: f64) -> f64 {
        let Tolerance { rtol, atol, .. } = self.options.tolerance;
        atol.of(i) + rtol.of(i).max(8.0 * T::EPSILON.f64()) * y.abs()
    }

    /// The largest component of a correction of `self.y`, in tolerances; NaN if there is one in it.
    fn size(&self, delta: &[f64]) -> f64 {
        let sizes = (0..delta.len()).map(|i| delta[i].abs() / self.tolerance(i, self.y[i].f64()));
        sizes.fold(0.0, |most: f64, size| if most.is_nan() || size <= most { most } else { size })
    }

    /// Sets `f` to the field at `y` or, if so, at the trial state; whether it is defined and finite there.
    fn eval(&mut self, row: usize, trial: bool) -> Result<bool, DiagnoseError> {
        let y = if trial { &self.trial } else { &self.y };
        match self.jacobian.f.eval(self.t, y, self.p, &mut self.slope) {
            Err(FieldError::Recoverable { .. }) => return Ok(false),
            Err(e) => return Err(DiagnoseError::Row { row, source: e.into() }),
            Ok(()) => {}
        }
        for (f, slope) in self.f.iter_mut().zip(&self.slope) {
            *f = slope.f64();
        }
        Ok(self.f.iter().all(|f| f.is_finite()))
    }

    /// The decomposed Jacobian at `y`, if the field has one there.
    fn decomposed(&mut self, row: usize) -> Result<Option<Svd>, DiagnoseError> {
        let (t, d) = (self.t, self.y.len());
        match self.jacobian.at(row, t, &self.y, self.p) {
            Ok(j) => svd(j, d, d).map(Some).map_err(|source| DiagnoseError::Matrix { row, t, source }),
            Err(e) => undefined(e),
        }
    }

    /// From `start` to a root, and in how many iterations, or why not.
    fn run(
        &mut self,
        row: usize,
        start: &[T],
    ) -> Result<Result<(Vec<T>, usize), NewtonFailure>, DiagnoseError> {
        self.y.copy_from_slice(start);
        if !self.eval(row, false)? {
            return Ok(Err(NewtonFailure::Undefined { iterations: 0 }));
        }
        let (mut damping, mut leaps) = (1.0_f64, 0);
        for iterations in 0..self.options.max_iterations {
            let Some(svd) = self.decomposed(row)? else {
                return Ok(Err(NewtonFailure::Undefined { iterations }));
            };
            let residual = largest(&self.f);
            let unsolved = solve(&svd, &self.f, T::EPSILON.f64(), &mut self.delta);
            let size = self.size(&self.delta);
            if size <= 1.0 {
                // The correction means nothing any more; does the rest of the field, which no correction reaches?
                let room = (0..self.y.len()).map(|i| self.tolerance(i, self.y[i].f64()).powi(2)).sum::<f64>();
                if unsolved > svd.s[0] * room.sqrt() {
                    return Ok(Err(NewtonFailure::Stalled { iterations, residual }));
                }
                for (y, delta) in self.y.iter_mut().zip(&self.delta) {
                    *y += T::c(*delta);
                }
                return Ok(Ok((self.y.clone(), iterations + 1)));
            }
            damping = (2.0 * damping).min(1.0);
            loop {
                for i in 0..self.y.len() {
                    self.trial[i] = T::c(self.y[i].f64() + damping * self.delta[i]);
                }
                if self.eval(row, true)? {
                    solve(&svd, &self.f, T::EPSILON.f64(), &mut self.next_delta);
                    let next = self.size(&self.next_delta);
                    // Near the root of a single precision field corrections are noise of a few tolerances.
                    if next <= (1.0 - 0.25 * damping) * size || next <= 1.0 {
                        break;
                    }
                }
                damping *= 0.5;
                if damping < LEAST_DAMPING {
                    damping = 1.0;
                    for i in 0..self.y.len() {
                        self.trial[i] = T::c(self.y[i].f64() + self.delta[i]);
                    }
                    if leaps == LEAPS || !self.eval(row, true)? {
                        return Ok(Err(NewtonFailure::Stalled { iterations, residual }));
                    }
                    leaps += 1;
                    break;
                }
            }
            std::mem::swap(&mut self.y, &mut self.trial);
        }
        let iterations = self.options.max_iterations;
        Ok(Err(NewtonFailure::TooManyIterations { iterations, residual: largest(&self.f) }))
    }

    /// What the fixed point is like that so many iterations came to.
    fn point(
        &mut self,
        row: usize,
        state: Vec<T>,
        iterations: usize,
    ) -> Result<Result<FixedPoint<T>, NewtonFailure>, DiagnoseError> {
        let (t, d) = (self.t, state.len());
        self.y.copy_from_slice(&state);
        if !self.eval(row, false)? {
            return Ok(Err(NewtonFailure::Undefined { iterations }));
        }
        let residual = largest(&self.f);
        let jacobian = match self.jacobian.at(row, t, &state, self.p) {
            Ok(j) => j,
            Err(e) => return undefined(e).map(|_: Option<()>| Err(NewtonFailure::Undefined { iterations })),
        };
        let eigenvalues =
            eigenvalues(jacobian, d).map_err(|source| DiagnoseError::Matrix { row, t, source })?;
        let kind = FixedPointKind::of(&eigenvalues, self.options.hyperbolic);
        Ok(Ok(FixedPoint { state, residual, eigenvalues, kind }))
    }
}

/// `None` for a Jacobian that is undefined or not finite at a state, the error for what is wrong with the field itself.
fn undefined<X>(error: DiagnoseError) -> Result<Option<X>, DiagnoseError> {
    match error {
        DiagnoseError::Row { source: SolveError::Field(FieldError::Recoverable { .. }), .. }
        | DiagnoseError::Matrix { source: LinalgError::NotFinite { .. }, .. } => Ok(None),
        error => Err(error),
    }
}

fn largest(f: &[f64]) -> f64 {
    f.iter().fold(0.0, |most, f| most.max(f.abs()))
}

/// Sets `delta = -A⁺ f` for `A`, `[d, d]`, decomposed; singular values below `d epsilon` of the largest count as zero. Returns the
/// norm of `f + A delta`, which no correction reaches.
fn solve(svd: &Svd, f: &[f64], epsilon: f64, delta: &mut [f64]) -> f64 {
    let d = f.len();
    let floor = d as f64 * epsilon * svd.s[0];
    delta.fill(0.0);
    let mut unsolved = 0.0;
    for (k, (&s, right)) in svd.s.iter().zip(svd.vt.chunks_exact(d)).enumerate() {
        let along: f64 = svd.u[k..].iter().step_by(d).zip(f).map(|(u, f)| u * f).sum();
        if s > floor {
            delta.iter_mut().zip(right).for_each(|(delta, v)| *delta -= along / s * v);
        } else {
            unsolved += along * along;
        }
    }
    unsolved.sqrt()
}
