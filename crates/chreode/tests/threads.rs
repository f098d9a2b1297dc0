//! The names of the prelude together: the same bits on any number of threads.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::atomic::AtomicBool;

use chreode::cells::Labels;
use chreode::core::BrownianIncrements;
use chreode::prelude::*;
use chreode::train::NoObserver;
use proptest::prelude::*;

fn with_threads<R: Send>(threads: usize, job: impl FnOnce() -> R + Send) -> R {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(job)
}

/// Fits a small model to clouds that part, and reads off the fates of a few cells.
fn fit_and_predict(seed: u64, cells: usize) -> (Vec<f32>, Fates) {
    let noise = BrownianIncrements::new(seed);
    let cloud = |k: u64| {
        let mut s = vec![0.0_f32; 2 * cells];
        noise.fill(k, 0, 2, 0.05, &mut s);
        s.iter_mut().step_by(4).for_each(|x| *x += k as f32);
        s.iter_mut().skip(2).step_by(4).for_each(|x| *x -= k as f32);
        s
    };
    let data = Snapshots {
        dim: 2,
        times: vec![0.0, 1.0, 2.0],
        states: States::each((0..3).map(cloud)),
        ..Snapshots::default()
    };
    let ends = data.states[2].as_slice().unwrap().to_vec();
    let names: Vec<&str> = ends.chunks_exact(2).map(|s| if s[0] > 0.0 { "right" } else { "left" }).collect();
    let mut config = ModelConfig::new(vec![0.0; 2], vec![1.0; 2]);
    config.drift.hidden = vec![12];
    let sde = NeuralSde::new(config).unwrap();
    let params = sde.init(seed);
    let config = TrainConfig { seed, steps: 8, batch: 100, dt: 0.25, ..TrainConfig::default() };
    let mut trainer = Trainer::new(sde, params, data, config).unwrap();
    trainer.run(&mut NoObserver, &AtomicBool::new(false)).unwrap();

    let readout = LabelReadout::new(&ends, 2, &Labels::from_text(&names), None).unwrap();
    let (model, p) = (&trainer.model().sde, trainer.best_params());
    let rollout = Rollout { model, p, dt: 0.25, paths: 50, seed, clamp: None, place: None };
    let start = &trainer.data().states[0].as_slice().unwrap()[..14];
    let fates = Fates::predict(&rollout, &readout, start, 0.0, 2.0).unwrap();
    (p.to_vec(), fates)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    /// From data to fates, and every cell's probabilities sum to one.
    #[test]
    fn bits_do_not_depend_on_threads(seed: u64, cells in 40_usize..160, threads in 2_usize..5) {
        let (p, fates) = with_threads(1, || fit_and_predict(seed, cells));
        let (p_many, fates_many) = with_threads(threads, || fit_and_predict(seed, cells));
        prop_assert_eq!(p, p_many);
        prop_assert_eq!(&fates, &fates_many);
        for cell in 0..fates.len() {
            prop_assert!((fates.of(cell).iter().sum::<f64>() - 1.0).abs() < 1e-6);
        }
        prop_assert_ne!(fates, with_threads(1, || fit_and_predict(seed ^ 1, cells)).1);
    }
}
