//! Where a time has fewer cells than paths are asked for, each starts several: the unbiased energy distance of the
//! true model keeps its mean of zero in training, on the hold-out and in comparisons.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use chreode_train::{Comparison, LossConfig, Model, Standardise, TrainConfig, Trainer, distance_to_time};
use common::{Relaxation, TRUTH, snapshots};

const TIMES: [f64; 2] = [0.0, 0.3];
const DRAWS: u64 = 400;

/// Mean over draws of the data in units of its standard error.
fn z(value: impl Fn(u64) -> f64) -> f64 {
    let values: Vec<f64> = (0..DRAWS).map(value).collect();
    let n = DRAWS as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    mean / (variance / n).sqrt()
}

fn trainer(seed: u64, hold_out: f64) -> Trainer<f64, Relaxation> {
    let config = TrainConfig {
        seed,
        batch: 120,
        evaluate_cells: 120,
        dt: 0.02,
        hold_out,
        standardise: Standardise::Off,
        average: 0.0,
        ..TrainConfig::default()
    };
    Trainer::new(Model::new(Relaxation), TRUTH.to_vec(), snapshots(&TIMES, 12, seed), config).unwrap()
}

#[test]
fn the_training_loss_has_no_bias() {
    let z = z(|seed| trainer(seed, 0.0).step().unwrap().loss);
    assert!(z.abs() < 4.0, "{z}");
}

#[test]
fn the_hold_out_loss_has_no_bias() {
    let z = z(|seed| trainer(seed, 0.5).evaluate().unwrap().unwrap().hold_out_loss);
    assert!(z.abs() < 4.0, "{z}");
}

#[test]
fn a_comparison_has_no_bias() {
    let z = z(|seed| {
        let data = snapshots::<f64>(&TIMES, 12, seed);
        let comparison = Comparison { loss: LossConfig::default(), inverse_scale: &[], cells: 120, seed };
        distance_to_time(&Model::new(Relaxation), &TRUTH, &data, 0, 1, 0.02, false, &comparison).unwrap()
    });
    assert!(z.abs() < 4.0, "{z}");
}
