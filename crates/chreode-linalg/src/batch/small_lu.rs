//! LU of many small matrices at once, one in each SIMD lane.

use chreode_core::{Real, SingularMatrix};
use pulp::{Arch, Simd, WithSimd};

/// Largest size of a matrix.
const MOST: usize = 64;
/// Pivots that are taken from the rest at once: it is read and written once for all of them.
const BLOCK: usize = 4;

/// `P A = L U` of `LANES` matrices of one size, each with pivots of its own.
///
/// Element `(i, j)` of all matrices lies at `[i * n + j]`, one matrix a lane: 8 or 16 lanes fill the registers of any
/// instruction set. Rows are swapped by masks, lane by lane, and not at all where no lane asks for it.
///
/// ```
/// use chreode_linalg::BatchLu;
/// let mut lu = BatchLu::<f64, 8>::new(1);
/// lu.factor(&[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]]).unwrap();
/// let mut b = [[6.0; 8]];
/// lu.solve(&mut b);
/// assert_eq!((b[0][0], b[0][1], b[0][2]), (6.0, 3.0, 2.0));
/// ```
#[derive(Debug, Clone)]
pub struct BatchLu<T, const LANES: usize> {
    n: usize,
    factors: Vec<[T; LANES]>,
    inverse: Vec<[T; LANES]>,
    /// The row that each step's row was swapped with, lane by lane; none where all lanes keep theirs.
    swaps: Vec<Option<[u8; LANES]>>,
}

/// Which of the matrices of a batch is singular, and where: the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lane {lane}: {singular}")]
pub struct SingularLane {
    /// The lane.
    pub lane: usize,
    /// Its pivot.
    pub singular: SingularMatrix,
}

impl<T: Real, const LANES: usize> BatchLu<T, LANES> {
    /// Work space for matrices of size `n`.
    ///
    /// # Panics
    /// If `n` is more than 64.
    pub fn new(n: usize) -> Self {
        assert!(n <= MOST, "BatchLu::new: size {n} of at most {MOST}");
        Self {
            n,
            factors: vec![[T::ZERO; LANES]; n * n],
            inverse: vec![[T::ONE; LANES]; n],
            swaps: vec![None; n],
        }
    }

    /// Factors the matrices `a`, `[n, n]` row-major.
    ///
    /// # Errors
    /// [`SingularLane`] if a pivot is zero or not finite: the other lanes are factored none the less, and may be solved.
    ///
    /// # Panics
    /// If `a` has not `n²` elements.
    pub fn factor(&mut self, a: &[[T; LANES]]) -> Result<(), SingularLane> {
        self.factors.copy_from_slice(a);
        Arch::new().dispatch(Factor(self));
        for (pivot, inverse) in self.inverse.iter().enumerate() {
            for (lane, &x) in inverse.iter().enumerate() {
                if !(x.is_finite() && x != T::ZERO) {
                    return Err(SingularLane { lane, singular: SingularMatrix { pivot, n: self.n } });
                }
            }
        }
        Ok(())
    }

    /// Solves `A x = b` in place, `[n]`.
    ///
    /// # Panics
    /// If `b` has not `n` elements.
    pub fn solve(&self, b: &mut [[T; LANES]]) {
        assert_eq!(b.len(), self.n, "BatchLu::solve: right-hand side");
        Arch::new().dispatch(Solve::<_, LANES, false>(self, b));
    }

    /// Solves `Aᵀ x = b` in place, `[n]`.
    ///
    /// # Panics
    /// If `b` has not `n` elements.
    pub fn solve_transpose(&self, b: &mut [[T; LANES]]) {
        assert_eq!(b.len(), self.n, "BatchLu::solve_transpose: right-hand side");
        Arch::new().dispatch(Solve::<_, LANES, true>(self, b));
    }

    #[inline(always)]
    fn eliminate(&mut self) {
        let n = self.n;
        for k0 in (0..n).step_by(BLOCK) {
            let k1 = (k0 + BLOCK).min(n);
            for k in k0..k1 {
                self.pivot(k);
                let (above, below) = self.factors.split_at_mut((k + 1) * n);
                let top = &above[k * n + k + 1..k * n + k1];
                let inverse = &self.inverse[k];
                for row in below.chunks_exact_mut(n) {
                    let (head, tail) = row.split_at_mut(k + 1);
                    scale(inverse, &mut head[k]);
                    subtract_times(top, &head[k], tail);
                }
            }
            // The rows of the block, then those below, in all other columns.
            for i in k0 + 1..k1 {
                let (above, row) = self.factors.split_at_mut(i * n);
                let (by, rest) = row[..n].split_at_mut(k1);
                for p in k0..i {
                    subtract_times(&above[p * n + k1..(p + 1) * n], &by[p], rest);
                }
            }
            let (above, below) = self.factors.split_at_mut(k1 * n);
            let top = &above[k0 * n..];
            for row in below.chunks_exact_mut(n) {
                let (by, rest) = row.split_at_mut(k1);
                if let Ok(by) = <&[[T; LANES]; BLOCK]>::try_from(&by[k0..]) {
                    let [a, b, c, d] = [0, 1, 2, 3].map(|p| &top[p * n + k1..(p + 1) * n]);
                    for ((((x, a), b), c), d) in rest.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        for l in 0..LANES {
                            x[l] -= (by[0][l] * a[l] + by[1][l] * b[l]) + (by[2][l] * c[l] + by[3][l] * d[l]);
                        }
                    }
                }
            }
        }
    }

    /// Finds the pivots of column `k`, and swaps rows in the lanes where they lie below.
    #[inline(always)]
    fn pivot(&mut self, k: usize) {
        let n = self.n;
        let (mut pivot, mut most) = ([k as u8; LANES], self.factors[k * n + k].map(T::abs));
        for i in k + 1..n {
            let row = &self.factors[i * n + k];
            for l in 0..LANES {
                let size = row[l].abs();
                let larger = size > most[l];
                pivot[l] = if larger { i as u8 } else { pivot[l] };
                most[l] = if larger { size } else { most[l] };
            }
        }
        let moved = pivot.iter().any(|&p| p != k as u8);
        self.swaps[k] = moved.then_some(pivot);
        let (above, below) = self.factors.split_at_mut((k + 1) * n);
        let top = &mut above[k * n..];
        if moved {
            for (i, row) in (k + 1..).zip(below.chunks_exact_mut(n)) {
                if pivot.contains(&(i as u8)) {
                    top.iter_mut().zip(row).for_each(|(a, b)| exchange(&pivot, i, a, b));
                }
            }
        }
        for l in 0..LANES {
            self.inverse[k][l] = T::ONE / top[k][l];
        }
    }

    #[inline(always)]
    fn exchange_rows(&self, k: usize, b: &mut [[T; LANES]]) {
        if let Some(pivot) = &self.swaps[k] {
            let (head, tail) = b.split_at_mut(k + 1);
            for (i, x) in (k + 1..).zip(tail) {
                exchange(pivot, i, &mut head[k], x);
            }
        }
    }

    #[inline(always)]
    fn forward_back(&self, b: &mut [[T; LANES]]) {
        let n = self.n;
        (0..n).for_each(|k| self.exchange_rows(k, b));
        for i in 0..n {
            let (done, rest) = b.split_at_mut(i);
            subtract_dot(&self.factors[i * n..i * n + i], done, &mut rest[0]);
        }
        for i in (0..n).rev() {
            let (rest, done) = b.split_at_mut(i + 1);
            subtract_dot(&self.factors[i * n + i + 1..(i + 1) * n], done, &mut rest[i]);
            scale(&self.inverse[i], &mut rest[i]);
        }
    }

    #[inline(always)]
    fn forward_back_transposed(&self, b: &mut [[T; LANES]]) {
        let n = self.n;
        for i in 0..n {
            let (done, rest) = b.split_at_mut(i + 1);
            scale(&self.inverse[i], &mut done[i]);
            subtract_times(&self.factors[i * n + i + 1..(i + 1) * n], &done[i], rest);
        }
        for i in (0..n).rev() {
            let (rest, done) = b.split_at_mut(i);
            subtract_times(&self.factors[i * n..i * n + i], &done[0], rest);
        }
        (0..n).rev().for_each(|k| self.exchange_rows(k, b));
    }
}

/// Swaps `a` and `b` in the lanes whose pivot is row `i`.
#[inline(always)]
fn exchange<T: Copy, const LANES: usize>(
    pivot: &[u8; LANES],
    i: usize,
    a: &mut [T; LANES],
    b: &mut [T; LANES],
) {
    for l in 0..LANES {
        let swap = pivot[l] == i as u8;
        (a[l], b[l]) = if swap { (b[l], a[l]) } else { (a[l], b[l]) };
    }
}

#[inline(always)]
fn scale<T: Real, const LANES: usize>(by: &[T; LANES], x: &mut [T; LANES]) {
    for l in 0..LANES {
        x[l] *= by[l];
    }
}

/// `x -= Σ row y`.
#[inline(always)]
fn subtract_dot<T: Real, const LANES: usize>(row: &[[T; LANES]], y: &[[T; LANES]], x: &mut [T; LANES]) {
    for (r, y) in row.iter().zip(y) {
        for l in 0..LANES {
            x[l] -= r[l] * y[l];
        }
    }
}

/// `x -= row y`.
#[inline(always)]
fn subtract_times<T: Real, const LANES: usize>(row: &[[T; LANES]], y: &[T; LANES], x: &mut [[T; LANES]]) {
    for (r, x) in row.iter().zip(x) {
        for l in 0..LANES {
            x[l] -= r[l] * y[l];
        }
    }
}

struct Factor<'a, T, const LANES: usize>(&'a mut BatchLu<T, LANES>);

impl<T: Real, const LANES: usize> WithSimd for Factor<'_, T, LANES> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        self.0.eliminate();
    }
}

struct Solve<'a, T, const LANES: usize, const TRANSPOSE: bool>(&'a BatchLu<T, LANES>, &'a mut [[T; LANES]]);

impl<T: Real, const LANES: usize, const TRANSPOSE: bool> WithSimd for Solve<'_, T, LANES, TRANSPOSE> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        if TRANSPOSE { self.0.forward_back_transposed(self.1) } else { self.0.forward_back(self.1) }
    }
}
