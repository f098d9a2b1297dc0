//! Perturbations: the same paths with and without one, compared cell by cell.
//!
//! Both arms share their noise (common random numbers), so that a difference is the perturbation's and not
//! chance. The interval is over cells: it says how sure the mean shift is for THIS model, not how sure the
//! model is.

use crate::Fates;

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

/// Shifts of all fates between two arms of the same cells, in the order of the fates.
///
/// # Panics
/// Never for two results of [`Fates::predict`] with the same read-out and cells; the number of cells and of
/// fates must agree.
pub fn shifts(baseline: &Fates, perturbed: &Fates) -> Vec<Shift> {
    assert_eq!((baseline.len(), baseline.names()), (perturbed.len(), perturbed.names()), "two arms of one experiment");
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
