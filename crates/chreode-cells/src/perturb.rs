//! Perturbations: the same paths with and without one, compared cell by cell.
//!
//! Both arms share their noise (common random numbers), so that a difference is the perturbation's and not
//! chance. The interval is over cells: it says how sure the mean shift is for THIS model, not how sure the
//! model is.

use serde::{Deserialize, Serialize};

use crate::{Fates, GeneAxis};

/// Two-sided 95 % quantile of the standard normal.
const Z95: f64 = 1.959_964;

/// The shift of one fate's mean probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Shift {
    /// The fate.
    pub fate: String,
    /// Mean probability without the perturbation.
    pub baseline: f64,
    /// Mean probability with it.
    pub perturbed: f64,
    /// Standard error of the difference over cells, paired; NaN for a single cell.
    pub se: f64,
}

impl Shift {
    /// `perturbed - baseline`.
    pub fn shift(&self) -> f64 {
        self.perturbed - self.baseline
    }

    /// 95 % interval of the shift.
    pub fn interval(&self) -> (f64, f64) {
        (self.shift() - Z95 * self.se, self.shift() + Z95 * self.se)
    }
}

/// What is done to a gene, in standard deviations of its scaled value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GeneChange {
    /// The start is moved by so many times the gene's direction, once.
    Set(f64),
    /// The gene's decoded value is held there, at the start and all along the paths.
    Clamp(f64),
}

/// What a perturbation did to one gene at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneMove {
    /// The gene.
    pub gene: String,
    /// What was asked for.
    pub change: GeneChange,
    /// How much of the gene the coordinates hold ([`GeneAxis::held`]).
    pub held: f64,
    /// By how many standard deviations its decoded value moved, mean over the start cells.
    pub moved: f64,
}

impl GeneMove {
    /// Of a gene between the states of the start cells `before` and `after` the perturbation, `[n, d]` each.
    pub fn of(axis: &GeneAxis, change: GeneChange, before: &[f32], after: &[f32]) -> Self {
        let d = axis.readout.len();
        let sum = |states: &[f32]| states.chunks_exact(d).map(|x| axis.value(x)).sum::<f64>();
        let cells = (before.len() / d) as f64;
        let moved = (sum(after) - sum(before)) / cells;
        Self { gene: axis.gene.clone(), change, held: axis.held(), moved }
    }

    /// Whether the coordinates hold the gene wholly, as where it is one of them: then nothing is lost in decoding.
    pub fn is_whole(&self) -> bool {
        (self.held - 1.0).abs() < 1e-6
    }
}

/// Shifts of all fates between two arms of the same cells, in the order of the fates.
///
/// # Panics
/// Never for two results of [`Fates::predict`] with the same read-out and cells; the number of cells and of
/// fates must agree.
pub fn shifts(baseline: &Fates, perturbed: &Fates) -> Vec<Shift> {
    assert_eq!(
        (baseline.len(), baseline.names()),
        (perturbed.len(), perturbed.names()),
        "two arms of one experiment"
    );
    let n = baseline.len() as f64;
    let (before, after) = (baseline.mean(), perturbed.mean());
    (0..before.len())
        .map(|k| {
            let mean = after[k] - before[k];
            let square = |i: usize| (perturbed.of(i)[k] - baseline.of(i)[k] - mean).powi(2);
            let variance = (0..baseline.len()).map(square).sum::<f64>() / (n - 1.0);
            Shift {
                fate: baseline.names()[k].clone(),
                baseline: before[k],
                perturbed: after[k],
                se: (variance / n).sqrt(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Shifts over all fates cancel, an unchanged arm shifts nothing, and the interval holds the shift.
        #[test]
        fn shifts_of_probabilities_cancel(a in proptest::collection::vec(0.01..1.0_f64, 9), b in proptest::collection::vec(0.01..1.0_f64, 9)) {
            let (a, b) = (Fates::for_tests(&["x", "y", "z"], &a), Fates::for_tests(&["x", "y", "z"], &b));
            let change = shifts(&a, &b);
            prop_assert!(change.iter().map(Shift::shift).sum::<f64>().abs() < 1e-12);
            for s in &change {
                prop_assert!(s.interval().0 <= s.shift() && s.shift() <= s.interval().1);
            }
            prop_assert!(shifts(&a, &a).iter().all(|s| s.shift() == 0.0 && s.se == 0.0));
        }
    }

    #[test]
    fn pairing_removes_what_cells_share() {
        // Two very different cells, shifted by the same amount: no doubt about the shift.
        let before = Fates::for_tests(&["x", "y"], &[0.2, 0.8, 0.7, 0.3]);
        let after = Fates::for_tests(&["x", "y"], &[0.3, 0.7, 0.8, 0.2]);
        let change = shifts(&before, &after);
        assert!((change[0].shift() - 0.1).abs() < 1e-12 && change[0].se < 1e-12);
        let one = Fates::for_tests(&["x", "y"], &[0.2, 0.8]);
        assert!(shifts(&one, &one)[0].se.is_nan());
    }
}
