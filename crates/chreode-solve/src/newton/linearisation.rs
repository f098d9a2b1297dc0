//! The Jacobian of a field along a run, and the linear systems made of it.

use chreode_core::{FieldError, LinearSolver, Real, SingularMatrix, Tolerance};
use chreode_linalg::{Complex, Lu};

use super::differences::dense_differences;
use crate::rhs::Rhs;
use crate::stats::Work;

/// What the Jacobian that a method holds is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JacobianAge {
    /// It must be computed anew.
    Expired,
    /// It was computed at an earlier state and still serves.
    Old,
    /// It was computed for the present step.
    Fresh,
}

/// The Jacobian `J` of `n` trajectories at one time, and factorisations of `s M - J` for real and complex shifts `s`.
///
/// `M` is the mass matrix, the identity if there is none. Every trajectory has a matrix of its own.
#[derive(Debug, Clone)]
pub(crate) struct Linearisation<T: Real> {
    n: usize,
    d: usize,
    /// `[n, d, d]`.
    jac: Vec<T>,
    /// `[d, d]`, row-major; empty for the identity.
    mass: Vec<T>,
    real: Vec<Lu<T>>,
    complex: Vec<Lu<Complex<T>>>,
    scale: Vec<T>,
    shifted: Vec<T>,
    f1: Vec<T>,
}

impl<T: Real> Linearisation<T> {
    /// Work space for `n` trajectories of `d` coordinates; `complex_shifts` complex factorisations are held at a time.
    pub(crate) fn new(n: usize, d: usize, complex_shifts: usize) -> Self {
        let c = if complex_shifts > 0 { d } else { 0 };
        Self {
            n,
            d,
            jac: vec![T::ZERO; n * d * d],
            mass: Vec::new(),
            real: vec![Lu::new(d); n],
            complex: vec![Lu::new(c); n * complex_shifts],
            scale: vec![T::ZERO; n * d],
            shifted: vec![T::ZERO; n * d],
            f1: vec![T::ZERO; n * d],
        }
    }

    /// Uses `mass`, `[d, d]` row-major, instead of the identity.
    pub(crate) fn set_mass(&mut self, mass: &[T]) {
        self.mass = mass.to_vec();
    }

    /// Whether there is a mass matrix.
    pub(crate) fn has_mass(&self) -> bool {
        !self.mass.is_empty()
    }

    /// `out = M v` for every trajectory, `[n, d]`; a copy without a mass matrix.
    pub(crate) fn apply_mass(&self, v: &[T], out: &mut [T]) {
        if self.mass.is_empty() {
            out.copy_from_slice(v);
            return;
        }
        for (v, out) in v.chunks_exact(self.d).zip(out.chunks_exact_mut(self.d)) {
            for (row, out) in self.mass.chunks_exact(self.d).zip(out) {
                *out = row.iter().zip(v).map(|(&m, &v)| m * v).sum();
            }
        }
    }

    /// Computes the Jacobian at `(t, y)`, where the field is `f0`.
    ///
    /// # Errors
    /// The field's.
    pub(crate) fn refresh(
        &mut self,
        f: &mut Rhs<'_, T>,
        t: f64,
        y: &[T],
        p: &[T],
        f0: &[T],
        tol: Tolerance<'_>,
        work: &mut Work,
    ) -> Result<(), FieldError> {
        work.jacobians += 1;
        let d = self.d;
        if let Rhs::Jacobian(f) = f {
            for (y, jac) in y.chunks_exact(d).zip(self.jac.chunks_exact_mut(d * d)) {
                f.jacobian(t, y, p, jac)?;
            }
            return Ok(());
        }
        // A coordinate that is small beside the others must still change sums with them: differences of such sums keep four digits.
        let beside = T::EPSILON.sqrt().sqrt();
        for (y, scale) in y.chunks_exact(d).zip(self.scale.chunks_exact_mut(d)) {
            let largest = beside * y.iter().fold(T::ZERO, |most, y| most.max(y.abs()));
            for (j, scale) in scale.iter_mut().enumerate() {
                let (rtol, atol) = (tol.rtol.of(j), tol.atol.of(j));
                // Where an error of the tolerance's size would be: atol / rtol is the size at which the two meet.
                *scale = largest.max(T::c(if rtol > 0.0 { (atol / rtol).clamp(1e-10, 1.0) } else { 1.0 }));
            }
        }
        work.evals +=
            dense_differences(f, t, y, p, f0, &self.scale, &mut self.shifted, &mut self.f1, &mut self.jac)?;
        Ok(())
    }

    /// Factors `shift M - J`.
    ///
    /// # Errors
    /// [`SingularMatrix`].
    pub(crate) fn factor(&mut self, shift: f64, work: &mut Work) -> Result<(), SingularMatrix> {
        work.factorisations += 1;
        let (d, shift, mass) = (self.d, T::c(shift), &self.mass[..]);
        for (jac, lu) in self.jac.chunks_exact(d * d).zip(&mut self.real) {
            if mass.is_empty() {
                lu.factor_from(|k, diagonal| if diagonal { shift - jac[k] } else { -jac[k] })?;
            } else {
                lu.factor_from(|k, _| shift * mass[k] - jac[k])?;
            }
        }
        Ok(())
    }

    /// Solves `(shift M - J) x = b` in place, `[n, d]`, for the last factored shift.
    pub(crate) fn solve(&mut self, b: &mut [T]) {
        for (b, lu) in b.chunks_exact_mut(self.d).zip(&mut self.real) {
            lu.solve(b);
        }
    }

    /// Factors `(re + i im) M - J` as complex factorisation number `k`.
    ///
    /// # Errors
    /// [`SingularMatrix`].
    pub(crate) fn factor_complex(
        &mut self,
        k: usize,
        re: f64,
        im: f64,
        work: &mut Work,
    ) -> Result<(), SingularMatrix> {
        work.factorisations += 1;
        let (d, mass, (re, im)) = (self.d, &self.mass[..], (T::c(re), T::c(im)));
        let lus = &mut self.complex[k * self.n..(k + 1) * self.n];
        for (jac, lu) in self.jac.chunks_exact(d * d).zip(lus) {
            if mass.is_empty() {
                lu.factor_from(|k, diagonal| {
                    let (a, b) = if diagonal { (re, im) } else { (T::ZERO, T::ZERO) };
                    Complex::new(a - jac[k], b)
                })?;
            } else {
                lu.factor_from(|k, _| Complex::new(re * mass[k] - jac[k], im * mass[k]))?;
            }
        }
        Ok(())
    }

    /// Solves `((re + i im) M - J) x = b_re + i b_im` in place, `[n, d]` each, by complex factorisation number `k`.
    pub(crate) fn solve_complex(&mut self, k: usize, re: &mut [T], im: &mut [T]) {
        let d = self.d;
        let lus = &mut self.complex[k * self.n..(k + 1) * self.n];
        for ((re, im), lu) in re.chunks_exact_mut(d).zip(im.chunks_exact_mut(d)).zip(lus) {
            lu.solve_parts(re, im);
        }
    }
}
