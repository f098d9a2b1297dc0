//! Condition estimates, GMRES, batches of small systems and exact null spaces, each against dense algebra.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_core::{LinearSolver, Real, Sparsity};
use chreode_linalg::{
    BatchLu, Complex, Gmres, LinalgError, Lu, Scalar, SparseLu, inverse_norm_1, left_null_space,
    norm_1_dense, norm_1_sparse, singular_values,
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

fn numbers(n: usize) -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(-1.0..1.0_f64, n)
}

/// The 1-norm of the inverse, column by column.
fn inverse_norm<S: Scalar>(lu: &mut Lu<S>) -> f64 {
    let n = lu.n();
    let column = |j: usize| {
        let mut e = vec![S::ZERO; n];
        e[j] = S::ONE;
        lu.solve(&mut e);
        e.iter().map(|x| x.re().f64().hypot(x.im().f64())).sum()
    };
    (0..n).map(column).fold(0.0, f64::max)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// Never more than the norm, seldom much less: ten times less was not seen in 10^4 random matrices.
    #[test]
    fn condition_estimates((n, v) in (1..20_usize).prop_flat_map(|n| (Just(n), numbers(2 * n * n)))) {
        let (a, im) = v.split_at(n * n);
        let mut lu = Lu::new(n);
        if lu.factor(a).is_ok() {
            let estimate = inverse_norm_1(&mut lu, &mut vec![0.0; 2 * n]);
            let exact = inverse_norm(&mut lu);
            prop_assert!(estimate <= exact * (1.0 + 1e-8) && estimate > 0.1 * exact, "{estimate} {exact}");
        }
        let a: Vec<_> = a.iter().zip(im).map(|(&x, &y)| Complex::new(x, y)).collect();
        let mut lu = Lu::new(n);
        if lu.factor(&a).is_ok() {
            let estimate = inverse_norm_1(&mut lu, &mut vec![Complex::default(); 2 * n]);
            let exact = inverse_norm(&mut lu);
            prop_assert!(estimate <= exact * (1.0 + 1e-8) && estimate > 0.1 * exact, "{estimate} {exact}");
        }
    }

    /// As many products as unknowns solve any system; fewer with the inverse of a neighbour as preconditioner.
    #[test]
    fn gmres_of_anything((n, v, b) in (1..20_usize).prop_flat_map(|n| (Just(n), numbers(n * n), numbers(n)))) {
        let mut a = v.clone();
        a.iter_mut().step_by(n + 1).for_each(|x| *x += 3.0);
        let smallest = *singular_values(&a, n, n).unwrap().last().unwrap();
        prop_assume!(smallest > 0.05);
        let mut near = Lu::new(n);
        let rough: Vec<_> = a.iter().map(|x| (x * 16.0).round() / 16.0).collect();
        let usable = near.factor(&rough).is_ok();
        let mut counts = [0, 0];
        for (which, restart) in [(0, n + 1), (1, n + 1), (1, 4)] {
            if which == 1 && !usable {
                continue;
            }
            let mut gmres = Gmres::new(n, restart);
            let mut x = vec![0.0; n];
            let outcome = gmres.solve(
                &mut |v: &[f64], out: &mut [f64]| {
                    for (out, row) in out.iter_mut().zip(a.chunks_exact(n)) {
                        *out = row.iter().zip(v).map(|(a, v)| a * v).sum();
                    }
                    Ok::<(), ()>(())
                },
                &mut |v| if which == 1 { near.solve(v) },
                &b, &mut x, 1e-10, 200,
            ).unwrap();
            prop_assert!(restart == 4 || outcome.converged && outcome.iterations <= n + 1, "{outcome:?}");
            let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
            let left: Vec<_> = a.chunks_exact(n).zip(&b).map(|(row, &b)| b - row.iter().zip(&x).map(|(a, x)| a * x).sum::<f64>()).collect();
            let left = norm(&left) / norm(&b).max(1e-300);
            prop_assert!((left - outcome.residual).abs() < 1e-9, "{left} {outcome:?}");
            counts[which] = outcome.iterations;
        }
        prop_assert!(!usable || n < 10 || counts[1] < counts[0], "{counts:?}");
    }

    #[test]
    fn batches_of_small_systems((n, v, b) in (1..12_usize).prop_flat_map(|n| (Just(n), numbers(8 * n * n), numbers(8 * n)))) {
        batch::<f64, 8>(n, &v, &b, 1e-13)?;
        batch::<f32, 8>(n, &v, &b, 1e-5)?;
        batch::<f64, 4>(n, &v, &b, 1e-13)?;
    }

    #[test]
    fn null_spaces((rows, columns, a) in (1..7_usize, 1..6_usize).prop_flat_map(|(m, n)| {
        (Just(m), Just(n), prop::collection::vec(prop_oneof![3 => Just(0_i64), 2 => -2..3_i64], m * n))
    }), combination in prop::collection::vec(-3..4_i64, 7)) {
        let basis = left_null_space(&a, rows, columns).unwrap();
        for w in &basis {
            for j in 0..columns {
                prop_assert_eq!((0..rows).map(|i| w[i] * a[i * columns + j]).sum::<i64>(), 0);
            }
        }
        let float: Vec<_> = a.iter().map(|&x| x as f64).collect();
        let rank = singular_values(&float, rows, columns).unwrap().iter().filter(|&&s| s > 1e-9).count();
        prop_assert_eq!(basis.len(), rows - rank);
        // Independent, and all of the lattice: the minors of full size have no common divisor.
        if !basis.is_empty() {
            prop_assert_eq!(common_minor(&basis), 1, "{:?}", basis);
        }
        // Adding combinations of rows as a new row adds a law that undoes it.
        let mut more = a.clone();
        more.extend((0..columns).map(|j| (0..rows).map(|i| combination[i] * a[i * columns + j]).sum::<i64>()));
        prop_assert_eq!(left_null_space(&more, rows + 1, columns).unwrap().len(), basis.len() + 1);
    }
}

/// Greatest common divisor of the determinants of all square parts of full size.
fn common_minor(basis: &[Vec<i64>]) -> i64 {
    let (k, n) = (basis.len(), basis[0].len());
    let determinant = |columns: &[usize]| {
        // Exact: fraction-free elimination.
        let mut m: Vec<Vec<i128>> =
            basis.iter().map(|w| columns.iter().map(|&c| w[c].into()).collect()).collect();
        let (mut sign, mut before) = (1, 1);
        for p in 0..k {
            let Some(pivot) = (p..k).find(|&i| m[i][p] != 0) else {
                return 0;
            };
            if pivot != p {
                m.swap(p, pivot);
                sign = -sign;
            }
            for i in p + 1..k {
                for j in p + 1..k {
                    m[i][j] = (m[i][j] * m[p][p] - m[i][p] * m[p][j]) / before;
                }
            }
            before = m[p][p];
        }
        sign * before
    };
    let mut gcd = 0_i128;
    for set in 0_u32..1 << n {
        if set.count_ones() as usize == k {
            let columns: Vec<_> = (0..n).filter(|c| set >> c & 1 == 1).collect();
            let (mut a, mut b) = (gcd, determinant(&columns));
            while b != 0 {
                (a, b) = (b, a % b);
            }
            gcd = a.abs();
        }
    }
    gcd as i64
}

fn batch<T: Real, const LANES: usize>(
    n: usize,
    v: &[f64],
    b: &[f64],
    tolerance: f64,
) -> Result<(), TestCaseError> {
    let lanes = |v: &[f64], len: usize| -> Vec<[T; LANES]> {
        (0..len).map(|i| std::array::from_fn(|l| T::c(v[i * LANES + l]))).collect()
    };
    let (a, b) = (lanes(v, n * n), lanes(b, n));
    let mut lu = BatchLu::new(n);
    let ok = lu.factor(&a).is_ok();
    for transpose in [false, true] {
        let mut x = b.clone();
        if transpose {
            lu.solve_transpose(&mut x);
        } else {
            lu.solve(&mut x);
        }
        for l in 0..LANES {
            let own: Vec<T> = a.iter().map(|a| a[l]).collect();
            let mut one = Lu::new(n);
            if one.factor(&own).is_err() {
                prop_assert!(!ok);
                continue;
            }
            let mut expected: Vec<T> = b.iter().map(|b| b[l]).collect();
            if transpose {
                one.solve_transpose(&mut expected);
            } else {
                one.solve(&mut expected);
            }
            let condition = norm_1_dense(&own, n) * inverse_norm(&mut one);
            let size: f64 = expected.iter().map(|x| x.f64().abs()).sum();
            for (x, e) in x.iter().zip(&expected) {
                let error = (x[l].f64() - e.f64()).abs();
                prop_assert!(
                    error <= tolerance * condition * size,
                    "{error} of {size}, condition {condition}"
                );
            }
        }
    }
    Ok(())
}

/// Around the blocks of four pivots and up to the largest size; random matrices swap rows in most steps.
#[test]
fn batches_up_to_the_largest_size() {
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    for n in [2, 3, 4, 5, 8, 12, 13, 15, 16, 17, 31, 32, 33, 48, 63, 64] {
        let mut numbers =
            |len: usize| -> Vec<f64> { (0..len).map(|_| rng.random_range(-1.0..1.0)).collect() };
        let (v, b) = (numbers(16 * n * n), numbers(16 * n));
        batch::<f64, 8>(n, &v, &b, 1e-13).unwrap();
        batch::<f64, 16>(n, &v, &b, 1e-13).unwrap();
        batch::<f32, 16>(n, &v, &b, 1e-5).unwrap();
    }
    assert!(std::panic::catch_unwind(|| BatchLu::<f64, 8>::new(65)).is_err());
}

#[test]
fn a_singular_lane_is_named_and_harms_no_other() {
    let mut a = [[0.0; 4]; 4];
    for l in 0..4 {
        (a[0][l], a[1][l], a[2][l], a[3][l]) = (0.0, 2.0, 1.0, l as f64);
    }
    a[1][2] = 0.0;
    let mut lu = BatchLu::<f64, 4>::new(2);
    let error = lu.factor(&a).unwrap_err();
    assert_eq!((error.lane, error.singular.pivot), (2, 1));
    let mut b = [[2.0; 4], [4.0; 4]];
    lu.solve(&mut b);
    assert_eq!((b[0][0], b[1][0], b[0][3], b[1][3]), (4.0, 1.0, 1.0, 1.0));
}

#[test]
fn condition_of_a_sparse_matrix() {
    // A chain of n decays with rate 1: the inverse has the 1-norm n.
    let n = 200;
    let pattern = Sparsity::banded(n, 1, 0);
    let values: Vec<f64> = (0..n).flat_map(|j| if j + 1 < n { vec![1.0, -1.0] } else { vec![1.0] }).collect();
    let mut lu = SparseLu::new(&pattern);
    lu.factor(&values).unwrap();
    assert_eq!(norm_1_sparse(&pattern, &values), 2.0);
    let estimate = inverse_norm_1(&mut lu, &mut vec![0.0; 2 * n]);
    assert!((estimate - n as f64).abs() < 1e-9, "{estimate}");
}

#[test]
fn gmres_says_when_it_is_stuck() {
    let apply = |v: &[f64], out: &mut [f64]| {
        (out[0], out[1]) = (v[0], 0.0);
        Ok::<(), ()>(())
    };
    let mut x = [0.0; 2];
    let outcome = Gmres::new(2, 3).solve(&mut { apply }, &mut |_| {}, &[1.0, 1.0], &mut x, 1e-8, 50).unwrap();
    assert!(!outcome.converged && (outcome.residual - 0.5_f64.sqrt()).abs() < 1e-12, "{outcome:?}");
    assert!(x.iter().all(|x| x.is_finite()));
    let failing = &mut |_: &[f64], _: &mut [f64]| Err("no");
    assert_eq!(Gmres::new(2, 3).solve(failing, &mut |_| {}, &[1.0, 1.0], &mut x, 1e-8, 50), Err("no"));
}

#[test]
fn integers_that_grow_too_large() {
    // The one vector of the null space is made of 3 x 3 minors: near 2^180.
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    let huge: Vec<i64> = (0..12)
        .map(|_| {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            x as i64
        })
        .collect();
    assert!(matches!(left_null_space(&huge, 4, 3), Err(LinalgError::IntegerOverflow { .. })));
    // Two of them: the vector has 64 bits and is exact, or is refused.
    assert_eq!(left_null_space(&[i64::MAX, i64::MAX - 1], 2, 1).unwrap(), [[i64::MAX - 1, -i64::MAX]]);
    assert!(matches!(left_null_space(&[1, 2, 3], 2, 2), Err(LinalgError::Length { .. })));
}
