//! Runs of several seeds beside one another: which went astray, by their held-out losses alone.

use super::trainer::Trainer;
use crate::evaluate::{Comparison, floor_of};
use crate::{Snapshots, TrainError};
use chreode_core::{DiffusionVjp, GrowthVjp, Real, sub_seed};

/// Samples in each of which two parts of the held-out cells' times are compared.
const REPEATS: usize = 20;
/// How many times the larger of both spreads a run may lie above the median.
const MOST: f64 = 5.0;

/// What the held-out losses of several runs say of each.
#[derive(Debug, Clone, PartialEq)]
pub struct Astray {
    /// The median of the finite losses; the lower one of two.
    pub median: f64,
    /// The loss above which a run went astray.
    pub limit: f64,
    /// Whether each did.
    pub astray: Vec<bool>,
}

impl Astray {
    /// Judges runs by their lowest losses on the same held-out cells. A loss that is not finite went astray, and has no part in how the
    /// others are judged.
    ///
    /// The limit lies five times the larger of two spreads above the median: that by which two samples of the same cells differ
    /// (`noise`, see [`Trainer::hold_out_noise`]), and the runs' own, 1.4826 times the median absolute deviation. So a run is not
    /// blamed for what the cells cannot tell, nor where all runs differ; of one or two finite losses none is, and never more than half are.
    /// Nothing without a finite loss.
    pub fn of(losses: &[f64], noise: f64) -> Option<Self> {
        let middle = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.get(values.len().saturating_sub(1) / 2).copied()
        };
        let known: Vec<f64> = losses.iter().copied().filter(|l| l.is_finite()).collect();
        let median = middle(known.clone())?;
        let spread = 1.4826 * middle(known.iter().map(|l| (l - median).abs()).collect())?;
        let limit = if known.len() > 2 { median + MOST * spread.max(noise) } else { f64::INFINITY };
        let astray = losses.iter().map(|&l| l > limit || !l.is_finite()).collect();
        Some(Self { median, limit, astray })
    }
}

impl<T, S, G> Trainer<T, S, G>
where
    T: Real,
    S: DiffusionVjp<T> + Clone + Send + Sync + 'static,
    G: GrowthVjp<T> + Clone + Send + Sync + 'static,
{
    /// How far a held-out loss can differ by the cells that happen to be compared: the standard deviation, over 20 draws, of the loss
    /// between two samples of the cells of a target time, as many as are held out there (at most the paths of an evaluation), summed in squares over
    /// the terms of the loss. None without a hold-out.
    ///
    /// # Errors
    /// Those of the loss.
    pub fn hold_out_noise(&self) -> Result<Option<f64>, TrainError> {
        if self.hold_out.is_none() {
            return Ok(None);
        }
        let (data, config): (&Snapshots<T>, _) = (self.data(), self.config());
        let mut square = 0.0;
        let targets =
            self.plan().iter().flat_map(|segment| segment.targets.iter().map(move |t| (segment, t)));
        for (segment, target) in targets {
            let held = data.rows_of(segment.population, target.time, &self.split().hold_out[target.time]);
            let all: Vec<u32> = (0..data.cells(target.time) as u32).collect();
            let all = data.rows_of(segment.population, target.time, &all);
            let comparison = Comparison {
                loss: config.loss,
                inverse_scale: self.inverse_scale(),
                cells: held.len().clamp(2, segment.paths(config.evaluate_cells)),
                seed: sub_seed(config.judge_seed(), "hold-out noise of samples"),
            };
            if all.len() >= 4 {
                let floor = floor_of(&data.states[target.time], &all, data.dim, &comparison, REPEATS)?;
                square += (target.weight * floor.sd).powi(2);
            }
        }
        Ok(Some(square.sqrt()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_three_that_is_far_off_went_astray() {
        // Energy distances of three seeds on LARRY's day 6.
        let judged = Astray::of(&[0.0022, 0.013, 0.0020], 0.0008).unwrap();
        assert_eq!(judged.astray, [false, true, false]);
        assert_eq!(judged.median, 0.0022);
        // With few held-out cells the same difference says nothing.
        assert_eq!(Astray::of(&[0.0022, 0.013, 0.0020], 0.03).unwrap().astray, [false; 3]);
    }

    #[test]
    fn runs_that_all_differ_are_not_blamed() {
        let judged = Astray::of(&[0.05, 0.07, 0.10, 0.12, 0.16], 0.0).unwrap();
        assert_eq!(judged.astray, [false; 5]);
        assert_eq!(Astray::of(&[0.1, 9.0], 0.0).unwrap().astray, [false, false]);
        assert_eq!(Astray::of(&[0.1], 0.0).unwrap().astray, [false]);
        assert_eq!(Astray::of(&[], 0.0), None);
    }

    #[test]
    fn what_is_not_finite_went_astray() {
        assert_eq!(
            Astray::of(&[0.1, f64::NAN, 0.11, 0.1], 0.01).unwrap().astray,
            [false, true, false, false]
        );
        let half = Astray::of(&[0.1, f64::INFINITY, 0.1, f64::NAN], 0.01).unwrap();
        assert_eq!(half.astray, [false, true, false, true]);
        // More than half of the runs: the others are judged by one another.
        let most = Astray::of(&[0.1, f64::INFINITY, f64::NAN], 0.01).unwrap();
        assert_eq!((most.median, most.astray), (0.1, vec![false, true, true]));
        let others = [0.1, f64::NAN, 0.11, f64::NAN, 0.9, f64::NAN, f64::NAN, f64::NEG_INFINITY];
        let judged = Astray::of(&others, 0.01).unwrap();
        assert_eq!(judged.astray, [false, true, false, true, true, true, true, true]);
        // Where none is finite nothing is known.
        assert_eq!(Astray::of(&[f64::NAN, f64::INFINITY, f64::NAN], 0.01), None);
    }
}
