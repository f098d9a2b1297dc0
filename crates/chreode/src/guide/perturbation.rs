//! Chapter 6: perturbations.
//!
//! What would become of the same cells if something were different? Both arms use the same noise, so the
//! difference is that of the change. There are two kinds: the start is *shifted*, or a direction of the state is
//! *clamped* along the whole path.
//! ```
//! use chreode::cells::{Clamp, Labels, shifts};
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
//! # let ends = trainer.data().states[3].all(1)?;
//! # let names: Vec<&str> = ends.iter().map(|x| if *x > 0.0 { "right" } else { "left" }).collect();
//! # let readout = LabelReadout::new(&ends, 1, &Labels::from_text(&names), None)?;
//! # let (model, p) = (&trainer.model().sde, trainer.best_params());
//!
//! // `readout`, `model` and `p` are those of the chapter before.
//! let control = Rollout { model, p, dt: 0.1, paths: 100, seed: 5, clamp: None, place: None };
//! let cells = trainer.data().states[0].all(1)?;
//! let start = &cells[..50];
//! let fates = Fates::predict(&control, &readout, start, 0.0, 1.5)?;
//!
//! // Shift: every cell starts 0.3 further to the right.
//! let moved: Vec<f32> = start.iter().map(|x| x + 0.3).collect();
//! let shift = shifts(&fates, &Fates::predict(&control, &readout, &moved, 0.0, 1.5)?);
//! let right = &shift[1]; // in the order of `fates.names()`
//! let (low, high) = right.interval(); // 95 %, over cells
//! assert!(low > 0.0 && (low..high).contains(&right.shift()));
//!
//! // Clamp: the direction (1) of the state is held at -0.8. A gene is such a direction: its loadings.
//! let held = Clamp::new(1, &[(vec![1.0], -0.8)])?;
//! let clamped = Rollout { clamp: Some(&held), ..control };
//! let shift = shifts(&fates, &Fates::predict(&clamped, &readout, start, 0.0, 1.5)?);
//! assert!(shift[0].perturbed > 0.95);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! The interval says how sure the mean shift is for THIS model, not how sure the model is. The example
//! `perturbation` sets both beside the truth.
