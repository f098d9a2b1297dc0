//! How far from the training cells a state is: where a learned field must not be believed.
//!
//! The measure is the mean distance to the five nearest training cells, compared with what training cells
//! have among themselves. A model extrapolates beyond; nothing in the data says that it does so well.

use crate::{AnalysisError, NeighbourIndex};

/// Neighbours that a distance is averaged over.
const NEIGHBOURS: usize = 5;

/// The training cells as a yardstick.
#[derive(Debug, Clone)]
pub struct Manifold {
    index: NeighbourIndex,
    /// Distances of the training cells among themselves, ascending.
    reference: Vec<f32>,
}

/// Distances of some states, against those of the training cells.
#[derive(Debug, Clone, PartialEq)]
pub struct Distances {
    /// Mean distance of each state to its five nearest training cells.
    pub distance: Vec<f32>,
    /// For each state, the fraction of training cells that are farther out: below 0.01 is outside the data.
    pub rank: Vec<f32>,
}

impl Distances {
    /// Fraction of the states that are farther out than 99 % of the training cells.
    pub fn outside(&self) -> f64 {
        self.rank.iter().filter(|&&r| r < 0.01).count() as f64 / self.rank.len().max(1) as f64
    }
}

impl Manifold {
    /// Takes the training cells, `[n, d]`, at least six of them.
    ///
    /// # Errors
    /// [`AnalysisError::Neighbours`] if there are fewer or a coordinate is not finite.
    pub fn new(cells: Vec<f32>, d: usize) -> Result<Self, AnalysisError> {
        let index = NeighbourIndex::new(cells, d)?;
        let near = index.query_self(NEIGHBOURS)?;
        let mut reference = mean_distances(&near.distances);
        reference.sort_by(f32::total_cmp);
        Ok(Self { index, reference })
    }

    /// Distances of states, `[n, d]`.
    ///
    /// # Errors
    /// [`AnalysisError::Neighbours`] if a coordinate is not finite.
    pub fn distances(&self, states: &[f32]) -> Result<Distances, AnalysisError> {
        let distance = mean_distances(&self.index.query(states, NEIGHBOURS)?.distances);
        let n = self.reference.len() as f32;
        let rank =
            distance.iter().map(|d| 1.0 - self.reference.partition_point(|r| r <= d) as f32 / n).collect();
        Ok(Distances { distance, rank })
    }

    /// The distance that this fraction of the training cells does not exceed among themselves.
    pub fn quantile(&self, fraction: f64) -> f32 {
        let last = self.reference.len() - 1;
        self.reference[((fraction * last as f64).round() as usize).min(last)]
    }
}

fn mean_distances(distances: &[f32]) -> Vec<f32> {
    distances.chunks_exact(NEIGHBOURS).map(|d| d.iter().sum::<f32>() / NEIGHBOURS as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Moving a state away from all cells never makes it look nearer.
        #[test]
        fn rank_falls_outward(step in 1.0..50.0_f32) {
            let grid: Vec<f32> = (0..100).flat_map(|i| [(i % 10) as f32, (i / 10) as f32]).collect();
            let manifold = Manifold::new(grid, 2).unwrap();
            let d = manifold.distances(&[4.5, 4.5, 9.0 + step, 4.5, 9.0 + 2.0 * step, 4.5]).unwrap();
            prop_assert!(d.rank[0] > 0.9 && d.rank[1] >= d.rank[2] && d.distance[1] < d.distance[2]);
        }
    }

    #[test]
    fn outside_is_counted() {
        let cells: Vec<f32> = (0..200).map(|i| i as f32).collect();
        let manifold = Manifold::new(cells, 1).unwrap();
        let d = manifold.distances(&[50.2, 1e4]).unwrap();
        assert_eq!(d.outside(), 0.5);
        assert!(manifold.quantile(0.0) <= manifold.quantile(1.0));
        assert!(Manifold::new(vec![0.0; 4], 1).is_err());
    }
}
