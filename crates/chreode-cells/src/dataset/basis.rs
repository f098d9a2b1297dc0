//! Whether the loadings of a file are those that a run was fitted with.

use std::collections::HashMap;

use crate::state_space::GivenPca;

/// What a file says of its principal components.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loadings<'a> {
    /// Its genes.
    pub(super) genes: &'a [String],
    /// `varm['PCs']`, `[genes, dim]`.
    pub(super) values: &'a [f32],
    /// `var['mean']`, if it is there.
    pub(super) mean: Option<&'a [f64]>,
    /// `var['std']`, if it is there.
    pub(super) sd: Option<&'a [f64]>,
}

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Genes of both, of which one at least has loadings.
    pub(super) compared: usize,
    /// Those of them that differ.
    pub(super) different: usize,
    /// The first of these.
    pub(super) first: Option<String>,
}

/// How far numbers may lie apart, relative to the largest loading or the gene's standard deviation: well above what single
/// precision or a text loses, well below what another decomposition of the same cells changes.
const TOLERANCE: f64 = 1e-3;

impl Loadings<'_> {
    /// Compares gene by gene, whatever their order. Genes of one side alone, and names that occur twice, tell nothing: a file may
    /// have lost genes since its components were made.
    pub(super) fn compare(&self, space: &GivenPca) -> Comparison {
        let d = space.dim;
        let mut places: HashMap<&str, Option<usize>> = HashMap::with_capacity(self.genes.len());
        for (j, gene) in self.genes.iter().enumerate() {
            places.entry(gene).and_modify(|place| *place = None).or_insert(Some(j));
        }
        let largest = space.loadings.iter().fold(0.0, |max: f64, w| max.max(f64::from(w.abs())));
        let near = |a: f64, b: f64, scale: f64| (a - b).abs() <= TOLERANCE * scale;
        let mut found = Comparison::default();
        for (i, gene) in space.genes.iter().enumerate() {
            let Some(&Some(j)) = places.get(gene.as_str()) else { continue };
            let (ours, theirs) = (&space.loadings[i * d..(i + 1) * d], &self.values[j * d..(j + 1) * d]);
            if ours.iter().chain(theirs).all(|&w| w == 0.0) {
                continue;
            }
            found.compared += 1;
            let sd = space.sd[i];
            let same = ours.iter().zip(theirs).all(|(&a, &b)| near(f64::from(a), f64::from(b), largest))
                && self.mean.is_none_or(|mean| near(mean[j], space.mean[i], sd))
                && self.sd.is_none_or(|theirs| near(theirs[j], sd, sd));
            if !same {
                found.different += 1;
                found.first.get_or_insert_with(|| gene.clone());
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GENES: usize = 7;

    fn space() -> GivenPca {
        GivenPca {
            key: "X_pca".into(),
            genes: (0..GENES).map(|g| format!("g{g}")).collect(),
            // The last two genes have no part.
            loadings: (0..2 * GENES).map(|k| if k < 10 { (k as f32 + 1.0).sin() } else { 0.0 }).collect(),
            mean: (0..GENES).map(|g| g as f64 * 0.3).collect(),
            sd: (0..GENES).map(|g| 0.5 + g as f64).collect(),
            dim: 2,
        }
    }

    /// What a file with some genes of the space says, in that order.
    fn compare(order: &[usize], change: impl Fn(&mut GivenPca)) -> Comparison {
        let mut file = space();
        change(&mut file);
        let genes: Vec<String> = order.iter().map(|&g| file.genes[g].clone()).collect();
        let values: Vec<f32> = order.iter().flat_map(|&g| file.loadings[2 * g..2 * g + 2].to_vec()).collect();
        let [mean, sd] = [&file.mean, &file.sd].map(|of| order.iter().map(|&g| of[g]).collect::<Vec<_>>());
        let loadings = Loadings { genes: &genes, values: &values, mean: Some(&mean), sd: Some(&sd) };
        loadings.compare(&space())
    }

    const ALL: [usize; GENES] = [0, 1, 2, 3, 4, 5, 6];

    #[test]
    fn what_is_another_decomposition() {
        let same = Comparison { compared: 5, ..Comparison::default() };
        assert_eq!(compare(&ALL, |_| ()), same);
        let flipped = compare(&ALL, |f| f.loadings.iter_mut().step_by(2).for_each(|w| *w = -*w));
        assert_eq!(flipped, Comparison { compared: 5, different: 5, first: Some("g0".into()) });
        let swapped = compare(&ALL, |f| f.loadings.chunks_exact_mut(2).for_each(|w| w.swap(0, 1)));
        assert_eq!(swapped.different, 5);
        assert_eq!(compare(&ALL, |f| f.mean[3] += 0.01 * f.sd[3]).first.as_deref(), Some("g3"));
        assert_eq!(compare(&ALL, |f| f.sd[2] *= 1.01).first.as_deref(), Some("g2"));
        // A gene that had no part, and one that has none any more.
        assert_eq!(compare(&ALL, |f| f.loadings[12] = 0.5).first.as_deref(), Some("g6"));
        assert_eq!(compare(&ALL, |f| f.loadings[..2].fill(0.0)).first.as_deref(), Some("g0"));
        assert_eq!(compare(&ALL, |f| f.loadings[0] = f32::NAN).different, 1);
        // Nothing in common; a gene of two loadings.
        assert_eq!(compare(&[5, 6], |_| ()).compared, 0);
        assert_eq!(compare(&[0, 0, 1], |_| ()).compared, 1);
    }

    proptest! {
        /// Order, missing genes and rounding to the text of a table change nothing.
        #[test]
        fn the_same_in_another_dress(order in Just(ALL.to_vec()).prop_shuffle(), kept in 1_usize..=GENES) {
            let found = compare(&order[..kept], |f| {
                for w in &mut f.loadings {
                    *w = (*w * 1e5).round() / 1e5;
                }
            });
            prop_assert_eq!(found.different, 0);
            prop_assert_eq!(found.compared, order[..kept].iter().filter(|&&g| g < 5).count());
        }
    }
}
