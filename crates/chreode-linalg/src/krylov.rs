//! GMRES: linear systems of which only products are known. Source: [SS86], [Saa03] section 9.3.2.

use chreode_core::Real;

/// Sets its second argument to the matrix times the first.
type Apply<'a, T, E> = dyn FnMut(&[T], &mut [T]) -> Result<(), E> + 'a;

/// What a run of [`Gmres`] came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GmresOutcome {
    /// Products with the matrix.
    pub iterations: usize,
    /// Norm of what is left, `|b - A x|`, over that of `b`.
    pub residual: f64,
    /// Whether that is as small as it was to be.
    pub converged: bool,
}

/// Restarted GMRES with preconditioning from the right, and its work space: no call allocates.
///
/// ```
/// use chreode_linalg::Gmres;
/// // A rotation: no method of descent gets anywhere, GMRES takes two products.
/// let mut gmres = Gmres::new(2, 5);
/// let mut x = [0.0, 0.0];
/// let outcome = gmres.solve(
///     &mut |v: &[f64], out: &mut [f64]| { (out[0], out[1]) = (-v[1], v[0]); Ok::<(), ()>(()) },
///     &mut |_v| {},
///     &[1.0, 2.0],
///     &mut x,
///     1e-12,
///     100,
/// )?;
/// assert!(outcome.converged && (x[0] - 2.0).abs() < 1e-12 && (x[1] + 1.0).abs() < 1e-12);
/// # Ok::<(), ()>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gmres<T> {
    n: usize,
    restart: usize,
    /// Orthonormal vectors, `[restart + 1, n]`.
    basis: Vec<T>,
    /// Column `j` of the triangular factor at `j (restart + 1)`.
    triangle: Vec<f64>,
    /// Rotations that made it triangular.
    rotations: Vec<(f64, f64)>,
    /// The right-hand side of the small least-squares problem.
    rhs: Vec<f64>,
    w: Vec<T>,
}

impl<T: Real> Gmres<T> {
    /// Work space for systems of size `n`; begins anew after `restart` products (at least one).
    pub fn new(n: usize, restart: usize) -> Self {
        let m = restart.max(1);
        Self {
            n,
            restart: m,
            basis: vec![T::ZERO; (m + 1) * n],
            triangle: vec![0.0; m * (m + 1)],
            rotations: vec![(1.0, 0.0); m],
            rhs: vec![0.0; m + 1],
            w: vec![T::ZERO; n],
        }
    }

    /// Solves `A x = b` from the guess `x` until `|b - A x| <= rtol |b|`, with at most `most` products.
    ///
    /// `apply(v, out)` sets `out = A v`; `precondition(v)` replaces `v` by `P⁻¹ v`, where `P` is near `A` and easy to solve
    /// with (do nothing for none). Without convergence `x` is the best that was found: not an error, since the caller may
    /// be content.
    ///
    /// # Errors
    /// Those of `apply`; `x` is then what the last restart knew.
    ///
    /// # Panics
    /// If `b` or `x` has not `n` elements.
    pub fn solve<E>(
        &mut self,
        apply: &mut Apply<'_, T, E>,
        precondition: &mut dyn FnMut(&mut [T]),
        b: &[T],
        x: &mut [T],
        rtol: f64,
        most: usize,
    ) -> Result<GmresOutcome, E> {
        let (n, m) = (self.n, self.restart);
        assert!(b.len() == n && x.len() == n, "Gmres::solve: {n} elements of b and x");
        let size = norm(b);
        if size == 0.0 {
            x.fill(T::ZERO);
            return Ok(GmresOutcome { iterations: 0, residual: 0.0, converged: true });
        }
        let mut iterations = 0;
        let mut zero = x.iter().all(|&x| x == T::ZERO);
        loop {
            let first = &mut self.basis[..n];
            if zero {
                first.copy_from_slice(b);
            } else {
                apply(x, first)?;
                iterations += 1;
                first.iter_mut().zip(b).for_each(|(r, &b)| *r = b - *r);
            }
            zero = false;
            let left = norm(first);
            let residual = left / size;
            if left <= rtol * size || iterations >= most || !left.is_finite() {
                return Ok(GmresOutcome { iterations, residual, converged: residual <= rtol });
            }
            let inverse = T::c(1.0 / left);
            for r in &mut *first {
                *r *= inverse;
            }
            self.rhs.fill(0.0);
            self.rhs[0] = left;
            let mut used = 0;
            while used < m && iterations < most {
                let exhausted = self.extend(used, apply, precondition)?;
                used += 1;
                iterations += 1;
                if exhausted || self.rhs[used].abs() <= rtol * size {
                    break;
                }
            }
            let before = residual;
            self.combine(used, precondition, x);
            // Without restarts the small problem knows the residual; what rounding adds shows in the next pass.
            let residual = self.rhs[used].abs() / size;
            if residual <= rtol || iterations >= most || residual >= before || residual.is_nan() {
                return Ok(GmresOutcome { iterations, residual, converged: residual <= rtol });
            }
        }
    }

    /// One more vector of the basis, orthogonal to the others; true if there is none.
    fn extend<E>(
        &mut self,
        j: usize,
        apply: &mut Apply<'_, T, E>,
        precondition: &mut dyn FnMut(&mut [T]),
    ) -> Result<bool, E> {
        let (n, m) = (self.n, self.restart);
        let (old, rest) = self.basis.split_at_mut((j + 1) * n);
        let new = &mut rest[..n];
        self.w.copy_from_slice(&old[j * n..]);
        precondition(&mut self.w);
        apply(&self.w, new)?;
        let column = &mut self.triangle[j * (m + 1)..(j + 1) * (m + 1)];
        column.fill(0.0);
        let before = norm(new);
        // Twice is enough: the second pass takes what rounding left of the first.
        for _ in 0..2 {
            for (h, v) in column.iter_mut().zip(old.chunks_exact(n)) {
                let along: f64 = v.iter().zip(&*new).map(|(&v, &w)| v.f64() * w.f64()).sum();
                *h += along;
                let along = T::c(along);
                new.iter_mut().zip(v).for_each(|(w, &v)| *w -= along * v);
            }
        }
        let size = norm(new);
        let exhausted = size <= 10.0 * T::EPSILON.f64() * before || size.is_nan();
        let size = if exhausted { 0.0 } else { size };
        column[j + 1] = size;
        if !exhausted {
            let inverse = T::c(1.0 / size);
            for w in &mut *new {
                *w *= inverse;
            }
        }
        for (i, &(c, s)) in self.rotations[..j].iter().enumerate() {
            (column[i], column[i + 1]) =
                (c * column[i] + s * column[i + 1], c * column[i + 1] - s * column[i]);
        }
        let length = column[j].hypot(column[j + 1]);
        let (c, s) = if length == 0.0 { (1.0, 0.0) } else { (column[j] / length, column[j + 1] / length) };
        self.rotations[j] = (c, s);
        (column[j], column[j + 1]) = (length, 0.0);
        (self.rhs[j], self.rhs[j + 1]) = (c * self.rhs[j], -s * self.rhs[j]);
        Ok(exhausted)
    }

    /// Adds the best combination of the basis to `x`.
    fn combine(&mut self, used: usize, precondition: &mut dyn FnMut(&mut [T]), x: &mut [T]) {
        let (n, m) = (self.n, self.restart);
        for j in (0..used).rev() {
            let pivot = self.triangle[j * (m + 1) + j];
            // A singular matrix: this direction says nothing, and leaves its part of the residual.
            if pivot == 0.0 {
                self.rhs[used] = self.rhs[used].hypot(self.rhs[j]);
                self.rhs[j] = 0.0;
            } else {
                self.rhs[j] /= pivot;
            }
            for i in 0..j {
                self.rhs[i] -= self.triangle[j * (m + 1) + i] * self.rhs[j];
            }
        }
        self.w.fill(T::ZERO);
        for (v, &by) in self.basis.chunks_exact(n.max(1)).zip(&self.rhs[..used]) {
            let by = T::c(by);
            self.w.iter_mut().zip(v).for_each(|(w, &v)| *w += by * v);
        }
        precondition(&mut self.w);
        x.iter_mut().zip(&self.w).for_each(|(x, &w)| *x += w);
    }
}

fn norm<T: Real>(v: &[T]) -> f64 {
    v.iter().map(|&x| x.f64() * x.f64()).sum::<f64>().sqrt()
}
