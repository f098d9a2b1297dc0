//! Randomised SVD against the full one; operators against dense products; the same bits on any threads.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use chreode_linalg::{
    CsrOperator, DenseOperator, LinalgError, LinearOperator, Standardised, TruncatedSvd, svd, truncated_svd,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Sparse counts with a few factors behind them, by rows; and the same as a dense matrix.
struct Counts {
    n: usize,
    m: usize,
    indptr: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
    dense: Vec<f32>,
}

fn counts(n: usize, m: usize) -> Counts {
    let mut rng = Pcg64Mcg::seed_from_u64(5);
    let mut c = Counts { n, m, indptr: vec![0], indices: vec![], values: vec![], dense: vec![0.0; n * m] };
    for i in 0..n {
        let kind = rng.random_range(0..4_usize);
        for j in 0..m {
            let chance = if j % 4 == kind { 0.5 } else { 0.08 };
            if rng.random_range(0.0..1.0_f64) < chance {
                let value = rng.random_range(0.5..3.0_f32);
                c.indices.push(j as u32);
                c.values.push(value);
                c.dense[i * m + j] = value;
            }
        }
        c.indptr.push(c.indices.len());
    }
    c
}

fn moments(c: &Counts) -> (Vec<f64>, Vec<f64>) {
    let column = |j: usize| (0..c.n).map(move |i| f64::from(c.dense[i * c.m + j]));
    let mean: Vec<f64> = (0..c.m).map(|j| column(j).sum::<f64>() / c.n as f64).collect();
    let scale = (0..c.m)
        .map(|j| (column(j).map(|x| (x - mean[j]).powi(2)).sum::<f64>() / (c.n as f64 - 1.0)).sqrt().recip())
        .collect();
    (mean, scale)
}

fn standardised(c: &Counts, mean: &[f64], scale: &[f64]) -> Vec<f64> {
    c.dense.iter().enumerate().map(|(i, &x)| (f64::from(x) - mean[i % c.m]) * scale[i % c.m]).collect()
}

#[test]
fn agrees_with_the_full_svd() {
    let c = counts(700, 90);
    let (mean, scale) = moments(&c);
    let dense = standardised(&c, &mean, &scale);
    let full = svd(&dense, c.n, c.m).unwrap();
    let csr = CsrOperator::new(&c.indptr, &c.indices, &c.values, c.m).unwrap();
    let sparse = truncated_svd(&Standardised::new(csr, &mean, Some(&scale)).unwrap(), 10, 10, 12, 1).unwrap();
    let by_dense = truncated_svd(&DenseOperator::new(&dense, c.n, c.m).unwrap(), 10, 10, 12, 1).unwrap();
    for k in 0..10 {
        // Behind the gap the values lie close together: there power iteration converges slowly, from below.
        let ratio = sparse.s[k] / full.s[k];
        let bound = if k < 3 { 1e-12 } else { 5e-3 };
        assert!(ratio <= 1.0 + 1e-12 && ratio >= 1.0 - bound, "component {k}: {} {}", sparse.s[k], full.s[k]);
        assert!((by_dense.s[k] / sparse.s[k] - 1.0).abs() < 1e-9);
    }
    // The first three stand apart from the rest (four kinds): their vectors are determined.
    for k in 0..3 {
        for j in 0..c.m {
            assert!((sparse.vt[k * c.m + j] - full.vt[k * c.m + j]).abs() < 1e-8);
        }
        for i in 0..c.n {
            assert!((sparse.u[i * 10 + k] - full.u[i * c.m + k]).abs() < 1e-8);
        }
    }
}

#[test]
fn an_exact_low_rank_comes_out_whole() {
    let (n, m, rank) = (300, 40, 5);
    let mut rng = Pcg64Mcg::seed_from_u64(9);
    let left: Vec<f64> = (0..n * rank).map(|_| rng.random_range(-1.0..1.0)).collect();
    let right: Vec<f64> = (0..m * rank).map(|_| rng.random_range(-1.0..1.0)).collect();
    let a: Vec<f64> = (0..n * m)
        .map(|i| (0..rank).map(|r| left[i / m * rank + r] * right[i % m * rank + r]).sum())
        .collect();
    let f = truncated_svd(&DenseOperator::new(&a, n, m).unwrap(), rank, 5, 1, 3).unwrap();
    for i in 0..n * m {
        let back: f64 = (0..rank).map(|r| f.u[i / m * rank + r] * f.s[r] * f.vt[r * m + i % m]).sum();
        assert!((back - a[i]).abs() < 1e-11);
    }
    // More components than the rank has, and as many as there are columns.
    let f = truncated_svd(&DenseOperator::new(&a, n, m).unwrap(), m, 10, 1, 3).unwrap();
    assert!(f.s[rank..].iter().all(|s| *s < 1e-10) && f.u.iter().chain(&f.vt).all(|x| x.is_finite()));
}

#[test]
fn operators_agree_with_plain_products() {
    let c = counts(600, 31);
    let (mean, scale) = moments(&c);
    let width = 3;
    let mut rng = Pcg64Mcg::seed_from_u64(2);
    let x: Vec<f64> = (0..c.m * width).map(|_| rng.random_range(-1.0..1.0)).collect();
    let y: Vec<f64> = (0..c.n * width).map(|_| rng.random_range(-1.0..1.0)).collect();
    let raw: Vec<f64> = c.dense.iter().map(|&x| f64::from(x)).collect();
    let scaled = standardised(&c, &mean, &scale);
    let csr = CsrOperator::new(&c.indptr, &c.indices, &c.values, c.m).unwrap();
    let dense = DenseOperator::new(&c.dense, c.n, c.m).unwrap();
    let cases: [(&dyn LinearOperator, &[f64]); 4] = [
        (&csr, &raw),
        (&dense, &raw),
        (&Standardised::new(csr, &mean, Some(&scale)).unwrap(), &scaled),
        (&Standardised::new(dense, &mean, Some(&scale)).unwrap(), &scaled),
    ];
    for (operator, a) in cases {
        assert_eq!(operator.shape(), (c.n, c.m));
        let (mut ax, mut aty) = (vec![f64::NAN; c.n * width], vec![f64::NAN; c.m * width]);
        operator.apply(&x, width, &mut ax);
        operator.apply_transpose(&y, width, &mut aty);
        for w in 0..width {
            for i in 0..c.n {
                let exact: f64 = (0..c.m).map(|j| a[i * c.m + j] * x[j * width + w]).sum();
                assert!((ax[i * width + w] - exact).abs() < 1e-11);
            }
            for j in 0..c.m {
                let exact: f64 = (0..c.n).map(|i| a[i * c.m + j] * y[i * width + w]).sum();
                assert!((aty[j * width + w] - exact).abs() < 1e-10);
            }
        }
    }
}

fn bits(f: &TruncatedSvd) -> Vec<u64> {
    f.u.iter().chain(&f.s).chain(&f.vt).map(|x| x.to_bits()).collect()
}

#[test]
fn the_number_of_threads_does_not_show() {
    let c = counts(5_000, 60);
    let (mean, scale) = moments(&c);
    let run = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let csr = CsrOperator::new(&c.indptr, &c.indices, &c.values, c.m).unwrap();
            let sparse = Standardised::new(csr, &mean, Some(&scale)).unwrap();
            let dense = DenseOperator::new(&c.dense, c.n, c.m).unwrap();
            (
                bits(&truncated_svd(&sparse, 8, 6, 2, 42).unwrap()),
                bits(&truncated_svd(&dense, 8, 6, 2, 42).unwrap()),
            )
        })
    };
    let one = run(1);
    for threads in [2, 3, 5] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn contradictions_are_errors() {
    let dense = DenseOperator::new(&[1.0_f64; 6], 3, 2).unwrap();
    assert_eq!(
        truncated_svd(&dense, 3, 0, 0, 0).unwrap_err(),
        LinalgError::TooManyComponents { components: 3, rows: 3, columns: 2 }
    );
    assert!(truncated_svd(&dense, 0, 0, 0, 0).is_err());
    assert!(DenseOperator::new(&[1.0_f32; 5], 3, 2).is_err());
    assert!(DenseOperator::new(&[f32::NAN; 6], 3, 2).is_err());
    let value = [1.0_f32];
    assert!(matches!(
        CsrOperator::new(&[0, 1], &[7], &value, 2),
        Err(LinalgError::SparseColumn { column: 7, .. })
    ));
    assert!(matches!(CsrOperator::new(&[0, 2], &[0], &value, 2), Err(LinalgError::SparseRow { end: 2, .. })));
    assert!(matches!(CsrOperator::new(&[1, 0], &[0], &value, 2), Err(LinalgError::SparseRow { row: 0, .. })));
    assert!(CsrOperator::new(&[], &[0], &value, 2).is_err());
    assert!(CsrOperator::new(&[0, 1], &[0], &[f32::INFINITY], 2).is_err());
    assert!(Standardised::new(dense, &[0.0], None).is_err());
    assert!(Standardised::new(dense, &[0.0, 1.0], Some(&[1.0, f64::INFINITY])).is_err());
}
