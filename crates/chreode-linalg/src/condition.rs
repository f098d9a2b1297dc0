//! How far a matrix is from a singular one, from solves with its factors. Source: [Hig02] chapter 15 (algorithms of Hager
//! and Higham), [HT00] for complex numbers.

use chreode_core::{LinearSolver, Real, Sparsity};

use crate::scalar::Scalar;

/// Most pairs of solves.
const MOST: usize = 5;

/// Estimates the 1-norm of the inverse of the matrix that `solver` has factored: a lower bound, seldom less than a third of
/// it. Takes at most ten solves; `work`, `[2 n]`, is overwritten.
///
/// Times [`norm_1_dense`] or [`norm_1_sparse`] this estimates the condition number: about so many units of rounding of the
/// right-hand side reach the solution.
///
/// ```
/// use chreode_core::LinearSolver;
/// use chreode_linalg::{Lu, inverse_norm_1, norm_1_dense};
/// let a = [1.0, 1.0, 1.0, 1.0 + 1e-8];
/// let mut lu = Lu::new(2);
/// lu.factor(&a)?;
/// let condition = norm_1_dense(&a, 2) * inverse_norm_1(&mut lu, &mut [0.0; 4]);
/// assert!(condition > 1e8 && condition < 1e9);
/// # Ok::<(), chreode_core::SingularMatrix>(())
/// ```
///
/// # Panics
/// If `work` has not `2 n` elements.
pub fn inverse_norm_1<S: Scalar>(solver: &mut dyn LinearSolver<S>, work: &mut [S]) -> f64 {
    let n = solver.n();
    assert_eq!(work.len(), 2 * n, "inverse_norm_1: work space");
    if n == 0 {
        return 0.0;
    }
    let (x, z) = work.split_at_mut(n);
    x.fill(real(1.0 / n as f64));
    let mut estimate = 0.0;
    let mut before = usize::MAX;
    for pass in 0..MOST {
        solver.solve(x);
        let size = norm_1(x);
        // A new unit vector must do better.
        if pass > 0 && (size <= estimate || size.is_nan()) {
            break;
        }
        estimate = size;
        // The gradient: A⁻ᴴ times the signs, whose conjugate is A⁻ᵀ times their conjugates.
        for (z, &x) in z.iter_mut().zip(&*x) {
            let size = modulus(x);
            *z = if size == 0.0 {
                S::ONE
            } else {
                S::from_parts(x.re() / S::Part::c(size), -(x.im() / S::Part::c(size)))
            };
        }
        solver.solve_transpose(z);
        let (mut most, mut at) = (-1.0, 0);
        for (i, &z) in z.iter().enumerate() {
            let size = modulus(z);
            if size > most {
                (most, at) = (size, i);
            }
        }
        if at == before {
            break;
        }
        before = at;
        x.fill(S::ZERO);
        x[at] = S::ONE;
    }
    // A vector of alternating signs, in case that the search was misled.
    let step = 1.0 / (n.max(2) - 1) as f64;
    for (i, x) in x.iter_mut().enumerate() {
        let size = 1.0 + i as f64 * step;
        *x = real(if i % 2 == 0 { size } else { -size });
    }
    solver.solve(x);
    estimate.max(2.0 * norm_1(x) / (3.0 * n as f64))
}

/// Largest sum of moduli of a column of `a`, `[n, n]` row-major.
pub fn norm_1_dense<S: Scalar>(a: &[S], n: usize) -> f64 {
    (0..n).map(|j| a.iter().skip(j).step_by(n).map(|&x| modulus(x)).sum()).fold(0.0, f64::max)
}

/// Largest sum of moduli of a column of the matrix with these values of a pattern.
///
/// # Panics
/// If there are fewer values than entries.
pub fn norm_1_sparse<S: Scalar>(pattern: &Sparsity, values: &[S]) -> f64 {
    pattern.col_starts().windows(2).map(|w| norm_1(&values[w[0]..w[1]])).fold(0.0, f64::max)
}

fn norm_1<S: Scalar>(x: &[S]) -> f64 {
    x.iter().map(|&x| modulus(x)).sum()
}

fn modulus<S: Scalar>(x: S) -> f64 {
    if S::COMPLEX { x.re().f64().hypot(x.im().f64()) } else { x.re().f64().abs() }
}

fn real<S: Scalar>(x: f64) -> S {
    S::from_parts(S::Part::c(x), <S::Part as Real>::ZERO)
}
