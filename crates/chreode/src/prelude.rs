//! Twenty names that most programs need: `use chreode::prelude::*`.
//!
//! | to | take |
//! |---|---|
//! | write an equation | [`field`], [`VectorField`], [`Vjp`], [`Diffusion`] |
//! | solve it | [`solve`], [`Erk`], [`TSIT5`], [`SolveOptions`] |
//! | simulate many cells | [`simulate`], [`TimeGrid`], [`EnsembleOptions`] |
//! | differentiate a solution | [`OdeAdjoint`] |
//! | learn from snapshots | [`ModelConfig`], [`NeuralSde`], [`Snapshots`], [`TrainConfig`], [`Trainer`] |
//! | read off fates | [`LabelReadout`], [`Rollout`], [`Fates`] |
//!
//! Everything else is one module away: `chreode::train::Schedule`, `chreode::cells::Clamp`.

pub use chreode_adjoint::OdeAdjoint;
pub use chreode_cells::{Fates, LabelReadout, Rollout};
pub use chreode_core::{Diffusion, VectorField, Vjp, field};
pub use chreode_model::{ModelConfig, NeuralSde};
pub use chreode_solve::{EnsembleOptions, Erk, SolveOptions, TSIT5, TimeGrid, simulate, solve};
pub use chreode_train::{Snapshots, TrainConfig, Trainer};
