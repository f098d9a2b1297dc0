//! Whether growth is learned, as the times between others say: where arms grow and where they do not.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use chreode_core::BrownianIncrements;
use chreode_train::{
    Between, GrowthChoice, MatchingConfig, Snapshots, States, TrainConfig, TrainError, choose_growth,
};

fn on<R: Send>(threads: usize, f: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(f)
}

/// Changes states that are in memory.
fn changed(states: &mut States<f32>, change: impl FnOnce(&mut Vec<f32>)) {
    let mut all = states.as_slice().unwrap().to_vec();
    change(&mut all);
    *states = all.into();
}

/// Two arms that move up, of which the right one has `factor` times as many cells at each time as at the one before; `n` cells a time.
fn arms(times: &[f64], n: usize, factor: f64, seed: u64) -> Snapshots<f32> {
    let states = times.iter().enumerate().map(|(k, &t)| {
        let mut z = vec![0.0_f32; 2 * n];
        BrownianIncrements::new(seed).fill(k as u64, 0, 2, 0.09, &mut z);
        let right = factor.powf(t) / (1.0 + factor.powf(t));
        for (i, z) in z.chunks_exact_mut(2).enumerate() {
            z[0] += if (i as f64 + 0.5) < right * n as f64 { 2.0 } else { -2.0 };
            z[1] += t as f32;
        }
        z
    });
    let states = States::each(states);
    Snapshots { dim: 2, times: times.to_vec(), states, ..Snapshots::default() }
}

fn config(seed: u64) -> TrainConfig {
    let matching = Some(MatchingConfig { epsilon: 0.1, ..MatchingConfig::default() });
    TrainConfig { seed, matching, ..TrainConfig::default() }
}

#[test]
fn growth_is_learned_where_there_is_some() {
    for seed in 0..3 {
        let grown = choose_growth(&arms(&[0.0, 1.0, 2.0], 300, 3.0, seed), &config(seed)).unwrap();
        assert!(grown.learned && grown.gain > 2.0 * grown.standard_error, "{grown:?}");
        assert!(grown.with[0] < 0.8 * grown.without[0], "{grown:?}");
        assert!(grown.told().starts_with("growth is learned: "), "{}", grown.told());
        let times = [0.0, 1.0, 2.0, 3.0];
        let level = choose_growth(&arms(&times, 300, 1.0, seed), &config(seed)).unwrap();
        assert!(!level.learned && level.gain.abs() < 1.0, "{level:?}");
        assert_eq!(level.times, [1.0, 2.0]);
    }
}

/// A time that is left out of the training has no part in the decision, nor have cells held out.
#[test]
fn what_is_not_trained_on_is_not_asked() {
    let times = [0.0, 1.0, 2.0];
    let data = arms(&times, 200, 3.0, 1);
    let left_out = TrainConfig { leave_out_times: vec![1.0], ..config(1) };
    let choice = choose_growth(&data, &left_out).unwrap();
    assert!(!choice.learned && choice.times.is_empty(), "{choice:?}");
    assert!(choice.told().contains("no time between"), "{}", choice.told());

    let settings = config(1);
    let of = |data: &Snapshots<f32>| choose_growth(data, &settings).unwrap();
    let split = chreode_train::Split::draw(&data, settings.hold_out, settings.hold_out_by, 1).unwrap();
    let mut other = data.clone();
    for (states, rows) in other.states.iter_mut().zip(&split.hold_out) {
        changed(states, |states| rows.iter().for_each(|&row| states[2 * row as usize] += 5.0));
    }
    assert_eq!(of(&data), of(&other));
    changed(&mut other.states[1], |states| states[2 * split.train[1][0] as usize] += 5.0);
    assert_ne!(of(&data), of(&other));
}

#[test]
fn decisions_are_repeatable() {
    let data = arms(&[0.0, 1.0, 3.0], 150, 1.5, 2);
    let choose = |threads| on(threads, || choose_growth(&data, &config(4)).unwrap());
    let choice: GrowthChoice = choose(1);
    assert_eq!(choice, choose(2));
    assert_ne!(choice, choose_growth(&data, &config(5)).unwrap());
}

#[test]
fn what_cannot_be_decided() {
    let data = arms(&[0.0, 1.0, 2.0], 60, 1.0, 1);
    let simulated = TrainConfig { matching: None, ..config(1) };
    assert!(matches!(choose_growth(&data, &simulated), Err(TrainError::Setting { name: "matching", .. })));
    // Five cells of a time are left to train on.
    let few = TrainConfig { hold_out: 0.9, ..config(1) };
    assert!(choose_growth(&arms(&[0.0, 1.0, 2.0], 50, 3.0, 1), &few).unwrap().times.is_empty());
}

/// Rates that say how arms grow make the couplings that keep them as near as those that are open; a blur as wide as the clouds is far.
#[test]
fn distances_see_rates_and_blur() {
    let mut data = arms(&[0.0, 1.0, 2.0], 300, 3.0, 1);
    let rows: Vec<Vec<u32>> = vec![(0..300).collect(); 3];
    let distances = |data: &Snapshots<f32>, blur: f64| {
        let between = Between {
            data,
            kept: &[0, 1, 2],
            rows: &rows,
            inverse_scale: &[1.0, 1.0],
            relaxation: 1.0,
            cells: 1000,
            seed: 1,
        };
        assert_eq!(between.inner(), 1..2);
        between.distances(1, blur, 0).unwrap()
    };
    let [kept, open] = distances(&data, 0.05);
    assert!(open < 0.8 * kept, "{kept} {open}");
    assert!(distances(&data, 2.0)[1] > 2.0 * open);
    let right = |x: &[f32]| if x[0] > 0.0 { 3.0_f32.ln() } else { 0.0 };
    data.growth = data.states.iter().map(|s| s.as_slice().unwrap().chunks(2).map(right).collect()).collect();
    assert!(distances(&data, 0.05)[0] < open);
}
