//! The label of a state, as probabilities, by the labelled cells near it.
//!
//! Votes fall with the distance as a Gaussian does, that of the nearest labelled cell being one, with half a pseudo-cell of the labels' base rates
//! added, so that no label that exists has probability zero. How far votes reach is chosen on the labelled cells
//! themselves, by leaving each out in turn; all labels count the same. That concerns the map of states, and sees no one's fate.
//! Not here: fates, which are means of votes (`fate`).

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{AnalysisError, Labels, NeighbourIndex};

/// Numbers of neighbours with equal votes that are tried.
const EQUAL: [usize; 5] = [5, 10, 15, 30, 60];
/// Weight of the base rates, in votes of the nearest cell.
const PSEUDO_CELLS: f64 = 0.5;
/// Most neighbours whose votes fall with the distance.
const NEAR: usize = 30;
/// Widths that are tried, in medians of the distance between a labelled cell and its nearest.
const WIDTHS: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0];

/// States whose neighbours are held at one time.
const STATES: usize = 1 << 15;

/// How neighbours vote.
#[derive(Debug, Clone, Copy)]
struct Votes {
    /// How many do.
    k: usize,
    /// Standard deviation of the Gaussian by which votes fall; none for equal ones.
    width: Option<f64>,
}

/// Labelled cells that give a state its label probabilities.
#[derive(Debug, Clone)]
pub struct LabelReadout {
    index: NeighbourIndex,
    labels: Vec<u32>,
    names: Vec<String>,
    base_rate: Vec<f64>,
    votes: Votes,
    log_loss: f64,
}

/// How a read-out votes, and how well: what fates are judged by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReadoutQuality {
    /// Neighbours that vote.
    pub k: usize,
    /// Distance at which a vote has fallen to `exp(-1/2)` of the nearest cell's, nearly, in units of the state; none where votes are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// Mean log-loss, in nats, with which left-out labelled cells are predicted.
    pub log_loss: f64,
    /// How frequent each label is among the labelled cells; sums to one.
    pub base_rate: Vec<f64>,
}

impl ReadoutQuality {
    /// Who votes, in words.
    pub fn told(&self) -> String {
        match self.width {
            Some(width) => format!("{} nearest labelled cells, by a Gaussian of width {width:.3}", self.k),
            None => format!("{} nearest labelled cells", self.k),
        }
    }
}

impl LabelReadout {
    /// A read-out from cells `points`, `[n, d]`, and their labels; cells without a label are left out.
    ///
    /// With `k`, so many neighbours have equal votes. Without, the votes that predict left-out labelled cells best are taken, equal ones or such that fall
    /// with the distance, where every label counts the same (but those of one cell, which others cannot foretell): more neighbours than a rare label has
    /// cells would vote it away.
    ///
    /// # Errors
    /// [`AnalysisError::FewLabels`] below six labelled cells, or below `k + 1`; [`AnalysisError::Neighbours`].
    pub fn new(points: &[f32], d: usize, labels: &Labels, k: Option<usize>) -> Result<Self, AnalysisError> {
        let labelled: Vec<usize> = (0..labels.codes().len()).filter(|&i| labels.codes()[i] >= 0).collect();
        let needed = k.unwrap_or(EQUAL[0]) + 1;
        if labelled.len() < needed {
            return Err(AnalysisError::FewLabels { labelled: labelled.len(), needed });
        }
        // Names that no cell has are dropped, the others keep their order.
        let mut counts = vec![0_usize; labels.names().len()];
        for &i in &labelled {
            counts[labels.codes()[i] as usize] += 1;
        }
        let kept: Vec<usize> = (0..counts.len()).filter(|&c| counts[c] > 0).collect();
        let mut position = vec![0_u32; counts.len()];
        kept.iter().enumerate().for_each(|(new, &old)| position[old] = new as u32);
        let states = labelled.iter().flat_map(|&i| &points[i * d..(i + 1) * d]).copied().collect();
        let equal = |k| Votes { k, width: None };
        let mut readout = Self {
            index: NeighbourIndex::new(states, d)?,
            labels: labelled.iter().map(|&i| position[labels.codes()[i] as usize]).collect(),
            names: kept.iter().map(|&c| labels.names()[c].clone()).collect(),
            base_rate: kept.iter().map(|&c| counts[c] as f64 / labelled.len() as f64).collect(),
            votes: equal(needed - 1),
            log_loss: f64::INFINITY,
        };
        let most = k.unwrap_or_else(|| EQUAL[EQUAL.len() - 1].min(labelled.len() - 1));
        let near = readout.index.query_self(most)?;
        let mut candidates: Vec<Votes> = match k {
            Some(k) => vec![equal(k)],
            None => EQUAL.into_iter().filter(|&k| k <= most).map(equal).collect(),
        };
        if k.is_none() {
            let mut nearest: Vec<f32> = (0..labelled.len()).map(|i| near.of(i).1[0]).collect();
            nearest.sort_by(f32::total_cmp);
            let middle = f64::from(nearest[nearest.len() / 2]);
            // Cells that lie on one another tell no distance.
            let widths = WIDTHS.into_iter().map(|width| width * middle).filter(|&width| width > 0.0);
            candidates.extend(widths.map(|width| Votes { k: NEAR.min(most), width: Some(width) }));
        }
        let mut found = vec![0.0; readout.names.len()];
        let (mut least, mut best) = (f64::INFINITY, readout.votes);
        for votes in candidates {
            readout.votes = votes;
            // Sums by label.
            let mut sums = vec![0.0; readout.names.len()];
            for i in 0..labelled.len() {
                let (cells, distances) = near.of(i);
                readout.vote(&cells[..votes.k], &distances[..votes.k], &mut found);
                let label = readout.labels[i] as usize;
                sums[label] -= found[label].ln();
            }
            let n = labelled.len() as f64;
            // The only cell of a label cannot be foretold by others.
            let told = sums.iter().zip(&readout.base_rate).filter(|(_, b)| **b * n > 1.5);
            let balanced: f64 = told.map(|(s, b)| s / (b * n)).sum();
            if balanced < least {
                (least, best) = (balanced, votes);
                readout.log_loss = sums.iter().sum::<f64>() / n;
            }
        }
        readout.votes = best;
        Ok(readout)
    }

    /// Names of the labels, in the order of the probabilities.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// How it votes, and how well.
    pub fn quality(&self) -> ReadoutQuality {
        let Votes { k, width } = self.votes;
        ReadoutQuality { k, width, log_loss: self.log_loss, base_rate: self.base_rate.clone() }
    }

    /// How frequent each label is among the labelled cells; sums to one.
    pub fn base_rate(&self) -> &[f64] {
        &self.base_rate
    }

    /// Neighbours that vote.
    pub fn k(&self) -> usize {
        self.votes.k
    }

    /// Mean log-loss, in nats, with which left-out labelled cells are predicted.
    pub fn log_loss(&self) -> f64 {
        self.log_loss
    }

    /// Label probabilities of each state, `[n, labels]`.
    ///
    /// # Errors
    /// [`AnalysisError::Neighbours`] if a state is not finite.
    pub fn probabilities(&self, states: &[f32]) -> Result<Vec<f64>, AnalysisError> {
        let (d, labels) = (self.index.dim(), self.names.len());
        let mut out = vec![0.0; states.len() / d * labels];
        for (states, out) in states.chunks(STATES * d).zip(out.chunks_mut(STATES * labels)) {
            let near = self.index.query(states, self.votes.k)?;
            out.par_chunks_mut(labels).enumerate().for_each(|(i, row)| {
                let (cells, distances) = near.of(i);
                self.vote(cells, distances, row);
            });
        }
        Ok(out)
    }

    /// Votes of neighbours, nearest first.
    fn vote(&self, neighbours: &[u32], distances: &[f32], votes: &mut [f64]) {
        votes.iter_mut().zip(&self.base_rate).for_each(|(vote, base)| *vote = PSEUDO_CELLS * base);
        let mut total = PSEUDO_CELLS;
        let square = |distance: f32| f64::from(distance).powi(2);
        let nearest = distances.first().map_or(0.0, |&distance| square(distance));
        let factor = self.votes.width.map_or(0.0, |width| -0.5 / (width * width));
        for (&j, &distance) in neighbours.iter().zip(distances) {
            let vote = if factor == 0.0 { 1.0 } else { (factor * (square(distance) - nearest)).exp() };
            votes[self.labels[j as usize] as usize] += vote;
            total += vote;
        }
        votes.iter_mut().for_each(|vote| *vote /= total);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two clouds on a line, labelled; a third label that only one cell of the second cloud has.
    pub(crate) fn labelled() -> (Vec<f32>, Labels) {
        let points: Vec<f32> = (0..40).map(|i| if i < 20 { -2.0 } else { 2.0 } + i as f32 * 1e-3).collect();
        let mut text: Vec<&str> = (0..40).map(|i| if i < 20 { "left" } else { "right" }).collect();
        text[39] = "rare";
        text[5] = "";
        (points, Labels::from_text(&text))
    }

    #[test]
    fn votes_are_probabilities_without_zeros() {
        let (points, labels) = labelled();
        let readout = LabelReadout::new(&points, 1, &labels, None).unwrap();
        assert_eq!(readout.names(), ["left", "rare", "right"]);
        let p = readout.probabilities(&[-2.0, 2.0, 0.0]).unwrap();
        for row in p.chunks_exact(3) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12 && row.iter().all(|&v| v > 0.0));
        }
        assert!(p[0] > 0.9 && p[5] > 0.8);
        assert!(matches!(
            LabelReadout::new(&points, 1, &labels, Some(39)),
            Err(AnalysisError::FewLabels { labelled: 39, needed: 40 })
        ));
    }

    /// Three cells of a label beside many of another that touch them: few neighbours still see them, more would not.
    #[test]
    fn rare_labels_count_as_much_as_common_ones() {
        let mut points: Vec<f32> = (0..200).map(|i| 0.01 * (i as f32).sin()).collect();
        points.extend((0..4).map(|i| 0.1 + 1e-4 * i as f32));
        let text: Vec<&str> = (0..204).map(|i| if i < 200 { "common" } else { "rare" }).collect();
        let readout = LabelReadout::new(&points, 1, &Labels::from_text(&text), None).unwrap();
        assert!(readout.probabilities(&[0.1]).unwrap()[1] > 0.5);
    }

    /// With equal votes five neighbours would give a label of three cells half of the votes at most; such that fall with the distance give it more.
    #[test]
    fn near_cells_count_for_more() {
        let mut points: Vec<f32> = (0..200).map(|i| 0.01 * i as f32).collect();
        points.extend([3.0, 3.01, 3.02]);
        let text: Vec<&str> = (0..203).map(|i| if i < 200 { "common" } else { "rare" }).collect();
        let labels = Labels::from_text(&text);
        let equal = LabelReadout::new(&points, 1, &labels, Some(5)).unwrap();
        let own = LabelReadout::new(&points, 1, &labels, None).unwrap();
        let rare = |readout: &LabelReadout| readout.probabilities(&[3.01]).unwrap()[1];
        assert!(rare(&equal) < 0.6 && rare(&own) > 0.8, "{} {}", rare(&equal), rare(&own));
        assert!(own.log_loss() < equal.log_loss());
        let width = own.quality().width.unwrap();
        assert!((0.009..0.09).contains(&width), "{width}");
        assert_eq!(equal.quality().told(), "5 nearest labelled cells");
        // Far from all cells the nearest speak.
        let far = own.probabilities(&[900.0]).unwrap();
        assert!(far[1] > 0.6 && far.iter().all(|p| p.is_finite()), "{far:?}");
        // Cells on one another tell no distance, and no vote is lost.
        let one: Vec<&str> = (0..20).map(|i| if i % 2 == 0 { "a" } else { "b" }).collect();
        let same = LabelReadout::new(&[1.0; 20], 1, &Labels::from_text(&one), None).unwrap();
        assert!(same.quality().width.is_none());
    }
}
