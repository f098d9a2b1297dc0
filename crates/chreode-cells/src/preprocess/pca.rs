//! Principal components of centred, scaled expression.

use chreode_core::sub_seed;
use chreode_linalg::{
    CsrOperator, DenseOperator, GemmScratch, LinearOperator, Standardised, Transpose, gemm, symmetric_eigen,
    truncated_svd,
};

use super::PreprocessError;
use crate::matrix::Matrix;

/// Up to this many genes the covariances are formed and decomposed exactly.
const FEW_GENES: usize = 300;
/// Cells of one block of covariances.
const BLOCK: usize = 1024;

/// Loadings and variances.
pub(super) struct Components {
    /// `[genes, k]`, columns orthonormal, the largest entry of each positive.
    pub(super) loadings: Vec<f64>,
    /// Variance along each component (with n - 1), descending.
    pub(super) variances: Vec<f64>,
}

/// The leading `k` components of `(x - mean) / sd`, columns standing for genes.
pub(super) fn principal_components(
    x: &Matrix,
    mean: &[f64],
    sd: &[f64],
    k: usize,
    seed: u64,
) -> Result<Components, PreprocessError> {
    let (n, m) = (x.rows(), x.cols());
    let k = k.min(m).min(n.saturating_sub(1)).max(1);
    let scale: Vec<f64> = sd.iter().map(|s| 1.0 / s).collect();
    let degrees = (n.max(2) - 1) as f64;
    if m <= FEW_GENES {
        let eigen = symmetric_eigen(&covariance(x, mean, &scale), m)?;
        let column = |j: usize| m - 1 - j;
        let mut loadings = Vec::with_capacity(m * k);
        for gene in 0..m {
            loadings.extend((0..k).map(|j| eigen.vectors[gene * m + column(j)]));
        }
        let variances = (0..k).map(|j| eigen.values[column(j)].max(0.0)).collect();
        return Ok(Components { loadings, variances });
    }
    let seed = sub_seed(seed, "principal components");
    let decompose = |a: &dyn LinearOperator| truncated_svd(a, k, 10, 4, seed);
    let svd = match x {
        Matrix::Dense(d) => {
            decompose(&Standardised::new(DenseOperator::new(&d.values, n, m)?, mean, Some(&scale))?)
        }
        Matrix::Sparse(s) => {
            let rows = CsrOperator::new(s.indptr(), s.indices(), s.values(), m)?;
            decompose(&Standardised::new(rows, mean, Some(&scale))?)
        }
    }?;
    let mut loadings = Vec::with_capacity(m * k);
    for gene in 0..m {
        loadings.extend((0..k).map(|j| svd.vt[j * m + gene]));
    }
    Ok(Components { loadings, variances: svd.s.iter().map(|s| s * s / degrees).collect() })
}

/// Covariances of the scaled genes, `[m, m]`, summed block by block in the order of the cells.
fn covariance(x: &Matrix, mean: &[f64], scale: &[f64]) -> Vec<f64> {
    let (n, m) = (x.rows(), x.cols());
    let zero: Vec<f64> = mean.iter().zip(scale).map(|(c, s)| -c * s).collect();
    let mut sums = vec![0.0; m * m];
    let mut block = Vec::new();
    let mut scratch = GemmScratch::new();
    for first in (0..n).step_by(BLOCK) {
        let rows = BLOCK.min(n - first);
        block.clear();
        for i in first..first + rows {
            let start = block.len();
            block.extend_from_slice(&zero);
            x.for_row(i, |j, v| block[start + j] += f64::from(v) * scale[j]);
        }
        gemm((m, m, rows), Transpose::A, &block, &block, true, &mut sums, &mut scratch);
    }
    let degrees = (n.max(2) - 1) as f64;
    for s in &mut sums {
        *s /= degrees;
    }
    sums
}
