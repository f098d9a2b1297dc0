//! Decompositions: they multiply back to the matrix, below and above the sizes where the library behind changes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_core::LinearSolver;
use chreode_linalg::{
    Cholesky, Complex, LinalgError, Lu, eigen, eigenvalues, qr, singular_values, solve_spd, spectral_norm,
    svd, symmetric_eigen,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Around every threshold inside, and beyond.
const SIZES: [usize; 13] = [1, 2, 3, 7, 20, 49, 50, 63, 64, 65, 130, 200, 260];

fn matrix(rows: usize, columns: usize, seed: u64) -> Vec<f64> {
    let mut rng = Pcg64Mcg::seed_from_u64(seed);
    (0..rows * columns).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn product(a: &[f64], b: &[f64], m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for l in 0..k {
            for j in 0..n {
                c[i * n + j] += a[i * k + l] * b[l * n + j];
            }
        }
    }
    c
}

fn transposed(a: &[f64], rows: usize, columns: usize) -> Vec<f64> {
    (0..rows * columns).map(|i| a[i % rows * columns + i / rows]).collect()
}

fn assert_close(a: &[f64], b: &[f64], tolerance: f64, what: &str) {
    assert_eq!(a.len(), b.len(), "{what}: lengths");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what}, element {i}: {a} is not {b}");
    }
}

fn identity(n: usize) -> Vec<f64> {
    (0..n * n).map(|i| f64::from(i % (n + 1) == 0)).collect()
}

fn check_lu(n: usize, seed: u64) {
    let mut a = matrix(n, n, seed);
    // Well conditioned, but not so that no rows are exchanged.
    for i in 0..n {
        a[i * n + (i + 1) % n] += n as f64;
    }
    let x = matrix(n, 1, seed + 1);
    let mut lu = Lu::of(&a, n).unwrap();
    let mut b = product(&a, &x, n, n, 1);
    lu.solve(&mut b);
    assert_close(&b, &x, 1e-12, "LU solve");
    let mut b = product(&transposed(&a, n, n), &x, n, n, 1);
    lu.solve_transpose(&mut b);
    assert_close(&b, &x, 1e-12, "LU solve with the transpose");
}

/// Complex and single precision, with the same work space for several matrices.
fn check_lu_of_other_numbers(n: usize, seed: u64) {
    let mut complex = Lu::<Complex<f64>>::new(n);
    let mut single = Lu::<f32>::new(n);
    for seed in [seed, seed + 10] {
        let (mut re, im, x) = (matrix(n, n, seed), matrix(n, n, seed + 1), matrix(n, 2, seed + 2));
        for i in 0..n {
            re[i * n + (i + 1) % n] += n as f64;
        }
        let a: Vec<_> = re.iter().zip(&im).map(|(&re, &im)| Complex::new(re, im)).collect();
        let x: Vec<_> = x.chunks_exact(2).map(|x| Complex::new(x[0], x[1])).collect();
        complex.factor(&a).unwrap();
        for transpose in [false, true] {
            let mut b = vec![Complex::new(0.0, 0.0); n];
            for i in 0..n {
                for j in 0..n {
                    b[i] += if transpose { a[j * n + i] } else { a[i * n + j] } * x[j];
                }
            }
            if transpose {
                complex.solve_transpose(&mut b);
            } else {
                complex.solve(&mut b);
            }
            for (b, x) in b.iter().zip(&x) {
                assert!(
                    (b.re - x.re).abs() + (b.im - x.im).abs() < 1e-11,
                    "complex, n = {n}: {b:?} is not {x:?}"
                );
            }
        }
        single.factor(&re.iter().map(|&x| x as f32).collect::<Vec<_>>()).unwrap();
        let real: Vec<f64> = x.iter().map(|x| x.re).collect();
        let mut b: Vec<f32> = product(&re, &real, n, n, 1).iter().map(|&x| x as f32).collect();
        single.solve(&mut b);
        assert_close(&b.iter().map(|&x| f64::from(x)).collect::<Vec<_>>(), &real, 1e-3, "single precision");
    }
}

fn check_cholesky(n: usize, seed: u64) {
    let root = matrix(n, n, seed);
    let mut a = product(&root, &transposed(&root, n, n), n, n, n);
    for i in 0..n {
        a[i * n + i] += 1.0;
    }
    let x = matrix(n, 1, seed + 1);
    let b = product(&a, &x, n, n, 1);
    assert_close(&solve_spd(&a, &b).unwrap(), &x, 1e-10, "Cholesky solve");
    let factor = Cholesky::factor(&a, n).unwrap();
    let l: Vec<f64> = (0..n * n).map(|i| factor.l(i / n, i % n)).collect();
    assert_close(&product(&l, &transposed(&l, n, n), n, n, n), &a, 1e-11, "L Lᵀ");
    let ln_det: f64 = symmetric_eigen(&a, n).unwrap().values.iter().map(|v| v.ln()).sum();
    assert!((factor.ln_det() - ln_det).abs() < 1e-9 * ln_det.abs().max(1.0));
}

fn check_qr(m: usize, n: usize, seed: u64) {
    let a = matrix(m, n, seed);
    let r = m.min(n);
    let f = qr(&a, m, n).unwrap();
    assert_close(&product(&f.q, &f.r, m, r, n), &a, 1e-12, "Q R");
    assert_close(&product(&transposed(&f.q, m, r), &f.q, r, m, r), &identity(r), 1e-12, "Qᵀ Q");
    assert!((0..r).all(|i| (0..i.min(n)).all(|j| f.r[i * n + j] == 0.0)), "R is upper triangular");
}

fn check_symmetric(n: usize, seed: u64) {
    let half = matrix(n, n, seed);
    let a: Vec<f64> = half.iter().zip(transposed(&half, n, n)).map(|(a, b)| a + b).collect();
    let e = symmetric_eigen(&a, n).unwrap();
    assert!(e.values.is_sorted());
    let v = &e.vectors;
    assert_close(&product(&transposed(v, n, n), v, n, n, n), &identity(n), 1e-11, "Vᵀ V");
    let scaled: Vec<f64> = (0..n * n).map(|i| v[i] * e.values[i % n]).collect();
    assert_close(&product(&scaled, &transposed(v, n, n), n, n, n), &a, 1e-10, "V diag Vᵀ");
    // Only the lower triangle counts.
    let lower: Vec<f64> = (0..n * n).map(|i| if i % n > i / n { 7.0 } else { a[i] }).collect();
    assert_eq!(symmetric_eigen(&lower, n).unwrap().values, e.values);
}

fn check_svd(m: usize, n: usize, seed: u64) {
    let a = matrix(m, n, seed);
    let r = m.min(n);
    let f = svd(&a, m, n).unwrap();
    assert!(f.s.is_sorted_by(|a, b| a >= b) && f.s.iter().all(|s| *s >= 0.0));
    let scaled: Vec<f64> = f.u.iter().enumerate().map(|(i, u)| u * f.s[i % r]).collect();
    assert_close(&product(&scaled, &f.vt, m, r, n), &a, 1e-11, "U S Vᵀ");
    assert_close(&product(&f.vt, &transposed(&f.vt, r, n), r, n, r), &identity(r), 1e-11, "Vᵀ V");
    assert_close(&product(&transposed(&f.u, m, r), &f.u, r, m, r), &identity(r), 1e-11, "Uᵀ U");
    assert_close(&singular_values(&a, m, n).unwrap(), &f.s, 1e-11, "singular values");
    assert_eq!(spectral_norm(&a, m, n).unwrap(), singular_values(&a, m, n).unwrap()[0]);
    for row in f.vt.chunks(n) {
        let largest = row.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        assert!(largest > 0.0, "the largest component is positive");
    }
}

/// Complex eigenvalues against the characteristic polynomial's sums: Σ λ = tr A, Σ λ² = tr A².
fn check_eigenvalues(n: usize, seed: u64) {
    let a = matrix(n, n, seed);
    let values = eigenvalues(&a, n).unwrap();
    let trace = |m: &[f64]| (0..n).map(|i| m[i * n + i]).sum::<f64>();
    let sum: f64 = values.iter().map(|v| v.0).sum();
    let squares: f64 = values.iter().map(|v| v.0 * v.0 - v.1 * v.1).sum();
    assert!((sum - trace(&a)).abs() < 1e-10 * n as f64, "n = {n}: {sum}");
    assert!((squares - trace(&product(&a, &a, n, n, n))).abs() < 1e-9 * n as f64, "n = {n}: {squares}");
    assert!(values.iter().map(|v| v.1).sum::<f64>().abs() < 1e-9, "complex ones come in pairs");
    check_eigenvectors(&a, n, 1e-13);
    // One by one: each is an eigenvalue of the other way to compute them, which shows that each belongs to a vector.
    let mut with_vectors = eigen(&a, n).unwrap().values;
    for v in values {
        let off = |w: &(f64, f64)| f64::hypot(w.0 - v.0, w.1 - v.1);
        let (nearest, _) =
            with_vectors.iter().map(off).enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let other = with_vectors.swap_remove(nearest);
        assert!(off(&other) < 1e-7, "n = {n}: {v:?} is not {other:?}");
    }
}

/// `A v = λ v` for every pair, to within `tolerance` times n and the size of A; vectors have length 1 and are turned as they should be.
fn check_eigenvectors(a: &[f64], n: usize, tolerance: f64) {
    let e = eigen(a, n).unwrap();
    assert!(e.values.is_sorted_by(|a, b| a.0 > b.0 || a.0 == b.0 && a.1 >= b.1), "{:?}", e.values);
    let size = a.iter().map(|x| x.abs()).fold(0.0, f64::max) * (n as f64).sqrt();
    for (j, &(re, im)) in e.values.iter().enumerate() {
        let v: Vec<(f64, f64)> = (0..n).map(|i| e.vectors[i * n + j]).collect();
        for (row, v_i) in a.chunks_exact(n).zip(&v) {
            let sum =
                |part: fn(&(f64, f64)) -> f64| row.iter().zip(&v).map(|(a, v)| a * part(v)).sum::<f64>();
            let off = (sum(|v| v.0) - (re * v_i.0 - im * v_i.1), sum(|v| v.1) - (re * v_i.1 + im * v_i.0));
            let off = f64::hypot(off.0, off.1);
            assert!(
                off <= tolerance * n as f64 * size,
                "n = {n}, value {j}, {re} + {im} i: {off:e} of {size}"
            );
        }
        let length: f64 = v.iter().map(|v| v.0 * v.0 + v.1 * v.1).sum();
        assert!((length - 1.0).abs() < 1e-13, "n = {n}: length {length}");
        let largest = v.iter().copied().fold((0.0, 0.0), |a: (f64, f64), b| {
            if f64::hypot(b.0, b.1) > f64::hypot(a.0, a.1) * (1.0 + 1e-14) { b } else { a }
        });
        assert!(largest.0 > 0.0 && largest.1.abs() < 1e-14, "n = {n}: largest component {largest:?}");
    }
}

#[test]
fn decompositions_multiply_back_at_all_sizes() {
    for (seed, n) in SIZES.into_iter().enumerate() {
        let seed = seed as u64;
        check_lu_of_other_numbers(n, 5);
        check_lu(n, seed);
        check_cholesky(n, seed);
        check_symmetric(n, seed);
        check_eigenvalues(n, seed);
        for (rows, columns) in [(n, n), (2 * n + 3, n), (n, n + 5)] {
            check_qr(rows, columns, seed);
            check_svd(rows, columns, seed);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn decompositions_multiply_back(m in 1_usize..40, n in 1_usize..40, seed in 0_u64..1_000_000) {
        check_lu(n, seed);
        check_cholesky(n, seed);
        check_symmetric(n, seed);
        check_qr(m, n, seed);
        check_svd(m, n, seed);
        check_eigenvalues(n, seed);
    }
}

#[test]
fn known_eigenvalues() {
    // A rotation by 90 degrees with a growth of 2 beside it.
    let values = eigenvalues(&[0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 2.0], 3).unwrap();
    assert_close(
        &values.iter().flat_map(|v| [v.0, v.1]).collect::<Vec<_>>(),
        &[2.0, 0.0, 0.0, 1.0, 0.0, -1.0],
        1e-14,
        "rotation",
    );
    // A companion matrix of (x - 1)(x - 2)(x - 3).
    let values = eigenvalues(&[6.0, -11.0, 6.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0], 3).unwrap();
    assert_close(&values.iter().map(|v| v.0).collect::<Vec<_>>(), &[3.0, 2.0, 1.0], 1e-12, "companion");
    for (a, n, tolerance) in [
        // The companion matrix, whose vectors are (λ², λ, 1).
        (&[6.0, -11.0, 6.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0][..], 3, 1e-14),
        // Defective: one vector for the threefold value.
        (&[2.0, 1.0, 0.0, 0.0, 2.0, 1.0, 0.0, 0.0, 2.0], 3, 1e-14),
        // No vector is unique.
        (&[3.0, 0.0, 0.0, 3.0], 2, 1e-15),
        (&[0.0; 9], 3, 1e-15),
        // Rates of a network over twelve orders of magnitude, with a conserved sum.
        (&[-1e-6, 0.0, 1e6, 1e-6, -1.0, 0.0, 0.0, 1.0, -1e6], 3, 1e-15),
        (&[1e-200, 2e-200, 3e-200, -4e-200], 2, 1e-14),
    ] {
        check_eigenvectors(a, n, tolerance);
    }
    let e = eigen(&[6.0, -11.0, 6.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0], 3).unwrap();
    for (j, value) in [3.0, 2.0, 1.0_f64].into_iter().enumerate() {
        let length = (value.powi(4) + value.powi(2) + 1.0).sqrt();
        let v: Vec<f64> = (0..3).map(|i| e.vectors[3 * i + j].0).collect();
        assert_close(
            &v,
            &[value * value / length, value / length, 1.0 / length],
            1e-13,
            "companion's vector",
        );
    }
    assert_eq!(eigen(&[], 0).unwrap().values, []);
    assert_eq!(spectral_norm(&[], 0, 0), Ok(0.0));
    assert!((spectral_norm(&[3.0, 4.0], 1, 2).unwrap() - 5.0).abs() < 1e-15);
}

#[test]
fn unusable_matrices_are_errors_with_numbers() {
    let n = 3;
    let singular = [1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 0.0, 1.0];
    assert!(matches!(Lu::of(&singular, n), Err(LinalgError::Singular { n: 3, .. })));
    assert!(matches!(
        Cholesky::factor(&[1.0, 2.0, 2.0, 1.0], 2),
        Err(LinalgError::NotPositiveDefinite { pivot: 1, n: 2 })
    ));
    assert_eq!(
        Lu::of(&[1.0; 5], 2).unwrap_err(),
        LinalgError::Length { what: "matrix", found: 5, expected: 4 }
    );
    for bad in [f64::NAN, f64::INFINITY] {
        let a = [1.0, bad, 0.0, 1.0];
        assert!(matches!(eigenvalues(&a, 2), Err(LinalgError::NotFinite { row: 0, column: 1, .. })));
        assert!(matches!(eigen(&a, 2), Err(LinalgError::NotFinite { row: 0, column: 1, .. })));
        assert!(symmetric_eigen(&a, 2).is_err() && svd(&a, 2, 2).is_err() && qr(&a, 2, 2).is_err());
        assert!(Cholesky::factor(&a, 2).is_err() && spectral_norm(&a, 2, 2).is_err());
    }
}

#[test]
fn rank_deficient_matrices_decompose() {
    // Two equal columns, and zeros: Q stays orthonormal, the singular values show the rank.
    for n in [6, 70] {
        let column = matrix(n, 1, 3);
        let a: Vec<f64> = (0..n * n).map(|i| if i % n < 2 { column[i / n] } else { 0.0 }).collect();
        let f = qr(&a, n, n).unwrap();
        assert_close(&product(&transposed(&f.q, n, n), &f.q, n, n, n), &identity(n), 1e-12, "Qᵀ Q");
        let s = singular_values(&a, n, n).unwrap();
        assert!(s[0] > 0.1 && s[1] < 1e-13, "{s:?}");
        let f = svd(&a, n, n).unwrap();
        let scaled: Vec<f64> = f.u.iter().enumerate().map(|(i, u)| u * f.s[i % n]).collect();
        assert_close(&product(&scaled, &f.vt, n, n, n), &a, 1e-12, "U S Vᵀ");
    }
}
