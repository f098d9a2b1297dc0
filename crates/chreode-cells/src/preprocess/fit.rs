//! Learning a transform from cells that are read in blocks.
//!
//! Three passes over all genes (what the numbers are and how many counts a cell has; which genes vary; the logarithms of those), then
//! passes over what is kept of the chosen genes alone. Sums over cells are taken in their order, so that bits do not depend on the blocks.

use std::collections::HashMap;

use super::blocks::{BlockError, Blocks, Kept};
use super::genes::{Moments, most_variable};
use super::options::Look;
use super::pca::principal_components;
use super::transform::{clip_values, logarithms, row_sums, scale_rows};
use super::{ExpressionKind, PreprocessError, PreprocessOptions, Transform};

impl Transform {
    /// Learns a transform from cells by genes, and leaves what [`project_kept`](Self::project_kept) makes their coordinates from in `kept`, which
    /// is empty.
    ///
    /// # Errors
    /// [`BlockError`].
    pub(crate) fn fit_blocks<B: Blocks>(
        x: &B,
        genes: &[String],
        options: &PreprocessOptions,
        kept: &mut Kept,
    ) -> Result<Self, BlockError<B::Error>> {
        let n = x.rows();
        let mut look = Look::of(options.kind);
        let (mut totals, mut counts) = (Vec::with_capacity(n), vec![0.0; genes.len()]);
        x.pass(&mut |first, block| {
            look.at(first, block, genes)?;
            totals.extend(row_sums(block));
            for i in 0..block.rows() {
                block.for_row(i, |j, v| counts[j] += f64::from(v));
            }
            Ok(())
        })?;
        let kind = look.kind();
        let counted = kind == ExpressionKind::Counts;
        let target_sum =
            if counted { options.target_sum.unwrap_or_else(|| median_of_positive(totals)) } else { 0.0 };
        let mut moments = vec![Moments::default(); genes.len()];
        x.pass(&mut |_, block| {
            for (i, sum) in row_sums(block).into_iter().enumerate() {
                let factor = if counted && sum > 0.0 { target_sum / sum } else { 1.0 };
                block.for_row(i, |j, v| {
                    let v = f64::from((f64::from(v) * factor) as f32);
                    moments[j].add(if kind == ExpressionKind::Log { v.exp_m1() } else { v });
                });
            }
            Ok(())
        })?;
        // A gene is found again by its name: two of one name are no candidates.
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(genes.len());
        for (j, gene) in genes.iter().enumerate() {
            if let Some(first) = seen.insert(gene, j) {
                (moments[first], moments[j]) = (Moments::default(), Moments::default());
            }
        }
        let chosen = most_variable(&moments, n, options.genes);
        let mut moments = vec![Moments::default(); chosen.len()];
        x.pass(&mut |_, block| {
            let mut of_chosen = block.select_columns(&chosen);
            if counted {
                scale_rows(&mut of_chosen, &row_sums(block), target_sum);
            }
            let of_chosen = logarithms(of_chosen, kind);
            for i in 0..of_chosen.rows() {
                of_chosen.for_row(i, |j, v| moments[j].add(f64::from(v)));
            }
            kept.push(&of_chosen)
        })?;
        kept.close()?;
        let (mean, sd): (Vec<f64>, Vec<f64>) = moments
            .iter()
            .map(|m| m.mean_variance(n))
            .map(|(mean, variance)| (mean, variance.sqrt()))
            .unzip();
        // Variance in counts is variance in logarithms, but for rounding.
        let varying: Vec<usize> = (0..chosen.len()).filter(|&j| sd[j] > 1e-9 * mean[j].abs()).collect();
        if varying.is_empty() {
            return Err(PreprocessError::NoVariation { cells: n }.into());
        }
        let pick = |v: &[f64]| varying.iter().map(|&j| v[j]).collect::<Vec<f64>>();
        let (mean, sd) = (pick(&mean), pick(&sd));
        let mut sums = vec![0.0; varying.len()];
        kept.change(|block| {
            let mut block = if varying.len() < chosen.len() { block.select_columns(&varying) } else { block };
            clip_values(&mut block, &mean, &sd, options.clip);
            for i in 0..block.rows() {
                block.for_row(i, |j, v| sums[j] += f64::from(v));
            }
            block
        })?;
        let clipped_mean: Vec<f64> = sums.iter().map(|s| s / n as f64).collect();
        let found = principal_components(kept, n, &clipped_mean, &sd, options.components, options.seed)?;
        let centre = (0..varying.len()).map(|j| (clipped_mean[j] - mean[j]) / sd[j]).collect();
        Ok(Self {
            kind,
            target_sum,
            all_genes: genes.len(),
            counted: if counted { genes.to_vec() } else { Vec::new() },
            counted_share: if counted { shares(counts) } else { Vec::new() },
            genes: varying.iter().map(|&j| genes[chosen[j]].clone()).collect(),
            mean,
            sd,
            clip: options.clip,
            centre,
            loadings: found.loadings,
            variances: found.variances,
        })
    }
}

/// The part of each in the sum of all; zeros if that is 0.
fn shares(mut sums: Vec<f64>) -> Vec<f64> {
    let all: f64 = sums.iter().sum();
    if all > 0.0 {
        sums.iter_mut().for_each(|s| *s /= all);
    }
    sums
}

/// Median of the positive sums, as scanpy takes it; 1 if no cell has any count.
fn median_of_positive(mut sums: Vec<f64>) -> f64 {
    sums.retain(|&s| s > 0.0);
    sums.sort_unstable_by(f64::total_cmp);
    match sums.len() {
        0 => 1.0,
        n if n % 2 == 1 => sums[n / 2],
        n => 0.5 * (sums[n / 2 - 1] + sums[n / 2]),
    }
}
