//! Fates: where the paths of a cell end, read by labelled cells near the ends (`readout`).
//!
//! Votes are averaged over paths, weighted by growth if the model has it. Paths are draws: a fate that none of `n` has met is not ruled out by
//! them, so that each label has half a path more, which is Jeffreys' prior.
//! Not here: how paths are made (`rollout`).

use chreode_train::normalise_log_weights;
use serde::{Deserialize, Serialize};

use crate::rollout::Rollout;
use crate::{AnalysisError, Known, LabelReadout};

/// Paths to each label beside those that were simulated.
const PATHS_A_LABEL: f64 = 0.5;

/// Fate probabilities of some cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Fates {
    names: Vec<String>,
    probabilities: Vec<f64>,
}

impl Fates {
    /// Fates that were stored: probabilities `[n, names]`. Nothing if there is no name or a row is not whole.
    pub fn stored(names: Vec<String>, probabilities: Vec<f64>) -> Option<Self> {
        (!names.is_empty() && probabilities.len().is_multiple_of(names.len()))
            .then_some(Self { names, probabilities })
    }

    /// Probabilities `[n, labels]` of a read-out's labels.
    pub(crate) fn of_readout(readout: &LabelReadout, probabilities: Vec<f64>) -> Self {
        debug_assert!(probabilities.len().is_multiple_of(readout.names().len()));
        Self { names: readout.names().to_vec(), probabilities }
    }

    /// Fates at `until` of cells `start`, `[n, d]`, that are alive at `t0`: the mean of the votes at the ends of their paths, of which as many count as have
    /// weight, and of half a path to each label.
    ///
    /// # Errors
    /// [`AnalysisError`] if a path fails.
    pub fn predict(
        rollout: &Rollout<'_>,
        readout: &LabelReadout,
        start: &[f32],
        t0: f64,
        until: f64,
    ) -> Result<Self, AnalysisError> {
        let l = readout.names().len();
        let mut probabilities = Vec::new();
        let (mut log_weights, mut weights) = (Vec::new(), vec![0.0_f64; rollout.paths]);
        rollout.run(start, t0, &[until], |chunk| {
            let votes = readout.probabilities(&chunk.ensemble.states[0])?;
            for cell in 0..chunk.cells {
                let rows = cell * rollout.paths..(cell + 1) * rollout.paths;
                log_weights.clear();
                if let Some(w) = chunk.ensemble.log_weights.first() {
                    log_weights.extend(w[rows.clone()].iter().map(|&w| f64::from(w)));
                }
                normalise_log_weights(&log_weights, &mut weights)?;
                let mut mean = vec![0.0; l];
                for (row, weight) in rows.zip(&weights) {
                    for (m, vote) in mean.iter_mut().zip(&votes[row * l..(row + 1) * l]) {
                        *m += weight * vote;
                    }
                }
                // As many paths of one weight would tell as much.
                let paths = weights.iter().map(|w| w * w).sum::<f64>().recip();
                mean.iter_mut().for_each(|m| *m = paths * *m + PATHS_A_LABEL);
                let sum: f64 = mean.iter().sum();
                probabilities.extend(mean.iter().map(|m| m / sum));
            }
            Ok(())
        })?;
        Ok(Self { names: readout.names().to_vec(), probabilities })
    }

    /// The mean of the fates of the same cells by several models, and the standard deviation over the models of each probability,
    /// `[n, names]` (over `models - 1`); of one model there is none. Nothing if they are not of the same cells and fates.
    pub fn mean_of(members: &[Self]) -> Option<(Self, Vec<f64>)> {
        let (first, others) = members.split_first()?;
        if others.is_empty() {
            return Some((first.clone(), Vec::new()));
        }
        if others.iter().any(|m| m.names != first.names || m.len() != first.len()) {
            return None;
        }
        let count = members.len() as f64;
        let mut probabilities = vec![0.0; first.probabilities.len()];
        for m in members {
            probabilities.iter_mut().zip(&m.probabilities).for_each(|(sum, p)| *sum += p / count);
        }
        let mut sd = vec![0.0; probabilities.len()];
        for m in members {
            let each = sd.iter_mut().zip(&m.probabilities).zip(&probabilities);
            each.for_each(|((sum, p), mean)| *sum += (p - mean).powi(2) / (count - 1.0));
        }
        sd.iter_mut().for_each(|s| *s = s.sqrt());
        // One but for the rounding of the additions.
        for row in probabilities.chunks_exact_mut(first.names.len()) {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= sum);
        }
        Some((Self { names: first.names.clone(), probabilities }, sd))
    }

    /// The same cells with some fates only, whose probabilities are made to sum to one.
    ///
    /// # Errors
    /// [`AnalysisError::UnknownFate`]; [`AnalysisError::RepeatedFate`] if one is named twice.
    pub fn keep(&self, wanted: &[String]) -> Result<Self, AnalysisError> {
        if let Some(i) = (1..wanted.len()).find(|&i| wanted[..i].contains(&wanted[i])) {
            return Err(AnalysisError::RepeatedFate { name: wanted[i].clone() });
        }
        let columns = wanted
            .iter()
            .map(|name| {
                self.names.iter().position(|n| n == name).ok_or_else(|| AnalysisError::UnknownFate {
                    name: name.clone(),
                    known: Known::near(name, self.names.iter().map(String::as_str)),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut probabilities = Vec::with_capacity(self.len() * columns.len());
        for i in 0..self.len() {
            // Never zero: each fate keeps its share of the pseudo-cell.
            let sum: f64 = columns.iter().map(|&c| self.of(i)[c]).sum();
            probabilities.extend(columns.iter().map(|&c| self.of(i)[c] / sum));
        }
        Ok(Self { names: wanted.to_vec(), probabilities })
    }

    /// Names of the fates.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.probabilities.len() / self.names.len()
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.probabilities.is_empty()
    }

    /// Probabilities of one cell, in the order of the names.
    pub fn of(&self, cell: usize) -> &[f64] {
        let l = self.names.len();
        &self.probabilities[cell * l..(cell + 1) * l]
    }

    /// Entropy of one cell's fates, in nats: 0 when certain.
    pub fn entropy(&self, cell: usize) -> f64 {
        -self.of(cell).iter().filter(|&&p| p > 0.0).map(|p| p * p.ln()).sum::<f64>()
    }

    /// Mean probabilities over the cells.
    pub fn mean(&self) -> Vec<f64> {
        let n = self.len().max(1) as f64;
        (0..self.names.len()).map(|k| (0..self.len()).map(|i| self.of(i)[k]).sum::<f64>() / n).collect()
    }
}

/// How far the fates of the same cells by two ways are from one another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Mean over the cells of half the sum of the differences of probabilities: 0 the same, 1 nothing in common.
    pub total_variation: f64,
    /// Mean cross-entropy of the one against the other, the reference, in nats.
    pub cross_entropy: f64,
    /// Mean entropy of the reference: what the cross-entropy is at where both agree.
    pub entropy: f64,
    /// Share of the cells whose most probable fate is the same.
    pub same_best: f64,
}

impl Agreement {
    /// Of `fates` against a `reference`; nothing if they are not of as many cells, one at least, and the same labels in the same order.
    pub fn of(fates: &Fates, reference: &Fates) -> Option<Self> {
        if fates.names != reference.names || fates.len() != reference.len() || fates.is_empty() {
            return None;
        }
        let best = |row: &[f64]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b]).then(b.cmp(&a)));
        let mut sums = [0.0; 4];
        for cell in 0..fates.len() {
            let (p, q) = (fates.of(cell), reference.of(cell));
            sums[0] += 0.5 * p.iter().zip(q).map(|(p, q)| (p - q).abs()).sum::<f64>();
            // No fate of a read-out has probability zero; a table changed by hand may.
            sums[1] -= p.iter().zip(q).map(|(p, q)| q * p.max(f64::MIN_POSITIVE).ln()).sum::<f64>();
            sums[2] += reference.entropy(cell);
            sums[3] += f64::from(best(p) == best(q));
        }
        let [total_variation, cross_entropy, entropy, same_best] = sums.map(|s| s / fates.len() as f64);
        Some(Self { total_variation, cross_entropy, entropy, same_best })
    }
}

#[cfg(test)]
impl Fates {
    /// Rows of positive numbers as probabilities.
    pub(crate) fn for_tests(names: &[&str], raw: &[f64]) -> Self {
        let normalised = |row: &[f64]| {
            let sum: f64 = row.iter().sum();
            row.iter().map(|v| v / sum).collect::<Vec<_>>()
        };
        Self {
            names: names.iter().map(|&n| n.to_owned()).collect(),
            probabilities: raw.chunks_exact(names.len()).flat_map(normalised).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readout::tests::labelled;
    use chreode_model::{ModelConfig, NeuralSde};
    use proptest::prelude::*;

    #[test]
    fn a_symmetric_model_has_even_fates() {
        let mut config = ModelConfig::new(vec![0.0], vec![1.0]);
        config.drift.hidden = vec![4];
        let model = NeuralSde::<f32>::new(config).unwrap();
        let mut p = model.init(1);
        // Without drift the paths spread evenly.
        for e in model.layout().entries().iter().filter(|e| e.name.starts_with("drift")) {
            p[e.range()].fill(0.0);
        }
        let (points, labels) = labelled();
        let readout = LabelReadout::new(&points, 1, &labels, Some(5)).unwrap();
        let rollout =
            Rollout { model: &model, p: &p, dt: 0.1, paths: 2000, seed: 3, clamp: None, place: None };
        let fates = Fates::predict(&rollout, &readout, &[0.0, -2.0], 0.0, 1.0).unwrap();
        assert_eq!(fates.len(), 2);
        assert!((fates.of(0)[0] - 0.5).abs() < 0.06, "{:?}", fates.of(0));
        assert!(fates.of(1)[0] > fates.of(0)[0] && fates.entropy(1) < fates.entropy(0));
        let two = fates.keep(&["right".into(), "left".into()]).unwrap();
        assert!((two.of(0).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let twice = fates.keep(&["left".into(), "left".into()]);
        assert!(matches!(twice, Err(AnalysisError::RepeatedFate { .. })));
        let wrong = fates.keep(&["lef".into()]).unwrap_err().to_string();
        assert!(wrong.contains("did you mean `left`?"), "{wrong}");
    }

    /// What a few paths have not met is not ruled out, and what they have met is not certain; of many paths the prior is forgotten.
    #[test]
    fn few_paths_leave_fates_open() {
        let mut config = ModelConfig::new(vec![0.0], vec![1.0]);
        config.drift.hidden = vec![4];
        config.diffusion = chreode_model::DiffusionConfig::Constant { initial_level: 1e-3 };
        let model = NeuralSde::<f32>::new(config).unwrap();
        let p = model.init(1);
        let (points, labels) = labelled();
        let readout = LabelReadout::new(&points, 1, &labels, Some(5)).unwrap();
        let right = |paths| {
            let rollout = Rollout { model: &model, p: &p, dt: 0.5, paths, seed: 3, clamp: None, place: None };
            Fates::predict(&rollout, &readout, &[-2.0], 0.0, 0.01).unwrap().of(0)[2]
        };
        // No path comes near the right cloud: what is left are the read-out's half of a cell beside five and the prior's half of a path.
        let base = readout.base_rate()[2];
        let expected = |n: f64| (n * 0.5 / 5.5 * base + 0.5) / (n + 1.5);
        for n in [1, 10, 1000] {
            assert!((right(n) - expected(n as f64)).abs() < 1e-6, "{n}: {} {}", right(n), expected(n as f64));
        }
    }

    /// Of many paths, with growth and without: to the last bits of double precision.
    #[test]
    fn predicted_fates_sum_to_one() {
        let (points, labels) = labelled();
        let readout = LabelReadout::new(&points, 1, &labels, Some(5)).unwrap();
        for growth in [None, Some(chreode_model::GrowthConfig::default())] {
            let mut config = ModelConfig::new(vec![0.0], vec![1.0]);
            config.drift.hidden = vec![4];
            config.growth = growth;
            let model = NeuralSde::<f32>::new(config).unwrap();
            // Output layers start near zero: far from it, weights differ.
            let p: Vec<f32> = model.init(1).iter().map(|v| 3.0 * v).collect();
            let rollout =
                Rollout { model: &model, p: &p, dt: 0.25, paths: 3000, seed: 3, clamp: None, place: None };
            let start: Vec<f32> = (0..8).map(|i| i as f32 * 0.5 - 2.0).collect();
            let fates = Fates::predict(&rollout, &readout, &start, 0.0, 1.0).unwrap();
            for i in 0..fates.len() {
                let sum: f64 = fates.of(i).iter().sum();
                assert!((sum - 1.0).abs() < 1e-15, "{:e}", sum - 1.0);
                // What a table says, read again.
                let read = |p: &f64| p.to_string().parse::<f64>().unwrap();
                assert!((fates.of(i).iter().map(read).sum::<f64>() - 1.0).abs() < 1e-15);
            }
        }
    }

    #[test]
    fn members_are_averaged_and_their_spread_told() {
        let [one, two] =
            [[3.0, 1.0, 1.0, 1.0], [1.0, 3.0, 1.0, 1.0]].map(|p| Fates::for_tests(&["a", "b"], &p));
        let (mean, sd) = Fates::mean_of(&[one.clone(), two.clone()]).unwrap();
        assert_eq!(mean, Fates::for_tests(&["a", "b"], &[1.0; 4]));
        // Of 3/4 and 1/4: 1/4 √2.
        assert!((sd[0] - 0.25 * 2.0_f64.sqrt()).abs() < 1e-15 && sd[2] == 0.0, "{sd:?}");
        assert_eq!(Fates::mean_of(std::slice::from_ref(&one)), Some((one.clone(), vec![])));
        assert_eq!(Fates::mean_of(&[]), None);
        assert_eq!(Fates::mean_of(&[one, two.keep(&["b".into(), "a".into()]).unwrap()]), None);
    }

    #[test]
    fn agreement_is_zero_for_the_same_and_needs_the_same_cells() {
        let one = Fates::for_tests(&["a", "b"], &[3.0, 1.0, 1.0, 1.0]);
        let same = Agreement::of(&one, &one).unwrap();
        assert_eq!((same.total_variation, same.same_best), (0.0, 1.0));
        assert!((same.cross_entropy - same.entropy).abs() < 1e-15);
        let other = Fates::for_tests(&["a", "b"], &[1.0, 3.0, 1.0, 1.0]);
        let apart = Agreement::of(&other, &one).unwrap();
        assert!((apart.total_variation - 0.25).abs() < 1e-15 && apart.same_best == 0.5);
        // Kullback and Leibler's divergence of the first cell, half of it: (3/4 - 1/4) ln 3 / 2.
        assert!((apart.cross_entropy - apart.entropy - 0.25 * 3.0_f64.ln()).abs() < 1e-12);
        assert_eq!(Agreement::of(&one, &Fates::for_tests(&["a", "b"], &[1.0, 1.0])), None);
        assert_eq!(Agreement::of(&one, &Fates::for_tests(&["b", "a"], &[3.0, 1.0, 1.0, 1.0])), None);
    }

    proptest! {
        #[test]
        fn kept_fates_sum_to_one(raw in proptest::collection::vec(0.01..1.0_f64, 12)) {
            let kept = Fates::for_tests(&["a", "b", "c"], &raw).keep(&["c".into(), "a".into()]).unwrap();
            for i in 0..4 {
                prop_assert!((kept.of(i).iter().sum::<f64>() - 1.0).abs() < 1e-12);
                prop_assert!((kept.of(i)[0] / kept.of(i)[1] - raw[3 * i + 2] / raw[3 * i]).abs() < 1e-9);
            }
        }
    }
}
