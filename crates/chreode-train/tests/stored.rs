//! Cells in a file: whatever is learned from them has the bits of the same cells in memory.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chreode_model::{GrowthNet, NeuralSde};
use chreode_train::{
    BridgeNoise, Comparison, GrowthUse, LossConfig, MatchingConfig, NoObserver, Snapshots, StateWriter,
    States, StoredStates, TrainConfig, TrainError, Trainer, choose_growth, distance_to_time, sampling_floor,
};
use common::{neural, snapshots};

/// The same cells in one file, those of the times mixed.
fn stored(data: &Snapshots<f32>) -> Snapshots<f32> {
    let (d, times) = (data.dim, data.times.len());
    let cells = (0..times).map(|t| data.cells(t)).max().unwrap();
    let mut writer = StateWriter::new(tempfile::tempfile().unwrap(), d);
    let (mut rows, mut written) = (vec![Vec::new(); times], 0);
    for row in 0..cells {
        for (t, rows) in rows.iter_mut().enumerate().filter(|(t, _)| row < data.cells(*t)) {
            writer.push(&data.states[t].as_slice().unwrap()[row * d..(row + 1) * d]).unwrap();
            rows.push(written);
            written += 1;
        }
    }
    let file = Arc::new(writer.finish().unwrap());
    let of = |rows| States::Stored(StoredStates::new(Arc::clone(&file), rows).unwrap());
    Snapshots { states: rows.into_iter().map(of).collect(), ..data.clone() }
}

fn settings(matching: Option<MatchingConfig>, growth: GrowthUse) -> TrainConfig {
    TrainConfig {
        seed: 5,
        matching,
        steps: 12,
        batch: 70,
        dt: 0.2,
        growth,
        hold_out: 0.2,
        evaluate_every: 4,
        evaluate_cells: 60,
        ..TrainConfig::default()
    }
}

fn trained(data: Snapshots<f32>, config: TrainConfig) -> Trainer<f32, NeuralSde<f32>, GrowthNet<f32>> {
    let sde = neural::<f32>(config.growth == GrowthUse::Learned);
    let params = sde.init(3);
    let mut trainer = Trainer::new(sde, params, data, config).unwrap();
    trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
    trainer
}

/// By simulation, by matching with either noise, and by one after the other; with growth of the data and learned. A checkpoint of one
/// goes on with the other.
#[test]
fn training_has_the_same_bits() {
    let mut data = snapshots::<f32>(&[0.0, 0.5, 1.0], 300, 4);
    let couple = |noise, until| Some(MatchingConfig { noise, until, cells: 64, ..MatchingConfig::default() });
    let rates = |t: usize| (0..data.cells(t)).map(|i| 0.01 * (i % 7) as f32).collect();
    data.growth = (0..3).map(rates).collect();
    let other = stored(&data);
    for (matching, growth) in [
        (None, GrowthUse::Column),
        (None, GrowthUse::Learned),
        (couple(BridgeNoise::Blur, None), GrowthUse::None),
        (couple(BridgeNoise::Spread, Some(6)), GrowthUse::Learned),
    ] {
        let config = settings(matching, growth);
        let (a, b) = (trained(data.clone(), config.clone()), trained(other.clone(), config.clone()));
        assert_eq!(a.params(), b.params(), "{config:?}");
        assert_eq!(a.best_params(), b.best_params());
        assert_eq!(a.hold_out_noise().unwrap(), b.hold_out_noise().unwrap());
        assert_eq!(a.inverse_scale(), b.inverse_scale());
        // Seconds of training are in a checkpoint too.
        let again = |data: &Snapshots<f32>, from: &[u8]| {
            let sde = neural::<f32>(growth == GrowthUse::Learned);
            let longer = TrainConfig { steps: 16, ..config.clone() };
            let mut trainer = Trainer::resumed(sde.clone(), sde.init(3), data.clone(), longer, from).unwrap();
            trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();
            trainer.params().to_vec()
        };
        assert_eq!(again(&other, &a.save().unwrap()), again(&data, &b.save().unwrap()));
    }
}

#[test]
fn what_is_judged_has_the_same_bits() {
    let data = snapshots::<f32>(&[0.0, 0.5, 1.0], 300, 4);
    let other = stored(&data);
    let config = settings(Some(MatchingConfig::default()), GrowthUse::None);
    assert_eq!(choose_growth(&data, &config).unwrap(), choose_growth(&other, &config).unwrap());
    let comparison =
        Comparison { loss: LossConfig::default(), inverse_scale: &[1.0, 0.5], cells: 90, seed: 2 };
    let sde = neural::<f32>(false);
    let p = sde.init(1);
    let model = sde.into();
    let of = |data: &Snapshots<f32>| {
        let model: &chreode_train::Model<NeuralSde<f32>, GrowthNet<f32>> = &model;
        let distance = distance_to_time(model, &p, data, 0, 2, 0.1, false, &comparison).unwrap();
        (distance, sampling_floor(&data.states[1], 2, &comparison, 5).unwrap())
    };
    assert_eq!(of(&data), of(&other));
}

/// Of populations that do not mix: whether growth is learned, training by either route, and the cells of one of them.
#[test]
fn populations_have_the_same_bits() {
    let mut data = snapshots::<f32>(&[0.0, 0.5, 1.0], 300, 4);
    let of = |t: usize| (0..data.cells(t)).map(|i| u32::from(!(i + t).is_multiple_of(3))).collect();
    data.populations = (0..3).map(of).collect();
    let other = stored(&data);
    let couple = Some(MatchingConfig { cells: 64, ..MatchingConfig::default() });
    let config = settings(couple, GrowthUse::Learned);
    assert_eq!(choose_growth(&data, &config).unwrap(), choose_growth(&other, &config).unwrap());
    for config in [config, settings(None, GrowthUse::None)] {
        let (a, b) = (trained(data.clone(), config.clone()), trained(other.clone(), config.clone()));
        assert_eq!(a.params(), b.params(), "{config:?}");
        assert_eq!(a.best_params(), b.best_params());
        assert_eq!(a.hold_out_noise().unwrap(), b.hold_out_noise().unwrap());
        // That of all as one is another.
        let mixed = Snapshots { populations: vec![], ..data.clone() };
        assert_ne!(trained(mixed, config).params(), a.params());
    }
    let (a, b) = (data.population(1), other.population(1));
    for (time, (a, b)) in a.states.iter().zip(&b.states).enumerate() {
        assert!(b.as_slice().is_none() && a.cells(2) < data.cells(time));
        assert_eq!(a.all(2).unwrap(), b.all(2).unwrap());
    }
}

/// Errors name the cells as they do in memory.
#[test]
fn values_that_are_none_are_found_in_a_file() {
    let mut data = snapshots::<f32>(&[0.0, 1.0], 40, 4);
    common::changed(&mut data.states[1], |states| states[2 * 17 + 1] = f32::NAN);
    let both = [&data, &stored(&data)].map(|data| data.check().unwrap_err());
    for error in both {
        assert!(matches!(error, TrainError::Data { time: 1, row: 17, .. }), "{error}");
    }
}
