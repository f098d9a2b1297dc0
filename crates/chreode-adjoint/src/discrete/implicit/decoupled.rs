//! The system of all stages with one Jacobian for all of them, in the eigenvectors of `W`: a real system and some complex ones of
//! `d` unknowns instead of one of `s d`. Source: [HW96] section IV.8.

use chreode_core::{LinearSolver, Real, SingularMatrix, Sparsity};
use chreode_linalg::{Complex, StructuredLu};
use chreode_solve::RadauTableau;

/// Factorisations for each of `n` trajectories.
#[derive(Debug)]
pub(super) struct Decoupled<T: Real> {
    table: RadauTableau,
    n: usize,
    d: usize,
    real: Vec<StructuredLu<T>>,
    /// `[pairs, n]`.
    complex: Vec<StructuredLu<Complex<T>>>,
    /// Where each entry of the Jacobian goes, and the diagonal.
    jac_at: Vec<usize>,
    diagonal: Vec<usize>,
    matrix: Vec<T>,
    complex_matrix: Vec<Complex<T>>,
    work: Vec<T>,
    rhs: Vec<Complex<T>>,
}

impl<T: Real> Decoupled<T> {
    /// None where the coupled system costs about as much: small and banded ones.
    pub(super) fn new(table: RadauTableau, pattern: Option<&Sparsity>, n: usize, d: usize) -> Option<Self> {
        let own = || {
            (0..d).flat_map(move |j| {
                pattern.into_iter().flat_map(move |p| p.column(j).iter().map(move |&i| (i, j)))
            })
        };
        let whole = pattern.and_then(|_| Sparsity::new(d, d, own().chain((0..d).map(|i| (i, i)))).ok());
        let lu = StructuredLu::of(whole.as_ref(), d);
        if d <= StructuredLu::<T>::DENSE_UP_TO || matches!(lu, StructuredLu::Band(_)) {
            return None;
        }
        let sparse = whole.as_ref().filter(|_| !lu.is_dense());
        let place = |i: usize, j: usize| match sparse {
            Some(p) => p.col_starts()[j] + p.column(j).partition_point(|&k| k < i),
            None => i * d + j,
        };
        let len = sparse.map_or(d * d, Sparsity::len);
        let s = table.c.len();
        Some(Self {
            table,
            n,
            d,
            jac_at: if pattern.is_some() {
                own().map(|(i, j)| place(i, j)).collect()
            } else {
                (0..d * d).collect()
            },
            diagonal: (0..d).map(|i| place(i, i)).collect(),
            complex: (0..n * table.pairs.len()).map(|_| lu.like(whole.as_ref())).collect(),
            real: vec![lu; n],
            matrix: vec![T::ZERO; len],
            complex_matrix: vec![Complex::default(); len],
            work: vec![T::ZERO; s * n * d],
            rhs: vec![Complex::default(); d],
        })
    }

    /// Factors for a step of length `h`, with the Jacobians `jac`, `[n, entries]`.
    pub(super) fn factor(&mut self, h: f64, jac: &[T]) -> Result<(), SingularMatrix> {
        for (trajectory, jac) in jac.chunks_exact(self.jac_at.len()).enumerate() {
            self.matrix.fill(T::ZERO);
            for (&at, &jac) in self.jac_at.iter().zip(jac) {
                self.matrix[at] = -jac;
            }
            for (q, &(alpha, beta)) in self.table.pairs.iter().enumerate() {
                for (z, &x) in self.complex_matrix.iter_mut().zip(&self.matrix) {
                    *z = Complex::new(x, T::ZERO);
                }
                for &at in &self.diagonal {
                    let x = self.matrix[at];
                    self.complex_matrix[at] = Complex::new(x + T::c(alpha / h), T::c(beta / h));
                }
                self.complex[q * self.n + trajectory].factor(&self.complex_matrix)?;
            }
            for &at in &self.diagonal {
                self.matrix[at] += T::c(self.table.gamma / h);
            }
            self.real[trajectory].factor(&self.matrix)?;
        }
        Ok(())
    }

    /// Solves in place, `[s, n, d]`: `T (Λ/h - J)⁻¹ T⁻¹ b`, or with the transpose `T⁻ᵀ (Λᵀ/h - Jᵀ)⁻¹ Tᵀ b`.
    pub(super) fn solve(&mut self, b: &mut [T], transposed: bool) {
        let (n, d) = (self.n, self.d);
        let nd = n * d;
        let RadauTableau { t, t_inv, .. } = self.table;
        transform(if transposed { t } else { t_inv }, transposed, b, &mut self.work, nd);
        let (first, pairs) = self.work.split_at_mut(nd);
        for (lu, b) in self.real.iter_mut().zip(first.chunks_exact_mut(d)) {
            if transposed { lu.solve_transpose(b) } else { lu.solve(b) }
        }
        for (pair, lu) in pairs.chunks_exact_mut(2 * nd).zip(self.complex.chunks_exact_mut(n)) {
            let (re, im) = pair.split_at_mut(nd);
            for ((re, im), lu) in re.chunks_exact_mut(d).zip(im.chunks_exact_mut(d)).zip(lu) {
                // The transpose of Λ has the conjugate eigenvalues.
                let sign = if transposed { -T::ONE } else { T::ONE };
                for ((z, &re), &im) in self.rhs.iter_mut().zip(&*re).zip(&*im) {
                    *z = Complex::new(re, sign * im);
                }
                if transposed {
                    lu.solve_transpose(&mut self.rhs);
                } else {
                    lu.solve(&mut self.rhs);
                }
                for ((z, re), im) in self.rhs.iter().zip(re).zip(im) {
                    (*re, *im) = (z.re, sign * z.im);
                }
            }
        }
        transform(if transposed { t_inv } else { t }, transposed, &self.work, b, nd);
    }
}

/// `out = m v`, or `mᵀ v`, where `m`, `[s, s]`, acts on the stages.
fn transform<T: Real>(m: &[f64], transposed: bool, v: &[T], out: &mut [T], nd: usize) {
    let s = m.len().isqrt();
    out.fill(T::ZERO);
    for (i, out) in out.chunks_exact_mut(nd).enumerate() {
        for (j, v) in v.chunks_exact(nd).enumerate() {
            let weight = T::c(if transposed { m[j * s + i] } else { m[i * s + j] });
            out.iter_mut().zip(v).for_each(|(out, &v)| *out += weight * v);
        }
    }
}
