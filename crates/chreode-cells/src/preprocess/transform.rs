//! The stored way from expression to coordinates.

use std::collections::{HashMap, HashSet};

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
/// its expression; counts are first scaled so that those of the genes `counted` sum to `target_sum`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transform {
    /// What the numbers were; never `Auto`.
    pub kind: ExpressionKind,
    /// What each cell's counts are scaled to sum to, over the genes `counted`; 0 if they are not counts.
    pub target_sum: f64,
    /// How many genes the fitted file had in all.
    pub all_genes: usize,
    /// The genes that a cell's counts are totalled over: all of the fitted file, in its order; none if they are not counts.
    pub counted: Vec<String>,
    /// The part that each of them had in all counts of the fitted cells; sums to 1.
    pub counted_share: Vec<f64>,
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

/// Genes that the totals of a [`Transform`] are taken over and that new cells lack.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MissingCounts {
    /// How many.
    pub genes: usize,
    /// The part that they had in all counts of the fitted cells.
    pub share: f64,
}

impl MissingCounts {
    /// The largest part that may be missing. A cell's own part of the missing counts is not known, and is taken for that of
    /// the fitted cells: with a tenth missing and twice that in one cell, its logarithms are off by 0.12 at most.
    pub const MOST: f64 = 0.1;
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
            ExpressionKind::Counts => format!("counts, scaled to {} per cell", self.target_sum),
            ExpressionKind::Normalised => "normalised expression".to_owned(),
            ExpressionKind::Log | ExpressionKind::Auto => "logarithms".to_owned(),
        };
        // Few genes are a table's columns, among which an input or a batch may have slipped in.
        let names =
            if self.all_genes <= 60 { format!(" ({})", self.genes.join(", ")) } else { String::new() };
        format!(
            "the state is {} principal components of {} of {} genes{names}, taken for {kind}",
            self.dim(),
            self.genes.len(),
            self.all_genes
        )
    }

    /// Learns a transform from cells by genes, and applies it. Genes that share a name count for the totals but are not
    /// chosen.
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
        let (mut counted, mut counted_share) = (Vec::new(), Vec::new());
        if kind == ExpressionKind::Counts {
            (counted, counted_share) = (genes.to_vec(), column_shares(&x));
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
        // A gene is found again by its name: two of one name are no candidates.
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(genes.len());
        for (j, gene) in genes.iter().enumerate() {
            if let Some(first) = seen.insert(gene, j) {
                (moments[first], moments[j]) = (Moments::default(), Moments::default());
            }
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
            counted,
            counted_share,
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
    /// Genes that the fitted file did not have are left out, so that they change no total. Where genes of the total are missing,
    /// the counts of the others are scaled to `target_sum` less the part that the missing ones had in the fitted cells.
    ///
    /// # Errors
    /// [`PreprocessError::AmbiguousGene`], [`PreprocessError::MissingGenes`], [`PreprocessError::MissingCounts`],
    /// [`PreprocessError::BadEntry`].
    pub fn apply(&self, x: Matrix, genes: &[String]) -> Result<Vec<f32>, PreprocessError> {
        self.check_genes(genes)?;
        let read = self.genes_read();
        let columns: Vec<usize> = (0..genes.len()).filter(|&j| read.contains(genes[j].as_str())).collect();
        let (mut x, known) = if columns.len() == genes.len() {
            (x, genes.to_vec())
        } else {
            (x.select_columns(&columns), columns.iter().map(|&j| genes[j].clone()).collect())
        };
        self.kind.resolve(&x, &known)?;
        if self.kind == ExpressionKind::Counts {
            let sums = row_sums(&x);
            scale_rows(&mut x, &sums, self.target_sum * (1.0 - self.missing_counts(&known).share));
        }
        let places: HashMap<&str, usize> = known.iter().enumerate().map(|(j, g)| (g.as_str(), j)).collect();
        // All are there, or `check_genes` had refused.
        let columns: Vec<usize> = self.genes.iter().filter_map(|g| places.get(g.as_str()).copied()).collect();
        let mut x = logarithms(x.select_columns(&columns), self.kind);
        clip_values(&mut x, &self.mean, &self.sd, self.clip);
        Ok(self.project(&x))
    }

    /// The genes of a file that [`apply`](Self::apply) looks at; any other has no part in the coordinates.
    pub(crate) fn genes_read(&self) -> HashSet<&str> {
        self.genes.iter().chain(&self.counted).map(String::as_str).collect()
    }

    /// Which of the genes that counts are totalled over are not among `genes`.
    pub fn missing_counts(&self, genes: &[String]) -> MissingCounts {
        let there: HashSet<&str> = genes.iter().map(String::as_str).collect();
        let missing = self.counted.iter().zip(&self.counted_share).filter(|g| !there.contains(g.0.as_str()));
        missing.fold(MissingCounts::default(), |sum, (_, share)| MissingCounts {
            genes: sum.genes + 1,
            share: sum.share + share,
        })
    }

    /// Checks that new cells with these genes can be taken to the coordinates.
    ///
    /// # Errors
    /// [`PreprocessError::AmbiguousGene`], [`PreprocessError::MissingGenes`], [`PreprocessError::MissingCounts`].
    pub(crate) fn check_genes(&self, genes: &[String]) -> Result<(), PreprocessError> {
        let needed: HashSet<&str> = self.genes.iter().map(String::as_str).collect();
        let mut there: HashSet<&str> = HashSet::with_capacity(genes.len());
        for gene in genes {
            if !there.insert(gene) && needed.contains(gene.as_str()) {
                return Err(PreprocessError::AmbiguousGene { gene: gene.clone() });
            }
        }
        let mut missing = self.genes.iter().filter(|g| !there.contains(g.as_str()));
        if let Some(gene) = missing.next() {
            return Err(PreprocessError::MissingGenes {
                missing: 1 + missing.count(),
                needed: self.genes.len(),
                known: Box::new(Known::near(gene, genes.iter().map(String::as_str))),
                gene: gene.clone(),
            });
        }
        let MissingCounts { genes: missing, share } = self.missing_counts(genes);
        if share > MissingCounts::MOST {
            return Err(PreprocessError::MissingCounts { missing, all: self.counted.len(), share });
        }
        Ok(())
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

/// The part of each column in the sum of all; zeros if that is 0.
fn column_shares(x: &Matrix) -> Vec<f64> {
    let mut sums = vec![0.0; x.cols()];
    for i in 0..x.rows() {
        x.for_row(i, |j, v| sums[j] += f64::from(v));
    }
    let all: f64 = sums.iter().sum();
    if all > 0.0 {
        for s in &mut sums {
            *s /= all;
        }
    }
    sums
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
