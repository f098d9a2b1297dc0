//! LU with partial pivoting: factor often, solve often, also with the transpose.

use chreode_core::{LinearSolver, Real, SingularMatrix};
use faer::dyn_stack::MemBuffer;

use crate::error::{LinalgError, check};
use crate::scalar::{Complex, Scalar};

/// From this size on faer factors real matrices.
const FAER_FROM: usize = 48;

/// `P A = L U` of a dense square matrix, real or complex, with its work space.
pub struct Lu<S> {
    n: usize,
    /// L below the diagonal (its own diagonal is 1), U on and above; row-major.
    factors: Vec<S>,
    /// One over the diagonal of U.
    inverse: Vec<S>,
    /// Row i of `P A` is this row of A.
    rows: Vec<usize>,
    scratch: Vec<S>,
    /// A complex right-hand side whose parts came apart.
    parts: Vec<S>,
    /// Work space of faer, for large matrices.
    memory: Option<(MemBuffer, Vec<usize>)>,
}

impl<S: Scalar> Clone for Lu<S> {
    fn clone(&self) -> Self {
        Self {
            n: self.n,
            factors: self.factors.clone(),
            inverse: self.inverse.clone(),
            rows: self.rows.clone(),
            scratch: self.scratch.clone(),
            parts: self.parts.clone(),
            memory: library_memory::<S>(self.n),
        }
    }
}

impl<S: Scalar> std::fmt::Debug for Lu<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lu").field("n", &self.n).field("factors", &self.factors).finish_non_exhaustive()
    }
}

/// Work space of faer if it is to factor matrices of this type and size.
fn library_memory<S: Scalar>(n: usize) -> Option<(MemBuffer, Vec<usize>)> {
    if n < FAER_FROM {
        return None;
    }
    S::library_lu_scratch(n).map(|req| (super::stack(req), vec![0; n]))
}

/// Calls a method for a size that the compiler knows, where there is one; else `$general`.
macro_rules! by_size {
    ($n:expr, $lu:ident . $small:ident ( $($arg:expr),* ), $general:expr) => {
        match $n {
            1 => $lu.$small::<1>($($arg),*),
            2 => $lu.$small::<2>($($arg),*),
            3 => $lu.$small::<3>($($arg),*),
            4 => $lu.$small::<4>($($arg),*),
            5 => $lu.$small::<5>($($arg),*),
            6 => $lu.$small::<6>($($arg),*),
            7 => $lu.$small::<7>($($arg),*),
            8 => $lu.$small::<8>($($arg),*),
            _ => $general,
        }
    };
}

impl<S: Scalar> Lu<S> {
    /// Work space for matrices of size `n`; as if it had factored the identity.
    pub fn new(n: usize) -> Self {
        let mut factors = vec![S::ZERO; n * n];
        factors.iter_mut().step_by(n + 1).for_each(|x| *x = S::ONE);
        Self {
            n,
            factors,
            inverse: vec![S::ONE; n],
            rows: (0..n).collect(),
            scratch: vec![S::ZERO; n],
            parts: vec![S::ZERO; n],
            memory: library_memory::<S>(n),
        }
    }

    /// Eliminates below the diagonal, row by row.
    fn eliminate(&mut self) {
        let (n, a) = (self.n, &mut self.factors[..]);
        for k in 0..n {
            let mut pivot = k;
            let mut most = a[k * n + k].magnitude();
            for i in k + 1..n {
                let size = a[i * n + k].magnitude();
                if size > most {
                    (pivot, most) = (i, size);
                }
            }
            if pivot != k {
                let (above, below) = a.split_at_mut(pivot * n);
                above[k * n..(k + 1) * n].swap_with_slice(&mut below[..n]);
                self.rows.swap(k, pivot);
            }
            let (above, below) = a.split_at_mut((k + 1) * n);
            let top = &above[k * n..];
            let inverse = S::ONE / top[k];
            self.inverse[k] = inverse;
            for row in below.chunks_exact_mut(n) {
                let l = row[k] * inverse;
                row[k] = l;
                if l != S::ZERO {
                    subtract(l, &top[k + 1..], &mut row[k + 1..]);
                }
            }
        }
    }

    /// The same for a size that the compiler knows, from the entries of the matrix.
    #[inline(never)] // or what each size needs would be prepared for all
    fn eliminate_small<const N: usize>(&mut self, entry: impl Fn(usize, bool) -> S) {
        let (out, _) = self.factors.as_chunks_mut::<N>();
        let (Ok(out), Ok(inverses), Ok(rows)) = (
            <&mut [[S; N]; N]>::try_from(out),
            <&mut [S; N]>::try_from(&mut self.inverse[..]),
            <&mut [usize; N]>::try_from(&mut self.rows[..]),
        ) else {
            return;
        };
        let mut a =
            std::array::from_fn::<_, N, _>(|i| std::array::from_fn::<_, N, _>(|j| entry(i * N + j, i == j)));
        let mut order = std::array::from_fn::<_, N, _>(|i| i);
        for k in 0..N {
            let mut pivot = k;
            let mut most = a[k][k].magnitude();
            for i in k + 1..N {
                let size = a[i][k].magnitude();
                if size > most {
                    (pivot, most) = (i, size);
                }
            }
            if pivot != k {
                a.swap(k, pivot);
                order.swap(k, pivot);
            }
            let inverse = S::ONE / a[k][k];
            inverses[k] = inverse;
            for i in k + 1..N {
                let l = a[i][k] * inverse;
                a[i][k] = l;
                for j in k + 1..N {
                    let top = a[k][j];
                    a[i][j] -= l * top;
                }
            }
        }
        (*out, *rows) = (a, order);
    }

    /// Solves for a size that the compiler knows.
    #[inline(never)]
    fn solve_small<const N: usize>(&self, b: &mut [S]) {
        if let Ok(b) = <&mut [S; N]>::try_from(b) {
            *b = self.solved(b);
        }
    }

    #[inline(always)]
    fn solved<const N: usize>(&self, b: &[S; N]) -> [S; N] {
        let (lu, _) = self.factors.as_chunks::<N>();
        let (Ok(lu), Ok(inverse), Ok(rows)) = (
            <&[[S; N]; N]>::try_from(lu),
            <&[S; N]>::try_from(&self.inverse[..]),
            <&[usize; N]>::try_from(&self.rows[..]),
        ) else {
            return *b;
        };
        let mut x = rows.map(|row| b[row]);
        for i in 1..N {
            for j in 0..i {
                let known = x[j];
                x[i] -= lu[i][j] * known;
            }
        }
        for i in (0..N).rev() {
            for j in i + 1..N {
                let known = x[j];
                x[i] -= lu[i][j] * known;
            }
            x[i] *= inverse[i];
        }
        x
    }

    /// Factors the matrix with these entries, as [`factor`](LinearSolver::factor), for matrices that need not be stored: `entry` gets
    /// the position in row-major order and whether it lies on the diagonal.
    ///
    /// # Errors
    /// [`SingularMatrix`].
    #[inline]
    pub fn factor_from(&mut self, entry: impl Fn(usize, bool) -> S) -> Result<(), SingularMatrix> {
        let n = self.n;
        by_size!(n, self.eliminate_small(entry), self.factor_any(entry));
        for (i, diagonal) in self.factors.iter().step_by(n + 1).enumerate() {
            let size = diagonal.magnitude();
            if size == <S::Part as Real>::ZERO || !size.is_finite() {
                return Err(SingularMatrix { pivot: i, n });
            }
        }
        Ok(())
    }

    fn factor_any(&mut self, entry: impl Fn(usize, bool) -> S) {
        let n = self.n;
        for (i, (row, order)) in self.factors.chunks_exact_mut(n.max(1)).zip(&mut self.rows).enumerate() {
            *order = i;
            for (j, x) in row.iter_mut().enumerate() {
                *x = entry(i * n + j, i == j);
            }
        }
        let Some((memory, back)) = &mut self.memory else {
            return self.eliminate();
        };
        S::library_lu(&mut self.factors, &mut self.rows, back, memory);
        for (inverse, &diagonal) in self.inverse.iter_mut().zip(self.factors.iter().step_by(n + 1)) {
            *inverse = S::ONE / diagonal;
        }
    }

    fn solve_any(&mut self, b: &mut [S]) {
        let (n, lu, x) = (self.n, &self.factors[..], &mut self.scratch[..]);
        for i in 0..n {
            x[i] = b[self.rows[i]] - dot(&lu[i * n..i * n + i], &x[..i]);
        }
        for i in (0..n).rev() {
            let sum = dot(&lu[i * n + i + 1..(i + 1) * n], &x[i + 1..]);
            x[i] = (x[i] - sum) * self.inverse[i];
        }
        b.copy_from_slice(x);
    }
}

impl<T: Real> Lu<Complex<T>> {
    /// Solves `A x = re + i im` in place, with both parts apart.
    ///
    /// # Panics
    /// If a part has not `n` elements.
    #[inline]
    pub fn solve_parts(&mut self, re: &mut [T], im: &mut [T]) {
        assert!(re.len() == self.n && im.len() == self.n, "Lu::solve_parts: right-hand side");
        by_size!(self.n, self.solve_parts_small(re, im), self.solve_parts_any(re, im));
    }

    #[inline(never)]
    fn solve_parts_small<const N: usize>(&self, re: &mut [T], im: &mut [T]) {
        let (Ok(re), Ok(im)) = (<&mut [T; N]>::try_from(re), <&mut [T; N]>::try_from(im)) else { return };
        let x = self.solved::<N>(&std::array::from_fn(|i| Complex::new(re[i], im[i])));
        for i in 0..N {
            (re[i], im[i]) = (x[i].re, x[i].im);
        }
    }

    fn solve_parts_any(&mut self, re: &mut [T], im: &mut [T]) {
        let mut x = std::mem::take(&mut self.parts);
        for ((x, &re), &im) in x.iter_mut().zip(&*re).zip(&*im) {
            *x = Complex::new(re, im);
        }
        self.solve_any(&mut x);
        for ((x, re), im) in x.iter().zip(re).zip(im) {
            (*re, *im) = (x.re, x.im);
        }
        self.parts = x;
    }
}

impl Lu<f64> {
    /// Factors `a`, `[n, n]` row-major, in a work space of its own.
    ///
    /// # Errors
    /// [`LinalgError`] if the length is not n², an element is not finite, or a pivot is exactly zero.
    pub fn of(a: &[f64], n: usize) -> Result<Self, LinalgError> {
        check(a, n, n)?;
        let mut lu = Self::new(n);
        match lu.factor(a) {
            Ok(()) => Ok(lu),
            Err(SingularMatrix { pivot, n }) => Err(LinalgError::Singular { pivot, n }),
        }
    }
}

impl<S: Scalar> LinearSolver<S> for Lu<S> {
    fn n(&self) -> usize {
        self.n
    }

    fn factor(&mut self, a: &[S]) -> Result<(), SingularMatrix> {
        let n = self.n;
        assert_eq!(a.len(), n * n, "Lu::factor: values");
        self.factor_from(|k, _| a[k])
    }

    #[inline]
    fn solve(&mut self, b: &mut [S]) {
        assert_eq!(b.len(), self.n, "Lu::solve: right-hand side");
        by_size!(self.n, self.solve_small(b), self.solve_any(b));
    }

    fn solve_transpose(&mut self, b: &mut [S]) {
        let (n, lu, x) = (self.n, &self.factors[..], &mut self.scratch[..]);
        assert_eq!(b.len(), n, "Lu::solve_transpose: right-hand side");
        x.copy_from_slice(b);
        for i in 0..n {
            let (done, rest) = x.split_at_mut(i + 1);
            done[i] *= self.inverse[i];
            subtract(done[i], &lu[i * n + i + 1..(i + 1) * n], rest);
        }
        for i in (0..n).rev() {
            let (rest, done) = x.split_at_mut(i);
            subtract(done[0], &lu[i * n..i * n + i], rest);
        }
        for i in 0..n {
            b[self.rows[i]] = x[i];
        }
    }
}

/// Sum in four lanes, so that it need not wait for each addition; the order is fixed.
#[inline(always)]
fn dot<S: Scalar>(a: &[S], b: &[S]) -> S {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [S::ZERO; 4];
    for (a, b) in a.iter().zip(b) {
        for l in 0..4 {
            sums[l] += a[l] * b[l];
        }
    }
    let mut sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (&a, &b) in a_rest.iter().zip(b_rest) {
        sum += a * b;
    }
    sum
}

/// `y -= w x`.
#[inline(always)]
fn subtract<S: Scalar>(w: S, x: &[S], y: &mut [S]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y -= w * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Small sizes, which the compiler knows, middle ones and those of faer: `A x = b`, from stored values and from entries.
        #[test]
        fn solves(n in prop_oneof![1..14_usize, Just(50_usize)], seed in 0..1000_u32) {
            let mut state = seed;
            let mut random = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f64::from(state) / f64::from(u32::MAX) - 0.5
            };
            let a: Vec<_> = (0..n * n).map(|_| Complex::new(random(), random())).collect();
            let x: Vec<_> = (0..n).map(|_| Complex::new(random(), random())).collect();
            let product = |a: &[Complex<f64>], x: &[Complex<f64>]| -> Vec<Complex<f64>> {
                let row = |row: &[Complex<f64>]| row.iter().zip(x).fold(Complex::default(), |sum, (&a, &x)| sum + a * x);
                a.chunks_exact(n).map(row).collect()
            };
            let mut lu = Lu::new(n);
            lu.factor(&a).unwrap();
            let b = product(&a, &x);
            let mut by_values = b.clone();
            lu.solve(&mut by_values);
            lu.factor_from(|k, diagonal| if diagonal == (k % (n + 1) == 0) { a[k] } else { Complex::default() }).unwrap();
            let (mut re, mut im): (Vec<_>, Vec<_>) = b.iter().map(|b| (b.re, b.im)).unzip();
            lu.solve_parts(&mut re, &mut im);
            for i in 0..n {
                prop_assert_eq!(by_values[i], Complex::new(re[i], im[i]));
            }
            for (b, c) in product(&a, &by_values).into_iter().zip(b) {
                prop_assert!((b - c).magnitude() < 1e-10);
            }
            // Real ones, and what is singular.
            let real: Vec<f64> = a.iter().map(|a| a.re).collect();
            let mut lu = Lu::new(n);
            lu.factor(&real).unwrap();
            let mut y: Vec<f64> = x.iter().map(|x| x.re).collect();
            lu.solve(&mut y);
            for (row, x) in real.chunks_exact(n).zip(&x) {
                let sum: f64 = row.iter().zip(&y).map(|(a, y)| a * y).sum();
                prop_assert!((sum - x.re).abs() < 1e-9);
            }
            prop_assert_eq!(lu.factor(&vec![0.0; n * n]), Err(SingularMatrix { pivot: 0, n }));
        }
    }
}
