//! Chapter 5: fates.
//!
//! The fate of a cell is a set of probabilities: many paths start from it, and each ends among cells whose label
//! is known. Labels are used here only, never in training.
//! ```
//! use chreode::cells::Labels;
//! use chreode::prelude::*;
//! # use std::sync::atomic::AtomicBool;
//! # use chreode::core::BrownianIncrements;
//! # let times = [0.0, 0.5, 1.0, 1.5];
//! # let noise = BrownianIncrements::new(7);
//! # let states = times.iter().enumerate().map(|(k, t)| {
//! #     let mut x = vec![0.0_f32; 600];
//! #     noise.fill(k as u64, 0, 1, 0.04, &mut x);
//! #     x.iter_mut().enumerate().for_each(|(i, x)| *x += if i % 2 == 0 { *t as f32 } else { -*t as f32 });
//! #     x
//! # });
//! # let data = Snapshots { dim: 1, times: times.to_vec(), states: States::each(states), ..Snapshots::default() };
//! # let mut config = ModelConfig::new(vec![0.0], vec![0.8]);
//! # config.drift.hidden = vec![16, 16];
//! # let sde = NeuralSde::<f32>::new(config)?;
//! # let config = TrainConfig { steps: 150, batch: 128, learning_rate: 0.01, ..TrainConfig::default() };
//! # let mut trainer = Trainer::new(sde.clone(), sde.init(1), data, config)?;
//! # trainer.run(&mut chreode::train::NoObserver, &AtomicBool::new(false))?;
//!
//! // `trainer` is that of the chapter before. Cells of the last time are labelled by what they became.
//! let ends = trainer.data().states[3].all(1)?;
//! let names: Vec<&str> = ends.iter().map(|x| if *x > 0.0 { "right" } else { "left" }).collect();
//! let readout = LabelReadout::new(&ends, 1, &Labels::from_text(&names), None)?;
//!
//! // 200 paths from each of three cells of time 0, to time 1.5.
//! let (model, p) = (&trainer.model().sde, trainer.best_params());
//! let rollout = Rollout { model, p, dt: 0.1, paths: 200, seed: 5, clamp: None, place: None };
//! let fates = Fates::predict(&rollout, &readout, &[-0.4, 0.0, 0.4], 0.0, 1.5)?;
//!
//! assert_eq!(fates.names(), ["left", "right"]);
//! assert!(fates.of(0)[0] > 0.5 && fates.of(2)[1] > 0.5);
//! assert!((fates.of(1).iter().sum::<f64>() - 1.0).abs() < 1e-6); // over all labels
//! assert!(fates.entropy(1) > fates.entropy(0)); // in nats; the cell between is the least certain
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! * How far labelled cells vote is chosen on the labelled cells themselves, unless you give the number of those that do; no
//!   probability is ever zero.
//! * With learned growth, paths count by their weight: fates are those of descendants.
//! * [`Manifold`](crate::cells::Manifold) says how far simulated cells are from the training cells: where it finds
//!   them outside, do not believe their fates.
//!
//! The example `fates` compares with the true probabilities.
