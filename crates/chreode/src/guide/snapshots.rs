//! Chapter 4: learn from snapshots.
//!
//! A cell is destroyed when it is measured. What is there are clouds of cells at several times, and no pairs
//! between them. The trainer simulates cells of one time to the next, compares the cloud that arrives with the
//! one that was observed, and follows the exact gradient of that distance.
//! ```
//! use std::sync::atomic::AtomicBool;
//!
//! use chreode::core::BrownianIncrements;
//! use chreode::prelude::*;
//! use chreode::train::{Comparison, LossConfig, NoObserver, distance_to_time, sampling_floor};
//!
//! // 600 cells at each of four times; they part to both sides. (In place of your data.)
//! let times = [0.0, 0.5, 1.0, 1.5];
//! let noise = BrownianIncrements::new(7);
//! let states = times.iter().enumerate().map(|(k, t)| {
//!     let mut x = vec![0.0_f32; 600];
//!     noise.fill(k as u64, 0, 1, 0.04, &mut x); // normal, variance 0.04
//!     x.iter_mut().enumerate().for_each(|(i, x)| *x += if i % 2 == 0 { *t as f32 } else { -*t as f32 });
//!     x
//! });
//! let data = Snapshots { dim: 1, times: times.to_vec(), states: States::each(states), ..Snapshots::default() };
//!
//! // The model sees states as (x - shift) / scale: give mean and spread of the data.
//! let mut config = ModelConfig::new(vec![0.0], vec![0.8]);
//! config.drift.hidden = vec![16, 16];
//! let sde = NeuralSde::<f32>::new(config)?;
//! let untrained = sde.init(1);
//!
//! // One time is left out, to see whether the model knows what was not shown.
//! let config = TrainConfig {
//!     steps: 150,
//!     batch: 128,
//!     learning_rate: 0.01,
//!     leave_out_times: vec![1.0],
//!     ..TrainConfig::default()
//! };
//! let mut trainer = Trainer::new(sde, untrained.clone(), data, config)?;
//! trainer.run(&mut NoObserver, &AtomicBool::new(false))?;
//!
//! // How far are cells simulated from 0.5 to 1.0 from those observed at 1.0?
//! let comparison =
//!     Comparison { loss: LossConfig::default(), inverse_scale: trainer.inverse_scale(), cells: 300, seed: 3 };
//! let distance =
//!     |p| distance_to_time(trainer.model(), p, trainer.data(), 1, 2, 0.1, false, &comparison);
//! let (before, after) = (distance(&untrained)?, distance(trainer.best_params())?);
//! // Two samples of the true cells are not at distance zero either:
//! let floor = sampling_floor(&trainer.data().states[2], 1, &comparison, 20)?;
//! assert!(after < 0.3 * before);
//! assert!(after < floor.mean + 10.0 * floor.sd);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! * The default loss is the unbiased energy distance; [`LossConfig`](crate::train::LossConfig) also has the
//!   Sinkhorn divergence.
//! * A tenth of the cells is held out, chooses the best parameters
//!   ([`best_params`](crate::train::Trainer::best_params)), and stops a run that no longer improves.
//! * An [`Observer`](crate::train::Observer) hears of every step and receives checkpoints;
//!   [`restore`](crate::train::Trainer::restore) goes on from one to the same bits.
//! * [`save`](crate::model::save) writes a model with its parameters, [`load`](crate::model::load) reads it.
//!
//! Snapshots do not determine dynamics: other drifts and noises can have the same clouds, and a distance near the
//! floor does not prove a model right. What helps is early snapshots at short gaps, while cells are still alike:
//! their spread shows the noise. The example `neural_sde` says how near one gets where the truth is known.
