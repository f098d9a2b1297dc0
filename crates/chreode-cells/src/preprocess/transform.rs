//! The stored way from expression to coordinates.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::genes::{Moments, most_variable};
use super::pca::principal_components;
use super::{ExpressionKind, PreprocessError, PreprocessOptions};
use crate::matrix::Matrix;
use crate::names::Known;

/// Everything needed to take new cells to the coordinates of the old ones, and to read genes off coordinates.
///
/// A cell's coordinates are `Σ_g (min(z_g, clip) - centre_g) · loadings[g]` with `z_g = (ln(1 + x_g) - mean_g) / sd_g` and `x`
/// its expression scaled to `target_sum`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// What the numbers were; never `Auto`.
    pub kind: ExpressionKind,
    /// What each cell's counts are scaled to sum to, over all genes of its file; 0 if they are not counts.
    pub target_sum: f64,
    /// How many genes the fitted file had in all.
    pub all_genes: usize,
    /// The genes kept.
    pub genes: Vec<String>,
    /// Mean of each gene's logarithm.
    pub mean: Vec<f64>,
    /// Standard deviation of each gene's logarithm.
    pub sd: Vec<f64>,
    /// Where scaled expression is cut.
    pub clip: Option<f64>,
    /// Mean of scaled expression after the cut; 0 but for genes with large values.
    pub centre: Vec<f64>,
    /// `[genes, components]`, columns orthonormal.
    pub loadings: Vec<f64>,
    /// Variance along each component, descending.
    pub variances: Vec<f64>,
}

/// What [`Transform::fit`] brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The transform.
    pub transform: Transform,
    /// Coordinates of the cells it was fitted to, `[n, components]`.
    pub states: Vec<f32>,
}

impl Transform {
    /// Number of coordinates.
    pub fn dim(&self) -> usize {
        self.variances.len()
    }

    /// What was done, in a line for the log.
    pub fn summary(&self) -> String {
        let kind = match self.kind {
            ExpressionKind::Counts => format!("counts, scaled to {:.6} per cell", self.target_sum),
            ExpressionKind::Normalised => "normalised expression".to_owned(),
            ExpressionKind::Log | ExpressionKind::Auto => "logarithms".to_owned(),
        };
        format!(
            "the state is {} principal components of {} of {} genes, taken for {kind}",
            self.dim(),
            self.genes.len(),
            self.all_genes
        )
    }

    /// Learns a transform from cells by genes, and applies it.
    ///
    /// # Errors
    /// [`PreprocessError`].
    pub fn fit(
        mut x: Matrix,
        genes: &[String],
        options: &PreprocessOptions,
    ) -> Result<Fitted, PreprocessError> {
        let n = x.rows();
        let kind = options.kind.resolve(&x, genes)?;
        let mut target_sum = 0.0;
        if kind == ExpressionKind::Counts {
            let sums = row_sums(&x);
            target_sum = options.target_sum.unwrap_or_else(|| median_of_positive(&sums));
            scale_rows(&mut x, &sums, target_sum);
        }
        let mut moments = vec![Moments::default(); x.cols()];
        let exponentiate = kind == ExpressionKind::Log;
        for i in 0..n {
            x.for_row(i, |j, v| {
                let v = f64::from(v);
                moments[j].add(if exponentiate { v.exp_m1() } else { v });
            });
        }
        let chosen = most_variable(&moments, n, options.genes);
        let x = x.select_columns(&chosen);
        let mut x = logarithms(x, kind);
        let mut moments = vec![Moments::default(); chosen.len()];
        for i in 0..n {
            x.for_row(i, |j, v| moments[j].add(f64::from(v)));
        }
        let (mean, sd): (Vec<f64>, Vec<f64>) = moments
            .iter()
            .map(|m| m.mean_variance(n))
            .map(|(mean, variance)| (mean, variance.sqrt()))
            .unzip();
        // Variance in counts is variance in logarithms, but for rounding.
        let kept: Vec<usize> = (0..chosen.len()).filter(|&j| sd[j] > 1e-9 * mean[j].abs()).collect();
        if kept.is_empty() {
            return Err(PreprocessError::NoVariation { cells: n });
        }
        if kept.len() < chosen.len() {
            x = x.select_columns(&kept);
        }
        let pick = |v: &[f64]| kept.iter().map(|&j| v[j]).collect::<Vec<f64>>();
        let (mean, sd) = (pick(&mean), pick(&sd));
        clip_values(&mut x, &mean, &sd, options.clip);
        let mut sums = vec![0.0; kept.len()];
        for i in 0..n {
            x.for_row(i, |j, v| sums[j] += f64::from(v));
        }
        let clipped_mean: Vec<f64> = sums.iter().map(|s| s / n as f64).collect();
        let found = principal_components(&x, &clipped_mean, &sd, options.components, options.seed)?;
        let centre = (0..kept.len()).map(|j| (clipped_mean[j] - mean[j]) / sd[j]).collect();
        let transform = Self {
            kind,
            target_sum,
            all_genes: genes.len(),
            genes: kept.iter().map(|&j| genes[chosen[j]].clone()).collect(),
            mean,
            sd,
            clip: options.clip,
            centre,
            loadings: found.loadings,
            variances: found.variances,
        };
        let states = transform.project(&x);
        Ok(Fitted { transform, states })
    }

    /// Coordinates of new cells, `[n, components]`; genes are matched by name.
    ///
    /// # Errors
    /// [`PreprocessError::MissingGenes`], [`PreprocessError::BadEntry`].
    pub fn apply(&self, mut x: Matrix, genes: &[String]) -> Result<Vec<f32>, PreprocessError> {
        let places: HashMap<&str, usize> = genes.iter().enumerate().map(|(j, g)| (g.as_str(), j)).collect();
        let columns: Vec<usize> = self.genes.iter().filter_map(|g| places.get(g.as_str()).copied()).collect();
        if columns.len() < self.genes.len() {
            let gene =
                self.genes.iter().find(|g| !places.contains_key(g.as_str())).cloned().unwrap_or_default();
            return Err(PreprocessError::MissingGenes {
                missing: self.genes.len() - columns.len(),
                needed: self.genes.len(),
                known: Box::new(Known::near(&gene, genes.iter().map(String::as_str))),
                gene,
            });
        }
        self.kind.resolve(&x, genes)?;
        if self.kind == ExpressionKind::Counts {
            let sums = row_sums(&x);
            scale_rows(&mut x, &sums, self.target_sum);
        }
        let mut x = logarithms(x.select_columns(&columns), self.kind);
        clip_values(&mut x, &self.mean, &self.sd, self.clip);
        Ok(self.project(&x))
    }

    /// Coordinates from prepared logarithms of the kept genes. A cell's bits do not depend on its neighbours.
    fn project(&self, x: &Matrix) -> Vec<f32> {
        let k = self.dim();
        // What a cell without any expression has.
        let mut zero = vec![0.0; k];
        let weight = |j: usize| &self.loadings[j * k..(j + 1) * k];
        for j in 0..self.genes.len() {
            let z = -self.mean[j] / self.sd[j] - self.centre[j];
            for (s, w) in zero.iter_mut().zip(weight(j)) {
                *s += z * w;
            }
        }
        let mut states = vec![0.0_f32; x.rows() * k];
        states.par_chunks_mut(k).enumerate().for_each_init(
            || vec![0.0; k],
            |sum, (i, state)| {
                sum.copy_from_slice(&zero);
                x.for_row(i, |j, v| {
                    let z = f64::from(v) / self.sd[j];
                    for (s, w) in sum.iter_mut().zip(weight(j)) {
                        *s += z * w;
                    }
                });
                for (state, s) in state.iter_mut().zip(&*sum) {
                    *state = *s as f32;
                }
            },
        );
        states
    }
}

fn row_sums(x: &Matrix) -> Vec<f64> {
    (0..x.rows())
        .map(|i| {
            let mut sum = 0.0;
            x.for_row(i, |_, v| sum += f64::from(v));
            sum
        })
        .collect()
}

/// Median of the positive sums, as scanpy takes it; 1 if no cell has any count.
fn median_of_positive(sums: &[f64]) -> f64 {
    let mut positive: Vec<f64> = sums.iter().copied().filter(|&s| s > 0.0).collect();
    positive.sort_by(f64::total_cmp);
    match positive.len() {
        0 => 1.0,
        n if n % 2 == 1 => positive[n / 2],
        n => 0.5 * (positive[n / 2 - 1] + positive[n / 2]),
    }
}

/// Scales the counts of each cell to one sum; a cell without counts stays as it is.
fn scale_rows(x: &mut Matrix, sums: &[f64], target: f64) {
    x.change_rows(|i, values| {
        if sums[i] > 0.0 {
            let factor = target / sums[i];
            for v in values {
                *v = (f64::from(*v) * factor) as f32;
            }
        }
    });
}

fn logarithms(mut x: Matrix, kind: ExpressionKind) -> Matrix {
    if kind != ExpressionKind::Log {
        x.values_mut().par_chunks_mut(1 << 14).for_each(|values| {
            for v in values {
                *v = f64::from(*v).ln_1p() as f32;
            }
        });
    }
    x
}

/// Cuts large values; small ones are zeros for most genes and need no cut (nor does a zero ever change).
fn clip_values(x: &mut Matrix, mean: &[f64], sd: &[f64], clip: Option<f64>) {
    let Some(clip) = clip else { return };
    let top: Vec<f32> = mean.iter().zip(sd).map(|(m, s)| ((m + clip * s) as f32).max(0.0)).collect();
    x.change_entries(|j, v| v.min(top[j]));
}
