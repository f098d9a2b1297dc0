//! Newton systems solved by GMRES, from products with the Jacobian: no matrix is formed. Sources: [BH89], [HBG05].

use chreode_core::{FieldError, Real};
use chreode_linalg::{Gmres, GmresOutcome};

use super::linearisation::Linearisation;
use super::weights::Weights;
use crate::error::SolveError;
use crate::rhs::Rhs;
use crate::stats::Work;

/// A system counts as solved only if its residual has fallen to this, however small it was: what stiff directions and algebraic equations
/// need does not show in its size.
const LEAST_REDUCTION: f64 = 0.1;
/// Newton's iteration goes on with a system that was not solved if its residual has fallen to this: its rate tells the rest.
pub(crate) const ENOUGH_TO_GO_ON: f64 = 0.3;

/// How an implicit method solves its systems without matrices.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KrylovOptions {
    /// Most products with the Jacobian for one system, at least one, each of which keeps a vector of the state's length. A system that
    /// needs more ends its Newton iteration: the step is tried again smaller.
    pub products: usize,
    /// What may be left of a system, relative to what Newton's iteration may leave: from 1e-4 to 1.
    pub tolerance: f64,
}

impl KrylovOptions {
    /// What is wrong with them.
    pub(crate) fn check(&self) -> Result<(), SolveError> {
        let bad = |what, must, got| Err(SolveError::InvalidOption { what, must, got });
        if self.products == 0 {
            return bad("most products of GMRES", "at least 1", 0.0);
        }
        if !(1e-4..=1.0).contains(&self.tolerance) {
            return bad("tolerance of GMRES", "from 1e-4 to 1", self.tolerance);
        }
        Ok(())
    }
}

impl Default for KrylovOptions {
    /// 40 products, and a twentieth of Newton's tolerance.
    fn default() -> Self {
        Self { products: 40, tolerance: 0.05 }
    }
}

/// A matrix `P` near `s M - J` with which systems are easy to solve, where `M` is the mass matrix (the identity if there is none) and
/// `J` the Jacobian of the field: a part of `J` is often enough, such as the reactions of each cell, or the diffusion alone.
pub trait Preconditioner<T: Real>: Send {
    /// Gets ready for `shift` at `(t, y)`, `[n, d]`: called when the shift has changed, and with `fresh` when what it knows of `J` must be
    /// computed anew, the first time and where Newton's iteration has failed. Without `fresh`, what was computed before may serve.
    ///
    /// # Errors
    /// [`FieldError::Recoverable`] if there is no such matrix (a singular one): the step is tried again smaller.
    /// [`FieldError::Fatal`] ends the run.
    fn setup(&mut self, t: f64, y: &[T], p: &[T], shift: f64, fresh: bool) -> Result<(), FieldError>;

    /// Replaces `v`, `[n, d]`, by `P⁻¹ v`.
    fn solve(&mut self, v: &mut [T]);
}

/// GMRES with its work space, and the preconditioner.
pub(crate) struct Krylov<T: Real> {
    gmres: Gmres<T>,
    options: KrylovOptions,
    preconditioner: Option<Box<dyn Preconditioner<T>>>,
    /// The field where the products are taken.
    f0: Vec<T>,
    x: Vec<T>,
    v: Vec<T>,
    /// Scratch: a shifted state, then the mass matrix times `v`.
    tmp: Vec<T>,
    /// What the equations are multiplied by.
    scale: Vec<T>,
    /// The first coordinate of which the preconditioner made something that is not finite, of a vector that is.
    spoilt: Option<usize>,
}

impl<T: Real> std::fmt::Debug for Krylov<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Krylov").field("options", &self.options).finish_non_exhaustive()
    }
}

impl<T: Real> Krylov<T> {
    /// For states of length `nd`: all trajectories make one system.
    pub(crate) fn new(
        nd: usize,
        options: KrylovOptions,
        preconditioner: Option<Box<dyn Preconditioner<T>>>,
    ) -> Self {
        let zeros = || vec![T::ZERO; nd];
        Self {
            gmres: Gmres::new(nd, options.products),
            options,
            preconditioner,
            f0: zeros(),
            x: zeros(),
            v: zeros(),
            tmp: zeros(),
            scale: zeros(),
            spoilt: None,
        }
    }

    /// Whether something is to be prepared.
    pub(crate) fn has_preconditioner(&self) -> bool {
        self.preconditioner.is_some()
    }

    /// Gets the preconditioner ready.
    ///
    /// # Errors
    /// Those of [`Preconditioner::setup`].
    pub(crate) fn prepare(
        &mut self,
        t: f64,
        y: &[T],
        p: &[T],
        shift: f64,
        fresh: bool,
        work: &mut Work,
    ) -> Result<(), FieldError> {
        let Some(preconditioner) = &mut self.preconditioner else { return Ok(()) };
        work.factorisations += 1;
        work.jacobians += u64::from(fresh);
        preconditioner.setup(t, y, p, shift, fresh)
    }

    /// Number of the coordinate, in all trajectories, that the preconditioner spoilt in the last [`solve`](Self::solve): its result is not
    /// finite.
    pub(crate) fn spoilt(&self) -> Option<usize> {
        self.spoilt
    }

    /// Says that the field is `f0` at the state of the next [`solve`](Self::solve).
    pub(crate) fn field_is(&mut self, f0: &[T]) {
        self.f0.copy_from_slice(f0);
    }

    /// Solves `(shift M - J) x = b` in place, for the Jacobian at `(t, y)`, until the residual has the weighted norm `enough` times the
    /// option's tolerance. Each equation is divided by `shift` and its largest mass before, so that its residual has the units of the
    /// state; algebraic ones are taken as they are. The norm that GMRES sees is the weighted one over all trajectories.
    ///
    /// Products are the field's if it has them, else differences toward `v` of `sqrt(ε)` of the state's size.
    ///
    /// # Errors
    /// The field's.
    pub(crate) fn solve(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        shift: f64,
        masses: &Linearisation<T>,
        weights: &Weights<T>,
        enough: f64,
        b: &mut [T],
        work: &mut Work,
    ) -> Result<GmresOutcome, FieldError> {
        let Self { gmres, options, preconditioner, f0, x, v, tmp, scale, spoilt } = self;
        *spoilt = None;
        let w = weights.inverse();
        let (d, s) = (f.dim().max(1), T::c(shift));
        for (i, (scale, &w)) in scale.iter_mut().zip(w).enumerate() {
            let mass = masses.row_size(i % d);
            *scale = if mass == T::ZERO { w } else { w / (s * mass) };
        }
        let mut square = 0.0;
        for (b, &scale) in b.iter_mut().zip(&*scale) {
            *b *= scale;
            square += b.f64() * b.f64();
        }
        // Root mean square over one trajectory, if all the rest lies in one.
        let size = (square / d as f64).sqrt();
        let rtol = (options.tolerance * enough / size).min(LEAST_REDUCTION);
        // In units of the weights: the size of the state is one over the relative tolerance.
        let increment =
            T::EPSILON.f64().sqrt() / if weights.least_rtol() > 0.0 { weights.least_rtol() } else { 1.0 };
        x.fill(T::ZERO);
        let mut differences = 0;
        let mut apply = |scaled: &[T], out: &mut [T]| -> Result<(), FieldError> {
            for ((v, &x), &w) in v.iter_mut().zip(scaled).zip(w) {
                *v = x / w;
            }
            if let Rhs::Jvp(f) = f {
                f.jvp(t, y, p, v, out)?;
            } else {
                let mut sigma = increment / weights.norm(v).max(1e-300);
                differences += 1;
                for ((shifted, &y), &v) in tmp.iter_mut().zip(y).zip(&*v) {
                    *shifted = y + T::c(sigma) * v;
                }
                if let Err(error) = f.eval(t, tmp, p, out) {
                    let FieldError::Recoverable { .. } = error else { return Err(error) };
                    // The state lies close to a bound of the field's domain: to the other side.
                    sigma = -sigma;
                    differences += 1;
                    for ((shifted, &y), &v) in tmp.iter_mut().zip(y).zip(&*v) {
                        *shifted = y + T::c(sigma) * v;
                    }
                    f.eval(t, tmp, p, out)?;
                }
                let inverse = T::c(1.0 / sigma);
                for (out, &f0) in out.iter_mut().zip(&*f0) {
                    *out = (*out - f0) * inverse;
                }
            }
            if masses.has_mass() {
                masses.apply_mass(v, tmp);
                v.copy_from_slice(tmp);
            }
            for ((out, &v), &scale) in out.iter_mut().zip(&*v).zip(&*scale) {
                *out = scale * (s * v - *out);
            }
            Ok(())
        };
        let mut precondition = |scaled: &mut [T]| {
            let Some(preconditioner) = preconditioner else { return };
            for (v, &scale) in scaled.iter_mut().zip(&*scale) {
                *v /= scale;
            }
            let was_finite = scaled.iter().all(|v| v.is_finite());
            preconditioner.solve(scaled);
            if was_finite && spoilt.is_none() {
                *spoilt = scaled.iter().position(|v| !v.is_finite());
            }
            for (v, &w) in scaled.iter_mut().zip(w) {
                *v *= w;
            }
        };
        let outcome = gmres.solve(&mut apply, &mut precondition, b, x, rtol, options.products);
        work.evals += differences;
        let outcome = outcome?;
        work.linear_iterations += outcome.iterations as u64;
        for ((b, &x), &w) in b.iter_mut().zip(&*x).zip(w) {
            *b = x / w;
        }
        Ok(outcome)
    }
}
