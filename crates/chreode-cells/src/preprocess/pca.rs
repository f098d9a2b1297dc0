//! Principal components of centred, scaled expression, in passes over blocks of cells.
//!
//! Up to 300 genes their covariances are decomposed. Of more genes a subspace of a few more dimensions than components is found by
//! iterating with `AᵀA`, a pass each, in which nothing of the size of the cells is kept; then the covariances within it are decomposed
//! (Rayleigh and Ritz). Source: Halko, Martinsson & Tropp (2011), SIAM Review 53(2), 217-288, algorithm 4.4 on the side of the genes: the
//! subspace is that of four power iterations on the side of the cells and their last product with `Aᵀ`.

use chreode_core::sub_seed;
use chreode_linalg::{GemmScratch, Transpose, gemm, qr, symmetric_eigen};
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use rayon::prelude::*;

use super::PreprocessError;
use super::blocks::Kept;
use crate::matrix::Matrix;

/// Up to this many genes the covariances are formed and decomposed exactly.
const FEW_GENES: usize = 300;
/// Dimensions of the subspace beyond the components.
const BEYOND: usize = 10;
/// Products with `AᵀA` before the last one.
const ITERATIONS: usize = 5;
/// Blocks that are worked on at once.
const GROUP: usize = 4;

/// Loadings and variances.
pub(super) struct Components {
    /// `[genes, k]`, columns orthonormal, the largest entry of each positive.
    pub(super) loadings: Vec<f64>,
    /// Variance along each component (with n - 1), descending.
    pub(super) variances: Vec<f64>,
}

/// The leading `k` components of `(x - mean) / sd` of `n` cells, columns standing for genes.
pub(super) fn principal_components(
    x: &mut Kept,
    n: usize,
    mean: &[f64],
    sd: &[f64],
    k: usize,
    seed: u64,
) -> Result<Components, PreprocessError> {
    let m = mean.len();
    let k = k.min(m).min(n.saturating_sub(1)).max(1);
    let scale: Vec<f64> = sd.iter().map(|s| 1.0 / s).collect();
    let degrees = (n.max(2) - 1) as f64;
    if m <= FEW_GENES {
        let mut covariance = products(x, mean, &scale)?;
        covariance.iter_mut().for_each(|c| *c /= degrees);
        let eigen = symmetric_eigen(&covariance, m)?;
        let mut loadings = Vec::with_capacity(m * k);
        for gene in 0..m {
            loadings.extend((0..k).map(|j| eigen.vectors[gene * m + m - 1 - j]));
        }
        let variances = (0..k).map(|j| eigen.values[m - 1 - j].max(0.0)).collect();
        return Ok(Components { loadings, variances });
    }
    let width = (k + BEYOND).min(m);
    let mut rng = Pcg64::seed_from_u64(sub_seed(seed, "principal components"));
    let mut subspace: Vec<f64> = (0..m * width).map(|_| StandardNormal.sample(&mut rng)).collect();
    for _ in 0..ITERATIONS {
        subspace = qr(&subspace, m, width)?.q;
        subspace = product(x, mean, &scale, &subspace, width)?;
    }
    let subspace = qr(&subspace, m, width)?.q;
    let image = product(x, mean, &scale, &subspace, width)?;
    let mut scratch = GemmScratch::new();
    let mut within = vec![0.0; width * width];
    gemm((width, width, m), Transpose::A, &subspace, &image, false, &mut within, &mut scratch);
    let symmetric: Vec<f64> =
        (0..width * width).map(|i| 0.5 * (within[i] + within[i % width * width + i / width])).collect();
    let eigen = symmetric_eigen(&symmetric, width)?;
    // Descending.
    let mut rotation = Vec::with_capacity(width * k);
    for row in eigen.vectors.chunks_exact(width) {
        rotation.extend(row.iter().rev().take(k));
    }
    let mut loadings = vec![0.0; m * k];
    gemm((m, k, width), Transpose::None, &subspace, &rotation, false, &mut loadings, &mut scratch);
    for j in 0..k {
        let column = || (0..m).map(|gene| loadings[gene * k + j]);
        let largest = column().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        if largest < 0.0 {
            (0..m).for_each(|gene| loadings[gene * k + j] *= -1.0);
        }
    }
    let variances = eigen.values.iter().rev().take(k).map(|v| v.max(0.0) / degrees).collect();
    Ok(Components { loadings, variances })
}

/// `AᵀA`, `[m, m]`, of the scaled genes `A`, summed block by block in the order of the cells.
fn products(x: &mut Kept, mean: &[f64], scale: &[f64]) -> Result<Vec<f64>, PreprocessError> {
    let m = mean.len();
    let mut sums = vec![0.0; m * m];
    let (mut block, mut scratch) = (Vec::new(), GemmScratch::new());
    x.each(1, |_, blocks| {
        for x in blocks {
            standardise(x, mean, scale, &mut block);
            gemm((m, m, x.rows()), Transpose::A, &block, &block, true, &mut sums, &mut scratch);
        }
        Ok(())
    })?;
    Ok(sums)
}

/// Sets `out` to the scaled genes of a block, `[rows, m]`.
fn standardise(x: &Matrix, mean: &[f64], scale: &[f64], out: &mut Vec<f64>) {
    let zero = mean.iter().zip(scale).map(|(c, s)| -c * s);
    out.clear();
    for i in 0..x.rows() {
        let start = out.len();
        out.extend(zero.clone());
        x.for_row(i, |j, v| out[start + j] += f64::from(v) * scale[j]);
    }
}

/// `AᵀA s`, `[m, width]`, for `s` of that shape and the scaled genes `A`, summed block by block in the order of the cells.
fn product(
    x: &mut Kept,
    mean: &[f64],
    scale: &[f64],
    s: &[f64],
    width: usize,
) -> Result<Vec<f64>, PreprocessError> {
    let m = mean.len();
    // A s = x t - shift with t = s / sd.
    let t: Vec<f64> = s.iter().enumerate().map(|(i, s)| s * scale[i / width]).collect();
    let mut shift = vec![0.0; width];
    for (t, mean) in t.chunks_exact(width).zip(mean) {
        shift.iter_mut().zip(t).for_each(|(c, t)| *c += mean * t);
    }
    let mut sums = vec![0.0; m * width];
    let mut total = vec![0.0; width];
    let mut parts: Vec<Part> = (0..GROUP.min(x.len())).map(|_| Part::default()).collect();
    x.each(GROUP, |_, blocks| {
        parts.par_iter_mut().zip(blocks).for_each(|(part, x)| part.of(x, &t, &shift, width));
        for part in &parts[..blocks.len()] {
            sums.iter_mut().zip(&part.sums).for_each(|(a, b)| *a += b);
            total.iter_mut().zip(&part.total).for_each(|(a, b)| *a += b);
        }
        Ok(())
    })?;
    // Aᵀ p = (xᵀ p - mean Σ p) / sd.
    for (gene, row) in sums.chunks_exact_mut(width).enumerate() {
        row.iter_mut().zip(&total).for_each(|(z, p)| *z = (*z - mean[gene] * p) * scale[gene]);
    }
    Ok(sums)
}

/// The product of one block.
#[derive(Default)]
struct Part {
    /// `x t - shift`, `[rows, width]`.
    image: Vec<f64>,
    /// `xᵀ image`, `[m, width]`.
    sums: Vec<f64>,
    /// Sum of the image over the cells, `[width]`.
    total: Vec<f64>,
    dense: Vec<f64>,
    scratch: GemmScratch<f64>,
}

impl Part {
    fn of(&mut self, x: &Matrix, t: &[f64], shift: &[f64], width: usize) {
        let (rows, m) = (x.rows(), t.len() / width);
        self.image.clear();
        self.image.resize(rows * width, 0.0);
        self.sums.clear();
        self.sums.resize(m * width, 0.0);
        if let Matrix::Dense(x) = x {
            self.dense.clear();
            self.dense.extend(x.values.iter().map(|&v| f64::from(v)));
            let (dense, image) = (&self.dense, &mut self.image);
            gemm((rows, width, m), Transpose::None, dense, t, false, image, &mut self.scratch);
        } else {
            for (i, p) in self.image.chunks_exact_mut(width).enumerate() {
                x.for_row(i, |j, v| add(p, f64::from(v), &t[j * width..(j + 1) * width]));
            }
        }
        self.total.clear();
        self.total.resize(width, 0.0);
        for p in self.image.chunks_exact_mut(width) {
            add(p, -1.0, shift);
            add(&mut self.total, 1.0, p);
        }
        if let Matrix::Dense(_) = x {
            let (dense, sums) = (&self.dense, &mut self.sums);
            gemm((m, width, rows), Transpose::A, dense, &self.image, false, sums, &mut self.scratch);
        } else {
            for (i, p) in self.image.chunks_exact(width).enumerate() {
                x.for_row(i, |j, v| add(&mut self.sums[j * width..(j + 1) * width], f64::from(v), p));
            }
        }
    }
}

#[inline]
fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::{CsrMatrix, DenseMatrix};

    const GENES: usize = 360;

    /// Counts of three programs with few entries, in both forms.
    fn counts(n: usize) -> [Matrix; 2] {
        let wave = |a: usize, b: usize| ((a * 37 + b * 101) as f64 * 0.618).fract();
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut dense = vec![0.0; n * GENES];
        for i in 0..n {
            for j in 0..GENES {
                let program = wave(i, 7 * (j % 3) + 1) * (1.0 + (j % 3) as f64);
                let x = (3.0 * program * wave(i * 13 + j, j * 29 + i)) as f32;
                if x > 1.5 {
                    indices.push(j as i64);
                    values.push(x);
                    dense[i * GENES + j] = x;
                }
            }
            indptr.push(values.len() as i64);
        }
        let sparse = CsrMatrix::new(n, GENES, &indptr, &indices, values).unwrap();
        [Matrix::Sparse(sparse), Matrix::Dense(DenseMatrix { rows: n, cols: GENES, values: dense })]
    }

    /// Of more genes than have their covariances formed, components are those of the covariances nevertheless; sparse and dense alike.
    #[test]
    fn iterations_find_the_covariances_components() {
        let (n, k) = (2500, 3);
        let [sparse, dense] = counts(n);
        let mut moments = vec![[0.0_f64; 2]; GENES];
        for i in 0..n {
            dense.for_row(i, |j, v| {
                moments[j][0] += f64::from(v) / n as f64;
                moments[j][1] += f64::from(v).powi(2) / n as f64;
            });
        }
        let mean: Vec<f64> = moments.iter().map(|m| m[0]).collect();
        let sd: Vec<f64> = moments.iter().map(|m| (m[1] - m[0] * m[0]).sqrt()).collect();
        let of = |x: &Matrix| {
            let mut kept = Kept::new(u64::MAX, None);
            kept.push(x).unwrap();
            kept.close().unwrap();
            let found = principal_components(&mut kept, n, &mean, &sd, k, 3).unwrap();
            let scale: Vec<f64> = sd.iter().map(|s| 1.0 / s).collect();
            (found, products(&mut kept, &mean, &scale).unwrap())
        };
        let (found, covariance) = of(&sparse);
        let exact = symmetric_eigen(&covariance, GENES).unwrap();
        for c in 0..k {
            let value = exact.values[GENES - 1 - c] / (n - 1) as f64;
            let off = (found.variances[c] / value - 1.0).abs();
            assert!(off < 1e-6, "component {c}: variance {} instead of {value}", found.variances[c]);
            let dot: f64 = (0..GENES)
                .map(|j| found.loadings[j * k + c] * exact.vectors[j * GENES + GENES - 1 - c])
                .sum();
            assert!((dot.abs() - 1.0).abs() < 1e-6, "component {c}: {dot}");
        }
        let (other, _) = of(&dense);
        for (a, b) in found.loadings.iter().zip(&other.loadings) {
            assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
    }
}
