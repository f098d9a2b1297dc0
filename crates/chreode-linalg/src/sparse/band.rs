//! Banded LU with partial pivoting. Source: [GVL13] section 4.3.

use chreode_core::{LinearSolver, Real, SingularMatrix, Sparsity};

use crate::scalar::Scalar;

/// `P A = L U` of a banded matrix, real or complex, with its work space.
///
/// The matrix has `lower` diagonals below and `upper` above the main one; pivoting fills `lower` more above.
#[derive(Debug, Clone)]
pub struct BandLu<S> {
    n: usize,
    lower: usize,
    /// Row `i` holds columns `i - lower ..= i + lower + upper`: `[n, width]`. L stays where it was eliminated.
    band: Vec<S>,
    width: usize,
    inverse: Vec<S>,
    /// The row that step `k` swapped with row `k`.
    pivots: Vec<usize>,
    /// Where each value of the pattern goes in `band`.
    places: Vec<usize>,
}

impl<S: Scalar> BandLu<S> {
    /// Work space for square matrices of this pattern, all of its band included.
    ///
    /// # Panics
    /// If the pattern is not square.
    pub fn new(pattern: &Sparsity) -> Self {
        let n = pattern.n_cols();
        assert_eq!(pattern.n_rows(), n, "BandLu::new: rows of the pattern");
        let (lower, upper) = pattern.bandwidths();
        let width = 2 * lower + upper + 1;
        let places =
            (0..n).flat_map(|j| pattern.column(j).iter().map(move |&i| i * width + j + lower - i)).collect();
        Self {
            n,
            lower,
            band: vec![S::ZERO; n * width],
            width,
            inverse: vec![S::ONE; n],
            pivots: (0..n).collect(),
            places,
        }
    }

    /// Row `k` of the band from its diagonal on, and all rows after it.
    fn split(&mut self, k: usize) -> (&mut [S], &mut [S]) {
        let (above, below) = self.band.split_at_mut((k + 1) * self.width);
        (&mut above[k * self.width + self.lower..], below)
    }
}

impl<S: Scalar> LinearSolver<S> for BandLu<S> {
    fn n(&self) -> usize {
        self.n
    }

    fn factor(&mut self, values: &[S]) -> Result<(), SingularMatrix> {
        let (n, lower, width) = (self.n, self.lower, self.width);
        assert_eq!(values.len(), self.places.len(), "BandLu::factor: values");
        self.band.fill(S::ZERO);
        for (&place, &value) in self.places.iter().zip(values) {
            self.band[place] = value;
        }
        for k in 0..n {
            let rows = lower.min(n - 1 - k);
            let (mut pivot, mut most) = (0, self.band[k * width + lower].magnitude());
            for r in 1..=rows {
                let size = self.band[(k + r) * width + lower - r].magnitude();
                if size > most {
                    (pivot, most) = (r, size);
                }
            }
            if most == <S::Part as Real>::ZERO || !most.is_finite() {
                return Err(SingularMatrix { pivot: k, n });
            }
            self.pivots[k] = k + pivot;
            let (top, below) = self.split(k);
            if pivot > 0 {
                let row = &mut below[(pivot - 1) * width + lower - pivot..];
                let len = width - lower;
                top[..len].swap_with_slice(&mut row[..len]);
            }
            let inverse = S::ONE / top[0];
            for (r, row) in (1..=rows).zip(below.chunks_exact_mut(width)) {
                let row = &mut row[lower - r..];
                let l = row[0] * inverse;
                row[0] = l;
                if l != S::ZERO {
                    for (x, &u) in row[1..].iter_mut().zip(&top[1..]) {
                        *x -= l * u;
                    }
                }
            }
            self.inverse[k] = inverse;
        }
        Ok(())
    }

    fn solve(&mut self, b: &mut [S]) {
        let (n, lower, width) = (self.n, self.lower, self.width);
        assert_eq!(b.len(), n, "BandLu::solve: right-hand side");
        for k in 0..n {
            b.swap(k, self.pivots[k]);
            let x = b[k];
            let rows = lower.min(n - 1 - k);
            for r in 1..=rows {
                b[k + r] -= self.band[(k + r) * width + lower - r] * x;
            }
        }
        for k in (0..n).rev() {
            let row = &self.band[k * width + lower + 1..(k + 1) * width];
            let (head, tail) = b.split_at_mut(k + 1);
            let mut sum = S::ZERO;
            for (&u, &x) in row.iter().zip(&*tail) {
                sum += u * x;
            }
            head[k] = (head[k] - sum) * self.inverse[k];
        }
    }

    fn solve_transpose(&mut self, b: &mut [S]) {
        let (n, lower, width) = (self.n, self.lower, self.width);
        assert_eq!(b.len(), n, "BandLu::solve_transpose: right-hand side");
        for k in 0..n {
            let row = &self.band[k * width + lower + 1..(k + 1) * width];
            let (head, tail) = b.split_at_mut(k + 1);
            head[k] *= self.inverse[k];
            for (&u, x) in row.iter().zip(tail) {
                *x -= u * head[k];
            }
        }
        for k in (0..n).rev() {
            let rows = lower.min(n - 1 - k);
            for r in 1..=rows {
                let l = self.band[(k + r) * width + lower - r];
                let below = b[k + r];
                b[k] -= l * below;
            }
            b.swap(k, self.pivots[k]);
        }
    }
}
