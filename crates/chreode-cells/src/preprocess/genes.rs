//! The most variable genes.

use std::cmp::Ordering;

/// Sum and sum of squares of one gene over the cells.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Moments {
    pub(super) sum: f64,
    pub(super) squares: f64,
}

impl Moments {
    #[inline(always)]
    pub(super) fn add(&mut self, x: f64) {
        self.sum += x;
        self.squares += x * x;
    }

    /// Mean and variance (with n - 1) over `n` cells; entries never added are zeros.
    pub(super) fn mean_variance(self, n: usize) -> (f64, f64) {
        let mean = self.sum / n as f64;
        let variance = (self.squares - self.sum * mean) / (n.max(2) - 1) as f64;
        (mean, variance.max(0.0))
    }
}

/// Bins of genes with similar mean expression.
const BINS: usize = 20;

/// The `top` genes whose dispersion stands out most among genes of similar mean, ascending; genes without
/// variance never.
///
/// `moments` are those of normalised expression without logarithm. The logarithm of variance over mean is compared with mean
/// and standard deviation of its bin, of twenty bins of equal width in `ln(1 + mean)`. Source: Satija et al. (2015), Nat.
/// Biotechnol. 33, 495-502; the same choice as scanpy's flavour `seurat`.
pub(super) fn most_variable(moments: &[Moments], n: usize, top: usize) -> Vec<usize> {
    struct Gene {
        number: usize,
        mean: f64,
        dispersion: f64,
    }
    let varying: Vec<Gene> = moments
        .iter()
        .enumerate()
        .filter_map(|(number, m)| {
            let (mean, variance) = m.mean_variance(n);
            let dispersion = (variance / mean.max(1e-12)).ln();
            (variance > 0.0 && dispersion.is_finite()).then(|| Gene {
                number,
                mean: mean.max(0.0).ln_1p(),
                dispersion,
            })
        })
        .collect();
    if varying.len() <= top {
        return varying.iter().map(|g| g.number).collect();
    }
    let low = varying.iter().fold(f64::INFINITY, |a, g| a.min(g.mean));
    let high = varying.iter().fold(f64::NEG_INFINITY, |a, g| a.max(g.mean));
    let bin = |g: &Gene| {
        let place = (g.mean - low) / (high - low).max(f64::MIN_POSITIVE) * BINS as f64;
        (place as usize).min(BINS - 1)
    };
    let mut counts = [0; BINS];
    let mut bins = [Moments::default(); BINS];
    for g in &varying {
        counts[bin(g)] += 1;
        bins[bin(g)].add(g.dispersion);
    }
    let mut scored: Vec<(f64, usize)> = varying
        .iter()
        .map(|g| {
            let b = bin(g);
            let (mean, variance) = bins[b].mean_variance(counts[b]);
            // A gene alone in its bin has nothing to be compared with: one standard deviation.
            let score = if variance > 0.0 { (g.dispersion - mean) / variance.sqrt() } else { 1.0 };
            (score, g.number)
        })
        .collect();
    scored.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal).then(a.1.cmp(&b.1)));
    let mut chosen: Vec<usize> = scored[..top].iter().map(|s| s.1).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_known_row() {
        let mut m = Moments::default();
        for x in [1.0, 2.0, 6.0] {
            m.add(x);
        }
        // With one zero that was never added: 1, 2, 6, 0.
        let (mean, variance) = m.mean_variance(4);
        assert_eq!(mean, 2.25);
        assert!((variance - 20.75 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn the_gene_that_stands_out_is_chosen() {
        // Forty genes; all but the first have one mean and so one bin; numbers 7 and 31 vary far more; 12 is constant.
        let mut moments = Vec::new();
        for g in 0..40 {
            let mut m = Moments::default();
            for i in 0..100 {
                let wave = f64::from(i * 37 % 100) / 100.0;
                m.add(match g {
                    7 | 31 => {
                        if i < 10 {
                            10.0
                        } else {
                            0.0
                        }
                    }
                    0 => 50.0 + wave,
                    12 => 1.0,
                    _ => 0.5 + wave + 0.001 * f64::from(g),
                });
            }
            moments.push(m);
        }
        assert_eq!(most_variable(&moments, 100, 2), [7, 31]);
        let all = most_variable(&moments, 100, 500);
        assert_eq!(all.len(), 39);
        assert!(!all.contains(&12));
    }
}
