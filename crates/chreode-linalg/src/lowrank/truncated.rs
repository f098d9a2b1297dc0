//! Randomised truncated SVD.

use chreode_core::sub_seed;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64Mcg;
use rayon::prelude::*;

use super::operator::LinearOperator;
use crate::batch::gemm::{GemmScratch, Transpose, gemm};
use crate::dense::eigen::{negate, orient};
use crate::dense::qr::qr;
use crate::dense::svd::svd;
use crate::error::LinalgError;

/// The leading singular values and vectors of a matrix `[n, m]`.
#[derive(Clone, Debug)]
pub struct TruncatedSvd {
    /// Left singular vectors in the columns of a row-major `[n, k]`. For PCA the scores are `u · s`.
    pub u: Vec<f64>,
    /// Singular values, descending.
    pub s: Vec<f64>,
    /// Right singular vectors (loadings) in the rows of `[k, m]`; the largest component of each is positive.
    pub vt: Vec<f64>,
}

/// Leading `k` singular values and vectors by random projection and power iteration with a QR after every
/// product. Source: Halko, Martinsson & Tropp (2011), SIAM Review 53(2), 217-288, algorithms 4.4 and 5.1.
///
/// `oversample` further random directions (10 is usual) and `power_iterations` (4 for spectra that decay
/// slowly, such as expression data) decide the accuracy. One seed gives the same bits on any number of threads.
///
/// # Errors
/// [`LinalgError::TooManyComponents`] if `k` is 0 or larger than a side of the matrix;
/// [`LinalgError::NotFinite`] if products overflow.
pub fn truncated_svd(
    a: &dyn LinearOperator,
    k: usize,
    oversample: usize,
    power_iterations: usize,
    seed: u64,
) -> Result<TruncatedSvd, LinalgError> {
    let (n, m) = a.shape();
    if k == 0 || k > n.min(m) {
        return Err(LinalgError::TooManyComponents { components: k, rows: n, columns: m });
    }
    let width = (k + oversample).min(n).min(m);
    let mut rng = Pcg64Mcg::seed_from_u64(sub_seed(seed, "truncated_svd"));
    let mut x: Vec<f64> = (0..m * width).map(|_| StandardNormal.sample(&mut rng)).collect();
    let mut y = vec![0.0; n * width];
    a.apply(&x, width, &mut y);
    let mut q = qr(&y, n, width)?.q;
    for _ in 0..power_iterations {
        a.apply_transpose(&q, width, &mut x);
        let right = qr(&x, m, width)?.q;
        a.apply(&right, width, &mut y);
        q = qr(&y, n, width)?.q;
    }
    // B = Qᵀ A = (Aᵀ Q)ᵀ, and Aᵀ Q = P R = P (U S Vᵀ): then B = V S (P U)ᵀ and A ≈ (Q V) S (P U)ᵀ.
    a.apply_transpose(&q, width, &mut x);
    let right = qr(&x, m, width)?;
    let small = svd(&right.r, width, width)?;
    let mut scratch = GemmScratch::new();
    let mut vt = vec![0.0; width * m];
    // (P U)ᵀ = Uᵀ Pᵀ, through the transpose of U.
    let ut: Vec<f64> = (0..width * width).map(|i| small.u[i % width * width + i / width]).collect();
    gemm((width, m, width), Transpose::B, &ut, &right.q, false, &mut vt, &mut scratch);
    vt.truncate(k * m);
    let mut rotation = small.vt[..k * width].to_vec();
    for (loading, row) in vt.chunks_exact_mut(m).zip(rotation.chunks_exact_mut(width)) {
        if orient(loading) {
            negate(row);
        }
    }
    let mut u = vec![0.0; n * k];
    u.par_chunks_mut(256 * k).zip(q.par_chunks(256 * width)).for_each_init(
        GemmScratch::new,
        |scratch, (u, q)| {
            gemm((q.len() / width, k, width), Transpose::B, q, &rotation, false, u, scratch);
        },
    );
    Ok(TruncatedSvd { u, s: small.s[..k].to_vec(), vt })
}
