//! The stored way from expression to coordinates.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::blocks::{BlockError, Kept};
use super::options::Look;
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
    pub fn fit(x: Matrix, genes: &[String], options: &PreprocessOptions) -> Result<Fitted, PreprocessError> {
        let mut kept = Kept::new(u64::MAX, None);
        let transform = Self::fit_blocks(&x, genes, options, &mut kept).map_err(|error| match error {
            BlockError::Preprocess(error) => error,
            BlockError::Read(never) => match never {},
        })?;
        let mut states = Vec::with_capacity(x.rows() * transform.dim());
        drop(x);
        transform.project_kept(&mut kept, |block| {
            states.extend_from_slice(block);
            Ok(())
        })?;
        Ok(Fitted { transform, states })
    }

    /// Calls `f` with the coordinates of cells in their order, `[block, components]`, from what [`fit_blocks`](Self::fit_blocks) kept of them.
    pub(crate) fn project_kept(
        &self,
        kept: &mut Kept,
        mut f: impl FnMut(&[f32]) -> Result<(), PreprocessError>,
    ) -> Result<(), PreprocessError> {
        kept.each(1, |_, blocks| blocks.iter().try_for_each(|block| f(&self.project(block))))
    }

    /// Coordinates of new cells, `[n, components]`; genes are matched by name.
    ///
    /// Genes that the fitted file did not have are left out, so that they change no total. Where genes of the total are missing,
    /// the counts of the others are scaled to `target_sum` less the part that the missing ones had in the fitted cells.
    ///
    /// # Errors
    /// [`PreprocessError::AmbiguousGene`], [`PreprocessError::MissingGenes`], [`PreprocessError::MissingCounts`],
    /// [`PreprocessError::BadEntry`].
    pub fn apply(&self, x: &Matrix, genes: &[String]) -> Result<Vec<f32>, PreprocessError> {
        self.reader(genes)?.states(0, x)
    }

    /// What takes new cells with these genes to the coordinates, some at a time.
    ///
    /// # Errors
    /// Those of [`apply`](Self::apply) that do not depend on the cells.
    pub(crate) fn reader(&self, genes: &[String]) -> Result<TransformReader<'_>, PreprocessError> {
        self.check_genes(genes)?;
        let read = self.genes_read();
        let columns: Vec<usize> = (0..genes.len()).filter(|&j| read.contains(genes[j].as_str())).collect();
        let known: Vec<String> = columns.iter().map(|&j| genes[j].clone()).collect();
        let places: HashMap<&str, usize> = known.iter().enumerate().map(|(j, g)| (g.as_str(), j)).collect();
        // All are there, or `check_genes` had refused.
        let chosen = self.genes.iter().filter_map(|g| places.get(g.as_str()).copied()).collect();
        let target = self.target_sum * (1.0 - self.missing_counts(&known).share);
        let all = columns.len() == genes.len();
        drop(places);
        Ok(TransformReader { transform: self, columns: (!all).then_some(columns), known, chosen, target })
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

/// A transform with the genes of a file.
pub(crate) struct TransformReader<'a> {
    transform: &'a Transform,
    /// Columns of the file that have a part; none if all have.
    columns: Option<Vec<usize>>,
    /// Their genes.
    known: Vec<String>,
    /// Where among these the genes of the transform are.
    chosen: Vec<usize>,
    /// What a cell's counts are scaled to sum to.
    target: f64,
}

impl TransformReader<'_> {
    /// Coordinates of some cells of the file, from number `first` on.
    ///
    /// # Errors
    /// [`PreprocessError::BadEntry`].
    pub(crate) fn states(&self, first: usize, x: &Matrix) -> Result<Vec<f32>, PreprocessError> {
        let transform = self.transform;
        let read = self.columns.as_ref().map(|columns| x.select_columns(columns));
        let x = read.as_ref().unwrap_or(x);
        Look::of(transform.kind).at(first, x, &self.known)?;
        let mut chosen = x.select_columns(&self.chosen);
        if transform.kind == ExpressionKind::Counts {
            scale_rows(&mut chosen, &row_sums(x), self.target);
        }
        let mut chosen = logarithms(chosen, transform.kind);
        clip_values(&mut chosen, &transform.mean, &transform.sd, transform.clip);
        Ok(transform.project(&chosen))
    }
}

pub(super) fn row_sums(x: &Matrix) -> Vec<f64> {
    (0..x.rows())
        .map(|i| {
            let mut sum = 0.0;
            x.for_row(i, |_, v| sum += f64::from(v));
            sum
        })
        .collect()
}

/// Scales the counts of each cell to one sum; a cell without counts stays as it is.
pub(super) fn scale_rows(x: &mut Matrix, sums: &[f64], target: f64) {
    x.change_rows(|i, values| {
        if sums[i] > 0.0 {
            let factor = target / sums[i];
            for v in values {
                *v = (f64::from(*v) * factor) as f32;
            }
        }
    });
}

pub(super) fn logarithms(mut x: Matrix, kind: ExpressionKind) -> Matrix {
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
pub(super) fn clip_values(x: &mut Matrix, mean: &[f64], sd: &[f64], clip: Option<f64>) {
    let Some(clip) = clip else { return };
    let top: Vec<f32> = mean.iter().zip(sd).map(|(m, s)| ((m + clip * s) as f32).max(0.0)).collect();
    x.change_entries(|j, v| v.min(top[j]));
}
